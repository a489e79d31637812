/* What the files of the convolution share beside the geometry. For conv2d*.c alone. */
#ifndef TDBG_KERNELS_CONV2D_PLAN_H
#define TDBG_KERNELS_CONV2D_PLAN_H

#include "kernels/conv2d_view.h"

/* Threads worth waking for `fmas` fused multiply-adds in `units` indivisible units. */
static inline int64_t tdbg_conv_parts(const struct tdbg_cpu *cpu, int64_t units, double fmas)
{
    const double thread_fmas = 1 << 20;
    double worth = fmas / thread_fmas;
    int64_t parts = worth < cpu->threads ? (int64_t)worth : cpu->threads;
    return tdbg_conv_max(1, tdbg_conv_min(parts, units));
}

/* Rows cut into panels as evenly as possible: the first `longer` have one row more. */
struct tdbg_conv_rows {
    int64_t count, longer;
    int rows;
};

static inline struct tdbg_conv_rows tdbg_conv_cut_rows(int64_t rows, int most)
{
    int64_t count = tdbg_conv_ceil_div(rows, most);
    return (struct tdbg_conv_rows){count, rows % count, (int)(rows / count)};
}

static inline int64_t tdbg_conv_rows_before(const struct tdbg_conv_rows *cut, int64_t panel)
{
    return panel * cut->rows + tdbg_conv_min(panel, cut->longer);
}

/* x as the forward pass and the weight gradient see it, before tdbg_conv_view_init(). */
struct tdbg_conv_view tdbg_conv_view_of_x(const struct tdbg_conv2d *conv);

/* Which of the kernel's taps a residue class of dx has: `first`, and from there steps of h and w,
 * all as distances in a plane of the weights. */
struct tdbg_conv_taps {
    int64_t first, h, w;
};

/* dy as elements [ih::stride, iw::stride] of dx see it, before tdbg_conv_view_init(). Either axis
 * may come out without outs or taps. */
struct tdbg_conv_view tdbg_conv_view_of_class(const struct tdbg_conv2d *conv, int64_t ih,
                                              int64_t iw, struct tdbg_conv_taps *taps);

/* The input gradient of groups of few images where a stride is 2: all residue classes of a plane at
 * once. samples > 0. */
bool tdbg_conv_strided_fit(const struct tdbg_conv2d *conv);
size_t tdbg_conv_strided_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv);
void tdbg_conv_strided_run(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv,
                           const float *dy, const float *weight, float *dx, void *workspace);

/* Workspace of the weight gradient; samples > 0. */
size_t tdbg_conv_weight_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv);

/* The weight gradient of groups of one image and few outputs, a vector of groups at a time. */
bool tdbg_conv_lanes_fit(const struct tdbg_conv2d *conv);
size_t tdbg_conv_lanes_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv);
void tdbg_conv_lanes_run(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv, const float *x,
                         const float *dy, float *dweight, void *workspace);

#endif
