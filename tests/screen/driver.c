/* See driver.h. */
#include "tests/screen/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <cmocka.h>

/* Every style that a screen may use. */
static const struct {
    uint8_t style;
    char letter;
} letters[] = {
    {TDBG_STYLE_PLAIN, '.'},
    {TDBG_STYLE_BOLD, 'b'},
    {TDBG_STYLE_REVERSE, 'r'},
    {TDBG_STYLE_BOLD | TDBG_STYLE_REVERSE, 'R'},
    {TDBG_STYLE_UNDERLINE, 'u'},
    {TDBG_STYLE_BOLD | TDBG_STYLE_UNDERLINE, 'U'},
    {TDBG_STYLE_CYAN | TDBG_STYLE_REVERSE, 'C'},
    {TDBG_STYLE_CYAN, 'c'},
    {TDBG_STYLE_CYAN | TDBG_STYLE_UNDERLINE, 'v'},
    {TDBG_STYLE_YELLOW, 'y'},
    {TDBG_STYLE_YELLOW | TDBG_STYLE_BOLD, 'Y'},
    {TDBG_STYLE_RED | TDBG_STYLE_BOLD, 'e'},
    {TDBG_STYLE_RED | TDBG_STYLE_BOLD | TDBG_STYLE_UNDERLINE, 'E'},
    {TDBG_STYLE_RED | TDBG_STYLE_BOLD | TDBG_STYLE_REVERSE, '!'},
};

static char letter_of(uint8_t style)
{
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        if (letters[i].style == style)
            return letters[i].letter;
    }
    return '?';
}

static void add_code(struct tdbg_strbuf *sb, uint32_t c)
{
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    const int extra = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    if (c == 0)
        return; /* the right half of a wide character */
    tdbg_strbuf_putc(sb, (char)(lead[extra] | c >> (6 * extra)));
    for (int i = extra - 1; i >= 0; i--)
        tdbg_strbuf_putc(sb, (char)(0x80 | (c >> (6 * i) & 0x3f)));
}

static void drop_tail(struct tdbg_strbuf *sb, char c)
{
    while (sb->n_bytes > 0 && sb->text[sb->n_bytes - 1] == c)
        sb->text[--sb->n_bytes] = 0;
}

static void add_row(struct tdbg_strbuf *sb, const struct tdbg_tui_grid *grid, int y)
{
    for (int x = 0; x < grid->width; x++) {
        add_code(sb, tdbg_tui_grid_at(grid, x, y)->code);
        add_code(sb, tdbg_tui_grid_at(grid, x, y)->mark);
    }
    drop_tail(sb, ' ');
}

static char colour_letter(uint8_t colour)
{
    static const char letters_of[] = ".abcdefghijklmnopqrstuvwxABCDEFGHIJKLMNOPQRSTUVWX";
    return letters_of[colour];
}

/* Upper and lower pixels of the rows that hold any: a letter per grey (a .. x) or colour (A .. X).
 */
static void add_pictures(struct tdbg_strbuf *sb, const struct tdbg_tui_grid *grid)
{
    bool any = false;
    for (int y = 0; y < grid->height; y++) {
        bool has = false;
        for (int x = 0; x < grid->width; x++)
            has = has || tdbg_tui_grid_at(grid, x, y)->front;
        if (has && !any)
            tdbg_strbuf_puts(sb, "pictures\n");
        any = any || has;
        for (int half = 0; has && half < 2; half++) {
            for (int x = 0; x < grid->width; x++) {
                const struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
                tdbg_strbuf_putc(sb, colour_letter(half ? cell->back : cell->front));
            }
            drop_tail(sb, '.');
            tdbg_strbuf_putc(sb, '\n');
        }
    }
}

char *driver_screen(const struct driver *d)
{
    return driver_text(&d->app);
}

