/* The small parts of base/: status and errors, arena, sites, element conversion, growing strings,
 * the progress line. Configs and JSON have tests of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/convert.h"
#include "base/copy.h"
#include "base/npy.h"
#include "base/progress.h"
#include "base/site.h"
#include "base/status.h"
#include "base/strbuf.h"

static enum tdbg_status fail_if(bool cond, int *cleaned, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(cond, DATA, "value %d", 7);
out:
    ++*cleaned;
    return st;
}

static enum tdbg_status try_it(bool cond, int *cleaned, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(fail_if(cond, cleaned, err));
    *cleaned += 10;
out:
    return st;
}

static void test_status(void **state)
{
    (void)state;
    assert_string_equal(tdbg_status_text(TDBG_OK), "ok");
    assert_string_equal(tdbg_status_text(TDBG_TERMINATED), "terminated");
    assert_int_equal(tdbg_status_exit_code(TDBG_CONFIG), 2);
    assert_int_equal(tdbg_status_exit_code(TDBG_DAMAGED), 3);
    assert_int_equal(tdbg_status_exit_code(TDBG_RANKS), 4);
    assert_int_equal(tdbg_status_exit_code(TDBG_CANNOT_JUDGE), 125);
    assert_int_equal(tdbg_status_exit_code(TDBG_INTERRUPTED), 130);
}

static void test_error(void **state)
{
    (void)state;
    struct tdbg_err err = {0};
    int cleaned = 0;
    assert_int_equal(try_it(false, &cleaned, &err), TDBG_OK);
    assert_int_equal(cleaned, 11);
    assert_null(err.message); /* untouched on success */
    assert_int_equal(try_it(true, &cleaned, &err), TDBG_DATA);
    assert_int_equal(cleaned, 12);
    assert_string_equal(err.message, "value 7");
    assert_non_null(strstr(err.file, "test_base.c"));
    assert_true(err.line > 0);
    assert_int_equal(tdbg_err_prefix(&err, "cannot open %s", "x.h5"), TDBG_DATA);
    assert_string_equal(err.message, "cannot open x.h5: value 7");
    /* The old message may be part of the new one. */
    assert_int_equal(TDBG_RAISE(&err, IO, "again: %s", err.message), TDBG_IO);
    assert_string_equal(err.message, "again: cannot open x.h5: value 7");
    assert_int_equal(err.status, TDBG_IO);
    tdbg_err_clear(&err);
    assert_null(err.message);
    assert_int_equal(err.status, TDBG_OK);
    tdbg_err_clear(NULL);
    assert_int_equal(TDBG_RAISE(NULL, USAGE, "nobody listens"), TDBG_USAGE);
}

static void test_bug_aborts(void **state)
{
    (void)state;
    int ends[2];
    char said[512] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        TDBG_ASSERT(child != 0);
        _exit(0);
    }
    close(ends[1]);
    ssize_t got, n = 0;
    while ((got = read(ends[0], said + n, sizeof said - 1 - (size_t)n)) > 0)
        n += got;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(said, "broken invariant: child != 0"));
    assert_non_null(strstr(said, "This is a bug in tdbg."));
}

static void test_arena(void **state)
{
    (void)state;
    struct tdbg_arena *arena = tdbg_arena_create();
    unsigned char *parts[400];
    for (size_t i = 0; i < 400; i++) {
        size_t n = i * i % 5000; /* 0 too; small and larger than a block's rest */
        parts[i] = tdbg_arena_alloc(arena, n);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % 64, 0);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(parts[i][k], 0);
        memset(parts[i], (int)(i & 255), n);
    }
    for (size_t i = 0; i < 400; i++) { /* no part runs into another */
        for (size_t k = 0; k < i * i % 5000; k++)
            assert_int_equal(parts[i][k], i & 255);
    }
    unsigned char *big = tdbg_arena_alloc(arena, 20 << 20);
    big[0] = big[(20 << 20) - 1] = 1;
    char *text = tdbg_arena_strdup(arena, "text");
    assert_string_equal(tdbg_arena_printf(arena, "%s-%03d", text, 7), "text-007");
    assert_string_equal(tdbg_arena_printf(arena, "%s", ""), "");
    tdbg_arena_destroy(arena);
    tdbg_arena_destroy(NULL);
}

