/* Contributions of ranks as differences, and the taps that put them into a run. See
 * bisect_contribution.h; bisect_contribution_find.c finds them. */
#include "replay/bisect_contribution.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one rank: where it contributed otherwise more often, its contributions are one difference. */
enum { MOST_PARTS = 1024 };

void tdbg_contributions_clear(struct tdbg_contributions *c)
{
    for (int i = 0; i < c->n; i++)
        free(c->list[i].value);
    free(c->list);
    *c = (struct tdbg_contributions){0};
}

enum tdbg_status tdbg_contributions_add(struct tdbg_contributions *c,
                                        const struct tdbg_contribution *one, struct tdbg_err *err)
{
    if (c->n == c->room) {
        const int room = c->room ? 2 * c->room : 16;
        struct tdbg_contribution *grown = realloc(c->list, (size_t)room * sizeof *grown);
        if (!grown)
            return TDBG_RAISE(err, NO_MEMORY, "no memory for what ranks contributed");
        c->list = grown;
        c->room = room;
    }
    c->list[c->n++] = *one;
    return TDBG_OK;
}

static const struct tdbg_site *site_of(const struct tdbg_bisect_side side[2],
                                       const struct tdbg_contribution *one)
{
    return &side[one->side].group->sites[one->site];
}

/* --- differences --- */

static int compare(const void *x, const void *y, void *context)
{
    const struct tdbg_bisect_side *side = context;
    const struct tdbg_contribution *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    const int by_name =
        strcmp(tdbg_site_tensor(site_of(side, a)), tdbg_site_tensor(site_of(side, b)));
    if (by_name || a->side != b->side)
        return by_name ? by_name : a->side - b->side;
    return (a->site > b->site) - (a->site < b->site);
}

static bool same_part(const struct tdbg_bisect_side side[2], const struct tdbg_contribution *a,
                      const struct tdbg_contribution *b)
{
    return a->rank == b->rank && a->step == b->step &&
           strcmp(tdbg_site_tensor(site_of(side, a)), tdbg_site_tensor(site_of(side, b))) == 0;
}

struct joining {
    const struct tdbg_bisect_side *side;
    struct tdbg_contributions *list;
    struct tdbg_arena *arena;
    struct tdbg_delta *whole, *part; /* new ones */
    int n_wholes, n_parts;
};

static void add_part(struct joining *j, const struct tdbg_contribution *one, int whole)
{
    const char *tensor = tdbg_arena_strdup(j->arena, tdbg_site_tensor(site_of(j->side, one)));
    j->part[j->n_parts++] = (struct tdbg_delta){
        .kind = TDBG_DELTA_CONTRIBUTION,
        .name = one->rank < 0
                    ? tdbg_arena_printf(j->arena, "sum of %s over the ranks in step %" PRId64,
                                        tensor, one->step)
                    : tdbg_arena_printf(j->arena, "contribution of rank %d to %s in step %" PRId64,
                                        (int)one->rank, tensor, one->step),
        .whole = whole,
        .of = tensor,
        .rank = one->rank,
        .step = one->step,
    };
}

/* Contributions at .. end - 1 of the list are one rank's; the new parts begin at `parts_at` in the
 * list of differences. */
static void join_rank(struct joining *j, int at, int end, int n_wholes, int parts_at)
{
    struct tdbg_contribution *list = j->list->list;
    const int whole = n_wholes + j->n_wholes;
    int n_parts = 0;
    for (int i = at; i < end; i++)
        n_parts += i == at || !same_part(j->side, &list[i - 1], &list[i]);
    for (int i = at; i < end; i++) {
        if (n_parts <= MOST_PARTS && (i == at || !same_part(j->side, &list[i - 1], &list[i])))
            add_part(j, &list[i], whole);
        list[i].item = n_parts <= MOST_PARTS ? parts_at + j->n_parts - 1 : whole;
    }
    j->whole[j->n_wholes++] = (struct tdbg_delta){
        .kind = TDBG_DELTA_RANK,
        .name = list[at].rank < 0
                    ? "sums over the ranks"
                    : tdbg_arena_printf(j->arena, "contributions of rank %d", (int)list[at].rank),
        .whole = -1,
        .rank = list[at].rank,
        .step = list[at].step,
    };
}

