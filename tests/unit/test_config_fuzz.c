/* Configs that nobody wrote: texts beyond the limits, random trees that have to survive printing
 * and parsing, and mutations of a good config that must never crash. Seeds are fixed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/philox.h"
#include "base/strbuf.h"
#include "tests/unit/config_tree.h"

static void test_hostile_texts(void **state)
{
    (void)state;
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_puts(&sb, "a = ");
    tdbg_strbuf_pad(&sb, '(', 200000);
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_config_parse(sb.text, "x", NULL, 0, &config, &err), TDBG_CONFIG);
    assert_non_null(strstr(err.message, "x:1: error: brackets are nested too deep (at most 64"));
    assert_true(strlen(err.message) < 400); /* the excerpt is cut */
    tdbg_err_clear(&err);
    tdbg_strbuf_free(&sb);
    for (int i = 0; i < 5000; i++)
        tdbg_strbuf_printf(&sb, "k%d=1;\n", i);
    assert_int_equal(tdbg_config_parse(sb.text, "x", NULL, 0, &config, &err), TDBG_CONFIG);
    assert_string_equal(err.message, "x:4097: error: too many keys in one group (at most 4096)\n"
                                     "    k4096=1;");
    tdbg_err_clear(&err);
    tdbg_strbuf_free(&sb);
    tdbg_strbuf_puts(&sb, "a = (");
    for (int i = 0; i < 600000; i++)
        tdbg_strbuf_puts(&sb, "1,");
    assert_int_equal(tdbg_config_parse(sb.text, "x", NULL, 0, &config, &err), TDBG_CONFIG);
    assert_non_null(strstr(err.message, "too many values"));
    tdbg_err_clear(&err);
    tdbg_strbuf_free(&sb);
    struct tdbg_config *c = parse("a = ((((((((((1))))))))));");
    static const char deep[] = "a[0][0][0][0][0][0][0][0]=1";
    tdbg_config_destroy(c);
    c = parse_with("a = ((((((((((1))))))))));", (const char *const[]){deep}, 1);
    assert_round_trip(c);
    tdbg_config_destroy(c);
}

/* A stream of random words for the two property tests: fixed seed, the same on every machine. */
struct random {
    uint64_t key, counter;
};

static uint32_t below(struct random *r, uint32_t n)
{
    return (uint32_t)tdbg_philox_below(r->key, &r->counter, n);
}

static double random_double(struct random *r)
{
    static const double special[] = {0.0,   -0.0,   1.0,  0.1,
                                     1e300, 5e-324, 1e-5, 123456789012345678.0};
    struct tdbg_philox_block b = tdbg_philox(r->key, r->counter++, 1);
    uint64_t bits = (uint64_t)b.word[0] << 32 | b.word[1];
    double d;
    memcpy(&d, &bits, sizeof d);
    return b.word[2] % 3 == 0 || !isfinite(d) ? special[b.word[3] % 8] : d;
}

static void put_random_value(struct random *r, struct tdbg_strbuf *sb, int depth)
{
    static const char *const ints[] = {"0", "-1", "2147483648", "-9223372036854775808", "0x7fL"};
    uint32_t kind = below(r, depth > 4 ? 4 : 7);
    int n = (int)below(r, 5);
    if (kind == 0) {
        tdbg_strbuf_puts(sb, ints[below(r, 5)]);
    } else if (kind == 1) {
        tdbg_strbuf_printf(sb, "%.17e", random_double(r));
    } else if (kind == 2) {
        tdbg_strbuf_puts(sb, below(r, 2) ? "true" : "False");
    } else if (kind == 3) {
        tdbg_strbuf_putc(sb, '"');
        for (int i = 0; i < n; i++)
            tdbg_strbuf_printf(sb, "\\x%02x\xc3\xa9 ", 1 + below(r, 255));
        tdbg_strbuf_putc(sb, '"');
    } else if (kind == 4) {
        tdbg_strbuf_putc(sb, '[');
        for (int i = 0; i < n; i++)
            tdbg_strbuf_printf(sb, "%s%.17e", i ? "," : "", random_double(r));
        tdbg_strbuf_putc(sb, ']');
    } else {
        tdbg_strbuf_putc(sb, kind == 5 ? '(' : '{');
        for (int i = 0; i < n; i++) {
            if (kind == 5 && i > 0)
                tdbg_strbuf_putc(sb, ',');
            if (kind == 6)
                tdbg_strbuf_printf(sb, "%c%d-_* = ", 'a' + (char)below(r, 26), i);
            put_random_value(r, sb, depth + 1);
            if (kind == 6)
                tdbg_strbuf_puts(sb, below(r, 2) ? ";" : "\n");
        }
        tdbg_strbuf_putc(sb, kind == 5 ? ')' : '}');
    }
}

