/* What libconfig would refuse, and why. libconfig only says "syntax error" and a line near it; this
 * walks the tokens by its grammar and stops at the first that does not fit, with a likely cause:
 *
 *     KEY --name--> ASSIGN --=--> VALUE --scalar or closed bracket--> AFTER --;--> KEY
 *                                   '--{--> KEY   '--( or [--> ITEM --value--> AFTER --,--> ITEM */
#include "base/config_internal.h"

#include <stdlib.h>
#include <string.h>

enum expect { EXPECT_KEY, EXPECT_ASSIGN, EXPECT_VALUE, EXPECT_ITEM, EXPECT_AFTER };

struct frame {
    const struct tdbg_config_token *open;  /* NULL: the file itself */
    const struct tdbg_config_token *first; /* '[': the item that all others have to match */
    size_t first_name;                     /* '{': where its keys begin in `names` */
};

struct walk {
    const struct tdbg_config_text *text;
    struct tdbg_config_fault *fault;
    struct frame stack[TDBG_CONFIG_MAX_DEPTH + 1];
    int depth;
    const struct tdbg_config_token **names; /* keys of all open groups, innermost last */
    size_t n_names, names_room;
    enum expect expect;
};

static struct frame *top(struct walk *w)
{
    return &w->stack[w->depth];
}

/* '\0' for the file itself. */
static char bracket(struct walk *w)
{
    return top(w)->open ? top(w)->open->text[0] : '\0';
}

static bool in_group(struct walk *w)
{
    return bracket(w) == '{' || bracket(w) == '\0';
}

/* These return true: "found it". The hint is printf text. */
#define FOUND(w, t, ...)                                                                           \
    found((w), (t), "syntax error", tdbg_arena_printf((w)->text->arena, __VA_ARGS__))

static bool found(struct walk *w, const struct tdbg_config_token *t, const char *message,
                  const char *hint)
{
    *w->fault = (struct tdbg_config_fault){
        .file = t->file, .line = t->line, .message = message, .hint = hint};
    return true;
}

/* A token for a message: "%.*s" wants an int, and strings can be long. */
static int width(const struct tdbg_config_token *t)
{
    return t->n_bytes < 40 ? (int)t->n_bytes : 40;
}

static bool is_scalar(const struct tdbg_config_token *t)
{
    return t->kind == TDBG_CONFIG_TOKEN_INT || t->kind == TDBG_CONFIG_TOKEN_FLOAT ||
           t->kind == TDBG_CONFIG_TOKEN_BOOL || t->kind == TDBG_CONFIG_TOKEN_STRING;
}

static bool is_word(const struct tdbg_config_token *t, const char *const *words)
{
    for (; *words; words++) {
        if (strlen(*words) == t->n_bytes && strncasecmp(*words, t->text, t->n_bytes) == 0)
            return true;
    }
    return false;
}

static bool is_end_char(const struct tdbg_config_token *t, char c)
{
    return t->kind == TDBG_CONFIG_TOKEN_END_OF_ITEM && t->text[0] == c;
}

static bool close_bracket(struct walk *w, const struct tdbg_config_token *t)
{
    static const char pairs[] = "{}()[]";
    if (!top(w)->open)
        return FOUND(w, t, "'%c' closes nothing", t->text[0]);
    char wanted = strchr(pairs, bracket(w))[1];
    if (t->text[0] != wanted)
        return FOUND(w, t, "'%c' of line %d is closed by '%c' instead of '%c'", bracket(w),
                     top(w)->open->line, t->text[0], wanted);
    if (bracket(w) == '{')
        w->n_names = top(w)->first_name;
    w->depth--;
    w->expect = EXPECT_AFTER;
    return false;
}

static bool open_bracket(struct walk *w, const struct tdbg_config_token *t)
{
    if (bracket(w) == '[')
        return FOUND(w, t, "[ ] holds only plain values; write ( ) for a list of lists or groups");
    w->depth++; /* within the stack: config_text.c limits the depth */
    *top(w) = (struct frame){.open = t, .first_name = w->n_names};
    w->expect = t->text[0] == '{' ? EXPECT_KEY : EXPECT_ITEM;
    return false;
}

