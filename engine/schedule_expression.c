/* Parser and evaluator of schedule formulas. Grammar: schedule_expression.h. */
#include "engine/schedule_expression.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "kernels/host_math.h"

enum code {
    OP_NUMBER,
    OP_STEP,
    OP_EPOCH,
    OP_TOTAL_STEPS,
    OP_LR,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_POWER,
    OP_NEGATE,
    OP_MIN,
    OP_MAX,
    OP_COS,
    OP_EXP,
    OP_SQRT,
};

static const struct name {
    const char *text;
    enum code code;
    int arguments; /* 0: a variable */
} names[] = {
    {"step", OP_STEP, 0}, {"epoch", OP_EPOCH, 0}, {"total_steps", OP_TOTAL_STEPS, 0},
    {"lr", OP_LR, 0},     {"min", OP_MIN, 2},     {"max", OP_MAX, 2},
    {"cos", OP_COS, 1},   {"exp", OP_EXP, 1},     {"sqrt", OP_SQRT, 1},
};
enum { N_NAMES = sizeof names / sizeof names[0] };

struct parser {
    const char *text, *at;
    struct tdbg_expression *out;
    struct tdbg_expression_fault *fault;
    int depth, held; /* nesting; values on the stack where the formula so far has run */
    bool failed;
};

__attribute__((format(printf, 3, 4))) static void fail(struct parser *p, const char *at,
                                                       const char *fmt, ...)
{
    if (p->failed)
        return;
    p->failed = true;
    p->fault->column = (int)(at - p->text) + 1;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->fault->text, sizeof p->fault->text, fmt, args);
    va_end(args);
}

static void skip_space(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t')
        p->at++;
}

static bool accept(struct parser *p, char c)
{
    skip_space(p);
    if (p->failed || *p->at != c)
        return false;
    p->at++;
    return true;
}

/* change: what the op does to the number of values on the stack. */
static void emit(struct parser *p, enum code code, double number, int change)
{
    p->held += change;
    if (p->out->n == TDBG_EXPRESSION_OPS || p->held > TDBG_EXPRESSION_DEPTH)
        fail(p, p->at, "the formula is too long");
    else
        p->out->op[p->out->n++] =
            (struct tdbg_expression_op){.code = (uint8_t)code, .number = number};
}

static void expect(struct parser *p, char c)
{
    if (p->failed || accept(p, c))
        return;
    if (*p->at)
        fail(p, p->at, "expected '%c' before '%c'", c, *p->at);
    else
        fail(p, p->at, "expected '%c' at the end", c);
}

static void parse_sum(struct parser *p);

static void parse_number(struct parser *p)
{
    const char *start = p->at;
    while (isdigit((unsigned char)*p->at) || *p->at == '.')
        p->at++;
    if (*p->at == 'e' || *p->at == 'E') {
        const char *sign = p->at + 1 + (p->at[1] == '-' || p->at[1] == '+');
        if (isdigit((unsigned char)*sign)) {
            p->at = sign;
            while (isdigit((unsigned char)*p->at))
                p->at++;
        }
    }
    char copy[64], *end;
    size_t n = (size_t)(p->at - start);
    if (n >= sizeof copy) {
        fail(p, start, "a number of more than 63 characters");
        return;
    }
    memcpy(copy, start, n);
    copy[n] = 0;
    double number = strtod(copy, &end);
    if (*end || end == copy || !isfinite(number))
        fail(p, start, "'%s' is no number", copy);
    emit(p, OP_NUMBER, number, 1);
}

static void parse_name(struct parser *p)
{
    const char *start = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_')
        p->at++;
    size_t n = (size_t)(p->at - start);
    for (int i = 0; i < N_NAMES; i++) {
        if (strlen(names[i].text) != n || memcmp(names[i].text, start, n) != 0)
            continue;
        if (names[i].arguments > 0) {
            expect(p, '(');
            parse_sum(p);
            for (int a = 1; a < names[i].arguments; a++) {
                expect(p, ',');
                parse_sum(p);
            }
            expect(p, ')');
        }
        emit(p, names[i].code, 0, 1 - names[i].arguments);
        return;
    }
    fail(p, start,
         "unknown name '%.*s'; known are step, epoch, total_steps, lr, min, max, cos, "
         "exp, sqrt",
         (int)(n < 20 ? n : 20), start);
}

