/* Softmax over rows, and the masked one of attention, on a GPU. Definitions: softmax.h,
 * attention.h. A warp for each row, or for long rows a block: the sums are gpu_reduce.h's. */
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/gpu_reduce.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/attention.h"
#include "kernels/bf16_entries.h"
#include "kernels/softmax.h"
}

enum {
    THREADS = 256, /* of a block whose warps have a row each */
    WARPS = THREADS / TDBG_GPU_WARP,
    LONG_THREADS = 512, /* of a block that has one row */
    LONG_COLS = TDBG_SUM_BLOCK,
};

/* Which columns of a row take part: the first count_seen() of them. The others give +0. */
struct mask {
    int64_t cols;
    bool causal; /* row r sees column r % cols and those before it */
    const int32_t *lengths;
    int64_t rows_per_length;
    bool whole_tiles; /* in the sums of a backward pass: see sum_products() */
};

static __device__ __forceinline__ int64_t count_seen(const struct mask &mask, int64_t row)
{
    int64_t seen = mask.causal ? row % mask.cols + 1 : mask.cols;
    if (mask.lengths) {
        const int64_t length = mask.lengths[row / mask.rows_per_length];
        seen = length < seen ? length : seen;
    }
    return seen < 0 ? 0 : seen;
}

static __device__ __forceinline__ float larger(float a, float b) /* of a and b, a if b is NaN */
{
    return b > a ? b : a;
}

static __device__ __forceinline__ float find_max_of_lanes(float high)
{
    for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2)
        high = larger(high, __shfl_xor_sync(TDBG_GPU_ALL_LANES, high, width));
    return high;
}

static __device__ __forceinline__ float divide(float e, float sum)
{
    return tdbg_strict_canonical(TDBG_STRICT_DIV(e, sum));
}

static __device__ __forceinline__ float minus_infinity(void)
{
    return tdbg_strict_float(0xff800000u);
}

/* The next term of a backward sum. A row of attention is summed in whole tiles of columns, +0 times
 * +0 for those that are masked, and a lane that is -0 becomes +0 by it. */
static __device__ __forceinline__ float add_product(float lane, float p, float dp)
{
    return TDBG_STRICT_FMA(p, dp, lane);
}

static __device__ __forceinline__ float differ(float p, float dp, float sum)
{
    return tdbg_strict_canonical(TDBG_STRICT_MUL(p, TDBG_STRICT_SUB(dp, sum)));
}

static __device__ __forceinline__ int64_t count_summed(const struct mask &mask, int64_t n)
{
    return mask.whole_tiles ? (n + TDBG_SUM_LANES - 1) / TDBG_SUM_LANES * TDBG_SUM_LANES : n;
}

/* ---- a warp for each row ---- */

/* Rows of at most 32 KEPT columns: each lane keeps its own. */
template <int KEPT, typename T>
static __device__ __forceinline__ void forward_kept(int64_t cols, int64_t n, const T *x, T *y)
{
    const int lane = tdbg_gpu_lane();
    float v[KEPT], high = minus_infinity(), sum = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int j = k * TDBG_GPU_WARP + lane;
        v[k] = j < n ? tdbg_gpu_get(x + j) : minus_infinity();
        high = larger(high, v[k]);
    }
    high = find_max_of_lanes(high);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (k * TDBG_GPU_WARP >= n)
            break;
        v[k] = tdbg_strict_expf(TDBG_STRICT_SUB(v[k], high));
        sum = k * TDBG_GPU_WARP + lane < n ? TDBG_STRICT_ADD(sum, v[k]) : sum;
    }
    sum = tdbg_gpu_fold(sum);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int j = k * TDBG_GPU_WARP + lane;
        if (j < cols)
            tdbg_gpu_put(y + j, j < n ? divide(v[k], sum) : 0.0f);
    }
}

/* Longer ones: y keeps the exponentials, where it has room for their bits. */
static __device__ __forceinline__ float keep(float *y, float e)
{
    return *y = e;
}

