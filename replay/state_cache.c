/* Which states are kept. See state_cache.h. */
#include "replay/state_cache.h"

#include <stdlib.h>

struct slot {
    int64_t step; /* the state is that before this step; -1: none */
    unsigned char *data;
};

struct tdbg_state_cache {
    struct tdbg_engine *engine;
    size_t bytes; /* of a state */
    int n;
    struct slot slots[TDBG_MAX_CACHED_STATES];
    int64_t keyframe, target; /* of the way that is being gone */
    int64_t base;             /* the last state on it that is kept, or the keyframe */
    int n_free;               /* places for states behind base */
};

enum { LONGEST = 1 << 30 }; /* steps between two keyframes */

/* (s + r)! / (s! r!): the most steps that s kept states, the first one counted, can visit backward
 * with no step executed more than r times to reach another. Not above LONGEST. */
static int64_t reach(int s, int64_t r)
{
    int64_t product = 1;
    if (r < 0)
        return 0;
    for (int i = 1; i <= s; i++) {
        product = product * (r + i) / i;
        if (product >= LONGEST)
            return LONGEST;
    }
    return product;
}

static int64_t repetitions(int64_t n, int s)
{
    int64_t r = 0;
    while (reach(s, r) < n)
        r++;
    return r;
}

int64_t tdbg_state_cache_cost(int64_t n, int n_states)
{
    const int64_t r = repetitions(n, n_states + 1);
    return r == 0 ? 0 : r * n - reach(n_states + 2, r - 1);
}

int64_t tdbg_state_cache_distance(int64_t n, int n_states)
{
    const int s = n_states + 1;
    const int64_t r = repetitions(n, s);
    const int64_t before = reach(s, r - 1), behind = n - reach(s - 1, r - 1);
    return before < behind ? before : behind;
}

enum tdbg_status tdbg_state_cache_create(struct tdbg_engine *engine, int n_states,
                                         struct tdbg_state_cache **out, struct tdbg_err *err)
{
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    struct tdbg_state_cache *c = calloc(1, sizeof *c);
    if (!c)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a cache of states");
    TDBG_ASSERT(n_states >= 1 && n_states <= TDBG_MAX_CACHED_STATES);
    c->engine = engine;
    c->n = n_states;
    for (int32_t i = 0; i < n; i++)
        c->bytes += (size_t)items[i].elems * tdbg_dtype_bytes(items[i].dtype);
    tdbg_state_cache_clear(c);
    *out = c;
    return TDBG_OK;
}

void tdbg_state_cache_destroy(struct tdbg_state_cache *c)
{
    for (int i = 0; c && i < c->n; i++)
        free(c->slots[i].data);
    free(c);
}

void tdbg_state_cache_clear(struct tdbg_state_cache *c)
{
    for (int i = 0; i < c->n; i++)
        c->slots[i].step = -1;
    c->n_free = 0;
}

int64_t tdbg_state_cache_find(const struct tdbg_state_cache *c, int64_t first, int64_t step)
{
    int64_t last = -1;
    for (int i = 0; i < c->n; i++) {
        const int64_t at = c->slots[i].step;
        if (at >= first && at <= step && at > last)
            last = at;
    }
    return last;
}

enum tdbg_status tdbg_state_cache_load(const struct tdbg_state_cache *c, int64_t step,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(c->engine, &n);
    const unsigned char *data = NULL;
    for (int i = 0; i < c->n; i++)
        data = c->slots[i].step == step ? c->slots[i].data : data;
    TDBG_ASSERT(data && step >= 0);
    for (int32_t i = 0; i < n; i++) {
        TDBG_TRY(tdbg_engine_set_item(c->engine, i, data, err));
        data += (size_t)items[i].elems * tdbg_dtype_bytes(items[i].dtype);
    }
out:
    return st;
}

/* A place for another state: one without a state, or whose state is not on the way. */
static struct slot *find_room(struct tdbg_state_cache *c)
{
    struct slot *room = NULL;
    for (int i = 0; i < c->n; i++) {
        struct slot *slot = &c->slots[i];
        const bool is_used = slot->step >= c->keyframe && slot->step <= c->target;
        if (slot->step < 0)
            return slot;
        room = is_used ? room : slot;
    }
    return room;
}

/* Keeps the state that the engine is in. */
static bool keep(struct tdbg_state_cache *c, int64_t step)
{
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(c->engine, &n);
    struct slot *slot = find_room(c);
    if (!slot)
        return false;
    slot->step = -1;
    if (!slot->data)
        slot->data = malloc(c->bytes);
    unsigned char *data = slot->data;
    for (int32_t i = 0; data && i < n; i++) {
        if (tdbg_engine_get_item(c->engine, i, data, NULL) != TDBG_OK)
            return false;
        data += (size_t)items[i].elems * tdbg_dtype_bytes(items[i].dtype);
    }
    slot->step = data ? step : -1;
    return data != NULL;
}

static int compare_steps(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* What it costs to visit all steps from target back to the keyframe when of the n states `steps`
 * those in `set` are kept. */
static int64_t cost_of(const struct tdbg_state_cache *c, const int64_t *steps, int n, unsigned set,
                       int64_t *base, int *n_kept)
{
    int64_t total = 0;
    *base = c->keyframe;
    *n_kept = 0;
    for (int i = 0; i < n; i++) {
        if (!(set & 1u << i))
            continue;
        if (steps[i] > *base)
            total += tdbg_state_cache_cost(steps[i] - *base, c->n - *n_kept);
        *base = steps[i];
        ++*n_kept;
    }
    return total + tdbg_state_cache_cost(c->target - *base + 1, c->n - *n_kept);
}

void tdbg_state_cache_plan(struct tdbg_state_cache *c, int64_t keyframe, int64_t target)
{
    int64_t steps[TDBG_MAX_CACHED_STATES], base, least = INT64_MAX;
    unsigned best = 0;
    int n = 0, n_kept;
    c->keyframe = keyframe;
    c->target = target;
    for (int i = 0; i < c->n; i++) {
        if (c->slots[i].step >= keyframe && c->slots[i].step <= target)
            steps[n++] = c->slots[i].step;
    }
    qsort(steps, (size_t)n, sizeof *steps, compare_steps);
    for (unsigned set = 0; set < 1u << n; set++) {
        const int64_t cost = cost_of(c, steps, n, set, &base, &n_kept);
        if (cost <= least) { /* of equal ones the last, which keeps more of the later states */
            least = cost;
            best = set;
        }
    }
    cost_of(c, steps, n, best, &c->base, &n_kept);
    c->n_free = c->n - n_kept;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < c->n && !(best & 1u << i); k++)
            c->slots[k].step = c->slots[k].step == steps[i] ? -1 : c->slots[k].step;
    }
}

void tdbg_state_cache_pass(struct tdbg_state_cache *c, int64_t step)
{
    const int64_t left = c->target - c->base + 1;
    if (c->n_free < 1 || step <= c->base || step > c->target)
        return;
    /* the last state of the way is of use to who asks for the same step again */
    if (step < c->target && step < c->base + tdbg_state_cache_distance(left, c->n_free))
        return;
    if (!keep(c, step)) {
        c->n_free = 0;
        return;
    }
    c->n_free--;
    c->base = step;
}
