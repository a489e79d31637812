/* Conversions of base/array.h: every element type, either byte order. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/array.h"

enum { N = 6 };

/* Writes values as elements of the type, in the given byte order, one byte off alignment. */
static struct tdbg_array make(enum tdbg_elem elem, bool swapped, const double *values,
                              unsigned char *room)
{
    const size_t width = tdbg_elem_bytes(elem);
    for (int i = 0; i < N; i++) {
        unsigned char raw[8] = {0}, *to = room + 1 + (size_t)i * width;
        const int64_t whole = (int64_t)values[i];
        if (elem == TDBG_ELEM_F32) {
            const float f = (float)values[i];
            memcpy(raw, &f, sizeof f);
        } else if (elem == TDBG_ELEM_F64) {
            memcpy(raw, &values[i], 8);
        } else {
            memcpy(raw, &whole, 8); /* the low bytes come first */
        }
        for (size_t b = 0; b < width; b++)
            to[b] = raw[swapped ? width - 1 - b : b];
    }
    return (struct tdbg_array){
        .elem = elem, .swapped = swapped, .ndim = 1, .dims = {N}, .data = room + 1};
}

static void test_every_type(void **state)
{
    (void)state;
    static const double plain[N] = {0, 1, 2, 100, 7, 3}, negative[N] = {0, -1, 100, -128, 127, -3};
    for (int e = 0; e < TDBG_ELEM_COUNT; e++) {
        const enum tdbg_elem elem = (enum tdbg_elem)e;
        if (elem == TDBG_ELEM_F16 || elem == TDBG_ELEM_BF16)
            continue;
        const bool sign = tdbg_elem_is_float(elem) || tdbg_elem_text(elem)[0] == 'i';
        for (int swapped = 0; swapped < 2; swapped++) {
            unsigned char room[N * 8 + 1];
            const double *values = sign ? negative : plain;
            struct tdbg_array a = make(elem, swapped, values, room);
            float f[N];
            int64_t n[N];
            tdbg_array_to_f32(&a, 0, N, f);
            tdbg_array_to_i64(&a, 1, N - 1, n);
            for (int i = 0; i < N; i++) {
                const double want = elem == TDBG_ELEM_BOOL ? values[i] != 0 : values[i];
                assert_true((double)f[i] == want);
                assert_true(i == 0 || n[i - 1] == (int64_t)want);
            }
        }
    }
}

static void test_halves(void **state)
{
    (void)state;
    /* 1, -2, 0.5, smallest denormal, Inf, NaN */
    static const uint16_t f16[N] = {0x3c00, 0xc000, 0x3800, 0x0001, 0x7c00, 0x7e00};
    static const uint16_t bf16[N] = {0x3f80, 0xc000, 0x3f00, 0x0001, 0x7f80, 0x7fc0};
    for (int k = 0; k < 2; k++) {
        float f[N];
        int64_t n[N];
        const struct tdbg_array a = {.elem = k ? TDBG_ELEM_BF16 : TDBG_ELEM_F16,
                                     .ndim = 1,
                                     .dims = {N},
                                     .data = (const void *)(k ? bf16 : f16)};
        tdbg_array_to_f32(&a, 0, N, f);
        tdbg_array_to_i64(&a, 0, N, n);
        assert_true(f[0] == 1 && f[1] == -2 && f[2] == 0.5f && isinf(f[4]) && isnan(f[5]));
        assert_true(f[3] == (k ? 0x1p-133f : 0x1p-24f));
        assert_true(n[0] == 1 && n[1] == -2 && n[2] == INT64_MIN && n[5] == INT64_MIN);
    }
}

static void test_not_whole(void **state)
{
    (void)state;
    static const double values[N] = {0.5, 1e30, -1e30, 3, (double)INFINITY, (double)NAN};
    static const uint64_t large = UINT64_MAX;
    const struct tdbg_array a = {.elem = TDBG_ELEM_F64, .data = (const void *)values};
    const struct tdbg_array u = {.elem = TDBG_ELEM_U64, .data = (const void *)&large};
    int64_t n[N];
    tdbg_array_to_i64(&a, 0, N, n);
    for (int i = 0; i < N; i++)
        assert_true(n[i] == (i == 3 ? 3 : INT64_MIN));
    tdbg_array_to_i64(&u, 0, 1, n);
    assert_true(n[0] == INT64_MIN);
}

static void test_no_file(void **state)
{
    (void)state;
    void *map;
    size_t bytes;
    assert_int_equal(tdbg_file_map("/nonexistent", &map, &bytes, NULL), TDBG_DATA);
    assert_int_equal(tdbg_file_map("/", &map, &bytes, NULL), TDBG_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_not_whole),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
