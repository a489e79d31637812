/* Fused attention backward: the gradients of queries, by blocks that have queries and go over keys,
 * and those of keys and values, by blocks that have keys and go over queries. Both compute the
 * scores again, so that every output has one block that sums it, in one order.
 *
 *     p = exp(s - lse), dp = dout . v, ds = p (dp - delta), delta = out . dout = sum of p dp
 *     dv = sum of p dout, dq = scale * sum of ds k, dk = scale * sum of ds q
 *
 * (FlashAttention-2, Dao, 2023, algorithm 2). For .cu files; see attention_forward.cuh. */
#ifndef TDBG_KERNELS_ATTENTION_BACKWARD_CUH
#define TDBG_KERNELS_ATTENTION_BACKWARD_CUH

#include "kernels/attention_tile.cuh"

/* ---- terms of rows of scores ---- */

enum { ATTENTION_TERM_THREADS = 256 };

/* The dot product of eight bf16 each, added to sum. */
static __device__ __forceinline__ float attention_dot(uint4 a, uint4 b, float sum)
{
    const uint32_t x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum = fmaf(tdbg_strict_float(x[i] << 16), tdbg_strict_float(y[i] << 16), sum);
        sum =
            fmaf(tdbg_strict_float(x[i] & 0xffff0000u), tdbg_strict_float(y[i] & 0xffff0000u), sum);
    }
    return sum;
}

/* LANES lanes, 8 columns each, have a token of a head. What is beyond the last token has weights of
 * 0: its lse is +inf. p.to: out. */
template <int LANES>
static __global__ void __launch_bounds__(ATTENTION_TERM_THREADS)
    attention_find_terms(const __grid_constant__ struct attention_call p, int64_t n)
{
    const int64_t at = ((int64_t)blockIdx.x * ATTENTION_TERM_THREADS + threadIdx.x) / LANES;
    const int col = (int)threadIdx.x % LANES * 8, token = (int)(at % p.padded_tokens);
    const int head = (int)(at / p.padded_tokens % p.heads);
    const int64_t row = at / p.padded_tokens / p.heads;
    const bool real = at < n && token < p.tokens;
    struct attention_terms terms = {INFINITY, 0};
    if (real && col < p.dim) {
        const int64_t from = ((row * p.tokens + token) * p.heads + head) * p.dim + col;
        terms.delta =
            attention_dot(tdbg_gpu_read_eight(p.to + from), tdbg_gpu_read_eight(p.dout + from), 0);
    }
#pragma unroll
    for (int lanes = LANES / 2; lanes > 0; lanes /= 2)
        terms.delta += __shfl_xor_sync(TDBG_GPU_ALL_LANES, terms.delta, lanes);
    if (real)
        terms.lse = p.lse[(row * p.heads + head) * p.tokens + token] * ATTENTION_LOG2_E;
    if (at < n && col == 0)
        p.terms[at] = terms;
}

template <int DIM> static void attention_run_terms(struct tdbg_gpu *gpu, attention_call p)
{
    enum { LANES = DIM / 8 };
    const int64_t n = (int64_t)p.rows * p.heads * p.padded_tokens;
    TDBG_LAUNCH(gpu, (attention_find_terms<LANES>),
                tdbg_gpu_blocks(n, ATTENTION_TERM_THREADS / LANES), ATTENTION_TERM_THREADS, p, n);
}

static __device__ __forceinline__ const attention_terms *attention_terms_of(const attention_call &p,
                                                                            int row, int head)
{
    return p.terms + ((int64_t)row * p.heads + head) * p.padded_tokens;
}

/* p and ds of one score. */
static __device__ __forceinline__ void attention_grade(float &score, float &grade,
                                                       attention_terms terms, float log2_scale)
{
    score = tdbg_gpu_exp2(fmaf(score, log2_scale, -terms.lse));
    grade = score * (grade - terms.delta);
}

/* ---- queries ---- */

template <class S> struct attention_queries_shared {
    alignas(16) typename S::row q[S::OWN], dout[S::OWN];
    alignas(16) typename S::row k[2][S::OTHER], v[2][S::OTHER];
};

