/* Softmax cross-entropy on the CPU. Formulas: cross_entropy.h. */
#include "kernels/cross_entropy.h"

#include <stddef.h>
#include <string.h>

#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/row_sum.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

static const float minus_infinity = -__builtin_inff();

/* TDBG_SUM_LANES logits from x, of which n exist; the others are -Inf, whose exp is +0 and changes
 * neither a sum nor a maximum. */
static inline const float *load_tile(int64_t n, const float *x, float tile[TDBG_SUM_LANES])
{
    if (n >= TDBG_SUM_LANES)
        return x;
    for (int l = 0; l < TDBG_SUM_LANES; l++)
        tile[l] = minus_infinity;
    for (int l = 0; l < n; l++)
        tile[l] = x[l];
    return tile;
}

/* Largest element, NaN skipped (any NaN shows in the sum of the exponentials); -Inf if none. Which
 * zero wins among +-0 does not matter: exp and log give the same for both. */
static float find_max(int64_t n, const float *x)
{
    float lane[TDBG_SUM_LANES], tile[TDBG_SUM_LANES];
    for (int l = 0; l < TDBG_SUM_LANES; l++)
        lane[l] = minus_infinity;
    for (int64_t i = 0; i < n; i += TDBG_SUM_LANES) {
        const float *v = load_tile(n - i, x + i, tile);
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            lane[l] = v[l] > lane[l] ? v[l] : lane[l];
    }
    for (int width = TDBG_SUM_LANES / 2; width > 0; width /= 2) {
        for (int l = 0; l < width; l++)
            lane[l] = lane[l + width] > lane[l] ? lane[l + width] : lane[l];
    }
    return lane[0];
}

/* Sum of exp(x - max) over one block of at most TDBG_SUM_BLOCK elements. The exponentials are also
 * stored in e, unless that is NULL. */
static float sum_exp_block(int64_t n, const float *x, float max, float *e)
{
    struct tdbg_sum_lanes sum = {{0}};
    float tile[TDBG_SUM_LANES], value[TDBG_SUM_LANES];
    for (int64_t i = 0; i < n; i += TDBG_SUM_LANES) {
        const float *v = load_tile(n - i, x + i, tile);
        for (int l = 0; l < TDBG_SUM_LANES; l++) {
            value[l] = tdbg_strict_expf(v[l] - max);
            sum.lane[l] += value[l];
        }
        for (int l = 0; e && l < TDBG_SUM_LANES && l < n - i; l++)
            e[i + l] = value[l];
    }
    return tdbg_sum_lanes_fold(&sum);
}

/* The same over any length: a span of TDBG_SUM_BLOCK^k elements is a sum of TDBG_SUM_BLOCK spans.
 */
static float sum_exp_span(int64_t n, const float *x, float max, float *e, int64_t span)
{
    if (span == TDBG_SUM_BLOCK)
        return sum_exp_block(n, x, max, e);
    struct tdbg_sum_lanes sum = {{0}};
    const int64_t part = span / TDBG_SUM_BLOCK;
    for (int64_t i = 0, term = 0; i < n; i += part, term++) {
        int64_t terms = n - i < part ? n - i : part;
        sum.lane[term % TDBG_SUM_LANES] += sum_exp_span(terms, x + i, max, e ? e + i : NULL, part);
    }
    return tdbg_sum_lanes_fold(&sum);
}

static float sum_exp(int64_t n, const float *x, float max, float *e)
{
    int64_t span = TDBG_SUM_BLOCK;
    while (span < n)
        span *= TDBG_SUM_BLOCK;
    return sum_exp_span(n, x, max, e, span);
}

/* Rows of at most TDBG_SUM_LANES classes, the same values computed for GROUP rows side by side: a
 * row has one term in each lane, and lanes without one are +0, which changes nothing. */
enum { GROUP = 16 };

struct group {
    float value[TDBG_SUM_LANES][GROUP]; /* (classes, rows): logits, then their exponentials */
    float max[GROUP], sum[GROUP];
};

