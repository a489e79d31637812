/* Layout: checks of sites, and their grouping into datasets. See layout.h. */
#include "trace/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSE(...) return tdbg_err_set(err, bad, __FILE__, __LINE__, __VA_ARGS__)

bool tdbg_layout_name_is_valid(const char *name)
{
    size_t n = strnlen(name, TDBG_MAX_SITE_NAME + 1), part = 0;
    if (n == 0 || n > TDBG_MAX_SITE_NAME)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (name[i] != '/' && name[i] != 0) {
            if (name[i] <= ' ' || name[i] > '~')
                return false;
            continue;
        }
        size_t length = i - part;
        if (length == 0 || (length == 1 && name[part] == '.') ||
            (length == 2 && name[part] == '.' && name[part + 1] == '.'))
            return false;
        part = i + 1;
    }
    return true;
}

bool tdbg_layout_count(int32_t ndim, const int64_t *dims, int64_t *elems)
{
    int64_t n = 1, product = 1; /* product: a 0 must not hide the size of the others */
    for (int32_t d = 0; d < ndim; d++) {
        if (dims[d] < 0 || dims[d] > TDBG_MAX_ELEMS)
            return false;
        int64_t extent = dims[d] > 0 ? dims[d] : 1;
        if (extent > TDBG_MAX_ELEMS / product)
            return false;
        product *= extent;
        n *= dims[d];
    }
    *elems = n;
    return true;
}

static enum tdbg_status check_guarded(const struct tdbg_site *site,
                                      const struct tdbg_site_plan *plan, enum tdbg_status bad,
                                      struct tdbg_err *err)
{
    if (plan->value_every == 0)
        REFUSE("site %s is stored but at no step", site->name);
    if (plan->digest_every == 0 || plan->value_every % plan->digest_every != 0)
        REFUSE("site %s has values at steps without a digest", site->name);
    return TDBG_OK;
}

static enum tdbg_status check_store(const struct tdbg_site *site, const struct tdbg_site_plan *plan,
                                    enum tdbg_status bad, struct tdbg_err *err)
{
    switch (plan->store) {
    case TDBG_STORE_NONE:
        return TDBG_OK;
    case TDBG_STORE_DATASET:
        if (plan->value_every == 0)
            REFUSE("site %s is stored but at no step", site->name);
        return TDBG_OK;
    case TDBG_STORE_SAMPLES:
        if (strcmp(site->name, "samples/x") != 0 && strcmp(site->name, "samples/y") != 0 &&
            strcmp(site->name, "samples/id") != 0)
            REFUSE("site %s cannot be stored as samples", site->name);
        return TDBG_OK;
    case TDBG_STORE_KEYFRAME:
        if (site->stage != TDBG_STAGE_STATE)
            REFUSE("site %s is not of stage state and cannot be stored as a keyframe", site->name);
        return TDBG_OK;
    case TDBG_STORE_DELTA:
        if (site->stage == TDBG_STAGE_EVAL)
            REFUSE("site %s is not there at every step and cannot be stored as differences",
                   site->name);
        return check_guarded(site, plan, bad, err);
    case TDBG_STORE_PACKED:
    case TDBG_STORE_RESIDUAL:
        return check_guarded(site, plan, bad, err);
    case TDBG_STORE_COUNT:
        break;
    }
    REFUSE("site %s is stored in a way that schema %d.%d does not have", site->name,
           (int)TDBG_SCHEMA_MAJOR, (int)TDBG_SCHEMA_MINOR);
}

