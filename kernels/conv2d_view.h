/* How the passes of a convolution look at an image: taps over a grid of outputs, and the padded
 * copies of images in which a tap is nothing but an offset. For conv2d*.c alone.
 *
 * Forward, the image is x and the grid is y's. For the input gradient the image is dy and the grid
 * one residue class of dx's elements. Along an axis, output a reads image line
 *
 *     a * step + first + t * tap_step      for t < taps; +0 outside of 0..size-1
 *
 * A copy keeps the lines that some output reads. Columns are sorted by their residue by step
 * ("phase"), so that neighbouring outputs read neighbouring elements whatever the stride:
 *
 *     line:  [ phase 0: columns lo, lo + step, ... | phase 1: lo + 1, lo + 1 + step, ... | ... ]
 *
 * Where nothing is padded and step is 1, the image is read in place. */
#ifndef TDBG_KERNELS_CONV2D_VIEW_H
#define TDBG_KERNELS_CONV2D_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/conv2d.h"
#include "kernels/conv2d_isa.h"
#include "kernels/gemm_isa.h"
#include "kernels/isa_table.h"

struct tdbg_conv_axis {
    int64_t outs, step;
    int64_t taps, first, tap_step;
    int64_t size;
    /* set by tdbg_conv_view_init() */
    int64_t lo;    /* first line kept */
    int64_t lines; /* lines kept */
    uint64_t
        used; /* bit r: some output reads lines lo + r, lo + r + step, ... (all set: step > 64) */
};

struct tdbg_conv_view {
    struct tdbg_conv_axis h, w;
    int64_t samples, channels;                         /* channels: of one group */
    int64_t image_sample_stride, image_channel_stride; /* in floats */
    /* set by tdbg_conv_view_init() */
    bool in_place;               /* samples whose surplus is inside the tensor need no copy */
    int64_t phase, pitch, plane; /* floats of a phase, a line, a channel of a copy */
    int64_t slot;                /* floats of a copy: the channels, and room for a vector more */
    int64_t grid_rows, grid_cols, grid_row; /* the grid; grid_row: floats from row to row */
};

/* Sets what is derived. merge: a grid whose rows lie end to end may become one row. */
void tdbg_conv_view_init(struct tdbg_conv_view *view, bool merge);

/* off[t - t0] for terms t0 <= t < t1, t = (channel, tap of h, tap of w). */
void tdbg_conv_view_offsets(const struct tdbg_conv_view *view, int64_t t0, int64_t t1,
                            int64_t *off);

/* The images that one thread works on: copies in `slots` slots, sample n in slot n % slots. */
struct tdbg_conv_images {
    const struct tdbg_conv_view *view;
    const struct tdbg_isa_table *table;
    const float *x; /* first channel of sample 0 */
    float *copies;
    int64_t slots, next; /* next: the first sample not copied yet */
};

/* Slots for runs of `cols` neighbouring outputs. */
int64_t tdbg_conv_slots(const struct tdbg_conv_view *view, int64_t cols);

/* Begins with sample `first` of channels that start at x. */
void tdbg_conv_images_start(struct tdbg_conv_images *images, const float *x, int64_t first);

/* Makes samples up to `last` available; asked for in ascending order. */
void tdbg_conv_images_load(struct tdbg_conv_images *images, int64_t last);

/* Where tap offset 0 of sample n's first output lies. */
const float *tdbg_conv_images_at(const struct tdbg_conv_images *images, int64_t n);

/* An output: sample, row and column of the grid. */
struct tdbg_conv_place {
    int64_t n, row, col;
};

/* Output j, counted through all samples. */
struct tdbg_conv_place tdbg_conv_place_of(const struct tdbg_conv_view *view, int64_t j);

/* Lists the pieces of `count` outputs from *at on in gather->from and to, and moves *at behind
 * them; at most TDBG_CONV_MAX_PIECES outputs. lanes: floats in a vector. */
void tdbg_conv_images_pieces(const struct tdbg_conv_images *images, struct tdbg_conv_place *at,
                             int64_t count, int lanes, struct tdbg_conv_gather *gather);

/* ---- small things ---- */

static inline int64_t tdbg_conv_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tdbg_conv_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t tdbg_conv_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Start of part `part` when n units are cut into `parts` as evenly as possible. */
static inline int64_t tdbg_conv_cut(int64_t n, int64_t parts, int64_t part)
{
    return n / parts * part + tdbg_conv_min(n % parts, part);
}

/* Takes n elements of `size` bytes from a workspace, from a 64-byte boundary on. A null workspace
 * is measured: *offset alone moves. */
static inline void *tdbg_conv_take(void *workspace, size_t *offset, int64_t n, size_t size)
{
    size_t at = *offset;
    *offset += ((size_t)n * size + 63) / 64 * 64;
    return workspace ? (char *)workspace + at : NULL;
}

#endif
