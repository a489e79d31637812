/* Config, samples and first state of a fork. See fork.h. */
#include "replay/fork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "engine/engine_options.h"
#include "engine/source_live.h"
#include "recorder/record_options.h"
#include "replay/config_diff.h"
#include "replay/resume.h"
#include "replay/source_recorded.h"
#include "replay/verify.h"
#include "trace/array_file.h"

struct tdbg_fork {
    struct tdbg_trace *parent;
    struct tdbg_session_options session;
    struct tdbg_config *config, *before; /* with the changes, and as recorded */
    struct tdbg_arena *arena;
    char *description;
    int64_t first, last;
    int64_t parent_last; /* the last step whose samples the trace has */
    struct tdbg_source recorded;
    struct tdbg_source_live *live; /* NULL: not needed */
};

/* --- the config --- */

/* What can be changed while state and samples are those of the parent. */
static const char *const free_keys[] = {
    "optimizer", "schedule",         "clip",           "loss",          "freeze", "drop_samples",
    "eval",      "engine.precision", "engine.threads", "engine.device", "record", "inject",
    "steps",     "epochs",
};
enum { N_FREE_KEYS = sizeof free_keys / sizeof free_keys[0] };

static bool may_change(const char *key)
{
    for (int i = 0; i < N_FREE_KEYS; i++) {
        const size_t n = strlen(free_keys[i]);
        if (strncmp(key, free_keys[i], n) == 0 && strchr(".[", key[n]))
            return true; /* the end of the string, too, is found by strchr */
    }
    return false;
}

static enum tdbg_status check_config(struct tdbg_config *config, struct tdbg_err *err)
{
    tdbg_engine_check_options(config, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(config);
    return tdbg_config_result(config, err);
}

static enum tdbg_status parse(struct tdbg_fork *f, const char *const *sets, int n_sets,
                              struct tdbg_config **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_resume_config(f->parent, sets, n_sets, out, err));
    TDBG_TRY(check_config(*out, err));
out:
    return st;
}

/* "drop_samples=[1,2]" of those that a config has and those of the options. */
static char *drop_text(const struct tdbg_config *config, const struct tdbg_fork_options *options)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    const struct tdbg_cfg_node *list = tdbg_cfg_find(tdbg_config_root(config), "drop_samples");
    const char *comma = "";
    if (!out)
        return NULL;
    fputs("drop_samples=[", out);
    for (int i = 0; list && i < list->n_child; i++, comma = ",")
        fprintf(out, "%s%lldL", comma, (long long)list->child[i]->i);
    for (int i = 0; i < options->n_drop; i++, comma = ",")
        fprintf(out, "%s%lldL", comma, (long long)options->drop[i]);
    fputc(']', out);
    fclose(out);
    return text;
}

/* The config with the sets; with samples to drop once more with these beside what it says. */
static enum tdbg_status read_config(struct tdbg_fork *f, const struct tdbg_fork_options *options,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *drop = NULL;
    const size_t n = (size_t)options->n_sets;
    const char **sets = malloc((n + 1) * sizeof *sets);
    TDBG_FAIL_IF(!sets, NO_MEMORY, "no memory for the config");
    for (size_t i = 0; i < n; i++)
        sets[i] = options->sets[i];
    TDBG_TRY(parse(f, NULL, 0, &f->before, err));
    TDBG_TRY(parse(f, sets, (int)n, &f->config, err));
    if (options->n_drop == 0)
        goto out;
    sets[n] = drop = drop_text(f->config, options);
    TDBG_FAIL_IF(!drop, NO_MEMORY, "no memory for the config");
    tdbg_config_destroy(f->config);
    f->config = NULL;
    TDBG_TRY(parse(f, sets, (int)n + 1, &f->config, err));
out:
    free(drop);
    free(sets);
    return st;
}

static enum tdbg_status refuse(const char *keys, struct tdbg_err *err)
{
    enum tdbg_status st;
    char *free_text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&free_text, &bytes);
    if (!out)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a message");
    for (int i = 0; i < N_FREE_KEYS; i++)
        fprintf(out, "%s%s", i > 0 ? ", " : "", free_keys[i]);
    fclose(out);
    st = TDBG_RAISE(err, USAGE,
                    "a fork cannot change %s: its model, samples and order of sums are those of "
                    "the recorded run\nhint: keys that may change, with all below them: %s",
                    keys, free_text ? free_text : "");
    free(free_text);
    return st;
}

