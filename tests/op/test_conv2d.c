/* The convolution against im2col and the reference matrix product, bit for bit: random geometry,
 * special values, every instruction set that runs here, several thread counts. And against
 * binary64, with a bound; and golden hashes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/convert.h"
#include "kernels/conv2d.h"
#include "kernels/gemm.h"
#include "kernels/numerics.h"
#include "every_cpu.h"

/* How operands are filled. */
enum fill { PLAIN, TINY, WITH_SPECIALS, FILLS };

static float random_value(enum fill fill)
{
    static const uint32_t specials[] = {
        0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff,
        0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0x34000000,
    };
    float plain = (float)(int32_t)random_u32() * 0x1p-31f;
    if (fill == TINY) /* products and sums are denormal: -0 comes up */
        return plain * 0x1p-70f;
    if (fill == WITH_SPECIALS && random_between(0, 60) == 0)
        return tdbg_bits_float(specials[random_between(0, sizeof specials / 4 - 1)]);
    return plain;
}

/* Exactly as long as it has to be, so that a sanitizer sees reads behind it; starts aligned to no
 * more than a float. */
static float *make_floats(int64_t n, enum fill fill, void **to_free)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    assert_non_null(x);
    *to_free = x;
    for (int64_t i = 0; i <= n; i++)
        x[i] = random_value(fill);
    return x + 1;
}

/* ---- one convolution and its tensors ---- */

enum { X, WEIGHT, BIAS, DY, TENSORS };   /* inputs */
enum { Y, DX, DWEIGHT, DBIAS, RESULTS }; /* outputs */
static const char *const result_text[] = {"y", "dx", "dweight", "dbias"};

struct example {
    struct tdbg_conv2d conv;
    int64_t oh, ow;
    bool bias;
    float *in[TENSORS];
    void *to_free[TENSORS];
    int64_t elems[RESULTS];
    float *expected[RESULTS], *got[RESULTS];
};

static void make_example(struct example *e, const struct tdbg_conv2d *c, bool bias, enum fill fill)
{
    *e = (struct example){.conv = *c, .bias = bias};
    e->oh = tdbg_conv2d_out_size(c, 0);
    e->ow = tdbg_conv2d_out_size(c, 1);
    e->elems[Y] = c->samples * c->out * e->oh * e->ow;
    e->elems[DX] = c->samples * c->in * c->height * c->width;
    e->elems[DWEIGHT] = c->out * (c->in / c->groups) * c->kernel[0] * c->kernel[1];
    e->elems[DBIAS] = c->out;
    const int64_t in_elems[] = {e->elems[DX], e->elems[DWEIGHT], c->out, e->elems[Y]};
    for (int i = 0; i < TENSORS; i++)
        e->in[i] = make_floats(in_elems[i], fill, &e->to_free[i]);
    for (int i = 0; i < RESULTS; i++) {
        e->expected[i] = malloc((size_t)e->elems[i] * sizeof(float) + 1);
        e->got[i] = malloc((size_t)e->elems[i] * sizeof(float) + 1);
        assert_non_null(e->expected[i]);
        assert_non_null(e->got[i]);
    }
}

static void free_example(struct example *e)
{
    for (int i = 0; i < TENSORS; i++)
        free(e->to_free[i]);
    for (int i = 0; i < RESULTS; i++) {
        free(e->expected[i]);
        free(e->got[i]);
    }
}

/* at() of conv2d.h */
static float image_at(const float *x, int64_t channels, int64_t height, int64_t width, int64_t n,
                      int64_t c, int64_t h, int64_t w)
{
    bool inside = h >= 0 && h < height && w >= 0 && w < width;
    return inside ? x[((n * channels + c) * height + h) * width + w] : 0.0f;
}

