/* Checking configs against option tables: every kind of fault with its exact message, defaults,
 * order, and a corpus of misspelled keys. Reading texts is tested in test_config.c. */
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
#include "base/strbuf.h"

static const struct tdbg_option run_options[] = {
    {"seed", TDBG_OPT_INT, "", 0, 0x1p63, NULL, "0", 0, "Seed of all random numbers."},
    {"steps", TDBG_OPT_INT, "steps", 1, 1000000, NULL, NULL, 0, "Length of the run."},
    {"freeze", TDBG_OPT_GLOBS, "", 0, 0, NULL, "[]", 0, "Parameters that stay as they are."},
    {"data.path", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Where the samples are."},
    {"data.batch", TDBG_OPT_INT, "samples", 1, 4096, NULL, "64", 0, "Global batch of a step."},
    {"data.shuffle", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "New order every epoch."},
    {"model", TDBG_OPT_LIST, "", 0, 0, NULL, NULL, 0, "Layers in order."},
    {"stages", TDBG_OPT_GROUP, "", 0, 0, NULL, NULL, 0, "What is stored."},
    {"record.keyframe", TDBG_OPT_INT_OR_SIZE, "steps", 1, 1e6, NULL, "50", 0, "Distance."},
};

static const struct tdbg_option optimizer_options[] = {
    {"optimizer.kind", TDBG_OPT_ENUM, "", 0, 0, "sgd|adam|adamw", "\"sgd\"", 0, "Update rule."},
    {"optimizer.lr", TDBG_OPT_FLOAT, "", 0, INFINITY, NULL, NULL,
     TDBG_OPT_REQUIRED | TDBG_OPT_ABOVE_MIN, "Learning rate of the first step."},
    {"optimizer.learning_rate_decay", TDBG_OPT_FLOAT, "", 0, 0, NULL, NULL, 0, "Decay."},
    {"optimizer.betas", TDBG_OPT_FLOATS, "", 0, 1, NULL, "[0.9, 0.999]", 0, "Decay rates."},
    {"optimizer.milestones", TDBG_OPT_INTS, "steps", 0, 1e9, NULL, NULL, 0, "When to drop."},
    {"optimizer.comm.timeout_s", TDBG_OPT_FLOAT, "s", 0, 3600, NULL, "60", 0, "Patience."},
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct tdbg_option_table tables[] = {
    {run_options, COUNT(run_options)},
    {optimizer_options, COUNT(optimizer_options)},
};

static struct tdbg_config *parse(const char *text, const char *const *sets, int n_sets)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    if (tdbg_config_parse(text, "train.cfg", sets, n_sets, &config, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    return config;
}

static struct tdbg_config *check(const char *text, const char *const *sets, int n_sets)
{
    struct tdbg_config *config = parse(text, sets, n_sets);
    int n = tdbg_config_check(config, tdbg_config_root(config), tables, 2, NULL);
    assert_int_equal(n, tdbg_config_n_diagnostics(config));
    return config;
}

/* All messages of the config; destroys it. */
static void assert_messages(struct tdbg_config *config, const char *expected)
{
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_config_result(config, &err), TDBG_CONFIG);
    assert_string_equal(err.message, expected);
    tdbg_err_clear(&err);
    tdbg_config_destroy(config);
}

static void test_defaults(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_config *c = check("optimizer = { lr = 1; };\n", NULL, 0);
    const struct tdbg_cfg_node *root = tdbg_config_root(c);
    assert_int_equal(tdbg_config_result(c, &err), TDBG_OK);
    assert_null(err.message);
    assert_true(tdbg_cfg_float(root, "optimizer.lr") == 1);
    assert_int_equal(tdbg_cfg_int(root, "seed"), 0);
    assert_true(tdbg_cfg_bool(root, "data.shuffle"));
    assert_true(tdbg_cfg_float(root, "optimizer.comm.timeout_s") == 60);
    assert_int_equal(tdbg_cfg_find(root, "optimizer.betas")->n_child, 2);
    assert_int_equal(tdbg_cfg_find(root, "optimizer.betas")->origin, TDBG_CFG_FROM_DEFAULT);
    assert_int_equal(tdbg_cfg_find(root, "optimizer")->origin, TDBG_CFG_FROM_FILE);
    assert_int_equal(tdbg_cfg_find(root, "data")->origin, TDBG_CFG_FROM_DEFAULT);
    assert_null(tdbg_cfg_find(root, "steps")); /* no default */
    assert_null(tdbg_cfg_find(root, "stages"));
    char *text = tdbg_config_print(root, true);
    assert_string_equal(text, "optimizer = {                               # train.cfg:1\n"
                              "    lr = 1;                                 # train.cfg:1\n"
                              "    kind = \"sgd\";                           # default\n"
                              "    betas = [0.9, 0.999];                   # default\n"
                              "    comm = {                                # default\n"
                              "        timeout_s = 60;                     # default\n"
                              "    };\n"
                              "};\n"
                              "seed = 0;                                   # default\n"
                              "freeze = [];                                # default\n"
                              "data = {                                    # default\n"
                              "    batch = 64;                             # default\n"
                              "    shuffle = true;                         # default\n"
                              "};\n"
                              "record = {                                  # default\n"
                              "    keyframe = 50;                          # default\n"
                              "};\n");
    /* A second check finds everything in place. */
    assert_int_equal(tdbg_config_check(c, root, tables, 2, NULL), 0);
    char *again = tdbg_config_print(root, true);
    assert_string_equal(again, text);
    free(again);
    free(text);
    tdbg_config_destroy(c);
}

static void test_good_values(void **state)
{
    (void)state;
    static const char *const sets[] = {"record.keyframe=256MiB", "seed=9223372036854775807"};
    struct tdbg_config *c = check("optimizer = { lr = 0.1; betas = (); kind = \"adamw\";\n"
                                  "milestones = [1, 2]; };\n"
                                  "model = ( { anything = 1; }, 2 ); stages = { x = \"y\"; };\n"
                                  "freeze = (\"a\"); steps = 1000000; data = { path = \"d\"; };",
                                  sets, 2);
    struct tdbg_err err = {0};
    if (tdbg_config_result(c, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    char *path = tdbg_cfg_path(c, tdbg_config_root(c), "data.path");
    assert_string_equal(path, "d");
    free(path);
    tdbg_config_remove(c, "model");
    tdbg_config_remove(c, "nothing");
    assert_null(tdbg_cfg_find(tdbg_config_root(c), "model"));
    assert_non_null(tdbg_cfg_find(tdbg_config_root(c), "stages"));
    tdbg_config_destroy(c);
}

static void test_wrong_values(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message, *hint;
    } cases[] = {
        {"seed = \"x\";", "'seed' wants an integer (0..9223372036854775807), not the string \"x\"",
         NULL},
        {"seed = \"12\";",
         "'seed' wants an integer (0..9223372036854775807), not the string \"12\"",
         "write it without quotes: 12"},
        {"seed = -1;", "'seed' is -1, but must be 0..9223372036854775807", NULL},
        {"steps = 4.0;", "'steps' wants an integer (1..1000000 steps), not the number 4.0",
         "write 4, without the point"},
        {"steps = 1000001;", "'steps' is 1000001, but must be 1..1000000 steps", NULL},
        {"data = { batch = 0; };", "'data.batch' is 0, but must be 1..4096 samples", NULL},
        {"data = 3;", "'data' wants a group { ... }, not the integer 3", NULL},
        {"data = { shuffle = 1; };", "'data.shuffle' wants true or false, not the integer 1",
         "write true or false, without quotes"},
        {"data = { path = 3; };", "'data.path' wants a path in quotes, not the integer 3",
         "write it in quotes"},
        {"model = { op = 1; };", "'model' wants a list ( ... ), not a group", NULL},
        {"stages = 3;", "'stages' wants a group { ... }, not the integer 3", NULL},
        {"freeze = \"a\";", "'freeze' wants a list of strings, not the string \"a\"",
         "write a list with one item: [ ... ]"},
        {"freeze = [1];", "'freeze[0]' wants a string, not the integer 1", "write it in quotes"},
        {"record = { keyframe = \"256 monkeys\"; };",
         "'record.keyframe' wants an integer or a size like \"256MiB\" (1..1000000 steps), not "
         "the string \"256 monkeys\"",
         NULL},
        {"record = { keyframe = 0; };", "'record.keyframe' is 0, but must be 1..1000000 steps",
         NULL},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        struct tdbg_strbuf text = {0}, expected = {0};
        tdbg_strbuf_printf(&text, "optimizer = { lr = 1; };\n   %s\n", cases[i].line);
        tdbg_strbuf_printf(&expected, "train.cfg:2: error: %s\n    %s", cases[i].message,
                           cases[i].line);
        if (cases[i].hint)
            tdbg_strbuf_printf(&expected, "\nhint: %s", cases[i].hint);
        assert_messages(check(text.text, NULL, 0), expected.text);
        tdbg_strbuf_free(&text);
        tdbg_strbuf_free(&expected);
    }
}

static void test_wrong_optimizer_values(void **state)
{
    (void)state;
    assert_messages(check("optimizer = {\nlr = 0;\nkind = \"sdg\";\nbetas = [0.5,\n 1.5];\n"
                          "milestones = [1.5]; comm = { timeout_s = \"nan\"; };\n};",
                          NULL, 0),
                    "train.cfg:2: error: 'optimizer.lr' is 0, but must be > 0\n"
                    "    lr = 0;\n"
                    "train.cfg:3: error: 'optimizer.kind' is \"sdg\", but must be one of \"sgd\", "
                    "\"adam\", \"adamw\"\n"
                    "    kind = \"sdg\";\n"
                    "hint: did you mean \"sgd\"?\n"
                    "train.cfg:5: error: 'optimizer.betas[1]' is 1.5, but must be 0..1\n"
                    "    1.5];\n"
                    "train.cfg:6: error: 'optimizer.milestones[0]' wants an integer "
                    "(0..1000000000 steps), not the number 1.5\n"
                    "    milestones = [1.5]; comm = { timeout_s = \"nan\"; };\n"
                    "train.cfg:6: error: 'optimizer.comm.timeout_s' wants a number (0..3600 s), "
                    "not the string \"nan\"\n"
                    "    milestones = [1.5]; comm = { timeout_s = \"nan\"; };\n"
                    "hint: NaN and infinity are not accepted as values");
    assert_messages(check("optimizer = { lr = 1; kind = 3; };", NULL, 0),
                    "train.cfg:1: error: 'optimizer.kind' wants one of \"sgd\", \"adam\", "
                    "\"adamw\", not the integer 3\n"
                    "    optimizer = { lr = 1; kind = 3; };");
}

static void test_missing_keys(void **state)
{
    (void)state;
    assert_messages(check("steps = 1;\n\noptimizer = {\n};\n", NULL, 0),
                    "train.cfg:3: error: missing key 'optimizer.lr' (float, > 0)\n"
                    "    optimizer = {\n"
                    "hint: Learning rate of the first step.");
    assert_messages(check("steps = 1;\n", NULL, 0),
                    "train.cfg: error: missing key 'optimizer.lr' (float, > 0)\n"
                    "hint: Learning rate of the first step.");
    /* Another group than the root, named by its owner. */
    static const struct tdbg_option options[] = {
        {"out", TDBG_OPT_INT, "features", 1, 1e6, NULL, NULL, TDBG_OPT_REQUIRED, "Width."},
        {"init", TDBG_OPT_ENUM, "", 0, 0, "zero|one", NULL, TDBG_OPT_REQUIRED, NULL},
        {"op", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, 0, NULL},
    };
    const struct tdbg_option_table table = {options, COUNT(options)};
    struct tdbg_config *c = parse("model = (\n{ op = \"linear\"; }, 3 );", NULL, 0);
    const struct tdbg_cfg_node *model = tdbg_cfg_find(tdbg_config_root(c), "model");
    assert_int_equal(tdbg_config_check(c, model->child[0], &table, 1, "model[0] (linear)"), 2);
    assert_int_equal(tdbg_config_check(c, model->child[1], &table, 1, "model[1]"), 1);
    assert_messages(c, "train.cfg:2: error: model[0] (linear): missing key 'out' (integer, "
                       "1..1000000 features)\n"
                       "    { op = \"linear\"; }, 3 );\n"
                       "hint: Width.\n"
                       "train.cfg:2: error: model[0] (linear): missing key 'init' (one of "
                       "\"zero\", \"one\")\n"
                       "    { op = \"linear\"; }, 3 );\n"
                       "train.cfg:2: error: model[1] has to be a group { ... }\n"
                       "    { op = \"linear\"; }, 3 );");
}

static void test_order_and_origins(void **state)
{
    (void)state;
    static const char *const sets[] = {"optimizer.lrr=1", "seed=x", "model[0].a=1"};
    struct tdbg_config *c =
        parse("model = ( { } );\nlr = 0.1;\n\n  learing_rate_decay = 0.1;\t\n", sets, 3);
    const struct tdbg_cfg_node *root = tdbg_config_root(c);
    const struct tdbg_cfg_node *item = tdbg_cfg_find(root, "model")->child[0];
    tdbg_config_report(c, item->child[0], NULL, "item of %d", 7);
    tdbg_config_note(c, tdbg_cfg_find(root, "model"), "fine", "a note");
    tdbg_config_check(c, root, tables, 2, NULL);
    tdbg_config_report(c, tdbg_cfg_find(root, "data.batch"), NULL, "at a default");
    assert_int_equal(tdbg_config_n_diagnostics(c), 7);
    assert_messages(c, "train.cfg: error: at a default\n"
                       "train.cfg:1: note: a note\n"
                       "    model = ( { } );\n"
                       "hint: fine\n"
                       "train.cfg:2: error: unknown key 'lr'\n"
                       "    lr = 0.1;\n"
                       "hint: did you mean 'optimizer.lr'?\n"
                       "train.cfg:4: error: unknown key 'learing_rate_decay'\n"
                       "    learing_rate_decay = 0.1;\n"
                       "hint: did you mean 'optimizer.learning_rate_decay'?\n"
                       "--set model[0].a: error: item of 7\n"
                       "--set optimizer.lrr: error: unknown key 'optimizer.lrr'\n"
                       "hint: did you mean 'optimizer.lr'?\n"
                       "--set seed: error: 'seed' wants an integer (0..9223372036854775807), not "
                       "the string \"x\"\n"
                       "--set optimizer: error: missing key 'optimizer.lr' (float, > 0)\n"
                       "hint: Learning rate of the first step.");
}

static void test_notes_do_not_fail(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    struct tdbg_config *c = parse("a = 1;", NULL, 0);
    char *text = tdbg_config_messages(c);
    assert_string_equal(text, "");
    free(text);
    tdbg_config_note(c, NULL, NULL, "mind the gap");
    assert_int_equal(tdbg_config_result(c, &err), TDBG_OK);
    text = tdbg_config_messages(c);
    assert_string_equal(text, "train.cfg: note: mind the gap");
    free(text);
    tdbg_config_destroy(c);
}

/* Misspelled keys and what has to be suggested; NULL: nothing but the list of keys. */
static void test_misspelled_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key, *suggestion;
    } corpus[] = {
        {"sed", "seed"},
        {"Seed", "seed"},
        {"seeed", "seed"},
        {"esed", "seed"},
        {"step", "steps"},
        {"setps", "steps"},
        {"frezee", "freeze"},
        {"modle", "model"},
        {"models", "model"},
        {"layers", NULL},
        {"optimiser.lr", "optimizer"},
        {"optimizer.LR", "optimizer.lr"},
        {"optimizer.l", "optimizer.lr"},
        {"optimizer.lrate", NULL},
        {"optimizer.knid", "optimizer.kind"},
        {"optimizer.beta", "optimizer.betas"},
        {"optimizer.learing_rate_decay", "optimizer.learning_rate_decay"},
        {"optimizer.learning-rate-decay", "optimizer.learning_rate_decay"},
        {"optimizer.mile_stones", "optimizer.milestones"},
        {"optimizer.comm.timeout", "optimizer.comm.timeout_s"},
        {"optimizer.timeout_s", "optimizer.comm.timeout_s"},
        {"optimizer.batch", "data.batch"},
        {"optimizer.seed", "seed"},
        {"batch", "data.batch"},
        {"bacth", "data.batch"},
        {"keyframes", "record.keyframe"},
        {"data.shufle", "data.shuffle"},
        {"data.sed", "seed"},
        {"recrod.keyframe", "record"},
        {"x", NULL},
        {"*", NULL},
    };
    for (int i = 0; i < COUNT(corpus); i++) {
        struct tdbg_strbuf set = {0}, wanted = {0};
        tdbg_strbuf_printf(&set, "%s=1", corpus[i].key);
        tdbg_strbuf_printf(&wanted, "\nhint: did you mean '%s'?", corpus[i].suggestion);
        const char *const sets[] = {"optimizer.lr=1", set.text};
        struct tdbg_config *c = check("", sets, 2);
        char *text = tdbg_config_messages(c);
        assert_int_equal(tdbg_config_n_diagnostics(c), 1);
        assert_non_null(strstr(text, "error: unknown key '"));
        if (corpus[i].suggestion ? !strstr(text, wanted.text) : !!strstr(text, "did you mean"))
            fail_msg("%s: wanted %s, got: %s", corpus[i].key,
                     corpus[i].suggestion ? corpus[i].suggestion : "nothing", text);
        free(text);
        tdbg_config_destroy(c);
        tdbg_strbuf_free(&set);
        tdbg_strbuf_free(&wanted);
    }
}

static void test_suggest(void **state)
{
    (void)state;
    static const char *const words[] = {"status", NULL, "start", "", "stop", "replay"};
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_string_equal(tdbg_suggest("stauts", words, 6), "status"); /* a swap is one edit */
    assert_string_equal(tdbg_suggest("relpay", words, 6), "replay");
    assert_string_equal(tdbg_suggest("stp", words, 6), "stop");
    assert_null(tdbg_suggest("sta", words, 1)); /* three edits */
    assert_null(tdbg_suggest("", words, 6));
    assert_null(tdbg_suggest(longest, words, 6));
    assert_null(tdbg_suggest("stop", words, 0));
    assert_null(tdbg_suggest("x", (const char *const[]){"y"}, 1));
}

static void test_many_diagnostics(void **state)
{
    (void)state;
    struct tdbg_strbuf text = {0};
    struct tdbg_err err = {0};
    tdbg_strbuf_puts(&text, "optimizer = { lr = 1; };\n");
    for (int i = 0; i < 1000; i++)
        tdbg_strbuf_printf(&text, "bad%d = 1;\n", i);
    struct tdbg_config *c = check(text.text, NULL, 0);
    assert_int_equal(tdbg_config_n_diagnostics(c), 1000);
    assert_int_equal(tdbg_config_result(c, &err), TDBG_CONFIG);
    assert_non_null(strstr(err.message, "\nand 800 more errors"));
    tdbg_err_clear(&err);
    tdbg_config_destroy(c);
    tdbg_strbuf_free(&text);
}

static void test_sizes(void **state)
{
    (void)state;
    int64_t n = -1;
    assert_true(tdbg_cfg_size_bytes("256MiB", &n) && n == 256 << 20);
    assert_true(tdbg_cfg_size_bytes("0B", &n) && n == 0);
    assert_true(tdbg_cfg_size_bytes("2 KiB", &n) && n == 2048);
    assert_true(tdbg_cfg_size_bytes("8388607TiB", &n) && n == INT64_C(8388607) << 40);
    n = -1;
    static const char *const bad[] = {
        "", "MiB", "12", "-1MiB", "1MB", "1.5MiB", "8388608TiB", "9999999999999999999B", "1MiBx"};
    for (int i = 0; i < COUNT(bad); i++)
        assert_false(tdbg_cfg_size_bytes(bad[i], &n));
    assert_int_equal(n, -1);
}

static void test_help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    tdbg_option_print_help(tables, 2, out);
    fclose(out);
    assert_non_null(strstr(text, "seed (integer, 0..9223372036854775807, default 0)\n"
                                 "    Seed of all random numbers.\n"));
    assert_non_null(strstr(text, "data.batch (integer, 1..4096 samples, default 64)\n"));
    assert_non_null(strstr(text, "\n\noptimizer.kind (one of \"sgd\", \"adam\", \"adamw\", "
                                 "default \"sgd\")\n"));
    assert_non_null(strstr(text, "optimizer.lr (float, > 0, required)\n"));
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        assert_true(length <= 80);
        line += length + 1;
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_wrong_optimizer_values),
        cmocka_unit_test(test_missing_keys),
        cmocka_unit_test(test_order_and_origins),
        cmocka_unit_test(test_notes_do_not_fail),
        cmocka_unit_test(test_misspelled_keys),
        cmocka_unit_test(test_suggest),
        cmocka_unit_test(test_many_diagnostics),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
