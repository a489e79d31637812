/* Weight and bias gradients of a convolution on a GPU. Their sums run over all samples, and there
 * may be few of them: so slices are summed side by side into scratch memory, and `fold` adds them
 * in order. Definition: conv2d.h; plan: gpu_conv2d.h; tiles: conv2d_tile.cuh. */
#include "kernels/conv2d_tile.cuh"
#include "kernels/gpu_slices.h"

typedef struct tdbg_conv_gpu_weight plan;
typedef struct conv_term term;

enum { STEP = TDBG_CONV_GPU_STEP, SLICE = TDBG_K_SLICE, THREADS = 256, NOWHERE = -0x40000000 };

/* Column (channel, kh, kw) of a group. */
static __device__ __forceinline__ term column_term(const plan &p, int64_t col)
{
    const int32_t taps = p.h.taps * p.w.taps, tap = (int32_t)(col % taps);
    term t;
    t.h = col < p.cols ? tap / p.w.taps * p.h.tap_step : NOWHERE;
    t.w = tap % p.w.taps * p.w.tap_step;
    t.offset = col / taps * p.x_channel + (int64_t)t.h * p.w.size + t.w;
    return t;
}

/* Term (n, i, j). */
struct position {
    int64_t n;
    int32_t i, j;
};

static __device__ __forceinline__ struct position position_of(const plan &p, int64_t t)
{
    const bool is_short = p.k <= 0x7fffffff;
    struct position at;
    at.n = is_short ? (uint32_t)t / (uint32_t)p.grid : t / p.grid;
    const int32_t left = (int32_t)(t - at.n * p.grid);
    at.i = left / p.w.outs;
    at.j = left % p.w.outs;
    return at;
}

/* `by` terms on. */
static __device__ __forceinline__ void move_on(const plan &p, const struct position &by,
                                               struct position *at)
{
    at->j += by.j;
    const int32_t line = at->j >= p.w.outs;
    at->j -= line ? p.w.outs : 0;
    at->i += by.i + line;
    const int32_t image = at->i >= p.h.outs;
    at->i -= image ? p.h.outs : 0;
    at->n += by.n + image;
}

/* ---- tiles ---- */

template <int ROWS, int COLS> struct weight_tile {
    conv_tile<ROWS, COLS, 4> product;
    int4 terms[COLS];
};

/* A tile of a group, slices from..to-1. scratch: a slice's sums go there; else to dweight. */
template <int ROWS, int COLS>
static __global__ void __launch_bounds__(ROWS *COLS / 64, conv_blocks(ROWS *COLS / 64))
    weight_tiles(const plan p, const struct position step_by, const float *x, const float *dy,
                 float *dweight, float *scratch, int64_t from, int64_t to, int64_t first)
{
    enum { BLOCK = ROWS * COLS / 64, LINES = BLOCK / STEP };
    enum { A_LOADS = ROWS / LINES, B_LOADS = COLS / LINES };
    typedef weight_tile<ROWS, COLS> shared;
    TDBG_SHARED_DYNAMIC(shared, s);
    const int thread = threadIdx.x, lane = thread % STEP, line = thread / STEP;
    const int64_t tiles = p.groups * p.row_tiles * p.col_tiles, block = first + blockIdx.x;
    const int64_t tile = block % tiles, group = tile / p.row_tiles / p.col_tiles;
    const int64_t row0 = tile % p.row_tiles * ROWS, col0 = tile / p.row_tiles % p.col_tiles * COLS;
    const int64_t slice0 = from + block / tiles * p.slices_per_block;
    const int64_t slice1 = conv_least(slice0 + p.slices_per_block, to);
    const int64_t end = conv_least(slice1 * SLICE, p.k);
    const struct conv_corner corner = conv_corner_of<COLS>(thread);
    const int rows = (int)conv_least(p.rows - row0, ROWS);

    for (int col = thread; col < COLS; col += BLOCK)
        s.terms[col] = conv_term_pack(column_term(p, col0 + col));
    __syncthreads();

    const float *const images = x + group * p.x_group;
    const float *const slopes = dy + (group * p.rows + row0 + line) * p.grid;
    const int64_t dy_sample = p.groups * p.rows * p.grid, next_lines = (int64_t)LINES * p.grid;
    int64_t t = slice0 * SLICE + lane;
    struct position at = position_of(p, t);
    float sum[CONV_OWN][CONV_OWN], a[A_LOADS], b[B_LOADS];
    conv_clear(sum);
    const auto fetch = [&]() {
        const bool inside = t < end; /* else fma(-0, +0, sum), which leaves every sum as it is */
        const int32_t h = at.i * p.h.step + p.h.first, w = at.j * p.w.step + p.w.first;
        const float *image = images + at.n * p.x_sample + (int64_t)h * p.w.size + w;
        const float *slope = slopes + at.n * dy_sample + at.i * p.w.outs + at.j;
#pragma unroll
        for (int i = 0; i < A_LOADS; i++) {
            const bool there = inside & (line + i * LINES < rows);
            a[i] = there ? __ldg(slope + i * next_lines) : -0.0f;
        }
#pragma unroll
        for (int i = 0; i < B_LOADS; i++) {
            const term c = conv_term_of(s.terms[line + i * LINES]);
            const bool in_image = inside & ((uint32_t)(h + c.h) < (uint32_t)p.h.size) &
                                  ((uint32_t)(w + c.w) < (uint32_t)p.w.size);
            b[i] = in_image ? __ldg(image + c.offset) : 0.0f;
        }
        t += STEP;
        move_on(p, step_by, &at);
    };
    const auto put = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < A_LOADS; i++)
            s.product.a[buffer][lane][line + i * LINES] = a[i];
