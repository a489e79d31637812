/* Image transforms on the CPU. Definition: transform_image.h. Inner kernels work on a range of
 * output rows (of channels: of output planes). */
#include "kernels/transform_image.h"

#include <string.h>

#include "base/philox.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

/* The two inputs along an axis that output i lies between, and the share of the second. */
static inline float bilinear_source(float s, int64_t i, int64_t in, int64_t *i0, int64_t *i1)
{
    const float above = s * ((float)i + 0.5f) - 0.5f;
    const float t = above > 0.0f ? above : 0.0f;
    const int32_t whole = (int32_t)t;
    *i0 = whole < in - 1 ? whole : in - 1;
    *i1 = whole < in - 1 ? whole + 1 : in - 1;
    return t - (float)*i0;
}

static inline int64_t nearest_source(float s, int64_t i, int64_t in)
{
    const int64_t at = (int64_t)((float)i * s);
    return at < in - 1 ? at : in - 1;
}

/* Sources of a block of columns, which all rows share. */
enum { COLUMNS = 512 };
struct columns {
    int32_t j0[COLUMNS], j1[COLUMNS];
    float l1[COLUMNS];
};

static void find_columns(struct columns *c, const struct tdbg_resize *r, int64_t first, int64_t n)
{
    const float s = (float)r->in_w / (float)r->out_w;
    for (int64_t j = 0; j < n; j++) {
        int64_t j0, j1;
        c->l1[j] = bilinear_source(s, first + j, r->in_w, &j0, &j1);
        c->j0[j] = (int32_t)(r->nearest ? nearest_source(s, first + j, r->in_w) : j0);
        c->j1[j] = (int32_t)j1;
    }
}

/* Columns of output row `row`, which begin at out. */
static void resize_row(const struct columns *c, const struct tdbg_resize *r, int64_t row, int64_t n,
                       const float *x, float *out)
{
    const float s = (float)r->in_h / (float)r->out_h;
    const float *plane = x + row / r->out_h * r->in_h * r->in_w;
    const int64_t i = row % r->out_h;
    if (r->nearest) {
        const float *from = plane + nearest_source(s, i, r->in_h) * r->in_w;
        for (int64_t j = 0; j < n; j++)
            out[j] = from[c->j0[j]];
        return;
    }
    int64_t i0, i1;
    const float l1y = bilinear_source(s, i, r->in_h, &i0, &i1), l0y = 1.0f - l1y;
    const float *top = plane + i0 * r->in_w, *bottom = plane + i1 * r->in_w;
    for (int64_t j = 0; j < n; j++) {
        const float l1x = c->l1[j], l0x = 1.0f - l1x;
        const float above = l0x * top[c->j0[j]] + l1x * top[c->j1[j]];
        const float below = l0x * bottom[c->j0[j]] + l1x * bottom[c->j1[j]];
        out[j] = tdbg_strict_canonical(l0y * above + l1y * below);
    }
}

void TDBG_KERNEL(tdbg_transform_resize)(int64_t lo, int64_t hi, const struct tdbg_resize *r,
                                        const float *x, float *y)
{
    struct columns columns;
    for (int64_t first = 0; first < r->out_w; first += COLUMNS) {
        const int64_t n = r->out_w - first < COLUMNS ? r->out_w - first : COLUMNS;
        find_columns(&columns, r, first, n);
        for (int64_t row = lo; row < hi; row++)
            resize_row(&columns, r, row, n, x, y + row * r->out_w + first);
    }
}

void TDBG_KERNEL(tdbg_transform_channels)(int64_t lo, int64_t hi, const struct tdbg_channels *c,
                                          const float *x, float *y)
{
    const int64_t out = c->gray ? 1 : c->channels, last = c->channels - 1;
    const int64_t step = c->hwc ? c->channels : 1, apart = c->hwc ? 1 : c->inner;
    for (int64_t plane = lo; plane < hi; plane++) {
        const float *image = x + plane / out * c->channels * c->inner;
        float *to = y + plane * c->inner;
        if (c->gray) {
            const float *r = image + (c->reverse ? 2 : 0) * apart, *g = image + apart;
            const float *b = image + (c->reverse ? 0 : 2) * apart;
            for (int64_t i = 0; i < c->inner; i++)
                to[i] = tdbg_strict_canonical((0.2989f * r[i * step] + 0.587f * g[i * step]) +
                                              0.114f * b[i * step]);
            continue;
        }
        const int64_t k = plane % out;
        const float *from = image + (c->reverse ? last - k : k) * apart;
        for (int64_t i = 0; i < c->inner; i++)
            to[i] = from[i * step];
    }
}

static inline struct tdbg_philox_block draw(const struct tdbg_augment *a, int64_t sample)
{
    return tdbg_philox(a->key, (uint64_t)a->ids[sample], a->transform);
}

