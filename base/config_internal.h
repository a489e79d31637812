/* What the config_*.c files and option.c share. Not for other modules: they include config.h.
 *
 *     file --config_file--> bytes --config_token--> tokens --config_text--> plain text --config.c
 *     (libconfig)--> nodes. config_explain says from the tokens why libconfig would refuse a text.
 *
 * Everything here lives in the config's arena unless a comment says otherwise. */
#ifndef TDBG_BASE_CONFIG_INTERNAL_H
#define TDBG_BASE_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/strbuf.h"

/* Limits on hostile input. */
enum {
    TDBG_CONFIG_MAX_BYTES = 16 << 20,  /* of the file and all that it includes */
    TDBG_CONFIG_MAX_DEPTH = 64,        /* of nested brackets */
    TDBG_CONFIG_MAX_KEYS = 4096,       /* in one group: libconfig compares each with all others */
    TDBG_CONFIG_MAX_TOKENS = 1 << 20,  /* in all */
    TDBG_CONFIG_MAX_INCLUDES = 256,    /* in all */
    TDBG_CONFIG_INCLUDE_DEPTH = 10,    /* files that include files */
    TDBG_CONFIG_MAX_DIAGNOSTICS = 200, /* texts that are kept; the rest is only counted */
};

struct tdbg_config_file {
    const char *name; /* as messages name it */
    const char *text; /* valid UTF-8 without zero bytes */
    size_t n_bytes;
};

/* Why a text cannot be read. */
struct tdbg_config_fault {
    const struct tdbg_config_file *file; /* NULL: message stands alone */
    int line;                            /* 1-based; 0: no line */
    const char *message;
    const char *hint; /* or NULL */
    bool is_range;    /* a number that is well written but too large or too small */
};

enum tdbg_config_token_kind {
    TDBG_CONFIG_TOKEN_END,
    TDBG_CONFIG_TOKEN_NAME,
    TDBG_CONFIG_TOKEN_INT,
    TDBG_CONFIG_TOKEN_FLOAT,
    TDBG_CONFIG_TOKEN_BOOL,
    TDBG_CONFIG_TOKEN_STRING,      /* with its quotes */
    TDBG_CONFIG_TOKEN_ASSIGN,      /* = or : */
    TDBG_CONFIG_TOKEN_OPEN,        /* { ( [ */
    TDBG_CONFIG_TOKEN_CLOSE,       /* } ) ] */
    TDBG_CONFIG_TOKEN_END_OF_ITEM, /* , or ; */
    TDBG_CONFIG_TOKEN_INCLUDE,     /* @include "path": text is the quoted path */
    TDBG_CONFIG_TOKEN_BAD,
};

struct tdbg_config_token {
    enum tdbg_config_token_kind kind;
    const char *text; /* within the file's text */
    size_t n_bytes;
    const struct tdbg_config_file *file;
    int line;
    int64_t i; /* INT */
    double f;  /* FLOAT */
};

/* Position in one file. Start with {.file = f, .at = f->text, .line = 1}. */
struct tdbg_config_cursor {
    const struct tdbg_config_file *file;
    const char *at;
    int line;
};

/* The next token. TDBG_CONFIG_TOKEN_BAD fills *fault. */
struct tdbg_config_token tdbg_config_token_next(struct tdbg_config_cursor *cursor,
                                                struct tdbg_arena *arena,
                                                struct tdbg_config_fault *fault);

/* A file with everything it includes, as tokens and as text that libconfig reads without touching
 * a file: comments gone, integers all with L (libconfig 1.5 cuts longer ones without a word). */
struct tdbg_config_text {
    struct tdbg_arena *arena;
    const struct tdbg_config_file **files; /* [0] is the one that includes the others */
    size_t n_files, files_room;
    struct tdbg_config_token *tokens; /* ends with TDBG_CONFIG_TOKEN_END; on the heap */
    size_t n_tokens, tokens_room;
    struct tdbg_config_place { /* where line k + 1 of `plain` came from; on the heap */
        const struct tdbg_config_file *file;
        int line;
    } * places;
    size_t n_places, places_room;
    struct tdbg_strbuf plain;
    size_t total_bytes;
    bool allow_include;
};

/* Both return false with *fault filled in. `files` and what it points to live in the arena. */
bool tdbg_config_text_load(struct tdbg_config_text *text, const char *path,
                           struct tdbg_config_fault *fault);
