/* The `:` language over a made-up run: what commands do and say, what is wrong with those that are
 * none, completion, history, files of commands and of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tests/screen/fake_search.h"

static const struct fake_wish plain = {0};
static struct driver d;
static struct fake_search search;
static char folder[] = "/tmp/tdbg-commands-XXXXXX";

static void open_plain(void)
{
    driver_reopen(&d, &plain, 80, 24, true, "");
    d.app.jobs = fake_search_make(&search, &d.run);
}

static int32_t site_named(const char *name)
{
    for (int32_t i = 0; i < d.run.data.n_sites; i++) {
        if (strcmp(d.run.sites[i].name, name) == 0)
            return i;
    }
    fail_msg("no site %s", name);
    return -1;
}

static char *path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static char *read_file(const char *path)
{
    struct tdbg_strbuf sb = {0};
    char buf[1000];
    size_t n;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        tdbg_strbuf_add(&sb, buf, n);
    fclose(f);
    return tdbg_strbuf_take(&sb);
}

/* ---- going somewhere ---- */

static void test_goto(void **state)
{
    (void)state;
    open_plain();
    const int32_t bwd = site_named("bwd/fc2"), grad = site_named("grad/fc1.weight");
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
    driver_expect_at(&d, 17, site_named("param/fc2.weight"));
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
    assert_true(d.app.output.top > 0);
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
        {"export ppm a.ppm", "a picture is made of the values that the tensor screen"},
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

/* ---- Tab ---- */

static void test_completion(void **state)
{
    static const struct {
        const char *typed, *text, *choices;
    } cases[] = {
        {"go", "go", "goto  good"},
        {"got", "goto ", NULL},
        {"whe", "when ", NULL},
        {"x gr", "x grad/fc", "grad/fc1.weight  grad/fc1.bias"},
        {"x grad/fc1.w", "x grad/fc1.weight ", NULL},
        {"x fc1.w", "x fc1.weight ", NULL},
        {"b absm", "b absmax(", NULL},
        {"b absmax(gra", "b absmax(grad", "grad_norm  grad/fc1.weight"},
        {"b absmax(grad/fc2.b", "b absmax(grad/fc2.bias ", NULL},
        {"b los", "b loss", "loss  loss/sample"},
        {"b loss > 1 and upd", "b loss > 1 and update_ratio(", NULL},
        {"set ke", "set keys=", "keys=tdbg  keys=less"},
        {"set keys=l", "set keys=less ", NULL},
        {"export js", "export json ", NULL},
        {"help whe", "help when ", NULL},
        {"zzz", "zzz", "nothing begins like this"},
        {"when x", "when x", "nothing begins like this"},
        {"whatif op", "whatif optimizer.", "optimizer.lr=  optimizer.momentum="},
        {"whatif ba", "whatif batch=", NULL},
    };
    (void)state;
    open_plain();
    d.run.info.config = "batch = 64; optimizer = { lr = 0.1; momentum = 0.9; };";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        driver_press(&d, ":");
        driver_press(&d, cases[i].typed);
        driver_press(&d, "<Tab>");
        const struct tdbg_tui_prompt *p = &d.app.prompt;
        const char *text = p->text.n_bytes > 0 ? p->text.text : "";
        const char *choices = p->choices.n_bytes > 0 ? p->choices.text : "";
        if (strcmp(text, cases[i].text) != 0 ||
            (cases[i].choices ? strncmp(choices, cases[i].choices, strlen(cases[i].choices)) != 0
                              : *choices != 0))
            fail_msg("'%s' became '%s' (%s)", cases[i].typed, text, choices);
        driver_press(&d, "x<Esc>");
    }
    write_file(path_of("first.cmds"), "");
    write_file(path_of("second.cmds"), "");
    char line[300];
    snprintf(line, sizeof line, ":source %s/fir<Tab>", folder);
    driver_press(&d, line);
    snprintf(line, sizeof line, "source %s/first.cmds ", folder);
    assert_string_equal(d.app.prompt.text.text, line);
    driver_press(&d, "<Esc>:<Tab>");
    driver_golden(&d, "completion");
}

/* ---- editing and history ---- */

