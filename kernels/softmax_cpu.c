/* Softmax on the CPU. Definition: softmax.h; exponentials and sums: exp_rows.h. */
#include "kernels/softmax.h"

#include "kernels/exp_rows.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"

void TDBG_KERNEL(tdbg_softmax_forward)(int64_t rows, int64_t cols, const float *x, float *y)
{
    for (int64_t first = 0; first < rows; first += TDBG_EXP_GROUP) {
        float sum[TDBG_EXP_GROUP];
        const int64_t n = rows - first < TDBG_EXP_GROUP ? rows - first : TDBG_EXP_GROUP;
        tdbg_exp_rows(n, cols, x + first * cols, y + first * cols, sum);
        for (int64_t r = 0; r < n; r++) {
            float *out = y + (first + r) * cols;
            for (int64_t j = 0; j < cols; j++)
                out[j] = tdbg_strict_canonical(out[j] / sum[r]);
        }
    }
}

/* One block of at most TDBG_SUM_BLOCK terms. */
static float dot_block(int64_t n, const float *a, const float *b)
{
    struct tdbg_sum_lanes sum;
    tdbg_sum_lanes_clear(&sum);
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES) {
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            sum.lane[l] = TDBG_STRICT_FMA(a[i + l], b[i + l], sum.lane[l]);
    }
    for (int l = 0; i + l < n; l++)
        sum.lane[l] = TDBG_STRICT_FMA(a[i + l], b[i + l], sum.lane[l]);
    return tdbg_sum_lanes_fold(&sum);
}

static float dot_span(int64_t n, const float *a, const float *b, int64_t span)
{
    if (span == TDBG_SUM_BLOCK)
        return dot_block(n, a, b);
    struct tdbg_sum_lanes sum;
    tdbg_sum_lanes_clear(&sum);
    const int64_t part = span / TDBG_SUM_BLOCK;
    for (int64_t i = 0, term = 0; i < n; i += part, term++)
        sum.lane[term % TDBG_SUM_LANES] +=
            dot_span(n - i < part ? n - i : part, a + i, b + i, part);
    return tdbg_sum_lanes_fold(&sum);
}

void TDBG_KERNEL(tdbg_softmax_backward)(int64_t rows, int64_t cols, const float *y, const float *dy,
                                        float *dx)
{
    int64_t span = TDBG_SUM_BLOCK;
    while (span < cols)
        span *= TDBG_SUM_BLOCK;
    for (int64_t r = 0; r < rows; r++) {
        const float *p = y + r * cols, *d = dy + r * cols;
        const float s = dot_span(cols, d, p, span);
        for (int64_t j = 0; j < cols; j++)
            dx[r * cols + j] = tdbg_strict_canonical(p[j] * (d[j] - s));
    }
}

#ifdef TDBG_ISA_PORTABLE

struct softmax_job {
    const struct tdbg_isa_table *table;
    int64_t cols;
    const float *in, *dy;
    float *out;
};

/* Rows worth a thread: an exponential costs about as much as eight light operations. */
static int64_t grain_rows(int64_t cols)
{
    const int64_t grain = TDBG_GRAIN_ELEMS / 8 / (cols < 1 ? 1 : cols);
    return grain < 1 ? 1 : grain;
}

static void forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct softmax_job *job = ctx;
    job->table->softmax_forward(hi - lo, job->cols, job->in + lo * job->cols,
                                job->out + lo * job->cols);
}

void tdbg_softmax_forward(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols, const float *x,
                          float *y)
{
    struct softmax_job job = {.table = cpu->table, .cols = cols, .in = x, .out = y};
    tdbg_parallel_for(cpu->threads, rows, grain_rows(cols), forward_range, &job);
}

static void backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct softmax_job *job = ctx;
    job->table->softmax_backward(hi - lo, job->cols, job->in + lo * job->cols,
                                 job->dy + lo * job->cols, job->out + lo * job->cols);
}

void tdbg_softmax_backward(const struct tdbg_cpu *cpu, int64_t rows, int64_t cols, const float *y,
                           const float *dy, float *dx)
{
    struct softmax_job job = {.table = cpu->table, .cols = cols, .in = y, .dy = dy, .out = dx};
    tdbg_parallel_for(cpu->threads, rows, grain_rows(cols), backward_range, &job);
}

#endif
