/* What the tensor screen is made of, against plain loops: indices, bins, heat maps, texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/philox.h"
#include "tui/bins.h"
#include "tui/grid.h"
#include "tui/heat.h"

static void test_index_parse(void **state)
{
    static const struct tdbg_site site = {.dtype = TDBG_DTYPE_F32, .ndim = 3, .dims = {5, 4, 3}};
    static const struct {
        const char *text;
        int64_t at; /* -1: refused */
    } cases[] = {{"0,0,0", 0},
                 {"[1,2,0]", 18},
                 {" [ 1 , 2 , 0 ] ", 18},
                 {"4,3,2", 59},
                 {"-1,-1,-1", 59},
                 {"5,0,0", -1},
                 {"-6,0,0", -1},
                 {"1,2", -1},
                 {"1,2,0,0", -1},
                 {"[1,2,0", -1},
                 {"1,2,0]", -1},
                 {"", -1},
                 {"a", -1},
                 {"1 2 0", -1},
                 {"1,,0", -1},
                 {"1.5,0,0", -1},
                 {"99999999999999999999,0,0", -1}};
    char buf[400];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t at = -1;
        const char *fault = tdbg_tui_index_parse(&site, 60, cases[i].text, &at, buf, sizeof buf);
        assert_int_equal(at, cases[i].at);
        assert_int_equal(fault == NULL, cases[i].at >= 0);
        if (fault)
            assert_non_null(strstr(fault, "5x4x3"));
    }
    int64_t at;
    assert_non_null(tdbg_tui_index_parse(&site, 24, "2,0,0", &at, buf, sizeof buf)); /* short */
    assert_non_null(strstr(buf, "2x4x3"));
}

static double random_value(uint64_t i)
{
    const struct tdbg_philox_block b = tdbg_philox(13, i, 0);
    float f;
    memcpy(&f, &b.word[0], sizeof f);
    switch (b.word[1] % 8) {
    case 0:
        return (double)f; /* anything, NaN and Inf too */
    case 1:
        return 0;
    case 2:
        return -0.0;
    case 3:
        return (double)((int)(b.word[0] % 2001) - 1000) / 100; /* on bounds */
    default:
        return ((double)b.word[0] / 4294967296.0 - 0.5) * pow(10, (int)(b.word[2] % 9) - 5);
    }
}

/* Every finite value is counted in the bin that holds it by its bounds, which are in order. */
static void test_bins(void **state)
{
    enum { N = 3000 };
    static double values[N];
    struct tdbg_tui_bins bins = {.n = 0};
    (void)state;
    for (uint64_t trial = 0; trial < 300; trial++) {
        struct tdbg_stats stats;
        int64_t want[TDBG_MOST_BINS] = {0}, n_finite = 0, counted = 0;
        for (uint64_t i = 0; i < N; i++) {
            values[i] = random_value(trial * N + i);
            if (trial % 3 == 1)
                values[i] = fabs(values[i]);
            if (trial % 5 == 0 && fabs(values[i]) > 100)
                values[i] = 1;
        }
        tdbg_stats_reference(values, TDBG_DTYPE_F64, N, &stats);
        tdbg_tui_bins_set(&bins, &stats, trial % 2, 3 + (int)(trial % 40));
        tdbg_tui_bins_add(&bins, values, N / 2);
        tdbg_tui_bins_add(&bins, values + N / 2, N - N / 2);
        assert_true(bins.n >= 1 && bins.n <= 3 + (int)(trial % 40));
        for (int k = 0; k < bins.n; k++)
            assert_true(bins.bound[k] < bins.bound[k + 1] || bins.n == 1);
        for (int i = 0; i < N; i++) {
            if (!isfinite(values[i]))
                continue;
            int k = bins.n - 1;
            while (k > 0 && !(values[i] >= bins.bound[k]))
                k--;
            assert_true(values[i] >= bins.bound[0] && values[i] <= bins.bound[bins.n]);
            want[k]++;
            n_finite++;
        }
        for (int k = 0; k < bins.n; k++) {
            assert_int_equal(bins.count[k], want[k]);
            assert_true(bins.count[k] <= bins.most);
            counted += bins.count[k];
        }
        assert_int_equal(counted, n_finite);
        if (trial % 2 == 0)
            assert_true(bins.count[bins.zero] == (int64_t)stats.zeros);
    }
    tdbg_tui_bins_free(&bins);
}

