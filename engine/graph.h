/* The graph: transforms, nodes, parameters and buffers, built once from a checked config and the
 * data's shape. A node reads earlier nodes or the transformed samples:
 *
 *   raw x --transforms--> input/x --> node 0 --> node 1 --+--> ... --> node n-1 = logits --> loss
 *                                                \-- residual --/
 */
#ifndef TDBG_ENGINE_GRAPH_H
#define TDBG_ENGINE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/json.h"
#include "engine/data_transform.h"
#include "engine/init.h"
#include "engine/loss.h"
#include "engine/shape.h"
#include "engine/source.h"

enum {
    TDBG_MAX_OP_NAME = 64, /* of one item of a list; a node's name joins those of its blocks */
    TDBG_MAX_NODES = 8192,
    TDBG_MAX_NODE_INPUTS = 2,
    TDBG_MAX_NODE_PARAMS = 4,
    TDBG_MAX_NODE_BUFFERS = 2,
    TDBG_MAX_NODE_FOLDS = 3,
    TDBG_NODE_INPUT_X = -1, /* "reads input/x" where a node's number is wanted */
};

struct tdbg_param {
    const char *name; /* "fc1.weight", as PyTorch's state_dict */
    struct tdbg_shape shape;
    int64_t elems;
    int64_t offset; /* first element in the engine's flat buffers, a multiple of 16 */
    struct tdbg_init init;
    int32_t node;      /* the first node that reads it, which owns it */
    int32_t last_node; /* the last one, whose backward runs first */
};

/* A tensor of the state that no gradient reaches: running statistics. One copy per lane, unless the
 * lanes share it. */
struct tdbg_graph_buffer {
    const char *name; /* "bn1.running_mean" */
    struct tdbg_shape shape;
    int64_t elems;
    int64_t offset; /* first element in a lane's flat buffer, a multiple of 16 */
    float initial;  /* value of every element before step 0 */
    bool shared;    /* one for all lanes */
    int32_t node;
};

struct tdbg_node {
    const struct tdbg_op_class *op;
    const char *name;                /* "block2.fc1" */
    const struct tdbg_cfg_node *cfg; /* where it stands in the config, for messages */
    const void *settings;            /* the op's own, see op.h */
    int32_t n_inputs, n_params, n_buffers;
    int32_t input[TDBG_MAX_NODE_INPUTS]; /* nodes, or TDBG_NODE_INPUT_X */
    struct tdbg_shape in_shape[TDBG_MAX_NODE_INPUTS];
    int64_t in_elems[TDBG_MAX_NODE_INPUTS]; /* per sample */
    struct tdbg_shape shape;                /* of the output, per sample */
    int64_t elems;                          /* per sample */
    int32_t param[TDBG_MAX_NODE_PARAMS];    /* shared ones included */
    int32_t buffer[TDBG_MAX_NODE_BUFFERS];
    int32_t n_readers;   /* nodes that read it; the loss reads the last node */
    int32_t last_reader; /* the highest of them; -1: the loss alone */
    bool needs_grad;     /* it or something before it has parameters */
};

struct tdbg_graph {
    struct tdbg_arena *arena;
    struct tdbg_data_shape data[TDBG_SET_COUNT];
    struct tdbg_shape sample; /* as the data set has it */
    int64_t sample_elems;
    struct tdbg_shape input; /* shape of input/x: after the transforms */
    int64_t input_elems;
    int32_t pad; /* the token that fills samples up at their ends; -1: there is none */
    struct tdbg_transform *transforms;
    int32_t n_transforms;
    struct tdbg_node *nodes;
    int32_t n_nodes;
    struct tdbg_param *params;
    int32_t n_params;
    int64_t flat_elems; /* of all parameters with their padding to 16 elements */
    struct tdbg_graph_buffer *buffers;
    int32_t n_buffers;
    int64_t buffer_elems; /* of all buffers of one lane, padded the same way */
    struct tdbg_loss loss;
};

/* State of a build, for op classes. */
struct tdbg_graph_build {
    struct tdbg_config *config;
    struct tdbg_graph *graph;
    int32_t nodes_room, params_room, buffers_room;
};

/* Builds the graph of a config whose options were checked without a fault. What is wrong becomes a
 * diagnostic of config and *out stays NULL with TDBG_OK: ask tdbg_config_result. Destroy with
 * tdbg_graph_destroy(). The config has to outlive the graph. */
enum tdbg_status tdbg_graph_create(struct tdbg_config *config,
                                   const struct tdbg_data_shape data[TDBG_SET_COUNT],
                                   struct tdbg_graph **out, struct tdbg_err *err);
void tdbg_graph_destroy(struct tdbg_graph *graph); /* NULL is fine */

/* For shape rules: adds the parameter or buffer "<node name>.<suffix>". node points into the graph
 * and stays valid. full_name, where not NULL, is used instead. */
void tdbg_graph_add_param(struct tdbg_graph_build *build, struct tdbg_node *node,
                          const char *suffix, const char *full_name, struct tdbg_shape shape,
                          struct tdbg_init init);
void tdbg_graph_add_buffer(struct tdbg_graph_build *build, struct tdbg_node *node,
                           const char *suffix, struct tdbg_shape shape, float initial, bool shared);

/* For shape rules: node reads the first parameter of the earlier node called `owner` as its next
 * parameter. False after a diagnostic: no such node, or its parameter has another shape. */
bool tdbg_graph_share_param(struct tdbg_graph_build *build, struct tdbg_node *node,
                            const char *owner, struct tdbg_shape shape);

/* The first parameter of the node of that name; NULL: there is none yet. */
const struct tdbg_param *tdbg_graph_find_param(const struct tdbg_graph *graph, const char *node);

/* For expand(): adds a node of class op that reads nodes input[0 .. n_inputs-1], and returns its
 * number, or -1 after a diagnostic. name has to live in the graph's arena; settings as the class's
 * read() gives them. */
int32_t tdbg_graph_add_node(struct tdbg_graph_build *build, const struct tdbg_op_class *op,
                            const char *name, const struct tdbg_cfg_node *cfg, const void *settings,
                            const int32_t *input, int32_t n_inputs);

/* For expand(): adds the nodes of a list of ops, one behind the other, the first reading node *at;
 * *at becomes the last one. Names begin with prefix. */
bool tdbg_graph_add_list(struct tdbg_graph_build *build, const struct tdbg_cfg_node *list,
                         const char *prefix, int32_t *at);

/* Shape of node `at`, or of input/x. */
const struct tdbg_shape *tdbg_graph_shape(const struct tdbg_graph *graph, int32_t at);

/* The graph as the members of a JSON object, for /run/graph and `tdbg info --json`. */
void tdbg_graph_print_json(const struct tdbg_graph *graph, struct tdbg_json *json);

#endif
