/* Smooth activations on a GPU. Definition: activation.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/strict_gelu.h"
#include "kernels/strict_wide.h"
extern "C" {
#include "kernels/activation.h"
#include "kernels/bf16_entries.h"
}

/* A thread has that many elements, and reads them all before it computes: one would not keep the
 * memory busy. */
enum { THREADS = 256, EACH = 4, TILE = THREADS * EACH };

typedef float function(float x);

TDBG_HOST_DEVICE static inline float tanh_derivative(float y)
{
    return TDBG_STRICT_FMA(-y, y, 1.0f);
}

TDBG_HOST_DEVICE static inline float sigmoid_derivative(float y)
{
    return TDBG_STRICT_MUL(TDBG_STRICT_SUB(1.0f, y), y);
}

template <function value, typename T>
static __global__ void activation_forward(int64_t n, const T *x, T *y)
{
    for (int64_t tile = (int64_t)blockIdx.x * TILE; tile < n; tile += (int64_t)gridDim.x * TILE) {
        float v[EACH];
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            v[k] = i < n ? tdbg_gpu_get(x + i) : 0;
        }
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            if (i < n)
                tdbg_gpu_put(y + i, value(v[k]));
        }
    }
}

template <function derivative, typename T>
static __global__ void activation_backward(int64_t n, const T *at, const T *dy, T *dx)
{
    for (int64_t tile = (int64_t)blockIdx.x * TILE; tile < n; tile += (int64_t)gridDim.x * TILE) {
        float v[EACH], d[EACH];
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            v[k] = i < n ? tdbg_gpu_get(at + i) : 0;
            d[k] = i < n ? tdbg_gpu_get(dy + i) : 0;
        }
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            if (i < n)
                tdbg_gpu_put(dx + i,
                             tdbg_strict_canonical(TDBG_STRICT_MUL(d[k], derivative(v[k]))));
        }
    }
}

#define FORWARD(function)                                                                          \
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (activation_forward<function, T>),                         \
                tdbg_gpu_blocks(n, TILE), THREADS, n, x, y)

template <typename T>
static void run_forward(void *gpu, enum tdbg_activation kind, int64_t n, const T *x, T *y)
{
    switch (kind) {
    case TDBG_ACTIVATION_GELU_ERF:
        FORWARD(tdbg_strict_gelu_erff);
        break;
    case TDBG_ACTIVATION_GELU_TANH:
        FORWARD(tdbg_strict_gelu_tanhf);
        break;
    case TDBG_ACTIVATION_SILU:
        FORWARD(tdbg_strict_siluf);
        break;
    case TDBG_ACTIVATION_TANH:
        FORWARD(tdbg_strict_tanhf);
        break;
    case TDBG_ACTIVATION_SIGMOID:
        FORWARD(tdbg_strict_sigmoidf);
        break;
    }
}

#define BACKWARD(derivative)                                                                       \
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (activation_backward<derivative, T>),                      \
                tdbg_gpu_blocks(n, TILE), THREADS, n, at, dy, dx)

template <typename T>
static void run_backward(void *gpu, enum tdbg_activation kind, int64_t n, const T *at, const T *dy,
                         T *dx)
{
    switch (kind) {
    case TDBG_ACTIVATION_GELU_ERF:
        BACKWARD(tdbg_strict_gelu_erf_derivative);
        break;
    case TDBG_ACTIVATION_GELU_TANH:
        BACKWARD(tdbg_strict_gelu_tanh_derivative);
        break;
    case TDBG_ACTIVATION_SILU:
        BACKWARD(tdbg_strict_silu_derivative);
        break;
    case TDBG_ACTIVATION_TANH:
        BACKWARD(tanh_derivative);
        break;
    case TDBG_ACTIVATION_SIGMOID:
        BACKWARD(sigmoid_derivative);
        break;
    }
}

extern "C" void tdbg_cuda_activation_forward(void *gpu, enum tdbg_activation kind, int64_t n,
                                             const float *x, float *y)
{
    run_forward(gpu, kind, n, x, y);
}

extern "C" void tdbg_cuda_activation_backward(void *gpu, enum tdbg_activation kind, int64_t n,
                                              const float *at, const float *dy, float *dx)
{
    run_backward(gpu, kind, n, at, dy, dx);
}

extern "C" void tdbg_cuda_bf16_activation_forward(void *gpu, enum tdbg_activation kind, int64_t n,
                                                  const float *x, float *y)
{
    run_forward(gpu, kind, n, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(y));
}

extern "C" void tdbg_cuda_bf16_activation_backward(void *gpu, enum tdbg_activation kind, int64_t n,
                                                   const float *at, const float *dy, float *dx)
{
    run_backward(gpu, kind, n, tdbg_gpu_bf16_of(at), tdbg_gpu_bf16_of(dy), tdbg_gpu_bf16_of(dx));
}
