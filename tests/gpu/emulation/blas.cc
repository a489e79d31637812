/* In place of cuBLAS (kernels/blas.h) on an emulated GPU: the strict kernels, so that what the
 * engine does with engine.math = "fast" runs everywhere. Tensors that are bf16 in memory are
 * widened before a product and rounded after it, as cuBLAS does with tensor cores. */
#include "kernels/gpu.h"
extern "C" {
#include "kernels/bf16.h"
#include "kernels/bf16_entries.h"
#include "kernels/blas.h"
}

struct tdbg_blas {
    int version;
};

static struct tdbg_blas plain = {1};

extern "C" enum tdbg_status tdbg_blas_open(struct tdbg_gpu *gpu, struct tdbg_err *)
{
    gpu->blas = &plain;
    gpu->close_blas = [](struct tdbg_blas *) {};
    return TDBG_OK;
}

extern "C" int tdbg_blas_version(const struct tdbg_blas *blas)
{
    return blas->version;
}

/* Memory of a call; the emulated GPU has done with it when a call returns. */
class block
{
  public:
    block(struct tdbg_gpu *on, size_t bytes) : gpu(on)
    {
        tdbg_gpu_note(gpu, cudaMalloc(&data, bytes + 64), "blas.cc");
    }
    ~block()
    {
        tdbg_gpu_before_work(gpu);
        cudaFree(data);
    }
    float *floats() const
    {
        return (float *)data;
    }

  private:
    struct tdbg_gpu *gpu;
    void *data = nullptr;
};

/* n elements of bf16 as f32. */
class widened
{
  public:
    widened(struct tdbg_gpu *on, const float *bf16, int64_t n)
        : gpu(on), to((uint16_t *)(uintptr_t)bf16), elems(n), memory(on, (size_t)n * sizeof(float))
    {
        if (bf16)
            tdbg_cuda_bf16_unpack(gpu, elems, to, memory.floats());
    }
    float *floats() const
    {
        return to ? memory.floats() : nullptr;
    }
    void store() const
    {
        if (to)
            tdbg_cuda_bf16_pack(gpu, elems, memory.floats(), to);
    }

  private:
    struct tdbg_gpu *gpu;
    uint16_t *to;
    int64_t elems;
    block memory;
};

extern "C" size_t tdbg_blas_gemm_workspace_bytes(void *gpu, const struct tdbg_gemm *gemm)
{
    return tdbg_cuda_gemm_workspace_bytes(gpu, gemm);
}

extern "C" void tdbg_blas_gemm(void *gpu, const struct tdbg_gemm *gemm, void *workspace)
{
    tdbg_cuda_gemm(gpu, gemm, workspace);
}

extern "C" void tdbg_blas_bf16_gemm(void *context, const struct tdbg_gemm *g, void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const int64_t rows_a = g->trans_a ? g->k : g->m, rows_b = g->trans_b ? g->n : g->k;
    const widened a(gpu, g->a, rows_a * g->lda), b(gpu, g->b, rows_b * g->ldb);
    const widened bias(gpu, g->bias, g->n), c(gpu, g->is_gradient ? NULL : g->c, g->m * g->ldc);
    struct tdbg_gemm wide = *g;
    wide.a = a.floats();
    wide.b = b.floats();
    wide.bias = bias.floats();
    if (!g->is_gradient)
        wide.c = c.floats();
    tdbg_cuda_gemm(gpu, &wide, workspace);
    c.store();
}

extern "C" size_t tdbg_blas_attention_workspace_bytes(void *gpu, const struct tdbg_attention *a)
{
    return tdbg_cuda_attention_workspace_bytes(gpu, a);
}

extern "C" void tdbg_blas_attention_scores(void *gpu, const struct tdbg_attention *a,
                                           const float *qkv, float *scores, void *workspace)
{
    tdbg_cuda_attention_scores(gpu, a, qkv, scores, workspace);
}

extern "C" void tdbg_blas_attention_scores_backward(void *gpu, const struct tdbg_attention *a,
                                                    const float *qkv, const float *dscores,
                                                    float *dqkv, void *workspace)
{
    tdbg_cuda_attention_scores_backward(gpu, a, qkv, dscores, dqkv, workspace);
}

extern "C" void tdbg_blas_attention_context(void *gpu, const struct tdbg_attention *a,
                                            const float *probs, const float *qkv, float *context,
                                            void *workspace)
{
    tdbg_cuda_attention_context(gpu, a, probs, qkv, context, workspace);
}

extern "C" void tdbg_blas_attention_context_backward(void *gpu, const struct tdbg_attention *a,
                                                     const float *probs, const float *qkv,
                                                     const float *dcontext, float *dprobs,
                                                     float *dqkv, void *workspace)
{
    tdbg_cuda_attention_context_backward(gpu, a, probs, qkv, dcontext, dprobs, dqkv, workspace);
}

static int64_t qkv_elems(const struct tdbg_attention *a)
{
    return a->rows * a->tokens * (a->heads + 2 * a->kv_heads) * a->dim;
}

static int64_t square_elems(const struct tdbg_attention *a)
{
    return a->rows * a->heads * a->tokens * a->tokens;
}

static int64_t context_elems(const struct tdbg_attention *a)
{
    return a->rows * a->tokens * a->heads * a->dim;
}

extern "C" void tdbg_blas_bf16_attention_scores(void *context, const struct tdbg_attention *a,
                                                const float *qkv, float *scores, void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const widened in(gpu, qkv, qkv_elems(a)), out(gpu, scores, square_elems(a));
    tdbg_cuda_attention_scores(gpu, a, in.floats(), out.floats(), workspace);
    out.store();
}

extern "C" void tdbg_blas_bf16_attention_scores_backward(void *context,
                                                         const struct tdbg_attention *a,
                                                         const float *qkv, const float *dscores,
                                                         float *dqkv, void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const widened in(gpu, qkv, qkv_elems(a)), d(gpu, dscores, square_elems(a));
    const widened out(gpu, dqkv, qkv_elems(a));
    tdbg_cuda_attention_scores_backward(gpu, a, in.floats(), d.floats(), out.floats(), workspace);
    out.store();
}

extern "C" void tdbg_blas_bf16_attention_context(void *context, const struct tdbg_attention *a,
                                                 const float *probs, const float *qkv, float *to,
                                                 void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const widened p(gpu, probs, square_elems(a)), in(gpu, qkv, qkv_elems(a));
    const widened out(gpu, to, context_elems(a));
    tdbg_cuda_attention_context(gpu, a, p.floats(), in.floats(), out.floats(), workspace);
    out.store();
}

extern "C" void tdbg_blas_bf16_attention_context_backward(void *context,
                                                          const struct tdbg_attention *a,
                                                          const float *probs, const float *qkv,
                                                          const float *dcontext, float *dprobs,
                                                          float *dqkv, void *workspace)
{
    struct tdbg_gpu *gpu = (struct tdbg_gpu *)context;
    const widened p(gpu, probs, square_elems(a)), in(gpu, qkv, qkv_elems(a));
    const widened d(gpu, dcontext, context_elems(a)), dp(gpu, dprobs, square_elems(a));
    const widened out(gpu, dqkv, qkv_elems(a));
    tdbg_cuda_attention_context_backward(gpu, a, p.floats(), in.floats(), d.floats(), dp.floats(),
                                         out.floats(), workspace);
    dp.store();
    out.store();
}
