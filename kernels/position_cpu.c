/* Positions on the CPU. Formulas: position.h. */
#include "kernels/position.h"

#include <string.h>

#include "kernels/host_math.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_position_add)(int64_t n, const float *x, const float *table, float *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tdbg_strict_canonical(x[i] + table[i]);
}

/* One head; restrict where it is not done in place would only save the compiler a test. */
static void rotate_head(int64_t half, const float *cos, const float *sin, float sign,
                        const float *x, float *y)
{
    for (int64_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half], s = sign * sin[i];
        y[i] = tdbg_strict_canonical(TDBG_STRICT_FMA(-b, s, a * cos[i]));
        y[i + half] = tdbg_strict_canonical(TDBG_STRICT_FMA(a, s, b * cos[i]));
    }
}

/* Positions lo..hi-1 of all samples. */
void TDBG_KERNEL(tdbg_position_rotate)(const struct tdbg_rotary *r, int64_t lo, int64_t hi,
                                       float sign, const float *x, float *y)
{
    const int64_t half = r->dim / 2, width = (r->turned + r->kept) * r->dim;
    for (int64_t p = lo; p < hi; p++) {
        const float *cos = r->cos + p % r->tokens * half, *sin = r->sin + p % r->tokens * half;
        const float *from = x + p * width;
        float *to = y + p * width;
        for (int64_t head = 0; head < r->turned; head++)
            rotate_head(half, cos, sin, sign, from + head * r->dim, to + head * r->dim);
        for (int64_t i = r->turned * r->dim; i < width; i++)
            to[i] = tdbg_strict_canonical(from[i]);
    }
}

#ifdef TDBG_ISA_PORTABLE

/* Angle of position t and pair i. */
static double angle(int64_t t, int64_t i, int64_t dim, double log_base)
{
    return (double)t * tdbg_host_exp(-((double)(2 * i) / (double)dim) * log_base);
}

void tdbg_position_sinusoidal(int64_t tokens, int64_t dim, float *table)
{
    const double log_base = tdbg_host_log(10000);
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t d = 0; d < dim; d++) {
            double sin, cos;
            tdbg_host_sin_cos(angle(t, d / 2, dim, log_base), &sin, &cos);
            table[t * dim + d] = (float)(d % 2 ? cos : sin);
        }
    }
}

void tdbg_position_rotary_table(int64_t tokens, int64_t dim, double base, float *cos, float *sin)
{
    const double log_base = tdbg_host_log(base);
    const int64_t half = dim / 2;
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t i = 0; i < half; i++) {
            double s, c;
            tdbg_host_sin_cos(angle(t, i, dim, log_base), &s, &c);
            sin[t * half + i] = (float)s;
            cos[t * half + i] = (float)c;
        }
    }
}

struct add_job {
    const struct tdbg_isa_table *table;
    int64_t n;
    const float *x, *positions;
    float *y;
};

/* Elements lo..hi-1 of the flat (rows, n) tensor. */
static void add_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct add_job *job = ctx;
    for (int64_t i = lo; i < hi;) {
        const int64_t at = i % job->n, count = job->n - at < hi - i ? job->n - at : hi - i;
        job->table->position_add(count, job->x + i, job->positions + at, job->y + i);
        i += count;
    }
}

void tdbg_position_add(const struct tdbg_cpu *cpu, int64_t rows, int64_t n, const float *x,
                       const float *table, float *y)
{
    struct add_job job = {cpu->table, n, x, table, y};
    tdbg_parallel_for(cpu->threads, rows * n, TDBG_GRAIN_ELEMS, add_range, &job);
}

struct rotate_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_rotary *rotary;
    float sign;
    const float *x;
    float *y;
};

static void rotate_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct rotate_job *job = ctx;
    job->table->position_rotate(job->rotary, lo, hi, job->sign, job->x, job->y);
}

void tdbg_position_rotate(const struct tdbg_cpu *cpu, const struct tdbg_rotary *rotary,
                          bool inverse, const float *x, float *y)
{
    struct rotate_job job = {cpu->table, rotary, inverse ? -1.0f : 1.0f, x, y};
    const int64_t width = (rotary->turned + rotary->kept) * rotary->dim;
    tdbg_parallel_for(cpu->threads, rotary->rows * rotary->tokens, tdbg_grain_of(width),
                      rotate_range, &job);
}

#endif
