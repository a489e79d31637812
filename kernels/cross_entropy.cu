/* Softmax cross-entropy on a GPU. Formulas: cross_entropy.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/gpu_rows.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/cross_entropy.h"
#include "kernels/fast.h"
}

enum { THREADS = 256 };

/* Rows of logits and their targets. */
template <typename T> struct logits {
    int64_t rows, classes;
    const T *x;
    const int32_t *targets;
    int32_t ignore_index;
};

/* The CPU stops the program at a target outside of the row. Here its results are NaN, and nothing
 * beside the row is touched. */
static __device__ __forceinline__ bool is_class(int32_t target, int64_t classes)
{
    return target >= 0 && target < classes;
}

template <class Team, typename T>
static __device__ __forceinline__ float find_max(const Team &team, int64_t n, const T *x)
{
    float max = -__builtin_inff();
#pragma unroll 4
    for (int64_t i = team.rank(); i < n; i += team.size())
        max = tdbg_gpu_larger(max, tdbg_gpu_get(x + i));
    return team.max(max);
}

/* x[i] - max */
template <typename T>
static __device__ __forceinline__ float below(const T *x, int64_t i, float max)
{
    return TDBG_STRICT_SUB(tdbg_gpu_get(x + i), max);
}

/* The same of the target's; NaN where that is no class. */
template <typename T>
static __device__ __forceinline__ float below_target(const struct logits<T> &in, const T *x,
                                                     int32_t t, float max)
{
    return is_class(t, in.classes) ? below(x, t, max) : __builtin_nanf("");
}

template <class Team, typename T>
static __device__ __forceinline__ float sum_exponentials(const Team &team, int64_t n, const T *x,
                                                         float max)
{
    return team.sum(n, [=](float lane, int64_t i) {
        return TDBG_STRICT_ADD(lane, tdbg_strict_expf(below(x, i, max)));
    });
}

template <class Team, typename T>
static __global__ void cross_entropy_forward(struct logits<T> in, float *loss)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const T *x = in.x + r * in.classes;
        const int32_t t = in.targets[r];
        float value = 0;
        if (t != in.ignore_index) {
            const float max = find_max(team, in.classes, x);
            const float sum = sum_exponentials(team, in.classes, x, max);
            value = tdbg_strict_canonical(
                TDBG_STRICT_SUB(tdbg_strict_logf(sum), below_target(in, x, t, max)));
        }
        if (team.rank() == 0)
            loss[r] = value;
    }
}

/* An ignored row's gradient d is +0; false: the row is not ignored. */
template <class Team, typename T>
static __device__ __forceinline__ bool clear_ignored(const Team &team, const struct logits<T> &in,
                                                     int32_t target, T *d)
{
    if (target != in.ignore_index)
        return false;
    for (int64_t j = team.rank(); j < in.classes; j += team.size())
        tdbg_gpu_put(d + j, 0);
    return true;
}

template <class Team, typename T>
static __global__ void cross_entropy_backward(struct logits<T> in, T *dx)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const T *x = in.x + r * in.classes;
        T *d = dx + r * in.classes;
        const int32_t t = in.targets[r];
        if (clear_ignored(team, in, t, d))
            continue;
        const float max = find_max(team, in.classes, x);
        float sum = sum_exponentials(team, in.classes, x, max);
        sum = is_class(t, in.classes) ? sum : __builtin_nanf("");
#pragma unroll 4
        for (int64_t j = team.rank(); j < in.classes; j += team.size()) {
            const float e = tdbg_strict_expf(below(x, j, max));
            const float p = tdbg_strict_canonical(TDBG_STRICT_DIV(e, sum));
            tdbg_gpu_put(d + j, j == t ? tdbg_strict_canonical(TDBG_STRICT_SUB(p, 1.0f)) : p);
        }
    }
}

/* keep times the weight of the row's target */
static __device__ __forceinline__ float kept_weight(const struct tdbg_cross_entropy &how,
                                                    int64_t classes, int32_t t)
{
    float weight = 1.0f;
    if (!is_class(t, classes))
        weight = __builtin_nanf("");
    else if (how.weights)
        weight = how.weights[t];
    return TDBG_STRICT_MUL(how.keep, weight);
}

