/* Entries for activations that are bf16 in memory (kernels/bf16_entries.h) beside those for f32 on
 * the same GPU: from the same values the same results, rounded. Those of cuBLAS, whose order of
 * adding is open, and those of kernels/fast.h may be off by a rounding more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"
#include "kernels/bf16.h"

static struct tdbg_backend *gpu;

/* A tensor in both forms: f[0] is f32, f[1] bf16. */
struct pair {
    float *f[2];
    int64_t n;
};

/* The table that knows the form. */
static const struct tdbg_backend *table(int form)
{
    return form == 0 ? gpu : gpu->bf16;
}

static float round_value(float x)
{
    return tdbg_bits_float(tdbg_bf16_round_bits(tdbg_float_bits(x)));
}

static struct pair pair_in(int64_t n, uint64_t stream, enum gpu_values kind)
{
    struct pair p = {.n = n};
    float *host = malloc((size_t)(n + 1) * sizeof *host);
    uint16_t *packed = malloc((size_t)(n + 1) * sizeof *packed);
    gpu_fill(host, n, stream, kind);
    for (int64_t i = 0; i < n; i++) {
        host[i] = round_value(host[i]);
        packed[i] = (uint16_t)(tdbg_float_bits(host[i]) >> 16);
    }
    p.f[0] = gpu_place(gpu, host, (size_t)n * sizeof *host);
    p.f[1] = gpu_place(gpu, packed, (size_t)n * sizeof *packed);
    free(host);
    free(packed);
    return p;
}

/* Rubbish, and in bf16 some of it behind the end. */
enum { GUARD = 8 };
static struct pair pair_out(int64_t n)
{
    return (struct pair){{gpu_place(gpu, NULL, (size_t)n * sizeof(float)),
                          gpu_place(gpu, NULL, (size_t)(n + GUARD) * sizeof(uint16_t))},
                         n};
}

static void pair_drop(struct pair p)
{
    gpu_drop(gpu, p.f[0]);
    gpu_drop(gpu, p.f[1]);
}

/* How far results may be apart: not at all; by a rounding of a value whose sum was added in another
 * order, which is a step of bf16 and a little beside zero, where terms cancel; or also by the
 * rounding of a part of up to 16, where a product adds to what is there. */
enum nearness { EXACT, ROUNDED, ADDED_TO };

static bool is_near(float a, float b, enum nearness how)
{
    if (how == EXACT)
        return tdbg_float_bits(a) == tdbg_float_bits(b);
    return (a == b) || fabsf(a - b) <= fabsf(b) * 0x1p-7f + (how == ROUNDED ? 0x1p-12f : 0x1p-4f) ||
           (a != a && b != b);
}

/* Both results, freed: those of f32 rounded are those of bf16. */
static void pair_check(const char *name, struct pair p, enum nearness how)
{
    float *want = gpu_bring(gpu, p.f[0], (size_t)p.n * sizeof *want);
    uint16_t *got = gpu_bring(gpu, p.f[1], (size_t)(p.n + GUARD) * sizeof *got);
    for (int64_t i = 0; i < p.n; i++) {
        const float a = tdbg_bits_float((uint32_t)got[i] << 16), b = round_value(want[i]);
        if (!is_near(a, b, how))
            fail_msg("%s: [%lld of %lld] is %a, f32 has %a", name, (long long)i, (long long)p.n,
                     (double)a, (double)want[i]);
    }
    for (int i = 0; i < GUARD; i++)
        if (got[p.n + i] != 0x5a5a)
            fail_msg("%s: wrote behind its end", name);
    free(want);
    free(got);
}

/* f32 in both forms: losses and gradients of parameters. */
static struct pair floats_out(int64_t n)
{
    return (struct pair){{gpu_place(gpu, NULL, (size_t)n * sizeof(float)),
                          gpu_place(gpu, NULL, (size_t)n * sizeof(float))},
                         n};
}

