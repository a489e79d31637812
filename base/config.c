/* From text to a tree of nodes: the only file that sees libconfig. Reading and limits are in
 * config_text.c, --set in config_set.c, the tree in config_node.c, checks in option.c. */
#include "base/config.h"

#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"

/* One conversion from libconfig's tree to ours. */
struct reading {
    struct tdbg_config *config;
    const struct tdbg_config_text *text;
    enum tdbg_cfg_origin origin;
};

/* Where a line of the plain text came from. */
static const struct tdbg_config_place *place_of(const struct tdbg_config_text *text, int line)
{
    if (text->n_places == 0)
        return NULL;
    size_t i = line > 0 ? (size_t)line - 1 : 0;
    return &text->places[i < text->n_places ? i : text->n_places - 1];
}

static enum tdbg_cfg_type type_of(const config_setting_t *setting)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return TDBG_CFG_INT;
    case CONFIG_TYPE_FLOAT:
        return TDBG_CFG_FLOAT;
    case CONFIG_TYPE_BOOL:
        return TDBG_CFG_BOOL;
    case CONFIG_TYPE_STRING:
        return TDBG_CFG_STRING;
    case CONFIG_TYPE_GROUP:
        return TDBG_CFG_GROUP;
    default:
        return TDBG_CFG_LIST;
    }
}

static void read_scalar(const struct reading *r, const config_setting_t *setting,
                        struct tdbg_cfg_node *node)
{
    if (node->type == TDBG_CFG_INT) {
        node->i = config_setting_get_int64(setting);
        node->f = (double)node->i;
    } else if (node->type == TDBG_CFG_FLOAT) {
        node->f = config_setting_get_float(setting);
    } else if (node->type == TDBG_CFG_BOOL) {
        node->i = config_setting_get_bool(setting) != 0;
    } else if (node->type == TDBG_CFG_STRING) {
        const char *s = config_setting_get_string(setting);
        node->s = tdbg_arena_strdup(r->config->arena, s ? s : "");
    }
}

static void set_position(const struct reading *r, const config_setting_t *setting,
                         struct tdbg_cfg_node *node)
{
    node->file = r->origin == TDBG_CFG_FROM_SET ? "--set" : r->config->name;
    const struct tdbg_config_place *place =
        place_of(r->text, (int)config_setting_source_line(setting));
    if (r->origin == TDBG_CFG_FROM_FILE && place && !config_setting_is_root(setting)) {
        node->file = place->file->name;
        node->line = place->line;
    }
}

/* Recursion is bounded by TDBG_CONFIG_MAX_DEPTH. */
static struct tdbg_cfg_node *read_node(const struct reading *r, const config_setting_t *setting)
{
    struct tdbg_arena *arena = r->config->arena;
    const char *name = config_setting_name(setting);
    struct tdbg_cfg_node *node = tdbg_cfg_new(
        arena, type_of(setting), name ? tdbg_arena_strdup(arena, name) : NULL, r->origin, NULL);
    set_position(r, setting, node);
    read_scalar(r, setting, node);
    if (config_setting_is_aggregate(setting)) {
        int n = config_setting_length(setting);
        for (int i = 0; i < n; i++)
            tdbg_cfg_append(arena, node,
                            read_node(r, config_setting_get_elem(setting, (unsigned)i)));
    }
    return node;
}

/* libconfig's own words, for what config_explain.c does not know. */
static void fault_of_libconfig(const struct tdbg_config_text *text, const config_t *lib,
                               struct tdbg_config_fault *fault)
{
    const struct tdbg_config_place *place = place_of(text, config_error_line(lib));
    const char *message = config_error_text(lib);
    *fault = (struct tdbg_config_fault){
        .file = place ? place->file : text->files[0],
        .line = place ? place->line : 0,
        .message = tdbg_arena_strdup(text->arena, message ? message : "syntax error")};
}

struct tdbg_cfg_node *tdbg_config_nodes(struct tdbg_config *config,
                                        const struct tdbg_config_text *text,
                                        enum tdbg_cfg_origin origin,
                                        struct tdbg_config_fault *fault)
{
    struct reading r = {.config = config, .text = text, .origin = origin};
    struct tdbg_cfg_node *root = NULL;
    config_t lib;
    /* First, not after a failure: libconfig 1.5 leaks strings when it meets a syntax error, and
     * later versions accept more than it does. */
    if (tdbg_config_explain(text, fault))
        return NULL;
    config_init(&lib);
    if (config_read_string(&lib, text->plain.text) == CONFIG_TRUE)
        root = read_node(&r, config_root_setting(&lib));
    else
        fault_of_libconfig(text, &lib, fault);
    config_destroy(&lib);
    return root;
}

