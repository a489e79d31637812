/* Sweeps the strict exp and log over all 2^32 floats: the error against the double functions of
 * libm, and the same bits from the kernels of every instruction set. `--quick` takes every 4099th
 * float. Exit code 1 when a result is off by more than one ULP, or wrong in its class, or differs
 * between instruction sets. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "kernels/isa_table.h"
#include "kernels/strict_math.h"

enum { CHUNK = 1 << 14 };

struct function {
    const char *name;
    double (*reference)(double);
    size_t slot; /* offset of the kernel in struct tdbg_isa_table */
};

static const struct function functions[] = {
    {"expf", exp, offsetof(struct tdbg_isa_table, math_exp)},
    {"logf", log, offsetof(struct tdbg_isa_table, math_log)},
};

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
    int exponent;
    frexp(exact, &exponent);
    int last = exponent - 24 < -149 ? -149 : exponent - 24;
    double value = y == INFINITY ? 0x1p128 : (double)y;
    return ldexp(fabs(value - exact), -last);
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
    if (isnan(y) || (y == 0 && signbit(y))) {
        r->wrong++;
        return;
    }
    bool denormal = fabs(exact) < 0x1p-126;
    keep_worst(denormal ? &r->denormal : &r->normal, (struct worst){error_ulp(y, exact), x});
}

static void call(const struct tdbg_cpu *cpu, const struct function *f, int64_t n, const float *x,
                 float *y)
{
    void (*kernel)(int64_t, const float *, float *);
    memcpy(&kernel, (const char *)cpu->table + f->slot, sizeof kernel);
    kernel(n, x, y);
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
    bool good = r->wrong == 0 && r->normal.ulp <= 1 && r->denormal.ulp <= 1;
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

int main(int argc, char **argv)
{
    const bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        fprintf(stderr, "usage: %s [--quick]\n", argv[0]);
        return 2;
    }
    struct tdbg_cpu cpus[TDBG_ISA_COUNT];
    int n_cpus = 0;
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++)
        n_cpus += tdbg_cpu_init(&cpus[n_cpus], tdbg_isa_text((enum tdbg_isa)isa), 1, NULL) == 0;
    bool good = n_cpus > 0;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        struct result r = {0};
        sweep(cpus, n_cpus, &functions[i], quick ? 4099 : 1, &r);
        good = report(cpus, n_cpus, &functions[i], &r) && good;
    }
    puts(good ? "ok" : "FAILED");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