/* First place of n + 1. */
static inline int64_t choose(uint32_t word, int64_t n)
{
    return (int64_t)(((uint64_t)word * (uint64_t)(n + 1)) >> 32);
}

void TDBG_KERNEL(tdbg_transform_crop)(int64_t lo, int64_t hi, const struct tdbg_crop *c,
                                      const float *x, float *y)
{
    const int64_t sample_rows = c->planes * c->out_h;
    const int64_t n_h = c->in_h + 2 * c->pad - c->out_h, n_w = c->in_w + 2 * c->pad - c->out_w;
    int64_t of = -1, first_h = n_h / 2, first_w = n_w / 2;
    for (int64_t row = lo; row < hi; row++) {
        if (c->random.on && row / sample_rows != of) {
            of = row / sample_rows;
            const struct tdbg_philox_block b = draw(&c->random, of);
            first_h = choose(b.word[0], n_h);
            first_w = choose(b.word[1], n_w);
        }
        float *to = y + row * c->out_w;
        const int64_t i = row % c->out_h + first_h - c->pad, from = first_w - c->pad;
        if (i < 0 || i >= c->in_h) {
            memset(to, 0, (size_t)c->out_w * sizeof *to);
            continue;
        }
        const float *line = x + (row / c->out_h * c->in_h + i) * c->in_w;
        const int64_t before = from < 0 ? -from : 0;
        const int64_t begin = before < c->out_w ? before : c->out_w;
        const int64_t room = c->in_w - from < c->out_w ? c->in_w - from : c->out_w;
        const int64_t end = room > begin ? room : begin;
        memset(to, 0, (size_t)begin * sizeof *to);
        memcpy(to + begin, line + from + begin, (size_t)(end - begin) * sizeof *to);
        memset(to + end, 0, (size_t)(c->out_w - end) * sizeof *to);
    }
}

void TDBG_KERNEL(tdbg_transform_flip)(int64_t lo, int64_t hi, const struct tdbg_flip *f,
                                      const float *x, float *y)
{
    const int64_t sample_rows = f->planes * f->h;
    int64_t of = -1;
    bool reversed = false;
    for (int64_t row = lo; row < hi; row++) {
        if (f->random.on && row / sample_rows != of) {
            of = row / sample_rows;
            reversed = tdbg_philox_uniform(draw(&f->random, of).word[0]) < f->p;
        }
        const float *from = x + row * f->w;
        float *to = y + row * f->w;
        if (!reversed) {
            memcpy(to, from, (size_t)f->w * sizeof *to);
            continue;
        }
        for (int64_t j = 0; j < f->w; j++)
            to[j] = from[f->w - 1 - j];
    }
}

#ifdef TDBG_ISA_PORTABLE

struct image_job {
    const struct tdbg_isa_table *table;
    const void *what;
    const float *x;
    float *y;
};

#define RANGE(name)                                                                                \
    static void name##_range(void *ctx, int64_t lo, int64_t hi)                                    \
    {                                                                                              \
        const struct image_job *job = ctx;                                                         \
        job->table->transform_##name(lo, hi, job->what, job->x, job->y);                           \
    }
RANGE(resize)
RANGE(channels)
RANGE(crop)
RANGE(flip)

/* Rows of so many elements that are worth handing out together. */
void tdbg_transform_resize(const struct tdbg_cpu *cpu, const struct tdbg_resize *r, const float *x,
                           float *y)
{
    struct image_job job = {cpu->table, r, x, y};
    tdbg_parallel_for(cpu->threads, r->planes * r->out_h, tdbg_grain_of(r->out_w), resize_range,
                      &job);
}

void tdbg_transform_channels(const struct tdbg_cpu *cpu, const struct tdbg_channels *c,
                             const float *x, float *y)
{
    struct image_job job = {cpu->table, c, x, y};
    const int64_t out = c->gray ? 1 : c->channels;
    tdbg_parallel_for(cpu->threads, c->rows * out, tdbg_grain_of(c->inner), channels_range, &job);
}

void tdbg_transform_crop(const struct tdbg_cpu *cpu, const struct tdbg_crop *c, const float *x,
                         float *y)
{
    struct image_job job = {cpu->table, c, x, y};
    tdbg_parallel_for(cpu->threads, c->samples * c->planes * c->out_h, tdbg_grain_of(c->out_w),
                      crop_range, &job);
}

void tdbg_transform_flip(const struct tdbg_cpu *cpu, const struct tdbg_flip *f, const float *x,
                         float *y)
{
    struct image_job job = {cpu->table, f, x, y};
    tdbg_parallel_for(cpu->threads, f->samples * f->planes * f->h, tdbg_grain_of(f->w), flip_range,
                      &job);
}

#endif