static enum tdbg_status check_site(const struct tdbg_run_info *info, const struct tdbg_site *site,
                                   const struct tdbg_site_plan *plan, enum tdbg_status bad,
                                   struct tdbg_err *err)
{
    int64_t elems;
    if (!tdbg_layout_name_is_valid(site->name))
        REFUSE("a site has a name that is no valid path");
    if ((unsigned)site->stage >= TDBG_STAGE_COUNT || (unsigned)site->dtype >= TDBG_DTYPE_COUNT)
        REFUSE("site %s has no valid stage or dtype", site->name);
    const char *stage = tdbg_stage_text(site->stage), *slash = strchr(site->name, '/');
    size_t n = strlen(stage);
    if (slash && ((size_t)(slash - site->name) != n || memcmp(site->name, stage, n) != 0))
        REFUSE("site %s is of stage %s and has to be called %s/...", site->name, stage, stage);
    if (site->ndim < 0 || site->ndim > TDBG_MAX_DIMS ||
        !tdbg_layout_count(site->ndim, site->dims, &elems))
        REFUSE("site %s has no valid shape", site->name);
    if (site->batched && site->ndim == 0)
        REFUSE("site %s is a scalar and cannot count samples", site->name);
    if (site->lane < TDBG_LANE_ALL || site->lane >= info->lanes || site->micro < TDBG_LANE_ALL ||
        site->micro >= info->accumulate ||
        (site->lane == TDBG_LANE_ALL && site->micro != TDBG_LANE_ALL))
        REFUSE("site %s has no valid lane and micro-batch", site->name);
    if (plan->digest_every < 0 || plan->value_every < 0)
        REFUSE("site %s has a negative cadence", site->name);
    return check_store(site, plan, bad, err);
}

static int compare_keys(const struct tdbg_site *a, const char *name, int32_t lane, int32_t micro)
{
    int c = strcmp(a->name, name);
    if (c == 0)
        c = (a->lane > lane) - (a->lane < lane);
    return c ? c : (a->micro > micro) - (a->micro < micro);
}

static int compare_sites(const void *a, const void *b, void *context)
{
    const struct tdbg_site *sites = context;
    const struct tdbg_site *y = &sites[*(const int32_t *)b];
    return compare_keys(&sites[*(const int32_t *)a], y->name, y->lane, y->micro);
}

/* The slot axes of n sites of one name, which are in the order of their slots. */
static enum tdbg_status fill_axes(const struct tdbg_site *sites, const int32_t *order, int32_t n,
                                  struct tdbg_value_set *set, enum tdbg_status bad,
                                  struct tdbg_err *err)
{
    const struct tdbg_site *first = &sites[order[0]], *last = &sites[order[n - 1]];
    set->first_lane = first->lane;
    set->n_lanes = set->n_micro = 1;
    if (n == 1)
        return TDBG_OK;
    set->n_axes = last->micro == TDBG_LANE_ALL ? 1 : 2;
    set->n_lanes = last->lane - first->lane + 1;
    set->n_micro = last->micro == TDBG_LANE_ALL ? 1 : last->micro + 1;
    if (first->lane == TDBG_LANE_ALL || (int64_t)set->n_lanes * set->n_micro != n)
        REFUSE("site %s: its lanes and micro-batches do not form a table", first->name);
    for (int32_t i = 0; i < n; i++) {
        const struct tdbg_site *s = &sites[order[i]];
        int32_t micro = set->n_axes == 1 ? TDBG_LANE_ALL : i % set->n_micro;
        if (s->lane != first->lane + i / set->n_micro || s->micro != micro)
            REFUSE("site %s: its lanes and micro-batches do not form a table", first->name);
    }
    return TDBG_OK;
}

static bool same_plan(const struct tdbg_site_plan *a, const struct tdbg_site_plan *b)
{
    return a->store == b->store && a->value_every == b->value_every;
}

/* The group of the stores that have value sets. */
static const char *const set_group[TDBG_STORE_COUNT] = {
    [TDBG_STORE_DATASET] = "t",
    [TDBG_STORE_DELTA] = "delta",
    [TDBG_STORE_RESIDUAL] = "residual",
};