static void load_group(int64_t rows, int64_t classes, const float *logits, struct group *g)
{
    for (int64_t j = 0; j < classes; j++) {
        for (int64_t r = 0; r < rows; r++)
            g->value[j][r] = logits[r * classes + j];
        for (int64_t r = rows; r < GROUP; r++)
            g->value[j][r] = 0;
    }
    for (int r = 0; r < GROUP; r++)
        g->max[r] = minus_infinity;
    for (int64_t j = 0; j < classes; j++) {
        for (int r = 0; r < GROUP; r++)
            g->max[r] = g->value[j][r] > g->max[r] ? g->value[j][r] : g->max[r];
    }
}

static void sum_group(int64_t classes, struct group *g)
{
    float lane[TDBG_SUM_LANES][GROUP];
    for (int64_t j = 0; j < classes; j++) {
        for (int r = 0; r < GROUP; r++)
            lane[j][r] = g->value[j][r] = tdbg_strict_expf(g->value[j][r] - g->max[r]);
    }
    for (int64_t width = TDBG_SUM_LANES / 2, filled = classes; width > 0; width /= 2) {
        for (int64_t l = 0; l + width < filled; l++) {
            for (int r = 0; r < GROUP; r++)
                lane[l][r] += lane[l + width][r];
        }
        filled = filled < width ? filled : width;
    }
    memcpy(g->sum, lane[0], sizeof g->sum);
}

/* Up to GROUP rows: the sum of the exponentials and x_t - max; 1 and 0 in ignored rows, so that
 * their loss is log(1) - 0 = +0. */
static void reduce_rows(int64_t rows, int64_t classes, const float *logits, const int32_t *targets,
                        int32_t ignore_index, float *sum, float *shifted)
{
    struct group g;
    const int small = classes <= TDBG_SUM_LANES;
    if (small) {
        load_group(rows, classes, logits, &g);
        for (int64_t r = 0; r < rows; r++)
            shifted[r] = targets[r] == ignore_index ? 0 : g.value[targets[r]][r] - g.max[r];
        sum_group(classes, &g);
    }
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes;
        if (targets[r] == ignore_index) {
            sum[r] = 1;
            shifted[r] = 0;
        } else if (small) {
            sum[r] = g.sum[r];
        } else {
            float max = find_max(classes, x);
            sum[r] = sum_exp(classes, x, max, NULL);
            shifted[r] = x[targets[r]] - max;
        }
    }
}

void TDBG_KERNEL(tdbg_cross_entropy_forward)(int64_t rows, int64_t classes, const float *logits,
                                             const int32_t *targets, int32_t ignore_index,
                                             float *loss)
{
    for (int64_t first = 0; first < rows; first += GROUP) {
        float sum[GROUP], shifted[GROUP];
        int64_t n = rows - first < GROUP ? rows - first : GROUP;
        reduce_rows(n, classes, logits + first * classes, targets + first, ignore_index, sum,
                    shifted);
        for (int64_t r = 0; r < n; r++)
            loss[first + r] = tdbg_strict_canonical(tdbg_strict_logf(sum[r]) - shifted[r]);
    }
}

/* The exponentials of up to GROUP rows into d (rows, classes), and their sums. */
static void exp_rows(int64_t rows, int64_t classes, const float *logits, float *d, float *sum)
{
    if (classes > TDBG_SUM_LANES) {
        for (int64_t r = 0; r < rows; r++) {
            const float *x = logits + r * classes;
            sum[r] = sum_exp(classes, x, find_max(classes, x), d + r * classes);
        }
        return;
    }
    struct group g;
    load_group(rows, classes, logits, &g);
    sum_group(classes, &g);
    memcpy(sum, g.sum, sizeof g.sum);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < classes; j++)
            d[r * classes + j] = g.value[j][r];
    }
}

void TDBG_KERNEL(tdbg_cross_entropy_backward)(int64_t rows, int64_t classes, const float *logits,
                                              const int32_t *targets, int32_t ignore_index,
                                              float *dlogits)
{
    for (int64_t first = 0; first < rows; first += GROUP) {
        float sum[GROUP];
        int64_t n = rows - first < GROUP ? rows - first : GROUP;
        exp_rows(n, classes, logits + first * classes, dlogits + first * classes, sum);
        for (int64_t r = 0; r < n; r++) {
            float *d = dlogits + (first + r) * classes;
            int32_t t = targets[first + r];
            if (t == ignore_index) {
                memset(d, 0, (size_t)classes * sizeof *d);
                continue;
            }
            for (int64_t j = 0; j < classes; j++)
                d[j] = tdbg_strict_canonical(d[j] / sum[r]);
            d[t] = tdbg_strict_canonical(d[t] - 1);
        }
    }
}

