/* Sweeps the strict functions over all 2^32 floats: the error against functions in binary64 and
 * wider, made of libm's, and the same bits from the kernels of every instruction set.
 *     sweep-math [--quick] [NAME...]
 * `--quick` takes every 4099th float; names choose functions. Exit code 1 when a result is off by
 * more than two ULP (exp, log: one), or wrong in its class, or differs between instruction sets. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "kernels/isa_table.h"
#include "kernels/strict_math.h"

enum { CHUNK = 1 << 12 };

/* ---- references ------------------------------------------------------------------------------ */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double gelu(double x)
{
    return isinf(x) && x < 0 ? -0.0 : 0.5 * x * erfc(-x * M_SQRT1_2);
}

static double silu(double x)
{
    return x < -700 ? -0.0 : x / (1 + exp(-x));
}

static const long double gelu_a = 1.59576912160573071175978423973752747L;  /* sqrt(8/pi) */
static const long double gelu_b = 0.071354816272600248776338752279863541L; /* 0.044715 of that */

static double gelu_tanh(double x)
{
    return x < -40 ? -0.0 : x / (1 + exp(-x * ((double)gelu_a + (double)gelu_b * x * x)));
}

/* A derivative with a zero, beside which much cancels: in binary64, but wider beside the zero. */
static double beside_zero(double x, double zero, double narrow, long double (*wide)(long double))
{
    if (fabs(x) > 700) /* 0, before something overflows */
        return x > 0 ? 1 : -0.0;
    return fabs(x - zero) < 0.02 ? (double)wide(x) : narrow;
}

static long double gelu_slope(long double x)
{
    return 0.5L * erfcl(-x * 0.70710678118654752440084436210484904L) +
           x * 0.39894228040143267793994605993438187L * expl(-x * x / 2);
}

static double gelu_derivative(double x)
{
    const double y = 0.5 * erfc(-x * M_SQRT1_2) + x * 0.3989422804014326779 * exp(-x * x / 2);
    return beside_zero(x, -0.7517915, x < -38 ? -0.0 : y, gelu_slope);
}

/* At x = -t: E (1 + E - w) / (1 + E)^2. */
static long double gelu_tanh_slope(long double x)
{
    const long double e = expl(x * (gelu_a + gelu_b * x * x));
    const long double w = -x * (gelu_a + 3 * gelu_b * x * x);
    return e * (1 + e - w) / ((1 + e) * (1 + e));
}

static double gelu_tanh_derivative(double x)
{
    const double a = (double)gelu_a, b = (double)gelu_b, t = fabs(x);
    const double e = exp(-t * (a + b * t * t)), w = t * (a + 3 * b * t * t);
    const double d = t > 40 ? -0.0 : e * (1 + e - w) / ((1 + e) * (1 + e));
    return beside_zero(x, -0.7524614, x < 0 ? d : 1 - d, gelu_tanh_slope);
}

static long double silu_slope(long double x)
{
    const long double e = expl(x);
    return e * (1 + e + x) / ((1 + e) * (1 + e));
}

static double silu_derivative(double x)
{
    const double t = fabs(x), e = exp(-t), d = e * (1 + e - t) / ((1 + e) * (1 + e));
    return beside_zero(x, -1.2784645, x < 0 ? d : 1 - d, silu_slope);
}

/* ---- the functions --------------------------------------------------------------------------- */

struct function {
    const char *name;
    double (*reference)(double);
    size_t slot;     /* offset of the kernel in struct tdbg_isa_table */
    bool derivative; /* the kernel is a backward: called with dy = 1 */
    double allowed;  /* ULP */
};

#define FUNCTION(name, reference, slot, derivative, allowed)                                       \
    {                                                                                              \
        name, reference, offsetof(struct tdbg_isa_table, slot), derivative, allowed                \
    }

static const struct function functions[] = {
    FUNCTION("exp", exp, math_exp, false, 1),
    FUNCTION("log", log, math_log, false, 1),
    FUNCTION("log1p", log1p, math_log1p, false, 2),
    FUNCTION("softplus", softplus, math_softplus, false, 2),
    FUNCTION("sin", sin, math_sin, false, 2),
    FUNCTION("cos", cos, math_cos, false, 2),
    FUNCTION("erf", erf, math_erf, false, 2),
    FUNCTION("tanh", tanh, tanh_forward, false, 2),
    FUNCTION("sigmoid", sigmoid, sigmoid_forward, false, 2),
    FUNCTION("silu", silu, silu_forward, false, 2),
    FUNCTION("silu'", silu_derivative, silu_backward, true, 2),
    FUNCTION("gelu", gelu, gelu_erf_forward, false, 2),
    FUNCTION("gelu'", gelu_derivative, gelu_erf_backward, true, 2),
    FUNCTION("gelu_tanh", gelu_tanh, gelu_tanh_forward, false, 2),
    FUNCTION("gelu_tanh'", gelu_tanh_derivative, gelu_tanh_backward, true, 2),
};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

struct worst {
    double ulp;
    float x;
};

struct result {
    struct worst normal, denormal; /* by the size of the result */
    uint64_t digest[TDBG_ISA_COUNT];
    uint64_t wrong; /* values wrong in class: NaN, infinity, sign of zero */
};

static void keep_worst(struct worst *into, struct worst w)
{
    if (w.ulp > into->ulp)
        *into = w;
}

/* Error of y in units in the last place of a float at the exact value; a y of +Inf counts as 2^128,
 * the value from which IEEE 754 rounds to it. */
