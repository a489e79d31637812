/* See view_ops.h. Inputs and output are in view_flow.c. */
#include "tui/view_ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/columns.h"
#include "tui/view.h"

enum { VALUE = 8 }; /* columns of a number */

struct tdbg_tui_ops_panes tdbg_tui_ops_panes_lay_out(const struct tdbg_tui_frame *frame,
                                                     bool shows_flow)
{
    enum { FLOW_ROWS = 8 };
    struct tdbg_tui_ops_panes p = {.phases = {.height = 0}};
    const struct tdbg_tui_rect body = frame->body;
    if (frame->too_small)
        return p;
    p.phases = (struct tdbg_tui_rect){body.x, body.y, body.width, 1};
    p.list = (struct tdbg_tui_rect){body.x, body.y + 1, body.width, body.height - 1};
    if (!frame->has_room) {
        if (shows_flow) {
            p.flow = p.list;
            p.list.height = 0;
        }
        return p;
    }
    const int flow = body.height / 3 > FLOW_ROWS ? body.height / 3 : FLOW_ROWS;
    p.list.height -= flow;
    p.flow = (struct tdbg_tui_rect){body.x, p.list.y + p.list.height, body.width, flow};
    return p;
}

const char *tdbg_tui_absmax_text(char *buf, const struct tdbg_stats *s, int width)
{
    if (s->infs > 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "inf");
    else if (s->nans > 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "nan");
    else if (isnan(s->min))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_number(buf, fmax(fabs(s->min), fabs(s->max)), width);
    return buf;
}

/* "fwd [=====]": full where the focus is behind it, up to '>' where it is inside. */
static int paint_phase(const struct tdbg_tui_model *m, enum tdbg_tui_phase phase, int32_t first,
                       int32_t n, int width, struct tdbg_tui_grid *grid, int x, int y)
{
    const int32_t at = m->focus.site - first;
    const bool is_here = at >= 0 && at < n;
    const int from = x;
    const uint8_t style = is_here ? TDBG_STYLE_BOLD : 0;
    x += tdbg_tui_grid_printf(grid, x, y, grid->width - x, style, "%s [",
                              tdbg_tui_phase_text(phase));
    const int place = is_here ? (int)((int64_t)at * width / n) : at < 0 ? -1 : width;
    for (int i = 0; i < width; i++)
        tdbg_tui_grid_put(grid, x + i, y, i == place ? '>' : i < place ? '=' : '-', style);
    tdbg_tui_grid_put(grid, x + width, y, ']', style);
    return x + width + 1 - from;
}

/* Wide bars for what takes most of a step. */
static void paint_phases(const struct tdbg_tui_model *m, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect row)
{
    int32_t n[TDBG_PHASE_COUNT] = {0}, first = 0;
    int texts = 0, parts = 0, x = row.x + 1;
    char time[TDBG_NUMBER_BYTES] = "";
    const struct tdbg_tui_metric_pair *duration = &m->metrics[TDBG_METRIC_STEP_TIME];
    for (int32_t i = 0; i < m->data->n_sites; i++)
        n[tdbg_tui_phase_of(&m->data->sites[i])]++;
    for (int p = 0; p < TDBG_PHASE_COUNT; p++) {
        if (n[p] == 0)
            continue;
        texts += (int)strlen(tdbg_tui_phase_text((enum tdbg_tui_phase)p)) + 4;
        parts += p == TDBG_PHASE_FORWARD || p == TDBG_PHASE_BACKWARD ? 2 : 1;
    }
    if (duration->has_now)
        tdbg_text_duration(time, duration->now);
    const bool one = row.width - 2 - texts < 2 * parts; /* no room for all: the one that is on */
    const int room = one ? row.width / 2 : row.width - 2 - texts - (int)strlen(time) - 1;
    parts = one ? 2 : parts;
    const int unit = parts > 0 && room / parts > 1 ? room / parts : 1;
    for (int p = 0; p < TDBG_PHASE_COUNT; p++) {
        const bool is_wide = one || p == TDBG_PHASE_FORWARD || p == TDBG_PHASE_BACKWARD;
        const bool is_on = m->focus.site >= first && m->focus.site < first + n[p];
        const int width = is_wide ? 2 * unit : unit;
        if (n[p] > 0 && (is_on || !one))
            x += paint_phase(m, (enum tdbg_tui_phase)p, first, n[p], width, grid, x, row.y) + 1;
        first += n[p];
    }
    if (x + (int)strlen(time) < row.x + row.width)
        tdbg_tui_grid_put_right(grid, x, row.y, row.x + row.width - x - 1, 0, time);
}

