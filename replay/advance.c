/* Steps by the optimizer alone. See advance.h. */
#include "replay/advance.h"

#include <stdlib.h>

struct tdbg_advance {
    struct tdbg_trace *trace;
    struct tdbg_engine *engine;
    const struct tdbg_site *sites;
    int32_t n_sites;
    bool by_lane;       /* gradients are stored lane by lane */
    int64_t *ids;       /* (batch) */
    void *buffer;       /* one gradient */
    uint64_t *recorded; /* (n_sites): digests of the step */
    bool differs;
};

/* What the optimizer's step is computed from. */
static bool is_needed(const struct tdbg_advance *a, const struct tdbg_site *site)
{
    return site->stage == (a->by_lane ? TDBG_STAGE_REDUCE_IN : TDBG_STAGE_GRAD);
}

/* And what comes out. */
static bool is_result(const struct tdbg_site *site)
{
    return site->stage == TDBG_STAGE_OPTIM || site->stage == TDBG_STAGE_PARAM;
}

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)self;
    (void)err;
    for (int32_t i = 0; i < n_sites; i++)
        wants[i] = (struct tdbg_want){is_result(&sites[i]) ? TDBG_WANT_DIGEST : 0, 1};
    return TDBG_OK;
}

static enum tdbg_status see(void *self, int64_t step, int32_t site,
                            const struct tdbg_handle *handle, struct tdbg_err *err)
{
    (void)step;
    struct tdbg_advance *a = self;
    enum tdbg_status st = TDBG_OK;
    uint64_t digest;
    TDBG_TRY(tdbg_handle_digest(handle, &digest, NULL, err));
    a->differs = a->differs || digest != a->recorded[site];
out:
    return st;
}

static const struct tdbg_tap_ops tap_ops = {plan, NULL, see, NULL};

static enum tdbg_status read_value(void *self, int64_t step, int32_t site, void *host,
                                   struct tdbg_err *err)
{
    struct tdbg_advance *a = self;
    return tdbg_trace_read_values(a->trace, step, site, host, NULL, err);
}

static bool is_stored_at_all(const struct tdbg_advance *a)
{
    const struct tdbg_site_plan *plans = tdbg_trace_plans(a->trace);
    for (int32_t i = 0; i < a->n_sites; i++) {
        if (is_needed(a, &a->sites[i]) &&
            (plans[i].store == TDBG_STORE_NONE || plans[i].store == TDBG_STORE_RESIDUAL))
            return false;
        if (is_result(&a->sites[i]) && plans[i].digest_every < 1)
            return false;
    }
    return true;
}

static int64_t largest_bytes(const struct tdbg_advance *a)
{
    int64_t most = 1;
    for (int32_t i = 0; i < a->n_sites; i++) {
        const int64_t bytes =
            tdbg_site_elems(&a->sites[i]) * (int64_t)tdbg_dtype_bytes(a->sites[i].dtype);
        most = is_needed(a, &a->sites[i]) && bytes > most ? bytes : most;
    }
    return most;
}

enum tdbg_status tdbg_advance_create(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                     struct tdbg_advance **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_advance *a = NULL;
    *out = NULL;
    if (!tdbg_engine_can_update(engine) || tdbg_trace_info(trace)->world_size > 1)
        return TDBG_OK;
    a = calloc(1, sizeof *a);
    TDBG_FAIL_IF(!a, NO_MEMORY, "no memory to go on from stored gradients");
    a->trace = trace;
    a->engine = engine;
    a->sites = tdbg_trace_sites(trace, &a->n_sites);
    if (!is_stored_at_all(a)) {
        a->by_lane = true;
        if (!is_stored_at_all(a))
            goto out;
    }
    a->ids = calloc((size_t)tdbg_trace_info(trace)->batch, sizeof *a->ids);
    a->buffer = malloc((size_t)largest_bytes(a));
    a->recorded = calloc((size_t)a->n_sites, sizeof *a->recorded);
    TDBG_FAIL_IF(!a->ids || !a->buffer || !a->recorded, NO_MEMORY,
                 "no memory to go on from stored gradients");
    *out = a;
    return TDBG_OK;
out:
    tdbg_advance_destroy(a);
    return st;
}

void tdbg_advance_destroy(struct tdbg_advance *a)
{
    if (!a)
        return;
    free(a->ids);
    free(a->buffer);
    free(a->recorded);
    free(a);
}

static bool has_all(const struct tdbg_advance *a, int64_t step, bool evaluated)
{
    for (int32_t i = 0; i < a->n_sites; i++) {
        if (is_needed(a, &a->sites[i]) && !tdbg_trace_has_values(a->trace, i, step, evaluated))
            return false;
        if (is_result(&a->sites[i]) && !tdbg_trace_has_digest(a->trace, i, step, evaluated))
            return false;
    }
    return true;
}

/* Reads what is damaged or missing as not stored: executing the step may still do. */
static enum tdbg_status forgive(enum tdbg_status st, struct tdbg_err *err)
{
    if (st != TDBG_DAMAGED && st != TDBG_NOT_FOUND && st != TDBG_NEEDS_REPLAY)
        return st;
    tdbg_err_clear(err);
    return TDBG_OK;
}

enum tdbg_status tdbg_advance_step(struct tdbg_advance *a, int64_t step,
                                   enum tdbg_advance_result *result, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tap tap = {&tap_ops, a};
    struct tdbg_step_row row;
    struct tdbg_stored_step stored = {.ids = a->ids,
                                      .by_lane = a->by_lane,
                                      .buffer = a->buffer,
                                      .read = read_value,
                                      .context = a};
    *result = TDBG_ADVANCE_NOT_STORED;
    a->differs = false;
    TDBG_TRY(tdbg_trace_read_steps(a->trace, step, 1, &row, err));
    if (!has_all(a, step, row.evaluated))
        goto out;
    TDBG_TRY(tdbg_trace_read_digests(a->trace, step, a->recorded, err));
    TDBG_TRY(tdbg_trace_read_batch_ids(a->trace, step, a->ids, &stored.n_samples, err));
    if (stored.n_samples < 1)
        goto out;
    TDBG_TRY(tdbg_engine_set_taps(a->engine, &tap, 1, err));
    TDBG_TRY(tdbg_engine_run_update(a->engine, step, &stored, err));
    *result = a->differs ? TDBG_ADVANCE_DIFFERS : TDBG_ADVANCE_DONE;
out:
    return forgive(st, err);
}
