/* Fused attention in bfloat16 beside a reference in double from the same values, within bounds that
 * follow from its roundings; that its bits repeat; that nothing but its outputs is written; and
 * that causal attention sees neither a key too many nor one too few.
 *
 * Bounds. U = 2^-8 is a rounding to bfloat16, EPSILON = 2^-12 is more than what f32 sums, exp2 and
 * the division add (relative to the sums of magnitudes below).
 *
 *     out   p is rounded where it is an operand, and the result: (2 U + EPSILON) sum_j p |v_j|
 *     lse   scores are sums in f32: 2^-20 (1 + |lse| + scale max_j sum |q k|)
 *     dv    as out: (2 U + EPSILON) sum_i p |dout_i|
 *     dq    ds is rounded, and the result: (2 U + EPSILON) scale sum_j |ds k_j|; and ds = p (dp -
 *           delta) is a difference of f32 sums: 2^-16 scale sum_j p (sum |dout v_j| + sum |dout
 *           out|) |k_j|; dk alike
 *
 * The reference's backward pass takes out and lse as they were given to the kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu_compare.h"
#include "gpu_open.h"
#include "gpu_values.h"
#include "kernels/attention_fused.h"
#include "kernels/bf16.h"

static struct tdbg_backend *cpu, *gpu;

static const double U = 0x1p-8, EPSILON = 0x1p-12;

enum { GUARD_BYTES = 256, GUARD = 0x5a };

struct attention_case {
    int64_t rows, tokens, heads, kv_heads, dim;
    bool causal;
    float scale;
};

static const struct attention_case cases[] = {
    {1, 1, 1, 1, 64, true, 0.125f},    {2, 1, 2, 1, 32, false, 1},
    {1, 5, 1, 1, 32, true, 0.2f},      {3, 5, 4, 2, 64, true, 0.125f},
    {2, 5, 3, 1, 128, false, 0.09f},   {1, 64, 2, 2, 64, true, 0.125f},
    {2, 64, 1, 1, 32, false, 0.18f},   {1, 65, 2, 1, 64, true, 0.125f},
    {1, 65, 1, 1, 128, true, 0.09f},   {1, 65, 1, 1, 64, false, 0.125f},
    {2, 130, 2, 1, 64, true, 0.125f},  {1, 130, 1, 1, 64, false, 0.5f},
    {1, 130, 3, 3, 32, true, 0.18f},   {1, 130, 1, 1, 128, true, 0.09f},
    {1, 200, 4, 2, 64, true, 0.125f},  {1, 200, 2, 1, 32, true, 1},
    {1, 200, 1, 1, 128, false, 0.09f}, {1, 257, 1, 1, 64, true, 0.125f},
    {1, 70, 2, 1, 8, true, 0.35f},     {1, 70, 2, 1, 48, false, 0.14f},
    {1, 70, 1, 1, 120, true, 0.09f},
};

enum { CASES = sizeof cases / sizeof *cases };

static struct tdbg_attention attention_of(const struct attention_case *c)
{
    return (struct tdbg_attention){.rows = c->rows,
                                   .tokens = c->tokens,
                                   .heads = c->heads,
                                   .kv_heads = c->kv_heads,
                                   .dim = c->dim,
                                   .scale = c->scale,
                                   .causal = c->causal};
}

static const char *name_of(const struct attention_case *c)
{
    static char name[160];
    snprintf(name, sizeof name, "(%lld, %lld, %lld of %lld x %lld)%s", (long long)c->rows,
             (long long)c->tokens, (long long)c->heads, (long long)c->kv_heads, (long long)c->dim,
             c->causal ? " causal" : "");
    return name;
}

struct sizes {
    int64_t qkv, out, lse; /* elements */
};

static struct sizes sizes_of(const struct attention_case *c)
{
    const int64_t tokens = c->rows * c->tokens;
    return (struct sizes){.qkv = tokens * (c->heads + 2 * c->kv_heads) * c->dim,
                          .out = tokens * c->heads * c->dim,
                          .lse = tokens * c->heads};
}

/* ---- values ---- */

static uint16_t *make_values(int64_t n, uint64_t stream)
{
    float *x = malloc((size_t)n * sizeof *x);
    uint16_t *y = malloc((size_t)n * sizeof *y);
    gpu_fill(x, n, stream, GPU_PLAIN);
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint16_t)(tdbg_bf16_round_bits(tdbg_float_bits(x[i])) >> 16);
    free(x);
    return y;
}

