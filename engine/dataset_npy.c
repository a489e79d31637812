/* Data sets as two .npy files (numpy.save), mapped: versions 1 to 3, either byte order, C order.
 * The header is a Python dict literal of three keys. See dataset.h. */
#include <stdio.h>
#include <string.h>

#include "engine/dataset.h"
#include "engine/text_cursor.h"

enum { MOST_HEADER_BYTES = 1 << 16 };

/* 'text' or "text" into buf */
static bool take_string(struct text_cursor *c, char *buf, size_t buf_bytes)
{
    const char quote = text_take(c, '\'') ? '\'' : text_take(c, '"') ? '"' : 0;
    size_t n = 0;
    while (quote && c->at < c->end && *c->at != quote && n + 1 < buf_bytes)
        buf[n++] = *c->at++;
    buf[n] = 0;
    return quote && text_take(c, quote);
}

static bool take_shape(struct text_cursor *c, struct tdbg_array *a)
{
    if (!text_take(c, '('))
        return false;
    a->ndim = 0;
    while (!text_take(c, ')')) {
        int64_t n = 0;
        int digits = 0;
        text_skip_space(c);
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9' && digits < 18; digits++)
            n = n * 10 + (*c->at++ - '0');
        if (digits == 0 || a->ndim == TDBG_MAX_DIMS)
            return false;
        a->dims[a->ndim++] = n;
        if (!text_take(c, ',') && (text_skip_space(c), c->at >= c->end || *c->at != ')'))
            return false;
    }
    return true;
}

/* "<f4", ">i8", "|u1", "=f8" */
static bool parse_descr(const char *text, struct tdbg_array *a)
{
    static const struct {
        const char *code;
        enum tdbg_elem elem;
    } types[] = {{"b1", TDBG_ELEM_BOOL}, {"u1", TDBG_ELEM_U8},  {"i1", TDBG_ELEM_I8},
                 {"u2", TDBG_ELEM_U16},  {"i2", TDBG_ELEM_I16}, {"u4", TDBG_ELEM_U32},
                 {"i4", TDBG_ELEM_I32},  {"u8", TDBG_ELEM_U64}, {"i8", TDBG_ELEM_I64},
                 {"f2", TDBG_ELEM_F16},  {"f4", TDBG_ELEM_F32}, {"f8", TDBG_ELEM_F64}};
    if (!*text || !strchr("<>|=", *text))
        return false;
    a->swapped = *text == '>';
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].code, text + 1) == 0) {
            a->elem = types[i].elem;
            return true;
        }
    }
    return false;
}

static enum tdbg_status parse_dict(struct text_cursor *c, struct tdbg_array *a,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool has_descr = false, has_order = false, has_shape = false;
    char key[32], descr[32];
    TDBG_FAIL_IF(!text_take(c, '{'), DATA, "its header is no dict");
    while (!text_take(c, '}')) {
        TDBG_FAIL_IF(!take_string(c, key, sizeof key) || !text_take(c, ':'), DATA,
                     "its header is no dict of descr, fortran_order and shape");
        if (strcmp(key, "descr") == 0) {
            TDBG_FAIL_IF(!take_string(c, descr, sizeof descr) || !parse_descr(descr, a), DATA,
                         "its elements are not of a plain number type");
            has_descr = true;
        } else if (strcmp(key, "fortran_order") == 0) {
            text_skip_space(c);
            const bool is_c = c->end - c->at >= 5 && memcmp(c->at, "False", 5) == 0;
            TDBG_FAIL_IF(!is_c, DATA,
                         "it is in Fortran order; save numpy.ascontiguousarray(array)");
            c->at += 5;
            has_order = true;
        } else if (strcmp(key, "shape") == 0) {
            TDBG_FAIL_IF(!take_shape(c, a), DATA,
                         "its shape has more than %d dimensions or is none", TDBG_MAX_DIMS);
            has_shape = true;
        } else {
            TDBG_FAIL_IF(true, DATA, "its header has the unknown key '%.20s'", key);
        }
        text_take(c, ',');
    }
    TDBG_FAIL_IF(!has_descr || !has_order || !has_shape, DATA, "its header lacks a key");
out:
    return st;
}

static enum tdbg_status check_size(const struct tdbg_array *a, size_t bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t want = tdbg_elem_bytes(a->elem);
    for (int32_t d = 0; d < a->ndim; d++) {
        TDBG_FAIL_IF(a->dims[d] < 1, DATA, "dimension %d is empty", (int)d);
        TDBG_FAIL_IF((size_t)a->dims[d] > bytes / want, DATA,
                     "it is cut off: its header promises more than the %zu bytes that follow",
                     bytes);
        want *= (size_t)a->dims[d];
    }
    TDBG_FAIL_IF(want != bytes, DATA, "it has %zu bytes of data instead of %zu", bytes, want);
out:
    return st;
}

/* Fills an array over the bytes of a mapped file. */
static enum tdbg_status read_npy(const struct tdbg_dataset_request *r, const char *key,
                                 const char *path, struct tdbg_array *out, struct tdbg_err *err)
{
    (void)r;
    (void)key;
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_dataset_read_file(path, out, err));
    const unsigned char *p = out->data;
    const size_t n = (size_t)out->dims[0];
    TDBG_FAIL_IF(n < 12 || memcmp(p, "\x93NUMPY", 6) != 0, DATA, "not an npy file");
    TDBG_FAIL_IF(p[6] < 1 || p[6] > 3, DATA, "npy version %d; 1 to 3 are known", p[6]);
    const size_t at = p[6] == 1 ? 10 : 12;
    size_t header = (size_t)p[8] | (size_t)p[9] << 8;
    if (p[6] > 1)
        header |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    TDBG_FAIL_IF(header > MOST_HEADER_BYTES || header > n - at, DATA, "its header is cut off");
    struct text_cursor c = {(const char *)p + at, (const char *)p + at + header};
    TDBG_TRY(parse_dict(&c, out, err));
    out->data = p + at + header;
    TDBG_TRY(check_size(out, n - at - header, err));
out:
    if (st != TDBG_OK)
        tdbg_array_free(out);
    return st;
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    return tdbg_dataset_load_xy(r, "x", "y", read_npy, out, err);
}

static const struct tdbg_option options[] = {
    {"data.train.x", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training samples (samples, ...) as an .npy file, of any number type, in C order."},
    {"data.train.y", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training targets (samples, ...) as an .npy file."},
    {"data.test.x", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation samples."},
    {"data.test.y", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0, "Evaluation targets."},
    TDBG_INPUTS_OPTION,
    TDBG_TARGETS_OPTION,
    TDBG_PAD_OPTION,
};

const struct tdbg_dataset_kind tdbg_dataset_npy = {
    .name = "npy",
    .main_key = "x",
    .options = {options, (int)(sizeof options / sizeof options[0])},
    .load = load,
};