/* A value set of the n sites order[0 .. n-1]: all those of one name that are stored in one. */
static enum tdbg_status add_set(struct tdbg_arena *arena, const struct tdbg_site *sites,
                                const struct tdbg_site_plan *plans, const int32_t *order, int32_t n,
                                struct tdbg_layout *out, enum tdbg_status bad, struct tdbg_err *err)
{
    struct tdbg_value_set *set = &out->sets[out->n_sets];
    const struct tdbg_site *first = &sites[order[0]];
    *set = (struct tdbg_value_set){
        .site = order[0], .ndim = first->ndim, .store = plans[order[0]].store};
    set->path = tdbg_arena_printf(arena, "%s/%s/%s", set_group[set->store],
                                  tdbg_stage_text(first->stage), tdbg_site_tensor(first));
    enum tdbg_status st = fill_axes(sites, order, n, set, bad, err);
    if (st != TDBG_OK)
        return st;
    for (int32_t i = 0; i < n; i++) {
        const struct tdbg_site *s = &sites[order[i]];
        if (s->stage != first->stage || s->dtype != first->dtype || s->ndim != first->ndim ||
            !same_plan(&plans[order[i]], &plans[order[0]]))
            REFUSE("site %s differs between lanes in more than its samples", first->name);
        for (int32_t d = 0; d < s->ndim; d++) {
            if (d > 0 && s->dims[d] != first->dims[d])
                REFUSE("site %s differs in shape between lanes", first->name);
            set->dims[d] = s->dims[d] > set->dims[d] ? s->dims[d] : set->dims[d];
        }
        out->set[order[i]] = out->n_sets;
        out->slot[order[i]] = i;
    }
    for (int32_t d = 0; d < set->ndim; d++)
        set->dims[d] = set->dims[d] > 0 ? set->dims[d] : 1;
    if (!tdbg_layout_count(set->ndim, set->dims, &set->slot_elems) ||
        set->slot_elems > TDBG_MAX_ELEMS / n)
        REFUSE("site %s is too large", first->name);
    out->n_sets++;
    return TDBG_OK;
}

/* Gives every packed site its place: sets in the order of their first sites, a set's sites in site
 * order. */
static enum tdbg_status pack_sites(struct tdbg_arena *arena, const struct tdbg_site *sites,
                                   const struct tdbg_site_plan *plans, int32_t n_sites,
                                   struct tdbg_layout *out, enum tdbg_status bad,
                                   struct tdbg_err *err)
{
    int32_t set_of[TDBG_STAGE_COUNT][TDBG_DTYPE_COUNT];
    memset(set_of, -1, sizeof set_of);
    out->packed = tdbg_arena_alloc(arena, sizeof set_of / sizeof **set_of * sizeof *out->packed);
    for (int32_t i = 0; i < n_sites; i++) {
        const struct tdbg_site *s = &sites[i];
        if (plans[i].store != TDBG_STORE_PACKED)
            continue;
        int32_t *k = &set_of[s->stage][s->dtype];
        if (*k < 0) {
            *k = out->n_packed++;
            out->packed[*k].path = tdbg_arena_printf(
                arena, "packed/%s/%s", tdbg_stage_text(s->stage), tdbg_dtype_text(s->dtype));
            out->packed[*k].site = i;
        }
        struct tdbg_packed_set *p = &out->packed[*k];
        if (plans[i].value_every != plans[p->site].value_every)
            REFUSE("sites %s and %s are packed together, but stored at different steps",
                   sites[p->site].name, s->name);
        if (tdbg_site_elems(s) > TDBG_MAX_ELEMS - p->row_elems)
            REFUSE("%s has rows that are too large", p->path);
        out->packed_set[i] = *k;
        out->packed_offset[i] = p->row_elems;
        p->row_elems += tdbg_site_elems(s);
    }
    for (int32_t k = 0; k < out->n_packed; k++)
        out->packed[k].row_elems += out->packed[k].row_elems == 0;
    return TDBG_OK;
}

