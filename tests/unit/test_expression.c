/* Expressions without a trace: what parses, what does not and where, which sites names mean, and
 * functions over values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "replay/expression.h"
#include "replay/expression_eval.h"
#include "replay/expression_value.h"

static void expect_parses(const char *text, bool is_condition)
{
    struct tdbg_expr_fault fault;
    struct tdbg_expr *e = tdbg_expr_parse(text, &fault);
    if (!e)
        fail_msg("%s: col %d: %s", text, fault.column, fault.text);
    if (e->is_condition != is_condition)
        fail_msg("%s: is_condition %d", text, e->is_condition);
    tdbg_expr_destroy(e);
}

static void expect_fault(const char *text, int column, const char *words, const char *hint)
{
    struct tdbg_expr_fault fault = {0};
    struct tdbg_expr *e = tdbg_expr_parse(text, &fault);
    tdbg_expr_destroy(e);
    if (e)
        fail_msg("'%s' parses", text);
    if (fault.column != column || !strstr(fault.text, words) || !strstr(fault.hint, hint))
        fail_msg("'%s': col %d: %s (hint: %s)", text, fault.column, fault.text, fault.hint);
}

static void test_parses(void **state)
{
    (void)state;
    static const char *const conditions[] = {
        "loss > 10",
        "nan",
        "inf",
        "nan grad/fc*",
        "nan(grad/fc*)",
        "diverges(loss)",
        "diverges( grad_norm )",
        "absmax(grad/fc*) > 100 if step > 500",
        "norm(grad/fc*) > 100 if step > 500 and epoch < 3",
        "rankdiff(param/*) > 0",
        "rankdiff > 0",
        "update_ratio(fc1.weight) > .1",
        "mean(x[0:4,:]) < 2.31e+01",
        "max(fwd/a[-1,:8,3:]) >= 1e30",
        "not loss < 1 or lr == 0 and not (nan or inf)",
        "loss/2 > 1",
        "loss / lr != -1",
        "loss/sample > 1",
        "zeros(*) > 5",
        "count(x) <= 7",
        "((((loss))) > 1)",
        "1 < 2",
        "nan if step > 3",
        "nan and inf",
    };
    static const char *const numbers[] = {"loss",
                                          "1 + 2 * 3",
                                          "-loss - -1",
                                          "mean(param/*)",
                                          "clip/norm",
                                          "eval/accuracy",
                                          "update_ratio(fc1.weight)",
                                          "nan + 1",
                                          "samples",
                                          "loss/sample[3]"};
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        expect_parses(conditions[i], true);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        expect_parses(numbers[i], false);
}

static void test_faults(void **state)
{
    (void)state;
    expect_fault("los > 10", 1, "unknown metric 'los'", "did you mean 'loss'?");
    expect_fault("loss > 10 adn nan", 11, "expected the end before 'a'", "and, or, if");
    expect_fault("", 1, "before the end", "loss > 10");
    expect_fault("loss >", 7, "before the end", "");
    expect_fault("loss = 3", 6, "'=' compares nothing", "'=='");
    expect_fault("1 < loss < 2", 10, "cannot be chained", "1 < loss and loss < 2");
    expect_fault("loss and nan", 1, "this is a number", "loss > 10");
    expect_fault("nan and loss", 9, "this is a number", "");
    expect_fault("not loss", 5, "this is a number", "");
    expect_fault("nan if loss", 8, "this is a number", "");
    expect_fault("(loss > 1) + 2", 2, "true or false, but a number", "");
    expect_fault("absmax > 3", 8, "absmax wants the name of a site", "absmax(grad/fc*)");
    expect_fault("absmax() > 3", 8, "absmax wants the name of a site", "");
    expect_fault("absmax(grad/*", 14, "expected ')' before the end", "");
    expect_fault("abmax(grad/*) > 1", 1, "unknown metric 'abmax'", "did you mean 'absmax'?");
    expect_fault("mean(x[0:4", 11, "expected ']' before the end", "[0:4,:]");
    expect_fault("mean(x[a])", 8, "expected an index before 'a'", "");
    expect_fault("mean(x[0:1,1,1,1,1,1,1,1,1])", 26, "more than 8 indices", "");
    expect_fault("mean(x[1234567890123456789])", 8, "18 digits", "");
    expect_fault("diverges(lr)", 10, "diverges judges", "diverges(loss)");
    expect_fault("diverges(loss", 14, "expected ')'", "");
    expect_fault("loss > 10x", 8, "'10x' is no number", "2.31e+01");
    expect_fault("loss > 0x10", 8, "is no number", "");
    expect_fault("loss > 1e999", 8, "is no number", "");
    expect_fault("loss > 1..2", 8, "is no number", "");
    expect_fault("nan && inf", 5, "expected the end before '&'", "write 'and'");
    expect_fault("nan || inf", 5, "expected the end before '|'", "write 'or'");
    expect_fault("!nan", 1, "before '!'", "write 'not'");
    expect_fault("loss[3] > 1", 5, "before '['", "slices stand in a function");
    expect_fault("loss > 1 \x01\xff", 10, "before '?'", "");
}

static void test_limits(void **state)
{
    (void)state;
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_pad(&sb, '(', 900);
    expect_fault(sb.text, TDBG_EXPR_DEPTH / 2 + 1, "nested too deeply", "");
    tdbg_strbuf_free(&sb);
    for (int i = 0; i < 300; i++)
        tdbg_strbuf_puts(&sb, "1+");
    tdbg_strbuf_puts(&sb, "1");
    struct tdbg_expr_fault fault;
    assert_null(tdbg_expr_parse(sb.text, &fault));
    assert_non_null(strstr(fault.text, "more than 256 parts"));
    tdbg_strbuf_free(&sb);
    tdbg_strbuf_pad(&sb, ' ', 1001);
    expect_fault(sb.text, 1001, "more than 1000 characters", "");
    tdbg_strbuf_free(&sb);
    for (int i = 0; i < 33; i++)
        tdbg_strbuf_puts(&sb, i ? " or nan(*)" : "nan(*)");
    assert_null(tdbg_expr_parse(sb.text, &fault));
    assert_non_null(strstr(fault.text, "more than 32 functions"));
    tdbg_strbuf_free(&sb);
    tdbg_strbuf_puts(&sb, "nan(");
    tdbg_strbuf_pad(&sb, 'a', 200);
    expect_fault(sb.text, 5, "a name of more than 160 characters", "");
    tdbg_strbuf_free(&sb);
}

static void test_raised_text(void **state)
{
    (void)state;
    struct tdbg_expr_fault fault;
    struct tdbg_err err = {0};
    assert_null(tdbg_expr_parse("step > 3 and los > 10", &fault));
    assert_int_equal(tdbg_expr_raise("step > 3 and los > 10", &fault, &err), TDBG_USAGE);
    assert_string_equal(err.message, "col 14: unknown metric 'los'\n"
                                     "    step > 3 and los > 10\n"
                                     "                 ^\n"
                                     "hint: did you mean 'loss'?");
    tdbg_err_clear(&err);
    /* far behind in a long text: the excerpt is cut on both sides, and the caret fits */
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_pad(&sb, ' ', 300);
    tdbg_strbuf_puts(&sb, "los");
    tdbg_strbuf_pad(&sb, ' ', 300);
    assert_null(tdbg_expr_parse(sb.text, &fault));
    tdbg_expr_raise(sb.text, &fault, &err);
    const char *line = strstr(err.message, "\n    ...") + 1, *caret = strchr(err.message, '^');
    const char *caret_line = strchr(line, '\n') + 1;
    assert_true(line[caret - caret_line] == 'l');
    tdbg_err_clear(&err);
    tdbg_strbuf_free(&sb);
}

