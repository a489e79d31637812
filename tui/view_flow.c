/* Inputs and output of the focus op. See view_ops.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replay/dataflow.h"
#include "tui/number_text.h"
#include "tui/view.h"
#include "tui/view_ops.h"

static uint8_t style_of(const struct tdbg_stats *s)
{
    return s->nans || s->infs ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
}

/* Name, shape and |max| in one row. */
static void paint_tensor(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops, int32_t i,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    char label[TDBG_SITE_LABEL_BYTES], shape[TDBG_NUMBER_BYTES], number[TDBG_NUMBER_BYTES];
    char right[2 * TDBG_NUMBER_BYTES + 16];
    const struct tdbg_stats *s = tdbg_tui_ops_stats(ops, m, i);
    const uint8_t style = style_of(s);
    int n =
        snprintf(right, sizeof right, "%s  |max| %s", tdbg_text_shape(shape, &m->data->sites[i]),
                 tdbg_tui_absmax_text(number, s, 8));
    if (n > row.width * 2 / 3)
        n = snprintf(right, sizeof right, "|max| %s", number);
    tdbg_tui_grid_put(grid, row.x, row.y, s->nans || s->infs ? '!' : ' ', style);
    tdbg_tui_model_site_label(m, i, label);
    tdbg_tui_grid_put_elided(grid, row.x + 1, row.y, row.width - n - 3, style, label);
    tdbg_tui_grid_put_right(grid, row.x, row.y, row.width - 1, style, right);
}

/* Each takes two rows; what has no room is counted. */
static void paint_inputs(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    int32_t inputs[TDBG_DATAFLOW_INPUTS];
    const int n = m->data->inputs ? m->data->inputs(m->data->flow, m->focus.site, inputs) : -1;
    if (n <= 0) {
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                               n < 0 ? "the trace does not say" : "none in this step");
        return;
    }
    const int fit = n * 2 <= rect.height ? n : (rect.height - 1) / 2;
    for (int k = 0; k < fit; k++) {
        const struct tdbg_tui_rect row = {rect.x, rect.y + 2 * k, rect.width, 1};
        paint_tensor(m, ops, inputs[k], grid, row);
        tdbg_tui_grid_printf(grid, row.x + 2, row.y + 1, row.width - 2, 0, "made by op %d %s",
                             (int)inputs[k], m->data->sites[inputs[k]].op);
    }
    if (fit < n)
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + 2 * fit, rect.width - 1, 0,
                             "and %d more; i goes through them", n - fit);
}

static void paint_readers(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                          struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    enum { MOST = 64 };
    int32_t readers[MOST];
    const bool is_complete = tdbg_tui_flow_is_complete(&ops->flow, m->data);
    const int32_t n = tdbg_tui_flow_readers(&ops->flow, m->focus.site, readers, MOST);
    const char *none = !m->data->inputs                          ? ""
                       : m->data->n_sites > TDBG_FLOW_MOST_SITES ? "too many ops to look at"
                       : !is_complete                            ? ""
                                                                 : "read by no op of this step";
    if (n == 0)
        tdbg_tui_grid_put_text(grid, rect.x + 2, rect.y, rect.width - 2, 0, none);
    for (int32_t k = 0; k < n && k < MOST && k < rect.height; k++) {
        if (k + 1 == rect.height && n > k + 1)
            tdbg_tui_grid_printf(grid, rect.x + 2, rect.y + k, rect.width - 2, 0, "and %d more",
                                 (int)(n - k));
        else
            tdbg_tui_grid_printf(grid, rect.x + 2, rect.y + k, rect.width - 2, 0,
                                 "read by op %d %s", (int)readers[k],
                                 m->data->sites[readers[k]].op);
    }
}

/* "+inf x1": what of the output is not finite. */
static void paint_output(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_stats *s = tdbg_tui_ops_stats(ops, m, m->focus.site);
    int y = rect.y;
    paint_tensor(m, ops, m->focus.site, grid, (struct tdbg_tui_rect){rect.x, y++, rect.width, 1});
    if (s->nans || s->infs)
        tdbg_tui_grid_printf(grid, rect.x + 2, y++, rect.width - 2, style_of(s),
                             "nan x%llu  inf x%llu", (unsigned long long)s->nans,
                             (unsigned long long)s->infs);
    paint_readers(m, ops, grid,
                  (struct tdbg_tui_rect){rect.x, y, rect.width, rect.y + rect.height - y});
}

void tdbg_tui_view_flow(const struct tdbg_tui_model *m, const struct tdbg_tui_ops *ops,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const int left = rect.width * 11 / 20;
    const struct tdbg_tui_rect row = {rect.x, rect.y, rect.width, 1};
    const struct tdbg_tui_rect inputs = {rect.x, rect.y + 1, left, rect.height - 1};
    const struct tdbg_tui_rect output = {rect.x + left + 1, rect.y + 1, rect.width - left - 1,
                                         rect.height - 1};
    tdbg_tui_grid_printf(grid, row.x + 1, row.y, left - 1, 0, "inputs of op %d",
                         (int)m->focus.site);
    tdbg_tui_grid_put_text(grid, output.x + 1, row.y, output.width - 1, 0, "output");
    tdbg_tui_view_heading(grid, row, false);
    for (int y = 0; y < inputs.height; y++)
        tdbg_tui_grid_put_glyph(grid, rect.x + left, inputs.y + y, TDBG_GLYPH_VERTICAL, 0);
    paint_inputs(m, ops, grid, inputs);
    paint_output(m, ops, grid, output);
}
