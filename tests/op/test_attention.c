/* Attention: every instruction set and several thread counts bit for bit against the definition of
 * attention.h written out once more here, word by word; against binary64 with a stated bound; a
 * golden hash; special values of its softmax. */
#include <math.h>

#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/numerics.h"
#include "kernels/reduce.h"
#include "sequence_values.h"

/* Digest of what fixed inputs give: it changes only with the version of the numerics. */
#define GOLDEN_ATTENTION UINT64_C(0xee62a74215b2187d)

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Everything that one set of inputs gives. */
struct results {
    float *scores, *probs, *context, *dprobs, *dscores, *dqkv_v, *dqkv_qk;
    int64_t w, qkv, c; /* elements of each kind */
};

static struct results take_results(const struct tdbg_attention *a)
{
    struct results r = {.w = a->rows * a->heads * a->tokens * a->tokens,
                        .qkv = a->rows * a->tokens * (a->heads + 2 * a->kv_heads) * a->dim,
                        .c = a->rows * a->tokens * a->heads * a->dim};
    r.scores = take(r.w);
    r.probs = take(r.w);
    r.dprobs = take(r.w);
    r.dscores = take(r.w);
    r.context = take(r.c);
    r.dqkv_v = take(r.qkv);
    r.dqkv_qk = take(r.qkv);
    return r;
}

static void free_results(struct results *r)
{
    free(r->scores);
    free(r->probs);
    free(r->dprobs);
    free(r->dscores);
    free(r->context);
    free(r->dqkv_v);
    free(r->dqkv_qk);
}

static void run_attention(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                          const float *qkv, const float *dcontext, struct results *r)
{
    const int64_t bytes = (int64_t)tdbg_attention_workspace_bytes(cpu, a);
    void *workspace = take(bytes / 4 + 1);
    tdbg_attention_scores(cpu, a, qkv, r->scores, workspace);
    tdbg_attention_softmax_forward(cpu, a, r->scores, r->probs);
    tdbg_attention_context(cpu, a, r->probs, qkv, r->context, workspace);
    tdbg_attention_context_backward(cpu, a, r->probs, qkv, dcontext, r->dprobs, r->dqkv_v,
                                    workspace);
    tdbg_attention_softmax_backward(cpu, a, r->probs, r->dprobs, r->dscores);
    tdbg_attention_scores_backward(cpu, a, qkv, r->dscores, r->dqkv_qk, workspace);
    free(workspace);
}

/* The strict chain of gemm.h: sum over t of x[t x_t] y[t y_t]. */
static float chain(int64_t k, const float *x, int64_t x_t, const float *y, int64_t y_t)
{
    float sum = 0;
    const struct tdbg_gemm g = {.m = 1,
                                .n = 1,
                                .k = k,
                                .a = x,
                                .lda = x_t,
                                .trans_a = true,
                                .b = y,
                                .ldb = y_t,
                                .c = &sum,
                                .ldc = 1};
    tdbg_gemm_reference(&g);
    return sum;
}

/* Sum of terms by the rule of reduce.h, a term added to its lane as fma(p, dp, lane). */
static float sum_by_lanes(int64_t n, const float *p, const float *dp)
{
    float lane[TDBG_SUM_LANES] = {0};
    assert_true(n <= TDBG_SUM_BLOCK);
    for (int64_t i = 0; i < n; i++)
        lane[i % TDBG_SUM_LANES] = fmaf(p[i], dp ? dp[i] : 1, lane[i % TDBG_SUM_LANES]);
    for (int width = TDBG_SUM_LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    }
    return lane[0];
}

static void softmax_plainly(int64_t seen, int64_t tokens, const float *s, float *p)
{
    float max = -INFINITY;
    for (int64_t j = 0; j < seen; j++)
        max = s[j] > max ? s[j] : max;
    for (int64_t j = 0; j < tokens; j++)
        p[j] = j < seen ? tdbg_strict_expf(s[j] - max) : 0;
    const float sum = sum_by_lanes(seen, p, NULL);
    for (int64_t j = 0; j < seen; j++)
        p[j] = tdbg_strict_canonical(p[j] / sum);
}

/* Where head `head` of token t of sample r begins in a tensor of `width` heads. */
static int64_t place(const struct tdbg_attention *a, int64_t width, int64_t r, int64_t t,
                     int64_t head)
{
    return ((r * a->tokens + t) * width + head) * a->dim;
}