#pragma unroll
        for (int i = 0; i < B_LOADS; i++)
            s.product.b[buffer][lane][line + i * LINES] = b[i];
    };
    float *const c = &s.product.c[0][0];
    float *sums = scratch ? scratch + (slice0 - from) * p.scratch_slice + tile * (ROWS * COLS) : c;
    const int64_t next_sums = scratch ? p.scratch_slice : 0;

    const int32_t steps = (int32_t)((end - slice0 * SLICE + STEP - 1) / STEP);
    if (steps > 0) {
        fetch();
        put(0);
    }
    __syncthreads();
    for (int32_t step = 0; step < steps; step++) {
        const bool more = step + 1 < steps;
        if (more)
            fetch();
        conv_multiply(s.product, step & 1, corner, sum);
        if (more)
            put((step + 1) & 1);
        if ((step + 1) % (SLICE / STEP) == 0 && more) {
            conv_fold(sums, COLS, corner, !scratch && step + 1 > SLICE / STEP, sum);
            sums += next_sums;
        }
        __syncthreads();
    }
    conv_fold(sums, COLS, corner, !scratch && steps > SLICE / STEP, sum);
    if (scratch)
        return;
    __syncthreads();
    const int cols = (int)conv_least(p.cols - col0, COLS);
    float *out = dweight + (group * p.rows + row0) * p.cols + col0;
    for (int e = thread; e < rows * COLS; e += BLOCK)
        if (e % COLS < cols)
            out[e / COLS * p.cols + e % COLS] = tdbg_strict_canonical(c[e]);
}

/* ---- groups of few rows: a thread has one slice of one element ---- */

/* Elements and slices of a block. */
enum { CHAINS = 9, ABREAST = TDBG_GPU_WARP, CHAIN_THREADS = CHAINS * ABREAST };

struct chain_terms {
    float dy[ABREAST][TDBG_GPU_WARP + 1];
    float x[CHAINS][ABREAST][TDBG_GPU_WARP + 1];
};

/* A block: CHAINS columns of a row, ABREAST slices. Terms are fetched line by line, and read
 * column by column. */