struct smooth_row {
    const float *x, *weights;
    float max, lse;
};

static inline float smooth_term(const void *ctx, int64_t j)
{
    const struct smooth_row *r = ctx;
    return r->lse - (r->x[j] - r->max);
}

static inline float weighted_smooth_term(const void *ctx, int64_t j)
{
    const struct smooth_row *r = ctx;
    return r->weights[j] * (r->lse - (r->x[j] - r->max));
}

void TDBG_KERNEL(tdbg_cross_entropy_weighted_forward)(const struct tdbg_cross_entropy *how,
                                                      int64_t rows, int64_t classes,
                                                      const float *logits, const int32_t *targets,
                                                      int32_t ignore_index, float *loss)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes;
        const int32_t t = targets[r];
        if (t == ignore_index) {
            loss[r] = 0;
            continue;
        }
        struct smooth_row row = {.x = x, .weights = how->weights, .max = find_max(classes, x)};
        row.lse = tdbg_strict_logf(sum_exp(classes, x, row.max, NULL));
        float smooth = 0;
        if (how->share != 0)
            smooth = how->weights ? tdbg_row_sum(classes, weighted_smooth_term, &row)
                                  : tdbg_row_sum(classes, smooth_term, &row);
        const float kept = how->keep * (how->weights ? how->weights[t] : 1.0f);
        loss[r] = tdbg_strict_canonical(kept * (row.lse - (x[t] - row.max)) + how->share * smooth);
    }
}

void TDBG_KERNEL(tdbg_cross_entropy_weighted_backward)(const struct tdbg_cross_entropy *how,
                                                       int64_t rows, int64_t classes,
                                                       const float *logits, const int32_t *targets,
                                                       int32_t ignore_index, float *dlogits)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes;
        float *d = dlogits + r * classes;
        const int32_t t = targets[r];
        if (t == ignore_index) {
            memset(d, 0, (size_t)classes * sizeof *d);
            continue;
        }
        const float sum = sum_exp(classes, x, find_max(classes, x), d);
        const float kept = how->keep * (how->weights ? how->weights[t] : 1.0f);
        const float factor = TDBG_STRICT_FMA(how->share, how->weight_sum, kept);
        for (int64_t j = 0; j < classes; j++) {
            float off = how->share * (how->weights ? how->weights[j] : 1.0f);
            d[j] = tdbg_strict_canonical(d[j] / sum * factor - off);
        }
        d[t] = tdbg_strict_canonical(d[t] - kept);
    }
}

#ifdef TDBG_ISA_PORTABLE

struct cross_entropy_job {
    const struct tdbg_isa_table *table;
    int64_t classes;
    const float *logits;
    const int32_t *targets;
    int32_t ignore_index;
    float *out;
    int64_t correct; /* a sum of integers: any order gives the same */
    const struct tdbg_cross_entropy *how;
};

/* Rows worth a thread: an exponential costs about as much as eight light operations. */
static int64_t grain_rows(int64_t classes)
{
    int64_t grain = TDBG_GRAIN_ELEMS / 8 / (classes < 1 ? 1 : classes);
    return grain < 1 ? 1 : grain;
}

/* A target outside the row would read and write memory that is not ours. */
static void check_targets(int64_t rows, int64_t classes, const int32_t *targets, int32_t ignore)
{
    for (int64_t r = 0; r < rows; r++) {
        if (targets[r] != ignore && (targets[r] < 0 || targets[r] >= classes))
            TDBG_BUG("target %d of row %lld, %lld classes", (int)targets[r], (long long)r,
                     (long long)classes);
    }
}

static void forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct cross_entropy_job *job = ctx;
    job->table->cross_entropy_forward(hi - lo, job->classes, job->logits + lo * job->classes,
                                      job->targets + lo, job->ignore_index, job->out + lo);
}

void tdbg_cross_entropy_forward(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                const float *logits, const int32_t *targets, int32_t ignore_index,
                                float *loss)
{
    struct cross_entropy_job job = {cpu->table,   classes, logits, targets,
                                    ignore_index, loss,    0,      NULL};
    check_targets(rows, classes, targets, ignore_index);
    tdbg_parallel_for(cpu->threads, rows, grain_rows(classes), forward_range, &job);
}

