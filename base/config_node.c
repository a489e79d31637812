/* The tree itself: making and finding nodes, and the values of checked keys. */
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/status.h"

struct tdbg_cfg_node *tdbg_cfg_new(struct tdbg_arena *arena, enum tdbg_cfg_type type,
                                   const char *key, enum tdbg_cfg_origin origin, const char *file)
{
    struct tdbg_cfg_node *node = tdbg_arena_alloc(arena, sizeof *node);
    *node = (struct tdbg_cfg_node){.type = type, .key = key, .origin = origin, .file = file};
    return node;
}

/* Room of a child array with n items: the node does not store it, so it follows from n. */
static int room_for(int n)
{
    int room = 4;
    while (room < n)
        room *= 2;
    return room;
}

void tdbg_cfg_append(struct tdbg_arena *arena, struct tdbg_cfg_node *parent,
                     struct tdbg_cfg_node *child)
{
    int n = parent->n_child;
    if (n == 0 || n == room_for(n)) {
        struct tdbg_cfg_node **more =
            tdbg_arena_alloc(arena, (size_t)room_for(n + 1) * sizeof(struct tdbg_cfg_node *));
        for (int i = 0; i < n; i++)
            more[i] = parent->child[i];
        parent->child = more;
    }
    parent->child[parent->n_child++] = child;
    child->parent = parent;
}

struct tdbg_cfg_node *tdbg_cfg_child(const struct tdbg_cfg_node *group, const char *key,
                                     size_t n_bytes)
{
    if (group->type != TDBG_CFG_GROUP)
        return NULL;
    for (int i = 0; i < group->n_child; i++) {
        const char *k = group->child[i]->key;
        if (k && strncmp(k, key, n_bytes) == 0 && k[n_bytes] == '\0')
            return group->child[i];
    }
    return NULL;
}

void tdbg_cfg_drop(struct tdbg_cfg_node *parent, const char *key)
{
    int kept = 0;
    for (int i = 0; i < parent->n_child; i++) {
        if (strcmp(parent->child[i]->key, key) != 0)
            parent->child[kept++] = parent->child[i];
    }
    parent->n_child = kept;
}

void tdbg_config_remove(struct tdbg_config *config, const char *key)
{
    tdbg_cfg_drop(config->root, key);
}

const struct tdbg_cfg_node *tdbg_cfg_find(const struct tdbg_cfg_node *group, const char *key)
{
    const struct tdbg_cfg_node *node = group;
    while (node) {
        size_t n = strcspn(key, ".");
        node = tdbg_cfg_child(node, key, n);
        if (key[n] == '\0')
            return node;
        key += n + 1;
    }
    return NULL;
}

/* The accessors' common part: the check should have left nothing to complain about. */
static const struct tdbg_cfg_node *checked(const struct tdbg_cfg_node *group, const char *key,
                                           enum tdbg_cfg_type type)
{
    const struct tdbg_cfg_node *node = tdbg_cfg_find(group, key);
    if (!node)
        TDBG_BUG("config key '%s' is read but neither checked nor given a default", key);
    bool fits = node->type == type || (type == TDBG_CFG_FLOAT && node->type == TDBG_CFG_INT);
    if (!fits)
        TDBG_BUG("config key '%s' is read as another type than it was checked for", key);
    return node;
}

int64_t tdbg_cfg_int(const struct tdbg_cfg_node *group, const char *key)
{
    return checked(group, key, TDBG_CFG_INT)->i;
}

void tdbg_cfg_pair(const struct tdbg_cfg_node *group, const char *key, int64_t pair[2])
{
    const struct tdbg_cfg_node *node = tdbg_cfg_find(group, key);
    if (!node)
        return;
    bool is_list = node->type == TDBG_CFG_LIST;
    for (int i = 0; i < 2; i++)
        pair[i] = is_list ? node->child[i]->i : node->i;
}

double tdbg_cfg_float(const struct tdbg_cfg_node *group, const char *key)
{
    return checked(group, key, TDBG_CFG_FLOAT)->f;
}

bool tdbg_cfg_bool(const struct tdbg_cfg_node *group, const char *key)
{
    return checked(group, key, TDBG_CFG_BOOL)->i != 0;
}

const char *tdbg_cfg_string(const struct tdbg_cfg_node *group, const char *key)
{
    return checked(group, key, TDBG_CFG_STRING)->s;
}

char *tdbg_cfg_path(const struct tdbg_config *config, const struct tdbg_cfg_node *group,
                    const char *key)
{
    const struct tdbg_cfg_node *node = tdbg_cfg_find(group, key);
    TDBG_ASSERT(node && node->type == TDBG_CFG_STRING);
    return tdbg_cfg_node_path(config, node);
}

char *tdbg_cfg_node_path(const struct tdbg_config *config, const struct tdbg_cfg_node *node)
{
    struct tdbg_strbuf sb = {0};
    const char *slash = strrchr(config->name, '/');
    if (node->s[0] != '/' && slash)
        tdbg_strbuf_add(&sb, config->name, (size_t)(slash + 1 - config->name));
    tdbg_strbuf_puts(&sb, node->s);
    return tdbg_strbuf_take(&sb);
}

bool tdbg_cfg_size_bytes(const char *text, int64_t *bytes)
{
    static const struct {
        const char *unit;
        int shift;
    } units[] = {{"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    size_t n_digits = strspn(text, "0123456789");
    if (n_digits == 0 || n_digits > 18) /* 18 digits always fit */
        return false;
    int64_t n = strtoll(text, NULL, 10);
    const char *unit = text + n_digits + strspn(text + n_digits, " ");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].unit) != 0)
            continue;
        if (n > INT64_MAX >> units[i].shift)
            return false;
        *bytes = n << units[i].shift;
        return true;
    }
    return false;
}
