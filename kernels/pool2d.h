/* Strict pooling over windows of an image, as torch.nn.MaxPool2d, AvgPool2d and
 * AdaptiveAvgPool2d(1).
 *
 *     x (planes, H, W), y (planes, OH, OW), planes = samples * channels
 *     OH = (H + 2 padding - kernel) / stride + 1, OW alike
 *     window of y[i][j]: x[h][w], h = i stride - padding + kh, 0 <= kh < KH, w alike
 *
 * Padding is at most half the kernel, so that every window has an element of the image. Outputs
 * alias nothing; NaN results are canonical. */
#ifndef TDBG_KERNELS_POOL2D_H
#define TDBG_KERNELS_POOL2D_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_pool2d {
    int64_t planes, height, width;            /* height * width below 2^31 */
    int64_t kernel[2], stride[2], padding[2]; /* each pair is of (H, W) */
    bool include_pad; /* averages only: divide by KH KW, not by the elements inside the image */
};

/* OH for axis 0, OW for axis 1; below 1 if the kernel does not fit into the padded image. */
int64_t tdbg_pool2d_out_size(const struct tdbg_pool2d *pool, int axis);

/* y = the largest element of the window, the first of equals; padding is -Inf. The last NaN, if
 * there is one, comes before everything. index (planes, OH, OW): the element's place h W + w in its
 * plane (of a window of nothing but -Inf, the first place in the image), or NULL. */
void tdbg_max_pool2d_forward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                             const float *x, float *y, int32_t *index);

/* dx[h][w] = sum of dy[i][j] over the windows with index h W + w, ascending from +0. */
void tdbg_max_pool2d_backward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                              const int32_t *index, const float *dy, float *dx);

/* y = (sum of the window's elements inside the image, ascending from +0) / divisor. */
void tdbg_avg_pool2d_forward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                             const float *x, float *y);

/* dx[h][w] = sum of dy[i][j] / divisor[i][j] over the windows that it is in, ascending from +0. */
void tdbg_avg_pool2d_backward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                              const float *dy, float *dx);

/* y (planes) = sum of x (planes, elems) / elems, the sum in the order of reduce.h;
 * dx (planes, elems) = dy / elems. */
void tdbg_global_avg_pool_forward(const struct tdbg_cpu *cpu, int64_t planes, int64_t elems,
                                  const float *x, float *y);
void tdbg_global_avg_pool_backward(const struct tdbg_cpu *cpu, int64_t planes, int64_t elems,
                                   const float *dy, float *dx);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_max_pool2d_forward(void *gpu, const struct tdbg_pool2d *pool, const float *x,
                                  float *y, int32_t *index);
void tdbg_cuda_max_pool2d_backward(void *gpu, const struct tdbg_pool2d *pool, const int32_t *index,
                                   const float *dy, float *dx);
void tdbg_cuda_avg_pool2d_forward(void *gpu, const struct tdbg_pool2d *pool, const float *x,
                                  float *y);
void tdbg_cuda_avg_pool2d_backward(void *gpu, const struct tdbg_pool2d *pool, const float *dy,
                                   float *dx);
void tdbg_cuda_global_avg_pool_forward(void *gpu, int64_t planes, int64_t elems, const float *x,
                                       float *y);
void tdbg_cuda_global_avg_pool_backward(void *gpu, int64_t planes, int64_t elems, const float *dy,
                                        float *dx);

#endif
