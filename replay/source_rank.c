/* What other ranks contributed, from their traces. See source_rank.h. */
#include "replay/source_rank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "engine/lane_tree.h"
#include "engine/source_around.h"
#include "replay/source_recorded.h"
#include "trace/rank_group.h"

struct tdbg_source_rank {
    struct tdbg_source inner; /* first: source_around.h */
    struct tdbg_trace *trace;
    const struct tdbg_run_info *info;
    const struct tdbg_backend *backend;
    struct tdbg_trace **others; /* (world_size); NULL: not opened, or this rank's own */
    float **branch;             /* (world_size), of branch_elems; made when something is folded */
    float **lane;               /* (lanes of a rank) */
    int64_t branch_elems;
    char *lacks_evaluation;
};

enum tdbg_status tdbg_source_rank_create(struct tdbg_trace *trace,
                                         const struct tdbg_backend *backend,
                                         struct tdbg_source_rank **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    struct tdbg_source_rank *s = calloc(1, sizeof *s);
    TDBG_FAIL_IF(info->world_size > TDBG_MOST_RANK_FILES || info->lanes % info->world_size != 0,
                 DAMAGED, "%s has %d lanes of %d ranks, which cannot be", tdbg_trace_path(trace),
                 (int)info->lanes, (int)info->world_size);
    const size_t n = (size_t)info->world_size;
    TDBG_FAIL_IF(!s || !(s->others = calloc(n, sizeof *s->others)) ||
                     !(s->branch = calloc(n, sizeof *s->branch)) ||
                     !(s->lane = calloc((size_t)info->lanes / n, sizeof *s->lane)),
                 NO_MEMORY, "no memory for the source of a rank");
    s->inner = tdbg_source_recorded_table(trace);
    s->trace = trace;
    s->info = info;
    s->backend = backend;
    *out = s;
    return TDBG_OK;
out:
    tdbg_source_rank_destroy(s);
    return st;
}

static void free_branches(struct tdbg_source_rank *s)
{
    const int32_t ranks = s->info->world_size, lanes = s->info->lanes / ranks;
    for (int32_t r = 0; r < ranks; r++) {
        s->backend->free(s->backend->context, s->branch[r]);
        s->branch[r] = NULL;
    }
    for (int32_t k = 0; k < lanes; k++) {
        s->backend->free(s->backend->context, s->lane[k]);
        s->lane[k] = NULL;
    }
    s->branch_elems = 0;
}

void tdbg_source_rank_destroy(struct tdbg_source_rank *s)
{
    if (!s)
        return;
    if (s->info)
        free_branches(s);
    for (int32_t r = 0; s->info && r < s->info->world_size; r++)
        tdbg_trace_close(s->others[r]);
    free(s->others);
    free(s->branch);
    free(s->lane);
    free(s->lacks_evaluation);
    free(s);
}

const char *tdbg_source_rank_lacks_evaluation(const struct tdbg_source_rank *s)
{
    return s->lacks_evaluation;
}

/* --- values of other ranks --- */

static enum tdbg_status trace_of(struct tdbg_source_rank *s, int32_t rank, struct tdbg_trace **out,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (rank != s->info->rank && !s->others[rank])
        TDBG_TRY(tdbg_rank_open(s->trace, rank, &s->others[rank], NULL, err));
    *out = rank == s->info->rank ? s->trace : s->others[rank];
out:
    return st;
}

