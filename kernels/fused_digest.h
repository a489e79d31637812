/* Digest and statistics of a tensor in one pass: the same values as base/digest.h, fast. */
#ifndef TDBG_KERNELS_FUSED_DIGEST_H
#define TDBG_KERNELS_FUSED_DIGEST_H

#include <stdint.h>

#include "base/digest.h"
#include "kernels/cpu.h"

/* data: n_elems contiguous elements. digest and stats may each be NULL. Sums over blocks of
 * TDBG_STATS_BLOCK_ELEMS are added in order whatever the number of threads. */
void tdbg_digest_compute(const struct tdbg_cpu *cpu, const void *data, enum tdbg_dtype dtype,
                         int64_t n_elems, uint64_t *digest, struct tdbg_stats *stats);

/* The same on a GPU: see gpu.h. It waits for the result. */
enum tdbg_status tdbg_cuda_digest(void *gpu, const void *data, enum tdbg_dtype dtype,
                                  int64_t n_elems, uint64_t *digest, struct tdbg_stats *stats,
                                  struct tdbg_err *err);

/* The same without waiting: under `slot`, until digests_take. Slots are dense from 0. */
enum tdbg_status tdbg_cuda_digest_later(void *gpu, const void *data, enum tdbg_dtype dtype,
                                        int64_t n_elems, int32_t slot, struct tdbg_err *err);
enum tdbg_status tdbg_cuda_digests_take(void *gpu, int32_t n_slots, uint64_t *digests,
                                        struct tdbg_stats *stats, struct tdbg_err *err);

#endif
