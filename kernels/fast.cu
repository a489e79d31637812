/* Fast forms of what is not a product, on a GPU. See fast.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_columns.h"
#include "kernels/gpu_map.h"
#include "kernels/gpu_mma.h"
#include "kernels/gpu_reduce.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/fast.h"
}

typedef struct tdbg_gpu_bf16 bf16;

/* ---- cross-entropy: a block for each row ---- */

enum { THREADS = 512, WARPS = THREADS / TDBG_GPU_WARP };

static const float LOG2_E = 1.44269504f;

/* sum_j exp(x_j - max) */
struct soft_sum {
    float max, sum;
};

static __device__ __forceinline__ float larger(float a, float b) /* of a and b, a if b is NaN */
{
    return b > a ? b : a;
}

/* Below -Inf there is nothing but that and NaN: it counts as 1 until a larger one comes. */
static __device__ __forceinline__ float exp_below(float x, float max)
{
    if (max == -__builtin_inff())
        return x == x ? 1.0f : x;
    return tdbg_gpu_exp2((x - max) * LOG2_E);
}

/* The sum as one below another maximum. Of nothing it is 0 below -Inf. */
static __device__ __forceinline__ float below(struct soft_sum s, float max)
{
    return s.max == max ? s.sum : s.sum * exp_below(s.max, max);
}

static __device__ __forceinline__ struct soft_sum join(struct soft_sum a, struct soft_sum b)
{
    const float max = larger(a.max, b.max);
    return {max, below(a, max) + below(b, max)};
}

static __device__ __forceinline__ struct soft_sum add_logits(struct soft_sum s,
                                                             const struct tdbg_gpu_eight &x)
{
    float max = s.max;
#pragma unroll
    for (int i = 0; i < TDBG_GPU_EIGHT; i++)
        max = larger(max, x.at[i]);
    float sum = below(s, max);
#pragma unroll
    for (int i = 0; i < TDBG_GPU_EIGHT; i++)
        sum += exp_below(x.at[i], max);
    return {max, sum};
}

struct row_shared {
    struct soft_sum warp[WARPS];
};

/* Of a row, by all threads of the block. eights: how many there are to be read at once. */
static __device__ __forceinline__ struct soft_sum sum_row(int64_t n, int64_t eights, const bf16 *x,
                                                          struct row_shared *shared)
{
    struct soft_sum s = {-__builtin_inff(), 0};
    for (int64_t i = threadIdx.x; i < eights; i += THREADS)
        s = add_logits(s, tdbg_gpu_read_bf16(x + i * TDBG_GPU_EIGHT));
    for (int64_t i = eights * TDBG_GPU_EIGHT + threadIdx.x; i < n; i += THREADS) {
        const float v = tdbg_gpu_get(x + i), max = larger(s.max, v);
        s = {max, below(s, max) + exp_below(v, max)};
    }
    for (int width = TDBG_GPU_WARP / 2; width > 0; width /= 2)
        s = join(s, {__shfl_xor_sync(TDBG_GPU_ALL_LANES, s.max, width),
                     __shfl_xor_sync(TDBG_GPU_ALL_LANES, s.sum, width)});
    if (tdbg_gpu_lane() == 0)
        shared->warp[threadIdx.x / TDBG_GPU_WARP] = s;
    __syncthreads();
    s = shared->warp[0];
    for (int w = 1; w < WARPS; w++)
        s = join(s, shared->warp[w]);
    __syncthreads();
    return s;
}

/* Logits as the kernels get them. */
struct rows {
    struct tdbg_logits in;
    const bf16 *x;
    int64_t eights;
};

static struct rows rows_of(const struct tdbg_logits *in, const void *other)
{
    const bool wide =
        tdbg_gpu_has_eights(in->x, in->stride) && tdbg_gpu_has_eights(other, in->stride);
    return {*in, tdbg_gpu_bf16_of(in->x), wide ? in->classes / TDBG_GPU_EIGHT : 0};
}

static __device__ __forceinline__ bool is_class(const struct tdbg_logits &in, int32_t target)
{
    return target >= 0 && target < in.classes;
}

static __global__ void __launch_bounds__(THREADS) cross_entropy_forward(struct rows r, float *loss)
{
    TDBG_SHARED(struct row_shared, shared);
    for (int64_t row = blockIdx.x; row < r.in.rows; row += gridDim.x) {
        const bf16 *x = r.x + row * r.in.stride;
        const int32_t t = r.in.targets[row];
        float value = 0;
        if (t != r.in.ignore_index) {
            const struct soft_sum s = sum_row(r.in.classes, r.eights, x, &shared);
            const float at = is_class(r.in, t) ? tdbg_gpu_get(x + t) : __builtin_nanf("");
            value = tdbg_strict_canonical(tdbg_strict_logf(s.sum) - (at - s.max));
        }
        if (threadIdx.x == 0)
            loss[row] = value;
    }
}

static __device__ __forceinline__ float slope(float x, struct soft_sum s, float share,
                                              bool is_target)
{
    const float p = exp_below(x, s.max) * share;
    return is_target ? p - 1 : p;
}

