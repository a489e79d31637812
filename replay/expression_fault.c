/* Faults of expressions as text. See expression.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "replay/expression.h"

bool tdbg_expr_fault_set(struct tdbg_expr_fault *fault, enum tdbg_status status, int column,
                         const char *hint, const char *fmt, ...)
{
    va_list args;
    fault->status = status;
    fault->column = column;
    snprintf(fault->hint, sizeof fault->hint, "%s", hint ? hint : "");
    va_start(args, fmt);
    vsnprintf(fault->text, sizeof fault->text, fmt, args);
    va_end(args);
    return false;
}

/* The text around the column, what cannot be printed as '?', and a caret below it. */
static void add_excerpt(struct tdbg_strbuf *sb, const char *text, int column)
{
    enum { BEFORE = 50, MOST = 72 };
    const size_t n = strlen(text), at = (size_t)(column > 0 ? column - 1 : 0);
    const size_t from = at > MOST - 8 ? at - BEFORE : 0;
    const size_t shown = n - from < MOST ? n - from : MOST;
    tdbg_strbuf_puts(sb, from > 0 ? "\n    ..." : "\n    ");
    for (size_t i = from; i < from + shown; i++)
        tdbg_strbuf_putc(sb, text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    tdbg_strbuf_puts(sb, from + shown < n ? "...\n    " : "\n    ");
    tdbg_strbuf_pad(sb, ' ', at - from + (from > 0 ? 3 : 0));
    tdbg_strbuf_putc(sb, '^');
}

enum tdbg_status tdbg_expr_raise(const char *text, const struct tdbg_expr_fault *fault,
                                 struct tdbg_err *err)
{
    struct tdbg_strbuf sb = {0};
    tdbg_strbuf_printf(&sb, "col %d: %s", fault->column, fault->text);
    if (strlen(text) >= (size_t)(fault->column > 0 ? fault->column - 1 : 0))
        add_excerpt(&sb, text, fault->column);
    if (fault->hint[0])
        tdbg_strbuf_printf(&sb, "\nhint: %s", fault->hint);
    tdbg_err_set(err, fault->status, __FILE__, __LINE__, "%s", sb.text);
    tdbg_strbuf_free(&sb);
    return fault->status;
}
