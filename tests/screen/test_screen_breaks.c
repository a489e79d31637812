/* Breakpoints and running to them, watches, marks, and undoing moves, over a made-up run. The
 * search for events is compared with looking at every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tests/screen/fake_search.h"

static const struct fake_wish plain = {0};
static struct driver d;
static struct fake_search search;

static void open_wish(const struct fake_wish *wish)
{
    driver_reopen(&d, wish, 80, 24, true, "");
    d.app.jobs = fake_search_make(&search, &d.run);
}

static uint64_t random_state;

static uint64_t next_random(uint64_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % below;
}

/* ---- hunt.h against looking at every step ---- */

enum { FEW = 24, CONDITIONS = 3 };
enum value { FALSE, TRUE, UNKNOWN };
static enum value table[CONDITIONS][FEW];

/* Is a step an event of condition i, and where was it false last? */
static bool is_event(int i, int64_t step, int64_t *before)
{
    *before = -1;
    if (table[i][step] != TRUE)
        return false;
    for (int64_t s = step - 1; s >= 0; s--) {
        if (table[i][s] == UNKNOWN)
            continue;
        *before = s;
        return table[i][s] == FALSE;
    }
    return true;
}

static bool find_event(int n, int64_t from, bool backward, int64_t *step, int64_t *before,
                       int *which)
{
    for (int64_t s = from + (backward ? -1 : 1); s >= 0 && s < FEW; s += backward ? -1 : 1) {
        for (int i = n - 1; i >= 0; i--) {
            if (is_event(i, s, before)) {
                *step = s;
                *which = i;
                return true;
            }
        }
    }
    return false;
}

/* Conditions are called "0", "1", "2" and "not (0)". */
static bool holds(const char *text, int64_t step)
{
    const bool negated = strncmp(text, "not (", 5) == 0;
    const enum value v = table[atoi(negated ? text + 5 : text)][step];
    return v != UNKNOWN && (v == TRUE) != negated;
}

static bool answer(const struct tdbg_tui_job *job, int64_t *step, int *expression)
{
    const int64_t by = job->to < job->step ? -1 : 1;
    assert_int_equal(job->kind, TDBG_JOB_SEARCH);
    assert_true(job->step >= 0 && job->step < FEW && job->to >= 0 && job->to < FEW);
    for (*step = job->step;; *step += by) {
        for (*expression = 0; *expression < job->n_expressions; ++*expression) {
            if (holds(job->expression[*expression], *step))
                return true;
        }
        if (*step == job->to)
            return false;
    }
}

static void test_hunt(void **state)
{
    static const char *const texts[] = {"0", "1", "2"};
    (void)state;
    random_state = 1;
    for (int round = 0; round < 4000; round++) {
        const int n = 1 + (int)next_random(CONDITIONS), values = 2 + (int)next_random(2);
        const bool backward = next_random(2);
        const int64_t from = (int64_t)next_random(FEW);
        for (int i = 0; i < CONDITIONS; i++) {
            for (int s = 0; s < FEW; s++)
                table[i][s] = s > 0 && next_random(3) ? table[i][s - 1]
                                                      : (enum value)next_random((uint64_t)values);
        }
        struct tdbg_tui_hunt hunt;
        struct tdbg_tui_job job;
        int64_t step, before;
        int which, asked = 0;
        tdbg_tui_hunt_start(&hunt, 0, FEW - 1, from, backward, texts, n);
        while (tdbg_tui_hunt_ask(&hunt, &job)) {
            int64_t at;
            int expression;
            const bool found = answer(&job, &at, &expression);
            tdbg_tui_hunt_take(&hunt, found, at, expression);
            assert_true(++asked < 8 * n);
        }
        const bool is_there = find_event(n, from, backward, &step, &before, &which);
        assert_int_equal(hunt.is_found, is_there);
        if (is_there) {
            assert_int_equal(hunt.step, step);
            assert_int_equal(hunt.which, which);
            assert_int_equal(hunt.before, before);
        }
        tdbg_tui_hunt_free(&hunt);
    }
}

