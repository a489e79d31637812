/* Digest and statistics of a tensor on the engine's threads: blocks in any order, put together in
 * theirs. What is done with a block is in base/digest_block.h. */
#include "kernels/fused_digest.h"

#include <math.h>

#include "base/digest_block.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"

enum {
    BLOCK = TDBG_STATS_BLOCK_ELEMS,
    /* Blocks whose results are kept at a time: what bounds the memory on the stack. */
    BATCH_BLOCKS = 256,
};

struct digest_job {
    tdbg_digest_block_fn *block;
    const char *data;
    enum tdbg_dtype dtype;
    int64_t n_elems;
    int want;
};

struct digest_batch {
    const struct digest_job *job;
    int64_t first_block;
    struct tdbg_digest_part part[BATCH_BLOCKS];
};

static void digest_one(const struct digest_job *job, int64_t block, struct tdbg_digest_part *out)
{
    const int64_t first = block * BLOCK, left = job->n_elems - first;
    job->block(job->data + (size_t)first * tdbg_dtype_bytes(job->dtype), job->dtype, first,
               left < BLOCK ? left : BLOCK, job->want, out);
}

static void digest_range(void *ctx, int64_t lo, int64_t hi)
{
    struct digest_batch *batch = ctx;
    for (int64_t b = lo; b < hi; b++)
        digest_one(batch->job, batch->first_block + b, &batch->part[b]);
}

static void digest_batches(const struct tdbg_cpu *cpu, const struct digest_job *job, int64_t blocks,
                           struct tdbg_digest_part *total)
{
    struct digest_batch batch;
    batch.job = job;
    for (int64_t first = 0; first < blocks; first += BATCH_BLOCKS) {
        const int64_t n = blocks - first < BATCH_BLOCKS ? blocks - first : BATCH_BLOCKS;
        batch.first_block = first;
        tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS / BLOCK, digest_range, &batch);
        for (int64_t b = 0; b < n; b++)
            tdbg_digest_part_add(total, &batch.part[b]);
    }
}

void tdbg_digest_compute(const struct tdbg_cpu *cpu, const void *data, enum tdbg_dtype dtype,
                         int64_t n_elems, uint64_t *digest, struct tdbg_stats *stats)
{
    const struct digest_job job = {.block = cpu->table->digest_block,
                                   .data = data,
                                   .dtype = dtype,
                                   .n_elems = n_elems,
                                   .want = (digest ? TDBG_PART_DIGEST : 0) |
                                           (stats ? TDBG_PART_STATS : 0)};
    const int64_t blocks = (n_elems + BLOCK - 1) / BLOCK;
    struct tdbg_digest_part total = TDBG_DIGEST_PART_NONE;
    if (blocks == 1) /* most tensors of a small network */
        digest_one(&job, 0, &total);
    else
        digest_batches(cpu, &job, blocks, &total);
    tdbg_digest_part_finish(&total, dtype, n_elems, digest, stats);
}
