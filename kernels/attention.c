/* The products of attention: which part of which tensor each one reads and writes, and how they are
 * spread over the threads. Definitions: attention.h. The softmax is in attention_cpu.c. */
#include "kernels/attention.h"

#include <string.h>

#include "kernels/gemm.h"
#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"

/* Heads of a packed tensor: element d of head h at a token is x[sample * i + token * t + h dim +
 * d].
 */
struct packed {
    float *x;
    int64_t sample, token;
};

/* The three products, w (tokens, tokens) being scores, probabilities or their gradients:
 *     WEIGH    w_ij = left_i . right_j
 *     GATHER   out_i = sum_j w_ij right_j
 *     SCATTER  out_j = sum over the group's heads and i of w_ij left_i
 * left and the out of GATHER have one head per query head, the others one per key head. */
enum product { WEIGH, GATHER, SCATTER, PRODUCTS };

struct job {
    const struct tdbg_attention *a;
    const struct tdbg_isa_table *table;
    struct tdbg_cpu cpu; /* of one product: one thread */
    enum product product;
    float scale;
    float *w;
    struct packed left, right, out;
    int64_t items, next; /* one item: a sample, a head and a block; next: the first not taken */
    char *workspace;
    size_t part_bytes;
};

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t blocks_of(const struct tdbg_attention *a)
{
    return (a->tokens + TDBG_ATTENTION_BLOCK - 1) / TDBG_ATTENTION_BLOCK;
}

/* The product of one block and head without its addresses. */
static struct tdbg_gemm shape_product(const struct job *job, int64_t block)
{
    const struct tdbg_attention *a = job->a;
    const int64_t begin = block * TDBG_ATTENTION_BLOCK;
    const int64_t end = min_i64(begin + TDBG_ATTENTION_BLOCK, a->tokens), count = end - begin;
    const int64_t keys = a->causal ? end : a->tokens;
    const int64_t queries = a->causal ? a->tokens - begin : a->tokens;
    switch (job->product) {
    case WEIGH:
        return (struct tdbg_gemm){.m = count,
                                  .n = keys,
                                  .k = a->dim,
                                  .lda = job->left.token,
                                  .ldb = job->right.token,
                                  .trans_b = true,
                                  .ldc = a->tokens};
    case GATHER:
        return (struct tdbg_gemm){.m = count,
                                  .n = a->dim,
                                  .k = keys,
                                  .lda = a->tokens,
                                  .ldb = job->right.token,
                                  .ldc = job->out.token};
    default:
        return (struct tdbg_gemm){.m = count,
                                  .n = a->dim,
                                  .k = queries,
                                  .lda = a->tokens,
                                  .trans_a = true,
                                  .ldb = job->left.token,
                                  .ldc = job->out.token};
    }
}

/* Scratch bytes of one thread: for the products, with the sum of a group's heads behind it. */
static size_t part_bytes(const struct job *job)
{
    size_t most = 0;
    for (int64_t block = 0; block < blocks_of(job->a); block++) {
        const struct tdbg_gemm product = shape_product(job, block);
        const size_t bytes = tdbg_gemm_workspace_bytes(&job->cpu, &product);
        most = bytes > most ? bytes : most;
    }
    most = (most + 63) / 64 * 64;
    if (job->product == SCATTER && job->a->heads > job->a->kv_heads)
        most += (size_t)(TDBG_ATTENTION_BLOCK * job->a->dim) * sizeof(float);
    return (most + 63) / 64 * 64;
}

static const float *at(const struct packed *p, int64_t sample, int64_t token, int64_t head,
                       int64_t dim)
{
    return p->x + sample * p->sample + token * p->token + head * dim;
}

static float *out_at(const struct packed *p, int64_t sample, int64_t token, int64_t head,
                     int64_t dim)
{
    return p->x + sample * p->sample + token * p->token + head * dim;
}

