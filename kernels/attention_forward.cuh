/* Fused attention forward: a block has some queries of a head and goes over the keys that they see.
 * For .cu files; shapes are chosen in attention_fused.cu, definition: attention_fused.h.
 *
 * Online softmax (Milakov and Gimelshein, 2018; FlashAttention-2, Dao, 2023, algorithm 1): with
 * every tile of keys the largest score so far may grow, and what was summed before is scaled down
 * to it. */
#ifndef TDBG_KERNELS_ATTENTION_FORWARD_CUH
#define TDBG_KERNELS_ATTENTION_FORWARD_CUH

#include "kernels/attention_tile.cuh"

template <class S> struct attention_forward_shared {
    alignas(16) typename S::row q[S::OWN];
    alignas(16) typename S::row k[2][S::OTHER], v[2][S::OTHER];
};

/* Of each row of a lane. `sum` is of the lane's own columns. */
template <class S> struct attention_softmax {
    float max[S::TILES][2], sum[S::TILES][2];
};

/* Over the four lanes that share a row. */
static __device__ __forceinline__ float attention_row_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(TDBG_GPU_ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(TDBG_GPU_ALL_LANES, x, 2));
}

static __device__ __forceinline__ float attention_row_sum(float x)
{
    x += __shfl_xor_sync(TDBG_GPU_ALL_LANES, x, 1);
    return x + __shfl_xor_sync(TDBG_GPU_ALL_LANES, x, 2);
}

/* scores = exp(scale * (scores - max)), the sums so far scaled down to the new max. */
template <class S>
static __device__ __forceinline__ void
attention_exponentiate(typename S::scores &scores, attention_softmax<S> &rows,
                       typename S::sums &out, float log2_scale)
{
#pragma unroll
    for (int i = 0; i < S::TILES; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float max = rows.max[i][half];
#pragma unroll
            for (int j = 0; j < S::CHUNK / 8; j++)
                max = fmaxf(max, fmaxf(scores[i][j][2 * half], scores[i][j][2 * half + 1]));
            max = attention_row_max(max);
            const float shift = -max * log2_scale;
            const float factor = tdbg_gpu_exp2(fmaf(rows.max[i][half], log2_scale, shift));
            float sum = rows.sum[i][half] * factor;
#pragma unroll
            for (int j = 0; j < S::CHUNK / 8; j++) {
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    scores[i][j][e] = tdbg_gpu_exp2(fmaf(scores[i][j][e], log2_scale, shift));
                    sum += scores[i][j][e];
                }
            }
#pragma unroll
            for (int j = 0; j < S::DIM / 8; j++) {
                out[i][j][2 * half] *= factor;
                out[i][j][2 * half + 1] *= factor;
            }
            rows.max[i][half] = max;
            rows.sum[i][half] = sum;
        }
    }
}

/* out /= the sums; lse from row `first` of the head on. */
template <class S>
static __device__ __forceinline__ void
attention_finish(typename S::sums &out, const attention_softmax<S> &rows, float *lse, int first,
                 const attention_call &p)
{
    const int lane = (int)threadIdx.x % TDBG_GPU_WARP;
#pragma unroll
    for (int i = 0; i < S::TILES; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = first + 16 * i + 8 * half + lane / 4;
            const float sum = attention_row_sum(rows.sum[i][half]), factor = 1.0f / sum;
            if (lane % 4 == 0 && row < p.tokens)
                lse[row] = fmaf(rows.max[i][half], p.scale, logf(sum));
#pragma unroll
            for (int j = 0; j < S::DIM / 8; j++) {
                out[i][j][2 * half] *= factor;
                out[i][j][2 * half + 1] *= factor;
            }
        }
    }
}

template <class S>
static __global__ void __launch_bounds__(S::THREADS, S::RESIDENT)
    attention_forward(const __grid_constant__ struct attention_call p)
{
    TDBG_SHARED_DYNAMIC(attention_forward_shared<S>, shared);
    const attention_item at = attention_item_of(p, p.heads);
    /* From the last queries on, which see the most keys if causal. */
    const int first = (p.blocks - 1 - at.block) * S::OWN;
    const int warp_row = (int)threadIdx.x / TDBG_GPU_WARP * S::WARP_ROWS, query = first + warp_row;
    const int end = attention_keys_seen(p, first + S::OWN);
    const int warp_end = attention_keys_seen(p, query + S::WARP_ROWS);
    const attention_keys keys = attention_keys_of(p, at.row, at.head);
    tdbg_gpu_copies copies;
    attention_copy<S>(copies, shared.q, attention_packed(p, p.qkv, at.row, at.head), first, p);
    copies.close_group();
    attention_copy_keys<S>(copies, shared.k[0], shared.v[0], keys, 0, p);
    copies.wait<1>();
    __syncthreads();
    attention_left<S, S::KEEP> q;
    q.begin(&shared.q[warp_row]);
    typename S::sums out = {};
    attention_softmax<S> rows;
#pragma unroll
    for (int i = 0; i < 2 * S::TILES; i++) {
        rows.max[i / 2][i % 2] = -INFINITY;
        rows.sum[i / 2][i % 2] = 0;
    }
    for (int key = 0, buffer = 0; key < end; key += S::OTHER, buffer ^= 1) {
        copies.wait<0>();
        __syncthreads(); /* this tile is there, and nobody reads the one before it */
        if (key + S::OTHER < end)
            attention_copy_keys<S>(copies, shared.k[buffer ^ 1], shared.v[buffer ^ 1], keys,
                                   key + S::OTHER, p);
#pragma unroll 1
        for (int chunk = 0; chunk < S::OTHER; chunk += S::CHUNK) {
            if (key + chunk >= warp_end)
                break;
            typename S::scores scores;
            typename S::weights weights;
            attention_multiply<S>(scores, q, &shared.k[buffer][chunk]);
            attention_mask_keys<S>(scores, query, key + chunk, p);
            attention_exponentiate<S>(scores, rows, out, p.log2_scale);
            attention_pack<S>(weights, scores);
            attention_add_weighted<S>(out, weights, &shared.v[buffer][chunk]);
        }
    }
    attention_finish<S>(out, rows, p.lse + ((int64_t)at.row * p.heads + at.head) * p.tokens, query,
                        p);
    attention_store<S>(&shared.q[warp_row], out,
                       attention_head_of(p, p.to, at.row, at.head, p.heads), query, p);
}

template <class S> static void attention_run_forward(struct tdbg_gpu *gpu, attention_call p)
{
    const unsigned grid = attention_grid<S>(&p, p.heads);
    TDBG_LAUNCH_DYNAMIC(gpu, (attention_forward<S>), grid, S::THREADS,
                        sizeof(attention_forward_shared<S>), p);
}

#endif
