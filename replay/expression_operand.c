/* Operands of expressions: numbers, names, calls, slices. See expression_parser.h. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "replay/expression_parser.h"

static const char *const function_texts[] = {
#define TDBG_EXPR_FUNCTION_TEXT(name, text, is_condition) text,
    TDBG_EXPR_FUNCTIONS(TDBG_EXPR_FUNCTION_TEXT)
#undef TDBG_EXPR_FUNCTION_TEXT
};
static const bool function_is_condition[] = {
#define TDBG_EXPR_FUNCTION_KIND(name, text, is_condition) is_condition,
    TDBG_EXPR_FUNCTIONS(TDBG_EXPR_FUNCTION_KIND)
#undef TDBG_EXPR_FUNCTION_KIND
};
enum { N_FUNCTIONS = sizeof function_texts / sizeof function_texts[0] };

static const struct variable {
    const char *text;
    enum tdbg_expr_code code;
} variables[] = {
    {"step", TDBG_EXPR_STEP}, {"epoch", TDBG_EXPR_EPOCH},         {"lr", TDBG_EXPR_LR},
    {"loss", TDBG_EXPR_LOSS}, {"grad_norm", TDBG_EXPR_GRAD_NORM}, {"samples", TDBG_EXPR_SAMPLES}};
enum { N_VARIABLES = sizeof variables / sizeof variables[0] };

const char *tdbg_expr_function_text(enum tdbg_expr_function function)
{
    return (int)function < N_FUNCTIONS ? function_texts[function] : "";
}

/* Inside of a call all of these belong to the name of sites. */
static bool is_pattern_char(char c)
{
    return c > ' ' && c <= '~' && !strchr("()[],", c);
}

static struct tdbg_expr_part parse_number(struct tdbg_expr_parser *p)
{
    const char *start = p->at;
    char copy[64], *end;
    size_t n = strspn(start, "0123456789.");
    if (start[n] == 'e' || start[n] == 'E') {
        const size_t sign = start[n + 1] == '-' || start[n + 1] == '+';
        const size_t digits = strspn(start + n + 1 + sign, "0123456789");
        n += digits > 0 ? 1 + sign + digits : 0;
    }
    n += tdbg_expr_count_chars(start + n, tdbg_expr_is_name_char); /* "10x" is no number */
    if (n >= sizeof copy) {
        TDBG_EXPR_FAIL(p, start, NULL, "a number of more than %d characters", (int)sizeof copy - 1);
        return tdbg_expr_failed_part(p);
    }
    memcpy(copy, start, n);
    copy[n] = '\0';
    const double number = strtod(copy, &end);
    if (*end || end == copy || !isfinite(number) || strchr(copy, 'x') || strchr(copy, 'X'))
        TDBG_EXPR_FAIL(p, start, "numbers are like 10, 0.5, 2.31e+01 or 1e30",
                       "'%.40s' is no number", copy);
    p->at += n;
    return tdbg_expr_make(p, start, KIND_NUMBER, TDBG_EXPR_NUMBER, 0, 0, number);
}

static bool parse_integer(struct tdbg_expr_parser *p, int64_t *out)
{
    tdbg_expr_skip_space(p);
    const char *start = p->at;
    const size_t sign = *start == '-', digits = strspn(start + sign, "0123456789");
    if (digits == 0)
        return false;
    if (digits > 18)
        TDBG_EXPR_FAIL(p, start, NULL, "an index of more than 18 digits");
    *out = p->failed ? 0 : strtoll(start, NULL, 10);
    p->at = start + sign + digits;
    return true;
}

static void parse_slice(struct tdbg_expr_parser *p, struct tdbg_expr_term *term)
{
    const char *const hint = "slices are like [0:4,:] or [3]";
    char buf[8];
    do {
        struct tdbg_expr_index index = {0};
        tdbg_expr_skip_space(p);
        if (term->n_indices == TDBG_MAX_DIMS) {
            TDBG_EXPR_FAIL(p, p->at, NULL, "more than %d indices", TDBG_MAX_DIMS);
            return;
        }
        index.has_from = parse_integer(p, &index.from);
        index.is_single = !tdbg_expr_accept(p, ":");
        if (!index.is_single)
            index.has_to = parse_integer(p, &index.to);
        else if (!index.has_from)
            TDBG_EXPR_FAIL(p, p->at, hint, "expected an index before %s",
                           tdbg_expr_next_text(p, buf));
        term->index[term->n_indices++] = index;
    } while (!p->failed && tdbg_expr_accept(p, ","));
    tdbg_expr_expect(p, "]", hint);
}

