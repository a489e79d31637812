/* Expressions over a step: the one small language of breakpoints, bisect, export and terminal.
 * docs/expressions.md has the grammar and what each name means.
 *
 *     loss > 10      nan      diverges(loss)      update_ratio(fc1.weight) > 0.1
 *     absmax(grad/fc*) > 100 if step > 500        mean(x[0:4,:]) < 0 or not lr > 0
 *
 * Here are the text's tree and the sites that its names mean in a trace; expression_eval.h computes
 * its value. Any bytes are safe to parse. */
#ifndef TDBG_REPLAY_EXPRESSION_H
#define TDBG_REPLAY_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/site.h"
#include "base/status.h"

enum {
    TDBG_EXPR_TEXT = 1000,  /* bytes of the longest expression */
    TDBG_EXPR_NODES = 256,  /* of the tree */
    TDBG_EXPR_DEPTH = 32,   /* of nesting in the text */
    TDBG_EXPR_TERMS = 32,   /* calls of functions over sites */
    TDBG_EXPR_PATTERN = 160 /* bytes of the longest name of sites */
};

/* X(NAME, text, is_condition): functions over all elements, together, of the sites that a pattern
 * matches. One that counts faults is a condition as well: it holds where the count is not 0. */
#define TDBG_EXPR_FUNCTIONS(X)                                                                     \
    X(MIN, "min", false)                                                                           \
    X(MAX, "max", false)                                                                           \
    X(MEAN, "mean", false)                                                                         \
    X(RMS, "rms", false)                                                                           \
    X(ABSMAX, "absmax", false)                                                                     \
    X(NORM, "norm", false)                                                                         \
    X(ZEROS, "zeros", true)                                                                        \
    X(NAN, "nan", true)                                                                            \
    X(INF, "inf", true)                                                                            \
    X(COUNT, "count", false)                                                                       \
    X(UPDATE_RATIO, "update_ratio", false)                                                         \
    X(RANKDIFF, "rankdiff", true)

enum tdbg_expr_function {
#define TDBG_EXPR_FUNCTION_ENUM(name, text, is_condition) TDBG_EXPR_##name,
    TDBG_EXPR_FUNCTIONS(TDBG_EXPR_FUNCTION_ENUM)
#undef TDBG_EXPR_FUNCTION_ENUM
        TDBG_EXPR_SCALAR, /* a site of one element, named without a function */
    TDBG_EXPR_FUNCTION_COUNT
};

enum tdbg_expr_code {
    TDBG_EXPR_NUMBER,
    TDBG_EXPR_STEP, /* what every step's row has */
    TDBG_EXPR_EPOCH,
    TDBG_EXPR_LR,
    TDBG_EXPR_LOSS,
    TDBG_EXPR_GRAD_NORM,
    TDBG_EXPR_SAMPLES,
    TDBG_EXPR_TERM,     /* a: index of the term */
    TDBG_EXPR_DIVERGES, /* a: TDBG_EXPR_LOSS or TDBG_EXPR_GRAD_NORM, b: number among its kind */
    TDBG_EXPR_NEGATE,   /* a: operand */
    TDBG_EXPR_NOT,
    TDBG_EXPR_ADD, /* a, b: operands */
    TDBG_EXPR_SUBTRACT,
    TDBG_EXPR_MULTIPLY,
    TDBG_EXPR_DIVIDE,
    TDBG_EXPR_LESS,
    TDBG_EXPR_LESS_EQUAL,
    TDBG_EXPR_GREATER,
    TDBG_EXPR_GREATER_EQUAL,
    TDBG_EXPR_EQUAL,
    TDBG_EXPR_NOT_EQUAL,
    TDBG_EXPR_AND, /* `A if B` is B and A */
    TDBG_EXPR_OR,
};

struct tdbg_expr_node {
    enum tdbg_expr_code code;
    int a, b;
    double number;
};

/* One index of a slice: [from, to) with what is open left out; an index alone is is_single. Those
 * below 0 count from the end. */
struct tdbg_expr_index {
    bool has_from, has_to, is_single;
    int64_t from, to;
};

struct tdbg_expr_term {
    enum tdbg_expr_function function;
    int column; /* of the pattern, from 1 */
    char pattern[TDBG_EXPR_PATTERN + 1];
    int n_indices; /* 0: the whole tensor */
    struct tdbg_expr_index index[TDBG_MAX_DIMS];
    /* By tdbg_expr_bind, ascending; for update_ratio sites of stage param, and in before those of
     * the same parameters in stage state. */
    int32_t *sites, *before;
    int32_t n_sites;
};

struct tdbg_expr {
    char text[TDBG_EXPR_TEXT + 1];
    struct tdbg_expr_node node[TDBG_EXPR_NODES];
    struct tdbg_expr_term term[TDBG_EXPR_TERMS];
    int n_nodes, n_terms, n_diverges, root;
    bool is_condition; /* true or false, or a count of faults; else a number */
};

/* Why a text is no expression, or none for this trace. */
struct tdbg_expr_fault {
    enum tdbg_status status; /* USAGE, NOT_FOUND or CANNOT_JUDGE */
    int column;              /* byte of the text, from 1 */
    char text[200];          /* "unknown name 'los'" */
    char hint[200];          /* "did you mean 'loss'?"; "" */
};

/* Allocates *out; destroy it with tdbg_expr_destroy. NULL and *fault filled: text is none. */
struct tdbg_expr *tdbg_expr_parse(const char *text, struct tdbg_expr_fault *fault);
void tdbg_expr_destroy(struct tdbg_expr *expr); /* NULL is fine */

/* Finds the sites that the names mean, among those of a trace; world_size: its ranks. false and
 * *fault filled: a name means nothing here, or too much. */
bool tdbg_expr_bind(struct tdbg_expr *expr, const struct tdbg_site *sites, int32_t n_sites,
                    int32_t world_size, struct tdbg_expr_fault *fault);

/* The fault as an error of several lines: what, the text, a caret under the column, the hint. */
enum tdbg_status tdbg_expr_raise(const char *text, const struct tdbg_expr_fault *fault,
                                 struct tdbg_err *err);

/* For parts of the parser: fills the fault, "col N: " not included. Returns false. */
bool tdbg_expr_fault_set(struct tdbg_expr_fault *fault, enum tdbg_status status, int column,
                         const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

const char *tdbg_expr_function_text(enum tdbg_expr_function function);

/* Of the same tensor, dtype and shape (a file may say otherwise of what should be), and lane? */
bool tdbg_expr_same_tensor(const struct tdbg_site *a, const struct tdbg_site *b);

/* Elements that an index takes of a dimension of n: count from *from on. A single index outside
 * takes none. */
int64_t tdbg_expr_index_range(const struct tdbg_expr_index *index, int64_t n, int64_t *from);

#endif
