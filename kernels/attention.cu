/* The products of attention on a GPU. Definitions: attention.h; the softmax is in softmax.cu.
 *
 * A block of threads computes a tile of an output: BLOCK rows, which are queries or keys of one
 * block of the causal rule, so that all of the tile has the same terms, and up to COLS columns. The
 * order of each output is gemm.h's. */
#include "kernels/gpu.h"
#include "kernels/numerics.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/attention.h"
}

enum {
    BLOCK = TDBG_ATTENTION_BLOCK,
    DEPTH = 16, /* terms that are in shared memory at a time; TDBG_K_SLICE is a multiple */
    QUAD = 4,   /* floats of a 16-byte access */
    WARP_M = 4, /* lanes of a warp along the rows of a tile, */
    WARP_N = 8, /* and along its columns */
    ZERO_THREADS = 128,
};

/* A tile's columns, and the rows that a thread computes, QUAD columns of each. */
template <int COLS_, int ROWS_> struct tiling {
    enum {
        COLS = COLS_,
        ROWS = ROWS_,
        WARPS_M = BLOCK / (WARP_M * ROWS),
        WARPS_N = COLS / (WARP_N * QUAD),
        THREADS = TDBG_GPU_WARP * WARPS_M * WARPS_N,
        RESIDENT = 512 / THREADS, /* blocks at least that a multiprocessor has room for */
    };
};
typedef tiling<64, 8> wide;
typedef tiling<32, 4> narrow; /* for heads of up to 32 elements */

/* DEPTH terms of the two operands of a tile, and those of the next ones. The rows are longer than
 * they need to be, against bank conflicts. */
template <typename T> struct alignas(16) tile_shared {
    float left[2][DEPTH][BLOCK + QUAD];
    float right[2][DEPTH][T::COLS + QUAD];
};

/* Heads of a packed tensor: element d of head h at a token is x[sample * i + token * t + h dim +
 * d]. */
struct packed {
    float *x;
    int64_t sample, token;
};

/* The three products of attention.c: see there. */
struct product {
    struct tdbg_attention a;
    float scale;
    float *w;
    struct packed left, right, out;
    int64_t blocks, col_tiles; /* of a head; columns of the output */
};

/* One side of a tile: element (line, term) is x[line * line_step + term * term_step], one of the
 * steps being 1; lines from `lines` on do not exist. */
struct operand {
    const float *x;
    int64_t line_step, term_step;
    int lines;
};

/* ---- a tile ---- */

/* Which elements of an operand of LINES lines a thread fetches: COUNT quads along the step of 1,
 * STEP apart in the other direction; BY_TERM where it is the terms that have step 1. QUADS: whole
 * quads exist or not, and are aligned. */
template <typename T, int LINES_, bool BY_TERM_, bool QUADS_> struct fetching {
    enum {
        LINES = LINES_,
        BY_TERM = BY_TERM_,
        QUADS = QUADS_,
        ROW = (BY_TERM_ ? (int)DEPTH : LINES_) / QUAD,
        STEP = T::THREADS / ROW,
        COUNT = LINES_ * DEPTH / QUAD / T::THREADS,
    };
};

/* The quads of DEPTH terms from x on, `left` of which exist; what does not exist is `none`. */
template <typename F>
static __device__ __forceinline__ void fetch(const struct operand &o, const float *x, int64_t left,
                                             float none, float (&got)[F::COUNT][QUAD])
{
    const int outer = (int)threadIdx.x / F::ROW, inner = (int)threadIdx.x % F::ROW * QUAD;
    const int64_t outer_step = F::BY_TERM ? o.line_step : o.term_step;
    const int terms = left < DEPTH ? (int)left : (int)DEPTH;
    const int outer_end = F::BY_TERM ? o.lines : terms, inner_end = F::BY_TERM ? terms : o.lines;
    x += outer * outer_step + inner;
#pragma unroll
    for (int n = 0; n < F::COUNT; n++, x += F::STEP * outer_step) {
        const bool there = outer + n * F::STEP < outer_end;
        if (F::QUADS) {
            const float4 v = there && inner < inner_end ? *(const float4 *)x
                                                        : make_float4(none, none, none, none);
            got[n][0] = v.x;
            got[n][1] = v.y;
            got[n][2] = v.z;
            got[n][3] = v.w;
        } else {
#pragma unroll
            for (int e = 0; e < QUAD; e++)
                got[n][e] = there && inner + e < inner_end ? x[e] : none;
        }
    }
}