static void test_stages_and_dtypes(void **state)
{
    (void)state;
    for (int i = 0; i < TDBG_STAGE_COUNT; i++) {
        enum tdbg_stage found = TDBG_STAGE_COUNT;
        assert_true(tdbg_stage_parse(tdbg_stage_text((enum tdbg_stage)i), &found));
        assert_int_equal(found, i);
    }
    for (int i = 0; i < TDBG_DTYPE_COUNT; i++) {
        enum tdbg_dtype found = TDBG_DTYPE_COUNT;
        assert_true(tdbg_dtype_parse(tdbg_dtype_text((enum tdbg_dtype)i), &found));
        assert_int_equal(found, i);
    }
    enum tdbg_stage stage = TDBG_STAGE_LOSS;
    enum tdbg_dtype dtype = TDBG_DTYPE_U8;
    assert_false(tdbg_stage_parse("forward", &stage));
    assert_false(tdbg_dtype_parse("", &dtype));
    assert_int_equal(stage, TDBG_STAGE_LOSS);
    assert_int_equal(dtype, TDBG_DTYPE_U8);
    assert_int_equal(tdbg_dtype_bytes(TDBG_DTYPE_BF16), 2);
    assert_int_equal(tdbg_dtype_bytes(TDBG_DTYPE_F64), 8);
    assert_true(TDBG_STAGE_REDUCE_IN < TDBG_STAGE_REDUCE_OUT); /* dataflow order */
}

static void test_site(void **state)
{
    (void)state;
    struct tdbg_site site = {.name = "grad/fc1.weight",
                             .op = "linear",
                             .unit = "",
                             .lane = TDBG_LANE_ALL,
                             .micro = TDBG_LANE_ALL,
                             .ndim = 2,
                             .dims = {64, 256}};
    char buf[64], tiny[6];
    assert_int_equal(tdbg_site_elems(&site), 64 * 256);
    assert_string_equal(tdbg_site_shape_text(&site, buf, sizeof buf), "(64, 256)");
    assert_string_equal(tdbg_site_shape_text(&site, tiny, sizeof tiny), "(64, ");
    assert_string_equal(tdbg_site_tensor(&site), "fc1.weight");
    assert_string_equal(tdbg_site_label(&site, buf, sizeof buf), "grad/fc1.weight");
    site.lane = 2;
    assert_string_equal(tdbg_site_label(&site, buf, sizeof buf), "grad/fc1.weight lane 2");
    site.micro = 0;
    assert_string_equal(tdbg_site_label(&site, buf, sizeof buf), "grad/fc1.weight lane 2 micro 0");
    assert_string_equal(tdbg_site_label(&site, tiny, sizeof tiny), "grad/");
    site = (struct tdbg_site){.name = "loss"};
    assert_int_equal(tdbg_site_elems(&site), 1);
    assert_string_equal(tdbg_site_shape_text(&site, buf, sizeof buf), "()");
    assert_string_equal(tdbg_site_tensor(&site), "loss");
}

static double f16(uint16_t bits)
{
    return tdbg_convert_elem_to_f64(&bits, TDBG_DTYPE_F16, 0);
}

static void test_convert_to_double(void **state)
{
    (void)state;
    assert_true(f16(0x3c00) == 1.0 && f16(0xc000) == -2.0 && f16(0x7bff) == 65504.0);
    assert_true(f16(0x0001) == ldexp(1, -24) && f16(0x03ff) == ldexp(1023, -24));
    assert_true(f16(0x8000) == 0 && signbit(f16(0x8000)));
    assert_true(f16(0x7c00) == INFINITY && f16(0xfc00) == -INFINITY && isnan(f16(0x7e00)));
    const uint16_t bf16[] = {0x3f80, 0x7f80, 0x0001, 0xff81};
    assert_true(tdbg_convert_elem_to_f64(bf16, TDBG_DTYPE_BF16, 0) == 1.0);
    assert_true(tdbg_convert_elem_to_f64(bf16, TDBG_DTYPE_BF16, 1) == INFINITY);
    assert_true(tdbg_convert_elem_to_f64(bf16, TDBG_DTYPE_BF16, 2) == ldexp(1, -133));
    assert_true(isnan(tdbg_convert_elem_to_f64(bf16, TDBG_DTYPE_BF16, 3)));
    const int32_t i32[] = {0, INT32_MIN};
    const int64_t i64[] = {INT64_C(1) << 53, -5};
    const uint8_t u8[] = {200};
    assert_true(tdbg_convert_elem_to_f64(i32, TDBG_DTYPE_I32, 1) == -2147483648.0);
    assert_true(tdbg_convert_elem_to_f64(i64, TDBG_DTYPE_I64, 0) == 0x1p53);
    assert_true(tdbg_convert_elem_to_f64(u8, TDBG_DTYPE_U8, 0) == 200);
}

