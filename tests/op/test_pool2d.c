/* Pooling against its definition, element by element and bit for bit: random geometry, special
 * values, every instruction set that runs here, several thread counts; and golden hashes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/convert.h"
#include "kernels/pool2d.h"
#include "kernels/reduce.h"
#include "every_cpu.h"

/* How operands are filled; EQUALS: few values, so that maxima are not alone. */
enum fill { PLAIN, EQUALS, WITH_SPECIALS, FILLS };

static float random_value(enum fill fill)
{
    static const uint32_t specials[] = {
        0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x7f7fffff, 0xff7fffff,
        0x7f800000, 0xff800000, 0xff800000, 0xff800000, 0x7fc00000, 0xffc12345,
    };
    if (fill == EQUALS)
        return (float)random_between(-1, 1);
    if (fill == WITH_SPECIALS && random_between(0, 3) == 0)
        return tdbg_bits_float(specials[random_between(0, sizeof specials / 4 - 1)]);
    return (float)(int32_t)random_u32() * 0x1p-31f;
}

/* Exactly as long as it has to be, so that a sanitizer sees reads behind it. */
static void *make_cells(int64_t n)
{
    void *x = malloc((size_t)n * 4 + 1);
    assert_non_null(x);
    memset(x, 0xa5, (size_t)n * 4);
    return x;
}

static float *make_floats(int64_t n, enum fill fill)
{
    float *x = make_cells(n);
    for (int64_t i = 0; i < n; i++)
        x[i] = random_value(fill);
    return x;
}

static float canonical(float x)
{
    return isnan(x) ? tdbg_bits_float(0x7fc00000) : x;
}

enum { MAX_Y, MAX_DX, AVG_Y, AVG_DX, MEAN_Y, MEAN_DX, INDEX, MAX_Y_ALONE, RESULTS };
static const char *const result_text[] = {"max y",  "max dx",  "avg y", "avg dx",
                                          "mean y", "mean dx", "index", "max y without index"};

struct results {
    int64_t elems[RESULTS];
    float *f[RESULTS]; /* [INDEX]: int32_t */
};

static int32_t *index_of(const struct results *r)
{
    return (int32_t *)(void *)r->f[INDEX];
}

static struct results make_results(const struct tdbg_pool2d *p)
{
    int64_t x = p->planes * p->height * p->width;
    int64_t y = p->planes * tdbg_pool2d_out_size(p, 0) * tdbg_pool2d_out_size(p, 1);
    struct results r = {.elems = {y, x, y, x, p->planes, x, y, y}};
    for (int i = 0; i < RESULTS; i++)
        r.f[i] = make_cells(r.elems[i]);
    return r;
}

static void free_results(struct results *r)
{
    for (int i = 0; i < RESULTS; i++)
        free(r->f[i]);
}

/* One window: maximum, its place, average, and its share of dy for each of its elements. */
static void expect_window(const struct tdbg_pool2d *p, const float *x, int64_t plane, int64_t i,
                          int64_t j, const float *dy, const struct results *r, int64_t out)
{
    float best = -INFINITY, sum = 0;
    int64_t count = 0, place = -1, base = plane * p->height * p->width;
    for (int pass = 0; pass < 2; pass++) {
        float divisor = (float)(p->include_pad ? p->kernel[0] * p->kernel[1] : count);
        for (int64_t kh = 0; kh < p->kernel[0]; kh++)
            for (int64_t kw = 0; kw < p->kernel[1]; kw++) {
                int64_t h = i * p->stride[0] - p->padding[0] + kh;
                int64_t w = j * p->stride[1] - p->padding[1] + kw, at = h * p->width + w;
                if (h < 0 || h >= p->height || w < 0 || w >= p->width)
                    continue;
                if (pass == 1) {
                    r->f[AVG_DX][base + at] += canonical(dy[out] / divisor);
                    continue;
                }
                float v = x[base + at];
                if (place < 0)
                    place = at;
                if (v > best || isnan(v)) {
                    best = v;
                    place = at;
                }
                sum += v;
                count++;
            }
        r->f[AVG_Y][out] = canonical(sum / divisor);
    }
    r->f[MAX_Y][out] = r->f[MAX_Y_ALONE][out] = canonical(best);
    index_of(r)[out] = (int32_t)place;
    r->f[MAX_DX][base + place] += dy[out];
}

static void expect_all(const struct tdbg_pool2d *p, const float *x, const float *dy,
                       const struct results *r)
{
    int64_t size = p->height * p->width, out = 0;
    memset(r->f[MAX_DX], 0, (size_t)r->elems[MAX_DX] * 4);
    memset(r->f[AVG_DX], 0, (size_t)r->elems[AVG_DX] * 4);
    float *scratch = make_cells(tdbg_reduce_scratch_elems(size));
    for (int64_t plane = 0; plane < p->planes; plane++) {
        for (int64_t i = 0; i < tdbg_pool2d_out_size(p, 0); i++)
            for (int64_t j = 0; j < tdbg_pool2d_out_size(p, 1); j++)
                expect_window(p, x, plane, i, j, dy, r, out++);
        float sum = tdbg_reduce_sum(&cpus[0], size, x + plane * size, scratch);
        r->f[MEAN_Y][plane] = canonical(sum / (float)size);
        for (int64_t i = 0; i < size; i++)
            r->f[MEAN_DX][plane * size + i] = canonical(dy[plane] / (float)size);
    }
    for (int64_t i = 0; i < r->elems[MAX_DX]; i++) {
        r->f[MAX_DX][i] = canonical(r->f[MAX_DX][i]);
        r->f[AVG_DX][i] = canonical(r->f[AVG_DX][i]);
    }
    free(scratch);
}

