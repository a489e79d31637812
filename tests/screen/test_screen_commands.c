/* The `:` language over a made-up run: what commands do and say, what is wrong with those that are
 * none, files of commands. What is typed is in test_screen_typing.c. */
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
#include "tests/screen/scratch.h"

static const struct fake_wish plain = {0};
static struct driver d;
static struct fake_search search;

static void open_plain(void)
{
    driver_reopen(&d, &plain, 80, 24, true, "");
    d.app.jobs = fake_search_make(&search, &d.run);
}

/* ---- going somewhere ---- */

static void test_goto(void **state)
{
    (void)state;
    open_plain();
    const int32_t bwd = driver_site(&d, "bwd/fc2"), grad = driver_site(&d, "grad/fc1.weight");
    static const struct {
        const char *line;
        int64_t step;
    } steps[] = {{"goto 1234", 1234}, {"goto +100", 1334},   {"goto -300", 1034}, {"77", 77},
                 {"  goto   8  ", 8}, {"goto +99999", 1999}, {"goto -99999", 0}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        driver_command(&d, steps[i].line);
        driver_expect_at(&d, steps[i].step, 0);
    }
    driver_command(&d, "goto 12/bwd");
    driver_expect_at(&d, 12, bwd);
    driver_command(&d, "goto 13/bwd/1");
    driver_expect_at(&d, 13, bwd + 1);
    driver_command(&d, "goto 14/grad/fc1.weight");
    driver_expect_at(&d, 14, grad);
    driver_command(&d, "goto 15"); /* the op stays */
    driver_expect_at(&d, 15, grad);
    driver_command(&d, "goto +2/bwd/2");
    driver_expect_at(&d, 17, bwd + 2);
    driver_command(&d, "find param/fc2*");
    driver_expect_at(&d, 17, driver_site(&d, "param/fc2.weight"));
    driver_command(&d, "first loss < 0.5");
    bool is_known;
    const int64_t first = d.app.model.focus.step;
    assert_true(first > 0 && fake_search_value(&d.run, "loss < 0.5", first, &is_known) == 1);
    for (int64_t s = 0; s < first; s++)
        assert_true(fake_search_value(&d.run, "loss < 0.5", s, &is_known) == 0);
    driver_command(&d, "last loss > 1");
    assert_true(fake_search_value(&d.run, "loss > 1", d.app.model.focus.step, &is_known) == 1);
    for (int64_t s = d.app.model.focus.step + 1; s < 2000; s++)
        assert_true(fake_search_value(&d.run, "loss > 1", s, &is_known) == 0);
    driver_command(&d, "first nan"); /* and the first op that has any */
    driver_expect_at(&d, FAKE_NAN_FROM, bwd);
    driver_expect(&d, "nan: true at step 1450");
    driver_command(&d, "first loss > 1e9");
    driver_expect_at(&d, FAKE_NAN_FROM, bwd);
    driver_expect(&d, "loss > 1e9: not at any of steps 0 to 1999");
    assert_int_equal(d.app.commander.reply.verdict, TDBG_VERDICT_NONE);
}

static void test_values(void **state)
{
    (void)state;
    open_plain();
    driver_command(&d, "goto 300");
    driver_command(&d, "p loss");
    driver_expect(&d, "loss = ");
    assert_true(d.app.commander.reply.has_value);
    driver_command(&d, "p norm(param/fc1.weight) < 1");
    driver_expect(&d, "norm(param/fc1.weight) < 1 = 0");
    driver_command(&d, "p eval/loss");
    driver_expect(&d, "eval/loss has no value at step 300");
    driver_command(&d, "x fwd/fc2[0:2,:]");
    driver_golden(&d, "examine");
    driver_press(&d, "q");
    driver_command(&d, "x fc2.weight[-1,2]"); /* element 9 * 256 + 2, and 0.3 */
    assert_string_equal(d.app.output.text.text, "[9,2]        2306.3\n");
    driver_command(&d, "x grad/fc1.weight");
    assert_non_null(strstr(d.app.output.text.text, "\n... 196608 more\n"));
    driver_command(&d, "x loss");
    assert_string_equal(d.app.output.text.text, "[]           0.3\n");
}

