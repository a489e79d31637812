/* The tensor screen: its views at every size, walks that cancel, and the files that it writes. Its
 * parts alone are in test_tensor_parts.c. */
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

#include "base/philox.h"
#include "tests/screen/driver.h"

static const struct fake_wish plain = {.has_jobs = true};
static struct driver d;

/* ---- golden screens ---- */

static void test_golden_views(void **state)
{
    static const struct {
        int width, height;
    } sizes[] = {{80, 24}, {160, 50}, {40, 10}};
    static const char *const views[] = {"summary", "heat", "elements", "history"};
    (void)state;
    for (int s = 0; s < 3; s++) {
        for (int ascii = 0; ascii < 2; ascii++) {
            driver_reopen(&d, &plain, sizes[s].width, sizes[s].height, ascii,
                          "700G/grad/fc1.w<Enter> t");
            for (int v = 0; v < 4; v++) {
                char name[80];
                snprintf(name, sizeof name, "tensor-%s-%dx%d-%s", views[v], sizes[s].width,
                         sizes[s].height, ascii ? "ascii" : "utf8");
                driver_golden(&d, name);
                driver_press(&d, "v");
            }
        }
    }
}

static void test_golden_screens(void **state)
{
    static const struct {
        const char *name;
        struct fake_wish wish;
        int width, height;
        const char *keys;
    } screens[] = {
        {"tensor-nan", {.has_jobs = true}, 80, 24, "1455G/bwd/fc2<Enter><F4>"},
        {"tensor-inf-elements", {.has_jobs = true}, 80, 24, "1455G/fwd/fc2<Enter><F4>vv"},
        {"tensor-linear", {.has_jobs = true}, 80, 24, "/fwd/fc1<Enter><F4>L"},
        {"tensor-relu", {.has_jobs = true}, 80, 24, "/input/x<Enter><F4>"},
        {"tensor-zoomed", {.has_jobs = true}, 80, 24, "/fwd/fc1<Enter><F4>v@33,100<Enter>3+"},
        {"tensor-compare", {.has_jobs = true}, 80, 24, "9G/fwd/fc2<Enter><F4>="},
        {"tensor-compare-elements", {.has_jobs = true}, 80, 24, "9G/fwd/fc2<Enter><F4>=vv"},
        {"tensor-compare-first", {.has_jobs = true}, 80, 24, "/fwd/fc2<Enter><F4>="},
        {"tensor-compare-small", {.has_jobs = true}, 40, 10, "9G/fwd/fc2<Enter><F4>=vv"},
        {"tensor-scalar", {.has_jobs = true}, 80, 24, "/hyper/lr<Enter><F4>"},
        {"tensor-scalar-elements", {.has_jobs = true}, 80, 24, "/hyper/lr<Enter><F4>vv"},
        {"tensor-u8", {.has_jobs = true}, 80, 24, "/samples/x<Enter><F4>"},
        {"tensor-u8-elements", {.has_jobs = true}, 80, 24, "/samples/x<Enter><F4>vv@3,27,0<Enter>"},
        {"tensor-i64-elements", {.has_jobs = true}, 80, 24, "/samples/y<Enter><F4>vv9l"},
        {"tensor-f16-elements", {.has_jobs = true, .kinds = true}, 80, 24, "/f16<Enter><F4>vv"},
        {"tensor-bf16", {.has_jobs = true, .kinds = true}, 80, 24, "/bf16<Enter><F4>5j5l"},
        {"tensor-bf16-elements",
         {.has_jobs = true, .kinds = true},
         80,
         24,
         "/bf16<Enter><F4>vv@4,3,1,2<Enter>"},
        {"tensor-f64-elements", {.has_jobs = true, .kinds = true}, 80, 24, "/f64<Enter><F4>vv3j"},
        {"tensor-i32", {.has_jobs = true, .kinds = true}, 80, 24, "/i32<Enter><F4>"},
        {"tensor-empty", {.has_jobs = true, .kinds = true}, 80, 24, "/empty<Enter><F4>"},
        {"tensor-empty-elements", {.has_jobs = true, .kinds = true}, 80, 24, "/empty<Enter><F4>vv"},
        {"tensor-large", {.has_jobs = true, .kinds = true}, 80, 24, "/large<Enter><F4>"},
        {"tensor-not-evaluated", {.has_jobs = true}, 80, 24, "/eval/loss<Enter><F4>v"},
        {"tensor-no-jobs", {0}, 80, 24, "/fwd/fc1<Enter><F4>"},
        {"tensor-no-sites", {.has_jobs = true, .no_sites = true}, 80, 24, "<F4>"},
        {"tensor-lanes", {.has_jobs = true, .lanes = 2, .micros = 2}, 80, 24, "6s<F4>"},
        {"tensor-wide-names", {.has_jobs = true, .wide_names = true}, 80, 24, "2s<F4>"},
        {"tensor-help", {.has_jobs = true}, 80, 24, "<F4>?"},
        {"tensor-index-prompt", {.has_jobs = true}, 80, 24, "/fwd/fc1<Enter><F4>@3,1"},
        {"tensor-index-wrong", {.has_jobs = true}, 80, 24, "/fwd/fc1<Enter><F4>@64,1<Enter>"},
        {"tensor-export-prompt", {.has_jobs = true}, 80, 24, "/fwd/fc1<Enter><F4>ea.np"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        driver_golden_at(&d, &screens[i].wish, screens[i].width, screens[i].height, true,
                         screens[i].keys, screens[i].name);
}

/* While the values are on their way the recorded statistics are there; then they are, or are not.
 */
static void test_waiting(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "812G/fwd/fc1<Enter>");
    d.jobs.holds = true;
    driver_press(&d, "<Enter>");
    driver_golden(&d, "tensor-waiting");
    driver_expect(&d, "computing fwd/fc1 at step 812: 12 of 40 steps (^C cancels)");
    driver_press(&d, "<^C>");
    driver_expect(&d, "cancelled");
    driver_press(&d, "v");
    driver_golden(&d, "tensor-cancelled");
    assert_null(d.jobs.queue.first);
    d.jobs.holds = false;
    driver_press(&d, "<Enter>");
    driver_expect(&d, "computed again by executing the step");
    d.jobs.fails = true;
    driver_press(&d, "n");
    driver_golden(&d, "tensor-failed");
    d.jobs.fails = false;
    driver_press(&d, "N");
    d.jobs.holds = true;
    driver_press(&d, "n");
    assert_non_null(d.jobs.queue.first);
    driver_press(&d, "n"); /* only the last one is wanted */
    assert_non_null(d.jobs.queue.first);
    assert_null(d.jobs.queue.first->next);
    assert_int_equal(d.jobs.queue.first->job.step, 814);
    driver_press(&d, "q");
    assert_null(d.jobs.queue.first);
}

/* ---- walks ---- */

static char *screen_after(const char *keys)
{
    driver_press(&d, keys);
    return driver_screen(&d);
}

/* The keys, and those that undo them, from the last to the first. In one tensor the cursor moves;
 * from tensor to tensor it does not, since a smaller one has no room for it. */
static void test_there_and_back(void **state)
{
    static const struct {
        const char *keys, *back;
        bool is_move;  /* of the cursor */
        bool is_leave; /* to another tensor */
    } pairs[] = {{"n", "N", false, false},
                 {"7n", "7N", false, false},
                 {"s", "S", false, true},
                 {"3s", "3S", false, true},
                 {"j", "k", true, false},
                 {"h", "l", true, false},
                 {"4l", "4h", true, false},
                 {"2j", "2k", true, false},
                 {"v", "vvv", false, false},
                 {"L", "L", false, false},
                 {"=", "=", false, false},
                 {"]", "[", false, true},
                 {"<Tab>", "<Shift-Tab>", false, false}};
    enum { N_PAIRS = sizeof pairs / sizeof pairs[0], STEPS = 20 };
    (void)state;
    for (uint64_t trial = 0; trial < 90; trial++) {
        static const int widths[] = {80, 160, 60}, heights[] = {24, 50, 20};
        int walked[STEPS], n = 0;
        driver_reopen(&d, &(struct fake_wish){.has_jobs = true, .kinds = true}, widths[trial % 3],
                      heights[trial % 3], trial % 2,
                      "1446G/fwd/fc1<Enter><Esc><F4>@30,100<Enter>+");
        d.jobs.is_stored = true; /* no message about an execution */
        char *before = screen_after("nN");
        for (uint64_t i = 0; i < STEPS; i++) {
            const int k = (int)(tdbg_philox(11, trial, i).word[0] % N_PAIRS);
            if (trial % 4 < 2 ? pairs[k].is_leave : pairs[k].is_move)
                continue;
            driver_press(&d, pairs[k].keys);
            walked[n++] = k;
        }
        while (n > 0)
            driver_press(&d, pairs[walked[--n]].back);
        char *after = screen_after("nN");
        if (strcmp(before, after) != 0)
            fail_msg("trial %d:\n%s\n%s", (int)trial, before, after);
        free(before);
        free(after);
    }
}

static void test_any_keys(void **state)
{
    static const char *const keys[] = {"n",
                                       "N",
                                       "s",
                                       "S",
                                       "h",
                                       "j",
                                       "k",
                                       "l",
                                       "v",
                                       "=",
                                       "+",
                                       "-",
                                       "0",
                                       "L",
                                       "[",
                                       "]",
                                       "g",
                                       "G",
                                       "f",
                                       "F",
                                       "o",
                                       "i",
                                       "u",
                                       "d",
                                       "<F2>",
                                       "<F3>",
                                       "q",
                                       "<Enter>",
                                       "@1,2<Enter>",
                                       "@x<Enter>",
                                       "/kind<Enter>",
                                       "<Esc>",
                                       "<^D>",
                                       "<PgUp>",
                                       "<F4>",
                                       "y",
                                       "99l",
                                       "999999999999j",
                                       "5v",
                                       "3=",
                                       "12G"};
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true, .kinds = true}, 80, 24, true, "");
    for (uint64_t i = 0; i < 4000; i++) {
        const struct tdbg_philox_block b = tdbg_philox(12, i, 0);
        if (d.app.n_screens == 1 && b.word[1] % 4)
            driver_press(&d, "<F4>");
        if (d.app.n_screens > 1 || strcmp(keys[b.word[0] % 41], "q") != 0)
            driver_press(&d, keys[b.word[0] % (sizeof keys / sizeof keys[0])]);
        if (b.word[2] % 50 == 0)
            driver_resize(&d, (int)(b.word[3] % 170) + 1, (int)(b.word[2] % 53) + 1);
        else if (b.word[2] % 50 < 3)
            driver_mouse(&d, (int)(b.word[3] % 80), (int)(b.word[1] % 24),
                         (enum tdbg_tui_button)(b.word[2] % 3));
        if (d.app.done || d.app.n_screens == 0)
            driver_open_80x24(&d, &(struct fake_wish){.has_jobs = true, .kinds = true});
        d.jobs.holds = b.word[3] % 10 == 0;
        d.jobs.fails = b.word[3] % 10 == 1;
    }
}

