/* See tokens.h. */
#include "tui/tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/convert.h"
#include "tui/grid.h"

static int64_t element(const void *data, enum tdbg_dtype dtype, int64_t i)
{
    return dtype == TDBG_DTYPE_I64   ? ((const int64_t *)data)[i]
           : dtype == TDBG_DTYPE_I32 ? ((const int32_t *)data)[i]
                                     : (int64_t)tdbg_convert_elem_to_f64(data, dtype, i);
}

int64_t tdbg_tui_tokens_x(const struct tdbg_tui_tokens *t, int64_t i)
{
    return element(t->x, t->x_dtype, t->x_first + i);
}

int64_t tdbg_tui_tokens_y(const struct tdbg_tui_tokens *t, int64_t i)
{
    return element(t->y, t->y_dtype, t->y_first + i);
}

bool tdbg_tui_tokens_counts(const struct tdbg_tui_tokens *t, int64_t i)
{
    return t->y && !(t->kind->has_ignored && tdbg_tui_tokens_y(t, i) == t->kind->ignored);
}

void tdbg_tui_tokens_measure(struct tdbg_tui_tokens *t)
{
    t->length = t->n;
    while (t->kind->has_pad && t->length > 0 && tdbg_tui_tokens_x(t, t->length - 1) == t->kind->pad)
        t->length--;
    t->n_counted = 0;
    for (int64_t i = 0; t->y && i < t->n; i++)
        t->n_counted += tdbg_tui_tokens_counts(t, i);
}

/* ---- attention ---- */

bool tdbg_tui_tokens_attends(const struct tdbg_tui_tokens *t, int64_t i, int64_t *end,
                             int64_t *most)
{
    const struct tdbg_tui_token_kind *k = t->kind;
    if (k->n_attention == 0)
        return false;
    *end = k->n_causal > 0 ? i + 1 : t->n;
    *most = k->n_causal == k->n_attention ? i + 1 : t->n;
    if (k->n_masked > 0 && *end > t->length)
        *end = t->length;
    if (k->n_masked == k->n_attention && *most > t->length)
        *most = t->length;
    return true;
}

const char *tdbg_tui_tokens_attention_text(const struct tdbg_tui_token_kind *k)
{
    static const char *const texts[3][3] = {
        {"attention to all", "attention partly without padding", "attention without padding"},
        {"partly causal attention", "partly causal attention, partly without padding",
         "partly causal attention without padding"},
        {"causal attention", "causal attention partly without padding",
         "causal attention without padding"}};
    if (k->n_attention == 0)
        return "";
    const int causal = (k->n_causal > 0) + (k->n_causal == k->n_attention);
    const int masked = (k->n_masked > 0) + (k->n_masked == k->n_attention);
    return texts[causal][masked];
}

/* ---- one token ---- */

static bool is_known(const struct tdbg_tui_token_kind *k, int64_t token)
{
    return token >= 0 && token < k->vocabulary.n_tokens;
}

static const char *bytes_of(const struct tdbg_tui_token_kind *k, int64_t token, int64_t *n)
{
    const struct tdbg_vocabulary *v = &k->vocabulary;
    *n = v->start[token + 1] - v->start[token];
    return (const char *)v->bytes + v->start[token];
}

/* A sign for a character that cannot be shown, or for a byte that is none. */
static void sign_for(uint32_t code, bool is_byte, bool ascii, char *buf, size_t n_bytes)
{
    static const char letters[] = "abtnvfr"; /* 7 .. 13 */
    if (!is_byte && code == '\n' && !ascii)
        snprintf(buf, n_bytes, "\xe2\x86\xb5"); /* U+21B5 */
    else if (!is_byte && (code == '\n' || code == '\t' || code == '\r'))
        snprintf(buf, n_bytes, "\\%c", letters[code - 7]);
    else
        snprintf(buf, n_bytes,
                 is_byte || code < 0x80 ? "\\x%02x"
                 : code < 0x10000       ? "\\u%04x"
                                        : "\\U%08x",
                 (unsigned)code);
}

/* The character at text as one can be put into a line; *shown: its columns, or those of its sign.
 * Returns its bytes. */
static int64_t take_character(const char *text, int64_t n, bool ascii, uint32_t *code,
                              char sign[TDBG_TOKEN_TEXT_BYTES], int *shown)
{
    const size_t length = tdbg_tui_decode(text, (size_t)n, ascii, code, shown);
    sign[0] = 0;
    if (length == 0)
        *code = (unsigned char)*text;
    if (length == 0 || *shown <= 0) { /* one that combines is alone here */
        sign_for(*code, length == 0, ascii, sign, TDBG_TOKEN_TEXT_BYTES);
        *shown = *code == '\n' && length > 0 && !ascii ? 1 : (int)strlen(sign);
    }
    return length > 0 ? (int64_t)length : 1;
}