/* Wholes stay in front of parts. */
static void insert(struct tdbg_deltas *d, const struct joining *j)
{
    const int n = d->n + j->n_wholes + j->n_parts, n_old_parts = d->n - d->n_wholes;
    struct tdbg_delta *item = tdbg_arena_alloc(d->arena, (size_t)n * sizeof *item);
    struct tdbg_delta *at = item;
    if (d->n_wholes > 0)
        memcpy(at, d->item, (size_t)d->n_wholes * sizeof *at);
    memcpy(at += d->n_wholes, j->whole, (size_t)j->n_wholes * sizeof *at);
    if (n_old_parts > 0)
        memcpy(at + j->n_wholes, d->item + d->n_wholes, (size_t)n_old_parts * sizeof *at);
    if (j->n_parts > 0)
        memcpy(at + j->n_wholes + n_old_parts, j->part, (size_t)j->n_parts * sizeof *at);
    d->item = item;
    d->n = n;
    d->n_wholes += j->n_wholes;
}

enum tdbg_status tdbg_contributions_join(struct tdbg_contributions *c,
                                         const struct tdbg_bisect_side side[2],
                                         struct tdbg_deltas *d, struct tdbg_err *err)
{
    struct joining j = {.side = side, .list = c, .arena = d->arena};
    int n_ranks = 0;
    (void)err;
    if (c->n == 0)
        return TDBG_OK;
    qsort_r(c->list, (size_t)c->n, sizeof *c->list, compare, (void *)side);
    for (int i = 0; i < c->n; i++)
        n_ranks += i == 0 || c->list[i - 1].rank != c->list[i].rank;
    j.whole = tdbg_arena_alloc(d->arena, (size_t)n_ranks * sizeof *j.whole);
    j.part = tdbg_arena_alloc(d->arena, (size_t)c->n * sizeof *j.part);
    for (int at = 0, end; at < c->n; at = end) {
        for (end = at + 1; end < c->n && c->list[end].rank == c->list[at].rank; end++)
            ;
        join_rank(&j, at, end, d->n_wholes, d->n + n_ranks);
    }
    insert(d, &j);
    return TDBG_OK;
}

const char *tdbg_contribution_text(const struct tdbg_contribution *one,
                                   const struct tdbg_bisect_side side[2], char *buf,
                                   size_t buf_bytes)
{
    const struct tdbg_site *site = site_of(side, one);
    char index[120] = "";
    int64_t left = one->element, stride = tdbg_site_elems(site);
    size_t used = 0;
    for (int32_t d = 0; d < site->ndim && stride > 0; d++) {
        stride /= site->dims[d];
        used += (size_t)snprintf(index + used, sizeof index - used, "%s%" PRId64, d ? ", " : "",
                                 left / stride);
        left %= stride;
    }
    switch (one->how) {
    case TDBG_CONTRIBUTION_BIT:
        snprintf(buf, buf_bytes, "bit %d of [%s] is flipped", one->bit, index);
        break;
    case TDBG_CONTRIBUTION_ZERO:
        snprintf(buf, buf_bytes, "all of it is zero");
        break;
    case TDBG_CONTRIBUTION_STALE:
        snprintf(buf, buf_bytes, "it is that of step %" PRId64, one->step - 1);
        break;
    case TDBG_CONTRIBUTION_SCALED:
        snprintf(buf, buf_bytes, "it is multiplied by %.9g", (double)one->factor);
        break;
    case TDBG_CONTRIBUTION_MISSING:
        snprintf(buf, buf_bytes, "it is missing in the sum");
        break;
    case TDBG_CONTRIBUTION_OTHER:
        snprintf(buf, buf_bytes,
                 "%" PRId64 " of %" PRId64 " elements are not what executing it gives, first [%s]",
                 one->differ, one->elems, index);
        break;
    }
    return buf;
}

/* --- the taps --- */

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    const struct tdbg_contribution_tap *tap = self;
    (void)sites;
    (void)n_sites;
    (void)err;
    for (int i = 0; i < tap->all->n; i++) {
        const struct tdbg_contribution_place *p = &tap->all->place[i];
        if ((p->what->how == TDBG_CONTRIBUTION_MISSING) == tap->is_behind)
            wants[p->site] = (struct tdbg_want){TDBG_WANT_CHANGE, 1};
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    struct tdbg_contribution_taps *t = ((struct tdbg_contribution_tap *)self)->all;
    (void)err;
    for (t->first = 0; t->first < t->n && t->place[t->first].what->step < step; t->first++)
        ;
    for (t->end = t->first; t->end < t->n && t->place[t->end].what->step == step; t->end++)
        ;
    return TDBG_OK;
}

