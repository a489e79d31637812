/* The comparing tap and the loop around it. See verify.h. */
#include "replay/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"

/* One file whose recording is compared. Digests are of the current step. */
struct recording {
    struct tdbg_trace *trace;
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans;
    int32_t n_sites;
    bool has_step;                    /* the current one */
    uint64_t *recorded, *computed;    /* (n_sites) */
    uint64_t chain[TDBG_CHAIN_COUNT]; /* h before the current step, from recomputed digests */
    struct tdbg_step_row row;
    int64_t differ; /* in the current step */
};

struct verify {
    struct tdbg_session *session;
    struct tdbg_verify_report *report;
    struct recording *files; /* (n_files) */
    int32_t n_files, n_sites;
    bool digests_only;
    int32_t *every;       /* (n_sites) of the session: cadence of digests; 0: not compared */
    uint64_t *fresh_of;   /* (n_sites) digests of the current step */
    void *stored, *fresh; /* one tensor from a trace, one re-executed */
    int32_t step_first;   /* first differing site of the current step, or -1 */
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)sites;
    (void)err;
    const struct verify *v = self;
    for (int32_t i = 0; i < n_sites; i++) {
        wants[i].every = v->every[i];
        wants[i].flags = v->every[i] == 0  ? 0
                         : v->digests_only ? TDBG_WANT_DIGEST
                                           : TDBG_WANT_DIGEST | TDBG_WANT_VALUES;
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct verify *v = self;
    enum tdbg_status st = TDBG_OK;
    v->step_first = -1;
    for (int32_t f = 0; f < v->n_files; f++) {
        struct recording *r = &v->files[f];
        const int64_t first = tdbg_trace_first_step(r->trace);
        r->has_step = step >= first && step - first < tdbg_trace_n_steps(r->trace);
        r->differ = 0;
        memset(r->computed, 0, (size_t)r->n_sites * sizeof *r->computed);
        if (!r->has_step)
            continue;
        TDBG_TRY(tdbg_trace_read_digests(r->trace, step, r->recorded, err));
        TDBG_TRY(tdbg_trace_read_steps(r->trace, step, 1, &r->row, err));
    }
out:
    return st;
}

/* The stored value has to have the digest that was recorded with it: a difference here is damage of
 * the file, not of the training. Sample values are inputs and are compared through their site. */
static enum tdbg_status check_stored(struct verify *v, const struct recording *r, int64_t step,
                                     int32_t site, int64_t elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char label[TDBG_MAX_SITE_NAME + 40];
    int64_t n = 0;
    TDBG_TRY(tdbg_trace_read_values(r->trace, step, site, v->stored, &n, err));
    tdbg_site_label(&r->sites[site], label, sizeof label);
    uint64_t digest = n == elems ? tdbg_digest_fast(v->stored, r->sites[site].dtype, n) : 0;
    TDBG_FAIL_IF(n != elems || digest != r->recorded[site], DAMAGED,
                 "%s: the stored value of %s at step %lld does not have its recorded digest",
                 tdbg_trace_path(r->trace), label, (long long)step);
out:
    return st;
}

/* The lowest rank that differs in a site is described, the others are counted. */
static enum tdbg_status note_first(struct verify *v, int64_t step, const struct recording *file,
                                   int32_t site, const struct tdbg_handle *handle, bool stored,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_verify_report *r = v->report;
    const size_t used = strlen(r->ranks);
    const int32_t rank = tdbg_trace_info(file->trace)->rank;
    if (r->n_differ++ > 0) {
        snprintf(r->ranks + used, sizeof r->ranks - used, ", %d", (int)rank);
        return TDBG_OK;
    }
    snprintf(r->ranks, sizeof r->ranks, "%d", (int)rank);
    r->step = step;
    r->rank = rank;
    r->site = site;
    r->recorded = file->recorded[site];
    r->computed = file->computed[site];
    r->has_elements = stored;
    if (stored) {
        TDBG_TRY(tdbg_handle_copy(handle, v->fresh, err));
        tdbg_compare_tensors(v->stored, v->fresh, file->sites[site].dtype, handle->elems,
                             &r->elements);
    }
out:
    return st;
}

