/* Speed of the strict convolution on a GPU, shape by shape. bench/gpu/conv_bench.py runs it beside
 * PyTorch. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/kernel_bench.h"
#include "engine/backend.h"

static const char help[] = "usage: bench-gpu-conv [N C H W O GROUPS KERNEL STRIDE PADDING]...\n"
                           "\n"
                           "Times the strict convolution on GPU 0: y forward, dx, dweight and "
                           "dbias, medians in ms, and of\n"
                           "the first three TFLOP/s (2 per multiply-add with the image or its "
                           "border). Without shapes: those\n"
                           "of a list.\n";

enum { PARAMETERS = 9, PASSES = 4, SAMPLES = 11 };
static const double sample_s = 0.004;

static const int list[][PARAMETERS] = {
    /* examples/: small images */
    {128, 1, 28, 28, 32, 1, 3, 1, 1},
    {128, 32, 14, 14, 64, 1, 3, 1, 1},
    {128, 64, 14, 14, 64, 1, 3, 1, 1},
    /* a residual network of images of 32 x 32 */
    {256, 3, 32, 32, 16, 1, 3, 1, 1},
    {256, 16, 32, 32, 16, 1, 3, 1, 1},
    {256, 32, 16, 16, 32, 1, 3, 1, 1},
    {256, 64, 8, 8, 64, 1, 3, 1, 1},
    /* ResNet-18 and -50 */
    {64, 3, 224, 224, 64, 1, 7, 2, 3},
    {64, 64, 56, 56, 64, 1, 3, 1, 1},
    {64, 64, 56, 56, 128, 1, 3, 2, 1},
    {64, 128, 28, 28, 128, 1, 3, 1, 1},
    {64, 256, 14, 14, 256, 1, 3, 1, 1},
    {64, 512, 7, 7, 512, 1, 3, 1, 1},
    {64, 64, 56, 56, 256, 1, 1, 1, 0},
    {64, 256, 56, 56, 64, 1, 1, 1, 0},
    {64, 256, 56, 56, 512, 1, 1, 2, 0},
    /* depthwise, and groups */
    {64, 64, 56, 56, 64, 64, 3, 1, 1},
    {64, 128, 28, 28, 128, 128, 3, 2, 1},
    {64, 128, 28, 28, 128, 32, 3, 1, 1},
};

struct bench {
    const struct tdbg_backend *be;
    struct tdbg_conv2d conv;
    float *x, *weight, *bias, *y, *dy, *dx, *dweight, *dbias;
    void *workspace;
};

static void must(enum tdbg_status status, const struct tdbg_err *err)
{
    if (status == TDBG_OK)
        return;
    fprintf(stderr, "bench-gpu-conv: %s\n", err->message);
    exit(1);
}

static float *place(const struct tdbg_backend *be, int64_t n, bool random)
{
    struct tdbg_err err = {0};
    float *data = be->alloc(be->context, (size_t)n * sizeof(float));
    if (!data) {
        fprintf(stderr, "bench-gpu-conv: no memory for %lld floats\n", (long long)n);
        exit(1);
    }
    if (random) {
        float *host = bench_random_floats((size_t)n);
        must(be->to_device(be->context, data, host, (size_t)n * sizeof(float), &err), &err);
        free(host);
    }
    return data;
}

static void run_pass(const struct bench *b, int pass)
{
    const struct tdbg_backend *be = b->be;
    if (pass == 0)
        be->conv2d_forward(be->context, &b->conv, b->x, b->weight, b->bias, b->y, b->workspace);
    else if (pass == 1)
        be->conv2d_backward_input(be->context, &b->conv, b->dy, b->weight, b->dx, b->workspace);
    else if (pass == 2)
        be->conv2d_backward_weight(be->context, &b->conv, b->x, b->dy, b->dweight, b->workspace);
    else
        be->conv2d_backward_bias(be->context, &b->conv, b->dy, b->dbias);
}

