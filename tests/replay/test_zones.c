/* Searches by zones against looking at every step: no step that zones tell of may hold, and what a
 * terminal finds in a trace with zones it finds in the same one without. A failing property prints
 * the command that repeats it.
 *
 * usage: test-zones [FIRST_SEED [SEEDS]] */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/bisect.h"
#include "replay/expression_zone.h"
#include "tests/replay/zone_trace.h"
#include "trace/check_file.h"
#include "trace/segment.h"
#include "tui/hunt.h"
#include "tui/job_run.h"

enum { CONDITIONS = 60, HUNTS = 40, MOST_STEPS = 256 };

static char dir[] = "/tmp/tdbg-zones-XXXXXX", path[64], bare[64];
static uint64_t first_seed = 1, n_seeds = 10;
static uint64_t running_seed; /* not 0 at the end: the one that failed */

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_OK)
        fail_msg("%s", err->message ? err->message : tdbg_status_text(st));
}

/* --- ranges of values --- */

/* Every operator over random ranges: what it gives for values of them is in the range. */
static bool is_in(struct tdbg_value_range r, bool is_known, double x)
{
    return !is_known ? r.may_be_absent : isnan(x) ? r.may_be_nan : r.low <= x && x <= r.high;
}

static double apply(enum tdbg_expr_code code, double a, double b)
{
    switch (code) {
    case TDBG_EXPR_NEGATE:
        return -a;
    case TDBG_EXPR_NOT:
        return a == 0;
    case TDBG_EXPR_ADD:
        return a + b;
    case TDBG_EXPR_SUBTRACT:
        return a - b;
    case TDBG_EXPR_MULTIPLY:
        return a * b;
    case TDBG_EXPR_DIVIDE:
        return a / b;
    case TDBG_EXPR_LESS:
        return a < b;
    case TDBG_EXPR_LESS_EQUAL:
        return a <= b;
    case TDBG_EXPR_GREATER:
        return a > b;
    case TDBG_EXPR_GREATER_EQUAL:
        return a >= b;
    case TDBG_EXPR_EQUAL:
        return a == b;
    default:
        return a != b;
    }
}

static const double picks[] = {
    0,     -0.0,   1,      -1,      0.1,      -0.1,      3,
    1e308, -1e308, 1e-308, -1e-308, INFINITY, -INFINITY, 0.30000000000000004};
enum { N_PICKS = sizeof picks / sizeof *picks };

static double pick(uint64_t seed, int64_t at)
{
    return picks[zone_random(seed, -9, at) % N_PICKS];
}

static struct tdbg_value_range random_range(uint64_t seed, int64_t at)
{
    const double a = pick(seed, at), b = pick(seed, at + 1);
    const uint64_t r = zone_random(seed, -10, at);
    struct tdbg_value_range range = r % 9 == 0 ? tdbg_value_no_number(r % 2)
                                               : tdbg_value_between(fmin(a, b), fmax(a, b), r % 2);
    range.may_be_absent = r / 16 % 3 == 0;
    return range;
}

/* A value of the range; false: none was found. */
static bool value_of(struct tdbg_value_range range, uint64_t seed, int64_t at, bool *is_known,
                     double *x)
{
    const uint64_t r = zone_random(seed, -11, at);
    *is_known = !(range.may_be_absent && r % 4 == 0);
    *x = r % 3 == 0 ? NAN : r % 3 == 1 ? (r & 8 ? range.low : range.high) : pick(seed, at);
    return is_in(range, *is_known, *x);
}

