/* Two runs beside each other. See view.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"
#include "tui/two_runs.h"
#include "tui/view.h"

enum {
    HEAD_ROWS = 3,
    LOW = 16,      /* fewer rows: no curves */
    BAND_ROWS = 8, /* of both curves and the line of steps */
    SIDE_BY_SIDE = 150,
    SIDE_ROWS = 14, /* of charts that stand side by side */
    ELEMENT_ROWS = 8,
    MOST_CONFIG = 3, /* differences in the one line */
};

struct cell {
    const struct tdbg_tui_model *m;
    const struct tdbg_tui_two_runs *two;
    int32_t site;
};

static void text_norm(char *buf, const struct tdbg_stats *s, const struct tdbg_site *site)
{
    if (!tdbg_tui_stats_present(s))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else if (s->nans || s->infs)
        snprintf(buf, TDBG_NUMBER_BYTES, s->nans ? "nan" : "inf");
    else
        tdbg_text_exponent(buf, s->rms * sqrt((double)tdbg_site_elems(site)));
}

static void text_a(char *buf, const struct cell *c)
{
    text_norm(buf, &c->m->stats[c->site], &c->m->data->sites[c->site]);
}

static void text_b(char *buf, const struct cell *c)
{
    if (c->two->has_b)
        text_norm(buf, &c->two->stats_b[c->two->match[c->site]], &c->m->data->sites[c->site]);
    else
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
}

/* The comparison of values, where it is of these steps; NULL: none is. */
static const struct tdbg_tui_two_cell *compared(const struct cell *c)
{
    const struct tdbg_tui_two_cell *cell = &c->two->cell[c->site];
    return cell->is_known && cell->step_a == c->m->focus.step && cell->step_b == c->two->step_b
               ? cell
               : NULL;
}

static void text_most(char *buf, const struct cell *c, bool relative)
{
    const struct tdbg_tui_two_cell *known = compared(c);
    if (tdbg_tui_two_runs_same(c->two, c->site) == 1)
        snprintf(buf, TDBG_NUMBER_BYTES, "0");
    else if (!known)
        snprintf(buf, TDBG_NUMBER_BYTES, c->two->asked == c->site ? "..." : "-");
    else if (isnan(known->most))
        snprintf(buf, TDBG_NUMBER_BYTES, "nan");
    else
        tdbg_text_number(buf, relative ? known->most_relative : known->most, 8);
}

static void text_absolute(char *buf, const struct cell *c)
{
    text_most(buf, c, false);
}

static void text_relative(char *buf, const struct cell *c)
{
    text_most(buf, c, true);
}

static void text_differ(char *buf, const struct cell *c)
{
    const struct tdbg_tui_two_cell *known = compared(c);
    const int same = tdbg_tui_two_runs_same(c->two, c->site);
    char n[TDBG_NUMBER_BYTES], of[TDBG_NUMBER_BYTES];
    if (known && known->n_differ > 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "%.8s/%.8s", tdbg_text_count(n, (uint64_t)known->n_differ),
                 tdbg_text_count(of, (uint64_t)known->n_elems));
    else
        snprintf(buf, TDBG_NUMBER_BYTES, same < 0 ? "not recorded" : same ? "same" : "differs");
}