static void test_output_screens(void **state)
{
    (void)state;
    open_plain();
    driver_command(&d, "goto 1455/bwd/1");
    driver_command(&d, "when");
    driver_golden(&d, "when");
    driver_press(&d, "q");
    driver_command(&d, "help");
    driver_golden(&d, "commands");
    driver_press(&d, "/bisect<Enter>");
    assert_true(d.app.output.at > 0);
    driver_press(&d, "G5k3jg/zzz<Enter>");
    driver_expect(&d, "no line has 'zzz'");
    driver_command(&d, "help keys");
    assert_non_null(strstr(d.app.output.text.text, "step-next"));
    driver_press(&d, "q");
    driver_command(&d, "help goto");
    assert_non_null(strstr(driver_row(&d, 3), "goto STEP"));
    driver_press(&d, "q");
    assert_int_equal(d.app.n_screens, 1);
}

/* ---- what is no command ---- */

static void test_faults(void **state)
{
    static const struct {
        const char *line, *message;
    } faults[] = {
        {"b los > 10", "col 3: unknown metric 'los'; did you mean 'loss'?"},
        {"b  los > 10", "col 4: unknown metric 'los'; did you mean 'loss'?"},
        {"b loss", "col 3: this is a number, and what is wanted is true or false; compare it"},
        {"b", "col 2: expected a condition; for example"},
        {"b nan(fwd/fc9)", "col 7: no site matches 'fwd/fc9'; did you mean 'fwd/fc"},
        {"b nan|inf fwd/fc9", "col 11: no site matches 'fwd/fc9'; did you mean 'fwd/fc"},
        {"tb loss >", "col 10: expected a number, a name or '(' before the end"},
        {"gooto 5", "col 1: unknown command 'gooto'; did you mean 'goto'?"},
        {"  frobnicate", "col 3: unknown command 'frobnicate'; :help lists the commands"},
        {"b!", "col 1: unknown command 'b!'"},
        {"goto", "col 5: expected a step; 1234, +100"},
        {"goto fwd", "col 6: expected a step"},
        {"goto 12x", "col 8: this is no step"},
        {"goto 2000", "col 6: no step 2000; this trace has steps 0 to 1999"},
        {"2000", "col 1: no step 2000; this trace has steps 0 to 1999"},
        {"goto 9999999999999999999999", "col 6: a step of more than 18 digits"},
        {"goto 5/bwx", "col 8: this trace has no phase 'bwx'; samples hyper input fwd"},
        {"goto 5/bwd/99", "col 12: no op '99' in bwd; bwd has ops 0 to 2, or name a site"},
        {"goto 5/bwd/", "col 12: no op '' in bwd"},
        {"goto 5/", "col 8: this trace has no phase ''"},
        {"first", "col 6: expected a condition"},
        {"p los", "col 3: unknown metric 'los'"},
        {"p", "col 2: expected a number, a name or '('"},
        {"x nope", "col 3: no site matches 'nope'"},
        {"x fc1.weight[0", "col 15: expected ']'"},
        {"x", "col 2: expected the name of a site"},
        {"x loss) + (1", "col 3: expected the name of a site"},
        {"mark", "col 5: expected a letter"},
        {"mark 1", "col 6: expected a letter"},
        {"mark ab", "col 6: expected a letter"},
        {"del 7", "col 5: expected the number of a breakpoint; there is none"},
        {"info x", "col 6: expected what to list"},
        {"watch nope", "col 7: no site 'nope'"},
        {"c 0", "col 3: expected a number from 1 on"},
        {"rc los < 1", "col 4: unknown metric 'los'"},
        {"set colour=red", "col 5: unknown setting; keys=less"},
        {"set keys=emacs", "col 10: expected a value of keys; keys=tdbg or keys=less"},
        {"help nope", "col 6: no command 'nope'"},
        {"source", "col 7: expected the name of a file"},
        {"source /no/such/file", "cannot read /no/such/file: No such file"},
        {"source /tmp", "cannot read /tmp: Is a directory"},
        {"save /no/such/file", "cannot write /no/such/file: No such file"},
        {"export", "col 7: expected a format and a file"},
        {"export bmp a.bmp", "col 8: unknown format; screen, csv, json, npy or ppm"},
        {"export ppm a.bmp", "col 12: the name of a picture ends in .ppm"},
        {"export ppm a.ppm", "no values of samples/id"},
        {"diff", "col 5: expected the file of another trace"},
        {"diff b.h5", "no other program is run from here"},
        {"whatif lr", "col 8: expected KEY=VALUE"},
        {"good 99999", "col 6: expected a step; 0 to 1999"},
        {"pause", "nothing trains here: tdbg record --tui does"},
        {"find nosuchname", "no site matches 'nosuchname'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        open_plain();
        driver_resize(&d, 200, 24);
        driver_command(&d, faults[i].line);
        if (!strstr(driver_message(&d), faults[i].message))
            fail_msg(":%s said '%s' and not '%s'", faults[i].line, driver_message(&d),
                     faults[i].message);
        assert_int_not_equal(d.app.commander.reply.verdict, TDBG_VERDICT_DONE);
        assert_int_equal(d.app.breaks.n, 0);
        driver_expect_at(&d, 0, 0);
    }
    open_plain();
    driver_command(&d, ""); /* nothing, and comments, are fine */
    driver_expect(&d, NULL);
    driver_command(&d, "# a comment");
    driver_expect(&d, NULL);
    driver_command(&d, "find");
    driver_expect(&d, "expected a name");
}

/* ---- files of commands ---- */

static void test_source(void **state)
{
    (void)state;
    char line[300];
    open_plain();
    scratch_write(scratch_path("a.cmds"),
                  "# made by hand\nb loss > 1\nfirst nan\nmark n where it begins\n\n"
                  "goto 10\n");
    snprintf(line, sizeof line, "source %s", scratch_path("a.cmds"));
    driver_command(&d, line);
    driver_expect_at(
        &d, 10, driver_site(&d, "bwd/fc2")); /* in order, each when the one before was answered */
    assert_int_equal(d.app.places.mark['n' - 'a'].focus.step, FAKE_NAN_FROM);
    assert_int_equal(d.app.places.n_undo, 1); /* of one key */
    driver_command(&d, "watch grad/fc1.bias");
    driver_command(&d, "tb nan");
    snprintf(line, sizeof line, "save %s", scratch_path("b.cmds"));
    driver_command(&d, line);
    char *saved = scratch_read(scratch_path("b.cmds"));
    assert_string_equal(saved, "set keys=tdbg\nset scale=log\nset mouse=on\nb loss > 1\ntb nan\n"
                               "watch grad/fc1.bias\ngoto 1450/bwd/0\nmark n where it begins\n"
                               "goto 10/bwd/0\n");
    driver_command(&d, line);
    driver_expect(&d, "File exists");
    open_plain();
    snprintf(line, sizeof line, "source %s", scratch_path("b.cmds"));
    driver_command(&d, line);
    struct tdbg_strbuf again = {0};
    tdbg_tui_print_state(&d.app, &again);
    assert_string_equal(again.text, saved);
    tdbg_strbuf_free(&again);
    free(saved);
    scratch_write(scratch_path("bad.cmds"), "goto 3\ngoto nowhere\ngoto 4\n");
    snprintf(line, sizeof line, "source %s", scratch_path("bad.cmds"));
    driver_command(&d, line);
    driver_expect(&d, "bad.cmds:2: col 6: expected a step");
    assert_int_equal(d.app.model.focus.step, 3);
    snprintf(line, sizeof line, "source %s\n", scratch_path("self.cmds"));
    scratch_write(scratch_path("self.cmds"), line);
    line[strlen(line) - 1] = 0;
    driver_resize(&d, 200, 24);
    driver_command(&d, line);
    driver_expect(&d, "nested deeper than 8");
}

static void test_screen_export(void **state)
{
    (void)state;
    char line[300];
    open_plain();
    driver_command(&d, "goto 1455");
    snprintf(line, sizeof line, "export screen %s", scratch_path("screen.txt"));
    driver_command(&d, line);
    driver_expect(&d, "the screen is in");
    char *text = scratch_read(scratch_path("screen.txt"));
    assert_non_null(strstr(text, " fake.h5   step 1455/2000"));
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 24);
    free(text);
    driver_command(&d, line);
    driver_expect(&d, "File exists");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_goto, driver_teardown),
        cmocka_unit_test_teardown(test_values, driver_teardown),
        cmocka_unit_test_teardown(test_output_screens, driver_teardown),
        cmocka_unit_test_teardown(test_faults, driver_teardown),
        cmocka_unit_test_teardown(test_source, driver_teardown),
        cmocka_unit_test_teardown(test_screen_export, driver_teardown),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
