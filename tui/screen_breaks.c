/* The list of breakpoints, watches and marks. */
#include <stdio.h>

#include "tui/app.h"
#include "tui/number_text.h"
#include "tui/view.h"

enum row_kind { ROW_BREAK, ROW_WATCH, ROW_MARK };
struct row {
    enum row_kind kind;
    int index;
};
enum { MAX_ROWS = TDBG_BREAKS + TDBG_WATCHES + TDBG_PLACES_MARKS };

static int make_rows(const struct tdbg_tui_app *app, struct row rows[MAX_ROWS])
{
    int n = 0;
    for (int i = 0; i < app->breaks.n; i++)
        rows[n++] = (struct row){ROW_BREAK, i};
    for (int i = 0; i < app->breaks.n_watches; i++)
        rows[n++] = (struct row){ROW_WATCH, i};
    for (int i = 0; i < TDBG_PLACES_MARKS; i++) {
        if (app->places.mark[i].is_set)
            rows[n++] = (struct row){ROW_MARK, i};
    }
    return n;
}

static int64_t visible_rows(const struct tdbg_tui_app *app)
{
    const int64_t rows = tdbg_tui_app_frame(app).body.height - 1; /* under the heading */
    return rows > 1 ? rows : 1;
}

static void settle(struct tdbg_tui_app *app)
{
    struct row rows[MAX_ROWS];
    const int64_t n = make_rows(app, rows);
    if (app->breaks_at >= n)
        app->breaks_at = n - 1;
    if (app->breaks_at < 0)
        app->breaks_at = 0;
    app->breaks_top = tdbg_tui_panes_scroll(app->breaks_at, n, visible_rows(app));
}

static void break_text(const struct tdbg_tui_app *app, int i, char *buf, size_t buf_bytes)
{
    const struct tdbg_tui_break *b = &app->breaks.list[i];
    char name[TDBG_KEY_NAME_BYTES];
    snprintf(name, sizeof name, "B%d", b->id);
    snprintf(buf, buf_bytes, "%-5s %-8s hits %-5lld %s", name,
             b->is_disabled    ? "off"
             : b->is_temporary ? "once"
                               : "on",
             (long long)b->hits, b->text);
}

/* The norm is that of the statistics: the root of the sum of squares. */
static void watch_text(const struct tdbg_tui_app *app, int i, char *buf, size_t buf_bytes)
{
    const struct tdbg_tui_model *m = &app->model;
    const int32_t site = app->breaks.watch[i];
    char label[TDBG_SITE_LABEL_BYTES], rms[TDBG_NUMBER_BYTES], mean[TDBG_NUMBER_BYTES];
    if (m->stats_step == m->focus.step && tdbg_tui_stats_present(&m->stats[site]))
        snprintf(buf, buf_bytes, "watch %-30s rms %-10s mean %s",
                 tdbg_tui_model_site_label(m, site, label),
                 tdbg_text_number(rms, m->stats[site].rms, 9),
                 tdbg_text_number(mean, m->stats[site].mean, 9));
    else
        snprintf(buf, buf_bytes, "watch %-30s not recorded at this step",
                 tdbg_tui_model_site_label(m, site, label));
}

static void mark_text(const struct tdbg_tui_app *app, int i, char *buf, size_t buf_bytes)
{
    const struct tdbg_tui_mark *mark = &app->places.mark[i];
    char label[TDBG_SITE_LABEL_BYTES] = "";
    if (mark->focus.site < app->model.data->n_sites)
        tdbg_tui_model_site_label(&app->model, mark->focus.site, label);
    snprintf(buf, buf_bytes, "mark  %c        step %-8lld %-24s %s", tdbg_tui_places_letter(i),
             (long long)mark->focus.step, label, mark->text ? mark->text : "");
}

