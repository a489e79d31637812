/* Batch norm on the CPU: what touches every element. Formulas and orders: batch_norm.h; what folds
 * the blocks' results is batch_norm.c. */
#include "kernels/batch_norm.h"

#include <string.h>

#include "kernels/batch_norm_blocks.h"
#include "kernels/isa_table.h"
#include "kernels/norm_lanes.h"
#include "kernels/stream_store.h"

#define ALWAYS static inline __attribute__((always_inline))

/* Two ways through a unit. Where a sample has no more elements of a channel than there are lanes,
 * element p is lane p, and a row of the unit's channels is one run of columns, each of which adds
 * up its own lane:
 *
 *     columns   c0p0 c0p1 c0p2  c1p0 c1p1 c1p2 ...     (inner = 3)
 *
 * Else each channel's run is added to the channel's 32 lanes. */
struct columns {
    float of[TDBG_BN_STRIP_COLUMNS];
    float apart[128]; /* not a power of two apart: a store would block the other's loads */
};

/* Samples to ask for ahead: forward reads pieces that are too short for the processor to see what
 * comes next. (Backward has two tensors to wait for, and only gets slower.) */
enum { AHEAD = 2, AHEAD_SHORT = 8 };

static int64_t count_columns(const struct tdbg_bn_unit *unit)
{
    return unit->channels * unit->pixels;
}

static void clear_columns(int64_t n, struct columns *columns)
{
    memset(columns->of, 0, (size_t)n * sizeof(float));
}

/* Every column gets its channel's value; all get `none` where values is NULL. */
static void set_columns(const struct tdbg_bn_unit *unit, const float *values, float none,
                        struct columns *columns)
{
    float *to = columns->of;
    if (unit->pixels == 1 && values) {
        memcpy(to, values, (size_t)unit->channels * sizeof *to);
        return;
    }
    for (int64_t c = 0; c < unit->channels; c++) {
        for (int64_t p = 0; p < unit->pixels; p++)
            *to++ = values ? values[c] : none;
    }
}

static void fold_columns(const struct tdbg_bn_unit *unit, const struct columns *columns, float *out)
{
    const float *from = columns->of;
    if (unit->pixels == 1) { /* lane 0 with 31 lanes of +0: -0 becomes +0 */
        for (int64_t c = 0; c < unit->channels; c++)
            out[c] = from[c] + 0.0f;
        return;
    }
    for (int64_t c = 0; c < unit->channels; c++) {
        struct tdbg_sum_lanes sum = {{0}};
        for (int64_t p = 0; p < unit->pixels; p++)
            sum.lane[p] = *from++;
        out[c] = tdbg_sum_lanes_fold(&sum);
    }
}

/* ---- forward: parts of blocks ---------------------------------------------------------------- */

/* m_b, then from the sums of deviations c_b and q_b, over the unit's channels. */
static void finish_means(const struct tdbg_bn_unit *unit, float *m)
{
    const float n = (float)(unit->samples * unit->pixels);
    for (int64_t c = 0; c < unit->channels; c++)
        m[c] = m[c] / n;
}

static void finish_spreads(const struct tdbg_bn_unit *unit, float *c, float *q)
{
    const float n = (float)(unit->samples * unit->pixels);
    for (int64_t i = 0; i < unit->channels; i++) {
        float e = c[i];
        c[i] = e / n;
        float square = TDBG_STRICT_FMA(-e, c[i], q[i]);
        q[i] = square < 0 ? 0 : square;
    }
}

static void part_columns(const struct tdbg_bn_unit *unit, int64_t stride, const float *x, float *m,
                         float *c, float *q)
{
    const int64_t n = count_columns(unit);
    struct columns sum, square, mean;
    clear_columns(n, &sum);
    for (int64_t s = 0; s < unit->samples; s++) {
        if (s + AHEAD_SHORT < unit->samples)
            tdbg_norm_fetch(n, x + (s + AHEAD_SHORT) * stride);
        for (int64_t j = 0; j < n; j++)
            sum.of[j] += x[s * stride + j];
    }
    fold_columns(unit, &sum, m);
    finish_means(unit, m);
    set_columns(unit, m, 0, &mean);
    clear_columns(n, &sum);
    clear_columns(n, &square);
    for (int64_t s = 0; s < unit->samples; s++) {
        for (int64_t j = 0; j < n; j++) {
            float d = x[s * stride + j] - mean.of[j];
            sum.of[j] += d;
            square.of[j] = TDBG_STRICT_FMA(d, d, square.of[j]);
        }
    }
    fold_columns(unit, &sum, c);
    fold_columns(unit, &square, q);
    finish_spreads(unit, c, q);
}