static void test_negation(void **state)
{
    static const char *const pairs[][2] = {
        {"loss > 10", "not (loss > 10)"},
        {"loss > 10 if step > 5", "not (( step > 5) and (loss > 10 ))"},
        {"nan(fwd/if) or inf", "not (nan(fwd/if) or inf)"},
        {"nan fwd/fc1 if(lr>0)", "not (((lr>0)) and (nan fwd/fc1 ))"},
    };
    (void)state;
    open_wish(&plain);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char *text = tdbg_tui_hunt_negate(pairs[i][0]);
        assert_string_equal(text, pairs[i][1]);
        free(text);
    }
    static const char *const texts[] = {"loss > 1 if step > 5", "nan(grad/*) if (loss < 1)",
                                        "eval/loss < 3 if step > 500", "loss > 0.2 or nan"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *negation = tdbg_tui_hunt_negate(texts[i]);
        for (int64_t step = 0; step < 2000; step += 7) {
            bool known, also_known;
            const double is = fake_search_value(&d.run, texts[i], step, &known);
            const double is_not = fake_search_value(&d.run, negation, step, &also_known);
            assert_int_equal(known, also_known);
            if (known)
                assert_true((is != 0) != (is_not != 0));
        }
        free(negation);
    }
}

/* ---- c and C ---- */

static char *screen_after(const char *keys)
{
    driver_press(&d, keys);
    return driver_screen(&d);
}

/* From an event, to the next one and back gives the same screen, cell for cell. */
static void assert_returns(const char *there, const char *back)
{
    char *before = driver_screen(&d), *elsewhere = screen_after(there), *after = screen_after(back);
    assert_string_not_equal(before, elsewhere);
    assert_string_equal(before, after);
    free(before);
    free(elsewhere);
    free(after);
}

static void test_findings(void **state)
{
    (void)state;
    open_wish(&plain);
    driver_press(&d, "c");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, "fwd/fc2");
    driver_expect(&d,
                  "finding: nan or inf was false at 1449, true at 1450  (no breakpoint is set)");
    driver_golden(&d, "run-finding");
    driver_press(&d, "c");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    driver_expect(&d, "no NaN, Inf or divergence begins after step 1450  (no breakpoint is set)");
    driver_press(&d, "C");
    driver_expect(&d, "no NaN, Inf or divergence begins before step 1450");
    driver_press(&d, "GC");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
}

static void test_breakpoints(void **state)
{
    (void)state;
    open_wish(&plain);
    driver_command(&d, "b loss > 0.26 if step > 400");
    driver_expect(&d, "B1: loss > 0.26 if step > 400");
    driver_command(&d, "b nan|inf grad/*");
    driver_expect(&d, "B2: nan(grad/*) or inf(grad/*)");
    driver_command(&d, "tb step == 500");
    driver_expect(&d, "B3: step == 500  (once)");
    driver_press(&d, "c");
    const int64_t first = d.app.model.focus.step;
    assert_true(first > 400);
    driver_expect(&d, "B1 hit: loss > 0.26 if step > 400 was false at ");
    assert_returns("c", "C");
    driver_press(&d, "3c");
    const int64_t fourth = d.app.model.focus.step;
    assert_true(fourth > first + 2 && fourth < 500);
    assert_returns("2c", "2C");
    driver_command(&d, "dis 1");
    driver_press(&d, "c");
    assert_int_equal(d.app.model.focus.step, 500);
    assert_int_equal(d.app.breaks.n, 2); /* B3 is gone */
    driver_press(&d, "c");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, "grad/fc1.weight");
    driver_press(&d, "c");
    driver_expect(&d, "no breakpoint becomes true after step 1450");
    driver_command(&d, "rc loss > 1"); /* not an event: the last step where it held */
    assert_true(d.app.model.focus.step < FAKE_NAN_FROM);
    const int64_t step = d.app.model.focus.step;
    bool known;
    assert_true(fake_search_value(&d.run, "loss > 1", step, &known) != 0);
    driver_command(&d, "c step > 600");
    assert_int_equal(d.app.model.focus.step, 601);
    driver_command(&d, "en B1");
    driver_command(&d, "info b");
    assert_non_null(strstr(driver_row(&d, 3), "B1    on   hits "));
    driver_press(&d, "q");
    driver_command(&d, "del 1");
    driver_command(&d, "del 2");
    assert_int_equal(d.app.breaks.n, 0);
    driver_command(&d, "b loss > 1");
    driver_expect(&d, "B4: loss > 1"); /* numbers are not given twice */
}

