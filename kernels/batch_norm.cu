/* Batch norm on a GPU: what touches every element, and the stages of batch_norm.h. What is done
 * once per channel is batch_norm_fold.cu. */
#include "kernels/gpu_batch_norm.h"

#include "kernels/gpu_reduce.h"

enum { THREADS = 256, WARPS = THREADS / TDBG_GPU_WARP, EACH = 4, TILE = THREADS * EACH };

/* ---- sums over blocks ------------------------------------------------------------------------ */

/* One block of one channel. */
struct run {
    int64_t offset;          /* of its first element */
    int64_t samples, pixels; /* of every sample */
};

static __device__ __forceinline__ struct run find_run(const struct bn_shape &s, int64_t block,
                                                      int64_t channel)
{
    const int64_t sample = block / s.pieces * s.block_samples;
    const int64_t pixel = block % s.pieces * TDBG_SUM_BLOCK;
    struct run run;
    run.samples = tdbg_bn_least(s.block_samples, s.samples - sample);
    run.pixels = tdbg_bn_least(TDBG_SUM_BLOCK, s.inner - pixel);
    run.offset = (sample * s.channels + channel) * s.inner + pixel;
    return run;
}

/* Calls add(i) with the index of every element that a lane has, in the lane's order. */
template <typename Add>
static __device__ __forceinline__ void walk_lane(const struct bn_shape &s, const struct run &run,
                                                 Add add)
{
    for (int64_t sample = 0; sample < run.samples; sample++) {
        const int64_t row = run.offset + sample * s.channels * s.inner;
#pragma unroll 8
        for (int64_t p = tdbg_gpu_lane(); p < run.pixels; p += TDBG_GPU_WARP)
            add(row + p);
    }
}

/* m_b; then c_b and q_b from the sums of deviations. */
static __device__ __forceinline__ void keep_part(const struct bn_shape &s, int64_t block,
                                                 int64_t channel, float m, float e, float square,
                                                 float n, float *parts)
{
    const float c = TDBG_STRICT_DIV(e, n);
    const float q = TDBG_STRICT_FMA(-e, c, square);
    float *part = parts + block * 3 * s.channels + channel;
    part[0] = m;
    part[s.channels] = c;
    part[2 * s.channels] = q < 0 ? 0 : q;
}

/* A warp per block and channel, for inner > TDBG_SUM_LANES. */
static __global__ void part_runs(struct bn_shape s, const float *x, float *parts)
{
    const int64_t first = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP;
    for (int64_t u = first; u < s.blocks * s.channels; u += (int64_t)gridDim.x * WARPS) {
        const int64_t block = u / s.channels, channel = u % s.channels;
        const struct run run = find_run(s, block, channel);
        const float n = (float)(run.samples * run.pixels);
        float sum = 0, e = 0, square = 0;
        walk_lane(s, run, [&](int64_t i) { sum = TDBG_STRICT_ADD(sum, x[i]); });
        const float m = TDBG_STRICT_DIV(tdbg_gpu_fold(sum), n);
        walk_lane(s, run, [&](int64_t i) {
            const float d = TDBG_STRICT_SUB(x[i], m);
            e = TDBG_STRICT_ADD(e, d);
            square = TDBG_STRICT_FMA(d, d, square);
        });
        e = tdbg_gpu_fold(e);
        square = tdbg_gpu_fold(square);
        if (tdbg_gpu_lane() == 0)
            keep_part(s, block, channel, m, e, square, n, parts);
    }
}

static __global__ void sum_runs(struct bn_shape s, const float *x, const float *stats,
                                const float *dy, float *parts)
{
    const int64_t first = (int64_t)blockIdx.x * WARPS + threadIdx.x / TDBG_GPU_WARP;
    for (int64_t u = first; u < s.blocks * s.channels; u += (int64_t)gridDim.x * WARPS) {
        const int64_t block = u / s.channels, channel = u % s.channels;
        const struct bn_stats k = bn_load_stats(stats, s.channels, channel);
        float sum = 0, product = 0;
        walk_lane(s, find_run(s, block, channel), [&](int64_t i) {
            sum = TDBG_STRICT_ADD(sum, dy[i]);
            product = TDBG_STRICT_FMA(dy[i], bn_normalised(x[i], k), product);
        });
        sum = tdbg_gpu_fold(sum);
        product = tdbg_gpu_fold(product);
        if (tdbg_gpu_lane() == 0) {
            parts[2 * block * s.channels + channel] = sum;
            parts[(2 * block + 1) * s.channels + channel] = product;
        }
    }
}

/* For inner <= TDBG_SUM_LANES element p of a sample is lane p, and a thread is one lane of one
 * channel: a column. Threads of a block have neighbouring columns of one block of samples. */
