/* Pooling on a GPU, a thread per output; backward, a thread per element of dx, which looks through
 * the windows that it is in. Definition: pool2d.h. */
#include "kernels/gpu.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/pool2d.h"
}

enum { THREADS = 256 };

/* One axis: output i has lines i * stride - padding + tap. */
struct axis {
    int32_t size, outs, kernel, stride, padding;
};

struct pool {
    int64_t planes;
    struct axis h, w;
    bool include_pad;
};

static struct pool pool_of(const struct tdbg_pool2d *p)
{
    struct pool pool;
    pool.planes = p->planes;
    pool.include_pad = p->include_pad;
    for (int i = 0; i < 2; i++) {
        struct axis *a = i == 0 ? &pool.h : &pool.w;
        a->size = (int32_t)(i == 0 ? p->height : p->width);
        a->outs = (int32_t)tdbg_pool2d_out_size(p, i);
        a->kernel = (int32_t)p->kernel[i];
        a->stride = (int32_t)p->stride[i];
        a->padding = (int32_t)p->padding[i];
    }
    return pool;
}

struct range {
    int32_t lo, hi;
};

/* The lines inside of the image that output i has. */
static __device__ __forceinline__ struct range window_of(const struct axis &a, int32_t i)
{
    const int32_t first = i * a.stride - a.padding, end = first + a.kernel;
    struct range r;
    r.lo = first > 0 ? first : 0;
    r.hi = end < a.size ? end : a.size;
    return r;
}

/* The outputs that have a line. */
static __device__ __forceinline__ struct range outputs_of(const struct axis &a, int32_t line)
{
    const int32_t at = line + a.padding;
    struct range r;
    r.lo = at < a.kernel ? 0 : (at - a.kernel) / a.stride + 1;
    r.hi = at / a.stride + 1 < a.outs ? at / a.stride + 1 : a.outs;
    return r;
}

/* Element i of (planes, rows, cols). */
struct place {
    int64_t plane;
    int32_t row, col;
};

static __device__ __forceinline__ struct place place_of(int64_t i, int32_t rows, int32_t cols)
{
    const uint32_t size = (uint32_t)rows * (uint32_t)cols; /* as i, mostly of 32 bits */
    struct place at;
    at.plane = i <= 0xffffffff ? (uint32_t)i / size : i / size;
    const uint32_t left = (uint32_t)(i - at.plane * size);
    at.row = (int32_t)(left / (uint32_t)cols);
    at.col = (int32_t)(left % (uint32_t)cols);
    return at;
}

/* ---- maximum ---- */

static __global__ void max_forward(const struct pool p, const float *x, float *y, int32_t *index)
{
    const int64_t n = p.planes * p.h.outs * p.w.outs, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const struct place at = place_of(i, p.h.outs, p.w.outs);
        const struct range h = window_of(p.h, at.row), w = window_of(p.w, at.col);
        const float *plane = x + at.plane * p.h.size * p.w.size;
        float best = -INFINITY;
        int32_t where = h.lo * p.w.size + w.lo;
        for (int32_t a = h.lo; a < h.hi; a++) {
            for (int32_t b = w.lo; b < w.hi; b++) {
                const int32_t here = a * p.w.size + b;
                const float v = __ldg(plane + here);
                if (v > best || v != v) {
                    best = v;
                    where = here;
                }
            }
        }
        y[i] = tdbg_strict_canonical(best);
        if (index)
            index[i] = where;
    }
}

static __global__ void max_backward(const struct pool p, const int32_t *index, const float *dy,
                                    float *dx)
{
    const int64_t n = p.planes * p.h.size * p.w.size, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const struct place at = place_of(i, p.h.size, p.w.size);
        const struct range h = outputs_of(p.h, at.row), w = outputs_of(p.w, at.col);
        const int64_t plane = at.plane * p.h.outs * p.w.outs;
        const int32_t here = at.row * p.w.size + at.col;
        float sum = 0.0f;
        for (int32_t a = h.lo; a < h.hi; a++) {
            for (int32_t b = w.lo; b < w.hi; b++) {
                const int64_t out = plane + (int64_t)a * p.w.outs + b;
                if (__ldg(index + out) == here)
                    sum = TDBG_STRICT_ADD(sum, __ldg(dy + out));
            }
        }
        dx[i] = tdbg_strict_canonical(sum);
    }
}

extern "C" void tdbg_cuda_max_pool2d_forward(void *gpu, const struct tdbg_pool2d *pool,
                                             const float *x, float *y, int32_t *index)
{
    const struct pool p = pool_of(pool);
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, max_forward,
                tdbg_gpu_blocks(p.planes * p.h.outs * p.w.outs, THREADS), THREADS, p, x, y, index);
}

extern "C" void tdbg_cuda_max_pool2d_backward(void *gpu, const struct tdbg_pool2d *pool,
                                              const int32_t *index, const float *dy, float *dx)
{
    const struct pool p = pool_of(pool);
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, max_backward,
                tdbg_gpu_blocks(p.planes * p.h.size * p.w.size, THREADS), THREADS, p, index, dy,
                dx);
}

/* ---- average ---- */

static __device__ __forceinline__ float divisor_of(const struct pool &p, int32_t row, int32_t col)
{
    if (p.include_pad)
        return (float)((int64_t)p.h.kernel * p.w.kernel);
    const struct range h = window_of(p.h, row), w = window_of(p.w, col);
    return (float)((int64_t)(h.hi - h.lo) * (w.hi - w.lo));
}