static void test_editing(void **state)
{
    static const struct {
        const char *keys, *text;
        size_t at;
    } cases[] = {
        {"abc<Left>X", "abXc", 3},
        {"abc<Home>X<End>Y", "XabcY", 5},
        {"abc<^A>X<^E>Y", "XabcY", 5},
        {"one two  three<^W>", "one two  ", 9},
        {"one two  <^W>", "one ", 4},
        {"one two<Left><Left><^U>", "wo", 0},
        {"abc<Left><Left><Backspace>", "bc", 0},
        {"abc<Home><Backspace>", "abc", 0},
        {"ab<Right><Right>c<Left><Right>d", "abcd", 4},
    };
    (void)state;
    open_plain();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        driver_press(&d, ":");
        driver_press(&d, cases[i].keys);
        if (strcmp(d.app.prompt.text.text, cases[i].text) != 0 || d.app.prompt.at != cases[i].at)
            fail_msg("%s gave '%s' with the cursor at %d", cases[i].keys, d.app.prompt.text.text,
                     (int)d.app.prompt.at);
        driver_press(&d, "<Esc>");
    }
    driver_press(&d, ":");
    tdbg_tui_app_key(&d.app, 0xe9); /* one character of two bytes, for all keys */
    tdbg_tui_app_key(&d.app, 'a');
    driver_press(&d, "<Left><Left><Right>");
    assert_int_equal(d.app.prompt.at, 2);
    driver_press(&d, "<Backspace>");
    assert_string_equal(d.app.prompt.text.text, "a");
}

static void test_history(void **state)
{
    (void)state;
    struct stat st;
    char path[300];
    snprintf(path, sizeof path, "%s/state/tdbg/history", folder);
    const struct tdbg_tui_setup setup = {.history_path = path};
    open_plain();
    tdbg_tui_commander_setup(&d.app, &setup);
    driver_command(&d, "goto 5");
    driver_command(&d, "goto 6");
    driver_command(&d, "goto 6");
    driver_command(&d, "nonsense");
    driver_press(&d, ":go<Up>");
    assert_string_equal(d.app.prompt.text.text, "nonsense");
    driver_press(&d, "<Up>");
    assert_string_equal(d.app.prompt.text.text, "goto 6");
    driver_press(&d, "<Up><Up><Up>");
    assert_string_equal(d.app.prompt.text.text, "goto 5");
    driver_press(&d, "<Down><Down><Down><Down>");
    assert_string_equal(d.app.prompt.text.text, "go");
    driver_press(&d, "<Esc>");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    open_plain(); /* another run of the program */
    tdbg_tui_commander_setup(&d.app, &setup);
    assert_int_equal(d.app.commander.history.n, 3);
    driver_press(&d, ":<Up><Enter>");
    driver_expect(&d, "unknown command 'nonsense'");
    for (int i = 0; i < 3 * TDBG_HISTORY_LINES; i++) {
        char line[40];
        snprintf(line, sizeof line, "goto %d", i);
        tdbg_tui_line_history_add(&d.app.commander.history, line);
    }
    char *text = read_file(path);
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    free(text);
    assert_in_range(lines, TDBG_HISTORY_LINES, 2 * TDBG_HISTORY_LINES);
    assert_int_equal(d.app.commander.history.n, TDBG_HISTORY_LINES);
    write_file(path, "good\n\x1b[31mbad\n\n"); /* what must not come to the terminal */
    tdbg_tui_line_history_open(&d.app.commander.history, path);
    assert_int_equal(d.app.commander.history.n, 1);
    tdbg_tui_line_history_open(&d.app.commander.history, "/proc/nowhere/history");
    driver_command(&d, "goto 9"); /* that it cannot be kept is no fault */
    driver_expect_at(&d, 9, 0);
    driver_expect(&d, NULL);
}

/* ---- files of commands ---- */

