/* The diff screen: two made-up runs beside each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tui/view.h"

static struct driver d;
static struct fake_run other;

enum { PARTS_FROM = 700 };
static const char config_b[] =
    "seed = 42;\nsteps = 2000;\ndrop_samples = [ 37 ];\n"
    "data = { kind = \"idx\"; batch = 64; };\n"
    "optimizer = { kind = \"sgd\"; lr = 0.02; momentum = 0.9; weight_decay = 0.0001; groups = ( "
    "{ match = [ \"*.bias\" ]; weight_decay = 0.0; lr_scale = 2.0; } ); };\n"
    "freeze = [ \"fc2.bias\" ];\n"
    "schedule = { kind = \"constant\"; warmup = 50; every = \"step\"; };\n";

static void open_two(const struct fake_wish *b, int width, int height, bool ascii, const char *keys)
{
    struct tdbg_err err = {0};
    driver_reopen(&d, &(struct fake_wish){.has_jobs = true}, width, height, ascii, "");
    fake_run_make(&other, b);
    other.data.path = "runs/other.h5";
    d.jobs.other = &other;
    assert_int_equal(tdbg_tui_app_diff_with(&d.app, other.data.path, &other.data, NULL, &err),
                     TDBG_OK);
    driver_draw(&d);
    driver_press(&d, keys);
}

static const struct fake_wish parted = {.parts_from = PARTS_FROM, .config = config_b};

static void test_golden(void **state)
{
    static const struct {
        int width, height;
        bool ascii;
        const char *keys, *name;
    } screens[] = {
        {80, 24, true, "C", "diff-80x24"},          {80, 24, false, "C", "diff-80x24-utf8"},
        {160, 50, true, "C<Enter>", "diff-160x50"}, {40, 10, true, "Cj", "diff-40x10"},
        {40, 10, false, "Cj", "diff-40x10-utf8"},   {80, 24, true, "C<Enter>", "diff-elements"},
        {80, 24, true, "v", "diff-config"},         {80, 24, true, "100nx30n", "diff-unlinked"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++) {
        open_two(&parted, screens[i].width, screens[i].height, screens[i].ascii, screens[i].keys);
        driver_golden(&d, screens[i].name);
    }
    driver_open_80x24(&d, &(struct fake_wish){0});
    driver_press(&d, "<F7>");
    driver_golden(&d, "diff-none");
    driver_press(&d, "C<Enter>xvjjG<Tab>nN");
}

static void test_parting(void **state)
{
    (void)state;
    open_two(&parted, 80, 24, true, "");
    assert_int_equal(d.app.two.n_config, 2);
    assert_string_equal(d.app.two.config[0].key, "optimizer.lr");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_DIFF], 1); /* asked for by itself, once */
    driver_press(&d, "nNC");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_DIFF], 1);
    driver_expect(&d, "17 tensors differ from step 700 on, the first is fwd/fc1");
    assert_int_equal(d.app.model.focus.step, PARTS_FROM);
    assert_string_equal(d.app.model.data->sites[d.app.model.focus.site].name, "fwd/fc1");
    for (int32_t i = 0; i < d.app.model.data->n_sites; i++)
        assert_int_equal(tdbg_tui_two_runs_same(&d.app.two, i),
                         d.app.model.data->sites[i].stage < TDBG_STAGE_FWD);
    driver_press(&d, "N");
    for (int32_t i = 0; i < d.app.model.data->n_sites; i++)
        assert_int_equal(tdbg_tui_two_runs_same(&d.app.two, i), 1);

    open_two(&(struct fake_wish){.n_steps = 500}, 80, 24, true, "C");
    driver_expect(&d, "the two are the same");
    driver_press(&d, "900n"); /* a step that B does not have */
    assert_int_equal(tdbg_tui_two_runs_same(&d.app.two, 5), -1);
}

static const struct tdbg_tui_parting *compared(int32_t site)
{
    const struct tdbg_tui_two_cell *cell =
        tdbg_tui_two_runs_compared(&d.app.two, d.app.model.focus.step, site);
    return cell ? cell->found : NULL;
}

static void test_elements(void **state)
{
    (void)state;
    open_two(&parted, 80, 24, true, "C<Enter>");
    assert_true(d.app.two.shows_elements);
    assert_non_null(compared(d.app.model.focus.site));
    assert_int_equal(compared(d.app.model.focus.site)->elements.n_differ, 1);
    const int64_t n = d.jobs.n_done[TDBG_JOB_ELEMENTS];
    driver_press(&d, "<Enter>"); /* away again, and nothing is computed twice for it */
    assert_false(d.app.two.shows_elements);
    driver_press(&d, "<Enter>");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_ELEMENTS], n);
    driver_press(&d, "g"); /* with those of tensors that are the same */
    assert_int_equal(tdbg_tui_two_runs_same(&d.app.two, d.app.model.focus.site), 1);
    assert_int_equal(compared(d.app.model.focus.site)->elements.n_differ, 0);
    assert_int_equal(d.jobs.n_done[TDBG_JOB_ELEMENTS], n + 1);
}

/* Rows on the screen that have to be compared, and those that were. */
static void count_rows(int *wanted, int *known)
{
    const struct tdbg_tui_two_runs *two = &d.app.two;
    const int64_t rows = tdbg_tui_view_diff_rows(two, tdbg_tui_app_frame(&d.app).body);
    *wanted = *known = 0;
    for (int32_t i = two->top; i < two->n_rows && i < two->top + rows; i++) {
        *wanted += tdbg_tui_two_runs_same(two, two->row[i]) != 1;
        *known += compared(two->row[i]) != NULL;
    }
}

