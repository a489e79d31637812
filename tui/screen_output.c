/* The output screen: the lines that a command or another program printed; and the answer screen,
 * the same of what bisect printed, whose lines lead to the places that they name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tui/app.h"
#include "tui/verdict.h"
#include "tui/view.h"

enum { LINE_BYTES = 1024 };

void tdbg_tui_output_free(struct tdbg_tui_output *output)
{
    tdbg_strbuf_free(&output->text);
    tdbg_strbuf_free(&output->json);
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

bool tdbg_tui_output_is_shown(const struct tdbg_tui_app *app)
{
    return tdbg_tui_app_screen(app) == &tdbg_tui_screen_output ||
           tdbg_tui_app_screen(app) == &tdbg_tui_screen_answer;
}

void tdbg_tui_output_show(struct tdbg_tui_app *app)
{
    const struct tdbg_tui_screen *screen =
        app->output.is_verdict ? &tdbg_tui_screen_answer : &tdbg_tui_screen_output;
    app->commander.reply.has_lines = true;
    if (tdbg_tui_app_screen(app) == screen)
        return;
    if (tdbg_tui_output_is_shown(app))
        tdbg_tui_app_back(app);
    tdbg_tui_app_open(app, screen);
}

static int64_t visible_rows(const struct tdbg_tui_app *app)
{
    const int64_t rows = tdbg_tui_app_frame(app).body.height - 1; /* under the heading */
    return rows > 1 ? rows : 1;
}

static const char *text_of(const struct tdbg_tui_output *output)
{
    return output->text.n_bytes > 0 ? output->text.text : "";
}

/* ---- long lines go on in further rows, a bit further in ---- */

/* Bytes of the next row, which ends behind a word where there is one. */
static size_t row_bytes(const struct tdbg_tui_grid *grid, const char *text, int width)
{
    const size_t fits = tdbg_tui_text_that_fits(grid, text, width);
    if (!text[fits])
        return fits;
    for (size_t n = fits; n > fits / 2; n--) {
        if (text[n - 1] == ' ')
            return n;
    }
    return fits > 0 ? fits : 1;
}

static int indent_of(const char *line, int width)
{
    const int indent = (int)strspn(line, " ") + 2;
    return indent < width / 2 ? indent : 0;
}

/* Rows that a line takes, which are painted from y on where there is a grid to paint into; at most
 * `most`. */
static int put_rows(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid, int y, int most,
                    uint8_t style, const char *line)
{
    enum { LEFT = 1 }; /* of the cursor */
    const int width = app->width - LEFT;
    const int indent = indent_of(line, width);
    char row[LINE_BYTES];
    int n = 0;
    do {
        const int in = n > 0 ? indent : 0;
        const size_t bytes = row_bytes(&app->grid, line, width - in);
        snprintf(row, sizeof row, "%.*s", (int)bytes, line);
        if (grid)
            tdbg_tui_grid_put_text(grid, LEFT + in, y + n, width - in, style, row);
        line += bytes;
        n++;
    } while (*line && n < most);
    return n;
}

/* Lines from `top` on that are on the screen as a whole; at least one. */
static int64_t lines_that_fit(const struct tdbg_tui_app *app, int64_t top)
{
    char line[LINE_BYTES];
    const char *at = text_of(&app->output);
    const int rows = (int)visible_rows(app);
    int used = 0;
    int64_t n = 0;
    for (int64_t i = 0; used <= rows && tdbg_tui_output_line(&at, line, sizeof line); i++) {
        if (i < top)
            continue;
        used += put_rows(app, NULL, 0, rows, 0, line);
        n += used <= rows;
    }
    return n > 0 ? n : 1;
}

/* The first of the lines from which on `line` is on the screen, and no line above it need be. */
static int64_t least_top(const struct tdbg_tui_app *app, int64_t line)
{
    int64_t top = line - visible_rows(app) + 1;
    top = top < 0 ? 0 : top;
    while (top < line && top + lines_that_fit(app, top) <= line)
        top++;
    return top;
}

/* The cursor is on a line, the line on the screen, and the screen as full as can be. */
static void settle(struct tdbg_tui_app *app)
{
    struct tdbg_tui_output *o = &app->output;
    const int64_t n = tdbg_tui_output_n_lines(o);
    o->at = o->at >= n ? n - 1 : o->at;
    o->at = o->at < 0 ? 0 : o->at;
    const int64_t least = least_top(app, o->at), most = n > 0 ? least_top(app, n - 1) : 0;
    o->top = o->top > most ? most : o->top;
    o->top = o->top < least ? least : o->top > o->at ? o->at : o->top;
}