/* WEIGH or GATHER of one block of queries of one head. */
static void run_queries(const struct job *job, int64_t item, void *space)
{
    const struct tdbg_attention *a = job->a;
    const int64_t block = item % blocks_of(a), head = item / blocks_of(a) % a->heads;
    const int64_t sample = item / blocks_of(a) / a->heads, begin = block * TDBG_ATTENTION_BLOCK;
    const int64_t kv_head = head / (a->heads / a->kv_heads);
    struct tdbg_gemm g = shape_product(job, block);
    float *w = job->w + ((sample * a->heads + head) * a->tokens + begin) * a->tokens;
    g.b = at(&job->right, sample, 0, kv_head, a->dim);
    if (job->product == WEIGH) {
        g.a = at(&job->left, sample, begin, head, a->dim);
        g.c = w;
        tdbg_gemm_run(&job->cpu, &g, space);
        job->table->attention_finish(g.m, a->causal ? begin + 1 : g.n, g.n, a->tokens, job->scale,
                                     g.ldc, g.c);
    } else {
        g.a = w;
        g.c = out_at(&job->out, sample, begin, head, a->dim);
        tdbg_gemm_run(&job->cpu, &g, space);
        job->table->attention_finish(g.m, g.n, g.n, g.n, job->scale, g.ldc, g.c);
    }
}

/* SCATTER of one block of keys of one key head. */
static void run_keys(const struct job *job, int64_t item, void *space)
{
    const struct tdbg_attention *a = job->a;
    const int64_t block = item % blocks_of(a), kv_head = item / blocks_of(a) % a->kv_heads;
    const int64_t sample = item / blocks_of(a) / a->kv_heads, begin = block * TDBG_ATTENTION_BLOCK;
    const int64_t group = a->heads / a->kv_heads, first = a->causal ? begin : 0;
    struct tdbg_gemm g = shape_product(job, block);
    float *out = out_at(&job->out, sample, begin, kv_head, a->dim);
    float *sum = group > 1 ? (float *)space : NULL;
    if (group > 1)
        space = (char *)space + (size_t)(TDBG_ATTENTION_BLOCK * a->dim) * sizeof(float);
    for (int64_t i = 0; i < group; i++) {
        const int64_t head = kv_head * group + i;
        g.a = job->w + ((sample * a->heads + head) * a->tokens + first) * a->tokens + begin;
        g.b = at(&job->left, sample, first, head, a->dim);
        g.c = i == 0 ? out : sum;
        g.ldc = i == 0 ? job->out.token : a->dim;
        tdbg_gemm_run(&job->cpu, &g, space);
        for (int64_t t = 0; i > 0 && t < g.m; t++)
            job->table->vector_add(a->dim, out + t * job->out.token, sum + t * a->dim);
    }
    job->table->attention_finish(g.m, g.n, g.n, g.n, job->scale, job->out.token, out);
}

/* Items are taken one by one, because under a causal mask they differ in size. */
static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    struct job *job = ctx;
    for (int64_t part = lo; part < hi; part++) {
        void *space = job->workspace ? job->workspace + (size_t)part * job->part_bytes : NULL;
        for (;;) {
            int64_t item = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
            if (item >= job->items)
                break;
            if (job->product == SCATTER)
                run_keys(job, item, space);
            else
                run_queries(job, item, space);
        }
    }
}

static struct job make_job(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                           enum product product)
{
    struct job job = {.a = a, .table = cpu->table, .cpu = *cpu, .product = product, .scale = 1};
    job.cpu.threads = 1;
    job.items = a->rows * blocks_of(a) * (product == SCATTER ? a->kv_heads : a->heads);
    return job;
}

static void run(const struct tdbg_cpu *cpu, struct job *job, void *workspace)
{
    job->workspace = workspace;
    job->part_bytes = part_bytes(job);
    tdbg_parallel_for(cpu->threads, min_i64(cpu->threads, job->items), 1, run_parts, job);
}

/* The parts of a packed tensor, and the context. The caller's const comes back where the job only
 * reads. */