static double value_of(uint16_t x)
{
    return (double)tdbg_bits_float((uint32_t)x << 16);
}

/* ---- the device ---- */

/* A result between guards on the device. */
static char *place_guarded(size_t bytes)
{
    return (char *)gpu_place(gpu, NULL, bytes + 2 * GUARD_BYTES) + GUARD_BYTES;
}

/* The bytes on the host; fails where something beside them was written. */
static void *bring_guarded(const char *what, const struct attention_case *c, char *device,
                           size_t bytes)
{
    unsigned char *all = gpu_bring(gpu, device - GUARD_BYTES, bytes + 2 * GUARD_BYTES);
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (all[i] != GUARD)
            fail_msg("%s: %s: byte %zu in front was written", name_of(c), what, GUARD_BYTES - i);
        if (all[GUARD_BYTES + bytes + i] != GUARD)
            fail_msg("%s: %s: byte %zu behind was written", name_of(c), what, i);
    }
    memmove(all, all + GUARD_BYTES, bytes);
    return all;
}

struct results {
    uint16_t *out, *dqkv;
    float *lse;
};

static void free_results(struct results *r)
{
    free(r->out);
    free(r->dqkv);
    free(r->lse);
}

static struct results run(const struct attention_case *c, const uint16_t *qkv, const uint16_t *dout)
{
    const struct tdbg_attention a = attention_of(c);
    const struct sizes n = sizes_of(c);
    const size_t workspace_bytes = tdbg_cuda_attention_fused_workspace_bytes(&a);
    struct results r;
    assert_true(tdbg_cuda_attention_fused_takes(&a));
    uint16_t *on_gpu = gpu_place(gpu, qkv, (size_t)n.qkv * sizeof *qkv);
    uint16_t *given = gpu_place(gpu, dout, (size_t)n.out * sizeof *dout);
    char *out = place_guarded((size_t)n.out * sizeof *r.out);
    char *lse = place_guarded((size_t)n.lse * sizeof *r.lse);
    char *dqkv = place_guarded((size_t)n.qkv * sizeof *r.dqkv);
    char *workspace = place_guarded(workspace_bytes);
    tdbg_cuda_attention_fused_forward(gpu->context, &a, on_gpu, (uint16_t *)out, (float *)lse);
    tdbg_cuda_attention_fused_backward(gpu->context, &a, on_gpu, (uint16_t *)out, (float *)lse,
                                       given, (uint16_t *)dqkv, workspace);
    r.out = bring_guarded("out", c, out, (size_t)n.out * sizeof *r.out);
    r.lse = bring_guarded("lse", c, lse, (size_t)n.lse * sizeof *r.lse);
    r.dqkv = bring_guarded("dqkv", c, dqkv, (size_t)n.qkv * sizeof *r.dqkv);
    free(bring_guarded("workspace", c, workspace, workspace_bytes));
    gpu_drop(gpu, on_gpu);
    gpu_drop(gpu, given);
    return r;
}

/* ---- the reference ---- */

/* A value and how far from it the kernels may be. */
struct bounded {
    double value, bound;
};

struct reference {
    struct bounded *out, *lse, *dqkv;
};

/* Where a head's row of a packed tensor begins. */
static int64_t packed_at(const struct attention_case *c, int64_t row, int64_t token, int64_t head)
{
    return ((row * c->tokens + token) * (c->heads + 2 * c->kv_heads) + head) * c->dim;
}

struct dot {
    double value, magnitude;
};

static struct dot dot_of(const uint16_t *x, const uint16_t *y, int64_t n)
{
    struct dot dot = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        dot.value += value_of(x[i]) * value_of(y[i]);
        dot.magnitude += fabs(value_of(x[i]) * value_of(y[i]));
    }
    return dot;
}

/* to += weight * x, and the bound as many times |x| more. */
static void add_row(struct bounded *to, double weight, double bound, const uint16_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        to[i].value += weight * value_of(x[i]);
        to[i].bound += bound * fabs(value_of(x[i]));
    }
}

static int64_t keys_seen(const struct attention_case *c, int64_t query)
{
    return c->causal ? query + 1 : c->tokens;
}

