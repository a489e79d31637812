/* See columns.h. */
#include "tui/columns.h"

#include <stdio.h>

#include "tui/view.h"

enum { MARK_COLUMNS = 2, MAX_RANK = 16 };

static bool is_share(const struct tdbg_tui_column *c)
{
    return c->percent > 0;
}

/* Columns that it takes from the others; a share gets its width when all others have theirs. */
static int cost(const struct tdbg_tui_column *c)
{
    return (is_share(c) ? 0 : c->width) + 1;
}

/* Decides which columns are shown; returns the room that shares have. */
static int choose(const struct tdbg_tui_column *columns, int n, int width,
                  bool shown[TDBG_TABLE_COLUMNS])
{
    int room = width - MARK_COLUMNS + 1, least = 0; /* no space before the first one */
    for (int rank = 0; rank <= MAX_RANK; rank++) {
        for (int i = 0; i < n; i++) {
            const struct tdbg_tui_column *c = &columns[i];
            if (c->rank != rank || width < c->at_least || (rank > 0 && room - cost(c) < least))
                continue;
            shown[i] = true;
            room -= cost(c);
            least += c->least;
        }
    }
    return room;
}

static int width_of_share(const struct tdbg_tui_column *c, int room)
{
    int width = room * c->percent / 100;
    if (c->width > 0 && width > c->width)
        width = c->width;
    return width < c->least ? c->least : width;
}

struct tdbg_tui_table tdbg_tui_table_lay_out(const struct tdbg_tui_column *columns, int n_columns,
                                             tdbg_tui_cell_text *text, struct tdbg_tui_grid *grid,
                                             struct tdbg_tui_rect rect)
{
    struct tdbg_tui_table t = {
        .columns = columns, .n_columns = n_columns, .text = text, .grid = grid, .rect = rect};
    bool shown[TDBG_TABLE_COLUMNS] = {false};
    TDBG_ASSERT(n_columns <= TDBG_TABLE_COLUMNS);
    int room = choose(columns, n_columns, rect.width, shown), x = rect.x + MARK_COLUMNS;
    for (int i = 0; i < n_columns; i++) {
        const struct tdbg_tui_column *c = &columns[i];
        if (!shown[i])
            continue;
        t.x[i] = x;
        t.width[i] = is_share(c) ? width_of_share(c, room) : c->width;
        room -= is_share(c) ? t.width[i] : 0;
        x += t.width[i] + 1;
    }
    return t;
}

static void put_cell(const struct tdbg_tui_table *t, int i, int y, uint8_t style, const char *text)
{
    const int room = t->rect.x + t->rect.width - t->x[i];
    const int width = t->width[i] < room ? t->width[i] : room;
    if (width <= 0)
        return;
    if (t->columns[i].left || tdbg_tui_text_width(t->grid, text) > width)
        tdbg_tui_grid_put_elided(t->grid, t->x[i], y, width, style, text);
    else
        tdbg_tui_grid_put_right(t->grid, t->x[i], y, width, style, text);
}

static int last_share(const struct tdbg_tui_table *t)
{
    int last = -1;
    for (int i = 0; i < t->n_columns; i++)
        last = is_share(&t->columns[i]) ? i : last;
    return last;
}

void tdbg_tui_table_paint_titles(const struct tdbg_tui_table *t, const char *name, bool active)
{
    const int named = name ? last_share(t) : -1;
    for (int i = 0; i < t->n_columns; i++) {
        if (t->width[i] > 0)
            put_cell(t, i, t->rect.y, 0, i == named ? name : t->columns[i].title);
    }
    tdbg_tui_view_heading(t->grid, t->rect, active);
}

void tdbg_tui_table_paint_row(const struct tdbg_tui_table *t, int row_y,
                              const struct tdbg_tui_row *row)
{
    char buf[TDBG_CELL_BYTES];
    const int y = t->rect.y + row_y, end = t->rect.x + t->rect.width;
    const uint8_t style =
        (uint8_t)((row->mark == '!' ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : row->style) |
                  (row->is_cursor ? TDBG_STYLE_BOLD : 0));
    const int hit = row->is_hit ? last_share(t) : -1;
    tdbg_tui_grid_put(t->grid, t->rect.x, y, row->is_cursor ? '>' : ' ', style);
    tdbg_tui_grid_put(t->grid, t->rect.x + 1, y, (uint32_t)row->mark, style);
    for (int i = 0; i < t->n_columns; i++) {
        if (t->width[i] <= 0)
            continue;
        if (i > 0 && row->instead) {
            tdbg_tui_grid_put_elided(t->grid, t->x[i], y, end - t->x[i], style, row->instead);
            break;
        }
        put_cell(t, i, y, (uint8_t)(style | (i == hit ? TDBG_STYLE_UNDERLINE : 0)),
                 t->text(buf, row->row, i));
    }
    if (row->is_cursor)
        tdbg_tui_grid_set_cursor(t->grid, t->rect.x, y);
}

void tdbg_tui_table_paint_none(const struct tdbg_tui_table *t, const char *text)
{
    if (t->rect.height > 1)
        tdbg_tui_grid_put_text(t->grid, t->rect.x + MARK_COLUMNS, t->rect.y + 1,
                               t->rect.width - MARK_COLUMNS, 0, text);
}

int tdbg_tui_table_rows(struct tdbg_tui_rect rect)
{
    return rect.height > 2 ? rect.height - 1 : 1;
}

int tdbg_tui_table_row_at(struct tdbg_tui_rect rect, int y)
{
    return y > rect.y && y < rect.y + rect.height ? y - rect.y - 1 : -1;
}

const char *tdbg_tui_whole_text(char buf[TDBG_CELL_BYTES], int64_t value)
{
    snprintf(buf, TDBG_CELL_BYTES, "%lld", (long long)value);
    return buf;
}

const char *tdbg_tui_count_text(char buf[TDBG_CELL_BYTES], const struct tdbg_stats *s,
                                uint64_t count)
{
    return tdbg_tui_stats_present(s) ? tdbg_text_count(buf, count) : "-";
}
