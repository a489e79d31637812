/* Layer norm and RMS norm on a GPU. Formulas and orders: row_norm.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_columns.h"
#include "kernels/gpu_rows.h"
#include "kernels/gpu_slices.h"
#include "kernels/strict_exp.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/fast.h"
#include "kernels/row_norm.h"
}

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

template <class Team, typename T>
static __device__ __forceinline__ struct row_stats
find_stats(const Team &team, const struct tdbg_row_norm &norm, const T *x)
{
    const float n = (float)norm.width;
    struct row_stats s = {0, 0, 0};
    float square;
    if (norm.centre) {
        const float sum = team.sum(norm.width, [=](float lane, int64_t i) {
            return TDBG_STRICT_ADD(lane, tdbg_gpu_get(x + i));
        });
        const float m = s.m = TDBG_STRICT_DIV(sum, n);
        const struct tdbg_gpu_pair spread =
            team.sum_pair(norm.width, [=](struct tdbg_gpu_pair lane, int64_t i) {
                const float d = TDBG_STRICT_SUB(tdbg_gpu_get(x + i), m);
                lane.first = TDBG_STRICT_ADD(lane.first, d);
                lane.second = TDBG_STRICT_FMA(d, d, lane.second);
                return lane;
            });
        s.c = TDBG_STRICT_DIV(spread.first, n);
        square = TDBG_STRICT_FMA(-spread.first, s.c, spread.second);
        square = square < 0 ? 0 : square;
    } else {
        square = team.sum(norm.width, [=](float lane, int64_t i) {
            const float v = tdbg_gpu_get(x + i);
            return TDBG_STRICT_FMA(v, v, lane);
        });
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

template <class Team, typename T>
static __global__ void row_norm_forward(struct tdbg_row_norm norm, const T *x, const T *weight,
                                        const T *bias, T *y, float *stats)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    for (int64_t row = team.first_row(); row < norm.rows; row += team.step()) {
        const T *from = x + row * norm.width;
        T *to = y + row * norm.width;
        const struct row_stats s = find_stats(team, norm, from);
        if (team.rank() == 0)
            keep_stats(norm, s, stats, row);
#pragma unroll 4
        for (int64_t j = team.rank(); j < norm.width; j += team.size()) {
            float h = normalised(tdbg_gpu_get(from + j), s);
            if (weight && bias)
                h = TDBG_STRICT_FMA(h, tdbg_gpu_get(weight + j), tdbg_gpu_get(bias + j));
            else if (weight)
                h = TDBG_STRICT_MUL(h, tdbg_gpu_get(weight + j));
            tdbg_gpu_put(to + j, tdbg_strict_canonical(h));
        }
    }
}

template <typename T>
static __device__ __forceinline__ float weighted(const T *dy, const T *weight, int64_t i)
{
    const float g = tdbg_gpu_get(dy + i);
    return weight ? TDBG_STRICT_MUL(g, tdbg_gpu_get(weight + i)) : g;
}

template <class Team, typename T>
static __global__ void row_norm_backward(struct tdbg_row_norm norm, const T *x, const T *weight,
                                         const float *stats, const T *dy, T *dx)
{
    TDBG_SHARED(struct tdbg_gpu_team_memory, memory);
    const Team team(&memory);
    const float n = (float)norm.width;
    for (int64_t row = team.first_row(); row < norm.rows; row += team.step()) {
        const T *from = x + row * norm.width, *slope = dy + row * norm.width;
        const struct row_stats s = load_stats(norm, stats, row);
        const struct tdbg_gpu_pair sums =
            team.sum_pair(norm.width, [=](struct tdbg_gpu_pair lane, int64_t i) {
                const float g = weighted(slope, weight, i);
                lane.first = TDBG_STRICT_ADD(lane.first, g);
                lane.second =
                    TDBG_STRICT_FMA(g, normalised(tdbg_gpu_get(from + i), s), lane.second);
                return lane;
            });
        const float a = norm.centre ? TDBG_STRICT_DIV(sums.first, n) : 0;
        const float k = TDBG_STRICT_DIV(sums.second, n);
#pragma unroll 4
        for (int64_t j = team.rank(); j < norm.width; j += team.size()) {
            const float g = weighted(slope, weight, j), h = normalised(tdbg_gpu_get(from + j), s);
            const float part = TDBG_STRICT_FMA(-h, k, TDBG_STRICT_SUB(g, a));
            tdbg_gpu_put(dx + row * norm.width + j,
                         tdbg_strict_canonical(TDBG_STRICT_MUL(s.r, part)));
        }
    }
}

/* Terms that a thread fetches at once for the sums over rows. */
enum { COLUMN_LOADS = TDBG_GPU_LINE_LOADS / 2 };

struct column_terms {
    struct tdbg_gpu_lines d, h; /* of dy and of h */
};

