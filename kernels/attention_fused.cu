/* Fused attention: which shape of block each pass takes, and its launches. Definition:
 * attention_fused.h; kernels: attention_forward.cuh, attention_backward.cuh. */
#include "kernels/attention_backward.cuh"
#include "kernels/attention_forward.cuh"
extern "C" {
#include "kernels/attention_fused.h"
}

/* TERM_TOKENS: tokens of a head in the workspace are a multiple of it; tiles do not go beyond. */
enum { MOST_DIM = 128, TERM_TOKENS = 128 };

/* By DIM: columns, warps, 16-row tiles of a warp, other rows, of which scores are held at a time,
 * whether fragments stay in registers, blocks on a multiprocessor. */
template <int DIM> struct shapes;

template <> struct shapes<32> {
    typedef attention_shape<32, 4, 2, 64, 64, true, 2> forward;
    typedef attention_shape<32, 4, 2, 64, 32, true, 2> queries;
    typedef attention_shape<32, 4, 2, 64, 32, true, 2> keys;
};

template <> struct shapes<64> {
    typedef attention_shape<64, 4, 2, 64, 64, true, 2> forward;
    typedef attention_shape<64, 4, 2, 64, 32, true, 2> queries;
    typedef attention_shape<64, 8, 1, 64, 32, true, 1> keys;
};

template <> struct shapes<128> {
    typedef attention_shape<128, 8, 1, 64, 64, true, 1> forward;
    typedef attention_shape<128, 4, 1, 64, 32, true, 2> queries;
    typedef attention_shape<128, 4, 1, 64, 32, false, 2> keys;
};

static int64_t padded_tokens(const struct tdbg_attention *a)
{
    return (a->tokens + TERM_TOKENS - 1) / TERM_TOKENS * TERM_TOKENS;
}

/* A block of the least shape has 64 rows, a head one block at least; numbers of tokens are ints. */
extern "C" bool tdbg_cuda_attention_fused_takes(const struct tdbg_attention *a)
{
    const int64_t most = INT32_MAX, heads = a->heads + 2 * a->kv_heads;
    return a->dim > 0 && a->dim % 8 == 0 && a->dim <= MOST_DIM && a->scale > 0 &&
           a->scale <= 3.4028235e38f && !a->lengths && a->tokens > 0 && a->tokens <= most / 4 &&
           heads <= most / (a->dim * a->tokens) && a->rows * heads <= most / (a->tokens / 64 + 1);
}

static struct attention_call make_call(const struct tdbg_attention *a, const uint16_t *qkv)
{
    struct attention_call p = {};
    p.tokens = (int)a->tokens;
    p.heads = (int)a->heads;
    p.kv_heads = (int)a->kv_heads;
    p.group = (int)(a->heads / a->kv_heads);
    p.dim = (int)a->dim;
    p.causal = a->causal;
    p.scale = a->scale;
    p.log2_scale = a->scale * ATTENTION_LOG2_E;
    p.padded_tokens = (int)padded_tokens(a);
    p.qkv = qkv;
    return p;
}

/* heads: that own rows. */
#define RUN(gpu, kernel, S, shared, a, heads, p)                                                   \
    do {                                                                                           \
        p.blocks = (p.tokens + S::OWN - 1) / S::OWN;                                               \
        TDBG_LAUNCH_DYNAMIC((struct tdbg_gpu *)gpu, (kernel<S>),                                   \
                            (unsigned)((a)->rows * (heads)*p.blocks), S::THREADS,                  \
                            sizeof(shared<S>), p);                                                 \
    } while (0)

template <int DIM>
static void run_forward(void *gpu, const struct tdbg_attention *a, struct attention_call p)
{
    typedef typename shapes<DIM>::forward S;
    RUN(gpu, attention_forward, S, attention_forward_shared, a, a->heads, p);
}

template <int DIM>
static void run_backward(void *gpu, const struct tdbg_attention *a, struct attention_call p,
                         const uint16_t *out, uint16_t *dqkv)
{
    enum { LANES = DIM / 8 };
    const int64_t n = a->rows * a->heads * p.padded_tokens;
    p.to = (uint16_t *)out;
    TDBG_LAUNCH((struct tdbg_gpu *)gpu, (attention_find_terms<LANES>),
                tdbg_gpu_blocks(n, ATTENTION_TERM_THREADS / LANES), ATTENTION_TERM_THREADS, p, n);
    p.to = dqkv;
    typedef typename shapes<DIM>::queries queries;
    RUN(gpu, attention_backward_queries, queries, attention_queries_shared, a, a->heads, p);
    typedef typename shapes<DIM>::keys keys;
    RUN(gpu, attention_backward_keys, keys, attention_keys_shared, a, a->kv_heads, p);
}

extern "C" void tdbg_cuda_attention_fused_forward(void *gpu, const struct tdbg_attention *a,
                                                  const uint16_t *qkv, uint16_t *out, float *lse)
{
    struct attention_call p = make_call(a, qkv);
    p.to = out;
    p.lse = lse;
    if (a->dim <= 32)
        run_forward<32>(gpu, a, p);
    else if (a->dim <= 64)
        run_forward<64>(gpu, a, p);
    else
        run_forward<128>(gpu, a, p);
}

extern "C" size_t tdbg_cuda_attention_fused_workspace_bytes(const struct tdbg_attention *a)
{
    return (size_t)(a->rows * a->heads * padded_tokens(a)) * sizeof(struct attention_terms);
}

extern "C" void tdbg_cuda_attention_fused_backward(void *gpu, const struct tdbg_attention *a,
                                                   const uint16_t *qkv, const uint16_t *out,
                                                   const float *lse, const uint16_t *dout,
                                                   uint16_t *dqkv, void *workspace)
{
    struct attention_call p = make_call(a, qkv);
    p.dout = dout;
    p.lse = (float *)lse;
    p.terms = (struct attention_terms *)workspace;
    if (a->dim <= 32)
        run_backward<32>(gpu, a, p, out, dqkv);
    else if (a->dim <= 64)
        run_backward<64>(gpu, a, p, out, dqkv);
    else
        run_backward<128>(gpu, a, p, out, dqkv);
}
