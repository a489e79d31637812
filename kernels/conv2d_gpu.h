/* How a convolution becomes matrix products on a GPU. For conv2d_gpu.c and conv2d*.cu alone.
 *
 * The forward pass is one product, the input gradient one for every residue of (h, w) by the
 * strides: per group rows (outputs; for dx: inputs) times columns (sample, a, b), where (a, b) is a
 * grid of outputs. Column (n, a, b) and term (channel, i, j) meet at element
 *
 *     (channel, a * h.step + h.first + i * h.tap_step, b * w.step + w.first + j * w.tap_step)
 *
 * of sample n of the image, which is +0 outside of it. */
#ifndef TDBG_KERNELS_CONV2D_GPU_H
#define TDBG_KERNELS_CONV2D_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/conv2d.h"
#include "kernels/gpu.h"

struct tdbg_conv_gpu_axis {
    int32_t outs, step;
    int32_t taps, first, tap_step;
    int32_t size; /* of the image */
};

struct tdbg_conv_gpu_product {
    struct tdbg_conv_gpu_axis h, w;
    int64_t groups, rows, k;                          /* rows: of a group */
    int64_t cols;                                     /* samples * grid */
    int32_t grid;                                     /* outputs of a sample in a plane */
    int64_t image_sample, image_group, image_channel; /* distances in the image, in floats */
    /* weight of (row, channel, taps i and j) of group g: g * weight_group + row * weight_row +
     * channel * weight_channel + weight_tap + i * weight_h + j * weight_w */
    int64_t weight_group, weight_row, weight_channel, weight_tap, weight_h, weight_w;
    /* output (row, a, b) of group g in sample n: n * y_sample + (g * rows + row) * y_plane +
     * y_first
     * + a * y_h + b * y_w */
    int64_t y_sample, y_plane, y_first, y_h, y_w;
    /* Rows at a time: up to TDBG_CONV_GPU_DIRECT a thread has them all, above it is a tile. */
    int32_t rows_at_once;
    /* Weights as the kernels read them, (groups, padded_k, padded_rows). What is too much of k has
     * a weight of -0 and a term outside of the image: fma(-0, +0, p) = p for every p. */
    int64_t padded_k, padded_rows;
};

enum {
    TDBG_CONV_GPU_DIRECT = 16,     /* rows that a thread can have */
    TDBG_CONV_GPU_TERM_BYTES = 16, /* what a kernel looks up per term: conv2d_tile.h */
    TDBG_CONV_GPU_COLS = 128,      /* columns of a tile of those */
    TDBG_CONV_GPU_STEP = 8, /* terms that are in shared memory at once; divides TDBG_K_SLICE */
};

/* Samples may be 0. Those of dx: elements [ih::stride, iw::stride]. */
struct tdbg_conv_gpu_product tdbg_conv_gpu_forward_product(const struct tdbg_conv2d *conv,
                                                           const struct tdbg_gpu *gpu);
struct tdbg_conv_gpu_product tdbg_conv_gpu_class_product(const struct tdbg_conv2d *conv, int64_t ih,
                                                         int64_t iw, const struct tdbg_gpu *gpu);

/* Bytes of the packed weights, a multiple of 64; the terms (padded_k) come behind them. Never more
 * for fewer samples. */
size_t tdbg_conv_gpu_packed_bytes(const struct tdbg_conv_gpu_product *product);
size_t tdbg_conv_gpu_product_bytes(const struct tdbg_conv_gpu_product *product);

/* The weight gradient, rows (outputs of a group) times columns (channel, kh, kw), over terms
 * (sample, i, j). Where that is too few tiles for the GPU, slices are computed side by side into
 * scratch memory, `slices_at_once` of them, and then added in order. */
struct tdbg_conv_gpu_weight {
    struct tdbg_conv_gpu_axis h, w; /* those of the forward pass */
    int64_t groups, rows, cols, k, slices;
    int32_t grid;
    int64_t x_sample, x_group, x_channel; /* in floats */
    int32_t tile_rows, tile_cols;         /* 0: few rows, one chain per thread (conv2d_weight.cu) */
    int64_t row_tiles, col_tiles;
    int64_t slices_at_once; /* 0: not cut */
    int64_t slices_per_block;
    int64_t scratch_slice; /* floats that a slice takes in scratch memory */
};

struct tdbg_conv_gpu_weight tdbg_conv_gpu_weight_plan(const struct tdbg_conv2d *conv,
                                                      const struct tdbg_gpu *gpu);
size_t tdbg_conv_gpu_weight_bytes(const struct tdbg_conv_gpu_weight *plan);

/* Of all passes. */
size_t tdbg_conv_gpu_workspace_bytes(const struct tdbg_conv2d *conv, const struct tdbg_gpu *gpu);

#endif
