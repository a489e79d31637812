/* The files of all ranks of a run as one trace: which are there, whether they belong together, and
 * one list of sites in the order of the whole run. Any rank's file leads to the others.
 *
 *     t.h5        lanes 0, 1    samples/x lane 0, samples/x lane 1, hyper/lr, ...
 *     t.rank1.h5  lanes 2, 3    samples/x lane 2, samples/x lane 3, hyper/lr, ...
 *     joined                    samples/x lane 0 .. 3, hyper/lr, ...
 */
#ifndef TDBG_TRACE_RANK_GROUP_H
#define TDBG_TRACE_RANK_GROUP_H

#include "trace/reader.h"

enum { TDBG_MOST_RANK_FILES = 4096 };

enum tdbg_rank_state {
    TDBG_RANK_THERE,
    TDBG_RANK_MISSING, /* there is no such file */
    TDBG_RANK_FOREIGN, /* a file of another run has its name */
    TDBG_RANK_BROKEN,  /* it cannot be opened, or does not fit the others */
};

struct tdbg_rank_file {
    int32_t rank;
    enum tdbg_rank_state state;
    const char *path;         /* where it is or should be */
    const char *why;          /* why it is not THERE, or NULL */
    struct tdbg_trace *trace; /* NULL where it is not THERE */
    int32_t *joined;          /* (sites of the file) their numbers in the joined list */
};

struct tdbg_rank_group {
    struct tdbg_arena *arena; /* owns the lists and texts */
    int32_t world_size;
    struct tdbg_rank_file *files; /* (world_size) */
    int32_t asked;                /* the rank of the file that was opened by name */
    int32_t first;                /* the lowest rank that is THERE */
    int32_t n_there;

    /* Sites of all ranks that are THERE: those of the whole step once, those of a lane in the order
     * of lanes. Lanes of other ranks are left out. */
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans; /* as in `holder`'s file */
    int32_t n_sites;
    int32_t *holder; /* (n_sites) the lane's rank; `first` for what all ranks have */
    int32_t *local;  /* (n_sites) the site's number in holder's file */
};

/* Opens the file of any one rank and, with it, those of the others. A file that is missing, damaged
 * or of another run is no failure: see its state. A trace of one rank is a group of one file.
 * Errors are those of tdbg_trace_open() for the file itself. */
enum tdbg_status tdbg_rank_group_open(const char *path, struct tdbg_rank_group **out,
                                      struct tdbg_err *err);
void tdbg_rank_group_close(struct tdbg_rank_group *group); /* NULL is fine */

/* Opens the file of another rank of this trace's run. *state (may be NULL) says why not:
 * TDBG_NO_TRACE for MISSING and FOREIGN, TDBG_DAMAGED and others of tdbg_trace_open() for BROKEN.
 */
enum tdbg_status tdbg_rank_open(struct tdbg_trace *trace, int32_t rank, struct tdbg_trace **out,
                                enum tdbg_rank_state *state, struct tdbg_err *err);

/* A file of another run in the place of one of these is never what somebody wants: TDBG_NO_TRACE
 * names it. */
enum tdbg_status tdbg_rank_group_refuse_foreign(const struct tdbg_rank_group *group,
                                                struct tdbg_err *err);

/* Number of a site in the joined list, or -1; of a joined site in the list of one file, or -1. */
int32_t tdbg_rank_group_find(const struct tdbg_rank_group *group, const char *name, int32_t lane,
                             int32_t micro);
int32_t tdbg_rank_local_site(const struct tdbg_rank_file *file, int32_t site);

/* The rank that has a lane of the run; -1: there is no such lane. */
int32_t tdbg_rank_of_lane(const struct tdbg_run_info *info, int64_t lane);

/* Steps that any of the files has: *first .. *first + *n - 1. */
void tdbg_rank_group_steps(const struct tdbg_rank_group *group, int64_t *first, int64_t *n);
bool tdbg_rank_has_step(const struct tdbg_rank_file *file, int64_t step);

#endif
