/* Opening of the two runs of a bisect, and where trials begin. See bisect_trial.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/bisect_trial.h"
#include "replay/config_merge.h"
#include "replay/init_from.h"

/* --- the data sets --- */

/* Do the string keys of two groups lead to the same files? */
static bool same_files(const struct tdbg_bisect_side side[2], const char *group)
{
    const struct tdbg_cfg_node *node[2];
    for (int i = 0; i < 2; i++)
        node[i] = tdbg_cfg_find(tdbg_config_root(side[i].config), group);
    if (!node[0] || !node[1])
        return node[0] == node[1];
    bool same = node[0]->n_child == node[1]->n_child;
    for (int k = 0; same && k < node[0]->n_child; k++) {
        const struct tdbg_cfg_node *a = node[0]->child[k], *b = node[1]->child[k];
        same =
            a->type == TDBG_CFG_STRING && b->type == TDBG_CFG_STRING && strcmp(a->key, b->key) == 0;
        char *x = same ? tdbg_cfg_node_path(side[0].config, a) : NULL;
        char *y = same ? tdbg_cfg_node_path(side[1].config, b) : NULL;
        same = x && y && strcmp(x, y) == 0;
        free(x);
        free(y);
    }
    return same;
}

static bool note_data(void *context, const char *unit, const char *path,
                      const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    bool *differs = context;
    (void)unit;
    (void)a;
    (void)b;
    *differs |= tdbg_delta_kind_of(path) == TDBG_DELTA_DATA;
    return false;
}

/* One data set serves both where they are the same: loading one takes memory and time. */
static bool same_data(const struct tdbg_bisect_side side[2])
{
    const struct tdbg_cfg_node *a = tdbg_config_root(side[0].config);
    const struct tdbg_cfg_node *b = tdbg_config_root(side[1].config);
    bool differs =
        tdbg_cfg_float(a, "data.split") > 0 && tdbg_cfg_int(a, "seed") != tdbg_cfg_int(b, "seed");
    struct tdbg_arena *arena = tdbg_arena_create();
    if (!arena)
        return false;
    tdbg_config_merge(a, b, arena, note_data, &differs);
    tdbg_arena_destroy(arena);
    return !differs && same_files(side, "data.train") && same_files(side, "data.test");
}

static enum tdbg_status open_data(struct tdbg_bisect_runs *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int owner = r->side[0].trace ? 1 : 0; /* a config's error is its own */
    if (same_data(r->side)) {
        st = tdbg_bisect_side_open_data(&r->side[owner], err);
        if (st == TDBG_OK) {
            r->side[!owner].live = r->side[owner].live;
            r->side[!owner].shares_live = true;
            st = tdbg_bisect_side_compare_data(&r->side[!owner], err);
        }
    } else {
        st = tdbg_bisect_side_open_data(&r->side[0], err);
        if (st == TDBG_OK)
            st = tdbg_bisect_side_open_data(&r->side[1], err);
    }
    if (st == TDBG_DATA && (r->side[0].trace || r->side[1].trace)) {
        tdbg_err_prefix(err,
                        "what differs between the two runs cannot be tried without the data set");
        err->status = st = TDBG_CANNOT_JUDGE;
    }
    return st;
}

/* --- opening --- */

/* A config's state before step 0, and how many steps it makes. */
static enum tdbg_status start_config(struct tdbg_bisect_runs *r, int i, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_side *s = &r->side[i];
    struct tdbg_source_live *live = NULL;
    struct tdbg_engine *engine = NULL;
    TDBG_TRY(tdbg_source_live_reorder(s->live, tdbg_config_root(s->config), &live, err));
    struct tdbg_source source = tdbg_source_live_table(live);
    source.world_size =
        (int32_t)tdbg_cfg_int(tdbg_config_root(s->config), "engine.ranks_in_process");
    source.has_all_lanes = source.world_size > 1;
    TDBG_TRY(tdbg_engine_create(s->config, r->backend, source, &engine, err));
    TDBG_TRY(tdbg_config_result(s->config, err));
    s->end = tdbg_engine_info(engine)->total_steps;
    TDBG_TRY(tdbg_engine_init_state(engine, err));
    TDBG_TRY(tdbg_init_from(s->config, engine, err));
    TDBG_TRY(tdbg_bisect_state_get(engine, &r->state[i], err));
out:
    tdbg_engine_destroy(engine);
    tdbg_source_live_destroy(live);
    return st;
}

