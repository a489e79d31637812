/* See job_values.h. */
#include "tui/job_values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "replay/step_grab.h"

static const size_t most_bytes = (size_t)256 << 20;

void tdbg_tui_kept_values_free(struct tdbg_tui_kept_values *k)
{
    for (int32_t i = 0; k->data && i < k->n; i++)
        free(k->data[i]);
    free(k->sites);
    free(k->data);
    free(k->elems);
    *k = (struct tdbg_tui_kept_values){0};
}

enum tdbg_status tdbg_tui_check_digest(struct tdbg_trace *trace, int64_t step, int32_t site,
                                       bool evaluated, const void *data, int64_t n,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    const struct tdbg_site *s = &tdbg_trace_sites(trace, &n_sites)[site];
    uint64_t *digests = NULL;
    if (!tdbg_trace_has_digest(trace, site, step, evaluated))
        return TDBG_OK;
    digests = malloc((size_t)n_sites * sizeof *digests);
    TDBG_FAIL_IF(!digests, NO_MEMORY, "no memory for the digests of a step");
    TDBG_TRY(tdbg_trace_read_digests(trace, step, digests, err));
    const uint64_t digest = tdbg_digest_fast(data, s->dtype, n);
    TDBG_FAIL_IF(digest != digests[site], DAMAGED,
                 "%s of step %" PRId64 " was recorded with digest %016" PRIx64
                 ", but executing the step again gives %016" PRIx64,
                 s->name, step, digests[site], digest);
out:
    free(digests);
    return st;
}

static size_t bytes_of(const struct tdbg_site *s)
{
    return (size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype) + 1;
}

/* The site, and those of the others that have to be executed as well, while there is room. */
static enum tdbg_status choose(struct tdbg_tui_kept_values *k, struct tdbg_trace *trace,
                               int64_t step, int32_t site, const int32_t *also, int32_t n_also,
                               bool evaluated, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    const struct tdbg_site *all = tdbg_trace_sites(trace, &n_sites);
    size_t used = 0;
    k->step = step;
    k->sites = calloc((size_t)n_also + 1, sizeof *k->sites);
    k->data = calloc((size_t)n_also + 1, sizeof *k->data);
    k->elems = calloc((size_t)n_also + 1, sizeof *k->elems);
    TDBG_FAIL_IF(!k->sites || !k->data || !k->elems, NO_MEMORY, "no memory for values");
    for (int32_t i = -1; i < n_also; i++) {
        const int32_t one = i < 0 ? site : also[i];
        if (i >= 0 && (one == site || one < 0 || one >= n_sites ||
                       (all[one].stage == TDBG_STAGE_EVAL && !evaluated) ||
                       used + bytes_of(&all[one]) > most_bytes ||
                       tdbg_trace_has_values(trace, one, step, evaluated)))
            continue;
        used += bytes_of(&all[one]);
        k->sites[k->n] = one;
        k->data[k->n] = malloc(bytes_of(&all[one]));
        TDBG_FAIL_IF(!k->data[k->n++], NO_MEMORY, "no memory for %s", all[one].name);
    }
out:
    return st;
}

static int32_t find(const struct tdbg_tui_kept_values *k, int64_t step, int32_t site)
{
    for (int32_t i = 0; k->step == step && i < k->n; i++) {
        if (k->sites[i] == site)
            return i;
    }
    return -1;
}

/* A rank that cannot be executed alone leaves it to who executes all of them. */
static enum tdbg_status execute(struct tdbg_tui_kept_values *k, struct tdbg_trace *trace,
                                struct tdbg_recompute *recompute, int64_t step, int32_t site,
                                void *data, int64_t *n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    struct tdbg_err why = {0};
    if (tdbg_session_is_possible(trace) &&
        tdbg_recompute_session(recompute, &session, &why) == TDBG_OK &&
        tdbg_step_grab(session, step, k->sites, k->n, k->data, k->elems, &why) == TDBG_OK)
        return TDBG_OK;
    tdbg_tui_kept_values_free(k);
    if (why.status == TDBG_INTERRUPTED)
        st = tdbg_err_set(err, TDBG_INTERRUPTED, __FILE__, __LINE__, "%s", why.message);
    else
        TDBG_TRY(tdbg_trace_read_values(trace, step, site, data, n, err));
out:
    tdbg_err_clear(&why);
    return st;
}

enum tdbg_status tdbg_tui_read_values(struct tdbg_tui_kept_values *k, struct tdbg_trace *trace,
                                      struct tdbg_recompute *recompute, int64_t step, int32_t site,
                                      const int32_t *also, int32_t n_also, void *data, int64_t *n,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    const struct tdbg_site *s = &tdbg_trace_sites(trace, NULL)[site];
    TDBG_TRY(tdbg_trace_read_steps(trace, step, 1, &row, err));
    const bool evaluated = row.evaluated != 0;
    if (tdbg_trace_has_values(trace, site, step, evaluated) ||
        (s->stage == TDBG_STAGE_EVAL && !evaluated))
        return tdbg_trace_read_values(trace, step, site, data, n, err);
    if (find(k, step, site) < 0) {
        tdbg_tui_kept_values_free(k);
        TDBG_TRY(choose(k, trace, step, site, also, n_also, evaluated, err));
        TDBG_TRY(execute(k, trace, recompute, step, site, data, n, err));
    }
    const int32_t at = find(k, step, site);
    TDBG_FAIL_IF(at >= 0 && k->elems[at] < 0, NOT_FOUND, "%s has no value at step %" PRId64,
                 s->name, step);
    if (at >= 0) {
        *n = k->elems[at];
        memcpy(data, k->data[at], (size_t)*n * tdbg_dtype_bytes(s->dtype));
    }
    TDBG_TRY(tdbg_tui_check_digest(trace, step, site, evaluated, data, *n, err));
out:
    return st;
}
