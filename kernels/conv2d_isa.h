/* What of the convolution is compiled once per instruction set (conv2d_cpu.c) beside the matrix
 * product's tile, and what of it the drivers call. */
#ifndef TDBG_KERNELS_CONV2D_ISA_H
#define TDBG_KERNELS_CONV2D_ISA_H

#include <stdbool.h>
#include <stdint.h>

/* Rows of an im2col matrix, piece by piece: a row is the same places of the image, moved by off[].
 *
 *     for r < rows, each piece: out[r * out_stride + to ...] = from[off[r] ...]
 *
 * Pieces are whole vectors, ascending in `to`; what is too much of one is overwritten by the next
 * piece or the next row, and lands behind the last row in the end: room for a vector there. */
enum { TDBG_CONV_MAX_PIECES = 256 };
struct tdbg_conv_gather {
    const float *from[TDBG_CONV_MAX_PIECES];
    int32_t to[TDBG_CONV_MAX_PIECES];
    int pieces;
    const int64_t *off; /* (rows) */
    int64_t rows;
    float *out;
    int64_t out_stride;
    int64_t ahead; /* > 0: columns so far behind the first will be asked for next */
};

/* dst[i] = src[i * step] for i < n, in `rows` rows. */
struct tdbg_conv_copy {
    const float *src;
    int64_t src_stride, step;
    float *dst;
    int64_t dst_stride;
    int64_t n, rows;
};

/* Some output planes straight from the image, without packing: for few outputs per group.
 *
 *     y[o * y_o + i * y_i + j * y_j] =
 *         canonical(sum over t of w[t * outputs + o] x[i * x_i + j + off[t]] + bias[o])
 *
 * x is read in whole vectors. */
enum { TDBG_CONV_MAX_DIRECT = 3 };
struct tdbg_conv_direct {
    int outputs; /* at most TDBG_CONV_MAX_DIRECT */
    const float *x;
    int64_t x_i;
    const int64_t *off; /* (k) */
    const float *w;     /* (k, outputs) */
    int64_t k;
    const float *bias; /* (outputs) or NULL */
    float *y;
    int64_t y_o, y_i, y_j;
    int64_t rows, cols;
};

/* y[r * y_stride + 2 j] = a[r * a_stride + j] for 2 j < n, y[r * y_stride + 2 j + 1] = b[r *
 * b_stride + j] for 2 j + 1 < n, in `rows` rows. */
struct tdbg_conv_interleave {
    const float *a, *b;
    int64_t a_stride, b_stride;
    float *y;
    int64_t y_stride;
    int64_t n, rows;
};

/* Weight gradients of a vector of channels that have an image and an output each, over a run of
 * output positions inside a slice. x and dy have the channels innermost, `lanes` of them.
 *
 *     part[t][l] = fma(dy[j][l], x[off[t] + j * x_j][l], part[t][l])  for j < n, ascending */
struct tdbg_conv_lanes {
    const float *x, *dy;
    const int64_t *off; /* (taps), in floats */
    int64_t x_j;        /* in floats */
    int64_t n;
    int taps; /* at most TDBG_CONV_MAX_TAPS */
    float *part;
};
enum { TDBG_CONV_MAX_TAPS = 9 };

#endif