static __global__ void weight_chains(const plan p, const float *x, const float *dy, float *scratch,
                                     int64_t from, int64_t to, int64_t first)
{
    TDBG_SHARED(struct chain_terms, s);
    const int64_t cuts = (p.cols + CHAINS - 1) / CHAINS, at = first + blockIdx.x;
    const int64_t col0 = at % cuts * CHAINS, row = at / cuts % (p.groups * p.rows);
    const int64_t slice0 = from + at / cuts / (p.groups * p.rows) * ABREAST;
    const int64_t group = row / p.rows, rows = p.groups * p.rows;
    const int lane = threadIdx.x % TDBG_GPU_WARP, chain = threadIdx.x / TDBG_GPU_WARP;
    term terms[CHAINS];
#pragma unroll
    for (int c = 0; c < CHAINS; c++)
        terms[c] = column_term(p, col0 + c);
    float sum = 0.0f;
    for (int piece = 0; piece < SLICE; piece += TDBG_GPU_WARP) {
        for (int line = chain; line < ABREAST; line += CHAINS) {
            const int64_t t = (slice0 + line) * SLICE + piece + lane;
            if (t >= p.k || slice0 + line >= to)
                continue;
            const struct position n = position_of(p, t);
            const int32_t h = n.i * p.h.step + p.h.first, w = n.j * p.w.step + p.w.first;
            const float *image =
                x + n.n * p.x_sample + group * p.x_group + (int64_t)h * p.w.size + w;
            s.dy[line][lane] = __ldg(dy + (n.n * rows + row) * p.grid + n.i * p.w.outs + n.j);
#pragma unroll
            for (int c = 0; c < CHAINS; c++) {
                const bool inside = (uint32_t)(h + terms[c].h) < (uint32_t)p.h.size &&
                                    (uint32_t)(w + terms[c].w) < (uint32_t)p.w.size;
                s.x[c][line][lane] = inside ? __ldg(image + terms[c].offset) : 0.0f;
            }
        }
        __syncthreads();
        const int64_t left = slice0 + lane < to ? p.k - (slice0 + lane) * SLICE - piece : 0;
        const int terms_left = (int)conv_least(left, TDBG_GPU_WARP);
        for (int t = 0; t < terms_left; t++)
            sum = TDBG_STRICT_FMA(s.dy[lane][t], s.x[chain][lane][t], sum);
        __syncthreads();
    }
    if (slice0 + lane < to && col0 + chain < p.cols)
        scratch[(slice0 + lane - from) * p.scratch_slice + row * p.cols + col0 + chain] = sum;
}

/* ---- bias ---- */

/* How far it is to the term that a thread fetches next. */
struct bias_step {
    int32_t in_plane;           /* that many terms on, or that many less the plane's size */
    int64_t floats, next_image; /* and these, if a plane ended */
};

/* A block: TDBG_GPU_LINES slices of a channel's sum. */
static __global__ void bias_slices(int64_t planes, int64_t k, int32_t grid,
                                   const struct bias_step by, const float *dy, float *scratch,
                                   int64_t first)
{
    TDBG_SHARED(struct tdbg_gpu_lines, s);
    const int thread = (int)threadIdx.x;
    const int64_t at = first + blockIdx.x, plane = at % planes;
    const int64_t slice0 = at / planes * TDBG_GPU_LINES, slices = (k + SLICE - 1) / SLICE;
    const int64_t t = slice0 * SLICE + thread, left = k - t;
    const int64_t n = k <= 0x7fffffff ? (uint32_t)t / (uint32_t)grid : t / grid;
    int32_t in_plane = (int32_t)(t - n * grid);
    const float *from = dy + (n * planes + plane) * grid + in_plane;
    float term[TDBG_GPU_LINE_LOADS];
#pragma unroll
    for (int i = 0; i < TDBG_GPU_LINE_LOADS; i++) {
        term[i] = i * TDBG_GPU_LINE_THREADS < left ? *from : -0.0f;
        in_plane += by.in_plane;
        const bool ends = in_plane >= grid;
        in_plane -= ends ? grid : 0;
        from += by.floats + (ends ? by.next_image : 0);
    }
    __syncthreads(); /* so that no store, which waits for its load, comes before another load */
#pragma unroll
    for (int i = 0; i < TDBG_GPU_LINE_LOADS; i++) {
        const int e = thread + i * TDBG_GPU_LINE_THREADS;
        s.term[e / SLICE][e % SLICE] = term[i];
    }
    __syncthreads();
    const int64_t slice = slice0 + thread;
    if (thread < TDBG_GPU_LINES && slice < slices)
        scratch[slice * planes + plane] =
            tdbg_gpu_line_add(s.term[thread], (int)conv_least(k - slice * SLICE, SLICE), 0.0f);
}

/* ---- slices, added in order ---- */

/* Where element `i` of a slice in scratch memory belongs; -1: nowhere. tile_rows 0: (elems). */
static __device__ __forceinline__ int64_t place_of(const plan &p, int64_t i)
{
    if (p.tile_rows == 0)
        return i;
    const int32_t area = p.tile_rows * p.tile_cols, at = (int32_t)(i % area);
    const int64_t tile = i / area, group = tile / p.row_tiles / p.col_tiles;
    const int64_t row = tile % p.row_tiles * p.tile_rows + at / p.tile_cols;
    const int64_t col = tile / p.row_tiles % p.col_tiles * p.tile_cols + at % p.tile_cols;
    return row < p.rows && col < p.cols ? (group * p.rows + row) * p.cols + col : -1;
}