/* The rows on the screen are compared by themselves, one after the other, and no others. */
static void test_values(void **state)
{
    int wanted, known;
    (void)state;
    open_two(&parted, 80, 24, true, "5n");
    assert_int_equal(d.jobs.n_done[TDBG_JOB_ELEMENTS], 0); /* the digests say it all */
    driver_press(&d, "C");
    count_rows(&wanted, &known);
    assert_true(wanted > 2);
    assert_int_equal(known, wanted);
    assert_int_equal(d.jobs.n_done[TDBG_JOB_ELEMENTS], wanted);
    driver_press(&d, "LL?q"); /* nothing twice */
    assert_int_equal(d.jobs.n_done[TDBG_JOB_ELEMENTS], wanted);
    driver_press(&d, "n");
    count_rows(&wanted, &known);
    assert_int_equal(known, wanted);

    d.jobs.holds = true; /* it takes long: keys are answered, and what is obsolete is given up */
    driver_press(&d, "n");
    count_rows(&wanted, &known);
    assert_int_equal(known, 0);
    assert_true(d.app.two.asked == d.app.model.focus.site);
    driver_expect(&d, "comparing fwd/fc1 at step 702: 12 of 40 steps (^C cancels)");
    assert_non_null(strstr(driver_row(&d, d.app.grid.cursor_y), "     ...      ... differs"));
    driver_press(&d, "n");
    driver_expect(&d, "comparing fwd/fc1 at step 703");
    assert_null(d.jobs.queue.first->next);
    driver_press(&d, "j"); /* what is at work is of this step, and on the screen */
    driver_expect(&d, "comparing fwd/fc1 at step 703");
    driver_press(&d, "<Enter>"); /* this one first */
    driver_expect(&d, "comparing fwd/relu1 at step 703");
    driver_press(&d, "<F2>"); /* nobody waits for it on other screens */
    assert_null(d.jobs.queue.first);
    driver_press(&d, "<F7>");
    assert_non_null(d.jobs.queue.first);
    driver_press(&d, "<Esc>");
    driver_expect(&d, "cancelled");
    driver_press(&d, "jk");
    assert_null(d.jobs.queue.first); /* not at this step again */
    driver_press(&d, "<Enter>");     /* but when it is asked for */
    assert_non_null(d.jobs.queue.first);
    driver_press(&d, "<Enter>n");
    driver_expect(&d, "comparing fwd/relu1 at step 704");
    d.jobs.holds = false;
    driver_draw(&d);
    count_rows(&wanted, &known);
    assert_int_equal(known, wanted);
}

/* What cannot be compared is asked for once, and again with Enter alone, which says why. */
static void test_values_that_fail(void **state)
{
    int wanted, known;
    (void)state;
    open_two(&parted, 80, 24, true, "C");
    d.jobs.fails = true;
    driver_press(&d, "n");
    count_rows(&wanted, &known);
    assert_int_equal(known, 0);
    const int64_t n = d.jobs.n_done[TDBG_JOB_ELEMENTS];
    driver_press(&d, "jk");
    assert_true(d.jobs.n_done[TDBG_JOB_ELEMENTS] <= n + 1);
    driver_press(&d, "<Enter>");
    driver_expect(&d, "the keyframe of step 0 is damaged");
    d.jobs.fails = false;
    driver_press(&d, "<Enter><Enter>");
    assert_non_null(compared(d.app.model.focus.site));
}

static void test_sides(void **state)
{
    (void)state;
    open_two(&parted, 80, 24, true, "5n<Tab>");
    driver_expect(&d, "x unlinks them");
    driver_press(&d, "x3n");
    assert_int_equal(d.app.model.focus.step, 5);
    assert_int_equal(d.app.two.step_b, 8);
    driver_press(&d, "<Tab>2n");
    assert_int_equal(d.app.model.focus.step, 7);
    assert_int_equal(d.app.two.step_b, 8);
    driver_press(&d, "<Tab>100N");
    driver_expect(&d, "stopped at B's first step");
    driver_press(&d, "9999999999999n");
    driver_expect(&d, "stopped at B's last step");
    driver_press(&d, "x"); /* together again, at A's step */
    assert_int_equal(d.app.two.step_b, 7);
}

/* A key reads the step of both, and nothing else. */
static void test_reads(void **state)
{
    (void)state;
    open_two(&parted, 80, 24, true, "50n");
    fake_run_reset_counts(&d.run);
    fake_run_reset_counts(&other);
    driver_press(&d, "n");
    assert_int_equal(d.run.n_digest_reads, 1);
    assert_int_equal(other.n_digest_reads, 1);
    assert_int_equal(other.n_step_stats_reads, 1);
    assert_int_equal(other.n_row_reads, 0);
    driver_press(&d, "jjk?q");
    assert_int_equal(d.run.n_digest_reads, 1);
    assert_int_equal(other.n_step_stats_reads, 1);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, driver_teardown),
        cmocka_unit_test_teardown(test_parting, driver_teardown),
        cmocka_unit_test_teardown(test_elements, driver_teardown),
        cmocka_unit_test_teardown(test_values, driver_teardown),
        cmocka_unit_test_teardown(test_values_that_fail, driver_teardown),
        cmocka_unit_test_teardown(test_sides, driver_teardown),
        cmocka_unit_test_teardown(test_reads, driver_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
