/* Fused attention: which shape of block each pass takes, and its launches. Definition:
 * attention_fused.h; kernels: attention_forward.cuh, attention_backward.cuh. */
#include "kernels/attention_backward.cuh"
#include "kernels/attention_forward.cuh"
extern "C" {
#include "kernels/attention_fused.h"
}

enum { MOST_DIM = 128 };

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
    typedef attention_shape<64, 4, 2, 64, 32, false, 2> keys;
};

template <> struct shapes<128> {
    typedef attention_shape<128, 8, 1, 64, 64, true, 1> forward;
    typedef attention_shape<128, 4, 1, 64, 32, true, 2> queries;
    typedef attention_shape<128, 4, 1, 64, 32, false, 2> keys;
};

/* Tokens, columns and blocks are counted in ints; a block has 16 tokens of a head at least. */
extern "C" bool tdbg_cuda_attention_fused_takes(const struct tdbg_attention *a)
{
    const int64_t most = INT32_MAX, heads = a->heads + 2 * a->kv_heads;
    return a->dim > 0 && a->dim % 8 == 0 && a->dim <= MOST_DIM && a->scale > 0 &&
           a->scale <= 3.4028235e38f && !a->lengths && a->tokens > 0 && a->tokens <= most / 4 &&
           heads <= most / a->dim && a->rows <= most / heads / (a->tokens / 16 + 8);
}

template <int DIM> static size_t shared_bytes()
{
    const size_t forward = sizeof(attention_forward_shared<typename shapes<DIM>::forward>);
    const size_t queries = sizeof(attention_queries_shared<typename shapes<DIM>::queries>);
    const size_t keys = sizeof(attention_keys_shared<typename shapes<DIM>::keys>);
    const size_t more = queries > keys ? queries : keys;
    return forward > more ? forward : more;
}

extern "C" size_t tdbg_cuda_attention_fused_shared_bytes(const struct tdbg_attention *a)
{
    if (a->dim <= 32)
        return shared_bytes<32>();
    return a->dim <= 64 ? shared_bytes<64>() : shared_bytes<128>();
}

template <int DIM> static void run_forward(struct tdbg_gpu *gpu, const attention_call &p)
{
    attention_run_forward<typename shapes<DIM>::forward>(gpu, p);
}

template <int DIM>
static void run_backward(struct tdbg_gpu *gpu, attention_call p, const uint16_t *out,
                         uint16_t *dqkv)
{
    p.to = (uint16_t *)out;
    attention_run_terms<DIM>(gpu, p);
    p.to = dqkv;
    attention_run_queries<typename shapes<DIM>::queries>(gpu, p);
    attention_run_keys<typename shapes<DIM>::keys>(gpu, p);
}

extern "C" void tdbg_cuda_attention_fused_forward(void *gpu, const struct tdbg_attention *a,
                                                  const uint16_t *qkv, uint16_t *out, float *lse)
{
    struct tdbg_gpu *const g = (struct tdbg_gpu *)gpu;
    attention_call p = attention_call_of(a);
    p.qkv = qkv;
    p.to = out;
    p.lse = lse;
    if (a->dim <= 32)
        run_forward<32>(g, p);
    else if (a->dim <= 64)
        run_forward<64>(g, p);
    else
        run_forward<128>(g, p);
}

extern "C" size_t tdbg_cuda_attention_fused_workspace_bytes(const struct tdbg_attention *a)
{
    return (size_t)(a->rows * a->heads * attention_padded_tokens(a)) * sizeof(attention_terms);
}

extern "C" void tdbg_cuda_attention_fused_backward(void *gpu, const struct tdbg_attention *a,
                                                   const uint16_t *qkv, const uint16_t *out,
                                                   const float *lse, const uint16_t *dout,
                                                   uint16_t *dqkv, void *workspace)
{
    struct tdbg_gpu *const g = (struct tdbg_gpu *)gpu;
    attention_call p = attention_call_of(a);
    p.qkv = qkv;
    p.dout = dout;
    p.lse = (float *)lse;
    p.terms = (attention_terms *)workspace;
    if (a->dim <= 32)
        run_backward<32>(g, p, out, dqkv);
    else if (a->dim <= 64)
        run_backward<64>(g, p, out, dqkv);
    else
        run_backward<128>(g, p, out, dqkv);
}
