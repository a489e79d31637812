/* The ops screen and the moves along the dataflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/philox.h"
#include "tests/screen/driver.h"

static const struct fake_wish plain = {.has_jobs = true};
static struct driver d;

static void assert_site(const char *name)
{
    assert_string_equal(d.run.sites[d.app.model.focus.site].name, name);
}

static void test_golden_sizes(void **state)
{
    static const struct {
        int width, height;
    } sizes[] = {{80, 24}, {160, 50}, {40, 10}};
    (void)state;
    for (int s = 0; s < 3; s++) {
        for (int ascii = 0; ascii < 2; ascii++) {
            char name[80];
            driver_reopen(&d, &plain, sizes[s].width, sizes[s].height, ascii,
                          "1455G/bwd/fc2<Enter> o");
            snprintf(name, sizeof name, "ops-%dx%d-%s", sizes[s].width, sizes[s].height,
                     ascii ? "ascii" : "utf8");
            driver_golden(&d, name);
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
        {"ops-first", {.has_jobs = true}, 80, 24, "<F3>"},
        {"ops-last", {.has_jobs = true}, 80, 24, "<F3>G"},
        {"ops-flow-small", {.has_jobs = true}, 40, 10, "/bwd/relu1<Enter><F3><Tab>"},
        {"ops-module", {.has_jobs = true}, 80, 24, "/grad/fc1.w<Enter><F3>u"},
        {"ops-module-deep", {.has_jobs = true, .kinds = true}, 80, 24, "/deep<Enter><F3>3u"},
        {"ops-no-graph", {.has_jobs = true, .no_graph = true}, 80, 24, "9s<F3>"},
        {"ops-no-sites", {.has_jobs = true, .no_sites = true}, 80, 24, "<F3>"},
        {"ops-lanes", {.has_jobs = true, .lanes = 2, .micros = 2}, 80, 24, "9s<F3>"},
        {"ops-wide-names", {.has_jobs = true, .wide_names = true}, 80, 24, "2s<F3>"},
        {"ops-input", {.has_jobs = true}, 80, 24, "/bwd/fc1<Enter><F3>ii"},
        {"ops-origin", {.has_jobs = true}, 80, 24, "1460G<F3>o"},
        {"ops-menu", {.has_jobs = true}, 80, 24, " "},
        {"ops-help", {.has_jobs = true}, 80, 24, "<F3>?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        driver_golden_at(&d, &screens[i].wish, screens[i].width, screens[i].height, true,
                         screens[i].keys, screens[i].name);
}

static void test_phases(void **state)
{
    static const char *const screens[] = {"<F2>", "<F3>", "<F4>"};
    (void)state;
    for (int s = 0; s < 3; s++) {
        driver_open_80x24(&d, &plain);
        driver_press(&d, screens[s]);
        driver_press(&d, "f");
        assert_site("input/x");
        driver_press(&d, "f");
        assert_site("loss");
        driver_press(&d, "S");
        driver_press(&d, "f"); /* from inside: to the end of the same one */
        assert_site("loss");
        driver_press(&d, "F");
        assert_site("fwd/fc1");
        driver_press(&d, "F");
        assert_site("samples/id");
        driver_press(&d, "F");
        driver_expect(&d, "stopped at the first op of the first step");
        driver_press(&d, "5f");
        assert_site("eval/accuracy");
        assert_int_equal(d.app.model.focus.step, 0);
        driver_press(&d, "f"); /* over the end of the step */
        assert_site("input/x");
        assert_int_equal(d.app.model.focus.step, 1);
        driver_press(&d, "2F");
        assert_site("eval/loss");
        assert_int_equal(d.app.model.focus.step, 0);
        driver_press(&d, "999999f");
        assert_site("eval/accuracy");
        assert_int_equal(d.app.model.focus.step, 1999);
    }
}

static void test_inputs(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "<F3>/bwd/fc1<Enter>i");
    assert_site("fwd/relu1");
    driver_expect(&d, "input 1 of 2 of op 12, bwd/fc1");
    driver_press(&d, "i");
    assert_site("bwd/relu1");
    driver_press(&d, "i");
    assert_site("fwd/relu1");
    driver_press(&d, "hi"); /* after another key: of the op that is under the cursor */
    assert_site("fwd/fc1");
    driver_press(&d, "gi");
    driver_expect(&d, "samples/id is computed from nothing in this step");
    driver_reopen(&d, &(struct fake_wish){.no_graph = true}, 80, 24, true, "i");
    driver_expect(&d, "this trace does not say what was computed from what");
}

