/* Side by side. See bisect_part.h. */
#include "replay/bisect_part.h"

#include <stdlib.h>
#include <string.h>

#include "replay/bisect_judge.h"

/* One of the two. */
struct runner {
    struct tdbg_bisect_trial trial;
    struct tdbg_bisect_state before; /* of the step that was run last */
    const struct tdbg_site *sites;
    int32_t n_sites;
    uint64_t *digest; /* (n_sites) */
    bool *seen;       /* (n_sites) */
    int32_t grab;     /* the site whose value is wanted, or -1 */
    void *value;
    int64_t elems;
};

/* --- the tap that sees everything --- */

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    const struct runner *r = self;
    (void)sites;
    (void)err;
    for (int32_t i = 0; i < n_sites; i++)
        wants[i] = (struct tdbg_want){TDBG_WANT_DIGEST, 1};
    if (r->grab >= 0)
        wants[r->grab].flags |= TDBG_WANT_VALUES;
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct runner *r = self;
    (void)step;
    (void)err;
    memset(r->seen, 0, (size_t)r->n_sites * sizeof *r->seen);
    return TDBG_OK;
}

static enum tdbg_status see(void *self, int64_t step, int32_t site,
                            const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct runner *r = self;
    enum tdbg_status st = TDBG_OK;
    (void)step;
    if (handle->same_as >= 0 && r->seen[handle->same_as])
        r->digest[site] = r->digest[handle->same_as];
    else
        TDBG_TRY(tdbg_handle_digest(handle, &r->digest[site], NULL, err));
    r->seen[site] = true;
    if (site == r->grab) {
        r->elems = handle->elems;
        TDBG_TRY(tdbg_handle_copy(handle, r->value, err));
    }
out:
    return st;
}

static const struct tdbg_tap_ops runner_ops = {plan, begin_step, see, NULL};

/* --- running --- */

static enum tdbg_status watch(struct runner *r, int32_t grab, struct tdbg_err *err)
{
    const struct tdbg_tap tap = {&runner_ops, r};
    r->grab = grab;
    return tdbg_bisect_trial_watch(&r->trial, &tap, err);
}

static enum tdbg_status start(struct runner *r, struct tdbg_bisect_runs *runs, bool bad,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *why = NULL;
    bool fits = true;
    bool *taken = calloc((size_t)runs->deltas.n + 1, sizeof *taken);
    TDBG_FAIL_IF(!taken, NO_MEMORY, "no memory to compare two runs");
    for (int i = 0; i < runs->deltas.n; i++)
        taken[i] = bad;
    TDBG_TRY(tdbg_bisect_trial_open(runs, taken, &r->trial, &fits, &why, err));
    TDBG_FAIL_IF(!fits, CANNOT_JUDGE, "%s cannot be executed: %s", runs->side[bad].path, why);
    r->sites = tdbg_engine_sites(r->trial.engine, &r->n_sites);
    r->digest = calloc((size_t)r->n_sites + 1, sizeof *r->digest);
    r->seen = calloc((size_t)r->n_sites + 1, sizeof *r->seen);
    TDBG_FAIL_IF(!r->digest || !r->seen, NO_MEMORY, "no memory to compare two runs");
    TDBG_TRY(watch(r, -1, err));
out:
    free(taken);
    free(why);
    return st;
}

static void stop(struct runner *r)
{
    tdbg_bisect_trial_close(&r->trial);
    tdbg_bisect_state_clear(&r->before);
    free(r->digest);
    free(r->seen);
    free(r->value);
}

static enum tdbg_status step(struct runner *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_info info;
    TDBG_TRY(tdbg_bisect_state_get(r->trial.engine, &r->before, err));
    TDBG_TRY(tdbg_bisect_trial_step(&r->trial, &info, err));
out:
    return st;
}

/* The step that was run last, once more. */
static enum tdbg_status step_again(struct runner *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_info info;
    r->trial.at--;
    TDBG_TRY(tdbg_bisect_state_set(r->trial.engine, &r->before, err));
    TDBG_TRY(tdbg_bisect_trial_step(&r->trial, &info, err));
out:
    return st;
}

/* --- comparing --- */

struct comparison {
    struct tdbg_bisect_runs *runs;
    struct runner run[2];
    int32_t *match; /* (sites of the good run) those of the bad one, or -1 */
    struct tdbg_bisect_part *out;
    int32_t site[2]; /* the first that differs */
};

static enum tdbg_status align(struct comparison *c, struct tdbg_err *err)
{
    const struct runner *a = &c->run[0], *b = &c->run[1];
    c->match = calloc((size_t)a->n_sites + 1, sizeof *c->match);
    if (!c->match)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to compare two runs");
    for (int32_t i = 0; i < a->n_sites; i++) {
        c->match[i] = tdbg_bisect_find_site(b->sites, b->n_sites, &a->sites[i]);
        c->out->n_sites += c->match[i] >= 0;
    }
    if (c->out->n_sites == 0)
        return TDBG_RAISE(err, CANNOT_JUDGE, "the two runs have no site in common");
    return TDBG_OK;
}