static __device__ __forceinline__ float keep(struct tdbg_gpu_bf16 *, float e)
{
    return e;
}

static __device__ __forceinline__ float kept(const float *, const float *y, float)
{
    return *y;
}

static __device__ __forceinline__ float kept(const struct tdbg_gpu_bf16 *x,
                                             const struct tdbg_gpu_bf16 *, float high)
{
    return tdbg_strict_expf(TDBG_STRICT_SUB(tdbg_gpu_get(x), high));
}

template <typename T>
static __device__ __forceinline__ void forward_unkept(int64_t cols, int64_t n, const T *x, T *y)
{
    float high = minus_infinity();
#pragma unroll 8
    for (int64_t j = tdbg_gpu_lane(); j < n; j += TDBG_GPU_WARP)
        high = larger(high, tdbg_gpu_get(x + j));
    high = find_max_of_lanes(high);
    const float sum = tdbg_gpu_sum_warp(n, [=](float lane, int64_t j) {
        const float e = tdbg_strict_expf(TDBG_STRICT_SUB(tdbg_gpu_get(x + j), high));
        return TDBG_STRICT_ADD(lane, keep(y + j, e));
    });
    for (int64_t j = tdbg_gpu_lane(); j < cols; j += TDBG_GPU_WARP)
        tdbg_gpu_put(y + j, j < n ? divide(kept(x + j, y + j, high), sum) : 0.0f);
}

template <int KEPT, typename T>
static __device__ __forceinline__ void backward_kept(const struct mask &mask, int64_t n, const T *p,
                                                     const T *dp, T *dx)
{
    const int lane = tdbg_gpu_lane();
    float v[KEPT], dv[KEPT], sum = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int j = k * TDBG_GPU_WARP + lane;
        v[k] = j < n ? tdbg_gpu_get(p + j) : 0.0f;
        dv[k] = j < n ? tdbg_gpu_get(dp + j) : 0.0f;
    }
    const int64_t summed = count_summed(mask, n);
#pragma unroll
    for (int k = 0; k < KEPT; k++)
        sum = k * TDBG_GPU_WARP + lane < summed ? add_product(sum, v[k], dv[k]) : sum;
    sum = tdbg_gpu_fold(sum);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int j = k * TDBG_GPU_WARP + lane;
        if (j < mask.cols)
            tdbg_gpu_put(dx + j, j < n ? differ(v[k], dv[k], sum) : 0.0f);
    }
}

/* The next term of a backward sum over n columns. */
template <typename T>
static __device__ __forceinline__ float add_at(float lane, int64_t n, const T *p, const T *dp,
                                               int64_t j)
{
    return j < n ? add_product(lane, tdbg_gpu_get(p + j), tdbg_gpu_get(dp + j))
                 : add_product(lane, 0, 0);
}

template <typename T>
static __device__ __forceinline__ float differ_at(int64_t n, const T *p, const T *dp, int64_t j,
                                                  float sum)
{
    return j < n ? differ(tdbg_gpu_get(p + j), tdbg_gpu_get(dp + j), sum) : 0.0f;
}

template <typename T>
static __device__ __forceinline__ void backward_unkept(const struct mask &mask, int64_t n,
                                                       const T *p, const T *dp, T *dx)
{
    const float sum = tdbg_gpu_sum_warp(
        count_summed(mask, n), [=](float lane, int64_t j) { return add_at(lane, n, p, dp, j); });
    for (int64_t j = tdbg_gpu_lane(); j < mask.cols; j += TDBG_GPU_WARP)
        tdbg_gpu_put(dx + j, differ_at(n, p, dp, j, sum));
}

/* KEPT = 0: longer rows than are kept. */
template <int KEPT, typename T>
static __global__ void __launch_bounds__(THREADS)
    forward_rows(int64_t rows, struct mask mask, const T *x, T *y)
{
    const int64_t step = (int64_t)gridDim.x * WARPS;
    for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP; row < rows;
         row += step) {
        const int64_t n = count_seen(mask, row), at = row * mask.cols;
        if constexpr (KEPT > 0)
            forward_kept<KEPT>(mask.cols, n, x + at, y + at);
        else
            forward_unkept(mask.cols, n, x + at, y + at);
    }
}

