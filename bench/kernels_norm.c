/* Speed of the norms beside memcpy with the same threads, run alternately: bytes that have to be
 * read and written over time, for tensors far larger than the caches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernel_bench.h"
#include "kernels/batch_norm.h"
#include "kernels/cpu.h"
#include "kernels/parallel.h"
#include "kernels/row_norm.h"

static const char help[] =
    "usage: bench-kernels-norm [ISA [THREADS [MIB [WORD]]]]\n"
    "GB/s of the norms' forward and backward, and of memcpy, with tensors of MIB MiB (256); only\n"
    "of those whose description has WORD. Counted are the bytes that have to cross the memory bus\n"
    "where a row fits the cache and a tensor does not:\n"
    "  row norms   forward: x read, y written          backward: x, dy read, dx written\n"
    "  batch norm  forward: x read twice, y written    backward: x, dy read twice, dx written\n";

enum { RUNS = 7 };

struct bench {
    const struct tdbg_cpu *cpu;
    int64_t elems;
    float *x, *dy, *out, *weight, *bias, *stats, *dweight, *dbias;
    void *workspace;
    int64_t a, b;     /* sizes, as the run functions read them */
    const char *word; /* or NULL */
};

static void copy_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bench *b = ctx;
    memcpy(b->out + lo, b->x + lo, (size_t)(hi - lo) * sizeof(float));
}

static void run_copy(const struct bench *b)
{
    struct bench copy = *b;
    tdbg_parallel_for(b->cpu->threads, b->elems, TDBG_GRAIN_ELEMS, copy_range, &copy);
}

static struct tdbg_row_norm row_norm(const struct bench *b)
{
    return (struct tdbg_row_norm){
        .rows = b->elems / b->a, .width = b->a, .eps = 1e-5f, .centre = b->b};
}

static void run_row_forward(const struct bench *b)
{
    struct tdbg_row_norm norm = row_norm(b);
    tdbg_row_norm_forward(b->cpu, &norm, b->x, b->weight, b->bias, b->out, b->stats);
}

static void run_row_backward(const struct bench *b)
{
    struct tdbg_row_norm norm = row_norm(b);
    tdbg_row_norm_backward(b->cpu, &norm, b->x, b->weight, b->stats, b->dy, b->out, b->dweight,
                           b->dbias, b->workspace);
}

static double seconds(const struct bench *b, void (*run)(const struct bench *))
{
    double start = bench_now_s();
    run(b);
    return bench_now_s() - start;
}

/* The fastest of RUNS each: others on the machine only make a run slower. */
static void report(const char *what, const struct bench *b, void (*run)(const struct bench *),
                   int tensors)
{
    double copy = 1e99, best = 1e99, bytes = (double)b->elems * sizeof(float);
    if (b->word && !strstr(what, b->word))
        return;
    for (int i = 0; i < RUNS; i++) {
        double t = seconds(b, run_copy);
        copy = t < copy ? t : copy;
        t = seconds(b, run);
        best = t < best ? t : best;
    }
    printf("%-44s %6.1f GB/s  %6.1f  %4.0f %%\n", what, tensors * bytes / best * 1e-9,
           2 * bytes / copy * 1e-9, 50 * tensors * copy / best);
    fflush(stdout);
}

static void bench_rows(struct bench *b)
{
    static const int64_t widths[] = {64, 256, 1024, 4096, 65536};
    for (int kind = 1; kind >= 0; kind--) {
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            char text[64];
            b->a = widths[i];
            b->b = kind;
            struct tdbg_row_norm norm = row_norm(b);
            b->stats = bench_random_floats((size_t)tdbg_row_norm_stats_elems(&norm));
            b->workspace = bench_random_floats(tdbg_row_norm_workspace_bytes(&norm) / 4);
            snprintf(text, sizeof text, "%s norm, width %lld", kind ? "layer" : "RMS",
                     (long long)b->a);
            report(text, b, run_row_forward, 2);
            snprintf(text, sizeof text, "%s norm, width %lld, backward", kind ? "layer" : "RMS",
                     (long long)b->a);
            report(text, b, run_row_backward, 3);
            free(b->stats);
            free(b->workspace);
        }
    }
}

static struct tdbg_batch_norm batch_norm(const struct bench *b)
{
    return (struct tdbg_batch_norm){b->elems / (b->a * b->b), b->a, b->b, 1e-5f};
}

static void run_batch_forward(const struct bench *b)
{
    const struct tdbg_batch_norm norm = batch_norm(b);
    tdbg_batch_norm_forward(b->cpu, &norm, b->x, b->weight, b->bias, 0.1f, NULL, NULL, b->out,
                            b->stats, b->workspace);
}

static void run_batch_backward(const struct bench *b)
{
    const struct tdbg_batch_norm norm = batch_norm(b);
    tdbg_batch_norm_backward(b->cpu, &norm, b->x, b->weight, b->stats, b->dy, b->out, b->dweight,
                             b->dbias, b->workspace);
}

static void bench_batches(struct bench *b)
{
    static const int64_t shapes[][2] = {{1024, 1}, {256, 16}, {512, 49}, {64, 1024}, {64, 3136}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char text[64];
        b->a = shapes[i][0];
        b->b = shapes[i][1];
        const struct tdbg_batch_norm norm = batch_norm(b);
        b->stats = bench_random_floats((size_t)tdbg_batch_norm_stats_elems(&norm));
        b->workspace = bench_random_floats(tdbg_batch_norm_workspace_bytes(&norm) / 4);
        snprintf(text, sizeof text, "batch norm, %lld channels of %lld", (long long)b->a,
                 (long long)b->b);
        report(text, b, run_batch_forward, 3);
        strcat(text, ", backward");
        report(text, b, run_batch_backward, 5);
        free(b->stats);
        free(b->workspace);
    }
}

int main(int argc, char **argv)
{
    const char *isa = argc > 1 ? argv[1] : "auto";
    int threads = argc > 2 ? atoi(argv[2]) : 0, mib = argc > 3 ? atoi(argv[3]) : 256;
    struct tdbg_cpu cpu;
    struct tdbg_err err = {0};
    if (argc > 5 || isa[0] == '-' || threads < 0 || mib < 1) {
        fputs(help, stderr);
        return 2;
    }
    if (tdbg_cpu_init(&cpu, isa, threads, &err) != TDBG_OK) {
        fprintf(stderr, "bench-kernels-norm: %s\n", err.message);
        return 2;
    }
    struct bench b = {.cpu = &cpu, .elems = (int64_t)mib << 18};
    b.x = bench_random_floats((size_t)b.elems);
    b.dy = bench_random_floats((size_t)b.elems);
    b.out = bench_random_floats((size_t)b.elems);
    b.weight = bench_random_floats(1 << 20);
    b.bias = bench_random_floats(1 << 20);
    b.dweight = bench_random_floats(1 << 20);
    b.dbias = bench_random_floats(1 << 20);
    printf("%s, %d threads, tensors of %d MiB\n", tdbg_isa_text(cpu.isa), cpu.threads, mib);
    printf("%-44s %11s  %6s\n", "", "speed", "memcpy");
    b.word = argc > 4 ? argv[4] : NULL;
    bench_rows(&b);
    bench_batches(&b);
    return 0;
}
