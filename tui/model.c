/* The model: focus, moves and messages. Reading for the focus is in model_load.c. See model.h. */
#include "tui/model.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t find_site(const struct tdbg_tui_data *data, const char *name)
{
    for (int32_t i = data->n_sites - 1; i >= 0; i--) { /* evaluation comes last */
        if (strcmp(data->sites[i].name, name) == 0)
            return i;
    }
    return -1;
}

enum tdbg_status tdbg_tui_model_init(struct tdbg_tui_model *m, const struct tdbg_tui_data *data,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *m = (struct tdbg_tui_model){
        .data = data,
        .focus = {.step = data->first_step, .rank = data->info->rank},
        .stats_step = -1,
        .prev_stats_step = -1,
        .eval_step = -1,
        .first_broken_site = -1,
        .eval_sites = {find_site(data, "eval/loss"), find_site(data, "eval/accuracy")},
    };
    TDBG_TRY(tdbg_tui_series_init(&m->series, data, err));
    const size_t n = data->n_sites > 0 ? (size_t)data->n_sites : 1;
    m->stats = malloc(n * sizeof *m->stats);
    m->prev_stats = malloc(n * sizeof *m->prev_stats);
    TDBG_FAIL_IF(!m->stats || !m->prev_stats, NO_MEMORY, "no memory for the statistics of a step");
    for (size_t i = 0; i < n; i++)
        m->stats[i] = m->prev_stats[i] = tdbg_tui_stats_absent;
    for (int32_t i = 0; i < data->n_sites; i++)
        m->has_micros = m->has_micros || data->sites[i].micro > 0;
    for (int32_t i = 0; i < data->n_sites; i++)
        m->has_lanes = m->has_lanes || m->has_micros || data->sites[i].lane > 0;
out:
    if (st != TDBG_OK)
        tdbg_tui_model_free(m);
    return st;
}

void tdbg_tui_model_free(struct tdbg_tui_model *m)
{
    tdbg_tui_series_free(&m->series);
    tdbg_tui_zoom_free(&m->zoom);
    free(m->stats);
    free(m->prev_stats);
    free(m->message);
    free(m->pattern);
    *m = (struct tdbg_tui_model){0};
}

enum tdbg_status tdbg_tui_model_set_data(struct tdbg_tui_model *m, const struct tdbg_tui_data *data,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_series series;
    TDBG_ASSERT(data->n_sites == m->data->n_sites);
    TDBG_TRY(tdbg_tui_series_init(&series, data, err));
    series.observe = m->series.observe;
    series.observer = m->series.observer;
    tdbg_tui_series_free(&m->series);
    tdbg_tui_zoom_free(&m->zoom);
    m->series = series;
    m->data = data;
    m->focus.rank = data->info->rank;
    m->stats_step = m->prev_stats_step = -1;
    m->is_loaded = false;
    tdbg_tui_model_goto_step(m, m->focus.step);
out:
    return st;
}

const struct tdbg_tui_series *tdbg_tui_model_course(const struct tdbg_tui_model *m)
{
    return m->zoom.n ? &m->zoom.series : &m->series;
}

int64_t tdbg_tui_model_last_step(const struct tdbg_tui_model *m)
{
    return m->data->first_step + m->data->n_steps - 1;
}

const char *tdbg_tui_model_site_label(const struct tdbg_tui_model *m, int32_t site,
                                      char buf[TDBG_SITE_LABEL_BYTES])
{
    const struct tdbg_site *s = &m->data->sites[site];
    if (m->has_micros && s->lane >= 0 && s->micro >= 0)
        snprintf(buf, TDBG_SITE_LABEL_BYTES, "%s lane %d.%d", s->name, (int)s->lane, (int)s->micro);
    else if (m->has_lanes && s->lane >= 0)
        snprintf(buf, TDBG_SITE_LABEL_BYTES, "%s lane %d", s->name, (int)s->lane);
    else
        snprintf(buf, TDBG_SITE_LABEL_BYTES, "%s", s->name);
    return buf;
}

static void set_message(struct tdbg_tui_model *m, bool is_error, const char *fmt, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    free(m->message);
    m->message = text;
    m->message_is_error = is_error;
}

void tdbg_tui_model_say(struct tdbg_tui_model *m, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_message(m, false, fmt, args);
    va_end(args);
}

void tdbg_tui_model_say_error(struct tdbg_tui_model *m, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_message(m, true, fmt, args);
    va_end(args);
}

void tdbg_tui_model_hush(struct tdbg_tui_model *m)
{
    free(m->message);
    m->message = NULL;
}

