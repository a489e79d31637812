/* The histogram and the heat map of the tensor screen. See view_tensor.h. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/compare.h"
#include "tui/number_text.h"
#include "tui/view.h"
#include "tui/view_tensor.h"

/* A change of colours is 22 bytes for the terminal, and the one to NaN or Inf up to 30: one in so
 * many cells keeps a frame of any tensor within 40 KB at 160x50. */
enum { BOUND_COLUMNS = 8, COUNT_COLUMNS = 5, CELLS_PER_CHANGE = 3 };

static const char *bound_text(char buf[TDBG_NUMBER_BYTES], const struct tdbg_tui_bins *b, int i)
{
    if (b->zero >= 0 && i == b->zero + 1) {
        snprintf(buf, TDBG_NUMBER_BYTES, ">0");
        return buf;
    }
    return tdbg_text_number(buf, b->bound[i], BOUND_COLUMNS - 1);
}

static void paint_bin(const struct tdbg_tui_bins *b, int i, struct tdbg_tui_grid *grid,
                      struct tdbg_tui_rect row)
{
    char buf[TDBG_NUMBER_BYTES];
    const int left = row.x + 1 + BOUND_COLUMNS + 1;
    const int room = row.x + row.width - left - COUNT_COLUMNS - 2;
    tdbg_tui_grid_put_right(grid, row.x + 1, row.y, BOUND_COLUMNS - 1, 0, bound_text(buf, b, i));
    tdbg_tui_grid_put_glyph(grid, left - 1, row.y, TDBG_GLYPH_VERTICAL, 0);
    const int units =
        b->most > 0 && room > 0 ? (int)((double)b->count[i] / (double)b->most * room + 0.5) : 0;
    for (int k = 0; k < units; k++)
        tdbg_tui_grid_put_glyph(grid, left + k, row.y, TDBG_GLYPH_FULL, TDBG_STYLE_CYAN);
    if (b->count[i] > 0 && units == 0) /* few are not none */
        tdbg_tui_grid_put(grid, left, row.y, '.', TDBG_STYLE_CYAN);
    if (b->count[i] > 0)
        tdbg_tui_grid_put_right(grid, row.x + row.width - COUNT_COLUMNS - 1, row.y, COUNT_COLUMNS,
                                0, tdbg_text_count(buf, (uint64_t)b->count[i]));
}

void tdbg_tui_view_histogram(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid,
                             struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_bins *b = &t->bins;
    char to[TDBG_NUMBER_BYTES], right[40];
    if (rect.height < 1)
        return;
    if (t->phase <= TDBG_TENSOR_BINS && t->phase != TDBG_TENSOR_NOTHING) {
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0, "counting ...");
        return;
    }
    if (b->n == 0) {
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                               t->now.n_elems == 0 ? "empty: it has no elements here"
                                                   : "nothing finite to count");
        return;
    }
    tdbg_tui_grid_put_right(grid, rect.x + 1, rect.y, BOUND_COLUMNS - 1, 0, "from");
    snprintf(right, sizeof right, "%s to %s", b->is_linear ? "linear" : "log",
             b->zero == b->n - 1 ? "0" : tdbg_text_number(to, b->bound[b->n], 7));
    tdbg_tui_grid_put_text(grid, rect.x + BOUND_COLUMNS + 2, rect.y, rect.width, 0, right);
    tdbg_tui_grid_put_right(grid, rect.x, rect.y, rect.width - 1, 0, "elements");
    for (int i = 0; i < b->n && i + 1 < rect.height; i++)
        paint_bin(b, i, grid, (struct tdbg_tui_rect){rect.x, rect.y + 1 + i, rect.width, 1});
}

/* A cell's character says the magnitude as well, and what is NaN or Inf. */
enum shading { NO_COLOUR, BROKEN_IN_RED, SHADED };

static void put_cell(const struct tdbg_tui_tensor *t, const struct tdbg_tui_heat_cell *cell,
                     enum shading shading, int shade, struct tdbg_tui_grid *grid, int x, int y)
{
    const char glyph = tdbg_tui_heat_glyph(&t->heat, cell, tdbg_tui_tensor_is_linear(t));
    const bool is_broken = cell->has_nan || cell->has_inf;
    if (shading == SHADED && !is_broken)
        tdbg_tui_grid_put_shaded(grid, x, y, (uint32_t)glyph, shade);
    else
        tdbg_tui_grid_put(grid, x, y, (uint32_t)glyph,
                          is_broken && shading != NO_COLOUR ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : 0);
}

/* Shades of all cells into `shades`, where the terminal has the colours, and they do not change so
 * often that a frame becomes too long. */
static enum shading make_shades(const struct tdbg_tui_tensor *t, const struct tdbg_tui_grid *grid,
                                uint8_t *shades)
{
    const struct tdbg_tui_heat_cut *c = &t->heat.cut;
    const int64_t most = (int64_t)c->height * c->width / CELLS_PER_CHANGE + c->height;
    if (!tdbg_tui_heat_shade(&t->heat, tdbg_tui_tensor_is_linear(t), TDBG_PICTURE_GREYS, most,
                             shades))
        return NO_COLOUR;
    return grid->colours >= 256 ? SHADED : BROKEN_IN_RED;
}

