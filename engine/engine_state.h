/* The engine's insides, shared by engine.c (life and state), memory.c (what is taken once), pass.c
 * (forward and backward of parts), fold.c (sums over lanes in the middle of the graph), step.c (a
 * training step) and evaluate.c. Nobody else includes this.
 *
 * Gradients live in flat buffers (flat_elems floats: every parameter at its offset, the sum of the
 * losses and the divisor's share in the last slots), so that adding micro-batches, folding lanes
 * and dividing are one kernel over all parameters:
 *
 *     [ fc1.weight ....|pad][ fc1.bias |pad] ... [ loss | divisor |pad]
 */
#ifndef TDBG_ENGINE_ENGINE_STATE_H
#define TDBG_ENGINE_ENGINE_STATE_H

#include "engine/engine.h"
#include "engine/gradient_clip.h"
#include "engine/graph.h"
#include "engine/op.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/site_table.h"

enum { TDBG_MAX_FOLD_LEVELS = 14 }; /* 2^12 lanes and room to spare */

/* What a part has while it is at work, on the device where not stated. Parts run one after the
 * other in one slot, unless the graph has ops that fold sums over lanes: then a micro-batch's lanes
 * run together, each in a slot of its own. */
struct tdbg_slot {
    float **input;       /* per transform: (part_rows, what it gives) */
    int32_t *index;      /* (part_rows, sample) where samples are tokens */
    float **act, **dact; /* per node: (part_rows, elems); views share */
    float **saved;       /* per node: what its class wants kept, or NULL */
    int32_t *grad_from;  /* (n_nodes): on the host; see pass.c */
    float *loss_sample;  /* (part_rows) */
    float *micro_grad;   /* (flat_elems): one micro-batch, if accumulate > 1 */
    float *sum, *folded; /* what it adds to a fold, and the same while it is folded */
};

/* The fold over a rank's lanes, when there are other ranks: range by range in the last lane, each
 * handed to the source as soon as it is folded. A rank's lanes are a power of two, so that the last
 * one completes all levels. */
struct tdbg_lane_fold {
    float *level[TDBG_MAX_FOLD_LEVELS]; /* sums of 1, 2, 4, ... lanes; NULL from n_levels on */
    float *sums;                        /* the last lane's */
    float *micro;                       /* its last micro-batch, not yet in sums; or NULL */
    float *result;                      /* where all lanes are together in the end */
    int32_t n_started, n_ended;         /* reductions of this step */
};

struct tdbg_engine {
    struct tdbg_config *config;
    const struct tdbg_backend *backend;
    /* What ops and losses are computed with: backend, or backend->bf16, and the bytes of an element
     * of an activation, its gradient and a parameter in param_low: 4, or 2. These are floats in
     * name only then; see tdbg_engine_at(). */
    const struct tdbg_backend *ops;
    size_t act_bytes;
    /* (n_nodes): the node whose call computes this one's part as well; -1: none. Such a node runs
     * only for taps that want it. */
    int32_t *inside_of;
    /* Elements from one row of the last node's output, and of its gradient, to the next, where rows
     * are apart so that products may read them in pieces of 16 bytes; else 0. */
    int64_t logits_stride;
    struct tdbg_source source;
    struct tdbg_tap taps[TDBG_MAX_TAPS];
    struct tdbg_want *wants[TDBG_MAX_TAPS]; /* (n_sites) each */
    uint8_t *wanted;                        /* (n_sites): flags of all taps together */
    int n_taps;

    struct tdbg_graph *graph;
    struct tdbg_optimizer optimizer;
    struct tdbg_param_setting *settings; /* (n_params) */
    struct tdbg_schedule schedule;
    struct tdbg_clip clip;
    struct tdbg_site_table table;
    struct tdbg_state_item *state_items;
    struct tdbg_engine_item *items;
    struct tdbg_engine_info info;
    int64_t eval_every, eval_samples;