static __global__ void __launch_bounds__(THREADS) cross_entropy_backward(struct rows r, bf16 *dx)
{
    TDBG_SHARED(struct row_shared, shared);
    for (int64_t row = blockIdx.x; row < r.in.rows; row += gridDim.x) {
        const bf16 *x = r.x + row * r.in.stride;
        bf16 *d = dx + row * r.in.stride;
        const int32_t t = r.in.targets[row];
        const bool ignored = t == r.in.ignore_index;
        for (int64_t j = (ignored ? 0 : r.in.classes) + threadIdx.x; j < r.in.stride; j += THREADS)
            tdbg_gpu_put(d + j, 0);
        if (ignored)
            continue;
        const struct soft_sum s = sum_row(r.in.classes, r.eights, x, &shared);
        const bool has_share = is_class(r.in, t) && s.max > -__builtin_inff();
        const float share = has_share ? 1 / s.sum : __builtin_nanf("");
        for (int64_t i = threadIdx.x; i < r.eights; i += THREADS) {
            struct tdbg_gpu_eight e = tdbg_gpu_read_bf16(x + i * TDBG_GPU_EIGHT);
#pragma unroll
            for (int k = 0; k < TDBG_GPU_EIGHT; k++)
                e.at[k] = slope(e.at[k], s, share, i * TDBG_GPU_EIGHT + k == t);
            tdbg_gpu_write_bf16(d + i * TDBG_GPU_EIGHT, e);
        }
        for (int64_t j = r.eights * TDBG_GPU_EIGHT + threadIdx.x; j < r.in.classes; j += THREADS)
            tdbg_gpu_put(d + j, slope(tdbg_gpu_get(x + j), s, share, j == t));
    }
}

extern "C" void tdbg_cuda_fast_cross_entropy_forward(void *gpu, const struct tdbg_logits *logits,
                                                     float *loss)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, cross_entropy_forward, tdbg_gpu_blocks(logits->rows, 1),
                THREADS, rows_of(logits, logits->x), loss);
}

extern "C" void tdbg_cuda_fast_cross_entropy_backward(void *gpu, const struct tdbg_logits *logits,
                                                      float *dlogits)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, cross_entropy_backward, tdbg_gpu_blocks(logits->rows, 1),
                THREADS, rows_of(logits, dlogits), tdbg_gpu_bf16_of(dlogits));
}

/* ---- rows that are apart ---- */

static __global__ void copy_rows(int64_t rows, int64_t cols, const bf16 *from, int64_t from_stride,
                                 bf16 *to, int64_t to_stride)
{
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x)
        for (int64_t i = threadIdx.x; i < cols; i += THREADS)
            to[row * to_stride + i] = from[row * from_stride + i];
}

extern "C" void tdbg_cuda_fast_copy_rows(void *gpu, int64_t rows, int64_t cols, const float *from,
                                         int64_t from_stride, float *to, int64_t to_stride)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, copy_rows, tdbg_gpu_blocks(rows, 1), THREADS, rows, cols,
                tdbg_gpu_bf16_of(from), from_stride, tdbg_gpu_bf16_of(to), to_stride);
}

/* ---- gelu by tanh: x * s with s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) ---- */

static const float GELU_A = 0.79788456f, GELU_B = 0.79788456f * 0.044715f; /* u = A x + B x^3 */

static __device__ __forceinline__ float gelu_share(float x)
{
    const float u = x * (GELU_A + GELU_B * x * x);
    return 1 / (1 + tdbg_gpu_exp2(-2 * LOG2_E * u));
}

static __global__ void gelu_forward(int64_t n, const bf16 *x, bf16 *y)
{
    tdbg_gpu_map(n, x, y, [](float v) {
        const float s = gelu_share(v);
        return s == 0 ? -0.0f : v * s; /* v may be -Inf */
    });
}

static __global__ void gelu_backward(int64_t n, const bf16 *at, const bf16 *dy, bf16 *dx)
{
    tdbg_gpu_map(n, at, dy, dx, [](float v, float d) {
        const float s = gelu_share(v), du = GELU_A + 3 * GELU_B * v * v, ds = s * (1 - s);
        return d * (ds == 0 ? s : s + 2 * v * du * ds); /* v may be infinite */
    });
}

extern "C" void tdbg_cuda_fast_activation_forward(void *gpu, enum tdbg_activation kind, int64_t n,
                                                  const float *x, float *y)
{
    if (kind == TDBG_ACTIVATION_GELU_TANH)
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, gelu_forward, tdbg_gpu_map_blocks(n),
                    TDBG_GPU_MAP_THREADS, n, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(y));
    else
        tdbg_cuda_bf16_activation_forward(gpu, kind, n, x, y);
}

extern "C" void tdbg_cuda_fast_activation_backward(void *gpu, enum tdbg_activation kind, int64_t n,
                                                   const float *at, const float *dy, float *dx)
{
    if (kind == TDBG_ACTIVATION_GELU_TANH)
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, gelu_backward, tdbg_gpu_map_blocks(n),
                    TDBG_GPU_MAP_THREADS, n, tdbg_gpu_bf16_of(at), tdbg_gpu_bf16_of(dy),
                    tdbg_gpu_bf16_of(dx));
    else
        tdbg_cuda_bf16_activation_backward(gpu, kind, n, at, dy, dx);
}

/* ---- sums over rows ---- */

struct row_terms {
    enum { SUMS = 1 };
    const bf16 *x;
    int64_t cols;

    __device__ __forceinline__ void add(int64_t row, int64_t col, struct tdbg_gpu_eight *sums) const
    {
        tdbg_gpu_add_eight(&sums[0], tdbg_gpu_read_bf16(x + row * cols + col));
    }
};

extern "C" void tdbg_cuda_fast_reduce_rows(void *gpu, int64_t rows, int64_t cols, const float *x,
                                           float *out)
{
    const struct row_terms terms = {tdbg_gpu_bf16_of(x), cols};
    float *const outs[] = {out};
    if (tdbg_gpu_has_eights(x, cols))
        tdbg_gpu_sum_columns((struct tdbg_gpu *)gpu, rows, cols, terms, outs);
    else
        tdbg_cuda_bf16_reduce_rows(gpu, rows, cols, x, out);
}