enum tdbg_status tdbg_layout_build(struct tdbg_arena *arena, const struct tdbg_run_info *info,
                                   const struct tdbg_site *sites,
                                   const struct tdbg_site_plan *plans, int32_t n_sites,
                                   enum tdbg_status bad, struct tdbg_layout *out,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t n = (size_t)n_sites;
    *out = (struct tdbg_layout){.order = tdbg_arena_alloc(arena, n * sizeof *out->order),
                                .set = tdbg_arena_alloc(arena, n * sizeof *out->set),
                                .slot = tdbg_arena_alloc(arena, n * sizeof *out->slot),
                                .sets = tdbg_arena_alloc(arena, n * sizeof *out->sets),
                                .packed_set = tdbg_arena_alloc(arena, n * sizeof *out->packed_set),
                                .packed_offset =
                                    tdbg_arena_alloc(arena, n * sizeof *out->packed_offset)};
    for (int32_t i = 0; i < n_sites; i++) {
        out->order[i] = i;
        out->set[i] = out->packed_set[i] = -1;
        out->packed_offset[i] = -1;
        TDBG_TRY(check_site(info, &sites[i], &plans[i], bad, err));
    }
    qsort_r(out->order, n, sizeof *out->order, compare_sites, (void *)sites);
    int32_t *stored = tdbg_arena_alloc(arena, n * sizeof *stored);
    for (int32_t i = 0, next; i < n_sites; i = next) {
        int32_t n_stored = 0;
        for (next = i; next < n_sites; next++) {
            const struct tdbg_site *s = &sites[out->order[next]];
            if (strcmp(s->name, sites[out->order[i]].name) != 0)
                break;
            if (next > i &&
                compare_sites(&out->order[next - 1], &out->order[next], (void *)sites) == 0)
                REFUSE("site %s is there twice", s->name);
            if (set_group[plans[out->order[next]].store])
                stored[n_stored++] = out->order[next];
        }
        if (n_stored > 0)
            TDBG_TRY(add_set(arena, sites, plans, stored, n_stored, out, bad, err));
    }
    TDBG_TRY(pack_sites(arena, sites, plans, n_sites, out, bad, err));
out:
    return st;
}

static enum tdbg_status check_item(const struct tdbg_keyframe_item *item, enum tdbg_status bad,
                                   struct tdbg_err *err)
{
    int64_t elems;
    if (!tdbg_layout_name_is_valid(item->name))
        REFUSE("a keyframe item has a name that is no valid path");
    if (strcmp(item->name, "step") == 0)
        REFUSE("a keyframe item cannot be called step: /keyframe/step is the list of steps");
    if ((unsigned)item->dtype >= TDBG_DTYPE_COUNT || item->ndim < 0 || item->ndim > TDBG_MAX_DIMS ||
        !tdbg_layout_count(item->ndim, item->dims, &elems) || elems == 0)
        REFUSE("keyframe item %s has no valid shape", item->name);
    return TDBG_OK;
}

static int compare_items(const void *a, const void *b, void *context)
{
    const struct tdbg_keyframe_item *items = context;
    return strcmp(items[*(const int32_t *)a].name, items[*(const int32_t *)b].name);
}