static void test_readers(void **state)
{
    int32_t readers[8], n;
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "<F3>");
    assert_true(tdbg_tui_flow_is_complete(&d.app.ops.flow, &d.run.data));
    for (int32_t site = 0; site < d.run.data.n_sites; site++) {
        int32_t want = 0, inputs[64];
        n = tdbg_tui_flow_readers(&d.app.ops.flow, site, readers, 8);
        for (int32_t i = 0; i < d.run.data.n_sites; i++) {
            const int k = d.run.data.inputs(&d.run, i, inputs);
            for (int j = 0; j < k; j++) {
                if (inputs[j] == site)
                    assert_int_equal(readers[want++], i);
            }
        }
        assert_int_equal(n, want);
    }
}

static void test_modules(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true, .kinds = true}, 80, 24, true,
                  "<F3>/deep<Enter>u");
    driver_expect(&d, "module a.very.deep.module.name.of.some:");
    driver_press(&d, "5u");
    driver_expect(&d, "module a.very:");
    driver_press(&d, "d");
    driver_expect(&d, "module a.very.deep:");
    driver_press(&d, "9d");
    driver_expect(&d, "module a.very.deep.module.name.of.some.length:");
    driver_press(&d, "d");
    driver_expect(&d, "has no parts");
    driver_press(&d, "99u");
    driver_expect(&d, "all modules");
    driver_press(&d, "g/fwd/fc1<Enter>u");
    driver_expect(&d, "fc1 is in no module");
    driver_press(&d, "/grad/fc1.w<Enter>u");
    driver_expect(&d, "module fc1: 7 tensors");
    driver_press(&d, "g");
    assert_site("fwd/fc1");
    driver_press(&d, "jj");
    assert_site("grad/fc1.weight");
    driver_press(&d, "G");
    assert_site("param/fc1.bias");
    driver_press(&d, "j");
    driver_expect(&d, "this is the last op");
    driver_press(&d, "s"); /* out of it: all are shown again */
    assert_site("param/fc2.weight");
    assert_null(d.app.ops.module);
    driver_press(&d, "<F2>/grad/fc1.bias<Enter>u"); /* elsewhere: to its first op */
    assert_site("grad/fc1.weight");
}

static void test_origin(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "700Go");
    driver_expect(&d, "up to and at step 700 everything is finite");
    driver_press(&d, "1460G");
    d.jobs.holds = true;
    driver_press(&d, "o");
    driver_expect(&d, "looking for the origin at step 1460: 12 of 40 steps (^C cancels)");
    d.jobs.holds = false;
    driver_draw(&d);
    assert_int_equal(d.app.model.focus.step, 1450);
    assert_site("fwd/fc2");
    driver_expect(&d, "op 7 linear: inputs are finite, |max| 3.1e+38, output has inf, sample 5123");
    d.jobs.fails = true;
    driver_press(&d, "o");
    driver_expect(&d, "! fake.h5: the keyframe of step 0 is damaged");
    driver_reopen(&d, &(struct fake_wish){.n_steps = 5}, 80, 24, true, "o");
    driver_expect(&d, "! nothing is computed here");
}