static void row_text(const struct tdbg_tui_app *app, const struct row *row, char *buf,
                     size_t buf_bytes)
{
    if (row->kind == ROW_BREAK)
        break_text(app, row->index, buf, buf_bytes);
    else if (row->kind == ROW_WATCH)
        watch_text(app, row->index, buf, buf_bytes);
    else
        mark_text(app, row->index, buf, buf_bytes);
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    struct row rows[MAX_ROWS];
    char text[TDBG_BREAK_TEXT + 100];
    const int64_t n = make_rows(app, rows);
    const int y = frame->body.y;
    tdbg_tui_grid_put_text(grid, 1, y, grid->width - 2, TDBG_STYLE_BOLD,
                           "breakpoints, watches, marks");
    tdbg_tui_view_heading(grid, frame->body, false);
    if (n == 0)
        tdbg_tui_grid_put_text(grid, 1, y + 1, grid->width - 2, 0,
                               "none yet  :b loss > 10   b and w on an op   m and a letter");
    for (int64_t i = 0; i < visible_rows(app) && app->breaks_top + i < n; i++) {
        const int64_t at = app->breaks_top + i;
        const int row = y + 1 + (int)i;
        row_text(app, &rows[at], text, sizeof text);
        if (at == app->breaks_at)
            tdbg_tui_grid_put(grid, 0, row, '>', TDBG_STYLE_BOLD);
        tdbg_tui_grid_put_elided(grid, 1, row, grid->width - 1,
                                 at == app->breaks_at ? TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN, text);
    }
    tdbg_tui_grid_set_cursor(grid, 0, y + 1 + (int)(app->breaks_at - app->breaks_top));
}

/* One row of a pane that is narrow: "B1 loss > 10    hits 3". */
static void paint_short(const struct tdbg_tui_app *app, const struct row *row,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect at)
{
    enum { RIGHT_COLUMNS = 12 };
    const struct tdbg_tui_model *m = &app->model;
    char left[TDBG_BREAK_TEXT + 16], right[200] = "", label[TDBG_SITE_LABEL_BYTES];
    char number[TDBG_NUMBER_BYTES];
    if (row->kind == ROW_BREAK) {
        const struct tdbg_tui_break *b = &app->breaks.list[row->index];
        snprintf(left, sizeof left, "B%d %s", b->id, b->text);
        if (b->is_disabled)
            snprintf(right, sizeof right, "off");
        else
            snprintf(right, sizeof right, "hits %lld", (long long)b->hits);
    } else if (row->kind == ROW_WATCH) {
        const int32_t site = app->breaks.watch[row->index];
        snprintf(left, sizeof left, "watch %s", tdbg_tui_model_site_label(m, site, label));
        if (m->stats_step == m->focus.step && tdbg_tui_stats_present(&m->stats[site]))
            snprintf(right, sizeof right, "rms %s",
                     tdbg_text_number(number, m->stats[site].rms, 8));
    } else {
        const struct tdbg_tui_mark *mark = &app->places.mark[row->index];
        snprintf(left, sizeof left, "mark %c %lld %s", tdbg_tui_places_letter(row->index),
                 (long long)mark->focus.step,
                 mark->text                            ? mark->text
                 : mark->focus.site < m->data->n_sites ? m->data->sites[mark->focus.site].name
                                                       : "");
    }
    const int room = at.width - 2 - (*right ? RIGHT_COLUMNS + 1 : 0);
    tdbg_tui_grid_put_text(grid, at.x + 2, at.y, room - 1, 0, left);
    tdbg_tui_grid_put_right(grid, at.x + at.width - 1 - RIGHT_COLUMNS, at.y, RIGHT_COLUMNS, 0,
                            right);
}

