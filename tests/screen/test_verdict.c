/* What bisect prints, read back: which lines are its answer, where they lead; and the screen of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tests/screen/scratch.h"
#include "tui/verdict.h"

static struct driver d;

static const char one_run[] = "diverges(loss): false at step 13, true at step 14\n"
                              "  loss nan, before it 1.71668254e+24\n"
                              "origin: step 14, fwd/fc2 (linear): 0 NaN and 26 Inf of 640\n"
                              "  first [2,2] = inf, sample 10584\n"
                              "  its inputs are all finite:\n"
                              "    state/fc2.weight                         |max| 5.442e+16\n"
                              "judged 15 steps: 15 from what is recorded, 0 by executing them "
                              "again; 7 steps executed in all\n";

static const char two_runs[] =
    "config: 2 keys differ\n"
    "  optimizer.lr: 0.05 -> 3.0\n"
    "first difference: step 8, site grad/fc1.weight (divide); 39 of 59 sites differ in this step\n"
    "  1 of 10 elements differ\n"
    "question: diverges(loss)\n"
    "  good.h5: not true up to step 59\n"
    "  bad.h5: true at step 29\n"
    "cause: 1 of 2 differences\n"
    "  optimizer.lr: 0.05 -> 3.0\n"
    "  changed in the good run: true at step 27\n"
    "  changed back in the bad run: not true up to step 59\n"
    "executed 625 steps, 12 trials, from the state before step 5\n";

static const char fault[] =
    "cause: what bad.h5 has recorded is not what executing it gives, first in step 6, rank 2, site "
    "grad/fc1.weight (divide)\n"
    "  executing it gives what the other run has there\n"
    "executed 6 steps, from the state before step 5\n";

static void check_place(const char *line, int64_t step, const char *site, int32_t rank)
{
    struct tdbg_tui_line_place place;
    const struct tdbg_tui_data *data = &d.run.data;
    const bool has = tdbg_tui_line_place(line, data, &place);
    if (has != (step >= 0))
        fail_msg("'%s' leads %s", line, has ? "somewhere" : "nowhere");
    if (!has)
        return;
    assert_int_equal(place.step, step);
    assert_int_equal(place.rank, rank);
    assert_string_equal(place.site < 0 ? "" : data->sites[place.site].name, site);
}

static void test_places(void **state)
{
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){0});
    check_place("loss > 10: false at step 13, true at step 14", 14, "", -1);
    check_place("origin: step 14, fwd/fc2 lane 0 micro 0 (linear): 0 NaN", 14, "fwd/fc2", -1);
    check_place("first difference: step 8, site grad/fc1.weight (divide); 39 of 59", 8,
                "grad/fc1.weight", -1);
    check_place("    step 9 of the bad run, grad/fc1.weight lane 1: it is multiplied by 3", 9,
                "grad/fc1.weight", -1);
    check_place("samples of step 4 with the largest loss:", 4, "", -1);
    check_place("first in step 6, rank 0, site grad/fc1.weight (divide)", 6, "grad/fc1.weight", 0);
    check_place("first in step 6, rank 7, site grad/fc1.weight (divide)", 6, "grad/fc1.weight",
                -1); /* there is no such rank */
    check_place("  bad.h5: true at step 29", 29, "", -1);
    driver_open_80x24(&d, &(struct fake_wish){.ranks = 4});
    check_place("first in step 6, rank 2, site grad/fc1.weight (divide)", 6, "grad/fc1.weight", 2);
    check_place("    step 9 of the bad run, reduce_in/fc1.weight lane 2: bit 3 is flipped", 9,
                "reduce_in/fc1.weight", 2);
    check_place("    step 9 of the bad run, reduce_in/fc1.weight lane 99: it is zero", 9,
                "reduce_in/fc1.weight", -1); /* there is no such lane */
    static const char *const nowhere[] = {
        "",
        "  good.h5: not true up to step 59",
        "  changed in the good run: true at step 27",
        "  changed back in the bad run: other bits at step 8",
        "executed 6 steps, from the state before step 5",
        "judged 15 steps: 15 from what is recorded",
        "true at step 99999999",
        "true at step 99999999999999999999999999",
        "true at step -3",
        "step",
        "step ",
        "timestep 4",
        "of 4 steps 5 are",
        "version step 1.5 of it",
    };
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        check_place(nowhere[i], -1, "", -1);
}