/* Refuses what cannot be changed, and describes the rest. */
static enum tdbg_status judge_changes(struct tdbg_fork *f, FILE *description, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_config_difference *changes;
    char *keys = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&keys, &bytes);
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory for the changes");
    const int n = tdbg_config_diff(tdbg_config_root(f->before), tdbg_config_root(f->config),
                                   f->arena, &changes);
    bool refused = false;
    for (int i = 0; i < n; i++) {
        if (may_change(changes[i].key)) {
            fprintf(description, "%s: %s -> %s\n", changes[i].key,
                    changes[i].a ? changes[i].a : "(none)", changes[i].b ? changes[i].b : "(none)");
            continue;
        }
        fprintf(out, "%s%s", refused ? ", " : "", changes[i].key);
        refused = true;
    }
    fclose(out);
    out = NULL;
    TDBG_FAIL_IF(!keys, NO_MEMORY, "no memory for the changes");
    if (refused)
        st = refuse(keys, err);
out:
    free(keys);
    return st;
}

/* --- the range --- */

static enum tdbg_status choose_range(struct tdbg_fork *f, const struct tdbg_fork_options *options,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t begin = tdbg_trace_first_step(f->parent);
    const char *path = tdbg_trace_path(f->parent);
    f->parent_last = begin + tdbg_trace_n_steps(f->parent) - 1;
    f->first = options->from;
    if (options->from < 0)
        f->first = tdbg_trace_keyframe_before(f->parent, f->parent_last);
    f->last = options->to < 0 ? f->parent_last : options->to;
    TDBG_FAIL_IF(f->first < begin || f->first > f->parent_last, USAGE,
                 "'--from %lld': %s has steps %lld to %lld", (long long)f->first, path,
                 (long long)begin, (long long)f->parent_last);
    TDBG_FAIL_IF(f->last < f->first, USAGE, "'--to %lld' is before the fork's first step, %lld",
                 (long long)f->last, (long long)f->first);
    TDBG_FAIL_IF(tdbg_trace_keyframe_before(f->parent, f->first) < 0, DAMAGED,
                 "%s has no keyframe at or before step %lld", path, (long long)f->first);
out:
    return st;
}

static bool is_in(const int64_t *ids, int64_t n, int64_t id)
{
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

/* The steps, of those that the trace has, whose batch has a sample. Those in the fork are described
 * in `out`; *elsewhere is one that is not in the fork, or -1. */
static enum tdbg_status find_sample(struct tdbg_fork *f, int64_t id, int64_t *batch, FILE *out,
                                    int64_t *n_found, int64_t *elsewhere, struct tdbg_err *err)
{
    enum { MAX_NAMED = 8 };
    enum tdbg_status st = TDBG_OK;
    *n_found = 0;
    *elsewhere = -1;
    for (int64_t step = tdbg_trace_first_step(f->parent); step <= f->parent_last; step++) {
        int64_t n;
        TDBG_TRY(tdbg_trace_read_batch_ids(f->parent, step, batch, &n, err));
        if (!is_in(batch, n, id))
            continue;
        if (step < f->first || step > f->last) {
            *elsewhere = step;
            continue;
        }
        if (++*n_found <= MAX_NAMED)
            fprintf(out, "%s%lld", *n_found > 1 ? ", " : "", (long long)step);
    }
    if (*n_found > MAX_NAMED)
        fprintf(out, ", ... (%lld steps)", (long long)*n_found);
out:
    return st;
}

/* A sample that no step has would change nothing, which is not what its number was given for. */
static enum tdbg_status judge_drops(struct tdbg_fork *f, const struct tdbg_fork_options *options,
                                    FILE *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t *batch = malloc((size_t)tdbg_trace_info(f->parent)->batch * sizeof *batch);
    TDBG_FAIL_IF(!batch, NO_MEMORY, "no memory for a batch's ids");
    for (int i = 0; i < options->n_drop; i++) {
        int64_t n, elsewhere;
        const long long id = (long long)options->drop[i];
        fprintf(out, "sample %lld: weight 0 in steps ", id);
        TDBG_TRY(find_sample(f, options->drop[i], batch, out, &n, &elsewhere, err));
        fputs(f->last > f->parent_last
                  ? n > 0 ? " and where it comes later\n" : "after the recorded ones\n"
                  : "\n",
              out);
        if (n > 0 || f->last > f->parent_last)
            continue;
        TDBG_FAIL_IF(elsewhere >= 0, USAGE,
                     "'--drop-sample %lld': steps %lld to %lld do not have this sample, but step "
                     "%lld does",
                     id, (long long)f->first, (long long)f->last, (long long)elsewhere);
        TDBG_FAIL_IF(true, USAGE, "'--drop-sample %lld': no step of %s has this sample", id,
                     tdbg_trace_path(f->parent));
    }
out:
    free(batch);
    return st;
}

static enum tdbg_status describe_fork(struct tdbg_fork *f, const struct tdbg_fork_options *options,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t bytes = 0;
    FILE *out = open_memstream(&f->description, &bytes);
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory to describe the fork");
    TDBG_TRY(judge_changes(f, out, err));
    TDBG_TRY(judge_drops(f, options, out, err));
out:
    if (out)
        fclose(out);
    if (st == TDBG_OK && !f->description)
        st = TDBG_RAISE(err, NO_MEMORY, "no memory to describe the fork");
    return st;
}

enum tdbg_status tdbg_fork_create(struct tdbg_trace *parent,
                                  const struct tdbg_fork_options *options, struct tdbg_fork **out,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_fork *f = calloc(1, sizeof *f);
    TDBG_FAIL_IF(!f, NO_MEMORY, "no memory for a fork");
    f->parent = parent;
    f->session = options->session;
    f->arena = tdbg_arena_create();
    TDBG_FAIL_IF(!f->arena, NO_MEMORY, "no memory for a fork");
    TDBG_FAIL_IF(tdbg_trace_info(parent)->world_size > 1, UNSUPPORTED,
                 "%s is of one of %d ranks, and what the others send is not recorded for a changed "
                 "run\nhint: go on from a keyframe with all ranks: tdbg record --resume",
                 tdbg_trace_path(parent), (int)tdbg_trace_info(parent)->world_size);
    TDBG_TRY(read_config(f, options, err));
    TDBG_TRY(choose_range(f, options, err));
    TDBG_TRY(describe_fork(f, options, err));
    f->recorded = tdbg_source_recorded_table(parent);
    *out = f;
    return TDBG_OK;
out:
    tdbg_fork_destroy(f);
    return st;
}

void tdbg_fork_destroy(struct tdbg_fork *f)
{
    if (!f)
        return;
    tdbg_source_live_destroy(f->live);
    tdbg_config_destroy(f->config);
    tdbg_config_destroy(f->before);
    tdbg_arena_destroy(f->arena);
    free(f->description);
    free(f);
}

struct tdbg_config *tdbg_fork_config(struct tdbg_fork *fork)
{
    return fork->config;
}

const char *tdbg_fork_description(const struct tdbg_fork *fork)
{
    return fork->description;
}

int64_t tdbg_fork_first_step(const struct tdbg_fork *fork)
{
    return fork->first;
}

int64_t tdbg_fork_last_step(const struct tdbg_fork *fork)
{
    return fork->last;
}

/* --- the source --- */

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    struct tdbg_fork *f = self;
    return f->recorded.ops->describe(f->recorded.self, shapes, err);
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    struct tdbg_fork *f = self;
    struct tdbg_source s = f->recorded;
    if (step > f->parent_last)
        s = tdbg_source_live_table(f->live);
    return s.ops->train_batch(s.self, step, batch, n, ids, x, y, err);
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    struct tdbg_fork *f = self;
    struct tdbg_source s = f->recorded;
    if (first + n > tdbg_trace_n_samples(f->parent, TDBG_SAMPLES_EVAL))
        s = tdbg_source_live_table(f->live);
    return s.ops->eval_batch(s.self, first, n, x, y, err);
}