    int64_t part_rows;                 /* samples of the largest part */
    int64_t flat_elems, loss_offset;   /* the divisor's share is one behind the loss */
    struct tdbg_reduction *reductions; /* (n_reductions): gradients in the order they are made */
    int64_t *reduction_offset;         /* (n_reductions): where in the flat buffers each begins */
    int32_t *reduction_node;           /* (n_reductions): its gradients are whole after this one */
    int32_t n_reductions;
    struct tdbg_lane_fold fold;
    bool
        overlaps; /* nobody changes gradients or stops there: they may leave before backward ends */
    bool is_disturbed; /* a tap may change something in the middle of a step, or leave it */
    struct tdbg_reduction eval_reduction;
    bool has_others;    /* the source says what other ranks contribute, if there are any */
    bool sums_ranks;    /* engine.comm.op: the gradients are not divided by the number of ranks */
    bool low_precision; /* bf16: what ops give is rounded; parameters and sums stay f32 */

    /* On the device. */
    float *param;                        /* (flat_elems) */
    float *optim[TDBG_MAX_OPTIM_STATES]; /* (flat_elems) each */
    float **flat_pool; /* (n_flat_pool): (flat_elems) each: lane sums while they fold */
    int32_t n_flat_pool;
    float *reduced;        /* (flat_elems): all ranks' lanes folded, if has_others */
    float *grad;           /* (flat_elems): after the divisor */
    float *param_low;      /* (flat_elems): parameters rounded, if low_precision, else param; as ops
                              read them */
    float *shared_grad;    /* gradient of a parameter by another op than its owner */
    float *buffer;         /* (n_lanes, buffer_elems) */
    unsigned char *raw_x;  /* (batch, sample) in the source's dtype */
    int64_t *raw_id;       /* (batch) */
    int32_t *length;       /* (batch): tokens before the padding, where samples are padded */
    float *weight;         /* (batch): of each sample in the loss; NULL: all are 1 */
    unsigned char *raw_y;  /* (batch, targets) in the source's dtype */
    unsigned char *target; /* (batch, targets): i32 class indices or f32 values, 4 bytes each */
    float *raw_f32;        /* (part_rows, sample): u8 samples as numbers, for transforms */
    float *more_grad;      /* a node's gradient from its second and later readers */
    uint16_t *packed;      /* an activation in bf16, for taps */
    float *scalar;         /* (16): lr, loss, eval loss, eval accuracy */
    float *sum_scratch;
    float *loss_workspace;
    float *clip_norm;    /* (2): norm and factor */
    float *clip_squares; /* (n_params) */
    float *clip_scratch;
    void *workspace;

    /* On the host: tables that stay, of the flat buffers. */
    struct tdbg_ranges clip_ranges; /* gradients that are clipped, the last parameter's first */
    int32_t *clip_param;            /* (clip_ranges.n): whose */
    struct tdbg_optimizer_group *groups; /* (n_groups): what one call of the optimizer updates */
    int32_t n_groups;

    /* On the host. */
    struct tdbg_slot *slots;  /* (n_slots) */
    int32_t n_slots;          /* 1, or all lanes */
    struct tdbg_pass *passes; /* (n_slots): of the parts at work */
    bool has_folds;           /* an op sums over lanes in the middle of the graph */
    float *fold_spare;        /* as a slot's folded: what comes from the other ranks */
    float **fold_lane;        /* (n_slots): while lanes fold */
    float **part_grad;        /* (n_slots): where the parts at work put their gradients */

    /* On the host, for uploads. */
    unsigned char *host_x;
    int64_t *host_id;
    unsigned char *host_y, *host_target;
    int32_t *host_length;
    float *host_weight;
    /* (flat_elems and what a fold or an evaluation has): what goes to other ranks and comes back,
     * where the source does not work in the backend's memory; else NULL */
    float *host_sums, *host_reduced;
    int64_t *dropped; /* (n_dropped): ids of samples whose weight is 0, ascending */
    int32_t n_dropped;
    int64_t n_counted; /* samples of the step's batch whose weight is not 0 */

    const struct tdbg_stored_step *stored; /* the gradients are known (run_update); else NULL */

    /* While memory is taken: bytes so far, and what there was none for, which is an error. */
    int64_t taken_bytes, lacking_bytes;
    const char *lacking; /* NULL: nothing */

    void **blocks; /* every device block, to free them */
    int n_blocks, blocks_room;
};

enum {
    SCALAR_LR,
    SCALAR_LOSS,
    SCALAR_EVAL_LOSS, /* these two are reduced together */
    SCALAR_EVAL_ACCURACY,
    SCALAR_EVAL_REDUCED, /* the two after that */
    SCALAR_COUNT = 16
};

