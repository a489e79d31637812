/* The terminal without a terminal: what a key costs in reads, what a fault does, and random keys,
 * sizes and mouse events over good and bad runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/screen/driver.h"

static struct driver d;

/* ---- reads ---- */

static void assert_reads(const char *what, int64_t row_reads, int64_t rows, int64_t step_stats,
                         int64_t stats)
{
    const struct fake_run *run = &d.run;
    if (run->n_row_reads > row_reads || run->n_rows > rows ||
        run->n_step_stats_reads > step_stats || run->n_stats_reads > stats)
        fail_msg("%s cost %lld reads of %lld rows, %lld of a step's statistics, %lld of a site's",
                 what, (long long)run->n_row_reads, (long long)run->n_rows,
                 (long long)run->n_step_stats_reads, (long long)run->n_stats_reads);
}

/* The cost of a key does not depend on the length of the run. */
static void test_reads_per_key(void **state)
{
    static const struct {
        int64_t n_steps, eval_every, rows;
    } runs[] = {{2000, 100, 2},     {100000, 100, 6},       {100000, 1, 6},
                {100000, 30000, 6}, {5000000, 100, 200},    {5000000, 900000, 200},
                {5000000, 1, 200},  {5000000, 6000000, 200}};
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        driver_open_80x24(
            &d, &(struct fake_wish){.n_steps = runs[i].n_steps, .eval_every = runs[i].eval_every});
        for (int j = 0; j < 150; j++) {
            fake_run_reset_counts(&d.run);
            driver_press(&d, j % 2 ? "n" : "N");
            driver_press(&d, j % 7 ? "" : "3n");
            if (j % 7)
                assert_reads("n or N", 8, runs[i].rows, 1, 4);
            if (j % 50 == 0)
                driver_press(&d, "3456l7n");
        }
        fake_run_reset_counts(&d.run);
        driver_press(&d, "s");
        assert_reads("s", 0, 0, 0, 0);
        driver_press(&d, "SL<Tab>?jjq3/grad<Enter>12<Esc>");
        driver_resize(&d, 140, 40);
        driver_resize(&d, 80, 24);
        assert_reads("what does not move in time", 0, 0, 0, 0);
        driver_press(&d, "777G");
        assert_reads("a jump", 8, runs[i].rows, 2, 4);
    }
}

/* The metrics' evaluation is the last one up to the focus, and the one before that. */
static void test_evaluations(void **state)
{
    static const struct {
        int64_t n_steps, eval_every;
    } runs[] = {{2000, 100}, {2000, 1}, {100000, 7}, {1000000, 300}, {1000000, 5000}};
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const int64_t first = 33, every = runs[i].eval_every, end = first + runs[i].n_steps;
        driver_reopen(&d,
                      &(struct fake_wish){
                          .first_step = first, .n_steps = runs[i].n_steps, .eval_every = every},
                      160, 50, true, "");
        for (int64_t j = 0, step = first; step < end; j++, step += 1 + j * j * j % 977 * 20) {
            char keys[32];
            snprintf(keys, sizeof keys, "%lldG", (long long)step);
            driver_press(&d, keys);
            int64_t eval = (step + 1) / every * every - 1;
            const struct tdbg_tui_metric_pair *loss = &d.app.model.metrics[TDBG_METRIC_EVAL_LOSS];
            for (int k = 0; k < 2; k++, eval -= every) {
                struct tdbg_stats stats;
                const bool has = k ? loss->has_prev : loss->has_now;
                assert_int_equal(has, eval >= first);
                if (!has)
                    continue;
                fake_run_stats(&d.run, eval, d.app.model.eval_sites[0], &stats);
                assert_true((k ? loss->prev : loss->now) == stats.mean);
            }
        }
    }
}

/* What is read before the first paint is bounded too. */
static void test_first_paint(void **state)
{
    static const struct fake_wish wish = {.n_steps = 2000000000};
    (void)state;
    driver_open_unread(&d, &wish);
    assert_reads("the first paint", 12, 4200, 1, 0);
    tdbg_tui_app_key(&d.app, 'G');
    tdbg_tui_app_draw(&d.app);
    assert_reads("the last step", 14, 4300, 3, 4);
    assert_true(tdbg_tui_app_work(&d.app));
}

/* ---- faults ---- */

static bool rows_from_1000_fail(enum fake_read what, int64_t step)
{
    return what == FAKE_READ_ROWS && step >= 1000 && step < 1010;
}

static bool everything_fails(enum fake_read what, int64_t step)
{
    (void)what, (void)step;
    return true;
}

static bool stats_of_700_fail(enum fake_read what, int64_t step)
{
    return what == FAKE_READ_STEP_STATS && step == 700;
}

static bool evals_fail(enum fake_read what, int64_t step)
{
    (void)step;
    return what == FAKE_READ_STATS;
}

static void test_faults(void **state)
{
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){.fails = stats_of_700_fail});
    driver_press(&d, "699G");
    driver_expect(&d, NULL);
    driver_press(&d, "n");
    driver_expect(&d, "! fake.h5: statistics of step 700 are damaged");
    assert_int_equal(d.app.model.focus.step, 700);
    driver_press(&d, "2n");
    driver_expect(&d, NULL);
    driver_press(&d, "N");
    driver_expect(&d, "statistics of step 700"); /* the step before 701 */
    driver_press(&d, "3N");
    driver_expect(&d, NULL);

    driver_open_80x24(&d, &(struct fake_wish){.fails = evals_fail});
    driver_press(&d, "50n");
    driver_expect(&d, NULL);
    driver_press(&d, "50n");
    driver_expect(&d, "! fake.h5: statistics of eval/loss at step 99 are damaged");

    driver_open_80x24(&d, &(struct fake_wish){.n_steps = 9000, .fails = rows_from_1000_fail});
    driver_expect(&d, "! fake.h5: row of step 1000 is damaged"); /* while the course is read */
    assert_int_equal(d.app.model.series.n_faults, 1024);         /* one block of it */
    driver_press(&d, "1003G");
    driver_expect(&d, "! fake.h5: row of step 1003 is damaged");
    assert_non_null(strstr(driver_row(&d, 0), "epoch -"));
    driver_press(&d, "2000G");
    driver_expect(&d, NULL);

    driver_open_80x24(&d, &(struct fake_wish){.fails = everything_fails});
    driver_press(&d, "nNsSgG5G/fc1<Enter>]L<Tab>j<Tab>j");
    assert_false(d.app.done);
}

