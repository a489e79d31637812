/* Softmax cross-entropy on a GPU. Formulas: cross_entropy.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_rows.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/cross_entropy.h"
}

enum { THREADS = 256 };

/* Rows of logits and their targets. */
struct logits {
    int64_t rows, classes;
    const float *x;
    const int32_t *targets;
    int32_t ignore_index;
};

/* The CPU stops the program at a target outside of the row. Here its results are NaN, and nothing
 * beside the row is touched. */
static __device__ __forceinline__ bool is_class(int32_t target, int64_t classes)
{
    return target >= 0 && target < classes;
}

template <class Team>
static __device__ __forceinline__ float find_max(const Team &team, int64_t n, const float *x)
{
    float max = -__builtin_inff();
#pragma unroll 4
    for (int64_t i = team.rank(); i < n; i += team.size())
        max = tdbg_gpu_larger(max, x[i]);
    return team.max(max);
}

template <class Team>
static __device__ __forceinline__ float sum_exponentials(const Team &team, int64_t n,
                                                         const float *x, float max)
{
    return team.sum(n, [=](float lane, int64_t i) {
        return TDBG_STRICT_ADD(lane, tdbg_strict_expf(TDBG_STRICT_SUB(x[i], max)));
    });
}

template <class Team> static __global__ void cross_entropy_forward(struct logits in, float *loss)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const float *x = in.x + r * in.classes;
        const int32_t t = in.targets[r];
        float value = 0;
        if (t != in.ignore_index) {
            const float max = find_max(team, in.classes, x);
            const float sum = sum_exponentials(team, in.classes, x, max);
            const float at = is_class(t, in.classes) ? x[t] : __builtin_nanf("");
            value = tdbg_strict_canonical(
                TDBG_STRICT_SUB(tdbg_strict_logf(sum), TDBG_STRICT_SUB(at, max)));
        }
        if (team.rank() == 0)
            loss[r] = value;
    }
}

/* An ignored row's gradient d is +0; false: the row is not ignored. */
template <class Team>
static __device__ __forceinline__ bool clear_ignored(const Team &team, const struct logits &in,
                                                     int32_t target, float *d)
{
    if (target != in.ignore_index)
        return false;
    for (int64_t j = team.rank(); j < in.classes; j += team.size())
        d[j] = 0;
    return true;
}

template <class Team> static __global__ void cross_entropy_backward(struct logits in, float *dx)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const float *x = in.x + r * in.classes;
        float *d = dx + r * in.classes;
        const int32_t t = in.targets[r];
        if (clear_ignored(team, in, t, d))
            continue;
        const float max = find_max(team, in.classes, x);
        float sum = sum_exponentials(team, in.classes, x, max);
        sum = is_class(t, in.classes) ? sum : __builtin_nanf("");
#pragma unroll 4
        for (int64_t j = team.rank(); j < in.classes; j += team.size()) {
            const float e = tdbg_strict_expf(TDBG_STRICT_SUB(x[j], max));
            const float p = tdbg_strict_canonical(TDBG_STRICT_DIV(e, sum));
            d[j] = j == t ? tdbg_strict_canonical(TDBG_STRICT_SUB(p, 1.0f)) : p;
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
template <class Team>
static __device__ __forceinline__ float smooth_loss(const Team &team, int64_t n, const float *x,
                                                    const float *weights, float max, float lse)
{
    if (weights)
        return team.sum(n, [=](float lane, int64_t i) {
            const float term = TDBG_STRICT_SUB(lse, TDBG_STRICT_SUB(x[i], max));
            return TDBG_STRICT_ADD(lane, TDBG_STRICT_MUL(weights[i], term));
        });
    return team.sum(n, [=](float lane, int64_t i) {
        return TDBG_STRICT_ADD(lane, TDBG_STRICT_SUB(lse, TDBG_STRICT_SUB(x[i], max)));
    });
}

template <class Team>
static __global__ void weighted_forward(struct logits in, struct tdbg_cross_entropy how,
                                        float *loss)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const float *x = in.x + r * in.classes;
        const int32_t t = in.targets[r];
        float value = 0;
        if (t != in.ignore_index) {
            const float max = find_max(team, in.classes, x);
            const float lse = tdbg_strict_logf(sum_exponentials(team, in.classes, x, max));
            float smooth = 0;
            if (how.share != 0)
                smooth = smooth_loss(team, in.classes, x, how.weights, max, lse);
            const float at = is_class(t, in.classes) ? x[t] : __builtin_nanf("");
            const float nll = TDBG_STRICT_SUB(lse, TDBG_STRICT_SUB(at, max));
            const float own = TDBG_STRICT_MUL(kept_weight(how, in.classes, t), nll);
            value = tdbg_strict_canonical(TDBG_STRICT_ADD(own, TDBG_STRICT_MUL(how.share, smooth)));
        }
        if (team.rank() == 0)
            loss[r] = value;
    }
}

