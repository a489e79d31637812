/* The list of sites of a run, in dataflow order, and where in it each tensor of the engine is.
 *
 * Order: stage, then tensor, then lane, then micro-batch. A tensor of a part (one lane, one
 * micro-batch) has `n_lanes * accumulate` consecutive rows, so its row for a part is
 * base + (lane - first_lane) * accumulate + micro; a tensor of a lane has `n_lanes` rows, one of a
 * micro-batch in all lanes `accumulate`, under names of their own. Lanes of other ranks have no
 * rows.
 *
 * A site whose op is "all_reduce" shows what came out of the source's reduction. */
#ifndef TDBG_ENGINE_SITE_TABLE_H
#define TDBG_ENGINE_SITE_TABLE_H

#include "base/site.h"
#include "engine/gradient_clip.h"
#include "engine/graph.h"
#include "engine/optimizer.h"

/* How the global batch of a step is cut, and which lanes of it are this rank's. */
struct tdbg_site_cut {
    int64_t batch;
    int32_t lanes, first_lane, n_lanes, accumulate;
    bool weighs; /* samples have weights in the loss */
};

struct tdbg_site_table {
    struct tdbg_site *sites;
    int32_t n_sites;
    /* First rows. Arrays over transforms, nodes, params and state items; -1: no such site. */
    int32_t samples_id, samples_x, samples_y; /* per part */
    int32_t lr;
    int32_t *state;                           /* (n_items): before the step */
    int32_t *input;                           /* (max(1, n_transforms)), per part */
    int32_t length;                           /* per part, where samples are padded */
    int32_t weight;                           /* per part, where samples are dropped */
    int32_t *fwd;                             /* (n_nodes), per part */
    int32_t (*fold_in)[TDBG_MAX_NODE_FOLDS];  /* (n_nodes), per part */
    int32_t (*fold_out)[TDBG_MAX_NODE_FOLDS]; /* (n_nodes), per micro-batch */
    int32_t loss_sample, loss_sum;            /* per part */
    int32_t loss;
    int32_t *bwd;       /* (n_nodes), per part */
    int32_t *reduce_in; /* (n_params), per lane */
    int32_t reduce_in_loss;
    int32_t *reduce_out, reduce_out_loss;
    int32_t reduce_in_divisor, reduce_out_divisor; /* where the divisor varies */
    int32_t *grad;
    int32_t clip_norm, *clip; /* (n_params) */
    int32_t *after;           /* (n_items): optimizer state and parameters after the step */
    int32_t eval_loss, eval_accuracy;
};

/* State items: all parameters, then for each parameter its optimizer states, then every buffer,
 * each with all lanes of this rank. */
struct tdbg_state_item {
    /* "fc1.weight", "fc1.weight.exp_avg", "bn1.running_mean"; lane k > 0 of a buffer ends in
     * ".lane<k>" */
    const char *name;
    int32_t param;  /* -1: a buffer */
    int32_t state;  /* -1: the parameter itself */
    int32_t buffer; /* -1: none */
    int32_t lane;   /* of a buffer that lanes do not share; else TDBG_LANE_ALL */
};

/* Number of items of a graph under an optimizer, and the list in the graph's arena. */
struct tdbg_state_item *tdbg_state_items_list(struct tdbg_graph *graph,
                                              const struct tdbg_optimizer *optimizer,
                                              int32_t first_lane, int32_t n_lanes, int32_t *n);

/* Shape of an item. */
const struct tdbg_shape *tdbg_state_item_shape(const struct tdbg_graph *graph,
                                               const struct tdbg_state_item *item);

/* Lays the table out in the graph's arena. activations: dtype of what ops give and of its
 * gradients; settings (n_params). */
struct tdbg_site_table
tdbg_site_table_build(struct tdbg_graph *graph, const struct tdbg_optimizer *optimizer,
                      const struct tdbg_state_item *items, int32_t n_items,
                      const struct tdbg_site_cut *cut, enum tdbg_dtype activations,
                      const struct tdbg_clip *clip, const struct tdbg_param_setting *settings);

/* Samples [*lo, *hi) of a global batch of n belong to micro-batch `micro` of lane `lane`. */
void tdbg_site_part_range(int64_t n, int32_t lanes, int32_t accumulate, int32_t lane, int32_t micro,
                          int64_t *lo, int64_t *hi);

/* Samples of the largest part. */
int64_t tdbg_site_part_rows(int64_t batch, int32_t lanes, int32_t accumulate);

#endif
