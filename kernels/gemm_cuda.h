/* How a GPU cuts a strict matrix product; no choice moves a bit. tdbg_cuda_gemm() (gemm.h) chooses
 * by itself: this is for tests and benchmarks that want every cut. */
#ifndef TDBG_KERNELS_GEMM_CUDA_H
#define TDBG_KERNELS_GEMM_CUDA_H

#include <stdint.h>

#include "kernels/gemm.h"

struct tdbg_gemm_cut {
    int tile; /* 0..tdbg_cuda_gemm_tile_count()-1, largest first */
    /* 0: a block does all slices of its tile. Else so many slices at a time, each in blocks of its
     * own, by way of scratch memory (m n floats a slice). */
    int64_t slices_at_once;
};

int tdbg_cuda_gemm_tile_count(void);
const char *tdbg_cuda_gemm_tile_text(int tile); /* "128x128" */

/* The cut that tdbg_cuda_gemm() takes, on a GPU with so many multiprocessors and of that compute
 * capability (90: 9.0). */
struct tdbg_gemm_cut tdbg_cuda_gemm_choose(int multiprocessors, int capability,
                                           const struct tdbg_gemm *gemm);

/* The product with that cut. gpu: struct tdbg_gpu. Uses its scratch memory. */
void tdbg_cuda_gemm_run(void *gpu, const struct tdbg_gemm *gemm, struct tdbg_gemm_cut cut);

#endif