/* Slices that are in shared memory at once; that a thread fetches of them; that it adds at once. */
enum { FOLD_SLICES = 256, FOLD_THREADS = 1024, FOLD_LINES = FOLD_THREADS / TDBG_GPU_WARP };
enum { FOLD_LOADS = FOLD_SLICES / FOLD_LINES, FOLD_STEP = 16 };

/* The sum before the first of `slices` slices is added: -0 + x is x for every x. */
static __device__ __forceinline__ float fold_start(int64_t slices, bool is_first, const float *out)
{
    return !is_first ? *out : slices > 0 ? -0.0f : 0.0f;
}

struct fold_terms {
    float part[FOLD_SLICES][TDBG_GPU_WARP];
};

/* out += `slices` slices one after the other; or = where they are the first. A block has a warp's
 * width of elements: all warps fetch, the first one adds. */
static __global__ void fold(const plan p, int64_t slices, bool is_first, bool is_last,
                            const float *scratch, float *out)
{
    TDBG_SHARED(struct fold_terms, s);
    const int lane = threadIdx.x % TDBG_GPU_WARP, line = threadIdx.x / TDBG_GPU_WARP;
    const int64_t i = (int64_t)blockIdx.x * TDBG_GPU_WARP + lane;
    const int64_t place = i < p.scratch_slice ? place_of(p, i) : -1;
    float c = line == 0 && place >= 0 ? fold_start(slices, is_first, out + place) : 0.0f;
    for (int64_t slice0 = 0; slice0 < slices; slice0 += FOLD_SLICES) {
        const int n = (int)conv_least(slices - slice0, FOLD_SLICES);
        const float *from = scratch + (slice0 + line) * p.scratch_slice + i;
        float part[FOLD_LOADS];
#pragma unroll
        for (int l = 0; l < FOLD_LOADS; l++, from += FOLD_LINES * p.scratch_slice)
            part[l] = place >= 0 && line + l * FOLD_LINES < n ? *from : -0.0f;
#pragma unroll
        for (int l = 0; l < FOLD_LOADS; l++)
            s.part[line + l * FOLD_LINES][lane] = part[l];
        __syncthreads();
        for (int slice = 0; line == 0 && slice < n; slice += FOLD_STEP) {
#pragma unroll
            for (int t = 0; t < FOLD_STEP; t++)
                c = TDBG_STRICT_ADD(c, s.part[slice + t][lane]);
        }
        __syncthreads();
    }
    if (line == 0 && place >= 0)
        out[place] = is_last ? tdbg_strict_canonical(c) : c;
}

/* The same for many elements: a thread has one. */
static __global__ void fold_many(const plan p, int64_t slices, bool is_first, bool is_last,
                                 const float *scratch, float *out)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < p.scratch_slice; i += step) {
        const int64_t place = place_of(p, i);
        if (place < 0)
            continue;
        float c = fold_start(slices, is_first, out + place);
        for (int64_t slice = 0; slice < slices; slice += FOLD_LOADS) {
            const float *from = scratch + slice * p.scratch_slice + i;
            float part[FOLD_LOADS];
#pragma unroll
            for (int l = 0; l < FOLD_LOADS; l++, from += p.scratch_slice)
                part[l] = l < slices - slice ? *from : -0.0f;
#pragma unroll
            for (int l = 0; l < FOLD_LOADS; l++)
                c = TDBG_STRICT_ADD(c, part[l]);
        }
        out[place] = is_last ? tdbg_strict_canonical(c) : c;
    }
}

static void run_fold(struct tdbg_gpu *gpu, const plan &p, int64_t slices, bool is_first,
                     bool is_last, const float *scratch, float *out)
{
    const int64_t threads = (int64_t)gpu->multiprocessors * 512; /* that keep the GPU busy */
    if (p.scratch_slice >= threads)
        TDBG_LAUNCH(gpu, fold_many, tdbg_gpu_blocks(p.scratch_slice, THREADS), THREADS, p, slices,
                    is_first, is_last, scratch, out);
    else
        TDBG_LAUNCH(gpu, fold, tdbg_gpu_blocks(p.scratch_slice, TDBG_GPU_WARP), FOLD_THREADS, p,
                    slices, is_first, is_last, scratch, out);
}

/* ---- launches ---- */

struct operands {
    const float *x, *dy;
    float *dweight, *scratch;
};

