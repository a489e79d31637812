/* Escaping. See html.h. */
#include "cli/html.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/strbuf.h"

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void cli_html_text(FILE *out, const char *text)
{
    const size_t n = text ? strlen(text) : 0;
    for (size_t i = 0; i < n;) {
        const size_t bytes = tdbg_utf8_length(text + i, n - i);
        const unsigned char c = (unsigned char)text[i];
        const bool is_control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
                                (c == 0xc2 && bytes == 2 && (unsigned char)text[i + 1] < 0xa0);
        if (bytes == 0 || is_control)
            fputs("\xef\xbf\xbd", out);
        else if (entity(text[i]))
            fputs(entity(text[i]), out);
        else
            fwrite(text + i, 1, bytes, out);
        i += bytes ? bytes : 1;
    }
}

void cli_html_element(FILE *out, const char *tag, const char *class_name, const char *text)
{
    if (class_name)
        fprintf(out, "<%s class=\"%s\">", tag, class_name);
    else
        fprintf(out, "<%s>", tag);
    cli_html_text(out, text);
    fprintf(out, "</%s>", tag);
}

void cli_html_elementf(FILE *out, const char *tag, const char *class_name, const char *fmt, ...)
{
    struct tdbg_strbuf text = {0};
    va_list args;
    va_start(args, fmt);
    tdbg_strbuf_vprintf(&text, fmt, args);
    va_end(args);
    cli_html_element(out, tag, class_name, text.text);
    tdbg_strbuf_free(&text);
}
