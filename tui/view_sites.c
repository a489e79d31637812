/* The site list: a table of columns, of which those are shown that the width has room for. See
 * view.h. */
#include "tui/view.h"

#include <math.h>
#include <stdio.h>

#include "tui/number_text.h"

/* What a column's text is made of. */
struct cell {
    const struct tdbg_site *site;
    const struct tdbg_stats *now, *prev;
};

static void text_op(char *buf, const struct cell *c, int width)
{
    snprintf(buf, TDBG_NUMBER_BYTES, "%.*s", width, c->site->op);
}

static void text_dtype(char *buf, const struct cell *c, int width)
{
    snprintf(buf, TDBG_NUMBER_BYTES, "%.*s", width, tdbg_dtype_text(c->site->dtype));
}

static void text_shape(char *buf, const struct cell *c, int width)
{
    (void)width;
    tdbg_text_shape(buf, c->site);
}

static void text_value(char *buf, double value, int width)
{
    if (isnan(value)) /* nothing finite to tell about */
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_number(buf, value, width);
}

static void text_min(char *buf, const struct cell *c, int width)
{
    text_value(buf, c->now->min, width);
}

static void text_max(char *buf, const struct cell *c, int width)
{
    text_value(buf, c->now->max, width);
}

static void text_mean(char *buf, const struct cell *c, int width)
{
    text_value(buf, c->now->mean, width);
}

static void text_rms(char *buf, const struct cell *c, int width)
{
    text_value(buf, c->now->rms, width);
}

static void text_prev_rms(char *buf, const struct cell *c, int width)
{
    text_value(buf, c->prev->rms, width);
}

static void text_rms_change(char *buf, const struct cell *c, int width)
{
    (void)width;
    if (isnan(c->now->rms) || isnan(c->prev->rms))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_change(buf, c->now->rms, c->prev->rms);
}

static void text_count(char *buf, const struct cell *c, uint64_t count)
{
    if (!tdbg_tui_stats_present(c->now))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_count(buf, count);
}

static void text_zeros(char *buf, const struct cell *c, int width)
{
    (void)width;
    if (!tdbg_tui_stats_present(c->now))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_percent(buf, c->now->zeros, tdbg_site_elems(c->site));
}

static void text_nans(char *buf, const struct cell *c, int width)
{
    (void)width;
    text_count(buf, c, c->now->nans);
}

static void text_infs(char *buf, const struct cell *c, int width)
{
    (void)width;
    text_count(buf, c, c->now->infs);
}

enum { MARK_COLUMNS = 2, NARROWEST_NAME = 14, MAX_COLUMNS = 16 };

/* Columns in the order of the screen. rank: how early a column gets room; the name gets what is
 * left over. width: without the space before it. */
