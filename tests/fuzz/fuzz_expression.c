/* Fuzz: expressions of random bytes, of random words and of changed good ones. Whatever parses is
 * bound to a list of sites and its slices are taken of a value; whatever does not has a fault that
 * lies in the text and can be raised.
 *
 * usage: fuzz-expression COUNT SEED      fuzz-expression one NUMBER      repeats one text, and says
 * it
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "replay/expression_value.h"
#include "tests/fuzz/fuzz_bytes.h"

static const char *const good[] = {"loss > 10",
                                   "nan",
                                   "diverges(loss)",
                                   "absmax(grad/fc*) > 100 if step > 500",
                                   "update_ratio(fc1.weight) > 0.1 or inf",
                                   "mean(x[0:4,:]) < -2.31e+01",
                                   "max(fwd/fc1[-1,1:2]) >= 1e30 and not lr == 0",
                                   "(loss / 2 - 3) * 4 != 1 or (nan grad/* and zeros(*) > 3)",
                                   "rankdiff(param/*) > 0",
                                   "eval/accuracy < 0.5 if epoch >= 1"};
static const char *const words[] = {"loss",
                                    "nan",
                                    "inf",
                                    "(",
                                    ")",
                                    "[",
                                    "]",
                                    ",",
                                    ":",
                                    "0",
                                    "1e9",
                                    "-",
                                    "+",
                                    "*",
                                    "/",
                                    "<",
                                    "<=",
                                    "==",
                                    "!=",
                                    ">",
                                    "and",
                                    "or",
                                    "not",
                                    "if",
                                    "min",
                                    "max",
                                    "absmax",
                                    "norm",
                                    "x",
                                    "grad/*",
                                    "-1",
                                    "diverges",
                                    "step",
                                    "fwd/a",
                                    "loss/",
                                    ".5",
                                    "rms",
                                    "*/*",
                                    "count(",
                                    "x[0",
                                    "update_ratio(",
                                    "9999999999999999999"};
enum { N_GOOD = sizeof good / sizeof *good, N_WORDS = sizeof words / sizeof *words };

static const struct tdbg_site sites[] = {
    {.name = "input/x", .stage = TDBG_STAGE_INPUT, .ndim = 2, .dims = {4, 6}, .batched = true},
    {.name = "state/fc1.weight", .stage = TDBG_STAGE_STATE, .ndim = 2, .dims = {3, 6}},
    {.name = "fwd/fc1", .stage = TDBG_STAGE_FWD, .ndim = 3, .dims = {4, 3, 2}, .batched = true},
    {.name = "fwd/a", .stage = TDBG_STAGE_FWD, .ndim = 1, .dims = {0}},
    {.name = "loss", .stage = TDBG_STAGE_LOSS},
    {.name = "grad/fc1.weight", .stage = TDBG_STAGE_GRAD, .ndim = 2, .dims = {3, 6}},
    {.name = "param/fc1.weight", .stage = TDBG_STAGE_PARAM, .ndim = 2, .dims = {3, 6}},
    {.name = "eval/accuracy", .stage = TDBG_STAGE_EVAL},
};
enum { N_SITES = sizeof sites / sizeof *sites, MOST_ELEMS = 24 };

static unsigned long long running;

static void tell(int number)
{
    char text[100];
    const int n =
        snprintf(text, sizeof text, "failed; repeat with: fuzz-expression one %llu\n", running);
    if (write(2, text, (size_t)n) < 0)
        _exit(2);
    signal(number, SIG_DFL);
    raise(number);
}

#define DEMAND(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "not so: %s\n", #cond);                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* One to a few changes of bytes, in place; text has room for `room` bytes with its end. */
static void change(char *text, size_t room)
{
    static const char signs[] = " ()[]:,.*/+-<>=0123456789ex";
    for (size_t t = 1 + below(4); t > 0; t--) {
        const size_t n = strlen(text), at = below(n + 1);
        switch (below(4)) {
        case 0:
            text[at < n ? at : 0] =
                below(4) ? signs[below(sizeof signs - 1)] : (char)(1 + below(255));
            break;
        case 1: /* a byte is gone */
            memmove(text + at, text + (at < n ? at + 1 : at), n + 1 - (at < n ? at + 1 : at));
            break;
        case 2: /* the end is gone */
            text[at] = '\0';
            break;
        default: /* a piece comes twice */
            if (2 * n + 1 < room)
                memmove(text + at + (n - at), text + at, n - at + 1);
        }
    }
}