static bool at_end(struct walk *w)
{
    const struct tdbg_config_token *open = top(w)->open;
    return open && FOUND(w, open, "this '%c' is never closed", open->text[0]);
}

static bool duplicate(struct walk *w, const struct tdbg_config_token *t)
{
    for (size_t i = top(w)->first_name; i < w->n_names; i++) {
        const struct tdbg_config_token *n = w->names[i];
        if (n->n_bytes != t->n_bytes || memcmp(n->text, t->text, t->n_bytes) != 0)
            continue;
        struct tdbg_arena *arena = w->text->arena;
        const char *message = tdbg_arena_printf(arena, "duplicate key '%.*s'", width(t), t->text);
        if (n->file == t->file)
            return found(w, t, message,
                         tdbg_arena_printf(arena, "it is set on line %d already", n->line));
        return found(
            w, t, message,
            tdbg_arena_printf(arena, "it is set at %s:%d already", n->file->name, n->line));
    }
    w->names = tdbg_config_grow(w->names, w->n_names, &w->names_room, sizeof *w->names);
    w->names[w->n_names++] = t;
    return false;
}

static bool on_key(struct walk *w, const struct tdbg_config_token *t)
{
    switch (t->kind) {
    case TDBG_CONFIG_TOKEN_NAME:
        w->expect = EXPECT_ASSIGN;
        return duplicate(w, t);
    case TDBG_CONFIG_TOKEN_CLOSE:
        return close_bracket(w, t);
    case TDBG_CONFIG_TOKEN_END:
        return at_end(w);
    case TDBG_CONFIG_TOKEN_ASSIGN:
        return FOUND(w, t, "a key is missing before '%c'", t->text[0]);
    case TDBG_CONFIG_TOKEN_END_OF_ITEM:
        return FOUND(w, t, "there is no setting before this '%c'", t->text[0]);
    default:
        return FOUND(w, t, "expected a setting (key = value;), not %.*s", width(t), t->text);
    }
}

static bool on_assign(struct walk *w, const struct tdbg_config_token *t)
{
    const struct tdbg_config_token *name = t - 1;
    if (t->kind == TDBG_CONFIG_TOKEN_ASSIGN) {
        w->expect = EXPECT_VALUE;
        return false;
    }
    return FOUND(w, name, "missing '=' after '%.*s'", width(name), name->text);
}

/* A word where a value has to be. */
static bool bare_word(struct walk *w, const struct tdbg_config_token *t)
{
    static const char *const not_numbers[] = {"nan", "inf", "infinity", NULL};
    static const char *const yes[] = {"yes", "on", NULL}, *const no[] = {"no", "off", NULL};
    static const char *const nothing[] = {"null", "none", "nil", NULL};
    if (is_word(t, not_numbers))
        return found(w, t,
                     tdbg_arena_printf(w->text->arena, "'%.*s' is not a number", width(t), t->text),
                     "NaN and infinity are not accepted as values");
    if ((t + 1)->kind == TDBG_CONFIG_TOKEN_ASSIGN) {
        if (in_group(w))
            return FOUND(w, t - 1, "missing value after '='");
        return FOUND(w, t, "settings in a list need braces: ( { %.*s = ...; } )", width(t),
                     t->text);
    }
    if (is_word(t, nothing))
        return FOUND(w, t, "there is no %.*s: leave the key out", width(t), t->text);
    if (is_word(t, yes) || is_word(t, no))
        return FOUND(w, t, "write %s, or \"%.*s\" for a string", is_word(t, yes) ? "true" : "false",
                     width(t), t->text);
    return FOUND(w, t, "strings need quotes: \"%.*s\"", width(t), t->text);
}

