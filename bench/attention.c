/* Speed of the pieces of attention: the products beside the peak of fused multiply-adds, the
 * softmax beside memcpy, embedding and rotary positions beside memcpy too; one run, alternately,
 * best times. Counted are the terms that the definition adds, and the bytes that have to move. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/kernel_bench.h"
#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/embedding.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/position.h"

static const char help[] = "usage: bench-attention [ISA [THREADS]]\n"
                           "\n"
                           "Times attention, embedding and rotary positions with an instruction "
                           "set (default auto) and so\n"
                           "many threads (default all). Products are compared with the peak of "
                           "fused multiply-adds on all\n"
                           "threads, the others with memcpy.\n";

static const double shape_s = 0.4;

static clockid_t clock_used = CLOCK_MONOTONIC;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct bench {
    struct tdbg_cpu cpu;
    struct tdbg_attention a;
    struct tdbg_embedding embedding;
    struct tdbg_rotary rotary;
    float *qkv, *dqkv, *w, *dw, *context, *table, *copy;
    void *workspace;
    int64_t copy_elems;
};

static void spin_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bench *b = ctx;
    for (int64_t i = lo; i < hi; i++)
        bench_spin(b->cpu.isa);
}

static void run_peak(struct bench *b)
{
    tdbg_parallel_for(b->cpu.threads, b->cpu.threads, 1, spin_range, b);
}

static void copy_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bench *b = ctx;
    memcpy(b->copy + lo, b->w + lo, (size_t)(hi - lo) * sizeof(float));
}

static void run_copy(struct bench *b)
{
    tdbg_parallel_for(b->cpu.threads, b->copy_elems, TDBG_GRAIN_ELEMS, copy_range, b);
}

static void run_scores(struct bench *b)
{
    tdbg_attention_scores(&b->cpu, &b->a, b->qkv, b->w, b->workspace);
}

static void run_context(struct bench *b)
{
    tdbg_attention_context(&b->cpu, &b->a, b->w, b->qkv, b->context, b->workspace);
}

static void run_dscores(struct bench *b)
{
    tdbg_attention_scores_backward(&b->cpu, &b->a, b->qkv, b->w, b->dqkv, b->workspace);
}

static void run_dcontext(struct bench *b)
{
    tdbg_attention_context_backward(&b->cpu, &b->a, b->w, b->qkv, b->context, b->dw, b->dqkv,
                                    b->workspace);
}

static void run_softmax(struct bench *b)
{
    tdbg_attention_softmax_forward(&b->cpu, &b->a, b->w, b->dw);
}

static void run_softmax_back(struct bench *b)
{
    tdbg_attention_softmax_backward(&b->cpu, &b->a, b->w, b->dw, b->dw);
}

static void run_rotate(struct bench *b)
{
    tdbg_position_rotate(&b->cpu, &b->rotary, false, b->w, b->dw);
}

static void run_gather(struct bench *b)
{
    tdbg_embedding_forward(&b->cpu, &b->embedding, b->table, b->dw);
}

static void run_embedding_back(struct bench *b)
{
    tdbg_embedding_backward(&b->cpu, &b->embedding, b->dw, b->table, b->workspace);
}

/* Best seconds of each, run alternately. */
static void time_both(struct bench *b, void (*run)(struct bench *), void (*peer)(struct bench *),
                      double best[2])
{
    void (*const runs[2])(struct bench *) = {run, peer};
    const double begin = now_s();
    best[0] = best[1] = 1e30;
    for (int n = 0; n < 3 || now_s() - begin < shape_s; n++) {
        for (int i = 0; i < 2; i++) {
            double start = now_s();
            runs[i](b);
            double s = now_s() - start;
            best[i] = s < best[i] ? s : best[i];
        }
    }
}

static void *take(size_t bytes)
{
    void *x = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!x) {
        fprintf(stderr, "bench-attention: out of memory\n");
        exit(4);
    }
    return x;
}

static void show_product(struct bench *b, const char *what, void (*run)(struct bench *),
                         int products)
{
    const struct tdbg_attention *a = &b->a;
    double terms = 0, best[2];
    for (int64_t t = 0; t < a->tokens; t++) { /* keys of query t: whole blocks */
        int64_t end = (t / TDBG_ATTENTION_BLOCK + 1) * TDBG_ATTENTION_BLOCK;
        terms += (double)(a->causal && end < a->tokens ? end : a->tokens);
    }
    terms *= (double)(a->rows * a->heads * a->dim * products);
    time_both(b, run, run_peak, best);
    const double spun = bench_spin(b->cpu.isa), peak = 2e-9 * spun * b->cpu.threads / best[1];
    printf("  %-22s %8.1f GF/s", what, 2e-9 * terms / best[0]);
    if (spun > 0)
        printf("  %3.0f %% of peak %.1f", 200e-9 * terms / best[0] / peak, peak);
    printf("\n");
    fflush(stdout);
}

static void show_moved(struct bench *b, const char *what, void (*run)(struct bench *), double elems)
{
    double best[2];
    time_both(b, run, run_copy, best);
    const double copy = 8e-9 * (double)b->copy_elems / best[1];
    const double got = 4e-9 * elems / best[0];
    printf("  %-22s %8.1f GB/s  %3.0f %% of memcpy %.1f\n", what, got, 100 * got / copy, copy);
    fflush(stdout);
}

