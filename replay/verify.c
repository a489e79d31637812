/* The comparing tap and the loop around it. See verify.h. */
#include "replay/verify.h"

#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"

struct verify {
    struct tdbg_trace *trace;
    struct tdbg_verify_report *report;
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans;
    int32_t n_sites;
    bool digests_only;
    uint64_t *recorded, *computed;    /* (n_sites): digests of the current step */
    uint64_t chain[TDBG_CHAIN_COUNT]; /* h before the current step, from recomputed digests */
    struct tdbg_step_row row;         /* of the current step */
    void *stored, *fresh;             /* one tensor from the trace, one re-executed */
    int32_t step_first;               /* first differing site of the current step, or -1 */
    int64_t step_differ;
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)sites;
    (void)err;
    const struct verify *v = self;
    for (int32_t i = 0; i < n_sites; i++) {
        wants[i].every = v->plans[i].digest_every;
        wants[i].flags = v->plans[i].digest_every == 0 ? 0
                         : v->digests_only             ? TDBG_WANT_DIGEST
                                                       : TDBG_WANT_DIGEST | TDBG_WANT_VALUES;
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct verify *v = self;
    enum tdbg_status st = TDBG_OK;
    v->step_first = -1;
    v->step_differ = 0;
    memset(v->computed, 0, (size_t)v->n_sites * sizeof *v->computed);
    TDBG_TRY(tdbg_trace_read_digests(v->trace, step, v->recorded, err));
    TDBG_TRY(tdbg_trace_read_steps(v->trace, step, 1, &v->row, err));
out:
    return st;
}

/* The stored value has to have the digest that was recorded with it: a difference here is damage of
 * the file, not of the training. Sample values are inputs and are compared through their site. */
static enum tdbg_status check_stored(struct verify *v, int64_t step, int32_t site, int64_t elems,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char label[TDBG_MAX_SITE_NAME + 40];
    int64_t n = 0;
    TDBG_TRY(tdbg_trace_read_values(v->trace, step, site, v->stored, &n, err));
    tdbg_site_label(&v->sites[site], label, sizeof label);
    uint64_t digest = n == elems ? tdbg_digest_fast(v->stored, v->sites[site].dtype, n) : 0;
    TDBG_FAIL_IF(n != elems || digest != v->recorded[site], DAMAGED,
                 "%s: the stored value of %s at step %lld does not have its recorded digest",
                 tdbg_trace_path(v->trace), label, (long long)step);
out:
    return st;
}

static enum tdbg_status note_first(struct verify *v, int64_t step, int32_t site,
                                   const struct tdbg_handle *handle, bool stored,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_verify_report *r = v->report;
    v->step_first = site;
    r->step = step;
    r->site = site;
    r->recorded = v->recorded[site];
    r->computed = v->computed[site];
    r->has_elements = stored;
    if (stored) {
        TDBG_TRY(tdbg_handle_copy(handle, v->fresh, err));
        tdbg_compare_tensors(v->stored, v->fresh, v->sites[site].dtype, handle->elems,
                             &r->elements);
    }
out:
    return st;
}

static enum tdbg_status site(void *self, int64_t step, int32_t id, const struct tdbg_handle *handle,
                             struct tdbg_err *err)
{
    struct verify *v = self;
    enum tdbg_status st = TDBG_OK;
    if (handle->same_as >= 0 && v->plans[handle->same_as].digest_every == v->plans[id].digest_every)
        v->computed[id] = v->computed[handle->same_as];
    else
        TDBG_TRY(tdbg_handle_digest(handle, &v->computed[id], NULL, err));
    bool stored = !v->digests_only && v->plans[id].store != TDBG_STORE_SAMPLES &&
                  tdbg_trace_has_values(v->trace, id, step, v->row.evaluated);
    if (stored)
        TDBG_TRY(check_stored(v, step, id, handle->elems, err));
    if (v->computed[id] == v->recorded[id])
        goto out;
    v->step_differ++;
    /* ids are in dataflow order; the engine may show lanes one after another */
    if (v->report->differ == 0 && (v->step_first < 0 || id < v->step_first))
        TDBG_TRY(note_first(v, step, id, handle, stored, err));
out:
    return st;
}