static void floats_check(const char *name, struct pair p, enum nearness how)
{
    float *want = gpu_bring(gpu, p.f[0], (size_t)p.n * sizeof *want);
    float *got = gpu_bring(gpu, p.f[1], (size_t)p.n * sizeof *got);
    for (int64_t i = 0; i < p.n; i++)
        if (!is_near(got[i], want[i], how))
            fail_msg("%s: [%lld of %lld] is %a, from f32 %a", name, (long long)i, (long long)p.n,
                     (double)got[i], (double)want[i]);
    free(want);
    free(got);
}

static const int64_t lengths[] = {0, 1, 3, 4, 255, 1030, 4099};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void test_elementwise(void **state)
{
    (void)state;
    for (int k = 0; k < LENGTHS; k++) {
        const int64_t n = lengths[k];
        const struct pair x = pair_in(n, 1, GPU_SPECIAL), x2 = pair_in(n, 2, GPU_SPECIAL);
        for (int kind = 0; kind <= TDBG_ACTIVATION_SIGMOID; kind++) {
            const struct pair y = pair_out(n), dx = pair_out(n);
            for (int f = 0; f < 2; f++) {
                table(f)->activation_forward(gpu->context, (enum tdbg_activation)kind, n, x.f[f],
                                             y.f[f]);
                table(f)->activation_backward(gpu->context, (enum tdbg_activation)kind, n, x.f[f],
                                              x2.f[f], dx.f[f]);
            }
            const enum nearness how = kind == TDBG_ACTIVATION_GELU_TANH ? ROUNDED : EXACT;
            pair_check("activation_forward", y, how);
            pair_check("activation_backward", dx, how);
        }
        const struct pair y = pair_out(n), dx = pair_out(n), sum = pair_out(n),
                          scaled = pair_out(n);
        const struct pair added = pair_in(n + GUARD, 1, GPU_SPECIAL);
        for (int f = 0; f < 2; f++) {
            table(f)->relu_forward(gpu->context, n, x.f[f], y.f[f]);
            table(f)->relu_backward(gpu->context, n, x.f[f], x2.f[f], dx.f[f]);
            table(f)->vector_sum(gpu->context, n, x.f[f], x2.f[f], sum.f[f]);
            table(f)->scale(gpu->context, n, x.f[f], 0.3f, scaled.f[f]);
            table(f)->vector_add(gpu->context, n, added.f[f], x2.f[f]);
        }
        pair_check("relu_forward", y, EXACT);
        pair_check("relu_backward", dx, EXACT);
        pair_check("vector_sum", sum, EXACT);
        pair_check("scale", scaled, EXACT);
        uint16_t guard[GUARD];
        gpu_fetch(gpu, guard, (const uint16_t *)(const void *)added.f[1] + n, sizeof guard);
        float *all = malloc((size_t)(n + GUARD) * sizeof *all);
        gpu_fetch(gpu, all, added.f[0], (size_t)(n + GUARD) * sizeof *all);
        for (int i = 0; i < GUARD; i++)
            assert_int_equal(guard[i], tdbg_float_bits(all[n + i]) >> 16);
        free(all);
        pair_drop(added);
        pair_drop(x);
        pair_drop(x2);
    }
}

static void test_dropout(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 5}, {2, 1026}, {7, 64}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int whole = 0; whole < 2; whole++) {
            const int64_t rows = shapes[s][0], elems = shapes[s][1];
            const struct tdbg_dropout d = tdbg_dropout_make(whole ? 1.0 : 0.25, 7, "drop", 3, 11);
            const struct pair x = pair_in(rows * elems, s, GPU_RARE), y = pair_out(rows * elems);
            for (int f = 0; f < 2; f++)
                table(f)->dropout_apply(gpu->context, &d, rows, elems, x.f[f], y.f[f]);
            pair_check("dropout_apply", y, EXACT);
            pair_drop(x);
        }
    }
}

