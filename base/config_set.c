/* --set key.path=value: one value of the command line put into the tree. */
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/status.h"

/* Reads one set from left to right; `at` is what is not consumed yet. */
struct setting {
    struct tdbg_config *config;
    const char *path; /* what stands before the '=', for messages */
    const char *at;
    struct tdbg_cfg_node *parent; /* group or list that holds the last part of the path */
    struct tdbg_err *err;
};

static enum tdbg_status fail(const struct setting *s, const char *message, const char *hint)
{
    struct tdbg_strbuf sb = {0};
    tdbg_config_put_clean(&sb, s->path, strlen(s->path), 80);
    enum tdbg_status st =
        TDBG_RAISE(s->err, CONFIG, "--set %s: error: %s%s%s", sb.text ? sb.text : "", message,
                   hint ? "\nhint: " : "", hint ? hint : "");
    tdbg_strbuf_free(&sb);
    return st;
}

/* Bytes of the key at p, 0: there is none. Keys are spelled as libconfig spells them. */
static size_t key_span(const char *p)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*";
    size_t first = strspn(p, letters);
    if (first == 0)
        return 0;
    while (p[first] && (strchr(letters, p[first]) || strchr("0123456789_-", p[first])))
        first++;
    return first;
}

/* "[3]" at p: its length and number; 0: p is no index. */
static size_t index_span(const char *p, int *index)
{
    size_t digits = p[0] == '[' ? strspn(p + 1, "0123456789") : 0;
    if (digits == 0 || digits > 6 || p[1 + digits] != ']')
        return 0;
    *index = atoi(p + 1);
    return digits + 2;
}

/* The item of a list, which has to be there already. */
static enum tdbg_status find_item(struct setting *s, struct tdbg_cfg_node *list, int index,
                                  struct tdbg_cfg_node ***place)
{
    if (list->type != TDBG_CFG_LIST)
        return fail(s, "an index needs a list", NULL);
    if (index >= list->n_child)
        return fail(s,
                    tdbg_arena_printf(s->config->arena, "there is no item %d: the list has %d",
                                      index, list->n_child),
                    "items count from 0");
    s->parent = list;
    *place = &list->child[index];
    return TDBG_OK;
}

/* The place of a key in a group; created (as a group to be filled or replaced) where missing. */
static enum tdbg_status find_key(struct setting *s, struct tdbg_cfg_node *group,
                                 struct tdbg_cfg_node ***place)
{
    struct tdbg_arena *arena = s->config->arena;
    size_t n = key_span(s->at);
    if (n == 0 || n > 200)
        return fail(s, "this is not a key", "keys look like optimizer.lr or model[0].out");
    if (group->type != TDBG_CFG_GROUP)
        return fail(
            s, tdbg_arena_printf(arena, "what stands before '%.*s' is not a group", (int)n, s->at),
            NULL);
    struct tdbg_cfg_node *child = tdbg_cfg_child(group, s->at, n);
    if (!child) {
        if (group->n_child >= TDBG_CONFIG_MAX_KEYS)
            return fail(s, "too many keys in one group (at most 4096)", NULL);
        child = tdbg_cfg_new(arena, TDBG_CFG_GROUP, tdbg_arena_printf(arena, "%.*s", (int)n, s->at),
                             TDBG_CFG_FROM_SET, "--set");
        tdbg_cfg_append(arena, group, child);
    }
    s->parent = group;
    s->at += n;
    for (int i = 0; i < group->n_child; i++) {
        if (group->child[i] == child)
            *place = &group->child[i];
    }
    return TDBG_OK;
}

/* Brackets around the innermost value. */
static int nesting(const struct tdbg_cfg_node *node)
{
    int deepest = 0;
    for (int i = 0; i < node->n_child; i++) {
        int n = nesting(node->child[i]);
        deepest = n > deepest ? n : deepest;
    }
    return deepest + (node->type == TDBG_CFG_GROUP || node->type == TDBG_CFG_LIST);
}

