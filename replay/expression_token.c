/* Tokens of expressions, and making nodes. See expression_parser.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "replay/expression_parser.h"

int tdbg_expr_column(const struct tdbg_expr_parser *p, const char *at)
{
    return (int)(at - p->text) + 1;
}

void tdbg_expr_skip_space(struct tdbg_expr_parser *p)
{
    while (*p->at == ' ' || *p->at == '\t')
        p->at++;
}

bool tdbg_expr_is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

size_t tdbg_expr_count_chars(const char *at, bool (*belongs)(char))
{
    size_t n = 0;
    while (at[n] && belongs(at[n]))
        n++;
    return n;
}

bool tdbg_expr_word_is(const char *at, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(at, word, n) == 0;
}

/* Goes on behind the word if it comes next as a whole. */
bool tdbg_expr_accept_word(struct tdbg_expr_parser *p, const char *word)
{
    tdbg_expr_skip_space(p);
    const size_t n = tdbg_expr_count_chars(p->at, tdbg_expr_is_name_char);
    if (p->failed || !tdbg_expr_word_is(p->at, n, word))
        return false;
    p->at += n;
    return true;
}

bool tdbg_expr_accept(struct tdbg_expr_parser *p, const char *symbol)
{
    tdbg_expr_skip_space(p);
    const size_t n = strlen(symbol);
    if (p->failed || strncmp(p->at, symbol, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* "'x'" or "the end", for messages. */
const char *tdbg_expr_next_text(const struct tdbg_expr_parser *p, char buf[8])
{
    if (!*p->at)
        return "the end";
    snprintf(buf, 8, "'%c'", *p->at >= ' ' && *p->at <= '~' ? *p->at : '?');
    return buf;
}

void tdbg_expr_expect(struct tdbg_expr_parser *p, const char *symbol, const char *hint)
{
    char buf[8];
    if (!p->failed && !tdbg_expr_accept(p, symbol))
        TDBG_EXPR_FAIL(p, p->at, hint, "expected '%s' before %s", symbol,
                       tdbg_expr_next_text(p, buf));
}

struct tdbg_expr_part tdbg_expr_failed_part(const struct tdbg_expr_parser *p)
{
    return (struct tdbg_expr_part){-1, KIND_NUMBER, p->at};
}

struct tdbg_expr_part tdbg_expr_make(struct tdbg_expr_parser *p, const char *at,
                                     enum tdbg_expr_kind kind, enum tdbg_expr_code code, int a,
                                     int b, double number)
{
    struct tdbg_expr *e = p->out;
    if (e->n_nodes == TDBG_EXPR_NODES)
        TDBG_EXPR_FAIL(p, at, NULL, "more than %d parts", TDBG_EXPR_NODES);
    if (p->failed)
        return tdbg_expr_failed_part(p);
    e->node[e->n_nodes] = (struct tdbg_expr_node){code, a, b, number};
    return (struct tdbg_expr_part){e->n_nodes++, kind, at};
}