static void test_positions(void **state)
{
    enum { ROWS = 3, TOKENS = 9, HEADS = 3, DIM = 10, N = TOKENS * HEADS * DIM };
    (void)state;
    float fixed[N];
    gpu_fill(fixed, N, 5, GPU_PLAIN);
    const struct tdbg_rotary r = {.rows = ROWS,
                                  .tokens = TOKENS,
                                  .turned = 2,
                                  .kept = 1,
                                  .dim = DIM,
                                  .cos = fixed,
                                  .sin = fixed + TOKENS * DIM / 2};
    const struct pair x = pair_in(ROWS * N, 1, GPU_RARE), weight = pair_in(N, 2, GPU_RARE);
    const struct pair learned = pair_out(ROWS * N), sines = pair_out(ROWS * N),
                      turned = pair_out(ROWS * N), back = pair_out(ROWS * N);
    for (int f = 0; f < 2; f++) {
        table(f)->position_add(gpu->context, ROWS, N, x.f[f], weight.f[f], learned.f[f]);
        table(f)->position_add_fixed(gpu->context, ROWS, N, x.f[f], fixed, sines.f[f]);
        table(f)->position_rotate(gpu->context, &r, false, x.f[f], turned.f[f]);
        table(f)->position_rotate(gpu->context, &r, true, x.f[f], back.f[f]);
    }
    pair_check("position_add", learned, EXACT);
    pair_check("position_add_fixed", sines, EXACT);
    pair_check("position_rotate", turned, EXACT);
    pair_check("position_rotate, inverse", back, EXACT);
    pair_drop(x);
    pair_drop(weight);
    gpu->forget_tables(gpu->context);
}

static void test_embedding(void **state)
{
    enum { VOCAB = 40, DIM = 33, N = 1300 };
    (void)state;
    int32_t tokens[N];
    for (int i = 0; i < N; i++)
        tokens[i] = (int32_t)(i % 7 == 0 ? gpu_random(9, (uint64_t)i) % VOCAB : 3);
    const int32_t *placed = gpu_place(gpu, tokens, sizeof tokens);
    const struct tdbg_embedding e = {VOCAB, DIM, N, placed, 5};
    const struct pair weight = pair_in(VOCAB * DIM, 1, GPU_SPECIAL),
                      dy = pair_in(N * DIM, 2, GPU_RARE);
    const struct pair y = pair_out(N * DIM), dweight = floats_out(VOCAB * DIM);
    void *workspace = gpu_place(gpu, NULL, gpu->embedding_workspace_bytes(gpu->context, &e));
    for (int f = 0; f < 2; f++) {
        table(f)->embedding_forward(gpu->context, &e, weight.f[f], y.f[f]);
        table(f)->embedding_backward(gpu->context, &e, dy.f[f], dweight.f[f], workspace);
    }
    pair_check("embedding_forward", y, EXACT);
    floats_check("embedding_backward", dweight, EXACT);
    pair_drop(weight);
    pair_drop(dy);
    gpu_drop(gpu, placed);
    gpu_drop(gpu, workspace);
}

static void test_row_norm(void **state)
{
    static const int64_t shapes[][2] = {{1, 1},    {5, 33},   {130, 64},
                                        {3, 1030}, {2, 4200}, {1100, 24}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int variant = 0; variant < 4;
             variant++) { /* layer or RMS norm, with a weight or not */
            const struct tdbg_row_norm norm = {shapes[s][0], shapes[s][1], 1e-5f, variant % 2 == 0};
            const int64_t n = norm.rows * norm.width;
            const bool has_weight = variant < 2, has_bias = has_weight && norm.centre;
            const struct pair x = pair_in(n, 1, GPU_PLAIN), dy = pair_in(n, 2, GPU_PLAIN),
                              weight = pair_in(norm.width, 3, GPU_PLAIN),
                              bias = pair_in(norm.width, 4, GPU_PLAIN);
            const struct pair y = pair_out(n), dx = pair_out(n), dweight = floats_out(norm.width),
                              dbias = floats_out(norm.width),
                              stats = floats_out(tdbg_row_norm_stats_elems(&norm));
            for (int f = 0; f < 2; f++) {
                const float *w = has_weight ? weight.f[f] : NULL;
                table(f)->row_norm_forward(gpu->context, &norm, x.f[f], w,
                                           has_bias ? bias.f[f] : NULL, y.f[f], stats.f[f]);
                table(f)->row_norm_backward(gpu->context, &norm, x.f[f], w, stats.f[f], dy.f[f],
                                            dx.f[f], dweight.f[f], dbias.f[f], NULL);
            }
            pair_check("row_norm_forward", y, EXACT);
            pair_check("row_norm_backward", dx, EXACT);
            floats_check("row_norm_backward, weight", dweight, ROUNDED);
            floats_check("row_norm_backward, bias", dbias, ROUNDED);
            floats_check("row_norm_forward, statistics", stats, EXACT);
            pair_drop(x);
            pair_drop(dy);
            pair_drop(weight);
            pair_drop(bias);
        }
    }
}

