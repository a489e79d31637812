/* What the benchmarks of kernels share: time, peak, operands. */
#ifndef TDBG_BENCH_KERNEL_BENCH_H
#define TDBG_BENCH_KERNEL_BENCH_H

#include <stddef.h>

#include "kernels/cpu.h"

/* A monotonic clock, in seconds. */
double bench_now_s(void);

/* Fused multiply-adds on registers alone, for some milliseconds: returns how many a core has done,
 * 0 where the instruction set has none. */
double bench_spin(enum tdbg_isa isa);

/* FMA peak of one core in GF/s, from fused multiply-adds on registers alone: the best of a few
 * runs. 0 where the instruction set has none. */
double bench_measure_peak(enum tdbg_isa isa);

/* For qsort() of doubles. */
int bench_compare_double(const void *a, const void *b);

/* 64-byte aligned, never NULL; free() them. Random ones are uniform in [-1, 1). */
float *bench_floats(size_t count);
float *bench_random_floats(size_t count);

#endif