struct tdbg_cfg_node *tdbg_config_value(struct tdbg_config *config, const char *value,
                                        enum tdbg_cfg_origin origin,
                                        struct tdbg_config_fault *fault)
{
    struct tdbg_config_text text = {.arena = config->arena};
    struct tdbg_cfg_node *root = NULL, *only = NULL;
    char *source = tdbg_arena_printf(config->arena, "v=%s", value);
    if (tdbg_config_text_parse(&text, source, "value", fault))
        root = tdbg_config_nodes(config, &text, origin, fault);
    if (root && root->n_child == 1) {
        only = root->child[0];
        only->key = NULL;
        only->parent = NULL;
    } else if (root) { /* "1; other=2" */
        *fault = (struct tdbg_config_fault){
            .file = text.files[0], .message = "syntax error", .hint = "one value is expected"};
    }
    tdbg_config_text_free(&text);
    return only;
}

static enum tdbg_status fail(struct tdbg_err *err, const struct tdbg_config_fault *fault)
{
    struct tdbg_strbuf sb = {0};
    tdbg_config_format_fault(&sb, fault);
    enum tdbg_status st = TDBG_RAISE(err, CONFIG, "%s", sb.text);
    tdbg_strbuf_free(&sb);
    return st;
}

/* A new config from what `load` or `parse` left in text, with the sets applied. */
static enum tdbg_status build(struct tdbg_config *config, struct tdbg_config_text *text,
                              const char *const *sets, int n_sets, struct tdbg_err *err)
{
    struct tdbg_config_fault fault = {0};
    config->files = text->files;
    config->n_files = text->n_files;
    config->name = text->files[0]->name;
    config->root = tdbg_config_nodes(config, text, TDBG_CFG_FROM_FILE, &fault);
    if (!config->root)
        return fail(err, &fault);
    for (int i = 0; i < n_sets; i++) {
        enum tdbg_status st = tdbg_config_set(config, sets[i], err);
        if (st != TDBG_OK)
            return st;
    }
    return TDBG_OK;
}

/* source is NULL for a file at `name`. */
static enum tdbg_status create(const char *source, const char *name, const char *const *sets,
                               int n_sets, struct tdbg_config **out, struct tdbg_err *err)
{
    struct tdbg_config *config = calloc(1, sizeof *config);
    struct tdbg_arena *arena = tdbg_arena_create();
    struct tdbg_config_text text = {.arena = arena, .allow_include = true};
    struct tdbg_config_fault fault = {0};
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(!config || !arena, NO_MEMORY, "out of memory while reading %s", name);
    config->arena = arena;
    if (source ? tdbg_config_text_parse(&text, source, name, &fault)
               : tdbg_config_text_load(&text, name, &fault))
        st = build(config, &text, sets, n_sets, err);
    else
        st = fail(err, &fault);
out:
    tdbg_config_text_free(&text);
    if (st == TDBG_OK) {
        *out = config;
    } else {
        tdbg_arena_destroy(arena);
        free(config);
    }
    return st;
}

enum tdbg_status tdbg_config_load(const char *path, const char *const *sets, int n_sets,
                                  struct tdbg_config **out, struct tdbg_err *err)
{
    return create(NULL, path, sets, n_sets, out, err);
}

enum tdbg_status tdbg_config_parse(const char *text, const char *name, const char *const *sets,
                                   int n_sets, struct tdbg_config **out, struct tdbg_err *err)
{
    return create(text, name, sets, n_sets, out, err);
}

void tdbg_config_destroy(struct tdbg_config *config)
{
    if (!config)
        return;
    free(config->diagnostics);
    tdbg_arena_destroy(config->arena);
    free(config);
}

const struct tdbg_cfg_node *tdbg_config_root(const struct tdbg_config *config)
{
    return config->root;
}

const char *tdbg_config_source_text(const struct tdbg_config *config)
{
    return config->files[0]->text;
}
