/* The grid of cells. See grid.h. */
#include "tui/grid.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/status.h"
#include "base/strbuf.h"

static const uint32_t glyphs[TDBG_GLYPH_COUNT][2] = {
    [TDBG_GLYPH_FULL] = {0x2588, '#'},       [TDBG_GLYPH_UPPER] = {0x2580, '#'},
    [TDBG_GLYPH_LOWER] = {0x2584, '#'},      [TDBG_GLYPH_VERTICAL] = {0x2502, '|'},
    [TDBG_GLYPH_HORIZONTAL] = {0x2500, '-'}, [TDBG_GLYPH_CORNER] = {0x2514, '+'},
    [TDBG_GLYPH_ELLIPSIS] = {0x2026, '~'},
};

bool tdbg_tui_rect_has(struct tdbg_tui_rect r, int x, int y)
{
    return x >= r.x && x < r.x + r.width && y >= r.y && y < r.y + r.height;
}

void tdbg_tui_grid_resize(struct tdbg_tui_grid *grid, int width, int height)
{
    width = width < 1 ? 1 : width;
    height = height < 1 ? 1 : height;
    const size_t n = (size_t)width * (size_t)height;
    if (width != grid->width || height != grid->height) {
        free(grid->cells);
        grid->cells = malloc(n * sizeof *grid->cells);
        if (!grid->cells)
            TDBG_BUG("no memory for a screen of %dx%d", width, height);
    }
    grid->width = width;
    grid->height = height;
    memset(grid->cells, 0, n * sizeof *grid->cells); /* padding too: rows are compared as bytes */
    for (size_t i = 0; i < n; i++)
        grid->cells[i].code = ' ';
    grid->cursor_x = grid->cursor_y = 0;
    grid->cursor_is_text = false;
}

void tdbg_tui_grid_free(struct tdbg_tui_grid *grid)
{
    free(grid->cells);
    *grid = (struct tdbg_tui_grid){0};
}

struct tdbg_tui_cell *tdbg_tui_grid_at(const struct tdbg_tui_grid *grid, int x, int y)
{
    TDBG_ASSERT(x >= 0 && y >= 0 && x < grid->width && y < grid->height);
    return &grid->cells[(size_t)y * (size_t)grid->width + (size_t)x];
}

void tdbg_tui_grid_put(struct tdbg_tui_grid *grid, int x, int y, uint32_t code, uint8_t style)
{
    if (x < 0 || y < 0 || x >= grid->width || y >= grid->height)
        return;
    struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
    if (cell->code == 0 && code != 0 && x > 0)
        cell[-1].code = ' '; /* half of a wide character is nothing */
    if (x + 1 < grid->width && cell[1].code == 0)
        cell[1].code = ' ';
    cell->code = code;
    cell->mark = 0;
    cell->style = style;
    cell->front = cell->back = 0;
}

void tdbg_tui_grid_put_mark(struct tdbg_tui_grid *grid, int x, int y, uint32_t mark)
{
    if (x >= 0 && y >= 0 && x < grid->width && y < grid->height)
        tdbg_tui_grid_at(grid, x, y)->mark = mark;
}

void tdbg_tui_grid_put_pixels(struct tdbg_tui_grid *grid, int x, int y, uint8_t upper,
                              uint8_t lower)
{
    TDBG_ASSERT(!grid->ascii && upper < TDBG_PICTURE_END && lower < TDBG_PICTURE_END);
    tdbg_tui_grid_put_glyph(grid, x, y, TDBG_GLYPH_UPPER, TDBG_STYLE_PLAIN);
    if (x < 0 || y < 0 || x >= grid->width || y >= grid->height)
        return;
    struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
    cell->front = upper;
    cell->back = lower;
}

void tdbg_tui_grid_put_shaded(struct tdbg_tui_grid *grid, int x, int y, uint32_t code, int shade)
{
    enum { DARK = 3, LIGHT = 19 };
    TDBG_ASSERT(shade >= 0 && shade < TDBG_PICTURE_GREYS);
    tdbg_tui_grid_put(grid, x, y, code, TDBG_STYLE_PLAIN);
    if (x < 0 || y < 0 || x >= grid->width || y >= grid->height)
        return;
    struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
    cell->front = TDBG_PICTURE_GREY + (2 * shade < TDBG_PICTURE_GREYS ? LIGHT : DARK);
    cell->back = (uint8_t)(TDBG_PICTURE_GREY + shade);
}

void tdbg_tui_grid_put_glyph(struct tdbg_tui_grid *grid, int x, int y, enum tdbg_tui_glyph glyph,
                             uint8_t style)
{
    tdbg_tui_grid_put(grid, x, y, glyphs[glyph][grid->ascii], style);
}

/* Characters that show nothing but steer how others are shown: direction, joining, variants. Who
 * reads a text has to see that they are there, and a terminal's columns would not be ours. */
static bool steers(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0xad, 0xad},     {0x61c, 0x61c},   {0x180b, 0x180f}, {0x200b, 0x200f}, {0x2028, 0x202e},
        {0x2060, 0x206f}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    }
    return false;
}

