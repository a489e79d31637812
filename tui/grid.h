/* A grid of cells, into which views paint and which the terminal puts on the screen.
 *
 *      x -->  0      1      2            a cell: one codepoint, one style byte, and the colours
 *                                         of a picture
 *   y  0    [n 0x08][o 0x08][w 0x08]     a wide character: its codepoint, then a cell of code 0
 *   |  1    [# 0x04][  0x00][  0x00]
 *
 * Painting outside the grid is allowed and does nothing, so that views need no size checks. */
#ifndef TDBG_TUI_GRID_H
#define TDBG_TUI_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A style is one colour and any of the flags. No meaning is ever by colour alone. */
enum {
    TDBG_STYLE_PLAIN = 0,
    TDBG_STYLE_RED = 1,
    TDBG_STYLE_YELLOW = 2,
    TDBG_STYLE_GREEN = 3,
    TDBG_STYLE_CYAN = 4,
    TDBG_STYLE_COLOUR_MASK = 7,
    TDBG_STYLE_BOLD = 8,
    TDBG_STYLE_REVERSE = 16,
    TDBG_STYLE_DIM = 32,
    TDBG_STYLE_UNDERLINE = 64,
};

/* Glyphs that have an ASCII twin. */
enum tdbg_tui_glyph {
    TDBG_GLYPH_FULL,     /* a filled cell */
    TDBG_GLYPH_UPPER,    /* its upper half */
    TDBG_GLYPH_LOWER,    /* its lower half */
    TDBG_GLYPH_VERTICAL, /* lines */
    TDBG_GLYPH_HORIZONTAL,
    TDBG_GLYPH_CORNER,
    TDBG_GLYPH_ELLIPSIS,
    TDBG_GLYPH_COUNT
};

/* Colours of pictures: 24 levels of grey, from black, and 24 colours of 3 levels of red, 4 of green
 * and 2 of blue. 0: none. A terminal of 8 colours has the first and the last grey. */
enum {
    TDBG_PICTURE_GREY = 1,
    TDBG_PICTURE_GREYS = 24,
    TDBG_PICTURE_COLOUR = TDBG_PICTURE_GREY + TDBG_PICTURE_GREYS,
    TDBG_PICTURE_COLOURS = 24,
    TDBG_PICTURE_END = TDBG_PICTURE_COLOUR + TDBG_PICTURE_COLOURS,
};

struct tdbg_tui_cell {
    uint32_t code; /* Unicode; 0: the right half of the wide character before it */
    uint32_t mark; /* combining character on it; 0: none */
    uint8_t style;
    uint8_t front, back; /* picture colours instead of the style's; both or neither */
};

struct tdbg_tui_rect {
    int x, y, width, height;
};

/* false where it is not shown: height 0. */
bool tdbg_tui_rect_has(struct tdbg_tui_rect rect, int x, int y);

struct tdbg_tui_grid {
    int width, height;
    bool ascii;                  /* nothing above 0x7e is put into it */
    int colours;                 /* that pictures may use: 256, 8, or 0 */
    struct tdbg_tui_cell *cells; /* (height, width) */
    int cursor_x, cursor_y;      /* where the hardware cursor waits; always inside the grid */
    bool cursor_is_text;         /* someone types there */
};

/* Sets the size and clears it. Start from {0}; sizes below 1 become 1. Aborts without memory. */
void tdbg_tui_grid_resize(struct tdbg_tui_grid *grid, int width, int height);
void tdbg_tui_grid_free(struct tdbg_tui_grid *grid);

struct tdbg_tui_cell *tdbg_tui_grid_at(const struct tdbg_tui_grid *grid, int x, int y);

void tdbg_tui_grid_put(struct tdbg_tui_grid *grid, int x, int y, uint32_t code, uint8_t style);
/* Sets a combining character on the one that is there. */
void tdbg_tui_grid_put_mark(struct tdbg_tui_grid *grid, int x, int y, uint32_t mark);
void tdbg_tui_grid_put_glyph(struct tdbg_tui_grid *grid, int x, int y, enum tdbg_tui_glyph glyph,
                             uint8_t style);

/* Two pixels of a picture, one above the other: TDBG_PICTURE_ colours. */
void tdbg_tui_grid_put_pixels(struct tdbg_tui_grid *grid, int x, int y, uint8_t upper,
                              uint8_t lower);

/* A character on a shade of grey, 0 .. TDBG_PICTURE_GREYS - 1, in one of two that can be read. */
void tdbg_tui_grid_put_shaded(struct tdbg_tui_grid *grid, int x, int y, uint32_t code, int shade);

/* UTF-8 text from x on, at most width columns; what is not printable becomes '?'. Returns the
 * columns painted. */
int tdbg_tui_grid_put_text(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                           const char *text);
int tdbg_tui_grid_printf(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                         const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Text that keeps its beginning and its end when it is too long for width. */
void tdbg_tui_grid_put_elided(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                              const char *text);

/* Right-aligned text; too long text loses its end. */
void tdbg_tui_grid_put_right(struct tdbg_tui_grid *grid, int x, int y, int width, uint8_t style,
                             const char *text);

/* Adds flags to what is painted, or sets a colour (0 keeps it). */
void tdbg_tui_grid_add_style(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, uint8_t style);

void tdbg_tui_grid_set_cursor(struct tdbg_tui_grid *grid, int x, int y);

/* Bytes of text that fit into width columns: whole characters. */
size_t tdbg_tui_text_that_fits(const struct tdbg_tui_grid *grid, const char *text, int width);

/* Columns that text takes. */
int tdbg_tui_text_width(const struct tdbg_tui_grid *grid, const char *text);

/* The character at text (n_bytes, zeros count like others), whatever it is: its codepoint into
 * *code, and the columns that it takes (0: it combines with the one before; -1: it cannot be shown)
 * into *columns. Returns its bytes; 0: it is no UTF-8. */
size_t tdbg_tui_decode(const char *text, size_t n_bytes, bool ascii, uint32_t *code, int *columns);

#endif