static void test_operators(void **state)
{
    (void)state;
    int64_t n_compared = 0;
    for (uint64_t seed = 1; seed <= 40000; seed++) {
        const struct tdbg_value_range a = random_range(seed, 0), b = random_range(seed, 8);
        for (int64_t k = 0; k < 8; k++) {
            double x, y;
            bool x_known, y_known;
            if (!value_of(a, seed, 16 + k, &x_known, &x) ||
                !value_of(b, seed, 32 + k, &y_known, &y))
                continue;
            for (int c = TDBG_EXPR_NEGATE; c < TDBG_EXPR_AND; c++) {
                const enum tdbg_expr_code code = (enum tdbg_expr_code)c;
                const bool unary = code == TDBG_EXPR_NEGATE || code == TDBG_EXPR_NOT;
                const struct tdbg_value_range r = tdbg_value_compute(code, a, b);
                n_compared++;
                if (!is_in(r, x_known && (unary || y_known), apply(code, x, y)))
                    fail_msg("seed %d: operator %d of %g and %g", (int)seed, c, x, y);
            }
            for (int decisive = 0; decisive < 2; decisive++) { /* and, or: as Kleene has them */
                const bool by_x = x_known && (x != 0) == decisive,
                           by_y = y_known && (y != 0) == decisive;
                const struct tdbg_value_range r =
                    tdbg_value_compute(decisive ? TDBG_EXPR_OR : TDBG_EXPR_AND, a, b);
                if (!is_in(r, by_x || by_y || (x_known && y_known),
                           by_x || by_y ? decisive : !decisive))
                    fail_msg("seed %d: %s of %g and %g", (int)seed, decisive ? "or" : "and", x, y);
            }
        }
    }
    assert_true(n_compared > 100000);
}

/* --- steps --- */

struct truth {
    enum tdbg_status status;
    struct tdbg_expr_value value;
};

struct asked {
    struct tdbg_trace *trace;
    struct tdbg_expr *expr;
    struct tdbg_expr_eval *eval;
    int64_t first, n;
    struct truth truth[MOST_STEPS];
};

static void ask(struct asked *a, struct tdbg_trace *trace, const char *text)
{
    struct tdbg_err err = {0};
    struct tdbg_expr_fault fault;
    const struct tdbg_session_options options = {0};
    *a = (struct asked){.trace = trace};
    a->expr = tdbg_expr_parse(text, &fault);
    if (!a->expr)
        fail_msg("%s: %s", text, fault.text);
    check(tdbg_expr_eval_create(trace, &options, a->expr, &a->eval, &err), &err);
    a->first = tdbg_trace_first_step(trace);
    a->n = tdbg_trace_n_steps(trace);
    assert_true(a->n <= MOST_STEPS);
    for (int64_t i = 0; i < a->n; i++) {
        a->truth[i].status = tdbg_expr_eval_at(a->eval, a->first + i, &a->truth[i].value, &err);
        tdbg_err_clear(&err);
    }
}

static void forget(struct asked *a)
{
    tdbg_expr_eval_destroy(a->eval);
    tdbg_expr_destroy(a->expr);
}

/* Steps that are passed in a row do not hold, are known where that is asked for, and cost nothing
 * to judge. */
static int64_t check_pass(const struct asked *a, int64_t step, int64_t to, bool with_value,
                          const char *text)
{
    const int64_t n = tdbg_expr_eval_pass(&a->eval, 1, step, to, with_value);
    assert_true(n >= 0 && n <= llabs(to - step) + 1);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = to >= step ? step + i : step - i;
        const struct truth *t = &a->truth[at - a->first];
        if (t->status != TDBG_OK || (t->value.is_known && t->value.number != 0) ||
            (with_value && !t->value.is_known))
            fail_msg("%s: passes step %d", text, (int)at);
    }
    return n;
}

/* What zones say the values are between is where they are. */
static void check_ranges(struct asked *a, const char *text)
{
    for (int64_t i = 0, first, n; i < a->n; i++) {
        const struct truth *t = &a->truth[i];
        if (!tdbg_trace_find_zone(a->trace, a->first + i, &first, &n))
            continue;
        const struct tdbg_value_range r = tdbg_expr_zone_range(a->eval, first, n);
        if (t->status != TDBG_OK ? !(r.may_be_absent && a->eval->zones->is_pending)
                                 : !is_in(r, t->value.is_known, t->value.number))
            fail_msg("%s: at step %d it is %s %.17g, and not %.17g .. %.17g", text,
                     (int)(a->first + i), t->value.is_known ? "known to be" : "unknown",
                     t->value.number, r.low, r.high);
    }
}

/* n_passed: forward, whether or not there is a value. */
static void check_condition(struct tdbg_trace *trace, const char *text, int64_t *n_passed)
{
    static struct asked a;
    ask(&a, trace, text);
    check_ranges(&a, text);
    const int64_t last = a.first + a.n - 1;
    for (int with_value = 0; with_value < 2; with_value++) {
        for (int64_t step = a.first, n; step <= last; step += n > 0 ? n : 1) {
            n = check_pass(&a, step, last, with_value, text);
            *n_passed += with_value ? 0 : n;
        }
        for (int64_t step = last, n; step >= a.first; step -= n > 0 ? n : 1)
            n = check_pass(&a, step, a.first, with_value, text);
    }
    assert_true(tdbg_expr_eval_cost(a.eval).passed <= tdbg_expr_eval_cost(a.eval).read);
    forget(&a);
}

