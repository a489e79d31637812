/* The body of the tensor screen: a pure function of its state and the size.
 *
 *     name, dtype, shape, op                          view
 *     min max mean rms |.|2 zero nan inf
 *     histogram            | heat map                 80x24 and up: both; else one at a time
 *     ...                  | ...
 *                          | scale, element
 */
#ifndef TDBG_TUI_VIEW_TENSOR_H
#define TDBG_TUI_VIEW_TENSOR_H

#include "tui/frame.h"
#include "tui/tensor_state.h"

/* A rectangle of height 0 is not shown. Histogram and heat map include their titles; cells is what
 * a heat map's cells have room for, table what the elements' values have. */
struct tdbg_tui_tensor_panes {
    struct tdbg_tui_rect head, histogram, heat, cells, elements, table, history;
};
struct tdbg_tui_tensor_panes tdbg_tui_tensor_panes_lay_out(const struct tdbg_tui_frame *frame,
                                                           enum tdbg_tui_tensor_view view);

/* Sets the cursor on the element's cell where there is one. */
void tdbg_tui_view_tensor(const struct tdbg_tui_model *model, const struct tdbg_tui_tensor *tensor,
                          struct tdbg_tui_grid *grid, const struct tdbg_tui_frame *frame);

/* The table of elements: how many columns and rows it has, and how many are seen at once. */
struct tdbg_tui_table {
    int64_t rows, cols; /* of the tensor: its last dimension, or a vector folded */
    int64_t first_row, first_col;
    int height, width; /* rows and columns that are seen */
    int column;        /* width of one on the screen */
};
struct tdbg_tui_table tdbg_tui_table_of(const struct tdbg_tui_tensor *tensor,
                                        struct tdbg_tui_rect rect);

/* For view_tensor.c: the parts. */
void tdbg_tui_view_elements(const struct tdbg_tui_tensor *tensor, struct tdbg_tui_grid *grid,
                            const struct tdbg_tui_tensor_panes *panes);
void tdbg_tui_view_histogram(const struct tdbg_tui_tensor *tensor, struct tdbg_tui_grid *grid,
                             struct tdbg_tui_rect rect);
void tdbg_tui_view_heat(const struct tdbg_tui_tensor *tensor, struct tdbg_tui_grid *grid,
                        const struct tdbg_tui_tensor_panes *panes);

/* "[3, 17] = 0.25", and what it was before where two are compared. */
void tdbg_tui_view_cursor_text(const struct tdbg_tui_tensor *tensor, struct tdbg_tui_grid *grid,
                               int x, int y, int width);

#endif