static void test_cross_entropy(void **state)
{
    static const int64_t shapes[][2] = {{3, 1}, {9, 10}, {40, 257}, {2, 5001}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t rows = shapes[s][0], classes = shapes[s][1], n = rows * classes;
        const struct pair x = pair_in(n, s, GPU_RARE), weights = pair_in(classes, 8, GPU_PLAIN);
        int32_t targets[64];
        for (int64_t r = 0; r < rows; r++)
            targets[r] = r == 1 ? -100 : (int32_t)(gpu_random(s, (uint64_t)r) % (uint32_t)classes);
        int32_t *placed = gpu_place(gpu, targets, (size_t)rows * sizeof *targets);
        const struct tdbg_cross_entropy how = {weights.f[0], 0.9f, 0.1f / (float)classes, 3.0f};
        const struct pair loss = floats_out(rows), smooth = floats_out(rows), dx = pair_out(n),
                          dsmooth = pair_out(n);
        int64_t correct[2];
        for (int f = 0; f < 2; f++) {
            table(f)->cross_entropy_forward(gpu->context, rows, classes, x.f[f], placed, -100,
                                            loss.f[f]);
            table(f)->cross_entropy_backward(gpu->context, rows, classes, x.f[f], placed, -100,
                                             dx.f[f]);
            table(f)->cross_entropy_weighted_forward(gpu->context, &how, rows, classes, x.f[f],
                                                     placed, -100, smooth.f[f]);
            table(f)->cross_entropy_weighted_backward(gpu->context, &how, rows, classes, x.f[f],
                                                      placed, -100, dsmooth.f[f]);
            correct[f] = table(f)->count_correct(gpu->context, rows, classes, x.f[f], placed, -100);
        }
        floats_check("cross_entropy_forward", loss, EXACT);
        floats_check("cross_entropy_weighted_forward", smooth, EXACT);
        pair_check("cross_entropy_backward", dx, EXACT);
        pair_check("cross_entropy_weighted_backward", dsmooth, EXACT);
        assert_int_equal(correct[0], correct[1]);
        pair_drop(x);
        pair_drop(weights);
        gpu_drop(gpu, placed);
    }
}