/* All sites agree: then the chains have to agree as well, or somebody rewrote digests. */
static void check_chains(struct verify *v, int64_t step)
{
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        v->chain[c] = tdbg_chain_step(c, v->chain[c], v->sites, v->plans, v->n_sites, step,
                                      v->row.evaluated, v->computed);
        if (v->chain[c] == v->row.chain[c])
            continue;
        v->step_differ++;
        if (v->report->differ == 0 && v->step_first < 0) {
            v->step_first = 0;
            v->report->step = step;
            v->report->site = -1;
            v->report->chain = c;
            v->report->recorded = v->row.chain[c];
            v->report->computed = v->chain[c];
        }
    }
}

static enum tdbg_status end_step(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err)
{
    (void)err;
    struct verify *v = self;
    bool same = v->step_differ == 0;
    if (same)
        check_chains(v, info->step);
    /* after a difference go on from the recorded chain, so that each step is judged by itself */
    memcpy(v->chain, v->row.chain, sizeof v->chain);
    v->report->differ += v->step_differ;
    v->report->verified_steps += v->step_differ == 0;
    return TDBG_OK;
}

static const struct tdbg_tap_ops verify_ops = {plan, begin_step, site, end_step};

static enum tdbg_status make_buffers(struct verify *v, struct tdbg_err *err)
{
    size_t largest = 1, n = (size_t)v->n_sites;
    for (int32_t i = 0; i < v->n_sites; i++) {
        size_t bytes = (size_t)tdbg_site_elems(&v->sites[i]) * tdbg_dtype_bytes(v->sites[i].dtype);
        largest = bytes > largest ? bytes : largest;
    }
    v->recorded = calloc(n, sizeof *v->recorded);
    v->computed = calloc(n, sizeof *v->computed);
    v->stored = malloc(largest);
    v->fresh = malloc(largest);
    if (!v->recorded || !v->computed || !v->stored || !v->fresh)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to verify with");
    return TDBG_OK;
}

static enum tdbg_status check_range(const struct tdbg_trace *trace, int64_t *from, int64_t *to,
                                    struct tdbg_err *err)
{
    int64_t first = tdbg_trace_first_step(trace), last = first + tdbg_trace_n_steps(trace) - 1;
    *from = *from < 0 ? first : *from;
    *to = *to < 0 ? last : *to;
    if (*from < first || *to > last || *from > *to)
        return TDBG_RAISE(err, USAGE, "steps %lld to %lld: %s has steps %lld to %lld",
                          (long long)*from, (long long)*to, tdbg_trace_path(trace),
                          (long long)first, (long long)last);
    return TDBG_OK;
}

static enum tdbg_status run(struct verify *v, struct tdbg_session *session,
                            const struct tdbg_verify_options *options, int64_t from, int64_t to,
                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tap tap = {&verify_ops, v};
    TDBG_TRY(tdbg_session_seek(session, from, err));
    TDBG_TRY(tdbg_trace_read_chain_before(v->trace, from, v->chain, err));
    for (int64_t step = from; step <= to; step++) {
        struct tdbg_step_info info;
        TDBG_TRY(tdbg_session_run_step(session, &tap, 1, &info, err));
        if (options->progress && options->progress(options->progress_context, step, step - from + 1,
                                                   to - from + 1, info.loss))
            TDBG_FAIL_IF(true, INTERRUPTED, "stopped after step %lld", (long long)step);
    }
out:
    return st;
}

enum tdbg_status tdbg_verify_session(struct tdbg_trace *trace, struct tdbg_session *session,
                                     const struct tdbg_verify_options *options,
                                     struct tdbg_verify_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct verify v = {.trace = trace,
                       .report = report,
                       .plans = tdbg_trace_plans(trace),
                       .digests_only = options->digests_only};
    int64_t from = options->from, to = options->to;
    *report = (struct tdbg_verify_report){.site = -1};
    TDBG_TRY(check_range(trace, &from, &to, err));
    v.sites = tdbg_trace_sites(trace, &v.n_sites);
    report->n_steps = to - from + 1;
    for (int32_t i = 0; i < v.n_sites; i++)
        report->n_sites += v.plans[i].digest_every > 0;
    TDBG_TRY(make_buffers(&v, err));
    TDBG_TRY(run(&v, session, options, from, to, err));
out:
    free(v.recorded);
    free(v.computed);
    free(v.stored);
    free(v.fresh);
    return st;
}

enum tdbg_status tdbg_verify_trace(struct tdbg_trace *trace,
                                   const struct tdbg_verify_options *options,
                                   struct tdbg_verify_report *report, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    TDBG_TRY(tdbg_session_create(trace, &options->session, &session, err));
    TDBG_TRY(tdbg_verify_session(trace, session, options, report, err));
out:
    tdbg_session_destroy(session);
    return st;
}
