/* The growing string and the UTF-8 check. See strbuf.h. */
#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* Makes room for n_bytes more and the zero byte. */
static void reserve(struct tdbg_strbuf *sb, size_t n_bytes)
{
    size_t need = sb->n_bytes + n_bytes + 1;
    if (need <= sb->room_bytes)
        return;
    size_t room = sb->room_bytes * 2 > need ? sb->room_bytes * 2 : need + 32;
    char *text = realloc(sb->text, room);
    if (!text)
        TDBG_BUG("no memory for a text of %zu bytes", room);
    sb->text = text;
    sb->room_bytes = room;
}

void tdbg_strbuf_add(struct tdbg_strbuf *sb, const char *text, size_t n_bytes)
{
    reserve(sb, n_bytes);
    if (n_bytes)
        memcpy(sb->text + sb->n_bytes, text, n_bytes);
    sb->n_bytes += n_bytes;
    sb->text[sb->n_bytes] = '\0';
}

void tdbg_strbuf_puts(struct tdbg_strbuf *sb, const char *text)
{
    tdbg_strbuf_add(sb, text, strlen(text));
}

void tdbg_strbuf_putc(struct tdbg_strbuf *sb, char c)
{
    tdbg_strbuf_add(sb, &c, 1);
}

void tdbg_strbuf_pad(struct tdbg_strbuf *sb, char c, size_t times)
{
    reserve(sb, times);
    memset(sb->text + sb->n_bytes, c, times);
    sb->n_bytes += times;
    sb->text[sb->n_bytes] = '\0';
}

void tdbg_strbuf_vprintf(struct tdbg_strbuf *sb, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    TDBG_ASSERT(n >= 0);
    reserve(sb, (size_t)n);
    vsnprintf(sb->text + sb->n_bytes, (size_t)n + 1, fmt, again);
    va_end(again);
    sb->n_bytes += (size_t)n;
}

void tdbg_strbuf_printf(struct tdbg_strbuf *sb, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tdbg_strbuf_vprintf(sb, fmt, args);
    va_end(args);
}

char *tdbg_strbuf_take(struct tdbg_strbuf *sb)
{
    reserve(sb, 0);
    sb->text[sb->n_bytes] = '\0';
    char *text = sb->text;
    *sb = (struct tdbg_strbuf){0};
    return text;
}

void tdbg_strbuf_free(struct tdbg_strbuf *sb)
{
    free(sb->text);
    *sb = (struct tdbg_strbuf){0};
}

size_t tdbg_utf8_length(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n_bytes == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    /* The second byte's range depends on the first; the others are always 80..BF. */
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;
    unsigned low = 0x80, high = 0xbf;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > n_bytes)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}