static struct tdbg_expr_term *new_term(struct tdbg_expr_parser *p, enum tdbg_expr_function function,
                                       const char *pattern, size_t n)
{
    struct tdbg_expr *e = p->out;
    if (e->n_terms == TDBG_EXPR_TERMS)
        TDBG_EXPR_FAIL(p, pattern, NULL, "more than %d functions", TDBG_EXPR_TERMS);
    else if (n > TDBG_EXPR_PATTERN)
        TDBG_EXPR_FAIL(p, pattern, NULL, "a name of more than %d characters", TDBG_EXPR_PATTERN);
    if (p->failed)
        return NULL;
    struct tdbg_expr_term *term = &e->term[e->n_terms++];
    term->function = function;
    term->column = tdbg_expr_column(p, pattern);
    memcpy(term->pattern, pattern, n);
    return term;
}

/* Behind the function's name: "(grad/fc*[0:4])"; faults may do without, or with a name alone. */
static struct tdbg_expr_part parse_call(struct tdbg_expr_parser *p, const char *start,
                                        enum tdbg_expr_function function)
{
    static const char all[] = "*";
    const bool is_condition = function_is_condition[function];
    char hint[80], buf[8];
    snprintf(hint, sizeof hint, "for example %s(grad/fc*)", function_texts[function]);
    const bool called = tdbg_expr_accept(p, "(");
    tdbg_expr_skip_space(p);
    size_t n = tdbg_expr_count_chars(p->at, called ? is_pattern_char : tdbg_expr_is_name_char);
    if (!called && n > 0 &&
        (tdbg_expr_word_is(p->at, n, "if") || tdbg_expr_word_is(p->at, n, "and") ||
         tdbg_expr_word_is(p->at, n, "or") || isdigit((unsigned char)*p->at)))
        n = 0;
    if (!called && n > 0)
        n = tdbg_expr_count_chars(p->at, is_pattern_char); /* like `nan grad/fc1.bias` */
    if (n == 0 && !is_condition)
        TDBG_EXPR_FAIL(p, p->at, hint, "%s wants the name of a site before %s",
                       function_texts[function], tdbg_expr_next_text(p, buf));
    if (n == 0 && called)
        TDBG_EXPR_FAIL(p, p->at, hint, "expected the name of a site before %s",
                       tdbg_expr_next_text(p, buf));
    struct tdbg_expr_term *term = n > 0 ? new_term(p, function, p->at, n) : NULL;
    if (n == 0 && !p->failed) {
        const char *at = p->at;
        term = new_term(p, function, at, 0);
        if (term) {
            term->column = tdbg_expr_column(p, start);
            memcpy(term->pattern, all, sizeof all);
        }
    }
    p->at += n;
    if (called && term && tdbg_expr_accept(p, "["))
        parse_slice(p, term);
    if (called)
        tdbg_expr_expect(p, ")", hint);
    return tdbg_expr_make(p, start, is_condition ? KIND_COUNT : KIND_NUMBER, TDBG_EXPR_TERM,
                          p->out->n_terms - 1, 0, 0);
}

static struct tdbg_expr_part parse_diverges(struct tdbg_expr_parser *p, const char *start)
{
    static const char hint[] = "diverges(loss), or diverges(grad_norm)";
    enum tdbg_expr_code code = TDBG_EXPR_LOSS;
    char buf[8];
    tdbg_expr_expect(p, "(", hint);
    if (tdbg_expr_accept_word(p, "grad_norm"))
        code = TDBG_EXPR_GRAD_NORM;
    else if (!p->failed && !tdbg_expr_accept_word(p, "loss"))
        TDBG_EXPR_FAIL(p, p->at, hint,
                       "diverges judges what every step's row has, not what begins with %s",
                       tdbg_expr_next_text(p, buf));
    tdbg_expr_expect(p, ")", hint);
    return tdbg_expr_make(p, start, KIND_CONDITION, TDBG_EXPR_DIVERGES, code, p->out->n_diverges++,
                          0);
}

