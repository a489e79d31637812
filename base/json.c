/* The streaming JSON writer. See json.h. Texts of tensor elements come from convert.c. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/convert.h"
#include "base/status.h"
#include "base/strbuf.h"

void tdbg_json_init(struct tdbg_json *json, FILE *out, bool pretty)
{
    *json = (struct tdbg_json){.out = out, .pretty = pretty};
}

/* A quoted string; bytes that are no UTF-8 become U+FFFD, so that the output always is. */
static void put_quoted(FILE *out, const char *text)
{
    static const char short_escapes[] = "\b\f\n\r\t\"\\";
    static const char short_names[] = "bfnrt\"\\";
    size_t n = strlen(text), plain = 0;
    fputc('"', out);
    for (size_t i = 0; i < n;) {
        size_t bytes = tdbg_utf8_length(text + i, n - i);
        const char *escape = strchr(short_escapes, text[i]);
        bool is_plain = bytes > 0 && !escape && (unsigned char)text[i] >= 0x20;
        if (is_plain) {
            i += bytes;
            continue;
        }
        fwrite(text + plain, 1, i - plain, out);
        if (bytes == 0)
            fputs("\xef\xbf\xbd", out);
        else if (escape)
            fprintf(out, "\\%c", short_names[escape - short_escapes]);
        else
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)text[i]);
        plain = ++i;
    }
    fwrite(text + plain, 1, n - plain, out);
    fputc('"', out);
}

static void new_line(struct tdbg_json *json)
{
    fputc('\n', json->out);
    for (int i = 0; i < json->depth; i++)
        fputs("  ", json->out);
}

/* What stands before every value: comma, new line, key. */
static void begin_value(struct tdbg_json *json, const char *key)
{
    if (json->depth > 0) {
        bool *has_item = &json->has_item[json->depth - 1];
        if (*has_item)
            fputc(',', json->out);
        *has_item = true;
        if (json->pretty)
            new_line(json);
    }
    if (key) {
        put_quoted(json->out, key);
        fputs(json->pretty ? ": " : ":", json->out);
    }
}

/* What stands after every value: a pretty document ends with a new line. */
static void end_value(struct tdbg_json *json)
{
    if (json->depth == 0 && json->pretty)
        fputc('\n', json->out);
}

static void open_level(struct tdbg_json *json, const char *key, char bracket)
{
    begin_value(json, key);
    TDBG_ASSERT(json->depth < TDBG_JSON_MAX_DEPTH);
    json->has_item[json->depth++] = false;
    fputc(bracket, json->out);
}

static void close_level(struct tdbg_json *json, char bracket)
{
    TDBG_ASSERT(json->depth > 0);
    json->depth--;
    if (json->pretty && json->has_item[json->depth])
        new_line(json);
    fputc(bracket, json->out);
    end_value(json);
}

void tdbg_json_object_begin(struct tdbg_json *json, const char *key)
{
    open_level(json, key, '{');
}

void tdbg_json_object_end(struct tdbg_json *json)
{
    close_level(json, '}');
}

void tdbg_json_array_begin(struct tdbg_json *json, const char *key)
{
    open_level(json, key, '[');
}

void tdbg_json_array_end(struct tdbg_json *json)
{
    close_level(json, ']');
}

/* A value whose text needs no escaping. */
static void put_token(struct tdbg_json *json, const char *key, const char *token)
{
    begin_value(json, key);
    fputs(token, json->out);
    end_value(json);
}

void tdbg_json_string(struct tdbg_json *json, const char *key, const char *text)
{
    if (!text) {
        tdbg_json_null(json, key);
        return;
    }
    begin_value(json, key);
    put_quoted(json->out, text);
    end_value(json);
}

void tdbg_json_int(struct tdbg_json *json, const char *key, int64_t value)
{
    char token[24];
    snprintf(token, sizeof token, "%" PRId64, value);
    put_token(json, key, token);
}

void tdbg_json_u64_hex(struct tdbg_json *json, const char *key, uint64_t value)
{
    char token[24];
    snprintf(token, sizeof token, "\"0x%016" PRIx64 "\"", value);
    put_token(json, key, token);
}

void tdbg_json_double(struct tdbg_json *json, const char *key, double value)
{
    char token[TDBG_ELEM_TEXT_BYTES] = "null";
    if (isfinite(value))
        tdbg_convert_elem_to_json(&value, TDBG_DTYPE_F64, 0, token);
    put_token(json, key, token);
}

void tdbg_json_float(struct tdbg_json *json, const char *key, float value)
{
    char token[TDBG_ELEM_TEXT_BYTES] = "null";
    if (isfinite(value))
        tdbg_convert_elem_to_json(&value, TDBG_DTYPE_F32, 0, token);
    put_token(json, key, token);
}

void tdbg_json_bool(struct tdbg_json *json, const char *key, bool value)
{
    put_token(json, key, value ? "true" : "false");
}

void tdbg_json_null(struct tdbg_json *json, const char *key)
{
    put_token(json, key, "null");
}

void tdbg_json_elems(struct tdbg_json *json, const char *key, const void *data,
                     enum tdbg_dtype dtype, int64_t n_elems)
{
    begin_value(json, key);
    fputc('[', json->out); /* on one line in pretty mode too: a line per element helps no one */
    for (int64_t i = 0; i < n_elems; i++) {
        char token[TDBG_ELEM_TEXT_BYTES];
        tdbg_convert_elem_to_json(data, dtype, i, token);
        if (i > 0)
            fputs(json->pretty ? ", " : ",", json->out);
        fputs(token, json->out);
    }
    fputc(']', json->out);
    end_value(json);
}
