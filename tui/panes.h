/* Where things stand in the body of the main screen: a pure function of the size and the active
 * pane.
 *
 *     80x24 and up             120 columns and up           below 80x24: one pane, Tab changes it
 *     chart                    chart        | metrics       chart, metrics or sites
 *     metrics | metrics        sites, with more columns
 *     sites
 *
 *     150 columns and 48 rows and up
 *     chart                    | metrics
 *                              | findings near the step
 *     gradient norm            | breakpoints, watches, marks
 *                              | input
 *     sites                    |
 *                              | ranks, where there are several
 */
#ifndef TDBG_TUI_PANES_H
#define TDBG_TUI_PANES_H

#include "tui/frame.h"
#include "tui/model.h"

/* A rectangle of height 0 is not shown. Panes include their heading row. */
struct tdbg_tui_panes {
    struct tdbg_tui_rect chart, metrics, sites;
    struct tdbg_tui_rect norm, findings, breaks, input, ranks; /* where there is room for all */
};

/* has_ranks: the run has several. */
struct tdbg_tui_panes tdbg_tui_panes_lay_out(const struct tdbg_tui_frame *frame,
                                             enum tdbg_tui_pane pane, bool has_ranks);

/* Rows of the site list that fit, at least 1. */
int tdbg_tui_panes_site_rows(const struct tdbg_tui_panes *panes);

/* First row of a list of n rows so that row `at` is among the `visible` ones. It depends on nothing
 * else, so that a move and its reverse show the same rows again. The list moves by pages which
 * overlap, so that around `at` there is always a row before and after, where there is room. */
int64_t tdbg_tui_panes_scroll(int64_t at, int64_t n, int64_t visible);

#endif