/* Terms of column j, the first of them of `row`; `left` rows are left. */
template <typename T>
static __device__ __forceinline__ void fetch_column(const struct tdbg_row_norm &norm, const T *x,
                                                    const float *stats, const T *dy, int64_t row,
                                                    int64_t left, int64_t j, float *d, float *h)
{
    float at[COLUMN_LOADS], slope[COLUMN_LOADS];
    struct row_stats s[COLUMN_LOADS];
#pragma unroll
    for (int k = 0; k < COLUMN_LOADS; k++) {
        const int64_t r = row + k * TDBG_GPU_LINE_DOWN;
        const bool inside = k * TDBG_GPU_LINE_DOWN < left;
        slope[k] = inside ? tdbg_gpu_get_const(dy + r * norm.width + j) : -0.0f;
        at[k] = inside ? tdbg_gpu_get_const(x + r * norm.width + j) : 0.0f;
        s[k] = inside ? load_stats(norm, stats, r) : row_stats{0, 0, 0};
    }
#pragma unroll
    for (int k = 0; k < COLUMN_LOADS; k++) {
        d[k * TDBG_GPU_LINE_DOWN] = slope[k];
        h[k * TDBG_GPU_LINE_DOWN] = normalised(at[k], s[k]);
    }
}

/* Both sums of the first n terms of a line; fma(-0, +0, sum) is sum, too. */
static __device__ __forceinline__ struct tdbg_gpu_pair add_column(const float *d, const float *h,
                                                                  int n)
{
    struct tdbg_gpu_pair sum = {0, 0};
    float now[2][TDBG_GPU_LINE_STEP], next[2][TDBG_GPU_LINE_STEP];
    tdbg_gpu_line_read(d, next[0]);
    tdbg_gpu_line_read(h, next[1]);
    for (int t = 0; t < n; t += TDBG_GPU_LINE_STEP) {
#pragma unroll
        for (int i = 0; i < TDBG_GPU_LINE_STEP; i++) {
            now[0][i] = next[0][i];
            now[1][i] = next[1][i];
        }
        tdbg_gpu_line_read(d + (t + TDBG_GPU_LINE_STEP) % TDBG_K_SLICE, next[0]);
        tdbg_gpu_line_read(h + (t + TDBG_GPU_LINE_STEP) % TDBG_K_SLICE, next[1]);
#pragma unroll
        for (int i = 0; i < TDBG_GPU_LINE_STEP; i++) {
            sum.first = TDBG_STRICT_FMA(now[0][i], now[1][i], sum.first);
            sum.second = TDBG_STRICT_ADD(sum.second, now[0][i]);
        }
    }
    return sum;
}

/* The sums of one slice of rows, a line per column. parts (slices, cols): those of dy * h, and
 * where cols is 2 * width behind them those of dy. */
template <typename T>
static __global__ void sum_slices(struct tdbg_row_norm norm, int64_t tiles, int64_t blocks,
                                  int64_t cols, const T *x, const float *stats, const T *dy,
                                  float *parts)
{
    TDBG_SHARED(struct column_terms, s);
    const int line = (int)(threadIdx.x % TDBG_GPU_LINES);
    const int down = (int)(threadIdx.x / TDBG_GPU_LINES);
    for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        const int64_t slice = b / tiles, j = (b - slice * tiles) * TDBG_GPU_LINES + line;
        const int64_t first = slice * TDBG_K_SLICE, left = norm.rows - first;
        const int n = (int)(left < TDBG_K_SLICE ? left : (int64_t)TDBG_K_SLICE);
#pragma unroll
        for (int at = down; at < TDBG_K_SLICE; at += COLUMN_LOADS * TDBG_GPU_LINE_DOWN)
            fetch_column(norm, x, stats, dy, first + at, j < norm.width ? left - at : 0, j,
                         &s.d.term[line][at], &s.h.term[line][at]);
        __syncthreads();
        if (down == 0 && j < norm.width) {
            const struct tdbg_gpu_pair sum = add_column(s.d.term[line], s.h.term[line], n);
            parts[slice * cols + j] = sum.first;
            if (cols > norm.width)
                parts[slice * cols + norm.width + j] = sum.second;
        }
        __syncthreads(); /* the lines are free again */
    }
}

template <typename T>
static void forward(struct tdbg_gpu *gpu, const struct tdbg_row_norm *norm, const T *x,
                    const T *weight, const T *bias, T *y, float *stats)
{
    const struct tdbg_row_norm copy = *norm;
    if (norm->width > 0)
        TDBG_LAUNCH_ROWS(gpu, row_norm_forward, T, norm->rows, norm->width, copy, x, weight, bias,
                         y, stats);
}