struct columns {
    float lane[2][THREADS];
    float mean[THREADS];
};

/* Lane l once lanes are folded down to WIDTH of them; those that a channel lacks are +0. */
template <int WIDTH>
static __device__ __forceinline__ float folded_lane(const float *lane, int64_t inner, int l)
{
    if constexpr (WIDTH == TDBG_SUM_LANES)
        return l < inner ? lane[l] : 0;
    else
        return TDBG_STRICT_ADD(folded_lane<2 * WIDTH>(lane, inner, l),
                               folded_lane<2 * WIDTH>(lane, inner, l + WIDTH));
}

/* The sum of a channel, channel `c` of the block of threads. */
static __device__ __forceinline__ float fold_columns(const float lane[THREADS], int64_t inner,
                                                     int c)
{
    return folded_lane<1>(lane + c * inner, inner, 0);
}

/* What a thread of a block of columns is at. */
struct column {
    int64_t block, samples, channels; /* channels: of this block of threads */
    int64_t channel;                  /* the first of those */
    int64_t offset;                   /* of the column's first element */
    bool exists;
};

static __device__ __forceinline__ struct column find_column(const struct bn_shape &s, int64_t tile)
{
    const int64_t wide = THREADS / s.inner, tiles = tdbg_bn_ceil(s.channels, wide);
    struct column c;
    c.block = tile / tiles;
    c.channel = tile % tiles * wide;
    c.channels = tdbg_bn_least(wide, s.channels - c.channel);
    c.samples = tdbg_bn_least(s.block_samples, s.samples - c.block * s.block_samples);
    c.offset = (c.block * s.block_samples * s.channels + c.channel) * s.inner + threadIdx.x;
    c.exists = threadIdx.x < c.channels * s.inner;
    return c;
}

static int64_t count_tiles(const struct bn_shape &s)
{
    return s.blocks * tdbg_bn_ceil(s.channels, THREADS / s.inner);
}

static __global__ void part_columns(struct bn_shape s, int64_t tiles, const float *x, float *parts)
{
    TDBG_SHARED(struct columns, shared);
    const int t = (int)threadIdx.x;
    const int64_t stride = s.channels * s.inner;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const struct column c = find_column(s, tile);
        const float n = (float)(c.samples * s.inner);
        const float *from = x + c.offset;
        float sum = 0, square = 0;
#pragma unroll 8
        for (int64_t i = 0; c.exists && i < c.samples; i++)
            sum = TDBG_STRICT_ADD(sum, from[i * stride]);
        shared.lane[0][t] = sum;
        __syncthreads();
        if (t < c.channels)
            shared.mean[t] = TDBG_STRICT_DIV(fold_columns(shared.lane[0], s.inner, t), n);
        __syncthreads();
        const float m = c.exists ? shared.mean[t / s.inner] : 0;
        sum = 0;
#pragma unroll 8
        for (int64_t i = 0; c.exists && i < c.samples; i++) {
            const float d = TDBG_STRICT_SUB(from[i * stride], m);
            sum = TDBG_STRICT_ADD(sum, d);
            square = TDBG_STRICT_FMA(d, d, square);
        }
        shared.lane[0][t] = sum;
        shared.lane[1][t] = square;
        __syncthreads();
        if (t < c.channels)
            keep_part(s, c.block, c.channel + t, shared.mean[t],
                      fold_columns(shared.lane[0], s.inner, t),
                      fold_columns(shared.lane[1], s.inner, t), n, parts);
        __syncthreads();
    }
}

static __global__ void sum_columns(struct bn_shape s, int64_t tiles, const float *x,
                                   const float *stats, const float *dy, float *parts)
{
    TDBG_SHARED(struct columns, shared);
    const int t = (int)threadIdx.x;
    const int64_t stride = s.channels * s.inner;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const struct column c = find_column(s, tile);
        const int64_t channel = c.channel + (c.exists ? t / s.inner : 0);
        const struct bn_stats k = bn_load_stats(stats, s.channels, channel);
        float sum = 0, product = 0;
#pragma unroll 8
        for (int64_t i = 0; c.exists && i < c.samples; i++) {
            const float d = dy[c.offset + i * stride];
            sum = TDBG_STRICT_ADD(sum, d);
            product = TDBG_STRICT_FMA(d, bn_normalised(x[c.offset + i * stride], k), product);
        }
        shared.lane[0][t] = sum;
        shared.lane[1][t] = product;
        __syncthreads();
        if (t < c.channels) {
            float *part = parts + 2 * c.block * s.channels + c.channel + t;
            part[0] = fold_columns(shared.lane[0], s.inner, t);
            part[s.channels] = fold_columns(shared.lane[1], s.inner, t);
        }
        __syncthreads();
    }
}

