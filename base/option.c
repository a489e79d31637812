/* Checks a group of the config against option tables and fills in defaults. The words for types
 * and ranges are in option_text.c, the texts of diagnostics in config_diag.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/status.h"

struct check {
    struct tdbg_config *config;
    const struct tdbg_option_table *tables;
    int n_tables;
    const char *context;
    bool silent; /* for defaults: only say whether the value fits */
};

#define FOR_EACH_OPTION(c, o)                                                                      \
    for (int t_ = 0; t_ < (c)->n_tables; t_++)                                                     \
        for (const struct tdbg_option *o = (c)->tables[t_].options, *end_ = o + (c)->tables[t_].n; \
             o < end_; o++)

static const struct tdbg_option *find_option(const struct check *c, const char *path)
{
    FOR_EACH_OPTION(c, o)
    {
        if (strcmp(o->key, path) == 0)
            return o;
    }
    return NULL;
}

/* Is `key` below the group at `path` ("" for the checked group)? Returns what follows. */
static const char *below(const char *key, const char *path)
{
    size_t n = strlen(path);
    if (n == 0)
        return key;
    return strncmp(key, path, n) == 0 && key[n] == '.' ? key + n + 1 : NULL;
}

static bool is_described_group(const struct check *c, const char *path)
{
    FOR_EACH_OPTION(c, o)
    {
        if (below(o->key, path))
            return true;
    }
    return false;
}

/* A hint for an unknown key: a sibling, a key of another group, or the list of siblings. */
static const char *unknown_hint(const struct check *c, const char *word, const char *group_path)
{
    enum { MOST_LISTED_BYTES = 160 };
    struct tdbg_arena *arena = c->config->arena;
    struct tdbg_strbuf known = {0};
    const char *hint = NULL, *dot = *group_path ? "." : "";
    int n = 0, n_all = 0;
    FOR_EACH_OPTION(c, o) n_all++;
    const char **siblings = tdbg_arena_alloc(arena, (size_t)(n_all + 1) * sizeof *siblings);
    const char **leaves = tdbg_arena_alloc(arena, (size_t)(n_all + 1) * sizeof *leaves);
    const char **keys = tdbg_arena_alloc(arena, (size_t)(n_all + 1) * sizeof *keys);
    FOR_EACH_OPTION(c, o)
    {
        const char *rest = below(o->key, group_path), *last = strrchr(o->key, '.');
        int length = rest ? (int)strcspn(rest, ".") : 0;
        siblings[n] = rest ? tdbg_arena_printf(arena, "%.*s", length, rest) : NULL;
        leaves[n] = last ? last + 1 : o->key;
        keys[n] = o->key;
        bool repeated = !rest;
        for (int k = 0; k < n && !repeated; k++)
            repeated = siblings[k] && strcmp(siblings[k], siblings[n]) == 0;
        if (!repeated)
            tdbg_strbuf_printf(&known, "%s%s", known.n_bytes ? ", " : "", siblings[n]);
        n++;
    }
    const char *sibling = tdbg_suggest(word, siblings, n);
    const char *leaf = sibling ? NULL : tdbg_suggest(word, leaves, n);
    if (sibling)
        hint = tdbg_arena_printf(arena, "did you mean '%s%s%s'?", group_path, dot, sibling);
    for (int i = 0; leaf && i < n && !hint; i++) {
        if (leaves[i] == leaf)
            hint = tdbg_arena_printf(arena, "did you mean '%s'?", keys[i]);
    }
    if (!hint && known.n_bytes && known.n_bytes <= MOST_LISTED_BYTES)
        hint = tdbg_arena_printf(arena, "the keys here are %s", known.text);
    tdbg_strbuf_free(&known);
    return hint;
}

static void report_unknown(const struct check *c, const struct tdbg_cfg_node *node,
                           const char *path, const char *group_path)
{
    /* Hints are dear; a file with thousands of unknown keys is not ours. */
    bool wants_hint = c->config->n_kept < TDBG_CONFIG_MAX_DIAGNOSTICS;
    tdbg_config_report(c->config, node, wants_hint ? unknown_hint(c, node->key, group_path) : NULL,
                       "unknown key '%s'", path);
}

/* "the string \"x\"" */
static void put_description(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *node)
{
    static const char *const names[] = {
        [TDBG_CFG_GROUP] = "a group",    [TDBG_CFG_LIST] = "a list",
        [TDBG_CFG_INT] = "the integer ", [TDBG_CFG_FLOAT] = "the number ",
        [TDBG_CFG_BOOL] = "the bool ",   [TDBG_CFG_STRING] = "the string ",
    };
    tdbg_strbuf_puts(sb, names[node->type]);
    if (node->type == TDBG_CFG_STRING)
        tdbg_config_put_quoted(sb, node->s, 60);
    else if (node->type != TDBG_CFG_GROUP && node->type != TDBG_CFG_LIST)
        tdbg_config_put_scalar(sb, node, false);
}

