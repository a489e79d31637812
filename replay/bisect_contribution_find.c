/* Looks for contributions of ranks that executing a run does not give. See bisect_contribution.h.
 * A tap compares each with what is recorded, and puts the recorded one in its place: the run goes
 * on as it went. So what is found in a step is what this step has done, and not what came of
 * another. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "replay/bisect_trial.h"
#include "replay/dropped.h"

struct scan {
    struct tdbg_bisect_runs *runs;
    const struct tdbg_rank_group *group;
    int side;
    int32_t *joined;               /* (sites of the engine) their numbers in the group, or -1 */
    uint64_t **digest, **previous; /* (world_size): recorded, of this step and the one before */
    int64_t previous_step;         /* -1: of none */
    bool evaluated;
    float *fresh, *recorded; /* one tensor */
    float **kept;            /* (sites of the group) what went on last, where it is not stored */
    bool ends;               /* after this step: the run is not what was recorded from here on */
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    const struct scan *s = self;
    (void)err;
    for (int32_t i = 0; i < n_sites; i++) {
        const enum tdbg_stage stage = sites[i].stage;
        if (s->joined[i] < 0)
            continue;
        if (stage == TDBG_STAGE_REDUCE_IN || stage == TDBG_STAGE_REDUCE_OUT)
            wants[i] =
                (struct tdbg_want){TDBG_WANT_DIGEST | TDBG_WANT_VALUES | TDBG_WANT_CHANGE, 1};
        if (stage == TDBG_STAGE_OPTIM || stage == TDBG_STAGE_PARAM)
            wants[i] = (struct tdbg_want){TDBG_WANT_DIGEST, 1};
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct scan *s = self;
    enum tdbg_status st = TDBG_OK;
    for (int32_t r = 0; r < s->group->world_size; r++) {
        struct tdbg_trace *trace = s->group->files[r].trace;
        struct tdbg_step_row row;
        uint64_t *old = s->previous[r];
        if (!tdbg_rank_has_step(&s->group->files[r], step)) {
            s->ends = true;
            continue;
        }
        s->previous[r] = s->digest[r];
        s->digest[r] = old;
        TDBG_TRY(tdbg_trace_read_digests(trace, step, s->digest[r], err));
        TDBG_TRY(tdbg_trace_read_steps(trace, step, 1, &row, err));
        s->evaluated = row.evaluated != 0;
    }
out:
    return st;
}

/* The files that have a digest of a site: how many, and in how many it is this one; *all_alike:
 * they all have the same. */
static int count_files(const struct scan *s, int64_t step, int32_t joined, uint64_t computed,
                       int *n_agree, bool *all_alike)
{
    uint64_t first = 0;
    int n = 0;
    *n_agree = 0;
    *all_alike = true;
    for (int32_t r = 0; r < s->group->world_size; r++) {
        const struct tdbg_rank_file *file = &s->group->files[r];
        const int32_t local =
            tdbg_rank_has_step(file, step) ? tdbg_rank_local_site(file, joined) : -1;
        if (local < 0 || !tdbg_trace_has_digest(file->trace, local, step, s->evaluated))
            continue;
        const uint64_t digest = s->digest[r][local];
        first = n++ == 0 ? digest : first;
        *n_agree += digest == computed;
        *all_alike &= digest == first;
    }
    return n;
}

/* *factor: what all of it is multiplied by. */
static bool is_scaled(const struct scan *s, int64_t n, float *factor)
{
    *factor = 0;
    for (int64_t i = 0; i < n && *factor == 0; i++)
        *factor = s->fresh[i] != 0 ? s->recorded[i] / s->fresh[i] : 0;
    for (int64_t i = 0; i < n; i++) {
        if (s->recorded[i] != *factor * s->fresh[i])
            return false;
    }
    return isfinite(*factor);
}

