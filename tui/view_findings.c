/* The list of findings, and the few around the focus. See view.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tui/finding_list.h"
#include "tui/number_text.h"
#include "tui/view.h"

enum { BELOW_ROWS = 5, LOW = 12, WIDE = 70 };

static const char *severity_word(char severity)
{
    return severity == '!' ? "error" : "warn";
}

static uint8_t severity_style(char severity)
{
    return severity == '!' ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_YELLOW;
}

/* How far the gathering is; "" where it is done. */
static void progress_text(const struct tdbg_tui_findings *f, const struct tdbg_tui_series *series,
                          char *buf, size_t n_bytes)
{
    buf[0] = 0;
    if (f->is_complete)
        return;
    if (!tdbg_tui_series_is_complete(series))
        snprintf(buf, n_bytes, "reading rows %lld%%",
                 (long long)(100 * series->n_read / series->n_steps));
    else if (f->stats_done < f->stats_total)
        snprintf(buf, n_bytes, "statistics %lld%%",
                 (long long)(100 * f->stats_done / f->stats_total));
    else
        snprintf(buf, n_bytes, "looking further");
}

static void paint_head(const struct tdbg_tui_model *m, const struct tdbg_tui_findings *f,
                       struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    static const char *const filters[] = {"all", "errors", "warnings"};
    char progress[40];
    int n_errors = 0;
    for (int i = 0; i < f->n; i++)
        n_errors += f->list[i].severity == '!';
    progress_text(f, &m->series, progress, sizeof progress);
    const int used = tdbg_tui_grid_printf(
        grid, rect.x + 1, rect.y, rect.width - 1, 0,
        rect.width < WIDE ? "%d findings (%d errors)" : "%d findings  (%d errors, %d warnings)",
        f->n + f->n_left_out, n_errors, f->n - n_errors);
    if (rect.width >= WIDE)
        tdbg_tui_grid_printf(grid, rect.x + 3 + used, rect.y, rect.width - used - 3, 0,
                             "sort: %s (v)  filter: %s (f)",
                             f->by_severity ? "severity" : "first step", filters[f->filter]);
    tdbg_tui_grid_put_right(grid, rect.x + 1 + used + 1, rect.y, rect.width - used - 3, 0,
                            rect.width < WIDE || used < 40 ? progress : "");
}

static void paint_titles(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    tdbg_tui_grid_put_text(
        grid, rect.x + 1, rect.y, rect.width - 1, 0,
        rect.width < WIDE ? "       step  what"
                          : "    sev   first step   count  what                         where");
    tdbg_tui_view_heading(grid, (struct tdbg_tui_rect){rect.x, rect.y, rect.width, 1}, false);
}

static void paint_finding(const struct tdbg_tui_finding *finding, bool is_cursor,
                          struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    char count[TDBG_NUMBER_BYTES];
    uint8_t style = severity_style(finding->severity);
    if (is_cursor)
        style |= TDBG_STYLE_BOLD;
    tdbg_tui_grid_put(grid, row.x, row.y, is_cursor ? '>' : ' ', style);
    tdbg_tui_grid_put(grid, row.x + 1, row.y, (uint32_t)finding->severity, style);
    if (row.width < WIDE) {
        const int used = tdbg_tui_grid_printf(grid, row.x + 3, row.y, row.width - 3, style,
                                              "%9" PRId64 "  %s ", finding->step, finding->what);
        tdbg_tui_grid_put_elided(grid, row.x + 3 + used, row.y, row.width - 3 - used, style,
                                 finding->where);
        return;
    }
    tdbg_tui_grid_printf(grid, row.x + 5, row.y, 54, style, "%-5s %10" PRId64 " %7s  %s",
                         severity_word(finding->severity), finding->step,
                         tdbg_text_count(count, (uint64_t)finding->count), finding->what);
    tdbg_tui_grid_put_elided(grid, row.x + 60, row.y, row.width - 60, style, finding->where);
}