static void part_runs(const struct tdbg_bn_unit *unit, int64_t stride, int64_t inner,
                      const float *x, float *m, float *c, float *q)
{
    struct tdbg_sum_lanes sum[TDBG_BN_CHANNELS] = {0}, square[TDBG_BN_CHANNELS] = {0};
    for (int64_t s = 0; s < unit->samples; s++) {
        if (s + AHEAD < unit->samples)
            tdbg_norm_fetch(unit->channels * inner, x + (s + AHEAD) * stride);
        for (int64_t i = 0; i < unit->channels; i++)
            tdbg_norm_sum_run(unit->pixels, x + s * stride + i * inner, &sum[i]);
    }
    for (int64_t i = 0; i < unit->channels; i++)
        m[i] = tdbg_sum_lanes_fold(&sum[i]);
    finish_means(unit, m);
    memset(sum, 0, sizeof sum);
    for (int64_t s = 0; s < unit->samples; s++) {
        for (int64_t i = 0; i < unit->channels; i++)
            tdbg_norm_spread_run(unit->pixels, x + s * stride + i * inner, m[i], &sum[i],
                                 &square[i]);
    }
    for (int64_t i = 0; i < unit->channels; i++) {
        c[i] = tdbg_sum_lanes_fold(&sum[i]);
        q[i] = tdbg_sum_lanes_fold(&square[i]);
    }
    finish_spreads(unit, c, q);
}

/* parts (blocks, 3, channels): m_b, c_b, q_b */
void TDBG_KERNEL(tdbg_batch_norm_blocks)(const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi,
                                         const float *x, float *parts)
{
    const int64_t channels = norm->channels, inner = norm->inner, stride = channels * inner;
    for (int64_t u = lo; u < hi; u++) {
        const struct tdbg_bn_unit unit = tdbg_bn_unit(norm, TDBG_BN_PART_COLUMNS, u);
        float *m = parts + unit.block * 3 * channels + unit.channel;
        float *c = m + channels, *q = c + channels;
        if (inner <= TDBG_SUM_LANES)
            part_columns(&unit, stride, x + unit.offset, m, c, q);
        else
            part_runs(&unit, stride, inner, x + unit.offset, m, c, q);
    }
}

/* ---- forward: the normalised values ---------------------------------------------------------- */

/* What every element of a channel, or of a column, is computed from. */
struct coefficients {
    float m, c, r, weight, bias;
};

ALWAYS float forward_element(float x, const struct coefficients *k, bool scaled, bool shifted)
{
    float h = tdbg_norm_element(x, k->m, k->c, k->r);
    if (scaled && shifted)
        h = TDBG_STRICT_FMA(h, k->weight, k->bias);
    else if (scaled)
        h = h * k->weight;
    return tdbg_strict_canonical(h);
}

ALWAYS void apply_run(int64_t n, const float *x, const struct coefficients *of, float *y,
                      bool scaled, bool shifted, bool stream)
{
    const struct coefficients k = *of;
    float piece[TDBG_STREAM_PIECE];
    for (int64_t i = 0; i < n; i += TDBG_STREAM_PIECE) {
        const int64_t end = tdbg_bn_least(i + TDBG_STREAM_PIECE, n);
        float *to = stream ? piece : y + i;
        for (int64_t j = i; j < end; j++)
            to[j - i] = forward_element(x[j], &k, scaled, shifted);
        if (stream)
            tdbg_stream_copy(end - i, piece, y + i);
    }
}

struct apply {
    int64_t channels, inner; /* of the whole tensor */
    const float *stats, *weight, *bias;
    bool stream;
};

ALWAYS void apply_runs(const struct apply *a, const struct tdbg_bn_unit *unit, const float *x,
                       float *y, bool scaled, bool shifted)
{
    const float *m = a->stats + unit->channel, *c = m + a->channels, *r = c + a->channels;
    for (int64_t s = 0; s < unit->samples; s++) {
        for (int64_t i = 0; i < unit->channels; i++) {
            const int64_t at = (s * a->channels + i) * a->inner, channel = unit->channel + i;
            const struct coefficients k = {m[i], c[i], r[i], scaled ? a->weight[channel] : 0,
                                           shifted ? a->bias[channel] : 0};
            apply_run(unit->pixels, x + at, &k, y + at, scaled, shifted, a->stream);
        }
    }
}

struct column_coefficients {
    struct columns m, c, r, weight, bias;
};

ALWAYS float forward_column(const struct column_coefficients *k, const float *x, int64_t j,
                            bool scaled, bool shifted)
{
    const struct coefficients one = {k->m.of[j], k->c.of[j], k->r.of[j], k->weight.of[j],
                                     k->bias.of[j]};
    return forward_element(x[j], &one, scaled, shifted);
}

