/* Tokens of libconfig's syntax, with the checks that libconfig leaves out: numbers that do not fit,
 * unknown escapes, comments and strings without an end. Grammar is not this file's business. */
#include "base/config_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Not ctype.h: these must not depend on the locale. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex_digit(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Turns the token into a bad one. */
static void refuse(struct tdbg_config_token *t, struct tdbg_config_fault *fault,
                   const char *message, const char *hint)
{
    t->kind = TDBG_CONFIG_TOKEN_BAD;
    *fault = (struct tdbg_config_fault){
        .file = t->file, .line = t->line, .message = message, .hint = hint};
}

/* Skips white space and comments; false: a comment has no end (its line is in the cursor). */
static bool skip_blank(struct tdbg_config_cursor *c)
{
    for (;;) {
        if (*c->at == '\n') {
            c->line++;
            c->at++;
        } else if (*c->at && strchr(" \t\f\v\r", *c->at)) {
            c->at++;
        } else if (*c->at == '#' || (c->at[0] == '/' && c->at[1] == '/')) {
            c->at += strcspn(c->at, "\n");
        } else if (c->at[0] == '/' && c->at[1] == '*') {
            const char *end = strstr(c->at + 2, "*/");
            if (!end)
                return false;
            for (; c->at < end + 2; c->at++)
                c->line += *c->at == '\n';
        } else {
            return true;
        }
    }
}

/* Length of the word that starts like a number: "1e-3", "0x1f", "-.5", also "12abc" and "-inf". */
static size_t number_span(const char *p)
{
    bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    size_t n = 1;
    for (;; n++) {
        bool exponent_sign =
            !hex && (p[n] == '+' || p[n] == '-') && (p[n - 1] == 'e' || p[n - 1] == 'E') && n > 1;
        if (!is_digit(p[n]) && !is_letter(p[n]) && p[n] != '_' && p[n] != '.' && !exponent_sign)
            return n;
    }
}

/* Is the word an integer in our syntax? *hex tells which base. */
static bool looks_like_int(const char *word, bool *hex)
{
    const char *p = word;
    *hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    p += *hex ? 2 : (*p == '+' || *p == '-');
    const char *digits = p;
    while (*hex ? is_hex_digit(*p) : is_digit(*p))
        p++;
    if (p == digits)
        return false;
    for (int i = 0; i < 2 && *p == 'L'; i++)
        p++;
    return *p == '\0';
}

/* Is the word a float: sign, digits with a point or an exponent, at least one digit? */
static bool looks_like_float(const char *word, bool *any_nonzero)
{
    const char *p = word + (*word == '+' || *word == '-');
    int n_digits = 0;
    bool point = false;
    *any_nonzero = false;
    for (; is_digit(*p) || (*p == '.' && !point); p++) {
        point = point || *p == '.';
        n_digits += is_digit(*p);
        *any_nonzero = *any_nonzero || (*p >= '1' && *p <= '9');
    }
    if (n_digits == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        if (!is_digit(*p))
            return false;
        while (is_digit(*p))
            p++;
    }
    return *p == '\0';
}

static void refuse_range(struct tdbg_config_token *t, struct tdbg_config_fault *fault,
                         const char *message, const char *hint)
{
    refuse(t, fault, message, hint);
    fault->is_range = true;
}

/* A word that is no number after all. */
static void refuse_number(struct tdbg_config_token *t, struct tdbg_arena *arena, const char *word,
                          struct tdbg_config_fault *fault)
{
    const char *bare = word + (*word == '+' || *word == '-');
    const char *hint = "a value with letters is a string and needs quotes";
    if (strncasecmp(bare, "nan", 3) == 0 || strncasecmp(bare, "inf", 3) == 0)
        hint = "NaN and infinity are not accepted as values";
    refuse(t, fault, tdbg_arena_printf(arena, "'%.40s' is not a number", word), hint);
}

static void read_number(struct tdbg_config_cursor *c, struct tdbg_config_token *t,
                        struct tdbg_arena *arena, struct tdbg_config_fault *fault)
{
    t->n_bytes = number_span(c->at);
    char *word = strndup(c->at, t->n_bytes);
    bool hex = false, any_nonzero = false;
    c->at += t->n_bytes;
    errno = 0;
    if (!word) {
        refuse(t, fault, "out of memory", NULL);
    } else if (looks_like_int(word, &hex)) {
        t->kind = TDBG_CONFIG_TOKEN_INT;
        t->i = strtoll(word, NULL, hex ? 16 : 10);
        if (errno == ERANGE)
            refuse_range(t, fault, tdbg_arena_printf(arena, "integer %.40s is too large", word),
                         "integers are -9223372036854775808..9223372036854775807");
    } else if (looks_like_float(word, &any_nonzero)) {
        t->kind = TDBG_CONFIG_TOKEN_FLOAT;
        t->f = strtod(word, NULL);
        if (!isfinite(t->f))
            refuse_range(t, fault, tdbg_arena_printf(arena, "number %.40s is too large", word),
                         "the largest number is 1.7976931348623157e+308");
        else if (t->f == 0 && any_nonzero)
            refuse_range(t, fault, tdbg_arena_printf(arena, "number %.40s is too close to 0", word),
                         "the smallest number above 0 is 4.94e-324");
    } else {
        refuse_number(t, arena, word, fault);
    }
    free(word);
}