static bool is_list_type(enum tdbg_option_type type)
{
    return type == TDBG_OPT_FLOATS || type == TDBG_OPT_INTS || type == TDBG_OPT_GLOBS;
}

static bool is_number_type(enum tdbg_option_type type)
{
    return type == TDBG_OPT_INT || type == TDBG_OPT_FLOAT || type == TDBG_OPT_INTS ||
           type == TDBG_OPT_FLOATS || type == TDBG_OPT_INT_OR_SIZE || type == TDBG_OPT_INT_OR_PAIR;
}

/* The likely slip behind a value of the wrong type, or NULL. */
static const char *type_hint(const struct check *c, const struct tdbg_cfg_node *node,
                             enum tdbg_option_type type)
{
    struct tdbg_arena *arena = c->config->arena;
    bool is_number = node->type == TDBG_CFG_INT || node->type == TDBG_CFG_FLOAT;
    if (node->type == TDBG_CFG_STRING && is_number_type(type)) {
        const char *s = node->s + (node->s[0] == '-' || node->s[0] == '+');
        if (strncasecmp(s, "nan", 3) == 0 || strncasecmp(s, "inf", 3) == 0)
            return "NaN and infinity are not accepted as values";
        if (*s && strlen(s) < 30 && s[strspn(s, "0123456789.eE+-")] == '\0')
            return tdbg_arena_printf(arena, "write it without quotes: %s", node->s);
    }
    if (type == TDBG_OPT_BOOL && (is_number || node->type == TDBG_CFG_STRING))
        return "write true or false, without quotes";
    if (node->type == TDBG_CFG_FLOAT && node->f == trunc(node->f) && fabs(node->f) < 1e15 &&
        (type == TDBG_OPT_INT || type == TDBG_OPT_INTS || type == TDBG_OPT_INT_OR_SIZE ||
         type == TDBG_OPT_INT_OR_PAIR))
        return tdbg_arena_printf(arena, "write %.0f, without the point", node->f);
    if (is_list_type(type) && node->type != TDBG_CFG_GROUP && node->type != TDBG_CFG_LIST)
        return "write a list with one item: [ ... ]";
    if (is_number && (type == TDBG_OPT_STRING || type == TDBG_OPT_PATH || type == TDBG_OPT_PATHS ||
                      type == TDBG_OPT_GLOBS))
        return "write it in quotes";
    return NULL;
}

static void put_choices(struct tdbg_strbuf *sb, const struct tdbg_option *o)
{
    for (const char *c = o->choices; *c;) {
        size_t n = strcspn(c, "|");
        tdbg_strbuf_printf(sb, "%s\"%.*s\"", c == o->choices ? "" : ", ", (int)n, c);
        c += n + (c[n] == '|');
    }
}

/* type is the option's, or that of its items. */
static bool wrong_type(const struct check *c, const struct tdbg_cfg_node *node,
                       const struct tdbg_option *o, enum tdbg_option_type type, const char *path)
{
    if (c->silent)
        return false;
    struct tdbg_strbuf wanted = {0}, range = {0}, found = {0};
    tdbg_strbuf_puts(&wanted, tdbg_option_type_wanted(type));
    if (type == TDBG_OPT_ENUM) {
        tdbg_strbuf_putc(&wanted, ' ');
        put_choices(&wanted, o);
    } else if (is_number_type(type)) {
        tdbg_option_put_range(&range, o, true);
        if (range.n_bytes)
            tdbg_strbuf_printf(&wanted, " (%s)", range.text);
    }
    put_description(&found, node);
    tdbg_config_report(c->config, node, type_hint(c, node, type), "'%s' wants %s, not %s", path,
                       wanted.text, found.text);
    tdbg_strbuf_free(&wanted);
    tdbg_strbuf_free(&range);
    tdbg_strbuf_free(&found);
    return false;
}

/* Integers are compared as integers: a double cannot tell 2^53 from 2^53 + 1. */
static bool in_range(const struct tdbg_option *o, const struct tdbg_cfg_node *node)
{
    bool above = o->flags & TDBG_OPT_ABOVE_MIN;
    if (node->type == TDBG_CFG_FLOAT && !isfinite(node->f))
        return false;
    if (!(o->min < o->max))
        return true;
    if (node->type == TDBG_CFG_FLOAT)
        return (above ? node->f > o->min : node->f >= o->min) && node->f <= o->max;
    if (o->min > -0x1p63 && o->min < 0x1p63) {
        int64_t least = (int64_t)ceil(o->min);
        bool excluded = above && (double)least == o->min && node->i == least;
        if (node->i < least || excluded)
            return false;
    }
    return o->min < 0x1p63 && (o->max >= 0x1p63 || node->i <= (int64_t)floor(o->max));
}

