/* Batch norm on a GPU: the folding of the blocks' results, and all that is done once per channel.
 * Formulas and orders: batch_norm.h; what touches every element is batch_norm.cu. */
#include "kernels/gpu_batch_norm.h"

#include "kernels/numerics.h"

/* A block of threads has some channels, side by side, and as many slices at once. */
enum { CHANNELS = 32, SLICES = 8, THREADS = CHANNELS * SLICES };

struct slice_sums {
    float of[2][SLICES][CHANNELS];
};

struct fold {
    struct bn_shape shape;
    const float *parts, *sum;
    float count;
    float *out;
};

/* A channel's terms of one block of n elements, added to what its slice has so far. */
struct add_mean {
    enum { SUMS = 1 };
    static __device__ __forceinline__ void add(const struct fold &f, int64_t block, int64_t c,
                                               float n, float slice[2])
    {
        slice[0] = TDBG_STRICT_FMA(n, f.parts[block * 3 * f.shape.channels + c], slice[0]);
    }
};

struct add_spread {
    enum { SUMS = 2 };
    static __device__ __forceinline__ void add(const struct fold &f, int64_t block, int64_t c,
                                               float n, float slice[2])
    {
        const int64_t channels = f.shape.channels;
        const float *part = f.parts + block * 3 * channels + c;
        const float m = TDBG_STRICT_DIV(f.sum[c], f.count);
        const float t = TDBG_STRICT_ADD(TDBG_STRICT_SUB(part[0], m), part[channels]);
        const float u = TDBG_STRICT_MUL(n, t);
        slice[0] = TDBG_STRICT_ADD(slice[0], u);
        slice[1] = TDBG_STRICT_ADD(slice[1], TDBG_STRICT_FMA(u, t, part[2 * channels]));
    }
};

struct add_products {
    enum { SUMS = 2 };
    static __device__ __forceinline__ void add(const struct fold &f, int64_t block, int64_t c,
                                               float, float slice[2])
    {
        const float *part = f.parts + block * 2 * f.shape.channels + c;
        slice[0] = TDBG_STRICT_ADD(slice[0], part[0]);
        slice[1] = TDBG_STRICT_ADD(slice[1], part[f.shape.channels]);
    }
};

/* The blocks of a slice in ascending order. */
template <class Term>
static __device__ __forceinline__ void add_slice(const struct fold &f, int64_t slice, int64_t c,
                                                 float sums[2])
{
    const struct bn_shape &s = f.shape;
    const int64_t first = slice * TDBG_K_SLICE;
    const int64_t end = tdbg_bn_least(first + TDBG_K_SLICE, s.blocks);
    const float full = (float)(s.block_samples * tdbg_bn_least(TDBG_SUM_BLOCK, s.inner));
#pragma unroll 8
    for (int64_t b = first; b < end; b++) {
        float n = full;
        if (s.pieces > 1 && b % s.pieces == s.pieces - 1) /* a block has one sample */
            n = (float)(s.inner - (s.pieces - 1) * TDBG_SUM_BLOCK);
        if (s.pieces == 1 && b == s.blocks - 1)
            n = (float)((s.samples - b * s.block_samples) * s.inner);
        Term::add(f, b, c, n, sums);
    }
}

/* Slices are added in ascending order, whoever had them. */
template <class Term> static __global__ void fold_blocks(struct fold f)
{
    TDBG_SHARED(struct slice_sums, shared);
    const int x = (int)(threadIdx.x % CHANNELS), y = (int)(threadIdx.x / CHANNELS);
    const int64_t c = (int64_t)blockIdx.x * CHANNELS + x, channels = f.shape.channels;
    const int64_t slices = tdbg_bn_ceil(f.shape.blocks, TDBG_K_SLICE);
    float total[2] = {0, 0};
    for (int64_t round = 0; round < slices; round += SLICES) {
        float sums[2] = {0, 0};
        if (c < channels && round + y < slices)
            add_slice<Term>(f, round + y, c, sums);
        for (int k = 0; k < Term::SUMS; k++)
            shared.of[k][y][x] = sums[k];
        __syncthreads();
        for (int i = 0; i < SLICES && round + i < slices; i++) {
            for (int k = 0; k < Term::SUMS; k++)
                total[k] = TDBG_STRICT_ADD(total[k], shared.of[k][i][x]);
        }
        __syncthreads();
    }
    for (int k = 0; k < Term::SUMS && y == 0 && c < channels; k++)
        f.out[k * channels + c] = tdbg_strict_canonical(total[k]);
}

/* The sum of squared deviations from the mean. */
static __device__ __forceinline__ float squares(int64_t channels, const float *spread, int64_t c,
                                                float n)
{
    const float s =
        TDBG_STRICT_FMA(-spread[c], TDBG_STRICT_DIV(spread[c], n), spread[channels + c]);
    return s < 0 ? 0 : s;
}

static __device__ __forceinline__ float inverse_deviation(float var, float eps)
{
    return tdbg_strict_canonical(
        TDBG_STRICT_DIV(1.0f, TDBG_STRICT_SQRT(TDBG_STRICT_ADD(var, eps))));
}