/* Rows of logits that are together, and apart: the products' multiple of 8, and another one. */
static void test_fast_cross_entropy(void **state)
{
    static const int64_t shapes[][3] = {{3, 1, 1},    {9, 10, 16},     {40, 257, 264},
                                        {40, 64, 64}, {7, 5001, 5008}, {7, 5001, 5003}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t rows = shapes[s][0], classes = shapes[s][1], n = rows * classes;
        const int64_t stride = shapes[s][2];
        const struct pair x = pair_in(n, s, GPU_RARE);
        int32_t targets[64];
        for (int64_t r = 0; r < rows; r++)
            targets[r] = r == 1 ? -100 : (int32_t)(gpu_random(s, (uint64_t)r) % (uint32_t)classes);
        int32_t *placed = gpu_place(gpu, targets, (size_t)rows * sizeof *targets);
        const struct pair loss = floats_out(rows), dx = pair_out(n);
        gpu->cross_entropy_forward(gpu->context, rows, classes, x.f[0], placed, -100, loss.f[0]);
        gpu->cross_entropy_backward(gpu->context, rows, classes, x.f[0], placed, -100, dx.f[0]);
        const int64_t correct =
            gpu->count_correct(gpu->context, rows, classes, x.f[0], placed, -100);
        const struct pair apart = pair_in(rows * stride, 77, GPU_PLAIN),
                          dapart = pair_in(rows * stride, 77, GPU_PLAIN);
        const struct tdbg_backend *be = gpu->bf16;
        be->fast_copy_rows(gpu->context, rows, classes, x.f[1], classes, apart.f[1], stride);
        const struct tdbg_logits in = {rows, classes, stride, apart.f[1], placed, -100};
        be->fast_cross_entropy_forward(gpu->context, &in, loss.f[1]);
        be->fast_cross_entropy_backward(gpu->context, &in, dapart.f[1]);
        assert_int_equal(be->fast_count_correct(gpu->context, &in), correct);
        be->fast_copy_rows(gpu->context, rows, classes, dapart.f[1], stride, dx.f[1], classes);
        /* Between the rows there is +0. */
        uint16_t *all = gpu_bring(gpu, dapart.f[1], (size_t)(rows * stride) * sizeof *all);
        for (int64_t k = 0; k < rows * stride; k++)
            assert_true(k % stride < classes || all[k] == 0);
        free(all);
        floats_check("fast_cross_entropy_forward", loss, ROUNDED);
        pair_check("fast_cross_entropy_backward", dx, ROUNDED);
        gpu_drop(gpu, dapart.f[0]);
        pair_drop(apart);
        pair_drop(x);
        gpu_drop(gpu, placed);
    }
}

static void test_reduce_rows(void **state)
{
    static const int64_t shapes[][2] = {{0, 3},   {0, 8},    {1, 9},     {70, 17},
                                        {600, 8}, {1100, 3}, {1025, 72}, {2100, 136}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t rows = shapes[s][0], cols = shapes[s][1];
        const struct pair x = pair_in(rows * cols, s, GPU_PLAIN), out = floats_out(cols);
        for (int f = 0; f < 2; f++)
            table(f)->reduce_rows(gpu->context, rows, cols, x.f[f], out.f[f]);
        floats_check("reduce_rows", out, ROUNDED);
        pair_drop(x);
    }
}

static void test_softmax(void **state)
{
    static const int64_t tokens[] = {5, 130, 520, 1030};
    (void)state;
    for (size_t s = 0; s < sizeof tokens / sizeof *tokens; s++) {
        const struct tdbg_attention a = {.rows = 1,
                                         .tokens = tokens[s],
                                         .heads = 1,
                                         .kv_heads = 1,
                                         .dim = 8,
                                         .scale = 1,
                                         .causal = s % 2 == 0};
        const int64_t n = a.tokens * a.tokens;
        const struct pair x = pair_in(n, 1, GPU_PLAIN), dy = pair_in(n, 2, GPU_PLAIN);
        const struct pair y = pair_out(n), dx = pair_out(n);
        for (int f = 0; f < 2; f++) {
            table(f)->attention_softmax_forward(gpu->context, &a, x.f[f], y.f[f]);
            table(f)->attention_softmax_backward(gpu->context, &a, x.f[f], dy.f[f], dx.f[f]);
        }
        pair_check("attention_softmax_forward", y, EXACT);
        pair_check("attention_softmax_backward", dx, EXACT);
        pair_drop(x);
        pair_drop(dy);
    }
}

