/* The parser of expressions: recursive descent over bytes, with limits on length, nesting and
 * nodes. Grammar: docs/expressions.md. */
#include "replay/expression.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

/* What a part of an expression is. A count is a number and, where not 0, true. */
enum kind { NUMBER, COUNT, CONDITION };

/* A parsed part: its node (-1: failed), kind and where it stands. */
struct part {
    int node;
    enum kind kind;
    const char *at;
};

struct parser {
    const char *text, *at;
    struct tdbg_expr *out;
    struct tdbg_expr_fault *fault;
    int depth;
    bool failed;
};

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

static int column_of(const struct parser *p, const char *at)
{
    return (int)(at - p->text) + 1;
}

#define FAIL(p, where, hint, ...)                                                                  \
    do {                                                                                           \
        if (!(p)->failed)                                                                          \
            tdbg_expr_fault_set((p)->fault, TDBG_USAGE, column_of((p), (where)), (hint),           \
                                __VA_ARGS__);                                                      \
        (p)->failed = true;                                                                        \
    } while (0)

static void skip_space(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t')
        p->at++;
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* Inside of a call all of these belong to the name of sites. */
static bool is_pattern_char(char c)
{
    return c > ' ' && c <= '~' && !strchr("()[],", c);
}

static size_t count_chars(const char *at, bool (*belongs)(char))
{
    size_t n = 0;
    while (at[n] && belongs(at[n]))
        n++;
    return n;
}

static bool word_is(const char *at, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(at, word, n) == 0;
}

/* Goes on behind the word if it comes next as a whole. */
static bool accept_word(struct parser *p, const char *word)
{
    skip_space(p);
    const size_t n = count_chars(p->at, is_name_char);
    if (p->failed || !word_is(p->at, n, word))
        return false;
    p->at += n;
    return true;
}

static bool accept(struct parser *p, const char *symbol)
{
    skip_space(p);
    const size_t n = strlen(symbol);
    if (p->failed || strncmp(p->at, symbol, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* "'x'" or "the end", for messages. */
static const char *next_text(const struct parser *p, char buf[8])
{
    if (!*p->at)
        return "the end";
    snprintf(buf, 8, "'%c'", *p->at >= ' ' && *p->at <= '~' ? *p->at : '?');
    return buf;
}

static void expect(struct parser *p, const char *symbol, const char *hint)
{
    char buf[8];
    if (!p->failed && !accept(p, symbol))
        FAIL(p, p->at, hint, "expected '%s' before %s", symbol, next_text(p, buf));
}

static struct part failed_part(const struct parser *p)
{
    return (struct part){-1, NUMBER, p->at};
}

static struct part make(struct parser *p, const char *at, enum kind kind, enum tdbg_expr_code code,
                        int a, int b, double number)
{
    struct tdbg_expr *e = p->out;
    if (e->n_nodes == TDBG_EXPR_NODES)
        FAIL(p, at, NULL, "more than %d parts", TDBG_EXPR_NODES);
    if (p->failed)
        return failed_part(p);
    e->node[e->n_nodes] = (struct tdbg_expr_node){code, a, b, number};
    return (struct part){e->n_nodes++, kind, at};
}

static struct part parse_condition(struct parser *p);

/* --- operands --- */

static struct part parse_number(struct parser *p)
{
    const char *start = p->at;
    char copy[64], *end;
    size_t n = strspn(start, "0123456789.");
    if (start[n] == 'e' || start[n] == 'E') {
        const size_t sign = start[n + 1] == '-' || start[n + 1] == '+';
        const size_t digits = strspn(start + n + 1 + sign, "0123456789");
        n += digits > 0 ? 1 + sign + digits : 0;
    }
    n += count_chars(start + n, is_name_char); /* "10x" is no number */
    if (n >= sizeof copy) {
        FAIL(p, start, NULL, "a number of more than %d characters", (int)sizeof copy - 1);
        return failed_part(p);
    }
    memcpy(copy, start, n);
    copy[n] = '\0';
    const double number = strtod(copy, &end);
    if (*end || end == copy || !isfinite(number) || strchr(copy, 'x') || strchr(copy, 'X'))
        FAIL(p, start, "numbers are like 10, 0.5, 2.31e+01 or 1e30", "'%.40s' is no number", copy);
    p->at += n;
    return make(p, start, NUMBER, TDBG_EXPR_NUMBER, 0, 0, number);
}

static bool parse_integer(struct parser *p, int64_t *out)
{
    skip_space(p);
    const char *start = p->at;
    const size_t sign = *start == '-', digits = strspn(start + sign, "0123456789");
    if (digits == 0)
        return false;
    if (digits > 18)
        FAIL(p, start, NULL, "an index of more than 18 digits");
    *out = p->failed ? 0 : strtoll(start, NULL, 10);
    p->at = start + sign + digits;
    return true;
}

static void parse_slice(struct parser *p, struct tdbg_expr_term *term)
{
    const char *const hint = "slices are like [0:4,:] or [3]";
    char buf[8];
    do {
        struct tdbg_expr_index index = {0};
        skip_space(p);
        if (term->n_indices == TDBG_MAX_DIMS) {
            FAIL(p, p->at, NULL, "more than %d indices", TDBG_MAX_DIMS);
            return;
        }
        index.has_from = parse_integer(p, &index.from);
        index.is_single = !accept(p, ":");
        if (!index.is_single)
            index.has_to = parse_integer(p, &index.to);
        else if (!index.has_from)
            FAIL(p, p->at, hint, "expected an index before %s", next_text(p, buf));
        term->index[term->n_indices++] = index;
    } while (!p->failed && accept(p, ","));
    expect(p, "]", hint);
}

static struct tdbg_expr_term *new_term(struct parser *p, enum tdbg_expr_function function,
                                       const char *pattern, size_t n)
{
    struct tdbg_expr *e = p->out;
    if (e->n_terms == TDBG_EXPR_TERMS)
        FAIL(p, pattern, NULL, "more than %d functions", TDBG_EXPR_TERMS);
    else if (n > TDBG_EXPR_PATTERN)
        FAIL(p, pattern, NULL, "a name of more than %d characters", TDBG_EXPR_PATTERN);
    if (p->failed)
        return NULL;
    struct tdbg_expr_term *term = &e->term[e->n_terms++];
    term->function = function;
    term->column = column_of(p, pattern);
    memcpy(term->pattern, pattern, n);
    return term;
}

/* Behind the function's name: "(grad/fc*[0:4])"; faults may do without, or with a name alone. */
static struct part parse_call(struct parser *p, const char *start, enum tdbg_expr_function function)
{
    static const char all[] = "*";
    const bool is_condition = function_is_condition[function];
    char hint[80], buf[8];
    snprintf(hint, sizeof hint, "for example %s(grad/fc*)", function_texts[function]);
    const bool called = accept(p, "(");
    skip_space(p);
    size_t n = count_chars(p->at, called ? is_pattern_char : is_name_char);
    if (!called && n > 0 &&
        (word_is(p->at, n, "if") || word_is(p->at, n, "and") || word_is(p->at, n, "or") ||
         isdigit((unsigned char)*p->at)))
        n = 0;
    if (!called && n > 0)
        n = count_chars(p->at, is_pattern_char); /* like `nan grad/fc1.bias` */
    if (n == 0 && !is_condition)
        FAIL(p, p->at, hint, "%s wants the name of a site before %s", function_texts[function],
             next_text(p, buf));
    if (n == 0 && called)
        FAIL(p, p->at, hint, "expected the name of a site before %s", next_text(p, buf));
    struct tdbg_expr_term *term = n > 0 ? new_term(p, function, p->at, n) : NULL;
    if (n == 0 && !p->failed) {
        const char *at = p->at;
        term = new_term(p, function, at, 0);
        if (term) {
            term->column = column_of(p, start);
            memcpy(term->pattern, all, sizeof all);
        }
    }
    p->at += n;
    if (called && term && accept(p, "["))
        parse_slice(p, term);
    if (called)
        expect(p, ")", hint);
    return make(p, start, is_condition ? COUNT : NUMBER, TDBG_EXPR_TERM, p->out->n_terms - 1, 0, 0);
}

static struct part parse_diverges(struct parser *p, const char *start)
{
    static const char hint[] = "diverges(loss), or diverges(grad_norm)";
    enum tdbg_expr_code code = TDBG_EXPR_LOSS;
    char buf[8];
    expect(p, "(", hint);
    if (accept_word(p, "grad_norm"))
        code = TDBG_EXPR_GRAD_NORM;
    else if (!p->failed && !accept_word(p, "loss"))
        FAIL(p, p->at, hint, "diverges judges what every step's row has, not what begins with %s",
             next_text(p, buf));
    expect(p, ")", hint);
    return make(p, start, CONDITION, TDBG_EXPR_DIVERGES, code, p->out->n_diverges++, 0);
}

static struct part unknown_name(struct parser *p, const char *start, size_t n)
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
    FAIL(p, start, hint, "unknown metric '%s'", word);
    return failed_part(p);
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
    return tdbg_stage_parse(stage, &ignored) ? n + 1 + count_chars(at + n + 1, is_name_char) : 0;
}

static struct part parse_name(struct parser *p)
{
    const char *start = p->at;
    const size_t n = count_chars(start, is_name_char), site = site_length(start, n);
    p->at += site > 0 ? site : n;
    if (site > 0) {
        struct tdbg_expr_term *term = new_term(p, TDBG_EXPR_SCALAR, start, site);
        if (term && accept(p, "["))
            parse_slice(p, term);
        return make(p, start, NUMBER, TDBG_EXPR_TERM, p->out->n_terms - 1, 0, 0);
    }
    if (word_is(start, n, "diverges"))
        return parse_diverges(p, start);
    for (int i = 0; i < N_FUNCTIONS; i++) {
        if (word_is(start, n, function_texts[i]))
            return parse_call(p, start, (enum tdbg_expr_function)i);
    }
    for (int i = 0; i < N_VARIABLES; i++) {
        if (word_is(start, n, variables[i].text))
            return make(p, start, NUMBER, variables[i].code, 0, 0, 0);
    }
    return unknown_name(p, start, n);
}

static struct part parse_atom(struct parser *p)
{
    char buf[8];
    skip_space(p);
    if (p->failed)
        return failed_part(p);
    if (isdigit((unsigned char)*p->at) || (*p->at == '.' && isdigit((unsigned char)p->at[1])))
        return parse_number(p);
    if (isalpha((unsigned char)*p->at) || *p->at == '_')
        return parse_name(p);
    if (accept(p, "(")) {
        struct part inner = parse_condition(p);
        expect(p, ")", NULL);
        return inner;
    }
    FAIL(p, p->at, *p->at == '!' ? "write 'not'" : "for example loss > 10, or nan",
         "expected a number, a name or '(' before %s", next_text(p, buf));
    return failed_part(p);
}

/* --- operators --- */

static void want_number(struct parser *p, struct part part)
{
    if (!p->failed && part.kind == CONDITION)
        FAIL(p, part.at, "comparisons are joined by and, or: 1 < loss and loss < 2",
             "this is true or false, but a number is wanted here");
}

static void want_condition(struct parser *p, struct part part)
{
    if (!p->failed && part.kind == NUMBER)
        FAIL(p, part.at, "compare it, for example loss > 10",
             "this is a number, but true or false is wanted here");
}

static bool enter(struct parser *p)
{
    if (++p->depth > TDBG_EXPR_DEPTH)
        FAIL(p, p->at, NULL, "nested too deeply (at most %d)", TDBG_EXPR_DEPTH);
    return !p->failed;
}

static struct part parse_unary(struct parser *p)
{
    struct part part = failed_part(p);
    skip_space(p);
    const char *start = p->at;
    if (enter(p)) {
        if (accept(p, "-")) {
            part = parse_unary(p);
            want_number(p, part);
            part = make(p, start, NUMBER, TDBG_EXPR_NEGATE, part.node, 0, 0);
        } else {
            part = parse_atom(p);
        }
    }
    p->depth--;
    return part;
}

static struct part join(struct parser *p, struct part a, struct part b, enum kind kind,
                        enum tdbg_expr_code code)
{
    return make(p, a.at, kind, code, a.node, b.node, 0);
}

static struct part parse_product(struct parser *p)
{
    struct part a = parse_unary(p);
    while (!p->failed) {
        const bool times = accept(p, "*");
        if (!times && !accept(p, "/"))
            break;
        struct part b = parse_unary(p);
        want_number(p, a);
        want_number(p, b);
        a = join(p, a, b, NUMBER, times ? TDBG_EXPR_MULTIPLY : TDBG_EXPR_DIVIDE);
    }
    return a;
}

static struct part parse_sum(struct parser *p)
{
    struct part a = parse_product(p);
    while (!p->failed) {
        const bool plus = accept(p, "+");
        if (!plus && !accept(p, "-"))
            break;
        struct part b = parse_product(p);
        want_number(p, a);
        want_number(p, b);
        a = join(p, a, b, NUMBER, plus ? TDBG_EXPR_ADD : TDBG_EXPR_SUBTRACT);
    }
    return a;
}

static struct part parse_comparison(struct parser *p)
{
    static const struct {
        const char *text;
        enum tdbg_expr_code code;
    } signs[] = {{"<=", TDBG_EXPR_LESS_EQUAL}, {">=", TDBG_EXPR_GREATER_EQUAL},
                 {"==", TDBG_EXPR_EQUAL},      {"!=", TDBG_EXPR_NOT_EQUAL},
                 {"<", TDBG_EXPR_LESS},        {">", TDBG_EXPR_GREATER}};
    struct part a = parse_sum(p);
    for (size_t i = 0; !p->failed && i < sizeof signs / sizeof signs[0]; i++) {
        if (!accept(p, signs[i].text))
            continue;
        struct part b = parse_sum(p);
        want_number(p, a);
        want_number(p, b);
        a = join(p, a, b, CONDITION, signs[i].code);
        skip_space(p);
        if (!p->failed && *p->at && strchr("<>=!", *p->at))
            FAIL(p, p->at, "1 < loss and loss < 2", "comparisons cannot be chained");
        break;
    }
    skip_space(p);
    if (!p->failed && *p->at == '=')
        FAIL(p, p->at, "equality is '=='", "'=' compares nothing");
    return a;
}

static struct part parse_not(struct parser *p)
{
    struct part part = failed_part(p);
    skip_space(p);
    const char *start = p->at;
    if (enter(p)) {
        if (accept_word(p, "not")) {
            part = parse_not(p);
            want_condition(p, part);
            part = make(p, start, CONDITION, TDBG_EXPR_NOT, part.node, 0, 0);
        } else {
            part = parse_comparison(p);
        }
    }
    p->depth--;
    return part;
}

static struct part parse_and(struct parser *p)
{
    struct part a = parse_not(p);
    while (!p->failed && accept_word(p, "and")) {
        struct part b = parse_not(p);
        want_condition(p, a);
        want_condition(p, b);
        a = join(p, a, b, CONDITION, TDBG_EXPR_AND);
    }
    return a;
}

static struct part parse_condition(struct parser *p)
{
    struct part a = parse_and(p);
    while (!p->failed && accept_word(p, "or")) {
        struct part b = parse_and(p);
        want_condition(p, a);
        want_condition(p, b);
        a = join(p, a, b, CONDITION, TDBG_EXPR_OR);
    }
    return a;
}

/* What cannot go on: the hint names what is usually meant. */
static void fail_at_rest(struct parser *p)
{
    char buf[8];
    const char *hint = "parts are joined by and, or, if, or by an operator";
    hint = *p->at == '&' ? "write 'and'" : *p->at == '|' ? "write 'or'" : hint;
    hint = *p->at == '[' ? "slices stand in a function: mean(fwd/fc1[0:4,:])" : hint;
    FAIL(p, p->at, hint, "expected the end before %s", next_text(p, buf));
}

struct tdbg_expr *tdbg_expr_parse(const char *text, struct tdbg_expr_fault *fault)
{
    struct parser p = {.text = text, .at = text, .fault = fault};
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
    struct part root = parse_condition(&p);
    if (!p.failed && accept_word(&p, "if")) {
        struct part when = parse_condition(&p);
        want_condition(&p, root);
        want_condition(&p, when);
        root = make(&p, root.at, CONDITION, TDBG_EXPR_AND, when.node, root.node, 0);
    }
    skip_space(&p);
    if (!p.failed && *p.at)
        fail_at_rest(&p);
    if (p.failed) {
        tdbg_expr_destroy(p.out);
        return NULL;
    }
    p.out->root = root.node;
    p.out->is_condition = root.kind != NUMBER;
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