static int64_t clock_ns(void *self)
{
    struct tdbg_fork *f = self;
    return f->recorded.ops->clock_ns(f->recorded.self);
}

static const struct tdbg_source_ops fork_ops = {.describe = describe,
                                                .train_batch = train_batch,
                                                .eval_batch = eval_batch,
                                                .clock_ns = clock_ns};

struct tdbg_source tdbg_fork_source(struct tdbg_fork *fork)
{
    return (struct tdbg_source){&fork_ops, fork, 0, 1};
}

enum { WHY_BYTES = 400 };

/* Does the trace lack samples that the fork needs? Then why says which. */
static bool lacks_samples(const struct tdbg_fork *f, const struct tdbg_engine *engine,
                          char why[WHY_BYTES])
{
    const struct tdbg_cfg_node *root = tdbg_config_root(f->config);
    const char *path = tdbg_trace_path(f->parent);
    const int64_t total = tdbg_trace_samples(f->parent, TDBG_SAMPLES_EVAL)->total;
    const int64_t wanted = tdbg_cfg_int(root, "eval.batches") * tdbg_cfg_int(root, "data.batch");
    const int64_t n = wanted > 0 && wanted < total ? wanted : total;
    if (f->last > f->parent_last) {
        snprintf(why, WHY_BYTES,
                 "the samples of steps %lld to %lld are not in %s, which ends there",
                 (long long)f->parent_last + 1, (long long)f->last, path);
        return true;
    }
    snprintf(why, WHY_BYTES, "the samples to evaluate on are not in %s", path);
    for (int64_t step = f->first; step <= f->last; step++) {
        if (tdbg_engine_evaluates(engine, step))
            return tdbg_trace_n_samples(f->parent, TDBG_SAMPLES_EVAL) < n;
    }
    return false;
}

