/* See kernel_bench.h. */
#include "bench/kernel_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

double bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- peak: fused multiply-adds on registers alone ---- */

enum { CHAINS = 12, PEAK_STEPS = 2000000 };

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float spin_avx512(void)
{
    __m512 x = _mm512_set1_ps(0.5f), p[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        p[i] = _mm512_set1_ps((float)i);
    for (int step = 0; step < PEAK_STEPS; step++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            p[i] = _mm512_fmadd_ps(p[i], x, x);
    for (int i = 1; i < CHAINS; i++)
        p[0] = _mm512_add_ps(p[0], p[i]);
    return _mm512_cvtss_f32(p[0]);
}

__attribute__((target("avx2,fma"))) static float spin_avx2(void)
{
    __m256 x = _mm256_set1_ps(0.5f), p[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        p[i] = _mm256_set1_ps((float)i);
    for (int step = 0; step < PEAK_STEPS; step++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            p[i] = _mm256_fmadd_ps(p[i], x, x);
    for (int i = 1; i < CHAINS; i++)
        p[0] = _mm256_add_ps(p[0], p[i]);
    return _mm256_cvtss_f32(p[0]);
}
#endif

double bench_spin(enum tdbg_isa isa)
{
    double lanes = 0;
#if defined(__x86_64__)
    volatile float sink = 0;
    if (isa == TDBG_ISA_AVX512) {
        sink = spin_avx512();
        lanes = 16;
    } else if (isa == TDBG_ISA_AVX2) {
        sink = spin_avx2();
        lanes = 8;
    }
    (void)sink;
#else
    (void)isa;
#endif
    return lanes * CHAINS * PEAK_STEPS;
}

double bench_measure_peak(enum tdbg_isa isa)
{
    double best = 0;
    for (int run = 0; run < 5; run++) {
        const double start = bench_now_s(), terms = bench_spin(isa);
        const double gflops = 2e-9 * terms / (bench_now_s() - start);
        best = gflops > best ? gflops : best;
    }
    return best;
}

int bench_compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

float *bench_floats(size_t count)
{
    void *x = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64 + 64);
    if (!x) {
        fprintf(stderr, "bench: out of memory\n");
        exit(4);
    }
    return x;
}

float *bench_random_floats(size_t count)
{
    static uint64_t state = 1;
    float *x = bench_floats(count);
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
    return x;
}