static void run_on(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *p, const float *x,
                   const float *dy, const struct results *r)
{
    int64_t elems = p->height * p->width;
    for (int i = 0; i < RESULTS; i++)
        memset(r->f[i], 0xa5, (size_t)r->elems[i] * 4);
    tdbg_max_pool2d_forward(cpu, p, x, r->f[MAX_Y], index_of(r));
    tdbg_max_pool2d_forward(cpu, p, x, r->f[MAX_Y_ALONE], NULL);
    tdbg_max_pool2d_backward(cpu, p, index_of(r), dy, r->f[MAX_DX]);
    tdbg_avg_pool2d_forward(cpu, p, x, r->f[AVG_Y]);
    tdbg_avg_pool2d_backward(cpu, p, dy, r->f[AVG_DX]);
    tdbg_global_avg_pool_forward(cpu, p->planes, elems, x, r->f[MEAN_Y]);
    tdbg_global_avg_pool_backward(cpu, p->planes, elems, dy, r->f[MEAN_DX]);
}

static void check(const struct tdbg_pool2d *p, enum fill fill)
{
    struct results expected = make_results(p), got = make_results(p);
    float *x = make_floats(expected.elems[MAX_DX], fill);
    float *dy = make_floats(expected.elems[MAX_Y] + p->planes, fill == EQUALS ? PLAIN : fill);
    expect_all(p, x, dy, &expected);
    for (int c = 0; c < cpu_count; c++) {
        run_on(&cpus[c], p, x, dy, &got);
        for (int r = 0; r < RESULTS; r++) {
            for (int64_t i = 0; i < got.elems[r]; i++) {
                uint32_t want = tdbg_float_bits(expected.f[r][i]);
                uint32_t have = tdbg_float_bits(got.f[r][i]);
                if (want != have)
                    fail_msg("%d x (%d, %d), kernel %dx%d, stride %d,%d, padding %d,%d: %s with %d "
                             "threads: %s[%d] is %08x, not %08x",
                             (int)p->planes, (int)p->height, (int)p->width, (int)p->kernel[0],
                             (int)p->kernel[1], (int)p->stride[0], (int)p->stride[1],
                             (int)p->padding[0], (int)p->padding[1], tdbg_isa_text(cpus[c].isa),
                             cpus[c].threads, result_text[r], (int)i, have, want);
            }
        }
    }
    free(x);
    free(dy);
    free_results(&expected);
    free_results(&got);
}

/* ---- tests ---- */

static void random_shapes_match(void **state)
{
    (void)state;
    for (int i = 0; i < 600; i++) {
        struct tdbg_pool2d p = {.planes = random_between(1, 9), .include_pad = random_u32() >> 31};
        do {
            for (int axis = 0; axis < 2; axis++) {
                p.kernel[axis] = random_between(1, 5);
                p.stride[axis] = random_between(1, 4);
                p.padding[axis] = random_between(0, p.kernel[axis] / 2);
            }
            p.height = random_between(1, 20);
            p.width = random_between(1, 40);
        } while (tdbg_pool2d_out_size(&p, 0) < 1 || tdbg_pool2d_out_size(&p, 1) < 1);
        check(&p, i % FILLS);
    }
}

/* Large enough for threads, for chunks of a row and for rounds of a sum. */
static void large_shapes_match(void **state)
{
    static const struct tdbg_pool2d large[] = {
        {200, 28, 28, {2, 2}, {2, 2}, {0, 0}, true},   {64, 33, 37, {3, 3}, {2, 2}, {1, 1}, true},
        {3, 9, 1100, {3, 5}, {2, 2}, {1, 2}, false},   {3, 6, 1100, {2, 2}, {2, 2}, {0, 0}, true},
        {2, 70, 90, {7, 7}, {1, 1}, {3, 3}, false},    {50, 7, 7, {7, 7}, {7, 7}, {0, 0}, true},
        {1, 4100, 4097, {2, 2}, {2, 2}, {1, 1}, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check(&large[i], i % 2 ? PLAIN : EQUALS);
}

/* A bit that moves in the definition above and in the kernels alike is seen here. */
static void golden_hashes_stand(void **state)
{
    static const uint64_t golden[RESULTS] = {
        0xedb76091871ea0d1, 0x41d9dd7434549636, 0xbe5babea934fcccc, 0x29c0cfd6f2130683,
        0x4e2b2d3a5a3311b5, 0x9f35e5f80e836f52, 0x1c500f3ef4b6a4d5, 0xedb76091871ea0d1};
    const struct tdbg_pool2d p = {5, 83, 91, {3, 2}, {2, 1}, {1, 1}, true};
    bool same = true;
    (void)state;
    random_state = 42;
    struct results r = make_results(&p);
    float *x = make_floats(r.elems[MAX_DX], PLAIN), *dy = make_floats(r.elems[MAX_Y], PLAIN);
    run_on(&cpus[0], &p, x, dy, &r);
    for (int i = 0; i < RESULTS; i++) {
        const uint64_t hash = hash_floats(r.f[i], r.elems[i]);
        if (hash != golden[i])
            print_message("%s has hash 0x%016llx\n", result_text[i], (unsigned long long)hash);
        same &= hash == golden[i];
    }
    free(x);
    free(dy);
    free_results(&r);
    assert_true(same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shapes_match),
        cmocka_unit_test(large_shapes_match),
        cmocka_unit_test(golden_hashes_stand),
    };
    return cmocka_run_group_tests(tests, find_cpus, NULL);
}