/* Products, all ways in which linear asks for them. */
static void test_products(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {7, 9, 5}, {33, 20, 70}, {64, 96, 130}};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        for (int way = 0; way < 4; way++) { /* y with a bias and without, dx, dW */
            struct tdbg_gemm g = {.m = m,
                                  .n = n,
                                  .k = k,
                                  .trans_b = way < 2,
                                  .trans_a = way == 3,
                                  .ldc = n,
                                  .is_gradient = way == 3};
            g.lda = g.trans_a ? m : k;
            g.ldb = g.trans_b ? k : n;
            const struct pair a = pair_in(m * k, 1, GPU_PLAIN), b = pair_in(n * k, 2, GPU_PLAIN),
                              bias = pair_in(n, 3, GPU_PLAIN);
            const struct pair c = g.is_gradient ? floats_out(m * n) : pair_out(m * n);
            for (int f = 0; f < 2; f++) {
                g.a = a.f[f];
                g.b = b.f[f];
                g.c = c.f[f];
                g.bias = way == 0 ? bias.f[f] : NULL;
                void *workspace =
                    gpu_place(gpu, NULL, table(f)->gemm_workspace_bytes(gpu->context, &g));
                table(f)->gemm(gpu->context, &g, workspace);
                gpu_drop(gpu, workspace);
            }
            if (g.is_gradient)
                floats_check("gemm, of a weight", c, ROUNDED);
            else
                pair_check(way == 0 ? "gemm with a bias" : "gemm", c,
                           way == 0 ? ADDED_TO : ROUNDED);
            pair_drop(a);
            pair_drop(b);
            pair_drop(bias);
        }
    }
}

/* Logits whose rows are apart: y = x W^T, dx = dy W and dW = dy^T x, with what is between rows. */
static void test_products_with_gaps(void **state)
{
    enum { ROWS = 44, IN = 96, OUT = 259, STRIDE = 264, BEHIND = 8 * STRIDE, WAYS = 3 };
    (void)state;
    const struct pair x = pair_in(ROWS * IN, 1, GPU_PLAIN), w = pair_in(OUT * IN, 2, GPU_PLAIN);
    const struct pair dy = pair_in(ROWS * OUT, 3, GPU_PLAIN);
    const struct pair apart = pair_in(ROWS * STRIDE + BEHIND, 4, GPU_PLAIN);
    uint16_t nan[BEHIND];
    struct tdbg_err err = {0};
    for (int i = 0; i < BEHIND; i++)
        nan[i] = 0x7fc0;
    assert_int_equal(gpu->to_device(gpu->context, (uint16_t *)(void *)apart.f[1] + ROWS * STRIDE,
                                    nan, sizeof nan, &err),
                     TDBG_OK);
    const struct pair result[WAYS] = {pair_out(ROWS * OUT), pair_out(ROWS * IN),
                                      floats_out(OUT * IN)};
    const struct pair first[WAYS] = {x, dy, dy}, second[WAYS] = {w, w, x};
    const struct tdbg_backend *be = gpu->bf16;
    for (int way = 0; way < WAYS; way++) {
        struct tdbg_gemm g[WAYS] = {
            {.m = ROWS, .n = OUT, .k = IN, .lda = IN, .ldb = IN, .trans_b = true, .ldc = OUT},
            {.m = ROWS, .n = IN, .k = OUT, .lda = OUT, .ldb = IN, .ldc = IN},
            {.m = OUT,
             .n = IN,
             .k = ROWS,
             .lda = OUT,
             .trans_a = true,
             .ldb = IN,
             .ldc = IN,
             .is_gradient = true}};
        struct tdbg_gemm *p = &g[way];
        if (way == 1) {
            be->fill_zero(gpu->context, apart.f[1], ROWS * STRIDE * sizeof(uint16_t));
            be->fast_copy_rows(gpu->context, ROWS, OUT, dy.f[1], OUT, apart.f[1], STRIDE);
        }
        for (int f = 0; f < 2; f++) {
            p->a = first[way].f[f];
            p->b = second[way].f[f];
            p->c = result[way].f[f];
            if (f == 1 && way == 0) {
                p->c = apart.f[1];
                p->ldc = STRIDE;
                p->writes_gaps = true;
            } else if (f == 1) {
                p->a = apart.f[1];
                p->lda = STRIDE;
                p->reads_gaps = true;
            }
            void *workspace = gpu_place(gpu, NULL, table(f)->gemm_workspace_bytes(gpu->context, p));
            table(f)->gemm(gpu->context, p, workspace);
            gpu_drop(gpu, workspace);
        }
        if (way == 0)
            be->fast_copy_rows(gpu->context, ROWS, OUT, apart.f[1], STRIDE, result[0].f[1], OUT);
    }
    pair_check("gemm, rows of C apart", result[0], ROUNDED);
    pair_check("gemm, rows of A apart", result[1], ROUNDED);
    floats_check("gemm of a weight, rows of A apart", result[2], ROUNDED);
    pair_drop(x);
    pair_drop(w);
    pair_drop(dy);
    pair_drop(apart);
}

