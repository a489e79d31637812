/* Samples of tokens: on the input screen and main, and how they lie in rows (tui/tokens.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <cmocka.h>

#include "tests/screen/driver.h"
#include "tests/screen/fake_text.h"
#include "tui/tokens.h"

static struct driver d;

static int close_driver(void **state)
{
    (void)state;
    driver_close(&d);
    return 0;
}

static const char padded_bytes[] =
    "data = { kind = \"text\"; tokens = { kind = \"byte\"; pad = 0; }; };\n"
    "loss = { kind = \"cross_entropy\"; ignore_index = -100; };\n";
static const char padded[] = "data = { kind = \"npy\"; tokens = { pad = 0; }; };\n"
                             "loss = { kind = \"cross_entropy\"; ignore_index = -100; };\n"
                             "model = ( { op = \"attention\"; name = \"a\"; } );\n";
static const char causal[] =
    "data = { kind = \"text\"; tokens = { kind = \"char\"; }; };\n"
    "model = ( { op = \"embedding\"; name = \"e\"; }, { op = \"block\"; repeat = 2; body = ( "
    "{ op = \"residual\"; body = ( { op = \"attention\"; causal = true; } ); } ); } );\n";
static const char bytes[] =
    "data = { kind = \"text\"; tokens = { kind = \"byte\"; }; };\n"
    "model = ( { op = \"attention\"; causal = true; }, { op = \"attention\"; } );\n";

/* With a config that says what the samples are. */
static void open_with(enum fake_samples samples, int width, int height, bool ascii,
                      const char *keys)
{
    driver_close(&d);
    driver_open(&d,
                &(struct fake_wish){.samples = samples,
                                    .has_jobs = true,
                                    .config = samples == FAKE_TOKENS  ? padded_bytes
                                              : samples == FAKE_WORDS ? padded
                                              : samples == FAKE_BYTES ? bytes
                                                                      : causal},
                width, height, ascii);
    driver_press(&d, keys);
}

static void test_golden(void **state)
{
    static const struct {
        enum fake_samples samples;
        int width, height;
        bool ascii;
        const char *keys, *name;
    } screens[] = {
        {FAKE_CHARACTERS, 80, 24, true, "<F6>jj5l", "input-text-80x24"},
        {FAKE_CHARACTERS, 80, 24, false, "<F6>jj5l", "input-text-80x24-utf8"},
        {FAKE_CHARACTERS, 80, 24, true, "<F6><Enter>3j4l", "input-text-large"},
        {FAKE_CHARACTERS, 80, 24, false, "<F6><Enter>3j4l", "input-text-large-utf8"},
        {FAKE_CHARACTERS, 160, 50, false, "<F6>", "input-text-160x50-utf8"},
        {FAKE_CHARACTERS, 40, 10, true, "<F6>40l", "input-text-40x10"},
        {FAKE_CHARACTERS, 40, 10, false, "<F6><Enter>40l", "input-text-40x10-utf8"},
        {FAKE_CHARACTERS, 80, 24, false, "<F6>vj", "input-text-columns-utf8"},
        {FAKE_CHARACTERS, 80, 24, true, "<F6>vvj", "input-text-numbers"},
        {FAKE_CHARACTERS, 160, 50, false, "5n", "main-text-160x50-utf8"},
        {FAKE_BYTES, 80, 24, true, "<F6><Enter>", "input-bytes-large"},
        {FAKE_BYTES, 80, 24, false, "<F6><Enter>4l", "input-bytes-large-utf8"},
        {FAKE_WORDS, 80, 24, true, "<F6>jjj12l", "input-words-80x24"},
        {FAKE_WORDS, 80, 24, false, "<F6>jjj8l", "input-words-80x24-utf8"},
        {FAKE_WORDS, 80, 24, false, "<F6>j<Enter>30l", "input-words-large-utf8"},
        {FAKE_WORDS, 80, 24, true, "<F6>v<Enter>", "input-words-columns"},
        {FAKE_TOKENS, 80, 24, true, "<F6>jj", "input-tokens-80x24"},
        {FAKE_TOKENS, 80, 24, true, "<F6>4j<Enter>22l", "input-tokens-large"},
        {FAKE_TOKENS, 80, 24, true, "<F6>4j<Enter>v22l", "input-tokens-columns"},
        {FAKE_TOKENS, 40, 10, true, "<F6>jj<Enter>", "input-tokens-40x10"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++) {
        open_with(screens[i].samples, screens[i].width, screens[i].height, screens[i].ascii,
                  screens[i].keys);
        driver_golden(&d, screens[i].name);
    }
}

/* Without a vocabulary tokens are numbers, in two views. */
static void test_numbers(void **state)
{
    static const char config[] = "data = { kind = \"npy\"; tokens = { pad = 0; }; };\n";
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){.samples = FAKE_TOKENS, .config = config});
    driver_press(&d, "<F6>jj3l");
    driver_golden(&d, "input-numbers-of-tokens");
    assert_non_null(strstr(driver_row(&d, 2), "numbers"));
    driver_press(&d, "v");
    assert_non_null(strstr(driver_row(&d, 2), "tokens and targets"));
    driver_press(&d, "v");
    assert_int_equal(d.app.input.token_view, TDBG_TOKENS_TEXT);
}

