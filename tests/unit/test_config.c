/* Reading configs: libconfig text to nodes and back, syntax errors, --set, includes, hostile files.
 * Generated and mutated texts are in test_config_fuzz.c, option tables in test_option.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/strbuf.h"
#include "tests/unit/config_tree.h"

/* The text has to be refused with exactly this message. */
static void assert_refused(const char *text, const char *message)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_config_parse(text, "train.cfg", NULL, 0, &config, &err), TDBG_CONFIG);
    assert_null(config);
    assert_string_equal(err.message, message);
    tdbg_err_clear(&err);
}

static void assert_set_refused(const char *text, const char *set, const char *message)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    assert_int_equal(tdbg_config_parse(text, "train.cfg", &set, 1, &config, &err), TDBG_CONFIG);
    assert_string_equal(err.message, message);
    tdbg_err_clear(&err);
}

static const struct tdbg_cfg_node *at(const struct tdbg_config *config, const char *key)
{
    const struct tdbg_cfg_node *node = tdbg_cfg_find(tdbg_config_root(config), key);
    if (!node)
        fail_msg("no key '%s'", key);
    return node;
}

static void test_values(void **state)
{
    (void)state;
    struct tdbg_config *c = parse(example);
    const struct tdbg_cfg_node *root = tdbg_config_root(c);
    assert_int_equal(tdbg_cfg_int(root, "seed"), 42);
    assert_string_equal(tdbg_cfg_string(root, "data.kind"), "idx");
    assert_true(tdbg_cfg_bool(root, "data.shuffle"));
    assert_true(tdbg_cfg_float(root, "optimizer.lr") == 1e-3);
    assert_true(tdbg_cfg_float(root, "optimizer.eps") == 1.0); /* an integer literal */
    assert_int_equal(tdbg_cfg_int(root, "optimizer.big"), INT64_C(5000000000));
    assert_int_equal(tdbg_cfg_int(root, "optimizer.hex"), 255);
    assert_string_equal(tdbg_cfg_string(root, "text"), "ab");
    assert_string_equal(at(c, "freeze")->child[1]->s, "a\"b\\\n\x01");
    assert_int_equal(at(c, "model")->n_child, 3);
    assert_int_equal(at(c, "model")->type, TDBG_CFG_LIST);
    assert_int_equal(at(c, "optimizer.betas")->type, TDBG_CFG_LIST);
    assert_true(at(c, "optimizer.betas")->child[0]->f == 0.9);
    assert_int_equal(at(c, "empty")->n_child, 0);
    assert_null(tdbg_cfg_find(root, "optimizer.nothing"));
    assert_null(tdbg_cfg_find(root, "seed.x"));
    assert_string_equal(tdbg_config_source_text(c), example);
    tdbg_config_destroy(c);
    tdbg_config_destroy(NULL);
}

static void test_positions(void **state)
{
    (void)state;
    struct tdbg_config *c = parse("a = 1;\n\nb = ( \"x\"\n , \"y\"\n, { c = \"1\n2\"; d = 1; } );\n"
                                  "/* two\nlines */ e = [ 1,\n2 ];");
    assert_int_equal(at(c, "a")->line, 1);
    assert_string_equal(at(c, "a")->file, "train.cfg");
    assert_int_equal(at(c, "a")->origin, TDBG_CFG_FROM_FILE);
    const struct tdbg_cfg_node *b = at(c, "b");
    assert_int_equal(b->line, 3);
    assert_int_equal(b->child[2]->child[0]->line, 5);
    assert_int_equal(b->child[2]->child[1]->line, 6); /* after a string of two lines */
    assert_int_equal(at(c, "e")->line, 8);
    assert_int_equal(at(c, "e")->child[1]->line, 9);
    assert_int_equal(tdbg_config_root(c)->line, 0);
    tdbg_config_destroy(c);
}

static void test_round_trip_of_special_values(void **state)
{
    (void)state;
    static const char *const texts[] = {
        example,
        "",
        "a = -0.0; b = 4.9e-324; c = 1.7976931348623157e308; d = 0.1; e = 1e22; f = -1e-5;",
        "a = 9223372036854775807; b = -9223372036854775808; c = 2147483648; d = -2147483649;",
        "a = [1, 5000000000]; b = (1, 5000000000, 0.5, \"x\", true, (), {}, ((1), [2.0]));",
        "a = \"\\xff\\xc2\\x85 \xc3\xa9 \\t\\r\\f \x7f\"; b = \"\"; c = \"# no comment // \\\\\";",
        "a-b* = { c = { d = { e = ( { f = ( { g = 1; } ); } ); }; }; };",
        "\xef\xbb\xbf"
        "a = 1;\r\nb = 2;\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tdbg_config *c = parse(texts[i]);
        assert_round_trip(c);
        tdbg_config_destroy(c);
    }
    struct tdbg_config *c = parse(texts[2]);
    double zero = tdbg_cfg_float(tdbg_config_root(c), "a");
    assert_true(zero == 0 && signbit(zero));
    tdbg_config_destroy(c);
}

