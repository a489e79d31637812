/* Positions on a GPU. Formulas: position.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_elem.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/position.h"
}

enum { THREADS = 256, MAX_ROW_BLOCKS = 1024, PAIRS = TDBG_GPU_WARP, HEADS = 8 };

/* A thread for an element of the table, which it adds to several rows. */
template <typename T, typename Table>
static __global__ void position_add(int64_t rows, int64_t n, const T *x, const Table *table, T *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const float at = tdbg_gpu_get(table + i);
        for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
            tdbg_gpu_put(y + row * n + i,
                         tdbg_strict_canonical(TDBG_STRICT_ADD(tdbg_gpu_get(x + row * n + i), at)));
    }
}

template <typename T, typename Table>
static void add(void *gpu, int64_t rows, int64_t n, const T *x, const Table *table, T *y)
{
    const unsigned row_blocks = rows < MAX_ROW_BLOCKS ? (unsigned)rows : (unsigned)MAX_ROW_BLOCKS;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (position_add<T, Table>),
                dim3(tdbg_gpu_blocks(n, THREADS), row_blocks), THREADS, rows, n, x, table, y);
}

template <typename T>
static void add_fixed(void *gpu, int64_t rows, int64_t n, const T *x, const float *table, T *y)
{
    const void *on_device =
        tdbg_gpu_table((struct tdbg_gpu *)gpu, table, (size_t)n * sizeof *table);
    if (on_device)
        add(gpu, rows, n, x, (const float *)on_device, y);
}

extern "C" void tdbg_cuda_position_add(void *gpu, int64_t rows, int64_t n, const float *x,
                                       const float *table, float *y)
{
    add(gpu, rows, n, x, table, y);
}

extern "C" void tdbg_cuda_bf16_position_add(void *gpu, int64_t rows, int64_t n, const float *x,
                                            const float *table, float *y)
{
    add(gpu, rows, n, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(table), tdbg_gpu_bf16_of(y));
}

extern "C" void tdbg_cuda_position_add_fixed(void *gpu, int64_t rows, int64_t n, const float *x,
                                             const float *table, float *y)
{
    add_fixed(gpu, rows, n, x, table, y);
}

extern "C" void tdbg_cuda_bf16_position_add_fixed(void *gpu, int64_t rows, int64_t n,
                                                  const float *x, const float *table, float *y)
{
    add_fixed(gpu, rows, n, tdbg_gpu_bf16_of(x), table, tdbg_gpu_bf16_of(y));
}

/* A block for each position: threads (pairs, heads). */
template <typename T>
static __global__ void position_rotate(struct tdbg_rotary r, float sign, const T *x, T *y)
{
    const int64_t half = r.dim / 2, width = (r.turned + r.kept) * r.dim;
    for (int64_t p = blockIdx.x; p < r.rows * r.tokens; p += gridDim.x) {
        const float *cos = r.cos + p % r.tokens * half, *sin = r.sin + p % r.tokens * half;
        for (int64_t head = threadIdx.y; head < r.turned; head += HEADS) {
            const int64_t at = p * width + head * r.dim;
            for (int64_t i = threadIdx.x; i < half; i += PAIRS) {
                const float a = tdbg_gpu_get(x + at + i), b = tdbg_gpu_get(x + at + half + i);
                const float c = cos[i], s = TDBG_STRICT_MUL(sign, sin[i]);
                tdbg_gpu_put(y + at + i,
                             tdbg_strict_canonical(TDBG_STRICT_FMA(-b, s, TDBG_STRICT_MUL(a, c))));
                tdbg_gpu_put(y + at + half + i,
                             tdbg_strict_canonical(TDBG_STRICT_FMA(a, s, TDBG_STRICT_MUL(b, c))));
            }
        }
        const int64_t kept = p * width + r.turned * r.dim;
        for (int64_t i = threadIdx.y * PAIRS + threadIdx.x; i < r.kept * r.dim; i += PAIRS * HEADS)
            tdbg_gpu_put(y + kept + i, tdbg_strict_canonical(tdbg_gpu_get(x + kept + i)));
    }
}

template <typename T>
static void rotate(struct tdbg_gpu *g, const struct tdbg_rotary *rotary, bool inverse, const T *x,
                   T *y)
{
    const size_t bytes = (size_t)(rotary->tokens * (rotary->dim / 2)) * sizeof *rotary->cos;
    struct tdbg_rotary r = *rotary;
    if (bytes > 0) { /* heads of no elements have no tables */
        r.cos = (const float *)tdbg_gpu_table(g, rotary->cos, bytes);
        r.sin = (const float *)tdbg_gpu_table(g, rotary->sin, bytes);
        if (!r.cos || !r.sin)
            return;
    }
    TDBG_LAUNCH(g, (position_rotate<T>), tdbg_gpu_blocks(r.rows * r.tokens, 1), dim3(PAIRS, HEADS),
                r, inverse ? -1.0f : 1.0f, x, y);
}

extern "C" void tdbg_cuda_position_rotate(void *gpu, const struct tdbg_rotary *rotary, bool inverse,
                                          const float *x, float *y)
{
    rotate((struct tdbg_gpu *)gpu, rotary, inverse, x, y);
}

extern "C" void tdbg_cuda_bf16_position_rotate(void *gpu, const struct tdbg_rotary *rotary,
                                               bool inverse, const float *x, float *y)
{
    rotate((struct tdbg_gpu *)gpu, rotary, inverse, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(y));
}
