/* The strict matrix product on a GPU beside cuBLAS's SGEMM (no TF32) in one run, and each of its
 * results beside the definition of gemm.h, one thread per output, bit for bit. cuBLAS is loaded
 * when the program starts: without it there is no comparison, but the check. */
#include <cublas_v2.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gpu.h"
#include "kernels/strict_math.h"
extern "C" {
#include "kernels/gemm.h"
#include "kernels/gemm_cuda.h"
#include "kernels/gpu_graphs.h"
}
#include "kernels/gpu_gemm.h"

static const char help[] =
    "usage: bench-gpu-gemm [all] [SHAPE]\n"
    "\n"
    "Times the strict matrix product beside cuBLAS's SGEMM, alternately, and prints medians in\n"
    "TFLOP/s and their ratio. Ends with 1 where a result is not what the definition says.\n"
    "\n"
    "  all    each cut of a product into tiles and slices, and shapes of tiles that the product\n"
    "         does not use: a line each\n"
    "  SHAPE  only shapes whose name contains this text\n";

struct shape {
    const char *what;
    int64_t m, n, k;
    bool trans_a, trans_b;
};

/* y = x W^T, dW = dy^T x, dx = dy W, of `rows` positions */
#define LINEAR(what, rows, in, out)                                                                \
    {what " y", rows, out, in, false, true}, {what " dW", out, in, rows, true, false},             \
    {                                                                                              \
        what " dx", rows, in, out, false, false                                                    \
    }

static const struct shape shapes[] = {
    {"square 4096", 4096, 4096, 4096, false, false},
    {"square 4096 B^T", 4096, 4096, 4096, false, true},
    {"square 4096 A^T", 4096, 4096, 4096, true, false},
    {"square 8192", 8192, 8192, 8192, false, false},
    /* examples/text_gpt.cfg: 16 samples of 128 tokens */
    LINEAR("gpt qkv", 2048, 128, 384),
    LINEAR("gpt out", 2048, 128, 128),
    LINEAR("gpt up", 2048, 128, 512),
    LINEAR("gpt down", 2048, 512, 128),
    LINEAR("gpt head", 2048, 128, 96),
    /* GPT-2 of 124 M parameters: 8 samples of 1024 tokens, and 32 */
    LINEAR("gpt2 qkv", 8192, 768, 2304),
    LINEAR("gpt2 out", 8192, 768, 768),
    LINEAR("gpt2 up", 8192, 768, 3072),
    LINEAR("gpt2 down", 8192, 3072, 768),
    LINEAR("gpt2 head", 8192, 768, 50257),
    LINEAR("gpt2x4 qkv", 32768, 768, 2304),
    LINEAR("gpt2x4 out", 32768, 768, 768),
    LINEAR("gpt2x4 up", 32768, 768, 3072),
};

enum { SHAPES = sizeof shapes / sizeof *shapes, SAMPLES = 11, MAX_CONTENDERS = 64 };
static const double sample_ms = 0.4;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-gpu-gemm: %s: %s\n", what, why);
    exit(1);
}

static void must(cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        die(what, cudaGetErrorString(error));
}

/* ---- cuBLAS ---- */

struct peer {
    cublasHandle_t handle; /* NULL: there is none */
    decltype(&cublasCreate) create;
    decltype(&cublasSetStream) set_stream;
    decltype(&cublasSetMathMode) set_math_mode;
    decltype(&cublasSgemm) sgemm;
};

#define STRING_OF(x)     #x
#define NAME_OF(x)       STRING_OF(x) /* the names of the header are macros: cublasSgemm_v2 */
#define FIND(peer, f, x) peer.f = (decltype(peer.f))dlsym(library, NAME_OF(x))

