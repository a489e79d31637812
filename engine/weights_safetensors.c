/* safetensors: u64 length of the header, a JSON object { name: { dtype, shape, data_offsets } },
 * then the data, little-endian. The header is read by a parser for just this; nothing in it is
 * believed before it is checked against the file. See weights.h. */
#include <stdlib.h>
#include <string.h>

#include "engine/weights.h"
#include "engine/text_cursor.h"

enum { MOST_HEADER_BYTES = 100 << 20, MOST_NAME_BYTES = 512 };

/* The escapes of JSON; a character beyond ASCII is not one that a parameter's name has. */
static bool take_escape(struct text_cursor *c, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->at >= c->end)
        return false;
    const char e = *c->at++;
    const char *known = e ? strchr(from, e) : NULL;
    if (known) {
        *out = to[known - from];
        return true;
    }
    if (e != 'u' || c->end - c->at < 4 || c->at[0] != '0' || c->at[1] != '0')
        return false;
    char digits[3] = {c->at[2], c->at[3], 0}, *stop;
    const long code = strtol(digits, &stop, 16);
    c->at += 4;
    *out = (char)code;
    return *stop == 0 && code >= 0x20 && code < 0x7f;
}

/* A string into buf (cut off where it is longer). */
static bool take_string(struct text_cursor *c, char buf[MOST_NAME_BYTES])
{
    size_t n = 0;
    if (!text_take(c, '"'))
        return false;
    while (c->at < c->end && *c->at != '"') {
        char letter = *c->at++;
        if (letter == '\\' && !take_escape(c, &letter))
            return false;
        if (n + 1 < MOST_NAME_BYTES)
            buf[n++] = letter;
    }
    buf[n] = 0;
    return text_take(c, '"');
}

static bool take_number(struct text_cursor *c, int64_t *out)
{
    int64_t n = 0;
    int digits = 0;
    text_skip_space(c);
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9' && digits < 18; digits++)
        n = n * 10 + (*c->at++ - '0');
    *out = n;
    return digits > 0;
}

/* [1, 2]: at most `room` numbers. */
static bool take_numbers(struct text_cursor *c, int64_t *out, int32_t room, int32_t *n)
{
    *n = 0;
    if (!text_take(c, '['))
        return false;
    if (text_take(c, ']'))
        return true;
    do {
        if (*n == room || !take_number(c, &out[(*n)++]))
            return false;
    } while (text_take(c, ','));
    return text_take(c, ']');
}

/* __metadata__: an object of strings. */
static bool skip_metadata(struct text_cursor *c)
{
    char ignored[MOST_NAME_BYTES];
    if (!text_take(c, '{'))
        return false;
    if (text_take(c, '}'))
        return true;
    do {
        if (!take_string(c, ignored) || !text_take(c, ':') || !take_string(c, ignored))
            return false;
    } while (text_take(c, ','));
    return text_take(c, '}');
}

static bool find_elem(const char *text, enum tdbg_elem *out)
{
    static const struct {
        const char *text;
        enum tdbg_elem elem;
    } types[] = {
        {"BOOL", TDBG_ELEM_BOOL}, {"U8", TDBG_ELEM_U8},     {"I8", TDBG_ELEM_I8},
        {"U16", TDBG_ELEM_U16},   {"I16", TDBG_ELEM_I16},   {"U32", TDBG_ELEM_U32},
        {"I32", TDBG_ELEM_I32},   {"U64", TDBG_ELEM_U64},   {"I64", TDBG_ELEM_I64},
        {"F16", TDBG_ELEM_F16},   {"BF16", TDBG_ELEM_BF16}, {"F32", TDBG_ELEM_F32},
        {"F64", TDBG_ELEM_F64},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].text, text) == 0) {
            *out = types[i].elem;
            return true;
        }
    }
    return false;
}

struct entry {
    struct tdbg_array array;
    int64_t span[2]; /* bytes of the data */
};

