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

/* What the series say after every step. */
static int64_t expected(struct tdbg_trace *trace, bool *out)
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

static void test_any_order(void **state)
{
    (void)state;
    static bool want[STEPS];
    char dir[] = "/tmp/tdbg-series-XXXXXX", path[64];
    struct zone_trace t;
    struct tdbg_trace *trace;
    struct tdbg_err err = {0};
    struct tdbg_expr_fault fault;
    struct tdbg_expr_eval *eval;
    const struct tdbg_session_options options = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.h5", dir);
    zone_trace_make(&t, 3, 1, false);
    t.n_steps = STEPS;
    zone_trace_write(&t, path, 0);
    check(tdbg_trace_open(path, &trace, &err), &err);
    const int64_t first = tdbg_trace_first_step(trace), n_true = expected(trace, want);
    assert_in_range(n_true, STEPS / 50, STEPS - STEPS / 50);
    struct tdbg_expr *expr = tdbg_expr_parse("diverges(grad_norm) and not diverges(loss)", &fault);
    check(tdbg_expr_eval_create(trace, &options, expr, &eval, &err), &err);
    assert_false(tdbg_expr_eval_may_execute(eval));
    for (int64_t i = 0; i < QUESTIONS; i++) {
        /* all over the steps, and on and back by a few */
        const int64_t r = (int64_t)(zone_random(7, i, 0) % STEPS), step = i % 3 ? r : (r + i) % 600;
        struct tdbg_expr_value value;
        check(tdbg_expr_eval_at(eval, first + step, &value, &err), &err);
        if (!value.is_known || (value.number != 0) != want[step])
            fail_msg("question %d: step %d", (int)i, (int)step);
    }
    tdbg_expr_eval_destroy(eval);
    tdbg_expr_destroy(expr);
    tdbg_trace_close(trace);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
