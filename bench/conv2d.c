/* Speed of the strict convolution on one thread, as a share of the FMA peak. bench/conv2d runs it
 * shape by shape beside PyTorch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernel_bench.h"
#include "kernels/conv2d.h"
#include "kernels/cpu.h"

static const char help[] = "usage: bench-conv2d [ISA [N C H W O GROUPS KERNEL STRIDE PADDING]]\n"
                           "\n"
                           "Times the strict convolution of an instruction set (default: auto), "
                           "one thread: y forward, dx\n"
                           "and dweight, medians in GF/s (2 per multiply-add with the image or its "
                           "border) and in percent\n"
                           "of the FMA peak. Without a shape: those of a list.\n";

enum { PARAMETERS = 9, PASSES = 3, MAX_SAMPLES = 101, MIN_SAMPLES = 3 };
static const double shape_s = 0.5;

static const int list[][PARAMETERS] = {
    {64, 3, 32, 32, 32, 1, 3, 1, 1},    {64, 1, 28, 28, 32, 1, 3, 1, 1},
    {64, 32, 28, 28, 64, 1, 3, 1, 1},   {64, 32, 32, 32, 32, 1, 3, 1, 1},
    {64, 64, 14, 14, 64, 1, 3, 1, 1},   {64, 64, 28, 28, 128, 1, 3, 2, 1},
    {16, 256, 14, 14, 256, 1, 3, 1, 1}, {16, 512, 7, 7, 512, 1, 3, 1, 1},
    {64, 64, 28, 28, 128, 1, 1, 1, 0},  {64, 128, 28, 28, 64, 1, 1, 1, 0},
    {64, 64, 28, 28, 128, 1, 1, 2, 0},  {16, 3, 224, 224, 64, 1, 7, 2, 3},
    {32, 64, 56, 56, 64, 64, 3, 1, 1},  {32, 128, 28, 28, 128, 128, 3, 2, 1},
    {32, 64, 28, 28, 64, 8, 3, 1, 1},
};

struct bench {
    struct tdbg_cpu cpu;
    struct tdbg_conv2d conv;
    float *x, *weight, *bias, *y, *dy, *dx, *dweight;
    void *workspace;
};

static void run_pass(const struct bench *b, int pass)
{
    if (pass == 0)
        tdbg_conv2d_forward(&b->cpu, &b->conv, b->x, b->weight, b->bias, b->y, b->workspace);
    else if (pass == 1)
        tdbg_conv2d_backward_input(&b->cpu, &b->conv, b->dy, b->weight, b->dx, b->workspace);
    else
        tdbg_conv2d_backward_weight(&b->cpu, &b->conv, b->x, b->dy, b->dweight, b->workspace);
}

static double time_pass(const struct bench *b, int pass)
{
    double seconds[MAX_SAMPLES], begin = bench_now_s();
    int samples = 0;
    run_pass(b, pass);
    while (samples < MAX_SAMPLES && (samples < MIN_SAMPLES || bench_now_s() - begin < shape_s)) {
        double start = bench_now_s();
        run_pass(b, pass);
        seconds[samples++] = bench_now_s() - start;
    }
    qsort(seconds, (size_t)samples, sizeof *seconds, bench_compare_double);
    return seconds[samples / 2];
}

static void run_shape(const struct tdbg_cpu *cpu, const int *s, double peak)
{
    struct bench b = {.cpu = *cpu};
    b.conv = (struct tdbg_conv2d){.samples = s[0],
                                  .in = s[1],
                                  .height = s[2],
                                  .width = s[3],
                                  .out = s[4],
                                  .groups = s[5],
                                  .kernel = {s[6], s[6]},
                                  .stride = {s[7], s[7]},
                                  .padding = {s[8], s[8]},
                                  .dilation = {1, 1}};
    int64_t plane = tdbg_conv2d_out_size(&b.conv, 0) * tdbg_conv2d_out_size(&b.conv, 1);
    size_t x = (size_t)(b.conv.samples * b.conv.in * b.conv.height * b.conv.width);
    size_t y = (size_t)(b.conv.samples * b.conv.out * plane);
    size_t k = (size_t)(b.conv.in / b.conv.groups * s[6] * s[6]), weight = k * (size_t)s[4];
    b.x = bench_random_floats(x);
    b.weight = bench_random_floats(weight);
    b.bias = bench_random_floats((size_t)s[4]);
    b.dy = bench_random_floats(y);
    b.y = bench_floats(y);
    b.dx = bench_floats(x);
    b.dweight = bench_floats(weight);
    size_t bytes = tdbg_conv2d_workspace_bytes(cpu, &b.conv);
    b.workspace = bench_floats(bytes / sizeof(float));
    printf("%4d %4d %4d %4d %4d %4d %2d %2d %2d %8.2f", s[0], s[1], s[2], s[3], s[4], s[5], s[6],
           s[7], s[8], (double)bytes / (1 << 20));
    for (int pass = 0; pass < PASSES; pass++) {
        double seconds = time_pass(&b, pass);
        double gflops = 2e-9 * (double)y * (double)k / seconds;
        printf("  %9.3f %6.1f", 1e3 * seconds, gflops);
        if (peak > 0)
            printf(" %3.0f %%", 100 * gflops / peak);
    }
    printf("\n");
    fflush(stdout);
    float *const all[] = {b.x, b.weight, b.bias, b.dy, b.y, b.dx, b.dweight, b.workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(int argc, char **argv)
{
    struct tdbg_cpu cpu;
    struct tdbg_err err = {0};
    if (argc > 2 && argc != 2 + PARAMETERS) {
        fputs(help, stderr);
        return 2;
    }
    if (tdbg_cpu_init(&cpu, argc > 1 ? argv[1] : "auto", 1, &err) != TDBG_OK) {
        fprintf(stderr, "bench-conv2d: %s\n", err.message);
        return 2;
    }
    double peak = bench_measure_peak(cpu.isa);
    printf("strict convolution, %s, one thread, FMA peak %.1f GF/s\n", tdbg_isa_text(cpu.isa),
           peak);
    printf("%4s %4s %4s %4s %4s %4s %2s %2s %2s %8s  %-22s  %-22s  %s\n", "N", "C", "H", "W", "O",
           "G", "K", "S", "P", "MiB", " y: ms, GF/s, peak", " dx", " dweight");
    if (argc > 2) {
        int shape[PARAMETERS];
        for (int i = 0; i < PARAMETERS; i++)
            shape[i] = atoi(argv[2 + i]);
        run_shape(&cpu, shape, peak);
    } else {
        for (size_t i = 0; i < sizeof list / sizeof *list; i++)
            run_shape(&cpu, list[i], peak);
    }
    return 0;
}