template <typename F>
static __device__ __forceinline__ void keep(const float (&got)[F::COUNT][QUAD],
                                            float (&to)[DEPTH][F::LINES + QUAD])
{
    const int outer = (int)threadIdx.x / F::ROW, inner = (int)threadIdx.x % F::ROW * QUAD;
#pragma unroll
    for (int n = 0; n < F::COUNT; n++) {
        if (F::BY_TERM) {
#pragma unroll
            for (int e = 0; e < QUAD; e++)
                to[inner + e][outer + n * F::STEP] = got[n][e];
        } else {
            *(float4 *)&to[outer + n * F::STEP][inner] =
                make_float4(got[n][0], got[n][1], got[n][2], got[n][3]);
        }
    }
}

/* Of the tile, a thread computes rows row_of(0), row_of(1), ... and QUAD columns from col_of(). */
template <typename T> static __device__ __forceinline__ int row_of(int i)
{
    const int warp = (int)threadIdx.x / TDBG_GPU_WARP, lane = (int)threadIdx.x % TDBG_GPU_WARP;
    return warp % T::WARPS_M * WARP_M * T::ROWS + i / QUAD * WARP_M * QUAD + lane / WARP_N * QUAD +
           i % QUAD;
}

template <typename T> static __device__ __forceinline__ int col_of(void)
{
    const int warp = (int)threadIdx.x / TDBG_GPU_WARP, lane = (int)threadIdx.x % TDBG_GPU_WARP;
    return (warp / T::WARPS_M * WARP_N + lane % WARP_N) * QUAD;
}

template <typename T>
static __device__ __forceinline__ void add_terms(const struct tile_shared<T> &s, int half,
                                                 float (&part)[T::ROWS][QUAD])
{
#pragma unroll
    for (int t = 0; t < DEPTH; t++) {
        const float4 r = *(const float4 *)&s.right[half][t][col_of<T>()];
#pragma unroll
        for (int i = 0; i < T::ROWS; i += QUAD) {
            const float4 l = *(const float4 *)&s.left[half][t][row_of<T>(i)];
            const float ls[QUAD] = {l.x, l.y, l.z, l.w}, rs[QUAD] = {r.x, r.y, r.z, r.w};
#pragma unroll
            for (int e = 0; e < QUAD; e++)
#pragma unroll
                for (int j = 0; j < QUAD; j++)
                    part[i + e][j] = TDBG_STRICT_FMA(ls[e], rs[j], part[i + e][j]);
        }
    }
}

/* sum = the product of gemm.h over terms 0..depth-1, not yet canonical. L, R: how the left and the
 * right operand are fetched. Terms that do not exist are +0 on the left and -0 on the right: adding
 * -0 changes nothing, not even a -0. */
template <typename T, typename L, typename R>
static __device__ __forceinline__ void
multiply(struct tile_shared<T> &s, const struct operand &left, const struct operand &right,
         int64_t depth, float (&sum)[T::ROWS][QUAD])
{
    float part[T::ROWS][QUAD] = {}, l[L::COUNT][QUAD], r[R::COUNT][QUAD];
    const float *lx = left.x, *rx = right.x;
    fetch<L>(left, lx, depth, 0.0f, l);
    fetch<R>(right, rx, depth, -0.0f, r);
    keep<L>(l, s.left[0]);
    keep<R>(r, s.right[0]);
    __syncthreads();
    for (int64_t t = 0; t < depth; t += DEPTH) {
        const int half = (int)(t / DEPTH % 2);
        const bool more = t + DEPTH < depth;
        if (more) {
            fetch<L>(left, lx += DEPTH * left.term_step, depth - t - DEPTH, 0.0f, l);
            fetch<R>(right, rx += DEPTH * right.term_step, depth - t - DEPTH, -0.0f, r);
        }
        add_terms<T>(s, half, part);
        if (!more || (t + DEPTH) % TDBG_K_SLICE == 0) {
#pragma unroll
            for (int i = 0; i < T::ROWS; i++)
#pragma unroll
                for (int j = 0; j < QUAD; j++) {
                    sum[i][j] =
                        t < TDBG_K_SLICE ? part[i][j] : TDBG_STRICT_ADD(sum[i][j], part[i][j]);
                    part[i][j] = 0;
                }
        }
        if (more) {
            keep<L>(l, s.left[1 - half]);
            keep<R>(r, s.right[1 - half]);
        }
        __syncthreads();
    }
}

/* Where a tile's results go: c[i * step + j], i < rows and j < cols, where j < seen + i alone is
 * not +0. */
