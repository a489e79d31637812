/* Inner kernels of the convolution, compiled once per instruction set. conv2d.c and
 * conv2d_weight.c cut the work into these and the matrix product's tiles. Order: conv2d.h. */
#include "kernels/conv2d_isa.h"

#include "kernels/gemm_vec.h"
#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void gather_few(const struct tdbg_conv_gather *g, const int pieces)
{
    const float *from[4];
    float *out[4];
    for (int i = 0; i < pieces; i++) {
        from[i] = g->from[i];
        out[i] = g->out + g->to[i];
    }
    for (int64_t r = 0; r < g->rows; r++) {
        const int64_t off = g->off[r];
        for (int i = 0; i < pieces; i++, out[i - 1] += g->out_stride)
            v_store(out[i], v_load(from[i] + off));
    }
}

static void gather_many(const struct tdbg_conv_gather *g)
{
    float *out = g->out;
    for (int64_t r = 0; r < g->rows; r++, out += g->out_stride) {
        const int64_t off = g->off[r];
        for (int i = 0; i < g->pieces; i++)
            v_store(out + g->to[i], v_load(g->from[i] + off));
    }
}

/* The lines that the columns behind these will need. */
static void fetch_ahead(const struct tdbg_conv_gather *g)
{
    const char *from = (const char *)(g->from[0] + g->ahead);
    for (int64_t r = 0; r < g->rows; r++)
        __builtin_prefetch(from + g->off[r] * (int64_t)sizeof(float));
}

void TDBG_KERNEL(tdbg_conv_gather)(const struct tdbg_conv_gather *g)
{
    if (g->ahead > 0)
        fetch_ahead(g);
    switch (g->pieces) { /* in registers: stores could change what g points at */
    case 1:
        gather_few(g, 1);
        break;
    case 2:
        gather_few(g, 2);
        break;
    case 3:
        gather_few(g, 3);
        break;
    case 4:
        gather_few(g, 4);
        break;
    default:
        gather_many(g);
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

void TDBG_KERNEL(tdbg_conv_interleave)(const struct tdbg_conv_interleave *p)
{
    for (int64_t r = 0; r < p->rows; r++) {
        const float *a = p->a + r * p->a_stride, *b = p->b + r * p->b_stride;
        float *y = p->y + r * p->y_stride;
        for (int64_t j = 0; j < p->n / 2; j++) {
            y[2 * j] = a[j];
            y[2 * j + 1] = b[j];
        }
        if (p->n % 2 != 0)
            y[p->n - 1] = a[p->n / 2];
    }
}

enum { DIRECT_VECS = 4 };

#define EACH(do_this)                                                                              \
    UNROLL(4) for (int o = 0; o < outputs; o++) UNROLL(4) for (int v = 0; v < vecs; v++) do_this

/* One row's columns, `cols` of vecs vectors. whole: all of the vectors may be written. */
INLINE void direct_run(const struct tdbg_conv_direct *d, const float *x, float *y, int64_t cols,
                       bool whole, const int outputs, const int vecs)
{
    vec sum[TDBG_CONV_MAX_DIRECT][DIRECT_VECS], p[TDBG_CONV_MAX_DIRECT][DIRECT_VECS];
    EACH(sum[o][v] = v_zero());
    for (int64_t slice = 0; slice < d->k; slice += TDBG_K_SLICE) {
        int64_t end = slice + TDBG_K_SLICE < d->k ? slice + TDBG_K_SLICE : d->k;
        EACH(p[o][v] = v_zero());
        for (int64_t t = slice; t < end; t++) {
            const float *from = x + d->off[t], *w = d->w + t * outputs;
            vec weight[TDBG_CONV_MAX_DIRECT];
            UNROLL(4) for (int o = 0; o < outputs; o++) weight[o] = v_set1(w[o]);
            UNROLL(4) for (int v = 0; v < vecs; v++)
            {
                vec image = v_load(from + v * LANES);
                UNROLL(4)
                for (int o = 0; o < outputs; o++)
                    p[o][v] = v_fma(weight[o], image, p[o][v]);
            }
        }
        EACH(sum[o][v] = slice == 0 ? p[o][v] : v_add(sum[o][v], p[o][v]));
    }
    if (d->bias)
        EACH(sum[o][v] = v_add(sum[o][v], v_set1(d->bias[o])));
    EACH(sum[o][v] = v_canonical(sum[o][v]));
    if (whole) {
        EACH(v_store(y + o * d->y_o + v * LANES, sum[o][v]));
        return;
    }
    float line[TDBG_CONV_MAX_DIRECT][DIRECT_VECS * LANES];
    UNROLL(4)
    for (int o = 0; o < outputs; o++)
        UNROLL(4)
    for (int v = 0; v < DIRECT_VECS; v++)
        v_store(line[o] + v * LANES, v < vecs ? sum[o][v] : v_zero());
    for (int o = 0; o < outputs; o++)
        for (int64_t j = 0; j < cols; j++)
            y[o * d->y_o + j * d->y_j] = line[o][j];
}

INLINE void direct_outputs(const struct tdbg_conv_direct *d, const int outputs)
{
    const int64_t step = DIRECT_VECS * LANES;
    const bool lies_flat = d->y_j == 1 && d->y_i == d->cols;
    for (int64_t i = 0; i < d->rows; i++) {
        const float *x = d->x + i * d->x_i;
        float *y = d->y + i * d->y_i;
        int64_t left = d->cols, behind = (d->rows - 1 - i) * d->cols; /* elements after the row */
        for (; left >= step; left -= step, x += step, y += step * d->y_j)
            direct_run(d, x, y, step, d->y_j == 1, outputs, 4);
        int vecs = (int)((left + LANES - 1) / LANES);
        /* what is too much is written again with the rows behind */
        bool whole = lies_flat && vecs * LANES - left <= behind;
        if (vecs == 4)
            direct_run(d, x, y, left, whole, outputs, 4);
        else if (vecs == 3)
            direct_run(d, x, y, left, whole, outputs, 3);
        else if (vecs == 2)
            direct_run(d, x, y, left, whole, outputs, 2);
        else if (vecs == 1)
            direct_run(d, x, y, left, whole, outputs, 1);
    }
}

void TDBG_KERNEL(tdbg_conv_direct)(const struct tdbg_conv_direct *d)
{
    if (d->outputs == 1)
        direct_outputs(d, 1);
    else if (d->outputs == 2)
        direct_outputs(d, 2);
    else
        direct_outputs(d, 3);
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
