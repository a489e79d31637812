/* The products of attention: which part of which tensor each one reads and writes, and how they are
 * spread over the threads. Definitions: attention.h. The softmax is in attention_cpu.c. */
#include "kernels/attention.h"

#include <string.h>

#include "kernels/gemm_isa.h"
#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"

enum { LINE_FLOATS = 16 }; /* 64 bytes: parts of a workspace start at multiples of it */

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
    const struct tdbg_gemm_isa *isa;
    enum product product;
    float scale;
    float *w;
    struct packed left, right, out;
    int64_t chunks;      /* parts that the blocks of a head are cut into */
    int64_t items, next; /* one item: a sample, a head and a chunk; next: the first not taken */
    char *workspace;
    size_t part_bytes;
};

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t round_up(int64_t a, int64_t to)
{
    return (a + to - 1) / to * to;
}

static int64_t blocks_of(const struct tdbg_attention *a)
{
    return (a->tokens + TDBG_ATTENTION_BLOCK - 1) / TDBG_ATTENTION_BLOCK;
}

static int64_t end_of(const struct tdbg_attention *a, int64_t block)
{
    return min_i64((block + 1) * TDBG_ATTENTION_BLOCK, a->tokens);
}

/* Scratch of one thread: the packed operand, and behind it the sum of a group's heads. */
static int64_t packed_elems(const struct job *job)
{
    const struct tdbg_attention *a = job->a;
    const int64_t lanes = job->isa->lanes;
    const int64_t elems = job->product == WEIGH ? a->dim * round_up(a->tokens, lanes)
                                                : a->tokens * round_up(a->dim, lanes);
    return round_up(elems, LINE_FLOATS);
}

static size_t part_bytes(const struct job *job)
{
    int64_t elems = packed_elems(job);
    if (job->product == SCATTER && job->a->heads > job->a->kv_heads)
        elems += TDBG_ATTENTION_BLOCK * job->a->dim;
    return (size_t)round_up(elems, LINE_FLOATS) * sizeof(float);
}

static float *at(const struct packed *p, int64_t sample, int64_t token, int64_t head, int64_t dim)
{
    return p->x + sample * p->sample + token * p->token + head * dim;
}

/* The operand that tiles load as vectors, turned or copied once for all blocks of a chunk: panels
 * of nr columns, each (terms, columns rounded up to whole vectors). */
struct panels {
    const struct job *job;
    int64_t cols, depth; /* columns and terms */
    int64_t first;       /* number of the first term */
    float *x;
};

static int64_t panel_stride(const struct panels *p, int64_t col)
{
    return round_up(min_i64(p->job->isa->nr, p->cols - col), p->job->isa->lanes);
}

static void pack_panels(const struct panels *p, const float *x, int64_t lane_stride,
                        int64_t t_stride)
{
    const struct tdbg_gemm_isa *isa = p->job->isa;
    struct tdbg_gemm_pack pack = {.lane_stride = lane_stride, .t_stride = t_stride};
    pack.k = p->depth;
    for (int64_t col = 0; col < p->cols; col += isa->nr) {
        pack.x = x + col * lane_stride;
        pack.lanes = (int)min_i64(isa->nr, p->cols - col);
        pack.out = p->x + col * p->depth;
        pack.out_stride = panel_stride(p, col);
        isa->pack(&pack);
    }
}

/* One product of a block: rows of s, read where they lie, times the first `cols` columns of the
 * panels, over terms t0..t1-1. */
struct block_product {
    const float *s; /* (row, term t0) */
    int64_t s_i, s_t;
    int64_t rows, cols, t0, t1;
    int64_t seen; /* the first row's last column that counts, a row's one more than the row's
                     before; tiles without one that counts are left out */
    float *c;
    int64_t c_i;
    const float *scale; /* or NULL */
};

/* Rows a multiple of 4 KiB apart share one set of the first-level cache; see gemm.c. */
static int rows_of_tile(const struct tdbg_gemm_isa *isa, const struct block_product *b)
{
    const bool crowded = b->s_t == 1 && b->s_i * (int64_t)sizeof(float) % 4096 == 0;
    return crowded && isa->mr > 8 ? 8 : isa->mr;
}

/* Asks for what the next tile reads of s, `next` being its first row, counted from the block's: in
 * pieces too short for the processor to see them coming. Inline: gcc drops calls of a function that
 * does nothing else. */
static inline __attribute__((always_inline)) void
fetch_rows(const struct block_product *b, const float *s, int64_t next, int rows, int64_t k)
{
    if (b->s_t == 1) {
        for (int i = 0; i < rows; i++, s += b->s_i)
            for (int64_t t = 0; t < k; t += LINE_FLOATS)
                __builtin_prefetch(s + t);
    } else if ((next - 1) / LINE_FLOATS != (next + rows - 1) / LINE_FLOATS) {
        for (int64_t t = 0; t < k; t++, s += b->s_t) /* terms are rows: their next line */
            __builtin_prefetch(s + rows - 1);
    }
}

