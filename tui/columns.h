/* Tables: rows under a row of titles, and of the columns those that the width has room for.
 *
 *       name                shape  |param|   update       titles
 *     >~fc1.weight         256x784     884    0.001       a row under the cursor, with a mark
 *      fc1.bias                256    32.6    0.001
 *     ^^        ^
 *     ||        a share: as wide as what the other columns leave
 *     cursor, mark */
#ifndef TDBG_TUI_COLUMNS_H
#define TDBG_TUI_COLUMNS_H

#include "tui/grid.h"
#include "tui/model.h"
#include "tui/number_text.h"

enum { TDBG_TABLE_COLUMNS = 16, TDBG_CELL_BYTES = TDBG_SITE_LABEL_BYTES };
_Static_assert((int)TDBG_CELL_BYTES >= (int)TDBG_NUMBER_BYTES, "a number fits into a cell");

struct tdbg_tui_column {
    const char *title;
    int width;    /* without the space before it; of a share: at most, 0: no limit */
    int at_least; /* width of the table from which on it is shown */
    int rank;     /* the lower the earlier it gets room; 0: it is there with or without */
    int percent;  /* of what columns of fixed width leave, and shares before it; 0: no share */
    int least;    /* of a share: columns that are kept for it */
    bool left;    /* aligned; else to the right */
};

/* What a cell says, in buf or in a text that lasts. row: see tdbg_tui_row. */
typedef const char *tdbg_tui_cell_text(char buf[TDBG_CELL_BYTES], const void *row, int column);

/* A table in a rectangle of a grid; the grid and the columns are borrowed. */
struct tdbg_tui_table {
    const struct tdbg_tui_column *columns;
    int n_columns;
    tdbg_tui_cell_text *text;
    struct tdbg_tui_grid *grid;
    struct tdbg_tui_rect rect;
    int x[TDBG_TABLE_COLUMNS], width[TDBG_TABLE_COLUMNS]; /* width 0: not shown */
};

struct tdbg_tui_row {
    const void *row;     /* that text() gets; borrowed */
    char mark;           /* '!', which is red and bold, '~' or ' ' */
    uint8_t style;       /* of what is not '!' */
    bool is_cursor;      /* it is marked, bold, and the hardware cursor goes there */
    bool is_hit;         /* of a search: the last share is underlined */
    const char *instead; /* of all columns but the first; NULL: they are shown */
};

struct tdbg_tui_table tdbg_tui_table_lay_out(const struct tdbg_tui_column *columns, int n_columns,
                                             tdbg_tui_cell_text *text, struct tdbg_tui_grid *grid,
                                             struct tdbg_tui_rect rect);

/* The titles, reversed where the table has the keys. name: instead of the title of the last share;
 * NULL: none. */
void tdbg_tui_table_paint_titles(const struct tdbg_tui_table *table, const char *name, bool active);

/* The row at y, counted from the titles, which are row 0. */
void tdbg_tui_table_paint_row(const struct tdbg_tui_table *table, int y,
                              const struct tdbg_tui_row *row);

/* Where there are no rows: what is to be said of that. */
void tdbg_tui_table_paint_none(const struct tdbg_tui_table *table, const char *text);

/* Rows under the titles (at least 1), and which of them is at y of the grid, or -1. */
int tdbg_tui_table_rows(struct tdbg_tui_rect rect);
int tdbg_tui_table_row_at(struct tdbg_tui_rect rect, int y);

const char *tdbg_tui_whole_text(char buf[TDBG_CELL_BYTES], int64_t value);

/* A count of statistics; "-" where none were recorded. */
const char *tdbg_tui_count_text(char buf[TDBG_CELL_BYTES], const struct tdbg_stats *stats,
                                uint64_t count);

#endif
