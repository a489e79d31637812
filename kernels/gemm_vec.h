/* The vector operations that gemm_cpu.c and conv2d_cpu.c are written in, for the instruction set
 * they are being compiled for, and the size of that one's register tile. For these two alone.
 *
 *     LANES            floats in a vec
 *     MR, NR           rows and columns of a register tile
 *     BY_FOURS         whether to unroll the tile's loop over k
 *     v_mask(n)        the first n lanes, 0 < n <= LANES (a larger n counts as LANES)
 *     v_load_part      lanes outside of the mask are not read and give +0
 *     v_canonical      NaN becomes 0x7fc00000
 *     v_test           adds "no lane of a or b is NaN" to a test begun with v_test_start
 *     v_load_turned    b[t] lane l = x[l][first + t], LANES by LANES
 *     v_load_turned_part  b[t] lane l = x[l][first + t] for t < cols only
 */
#ifndef TDBG_KERNELS_GEMM_VEC_H
#define TDBG_KERNELS_GEMM_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(TDBG_ISA_AVX512)

#include <immintrin.h>

#define GEMM_ISA         tdbg_gemm_isa_avx512
#define PRAGMA(x)        _Pragma(#x)
#define UNROLL(n)        PRAGMA(GCC unroll n)
#define FOR_EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
enum { LANES = 16, MR = 14, NR = 32, BY_FOURS = 1 };
typedef __m512 vec;
typedef __mmask16 vmask;
typedef __mmask16 vtest;

static inline vmask v_mask(int n)
{
    return (vmask)(n >= LANES ? 0xffff : (1 << n) - 1);
}

static inline vec v_zero(void)
{
    return _mm512_setzero_ps();
}

static inline vec v_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline vec v_load(const float *x)
{
    return _mm512_loadu_ps(x);
}

static inline vec v_load_part(const float *x, vmask mask)
{
    return _mm512_maskz_loadu_ps(mask, x);
}

static inline void v_store(float *x, vec v)
{
    _mm512_storeu_ps(x, v);
}

static inline void v_store_part(float *x, vec v, vmask mask)
{
    _mm512_mask_storeu_ps(x, mask, v);
}

static inline vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b)); /* in place: no copies */
    return c;
}

static inline vec v_canonical(vec v)
{
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_castsi512_ps(_mm512_mask_set1_epi32(_mm512_castps_si512(v), nan, 0x7fc00000));
}

static inline vtest v_test_start(void)
{
    return 0xffff;
}

static inline vtest v_test(vtest test, vec a, vec b)
{
    return _mm512_mask_cmp_ps_mask(test, a, b, _CMP_ORD_Q);
}

static inline bool v_test_passed(vtest test)
{
    return test == 0xffff;
}

/* Four columns by 16 rows: the loads put rows l, l+4, l+8, l+12 side by side, so that only the two
 * steps inside 128-bit parts need the shuffle unit. */
static inline __attribute__((always_inline)) void turn_four(vec *b, vec r0, vec r1, vec r2, vec r3)
{
    __m512d a0 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
    __m512d a1 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
    __m512d a2 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
    __m512d a3 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
    b[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a0, a1));
    b[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a0, a1));
    b[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(a2, a3));
    b[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(a2, a3));
}

static inline __attribute__((always_inline)) vec join_four(__m128 a, __m128 b, __m128 c, __m128 d)
{
    __m512 v = _mm512_insertf32x4(_mm512_castps128_ps512(a), b, 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(v, c, 2), d, 3);
}

static inline __attribute__((always_inline)) vec load_four(const float *const *x, int64_t t)
{
    return join_four(_mm_loadu_ps(x[0] + t), _mm_loadu_ps(x[4] + t), _mm_loadu_ps(x[8] + t),
                     _mm_loadu_ps(x[12] + t));
}

static inline __attribute__((always_inline)) void v_load_turned(vec *b, const float *const *x,
                                                                int64_t first)
{
    UNROLL(4)
    for (int t = 0; t < LANES; t += 4)
        turn_four(b + t, load_four(x, first + t), load_four(x + 1, first + t),
                  load_four(x + 2, first + t), load_four(x + 3, first + t));
}

static inline __attribute__((always_inline)) vec load_four_part(const float *const *x, int64_t t,
                                                                __mmask8 mask)
{
    return join_four(_mm_maskz_loadu_ps(mask, x[0] + t), _mm_maskz_loadu_ps(mask, x[4] + t),
                     _mm_maskz_loadu_ps(mask, x[8] + t), _mm_maskz_loadu_ps(mask, x[12] + t));
}

static inline __attribute__((always_inline)) void v_load_turned_part(vec *b, const float *const *x,
                                                                     int64_t first, int cols)
{
    UNROLL(4)
    for (int t = 0; t < LANES; t += 4) {
        __mmask8 mask = (__mmask8)(cols - t >= 4 ? 15 : cols <= t ? 0 : (1 << (cols - t)) - 1);
        turn_four(b + t, load_four_part(x, first + t, mask), load_four_part(x + 1, first + t, mask),
                  load_four_part(x + 2, first + t, mask), load_four_part(x + 3, first + t, mask));
    }
}

#elif defined(TDBG_ISA_AVX2)

#include <immintrin.h>

#define GEMM_ISA         tdbg_gemm_isa_avx2
#define PRAGMA(x)        _Pragma(#x)
#define UNROLL(n)        PRAGMA(GCC unroll n)
#define FOR_EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
enum { LANES = 8, MR = 6, NR = 16, BY_FOURS = 1 };
typedef __m256 vec;
typedef __m256i vmask;
typedef __m256 vtest;

static inline vmask v_mask(int n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}

static inline vec v_zero(void)
{
    return _mm256_setzero_ps();
}