void tdbg_tui_model_goto_step(struct tdbg_tui_model *m, int64_t step)
{
    const int64_t first = m->data->first_step, last = tdbg_tui_model_last_step(m);
    if (step < first)
        tdbg_tui_model_say(m, "stopped at the first step, %lld", (long long)first);
    else if (step > last)
        tdbg_tui_model_say(m, "stopped at the last step, %lld", (long long)last);
    m->focus.step = step < first ? first : step > last ? last : step;
}

/* a + b without overflow, for counts that a user typed. */
static int64_t add_clamped(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}

void tdbg_tui_model_move_steps(struct tdbg_tui_model *m, int64_t count)
{
    tdbg_tui_model_goto_step(m, add_clamped(m->focus.step, count));
}

void tdbg_tui_model_move_ops(struct tdbg_tui_model *m, int64_t count)
{
    const int64_t n = m->data->n_sites;
    if (n == 0) {
        tdbg_tui_model_say(m, "this trace has no sites");
        return;
    }
    /* steps and sites as digits of one number: a move and its reverse cancel exactly */
    const int64_t first = m->data->first_step * n, last = (tdbg_tui_model_last_step(m) + 1) * n - 1;
    int64_t at = add_clamped(m->focus.step * n + m->focus.site, count);
    if (at < first) {
        tdbg_tui_model_say(m, "stopped at the first op of the first step");
        at = first;
    } else if (at > last) {
        tdbg_tui_model_say(m, "stopped at the last op of the last step");
        at = last;
    }
    m->focus.step = at / n;
    m->focus.site = (int32_t)(at % n);
}

void tdbg_tui_model_goto_site(struct tdbg_tui_model *m, int64_t site)
{
    const int64_t last = m->data->n_sites - 1;
    if (last < 0)
        return;
    if (site < 0)
        tdbg_tui_model_say(m, "this is the first site");
    else if (site > last)
        tdbg_tui_model_say(m, "this is the last site");
    m->focus.site = (int32_t)(site < 0 ? 0 : site > last ? last : site);
}

void tdbg_tui_model_move_sites(struct tdbg_tui_model *m, int64_t count)
{
    tdbg_tui_model_goto_site(m, add_clamped(m->focus.site, count));
}

bool tdbg_tui_pattern_matches(const char *pattern, const char *text)
{
    if (!strpbrk(pattern, "*?["))
        return strcasestr(text, pattern) != NULL;
    const char *slash = strchr(text, '/');
    return fnmatch(pattern, text, FNM_CASEFOLD) == 0 ||
           (slash && fnmatch(pattern, slash + 1, FNM_CASEFOLD) == 0);
}

bool tdbg_tui_model_site_matches(const struct tdbg_tui_model *m, int32_t site)
{
    char label[TDBG_SITE_LABEL_BYTES];
    return m->pattern &&
           (tdbg_tui_pattern_matches(m->pattern, m->data->sites[site].name) ||
            tdbg_tui_pattern_matches(m->pattern, tdbg_tui_model_site_label(m, site, label)));
}

void tdbg_tui_model_set_pattern(struct tdbg_tui_model *m, const char *pattern)
{
    char *copy = pattern ? strdup(pattern) : NULL;
    if (pattern && !copy)
        return;
    free(m->pattern);
    m->pattern = copy;
}

void tdbg_tui_model_find(struct tdbg_tui_model *m, int64_t count)
{
    const int32_t n = m->data->n_sites;
    int32_t n_hits = 0, n_before = 0; /* hits up to and with the focus going forward, else before */
    if (!m->pattern) {
        tdbg_tui_model_say(m, "nothing to find yet: / asks for a name");
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        if (!tdbg_tui_model_site_matches(m, i))
            continue;
        n_hits++;
        n_before += count > 0 ? i <= m->focus.site : i < m->focus.site;
    }
    if (n_hits == 0) {
        tdbg_tui_model_say_error(m, "no site matches '%s'", m->pattern);
        return;
    }
    int64_t want = count > 0 ? n_before + (count - 1) % n_hits : n_before + count % n_hits;
    const bool around = count > 0 ? n_before + count - 1 >= n_hits : n_before + count < 0;
    want = (want % n_hits + n_hits) % n_hits;
    int64_t left = want;
    for (int32_t i = 0; i < n; i++) {
        if (tdbg_tui_model_site_matches(m, i) && left-- == 0) {
            m->focus.site = i;
            break;
        }
    }
    tdbg_tui_model_say(m, "'%s': %lld of %d%s", m->pattern, (long long)want + 1, (int)n_hits,
                       around ? ", around the end" : "");
}
