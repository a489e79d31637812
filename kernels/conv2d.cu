/* Convolution on a GPU, forward and input gradient: products of packed weights and an im2col matrix
 * that is gathered tile by tile. Definition: conv2d.h; geometry: conv2d_gpu.h; tiles:
 * conv2d_tile.h; the weight and bias gradients: conv2d_weight.cu. */
#include "kernels/conv2d_tile.h"

typedef struct tdbg_conv_gpu_product product;
typedef struct conv_term term;

enum { STEP = TDBG_CONV_GPU_STEP, SLICE = TDBG_K_SLICE, THREADS = 256, NOWHERE = -0x40000000 };

/* ---- weights and terms ---- */

enum { PACK_SIDE = 32, PACK_LINES = 8 };

struct pack_square {
    float w[PACK_SIDE][PACK_SIDE + 1];
};

static __device__ __forceinline__ term term_of(const product &p, int64_t k)
{
    const int32_t taps = p.h.taps * p.w.taps, tap = (int32_t)(k % taps);
    term t;
    t.h = k < p.k ? tap / p.w.taps * p.h.tap_step : NOWHERE;
    t.w = tap % p.w.taps * p.w.tap_step;
    t.offset = k / taps * p.image_channel + (int64_t)t.h * p.w.size + t.w;
    return t;
}

/* Weights lie along k, and are wanted along the rows: a block turns a square of them. */
static __global__ void pack(const product p, const float *weight, float *packed, int4 *terms,
                            int64_t first)
{
    TDBG_SHARED(struct pack_square, s);
    const int lane = threadIdx.x % PACK_SIDE, line = threadIdx.x / PACK_SIDE;
    const int64_t row_squares = (p.padded_rows + PACK_SIDE - 1) / PACK_SIDE;
    const int64_t k_squares = (p.padded_k + PACK_SIDE - 1) / PACK_SIDE, at = first + blockIdx.x;
    const int64_t row0 = at % row_squares * PACK_SIDE;
    const int64_t k0 = at / row_squares % k_squares * PACK_SIDE;
    const int64_t group = at / row_squares / k_squares, k = k0 + lane;
    const int32_t taps = p.h.taps * p.w.taps, tap = (int32_t)(k % taps);
    const float *from = weight + group * p.weight_group + k / taps * p.weight_channel +
                        p.weight_tap + tap / p.w.taps * p.weight_h + tap % p.w.taps * p.weight_w;
    for (int i = line; i < PACK_SIDE; i += PACK_LINES) {
        const float other = k < p.k ? 0.0f : -0.0f;
        s.w[i][lane] =
            k < p.k && row0 + i < p.rows ? __ldg(from + (row0 + i) * p.weight_row) : other;
    }
    if (group == 0 && row0 == 0 && line == 0 && k < p.padded_k)
        terms[k] = conv_term_pack(term_of(p, k));
    __syncthreads();
    float *to = packed + (group * p.padded_k + k0) * p.padded_rows + row0;
    for (int i = line; i < PACK_SIDE && k0 + i < p.padded_k; i += PACK_LINES)
        if (row0 + lane < p.padded_rows)
            to[i * p.padded_rows + lane] = s.w[lane][i];
}

static void run_pack(struct tdbg_gpu *gpu, const product &p, const float *weight, float *packed,
                     int4 *terms)
{
    const int64_t row_squares = (p.padded_rows + PACK_SIDE - 1) / PACK_SIDE;
    const int64_t k_squares = (p.padded_k + PACK_SIDE - 1) / PACK_SIDE;
    conv_launches(p.groups * row_squares * k_squares, [&](int64_t first, unsigned blocks) {
        TDBG_LAUNCH(gpu, pack, blocks, PACK_SIDE * PACK_LINES, p, weight, packed, terms, first);
    });
}

/* ---- columns ---- */

/* A column of the im2col matrix, and where its outputs go. */
struct column {
    const float *from;
    int32_t h, w; /* of term 0 */
    float *to;
};

static __device__ __forceinline__ struct column find_column(const product &p, int64_t group,
                                                            int64_t col, const float *x, float *y)
{
    struct column c = {x, NOWHERE, 0, y};
    if (col >= p.cols)
        return c;
    const int64_t n = col / p.grid;
    const int32_t at = (int32_t)(col % p.grid), a = at / p.w.outs, b = at % p.w.outs;
    c.h = a * p.h.step + p.h.first;
    c.w = b * p.w.step + p.w.first;
    c.from = x + n * p.image_sample + group * p.image_group + (int64_t)c.h * p.w.size + c.w;
    c.to = y + n * p.y_sample + group * p.rows * p.y_plane + p.y_first + a * p.y_h + b * p.y_w;
    return c;
}

