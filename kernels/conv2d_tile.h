/* A tile of a matrix product whose operands are gathered on the way: what the .cu files of the
 * convolution share. Two buffers of TDBG_CONV_GPU_STEP terms each are in shared memory; a warp has
 * 32 x 64 elements of the tile, a thread 8 x 8 of them, and slices of k are added in shared memory,
 * so that a thread holds one slice's sums alone. */
#ifndef TDBG_KERNELS_CONV2D_TILE_H
#define TDBG_KERNELS_CONV2D_TILE_H

#include "kernels/gpu.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"

extern "C" {
#include "kernels/conv2d_gpu.h"
}

/* PAD keeps threads that store neighbouring terms of one row in different banks. */
template <int ROWS, int COLS, int PAD> struct conv_tile {
    float a[2][TDBG_CONV_GPU_STEP][ROWS + PAD];
    float b[2][TDBG_CONV_GPU_STEP][COLS + PAD];
    float c[ROWS][COLS];
};

enum { CONV_OWN = 8 }; /* rows and columns that a thread has */

/* Blocks that a multiprocessor shall have room for: 128 registers a thread are enough for the
 * largest ones, which fetch little each; smaller ones get more. */
static constexpr int conv_blocks(int threads)
{
    return threads >= 256 ? 2 : 384 / threads;
}

/* The first element of the calling thread: it has rows row + {0..3, 16..19} and columns col +
 * {0..3, 32..35}. */
struct conv_corner {
    int row, col;
};

template <int COLS> static __device__ __forceinline__ struct conv_corner conv_corner_of(int thread)
{
    const int warp = thread / TDBG_GPU_WARP, lane = thread % TDBG_GPU_WARP, across = COLS / 64;
    struct conv_corner at;
    at.row = warp / across * 32 + lane / 8 * 4;
    at.col = warp % across * 64 + lane % 8 * 4;
    return at;
}

static __device__ __forceinline__ void conv_clear(float (&sum)[CONV_OWN][CONV_OWN])
{
#pragma unroll
    for (int i = 0; i < CONV_OWN; i++)
#pragma unroll
        for (int j = 0; j < CONV_OWN; j++)
            sum[i][j] = 0.0f;
}

static __device__ __forceinline__ void conv_load_pair(const float *at, int apart, float (&to)[8])
{
    const float4 low = *(const float4 *)at, high = *(const float4 *)(at + apart);
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

/* Where the element of a term lies beside that of term 0 of channel 0, in floats and in lines and
 * columns; in memory an int4, so that it is fetched at once. */
struct conv_term {
    int64_t offset;
    int32_t h, w;
};

static __device__ __forceinline__ int4 conv_term_pack(const struct conv_term &t)
{
    return make_int4((int)(uint32_t)t.offset, (int)(t.offset >> 32), t.h, t.w);
}

static __device__ __forceinline__ struct conv_term conv_term_of(int4 four)
{
    struct conv_term t;
    t.offset = (int64_t)((uint64_t)(uint32_t)four.y << 32 | (uint32_t)four.x);
    t.h = four.z;
    t.w = four.w;
    return t;
}

/* The terms of one buffer. */
template <int ROWS, int COLS, int PAD>
static __device__ __forceinline__ void conv_multiply(const conv_tile<ROWS, COLS, PAD> &s,
                                                     int buffer, struct conv_corner at,
                                                     float (&sum)[CONV_OWN][CONV_OWN])
{
#pragma unroll
    for (int t = 0; t < TDBG_CONV_GPU_STEP; t++) {
        float a[CONV_OWN], b[CONV_OWN];
        conv_load_pair(&s.a[buffer][t][at.row], 16, a);
        conv_load_pair(&s.b[buffer][t][at.col], 32, b);
#pragma unroll
        for (int i = 0; i < CONV_OWN; i++)
#pragma unroll
            for (int j = 0; j < CONV_OWN; j++)
                sum[i][j] = TDBG_STRICT_FMA(a[i], b[j], sum[i][j]);
    }
}

/* to (rows, width) = a slice's sums, or += them. */
static __device__ __forceinline__ void conv_fold(float *to, int width, struct conv_corner at,
                                                 bool add, float (&sum)[CONV_OWN][CONV_OWN])
{
#pragma unroll
    for (int i = 0; i < CONV_OWN; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = at.row + (i < 4 ? i : i + 12);
            float4 *place = (float4 *)(to + row * width + at.col + half * 32);
            const float *s = &sum[i][half * 4];
            float4 v = make_float4(s[0], s[1], s[2], s[3]);
            if (add) {
                const float4 before = *place;
                v = make_float4(TDBG_STRICT_ADD(before.x, v.x), TDBG_STRICT_ADD(before.y, v.y),
                                TDBG_STRICT_ADD(before.z, v.z), TDBG_STRICT_ADD(before.w, v.w));
            }
            *place = v;
        }
    }
    conv_clear(sum);
}

static __host__ __device__ __forceinline__ int64_t conv_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Launches may be too many for one grid: conv_launches(blocks, [&](first, blocks) ...). */
template <typename F> static inline void conv_launches(int64_t blocks, F launch)
{
    const int64_t most = 0x7fffffff;
    for (int64_t first = 0; first < blocks; first += most)
        launch(first, (unsigned)conv_least(blocks - first, most));
}

#endif
