/* A config file with all that it includes, as tokens and as plain text for libconfig, which never
 * opens a file itself: its own @include reads whatever it is pointed at without a limit. */
#include "base/config_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

void *tdbg_config_grow(void *items, size_t n, size_t *room, size_t item_bytes)
{
    if (n < *room)
        return items;
    *room = *room ? *room * 2 : 64;
    void *more = realloc(items, *room * item_bytes);
    if (!more)
        TDBG_BUG("no memory for %zu items of %zu bytes", *room, item_bytes);
    return more;
}

void tdbg_config_text_free(struct tdbg_config_text *text)
{
    free(text->tokens);
    free(text->places);
    tdbg_strbuf_free(&text->plain);
}

/* Files are few and are asked for until the config dies, so the list lives in the arena. */
static void add_file(struct tdbg_config_text *text, const struct tdbg_config_file *file)
{
    if (text->n_files == text->files_room) {
        text->files_room = text->files_room ? text->files_room * 2 : 8;
        const struct tdbg_config_file **files =
            tdbg_arena_alloc(text->arena, text->files_room * sizeof *files);
        for (size_t i = 0; i < text->n_files; i++)
            files[i] = text->files[i];
        text->files = files;
    }
    text->files[text->n_files++] = file;
}

static void add_place(struct tdbg_config_text *text, const struct tdbg_config_file *file, int line)
{
    text->places =
        tdbg_config_grow(text->places, text->n_places, &text->places_room, sizeof *text->places);
    text->places[text->n_places++] = (struct tdbg_config_place){.file = file, .line = line};
}

/* Appends the token to the plain text; a new line whenever the source line changes. */
static void add_plain(struct tdbg_config_text *text, const struct tdbg_config_token *t)
{
    struct tdbg_config_place *last = text->n_places ? &text->places[text->n_places - 1] : NULL;
    if (!last || last->file != t->file || last->line != t->line) {
        if (last)
            tdbg_strbuf_putc(&text->plain, '\n');
        add_place(text, t->file, t->line);
    } else {
        tdbg_strbuf_putc(&text->plain, ' ');
    }
    if (t->kind == TDBG_CONFIG_TOKEN_INT || t->kind == TDBG_CONFIG_TOKEN_FLOAT) {
        bool is_int = t->kind == TDBG_CONFIG_TOKEN_INT;
        struct tdbg_cfg_node number = {
            .type = is_int ? TDBG_CFG_INT : TDBG_CFG_FLOAT, .i = t->i, .f = t->f};
        tdbg_config_put_scalar(&text->plain, &number, true);
        return;
    }
    tdbg_strbuf_add(&text->plain, t->text, t->n_bytes);
    int line = t->line;
    for (size_t i = 0; i < t->n_bytes; i++) { /* strings may hold new lines */
        if (t->text[i] == '\n')
            add_place(text, t->file, ++line);
    }
}

/* What is counted to keep hostile input within bounds. The stack of keys goes with the brackets. */
struct limits {
    int depth, n_keys[TDBG_CONFIG_MAX_DEPTH + 1];
};

static const char *check_limits(struct limits *limits, const struct tdbg_config_text *text,
                                const struct tdbg_config_token *t)
{
    if (text->n_tokens >= TDBG_CONFIG_MAX_TOKENS)
        return "too many values in one config (more than a million words)";
    if (t->kind == TDBG_CONFIG_TOKEN_OPEN) {
        if (limits->depth == TDBG_CONFIG_MAX_DEPTH)
            return "brackets are nested too deep (at most 64 levels)";
        limits->n_keys[++limits->depth] = 0;
    } else if (t->kind == TDBG_CONFIG_TOKEN_CLOSE && limits->depth > 0) {
        limits->depth--;
    } else if (t->kind == TDBG_CONFIG_TOKEN_ASSIGN) {
        if (++limits->n_keys[limits->depth] > TDBG_CONFIG_MAX_KEYS)
            return "too many keys in one group (at most 4096)";
    }
    return NULL;
}

