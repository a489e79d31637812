/* Layer norm and RMS norm on a GPU. Formulas and orders: row_norm.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_rows.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/row_norm.h"
}

enum { COLUMN_THREADS = 128 };

/* What every element of a row is computed from; m = c = +0 for RMS norm. */
struct row_stats {
    float m, c, r;
};

static __device__ __forceinline__ float normalised(float x, struct row_stats s)
{
    return TDBG_STRICT_MUL(TDBG_STRICT_SUB(TDBG_STRICT_SUB(x, s.m), s.c), s.r);
}

static __device__ __forceinline__ struct row_stats load_stats(const struct tdbg_row_norm &norm,
                                                              const float *stats, int64_t row)
{
    struct row_stats s = {0, 0, 0};
    if (norm.centre) {
        s.m = stats[3 * row];
        s.c = stats[3 * row + 1];
        s.r = stats[3 * row + 2];
    } else {
        s.r = stats[row];
    }
    return s;
}

template <class Team>
static __device__ __forceinline__ struct row_stats
find_stats(const Team &team, const struct tdbg_row_norm &norm, const float *x)
{
    const float n = (float)norm.width;
    struct row_stats s = {0, 0, 0};
    float square;
    if (norm.centre) {
        const float sum = team.sum(
            norm.width, [=](float lane, int64_t i) { return TDBG_STRICT_ADD(lane, x[i]); });
        const float m = s.m = TDBG_STRICT_DIV(sum, n);
        const struct tdbg_gpu_pair spread =
            team.sum_pair(norm.width, [=](struct tdbg_gpu_pair lane, int64_t i) {
                const float d = TDBG_STRICT_SUB(x[i], m);
                lane.first = TDBG_STRICT_ADD(lane.first, d);
                lane.second = TDBG_STRICT_FMA(d, d, lane.second);
                return lane;
            });
        s.c = TDBG_STRICT_DIV(spread.first, n);
        square = TDBG_STRICT_FMA(-spread.first, s.c, spread.second);
        square = square < 0 ? 0 : square;
    } else {
        square = team.sum(norm.width,
                          [=](float lane, int64_t i) { return TDBG_STRICT_FMA(x[i], x[i], lane); });
    }
    const float v = TDBG_STRICT_ADD(TDBG_STRICT_DIV(square, n), norm.eps);
    s.r = TDBG_STRICT_DIV(1.0f, TDBG_STRICT_SQRT(v));
    return s;
}

static __device__ __forceinline__ void keep_stats(const struct tdbg_row_norm &norm,
                                                  struct row_stats s, float *stats, int64_t row)
{
    if (norm.centre) {
        stats[3 * row] = tdbg_strict_canonical(s.m);
        stats[3 * row + 1] = tdbg_strict_canonical(s.c);
    }
    stats[norm.centre ? 3 * row + 2 : row] = tdbg_strict_canonical(s.r);
}

template <class Team>
static __global__ void row_norm_forward(struct tdbg_row_norm norm, const float *x,
                                        const float *weight, const float *bias, float *y,
                                        float *stats)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t row = team.first_row(); row < norm.rows; row += team.step()) {
        const float *from = x + row * norm.width;
        float *to = y + row * norm.width;
        const struct row_stats s = find_stats(team, norm, from);
        if (team.rank() == 0)
            keep_stats(norm, s, stats, row);
#pragma unroll 4
        for (int64_t j = team.rank(); j < norm.width; j += team.size()) {
            float h = normalised(from[j], s);
            if (weight && bias)
                h = TDBG_STRICT_FMA(h, weight[j], bias[j]);
            else if (weight)
                h = TDBG_STRICT_MUL(h, weight[j]);
            to[j] = tdbg_strict_canonical(h);
        }
    }
}

template <class Team>
static __global__ void row_norm_backward(struct tdbg_row_norm norm, const float *x,
                                         const float *weight, const float *stats, const float *dy,
                                         float *dx)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    const float n = (float)norm.width;
    for (int64_t row = team.first_row(); row < norm.rows; row += team.step()) {
        const float *from = x + row * norm.width, *slope = dy + row * norm.width;
        const struct row_stats s = load_stats(norm, stats, row);
        const struct tdbg_gpu_pair sums =
            team.sum_pair(norm.width, [=](struct tdbg_gpu_pair lane, int64_t i) {
                const float g = weight ? TDBG_STRICT_MUL(slope[i], weight[i]) : slope[i];
                lane.first = TDBG_STRICT_ADD(lane.first, g);
                lane.second = TDBG_STRICT_FMA(g, normalised(from[i], s), lane.second);
                return lane;
            });
        const float a = norm.centre ? TDBG_STRICT_DIV(sums.first, n) : 0;
        const float k = TDBG_STRICT_DIV(sums.second, n);
#pragma unroll 4
        for (int64_t j = team.rank(); j < norm.width; j += team.size()) {
            const float g = weight ? TDBG_STRICT_MUL(slope[j], weight[j]) : slope[j];
            const float part = TDBG_STRICT_FMA(-normalised(from[j], s), k, TDBG_STRICT_SUB(g, a));
            dx[row * norm.width + j] = tdbg_strict_canonical(TDBG_STRICT_MUL(s.r, part));
        }
    }
}