static const struct column {
    const char *title;
    int width, at_least;
    bool left;
    void (*text)(char *buf, const struct cell *cell);
} columns[] = {
    {"A |.|2", 9, 60, false, text_a},         {"B |.|2", 9, 60, false, text_b},
    {"max abs", 8, 78, false, text_absolute}, {"max rel", 8, 78, false, text_relative},
    {"differ", 12, 0, true, text_differ},
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static int name_columns(int width)
{
    int used = 3;
    for (int i = 0; i < N_COLUMNS; i++)
        used += width >= columns[i].at_least ? columns[i].width + 1 : 0;
    const int left = width - used;
    return left > 60 ? 60 : left;
}

static void put_cells(const struct cell *c, struct tdbg_tui_grid *grid, int x, int y, int width,
                      uint8_t style)
{
    char buf[TDBG_NUMBER_BYTES];
    for (int i = 0; i < N_COLUMNS; i++) {
        if (width < columns[i].at_least)
            continue;
        snprintf(buf, sizeof buf, "%s", columns[i].title);
        if (c)
            columns[i].text(buf, c);
        if (columns[i].left)
            tdbg_tui_grid_put_text(grid, x, y, columns[i].width, style, buf);
        else
            tdbg_tui_grid_put_right(grid, x, y, columns[i].width, style, buf);
        x += columns[i].width + 1;
    }
}

static void paint_tensor(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                         int32_t site, struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    char label[TDBG_SITE_LABEL_BYTES];
    const struct cell cell = {m, two, site};
    const bool focus = site == m->focus.site, differs = tdbg_tui_two_runs_same(two, site) == 0;
    uint8_t style = differs ? TDBG_STYLE_YELLOW : TDBG_STYLE_PLAIN;
    style |= focus ? TDBG_STYLE_BOLD : 0;
    const int name = name_columns(row.width);
    tdbg_tui_grid_put(grid, row.x, row.y, focus ? '>' : ' ', style);
    tdbg_tui_grid_put(grid, row.x + 1, row.y, differs ? '~' : ' ', style);
    tdbg_tui_grid_put_elided(grid, row.x + 2, row.y, name, style,
                             tdbg_tui_model_site_label(m, site, label));
    put_cells(&cell, grid, row.x + 3 + name, row.y, row.width, style);
    if (focus)
        tdbg_tui_grid_set_cursor(grid, row.x, row.y);
}

static void paint_table(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_rect head = {rect.x, rect.y, rect.width, 1};
    tdbg_tui_grid_printf(grid, rect.x + 2, rect.y, name_columns(rect.width), 0,
                         rect.width < 60 ? "tensor" : "tensor  %d in both", (int)two->n_rows);
    put_cells(NULL, grid, rect.x + 3 + name_columns(rect.width), rect.y, rect.width, 0);
    tdbg_tui_view_heading(grid, head, false);
    for (int y = 1; y < rect.height && two->top + y - 1 < two->n_rows; y++)
        paint_tensor(m, two, two->row[two->top + y - 1], grid,
                     (struct tdbg_tui_rect){rect.x, rect.y + y, rect.width, 1});
    if (two->n_rows == 0 && rect.height > 1)
        tdbg_tui_grid_put_text(grid, rect.x + 2, rect.y + 1, rect.width - 2, 0,
                               "no tensor is in both traces");
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Where the runs part, or how far the search is. */
static void parting_text(const struct tdbg_tui_two_runs *two, char *buf, size_t n_bytes)
{
    const struct tdbg_tui_parting *p = &two->parting;
    if (two->parting_state == TDBG_TWO_WAITS)
        snprintf(buf, n_bytes, "first divergence: searching");
    else if (two->parting_state == TDBG_TWO_FAILED)
        snprintf(buf, n_bytes, "first divergence: %s", two->why ? two->why : "not known");
    else if (two->parting_state == TDBG_TWO_NOT_ASKED)
        snprintf(buf, n_bytes, "first divergence: C searches for it");
    else if (p->is_same)
        snprintf(buf, n_bytes, "the same bits in all %" PRId64 " steps of both", p->n_steps);
    else if (p->has_step)
        snprintf(buf, n_bytes, "first divergence: step %" PRId64 " %s", p->step,
                 *p->site ? p->site : "(a chain)");
    else
        snprintf(buf, n_bytes, "cannot be judged: %s", p->reason);
}

static void config_text(const struct tdbg_tui_two_runs *two, char *buf, size_t n_bytes)
{
    size_t used = 0;
    if (!two->has_configs || two->n_config == 0) {
        snprintf(buf, n_bytes, "config: %s", two->has_configs ? "the same" : "not in both");
        return;
    }
    used = (size_t)snprintf(buf, n_bytes, "config (%d differ, v: all)", two->n_config);
    for (int i = 0; i < two->n_config && i < MOST_CONFIG && used + 1 < n_bytes; i++) {
        const struct tdbg_config_difference *d = &two->config[i];
        used += (size_t)snprintf(buf + used, n_bytes - used, "  %s %s -> %s", d->key,
                                 d->a ? d->a : "none", d->b ? d->b : "none");
    }
}

static void paint_head(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                       struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char text[600];
    const struct tdbg_tui_data *a = m->data, *b = two->b;
    snprintf(text, sizeof text, "%sA %s  %lld/%lld | %sB %s  %lld/%lld   %s",
             two->unlinked && !two->side_b ? ">" : "", file_of(a->path), (long long)m->focus.step,
             (long long)(a->first_step + a->n_steps), two->unlinked && two->side_b ? ">" : "",
             file_of(b->path), (long long)two->step_b, (long long)(b->first_step + b->n_steps),
             two->unlinked ? "not linked: Tab changes the side" : "aligned by step and site");
    tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, TDBG_STYLE_BOLD, text);
    parting_text(two, text, sizeof text);
    tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y + rect.height - 1, rect.width - 1, 0, text);
    if (rect.height < HEAD_ROWS)
        return;
    config_text(two, text, sizeof text);
    tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y + 1, rect.width - 1, 0, text);
}