struct op_row {
    const struct tdbg_tui_model *m;
    int32_t index;
    const struct tdbg_site *site;
    const struct tdbg_stats *stats;
};

enum { NUMBER, PHASE, OP, TENSOR, SHAPE, ABSMAX, NANS, INFS, N_COLUMNS };

static const struct tdbg_tui_column columns[N_COLUMNS] = {
    [NUMBER] = {"#", 4},
    [PHASE] = {"phase", 6, .left = true},
    [OP] = {"op", 24, .at_least = 52, .percent = 42, .left = true},
    [TENSOR] = {"tensor", .percent = 100, .left = true},
    [SHAPE] = {"shape", 11, .at_least = 70},
    [ABSMAX] = {"|max|", VALUE},
    [NANS] = {"nan", 4},
    [INFS] = {"inf", 4, .at_least = 60},
};

static const char *cell_text(char *buf, const void *row, int column)
{
    const struct op_row *r = row;
    switch (column) {
    case NUMBER:
        return tdbg_tui_whole_text(buf, r->index);
    case PHASE:
        return tdbg_tui_phase_text(tdbg_tui_phase_of(r->site));
    case OP:
        return r->site->op;
    case TENSOR:
        return tdbg_tui_model_site_label(r->m, r->index, buf);
    case SHAPE:
        return tdbg_text_shape(buf, r->site);
    case ABSMAX:
        return tdbg_tui_absmax_text(buf, r->stats, VALUE);
    case NANS:
        return tdbg_tui_count_text(buf, r->stats, r->stats->nans);
    default:
        return tdbg_tui_count_text(buf, r->stats, r->stats->infs);
    }
}

static void paint_list(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                       struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char name[80];
    const struct tdbg_tui_table t =
        tdbg_tui_table_lay_out(columns, N_COLUMNS, cell_text, grid, rect);
    snprintf(name, sizeof name, ops->module ? "in %s" : "tensor", ops->module);
    tdbg_tui_table_paint_titles(&t, name, false);
    int32_t site = tdbg_tui_ops_site_at(ops, m->data, ops->top);
    for (int y = 1; y < rect.height && site >= 0 && site < m->data->n_sites; y++) {
        const struct tdbg_stats *s = tdbg_tui_ops_stats(ops, m, site);
        const struct op_row row = {m, site, &m->data->sites[site], s};
        tdbg_tui_table_paint_row(
            &t, y,
            &(struct tdbg_tui_row){.row = &row,
                                   .mark = s->nans || s->infs ? '!' : ' ',
                                   .is_cursor = site == m->focus.site,
                                   .is_hit = tdbg_tui_model_site_matches(m, site)});
        do
            site++;
        while (site < m->data->n_sites && !tdbg_tui_ops_shows(ops, &m->data->sites[site]));
    }
    if (m->data->n_sites == 0)
        tdbg_tui_table_paint_none(&t, "no sites were recorded");
}

void tdbg_tui_view_ops(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                       struct tdbg_tui_grid *grid, const struct tdbg_tui_frame *frame)
{
    const struct tdbg_tui_ops_panes p = tdbg_tui_ops_panes_lay_out(frame, ops->shows_flow);
    paint_phases(m, grid, p.phases);
    if (p.list.height > 0)
        paint_list(m, ops, grid, p.list);
    if (p.flow.height > 0 && m->data->n_sites > 0)
        tdbg_tui_view_flow(m, ops, grid, p.flow);
}
