/* See view_ops.h. Inputs and output are in view_flow.c. */
#include "tui/view_ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"
#include "tui/view.h"

enum { MARKS = 2, NUMBER = 4, PHASE = 6, SHAPE = 11, VALUE = 8, COUNT = 4 };

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

/* Columns from the left; what has no room is left out from the middle. */
struct columns {
    int op, tensor; /* widths */
    bool shape, inf;
};

static struct columns choose_columns(int width)
{
    struct columns c = {.shape = width >= 70, .inf = width >= 60};
    int room = width - MARKS - NUMBER - 1 - PHASE - 1 - VALUE - 1 - COUNT - 1;
    room -= (c.shape ? SHAPE + 1 : 0) + (c.inf ? COUNT + 1 : 0);
    c.op = room >= 24 ? room * 2 / 5 : 0;
    c.op = c.op > 24 ? 24 : c.op;
    c.tensor = room - c.op - (c.op > 0);
    return c;
}

static void paint_titles(const struct columns *c, const struct tdbg_tui_ops *ops,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    char tensor[80];
    int x = row.x + MARKS;
    tdbg_tui_grid_put_right(grid, x, row.y, NUMBER, 0, "#");
    tdbg_tui_grid_put_text(grid, x += NUMBER + 1, row.y, PHASE, 0, "phase");
    x += PHASE + 1;
    if (c->op > 0) {
        tdbg_tui_grid_put_text(grid, x, row.y, c->op, 0, "op");
        x += c->op + 1;
    }
    snprintf(tensor, sizeof tensor, ops->module ? "in %s" : "tensor", ops->module);
    tdbg_tui_grid_put_elided(grid, x, row.y, c->tensor, 0, tensor);
    x += c->tensor;
    if (c->shape) {
        tdbg_tui_grid_put_right(grid, x + 1, row.y, SHAPE, 0, "shape");
        x += SHAPE + 1;
    }
    tdbg_tui_grid_put_right(grid, x + 1, row.y, VALUE, 0, "|max|");
    tdbg_tui_grid_put_right(grid, x + 1 + VALUE + 1, row.y, COUNT, 0, "nan");
    if (c->inf)
        tdbg_tui_grid_put_right(grid, x + 1 + VALUE + 1 + COUNT + 1, row.y, COUNT, 0, "inf");
    tdbg_tui_view_heading(grid, row, false);
}

static const char *count_text(char *buf, const struct tdbg_stats *s, uint64_t count)
{
    if (!tdbg_tui_stats_present(s))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_count(buf, count);
    return buf;
}

static void paint_op(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops, int32_t i,
                     const struct columns *c, struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    const struct tdbg_site *site = &m->data->sites[i];
    const struct tdbg_stats *s = tdbg_tui_ops_stats(ops, m, i);
    const bool broken = s->nans || s->infs, is_focus = i == m->focus.site;
    uint8_t style = broken ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    char buf[TDBG_NUMBER_BYTES], label[TDBG_SITE_LABEL_BYTES];
    int x = row.x + MARKS;
    style = (uint8_t)(style | (is_focus ? TDBG_STYLE_BOLD : 0));
    tdbg_tui_grid_put(grid, row.x, row.y, is_focus ? '>' : ' ', style);
    tdbg_tui_grid_put(grid, row.x + 1, row.y, broken ? '!' : ' ', style);
    snprintf(buf, sizeof buf, "%d", (int)i);
    tdbg_tui_grid_put_right(grid, x, row.y, NUMBER, style, buf);
    tdbg_tui_grid_put_text(grid, x += NUMBER + 1, row.y, PHASE, style,
                           tdbg_tui_phase_text(tdbg_tui_phase_of(site)));
    x += PHASE + 1;
    if (c->op > 0) {
        tdbg_tui_grid_put_elided(grid, x, row.y, c->op, style, site->op);
        x += c->op + 1;
    }
    tdbg_tui_grid_put_elided(
        grid, x, row.y, c->tensor,
        (uint8_t)(style | (tdbg_tui_model_site_matches(m, i) ? TDBG_STYLE_UNDERLINE : 0)),
        tdbg_tui_model_site_label(m, i, label));
    x += c->tensor;
    if (c->shape) {
        tdbg_tui_grid_put_right(grid, x + 1, row.y, SHAPE, style, tdbg_text_shape(buf, site));
        x += SHAPE + 1;
    }
    tdbg_tui_grid_put_right(grid, x + 1, row.y, VALUE, style, tdbg_tui_absmax_text(buf, s, VALUE));
    tdbg_tui_grid_put_right(grid, x + 1 + VALUE + 1, row.y, COUNT, style,
                            count_text(buf, s, s->nans));
    if (c->inf)
        tdbg_tui_grid_put_right(grid, x + 1 + VALUE + 1 + COUNT + 1, row.y, COUNT, style,
                                count_text(buf, s, s->infs));
}

static void paint_list(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                       struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct columns c = choose_columns(rect.width);
    paint_titles(&c, ops, grid, (struct tdbg_tui_rect){rect.x, rect.y, rect.width, 1});
    int32_t site = tdbg_tui_ops_site_at(ops, m->data, ops->top);
    for (int y = 1; y < rect.height && site >= 0 && site < m->data->n_sites; y++) {
        const struct tdbg_tui_rect row = {rect.x, rect.y + y, rect.width, 1};
        paint_op(m, ops, site, &c, grid, row);
        if (site == m->focus.site)
            tdbg_tui_grid_set_cursor(grid, row.x, row.y);
        do
            site++;
        while (site < m->data->n_sites && !tdbg_tui_ops_shows(ops, &m->data->sites[site]));
    }
    if (m->data->n_sites == 0)
        tdbg_tui_grid_put_text(grid, rect.x + MARKS, rect.y + 1, rect.width - MARKS, 0,
                               "no sites were recorded");
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
