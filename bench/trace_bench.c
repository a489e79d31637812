/* bench-trace: one part of the trace's benchmarks. The script bench/trace runs them all. */
#include "bench/trace_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name, *arguments, *summary;
    int (*run)(int argc, char **argv);
} parts[] = {
    {"codec", "FULL_TRACE LIBBLOSC2", "compression of single tensors, side by side", bench_codec},
    {"size", "FULL_TRACE LIBBLOSC2 | --bf16 DIR SOLO LIBBLOSC2",
     "a whole step of two lanes under every compressor", bench_size},
    {"cost", "CFG DIR STEPS PRESET burst|sustained [KEY=VALUE]...",
     "what recording costs the training thread", bench_cost},
    {"small", "DIR STEPS", "small tensors: time and metadata", bench_small},
    {"open", "FILE CHUNKS", "opening a long trace and going to any step", bench_open},
};
enum { PARTS = sizeof parts / sizeof *parts };

int64_t bench_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < PARTS; i++) {
        if (strcmp(argv[1], parts[i].name) == 0)
            return parts[i].run(argc - 1, argv + 1);
    }
    fputs("usage: bench-trace PART ...\n\n", stderr);
    for (int i = 0; i < PARTS; i++)
        fprintf(stderr, "  %s %s\n      %s\n", parts[i].name, parts[i].arguments, parts[i].summary);
    return 2;
}