size_t tdbg_tui_decode(const char *text, size_t n_bytes, bool ascii, uint32_t *code, int *columns)
{
    static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *bytes = (const unsigned char *)text;
    const size_t n = tdbg_utf8_length(text, n_bytes);
    if (n == 0)
        return 0;
    uint32_t c = bytes[0] & lead_bits[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (bytes[i] & 0x3fu);
    const int w = c < 0x80             ? (c >= ' ' && c < 0x7f ? 1 : -1)
                  : ascii || steers(c) ? -1
                                       : wcwidth((wchar_t)c);
    *code = c;
    *columns = w > 2 ? -1 : w;
    return n;
}

/* The next character of valid or invalid UTF-8, '?' where it cannot be shown, and the columns it
 * takes (0, 1, 2). Returns the bytes consumed. */
static size_t next_char(const char *text, bool ascii, uint32_t *code, int *columns)
{
    const size_t n = tdbg_tui_decode(text, strnlen(text, 4), ascii, code, columns);
    if (n == 0 || *columns < 0) {
        *code = '?';
        *columns = 1;
    }
    return n > 0 ? n : 1;
}

int tdbg_tui_text_width(const struct tdbg_tui_grid *grid, const char *text)
{
    int total = 0, columns;
    uint32_t code;
    while (*text) {
        text += next_char(text, grid->ascii, &code, &columns);
        total += columns;
    }
    return total;
}

size_t tdbg_tui_text_that_fits(const struct tdbg_tui_grid *grid, const char *text, int width)
{
    const char *at = text;
    int columns;
    uint32_t code;
    while (*at) {
        const size_t n = next_char(at, grid->ascii, &code, &columns);
        if (columns > width)
            break;
        width -= columns;
        at += n;
    }
    return (size_t)(at - text);
}

int tdbg_tui_grid_put_text(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                           const char *text)
{
    int used = 0, columns;
    uint32_t code;
    if (width > grid->width - x)
        width = grid->width - x;
    while (*text) {
        text += next_char(text, grid->ascii, &code, &columns);
        if (columns == 0)
            continue;
        if (used + columns > width)
            break;
        tdbg_tui_grid_put(grid, x + used, y, code, style);
        if (columns == 2)
            tdbg_tui_grid_put(grid, x + used + 1, y, 0, style);
        used += columns;
    }
    return used;
}

int tdbg_tui_grid_printf(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                         const char *fmt, ...)
{
    struct tdbg_strbuf sb = {0};
    va_list args;
    va_start(args, fmt);
    tdbg_strbuf_vprintf(&sb, fmt, args);
    va_end(args);
    int used = tdbg_tui_grid_put_text(grid, x, y, width, style, sb.text ? sb.text : "");
    tdbg_strbuf_free(&sb);
    return used;
}

/* Text from the first character on whose rest fits into width columns. */
static const char *tail_that_fits(const struct tdbg_tui_grid *grid, const char *text, int width)
{
    int total = tdbg_tui_text_width(grid, text), columns;
    uint32_t code;
    while (*text && total > width) {
        text += next_char(text, grid->ascii, &code, &columns);
        total -= columns;
    }
    return text;
}

void tdbg_tui_grid_put_elided(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                              const char *text)
{
    if (tdbg_tui_text_width(grid, text) <= width) {
        tdbg_tui_grid_put_text(grid, x, y, width, style, text);
        return;
    }
    if (width < 1)
        return;
    /* names of one layer begin alike, so the end gets the larger part */
    const int head = (width - 1) / 3;
    const int used = tdbg_tui_grid_put_text(grid, x, y, head, style, text);
    tdbg_tui_grid_put_glyph(grid, x + used, y, TDBG_GLYPH_ELLIPSIS, style);
    tdbg_tui_grid_put_text(grid, x + used + 1, y, width - used - 1, style,
                           tail_that_fits(grid, text, width - used - 1));
}

void tdbg_tui_grid_put_right(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                             const char *text)
{
    const int pad = width - tdbg_tui_text_width(grid, text);
    tdbg_tui_grid_put_text(grid, pad > 0 ? x + pad : x, y, pad > 0 ? width - pad : width, style,
                           text);
}

void tdbg_tui_grid_add_style(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, uint8_t style)
{
    const uint8_t colour = style & TDBG_STYLE_COLOUR_MASK;
    for (int y = rect.y < 0 ? 0 : rect.y; y < rect.y + rect.height && y < grid->height; y++) {
        for (int x = rect.x < 0 ? 0 : rect.x; x < rect.x + rect.width && x < grid->width; x++) {
            struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
            if (colour)
                cell->style = (uint8_t)((cell->style & ~TDBG_STYLE_COLOUR_MASK) | colour);
            cell->style = (uint8_t)(cell->style | (style & ~TDBG_STYLE_COLOUR_MASK));
        }
    }
}

void tdbg_tui_grid_set_cursor(struct tdbg_tui_grid *grid, int x, int y)
{
    grid->cursor_x = x < 0 ? 0 : x >= grid->width ? grid->width - 1 : x;
    grid->cursor_y = y < 0 ? 0 : y >= grid->height ? grid->height - 1 : y;
}
