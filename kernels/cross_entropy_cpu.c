/* Softmax cross-entropy on the CPU. Formulas: cross_entropy.h. */
#include "kernels/cross_entropy.h"

#include <stddef.h>
#include <string.h>

#include "kernels/exp_rows.h"
#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/row_sum.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

/* Up to TDBG_EXP_GROUP rows: the sum of the exponentials and x_t - max; 1 and 0 in ignored rows, so
 * that their loss is log(1) - 0 = +0. */
static void reduce_rows(int64_t rows, int64_t classes, const float *logits, const int32_t *targets,
                        int32_t ignore_index, float *sum, float *shifted)
{
    const int small = classes <= TDBG_SUM_LANES;
    if (small) {
        struct tdbg_exp_group g;
        tdbg_exp_load_group(rows, classes, logits, &g);
        for (int64_t r = 0; r < rows; r++)
            shifted[r] =
                targets[r] == ignore_index ? 0 : logits[r * classes + targets[r]] - g.max[r];
        tdbg_exp_sum_group(classes, &g);
        memcpy(sum, g.sum, (size_t)rows * sizeof *sum);
    }
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes;
        if (targets[r] == ignore_index) {
            sum[r] = 1;
            shifted[r] = 0;
        } else if (!small) {
            float max = tdbg_exp_find_max(classes, x);
            sum[r] = tdbg_exp_sum(classes, x, max, NULL);
            shifted[r] = x[targets[r]] - max;
        }
    }
}

void TDBG_KERNEL(tdbg_cross_entropy_forward)(int64_t rows, int64_t classes, const float *logits,
                                             const int32_t *targets, int32_t ignore_index,
                                             float *loss)
{
    for (int64_t first = 0; first < rows; first += TDBG_EXP_GROUP) {
        float sum[TDBG_EXP_GROUP], shifted[TDBG_EXP_GROUP];
        int64_t n = rows - first < TDBG_EXP_GROUP ? rows - first : TDBG_EXP_GROUP;
        reduce_rows(n, classes, logits + first * classes, targets + first, ignore_index, sum,
                    shifted);
        for (int64_t r = 0; r < n; r++)
            loss[first + r] = tdbg_strict_canonical(tdbg_strict_logf(sum[r]) - shifted[r]);
    }
}

void TDBG_KERNEL(tdbg_cross_entropy_backward)(int64_t rows, int64_t classes, const float *logits,
                                              const int32_t *targets, int32_t ignore_index,
                                              float *dlogits)
{
    for (int64_t first = 0; first < rows; first += TDBG_EXP_GROUP) {
        float sum[TDBG_EXP_GROUP];
        int64_t n = rows - first < TDBG_EXP_GROUP ? rows - first : TDBG_EXP_GROUP;
        tdbg_exp_rows(n, classes, logits + first * classes, dlogits + first * classes, sum);
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
        struct smooth_row row = {
            .x = x, .weights = how->weights, .max = tdbg_exp_find_max(classes, x)};
        row.lse = tdbg_strict_logf(tdbg_exp_sum(classes, x, row.max, NULL));
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
        const float sum = tdbg_exp_sum(classes, x, tdbg_exp_find_max(classes, x), d);
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
    return tdbg_grain_of(8 * classes);
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
        weight[i] = targets[i] == ignore_index ? 0
                    : weights                  ? tdbg_strict_canonical(weights[targets[i]])
                                               : 1.0f;
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