static void check_number(struct tdbg_trace *trace, const char *text)
{
    static struct asked a;
    ask(&a, trace, text);
    check_ranges(&a, text);
    forget(&a);
}

static void write_ranks(const struct zone_trace *t)
{
    for (int32_t r = 0; r < t->world_size; r++)
        zone_trace_write(t, path, r);
}

static void remove_files(void)
{
    static const char *const names[] = {"a.h5", "b.h5", "a.rank1.h5", "a.seg1.h5",
                                        "a.rank1.seg1.h5"};
    char name[80];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, names[i]);
        unlink(name);
    }
}

static void test_random_conditions(void **state)
{
    (void)state;
    int64_t n_passed = 0, n_steps = 0;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        struct zone_trace t;
        struct tdbg_trace *trace;
        struct tdbg_err err = {0};
        running_seed = seed;
        zone_trace_make(&t, seed, 1 + (int32_t)(seed % 2), seed % 5 == 0);
        t.next_at = seed % 3 == 0 ? 30 + (int64_t)(seed % 40) : 0;
        write_ranks(&t);
        check(tdbg_trace_open(path, &trace, &err), &err);
        for (uint64_t i = 0; i < CONDITIONS; i++) {
            char text[ZONE_TEXT];
            zone_condition(&t, seed * 1000 + i, text);
            check_condition(trace, text, &n_passed);
            n_steps += t.n_steps;
            zone_number(&t, seed * 1000 + i, text);
            check_number(trace, text);
        }
        tdbg_trace_close(trace);
        remove_files();
    }
    running_seed = 0;
    if (n_passed < n_steps / 10)
        fail_msg("of %d steps only %d were passed", (int)n_steps, (int)n_passed);
}

/* Where nothing happens everything but the last steps is passed, by what is asked for most. */
static void test_passes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_passed;
    } cases[] = {
        {"nan", false}, /* sites of a longer cadence would have to be executed */
        {"nan(grad/*)", true},
        {"nan(state/w) or inf(param/w)", true},
        {"nan(fwd/a)", true},
        {"norm(grad/w) > 100", true},
        {"absmax(grad/*) > 1e30", true},
        {"not absmax(grad/*) < 1e30", true},
        {"not (mean(grad/*) < 3 and rms(grad/*) < 3)", true},
        {"min(grad/*) < -3 or max(grad/*) > 3", true},
        {"count(grad/*) != 15", true},
        {"zeros(grad/*) > 15", true},
        {"loss > 10", true},
        {"not loss < 10", true},
        {"loss * 2 + 1 > 100 and nan", true},
        {"1 / (step + 1) < 0", true},
        {"eval/loss > 10", true},
        {"not eval/loss < 10", true},
        {"rankdiff", true},
        {"not rankdiff == 0", true},
        {"not nan(grad/*)", false},
        {"diverges(loss)", true},
        {"diverges(loss) and step < 0", true},
        {"max(grad/w[0:2]) > 1e30", false},
        {"max(grad/w[0:2]) > 1e30 if loss > 10", true},
        {"grad_norm != grad_norm", false},
    };
    struct zone_trace t;
    struct tdbg_trace *trace;
    struct tdbg_err err = {0};
    zone_trace_make(&t, 20, 2, true);
    write_ranks(&t);
    check(tdbg_trace_open(path, &trace, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n_passed = 0;
        check_condition(trace, cases[i].text, &n_passed);
        const int64_t want = t.n_steps / t.steps_per_zone * t.steps_per_zone;
        if (cases[i].is_passed != (n_passed >= want))
            fail_msg("%s: of %d steps %d are passed", cases[i].text, (int)want, (int)n_passed);
    }
    tdbg_trace_close(trace);
}

