/* Config and range of a fork. See fork.h; fork_state.c has its samples and its first state. */
#include "replay/fork_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/config_diff.h"
#include "replay/resume.h"
#include "replay/source_recorded.h"

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

/* Has the batch of a step this sample? batch: room for one. */
static enum tdbg_status has_sample(struct tdbg_fork *f, int64_t step, int64_t id, int64_t *batch,
                                   bool *has, struct tdbg_err *err)
{
    int64_t n = 0;
    const enum tdbg_status st = tdbg_trace_read_batch_ids(f->parent, step, batch, &n, err);
    *has = st == TDBG_OK && is_in(batch, n, id);
    return st;
}

/* The recorded steps of the fork that have a sample; out gets their numbers. */
static enum tdbg_status find_in_fork(struct tdbg_fork *f, int64_t id, int64_t *batch, FILE *out,
                                     int64_t *n_found, struct tdbg_err *err)
{
    enum { MAX_NAMED = 8 };
    enum tdbg_status st = TDBG_OK;
    const int64_t last = f->last < f->parent_last ? f->last : f->parent_last;
    *n_found = 0;
    for (int64_t step = f->first; step <= last; step++) {
        bool has;
        TDBG_TRY(has_sample(f, step, id, batch, &has, err));
        if (has && ++*n_found <= MAX_NAMED)
            fprintf(out, "%s%lld", *n_found > 1 ? ", " : "", (long long)step);
    }
    if (*n_found > MAX_NAMED)
        fprintf(out, ", ... (%lld steps)", (long long)*n_found);
out:
    return st;
}

/* Says where a sample is that no step of the fork has: TDBG_USAGE. */
static enum tdbg_status refuse_sample(struct tdbg_fork *f, int64_t id, int64_t *batch,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int64_t step = tdbg_trace_first_step(f->parent); step <= f->parent_last; step++) {
        bool has;
        TDBG_TRY(has_sample(f, step, id, batch, &has, err));
        TDBG_FAIL_IF(has, USAGE,
                     "'--drop-sample %lld': steps %lld to %lld do not have this sample, but step "
                     "%lld does",
                     (long long)id, (long long)f->first, (long long)f->last, (long long)step);
    }
    st = TDBG_RAISE(err, USAGE, "'--drop-sample %lld': no step of %s has this sample",
                    (long long)id, tdbg_trace_path(f->parent));
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
        int64_t n;
        const bool goes_on = f->last > f->parent_last;
        fprintf(out, "sample %lld: weight 0 in steps ", (long long)options->drop[i]);
        TDBG_TRY(find_in_fork(f, options->drop[i], batch, out, &n, err));
        if (goes_on)
            fputs(n > 0 ? " and where it comes later" : "after the recorded ones", out);
        fputc('\n', out);
        if (n == 0 && !goes_on)
            TDBG_TRY(refuse_sample(f, options->drop[i], batch, err));
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