static bool check_range(const struct check *c, const struct tdbg_cfg_node *node,
                        const struct tdbg_option *o, const char *path)
{
    if (in_range(o, node))
        return true;
    if (c->silent)
        return false;
    struct tdbg_strbuf value = {0}, range = {0};
    tdbg_config_put_scalar(&value, node, false);
    tdbg_option_put_range(&range, o, true);
    tdbg_config_report(c->config, node, NULL, "'%s' is %s, but must be %s", path, value.text,
                       range.n_bytes ? range.text : "finite");
    tdbg_strbuf_free(&value);
    tdbg_strbuf_free(&range);
    return false;
}

static bool check_choice(const struct check *c, const struct tdbg_cfg_node *node,
                         const struct tdbg_option *o, const char *path)
{
    enum { MOST_CHOICES = 64 };
    struct tdbg_arena *arena = c->config->arena;
    const char *choices[MOST_CHOICES];
    int n = 0;
    for (const char *p = o->choices; *p && n < MOST_CHOICES;) {
        size_t length = strcspn(p, "|");
        if (strlen(node->s) == length && strncmp(p, node->s, length) == 0)
            return true;
        choices[n++] = tdbg_arena_printf(arena, "%.*s", (int)length, p);
        p += length + (p[length] == '|');
    }
    if (c->silent)
        return false;
    struct tdbg_strbuf value = {0}, list = {0};
    const char *near = tdbg_suggest(node->s, choices, n);
    tdbg_config_put_quoted(&value, node->s, 60);
    put_choices(&list, o);
    tdbg_config_report(c->config, node,
                       near ? tdbg_arena_printf(arena, "did you mean \"%s\"?", near) : NULL,
                       "'%s' is %s, but must be one of %s", path, value.text, list.text);
    tdbg_strbuf_free(&value);
    tdbg_strbuf_free(&list);
    return false;
}

static bool check_scalar(const struct check *c, const struct tdbg_cfg_node *node,
                         const struct tdbg_option *o, enum tdbg_option_type type, const char *path)
{
    int64_t bytes = 0;
    switch (type) {
    case TDBG_OPT_INT:
        return node->type == TDBG_CFG_INT ? check_range(c, node, o, path)
                                          : wrong_type(c, node, o, type, path);
    case TDBG_OPT_FLOAT:
        return node->type == TDBG_CFG_INT || node->type == TDBG_CFG_FLOAT
                   ? check_range(c, node, o, path)
                   : wrong_type(c, node, o, type, path);
    case TDBG_OPT_INT_OR_SIZE:
        if (node->type == TDBG_CFG_INT)
            return check_range(c, node, o, path);
        return (node->type == TDBG_CFG_STRING && tdbg_cfg_size_bytes(node->s, &bytes)) ||
               wrong_type(c, node, o, type, path);
    case TDBG_OPT_BOOL:
        return node->type == TDBG_CFG_BOOL || wrong_type(c, node, o, type, path);
    case TDBG_OPT_ENUM:
        return node->type == TDBG_CFG_STRING ? check_choice(c, node, o, path)
                                             : wrong_type(c, node, o, type, path);
    case TDBG_OPT_LIST:
        return node->type == TDBG_CFG_LIST || wrong_type(c, node, o, type, path);
    case TDBG_OPT_GROUP:
        return node->type == TDBG_CFG_GROUP || wrong_type(c, node, o, type, path);
    default: /* STRING, PATH, PATHS */
        return node->type == TDBG_CFG_STRING || wrong_type(c, node, o, type, path);
    }
}

static bool check_value(const struct check *c, const struct tdbg_cfg_node *node,
                        const struct tdbg_option *o, const char *path)
{
    const bool is_pair = o->type == TDBG_OPT_INT_OR_PAIR;
    const bool is_list = is_list_type(o->type) || is_pair || o->type == TDBG_OPT_PATHS;
    const bool one_path = o->type == TDBG_OPT_PATHS && node->type != TDBG_CFG_LIST;
    if (is_pair && node->type == TDBG_CFG_INT)
        return check_scalar(c, node, o, TDBG_OPT_INT, path);
    if (one_path || !is_list)
        return check_scalar(c, node, o, o->type, path);
    if (node->type != TDBG_CFG_LIST || (is_pair && node->n_child != 2) ||
        (o->type == TDBG_OPT_PATHS && node->n_child == 0))
        return wrong_type(c, node, o, o->type, path);
    enum tdbg_option_type item_type = o->type == TDBG_OPT_FLOATS            ? TDBG_OPT_FLOAT
                                      : o->type == TDBG_OPT_INTS || is_pair ? TDBG_OPT_INT
                                                                            : TDBG_OPT_STRING;
    bool all_fit = true;
    for (int i = 0; i < node->n_child; i++) {
        struct tdbg_strbuf item_path = {0};
        tdbg_strbuf_printf(&item_path, "%s[%d]", path, i);
        all_fit = check_scalar(c, node->child[i], o, item_type, item_path.text) && all_fit;
        tdbg_strbuf_free(&item_path);
    }
    return all_fit;
}

