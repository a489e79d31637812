/* What the digest and the statistics of a tensor cost, for every instruction set that this
 * processor has, on one thread, beside a copy of the same bytes: processor time, the best of many
 * runs.
 *
 *     bench-digest [MIB]      largest tensor in MiB (default 64)
 *
 * "base" is tdbg_digest_fast() and tdbg_stats_fast(), for whoever has no kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/digest.h"
#include "kernels/cpu.h"
#include "kernels/fused_digest.h"

enum { WARM_RUNS = 2, LEAST_RUNS = 20, BYTES_PER_FIGURE = 1 << 28 };

struct figure {
    const char *name;
    const struct tdbg_cpu *cpu; /* NULL: base */
    bool digest, stats, copy;
};

static double thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static uint64_t run_once(const struct figure *f, const float *x, int64_t n, float *to)
{
    uint64_t digest = 0;
    struct tdbg_stats stats = {0};
    if (f->copy)
        memcpy(to, x, (size_t)n * sizeof *x);
    else if (f->cpu)
        tdbg_digest_compute(f->cpu, x, TDBG_DTYPE_F32, n, f->digest ? &digest : NULL,
                            f->stats ? &stats : NULL);
    else {
        digest = tdbg_digest_fast(x, TDBG_DTYPE_F32, n);
        tdbg_stats_fast(x, TDBG_DTYPE_F32, n, &stats);
    }
    return digest + stats.zeros;
}

/* Processor time of one call in ns. Short calls are timed by the dozen. */
static double measure(const struct figure *f, const float *x, int64_t n, float *to)
{
    const int64_t bytes = n * (int64_t)sizeof *x;
    const int calls = bytes < 1 << 16 ? 64 : 1;
    int runs = (int)(BYTES_PER_FIGURE / (bytes * calls + 1)) + LEAST_RUNS;
    volatile uint64_t sink = 0;
    double best = 1e30;
    runs = runs > 4000 ? 4000 : runs;
    for (int r = -WARM_RUNS; r < runs; r++) {
        const double start = thread_ns();
        for (int c = 0; c < calls; c++)
            sink = sink + run_once(f, x, n, to);
        const double ns = (thread_ns() - start) / calls;
        best = r >= 0 && ns < best ? ns : best;
    }
    return best;
}

/* All figures of this processor; returns how many. */
static int list_figures(struct tdbg_cpu cpu[TDBG_ISA_COUNT], struct figure *out)
{
    int n = 0;
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        struct tdbg_err err = {0};
        const char *name = tdbg_isa_text((enum tdbg_isa)isa);
        if (tdbg_cpu_init(&cpu[isa], name, 1, &err) == TDBG_OK) {
            out[n++] = (struct figure){name, &cpu[isa], true, false, false};
            out[n++] = (struct figure){name, &cpu[isa], false, true, false};
            out[n++] = (struct figure){name, &cpu[isa], true, true, false};
        }
        tdbg_err_clear(&err);
    }
    out[n++] = (struct figure){"base", NULL, true, true, false};
    out[n++] = (struct figure){"memcpy", NULL, false, false, true};
    return n;
}

static void print_row(const struct figure *f, const float *x, int64_t most, float *to)
{
    const int64_t bytes[] = {40, 4096, 1 << 18, 8 << 20, most};
    printf("| %s%s%s |", f->name, f->digest ? ", digest" : "", f->stats ? ", statistics" : "");
    for (size_t s = 0; s < sizeof bytes / sizeof *bytes; s++) {
        const int64_t b = bytes[s] < most ? bytes[s] : most;
        const double ns = measure(f, x, b / (int64_t)sizeof *x, to);
        if (s < 2)
            printf(" %.0f ns |", ns);
        else
            printf(" %.3f ms/MB |", ns / (double)b);
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const int64_t most = (argc > 1 ? atoll(argv[1]) : 64) << 20;
    float *x = malloc((size_t)most), *to = malloc((size_t)most);
    struct tdbg_cpu cpu[TDBG_ISA_COUNT];
    struct figure figures[3 * TDBG_ISA_COUNT + 2];
    uint64_t seed = 1;
    if (!x || !to || most < 1 << 20)
        return 1;
    memset(to, 0, (size_t)most);
    for (int64_t i = 0; i < most / (int64_t)sizeof *x; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(int32_t)(seed >> 32) * 0x1p-31f;
    }
    printf("| f32, one thread | 40 B | 4 KiB | 256 KiB | 8 MiB | %lld MiB |\n"
           "|---|---|---|---|---|---|\n",
           (long long)(most >> 20));
    const int n = list_figures(cpu, figures);
    for (int i = 0; i < n; i++)
        print_row(&figures[i], x, most, to);
    free(x);
    free(to);
    return 0;
}