static double error_ulp(float y, double exact)
{
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    const int last = exponent - 23 < -149 ? -149 : exponent - 23;
    bits = (uint64_t)(1023 - last) << 52; /* 2^-last; ldexp() would take most of the sweep's time */
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    double value = y == INFINITY ? 0x1p128 : (double)y;
    return fabs(value - exact) * scale;
}

static void judge(float x, float y, double exact, struct result *r)
{
    uint32_t bits = tdbg_strict_bits(y);
    if (isnan(exact)) {
        r->wrong += bits != 0x7fc00000u;
        return;
    }
    if (exact >= 0x1.ffffffp127 || exact == -INFINITY) { /* halfway above FLT_MAX */
        r->wrong += !isinf(y) || (y > 0) != (exact > 0);
        return;
    }
    if (isnan(y) || (signbit(y) != 0) != (signbit(exact) != 0)) {
        r->wrong++;
        return;
    }
    bool denormal = fabs(exact) < 0x1p-126;
    keep_worst(denormal ? &r->denormal : &r->normal, (struct worst){error_ulp(y, exact), x});
}

static void call(const struct tdbg_cpu *cpu, const struct function *f, int64_t n, const float *x,
                 float *y)
{
    float ones[CHUNK];
    if (f->derivative) {
        void (*kernel)(int64_t, const float *, const float *, float *);
        memcpy(&kernel, (const char *)cpu->table + f->slot, sizeof kernel);
        for (int64_t i = 0; i < n; i++)
            ones[i] = 1;
        kernel(n, x, ones, y);
    } else {
        void (*kernel)(int64_t, const float *, float *);
        memcpy(&kernel, (const char *)cpu->table + f->slot, sizeof kernel);
        kernel(n, x, y);
    }
}

/* n floats from number `first`, stride apart. */
static void sweep_chunk(const struct tdbg_cpu *cpus, int n_cpus, const struct function *f,
                        uint64_t first, int64_t n, uint64_t stride, struct result *r)
{
    float x[CHUNK], y[CHUNK];
    for (int64_t i = 0; i < n; i++)
        x[i] = tdbg_strict_float((uint32_t)((first + (uint64_t)i) * stride));
    for (int c = n_cpus - 1; c >= 0; c--) {
        call(&cpus[c], f, n, x, y);
        for (int64_t i = 0; i < n; i++)
            r->digest[c] += tdbg_digest_mix(first + (uint64_t)i, tdbg_strict_bits(y[i]));
    }
    for (int64_t i = 0; i < n; i++)
        judge(x[i], y[i], f->reference((double)x[i]), r);
}

static void sweep(const struct tdbg_cpu *cpus, int n_cpus, const struct function *f,
                  uint64_t stride, struct result *total)
{
    const int64_t count = (int64_t)(((UINT64_C(1) << 32) + stride - 1) / stride);
    const int64_t chunks = (count + CHUNK - 1) / CHUNK;
#pragma omp parallel
    {
        struct result mine = {0};
#pragma omp for schedule(dynamic, 16)
        for (int64_t c = 0; c < chunks; c++) {
            int64_t left = count - c * CHUNK;
            sweep_chunk(cpus, n_cpus, f, (uint64_t)(c * CHUNK), left < CHUNK ? left : CHUNK, stride,
                        &mine);
        }
#pragma omp critical
        {
            keep_worst(&total->normal, mine.normal);
            keep_worst(&total->denormal, mine.denormal);
            total->wrong += mine.wrong;
            for (int i = 0; i < n_cpus; i++)
                total->digest[i] += mine.digest[i];
        }
    }
}

static bool report(const struct tdbg_cpu *cpus, int n_cpus, const struct function *f,
                   const struct result *r)
{
    bool good = r->wrong == 0 && r->normal.ulp <= f->allowed && r->denormal.ulp <= f->allowed;
    printf("%s: %.4f ULP at %a, denormal results %.4f ULP at %a, %" PRIu64 " wrong in class\n",
           f->name, r->normal.ulp, (double)r->normal.x, r->denormal.ulp, (double)r->denormal.x,
           r->wrong);
    for (int c = 0; c < n_cpus; c++) {
        bool same = r->digest[c] == r->digest[0];
        printf("%s: digest %016" PRIx64 " %s%s\n", f->name, r->digest[c],
               tdbg_isa_text(cpus[c].isa), same ? "" : " DIFFERS");
        good = good && same;
    }
    return good;
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
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const int first = quick ? 2 : 1;
    struct tdbg_cpu cpus[TDBG_ISA_COUNT];
    int n_cpus = 0, n_swept = 0;
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++)
        n_cpus += tdbg_cpu_init(&cpus[n_cpus], tdbg_isa_text((enum tdbg_isa)isa), 1, NULL) == 0;
    bool good = n_cpus > 0;
    for (int i = 0; i < N_FUNCTIONS; i++) {
        struct result r = {0};
        if (!is_chosen(functions[i].name, argc - first, argv + first))
            continue;
        sweep(cpus, n_cpus, &functions[i], quick ? 4099 : 1, &r);
        good = report(cpus, n_cpus, &functions[i], &r) && good;
        fflush(stdout);
        n_swept++;
    }
    if (n_swept == 0) {
        fprintf(stderr, "usage: %s [--quick] [NAME...]\n", argv[0]);
        return 2;
    }
    puts(good ? "ok" : "FAILED");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
