/* The blocks of a batch norm (batch_norm.h), and the units of work of its kernels. How channels are
 * grouped in a unit moves no bit: it is chosen for long pieces of memory and for the caches. */
#ifndef TDBG_KERNELS_BATCH_NORM_BLOCKS_H
#define TDBG_KERNELS_BATCH_NORM_BLOCKS_H

#include "base/host_device.h"
#include "kernels/batch_norm.h"
#include "kernels/numerics.h"

/* Columns (elements of neighbouring channels in one sample) of a unit. */
enum {
    TDBG_BN_PART_COLUMNS = 128,  /* of a block that is read twice */
    TDBG_BN_SUM_COLUMNS = 512,   /* of a block that is read once */
    TDBG_BN_STRIP_COLUMNS = 512, /* where only elements are computed */
    TDBG_BN_STRIP_INNER = 256, /* up to here, a strip has values of its channels for every column */
    TDBG_BN_STRIP_ELEMS = 65536,
    TDBG_BN_CHANNELS =
        16, /* channels of a unit with more elements than lanes, of several samples */
};

TDBG_HOST_DEVICE static inline int64_t tdbg_bn_ceil(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

TDBG_HOST_DEVICE static inline int64_t tdbg_bn_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Samples of a block */
static inline int64_t tdbg_bn_block_samples(const struct tdbg_batch_norm *norm)
{
    int64_t fit = norm->inner > 0 ? TDBG_SUM_BLOCK / norm->inner : 1;
    return fit < 1 ? 1 : tdbg_bn_least(fit, TDBG_K_SLICE);
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

/* Channels of a unit of one block; columns is one of the limits above. */
static inline int64_t tdbg_bn_unit_channels(const struct tdbg_batch_norm *norm, int64_t columns)
{
    if (norm->inner <= TDBG_SUM_LANES)
        return columns / norm->inner;
    return tdbg_bn_block_samples(norm) > 1 ? TDBG_BN_CHANNELS : 1;
}

static inline int64_t tdbg_bn_units(const struct tdbg_batch_norm *norm, int64_t columns)
{
    return tdbg_bn_blocks(norm) *
           tdbg_bn_ceil(norm->channels, tdbg_bn_unit_channels(norm, columns));
}

/* One block of some channels, or a strip: some samples of some channels. */
struct tdbg_bn_unit {
    int64_t block, samples, channel, channels;
    int64_t pixels; /* of each sample and channel */
    int64_t offset; /* of the first element of x */
};

static inline struct tdbg_bn_unit tdbg_bn_unit(const struct tdbg_batch_norm *norm, int64_t columns,
                                               int64_t u)
{
    const int64_t wide = tdbg_bn_unit_channels(norm, columns),
                  samples = tdbg_bn_block_samples(norm);
    const int64_t tiles = tdbg_bn_ceil(norm->channels, wide), pieces = tdbg_bn_pieces(norm);
    struct tdbg_bn_unit unit;
    unit.block = u / tiles;
    unit.channel = u % tiles * wide;
    const int64_t sample = unit.block / pieces * samples;
    const int64_t pixel = unit.block % pieces * TDBG_SUM_BLOCK;
    unit.samples = tdbg_bn_least(samples, norm->samples - sample);
    unit.channels = tdbg_bn_least(wide, norm->channels - unit.channel);
    unit.pixels = tdbg_bn_least(TDBG_SUM_BLOCK, norm->inner - pixel);
    unit.offset = (sample * norm->channels + unit.channel) * norm->inner + pixel;
    return unit;
}

/* Strips cover the tensor for what needs no sums. */
static inline int64_t tdbg_bn_strip_channels(const struct tdbg_batch_norm *norm)
{
    if (norm->inner > TDBG_BN_STRIP_INNER)
        return norm->channels;
    return tdbg_bn_least(TDBG_BN_STRIP_COLUMNS / norm->inner, norm->channels);
}

static inline int64_t tdbg_bn_strip_samples(const struct tdbg_batch_norm *norm)
{
    return tdbg_bn_ceil(TDBG_BN_STRIP_ELEMS, tdbg_bn_strip_channels(norm) * norm->inner);
}

static inline int64_t tdbg_bn_strips(const struct tdbg_batch_norm *norm)
{
    return tdbg_bn_ceil(norm->samples, tdbg_bn_strip_samples(norm)) *
           tdbg_bn_ceil(norm->channels, tdbg_bn_strip_channels(norm));
}

static inline struct tdbg_bn_unit tdbg_bn_strip(const struct tdbg_batch_norm *norm, int64_t u)
{
    const int64_t wide = tdbg_bn_strip_channels(norm), samples = tdbg_bn_strip_samples(norm);
    const int64_t tiles = tdbg_bn_ceil(norm->channels, wide), sample = u / tiles * samples;
    struct tdbg_bn_unit strip;
    strip.block = 0;
    strip.channel = u % tiles * wide;
    strip.pixels = norm->inner;
    strip.samples = tdbg_bn_least(samples, norm->samples - sample);
    strip.channels = tdbg_bn_least(wide, norm->channels - strip.channel);
    strip.offset = (sample * norm->channels + strip.channel) * norm->inner;
    return strip;
}

#endif