/* Reads a value that is stored in a trace at this step; TDBG_CANNOT_JUDGE: it is not. */
static enum tdbg_status read_stored(struct tdbg_trace *t, int64_t step, const char *name,
                                    int32_t lane, int64_t elems, float *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    int64_t n;
    char label[TDBG_MAX_SITE_NAME + 40];
    uint64_t *digests = NULL;
    struct tdbg_step_row row;
    const struct tdbg_site *sites = tdbg_trace_sites(t, &n_sites);
    const int32_t id = tdbg_trace_find_site(t, name, lane, TDBG_LANE_ALL);
    TDBG_FAIL_IF(id < 0, CANNOT_JUDGE, "%s has no %s", tdbg_trace_path(t), name);
    tdbg_site_label(&sites[id], label, sizeof label);
    const int64_t first = tdbg_trace_first_step(t), end = first + tdbg_trace_n_steps(t);
    TDBG_FAIL_IF(step < first || step >= end, CANNOT_JUDGE, "%s has no step %lld",
                 tdbg_trace_path(t), (long long)step);
    TDBG_TRY(tdbg_trace_read_steps(t, step, 1, &row, err));
    TDBG_FAIL_IF(!tdbg_trace_has_values(t, id, step, row.evaluated), CANNOT_JUDGE,
                 "%s does not hold the values of %s", tdbg_trace_path(t), label);
    TDBG_FAIL_IF(tdbg_site_elems(&sites[id]) != elems || sites[id].dtype != TDBG_DTYPE_F32, DAMAGED,
                 "%s: %s is of another shape than its config makes it", tdbg_trace_path(t), label);
    TDBG_TRY(tdbg_trace_read_values(t, step, id, out, &n, err));
    digests = malloc((size_t)n_sites * sizeof *digests);
    TDBG_FAIL_IF(!digests, NO_MEMORY, "no memory for a row of digests");
    TDBG_TRY(tdbg_trace_read_digests(t, step, digests, err));
    TDBG_FAIL_IF(tdbg_digest_fast(out, TDBG_DTYPE_F32, n) != digests[id], DAMAGED,
                 "%s: the stored value of %s at step %lld does not have its recorded digest",
                 tdbg_trace_path(t), label, (long long)step);
out:
    free(digests);
    return st;
}

static enum tdbg_status read_of_rank(struct tdbg_source_rank *s, int32_t rank, int64_t step,
                                     const char *name, int32_t lane, int64_t elems, float *out,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *t;
    TDBG_TRY(trace_of(s, rank, &t, err));
    TDBG_TRY(read_stored(t, step, name, lane, elems, out, err));
out:
    return st;
}

/* --- the fold of what went in --- */

static enum tdbg_status make_branches(struct tdbg_source_rank *s, int64_t elems,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t ranks = s->info->world_size, lanes = s->info->lanes / ranks;
    const size_t bytes = (size_t)elems * sizeof(float);
    if (elems <= s->branch_elems)
        return TDBG_OK;
    free_branches(s);
    for (int32_t r = 0; r < ranks; r++)
        TDBG_FAIL_IF(!(s->branch[r] = s->backend->alloc(s->backend->context, bytes)), NO_MEMORY,
                     "no memory for the gradients of other ranks");
    for (int32_t k = 0; k < lanes; k++)
        TDBG_FAIL_IF(!(s->lane[k] = s->backend->alloc(s->backend->context, bytes)), NO_MEMORY,
                     "no memory for the gradients of other ranks");
    s->branch_elems = elems;
out:
    return st;
}

static enum tdbg_status fold_part(struct tdbg_source_rank *s, int64_t step,
                                  const struct tdbg_reduction_part *part, const float *in,
                                  float *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char name[TDBG_MAX_SITE_NAME + 1];
    const int32_t ranks = s->info->world_size, lanes = s->info->lanes / ranks;
    const size_t bytes = (size_t)part->elems * sizeof *out;
    TDBG_FAIL_IF(part->site->stage != TDBG_STAGE_REDUCE_OUT, CANNOT_JUDGE,
                 "what went into it is not in the trace");
    snprintf(name, sizeof name, "reduce_in/%s", tdbg_site_tensor(part->site));
    TDBG_TRY(make_branches(s, part->elems, err));
    for (int32_t r = 0; r < ranks; r++) {
        for (int32_t k = 0; k < lanes && r != s->info->rank; k++)
            TDBG_TRY(read_of_rank(s, r, step, name, r * lanes + k, part->elems, s->lane[k], err));
        if (r != s->info->rank)
            tdbg_lane_tree_fold(s->backend, part->elems, lanes, s->lane);
        memcpy(s->branch[r], r == s->info->rank ? in : s->lane[0], bytes);
    }
    tdbg_lane_tree_fold(s->backend, part->elems, ranks, s->branch);
    memcpy(out, s->branch[0], bytes);
out:
    return st;
}