/* What is different about it. */
static void describe(const struct scan *s, struct tdbg_contribution *one)
{
    const int32_t holder = s->group->holder[one->site], local = s->group->local[one->site];
    uint32_t flipped = 0;
    bool all_zero = true;
    for (int64_t i = 0; i < one->elems; i++) {
        uint32_t a, b;
        memcpy(&a, &s->fresh[i], sizeof a);
        memcpy(&b, &s->recorded[i], sizeof b);
        all_zero &= s->recorded[i] == 0;
        if (a == b)
            continue;
        if (one->differ++ == 0) {
            one->element = i;
            flipped = a ^ b;
        }
    }
    if (all_zero)
        one->how = TDBG_CONTRIBUTION_ZERO;
    else if (s->previous_step == one->step - 1 &&
             s->digest[holder][local] == s->previous[holder][local])
        one->how = TDBG_CONTRIBUTION_STALE;
    else if (one->differ == 1 && (flipped & (flipped - 1)) == 0)
        one->how = TDBG_CONTRIBUTION_BIT;
    else if (one->differ > 1 && is_scaled(s, one->elems, &one->factor))
        one->how = TDBG_CONTRIBUTION_SCALED;
    while (one->how == TDBG_CONTRIBUTION_BIT && !(flipped >> one->bit & 1))
        one->bit++;
}

static bool is_stored(const struct scan *s, int64_t step, int32_t joined)
{
    return tdbg_trace_has_values(s->group->files[s->group->holder[joined]].trace,
                                 s->group->local[joined], step, s->evaluated);
}

static uint64_t recorded_digest(const struct scan *s, int32_t joined)
{
    return s->digest[s->group->holder[joined]][s->group->local[joined]];
}

/* What was recorded, with its digest. */
static enum tdbg_status read_recorded(struct scan *s, int64_t step, int32_t joined, int64_t elems,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = s->group->files[s->group->holder[joined]].trace;
    char label[TDBG_MAX_SITE_NAME + 40];
    int64_t n = 0;
    TDBG_TRY(tdbg_trace_read_values(trace, step, s->group->local[joined], s->recorded, &n, err));
    TDBG_FAIL_IF(n != elems ||
                     tdbg_digest_fast(s->recorded, TDBG_DTYPE_F32, n) != recorded_digest(s, joined),
                 DAMAGED,
                 "%s: the stored value of %s at step %lld does not have its recorded digest",
                 tdbg_trace_path(trace),
                 tdbg_site_label(&s->group->sites[joined], label, sizeof label), (long long)step);
out:
    return st;
}

/* Lets the run go on with what was recorded; *is_there false: it is neither stored nor told from
 * its digest, and the search ends. */
static enum tdbg_status put_recorded(struct scan *s, int64_t step, int32_t joined,
                                     const struct tdbg_handle *handle, bool *is_there,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_handle_copy(handle, s->fresh, err));
    *is_there = is_stored(s, step, joined);
    if (*is_there)
        TDBG_TRY(read_recorded(s, step, joined, handle->elems, err));
    else
        *is_there =
            tdbg_contribution_guess(s->fresh, s->kept[joined], handle->elems, s->group->world_size,
                                    recorded_digest(s, joined), s->recorded);
    s->ends = !*is_there;
    if (*is_there)
        TDBG_TRY(tdbg_handle_write(handle, s->recorded, err));
out:
    return st;
}

/* Of what is not stored: for the sum of this step, and for the step after it. */
static enum tdbg_status keep(struct scan *s, int64_t step, int32_t joined,
                             const struct tdbg_handle *handle, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (is_stored(s, step, joined))
        return TDBG_OK;
    if (!s->kept[joined])
        s->kept[joined] = malloc((size_t)handle->elems * sizeof **s->kept + 1);
    TDBG_FAIL_IF(!s->kept[joined], NO_MEMORY, "no memory for what ranks contributed");
    TDBG_TRY(tdbg_handle_copy(handle, s->kept[joined], err));
out:
    return st;
}

static enum tdbg_status add(struct scan *s, int64_t step, int32_t joined, int32_t rank,
                            int64_t elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_contribution one = {.side = s->side,
                                    .step = step,
                                    .rank = rank,
                                    .site = joined,
                                    .elems = elems,
                                    .element = -1,
                                    .item = -1};
    describe(s, &one);
    if (!is_stored(s, step, joined)) {
        one.value = malloc((size_t)elems * sizeof *one.value + 1);
        TDBG_FAIL_IF(!one.value, NO_MEMORY, "no memory for what ranks contributed");
        memcpy(one.value, s->recorded, (size_t)elems * sizeof *one.value);
    }
    st = tdbg_contributions_add(&s->runs->contributions, &one, err);
    if (st != TDBG_OK)
        free(one.value);
out:
    return st;
}