static void assert_elem(const void *data, enum tdbg_dtype dtype, const char *expected)
{
    char buf[TDBG_ELEM_TEXT_BYTES];
    int n = tdbg_convert_elem_to_json(data, dtype, 0, buf);
    assert_string_equal(buf, expected);
    assert_int_equal(n, strlen(expected));
}

static void test_convert_to_text(void **state)
{
    (void)state;
    assert_elem(&(float){0.1f}, TDBG_DTYPE_F32, "0.100000001");
    assert_elem(&(float){-0.0f}, TDBG_DTYPE_F32, "-0.0");
    assert_elem(&(float){3.0f}, TDBG_DTYPE_F32, "3.0");
    assert_elem(&(float){1e30f}, TDBG_DTYPE_F32, "1.00000002e+30");
    assert_elem(&(float){NAN}, TDBG_DTYPE_F32, "\"NaN\"");
    assert_elem(&(double){-INFINITY}, TDBG_DTYPE_F64, "\"-Infinity\"");
    assert_elem(&(double){0.1}, TDBG_DTYPE_F64, "0.10000000000000001");
    assert_elem(&(double){-1.7976931348623157e308}, TDBG_DTYPE_F64, "-1.7976931348623157e+308");
    assert_elem(&(int64_t){INT64_MIN}, TDBG_DTYPE_I64, "-9223372036854775808");
    assert_elem(&(int32_t){-3}, TDBG_DTYPE_I32, "-3");
    assert_elem(&(uint8_t){255}, TDBG_DTYPE_U8, "255");
}

static void expect_npy(enum tdbg_dtype dtype, int32_t ndim, const int64_t *dims, const char *want)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    tdbg_npy_write_header(out, dtype, ndim, dims);
    fclose(out);
    assert_int_equal(bytes % 64, 0);
    assert_memory_equal(text, "\x93NUMPY\x01\x00", 8);
    assert_int_equal((unsigned char)text[8] + 256 * (unsigned char)text[9], bytes - 10);
    assert_memory_equal(text + 10, want, strlen(want));
    const char *end = memchr(text + 10, '}', bytes - 10);
    assert_non_null(end);
    assert_int_equal(strspn(end + 1, " "), text + bytes - 2 - end);
    assert_int_equal(text[bytes - 1], '\n');
    free(text);
}

