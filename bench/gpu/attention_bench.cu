/* Fused attention in bfloat16 on a GPU, shape by shape, and with `all` every pass with other shapes
 * of blocks than the ones that it takes. bench/gpu/attention_bench.py runs it beside PyTorch. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attention_backward.cuh"
#include "kernels/attention_forward.cuh"
extern "C" {
#include "kernels/attention_fused.h"
#include "kernels/gpu_graphs.h"
}

static const char help[] =
    "usage: bench-gpu-attention [all] [ROWS TOKENS HEADS KV_HEADS DIM CAUSAL]...\n"
    "\n"
    "Times fused attention in bfloat16 on GPU 0, forward and backward: medians in ms, and TFLOP/s\n"
    "of the products that a training step needs (2 forward, 5 backward; half of them if CAUSAL is\n"
    "1). Without shapes: those of a list. Ends with 1 where a result is far from another's.\n"
    "\n"
    "  all  also the kernels alone, with other shapes of blocks, where DIM is 64 or 128: a line\n"
    "       each, TFLOP/s of the products that the kernel itself does\n";

enum { PARAMETERS = 6, SAMPLES = 11 };
static const double sample_ms = 4;

static const int list[][PARAMETERS] = {
    {32, 1024, 12, 12, 64, 1}, /* GPT-2 of 124 M parameters */
    {8, 1024, 12, 12, 64, 1},   {32, 1024, 12, 12, 64, 0}, {4, 4096, 12, 12, 64, 1},
    {128, 256, 12, 12, 64, 1},  {32, 1024, 32, 8, 64, 1},  {8, 2048, 32, 8, 128, 1},
    {32, 1024, 16, 16, 128, 1}, {32, 1024, 24, 24, 32, 1}, {256, 65, 4, 4, 64, 0},
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-gpu-attention: %s: %s\n", what, why);
    exit(1);
}

static void must(cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        die(what, cudaGetErrorString(error));
}

/* ---- tensors ---- */

struct bench {
    struct tdbg_gpu gpu;
    struct tdbg_attention a;
    int64_t qkv_elems, out_elems;
    uint16_t *qkv, *out, *dout, *dqkv;
    float *lse;
    void *workspace;
    attention_call call; /* of all passes, but for `to` */
};

/* Values of -1 to 1 as bf16. */
static __global__ void fill(int64_t n, uint64_t seed, uint16_t *x)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x) {
        uint64_t z = ((uint64_t)i + (seed << 40)) * 0x9e3779b97f4a7c15u + 1; /* splitmix64 */
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        x[i] = (uint16_t)tdbg_gpu_pack_bf16((float)(int32_t)(z >> 32) * 0x1p-31f, 0);
    }
}

static uint16_t *place(struct bench *b, int64_t elems, uint64_t seed)
{
    uint16_t *x;
    must(cudaMalloc(&x, (size_t)elems * sizeof *x), "cudaMalloc");
    TDBG_LAUNCH(&b->gpu, fill, 4096, 256, elems, seed, x);
    return x;
}

static void open_shape(struct bench *b, const int *s)
{
    struct tdbg_attention *a = &b->a;
    *a = {};
    a->rows = s[0];
    a->tokens = s[1];
    a->heads = s[2];
    a->kv_heads = s[3];
    a->dim = s[4];
    a->causal = s[5];
    a->scale = 1.0f / sqrtf((float)s[4]);
    if (s[3] < 1 || s[2] % s[3] != 0 || !tdbg_cuda_attention_fused_takes(a))
        die("shape", "is not one that fused attention takes");
    const int64_t tokens = a->rows * a->tokens;
    b->qkv_elems = tokens * (a->heads + 2 * a->kv_heads) * a->dim;
    b->out_elems = tokens * a->heads * a->dim;
    b->qkv = place(b, b->qkv_elems, 1);
    b->dout = place(b, b->out_elems, 2);
    b->out = place(b, b->out_elems, 3);
    b->dqkv = place(b, b->qkv_elems, 4);
    must(cudaMalloc(&b->lse, (size_t)(tokens * a->heads) * sizeof *b->lse), "cudaMalloc");
    must(cudaMalloc(&b->workspace, tdbg_cuda_attention_fused_workspace_bytes(a)), "cudaMalloc");
    b->call = attention_call_of(a);
    b->call.qkv = b->qkv;
    b->call.dout = b->dout;
    b->call.lse = b->lse;
    b->call.terms = (attention_terms *)b->workspace;
}