/* Site `site` of a file, of which `id` is the number in the session. */
static enum tdbg_status compare(struct verify *v, int64_t step, int32_t id,
                                const struct tdbg_session_place *place,
                                const struct tdbg_handle *handle, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct recording *file = &v->files[place->file];
    const int32_t site = place->site, every = file->plans[site].digest_every;
    if (!file->has_step || every == 0 || step % every != 0)
        return TDBG_OK;
    file->computed[site] = v->fresh_of[id];
    if (file->sites[site].stage == TDBG_STAGE_EVAL && tdbg_session_lacks_evaluation(v->session)) {
        file->computed[site] = file->recorded[site];
        return TDBG_OK;
    }
    bool stored = !v->digests_only && file->plans[site].store != TDBG_STORE_SAMPLES &&
                  tdbg_trace_has_values(file->trace, site, step, file->row.evaluated);
    if (stored)
        TDBG_TRY(check_stored(v, file, step, site, handle->elems, err));
    if (file->computed[site] == file->recorded[site])
        goto out;
    file->differ++;
    /* ids are in dataflow order; the engine may show lanes one after another */
    if (v->report->differ == 0 && (v->step_first < 0 || id <= v->step_first)) {
        if (id != v->step_first)
            v->report->n_differ = 0;
        v->step_first = id;
        TDBG_TRY(note_first(v, step, file, site, handle, stored, err));
    }
out:
    return st;
}

static enum tdbg_status site(void *self, int64_t step, int32_t id, const struct tdbg_handle *handle,
                             struct tdbg_err *err)
{
    struct verify *v = self;
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_session_place *places = tdbg_session_places(v->session, id, &n);
    if (handle->same_as >= 0 && v->every[handle->same_as] == v->every[id])
        v->fresh_of[id] = v->fresh_of[handle->same_as];
    else
        TDBG_TRY(tdbg_handle_digest(handle, &v->fresh_of[id], NULL, err));
    for (int32_t i = 0; i < n; i++)
        TDBG_TRY(compare(v, step, id, &places[i], handle, err));
    if (v->report->differ == 0 && v->step_first == id)
        v->report->n_places = n;
out:
    return st;
}

/* All sites agree: then the chains have to agree as well, or somebody rewrote digests. */
static void check_chains(struct verify *v, struct recording *file, int64_t step)
{
    struct tdbg_verify_report *report = v->report;
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        file->chain[c] = tdbg_chain_step(c, file->chain[c], file->sites, file->plans, file->n_sites,
                                         step, file->row.evaluated, file->computed);
        if (file->chain[c] == file->row.chain[c])
            continue;
        file->differ++;
        if (report->differ == 0 && v->step_first < 0) {
            v->step_first = 0;
            report->step = step;
            report->rank = tdbg_trace_info(file->trace)->rank;
            report->site = -1;
            report->chain = c;
            report->recorded = file->row.chain[c];
            report->computed = file->chain[c];
        }
    }
}

static enum tdbg_status end_step(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err)
{
    (void)err;
    struct verify *v = self;
    const char *lacks = tdbg_session_lacks_evaluation(v->session);
    int64_t differ = 0;
    if (lacks && info->evaluated)
        snprintf(v->report->no_evaluation, sizeof v->report->no_evaluation, "%s", lacks);
    for (int32_t f = 0; f < v->n_files; f++) {
        struct recording *file = &v->files[f];
        if (!file->has_step)
            continue;
        if (file->differ == 0)
            check_chains(v, file, info->step);
        /* after a difference go on from the recorded chain, so that each step is judged by itself
         */
        memcpy(file->chain, file->row.chain, sizeof file->chain);
        differ += file->differ;
    }
    v->report->differ += differ;
    v->report->verified_steps += differ == 0;
    return TDBG_OK;
}

static const struct tdbg_tap_ops verify_ops = {plan, begin_step, site, end_step};