/* The status says what is under the cursor. */
static const char *status(void)
{
    static char both[1024];
    snprintf(both, sizeof both, "%.500s", driver_row(&d, d.app.grid.height - 4));
    strncat(both, driver_row(&d, d.app.grid.height - 3), 500);
    return both;
}

static void expect_status(const char *words)
{
    if (!strstr(status(), words))
        fail_msg("the status is '%s', without '%s'", status(), words);
}

static void test_moves(void **state)
{
    (void)state;
    open_with(FAKE_CHARACTERS, 80, 24, false, "<F6>");
    expect_status("token 0 of 96  id 0 'T'  target 1 'h'  counts in the loss  attends to 0..0");
    driver_press(&d, "h");
    driver_expect(&d, "this is the first token");
    driver_press(&d, "7l");
    expect_status("id 7 'e'");
    driver_press(&d, "l"); /* a letter and what combines with it are two tokens */
    expect_status("id 8 '\\u0301'");
    expect_status("2 of 2 of a character");
    driver_press(&d, "999l");
    driver_expect(&d, "this is the last token");
    assert_int_equal(d.app.input.token, 95);
    expect_status("attends to 0..95");
    driver_press(&d, "<Enter>g");
    assert_int_equal(d.app.input.token, 0);
    driver_press(&d, "j"); /* the row behind the first new line is empty but for another one */
    assert_int_equal(d.app.input.token, 19);
    expect_status("id 19 '\xe2\x86\xb5'");
    driver_press(&d, "3lk");
    assert_int_equal(d.app.input.token, 19);
    driver_press(&d, "20G");
    assert_int_equal(d.app.input.token, 20);
    driver_press(&d, "G");
    assert_int_equal(d.app.input.token, 95);
    driver_press(&d, "j");
    driver_expect(&d, "this is the last token");
    driver_press(&d, "9223372036854775807k");
    driver_expect(&d, "this is the first token");
    driver_press(&d, "<PgDn>");
    driver_expect(&d, "this is the last token");
    driver_press(&d, "]");
    assert_int_equal(d.app.input.at, 1);
    driver_press(&d, "[[");
    driver_expect(&d, "this is the first sample");
    driver_press(&d, "<Enter>j");
    assert_int_equal(d.app.input.at, 1);
}

/* A sample that is longer than the screen is scrolled to the cursor. */
static void test_scrolls(void **state)
{
    (void)state;
    open_with(FAKE_CHARACTERS, 40, 10, true, "<F6><Enter>G");
    assert_true(d.app.grid.cursor_y > 2 && d.app.grid.cursor_y < 7);
    for (int i = 0; i < 96; i++) {
        driver_press(&d, "h");
        assert_int_equal(
            tdbg_tui_grid_at(&d.app.grid, d.app.grid.cursor_x, d.app.grid.cursor_y)->style,
            TDBG_STYLE_REVERSE);
    }
    driver_press(&d, "v95l");
    assert_int_equal(tdbg_tui_grid_at(&d.app.grid, d.app.grid.cursor_x, d.app.grid.cursor_y)->style,
                     TDBG_STYLE_REVERSE);
}

