/* See view_tokens.h. */
#include "tui/view_tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"

enum {
    TEXT_INDENT = 2,
    COLUMN_INDENT = 9,
    MOST_LIST_ROWS = 4, /* of text, of a sample in a list */
    WORD_COLUMNS = 5,   /* about what a token takes that is more than a character */
    NARROW = 60,
    WIDE = 100,
    STATUS_PARTS = 8,
};

static int indent(const struct tdbg_tui_input *in)
{
    return in->token_view == TDBG_TOKENS_TEXT ? TEXT_INDENT : COLUMN_INDENT;
}

/* Below the text stand marks where some targets may not count. */
static bool has_marks(const struct tdbg_tui_input *in, bool has_y)
{
    return has_y && in->tokens.has_ignored;
}

/* Rows of the screen that a row of tokens takes. */
static int row_height(const struct tdbg_tui_input *in, bool has_y)
{
    if (in->token_view == TDBG_TOKENS_TEXT)
        return has_marks(in, has_y) ? 2 : 1;
    return has_y ? in->is_large ? 3 : 2 : in->is_large ? 2 : 1;
}

static bool has_target_per_token(const struct tdbg_samples_spec *spec)
{
    return spec->y_ndim > 0 && tdbg_tui_input_y_elems(spec) == tdbg_tui_input_x_elems(spec);
}

/* Of text as many rows as the tokens are likely to take. */
int tdbg_tui_view_tokens_rows(const struct tdbg_tui_input *in, const struct tdbg_samples_spec *spec,
                              int width)
{
    const struct tdbg_tui_token_kind *k = &in->tokens;
    const int64_t n = tdbg_tui_input_x_elems(spec), room = width - TEXT_INDENT - 1;
    char most[24];
    int64_t rows = 1;
    if (in->token_view == TDBG_TOKENS_TEXT && room > 0) {
        const int64_t each = k->vocabulary.n_tokens == 0
                                 ? 1 + snprintf(most, sizeof most, "%" PRId64, spec->vocab)
                             : k->is_separate ? WORD_COLUMNS
                                              : 1;
        rows = (n * each + room - 1) / room;
        rows = rows > MOST_LIST_ROWS ? MOST_LIST_ROWS : rows;
    }
    struct tdbg_tui_input listed = *in;
    listed.is_large = false;
    return 1 + (int)rows * row_height(&listed, has_target_per_token(spec));
}

struct tdbg_tui_token_flow tdbg_tui_view_tokens_flow(const struct tdbg_tui_input *in,
                                                     const struct tdbg_tui_tokens *tokens,
                                                     int width, bool ascii)
{
    return (struct tdbg_tui_token_flow){.tokens = tokens,
                                        .view = in->token_view,
                                        .width = width - indent(in) - 1,
                                        .ascii = ascii,
                                        .breaks_lines = in->is_large};
}

int tdbg_tui_view_tokens_page(const struct tdbg_tui_input *in, const struct tdbg_tui_tokens *tokens,
                              int height)
{
    const int each = row_height(in, tokens->y != NULL);
    const int rows = (height - 1 + (each == 3)) / each; /* the last one needs no empty row */
    return rows > 1 ? rows : 1;
}

/* The first row that is seen, so that the cursor's is the last one at most. */
static int64_t first_row(const struct tdbg_tui_input *in, struct tdbg_tui_token_flow flow,
                         int64_t at, int rows)
{
    struct tdbg_tui_token_piece piece;
    if (at != in->at || !tdbg_tui_token_flow_find(flow, in->token, &piece) || piece.row < rows)
        return 0;
    return piece.row - rows + 1;
}

/* ---- painting ---- */

static void paint_title(const struct tdbg_tui_input *in, const struct tdbg_tui_tokens *t,
                        int64_t at, struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const int64_t id = in->ids[in->first + at];
    const bool is_narrow = rect.width < NARROW, is_cursor = at == in->at;
    char counted[60] = "";
    if (t->y)
        snprintf(counted, sizeof counted,
                 is_narrow ? "  count %" PRId64 : "  targets that count %" PRId64, t->n_counted);
    tdbg_tui_grid_printf(grid, rect.x, rect.y, rect.width,
                         is_cursor ? TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN,
                         "%s%" PRId64 "  id %" PRId64 "  length %" PRId64 " of %" PRId64 "%s%s",
                         is_cursor ? ">" : " ", in->first + at, id, t->length, t->n, counted,
                         !tdbg_tui_input_is_dropped(in, id) ? ""
                         : is_narrow                        ? "  weight 0"
                                                            : "  weight 0 (dropped)");
    if (is_cursor)
        tdbg_tui_grid_set_cursor(grid, rect.x, rect.y);
}

static bool has_uncounted(const struct tdbg_tui_tokens *t, const struct tdbg_tui_token_piece *p)
{
    for (int64_t i = p->first; i < p->first + p->n; i++) {
        if (!tdbg_tui_tokens_counts(t, i))
            return true;
    }
    return false;
}