/* --- names --- */

#define SITE(n, s, l, ...)                                                                         \
    {                                                                                              \
        .name = n, .op = "x", .unit = "", .stage = TDBG_STAGE_##s, .lane = l, .micro = l,          \
        __VA_ARGS__                                                                                \
    }
static const struct tdbg_site sites[] = {
    SITE("samples/x", SAMPLES, 0, .ndim = 2, .dims = {4, 6}),
    SITE("state/fc1.weight", STATE, -1, .ndim = 2, .dims = {3, 6}),
    SITE("state/bn.mean", STATE, -1, .ndim = 1, .dims = {3}),
    SITE("input/x", INPUT, 0, .ndim = 2, .dims = {4, 6}),
    SITE("input/x", INPUT, 1, .ndim = 2, .dims = {4, 6}),
    SITE("fwd/fc1", FWD, 0, .ndim = 2, .dims = {4, 3}),
    SITE("loss", LOSS, -1, .ndim = 0),
    SITE("bwd/fc1", BWD, 0, .ndim = 2, .dims = {4, 3}),
    SITE("grad/fc1.weight", GRAD, -1, .ndim = 2, .dims = {3, 6}),
    SITE("clip/norm", CLIP, -1, .ndim = 0),
    SITE("param/fc1.weight", PARAM, -1, .ndim = 2, .dims = {3, 6}),
    SITE("param/bn.mean", PARAM, -1, .ndim = 1, .dims = {3}),
    SITE("eval/loss", EVAL, -1, .ndim = 0),
    SITE("reduce_in/z", REDUCE_IN, 0, .ndim = 0),
    SITE("reduce_out/z", REDUCE_OUT, -1, .ndim = 0),
};
enum { N_SITES = sizeof sites / sizeof sites[0] };