static uint8_t line_style(const struct tdbg_tui_app *app, const char *line)
{
    if (app->model.pattern && tdbg_tui_pattern_matches(app->model.pattern, line))
        return TDBG_STYLE_UNDERLINE;
    return app->output.is_verdict && tdbg_tui_line_is_verdict(line) ? TDBG_STYLE_BOLD
                                                                    : TDBG_STYLE_PLAIN;
}

static void draw(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame)
{
    char line[LINE_BYTES];
    const struct tdbg_tui_output *o = &app->output;
    const int64_t n = tdbg_tui_output_n_lines(o), end = o->top + lines_that_fit(app, o->top);
    const char *at = text_of(o);
    const int bottom = frame->body.y + frame->body.height;
    int y = frame->body.y;
    tdbg_tui_grid_put_elided(grid, 1, y, grid->width - 22, TDBG_STYLE_BOLD, o->title);
    snprintf(line, sizeof line, "%lld..%lld of %lld%s", (long long)(n > 0 ? o->top + 1 : 0),
             (long long)(end < n ? end : n), (long long)n, o->is_cut ? ", cut" : "");
    tdbg_tui_grid_put_right(grid, grid->width - 20, y, 18, 0, line);
    tdbg_tui_view_heading(grid, frame->body, false);
    y++;
    tdbg_tui_grid_set_cursor(grid, 0, y);
    for (int64_t i = 0; y < bottom && tdbg_tui_output_line(&at, line, sizeof line); i++) {
        if (i < o->top)
            continue;
        if (i == o->at) {
            tdbg_tui_grid_put(grid, 0, y, '>', line_style(app, line));
            tdbg_tui_grid_set_cursor(grid, 0, y);
        }
        y += put_rows(app, grid, y, bottom - y, line_style(app, line), line);
    }
}

static void move_rows(struct tdbg_tui_app *app, int64_t rows)
{
    app->output.at += rows; /* counts are far below overflow; settle() keeps it in range */
}

static void to_row(struct tdbg_tui_app *app, int64_t row)
{
    app->output.at = row < 0 ? tdbg_tui_output_n_lines(&app->output) : row;
}

/* The count-th hit after, or before, the cursor, round the end. */
static void find(struct tdbg_tui_app *app, int64_t count)
{
    char line[LINE_BYTES];
    const char *pattern = app->model.pattern;
    struct tdbg_tui_output *o = &app->output;
    const int64_t n = tdbg_tui_output_n_lines(o);
    int64_t best = -1, nearest = n + 1;
    const char *at = text_of(o);
    for (int64_t i = 0; pattern && i < n && tdbg_tui_output_line(&at, line, sizeof line); i++) {
        const int64_t way = count < 0 ? o->at - i : i - o->at, far = way <= 0 ? way + n : way;
        if (far < nearest && tdbg_tui_pattern_matches(pattern, line)) {
            nearest = far;
            best = i;
        }
    }
    if (best >= 0)
        o->at = best;
    else
        tdbg_tui_model_say(&app->model, pattern ? "no line has '%s'" : "nothing to find yet",
                           pattern);
}

static int64_t line_in_row(const struct tdbg_tui_app *app, int row)
{
    char line[LINE_BYTES];
    const char *at = text_of(&app->output);
    int64_t i = 0;
    for (; row >= 0 && tdbg_tui_output_line(&at, line, sizeof line); i++) {
        if (i >= app->output.top)
            row -= put_rows(app, NULL, 0, row + 1, 0, line);
    }
    return i - 1;
}

static void mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button)
{
    const struct tdbg_tui_rect body = tdbg_tui_app_frame(app).body;
    if (button == TDBG_BUTTON_CLICK && tdbg_tui_rect_has(body, x, y) && y > body.y)
        app->output.at = line_in_row(app, y - body.y - 1);
}

/* ---- what bisect says ---- */

void tdbg_tui_output_go_to_answer(struct tdbg_tui_app *app)
{
    struct tdbg_tui_output *o = &app->output;
    int64_t answer;
    o->at = tdbg_tui_verdict_line(text_of(o), app->model.data, &answer);
    o->top = answer; /* as far down as there are lines */
    settle(app);
}

