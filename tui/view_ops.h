/* The body of the ops screen.
 *
 *     phases with the focus
 *     titles
 *     ops of the step               80x24 and up: both; else one at a time
 *     inputs      | output
 */
#ifndef TDBG_TUI_VIEW_OPS_H
#define TDBG_TUI_VIEW_OPS_H

#include "tui/frame.h"
#include "tui/ops.h"

/* A rectangle of height 0 is not shown. list includes its titles, flow its heading. */
struct tdbg_tui_ops_panes {
    struct tdbg_tui_rect phases, list, flow;
};
struct tdbg_tui_ops_panes tdbg_tui_ops_panes_lay_out(const struct tdbg_tui_frame *frame,
                                                     bool shows_flow);

/* Sets the cursor on the focus op. */
void tdbg_tui_view_ops(const struct tdbg_tui_model *model, const struct tdbg_tui_ops *ops,
                       struct tdbg_tui_grid *grid, const struct tdbg_tui_frame *frame);

/* For view_ops.c: inputs and output of the focus op. */
void tdbg_tui_view_flow(const struct tdbg_tui_model *model, const struct tdbg_tui_ops *ops,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect);

/* The largest magnitude as text of at most width columns; "inf" and "nan" where there are any. */
const char *tdbg_tui_absmax_text(char *buf, const struct tdbg_stats *stats, int width);

#endif
