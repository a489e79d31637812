/* The optimizer screen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static struct driver d;

static void test_golden(void **state)
{
    static const struct {
        int width, height;
        bool ascii;
        const char *keys, *name;
    } screens[] = {
        {80, 24, true, "60n<F9>j", "optimizer-80x24"},
        {80, 24, false, "60n pj", "optimizer-80x24-utf8"},
        {160, 50, true, "60n pj", "optimizer-160x50"},
        {40, 10, true, "60n pj", "optimizer-40x10"},
        {40, 10, false, "60n pj", "optimizer-40x10-utf8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        driver_golden_at(&d, &(struct fake_wish){.trouble = true, .has_jobs = true},
                         screens[i].width, screens[i].height, screens[i].ascii, screens[i].keys,
                         screens[i].name);
    driver_golden_at(&d, &(struct fake_wish){.config = "seed = 1;\n"}, 80, 24, true, " p",
                     "optimizer-unknown");
}

static const struct tdbg_tui_parameter *parameter(const char *name)
{
    const struct tdbg_tui_optimizer *o = &d.app.optimizer;
    for (int32_t i = 0; i < o->n; i++) {
        if (strcmp(d.app.model.data->sites[o->list[i].param].name, name) == 0)
            return &o->list[i];
    }
    fail_msg("no parameter %s", name);
    return NULL;
}

static const char *note(const char *name)
{
    return tdbg_tui_parameter_note(&d.app.optimizer, &d.app.model,
                                   (int32_t)(parameter(name) - d.app.optimizer.list));
}

static void test_table(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.trouble = true, .has_jobs = true}, 80, 24, true, " p");
    assert_int_equal(d.app.optimizer.n, 4);
    assert_int_equal(parameter("param/fc1.weight")->group, -1);
    assert_int_equal(parameter("param/fc1.bias")->group, 0);
    assert_string_equal(d.app.model.data->sites[parameter("param/fc1.weight")->first].name,
                        "optim/fc1.weight.momentum_buffer");
    assert_int_equal(parameter("param/fc1.weight")->second, -1);
    assert_string_equal(note("param/fc1.weight"), "");
    assert_string_equal(note("param/fc1.bias"), "gradient is 0");
    assert_string_equal(note("param/fc2.bias"), "frozen");
    driver_press(&d, "1455G"); /* in a list its rows */
    driver_expect(&d, "this is the last parameter");
    driver_press(&d, "g/fc2.w<Enter>");
    assert_string_equal(d.app.model.data->sites[d.app.model.focus.site].name, "param/fc2.weight");
    driver_press(&d, "1455n");
    assert_string_equal(note("param/fc2.weight"), "! nan or inf");
}

/* The ratio is asked for once per parameter and step, statistics where they are not recorded. */
static void test_jobs(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.is_light = true, .has_jobs = true}, 80, 24, true, " p");
    const int64_t *n_done = d.jobs.n_done;
    assert_int_equal(n_done[TDBG_JOB_STATS], 0); /* a keyframe: recorded */
    assert_int_equal(n_done[TDBG_JOB_EVALUATE], 1);
    driver_press(&d, "?q");
    assert_int_equal(n_done[TDBG_JOB_EVALUATE], 1);
    driver_press(&d, "n");
    assert_int_equal(n_done[TDBG_JOB_STATS], 1);
    assert_int_equal(n_done[TDBG_JOB_EVALUATE], 2);
    assert_non_null(tdbg_tui_optimizer_stats(&d.app.optimizer, &d.app.model,
                                             parameter("param/fc1.weight")->param));
    driver_press(&d, "j");
    assert_int_equal(n_done[TDBG_JOB_STATS], 1);
    assert_int_equal(n_done[TDBG_JOB_EVALUATE], 3);
    driver_press(&d, "3j"); /* frozen: its ratio is not worth an execution */
    assert_int_equal(n_done[TDBG_JOB_EVALUATE], 3);
}

static void test_reads(void **state)
{
    (void)state;
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true}, 80, 24, true, "50n");
    fake_run_reset_counts(&d.run);
    driver_press(&d, " pjjkg");
    assert_int_equal(d.run.n_step_stats_reads + d.run.n_row_reads + d.run.n_stats_reads, 0);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_table, driver_teardown),
        cmocka_unit_test_teardown(test_jobs, driver_teardown),
        cmocka_unit_test_teardown(test_reads, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