template <typename T>
static void sum_columns(struct tdbg_gpu *gpu, const struct tdbg_row_norm *norm, const T *x,
                        const float *stats, const T *dy, float *dweight, float *dbias)
{
    const struct tdbg_row_norm copy = *norm;
    const int64_t slices = (norm->rows + TDBG_K_SLICE - 1) / TDBG_K_SLICE, width = norm->width;
    const int64_t cols = dbias ? 2 * width : width;
    const int64_t tiles = (width + TDBG_GPU_LINES - 1) / TDBG_GPU_LINES, blocks = slices * tiles;
    const struct tdbg_gpu_columns sums = {dweight, dbias, width};
    float *parts = (float *)tdbg_gpu_scratch(gpu, (size_t)(slices * cols + 1) * sizeof(float));
    if (!parts)
        return;
    TDBG_LAUNCH(gpu, (sum_slices<T>), tdbg_gpu_blocks(blocks, 1), TDBG_GPU_LINE_THREADS, copy,
                tiles, blocks, cols, x, stats, dy, parts);
    tdbg_gpu_add_slices(gpu, slices, cols, parts, sums);
}

template <typename T>
static void backward(struct tdbg_gpu *gpu, const struct tdbg_row_norm *norm, const T *x,
                     const T *weight, const float *stats, const T *dy, T *dx, float *dweight,
                     float *dbias)
{
    const struct tdbg_row_norm copy = *norm;
    if (norm->width < 1)
        return;
    if (dx)
        TDBG_LAUNCH_ROWS(gpu, row_norm_backward, T, norm->rows, norm->width, copy, x, weight, stats,
                         dy, dx);
    if (dweight || dbias)
        sum_columns(gpu, norm, x, stats, dy, dweight, dbias);
}

extern "C" void tdbg_cuda_row_norm_forward(void *gpu, const struct tdbg_row_norm *norm,
                                           const float *x, const float *weight, const float *bias,
                                           float *y, float *stats)
{
    forward((struct tdbg_gpu *)gpu, norm, x, weight, bias, y, stats);
}

extern "C" void tdbg_cuda_bf16_row_norm_forward(void *gpu, const struct tdbg_row_norm *norm,
                                                const float *x, const float *weight,
                                                const float *bias, float *y, float *stats)
{
    forward((struct tdbg_gpu *)gpu, norm, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(weight),
            tdbg_gpu_bf16_of(bias), tdbg_gpu_bf16_of(y), stats);
}

/* The workspace is sized for the CPU. */
extern "C" void tdbg_cuda_row_norm_backward(void *gpu, const struct tdbg_row_norm *norm,
                                            const float *x, const float *weight, const float *stats,
                                            const float *dy, float *dx, float *dweight,
                                            float *dbias, void *)
{
    backward((struct tdbg_gpu *)gpu, norm, x, weight, stats, dy, dx, dweight, dbias);
}

extern "C" void tdbg_cuda_bf16_row_norm_backward(void *gpu, const struct tdbg_row_norm *norm,
                                                 const float *x, const float *weight,
                                                 const float *stats, const float *dy, float *dx,
                                                 float *dweight, float *dbias, void *)
{
    backward((struct tdbg_gpu *)gpu, norm, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(weight), stats,
             tdbg_gpu_bf16_of(dy), tdbg_gpu_bf16_of(dx), dweight, dbias);
}

/* ---- fast: sums of dy * h and of dy over rows in another order ---- */

struct norm_terms {
    enum { SUMS = 2 };
    struct tdbg_row_norm norm;
    const struct tdbg_gpu_bf16 *x, *dy;
    const float *stats;

    __device__ __forceinline__ void add(int64_t row, int64_t col, struct tdbg_gpu_eight *sums) const
    {
        const struct row_stats s = load_stats(norm, stats, row);
        const struct tdbg_gpu_eight d = tdbg_gpu_read_bf16(dy + row * norm.width + col);
        struct tdbg_gpu_eight h = tdbg_gpu_read_bf16(x + row * norm.width + col);
#pragma unroll
        for (int k = 0; k < TDBG_GPU_EIGHT; k++)
            h.at[k] = d.at[k] * normalised(h.at[k], s);
        tdbg_gpu_add_eight(&sums[0], h);
        tdbg_gpu_add_eight(&sums[1], d);
    }
};

extern "C" void tdbg_cuda_fast_row_norm_backward(void *context, const struct tdbg_row_norm *norm,
                                                 const float *x, const float *weight,
                                                 const float *stats, const float *dy, float *dx,
                                                 float *dweight, float *dbias, void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const struct norm_terms terms = {*norm, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(dy), stats};
    float *const sums[] = {dweight, dbias};
    const bool wide = tdbg_gpu_has_eights(x, norm->width) && tdbg_gpu_has_eights(dy, norm->width);
    if (!wide || norm->width < 1 || !(dweight || dbias)) {
        tdbg_cuda_bf16_row_norm_backward(gpu, norm, x, weight, stats, dy, dx, dweight, dbias,
                                         workspace);
        return;
    }
    tdbg_cuda_bf16_row_norm_backward(gpu, norm, x, weight, stats, dy, dx, NULL, NULL, workspace);
    tdbg_gpu_sum_columns(gpu, norm->rows, norm->width, terms, sums);
}
