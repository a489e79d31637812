/* Embedding and positions: every instruction set and several thread counts bit for bit against the
 * definitions of the headers written out once more here, word by word; against binary64 with a
 * stated bound; golden hashes; special values. Attention is in test_attention.c. */
#include <math.h>

#include "kernels/embedding.h"
#include "kernels/host_math.h"
#include "kernels/position.h"
#include "kernels/reduce.h"
#include "sequence_values.h"

/* Digests of what fixed inputs give: they change only with the version of the numerics. */
#define GOLDEN_EMBEDDING  UINT64_C(0xe42ae3f242472e07)
#define GOLDEN_SINUSOIDAL UINT64_C(0xb3eb140bc6c0e0fe)
#define GOLDEN_ROTARY     UINT64_C(0x351480b6e271aaff)

/* ---- host functions ---- */

static void test_host_sin_cos(void **state)
{
    (void)state;
    for (int i = 0; i <= 100000; i++) {
        const double a = (i - 50000) * 19.7;
        double sin_a, cos_a;
        tdbg_host_sin_cos(a, &sin_a, &cos_a);
        assert_true(fabs(sin_a - sin(a)) < 1e-15 && fabs(cos_a - cos(a)) < 1e-15);
    }
}

/* ---- embedding ---- */

static struct tdbg_embedding make_embedding(int64_t vocab, int64_t dim, int64_t n, int64_t padding)
{
    int32_t *tokens = malloc((size_t)n * sizeof *tokens + 1);
    assert_non_null(tokens);
    for (int64_t p = 0; p < n; p++) /* half of them are token 1, some rows have none */
        tokens[p] = (int32_t)(random_u32() % 2 ? vocab > 1 : random_u32() % vocab / 2 * 2);
    return (struct tdbg_embedding){vocab, dim, n, tokens, padding};
}

static void check_embedding(int64_t vocab, int64_t dim, int64_t n, int64_t padding, uint64_t golden)
{
    const struct tdbg_embedding e = make_embedding(vocab, dim, n, padding);
    const bool special = golden == 0;
    float *table = make_floats(vocab * dim, 2, special), *dy = make_floats(n * dim, 2, special);
    float *y = take(n * dim), *dtable = take(vocab * dim), *rows = take(n * dim);
    float *expected_y = take(n * dim), *expected = take(vocab * dim);
    void *workspace = take((int64_t)tdbg_embedding_workspace_bytes(&e) / 4 + 1);
    assert_int_equal(tdbg_embedding_find_bad(&e), -1);
    for (int64_t i = 0; i < n * dim; i++)
        expected_y[i] = tdbg_strict_canonical(table[e.tokens[i / dim] * dim + i % dim]);
    for (int64_t v = 0; v < vocab; v++) { /* reduce_rows over the rows that hold v */
        int64_t count = 0;
        for (int64_t p = 0; p < n; p++) {
            if (e.tokens[p] == v && v != padding)
                memcpy(rows + count++ * dim, dy + p * dim, (size_t)dim * sizeof *rows);
        }
        tdbg_reduce_rows(&cpus[0], count, dim, rows, expected + v * dim);
    }
    for (int c = 0; c < cpu_count; c++) {
        tdbg_embedding_forward(&cpus[c], &e, table, y);
        expect_equal("embedding", &cpus[c], n * dim, y, expected_y);
        tdbg_embedding_backward(&cpus[c], &e, dy, dtable, workspace);
        expect_equal("embedding backward", &cpus[c], vocab * dim, dtable, expected);
    }
    if (golden)
        expect_golden("embedding backward", digest(dtable, vocab * dim), golden);
    free((void *)(uintptr_t)e.tokens);
    free(table);
    free(dy);
    free(y);
    free(dtable);
    free(rows);
    free(expected_y);
    free(expected);
    free(workspace);
}

static void test_embedding(void **state)
{
    (void)state;
    random_state = 1;
    check_embedding(50, 96, 3000, -1, GOLDEN_EMBEDDING);
    check_embedding(50, 96, 3000, 1, 0);
    check_embedding(1, 64, 700, -1, 0);
    check_embedding(7, 1, 3, 0, 0);
    check_embedding(3000, 200, 900, -1, 0);
    check_embedding(20, 130, 0, -1, 0);
}

static void test_bad_token(void **state)
{
    (void)state;
    const int32_t tokens[] = {0, 4, 5, -1};
    struct tdbg_embedding e = {.vocab = 5, .dim = 1, .n = 2, .tokens = tokens, .padding_idx = -1};
    assert_int_equal(tdbg_embedding_find_bad(&e), -1);
    e.n = 4;
    assert_int_equal(tdbg_embedding_find_bad(&e), 2);
    e.vocab = 6;
    assert_int_equal(tdbg_embedding_find_bad(&e), 3);
}

/* ---- positions ---- */

static void check_sinusoidal(int64_t tokens, int64_t dim, const float *table)
{
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t d = 0; d < dim; d++) {
            double angle = (double)t / pow(10000, (double)(d / 2 * 2) / (double)dim);
            double exact = d % 2 ? cos(angle) : sin(angle);
            /* half an ULP, and what the angle loses: 2^-52 of it a few times */
            assert_true(fabs((double)table[t * dim + d] - exact) <=
                        fabs(exact) * 0x1.01p-25 + angle * 0x1p-50 + 0x1p-54 + 0x1p-26);
        }
    }
}

