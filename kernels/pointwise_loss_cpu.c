/* Element-wise losses on the CPU. Formulas: pointwise_loss.h. */
#include "kernels/pointwise_loss.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/row_sum.h"
#include "kernels/strict_math.h"

struct row {
    const float *x, *target;
    float beta;
};

static inline float absolute(float x)
{
    return tdbg_strict_float(tdbg_strict_bits(x) & 0x7fffffffu);
}

static inline float sign_of(float d)
{
    float s = d > 0 ? 1.0f : d + 0.0f; /* -0 + 0 is +0, and NaN stays */
    return d < 0 ? -1.0f : s;
}

static inline float mse_term(const void *ctx, int64_t i)
{
    const struct row *r = ctx;
    float d = r->x[i] - r->target[i];
    return d * d;
}

static inline float l1_term(const void *ctx, int64_t i)
{
    const struct row *r = ctx;
    return absolute(r->x[i] - r->target[i]);
}

static inline float smooth_l1_term(const void *ctx, int64_t i)
{
    const struct row *r = ctx;
    float d = absolute(r->x[i] - r->target[i]);
    float near = 0.5f * d * d / r->beta, far = d - 0.5f * r->beta;
    return d < r->beta ? near : far;
}

static inline float bce_term(const void *ctx, int64_t i)
{
    const struct row *r = ctx;
    float x = r->x[i];
    float e = tdbg_strict_expf(-absolute(x));
    float u = 1.0f + e;
    float exact = u - 1.0f == 0 ? 1.0f : u - 1.0f; /* no division by zero in lanes not taken */
    float softplus = u == 1.0f ? e : tdbg_strict_logf(u) * (e / exact);
    float above = x < 0 ? 0.0f : x;
    return (above - x * r->target[i]) + softplus;
}

void TDBG_KERNEL(tdbg_pointwise_loss_forward)(int kind, float beta, int64_t rows, int64_t cols,
                                              const float *x, const float *target, float *loss)
{
    for (int64_t i = 0; i < rows; i++) {
        const struct row row = {x + i * cols, target + i * cols, beta};
        float sum;
        if (kind == TDBG_POINTWISE_MSE)
            sum = tdbg_row_sum(cols, mse_term, &row);
        else if (kind == TDBG_POINTWISE_BCE)
            sum = tdbg_row_sum(cols, bce_term, &row);
        else if (kind == TDBG_POINTWISE_SMOOTH_L1 && beta > 0)
            sum = tdbg_row_sum(cols, smooth_l1_term, &row);
        else
            sum = tdbg_row_sum(cols, l1_term, &row);
        loss[i] = tdbg_strict_canonical(sum);
    }
}

static float plain_term(const void *ctx, int64_t i)
{
    return ((const float *)ctx)[i];
}

void TDBG_KERNEL(tdbg_pointwise_loss_sum_rows)(int64_t rows, int64_t cols, const float *x,
                                               float *out)
{
    for (int64_t r = 0; r < rows; r++)
        out[r] = tdbg_strict_canonical(tdbg_row_sum(cols, plain_term, x + r * cols));
}

static void bce_backward(int64_t n, const float *x, const float *target, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        float e = tdbg_strict_expf(-absolute(x[i]));
        float sigmoid = (x[i] < 0 ? e : 1.0f) / (1.0f + e);
        dx[i] = tdbg_strict_canonical(sigmoid - target[i]);
    }
}

static void smooth_l1_backward(int64_t n, float beta, const float *x, const float *target,
                               float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        float d = x[i] - target[i], near = d / beta, far = sign_of(d);
        dx[i] = tdbg_strict_canonical(absolute(d) < beta ? near : far);
    }
}

void TDBG_KERNEL(tdbg_pointwise_loss_backward)(int kind, float beta, int64_t n, const float *x,
                                               const float *target, float *dx)
{
    if (kind == TDBG_POINTWISE_BCE) {
        bce_backward(n, x, target, dx);
    } else if (kind == TDBG_POINTWISE_SMOOTH_L1 && beta > 0) {
        smooth_l1_backward(n, beta, x, target, dx);
    } else if (kind == TDBG_POINTWISE_MSE) {
        for (int64_t i = 0; i < n; i++)
            dx[i] = tdbg_strict_canonical(2.0f * (x[i] - target[i]));
    } else {
        for (int64_t i = 0; i < n; i++)
            dx[i] = tdbg_strict_canonical(sign_of(x[i] - target[i]));
    }
}

#ifdef TDBG_ISA_PORTABLE

struct pointwise_job {
    const struct tdbg_isa_table *table;
    int kind;
    float beta;
    int64_t cols;
    const float *x, *target;
    float *out;
    int64_t correct; /* a sum of integers: any order gives the same */
};

static void forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pointwise_job *job = ctx;
    const int64_t first = lo * job->cols;
    job->table->pointwise_loss_forward(job->kind, job->beta, hi - lo, job->cols, job->x + first,
                                       job->target + first, job->out + lo);
}

void tdbg_pointwise_loss_forward(const struct tdbg_cpu *cpu, enum tdbg_pointwise_loss kind,
                                 float beta, int64_t rows, int64_t cols, const float *x,
                                 const float *target, float *loss)
{
    struct pointwise_job job = {cpu->table, (int)kind, beta, cols, x, target, loss, 0};
    tdbg_parallel_for(cpu->threads, rows, tdbg_grain_of(cols), forward_range, &job);
}

static void sum_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pointwise_job *job = ctx;
    job->table->pointwise_loss_sum_rows(hi - lo, job->cols, job->x + lo * job->cols, job->out + lo);
}

void tdbg_pointwise_loss_sum_rows(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols,
                                  const float *x, float *out)
{
    struct pointwise_job job = {.table = cpu->table, .cols = cols, .x = x, .out = out};
    tdbg_parallel_for(cpu->threads, rows, tdbg_grain_of(cols), sum_range, &job);
}

static void backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pointwise_job *job = ctx;
    job->table->pointwise_loss_backward(job->kind, job->beta, hi - lo, job->x + lo,
                                        job->target + lo, job->out + lo);
}

void tdbg_pointwise_loss_backward(const struct tdbg_cpu *cpu, enum tdbg_pointwise_loss kind,
                                  float beta, int64_t n, const float *x, const float *target,
                                  float *dx)
{
    struct pointwise_job job = {cpu->table, (int)kind, beta, 1, x, target, dx, 0};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, backward_range, &job);
}

static void count_range(void *ctx, int64_t lo, int64_t hi)
{
    struct pointwise_job *job = ctx;
    int64_t correct = 0;
    for (int64_t i = lo; i < hi; i++)
        correct += (job->x[i] > 0) == (job->target[i] >= 0.5f);
    __atomic_fetch_add(&job->correct, correct, __ATOMIC_RELAXED);
}

int64_t tdbg_pointwise_loss_count_correct(const struct tdbg_cpu *cpu, int64_t n, const float *x,
                                          const float *target)
{
    struct pointwise_job job = {.table = cpu->table, .x = x, .target = target};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, count_range, &job);
    return job.correct;
}

#endif
