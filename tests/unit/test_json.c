/* The JSON writer: structure, escapes, and numbers that read back to the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/json.h"
#include "base/philox.h"

/* A writer into memory. */
struct sink {
    struct tdbg_json json;
    char *text;
    size_t n_bytes;
};

static void open_sink(struct sink *s, bool pretty)
{
    *s = (struct sink){0};
    tdbg_json_init(&s->json, open_memstream(&s->text, &s->n_bytes), pretty);
}

static void assert_written(struct sink *s, const char *expected)
{
    assert_int_equal(s->json.depth, 0);
    fclose(s->json.out);
    assert_string_equal(s->text, expected);
    free(s->text);
}

static void write_document(struct tdbg_json *json)
{
    static const float values[] = {1.0f, -0.0f, 0.1f};
    tdbg_json_object_begin(json, NULL);
    tdbg_json_int(json, "schema", 1);
    tdbg_json_array_begin(json, "steps");
    tdbg_json_int(json, NULL, INT64_MIN);
    tdbg_json_bool(json, NULL, true);
    tdbg_json_null(json, NULL);
    tdbg_json_object_begin(json, NULL);
    tdbg_json_object_end(json);
    tdbg_json_array_end(json);
    tdbg_json_u64_hex(json, "digest", UINT64_C(0xfedcba9876543210));
    tdbg_json_string(json, "none", NULL);
    tdbg_json_elems(json, "values", values, TDBG_DTYPE_F32, 3);
    tdbg_json_elems(json, "empty", values, TDBG_DTYPE_F32, 0);
    tdbg_json_array_begin(json, "list");
    tdbg_json_array_end(json);
    tdbg_json_object_end(json);
}

static void test_structure(void **state)
{
    (void)state;
    struct sink s;
    open_sink(&s, false);
    write_document(&s.json);
    assert_written(&s, "{\"schema\":1,\"steps\":[-9223372036854775808,true,null,{}],"
                       "\"digest\":\"0xfedcba9876543210\",\"none\":null,"
                       "\"values\":[1.0,-0.0,0.100000001],\"empty\":[],\"list\":[]}");
    open_sink(&s, true);
    write_document(&s.json);
    assert_written(&s, "{\n"
                       "  \"schema\": 1,\n"
                       "  \"steps\": [\n"
                       "    -9223372036854775808,\n"
                       "    true,\n"
                       "    null,\n"
                       "    {}\n"
                       "  ],\n"
                       "  \"digest\": \"0xfedcba9876543210\",\n"
                       "  \"none\": null,\n"
                       "  \"values\": [1.0, -0.0, 0.100000001],\n"
                       "  \"empty\": [],\n"
                       "  \"list\": []\n"
                       "}\n");
    open_sink(&s, false);
    tdbg_json_int(&s.json, NULL, 7); /* a scalar is a document too */
    assert_written(&s, "7");
}

static void test_deepest(void **state)
{
    (void)state;
    struct sink s;
    open_sink(&s, false);
    for (int i = 0; i < TDBG_JSON_MAX_DEPTH; i++)
        tdbg_json_array_begin(&s.json, NULL);
    for (int i = 0; i < TDBG_JSON_MAX_DEPTH; i++)
        tdbg_json_array_end(&s.json);
    assert_written(&s, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"", "\"\""},
        {"plain /", "\"plain /\""},
        {"\"\\\b\f\n\r\t", "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xc3", "\"\xef\xbf\xbd\""},                                 /* cut short */
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sink s;
        open_sink(&s, false);
        tdbg_json_string(&s.json, NULL, cases[i].text);
        assert_written(&s, cases[i].json);
    }
    struct sink s;
    open_sink(&s, false);
    tdbg_json_object_begin(&s.json, NULL);
    tdbg_json_null(&s.json, "a\"\n");
    tdbg_json_object_end(&s.json);
    assert_written(&s, "{\"a\\\"\\n\":null}");
}

static void assert_double(double value, const char *expected)
{
    struct sink s;
    open_sink(&s, false);
    tdbg_json_double(&s.json, NULL, value);
    assert_written(&s, expected);
}

static void assert_float(float value, const char *expected)
{
    struct sink s;
    open_sink(&s, false);
    tdbg_json_float(&s.json, NULL, value);
    assert_written(&s, expected);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_double(0.1, "0.10000000000000001");
    assert_double(-0.0, "-0.0");
    assert_double(1e22, "1e+22");
    assert_double(3, "3.0");
    assert_double(NAN, "null");
    assert_double(-INFINITY, "null");
    assert_float(0.1f, "0.100000001");
    assert_float(-0.0f, "-0.0");
    assert_float(16777216.0f, "16777216.0");
    assert_float(INFINITY, "null");
    assert_float(NAN, "null");
}

/* Random bit patterns, written and read again. */
static void test_numbers_read_back(void **state)
{
    (void)state;
    uint64_t key = tdbg_philox_key(3, TDBG_RANDOM_TEST, 0);
    for (uint64_t i = 0; i < 20000; i++) {
        struct tdbg_philox_block b = tdbg_philox(key, i, 0);
        uint64_t bits = (uint64_t)b.word[0] << 32 | b.word[1];
        float f = tdbg_bits_float(b.word[2]);
        double d;
        memcpy(&d, &bits, sizeof d);
        struct sink s;
        open_sink(&s, false);
        tdbg_json_array_begin(&s.json, NULL);
        tdbg_json_float(&s.json, NULL, isfinite(f) ? f : 0);
        tdbg_json_double(&s.json, NULL, isfinite(d) ? d : 0);
        tdbg_json_array_end(&s.json);
        fclose(s.json.out);
        char *end = NULL;
        float f_again = strtof(s.text + 1, &end);
        double d_again = strtod(end + 1, &end);
        assert_string_equal(end, "]");
        assert_int_equal(tdbg_float_bits(f_again), tdbg_float_bits(isfinite(f) ? f : 0));
        if (isfinite(d))
            assert_memory_equal(&d_again, &d, sizeof d);
        free(s.text);
    }
}

static void test_elems(void **state)
{
    (void)state;
    const float f32[] = {NAN, INFINITY, -INFINITY, 0.5f};
    const int64_t i64[] = {INT64_MAX, -1};
    const uint8_t u8[] = {0, 255};
    const uint16_t bf16[] = {0x3f80, 0x8000};
    struct sink s;
    open_sink(&s, false);
    tdbg_json_array_begin(&s.json, NULL);
    tdbg_json_elems(&s.json, NULL, f32, TDBG_DTYPE_F32, 4);
    tdbg_json_elems(&s.json, NULL, i64, TDBG_DTYPE_I64, 2);
    tdbg_json_elems(&s.json, NULL, u8, TDBG_DTYPE_U8, 2);
    tdbg_json_elems(&s.json, NULL, bf16, TDBG_DTYPE_BF16, 2);
    tdbg_json_array_end(&s.json);
    assert_written(&s, "[[\"NaN\",\"Infinity\",\"-Infinity\",0.5],[9223372036854775807,-1],"
                       "[0,255],[1.0,-0.0]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),         cmocka_unit_test(test_deepest),
        cmocka_unit_test(test_strings),           cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_read_back), cmocka_unit_test(test_elems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