/* Rows cut into tiles as evenly as possible: the first ones have one row more. */
static void run_rows(const struct tdbg_gemm_isa *isa, const struct block_product *b, int64_t col,
                     struct tdbg_gemm_tile *tile)
{
    const int mr = rows_of_tile(isa, b);
    const int64_t count = (b->rows + mr - 1) / mr, longer = b->rows % count;
    int64_t row = 0;
    for (int64_t i = 0; i < count; i++) {
        tile->rows = (int)(b->rows / count + (i < longer));
        if (col == 0 && i + 1 < count)
            fetch_rows(b, tile->s + tile->rows * b->s_i, row + tile->rows, tile->rows, tile->k);
        for (int r = 0; r < tile->rows; r++) /* the tile itself asks for them where k is large */
            __builtin_prefetch(tile->c + r * tile->c_i, 1, 3);
        if (col <= b->seen + row + tile->rows - 1)
            isa->tile(tile);
        tile->s += tile->rows * tile->s_i;
        tile->c += tile->rows * tile->c_i;
        row += tile->rows;
    }
}

static void run_block_product(const struct panels *p, const struct block_product *b)
{
    const struct tdbg_gemm_isa *isa = p->job->isa;
    struct tdbg_gemm_tile tile = {.s_i = b->s_i, .s_t = b->s_t, .c_i = b->c_i, .scale = b->scale};
    for (int64_t t = b->t0; t < b->t1; t += TDBG_K_SLICE) {
        tile.k = min_i64(TDBG_K_SLICE, b->t1 - t);
        tile.first = t == b->t0;
        tile.last = t + tile.k == b->t1;
        for (int64_t col = 0; col < b->cols; col += isa->nr) {
            tile.cols = (int)min_i64(isa->nr, b->cols - col);
            tile.v_t = panel_stride(p, col);
            tile.v = p->x + col * p->depth + (t - p->first) * tile.v_t;
            tile.s = b->s + (t - b->t0) * b->s_t;
            tile.c = b->c + col;
            run_rows(isa, b, col, &tile);
        }
    }
}

/* What one item is about. */
struct item {
    int64_t sample, head, block0, block1; /* head: of the out of GATHER and w, or of keys */
};

static struct item item_of(const struct job *job, int64_t i)
{
    const int64_t heads = job->product == SCATTER ? job->a->kv_heads : job->a->heads;
    const int64_t chunk = i % job->chunks, blocks = blocks_of(job->a);
    return (struct item){.sample = i / job->chunks / heads,
                         .head = i / job->chunks % heads,
                         .block0 = chunk * blocks / job->chunks,
                         .block1 = (chunk + 1) * blocks / job->chunks};
}

static const float *scale_of(const struct job *job)
{
    return job->scale == 1 ? NULL : &job->scale; /* a product with 1 changes nothing */
}

/* w_ij = left_i . right_j. Causal: what is masked is not computed, and +0. */
static void run_weigh(const struct job *job, const struct item *item, float *space)
{
    const struct tdbg_attention *a = job->a;
    const int64_t kv_head = item->head / (a->heads / a->kv_heads);
    const int64_t keys = a->causal ? end_of(a, item->block1 - 1) : a->tokens;
    const struct panels p = {job, keys, a->dim, 0, space};
    pack_panels(&p, at(&job->right, item->sample, 0, kv_head, a->dim), job->right.token, 1);
    for (int64_t block = item->block0; block < item->block1; block++) {
        const int64_t begin = block * TDBG_ATTENTION_BLOCK, rows = end_of(a, block) - begin;
        float *w =
            job->w + ((item->sample * a->heads + item->head) * a->tokens + begin) * a->tokens;
        run_block_product(&p, &(struct block_product){
                                  .s = at(&job->left, item->sample, begin, item->head, a->dim),
                                  .s_i = job->left.token,
                                  .s_t = 1,
                                  .rows = rows,
                                  .cols = a->causal ? begin + rows : a->tokens,
                                  .t1 = a->dim,
                                  .seen = a->causal ? begin : a->tokens,
                                  .c = w,
                                  .c_i = a->tokens,
                                  .scale = scale_of(job)});
        if (a->causal)
            job->table->attention_finish(rows, begin + 1, a->tokens, a->tokens, 1, a->tokens, w);
    }
}

