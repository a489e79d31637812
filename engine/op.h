/* What an op is: a kind with its config keys, a shape rule, and forward and backward over a
 * backend. One op, one op_*.c; op.c holds the table of all of them. */
#ifndef TDBG_ENGINE_OP_H
#define TDBG_ENGINE_OP_H

#include "engine/backend.h"
#include "engine/graph.h"
#include "engine/kind_table.h"

/* One call of forward or backward on `rows` samples. Shapes are per sample with rows in front. */
struct tdbg_op_run {
    const struct tdbg_backend *backend;
    const struct tdbg_node *node;
    int64_t rows;
    const float *x;  /* (rows, input shape) */
    float *y;        /* (rows, output shape) */
    const float *dy; /* (rows, output shape); backward */
    float *dx;       /* (rows, input shape), overwritten; NULL: nobody needs it; backward */
    const float *const *param; /* (n_params) */
    float *const *grad;        /* (n_params), overwritten; backward */
    void *workspace;           /* workspace_bytes() bytes */
};

struct tdbg_op_class {
    struct tdbg_kind kind; /* name and config keys, besides `op` and `name` */
    bool is_view;          /* the output is the input's memory with another shape */
    /* Sets node->ndim, dims and, through tdbg_graph_add_param, parameters, from the input's shape.
     * Returns false after a diagnostic. */
    bool (*shape)(struct tdbg_graph_build *build, struct tdbg_node *node,
                  const struct tdbg_shape *input);
    size_t (*workspace_bytes)(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows); /* NULL: none */
    void (*forward)(const struct tdbg_op_run *run);
    void (*backward)(const struct tdbg_op_run *run);
};

extern const struct tdbg_op_class tdbg_op_linear, tdbg_op_relu, tdbg_op_flatten;

/* Checks the items of a `model` list: kinds, keys, names. */
void tdbg_op_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *model);
void tdbg_op_print_options(FILE *out);

/* The class of a kind's name, or NULL. */
const struct tdbg_op_class *tdbg_op_find(const char *kind);

#endif