/* weights = ds of own queries, whose terms are `rows`, and the keys from `key` on. */
template <class S>
static __device__ __forceinline__ void
attention_grade_keys(typename S::weights &weights, const attention_left<S, S::KEEP> &q,
                     const attention_left<S, S::KEEP> &dout, const typename S::row *k,
                     const typename S::row *v, const attention_terms (&rows)[S::TILES][2],
                     int query, int key, const attention_call &p)
{
    typename S::scores scores, grades;
    attention_multiply<S>(scores, q, k);
    attention_multiply<S>(grades, dout, v);
    attention_mask_keys<S>(scores, query, key, p);
#pragma unroll
    for (int i = 0; i < S::TILES; i++)
#pragma unroll
        for (int j = 0; j < S::CHUNK / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                attention_grade(scores[i][j][e], grades[i][j][e], rows[i][e / 2], p.log2_scale);
    attention_pack<S>(weights, grades);
}

template <class S>
static __global__ void __launch_bounds__(S::THREADS, S::RESIDENT)
    attention_backward_queries(const __grid_constant__ struct attention_call p)
{
    TDBG_SHARED_DYNAMIC(attention_queries_shared<S>, shared);
    const attention_item at = attention_item_of(p, p.heads);
    const int first = (p.blocks - 1 - at.block) * S::OWN;
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    const int warp_row = (int)threadIdx.x / TDBG_GPU_WARP * S::WARP_ROWS, query = first + warp_row;
    const int end = attention_keys_seen(p, first + S::OWN);
    const int warp_end = attention_keys_seen(p, query + S::WARP_ROWS);
    const attention_keys keys = attention_keys_of(p, at.row, at.head);
    tdbg_gpu_copies copies;
    attention_copy<S>(copies, shared.q, attention_packed(p, p.qkv, at.row, at.head), first, p);
    attention_copy<S>(copies, shared.dout, attention_head_of(p, p.dout, at.row, at.head, p.heads),
                      first, p);
    copies.close_group();
    attention_copy_keys<S>(copies, shared.k[0], shared.v[0], keys, 0, p);
    attention_terms rows[S::TILES][2];
#pragma unroll
    for (int i = 0; i < 2 * S::TILES; i++)
        rows[i / 2][i % 2] = attention_terms_of(p, at.row, at.head)[query + 8 * i + lane / 4];
    copies.wait<1>();
    __syncthreads();
    attention_left<S, S::KEEP> q, dout;
    q.begin(&shared.q[warp_row]);
    dout.begin(&shared.dout[warp_row]);
    typename S::sums dq = {};
    for (int key = 0, buffer = 0; key < end; key += S::OTHER, buffer ^= 1) {
        copies.wait<0>();
        __syncthreads(); /* this tile is there, and nobody reads the one before it */
        if (key + S::OTHER < end)
            attention_copy_keys<S>(copies, shared.k[buffer ^ 1], shared.v[buffer ^ 1], keys,
                                   key + S::OTHER, p);
#pragma unroll 1
        for (int chunk = 0; chunk < S::OTHER && key + chunk < warp_end; chunk += S::CHUNK) {
            typename S::weights weights;
            attention_grade_keys<S>(weights, q, dout, &shared.k[buffer][chunk],
                                    &shared.v[buffer][chunk], rows, query, key + chunk, p);
            attention_add_weighted<S>(dq, weights, &shared.k[buffer][chunk]);
        }
    }
    attention_scale<S>(dq, p.scale);
    attention_store<S>(&shared.q[warp_row], dq, attention_packed(p, p.to, at.row, at.head), query,
                       p);
}

template <class S> static void attention_run_queries(struct tdbg_gpu *gpu, attention_call p)
{
    const unsigned grid = attention_grid<S>(&p, p.heads);
    TDBG_LAUNCH_DYNAMIC(gpu, (attention_backward_queries<S>), grid, S::THREADS,
                        sizeof(attention_queries_shared<S>), p);
}

/* ---- keys and values ---- */

template <class S> struct attention_keys_shared {
    alignas(16) typename S::row k[S::OWN], v[S::OWN];
    alignas(16) typename S::row q[2][S::OTHER], dout[2][S::OTHER];
    alignas(16) attention_terms terms[2][S::OTHER];
};

/* Tiles of queries in the order of their sum: head by head of the group, from the first query that
 * sees a key of the block. */
struct attention_queries {
    int row, head, query, begin;
};

template <class S>
static __device__ __forceinline__ void
attention_copy_queries(tdbg_gpu_copies &copies, attention_keys_shared<S> &shared, int buffer,
                       const attention_queries &at, const attention_call &p)
{
    attention_copy<S>(copies, shared.q[buffer], attention_packed(p, p.qkv, at.row, at.head),
                      at.query, p);
    attention_copy<S>(copies, shared.dout[buffer],
                      attention_head_of(p, p.dout, at.row, at.head, p.heads), at.query, p);
    const int pair = (int)threadIdx.x * 2;
    if (pair < S::OTHER)
        copies.start(&shared.terms[buffer][pair],
                     attention_terms_of(p, at.row, at.head) + at.query + pair, true);
    copies.close_group();
}

/* weights = p of own keys and the queries from `query` on, whose terms are `terms`; graded = ds. */
template <class S>
static __device__ __forceinline__ void
attention_grade_queries(typename S::weights &weights, typename S::weights &graded,
                        const attention_left<S, S::KEEP> &k, const attention_left<S, S::KEEP> &v,
                        const typename S::row *q, const typename S::row *dout,
                        const attention_terms *terms, int key, int query, const attention_call &p)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
    typename S::scores scores, grades;
    attention_multiply<S>(scores, k, q);
    attention_multiply<S>(grades, v, dout);
    attention_mask_queries<S>(scores, key, query, p);
#pragma unroll
    for (int j = 0; j < S::CHUNK / 8; j++) {
        const float4 four = *(const float4 *)&terms[8 * j + lane % 4 * 2];
        const attention_terms of_column[2] = {{four.x, four.y}, {four.z, four.w}};
#pragma unroll
        for (int i = 0; i < S::TILES; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                attention_grade(scores[i][j][e], grades[i][j][e], of_column[e % 2], p.log2_scale);
    }
    attention_pack<S>(weights, scores);
    attention_pack<S>(graded, grades);
}

template <class S>
static __global__ void __launch_bounds__(S::THREADS, S::RESIDENT)
    attention_backward_keys(const __grid_constant__ struct attention_call p)
{
    TDBG_SHARED_DYNAMIC(attention_keys_shared<S>, shared);
    const attention_item at = attention_item_of(p, p.kv_heads);
    const int first = at.block * S::OWN, end_head = (at.head + 1) * p.group;
    const int warp_row = (int)threadIdx.x / TDBG_GPU_WARP * S::WARP_ROWS, key = first + warp_row;
    const int of_k = p.heads + at.head, of_v = of_k + p.kv_heads;
    const int begin = p.causal ? first / S::OTHER * S::OTHER : 0;
    attention_queries next = {at.row, at.head * p.group, begin, begin};
    tdbg_gpu_copies copies;
    attention_copy<S>(copies, shared.k, attention_packed(p, p.qkv, at.row, of_k), first, p);
    attention_copy<S>(copies, shared.v, attention_packed(p, p.qkv, at.row, of_v), first, p);
    copies.close_group();
    attention_copy_queries<S>(copies, shared, 0, next, p);
    copies.wait<1>();
    __syncthreads();
    attention_left<S, S::KEEP> k, v;
    k.begin(&shared.k[warp_row]);
    v.begin(&shared.v[warp_row]);
    typename S::sums dk = {}, dv = {};
    for (int buffer = 0; next.head < end_head; buffer ^= 1) {
        const int query = next.query;
        copies.wait<0>();
        __syncthreads(); /* this tile is there, and nobody reads the one before it */
        next.query += S::OTHER;
        if (next.query >= p.tokens) {
            next.query = begin;
            next.head++;
        }
        if (next.head < end_head)
            attention_copy_queries<S>(copies, shared, buffer ^ 1, next, p);
#pragma unroll 1
        for (int chunk = 0; chunk < S::OTHER; chunk += S::CHUNK) {
            if (p.causal && query + chunk + S::CHUNK <= key)
                continue; /* before all of the warp's keys */
            typename S::weights weights, graded;
            attention_grade_queries<S>(weights, graded, k, v, &shared.q[buffer][chunk],
                                       &shared.dout[buffer][chunk], &shared.terms[buffer][chunk],
                                       key, query + chunk, p);
            attention_add_weighted<S>(dv, weights, &shared.dout[buffer][chunk]);
            attention_add_weighted<S>(dk, graded, &shared.q[buffer][chunk]);
        }
    }
    attention_scale<S>(dk, p.scale);
    attention_store<S>(&shared.k[warp_row], dk, attention_packed(p, p.to, at.row, of_k), key, p);
    attention_store<S>(&shared.v[warp_row], dv, attention_packed(p, p.to, at.row, of_v), key, p);
}

template <class S> static void attention_run_keys(struct tdbg_gpu *gpu, attention_call p)
{
    const unsigned grid = attention_grid<S>(&p, p.kv_heads);
    TDBG_LAUNCH_DYNAMIC(gpu, (attention_backward_keys<S>), grid, S::THREADS,
                        sizeof(attention_keys_shared<S>), p);
}

#endif
