/* The strict functions on a GPU and on the CPU: the same bits for all 2^32 floats, by digests of
 * 2^24 results each. The emulated GPU gets one chunk of floats that are spread over all of them.
 *     test-gpu-sweep [NAME...]
 * Names choose functions; what they are on the CPU is swept by op/sweep_math.c. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest_block.h"
#include "gpu_compare.h"
#include "gpu_open.h"
#include "kernels/gpu_math.h"
#include "kernels/isa_table.h"
#include "kernels/parallel.h"

enum { BLOCK = TDBG_STATS_BLOCK_ELEMS, SPREAD_ELEMS = 1 << 17, SPREAD_STRIDE = 32771 };

enum kind { MATH, FORWARD, BACKWARD }; /* BACKWARD: with dy = 1, the derivative */

struct function {
    const char *name;
    enum kind kind;
    int which;   /* enum tdbg_gpu_math or enum tdbg_activation */
    size_t slot; /* offset of the kernel in struct tdbg_isa_table */
};

#define FUNCTION(name, kind, which, slot)                                                          \
    {                                                                                              \
        name, kind, which, offsetof(struct tdbg_isa_table, slot)                                   \
    }

static const struct function functions[] = {
    FUNCTION("exp", MATH, TDBG_GPU_MATH_EXP, math_exp),
    FUNCTION("log", MATH, TDBG_GPU_MATH_LOG, math_log),
    FUNCTION("log1p", MATH, TDBG_GPU_MATH_LOG1P, math_log1p),
    FUNCTION("softplus", MATH, TDBG_GPU_MATH_SOFTPLUS, math_softplus),
    FUNCTION("erf", MATH, TDBG_GPU_MATH_ERF, math_erf),
    FUNCTION("sin", MATH, TDBG_GPU_MATH_SIN, math_sin),
    FUNCTION("cos", MATH, TDBG_GPU_MATH_COS, math_cos),
    FUNCTION("gelu", FORWARD, TDBG_ACTIVATION_GELU_ERF, gelu_erf_forward),
    FUNCTION("gelu'", BACKWARD, TDBG_ACTIVATION_GELU_ERF, gelu_erf_backward),
    FUNCTION("gelu_tanh", FORWARD, TDBG_ACTIVATION_GELU_TANH, gelu_tanh_forward),
    FUNCTION("gelu_tanh'", BACKWARD, TDBG_ACTIVATION_GELU_TANH, gelu_tanh_backward),
    FUNCTION("silu", FORWARD, TDBG_ACTIVATION_SILU, silu_forward),
    FUNCTION("silu'", BACKWARD, TDBG_ACTIVATION_SILU, silu_backward),
    FUNCTION("tanh", FORWARD, TDBG_ACTIVATION_TANH, tanh_forward),
    FUNCTION("tanh' of tanh", BACKWARD, TDBG_ACTIVATION_TANH, tanh_backward),
    FUNCTION("sigmoid", FORWARD, TDBG_ACTIVATION_SIGMOID, sigmoid_forward),
    FUNCTION("sigmoid' of sigmoid", BACKWARD, TDBG_ACTIVATION_SIGMOID, sigmoid_backward),
};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

static struct tdbg_backend *gpu;
static struct tdbg_cpu cpu; /* all its threads */
static float ones[BLOCK];

/* A chunk of floats, on the host and on the device. */
struct chunk {
    int64_t n;
    float *x;
    float *device_x, *device_ones, *device_y;
};

struct cpu_job {
    const struct function *f;
    const float *x;
    int64_t n;
    uint64_t digest; /* a sum: any order gives the same */
};

static void compute_on_cpu(const struct function *f, int64_t n, const float *x, float *y)
{
    if (f->kind == BACKWARD) {
        void (*kernel)(int64_t, const float *, const float *, float *);
        memcpy(&kernel, (const char *)cpu.table + f->slot, sizeof kernel);
        kernel(n, x, ones, y);
    } else {
        void (*kernel)(int64_t, const float *, float *);
        memcpy(&kernel, (const char *)cpu.table + f->slot, sizeof kernel);
        kernel(n, x, y);
    }
}

/* Blocks lo..hi-1 of a chunk. */
static void digest_range(void *ctx, int64_t lo, int64_t hi)
{
    struct cpu_job *job = ctx;
    float y[BLOCK];
    uint64_t digest = 0;
    for (int64_t b = lo; b < hi; b++) {
        const int64_t left = job->n - b * BLOCK, n = left < BLOCK ? left : BLOCK;
        struct tdbg_digest_part part;
        compute_on_cpu(job->f, n, job->x + b * BLOCK, y);
        cpu.table->digest_block(y, TDBG_DTYPE_F32, b * BLOCK, n, TDBG_PART_DIGEST, &part);
        digest += part.digest;
    }
    __atomic_fetch_add(&job->digest, digest, __ATOMIC_RELAXED);
}