static void backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct cross_entropy_job *job = ctx;
    job->table->cross_entropy_backward(hi - lo, job->classes, job->logits + lo * job->classes,
                                       job->targets + lo, job->ignore_index,
                                       job->out + lo * job->classes);
}

void tdbg_cross_entropy_backward(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                 const float *logits, const int32_t *targets, int32_t ignore_index,
                                 float *dlogits)
{
    struct cross_entropy_job job = {cpu->table,   classes, logits, targets,
                                    ignore_index, dlogits, 0,      NULL};
    check_targets(rows, classes, targets, ignore_index);
    tdbg_parallel_for(cpu->threads, rows, grain_rows(classes), backward_range, &job);
}

static void weighted_forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct cross_entropy_job *job = ctx;
    job->table->cross_entropy_weighted_forward(job->how, hi - lo, job->classes,
                                               job->logits + lo * job->classes, job->targets + lo,
                                               job->ignore_index, job->out + lo);
}

void tdbg_cross_entropy_weighted_forward(const struct tdbg_cpu *cpu,
                                         const struct tdbg_cross_entropy *how, int64_t rows,
                                         int64_t classes, const float *logits,
                                         const int32_t *targets, int32_t ignore_index, float *loss)
{
    struct cross_entropy_job job = {cpu->table,   classes, logits, targets,
                                    ignore_index, loss,    0,      how};
    check_targets(rows, classes, targets, ignore_index);
    tdbg_parallel_for(cpu->threads, rows, grain_rows(classes), weighted_forward_range, &job);
}

static void weighted_backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct cross_entropy_job *job = ctx;
    job->table->cross_entropy_weighted_backward(job->how, hi - lo, job->classes,
                                                job->logits + lo * job->classes, job->targets + lo,
                                                job->ignore_index, job->out + lo * job->classes);
}

void tdbg_cross_entropy_weighted_backward(const struct tdbg_cpu *cpu,
                                          const struct tdbg_cross_entropy *how, int64_t rows,
                                          int64_t classes, const float *logits,
                                          const int32_t *targets, int32_t ignore_index,
                                          float *dlogits)
{
    struct cross_entropy_job job = {cpu->table,   classes, logits, targets,
                                    ignore_index, dlogits, 0,      how};
    check_targets(rows, classes, targets, ignore_index);
    tdbg_parallel_for(cpu->threads, rows, grain_rows(classes), weighted_backward_range, &job);
}

void tdbg_cross_entropy_target_weights(const struct tdbg_cpu *cpu, int64_t n,
                                       const int32_t *targets, int32_t ignore_index,
                                       const float *weights, float *weight)
{
    (void)cpu; /* one value per row of logits: not worth a thread */
    for (int64_t i = 0; i < n; i++)
        weight[i] = targets[i] == ignore_index ? 0 : weights ? weights[targets[i]] : 1.0f;
}

/* Index of the largest; the first of equals; the first NaN before everything. */
static int64_t find_largest(int64_t n, const float *x)
{
    int64_t best = 0;
    for (int64_t j = 0; j < n; j++) {
        if (x[j] != x[j])
            return j;
        if (x[j] > x[best])
            best = j;
    }
    return best;
}

static void count_range(void *ctx, int64_t lo, int64_t hi)
{
    struct cross_entropy_job *job = ctx;
    int64_t correct = 0;
    for (int64_t r = lo; r < hi; r++) {
        if (job->targets[r] != job->ignore_index)
            correct +=
                find_largest(job->classes, job->logits + r * job->classes) == job->targets[r];
    }
    __atomic_fetch_add(&job->correct, correct, __ATOMIC_RELAXED);
}

int64_t tdbg_cross_entropy_count_correct(const struct tdbg_cpu *cpu, int64_t rows, int64_t classes,
                                         const float *logits, const int32_t *targets,
                                         int32_t ignore_index)
{
    struct cross_entropy_job job = {cpu->table,   classes, logits, targets,
                                    ignore_index, NULL,    0,      NULL};
    tdbg_parallel_for(cpu->threads, rows, grain_rows(classes), count_range, &job);
    return job.correct;
}

#endif