/* Padding attends as well, where nothing keeps it from that; what is seen is underlined. */
static uint8_t piece_style(const struct tdbg_tui_tokens *t, const struct tdbg_tui_token_piece *p,
                           int64_t cursor)
{
    int64_t end, most;
    const uint8_t style = p->look == TDBG_PIECE_SIGN || p->look == TDBG_PIECE_BAR
                              ? TDBG_STYLE_CYAN
                              : TDBG_STYLE_PLAIN;
    if (cursor < 0 || p->n == 0)
        return style;
    if (cursor >= p->first && cursor < p->first + p->n)
        return TDBG_STYLE_REVERSE;
    if (tdbg_tui_tokens_attends(t, cursor, &end, &most) && p->first < end)
        return style | TDBG_STYLE_UNDERLINE;
    return style;
}

static void paint_piece(const struct tdbg_tui_token_piece *p, uint8_t style,
                        struct tdbg_tui_grid *grid, int x, int y)
{
    if (p->look != TDBG_PIECE_CHARACTER) {
        tdbg_tui_grid_put_right(grid, x, y, p->width, style, p->text);
        return;
    }
    tdbg_tui_grid_put(grid, x, y, p->code, style);
    if (p->width == 2)
        tdbg_tui_grid_put(grid, x + 1, y, 0, style);
    if (p->mark)
        tdbg_tui_grid_put_mark(grid, x, y, p->mark);
}

static void paint_target(const struct tdbg_tui_input *in, const struct tdbg_tui_tokens *t,
                         const struct tdbg_tui_token_piece *p, struct tdbg_tui_grid *grid, int x,
                         int y)
{
    static const struct tdbg_tui_token_kind numbers;
    char text[TDBG_TOKEN_TEXT_BYTES] = ".";
    if (tdbg_tui_tokens_counts(t, p->first))
        tdbg_tui_token_label(in->token_view == TDBG_TOKENS_NUMBERS ? &numbers : t->kind,
                             tdbg_tui_tokens_y(t, p->first), grid->ascii, text);
    tdbg_tui_grid_put_right(grid, x, y, p->width, 0, text);
}

/* What belongs to a piece in the row below it. */
static void paint_below(const struct tdbg_tui_input *in, const struct tdbg_tui_tokens *t,
                        const struct tdbg_tui_token_piece *p, struct tdbg_tui_grid *grid, int x,
                        int y)
{
    if (!t->y)
        return;
    if (p->n == 0 && in->token_view != TDBG_TOKENS_TEXT)
        paint_piece(p, 0, grid, x, y);
    else if (p->n > 0 && in->token_view != TDBG_TOKENS_TEXT)
        paint_target(in, t, p, grid, x, y);
    else if (p->n > 0 && has_marks(in, true) && has_uncounted(t, p))
        for (int i = 0; i < p->width; i++)
            tdbg_tui_grid_put(grid, x + i, y, '-', 0);
}

static void paint_names(const struct tdbg_tui_input *in, bool has_y, struct tdbg_tui_grid *grid,
                        int x, int y)
{
    if (in->token_view == TDBG_TOKENS_TEXT)
        return;
    tdbg_tui_grid_put_text(grid, x + 2, y, 6, 0, "x");
    if (has_y)
        tdbg_tui_grid_put_text(grid, x + 2, y + 1, 6, 0, "target");
}

void tdbg_tui_view_tokens(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                          int64_t at, bool has_cursor, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect)
{
    struct tdbg_tui_tokens t;
    struct tdbg_tui_token_piece p;
    if (rect.height < 1 || !tdbg_tui_input_tokens(in, m, at, &t))
        return;
    paint_title(in, &t, at, grid, rect);
    struct tdbg_tui_token_flow flow = tdbg_tui_view_tokens_flow(in, &t, rect.width, grid->ascii);
    const int rows = tdbg_tui_view_tokens_page(in, &t, rect.height);
    const int each = row_height(in, t.y != NULL);
    const int64_t top = first_row(in, flow, at, rows);
    const int64_t cursor = has_cursor && at == in->at ? in->token : -1;
    int64_t named = -1;
    while (tdbg_tui_token_flow_next(&flow, &p)) {
        const int x = rect.x + indent(in) + p.x, y = rect.y + 1 + (int)(p.row - top) * each;
        if (p.row < top)
            continue;
        if (p.row >= top + rows) {
            tdbg_tui_grid_put_glyph(grid, rect.x + rect.width - 1, rect.y + 1 + (rows - 1) * each,
                                    TDBG_GLYPH_ELLIPSIS, 0);
            break;
        }
        if (p.row != named)
            paint_names(in, t.y != NULL, grid, rect.x, y);
        named = p.row;
        if (y < rect.y + rect.height)
            paint_piece(&p, piece_style(&t, &p, cursor), grid, x, y);
        if (y + 1 < rect.y + rect.height)
            paint_below(in, &t, &p, grid, x, y + 1);
        if (p.n > 0 && cursor >= p.first && cursor < p.first + p.n)
            tdbg_tui_grid_set_cursor(grid, x, y);
    }
    if (top > 0)
        tdbg_tui_grid_put_glyph(grid, rect.x, rect.y + 1, TDBG_GLYPH_ELLIPSIS, 0);
}