static void add_token(struct tdbg_config_text *text, const struct tdbg_config_token *t)
{
    text->tokens =
        tdbg_config_grow(text->tokens, text->n_tokens, &text->tokens_room, sizeof *text->tokens);
    text->tokens[text->n_tokens++] = *t;
    if (t->kind != TDBG_CONFIG_TOKEN_END)
        add_plain(text, t);
}

/* Path of an @include: its string without quotes and escapes. */
static const char *include_path(struct tdbg_config_text *text, const struct tdbg_config_token *t)
{
    char *path = tdbg_arena_alloc(text->arena, t->n_bytes);
    size_t n = 0;
    for (size_t i = 1; i + 1 < t->n_bytes; i++) {
        i += t->text[i] == '\\' && strchr("\\\"", t->text[i + 1]);
        path[n++] = t->text[i];
    }
    return tdbg_config_join(text->arena, t->file->name, path);
}

/* Opens what an @include names; NULL: *fault says why, at the include's line. */
static const struct tdbg_config_file *open_include(struct tdbg_config_text *text,
                                                   const struct tdbg_config_token *t, int depth,
                                                   struct tdbg_config_fault *fault)
{
    const char *why = NULL;
    const struct tdbg_config_file *file = NULL;
    if (!text->allow_include)
        why = "@include works in files only";
    else if (depth >= TDBG_CONFIG_INCLUDE_DEPTH)
        why = "files include each other too deep (at most 10 levels)";
    else if (text->n_files > TDBG_CONFIG_MAX_INCLUDES)
        why = "too many @include lines (at most 256)";
    else
        file = tdbg_config_file_read(text->arena, include_path(text, t),
                                     TDBG_CONFIG_MAX_BYTES - text->total_bytes, fault);
    if (file)
        return file;
    if (why || !fault->file) /* a fault inside the included file names that file's line */
        *fault = (struct tdbg_config_fault){
            .file = t->file, .line = t->line, .message = why ? why : fault->message};
    return NULL;
}

/* Splices a file in, and those that it includes: a stack instead of a recursion. */
static bool splice(struct tdbg_config_text *text, const struct tdbg_config_file *main_file,
                   struct tdbg_config_fault *fault)
{
    struct tdbg_config_cursor stack[TDBG_CONFIG_INCLUDE_DEPTH + 1];
    struct limits limits = {0};
    int depth = 0;
    stack[0] = (struct tdbg_config_cursor){.file = main_file, .at = main_file->text, .line = 1};
    text->total_bytes = main_file->n_bytes;
    add_file(text, main_file);
    for (;;) {
        struct tdbg_config_token t = tdbg_config_token_next(&stack[depth], text->arena, fault);
        if (t.kind == TDBG_CONFIG_TOKEN_BAD)
            return false;
        if (t.kind == TDBG_CONFIG_TOKEN_END && depth > 0) {
            depth--;
            continue;
        }
        if (t.kind == TDBG_CONFIG_TOKEN_INCLUDE) {
            const struct tdbg_config_file *file = open_include(text, &t, depth, fault);
            if (!file)
                return false;
            text->total_bytes += file->n_bytes;
            add_file(text, file);
            stack[++depth] = (struct tdbg_config_cursor){.file = file, .at = file->text, .line = 1};
            continue;
        }
        const char *limit = check_limits(&limits, text, &t);
        if (limit) {
            *fault = (struct tdbg_config_fault){.file = t.file, .line = t.line, .message = limit};
            return false;
        }
        add_token(text, &t);
        if (t.kind == TDBG_CONFIG_TOKEN_END)
            break;
    }
    tdbg_strbuf_putc(&text->plain, '\n');
    return true;
}

bool tdbg_config_text_load(struct tdbg_config_text *text, const char *path,
                           struct tdbg_config_fault *fault)
{
    const struct tdbg_config_file *file =
        tdbg_config_file_read(text->arena, path, TDBG_CONFIG_MAX_BYTES, fault);
    return file && splice(text, file, fault);
}

bool tdbg_config_text_parse(struct tdbg_config_text *text, const char *source, const char *name,
                            struct tdbg_config_fault *fault)
{
    const struct tdbg_config_file *file = tdbg_config_file_wrap(text->arena, source, name, fault);
    return file && splice(text, file, fault);
}