static enum tdbg_status check_range(struct tdbg_bisect_runs *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_bisect_side *a = &r->side[0], *b = &r->side[1];
    r->first = a->first > b->first ? a->first : b->first;
    r->end = a->end < b->end ? a->end : b->end;
    TDBG_FAIL_IF(r->end <= r->first, CANNOT_JUDGE, "%s and %s have no step in common", a->path,
                 b->path);
    TDBG_FAIL_IF(r->first > 0 && !(a->trace && b->trace), CANNOT_JUDGE,
                 "%s begins at step %lld, where a config has no state\nhint: compare it with a "
                 "trace",
                 a->trace ? a->path : b->path, (long long)r->first);
out:
    return st;
}

enum tdbg_status tdbg_bisect_runs_open(struct tdbg_bisect_runs *r, const char *good,
                                       const char *bad, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *device = r->session.device ? r->session.device : "cpu";
    const struct tdbg_backend_choice choice = {
        .device = device, .isa = r->session.isa, .threads = r->session.threads};
    TDBG_TRY(tdbg_bisect_side_open(good, &r->side[0], err));
    TDBG_TRY(tdbg_bisect_side_open(bad, &r->side[1], err));
    r->is_live = !r->side[0].trace || !r->side[1].trace || tdbg_deltas_need_data(r->side);
    if (r->is_live)
        TDBG_TRY(open_data(r, err));
    TDBG_TRY(tdbg_backend_open(&choice, &r->backend, NULL, err));
    for (int i = 0; i < 2; i++) {
        if (!r->side[i].trace)
            TDBG_TRY(start_config(r, i, err));
    }
    TDBG_TRY(check_range(r, err));
out:
    return st;
}

void tdbg_bisect_runs_close(struct tdbg_bisect_runs *r)
{
    tdbg_deltas_clear(&r->deltas);
    tdbg_contributions_clear(&r->contributions);
    for (int i = 0; i < 2; i++) {
        tdbg_bisect_state_clear(&r->state[i]);
        tdbg_bisect_side_close(&r->side[i]);
    }
    tdbg_backend_destroy(r->backend);
    r->backend = NULL;
}

/* --- where trials begin --- */

static enum tdbg_status read_states(struct tdbg_bisect_runs *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int i = 0; i < 2; i++) {
        if (r->side[i].trace)
            TDBG_TRY(tdbg_bisect_side_state(&r->side[i], r->start, &r->session, &r->state[i],
                                            &r->executed, err));
    }
out:
    return st;
}

enum tdbg_status tdbg_bisect_runs_start(struct tdbg_bisect_runs *r, int64_t step, int64_t end,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool are_traces = r->side[0].trace && r->side[1].trace;
    for (int64_t at = are_traces ? step : r->first;;) {
        const int64_t keyframe =
            are_traces ? tdbg_trace_keyframe_before(r->side[0].trace, at) : r->first;
        r->start = keyframe > r->first ? keyframe : r->first;
        TDBG_TRY(read_states(r, err));
        if (r->start == r->first || tdbg_bisect_state_same(&r->state[0], &r->state[1]))
            break;
        at = r->start - 1;
    }
    const struct tdbg_delta_options options = {
        .first = r->start, .end = end, .is_live = r->is_live, .with_eval = r->with_eval};
    tdbg_deltas_clear(&r->deltas);
    TDBG_TRY(tdbg_deltas_find(r->side, r->state, &options, &r->deltas, err));
out:
    return st;
}

void tdbg_bisect_runs_go_on(struct tdbg_bisect_runs *r, int64_t step,
                            struct tdbg_bisect_state before[2])
{
    r->start = step;
    for (int k = 0; k < 2; k++) {
        tdbg_bisect_state_clear(&r->state[k]);
        r->state[k] = before[k];
        before[k] = (struct tdbg_bisect_state){0};
    }
}
