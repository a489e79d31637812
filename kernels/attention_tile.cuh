/* Fused attention on tensor cores: what attention_forward.cuh and attention_backward.cuh share.
 *
 *            other rows, OTHER at a time      A block owns OWN rows of one head (queries or keys)
 *          +-------+-------+--- -- -- -       and goes over the other ones (keys or queries) in
 *     OWN  | warp 0|       |                  tiles, of which the next is copied to shared memory
 *     rows | warp 1|  ...  |  ...             while one is worked on. A warp has whole rows, TILES
 *          |  ...  |       |                  times 16, so that what belongs to a row stays in its
 *          +-------+-------+--- -- -- -       registers: scores become weights of the next product
 *                                             without leaving them.
 *
 * A lane has rows lane / 4 and lane / 4 + 8 of each 16, and of each 8 columns 2 (lane % 4) and the
 * next one: x[tile][columns / 8][2 * (row is the second) + (column is the second)]. */
#ifndef TDBG_KERNELS_ATTENTION_TILE_CUH
#define TDBG_KERNELS_ATTENTION_TILE_CUH

#include <math.h>

#include "kernels/gpu.h"
#include "kernels/gpu_mma.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/attention.h"
}

enum { ATTENTION_PAD = 8 }; /* bf16 behind a row in shared memory: rows begin in different banks */

/* DIM: columns of a head, those beyond its dim are 0. CHUNK: other rows of which scores are held at
 * a time. KEEP: fragments of own rows stay in registers, else they are loaded when they are needed.
 * RESIDENT: blocks that a multiprocessor should have room for. */
template <int DIM_, int WARPS_, int TILES_, int OTHER_, int CHUNK_, bool KEEP_, int RESIDENT_>
struct attention_shape {
    enum {
        DIM = DIM_,
        WARPS = WARPS_,
        TILES = TILES_,
        OTHER = OTHER_,
        CHUNK = CHUNK_,
        KEEP = KEEP_,
        RESIDENT = RESIDENT_,
        THREADS = WARPS * TDBG_GPU_WARP,
        WARP_ROWS = 16 * TILES,
        OWN = WARP_ROWS * WARPS,
        STRIDE = DIM + ATTENTION_PAD,
    };
    static_assert(DIM % 16 == 0 && CHUNK % 16 == 0 && OTHER % CHUNK == 0, "whole fragments");

    typedef float sums[TILES][DIM / 8][4];          /* of own rows */
    typedef float scores[TILES][CHUNK / 8][4];      /* of own rows with other rows */
    typedef uint32_t weights[TILES][CHUNK / 16][4]; /* scores as the left operand of a product */
    typedef uint16_t row[STRIDE];                   /* in shared memory */
};

/* What a row of scores needs in the backward pass. */
struct attention_terms {
    float lse;   /* log2 of the sum of 2^(s log2(e)) of its scaled scores s */
    float delta; /* sum of out * dout over dim */
};

#define ATTENTION_LOG2_E 1.44269504088896341f

/* Tokens of a head in the workspace are a multiple of it; tiles do not go beyond. */
enum { ATTENTION_TERM_TOKENS = 128 };

/* A call and its tensors. */
struct attention_call {
    int rows, tokens, heads, kv_heads, group, dim;
    bool causal;
    float scale, log2_scale; /* scale * log2(e) */
    const uint16_t *qkv, *dout;
    uint16_t *to; /* out, or dqkv */
    float *lse;
    struct attention_terms *terms; /* (rows, heads, padded_tokens) */
    int padded_tokens;
    int blocks; /* of a head's own rows */
};

static inline int64_t attention_padded_tokens(const struct tdbg_attention *a)
{
    return (a->tokens + ATTENTION_TERM_TOKENS - 1) / ATTENTION_TERM_TOKENS * ATTENTION_TERM_TOKENS;
}

/* Without the tensors. */
static inline attention_call attention_call_of(const struct tdbg_attention *a)
{
    attention_call p = {};
    p.rows = (int)a->rows;
    p.tokens = (int)a->tokens;
    p.heads = (int)a->heads;
    p.kv_heads = (int)a->kv_heads;
    p.group = (int)(a->heads / a->kv_heads);
    p.dim = (int)a->dim;
    p.causal = a->causal;
    p.scale = a->scale;
    p.log2_scale = a->scale * ATTENTION_LOG2_E;
    p.padded_tokens = (int)attention_padded_tokens(a);
    return p;
}

/* Blocks of a kernel whose blocks own rows of `heads` heads; noted in the call. */
template <class S> static inline unsigned attention_grid(attention_call *p, int heads)
{
    p->blocks = (p->tokens + S::OWN - 1) / S::OWN;
    return (unsigned)((int64_t)p->rows * heads * p->blocks);
}

/* Block `block` of a head's own rows. */
struct attention_item {
    int row, head, block;
};

