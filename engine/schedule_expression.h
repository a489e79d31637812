/* Small formulas for a schedule's factor: "0.95^epoch", "max(0.1, cos(3.14 * step / total_steps))".
 *
 *     sum     = product { ("+" | "-") product }
 *     product = unary { ("*" | "/") unary }
 *     unary   = "-" unary | "+" unary | power
 *     power   = atom [ "^" unary ]                      right to left: 2^3^2 is 2^9
 *     atom    = number | variable | "(" sum ")" | function "(" sum { "," sum } ")"
 *
 * variables: step and epoch (whole, from 0), total_steps, lr; functions: min and max of two, cos,
 * exp, sqrt. Computed in double with kernels/host_math.h, so every machine gives the same bits. */
#ifndef TDBG_ENGINE_SCHEDULE_EXPRESSION_H
#define TDBG_ENGINE_SCHEDULE_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>

enum { TDBG_EXPRESSION_OPS = 96, TDBG_EXPRESSION_DEPTH = 32 };

struct tdbg_expression_op {
    uint8_t code;  /* of schedule_expression.c */
    double number; /* of a constant */
};

/* A formula for a stack machine: constants and variables push, operators pop and push. */
struct tdbg_expression {
    struct tdbg_expression_op op[TDBG_EXPRESSION_OPS];
    int n;
};

struct tdbg_expression_values {
    double step, epoch, total_steps, lr;
};

struct tdbg_expression_fault {
    int column;     /* of the text, from 1 */
    char text[120]; /* "unknown name 'epch'; known are ..." */
};

/* False, and why and where, if text is no formula. */
bool tdbg_expression_parse(const char *text, struct tdbg_expression *out,
                           struct tdbg_expression_fault *fault);

double tdbg_expression_evaluate(const struct tdbg_expression *expression,
                                const struct tdbg_expression_values *values);

#endif