static void test_print(void **state)
{
    (void)state;
    static const char *const sets[] = {"optimizer.lr=0.5"};
    struct tdbg_config *c = parse_with("z = [1, 3000000000];\noptimizer = { lr = 1; };\n"
                                       "m = ( { a = 1; }, 2 );",
                                       sets, 1);
    char *text = tdbg_config_print(tdbg_config_root(c), false);
    assert_string_equal(text, "z = [1L, 3000000000L];\n"
                              "optimizer = {\n"
                              "    lr = 0.5;\n"
                              "};\n"
                              "m = (\n"
                              "    {\n"
                              "        a = 1;\n"
                              "    },\n"
                              "    2\n"
                              ");\n");
    free(text);
    text = tdbg_config_print(tdbg_config_root(c), true);
    assert_non_null(strstr(text, "z = [1L, 3000000000L];                      # train.cfg:1\n"));
    assert_non_null(strstr(text, "    lr = 0.5;                               # --set\n"));
    free(text);
    text = tdbg_config_print(at(c, "optimizer"), false); /* a group alone: its content */
    assert_string_equal(text, "lr = 0.5;\n");
    free(text);
    tdbg_config_destroy(c);
}

static void test_syntax_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *hint;
    } cases[] = {
        {"a = 1;\nlr 0.1;\n", "2: error: syntax error\n    lr 0.1;", "missing '=' after 'lr'"},
        {"a = 1 2;", "1: error: syntax error\n    a = 1 2;",
         "a key has one value; a list is written [1, 2]"},
        {"a = { b = 1;\n\nc = 2;\n", "1: error: syntax error\n    a = { b = 1;",
         "this '{' is never closed"},
        {"a = ( 1, 2 };", "1: error: syntax error\n    a = ( 1, 2 };",
         "'(' of line 1 is closed by '}' instead of ')'"},
        {"a = 1;\n}", "2: error: syntax error\n    }", "'}' closes nothing"},
        {"a = [1, 0.5];",
         "1: error: [ ] mixes integers and numbers with a point\n    a = [1, 0.5];",
         "write 1.0 instead of 1"},
        {"a = [0.5,\n 2];", "2: error: [ ] mixes integers and numbers with a point\n    2];",
         "write 2.0 instead of 2"},
        {"a = [1, \"x\"];", "1: error: [ ] mixes values of different types\n    a = [1, \"x\"];",
         "write ( ) for a list with values of different types"},
        {"a = [ (1) ];", "1: error: syntax error\n    a = [ (1) ];",
         "[ ] holds only plain values; write ( ) for a list of lists or groups"},
        {"a = (1, 2,\n);", "1: error: syntax error\n    a = (1, 2,", "remove the ',' before ')'"},
        {"a = (1 2);", "1: error: syntax error\n    a = (1 2);",
         "missing ',' before 2, or missing ')'"},
        {"a = (1; 2);", "1: error: syntax error\n    a = (1; 2);",
         "items of a list are separated by ',', not by ';'"},
        {"a = ( b = 1 );", "1: error: syntax error\n    a = ( b = 1 );",
         "settings in a list need braces: ( { b = ...; } )"},
        {"a = cuda;", "1: error: syntax error\n    a = cuda;", "strings need quotes: \"cuda\""},
        {"a = off;", "1: error: syntax error\n    a = off;",
         "write false, or \"off\" for a string"},
        {"a = None;", "1: error: syntax error\n    a = None;",
         "there is no None: leave the key out"},
        {"a = ;", "1: error: syntax error\n    a = ;", "missing value after '='"},
        {"a =\nb = 1;", "1: error: syntax error\n    a =", "missing value after '='"},
        {"= 1;", "1: error: syntax error\n    = 1;", "a key is missing before '='"},
        {"a = 1;;", "1: error: syntax error\n    a = 1;;", "there is no setting before this ';'"},
        {"a = 'x';", "1: error: syntax error\n    a = 'x';",
         "strings are written in double quotes"},
        {"\n a = \"x;\nb = 1;", "2: error: syntax error\n    a = \"x;",
         "the string that begins here is never closed"},
        {"a = 1;\n/* x", "2: error: syntax error\n    /* x",
         "the comment that begins here is never closed"},
        {"a = 1 $ 2", "1: error: syntax error\n    a = 1 $ 2", "'$' has no meaning here"},
        {"_a = 1", "1: error: syntax error\n    _a = 1", "a key starts with a letter"},
        {"a = 1;\nb = 2;\na = 3;\n", "3: error: duplicate key 'a'\n    a = 3;",
         "it is set on line 1 already"},
        {"a = nan;", "1: error: 'nan' is not a number\n    a = nan;",
         "NaN and infinity are not accepted as values"},
        {"a = [1.0, -Inf];", "1: error: '-Inf' is not a number\n    a = [1.0, -Inf];",
         "NaN and infinity are not accepted as values"},
        {"a = 1e999;", "1: error: number 1e999 is too large\n    a = 1e999;",
         "the largest number is 1.7976931348623157e+308"},
        {"a = 1e-999;", "1: error: number 1e-999 is too close to 0\n    a = 1e-999;",
         "the smallest number above 0 is 4.94e-324"},
        {"a = 99999999999999999999;",
         "1: error: integer 99999999999999999999 is too large\n    a = 99999999999999999999;",
         "integers are -9223372036854775808..9223372036854775807"},
        {"a = 0xFFFFFFFFFFFFFFFF;",
         "1: error: integer 0xFFFFFFFFFFFFFFFF is too large\n    a = 0xFFFFFFFFFFFFFFFF;",
         "integers are -9223372036854775808..9223372036854775807"},
        {"a = 256MiB;", "1: error: '256MiB' is not a number\n    a = 256MiB;",
         "a value with letters is a string and needs quotes"},
        {"a = .;", "1: error: '.' is not a number\n    a = .;",
         "a value with letters is a string and needs quotes"},
        {"a = 1; @include \"x\"", "1: error: syntax error\n    a = 1; @include \"x\"",
         "a line of its own is needed: @include \"other.cfg\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tdbg_strbuf message = {0};
        tdbg_strbuf_printf(&message, "train.cfg:%s\nhint: %s", cases[i].where, cases[i].hint);
        assert_refused(cases[i].text, message.text);
        tdbg_strbuf_free(&message);
    }
    assert_refused("a = \"\\q\";\n",
                   "train.cfg:1: error: unknown escape in a string\n    a = \"\\q\";\n"
                   "hint: escapes are \\\\ \\\" \\n \\t \\r \\f and \\x01 to \\xff; "
                   "a backslash is written \\\\");
}

