/* The state of a recorded run as named arrays. See init_trace.h. */
#include "replay/init_trace.h"

#include <stdlib.h>
#include <string.h>

#include "replay/session.h"
#include "trace/reader.h"

static bool is_param(const struct tdbg_site *site)
{
    return site->stage == TDBG_STAGE_PARAM && (site->lane <= 0);
}

static bool has_param_site(const struct tdbg_trace *trace, const char *name)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    for (int32_t i = 0; i < n; i++) {
        if (is_param(&sites[i]) && strcmp(tdbg_site_tensor(&sites[i]), name) == 0)
            return true;
    }
    return false;
}

/* Goes to the step and hands out what the engine then holds. */
static enum tdbg_status visit_session(struct tdbg_trace *trace, int64_t step, int64_t last,
                                      tdbg_array_visit_fn visit, void *self, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_session_options options = {.isa = "auto"};
    struct tdbg_session *session = NULL;
    float *host = NULL;
    int32_t n;
    TDBG_TRY(tdbg_session_create(trace, &options, &session, err));
    TDBG_TRY(tdbg_session_seek(session, step > last ? last : step, err));
    if (step > last)
        TDBG_TRY(tdbg_session_run_step(session, NULL, 0, NULL, err));
    const struct tdbg_engine *engine = tdbg_session_engine(session);
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    for (int32_t i = 0; i < n; i++) {
        struct tdbg_array array = {.elem = TDBG_ELEM_F32, .ndim = items[i].ndim};
        if (!has_param_site(trace, items[i].name))
            continue; /* optimizer state */
        free(host);
        host = malloc((size_t)items[i].elems * sizeof *host);
        TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for %s", items[i].name);
        TDBG_TRY(tdbg_engine_get_item(engine, i, host, err));
        memcpy(array.dims, items[i].dims, sizeof array.dims);
        array.data = (const unsigned char *)host;
        TDBG_TRY(visit(self, items[i].name, &array, err));
    }
out:
    free(host);
    tdbg_session_destroy(session);
    return st;
}

/* Values that the step before has stored as param/. */
static enum tdbg_status visit_stored(struct tdbg_trace *trace, int64_t step,
                                     tdbg_array_visit_fn visit, void *self, struct tdbg_err *err)
{
    static const enum tdbg_elem elem_of[TDBG_DTYPE_COUNT] = {
        [TDBG_DTYPE_F32] = TDBG_ELEM_F32,   [TDBG_DTYPE_F64] = TDBG_ELEM_F64,
        [TDBG_DTYPE_BF16] = TDBG_ELEM_BF16, [TDBG_DTYPE_F16] = TDBG_ELEM_F16,
        [TDBG_DTYPE_U8] = TDBG_ELEM_U8,     [TDBG_DTYPE_I32] = TDBG_ELEM_I32,
        [TDBG_DTYPE_I64] = TDBG_ELEM_I64};
    enum tdbg_status st = TDBG_OK;
    void *host = NULL;
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    for (int32_t i = 0; i < n; i++) {
        struct tdbg_array array = {.elem = elem_of[sites[i].dtype], .ndim = sites[i].ndim};
        int64_t elems;
        if (!is_param(&sites[i]))
            continue;
        free(host);
        host = malloc((size_t)tdbg_site_elems(&sites[i]) * tdbg_dtype_bytes(sites[i].dtype) + 1);
        TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for %s", sites[i].name);
        st = tdbg_trace_read_values(trace, step - 1, i, host, &elems, err);
        TDBG_FAIL_IF(st == TDBG_NEEDS_REPLAY || st == TDBG_NOT_FOUND, DATA,
                     "it does not hold %s of step %lld", sites[i].name, (long long)step - 1);
        TDBG_TRY(st);
        memcpy(array.dims, sites[i].dims, sizeof array.dims);
        array.data = host;
        TDBG_TRY(visit(self, tdbg_site_tensor(&sites[i]), &array, err));
    }
out:
    free(host);
    return st;
}

enum tdbg_status tdbg_init_trace_visit(const char *path, int64_t step, tdbg_array_visit_fn visit,
                                       void *self, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    TDBG_TRY(tdbg_trace_open(path, &trace, err));
    const int64_t first = tdbg_trace_first_step(trace),
                  last = first + tdbg_trace_n_steps(trace) - 1;
    const bool executes = tdbg_session_is_possible(trace);
    if (step < 0)
        step = last + 1;
    TDBG_FAIL_IF(step > last + 1 || step < first + !executes, DATA,
                 "init_from.step = %lld, but it has the states before steps %lld to %lld",
                 (long long)step, (long long)first + !executes, (long long)last + 1);
    if (executes)
        TDBG_TRY(visit_session(trace, step, last, visit, self, err));
    else
        TDBG_TRY(visit_stored(trace, step, visit, self, err));
out:
    tdbg_trace_close(trace);
    return st;
}