static void parse_atom(struct parser *p)
{
    skip_space(p);
    if (p->failed)
        return;
    if (isdigit((unsigned char)*p->at) || *p->at == '.') {
        parse_number(p);
    } else if (isalpha((unsigned char)*p->at) || *p->at == '_') {
        parse_name(p);
    } else if (accept(p, '(')) {
        parse_sum(p);
        expect(p, ')');
    } else if (*p->at) {
        fail(p, p->at, "expected a number, a name or '(' before '%c'", *p->at);
    } else {
        fail(p, p->at, "expected a number, a name or '(' at the end");
    }
}

static void parse_unary(struct parser *p)
{
    if (++p->depth > TDBG_EXPRESSION_DEPTH)
        fail(p, p->at, "the formula is nested too deeply");
    if (accept(p, '-')) {
        parse_unary(p);
        emit(p, OP_NEGATE, 0, 0);
    } else if (accept(p, '+')) {
        parse_unary(p);
    } else {
        parse_atom(p);
        if (accept(p, '^')) {
            parse_unary(p);
            emit(p, OP_POWER, 0, -1);
        }
    }
    p->depth--;
}

static void parse_product(struct parser *p)
{
    parse_unary(p);
    while (!p->failed) {
        bool times = accept(p, '*');
        if (!times && !accept(p, '/'))
            return;
        parse_unary(p);
        emit(p, times ? OP_MULTIPLY : OP_DIVIDE, 0, -1);
    }
}

static void parse_sum(struct parser *p)
{
    if (++p->depth > TDBG_EXPRESSION_DEPTH)
        fail(p, p->at, "the formula is nested too deeply");
    if (!p->failed)
        parse_product(p);
    while (!p->failed) {
        bool plus = accept(p, '+');
        if (!plus && !accept(p, '-'))
            break;
        parse_product(p);
        emit(p, plus ? OP_ADD : OP_SUBTRACT, 0, -1);
    }
    p->depth--;
}

bool tdbg_expression_parse(const char *text, struct tdbg_expression *out,
                           struct tdbg_expression_fault *fault)
{
    struct parser p = {.text = text, .at = text, .out = out, .fault = fault};
    *out = (struct tdbg_expression){.n = 0};
    parse_sum(&p);
    skip_space(&p);
    if (!p.failed && *p.at)
        fail(&p, p.at, "expected the end before '%c'", *p.at);
    return !p.failed;
}

static double apply(enum code code, double a, double b)
{
    switch (code) {
    case OP_ADD:
        return a + b;
    case OP_SUBTRACT:
        return a - b;
    case OP_MULTIPLY:
        return a * b;
    case OP_DIVIDE:
        return a / b;
    case OP_POWER:
        return tdbg_host_pow(a, b);
    case OP_MIN:
        return a != a || a < b ? a : b;
    case OP_MAX:
        return a != a || a > b ? a : b;
    case OP_NEGATE:
        return -a;
    case OP_COS:
        return tdbg_host_cos(a);
    case OP_EXP:
        return tdbg_host_exp(a);
    case OP_SQRT:
        return sqrt(a);
    default:
        TDBG_BUG("operator %d of a formula", (int)code);
    }
}

static int count_arguments(enum code code)
{
    return code <= OP_LR ? 0 : code <= OP_POWER || code == OP_MIN || code == OP_MAX ? 2 : 1;
}

double tdbg_expression_evaluate(const struct tdbg_expression *expression,
                                const struct tdbg_expression_values *v)
{
    const double variable[] = {[OP_STEP] = v->step,
                               [OP_EPOCH] = v->epoch,
                               [OP_TOTAL_STEPS] = v->total_steps,
                               [OP_LR] = v->lr};
    double stack[TDBG_EXPRESSION_DEPTH + 1];
    int n = 0;
    for (int i = 0; i < expression->n; i++) {
        const struct tdbg_expression_op *op = &expression->op[i];
        const enum code code = (enum code)op->code;
        const int arguments = count_arguments(code);
        if (arguments == 0) {
            stack[n++] = code == OP_NUMBER ? op->number : variable[code];
            continue;
        }
        n -= arguments;
        stack[n] = apply(code, stack[n], arguments == 2 ? stack[n + 1] : 0);
        n++;
    }
    return stack[0];
}