/* Every event from the first to the last and back, over conditions with gaps. */
static void test_events_both_ways(void **state)
{
    static const struct fake_wish wish = {.n_steps = 700, .eval_every = 50, .first_step = 1300};
    (void)state;
    open_wish(&wish);
    driver_command(&d, "b eval/loss > 1");
    driver_command(&d, "b loss > 0.1");
    driver_command(&d, "b nan");
    int64_t steps[700];
    int n = 0;
    while (n < 700) {
        driver_press(&d, "c");
        if (d.app.commander.reply.verdict == TDBG_VERDICT_NONE)
            break;
        steps[n++] = d.app.model.focus.step;
    }
    assert_true(n > 20);
    for (int i = n - 2; i >= 0; i--) {
        driver_press(&d, "C");
        assert_int_equal(d.app.model.focus.step, steps[i]);
    }
    driver_press(&d, "999c");
    assert_int_equal(d.app.model.focus.step, steps[n - 1]);
    driver_expect(&d, "events: no event after step");
}

static void test_cancel(void **state)
{
    (void)state;
    open_wish(&plain);
    search.is_slow = true;
    driver_press(&d, "c");
    assert_true(tdbg_tui_app_waits(&d.app));
    assert_int_equal(d.app.commander.reply.verdict, TDBG_VERDICT_PENDING);
    driver_press(&d, "<^C>");
    driver_expect(&d, "cancelled");
    search.is_slow = false;
    driver_draw(&d);
    assert_int_equal(d.app.model.focus.step, 0); /* no answer came to what was cancelled */
    search.is_slow = true;
    driver_command(&d, "x fwd/fc2");
    tdbg_tui_command_queue(&d.app, "goto 5", "");
    tdbg_tui_app_cancel_jobs(&d.app); /* as a screen does that closes */
    search.is_slow = false;
    driver_draw(&d);
    assert_int_equal(d.app.commander.reply.verdict, TDBG_VERDICT_FAULT);
    assert_int_equal(d.app.model.focus.step, 0);
    driver_press(&d, "c");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
}

static void test_break_key(void **state)
{
    (void)state;
    open_wish(&plain);
    driver_command(&d, "goto 5/grad/fc1.bias");
    driver_press(&d, "b");
    driver_expect(&d, "B1: nan(grad/fc1.bias) or inf(grad/fc1.bias)");
    driver_press(&d, "c");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, "grad/fc1.bias");
    driver_press(&d, "b");
    driver_expect(&d, "B1 is gone");
    for (int i = 0; i < TDBG_BREAKS; i++) {
        char line[40];
        snprintf(line, sizeof line, "b loss > %d", i);
        driver_command(&d, line);
    }
    driver_press(&d, "b");
    driver_expect(&d, "there are 64 breakpoints already: :del N removes one");
    static const struct fake_wish none = {.no_sites = true};
    open_wish(&none);
    driver_press(&d, "b");
    driver_expect(&d, "this trace has no sites");
    driver_press(&d, "w");
    driver_expect(&d, "this trace has no sites");
    driver_press(&d, "c"); /* diverges(loss) alone */
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
}

