/* Tables alone: which columns are shown, how wide, and what stands in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tui/columns.h"

static const char long_name[] = "block2.attention.projection.weight";

static const char *cell_text(char *buf, const void *row, int column)
{
    if (column == 2)
        return row;
    snprintf(buf, TDBG_CELL_BYTES, "%d", column);
    return buf;
}

enum { N = 7 };
static const struct tdbg_tui_column columns[N] = {
    {"a", .width = 4},
    {"share", 10, .percent = 50, .at_least = 50, .left = true},
    {"name", .percent = 100, .least = 9, .left = true},
    {"late", 8, .rank = 5},
    {"early", 8, .rank = 1},
    {"wide", 6, .at_least = 70},
    {"last", 5, .rank = 3, .at_least = 60, .left = true},
};

static struct tdbg_tui_table at_width(struct tdbg_tui_grid *grid, int width)
{
    tdbg_tui_grid_resize(grid, width + 6, 8);
    return tdbg_tui_table_lay_out(columns, N, cell_text, grid,
                                  (struct tdbg_tui_rect){3, 2, width, 5});
}

/* In order, with a space between them, and the table is full where a share may be as wide as it
 * likes. */
static void test_columns(void **state)
{
    (void)state;
    struct tdbg_tui_grid grid = {0};
    bool was_shown[N] = {false};
    for (int width = 20; width < 200; width++) {
        const struct tdbg_tui_table t = at_width(&grid, width);
        int x = 3 + 2;
        for (int i = 0; i < N; i++) {
            if (t.width[i] == 0) {
                if (was_shown[i] && i != 3)
                    fail_msg("column %d is gone at width %d", i, width);
                continue;
            }
            was_shown[i] = true;
            assert_true(width >= columns[i].at_least);
            assert_int_equal(t.x[i], x);
            assert_true(t.width[i] >= columns[i].least);
            if (columns[i].percent != 100)
                assert_true(t.width[i] <= columns[i].width);
            x += t.width[i] + 1;
        }
        assert_int_equal(x - 1, 3 + width);
        if (t.width[3] > 0)
            assert_true(t.width[4] > 0); /* has room before it */
    }
    for (int i = 0; i < N; i++)
        assert_true(was_shown[i]);
    assert_int_equal(at_width(&grid, 199).width[1], 10);
    tdbg_tui_grid_free(&grid);
}

static void row_text(const struct tdbg_tui_grid *grid, int y, char buf[100])
{
    int n = 0;
    for (int x = 3; x < grid->width - 3; x++)
        buf[n++] = (char)tdbg_tui_grid_at(grid, x, y)->code;
    while (n > 0 && buf[n - 1] == ' ')
        n--;
    buf[n] = 0;
}

static void test_rows(void **state)
{
    (void)state;
    struct tdbg_tui_grid grid = {.ascii = true};
    char text[100];
    const struct tdbg_tui_table t = at_width(&grid, 49);
    tdbg_tui_table_paint_titles(&t, "other name", true);
    tdbg_tui_table_paint_row(&t, 1, &(struct tdbg_tui_row){.row = "short", .mark = ' '});
    tdbg_tui_table_paint_row(
        &t, 2,
        &(struct tdbg_tui_row){
            .row = long_name, .mark = '!', .style = TDBG_STYLE_YELLOW, .is_cursor = true});
    tdbg_tui_table_paint_row(
        &t, 3,
        &(struct tdbg_tui_row){
            .row = "hit", .mark = '~', .style = TDBG_STYLE_YELLOW, .is_hit = true});
    tdbg_tui_table_paint_row(
        &t, 4, &(struct tdbg_tui_row){.row = "x", .mark = ' ', .instead = "there is none"});
    row_text(&grid, 2, text);
    assert_string_equal(text, ">    a other name                   late    early");
    row_text(&grid, 3, text);
    assert_string_equal(text, "     0 short                           3        4");
    row_text(&grid, 4, text);
    assert_string_equal(text, ">!   0 block2.~rojection.weight        3        4");
    row_text(&grid, 5, text);
    assert_string_equal(text, " ~   0 hit                             3        4");
    row_text(&grid, 6, text);
    assert_string_equal(text, "     0 there is none");
    assert_int_equal(grid.cursor_x, 3);
    assert_int_equal(grid.cursor_y, 4);
    assert_int_equal(tdbg_tui_grid_at(&grid, 4, 4)->style, TDBG_STYLE_RED | TDBG_STYLE_BOLD);
    assert_int_equal(tdbg_tui_grid_at(&grid, t.x[2], 5)->style,
                     TDBG_STYLE_YELLOW | TDBG_STYLE_UNDERLINE);
    assert_int_equal(tdbg_tui_grid_at(&grid, t.x[3] + 7, 5)->style, TDBG_STYLE_YELLOW);
    tdbg_tui_grid_free(&grid);
}

static void test_row_at(void **state)
{
    static const struct tdbg_tui_rect rect = {3, 2, 40, 5}, low = {0, 0, 40, 1};
    (void)state;
    assert_int_equal(tdbg_tui_table_rows(rect), 4);
    assert_int_equal(tdbg_tui_table_rows(low), 1);
    for (int y = 0; y < 10; y++)
        assert_int_equal(tdbg_tui_table_row_at(rect, y), y > 2 && y < 7 ? y - 3 : -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_row_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