/* A query of a head, forward. */
static void refer_forward(const struct attention_case *c, const uint16_t *qkv, int64_t row,
                          int64_t head, int64_t query, struct reference *r)
{
    const int64_t kv = c->heads + head / (c->heads / c->kv_heads), end = keys_seen(c, query);
    const int64_t at = ((row * c->tokens + query) * c->heads + head) * c->dim;
    double scores[512], max = -INFINITY, sum = 0, magnitude = 0;
    for (int64_t j = 0; j < end; j++) {
        const struct dot s =
            dot_of(qkv + packed_at(c, row, query, head), qkv + packed_at(c, row, j, kv), c->dim);
        scores[j] = s.value * (double)c->scale;
        max = fmax(max, scores[j]);
        magnitude = fmax(magnitude, s.magnitude * (double)c->scale);
    }
    for (int64_t j = 0; j < end; j++)
        sum += exp(scores[j] - max);
    struct bounded *lse = &r->lse[(row * c->heads + head) * c->tokens + query];
    lse->value = max + log(sum);
    lse->bound = 0x1p-20 * (1 + fabs(lse->value) + magnitude);
    for (int64_t j = 0; j < end; j++) {
        const double p = exp(scores[j] - lse->value);
        add_row(r->out + at, p, (2 * U + EPSILON) * p, qkv + packed_at(c, row, j, kv + c->kv_heads),
                c->dim);
    }
}

/* A query of a head, backward: to its own gradient and those of the keys that it sees. */
static void refer_backward(const struct attention_case *c, const uint16_t *qkv,
                           const uint16_t *dout, const struct results *given, int64_t row,
                           int64_t head, int64_t query, struct reference *r)
{
    const int64_t kv = c->heads + head / (c->heads / c->kv_heads);
    const int64_t at = ((row * c->tokens + query) * c->heads + head) * c->dim;
    const int64_t at_q = packed_at(c, row, query, head);
    const double scale = (double)c->scale;
    const double lse = (double)given->lse[(row * c->heads + head) * c->tokens + query];
    const struct dot delta = dot_of(dout + at, given->out + at, c->dim);
    for (int64_t j = 0; j < keys_seen(c, query); j++) {
        const int64_t at_k = packed_at(c, row, j, kv),
                      at_v = packed_at(c, row, j, kv + c->kv_heads);
        const double p = exp(dot_of(qkv + at_q, qkv + at_k, c->dim).value * scale - lse);
        const struct dot dp = dot_of(dout + at, qkv + at_v, c->dim);
        const double ds = p * (dp.value - delta.value) * scale;
        const double bound =
            (2 * U + EPSILON) * fabs(ds) + 0x1p-16 * scale * p * (dp.magnitude + delta.magnitude);
        add_row(r->dqkv + at_q, ds, bound, qkv + at_k, c->dim);
        add_row(r->dqkv + at_k, ds, bound, qkv + at_q, c->dim);
        add_row(r->dqkv + at_v, p, (2 * U + EPSILON) * p, dout + at, c->dim);
    }
}

static struct reference refer(const struct attention_case *c, const uint16_t *qkv,
                              const uint16_t *dout, const struct results *given)
{
    const struct sizes n = sizes_of(c);
    struct reference r = {.out = calloc((size_t)n.out, sizeof *r.out),
                          .lse = calloc((size_t)n.lse, sizeof *r.lse),
                          .dqkv = calloc((size_t)n.qkv, sizeof *r.dqkv)};
    for (int64_t row = 0; row < c->rows; row++) {
        for (int64_t head = 0; head < c->heads; head++) {
            for (int64_t query = 0; query < c->tokens; query++) {
                refer_forward(c, qkv, row, head, query, &r);
                refer_backward(c, qkv, dout, given, row, head, query, &r);
            }
        }
    }
    return r;
}

static void free_reference(struct reference *r)
{
    free(r->out);
    free(r->lse);
    free(r->dqkv);
}

static void check(const struct attention_case *c, const char *what, int64_t i, double got,
                  struct bounded want)
{
    if (!(fabs(got - want.value) <= want.bound))
        fail_msg("%s: %s[%lld] is %.9g, the reference has %.9g +- %.3g", name_of(c), what,
                 (long long)i, got, want.value, want.bound);
}

/* ---- tests ---- */