static enum tdbg_status put(const struct tdbg_contribution_taps *t,
                            const struct tdbg_contribution *what, const struct tdbg_handle *handle,
                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_rank_group *g = t->side[what->side].group;
    int64_t n = handle->elems;
    if (what->how == TDBG_CONTRIBUTION_MISSING)
        memset(t->value, 0, (size_t)n * sizeof *t->value);
    else if (what->value)
        memcpy(t->value, what->value, (size_t)(n = what->elems) * sizeof *t->value);
    else
        TDBG_TRY(tdbg_trace_read_values(g->files[g->holder[what->site]].trace, what->step,
                                        g->local[what->site], t->value, &n, err));
    TDBG_FAIL_IF(n != handle->elems, DAMAGED, "%s: %s at step %lld is of another shape",
                 tdbg_trace_path(g->files[g->holder[what->site]].trace), g->sites[what->site].name,
                 (long long)what->step);
    TDBG_TRY(tdbg_handle_write(handle, t->value, err));
out:
    return st;
}

static enum tdbg_status see(void *self, int64_t step, int32_t site,
                            const struct tdbg_handle *handle, struct tdbg_err *err)
{
    const struct tdbg_contribution_tap *tap = self;
    enum tdbg_status st = TDBG_OK;
    (void)step;
    for (int i = tap->all->first; i < tap->all->end; i++) {
        const struct tdbg_contribution_place *p = &tap->all->place[i];
        if (p->site == site && (p->what->how == TDBG_CONTRIBUTION_MISSING) == tap->is_behind)
            TDBG_TRY(put(tap->all, p->what, handle, err));
    }
out:
    return st;
}

static const struct tdbg_tap_ops contribution_ops = {plan, begin_step, see, NULL};

static int compare_places(const void *x, const void *y)
{
    const struct tdbg_contribution_place *a = x, *b = y;
    return (a->what->step > b->what->step) - (a->what->step < b->what->step);
}

enum tdbg_status tdbg_contribution_taps_open(struct tdbg_contribution_taps *t,
                                             const struct tdbg_bisect_side side[2],
                                             const struct tdbg_contributions *c, const bool *chosen,
                                             const struct tdbg_engine *engine, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    int64_t largest = 1;
    const struct tdbg_site *sites = tdbg_engine_sites(engine, &n_sites);
    *t = (struct tdbg_contribution_taps){.side = side};
    t->before = (struct tdbg_contribution_tap){t, false};
    t->behind = (struct tdbg_contribution_tap){t, true};
    if (c->n > 0)
        t->place = calloc((size_t)c->n, sizeof *t->place);
    TDBG_FAIL_IF(c->n > 0 && !t->place, NO_MEMORY, "no memory for what ranks contributed");
    for (int i = 0; i < c->n; i++) {
        char label[TDBG_MAX_SITE_NAME + 40];
        if (!chosen[i])
            continue;
        const struct tdbg_site *site = site_of(side, &c->list[i]);
        const int32_t at = tdbg_bisect_find_site(sites, n_sites, site);
        TDBG_FAIL_IF(at < 0, CONFIG, "this run has no %s, which rank %d contributed to",
                     tdbg_site_label(site, label, sizeof label), (int)c->list[i].rank);
        t->place[t->n++] = (struct tdbg_contribution_place){&c->list[i], at};
        largest = tdbg_site_elems(site) > largest ? tdbg_site_elems(site) : largest;
    }
    if (t->n == 0)
        goto out;
    qsort(t->place, (size_t)t->n, sizeof *t->place, compare_places);
    t->value = malloc((size_t)largest * sizeof *t->value);
    TDBG_FAIL_IF(!t->value, NO_MEMORY, "no memory for what ranks contributed");
out:
    return st;
}

void tdbg_contribution_taps_close(struct tdbg_contribution_taps *t)
{
    free(t->place);
    free(t->value);
    t->place = NULL;
    t->value = NULL;
    t->n = 0;
}

struct tdbg_tap tdbg_contribution_tap_before(struct tdbg_contribution_taps *t)
{
    return (struct tdbg_tap){&contribution_ops, &t->before};
}

struct tdbg_tap tdbg_contribution_tap_behind(struct tdbg_contribution_taps *t)
{
    return (struct tdbg_tap){&contribution_ops, &t->behind};
}