static void test_sets(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "optimizer.lr=0.5",
        "data.path=/data/x-1.idx",
        "new.deep.key=true",
        "keep=256MiB",
        "list=[1, 2]",
        "model[0].out=7",
        "group={ a = 1; }",
        "seed=-3",
        "quoted=\"a b\"",
        "seed=7",
        "grad=every:10",
        "inject=({step=10;rank=2;site=\"reduce_in/fc1.weight\";kind=\"bitflip\";element=17;})",
    };
    struct tdbg_config *c = parse_with("seed = 1;\noptimizer = { lr = 1; kind = \"sgd\"; };\n"
                                       "model = ( { op = \"linear\"; out = 3; } );\n",
                                       sets, (int)(sizeof sets / sizeof sets[0]));
    const struct tdbg_cfg_node *root = tdbg_config_root(c);
    assert_true(tdbg_cfg_float(root, "optimizer.lr") == 0.5);
    assert_int_equal(at(c, "optimizer.lr")->origin, TDBG_CFG_FROM_SET);
    assert_int_equal(at(c, "optimizer.lr")->line, 0);
    assert_string_equal(at(c, "optimizer.lr")->file, "--set");
    assert_int_equal(at(c, "optimizer.kind")->origin, TDBG_CFG_FROM_FILE);
    assert_string_equal(tdbg_cfg_string(root, "data.path"), "/data/x-1.idx");
    assert_true(tdbg_cfg_bool(root, "new.deep.key"));
    assert_int_equal(at(c, "new.deep")->origin, TDBG_CFG_FROM_SET);
    assert_string_equal(tdbg_cfg_string(root, "keep"), "256MiB");
    assert_string_equal(tdbg_cfg_string(root, "grad"), "every:10");
    assert_int_equal(at(c, "list")->n_child, 2);
    assert_int_equal(tdbg_cfg_int(at(c, "model")->child[0], "out"), 7);
    assert_int_equal(tdbg_cfg_int(root, "group.a"), 1);
    assert_int_equal(tdbg_cfg_int(root, "seed"), 7); /* the later one wins */
    assert_string_equal(tdbg_cfg_string(root, "quoted"), "a b");
    assert_int_equal(tdbg_cfg_int(at(c, "inject")->child[0], "element"), 17);
    assert_string_equal(root->child[0]->key, "seed"); /* replaced in its place */
    assert_round_trip(c);
    tdbg_config_destroy(c);
}