struct target {
    float *c;
    int64_t step;
    int rows, cols, seen;
};

template <typename T, bool QUADS>
static __device__ __forceinline__ void store(const struct target &to, float scale,
                                             const float (&sum)[T::ROWS][QUAD])
{
    const int col = col_of<T>();
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
        const int row = row_of<T>(i);
        float y[QUAD], *c = to.c + row * to.step + col;
#pragma unroll
        for (int j = 0; j < QUAD; j++)
            y[j] = col + j < to.seen + row
                       ? tdbg_strict_canonical(TDBG_STRICT_MUL(sum[i][j], scale))
                       : 0.0f;
        if (QUADS) {
            if (row < to.rows && col < to.cols)
                *(float4 *)c = make_float4(y[0], y[1], y[2], y[3]);
        } else {
#pragma unroll
            for (int j = 0; j < QUAD; j++)
                if (row < to.rows && col + j < to.cols)
                    c[j] = y[j];
        }
    }
}

/* ---- the products ---- */

/* What one tile is about. head: a query head, or a key head where the output has those. */
struct item {
    int64_t sample, head, block, col;
};

static __device__ __forceinline__ struct item item_of(const struct product &p, int64_t heads,
                                                      int cols, int64_t i)
{
    const int64_t of_head = p.blocks * p.col_tiles, in_head = i % of_head;
    struct item item;
    item.sample = i / of_head / heads;
    item.head = i / of_head % heads;
    item.block = in_head / p.col_tiles;
    item.col = in_head % p.col_tiles * cols;
    return item;
}

static __device__ __forceinline__ float *head_at(const struct product &p, const struct packed &x,
                                                 int64_t sample, int64_t token, int64_t head)
{
    return x.x + sample * x.sample + token * x.token + head * p.a.dim;
}

static __device__ __forceinline__ float *weights_at(const struct product &p, int64_t sample,
                                                    int64_t query, int64_t head)
{
    return p.w + ((sample * p.a.heads + head) * p.a.tokens + query) * p.a.tokens;
}

/* As much of a tile as there is. */
static __device__ __forceinline__ int part_of_tile(int64_t there, int tile)
{
    return there < tile ? (int)there : tile;
}

/* w_ij = left_i . right_j. Causal: what is masked is +0, whole tiles of it without a product. */
template <typename T, bool QUADS>
static __global__ void __launch_bounds__(T::THREADS, T::RESIDENT)
    weigh(struct product p, int64_t items)
{
    typedef fetching<T, BLOCK, true, QUADS> by_row;
    typedef fetching<T, T::COLS, true, QUADS> by_col;
    TDBG_SHARED(struct tile_shared<T>, shared);
    for (int64_t n = blockIdx.x; n < items; n += gridDim.x) {
        const struct item at = item_of(p, p.a.heads, T::COLS, n);
        const int64_t begin = at.block * BLOCK, kv_head = at.head / (p.a.heads / p.a.kv_heads);
        const int rows = part_of_tile(p.a.tokens - begin, BLOCK);
        const int cols = part_of_tile(p.a.tokens - at.col, T::COLS);
        const struct operand left = {head_at(p, p.left, at.sample, begin, at.head), p.left.token, 1,
                                     rows};
        const struct operand right = {head_at(p, p.right, at.sample, at.col, kv_head),
                                      p.right.token, 1, cols};
        const int64_t seen = p.a.causal ? begin + 1 - at.col : cols; /* below 1: nothing is */
        const struct target to = {weights_at(p, at.sample, begin, at.head) + at.col, p.a.tokens,
                                  rows, cols, seen < -BLOCK ? -BLOCK : part_of_tile(seen, T::COLS)};
        float sum[T::ROWS][QUAD] = {};
        if (!p.a.causal || at.col < begin + BLOCK)
            multiply<T, by_row, by_col>(shared, left, right, p.a.dim, sum);
        store<T, QUADS>(to, p.scale, sum);
    }
}

