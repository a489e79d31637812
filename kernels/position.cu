/* Positions on a GPU. Formulas: position.h. */
#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/position.h"
}

enum { THREADS = 256, MAX_ROW_BLOCKS = 1024, PAIRS = TDBG_GPU_WARP, HEADS = 8 };

/* A thread for an element of the table, which it adds to several rows. */
static __global__ void position_add(int64_t rows, int64_t n, const float *x, const float *table,
                                    float *y)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        const float at = table[i];
        for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
            y[row * n + i] = tdbg_strict_canonical(TDBG_STRICT_ADD(x[row * n + i], at));
    }
}

extern "C" void tdbg_cuda_position_add(void *gpu, int64_t rows, int64_t n, const float *x,
                                       const float *table, float *y)
{
    const unsigned row_blocks = rows < MAX_ROW_BLOCKS ? (unsigned)rows : (unsigned)MAX_ROW_BLOCKS;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, position_add, dim3(tdbg_gpu_blocks(n, THREADS), row_blocks),
                THREADS, rows, n, x, table, y);
}

extern "C" void tdbg_cuda_position_add_fixed(void *gpu, int64_t rows, int64_t n, const float *x,
                                             const float *table, float *y)
{
    const void *on_device =
        tdbg_gpu_table((struct tdbg_gpu *)gpu, table, (size_t)n * sizeof *table);
    if (on_device)
        tdbg_cuda_position_add(gpu, rows, n, x, (const float *)on_device, y);
}

/* A block for each position: threads (pairs, heads). */
static __global__ void position_rotate(struct tdbg_rotary r, float sign, const float *x, float *y)
{
    const int64_t half = r.dim / 2, width = (r.turned + r.kept) * r.dim;
    for (int64_t p = blockIdx.x; p < r.rows * r.tokens; p += gridDim.x) {
        const float *cos = r.cos + p % r.tokens * half, *sin = r.sin + p % r.tokens * half;
        for (int64_t head = threadIdx.y; head < r.turned; head += HEADS) {
            const int64_t at = p * width + head * r.dim;
            for (int64_t i = threadIdx.x; i < half; i += PAIRS) {
                const float a = x[at + i], b = x[at + half + i];
                const float c = cos[i], s = TDBG_STRICT_MUL(sign, sin[i]);
                y[at + i] = tdbg_strict_canonical(TDBG_STRICT_FMA(-b, s, TDBG_STRICT_MUL(a, c)));
                y[at + half + i] =
                    tdbg_strict_canonical(TDBG_STRICT_FMA(a, s, TDBG_STRICT_MUL(b, c)));
            }
        }
        const int64_t kept = p * width + r.turned * r.dim;
        for (int64_t i = threadIdx.y * PAIRS + threadIdx.x; i < r.kept * r.dim; i += PAIRS * HEADS)
            y[kept + i] = tdbg_strict_canonical(x[kept + i]);
    }
}

extern "C" void tdbg_cuda_position_rotate(void *gpu, const struct tdbg_rotary *rotary, bool inverse,
                                          const float *x, float *y)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const size_t bytes = (size_t)(rotary->tokens * (rotary->dim / 2)) * sizeof *rotary->cos;
    struct tdbg_rotary r = *rotary;
    if (bytes > 0) { /* heads of no elements have no tables */
        r.cos = (const float *)tdbg_gpu_table(g, rotary->cos, bytes);
        r.sin = (const float *)tdbg_gpu_table(g, rotary->sin, bytes);
        if (!r.cos || !r.sin)
            return;
    }
    TDBG_LAUNCH(g, position_rotate, tdbg_gpu_blocks(r.rows * r.tokens, 1), dim3(PAIRS, HEADS), r,
                inverse ? -1.0f : 1.0f, x, y);
}
