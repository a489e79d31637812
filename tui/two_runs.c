/* See two_runs.h. */
#include "tui/two_runs.h"

#include <stdlib.h>
#include <string.h>

void tdbg_tui_two_runs_init(struct tdbg_tui_two_runs *t)
{
    *t = (struct tdbg_tui_two_runs){.loaded_a = -1, .loaded_b = -1, .asked = -1, .resting_a = -1};
}

static void forget(struct tdbg_tui_two_cell *cell)
{
    free(cell->found);
    free(cell->why);
    *cell = (struct tdbg_tui_two_cell){.step_a = -1, .step_b = -1};
}

void tdbg_tui_two_runs_free(struct tdbg_tui_two_runs *t)
{
    for (int32_t i = 0; t->cell && i < t->n_cells; i++)
        forget(&t->cell[i]);
    tdbg_tui_series_free(&t->series);
    tdbg_tui_other_close(t->other);
    tdbg_arena_destroy(t->arena);
    free(t->path);
    free(t->match);
    free(t->row);
    free(t->digests_a);
    free(t->digests_b);
    free(t->stats_b);
    free(t->cell);
    free(t->why);
    tdbg_tui_two_runs_init(t);
}

static int32_t find_match(const struct tdbg_tui_data *b, const struct tdbg_site *s, int32_t from)
{
    for (int32_t k = 0; k < b->n_sites; k++) {
        const int32_t i = (from + k) % b->n_sites; /* most lists are alike */
        const struct tdbg_site *other = &b->sites[i];
        if (other->lane == s->lane && other->micro == s->micro && other->dtype == s->dtype &&
            other->ndim == s->ndim && strcmp(other->name, s->name) == 0 &&
            memcmp(other->dims, s->dims, (size_t)s->ndim * sizeof *s->dims) == 0)
            return i;
    }
    return -1;
}

/* The same rank of B, where it has that and its file. */
static void follow_rank(struct tdbg_tui_two_runs *t, int32_t rank)
{
    const char *why;
    const struct tdbg_tui_ranks *ranks = t->b ? t->b->ranks : NULL;
    const struct tdbg_tui_data *data =
        ranks && rank < ranks->n ? ranks->open(ranks->context, rank, &why) : NULL;
    if (data)
        t->b = data;
}

void tdbg_tui_two_runs_match(struct tdbg_tui_two_runs *t, const struct tdbg_tui_data *a)
{
    follow_rank(t, a->info->rank);
    t->n_rows = 0;
    t->loaded_a = t->loaded_b = -1;
    t->asked = -1;
    t->resting_a = -1;
    for (int32_t i = 0; t->b && i < a->n_sites; i++) {
        t->match[i] = find_match(t->b, &a->sites[i], i);
        forget(&t->cell[i]);
        if (t->match[i] >= 0)
            t->row[t->n_rows++] = i;
    }
}

static enum tdbg_status make_lists(struct tdbg_tui_two_runs *t, const struct tdbg_tui_data *a,
                                   const struct tdbg_tui_data *b, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t n_a = (size_t)a->n_sites + 1, n_b = (size_t)b->n_sites + 1;
    t->match = malloc(n_a * sizeof *t->match);
    t->row = malloc(n_a * sizeof *t->row);
    t->digests_a = calloc(n_a, sizeof *t->digests_a);
    t->digests_b = calloc(n_b, sizeof *t->digests_b);
    t->stats_b = calloc(n_b, sizeof *t->stats_b);
    t->cell = calloc(n_a, sizeof *t->cell);
    t->n_cells = a->n_sites;
    TDBG_FAIL_IF(!t->match || !t->row || !t->digests_a || !t->digests_b || !t->stats_b || !t->cell,
                 NO_MEMORY, "no memory for a second trace");
out:
    return st;
}

/* A trace of another program need not have a config. */
static void compare_configs(struct tdbg_tui_two_runs *t, const struct tdbg_tui_model *m,
                            struct tdbg_tui_run_config *config)
{
    struct tdbg_tui_run_config config_b = {0};
    const struct tdbg_cfg_node *a = tdbg_tui_run_config_root(config, m->data->info);
    const struct tdbg_cfg_node *b = tdbg_tui_run_config_root(&config_b, t->b->info);
    t->has_configs = a && b;
    t->arena = tdbg_arena_create();
    if (t->has_configs)
        t->n_config = tdbg_config_diff(a, b, t->arena, &t->config);
    tdbg_tui_run_config_free(&config_b);
}