static void close_shape(struct bench *b)
{
    void *const all[] = {b->qkv, b->dout, b->out, b->dqkv, b->lse, b->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        must(cudaFree(all[i]), "cudaFree");
}

/* ---- what is timed ---- */

static void run_forward(struct bench *b)
{
    tdbg_cuda_attention_fused_forward(&b->gpu, &b->a, b->qkv, b->out, b->lse);
}

static void run_backward(struct bench *b)
{
    tdbg_cuda_attention_fused_backward(&b->gpu, &b->a, b->qkv, b->out, b->lse, b->dout, b->dqkv,
                                       b->workspace);
}

static void run_terms(struct bench *b)
{
    b->call.to = b->out;
    if (b->a.dim <= 32)
        attention_run_terms<32>(&b->gpu, b->call);
    else if (b->a.dim <= 64)
        attention_run_terms<64>(&b->gpu, b->call);
    else
        attention_run_terms<128>(&b->gpu, b->call);
}

template <class S> static void try_forward(struct bench *b)
{
    b->call.to = b->out;
    attention_run_forward<S>(&b->gpu, b->call);
}

template <class S> static void try_queries(struct bench *b)
{
    b->call.to = b->dqkv;
    attention_run_queries<S>(&b->gpu, b->call);
}

template <class S> static void try_keys(struct bench *b)
{
    b->call.to = b->dqkv;
    attention_run_keys<S>(&b->gpu, b->call);
}

struct trial {
    int dim;
    const char *name;
    int products;
    void (*run)(struct bench *b);
};

#define FORWARD(dim, ...)                                                                          \
    {                                                                                              \
        dim, "forward <" #dim ", " #__VA_ARGS__ ">", 2,                                            \
            try_forward<attention_shape<dim, __VA_ARGS__>>                                         \
    }
#define QUERIES(dim, ...)                                                                          \
    {                                                                                              \
        dim, "queries <" #dim ", " #__VA_ARGS__ ">", 3,                                            \
            try_queries<attention_shape<dim, __VA_ARGS__>>                                         \
    }
#define KEYS(dim, ...)                                                                             \
    {                                                                                              \
        dim, "keys    <" #dim ", " #__VA_ARGS__ ">", 4,                                            \
            try_keys<attention_shape<dim, __VA_ARGS__>>                                            \
    }

/* warps, tiles of a warp, other rows, chunk, keep, resident */
static const struct trial trials[] = {
    FORWARD(64, 4, 2, 64, 64, true, 2),   FORWARD(64, 4, 2, 128, 64, true, 2),
    FORWARD(64, 4, 2, 64, 32, true, 2),   FORWARD(64, 8, 1, 64, 64, true, 1),
    FORWARD(64, 4, 1, 64, 64, true, 3),   FORWARD(64, 4, 1, 64, 64, true, 4),
    QUERIES(64, 4, 2, 64, 32, true, 2),   QUERIES(64, 4, 2, 64, 32, false, 2),
    QUERIES(64, 4, 2, 64, 16, true, 2),   QUERIES(64, 8, 1, 64, 32, true, 1),
    QUERIES(64, 8, 1, 64, 64, true, 1),   QUERIES(64, 4, 1, 64, 32, true, 3),
    QUERIES(64, 4, 1, 64, 64, true, 3),   QUERIES(64, 4, 1, 64, 64, true, 2),
    KEYS(64, 4, 2, 64, 32, false, 2),     KEYS(64, 4, 2, 64, 16, false, 2),
    KEYS(64, 4, 2, 64, 16, true, 2),      KEYS(64, 8, 1, 64, 32, true, 1),
    KEYS(64, 8, 1, 64, 64, true, 1),      KEYS(64, 4, 1, 64, 32, true, 3),
    KEYS(64, 4, 1, 64, 32, false, 3),     KEYS(64, 4, 1, 64, 64, true, 2),
    FORWARD(128, 8, 1, 64, 64, true, 1),  FORWARD(128, 4, 1, 64, 64, true, 2),
    FORWARD(128, 4, 2, 64, 32, false, 2), QUERIES(128, 4, 1, 64, 32, true, 2),
    QUERIES(128, 8, 1, 64, 32, true, 1),  QUERIES(128, 4, 1, 64, 64, false, 2),
    KEYS(128, 4, 1, 64, 32, false, 2),    KEYS(128, 8, 1, 64, 32, false, 1),
    KEYS(128, 4, 1, 64, 64, false, 2),
};

/* ---- timing ---- */

static double time_calls(struct bench *b, void (*run)(struct bench *b), int calls)
{
    cudaEvent_t start, stop;
    float ms = 0;
    must(cudaEventCreate(&start), "cudaEventCreate");
    must(cudaEventCreate(&stop), "cudaEventCreate");
    must(cudaEventRecord(start, tdbg_gpu_stream(&b->gpu)), "cudaEventRecord");
    for (int i = 0; i < calls; i++)
        run(b);
    must(cudaEventRecord(stop, tdbg_gpu_stream(&b->gpu)), "cudaEventRecord");
    must(cudaEventSynchronize(stop), "cudaEventSynchronize");
    must(cudaEventElapsedTime(&ms, start, stop), "cudaEventElapsedTime");
    must(b->gpu.error, b->gpu.error_at);
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
    return (double)ms / calls;
}

static int compare_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_ms(struct bench *b, void (*run)(struct bench *b))
{
    double ms[SAMPLES];
    time_calls(b, run, 2);
    const double once = time_calls(b, run, 4) / 4;
    const int calls = once < sample_ms ? (int)(sample_ms / once) + 1 : 1;
    for (int i = 0; i < SAMPLES; i++)
        ms[i] = time_calls(b, run, calls);
    qsort(ms, SAMPLES, sizeof *ms, compare_double);
    return ms[SAMPLES / 2];
}

/* `products` of all the scores that are not masked, whole blocks or not. */
static double tflops(const struct bench *b, int products, double ms)
{
    const double scores =
        (double)(b->a.rows * b->a.heads) * (double)b->a.tokens * (double)b->a.tokens;
    return 2 * products * scores * (double)b->a.dim * (b->a.causal ? 0.5 : 1) / ms * 1e-9;
}

/* ---- trials ---- */

static float *bring(struct bench *b, const uint16_t *x, int64_t elems)
{
    uint16_t *bits = (uint16_t *)malloc((size_t)elems * sizeof *bits);
    float *values = (float *)malloc((size_t)elems * sizeof *values);
    tdbg_gpu_fetch(&b->gpu, bits, x, (size_t)elems * sizeof *bits);
    for (int64_t i = 0; i < elems; i++)
        values[i] = tdbg_strict_float((uint32_t)bits[i] << 16);
    free(bits);
    return values;
}

/* Of the largest value, how far two results are from one another at most: 1 where one is NaN. */
static double distance(const float *x, const float *y, int64_t elems)
{
    double most = 0, largest = 0;
    for (int64_t i = 0; i < elems; i++) {
        const double apart = fabs((double)x[i] - (double)y[i]);
        most = apart <= most ? most : apart <= 1e30 ? apart : 1e30;
        largest = fmax(largest, fabs((double)x[i]));
    }
    return largest > 0 ? fmin(1, most / largest) : 1;
}

/* Every trial's result beside that of the pass as it is. */
static bool try_all(struct bench *b)
{
    bool right = true;
    run_forward(b);
    run_backward(b);
    float *out = bring(b, b->out, b->out_elems), *dqkv = bring(b, b->dqkv, b->qkv_elems);
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        const struct trial *t = &trials[i];
        if (t->dim != b->a.dim)
            continue;
        const bool forward = t->products == 2;
        const double ms = median_ms(b, t->run);
        float *got = forward ? bring(b, b->out, b->out_elems) : bring(b, b->dqkv, b->qkv_elems);
        const double far =
            forward ? distance(out, got, b->out_elems) : distance(dqkv, got, b->qkv_elems);
        printf("    %-40s %8.4f ms %7.1f TFLOP/s%s\n", t->name, ms, tflops(b, t->products, ms),
               far > 0x1p-6 ? "  WRONG" : "");
        fflush(stdout);
        right &= far <= 0x1p-6;
        free(got);
    }
    printf("    %-40s %8.4f ms\n", "terms", median_ms(b, run_terms));
    free(out);
    free(dqkv);
    return right;
}