/* im2col of all samples of a group: (k, samples * oh * ow), k over (channel, kh, kw). */
static float *make_columns(const struct example *e, int64_t group)
{
    const struct tdbg_conv2d *c = &e->conv;
    int64_t channels = c->in / c->groups, terms = c->samples * e->oh * e->ow;
    float *columns = malloc((size_t)(channels * c->kernel[0] * c->kernel[1] * terms) * 4 + 1);
    float *out = columns;
    for (int64_t ch = 0; ch < channels; ch++)
        for (int64_t kh = 0; kh < c->kernel[0]; kh++)
            for (int64_t kw = 0; kw < c->kernel[1]; kw++)
                for (int64_t t = 0; t < terms; t++) {
                    int64_t n = t / (e->oh * e->ow), i = t / e->ow % e->oh, j = t % e->ow;
                    *out++ =
                        image_at(e->in[X], c->in, c->height, c->width, n, group * channels + ch,
                                 i * c->stride[0] - c->padding[0] + kh * c->dilation[0],
                                 j * c->stride[1] - c->padding[1] + kw * c->dilation[1]);
                }
    return columns;
}

/* y and dweight of a group by the reference product. */
static void expect_products(struct example *e, int64_t group)
{
    const struct tdbg_conv2d *c = &e->conv;
    int64_t rows = c->out / c->groups, plane = e->oh * e->ow, terms = c->samples * plane;
    int64_t k = c->in / c->groups * c->kernel[0] * c->kernel[1];
    float *columns = make_columns(e, group), *dy = malloc((size_t)(rows * terms) * 4 + 1);
    float *y = malloc((size_t)(rows * terms) * 4 + 1);
    for (int64_t o = 0; o < rows; o++)
        for (int64_t t = 0; t < terms; t++)
            dy[o * terms + t] =
                e->in[DY][(t / plane * c->out + group * rows + o) * plane + t % plane];
    /* turned, so that the bias, one per output channel, goes along */
    struct tdbg_gemm forward = {.m = terms, .n = rows, .k = k, .a = columns, .lda = terms};
    forward.trans_a = true;
    forward.b = e->in[WEIGHT] + group * rows * k;
    forward.ldb = k;
    forward.trans_b = true;
    forward.c = y;
    forward.ldc = rows;
    forward.bias = e->bias ? e->in[BIAS] + group * rows : NULL;
    tdbg_gemm_reference(&forward);
    for (int64_t o = 0; o < rows; o++)
        for (int64_t t = 0; t < terms; t++)
            e->expected[Y][(t / plane * c->out + group * rows + o) * plane + t % plane] =
                y[t * rows + o];
    struct tdbg_gemm weight = {.m = rows, .n = k, .k = terms, .a = dy, .lda = terms};
    weight.b = columns;
    weight.ldb = terms;
    weight.trans_b = true;
    weight.c = e->expected[DWEIGHT] + group * rows * k;
    weight.ldc = k;
    tdbg_gemm_reference(&weight);
    free(columns);
    free(dy);
    free(y);
}

/* A sum of products in slices. */
struct chain {
    float total, part;
    int64_t terms;
};

static void add_term(struct chain *s, float a, float b)
{
    s->part = fmaf(a, b, s->part);
    if (++s->terms % TDBG_K_SLICE != 0)
        return;
    s->total = s->terms == TDBG_K_SLICE ? s->part : s->total + s->part;
    s->part = 0;
}

static float end_chain(const struct chain *s)
{
    float sum = s->terms < TDBG_K_SLICE        ? s->part
                : s->terms % TDBG_K_SLICE == 0 ? s->total
                                               : s->total + s->part;
    return isnan(sum) ? tdbg_bits_float(0x7fc00000) : sum;
}

/* The definition of dx in conv2d.h, word by word. */
static float expect_dx(const struct example *e, int64_t n, int64_t ch, int64_t h, int64_t w)
{
    const struct tdbg_conv2d *c = &e->conv;
    int64_t rows = c->out / c->groups, channels = c->in / c->groups, group = ch / channels;
    struct chain sum = {0};
    for (int64_t o = group * rows; o < (group + 1) * rows; o++)
        for (int64_t kh = 0; kh < c->kernel[0]; kh++)
            for (int64_t kw = 0; kw < c->kernel[1]; kw++) {
                int64_t i = h + c->padding[0] - kh * c->dilation[0];
                int64_t j = w + c->padding[1] - kw * c->dilation[1];
                if (i % c->stride[0] != 0 || j % c->stride[1] != 0)
                    continue;
                int64_t at = ((o * channels + ch % channels) * c->kernel[0] + kh) * c->kernel[1];
                add_term(&sum, e->in[WEIGHT][at + kw],
                         image_at(e->in[DY], c->out, e->oh, e->ow, n, o, i / c->stride[0],
                                  j / c->stride[1]));
            }
    return end_chain(&sum);
}