static enum tdbg_status compare_contribution(struct scan *s, int64_t step, int32_t joined,
                                             uint64_t computed, const struct tdbg_handle *handle,
                                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int n_agree;
    bool all_alike, is_there;
    if (count_files(s, step, joined, computed, &n_agree, &all_alike) == 0 || n_agree > 0)
        goto out;
    TDBG_TRY(put_recorded(s, step, joined, handle, &is_there, err));
    if (is_there)
        TDBG_TRY(add(s, step, joined, s->group->holder[joined], handle->elems, err));
out:
    return st;
}

/* All lanes of a rank that are not in a sum. */
static enum tdbg_status add_missing(struct scan *s, int64_t step, const char *tensor, int32_t rank,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_rank_group *g = s->group;
    for (int32_t i = 0; i < g->n_sites; i++) {
        if (g->sites[i].stage != TDBG_STAGE_REDUCE_IN || g->holder[i] != rank ||
            strcmp(tdbg_site_tensor(&g->sites[i]), tensor) != 0)
            continue;
        const struct tdbg_contribution one = {.side = s->side,
                                              .step = step,
                                              .rank = rank,
                                              .site = i,
                                              .how = TDBG_CONTRIBUTION_MISSING,
                                              .elems = tdbg_site_elems(&g->sites[i]),
                                              .element = -1,
                                              .item = -1};
        TDBG_TRY(tdbg_contributions_add(&s->runs->contributions, &one, err));
    }
out:
    return st;
}

/* The rank that is not in a sum, of which values are kept, or -1; then the run goes on with it. */
static enum tdbg_status put_without(struct scan *s, int32_t joined,
                                    const struct tdbg_handle *handle, int32_t *rank,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_rank_group *g = s->group;
    const int32_t lanes = tdbg_trace_info(g->files[g->first].trace)->lanes;
    const size_t elems = (size_t)handle->elems;
    char name[TDBG_MAX_SITE_NAME + 1];
    float *shares = malloc((size_t)lanes * elems * sizeof *shares + 1);
    *rank = -1;
    TDBG_FAIL_IF(!shares, NO_MEMORY, "no memory for what ranks contributed");
    snprintf(name, sizeof name, "reduce_in/%s", tdbg_site_tensor(&g->sites[joined]));
    for (int32_t lane = 0; lane < lanes; lane++) {
        const int32_t share = tdbg_rank_group_find(g, name, lane, TDBG_LANE_ALL);
        if (share < 0 || !s->kept[share] || tdbg_site_elems(&g->sites[share]) != handle->elems)
            goto out;
        memcpy(shares + (size_t)lane * elems, s->kept[share], elems * sizeof *shares);
    }
    *rank = tdbg_dropped_share(g->world_size, lanes, handle->elems, shares,
                               recorded_digest(s, joined), s->recorded);
    if (*rank >= 0)
        TDBG_TRY(tdbg_handle_write(handle, s->recorded, err));
out:
    free(shares);
    return st;
}

/* A sum that is wrong on some ranks only is what they made of it, and no contribution. */
static enum tdbg_status compare_sum(struct scan *s, int64_t step, int32_t joined, uint64_t computed,
                                    const struct tdbg_handle *handle, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_site *site = &s->group->sites[joined];
    int32_t rank = -1;
    int n_agree;
    bool all_alike, is_there = true;
    if (count_files(s, step, joined, computed, &n_agree, &all_alike) == 0 || n_agree > 0 ||
        !all_alike)
        goto out;
    TDBG_TRY(put_without(s, joined, handle, &rank, err));
    if (rank < 0)
        TDBG_TRY(put_recorded(s, step, joined, handle, &is_there, err));
    if (rank < 0 && is_there)
        rank = tdbg_dropped_rank(s->group, step, site, recorded_digest(s, joined));
    if (rank >= 0)
        TDBG_TRY(add_missing(s, step, tdbg_site_tensor(site), rank, err));
    else if (is_there)
        TDBG_TRY(add(s, step, joined, -1, handle->elems, err));
out:
    return st;
}

static enum tdbg_status see(void *self, int64_t step, int32_t site,
                            const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct scan *s = self;
    enum tdbg_status st = TDBG_OK;
    const int32_t joined = s->joined[site];
    const enum tdbg_stage stage = s->group->sites[joined].stage;
    uint64_t digest;
    int n_agree;
    bool all_alike;
    if (s->ends)
        goto out;
    TDBG_TRY(tdbg_handle_digest(handle, &digest, NULL, err));
    if (stage == TDBG_STAGE_REDUCE_IN)
        TDBG_TRY(compare_contribution(s, step, joined, digest, handle, err));
    else if (stage == TDBG_STAGE_REDUCE_OUT)
        TDBG_TRY(compare_sum(s, step, joined, digest, handle, err));
    if (stage == TDBG_STAGE_REDUCE_IN || stage == TDBG_STAGE_REDUCE_OUT)
        TDBG_TRY(keep(s, step, joined, handle, err));
    else if (count_files(s, step, joined, digest, &n_agree, &all_alike) > 0 && n_agree == 0)
        s->ends = true;
out:
    return st;
}