static __device__ __forceinline__ attention_item attention_item_of(const attention_call &p,
                                                                   int heads)
{
    const unsigned n = blockIdx.x, of_row = (unsigned)(p.blocks * heads);
    attention_item at;
    at.row = (int)(n / of_row);
    at.head = (int)(n % of_row / (unsigned)p.blocks);
    at.block = (int)(n % (unsigned)p.blocks);
    return at;
}

/* ---- rows in memory ---- */

/* Rows of one head: `dim` bf16 each, `step` apart. */
struct attention_head {
    uint16_t *x;
    int64_t step;
};

/* Head number `head` of a sample's `heads`. */
static __device__ __forceinline__ attention_head attention_head_of(const attention_call &p,
                                                                   const uint16_t *x, int row,
                                                                   int head, int heads)
{
    attention_head h;
    h.step = (int64_t)heads * p.dim;
    h.x = (uint16_t *)x + (int64_t)row * p.tokens * h.step + head * p.dim;
    return h;
}

static __device__ __forceinline__ attention_head attention_packed(const attention_call &p,
                                                                  const uint16_t *qkv, int row,
                                                                  int head)
{
    return attention_head_of(p, qkv, row, head, p.heads + 2 * p.kv_heads);
}

/* Starts to copy `ROWS` rows from `first` on; 0 where there are none. */
template <class S, int ROWS>
static __device__ __forceinline__ void
attention_copy(tdbg_gpu_copies &copies, typename S::row (&to)[ROWS], attention_head from, int first,
               const attention_call &p)
{
    enum { ACROSS = S::DIM / 8, STEP = S::THREADS / ACROSS };
    static_assert(S::THREADS % ACROSS == 0 && ROWS % STEP == 0, "every thread copies as much");
    const int row = (int)threadIdx.x / ACROSS, col = (int)threadIdx.x % ACROSS * 8;
    const int end = col < p.dim ? p.tokens - first - row : 0;
    const uint16_t *at = from.x + (first + row) * from.step + col;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP, at += STEP * from.step)
        copies.start(&to[row + i][col], at, i < end);
}

/* Keys and values that a head of queries reads. */
struct attention_keys {
    attention_head k, v;
};

static __device__ __forceinline__ attention_keys attention_keys_of(const attention_call &p, int row,
                                                                   int head)
{
    const int kv = p.heads + head / p.group;
    return {attention_packed(p, p.qkv, row, kv), attention_packed(p, p.qkv, row, kv + p.kv_heads)};
}

/* Starts to copy keys and values from `first` on, as a group of its own. */
template <class S, int ROWS>
static __device__ __forceinline__ void
attention_copy_keys(tdbg_gpu_copies &copies, typename S::row (&k)[ROWS], typename S::row (&v)[ROWS],
                    const attention_keys &from, int first, const attention_call &p)
{
    attention_copy<S>(copies, k, from.k, first, p);
    attention_copy<S>(copies, v, from.v, first, p);
    copies.close_group();
}

/* The warp's rows of sums, from row `first` of the head on. `stage` is theirs alone. */
template <class S>
static __device__ __forceinline__ void
attention_store(typename S::row *stage, const typename S::sums &sums, attention_head to, int first,
                const attention_call &p)
{
    enum { ACROSS = S::DIM / 8 };
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    __syncwarp(TDBG_GPU_ALL_LANES);
#pragma unroll
    for (int i = 0; i < S::TILES; i++)
#pragma unroll
        for (int j = 0; j < ACROSS; j++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                tdbg_gpu_write_pair(
                    &stage[16 * i + 8 * half + lane / 4][8 * j + lane % 4 * 2],
                    tdbg_gpu_pack_bf16(sums[i][j][2 * half], sums[i][j][2 * half + 1]));
    __syncwarp(TDBG_GPU_ALL_LANES);
#pragma unroll
    for (int i = 0; i < S::WARP_ROWS * ACROSS / TDBG_GPU_WARP; i++) {
        const int n = lane + i * TDBG_GPU_WARP, row = n / ACROSS, col = n % ACROSS * 8;
        if (first + row < p.tokens && col < p.dim)
            tdbg_gpu_write_eight(to.x + (first + row) * to.step + col,
                                 tdbg_gpu_read_eight(&stage[row][col]));
    }
}

/* ---- products ---- */

/* Own rows of a warp as the left operand of products over dim. */
template <class S, bool KEEP> struct attention_left;

template <class S> struct attention_left<S, false> {
    const uint16_t *at; /* what this lane names of the first fragment */

    __device__ __forceinline__ void begin(const typename S::row *rows)
    {
        const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
        at = &rows[lane % 16][lane / 16 * 8];
    }

    __device__ __forceinline__ void get(uint32_t (&a)[4], int tile, int k) const
    {
        tdbg_gpu_load_four(a, at + 16 * tile * S::STRIDE + 16 * k);
    }
};

template <class S> struct attention_left<S, true> {
    uint32_t kept[S::TILES][S::DIM / 16][4];

    __device__ __forceinline__ void begin(const typename S::row *rows)
    {
        attention_left<S, false> from;
        from.begin(rows);
#pragma unroll
        for (int i = 0; i < S::TILES; i++)
#pragma unroll
            for (int k = 0; k < S::DIM / 16; k++)
                from.get(kept[i][k], i, k);
    }

    __device__ __forceinline__ void get(uint32_t (&a)[4], int tile, int k) const
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = kept[tile][k][i];
    }
};