static void test_mouse(void **state)
{
    (void)state;
    open_with(FAKE_CHARACTERS, 80, 24, true, "<F6>");
    driver_mouse(&d, 2 + 4, 4, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.input.at, 0);
    assert_int_equal(d.app.input.token, 4);
    driver_mouse(&d, 2 + 7, 7, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.input.at, 1);
    assert_int_equal(d.app.input.token, 2);    /* within "\U0001f600" */
    driver_mouse(&d, 2, 9, TDBG_BUTTON_CLICK); /* a title */
    assert_int_equal(d.app.input.at, 2);
    assert_int_equal(d.app.input.token, 2);
    driver_press(&d, "k");
    driver_press(&d, "<Enter>");
    driver_mouse(&d, 2 + 1, 4, TDBG_BUTTON_CLICK);
    assert_int_equal(d.app.input.at, 1);
    assert_int_equal(d.app.input.token, 1);
    driver_mouse(&d, 40, 10, TDBG_BUTTON_WHEEL_DOWN);
    driver_mouse(&d, 79, 23, TDBG_BUTTON_CLICK);
}

static void test_loss_and_attention(void **state)
{
    (void)state;
    open_with(FAKE_WORDS, 80, 24, true, "<F6>j<Enter>");
    assert_non_null(strstr(driver_row(&d, 2), "attention without padding"));
    expect_status("id 6 '.'  target -100  does not count in the loss");
    expect_status("attends to 0..22"); /* of 32, the others are padding */
    driver_press(&d, "G");
    expect_status("padding");
    open_with(FAKE_BYTES, 80, 24, true, "<F6>4l");
    assert_non_null(strstr(driver_row(&d, 2), "partly causal attention"));
    expect_status("attends to 0..95, in some layers 0..4");
    open_with(FAKE_TOKENS, 80, 24, true, "<F6>");
    assert_null(strstr(status(), "attends"));
}

/* It is said, and they are numbers. */
static bool no_vocabulary(enum fake_read what, int64_t step)
{
    (void)step;
    return what == FAKE_READ_VOCABULARY;
}

static void test_damaged_vocabulary(void **state)
{
    (void)state;
    driver_open_80x24(&d, &(struct fake_wish){.samples = FAKE_CHARACTERS, .fails = no_vocabulary});
    driver_press(&d, "<F6>");
    driver_expect(&d, "run/vocabulary/start is damaged");
    assert_non_null(strstr(driver_row(&d, 4), "0 1 2 3 4"));
    driver_press(&d, "jll"); /* once is enough */
    driver_expect(&d, NULL);
}

/* ---- how tokens lie in rows ---- */

struct sample {
    int64_t x[FAKE_TEXT_TOKENS], y[FAKE_TEXT_TOKENS];
    struct tdbg_tui_token_kind kind;
    struct tdbg_tui_tokens tokens;
};

static void make_sample(struct sample *s, int which, int64_t id)
{
    static void (*const make[])(int64_t, int64_t *, int64_t *) = {
        fake_text_characters, fake_text_bytes, fake_text_words, fake_text_characters};
    *s = (struct sample){.kind.is_separate = which == 2, .kind.has_pad = which == 2};
    if (which == 1)
        assert_int_equal(tdbg_vocabulary_of_bytes(&s->kind.vocabulary, NULL), TDBG_OK);
    else if (which < 3)
        s->kind.vocabulary =
            *(which == 0 ? fake_text_character_vocabulary() : fake_text_word_vocabulary());
    make[which](id, s->x, s->y);
    s->tokens = (struct tdbg_tui_tokens){.kind = &s->kind,
                                         .x = s->x,
                                         .y = s->y,
                                         .x_dtype = TDBG_DTYPE_I64,
                                         .y_dtype = TDBG_DTYPE_I64,
                                         .n = which == 2 ? FAKE_WORD_TOKENS : FAKE_TEXT_TOKENS};
    tdbg_tui_tokens_measure(&s->tokens);
}

/* Pieces stand side by side in ascending rows, inside of the width where they fit at all, and each
 * token has one (or, of several characters, some that follow each other). */