static struct tdbg_expr_part unknown_name(struct tdbg_expr_parser *p, const char *start, size_t n)
{
    const char *names[N_FUNCTIONS + N_VARIABLES + 5] = {"diverges", "and", "or", "not", "if"};
    int k = 5;
    char word[64], hint[200] = "";
    for (int i = 0; i < N_FUNCTIONS; i++)
        names[k++] = function_texts[i];
    for (int i = 0; i < N_VARIABLES; i++)
        names[k++] = variables[i].text;
    snprintf(word, sizeof word, "%.*s", (int)(n < 60 ? n : 60), start);
    const char *near = tdbg_suggest(word, names, k);
    if (near)
        snprintf(hint, sizeof hint, "did you mean '%s'?", near);
    else
        snprintf(hint, sizeof hint,
                 "step, epoch, lr, loss, grad_norm, samples, a site such as "
                 "eval/loss, or a function such as absmax(grad/*)");
    TDBG_EXPR_FAIL(p, start, hint, "unknown metric '%s'", word);
    return tdbg_expr_failed_part(p);
}

/* Bytes of a site's name "stage/tensor" at a name of n bytes; 0: it is none. */
static size_t site_length(const char *at, size_t n)
{
    char stage[16];
    enum tdbg_stage ignored;
    if (n >= sizeof stage || at[n] != '/' || !(isalpha((unsigned char)at[n + 1])))
        return 0;
    memcpy(stage, at, n);
    stage[n] = '\0';
    return tdbg_stage_parse(stage, &ignored)
               ? n + 1 + tdbg_expr_count_chars(at + n + 1, tdbg_expr_is_name_char)
               : 0;
}

static struct tdbg_expr_part parse_name(struct tdbg_expr_parser *p)
{
    const char *start = p->at;
    const size_t n = tdbg_expr_count_chars(start, tdbg_expr_is_name_char),
                 site = site_length(start, n);
    p->at += site > 0 ? site : n;
    if (site > 0) {
        struct tdbg_expr_term *term = new_term(p, TDBG_EXPR_SCALAR, start, site);
        if (term && tdbg_expr_accept(p, "["))
            parse_slice(p, term);
        return tdbg_expr_make(p, start, KIND_NUMBER, TDBG_EXPR_TERM, p->out->n_terms - 1, 0, 0);
    }
    if (tdbg_expr_word_is(start, n, "diverges"))
        return parse_diverges(p, start);
    for (int i = 0; i < N_FUNCTIONS; i++) {
        if (tdbg_expr_word_is(start, n, function_texts[i]))
            return parse_call(p, start, (enum tdbg_expr_function)i);
    }
    for (int i = 0; i < N_VARIABLES; i++) {
        if (tdbg_expr_word_is(start, n, variables[i].text))
            return tdbg_expr_make(p, start, KIND_NUMBER, variables[i].code, 0, 0, 0);
    }
    return unknown_name(p, start, n);
}

struct tdbg_expr_part tdbg_expr_parse_atom(struct tdbg_expr_parser *p)
{
    char buf[8];
    tdbg_expr_skip_space(p);
    if (p->failed)
        return tdbg_expr_failed_part(p);
    if (isdigit((unsigned char)*p->at) || (*p->at == '.' && isdigit((unsigned char)p->at[1])))
        return parse_number(p);
    if (isalpha((unsigned char)*p->at) || *p->at == '_')
        return parse_name(p);
    if (tdbg_expr_accept(p, "(")) {
        struct tdbg_expr_part inner = tdbg_expr_parse_condition(p);
        tdbg_expr_expect(p, ")", NULL);
        return inner;
    }
    TDBG_EXPR_FAIL(p, p->at, *p->at == '!' ? "write 'not'" : "for example loss > 10, or nan",
                   "expected a number, a name or '(' before %s", tdbg_expr_next_text(p, buf));
    return tdbg_expr_failed_part(p);
}