static __global__ void finish(int64_t channels, float eps, float n, const float *sum,
                              const float *spread, float *stats)
{
    const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels)
        return;
    stats[c] = tdbg_strict_canonical(TDBG_STRICT_DIV(sum[c], n));
    stats[channels + c] = tdbg_strict_canonical(TDBG_STRICT_DIV(spread[c], n));
    stats[2 * channels + c] =
        inverse_deviation(TDBG_STRICT_DIV(squares(channels, spread, c, n), n), eps);
}

struct tracking {
    float n, unbiased, momentum, keep;
};

static __global__ void track(int64_t channels, struct tracking how, const float *stats,
                             const float *spread, float *running_mean, float *running_var)
{
    const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels)
        return;
    const float mean = TDBG_STRICT_ADD(stats[c], stats[channels + c]);
    const float var = TDBG_STRICT_DIV(squares(channels, spread, c, how.n), how.unbiased);
    const float old_mean = TDBG_STRICT_MUL(how.keep, running_mean[c]);
    const float old_var = TDBG_STRICT_MUL(how.keep, running_var[c]);
    running_mean[c] = tdbg_strict_canonical(TDBG_STRICT_FMA(how.momentum, mean, old_mean));
    running_var[c] = tdbg_strict_canonical(TDBG_STRICT_FMA(how.momentum, var, old_var));
}

static __global__ void recall(int64_t channels, float eps, const float *running_mean,
                              const float *running_var, float *stats)
{
    const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels)
        return;
    stats[c] = tdbg_strict_canonical(running_mean[c]);
    stats[channels + c] = 0;
    stats[2 * channels + c] = inverse_deviation(running_var[c], eps);
}

static __global__ void find_slopes(int64_t channels, const float *stats, const float *weight,
                                   const float *sums, float count, struct bn_slopes *slopes)
{
    const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels)
        return;
    const float r = stats[2 * channels + c];
    slopes[c].a = TDBG_STRICT_DIV(sums[c], count);
    slopes[c].k = TDBG_STRICT_DIV(sums[channels + c], count);
    slopes[c].scale = weight ? TDBG_STRICT_MUL(weight[c], r) : r;
}

void tdbg_bn_gpu_recall(struct tdbg_gpu *gpu, const struct tdbg_batch_norm *norm,
                        const float *running_mean, const float *running_var, float *stats)
{
    TDBG_LAUNCH(gpu, recall, tdbg_gpu_blocks(norm->channels, THREADS), THREADS, norm->channels,
                norm->eps, running_mean, running_var, stats);
}

void tdbg_bn_gpu_find_slopes(struct tdbg_gpu *gpu, int64_t channels, const float *stats,
                             const float *weight, const float *sums, int64_t count,
                             struct bn_slopes *slopes)
{
    TDBG_LAUNCH(gpu, find_slopes, tdbg_gpu_blocks(channels, THREADS), THREADS, channels, stats,
                weight, sums, (float)count, slopes);
}

void tdbg_bn_gpu_fold_sums(struct tdbg_gpu *gpu, const struct tdbg_batch_norm *norm,
                           const float *parts, float *sums)
{
    const struct fold f = {bn_shape_of(norm), parts, NULL, 0, sums};
    TDBG_LAUNCH(gpu, (fold_blocks<struct add_products>), tdbg_gpu_blocks(norm->channels, CHANNELS),
                THREADS, f);
}

extern "C" void tdbg_cuda_batch_norm_sum(void *gpu, const struct tdbg_batch_norm *norm,
                                         const float *parts, float *sum)
{
    const struct fold f = {bn_shape_of(norm), parts, NULL, 0, sum};
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (fold_blocks<struct add_mean>),
                tdbg_gpu_blocks(norm->channels, CHANNELS), THREADS, f);
}

extern "C" void tdbg_cuda_batch_norm_spread(void *gpu, const struct tdbg_batch_norm *norm,
                                            const float *parts, const float *sum, int64_t count,
                                            float *spread)
{
    const struct fold f = {bn_shape_of(norm), parts, sum, (float)count, spread};
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (fold_blocks<struct add_spread>),
                tdbg_gpu_blocks(norm->channels, CHANNELS), THREADS, f);
}

extern "C" void tdbg_cuda_batch_norm_finish(void *gpu, const struct tdbg_batch_norm *norm,
                                            const float *sum, const float *spread, int64_t count,
                                            float *stats)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, finish, tdbg_gpu_blocks(norm->channels, THREADS), THREADS,
                norm->channels, norm->eps, (float)count, sum, spread, stats);
}

extern "C" void tdbg_cuda_batch_norm_track(void *gpu, const struct tdbg_batch_norm *norm,
                                           const float *stats, const float *spread, int64_t count,
                                           float momentum, float *running_mean, float *running_var)
{
    const struct tracking how = {(float)count, count > 1 ? (float)(count - 1) : 1, momentum,
                                 TDBG_STRICT_SUB(1.0f, momentum)};
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, track, tdbg_gpu_blocks(norm->channels, THREADS), THREADS,
                norm->channels, how, stats, spread, running_mean, running_var);
}
