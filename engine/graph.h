/* The graph: transforms, ops and parameters, built once from a checked config and the data's shape.
 *
 *   raw x --transforms--> input/x --node 0--> --node 1--> ... --node n-1--> logits --> loss
 */
#ifndef TDBG_ENGINE_GRAPH_H
#define TDBG_ENGINE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/json.h"
#include "engine/shape.h"
#include "engine/source.h"
#include "engine/data_transform.h"

enum { TDBG_MAX_OP_NAME = 64 };

struct tdbg_param {
    const char *name; /* "fc1.weight", as PyTorch's state_dict */
    struct tdbg_shape shape;
    int64_t elems;
    int64_t offset;    /* first element in the engine's flat buffers, a multiple of 16 */
    double init_bound; /* uniform in +-init_bound; 0: zeros */
    int32_t node;
};

struct tdbg_node {
    const struct tdbg_op_class *op;
    const char *name; /* "fc1" */
    const struct tdbg_cfg_node *cfg;
    int32_t input;           /* node whose output it reads; -1: input/x */
    struct tdbg_shape shape; /* of the output, per sample */
    int64_t elems, in_elems; /* per sample */
    int32_t first_param, n_params;
    bool needs_grad; /* it or something before it has parameters */
};

struct tdbg_graph {
    struct tdbg_arena *arena;
    struct tdbg_data_shape data[TDBG_SET_COUNT];
    struct tdbg_shape sample; /* shape of input/x */
    int64_t sample_elems;
    struct tdbg_transform *transforms;
    int32_t n_transforms;
    struct tdbg_node *nodes;
    int32_t n_nodes;
    struct tdbg_param *params;
    int32_t n_params;
    int64_t flat_elems; /* of all parameters with their padding to 16 elements */
    int64_t classes;    /* width of the logits */
    bool loss_mean;     /* the divisor is the batch's samples; false: 1 */
};

/* State of a build, for op classes' shape rules. */
struct tdbg_graph_build {
    struct tdbg_config *config;
    struct tdbg_graph *graph;
    int32_t params_room;
};

/* Builds the graph of a config whose options were checked without a fault. What is wrong becomes a
 * diagnostic of config and *out stays NULL with TDBG_OK: ask tdbg_config_result. Destroy with
 * tdbg_graph_destroy(). The config has to outlive the graph. */
enum tdbg_status tdbg_graph_create(struct tdbg_config *config,
                                   const struct tdbg_data_shape data[TDBG_SET_COUNT],
                                   struct tdbg_graph **out, struct tdbg_err *err);
void tdbg_graph_destroy(struct tdbg_graph *graph); /* NULL is fine */

/* For shape rules: adds "<node name>.<suffix>" with uniform initial values in +-init_bound. */
void tdbg_graph_add_param(struct tdbg_graph_build *build, struct tdbg_node *node,
                          const char *suffix, struct tdbg_shape shape, double init_bound);

/* The graph as JSON, for /run/graph and `tdbg info --json`. */
void tdbg_graph_print_json(const struct tdbg_graph *graph, struct tdbg_json *json);

#endif