static enum tdbg_status end_step(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err)
{
    struct scan *s = self;
    (void)err;
    s->previous_step = info->step;
    return TDBG_OK;
}

static const struct tdbg_tap_ops scan_ops = {plan, begin_step, see, end_step};

static enum tdbg_status prepare(struct scan *s, const struct tdbg_engine *engine,
                                struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_rank_group *g = s->group;
    int32_t n;
    int64_t largest = 1;
    const struct tdbg_site *sites = tdbg_engine_sites(engine, &n);
    s->joined = calloc((size_t)n + 1, sizeof *s->joined);
    s->digest = calloc((size_t)g->world_size, sizeof *s->digest);
    s->previous = calloc((size_t)g->world_size, sizeof *s->previous);
    s->kept = calloc((size_t)g->n_sites + 1, sizeof *s->kept);
    TDBG_FAIL_IF(!s->joined || !s->digest || !s->previous || !s->kept, NO_MEMORY,
                 "no memory for digests");
    for (int32_t i = 0; i < n; i++) {
        s->joined[i] = tdbg_bisect_find_site(g->sites, g->n_sites, &sites[i]);
        largest = tdbg_site_elems(&sites[i]) > largest ? tdbg_site_elems(&sites[i]) : largest;
    }
    for (int32_t r = 0; r < g->world_size; r++) {
        tdbg_trace_sites(g->files[r].trace, &n);
        s->digest[r] = calloc((size_t)n + 1, sizeof **s->digest);
        s->previous[r] = calloc((size_t)n + 1, sizeof **s->previous);
        TDBG_FAIL_IF(!s->digest[r] || !s->previous[r], NO_MEMORY, "no memory for digests");
    }
    s->fresh = malloc((size_t)largest * sizeof *s->fresh);
    s->recorded = malloc((size_t)largest * sizeof *s->recorded);
    TDBG_FAIL_IF(!s->fresh || !s->recorded, NO_MEMORY, "no memory for a contribution");
out:
    return st;
}

static void free_all(struct scan *s)
{
    for (int32_t r = 0; r < s->group->world_size; r++) {
        if (s->digest)
            free(s->digest[r]);
        if (s->previous)
            free(s->previous[r]);
    }
    for (int32_t i = 0; s->kept && i < s->group->n_sites; i++)
        free(s->kept[i]);
    free(s->kept);
    free(s->digest);
    free(s->previous);
    free(s->joined);
    free(s->fresh);
    free(s->recorded);
}

enum tdbg_status tdbg_contributions_find(struct tdbg_bisect_runs *runs, int side, int64_t last,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_trial trial = {0};
    struct scan s = {
        .runs = runs, .group = runs->side[side].group, .side = side, .previous_step = -1};
    const struct tdbg_tap tap = {&scan_ops, &s};
    struct tdbg_step_info info;
    char *why = NULL;
    bool fits;
    bool *taken = calloc((size_t)runs->deltas.n + 1, sizeof *taken);
    TDBG_FAIL_IF(!taken, NO_MEMORY, "no memory for what ranks contributed");
    for (int i = 0; i < runs->deltas.n; i++)
        taken[i] = side == 1;
    TDBG_TRY(tdbg_bisect_trial_open(runs, taken, &trial, &fits, &why, err));
    TDBG_FAIL_IF(!fits, CANNOT_JUDGE, "%s cannot be executed: %s", runs->side[side].path, why);
    TDBG_TRY(prepare(&s, trial.engine, err));
    TDBG_TRY(tdbg_bisect_trial_watch(&trial, &tap, err));
    while (trial.at <= last && trial.at < tdbg_bisect_trial_end(&trial) && !s.ends)
        TDBG_TRY(tdbg_bisect_trial_step(&trial, &info, err));
out:
    tdbg_bisect_trial_close(&trial);
    free_all(&s);
    free(taken);
    free(why);
    return st;
}