/* The sums of one slice of rows, a column per thread. parts (slices, 2, width): those of dy * h,
 * those of dy. */
static __global__ void sum_slices(struct tdbg_row_norm norm, int64_t slices, const float *x,
                                  const float *stats, const float *dy, float *parts)
{
    const int64_t j = (int64_t)blockIdx.x * COLUMN_THREADS + threadIdx.x;
    if (j >= norm.width)
        return;
    for (int64_t slice = blockIdx.y; slice < slices; slice += gridDim.y) {
        const int64_t first = slice * TDBG_K_SLICE;
        const int64_t end = norm.rows - first < TDBG_K_SLICE ? norm.rows : first + TDBG_K_SLICE;
        float product = 0, sum = 0;
#pragma unroll 8
        for (int64_t row = first; row < end; row++) {
            const float d = dy[row * norm.width + j];
            const float h = normalised(x[row * norm.width + j], load_stats(norm, stats, row));
            product = TDBG_STRICT_FMA(d, h, product);
            sum = TDBG_STRICT_ADD(sum, d);
        }
        parts[2 * slice * norm.width + j] = product;
        parts[(2 * slice + 1) * norm.width + j] = sum;
    }
}

static __global__ void add_slices(int64_t width, int64_t slices, const float *parts, float *dweight,
                                  float *dbias)
{
    const int64_t j = (int64_t)blockIdx.x * COLUMN_THREADS + threadIdx.x;
    float product = 0, sum = 0;
    if (j >= width)
        return;
#pragma unroll 8
    for (int64_t slice = 0; slice < slices; slice++) {
        product = TDBG_STRICT_ADD(product, parts[2 * slice * width + j]);
        sum = TDBG_STRICT_ADD(sum, parts[(2 * slice + 1) * width + j]);
    }
    if (dweight)
        dweight[j] = tdbg_strict_canonical(product);
    if (dbias)
        dbias[j] = tdbg_strict_canonical(sum);
}

extern "C" void tdbg_cuda_row_norm_forward(void *gpu, const struct tdbg_row_norm *norm,
                                           const float *x, const float *weight, const float *bias,
                                           float *y, float *stats)
{
    const struct tdbg_row_norm copy = *norm;
    if (norm->width > 0)
        TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, row_norm_forward, norm->rows, norm->width, copy, x,
                         weight, bias, y, stats);
}

static void sum_columns(struct tdbg_gpu *gpu, const struct tdbg_row_norm *norm, const float *x,
                        const float *stats, const float *dy, float *dweight, float *dbias)
{
    const struct tdbg_row_norm copy = *norm;
    const int64_t slices = (norm->rows + TDBG_K_SLICE - 1) / TDBG_K_SLICE, width = norm->width;
    const unsigned blocks = tdbg_gpu_blocks(width, COLUMN_THREADS);
    const unsigned high = (unsigned)(slices < 65535 ? slices : 65535);
    float *parts = (float *)tdbg_gpu_scratch(gpu, (size_t)(2 * slices * width + 1) * sizeof(float));
    if (!parts)
        return;
    TDBG_LAUNCH(gpu, sum_slices, dim3(blocks, high), COLUMN_THREADS, copy, slices, x, stats, dy,
                parts);
    TDBG_LAUNCH(gpu, add_slices, blocks, COLUMN_THREADS, width, slices, parts, dweight, dbias);
}

extern "C" void tdbg_cuda_row_norm_backward(void *gpu, const struct tdbg_row_norm *norm,
                                            const float *x, const float *weight, const float *stats,
                                            const float *dy, float *dx, float *dweight,
                                            float *dbias, void *workspace)
{
    const struct tdbg_row_norm copy = *norm;
    (void)workspace; /* sized for the CPU */
    if (norm->width < 1)
        return;
    if (dx)
        TDBG_LAUNCH_ROWS((struct tdbg_gpu *)gpu, row_norm_backward, norm->rows, norm->width, copy,
                         x, weight, stats, dy, dx);
    if (dweight || dbias)
        sum_columns((struct tdbg_gpu *)gpu, norm, x, stats, dy, dweight, dbias);
}
