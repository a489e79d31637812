/* Re-execution from a trace. See session.h. */
#include "replay/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/advance.h"
#include "replay/keyframe.h"
#include "replay/source_group.h"
#include "replay/source_rank.h"
#include "replay/source_recorded.h"
#include "replay/state_cache.h"

struct tdbg_session {
    struct tdbg_trace *trace;      /* of a group that of the lowest rank */
    struct tdbg_rank_group *group; /* NULL: only that */
    struct tdbg_trace **files;     /* (n_files) that recorded what is executed */
    int32_t n_files;
    struct tdbg_session_place *places; /* of site i: first_place[i] .. first_place[i + 1] - 1 */
    int32_t *first_place;              /* (n_sites + 1) */
    struct tdbg_source_rank *others;   /* NULL: there are no other ranks, or all are executed */
    struct tdbg_source_group *all;     /* NULL: it is not a session of a group */
    struct tdbg_config *config;
    struct tdbg_backend *backend;
    struct tdbg_backend *adder; /* in the host's memory: adds what ranks contributed */
    struct tdbg_engine *engine;
    const struct tdbg_site *sites;
    int32_t n_sites;
    int64_t at; /* the state is that before this step; -1: it is nothing */
    int64_t executed, updated;
    int64_t computed_step;          /* that tdbg_session_compute was last asked for, or -2 */
    void *item_buffer;              /* one keyframe item */
    struct tdbg_state_cache *cache; /* NULL: none is wanted */
    struct tdbg_advance *advance;   /* NULL: steps have to be executed */
    struct tdbg_session_way way;    /* that it is on */
    bool (*goes_on)(void *context, const struct tdbg_session_way *way);
    void *goes_on_context;
};

/* The config is data from a file: a fault in it is damage, not the user's mistake. */
static enum tdbg_status read_config(struct tdbg_session *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0};
    const char *path = tdbg_trace_path(s->trace);
    const struct tdbg_run_info *info = tdbg_trace_info(s->trace);
    char lanes[40]; /* 0 stands for the number of ranks */
    const char *const sets[] = {lanes};
    snprintf(lanes, sizeof lanes, "engine.lanes=%d", (int)info->lanes);
    st = tdbg_config_parse(info->config, "/run/config", sets, s->group ? 1 : 0, &s->config, &fault);
    if (st == TDBG_OK) {
        tdbg_engine_check_options(s->config, &tdbg_recorder_options, 1);
        tdbg_recorder_check_options(s->config);
        st = tdbg_config_result(s->config, &fault);
    }
    if (st != TDBG_OK)
        st = TDBG_RAISE(err, DAMAGED, "the config in %s is not valid: %s", path, fault.message);
    tdbg_err_clear(&fault);
    return st;
}