/* out_i = sum_j w_ij right_j. Causal: the longest sums first. */
template <typename T, bool QUADS>
static __global__ void __launch_bounds__(T::THREADS, T::RESIDENT)
    gather(struct product p, int64_t items)
{
    typedef fetching<T, BLOCK, true, QUADS> by_row;
    typedef fetching<T, T::COLS, false, QUADS> by_col;
    TDBG_SHARED(struct tile_shared<T>, shared);
    for (int64_t n = blockIdx.x; n < items; n += gridDim.x) {
        const struct item at = item_of(p, p.a.heads, T::COLS, n);
        const int64_t begin = (p.blocks - 1 - at.block) * BLOCK, tokens = p.a.tokens;
        const int64_t kv_head = at.head / (p.a.heads / p.a.kv_heads);
        const int rows = part_of_tile(tokens - begin, BLOCK);
        const int cols = part_of_tile(p.a.dim - at.col, T::COLS);
        const struct operand left = {weights_at(p, at.sample, begin, at.head), tokens, 1, rows};
        const struct operand right = {head_at(p, p.right, at.sample, 0, kv_head) + at.col, 1,
                                      p.right.token, cols};
        const struct target to = {head_at(p, p.out, at.sample, begin, at.head) + at.col,
                                  p.out.token, rows, cols, T::COLS};
        float sum[T::ROWS][QUAD] = {};
        multiply<T, by_row, by_col>(shared, left, right, p.a.causal ? begin + rows : tokens, sum);
        store<T, QUADS>(to, p.scale, sum);
    }
}

/* out_j = sum over the group's heads, ascending, and i of w_ij left_i */
template <typename T, bool QUADS>
static __global__ void __launch_bounds__(T::THREADS, T::RESIDENT)
    scatter(struct product p, int64_t items)
{
    typedef fetching<T, BLOCK, false, QUADS> by_row;
    typedef fetching<T, T::COLS, false, QUADS> by_col;
    TDBG_SHARED(struct tile_shared<T>, shared);
    for (int64_t n = blockIdx.x; n < items; n += gridDim.x) {
        const struct item at = item_of(p, p.a.kv_heads, T::COLS, n);
        const int64_t begin = at.block * BLOCK, query = p.a.causal ? begin : 0;
        const int64_t tokens = p.a.tokens, group = p.a.heads / p.a.kv_heads;
        const int rows = part_of_tile(tokens - begin, BLOCK);
        const int cols = part_of_tile(p.a.dim - at.col, T::COLS);
        float total[T::ROWS][QUAD] = {};
        for (int64_t g = 0; g < group; g++) {
            const int64_t head = at.head * group + g;
            const struct operand left = {weights_at(p, at.sample, query, head) + begin, 1, tokens,
                                         rows};
            const struct operand right = {head_at(p, p.left, at.sample, query, head) + at.col, 1,
                                          p.left.token, cols};
            float sum[T::ROWS][QUAD] = {};
            multiply<T, by_row, by_col>(shared, left, right, tokens - query, sum);
#pragma unroll
            for (int i = 0; i < T::ROWS; i++)
#pragma unroll
                for (int j = 0; j < QUAD; j++)
                    total[i][j] = g == 0 ? sum[i][j] : TDBG_STRICT_ADD(total[i][j], sum[i][j]);
        }
        const struct target to = {head_at(p, p.out, at.sample, begin, at.head) + at.col,
                                  p.out.token, rows, cols, T::COLS};
        store<T, QUADS>(to, p.scale, total);
    }
}

/* +0 into `n` floats of every token. */
static __global__ void zero_heads(int64_t tokens, int64_t n, float *x, int64_t step)
{
    for (int64_t t = blockIdx.x; t < tokens; t += gridDim.x)
        for (int64_t i = threadIdx.x; i < n; i += ZERO_THREADS)
            x[t * step + i] = 0;
}

/* ---- launchers ---- */

static struct packed part_of(const struct tdbg_attention *a, const float *qkv, int64_t first_head)
{
    const int64_t width = (a->heads + 2 * a->kv_heads) * a->dim;
    return {(float *)qkv + first_head * a->dim, a->tokens * width, width};
}

static struct packed queries(const struct tdbg_attention *a, const float *qkv)
{
    return part_of(a, qkv, 0);
}

static struct packed keys(const struct tdbg_attention *a, const float *qkv)
{
    return part_of(a, qkv, a->heads);
}

static struct packed values(const struct tdbg_attention *a, const float *qkv)
{
    return part_of(a, qkv, a->heads + a->kv_heads);
}

static struct packed context_of(const struct tdbg_attention *a, const float *context)
{
    const int64_t width = a->heads * a->dim;
    return {(float *)context, a->tokens * width, width};
}

static bool is_aligned(const float *x)
{
    return (uintptr_t)x % (QUAD * sizeof *x) == 0; /* NULL too */
}