static __device__ __forceinline__ float gather(const product &p, const struct column &c,
                                               const term &t)
{
    const bool inside =
        (uint32_t)(c.h + t.h) < (uint32_t)p.h.size && (uint32_t)(c.w + t.w) < (uint32_t)p.w.size;
    return inside ? __ldg(c.from + t.offset) : 0.0f;
}

/* ---- tiles ---- */

template <int ROWS, int COLS>
static __global__ void __launch_bounds__(ROWS *COLS / 64, conv_blocks(ROWS *COLS / 64))
    conv_tiles(const product p, const float *x, const float *packed, const int4 *terms,
               const float *bias, float *y, int64_t first)
{
    enum { BLOCK = ROWS * COLS / 64, OWN = COLS > BLOCK ? COLS / BLOCK : 1 };
    enum { EVERY = BLOCK > COLS ? BLOCK / COLS : 1, LOADS = STEP / EVERY };
    static_assert(BLOCK == STEP * ROWS / 4, "a thread loads four weights of a step");
    typedef conv_tile<ROWS, COLS, 0> tile;
    TDBG_SHARED_DYNAMIC(tile, s);
    const int thread = threadIdx.x, col = thread % COLS, from_term = thread / COLS;
    const int64_t row_tiles = p.padded_rows / ROWS, col_tiles = (p.cols + COLS - 1) / COLS;
    const int64_t at = first + blockIdx.x, group = at / row_tiles / col_tiles;
    const int64_t row0 = at % row_tiles * ROWS, col0 = at / row_tiles % col_tiles * COLS;

    struct column own[OWN];
#pragma unroll
    for (int o = 0; o < OWN; o++)
        own[o] = find_column(p, group, col0 + col + o * BLOCK, x, y);
    const int a_term = thread / (ROWS / 4), a_row = thread % (ROWS / 4) * 4;
    const float *weights = packed + (group * p.padded_k + a_term) * p.padded_rows + row0 + a_row;
    const struct conv_corner corner = conv_corner_of<COLS>(thread);

    float sum[CONV_OWN][CONV_OWN], b[OWN][LOADS];
    float4 a;
    conv_clear(sum);
    const auto fetch = [&](int32_t step) {
        const int64_t k = (int64_t)step * STEP;
        a = __ldg((const float4 *)(weights + k * p.padded_rows));
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            const term t = conv_term_of(__ldg(terms + k + from_term + i * EVERY));
#pragma unroll
            for (int o = 0; o < OWN; o++)
                b[o][i] = gather(p, own[o], t);
        }
    };
    const auto put = [&](int buffer) {
        *(float4 *)&s.a[buffer][a_term][a_row] = a;
#pragma unroll
        for (int i = 0; i < LOADS; i++)
#pragma unroll
            for (int o = 0; o < OWN; o++)
                s.b[buffer][from_term + i * EVERY][col + o * BLOCK] = b[o][i];
    };

    const int32_t steps = (int32_t)(p.padded_k / STEP);
    if (steps > 0) {
        fetch(0);
        put(0);
    }
    __syncthreads();
    for (int32_t step = 0; step < steps; step++) {
        const bool more = step + 1 < steps;
        if (more)
            fetch(step + 1);
        conv_multiply(s, step & 1, corner, sum);
        if (more)
            put((step + 1) & 1);
        if ((step + 1) % (SLICE / STEP) == 0 && more)
            conv_fold(&s.c[0][0], COLS, corner, step + 1 > SLICE / STEP, sum);
        __syncthreads();
    }
    conv_fold(&s.c[0][0], COLS, corner, steps > SLICE / STEP, sum);
    __syncthreads();

    for (int row = from_term; row < ROWS && row0 + row < p.rows; row += EVERY) {
        const float shift = bias ? __ldg(bias + group * p.rows + row0 + row) : 0.0f;
#pragma unroll
        for (int o = 0; o < OWN; o++) {
            const float c = s.c[row][col + o * BLOCK];
            if (own[o].h != NOWHERE)
                own[o].to[(row0 + row) * p.y_plane] =
                    tdbg_strict_canonical(bias ? TDBG_STRICT_ADD(c, shift) : c);
        }
    }
}

/* ---- few rows: a thread has a column, and all rows of the group ---- */

template <int ROWS>
static __device__ __forceinline__ void load_weights(const float *at, float (&w)[ROWS])
{
    if (ROWS % 4 == 0) {
#pragma unroll
        for (int i = 0; i + 3 < ROWS; i += 4) {
            const float4 four = __ldg((const float4 *)(at + i));
            w[i] = four.x, w[i + 1] = four.y, w[i + 2] = four.z, w[i + 3] = four.w;
        }
    } else {
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            w[i] = __ldg(at + i);
    }
}

