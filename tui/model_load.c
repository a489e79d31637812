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

/* The last of steps from .. to that evaluated; -1: none, or they cannot be read. */
static int64_t find_eval_in_rows(struct tdbg_tui_model *m, int64_t from, int64_t to)
{
    enum { ROWS = 64 };
    struct tdbg_step_row rows[ROWS];
    struct tdbg_err err = {0};
    while (to >= from) {
        const int64_t n = to - from + 1 < ROWS ? to - from + 1 : ROWS;
        to -= n;
        if (m->data->read_steps(m->data->context, to + 1, n, rows, &err) != TDBG_OK) {
            say_fault(m, &err);
            return -1;
        }
        for (int64_t i = n; i > 0; i--) {
            if (rows[i - 1].evaluated)
                return to + i;
        }
    }
    return -1;
}

/* The last step up to `step` that evaluated, or -1. */
static int64_t find_eval(struct tdbg_tui_model *m, int64_t step)
{
    struct tdbg_tui_eval_place place = tdbg_tui_series_last_eval(&m->series, step);
    while (!place.is_certain) {
        const int64_t found = find_eval_in_rows(m, place.from, place.to);
        if (found >= 0)
            return found;
        place = tdbg_tui_series_last_eval(&m->series, place.from - 1);
    }
    return place.to;
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
    struct tdbg_err err = {0};
    if (tdbg_tui_zoom_follow(&m->zoom, m->data, m->focus.step, &err) != TDBG_OK)
        say_fault(m, &err);
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

/* The part that is zoomed into comes first: it is looked at. */
static bool load_zoom(struct tdbg_tui_model *m, int *n_blocks)
{
    struct tdbg_err err = {0};
    struct tdbg_tui_zoom *z = &m->zoom;
    for (; z->n && *n_blocks > 0 && !tdbg_tui_series_is_complete(&z->series); --*n_blocks) {
        if (tdbg_tui_series_read_block(&z->series, &z->data, &err) != TDBG_OK)
            say_fault(m, &err);
    }
    return z->n && !tdbg_tui_series_is_complete(&z->series);
}

bool tdbg_tui_model_load_series(struct tdbg_tui_model *m, int n_blocks)
{
    struct tdbg_err err = {0};
    if (load_zoom(m, &n_blocks))
        return true;
    for (int i = 0; i < n_blocks && !tdbg_tui_series_is_complete(&m->series); i++) {
        if (tdbg_tui_series_read_block(&m->series, m->data, &err) != TDBG_OK)
            say_fault(m, &err);
    }
    return !tdbg_tui_series_is_complete(&m->series);
}
