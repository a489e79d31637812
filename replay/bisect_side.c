/* Opening of one of the two runs of a bisect. See bisect_side.h. */
#include "replay/bisect_side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/resume.h"
#include "replay/source_recorded.h"
#include "trace/array_file.h"

static bool ends_in(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum tdbg_status check(struct tdbg_bisect_side *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_engine_check_options(s->config, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(s->config);
    TDBG_TRY(tdbg_config_result(s->config, err));
    s->had_inject |= tdbg_cfg_find(tdbg_config_root(s->config), "inject") != NULL;
    tdbg_config_remove(s->config, "inject");
    const char *math = tdbg_cfg_string(tdbg_config_root(s->config), "engine.math");
    TDBG_FAIL_IF(strcmp(math, "strict") != 0, CANNOT_JUDGE,
                 "%s has engine.math = \"%s\", whose bits another machine does not repeat", s->path,
                 math);
out:
    return st;
}

/* One engine executes all ranks: it is told how many there are, and their lanes. */
enum { SET_BYTES = 48 };
struct rank_sets {
    char lanes[SET_BYTES], ranks[SET_BYTES];
    const char *text[2];
};

static void fill_sets(struct rank_sets *sets, int64_t lanes, int64_t ranks)
{
    snprintf(sets->lanes, SET_BYTES, "engine.lanes=%lld", (long long)(lanes > 0 ? lanes : ranks));
    snprintf(sets->ranks, SET_BYTES, "engine.ranks_in_process=%lld", (long long)ranks);
    sets->text[0] = sets->lanes;
    sets->text[1] = sets->ranks;
}

static enum tdbg_status load_config(struct tdbg_bisect_side *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct rank_sets sets;
    s->end = INT64_MAX;
    TDBG_TRY(tdbg_config_load(s->path, NULL, 0, &s->config, err));
    TDBG_TRY(check(s, err));
    const struct tdbg_cfg_node *root = tdbg_config_root(s->config);
    fill_sets(&sets, tdbg_cfg_int(root, "engine.lanes"),
              tdbg_cfg_int(root, "engine.ranks_in_process"));
    tdbg_config_destroy(s->config);
    s->config = NULL;
    TDBG_TRY(tdbg_config_load(s->path, sets.text, 2, &s->config, err));
    TDBG_TRY(check(s, err));
out:
    return st;
}

static enum tdbg_status check_program(const struct tdbg_bisect_side *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t version = tdbg_trace_info(s->trace)->numerics_version;
    TDBG_FAIL_IF(!tdbg_session_is_possible(s->trace), CANNOT_JUDGE,
                 "%s was recorded by another program: there is no graph to execute", s->path);
    TDBG_FAIL_IF(version != tdbg_engine_numerics_version(), CANNOT_JUDGE,
                 "%s was recorded with numerics version %d; this tdbg computes version %d", s->path,
                 (int)version, (int)tdbg_engine_numerics_version());
    TDBG_FAIL_IF(strstr(tdbg_trace_info(s->trace)->config, "algorithm = \"native\""), CANNOT_JUDGE,
                 "%s has sums over ranks whose order is not known (engine.comm.algorithm = "
                 "\"native\")",
                 s->path);
out:
    return st;
}

static enum tdbg_status open_trace(struct tdbg_bisect_side *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct rank_sets sets;
    int64_t n;
    TDBG_TRY(tdbg_rank_group_open(s->path, &s->group, err));
    TDBG_TRY(tdbg_rank_group_refuse_foreign(s->group, err));
    s->trace = s->group->files[s->group->first].trace;
    const struct tdbg_run_info *info = tdbg_trace_info(s->trace);
    TDBG_TRY(check_program(s, err));
    s->had_inject = *info->inject != '\0';
    fill_sets(&sets, info->lanes, info->world_size);
    TDBG_TRY(tdbg_resume_config(s->trace, sets.text, 2, &s->config, err));
    TDBG_TRY(check(s, err));
    s->recorded = tdbg_source_recorded_table(s->trace);
    if (info->world_size > 1) {
        TDBG_TRY(tdbg_source_group_create(s->group, &s->all_ranks, err));
        s->recorded = tdbg_source_group_table(s->all_ranks);
    }
    tdbg_rank_group_steps(s->group, &s->first, &n);
    s->end = s->first + n;
out:
    return st;
}

enum tdbg_status tdbg_bisect_side_open(const char *path, struct tdbg_bisect_side *s,
                                       struct tdbg_err *err)
{
    *s = (struct tdbg_bisect_side){.path = path};
    return tdbg_array_file_is_hdf5(path) || ends_in(path, ".h5") ? open_trace(s, err)
                                                                 : load_config(s, err);
}

void tdbg_bisect_side_close(struct tdbg_bisect_side *s)
{
    if (!s->shares_live)
        tdbg_source_live_destroy(s->live);
    tdbg_source_group_destroy(s->all_ranks);
    tdbg_rank_group_close(s->group);
    tdbg_config_destroy(s->config);
    *s = (struct tdbg_bisect_side){.path = s->path};
}

enum tdbg_status tdbg_bisect_side_compare_data(struct tdbg_bisect_side *s, struct tdbg_err *err)
{
    return s->trace ? tdbg_resume_check_source(s->trace, s->live, err) : TDBG_OK;
}

enum tdbg_status tdbg_bisect_side_open_data(struct tdbg_bisect_side *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (s->live)
        return TDBG_OK;
    tdbg_dataset_check_files(s->config);
    TDBG_TRY(tdbg_config_result(s->config, err));
    TDBG_TRY(tdbg_source_live_create(s->config, tdbg_array_file_read, &s->live, err));
    TDBG_TRY(tdbg_config_result(s->config, err));
    TDBG_TRY(tdbg_bisect_side_compare_data(s, err));
out:
    if (st != TDBG_OK) {
        tdbg_source_live_destroy(s->live);
        s->live = NULL;
    }
    if (st == TDBG_CONFIG && s->trace) { /* what it was recorded from is gone: nobody's mistake */
        tdbg_err_prefix(err, "that of %s", s->path);
        err->status = st = TDBG_DATA;
    }
    return st;
}

/* --- state --- */

void tdbg_bisect_state_clear(struct tdbg_bisect_state *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        free(s->item[i].name);
        free(s->item[i].data);
    }
    free(s->item);
    *s = (struct tdbg_bisect_state){0};
}

/* Has the state room for these items already? */
static bool fits_state(const struct tdbg_bisect_state *s, const struct tdbg_engine_item *items,
                       int32_t n)
{
    bool fits = s->n == n;
    for (int32_t i = 0; fits && i < n; i++)
        fits = s->item[i].elems == items[i].elems && strcmp(s->item[i].name, items[i].name) == 0;
    return fits;
}

static enum tdbg_status make_state(struct tdbg_bisect_state *s,
                                   const struct tdbg_engine_item *items, int32_t n,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    tdbg_bisect_state_clear(s);
    s->item = calloc((size_t)n + 1, sizeof *s->item);
    TDBG_FAIL_IF(!s->item, NO_MEMORY, "no memory for a state");
    for (int32_t i = 0; i < n; i++) {
        struct tdbg_bisect_item *item = &s->item[s->n++];
        item->name = strdup(items[i].name);
        item->elems = items[i].elems;
        item->data = malloc((size_t)items[i].elems * sizeof *item->data + 1);
        TDBG_FAIL_IF(!item->name || !item->data, NO_MEMORY, "no memory for a state");
    }
out:
    return st;
}

enum tdbg_status tdbg_bisect_state_get(const struct tdbg_engine *engine,
                                       struct tdbg_bisect_state *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    if (!fits_state(out, items, n))
        TDBG_TRY(make_state(out, items, n, err));
    for (int32_t i = 0; i < n; i++)
        TDBG_TRY(tdbg_engine_get_item(engine, i, out->item[i].data, err));
out:
    return st;
}

enum tdbg_status tdbg_bisect_state_set(struct tdbg_engine *engine,
                                       const struct tdbg_bisect_state *state, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < state->n; i++)
        TDBG_TRY(tdbg_engine_set_item(engine, i, state->item[i].data, err));
out:
    return st;
}

