/* Building and running of a trial. See bisect_trial.h; bisect_runs.c opens the two runs. */
#include "replay/bisect_trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/config_merge.h"

struct choice {
    const struct tdbg_bisect_runs *runs;
    const bool *taken;
};

static bool takes(const struct choice *c, int delta)
{
    if (delta < 0)
        return false;
    const int whole = c->runs->deltas.item[delta].whole;
    return c->taken[delta] || (whole >= 0 && c->taken[whole]);
}

static bool takes_kind(const struct choice *c, enum tdbg_delta_kind kind)
{
    return takes(c, tdbg_deltas_first(&c->runs->deltas, kind));
}

/* What has a delta of its own follows that, also in the config: files and initial values stand
 * there for whoever reads it. */
static bool choose(void *context, const char *unit, const char *path, const struct tdbg_cfg_node *a,
                   const struct tdbg_cfg_node *b)
{
    const struct choice *c = context;
    const struct tdbg_deltas *d = &c->runs->deltas;
    (void)a;
    (void)b;
    const int at = tdbg_deltas_unit(d, strcmp(path, "epochs") == 0 ? "steps" : unit);
    if (at >= 0)
        return takes(c, at);
    for (int i = 0; i < d->n_wholes; i++) {
        const struct tdbg_delta *delta = &d->item[i];
        for (int k = 0; delta->kind != TDBG_DELTA_CONFIG && k < delta->n_keys; k++) {
            if (strcmp(delta->keys[k].key, path) == 0)
                return takes(c, i);
        }
    }
    return false;
}

static enum tdbg_status parse(const char *text, const char *const *sets, int n_sets,
                              struct tdbg_config **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_config_parse(text, "trial", sets, n_sets, out, err));
    tdbg_engine_check_options(*out, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(*out);
    TDBG_TRY(tdbg_config_result(*out, err));
out:
    return st;
}

/* The config of the trial; and for the sampler once more with the seed of the order, where that is
 * another. */
static enum tdbg_status make_config(struct tdbg_bisect_trial *t, const struct choice *c,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root[2] = {tdbg_config_root(t->runs->side[0].config),
                                           tdbg_config_root(t->runs->side[1].config)};
    const int order = t->source.order;
    char seed[48], *text = NULL;
    const char *const no_eval[] = {"eval.every=0"};
    const char *const sets[] = {seed};
    struct tdbg_arena *arena = tdbg_arena_create();
    TDBG_FAIL_IF(!arena, NO_MEMORY, "no memory for a config");
    text = tdbg_config_print(tdbg_config_merge(root[0], root[1], arena, choose, (void *)c), false);
    TDBG_FAIL_IF(!text, NO_MEMORY, "no memory for a config");
    TDBG_TRY(parse(text, no_eval, !t->runs->with_eval, &t->config, err));
    const int64_t own = tdbg_cfg_int(tdbg_config_root(t->config), "seed");
    const int64_t wanted = tdbg_cfg_int(root[order], "seed");
    snprintf(seed, sizeof seed, "seed=%lldL", (long long)wanted);
    if (t->runs->is_live && own != wanted)
        TDBG_TRY(parse(text, sets, 1, &t->sampler, err));
out:
    free(text);
    tdbg_arena_destroy(arena);
    return st;
}

static enum tdbg_status open_source(struct tdbg_bisect_trial *t, const struct choice *c,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_deltas *d = &t->runs->deltas;
    struct tdbg_bisect_source *s = &t->source;
    t->swapped = calloc((size_t)d->n + 1, sizeof *t->swapped);
    t->moved = calloc((size_t)d->n + 1, sizeof *t->moved);
    TDBG_FAIL_IF(!t->swapped || !t->moved, NO_MEMORY, "no memory for samples");
    for (int i = d->n_wholes; i < d->n; i++) { /* ids and steps ascend */
        const struct tdbg_delta *part = &d->item[i];
        if (part->kind == TDBG_DELTA_SAMPLE && s->data == 0 && c->taken[i])
            t->swapped[s->n_swapped++] = part->sample;
        if (part->kind == TDBG_DELTA_BATCH && s->order == 0 && c->taken[i])
            t->moved[s->n_moved++] = (struct tdbg_step_range){part->step, part->last};
    }
    s->swapped = t->swapped;
    s->moved = t->moved;
    TDBG_TRY(
        tdbg_bisect_source_open(s, tdbg_config_root(t->sampler ? t->sampler : t->config), err));
out:
    return st;
}

/* Each tensor from the run that it is taken from, or from the only one that has it. */
static enum tdbg_status set_state(struct tdbg_bisect_trial *t, const struct choice *c,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_deltas *d = &t->runs->deltas;
    const bool whole = takes_kind(c, TDBG_DELTA_STATE);
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(t->engine, &n);
    for (int32_t i = 0; i < n; i++) {
        bool bad = whole;
        for (int k = d->n_wholes; k < d->n; k++) {
            if (d->item[k].kind == TDBG_DELTA_ITEM && strcmp(d->item[k].of, items[i].name) == 0)
                bad = takes(c, k);
        }
        const struct tdbg_bisect_state *state = t->runs->state;
        const struct tdbg_bisect_item *from =
            tdbg_bisect_state_find(&state[bad], items[i].name, items[i].elems);
        if (!from)
            from = tdbg_bisect_state_find(&state[!bad], items[i].name, items[i].elems);
        TDBG_FAIL_IF(!from, CONFIG, "neither run has %s of this size", items[i].name);
        TDBG_TRY(tdbg_engine_set_item(t->engine, i, from->data, err));
    }
out:
    return st;
}