ALWAYS void apply_columns(const struct apply *a, const struct tdbg_bn_unit *unit, const float *x,
                          float *y, bool scaled, bool shifted)
{
    const int64_t n = count_columns(unit), stride = a->channels * a->inner;
    const float *m = a->stats + unit->channel, *c = m + a->channels, *r = c + a->channels;
    struct column_coefficients k;
    struct columns piece;
    set_columns(unit, m, 0, &k.m);
    set_columns(unit, c, 0, &k.c);
    set_columns(unit, r, 0, &k.r);
    set_columns(unit, scaled ? a->weight + unit->channel : NULL, 1, &k.weight);
    set_columns(unit, shifted ? a->bias + unit->channel : NULL, 0, &k.bias);
    for (int64_t s = 0; s < unit->samples; s++, x += stride, y += stride) {
        float *to = a->stream ? piece.of : y;
        if (s + AHEAD < unit->samples)
            tdbg_norm_fetch(n, x + AHEAD * stride);
        for (int64_t j = 0; j < n; j++)
            to[j] = forward_column(&k, x, j, scaled, shifted);
        if (a->stream)
            tdbg_stream_copy(n, piece.of, y);
    }
}

ALWAYS void apply_unit(const struct apply *a, const struct tdbg_bn_unit *unit, const float *x,
                       float *y, bool scaled, bool shifted)
{
    if (a->inner <= TDBG_BN_STRIP_INNER)
        apply_columns(a, unit, x + unit->offset, y + unit->offset, scaled, shifted);
    else
        apply_runs(a, unit, x + unit->offset, y + unit->offset, scaled, shifted);
}

void TDBG_KERNEL(tdbg_batch_norm_apply)(const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi,
                                        const float *x, const float *stats, const float *weight,
                                        const float *bias, float *y)
{
    const struct apply a = {
        norm->channels, norm->inner,
        stats,          weight,
        bias,           tdbg_stream_pays(norm->samples * norm->channels * norm->inner)};
    for (int64_t u = lo; u < hi; u++) {
        const struct tdbg_bn_unit unit = tdbg_bn_strip(norm, u);
        if (weight && bias)
            apply_unit(&a, &unit, x, y, true, true);
        else if (weight)
            apply_unit(&a, &unit, x, y, true, false);
        else
            apply_unit(&a, &unit, x, y, false, false);
    }
    if (a.stream)
        tdbg_stream_end();
}

/* ---- backward -------------------------------------------------------------------------------- */

static void sum_columns(const struct tdbg_bn_unit *unit, int64_t stride, const float *x,
                        const float *dy, const float *m, const float *c, const float *r, float *sum,
                        float *product)
{
    const int64_t n = count_columns(unit);
    struct columns km, kc, kr, sums, products;
    set_columns(unit, m, 0, &km);
    set_columns(unit, c, 0, &kc);
    set_columns(unit, r, 0, &kr);
    clear_columns(n, &sums);
    clear_columns(n, &products);
    for (int64_t s = 0; s < unit->samples; s++, x += stride, dy += stride) {
        for (int64_t j = 0; j < n; j++) {
            float h = tdbg_norm_element(x[j], km.of[j], kc.of[j], kr.of[j]);
            sums.of[j] += dy[j];
            products.of[j] = TDBG_STRICT_FMA(dy[j], h, products.of[j]);
        }
    }
    fold_columns(unit, &sums, sum);
    fold_columns(unit, &products, product);
}

static void sum_runs(const struct tdbg_bn_unit *unit, int64_t stride, int64_t inner, const float *x,
                     const float *dy, const float *m, const float *c, const float *r, float *sum,
                     float *product)
{
    struct tdbg_sum_lanes sums[TDBG_BN_CHANNELS] = {0}, products[TDBG_BN_CHANNELS] = {0};
    for (int64_t s = 0; s < unit->samples; s++) {
        for (int64_t i = 0; i < unit->channels; i++) {
            const int64_t at = s * stride + i * inner;
            const struct tdbg_norm_run run = {
                .x = x + at, .dy = dy + at, .m = m[i], .c = c[i], .r = r[i]};
            tdbg_norm_product_run(unit->pixels, &run, false, &sums[i], &products[i]);
        }
    }
    for (int64_t i = 0; i < unit->channels; i++) {
        sum[i] = tdbg_sum_lanes_fold(&sums[i]);
        product[i] = tdbg_sum_lanes_fold(&products[i]);
    }
}

/* parts (blocks, 2, channels): B(dy), B(dy * h) */
void TDBG_KERNEL(tdbg_batch_norm_sums)(const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi,
                                       const float *x, const float *stats, const float *dy,
                                       float *parts)
{
    const int64_t channels = norm->channels, inner = norm->inner, stride = channels * inner;
    for (int64_t u = lo; u < hi; u++) {
        const struct tdbg_bn_unit unit = tdbg_bn_unit(norm, TDBG_BN_SUM_COLUMNS, u);
        const float *m = stats + unit.channel, *c = m + channels, *r = c + channels;
        float *sum = parts + unit.block * 2 * channels + unit.channel, *product = sum + channels;
        if (inner <= TDBG_SUM_LANES)
            sum_columns(&unit, stride, x + unit.offset, dy + unit.offset, m, c, r, sum, product);
        else
            sum_runs(&unit, stride, inner, x + unit.offset, dy + unit.offset, m, c, r, sum,
                     product);
    }
}

