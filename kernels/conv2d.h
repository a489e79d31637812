/* Strict two-dimensional convolution, as torch.nn.Conv2d (cross-correlation, zero padding).
 *
 *     x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O) or NULL, y (N, O, OH, OW)
 *     OH = (H + 2 pad - dilation (KH - 1) - 1) / stride + 1, OW alike
 *     at(x, n, c, h, w) = x[n][c][h][w], +0 outside of the image: a real operand of an fma
 *
 * Every sum is one of gemm.h's: along its terms slices of TDBG_K_SLICE, in each a
 * fused-multiply-add chain from +0, slice results added in order, NaN results canonical. So the
 * forward pass is im2col and tdbg_gemm_run, bit for bit. The terms, within a group:
 *
 *     y[n][o][i][j]      over (c, kh, kw), ascending, kw fastest:
 *                        fma(weight[o][c][kh][kw], at(x, n, c, i stride - pad + kh dilation, ...),
 * p); then + bias[o] if there is a bias dweight[o][c][kh][kw]  over (n, i, j), ascending, j
 * fastest, through all samples: fma(dy[n][o][i][j], at(x, n, c, i stride - pad + kh dilation, ...),
 * p) dbias[o]           over (n, i, j) as above: p = p + dy[n][o][i][j] dx[n][c][h][w]     over (o,
 * kh, kw), ascending, of those kh for which stride divides h + pad - kh dilation, and kw alike;
 * others are no terms. Quotients (i, j) outside of dy are terms with a +0 operand:
 *                        fma(weight[o][c][kh][kw], at(dy, n, o, i, j), p)
 *
 * So dx is, for every residue of (h + pad, w + pad) by the strides, a dense product too; a sum
 * without terms is +0. No samples give dweight and dbias of +0. */
#ifndef TDBG_KERNELS_CONV2D_H
#define TDBG_KERNELS_CONV2D_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

struct tdbg_conv2d {
    int64_t samples;              /* N */
    int64_t in, height, width;    /* C, H, W */
    int64_t out, groups;          /* O; groups divides C and O */
    int64_t kernel[2], stride[2]; /* each pair is of (H, W); >= 1 */
    int64_t padding[2], dilation[2];
};

/* OH for axis 0, OW for axis 1; below 1 if the kernel does not fit into the padded image. */
int64_t tdbg_conv2d_out_size(const struct tdbg_conv2d *conv, int axis);

/* Bytes of scratch memory, 64-byte aligned, that any of the passes below needs; the packed weights
 * and, per thread, a few images. */
size_t tdbg_conv2d_workspace_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv);

/* Outputs are overwritten and alias nothing. */
void tdbg_conv2d_forward(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv, const float *x,
                         const float *weight, const float *bias, float *y, void *workspace);
void tdbg_conv2d_backward_input(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv,
                                const float *dy, const float *weight, float *dx, void *workspace);
void tdbg_conv2d_backward_weight(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv,
                                 const float *x, const float *dy, float *dweight, void *workspace);
void tdbg_conv2d_backward_bias(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv,
                               const float *dy, float *dbias);

/* The same on a GPU: see gpu.h. */
size_t tdbg_cuda_conv2d_workspace_bytes(void *gpu, const struct tdbg_conv2d *conv);
void tdbg_cuda_conv2d_forward(void *gpu, const struct tdbg_conv2d *conv, const float *x,
                              const float *weight, const float *bias, float *y, void *workspace);
void tdbg_cuda_conv2d_backward_input(void *gpu, const struct tdbg_conv2d *conv, const float *dy,
                                     const float *weight, float *dx, void *workspace);
void tdbg_cuda_conv2d_backward_weight(void *gpu, const struct tdbg_conv2d *conv, const float *x,
                                      const float *dy, float *dweight, void *workspace);
void tdbg_cuda_conv2d_backward_bias(void *gpu, const struct tdbg_conv2d *conv, const float *dy,
                                    float *dbias);

#endif
