/* The strict matrix product against its reference, bit for bit: random shapes and their edges, all
 * layouts, special values, every instruction set that runs here, several thread counts. */
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

#include "kernels/fma_portable.h"
#include "kernels/gemm.h"
#include "every_cpu.h"

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static const uint32_t special_bits[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000,
    0x80800000, 0x3f800000, 0xbf800000, 0x3f800001, 0x3f7fffff, 0x7f7fffff, 0xff7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0x34000000, 0x1f800000,
};
enum { SPECIALS = sizeof special_bits / sizeof *special_bits };

/* How operands are filled. */
enum fill { PLAIN, TINY, WITH_SPECIALS, FILLS };

static float random_value(enum fill fill)
{
    float plain = (float)(int32_t)random_u32() * 0x1p-31f;
    if (fill == TINY) /* products and sums are denormal */
        return plain * 0x1p-70f;
    if (fill == WITH_SPECIALS && random_below(40) == 0)
        return from_bits(special_bits[random_below(SPECIALS)]);
    return plain;
}

/* ---- one product on every cpu ---- */

struct dims {
    int64_t m, n, k, extra; /* extra: how much longer than a row the strides are */
    bool trans_a, trans_b, bias;
};

/* Exactly as many floats as the operand spans, so that a sanitizer sees reads behind it; starts
 * aligned to no more than a float. */
static float *make_operand(int64_t rows, int64_t row_elems, int64_t stride, enum fill fill,
                           void **to_free)
{
    int64_t count = rows == 0 || row_elems == 0 ? 0 : (rows - 1) * stride + row_elems;
    float *x = malloc((size_t)(count + 1) * sizeof *x);
    assert_non_null(x);
    *to_free = x;
    for (int64_t i = 0; i <= count; i++)
        x[i] = random_value(fill);
    return x + 1;
}

static void run_on(const struct tdbg_cpu *cpu, struct tdbg_gemm g, float *c)
{
    size_t bytes = tdbg_gemm_workspace_bytes(cpu, &g);
    void *workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    assert_true(bytes == 0 || workspace);
    if (workspace)
        memset(workspace, 0xff, bytes);
    g.c = c;
    tdbg_gemm_run(cpu, &g, workspace);
    free(workspace);
}

static void compare(const struct tdbg_cpu *cpu, const struct dims *d, const float *got,
                    const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (to_bits(got[i]) == to_bits(expected[i]))
            continue;
        fail_msg("m %d n %d k %d extra %d op %c%c bias %d on %s with %d threads: element %d is "
                 "%08x, not %08x",
                 (int)d->m, (int)d->n, (int)d->k, (int)d->extra, d->trans_a ? 'T' : 'N',
                 d->trans_b ? 'T' : 'N', d->bias, tdbg_isa_text(cpu->isa), cpu->threads, (int)i,
                 to_bits(got[i]), to_bits(expected[i]));
    }
}

static void check(const struct dims *d, enum fill fill)
{
    void *a, *b, *bias;
    struct tdbg_gemm g = {.m = d->m, .n = d->n, .k = d->k};
    g.trans_a = d->trans_a;
    g.trans_b = d->trans_b;
    int64_t a_row = d->trans_a ? d->m : d->k, b_row = d->trans_b ? d->k : d->n;
    g.lda = a_row + d->extra;
    g.ldb = b_row + 2 * d->extra;
    g.ldc = d->n + 3 * d->extra;
    g.a = make_operand(d->trans_a ? d->k : d->m, a_row, g.lda, fill, &a);
    g.b = make_operand(d->trans_b ? d->n : d->k, b_row, g.ldb, fill, &b);
    const float *bias_values = make_operand(1, d->n, d->n, fill, &bias);
    g.bias = d->bias ? bias_values : NULL;

    size_t count = (size_t)(d->m * g.ldc);
    float *expected = malloc(count * sizeof(float) + 1), *got = malloc(count * sizeof(float) + 1);
    assert_non_null(expected);
    assert_non_null(got);
    memset(expected, 0xa5, count * sizeof(float)); /* cells beyond a row must stay like this */
    g.c = expected;
    tdbg_gemm_reference(&g);
    for (int i = 0; i < cpu_count; i++) {
        memset(got, 0xa5, count * sizeof(float));
        run_on(&cpus[i], g, got);
        compare(&cpus[i], d, got, expected, count);
    }
    free(a);
    free(b);
    free(bias);
    free(expected);
    free(got);
}

/* ---- tests ---- */

static const int64_t edges[] = {0, 1, 2, 3, 7, 8, 13, 14, 15, 16, 17, 31, 32, 33, 64, 65, 100, 130};
static const int64_t depths[] = {0, 1, 2, 3, 7, 13, 64, 255, 256, 257, 300, 511, 513};
enum { EDGES = sizeof edges / sizeof *edges, DEPTHS = sizeof depths / sizeof *depths };

static struct dims random_dims(void)
{
    struct dims d = {.m = edges[random_below(EDGES)], .n = edges[random_below(EDGES)]};
    d.k = depths[random_below(DEPTHS)];
    uint32_t bits = random_u32();
    d.extra = bits & 16 ? random_below(9) : 0;
    d.trans_a = bits & 32;
    d.trans_b = bits & 64;
    d.bias = bits & 128;
    return d;
}

static void small_shapes_match(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        struct dims d = random_dims();
        check(&d, i % FILLS);
    }
}