/* Walks the path; *place is where the value goes. */
static enum tdbg_status find_place(struct setting *s, int value_nesting,
                                   struct tdbg_cfg_node ***place)
{
    struct tdbg_cfg_node *node = s->config->root;
    for (int depth = 0;; depth++) {
        if (depth + value_nesting > TDBG_CONFIG_MAX_DEPTH)
            return fail(s, "brackets are nested too deep (at most 64 levels)", NULL);
        int index = 0;
        size_t n = depth > 0 ? index_span(s->at, &index) : 0;
        enum tdbg_status st = TDBG_OK;
        if (n > 0) {
            s->at += n;
            st = find_item(s, node, index, place);
        } else {
            st = find_key(s, node, place);
        }
        if (st != TDBG_OK)
            return st;
        node = **place;
        if (*s->at == '\0')
            return TDBG_OK;
        s->at += *s->at == '.'; /* anything else is an index or, next time round, no key */
    }
}

static bool is_bare_word(const char *text)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:-";
    return *text && text[strspn(text, allowed)] == '\0';
}

/* The value as a node; a bare word that libconfig would not take is a string. */
static enum tdbg_status read_value(const struct setting *s, const char *text,
                                   struct tdbg_cfg_node **value)
{
    struct tdbg_config_fault fault = {0};
    *value = tdbg_config_value(s->config, text, TDBG_CFG_FROM_SET, &fault);
    if (*value)
        return TDBG_OK;
    if (is_bare_word(text) && !fault.is_range) {
        *value = tdbg_cfg_new(s->config->arena, TDBG_CFG_STRING, NULL, TDBG_CFG_FROM_SET, "--set");
        (*value)->s = tdbg_arena_strdup(s->config->arena, text);
        return TDBG_OK;
    }
    if (text[strspn(text, " \t")] == '\0')
        return fail(s, "there is no value after '='", "an empty string is written '\"\"'");
    bool is_word = !fault.is_range && !strpbrk(text, "\"[](){}");
    if (is_word) /* the reason why it is no other value would only confuse */
        return fail(s, "syntax error",
                    "a string with other characters than letters, digits and "
                    "_./:- needs quotes: --set 'key=\"value\"'");
    return fail(s, fault.message, fault.hint);
}

/* A run has a length in steps or in epochs: the one that is set clears the other of the file. */
static void clear_other_length(struct tdbg_config *config, const struct tdbg_cfg_node *set)
{
    const char *other = strcmp(set->key, "steps") == 0    ? "epochs"
                        : strcmp(set->key, "epochs") == 0 ? "steps"
                                                          : NULL;
    const struct tdbg_cfg_node *node = other ? tdbg_cfg_find(config->root, other) : NULL;
    if (node && node->origin == TDBG_CFG_FROM_FILE)
        tdbg_cfg_drop(config->root, other);
}

enum tdbg_status tdbg_config_set(struct tdbg_config *config, const char *set, struct tdbg_err *err)
{
    const char *equals = strchr(set, '=');
    size_t n_path = equals ? (size_t)(equals - set) : strlen(set);
    char *path = tdbg_arena_alloc(config->arena, n_path + 1);
    memcpy(path, set, n_path);
    struct setting s = {.config = config, .path = path, .at = path, .err = err};
    struct tdbg_cfg_node **place = NULL, *value = NULL;
    if (!equals)
        return fail(&s, "there is no '='", "write --set key=value");
    if (n_path == 0)
        return fail(&s, "there is no key before '='", "write --set key=value");
    enum tdbg_status st = read_value(&s, equals + 1, &value);
    if (st == TDBG_OK)
        st = find_place(&s, nesting(value), &place);
    if (st != TDBG_OK)
        return st;
    value->key = (*place)->key;
    value->parent = s.parent;
    *place = value;
    if (s.parent == config->root)
        clear_other_length(config, value);
    return TDBG_OK;
}