static struct peer open_peer(cudaStream_t stream)
{
    static const char *const places[] = {"libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so.13",
                                         "libcublas.so.12",
                                         "/usr/local/cuda/lib64/libcublas.so.12"};
    struct peer peer = {};
    void *library = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !library; i++)
        library = dlopen(places[i], RTLD_NOW);
    if (!library) {
        printf("no cuBLAS: %s\n", dlerror());
        return peer;
    }
    FIND(peer, create, cublasCreate);
    FIND(peer, set_stream, cublasSetStream);
    FIND(peer, set_math_mode, cublasSetMathMode);
    FIND(peer, sgemm, cublasSgemm);
    if (!peer.create || !peer.set_stream || !peer.set_math_mode || !peer.sgemm)
        die("cuBLAS", "a function is missing");
    if (peer.create(&peer.handle) != CUBLAS_STATUS_SUCCESS ||
        peer.set_stream(peer.handle, stream) != CUBLAS_STATUS_SUCCESS ||
        peer.set_math_mode(peer.handle, CUBLAS_DEFAULT_MATH) != CUBLAS_STATUS_SUCCESS)
        die("cuBLAS", "cannot be started");
    return peer;
}

/* ---- contenders ---- */

struct bench {
    struct tdbg_gpu gpu;
    struct peer peer;
    float *pool, *c, *want; /* operands lie at changing places of the pool */
    int64_t pool_elems, at;
    unsigned *wrong;
    bool all;
};

struct contender {
    char name[64];
    void (*run)(struct bench *b, const struct contender *who, const struct tdbg_gemm *g);
    struct tdbg_gemm_cut cut;
    double ms[SAMPLES];
};

static void run_chosen(struct bench *b, const struct contender *, const struct tdbg_gemm *g)
{
    tdbg_cuda_gemm(&b->gpu, g, NULL);
}

static void run_cut(struct bench *b, const struct contender *who, const struct tdbg_gemm *g)
{
    tdbg_cuda_gemm_run(&b->gpu, g, who->cut);
}

/* C^T = B'^T A'^T, which is how a library of columns sees rows. */
static void run_peer(struct bench *b, const struct contender *, const struct tdbg_gemm *g)
{
    const float one = 1, zero = 0;
    const cublasStatus_t status =
        b->peer.sgemm(b->peer.handle, g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                      g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)g->n, (int)g->m, (int)g->k, &one,
                      g->b, (int)g->ldb, g->a, (int)g->lda, &zero, g->c, (int)g->ldc);
    if (status != CUBLAS_STATUS_SUCCESS)
        die("cuBLAS", "cublasSgemm failed");
}

/* A tile of another shape, a block for all slices. Operands of these benchmarks are wide, but for
 * the head's. */
template <class S>
static void run_trial(struct bench *b, const struct contender *, const struct tdbg_gemm *g)
{
    struct tdbg_gpu_gemm p = {};
    p.m = g->m;
    p.n = g->n;
    p.k = g->k;
    p.a = g->a;
    p.lda = g->lda;
    p.b = g->b;
    p.ldb = g->ldb;
    p.c = g->c;
    p.ldc = g->ldc;
    p.wide_c = g->ldc % 4 == 0;
    p.tiles_m = (unsigned)((g->m + S::M - 1) / S::M);
    p.tiles_n = (unsigned)((g->n + S::N - 1) / S::N);
    void (*kernel)(struct tdbg_gpu_gemm) = tdbg_gpu_gemm_tile<S, true, false, true>;
    if (g->trans_b)
        kernel = tdbg_gpu_gemm_tile<S, true, true, true>;
    else if (g->trans_a)
        kernel = tdbg_gpu_gemm_tile<S, false, false, true>;
    TDBG_LAUNCH_DYNAMIC(&b->gpu, kernel, p.tiles_m * p.tiles_n, S::THREADS,
                        g->k > TDBG_K_SLICE ? S::TOTAL_BYTES : 0, p);
}

static const struct {
    const char *name;
    void (*run)(struct bench *b, const struct contender *, const struct tdbg_gemm *g);
} trials[] = {
    {"256x128, 16x8 a thread", run_trial<tdbg_gpu_gemm_shape<16, 8, 4, 2, 8, 1>>},
    {"128x256, 8x16 a thread", run_trial<tdbg_gpu_gemm_shape<8, 16, 4, 2, 8, 1>>},
    {"128x128, 8 deep", run_trial<tdbg_gpu_gemm_shape<8, 8, 4, 2, 8, 2>>},
    {"128x64, 16 deep", run_trial<tdbg_gpu_gemm_shape<8, 8, 4, 1, 16, 4>>},
};