template <int KEPT, typename T>
static __global__ void __launch_bounds__(THREADS)
    backward_rows(int64_t rows, struct mask mask, const T *y, const T *dy, T *dx)
{
    const int64_t step = (int64_t)gridDim.x * WARPS;
    for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP; row < rows;
         row += step) {
        const int64_t n = count_seen(mask, row), at = row * mask.cols;
        if constexpr (KEPT > 0)
            backward_kept<KEPT>(mask, n, y + at, dy + at, dx + at);
        else
            backward_unkept(mask, n, y + at, dy + at, dx + at);
    }
}

/* ---- a block for each row, where all of it has more than one block of terms ---- */

struct long_shared {
    struct tdbg_gpu_block_sums sums;
    float high[LONG_THREADS / TDBG_GPU_WARP];
};

template <typename T>
static __device__ __forceinline__ float find_max_of_row(int64_t n, const T *x,
                                                        struct long_shared *shared)
{
    float high = minus_infinity();
#pragma unroll 4
    for (int64_t j = threadIdx.x; j < n; j += LONG_THREADS)
        high = larger(high, tdbg_gpu_get(x + j));
    high = find_max_of_lanes(high);
    if (tdbg_gpu_lane() == 0)
        shared->high[threadIdx.x / TDBG_GPU_WARP] = high;
    __syncthreads();
    for (int w = 0; w < LONG_THREADS / TDBG_GPU_WARP; w++)
        high = larger(high, shared->high[w]);
    __syncthreads();
    return high;
}

template <typename T>
static __global__ void __launch_bounds__(LONG_THREADS)
    forward_long(int64_t rows, struct mask mask, const T *from, T *to)
{
    TDBG_SHARED(struct long_shared, shared);
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const int64_t n = count_seen(mask, row);
        const T *x = from + row * mask.cols;
        T *y = to + row * mask.cols;
        const float high = find_max_of_row(n, x, &shared);
        const float sum = tdbg_gpu_sum_block(
            n,
            [=](float lane, int64_t j) {
                const float e = tdbg_strict_expf(TDBG_STRICT_SUB(tdbg_gpu_get(x + j), high));
                return TDBG_STRICT_ADD(lane, keep(y + j, e));
            },
            &shared.sums);
        for (int64_t j = threadIdx.x; j < mask.cols; j += LONG_THREADS)
            tdbg_gpu_put(y + j, j < n ? divide(kept(x + j, y + j, high), sum) : 0.0f);
    }
}

template <typename T>
static __global__ void __launch_bounds__(LONG_THREADS)
    backward_long(int64_t rows, struct mask mask, const T *ys, const T *dys, T *dxs)
{
    TDBG_SHARED(struct long_shared, shared);
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const int64_t n = count_seen(mask, row), summed = count_summed(mask, n);
        const T *p = ys + row * mask.cols, *dp = dys + row * mask.cols;
        const auto add = [=](float lane, int64_t j) { return add_at(lane, n, p, dp, j); };
        /* The sum of one block is the sum even where it is -0. */
        const float sum = n <= TDBG_SUM_BLOCK ? tdbg_gpu_sum_warp(summed, add)
                                              : tdbg_gpu_sum_block(summed, add, &shared.sums);
        __syncthreads();
        for (int64_t j = threadIdx.x; j < mask.cols; j += LONG_THREADS)
            tdbg_gpu_put(dxs + row * mask.cols + j, differ_at(n, p, dp, j, sum));
    }
}

/* ---- launchers ---- */

