/* The findings: each rule finds what it is for and nothing else, and the screen over them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tui/finding_list.h"

static struct driver d;

static const struct fake_wish troubled = {.trouble = true, .ranks = 4, .has_jobs = true};

static void test_golden(void **state)
{
    static const struct {
        int width, height;
        bool ascii;
        const char *keys, *name;
    } screens[] = {
        {80, 24, true, "<F8>jj", "findings-80x24"},
        {80, 24, false, "<F8>jj", "findings-80x24-utf8"},
        {160, 50, true, " f3jv", "findings-160x50"},
        {40, 10, true, "<F8>jjf", "findings-40x10"},
        {40, 10, false, "<F8>jjf", "findings-40x10-utf8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++)
        driver_golden_at(&d, &troubled, screens[i].width, screens[i].height, screens[i].ascii,
                         screens[i].keys, screens[i].name);
    driver_golden_at(&d, &(struct fake_wish){.n_steps = 50}, 80, 24, true, "<F8>", "findings-none");
}

/* The one finding with this text, or NULL; more than one is a failure. */
static const struct tdbg_tui_finding *one(const char *what, const char *where)
{
    const struct tdbg_tui_finding *found = NULL;
    for (int i = 0; i < d.app.findings.n; i++) {
        const struct tdbg_tui_finding *finding = &d.app.findings.list[i];
        if (!strstr(finding->what, what) || !strstr(finding->where, where))
            continue;
        assert_null(found);
        found = finding;
    }
    return found;
}

static void assert_found(const char *what, const char *where, char severity, int64_t step,
                         int64_t count, int64_t last)
{
    const struct tdbg_tui_finding *finding = one(what, where);
    if (!finding || finding->severity != severity || finding->step != step ||
        finding->count != count || finding->last != last)
        fail_msg("%s in %s: %s, %c step %lld count %lld last %lld", what, where,
                 finding ? "found" : "not found", finding ? finding->severity : ' ',
                 finding ? (long long)finding->step : -1, finding ? (long long)finding->count : -1,
                 finding ? (long long)finding->last : -1);
}

static void test_rules(void **state)
{
    (void)state;
    driver_reopen(&d, &troubled, 80, 24, true, "<F8>");
    const int64_t last = 1999, n = FAKE_NAN_TO - FAKE_NAN_FROM;
    assert_true(d.app.findings.is_complete);
    assert_found("non-finite loss", "loss", '!', FAKE_NAN_FROM, n, FAKE_NAN_TO - 1);
    assert_found("non-finite gradient norm", "all", '!', FAKE_NAN_FROM, n, FAKE_NAN_TO - 1);
    /* statistics of every second step are looked at, and of the first one of the range */
    assert_found("non-finite tensor", "fwd/fc2", '!', FAKE_NAN_FROM, n / 2, FAKE_NAN_TO - 2);
    assert_found("non-finite tensor", "bwd/fc2", '!', FAKE_NAN_FROM, n / 2, FAKE_NAN_TO - 2);
    assert_found("non-finite tensor", "grad/", '!', FAKE_NAN_FROM, n / 2, FAKE_NAN_TO - 2);
    assert_found("grad norm", "all", '~', FAKE_SPIKE, 1, FAKE_SPIKE);
    assert_found("layer is dead", "fwd/relu1", '~', FAKE_DEAD_FROM, 200, last - 1);
    assert_found("gradient is 0", "grad/fc1.bias", '~', 0, 1000, last);
    assert_found("eval loss rises", "eval/loss", '~', FAKE_OVERFITS_FROM, 12, last);
    assert_found("ranks differ", "reduce_out/fc2.weight", '!', FAKE_SPLIT, last - FAKE_SPLIT + 1,
                 last);
    const struct tdbg_tui_finding *diverges = one("loss diverges", "loss");
    assert_non_null(diverges);
    assert_in_range(diverges->step, FAKE_DIVERGES_FROM, FAKE_DIVERGES_FROM + 20);
    assert_int_equal(d.app.findings.n, 11);
}

/* A tensor that is not finite in a step that no rule wants and that is none of those of which the
 * statistics are looked at: by zones alone it is found, at its first step. */