/* Zeroes a chunk of /zones in the file. */
static void damage_zone(const char *dataset, hsize_t row)
{
    const hsize_t corner[2] = {row, 0};
    const char zeros[64] = {0};
    unsigned mask;
    haddr_t at;
    hsize_t bytes;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(file, dataset, 0);
    assert_true(H5Dget_chunk_info_by_coord(d, corner, &mask, &at, &bytes) >= 0);
    H5Dclose(d);
    H5Fclose(file);
    const int fd = open(path, O_WRONLY);
    assert_true(bytes > sizeof zeros && pwrite(fd, zeros, sizeof zeros, (off_t)at) > 0);
    close(fd);
}

/* What of the zones cannot be read is searched step by step, and changes nothing else. */
static void test_damaged(void **state)
{
    (void)state;
    static const char *const datasets[] = {"zones/steps", "zones/stats"};
    struct zone_trace t;
    zone_trace_make(&t, 20, 1, true);
    for (size_t i = 0; i < sizeof datasets / sizeof *datasets; i++) {
        struct tdbg_trace *trace;
        struct tdbg_err err = {0};
        int64_t n_passed = 0;
        zone_trace_write(&t, path, 0);
        damage_zone(datasets[i], 2);
        check(tdbg_trace_open(path, &trace, &err), &err);
        check_condition(trace, "norm(grad/w) > 100", &n_passed);
        assert_int_equal(n_passed, (t.n_steps / t.steps_per_zone - 1) * t.steps_per_zone);
        tdbg_trace_close(trace);
    }
}

/* Zones are there as soon as their steps are, for who reads along; the last steps are in none. */
static void test_while_written(void **state)
{
    (void)state;
    struct zone_trace t;
    struct tdbg_err err = {0};
    zone_trace_make(&t, 20, 1, true);
    struct tdbg_trace_writer *w = zone_trace_create(&t, path, 0);
    for (int64_t i = 0; i < t.n_steps; i++) {
        int64_t first, n, n_passed = 0;
        struct tdbg_trace *trace;
        zone_trace_step(&t, w, t.first_step + i);
        if (i % 7 != 0)
            continue;
        check(tdbg_trace_writer_flush(w, &err), &err);
        check(tdbg_trace_open(path, &trace, &err), &err);
        assert_int_equal(tdbg_trace_n_steps(trace), i + 1);
        const int64_t in_zones = (i + 1) / t.steps_per_zone * t.steps_per_zone;
        for (int64_t k = 0; k <= i; k++)
            assert_int_equal(tdbg_trace_find_zone(trace, t.first_step + k, &first, &n),
                             k < in_zones);
        check_condition(trace, "norm(grad/w) > 100", &n_passed);
        assert_int_equal(n_passed, in_zones);
        tdbg_trace_close(trace);
    }
    check(tdbg_trace_writer_close(w, &err), &err);
}

/* --- a terminal, and bisect --- */

struct found {
    bool is_found;
    int64_t step, before;
    int which;
    enum tdbg_status status;
};

static struct found hunt(struct tdbg_tui_runner *runner, int64_t first, int64_t last, int64_t from,
                         bool backward, const char *const *texts, int n)
{
    struct tdbg_tui_hunt h;
    struct tdbg_tui_job job;
    struct tdbg_tui_answer answer;
    struct found out = {.status = TDBG_OK};
    tdbg_tui_hunt_start(&h, first, last, from, backward, texts, n);
    while (out.status == TDBG_OK && tdbg_tui_hunt_ask(&h, &job)) {
        tdbg_tui_runner_do(runner, &job, &answer);
        if (answer.status != TDBG_OK && answer.status != TDBG_NOT_FOUND)
            out.status = answer.status;
        else
            tdbg_tui_hunt_take(&h, answer.status == TDBG_OK, answer.step, answer.expression);
    }
    if (out.status == TDBG_OK)
        out = (struct found){h.is_found, h.step, h.before, h.which, TDBG_OK};
    tdbg_tui_hunt_free(&h);
    return out;
}