static void test_answers(void **state)
{
    int64_t answer;
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){0});
    assert_int_equal(tdbg_tui_verdict_line(one_run, &d.run.data, &answer), 2);
    assert_int_equal(answer, 0);
    /* what the cause makes is a trial's; the bad run itself is there to be looked at */
    assert_int_equal(tdbg_tui_verdict_line(two_runs, &d.run.data, &answer), 6);
    assert_int_equal(answer, 7);
    assert_int_equal(tdbg_tui_verdict_line(fault, &d.run.data, &answer), 0);
    assert_int_equal(answer, 0);
    assert_int_equal(tdbg_tui_verdict_line("", &d.run.data, &answer), 0);
    assert_int_equal(answer, 0);
    assert_int_equal(
        tdbg_tui_verdict_line("loss > 3: not true at any step from 0 to 9\n", &d.run.data, &answer),
        0);
    assert_true(tdbg_tui_line_is_verdict("cause: 2 of 6 differences"));
    assert_true(tdbg_tui_line_is_verdict("  changed in the good run: true at step 27"));
    assert_false(tdbg_tui_line_is_verdict("  bad.h5: true at step 29"));
    assert_false(tdbg_tui_line_is_verdict("executed 625 steps, 12 trials"));
}

static void show(const char *text, int width, int height)
{
    driver_reopen(&d, &(struct fake_wish){0}, width, height, true, "");
    tdbg_strbuf_puts(tdbg_tui_output_begin(&d.app, "tdbg bisect good.h5 bad.h5"), text);
    d.app.output.is_verdict = true;
    tdbg_tui_output_show(&d.app);
    tdbg_tui_output_go_to_answer(&d.app);
    driver_draw(&d);
}

static void test_screen(void **state)
{
    (void)state;
    show(two_runs, 80, 24);
    driver_golden(&d, "answer-80x24");
    driver_press(&d, "<Enter>"); /* to the step, and the screen is left */
    assert_int_equal(d.app.model.focus.step, 29);
    assert_int_equal(d.app.n_screens, 1);
    driver_expect(&d, "step 29  (:out shows the answer again)");
    driver_press(&d, ":out<Enter>");
    assert_int_equal(d.app.output.at, 6);
    driver_press(&d, "/first difference<Enter><Enter>");
    assert_int_equal(d.app.model.focus.step, 8);
    driver_expect(&d, "step 8, grad/fc1.weight");
    driver_press(&d, ":out<Enter>G<Enter>");
    driver_expect(&d, "this line names no step of this trace");
    assert_int_equal(d.app.n_screens, 2);
    driver_press(&d, ":help<Enter>"); /* in its place: q leaves both */
    assert_int_equal(d.app.n_screens, 2);
    driver_press(&d, "<Enter>");
    driver_expect(&d, "Enter does nothing here");
    driver_press(&d, "q");
    assert_int_equal(d.app.n_screens, 1);
}

/* Lines that are wider than the screen go on below, and the cursor stays in sight. */
static void test_long_lines(void **state)
{
    (void)state;
    show(fault, 40, 10);
    driver_golden(&d, "answer-40x10");
    show(two_runs, 40, 10);
    driver_golden(&d, "answer-two-40x10");
    for (int i = 0; i < 14; i++) {
        driver_press(&d, i < 7 ? "j" : "k");
        assert_true(d.app.grid.cursor_y > 1 && d.app.grid.cursor_y < 8);
        assert_int_equal(tdbg_tui_grid_at(&d.app.grid, 0, d.app.grid.cursor_y)->code, '>');
    }
    driver_press(&d, "g");
    assert_int_equal(d.app.output.top, 0);
    driver_mouse(&d, 3, 5, TDBG_BUTTON_CLICK); /* the second row of the third line */
    assert_int_equal(d.app.output.at, 2);
    driver_resize(&d, 1, 1);
    driver_resize(&d, 160, 50);
    assert_int_equal(d.app.output.top, 0);
}

static void test_written(void **state)
{
    char keys[300];
    (void)state;
    show(two_runs, 80, 24);
    snprintf(keys, sizeof keys, "e%s<Enter>", scratch_path("a.json"));
    driver_press(&d, keys);
    driver_expect(&d, "only bisect gives JSON here");
    tdbg_strbuf_puts(&d.app.output.json, "{}\n");
    driver_press(&d, keys);
    driver_expect(&d, "a.json");
    driver_press(&d, keys); /* nothing is overwritten */
    driver_expect(&d, "cannot write");
    char *text = scratch_read(scratch_path("a.json"));
    assert_string_equal(text, "{}\n");
    free(text);
    snprintf(keys, sizeof keys, "e%s<Enter>", scratch_path("a.txt"));
    driver_press(&d, keys);
    text = scratch_read(scratch_path("a.txt"));
    assert_string_equal(text, two_runs);
    free(text);
    snprintf(keys, sizeof keys, "export json %s", scratch_path("b.json"));
    driver_command(&d, keys);
    driver_expect(&d, "what bisect found is in");
    text = scratch_read(scratch_path("b.json"));
    assert_string_equal(text, "{}\n");
    free(text);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_places, driver_teardown),
        cmocka_unit_test_teardown(test_answers, driver_teardown),
        cmocka_unit_test_teardown(test_screen, driver_teardown),
        cmocka_unit_test_teardown(test_long_lines, driver_teardown),
        cmocka_unit_test_teardown(test_written, driver_teardown),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
