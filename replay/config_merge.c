/* Merging of two config trees. See config_merge.h. */
#include "replay/config_merge.h"

#include <stdlib.h>
#include <string.h>

struct merge {
    struct tdbg_arena *arena;
    tdbg_config_choose_fn choose;
    void *context;
};

static bool is_inner(const struct tdbg_cfg_node *node)
{
    return node->type == TDBG_CFG_GROUP || node->type == TDBG_CFG_LIST;
}

static bool same_text(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    char *x = tdbg_config_print(a, false), *y = tdbg_config_print(b, false);
    const bool same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static bool same_value(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    return a->type == b->type && same_text(a, b);
}

const char *tdbg_config_value_text(struct tdbg_arena *arena, const struct tdbg_cfg_node *node)
{
    if (!node)
        return NULL;
    struct tdbg_cfg_node nameless = *node;
    nameless.key = NULL;
    char *text = tdbg_config_print(&nameless, false);
    char *out = tdbg_arena_strdup(arena, text ? text : "");
    size_t n = 0;
    for (const char *p = out; *p; p++) { /* white space in a row becomes one space */
        const bool space = *p == ' ' || *p == '\n';
        if (!space)
            out[n++] = *p;
        else if (n > 0 && out[n - 1] != ' ')
            out[n++] = ' ';
    }
    while (n > 0 && (out[n - 1] == ' ' || out[n - 1] == ';'))
        n--;
    out[n] = '\0';
    free(text);
    return out;
}

static const struct tdbg_cfg_node *child(const struct tdbg_cfg_node *group, const char *key)
{
    for (int i = 0; i < group->n_child; i++) {
        if (group->child[i]->key && strcmp(group->child[i]->key, key) == 0)
            return group->child[i];
    }
    return NULL;
}

/* Of two items of a list, which have no keys. */
static bool is_other_op(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    if (a->key)
        return false;
    const struct tdbg_cfg_node *x = child(a, "op"), *y = child(b, "op");
    return (x != NULL) != (y != NULL) || (x && y && !same_value(x, y));
}

/* Can the two be merged below themselves? */
static bool goes_deeper(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b)
{
    if (!is_inner(a) || a->type != b->type)
        return false;
    if (a->type == TDBG_CFG_GROUP)
        return !is_other_op(a, b);
    return a->n_child == b->n_child && a->n_child > 0;
}

static struct tdbg_cfg_node *copy_shell(struct merge *m, const struct tdbg_cfg_node *node, int room)
{
    struct tdbg_cfg_node *copy = tdbg_arena_alloc(m->arena, sizeof *copy);
    *copy = *node;
    copy->n_child = 0;
    copy->child = tdbg_arena_alloc(m->arena, (size_t)(room + 1) * sizeof(copy->child[0]));
    return copy;
}

static struct tdbg_cfg_node *borrow(struct merge *m, const struct tdbg_cfg_node *node)
{
    struct tdbg_cfg_node *copy = tdbg_arena_alloc(m->arena, sizeof *copy);
    *copy = *node;
    return copy;
}

static struct tdbg_cfg_node *merge(struct merge *m, const char *path, const struct tdbg_cfg_node *a,
                                   const struct tdbg_cfg_node *b);

static const char *below(struct merge *m, const char *path, const char *key)
{
    return tdbg_arena_printf(m->arena, "%s%s%s", path, *path ? "." : "", key);
}

/* A key that only one of two groups has belongs to their kinds, where these differ. */
static const char *unit_of(struct merge *m, const char *path, const struct tdbg_cfg_node *a,
                           const struct tdbg_cfg_node *b, const char *key)
{
    const struct tdbg_cfg_node *x = child(a, "kind"), *y = child(b, "kind");
    return below(m, path, x && y && !same_value(x, y) ? "kind" : key);
}

static void add(struct tdbg_cfg_node *group, struct tdbg_cfg_node *item)
{
    item->parent = group;
    group->child[group->n_child++] = item;
}

static struct tdbg_cfg_node *merge_groups(struct merge *m, const char *path,
                                          const struct tdbg_cfg_node *a,
                                          const struct tdbg_cfg_node *b)
{
    struct tdbg_cfg_node *out = copy_shell(m, a, a->n_child + b->n_child);
    for (int i = 0; i < a->n_child; i++) {
        const char *key = a->child[i]->key, *at = below(m, path, key);
        const struct tdbg_cfg_node *other = child(b, key);
        if (other)
            add(out, merge(m, at, a->child[i], other));
        else if (!m->choose(m->context, unit_of(m, path, a, b, key), at, a->child[i], NULL))
            add(out, borrow(m, a->child[i]));
    }
    for (int i = 0; i < b->n_child; i++) {
        const char *key = b->child[i]->key, *at = below(m, path, key);
        if (!child(a, key) &&
            m->choose(m->context, unit_of(m, path, a, b, key), at, NULL, b->child[i]))
            add(out, borrow(m, b->child[i]));
    }
    return out;
}

static struct tdbg_cfg_node *merge(struct merge *m, const char *path, const struct tdbg_cfg_node *a,
                                   const struct tdbg_cfg_node *b)
{
    if (same_value(a, b))
        return borrow(m, a);
    if (!goes_deeper(a, b))
        return borrow(m, m->choose(m->context, path, path, a, b) ? b : a);
    if (a->type == TDBG_CFG_GROUP)
        return merge_groups(m, path, a, b);
    struct tdbg_cfg_node *out = copy_shell(m, a, a->n_child);
    for (int i = 0; i < a->n_child; i++)
        add(out,
            merge(m, tdbg_arena_printf(m->arena, "%s[%d]", path, i), a->child[i], b->child[i]));
    return out;
}

struct tdbg_cfg_node *tdbg_config_merge(const struct tdbg_cfg_node *a,
                                        const struct tdbg_cfg_node *b, struct tdbg_arena *arena,
                                        tdbg_config_choose_fn choose, void *context)
{
    struct merge m = {arena, choose, context};
    return merge_groups(&m, "", a, b);
}