/* All of query i of a head: its row of scores and what follows from it. */
static void query_plainly(const struct tdbg_attention *a, const float *qkv, const float *dcontext,
                          struct results *out, int64_t r, int64_t head, int64_t i)
{
    const int64_t width = a->heads + 2 * a->kv_heads, T = a->tokens, step = width * a->dim;
    const int64_t kv = head / (a->heads / a->kv_heads);
    const float *q = qkv + place(a, width, r, i, head);
    const float *k = qkv + place(a, width, r, 0, a->heads + kv);
    const float *v = qkv + place(a, width, r, 0, a->heads + a->kv_heads + kv);
    const float *dc = dcontext + place(a, a->heads, r, i, head);
    const int64_t row = ((r * a->heads + head) * T + i) * T;
    const int64_t end =
        a->causal ? min_i64(T, (i / TDBG_ATTENTION_BLOCK + 1) * TDBG_ATTENTION_BLOCK) : T;
    int64_t seen = a->causal ? i + 1 : T;
    seen = a->lengths ? min_i64(seen, a->lengths[r]) : seen;
    float *s = out->scores + row, *p = out->probs + row, *dp = out->dprobs + row;
    for (int64_t j = 0; j < T; j++) {
        const bool hidden = a->causal && j > i;
        s[j] = hidden ? 0 : tdbg_strict_canonical(chain(a->dim, q, 1, k + j * step, 1) * a->scale);
        dp[j] = hidden ? 0 : chain(a->dim, dc, 1, v + j * step, 1);
    }
    softmax_plainly(seen, T, s, p);
    const float sum = sum_by_lanes(seen, p, dp);
    float *ds = out->dscores + row;
    for (int64_t j = 0; j < T; j++)
        ds[j] = j < seen ? tdbg_strict_canonical(p[j] * (dp[j] - sum)) : 0;
    for (int64_t d = 0; d < a->dim; d++) {
        out->context[place(a, a->heads, r, i, head) + d] = chain(end, p, 1, v + d, step);
        out->dqkv_qk[place(a, width, r, i, head) + d] =
            tdbg_strict_canonical(chain(end, ds, 1, k + d, step) * a->scale);
    }
}

/* dk and dv of key j of a key head. */
static void key_plainly(const struct tdbg_attention *a, const float *qkv, const float *dcontext,
                        struct results *out, int64_t r, int64_t kv, int64_t j)
{
    const int64_t width = a->heads + 2 * a->kv_heads, T = a->tokens, group = a->heads / a->kv_heads;
    const int64_t begin = a->causal ? j - j % TDBG_ATTENTION_BLOCK : 0;
    for (int64_t d = 0; d < a->dim; d++) {
        float dk = 0, dv = 0;
        for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
            const int64_t column = ((r * a->heads + head) * T + begin) * T + j;
            const float *q = qkv + place(a, width, r, begin, head) + d;
            const float *dc = dcontext + place(a, a->heads, r, begin, head) + d;
            const float one_k = chain(T - begin, out->dscores + column, T, q, width * a->dim);
            const float one_v = chain(T - begin, out->probs + column, T, dc, a->heads * a->dim);
            dk = head == kv * group ? one_k : dk + one_k;
            dv = head == kv * group ? one_v : dv + one_v;
        }
        out->dqkv_qk[place(a, width, r, j, a->heads + kv) + d] =
            tdbg_strict_canonical(dk * a->scale);
        out->dqkv_v[place(a, width, r, j, a->heads + a->kv_heads + kv) + d] =
            tdbg_strict_canonical(dv);
    }
}

static void attention_plainly(const struct tdbg_attention *a, const float *qkv,
                              const float *dcontext, struct results *out)
{
    memset(out->dqkv_qk, 0, (size_t)out->qkv * sizeof(float));
    memset(out->dqkv_v, 0, (size_t)out->qkv * sizeof(float));
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t i = 0; i < a->heads * a->tokens; i++)
            query_plainly(a, qkv, dcontext, out, r, i / a->tokens, i % a->tokens);
        for (int64_t j = 0; j < a->kv_heads * a->tokens; j++)
            key_plainly(a, qkv, dcontext, out, r, j / a->tokens, j % a->tokens);
    }
}

static void compare(const struct tdbg_cpu *cpu, const struct results *got,
                    const struct results *expected)
{
    expect_equal("scores", cpu, got->w, got->scores, expected->scores);
    expect_equal("softmax", cpu, got->w, got->probs, expected->probs);
    expect_equal("context", cpu, got->c, got->context, expected->context);
    expect_equal("dprobs", cpu, got->w, got->dprobs, expected->dprobs);
    expect_equal("dscores", cpu, got->w, got->dscores, expected->dscores);
    expect_equal("dqkv of context", cpu, got->qkv, got->dqkv_v, expected->dqkv_v);
    expect_equal("dqkv of scores", cpu, got->qkv, got->dqkv_qk, expected->dqkv_qk);
}