/* --- the source --- */

/* An evaluation that nobody stored: rank 0 computes it, another rank goes without. */
static enum tdbg_status fill_evaluation(struct tdbg_source_rank *s, int64_t step,
                                        const struct tdbg_reduction_part *part, const float *in,
                                        float *out, struct tdbg_err *err)
{
    struct tdbg_err why = {0};
    if (s->info->rank == 0) {
        memcpy(out, in, (size_t)part->elems * sizeof *out);
        return TDBG_OK;
    }
    enum tdbg_status st =
        read_of_rank(s, 0, step, part->site->name, TDBG_LANE_ALL, part->elems, out, &why);
    if (st == TDBG_CANNOT_JUDGE || st == TDBG_NO_TRACE) {
        memset(out, 0, (size_t)part->elems * sizeof *out);
        if (!s->lacks_evaluation)
            s->lacks_evaluation = strdup(why.message);
        st = TDBG_OK;
    } else if (st != TDBG_OK) {
        tdbg_err_set(err, st, why.file, why.line, "%s", why.message);
    }
    tdbg_err_clear(&why);
    return st;
}

static enum tdbg_status fill_part(struct tdbg_source_rank *s, int64_t step,
                                  const struct tdbg_reduction_part *part, const float *in,
                                  float *out, struct tdbg_err *err)
{
    struct tdbg_err sum = {0}, parts = {0};
    const char *name = part->site->name;
    if (part->site->stage == TDBG_STAGE_EVAL)
        return fill_evaluation(s, step, part, in, out, err);
    enum tdbg_status st = read_of_rank(s, 0, step, name, TDBG_LANE_ALL, part->elems, out, &sum);
    if (st != TDBG_CANNOT_JUDGE && st != TDBG_NO_TRACE) {
        if (st != TDBG_OK)
            tdbg_err_set(err, st, sum.file, sum.line, "%s", sum.message);
        goto out;
    }
    st = fold_part(s, step, part, in, out, &parts);
    if (st == TDBG_CANNOT_JUDGE || st == TDBG_NO_TRACE)
        st = TDBG_RAISE(err, CANNOT_JUDGE,
                        "rank %d cannot be executed alone at step %lld: %s is not known: %s; and "
                        "it cannot be summed again: %s\nhint: 'tdbg replay %s --verify' executes "
                        "all ranks",
                        (int)s->info->rank, (long long)step, name, sum.message, parts.message,
                        tdbg_trace_path(s->trace));
    else if (st != TDBG_OK)
        tdbg_err_set(err, st, parts.file, parts.line, "%s", parts.message);
out:
    tdbg_err_clear(&sum);
    tdbg_err_clear(&parts);
    return st;
}

static enum tdbg_status reduce_begin(void *self, int64_t step, const struct tdbg_reduction *what,
                                     const float *in, float *out, struct tdbg_err *err)
{
    (void)self;
    (void)step;
    (void)what;
    (void)in;
    (void)out;
    (void)err;
    return TDBG_OK;
}

static enum tdbg_status reduce_end(void *self, int64_t step, const struct tdbg_reduction *what,
                                   const float *in, float *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    memset(out, 0, (size_t)what->elems * sizeof *out);
    for (int32_t i = 0; i < what->n_parts; i++) {
        const struct tdbg_reduction_part *part = &what->parts[i];
        TDBG_TRY(fill_part(self, step, part, in + part->offset, out + part->offset, err));
    }
out:
    return st;
}

static const struct tdbg_source_ops rank_ops = {
    .describe = tdbg_source_around_describe,
    .train_batch = tdbg_source_around_train_batch,
    .eval_batch = tdbg_source_around_eval_batch,
    .reduce_begin = reduce_begin,
    .reduce_end = reduce_end,
    .clock_ns = tdbg_source_around_clock_ns,
};

struct tdbg_source tdbg_source_rank_table(struct tdbg_source_rank *s)
{
    return (struct tdbg_source){
        .ops = &rank_ops, .self = s, .rank = s->info->rank, .world_size = s->info->world_size};
}