static void test_source(void **state)
{
    (void)state;
    char line[300];
    open_plain();
    write_file(path_of("a.cmds"),
               "# made by hand\nb loss > 1\nfirst nan\nmark n where it begins\n\n"
               "goto 10\n");
    snprintf(line, sizeof line, "source %s", path_of("a.cmds"));
    driver_command(&d, line);
    driver_expect_at(&d, 10,
                     site_named("bwd/fc2")); /* in order, each when the one before was answered */
    assert_int_equal(d.app.places.mark['n' - 'a'].focus.step, FAKE_NAN_FROM);
    assert_int_equal(d.app.places.n_undo, 1); /* of one key */
    driver_command(&d, "watch grad/fc1.bias");
    driver_command(&d, "tb nan");
    snprintf(line, sizeof line, "save %s", path_of("b.cmds"));
    driver_command(&d, line);
    char *saved = read_file(path_of("b.cmds"));
    assert_string_equal(saved, "set keys=tdbg\nset scale=log\nset mouse=on\nb loss > 1\ntb nan\n"
                               "watch grad/fc1.bias\ngoto 1450/bwd/0\nmark n where it begins\n"
                               "goto 10/bwd/0\n");
    driver_command(&d, line);
    driver_expect(&d, "File exists");
    open_plain();
    snprintf(line, sizeof line, "source %s", path_of("b.cmds"));
    driver_command(&d, line);
    struct tdbg_strbuf again = {0};
    tdbg_tui_print_state(&d.app, &again);
    assert_string_equal(again.text, saved);
    tdbg_strbuf_free(&again);
    free(saved);
    write_file(path_of("bad.cmds"), "goto 3\ngoto nowhere\ngoto 4\n");
    snprintf(line, sizeof line, "source %s", path_of("bad.cmds"));
    driver_command(&d, line);
    driver_expect(&d, "bad.cmds:2: col 6: expected a step");
    assert_int_equal(d.app.model.focus.step, 3);
    snprintf(line, sizeof line, "source %s\n", path_of("self.cmds"));
    write_file(path_of("self.cmds"), line);
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
    snprintf(line, sizeof line, "export screen %s", path_of("screen.txt"));
    driver_command(&d, line);
    driver_expect(&d, "the screen is in");
    char *text = read_file(path_of("screen.txt"));
    assert_non_null(strstr(text, " fake.h5   step 1455/2000"));
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 24);
    free(text);
    driver_command(&d, line);
    driver_expect(&d, "File exists");
}

/* ---- keys ---- */

static void test_rebinding(void **state)
{
    static const struct {
        const char *text, *message;
    } faults[] = {
        {"bind x\n", "keys:1: expected 'bind KEY REQUEST', like 'bind F10 op-next'"},
        {"# c\n\nfoo x step-next\n", "keys:3: expected 'bind KEY REQUEST'"},
        {"bind xx step-next\n", "keys:1: no key 'xx'; keys are a character, ^A, F1 to F12, Space"},
        {"bind x step-nxt\n", "keys:1: no request 'step-nxt'; did you mean 'step-next'?"},
        {"bind 7 step-next\n", "keys:1: digits are counts and cannot be bound"},
        {"bind q none\nbind Q none\n", "keys:2: no key would be left for back or quit"},
    };
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s", path_of("keys"));
    const struct tdbg_tui_setup setup = {.keys_path = path};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        open_plain();
        driver_resize(&d, 200, 24);
        write_file(path, faults[i].text);
        tdbg_tui_commander_setup(&d.app, &setup);
        driver_draw(&d);
        driver_expect(&d, faults[i].message);
    }
    open_plain();
    write_file(path, "# mine\nbind F10 step-next   # behind it as well\nbind n step-prev\n"
                     "bind # find\nbind ^G run\nbind N none\n");
    tdbg_tui_commander_setup(&d.app, &setup);
    driver_draw(&d);
    driver_expect(&d, NULL);
    driver_press(&d, "5<F10>");
    driver_expect_at(&d, 5, 0);
    driver_press(&d, "n");
    driver_expect_at(&d, 4, 0);
    driver_press(&d, "N");
    driver_expect(&d, "N does nothing here");
    driver_press(&d, "#fc2<Enter>");
    assert_int_not_equal(d.app.model.focus.site, 0);
    driver_press(&d, "<^G>");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    driver_press(&d, "?"); /* the help, and the key row, have the keys as they are */
    driver_golden(&d, "help-rebound");
    driver_press(&d, "q");
    assert_non_null(strstr(driver_row(&d, 23), "F10/n step"));
    driver_command(&d, "help keys"); /* is such a file */
    write_file(path, d.app.output.text.text);
    open_plain();
    driver_command(&d, "set keys=less");
    tdbg_tui_commander_setup(&d.app, &setup);
    driver_press(&d, "5<F10>n");
    driver_expect_at(&d, 4, 0);
    remove(path);
    open_plain();
    tdbg_tui_commander_setup(&d.app, &setup); /* no file is no fault */
    driver_draw(&d);
    driver_expect(&d, NULL);
}

