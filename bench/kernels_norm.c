/* Speed of the norm kernels beside memcpy on the same threads: bytes that have to be read and
 * written over time, at tensors far larger than the caches. docs/... no: see `help`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cpu.h"
#include "kernels/parallel.h"
#include "kernels/row_norm.h"

static const char help[] =
    "usage: bench-kernels-norm [ISA] [THREADS] [MIB]\n"
    "GB/s of the norms' forward and backward, and of memcpy, with tensors of MIB MiB (256).\n"
    "Counted are the bytes that have to cross the memory bus once a row fits the cache:\n"
    "  row norms   forward: x read, y written          backward: x, dy read, dx written\n"
    "  batch norm  forward: x read twice, y written    backward: x, dy read twice, dx written\n";

enum { RUNS = 7 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct bench {
    const struct tdbg_cpu *cpu;
    int64_t elems;
    float *x, *dy, *out, *weight, *bias, *stats, *dweight, *dbias;
    void *workspace;
    int64_t a, b, c; /* sizes, as the run function reads them */
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

/* Bytes per second of the fastest of RUNS: others on the machine only make it slower. */
static double measure(const struct bench *b, void (*run)(const struct bench *), int tensors)
{
    double best = 1e99;
    for (int i = 0; i < RUNS; i++) {
        double start = now_s();
        run(b);
        double took = now_s() - start;
        best = took < best ? took : best;
    }
    return tensors * (double)b->elems * sizeof(float) / best;
}

static void report(const char *what, const struct bench *b, void (*run)(const struct bench *),
                   int tensors)
{
    double copy = measure(b, run_copy, 2), speed = measure(b, run, tensors);
    printf("%-44s %6.1f GB/s  %6.1f  %4.0f %%\n", what, speed * 1e-9, copy * 1e-9,
           100 * speed / copy);
    fflush(stdout);
}

static float *floats(int64_t count)
{
    float *x = aligned_alloc(64, ((size_t)count * sizeof(float) + 63) / 64 * 64 + 64);
    if (!x) {
        fprintf(stderr, "bench-kernels-norm: out of memory\n");
        exit(4);
    }
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1;
    }
    return x;
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
            b->stats = floats(tdbg_row_norm_stats_elems(&norm));
            b->workspace = floats((int64_t)tdbg_row_norm_workspace_bytes(&norm) / 4);
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

int main(int argc, char **argv)
{
    const char *isa = argc > 1 ? argv[1] : "auto";
    int threads = argc > 2 ? atoi(argv[2]) : 0, mib = argc > 3 ? atoi(argv[3]) : 256;
    struct tdbg_cpu cpu;
    struct tdbg_err err = {0};
    if (argc > 4 || isa[0] == '-' || threads < 0 || mib < 1) {
        fputs(help, stderr);
        return 2;
    }
    if (tdbg_cpu_init(&cpu, isa, threads, &err) != TDBG_OK) {
        fprintf(stderr, "bench-kernels-norm: %s\n", err.message);
        return 2;
    }
    struct bench b = {.cpu = &cpu, .elems = (int64_t)mib << 18};
    b.x = floats(b.elems);
    b.dy = floats(b.elems);
    b.out = floats(b.elems);
    b.weight = floats(1 << 20);
    b.bias = floats(1 << 20);
    b.dweight = floats(1 << 20);
    b.dbias = floats(1 << 20);
    printf("%s, %d threads, tensors of %d MiB\n", tdbg_isa_text(cpu.isa), cpu.threads, mib);
    printf("%-44s %11s  %6s\n", "", "speed", "memcpy");
    bench_rows(&b);
    return 0;
}