/* Cells cover what is seen without gaps, have the largest magnitude of their blocks, and the
 * cursor's element is among them. */
static void test_heat(void **state)
{
    struct tdbg_tui_heat heat = {.cells = NULL};
    (void)state;
    for (uint64_t trial = 0; trial < 400; trial++) {
        const struct tdbg_philox_block b = tdbg_philox(14, trial, 0), e = tdbg_philox(15, trial, 0);
        const struct tdbg_tui_plane plane = {1 + b.word[0] % 90, 1 + b.word[1] % 130, 1};
        const int width = 1 + (int)(b.word[2] % 60), height = 1 + (int)(b.word[3] % 20);
        const int64_t cursor = e.word[0] % (plane.rows * plane.cols);
        const int most = tdbg_tui_heat_most_zoom(plane, width, height);
        const int zoom = (int)(e.word[1] % (unsigned)(most + 1));
        const struct tdbg_tui_heat_cut c =
            tdbg_tui_heat_cut_for(plane, width, height, zoom, cursor);
        assert_true(c.height >= 1 && c.height <= height && c.width >= 1 && c.width <= width);
        assert_true(c.first_row >= 0 && c.first_row + c.n_rows <= plane.rows);
        assert_true(c.first_col >= 0 && c.first_col + c.n_cols <= plane.cols);
        assert_in_range(cursor / plane.cols, c.first_row, c.first_row + c.n_rows - 1);
        assert_in_range(cursor % plane.cols, c.first_col, c.first_col + c.n_cols - 1);
        if (zoom == 0)
            assert_true(c.n_rows == plane.rows && c.n_cols == plane.cols);
        if (zoom == most)
            assert_true(c.block_rows == 1 && c.block_cols == 1);
        assert_true(tdbg_tui_heat_begin(&heat, &c));
        for (int64_t row = c.first_row; row < c.first_row + c.n_rows; row++) {
            for (int64_t col = c.first_col; col < c.first_col + c.n_cols;) {
                double values[7];
                const int64_t left = c.first_col + c.n_cols - col, n = left < 7 ? left : 7;
                for (int64_t i = 0; i < n; i++)
                    values[i] = random_value((uint64_t)(row * plane.cols + col + i));
                tdbg_tui_heat_add(&heat, row, col, values, n);
                col += n;
            }
        }
        for (int y = 0; y < c.height; y++) {
            for (int x = 0; x < c.width; x++) {
                const struct tdbg_tui_heat_cell *cell = &heat.cells[y * c.width + x];
                double largest = 0;
                bool nan = false, inf = false;
                for (int64_t i = 0; i < c.block_rows * c.block_cols; i++) {
                    const int64_t row = c.first_row + y * c.block_rows + i / c.block_cols;
                    const int64_t col = c.first_col + x * c.block_cols + i % c.block_cols;
                    if (row >= c.first_row + c.n_rows || col >= c.first_col + c.n_cols)
                        continue;
                    const double v = random_value((uint64_t)(row * plane.cols + col));
                    nan |= isnan(v);
                    inf |= isinf(v) != 0;
                    largest = isfinite(v) ? fmax(largest, fabs(v)) : largest;
                }
                assert_true(cell->largest >= largest && cell->largest <= largest);
                assert_int_equal(cell->has_nan, nan);
                assert_int_equal(cell->has_inf, inf);
            }
        }
    }
    tdbg_tui_heat_free(&heat);
}

static double level_of(const struct tdbg_tui_heat *heat, int i, bool linear)
{
    const double part = tdbg_tui_heat_part(heat, &heat->cells[i], linear);
    return heat->cells[i].largest > 0 ? 1 + fmin(part, 1) * 22 : 0;
}

/* Shades are few, change no more often than is allowed, and follow the magnitudes as near as that
 * lets them; cells with NaN or Inf have none. */