static inline bool tdbg_engine_is_narrow(const struct tdbg_engine *e)
{
    return e->ops != e->backend;
}

/* Element i of an activation, a gradient of one, or param_low. */
static inline float *tdbg_engine_at(const struct tdbg_engine *e, float *x, int64_t i)
{
    return (float *)(void *)((char *)x + (size_t)i * e->act_bytes);
}

/* Elements that a sample has in the memory of a node's output or its gradient. */
static inline int64_t tdbg_engine_act_elems(const struct tdbg_engine *e, int32_t node)
{
    if (node == e->graph->n_nodes - 1 && e->logits_stride > 0)
        return e->graph->loss.targets * e->logits_stride;
    return e->graph->nodes[node].elems;
}

/* Sets engine->ops and what hangs on it: before memory is taken. */
void tdbg_engine_choose_ops(struct tdbg_engine *engine);

/* Which nodes are computed inside of another's call: none that a tap may change. */
void tdbg_engine_choose_fused(struct tdbg_engine *engine, bool has_taps);

/* Does a tap want to see, at this step, anything of what node `node` computes inside of its call?
 */
struct tdbg_pass;
bool tdbg_engine_shows_inside(const struct tdbg_engine *engine, const struct tdbg_pass *pass,
                              int32_t node);

/* Where the targets of a sample of the uploaded batch begin. */
static inline const void *tdbg_engine_targets(const struct tdbg_engine *e, int64_t sample)
{
    return e->target + (size_t)(sample * e->graph->loss.targets) * sizeof(float);
}

/* Uploads n samples from the host buffers to the device, turns targets into what the loss reads and
 * checks them. *n_counted, unless NULL: targets that the loss does not ignore. */
enum tdbg_status tdbg_engine_upload_batch(struct tdbg_engine *engine, int64_t n, int64_t *n_counted,
                                          struct tdbg_err *err);

/* The samples that the config drops (sample_weight.c): reads them, with a diagnostic where there is
 * no such sample; false then. */
bool tdbg_engine_read_dropped(struct tdbg_engine *engine);

/* Weights of the n samples in host_id, and how many of them count (n_counted). */
enum tdbg_status tdbg_engine_weigh_samples(struct tdbg_engine *engine, int64_t n,
                                           struct tdbg_err *err);

/* Shows a part's weights; rows (rows of the part, elems) of the table `be` are multiplied by them,
 * a row of weight 0 becomes +0 whatever it holds. Both do nothing where no sample is dropped. */
enum tdbg_status tdbg_engine_show_weights(struct tdbg_engine *engine, const struct tdbg_pass *pass,
                                          struct tdbg_err *err);
void tdbg_engine_apply_weights(struct tdbg_engine *engine, const struct tdbg_pass *pass,
                               const struct tdbg_backend *be, float *rows, int64_t elems);

/* Takes all memory of an engine whose graph and numbers are known. */
enum tdbg_status tdbg_engine_take_memory(struct tdbg_engine *engine, struct tdbg_err *err);

/* Which samples of the uploaded batch, for whom, and where. */
struct tdbg_pass {
    const struct tdbg_slot *slot;
    int64_t step;
    int32_t lane, micro, part; /* part: row of the site table behind a tensor's first */
    int64_t lo, hi;            /* samples */
    int64_t all_rows;          /* samples of the micro-batch in all lanes */
    bool training;             /* false: evaluation, which nobody looks at */
    bool reduces;              /* backward starts reductions as gradients become whole */
};

/* Plans which gradients are reduced together: the last parameters first, with the loss and its
 * divisor, in buckets of engine.comm.bucket_mib. */
void tdbg_engine_plan_reductions(struct tdbg_engine *engine);

/* The same as a member of a JSON object: op, algorithm, and each bucket's sites; nothing where
 * there is one rank only. */
void tdbg_engine_print_reductions(const struct tdbg_engine *engine, struct tdbg_json *json);

/* Folds and starts the reductions whose gradients are whole when backward has run node `node`; 0:
 * all that are left. */
enum tdbg_status tdbg_engine_start_reductions(struct tdbg_engine *engine, int64_t step,
                                              int32_t node, struct tdbg_err *err);

/* data (elems of `what`): the fold over this rank's lanes, then that over all lanes of all ranks;
 * spare (elems) is used up. */
