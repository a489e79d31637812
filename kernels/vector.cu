/* Element-wise addition on a GPU. Definition: vector.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_map.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/bf16_entries.h"
#include "kernels/vector.h"
}

enum { THREADS = 256 };

template <typename T> static __global__ void vector_sum(int64_t n, const T *x, const T *x2, T *y)
{
    tdbg_gpu_map(n, x, x2, y,
                 [](float v, float w) { return tdbg_strict_canonical(TDBG_STRICT_ADD(v, w)); });
}

extern "C" void tdbg_cuda_vector_sum(void *gpu, int64_t n, const float *x, const float *x2,
                                     float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (vector_sum<float>), tdbg_gpu_map_blocks(n),
                TDBG_GPU_MAP_THREADS, n, x, x2, y);
}

extern "C" void tdbg_cuda_vector_add(void *gpu, int64_t n, float *dst, const float *src)
{
    tdbg_cuda_vector_sum(gpu, n, dst, src, dst);
}

extern "C" void tdbg_cuda_bf16_vector_sum(void *gpu, int64_t n, const float *x, const float *x2,
                                          float *y)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (vector_sum<struct tdbg_gpu_bf16>), tdbg_gpu_map_blocks(n),
                TDBG_GPU_MAP_THREADS, n, tdbg_gpu_bf16_of(x), tdbg_gpu_bf16_of(x2),
                tdbg_gpu_bf16_of(y));
}

extern "C" void tdbg_cuda_bf16_vector_add(void *gpu, int64_t n, float *dst, const float *src)
{
    tdbg_cuda_bf16_vector_sum(gpu, n, dst, src, dst);
}

static __global__ void vector_divide(int64_t n, const float *src, float divisor, float *dst)
{
    tdbg_gpu_map(n, src, dst,
                 [=](float v) { return tdbg_strict_canonical(TDBG_STRICT_DIV(v, divisor)); });
}

extern "C" void tdbg_cuda_vector_divide(void *gpu, int64_t n, const float *src, float divisor,
                                        float *dst)
{
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, vector_divide, tdbg_gpu_map_blocks(n), TDBG_GPU_MAP_THREADS,
                n, src, divisor, dst);
}

/* A block turns a square: rows are read and written by whole warps. */
enum { SIDE = TDBG_GPU_WARP, DOWN = THREADS / SIDE };

struct turned_square {
    float x[SIDE][SIDE + 1]; /* one more, so that a column lies in all banks */
};

static __global__ void transpose(int64_t squares, int64_t rows, int64_t cols, const float *x,
                                 float *y)
{
    TDBG_SHARED(struct turned_square, square);
    const int across = (int)(threadIdx.x % SIDE), down = (int)(threadIdx.x / SIDE);
    const int64_t squares_n = (cols + SIDE - 1) / SIDE, squares_m = (rows + SIDE - 1) / SIDE;
    for (int64_t s = blockIdx.x; s < squares; s += gridDim.x) {
        const int64_t matrix = s / (squares_m * squares_n), at = s - matrix * squares_m * squares_n;
        const int64_t row = at / squares_n * SIDE, col = at % squares_n * SIDE;
        const float *from = x + matrix * rows * cols;
        float *to = y + matrix * rows * cols;
        for (int i = down; i < SIDE; i += DOWN) {
            if (row + i < rows && col + across < cols)
                square.x[i][across] = from[(row + i) * cols + col + across];
        }
        __syncthreads();
        for (int i = down; i < SIDE; i += DOWN) {
            if (col + i < cols && row + across < rows)
                to[(col + i) * rows + row + across] = square.x[across][i];
        }
        __syncthreads(); /* the square is free again */
    }
}

extern "C" void tdbg_cuda_transpose(void *gpu, int64_t n, int64_t rows, int64_t cols,
                                    const float *x, float *y)
{
    const int64_t squares = n * ((rows + SIDE - 1) / SIDE) * ((cols + SIDE - 1) / SIDE);
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, transpose, tdbg_gpu_blocks(squares, 1), THREADS, squares,
                rows, cols, x, y);
}