static void test_keys_of_less(void **state)
{
    (void)state;
    open_plain();
    driver_command(&d, "set keys=less");
    driver_expect(&d, "keys=less");
    driver_press(&d, "/grad/<Enter>n");
    driver_expect_at(&d, 0, site_named("grad/fc1.bias"));
    driver_press(&d, "N");
    driver_expect_at(&d, 0, site_named("grad/fc1.weight"));
    driver_press(&d, "3<F8>");
    assert_int_equal(d.app.model.focus.step, 3);
    driver_press(&d, "<F10>");
    driver_expect_at(&d, 3, site_named("grad/fc1.bias"));
    driver_press(&d, "p<F6>");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM);
    driver_press(&d, "?/less<Enter><Esc>q");
    driver_command(&d, "set keys=tdbg");
    driver_press(&d, "n");
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM + 1);
    driver_command(&d, "set");
    driver_expect(&d, "keys=tdbg  scale=log  mouse=on");
    driver_command(&d, "set scale=linear");
    assert_true(d.app.model.linear);
    driver_command(&d, "set mouse=off");
    driver_mouse(&d, 5, 20, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.model.focus.step, FAKE_NAN_FROM + 1);
    driver_command(&d, "q");
    assert_true(d.app.done);
}

/* A key by name is the key of that name, for all that have one. */
static void test_names(void **state)
{
    (void)state;
    char key_name[TDBG_KEY_NAME_BYTES], name[32];
    enum tdbg_tui_request back;
    for (uint32_t key = 1; key < TDBG_KEY_BEYOND; key = key == 255 ? TDBG_KEY_SPECIAL : key + 1) {
        if (key == TDBG_KEY_F0)
            continue; /* nobody has that key */
        const uint32_t named = tdbg_tui_key_named(tdbg_tui_key_name(key, key_name));
        assert_string_equal(tdbg_tui_key_name(named, name), key_name);
    }
    for (int r = TDBG_REQUEST_NONE; r < TDBG_REQUEST_COUNT; r++) {
        tdbg_tui_request_name((enum tdbg_tui_request)r, name);
        assert_true(tdbg_tui_request_named(name, &back));
        assert_int_equal(back, r);
    }
    assert_false(tdbg_tui_request_named("STEP_NEXT", &back));
    for (const struct tdbg_tui_command *c = tdbg_tui_commands; c->name; c++) {
        assert_ptr_equal(tdbg_tui_command_find(c->name, strlen(c->name)), c);
        if (c->alias)
            assert_ptr_equal(tdbg_tui_command_find(c->alias, strlen(c->alias)), c);
        assert_true(*c->help && strlen(c->name) + strlen(c->args) < 28 && strlen(c->help) <= 51);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const files[] = {"first.cmds",         "second.cmds", "a.cmds",     "b.cmds",
                                        "bad.cmds",           "self.cmds",   "screen.txt", "keys",
                                        "state/tdbg/history", "state/tdbg",  "state"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        remove(path_of(files[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_goto, driver_teardown),
        cmocka_unit_test_teardown(test_values, driver_teardown),
        cmocka_unit_test_teardown(test_output_screens, driver_teardown),
        cmocka_unit_test_teardown(test_faults, driver_teardown),
        cmocka_unit_test_teardown(test_completion, driver_teardown),
        cmocka_unit_test_teardown(test_editing, driver_teardown),
        cmocka_unit_test_teardown(test_history, driver_teardown),
        cmocka_unit_test_teardown(test_source, driver_teardown),
        cmocka_unit_test_teardown(test_screen_export, driver_teardown),
        cmocka_unit_test_teardown(test_rebinding, driver_teardown),
        cmocka_unit_test_teardown(test_keys_of_less, driver_teardown),
        cmocka_unit_test(test_names),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