/* scale = weight * r, or r */
struct slopes {
    float m, c, r, a, k, scale;
};

ALWAYS float gradient_element(float x, float dy, const struct slopes *s)
{
    float h = tdbg_norm_element(x, s->m, s->c, s->r);
    return tdbg_strict_canonical(s->scale * TDBG_STRICT_FMA(-h, s->k, dy - s->a));
}

static struct slopes find_slopes(const struct tdbg_batch_norm *norm, int64_t channel,
                                 const float *stats, const float *weight, const float *sums,
                                 float count)
{
    struct slopes s = {.m = stats[channel],
                       .c = stats[norm->channels + channel],
                       .r = stats[2 * norm->channels + channel],
                       .a = sums[channel] / count,
                       .k = sums[norm->channels + channel] / count};
    s.scale = weight ? weight[channel] * s.r : s.r;
    return s;
}

static void dx_run(int64_t n, const float *x, const float *dy, const struct slopes *of, float *dx,
                   bool stream)
{
    const struct slopes k = *of;
    float piece[TDBG_STREAM_PIECE];
    for (int64_t i = 0; i < n; i += TDBG_STREAM_PIECE) {
        const int64_t end = tdbg_bn_least(i + TDBG_STREAM_PIECE, n);
        float *to = stream ? piece : dx + i;
        for (int64_t j = i; j < end; j++)
            to[j - i] = gradient_element(x[j], dy[j], &k);
        if (stream)
            tdbg_stream_copy(end - i, piece, dx + i);
    }
}

struct column_slopes {
    struct columns m, c, r, a, k, scale;
};

ALWAYS float gradient_column(const struct column_slopes *k, const float *x, const float *dy,
                             int64_t j)
{
    const struct slopes one = {k->m.of[j], k->c.of[j], k->r.of[j],
                               k->a.of[j], k->k.of[j], k->scale.of[j]};
    return gradient_element(x[j], dy[j], &one);
}

static void dx_columns(const struct tdbg_bn_unit *unit, int64_t stride, const float *x,
                       const float *dy, const struct column_slopes *k, float *dx, bool stream)
{
    const int64_t n = count_columns(unit);
    struct columns piece;
    for (int64_t s = 0; s < unit->samples; s++, x += stride, dy += stride, dx += stride) {
        float *to = stream ? piece.of : dx;
        for (int64_t j = 0; j < n; j++)
            to[j] = gradient_column(k, x, dy, j);
        if (stream)
            tdbg_stream_copy(n, piece.of, dx);
    }
}

static void set_slopes(const struct tdbg_bn_unit *unit, int64_t channel, const struct slopes *s,
                       struct column_slopes *k)
{
    for (int64_t j = channel * unit->pixels; j < (channel + 1) * unit->pixels; j++) {
        k->m.of[j] = s->m;
        k->c.of[j] = s->c;
        k->r.of[j] = s->r;
        k->a.of[j] = s->a;
        k->k.of[j] = s->k;
        k->scale.of[j] = s->scale;
    }
}

void TDBG_KERNEL(tdbg_batch_norm_dx)(const struct tdbg_batch_norm *norm, int64_t lo, int64_t hi,
                                     const float *x, const float *stats, const float *weight,
                                     const float *dy, const float *sums, int64_t count, float *dx)
{
    const int64_t stride = norm->channels * norm->inner;
    const bool stream = tdbg_stream_pays(norm->samples * stride);
    for (int64_t u = lo; u < hi; u++) {
        const struct tdbg_bn_unit unit = tdbg_bn_strip(norm, u);
        struct column_slopes columns;
        for (int64_t i = 0; i < unit.channels; i++) {
            const struct slopes k =
                find_slopes(norm, unit.channel + i, stats, weight, sums, (float)count);
            if (norm->inner <= TDBG_BN_STRIP_INNER)
                set_slopes(&unit, i, &k, &columns);
            for (int64_t s = 0; norm->inner > TDBG_BN_STRIP_INNER && s < unit.samples; s++) {
                const int64_t at = unit.offset + s * stride + i * norm->inner;
                dx_run(unit.pixels, x + at, dy + at, &k, dx + at, stream);
            }
        }
        if (norm->inner <= TDBG_BN_STRIP_INNER)
            dx_columns(&unit, stride, x + unit.offset, dy + unit.offset, &columns, dx + unit.offset,
                       stream);
    }
    if (stream)
        tdbg_stream_end();
}