static bool same_site(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return strcmp(a->name, b->name) == 0 && a->stage == b->stage && a->dtype == b->dtype &&
           a->lane == b->lane && a->micro == b->micro && a->ndim == b->ndim &&
           memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

static enum tdbg_status make_places(struct tdbg_session *s, size_t most, struct tdbg_err *err)
{
    s->places = calloc(most + 1, sizeof *s->places);
    s->first_place = calloc((size_t)s->n_sites + 2, sizeof *s->first_place);
    return s->places && s->first_place
               ? TDBG_OK
               : TDBG_RAISE(err, NO_MEMORY, "no memory for a replay session");
}

/* Finds the file's sites among the engine's; both lists have the same order. Counts into
 * first_place[i + 2], or fills places in. */
static enum tdbg_status match_file(struct tdbg_session *s, int32_t file, bool fill,
                                   struct tdbg_err *err)
{
    int32_t n, at = 0;
    const struct tdbg_site *recorded = tdbg_trace_sites(s->files[file], &n);
    for (int32_t i = 0; i < s->n_sites && at < n; i++) {
        if (!same_site(&recorded[at], &s->sites[i]))
            continue;
        if (fill)
            s->places[s->first_place[i + 1]++] = (struct tdbg_session_place){file, at};
        else
            s->first_place[i + 2]++;
        at++;
    }
    if (at < n)
        return TDBG_RAISE(err, DAMAGED, "site %d of %s is %s, which its config does not make there",
                          (int)at, tdbg_trace_path(s->files[file]), recorded[at].name);
    return TDBG_OK;
}

static enum tdbg_status match_sites(struct tdbg_session *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t most = 0;
    s->sites = tdbg_engine_sites(s->engine, &s->n_sites);
    for (int32_t f = 0; f < s->n_files; f++) {
        int32_t n;
        tdbg_trace_sites(s->files[f], &n);
        most += (size_t)n;
    }
    TDBG_TRY(make_places(s, most, err));
    for (int32_t f = 0; f < s->n_files; f++)
        TDBG_TRY(match_file(s, f, false, err));
    for (int32_t i = 0; i < s->n_sites; i++)
        s->first_place[i + 2] += s->first_place[i + 1];
    for (int32_t f = 0; f < s->n_files; f++) /* leaves first_place[i + 1] where site i ends */
        TDBG_TRY(match_file(s, f, true, err));
out:
    return st;
}

static enum tdbg_status check_sites(struct tdbg_session *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_trace;
    const struct tdbg_site *recorded = tdbg_trace_sites(s->trace, &n_trace);
    s->sites = tdbg_engine_sites(s->engine, &s->n_sites);
    TDBG_FAIL_IF(n_trace != s->n_sites, DAMAGED, "%s lists %d sites, but its config makes %d",
                 tdbg_trace_path(s->trace), (int)n_trace, (int)s->n_sites);
    for (int32_t i = 0; i < n_trace; i++)
        TDBG_FAIL_IF(!same_site(&recorded[i], &s->sites[i]), DAMAGED,
                     "site %d of %s is %s, but its config makes %s", (int)i,
                     tdbg_trace_path(s->trace), recorded[i].name, s->sites[i].name);
    TDBG_TRY(make_places(s, (size_t)n_trace, err));
    for (int32_t i = 0; i < n_trace; i++) {
        s->places[i].site = i;
        s->first_place[i + 1] = i + 1;
    }
out:
    return st;
}

static enum tdbg_status check_items(struct tdbg_session *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t largest = 0;
    if (s->group)
        TDBG_TRY(tdbg_keyframe_check_group(s->group, s->engine, &largest, err));
    else
        TDBG_TRY(tdbg_keyframe_check(s->trace, s->engine, &largest, err));
    s->item_buffer = malloc((size_t)largest * sizeof(float));
    TDBG_FAIL_IF(!s->item_buffer, NO_MEMORY, "no memory for a keyframe");
out:
    return st;
}

static bool is_fast(const struct tdbg_config *config)
{
    const struct tdbg_cfg_node *math = tdbg_cfg_find(tdbg_config_root(config), "engine.math");
    return math && math->type == TDBG_CFG_STRING && strcmp(math->s, "fast") == 0;
}

static enum tdbg_status open_device(struct tdbg_session *s,
                                    const struct tdbg_session_options *options,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend_choice choice = {.device = options->device ? options->device : "cpu",
                                               .isa = options->isa,
                                               .threads = options->threads,
                                               .fast = is_fast(s->config)};
    TDBG_FAIL_IF(choice.fast && strcmp(choice.device, "cpu") == 0, CANNOT_JUDGE,
                 "%s was recorded with engine.math = \"fast\": cuBLAS multiplied, whose bits a CPU "
                 "does not repeat\n"
                 "hint: --device cuda executes it again on a GPU, with the same bits if GPU and "
                 "libraries are the same",
                 tdbg_trace_path(s->trace));
    TDBG_TRY(tdbg_backend_open(&choice, &s->backend, NULL, err));
    if (s->backend->on_host)
        s->adder = s->backend;
    else if (!s->group && tdbg_trace_info(s->trace)->world_size > 1)
        TDBG_TRY(tdbg_backend_cpu_create(options->isa, options->threads, &s->adder, err));
out:
    return st;
}

static enum tdbg_status create_source(struct tdbg_session *s, struct tdbg_source *out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (s->group) {
        TDBG_TRY(tdbg_source_group_create(s->group, &s->all, err));
        *out = tdbg_source_group_table(s->all);
    } else if (tdbg_trace_info(s->trace)->world_size > 1) {
        TDBG_TRY(tdbg_source_rank_create(s->trace, s->adder, &s->others, err));
        *out = tdbg_source_rank_table(s->others);
    } else {
        *out = tdbg_source_recorded_table(s->trace);
    }
out:
    return st;
}

static enum tdbg_status create_engine(struct tdbg_session *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0};
    const struct tdbg_run_info *info = tdbg_trace_info(s->trace);
    const char *path = tdbg_trace_path(s->trace);
    TDBG_FAIL_IF(!tdbg_source_recorded_is_ours(s->trace), DAMAGED,
                 "samples of %s are of a kind that this version does not read", path);
    TDBG_FAIL_IF(tdbg_cfg_int(tdbg_config_root(s->config), "data.batch") != info->batch, DAMAGED,
                 "%s was recorded with a batch of %lld, but its config says otherwise", path,
                 (long long)info->batch);
    struct tdbg_source source;
    TDBG_TRY(create_source(s, &source, err));
    TDBG_TRY(tdbg_engine_create(s->config, s->backend, source, &s->engine, err));
    if (tdbg_config_result(s->config, &fault) != TDBG_OK)
        st = TDBG_RAISE(err, DAMAGED, "the config in %s does not fit its samples: %s", path,
                        fault.message);
out:
    tdbg_err_clear(&fault);
    return st;
}

