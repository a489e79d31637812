/* The strict matrix product on a GPU: what one block does. Included by .cu files behind gpu.h and
 * gemm.h; the choice among shapes is in gemm.cu.
 *
 *        N                a block has a tile of M x N outputs, a warp 4 TM x 8 TN of them, a thread
 *     +-----+             TM x TN in quads of 4 x 4. DEPTH terms of both operands at a time lie in
 *     |B'   | DEPTH       shared memory, term by term, so that a thread reads its quads at once;
 *  +--+-----+             the next DEPTH are on their way through registers into a second buffer
 *  |A'|tile | M           meanwhile. Where there is more than one slice, the sum of the finished
 *  +--+-----+             ones waits in dynamic shared memory, of each thread its own part.
 *
 * Nothing is padded along k: fma(0, 0, -0) is +0. Beyond the last row or column a thread computes
 * with what is there, and stores nothing. */
#ifndef TDBG_KERNELS_GPU_GEMM_H
#define TDBG_KERNELS_GPU_GEMM_H

#include "kernels/gpu.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"

/* RESIDENT: blocks that a multiprocessor should have room for. */
template <int TM_, int TN_, int WARPS_M, int WARPS_N_, int DEPTH_, int RESIDENT_>
struct tdbg_gpu_gemm_shape {
    enum {
        TM = TM_,
        TN = TN_,
        WARPS_N = WARPS_N_,
        DEPTH = DEPTH_,
        RESIDENT = RESIDENT_,
        M = 4 * TM * WARPS_M,
        N = 8 * TN * WARPS_N,
        THREADS = 32 * WARPS_M * WARPS_N,
        TOTAL_BYTES = M * N * (int)sizeof(float), /* dynamic shared memory, with several slices */
    };
    static_assert(TM % 4 == 0 && TN % 4 == 0 && TDBG_K_SLICE % DEPTH == 0, "whole quads");
};

/* A product cut into tiles; with `split` a block has one slice of a tile, and slice s of the result
 * goes to c + s * m * n. */
struct tdbg_gpu_gemm {
    int64_t m, n, k;
    const float *a, *b, *bias; /* bias: NULL where there is none */
    int64_t lda, ldb;
    float *c;
    int64_t ldc;
    unsigned tiles_m, tiles_n;
    bool split;
    bool wide_c; /* four outputs of a row can be stored at once */
};

/* Rows of operands in shared memory have four floats more than a tile, against bank conflicts of
 * threads that turn quads. */
enum { TDBG_GPU_GEMM_PAD = 4 };

template <class S> struct tdbg_gpu_gemm_buffers {
    alignas(16) float a[2][S::DEPTH][S::M + TDBG_GPU_GEMM_PAD];
    alignas(16) float b[2][S::DEPTH][S::N + TDBG_GPU_GEMM_PAD];
};

/* ---- operands ---- */

/* What a thread brings of one operand, `X` rows (of A', or columns of B') by DEPTH terms: quads.
 * ALONG_K: terms of a row are neighbours in memory, else rows of a term are. WIDE: all quads can be
 * read at once, and none is partly there. */
template <class S, int X, bool ALONG_K, bool WIDE> struct tdbg_gpu_gemm_operand {
    enum { QUADS = X * S::DEPTH / 4 / S::THREADS, QUADS_DOWN = ALONG_K ? S::DEPTH / 4 : X / 4 };
    static_assert(QUADS * 4 * S::THREADS == X * S::DEPTH, "every thread brings as many");

    const float *from[QUADS];
    int last[QUADS]; /* of a narrow quad along rows: the last element that is there */
    int64_t step;
    float4 quad[QUADS];

    static __device__ __forceinline__ int place(int q)
    {
        return (int)threadIdx.x + q * S::THREADS;
    }

    /* From row `first` of `rows`, term 0 at x. */
    __device__ __forceinline__ void begin(const float *x, int64_t ld, int64_t first, int64_t rows)
    {
        step = S::DEPTH * (ALONG_K ? 1 : ld);
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            const int across = place(q) / QUADS_DOWN, down = place(q) % QUADS_DOWN;
            const int64_t end = ALONG_K || !WIDE ? rows - 1 : rows - 4;
            int64_t row = first + (ALONG_K ? across : 4 * down);
            row = row < end ? row : end;
            last[q] = ALONG_K || row + 4 <= rows ? 3 : (int)(rows - 1 - row);
            from[q] = ALONG_K ? x + row * ld + 4 * down : x + across * ld + row;
        }
    }

    static __device__ __forceinline__ float4 read(const float *x, int end)
    {
        return make_float4(x[0], x[end < 1 ? end : 1], x[end < 2 ? end : 2], x[end]);
    }

    /* The next DEPTH terms. */
    __device__ __forceinline__ void load(void)
    {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            quad[q] = WIDE ? *(const float4 *)from[q] : read(from[q], ALONG_K ? 3 : last[q]);
            from[q] += step;
        }
    }

    /* The last terms, fewer than DEPTH. What is beyond them is never used. */
    __device__ __forceinline__ void load_rest(int terms)
    {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            const int left =
                terms - 1 - (ALONG_K ? 4 * (place(q) % QUADS_DOWN) : place(q) / QUADS_DOWN);
            quad[q] = make_float4(0, 0, 0, 0);
            if (left >= 0)
                quad[q] = read(from[q], !ALONG_K ? last[q] : left < 3 ? left : 3);
        }
    }

    __device__ __forceinline__ void store(float (*to)[X + TDBG_GPU_GEMM_PAD]) const
    {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            const int across = place(q) / QUADS_DOWN, down = place(q) % QUADS_DOWN;
            if (ALONG_K) {
                to[4 * down][across] = quad[q].x;
                to[4 * down + 1][across] = quad[q].y;
                to[4 * down + 2][across] = quad[q].z;
                to[4 * down + 3][across] = quad[q].w;
            } else {
                *(float4 *)&to[across][4 * down] = quad[q];
            }
        }
    }
};

