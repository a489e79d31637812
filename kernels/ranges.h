/* Which elements of flat buffers one call changes: those of several parameters, which lie in a
 * buffer with gaps between them, so that a device does all of them in one launch.
 *
 *     buffer   [ fc1.weight ........|gap][ fc1.bias |gap][ fc2.weight ......|gap]
 *     range      0: offset, elems                          1
 *     tile       0     1     2                             3     4
 *
 * A tile is TDBG_RANGE_TILE elements of a range, the last of a range what is left. Tiles are
 * numbered over all ranges. */
#ifndef TDBG_KERNELS_RANGES_H
#define TDBG_KERNELS_RANGES_H

#include <stdint.h>

#include "base/host_device.h"
#include "kernels/numerics.h"

/* Also the terms that a sum adds before anything else, so that a tile has one such sum. */
enum { TDBG_RANGE_TILE = TDBG_SUM_BLOCK };

struct tdbg_range {
    int64_t offset, elems; /* elements offset .. offset + elems - 1; no two ranges share one */
    int64_t first_tile;    /* tiles of the ranges before it */
};

/* A table of the host: kernels that are given it may keep a copy of `range` by its address, so that
 * it has to stay as it is until the backend's forget_tables. */
struct tdbg_ranges {
    int32_t n;
    int64_t n_tiles;
    const struct tdbg_range *range; /* (n) */
};

static inline TDBG_HOST_DEVICE int64_t tdbg_range_tiles(const struct tdbg_range *range)
{
    return (range->elems + TDBG_RANGE_TILE - 1) / TDBG_RANGE_TILE;
}

/* range (n): has offsets and elems, gets its first tiles; borrowed. */
static inline struct tdbg_ranges tdbg_ranges_of(struct tdbg_range *range, int32_t n)
{
    struct tdbg_ranges ranges = {n, 0, range};
    for (int32_t r = 0; r < n; r++) {
        range[r].first_tile = ranges.n_tiles;
        ranges.n_tiles += tdbg_range_tiles(&range[r]);
    }
    return ranges;
}

#endif