char *driver_text(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_grid *grid = &app->grid;
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_printf(&sb, "%dx%d cursor %d,%d%s\n", grid->width, grid->height, grid->cursor_x,
                       grid->cursor_y, grid->cursor_is_text ? " text" : "");
    for (int y = 0; y < grid->height; y++) {
        add_row(&sb, grid, y);
        tdbg_strbuf_putc(&sb, '\n');
    }
    tdbg_strbuf_puts(&sb, "styles\n");
    for (int y = 0; y < grid->height; y++) {
        for (int x = 0; x < grid->width; x++)
            tdbg_strbuf_putc(&sb, letter_of(tdbg_tui_grid_at(grid, x, y)->style));
        drop_tail(&sb, '.');
        tdbg_strbuf_putc(&sb, '\n');
    }
    add_pictures(&sb, grid);
    return tdbg_strbuf_take(&sb);
}

const char *driver_row(const struct driver *d, int y)
{
    static char row[4096];
    struct tdbg_strbuf sb = {0};
    add_row(&sb, &d->app.grid, y);
    snprintf(row, sizeof row, "%s", sb.text ? sb.text : "");
    tdbg_strbuf_free(&sb);
    return row;
}

const char *driver_message(const struct driver *d)
{
    return driver_row(d, d->app.grid.height - 2);
}

void driver_expect(const struct driver *d, const char *words)
{
    const char *message = driver_message(d);
    if (words ? !strstr(message, words) : *message)
        fail_msg("the message is '%s' and not '%s'", message, words ? words : "");
}

int32_t driver_site(const struct driver *d, const char *name)
{
    for (int32_t i = 0; i < d->run.data.n_sites; i++) {
        if (strcmp(d->run.sites[i].name, name) == 0)
            return i;
    }
    fail_msg("no site %s", name);
    return -1;
}

void driver_expect_at(const struct driver *d, int64_t step, int32_t site)
{
    assert_int_equal(d->app.model.focus.step, step);
    assert_int_equal(d->app.model.focus.site, site);
}

static void broken(const struct tdbg_tui_app *app, const char *what, int x, int y)
{
    char *screen = driver_text(app);
    print_error("%s at %d,%d of this screen:\n%s\n", what, x, y, screen);
    free(screen);
    fail();
}

void driver_check(const struct tdbg_tui_app *app)
{
    const struct tdbg_tui_grid *grid = &app->grid;
    assert_int_equal(grid->width, app->width);
    assert_int_equal(grid->height, app->height);
    assert_true(grid->cursor_x >= 0 && grid->cursor_x < grid->width);
    assert_true(grid->cursor_y >= 0 && grid->cursor_y < grid->height);
    for (int y = 0; y < grid->height; y++) {
        for (int x = 0; x < grid->width; x++) {
            const struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
            const bool is_wide = cell->code > 0x7e && wcwidth((wchar_t)cell->code) == 2;
            const bool has_half = x + 1 < grid->width && cell[1].code == 0;
            if (letter_of(cell->style) == '?')
                broken(app, "a style without a letter", x, y);
            if (cell->code != 0 && (cell->code < ' ' || (cell->code >= 0x7f && cell->code < 0xa0)))
                broken(app, "a control character", x, y);
            if (grid->ascii && cell->code >= 0x7f)
                broken(app, "a byte >= 0x80", x, y);
            if (cell->mark && (grid->ascii || wcwidth((wchar_t)cell->mark) != 0))
                broken(app, "a mark that does not combine", x, y);
            if (cell->code == 0 && x == 0)
                broken(app, "half a character", x, y);
            if (cell->code != 0 && is_wide != has_half)
                broken(app, "a wide character without its half, or a half without it", x, y);
        }
    }
}

/* Jobs of a test's own may answer whenever they like. */
static bool will_answer(const struct driver *d)
{
    return d->app.jobs == &d->jobs.table && !d->jobs.holds && tdbg_tui_app_waits(&d->app);
}

void driver_draw(struct driver *d)
{
    tdbg_tui_app_take_answers(&d->app);
    tdbg_tui_app_draw(&d->app);
    driver_check(&d->app);
    while (!d->app.done && (tdbg_tui_app_work(&d->app) || will_answer(d))) {
        tdbg_tui_app_take_answers(&d->app);
        tdbg_tui_app_draw(&d->app);
        driver_check(&d->app);
    }
}

static struct driver *open_driver; /* for driver_teardown() */

