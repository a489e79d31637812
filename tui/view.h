/* Views: pure functions that paint the model into a rectangle of a grid. They read nothing, keep
 * nothing, and never fail; a rectangle that is too small clips them. */
#ifndef TDBG_TUI_VIEW_H
#define TDBG_TUI_VIEW_H

#include "tui/grid.h"
#include "tui/model.h"
#include "tui/panes.h"

/* Position row: file, step, epoch, op, rank, loss; '!' at the end of the row where the step has NaN
 * or Inf. What does not fit is left out, the step last. */
void tdbg_tui_view_position(const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);

/* Message row: the message, or what is wrong at this step; a count that is being typed stands at
 * the right. count_text: NULL or "" where there is none. */
void tdbg_tui_view_message(const struct tdbg_tui_model *model, const char *count_text,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* Minimum and maximum per column of the model's metric over all steps. */
void tdbg_tui_view_chart(const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect);

/* The chart alone. focus_step < 0: none is marked. */
void tdbg_tui_paint_chart(const struct tdbg_tui_series *series, int metric, bool linear,
                          int64_t focus_step, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect);

/* Steps that one column of the chart stands for (at least 1), and the step at column x of the grid;
 * -1 where the chart has none. */
int64_t tdbg_tui_chart_column_steps(const struct tdbg_tui_series *series,
                                    struct tdbg_tui_rect rect);
int64_t tdbg_tui_chart_step_at(const struct tdbg_tui_series *series, struct tdbg_tui_rect rect,
                               int x);

/* Now, before and change of every metric. Sets the cursor when its pane is active. */
void tdbg_tui_view_metrics(const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                           struct tdbg_tui_rect rect);

/* Sites with their statistics, from model->sites_top on. Sets the cursor on the focus row. */
void tdbg_tui_view_sites(const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect);

/* Heading of a pane; the active one is reversed. */
void tdbg_tui_view_heading(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, bool active);

/* A value of a metric as text of at most 9 columns. */
const char *tdbg_tui_metric_text(char *buf, enum tdbg_tui_metric metric, bool present,
                                 double value);
const char *tdbg_tui_metric_name(enum tdbg_tui_metric metric);

#endif
