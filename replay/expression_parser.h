/* Inside of the parser of expressions: its state and tokens (expression_token.c), operands
 * (expression_operand.c) and operators (expression.c). */
#ifndef TDBG_REPLAY_EXPRESSION_PARSER_H
#define TDBG_REPLAY_EXPRESSION_PARSER_H

#include "replay/expression.h"

/* What a part of an expression is. A count is a number and, where not 0, true. */
enum tdbg_expr_kind { KIND_NUMBER, KIND_COUNT, KIND_CONDITION };

/* A parsed part: its node (-1: failed), kind and where it stands. */
struct tdbg_expr_part {
    int node;
    enum tdbg_expr_kind kind;
    const char *at;
};

struct tdbg_expr_parser {
    const char *text, *at;
    struct tdbg_expr *out;
    struct tdbg_expr_fault *fault;
    int depth;
    bool failed;
};

/* The first fault stands; `where` points into the text. */
#define TDBG_EXPR_FAIL(p, where, hint, ...)                                                        \
    do {                                                                                           \
        if (!(p)->failed)                                                                          \
            tdbg_expr_fault_set((p)->fault, TDBG_USAGE, tdbg_expr_column((p), (where)), (hint),    \
                                __VA_ARGS__);                                                      \
        (p)->failed = true;                                                                        \
    } while (0)

int tdbg_expr_column(const struct tdbg_expr_parser *p, const char *at);

/* Spaces and tabs; characters of names outside of calls; how many in a row belong to a class. */
void tdbg_expr_skip_space(struct tdbg_expr_parser *p);
bool tdbg_expr_is_name_char(char c);
size_t tdbg_expr_count_chars(const char *at, bool (*belongs)(char));
bool tdbg_expr_word_is(const char *at, size_t n, const char *word);

/* Go on behind the word as a whole, or the symbol, if it comes next behind spaces. */
bool tdbg_expr_accept_word(struct tdbg_expr_parser *p, const char *word);
bool tdbg_expr_accept(struct tdbg_expr_parser *p, const char *symbol);
void tdbg_expr_expect(struct tdbg_expr_parser *p, const char *symbol, const char *hint);

/* "'x'" or "the end", for messages. */
const char *tdbg_expr_next_text(const struct tdbg_expr_parser *p, char buf[8]);

/* A new node, or a failed part where there is no room or something failed before. */
struct tdbg_expr_part tdbg_expr_make(struct tdbg_expr_parser *p, const char *at,
                                     enum tdbg_expr_kind kind, enum tdbg_expr_code code, int a,
                                     int b, double number);
struct tdbg_expr_part tdbg_expr_failed_part(const struct tdbg_expr_parser *p);

/* `either` and `atom` of the grammar. */
struct tdbg_expr_part tdbg_expr_parse_condition(struct tdbg_expr_parser *p);
struct tdbg_expr_part tdbg_expr_parse_atom(struct tdbg_expr_parser *p);

#endif