/* Every number of rows and columns of a register tile, in every layout. */
static void every_tile_matches(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 17; m++) {
        for (int64_t n = 1; n <= 34; n++) {
            struct dims d = {.m = m, .n = n, .k = 1 + random_below(19), .extra = n & 1};
            d.trans_a = random_u32() >> 31;
            d.trans_b = random_u32() >> 31;
            d.bias = random_u32() >> 31;
            check(&d, PLAIN);
        }
    }
}

/* Large enough for packing, several blocks of rows and columns, and threads. */
static void large_shapes_match(void **state)
{
    static const struct dims large[] = {
        {300, 200, 257, 0, false, false, true}, {300, 200, 130, 0, true, true, false},
        {64, 256, 784, 0, false, true, true},   {200, 10, 300, 1, false, true, true},
        {256, 784, 64, 0, true, false, false},  {30, 1100, 300, 0, false, false, false},
        {500, 40, 270, 0, false, false, false}, {20, 300, 1024, 0, false, true, true},
        {200, 1, 300, 0, false, false, true},   {1, 500, 300, 0, false, true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check(&large[i], i % 2 ? PLAIN : WITH_SPECIALS);
}

/* A bit that moves in the reference and in the kernels alike is seen here. */
static void golden_hash_stands(void **state)
{
    enum { M = 37, N = 41, K = 600 };
    static float a[M * K], b[K * N], c[M * N];
    (void)state;
    random_state = 42;
    for (int i = 0; i < M * K; i++)
        a[i] = random_value(PLAIN);
    for (int i = 0; i < K * N; i++)
        b[i] = random_value(i % 3 ? PLAIN : TINY);
    struct tdbg_gemm g = {.m = M, .n = N, .k = K, .a = a, .lda = K, .b = b, .ldb = N};
    g.ldc = N;
    run_on(&cpus[0], g, c);
    assert_int_equal(hash_floats(c, M * N), UINT64_C(0x37458f07c2b49da5));
}

static void signs_of_zero_and_nan(void **state)
{
    float nan = from_bits(0xffc12345), a[2] = {-0.0f, 1.0f}, b[2] = {1.0f, -0.0f};
    float c, minus_zero = -0.0f;
    struct tdbg_gemm g = {.m = 1, .n = 1, .k = 2, .a = a, .lda = 2, .b = b, .ldb = 1, .ldc = 1};
    (void)state;
    for (int i = 0; i < cpu_count; i++) {
        g.bias = NULL;
        g.k = 2;
        run_on(&cpus[i], g, &c); /* the chain starts from +0 */
        assert_int_equal(to_bits(c), 0x00000000);
        g.bias = &minus_zero;
        g.k = 0;
        run_on(&cpus[i], g, &c);
        assert_int_equal(to_bits(c), 0x00000000);
        g.bias = &nan;
        run_on(&cpus[i], g, &c);
        assert_int_equal(to_bits(c), 0x7fc00000);
        g.k = 1;
        run_on(&cpus[i], g, &c);
        assert_int_equal(to_bits(c), 0x7fc00000);
    }
}

/* ---- the emulated fused multiply-add ---- */

static void assert_fma(float a, float b, float c)
{
    float expected = fmaf(a, b, c), got = tdbg_fma_emulated(a, b, c);
    if (to_bits(expected) == to_bits(got) || (isnan(expected) && isnan(got)))
        return;
    fail_msg("fma(%a, %a, %a) is %a, not %a", (double)a, (double)b, (double)c, (double)got,
             (double)expected);
}

static float random_operand(void)
{
    uint32_t bits = random_u32();
    switch (random_below(5)) {
    case 0: /* any */
        return from_bits(bits);
    case 1: /* of about the same size, so that sums are close */
        return from_bits((bits & 0x807fffff) | (uint32_t)(110 + random_below(30)) << 23);
    case 2: /* few bits, so that ties occur */
        return from_bits(bits & (0xff800000u | 0x007fffffu << random_below(23)));
    case 3: /* denormal */
        return from_bits((bits & 0x80000000) | (bits & 0x007fffff) >> random_below(23));
    default: /* a special value and its neighbours */
        return from_bits(special_bits[random_below(SPECIALS)] + (uint32_t)random_below(5) - 2);
    }
}

static void emulated_fma_matches(void **state)
{
    (void)state;
    for (int i = 0; i < SPECIALS; i++)
        for (int j = 0; j < SPECIALS; j++)
            for (int l = 0; l < SPECIALS; l++)
                assert_fma(from_bits(special_bits[i]), from_bits(special_bits[j]),
                           from_bits(special_bits[l]));
    for (int i = 0; i < 3000000; i++) {
        float a = random_operand(), b = random_operand(), c = random_operand();
        if (i % 3 == 0) /* cancels but for a few last bits, at any distance */
            c = from_bits(to_bits(-(a * b)) + (uint32_t)random_below(5) - 2);
        if (i % 6 == 0)
            c *= from_bits(0x3f800000u + ((uint32_t)random_below(56) - 28u) * 0x00800000u);
        assert_fma(a, b, c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_shapes_match),    cmocka_unit_test(every_tile_matches),
        cmocka_unit_test(large_shapes_match),    cmocka_unit_test(golden_hash_stands),
        cmocka_unit_test(signs_of_zero_and_nan), cmocka_unit_test(emulated_fma_matches),
    };
    return cmocka_run_group_tests(tests, find_cpus, NULL);
}