static void check_attention(struct tdbg_attention a, float by, uint64_t golden)
{
    struct results got = take_results(&a), expected = take_results(&a);
    const bool special = by == 0;
    float *qkv = make_floats(got.qkv, special ? 1 : by, special);
    float *dcontext = make_floats(got.c, 1, special);
    attention_plainly(&a, qkv, dcontext, &expected);
    for (int c = 0; c < cpu_count; c++) {
        run_attention(&cpus[c], &a, qkv, dcontext, &got);
        compare(&cpus[c], &got, &expected);
    }
    if (golden)
        expect_golden("attention",
                      digest(got.context, got.c) ^ digest(got.dqkv_v, got.qkv) ^
                          digest(got.dqkv_qk, got.qkv),
                      golden);
    free_results(&got);
    free_results(&expected);
    free(qkv);
    free(dcontext);
}

static void test_attention(void **state)
{
    (void)state;
    static const int32_t lengths[] = {70, 0, 1};
    random_state = 4;
    check_attention((struct tdbg_attention){2, 70, 4, 2, 16, 0.25f, true, NULL}, 3,
                    GOLDEN_ATTENTION);
    check_attention((struct tdbg_attention){1, 300, 2, 1, 8, 0.5f, true, NULL}, 3, 0);
    check_attention((struct tdbg_attention){1, 290, 2, 2, 8, 1, false, NULL}, 3, 0);
    check_attention((struct tdbg_attention){3, 77, 3, 3, 5, 0.3f, false, lengths}, 3, 0);
    check_attention((struct tdbg_attention){3, 70, 6, 2, 4, 0.3f, true, lengths}, 0, 0);
    check_attention((struct tdbg_attention){5, 40, 2, 2, 6, 0.3f, false, NULL}, 0, 0);
    check_attention((struct tdbg_attention){1, 1, 1, 1, 1, 1, true, NULL}, 3, 0);
    check_attention((struct tdbg_attention){2, 64, 1, 1, 64, 30, true, NULL}, 3, 0); /* steep */
    check_attention((struct tdbg_attention){0, 64, 1, 1, 64, 1, true, NULL}, 3, 0);
}

/* Binary64, one head. Bounds: chains of up to `tokens` terms of size 1 and an exp of 0.7 ULP. */
static void test_attention_binary64(void **state)
{
    (void)state;
    enum { T = 96, D = 16 };
    const struct tdbg_attention a = {1, T, 1, 1, D, 0.25f, true, NULL};
    static double p[T][T], dp[T][T], ds[T][T];
    struct results r = take_results(&a);
    random_state = 5;
    float *qkv = make_floats(r.qkv, 1, false), *dc = make_floats(r.c, 1, false);
    run_attention(&cpus[cpu_count - 1], &a, qkv, dc, &r);
    for (int i = 0; i < T; i++) {
        double sum = 0, dot = 0;
        for (int j = 0; j <= i; j++) {
            double s = 0;
            for (int d = 0; d < D; d++) {
                s += (double)qkv[i * 3 * D + d] * (double)qkv[j * 3 * D + D + d];
                dp[i][j] += (double)dc[i * D + d] * (double)qkv[j * 3 * D + 2 * D + d];
            }
            p[i][j] = exp(s * 0.25);
            sum += p[i][j];
        }
        for (int j = 0; j <= i; j++) {
            p[i][j] /= sum;
            dot += p[i][j] * dp[i][j];
            assert_true(fabs((double)r.probs[i * T + j] - p[i][j]) < 1e-6 * p[i][j]);
        }
        for (int j = 0; j <= i; j++) {
            ds[i][j] = p[i][j] * (dp[i][j] - dot);
            assert_true(fabs((double)r.dscores[i * T + j] - ds[i][j]) < 1e-5 * p[i][j]);
        }
    }
    for (int d = 0; d < D; d++) {
        for (int t = 0; t < T; t++) {
            double context = 0, dq = 0, dk = 0, dv = 0;
            for (int o = 0; o < T; o++) {
                context += p[t][o] * (double)qkv[o * 3 * D + 2 * D + d];
                dq += 0.25 * ds[t][o] * (double)qkv[o * 3 * D + D + d];
                dk += 0.25 * ds[o][t] * (double)qkv[o * 3 * D + d];
                dv += p[o][t] * (double)dc[o * D + d];
            }
            assert_true(fabs((double)r.context[t * D + d] - context) < 1e-5);
            assert_true(fabs((double)r.dqkv_qk[t * 3 * D + d] - dq) < 1e-5);
            assert_true(fabs((double)r.dqkv_qk[t * 3 * D + D + d] - dk) < 1e-5);
            assert_true(fabs((double)r.dqkv_v[t * 3 * D + 2 * D + d] - dv) < 1e-5);
        }
    }
    free_results(&r);
    free(qkv);
    free(dc);
}