static void test_shades(void **state)
{
    struct tdbg_tui_heat heat = {.cells = NULL};
    int n_refused = 0, n_exact = 0, n_coarse = 0;
    (void)state;
    for (uint64_t trial = 0; trial < 600; trial++) {
        const struct tdbg_philox_block b = tdbg_philox(17, trial, 0);
        const int width = 1 + (int)(b.word[0] % 70), height = 1 + (int)(b.word[1] % 20);
        const int n = width * height;
        const bool linear = b.word[2] % 2, smooth = trial % 3 == 0, broken = trial % 5 == 0;
        const int64_t most = height + n * (int64_t)(b.word[3] % 100) / 100;
        const struct tdbg_tui_plane plane = {height, width, 1};
        const struct tdbg_tui_heat_cut c = tdbg_tui_heat_cut_for(plane, width, height, 0, 0);
        uint8_t shade[70 * 20];
        assert_true(tdbg_tui_heat_begin(&heat, &c));
        for (int i = 0; i < n; i++) {
            const uint32_t r = tdbg_philox(18, trial, (uint64_t)i).word[0];
            double v = smooth ? exp(i % width * 0.1) : exp((double)(r % 2000) / 100 - 10);
            v = broken && r % 4 == 0 ? (r % 8 ? (double)NAN : (double)INFINITY) : r % 37 ? v : 0;
            tdbg_tui_heat_add(&heat, i / width, i % width, &v, 1);
        }
        tdbg_tui_heat_end(&heat);
        const bool fits = tdbg_tui_heat_shade(&heat, linear, TDBG_PICTURE_GREYS, most, shade);
        n_refused += !fits;
        assert_true(fits || broken);
        int64_t cost = 0;
        double farthest = 0;
        for (int i = 0; i < n && fits; i++) {
            const bool is_broken = heat.cells[i].has_nan || heat.cells[i].has_inf;
            assert_true(is_broken ? shade[i] == TDBG_HEAT_NO_SHADE : shade[i] < TDBG_PICTURE_GREYS);
            if (i % width == 0 || shade[i] != shade[i - 1])
                cost += is_broken || (i % width && shade[i - 1] == TDBG_HEAT_NO_SHADE) ? 2 : 1;
            if (!is_broken)
                farthest = fmax(farthest, fabs(level_of(&heat, i, linear) - shade[i]));
        }
        assert_true(cost <= most);
        n_exact += fits && farthest <= 0.5 + 1e-9;
        n_coarse += farthest > 1;
        if (most >= 2 * n)
            assert_true(farthest <= 0.5 + 1e-9);
    }
    assert_true(n_refused > 10 && n_exact > 100 && n_coarse > 100);
    tdbg_tui_heat_free(&heat);
}

/* Texts read back to the same value, with no digit too many. */
static void test_value_text(void **state)
{
    static float values[20000];
    static const struct tdbg_site site = {.dtype = TDBG_DTYPE_F32, .ndim = 1, .dims = {20000}};
    char buf[TDBG_VALUE_BYTES];
    struct tdbg_tui_values v = {.site = &site, .n_elems = 20000, .data = values};
    (void)state;
    for (uint64_t i = 0; i < 20000; i++)
        values[i] = tdbg_bits_float(tdbg_philox(16, i, 0).word[0]);
    values[0] = 0.1f;
    values[1] = -0.0f;
    values[2] = 16777216;
    assert_string_equal(tdbg_tui_value_text(&v, 0, buf), "0.1");
    assert_string_equal(tdbg_tui_value_text(&v, 1, buf), "-0");
    assert_string_equal(tdbg_tui_value_text(&v, 2, buf), "16777216");
    for (int64_t i = 3; i < 20000; i++) {
        tdbg_tui_value_text(&v, i, buf);
        const float back = strtof(buf, NULL);
        assert_true(strlen(buf) <= 15);
        if (isnan(values[i]))
            assert_string_equal(buf, "nan");
        else
            assert_true(memcmp(&back, &values[i], sizeof back) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_parse), cmocka_unit_test(test_bins),
        cmocka_unit_test(test_heat),        cmocka_unit_test(test_shades),
        cmocka_unit_test(test_value_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
