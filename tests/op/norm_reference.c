/* See norm_reference.h. Slow, and nothing here is shared with kernels/. */
#include "norm_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t element(const struct norm_input *in, int64_t o, int64_t g, int64_t i)
{
    return (o * in->groups + g) * in->inner + i;
}

static int64_t column(const struct norm_input *in, int64_t g, int64_t i)
{
    return in->kind == NORM_BATCH ? g : i;
}

/* ---- binary64 -------------------------------------------------------------------------------- */

static const double unit = 0x1p-24, tiny = 0x1p-126;

/* What is known of a group: statistics, and the bounds that all its elements share. */
struct group {
    double count, mean, var, r;
    double depth;         /* additions that a term of a sum passes through */
    double spread, h_abs; /* of the deviations as computed; absolute error of h */
    double r_rel;         /* relative error of r */
    double a, k, a_error, k_error;
};

#define EACH(in, o, i)                                                                             \
    for (int64_t o = 0; o < (in)->outer; o++)                                                      \
        for (int64_t i = 0; i < (in)->inner; i++)

static double weight_of(const struct norm_input *in, int64_t g, int64_t i)
{
    return in->scaled ? (double)in->weight[column(in, g, i)] : 1;
}

static double normalised(const struct norm_input *in, const struct group *s, int64_t at)
{
    return ((double)in->x[at] - s->mean) * s->r;
}

static double h_error(const struct group *s, double h)
{
    return s->h_abs + fabs(h) * (s->r_rel + 4 * unit);
}

static struct group measure(const struct norm_input *in, int64_t g)
{
    struct group s = {.count = (double)(in->outer * in->inner)};
    double sum = 0, size = 0, square = 0;
    EACH(in, o, i)
    {
        sum += (double)in->x[element(in, o, g, i)];
        size += fabs((double)in->x[element(in, o, g, i)]);
    }
    s.mean = in->kind == NORM_RMS ? 0 : sum / s.count;
    EACH(in, o, i)
    {
        double d = (double)in->x[element(in, o, g, i)] - s.mean;
        square += d * d;
    }
    s.var = square / s.count;
    s.r = 1 / sqrt(s.var + (double)in->eps);
    s.depth = in->kind == NORM_BATCH ? 256 + 6 + 256 + 8 : 2 * 134 + 4;
    /* The first mean is off by depth ULPs of the elements; deviations are taken from it. */
    s.spread = sqrt(s.var) + s.depth * unit * size / s.count;
    s.h_abs = in->kind == NORM_RMS ? 0 : (s.depth + 4) * unit * s.spread * s.r;
    s.r_rel = ((s.depth + 4) * s.spread * s.spread * s.r * s.r / 2 + 4) * unit;
    return s;
}

/* a = mean of g and k = mean of g h, with their errors. */
static void measure_gradient(const struct norm_input *in, int64_t g, struct group *s)
{
    double size_a = 0, size_k = 0, inherited = 0;
    EACH(in, o, i)
    {
        int64_t at = element(in, o, g, i);
        double dy = (double)in->dy[at] * weight_of(in, g, i), h = normalised(in, s, at);
        s->a += dy / s->count;
        s->k += dy * h / s->count;
        size_a += fabs(dy) / s->count;
        size_k += fabs(dy * h) / s->count;
        inherited += fabs(dy) * h_error(s, h) / s->count;
    }
    s->a_error = (s->depth + 4) * unit * size_a;
    s->k_error = (s->depth + 4) * unit * size_k + inherited;
    if (in->kind == NORM_RMS)
        s->a = s->a_error = 0;
}

static void refer_element(const struct norm_input *in, const struct group *s, int64_t g, int64_t at,
                          int64_t i, double *exact[], double *allowed[])
{
    double w = weight_of(in, g, i), b = in->shifted ? (double)in->bias[column(in, g, i)] : 0;
    double h = normalised(in, s, at), dy = (double)in->dy[at] * w;
    exact[NORM_Y][at] = h * w + b;
    allowed[NORM_Y][at] = fabs(w) * h_error(s, h) + unit * (fabs(h * w) + fabs(b)) + tiny;
    double inner = dy - s->a - h * s->k;
    double size = fabs(dy) + fabs(s->a) + fabs(h * s->k);
    double error = s->a_error + fabs(h) * s->k_error + fabs(s->k) * h_error(s, h) + 4 * unit * size;
    exact[NORM_DX][at] = s->r * inner;
    allowed[NORM_DX][at] = s->r * error + fabs(s->r * inner) * (s->r_rel + 4 * unit) + tiny;
}

