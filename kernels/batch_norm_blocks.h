/* The blocks of a batch norm (batch_norm.h) and the units of work that its kernels share: a unit is
 * one block of a few neighbouring channels, so that memory is read in long pieces. How channels are
 * grouped moves no bit. */
#ifndef TDBG_KERNELS_BATCH_NORM_BLOCKS_H
#define TDBG_KERNELS_BATCH_NORM_BLOCKS_H

#include "kernels/batch_norm.h"
#include "kernels/numerics.h"

enum {
    TDBG_BN_COLUMNS = 512, /* columns of a unit where inner <= TDBG_SUM_LANES */
    TDBG_BN_CHANNELS = 8,  /* channels of a unit else, if its blocks have several samples */
};

static inline int64_t tdbg_bn_ceil(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* Samples of a block */
static inline int64_t tdbg_bn_block_samples(const struct tdbg_batch_norm *norm)
{
    int64_t fit = norm->inner > 0 ? TDBG_SUM_BLOCK / norm->inner : 1;
    return fit < 1 ? 1 : fit > TDBG_K_SLICE ? TDBG_K_SLICE : fit;
}

/* Blocks that one sample is cut into; more than 1 only where a block has one sample. */
static inline int64_t tdbg_bn_pieces(const struct tdbg_batch_norm *norm)
{
    return tdbg_bn_ceil(norm->inner, TDBG_SUM_BLOCK);
}

static inline int64_t tdbg_bn_blocks(const struct tdbg_batch_norm *norm)
{
    return tdbg_bn_ceil(norm->samples, tdbg_bn_block_samples(norm)) * tdbg_bn_pieces(norm);
}

static inline int64_t tdbg_bn_unit_channels(const struct tdbg_batch_norm *norm)
{
    if (norm->inner <= TDBG_SUM_LANES)
        return TDBG_BN_COLUMNS / norm->inner;
    return tdbg_bn_block_samples(norm) > 1 ? TDBG_BN_CHANNELS : 1;
}

static inline int64_t tdbg_bn_units(const struct tdbg_batch_norm *norm)
{
    return tdbg_bn_blocks(norm) * tdbg_bn_ceil(norm->channels, tdbg_bn_unit_channels(norm));
}

struct tdbg_bn_unit {
    int64_t block, samples, channel, channels;
    int64_t pixels; /* of each sample and channel */
    int64_t offset; /* of the first element of x */
};

static inline int64_t tdbg_bn_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline struct tdbg_bn_unit tdbg_bn_unit(const struct tdbg_batch_norm *norm, int64_t u)
{
    const int64_t wide = tdbg_bn_unit_channels(norm), samples = tdbg_bn_block_samples(norm);
    const int64_t tiles = tdbg_bn_ceil(norm->channels, wide), pieces = tdbg_bn_pieces(norm);
    struct tdbg_bn_unit unit = {.block = u / tiles, .channel = u % tiles * wide};
    const int64_t sample = unit.block / pieces * samples;
    const int64_t pixel = unit.block % pieces * TDBG_SUM_BLOCK;
    unit.samples = tdbg_bn_least(samples, norm->samples - sample);
    unit.channels = tdbg_bn_least(wide, norm->channels - unit.channel);
    unit.pixels = tdbg_bn_least(TDBG_SUM_BLOCK, norm->inner - pixel);
    unit.offset = (sample * norm->channels + unit.channel) * norm->inner + pixel;
    return unit;
}

#endif
