/* The samples of a trial: the order of one run's batches, the samples of one run's data, and single
 * samples of the other's in their places. */
#ifndef TDBG_REPLAY_BISECT_SOURCE_H
#define TDBG_REPLAY_BISECT_SOURCE_H

#include "replay/bisect_side.h"

struct tdbg_bisect_source {
    struct tdbg_bisect_side *side; /* (2) */
    bool is_live;
    int order, data;               /* the sides that batches and samples are of */
    const struct tdbg_step_range { /* ascending: batches of the other side, of traces */
        int64_t first, last;
    } * moved; /* (n_moved) */
    int n_moved;
    struct tdbg_source_live *live; /* batches of data sets; owned */
    const int64_t *swapped;        /* (n_swapped) ids, ascending: samples of the other side */
    int64_t n_swapped;
    size_t x_bytes, y_bytes; /* of a sample */
    int32_t world_size;      /* ranks whose lanes the engine has */
};

/* Fills in what is not the caller's, who has set side, is_live, order, data and swapped. root: a
 * checked config whose seed and sampler are those of the order; borrowed, for data sets. Close with
 * tdbg_bisect_source_close(). */
enum tdbg_status tdbg_bisect_source_open(struct tdbg_bisect_source *source,
                                         const struct tdbg_cfg_node *root, struct tdbg_err *err);
void tdbg_bisect_source_close(struct tdbg_bisect_source *source);

/* The table for an engine that has the lanes of all ranks; valid as long as `source`. */
struct tdbg_source tdbg_bisect_source_table(struct tdbg_bisect_source *source);

#endif
