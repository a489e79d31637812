/* Speed of the strict matrix product beside OpenBLAS on one thread. Every strict result is compared
 * with the reference, bit for bit, before it is timed. OpenBLAS picks its kernels when it is
 * loaded, so this program runs itself once per instruction set with OPENBLAS_CORETYPE set. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/kernel_bench.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"

static const char help[] =
    "usage: bench-gemm [ISA PEER]\n"
    "\n"
    "Times the strict matrix product of an instruction set (avx512, avx2, portable) beside\n"
    "OpenBLAS with the kernels that PEER names (a value of OPENBLAS_CORETYPE), one thread each,\n"
    "alternately, and prints medians in GF/s. Without arguments: each instruction set beside\n"
    "the kernels that OpenBLAS has for it.\n";

static const struct {
    const char *isa, *peer;
} pairs[] = {{"avx512", "SkylakeX"}, {"avx2", "Haswell"}, {"portable", "Haswell"}};

static const struct shape {
    const char *what;
    int m, n, k;
    bool trans_a, trans_b;
} shapes[] = {
    {"square", 1024, 1024, 1024, false, false},     {"square, B^T", 1024, 1024, 1024, false, true},
    {"mlp fc1 forward", 64, 256, 784, false, true}, {"mlp fc2 forward", 64, 128, 256, false, true},
    {"mlp fc3 forward", 64, 10, 128, false, true},  {"mlp fc3 dX", 64, 128, 10, false, false},
    {"mlp fc2 dX", 64, 256, 128, false, false},     {"mlp fc1 dW", 256, 784, 64, true, false},
    {"mlp fc2 dW", 128, 256, 64, true, false},      {"mlp fc3 dW", 10, 128, 64, true, false},
};

enum { SHAPES = sizeof shapes / sizeof *shapes, MAX_SAMPLES = 201, MIN_SAMPLES = 3 };
static const double sample_s = 200e-6, shape_s = 0.6;

/* ---- one shape ---- */

struct bench {
    struct tdbg_cpu cpu;
    struct tdbg_gemm gemm;
    void *workspace;
    float *peer_c;
};

static void run_strict(const struct bench *b)
{
    tdbg_gemm_run(&b->cpu, &b->gemm, b->workspace);
}

static void run_peer(const struct bench *b)
{
    const struct tdbg_gemm *g = &b->gemm;
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans,
                g->trans_b ? CblasTrans : CblasNoTrans, (int)g->m, (int)g->n, (int)g->k, 1.0f, g->a,
                (int)g->lda, g->b, (int)g->ldb, 0.0f, b->peer_c, (int)g->ldc);
}

static double time_calls(void (*run)(const struct bench *), const struct bench *b, int calls)
{
    double start = bench_now_s();
    for (int i = 0; i < calls; i++)
        run(b);
    return (bench_now_s() - start) / calls;
}

static bool bits_match(const struct bench *b)
{
    size_t bytes = (size_t)b->gemm.m * (size_t)b->gemm.n * sizeof(float);
    struct tdbg_gemm reference = b->gemm;
    reference.c = b->peer_c;
    memset(b->gemm.c, 0xff, bytes);
    run_strict(b);
    tdbg_gemm_reference(&reference);
    return memcmp(b->gemm.c, reference.c, bytes) == 0;
}

/* Median seconds per call, strict and peer run alternately. */
static void time_both(const struct bench *b, double *strict, double *peer)
{
    double strict_s[MAX_SAMPLES], peer_s[MAX_SAMPLES], begin = bench_now_s();
    run_peer(b);
    double once = time_calls(run_strict, b, 2);
    int calls = once < sample_s ? (int)(sample_s / once) + 1 : 1, samples = 0;
    while (samples < MAX_SAMPLES && (samples < MIN_SAMPLES || bench_now_s() - begin < shape_s)) {
        strict_s[samples] = time_calls(run_strict, b, calls);
        peer_s[samples] = time_calls(run_peer, b, calls);
        samples++;
    }
    qsort(strict_s, (size_t)samples, sizeof *strict_s, bench_compare_double);
    qsort(peer_s, (size_t)samples, sizeof *peer_s, bench_compare_double);
    *strict = strict_s[samples / 2];
    *peer = peer_s[samples / 2];
}

