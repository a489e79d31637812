/* Every kernel but the matrix product, on every instruction set of this processor and 1, 2 and 7
 * threads: bit for bit against the portable one-thread run, against a float64 reference with the
 * stated tolerance, and against a golden hash, so that no bit moves unnoticed. One table drives it
 * all (kernel_table.c). Single values that a header promises are in test_kernel_values.c. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/digest.h"
#include "base/philox.h"
#include "kernel_table.h"

enum { SEED = 20240607 };
static const int thread_counts[] = {1, 2, 7};

/* ---- inputs ---------------------------------------------------------------------------------- */

static const char *const fill_text[] = {"plain", "wide", "special"};

static float special_value(uint32_t word)
{
    static const uint32_t bits[] = {
        0x7fc00000, 0xffc00000, 0x7f800001, 0x7f800000, 0xff800000, 0x00000000,
        0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000,
        0x3f800000, 0xbfc00000, 0x5d800000, 0xdd800000, /* +-2^60 */
    };
    return tdbg_bits_float(bits[word % (sizeof bits / sizeof *bits)]);
}

static float make_value(enum fill fill, const struct tdbg_philox_block *r)
{
    float plain = tdbg_philox_uniform(r->word[0]) * 4 - 2;
    if (fill == FILL_WIDE)
        return ldexpf(plain, (int)(r->word[1] % 160) - 145);
    if (fill == FILL_SPECIAL && r->word[1] % 4 == 0)
        return special_value(r->word[2]);
    return plain;
}

static float *make_floats(enum fill fill, int64_t n, uint64_t stream)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, stream);
    for (int64_t i = 0; i < n; i++) {
        struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, fill);
        x[i] = make_value(fill, &r);
    }
    return x;
}

static struct data make_data(const int64_t dims[3], enum fill fill)
{
    struct data in = {.dims = dims, .n = dims[0] * dims[1] * dims[2], .fill = fill};
    in.a = make_floats(fill, in.n, 1);
    in.b = make_floats(fill, in.n, 2);
    in.c = make_floats(fill, in.n, 3);
    in.d = make_floats(fill, in.n, 4);
    in.targets = malloc((size_t)dims[0] * sizeof *in.targets + 1);
    in.bits = malloc((size_t)in.n * sizeof *in.bits + 1);
    uint64_t key = tdbg_philox_key(SEED, TDBG_RANDOM_TEST, 5), counter = 0;
    for (int64_t r = 0; r < dims[0]; r++)
        in.targets[r] = tdbg_philox_below(key, &counter, 8) == 0
                            ? IGNORE
                            : (int32_t)tdbg_philox_below(key, &counter, (uint64_t)dims[1]);
    for (int64_t i = 0; i < in.n; i++) {
        struct tdbg_philox_block r = tdbg_philox(key, (uint64_t)i, 1);
        in.bits[i] = (uint64_t)r.word[0] << 32 | r.word[1];
    }
    return in;
}

static void free_data(struct data *in)
{
    free(in->a);
    free(in->b);
    free(in->c);
    free(in->d);
    free(in->targets);
    free(in->bits);
}