/* ---- keys ---- */

static void test_cursor_and_index(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "/fwd/fc1<Enter><F4>vv@[ 63, 255 ]<Enter>"); /* 64 x 256 */
    assert_int_equal(d.app.tensor.cursor, 64 * 256 - 1);
    driver_press(&d, "l");
    driver_expect(&d, "stopped at the edge");
    driver_press(&d, "@-64,-256<Enter>");
    assert_int_equal(d.app.tensor.cursor, 0);
    driver_press(&d, "3j4l");
    assert_int_equal(d.app.tensor.cursor, 3 * 256 + 4);
    driver_press(&d, "G");
    assert_int_equal(d.app.tensor.cursor, 63 * 256 + 4);
    driver_press(&d, "7G");
    assert_int_equal(d.app.tensor.cursor, 7 * 256 + 4);
    driver_press(&d, "g");
    assert_int_equal(d.app.tensor.cursor, 0);
    driver_press(&d, "@0,256<Enter>");
    driver_expect(&d, "index 1 of '0,256' is outside: the shape is 64x256");
    driver_press(&d, "@7<Enter>");
    driver_expect(&d, "'7' is no index here: 2 numbers, such as 3,17; the shape is 64x256");
    assert_int_equal(d.app.tensor.cursor, 0);
    driver_press(&d, "]");
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, "fwd/fc1"); /* a search is live */
    driver_press(&d, "<Esc>]");
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, "fwd/relu1");
    driver_press(&d, "2[");
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, "input/x");
    driver_press(&d, "/hyper/lr<Enter>@0<Enter>");
    driver_expect(&d, "a scalar has only one element");
}