static void test_reference(void **state)
{
    (void)state;
    for (int at = 0; at < CASES; at++) {
        const struct attention_case *c = &cases[at];
        const struct sizes n = sizes_of(c);
        uint16_t *qkv = make_values(n.qkv, 2 * (uint64_t)at + 1);
        uint16_t *dout = make_values(n.out, 2 * (uint64_t)at + 2);
        struct results got = run(c, qkv, dout);
        struct reference want = refer(c, qkv, dout, &got);
        for (int64_t i = 0; i < n.out; i++)
            check(c, "out", i, value_of(got.out[i]), want.out[i]);
        for (int64_t i = 0; i < n.lse; i++)
            check(c, "lse", i, (double)got.lse[i], want.lse[i]);
        for (int64_t i = 0; i < n.qkv; i++)
            check(c, "dqkv", i, value_of(got.dqkv[i]), want.dqkv[i]);
        free_reference(&want);
        free_results(&got);
        free(qkv);
        free(dout);
    }
}

/* The emulated GPU runs blocks and threads in another order each time. */
static void test_repeats(void **state)
{
    (void)state;
    static const int some[] = {3, 10, 13};
    for (size_t s = 0; s < sizeof some / sizeof *some; s++) {
        const struct attention_case *c = &cases[some[s]];
        const struct sizes n = sizes_of(c);
        uint16_t *qkv = make_values(n.qkv, 100), *dout = make_values(n.out, 101);
        struct results first = run(c, qkv, dout);
        for (int times = 0; times < 2; times++) {
            struct results again = run(c, qkv, dout);
            assert_memory_equal(first.out, again.out, (size_t)n.out * sizeof *first.out);
            assert_memory_equal(first.lse, again.lse, (size_t)n.lse * sizeof *first.lse);
            assert_memory_equal(first.dqkv, again.dqkv, (size_t)n.qkv * sizeof *first.dqkv);
            free_results(&again);
        }
        free_results(&first);
        free(qkv);
        free(dout);
    }
}

/* Bits of a query's out, or of all gradients of a token. */
static bool token_differs(const uint16_t *x, const uint16_t *y, int64_t token, int64_t elems)
{
    return memcmp(x + token * elems, y + token * elems, (size_t)elems * sizeof *x) != 0;
}

/* Of one token the keys and values change, of the same one the gradient is not 0: earlier queries
 * do not see them, it and later ones do; keys up to it get gradients, later ones do not. */
static void check_causality(int64_t tokens, int64_t changed)
{
    const struct attention_case c = {1, tokens, 1, 1, 64, true, 0.125f};
    const struct sizes n = sizes_of(&c);
    uint16_t *qkv = make_values(n.qkv, 200), *other = make_values(n.qkv, 200);
    uint16_t *dout = make_values(n.out, 201), *zero = calloc((size_t)n.qkv, sizeof *zero);
    uint16_t *more = make_values(n.qkv, 202);
    memcpy(other + packed_at(&c, 0, changed, 1), more, 2 * (size_t)c.dim * sizeof *more);
    for (int64_t i = 0; i < n.out; i++)
        dout[i] = i / c.dim == changed ? dout[i] : 0;
    struct results a = run(&c, qkv, dout), b = run(&c, other, dout);
    for (int64_t t = 0; t < tokens; t++) {
        if (token_differs(a.out, b.out, t, c.dim) != (t >= changed))
            fail_msg("%lld tokens: key %lld is %s by query %lld", (long long)tokens,
                     (long long)changed, t >= changed ? "not seen" : "seen", (long long)t);
        const uint16_t *const of_keys = a.dqkv + packed_at(&c, 0, t, 1);
        for (int part = 0; part < 2; part++)
            if (token_differs(of_keys + part * c.dim, zero, 0, c.dim) != (t <= changed))
                fail_msg("%lld tokens: query %lld and the gradient of %s %lld", (long long)tokens,
                         (long long)changed, part ? "value" : "key", (long long)t);
    }
    free_results(&a);
    free_results(&b);
    free(qkv);
    free(other);
    free(dout);
    free(zero);
    free(more);
}

static void test_causality(void **state)
{
    (void)state;
    static const int64_t changed[] = {1, 15, 16, 31, 32, 63, 64, 127, 128, 129};
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++)
        check_causality(130, changed[i]);
    check_causality(2, 1);
}

static int nan_count(const uint16_t *x, int64_t n)
{
    int count = 0;
    for (int64_t i = 0; i < n; i++)
        count += isnan(value_of(x[i])) ? 1 : 0;
    return count;
}

/* A NaN among a token's values, and one among its gradients, reach all that it is summed into, and
 * nothing that is 64 tokens apart from that. */