static struct contender *add(struct contender *all, int *n, const char *name)
{
    struct contender *who = &all[(*n)++];
    *who = {};
    snprintf(who->name, sizeof who->name, "%s", name);
    return who;
}

static void add_cut(struct contender *all, int *n, int tile, int64_t slices_at_once)
{
    char name[64];
    struct tdbg_gemm_cut cut = {tile, slices_at_once};
    snprintf(name, sizeof name, "%s", tdbg_cuda_gemm_tile_text(tile));
    if (slices_at_once > 0)
        snprintf(name, sizeof name, "%s, %lld slices at once", tdbg_cuda_gemm_tile_text(tile),
                 (long long)slices_at_once);
    struct contender *who = add(all, n, name);
    who->run = run_cut;
    who->cut = cut;
}

/* The first is what tdbg uses, the second, if there is one, is the peer. */
static int list_contenders(const struct bench *b, const struct tdbg_gemm *g, struct contender *all)
{
    int n = 0;
    add(all, &n, "chosen")->run = run_chosen;
    if (b->peer.handle)
        add(all, &n, "cuBLAS")->run = run_peer;
    if (!b->all)
        return n;
    const int64_t slices = (g->k + TDBG_K_SLICE - 1) / TDBG_K_SLICE;
    for (int tile = 0; tile < tdbg_cuda_gemm_tile_count(); tile++) {
        add_cut(all, &n, tile, 0);
        for (int64_t at_once = 2; at_once < 2 * slices; at_once *= 2) {
            const int64_t some = at_once < slices ? at_once : slices;
            if (some > 1 && some * g->m * g->n <= (int64_t)64 << 20)
                add_cut(all, &n, tile, some);
        }
    }
    const bool wide = g->lda % 4 == 0 && g->ldb % 4 == 0 && g->m % 4 == 0 && g->n % 4 == 0;
    for (size_t i = 0; i < sizeof trials / sizeof *trials && wide; i++)
        add(all, &n, trials[i].name)->run = trials[i].run;
    return n;
}

/* ---- operands and results ---- */

static __global__ void fill(int64_t n, float *x)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x) {
        uint64_t z = (uint64_t)i * 0x9e3779b97f4a7c15u + 1; /* splitmix64 */
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        x[i] = (float)(int32_t)(z >> 32) * 0x1p-31f;
    }
}

/* gemm.h, word by word. */
static __global__ void define(const struct tdbg_gemm g)
{
    const int64_t j = (int64_t)blockIdx.x * 32 + threadIdx.x % 32;
    const int64_t i = (int64_t)blockIdx.y * 8 + threadIdx.x / 32;
    if (i >= g.m || j >= g.n)
        return;
    float sum = 0;
    for (int64_t slice = 0; slice < g.k; slice += TDBG_K_SLICE) {
        float p = 0;
        for (int64_t t = slice; t < g.k && t < slice + TDBG_K_SLICE; t++)
            p = TDBG_STRICT_FMA(g.trans_a ? g.a[t * g.lda + i] : g.a[i * g.lda + t],
                                g.trans_b ? g.b[j * g.ldb + t] : g.b[t * g.ldb + j], p);
        sum = slice == 0 ? p : TDBG_STRICT_ADD(sum, p);
    }
    g.c[i * g.ldc + j] = tdbg_strict_canonical(sum);
}

static __global__ void compare(int64_t n, const float *want, const float *got, unsigned *wrong)
{
    unsigned here = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x)
        here += tdbg_strict_bits(want[i]) != tdbg_strict_bits(got[i]);
    if (here > 0)
        atomicAdd(wrong, here);
}

/* The product with operands at the next places of the pool. */
static struct tdbg_gemm next_product(struct bench *b, const struct shape *s)
{
    const int64_t elems = s->m * s->k + s->k * s->n, round = (elems + 1023) / 1024 * 1024;
    if (b->at + round > b->pool_elems)
        b->at = 0;
    struct tdbg_gemm g = {};
    g.m = s->m;
    g.n = s->n;
    g.k = s->k;
    g.trans_a = s->trans_a;
    g.trans_b = s->trans_b;
    g.a = b->pool + b->at;
    g.b = g.a + (s->m * s->k + 3) / 4 * 4;
    g.lda = s->trans_a ? s->m : s->k;
    g.ldb = s->trans_b ? s->k : s->n;
    g.c = b->c;
    g.ldc = s->n;
    b->at += round;
    return g;
}

