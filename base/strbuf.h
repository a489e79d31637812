/* A growing string, for text whose length is not known before: messages, canonical configs. Use
 * the arena's printf for short fixed texts. Also the one place that knows what valid UTF-8 is. */
#ifndef TDBG_BASE_STRBUF_H
#define TDBG_BASE_STRBUF_H

#include <stdarg.h>
#include <stddef.h>

/* Start as `struct tdbg_strbuf sb = {0};`. text is NULL while nothing was added, else it ends with
 * a zero byte at text[n_bytes]. */
struct tdbg_strbuf {
    char *text;
    size_t n_bytes, room_bytes;
};

/* All of these abort with a message when memory is out. */
void tdbg_strbuf_add(struct tdbg_strbuf *sb, const char *text, size_t n_bytes);
void tdbg_strbuf_puts(struct tdbg_strbuf *sb, const char *text);
void tdbg_strbuf_putc(struct tdbg_strbuf *sb, char c);
void tdbg_strbuf_pad(struct tdbg_strbuf *sb, char c, size_t times);
void tdbg_strbuf_printf(struct tdbg_strbuf *sb, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tdbg_strbuf_vprintf(struct tdbg_strbuf *sb, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Hands the text over ("" when nothing was added); the caller frees it with free(). */
char *tdbg_strbuf_take(struct tdbg_strbuf *sb);

/* Frees the text and starts again. */
void tdbg_strbuf_free(struct tdbg_strbuf *sb);

/* Bytes of the well-formed UTF-8 character at text (1..4), or 0 where there is none within n_bytes
 * (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
size_t tdbg_utf8_length(const char *text, size_t n_bytes);

#endif