static void check_flow(struct tdbg_tui_token_flow flow)
{
    const struct tdbg_tui_token_flow begin = flow;
    struct tdbg_tui_token_piece p, found;
    int64_t next = 0, row = 0;
    int x = 0;
    while (tdbg_tui_token_flow_next(&flow, &p)) {
        assert_true(p.row == row || (p.row == row + 1 && p.x == 0));
        if (p.row > row)
            x = 0;
        row = p.row;
        assert_true(p.x >= x && p.width >= 1);
        assert_true(p.x == 0 || p.x + p.width <= begin.width);
        x = p.x + p.width;
        if (p.n == 0)
            continue;
        assert_true(p.first == next || (p.first == next - 1 && p.n == 1));
        next = p.first + p.n;
        if (p.first % 7 != begin.width % 7) /* what follows goes through all that is before it */
            continue;
        assert_true(tdbg_tui_token_flow_find(begin, p.first, &found));
        assert_true(found.first == p.first && found.row <= p.row);
        assert_int_equal(tdbg_tui_token_flow_at(begin, p.row, p.x), p.first);
        if (begin.ascii)
            assert_true(p.code < 0x7f || *p.text);
    }
    assert_int_equal(next, begin.tokens->n);
    assert_int_equal(tdbg_tui_token_flow_at(begin, row + 1, 0), -1);
    assert_false(tdbg_tui_token_flow_find(begin, next, &found));
}

static void test_flow(void **state)
{
    (void)state;
    for (int i = 0; i < 4 * 3 * 2 * 40 * 4; i++) {
        static struct sample s;
        const int which = i % 4, view = i / 4 % 3, id = i / 12 % 2, width = 1 + i / 24 % 40;
        make_sample(&s, which, id);
        check_flow((struct tdbg_tui_token_flow){.tokens = &s.tokens,
                                                .view = (enum tdbg_tui_token_view)view,
                                                .width = width,
                                                .ascii = i / 960 % 2,
                                                .breaks_lines = i / 1920 % 2});
        if (which == 1)
            tdbg_vocabulary_free(&s.kind.vocabulary);
    }
}

/* The characters that pieces show are those of the text. */
static void test_characters(void **state)
{
    static const struct {
        int at;
        uint32_t code, mark;
        int width, n;
        const char *sign, *ascii_sign;
    } expected[] = {
        {0, 'T', 0, 1, 1, "", ""},
        {7, 'e', 0x301, 1, 2, "", ""},
        {12, '\t', 0, 2, 1, "\\t", "\\t"},
        {18, '\n', 0, 1, 1, "\xe2\x86\xb5", "\\n"},
        {21, 0x4e2d, 0, 2, 1, "", "\\u4e2d"},
        {39, 0x1f600, 0, 2, 1, "", "\\U0001f600"},
        {48, 0x200b, 0, 6, 1, "\\u200b", "\\u200b"},
        {55, 0x1b, 0, 4, 1, "\\x1b", "\\x1b"},
    };
    static struct sample s;
    (void)state;
    make_sample(&s, 0, 0);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct tdbg_tui_token_flow flow = {.tokens = &s.tokens, .width = 70};
        struct tdbg_tui_token_piece p;
        assert_true(tdbg_tui_token_flow_find(flow, expected[i].at, &p));
        assert_int_equal(p.code, expected[i].code);
        assert_int_equal(p.mark, expected[i].mark);
        assert_int_equal(p.width, expected[i].width);
        assert_int_equal(p.n, expected[i].n);
        assert_string_equal(p.text, expected[i].sign);
        flow.ascii = true;
        assert_true(tdbg_tui_token_flow_find(flow, expected[i].at, &p));
        assert_string_equal(p.text, expected[i].ascii_sign);
    }
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_golden, close_driver),
        cmocka_unit_test_teardown(test_numbers, close_driver),
        cmocka_unit_test_teardown(test_moves, close_driver),
        cmocka_unit_test_teardown(test_scrolls, close_driver),
        cmocka_unit_test_teardown(test_mouse, close_driver),
        cmocka_unit_test_teardown(test_loss_and_attention, close_driver),
        cmocka_unit_test_teardown(test_damaged_vocabulary, close_driver),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
