/* The parser of expressions: recursive descent over bytes, with limits on length, nesting and
 * nodes. Here are the operators. Grammar: docs/expressions.md. */
#include <stdlib.h>
#include <string.h>

#include "replay/expression_parser.h"

static void want_number(struct tdbg_expr_parser *p, struct tdbg_expr_part part)
{
    if (!p->failed && part.kind == KIND_CONDITION)
        TDBG_EXPR_FAIL(p, part.at, "comparisons are joined by and, or: 1 < loss and loss < 2",
                       "this is true or false, but a number is wanted here");
}

static void want_condition(struct tdbg_expr_parser *p, struct tdbg_expr_part part)
{
    if (!p->failed && part.kind == KIND_NUMBER)
        TDBG_EXPR_FAIL(p, part.at, "compare it, for example loss > 10",
                       "this is a number, but true or false is wanted here");
}

static bool enter(struct tdbg_expr_parser *p)
{
    if (++p->depth > TDBG_EXPR_DEPTH)
        TDBG_EXPR_FAIL(p, p->at, NULL, "nested too deeply (at most %d)", TDBG_EXPR_DEPTH);
    return !p->failed;
}

static struct tdbg_expr_part parse_unary(struct tdbg_expr_parser *p)
{
    struct tdbg_expr_part part = tdbg_expr_failed_part(p);
    tdbg_expr_skip_space(p);
    const char *start = p->at;
    if (enter(p)) {
        if (tdbg_expr_accept(p, "-")) {
            part = parse_unary(p);
            want_number(p, part);
            part = tdbg_expr_make(p, start, KIND_NUMBER, TDBG_EXPR_NEGATE, part.node, 0, 0);
        } else {
            part = tdbg_expr_parse_atom(p);
        }
    }
    p->depth--;
    return part;
}

static struct tdbg_expr_part join(struct tdbg_expr_parser *p, struct tdbg_expr_part a,
                                  struct tdbg_expr_part b, enum tdbg_expr_kind kind,
                                  enum tdbg_expr_code code)
{
    return tdbg_expr_make(p, a.at, kind, code, a.node, b.node, 0);
}

static struct tdbg_expr_part parse_product(struct tdbg_expr_parser *p)
{
    struct tdbg_expr_part a = parse_unary(p);
    while (!p->failed) {
        const bool times = tdbg_expr_accept(p, "*");
        if (!times && !tdbg_expr_accept(p, "/"))
            break;
        struct tdbg_expr_part b = parse_unary(p);
        want_number(p, a);
        want_number(p, b);
        a = join(p, a, b, KIND_NUMBER, times ? TDBG_EXPR_MULTIPLY : TDBG_EXPR_DIVIDE);
    }
    return a;
}

static struct tdbg_expr_part parse_sum(struct tdbg_expr_parser *p)
{
    struct tdbg_expr_part a = parse_product(p);
    while (!p->failed) {
        const bool plus = tdbg_expr_accept(p, "+");
        if (!plus && !tdbg_expr_accept(p, "-"))
            break;
        struct tdbg_expr_part b = parse_product(p);
        want_number(p, a);
        want_number(p, b);
        a = join(p, a, b, KIND_NUMBER, plus ? TDBG_EXPR_ADD : TDBG_EXPR_SUBTRACT);
    }
    return a;
}

static struct tdbg_expr_part parse_comparison(struct tdbg_expr_parser *p)
{
    static const struct {
        const char *text;
        enum tdbg_expr_code code;
    } signs[] = {{"<=", TDBG_EXPR_LESS_EQUAL}, {">=", TDBG_EXPR_GREATER_EQUAL},
                 {"==", TDBG_EXPR_EQUAL},      {"!=", TDBG_EXPR_NOT_EQUAL},
                 {"<", TDBG_EXPR_LESS},        {">", TDBG_EXPR_GREATER}};
    struct tdbg_expr_part a = parse_sum(p);
    for (size_t i = 0; !p->failed && i < sizeof signs / sizeof signs[0]; i++) {
        if (!tdbg_expr_accept(p, signs[i].text))
            continue;
        struct tdbg_expr_part b = parse_sum(p);
        want_number(p, a);
        want_number(p, b);
        a = join(p, a, b, KIND_CONDITION, signs[i].code);
        tdbg_expr_skip_space(p);
        if (!p->failed && *p->at && strchr("<>=!", *p->at))
            TDBG_EXPR_FAIL(p, p->at, "1 < loss and loss < 2", "comparisons cannot be chained");
        break;
    }
    tdbg_expr_skip_space(p);
    if (!p->failed && *p->at == '=')
        TDBG_EXPR_FAIL(p, p->at, "equality is '=='", "'=' compares nothing");
    return a;
}

