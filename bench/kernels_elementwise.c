/* Speed of the element-wise kernels, softmax and dropout beside memcpy on the same threads: bytes
 * read and written over time, at tensors far larger than the caches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernel_bench.h"
#include "kernels/activation.h"
#include "kernels/dropout.h"
#include "kernels/parallel.h"
#include "kernels/relu.h"
#include "kernels/softmax.h"
#include "kernels/vector.h"

static const char help[] = "usage: bench-kernels-elementwise [ISA] [THREADS] [MIB]\n"
                           "GB/s of element-wise kernels, softmax and dropout, and of memcpy "
                           "between the runs, with tensors\n"
                           "of MIB MiB (256). Counted is each tensor read or written, once.\n";

enum { RUNS = 7 };

struct bench {
    const struct tdbg_cpu *cpu;
    int64_t elems;
    float *x, *dy, *out;
};

struct row {
    const char *name;
    void (*run)(const struct bench *b, int64_t variant);
    int64_t variant;
    int tensors; /* read and written */
};

static void copy_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct bench *b = ctx;
    memcpy(b->out + lo, b->x + lo, (size_t)(hi - lo) * sizeof(float));
}

static void run_copy(const struct bench *b, int64_t variant)
{
    struct bench copy = *b;
    (void)variant;
    tdbg_parallel_for(b->cpu->threads, b->elems, TDBG_GRAIN_ELEMS, copy_range, &copy);
}

static void run_relu(const struct bench *b, int64_t variant)
{
    (void)variant;
    tdbg_relu_forward(b->cpu, b->elems, b->x, b->out);
}

static void run_relu_backward(const struct bench *b, int64_t variant)
{
    (void)variant;
    tdbg_relu_backward(b->cpu, b->elems, b->x, b->dy, b->out);
}

static void run_sum(const struct bench *b, int64_t variant)
{
    (void)variant;
    tdbg_vector_sum(b->cpu, b->elems, b->x, b->dy, b->out);
}

static void run_forward(const struct bench *b, int64_t kind)
{
    tdbg_activation_forward(b->cpu, (enum tdbg_activation)kind, b->elems, b->x, b->out);
}

static void run_backward(const struct bench *b, int64_t kind)
{
    tdbg_activation_backward(b->cpu, (enum tdbg_activation)kind, b->elems, b->x, b->dy, b->out);
}

static void run_softmax(const struct bench *b, int64_t cols)
{
    tdbg_softmax_forward(b->cpu, b->elems / cols, cols, b->x, b->out);
}

static void run_softmax_backward(const struct bench *b, int64_t cols)
{
    tdbg_softmax_backward(b->cpu, b->elems / cols, cols, b->x, b->dy, b->out);
}

static void run_dropout(const struct bench *b, int64_t elems)
{
    const struct tdbg_dropout dropout = tdbg_dropout_make(0.1, 1, "drop", 1, 0);
    tdbg_dropout_apply(b->cpu, &dropout, b->elems / elems, elems, b->x, b->out);
}

static const struct row rows[] = {
    {"relu", run_relu, 0, 2},
    {"relu, backward", run_relu_backward, 0, 3},
    {"x + y", run_sum, 0, 3},
    {"gelu", run_forward, TDBG_ACTIVATION_GELU_ERF, 2},
    {"gelu, backward", run_backward, TDBG_ACTIVATION_GELU_ERF, 3},
    {"gelu by tanh", run_forward, TDBG_ACTIVATION_GELU_TANH, 2},
    {"gelu by tanh, backward", run_backward, TDBG_ACTIVATION_GELU_TANH, 3},
    {"silu", run_forward, TDBG_ACTIVATION_SILU, 2},
    {"silu, backward", run_backward, TDBG_ACTIVATION_SILU, 3},
    {"tanh", run_forward, TDBG_ACTIVATION_TANH, 2},
    {"tanh, backward", run_backward, TDBG_ACTIVATION_TANH, 3},
    {"sigmoid", run_forward, TDBG_ACTIVATION_SIGMOID, 2},
    {"sigmoid, backward", run_backward, TDBG_ACTIVATION_SIGMOID, 3},
    {"softmax, rows of 128", run_softmax, 128, 2},
    {"softmax, rows of 1024", run_softmax, 1024, 2},
    {"softmax, backward, rows of 1024", run_softmax_backward, 1024, 3},
    {"dropout", run_dropout, 1 << 16, 2},
};

/* Bytes per second of the fastest of RUNS, others on the machine only make it slower; beside it the
 * fastest of as many memcpy, each just before. */
static void report(const struct bench *b, const struct row *row)
{
    double best = 1e99, copy = 1e99;
    for (int i = 0; i < RUNS; i++) {
        double start = bench_now_s();
        run_copy(b, 0);
        double middle = bench_now_s();
        row->run(b, row->variant);
        double end = bench_now_s();
        copy = middle - start < copy ? middle - start : copy;
        best = end - middle < best ? end - middle : best;
    }
    const double bytes = (double)b->elems * sizeof(float);
    const double speed = row->tensors * bytes / best, copy_speed = 2 * bytes / copy;
    printf("%-34s %6.1f GB/s  %6.1f  %4.0f %%\n", row->name, speed * 1e-9, copy_speed * 1e-9,
           100 * speed / copy_speed);
    fflush(stdout);
}

static float *floats(int64_t count)
{
    float *x = aligned_alloc(64, (size_t)count * sizeof(float));
    if (!x) {
        fprintf(stderr, "bench-kernels-elementwise: out of memory\n");
        exit(4);
    }
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-22f - 2;
    }
    return x;
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
        fprintf(stderr, "bench-kernels-elementwise: %s\n", err.message);
        return 2;
    }
    struct bench b = {.cpu = &cpu, .elems = (int64_t)mib << 18};
    b.x = floats(b.elems);
    b.dy = floats(b.elems);
    b.out = floats(b.elems);
    printf("%s, %d threads, tensors of %d MiB\n", tdbg_isa_text(cpu.isa), cpu.threads, mib);
    printf("%-34s %11s  %6s\n", "", "speed", "memcpy");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        report(&b, &rows[i]);
    free(b.x);
    free(b.dy);
    free(b.out);
    return 0;
}