static void expect_all(struct example *e)
{
    const struct tdbg_conv2d *c = &e->conv;
    for (int64_t g = 0; g < c->groups; g++)
        expect_products(e, g);
    float *dx = e->expected[DX];
    for (int64_t n = 0; n < c->samples; n++)
        for (int64_t ch = 0; ch < c->in; ch++)
            for (int64_t h = 0; h < c->height; h++)
                for (int64_t w = 0; w < c->width; w++)
                    *dx++ = expect_dx(e, n, ch, h, w);
    for (int64_t o = 0; o < c->out; o++) {
        struct chain sum = {0};
        for (int64_t n = 0; n < c->samples; n++)
            for (int64_t t = 0; t < e->oh * e->ow; t++)
                add_term(&sum, 1.0f, e->in[DY][(n * c->out + o) * e->oh * e->ow + t]);
        e->expected[DBIAS][o] = end_chain(&sum);
    }
}

/* ---- the kernels ---- */

static void run_on(const struct tdbg_cpu *cpu, struct example *e)
{
    const struct tdbg_conv2d *c = &e->conv;
    size_t bytes = tdbg_conv2d_workspace_bytes(cpu, c);
    void *workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    assert_true(bytes == 0 || workspace);
    for (int i = 0; i < RESULTS; i++)
        memset(e->got[i], 0xa5, (size_t)e->elems[i] * sizeof(float));
    const float *bias = e->bias ? e->in[BIAS] : NULL;
    for (int pass = 0; pass < 3; pass++) {
        if (bytes)
            memset(workspace, 0xff, bytes);
        if (pass == 0)
            tdbg_conv2d_forward(cpu, c, e->in[X], e->in[WEIGHT], bias, e->got[Y], workspace);
        else if (pass == 1)
            tdbg_conv2d_backward_input(cpu, c, e->in[DY], e->in[WEIGHT], e->got[DX], workspace);
        else
            tdbg_conv2d_backward_weight(cpu, c, e->in[X], e->in[DY], e->got[DWEIGHT], workspace);
    }
    tdbg_conv2d_backward_bias(cpu, c, e->in[DY], e->got[DBIAS]);
    free(workspace);
}

static const char *conv_text(const struct tdbg_conv2d *c)
{
    static char text[200];
    snprintf(text, sizeof text,
             "%d x (%d, %d, %d) -> %d, groups %d, kernel %dx%d, stride %d,%d, padding %d,%d, "
             "dilation %d,%d",
             (int)c->samples, (int)c->in, (int)c->height, (int)c->width, (int)c->out,
             (int)c->groups, (int)c->kernel[0], (int)c->kernel[1], (int)c->stride[0],
             (int)c->stride[1], (int)c->padding[0], (int)c->padding[1], (int)c->dilation[0],
             (int)c->dilation[1]);
    return text;
}

static void compare(const struct tdbg_cpu *cpu, const struct example *e)
{
    for (int r = 0; r < RESULTS; r++) {
        for (int64_t i = 0; i < e->elems[r]; i++) {
            uint32_t expected = tdbg_float_bits(e->expected[r][i]);
            uint32_t got = tdbg_float_bits(e->got[r][i]);
            if (got != expected)
                fail_msg("%s: %s with %d threads: %s[%d] is %08x, not %08x", conv_text(&e->conv),
                         tdbg_isa_text(cpu->isa), cpu->threads, result_text[r], (int)i, got,
                         expected);
        }
    }
}

static void check(const struct tdbg_conv2d *c, bool bias, enum fill fill)
{
    struct example e;
    make_example(&e, c, bias, fill);
    expect_all(&e);
    for (int i = 0; i < cpu_count; i++) {
        run_on(&cpus[i], &e);
        compare(&cpus[i], &e);
    }
    free_example(&e);
}

/* ---- tests ---- */