int64_t tdbg_tui_view_tokens_at(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                                int64_t at, bool ascii, struct tdbg_tui_rect rect, int x, int y)
{
    struct tdbg_tui_tokens t;
    if (y <= rect.y || !tdbg_tui_input_tokens(in, m, at, &t))
        return -1;
    const struct tdbg_tui_token_flow flow = tdbg_tui_view_tokens_flow(in, &t, rect.width, ascii);
    const int64_t top = first_row(in, flow, at, tdbg_tui_view_tokens_page(in, &t, rect.height));
    return tdbg_tui_token_flow_at(flow, top + (y - rect.y - 1) / row_height(in, t.y != NULL),
                                  x - rect.x - indent(in));
}

/* ---- what is under the cursor ---- */

int tdbg_tui_view_tokens_status_rows(struct tdbg_tui_rect screen)
{
    return screen.height < 6 ? 0 : screen.width < WIDE ? 2 : 1;
}

static void say_attention(const struct tdbg_tui_tokens *t, int64_t i, bool is_narrow, char *buf,
                          size_t n_bytes)
{
    int64_t end, most;
    const char *verb = is_narrow ? "sees" : "attends to";
    buf[0] = 0;
    if (!tdbg_tui_tokens_attends(t, i, &end, &most))
        return;
    if (end == 0 && most == 0)
        snprintf(buf, n_bytes, "%s nothing", verb);
    else if (end == most)
        snprintf(buf, n_bytes, "%s 0..%" PRId64, verb, end - 1);
    else
        snprintf(buf, n_bytes, "%s 0..%" PRId64 ", in some layers 0..%" PRId64, verb, most - 1,
                 end - 1);
}

/* "token 17 of 128", "id 42 'e'", ...: the parts of the status, in this order. */
static int list_parts(const struct tdbg_tui_input *in, const struct tdbg_tui_tokens *t, int64_t i,
                      const struct tdbg_tui_token_piece *piece, bool ascii, bool is_narrow,
                      char part[STATUS_PARTS][2 * TDBG_TOKEN_TEXT_BYTES])
{
    enum { BYTES = 2 * TDBG_TOKEN_TEXT_BYTES };
    char text[TDBG_TOKEN_TEXT_BYTES];
    const int64_t x = tdbg_tui_tokens_x(t, i);
    const bool counts =
        tdbg_tui_tokens_counts(t, i) && !tdbg_tui_input_is_dropped(in, in->ids[in->first + in->at]);
    int n = 0;
    snprintf(part[n++], BYTES, is_narrow ? "%" PRId64 "/%" PRId64 : "token %" PRId64 " of %" PRId64,
             i, t->n);
    tdbg_tui_token_text(t->kind, x, ascii, text);
    snprintf(part[n++], BYTES, "id %" PRId64 "%s%s", x, *text ? " " : "", text);
    if (piece->look == TDBG_PIECE_CHARACTER && piece->n > 1)
        snprintf(part[n++], BYTES, "%" PRId64 " of %" PRId64 " of a character",
                 i - piece->first + 1, piece->n);
    if (i >= t->length)
        snprintf(part[n++], BYTES, "padding");
    if (t->y) {
        const int64_t y = tdbg_tui_tokens_y(t, i);
        tdbg_tui_token_text(t->kind, y, ascii, text);
        snprintf(part[n++], BYTES, "%s %" PRId64 "%s%s", is_narrow ? "->" : "target", y,
                 *text ? " " : "", text);
        snprintf(part[n++], BYTES, "%s%s", counts ? "counts" : "does not count",
                 is_narrow ? "" : " in the loss");
    }
    say_attention(t, i, is_narrow, part[n], BYTES);
    return n + (part[n][0] != 0);
}

void tdbg_tui_view_tokens_status(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                                 struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char part[STATUS_PARTS][2 * TDBG_TOKEN_TEXT_BYTES];
    struct tdbg_tui_tokens t;
    struct tdbg_tui_token_piece piece;
    int x = 1, y = 0;
    if (!tdbg_tui_input_tokens(in, m, in->at, &t))
        return;
    const struct tdbg_tui_token_flow flow =
        tdbg_tui_view_tokens_flow(in, &t, rect.width, grid->ascii);
    if (in->token >= t.n || !tdbg_tui_token_flow_find(flow, in->token, &piece))
        return;
    const int n = list_parts(in, &t, in->token, &piece, grid->ascii, rect.width < NARROW, part);
    for (int i = 0; i < n; i++) {
        const int width = tdbg_tui_text_width(grid, part[i]);
        if (x > 1 && x + width > rect.width && y + 1 < rect.height) {
            x = 1;
            y++;
        }
        tdbg_tui_grid_put_text(grid, rect.x + x, rect.y + y, rect.width - x, TDBG_STYLE_BOLD,
                               part[i]);
        x += width + 2;
    }
}
