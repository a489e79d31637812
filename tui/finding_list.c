/* Gathering and arranging. See finding_list.h. */
#include "tui/finding_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_AT_ONCE = 8 };

void tdbg_tui_findings_init(struct tdbg_tui_findings *f, const struct tdbg_tui_data *data)
{
    *f = (struct tdbg_tui_findings){
        .data = data, .next_row = data->first_step, .zone_at = data->first_step};
    f->stats_every = (data->n_steps + TDBG_FINDINGS_STATS_STEPS - 1) / TDBG_FINDINGS_STATS_STEPS;
    f->stats_total = (data->n_steps + f->stats_every - 1) / f->stats_every;
    if (data->n_sites == 0)
        f->stats_total = 0;
    f->stats = malloc(((size_t)data->n_sites + 1) * sizeof *f->stats);
    f->is_faulty = calloc((size_t)data->n_sites + 1, sizeof *f->is_faulty);
    for (int i = 0; tdbg_tui_rules[i].name; i++) {
        TDBG_ASSERT(i < TDBG_FINDINGS_RULES);
        f->state[i] = calloc(1, tdbg_tui_rules[i].state_bytes + 1);
        if (!f->state[i] || !f->stats || !f->is_faulty)
            TDBG_BUG("no memory for the findings");
    }
}

void tdbg_tui_findings_free(struct tdbg_tui_findings *f)
{
    for (int i = 0; tdbg_tui_rules[i].name; i++) {
        if (tdbg_tui_rules[i].release && f->state[i])
            tdbg_tui_rules[i].release(f->state[i]);
        free(f->state[i]);
    }
    free(f->stats);
    free(f->is_faulty);
    *f = (struct tdbg_tui_findings){0};
}

/* Lanes and micro-batches only where there are several. */
void tdbg_tui_findings_label(const struct tdbg_tui_findings *f, int32_t site,
                             char buf[TDBG_SITE_LABEL_BYTES])
{
    const struct tdbg_site *s = &f->data->sites[site];
    const struct tdbg_run_info *info = f->data->info;
    if (info->accumulate > 1)
        tdbg_site_label(s, buf, TDBG_SITE_LABEL_BYTES);
    else if (info->lanes > 1 && s->lane >= 0)
        snprintf(buf, TDBG_SITE_LABEL_BYTES, "%s lane %d", s->name, (int)s->lane);
    else
        snprintf(buf, TDBG_SITE_LABEL_BYTES, "%s", s->name);
}

struct tdbg_tui_finding *tdbg_tui_findings_add(struct tdbg_tui_findings *f, char severity,
                                               int64_t step, int32_t site, const char *what)
{
    if (f->n == TDBG_FINDINGS) {
        f->n_left_out++;
        return NULL;
    }
    struct tdbg_tui_finding *new = &f->list[f->n++];
    *new = (struct tdbg_tui_finding){
        .severity = severity, .step = step, .last = step, .count = 1, .site = site};
    snprintf(new->what, sizeof new->what, "%s", what);
    if (site >= 0)
        tdbg_tui_findings_label(f, site, new->where);
    return new;
}

void tdbg_tui_finding_extend(struct tdbg_tui_finding *finding, int64_t step)
{
    if (!finding)
        return;
    finding->count++;
    finding->step = step < finding->step ? step : finding->step;
    finding->last = step > finding->last ? step : finding->last;
}

void tdbg_tui_findings_want(struct tdbg_tui_findings *f, int64_t step)
{
    if (f->n_wanted < TDBG_FINDINGS_WANTED)
        f->wanted[f->n_wanted++] = step;
}

void tdbg_tui_findings_see_rows(void *context, const struct tdbg_step_row *rows, int64_t n)
{
    struct tdbg_tui_findings *f = context;
    for (int64_t i = 0; i < n; i++) {
        if (rows[i].step < f->next_row)
            continue;
        f->next_row = rows[i].step + 1;
        for (int r = 0; tdbg_tui_rules[r].name; r++) {
            if (tdbg_tui_rules[r].row)
                tdbg_tui_rules[r].row(f, f->state[r], &rows[i]);
        }
    }
}

static bool is_regular(const struct tdbg_tui_findings *f, int64_t step)
{
    return (step - f->data->first_step) % f->stats_every == 0;
}

/* A step whose statistics cannot be read is passed over: the other screens say why. */
static void look_at(struct tdbg_tui_findings *f, int64_t step)
{
    const struct tdbg_tui_data *data = f->data;
    if (data->n_sites == 0 || data->read_step_stats(data->context, step, f->stats, NULL) != TDBG_OK)
        return;
    for (int r = 0; tdbg_tui_rules[r].name; r++) {
        if (tdbg_tui_rules[r].stats)
            tdbg_tui_rules[r].stats(f, f->state[r], step, f->stats);
    }
}

/* A regular one that was wanted was looked at before. */
static bool was_wanted(const struct tdbg_tui_findings *f, int64_t step)
{
    for (int i = 0; i < f->wanted_at; i++) {
        if (f->wanted[i] == step)
            return true;
    }
    return false;
}

/* Stages of which a tensor is not finite in the zone, and none was before. */
static int count_new(const struct tdbg_tui_findings *f)
{
    bool is_new[TDBG_STAGE_COUNT] = {false};
    int n = 0;
    for (int32_t i = 0; i < f->data->n_sites; i++) {
        const enum tdbg_stage stage = f->data->sites[i].stage;
        n += f->is_faulty[i] && !f->has_fault[stage] && !is_new[stage];
        is_new[stage] |= f->is_faulty[i];
    }
    return n;
}

