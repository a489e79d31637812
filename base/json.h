/* JSON output: a small streaming writer with commas, indentation and escaping done. Numbers are
 * printed so that they read back to the same bits. Reading JSON is nobody's job here. */
#ifndef TDBG_BASE_JSON_H
#define TDBG_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/site.h"

enum { TDBG_JSON_MAX_DEPTH = 32 };

struct tdbg_json {
    FILE *out;
    int depth;
    bool pretty;                        /* newlines and two spaces per level */
    bool has_item[TDBG_JSON_MAX_DEPTH]; /* a comma is due at this level */
};

/* Begin writing to a stream; the caller closes the stream. */
void tdbg_json_init(struct tdbg_json *json, FILE *out, bool pretty);

/* key is NULL inside arrays and for the outermost value. */
void tdbg_json_object_begin(struct tdbg_json *json, const char *key);
void tdbg_json_object_end(struct tdbg_json *json);
void tdbg_json_array_begin(struct tdbg_json *json, const char *key);
void tdbg_json_array_end(struct tdbg_json *json);
void tdbg_json_string(struct tdbg_json *json, const char *key, const char *text); /* NULL: null */
void tdbg_json_int(struct tdbg_json *json, const char *key, int64_t value);
void tdbg_json_u64_hex(struct tdbg_json *json, const char *key, uint64_t value); /* "0x..." */
void tdbg_json_double(struct tdbg_json *json, const char *key, double value);
void tdbg_json_float(struct tdbg_json *json, const char *key, float value);
void tdbg_json_bool(struct tdbg_json *json, const char *key, bool value);
void tdbg_json_null(struct tdbg_json *json, const char *key);

/* A flat array of n_elems elements of a tensor; non-finite ones as strings ("NaN"). */
void tdbg_json_elems(struct tdbg_json *json, const char *key, const void *data,
                     enum tdbg_dtype dtype, int64_t n_elems);

#endif