/* The sites of the first term as "3 4 ". */
static void expect_sites(const char *text, const char *ids)
{
    struct tdbg_expr_fault fault;
    char found[200] = "";
    struct tdbg_expr *e = tdbg_expr_parse(text, &fault);
    assert_non_null(e);
    if (!tdbg_expr_bind(e, sites, N_SITES, 1, &fault))
        fail_msg("%s: col %d: %s", text, fault.column, fault.text);
    for (int32_t k = 0; k < e->term[0].n_sites; k++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%d ", e->term[0].sites[k]);
    assert_string_equal(found, ids);
    tdbg_expr_destroy(e);
}

static void expect_unbound(const char *text, enum tdbg_status status, int column, const char *words,
                           const char *hint)
{
    struct tdbg_expr_fault fault = {0};
    struct tdbg_expr *e = tdbg_expr_parse(text, &fault);
    assert_non_null(e);
    if (tdbg_expr_bind(e, sites, N_SITES, 1, &fault))
        fail_msg("'%s' is bound", text);
    if (fault.status != status || fault.column != column || !strstr(fault.text, words) ||
        !strstr(fault.hint, hint))
        fail_msg("'%s': %d, col %d: %s (hint: %s)", text, (int)fault.status, fault.column,
                 fault.text, fault.hint);
    tdbg_expr_destroy(e);
}

static void test_names(void **state)
{
    (void)state;
    expect_sites("mean(x[0:4,:])", "3 4 ");
    expect_sites("mean(samples/x)", "0 ");
    expect_sites("mean(fc1)", "5 ");
    expect_sites("mean(fc1.weight)", "10 ");
    expect_sites("mean(fc1*)", "5 ");
    expect_sites("mean(*/fc1.w?ight)", "1 8 10 ");
    expect_sites("nan grad/*", "8 ");
    expect_sites("nan", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 ");
    expect_sites("mean(norm)", "9 ");
    expect_sites("mean(loss)", "6 ");
    expect_sites("clip/norm > 1", "9 ");
    expect_sites("fwd/fc1[0,0] > 1", "5 ");
    expect_sites("update_ratio(fc1.weight)", "10 ");
    expect_sites("update_ratio(*)", "10 "); /* running statistics are not updated by a gradient */
    expect_unbound("mean(grad/fc1.wieght)", TDBG_NOT_FOUND, 6, "no site matches",
                   "did you mean 'grad/fc1.weight'?");
    expect_unbound("loss > 1 and nan(q*)", TDBG_NOT_FOUND, 18, "no site matches 'q*'", "lists all");
    expect_unbound("mean(z)", TDBG_USAGE, 6, "'z' is in several stages",
                   "reduce_in/z or reduce_out/z");
    expect_unbound("grad/fc1.weight > 1", TDBG_USAGE, 1, "is not one number",
                   "mean(grad/fc1.weight)");
    expect_unbound("input/x[0,0] > 1", TDBG_USAGE, 1, "several lanes", "");
    expect_unbound("mean(grad/fc1.weight[0,0,0])", TDBG_USAGE, 6, "3 indices", "");
    expect_unbound("mean(grad/fc1.weight[3])", TDBG_USAGE, 6, "index 1 takes nothing", "");
    expect_unbound("mean(grad/fc1.weight[:,4:2])", TDBG_USAGE, 6, "index 2 takes nothing", "");
    expect_unbound("update_ratio(fwd/fc1)", TDBG_USAGE, 14, "is of parameters", "");
    expect_unbound("update_ratio(param/bn.mean)", TDBG_USAGE, 14, "is of parameters", "");
    expect_unbound("update_ratio(fc1.weight[0])", TDBG_USAGE, 14, "takes no slice", "");
    expect_unbound("rankdiff(param/*) > 0", TDBG_CANNOT_JUDGE, 10, "this trace has one", "");
    struct tdbg_expr_fault fault;
    struct tdbg_expr *e = tdbg_expr_parse("rankdiff > 0 or rankdiff(fwd/*)", &fault);
    assert_non_null(e);
    assert_false(tdbg_expr_bind(e, sites, N_SITES, 2, &fault));
    assert_int_equal(fault.column, 26);
    assert_non_null(strstr(fault.text, "each lane of 'fwd/*' is one rank's"));
    assert_int_equal(e->term[0].n_sites, 9); /* those of the whole step */
    tdbg_expr_destroy(e);
}

/* --- values --- */

static struct tdbg_expr_gathered gather(const float *values, int64_t n)
{
    struct tdbg_expr_gathered g = {0};
    struct tdbg_stats stats;
    tdbg_stats_reference(values, TDBG_DTYPE_F32, n, &stats);
    tdbg_expr_gather_stats(&g, &stats, n);
    return g;
}

static void test_functions(void **state)
{
    (void)state;
    struct tdbg_stats stats;
    static const float a[] = {3, -4, 0, NAN, 0}, b[] = {12, -0.0f}, odd[] = {1, INFINITY};
    struct tdbg_expr_gathered g = gather(a, 5);
    tdbg_stats_reference(a, TDBG_DTYPE_F32, 5, &stats);
    assert_true(tdbg_expr_result(TDBG_EXPR_MEAN, &g) == stats.mean);
    assert_true(tdbg_expr_result(TDBG_EXPR_RMS, &g) == stats.rms);
    tdbg_stats_reference(b, TDBG_DTYPE_F32, 2, &stats);
    tdbg_expr_gather_stats(&g, &stats, 2);
    static const struct {
        enum tdbg_expr_function function;
        double value;
    } expected[] = {{TDBG_EXPR_MIN, -4},       {TDBG_EXPR_MAX, 12},  {TDBG_EXPR_MEAN, 11.0 / 6},
                    {TDBG_EXPR_ABSMAX, 12},    {TDBG_EXPR_NORM, 13}, {TDBG_EXPR_ZEROS, 3},
                    {TDBG_EXPR_NAN, 1},        {TDBG_EXPR_INF, 0},   {TDBG_EXPR_COUNT, 7},
                    {TDBG_EXPR_RMS, 5.3072277}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const double value = tdbg_expr_result(expected[i].function, &g);
        if (fabs(value - expected[i].value) > 1e-6)
            fail_msg("%s is %.9g", tdbg_expr_function_text(expected[i].function), value);
    }
    g = gather(odd, 2);
    assert_true(isinf(tdbg_expr_result(TDBG_EXPR_ABSMAX, &g)));
    assert_true(isinf(tdbg_expr_result(TDBG_EXPR_NORM, &g)));
    assert_true(tdbg_expr_result(TDBG_EXPR_MAX, &g) == 1);
    g = gather(a + 3, 1);
    assert_true(isnan(tdbg_expr_result(TDBG_EXPR_ABSMAX, &g)));
    static const float before[] = {3, 4}, after[] = {3, 4.5f};
    g = (struct tdbg_expr_gathered){0};
    tdbg_expr_gather_update(&g, before, after, TDBG_DTYPE_F32, 2);
    assert_true(tdbg_expr_result(TDBG_EXPR_UPDATE_RATIO, &g) == 0.1);
}

/* Slices against plain loops. */
static void test_slices(void **state)
{
    (void)state;
    float data[4 * 3 * 5], scratch[4 * 3 * 5];
    struct tdbg_site s = {.name = "x", .dtype = TDBG_DTYPE_F32, .ndim = 3, .dims = {4, 3, 5}};
    for (int i = 0; i < 60; i++)
        data[i] = (float)(1 << (i % 20)) + (float)i;
    static const struct {
        const char *text;
        int lo[3], hi[3];
    } cases[] = {{"mean(x[1:3,:,2])", {1, 0, 2}, {3, 3, 3}},
                 {"mean(x[-1])", {3, 0, 0}, {4, 3, 5}},
                 {"mean(x[:,1:2])", {0, 1, 0}, {4, 2, 5}},
                 {"mean(x[:-2,-2:,:100])", {0, 1, 0}, {2, 3, 5}},
                 {"mean(x[2,2,4])", {2, 2, 4}, {3, 3, 5}}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct tdbg_expr_fault fault;
        struct tdbg_expr *e = tdbg_expr_parse(cases[c].text, &fault);
        struct tdbg_expr_gathered g = {0};
        double sum = 0;
        int n = 0;
        assert_non_null(e);
        tdbg_expr_gather_slice(&g, &e->term[0], &s, data, 60, scratch);
        for (int i = cases[c].lo[0]; i < cases[c].hi[0]; i++)
            for (int j = cases[c].lo[1]; j < cases[c].hi[1]; j++)
                for (int k = cases[c].lo[2]; k < cases[c].hi[2]; k++, n++)
                    sum += (double)data[(i * 3 + j) * 5 + k];
        assert_int_equal(g.elems, n);
        assert_true(fabs(tdbg_expr_result(TDBG_EXPR_MEAN, &g) - sum / n) < 1e-9 * sum);
        tdbg_expr_destroy(e);
    }
    /* a short batch has fewer rows: what is not there is not read */
    struct tdbg_expr_fault fault;
    struct tdbg_expr *e = tdbg_expr_parse("mean(x[1:4])", &fault);
    struct tdbg_expr_gathered g = {0};
    tdbg_expr_gather_slice(&g, &e->term[0], &s, data, 30, scratch);
    assert_int_equal(g.elems, 15);
    g = (struct tdbg_expr_gathered){0};
    tdbg_expr_gather_slice(&g, &e->term[0], &s, data, 15, scratch);
    assert_int_equal(g.elems, 0);
    assert_true(isnan(tdbg_expr_result(TDBG_EXPR_MEAN, &g)));
    tdbg_expr_destroy(e);
}

static void test_diverges(void **state)
{
    (void)state;
    struct tdbg_diverges d = {0};
    for (int i = 0; i < 100; i++) /* falls to 1: healthy */
        assert_false(tdbg_diverges_add(&d, 1 + 9.0 / (1 + i)));
    int n = 0;
    while (!tdbg_diverges_add(&d, 3)) /* 20-step mean from 1.1 to above 1.65 */
        n++;
    assert_in_range(n, 4, 6);
    d = (struct tdbg_diverges){0};
    for (int i = 0; i < 20; i++)
        assert_false(tdbg_diverges_add(&d, 1));
    assert_false(tdbg_diverges_add(&d, 10.9)); /* mean 1.495 */
    assert_true(tdbg_diverges_add(&d, 1.2));   /* 1.505 */
    d = (struct tdbg_diverges){0};
    assert_true(tdbg_diverges_add(&d, (double)NAN));
    assert_true(tdbg_diverges_add(&d, (double)INFINITY));
    d = (struct tdbg_diverges){0};
    for (int i = 0; i < 40; i++) /* below 0 there is no ratio */
        assert_false(tdbg_diverges_add(&d, -100.0 + i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parses), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_raised_text),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_functions),
        cmocka_unit_test(test_slices), cmocka_unit_test(test_diverges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