static int32_t find_item(const struct tdbg_keyframe_item *items, const int32_t *order, int32_t n,
                         const char *name)
{
    int32_t low = 0, high = n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int c = strcmp(items[order[middle]].name, name);
        if (c == 0)
            return order[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static bool same_shape(int32_t a_ndim, const int64_t *a, int32_t b_ndim, const int64_t *b)
{
    return a_ndim == b_ndim && memcmp(a, b, (size_t)a_ndim * sizeof *a) == 0;
}

/* A site stored as samples: dimension 0 counts samples, the others are those of one sample. */
static bool matches_samples(const struct tdbg_site *site, const struct tdbg_samples_spec *spec)
{
    if (spec->total == 0 || site->ndim < 1 || !site->batched)
        return false;
    if (strcmp(site->name, "samples/x") == 0)
        return site->dtype == spec->x_dtype &&
               same_shape(site->ndim - 1, site->dims + 1, spec->x_ndim, spec->x_dims);
    if (strcmp(site->name, "samples/y") == 0)
        return site->dtype == spec->y_dtype &&
               same_shape(site->ndim - 1, site->dims + 1, spec->y_ndim, spec->y_dims);
    return site->dtype == TDBG_DTYPE_I64 && site->ndim == 1;
}

enum tdbg_status tdbg_layout_check_stores(struct tdbg_arena *arena, const struct tdbg_site *sites,
                                          const struct tdbg_site_plan *plans, int32_t n_sites,
                                          const struct tdbg_keyframe_item *items, int32_t n_items,
                                          const struct tdbg_samples_spec samples[TDBG_SAMPLES_SETS],
                                          enum tdbg_status bad, int32_t **item_of_site,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t *order = tdbg_arena_alloc(arena, (size_t)n_items * sizeof *order);
    *item_of_site = tdbg_arena_alloc(arena, (size_t)n_sites * sizeof **item_of_site);
    for (int32_t i = 0; i < n_items; i++) {
        order[i] = i;
        TDBG_TRY(check_item(&items[i], bad, err));
    }
    qsort_r(order, (size_t)n_items, sizeof *order, compare_items, (void *)items);
    for (int32_t i = 1; i < n_items; i++) {
        if (strcmp(items[order[i - 1]].name, items[order[i]].name) == 0)
            REFUSE("keyframe item %s is there twice", items[order[i]].name);
    }
    for (int32_t i = 0; i < n_sites; i++) {
        const struct tdbg_site *s = &sites[i];
        (*item_of_site)[i] = -1;
        if (plans[i].store == TDBG_STORE_SAMPLES &&
            !matches_samples(s, &samples[TDBG_SAMPLES_TRAIN]))
            REFUSE("site %s does not match the samples' dtype and shape", s->name);
        if (plans[i].store != TDBG_STORE_KEYFRAME)
            continue;
        char name[TDBG_MAX_SITE_NAME + 24];
        const char *tensor = tdbg_site_tensor(s);
        if (s->lane > 0) /* lane 0 has the name itself */
            snprintf(name, sizeof name, "%s.lane%d", tensor, (int)s->lane);
        int32_t k = find_item(items, order, n_items, s->lane > 0 ? name : tensor);
        if (k < 0 || items[k].dtype != s->dtype ||
            !same_shape(s->ndim, s->dims, items[k].ndim, items[k].dims))
            REFUSE("site %s has no keyframe item of its dtype and shape", s->name);
        (*item_of_site)[i] = k;
    }
out:
    return st;
}

int32_t tdbg_layout_find(const struct tdbg_layout *layout, const struct tdbg_site *sites,
                         int32_t n_sites, const char *name, int32_t lane, int32_t micro)
{
    int32_t low = 0, high = n_sites;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int c = compare_keys(&sites[layout->order[middle]], name, lane, micro);
        if (c == 0)
            return layout->order[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

void tdbg_layout_slice(int64_t batch, int32_t lanes, int32_t accumulate, int32_t lane,
                       int32_t micro, int64_t *first, int64_t *count)
{
    int64_t from = 0, to = batch;
    if (lane != TDBG_LANE_ALL) {
        from = lane * batch / lanes;
        to = (lane + INT64_C(1)) * batch / lanes;
    }
    if (micro != TDBG_LANE_ALL) {
        int64_t n = to - from, start = from;
        from = start + micro * n / accumulate;
        to = start + (micro + INT64_C(1)) * n / accumulate;
    }
    *first = from;
    *count = to - from;
}

int64_t tdbg_layout_rows(int64_t first_step, int64_t n_steps, int32_t every)
{
    int64_t last_due = (first_step + n_steps - 1) / every * every;
    return n_steps == 0 || last_due < first_step ? 0
                                                 : tdbg_layout_row(first_step, last_due, every) + 1;
}