static void test_attention(void **state)
{
    (void)state;
    for (int grouped = 0; grouped < 2; grouped++) {
        const struct tdbg_attention a = {.rows = 2,
                                         .tokens = 37,
                                         .heads = 4,
                                         .kv_heads = grouped ? 2 : 4,
                                         .dim = 16,
                                         .scale = 0.25f,
                                         .causal = true};
        const int64_t qkv_n = a.rows * a.tokens * (a.heads + 2 * a.kv_heads) * a.dim;
        const int64_t square = a.rows * a.heads * a.tokens * a.tokens;
        const int64_t context_n = a.rows * a.tokens * a.heads * a.dim;
        const struct pair qkv = pair_in(qkv_n, 1, GPU_PLAIN), w = pair_in(square, 2, GPU_PLAIN),
                          d = pair_in(context_n, 3, GPU_PLAIN);
        const struct pair out = pair_out(context_n), scores = pair_out(square),
                          dqkv = pair_out(qkv_n), dprobs = pair_out(square),
                          dvalues = pair_out(qkv_n), dprobs_alone = pair_out(square);
        void *workspace = gpu_place(gpu, NULL, gpu->attention_workspace_bytes(gpu->context, &a));
        for (int f = 0; f < 2; f++) {
            const struct tdbg_backend *be = table(f);
            be->attention_scores(gpu->context, &a, qkv.f[f], scores.f[f], workspace);
            be->attention_context(gpu->context, &a, w.f[f], qkv.f[f], out.f[f], workspace);
            be->attention_scores_backward(gpu->context, &a, qkv.f[f], w.f[f], dqkv.f[f], workspace);
            be->attention_context_backward(gpu->context, &a, w.f[f], qkv.f[f], d.f[f], dprobs.f[f],
                                           dvalues.f[f], workspace);
            be->attention_context_backward(gpu->context, &a, w.f[f], qkv.f[f], d.f[f],
                                           dprobs_alone.f[f], NULL, workspace);
        }
        const enum nearness sums = grouped ? ADDED_TO : ROUNDED; /* over the heads of a group */
        pair_check("attention_scores", scores, ROUNDED);
        pair_check("attention_context", out, ROUNDED);
        pair_check("attention_scores_backward", dqkv, sums);
        pair_check("attention_context_backward, probs", dprobs, ROUNDED);
        pair_check("attention_context_backward, probs alone", dprobs_alone, ROUNDED);
        pair_check("attention_context_backward, values", dvalues, sums);
        pair_drop(qkv);
        pair_drop(w);
        pair_drop(d);
        gpu_drop(gpu, workspace);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_row_norm),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_fast_cross_entropy),
        cmocka_unit_test(test_reduce_rows),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_products_with_gaps),
        cmocka_unit_test(test_attention),
    };
    struct tdbg_backend *cpu;
    struct tdbg_err err = {0};
    gpu_open_both(&cpu, &gpu);
    tdbg_backend_cpu_destroy(cpu);
    if (tdbg_backend_cuda_make_fast(gpu, &err) != TDBG_OK) {
        printf("skipped: %s\n", err.message);
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests_name("gpu-bf16", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    return failed;
}
