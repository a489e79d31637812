/* Configs as lists of (path, value), compared. See config_diff.h. */
#include "replay/config_diff.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

enum {
    MOST_LINES = 4096, /* of a text; what follows is compared as a whole */
    MOST_DEPTH = 32    /* of nested JSON */
};

struct leaf {
    const char *path, *value;
    const char *key; /* of a line: path without the number */
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

static void add_leaf(struct leaves *l, const char *path, const char *value)
{
    if (l->n == l->room) {
        int room = l->room ? l->room * 2 : 64;
        struct leaf *grown = tdbg_arena_alloc(l->arena, (size_t)room * sizeof *grown);
        if (l->n)
            memcpy(grown, l->item, (size_t)l->n * sizeof *grown);
        l->item = grown;
        l->room = room;
    }
    l->item[l->n++] = (struct leaf){path, value, path};
}

static void collect(struct leaves *l, const char *path, const struct tdbg_cfg_node *node)
{
    bool inner = node->type == TDBG_CFG_GROUP || node->type == TDBG_CFG_LIST;
    if (!inner || node->n_child == 0) {
        if (*path)
            add_leaf(l, path, value_text(l->arena, node));
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

static int compare(const struct leaves *a, const struct leaves *b,
                   struct tdbg_config_difference **out)
{
    int n = 0;
    *out = tdbg_arena_alloc(a->arena, (size_t)(a->n + b->n) * sizeof **out);
    for (int i = 0; i < a->n; i++) {
        const struct leaf *other = find(b, a->item[i].path);
        if (!other || strcmp(other->value, a->item[i].value) != 0)
            (*out)[n++] = (struct tdbg_config_difference){a->item[i].path, a->item[i].value,
                                                          other ? other->value : NULL};
    }
    for (int i = 0; i < b->n; i++) {
        if (!find(a, b->item[i].path))
            (*out)[n++] = (struct tdbg_config_difference){b->item[i].path, NULL, b->item[i].value};
    }
    return n;
}

int tdbg_config_diff(const struct tdbg_cfg_node *a, const struct tdbg_cfg_node *b,
                     struct tdbg_arena *arena, struct tdbg_config_difference **out)
{
    struct leaves in_a = {.arena = arena}, in_b = {.arena = arena};
    collect(&in_a, "", a);
    collect(&in_b, "", b);
    return compare(&in_a, &in_b, out);
}

/* The characters first .. end - 1 without white space around them. */
static const char *trimmed(struct tdbg_arena *arena, const char *first, const char *end)
{
    while (first < end && isspace((unsigned char)*first))
        first++;
    while (first < end && isspace((unsigned char)end[-1]))
        end--;
    return tdbg_arena_printf(arena, "%.*s", (int)(end - first), first);
}

static void add_line(struct leaves *l, const char *line, const char *end)
{
    const char *cut = line;
    while (cut < end && *cut != '=' && *cut != ':')
        cut++;
    const char *key = trimmed(l->arena, line, cut);
    const char *value = cut < end ? trimmed(l->arena, cut + 1, end) : "";
    if (!*key && !*value)
        return;
    int nth = 1;
    for (int i = 0; i < l->n; i++)
        nth += strcmp(l->item[i].key, key) == 0;
    add_leaf(l, nth == 1 ? key : tdbg_arena_printf(l->arena, "%s (%d)", key, nth), value);
    l->item[l->n - 1].key = key;
}

static void collect_lines(struct leaves *l, const char *text)
{
    for (int i = 0; *text && i < MOST_LINES; i++) {
        size_t n = strcspn(text, "\n");
        add_line(l, text, text + n);
        text += n + (text[n] == '\n');
    }
    if (*text) {
        uint64_t digest = tdbg_digest_fast(text, TDBG_DTYPE_U8, (int64_t)strlen(text));
        add_leaf(l, "(more lines)", tdbg_arena_printf(l->arena, "digest %016" PRIx64, digest));
    }
}

int tdbg_config_diff_texts(const char *a, const char *b, struct tdbg_arena *arena,
                           struct tdbg_config_difference **out)
{
    struct leaves in_a = {.arena = arena}, in_b = {.arena = arena};
    collect_lines(&in_a, a);
    collect_lines(&in_b, b);
    return compare(&in_a, &in_b, out);
}

/* --- JSON --- */

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Behind a scalar or a string that begins at p; NULL: it does not end. */
static const char *scalar_end(const char *p)
{
    if (*p != '"')
        return p + strcspn(p, ",]} \t\r\n");
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\' && p[1];
    return *p ? p + 1 : NULL;
}

static const char *collect_json(struct leaves *l, const char *path, const char *p, int depth);

/* The members of an object or an array from behind its bracket on; returns what follows it. */
static const char *collect_members(struct leaves *l, const char *path, const char *p, char close,
                                   int depth)
{
    p = skip_space(p);
    for (int i = 0; *p && *p != close; i++) {
        const char *below = tdbg_arena_printf(l->arena, "%s[%d]", path, i);
        if (close == '}') {
            const char *end = *p == '"' ? scalar_end(p) : NULL;
            if (!end)
                return NULL;
            below = tdbg_arena_printf(l->arena, "%s%s%.*s", path, *path ? "." : "",
                                      (int)(end - p - 2), p + 1);
            p = skip_space(end);
            if (*p++ != ':')
                return NULL;
        }
        p = collect_json(l, below, p, depth + 1);
        if (!p)
            return NULL;
        p = skip_space(p);
        if (*p == ',')
            p = skip_space(p + 1);
        else if (*p != close)
            return NULL;
    }
    return *p ? p + 1 : NULL;
}

/* Leaves of the value at p; returns what follows it, or NULL where this is no JSON. */
static const char *collect_json(struct leaves *l, const char *path, const char *p, int depth)
{
    p = skip_space(p);
    if (depth > MOST_DEPTH || l->n >= MOST_LINES)
        return NULL;
    if (*p == '{' || *p == '[')
        return collect_members(l, path, p + 1, *p == '{' ? '}' : ']', depth);
    const char *end = scalar_end(p);
    if (!end || end == p)
        return NULL;
    add_leaf(l, path, tdbg_arena_printf(l->arena, "%.*s", (int)(end - p), p));
    return end;
}

static void collect_json_text(struct leaves *l, const char *text)
{
    const char *end = collect_json(l, "", text, 0);
    if (!end || *skip_space(end)) { /* another program may have written anything there */
        l->n = 0;
        collect_lines(l, text);
    }
}

int tdbg_config_diff_json(const char *a, const char *b, struct tdbg_arena *arena,
                          struct tdbg_config_difference **out)
{
    struct leaves in_a = {.arena = arena}, in_b = {.arena = arena};
    collect_json_text(&in_a, a);
    collect_json_text(&in_b, b);
    return compare(&in_a, &in_b, out);
}

/* The fingerprints stand in the data set's JSON, in the same order in every trace. */
bool tdbg_dataset_same(const char *a, const char *b)
{
    static const char key[] = "\"fingerprint\"";
    while ((a = strstr(a, key)) && (b = strstr(b, key))) {
        const char *end_a = a + strcspn(a, ",}"), *end_b = b + strcspn(b, ",}");
        if (end_a - a != end_b - b || memcmp(a, b, (size_t)(end_a - a)) != 0)
            return false;
        a = end_a;
        b = end_b;
    }
    return true;
}

void tdbg_config_diff_print_json(const struct tdbg_config_difference *list, int n, const char *key,
                                 const char *a, const char *b, struct tdbg_json *json)
{
    tdbg_json_array_begin(json, key);
    for (int i = 0; i < n; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_string(json, "key", list[i].key);
        tdbg_json_string(json, a, list[i].a);
        tdbg_json_string(json, b, list[i].b);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
}