/* Products on as many samples as fill `elems` scores, or the softmax. */
static void run_attention(const struct tdbg_cpu *cpu, struct tdbg_attention a, int64_t elems,
                          bool products)
{
    a.rows = elems / (a.heads * a.tokens * a.tokens);
    a.rows = a.rows < 1 ? 1 : a.rows;
    const int64_t w = a.rows * a.heads * a.tokens * a.tokens;
    const int64_t qkv = a.rows * a.tokens * (a.heads + 2 * a.kv_heads) * a.dim;
    struct bench b = {.cpu = *cpu, .a = a, .copy_elems = w};
    b.qkv = bench_random_floats((size_t)qkv);
    b.dqkv = bench_random_floats((size_t)qkv);
    b.context = bench_random_floats((size_t)(a.rows * a.tokens * a.heads * a.dim));
    b.w = bench_random_floats((size_t)w);
    b.dw = bench_random_floats((size_t)w);
    b.copy = bench_random_floats((size_t)w);
    b.workspace = take(tdbg_attention_workspace_bytes(cpu, &a));
    printf("rows %d, tokens %d, heads %d, kv_heads %d, dim %d%s\n", (int)a.rows, (int)a.tokens,
           (int)a.heads, (int)a.kv_heads, (int)a.dim, a.causal ? ", causal" : "");
    if (products) {
        show_product(&b, "scores", run_scores, 1);
        show_product(&b, "context", run_context, 1);
        show_product(&b, "scores backward", run_dscores, 2);
        show_product(&b, "context backward", run_dcontext, 2);
    } else {
        show_moved(&b, "softmax", run_softmax, 2 * (double)w);
        show_moved(&b, "softmax backward", run_softmax_back, 3 * (double)w);
    }
    free(b.qkv);
    free(b.dqkv);
    free(b.context);
    free(b.w);
    free(b.dw);
    free(b.copy);
    free(b.workspace);
}

static void run_others(const struct tdbg_cpu *cpu, int64_t elems)
{
    enum { DIM = 256, VOCAB = 8192, HEAD = 64, TOKENS = 512 };
    struct bench b = {.cpu = *cpu, .copy_elems = elems};
    int32_t *tokens = take((size_t)(elems / DIM) * sizeof *tokens);
    b.embedding = (struct tdbg_embedding){VOCAB, DIM, elems / DIM, tokens, -1};
    for (int64_t i = 0; i < elems / DIM; i++) /* few are frequent, as in text */
        tokens[i] = (int32_t)(i * 2654435761 % VOCAB * (i % 97) / 97);
    b.rotary = (struct tdbg_rotary){elems / (TOKENS * 24 * HEAD), TOKENS, 16, 8, HEAD, NULL, NULL};
    float *cos = bench_random_floats(TOKENS * HEAD / 2),
          *sin = bench_random_floats(TOKENS * HEAD / 2);
    b.rotary.cos = cos;
    b.rotary.sin = sin;
    b.w = bench_random_floats((size_t)elems);
    b.dw = bench_random_floats((size_t)elems);
    b.copy = bench_random_floats((size_t)elems);
    b.table = bench_random_floats(VOCAB * DIM);
    b.workspace = take(tdbg_embedding_workspace_bytes(&b.embedding));
    printf("rotary: tokens %d, 16 + 8 heads, dim %d; embedding: %d by %d, %d positions\n", TOKENS,
           HEAD, VOCAB, DIM, (int)(elems / DIM));
    show_moved(&b, "rotary", run_rotate, 2 * (double)(b.rotary.rows * TOKENS * 24 * HEAD));
    show_moved(&b, "embedding", run_gather, 2 * (double)elems);
    show_moved(&b, "embedding backward", run_embedding_back, (double)elems + VOCAB * DIM);
    free(tokens);
    free(cos);
    free(sin);
    free(b.w);
    free(b.dw);
    free(b.copy);
    free(b.table);
    free(b.workspace);
}

int main(int argc, char **argv)
{
    static const struct tdbg_attention shapes[] = {
        {.tokens = 128, .heads = 8, .kv_heads = 8, .dim = 32, .scale = 0.18f},
        {.tokens = 128, .heads = 8, .kv_heads = 8, .dim = 32, .scale = 0.18f, .causal = true},
        {.tokens = 256, .heads = 8, .kv_heads = 8, .dim = 64, .scale = 0.125f, .causal = true},
        {.tokens = 512, .heads = 8, .kv_heads = 2, .dim = 64, .scale = 0.125f, .causal = true},
        {.tokens = 512, .heads = 8, .kv_heads = 8, .dim = 64, .scale = 0.125f},
    };
    struct tdbg_cpu cpu;
    struct tdbg_err err = {0};
    if (argc > 4 || (argc > 1 && argv[1][0] == '-') || (argc > 3 && strcmp(argv[3], "cpu") != 0)) {
        fputs(help, stderr);
        return 2;
    }
    if (tdbg_cpu_init(&cpu, argc > 1 ? argv[1] : "auto", argc > 2 ? atoi(argv[2]) : 0, &err) !=
        TDBG_OK) {
        fprintf(stderr, "bench-attention: %s\n", err.message);
        tdbg_err_clear(&err);
        return 2;
    }
    if (argc > 3)
        clock_used = CLOCK_PROCESS_CPUTIME_ID;
    printf("%s, %d threads\n", tdbg_isa_text(cpu.isa), cpu.threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        run_attention(&cpu, shapes[i], 1 << 20, true); /* scores of 4 MiB, as a part's */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        run_attention(&cpu, shapes[i], 1 << 26, false);
    run_others(&cpu, 3 << 24);
    return 0;
}
