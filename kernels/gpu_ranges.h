/* Launches over the ranges of ranges.h: each worker, a block or a warp of one, has a run of tiles.
 * It looks for the range of the first and goes on from there, so that what it reads of the table is
 * little beside the tiles. Included by .cu files behind gpu.h. */
#ifndef TDBG_KERNELS_GPU_RANGES_H
#define TDBG_KERNELS_GPU_RANGES_H

#include "kernels/gpu.h"
#include "kernels/ranges.h"

/* Blocks for each multiprocessor, where there are tiles enough: more than run at once, so that one
 * that is late is not waited for. */
enum { TDBG_RANGES_BLOCKS = 16 };

/* The same with the table on the device; without any tile where there is no memory for that, which
 * is noted. */
static inline struct tdbg_ranges tdbg_gpu_ranges(struct tdbg_gpu *gpu,
                                                 const struct tdbg_ranges *ranges)
{
    struct tdbg_ranges there = {0, 0, NULL};
    if (ranges->n > 0)
        there.range = (const struct tdbg_range *)tdbg_gpu_table(
            gpu, ranges->range, (size_t)ranges->n * sizeof *ranges->range);
    if (there.range) {
        there.n = ranges->n;
        there.n_tiles = ranges->n_tiles;
    }
    return there;
}

/* Blocks of a launch whose blocks have `workers` workers each. */
static inline unsigned tdbg_gpu_ranges_blocks(const struct tdbg_gpu *gpu,
                                              const struct tdbg_ranges *ranges, int workers)
{
    const unsigned blocks = tdbg_gpu_blocks(ranges->n_tiles, workers);
    const unsigned most = (unsigned)gpu->multiprocessors * TDBG_RANGES_BLOCKS;
    return blocks < most ? blocks : most;
}

/* The last range whose first tile is not behind `tile`: one without elements has none. */
static __device__ __forceinline__ int32_t tdbg_gpu_range_of(const struct tdbg_ranges &ranges,
                                                            int64_t tile)
{
    int32_t low = 0, high = ranges.n;
    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;
        if (ranges.range[middle].first_tile <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* work(tile, first, n) for each tile of worker 0 .. workers - 1: elements first .. first + n - 1 of
 * the buffers. Ranges are on the device. */
template <typename Work>
static __device__ __forceinline__ void
tdbg_gpu_each_tile(const struct tdbg_ranges &ranges, int64_t worker, int64_t workers, Work work)
{
    int64_t tile = ranges.n_tiles * worker / workers;
    const int64_t end = ranges.n_tiles * (worker + 1) / workers;
    if (tile >= end)
        return;
    for (int32_t r = tdbg_gpu_range_of(ranges, tile); tile < end; r++) {
        const struct tdbg_range range = ranges.range[r];
        int64_t begin = (tile - range.first_tile) * TDBG_RANGE_TILE;
        for (; begin < range.elems && tile < end; begin += TDBG_RANGE_TILE, tile++) {
            const int64_t left = range.elems - begin;
            work(tile, range.offset + begin,
                 left < TDBG_RANGE_TILE ? (int)left : (int)TDBG_RANGE_TILE);
        }
    }
}

#endif