/* A site that is digested with another cadence in another file is shown at every step. */
static void plan_sites(struct verify *v)
{
    for (int32_t i = 0; i < v->n_sites; i++) {
        int32_t n;
        const struct tdbg_session_place *places = tdbg_session_places(v->session, i, &n);
        for (int32_t k = 0; k < n; k++) {
            const int32_t every = v->files[places[k].file].plans[places[k].site].digest_every;
            v->every[i] = k == 0 || v->every[i] == every ? every : 1;
        }
        v->report->n_sites += v->every[i] > 0;
    }
}

static enum tdbg_status open_recordings(struct verify *v, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    v->n_files = tdbg_session_n_files(v->session);
    v->files = calloc((size_t)v->n_files, sizeof *v->files);
    TDBG_FAIL_IF(!v->files, NO_MEMORY, "no memory to verify with");
    for (int32_t f = 0; f < v->n_files; f++) {
        struct recording *r = &v->files[f];
        r->trace = tdbg_session_file(v->session, f);
        r->sites = tdbg_trace_sites(r->trace, &r->n_sites);
        r->plans = tdbg_trace_plans(r->trace);
        r->recorded = calloc((size_t)r->n_sites, sizeof *r->recorded);
        r->computed = calloc((size_t)r->n_sites, sizeof *r->computed);
        TDBG_FAIL_IF(!r->recorded || !r->computed, NO_MEMORY, "no memory to verify with");
    }
out:
    return st;
}

static enum tdbg_status make_buffers(struct verify *v, struct tdbg_err *err)
{
    const struct tdbg_site *sites = tdbg_engine_sites(tdbg_session_engine(v->session), &v->n_sites);
    TDBG_ASSERT(v->n_sites > 0);
    size_t largest = 1, n = (size_t)v->n_sites;
    for (int32_t i = 0; i < v->n_sites; i++) {
        size_t bytes = (size_t)tdbg_site_elems(&sites[i]) * tdbg_dtype_bytes(sites[i].dtype);
        largest = bytes > largest ? bytes : largest;
    }
    v->every = calloc(n, sizeof *v->every);
    v->fresh_of = calloc(n, sizeof *v->fresh_of);
    v->stored = malloc(largest);
    v->fresh = malloc(largest);
    if (!v->every || !v->fresh_of || !v->stored || !v->fresh)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to verify with");
    return TDBG_OK;
}

static void free_all(struct verify *v)
{
    for (int32_t f = 0; v->files && f < v->n_files; f++) {
        free(v->files[f].recorded);
        free(v->files[f].computed);
    }
    free(v->files);
    free(v->every);
    free(v->fresh_of);
    free(v->stored);
    free(v->fresh);
}

static enum tdbg_status check_range(const struct tdbg_session *session, int64_t *from, int64_t *to,
                                    struct tdbg_err *err)
{
    int64_t first, n;
    tdbg_session_steps(session, &first, &n);
    *from = *from < 0 ? first : *from;
    *to = *to < 0 ? first + n - 1 : *to;
    if (*from < first || *to >= first + n || *from > *to)
        return TDBG_RAISE(err, USAGE, "steps %lld to %lld: %s has steps %lld to %lld",
                          (long long)*from, (long long)*to,
                          tdbg_trace_path(tdbg_session_file(session, 0)), (long long)first,
                          (long long)(first + n - 1));
    return TDBG_OK;
}

/* Chains of a file that begins later begin with it. */
static enum tdbg_status begin_chains(struct verify *v, int64_t from, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t f = 0; f < v->n_files; f++) {
        struct recording *r = &v->files[f];
        const int64_t first = tdbg_trace_first_step(r->trace);
        const int64_t end = first + tdbg_trace_n_steps(r->trace);
        if (from < end)
            TDBG_TRY(
                tdbg_trace_read_chain_before(r->trace, from > first ? from : first, r->chain, err));
    }
out:
    return st;
}

static enum tdbg_status run(struct verify *v, const struct tdbg_verify_options *options,
                            int64_t from, int64_t to, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tap tap = {&verify_ops, v};
    TDBG_TRY(tdbg_session_seek(v->session, from, err));
    TDBG_TRY(begin_chains(v, from, err));
    for (int64_t step = from; step <= to; step++) {
        struct tdbg_step_info info;
        TDBG_TRY(tdbg_session_run_step(v->session, &tap, 1, &info, err));
        if (options->progress && options->progress(options->progress_context, step, step - from + 1,
                                                   to - from + 1, info.loss))
            TDBG_FAIL_IF(true, INTERRUPTED, "stopped after step %lld", (long long)step);
    }
out:
    return st;
}

