/* Smooth activations on the CPU: loops over the strict functions. Definition: activation.h. */
#include "kernels/activation.h"

#include "kernels/isa_table.h"
#include "kernels/parallel.h"
#include "kernels/strict_gelu.h"
#include "kernels/strict_wide.h"

/* A function is one long chain of operations, and the processor looks ahead too little to keep its
 * units busy with one. So STREAMS elements, a part of the array apart, go side by side, and
 * meson.build asks the compiler to mix their operations. Each element is computed before any of the
 * four is stored: y may be x. */
enum { STREAMS = 4 };

#define FORWARD(name, function)                                                                    \
    __attribute__((flatten)) void TDBG_KERNEL(tdbg_##name##_forward)(int64_t n, const float *x,    \
                                                                     float *y)                     \
    {                                                                                              \
        const int64_t part = n / STREAMS;                                                          \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < part; i++)                                    \
        {                                                                                          \
            const float a = function(x[i]), b = function(x[i + part]);                             \
            const float c = function(x[i + 2 * part]), d = function(x[i + 3 * part]);              \
            y[i] = a;                                                                              \
            y[i + part] = b;                                                                       \
            y[i + 2 * part] = c;                                                                   \
            y[i + 3 * part] = d;                                                                   \
        }                                                                                          \
        for (int64_t i = STREAMS * part; i < n; i++)                                               \
            y[i] = function(x[i]);                                                                 \
    }

#define GRADIENT(derivative, i) tdbg_strict_canonical(dy[i] * derivative(at[i]))

#define BACKWARD(name, derivative)                                                                 \
    __attribute__((flatten)) void TDBG_KERNEL(tdbg_##name##_backward)(int64_t n, const float *at,  \
                                                                      const float *dy, float *dx)  \
    {                                                                                              \
        const int64_t part = n / STREAMS;                                                          \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < part; i++)                                    \
        {                                                                                          \
            const float a = GRADIENT(derivative, i), b = GRADIENT(derivative, i + part);           \
            const float c = GRADIENT(derivative, i + 2 * part);                                    \
            const float d = GRADIENT(derivative, i + 3 * part);                                    \
            dx[i] = a;                                                                             \
            dx[i + part] = b;                                                                      \
            dx[i + 2 * part] = c;                                                                  \
            dx[i + 3 * part] = d;                                                                  \
        }                                                                                          \
        for (int64_t i = STREAMS * part; i < n; i++)                                               \
            dx[i] = GRADIENT(derivative, i);                                                       \
    }

static inline float tanh_derivative(float y)
{
    return TDBG_STRICT_FMA(-y, y, 1.0f);
}

static inline float sigmoid_derivative(float y)
{
    return (1.0f - y) * y;
}

/* Where memory is slower than the few operations. */
#define LIGHT_BACKWARD(name, derivative)                                                           \
    void TDBG_KERNEL(tdbg_##name##_backward)(int64_t n, const float *at, const float *dy,          \
                                             float *dx)                                            \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            dx[i] = GRADIENT(derivative, i);                                                       \
    }

FORWARD(gelu_erf, tdbg_strict_gelu_erff)
BACKWARD(gelu_erf, tdbg_strict_gelu_erf_derivative)
FORWARD(gelu_tanh, tdbg_strict_gelu_tanhf)
BACKWARD(gelu_tanh, tdbg_strict_gelu_tanh_derivative)
FORWARD(silu, tdbg_strict_siluf)
BACKWARD(silu, tdbg_strict_silu_derivative)
FORWARD(tanh, tdbg_strict_tanhf)
LIGHT_BACKWARD(tanh, tanh_derivative)
FORWARD(sigmoid, tdbg_strict_sigmoidf)
LIGHT_BACKWARD(sigmoid, sigmoid_derivative)

#ifdef TDBG_ISA_PORTABLE

struct activation_job {
    void (*forward)(int64_t n, const float *x, float *y);
    void (*backward)(int64_t n, const float *at, const float *dy, float *dx);
    const float *at, *dy;
    float *out;
};

static struct activation_job job_of(const struct tdbg_isa_table *t, enum tdbg_activation kind)
{
    switch (kind) {
    case TDBG_ACTIVATION_GELU_ERF:
        return (struct activation_job){.forward = t->gelu_erf_forward,
                                       .backward = t->gelu_erf_backward};
    case TDBG_ACTIVATION_GELU_TANH:
        return (struct activation_job){.forward = t->gelu_tanh_forward,
                                       .backward = t->gelu_tanh_backward};
    case TDBG_ACTIVATION_SILU:
        return (struct activation_job){.forward = t->silu_forward, .backward = t->silu_backward};
    case TDBG_ACTIVATION_TANH:
        return (struct activation_job){.forward = t->tanh_forward, .backward = t->tanh_backward};
    case TDBG_ACTIVATION_SIGMOID:
        break;
    }
    return (struct activation_job){.forward = t->sigmoid_forward, .backward = t->sigmoid_backward};
}

/* An element costs several times as much as a light one. */
enum { GRAIN = TDBG_GRAIN_ELEMS / 4 };

static void forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct activation_job *job = ctx;
    job->forward(hi - lo, job->at + lo, job->out + lo);
}

void tdbg_activation_forward(const struct tdbg_cpu *cpu, enum tdbg_activation kind, int64_t n,
                             const float *x, float *y)
{
    struct activation_job job = job_of(cpu->table, kind);
    job.at = x;
    job.out = y;
    tdbg_parallel_for(cpu->threads, n, GRAIN, forward_range, &job);
}

static void backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct activation_job *job = ctx;
    job->backward(hi - lo, job->at + lo, job->dy + lo, job->out + lo);
}

void tdbg_activation_backward(const struct tdbg_cpu *cpu, enum tdbg_activation kind, int64_t n,
                              const float *at, const float *dy, float *dx)
{
    struct activation_job job = job_of(cpu->table, kind);
    job.at = at;
    job.dy = dy;
    job.out = dx;
    tdbg_parallel_for(cpu->threads, n, GRAIN, backward_range, &job);
}

#endif