static void test_round_trip_of_random_trees(void **state)
{
    (void)state;
    struct random r = {.key = tdbg_philox_key(1, TDBG_RANDOM_TEST, 0)};
    for (int i = 0; i < 300; i++) {
        struct tdbg_strbuf sb = {0};
        for (int k = 0; k < 6; k++) {
            tdbg_strbuf_printf(&sb, "key%d = ", k);
            put_random_value(&r, &sb, 0);
            tdbg_strbuf_puts(&sb, ";\n");
        }
        struct tdbg_config *c = parse(sb.text);
        assert_round_trip(c);
        tdbg_config_destroy(c);
        tdbg_strbuf_free(&sb);
    }
}

/* One to four edits: change, insert, delete, copy a piece. */
static char *mutate(struct random *r, const char *text)
{
    static const char letters[] = "={}()[];,\"\\#/*@.-+eE0129aTrue\n \t_\x01\xc3\xff$'xL";
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_puts(&sb, text);
    for (uint32_t edits = 1 + below(r, 4); edits > 0; edits--) {
        uint32_t n = (uint32_t)sb.n_bytes, where = below(r, n);
        char c = letters[below(r, sizeof letters - 1)];
        uint32_t kind = below(r, 4), from = below(r, n), length = below(r, 20);
        if (kind == 0) {
            sb.text[where] = c;
        } else if (kind == 1) {
            tdbg_strbuf_putc(&sb, ' ');
            memmove(sb.text + where + 1, sb.text + where, n - where);
            sb.text[where] = c;
        } else if (kind == 2) {
            length = length < n - where ? length : n - where - 1;
            memmove(sb.text + where, sb.text + where + length, n - where - length + 1);
            sb.n_bytes -= length;
        } else {
            for (uint32_t i = 0; i < length && where + i < n && from + i < n; i++)
                sb.text[where + i] = sb.text[from + i];
        }
    }
    return tdbg_strbuf_take(&sb);
}

static void test_mutated_texts(void **state)
{
    (void)state;
    static const struct tdbg_option options[] = {
        {.key = "seed", .type = TDBG_OPT_INT, .unit = "", .max = 100, .default_value = "1"},
        {.key = "data.kind", .type = TDBG_OPT_ENUM, .choices = "idx|npy", .unit = ""},
        {.key = "optimizer.lr", .type = TDBG_OPT_FLOAT, .unit = "", .flags = TDBG_OPT_REQUIRED},
        {.key = "optimizer.betas", .type = TDBG_OPT_FLOATS, .unit = "", .max = 1},
        {.key = "freeze", .type = TDBG_OPT_GLOBS, .unit = ""},
        {.key = "model", .type = TDBG_OPT_LIST, .unit = ""},
    };
    const struct tdbg_option_table table = {options, sizeof options / sizeof options[0]};
    struct random r = {.key = tdbg_philox_key(2, TDBG_RANDOM_TEST, 0)};
    int n_loaded = 0;
    for (int i = 0; i < 2000; i++) {
        char *text = mutate(&r, example);
        const char *set = text + below(&r, (uint32_t)strlen(text));
        struct tdbg_config *c = NULL;
        struct tdbg_err err = {0};
        if (tdbg_config_parse(text, "x", &set, i % 8 == 0, &c, &err) == TDBG_OK) {
            n_loaded++;
            tdbg_config_check(c, tdbg_config_root(c), &table, 1, NULL);
            assert_int_equal(tdbg_config_result(c, &err),
                             tdbg_config_n_diagnostics(c) ? TDBG_CONFIG : TDBG_OK);
            assert_round_trip(c);
        } else {
            assert_int_equal(err.status, TDBG_CONFIG);
            assert_non_null(strstr(err.message, "error: "));
        }
        tdbg_config_destroy(c);
        tdbg_err_clear(&err);
        free(text);
    }
    assert_true(n_loaded > 100); /* else the edits are too wild to test much */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_round_trip_of_random_trees),
        cmocka_unit_test(test_mutated_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