enum tdbg_status tdbg_engine_sum_ranks(struct tdbg_engine *engine, int64_t step,
                                       const struct tdbg_reduction *what, float *data, float *spare,
                                       struct tdbg_err *err);

/* What the other ranks contribute to `sums` (flat_elems), this rank's lanes folded; shows it as
 * reduce_out. *reduced is where the sum of all ranks' lanes is then; *wait_ns grows by the time
 * that it took. */
enum tdbg_status tdbg_engine_reduce(struct tdbg_engine *engine, int64_t step, float *sums,
                                    float **reduced, int64_t *wait_ns, struct tdbg_err *err);

/* Gradients of all lanes of this rank, folded: *folded (flat_elems). n: samples of the step. */
enum tdbg_status tdbg_engine_run_lanes(struct tdbg_engine *engine, int64_t step, int64_t n,
                                       float **folded, struct tdbg_err *err);

/* One lane's gradients (flat_elems) from engine->stored. */
enum tdbg_status tdbg_engine_load_lane(struct tdbg_engine *engine, int64_t step, int32_t lane,
                                       float *sums, struct tdbg_err *err);

/* The sums of all lanes divided, into engine->grad; and clipping and the optimizer from there. */
enum tdbg_status tdbg_engine_divide(struct tdbg_engine *engine, int64_t step, const float *sums,
                                    struct tdbg_err *err);
enum tdbg_status tdbg_engine_update(struct tdbg_engine *engine, int64_t step, double lr,
                                    struct tdbg_err *err);

/* After a step that failed: waits for the reductions that were started. */
void tdbg_engine_drain_reductions(struct tdbg_engine *engine, int64_t step);

/* Evaluation is rank 0's: hands its results to the others. wait_ns as above. */
enum tdbg_status tdbg_engine_share_evaluation(struct tdbg_engine *engine, int64_t step,
                                              int64_t *wait_ns, struct tdbg_err *err);

/* Does a tap want that site at this step? */
bool tdbg_engine_is_due(const struct tdbg_engine *engine, int64_t step, int32_t site);

/* Shows a tensor to the taps that want it at this step. */
enum tdbg_status tdbg_engine_show(struct tdbg_engine *engine, int64_t step, int32_t site,
                                  const void *data, int64_t elems, int32_t same_as,
                                  struct tdbg_err *err);

/* Rounds the parameters for the ops where precision is low: before the first pass over them. */
void tdbg_engine_round_params(struct tdbg_engine *engine);

/* Transforms and forward up to the logits and the per-sample losses, of n parts together: node by
 * node, every part before the next node. n is 1, or the lanes of a micro-batch in order. */
enum tdbg_status tdbg_engine_forward(struct tdbg_engine *engine, const struct tdbg_pass *pass,
                                     int32_t n, struct tdbg_err *err);

/* Backward of the parts that forward ran last, each into its flat_grad (flat_elems), whose
 * gradients are all overwritten. */
enum tdbg_status tdbg_engine_backward(struct tdbg_engine *engine, const struct tdbg_pass *pass,
                                      int32_t n, float *const *flat_grad, struct tdbg_err *err);

/* What node i's class is told for one part; gradients go to flat_grad (NULL: forward). */
struct tdbg_call {
    struct tdbg_op_run run;
    const float *param[TDBG_MAX_NODE_PARAMS];
    float *grad[TDBG_MAX_NODE_PARAMS];
    float *buffer[TDBG_MAX_NODE_BUFFERS];
};
void tdbg_engine_fill_call(struct tdbg_engine *engine, const struct tdbg_pass *pass, int32_t node,
                           float *flat_grad, struct tdbg_call *call);

/* The folds of node i (tdbg_op_class.folds) that belong to forward or to backward: what every part
 * adds, then what comes out of all lanes of all ranks. Parts are the lanes of a micro-batch. */
enum tdbg_status tdbg_engine_run_folds(struct tdbg_engine *engine, const struct tdbg_pass *pass,
                                       int32_t n, int32_t node, bool backward,
                                       struct tdbg_err *err);

/* State item i on the device. */
float *tdbg_engine_item_data(const struct tdbg_engine *engine, int32_t i);

/* Validation after a step: loss and accuracy into the scalars. */
enum tdbg_status tdbg_engine_evaluate(struct tdbg_engine *engine, struct tdbg_err *err);

#endif