/* Has steps looked at in which a stage is not finite for the first time; returns how many stages.
 */
static int want_faults(struct tdbg_tui_findings *f, int64_t step)
{
    int n = 0;
    if (f->data->read_step_stats(f->data->context, step, f->stats, NULL) != TDBG_OK)
        return 0;
    for (int32_t i = 0; i < f->data->n_sites; i++) {
        bool *has = &f->has_fault[f->data->sites[i].stage];
        n += !*has && (f->stats[i].nans || f->stats[i].infs);
        *has |= f->stats[i].nans || f->stats[i].infs;
    }
    if (n > 0)
        f->wanted[f->n_wanted++] = step;
    return n;
}

/* Goes through the next zone, step by step where something begins there; false: no more zones. */
static bool look_through_zone(struct tdbg_tui_findings *f)
{
    const struct tdbg_tui_data *data = f->data;
    const int64_t end = data->first_step + data->n_steps;
    int64_t first, n;
    if (!data->find_faults || data->n_sites == 0)
        return false;
    while (f->zone_at < end &&
           !data->find_faults(data->context, f->zone_at, &first, &n, f->is_faulty))
        f->zone_at++;
    if (f->zone_at >= end)
        return false;
    int left = count_new(f);
    for (int64_t step = first; left > 0 && step < first + n; step++)
        left -= want_faults(f, step);
    f->zone_at = first + n;
    return true;
}

/* The next step's statistics; false: all are looked at. */
static bool look_at_next(struct tdbg_tui_findings *f)
{
    if (f->wanted_at < f->n_wanted) {
        const int64_t step = f->wanted[f->wanted_at];
        const int64_t index = (step - f->data->first_step) / f->stats_every;
        if (!was_wanted(f, step) && (!is_regular(f, step) || index >= f->stats_done))
            look_at(f, step);
        f->wanted_at++;
        return true;
    }
    if (look_through_zone(f))
        return true;
    if (f->stats_done == f->stats_total)
        return false;
    const int64_t step = f->data->first_step + f->stats_done++ * f->stats_every;
    if (!was_wanted(f, step))
        look_at(f, step);
    return true;
}

static bool do_slice(struct tdbg_tui_findings *f, struct tdbg_tui_model *m)
{
    const struct tdbg_tui_rule *rule = &tdbg_tui_rules[f->slice_rule];
    if (!rule->name)
        return false;
    if (!rule->slice || !rule->slice(f, f->state[f->slice_rule], m))
        f->slice_rule++;
    return true;
}

bool tdbg_tui_findings_work(struct tdbg_tui_findings *f, struct tdbg_tui_model *m)
{
    if (f->is_complete)
        return false;
    if (!tdbg_tui_series_is_complete(&m->series))
        return false; /* rows first, of which others take care: they say what is of interest */
    for (int i = 0; i < STEPS_AT_ONCE; i++) {
        if (look_at_next(f))
            continue;
        f->is_complete = !do_slice(f, m);
        return true; /* that it is complete is worth a paint too */
    }
    return true;
}

void tdbg_tui_findings_grow(struct tdbg_tui_findings *f)
{
    if (f->data->n_sites > 0)
        f->stats_total = (f->data->n_steps + f->stats_every - 1) / f->stats_every;
    f->is_complete = false;
}

struct key {
    const struct tdbg_tui_finding *finding;
    int index;
    bool by_severity;
    int64_t near;
};

static int compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    int64_t p = x->finding->step, q = y->finding->step;
    if (x->near >= 0) {
        p = p < x->near ? x->near - p : p - x->near;
        q = q < x->near ? x->near - q : q - x->near;
    } else if (x->by_severity && x->finding->severity != y->finding->severity) {
        return x->finding->severity == '!' ? -1 : 1;
    }
    return p < q ? -1 : p > q ? 1 : x->index - y->index;
}

static bool passes(const struct tdbg_tui_findings *f, const struct tdbg_tui_finding *finding)
{
    return f->filter == TDBG_FILTER_ALL ||
           (finding->severity == '!') == (f->filter == TDBG_FILTER_ERRORS);
}

/* The findings that pass (near < 0), or all, into order; returns how many. */
static int arrange(const struct tdbg_tui_findings *f, int64_t near, int order[TDBG_FINDINGS])
{
    struct key keys[TDBG_FINDINGS];
    int n = 0;
    for (int i = 0; i < f->n; i++) {
        if (near >= 0 || passes(f, &f->list[i]))
            keys[n++] = (struct key){&f->list[i], i, f->by_severity, near};
    }
    qsort(keys, (size_t)n, sizeof keys[0], compare);
    for (int i = 0; i < n; i++)
        order[i] = keys[i].index;
    return n;
}

void tdbg_tui_findings_arrange(struct tdbg_tui_findings *f)
{
    const int before = f->at < f->n_shown ? f->order[f->at] : -1;
    f->n_shown = arrange(f, -1, f->order);
    for (int i = 0; i < f->n_shown; i++) {
        if (f->order[i] == before)
            f->at = i; /* the cursor stays on its finding */
    }
    if (f->at >= f->n_shown)
        f->at = f->n_shown > 0 ? f->n_shown - 1 : 0;
}

void tdbg_tui_findings_arrange_near(struct tdbg_tui_findings *f, int64_t step)
{
    f->n_near = arrange(f, step, f->near_order);
}

struct tdbg_tui_finding *tdbg_tui_findings_at(struct tdbg_tui_findings *f)
{
    return f->at < f->n_shown ? &f->list[f->order[f->at]] : NULL;
}
