/* The table of kernels that test_kernels.c runs: how each is called, on which shapes, what it ought
 * to give, and its golden hash. */
#ifndef TDBG_TESTS_OP_KERNEL_TABLE_H
#define TDBG_TESTS_OP_KERNEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum { MAX_OUT = 3, MAX_WORDS = 8, IGNORE = -100 };
enum fill { FILL_PLAIN, FILL_WIDE, FILL_SPECIAL, FILL_COUNT };

/* What every op may take; (n) unless stated. */
struct data {
    const int64_t *dims; /* (3) */
    int64_t n;           /* product of dims */
    enum fill fill;
    float *a, *b, *c, *d;
    int32_t *targets; /* (dims[0]) in 0..dims[1]-1, some IGNORE */
    uint64_t *bits;   /* raw material for other types */
};

struct output {
    float *f[MAX_OUT]; /* (n[k]) */
    int64_t n[MAX_OUT];
    uint64_t word[MAX_WORDS];
    int n_words;
};

struct op {
    const char *name;
    const int64_t (*shapes)[3];
    size_t n_shapes;
    void (*run)(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                struct output *out);
    /* Exact values and allowed absolute errors of f[k]; NULL: `run` compares by itself. */
    void (*reference)(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                      double *allowed[MAX_OUT]);
    int variant;
    bool in_place;
    uint64_t golden;
};

enum { OP_COUNT = 30 };
extern const struct op ops[OP_COUNT];

#endif