static void test_npy(void **state)
{
    (void)state;
    const int64_t dims[TDBG_NPY_MAX_DIMS] = {12, 1, 3};
    int64_t large[TDBG_NPY_MAX_DIMS];
    const uint16_t bf16[2] = {0x3f80, 0xffc1};
    uint32_t bits[2];
    expect_npy(TDBG_DTYPE_F32, 0, dims, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
    expect_npy(TDBG_DTYPE_U8, 1, dims,
               "{'descr': '|u1', 'fortran_order': False, 'shape': (12,), }");
    expect_npy(TDBG_DTYPE_I64, 3, dims,
               "{'descr': '<i8', 'fortran_order': False, 'shape': (12, 1, 3), }");
    for (int d = 0; d < TDBG_NPY_MAX_DIMS; d++)
        large[d] = INT64_MAX;
    expect_npy(TDBG_DTYPE_BF16, TDBG_NPY_MAX_DIMS, large,
               "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, ");
    FILE *f = tmpfile();
    tdbg_npy_write_elems(f, TDBG_DTYPE_BF16, bf16, 2);
    rewind(f);
    assert_int_equal(fread(bits, 1, sizeof bits, f), sizeof bits);
    assert_true(bits[0] == 0x3f800000 && bits[1] == 0xffc10000);
    fclose(f);
}

static int64_t floats_apart(float a, float b)
{
    return tdbg_convert_ulp_apart(tdbg_float_bits(a), tdbg_float_bits(b), sizeof a);
}

static void test_ulp_distance(void **state)
{
    (void)state;
    assert_int_equal(floats_apart(1.0f, 1.0f), 0);
    assert_int_equal(floats_apart(1.0f, nextafterf(1.0f, 2.0f)), 1);
    assert_int_equal(floats_apart(0.0f, -0.0f), 0);
    assert_int_equal(floats_apart(0x1p-149f, -0x1p-149f), 2);
    assert_int_equal(floats_apart(-1.0f, 1.0f), 2 * 0x3f800000u);
    /* bf16 1.0 and the next; the smallest on both sides of zero; doubles as far apart as can be */
    assert_int_equal(tdbg_convert_ulp_apart(0x3f80, 0x3f81, 2), 1);
    assert_int_equal(tdbg_convert_ulp_apart(0x8001, 0x0001, 2), 2);
    assert_int_equal(tdbg_convert_ulp_apart(0x8000, 0x0000, 2), 0);
    assert_int_equal(
        tdbg_convert_ulp_apart(UINT64_C(0x3ff0000000000000), UINT64_C(0x3fefffffffffffff), 8), 1);
    assert_true(tdbg_convert_ulp_apart(UINT64_C(0xffefffffffffffff), UINT64_C(0x7fefffffffffffff),
                                       8) == INT64_MAX);
    assert_int_equal(tdbg_bits_float(tdbg_float_bits(0.1f)) == 0.1f, true);
}

static void test_strbuf(void **state)
{
    (void)state;
    struct tdbg_strbuf sb = {0};
    char *text = tdbg_strbuf_take(&sb);
    assert_string_equal(text, "");
    free(text);
    for (int i = 0; i < 1000; i++)
        tdbg_strbuf_printf(&sb, "%03d,", i);
    assert_int_equal(sb.n_bytes, 4000);
    assert_memory_equal(sb.text + 3996, "999,", 5);
    tdbg_strbuf_free(&sb);
    tdbg_strbuf_puts(&sb, "ab");
    tdbg_strbuf_add(&sb, "cde", 1);
    tdbg_strbuf_putc(&sb, 'd');
    tdbg_strbuf_pad(&sb, '.', 3);
    text = tdbg_strbuf_take(&sb);
    assert_string_equal(text, "abcd...");
    assert_null(sb.text);
    free(text);
}

static void test_utf8(void **state)
{
    (void)state;
    assert_int_equal(tdbg_utf8_length("a", 1), 1);
    assert_int_equal(tdbg_utf8_length("\xc3\xa9", 2), 2);
    assert_int_equal(tdbg_utf8_length("\xe2\x82\xac", 3), 3);
    assert_int_equal(tdbg_utf8_length("\xf4\x8f\xbf\xbf", 4), 4);
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3\x28"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(tdbg_utf8_length(bad[i], strlen(bad[i])), 0);
    assert_int_equal(tdbg_utf8_length("\xe2\x82\xac", 2), 0); /* cut short */
    assert_int_equal(tdbg_utf8_length("", 0), 0);
}

#define MS INT64_C(1000000)
#define S  (1000 * MS)

/* What a run of 400 steps at 100 ms each prints, up to `steps`. */
static char *progress_output(enum tdbg_progress_mode mode, int64_t step_ns, int steps)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct tdbg_progress p;
    double loss = 2.5;
    tdbg_progress_start(&p, out, mode, 0, 400, 5 * S);
    for (int i = 1; i <= steps; i++)
        tdbg_progress_update(&p, i, &loss, INT64_C(1536) * i, 5 * S + step_ns * i);
    tdbg_progress_finish(&p, 5 * S + step_ns * steps);
    fclose(out);
    return text;
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

static void test_progress_plain(void **state)
{
    (void)state;
    char *text = progress_output(TDBG_PROGRESS_PLAIN, 100 * MS, 250); /* 25 s */
    assert_string_equal(text, "step 100/400  10 steps/s  ETA 0:30  loss 2.5  trace 150.0 KiB\n"
                              "step 200/400  10 steps/s  ETA 0:20  loss 2.5  trace 300.0 KiB\n"
                              "step 250/400  10 steps/s  ETA 0:15  loss 2.5  trace 375.0 KiB\n");
    free(text);
    text = progress_output(TDBG_PROGRESS_AUTO, 100 * MS, 100); /* a memory stream is no terminal */
    assert_string_equal(text, "step 100/400  10 steps/s  ETA 0:30  loss 2.5  trace 150.0 KiB\n");
    free(text);
    text = progress_output(TDBG_PROGRESS_QUIET, 100 * MS, 250);
    assert_string_equal(text, "");
    free(text);
}

static void test_progress_terminal(void **state)
{
    (void)state;
    char *text = progress_output(TDBG_PROGRESS_TERMINAL, 10 * MS, 400); /* 4 s */
    assert_true(count(text, '\r') <= 42 && count(text, '\r') >= 38);
    assert_int_equal(count(text, '\n'), 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_non_null(strstr(text, "\rstep 400/400  100 steps/s  loss 2.5  trace 600.0 KiB"));
    for (const char *line = text + 1; *line;) { /* never as wide as the terminal */
        size_t n = strcspn(line, "\r\n");
        assert_true(n < 80);
        line += n + 1;
    }
    free(text);
}

static void test_progress_rewrites(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct tdbg_progress p;
    double nan_loss = NAN;
    tdbg_progress_start(&p, out, TDBG_PROGRESS_TERMINAL, 0, 0, 0);
    tdbg_progress_update(&p, 0, &nan_loss, -1, 0);  /* no rate yet, size unknown */
    tdbg_progress_update(&p, 0, NULL, -1, 50 * MS); /* too early */
    tdbg_progress_update(&p, 0, NULL, -1, 100 * MS);
    tdbg_progress_clear(&p);
    tdbg_progress_clear(&p);                        /* nothing left to wipe */
    tdbg_progress_update(&p, 1, NULL, 0, 120 * MS); /* repainted at once after a message */
    tdbg_progress_finish(&p, 120 * MS);
    fclose(out);
    assert_string_equal(text, "\rstep 0  loss NaN"
                              "\rstep 0          "
                              "\r      \r"
                              "\rstep 1  8.33 steps/s  trace 0 B\n");
    free(text);
}

static void test_progress_long_values(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct tdbg_progress p;
    double loss = -1.234567e-300;
    tdbg_progress_start(&p, out, TDBG_PROGRESS_PLAIN, INT64_MAX - 9, INT64_MAX, 0);
    tdbg_progress_update(&p, INT64_MAX - 8, &loss, INT64_MAX, 36000 * S);
    tdbg_progress_finish(&p, 36000 * S);
    fclose(out);
    /* The size does not fit on the line any more. */
    assert_string_equal(text, "step 9223372036854775799/9223372036854775807  2.78e-05 steps/s  "
                              "ETA 80:00:00\n");
    free(text);
}

/* Any length at any address, and nothing beside it. */
static void test_copy_away(void **state)
{
    (void)state;
    enum { ROOM = 40000 };
    static unsigned char from[ROOM], to[ROOM];
    const size_t lengths[] = {0, 1, 63, 8191, 8192, 8193, 8255, 12345, 32768};
    for (size_t i = 0; i < ROOM; i++)
        from[i] = (unsigned char)(i * 7 + i / 251);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        for (size_t at = 0; at < 130; at += 1 + at / 3) {
            const size_t n = lengths[l], source = (at * 5) % 67;
            memset(to, 0xee, sizeof to);
            tdbg_copy_away(to + at, from + source, n);
            assert_memory_equal(to + at, from + source, n);
            for (size_t i = 0; i < ROOM; i++)
                assert_true((i >= at && i < at + n) || to[i] == 0xee);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_bug_aborts),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_stages_and_dtypes),
        cmocka_unit_test(test_site),
        cmocka_unit_test(test_convert_to_double),
        cmocka_unit_test(test_convert_to_text),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_ulp_distance),
        cmocka_unit_test(test_strbuf),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_progress_plain),
        cmocka_unit_test(test_progress_terminal),
        cmocka_unit_test(test_progress_rewrites),
        cmocka_unit_test(test_progress_long_values),
        cmocka_unit_test(test_copy_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