void norm_reference(const struct norm_input *in, double *exact[NORM_OUTPUTS],
                    double *allowed[NORM_OUTPUTS])
{
    const double depth = 256 + 6 + 256 + 8;
    for (int k = 0; k < NORM_OUTPUTS; k++) {
        for (int64_t j = 0; j < norm_output_elems(in, k); j++)
            exact[k][j] = allowed[k][j] = 0;
    }
    for (int64_t g = 0; g < in->groups; g++) {
        struct group s = measure(in, g);
        measure_gradient(in, g, &s);
        EACH(in, o, i)
        {
            int64_t at = element(in, o, g, i), j = column(in, g, i);
            double h = normalised(in, &s, at), dy = (double)in->dy[at];
            refer_element(in, &s, g, at, i, exact, allowed);
            if (!in->scaled)
                continue;
            exact[NORM_DWEIGHT][j] += dy * h;
            exact[NORM_DBIAS][j] += dy;
            allowed[NORM_DWEIGHT][j] += fabs(dy) * (h_error(&s, h) + depth * unit * fabs(h)) + tiny;
            allowed[NORM_DBIAS][j] += depth * unit * fabs(dy) + tiny;
        }
        if (in->kind != NORM_BATCH)
            continue;
        double momentum = (double)in->momentum, old_mean = (double)in->running_mean[g];
        double old_var = (double)in->running_var[g];
        double var = s.var * s.count / (s.count > 1 ? s.count - 1 : 1);
        exact[NORM_RUNNING_MEAN][g] = momentum * s.mean + (1 - momentum) * old_mean;
        exact[NORM_RUNNING_VAR][g] = momentum * var + (1 - momentum) * old_var;
        allowed[NORM_RUNNING_MEAN][g] = momentum * s.depth * unit * s.spread +
                                        4 * unit * (momentum * fabs(s.mean) + fabs(old_mean)) +
                                        tiny;
        allowed[NORM_RUNNING_VAR][g] =
            unit * (momentum * (s.depth + 8) * s.spread * s.spread * 2 + 4 * fabs(old_var)) + tiny;
    }
}

/* ---- word by word ---------------------------------------------------------------------------- */

/* fmaf() may be a slow but exact function of the C library. A sum is of terms a * b, or of terms a
 * where b is NULL. */
static float add_term(const float *a, const float *b, int64_t i, float sum)
{
    return b ? fmaf(a[i], b[i], sum) : sum + a[i];
}

static float fold(float lane[32])
{
    for (int width = 16; width > 0; width /= 2) {
        for (int i = 0; i < width; i++)
            lane[i] = lane[i] + lane[i + width];
    }
    return lane[0];
}

/* S of reduce.h */
static float total(int64_t n, const float *a, const float *b)
{
    const int64_t blocks = (n + 4095) / 4096;
    float *result = malloc((size_t)blocks * sizeof *result + 1), sum = 0;
    for (int64_t k = 0; k < blocks; k++) {
        float lane[32] = {0};
        for (int64_t i = 0; i < 4096 && k * 4096 + i < n; i++)
            lane[i % 32] = add_term(a, b, k * 4096 + i, lane[i % 32]);
        result[k] = fold(lane);
    }
    sum = blocks == 1 ? result[0] : blocks == 0 ? 0 : total(blocks, result, NULL);
    free(result);
    return sum;
}

static float not_negative(float v)
{
    return v < 0 ? 0 : v;
}

static float write_y(const struct norm_input *in, float h, int64_t j)
{
    if (!in->scaled)
        return h;
    return in->shifted ? fmaf(h, in->weight[j], in->bias[j]) : h * in->weight[j];
}

