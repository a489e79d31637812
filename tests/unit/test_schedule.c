/* Learning-rate schedules against torch.optim.lr_scheduler (PyTorch 1.13, whose values are written
 * out below), the formula parser, and the host's exp, log, pow and cos against the C library. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/config.h"
#include "engine/schedule.h"
#include "kernels/host_math.h"

/* A schedule over `total` steps of lr 0.1; epochs have 4 steps. *config has to be destroyed. */
static struct tdbg_schedule read_schedule(const char *text, int64_t total,
                                          struct tdbg_config **config)
{
    char whole[512];
    struct tdbg_err err = {0};
    snprintf(whole, sizeof whole, "schedule = { %s };", text);
    if (tdbg_config_parse(whole, "test.cfg", NULL, 0, config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    const struct tdbg_cfg_node *group = tdbg_cfg_find(tdbg_config_root(*config), "schedule");
    tdbg_schedule_check_options(*config, group);
    if (tdbg_config_result(*config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    return tdbg_schedule_read(group, 0.1, total, 4);
}

enum { STEPS = 10 };

static const struct torch_case {
    const char *text;
    double lr[STEPS]; /* torch's value of step 0..9 */
} torch_cases[] = {
    {"kind = \"constant\";", {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}},
    /* StepLR(3, gamma=0.3) */
    {"kind = \"step\"; size = 3; gamma = 0.3;",
     {0.1, 0.1, 0.1, 0.03, 0.03, 0.03, 0.009, 0.009, 0.009, 0.0026999999999999997}},
    /* MultiStepLR([2, 5, 6], gamma=0.5) */
    {"kind = \"multistep\"; milestones = [2, 5, 6]; gamma = 0.5;",
     {0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.0125, 0.0125, 0.0125, 0.0125}},
    /* ExponentialLR(0.9) */
    {"kind = \"exponential\"; gamma = 0.9;",
     {0.1, 0.09000000000000001, 0.08100000000000002, 0.07290000000000002, 0.06561000000000002,
      0.05904900000000002, 0.05314410000000002, 0.04782969000000002, 0.043046721000000024,
      0.03874204890000002}},
    /* PolynomialLR(total_iters=8, power=2.0) */
    {"kind = \"polynomial\"; length = 8; power = 2.0;",
     {0.1, 0.0765625, 0.05625, 0.03906250000000001, 0.02500000000000001, 0.014062500000000006,
      0.006250000000000002, 0.0015625000000000005, 0.0, 0.0}},
    /* CosineAnnealingLR(T_max=10, eta_min=0.01) */
    {"kind = \"cosine\"; lr_min = 0.01;",
     {0.1, 0.09779754323328192, 0.09140576474687263, 0.08145033635316129, 0.06890576474687264,
      0.05500000000000001, 0.04109423525312737, 0.028549663646838717, 0.01859423525312737,
      0.012202456766718092}},
    /* OneCycleLR(0.1, total_steps=10) */
    {"kind = \"one_cycle\";",
     {0.0040000000000000036, 0.052000000000000005, 0.1, 0.09504846320134738, 0.0811745653949763,
      0.06112620219362893, 0.03887419780637107, 0.0188258346050237, 0.004951936798652629, 4e-07}},
    /* OneCycleLR(0.1, total_steps=10, pct_start=0.45, anneal_strategy='linear', div_factor=10,
     * final_div_factor=100) */
    {"kind = \"one_cycle\"; pct_start = 0.45; anneal = \"linear\"; div_factor = 10.0; "
     "final_div_factor = 100.0;",
     {0.01, 0.03571428571428572, 0.06142857142857144, 0.08714285714285715, 0.09091818181818183,
      0.07275454545454546, 0.0545909090909091, 0.03642727272727274, 0.018263636363636357,
      0.00010000000000000286}},
    /* LambdaLR(lambda s: 0.95 ** (s // 4)) */
    {"kind = \"expression\"; expression = \"0.95^epoch\";",
     {0.1, 0.1, 0.1, 0.1, 0.095, 0.095, 0.095, 0.095, 0.09025, 0.09025}},
    {"kind = \"exponential\"; gamma = 0.95; every = \"epoch\";",
     {0.1, 0.1, 0.1, 0.1, 0.095, 0.095, 0.095, 0.095, 0.09025, 0.09025}},
    /* SequentialLR([LinearLR(1/4, 1.0, total_iters=3), ExponentialLR(0.9)], milestones=[4]) */
    {"kind = \"exponential\"; gamma = 0.9; warmup = 4;",
     {0.025, 0.05, 0.07500000000000001, 0.1, 0.1, 0.09000000000000001, 0.08100000000000002,
      0.07290000000000002, 0.06561000000000002, 0.05904900000000002}},
};

static void test_equals_torch(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof torch_cases / sizeof *torch_cases; c++) {
        struct tdbg_config *config;
        struct tdbg_schedule s = read_schedule(torch_cases[c].text, STEPS, &config);
        for (int64_t t = 0; t < STEPS; t++) {
            double got = tdbg_schedule_lr(&s, t), want = torch_cases[c].lr[t];
            if (fabs(got - want) > 1e-15)
                fail_msg("%s step %lld: %.17g, PyTorch has %.17g", torch_cases[c].text,
                         (long long)t, got, want);
        }
        tdbg_config_destroy(config);
    }
}

static double lr_at(const char *text, int64_t total, int64_t step)
{
    struct tdbg_config *config;
    struct tdbg_schedule s = read_schedule(text, total, &config);
    double lr = tdbg_schedule_lr(&s, step);
    tdbg_config_destroy(config);
    return lr;
}

static void test_warmup_and_epochs(void **state)
{
    (void)state;
    /* counted in epochs, nothing moves inside of one, and the warmup goes on top */
    assert_true(lr_at("kind = \"step\"; size = 2; every = \"epoch\";", 40, 7) == 0.1);
    assert_true(fabs(lr_at("kind = \"step\"; size = 2; every = \"epoch\";", 40, 8) - 0.01) < 1e-17);
    assert_true(lr_at("kind = \"cosine\"; every = \"epoch\";", 40, 20) ==
                lr_at("kind = \"cosine\"; every = \"epoch\";", 40, 23));
    assert_true(fabs(lr_at("kind = \"cosine\"; every = \"epoch\";", 40, 20) - 0.05) < 1e-16);
    assert_true(
        fabs(lr_at("kind = \"exponential\"; gamma = 0.5; every = \"epoch\"; warmup = 10;", 40, 4) -
             0.1 * 0.5 * 5 / 10) < 1e-17);
    /* one_cycle warms up to where it begins */
    assert_true(fabs(lr_at("kind = \"one_cycle\"; warmup = 2;", 12, 0) - 0.002) < 1e-17);
    /* the formula sees the step itself, or the first of its epoch */
    assert_true(lr_at("kind = \"expression\"; expression = \"step\";", 9, 7) == 0.1 * 7);
    assert_true(lr_at("kind = \"expression\"; expression = \"step\"; every = \"epoch\";", 9, 7) ==
                0.1 * 4);
    /* a run shorter than its warmup, and steps behind the end */
    assert_true(lr_at("kind = \"cosine\"; warmup = 8;", 4, 3) == 0.1 * 4 / 8);
    assert_true(lr_at("kind = \"cosine\"; lr_min = 0.02;", 4, 100) == 0.02);
    assert_true(lr_at("kind = \"polynomial\"; lr_min = 0.02;", 4, 100) == 0.02);
    assert_true(lr_at("kind = \"one_cycle\";", 1, 0) > 0);
}

static double evaluate(const char *text)
{
    struct tdbg_expression e;
    struct tdbg_expression_fault fault;
    const struct tdbg_expression_values values = {
        .step = 7, .epoch = 3, .total_steps = 100, .lr = 0.25};
    if (!tdbg_expression_parse(text, &e, &fault))
        fail_msg("'%s', column %d: %s", text, fault.column, fault.text);
    return tdbg_expression_evaluate(&e, &values);
}

static void test_formulas(void **state)
{
    (void)state;
    assert_true(evaluate("1+2*3") == 7 && evaluate("(1+2)*3") == 9);
    assert_true(evaluate("8-2-1") == 5 && evaluate("8/2/2") == 2);
    assert_true(evaluate("2^3^2") == 512 && evaluate("-2^2") == -4 && evaluate("2^-1") == 0.5);
    assert_true(evaluate(" step + 10 * epoch ") == 37 && evaluate("total_steps*lr") == 25);
    assert_true(evaluate("min(3, max(1,2))") == 2 && evaluate("sqrt(16)") == 4);
    assert_true(evaluate("1.5e-1") == 0.15 && evaluate(".5") == 0.5 && evaluate("--1") == 1);
    assert_true(fabs(evaluate("exp(1)") - 2.718281828459045) < 1e-15);
    assert_true(fabs(evaluate("cos(1)") - 0.5403023058681398) < 1e-15);
    assert_true(fabs(evaluate("0.95^(step/2)") - 0.8356657801380584) < 1e-15);
}

static const struct {
    const char *text;
    int column;
    const char *says;
} faults[] = {
    {"", 1, "at the end"},
    {"1 +", 4, "at the end"},
    {"0.95^epch", 6, "unknown name 'epch'"},
    {"2 3", 3, "expected the end before '3'"},
    {"(1 + 2", 7, "expected ')' at the end"},
    {"max(1)", 6, "expected ',' before ')'"},
    {"min(1, 2, 3)", 9, "expected ')' before ','"},
    {"cos 1", 5, "expected '(' before '1'"},
    {"1..2", 1, "'1..2' is no number"},
    {"1e999", 1, "is no number"},
    {"2 * $", 5, "before '$'"},
};

static void test_formula_faults(void **state)
{
    (void)state;
    struct tdbg_expression e;
    struct tdbg_expression_fault fault;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        assert_false(tdbg_expression_parse(faults[i].text, &e, &fault));
        if (fault.column != faults[i].column || !strstr(fault.text, faults[i].says))
            fail_msg("'%s': column %d: %s", faults[i].text, fault.column, fault.text);
    }
    char deep[4096];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = 0;
    assert_false(tdbg_expression_parse(deep, &e, &fault));
    memset(deep, '-', sizeof deep - 1);
    assert_false(tdbg_expression_parse(deep, &e, &fault));
    for (size_t i = 0; i + 2 < sizeof deep; i += 2)
        memcpy(deep + i, "1+", 3);
    assert_false(tdbg_expression_parse(deep, &e, &fault));
    assert_non_null(strstr(fault.text, "too long"));
}

/* Whatever the text, the parser says where it is wrong or gives something that can be computed. */
static void test_random_formulas(void **state)
{
    (void)state;
    static const char *const pieces[] = {"1",   "2.5", "step", "epoch", "(",    ")", "+",
                                         "-",   "*",   "/",    "^",     ",",    " ", "min(",
                                         "cos", "exp", "lr",   "1e3",   "\xff", "."};
    enum { N_PIECES = sizeof pieces / sizeof *pieces };
    const struct tdbg_expression_values values = {.step = 7, .epoch = 3};
    uint64_t random = 1;
    int n_parsed = 0;
    for (int i = 0; i < 200000; i++) {
        char text[256] = "";
        for (int k = 0; k < 1 + i % 12; k++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            strcat(text, pieces[(random >> 40) % N_PIECES]);
        }
        struct tdbg_expression e;
        struct tdbg_expression_fault fault;
        if (tdbg_expression_parse(text, &e, &fault)) {
            tdbg_expression_evaluate(&e, &values);
            n_parsed++;
        } else if (fault.column < 1 || fault.column > (int)strlen(text) + 1 || !fault.text[0]) {
            fail_msg("'%s': column %d: %s", text, fault.column, fault.text);
        }
    }
    assert_true(n_parsed > 1000);
}

static void test_host_math(void **state)
{
    (void)state;
    for (int i = -7000; i <= 7000; i++) {
        double x = i * 0.1013, e = exp(x);
        assert_true(fabs(tdbg_host_exp(x) - e) <= 1e-15 * e);
        if (i > 0) {
            double l = log(x);
            assert_true(fabs(tdbg_host_log(x) - l) <= 1e-15 * fmax(1, fabs(l)));
        }
        assert_true(fabs(tdbg_host_cos(x) - cos(x)) <= 1e-15 * (1 + fabs(x)));
        double p = pow(1.0001 + fabs(x), 0.37);
        assert_true(fabs(tdbg_host_pow(1.0001 + fabs(x), 0.37) - p) <= 5e-15 * p);
    }
    assert_true(tdbg_host_exp(1000) == (double)INFINITY && tdbg_host_exp(-1000) == 0);
    assert_true(tdbg_host_exp(0) == 1 && tdbg_host_log(1) == 0 && tdbg_host_cos(0) == 1);
    assert_true(fabs(tdbg_host_exp(-740) / exp(-740) - 1) < 0.01); /* a denormal */
    assert_true(fabs(tdbg_host_log(0x1p-1060) + 1060 * log(2)) < 1e-12);
    assert_true(tdbg_host_log(0) == -(double)INFINITY && isnan(tdbg_host_log(-1)));
    assert_true(isnan(tdbg_host_exp((double)NAN)) && isnan(tdbg_host_log((double)NAN)));
    assert_true(tdbg_host_pow(2, 10) == 1024 && tdbg_host_pow(2, -2) == 0.25);
    assert_true(tdbg_host_pow(0, 0.5) == 0 && tdbg_host_pow(0, 0) == 1);
    assert_true(isnan(tdbg_host_pow(-2, 0.5)) && tdbg_host_pow(-2, 3) == -8);
    assert_true(isnan(tdbg_host_cos(1e300)));
}

static void check_fault(const char *text, const char *says)
{
    char whole[512];
    struct tdbg_config *config;
    struct tdbg_err err = {0};
    snprintf(whole, sizeof whole, "schedule = { %s };", text);
    assert_int_equal(tdbg_config_parse(whole, "test.cfg", NULL, 0, &config, &err), TDBG_OK);
    const struct tdbg_cfg_node *group = tdbg_cfg_find(tdbg_config_root(config), "schedule");
    tdbg_schedule_check_options(config, group);
    if (tdbg_config_n_diagnostics(config) == 0) {
        struct tdbg_schedule s = tdbg_schedule_read(group, 0.1, 100, 4);
        tdbg_schedule_check_values(config, group, &s);
    }
    assert_int_equal(tdbg_config_result(config, &err), TDBG_CONFIG);
    if (!strstr(err.message, says))
        fail_msg("%s: %s", text, err.message);
    tdbg_err_clear(&err);
    tdbg_config_destroy(config);
}

static void test_config_faults(void **state)
{
    (void)state;
    check_fault("kind = \"expression\"; expression = \"0.9^epch\";", "column 5: unknown name");
    check_fault("kind = \"expression\"; expression = \"1 - step / 50\";",
                "learning rate -0.002 at step 51");
    check_fault("kind = \"expression\"; expression = \"1 / step\";", "learning rate inf at step 0");
    check_fault("kind = \"multistep\"; milestones = [5, 3];", "3 stands behind 5");
    check_fault("kind = \"one_cycle\"; every = \"epoch\";", "one_cycle counts steps");
    check_fault("kind = \"step\";", "missing key");
    check_fault("kind = \"cosine\"; gamma = 0.5;", "unknown key 'gamma'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_torch),  cmocka_unit_test(test_warmup_and_epochs),
        cmocka_unit_test(test_formulas),      cmocka_unit_test(test_formula_faults),
        cmocka_unit_test(test_host_math),     cmocka_unit_test(test_random_formulas),
        cmocka_unit_test(test_config_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
