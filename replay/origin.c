/* The search for the first value that is not finite. See origin.h.
 *
 * Sites are in dataflow order, so the lowest site that is not finite in a step whose state was
 * finite is the root. Lanes run one after another, so a step is looked at as a whole. */
#include "replay/origin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "trace/layout.h"

/* What a step showed. */
struct watch {
    const struct tdbg_site *sites;
    int32_t n_sites;
    struct tdbg_stats *stats; /* (n_sites) */
    int64_t *elems;           /* (n_sites); -1: not shown */
    int32_t first;            /* lowest site that is not finite, or -1 */
    void *value;              /* of that one */
};

static bool is_float(const struct tdbg_site *s)
{
    return s->dtype == TDBG_DTYPE_F32 || s->dtype == TDBG_DTYPE_F64 ||
           s->dtype == TDBG_DTYPE_BF16 || s->dtype == TDBG_DTYPE_F16;
}

/* The loss of the step stands before the reductions that it is made by, and nothing reads it. */
static int32_t rank_in_dataflow(const struct watch *w, int32_t site)
{
    const bool is_last =
        w->sites[site].stage == TDBG_STAGE_LOSS && w->sites[site].lane == TDBG_LANE_ALL;
    return is_last ? w->n_sites : site;
}

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)self;
    (void)err;
    for (int32_t i = 0; i < n_sites; i++) {
        if (sites[i].stage != TDBG_STAGE_EVAL)
            wants[i] = (struct tdbg_want){TDBG_WANT_DIGEST | TDBG_WANT_VALUES, 1};
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct watch *w = self;
    (void)step;
    (void)err;
    w->first = -1;
    for (int32_t i = 0; i < w->n_sites; i++)
        w->elems[i] = -1;
    return TDBG_OK;
}

static enum tdbg_status show_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct watch *w = self;
    enum tdbg_status st = TDBG_OK;
    (void)step;
    if (handle->same_as >= 0 && w->elems[handle->same_as] == handle->elems)
        w->stats[site] = w->stats[handle->same_as];
    else
        TDBG_TRY(tdbg_handle_digest(handle, NULL, &w->stats[site], err));
    w->elems[site] = handle->elems;
    if (is_float(&w->sites[site]) && w->stats[site].nans + w->stats[site].infs > 0 &&
        (w->first < 0 || rank_in_dataflow(w, site) < rank_in_dataflow(w, w->first))) {
        w->first = site;
        TDBG_TRY(tdbg_handle_copy(handle, w->value, err));
    }
out:
    return st;
}

static const struct tdbg_tap_ops watch_ops = {plan, begin_step, show_site, NULL};

enum tdbg_status tdbg_origin_has_evidence(struct tdbg_trace *trace, int64_t step, bool *out,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    struct tdbg_step_row row;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    struct tdbg_stats *stats = malloc((size_t)(n + 1) * sizeof *stats);
    TDBG_FAIL_IF(!stats, NO_MEMORY, "no memory for statistics");
    TDBG_TRY(tdbg_trace_read_steps(trace, step, 1, &row, err));
    TDBG_TRY(tdbg_trace_read_step_stats(trace, step, stats, err));
    *out = !isfinite(row.loss);
    for (int32_t i = 0; i < n && !*out; i++)
        *out = is_float(&sites[i]) && sites[i].stage != TDBG_STAGE_EVAL &&
               tdbg_trace_has_digest(trace, i, step, row.evaluated != 0) &&
               stats[i].nans + stats[i].infs > 0;
out:
    free(stats);
    return st;
}

static enum tdbg_status run_watched(struct tdbg_session *session, int64_t step, struct watch *w,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tap tap = {&watch_ops, w};
    TDBG_TRY(tdbg_session_seek(session, step, err));
    TDBG_TRY(tdbg_session_run_step(session, &tap, 1, NULL, err));
out:
    return st;
}

static bool is_sound_before(const struct watch *w)
{
    return w->first < 0 || w->sites[w->first].stage != TDBG_STAGE_STATE;
}

/* Leaves in w the first step that is not finite and whose state before it is; *step is that step,
 * or the last one that was looked at where there is none. */