enum tdbg_status tdbg_verify_session(struct tdbg_session *session,
                                     const struct tdbg_verify_options *options,
                                     struct tdbg_verify_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct verify v = {.session = session, .report = report, .digests_only = options->digests_only};
    int64_t from = options->from, to = options->to;
    *report = (struct tdbg_verify_report){.site = -1};
    TDBG_TRY(check_range(session, &from, &to, err));
    report->n_steps = to - from + 1;
    TDBG_TRY(open_recordings(&v, err));
    TDBG_TRY(make_buffers(&v, err));
    plan_sites(&v);
    TDBG_TRY(run(&v, options, from, to, err));
out:
    free_all(&v);
    return st;
}

enum tdbg_status tdbg_verify_trace(struct tdbg_trace *trace,
                                   const struct tdbg_verify_options *options,
                                   struct tdbg_verify_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    TDBG_TRY(tdbg_session_create(trace, &options->session, &session, err));
    TDBG_TRY(tdbg_verify_session(session, options, report, err));
out:
    tdbg_session_destroy(session);
    return st;
}

/* engine.comm.algorithm: are the reductions ours to compute? */
static enum tdbg_status read_strict(const struct tdbg_rank_group *group, bool *strict,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_config *config = NULL;
    const struct tdbg_run_info *info = tdbg_trace_info(group->files[group->first].trace);
    TDBG_TRY(tdbg_config_parse(info->config, "/run/config", NULL, 0, &config, err));
    const struct tdbg_cfg_node *algorithm =
        tdbg_cfg_find(tdbg_config_root(config), "engine.comm.algorithm");
    *strict =
        !algorithm || algorithm->type != TDBG_CFG_STRING || strcmp(algorithm->s, "native") != 0;
out:
    tdbg_config_destroy(config);
    return st;
}

/* Joins what was found of one more rank. */
static void add_report(struct tdbg_verify_report *all, const struct tdbg_verify_report *one)
{
    const bool earlier = one->differ > 0 && (all->differ == 0 || one->step < all->step);
    struct tdbg_verify_report sum = earlier ? *one : *all;
    sum.n_steps = one->n_steps > all->n_steps ? one->n_steps : all->n_steps;
    sum.verified_steps =
        one->verified_steps < all->verified_steps ? one->verified_steps : all->verified_steps;
    sum.n_sites = all->n_sites + one->n_sites;
    sum.differ = all->differ + one->differ;
    if (*one->no_evaluation)
        memcpy(sum.no_evaluation, one->no_evaluation, sizeof sum.no_evaluation);
    *all = sum;
}

/* Sums that a library made in an order of its own are taken from the trace: one rank after
 * another. */
static enum tdbg_status verify_one_by_one(struct tdbg_rank_group *group,
                                          const struct tdbg_verify_options *options,
                                          struct tdbg_verify_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *report = (struct tdbg_verify_report){.site = -1, .verified_steps = INT64_MAX};
    for (int32_t r = 0; r < group->world_size; r++) {
        struct tdbg_verify_report one;
        if (!group->files[r].trace)
            continue;
        TDBG_TRY(tdbg_verify_trace(group->files[r].trace, options, &one, err));
        add_report(report, &one);
    }
    report->sums_taken = true;
out:
    return st;
}

enum tdbg_status tdbg_verify_group(struct tdbg_rank_group *group,
                                   const struct tdbg_verify_options *options,
                                   struct tdbg_verify_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    bool strict;
    TDBG_TRY(read_strict(group, &strict, err));
    if (!strict)
        return verify_one_by_one(group, options, report, err);
    TDBG_TRY(tdbg_session_create_group(group, &options->session, &session, err));
    TDBG_TRY(tdbg_verify_session(session, options, report, err));
out:
    tdbg_session_destroy(session);
    return st;
}