/* Length of the escape at p, backslash included; 0: there is no such escape. */
static size_t escape_length(const char *p)
{
    if ((p[1] == 'x' || p[1] == 'X') && is_hex_digit(p[2]) && is_hex_digit(p[3]))
        return 4;
    return p[1] && strchr("\\\"ntrf", p[1]) ? 2 : 0;
}

static void read_string(struct tdbg_config_cursor *c, struct tdbg_config_token *t,
                        struct tdbg_config_fault *fault)
{
    const char *p = c->at + 1, *bad = NULL;
    int first_line = c->line;
    while (*p && *p != '"' && !bad) {
        size_t n = *p == '\\' ? escape_length(p) : 1;
        if (n == 0 || (n == 4 && memcmp(p + 2, "00", 2) == 0))
            bad = p;
        c->line += *p == '\n';
        p += n;
    }
    t->kind = TDBG_CONFIG_TOKEN_STRING;
    if (bad) {
        t->line = c->line; /* where the escape is, not where the string began */
        refuse(t, fault, "unknown escape in a string",
               "escapes are \\\\ \\\" \\n \\t \\r \\f and \\x01 to \\xff; "
               "a backslash is written \\\\");
    } else if (*p != '"') {
        t->line = first_line;
        refuse(t, fault, "syntax error", "the string that begins here is never closed");
    }
    t->n_bytes = (size_t)(p - c->at) + (*p == '"');
    c->at += t->n_bytes;
}

static void read_name(struct tdbg_config_cursor *c, struct tdbg_config_token *t)
{
    size_t n = 1;
    while (is_letter(c->at[n]) || is_digit(c->at[n]) || (c->at[n] && strchr("-_*", c->at[n])))
        n++;
    bool is_bool = (n == 4 && strncasecmp(c->at, "true", 4) == 0) ||
                   (n == 5 && strncasecmp(c->at, "false", 5) == 0);
    t->kind = is_bool ? TDBG_CONFIG_TOKEN_BOOL : TDBG_CONFIG_TOKEN_NAME;
    t->n_bytes = n;
    c->at += n;
}

/* @include "path" at the start of a line. */
static void read_include(struct tdbg_config_cursor *c, struct tdbg_config_token *t,
                         struct tdbg_config_fault *fault)
{
    const char *start = c->at;
    while (start > c->file->text && (start[-1] == ' ' || start[-1] == '\t'))
        start--;
    bool at_start = start == c->file->text || start[-1] == '\n';
    size_t blank = strspn(c->at + strlen("@include"), " \t");
    const char *quote = c->at + strlen("@include") + blank;
    if (!at_start || *quote != '"') {
        refuse(t, fault, "syntax error", "a line of its own is needed: @include \"other.cfg\"");
        return;
    }
    c->at = quote;
    t->text = quote;
    read_string(c, t, fault);
    if (t->kind == TDBG_CONFIG_TOKEN_STRING)
        t->kind = TDBG_CONFIG_TOKEN_INCLUDE;
}

struct tdbg_config_token tdbg_config_token_next(struct tdbg_config_cursor *c,
                                                struct tdbg_arena *arena,
                                                struct tdbg_config_fault *fault)
{
    bool comment_ends = skip_blank(c);
    struct tdbg_config_token t = {.text = c->at, .n_bytes = 1, .file = c->file, .line = c->line};
    char first = *c->at;
    if (!comment_ends) {
        refuse(&t, fault, "syntax error", "the comment that begins here is never closed");
    } else if (first == '\0') {
        t.kind = TDBG_CONFIG_TOKEN_END;
        t.n_bytes = 0;
    } else if (is_letter(first) || first == '*') {
        read_name(c, &t);
    } else if (is_digit(first) || strchr("+-.", first)) {
        read_number(c, &t, arena, fault);
    } else if (first == '"') {
        read_string(c, &t, fault);
    } else if (first == '@' && strncmp(c->at, "@include", 8) == 0) {
        read_include(c, &t, fault);
    } else if (strchr("=:{}()[],;", first)) {
        t.kind = first == '=' || first == ':'   ? TDBG_CONFIG_TOKEN_ASSIGN
                 : strchr("{([", first)         ? TDBG_CONFIG_TOKEN_OPEN
                 : first == ',' || first == ';' ? TDBG_CONFIG_TOKEN_END_OF_ITEM
                                                : TDBG_CONFIG_TOKEN_CLOSE;
        c->at++;
    } else if (first == '\'') {
        refuse(&t, fault, "syntax error", "strings are written in double quotes");
    } else if (first == '_') {
        refuse(&t, fault, "syntax error", "a key starts with a letter");
    } else {
        int length = (int)tdbg_utf8_length(c->at, strlen(c->at) < 4 ? strlen(c->at) : 4);
        refuse(&t, fault, "syntax error",
               (unsigned char)first < 0x20 || first == 0x7f
                   ? "a control character has no place here"
                   : tdbg_arena_printf(arena, "'%.*s' has no meaning here", length, c->at));
    }
    return t;
}
