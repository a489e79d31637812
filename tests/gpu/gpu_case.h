/* A call of the backend table as a case: run on both backends with the inputs of op/kernel_case.h,
 * bit for bit. */
#ifndef TDBG_TESTS_GPU_GPU_CASE_H
#define TDBG_TESTS_GPU_GPU_CASE_H

#include "../op/kernel_case.h"
#include "gpu_compare.h"
#include "gpu_open.h"

/* Inputs and outputs of a call on one backend. */
struct gpu_run {
    const struct tdbg_backend *be;
    const struct case_input *in;
    int variant;
    struct case_output out; /* brought back */
    int64_t numbers[2];     /* what entries return */
};

struct gpu_case {
    const char *name;
    void (*call)(struct gpu_run *run);
    int variants;
};

static struct tdbg_backend *gpu_case_cpu, *gpu_case_gpu;

/* An input of the case on the run's device. */
static inline float *gpu_input(const struct gpu_run *run, const float *host, int64_t n)
{
    return gpu_place(run->be, host, (size_t)n * sizeof *host);
}

static inline void gpu_output(struct gpu_run *run, int k, float *device, int64_t n)
{
    run->out.n[k] = device ? n : 0;
    run->out.f[k] = gpu_bring(run->be, device, (size_t)n * sizeof *device);
}

static inline void gpu_case_compare(const struct gpu_case *c, const struct case_input *in,
                                    int variant)
{
    struct gpu_run want = {.be = gpu_case_cpu, .in = in, .variant = variant}, got = want;
    char name[200];
    got.be = gpu_case_gpu;
    c->call(&want);
    c->call(&got);
    for (int k = 0; k < CASE_OUTPUTS; k++) {
        snprintf(name, sizeof name, "%s, variant %d, (%lld, %lld), fill %d, output %d", c->name,
                 variant, (long long)in->rows, (long long)in->cols, (int)in->fill, k);
        gpu_check_same(name, want.out.f[k], got.out.f[k], want.out.n[k]);
    }
    for (int k = 0; k < 2; k++) {
        if (want.numbers[k] != got.numbers[k])
            fail_msg("%s gives %lld, the CPU %lld", name, (long long)got.numbers[k],
                     (long long)want.numbers[k]);
    }
    case_free(NULL, &want.out);
    case_free(NULL, &got.out);
}

/* cmocka test over *state, a struct gpu_case: all variants of shapes (rows, cols). */
static inline void gpu_case_test(const struct gpu_case *c, const int64_t (*shapes)[2],
                                 size_t n_shapes)
{
    for (size_t s = 0; s < n_shapes; s++) {
        for (int fill = 0; fill < CASE_FILLS; fill++) {
            struct case_input in = case_make(shapes[s], (enum case_fill)fill);
            struct case_output none = {0};
            for (int v = 0; v < c->variants; v++)
                gpu_case_compare(c, &in, v);
            case_free(&in, &none);
        }
    }
}

#endif