/* ---- outputs ---- */

/* The outputs of a thread: rows row + 16 i + (0..3), columns col + 32 j + (0..3) of the tile. Eight
 * lanes of a half warp read the same quad of A', or two lanes that differ in bit 0 the same quad of
 * B': so a half warp's reads need one pass. */
template <class S> struct tdbg_gpu_gemm_outputs {
    float sum[S::TM][S::TN];
    int row, col;

    __device__ __forceinline__ void begin(void)
    {
        const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
        row = warp / S::WARPS_N * 4 * S::TM + 4 * ((lane & 1) | (lane >> 3 & 2));
        col = warp % S::WARPS_N * 8 * S::TN + 4 * (lane >> 1 & 7);
        clear();
    }

    __device__ __forceinline__ void clear(void)
    {
#pragma unroll
        for (int i = 0; i < S::TM; i++) {
#pragma unroll
            for (int j = 0; j < S::TN; j++)
                sum[i][j] = 0;
        }
    }

    __device__ __forceinline__ void read(const float *a, const float *b, float *a_quads,
                                         float *b_quads) const
    {
#pragma unroll
        for (int i = 0; i < S::TM; i += 4)
            *(float4 *)&a_quads[i] = *(const float4 *)&a[row + 4 * i];
#pragma unroll
        for (int j = 0; j < S::TN; j += 4)
            *(float4 *)&b_quads[j] = *(const float4 *)&b[col + 8 * j];
    }

    __device__ __forceinline__ void multiply(const float *a, const float *b)
    {
#pragma unroll
        for (int i = 0; i < S::TM; i++) {
#pragma unroll
            for (int j = 0; j < S::TN; j++)
                sum[i][j] = TDBG_STRICT_FMA(a[i], b[j], sum[i][j]);
        }
    }

    __device__ __forceinline__ void add(const struct tdbg_gpu_gemm_buffers<S> &from, int buffer)
    {
#pragma unroll
        for (int t = 0; t < S::DEPTH; t++) {
            alignas(16) float a[S::TM];
            alignas(16) float b[S::TN];
            read(from.a[buffer][t], from.b[buffer][t], a, b);
            multiply(a, b);
        }
    }

    __device__ __forceinline__ void add_rest(const struct tdbg_gpu_gemm_buffers<S> &from,
                                             int buffer, int terms)
    {
        alignas(16) float a[S::TM];
        alignas(16) float b[S::TN];
#pragma unroll 1
        for (int t = 0; t < terms; t++) {
            read(from.a[buffer][t], from.b[buffer][t], a, b);
            multiply(a, b);
        }
    }

    /* sum = total + sum, unless this is the first slice; and the other way round. */
    __device__ __forceinline__ void add_total(void)
    {
        float4 *total = totals();
#pragma unroll
        for (int i = 0; i < S::TM; i++) {
#pragma unroll
            for (int j = 0; j < S::TN; j += 4) {
                const float4 t = total[(i * S::TN + j) / 4 * S::THREADS];
                sum[i][j] = TDBG_STRICT_ADD(t.x, sum[i][j]);
                sum[i][j + 1] = TDBG_STRICT_ADD(t.y, sum[i][j + 1]);
                sum[i][j + 2] = TDBG_STRICT_ADD(t.z, sum[i][j + 2]);
                sum[i][j + 3] = TDBG_STRICT_ADD(t.w, sum[i][j + 3]);
            }
        }
    }

    __device__ __forceinline__ void end_slice(bool first)
    {
        if (!first)
            add_total();
        float4 *total = totals();
#pragma unroll
        for (int i = 0; i < S::TM; i++) {
#pragma unroll
            for (int j = 0; j < S::TN; j += 4)
                total[(i * S::TN + j) / 4 * S::THREADS] =
                    make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
        }
        clear();
    }

    static __device__ __forceinline__ float4 *totals(void)
    {
        struct all {
            float4 quad[S::TOTAL_BYTES / sizeof(float4)];
        };
        TDBG_SHARED_DYNAMIC(all, shared);
        return &shared.quad[threadIdx.x];
    }

    __device__ __forceinline__ void add_bias(const float *bias, int64_t first_col, int64_t n)
    {
#pragma unroll
        for (int j = 0; j < S::TN; j++) {
            const int64_t at = first_col + col + j / 4 * 32 + j % 4;
            const float add = bias[at < n ? at : n - 1];
#pragma unroll
            for (int i = 0; i < S::TM; i++)
                sum[i][j] = TDBG_STRICT_ADD(sum[i][j], add);
        }
    }

    /* c: where the tile begins; `rows` and `cols` are there from it on. */
    __device__ __forceinline__ void store(float *c, int64_t ldc, int64_t rows, int64_t cols,
                                          bool wide) const
    {
#pragma unroll
        for (int i = 0; i < S::TM; i++) {
            const int at_row = row + i / 4 * 16 + i % 4;
            float *to = c + at_row * ldc + col;
            if (at_row >= rows)
                continue;
#pragma unroll
            for (int j = 0; j < S::TN; j += 4)
                store_quad(to + 8 * j, cols - col - 8 * j, wide, &sum[i][j]);
        }
    }

    static __device__ __forceinline__ void store_quad(float *to, int64_t left, bool wide,
                                                      const float *from)
    {
        float out[4];
#pragma unroll
        for (int l = 0; l < 4; l++)
            out[l] = tdbg_strict_canonical(from[l]);
        if (wide && left >= 4) {
            *(float4 *)to = make_float4(out[0], out[1], out[2], out[3]);
            return;
        }
#pragma unroll
        for (int l = 0; l < 4; l++) {
            if (l < left)
                to[l] = out[l];
        }
    }
};