static enum tdbg_status create_cache(struct tdbg_session *s, int n_states, struct tdbg_err *err)
{
    enum { DEFAULT_STATES = 4 };
    const int n = n_states == 0 ? DEFAULT_STATES : n_states;
    return n < 0 ? TDBG_OK : tdbg_state_cache_create(s->engine, n, &s->cache, err);
}

bool tdbg_session_is_possible(const struct tdbg_trace *trace)
{
    return tdbg_trace_info(trace)->numerics_version != TDBG_NUMERICS_FOREIGN;
}

static enum tdbg_status list_files(struct tdbg_session *s, struct tdbg_err *err)
{
    const size_t room = s->group ? (size_t)s->group->n_there : 1;
    s->files = calloc(room, sizeof *s->files);
    if (!s->files)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a replay session");
    for (int32_t r = 0; s->group && r < s->group->world_size; r++) {
        if (s->group->files[r].trace)
            s->files[s->n_files++] = s->group->files[r].trace;
    }
    if (!s->group)
        s->files[s->n_files++] = s->trace;
    return TDBG_OK;
}

static enum tdbg_status create(struct tdbg_trace *trace, struct tdbg_rank_group *group,
                               const struct tdbg_session_options *options,
                               struct tdbg_session **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t version = tdbg_trace_info(trace)->numerics_version;
    struct tdbg_session *s = calloc(1, sizeof *s);
    TDBG_FAIL_IF(!s, NO_MEMORY, "no memory for a replay session");
    s->trace = trace;
    s->group = group;
    s->goes_on = options->goes_on;
    s->goes_on_context = options->goes_on_context;
    s->way = (struct tdbg_session_way){-1, -1, -1};
    TDBG_TRY(list_files(s, err));
    s->at = -1;
    s->computed_step = -2; /* not even before step 0 */
    TDBG_FAIL_IF(!tdbg_session_is_possible(trace), CANNOT_JUDGE,
                 "%s was recorded by another program: no graph to execute", tdbg_trace_path(trace));
    TDBG_FAIL_IF(version != tdbg_engine_numerics_version(), UNSUPPORTED,
                 "%s was recorded with numerics version %d; this tdbg computes version %d and "
                 "cannot re-execute it",
                 tdbg_trace_path(trace), (int)version, (int)tdbg_engine_numerics_version());
    TDBG_TRY(read_config(s, err));
    TDBG_TRY(open_device(s, options, err));
    TDBG_TRY(create_engine(s, err));
    TDBG_TRY(s->group ? match_sites(s, err) : check_sites(s, err));
    TDBG_TRY(check_items(s, err));
    TDBG_TRY(create_cache(s, options->cached_states, err));
    TDBG_TRY(tdbg_advance_create(trace, s->engine, &s->advance, err));
    *out = s;
    return TDBG_OK;
out:
    tdbg_session_destroy(s);
    return st;
}

enum tdbg_status tdbg_session_create(struct tdbg_trace *trace,
                                     const struct tdbg_session_options *options,
                                     struct tdbg_session **out, struct tdbg_err *err)
{
    return create(trace, NULL, options, out, err);
}

enum tdbg_status tdbg_session_create_group(struct tdbg_rank_group *group,
                                           const struct tdbg_session_options *options,
                                           struct tdbg_session **out, struct tdbg_err *err)
{
    return create(group->files[group->first].trace, group, options, out, err);
}

void tdbg_session_destroy(struct tdbg_session *s)
{
    if (!s)
        return;
    tdbg_advance_destroy(s->advance);
    tdbg_state_cache_destroy(s->cache);
    tdbg_engine_destroy(s->engine);
    tdbg_source_rank_destroy(s->others);
    tdbg_source_group_destroy(s->all);
    if (s->adder != s->backend)
        tdbg_backend_destroy(s->adder);
    tdbg_backend_destroy(s->backend);
    tdbg_config_destroy(s->config);
    free(s->item_buffer);
    free(s->files);
    free(s->places);
    free(s->first_place);
    free(s);
}