static __global__ void avg_forward(const struct pool p, const float *x, float *y)
{
    const int64_t n = p.planes * p.h.outs * p.w.outs, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const struct place at = place_of(i, p.h.outs, p.w.outs);
        const struct range h = window_of(p.h, at.row), w = window_of(p.w, at.col);
        const float *plane = x + at.plane * p.h.size * p.w.size;
        float sum = 0.0f;
        for (int32_t a = h.lo; a < h.hi; a++)
            for (int32_t b = w.lo; b < w.hi; b++)
                sum = TDBG_STRICT_ADD(sum, __ldg(plane + a * p.w.size + b));
        y[i] = tdbg_strict_canonical(sum / divisor_of(p, at.row, at.col));
    }
}

static __global__ void avg_backward(const struct pool p, const float *dy, float *dx)
{
    const int64_t n = p.planes * p.h.size * p.w.size, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const struct place at = place_of(i, p.h.size, p.w.size);
        const struct range h = outputs_of(p.h, at.row), w = outputs_of(p.w, at.col);
        const float *plane = dy + at.plane * p.h.outs * p.w.outs;
        float sum = 0.0f;
        for (int32_t a = h.lo; a < h.hi; a++)
            for (int32_t b = w.lo; b < w.hi; b++)
                sum = TDBG_STRICT_ADD(sum, __ldg(plane + (int64_t)a * p.w.outs + b) /
                                               divisor_of(p, a, b));
        dx[i] = tdbg_strict_canonical(sum);
    }
}

extern "C" void tdbg_cuda_avg_pool2d_forward(void *gpu, const struct tdbg_pool2d *pool,
                                             const float *x, float *y)
{
    const struct pool p = pool_of(pool);
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, avg_forward,
                tdbg_gpu_blocks(p.planes * p.h.outs * p.w.outs, THREADS), THREADS, p, x, y);
}

extern "C" void tdbg_cuda_avg_pool2d_backward(void *gpu, const struct tdbg_pool2d *pool,
                                              const float *dy, float *dx)
{
    const struct pool p = pool_of(pool);
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, avg_backward,
                tdbg_gpu_blocks(p.planes * p.h.size * p.w.size, THREADS), THREADS, p, dy, dx);
}

/* ---- average of a whole plane: a warp has a plane, a thread a lane of its sum ---- */

static_assert((int)TDBG_SUM_LANES == (int)TDBG_GPU_WARP, "a lane of the sum is one of the warp");

/* Lane 0's is the sum. */
static __device__ __forceinline__ float fold_lanes(float lane)
{
#pragma unroll
    for (int width = TDBG_SUM_LANES / 2; width > 0; width /= 2)
        lane = TDBG_STRICT_ADD(lane, __shfl_down_sync(TDBG_GPU_ALL_LANES, lane, width));
    return lane;
}

/* The sum of n terms as reduce.h says, in lane 0. Levels as in sum_lanes.h. */
static __device__ float sum_plane(int64_t n, const float *x, int lane)
{
    float blocks = 0.0f, upper = 0.0f;
    const int64_t n_blocks = (n + TDBG_SUM_BLOCK - 1) / TDBG_SUM_BLOCK;
    for (int64_t block = 0; block < n_blocks; block++) {
        const int64_t first = block * TDBG_SUM_BLOCK;
        const int64_t end = n - first < TDBG_SUM_BLOCK ? n : first + (int64_t)TDBG_SUM_BLOCK;
        float sum = 0.0f;
#pragma unroll 4
        for (int64_t i = first + lane; i < end; i += TDBG_SUM_LANES)
            sum = TDBG_STRICT_ADD(sum, __ldg(x + i));
        sum = fold_lanes(sum);
        if (n_blocks == 1)
            return sum;
        sum = __shfl_sync(TDBG_GPU_ALL_LANES, sum, 0);
        if (block % TDBG_SUM_LANES == lane)
            blocks = TDBG_STRICT_ADD(blocks, sum);
        if ((block + 1) % TDBG_SUM_BLOCK == 0 || block + 1 == n_blocks) {
            sum = __shfl_sync(TDBG_GPU_ALL_LANES, fold_lanes(blocks), 0);
            if (block / TDBG_SUM_BLOCK % TDBG_SUM_LANES == lane)
                upper = TDBG_STRICT_ADD(upper, sum);
            blocks = 0.0f;
        }
    }
    return fold_lanes(upper);
}

static __global__ void global_forward(int64_t planes, int64_t elems, const float *x, float *y)
{
    const int lane = threadIdx.x % TDBG_GPU_WARP;
    const int64_t step = (int64_t)gridDim.x * (THREADS / TDBG_GPU_WARP);
    int64_t plane = (int64_t)blockIdx.x * (THREADS / TDBG_GPU_WARP) + threadIdx.x / TDBG_GPU_WARP;
    for (; plane < planes; plane += step) {
        const float sum = sum_plane(elems, x + plane * elems, lane);
        if (lane == 0)
            y[plane] = tdbg_strict_canonical(sum / (float)elems);
    }
}

static __global__ void global_backward(int64_t planes, int64_t elems, const float *dy, float *dx)
{
    const int64_t n = planes * elems, step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        dx[i] = tdbg_strict_canonical(__ldg(dy + i / elems) / (float)elems);
}

extern "C" void tdbg_cuda_global_avg_pool_forward(void *gpu, int64_t planes, int64_t elems,
                                                  const float *x, float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, global_forward,
                tdbg_gpu_blocks(planes, THREADS / TDBG_GPU_WARP), THREADS, planes, elems, x, y);
}

extern "C" void tdbg_cuda_global_avg_pool_backward(void *gpu, int64_t planes, int64_t elems,
                                                   const float *dy, float *dx)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, global_backward, tdbg_gpu_blocks(planes * elems, THREADS),
                THREADS, planes, elems, dy, dx);
}
