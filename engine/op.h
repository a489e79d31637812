/* What an op is: a kind with its config keys, a shape rule, and forward and backward over a
 * backend. One op, one op_*.c; op.c holds the table of all of them. A kind may also stand for
 * several nodes ("residual", "attention"): its expand() adds them. */
#ifndef TDBG_ENGINE_OP_H
#define TDBG_ENGINE_OP_H

#include "engine/backend.h"
#include "engine/graph.h"
#include "engine/kind_table.h"

/* One call of forward or backward on `rows` samples. Shapes are per sample with rows in front. */
struct tdbg_op_run {
    const struct tdbg_backend *backend;
    size_t act_bytes; /* of an element of x, x2, y, dy, dx, dx2 and param: 4, or 2 in bf16 */
    const struct tdbg_node *node;
    int64_t rows;
    const float *x;         /* (rows, shape of input 0) */
    const float *x2;        /* (rows, shape of input 1), or NULL */
    const int32_t *index;   /* input 0 where it holds token numbers instead of values; x is NULL */
    const int32_t *lengths; /* (rows): tokens of each sample before its padding; NULL: all are */
    float *y;               /* (rows, output shape) */
    int64_t y_stride;       /* elements from row to row of y and dy, in their last dimension; 0: as
                               many as it has. Other than 0 for linear without a bias alone; then
                               dy has +0 in between, and y anything */
    const float *dy;        /* (rows, output shape); backward */
    float *dx, *dx2;        /* as x and x2, overwritten; NULL: nobody needs it; backward */
    const float *const *param; /* (n_params) */
    float *const *grad;        /* (n_params), overwritten; backward */
    float *const *buffer;      /* (n_buffers): this lane's; a training forward may update them */
    float *saved;              /* (saved_elems()): kept from forward to backward of one part */
    void *workspace;           /* workspace_bytes() bytes */
    bool training;             /* false: evaluation */
    uint64_t seed;             /* of the run */
    int64_t step;
    int64_t first_sample; /* position of row 0 in the step's global batch */
    int64_t all_rows;     /* samples of the micro-batch in all lanes: for folds */
    bool leads;           /* the first of the parts that run together */
    bool fused; /* the call stands for what its input 0 is computed from as well; dx: as a rest */
};

/* A sum over the samples of a micro-batch in all lanes, in the middle of the graph. Each part gives
 * its own share, lanes are folded by the aligned binary tree, other ranks' come in, and every part
 * takes what came out. Sites: "<node>.<name>_in" per part, "<node>.<name>_out" per micro-batch. */
struct tdbg_op_fold {
    const char *name;
    bool backward; /* before the class's backward, else before its forward; in training only */
    struct tdbg_shape (*shape)(const struct tdbg_node *node);
    void (*give)(const struct tdbg_op_run *run, float *sum); /* +0 from a part without samples */
    void (*take)(const struct tdbg_op_run *run, const float *own, const float *folded);
};

/* Tensors of a call; see tdbg_op_class.unread. */
enum { TDBG_OP_X = 1, TDBG_OP_X2 = 2, TDBG_OP_Y = 4 };

struct tdbg_op_class {
    struct tdbg_kind kind; /* name and config keys, besides `op` and `name` */
    bool is_view;          /* the output is the input's memory with another shape */
    bool takes_index;      /* reads token numbers: run->index, not run->x */
    /* Tensors (TDBG_OP_X, ...) that backward does not read: it finds NULL there, and their memory
     * may be used again as soon as forward has passed. */
    int unread;
    bool is_hidden; /* not a kind of the config: only other kinds' expand() makes such nodes */
    bool is_narrow; /* its calls are also in a backend's table for activations of 16 bits */
    /* Checks what the option table cannot; NULL: nothing. */
    void (*check)(struct tdbg_config *config, const struct tdbg_cfg_node *cfg);
    /* The checked config keys as a struct of the op's own in the graph's arena, which becomes
     * node->settings; NULL: there is nothing to read. */
    const void *(*read)(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg);
    /* Sets node->shape and, through tdbg_graph_add_param and _add_buffer, what it has, from its
     * inputs' shapes (node->in_shape, n_inputs). Returns false after a diagnostic. */
    bool (*shape)(struct tdbg_graph_build *build, struct tdbg_node *node);
    /* For kinds that stand for several nodes: adds them (tdbg_graph_add_node), reading node *at,
     * and sets *at to the last one. Returns false after a diagnostic. All below is unused then. */
    bool (*expand)(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg,
                   const char *name, int32_t *at);
    size_t (*workspace_bytes)(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows);                            /* NULL: none */
    int64_t (*saved_elems)(const struct tdbg_node *node, int64_t rows); /* NULL: none */
    /* The folds of a node in the order in which they run, *n of them; NULL: none ever. */
    const struct tdbg_op_fold *(*folds)(const struct tdbg_node *node, int32_t *n);
    void (*forward)(const struct tdbg_op_run *run);
    void (*backward)(const struct tdbg_op_run *run);
};

extern const struct tdbg_op_class tdbg_op_linear, tdbg_op_relu, tdbg_op_flatten, tdbg_op_add,
    tdbg_op_block, tdbg_op_residual, tdbg_op_batch_norm, tdbg_op_layer_norm, tdbg_op_rms_norm,
    tdbg_op_conv2d, tdbg_op_max_pool2d, tdbg_op_avg_pool2d, tdbg_op_global_avg_pool,
    tdbg_op_embedding, tdbg_op_position, tdbg_op_attention, tdbg_op_gelu, tdbg_op_silu,
    tdbg_op_tanh, tdbg_op_sigmoid, tdbg_op_softmax, tdbg_op_dropout, tdbg_op_reshape,
    tdbg_op_to_sequence;

/* Settings of linear, for kinds that expand to one. */
struct tdbg_linear {
    int64_t out;
    bool bias;
    bool zero_bias; /* it begins with zeros whatever the weight does */
    struct tdbg_init_choice init;
    const char *weight_name, *bias_name; /* of the parameters; NULL: "<name>.weight", ".bias" */
    const char *tie;                     /* op whose first parameter is the weight, or NULL */
};

/* Takes away what the class says backward does not read: before its call. */
static inline void tdbg_op_hide_unread(struct tdbg_op_run *run)
{
    const int unread = run->node->op->unread;
    if (unread & TDBG_OP_X)
        run->x = NULL;
    if (unread & TDBG_OP_X2)
        run->x2 = NULL;
    if (unread & TDBG_OP_Y)
        run->y = NULL;
}

/* Checks the items of a `model` list and of the lists inside of it: kinds, keys, names. */
void tdbg_op_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *model);
void tdbg_op_print_options(FILE *out);

/* The folds of a node; *n is 0 where it has none. */
const struct tdbg_op_fold *tdbg_op_folds(const struct tdbg_node *node, int32_t *n);

/* The class of a kind's name, or NULL. */
const struct tdbg_op_class *tdbg_op_find(const char *kind);

#endif