/* A row of a layer or RMS norm; h, g, d (width) are room for the values of these names. */
static void word_row(const struct norm_input *in, int64_t row, float *h, float *g, float *d,
                     float *y, float *dx)
{
    const int64_t n = in->inner;
    const float *x = in->x + row * n, *dy = in->dy + row * n;
    float m = 0, c = 0, v;
    if (in->kind == NORM_LAYER) {
        m = total(n, x, NULL) / (float)n;
        for (int64_t j = 0; j < n; j++)
            d[j] = x[j] - m;
        float e = total(n, d, NULL);
        c = e / (float)n;
        v = not_negative(fmaf(-e, c, total(n, d, d))) / (float)n;
    } else {
        v = total(n, x, x) / (float)n;
    }
    float r = 1 / sqrtf(v + in->eps);
    for (int64_t j = 0; j < n; j++) {
        h[j] = in->kind == NORM_LAYER ? ((x[j] - m) - c) * r : x[j] * r;
        y[row * n + j] = write_y(in, h[j], j);
        g[j] = in->scaled ? dy[j] * in->weight[j] : dy[j];
    }
    float a = total(n, g, NULL) / (float)n, k = total(n, g, h) / (float)n;
    for (int64_t j = 0; j < n; j++)
        dx[row * n + j] = r * fmaf(-h[j], k, in->kind == NORM_LAYER ? g[j] - a : g[j]);
}

/* Column sums: a slice of 256 rows after the other. h (rows, width) */
static void word_columns(const struct norm_input *in, const float *h, float *dweight, float *dbias)
{
    for (int64_t j = 0; j < in->inner; j++) {
        dweight[j] = dbias[j] = 0;
        for (int64_t first = 0; first < in->groups; first += 256) {
            float p = 0, q = 0;
            for (int64_t i = first; i < first + 256 && i < in->groups; i++) {
                p = fmaf(in->dy[i * in->inner + j], h[i * in->inner + j], p);
                q = q + in->dy[i * in->inner + j];
            }
            dweight[j] = dweight[j] + p;
            dbias[j] = dbias[j] + q;
        }
    }
}

static void word_rows(const struct norm_input *in, float *out[NORM_OUTPUTS])
{
    float *h = malloc((size_t)norm_elems(in) * sizeof *h + 1);
    float *g = malloc((size_t)in->inner * sizeof *g), *d = malloc((size_t)in->inner * sizeof *d);
    for (int64_t row = 0; row < in->groups; row++)
        word_row(in, row, h + row * in->inner, g, d, out[NORM_Y], out[NORM_DX]);
    if (in->scaled)
        word_columns(in, h, out[NORM_DWEIGHT], out[NORM_DBIAS]);
    free(h);
    free(g);
    free(d);
}

/* A channel, copied together: block after block, in a block (samples, pixels). */
struct channel {
    int64_t n, blocks;
    float *x, *dy, *h, *d;
    int64_t *at;            /* element of the tensor */
    int64_t *begin, *width; /* of a block: first element, elements of each sample */
};

static void *room(int64_t n)
{
    return malloc((size_t)n * 8 + 8);
}

static struct channel gather(const struct norm_input *in, int64_t g)
{
    const int64_t n = in->outer * in->inner;
    struct channel c = {.x = room(n), .dy = room(n), .h = room(n), .d = room(n), .at = room(n)};
    c.begin = room(n + 1);
    c.width = room(n + 1);
    int64_t samples = in->inner > 4096 ? 1 : 4096 / in->inner;
    samples = samples > 256 ? 256 : samples;
    for (int64_t first = 0; first < in->outer; first += samples) {
        for (int64_t pixel = 0; pixel < in->inner; pixel += 4096) {
            int64_t end = pixel + 4096 < in->inner ? pixel + 4096 : in->inner;
            c.begin[c.blocks] = c.n;
            c.width[c.blocks++] = end - pixel;
            for (int64_t o = first; o < first + samples && o < in->outer; o++) {
                for (int64_t i = pixel; i < end; i++) {
                    c.at[c.n] = element(in, o, g, i);
                    c.x[c.n] = in->x[c.at[c.n]];
                    c.dy[c.n] = in->dy[c.at[c.n]];
                    c.n++;
                }
            }
        }
    }
    c.begin[c.blocks] = c.n;
    return c;
}

