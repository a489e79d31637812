/* Samples of tokens on the input screen, and on main: see view.h.
 *
 *     title      >3  id 148  length 21 of 24  targets that count 20
 *     text         the quick brown fox|...
 *                                   ------      tokens whose targets do not count in the loss
 *     ...
 *     status      token 3 of 24  id 20 ' '  target 81 'q'  counts in the loss  attends to 0..3 */
#ifndef TDBG_TUI_VIEW_TOKENS_H
#define TDBG_TUI_VIEW_TOKENS_H

#include "tui/grid.h"
#include "tui/input.h"
#include "tui/model.h"

/* Rows that a sample takes in a list of them. */
int tdbg_tui_view_tokens_rows(const struct tdbg_tui_input *input,
                              const struct tdbg_samples_spec *spec, int width);

/* Rows at the end of a screen that say what is under the cursor. */
int tdbg_tui_view_tokens_status_rows(struct tdbg_tui_rect screen);
void tdbg_tui_view_tokens_status(const struct tdbg_tui_input *input,
                                 const struct tdbg_tui_model *model, struct tdbg_tui_grid *grid,
                                 struct tdbg_tui_rect rect);

/* A sample; has_cursor: the token under the cursor is marked, and what it attends to. */
void tdbg_tui_view_tokens(const struct tdbg_tui_input *input, const struct tdbg_tui_model *model,
                          int64_t at, bool has_cursor, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect);

/* How the tokens of a sample lie in a rectangle of that width; the rows of a sample that is seen
 * alone in a rectangle of a height; and the token under a cell of a sample's rectangle, or -1. */
struct tdbg_tui_token_flow tdbg_tui_view_tokens_flow(const struct tdbg_tui_input *input,
                                                     const struct tdbg_tui_tokens *tokens,
                                                     int width, bool ascii);
int tdbg_tui_view_tokens_page(const struct tdbg_tui_input *input,
                              const struct tdbg_tui_tokens *tokens, int height);
int64_t tdbg_tui_view_tokens_at(const struct tdbg_tui_input *input,
                                const struct tdbg_tui_model *model, int64_t at, bool ascii,
                                struct tdbg_tui_rect rect, int x, int y);

#endif