/* ---- elements -------------------------------------------------------------------------------- */

/* Index is unsigned where that is wide enough: dividing it costs far less. */
template <typename Index>
static __global__ void apply(Index n, Index channels, Index inner, const float *x,
                             const float *stats, const float *weight, const float *bias, float *y)
{
    for (int64_t tile = (int64_t)blockIdx.x * TILE; tile < (int64_t)n;
         tile += (int64_t)gridDim.x * TILE) {
        float v[EACH];
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            v[k] = i < (int64_t)n ? x[i] : 0;
        }
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            if (i >= (int64_t)n)
                continue;
            const int64_t c = (int64_t)((Index)i / inner % channels);
            float h = bn_normalised(v[k], bn_load_stats(stats, (int64_t)channels, c));
            if (weight && bias)
                h = TDBG_STRICT_FMA(h, weight[c], bias[c]);
            else if (weight)
                h = TDBG_STRICT_MUL(h, weight[c]);
            y[i] = tdbg_strict_canonical(h);
        }
    }
}

template <typename Index>
static __global__ void find_dx(Index n, Index channels, Index inner, const float *x,
                               const float *stats, const struct bn_slopes *slopes, const float *dy,
                               float *dx)
{
    for (int64_t tile = (int64_t)blockIdx.x * TILE; tile < (int64_t)n;
         tile += (int64_t)gridDim.x * TILE) {
        float v[EACH], d[EACH];
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            v[k] = i < (int64_t)n ? x[i] : 0;
            d[k] = i < (int64_t)n ? dy[i] : 0;
        }
        for (int k = 0; k < EACH; k++) {
            const int64_t i = tile + k * THREADS + threadIdx.x;
            if (i >= (int64_t)n)
                continue;
            const int64_t c = (int64_t)((Index)i / inner % channels);
            const struct bn_slopes s = slopes[c];
            const float h = bn_normalised(v[k], bn_load_stats(stats, (int64_t)channels, c));
            const float part = TDBG_STRICT_FMA(-h, s.k, TDBG_STRICT_SUB(d[k], s.a));
            dx[i] = tdbg_strict_canonical(TDBG_STRICT_MUL(s.scale, part));
        }
    }
}

/* ---- stages ---------------------------------------------------------------------------------- */

extern "C" void tdbg_cuda_batch_norm_blocks(void *gpu, const struct tdbg_batch_norm *norm,
                                            const float *x, float *parts)
{
    const struct bn_shape s = bn_shape_of(norm);
    if (norm->inner <= TDBG_SUM_LANES)
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, part_columns, tdbg_gpu_blocks(count_tiles(s), 1),
                    THREADS, s, count_tiles(s), x, parts);
    else
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, part_runs,
                    tdbg_gpu_blocks(s.blocks * s.channels, WARPS), THREADS, s, x, parts);
}

extern "C" void tdbg_cuda_batch_norm_sums(void *gpu, const struct tdbg_batch_norm *norm,
                                          const float *x, const float *stats, const float *dy,
                                          float *parts, float *sums)
{
    const struct bn_shape s = bn_shape_of(norm);
    if (norm->inner <= TDBG_SUM_LANES)
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, sum_columns, tdbg_gpu_blocks(count_tiles(s), 1),
                    THREADS, s, count_tiles(s), x, stats, dy, parts);
    else
        TDBG_LAUNCH((struct tdbg_gpu *)gpu, sum_runs, tdbg_gpu_blocks(s.blocks * s.channels, WARPS),
                    THREADS, s, x, stats, dy, parts);
    tdbg_bn_gpu_fold_sums((struct tdbg_gpu *)gpu, norm, parts, sums);
}

/* APPLY(kernel, arguments behind the sizes...) with the cheaper index */
#define ELEMENTS(kernel, ...)                                                                      \
    do {                                                                                           \
        const int64_t n = norm->samples * norm->channels * norm->inner;                            \
        if (n <= UINT32_MAX)                                                                       \
            TDBG_LAUNCH((struct tdbg_gpu *)gpu, (kernel<uint32_t>), tdbg_gpu_blocks(n, TILE),      \
                        THREADS, (uint32_t)n, (uint32_t)norm->channels, (uint32_t)norm->inner,     \
                        __VA_ARGS__);                                                              \
        else                                                                                       \
            TDBG_LAUNCH((struct tdbg_gpu *)gpu, (kernel<uint64_t>), tdbg_gpu_blocks(n, TILE),      \
                        THREADS, (uint64_t)n, (uint64_t)norm->channels, (uint64_t)norm->inner,     \
                        __VA_ARGS__);                                                              \
    } while (0)