static void let_go(struct channel *c)
{
    void *all[] = {c->x, c->dy, c->h, c->d, c->at, c->begin, c->width};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* B of batch_norm.h */
static float block_total(const struct channel *c, int64_t block, const float *a, const float *b)
{
    float lane[32] = {0};
    for (int64_t i = c->begin[block]; i < c->begin[block + 1]; i++) {
        int64_t p = (i - c->begin[block]) % c->width[block];
        lane[p % 32] = add_term(a, b, i, lane[p % 32]);
    }
    return fold(lane);
}

/* T of batch_norm.h, of terms a * b or a */
static float slices(int64_t n, const float *a, const float *b)
{
    float sum = 0;
    for (int64_t first = 0; first < n; first += 256) {
        float p = 0;
        for (int64_t i = first; i < first + 256 && i < n; i++)
            p = add_term(a, b, i, p);
        sum = sum + p;
    }
    return sum;
}

/* m, c, r into stats, and running statistics. Room for five arrays of one float per block. */
static void word_statistics(const struct norm_input *in, const struct channel *ch, int64_t g,
                            float *room5[5], float stats[3], float *out[NORM_OUTPUTS])
{
    float *mb = room5[0], *cb = room5[1], *qb = room5[2], *nb = room5[3], *ub = room5[4];
    const float count = (float)ch->n;
    for (int64_t b = 0; b < ch->blocks; b++) {
        nb[b] = (float)(ch->begin[b + 1] - ch->begin[b]);
        mb[b] = block_total(ch, b, ch->x, NULL) / nb[b];
        for (int64_t i = ch->begin[b]; i < ch->begin[b + 1]; i++)
            ch->d[i] = ch->x[i] - mb[b];
        float e = block_total(ch, b, ch->d, NULL);
        cb[b] = e / nb[b];
        qb[b] = not_negative(fmaf(-e, cb[b], block_total(ch, b, ch->d, ch->d)));
    }
    const float m = slices(ch->blocks, nb, mb) / count;
    for (int64_t b = 0; b < ch->blocks; b++) {
        float t = (mb[b] - m) + cb[b];
        ub[b] = nb[b] * t;
        qb[b] = fmaf(ub[b], t, qb[b]);
    }
    const float spread1 = slices(ch->blocks, ub, NULL), c = spread1 / count;
    const float s = not_negative(fmaf(-spread1, c, slices(ch->blocks, qb, NULL)));
    stats[0] = m;
    stats[1] = c;
    stats[2] = 1 / sqrtf(s / count + in->eps);
    const float keep = 1 - in->momentum, unbiased = s / (ch->n > 1 ? (float)(ch->n - 1) : 1);
    out[NORM_RUNNING_MEAN][g] = fmaf(in->momentum, m + c, keep * in->running_mean[g]);
    out[NORM_RUNNING_VAR][g] = fmaf(in->momentum, unbiased, keep * in->running_var[g]);
}

static void word_channel(const struct norm_input *in, int64_t g, float *out[NORM_OUTPUTS])
{
    struct channel ch = gather(in, g);
    float *room5[5], stats[3];
    for (int k = 0; k < 5; k++)
        room5[k] = room(ch.blocks);
    word_statistics(in, &ch, g, room5, stats, out);
    for (int64_t i = 0; i < ch.n; i++) {
        ch.h[i] = ((ch.x[i] - stats[0]) - stats[1]) * stats[2];
        out[NORM_Y][ch.at[i]] = write_y(in, ch.h[i], g);
    }
    for (int64_t b = 0; b < ch.blocks; b++) {
        room5[0][b] = block_total(&ch, b, ch.dy, NULL);
        room5[1][b] = block_total(&ch, b, ch.dy, ch.h);
    }
    const float dbias = slices(ch.blocks, room5[0], NULL);
    const float dweight = slices(ch.blocks, room5[1], NULL);
    const float a = dbias / (float)ch.n, k = dweight / (float)ch.n;
    const float scale = in->scaled ? in->weight[g] * stats[2] : stats[2];
    for (int64_t i = 0; i < ch.n; i++)
        out[NORM_DX][ch.at[i]] = scale * fmaf(-ch.h[i], k, ch.dy[i] - a);
    if (in->scaled) {
        out[NORM_DWEIGHT][g] = dweight;
        out[NORM_DBIAS][g] = dbias;
    }
    for (int j = 0; j < 5; j++)
        free(room5[j]);
    let_go(&ch);
}

void norm_by_the_word(const struct norm_input *in, float *out[NORM_OUTPUTS])
{
    if (in->kind != NORM_BATCH) {
        word_rows(in, out);
        return;
    }
    for (int64_t g = 0; g < in->groups; g++)
        word_channel(in, g, out);
}