/* Returns whether the bits were right. */
static bool run_shape(const struct tdbg_cpu *cpu, const struct shape *s, double peak)
{
    size_t m = (size_t)s->m, n = (size_t)s->n, k = (size_t)s->k;
    struct bench b = {.cpu = *cpu, .peer_c = bench_floats(m * n)};
    b.gemm = (struct tdbg_gemm){.m = s->m, .n = s->n, .k = s->k, .ldc = s->n};
    b.gemm.trans_a = s->trans_a;
    b.gemm.trans_b = s->trans_b;
    b.gemm.lda = s->trans_a ? s->m : s->k;
    b.gemm.ldb = s->trans_b ? s->k : s->n;
    float *x = bench_random_floats(m * k), *w = bench_random_floats(k * n);
    b.gemm.a = x;
    b.gemm.b = w;
    b.gemm.c = bench_floats(m * n);
    b.workspace = bench_floats(tdbg_gemm_workspace_bytes(cpu, &b.gemm) / sizeof(float));

    bool right = bits_match(&b);
    double strict, peer, gflop = 2e-9 * (double)s->m * s->n * s->k;
    time_both(&b, &strict, &peer);
    printf("%-16s %5d %5d %5d %s%s %8.1f %9.1f %6.2f", s->what, s->m, s->n, s->k,
           s->trans_a ? "T" : "N", s->trans_b ? "T" : "N", gflop / strict, gflop / peer,
           peer / strict);
    if (peak > 0)
        printf(" %5.0f %%", 100 * gflop / strict / peak);
    else
        printf(" %7s", "-");
    printf("  %s\n", right ? "equal" : "DIFFER");
    fflush(stdout);
    free(x);
    free(w);
    free(b.gemm.c);
    free(b.workspace);
    free(b.peer_c);
    return right;
}

static int run_isa(const char *isa, const char *peer)
{
    struct tdbg_cpu cpu;
    struct tdbg_err err = {0};
    if (tdbg_cpu_init(&cpu, isa, 1, &err) != TDBG_OK) {
        printf("%s: left out: %s\n\n", isa, err.message);
        tdbg_err_clear(&err);
        return 0;
    }
    openblas_set_num_threads(1);
    double peak = bench_measure_peak(cpu.isa);
    bool right = true;
    printf("strict %s beside OpenBLAS %s (asked for %s; %s)\n", isa, openblas_get_corename(), peer,
           openblas_get_config());
    if (peak > 0)
        printf("FMA peak of %s, measured: %.1f GF/s\n", isa, peak);
    printf("%-16s %5s %5s %5s %s %8s %9s %6s %7s  %s\n", "shape", "m", "n", "k", "op", "strict",
           "OpenBLAS", "ratio", "of peak", "bits");
    for (int i = 0; i < SHAPES; i++)
        right &= run_shape(&cpu, &shapes[i], peak);
    printf("\n");
    return right ? 0 : 1;
}

/* Runs this program again with OpenBLAS's kernels named in the environment. */
static int run_self(const char *isa, const char *peer)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setenv("OPENBLAS_CORETYPE", peer, 1);
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
        execl("/proc/self/exe", "bench-gemm", isa, peer, "loaded", (char *)NULL);
        _exit(4);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status)) {
        fprintf(stderr, "bench-gemm: cannot run itself\n");
        return 4;
    }
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    int worst = 0;
    if (argc == 4) /* run by run_self() */
        return run_isa(argv[1], argv[2]);
    if (argc == 3)
        return run_self(argv[1], argv[2]);
    if (argc != 1) {
        fputs(help, stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int status = run_self(pairs[i].isa, pairs[i].peer);
        worst = status > worst ? status : worst;
    }
    return worst;
}
