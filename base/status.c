/* Status texts, the error value, and the abort of a broken invariant. See status.h. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    int exit_code;
} status_table[] = {
#define STATUS_ROW(name, text, code) {text, code},
    TDBG_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

const char *tdbg_status_text(enum tdbg_status status)
{
    return status_table[status].text;
}

int tdbg_status_exit_code(enum tdbg_status status)
{
    return status_table[status].exit_code;
}

/* Formats into a fresh string; NULL when memory is out. */
static char *format_message(const char *fmt, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        return NULL;
    return text;
}

enum tdbg_status tdbg_err_set(struct tdbg_err *err, enum tdbg_status status, const char *file,
                              int line, const char *fmt, ...)
{
    if (!err)
        return status;
    va_list args;
    va_start(args, fmt);
    char *text = format_message(fmt, args);
    va_end(args);
    free(err->message); /* after formatting: the old message may be an argument of the new one */
    *err = (struct tdbg_err){.status = status, .message = text, .file = file, .line = line};
    return status;
}

enum tdbg_status tdbg_err_prefix(struct tdbg_err *err, const char *fmt, ...)
{
    TDBG_ASSERT(err);
    va_list args;
    va_start(args, fmt);
    char *context = format_message(fmt, args);
    va_end(args);
    char *joined = NULL;
    const char *old = err->message ? err->message : tdbg_status_text(err->status);
    if (context && asprintf(&joined, "%s: %s", context, old) >= 0) {
        free(err->message);
        err->message = joined;
    }
    free(context);
    return err->status;
}

void tdbg_err_clear(struct tdbg_err *err)
{
    if (!err)
        return;
    free(err->message);
    *err = (struct tdbg_err){0};
}

void tdbg_bug(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "tdbg: internal error at %s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fputs("\nThis is a bug in tdbg. Please report it with the command that led here.\n", stderr);
    va_end(args);
    abort();
}
