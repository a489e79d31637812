/* Clipping gradients on a GPU. Definition: clip.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_ranges.h"
#include "kernels/gpu_reduce.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/clip.h"
}

enum { THREADS = 256, WARPS = THREADS / TDBG_GPU_WARP, EACH = 4, NORM_TENSORS = 1024 };

/* A warp's tiles, one after the other: a tile has the terms of one block of the sum. */
static __global__ void square_tiles(struct tdbg_ranges ranges, const float *x, float *out)
{
    const int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP;
    tdbg_gpu_each_tile(ranges, warp, (int64_t)gridDim.x * WARPS,
                       [=](int64_t tile, int64_t first, int n) {
                           const float *terms = x + first;
                           const float sum = tdbg_gpu_sum_terms(0, n, [=](float lane, int64_t i) {
                               return TDBG_STRICT_FMA(terms[i], terms[i], lane);
                           });
                           if (tdbg_gpu_lane() == 0)
                               out[tile] = tdbg_strict_canonical(sum);
                       });
}

/* A block for each range: the levels above its tiles. Of a single tile too: adding +0 to what is
 * never -0 changes nothing. */
static __global__ void sum_tiles(struct tdbg_ranges ranges, const float *squares, float *out)
{
    TDBG_SHARED(struct tdbg_gpu_block_sums, shared);
    for (int32_t r = (int32_t)blockIdx.x; r < ranges.n; r += (int32_t)gridDim.x) {
        const float *terms = squares + ranges.range[r].first_tile;
        const float sum = tdbg_gpu_sum_block(
            tdbg_range_tiles(&ranges.range[r]),
            [=](float lane, int64_t i) { return TDBG_STRICT_ADD(lane, terms[i]); }, &shared);
        if (threadIdx.x == 0)
            out[r] = tdbg_strict_canonical(sum);
    }
}

extern "C" void tdbg_cuda_clip_square_sum(void *gpu, const struct tdbg_ranges *ranges,
                                          const float *x, float *out, float *scratch)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const struct tdbg_ranges there = tdbg_gpu_ranges(g, ranges);
    TDBG_LAUNCH(g, square_tiles, tdbg_gpu_ranges_blocks(g, &there, WARPS), THREADS, there, x,
                scratch);
    TDBG_LAUNCH(g, sum_tiles, tdbg_gpu_blocks(there.n, 1), THREADS, there, scratch, out);
}

struct norm_shared {
    float square[NORM_TENSORS];
};

/* One block: its threads fetch, the first of them adds in order. */
static __global__ void clip_norm(int64_t n, const float *squares, float limit, float *out)
{
    TDBG_SHARED(struct norm_shared, shared);
    float sum = 0;
    for (int64_t first = 0; first < n; first += NORM_TENSORS) {
        const int count = n - first < NORM_TENSORS ? (int)(n - first) : (int)NORM_TENSORS;
        for (int i = (int)threadIdx.x; i < count; i += THREADS)
            shared.square[i] = squares[first + i];
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < count; i++)
            sum = TDBG_STRICT_ADD(sum, shared.square[i]);
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        const float norm = TDBG_STRICT_SQRT(sum);
        const float factor = TDBG_STRICT_DIV(limit, TDBG_STRICT_ADD(norm, 1e-6f));
        out[0] = tdbg_strict_canonical(norm);
        out[1] = tdbg_strict_canonical(factor > 1 ? 1.0f : factor);
    }
}

extern "C" void tdbg_cuda_clip_norm(void *gpu, int64_t n, const float *squares, float limit,
                                    float *out)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, clip_norm, 1, THREADS, n, squares, limit, out);
}

/* In place, EACH elements of a thread on their way together. */
template <typename Change>
static __device__ void change_all(const struct tdbg_ranges &ranges, float *buffer, Change change)
{
    tdbg_gpu_each_tile(ranges, blockIdx.x, gridDim.x, [=](int64_t, int64_t first, int n) {
        float *x = buffer + first;
        for (int base = (int)threadIdx.x; base < n; base += EACH * THREADS) {
            float v[EACH];
#pragma unroll
            for (int e = 0; e < EACH; e++)
                v[e] = base + e * THREADS < n ? x[base + e * THREADS] : 0.0f;
#pragma unroll
            for (int e = 0; e < EACH; e++)
                if (base + e * THREADS < n)
                    x[base + e * THREADS] = tdbg_strict_canonical(change(v[e]));
        }
    });
}

static __global__ void clip_scale(struct tdbg_ranges ranges, const float *factor, float *x)
{
    const float by = *factor;
    change_all(ranges, x, [=](float v) { return TDBG_STRICT_MUL(v, by); });
}

static __global__ void clip_value(struct tdbg_ranges ranges, float limit, float *x)
{
    change_all(ranges, x, [=](float v) {
        v = v > limit ? limit : v;
        return v < -limit ? -limit : v;
    });
}

extern "C" void tdbg_cuda_clip_scale(void *gpu, const struct tdbg_ranges *ranges,
                                     const float *factor, float *x)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const struct tdbg_ranges there = tdbg_gpu_ranges(g, ranges);
    TDBG_LAUNCH(g, clip_scale, tdbg_gpu_ranges_blocks(g, &there, 1), THREADS, there, factor, x);
}

extern "C" void tdbg_cuda_clip_value(void *gpu, const struct tdbg_ranges *ranges, float limit,
                                     float *x)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const struct tdbg_ranges there = tdbg_gpu_ranges(g, ranges);
    TDBG_LAUNCH(g, clip_value, tdbg_gpu_ranges_blocks(g, &there, 1), THREADS, there, limit, x);
}
