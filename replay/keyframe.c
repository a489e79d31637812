/* State from keyframes. See keyframe.h. */
#include "replay/keyframe.h"

#include <string.h>

static bool same_item(const struct tdbg_engine_item *a, const struct tdbg_keyframe_item *b)
{
    return strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->ndim == b->ndim &&
           memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

enum tdbg_status tdbg_keyframe_check(const struct tdbg_trace *trace,
                                     const struct tdbg_engine *engine, int64_t *largest,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n, n_trace;
    int64_t most = 1;
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    const struct tdbg_keyframe_item *recorded = tdbg_trace_keyframe_items(trace, &n_trace);
    TDBG_FAIL_IF(n != n_trace, DAMAGED, "keyframes of %s hold %d tensors, but its config needs %d",
                 tdbg_trace_path(trace), (int)n_trace, (int)n);
    for (int32_t i = 0; i < n; i++) {
        TDBG_FAIL_IF(!same_item(&items[i], &recorded[i]), DAMAGED,
                     "keyframe item %s of %s does not fit the config", recorded[i].name,
                     tdbg_trace_path(trace));
        most = items[i].elems > most ? items[i].elems : most;
    }
    if (largest)
        *largest = most;
out:
    return st;
}

enum tdbg_status tdbg_keyframe_load(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                    int64_t step, void *buffer, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    tdbg_engine_items(engine, &n);
    for (int32_t i = 0; i < n; i++) {
        TDBG_TRY(tdbg_trace_read_keyframe(trace, step, i, buffer, err));
        TDBG_TRY(tdbg_engine_set_item(engine, i, buffer, err));
    }
out:
    return st;
}