void tdbg_tui_draw_breaks_pane(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                               struct tdbg_tui_rect rect)
{
    struct row rows[MAX_ROWS];
    const int n = make_rows(app, rows);
    if (n == 0 || rect.height < 2)
        return;
    const int shown = n <= rect.height - 1 ? n : rect.height - 2;
    tdbg_tui_grid_put_text(grid, rect.x + 2, rect.y, rect.width - 2, 0,
                           "breakpoints, watches, marks");
    tdbg_tui_view_heading(grid, rect, false);
    for (int i = 0; i < shown; i++)
        paint_short(app, &rows[i], grid,
                    (struct tdbg_tui_rect){rect.x, rect.y + 1 + i, rect.width, 1});
    if (shown < n)
        tdbg_tui_grid_printf(grid, rect.x + 1, rect.y + 1 + shown, rect.width - 2, 0, "and %d more",
                             n - shown);
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    app->breaks_at += rows; /* counts are far below overflow; settle() keeps it in range */
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    app->breaks_at = row < 0 ? MAX_ROWS : row; /* settle() keeps it in range */
}

/* The row under the cursor; false: the list is empty. */
static bool at_cursor(struct tdbg_tui_app *app, struct row *row)
{
    struct row rows[MAX_ROWS];
    const int64_t n = make_rows(app, rows);
    if (app->breaks_at >= n) {
        tdbg_tui_model_say(&app->model, "this list is empty");
        return false;
    }
    *row = rows[app->breaks_at];
    return true;
}

/* To a mark, to a watched tensor, to the next step at which a breakpoint stops. */
static void open_row(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct row row;
    if (!at_cursor(app, &row))
        return;
    if (row.kind == ROW_MARK) {
        tdbg_tui_app_go_to(app, &app->places.mark[row.index].focus);
    } else if (row.kind == ROW_WATCH) {
        tdbg_tui_model_goto_site(&app->model, app->breaks.watch[row.index]);
    } else {
        tdbg_tui_search(app, app->breaks.list[row.index].text, app->model.focus.step + 1,
                        tdbg_tui_model_last_step(&app->model));
    }
}

static void delete_row(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct row row;
    bool ignored;
    if (!at_cursor(app, &row))
        return;
    if (row.kind == ROW_MARK)
        tdbg_tui_mark_clear(&app->places.mark[row.index]);
    else if (row.kind == ROW_WATCH)
        tdbg_tui_breaks_toggle_watch(&app->breaks, app->breaks.watch[row.index], &ignored);
    else
        tdbg_tui_breaks_delete(&app->breaks, &app->breaks.list[row.index]);
}

static void switch_row(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    struct row row;
    if (!at_cursor(app, &row))
        return;
    if (row.kind == ROW_BREAK)
        app->breaks.list[row.index].is_disabled = !app->breaks.list[row.index].is_disabled;
    else
        tdbg_tui_model_say(&app->model, "only breakpoints are switched on and off");
}

static void find(struct tdbg_tui_app *app, int64_t count)
{
    struct row rows[MAX_ROWS];
    char text[TDBG_BREAK_TEXT + 100];
    const int64_t n = make_rows(app, rows), direction = count < 0 ? -1 : 1;
    const char *pattern = app->model.pattern;
    for (int64_t i = 1; pattern && i <= n; i++) {
        const int64_t at = ((app->breaks_at + direction * i) % n + n) % n;
        row_text(app, &rows[at], text, sizeof text);
        if (tdbg_tui_pattern_matches(pattern, text)) {
            app->breaks_at = at;
            return;
        }
    }
    tdbg_tui_model_say(&app->model, pattern ? "no row has '%s'" : "nothing to find yet", pattern);
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    (void)x, (void)button;
    const int top = tdbg_tui_app_frame(app).body.y + 1;
    if (y >= top && y < top + visible_rows(app))
        app->breaks_at = app->breaks_top + y - top;
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_OPEN, open_row},
    {TDBG_REQUEST_DELETE, delete_row},
    {TDBG_REQUEST_SWITCH, switch_row},
    {TDBG_REQUEST_NONE, NULL},
};

const struct tdbg_tui_screen tdbg_tui_screen_breaks = {
    .name = "breaks",
    .actions = actions,
    .move_rows = move_rows,
    .page_rows = visible_rows,
    .to_row = to_row,
    .wheel_rows = 1,
    .settle = settle,
    .draw = draw,
    .mouse = mouse,
    .find = find,
};
