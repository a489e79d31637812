/* Rows of a table by token number, and the sum of gradients per row. */
#ifndef TDBG_KERNELS_EMBEDDING_H
#define TDBG_KERNELS_EMBEDDING_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_embedding {
    int64_t vocab, dim;    /* shape of the table */
    int64_t n;             /* positions, of all samples; below 2^31 */
    const int32_t *tokens; /* (n), each in 0..vocab-1 */
    int64_t padding_idx;   /* this row's gradient is +0; -1: none */
};

/* The first position whose token is out of range, or -1. The two below must not see one. */
int64_t tdbg_embedding_find_bad(const struct tdbg_embedding *embedding);

/* y (n, dim) = table[tokens[p]]; table (vocab, dim). */
void tdbg_embedding_forward(const struct tdbg_cpu *cpu, const struct tdbg_embedding *embedding,
                            const float *table, float *y);

/* dtable (vocab, dim) = for each row the sum of dy[p], dy (n, dim), over the positions p that hold
 * its token, in ascending order and in the order of tdbg_reduce_rows over these alone: slices of
 * TDBG_K_SLICE of them from +0, slice results added in order. +0 where there is none. workspace:
 * tdbg_embedding_workspace_bytes(). */
void tdbg_embedding_backward(const struct tdbg_cpu *cpu, const struct tdbg_embedding *embedding,
                             const float *dy, float *dtable, void *workspace);
size_t tdbg_embedding_workspace_bytes(const struct tdbg_embedding *embedding);

/* The same on a GPU: see gpu.h. */
size_t tdbg_cuda_embedding_workspace_bytes(void *gpu, const struct tdbg_embedding *embedding);
void tdbg_cuda_embedding_forward(void *gpu, const struct tdbg_embedding *embedding,
                                 const float *table, float *y);
void tdbg_cuda_embedding_backward(void *gpu, const struct tdbg_embedding *embedding,
                                  const float *dy, float *dtable, void *workspace);

#endif