static enum tdbg_status check_same(struct tdbg_fork *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *text = NULL;
    size_t bytes = 0;
    struct tdbg_json json;
    FILE *out = open_memstream(&text, &bytes);
    TDBG_FAIL_IF(!out, NO_MEMORY, "no memory to compare the data set");
    tdbg_json_init(&json, out, false);
    tdbg_source_live_print_json(f->live, &json);
    fclose(out);
    TDBG_FAIL_IF(!text, NO_MEMORY, "no memory to compare the data set");
    TDBG_TRY(tdbg_resume_check_dataset(f->parent, text, err));
out:
    free(text);
    return st;
}

static enum tdbg_status open_data(struct tdbg_fork *f, const struct tdbg_engine *engine,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0};
    char why[WHY_BYTES];
    if (!lacks_samples(f, engine, why))
        return TDBG_OK;
    tdbg_dataset_check_files(f->config);
    st = tdbg_config_result(f->config, &fault);
    if (st == TDBG_OK)
        st = tdbg_source_live_create(f->config, tdbg_array_file_read, &f->live, &fault);
    if (st == TDBG_OK)
        st = tdbg_config_result(f->config, &fault);
    if (st == TDBG_OK)
        st = check_same(f, &fault);
    if (st != TDBG_OK)
        st = TDBG_RAISE(err, DATA, "%s, and the data set does not give them: %s", why,
                        fault.message);
    tdbg_err_clear(&fault);
    return st;
}

/* --- the state --- */

/* Executes again what lies between the keyframe and the first step. */
static enum tdbg_status reach_first_step(struct tdbg_fork *f, struct tdbg_session *session,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_verify_report report = {.differ = 0};
    const struct tdbg_verify_options options = {.from =
                                                    tdbg_trace_keyframe_before(f->parent, f->first),
                                                .to = f->first - 1,
                                                .digests_only = true};
    if (options.from == f->first)
        return tdbg_session_seek(session, f->first, err);
    TDBG_TRY(tdbg_verify_session(f->parent, session, &options, &report, err));
    TDBG_FAIL_IF(report.differ > 0, DAMAGED,
                 "%s: executed again, step %lld is not what was recorded, so the state before step "
                 "%lld cannot be computed\nhint: fork from the keyframe before step %lld, or look "
                 "at tdbg replay --verify",
                 tdbg_trace_path(f->parent), (long long)report.step, (long long)f->first,
                 (long long)options.from);
out:
    return st;
}

/* Item i of the changed engine has to be item i of the recorded one. */
static enum tdbg_status check_state(struct tdbg_fork *f, const struct tdbg_engine *from,
                                    const struct tdbg_engine *to, int64_t *largest,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n, m;
    const struct tdbg_engine_item *a = tdbg_engine_items(from, &n);
    const struct tdbg_engine_item *b = tdbg_engine_items(to, &m);
    for (int32_t i = 0; i < n || i < m; i++) {
        const bool same = i < n && i < m && strcmp(a[i].name, b[i].name) == 0 &&
                          a[i].elems == b[i].elems && a[i].dtype == b[i].dtype;
        TDBG_FAIL_IF(!same, USAGE,
                     "the state before step %lld of %s does not fit the changed config: it has %s, "
                     "which wants %s\nhint: an optimizer with other state cannot go on from there",
                     (long long)f->first, tdbg_trace_path(f->parent),
                     i < n ? a[i].name : "nothing more", i < m ? b[i].name : "nothing more");
        *largest = a[i].elems > *largest ? a[i].elems : *largest;
    }
out:
    return st;
}

enum tdbg_status tdbg_fork_set_state(struct tdbg_fork *f, struct tdbg_engine *engine,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    float *buffer = NULL;
    int64_t largest = 1;
    int32_t n;
    const int64_t total = tdbg_engine_info(engine)->total_steps;
    TDBG_FAIL_IF(f->last >= total, USAGE,
                 "'--to %lld': the run has %lld steps\nhint: --set steps=N makes it longer",
                 (long long)f->last, (long long)total);
    TDBG_TRY(open_data(f, engine, err));
    TDBG_TRY(tdbg_session_create(f->parent, &f->session, &session, err));
    const struct tdbg_engine *from = tdbg_session_engine(session);
    TDBG_TRY(check_state(f, from, engine, &largest, err));
    TDBG_TRY(reach_first_step(f, session, err));
    buffer = malloc((size_t)largest * sizeof *buffer);
    TDBG_FAIL_IF(!buffer, NO_MEMORY, "no memory for the state");
    tdbg_engine_items(engine, &n);
    for (int32_t i = 0; i < n; i++) {
        TDBG_TRY(tdbg_engine_get_item(from, i, buffer, err));
        TDBG_TRY(tdbg_engine_set_item(engine, i, buffer, err));
    }
out:
    free(buffer);
    tdbg_session_destroy(session);
    return st;
}
