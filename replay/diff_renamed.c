/* Layers that have another name in the other run. See diff_impl.h.
 *
 *     A    fwd/fc1  fwd/relu1  fwd/fc2     grad/fc2.weight  ...  grad/fc1.weight
 *     B    fwd/in   fwd/relu1  fwd/out     grad/out.weight  ...  grad/in.weight
 *
 * What has no partner of its name is paired in order, if all of it is alike in op, type and shape
 * and in the same place between the tensors that have one. */
#include <stdlib.h>
#include <string.h>

#include "replay/diff_impl.h"

/* One of a side without a partner. */
struct stray {
    int32_t site, place; /* of the joined list; tensors before it that have a partner */
};

static bool has_name(const struct tdbg_rank_group *g, const char *name)
{
    for (int32_t i = 0; i < g->n_sites; i++) {
        if (strcmp(g->sites[i].name, name) == 0)
            return true;
    }
    return false;
}

/* A name that the other side has, too, is of another shape there, or cut otherwise. */
static int32_t list_strays(const struct tdbg_diff_side *side, const struct tdbg_diff_side *other,
                           struct stray *out)
{
    int32_t n = 0, place = 0;
    for (int32_t i = 0; i < side->group->n_sites; i++) {
        if (side->match[i] >= 0)
            place++;
        else if (!has_name(other->group, side->group->sites[i].name))
            out[n++] = (struct stray){i, place};
    }
    return n;
}

/* The layer's part of a tensor's name, where what follows it is the same in both: the length of
 * that in a, or -1. "fc1.weight.exp_avg", "in.weight.exp_avg": 3 */
static int layer_length(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), same = 0;
    while (same < n && same < m && a[n - 1 - same] == b[m - 1 - same])
        same++;
    while (same > 0 && a[n - same] != '.')
        same--;
    return (int)(n - same);
}

/* "weight" is not "bias", though of the same shape. */
static bool same_ending(const char *a, const char *b)
{
    const char *x = strrchr(a, '.'), *y = strrchr(b, '.');
    return !x || !y || strcmp(x, y) == 0;
}

static bool alike(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return a->stage == b->stage && a->lane == b->lane && a->micro == b->micro &&
           a->dtype == b->dtype && a->ndim == b->ndim && strcmp(a->op, b->op) == 0 &&
           same_ending(a->name, b->name) &&
           memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

static void note_layer(struct tdbg_diff *d, const struct tdbg_site *a, const struct tdbg_site *b)
{
    struct tdbg_diff_report *r = d->report;
    const char *x = tdbg_site_tensor(a), *y = tdbg_site_tensor(b);
    const int length = layer_length(x, y), rest = (int)strlen(x) - length;
    const char *text =
        tdbg_arena_printf(r->arena, "%.*s -> %.*s", length, x, (int)strlen(y) - rest, y);
    for (int32_t i = 0; i < r->n_renamed; i++) {
        if (strcmp(r->renamed[i], text) == 0)
            return;
    }
    r->renamed[r->n_renamed++] = text;
}

int32_t tdbg_diff_find_renamed(struct tdbg_diff *d, int32_t *a, int32_t *b)
{
    const struct tdbg_rank_group *ga = d->a.group, *gb = d->b.group;
    struct tdbg_arena *arena = d->report->arena;
    struct stray *x = tdbg_arena_alloc(arena, ((size_t)ga->n_sites + 1) * sizeof *x);
    struct stray *y = tdbg_arena_alloc(arena, ((size_t)gb->n_sites + 1) * sizeof *y);
    const int32_t n = list_strays(&d->a, &d->b, x);
    if (n != list_strays(&d->b, &d->a, y))
        return 0;
    for (int32_t i = 0; i < n; i++) {
        if (x[i].place != y[i].place || !alike(&ga->sites[x[i].site], &gb->sites[y[i].site]))
            return 0;
    }
    d->report->renamed = tdbg_arena_alloc(arena, ((size_t)n + 1) * sizeof *d->report->renamed);
    for (int32_t i = 0; i < n; i++) {
        a[i] = x[i].site;
        b[i] = y[i].site;
        note_layer(d, &ga->sites[a[i]], &gb->sites[b[i]]);
    }
    return n;
}