static enum tdbg_status search(struct tdbg_trace *trace, struct tdbg_session *session,
                               int64_t *step, struct watch *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t first = tdbg_trace_first_step(trace);
    bool evidence = true;
    int64_t at = *step;
    while (at > first) { /* the digests of the steps before tell most of it */
        TDBG_TRY(tdbg_origin_has_evidence(trace, at - 1, &evidence, err));
        if (!evidence)
            break;
        at--;
    }
    TDBG_TRY(run_watched(session, at, w, err));
    while (!is_sound_before(w) && at > first) {
        /* not recorded: forward from a keyframe, which itself has to be sound */
        int64_t from = tdbg_trace_keyframe_before(trace, at - 1);
        from = from < first ? first : from;
        int64_t s = from;
        for (; s <= at; s++) {
            TDBG_TRY(run_watched(session, s, w, err));
            if (w->first >= 0)
                break;
        }
        if (s >= at) /* what stood in the keyframe does not come out of the steps before it */
            break;
        at = s;
    }
    *step = at;
out:
    return st;
}

enum tdbg_status tdbg_origin_sample(struct tdbg_trace *trace, int64_t step,
                                    const struct tdbg_site *site, int64_t row, int64_t *out,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    int64_t n, first, count;
    int64_t *ids = NULL;
    *out = -1;
    if (!site->batched || site->stage == TDBG_STAGE_EVAL)
        return TDBG_OK;
    ids = malloc((size_t)info->batch * sizeof *ids);
    TDBG_FAIL_IF(!ids, NO_MEMORY, "no memory for sample ids");
    TDBG_TRY(tdbg_trace_read_batch_ids(trace, step, ids, &n, err));
    tdbg_layout_slice(n, info->lanes, info->accumulate, site->lane, site->micro, &first, &count);
    if (row >= 0 && row < count)
        *out = ids[first + row];
out:
    free(ids);
    return st;
}

/* Which element of the output is the first that is not finite. */
static enum tdbg_status find_element(struct tdbg_trace *trace, const struct watch *w,
                                     struct tdbg_origin *o, struct tdbg_err *err)
{
    const struct tdbg_site *site = &w->sites[o->output.site];
    int64_t row = 1;
    for (o->element = 0; o->element < o->output.elems; o->element++) {
        o->value = tdbg_convert_elem_to_f64(w->value, site->dtype, o->element);
        if (!isfinite(o->value))
            break;
    }
    for (int32_t d = 1; d < site->ndim; d++)
        row *= site->dims[d];
    return tdbg_origin_sample(trace, o->step, site, o->element / row, &o->sample_id, err);
}

static struct tdbg_origin_tensor shown(const struct watch *w, int32_t site)
{
    return (struct tdbg_origin_tensor){site, w->elems[site], w->stats[site]};
}

enum tdbg_status tdbg_origin_find(struct tdbg_trace *trace, struct tdbg_session *session,
                                  int64_t step, struct tdbg_origin *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct watch w = {.first = -1};
    int32_t inputs[TDBG_DATAFLOW_INPUTS];
    size_t largest = 1;
    *out = (struct tdbg_origin){.step = step, .sample_id = -1};
    w.sites = tdbg_trace_sites(trace, &w.n_sites);
    w.stats = calloc((size_t)w.n_sites + 1, sizeof *w.stats);
    w.elems = calloc((size_t)w.n_sites + 1, sizeof *w.elems);
    for (int32_t i = 0; i < w.n_sites; i++) {
        const size_t bytes =
            (size_t)tdbg_site_elems(&w.sites[i]) * tdbg_dtype_bytes(w.sites[i].dtype);
        largest = bytes > largest ? bytes : largest;
    }
    w.value = malloc(largest);
    TDBG_FAIL_IF(!w.stats || !w.elems || !w.value, NO_MEMORY, "no memory for a step's tensors");
    TDBG_TRY(search(trace, session, &out->step, &w, err));
    if (w.first < 0)
        goto out;
    out->is_found = true;
    out->is_first_state = !is_sound_before(&w);
    out->output = shown(&w, w.first);
    const struct tdbg_graph *graph = tdbg_engine_graph(tdbg_session_engine(session));
    const int n = tdbg_dataflow_inputs(graph, w.sites, w.n_sites, w.first, inputs);
    for (int i = 0; i < n; i++) {
        if (w.elems[inputs[i]] >= 0)
            out->input[out->n_inputs++] = shown(&w, inputs[i]);
    }
    TDBG_TRY(find_element(trace, &w, out, err));
out:
    free(w.stats);
    free(w.elems);
    free(w.value);
    return st;
}