template <class Team>
static __global__ void weighted_backward(struct logits in, struct tdbg_cross_entropy how, float *dx)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        const float *x = in.x + r * in.classes;
        float *d = dx + r * in.classes;
        const int32_t t = in.targets[r];
        if (clear_ignored(team, in, t, d))
            continue;
        const float max = find_max(team, in.classes, x);
        const float sum = sum_exponentials(team, in.classes, x, max);
        const float kept = kept_weight(how, in.classes, t);
        const float factor = TDBG_STRICT_FMA(how.share, how.weight_sum, kept);
#pragma unroll 4
        for (int64_t j = team.rank(); j < in.classes; j += team.size()) {
            const float e = tdbg_strict_expf(TDBG_STRICT_SUB(x[j], max));
            const float off = TDBG_STRICT_MUL(how.share, how.weights ? how.weights[j] : 1.0f);
            const float p = TDBG_STRICT_MUL(TDBG_STRICT_DIV(e, sum), factor);
            const float slope = tdbg_strict_canonical(TDBG_STRICT_SUB(p, off));
            d[j] = j == t ? tdbg_strict_canonical(TDBG_STRICT_SUB(slope, kept)) : slope;
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
static __global__ void count_rows(struct logits in, unsigned long long *correct)
{
    const struct tdbg_gpu_warp_team team(NULL);
    unsigned long long count = 0;
    for (int64_t r = team.first_row(); r < in.rows; r += team.step()) {
        struct largest best = {-__builtin_inff(), INT64_MAX};
#pragma unroll 4
        for (int64_t j = team.rank(); j < in.classes; j += team.size())
            best = larger(best, {in.x[r * in.classes + j], j});
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

extern "C" void tdbg_cuda_cross_entropy_forward(void *gpu, int64_t rows, int64_t classes,
                                                const float *logits, const int32_t *targets,
                                                int32_t ignore_index, float *loss)
{
    const struct logits in = {rows, classes, logits, targets, ignore_index};
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, cross_entropy_forward, rows, classes, in, loss);
}

extern "C" void tdbg_cuda_cross_entropy_backward(void *gpu, int64_t rows, int64_t classes,
                                                 const float *logits, const int32_t *targets,
                                                 int32_t ignore_index, float *dlogits)
{
    const struct logits in = {rows, classes, logits, targets, ignore_index};
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, cross_entropy_backward, rows, classes, in, dlogits);
}

extern "C" void
tdbg_cuda_cross_entropy_weighted_forward(void *gpu, const struct tdbg_cross_entropy *how,
                                         int64_t rows, int64_t classes, const float *logits,
                                         const int32_t *targets, int32_t ignore_index, float *loss)
{
    const struct logits in = {rows, classes, logits, targets, ignore_index};
    const struct tdbg_cross_entropy copy = *how;
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, weighted_forward, rows, classes, in, copy, loss);
}

extern "C" void tdbg_cuda_cross_entropy_weighted_backward(
    void *gpu, const struct tdbg_cross_entropy *how, int64_t rows, int64_t classes,
    const float *logits, const int32_t *targets, int32_t ignore_index, float *dlogits)
{
    const struct logits in = {rows, classes, logits, targets, ignore_index};
    const struct tdbg_cross_entropy copy = *how;
    TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, weighted_backward, rows, classes, in, copy, dlogits);
}

extern "C" void tdbg_cuda_target_weights(void *gpu, int64_t n, const int32_t *targets,
                                         int32_t ignore_index, const float *weights, float *weight)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, find_weights, tdbg_gpu_blocks(n, THREADS), THREADS, n,
                targets, ignore_index, weights, weight);
}

extern "C" int64_t tdbg_cuda_count_correct(void *context, int64_t rows, int64_t classes,
                                           const float *logits, const int32_t *targets,
                                           int32_t ignore_index)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const struct logits in = {rows, classes, logits, targets, ignore_index};
    unsigned long long correct = 0;
    unsigned long long *sum = (unsigned long long *)tdbg_gpu_scratch(gpu, sizeof *sum);
    if (!sum)
        return 0;
    tdbg_gpu_clear(gpu, sum, sizeof *sum);
    TDBG_LAUNCH(gpu, count_rows, tdbg_gpu_blocks(rows, TDBG_GPU_ROW_WARPS),
                TDBG_GPU_ROW_WARPS * TDBG_GPU_WARP, in, sum);
    tdbg_gpu_fetch(gpu, &correct, sum, sizeof correct);
    return (int64_t)correct;
}