/* The parts that a product does not have are {0}. */
static struct product make_product(const struct tdbg_attention *a, float scale, const float *w,
                                   struct packed left, struct packed right, struct packed out)
{
    struct product p = {*a, scale, (float *)w, left, right, out, 0, 0};
    p.blocks = (a->tokens + BLOCK - 1) / BLOCK;
    return p;
}

/* Rows of w and heads are whole quads, at multiples of 16 bytes. */
static bool has_quads(const struct product *p)
{
    return p->a.tokens % QUAD == 0 && p->a.dim % QUAD == 0 && is_aligned(p->w) &&
           is_aligned(p->left.x) && is_aligned(p->right.x) && is_aligned(p->out.x);
}

/* cols, heads: of the output. */
#define RUN(gpu, kernel, tiling, p, cols, heads)                                                   \
    do {                                                                                           \
        p.col_tiles = ((cols) + tiling::COLS - 1) / tiling::COLS;                                  \
        const int64_t items = p.a.rows * (heads)*p.blocks * p.col_tiles;                           \
        const unsigned grid = tdbg_gpu_blocks(items, 1);                                           \
        struct tdbg_gpu *const g = (struct tdbg_gpu *)gpu;                                         \
        if (has_quads(&p))                                                                         \
            TDBG_LAUNCH(g, (kernel<tiling, true>), grid, tiling::THREADS, p, items);               \
        else                                                                                       \
            TDBG_LAUNCH(g, (kernel<tiling, false>), grid, tiling::THREADS, p, items);              \
    } while (0)

static void run_weigh(void *gpu, struct product p)
{
    RUN(gpu, weigh, wide, p, p.a.tokens, p.a.heads);
}

static void run_gather(void *gpu, struct product p)
{
    if (p.a.dim <= narrow::COLS)
        RUN(gpu, gather, narrow, p, p.a.dim, p.a.heads);
    else
        RUN(gpu, gather, wide, p, p.a.dim, p.a.heads);
}

static void run_scatter(void *gpu, struct product p)
{
    if (p.a.dim <= narrow::COLS)
        RUN(gpu, scatter, narrow, p, p.a.dim, p.a.kv_heads);
    else
        RUN(gpu, scatter, wide, p, p.a.dim, p.a.kv_heads);
}

static void run_zero(void *gpu, const struct tdbg_attention *a, struct packed first, int64_t heads)
{
    const int64_t tokens = a->rows * a->tokens;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, zero_heads, tdbg_gpu_blocks(tokens, 1), ZERO_THREADS,
                tokens, heads * a->dim, first.x, first.token);
}

extern "C" size_t tdbg_cuda_attention_workspace_bytes(void *gpu,
                                                      const struct tdbg_attention *attention)
{
    (void)gpu;
    (void)attention;
    return 0;
}

extern "C" void tdbg_cuda_attention_scores(void *gpu, const struct tdbg_attention *a,
                                           const float *qkv, float *scores, void *workspace)
{
    (void)workspace;
    run_weigh(gpu, make_product(a, a->scale, scores, queries(a, qkv), keys(a, qkv), {}));
}

extern "C" void tdbg_cuda_attention_scores_backward(void *gpu, const struct tdbg_attention *a,
                                                    const float *qkv, const float *dscores,
                                                    float *dqkv, void *workspace)
{
    (void)workspace;
    run_gather(gpu, make_product(a, a->scale, dscores, {}, keys(a, qkv), queries(a, dqkv)));
    run_scatter(gpu, make_product(a, a->scale, dscores, queries(a, qkv), {}, keys(a, dqkv)));
    run_zero(gpu, a, values(a, dqkv), a->kv_heads);
}

extern "C" void tdbg_cuda_attention_context(void *gpu, const struct tdbg_attention *a,
                                            const float *probs, const float *qkv, float *context,
                                            void *workspace)
{
    (void)workspace;
    run_gather(gpu, make_product(a, 1, probs, {}, values(a, qkv), context_of(a, context)));
}

extern "C" void tdbg_cuda_attention_context_backward(void *gpu, const struct tdbg_attention *a,
                                                     const float *probs, const float *qkv,
                                                     const float *dcontext, float *dprobs,
                                                     float *dqkv, void *workspace)
{
    (void)workspace;
    const struct packed given = context_of(a, dcontext);
    if (dprobs)
        run_weigh(gpu, make_product(a, 1, dprobs, given, values(a, qkv), {}));
    if (dqkv) {
        run_scatter(gpu, make_product(a, 1, probs, given, {}, values(a, dqkv)));
        run_zero(gpu, a, queries(a, dqkv), a->heads + a->kv_heads);
    }
}