template <int ROWS, int COLS>
static void run_tiles(struct tdbg_gpu *gpu, const plan &p, const struct operands &o, int64_t from,
                      int64_t to)
{
    const int64_t tiles = p.groups * p.row_tiles * p.col_tiles;
    const int64_t parts = o.scratch ? (to - from + p.slices_per_block - 1) / p.slices_per_block : 1;
    const struct position step_by = {STEP / p.grid, STEP % p.grid / p.w.outs,
                                     STEP % p.grid % p.w.outs};
    conv_launches(tiles * parts, [&](int64_t first, unsigned blocks) {
        TDBG_LAUNCH_DYNAMIC(gpu, (weight_tiles<ROWS, COLS>), blocks, ROWS * COLS / 64,
                            sizeof(weight_tile<ROWS, COLS>), p, step_by, o.x, o.dy, o.dweight,
                            o.scratch, from, to, first);
    });
}

static void run_slices(struct tdbg_gpu *gpu, const plan &p, const struct operands &o, int64_t from,
                       int64_t to)
{
    if (p.tile_rows == 0) {
        const int64_t cuts = (p.cols + CHAINS - 1) / CHAINS;
        const int64_t blocks = cuts * p.groups * p.rows * ((to - from + ABREAST - 1) / ABREAST);
        conv_launches(blocks, [&](int64_t first, unsigned n) {
            TDBG_LAUNCH(gpu, weight_chains, n, CHAIN_THREADS, p, o.x, o.dy, o.scratch, from, to,
                        first);
        });
    } else if (p.tile_cols == 64) {
        if (p.tile_rows == 32)
            run_tiles<32, 64>(gpu, p, o, from, to);
        else if (p.tile_rows == 64)
            run_tiles<64, 64>(gpu, p, o, from, to);
        else
            run_tiles<128, 64>(gpu, p, o, from, to);
    } else {
        if (p.tile_rows == 32)
            run_tiles<32, 128>(gpu, p, o, from, to);
        else if (p.tile_rows == 64)
            run_tiles<64, 128>(gpu, p, o, from, to);
        else
            run_tiles<128, 128>(gpu, p, o, from, to);
    }
}

extern "C" void tdbg_cuda_conv2d_backward_weight(void *gpu, const struct tdbg_conv2d *conv,
                                                 const float *x, const float *dy, float *dweight,
                                                 void *workspace)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const plan p = tdbg_conv_gpu_weight_plan(conv, g);
    const struct operands o = {x, dy, dweight, p.slices_at_once > 0 ? (float *)workspace : NULL};
    if (!o.scratch) {
        run_slices(g, p, o, 0, p.slices);
        return;
    }
    int64_t from = 0;
    do { /* once even if there are no slices: the sums are +0 */
        const int64_t to = conv_least(from + p.slices_at_once, p.slices);
        run_slices(g, p, o, from, to);
        run_fold(g, p, to - from, from == 0, to == p.slices, o.scratch, dweight);
        from = to;
    } while (from < p.slices);
}

extern "C" void tdbg_cuda_conv2d_backward_bias(void *gpu, const struct tdbg_conv2d *conv,
                                               const float *dy, float *dbias)
{
    struct tdbg_gpu *g = (struct tdbg_gpu *)gpu;
    const plan whole = tdbg_conv_gpu_weight_plan(conv, g);
    const int64_t planes = conv->out;
    const size_t bytes = (size_t)(whole.slices * planes) * sizeof(float);
    float *scratch = (float *)tdbg_gpu_scratch(g, bytes);
    if (bytes > 0 && !scratch)
        return;
    const int32_t images = TDBG_GPU_LINE_THREADS / whole.grid;
    struct bias_step by;
    by.in_plane = TDBG_GPU_LINE_THREADS % whole.grid;
    by.floats = images * planes * whole.grid + by.in_plane;
    by.next_image = (planes - 1) * whole.grid;
    const int64_t blocks = (whole.slices + TDBG_GPU_LINES - 1) / TDBG_GPU_LINES * planes;
    conv_launches(blocks, [&](int64_t first, unsigned n) {
        TDBG_LAUNCH(g, bias_slices, n, TDBG_GPU_LINE_THREADS, planes, whole.k, whole.grid, by, dy,
                    scratch, first);
    });
    const struct tdbg_gpu_columns sums = {dbias, NULL, planes};
    tdbg_gpu_add_slices(g, whole.slices, planes, scratch, sums);
}