/* Rows longer than a block of a sum, and what reduce.h's own function says of them. */
static void test_long_softmax(void **state)
{
    (void)state;
    enum { T = 9000 };
    const int32_t length = 8700;
    const struct tdbg_attention a = {1, T, 1, 1, 1, 1, false, &length};
    float *s = make_floats((int64_t)T * T, 4, false), *p = take((int64_t)T * T), *e = take(T);
    float *ones = take(T), *scratch = take(T);
    tdbg_attention_softmax_forward(&cpus[cpu_count - 1], &a, s, p);
    for (int64_t row = 0; row < T; row += 1777) {
        float max = -INFINITY;
        for (int64_t j = 0; j < length; j++)
            max = s[row * T + j] > max ? s[row * T + j] : max;
        for (int64_t j = 0; j < T; j++)
            e[j] = j < length ? tdbg_strict_expf(s[row * T + j] - max) : 0;
        const float sum = tdbg_reduce_sum(&cpus[0], T, e, scratch); /* with the masked as +0 */
        assert_true(sum == tdbg_reduce_sum(&cpus[0], length, e, scratch)); /* or left out */
        for (int64_t j = 0; j < T; j++)
            e[j] = e[j] / sum;
        expect_equal("long softmax", &cpus[cpu_count - 1], T, p + row * T, e);
    }
    free(s);
    free(p);
    free(e);
    free(ones);
    free(scratch);
}

static void softmax_of(const uint32_t *bits, uint32_t *out)
{
    enum { T = 4 };
    static const struct tdbg_attention a = {1, T, 1, 1, 1, 1, false, NULL};
    float s[T * T], p[T * T];
    for (int i = 0; i < T * T; i++)
        s[i] = tdbg_strict_float(bits[i % T]);
    for (int c = 0; c < cpu_count; c++) {
        tdbg_attention_softmax_forward(&cpus[c], &a, s, p);
        for (int i = 0; i < T; i++) {
            assert_true(c == 0 || out[i] == tdbg_strict_bits(p[i]));
            out[i] = tdbg_strict_bits(p[i]);
        }
    }
}

static void test_softmax_values(void **state)
{
    (void)state;
    enum { INF = 0x7f800000, MINUS_INF = 0xff800000u, NOT = 0x7fc00000, ONE = 0x3f800000 };
    static const uint32_t in[][4] = {{0, 0, MINUS_INF, MINUS_INF},
                                     {0, 0xffc54321, 0, 0},
                                     {INF, 0, 0, 0},
                                     {MINUS_INF, MINUS_INF, MINUS_INF, MINUS_INF},
                                     {0x7f7fffff, 0xff7fffff, 0, 0x80000000}};
    static const uint32_t expected[][4] = {{0x3f000000, 0x3f000000, 0, 0},
                                           {NOT, NOT, NOT, NOT},
                                           {NOT, NOT, NOT, NOT},
                                           {NOT, NOT, NOT, NOT},
                                           {ONE, 0, 0, 0}};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        uint32_t out[4];
        softmax_of(in[i], out);
        assert_memory_equal(out, expected[i], sizeof out);
    }
}

/* The short form of exp that the softmax uses where it may. */
static void test_near_exp(void **state)
{
    (void)state;
    for (uint32_t u = 0; u <= 0x42b00000; u += 997) { /* 0 to 88 */
        const float x = tdbg_strict_float(u);
        assert_int_equal(tdbg_strict_bits(tdbg_strict_expf_near(x)),
                         tdbg_strict_bits(tdbg_strict_expf(x)));
        if (x <= 87)
            assert_int_equal(tdbg_strict_bits(tdbg_strict_expf_near(-x)),
                             tdbg_strict_bits(tdbg_strict_expf(-x)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),    cmocka_unit_test(test_attention_binary64),
        cmocka_unit_test(test_long_softmax), cmocka_unit_test(test_softmax_values),
        cmocka_unit_test(test_near_exp),
    };
    return cmocka_run_group_tests(tests, find_cpus, NULL);
}