static const struct column {
    const char *title;
    int width, rank, at_least; /* at_least: width of the list from which on it is shown */
    bool left;
    void (*text)(char *buf, const struct cell *cell, int width);
} columns[] = {
    {"op", 16, 9, 120, true, text_op},
    {"dtype", 5, 12, 120, true, text_dtype},
    {"shape", 10, 5, 0, false, text_shape},
    {"min", 7, 3, 0, false, text_min},
    {"max", 7, 2, 0, false, text_max},
    {"mean", 7, 4, 0, false, text_mean},
    {"rms", 7, 1, 0, false, text_rms},
    {"rms prev", 8, 10, 120, false, text_prev_rms},
    {"change", 8, 11, 120, false, text_rms_change},
    {"zero", 4, 6, 0, false, text_zeros},
    {"nan", 4, 0, 0, false, text_nans},
    {"inf", 4, 0, 0, false, text_infs},
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

/* Which columns are shown; returns the columns that are left for the name. */
static int choose_columns(int width, bool shown[N_COLUMNS])
{
    int room = width - MARK_COLUMNS;
    for (int i = 0; i < N_COLUMNS; i++)
        shown[i] = false;
    for (int rank = 0; rank <= MAX_COLUMNS; rank++) {
        for (int i = 0; i < N_COLUMNS; i++) {
            const struct column *c = &columns[i];
            if (c->rank != rank || width < c->at_least || room - c->width - 1 < NARROWEST_NAME)
                continue;
            shown[i] = true;
            room -= c->width + 1;
        }
    }
    return room;
}

static void put_cell(struct tdbg_tui_grid *grid, int x, int y, const struct column *c,
                     uint8_t style, const char *text)
{
    if (c->left || tdbg_tui_text_width(grid, text) > c->width)
        tdbg_tui_grid_put_elided(grid, x, y, c->width, style, text);
    else
        tdbg_tui_grid_put_right(grid, x, y, c->width, style, text);
}

static void paint_site(const struct tdbg_tui_model *m, int32_t site, const bool shown[N_COLUMNS],
                       int name_columns, struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    char buf[TDBG_NUMBER_BYTES], label[TDBG_SITE_LABEL_BYTES];
    const struct cell cell = {&m->data->sites[site], &m->stats[site], &m->prev_stats[site]};
    const bool broken = cell.now->nans || cell.now->infs, focus = site == m->focus.site;
    uint8_t style = broken ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    uint8_t name_style = style;
    if (focus)
        style |= TDBG_STYLE_BOLD;
    if (tdbg_tui_model_site_matches(m, site))
        name_style |= TDBG_STYLE_UNDERLINE;
    tdbg_tui_grid_put(grid, row.x, row.y, focus ? '>' : ' ', style);
    tdbg_tui_grid_put(grid, row.x + 1, row.y, broken ? '!' : ' ', style);
    tdbg_tui_model_site_label(m, site, label);
    tdbg_tui_grid_put_elided(grid, row.x + MARK_COLUMNS, row.y, name_columns,
                             (uint8_t)(name_style | (focus ? TDBG_STYLE_BOLD : 0)), label);
    int x = row.x + MARK_COLUMNS + name_columns + 1;
    for (int i = 0; i < N_COLUMNS; i++) {
        if (!shown[i])
            continue;
        columns[i].text(buf, &cell, columns[i].width);
        put_cell(grid, x, row.y, &columns[i], style, buf);
        x += columns[i].width + 1;
    }
}

static void paint_titles(const struct tdbg_tui_model *m, const bool shown[N_COLUMNS],
                         int name_columns, struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const int32_t n = m->data->n_sites, bottom = m->sites_top + rect.height - 2;
    tdbg_tui_grid_printf(grid, rect.x + MARK_COLUMNS, rect.y, name_columns, 0,
                         name_columns >= 20 && n > 0 ? "site  %d..%d of %d" : "site",
                         (int)m->sites_top, (int)(bottom < n - 1 ? bottom : n - 1), (int)n);
    int x = rect.x + MARK_COLUMNS + name_columns + 1;
    for (int i = 0; i < N_COLUMNS; i++) {
        if (!shown[i])
            continue;
        put_cell(grid, x, rect.y, &columns[i], 0, columns[i].title);
        x += columns[i].width + 1;
    }
    tdbg_tui_view_heading(grid, rect, m->pane == TDBG_PANE_SITES);
}

void tdbg_tui_view_sites(const struct tdbg_tui_model *m, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect)
{
    bool shown[N_COLUMNS];
    if (rect.height < 1)
        return;
    const int name_columns = choose_columns(rect.width, shown);
    paint_titles(m, shown, name_columns, grid, rect);
    for (int y = 1; y < rect.height; y++) {
        const int64_t site = m->sites_top + y - 1;
        const struct tdbg_tui_rect row = {rect.x, rect.y + y, rect.width, 1};
        if (site >= m->data->n_sites)
            break;
        paint_site(m, (int32_t)site, shown, name_columns, grid, row);
        if (site == m->focus.site && m->pane != TDBG_PANE_METRICS)
            tdbg_tui_grid_set_cursor(grid, row.x, row.y);
    }
    if (m->data->n_sites == 0 && rect.height > 1)
        tdbg_tui_grid_put_text(grid, rect.x + MARK_COLUMNS, rect.y + 1, rect.width - MARK_COLUMNS,
                               0, "no sites were recorded");
}