static struct packed part_of(const struct tdbg_attention *a, const float *qkv, int64_t first_head)
{
    const int64_t width = (a->heads + 2 * a->kv_heads) * a->dim;
    return (struct packed){(float *)(uintptr_t)qkv + first_head * a->dim, a->tokens * width, width};
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
    return (struct packed){(float *)(uintptr_t)context, a->tokens * width, width};
}

size_t tdbg_attention_workspace_bytes(const struct tdbg_cpu *cpu, const struct tdbg_attention *a)
{
    size_t most = 0;
    for (int product = 0; product < PRODUCTS; product++) {
        struct job job = make_job(cpu, a, (enum product)product);
        /* both uses of a product: they differ in their strides alone */
        for (int use = 0; use < 2; use++) {
            job.left = use ? context_of(a, NULL) : queries(a, NULL);
            job.right = keys(a, NULL);
            job.out = use ? context_of(a, NULL) : keys(a, NULL);
            const size_t bytes = part_bytes(&job) * (size_t)min_i64(cpu->threads, job.items);
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}

void tdbg_attention_scores(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                           const float *qkv, float *scores, void *workspace)
{
    struct job job = make_job(cpu, a, WEIGH);
    job.scale = a->scale;
    job.left = queries(a, qkv);
    job.right = keys(a, qkv);
    job.w = scores;
    run(cpu, &job, workspace);
}

struct zero_job {
    const struct tdbg_attention *a;
    int64_t first, count;
    float *qkv;
};

static void zero_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct zero_job *job = ctx;
    const int64_t width = (job->a->heads + 2 * job->a->kv_heads) * job->a->dim;
    for (int64_t t = lo; t < hi; t++)
        memset(job->qkv + t * width + job->first * job->a->dim, 0,
               (size_t)(job->count * job->a->dim) * sizeof(float));
}

/* +0 into `count` heads of every token, from head `first` on. */
static void zero_heads(const struct tdbg_cpu *cpu, const struct tdbg_attention *a, int64_t first,
                       int64_t count, float *qkv)
{
    struct zero_job job = {a, first, count, qkv};
    const int64_t grain = TDBG_GRAIN_ELEMS / (count * a->dim);
    tdbg_parallel_for(cpu->threads, a->rows * a->tokens, grain < 1 ? 1 : grain, zero_range, &job);
}

void tdbg_attention_scores_backward(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                                    const float *qkv, const float *dscores, float *dqkv,
                                    void *workspace)
{
    struct job dq = make_job(cpu, a, GATHER), dk = make_job(cpu, a, SCATTER);
    dq.scale = dk.scale = a->scale;
    dq.w = dk.w = (float *)(uintptr_t)dscores;
    dq.right = keys(a, qkv);
    dq.out = queries(a, dqkv);
    dk.left = queries(a, qkv);
    dk.out = keys(a, dqkv);
    run(cpu, &dq, workspace);
    run(cpu, &dk, workspace);
    zero_heads(cpu, a, a->heads + a->kv_heads, a->kv_heads, dqkv);
}

void tdbg_attention_context(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                            const float *probs, const float *qkv, float *context, void *workspace)
{
    struct job job = make_job(cpu, a, GATHER);
    job.w = (float *)(uintptr_t)probs;
    job.right = values(a, qkv);
    job.out = context_of(a, context);
    run(cpu, &job, workspace);
}

void tdbg_attention_context_backward(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                                     const float *probs, const float *qkv, const float *dcontext,
                                     float *dprobs, float *dqkv, void *workspace)
{
    if (dprobs) {
        struct job dp = make_job(cpu, a, WEIGH);
        dp.left = context_of(a, dcontext);
        dp.right = values(a, qkv);
        dp.w = dprobs;
        run(cpu, &dp, workspace);
    }
    if (dqkv) {
        struct job dv = make_job(cpu, a, SCATTER);
        dv.w = (float *)(uintptr_t)probs;
        dv.left = context_of(a, dcontext);
        dv.out = values(a, dqkv);
        run(cpu, &dv, workspace);
        zero_heads(cpu, a, 0, a->heads + a->kv_heads, dqkv);
    }
}