static bool is_right(struct bench *b, const struct shape *s, const struct contender *who)
{
    const int64_t n = s->m * s->n;
    b->at = 0;
    const struct tdbg_gemm g = next_product(b, s);
    must(cudaMemsetAsync(b->c, 0xff, (size_t)n * sizeof(float), tdbg_gpu_stream(&b->gpu)),
         "cudaMemset");
    must(cudaMemsetAsync(b->wrong, 0, sizeof *b->wrong, tdbg_gpu_stream(&b->gpu)), "cudaMemset");
    who->run(b, who, &g);
    TDBG_LAUNCH(&b->gpu, compare, 1024, 256, n, b->want, b->c, b->wrong);
    unsigned wrong;
    tdbg_gpu_fetch(&b->gpu, &wrong, b->wrong, sizeof wrong);
    must(b->gpu.error, who->name);
    if (wrong > 0)
        printf("%s: %s: %u of %lld outputs are not what gemm.h says\n", s->what, who->name, wrong,
               (long long)n);
    return wrong == 0;
}

static bool check_all(struct bench *b, const struct shape *s, const struct contender *all, int n)
{
    bool right = true;
    b->at = 0;
    struct tdbg_gemm g = next_product(b, s);
    g.c = b->want;
    const dim3 grid((unsigned)((g.n + 31) / 32), (unsigned)((g.m + 7) / 8));
    TDBG_LAUNCH(&b->gpu, define, grid, 256, g);
    for (int i = 0; i < n; i++)
        right &= all[i].run == run_peer || is_right(b, s, &all[i]);
    return right;
}

/* ---- time ---- */

static double time_calls(struct bench *b, const struct shape *s, const struct contender *who,
                         int calls)
{
    cudaEvent_t start, stop;
    float ms = 0;
    must(cudaEventCreate(&start), "cudaEventCreate");
    must(cudaEventCreate(&stop), "cudaEventCreate");
    must(cudaEventRecord(start, tdbg_gpu_stream(&b->gpu)), "cudaEventRecord");
    for (int i = 0; i < calls; i++) {
        const struct tdbg_gemm g = next_product(b, s);
        who->run(b, who, &g);
    }
    must(cudaEventRecord(stop, tdbg_gpu_stream(&b->gpu)), "cudaEventRecord");
    must(cudaEventSynchronize(stop), "cudaEventSynchronize");
    must(cudaEventElapsedTime(&ms, start, stop), "cudaEventElapsedTime");
    must(b->gpu.error, who->name);
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
    return (double)ms / calls;
}

static int compare_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double tflops(const struct shape *s, struct contender *who)
{
    qsort(who->ms, SAMPLES, sizeof *who->ms, compare_double);
    return 2.0 * (double)s->m * (double)s->n * (double)s->k / who->ms[SAMPLES / 2] * 1e-9;
}

static void time_all(struct bench *b, const struct shape *s, struct contender *all, int n)
{
    int calls[MAX_CONTENDERS];
    for (int i = 0; i < n; i++) {
        time_calls(b, s, &all[i], 2);
        const double ms = time_calls(b, s, &all[i], 4);
        calls[i] = ms < sample_ms ? (int)(sample_ms / ms) + 1 : 1;
    }
    for (int sample = 0; sample < SAMPLES; sample++) {
        for (int i = 0; i < n; i++)
            all[i].ms[sample] = time_calls(b, s, &all[i], calls[i]);
    }
}

/* ---- the table ---- */

struct summary {
    int n;
    double log_sum, least;
    const char *where;
};