static inline vec v_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline vec v_load(const float *x)
{
    return _mm256_loadu_ps(x);
}

static inline vec v_load_part(const float *x, vmask mask)
{
    return _mm256_maskload_ps(x, mask);
}

static inline void v_store(float *x, vec v)
{
    _mm256_storeu_ps(x, v);
}

static inline void v_store_part(float *x, vec v, vmask mask)
{
    _mm256_maskstore_ps(x, mask, v);
}

static inline vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec v_fma(vec a, vec b, vec c)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "x"(b)); /* in place: no copies */
    return c;
}

static inline vec v_canonical(vec v)
{
    vec canonical = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
    return _mm256_blendv_ps(v, canonical, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static inline vtest v_test_start(void)
{
    return _mm256_castsi256_ps(_mm256_set1_epi32(-1));
}

static inline vtest v_test(vtest test, vec a, vec b)
{
    return _mm256_and_ps(test, _mm256_cmp_ps(a, b, _CMP_ORD_Q));
}

static inline bool v_test_passed(vtest test)
{
    return _mm256_movemask_ps(test) == 0xff;
}

/* Four columns by 8 rows: a load puts rows l and l+4 side by side. */
static inline __attribute__((always_inline)) void turn_four(vec *b, vec r0, vec r1, vec r2, vec r3)
{
    __m256d a0 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
    __m256d a1 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    __m256d a2 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    __m256d a3 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    b[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a0, a1));
    b[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a0, a1));
    b[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(a2, a3));
    b[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(a2, a3));
}

static inline __attribute__((always_inline)) vec load_two(const float *const *x, int64_t t)
{
    __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(x[0] + t));
    return _mm256_insertf128_ps(low, _mm_loadu_ps(x[4] + t), 1);
}

static inline __attribute__((always_inline)) void v_load_turned(vec *b, const float *const *x,
                                                                int64_t first)
{
    UNROLL(2)
    for (int t = 0; t < LANES; t += 4)
        turn_four(b + t, load_two(x, first + t), load_two(x + 1, first + t),
                  load_two(x + 2, first + t), load_two(x + 3, first + t));
}

static inline __attribute__((always_inline)) vec load_two_part(const float *const *x, int64_t t,
                                                               __m128i mask)
{
    __m256 low = _mm256_castps128_ps256(_mm_maskload_ps(x[0] + t, mask));
    return _mm256_insertf128_ps(low, _mm_maskload_ps(x[4] + t, mask), 1);
}

static inline __attribute__((always_inline)) void v_load_turned_part(vec *b, const float *const *x,
                                                                     int64_t first, int cols)
{
    UNROLL(2)
    for (int t = 0; t < LANES; t += 4) {
        __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(cols - t), _mm_setr_epi32(0, 1, 2, 3));
        turn_four(b + t, load_two_part(x, first + t, mask), load_two_part(x + 1, first + t, mask),
                  load_two_part(x + 2, first + t, mask), load_two_part(x + 3, first + t, mask));
    }
}

#else

#include "kernels/fma_portable.h"

#define GEMM_ISA tdbg_gemm_isa_portable
#define UNROLL(n)
#define FOR_EACH_ROWS(X) X(1) X(2) X(3) X(4)
enum { LANES = 4, MR = 4, NR = 8, BY_FOURS = 0 };
typedef struct {
    float x[LANES];
} vec;
typedef int vmask;
typedef bool vtest;

static inline vmask v_mask(int n)
{
    return n < LANES ? n : LANES;
}

static inline vec v_zero(void)
{
    return (vec){{0}};
}

static inline vec v_set1(float x)
{
    vec v;
    for (int l = 0; l < LANES; l++)
        v.x[l] = x;
    return v;
}

static inline vec v_load(const float *x)
{
    vec v;
    memcpy(v.x, x, sizeof v.x);
    return v;
}

static inline vec v_load_part(const float *x, vmask mask)
{
    vec v = v_zero();
    for (int l = 0; l < mask; l++)
        v.x[l] = x[l];
    return v;
}

static inline void v_store(float *x, vec v)
{
    memcpy(x, v.x, sizeof v.x);
}

static inline void v_store_part(float *x, vec v, vmask mask)
{
    for (int l = 0; l < mask; l++)
        x[l] = v.x[l];
}

static inline vec v_add(vec a, vec b)
{
    for (int l = 0; l < LANES; l++)
        a.x[l] += b.x[l];
    return a;
}

static inline vec v_mul(vec a, vec b)
{
    for (int l = 0; l < LANES; l++)
        a.x[l] *= b.x[l];
    return a;
}

static inline vec v_fma(vec a, vec b, vec c)
{
    for (int l = 0; l < LANES; l++)
        c.x[l] = tdbg_strict_fma(a.x[l], b.x[l], c.x[l]);
    return c;
}

static inline vec v_canonical(vec v)
{
    const uint32_t bits = 0x7fc00000;
    for (int l = 0; l < LANES; l++)
        if (v.x[l] != v.x[l])
            memcpy(&v.x[l], &bits, sizeof bits);
    return v;
}

static inline vtest v_test_start(void)
{
    return true;
}

static inline vtest v_test(vtest test, vec a, vec b)
{
    for (int l = 0; l < LANES; l++)
        test &= a.x[l] == a.x[l] && b.x[l] == b.x[l];
    return test;
}

static inline bool v_test_passed(vtest test)
{
    return test;
}

static inline void v_load_turned_part(vec *b, const float *const *x, int64_t first, int cols)
{
    for (int t = 0; t < cols; t++)
        for (int l = 0; l < LANES; l++)
            b[t].x[l] = x[l][first + t];
}

static inline void v_load_turned(vec *b, const float *const *x, int64_t first)
{
    v_load_turned_part(b, x, first, LANES);
}

#endif

#endif
