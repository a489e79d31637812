/* Runs a case of the op-case table outside of the engine: a graph of its own, random inputs,
 * forward, and the gradients of sum(dy * y). */
#ifndef TDBG_TESTS_OP_RUNNER_H
#define TDBG_TESTS_OP_RUNNER_H

#include "engine/op.h"
#include "op_cases.h"

struct op_setup {
    const struct op_case *c;
    struct tdbg_config *config;
    struct tdbg_graph *graph;
    int32_t n_nodes; /* of the case: the graph has two more, which make it a model */
    int32_t n_params, n_buffers;
    int64_t x_elems, y_elems; /* over all rows */
    float *x, *dy;
    int32_t *index;
    float *param;  /* (graph->flat_elems) */
    float *buffer; /* (graph->buffer_elems) */
};

struct op_result {
    float *y, *dx;
    float *grad;   /* (graph->flat_elems) */
    float *buffer; /* (graph->buffer_elems): afterwards */
};

/* Everything that goes in, the same at every call. Fails the test where the config is refused. */
struct op_setup op_setup_make(const struct op_case *c);
void op_setup_free(struct op_setup *s);

struct op_result op_run(const struct op_setup *s, const struct tdbg_backend *backend);
void op_result_free(struct op_result *r);

#endif