/* What the recording has no statistics of is computed when the focus has come to rest. */
static void test_stats_are_computed(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true, .few_stats = true}, 80, 24, true, "");
    d.jobs.holds = true;
    driver_press(&d, "9s<F3>");
    driver_expect(&d, "computing step 0: 12 of 40 steps (^C cancels)");
    assert_non_null(strstr(driver_row(&d, 5), "loss                      scalar        -    -"));
    driver_press(&d, "n");
    assert_int_equal(d.jobs.queue.first->job.step, 1);
    assert_null(d.jobs.queue.first->next);
    d.jobs.holds = false;
    driver_draw(&d);
    assert_non_null(strstr(driver_row(&d, 5), "loss                      scalar        9    0"));
    assert_null(d.jobs.queue.first);
    driver_golden(&d, "ops-computed");
    const int64_t n = d.jobs.n_taken;
    driver_press(&d, "5jkkgG");
    assert_int_equal(d.jobs.n_taken, n);
    d.jobs.holds = true;
    driver_press(&d, "n");
    assert_int_equal(d.jobs.queue.first->job.kind, TDBG_JOB_STATS);
    driver_press(&d, "<Enter>"); /* the tensor first */
    assert_int_equal(d.jobs.queue.first->job.kind, TDBG_JOB_TENSOR);
    assert_null(d.jobs.queue.first->next);
    d.jobs.holds = false;
    driver_press(&d, "q9G"); /* and then these again */
    assert_non_null(strstr(driver_row(&d, 5), "loss                      scalar        9    0"));
    driver_press(&d, "n<F2>");
    d.jobs.fails = true;
    driver_press(&d, "n<F3>");
    driver_expect(&d, NULL);
}

/* In the list moves stop at its ends, over steps they do not: these are walked apart. */
static void test_there_and_back(void **state)
{
    static const struct {
        const char *keys, *back;
        bool is_of_list;
    } pairs[] = {{"n", "N", false},        {"9n", "9N", false},      {"s", "S", false},
                 {"5s", "5S", false},      {"j", "k", true},         {"3j", "3k", true},
                 {"<Tab>", "<Tab>", true}, {"<F4>nN<F3>", "", true}, {"?", "?", true}};
    enum { N_PAIRS = sizeof pairs / sizeof pairs[0], STEPS = 8 };
    (void)state;
    for (uint64_t trial = 0; trial < 80; trial++) {
        int walked[STEPS], n = 0;
        driver_reopen(&d, &(struct fake_wish){.has_jobs = true, .kinds = true}, trial % 2 ? 80 : 60,
                      trial % 2 ? 24 : 20, trial % 4 < 2, "");
        d.jobs.is_stored = true;
        driver_press(&d, "1446G2s<F3>nN");
        char *before = driver_screen(&d);
        for (uint64_t i = 0; i < STEPS; i++) {
            const int k = (int)(tdbg_philox(17, trial, i).word[0] % N_PAIRS);
            if (pairs[k].is_of_list != (trial % 8 < 4))
                continue;
            driver_press(&d, pairs[k].keys);
            if (*pairs[k].keys == '?')
                driver_press(&d, pairs[k].back);
            else
                walked[n++] = k;
        }
        while (n > 0)
            driver_press(&d, pairs[walked[--n]].back);
        driver_press(&d, "nN");
        char *after = driver_screen(&d);
        if (strcmp(before, after) != 0)
            fail_msg("trial %d:\n%s\n%s", (int)trial, before, after);
        free(before);
        free(after);
    }
}

static void test_mouse(void **state)
{
    (void)state;
    driver_open_80x24(&d, &plain);
    driver_press(&d, "<F3>");
    driver_mouse(&d, 20, 9, TDBG_BUTTON_CLICK);
    assert_site("fwd/fc1");
    driver_mouse(&d, 20, 8, TDBG_BUTTON_WHEEL_DOWN);
    assert_site("loss/sample");
    driver_mouse(&d, 20, 2, TDBG_BUTTON_CLICK); /* the phases: nothing is there to go to */
    assert_site("loss/sample");
    driver_mouse(&d, 20, 1, TDBG_BUTTON_CLICK); /* the tab "F4 tensor" */
    assert_ptr_equal(tdbg_tui_app_screen(&d.app), &tdbg_tui_screen_tensor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden_sizes, driver_teardown),
        cmocka_unit_test_teardown(test_golden_screens, driver_teardown),
        cmocka_unit_test_teardown(test_phases, driver_teardown),
        cmocka_unit_test_teardown(test_inputs, driver_teardown),
        cmocka_unit_test_teardown(test_readers, driver_teardown),
        cmocka_unit_test_teardown(test_modules, driver_teardown),
        cmocka_unit_test_teardown(test_origin, driver_teardown),
        cmocka_unit_test_teardown(test_stats_are_computed, driver_teardown),
        cmocka_unit_test_teardown(test_there_and_back, driver_teardown),
        cmocka_unit_test_teardown(test_mouse, driver_teardown),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