const struct tdbg_bisect_item *tdbg_bisect_state_find(const struct tdbg_bisect_state *s,
                                                      const char *name, int64_t elems)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (s->item[i].elems == elems && strcmp(s->item[i].name, name) == 0)
            return &s->item[i];
    }
    return NULL;
}

bool tdbg_bisect_state_same(const struct tdbg_bisect_state *a, const struct tdbg_bisect_state *b)
{
    for (int32_t i = 0; i < a->n; i++) {
        const struct tdbg_bisect_item *x = &a->item[i];
        const struct tdbg_bisect_item *y = tdbg_bisect_state_find(b, x->name, x->elems);
        if (!y || memcmp(x->data, y->data, (size_t)x->elems * sizeof *x->data) != 0)
            return false;
    }
    return a->n == b->n;
}

enum tdbg_status tdbg_bisect_side_state(struct tdbg_bisect_side *s, int64_t step,
                                        const struct tdbg_session_options *options,
                                        struct tdbg_bisect_state *out, int64_t *executed,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    struct tdbg_session_options without_cache = *options;
    without_cache.cached_states = -1;
    if (tdbg_trace_info(s->trace)->world_size > 1)
        TDBG_TRY(tdbg_session_create_group(s->group, &without_cache, &session, err));
    else
        TDBG_TRY(tdbg_session_create(s->trace, &without_cache, &session, err));
    TDBG_TRY(tdbg_session_seek(session, step, err));
    TDBG_TRY(tdbg_bisect_state_get(tdbg_session_engine(session), out, err));
    *executed += tdbg_session_steps_executed(session);
out:
    tdbg_session_destroy(session);
    return st;
}