static void test_set_of_run_length(void **state)
{
    (void)state;
    const char *const epochs[] = {"epochs=3"}, *const both[] = {"epochs=3", "steps=9"};
    struct tdbg_config *c = parse_with("steps = 400;", epochs, 1);
    assert_null(tdbg_cfg_find(tdbg_config_root(c), "steps"));
    assert_int_equal(tdbg_cfg_int(tdbg_config_root(c), "epochs"), 3);
    tdbg_config_destroy(c);
    c = parse_with("steps = 400; a = { steps = 1; };", both, 2); /* the owner reports this */
    assert_int_equal(tdbg_cfg_int(tdbg_config_root(c), "epochs"), 3);
    assert_int_equal(tdbg_cfg_int(tdbg_config_root(c), "steps"), 9);
    assert_int_equal(tdbg_cfg_int(tdbg_config_root(c), "a.steps"), 1);
    tdbg_config_destroy(c);
}

static void test_set_errors(void **state)
{
    (void)state;
    static const char file[] = "seed = 1; model = ( { op = \"x\"; } );";
    static const char quotes[] = "--set a: error: syntax error\nhint: a string with other "
                                 "characters than letters, digits and _./:- needs quotes: "
                                 "--set 'key=\"value\"'";
    assert_set_refused(file, "seed",
                       "--set seed: error: there is no '='\nhint: write --set key=value");
    assert_set_refused(file, "=1",
                       "--set : error: there is no key before '='\nhint: write --set key=value");
    assert_set_refused(file, "seed=",
                       "--set seed: error: there is no value after '='\n"
                       "hint: an empty string is written '\"\"'");
    assert_set_refused(file, "seed.x=1",
                       "--set seed.x: error: what stands before 'x' is not a group");
    assert_set_refused(file, "9x=1",
                       "--set 9x: error: this is not a key\n"
                       "hint: keys look like optimizer.lr or model[0].out");
    assert_set_refused(file, "a..b=1",
                       "--set a..b: error: this is not a key\n"
                       "hint: keys look like optimizer.lr or model[0].out");
    assert_set_refused(file, "model[1].op=1",
                       "--set model[1].op: error: there is no item 1: the "
                       "list has 1\nhint: items count from 0");
    assert_set_refused(file, "seed[0]=1", "--set seed[0]: error: an index needs a list");
    assert_set_refused(file, "seed=1e999",
                       "--set seed: error: number 1e999 is too large\n"
                       "hint: the largest number is 1.7976931348623157e+308");
    assert_set_refused(file, "a=b c", quotes);
    assert_set_refused(file, "a=1; b=2", quotes);
    assert_set_refused(file, "a=[1, 0.5]",
                       "--set a: error: [ ] mixes integers and numbers with a point\n"
                       "hint: write 1.0 instead of 1");
    assert_set_refused(file, "a={b=1",
                       "--set a: error: syntax error\n"
                       "hint: this '{' is never closed");
    assert_set_refused(file, "a\033[31m=1",
                       "--set a?[31m: error: this is not a key\n"
                       "hint: keys look like optimizer.lr or model[0].out");
    assert_set_refused(file, "a=\n@include \"x\"", "--set a: error: @include works in files only");
}

/* A folder of its own for each test that needs files. */
static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tdbg_test_config_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"main.cfg", "a.cfg", "b.cfg", "sub/c.cfg", "sub"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove(path_of(names[i]));
    return rmdir(folder);
}