static bool run_shape(struct bench *b, const int *s, bool all)
{
    bool right = true;
    open_shape(b, s);
    const double forward = median_ms(b, run_forward), backward = median_ms(b, run_backward);
    for (int i = 0; i < PARAMETERS; i++)
        printf("%5d ", s[i]);
    printf("  %8.4f %7.1f  %8.4f %7.1f\n", forward, tflops(b, 2, forward), backward,
           tflops(b, 5, backward));
    fflush(stdout);
    if (all)
        right = try_all(b);
    close_shape(b);
    return right;
}

int main(int argc, char **argv)
{
    struct bench b = {};
    struct tdbg_err err = {};
    const bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    bool right = true;
    argc -= all, argv += all;
    if ((argc - 1) % PARAMETERS != 0) {
        fputs(help, stderr);
        return 2;
    }
    if (tdbg_gpu_open(0, &b.gpu, &err) != TDBG_OK)
        die("cannot start", err.message);
    tdbg_gpu_allow_graphs(&b.gpu, false); /* only kernels are measured */
    printf("fused attention in bfloat16, %s\n", b.gpu.name);
    printf("%5s %5s %5s %5s %5s %5s   %-16s  %s\n", "rows", "token", "heads", "kv", "dim", "caus",
           "y: ms, TFLOP/s", "dqkv");
    for (int at = 1; at < argc; at += PARAMETERS) {
        int shape[PARAMETERS];
        for (int i = 0; i < PARAMETERS; i++)
            shape[i] = atoi(argv[at + i]);
        right &= run_shape(&b, shape, all);
    }
    for (size_t i = 0; argc == 1 && i < sizeof list / sizeof *list; i++)
        right &= run_shape(&b, list[i], all);
    tdbg_gpu_close(&b.gpu);
    return right ? 0 : 1;
}