static uint64_t digest_on_cpu(const struct function *f, const struct chunk *c)
{
    struct cpu_job job = {.f = f, .x = c->x, .n = c->n};
    tdbg_parallel_for(cpu.threads, (c->n + BLOCK - 1) / BLOCK, 4, digest_range, &job);
    return job.digest + tdbg_digest_length((uint64_t)c->n);
}

static uint64_t digest_on_gpu(const struct function *f, const struct chunk *c)
{
    struct tdbg_err err = {0};
    uint64_t digest;
    if (f->kind == MATH)
        tdbg_cuda_math(gpu->context, (enum tdbg_gpu_math)f->which, c->n, c->device_x, c->device_y);
    else if (f->kind == FORWARD)
        gpu->activation_forward(gpu->context, (enum tdbg_activation)f->which, c->n, c->device_x,
                                c->device_y);
    else
        gpu->activation_backward(gpu->context, (enum tdbg_activation)f->which, c->n, c->device_x,
                                 c->device_ones, c->device_y);
    if (gpu->digest(gpu->context, c->device_y, TDBG_DTYPE_F32, c->n, &digest, NULL, &err) !=
        TDBG_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
    return digest;
}

/* Says which float of the chunk is the first that differs. */
static void tell_first(const struct function *f, const struct chunk *c)
{
    float *got = malloc((size_t)c->n * sizeof *got), want;
    struct tdbg_err err = {0};
    if (gpu->to_host(gpu->context, got, c->device_y, (size_t)c->n * sizeof *got, &err) != TDBG_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
    for (int64_t i = 0; i < c->n; i++) {
        compute_on_cpu(f, 1, &c->x[i], &want);
        if (tdbg_float_bits(got[i]) == tdbg_float_bits(want))
            continue;
        printf("%s(%a) is %a (%08" PRIx32 "), the CPU has %a (%08" PRIx32 ")\n", f->name,
               (double)c->x[i], (double)got[i], tdbg_float_bits(got[i]), (double)want,
               tdbg_float_bits(want));
        break;
    }
    free(got);
}

/* Fills the chunk with floats, `stride` apart, from number `first`. */
static void fill_chunk(struct chunk *c, uint32_t first, uint32_t stride)
{
    struct tdbg_err err = {0};
    for (int64_t i = 0; i < c->n; i++)
        c->x[i] = tdbg_bits_float(first + (uint32_t)i * stride);
    if (gpu->to_device(gpu->context, c->device_x, c->x, (size_t)c->n * sizeof *c->x, &err) !=
        TDBG_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
}

static struct chunk open_chunk(int64_t n)
{
    const size_t bytes = (size_t)n * sizeof(float);
    struct chunk c = {.n = n, .x = malloc(bytes)};
    for (int64_t i = 0; i < n; i++)
        c.x[i] = 1;
    c.device_ones = gpu_place(gpu, c.x, bytes);
    c.device_x = gpu_place(gpu, NULL, bytes);
    c.device_y = gpu_place(gpu, NULL, bytes);
    return c;
}

static void close_chunk(struct chunk *c)
{
    gpu_drop(gpu, c->device_ones);
    gpu_drop(gpu, c->device_x);
    gpu_drop(gpu, c->device_y);
    free(c->x);
}

static bool is_chosen(const char *name, int n, char **names)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return n == 0;
}

int main(int argc, char **argv)
{
    struct tdbg_backend *unused;
    struct tdbg_err err = {0};
    int wrong[N_FUNCTIONS] = {0}, n_wrong = 0, n_swept = 0;
    gpu_open_both(&unused, &gpu);
    if (tdbg_cpu_init(&cpu, "auto", 0, &err) != TDBG_OK) {
        printf("%s\n", err.message);
        return 1;
    }
    for (int i = 0; i < BLOCK; i++)
        ones[i] = 1;
    const bool emulated = strcmp(gpu->isa, "emulated GPU") == 0;
    const int64_t n = emulated ? SPREAD_ELEMS : INT64_C(1) << 24;
    const int chunks = emulated ? 1 : 256;
    struct chunk c = open_chunk(n);
    for (int k = 0; k < chunks; k++) {
        fill_chunk(&c, (uint32_t)k << 24, emulated ? SPREAD_STRIDE : 1);
        for (int i = 0; i < N_FUNCTIONS; i++) {
            const struct function *f = &functions[i];
            if (!is_chosen(f->name, argc - 1, argv + 1))
                continue;
            n_swept++;
            if (digest_on_gpu(f, &c) != digest_on_cpu(f, &c) && wrong[i]++ == 0)
                tell_first(f, &c);
        }
    }
    for (int i = 0; i < N_FUNCTIONS; i++) {
        if (wrong[i] > 0)
            printf("%s: %d of %d chunks differ\n", functions[i].name, wrong[i], chunks);
        n_wrong += wrong[i];
    }
    close_chunk(&c);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(unused);
    printf("%lld floats in %d chunks, %d functions: %s\n", (long long)n * chunks, chunks,
           n_swept / chunks, n_swept > 0 && n_wrong == 0 ? "the same bits" : "FAILED");
    return n_swept > 0 && n_wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