template <typename T>
static void run_forward(void *context, int64_t rows, struct mask mask, const T *x, T *y)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const unsigned blocks = tdbg_gpu_blocks(rows, WARPS);
    if (mask.cols <= 4 * TDBG_GPU_WARP)
        TDBG_LAUNCH(gpu, (forward_rows<4, T>), blocks, THREADS, rows, mask, x, y);
    else if (mask.cols <= 16 * TDBG_GPU_WARP)
        TDBG_LAUNCH(gpu, (forward_rows<16, T>), blocks, THREADS, rows, mask, x, y);
    else if (mask.cols <= 32 * TDBG_GPU_WARP)
        TDBG_LAUNCH(gpu, (forward_rows<32, T>), blocks, THREADS, rows, mask, x, y);
    else if (mask.cols <= LONG_COLS)
        TDBG_LAUNCH(gpu, (forward_rows<0, T>), blocks, THREADS, rows, mask, x, y);
    else
        TDBG_LAUNCH(gpu, (forward_long<T>), tdbg_gpu_blocks(rows, 1), LONG_THREADS, rows, mask, x,
                    y);
}

template <typename T>
static void run_backward(void *context, int64_t rows, struct mask mask, const T *y, const T *dy,
                         T *dx)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const unsigned blocks = tdbg_gpu_blocks(rows, WARPS);
    if (mask.cols <= 4 * TDBG_GPU_WARP)
        TDBG_LAUNCH(gpu, (backward_rows<4, T>), blocks, THREADS, rows, mask, y, dy, dx);
    else if (mask.cols <= 16 * TDBG_GPU_WARP)
        TDBG_LAUNCH(gpu, (backward_rows<16, T>), blocks, THREADS, rows, mask, y, dy, dx);
    else if (mask.cols <= 32 * TDBG_GPU_WARP)
        TDBG_LAUNCH(gpu, (backward_rows<32, T>), blocks, THREADS, rows, mask, y, dy, dx);
    else if (mask.cols <= LONG_COLS)
        TDBG_LAUNCH(gpu, (backward_rows<0, T>), blocks, THREADS, rows, mask, y, dy, dx);
    else
        TDBG_LAUNCH(gpu, (backward_long<T>), tdbg_gpu_blocks(rows, 1), LONG_THREADS, rows, mask, y,
                    dy, dx);
}

extern "C" void tdbg_cuda_softmax_forward(void *gpu, int64_t rows, int64_t cols, const float *x,
                                          float *y)
{
    run_forward(gpu, rows, {cols, false, NULL, 1, false}, x, y);
}

extern "C" void tdbg_cuda_softmax_backward(void *gpu, int64_t rows, int64_t cols, const float *y,
                                           const float *dy, float *dx)
{
    run_backward(gpu, rows, {cols, false, NULL, 1, false}, y, dy, dx);
}

static struct mask mask_of(const struct tdbg_attention *a)
{
    return {a->tokens, a->causal, a->lengths, a->heads * a->tokens, true};
}

extern "C" void tdbg_cuda_attention_softmax_forward(void *gpu, const struct tdbg_attention *a,
                                                    const float *scores, float *probs)
{
    run_forward(gpu, a->rows * a->heads * a->tokens, mask_of(a), scores, probs);
}

extern "C" void tdbg_cuda_attention_softmax_backward(void *gpu, const struct tdbg_attention *a,
                                                     const float *probs, const float *dprobs,
                                                     float *dscores)
{
    run_backward(gpu, a->rows * a->heads * a->tokens, mask_of(a), probs, dprobs, dscores);
}

extern "C" void tdbg_cuda_bf16_attention_softmax_forward(void *gpu, const struct tdbg_attention *a,
                                                         const float *scores, float *probs)
{
    run_forward(gpu, a->rows * a->heads * a->tokens, mask_of(a), tdbg_gpu_bf16_of(scores),
                tdbg_gpu_bf16_of(probs));
}

extern "C" void tdbg_cuda_bf16_attention_softmax_backward(void *gpu, const struct tdbg_attention *a,
                                                          const float *probs, const float *dprobs,
                                                          float *dscores)
{
    run_backward(gpu, a->rows * a->heads * a->tokens, mask_of(a), tdbg_gpu_bf16_of(probs),
                 tdbg_gpu_bf16_of(dprobs), tdbg_gpu_bf16_of(dscores));
}