static void paint_configs(const struct tdbg_tui_two_runs *two, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect)
{
    for (int i = 0; i < two->n_config && i < rect.height; i++) {
        const struct tdbg_config_difference *d = &two->config[i];
        if (i + 1 == rect.height && i + 1 < two->n_config)
            tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + i, rect.width - 1, 0,
                                 "and %d more: tdbg diff lists them", two->n_config - i);
        else
            tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + i, rect.width - 1, 0, "%s: %s -> %s",
                                 d->key, d->a ? d->a : "none", d->b ? d->b : "none");
    }
    if (two->n_config == 0)
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                               "the configs do not differ");
}

static void paint_elements(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_parting *p = &two->elements;
    const int32_t site = two->elements_site;
    char index[80], a[TDBG_NUMBER_BYTES], b[TDBG_NUMBER_BYTES];
    tdbg_tui_view_heading(grid, (struct tdbg_tui_rect){rect.x, rect.y, rect.width, 1}, false);
    if (site != m->focus.site || !p->has_elements) {
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, TDBG_STYLE_REVERSE,
                             "elements: %s",
                             two->asked >= 0 ? "being read or computed" : "Enter compares them");
        return;
    }
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, TDBG_STYLE_REVERSE,
                         "%s  %" PRId64 " of %" PRId64 " elements differ",
                         m->data->sites[site].name, p->elements.n_differ, p->elements.n_elems);
    for (int i = 0; i < p->n_shown && i + 1 < rect.height; i++) {
        snprintf(a, sizeof a, "%.9g", p->element[i].a);
        snprintf(b, sizeof b, "%.9g", p->element[i].b);
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + 1 + i, rect.width - 1, 0,
                             "%-18s A %-16s B %-16s %s",
                             tdbg_compare_index_text(&m->data->sites[site], p->element[i].index,
                                                     index, sizeof index),
                             a, b, p->element[i].differs ? "differs" : "same");
    }
}

/* How the body is cut. */
struct layout {
    struct tdbg_tui_rect head, curves, table, elements;
};