static bool line_at(const struct tdbg_tui_output *o, int64_t number, char *line, size_t line_bytes)
{
    const char *at = text_of(o);
    bool has = true;
    for (int64_t i = 0; i <= number && has; i++)
        has = tdbg_tui_output_line(&at, line, line_bytes);
    return has;
}

/* To the place that the line names, on the screen that was there before. */
static void open_place(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    char line[LINE_BYTES];
    struct tdbg_tui_line_place place;
    struct tdbg_tui_model *m = &app->model;
    if (!line_at(&app->output, app->output.at, line, sizeof line) ||
        !tdbg_tui_line_place(line, m->data, &place)) {
        tdbg_tui_model_say(m, "this line names no step of this trace");
        return;
    }
    tdbg_tui_app_back(app);
    if (place.rank >= 0 && tdbg_tui_app_goto_rank(app, place.rank))
        tdbg_tui_line_place(line, m->data, &place); /* it has sites of its own */
    tdbg_tui_model_goto_step(m, place.step);
    if (place.site >= 0)
        tdbg_tui_model_goto_site(m, place.site);
    if (!m->message)
        tdbg_tui_model_say(m, "step %lld%s%s  (:out shows the answer again)", (long long)place.step,
                           place.site >= 0 ? ", " : "",
                           place.site >= 0 ? m->data->sites[m->focus.site].name : "");
}

/* ---- writing it ---- */

enum tdbg_status tdbg_tui_output_write(const struct tdbg_strbuf *text, const char *path,
                                       struct tdbg_err *err)
{
    FILE *f = fopen(path, "wxe");
    if (!f)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", path, strerror(errno));
    const bool failed = fwrite(text->text, 1, text->n_bytes, f) != text->n_bytes;
    if (fclose(f) != 0 || failed)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", path, strerror(errno));
    return TDBG_OK;
}

/* The text, or in a file named .json the JSON. */
static void write_to(struct tdbg_tui_app *app, const char *path)
{
    struct tdbg_err err = {0};
    const size_t n = strlen(path);
    const bool as_json = n > 5 && strcmp(path + n - 5, ".json") == 0;
    const struct tdbg_strbuf *text = as_json ? &app->output.json : &app->output.text;
    if (n == 0)
        return;
    if (text->n_bytes == 0)
        tdbg_tui_model_say_error(&app->model, as_json ? "only bisect gives JSON here"
                                                      : "there is nothing to write");
    else if (tdbg_tui_output_write(text, path, &err) == TDBG_OK)
        tdbg_tui_model_say(&app->model, "wrote %s", path);
    else
        tdbg_tui_model_say_error(&app->model, "%s", err.message);
    tdbg_err_clear(&err);
}

static void export(struct tdbg_tui_app *app, int64_t count, bool has_count)
{
    (void)count, (void)has_count;
    tdbg_tui_prompt_open(&app->prompt, "write to: ",
                         app->output.json.n_bytes > 0
                             ? "Enter write the text, or with NAME.json the JSON  Esc cancel"
                             : "Enter write the text  Esc cancel",
                         write_to);
}

static const struct tdbg_tui_action actions[] = {
    {TDBG_REQUEST_EXPORT, export},
    {TDBG_REQUEST_NONE, NULL},
};

static const struct tdbg_tui_action answer_actions[] = {
    {TDBG_REQUEST_OPEN, open_place},
    {TDBG_REQUEST_EXPORT, export},
    {TDBG_REQUEST_NONE, NULL},
};

static const enum tdbg_tui_request hints[] = {TDBG_REQUEST_OPEN, TDBG_REQUEST_FIND,
                                              TDBG_REQUEST_EXPORT, TDBG_REQUEST_NONE};

#define OUTPUT_MEMBERS                                                                             \
    .move_rows = move_rows, .page_rows = visible_rows, .to_row = to_row, .wheel_rows = 3,          \
    .hints = hints, .settle = settle, .draw = draw, .mouse = mouse, .find = find

const struct tdbg_tui_screen tdbg_tui_screen_output = {
    .name = "output", .actions = actions, OUTPUT_MEMBERS};
const struct tdbg_tui_screen tdbg_tui_screen_answer = {
    .name = "answer", .actions = answer_actions, OUTPUT_MEMBERS};