static struct tdbg_expr_part parse_not(struct tdbg_expr_parser *p)
{
    struct tdbg_expr_part part = tdbg_expr_failed_part(p);
    tdbg_expr_skip_space(p);
    const char *start = p->at;
    if (enter(p)) {
        if (tdbg_expr_accept_word(p, "not")) {
            part = parse_not(p);
            want_condition(p, part);
            part = tdbg_expr_make(p, start, KIND_CONDITION, TDBG_EXPR_NOT, part.node, 0, 0);
        } else {
            part = parse_comparison(p);
        }
    }
    p->depth--;
    return part;
}

static struct tdbg_expr_part parse_and(struct tdbg_expr_parser *p)
{
    struct tdbg_expr_part a = parse_not(p);
    while (!p->failed && tdbg_expr_accept_word(p, "and")) {
        struct tdbg_expr_part b = parse_not(p);
        want_condition(p, a);
        want_condition(p, b);
        a = join(p, a, b, KIND_CONDITION, TDBG_EXPR_AND);
    }
    return a;
}

struct tdbg_expr_part tdbg_expr_parse_condition(struct tdbg_expr_parser *p)
{
    struct tdbg_expr_part a = parse_and(p);
    while (!p->failed && tdbg_expr_accept_word(p, "or")) {
        struct tdbg_expr_part b = parse_and(p);
        want_condition(p, a);
        want_condition(p, b);
        a = join(p, a, b, KIND_CONDITION, TDBG_EXPR_OR);
    }
    return a;
}

/* What cannot go on: the hint names what is usually meant. */
static void fail_at_rest(struct tdbg_expr_parser *p)
{
    char buf[8];
    const char *hint = "parts are joined by and, or, if, or by an operator";
    hint = *p->at == '&' ? "write 'and'" : *p->at == '|' ? "write 'or'" : hint;
    hint = *p->at == '[' ? "slices stand in a function: mean(fwd/fc1[0:4,:])" : hint;
    TDBG_EXPR_FAIL(p, p->at, hint, "expected the end before %s", tdbg_expr_next_text(p, buf));
}

struct tdbg_expr *tdbg_expr_parse(const char *text, struct tdbg_expr_fault *fault)
{
    struct tdbg_expr_parser p = {.text = text, .at = text, .fault = fault};
    const size_t n = strlen(text);
    if (n > TDBG_EXPR_TEXT) {
        tdbg_expr_fault_set(fault, TDBG_USAGE, TDBG_EXPR_TEXT + 1, NULL, "more than %d characters",
                            TDBG_EXPR_TEXT);
        return NULL;
    }
    p.out = calloc(1, sizeof *p.out);
    if (!p.out) {
        tdbg_expr_fault_set(fault, TDBG_NO_MEMORY, 1, NULL, "no memory for an expression");
        return NULL;
    }
    memcpy(p.out->text, text, n + 1);
    struct tdbg_expr_part root = tdbg_expr_parse_condition(&p);
    if (!p.failed && tdbg_expr_accept_word(&p, "if")) {
        struct tdbg_expr_part when = tdbg_expr_parse_condition(&p);
        want_condition(&p, root);
        want_condition(&p, when);
        root = tdbg_expr_make(&p, root.at, KIND_CONDITION, TDBG_EXPR_AND, when.node, root.node, 0);
    }
    tdbg_expr_skip_space(&p);
    if (!p.failed && *p.at)
        fail_at_rest(&p);
    if (p.failed) {
        tdbg_expr_destroy(p.out);
        return NULL;
    }
    p.out->root = root.node;
    p.out->is_condition = root.kind != KIND_NUMBER;
    return p.out;
}

void tdbg_expr_destroy(struct tdbg_expr *expr)
{
    for (int i = 0; expr && i < expr->n_terms; i++) {
        free(expr->term[i].sites);
        free(expr->term[i].before);
    }
    free(expr);
}