static void test_zones(void **state)
{
    enum { HIDDEN = 5 * 301 }; /* of 10,000 steps every tenth is looked at */
    struct fake_wish wish = {.n_steps = 10000, .hidden_from = HIDDEN};
    (void)state;
    driver_reopen(&d, &wish, 80, 24, true, "<F8>");
    assert_true(d.app.findings.is_complete);
    assert_null(one("non-finite tensor", "param/"));
    wish.has_zones = true;
    driver_reopen(&d, &wish, 80, 24, true, "<F8>");
    assert_true(d.app.findings.is_complete);
    assert_found("non-finite tensor", "param/fc1.bias", '!', HIDDEN, 1, HIDDEN);
    assert_found("non-finite tensor", "fwd/fc2", '!', FAKE_NAN_FROM, 2, FAKE_NAN_TO - 10);
    wish.hidden_from = 10000 - 10000 % FAKE_ZONE + 1; /* the last steps are in no zone */
    driver_reopen(&d, &wish, 80, 24, true, "<F8>");
    assert_null(one("non-finite tensor", "param/"));
}

/* A sound run has none, and a run that was cut short none that it is too short for. */
static void test_nothing(void **state)
{
    static const int64_t lengths[] = {1, 2, 19, 400, 1400};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        driver_reopen(&d, &(struct fake_wish){.n_steps = lengths[i], .ranks = 2}, 80, 24, true,
                      i < 4 ? "<F8>" : "<F2>");
        if (i < 4)
            assert_true(d.app.findings.is_complete);
        if (lengths[i] <= FAKE_SPLIT)
            assert_int_equal(d.app.findings.n, 0);
    }
}

static void test_goes_there(void **state)
{
    (void)state;
    driver_reopen(&d, &troubled, 80, 24, true, "<F8>/grad/fc1.bias<Enter><Enter>");
    assert_string_equal(tdbg_tui_app_screen(&d.app)->name, "main");
    assert_string_equal(d.app.model.data->sites[d.app.model.focus.site].name, "grad/fc1.bias");
    driver_press(&d, "<F8>/relu1<Enter>o");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_ORIGIN], 1);
    assert_int_equal(d.app.model.focus.step, FAKE_DEAD_FROM);
    driver_press(&d, "gkG"); /* the cursor has ends */
    assert_int_equal(d.app.findings.at, d.app.findings.n_shown - 1);
    driver_press(&d, "j");
    driver_expect(&d, "this is the last finding");
    driver_press(&d, "ff");
    for (int i = 0; i < d.app.findings.n_shown; i++)
        assert_int_equal(d.app.findings.list[d.app.findings.order[i]].severity, '~');
    driver_press(&d, "fv");
    for (int i = 1; i < d.app.findings.n_shown; i++)
        assert_true(d.app.findings.list[d.app.findings.order[i - 1]].severity <=
                    d.app.findings.list[d.app.findings.order[i]].severity);
    driver_press(&d, "/nowhere<Enter>");
    driver_expect(&d, "no finding matches 'nowhere'");
}

/* Nothing is read for findings before somebody wants to see them, little per slice, and never more
 * than so many steps however long the run. */
static void test_reads(void **state)
{
    (void)state;
    driver_open_unread(&d, &(struct fake_wish){.n_steps = 100000});
    assert_int_equal(d.run.n_step_stats_reads, 1);
    tdbg_tui_app_key(&d.app, TDBG_KEY_F0 + 8);
    tdbg_tui_app_draw(&d.app);
    assert_int_equal(d.run.n_step_stats_reads, 1);
    int64_t before = 1;
    while (tdbg_tui_app_work(&d.app)) {
        assert_true(d.run.n_step_stats_reads <= before + 8);
        before = d.run.n_step_stats_reads;
    }
    assert_true(d.run.n_step_stats_reads <= 1 + TDBG_FINDINGS_STATS_STEPS + TDBG_FINDINGS_WANTED);
    tdbg_tui_app_key(&d.app, 'j');
    tdbg_tui_app_draw(&d.app);
    assert_false(tdbg_tui_app_work(&d.app)); /* and then it sleeps */
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_rules, driver_teardown),
        cmocka_unit_test_teardown(test_zones, driver_teardown),
        cmocka_unit_test_teardown(test_nothing, driver_teardown),
        cmocka_unit_test_teardown(test_goes_there, driver_teardown),
        cmocka_unit_test_teardown(test_reads, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