static struct layout lay_out(const struct tdbg_tui_two_runs *two, struct tdbg_tui_rect rect)
{
    const int head = rect.height < LOW ? 2 : HEAD_ROWS;
    const int curves = rect.height < LOW ? 0 : rect.width >= SIDE_BY_SIDE ? SIDE_ROWS : BAND_ROWS;
    const int elements = two->shows_elements && rect.height >= LOW ? ELEMENT_ROWS : 0;
    const int y = rect.y + head + (elements && curves == BAND_ROWS ? 0 : curves);
    return (struct layout){
        .head = {rect.x, rect.y, rect.width, head},
        .curves = {rect.x, rect.y + head, rect.width, y - rect.y - head},
        .table = {rect.x, y, rect.width, rect.y + rect.height - y - elements},
        .elements = {rect.x, rect.y + rect.height - elements, rect.width, elements}};
}

int tdbg_tui_view_diff_rows(const struct tdbg_tui_two_runs *two, struct tdbg_tui_rect rect)
{
    const int rows = lay_out(two, rect).table.height - 1;
    return rows > 1 ? rows : 1;
}

static void paint_none(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    static const char *const lines[] = {
        "There is no second run to compare with.",
        "",
        "tdbg diff --tui A.h5 B.h5 opens two; :diff B.h5 opens the second one here.",
        "Then this screen shows what differs in their configs, both loss curves,",
        "the first step and tensor in which they part, and every tensor of a step",
        "of both beside each other."};
    for (int i = 0; i < (int)(sizeof lines / sizeof lines[0]) && i < rect.height; i++)
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y + i, rect.width - 1, 0, lines[i]);
}

/* Both full charts, where there is room for two. */
static void paint_charts(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const int half = rect.width / 2;
    const struct tdbg_tui_series *b = &two->series;
    const bool is_inside = two->step_b >= b->first_step && two->step_b < b->first_step + b->n_steps;
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, half - 1, 0, "A %s",
                         tdbg_tui_metric_name((enum tdbg_tui_metric)m->metric));
    tdbg_tui_grid_printf(grid, rect.x + half + 1, rect.y, half - 1, 0, "B %s",
                         tdbg_tui_metric_name((enum tdbg_tui_metric)m->metric));
    tdbg_tui_view_heading(grid, (struct tdbg_tui_rect){rect.x, rect.y, rect.width, 1}, false);
    tdbg_tui_paint_chart(&m->series, m->metric, m->linear, m->focus.step, grid,
                         (struct tdbg_tui_rect){rect.x, rect.y + 1, half - 1, rect.height - 1});
    tdbg_tui_paint_chart(
        b, m->metric, m->linear, is_inside ? two->step_b : -1, grid,
        (struct tdbg_tui_rect){rect.x + half, rect.y + 1, half - 1, rect.height - 1});
}

void tdbg_tui_view_diff(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    if (rect.height < 3)
        return;
    if (!two->b) {
        paint_none(grid, rect);
        return;
    }
    const struct layout l = lay_out(two, rect);
    paint_head(m, two, grid, l.head);
    if (two->shows_config) {
        paint_configs(two, grid,
                      (struct tdbg_tui_rect){rect.x, rect.y + l.head.height + 1, rect.width,
                                             rect.height - l.head.height - 1});
        return;
    }
    if (l.curves.height > 0 && rect.width >= SIDE_BY_SIDE)
        paint_charts(m, two, grid, l.curves);
    else if (l.curves.height > 0)
        tdbg_tui_paint_bands(&m->series, &two->series, m->metric, m->linear, m->focus.step,
                             two->parting.has_step ? two->parting.step : -1, grid, l.curves);
    paint_table(m, two, grid, l.table);
    if (l.elements.height > 0)
        paint_elements(m, two, grid, l.elements);
}

int32_t tdbg_tui_view_diff_at(const struct tdbg_tui_two_runs *two, struct tdbg_tui_rect rect, int y)
{
    const struct tdbg_tui_rect table = lay_out(two, rect).table;
    const int32_t row = two->top + y - table.y - 1;
    return two->b && y > table.y && y < table.y + table.height && row < two->n_rows ? row : -1;
}