static void check_hunt(struct tdbg_tui_runner *const runners[2], const struct zone_trace *t,
                       uint64_t seed)
{
    char texts[3][ZONE_TEXT];
    const char *const list[3] = {texts[0], texts[1], texts[2]};
    const int n = 1 + (int)(zone_random(seed, 0, 0) % 3);
    const int64_t from = t->first_step + (int64_t)(zone_random(seed, 0, 1) % (uint64_t)t->n_steps);
    for (int i = 0; i < n; i++)
        zone_condition(t, seed * 16 + (uint64_t)i, texts[i]);
    for (int backward = 0; backward < 2; backward++) {
        struct found f[2];
        for (int k = 0; k < 2; k++)
            f[k] = hunt(runners[k], t->first_step, t->first_step + t->n_steps - 1, from, backward,
                        list, n);
        if (f[0].status != f[1].status || f[0].is_found != f[1].is_found ||
            (f[0].is_found &&
             (f[0].step != f[1].step || f[0].before != f[1].before || f[0].which != f[1].which)))
            fail_msg("%s, %d conditions, from %d %s: step %d before %d with zones, step %d before "
                     "%d without",
                     texts[0], n, (int)from, backward ? "back" : "on", (int)f[0].step,
                     (int)f[0].before, (int)f[1].step, (int)f[1].before);
    }
}

static void write_both(const struct zone_trace *t)
{
    zone_trace_write(t, path, 0);
    zone_trace_write(t, bare, 0);
    zone_trace_strip(bare);
}

static void test_hunts(void **state)
{
    (void)state;
    const struct tdbg_session_options options = {0};
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        struct zone_trace t;
        running_seed = seed;
        zone_trace_make(&t, seed, 1, seed % 2);
        write_both(&t);
        struct tdbg_tui_runner *const runners[2] = {
            tdbg_tui_runner_create(path, &options, NULL, NULL),
            tdbg_tui_runner_create(bare, &options, NULL, NULL)};
        for (uint64_t i = 0; i < HUNTS; i++)
            check_hunt(runners, &t, seed * 1000 + i);
        for (int k = 0; k < 2; k++)
            tdbg_tui_runner_destroy(runners[k]);
    }
    running_seed = 0;
}

static struct tdbg_bisect_report bisect(const char *file, const char *text, enum tdbg_status *st)
{
    struct tdbg_trace *trace;
    struct tdbg_expr_fault fault;
    struct tdbg_err err = {0};
    struct tdbg_bisect_report report;
    struct tdbg_expr *expr = tdbg_expr_parse(text, &fault);
    check(tdbg_trace_open(file, &trace, &err), &err);
    const struct tdbg_bisect_options options = {.from = tdbg_trace_first_step(trace),
                                                .to = tdbg_trace_first_step(trace) +
                                                      tdbg_trace_n_steps(trace) - 1};
    *st = tdbg_bisect_run(trace, expr, &options, &report, &err);
    tdbg_err_clear(&err);
    tdbg_expr_destroy(expr);
    tdbg_trace_close(trace);
    return report;
}

/* What bisect says of the steps, how many had no value included, is the same. */
static void test_bisect(void **state)
{
    (void)state;
    int64_t n_passed = 0;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        struct zone_trace t;
        running_seed = seed;
        zone_trace_make(&t, seed, 1, seed % 2);
        write_both(&t);
        for (uint64_t i = 0; i < 8; i++) {
            char text[ZONE_TEXT];
            enum tdbg_status st[2];
            zone_condition(&t, seed * 777 + i, text);
            struct tdbg_bisect_report a = bisect(path, text, &st[0]),
                                      b = bisect(bare, text, &st[1]);
            if (st[0] != st[1] || a.is_found != b.is_found || a.step != b.step ||
                a.n_unknown != b.n_unknown || a.search.read != b.search.read)
                fail_msg("%s: step %d, %d unknown, with zones; step %d, %d unknown, without", text,
                         (int)a.step, (int)a.n_unknown, (int)b.step, (int)b.n_unknown);
            n_passed += a.search.passed;
            assert_int_equal(b.search.passed, 0);
            tdbg_bisect_clear(&a);
            tdbg_bisect_clear(&b);
        }
    }
    running_seed = 0;
    assert_true(n_passed > 0);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/a.h5", dir);
    snprintf(bare, sizeof bare, "%s/b.h5", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_files();
    return rmdir(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_random_conditions),
        cmocka_unit_test(test_hunts),
        cmocka_unit_test(test_bisect),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_while_written),
    };
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : first_seed;
    n_seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : n_seeds;
    const int rc = cmocka_run_group_tests(tests, begin, end);
    if (running_seed)
        fprintf(stderr, "failed; repeat with: test-zones %llu 1\n",
                (unsigned long long)running_seed);
    return rc;
}
