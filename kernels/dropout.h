/* Dropout by counter-based random numbers: backward makes the mask again instead of reading it. */
#ifndef TDBG_KERNELS_DROPOUT_H
#define TDBG_KERNELS_DROPOUT_H

#include <stdint.h>

#include "kernels/cpu.h"

/* Elements whose random numbers are made together; a row of any length begins a new chunk. */
enum { TDBG_DROPOUT_CHUNK = 64 };

struct tdbg_dropout {
    uint64_t key;          /* of the op and the step */
    uint64_t first_sample; /* position of row 0 in the step's global batch */
    uint64_t threshold;    /* p 2^32 rounded to nearest: a word below it drops its element */
    float scale;           /* 1 / (1 - p), from binary64; 0 where p = 1 */
};

/* The dropout of probability p (0 <= p <= 1) of an op at a step of a run. Its key: k =
 * tdbg_philox_key (seed, TDBG_RANDOM_DROPOUT, hash of the name), and then tdbg_philox_key(k,
 * TDBG_RANDOM_DROPOUT, step). */
struct tdbg_dropout tdbg_dropout_make(double p, uint64_t seed, const char *name, int64_t step,
                                      int64_t first_sample);

/* y (rows, elems) = kept ? x * scale : +0. Element e of row r is kept if word e % 4 of the block
 * with counter (low: e / 4, high: first_sample + r) is not below the threshold. Backward is the
 * same on dy. y may be x. A dropped NaN is +0; a NaN that stays is canonical. p = 0 changes nothing
 * but that, p = 1 gives +0 throughout. */
void tdbg_dropout_apply(const struct tdbg_cpu *cpu, const struct tdbg_dropout *dropout,
                        int64_t rows, int64_t elems, const float *x, float *y);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_dropout_apply(void *gpu, const struct tdbg_dropout *dropout, int64_t rows,
                             int64_t elems, const float *x, float *y);

#endif