static void paint_below(const struct tdbg_tui_finding *finding, struct tdbg_tui_grid *grid,
                        struct tdbg_tui_rect rect)
{
    if (!finding)
        return;
    if (finding->last > finding->step)
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                             "steps %" PRId64 " to %" PRId64, finding->step, finding->last);
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + 1, rect.width - 1, 0, "why: %s", finding->why);
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + 2, rect.width - 1, 0, "try: %s",
                         finding->advice);
    if (*finding->condition)
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + 3, rect.width - 1, 0, "break on it: :b %s",
                             finding->condition);
}

int tdbg_tui_view_findings_rows(struct tdbg_tui_rect rect)
{
    const int rows = rect.height - 2 - (rect.height < LOW ? 0 : BELOW_ROWS);
    return rows > 0 ? rows : 1;
}

static void paint_none(const struct tdbg_tui_findings *f, struct tdbg_tui_grid *grid,
                       struct tdbg_tui_rect rect)
{
    if (f->n > 0)
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                               "none of this kind: f shows others");
    else if (f->is_complete)
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                             "nothing found in %" PRId64 " rows and the statistics of %" PRId64
                             " steps",
                             f->next_row - f->data->first_step, f->stats_done);
}

void tdbg_tui_view_findings(const struct tdbg_tui_model *m, const struct tdbg_tui_findings *f,
                            struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    if (rect.height < 3)
        return;
    const int visible = tdbg_tui_view_findings_rows(rect);
    paint_head(m, f, grid, rect);
    paint_titles(grid, (struct tdbg_tui_rect){rect.x, rect.y + 1, rect.width, 1});
    for (int i = 0; i < visible && f->top + i < f->n_shown; i++) {
        const struct tdbg_tui_rect row = {rect.x, rect.y + 2 + i, rect.width, 1};
        const bool is_cursor = f->top + i == f->at;
        paint_finding(&f->list[f->order[f->top + i]], is_cursor, grid, row);
        if (is_cursor)
            tdbg_tui_grid_set_cursor(grid, row.x, row.y);
    }
    if (f->n_shown == 0)
        paint_none(f, grid, (struct tdbg_tui_rect){rect.x, rect.y + 2, rect.width, 1});
    if (rect.height >= LOW)
        paint_below(f->at < f->n_shown ? &f->list[f->order[f->at]] : NULL, grid,
                    (struct tdbg_tui_rect){rect.x, rect.y + rect.height - BELOW_ROWS + 1,
                                           rect.width, BELOW_ROWS - 1});
}

void tdbg_tui_view_findings_near(const struct tdbg_tui_model *m, const struct tdbg_tui_findings *f,
                                 struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char progress[40];
    if (rect.height < 1)
        return;
    progress_text(f, &m->series, progress, sizeof progress);
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 2, 0, "findings near this step  %d",
                         f->n + f->n_left_out);
    tdbg_tui_grid_put_right(grid, rect.x + 30, rect.y, rect.width - 31, 0, progress);
    tdbg_tui_view_heading(grid, rect, false);
    tdbg_tui_view_divider(grid, rect);
    for (int i = 0; i + 1 < rect.height && i < f->n_near; i++) {
        const struct tdbg_tui_finding *finding = &f->list[f->near_order[i]];
        const uint8_t style = severity_style(finding->severity);
        const int y = rect.y + 1 + i;
        tdbg_tui_grid_put(grid, rect.x + 1, y, (uint32_t)finding->severity, style);
        const int used = tdbg_tui_grid_printf(grid, rect.x + 2, y, rect.width - 2, style,
                                              "%8" PRId64 "  %s  ", finding->step, finding->what);
        tdbg_tui_grid_put_elided(grid, rect.x + 2 + used, y, rect.width - 2 - used, style,
                                 finding->where);
    }
    if (f->n == 0 && f->is_complete && rect.height > 1)
        tdbg_tui_grid_put_text(grid, rect.x + 2, rect.y + 1, rect.width - 2, 0, "none");
}
