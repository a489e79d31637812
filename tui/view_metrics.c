/* The metric table: now, before, change. See view.h. */
#include "tui/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"

enum { NAME_COLUMNS = 10, VALUE_COLUMNS = 9, COLUMN_WIDTH = 39, TWO_COLUMNS = 80 };

const char *tdbg_tui_metric_name(enum tdbg_tui_metric metric)
{
    static const char *const names[] = {
#define METRIC_ROW(name, text, charted) text,
        TDBG_TUI_METRIC_LIST(METRIC_ROW)
#undef METRIC_ROW
    };
    return names[metric];
}

const char *tdbg_tui_metric_text(char *buf, enum tdbg_tui_metric metric, bool present, double value)
{
    if (!present)
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else if (metric == TDBG_METRIC_STEP_TIME)
        tdbg_text_duration(buf, value);
    else if (metric == TDBG_METRIC_EVAL_ACCURACY && isfinite(value))
        snprintf(buf, TDBG_NUMBER_BYTES, "%.2f%%", 100 * value);
    else if (metric == TDBG_METRIC_EPOCH || metric == TDBG_METRIC_SAMPLES)
        snprintf(buf, TDBG_NUMBER_BYTES, "%.0f", value);
    else
        tdbg_text_exponent(buf, value);
    return buf;
}

static void paint_row(const struct tdbg_tui_model *m, enum tdbg_tui_metric metric,
                      struct tdbg_tui_grid *grid, int x, int y)
{
    char buf[TDBG_NUMBER_BYTES];
    const struct tdbg_tui_metric_pair *pair = &m->metrics[metric];
    const bool charted = m->metric == (int)metric;
    const bool broken = pair->has_now && !isfinite(pair->now);
    const uint8_t style = broken    ? TDBG_STYLE_RED | TDBG_STYLE_BOLD
                          : charted ? TDBG_STYLE_BOLD
                                    : TDBG_STYLE_PLAIN;
    if (charted)
        tdbg_tui_grid_put(grid, x, y, '>', TDBG_STYLE_BOLD);
    tdbg_tui_grid_put_text(grid, x + 1, y, NAME_COLUMNS - 1, style, tdbg_tui_metric_name(metric));
    if (broken)
        tdbg_tui_grid_put(grid, x + NAME_COLUMNS, y, '!', style);
    x += NAME_COLUMNS + 1;
    tdbg_tui_grid_put_right(grid, x, y, VALUE_COLUMNS, style,
                            tdbg_tui_metric_text(buf, metric, pair->has_now, pair->now));
    tdbg_tui_grid_put_right(grid, x + VALUE_COLUMNS, y, VALUE_COLUMNS + 1, 0,
                            tdbg_tui_metric_text(buf, metric, pair->has_prev, pair->prev));
    if (pair->has_now && pair->has_prev)
        tdbg_tui_grid_put_right(grid, x + 2 * VALUE_COLUMNS + 1, y, VALUE_COLUMNS, 0,
                                tdbg_text_change(buf, pair->now, pair->prev));
}

static void paint_titles(struct tdbg_tui_grid *grid, int x, int y)
{
    tdbg_tui_grid_put_text(grid, x + 1, y, NAME_COLUMNS, 0, "metric");
    x += NAME_COLUMNS + 1;
    tdbg_tui_grid_put_right(grid, x, y, VALUE_COLUMNS, 0, "now");
    tdbg_tui_grid_put_right(grid, x + VALUE_COLUMNS, y, VALUE_COLUMNS + 1, 0, "prev");
    tdbg_tui_grid_put_right(grid, x + 2 * VALUE_COLUMNS + 1, y, VALUE_COLUMNS, 0, "change");
}

void tdbg_tui_view_watches(const struct tdbg_tui_model *m, const int32_t *sites, int n,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char now_text[TDBG_NUMBER_BYTES], before_text[TDBG_NUMBER_BYTES], change[TDBG_NUMBER_BYTES];
    char label[TDBG_SITE_LABEL_BYTES];
    for (int i = 0; i < n && i < rect.height; i++) {
        const struct tdbg_site *site = &m->data->sites[sites[i]];
        double now, before;
        const bool has_now = tdbg_tui_stats_norm(site, &m->stats[sites[i]], &now);
        const bool has_before = tdbg_tui_stats_norm(site, &m->prev_stats[sites[i]], &before);
        const bool broken = has_now && !isfinite(now);
        const uint8_t style = broken ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
        snprintf(now_text, sizeof now_text, "-");
        snprintf(before_text, sizeof before_text, "-");
        if (has_now)
            tdbg_text_exponent(now_text, now);
        if (has_before)
            tdbg_text_exponent(before_text, before);
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + i, rect.width - 1, style,
                             "%cwatch %-40.40s |.|2 %9s  prev %9s  %s", broken ? '!' : ' ',
                             tdbg_tui_model_site_label(m, sites[i], label), now_text, before_text,
                             has_now && has_before ? tdbg_text_change(change, now, before) : "");
    }
}

/* Who is not as the others in what the all-reduce of the focus tensor gave, and at this step. */
static void paint_ranks(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char odd[80] = "";
    for (int32_t k = 0; k < t->n; k++) {
        const size_t used = strlen(odd);
        if (t->rows[k].out_differs && used + 8 < sizeof odd)
            snprintf(odd + used, sizeof odd - used, "%s%d", used ? ", " : "", (int)k);
    }
    const uint8_t style = *odd ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, style, "allreduce %c%s%s%s",
                         *odd ? '!' : ' ',
                         t->n_read < t->n ? "reading"
                         : *odd           ? "rank "
                                          : "same",
                         odd, *odd ? " !=" : "");
    if (t->in_site >= 0)
        tdbg_tui_grid_put_elided(grid, rect.x + 28, rect.y, rect.width - 28, 0,
                                 tdbg_site_tensor(&m->data->sites[t->in_site]));
    tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y + 1, rect.width - 1, 0, "ranks");
    tdbg_tui_view_rank_strip(m, t, grid,
                             (struct tdbg_tui_rect){rect.x + 10, rect.y + 1, rect.width - 10, 1});
}

void tdbg_tui_view_metrics(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *ranks,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    if (rect.height < 1)
        return;
    const int n_columns = rect.width >= TWO_COLUMNS ? 2 : 1;
    const int rows = (TDBG_METRIC_COUNT + n_columns - 1) / n_columns;
    const bool active = m->pane == TDBG_PANE_METRICS;
    const bool beside = rect.x > 0; /* of the chart: a line parts them */
    for (int c = 0; c < n_columns; c++)
        paint_titles(grid, rect.x + beside + c * (COLUMN_WIDTH + 1), rect.y);
    tdbg_tui_view_heading(grid, rect, active);
    if (beside)
        tdbg_tui_view_divider(grid, rect);
    for (int i = 0; i < TDBG_METRIC_COUNT; i++) {
        const int x = rect.x + beside + i / rows * (COLUMN_WIDTH + 1), y = rect.y + 1 + i % rows;
        if (1 + i % rows >= rect.height)
            continue;
        paint_row(m, (enum tdbg_tui_metric)i, grid, x, y);
        if (active && i == m->metric)
            tdbg_tui_grid_set_cursor(grid, x, y);
    }
    if (ranks->rows && rect.height > rows + 2)
        paint_ranks(
            m, ranks, grid,
            (struct tdbg_tui_rect){rect.x + beside, rect.y + 1 + rows, rect.width - beside, 2});
}
