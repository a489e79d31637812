/* A kernel with its inputs as one case: run on every instruction set of this processor with 1, 2
 * and 7 threads, bit for bit against the portable one-thread run, against a binary64 reference, and
 * against a golden hash. Shared by test_losses.c and test_optimizers.c. */
#ifndef TDBG_TESTS_OP_KERNEL_CASE_H
#define TDBG_TESTS_OP_KERNEL_CASE_H

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/digest.h"
#include "base/philox.h"
#include "kernels/cpu.h"

enum { CASE_OUTPUTS = 4, CASE_SEED = 20261125 };

/* plain: in [-2, 2). special: every fourth value a NaN, infinity, zero, denormal or +-2^60. */
enum case_fill { CASE_PLAIN, CASE_SPECIAL, CASE_FILLS };

struct case_input {
    int64_t rows, cols, n; /* n = rows * cols */
    enum case_fill fill;
    float *a, *b, *c, *d; /* (n); d is never negative */
    int32_t *targets;     /* (rows) in 0..cols-1, some -100 */
};

struct case_output {
    float *f[CASE_OUTPUTS]; /* (n[k]) */
    int64_t n[CASE_OUTPUTS];
};

struct kernel_case {
    const char *name;
    int variant;
    void (*run)(int variant, const struct tdbg_cpu *cpu, const struct case_input *in,
                struct case_output *out);
    /* exact (n[k]) and allowed absolute errors; called for plain inputs only. */
    void (*reference)(int variant, const struct case_input *in, double *exact[CASE_OUTPUTS],
                      double *allowed[CASE_OUTPUTS]);
    uint64_t golden;
};

static const int64_t case_shapes[][2] = {
    {1, 1}, {1, 31}, {33, 10}, {64, 33}, {5, 4097}, {2, 10000}, {1, 130001}, {4000, 7},
};

static inline float case_value(const struct tdbg_philox_block *r, enum case_fill fill)
{
    static const uint32_t special[] = {
        0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000, 0x00000000, 0x80000000,
        0x00000001, 0x807fffff, 0x00800000, 0x3f800000, 0x5d800000, 0xdd800000,
    };
    if (fill == CASE_SPECIAL && r->word[1] % 4 == 0)
        return tdbg_bits_float(special[r->word[2] % (sizeof special / sizeof *special)]);
    return tdbg_philox_uniform(r->word[0]) * 4 - 2;
}

static inline struct case_input case_make(const int64_t shape[2], enum case_fill fill)
{
    struct case_input in = {
        .rows = shape[0], .cols = shape[1], .n = shape[0] * shape[1], .fill = fill};
    float **all[] = {&in.a, &in.b, &in.c, &in.d};
    for (uint64_t k = 0; k < 4; k++) {
        uint64_t key = tdbg_philox_key(CASE_SEED, TDBG_RANDOM_TEST, k);
        *all[k] = malloc((size_t)in.n * sizeof(float));
        for (int64_t i = 0; i < in.n; i++) {
            struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, (uint64_t)fill);
            (*all[k])[i] = case_value(&r, fill);
        }
    }
    for (int64_t i = 0; i < in.n; i++)
        in.d[i] = fabsf(in.d[i]);
    uint64_t key = tdbg_philox_key(CASE_SEED, TDBG_RANDOM_TEST, 9), counter = 0;
    in.targets = malloc((size_t)in.rows * sizeof *in.targets);
    for (int64_t r = 0; r < in.rows; r++)
        in.targets[r] = tdbg_philox_below(key, &counter, 8) == 0
                            ? -100
                            : (int32_t)tdbg_philox_below(key, &counter, (uint64_t)in.cols);
    return in;
}

/* Output k of n floats: a copy of src, or rubbish that the kernel has to overwrite. */
static inline float *case_give(struct case_output *out, int k, int64_t n, const float *src)
{
    out->n[k] = n;
    out->f[k] = malloc((size_t)n * sizeof(float) + 1);
    if (src)
        memcpy(out->f[k], src, (size_t)n * sizeof(float));
    else
        memset(out->f[k], 0x5a, (size_t)n * sizeof(float));
    return out->f[k];
}