static void print_shape(struct bench *b, const struct shape *s, struct contender *all, int n,
                        struct summary *summary)
{
    const struct tdbg_gemm g = next_product(b, s);
    const struct tdbg_gemm_cut cut =
        tdbg_cuda_gemm_choose(b->gpu.multiprocessors, b->gpu.capability, &g);
    const double own = tflops(s, &all[0]);
    const double peer = b->peer.handle ? tflops(s, &all[1]) : 0;
    printf("%-16s %6lld %6lld %6lld  %-8s %4lld  %6.2f", s->what, (long long)s->m, (long long)s->n,
           (long long)s->k, tdbg_cuda_gemm_tile_text(cut.tile), (long long)cut.slices_at_once, own);
    if (peer > 0) {
        const double ratio = own / peer;
        printf("  %6.2f  %5.2f", peer, ratio);
        summary->least = summary->n == 0 || ratio < summary->least ? ratio : summary->least;
        if (summary->least == ratio)
            summary->where = s->what;
        summary->log_sum += log(ratio);
        summary->n++;
    }
    printf("\n");
    for (int i = peer > 0 ? 2 : 1; i < n; i++)
        printf("    %-32s %6.2f\n", all[i].name, tflops(s, &all[i]));
    fflush(stdout);
}

static void open_bench(struct bench *b)
{
    struct tdbg_err err = {};
    int64_t pool = 0, most_c = 0;
    int khz = 0;
    if (tdbg_gpu_open(0, &b->gpu, &err) != TDBG_OK)
        die("cannot start", err.message);
    tdbg_gpu_allow_graphs(&b->gpu, false); /* only kernels are measured */
    for (int i = 0; i < SHAPES; i++) {
        const struct shape *s = &shapes[i];
        const int64_t elems = s->m * s->k + s->k * s->n, c = s->m * s->n;
        pool = elems > pool ? elems : pool;
        most_c = c > most_c ? c : most_c;
    }
    b->pool_elems = 2 * pool + 4096; /* far more than a cache holds */
    must(cudaMalloc(&b->pool, (size_t)b->pool_elems * sizeof(float)), "cudaMalloc");
    must(cudaMalloc(&b->c, (size_t)most_c * sizeof(float)), "cudaMalloc");
    must(cudaMalloc(&b->want, (size_t)most_c * sizeof(float)), "cudaMalloc");
    must(cudaMalloc(&b->wrong, sizeof *b->wrong), "cudaMalloc");
    TDBG_LAUNCH(&b->gpu, fill, 4096, 256, b->pool_elems, b->pool);
    must(cudaDeviceGetAttribute(&khz, cudaDevAttrClockRate, 0), "cudaDeviceGetAttribute");
    b->peer = open_peer(tdbg_gpu_stream(&b->gpu));
    printf("%s, %d multiprocessors, at most %d MHz: peak %.1f TFLOP/s\n", b->gpu.name,
           b->gpu.multiprocessors, khz / 1000, b->gpu.multiprocessors * 256e-9 * khz);
    printf("%-16s %6s %6s %6s  %-8s %4s  %6s  %6s  %5s\n", "product", "m", "n", "k", "tile",
           "at once", "tdbg", "cuBLAS", "ratio");
}

int main(int argc, char **argv)
{
    static struct contender all[MAX_CONTENDERS];
    struct bench b = {};
    struct summary summary = {};
    const char *only = "";
    bool right = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "all") == 0)
            b.all = true;
        else
            only = argv[i];
    }
    if (only[0] == '-') {
        fputs(help, stdout);
        return 0;
    }
    open_bench(&b);
    for (int i = 0; i < SHAPES; i++) {
        const struct shape *s = &shapes[i];
        if (!strstr(s->what, only))
            continue;
        const struct tdbg_gemm g = next_product(&b, s);
        const int n = list_contenders(&b, &g, all);
        right &= check_all(&b, s, all, n);
        time_all(&b, s, all, n);
        print_shape(&b, s, all, n, &summary);
    }
    if (summary.n > 0)
        printf("of cuBLAS's speed: %.2f as the geometric mean of %d products, least %.2f (%s)\n",
               exp(summary.log_sum / summary.n), summary.n, summary.least, summary.where);
    printf(right ? "all results are the definition's, bit for bit\n" : "RESULTS ARE WRONG\n");
    tdbg_gpu_close(&b.gpu);
    return right ? 0 : 1;
}
