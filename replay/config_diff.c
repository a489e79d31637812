/* Configs as lists of (path, value), compared. See config_diff.h. */
#include "replay/config_diff.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct leaf {
    const char *path, *value;
};

struct leaves {
    struct tdbg_arena *arena;
    struct leaf *item;
    int n, room;
};

static const char *value_text(struct tdbg_arena *arena, const struct tdbg_cfg_node *node)
{
    switch (node->type) {
    case TDBG_CFG_INT:
        return tdbg_arena_printf(arena, "%" PRId64, node->i);
    case TDBG_CFG_FLOAT:
        for (int digits = 1; digits < 17; digits++) { /* the shortest that reads back the same */
            const char *text = tdbg_arena_printf(arena, "%.*g", digits, node->f);
            if (strtod(text, NULL) == node->f)
                return text;
        }
        return tdbg_arena_printf(arena, "%.17g", node->f);
    case TDBG_CFG_BOOL:
        return node->i ? "true" : "false";
    case TDBG_CFG_STRING:
        return tdbg_arena_printf(arena, "\"%s\"", node->s);
    default:
        return node->type == TDBG_CFG_GROUP ? "{}" : "()";
    }
}

static void add_leaf(struct leaves *l, const char *path, const struct tdbg_cfg_node *node)
{
    if (l->n == l->room) {
        int room = l->room ? l->room * 2 : 64;
        struct leaf *grown = tdbg_arena_alloc(l->arena, (size_t)room * sizeof *grown);
        if (l->n)
            memcpy(grown, l->item, (size_t)l->n * sizeof *grown);
        l->item = grown;
        l->room = room;
    }
    l->item[l->n++] = (struct leaf){path, value_text(l->arena, node)};
}

static void collect(struct leaves *l, const char *path, const struct tdbg_cfg_node *node)
{
    bool inner = node->type == TDBG_CFG_GROUP || node->type == TDBG_CFG_LIST;
    if (!inner || node->n_child == 0) {
        if (*path)
            add_leaf(l, path, node);
        return;
    }
    for (int i = 0; i < node->n_child; i++) {
        const struct tdbg_cfg_node *child = node->child[i];
        const char *below =
            !child->key ? tdbg_arena_printf(l->arena, "%s[%d]", path, i)
                        : tdbg_arena_printf(l->arena, "%s%s%s", path, *path ? "." : "", child->key);
        collect(l, below, child);
    }
}

static const struct leaf *find(const struct leaves *l, const char *path)
{
    for (int i = 0; i < l->n; i++) {
        if (strcmp(l->item[i].path, path) == 0)
            return &l->item[i];
    }
    return NULL;
}

int tdbg_config_diff(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b,
                     struct tdbg_arena *arena, struct tdbg_config_difference **out)
{
    struct leaves in_a = {.arena = arena}, in_b = {.arena = arena};
    int n = 0;
    collect(&in_a, "", a);
    collect(&in_b, "", b);
    *out = tdbg_arena_alloc(arena, (size_t)(in_a.n + in_b.n) * sizeof **out);
    for (int i = 0; i < in_a.n; i++) {
        const struct leaf *other = find(&in_b, in_a.item[i].path);
        if (!other || strcmp(other->value, in_a.item[i].value) != 0)
            (*out)[n++] = (struct tdbg_config_difference){in_a.item[i].path, in_a.item[i].value,
                                                          other ? other->value : NULL};
    }
    for (int i = 0; i < in_b.n; i++) {
        if (!find(&in_a, in_b.item[i].path))
            (*out)[n++] =
                (struct tdbg_config_difference){in_b.item[i].path, NULL, in_b.item[i].value};
    }
    return n;
}