static void write_bytes(const char *name, const char *bytes, size_t n_bytes)
{
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n_bytes, f), n_bytes);
    assert_int_equal(fclose(f), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

/* Loading main.cfg has to fail with this message, where every % stands for the folder. */
static void assert_load_refused(const char *name, const char *message)
{
    struct tdbg_config *config = NULL;
    struct tdbg_err err = {0};
    struct tdbg_strbuf full = {0};
    for (const char *p = message; *p; p++) {
        if (*p == '%')
            tdbg_strbuf_puts(&full, folder);
        else
            tdbg_strbuf_putc(&full, *p);
    }
    assert_int_equal(tdbg_config_load(path_of(name), NULL, 0, &config, &err), TDBG_CONFIG);
    assert_string_equal(err.message, full.text);
    tdbg_err_clear(&err);
    tdbg_strbuf_free(&full);
}

static void test_include(void **state)
{
    (void)state;
    struct tdbg_config *c = NULL;
    struct tdbg_err err = {0};
    assert_int_equal(mkdir(path_of("sub"), 0700), 0);
    write_text("main.cfg", "a = 1;\n@include \"a.cfg\" z = 9;\n# @include \"no.cfg\"\n"
                           "b = { @include = 1; };");
    assert_load_refused("main.cfg", "%/main.cfg:2: error: cannot read %/a.cfg: "
                                    "No such file or directory\n    @include \"a.cfg\" z = 9;");
    write_text("main.cfg", "a = 1;\n  @include \"a.cfg\" z = 9;\n# @include \"no.cfg\"\n"
                           "b = {\n@include \"sub/c.cfg\"\n};\ns = \"\n@include \\\"x\\\"\";\n");
    write_text("a.cfg", "x = 1;\ny = \"data.idx\"; # no new line at the end");
    write_text("sub/c.cfg", "\n\nc = 3;\n@include \"../b.cfg\"\n");
    write_text("b.cfg", "d = 4;");
    assert_int_equal(tdbg_config_load(path_of("main.cfg"), NULL, 0, &c, &err), TDBG_OK);
    const struct tdbg_cfg_node *root = tdbg_config_root(c);
    assert_int_equal(tdbg_cfg_int(root, "x"), 1);
    assert_int_equal(at(c, "z")->line, 2);
    assert_string_equal(at(c, "z")->file, path_of("main.cfg"));
    assert_int_equal(at(c, "y")->line, 2);
    assert_string_equal(at(c, "y")->file, path_of("a.cfg"));
    assert_int_equal(at(c, "b.c")->line, 3);
    assert_int_equal(tdbg_cfg_int(root, "b.d"), 4);
    char *path = tdbg_cfg_path(c, root, "y"); /* relative to the main file, wherever it is set */
    assert_string_equal(path, path_of("data.idx"));
    free(path);
    tdbg_config_destroy(c);

    write_text("a.cfg", "x = 1;\na = 2;");
    assert_load_refused("main.cfg", "%/a.cfg:2: error: duplicate key 'a'\n    a = 2;\n"
                                    "hint: it is set at %/main.cfg:1 already");
    write_text("a.cfg", "@include \"a.cfg\"\n");
    assert_load_refused("main.cfg", "%/a.cfg:1: error: files include each other too deep (at most "
                                    "10 levels)\n    @include \"a.cfg\"");
    write_text("a.cfg", "@include \"sub\"\n");
    assert_load_refused("main.cfg", "%/a.cfg:1: error: cannot read %/sub: Is a directory\n"
                                    "    @include \"sub\"");
}

static void test_hostile_files(void **state)
{
    (void)state;
    assert_load_refused("none.cfg", "cannot read %/none.cfg: No such file or directory");
    assert_load_refused("", "cannot read %/: Is a directory");
    write_bytes("main.cfg", "a = 1;\nb\0c", 10);
    assert_load_refused("main.cfg", "%/main.cfg:2: error: the file holds a zero byte: it is not a "
                                    "text file\n    b");
    write_text("main.cfg", "a = 1;\nb = \"\xff\";");
    assert_load_refused("main.cfg", "%/main.cfg:2: error: the file is not UTF-8 text\n"
                                    "    b = \"?\";");
    write_text("main.cfg", "a = \033[31m1;");
    assert_load_refused("main.cfg", "%/main.cfg:1: error: syntax error\n    a = ?[31m1;\n"
                                    "hint: a control character has no place here");
    size_t n = 16 * 1024 * 1024 + 1;
    char *big = malloc(n);
    assert_non_null(big);
    memset(big, ' ', n);
    write_bytes("main.cfg", big, n);
    assert_load_refused("main.cfg", "cannot read %/main.cfg: larger than 16 MiB");
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_round_trip_of_special_values),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_set_of_run_length),
        cmocka_unit_test(test_set_errors),
        cmocka_unit_test_setup_teardown(test_include, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_hostile_files, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
