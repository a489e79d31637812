/* See vocabulary.h. */
#include "base/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

enum tdbg_status tdbg_vocabulary_alloc(struct tdbg_vocabulary *out, int64_t n_tokens,
                                       int64_t n_bytes, struct tdbg_err *err)
{
    struct tdbg_vocabulary v = {.n_tokens = n_tokens};
    v.start = calloc((size_t)n_tokens + 1, sizeof *v.start);
    v.bytes = calloc((size_t)n_bytes + 1, 1);
    if (!v.start || !v.bytes) {
        tdbg_vocabulary_free(&v);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a vocabulary");
    }
    *out = v;
    return TDBG_OK;
}

void tdbg_vocabulary_free(struct tdbg_vocabulary *v)
{
    free(v->start);
    free(v->bytes);
    *v = (struct tdbg_vocabulary){0};
}

static int64_t utf8_bytes(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static void put_utf8(uint32_t code, int64_t n_bytes, unsigned char *to)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int64_t i = n_bytes - 1; i > 0; i--, code >>= 6)
        to[i] = (unsigned char)(0x80 | (code & 0x3f));
    to[0] = (unsigned char)(lead[n_bytes] | code);
}

enum tdbg_status tdbg_vocabulary_of_code_points(const uint32_t *code, int64_t n,
                                                struct tdbg_vocabulary *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++)
        total += utf8_bytes(code[i]);
    TDBG_TRY(tdbg_vocabulary_alloc(out, n, total, err));
    for (int64_t i = 0; i < n; i++) {
        const int64_t length = utf8_bytes(code[i]);
        put_utf8(code[i], length, out->bytes + out->start[i]);
        out->start[i + 1] = out->start[i] + length;
    }
out:
    return st;
}

enum tdbg_status tdbg_vocabulary_of_bytes(struct tdbg_vocabulary *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_vocabulary_alloc(out, 256, 256, err));
    for (int i = 0; i < 256; i++) {
        out->bytes[i] = (unsigned char)i;
        out->start[i + 1] = i + 1;
    }
out:
    return st;
}

enum tdbg_status tdbg_vocabulary_copy(const struct tdbg_vocabulary *from,
                                      struct tdbg_vocabulary *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t n_bytes = from->n_tokens > 0 ? from->start[from->n_tokens] : 0;
    *out = (struct tdbg_vocabulary){0};
    if (from->n_tokens == 0)
        return TDBG_OK;
    TDBG_TRY(tdbg_vocabulary_alloc(out, from->n_tokens, n_bytes, err));
    memcpy(out->start, from->start, ((size_t)from->n_tokens + 1) * sizeof *out->start);
    memcpy(out->bytes, from->bytes, (size_t)n_bytes);
out:
    return st;
}

bool tdbg_vocabulary_is_sound(const struct tdbg_vocabulary *v, int64_t n_bytes)
{
    for (int64_t i = 0; i < v->n_tokens; i++) {
        if (v->start[i + 1] < v->start[i])
            return false;
    }
    return v->start[0] == 0 && v->start[v->n_tokens] == n_bytes;
}

bool tdbg_vocabulary_is_of_characters(const struct tdbg_vocabulary *v)
{
    for (int64_t i = 0; i < v->n_tokens; i++) {
        const size_t n = (size_t)(v->start[i + 1] - v->start[i]);
        if (n == 0 || tdbg_utf8_length((const char *)v->bytes + v->start[i], n) != n)
            return false;
    }
    return v->n_tokens > 0;
}