/* Characters of a token behind each other, as many as there is room for. */
static size_t add_characters(const struct tdbg_tui_token_kind *k, int64_t token, bool ascii,
                             char *buf, size_t n_bytes)
{
    int64_t n, took;
    size_t used = 0;
    const char *text = bytes_of(k, token, &n);
    for (int64_t at = 0; at < n; at += took) {
        char sign[TDBG_TOKEN_TEXT_BYTES];
        uint32_t code;
        int shown;
        took = take_character(text + at, n - at, ascii, &code, sign, &shown);
        const size_t length = *sign ? strlen(sign) : (size_t)took;
        if (used + length + 4 > n_bytes) {
            memcpy(buf + used, "..", 3);
            return used + 2;
        }
        memcpy(buf + used, *sign ? sign : text + at, length);
        used += length;
    }
    buf[used] = 0;
    return used;
}

const char *tdbg_tui_token_text(const struct tdbg_tui_token_kind *k, int64_t token, bool ascii,
                                char buf[TDBG_TOKEN_TEXT_BYTES])
{
    buf[0] = 0;
    if (!is_known(k, token))
        return buf;
    buf[0] = '\'';
    const size_t used = 1 + add_characters(k, token, ascii, buf + 1, TDBG_TOKEN_TEXT_BYTES - 3);
    memcpy(buf + used, "'", 2);
    return buf;
}

const char *tdbg_tui_token_label(const struct tdbg_tui_token_kind *k, int64_t token, bool ascii,
                                 char buf[TDBG_TOKEN_TEXT_BYTES])
{
    if (is_known(k, token))
        add_characters(k, token, ascii, buf, TDBG_TOKEN_TEXT_BYTES);
    else
        snprintf(buf, TDBG_TOKEN_TEXT_BYTES,
                 k->vocabulary.n_tokens > 0 ? "<%" PRId64 ">" : "%" PRId64, token);
    return buf;
}

/* ---- the flow ---- */

static bool is_of_numbers(const struct tdbg_tui_token_flow *f)
{
    return f->view == TDBG_TOKENS_NUMBERS || f->tokens->kind->vocabulary.n_tokens == 0;
}

/* Bytes from the next token on, as far as one character can go: those of the rest of this token,
 * or, of tokens that are single bytes, of the ones behind it too. */
static int64_t next_bytes(const struct tdbg_tui_token_flow *f, int64_t at, char buf[4],
                          const char **text)
{
    const struct tdbg_tui_token_kind *k = f->tokens->kind;
    int64_t n, used = 0;
    if (at >= f->tokens->length || !is_known(k, tdbg_tui_tokens_x(f->tokens, at)))
        return 0;
    *text = bytes_of(k, tdbg_tui_tokens_x(f->tokens, at), &n);
    if (k->is_separate)
        *text += f->within;
    if (k->is_separate || n != 1)
        return k->is_separate ? n - f->within : n;
    for (; used < 4 && at < f->tokens->length; at++) {
        const int64_t token = tdbg_tui_tokens_x(f->tokens, at);
        if (!is_known(k, token))
            break;
        const char *byte = bytes_of(k, token, &n);
        if (n != 1)
            break;
        buf[used++] = *byte;
    }
    *text = buf;
    return used;
}

/* Goes behind a character of so many bytes, to the next token where this one is done. */
static void pass(struct tdbg_tui_token_flow *f, int64_t n_bytes)
{
    int64_t n;
    bytes_of(f->tokens->kind, tdbg_tui_tokens_x(f->tokens, f->at), &n);
    if (f->tokens->kind->is_separate) {
        f->within += n_bytes;
        if (f->within < n)
            return;
        f->within = 0;
        f->at++;
        f->has_bar = false;
        return;
    }
    f->at += n == 1 ? n_bytes : 1;
}

/* A combining character that follows belongs to the one before it. */
static void take_mark(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    char buf[4];
    const char *text;
    uint32_t code;
    int columns;
    const int64_t token = f->at;
    if (f->ascii || (f->tokens->kind->is_separate && token != p->first))
        return;
    const int64_t n = next_bytes(f, f->at, buf, &text);
    const size_t length = n > 0 ? tdbg_tui_decode(text, (size_t)n, false, &code, &columns) : 0;
    if (length == 0 || columns != 0)
        return;
    p->mark = code;
    pass(f, (int64_t)length);
}

static void take_text(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    char buf[4];
    const char *text;
    const int64_t n = next_bytes(f, f->at, buf, &text);
    if (n == 0) { /* nobody knows it, or it stands for nothing */
        p->look = TDBG_PIECE_SIGN;
        snprintf(p->text, sizeof p->text, "<%" PRId64 ">", tdbg_tui_tokens_x(f->tokens, f->at));
        p->width = (int)strlen(p->text);
        f->at++;
        f->has_bar = false;
        p->n = 1;
        return;
    }
    const int64_t took = take_character(text, n, f->ascii, &p->code, p->text, &p->width);
    p->look = *p->text ? TDBG_PIECE_SIGN : TDBG_PIECE_CHARACTER;
    pass(f, took);
    if (p->look == TDBG_PIECE_CHARACTER)
        take_mark(f, p);
    p->n = f->at > p->first ? f->at - p->first : 1;
}

