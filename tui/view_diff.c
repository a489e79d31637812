/* Two runs beside each other. See view.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replay/rank_split.h"
#include "tui/columns.h"
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
    VALUE = 8,       /* columns of a number */
};

struct pair_row {
    const struct tdbg_tui_model *m;
    const struct tdbg_tui_two_runs *two;
    int32_t site;
};

enum { TENSOR, NORM_A, NORM_B, MOST, MOST_RELATIVE, DIFFER, N_COLUMNS };

static const struct tdbg_tui_column columns[N_COLUMNS] = {
    [TENSOR] = {"tensor", 60, .percent = 100, .left = true},
    [NORM_A] = {"A |.|2", 9, .at_least = 60},
    [NORM_B] = {"B |.|2", 9, .at_least = 60},
    [MOST] = {"max abs", VALUE, .at_least = 78},
    [MOST_RELATIVE] = {"max rel", VALUE, .at_least = 78},
    [DIFFER] = {"differ", 13, .left = true},
};

static const char *norm_text(char *buf, const struct pair_row *r, const struct tdbg_stats *s)
{
    double norm;
    return tdbg_tui_stats_norm(&r->m->data->sites[r->site], s, &norm)
               ? tdbg_text_exponent(buf, norm)
               : "-";
}

/* The comparison of values, where it is of these steps; NULL: none is. */
static const struct tdbg_tui_parting *compared(const struct pair_row *r)
{
    const struct tdbg_tui_two_cell *cell =
        tdbg_tui_two_runs_compared(r->two, r->m->focus.step, r->site);
    return cell ? cell->found : NULL;
}

/* 1: the same, 0: not, -1: not known; by the digests or, without them, by the values. */
static int is_same(const struct pair_row *r)
{
    const struct tdbg_tui_parting *known = compared(r);
    const int same = tdbg_tui_two_runs_same(r->two, r->site);
    return same < 0 && known ? known->elements.n_differ == 0 : same;
}

static const char *most_text(char *buf, const struct pair_row *r, bool relative)
{
    const struct tdbg_tui_parting *known = compared(r);
    if (is_same(r) == 1)
        return "0";
    if (!known)
        return r->two->asked == r->site ? "..." : "-";
    const double most = relative ? known->most_relative : known->elements.worst.absolute;
    return isnan(most) ? "nan" : tdbg_text_number(buf, most, VALUE);
}

static const char *differ_text(char *buf, const struct pair_row *r)
{
    const struct tdbg_tui_parting *known = compared(r);
    const int same = is_same(r);
    char n[TDBG_NUMBER_BYTES], of[TDBG_NUMBER_BYTES];
    if (!known || same == 1)
        return same < 0 ? "not recorded" : same ? "same" : "differs";
    snprintf(buf, TDBG_CELL_BYTES, "%.8s/%.8s",
             tdbg_text_count(n, (uint64_t)known->elements.n_differ),
             tdbg_text_count(of, (uint64_t)known->elements.n_elems));
    return buf;
}

static const char *cell_text(char *buf, const void *row, int column)
{
    const struct pair_row *r = row;
    switch (column) {
    case TENSOR:
        return tdbg_tui_model_site_label(r->m, r->site, buf);
    case NORM_A:
        return norm_text(buf, r, &r->m->stats[r->site]);
    case NORM_B:
        return r->two->has_b ? norm_text(buf, r, &r->two->stats_b[r->two->match[r->site]]) : "-";
    case MOST:
    case MOST_RELATIVE:
        return most_text(buf, r, column == MOST_RELATIVE);
    default:
        return differ_text(buf, r);
    }
}

static void paint_table(const struct tdbg_tui_model *m, const struct tdbg_tui_two_runs *two,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char name[80] = "tensor";
    const struct tdbg_tui_table t =
        tdbg_tui_table_lay_out(columns, N_COLUMNS, cell_text, grid, rect);
    if (rect.width >= 60)
        snprintf(name, sizeof name, "tensor  %d in both", (int)two->n_rows);
    tdbg_tui_table_paint_titles(&t, name, false);
    for (int y = 1; y < rect.height && two->top + y - 1 < two->n_rows; y++) {
        const struct pair_row row = {m, two, two->row[two->top + y - 1]};
        const bool differs = is_same(&row) == 0;
        tdbg_tui_table_paint_row(&t, y,
                                 &(struct tdbg_tui_row){.row = &row,
                                                        .mark = differs ? '~' : ' ',
                                                        .style = differs ? TDBG_STYLE_YELLOW : 0,
                                                        .is_cursor = row.site == m->focus.site});
    }
    if (two->n_rows == 0)
        tdbg_tui_table_paint_none(&t, "no tensor is in both traces");
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
    const struct tdbg_run_info *info = two->b->info;
    char of_rank[32] = "";
    if (info->world_size > 1 && tdbg_rank_of_lane(info, p->lane) >= 0)
        snprintf(of_rank, sizeof of_rank, " of rank %d", (int)tdbg_rank_of_lane(info, p->lane));
    if (two->parting_state == TDBG_TWO_WAITS)
        snprintf(buf, n_bytes, "first divergence: searching");
    else if (two->parting_state == TDBG_TWO_FAILED)
        snprintf(buf, n_bytes, "first divergence: %s", two->why ? two->why : "not known");
    else if (two->parting_state == TDBG_TWO_NOT_ASKED)
        snprintf(buf, n_bytes, "first divergence: C searches for it");
    else if (p->is_same)
        snprintf(buf, n_bytes, "the same bits in all %" PRId64 " steps of both", p->n_steps);
    else if (p->has_step)
        snprintf(buf, n_bytes, "first divergence: step %" PRId64 " %s%s", p->step,
                 *p->site ? p->site : "(a chain)", of_rank);
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
    const struct tdbg_site *site = &m->data->sites[m->focus.site];
    const struct tdbg_tui_two_cell *cell =
        tdbg_tui_two_runs_compared(two, m->focus.step, m->focus.site);
    const struct tdbg_tui_parting *p = cell ? cell->found : NULL;
    char index[80], a[TDBG_NUMBER_BYTES], b[TDBG_NUMBER_BYTES];
    tdbg_tui_view_heading(grid, (struct tdbg_tui_rect){rect.x, rect.y, rect.width, 1}, false);
    if (!p) {
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, TDBG_STYLE_REVERSE, "%s  %s",
                             site->name, cell ? cell->why : "being read or computed");
        return;
    }
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, TDBG_STYLE_REVERSE,
                         "%s  %" PRId64 " of %" PRId64 " elements differ", site->name,
                         p->elements.n_differ, p->elements.n_elems);
    for (int i = 0; i < p->n_shown && i + 1 < rect.height; i++) {
        snprintf(a, sizeof a, "%.9g", p->element[i].a);
        snprintf(b, sizeof b, "%.9g", p->element[i].b);
        tdbg_tui_grid_printf(
            grid, rect.x + 1, rect.y + 1 + i, rect.width - 1, 0, "%-18s A %-16s B %-16s %s",
            tdbg_compare_index_text(site, p->element[i].index, index, sizeof index), a, b,
            p->element[i].differs ? "differs" : "same");
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
    return tdbg_tui_table_rows(lay_out(two, rect).table);
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
    const int row = two->b ? tdbg_tui_table_row_at(lay_out(two, rect).table, y) : -1;
    return row >= 0 && two->top + row < two->n_rows ? two->top + row : -1;
}