/* ---- the kernel ---- */

/* Tiles are visited in bands, so that blocks that run together share rows and columns. */
static __device__ __forceinline__ void tdbg_gpu_gemm_place(const struct tdbg_gpu_gemm &p,
                                                           unsigned tile, unsigned *tile_m,
                                                           unsigned *tile_n)
{
    const unsigned band = 8, first = tile / (band * p.tiles_n) * band;
    const unsigned rows = p.tiles_m - first < band ? p.tiles_m - first : band;
    const unsigned within = tile - first * p.tiles_n;
    *tile_m = first + within % rows;
    *tile_n = within / rows;
}

template <class S, bool A_ALONG_K, bool B_ALONG_K, bool WIDE>
static __global__ void __launch_bounds__(S::THREADS, S::RESIDENT)
    tdbg_gpu_gemm_tile(const struct tdbg_gpu_gemm p)
{
    enum { PER_SLICE = TDBG_K_SLICE / S::DEPTH };
    TDBG_SHARED(struct tdbg_gpu_gemm_buffers<S>, shared);
    struct tdbg_gpu_gemm_operand<S, S::M, A_ALONG_K, WIDE> a;
    struct tdbg_gpu_gemm_operand<S, S::N, B_ALONG_K, WIDE> b;
    struct tdbg_gpu_gemm_outputs<S> out;

    const unsigned tiles = p.tiles_m * p.tiles_n, slice = p.split ? blockIdx.x / tiles : 0;
    unsigned tile_m, tile_n;
    tdbg_gpu_gemm_place(p, blockIdx.x - slice * tiles, &tile_m, &tile_n);
    const int64_t row = (int64_t)tile_m * S::M, col = (int64_t)tile_n * S::N;
    const int64_t first = (int64_t)slice * TDBG_K_SLICE, left = p.k - first;
    const int64_t terms = p.split && left > TDBG_K_SLICE ? (int64_t)TDBG_K_SLICE : left;
    const int whole = (int)(terms / S::DEPTH), rest = (int)(terms % S::DEPTH);

    out.begin();
    a.begin(p.a + first * (A_ALONG_K ? 1 : p.lda), p.lda, row, p.m);
    b.begin(p.b + first * (B_ALONG_K ? 1 : p.ldb), p.ldb, col, p.n);
    const auto store = [&](int step) {
        a.store(shared.a[step % 2]);
        b.store(shared.b[step % 2]);
        __syncthreads();
    };
    const auto load = [&]() {
        a.load();
        b.load();
    };
    if (whole > 0) {
        load();
        store(0);
    }
    for (int t = 1; t < whole;) {
        const int slice_end = (t - 1) / PER_SLICE * PER_SLICE + PER_SLICE;
        for (const int end = slice_end < whole ? slice_end + 1 : whole; t < end; t++) {
            load();
            out.add(shared, (t - 1) % 2);
            store(t);
        }
        if (t > slice_end)
            out.end_slice(slice_end == PER_SLICE);
    }
    if (whole > 0)
        out.add(shared, (whole - 1) % 2);
    if (rest > 0) {
        if (whole > 0 && whole % PER_SLICE == 0)
            out.end_slice(whole == PER_SLICE);
        a.load_rest(rest);
        b.load_rest(rest);
        store(whole);
        out.add_rest(shared, whole % 2, rest);
    }
    if (terms > TDBG_K_SLICE)
        out.add_total();
    if (p.bias)
        out.add_bias(p.bias, col, p.n);
    out.store(p.c + (int64_t)slice * p.m * p.n + row * p.ldc + col, p.ldc, p.m - row, p.n - col,
              p.wide_c);
}

#endif