static void test_sinusoidal(void **state)
{
    (void)state;
    enum { TOKENS = 700, DIM = 34 };
    float *table = take(TOKENS * DIM);
    tdbg_position_sinusoidal(TOKENS, DIM, table);
    check_sinusoidal(TOKENS, DIM, table);
    expect_golden("sinusoidal", digest(table, TOKENS * DIM), GOLDEN_SINUSOIDAL);
    for (int64_t d = 0; d < DIM; d++)
        assert_true(table[d] == (float)(d % 2));
    tdbg_position_sinusoidal(9, 5, table); /* an odd width ends with a sine */
    check_sinusoidal(9, 5, table);
    free(table);
}

static void check_position_add(int64_t rows, int64_t n, bool special)
{
    float *x = make_floats(rows * n, 2, special), *table = make_floats(n, 2, special);
    float *y = take(rows * n), *expected = take(rows * n);
    for (int64_t i = 0; i < rows * n; i++)
        expected[i] = tdbg_strict_canonical(x[i] + table[i % n]);
    for (int c = 0; c < cpu_count; c++) {
        tdbg_position_add(&cpus[c], rows, n, x, table, y);
        expect_equal("position_add", &cpus[c], rows * n, y, expected);
        memcpy(y, x, (size_t)(rows * n) * sizeof *y);
        tdbg_position_add(&cpus[c], rows, n, y, table, y);
        expect_equal("position_add in place", &cpus[c], rows * n, y, expected);
    }
    free(x);
    free(table);
    free(y);
    free(expected);
}

static void test_position_add(void **state)
{
    (void)state;
    random_state = 2;
    check_position_add(1, 1, false);
    check_position_add(37, 1003, true);
    check_position_add(3, 40000, true);
}

static void rotate_plainly(const struct tdbg_rotary *r, float sign, const float *x, float *y)
{
    const int64_t heads = r->turned + r->kept, half = r->dim / 2;
    for (int64_t i = 0; i < r->rows * r->tokens * heads * r->dim; i++) {
        const int64_t d = i % r->dim, head = i / r->dim % heads;
        const int64_t t = i / (r->dim * heads) % r->tokens;
        const float c = r->cos[t * half + d % half], s = sign * r->sin[t * half + d % half];
        float v = x[i];
        if (head < r->turned && d < half)
            v = fmaf(-x[i + half], s, x[i] * c);
        else if (head < r->turned)
            v = fmaf(x[i - half], s, x[i] * c);
        y[i] = tdbg_strict_canonical(v);
    }
}

static void check_rotary(struct tdbg_rotary r, uint64_t golden)
{
    const int64_t n = r.rows * r.tokens * (r.turned + r.kept) * r.dim;
    float *cos_table = take(r.tokens * r.dim / 2), *sin_table = take(r.tokens * r.dim / 2);
    float *x = make_floats(n, 2, golden == 0), *y = take(n), *back = take(n), *expected = take(n);
    tdbg_position_rotary_table(r.tokens, r.dim, 10000, cos_table, sin_table);
    for (int64_t i = 0; i < r.tokens * r.dim / 2; i++) {
        const double t = (double)(i / (r.dim / 2)), pair = (double)(i % (r.dim / 2));
        const double angle = t / pow(10000, 2 * pair / (double)r.dim);
        assert_true(fabs((double)cos_table[i] - cos(angle)) <= 0x1.01p-25 + angle * 0x1p-50);
        assert_true(fabs((double)sin_table[i] - sin(angle)) <= 0x1.01p-25 + angle * 0x1p-50);
    }
    r.cos = cos_table;
    r.sin = sin_table;
    for (int inverse = 0; inverse < 2; inverse++) {
        rotate_plainly(&r, inverse ? -1 : 1, x, expected);
        for (int c = 0; c < cpu_count; c++) {
            tdbg_position_rotate(&cpus[c], &r, inverse, x, y);
            expect_equal("rotary", &cpus[c], n, y, expected);
            memcpy(y, x, (size_t)n * sizeof *y);
            tdbg_position_rotate(&cpus[c], &r, inverse, y, y);
            expect_equal("rotary in place", &cpus[c], n, y, expected);
        }
    }
    if (golden) {
        expect_golden("rotary backward", digest(y, n), golden);
        tdbg_position_rotate(&cpus[0], &r, false, y, back); /* there and back again */
        for (int64_t i = 0; i < n; i++)
            assert_true(fabs((double)back[i] - (double)x[i]) < 0x1p-20);
    }
    free(cos_table);
    free(sin_table);
    free(x);
    free(y);
    free(back);
    free(expected);
}

static void test_rotary(void **state)
{
    (void)state;
    random_state = 3;
    check_rotary((struct tdbg_rotary){2, 65, 6, 2, 32, NULL, NULL}, GOLDEN_ROTARY);
    check_rotary((struct tdbg_rotary){3, 5, 1, 0, 2, NULL, NULL}, 0);
    check_rotary((struct tdbg_rotary){1, 300, 3, 1, 22, NULL, NULL}, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_sin_cos), cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_bad_token),    cmocka_unit_test(test_sinusoidal),
        cmocka_unit_test(test_position_add), cmocka_unit_test(test_rotary),
    };
    return cmocka_run_group_tests(tests, find_cpus, NULL);
}