/* Items of [ ] have one type. */
static bool mixed_array(struct walk *w, const struct tdbg_config_token *t)
{
    const struct tdbg_config_token *first = top(w)->first;
    if (!first) {
        top(w)->first = t;
        return false;
    }
    if (first->kind == t->kind)
        return false;
    const struct tdbg_config_token *integer = first->kind == TDBG_CONFIG_TOKEN_INT ? first : t;
    const struct tdbg_config_token *other = integer == first ? t : first;
    if (integer->kind == TDBG_CONFIG_TOKEN_INT && other->kind == TDBG_CONFIG_TOKEN_FLOAT)
        return found(w, integer, "[ ] mixes integers and numbers with a point",
                     tdbg_arena_printf(w->text->arena, "write %lld.0 instead of %.*s",
                                       (long long)integer->i, width(integer), integer->text));
    return found(w, t, "[ ] mixes values of different types",
                 "write ( ) for a list with values of different types");
}

static bool on_value(struct walk *w, const struct tdbg_config_token *t)
{
    const struct tdbg_config_token *before = t - 1; /* there is one: '=' or a bracket or ',' */
    if (is_scalar(t)) {
        w->expect = EXPECT_AFTER;
        return bracket(w) == '[' && mixed_array(w, t);
    }
    if (t->kind == TDBG_CONFIG_TOKEN_OPEN)
        return open_bracket(w, t);
    if (t->kind == TDBG_CONFIG_TOKEN_NAME)
        return bare_word(w, t);
    if (in_group(w))
        return FOUND(w, before, "missing value after '%c'", before->text[0]);
    if (t->kind == TDBG_CONFIG_TOKEN_CLOSE) {
        if (before->kind == TDBG_CONFIG_TOKEN_END_OF_ITEM)
            return FOUND(w, before, "remove the '%c' before '%c'", before->text[0], t->text[0]);
        return close_bracket(w, t);
    }
    if (t->kind == TDBG_CONFIG_TOKEN_END)
        return at_end(w);
    return FOUND(w, t, "missing value before '%c'", t->text[0]);
}

static bool on_after_item(struct walk *w, const struct tdbg_config_token *t)
{
    if (is_end_char(t, ',')) {
        w->expect = EXPECT_ITEM;
        return false;
    }
    if (is_end_char(t, ';'))
        return FOUND(w, t, "items of a list are separated by ',', not by ';'");
    return FOUND(w, t, "missing ',' before %.*s, or missing '%c'", width(t), t->text,
                 bracket(w) == '(' ? ')' : ']');
}

static bool on_after(struct walk *w, const struct tdbg_config_token *t)
{
    if (t->kind == TDBG_CONFIG_TOKEN_STRING && (t - 1)->kind == TDBG_CONFIG_TOKEN_STRING)
        return false; /* "a" "b" is one string */
    if (t->kind == TDBG_CONFIG_TOKEN_CLOSE)
        return close_bracket(w, t);
    if (t->kind == TDBG_CONFIG_TOKEN_END)
        return at_end(w);
    if (!in_group(w))
        return on_after_item(w, t);
    w->expect = EXPECT_KEY;
    if (t->kind == TDBG_CONFIG_TOKEN_END_OF_ITEM)
        return false;
    if (t->kind == TDBG_CONFIG_TOKEN_NAME) /* libconfig does without the ';' */
        return on_key(w, t);
    if (is_scalar(t))
        return FOUND(w, t, "a key has one value; a list is written [%.*s, %.*s]", width(t - 1),
                     (t - 1)->text, width(t), t->text);
    return FOUND(w, t, "missing ';' or key before '%.*s'", width(t), t->text);
}

bool tdbg_config_explain(const struct tdbg_config_text *text, struct tdbg_config_fault *fault)
{
    static bool (*const on[])(struct walk *, const struct tdbg_config_token *) = {
        [EXPECT_KEY] = on_key,    [EXPECT_ASSIGN] = on_assign, [EXPECT_VALUE] = on_value,
        [EXPECT_ITEM] = on_value, [EXPECT_AFTER] = on_after,
    };
    struct walk w = {.text = text, .fault = fault};
    bool explained = false;
    for (size_t i = 0; i < text->n_tokens && !explained; i++)
        explained = on[w.expect](&w, &text->tokens[i]);
    free(w.names);
    return explained;
}