/* Everything that is in the group. Recursion ends with the tables' dots. */
static void check_present(const struct check *c, const struct tdbg_cfg_node *group,
                          const char *group_path)
{
    static const struct tdbg_option any_group = {.type = TDBG_OPT_GROUP};
    for (int i = 0; i < group->n_child; i++) {
        const struct tdbg_cfg_node *node = group->child[i];
        const char *path = tdbg_arena_printf(c->config->arena, "%s%s%s", group_path,
                                             *group_path ? "." : "", node->key);
        const struct tdbg_option *o = find_option(c, path);
        bool described = (!o || o->type == TDBG_OPT_GROUP) && is_described_group(c, path);
        if (described) {
            if (check_value(c, node, &any_group, path))
                check_present(c, node, path);
        } else if (o) {
            check_value(c, node, o, path);
        } else {
            report_unknown(c, node, path, group_path);
        }
    }
}

static void report_missing(const struct check *c, const struct tdbg_cfg_node *group,
                           const struct tdbg_option *o)
{
    struct tdbg_strbuf type = {0}, range = {0};
    tdbg_strbuf_puts(&type, tdbg_option_type_text(o->type));
    if (o->type == TDBG_OPT_ENUM) {
        tdbg_strbuf_putc(&type, ' ');
        put_choices(&type, o);
    }
    tdbg_option_put_range(&range, o, true);
    tdbg_config_report(c->config, group, o->help, "%s%smissing key '%s' (%s%s%s)",
                       c->context ? c->context : "", c->context ? ": " : "", o->key, type.text,
                       range.n_bytes ? ", " : "", range.n_bytes ? range.text : "");
    tdbg_strbuf_free(&type);
    tdbg_strbuf_free(&range);
}

/* A default as a node; a table whose default does not fit its own row is a bug of ours. */
static struct tdbg_cfg_node *default_node(const struct check *c, const struct tdbg_option *o)
{
    struct check quiet = *c;
    struct tdbg_config_fault fault = {0};
    struct tdbg_cfg_node *node =
        tdbg_config_value(c->config, o->default_value, TDBG_CFG_FROM_DEFAULT, &fault);
    quiet.silent = true;
    if (!node || !check_value(&quiet, node, o, o->key))
        TDBG_BUG("the default of option '%s' does not fit: %s", o->key, o->default_value);
    return node;
}

/* One option that may be absent: reports it, or puts its default in. */
static void fill_in(const struct check *c, struct tdbg_cfg_node *group, const struct tdbg_option *o)
{
    struct tdbg_arena *arena = c->config->arena;
    const char *key = o->key;
    bool required = o->flags & TDBG_OPT_REQUIRED;
    for (size_t n = strcspn(key, "."); key[n] == '.'; n = strcspn(key, ".")) {
        struct tdbg_cfg_node *inner = tdbg_cfg_child(group, key, n);
        if (!inner && (required || !o->default_value))
            break;
        if (!inner) {
            inner =
                tdbg_cfg_new(arena, TDBG_CFG_GROUP, tdbg_arena_printf(arena, "%.*s", (int)n, key),
                             TDBG_CFG_FROM_DEFAULT, c->config->name);
            tdbg_cfg_append(arena, group, inner);
        }
        if (inner->type != TDBG_CFG_GROUP)
            return; /* reported as a wrong type */
        group = inner;
        key += n + 1;
    }
    if (tdbg_cfg_child(group, key, strlen(key)))
        return;
    if (required) {
        report_missing(c, group, o);
    } else if (o->default_value) {
        struct tdbg_cfg_node *node = default_node(c, o);
        node->key = tdbg_arena_strdup(arena, key);
        tdbg_cfg_append(arena, group, node);
    }
}

int tdbg_config_check(struct tdbg_config *config, const struct tdbg_cfg_node *group,
                      const struct tdbg_option_table *tables, int n_tables, const char *context)
{
    struct check c = {.config = config, .tables = tables, .n_tables = n_tables, .context = context};
    int before = config->n_errors;
    if (group->type != TDBG_CFG_GROUP) {
        tdbg_config_report(config, group, NULL, "%s has to be a group { ... }",
                           context ? context : "this");
        return config->n_errors - before;
    }
    check_present(&c, group, "");
    /* The caller's const says that it must not change the tree; the tree is the config's own. */
    FOR_EACH_OPTION(&c, o) fill_in(&c, (struct tdbg_cfg_node *)(uintptr_t)group, o);
    return config->n_errors - before;
}