struct tdbg_engine *tdbg_session_engine(struct tdbg_session *session)
{
    return session->engine;
}

int32_t tdbg_session_n_files(const struct tdbg_session *session)
{
    return session->n_files;
}

struct tdbg_trace *tdbg_session_file(const struct tdbg_session *session, int32_t file)
{
    TDBG_ASSERT(file >= 0 && file < session->n_files);
    return session->files[file];
}

const struct tdbg_session_place *tdbg_session_places(const struct tdbg_session *session,
                                                     int32_t site, int32_t *n)
{
    *n = session->first_place[site + 1] - session->first_place[site];
    return session->places + session->first_place[site];
}

void tdbg_session_steps(const struct tdbg_session *session, int64_t *first, int64_t *n)
{
    if (session->group) {
        tdbg_rank_group_steps(session->group, first, n);
        return;
    }
    *first = tdbg_trace_first_step(session->trace);
    *n = tdbg_trace_n_steps(session->trace);
}

const char *tdbg_session_lacks_evaluation(const struct tdbg_session *session)
{
    if (session->others)
        return tdbg_source_rank_lacks_evaluation(session->others);
    return session->group && session->group->first > 0
               ? "rank 0, whose file has its samples, is not there"
               : NULL;
}

int64_t tdbg_session_steps_executed(const struct tdbg_session *session)
{
    return session->executed;
}

int64_t tdbg_session_steps_updated(const struct tdbg_session *session)
{
    return session->updated;
}

static enum tdbg_status load_keyframe(struct tdbg_session *s, int64_t step, struct tdbg_err *err)
{
    s->at = -1;
    enum tdbg_status st =
        s->group ? tdbg_keyframe_load_group(s->group, s->engine, step, s->item_buffer, err)
                 : tdbg_keyframe_load(s->trace, s->engine, step, s->item_buffer, err);
    if (st == TDBG_OK)
        s->at = step;
    return st;
}

static enum tdbg_status ask(struct tdbg_session *s, struct tdbg_err *err)
{
    s->way.at = s->at;
    if (s->at < s->way.from || s->at > s->way.to)
        s->way.from = s->way.to = s->at;
    if (s->goes_on && !s->goes_on(s->goes_on_context, &s->way))
        return TDBG_RAISE(err, INTERRUPTED, "stopped before step %lld", (long long)s->at);
    return TDBG_OK;
}

enum tdbg_status tdbg_session_run_step(struct tdbg_session *s, const struct tdbg_tap *taps,
                                       int n_taps, struct tdbg_step_info *info,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t step = s->at;
    TDBG_ASSERT(step >= 0);
    TDBG_TRY(ask(s, err));
    s->at = -1; /* until the step is through */
    TDBG_TRY(tdbg_engine_set_taps(s->engine, taps, n_taps, err));
    s->executed++;
    TDBG_TRY(tdbg_engine_run_step(s->engine, step, info, err));
    s->at = step + 1;
out:
    return st;
}

/* The last keyframe at or before a step in any of the files, or -1. */
static int64_t keyframe_before(const struct tdbg_session *s, int64_t step)
{
    int64_t last = -1;
    for (int32_t f = 0; f < s->n_files; f++) {
        const int64_t at = tdbg_trace_keyframe_before(s->files[f], step);
        last = at > last ? at : last;
    }
    return last;
}

/* A keyframe that cannot be read costs steps, not the replay: the one before it serves as well. */
static enum tdbg_status load_readable(struct tdbg_session *s, int64_t keyframe,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = load_keyframe(s, keyframe, err);
    while ((st == TDBG_DAMAGED || st == TDBG_NOT_FOUND) && keyframe > 0) {
        keyframe = keyframe_before(s, keyframe - 1);
        if (keyframe < 0)
            break;
        tdbg_err_clear(err);
        st = load_keyframe(s, keyframe, err);
    }
    return st;
}

/* The nearest state at or before a step: the one that is there, a cached one, or the keyframe. */
static enum tdbg_status load_nearest(struct tdbg_session *s, int64_t keyframe, int64_t step,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t cached = s->cache ? tdbg_state_cache_find(s->cache, keyframe, step) : -1;
    if (s->at <= step && s->at >= keyframe && s->at >= cached)
        return TDBG_OK;
    if (cached < keyframe)
        return load_readable(s, keyframe, err);
    s->at = -1;
    TDBG_TRY(tdbg_state_cache_load(s->cache, cached, err));
    s->at = cached;
out:
    return st;
}