/* sum_j w_j * (lse - (x_j - max)) */
template <class Team, typename T>
static __device__ __forceinline__ float smooth_loss(const Team &team, int64_t n, const T *x,
                                                    const float *weights, float max, float lse)
{
    if (weights)
        return team.sum(n, [=](float lane, int64_t i) {
            const float term = TDBG_STRICT_SUB(lse, below(x, i, max));
            return TDBG_STRICT_ADD(lane, TDBG_STRICT_MUL(weights[i], term));
        });
    return team.sum(n, [=](float lane, int64_t i) {
        return TDBG_STRICT_ADD(lane, TDBG_STRICT_SUB(lse, below(x, i, max)));
    });
}

template <class Team, typename T>
static __global__ void weighted_forward(struct logits<T> in, struct tdbg_cross_entropy how,
                                        float *loss)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const T *x = in.x + r * in.classes;
        const int32_t t = in.targets[r];
        float value = 0;
        if (t != in.ignore_index) {
            const float max = find_max(team, in.classes, x);
            const float lse = tdbg_strict_logf(sum_exponentials(team, in.classes, x, max));
            float smooth = 0;
            if (how.share != 0)
                smooth = smooth_loss(team, in.classes, x, how.weights, max, lse);
            const float nll = TDBG_STRICT_SUB(lse, below_target(in, x, t, max));
            const float own = TDBG_STRICT_MUL(kept_weight(how, in.classes, t), nll);
            value = tdbg_strict_canonical(TDBG_STRICT_ADD(own, TDBG_STRICT_MUL(how.share, smooth)));
        }
        if (team.rank() == 0)
            loss[r] = value;
    }
}

template <class Team, typename T>
static __global__ void weighted_backward(struct logits<T> in, struct tdbg_cross_entropy how, T *dx)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const T *x = in.x + r * in.classes;
        T *d = dx + r * in.classes;
        const int32_t t = in.targets[r];
        if (clear_ignored(team, in, t, d))
            continue;
        const float max = find_max(team, in.classes, x);
        const float sum = sum_exponentials(team, in.classes, x, max);
        const float kept = kept_weight(how, in.classes, t);
        const float factor = TDBG_STRICT_FMA(how.share, how.weight_sum, kept);
#pragma unroll 4
        for (int64_t j = team.rank(); j < in.classes; j += team.size()) {
            const float e = tdbg_strict_expf(below(x, j, max));
            const float off = TDBG_STRICT_MUL(how.share, how.weights ? how.weights[j] : 1.0f);
            const float p = TDBG_STRICT_MUL(TDBG_STRICT_DIV(e, sum), factor);
            const float slope = tdbg_strict_canonical(TDBG_STRICT_SUB(p, off));
            tdbg_gpu_put(d + j,
                         j == t ? tdbg_strict_canonical(TDBG_STRICT_SUB(slope, kept)) : slope);
        }
    }
}

static __global__ void find_weights(int64_t n, const int32_t *targets, int32_t ignore_index,
                                    const float *weights, float *weight)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        float w = 1.0f;
        if (targets[i] == ignore_index)
            w = 0;
        else if (weights)
            w = tdbg_strict_canonical(weights[targets[i]]);
        weight[i] = w;
    }
}

/* A logit and its class, the largest so far. */
struct largest {
    float x;
    int64_t at;
};

/* Any NaN is larger than every number; of equals the first is the largest. */
static __device__ __forceinline__ struct largest larger(struct largest a, struct largest b)
{
    const bool a_nan = a.x != a.x, b_nan = b.x != b.x;
    bool b_wins = b.at < a.at;
    if (a_nan != b_nan)
        b_wins = b_nan;
    else if (!a_nan && a.x != b.x)
        b_wins = b.x > a.x;
    return b_wins ? b : a;
}

/* A warp per row. */
template <typename T>
static __global__ void count_rows(struct logits<T> in, int64_t stride, unsigned long long *correct)
{
    const struct tdbg_gpu_warp_team team(NULL);
    unsigned long long count = 0;
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        struct largest best = {-__builtin_inff(), INT64_MAX};
#pragma unroll 4
        for (int64_t j = team.rank(); j < in.classes; j += team.size())
            best = larger(best, {tdbg_gpu_get(in.x + r * stride + j), j});
        for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2) {
            const float x = __shfl_xor_sync(TDBG_GPU_ALL_LANES, best.x, width);
            const int64_t at = __shfl_xor_sync(TDBG_GPU_ALL_LANES, best.at, width);
            best = larger(best, {x, at});
        }
        count += in.targets[r] != in.ignore_index && best.at == in.targets[r];
    }
    if (team.rank() == 0 && count > 0)
        atomicAdd(correct, count);
}