extern "C" void tdbg_cuda_batch_norm_apply(void *gpu, const struct tdbg_batch_norm *norm,
                                           const float *x, const float *stats, const float *weight,
                                           const float *bias, float *y)
{
    ELEMENTS(apply, x, stats, weight, bias, y);
}

/* slopes (channels) is overwritten. */
static void apply_slopes(void *gpu, const struct tdbg_batch_norm *norm, const float *x,
                         const float *stats, const float *weight, const float *dy,
                         const float *sums, int64_t count, struct bn_slopes *slopes, float *dx)
{
    tdbg_bn_gpu_find_slopes((struct tdbg_gpu *)gpu, norm->channels, stats, weight, sums, count,
                            slopes);
    ELEMENTS(find_dx, x, stats, slopes, dy, dx);
}

extern "C" void tdbg_cuda_batch_norm_dx(void *gpu, const struct tdbg_batch_norm *norm,
                                        const float *x, const float *stats, const float *weight,
                                        const float *dy, const float *sums, int64_t count,
                                        float *dx)
{
    struct bn_slopes *slopes = (struct bn_slopes *)tdbg_gpu_scratch(
        (struct tdbg_gpu *)gpu, (size_t)norm->channels * sizeof *slopes);
    if (slopes)
        apply_slopes(gpu, norm, x, stats, weight, dy, sums, count, slopes, dx);
}

/* ---- one part by itself ---------------------------------------------------------------------- */

extern "C" void tdbg_cuda_batch_norm_forward(void *gpu, const struct tdbg_batch_norm *norm,
                                             const float *x, const float *weight, const float *bias,
                                             float momentum, float *running_mean,
                                             float *running_var, float *y, float *stats,
                                             void *workspace)
{
    const int64_t count = norm->samples * norm->inner;
    (void)workspace; /* sized for the CPU */
    if (count < 1)
        return;
    float *parts =
        (float *)tdbg_gpu_scratch((struct tdbg_gpu *)gpu, tdbg_batch_norm_workspace_bytes(norm));
    if (!parts)
        return;
    float *sum = parts + tdbg_batch_norm_parts_elems(norm), *spread = sum + norm->channels;
    tdbg_cuda_batch_norm_blocks(gpu, norm, x, parts);
    tdbg_cuda_batch_norm_sum(gpu, norm, parts, sum);
    tdbg_cuda_batch_norm_spread(gpu, norm, parts, sum, count, spread);
    tdbg_cuda_batch_norm_finish(gpu, norm, sum, spread, count, stats);
    if (running_mean)
        tdbg_cuda_batch_norm_track(gpu, norm, stats, spread, count, momentum, running_mean,
                                   running_var);
    tdbg_cuda_batch_norm_apply(gpu, norm, x, stats, weight, bias, y);
}

extern "C" void tdbg_cuda_batch_norm_evaluate(void *gpu, const struct tdbg_batch_norm *norm,
                                              const float *x, const float *weight,
                                              const float *bias, const float *running_mean,
                                              const float *running_var, float *y, float *stats)
{
    if (norm->samples * norm->inner < 1)
        return;
    tdbg_bn_gpu_recall((struct tdbg_gpu *)gpu, norm, running_mean, running_var, stats);
    tdbg_cuda_batch_norm_apply(gpu, norm, x, stats, weight, bias, y);
}

static void give(struct tdbg_gpu *gpu, float *to, const float *from, size_t bytes)
{
    if (to)
        tdbg_gpu_copy(gpu, to, from, bytes);
}

extern "C" void tdbg_cuda_batch_norm_backward(void *context, const struct tdbg_batch_norm *norm,
                                              const float *x, const float *weight,
                                              const float *stats, const float *dy, float *dx,
                                              float *dweight, float *dbias, void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const int64_t count = norm->samples * norm->inner, channels = norm->channels;
    const size_t bytes = (size_t)channels * sizeof(float);
    (void)workspace; /* sized for the CPU */
    /* slopes, sums (2, channels), parts */
    struct bn_slopes *slopes = (struct bn_slopes *)tdbg_gpu_scratch(
        gpu, (size_t)channels * sizeof *slopes + 2 * bytes +
                 (size_t)tdbg_batch_norm_parts_elems(norm) * sizeof(float));
    if (!slopes)
        return;
    float *sums = (float *)(slopes + channels), *parts = sums + 2 * channels;
    if (count < 1)
        tdbg_gpu_clear(gpu, sums, 2 * bytes);
    else
        tdbg_cuda_batch_norm_sums(gpu, norm, x, stats, dy, parts, sums);
    give(gpu, dbias, sums, bytes);
    give(gpu, dweight, sums + channels, bytes);
    if (dx && count > 0)
        apply_slopes(gpu, norm, x, stats, weight, dy, sums, count, slopes, dx);
}
