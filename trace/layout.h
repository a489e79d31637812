/* Layout: what follows from the list of sites alone, computed in the same way by writer and reader:
 * which sites may be in a trace, which dataset holds which site and where, and which samples of a
 * batch a (lane, micro-batch) sees. */
#ifndef TDBG_TRACE_LAYOUT_H
#define TDBG_TRACE_LAYOUT_H

#include "base/arena.h"
#include "base/status.h"
#include "trace/schema.h"

enum { TDBG_MAX_LANES = 1 << 20 };
#define TDBG_MAX_ELEMS (INT64_C(1) << 40) /* of one tensor, and of samples in a batch or a set */

/* One dataset of /t, /delta or /residual: the sites of one name, each in a slot of its own.
 *
 *     row of a step:  [ slot 0: lane f, micro 0 ][ slot 1: lane f, micro 1 ] ... [ slot L*A - 1 ]
 */
struct tdbg_value_set {
    const char *path; /* "t/grad/fc1.weight" */
    enum tdbg_store store;
    int32_t site;                /* one of its sites: stage, dtype and plan are those of all */
    int32_t first_lane;          /* lane of slot 0, or TDBG_LANE_ALL */
    int32_t n_lanes, n_micro;    /* extents of the slot axes; 1 where there is no such axis */
    int32_t n_axes;              /* slot axes in the dataset: 0, 1 (lane) or 2 (lane, micro) */
    int32_t ndim;                /* of one slot */
    int64_t dims[TDBG_MAX_DIMS]; /* the largest over the sites; 0 is stored as 1 */
    int64_t slot_elems;
};

/* One dataset of /packed: the packed sites of one stage and dtype, in site order.
 *
 *     row of a step:  [ site 4: 64 elements ][ site 5: 10 ][ site 9: 64 ] ...
 */
struct tdbg_packed_set {
    const char *path;  /* "packed/grad/f32" */
    int32_t site;      /* its first site: stage, dtype and cadence are those of all */
    int64_t row_elems; /* at least 1 */
};

struct tdbg_layout {
    int32_t *order; /* (n_sites) site numbers sorted by name, lane, micro-batch */
    int32_t *set;   /* (n_sites) the site's value set, or -1 */
    int32_t *slot;  /* (n_sites) its slot there */
    struct tdbg_value_set *sets;
    int32_t n_sets;
    int32_t *packed_set;    /* (n_sites) the site's packed set, or -1 */
    int64_t *packed_offset; /* (n_sites) its first element in a row there, or -1 */
    struct tdbg_packed_set *packed;
    int32_t n_packed;
};

/* Stores of which a value that was never put reads as zeros: it is there where its digest of that
 * step is. */
static inline bool tdbg_layout_is_guarded(enum tdbg_store store)
{
    return store == TDBG_STORE_PACKED || store == TDBG_STORE_DELTA || store == TDBG_STORE_RESIDUAL;
}

/* Checks a name of a site or keyframe item: printable ASCII, 1 .. TDBG_MAX_SITE_NAME characters,
 * and parts between slashes that are not empty, "." or "..". */
bool tdbg_layout_name_is_valid(const char *name);

/* Element count of a shape; false: negative, or more than TDBG_MAX_ELEMS. */
bool tdbg_layout_count(int32_t ndim, const int64_t *dims, int64_t *elems);

/* Checks all sites and plans and builds the layout in the arena. What is wrong is raised with
 * status `bad` (a writer's caller erred, or a file is damaged). */
enum tdbg_status tdbg_layout_build(struct tdbg_arena *arena, const struct tdbg_run_info *info,
                                   const struct tdbg_site *sites,
                                   const struct tdbg_site_plan *plans, int32_t n_sites,
                                   enum tdbg_status bad, struct tdbg_layout *out,
                                   struct tdbg_err *err);

/* Checks the keyframe items, and that every site stored in /keyframe or /samples finds its tensor
 * there with the same dtype and shape. *item_of_site (n_sites, in the arena) is the site's item, or
 * -1. */
enum tdbg_status tdbg_layout_check_stores(struct tdbg_arena *arena, const struct tdbg_site *sites,
                                          const struct tdbg_site_plan *plans, int32_t n_sites,
                                          const struct tdbg_keyframe_item *items, int32_t n_items,
                                          const struct tdbg_samples_spec samples[TDBG_SAMPLES_SETS],
                                          enum tdbg_status bad, int32_t **item_of_site,
                                          struct tdbg_err *err);

/* Site number, or -1. */
int32_t tdbg_layout_find(const struct tdbg_layout *layout, const struct tdbg_site *sites,
                         int32_t n_sites, const char *name, int32_t lane, int32_t micro);

/* Row of a step in a dataset of that cadence, and how many rows n_steps steps need. A step that is
 * not due has no row. */
static inline int64_t tdbg_layout_row(int64_t first_step, int64_t step, int32_t every)
{
    return (step - first_step) / every;
}
int64_t tdbg_layout_rows(int64_t first_step, int64_t n_steps, int32_t every);

/* The part of a global batch that a (lane, micro-batch) sees: lane s of S takes samples
 * floor(s B / S) .. floor((s + 1) B / S) - 1, micro-batches cut a lane in the same way. */
void tdbg_layout_slice(int64_t batch, int32_t lanes, int32_t accumulate, int32_t lane,
                       int32_t micro, int64_t *first, int64_t *count);

#endif
