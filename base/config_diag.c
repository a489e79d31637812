/* Faults and diagnostics as text: "train.cfg:12: error: ...", the source line, the hint. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/status.h"

enum { EXCERPT_BYTES = 160, MESSAGE_BYTES = 400 };

void tdbg_config_put_clean(struct tdbg_strbuf *sb, const char *text, size_t n_bytes, size_t most)
{
    size_t i = 0;
    while (i < n_bytes && i < most) {
        size_t length = tdbg_utf8_length(text + i, n_bytes - i);
        unsigned char c = (unsigned char)text[i];
        bool c1 = length == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
        if (c == '\t')
            tdbg_strbuf_putc(sb, ' ');
        else if (length == 0 || c < 0x20 || c == 0x7f || c1)
            tdbg_strbuf_putc(sb, '?');
        else
            tdbg_strbuf_add(sb, text + i, length);
        i += length ? length : 1;
    }
    if (i < n_bytes)
        tdbg_strbuf_puts(sb, "...");
}

static void put_line(struct tdbg_strbuf *sb, const char *before, const char *text)
{
    tdbg_strbuf_puts(sb, before);
    tdbg_config_put_clean(sb, text, strlen(text), MESSAGE_BYTES);
}

/* The source line without the blanks around it, below the message. */
static void put_excerpt(struct tdbg_strbuf *sb, const struct tdbg_config_file *file, int line)
{
    const char *p = file->text, *end = file->text + file->n_bytes;
    for (int i = 1; i < line && p; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    if (!p)
        return;
    p += strspn(p, " \t\r\f\v");
    size_t n = strcspn(p, "\n");
    while (n > 0 && strchr(" \t\r\f\v", p[n - 1]))
        n--;
    if (n == 0)
        return;
    tdbg_strbuf_puts(sb, "\n    ");
    tdbg_config_put_clean(sb, p, n, EXCERPT_BYTES);
}

void tdbg_config_format_fault(struct tdbg_strbuf *sb, const struct tdbg_config_fault *fault)
{
    if (fault->file) {
        put_line(sb, "", fault->file->name);
        if (fault->line > 0)
            tdbg_strbuf_printf(sb, ":%d", fault->line);
        tdbg_strbuf_puts(sb, ": error: ");
    }
    put_line(sb, "", fault->message);
    if (fault->file && fault->line > 0)
        put_excerpt(sb, fault->file, fault->line);
    if (fault->hint)
        put_line(sb, "\nhint: ", fault->hint);
}

static const struct tdbg_config_file *file_of(const struct tdbg_config *config,
                                              const struct tdbg_cfg_node *node)
{
    for (size_t i = 0; i < config->n_files; i++) {
        if (config->files[i]->name == node->file)
            return config->files[i];
    }
    return NULL;
}

/* "model[2].out": the way from the root to a node. */
static void put_path(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *node)
{
    const struct tdbg_cfg_node *parent = node->parent;
    if (!parent)
        return;
    put_path(sb, parent);
    if (node->key) {
        if (parent->parent)
            tdbg_strbuf_putc(sb, '.');
        tdbg_strbuf_puts(sb, node->key);
        return;
    }
    int i = 0;
    while (i < parent->n_child && parent->child[i] != node)
        i++;
    tdbg_strbuf_printf(sb, "[%d]", i);
}

static void put_diagnostic(struct tdbg_strbuf *sb, const struct tdbg_config *config,
                           const struct tdbg_config_diagnostic *d)
{
    const struct tdbg_config_file *file = file_of(config, d->at);
    if (d->at->origin == TDBG_CFG_FROM_SET) {
        tdbg_strbuf_puts(sb, "--set ");
        put_path(sb, d->at);
    } else {
        put_line(sb, "", d->at->file);
        if (d->at->line > 0)
            tdbg_strbuf_printf(sb, ":%d", d->at->line);
    }
    put_line(sb, d->is_note ? ": note: " : ": error: ", d->message);
    if (d->at->origin == TDBG_CFG_FROM_FILE && file && d->at->line > 0)
        put_excerpt(sb, file, d->at->line);
    if (d->hint)
        put_line(sb, "\nhint: ", d->hint);
}

static void add(struct tdbg_config *config, const struct tdbg_cfg_node *at, const char *hint,
                bool is_note, const char *fmt, va_list args)
{
    config->n_errors += !is_note;
    if (config->n_kept >= TDBG_CONFIG_MAX_DIAGNOSTICS)
        return;
    struct tdbg_strbuf message = {0};
    tdbg_strbuf_vprintf(&message, fmt, args);
    config->diagnostics = tdbg_config_grow(config->diagnostics, config->n_kept, &config->kept_room,
                                           sizeof *config->diagnostics);
    config->diagnostics[config->n_kept] = (struct tdbg_config_diagnostic){
        .at = at ? at : config->root,
        .message = tdbg_arena_strdup(config->arena, message.text),
        .hint = hint ? tdbg_arena_strdup(config->arena, hint) : NULL,
        .is_note = is_note,
        .order = (int)config->n_kept,
    };
    config->n_kept++;
    tdbg_strbuf_free(&message);
}

void tdbg_config_report(struct tdbg_config *config, const struct tdbg_cfg_node *at,
                        const char *hint, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(config, at, hint, false, fmt, args);
    va_end(args);
}

void tdbg_config_note(struct tdbg_config *config, const struct tdbg_cfg_node *at, const char *hint,
                      const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add(config, at, hint, true, fmt, args);
    va_end(args);
}

int tdbg_config_n_diagnostics(const struct tdbg_config *config)
{
    return config->n_errors;
}

/* Place in the order of the message: the file, what it includes, --set last. */
static size_t rank_of(const struct tdbg_config *config, const struct tdbg_cfg_node *node)
{
    size_t i = 0;
    if (node->origin != TDBG_CFG_FROM_FILE)
        return node->origin == TDBG_CFG_FROM_SET ? config->n_files : 0;
    while (i < config->n_files && config->files[i]->name != node->file)
        i++;
    return i;
}

static int compare(const void *a, const void *b, void *config)
{
    const struct tdbg_config_diagnostic *x = a, *y = b;
    size_t rank_x = rank_of(config, x->at), rank_y = rank_of(config, y->at);
    if (rank_x != rank_y)
        return rank_x < rank_y ? -1 : 1;
    if (x->at->line != y->at->line)
        return x->at->line < y->at->line ? -1 : 1;
    return x->order - y->order;
}

char *tdbg_config_messages(const struct tdbg_config *config)
{
    struct tdbg_strbuf sb = {0};
    size_t n = config->n_kept;
    struct tdbg_config_diagnostic *sorted = calloc(n + 1, sizeof *sorted);
    if (!sorted)
        TDBG_BUG("no memory for %zu diagnostics", n);
    int kept_errors = 0;
    for (size_t i = 0; i < n; i++) {
        sorted[i] = config->diagnostics[i];
        kept_errors += !sorted[i].is_note;
    }
    qsort_r(sorted, n, sizeof *sorted, compare, (void *)(uintptr_t)config);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            tdbg_strbuf_putc(&sb, '\n');
        put_diagnostic(&sb, config, &sorted[i]);
    }
    if (config->n_errors > kept_errors)
        tdbg_strbuf_printf(&sb, "\nand %d more errors", config->n_errors - kept_errors);
    free(sorted);
    return tdbg_strbuf_take(&sb);
}

enum tdbg_status tdbg_config_result(struct tdbg_config *config, struct tdbg_err *err)
{
    if (config->n_errors == 0)
        return TDBG_OK;
    char *messages = tdbg_config_messages(config);
    enum tdbg_status st = TDBG_RAISE(err, CONFIG, "%s", messages);
    free(messages);
    return st;
}