template <int ROWS>
static __global__ void conv_columns(const product p, const float *x, const float *packed,
                                    const int4 *terms, const float *bias, float *y, int64_t first)
{
    const int64_t per_group = (p.cols + THREADS - 1) / THREADS, at = first + blockIdx.x;
    const int64_t group = at / per_group, col = at % per_group * THREADS + threadIdx.x;
    const float *weights = packed + group * p.padded_k * ROWS;
    if (col >= p.cols)
        return;
    const struct column own = find_column(p, group, col, x, y);
    float sum[ROWS], part[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        sum[i] = 0.0f;
    for (int64_t k0 = 0; k0 < p.k; k0 += SLICE) {
        const int64_t end = conv_least(k0 + SLICE, p.k);
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            part[i] = 0.0f;
#pragma unroll 3
        for (int64_t k = k0; k < end; k++) {
            float w[ROWS];
            const float v = gather(p, own, conv_term_of(__ldg(terms + k)));
            load_weights(weights + k * ROWS, w);
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                part[i] = TDBG_STRICT_FMA(w[i], v, part[i]);
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            sum[i] = k0 == 0 ? part[i] : TDBG_STRICT_ADD(sum[i], part[i]);
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (i >= p.rows)
            break;
        const float c = bias ? TDBG_STRICT_ADD(sum[i], __ldg(bias + group * p.rows + i)) : sum[i];
        own.to[i * p.y_plane] = tdbg_strict_canonical(c);
    }
}

/* ---- launches ---- */

struct operands {
    const float *x, *packed;
    const int4 *terms;
    const float *bias;
    float *y;
};

template <int ROWS>
static void run_tiles(struct tdbg_gpu *gpu, const product &p, const struct operands &o)
{
    enum { COLS = TDBG_CONV_GPU_COLS };
    const int64_t tiles = p.groups * (p.padded_rows / ROWS) * ((p.cols + COLS - 1) / COLS);
    conv_launches(tiles, [&](int64_t first, unsigned blocks) {
        TDBG_LAUNCH_DYNAMIC(gpu, (conv_tiles<ROWS, COLS>), blocks, ROWS * COLS / 64,
                            sizeof(conv_tile<ROWS, COLS, 0>), p, o.x, o.packed, o.terms, o.bias,
                            o.y, first);
    });
}

template <int ROWS>
static void run_columns(struct tdbg_gpu *gpu, const product &p, const struct operands &o)
{
    conv_launches(p.groups * ((p.cols + THREADS - 1) / THREADS),
                  [&](int64_t first, unsigned blocks) {
                      TDBG_LAUNCH(gpu, (conv_columns<ROWS>), blocks, THREADS, p, o.x, o.packed,
                                  o.terms, o.bias, o.y, first);
                  });
}

static void run(struct tdbg_gpu *gpu, const product &p, const float *x, const float *weight,
                const float *bias, float *y, void *workspace)
{
    if (p.cols == 0)
        return;
    float *packed = (float *)workspace;
    int4 *terms = (int4 *)((char *)workspace + tdbg_conv_gpu_packed_bytes(&p));
    run_pack(gpu, p, weight, packed, terms);
    const struct operands o = {x, packed, terms, bias, y};
    static void (*const columns[])(struct tdbg_gpu *, const product &, const struct operands &) = {
        run_columns<1>, run_columns<2>, run_columns<4>, run_columns<8>, run_columns<16>};
    if (p.rows <= TDBG_CONV_GPU_DIRECT) {
        int i = 0;
        while (1 << i < p.rows_at_once)
            i++;
        columns[i](gpu, p, o);
    } else if (p.rows_at_once == 32) {
        run_tiles<32>(gpu, p, o);
    } else if (p.rows_at_once == 64) {
        run_tiles<64>(gpu, p, o);
    } else {
        run_tiles<128>(gpu, p, o);
    }
}

extern "C" size_t tdbg_cuda_conv2d_workspace_bytes(void *gpu, const struct tdbg_conv2d *conv)
{
    return tdbg_conv_gpu_workspace_bytes(conv, (struct tdbg_gpu *)gpu);
}

extern "C" void tdbg_cuda_conv2d_forward(void *gpu, const struct tdbg_conv2d *conv, const float *x,
                                         const float *weight, const float *bias, float *y,
                                         void *workspace)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    run(g, tdbg_conv_gpu_forward_product(conv, g), x, weight, bias, y, workspace);
}

extern "C" void tdbg_cuda_conv2d_backward_input(void *gpu, const struct tdbg_conv2d *conv,
                                                const float *dy, const float *weight, float *dx,
                                                void *workspace)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    for (int64_t ih = 0; ih < conv->stride[0] && ih < conv->height; ih++)
        for (int64_t iw = 0; iw < conv->stride[1] && iw < conv->width; iw++)
            run(g, tdbg_conv_gpu_class_product(conv, ih, iw, g), dy, weight, NULL, dx, workspace);
}
