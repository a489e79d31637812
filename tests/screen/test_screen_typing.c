/* What is typed over a made-up run: the line after `:`, its completion and history; keys that are
 * bound to something else, and the names of keys, requests and commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    scratch_write(scratch_path("first.cmds"), "");
    scratch_write(scratch_path("second.cmds"), "");
    char line[300];
    snprintf(line, sizeof line, ":source %s/fir<Tab>", scratch_path(""));
    driver_press(&d, line);
    snprintf(line, sizeof line, "source %s/first.cmds ", scratch_path(""));
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
    snprintf(path, sizeof path, "%s/state/tdbg/history", scratch_path(""));
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
    char *text = scratch_read(path);
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    free(text);
    assert_in_range(lines, TDBG_HISTORY_LINES, 2 * TDBG_HISTORY_LINES);
    assert_int_equal(d.app.commander.history.n, TDBG_HISTORY_LINES);
    scratch_write(path, "good\n\x1b[31mbad\n\n"); /* what must not come to the terminal */
    tdbg_tui_line_history_open(&d.app.commander.history, path);
    assert_int_equal(d.app.commander.history.n, 1);
    tdbg_tui_line_history_open(&d.app.commander.history, "/proc/nowhere/history");
    driver_command(&d, "goto 9"); /* that it cannot be kept is no fault */
    driver_expect_at(&d, 9, 0);
    driver_expect(&d, NULL);
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
    snprintf(path, sizeof path, "%s", scratch_path("keys"));
    const struct tdbg_tui_setup setup = {.keys_path = path};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        open_plain();
        driver_resize(&d, 200, 24);
        scratch_write(path, faults[i].text);
        tdbg_tui_commander_setup(&d.app, &setup);
        driver_draw(&d);
        driver_expect(&d, faults[i].message);
    }
    open_plain();
    scratch_write(path, "# mine\nbind F10 step-next   # behind it as well\nbind n step-prev\n"
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
    scratch_write(path, d.app.output.text.text);
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
    driver_expect_at(&d, 0, driver_site(&d, "grad/fc1.bias"));
    driver_press(&d, "N");
    driver_expect_at(&d, 0, driver_site(&d, "grad/fc1.weight"));
    driver_press(&d, "3<F8>");
    assert_int_equal(d.app.model.focus.step, 3);
    driver_press(&d, "<F10>");
    driver_expect_at(&d, 3, driver_site(&d, "grad/fc1.bias"));
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

static void paste(const char *text)
{
    tdbg_tui_app_key(&d.app, TDBG_KEY_PASTE);
    for (; *text; text++)
        tdbg_tui_app_key(&d.app, (unsigned char)*text);
    tdbg_tui_app_key(&d.app, TDBG_KEY_PASTE_END);
    driver_draw(&d);
}

/* What is pasted is text, wherever one is. */
static void test_pasting(void **state)
{
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){0});
    driver_press(&d, "?"); /* the help takes no command: the text is dropped */
    paste(":q\rQ");
    assert_int_equal(d.app.n_screens, 2);
    assert_false(d.app.prompt.is_open);
    driver_press(&d, "q5");
    paste(":goto 7\n\x7f\b"); /* begins a command, and ends the count */
    assert_string_equal(d.app.prompt.text.text, "goto 7   ");
    assert_int_equal(d.app.model.focus.step, 0);
    driver_press(&d, "<Enter>");
    assert_int_equal(d.app.model.focus.step, 7);
    driver_press(&d, "/a"); /* into the line that is typed */
    paste(":b\033[A");      /* Esc ends it, and the line */
    assert_false(d.app.prompt.is_open);
    driver_press(&d, "<Esc>m"); /* a letter was wanted */
    paste("a");
    assert_string_equal(d.app.prompt.text.text, "a");
    driver_press(&d, "<Esc>");
    driver_resize(&d, 20, 5); /* nobody sees it */
    paste("goto 9");
    assert_false(d.app.prompt.is_open);
    driver_resize(&d, 80, 24);
    tdbg_tui_app_key(&d.app, TDBG_KEY_PASTE); /* its end gets lost */
    driver_press(&d, "abc<Esc>n");
    assert_int_equal(d.app.model.focus.step, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_completion, driver_teardown),
        cmocka_unit_test_teardown(test_editing, driver_teardown),
        cmocka_unit_test_teardown(test_pasting, driver_teardown),
        cmocka_unit_test_teardown(test_history, driver_teardown),
        cmocka_unit_test_teardown(test_rebinding, driver_teardown),
        cmocka_unit_test_teardown(test_keys_of_less, driver_teardown),
        cmocka_unit_test(test_names),
    };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
