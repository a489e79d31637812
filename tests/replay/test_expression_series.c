/* diverges() over a longer trace: at any step, asked for in any order, it is what the series from
 * the first step on makes it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "replay/expression_eval.h"
#include "tests/replay/zone_trace.h"

enum { STEPS = 2300, QUESTIONS = 400 };

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : tdbg_status_text(st));
}

static char dir[] = "/tmp/tdbg-series-XXXXXX", path[64];
static struct tdbg_trace *trace;
static int64_t first;
static bool want[STEPS];

/* What the series say after every step. */
static int64_t expected(bool *out)
{
    struct tdbg_diverges loss = {0}, norm = {0};
    struct tdbg_err err = {0};
    int64_t n_true = 0;
    for (int64_t i = 0; i < STEPS; i++) {
        struct tdbg_step_row row;
        check(tdbg_trace_read_steps(trace, tdbg_trace_first_step(trace) + i, 1, &row, &err), &err);
        const bool by_loss = tdbg_diverges_add(&loss, (double)row.loss);
        out[i] = tdbg_diverges_add(&norm, row.grad_norm) && !by_loss;
        n_true += out[i];
    }
    return n_true;
}

struct question {
    struct tdbg_expr *expr;
    struct tdbg_expr_eval *eval;
};

static struct question ask(const char *text)
{
    const struct tdbg_session_options options = {0};
    struct tdbg_err err = {0};
    struct tdbg_expr_fault fault;
    struct question q = {.expr = tdbg_expr_parse(text, &fault)};
    assert_non_null(q.expr);
    check(tdbg_expr_eval_create(trace, &options, q.expr, &q.eval, &err), &err);
    assert_false(tdbg_expr_eval_may_execute(q.eval));
    return q;
}

static void end(struct question *q)
{
    tdbg_expr_eval_destroy(q->eval);
    tdbg_expr_destroy(q->expr);
}

static void expect(struct question *q, int64_t step, bool is)
{
    struct tdbg_expr_value value;
    struct tdbg_err err = {0};
    check(tdbg_expr_eval_at(q->eval, first + step, &value, &err), &err);
    if (!value.is_known || (value.number != 0) != is)
        fail_msg("'%s' at step %d", q->expr->text, (int)step);
}

static void test_any_order(void **state)
{
    (void)state;
    struct question q = ask("diverges(grad_norm) and not diverges(loss)");
    for (int64_t i = 0; i < QUESTIONS; i++) {
        /* all over the steps, and on and back by a few */
        const int64_t r = (int64_t)(zone_random(7, i, 0) % STEPS), step = i % 3 ? r : (r + i) % 600;
        expect(&q, step, want[step]);
    }
    end(&q);
}

/* What another one has gone through is taken over, where it is the same. */
static void test_learned(void **state)
{
    (void)state;
    struct question q = ask("diverges(grad_norm) and not diverges(loss)");
    struct question negated = ask("not (diverges(grad_norm) and not diverges(loss))");
    struct question turned = ask("not diverges(loss) and diverges(grad_norm)");
    struct question one = ask("diverges(loss)"), norm = ask("diverges(grad_norm)");
    struct tdbg_expr_value last;
    struct tdbg_err err = {0};
    expect(&q, STEPS - 1, want[STEPS - 1]);
    check(tdbg_expr_eval_at(one.eval, first + STEPS - 1, &last, &err), &err);
    tdbg_expr_eval_learn(negated.eval, q.eval);
    tdbg_expr_eval_learn(turned.eval, q.eval);
    tdbg_expr_eval_learn(one.eval, q.eval);
    tdbg_expr_eval_learn(norm.eval, one.eval);
    tdbg_expr_eval_learn(norm.eval, norm.eval);
    for (int64_t i = 0; i < QUESTIONS; i++) {
        /* right behind what is kept, where another's tells most */
        const int64_t step = (i % 4 + 1) * 512 + i / 4;
        struct tdbg_expr_value by_loss, by_norm;
        expect(&negated, step, !want[step]);
        expect(&turned, step, want[step]);
        expect(&q, step, want[step]);
        check(tdbg_expr_eval_at(one.eval, first + step, &by_loss, &err), &err);
        check(tdbg_expr_eval_at(norm.eval, first + step, &by_norm, &err), &err);
        assert_true((by_norm.number != 0 && by_loss.number == 0) == want[step]);
    }
    struct question *const all[] = {&q, &negated, &turned, &one, &norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        end(all[i]);
}

/* Steps are passed over where it does not hold, and only there. */
static void test_passed(void **state)
{
    (void)state;
    struct question q = ask("diverges(grad_norm) and not diverges(loss)");
    int64_t n_passed = 0;
    for (int64_t i = 0; i < QUESTIONS; i++) {
        const int64_t from = (int64_t)(zone_random(11, i, 0) % STEPS);
        const int64_t to = i % 2 ? STEPS - 1 : 0, way = to < from ? -1 : 1;
        const int64_t n = tdbg_expr_eval_pass(&q.eval, 1, first + from, first + to, i % 4 > 1);
        for (int64_t k = 0; k < n; k++)
            assert_false(want[from + way * k]);
        n_passed += n;
        if (i % 3 == 0)
            expect(&q, from, want[from]);
    }
    assert_true(n_passed > QUESTIONS);
    end(&q);
}

static int make_trace(void **state)
{
    (void)state;
    struct zone_trace t;
    struct tdbg_err err = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.h5", dir);
    zone_trace_make(&t, 3, 1, false);
    t.n_steps = STEPS;
    t.has_curves = true;
    zone_trace_write(&t, path, 0);
    check(tdbg_trace_open(path, &trace, &err), &err);
    first = tdbg_trace_first_step(trace);
    assert_in_range(expected(want), STEPS / 50, STEPS - STEPS / 50);
    return 0;
}

static int remove_trace(void **state)
{
    (void)state;
    tdbg_trace_close(trace);
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order),
                                       cmocka_unit_test(test_learned),
                                       cmocka_unit_test(test_passed)};
    return cmocka_run_group_tests(tests, make_trace, remove_trace);
}