int32_t tdbg_bisect_find_site(const struct tdbg_site *sites, int32_t n_sites,
                              const struct tdbg_site *site)
{
    for (int32_t i = 0; i < n_sites; i++) {
        const struct tdbg_site *s = &sites[i];
        if (s->lane == site->lane && s->micro == site->micro && s->dtype == site->dtype &&
            s->ndim == site->ndim && strcmp(s->name, site->name) == 0 &&
            memcmp(s->dims, site->dims, (size_t)s->ndim * sizeof s->dims[0]) == 0)
            return i;
    }
    return -1;
}

enum tdbg_status tdbg_bisect_recorded_digest(const struct tdbg_bisect_side *s, int64_t step,
                                             const struct tdbg_site *site, uint64_t *digest,
                                             bool *has, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t joined =
        s->group ? tdbg_rank_group_find(s->group, site->name, site->lane, site->micro) : -1;
    struct tdbg_step_row row;
    uint64_t *digests = NULL;
    int32_t n;
    *has = false;
    if (joined < 0)
        return TDBG_OK;
    struct tdbg_trace *trace = s->group->files[s->group->holder[joined]].trace;
    const int32_t local = s->group->local[joined];
    tdbg_trace_sites(trace, &n);
    digests = malloc((size_t)(n + 1) * sizeof *digests);
    TDBG_FAIL_IF(!digests, NO_MEMORY, "no memory for digests");
    TDBG_TRY(tdbg_trace_read_steps(trace, step, 1, &row, err));
    if (!tdbg_trace_has_digest(trace, local, step, row.evaluated != 0))
        goto out;
    TDBG_TRY(tdbg_trace_read_digests(trace, step, digests, err));
    *digest = digests[local];
    *has = true;
out:
    free(digests);
    return st;
}