/* What ranks contributed in the run that each is taken from. */
static enum tdbg_status open_contributions(struct tdbg_bisect_trial *t, const struct choice *c,
                                           struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_contributions *all = &t->runs->contributions;
    bool *chosen = calloc((size_t)all->n + 1, sizeof *chosen);
    TDBG_FAIL_IF(!chosen, NO_MEMORY, "no memory for what ranks contributed");
    for (int i = 0; i < all->n; i++)
        chosen[i] =
            all->list[i].item >= 0 && takes(c, all->list[i].item) == (all->list[i].side == 1);
    TDBG_TRY(
        tdbg_contribution_taps_open(&t->contributions, t->runs->side, all, chosen, t->engine, err));
    TDBG_TRY(tdbg_bisect_trial_watch(t, NULL, err));
out:
    free(chosen);
    return st;
}

static enum tdbg_status build(struct tdbg_bisect_trial *t, const struct choice *c,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(make_config(t, c, err));
    TDBG_TRY(open_source(t, c, err));
    TDBG_TRY(tdbg_engine_create(t->config, t->runs->backend, tdbg_bisect_source_table(&t->source),
                                &t->engine, err));
    TDBG_TRY(tdbg_config_result(t->config, err));
    TDBG_FAIL_IF(tdbg_engine_info(t->engine)->total_steps <= t->runs->start, CONFIG,
                 "the run would end before step %lld", (long long)t->runs->start);
    if (t->runs->state[0].n > 0)
        TDBG_TRY(set_state(t, c, err));
    TDBG_TRY(open_contributions(t, c, err));
out:
    return st;
}

enum tdbg_status tdbg_bisect_trial_open(struct tdbg_bisect_runs *runs, const bool *taken,
                                        struct tdbg_bisect_trial *t, bool *fits, char **why,
                                        struct tdbg_err *err)
{
    const struct choice c = {runs, taken};
    struct tdbg_err fault = {0};
    *t = (struct tdbg_bisect_trial){.runs = runs, .at = runs->start};
    t->source = (struct tdbg_bisect_source){.side = runs->side,
                                            .is_live = runs->is_live,
                                            .order = takes_kind(&c, TDBG_DELTA_ORDER),
                                            .data = takes_kind(&c, TDBG_DELTA_DATA)};
    const enum tdbg_status st = build(t, &c, &fault);
    *fits = st == TDBG_OK;
    *why = NULL;
    if (st == TDBG_CONFIG || st == TDBG_USAGE || st == TDBG_DATA || st == TDBG_UNSUPPORTED) {
        *why = strdup(fault.message ? fault.message : tdbg_status_text(st));
        tdbg_err_clear(&fault);
        return TDBG_OK;
    }
    if (st != TDBG_OK)
        *err = fault;
    return st;
}

void tdbg_bisect_trial_close(struct tdbg_bisect_trial *t)
{
    tdbg_engine_destroy(t->engine);
    tdbg_contribution_taps_close(&t->contributions);
    tdbg_bisect_source_close(&t->source);
    tdbg_config_destroy(t->config);
    tdbg_config_destroy(t->sampler);
    free(t->swapped);
    free(t->moved);
    *t = (struct tdbg_bisect_trial){.runs = t->runs};
}

enum tdbg_status tdbg_bisect_trial_watch(struct tdbg_bisect_trial *t, const struct tdbg_tap *tap,
                                         struct tdbg_err *err)
{
    struct tdbg_tap taps[3];
    int n = 0;
    if (t->contributions.n > 0)
        taps[n++] = tdbg_contribution_tap_before(&t->contributions);
    if (tap)
        taps[n++] = *tap;
    if (t->contributions.n > 0)
        taps[n++] = tdbg_contribution_tap_behind(&t->contributions);
    return tdbg_engine_set_taps(t->engine, taps, n, err);
}

enum tdbg_status tdbg_bisect_trial_step(struct tdbg_bisect_trial *t, struct tdbg_step_info *info,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_runs *runs = t->runs;
    TDBG_FAIL_IF(runs->max_steps > 0 && runs->executed >= runs->max_steps, STOPPED,
                 "%lld steps were executed", (long long)runs->executed);
    runs->executed++;
    TDBG_TRY(tdbg_engine_run_step(t->engine, t->at, info, err));
    t->at++;
    TDBG_FAIL_IF(runs->progress && runs->progress(runs->progress_context, runs), INTERRUPTED,
                 "stopped after %lld steps", (long long)runs->executed);
out:
    return st;
}

int64_t tdbg_bisect_trial_end(const struct tdbg_bisect_trial *t)
{
    return tdbg_engine_info(t->engine)->total_steps;
}
