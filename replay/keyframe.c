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
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    const struct tdbg_keyframe_item *recorded = tdbg_trace_keyframe_items(trace, &n_trace);
    TDBG_FAIL_IF(n != n_trace, DAMAGED, "keyframes of %s hold %d tensors, but its config needs %d",
                 tdbg_trace_path(trace), (int)n_trace, (int)n);
    for (int32_t i = 0; i < n; i++) {
        TDBG_FAIL_IF(!same_item(&items[i], &recorded[i]), DAMAGED,
                     "keyframe item %s of %s does not fit the config", recorded[i].name,
                     tdbg_trace_path(trace));
    }
    if (largest)
        *largest = tdbg_engine_most_item_elems(engine);
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

/* --- of all ranks --- */

/* Number of an engine's item in a trace, or -1. `as`: the name that it is looked for under. */
static int32_t find_item(const struct tdbg_trace *trace, const struct tdbg_engine_item *item,
                         const char *as)
{
    int32_t n;
    struct tdbg_engine_item named = *item;
    const struct tdbg_keyframe_item *items = tdbg_trace_keyframe_items(trace, &n);
    named.name = as;
    for (int32_t i = 0; i < n; i++) {
        if (same_item(&named, &items[i]))
            return i;
    }
    return -1;
}

/* "bn1.running_mean.lane3" without what says the lane; its length, where it has that; else 0. */
static size_t lane_stem(const char *name)
{
    const char *at = NULL;
    for (const char *found = name; (found = strstr(found, ".lane")) != NULL; found++)
        at = found;
    return at && at[5] >= '0' && at[5] <= '9' ? (size_t)(at - name) : 0;
}

/* Has this item of a file that is there the stem? Then it may stand for a lane of a missing one. */
static int32_t find_substitute(const struct tdbg_trace *trace, const struct tdbg_engine_item *item)
{
    int32_t n;
    const struct tdbg_keyframe_item *items = tdbg_trace_keyframe_items(trace, &n);
    const size_t stem = lane_stem(item->name) ? lane_stem(item->name) : strlen(item->name);
    for (int32_t i = 0; i < n; i++) {
        const size_t other =
            lane_stem(items[i].name) ? lane_stem(items[i].name) : strlen(items[i].name);
        if (other == stem && memcmp(items[i].name, item->name, stem) == 0)
            return find_item(trace, item, items[i].name);
    }
    return -1;
}

/* The file of rank `from` or a later one that has an item, and its number there; -1: none. */
static int32_t next_home(const struct tdbg_rank_group *group, int32_t from,
                         const struct tdbg_engine_item *item, bool substitute, int32_t *number)
{
    for (int32_t r = from; r < group->world_size; r++) {
        const struct tdbg_trace *trace = group->files[r].trace;
        if (!trace)
            continue;
        *number = substitute ? find_substitute(trace, item) : find_item(trace, item, item->name);
        if (*number >= 0)
            return r;
    }
    return -1;
}

enum tdbg_status tdbg_keyframe_check_group(const struct tdbg_rank_group *group,
                                           const struct tdbg_engine *engine, int64_t *largest,
                                           struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n, number;
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    for (int32_t i = 0; i < n; i++) {
        const bool lacks = next_home(group, 0, &items[i], false, &number) < 0;
        const bool excused = lacks && group->n_there < group->world_size;
        TDBG_FAIL_IF(lacks && (!excused || next_home(group, 0, &items[i], true, &number) < 0),
                     DAMAGED, "keyframes of %s do not hold %s, which its config needs",
                     group->files[group->first].path, items[i].name);
    }
    *largest = tdbg_engine_most_item_elems(engine);
out:
    return st;
}

static enum tdbg_status load_item(const struct tdbg_rank_group *group, struct tdbg_engine *engine,
                                  const struct tdbg_engine_item *item, int32_t i, int64_t step,
                                  void *buffer, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_NOT_FOUND;
    int32_t number;
    const bool substitute = next_home(group, 0, item, false, &number) < 0;
    for (int32_t r = -1; (r = next_home(group, r + 1, item, substitute, &number)) >= 0;) {
        struct tdbg_trace *trace = group->files[r].trace;
        if (tdbg_trace_keyframe_before(trace, step) != step)
            continue;
        tdbg_err_clear(err);
        st = tdbg_trace_read_keyframe(trace, step, number, buffer, err);
        if (st == TDBG_OK)
            return tdbg_engine_set_item(engine, i, buffer, err);
        if (st != TDBG_DAMAGED)
            return st;
    }
    if (st == TDBG_NOT_FOUND)
        st = TDBG_RAISE(err, NOT_FOUND, "no rank's file has %s before step %lld", item->name,
                        (long long)step);
    return st;
}

enum tdbg_status tdbg_keyframe_load_group(const struct tdbg_rank_group *group,
                                          struct tdbg_engine *engine, int64_t step, void *buffer,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    for (int32_t i = 0; i < n; i++)
        TDBG_TRY(load_item(group, engine, &items[i], i, step, buffer, err));
out:
    return st;
}