/* ---- fuzz ---- */

enum { FUZZ_EVENTS = 10000, FUZZ_LOG = 40 };
static const uint64_t fuzz_seed = 1;
static uint64_t rng;
static char fuzz_log[FUZZ_LOG][48];
static int fuzz_events;

static uint64_t next(void)
{
    uint64_t x = rng += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static int below(int n)
{
    return (int)(next() % (uint64_t)n);
}

/* Bound keys most of the time, digits often, any other code now and then; rarely one that quits. */
static uint32_t random_key(void)
{
    static const char often[] = "nNpsSgGlhjkL/][?/0123456789\t\r\x1b\x04\x15\x0c";
    const int kind = below(100);
    if (kind < 60)
        return (unsigned char)often[below((int)sizeof often - 1)];
    if (kind < 75)
        return TDBG_KEY_SPECIAL + (uint32_t)below(TDBG_KEY_BEYOND - TDBG_KEY_SPECIAL + 1);
    if (kind < 90)
        return (uint32_t)below(0x80);
    if (kind < 99)
        return (uint32_t)below(TDBG_KEY_BEYOND + 100);
    return 'q';
}

static void random_event(void)
{
    static const int sizes[][2] = {{80, 24}, {160, 50}, {40, 10}, {60, 20}, {20, 5}, {1, 1}};
    char *log = fuzz_log[fuzz_events++ % FUZZ_LOG];
    const int kind = below(20);
    if (kind == 0) {
        const int *size = sizes[below(6)], any = below(2);
        const int width = any ? below(250) : size[0], height = any ? below(80) : size[1];
        snprintf(log, sizeof fuzz_log[0], "resize %dx%d", width, height);
        tdbg_tui_app_resize(&d.app, width, height);
    } else if (kind < 3) {
        const int x = below(d.app.width + 4) - 2, y = below(d.app.height + 4) - 2;
        const int button = below(3);
        snprintf(log, sizeof fuzz_log[0], "mouse %d at %d,%d", button, x, y);
        tdbg_tui_app_mouse(&d.app, x, y, (enum tdbg_tui_button)button);
    } else {
        const uint32_t key = random_key();
        snprintf(log, sizeof fuzz_log[0], "key %lu", (unsigned long)key);
        tdbg_tui_app_key(&d.app, key);
    }
}

static void fuzz(const struct fake_wish *wish, bool ascii)
{
    rng = fuzz_seed;
    fuzz_events = 0;
    driver_reopen(&d, wish, 80, 24, ascii, "");
    for (int i = 0; i < FUZZ_EVENTS; i++) {
        random_event();
        if (below(3) > 0) /* several keys may come before a paint */
            driver_draw(&d);
        if (d.app.done) {
            driver_reopen(&d, wish, 80, 24, ascii, "");
        }
        const struct tdbg_tui_focus *focus = &d.app.model.focus;
        assert_true(focus->step >= wish->first_step);
        assert_true(focus->step < wish->first_step + d.run.data.n_steps);
        assert_true(focus->site >= 0 && (focus->site == 0 || focus->site < d.run.data.n_sites));
    }
    fuzz_events = 0;
}

/* Says how to see a failure again; what was painted is printed by the check that failed. */
static int close_fuzz(void **state)
{
    const int from = fuzz_events > FUZZ_LOG ? fuzz_events - FUZZ_LOG : 0;
    if (fuzz_events > 0)
        print_error("seed %llu, after %d events; the last ones:\n", (unsigned long long)fuzz_seed,
                    fuzz_events);
    for (int i = from; i < fuzz_events; i++)
        print_error("  %s\n", fuzz_log[i % FUZZ_LOG]);
    fuzz_events = 0;
    return driver_teardown(state);
}

static void test_fuzz_good(void **state)
{
    (void)state;
    fuzz(&(struct fake_wish){.wide_names = true, .lanes = 2, .micros = 3}, false);
    fuzz(&(struct fake_wish){.first_step = 77, .n_steps = 30000}, true);
}

static bool some_fail(enum fake_read what, int64_t step)
{
    return ((uint64_t)step * 2654435761u / 64 + (uint64_t)what * 7) % 5 == 0;
}

static void test_fuzz_failing(void **state)
{
    (void)state;
    fuzz(&(struct fake_wish){.fails = some_fail, .wide_names = true}, true);
    fuzz(&(struct fake_wish){.fails = everything_fails, .n_steps = 5}, false);
    fuzz(&(struct fake_wish){.no_sites = true, .n_steps = 1}, false);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_reads_per_key, driver_teardown),
        cmocka_unit_test_teardown(test_evaluations, driver_teardown),
        cmocka_unit_test_teardown(test_first_paint, driver_teardown),
        cmocka_unit_test_teardown(test_faults, driver_teardown),
        cmocka_unit_test_teardown(test_fuzz_good, close_fuzz),
        cmocka_unit_test_teardown(test_fuzz_failing, close_fuzz),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
