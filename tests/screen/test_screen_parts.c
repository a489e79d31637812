/* The terminal's parts alone: numbers as text, layout, downsampled courses, keys, the grid of cells
 * and patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/philox.h"
#include "tests/screen/fake_run.h"
#include "tui/keymap.h"
#include "tui/number_text.h"
#include "tui/panes.h"
#include "tui/view.h"

/* ---- number_text.h ---- */

static double random_double(uint64_t i)
{
    const struct tdbg_philox_block b = tdbg_philox(5, i, 0);
    double x;
    uint64_t bits = (uint64_t)b.word[0] << 32 | b.word[1];
    if (i % 2) { /* as often a float */
        float f;
        memcpy(&f, &b.word[0], sizeof f);
        return (double)f;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void test_number(void **state)
{
    static const struct {
        double value;
        int width;
        const char *text;
    } cases[] = {
        {0, 7, "0"},
        {-0.0, 7, "0"},
        {1, 7, "1"},
        {-99999, 6, "-99999"},
        {100000, 7, "1e5"},
        {123456, 7, "1.23e5"},
        {1.5, 7, "1.5"},
        {3.14159, 7, "3.14"},
        {-3.14159, 7, "-3.14"},
        {0.000123, 7, "0.00012"},
        {-0.000123, 7, "-0.0001"},
        {1.234e-5, 7, "1.23e-5"},
        {-1.234e-5, 7, "-1.2e-5"},
        {-1.234e-12, 7, "-1e-12"},
        {1e-45, 6, "1e-45"},
        {-1.4e-45, 6, "-1e-45"},
        {-1e-300, 6, "-0"},
        {-1e300, 6, "-1e300"},
        {(double)NAN, 6, "nan"},
        {(double)INFINITY, 6, "inf"},
        {-(double)INFINITY, 6, "-inf"},
    };
    char buf[TDBG_NUMBER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(tdbg_text_number(buf, cases[i].value, cases[i].width), cases[i].text);
    for (uint64_t i = 0; i < 200000; i++) {
        const double value = random_double(i);
        for (int width = 6; width <= 8; width++) {
            tdbg_text_number(buf, value, width);
            if ((int)strlen(buf) > width)
                fail_msg("%a in %d columns is '%s'", value, width, buf);
            if (width == 8 && isfinite(value) && strcmp(buf, "-0") != 0 &&
                !(fabs(strtod(buf, NULL) - value) <= fabs(value) * 0.5))
                fail_msg("%a is not '%s'", value, buf);
        }
        assert_true(strlen(tdbg_text_exponent(buf, value)) <= 10);
    }
}

static void test_count(void **state)
{
    static const struct {
        uint64_t count;
        const char *text;
    } cases[] = {{0, "0"},         {9999, "9999"},       {10000, "10k"},
                 {999999, "999k"}, {1000000, "1M"},      {340000000, "340M"},
                 {1u << 31, "2G"}, {UINT64_MAX, "18E"},  {999999999999, "999G"},
                 {12345, "12k"},   {1000000000000, "1T"}};
    char buf[TDBG_NUMBER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(tdbg_text_count(buf, cases[i].count), cases[i].text);
    for (uint64_t i = 0; i < 100000; i++) {
        const struct tdbg_philox_block b = tdbg_philox(6, i, 0);
        tdbg_text_count(buf, ((uint64_t)b.word[0] << 32 | b.word[1]) >> b.word[2] % 64);
        assert_true(strlen(buf) <= 4);
    }
}

static void test_percent(void **state)
{
    char buf[TDBG_NUMBER_BYTES];
    (void)state;
    assert_string_equal(tdbg_text_percent(buf, 0, 100), "0");
    assert_string_equal(tdbg_text_percent(buf, 1, 1000000), "<1%");
    assert_string_equal(tdbg_text_percent(buf, 12, 100), "12%");
    assert_string_equal(tdbg_text_percent(buf, 999999, 1000000), "99%");
    assert_string_equal(tdbg_text_percent(buf, 1000000, 1000000), "100%");
    assert_string_equal(tdbg_text_percent(buf, 0, 0), "0");
}

static void test_duration(void **state)
{
    static const struct {
        double ns;
        const char *text;
    } cases[] = {{0, "0 ns"},       {999, "999 ns"},      {1000, "1.0 us"},  {12.4e6, "12.4 ms"},
                 {123e6, "123 ms"}, {1.5e9, "1.5 s"},     {90e9, "1.5 min"}, {7200e9, "2.0 h"},
                 {-3e6, "-3.0 ms"}, {3.6e18, "1000000 h"}};
    char buf[TDBG_NUMBER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(tdbg_text_duration(buf, cases[i].ns), cases[i].text);
    for (double ns = 0; ns < 9.2e18; ns = ns * 1.07 + 1)
        assert_true(strlen(tdbg_text_duration(buf, ns)) <= 9);
}

static void test_change(void **state)
{
    const double nan = (double)NAN, inf = (double)INFINITY;
    const struct {
        double now, prev;
        const char *text;
    } cases[] = {
        {1, 1, "="},         {nan, nan, "="},       {inf, inf, "="},       {nan, 1, "nan"},
        {inf, 1, "inf"},     {-inf, 1, "-inf"},     {-inf, inf, "-inf"},   {1, nan, "finite"},
        {1, inf, "finite"},  {1.008, 1, "+0.8%"},   {0.9, 1, "-10.0%"},    {11.2, 1, "11.2x"},
        {0.25, 1, "0.25x"},  {1.0001, 1, "+<0.1%"}, {1, 1.0001, "-<0.1%"}, {5, 0, "+5.0e+00"},
        {-1, 1, "-2.0e+00"}, {1e9, 1, "1e9x"},      {1e-9, 1, "1e-9x"},    {-2, -1, "2.0x"},
        {0, 2, "-2.0e+00"},
    };
    char buf[TDBG_NUMBER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(tdbg_text_change(buf, cases[i].now, cases[i].prev), cases[i].text);
    for (uint64_t i = 0; i < 100000; i++) {
        tdbg_text_change(buf, random_double(i), random_double(i + 7));
        if (strlen(buf) > 9)
            fail_msg("%a from %a is '%s'", random_double(i), random_double(i + 7), buf);
    }
}

static void test_shape(void **state)
{
    struct tdbg_site site = {.ndim = 0};
    char buf[TDBG_NUMBER_BYTES];
    (void)state;
    assert_string_equal(tdbg_text_shape(buf, &site), "scalar");
    site = (struct tdbg_site){.ndim = 2, .dims = {64, 784}};
    assert_string_equal(tdbg_text_shape(buf, &site), "64x784");
    site.ndim = TDBG_MAX_DIMS;
    for (int i = 0; i < TDBG_MAX_DIMS; i++)
        site.dims[i] = INT64_MAX;
    assert_int_equal(strlen(tdbg_text_shape(buf, &site)), TDBG_MAX_DIMS * 20 - 1);
}

/* ---- panes.h ---- */

/* Every cell of every size belongs to exactly one pane. */
static void test_layout(void **state)
{
    (void)state;
    for (int width = 1; width <= 210; width += width < 130 ? 1 : 13) {
        for (int height = 1; height <= 80; height += height < 30 ? 1 : 7) {
            for (int pane = 0; pane < TDBG_PANE_COUNT; pane++) {
                const struct tdbg_tui_frame f = tdbg_tui_frame_lay_out(width, height);
                const struct tdbg_tui_panes p =
                    tdbg_tui_panes_lay_out(&f, (enum tdbg_tui_pane)pane, width % 2);
                const struct tdbg_tui_rect all[] = {f.position, f.tabs,   p.chart,   p.metrics,
                                                    p.sites,    p.norm,   p.input,   p.findings,
                                                    p.ranks,    p.breaks, f.message, f.keys};
                assert_int_equal(f.too_small, width < 40 || height < 10);
                for (int y = 0; y < height && !f.too_small; y++) {
                    for (int x = 0; x < width; x++) {
                        int n = 0;
                        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
                            n += tdbg_tui_rect_has(all[i], x, y);
                        if (n != 1)
                            fail_msg("%dx%d: %d panes at %d,%d", width, height, n, x, y);
                    }
                }
                const struct tdbg_tui_rect active[] = {p.chart, p.metrics, p.sites};
                if (!f.too_small && active[pane].height < 5)
                    fail_msg("%dx%d: pane %d has no room", width, height, pane);
                if (width >= 80 && height >= 24)
                    assert_true(p.chart.height > 0 && p.metrics.height > 4 && p.sites.height >= 5);
                assert_true(tdbg_tui_panes_site_rows(&p) >= 1);
            }
        }
    }
}

static void test_scroll(void **state)
{
    (void)state;
    for (int64_t visible = 1; visible < 50; visible++) {
        for (int64_t n = 0; n < 200; n = n * 4 / 3 + 1) {
            int64_t before = 0;
            for (int64_t at = 0; at < n; at++) {
                const int64_t top = tdbg_tui_panes_scroll(at, n, visible);
                assert_true(top >= before && (n <= visible ? top == 0 : top <= n - visible));
                assert_true(at >= top && at < top + visible);
                /* a row before and after, except at the ends */
                if (visible >= 4)
                    assert_true((at > top || top == 0) &&
                                (at < top + visible - 1 || top + visible >= n));
                before = top;
            }
        }
    }
    assert_int_equal(tdbg_tui_panes_scroll(0, 0, 6), 0);
    assert_int_equal(tdbg_tui_panes_scroll((1 << 20) - 1, 1 << 20, 6), (1 << 20) - 6);
}

/* ---- series.h ---- */

static bool some_rows_fail(enum fake_read what, int64_t step)
{
    return what == FAKE_READ_ROWS && step / 1024 % 3 == 1;
}

static void read_all(struct tdbg_tui_series *s, struct fake_run *run)
{
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_tui_series_init(s, &run->data, &err), TDBG_OK);
    while (!tdbg_tui_series_is_complete(s)) {
        if (tdbg_tui_series_read_block(s, &run->data, &err) != TDBG_OK)
            assert_non_null(err.message);
        tdbg_err_clear(&err);
    }
    assert_int_equal(s->n_read, run->data.n_steps);
    assert_int_equal(tdbg_tui_series_read_block(s, &run->data, &err), TDBG_OK); /* nothing left */
}

/* What the buckets say of a range of whole buckets, against every row of it. */
static void check_range(const struct tdbg_tui_series *s, const struct fake_run *run, int metric,
                        int64_t first, int64_t last)
{
    const struct tdbg_tui_bucket got = tdbg_tui_series_range(s, metric, first, last);
    struct tdbg_tui_bucket want = {0};
    first = s->first_step + (first - s->first_step) / s->bucket_steps * s->bucket_steps;
    last = s->first_step + ((last - s->first_step) / s->bucket_steps + 1) * s->bucket_steps - 1;
    for (int64_t i = first; i <= last && i < s->first_step + s->n_steps; i++) {
        struct tdbg_step_row row;
        double value;
        if (run->wish.fails && run->wish.fails(FAKE_READ_ROWS, i))
            continue;
        fake_run_row(run, i, &row);
        if (!tdbg_tui_row_metric(&row, (enum tdbg_tui_metric)metric, &value))
            continue;
        want.n_broken += isfinite(value) ? 0 : 1;
        if (!isfinite(value))
            continue;
        want.min = want.n_finite == 0 || value < want.min ? value : want.min;
        want.max = want.n_finite == 0 || value > want.max ? value : want.max;
        want.n_finite++;
    }
    assert_int_equal(got.n_finite, want.n_finite);
    assert_int_equal(got.n_broken, want.n_broken);
    if (want.n_finite > 0)
        assert_true(got.min == want.min && got.max == want.max);
}

static void test_series(void **state)
{
    static const int64_t lengths[] = {1, 2, 1023, 1024, 1025, 4096, 4097, 8192, 8193, 100000};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        const struct fake_wish wish = {.first_step = i % 3 ? 2048 : 0,
                                       .n_steps = lengths[i / 2],
                                       .fails = i % 2 ? some_rows_fail : NULL};
        struct fake_run run;
        struct tdbg_tui_series s;
        fake_run_make(&run, &wish);
        read_all(&s, &run);
        assert_true(s.n_buckets >= 1 && s.n_buckets <= TDBG_SERIES_BUCKETS);
        assert_true(s.n_buckets * s.bucket_steps >= s.n_steps);
        assert_true((s.n_buckets - 1) * s.bucket_steps < s.n_steps);
        for (int metric = 0; metric < TDBG_METRIC_CHARTED; metric++) {
            for (uint64_t j = 0; j < 20; j++) {
                const struct tdbg_philox_block b = tdbg_philox(7, j, i);
                const int64_t first = wish.first_step + b.word[0] % wish.n_steps;
                const int64_t left = wish.first_step + wish.n_steps - first;
                check_range(&s, &run, metric, first, first + b.word[1] % left);
            }
            check_range(&s, &run, metric, wish.first_step, wish.first_step + wish.n_steps - 1);
        }
        double lowest = (double)INFINITY;
        for (int64_t j = wish.first_step; j < wish.first_step + wish.n_steps; j++) {
            struct tdbg_step_row row;
            fake_run_row(&run, j, &row);
            if (!(wish.fails && wish.fails(FAKE_READ_ROWS, j)) && isfinite(row.loss))
                lowest = fmin(lowest, (double)row.loss);
        }
        assert_true(isfinite(lowest) ? s.lowest_loss == lowest : isnan(s.lowest_loss));
        tdbg_tui_series_free(&s);
    }
}

/* Where the last evaluation is said to be, it is. */
static void test_series_evaluations(void **state)
{
    static const struct {
        int64_t n_steps, every;
    } runs[] = {{1, 1}, {2000, 100}, {2000, 5000}, {9000, 1}, {300000, 17}, {600000, 40000}};
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const int64_t first = 11;
        struct fake_run run;
        struct tdbg_tui_series s;
        fake_run_make(&run, &(struct fake_wish){.first_step = first,
                                                .n_steps = runs[i].n_steps,
                                                .eval_every = runs[i].every});
        assert_int_equal(tdbg_tui_series_init(&s, &run.data, NULL), TDBG_OK);
        assert_int_equal(tdbg_tui_series_last_eval(&s, first).to, -1); /* nothing is read yet */
        tdbg_tui_series_free(&s);
        read_all(&s, &run);
        assert_int_equal(tdbg_tui_series_last_eval(&s, first - 1).to, -1);
        for (int64_t step = first; step < first + runs[i].n_steps; step += 1 + step / 50) {
            const int64_t last = (step + 1) / runs[i].every * runs[i].every - 1;
            struct tdbg_tui_eval_place place = tdbg_tui_series_last_eval(&s, step);
            if (!place.is_certain && last < place.from)
                place = tdbg_tui_series_last_eval(&s, place.from - 1);
            if (last < first)
                assert_true(place.to == -1 || !place.is_certain);
            else if (place.is_certain)
                assert_int_equal(place.to, last);
            else
                assert_true(place.from <= last && last <= place.to);
            assert_true(place.to - place.from < s.part_steps);
        }
        tdbg_tui_series_free(&s);
    }
}

/* Grown in pieces, a series is what it is when all of the run is there from the start. */
static void test_series_grows(void **state)
{
    static const int64_t lengths[] = {3, 4095, 4096, 4097, 9000, 300001, 700000};
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_tui_series grown;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct tdbg_tui_series whole;
        struct fake_run run;
        const struct fake_wish wish = {.first_step = 7, .n_steps = lengths[i], .eval_every = 37};
        fake_run_make(&run, &wish);
        if (i == 0)
            assert_int_equal(tdbg_tui_series_init(&grown, &run.data, &err), TDBG_OK);
        assert_int_equal(tdbg_tui_series_grow(&grown, lengths[i], &err), TDBG_OK);
        while (!tdbg_tui_series_is_complete(&grown))
            assert_int_equal(tdbg_tui_series_read_block(&grown, &run.data, &err), TDBG_OK);
        read_all(&whole, &run);
        assert_int_equal(grown.bucket_steps, whole.bucket_steps);
        assert_int_equal(grown.part_steps, whole.part_steps);
        assert_int_equal(grown.n_buckets, whole.n_buckets);
        assert_int_equal(grown.lowest_loss_step, whole.lowest_loss_step);
        const size_t n = (size_t)whole.n_buckets;
        for (int m = 0; m < TDBG_METRIC_CHARTED; m++)
            assert_memory_equal(grown.buckets[m], whole.buckets[m], n * sizeof *whole.buckets[m]);
        assert_memory_equal(grown.evals, whole.evals, n * sizeof *whole.evals);
        assert_memory_equal(grown.last_eval, whole.last_eval, n * sizeof *whole.last_eval);
        tdbg_tui_series_free(&whole);
    }
    tdbg_tui_series_free(&grown);
}

static void test_row_metrics(void **state)
{
    const struct tdbg_step_row row = {.epoch = 3,
                                      .samples = 64,
                                      .loss = NAN,
                                      .lr = 0.5f,
                                      .grad_norm = (double)NAN,
                                      .duration_ns = 7};
    double value = -1;
    (void)state;
    assert_true(tdbg_tui_row_metric(&row, TDBG_METRIC_LOSS, &value) && isnan(value));
    assert_false(tdbg_tui_row_metric(&row, TDBG_METRIC_GRAD_NORM, &value));
    assert_true(tdbg_tui_row_metric(&row, TDBG_METRIC_LR, &value) && value == 0.5);
    assert_true(tdbg_tui_row_metric(&row, TDBG_METRIC_STEP_TIME, &value) && value == 7);
    assert_true(tdbg_tui_row_metric(&row, TDBG_METRIC_EPOCH, &value) && value == 3);
    assert_true(tdbg_tui_row_metric(&row, TDBG_METRIC_SAMPLES, &value) && value == 64);
    assert_false(tdbg_tui_row_metric(&row, TDBG_METRIC_EVAL_LOSS, &value));
    assert_false(tdbg_tui_row_metric(&row, TDBG_METRIC_EVAL_ACCURACY, &value));
}

/* ---- keys.h ---- */

static uint32_t key_named(const char *name)
{
    char text[TDBG_KEY_NAME_BYTES];
    for (uint32_t key = 1; key < TDBG_KEY_BEYOND; key++) {
        if (strcmp(tdbg_tui_key_name(key, text), name) == 0)
            return key;
    }
    return 0;
}

/* Every request has a group, a help text and a key; no key is bound twice. */
static void test_keys(void **state)
{
    (void)state;
    char seen[4096] = " ";
    static struct tdbg_tui_keymap map;
    tdbg_tui_keymap_reset(&map);
    for (int r = TDBG_REQUEST_NONE + 1; r < TDBG_REQUEST_COUNT; r++) {
        const struct tdbg_tui_request_info *info = tdbg_tui_request_info((enum tdbg_tui_request)r);
        char keys[256], hint_keys[64] = "", *rest = NULL;
        assert_true(info->group && *info->group && info->help && *info->help);
        assert_int_equal(info->hint == NULL, info->hint_keys == NULL);
        tdbg_tui_keymap_keys(&map, (enum tdbg_tui_request)r, keys, sizeof keys);
        assert_true(*keys);
        for (char *name = strtok_r(keys, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
            char spaced[TDBG_KEY_NAME_BYTES + 2];
            snprintf(spaced, sizeof spaced, " %s ", name);
            if (strstr(seen, spaced) ||
                tdbg_tui_keymap_request(&map, key_named(name)) != (enum tdbg_tui_request)r)
                fail_msg("%s is bound twice, for one '%s'", name, info->help);
            strcat(seen, spaced + 1);
        }
        /* "n/N": the request's key, and that of the request after it */
        snprintf(hint_keys, sizeof hint_keys, "%s", info->hint_keys ? info->hint_keys : "");
        char *other = strlen(hint_keys) > 1 ? strchr(hint_keys, '/') : NULL;
        if (other) {
            *other = 0;
            assert_int_equal(tdbg_tui_keymap_request(&map, key_named(other + 1)), r + 1);
        }
        if (*hint_keys)
            assert_int_equal(tdbg_tui_keymap_request(&map, key_named(hint_keys)), r);
    }
    for (char digit = '1'; digit <= '9'; digit++) /* always counts */
        assert_int_equal(tdbg_tui_keymap_request(&map, (uint32_t)digit), TDBG_REQUEST_NONE);
    assert_int_equal(tdbg_tui_keymap_request(&map, TDBG_KEY_BEYOND), TDBG_REQUEST_NONE);
}

static void test_key_names(void **state)
{
    char a[TDBG_KEY_NAME_BYTES];
    static struct tdbg_tui_keymap map;
    (void)state;
    tdbg_tui_keymap_reset(&map);
    assert_string_equal(tdbg_tui_key_name('n', a), "n");
    assert_string_equal(tdbg_tui_key_name(TDBG_KEY_CTRL_D, a), "^D");
    assert_string_equal(tdbg_tui_key_name(' ', a), "Space");
    assert_string_equal(tdbg_tui_key_name(TDBG_KEY_PAGE_UP, a), "PgUp");
    assert_string_equal(tdbg_tui_key_name(TDBG_KEY_F0 + 12, a), "F12");
    assert_string_equal(tdbg_tui_key_name(0xe9, a), "\xc3\xa9");
    assert_string_equal(tdbg_tui_key_name(127, a), "^?");
    assert_string_equal(tdbg_tui_key_name(TDBG_KEY_BEYOND, a), "this key");
    assert_string_equal(tdbg_tui_key_name(UINT32_MAX, a), "this key");
    assert_string_equal(tdbg_tui_keymap_keys(&map, TDBG_REQUEST_STEP_PREV, a, sizeof a), "N p");
    tdbg_tui_keymap_keys(&map, TDBG_REQUEST_STEP_PREV, a, 3); /* cut, but text */
    assert_int_equal(strlen(a), 2);
}

/* ---- grid.h ---- */

static const char *row_text(const struct tdbg_tui_grid *grid, int y)
{
    static char row[256];
    for (int x = 0; x < grid->width; x++) {
        const uint32_t code = tdbg_tui_grid_at(grid, x, y)->code;
        row[x] = (char)(code == 0 ? '_' : code < 0x80 ? (char)code : '*');
    }
    row[grid->width] = 0;
    return row;
}

static void test_grid(void **state)
{
    struct tdbg_tui_grid grid = {0};
    (void)state;
    tdbg_tui_grid_resize(&grid, 10, 2);
    tdbg_tui_grid_put(&grid, -1, 0, 'x', 0);
    tdbg_tui_grid_put(&grid, 0, -1, 'x', 0);
    tdbg_tui_grid_put(&grid, 10, 1, 'x', 0);
    tdbg_tui_grid_put(&grid, 3, 2, 'x', 0);
    assert_string_equal(row_text(&grid, 0), "          ");
    assert_int_equal(tdbg_tui_grid_put_text(&grid, 7, 0, 99, 0, "abcdef"), 3);
    assert_int_equal(tdbg_tui_grid_put_text(&grid, 0, 0, 2, 0, "abcdef"), 2);
    assert_string_equal(row_text(&grid, 0), "ab     abc");
    assert_int_equal(tdbg_tui_grid_put_text(&grid, 0, 1, 5, 0, "\xe5\xb1\xa4\xe5\xb1\xa4\xe5"), 5);
    assert_string_equal(row_text(&grid, 1), "*_*_?     "); /* the last byte is half a character */
    assert_int_equal(tdbg_tui_grid_put_text(&grid, 0, 1, 3, 0, "\xe5\xb1\xa4\xe5\xb1\xa4"), 2);
    tdbg_tui_grid_put(&grid, 1, 1, 'x', 0); /* half a wide character is nothing */
    tdbg_tui_grid_put(&grid, 2, 1, 'y', 0);
    assert_string_equal(row_text(&grid, 1), " xy ?     ");
    tdbg_tui_grid_put_right(&grid, 2, 1, 6, 0, "abc");
    assert_string_equal(row_text(&grid, 1), " xy ?abc  ");
    tdbg_tui_grid_put_right(&grid, 0, 1, 6, 0, "abcdefgh");
    assert_string_equal(row_text(&grid, 1), "abcdefbc  ");
    grid.ascii = true;
    tdbg_tui_grid_put_elided(&grid, 0, 1, 10, 0, "the end of a long text");
    assert_string_equal(row_text(&grid, 1), "the~g text");
    tdbg_tui_grid_put_elided(&grid, 0, 1, 1, 0, "the end");
    assert_string_equal(row_text(&grid, 1), "~he~g text");
    tdbg_tui_grid_put_elided(&grid, 0, 1, 0, 0, "the end");
    tdbg_tui_grid_put_text(&grid, 0, 1, 10, 0, "\xc3\xa9\x1b[1m\t\x7f\xff");
    assert_string_equal(row_text(&grid, 1), "??[1m???xt");
    assert_int_equal(tdbg_tui_text_width(&grid, "\xe5\xb1\xa4x"), 2);
    grid.ascii = false;
    assert_int_equal(tdbg_tui_text_width(&grid, "\xe5\xb1\xa4x"), 3);
    tdbg_tui_grid_set_cursor(&grid, 99, -5);
    assert_true(grid.cursor_x == 9 && grid.cursor_y == 0);
    tdbg_tui_grid_put(&grid, 0, 0, 'x', TDBG_STYLE_RED | TDBG_STYLE_BOLD);
    tdbg_tui_grid_add_style(&grid, (struct tdbg_tui_rect){-5, -5, 99, 99}, TDBG_STYLE_REVERSE);
    assert_int_equal(tdbg_tui_grid_at(&grid, 0, 0)->style,
                     TDBG_STYLE_RED | TDBG_STYLE_BOLD | TDBG_STYLE_REVERSE);
    tdbg_tui_grid_resize(&grid, -3, 0);
    assert_true(grid.width == 1 && grid.height == 1);
    tdbg_tui_grid_free(&grid);
}

/* ---- model.h ---- */

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"fc1", "grad/fc1.weight", true},
        {"FC1", "grad/fc1.weight", true},
        {"fc2", "grad/fc1.weight", false},
        {"fc1*", "grad/fc1.weight", true},
        {"*bias", "grad/fc1.bias", true},
        {"grad/fc?.bias", "grad/fc1.bias", true},
        {"c1*", "grad/fc1.weight", false},
        {"fc[12].bias", "grad/fc2.bias", true},
        {"fc[12].bias", "fwd/fc3.bias", false},
        {"*", "loss", true},
        {"[", "loss", false},
        {"", "loss", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (tdbg_tui_pattern_matches(cases[i].pattern, cases[i].text) != cases[i].matches)
            fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].text);
    }
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),      cmocka_unit_test(test_count),
        cmocka_unit_test(test_percent),     cmocka_unit_test(test_duration),
        cmocka_unit_test(test_change),      cmocka_unit_test(test_shape),
        cmocka_unit_test(test_layout),      cmocka_unit_test(test_scroll),
        cmocka_unit_test(test_series),      cmocka_unit_test(test_series_evaluations),
        cmocka_unit_test(test_row_metrics), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_names),   cmocka_unit_test(test_grid),
        cmocka_unit_test(test_patterns),    cmocka_unit_test(test_series_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
