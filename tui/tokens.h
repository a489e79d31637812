/* The tokens of a sample as text, and where they stand: pure functions of the tokens and a width.
 *
 *     text       the quick\n              numbers    12 7 431 |...
 *                brown fox|......
 *     columns    x       t h e   q
 *                target  h e   q u
 *
 * What stands in one place is a piece: a character, a sign in the place of one, or a number. A
 * character that takes several tokens (bytes of UTF-8, a letter and a combining mark) is one piece.
 * Before the padding, and between tokens that are more than characters, stands a bar. */
#ifndef TDBG_TUI_TOKENS_H
#define TDBG_TUI_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/site.h"
#include "base/vocabulary.h"

/* What all samples of a run have in common. */
struct tdbg_tui_token_kind {
    struct tdbg_vocabulary vocabulary; /* n_tokens 0: tokens are numbers */
    bool is_separate;                  /* tokens of the vocabulary are more than characters */
    bool has_pad, has_ignored;
    int64_t pad, ignored; /* token that fills up; target that does not count */

    /* Layers of attention, those that see no later token, and those that see no padding. */
    int n_attention, n_causal, n_masked;
};

/* The tokens of one sample. */
struct tdbg_tui_tokens {
    const struct tdbg_tui_token_kind *kind;
    const void *x, *y; /* y NULL: no target per token */
    enum tdbg_dtype x_dtype, y_dtype;
    int64_t x_first, y_first, n; /* elements n of each from the first on */
    int64_t length;              /* without the padding at the end */
    int64_t n_counted;           /* targets that count in the loss */
};

/* Sets length and n_counted. */
void tdbg_tui_tokens_measure(struct tdbg_tui_tokens *tokens);

int64_t tdbg_tui_tokens_x(const struct tdbg_tui_tokens *tokens, int64_t i);
int64_t tdbg_tui_tokens_y(const struct tdbg_tui_tokens *tokens, int64_t i);
bool tdbg_tui_tokens_counts(const struct tdbg_tui_tokens *tokens, int64_t i);

enum { TDBG_TOKEN_TEXT_BYTES = 64 };

/* A token in quotes, such as 'e', '\n' or ' the' (its beginning where it is long); "" where nobody
 * knows what it stands for. Returns buf. */
const char *tdbg_tui_token_text(const struct tdbg_tui_token_kind *kind, int64_t token, bool ascii,
                                char buf[TDBG_TOKEN_TEXT_BYTES]);

/* The same without quotes, or its number. */
const char *tdbg_tui_token_label(const struct tdbg_tui_token_kind *kind, int64_t token, bool ascii,
                                 char buf[TDBG_TOKEN_TEXT_BYTES]);

/* What token i of a sample sees through attention: tokens 0 .. *end - 1 in every layer, and up to
 * *most - 1 in some. false: it is not known. */
bool tdbg_tui_tokens_attends(const struct tdbg_tui_tokens *tokens, int64_t i, int64_t *end,
                             int64_t *most);

/* "causal attention without padding", or "" where there is no attention or it is not known. */
const char *tdbg_tui_tokens_attention_text(const struct tdbg_tui_token_kind *kind);

enum tdbg_tui_token_view { TDBG_TOKENS_TEXT, TDBG_TOKENS_COLUMNS, TDBG_TOKENS_NUMBERS };

enum tdbg_tui_piece_look {
    TDBG_PIECE_CHARACTER,
    TDBG_PIECE_SIGN,   /* \n, \x00 and the like */
    TDBG_PIECE_NUMBER, /* or a token of TDBG_TOKENS_COLUMNS */
    TDBG_PIECE_PADDING,
    TDBG_PIECE_BAR, /* no token */
};

struct tdbg_tui_token_piece {
    int64_t first, n; /* tokens */
    int64_t row;
    int x, width;
    enum tdbg_tui_piece_look look;
    uint32_t code, mark; /* of a CHARACTER; mark 0: none combines with it */
    char text[TDBG_TOKEN_TEXT_BYTES];
};

/* Goes through the pieces of a sample. Fill the first five, the rest with zeros. */
struct tdbg_tui_token_flow {
    const struct tdbg_tui_tokens *tokens;
    enum tdbg_tui_token_view view;
    int width;
    bool ascii, breaks_lines; /* a new line begins behind \n */

    int64_t at;     /* next token */
    int64_t within; /* next byte of it, where tokens are more than characters */
    int64_t row;
    int x;
    bool has_bar; /* in front of this token */
};

bool tdbg_tui_token_flow_next(struct tdbg_tui_token_flow *flow, struct tdbg_tui_token_piece *out);

/* The piece that has a token, from a flow that has not begun; false: there is none. */
bool tdbg_tui_token_flow_find(struct tdbg_tui_token_flow flow, int64_t token,
                              struct tdbg_tui_token_piece *out);

/* The token at x of a row, or the one nearest to it; -1: there is no such row. */
int64_t tdbg_tui_token_flow_at(struct tdbg_tui_token_flow flow, int64_t row, int x);

#endif