/* sums = left . other, over dim, of CHUNK other rows */
template <class S>
static __device__ __forceinline__ void attention_multiply(typename S::scores &sums,
                                                          const attention_left<S, S::KEEP> &left,
                                                          const typename S::row *other)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    const uint16_t *at = &other[lane % 8 + lane / 16 * 8][lane / 8 % 2 * 8];
#pragma unroll
    for (int i = 0; i < S::TILES; i++)
#pragma unroll
        for (int j = 0; j < S::CHUNK / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sums[i][j][e] = 0;
#pragma unroll
    for (int k = 0; k < S::DIM / 16; k++) {
        uint32_t a[S::TILES][4];
#pragma unroll
        for (int i = 0; i < S::TILES; i++)
            left.get(a[i], i, k);
#pragma unroll
        for (int j = 0; j < S::CHUNK / 16; j++) {
            uint32_t b[4];
            tdbg_gpu_load_four(b, at + 16 * j * S::STRIDE + 16 * k);
#pragma unroll
            for (int i = 0; i < S::TILES; i++) {
                tdbg_gpu_mma(sums[i][2 * j], a[i], b[0], b[1]);
                tdbg_gpu_mma(sums[i][2 * j + 1], a[i], b[2], b[3]);
            }
        }
    }
}

/* sums += weights other, over CHUNK other rows */
template <class S>
static __device__ __forceinline__ void attention_add_weighted(typename S::sums &sums,
                                                              const typename S::weights &weights,
                                                              const typename S::row *other)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    const uint16_t *at = &other[lane % 16][lane / 16 * 8];
#pragma unroll
    for (int k = 0; k < S::CHUNK / 16; k++) {
#pragma unroll
        for (int j = 0; j < S::DIM / 16; j++) {
            uint32_t b[4];
            tdbg_gpu_load_four_transposed(b, at + 16 * k * S::STRIDE + 16 * j);
#pragma unroll
            for (int i = 0; i < S::TILES; i++) {
                tdbg_gpu_mma(sums[i][2 * j], weights[i][k], b[0], b[1]);
                tdbg_gpu_mma(sums[i][2 * j + 1], weights[i][k], b[2], b[3]);
            }
        }
    }
}

/* Scores rounded to bf16: a lane has of a result what it needs of an operand. */
template <class S>
static __device__ __forceinline__ void attention_pack(typename S::weights &weights,
                                                      const typename S::scores &scores)
{
#pragma unroll
    for (int i = 0; i < S::TILES; i++)
#pragma unroll
        for (int k = 0; k < S::CHUNK / 16; k++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float *pair = &scores[i][2 * k + e / 2][e % 2 * 2];
                weights[i][k][e] = tdbg_gpu_pack_bf16(pair[0], pair[1]);
            }
}

/* sums *= factor */
template <class S>
static __device__ __forceinline__ void attention_scale(typename S::sums &sums, float factor)
{
#pragma unroll
    for (int i = 0; i < S::TILES; i++)
#pragma unroll
        for (int j = 0; j < S::DIM / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sums[i][j][e] *= factor;
}

/* ---- masks ---- */

/* Keys that queries up to `query` see, without it. */
static __device__ __forceinline__ int attention_keys_seen(const attention_call &p, int query)
{
    return p.causal && query < p.tokens ? query : p.tokens;
}

/* Of own queries and other keys: -inf where a query does not see a key. */
template <class S>
static __device__ __forceinline__ void attention_mask_keys(typename S::scores &scores, int query,
                                                           int key, const attention_call &p)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    if (key + S::CHUNK <= attention_keys_seen(p, query + 1))
        return;
#pragma unroll
    for (int i = 0; i < S::TILES; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int end = attention_keys_seen(p, query + 16 * i + 8 * half + lane / 4 + 1);
#pragma unroll
            for (int j = 0; j < S::CHUNK / 8; j++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    if (key + 8 * j + lane % 4 * 2 + e >= end)
                        scores[i][j][2 * half + e] = -INFINITY;
        }
    }
}

/* Of own keys and other queries; what is beyond the last token is not masked. */
template <class S>
static __device__ __forceinline__ void attention_mask_queries(typename S::scores &scores, int key,
                                                              int query, const attention_call &p)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    if (!p.causal || key + S::WARP_ROWS - 1 <= query)
        return;
#pragma unroll
    for (int i = 0; i < S::TILES; i++)
#pragma unroll
        for (int j = 0; j < S::CHUNK / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int own = key + 16 * i + e / 2 * 8 + lane / 4;
                if (own > query + 8 * j + lane % 4 * 2 + e % 2)
                    scores[i][j][e] = -INFINITY;
            }
}

#endif