static void test_list(void **state)
{
    (void)state;
    open_wish(&plain);
    driver_press(&d, "B");
    driver_golden(&d, "breaks-empty");
    driver_press(&d, "<Enter>");
    driver_expect(&d, "this list is empty");
    driver_press(&d, "q");
    driver_command(&d, "b loss > 0.26 if step > 400");
    driver_command(&d, "b nan|inf grad/*");
    driver_press(&d, "c");
    driver_command(&d, "dis 2");
    driver_command(&d, "goto 812/grad/fc1.weight");
    driver_press(&d, "w");
    driver_command(&d, "mark a before it goes wrong");
    driver_command(&d, "goto 3/loss");
    driver_press(&d, "mbB");
    driver_golden(&d, "breaks");
    driver_press(&d, "jt"); /* the second breakpoint on again */
    assert_false(d.app.breaks.list[1].is_disabled);
    driver_press(&d, "<Enter>");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    driver_press(&d, "2j<Enter>"); /* mark a, below the watch */
    assert_int_equal(d.app.model.focus.step, 812);
    driver_press(&d, "kt");
    driver_expect(&d, "only breakpoints are switched on and off");
    driver_press(&d, "gD");
    assert_int_equal(d.app.breaks.n, 1);
    assert_int_equal(d.app.breaks.list[0].id, 2);
    driver_press(&d, "jD");
    assert_int_equal(d.app.breaks.n_watches, 0);
    driver_press(&d, "D");
    assert_false(d.app.places.mark[0].is_set);
    driver_press(&d, "/nan(<Enter>");
    assert_int_equal(d.app.breaks_at, 0);
    driver_mouse(&d, 3, 4, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.breaks_at, 1);
    driver_press(&d, "99jG9kg<PgDn><PgUp><^D><^U>q");
    driver_resize(&d, 40, 10);
    driver_press(&d, "B");
    driver_golden(&d, "breaks-small");
    driver_resize(&d, 160, 50);
    driver_press(&d, "q");
    driver_command(&d, "b loss > 0.26 if step > 400");
    driver_command(&d, "b absmax(grad/fc1.weight) > 100 or absmax(grad/fc2.weight) > 100");
    driver_command(&d, "dis 4");
    driver_command(&d, "watch fwd/fc1");
    driver_command(&d, "mark z the last one");
    driver_golden(&d, "breaks-pane");
}

/* ---- marks ---- */

static void test_marks(void **state)
{
    (void)state;
    open_wish(&plain);
    driver_press(&d, "'");
    driver_expect(&d, "to the mark with a letter: none yet");
    driver_press(&d, "a");
    driver_expect(&d, "no mark a; there is none: m and a letter makes one");
    driver_press(&d, "''");
    driver_expect(&d, "no jump yet to come back from");
    driver_press(&d, "812G3sma");
    driver_expect(&d, "mark a is 812/hyper/0");
    driver_press(&d, "100nmZ");
    driver_press(&d, "'a");
    assert_int_equal(d.app.model.focus.step, 812);
    driver_press(&d, "'Z");
    assert_int_equal(d.app.model.focus.step, 912);
    driver_press(&d, "''");
    assert_int_equal(d.app.model.focus.step, 812);
    driver_press(&d, "''");
    assert_int_equal(d.app.model.focus.step, 912);
    driver_press(&d, "5n''"); /* small moves are not come back from, but what came before them */
    assert_int_equal(d.app.model.focus.step, 812);
    driver_press(&d, "m<F5>");
    driver_expect(&d, "marks are letters a to z and A to Z, not F5");
    driver_press(&d, "'x");
    driver_expect(&d, "no mark x; there is a Z");
    driver_press(&d, "ma'<Esc>");
    driver_expect(&d, NULL);
    driver_command(&d, "mark b the place to look at");
    driver_press(&d, "g'b");
    driver_expect(&d, "b: the place to look at");
}

/* ---- undo ---- */

