/* Reading what the focus needs: rows, statistics, evaluations, and the course in the background.
 * A fault becomes a message and an absent value, never an end. See model.h. */
#include "tui/model.h"

#include <math.h>
#include <string.h>

/* Shows an error and forgets it. The first fault of a load stays: later ones follow from it. */
static void say_fault(struct tdbg_tui_model *m, struct tdbg_err *err)
{
    if (!m->message_is_error || !m->message)
        tdbg_tui_model_say_error(m, "%s",
                                 err->message ? err->message : tdbg_status_text(err->status));
    tdbg_err_clear(err);
}

static bool read_row(struct tdbg_tui_model *m, int64_t step, struct tdbg_step_row *row)
{
    struct tdbg_err err = {0};
    if (m->data->read_steps(m->data->context, step, 1, row, &err) == TDBG_OK)
        return true;
    say_fault(m, &err);
    return false;
}

/* Statistics of all sites of a step; all absent where they cannot be read. */
static void read_stats(struct tdbg_tui_model *m, int64_t step, struct tdbg_stats *stats)
{
    struct tdbg_err err = {0};
    enum tdbg_status st = TDBG_NOT_FOUND;
    if (m->data->n_sites > 0 && step >= m->data->first_step)
        st = m->data->read_step_stats(m->data->context, step, stats, &err);
    if (st == TDBG_OK)
        return;
    for (int32_t i = 0; i < m->data->n_sites; i++)
        stats[i] = tdbg_tui_stats_absent;
    if (err.status == TDBG_NOT_FOUND)
        tdbg_err_clear(&err);
    else if (err.status != TDBG_OK)
        say_fault(m, &err);
}

/* One step on or back needs only one read: the other step's statistics are there already. */
static void load_stats(struct tdbg_tui_model *m)
{
    const int64_t step = m->focus.step;
    if (m->stats_step == step)
        return;
    struct tdbg_stats *spare = m->prev_stats;
    if (m->stats_step == step - 1 && m->stats_step >= 0) {
        m->prev_stats = m->stats;
        m->stats = spare;
        read_stats(m, step, m->stats);
    } else if (m->prev_stats_step == step && m->prev_stats_step >= 0) {
        m->prev_stats = m->stats;
        m->stats = spare;
        read_stats(m, step - 1, m->prev_stats);
    } else {
        read_stats(m, step, m->stats);
        read_stats(m, step - 1, m->prev_stats);
    }
    m->stats_step = step;
    m->prev_stats_step = step - 1;
    m->n_broken_sites = 0;
    m->first_broken_site = -1;
    for (int32_t i = m->data->n_sites - 1; i >= 0; i--) {
        if (m->stats[i].nans || m->stats[i].infs) {
            m->n_broken_sites++;
            m->first_broken_site = i;
        }
    }
}

/* The last step up to `step` that evaluated, or -1. Whole buckets are looked up; only the part of a
 * bucket before `step` may have to be read, and a bucket is one step in runs of usual length. */
static int64_t find_eval(struct tdbg_tui_model *m, int64_t step)
{
    const struct tdbg_tui_series *s = &m->series;
    struct tdbg_step_row row;
    if (step < s->first_step)
        return -1;
    int64_t b = (step - s->first_step) / s->bucket_steps;
    if (s->last_eval[b] > step) {
        for (int64_t i = step; i >= s->first_step + b * s->bucket_steps; i--) {
            if (!read_row(m, i, &row))
                return -1;
            if (row.evaluated)
                return i;
        }
        b--;
    }
    while (b >= 0 && s->last_eval[b] < 0)
        b--;
    return b >= 0 ? s->last_eval[b] : -1;
}

static bool read_eval(struct tdbg_tui_model *m, int64_t step, int32_t site, double *out)
{
    struct tdbg_err err = {0};
    struct tdbg_stats stats;
    if (step < 0 || site < 0)
        return false;
    enum tdbg_status st = m->data->read_stats(m->data->context, step, site, &stats, &err);
    if (st == TDBG_NOT_FOUND)
        tdbg_err_clear(&err);
    else if (st != TDBG_OK)
        say_fault(m, &err);
    if (st != TDBG_OK || !tdbg_tui_stats_present(&stats))
        return false;
    *out = stats.nans ? (double)NAN : stats.infs ? (double)INFINITY : stats.mean;
    return true;
}

static void load_evals(struct tdbg_tui_model *m)
{
    m->eval_step = find_eval(m, m->focus.step);
    const int64_t before = m->eval_step < 0 ? -1 : find_eval(m, m->eval_step - 1);
    for (int i = 0; i < 2; i++) {
        struct tdbg_tui_metric_pair *pair = &m->metrics[TDBG_METRIC_EVAL_LOSS + i];
        pair->has_now = read_eval(m, m->eval_step, m->eval_sites[i], &pair->now);
        pair->has_prev = read_eval(m, before, m->eval_sites[i], &pair->prev);
    }
}

/* A row says NaN both for "not recorded" and for a norm that is NaN: the sites tell which. */
static bool grads_are_broken(const struct tdbg_tui_model *m, const struct tdbg_stats *stats)
{
    for (int32_t i = 0; i < m->data->n_sites; i++) {
        if (m->data->sites[i].stage == TDBG_STAGE_GRAD && (stats[i].nans || stats[i].infs))
            return true;
    }
    return false;
}

static void load_rows(struct tdbg_tui_model *m)
{
    struct tdbg_step_row row;
    if (read_row(m, m->focus.step, &row)) {
        for (int i = 0; i < TDBG_METRIC_COUNT; i++)
            m->metrics[i].has_now =
                tdbg_tui_row_metric(&row, (enum tdbg_tui_metric)i, &m->metrics[i].now);
    }
    if (m->focus.step > m->data->first_step && read_row(m, m->focus.step - 1, &row)) {
        for (int i = 0; i < TDBG_METRIC_COUNT; i++)
            m->metrics[i].has_prev =
                tdbg_tui_row_metric(&row, (enum tdbg_tui_metric)i, &m->metrics[i].prev);
    }
    struct tdbg_tui_metric_pair *norm = &m->metrics[TDBG_METRIC_GRAD_NORM];
    if (!norm->has_now && grads_are_broken(m, m->stats))
        norm->has_now = true, norm->now = (double)NAN;
    if (!norm->has_prev && grads_are_broken(m, m->prev_stats))
        norm->has_prev = true, norm->prev = (double)NAN;
}

void tdbg_tui_model_load(struct tdbg_tui_model *m)
{
    if (m->is_loaded && m->loaded_step == m->focus.step && m->loaded_n_read == m->series.n_read)
        return;
    memset(m->metrics, 0, sizeof m->metrics);
    load_stats(m);
    load_rows(m);
    load_evals(m);
    m->is_loaded = true;
    m->loaded_step = m->focus.step;
    m->loaded_n_read = m->series.n_read;
}

bool tdbg_tui_model_load_series(struct tdbg_tui_model *m, int n_blocks)
{
    struct tdbg_err err = {0};
    for (int i = 0; i < n_blocks && !tdbg_tui_series_is_complete(&m->series); i++) {
        if (tdbg_tui_series_read_block(&m->series, m->data, &err) != TDBG_OK)
            say_fault(m, &err);
    }
    return !tdbg_tui_series_is_complete(&m->series);
}
