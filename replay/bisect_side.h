/* One of the two runs of a bisect: a trace, or a config that has not run yet. Both have a config,
 * an initial state, an order of samples and the samples themselves: what a run is a function of. */
#ifndef TDBG_REPLAY_BISECT_SIDE_H
#define TDBG_REPLAY_BISECT_SIDE_H

#include "engine/source_live.h"
#include "replay/session.h"
#include "replay/source_group.h"

struct tdbg_bisect_side {
    const char *path; /* as given */
    struct tdbg_config
        *config;     /* checked, without `inject`; all lanes of all ranks in one engine */
    bool had_inject; /* faults are no part of what a run is a function of */
    struct tdbg_rank_group *group; /* of a trace; NULL: a config */
    struct tdbg_trace *trace;      /* of the lowest rank that is there */
    struct tdbg_source recorded;   /* its samples; ops NULL: a config */
    struct tdbg_source_group *all_ranks;
    struct tdbg_source_live *live; /* the data set; NULL: not opened */
    bool shares_live;              /* with the other side, which owns it */
    int64_t first, end;            /* steps first .. end - 1; end of a config: INT64_MAX, until its
                                    * engine says */
};

/* Opens a trace or reads a config, by what the file is. Errors are those of either; a trace of
 * another program, or of numerics that this program does not compute, is TDBG_CANNOT_JUDGE. */
enum tdbg_status tdbg_bisect_side_open(const char *path, struct tdbg_bisect_side *out,
                                       struct tdbg_err *err);
void tdbg_bisect_side_close(struct tdbg_bisect_side *side);

/* Opens the data set of the side's config; of a trace it has to be the recorded one (TDBG_DATA). */
enum tdbg_status tdbg_bisect_side_open_data(struct tdbg_bisect_side *side, struct tdbg_err *err);

/* Is the data set that a side holds the recorded one of its trace? TDBG_DATA. Of a config it is. */
enum tdbg_status tdbg_bisect_side_compare_data(struct tdbg_bisect_side *side, struct tdbg_err *err);

/* Parameters, optimizer state and buffers before a step. */
struct tdbg_bisect_state {
    int32_t n;
    struct tdbg_bisect_item {
        char *name;
        int64_t elems;
        float *data; /* (elems) */
    } * item;
};
void tdbg_bisect_state_clear(struct tdbg_bisect_state *state);

/* Copies an engine's state out, into memory that is there already where it fits; and back into an
 * engine with the same items. */
enum tdbg_status tdbg_bisect_state_get(const struct tdbg_engine *engine,
                                       struct tdbg_bisect_state *out, struct tdbg_err *err);
enum tdbg_status tdbg_bisect_state_set(struct tdbg_engine *engine,
                                       const struct tdbg_bisect_state *state, struct tdbg_err *err);

/* An item by name and size, or NULL. */
const struct tdbg_bisect_item *tdbg_bisect_state_find(const struct tdbg_bisect_state *state,
                                                      const char *name, int64_t elems);
bool tdbg_bisect_state_same(const struct tdbg_bisect_state *a, const struct tdbg_bisect_state *b);

/* State of a trace before a step, from the keyframe before it; *executed is added to. */
enum tdbg_status tdbg_bisect_side_state(struct tdbg_bisect_side *side, int64_t step,
                                        const struct tdbg_session_options *options,
                                        struct tdbg_bisect_state *out, int64_t *executed,
                                        struct tdbg_err *err);

/* The digest of a site, by its name and part, that a trace has of a step; *has false: it has none.
 */
enum tdbg_status tdbg_bisect_recorded_digest(const struct tdbg_bisect_side *side, int64_t step,
                                             const struct tdbg_site *site, uint64_t *digest,
                                             bool *has, struct tdbg_err *err);

/* Number of a site in a list, by name, lane and micro-batch, with the same type and shape; or -1.
 */
int32_t tdbg_bisect_find_site(const struct tdbg_site *sites, int32_t n_sites,
                              const struct tdbg_site *site);

#endif