/* out_i = sum_j w_ij right_j */
static void run_gather(const struct job *job, const struct item *item, float *space)
{
    const struct tdbg_attention *a = job->a;
    const int64_t kv_head = item->head / (a->heads / a->kv_heads);
    const int64_t keys = a->causal ? end_of(a, item->block1 - 1) : a->tokens;
    const struct panels p = {job, a->dim, keys, 0, space};
    pack_panels(&p, at(&job->right, item->sample, 0, kv_head, a->dim), 1, job->right.token);
    for (int64_t block = item->block0; block < item->block1; block++) {
        const int64_t begin = block * TDBG_ATTENTION_BLOCK, end = end_of(a, block);
        run_block_product(
            &p, &(struct block_product){
                    .s = job->w +
                         ((item->sample * a->heads + item->head) * a->tokens + begin) * a->tokens,
                    .s_i = a->tokens,
                    .s_t = 1,
                    .rows = end - begin,
                    .cols = a->dim,
                    .t1 = a->causal ? end : a->tokens,
                    .seen = a->dim,
                    .c = at(&job->out, item->sample, begin, item->head, a->dim),
                    .c_i = job->out.token,
                    .scale = scale_of(job)});
    }
}

/* One head of the group: into out, or into sum (tokens of the block, dim), which is added to it. */
static void run_scatter_head(const struct job *job, const struct item *item, int64_t group_head,
                             float *space, float *sum)
{
    const struct tdbg_attention *a = job->a;
    const int64_t group = a->heads / a->kv_heads, head = item->head * group + group_head;
    const int64_t first = a->causal ? item->block0 * TDBG_ATTENTION_BLOCK : 0;
    const struct panels p = {job, a->dim, a->tokens - first, first, space};
    pack_panels(&p, at(&job->left, item->sample, first, head, a->dim), 1, job->left.token);
    const float *w = job->w + (item->sample * a->heads + head) * a->tokens * a->tokens;
    for (int64_t block = item->block0; block < item->block1; block++) {
        const int64_t begin = block * TDBG_ATTENTION_BLOCK, rows = end_of(a, block) - begin;
        const int64_t query = a->causal ? begin : 0;
        float *out = at(&job->out, item->sample, begin, item->head, a->dim);
        run_block_product(&p,
                          &(struct block_product){.s = w + query * a->tokens + begin,
                                                  .s_i = 1,
                                                  .s_t = a->tokens,
                                                  .rows = rows,
                                                  .cols = a->dim,
                                                  .t0 = query,
                                                  .t1 = a->tokens,
                                                  .seen = a->dim,
                                                  .c = group_head == 0 ? out : sum,
                                                  .c_i = group_head == 0 ? job->out.token : a->dim,
                                                  .scale = group == 1 ? scale_of(job) : NULL});
        for (int64_t t = 0; group_head > 0 && t < rows; t++)
            job->table->vector_add(a->dim, out + t * job->out.token, sum + t * a->dim);
    }
}

/* out_j = sum over the group's heads, ascending, and i of w_ij left_i */
static void run_scatter(const struct job *job, const struct item *item, float *space)
{
    const struct tdbg_attention *a = job->a;
    const int64_t group = a->heads / a->kv_heads;
    for (int64_t i = 0; i < group; i++)
        run_scatter_head(job, item, i, space, space + packed_elems(job));
    if (group == 1)
        return;
    const int64_t begin = item->block0 * TDBG_ATTENTION_BLOCK;
    job->table->attention_finish(end_of(a, item->block1 - 1) - begin, a->dim, a->dim, a->dim,
                                 job->scale, job->out.token,
                                 at(&job->out, item->sample, begin, item->head, a->dim));
}

/* Items are taken one by one, because under a causal mask they differ in size. */
static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    static void (*const run_item[PRODUCTS])(const struct job *, const struct item *, float *) = {
        [WEIGH] = run_weigh, [GATHER] = run_gather, [SCATTER] = run_scatter};
    struct job *job = ctx;
    for (int64_t part = lo; part < hi; part++) {
        float *space = (float *)(void *)(job->workspace + (size_t)part * job->part_bytes);
        for (;;) {
            int64_t i = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
            if (i >= job->items)
                break;
            const struct item item = item_of(job, i);
            run_item[job->product](job, &item, space);
        }
    }
}

/* Heads are cut where there are too few of them to keep all threads at work; each part packs for
 * itself. */
static struct job make_job(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                           enum product product)
{
    struct job job = {.a = a, .table = cpu->table, .product = product, .scale = 1, .chunks = 1};
    const int64_t heads = a->rows * (product == SCATTER ? a->kv_heads : a->heads);
    job.isa = tdbg_gemm_isa_of(cpu);
    if (cpu->threads > 1 && heads < 4 * (int64_t)cpu->threads)
        job.chunks = blocks_of(a);
    job.items = heads * job.chunks;
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
        const struct job job = make_job(cpu, a, (enum product)product);
        const size_t bytes = part_bytes(&job) * (size_t)min_i64(cpu->threads, job.items);
        most = bytes > most ? bytes : most;
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
