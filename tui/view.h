/* Views: pure functions that paint the model into a rectangle of a grid. They read nothing, keep
 * nothing, and never fail; a rectangle that is too small clips them. */
#ifndef TDBG_TUI_VIEW_H
#define TDBG_TUI_VIEW_H

#include "tui/finding_list.h"
#include "tui/grid.h"
#include "tui/input.h"
#include "tui/model.h"
#include "tui/optimizer_table.h"
#include "tui/panes.h"
#include "tui/ranks.h"
#include "tui/two_runs.h"

/* Position row: file, step, epoch, op, rank, loss; '!' at the end of the row where the step has NaN
 * or Inf. What does not fit is left out, the step last. */
void tdbg_tui_view_position(const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);

/* Message row: the message, or what is wrong at this step; a count that is being typed stands at
 * the right. count_text: NULL or "" where there is none. */
void tdbg_tui_view_message(const struct tdbg_tui_model *model, const char *count_text,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* Minimum and maximum per column of a metric over the steps that are shown; active: the pane is. */
void tdbg_tui_view_chart(const struct tdbg_tui_model *model, int metric, bool active,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* The chart alone. focus_step < 0: none is marked. */
void tdbg_tui_paint_chart(const struct tdbg_tui_series *series, int metric, bool linear,
                          int64_t focus_step, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect);

/* Two courses over the steps of both, one above the other in one scale. marked: where they part, or
 * -1. */
void tdbg_tui_paint_bands(const struct tdbg_tui_series *a, const struct tdbg_tui_series *b,
                          int metric, bool linear, int64_t focus_step, int64_t marked,
                          struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* Steps that one column of the chart stands for (at least 1), and the step at column x of the grid;
 * -1 where the chart has none. */
int64_t tdbg_tui_chart_column_steps(const struct tdbg_tui_series *series,
                                    struct tdbg_tui_rect rect);
int64_t tdbg_tui_chart_step_at(const struct tdbg_tui_series *series, struct tdbg_tui_rect rect,
                               int x);

/* Now, before and change of every metric, and of several ranks whether they agree. Sets the cursor
 * when its pane is active. */
void tdbg_tui_view_metrics(const struct tdbg_tui_model *model,
                           const struct tdbg_tui_rank_table *ranks, struct tdbg_tui_grid *grid,
                           struct tdbg_tui_rect rect);

/* A row for each of these sites: its norm, now and before. */
void tdbg_tui_view_watches(const struct tdbg_tui_model *model, const int32_t *sites, int n,
                           struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* Sites with their statistics, from model->sites_top on. Sets the cursor on the focus row. */
void tdbg_tui_view_sites(const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect);

/* The ranks beside each other, and how many rows of them are visible; the strip says of each
 * whether it agrees. */
void tdbg_tui_view_ranks(const struct tdbg_tui_model *model,
                         const struct tdbg_tui_rank_table *table, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect);
int tdbg_tui_view_ranks_rows(struct tdbg_tui_rect rect);
void tdbg_tui_view_rank_strip(const struct tdbg_tui_model *model,
                              const struct tdbg_tui_rank_table *table, struct tdbg_tui_grid *grid,
                              struct tdbg_tui_rect rect);

/* Samples of the step; how many stand beside and below each other, on the screen or in a pane; and
 * the one under a cell, or -1, with the token under it, or -1. */
void tdbg_tui_view_input(const struct tdbg_tui_model *model, const struct tdbg_tui_input *input,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);
void tdbg_tui_view_input_shape(const struct tdbg_tui_model *model,
                               const struct tdbg_tui_input *input, bool is_pane,
                               struct tdbg_tui_rect rect, int *columns, int *rows);
int64_t tdbg_tui_view_input_at(const struct tdbg_tui_model *model,
                               const struct tdbg_tui_input *input, bool ascii,
                               struct tdbg_tui_rect rect, int x, int y, int64_t *token);

/* The findings as they are arranged, and how many rows of them are visible; _near: the first few of
 * them as a pane. */
void tdbg_tui_view_findings(const struct tdbg_tui_model *model,
                            const struct tdbg_tui_findings *findings, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);
int tdbg_tui_view_findings_rows(struct tdbg_tui_rect rect);
void tdbg_tui_view_findings_near(const struct tdbg_tui_model *model,
                                 const struct tdbg_tui_findings *findings,
                                 struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* Groups, schedule and parameters; how many rows of them are visible; the one in a row, or -1. */
void tdbg_tui_view_optimizer(const struct tdbg_tui_model *model,
                             const struct tdbg_tui_optimizer *optimizer, struct tdbg_tui_grid *grid,
                             struct tdbg_tui_rect rect);
int tdbg_tui_view_optimizer_rows(const struct tdbg_tui_optimizer *optimizer,
                                 struct tdbg_tui_rect rect);
int32_t tdbg_tui_view_optimizer_at(const struct tdbg_tui_optimizer *optimizer,
                                   struct tdbg_tui_rect rect, int y);

/* A second run beside this one; how many rows of tensors are visible; the one in a row, or -1. */
void tdbg_tui_view_diff(const struct tdbg_tui_model *model, const struct tdbg_tui_two_runs *two,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);
int tdbg_tui_view_diff_rows(const struct tdbg_tui_two_runs *two, struct tdbg_tui_rect rect);
int32_t tdbg_tui_view_diff_at(const struct tdbg_tui_two_runs *two, struct tdbg_tui_rect rect,
                              int y);

/* The same as panes of the main screen. */
void tdbg_tui_view_input_pane(const struct tdbg_tui_model *model,
                              const struct tdbg_tui_input *input, struct tdbg_tui_grid *grid,
                              struct tdbg_tui_rect rect);
void tdbg_tui_view_rank_strip_pane(const struct tdbg_tui_model *model,
                                   const struct tdbg_tui_rank_table *table,
                                   struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* The line at the left of a pane that stands beside another one, below its heading. */
void tdbg_tui_view_divider(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* Heading of a pane; the active one is reversed. */
void tdbg_tui_view_heading(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, bool active);

/* A value of a metric as text of at most 9 columns. */
const char *tdbg_tui_metric_text(char *buf, enum tdbg_tui_metric metric, bool present,
                                 double value);
const char *tdbg_tui_metric_name(enum tdbg_tui_metric metric);

#endif
