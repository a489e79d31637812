/* Rectified linear unit on the CPU. Definition: relu.h. */
#include "kernels/relu.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_relu_forward)(int64_t n, const float *x, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float v = tdbg_strict_canonical(x[i]);
        y[i] = v <= 0 ? 0.0f : v; /* also maps -0 to +0, and keeps NaN */
    }
}

void TDBG_KERNEL(tdbg_relu_backward)(int64_t n, const float *y, const float *dy, float *dx)
{
    for (int64_t i = 0; i < n; i++) {
        float pass = tdbg_strict_canonical(dy[i]);
        dx[i] = y[i] <= 0 ? 0.0f : pass;
    }
}

#ifdef TDBG_ISA_PORTABLE

struct relu_job {
    const struct tdbg_isa_table *table;
    const float *y, *in;
    float *out;
};

static void forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct relu_job *job = ctx;
    job->table->relu_forward(hi - lo, job->in + lo, job->out + lo);
}

void tdbg_relu_forward(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *y)
{
    struct relu_job job = {.table = cpu->table, .in = x, .out = y};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, forward_range, &job);
}

static void backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct relu_job *job = ctx;
    job->table->relu_backward(hi - lo, job->y + lo, job->in + lo, job->out + lo);
}

void tdbg_relu_backward(const struct tdbg_cpu *cpu, int64_t n, const float *y, const float *dy,
                        float *dx)
{
    struct relu_job job = {.table = cpu->table, .y = y, .in = dy, .out = dx};
    tdbg_parallel_for(cpu->threads, n, TDBG_GRAIN_ELEMS, backward_range, &job);
}

#endif