/* Seconds of `times` runs one behind the other; a copy of a number waits for them. */
static double seconds_of(const struct bench *b, int pass, int times)
{
    struct tdbg_err err = {0};
    float number;
    must(b->be->to_host(b->be->context, &number, b->bias, sizeof number, &err), &err);
    const double start = bench_now_s();
    for (int i = 0; i < times; i++)
        run_pass(b, pass);
    must(b->be->to_host(b->be->context, &number, b->bias, sizeof number, &err), &err);
    return bench_now_s() - start;
}

static double time_pass(const struct bench *b, int pass)
{
    double seconds[SAMPLES];
    seconds_of(b, pass, 2);
    const double once = seconds_of(b, pass, 4) / 4;
    const int times = once < sample_s ? (int)(sample_s / once) + 1 : 1;
    for (int i = 0; i < SAMPLES; i++)
        seconds[i] = seconds_of(b, pass, times) / times;
    qsort(seconds, SAMPLES, sizeof *seconds, bench_compare_double);
    return seconds[SAMPLES / 2];
}

static void run_shape(const struct tdbg_backend *be, const int *s)
{
    struct bench b = {.be = be};
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
    const int64_t plane = tdbg_conv2d_out_size(&b.conv, 0) * tdbg_conv2d_out_size(&b.conv, 1);
    const int64_t x = b.conv.samples * b.conv.in * b.conv.height * b.conv.width;
    const int64_t y = b.conv.samples * b.conv.out * plane;
    const int64_t k = b.conv.in / b.conv.groups * s[6] * s[6], weight = k * b.conv.out;
    b.x = place(be, x, true);
    b.weight = place(be, weight, true);
    b.bias = place(be, b.conv.out, true);
    b.dy = place(be, y, true);
    b.y = place(be, y, false);
    b.dx = place(be, x, false);
    b.dweight = place(be, weight, false);
    b.dbias = place(be, b.conv.out, false);
    const size_t bytes = be->conv2d_workspace_bytes(be->context, &b.conv);
    b.workspace = place(be, (int64_t)(bytes / sizeof(float)) + 1, false);
    for (int i = 0; i < PARAMETERS; i++)
        printf("%4d ", s[i]);
    printf("%8.2f", (double)bytes / (1 << 20));
    for (int pass = 0; pass < PASSES; pass++) {
        const double seconds = time_pass(&b, pass);
        printf("  %8.4f", 1e3 * seconds);
        if (pass < 3)
            printf(" %6.2f", 2e-12 * (double)y * (double)k / seconds);
    }
    printf("\n");
    fflush(stdout);
    void *const all[] = {b.x, b.weight, b.bias, b.dy, b.y, b.dx, b.dweight, b.dbias, b.workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        be->free(be->context, all[i]);
}

int main(int argc, char **argv)
{
    struct tdbg_backend *be = NULL;
    struct tdbg_err err = {0};
    if ((argc - 1) % PARAMETERS != 0) {
        fputs(help, stderr);
        return 2;
    }
    must(tdbg_backend_cuda_create(0, &be, &err), &err);
    printf("strict convolution, %s\n", be->isa);
    printf("%4s %4s %4s %4s %4s %4s %4s %4s %4s %8s  %-15s  %-15s  %-15s  %s\n", "N", "C", "H", "W",
           "O", "G", "K", "S", "P", "MiB", "y: ms, TFLOP/s", "dx", "dweight", "dbias");
    for (int at = 1; at < argc; at += PARAMETERS) {
        int shape[PARAMETERS];
        for (int i = 0; i < PARAMETERS; i++)
            shape[i] = atoi(argv[at + i]);
        run_shape(be, shape);
    }
    for (size_t i = 0; argc == 1 && i < sizeof list / sizeof *list; i++)
        run_shape(be, list[i]);
    tdbg_backend_cuda_destroy(be);
    return 0;
}