static struct tdbg_conv2d random_conv(void)
{
    struct tdbg_conv2d c = {.samples = random_between(1, 4), .groups = 1};
    uint32_t bits = random_u32();
    if (bits & 1)
        c.groups = random_between(1, 12);
    bool depthwise = (bits & 6) == 0;
    c.in = c.groups * (depthwise ? 1 : random_between(1, 6));
    c.out = c.groups * (bits & 8 ? random_between(1, 3) : random_between(1, 20));
    do {
        for (int axis = 0; axis < 2; axis++) {
            bool plain = bits & 16;
            c.kernel[axis] = random_between(1, 5);
            c.stride[axis] = plain ? 1 : random_between(1, 4);
            c.padding[axis] = random_between(0, bits & 32 ? 0 : 3);
            c.dilation[axis] = plain ? 1 : random_between(1, 3);
        }
        c.height = random_between(1, 14);
        c.width = random_between(1, bits & 64 ? 40 : 12);
    } while (tdbg_conv2d_out_size(&c, 0) < 1 || tdbg_conv2d_out_size(&c, 1) < 1);
    return c;
}

static void random_shapes_match(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        struct tdbg_conv2d c = random_conv();
        check(&c, i & 1, i % FILLS);
    }
}

/* Shapes of networks, and edges: large enough for threads, several slices and blocks of rows. */
static void chosen_shapes_match(void **state)
{
    static const struct tdbg_conv2d chosen[] = {
        {8, 3, 32, 32, 32, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {3, 32, 28, 28, 40, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {5, 64, 14, 14, 33, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {4, 48, 15, 15, 24, 1, {1, 1}, {2, 2}, {0, 0}, {1, 1}},
        {2, 3, 56, 56, 16, 1, {7, 7}, {2, 2}, {3, 3}, {1, 1}},
        {3, 40, 7, 7, 190, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {40, 20, 1, 1, 30, 1, {1, 1}, {1, 1}, {0, 0}, {1, 1}},
        {30, 9, 4, 4, 12, 1, {4, 4}, {1, 1}, {0, 0}, {1, 1}},
        {6, 32, 30, 30, 32, 32, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {3, 19, 33, 31, 38, 19, {5, 5}, {2, 2}, {2, 2}, {1, 1}},
        {2, 17, 20, 21, 17, 17, {3, 3}, {1, 1}, {2, 2}, {2, 2}},
        {9, 24, 28, 27, 24, 24, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
        {3, 10, 12, 17, 40, 10, {3, 1}, {2, 1}, {1, 0}, {1, 1}},
        {2, 9, 11, 40, 9, 3, {1, 1}, {1, 2}, {0, 0}, {1, 1}}, /* lines that no output reads */
        {2, 16, 20, 20, 32, 4, {3, 3}, {1, 2}, {1, 1}, {1, 1}},
        {2, 4, 40, 3, 5, 1, {17, 1}, {3, 1}, {8, 0}, {1, 1}},
        {2, 2, 9, 9, 3, 1, {2, 2}, {5, 4}, {0, 0}, {1, 1}}, /* elements that no output reads */
        {1, 1, 1, 1, 1, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {1, 2, 2, 2, 3, 1, {1, 1}, {1, 1}, {3, 2}, {1, 1}},   /* border alone */
        {2, 1, 5, 5, 1, 1, {2, 2}, {70, 70}, {0, 0}, {1, 1}}, /* stride beyond a word's bits */
        {2, 3, 200, 5, 4, 1, {3, 2}, {66, 1}, {1, 0}, {67, 1}},
        {1, 300, 6, 6, 7, 1, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++)
        check(&chosen[i], i & 1, i % 3 == 0 ? WITH_SPECIALS : PLAIN);
}

/* No samples: y and dx are empty, gradients of parameters +0. */
static void no_samples_give_zero(void **state)
{
    const struct tdbg_conv2d c = {0, 3, 5, 5, 2, 1, {3, 3}, {1, 1}, {1, 1}, {1, 1}};
    (void)state;
    check(&c, true, PLAIN);
}

/* binary64 sums of the same terms; bound: (terms + 1) * 2^-24 * sum of |terms|, which holds for any
 * order of a sum of rounded products. */
static void close_to_double(void **state)
{
    const struct tdbg_conv2d c = {2, 12, 13, 11, 18, 3, {3, 5}, {2, 1}, {1, 2}, {1, 2}};
    struct example e;
    (void)state;
    make_example(&e, &c, true, PLAIN);
    run_on(&cpus[cpu_count - 1], &e);
    enum { CELLS = 1 << 15 };
    static double sum[RESULTS][CELLS], size[RESULTS][CELLS];
    memset(sum, 0, sizeof sum);
    memset(size, 0, sizeof size);
    int64_t rows = c.out / c.groups, channels = c.in / c.groups;
    for (int r = 0; r < RESULTS; r++)
        assert_true(e.elems[r] <= CELLS);
    for (int64_t y = 0; y < e.elems[Y]; y++) {
        int64_t j = y % e.ow, i = y / e.ow % e.oh, o = y / e.ow / e.oh % c.out;
        int64_t n = y / e.ow / e.oh / c.out;
        double dy = (double)e.in[DY][y];
        sum[Y][y] += (double)e.in[BIAS][o];
        sum[DBIAS][o] += dy;
        size[DBIAS][o] += fabs(dy);
        for (int64_t t = 0; t < channels * c.kernel[0] * c.kernel[1]; t++) {
            int64_t kw = t % c.kernel[1], kh = t / c.kernel[1] % c.kernel[0];
            int64_t ch = o / rows * channels + t / c.kernel[1] / c.kernel[0];
            int64_t h = i * c.stride[0] - c.padding[0] + kh * c.dilation[0];
            int64_t w = j * c.stride[1] - c.padding[1] + kw * c.dilation[1];
            if (h < 0 || h >= c.height || w < 0 || w >= c.width)
                continue;
            int64_t x = ((n * c.in + ch) * c.height + h) * c.width + w;
            int64_t weight = o * channels * c.kernel[0] * c.kernel[1] + t;
            double xv = (double)e.in[X][x], wv = (double)e.in[WEIGHT][weight];
            sum[Y][y] += xv * wv;
            size[Y][y] += fabs(xv * wv);
            sum[DX][x] += dy * wv;
            size[DX][x] += fabs(dy * wv);
            sum[DWEIGHT][weight] += dy * xv;
            size[DWEIGHT][weight] += fabs(dy * xv);
        }
    }
    for (int r = 0; r < RESULTS; r++)
        for (int64_t i = 0; i < e.elems[r]; i++)
            if (!(fabs((double)e.got[r][i] - sum[r][i]) <= 300 * 0x1p-24 * (size[r][i] + 1)))
                fail_msg("%s[%d] is %.9g, exactly %.17g", result_text[r], (int)i,
                         (double)e.got[r][i], sum[r][i]);
    free_example(&e);
}

/* A bit that moves in the reference and in the kernels alike is seen here. */
static void golden_hashes_stand(void **state)
{
    static const uint64_t golden[RESULTS] = {0x76d2e8d9f913e8d2, 0xa06c618b349e115c,
                                             0x0fddf73829f46b8a, 0xd4744a0f4c6ec52a};
    const struct tdbg_conv2d c = {3, 32, 17, 19, 20, 2, {3, 3}, {2, 1}, {1, 1}, {1, 1}};
    struct example e;
    bool same = true;
    (void)state;
    random_state = 42;
    make_example(&e, &c, true, PLAIN);
    run_on(&cpus[0], &e);
    for (int r = 0; r < RESULTS; r++) {
        const uint64_t hash = hash_floats(e.got[r], e.elems[r]);
        if (hash != golden[r])
            print_message("%s has hash 0x%016llx\n", result_text[r], (unsigned long long)hash);
        same &= hash == golden[r];
    }
    free_example(&e);
    assert_true(same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shapes_match),  cmocka_unit_test(chosen_shapes_match),
        cmocka_unit_test(no_samples_give_zero), cmocka_unit_test(close_to_double),
        cmocka_unit_test(golden_hashes_stand),
    };
    return cmocka_run_group_tests(tests, find_cpus, NULL);
}