static void free_output(struct output *out)
{
    for (int k = 0; k < MAX_OUT; k++)
        free(out->f[k]);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* What a failure has to say so that it can be repeated. */
static const char *describe(const struct op *op, const struct data *in, const struct tdbg_cpu *cpu)
{
    static char text[256];
    snprintf(text, sizeof text, "%s (%lld, %lld, %lld) fill %s isa %s threads %d seed %d", op->name,
             (long long)in->dims[0], (long long)in->dims[1], (long long)in->dims[2],
             fill_text[in->fill], tdbg_isa_text(cpu->isa), cpu->threads, (int)SEED);
    return text;
}

static bool is_close(float got, double exact, double allowed)
{
    if (exact != exact)
        return tdbg_float_bits(got) == 0x7fc00000u;
    if (isinf(exact))
        return (double)got == exact;
    return fabs((double)got - exact) <= allowed;
}

static void check_reference(const struct op *op, const struct data *in, const struct tdbg_cpu *cpu,
                            const struct output *out)
{
    double *exact[MAX_OUT], *allowed[MAX_OUT];
    for (int k = 0; k < MAX_OUT; k++) {
        exact[k] = malloc((size_t)(in->n + in->dims[1]) * sizeof(double) + 8);
        allowed[k] = malloc((size_t)(in->n + in->dims[1]) * sizeof(double) + 8);
    }
    op->reference(op, in, exact, allowed);
    for (int k = 0; k < MAX_OUT; k++) {
        for (int64_t i = 0; i < out->n[k]; i++) {
            if (!is_close(out->f[k][i], exact[k][i], allowed[k][i]))
                fail_msg("%s: output %d [%lld] is %a, exact %a, allowed %g", describe(op, in, cpu),
                         k, (long long)i, (double)out->f[k][i], exact[k][i], allowed[k][i]);
        }
        free(exact[k]);
        free(allowed[k]);
    }
}

static void check_same(const struct op *op, const struct data *in, const struct tdbg_cpu *cpu,
                       const struct output *want, const struct output *got)
{
    for (int k = 0; k < MAX_OUT; k++) {
        for (int64_t i = 0; i < want->n[k]; i++) {
            uint32_t a = tdbg_float_bits(want->f[k][i]), b = tdbg_float_bits(got->f[k][i]);
            if (a != b)
                fail_msg("%s: output %d [%lld] is %08x, portable has %08x", describe(op, in, cpu),
                         k, (long long)i, b, a);
        }
    }
    for (int w = 0; w < want->n_words; w++) {
        if (want->word[w] != got->word[w])
            fail_msg("%s: word %d is %" PRIx64 ", portable has %" PRIx64, describe(op, in, cpu), w,
                     got->word[w], want->word[w]);
    }
}

static uint64_t absorb_output(uint64_t h, const struct output *out)
{
    for (int k = 0; k < MAX_OUT; k++)
        h = tdbg_chain_absorb(h, tdbg_digest_reference(out->f[k], TDBG_DTYPE_F32, out->n[k]));
    for (int w = 0; w < out->n_words; w++)
        h = tdbg_chain_absorb(h, out->word[w]);
    return h;
}

/* One shape and fill on everything; returns the golden hash with this output absorbed. */
static uint64_t check_case(const struct op *op, const int64_t shape[3], enum fill fill, uint64_t h)
{
    struct data in = make_data(shape, fill);
    struct output want = {0};
    struct tdbg_cpu cpu;
    assert_int_equal(tdbg_cpu_init(&cpu, "portable", 1, NULL), TDBG_OK);
    op->run(op, &cpu, &in, &want);
    if (op->reference)
        check_reference(op, &in, &cpu, &want);
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
            const char *isa_text = tdbg_isa_text((enum tdbg_isa)isa);
            if (tdbg_cpu_init(&cpu, isa_text, thread_counts[t], NULL) != TDBG_OK)
                continue; /* this processor lacks it */
            struct output got = {0};
            op->run(op, &cpu, &in, &got);
            check_same(op, &in, &cpu, &want, &got);
            free_output(&got);
        }
    }
    h = absorb_output(h, &want);
    free_output(&want);
    free_data(&in);
    return h;
}

static void test_op(void **state)
{
    const struct op *op = *state;
    uint64_t h = 0;
    for (size_t s = 0; s < op->n_shapes; s++) {
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            h = check_case(op, op->shapes[s], (enum fill)fill, h);
        }
    }
    if (h != op->golden)
        fail_msg("%s: the golden hash is now 0x%016" PRIx64 ", seed %d: a bit has moved "
                 "(see docs/numerics.md before you change it)",
                 op->name, h, (int)SEED);
}

int main(void)
{
    struct CMUnitTest tests[OP_COUNT];
    for (int i = 0; i < OP_COUNT; i++) {
        tests[i] = (struct CMUnitTest){.name = ops[i].name, .test_func = test_op};
        memcpy(&tests[i].initial_state, &(const struct op *){&ops[i]}, sizeof(void *));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