/* A token of the columns, whose target stands below it in the same width. */
static void take_column(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    static const struct tdbg_tui_token_kind numbers;
    const struct tdbg_tui_token_kind *k =
        f->view == TDBG_TOKENS_NUMBERS ? &numbers : f->tokens->kind;
    const struct tdbg_tui_grid grid = {.ascii = f->ascii};
    char below[TDBG_TOKEN_TEXT_BYTES] = ".";
    p->look = TDBG_PIECE_NUMBER;
    tdbg_tui_token_label(k, tdbg_tui_tokens_x(f->tokens, f->at), f->ascii, p->text);
    if (f->at >= f->tokens->length)
        snprintf(p->text, sizeof p->text, ".");
    if (tdbg_tui_tokens_counts(f->tokens, f->at))
        tdbg_tui_token_label(k, tdbg_tui_tokens_y(f->tokens, f->at), f->ascii, below);
    const int a = tdbg_tui_text_width(&grid, p->text), b = tdbg_tui_text_width(&grid, below);
    p->width = a > b ? a : b;
    p->n = 1;
    f->at++;
    f->has_bar = false;
}

static void take_padding(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    p->look = TDBG_PIECE_PADDING;
    snprintf(p->text, sizeof p->text, f->ascii ? "." : "\xc2\xb7"); /* U+00B7 */
    p->width = 1;
    p->n = 1;
    f->at++;
}

static void take_number(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    p->look = TDBG_PIECE_NUMBER;
    snprintf(p->text, sizeof p->text, "%" PRId64, tdbg_tui_tokens_x(f->tokens, f->at));
    p->width = (int)strlen(p->text);
    p->n = 1;
    f->at++;
}

/* A bar before the padding, and before each token that is more than a character. */
static bool takes_bar(const struct tdbg_tui_token_flow *f)
{
    const struct tdbg_tui_tokens *t = f->tokens;
    if (f->has_bar || f->within > 0)
        return false;
    if (f->view == TDBG_TOKENS_TEXT && f->at == t->length)
        return true;
    return f->at > 0 && t->kind->is_separate && !is_of_numbers(f) &&
           (f->at < t->length || f->view == TDBG_TOKENS_COLUMNS);
}

static void take_bar(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    p->look = TDBG_PIECE_BAR;
    snprintf(p->text, sizeof p->text, f->ascii ? "|" : "\xe2\x94\x82"); /* U+2502 */
    p->width = 1;
    f->has_bar = true;
}

/* A column left empty before a number. */
static int gap_before(const struct tdbg_tui_token_flow *f, const struct tdbg_tui_token_piece *p)
{
    return f->x > 0 && p->look == TDBG_PIECE_NUMBER && is_of_numbers(f);
}

bool tdbg_tui_token_flow_next(struct tdbg_tui_token_flow *f, struct tdbg_tui_token_piece *p)
{
    if (f->at >= f->tokens->n)
        return false;
    *p = (struct tdbg_tui_token_piece){.first = f->at};
    if (takes_bar(f))
        take_bar(f, p);
    else if (f->view != TDBG_TOKENS_TEXT)
        take_column(f, p);
    else if (f->at >= f->tokens->length)
        take_padding(f, p);
    else if (is_of_numbers(f))
        take_number(f, p);
    else
        take_text(f, p);
    const int gap = gap_before(f, p);
    if (f->x > 0 && f->x + gap + p->width > f->width) {
        f->row++;
        f->x = 0;
    }
    p->x = f->x + (f->x > 0 ? gap : 0);
    p->row = f->row;
    f->x = p->x + p->width;
    if (f->breaks_lines && p->look == TDBG_PIECE_SIGN && p->code == '\n') {
        f->row++;
        f->x = 0;
    }
    return true;
}

bool tdbg_tui_token_flow_find(struct tdbg_tui_token_flow f, int64_t token,
                              struct tdbg_tui_token_piece *out)
{
    while (tdbg_tui_token_flow_next(&f, out)) {
        if (out->n > 0 && token < out->first + out->n)
            return true;
    }
    return false;
}

int64_t tdbg_tui_token_flow_at(struct tdbg_tui_token_flow f, int64_t row, int x)
{
    struct tdbg_tui_token_piece p;
    int64_t found = -1;
    while (tdbg_tui_token_flow_next(&f, &p) && p.row <= row) {
        if (p.row == row && p.n > 0 && (found < 0 || p.x <= x))
            found = p.first;
    }
    return found;
}