static void test_nan(void **state)
{
    (void)state;
    const struct attention_case c = {1, 200, 1, 1, 64, true, 0.125f};
    const struct sizes n = sizes_of(&c);
    const int64_t at = 100;
    uint16_t *qkv = make_values(n.qkv, 300), *dout = make_values(n.out, 301);
    qkv[packed_at(&c, 0, at, 2)] = 0x7fc0;
    struct results of_value = run(&c, qkv, dout);
    qkv[packed_at(&c, 0, at, 2)] = 0;
    dout[at * c.dim] = 0x7fc0;
    struct results of_gradient = run(&c, qkv, dout);
    for (int64_t t = 0; t < c.tokens; t++) {
        const int in_out = nan_count(of_value.out + t * c.dim, c.dim);
        const int in_dv = nan_count(of_gradient.dqkv + packed_at(&c, 0, t, 2), c.dim);
        if ((t >= at && in_out == 0) || (t < at - 64 && in_out > 0))
            fail_msg("a NaN among the values of %d: %d in query %d's out", (int)at, in_out, (int)t);
        if ((t <= at && in_dv == 0) || (t > at + 64 && in_dv > 0))
            fail_msg("a NaN in the gradient of %d: %d in that of value %d", (int)at, in_dv, (int)t);
    }
    free_results(&of_value);
    free_results(&of_gradient);
    free(qkv);
    free(dout);
}

/* What is in one sample does not reach another: not even NaN behind its last token. */
static void test_samples(void **state)
{
    (void)state;
    const struct attention_case c = {2, 130, 2, 1, 64, false, 0.125f};
    const struct sizes n = sizes_of(&c);
    uint16_t *qkv = make_values(n.qkv, 400), *dout = make_values(n.out, 401);
    struct results alone = run(&c, qkv, dout);
    for (int64_t i = n.qkv / 2; i < n.qkv; i++)
        qkv[i] = 0x7fc0;
    for (int64_t i = n.out / 2; i < n.out; i++)
        dout[i] = 0x7fc0;
    struct results beside = run(&c, qkv, dout);
    assert_memory_equal(alone.out, beside.out, (size_t)n.out / 2 * sizeof *alone.out);
    assert_memory_equal(alone.lse, beside.lse, (size_t)n.lse / 2 * sizeof *alone.lse);
    assert_memory_equal(alone.dqkv, beside.dqkv, (size_t)n.qkv / 2 * sizeof *alone.dqkv);
    assert_true(nan_count(beside.out + n.out / 2, n.out / 2) > 0);
    free_results(&alone);
    free_results(&beside);
    free(qkv);
    free(dout);
}

static void test_takes(void **state)
{
    (void)state;
    static const int32_t length = 1;
    const struct tdbg_attention good = {.rows = 32,
                                        .tokens = 1024,
                                        .heads = 12,
                                        .kv_heads = 12,
                                        .dim = 64,
                                        .scale = 0.125f,
                                        .causal = true};
    struct tdbg_attention a = good;
    /* What blocks of GPUs with less shared memory than a Hopper's have: 99 KiB. */
    a.dim = 64;
    assert_true(tdbg_cuda_attention_fused_shared_bytes(&a) <= 99 << 10);
    a.dim = 128;
    assert_true(tdbg_cuda_attention_fused_shared_bytes(&a) > 99 << 10);
    assert_true(tdbg_cuda_attention_fused_shared_bytes(&a) <= 163 << 10);
    assert_true(tdbg_cuda_attention_fused_takes(&a));
    a.dim = 136;
    assert_false(tdbg_cuda_attention_fused_takes(&a));
    a.dim = 12;
    assert_false(tdbg_cuda_attention_fused_takes(&a));
    a = good;
    a.lengths = &length;
    assert_false(tdbg_cuda_attention_fused_takes(&a));
    a = good;
    a.scale = -1;
    assert_false(tdbg_cuda_attention_fused_takes(&a));
    a = good;
    a.tokens = 1 << 30;
    assert_false(tdbg_cuda_attention_fused_takes(&a));
    a = good;
    a.rows = 1 << 25;
    assert_false(tdbg_cuda_attention_fused_takes(&a));
}

int main(void)
{
    gpu_open_both(&cpu, &gpu);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes),     cmocka_unit_test(test_reference),
        cmocka_unit_test(test_causality), cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_nan),       cmocka_unit_test(test_samples),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    return failed;
}