void driver_open(struct driver *d, const struct fake_wish *wish, int width, int height, bool ascii)
{
    struct tdbg_err err = {0};
    fake_run_make(&d->run, wish);
    fake_jobs_make(&d->jobs, &d->run);
    assert_int_equal(tdbg_tui_app_init(&d->app, &d->run.data,
                                       wish->has_jobs ? &d->jobs.table : NULL, ascii, &err),
                     TDBG_OK);
    open_driver = d;
    d->app.grid.colours = ascii ? 0 : 256;
    tdbg_tui_app_resize(&d->app, width, height);
    driver_draw(d);
}

void driver_close(struct driver *d)
{
    open_driver = NULL;
    tdbg_tui_app_free(&d->app);
    fake_jobs_free(&d->jobs);
}

int driver_teardown(void **state)
{
    (void)state;
    if (open_driver)
        driver_close(open_driver);
    return 0;
}

void driver_reopen(struct driver *d, const struct fake_wish *wish, int width, int height,
                   bool ascii, const char *keys)
{
    driver_close(d);
    driver_open(d, wish, width, height, ascii);
    driver_press(d, keys);
}

void driver_open_80x24(struct driver *d, const struct fake_wish *wish)
{
    driver_reopen(d, wish, 80, 24, true, "");
}

void driver_open_unread(struct driver *d, const struct fake_wish *wish)
{
    struct tdbg_err err = {0};
    driver_close(d);
    fake_run_make(&d->run, wish);
    assert_int_equal(tdbg_tui_app_init(&d->app, &d->run.data, NULL, true, &err), TDBG_OK);
    open_driver = d;
    tdbg_tui_app_draw(&d->app);
}

uint32_t driver_key_named(const char *name, size_t n_bytes)
{
    char text[TDBG_KEY_NAME_BYTES];
    for (uint32_t key = 1; key < TDBG_KEY_BEYOND; key++) {
        if (key == 128)
            key = TDBG_KEY_SPECIAL;
        tdbg_tui_key_name(key, text);
        if (strlen(text) == n_bytes && memcmp(text, name, n_bytes) == 0)
            return key;
    }
    return 0;
}

void driver_press(struct driver *d, const char *keys)
{
    while (*keys) {
        uint32_t key = (unsigned char)*keys;
        if (*keys == '<') {
            const char *end = strchr(keys, '>');
            assert_non_null(end);
            key = driver_key_named(keys + 1, (size_t)(end - keys - 1));
            assert_int_not_equal(key, 0);
            keys = end;
        }
        keys++;
        tdbg_tui_app_key(&d->app, key);
        driver_draw(d);
    }
}

void driver_resize(struct driver *d, int width, int height)
{
    tdbg_tui_app_resize(&d->app, width, height);
    driver_draw(d);
}

void driver_command(struct driver *d, const char *line)
{
    driver_press(d, ":");
    for (const char *c = line; *c; c++)
        tdbg_tui_app_key(&d->app, (unsigned char)*c);
    driver_press(d, "<Enter>");
}

void driver_mouse(struct driver *d, int x, int y, enum tdbg_tui_button button)
{
    tdbg_tui_app_mouse(&d->app, x, y, button);
    driver_draw(d);
}

static char *load(const char *path)
{
    struct tdbg_strbuf sb = {0};
    char buf[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        tdbg_strbuf_add(&sb, buf, n);
    fclose(f);
    return tdbg_strbuf_take(&sb);
}

static void save(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

void driver_golden(const struct driver *d, const char *name)
{
    const char *source = getenv("TDBG_SOURCE"), *update = getenv("TDBG_UPDATE_GOLDEN");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/screen/golden/%s.txt", source ? source : ".", name);
    char *now = driver_screen(d);
    if (update && *update)
        save(path, now);
    char *golden = load(path);
    if (!golden || strcmp(golden, now) != 0) {
        print_error("%s is not this screen (TDBG_UPDATE_GOLDEN=1 writes it):\n%s\n", path, now);
        fail();
    }
    free(golden);
    free(now);
}

void driver_golden_at(struct driver *d, const struct fake_wish *wish, int width, int height,
                      bool ascii, const char *keys, const char *name)
{
    driver_reopen(d, wish, width, height, ascii, keys);
    driver_golden(d, name);
}