static void random_move(void)
{
    static const char *const moves[] = {
        "n", "N",      "7n",      "s",  "S",  "30s",    "g",     "G",           "42G",
        "l", "3h",     "ma",      "'a", "''", "c",      "C",     "/fc2<Enter>", "]",
        "[", "<Tab>j", "<Tab>3k", "L",  "q",  "<PgDn>", "<PgUp>"};
    static const char *const lines[] = {"goto 700",      "goto +3/bwd",  "first nan",
                                        "last loss > 1", "b loss > 0.5", "del 1",
                                        "nonsense",      "find param*",  "when"};
    const uint64_t kind = next_random(20);
    if (kind == 0)
        driver_mouse(&d, (int)next_random(80), (int)next_random(24), TDBG_BUTTON_CLICK);
    else if (kind <= 3)
        driver_command(&d, lines[next_random(sizeof lines / sizeof lines[0])]);
    else
        driver_press(&d, moves[next_random(sizeof moves / sizeof moves[0])]);
    if (d.app.done || d.app.prompt.is_open)
        fail_msg("the walk left the screens");
}

static void test_undo(void **state)
{
    (void)state;
    for (int walk = 0; walk < 20; walk++) {
        enum { MOVES = 150 };
        struct tdbg_tui_focus at[MOVES + 1];
        int n = 0;
        random_state = (uint64_t)walk + 7;
        open_wish(&plain);
        at[0] = d.app.model.focus;
        for (int i = 0; i < MOVES; i++) {
            if (d.app.n_screens == 1)
                tdbg_tui_app_open(&d.app, &tdbg_tui_screen_breaks); /* q comes back to main */
            random_move();
            if (!tdbg_tui_focus_same(&at[n], &d.app.model.focus))
                at[++n] = d.app.model.focus;
        }
        const struct tdbg_tui_focus last = d.app.model.focus;
        for (int i = n - 1; i >= 0; i--) {
            driver_press(&d, "z");
            if (!tdbg_tui_focus_same(&at[i], &d.app.model.focus))
                fail_msg("walk %d: z does not come back to move %d", walk, i);
        }
        driver_press(&d, "z");
        driver_expect(&d, "no move to undo");
        driver_press(&d, "9999<^R>");
        assert_true(tdbg_tui_focus_same(&last, &d.app.model.focus));
        driver_press(&d, "<^R>");
        driver_expect(&d, "no move to redo");
        driver_press(&d, "9999z");
        assert_true(tdbg_tui_focus_same(&at[0], &d.app.model.focus));
        driver_press(&d, "5n<^R>"); /* a new move is the end of what could be redone */
        driver_expect(&d, "no move to redo");
    }
}

static void test_undo_is_bounded(void **state)
{
    (void)state;
    open_wish(&plain);
    for (int i = 0; i < TDBG_PLACES_MOVES + 300; i++)
        tdbg_tui_app_key(&d.app, 'n');
    driver_press(&d, "9999z");
    assert_int_equal(d.app.model.focus.step, 300);
    driver_press(&d, "9999<^R>");
    assert_int_equal(d.app.model.focus.step, TDBG_PLACES_MOVES + 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hunt),
        cmocka_unit_test_teardown(test_negation, driver_teardown),
        cmocka_unit_test_teardown(test_findings, driver_teardown),
        cmocka_unit_test_teardown(test_breakpoints, driver_teardown),
        cmocka_unit_test_teardown(test_events_both_ways, driver_teardown),
        cmocka_unit_test_teardown(test_cancel, driver_teardown),
        cmocka_unit_test_teardown(test_break_key, driver_teardown),
        cmocka_unit_test_teardown(test_list, driver_teardown),
        cmocka_unit_test_teardown(test_marks, driver_teardown),
        cmocka_unit_test_teardown(test_undo, driver_teardown),
        cmocka_unit_test_teardown(test_undo_is_bounded, driver_teardown),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
