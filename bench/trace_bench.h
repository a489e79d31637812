/* The trace's benchmarks: what the parts share. Each part prints one JSON object per line; the
 * script bench/trace runs them and makes the table. */
#ifndef TDBG_BENCH_TRACE_BENCH_H
#define TDBG_BENCH_TRACE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/site.h"

/* A tensor to press. `kind` says where it is from: recorded, or made up to look like something. */
struct bench_tensor {
    char name[64];
    const char *kind;
    enum tdbg_dtype dtype;
    size_t elems, bytes;
    void *data;
};

/* Tensors of a full trace at three of its steps, then made-up ones (gradients and weights of a GPT
 * in f32 and bf16, gradients of a convolution). Returns how many; all live until the end. */
enum { BENCH_MAX_TENSORS = 32 };
int bench_tensors(const char *trace, struct bench_tensor *out);

/* Made-up values. Gradients: normal with a scale of its own per row and column, spread
 * log-normally; weights: normal. state goes on. */
void bench_fill(void *data, enum tdbg_dtype dtype, size_t rows, size_t cols, bool gradient,
                uint64_t *state);

/* One way to compress, and what it makes of a tensor: bytes, or 0 where it failed. */
struct bench_method {
    const char *name;
    size_t (*run)(const void *data, size_t bytes, size_t elem_bytes, int level);
    int level;
};
/* Ours first. blosc2 is there after bench_load_blosc2(path of libblosc2.so); NULL or "": not. */
const struct bench_method *bench_methods(int *n);
bool bench_load_blosc2(const char *path);

int64_t bench_thread_ns(void);                 /* processor time of this thread */
double bench_median(double *values, size_t n); /* sorts them */
void bench_die(const char *what, const char *why) __attribute__((noreturn));

/* The parts: argv[0] is the part's name. */
int bench_codec(int argc, char **argv);
int bench_size(int argc, char **argv);
int bench_cost(int argc, char **argv);
int bench_small(int argc, char **argv);
int bench_open(int argc, char **argv);

#endif