/* ---- files ---- */

static char folder[] = "/tmp/tdbg-screen-XXXXXX";

static char *load(const char *name, size_t *n_bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    *n_bytes = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

static void press_export(const char *name)
{
    char keys[256];
    snprintf(keys, sizeof keys, "e%s/%s<Enter>", folder, name);
    driver_press(&d, keys);
}

static void test_export(void **state)
{
    size_t n;
    (void)state;
    assert_non_null(mkdtemp(folder));
    driver_open_80x24(&d, &plain);
    driver_press(&d, "9G/fwd/fc2<Enter><F4>"); /* 64 x 10 */
    press_export("a.npy");
    driver_expect(&d, "wrote ");
    char *text = load("a.npy", &n);
    assert_int_equal(n, 128 + 640 * 4);
    assert_non_null(strstr(text + 10, "'shape': (64, 10)"));
    assert_memory_equal(text + 128, d.app.tensor.now.data, 640 * 4);
    free(text);
    press_export("a.csv");
    text = load("a.csv", &n);
    assert_true(strncmp(text, "step,index0,index1,value\n9,0,0,", 31) == 0);
    free(text);
    press_export("a.json");
    text = load("a.json", &n);
    assert_non_null(strstr(text, "\"site\":\"fwd/fc2\",\"step\":9"));
    free(text);
    press_export("a.ppm");
    text = load("a.ppm", &n);
    assert_true(strncmp(text, "P6\n40 256\n255\n", 14) == 0);
    assert_int_equal(n, 14 + 40 * 256 * 3);
    free(text);
    press_export("a.txt");
    driver_expect(&d, "a name ends in .npy, .csv, .json or .ppm here: ");
    press_export("no/such/folder.npy");
    driver_expect(&d, "! cannot write /tmp/tdbg-screen-");
    /* what is there stays, unless it is said */
    driver_press(&d, "n");
    press_export("a.npy");
    driver_expect(&d, "a.npy exists: y overwrites it");
    driver_press(&d, "x");
    driver_expect(&d, "stays as it is");
    text = load("a.npy", &n);
    assert_true(memcmp(text + 128, d.app.tensor.now.data, 640 * 4) != 0);
    free(text);
    press_export("a.npy");
    driver_press(&d, "y");
    driver_expect(&d, "wrote ");
    text = load("a.npy", &n);
    assert_memory_equal(text + 128, d.app.tensor.now.data, 640 * 4);
    free(text);
    d.jobs.holds = true;
    driver_press(&d, "n");
    press_export("b.npy");
    driver_expect(&d, "the values are not there");
    static const char *const names[] = {"a.npy", "a.csv", "a.json", "a.ppm"};
    for (int i = 0; i < 4; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing else is there */
}

/* A large one is written while keys are answered, and given up when the focus moves on. */
static void test_export_in_parts(void **state)
{
    char large[] = "/tmp/tdbg-screen-XXXXXX", keys[256], path[256];
    struct stat file;
    (void)state;
    assert_non_null(mkdtemp(large));
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true, .kinds = true}, 80, 24, true,
                  "/large<Enter><F4>");
    snprintf(keys, sizeof keys, "e%s/a.npy", large);
    snprintf(path, sizeof path, "%s/a.npy", large);
    for (int gives_up = 0; gives_up < 2; gives_up++) {
        driver_press(&d, keys);
        tdbg_tui_app_key(&d.app, TDBG_KEY_ENTER);
        for (int i = 0; i < 10; i++) {
            assert_true(tdbg_tui_app_work(&d.app));
            tdbg_tui_app_key(&d.app, 'l');
            assert_non_null(d.app.tensor.file.out);
        }
        assert_int_equal(d.app.tensor.cursor % 1000, 10 * 26 * (gives_up + 1));
        if (gives_up)
            tdbg_tui_app_key(&d.app, 'n');
        driver_draw(&d);
        driver_expect(&d, gives_up ? "a.npy is not written: you went on" : "wrote ");
        assert_int_equal(stat(path, &file), gives_up ? -1 : 0);
        if (!gives_up) {
            assert_int_equal(file.st_size, 128 + 3000 * 1000 * 4);
            assert_int_equal(unlink(path), 0);
        }
    }
    assert_int_equal(rmdir(large), 0); /* nothing is left of it */
}

static void test_copy(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "9G/fwd/fc2<Enter>y");
    driver_expect(&d, "copied: tdbg show runs/fake.h5 fwd/fc2 --step 9");
    assert_true(d.app.wants_copy);
    driver_reopen(&d, &(struct fake_wish){.lanes = 2, .micros = 2}, 80, 24, true, "");
    d.run.data.path = "it's a run.h5";
    driver_press(&d, "6sy");
    assert_string_equal(d.app.copied.text,
                        "tdbg show 'it'\\''s a run.h5' fwd/fc1 --lane 0 --micro 1 --step 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden_views, driver_teardown),
        cmocka_unit_test_teardown(test_golden_screens, driver_teardown),
        cmocka_unit_test_teardown(test_waiting, driver_teardown),
        cmocka_unit_test_teardown(test_there_and_back, driver_teardown),
        cmocka_unit_test_teardown(test_any_keys, driver_teardown),
        cmocka_unit_test_teardown(test_cursor_and_index, driver_teardown),
        cmocka_unit_test_teardown(test_export, driver_teardown),
        cmocka_unit_test_teardown(test_export_in_parts, driver_teardown),
        cmocka_unit_test_teardown(test_copy, driver_teardown),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