static enum tdbg_status take_entry(struct text_cursor *c, const char *name, struct entry *e,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char key[MOST_NAME_BYTES], type[MOST_NAME_BYTES];
    bool has_type = false, has_shape = false, has_span = false;
    int32_t n;
    TDBG_FAIL_IF(!text_take(c, '{'), DATA, "its header has no description of %.100s", name);
    do {
        TDBG_FAIL_IF(!take_string(c, key) || !text_take(c, ':'), DATA,
                     "its header is no JSON in the description of %.100s", name);
        if (strcmp(key, "dtype") == 0) {
            TDBG_FAIL_IF(!take_string(c, type) || !find_elem(type, &e->array.elem), DATA,
                         "%.100s is not of a type that is read (F64, F32, F16, BF16, integers)",
                         name);
            has_type = true;
        } else if (strcmp(key, "shape") == 0) {
            TDBG_FAIL_IF(!take_numbers(c, e->array.dims, TDBG_MAX_DIMS, &e->array.ndim), DATA,
                         "%.100s has more than %d dimensions or no shape", name, TDBG_MAX_DIMS);
            has_shape = true;
        } else if (strcmp(key, "data_offsets") == 0) {
            TDBG_FAIL_IF(!take_numbers(c, e->span, 2, &n) || n != 2, DATA,
                         "%.100s has no two data_offsets", name);
            has_span = true;
        } else {
            TDBG_FAIL_IF(true, DATA, "%.100s has the unknown key '%.20s'", name, key);
        }
    } while (text_take(c, ','));
    TDBG_FAIL_IF(!text_take(c, '}') || !has_type || !has_shape || !has_span, DATA,
                 "%.100s lacks dtype, shape or data_offsets", name);
out:
    return st;
}

static enum tdbg_status check_entry(const char *name, const struct entry *e, size_t data_bytes,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t bytes = tdbg_elem_bytes(e->array.elem);
    TDBG_FAIL_IF(e->span[0] > e->span[1] || (uint64_t)e->span[1] > data_bytes, DATA,
                 "%.100s lies beyond the %zu bytes of data", name, data_bytes);
    for (int32_t d = 0; d < e->array.ndim; d++) {
        TDBG_FAIL_IF(e->array.dims[d] > 0 && bytes > data_bytes / (uint64_t)e->array.dims[d], DATA,
                     "%.100s has a shape larger than the file", name);
        bytes *= (uint64_t)e->array.dims[d];
    }
    TDBG_FAIL_IF(bytes != (uint64_t)(e->span[1] - e->span[0]), DATA,
                 "%.100s has %lld bytes where its shape wants %llu", name,
                 (long long)(e->span[1] - e->span[0]), (unsigned long long)bytes);
out:
    return st;
}

static enum tdbg_status visit_all(struct text_cursor *c, const unsigned char *data,
                                  size_t data_bytes, tdbg_array_visit_fn visit, void *self,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char name[MOST_NAME_BYTES];
    TDBG_FAIL_IF(!text_take(c, '{'), DATA,
                 "it is not a safetensors file: its header is no JSON object");
    if (text_take(c, '}'))
        return TDBG_OK;
    do {
        struct entry e = {0};
        TDBG_FAIL_IF(!take_string(c, name) || !text_take(c, ':'), DATA,
                     "its header is no JSON object");
        if (strcmp(name, "__metadata__") == 0) {
            TDBG_FAIL_IF(!skip_metadata(c), DATA, "its __metadata__ is no object of texts");
            continue;
        }
        TDBG_TRY(take_entry(c, name, &e, err));
        TDBG_TRY(check_entry(name, &e, data_bytes, err));
        e.array.data = data + e.span[0];
        TDBG_TRY(visit(self, name, &e.array, err));
    } while (text_take(c, ','));
    TDBG_FAIL_IF(!text_take(c, '}'), DATA, "its header is no JSON object");
    text_skip_space(c);
    TDBG_FAIL_IF(c->at != c->end, DATA, "its header goes on after its object");
out:
    return st;
}

enum tdbg_status tdbg_safetensors_visit(const char *path, tdbg_array_visit_fn visit, void *self,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    void *map = NULL;
    size_t bytes = 0;
    uint64_t header = 0;
    TDBG_TRY(tdbg_file_map(path, &map, &bytes, err));
    TDBG_FAIL_IF(bytes < 10, DATA, "it is neither a safetensors nor an HDF5 file");
    const unsigned char *p = map;
    for (int i = 7; i >= 0; i--)
        header = header << 8 | p[i];
    TDBG_FAIL_IF(header > bytes - 8 || header > MOST_HEADER_BYTES || p[8] != '{', DATA,
                 "it is neither a safetensors nor an HDF5 file");
    struct text_cursor c = {(const char *)p + 8, (const char *)p + 8 + header};
    TDBG_TRY(visit_all(&c, p + 8 + header, bytes - 8 - header, visit, self, err));
out:
    tdbg_file_unmap(map, bytes);
    return st;
}