static void paint_cells(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid,
                        struct tdbg_tui_rect cells)
{
    const struct tdbg_tui_heat_cut *c = &t->heat.cut;
    uint8_t *shades = calloc((size_t)c->height * (size_t)c->width + 1, 1);
    const enum shading shading = shades ? make_shades(t, grid, shades) : NO_COLOUR;
    for (int y = 0; y < c->height; y++) {
        for (int x = 0; x < c->width; x++)
            put_cell(t, &t->heat.cells[y * c->width + x], shading,
                     shades ? shades[y * c->width + x] : 0, grid, cells.x + x, cells.y + y);
    }
    free(shades);
    const int64_t cursor = tdbg_tui_tensor_cursor(t);
    const int x = (int)((cursor % c->plane.cols - c->first_col) / c->block_cols);
    const int y = (int)((cursor / c->plane.cols - c->first_row) / c->block_rows);
    tdbg_tui_grid_add_style(grid, (struct tdbg_tui_rect){cells.x + x, cells.y + y, 1, 1},
                            TDBG_STYLE_REVERSE);
    tdbg_tui_grid_set_cursor(grid, cells.x + x, cells.y + y);
}

void tdbg_tui_view_cursor_text(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid, int x,
                               int y, int width)
{
    char index[200], value[TDBG_VALUE_BYTES], before[TDBG_VALUE_BYTES], number[TDBG_NUMBER_BYTES];
    const int64_t at = tdbg_tui_tensor_cursor(t);
    if (at >= t->now.n_elems)
        return;
    tdbg_compare_index_text(t->now.site, at, index, sizeof index);
    tdbg_tui_value_text(&t->now, at, value);
    if (!t->compares) {
        tdbg_tui_grid_printf(grid, x, y, width, TDBG_STYLE_BOLD, "%s = %s", index, value);
        return;
    }
    double change;
    tdbg_tui_tensor_convert(t, at, 1, &change);
    tdbg_tui_grid_printf(grid, x, y, width, TDBG_STYLE_BOLD, "%s %s -> %s  (%s)", index,
                         tdbg_tui_value_text(&t->prev, at, before), value,
                         tdbg_text_number(number, change, 9));
}

static void paint_scale(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid, int x, int y,
                        int width)
{
    char low[TDBG_NUMBER_BYTES], high[TDBG_NUMBER_BYTES];
    const struct tdbg_tui_heat *h = &t->heat;
    const bool is_linear = tdbg_tui_tensor_is_linear(t);
    if (!(h->high > 0))
        tdbg_tui_grid_put_text(grid, x, y, width, 0, "all that is finite is 0");
    else
        tdbg_tui_grid_printf(grid, x, y, width, 0, "max |x|  . %s  @ %s  %s",
                             tdbg_text_number(low, is_linear ? 0 : h->low, 7),
                             tdbg_text_number(high, h->high, 7), is_linear ? "linear" : "log");
}

static void paint_heat_title(const struct tdbg_tui_heat_cut *c, struct tdbg_tui_grid *grid,
                             struct tdbg_tui_rect row)
{
    char text[160];
    int n = snprintf(text, sizeof text, "rows %lld..%lld  cols %lld..%lld", (long long)c->first_row,
                     (long long)(c->first_row + c->n_rows - 1), (long long)c->first_col,
                     (long long)(c->first_col + c->n_cols - 1));
    if (c->block_rows > 1 || c->block_cols > 1)
        snprintf(text + n, sizeof text - (size_t)n, "  cell %lldx%lld", (long long)c->block_rows,
                 (long long)c->block_cols);
    tdbg_tui_grid_put_text(grid, row.x + 1, row.y, row.width - 1, 0, text);
}

void tdbg_tui_view_heat(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid,
                        const struct tdbg_tui_tensor_panes *p)
{
    const struct tdbg_tui_rect rect = p->heat;
    for (int y = 0; y < rect.height && rect.x > 0; y++)
        tdbg_tui_grid_put_glyph(grid, rect.x - 1, rect.y + y, TDBG_GLYPH_VERTICAL, 0);
    if (t->now.n_elems == 0 || p->cells.height < 1)
        return;
    if (t->phase != TDBG_TENSOR_DONE) {
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0, "looking ...");
        return;
    }
    if (t->heat.cut.height == 0)
        return;
    paint_heat_title(&t->heat.cut, grid, rect);
    paint_cells(t, grid, p->cells);
    const int bottom = rect.y + rect.height - 1;
    paint_scale(t, grid, rect.x + 1, bottom - 1, rect.width - 1);
    tdbg_tui_view_cursor_text(t, grid, rect.x + 1, bottom, rect.width - 1);
}
