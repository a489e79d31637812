/* The output screen: what a command or another program printed, to scroll in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/app.h"
#include "tui/view.h"

enum { LINE_BYTES = 1024 };

void tdbg_tui_output_free(struct tdbg_tui_output *output)
{
    tdbg_strbuf_free(&output->text);
    *output = (struct tdbg_tui_output){0};
}

void tdbg_tui_output_add(struct tdbg_tui_output *output, const char *text, size_t n)
{
    const size_t room = TDBG_OUTPUT_BYTES - output->text.n_bytes;
    output->is_cut = output->is_cut || n > room;
    tdbg_strbuf_add(&output->text, text, n < room ? n : room);
}

int64_t tdbg_tui_output_n_lines(const struct tdbg_tui_output *output)
{
    int64_t n = 0;
    const char *text = output->text.n_bytes > 0 ? output->text.text : "";
    for (const char *c = text; *c; c++)
        n += *c == '\n' || !c[1];
    return n;
}

bool tdbg_tui_output_line(const char **at, char *buf, size_t buf_bytes)
{
    if (!*at || !**at)
        return false;
    const size_t n = strcspn(*at, "\n");
    size_t used = 0;
    for (size_t i = 0; i < n && used + 9 < buf_bytes; i++) {
        if ((*at)[i] == '\t') {
            do
                buf[used++] = ' ';
            while (used % 8);
        } else if ((*at)[i]) {
            buf[used++] = (*at)[i];
        }
    }
    buf[used] = 0;
    *at += n + ((*at)[n] == '\n');
    return true;
}

struct tdbg_strbuf *tdbg_tui_output_begin(struct tdbg_tui_app *app, const char *title)
{
    tdbg_tui_output_free(&app->output);
    snprintf(app->output.title, sizeof app->output.title, "%s", title);
    return &app->output.text;
}

void tdbg_tui_output_show(struct tdbg_tui_app *app)
{
    app->commander.reply.has_lines = true;
    if (tdbg_tui_app_screen(app) != &tdbg_tui_screen_output)
        tdbg_tui_app_open(app, &tdbg_tui_screen_output);
}

static int64_t visible_rows(const struct tdbg_tui_app *app)
{
    const int64_t rows = tdbg_tui_app_frame(app).body.height - 1; /* under the heading */
    return rows > 1 ? rows : 1;
}

static void settle(struct tdbg_tui_app *app)
{
    const int64_t most = tdbg_tui_output_n_lines(&app->output) - visible_rows(app);
    if (app->output.top > most)
        app->output.top = most;
    if (app->output.top < 0)
        app->output.top = 0;
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    char line[LINE_BYTES];
    const struct tdbg_tui_output *o = &app->output;
    const int64_t n = tdbg_tui_output_n_lines(o), end = o->top + visible_rows(app);
    const char *at = o->text.n_bytes > 0 ? o->text.text : "";
    const int y = frame->body.y;
    tdbg_tui_grid_put_elided(grid, 1, y, grid->width - 22, TDBG_STYLE_BOLD, o->title);
    snprintf(line, sizeof line, "%lld..%lld of %lld%s", (long long)(n > 0 ? o->top + 1 : 0),
             (long long)(end < n ? end : n), (long long)n, o->is_cut ? ", cut" : "");
    tdbg_tui_grid_put_right(grid, grid->width - 20, y, 18, 0, line);
    tdbg_tui_view_heading(grid, frame->body, false);
    for (int64_t i = 0; i < end && tdbg_tui_output_line(&at, line, sizeof line); i++) {
        const bool hit = app->model.pattern && tdbg_tui_pattern_matches(app->model.pattern, line);
        if (i >= o->top)
            tdbg_tui_grid_put_text(grid, 1, y + 1 + (int)(i - o->top), grid->width - 1,
                                   hit ? TDBG_STYLE_UNDERLINE : TDBG_STYLE_PLAIN, line);
    }
    tdbg_tui_grid_set_cursor(grid, 0, y + 1);
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    app->output.top += rows; /* counts are far below overflow; settle() keeps it in range */
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    app->output.top = row < 0 ? tdbg_tui_output_n_lines(&app->output) : row;
}

/* The next line with a hit becomes the first one shown, where that is possible. */
static void find(struct tdbg_tui_app *app, int64_t count)
{
    char line[LINE_BYTES];
    const char *pattern = app->model.pattern;
    struct tdbg_tui_output *o = &app->output;
    const int64_t n = tdbg_tui_output_n_lines(o);
    int64_t best = -1, nearest = n + 1;
    const char *at = o->text.n_bytes > 0 ? o->text.text : "";
    for (int64_t i = 0; pattern && i < n && tdbg_tui_output_line(&at, line, sizeof line); i++) {
        const int64_t way = count < 0 ? o->top - i : i - o->top, far = way <= 0 ? way + n : way;
        if (far < nearest && tdbg_tui_pattern_matches(pattern, line)) {
            nearest = far;
            best = i;
        }
    }
    if (best >= 0)
        o->top = best;
    else
        tdbg_tui_model_say(&app->model, pattern ? "no line has '%s'" : "nothing to find yet",
                           pattern);
}

const struct tdbg_tui_screen tdbg_tui_screen_output = {
    .name = "output",
    .move_rows = move_rows,
    .page_rows = visible_rows,
    .to_row = to_row,
    .wheel_rows = 3,
    .settle = settle,
    .draw = draw,
    .find = find,
};