static inline void case_free(struct case_input *in, struct case_output *out)
{
    if (in) {
        free(in->a);
        free(in->b);
        free(in->c);
        free(in->d);
        free(in->targets);
    }
    for (int k = 0; k < CASE_OUTPUTS; k++)
        free(out->f[k]);
}

static inline void case_check_reference(const struct kernel_case *c, const struct case_input *in,
                                        const struct case_output *out)
{
    double *exact[CASE_OUTPUTS], *allowed[CASE_OUTPUTS];
    for (int k = 0; k < CASE_OUTPUTS; k++) {
        exact[k] = calloc((size_t)(in->n + 8), sizeof(double));
        allowed[k] = calloc((size_t)(in->n + 8), sizeof(double));
    }
    c->reference(c->variant, in, exact, allowed);
    for (int k = 0; k < CASE_OUTPUTS; k++) {
        for (int64_t i = 0; i < out->n[k]; i++) {
            const double got = (double)out->f[k][i];
            if (!(fabs(got - exact[k][i]) <= allowed[k][i]))
                fail_msg("%s (%lld, %lld): output %d [%lld] is %a, exact %a, allowed %g, seed %d",
                         c->name, (long long)in->rows, (long long)in->cols, k, (long long)i, got,
                         exact[k][i], allowed[k][i], (int)CASE_SEED);
        }
        free(exact[k]);
        free(allowed[k]);
    }
}

static inline void case_check_same(const struct kernel_case *c, const struct case_input *in,
                                   const struct tdbg_cpu *cpu, const struct case_output *want,
                                   const struct case_output *got)
{
    for (int k = 0; k < CASE_OUTPUTS; k++) {
        for (int64_t i = 0; i < want->n[k]; i++) {
            uint32_t a = tdbg_float_bits(want->f[k][i]), b = tdbg_float_bits(got->f[k][i]);
            if (a != b)
                fail_msg("%s (%lld, %lld) fill %d isa %s threads %d: output %d [%lld] is %08x, "
                         "portable has %08x",
                         c->name, (long long)in->rows, (long long)in->cols, (int)in->fill,
                         tdbg_isa_text(cpu->isa), cpu->threads, k, (long long)i, b, a);
            if ((a & 0x7fffffffu) > 0x7f800000u && a != 0x7fc00000u)
                fail_msg("%s: output %d [%lld] is the NaN %08x", c->name, k, (long long)i, a);
        }
    }
}

static inline uint64_t case_check(const struct kernel_case *c, const int64_t shape[2],
                                  enum case_fill fill, uint64_t h)
{
    static const int thread_counts[] = {1, 2, 7};
    struct case_input in = case_make(shape, fill);
    struct case_output want = {0};
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "portable", 1, NULL), TDBG_OK);
    c->run(c->variant, &cpu, &in, &want);
    if (c->reference && fill == CASE_PLAIN)
        case_check_reference(c, &in, &want);
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        for (int t = 0; t < 3; t++) {
            if (tdbg_cpu_init(&cpu, tdbg_isa_text((enum tdbg_isa)isa), thread_counts[t], NULL) !=
                TDBG_OK)
                continue; /* this processor lacks it */
            struct case_output got = {0};
            c->run(c->variant, &cpu, &in, &got);
            case_check_same(c, &in, &cpu, &want, &got);
            case_free(NULL, &got);
        }
    }
    for (int k = 0; k < CASE_OUTPUTS; k++)
        h = tdbg_chain_absorb(h, tdbg_digest_reference(want.f[k], TDBG_DTYPE_F32, want.n[k]));
    case_free(&in, &want);
    return h;
}

/* cmocka test over *state, a struct kernel_case. */
static inline void case_test(void **state)
{
    const struct kernel_case *c = *state;
    uint64_t h = 0;
    for (size_t s = 0; s < sizeof case_shapes / sizeof *case_shapes; s++) {
        for (int fill = 0; fill < CASE_FILLS; fill++)
            h = case_check(c, case_shapes[s], (enum case_fill)fill, h);
    }
    if (h != c->golden)
        fail_msg("%s: the golden hash is now 0x%016" PRIx64 ": a bit has moved "
                 "(see docs/numerics.md before you change it)",
                 c->name, h);
}

#endif