enum tdbg_status tdbg_tui_two_runs_set(struct tdbg_tui_two_runs *t, const struct tdbg_tui_model *m,
                                       struct tdbg_tui_run_config *config, const char *path,
                                       const struct tdbg_tui_data *b, struct tdbg_tui_other *other,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_two_runs new;
    tdbg_tui_two_runs_init(&new);
    new.path = strdup(path);
    TDBG_FAIL_IF(!new.path, NO_MEMORY, "no memory for a second trace");
    TDBG_TRY(tdbg_tui_series_init(&new.series, b, err));
    TDBG_TRY(make_lists(&new, m->data, b, err));
    new.b = b;
    tdbg_tui_two_runs_match(&new, m->data);
    compare_configs(&new, m, config);
    new.other = other;
    tdbg_tui_two_runs_free(t);
    *t = new;
    return TDBG_OK;
out:
    tdbg_tui_two_runs_free(&new);
    return st;
}

static void say_fault(struct tdbg_tui_model *m, struct tdbg_err *err)
{
    tdbg_tui_model_say_error(m, "%s", err->message ? err->message : "cannot read a trace");
    tdbg_err_clear(err);
}

static bool has_step(const struct tdbg_tui_data *data, int64_t step)
{
    return step >= data->first_step && step < data->first_step + data->n_steps;
}

static bool load_b(struct tdbg_tui_two_runs *t, struct tdbg_tui_model *m)
{
    struct tdbg_err err = {0};
    if (!has_step(t->b, t->step_b))
        return false;
    for (int32_t i = 0; i < t->b->n_sites; i++)
        t->stats_b[i] = tdbg_tui_stats_absent;
    enum tdbg_status st = t->b->read_step_stats(t->b->context, t->step_b, t->stats_b, &err);
    if (st != TDBG_OK && st != TDBG_NOT_FOUND)
        say_fault(m, &err);
    tdbg_err_clear(&err);
    if (t->b->read_digests(t->b->context, t->step_b, t->digests_b, &err) == TDBG_OK)
        return true;
    say_fault(m, &err);
    return false;
}

void tdbg_tui_two_runs_load(struct tdbg_tui_two_runs *t, struct tdbg_tui_model *m)
{
    const struct tdbg_tui_data *a = m->data;
    struct tdbg_err err = {0};
    if (!t->b)
        return;
    if (!t->unlinked)
        t->step_b = m->focus.step;
    if (t->loaded_a != m->focus.step) {
        t->loaded_a = m->focus.step;
        t->has_a = a->read_digests(a->context, t->loaded_a, t->digests_a, &err) == TDBG_OK;
        if (!t->has_a)
            say_fault(m, &err);
    }
    if (t->loaded_b != t->step_b) {
        t->loaded_b = t->step_b;
        t->has_b = load_b(t, m);
    }
}

bool tdbg_tui_two_runs_work(struct tdbg_tui_two_runs *t)
{
    enum { BLOCKS = 4 };
    bool any = false;
    for (int i = 0; t->b && i < BLOCKS && !tdbg_tui_series_is_complete(&t->series); i++) {
        tdbg_tui_series_read_block(&t->series, t->b, NULL); /* what is damaged is blank */
        any = true;
    }
    return any;
}

int tdbg_tui_two_runs_same(const struct tdbg_tui_two_runs *t, int32_t site)
{
    const int32_t other = t->match[site];
    if (!t->has_a || !t->has_b || other < 0 || t->digests_a[site] == 0 || t->digests_b[other] == 0)
        return -1;
    return t->digests_a[site] == t->digests_b[other];
}

const struct tdbg_tui_two_cell *tdbg_tui_two_runs_compared(const struct tdbg_tui_two_runs *t,
                                                           int64_t step_a, int32_t site)
{
    const struct tdbg_tui_two_cell *cell = &t->cell[site];
    return (cell->found || cell->why) && cell->step_a == step_a && cell->step_b == t->step_b ? cell
                                                                                             : NULL;
}

void tdbg_tui_two_runs_set_compared(struct tdbg_tui_two_runs *t, int32_t site, int64_t step_a,
                                    int64_t step_b, const struct tdbg_tui_parting *found,
                                    const char *why)
{
    struct tdbg_tui_two_cell *cell = &t->cell[site];
    forget(cell);
    cell->step_a = step_a;
    cell->step_b = step_b;
    cell->found = found ? malloc(sizeof *found) : NULL;
    if (cell->found)
        *cell->found = *found;
    else
        cell->why = strdup(why ? why : "no memory");
}

void tdbg_tui_two_runs_forget(struct tdbg_tui_two_runs *t, int32_t site)
{
    forget(&t->cell[site]);
}

int32_t tdbg_tui_two_runs_row(const struct tdbg_tui_two_runs *t, int32_t site)
{
    int32_t low = 0, high = t->n_rows;
    while (low < high) {
        const int32_t mid = low + (high - low) / 2;
        if (t->row[mid] <= site)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 ? low - 1 : 0;
}