bool tdbg_config_text_parse(struct tdbg_config_text *text, const char *source, const char *name,
                            struct tdbg_config_fault *fault);
void tdbg_config_text_free(struct tdbg_config_text *text); /* what is on the heap */

/* Reads and checks one file (size, UTF-8, zero bytes). shown_name is what messages call it. */
const struct tdbg_config_file *tdbg_config_file_read(struct tdbg_arena *arena, const char *path,
                                                     size_t most_bytes,
                                                     struct tdbg_config_fault *fault);
const struct tdbg_config_file *tdbg_config_file_wrap(struct tdbg_arena *arena, const char *source,
                                                     const char *name,
                                                     struct tdbg_config_fault *fault);

/* Says why libconfig would refuse this text; false: it should not. */
bool tdbg_config_explain(const struct tdbg_config_text *text, struct tdbg_config_fault *fault);

/* "folder/of/base" joined with a relative path; an absolute one is returned as it is. */
const char *tdbg_config_join(struct tdbg_arena *arena, const char *base, const char *path);

/* Room for one more item in a heap array. Aborts when memory is out. */
void *tdbg_config_grow(void *items, size_t n, size_t *room, size_t item_bytes);

struct tdbg_config_diagnostic {
    const struct tdbg_cfg_node *at;
    const char *message, *hint;
    bool is_note;
    int order; /* in which it was reported */
};

struct tdbg_config {
    struct tdbg_arena *arena;
    struct tdbg_cfg_node *root;
    const char *name; /* of the file, as messages call it */
    const struct tdbg_config_file *const *files;
    size_t n_files;
    struct tdbg_config_diagnostic *diagnostics; /* on the heap */
    size_t n_kept, kept_room;
    int n_errors; /* all of them, kept or not */
};

/* Applies one "key.path=value" to the tree. On failure err holds the whole message. */
enum tdbg_status tdbg_config_set(struct tdbg_config *config, const char *set, struct tdbg_err *err);

/* The first child of the group that a text describes, as new nodes below a new group (so a text
 * "v = 1" gives a group with one child). NULL: *fault says why. */
struct tdbg_cfg_node *tdbg_config_nodes(struct tdbg_config *config,
                                        const struct tdbg_config_text *text,
                                        enum tdbg_cfg_origin origin,
                                        struct tdbg_config_fault *fault);

/* One value in libconfig syntax as a node without a parent; NULL: *fault says why. */
struct tdbg_cfg_node *tdbg_config_value(struct tdbg_config *config, const char *value,
                                        enum tdbg_cfg_origin origin,
                                        struct tdbg_config_fault *fault);

/* Tree work. */
struct tdbg_cfg_node *tdbg_cfg_new(struct tdbg_arena *arena, enum tdbg_cfg_type type,
                                   const char *key, enum tdbg_cfg_origin origin, const char *file);
void tdbg_cfg_append(struct tdbg_arena *arena, struct tdbg_cfg_node *parent,
                     struct tdbg_cfg_node *child);
void tdbg_cfg_drop(struct tdbg_cfg_node *parent, const char *key);
/* Direct child of a group whose key is the first n_bytes of key. */
struct tdbg_cfg_node *tdbg_cfg_child(const struct tdbg_cfg_node *group, const char *key,
                                     size_t n_bytes);

/* Texts. A fault or diagnostic as "file:line: error: ..." with its source line and hint. */
void tdbg_config_format_fault(struct tdbg_strbuf *sb, const struct tdbg_config_fault *fault);
/* A scalar as canonical text: 42, 0.10000000000000001, true, "a\"b". */
void tdbg_config_put_scalar(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *node,
                            bool long_suffix);
/* At most `most` bytes of text on one line, with what a terminal might obey replaced by '?'. */
void tdbg_config_put_clean(struct tdbg_strbuf *sb, const char *text, size_t n_bytes, size_t most);
/* At most `most` bytes of text with everything escaped that a terminal might obey, in quotes. */
void tdbg_config_put_quoted(struct tdbg_strbuf *sb, const char *text, size_t most);

/* Option tables: "integer (0..10 samples)" in pieces, for messages and --help-config. */
const char *tdbg_option_type_text(enum tdbg_option_type type);   /* "int", as in help */
const char *tdbg_option_type_wanted(enum tdbg_option_type type); /* "an integer" */
void tdbg_option_put_range(struct tdbg_strbuf *sb, const struct tdbg_option *o, bool with_unit);

#endif