template <typename T> static void forward(void *gpu, const struct logits<T> &in, float *loss)
{
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, cross_entropy_forward, T, in.rows, in.classes, in,
                     loss);
}

template <typename T> static void backward(void *gpu, const struct logits<T> &in, T *dlogits)
{
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, cross_entropy_backward, T, in.rows, in.classes, in,
                     dlogits);
}

template <typename T>
static void forward(void *gpu, const struct logits<T> &in, const struct tdbg_cross_entropy &how,
                    float *loss)
{
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, weighted_forward, T, in.rows, in.classes, in, how,
                     loss);
}

template <typename T>
static void backward(void *gpu, const struct logits<T> &in, const struct tdbg_cross_entropy &how,
                     T *dlogits)
{
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, weighted_backward, T, in.rows, in.classes, in, how,
                     dlogits);
}

/* stride: elements from row to row. */
template <typename T>
static int64_t count_correct(struct tdbg_gpu *gpu, const struct logits<T> &in, int64_t stride)
{
    unsigned long long correct = 0;
    unsigned long long *sum = (unsigned long long *)tdbg_gpu_scratch(gpu, sizeof *sum);
    if (!sum)
        return 0;
    tdbg_gpu_clear(gpu, sum, sizeof *sum);
    TDBG_LAUNCH(gpu, (count_rows<T>), tdbg_gpu_blocks(in.rows, TDBG_GPU_ROW_WARPS),
                TDBG_GPU_ROW_WARPS * TDBG_GPU_WARP, in, stride, sum);
    tdbg_gpu_fetch(gpu, &correct, sum, sizeof correct);
    return (int64_t)correct;
}

extern "C" void tdbg_cuda_target_weights(void *gpu, int64_t n, const int32_t *targets,
                                         int32_t ignore_index, const float *weights, float *weight)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, find_weights, tdbg_gpu_blocks(n, THREADS), THREADS, n,
                targets, ignore_index, weights, weight);
}

/* The entries of the backend table, and the same where logits are bf16 in memory. */
#define ENTRIES(prefix, T, of)                                                                     \
    extern "C" void prefix##cross_entropy_forward(void *gpu, int64_t rows, int64_t classes,        \
                                                  const float *x, const int32_t *targets,          \
                                                  int32_t ignored, float *loss)                    \
    {                                                                                              \
        forward<T>(gpu, {rows, classes, of(x), targets, ignored}, loss);                           \
    }                                                                                              \
    extern "C" void prefix##cross_entropy_backward(void *gpu, int64_t rows, int64_t classes,       \
                                                   const float *x, const int32_t *targets,         \
                                                   int32_t ignored, float *dx)                     \
    {                                                                                              \
        backward<T>(gpu, {rows, classes, of(x), targets, ignored}, of(dx));                        \
    }                                                                                              \
    extern "C" void prefix##cross_entropy_weighted_forward(                                        \
        void *gpu, const struct tdbg_cross_entropy *how, int64_t rows, int64_t classes,            \
        const float *x, const int32_t *targets, int32_t ignored, float *loss)                      \
    {                                                                                              \
        forward<T>(gpu, {rows, classes, of(x), targets, ignored}, *how, loss);                     \
    }                                                                                              \
    extern "C" void prefix##cross_entropy_weighted_backward(                                       \
        void *gpu, const struct tdbg_cross_entropy *how, int64_t rows, int64_t classes,            \
        const float *x, const int32_t *targets, int32_t ignored, float *dx)                        \
    {                                                                                              \
        backward<T>(gpu, {rows, classes, of(x), targets, ignored}, *how, of(dx));                  \
    }                                                                                              \
    extern "C" int64_t prefix##count_correct(void *gpu, int64_t rows, int64_t classes,             \
                                             const float *x, const int32_t *targets,               \
                                             int32_t ignored)                                      \
    {                                                                                              \
        return count_correct<T>((struct tdbg_gpu *)gpu, {rows, classes, of(x), targets, ignored},  \
                                classes);                                                          \
    }

ENTRIES(tdbg_cuda_, float, )
ENTRIES(tdbg_cuda_bf16_, struct tdbg_gpu_bf16, tdbg_gpu_bf16_of)

extern "C" int64_t tdbg_cuda_fast_count_correct(void *gpu, const struct tdbg_logits *in)
{
    return count_correct<struct tdbg_gpu_bf16>(
        (struct tdbg_gpu *)gpu,
        {in->rows, in->classes, tdbg_gpu_bf16_of(in->x), in->targets, in->ignore_index},
        in->stride);
}
