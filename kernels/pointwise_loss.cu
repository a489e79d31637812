/* Element-wise losses on a GPU. Formulas: pointwise_loss.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_rows.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/pointwise_loss.h"
}

enum { THREADS = 256, COUNT_EACH = 16 };

static __device__ __forceinline__ float sign_of(float d)
{
    const float s = d > 0 ? 1.0f : TDBG_STRICT_ADD(d, 0.0f); /* -0 + 0 is +0, and NaN stays */
    return d < 0 ? -1.0f : s;
}

/* log(1 + exp(-|x|)) */
static __device__ __forceinline__ float softplus_below(float x)
{
    const float e = tdbg_strict_expf(-tdbg_strict_abs(x));
    const float u = TDBG_STRICT_ADD(1.0f, e);
    const float exact = TDBG_STRICT_SUB(u, 1.0f);
    if (u == 1.0f)
        return e;
    return TDBG_STRICT_MUL(tdbg_strict_logf(u), TDBG_STRICT_DIV(e, exact));
}

/* Losses as types: value() is that of one element, slope() its derivative. */
struct mse {
    static __device__ __forceinline__ float value(float x, float t, float)
    {
        const float d = TDBG_STRICT_SUB(x, t);
        return TDBG_STRICT_MUL(d, d);
    }
    static __device__ __forceinline__ float slope(float x, float t, float)
    {
        return TDBG_STRICT_MUL(2.0f, TDBG_STRICT_SUB(x, t));
    }
};

struct l1 {
    static __device__ __forceinline__ float value(float x, float t, float)
    {
        return tdbg_strict_abs(TDBG_STRICT_SUB(x, t));
    }
    static __device__ __forceinline__ float slope(float x, float t, float)
    {
        return sign_of(TDBG_STRICT_SUB(x, t));
    }
};

struct smooth_l1 {
    static __device__ __forceinline__ float value(float x, float t, float beta)
    {
        const float d = tdbg_strict_abs(TDBG_STRICT_SUB(x, t));
        if (d < beta)
            return TDBG_STRICT_DIV(TDBG_STRICT_MUL(TDBG_STRICT_MUL(0.5f, d), d), beta);
        return TDBG_STRICT_SUB(d, TDBG_STRICT_MUL(0.5f, beta));
    }
    static __device__ __forceinline__ float slope(float x, float t, float beta)
    {
        const float d = TDBG_STRICT_SUB(x, t);
        return tdbg_strict_abs(d) < beta ? TDBG_STRICT_DIV(d, beta) : sign_of(d);
    }
};

struct bce {
    static __device__ __forceinline__ float value(float x, float t, float)
    {
        const float above = x < 0 ? 0.0f : x;
        return TDBG_STRICT_ADD(TDBG_STRICT_SUB(above, TDBG_STRICT_MUL(x, t)), softplus_below(x));
    }
    static __device__ __forceinline__ float slope(float x, float t, float)
    {
        const float e = tdbg_strict_expf(-tdbg_strict_abs(x));
        const float sigmoid = TDBG_STRICT_DIV(x < 0 ? e : 1.0f, TDBG_STRICT_ADD(1.0f, e));
        return TDBG_STRICT_SUB(sigmoid, t);
    }
};

template <class Loss, class Team>
static __device__ __forceinline__ void sum_losses(int64_t rows, int64_t cols, float beta,
                                                  const float *x, const float *target, float *loss,
                                                  struct tdbg_gpu_team_memory *memory)
{
    const Team team(memory);
    for (int64_t r = team.first_row(); r < rows; r += team.step()) {
        const float *from = x + r * cols, *to = target + r * cols;
        const float sum = team.sum(cols, [=](float lane, int64_t i) {
            return TDBG_STRICT_ADD(lane, Loss::value(from[i], to[i], beta));
        });
        if (team.rank() == 0)
            loss[r] = tdbg_strict_canonical(sum);
    }
}

/* A kernel by itself for each loss: TDBG_LAUNCH_ROWS wants templates over team and type alone. */
#define FORWARD_KERNEL(type)                                                                       \
    template <class Team, typename T>                                                              \
    static __global__ void type##_forward(int64_t rows, int64_t cols, float beta, const T *x,      \
                                          const T *target, float *loss)                            \
    {                                                                                              \
        TDBG_SHARED(struct tdbg_gpu_team_memory, memory);                                          \
        sum_losses<struct type, Team>(rows, cols, beta, x, target, loss, &memory);                 \
    }
FORWARD_KERNEL(mse)
FORWARD_KERNEL(l1)
FORWARD_KERNEL(smooth_l1)
FORWARD_KERNEL(bce)

template <class Loss>
static __global__ void loss_backward(int64_t n, float beta, const float *x, const float *target,
                                     float *dx)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        dx[i] = tdbg_strict_canonical(Loss::slope(x[i], target[i], beta));
}

static __global__ void count_sides(int64_t n, const float *x, const float *target,
                                   unsigned long long *correct)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    unsigned long long count = 0;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        count += (x[i] > 0) == (target[i] >= 0.5f);
    for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2)
        count += __shfl_xor_sync(TDBG_GPU_ALL_LANES, count, width);
    if (tdbg_gpu_lane() == 0)
        atomicAdd(correct, count);
}

#define FORWARD(type)                                                                              \
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, type##_forward, float, rows, cols, rows, cols, beta,  \
                     x, target, loss)

extern "C" void tdbg_cuda_pointwise_loss_forward(void *gpu, enum tdbg_pointwise_loss kind,
                                                 float beta, int64_t rows, int64_t cols,
                                                 const float *x, const float *target, float *loss)
{
    if (kind == TDBG_POINTWISE_MSE)
        FORWARD(mse);
    else if (kind == TDBG_POINTWISE_BCE)
        FORWARD(bce);
    else if (kind == TDBG_POINTWISE_SMOOTH_L1 && beta > 0)
        FORWARD(smooth_l1);
    else
        FORWARD(l1);
}

#define BACKWARD(type)                                                                             \
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (loss_backward<struct type>), tdbg_gpu_blocks(n, THREADS), \
                THREADS, n, beta, x, target, dx)

extern "C" void tdbg_cuda_pointwise_loss_backward(void *gpu, enum tdbg_pointwise_loss kind,
                                                  float beta, int64_t n, const float *x,
                                                  const float *target, float *dx)
{
    if (kind == TDBG_POINTWISE_MSE)
        BACKWARD(mse);
    else if (kind == TDBG_POINTWISE_BCE)
        BACKWARD(bce);
    else if (kind == TDBG_POINTWISE_SMOOTH_L1 && beta > 0)
        BACKWARD(smooth_l1);
    else
        BACKWARD(l1);
}

extern "C" int64_t tdbg_cuda_pointwise_count_correct(void *context, int64_t n, const float *x,
                                                     const float *target)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    unsigned long long correct = 0;
    unsigned long long *sum = (unsigned long long *)tdbg_gpu_scratch(gpu, sizeof *sum);
    if (!sum)
        return 0;
    tdbg_gpu_clear(gpu, sum, sizeof *sum);
    TDBG_LAUNCH(gpu, count_sides, tdbg_gpu_blocks(n, THREADS * COUNT_EACH), THREADS, n, x, target,
                sum);
    tdbg_gpu_fetch(gpu, &correct, sum, sizeof correct);
    return (int64_t)correct;
}
