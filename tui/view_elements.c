/* The table of elements of the tensor screen. See view_tensor.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replay/compare.h"
#include "tui/panes.h"
#include "tui/view_tensor.h"

/* The widest text of each type, and a space. */
static int column_width(enum tdbg_dtype dtype)
{
    switch (dtype) {
    case TDBG_DTYPE_U8:
        return 5;
    case TDBG_DTYPE_I32:
        return 12;
    case TDBG_DTYPE_I64:
        return 21;
    case TDBG_DTYPE_F64:
        return 25;
    default:
        return 16;
    }
}

struct tdbg_tui_table tdbg_tui_table_of(const struct tdbg_tui_tensor *t, struct tdbg_tui_rect rect)
{
    const struct tdbg_site *site = t->now.site;
    struct tdbg_tui_table table = {.column = column_width(site->dtype)};
    const int fit = rect.width / table.column > 0 ? rect.width / table.column : 1;
    const int64_t n = t->now.n_elems, cursor = tdbg_tui_tensor_cursor(t);
    table.cols = site->ndim > 1 ? site->dims[site->ndim - 1] : fit >= 10 ? fit / 10 * 10 : fit;
    if (table.cols < 1 || n == 0)
        return table;
    table.rows = (n + table.cols - 1) / table.cols;
    table.height = rect.height < table.rows ? rect.height : (int)table.rows;
    table.width = fit < table.cols ? fit : (int)table.cols;
    table.first_row = tdbg_tui_panes_scroll(cursor / table.cols, table.rows, table.height);
    table.first_col = tdbg_tui_panes_scroll(cursor % table.cols, table.cols, table.width);
    return table;
}

/* "[3,0,*]": where a row begins. */
static void paint_label(const struct tdbg_tui_tensor *t, const struct tdbg_tui_table *table,
                        int64_t row, struct tdbg_tui_grid *grid, int x, int y, int width)
{
    char index[200], text[200];
    size_t n = 0;
    tdbg_compare_index_text(t->now.site, row * table->cols, index, sizeof index);
    for (const char *at = index; *at; at++) {
        if (*at != ' ')
            text[n++] = *at;
    }
    text[n] = 0;
    char *last = strrchr(text, ',');
    if (t->now.site->ndim > 1 && last)
        strcpy(last + 1, "*]");
    tdbg_tui_grid_put_elided(grid, x, y, width, 0, text);
}

static void paint_element(const struct tdbg_tui_tensor *t, int64_t at, int column,
                          struct tdbg_tui_grid *grid, int x, int y)
{
    char text[TDBG_VALUE_BYTES + 1] = "", value[TDBG_VALUE_BYTES];
    double number;
    uint8_t style = TDBG_STYLE_PLAIN;
    tdbg_tui_values_convert(&t->now, at, 1, &number);
    tdbg_tui_value_text(&t->now, at, value);
    if (!isfinite(number))
        style = TDBG_STYLE_RED | TDBG_STYLE_BOLD;
    const size_t bytes = tdbg_dtype_bytes(t->now.site->dtype);
    const bool differs = t->compares && at < t->prev.n_elems &&
                         memcmp((const char *)t->now.data + (size_t)at * bytes,
                                (const char *)t->prev.data + (size_t)at * bytes, bytes) != 0;
    snprintf(text, sizeof text, "%s%s", differs ? "*" : !isfinite(number) ? "!" : "", value);
    tdbg_tui_grid_put_right(grid, x, y, column - 1, style, text);
    if (at == tdbg_tui_tensor_cursor(t)) {
        tdbg_tui_grid_add_style(grid, (struct tdbg_tui_rect){x, y, column - 1, 1},
                                TDBG_STYLE_REVERSE);
        tdbg_tui_grid_set_cursor(grid, x + column - 2, y);
    }
}

void tdbg_tui_view_elements(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid,
                            const struct tdbg_tui_tensor_panes *p)
{
    const struct tdbg_tui_rect rect = p->elements;
    const struct tdbg_tui_table table = tdbg_tui_table_of(t, p->table);
    char text[32];
    if (table.rows == 0) {
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                               "empty: it has no elements here");
        return;
    }
    for (int c = 0; c < table.width; c++) {
        snprintf(text, sizeof text, "%s%lld", t->now.site->ndim > 1 ? "" : "+",
                 (long long)(table.first_col + c));
        tdbg_tui_grid_put_right(grid, p->table.x + c * table.column, rect.y, table.column - 1,
                                TDBG_STYLE_UNDERLINE, text);
    }
    for (int r = 0; r < table.height; r++) {
        const int64_t row = table.first_row + r;
        paint_label(t, &table, row, grid, rect.x + 1, p->table.y + r, p->table.x - rect.x - 2);
        for (int c = 0; c < table.width; c++) {
            const int64_t at = row * table.cols + table.first_col + c;
            if (at < t->now.n_elems)
                paint_element(t, at, table.column, grid, p->table.x + c * table.column,
                              p->table.y + r);
        }
    }
    tdbg_tui_view_cursor_text(t, grid, rect.x + 1, rect.y + rect.height - 1, rect.width - 1);
}