/* One step on, by the optimizer alone where that can be. Afterwards s->at is -1 where what the
 * trace stores is not what it recorded: then the steps have to be executed. */
static enum tdbg_status go_on(struct tdbg_session *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum tdbg_advance_result result = TDBG_ADVANCE_NOT_STORED;
    const int64_t step = s->at;
    if (s->advance) {
        TDBG_TRY(ask(s, err));
        s->at = -1;
        TDBG_TRY(tdbg_advance_step(s->advance, step, &result, err));
        s->at = step;
    }
    if (result == TDBG_ADVANCE_NOT_STORED)
        return tdbg_session_run_step(s, NULL, 0, NULL, err);
    s->at = result == TDBG_ADVANCE_DONE ? step + 1 : -1;
    s->updated += result == TDBG_ADVANCE_DONE;
    if (result == TDBG_ADVANCE_DIFFERS) {
        tdbg_advance_destroy(s->advance);
        s->advance = NULL;
    }
out:
    return st;
}

enum tdbg_status tdbg_session_seek(struct tdbg_session *s, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t keyframe = keyframe_before(s, step);
    if (s->at == step)
        return TDBG_OK;
    TDBG_FAIL_IF(keyframe < 0, DAMAGED, "%s has no keyframe at or before step %lld",
                 tdbg_trace_path(s->trace), (long long)step);
    do {
        TDBG_TRY(load_nearest(s, keyframe, step, err));
        s->way = (struct tdbg_session_way){s->at, s->at, step};
        if (s->cache)
            tdbg_state_cache_plan(s->cache, s->at < keyframe ? s->at : keyframe, step);
        while (s->at >= 0 && s->at < step) {
            if (s->cache)
                tdbg_state_cache_pass(s->cache, s->at);
            TDBG_TRY(go_on(s, err));
        }
        if (s->cache && s->at < 0)
            tdbg_state_cache_clear(s->cache); /* made by the optimizer alone */
    } while (s->at < 0);
    if (s->cache)
        tdbg_state_cache_pass(s->cache, step);
out:
    return st;
}

/* A tap that copies one site and may leave the step. */
struct grab {
    int32_t site;
    void *data;
    int64_t elems;
    bool stop;
    bool done;
};

static enum tdbg_status grab_plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                                  struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)sites;
    (void)n_sites;
    (void)err;
    const struct grab *g = self;
    wants[g->site] =
        (struct tdbg_want){g->stop ? TDBG_WANT_VALUES | TDBG_WANT_STOP : TDBG_WANT_VALUES, 1};
    return TDBG_OK;
}

static enum tdbg_status grab_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    (void)step;
    (void)site;
    struct grab *g = self;
    enum tdbg_status st = tdbg_handle_copy(handle, g->data, err);
    g->elems = handle->elems;
    g->done = st == TDBG_OK;
    return st == TDBG_OK && g->stop ? TDBG_STOPPED : st;
}

static const struct tdbg_tap_ops grab_ops = {grab_plan, NULL, grab_site, NULL};

enum tdbg_status tdbg_session_compute(struct tdbg_session *s, int64_t step, int32_t site,
                                      void *data, int64_t *n_elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct grab grab = {.site = site, .data = data, .stop = step != s->computed_step + 1};
    const struct tdbg_tap tap = {&grab_ops, &grab};
    size_t bytes =
        (size_t)tdbg_site_elems(&s->sites[site]) * tdbg_dtype_bytes(s->sites[site].dtype);
    memset(data, 0, bytes);
    /* A step that is left makes the state useless. Who asks for step after step gets whole steps:
     * else each of them would begin at the keyframe. */
    s->computed_step = step;
    TDBG_TRY(tdbg_session_seek(s, step, err));
    st = tdbg_session_run_step(s, &tap, 1, NULL, err);
    if (st == TDBG_STOPPED)
        st = TDBG_OK;
    TDBG_TRY(st);
    TDBG_FAIL_IF(!grab.done, NOT_FOUND, "%s has no value at step %lld", s->sites[site].name,
                 (long long)step);
    const char *lacks = tdbg_session_lacks_evaluation(s);
    TDBG_FAIL_IF(lacks && s->sites[site].stage == TDBG_STAGE_EVAL, CANNOT_JUDGE,
                 "%s cannot be computed: %s", s->sites[site].name, lacks);
    if (n_elems)
        *n_elems = grab.elems;
out:
    return st;
}