static bool differs(const struct comparison *c, int32_t site)
{
    const int32_t other = c->match[site];
    return other >= 0 && c->run[0].seen[site] && c->run[1].seen[other] &&
           c->run[0].digest[site] != c->run[1].digest[other];
}

/* Is anything different in the step that both have run? */
static bool compare(struct comparison *c)
{
    struct tdbg_bisect_part *out = c->out;
    for (int32_t i = c->run[0].n_sites - 1; i >= 0; i--) {
        if (!differs(c, i))
            continue;
        out->n_differ++;
        c->site[0] = i;
        c->site[1] = c->match[i];
    }
    if (out->n_differ == 0)
        return false;
    out->is_found = true;
    out->step = c->run[0].trial.at - 1;
    out->site = c->run[0].sites[c->site[0]];
    out->site.name = tdbg_arena_strdup(out->arena, out->site.name);
    out->site.op = tdbg_arena_strdup(out->arena, out->site.op);
    out->site.unit = tdbg_arena_strdup(out->arena, out->site.unit);
    for (int k = 0; k < 2; k++)
        out->digest[k] = c->run[k].digest[c->site[k]];
    return true;
}

static void list_inputs(struct comparison *c)
{
    struct tdbg_bisect_part *out = c->out;
    const struct runner *a = &c->run[0], *b = &c->run[1];
    int32_t input[TDBG_DATAFLOW_INPUTS];
    char label[TDBG_MAX_SITE_NAME + 40];
    const int n = tdbg_dataflow_inputs(tdbg_engine_graph(b->trial.engine), b->sites, b->n_sites,
                                       c->site[1], input);
    out->inputs_same = true;
    for (int i = 0; i < n; i++) {
        const int32_t theirs = input[i];
        const int32_t ours = tdbg_bisect_find_site(a->sites, a->n_sites, &b->sites[theirs]);
        if (!b->seen[theirs])
            continue;
        struct tdbg_part_input *in = &out->input[out->n_inputs++];
        tdbg_site_label(&b->sites[theirs], label, sizeof label);
        in->label = tdbg_arena_strdup(out->arena, label);
        in->in_both = ours >= 0 && a->seen[ours];
        in->same = in->in_both && a->digest[ours] == b->digest[theirs];
        out->inputs_same &= in->same;
    }
}

static enum tdbg_status repeat(struct comparison *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_part *out = c->out;
    const size_t bytes = (size_t)tdbg_site_elems(&out->site) * tdbg_dtype_bytes(out->site.dtype);
    for (int k = 0; k < 2; k++) {
        struct runner *r = &c->run[k];
        r->value = malloc(bytes + 1);
        TDBG_FAIL_IF(!r->value, NO_MEMORY, "no memory for %s", out->site.name);
        TDBG_TRY(watch(r, c->site[k], err));
        out->repeats[k] = true;
        for (int i = 0; i < TDBG_PART_REPEATS; i++) {
            TDBG_TRY(step_again(r, err));
            out->repeats[k] &= r->digest[c->site[k]] == out->digest[k];
        }
    }
    out->has_elements = c->run[0].elems == c->run[1].elems;
    if (out->has_elements)
        tdbg_compare_tensors(c->run[0].value, c->run[1].value, out->site.dtype, c->run[0].elems,
                             &out->elements);
out:
    return st;
}

/* Is what was executed what the side's trace says? */
static enum tdbg_status compare_recorded(struct comparison *c, int k, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_bisect_part *out = c->out;
    uint64_t digest = 0;
    bool has;
    TDBG_TRY(
        tdbg_bisect_recorded_digest(&c->runs->side[k], out->step, &out->site, &digest, &has, err));
    out->recorded[k] = has ? digest == out->digest[k] : -1;
out:
    return st;
}

enum tdbg_status tdbg_bisect_part_find(struct tdbg_bisect_runs *runs, int64_t last,
                                       struct tdbg_bisect_part *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct comparison c = {.runs = runs, .out = out};
    *out = (struct tdbg_bisect_part){.arena = tdbg_arena_create()};
    TDBG_FAIL_IF(!out->arena, NO_MEMORY, "no memory to compare two runs");
    TDBG_TRY(start(&c.run[0], runs, false, err));
    TDBG_TRY(start(&c.run[1], runs, true, err));
    TDBG_TRY(align(&c, err));
    for (int64_t at = runs->start; at <= last && !out->is_found; at++) {
        TDBG_TRY(step(&c.run[0], err));
        TDBG_TRY(step(&c.run[1], err));
        compare(&c);
    }
    if (!out->is_found)
        goto out;
    list_inputs(&c);
    TDBG_TRY(repeat(&c, err));
    for (int k = 0; k < 2; k++) {
        TDBG_TRY(compare_recorded(&c, k, err));
        out->before[k] = c.run[k].before;
        c.run[k].before = (struct tdbg_bisect_state){0};
    }
out:
    stop(&c.run[0]);
    stop(&c.run[1]);
    free(c.match);
    return st;
}

void tdbg_bisect_part_clear(struct tdbg_bisect_part *part)
{
    tdbg_arena_destroy(part->arena);
    for (int k = 0; k < 2; k++)
        tdbg_bisect_state_clear(&part->before[k]);
    *part = (struct tdbg_bisect_part){0};
}
