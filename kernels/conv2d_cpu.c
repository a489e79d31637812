/* Inner kernels of the convolution, compiled once per instruction set. conv2d.c and
 * conv2d_weight.c cut the work into these and the matrix product's tiles. Order: conv2d.h. */
#include "kernels/conv2d_isa.h"

#include "kernels/gemm_vec.h"
#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void gather_pieces(const struct tdbg_conv_gather *g, const int pieces)
{
    float *out = g->out;
    for (int64_t r = 0; r < g->rows; r++, out += g->out_stride) {
        const int64_t off = g->off[r];
        for (int i = 0; i < pieces; i++)
            v_store(out + g->to[i], v_load(g->from[i] + off));
    }
}

void TDBG_KERNEL(tdbg_conv_gather)(const struct tdbg_conv_gather *g)
{
    switch (g->pieces) { /* a loop of known length needs no branches */
    case 1:
        gather_pieces(g, 1);
        break;
    case 2:
        gather_pieces(g, 2);
        break;
    case 3:
        gather_pieces(g, 3);
        break;
    case 4:
        gather_pieces(g, 4);
        break;
    default:
        gather_pieces(g, g->pieces);
    }
}

INLINE void copy_row(int64_t n, int64_t step, const float *src, float *dst)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = src[i * step];
}

void TDBG_KERNEL(tdbg_conv_copy)(const struct tdbg_conv_copy *c)
{
    for (int64_t r = 0; r < c->rows; r++) {
        const float *src = c->src + r * c->src_stride;
        float *dst = c->dst + r * c->dst_stride;
        if (c->step == 1)
            copy_row(c->n, 1, src, dst);
        else if (c->step == 2)
            copy_row(c->n, 2, src, dst);
        else
            copy_row(c->n, c->step, src, dst);
    }
}

enum { DIRECT_VECS = 4 };

/* Up to vecs vectors of one row of the plane. */
INLINE void direct_run(const struct tdbg_conv_direct *d, const float *x, float *y, int64_t cols,
                       const int vecs)
{
    vec sum[DIRECT_VECS], p[DIRECT_VECS];
    UNROLL(4)
    for (int v = 0; v < vecs; v++)
        sum[v] = v_zero();
    for (int64_t slice = 0; slice < d->k; slice += TDBG_K_SLICE) {
        int64_t end = slice + TDBG_K_SLICE < d->k ? slice + TDBG_K_SLICE : d->k;
        UNROLL(4) for (int v = 0; v < vecs; v++) p[v] = v_zero();
        for (int64_t t = slice; t < end; t++) {
            const float *from = x + d->off[t];
            vec w = v_set1(d->w[t]);
            UNROLL(4)
            for (int v = 0; v < vecs; v++)
                p[v] = v_fma(w, v_load(from + v * LANES), p[v]);
        }
        UNROLL(4) for (int v = 0; v < vecs; v++) sum[v] = slice == 0 ? p[v] : v_add(sum[v], p[v]);
    }
    vec bias = d->bias ? v_set1(*d->bias) : v_zero();
    UNROLL(4)
    for (int v = 0; v < vecs; v++)
        sum[v] = v_canonical(d->bias ? v_add(sum[v], bias) : sum[v]);
    if (d->y_j == 1 && cols == vecs * LANES) {
        UNROLL(4) for (int v = 0; v < vecs; v++) v_store(y + v * LANES, sum[v]);
        return;
    }
    float line[DIRECT_VECS * LANES] = {0};
    UNROLL(4) for (int v = 0; v < vecs; v++) v_store(line + v * LANES, sum[v]);
    for (int64_t j = 0; j < cols; j++)
        y[j * d->y_j] = line[j];
}

void TDBG_KERNEL(tdbg_conv_direct)(const struct tdbg_conv_direct *d)
{
    for (int64_t i = 0; i < d->rows; i++) {
        const float *x = d->x + i * d->x_i;
        float *y = d->y + i * d->y_i;
        int64_t left = d->cols;
        for (; left >= 4 * LANES; left -= 4 * LANES, x += 4 * LANES, y += 4 * LANES * d->y_j)
            direct_run(d, x, y, 4 * LANES, 4);
        int vecs = (int)((left + LANES - 1) / LANES);
        if (vecs == 4)
            direct_run(d, x, y, left, 4);
        else if (vecs == 3)
            direct_run(d, x, y, left, 3);
        else if (vecs == 2)
            direct_run(d, x, y, left, 2);
        else if (vecs == 1)
            direct_run(d, x, y, left, 1);
    }
}

INLINE void lanes_run(const struct tdbg_conv_lanes *a, const int taps)
{
    vec p[TDBG_CONV_MAX_TAPS];
    const float *x = a->x, *dy = a->dy;
    UNROLL(9) for (int t = 0; t < taps; t++) p[t] = v_load(a->part + t * LANES);
    for (int64_t j = 0; j < a->n; j++, x += a->x_j, dy += LANES) {
        vec d = v_load(dy);
        UNROLL(9) for (int t = 0; t < taps; t++) p[t] = v_fma(d, v_load(x + a->off[t]), p[t]);
    }
    UNROLL(9) for (int t = 0; t < taps; t++) v_store(a->part + t * LANES, p[t]);
}

void TDBG_KERNEL(tdbg_conv_lanes)(const struct tdbg_conv_lanes *a)
{
#define TAPS(n)                                                                                    \
    case n:                                                                                        \
        lanes_run(a, n);                                                                           \
        break;
    switch (a->taps) {
        TAPS(1) TAPS(2) TAPS(3) TAPS(4) TAPS(5) TAPS(6) TAPS(7) TAPS(8) TAPS(9)
    }
#undef TAPS
}

enum { PLANES = 8 }; /* chains that are added side by side, to hide an addition's latency */

/* Sums of planes a stride apart over all samples, cut into slices that run through the samples. */
INLINE void sum_planes(int64_t samples, int64_t elems, int64_t sample_stride, const int planes,
                       const float *x, float *out)
{
    float total[PLANES] = {0}, part[PLANES] = {0};
    int64_t left = TDBG_K_SLICE;
    for (int64_t n = 0; n < samples; n++, x += sample_stride) {
        for (int64_t i = 0; i < elems;) {
            int64_t run = elems - i < left ? elems - i : left;
            for (int64_t j = i; j < i + run; j++)
                for (int l = 0; l < planes; l++)
                    part[l] += x[l * elems + j];
            i += run;
            left -= run;
            if (left > 0)
                continue;
            left = TDBG_K_SLICE;
            for (int l = 0; l < planes; l++, part[l - 1] = 0)
                total[l] += part[l]; /* +0 + part is part: a part never is -0 */
        }
    }
    for (int l = 0; l < planes; l++)
        out[l] = tdbg_strict_canonical(total[l] + part[l]);
}

void TDBG_KERNEL(tdbg_conv_sum_planes)(int64_t samples, int64_t planes, int64_t elems, int64_t lo,
                                       int64_t hi, const float *x, float *out)
{
    for (; lo + PLANES <= hi; lo += PLANES)
        sum_planes(samples, elems, planes * elems, PLANES, x + lo * elems, out + lo);
    for (; lo < hi; lo++)
        sum_planes(samples, elems, planes * elems, 1, x + lo * elems, out + lo);
}