static void make_text(char *text, size_t room)
{
    size_t n = 0, pieces = 1 + below(below(10) ? 14 : 300);
    text[0] = '\0';
    switch (below(3)) {
    case 0:
        for (; n + 1 < room && pieces > 0; pieces--)
            text[n++] = (char)(1 + below(255));
        text[n] = '\0';
        break;
    case 1:
        for (; pieces > 0; pieces--) {
            const char *word = words[below(N_WORDS)];
            if (n + strlen(word) + 2 > room)
                break;
            n += (size_t)snprintf(text + n, room - n, "%s%s", word, below(3) ? " " : "");
        }
        break;
    default:
        snprintf(text, room, "%s", good[below(N_GOOD)]);
        change(text, room);
    }
}

static void demand_fault(const char *text, const struct tdbg_expr_fault *fault)
{
    struct tdbg_err err = {0};
    const size_t n = strlen(text);
    DEMAND(fault->status != TDBG_OK && fault->text[0]);
    DEMAND(fault->column >= 1 && (size_t)fault->column <= n + 1);
    DEMAND(tdbg_expr_raise(text, fault, &err) == fault->status);
    DEMAND(err.message && strchr(err.message, '^'));
    tdbg_err_clear(&err);
}

/* Every term over values of its sites, whole and of a short batch. */
static void compute(const struct tdbg_expr *e)
{
    float data[MOST_ELEMS], scratch[MOST_ELEMS];
    for (int i = 0; i < MOST_ELEMS; i++)
        data[i] = i % 7 ? (float)i : NAN;
    for (int i = 0; i < e->n_terms; i++) {
        const struct tdbg_expr_term *t = &e->term[i];
        struct tdbg_expr_gathered g = {0};
        for (int32_t k = 0; k < t->n_sites; k++) {
            const struct tdbg_site *s = &sites[t->sites[k]];
            const int64_t n = tdbg_site_elems(s);
            if (t->n_indices == 0)
                continue;
            tdbg_expr_gather_slice(&g, t, s, data, n, scratch);
            if (s->batched)
                tdbg_expr_gather_slice(&g, t, s, data, n / s->dims[0], scratch);
        }
        (void)tdbg_expr_result(t->function, &g);
    }
}

/* Returns whether it parsed. */
static bool run_one(uint64_t number, bool loud)
{
    char text[2 * TDBG_EXPR_TEXT];
    struct tdbg_expr_fault fault = {0};
    running = number;
    rng = number;
    make_text(text, sizeof text);
    if (loud)
        printf("%s\n", text);
    struct tdbg_expr *e = tdbg_expr_parse(text, &fault);
    if (!e) {
        demand_fault(text, &fault);
        return false;
    }
    DEMAND(e->root >= 0 && e->root < e->n_nodes && strcmp(e->text, text) == 0);
    for (int i = 0; i < e->n_nodes; i++) /* operands come first: no tree has a circle */
        DEMAND(e->node[i].code < TDBG_EXPR_NEGATE || (e->node[i].a < i && e->node[i].b < i));
    if (tdbg_expr_bind(e, sites, N_SITES, 1 + (int)(number % 2), &fault))
        compute(e);
    else
        demand_fault(text, &fault);
    tdbg_expr_destroy(e);
    return true;
}

int main(int argc, char **argv)
{
    unsigned long long parsed = 0;
    signal(SIGSEGV, tell);
    signal(SIGABRT, tell);
    if (argc > 2 && strcmp(argv[1], "one") == 0) {
        run_one(strtoull(argv[2], NULL, 10), true);
        return 0;
    }
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (uint64_t i = 0; i < count; i++)
        parsed += run_one(seed * 1000000000 + i, false);
    printf("%llu texts, %llu parse\n", (unsigned long long)count, parsed);
    return parsed > count / 100 && parsed < count ? 0 : 1; /* else nothing was tried */
}
