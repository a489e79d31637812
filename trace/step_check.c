/* Checking one step. See step_check.h. */
#include "trace/step_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"
#include "trace/value_buffer.h"

struct tdbg_step_checker {
    struct tdbg_trace *trace;
    const struct tdbg_id_map *sound_ids;
    tdbg_fault_fn report;
    void *context;
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans;
    const struct tdbg_keyframe_item *items;
    int32_t n_sites, n_items;
    bool accepts_missing;     /* samples */
    bool *item_has_site;      /* (n_items): it is read, and compared, as the value of a site */
    uint64_t *digests;        /* (n_sites) of the step */
    struct tdbg_stats *stats; /* (n_sites) */
    int64_t *ids;             /* (batch) */
    struct tdbg_value_buffer value, x, y;

    /* of the current step */
    struct tdbg_step_result *result;
    struct tdbg_step_row row;
    bool has_digests, has_stats;
};

const char *tdbg_fault_reason(const char *message)
{
    const char *colon;
    while ((strncmp(message, "cannot read ", 12) == 0 ||
            strncmp(message, "cannot open trace ", 18) == 0) &&
           (colon = strstr(message, ": ")) != NULL)
        message = colon + 2;
    return message;
}

static void fault(struct tdbg_step_checker *c, int64_t step, int32_t site, const char *reason)
{
    c->result->n_faults++;
    if (c->report)
        c->report(c->context, step, site, reason);
}

/* Turns damage that a reading call found into a fault; *ok says whether there was none. */
static enum tdbg_status judge(struct tdbg_step_checker *c, int64_t step, int32_t site,
                              enum tdbg_status st, struct tdbg_err *found, bool *ok,
                              struct tdbg_err *err)
{
    *ok = st == TDBG_OK;
    if (st == TDBG_DAMAGED) {
        fault(c, step, site, tdbg_fault_reason(found->message));
        st = TDBG_OK;
    } else if (st == TDBG_NOT_FOUND || st == TDBG_NEEDS_REPLAY) {
        st = TDBG_OK; /* nothing was recorded here */
    } else if (st != TDBG_OK) {
        tdbg_err_set(err, st, found->file, found->line, "%s", found->message);
    }
    tdbg_err_clear(found);
    return st;
}

enum tdbg_status tdbg_step_checker_create(struct tdbg_trace *trace,
                                          const struct tdbg_id_map *sound_ids, tdbg_fault_fn report,
                                          void *context, struct tdbg_step_checker **out,
                                          struct tdbg_err *err)
{
    struct tdbg_step_checker *c = calloc(1, sizeof *c);
    if (!c)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to check a trace with");
    *out = c;
    c->trace = trace;
    c->sound_ids = sound_ids;
    c->report = report;
    c->context = context;
    c->sites = tdbg_trace_sites(trace, &c->n_sites);
    c->plans = tdbg_trace_plans(trace);
    c->items = tdbg_trace_keyframe_items(trace, &c->n_items);
    c->item_has_site = calloc((size_t)c->n_items + 1, sizeof *c->item_has_site);
    c->digests = malloc((size_t)c->n_sites * sizeof *c->digests);
    c->stats = malloc((size_t)c->n_sites * sizeof *c->stats);
    c->ids = malloc((size_t)tdbg_trace_info(trace)->batch * sizeof *c->ids);
    if (!c->item_has_site || !c->digests || !c->stats || !c->ids) {
        tdbg_step_checker_destroy(c);
        *out = NULL;
        return TDBG_RAISE(err, NO_MEMORY, "no memory to check a trace with");
    }
    for (int32_t i = 0; i < c->n_items; i++) {
        char name[TDBG_MAX_SITE_NAME + 8];
        snprintf(name, sizeof name, "state/%s", c->items[i].name);
        int32_t site = tdbg_trace_find_site(trace, name, TDBG_LANE_ALL, TDBG_LANE_ALL);
        c->item_has_site[i] = site >= 0 && c->plans[site].store == TDBG_STORE_KEYFRAME;
    }
    return TDBG_OK;
}

void tdbg_step_checker_accept_missing(struct tdbg_step_checker *c)
{
    c->accepts_missing = true;
}

void tdbg_step_checker_destroy(struct tdbg_step_checker *c)
{
    if (!c)
        return;
    free(c->item_has_site);
    free(c->digests);
    free(c->stats);
    free(c->ids);
    free(c->value.data);
    free(c->x.data);
    free(c->y.data);
    free(c);
}

static bool is_missing(const char *message)
{
    const char *reason = tdbg_fault_reason(message);
    return strncmp(reason, "samples/train: sample ", 22) == 0;
}

/* Samples first .. n - 1 of the batch, one at a time: a batch may be large. */
static enum tdbg_status check_samples(struct tdbg_step_checker *c, int64_t step, int64_t n,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_samples_spec *spec = tdbg_trace_samples(c->trace, TDBG_SAMPLES_TRAIN);
    bool ok = true;
    if (c->sound_ids) {
        for (int64_t i = 0; i < n; i++)
            ok &= tdbg_id_map_find(c->sound_ids, c->ids[i]) >= 0;
        if (!ok)
            fault(c, step, -1, "samples/train: some of its batch are damaged or missing");
        c->result->has_inputs = ok;
        return TDBG_OK;
    }
    TDBG_TRY(tdbg_value_buffer_reserve(&c->x, spec->x_dtype, spec->x_ndim, spec->x_dims, err));
    TDBG_TRY(tdbg_value_buffer_reserve(&c->y, spec->y_dtype, spec->y_ndim, spec->y_dims, err));
    for (int64_t i = 0; i < n && ok; i++) {
        struct tdbg_err found = {0};
        st = tdbg_trace_read_samples(c->trace, TDBG_SAMPLES_TRAIN, 1, &c->ids[i], c->x.data,
                                     c->y.data, &found);
        if (st == TDBG_DAMAGED && c->accepts_missing && is_missing(found.message))
            st = TDBG_NOT_FOUND;
        TDBG_TRY(judge(c, step, -1, st, &found, &ok, err));
    }
    c->result->has_inputs &= ok;
out:
    return st;
}

static enum tdbg_status check_rows(struct tdbg_step_checker *c, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    int64_t n = 0;
    st = tdbg_trace_read_digests(c->trace, step, c->digests, &found);
    TDBG_TRY(judge(c, step, -1, st, &found, &c->has_digests, err));
    st = tdbg_trace_read_step_stats(c->trace, step, c->stats, &found);
    TDBG_TRY(judge(c, step, -1, st, &found, &c->has_stats, err));
    if (tdbg_trace_samples(c->trace, TDBG_SAMPLES_TRAIN)->total == 0)
        goto out;
    st = tdbg_trace_read_batch_ids(c->trace, step, c->ids, &n, &found);
    TDBG_TRY(judge(c, step, -1, st, &found, &c->result->has_inputs, err));
    if (c->result->has_inputs)
        TDBG_TRY(check_samples(c, step, n, err));
out:
    return st;
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_stats(const struct tdbg_stats *a, const struct tdbg_stats *b)
{
    return same_number(a->min, b->min) && same_number(a->max, b->max) &&
           same_number(a->mean, b->mean) && same_number(a->rms, b->rms) && a->zeros == b->zeros &&
           a->nans == b->nans && a->infs == b->infs;
}

/* The stored value of a site against what was recorded about it. */
static enum tdbg_status check_value(struct tdbg_step_checker *c, int64_t step, int32_t site,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    const struct tdbg_site *s = &c->sites[site];
    struct tdbg_stats stats;
    uint64_t digest;
    int64_t n = 0;
    bool ok;
    TDBG_TRY(tdbg_value_buffer_reserve(&c->value, s->dtype, s->ndim, s->dims, err));
    st = tdbg_trace_read_values(c->trace, step, site, c->value.data, &n, &found);
    bool there = st == TDBG_OK;
    TDBG_TRY(judge(c, step, site, st, &found, &ok, err));
    if (c->plans[site].store == TDBG_STORE_KEYFRAME)
        c->result->has_keyframe &= there;
    if (!there)
        goto out;
    c->result->n_values++;
    c->result->value_bytes += n * (int64_t)tdbg_dtype_bytes(s->dtype);
    if (!tdbg_trace_has_digest(c->trace, site, step, c->row.evaluated))
        goto out;
    tdbg_digest_with_stats(c->value.data, s->dtype, n, &digest, &stats);
    if (c->has_digests && digest != c->digests[site]) {
        fault(c, step, site, "the stored value does not have its recorded digest");
        c->result->keyframe_differs |= c->plans[site].store == TDBG_STORE_KEYFRAME;
        goto out;
    }
    if (c->has_stats && !same_stats(&stats, &c->stats[site]))
        fault(c, step, site, "stats: they are not those of the stored value");
out:
    return st;
}

/* Half of the value has to be computed again, so that only this half can be looked at here. */
static enum tdbg_status check_residual(struct tdbg_step_checker *c, int64_t step, int32_t site,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    const struct tdbg_site *s = &c->sites[site];
    bool ok;
    TDBG_TRY(tdbg_value_buffer_reserve(&c->value, s->dtype, s->ndim, s->dims, err));
    st = tdbg_trace_read_residual(c->trace, step, site, c->value.data, &found);
    TDBG_TRY(judge(c, step, site, st, &found, &ok, err));
out:
    return st;
}

static enum tdbg_status check_values(struct tdbg_step_checker *c, int64_t step,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < c->n_sites; i++) {
        if (c->plans[i].store == TDBG_STORE_SAMPLES && !c->result->has_inputs)
            continue; /* that has been said */
        if (tdbg_trace_has_values(c->trace, i, step, c->row.evaluated))
            TDBG_TRY(check_value(c, step, i, err));
        else if (tdbg_trace_has_residual(c->trace, i, step, c->row.evaluated))
            TDBG_TRY(check_residual(c, step, i, err));
    }
out:
    return st;
}

/* Items that are no site's value, or cannot be reached as one. */
static enum tdbg_status check_keyframe(struct tdbg_step_checker *c, int64_t step,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t i = 0; i < c->n_items; i++) {
        struct tdbg_err found = {0};
        bool ok;
        if (c->item_has_site[i] && c->result->has_row)
            continue;
        TDBG_TRY(tdbg_value_buffer_reserve(&c->value, c->items[i].dtype, c->items[i].ndim,
                                           c->items[i].dims, err));
        st = tdbg_trace_read_keyframe(c->trace, step, i, c->value.data, &found);
        TDBG_TRY(judge(c, step, -1, st, &found, &ok, err));
        c->result->has_keyframe &= ok;
    }
out:
    return st;
}

/* The chains after the step follow from those before it and the step's digests. */
static enum tdbg_status check_chains(struct tdbg_step_checker *c, int64_t step,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t h[TDBG_CHAIN_COUNT];
    if (!c->has_digests)
        return TDBG_OK;
    st = tdbg_trace_read_chain_before(c->trace, step, h, NULL);
    if (st == TDBG_DAMAGED)
        return TDBG_OK; /* a fault of the step before */
    TDBG_FAIL_IF(st != TDBG_OK, NO_MEMORY, "cannot read step %lld", (long long)step - 1);
    tdbg_chain_step_all(h, c->sites, c->plans, c->n_sites, step, c->row.evaluated, c->digests);
    for (int chain = 0; chain < TDBG_CHAIN_COUNT; chain++) {
        char reason[96];
        if (h[chain] == c->row.chain[chain])
            continue;
        snprintf(reason, sizeof reason, "digest: hash chain %s does not follow from it",
                 tdbg_chain_name(chain));
        fault(c, step, -1, reason);
    }
out:
    return st;
}

enum tdbg_status tdbg_step_check(struct tdbg_step_checker *c, int64_t step,
                                 struct tdbg_step_result *result, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err found = {0};
    *result = (struct tdbg_step_result){0};
    c->result = result;
    st = tdbg_trace_read_steps(c->trace, step, 1, &c->row, &found);
    TDBG_TRY(judge(c, step, -1, st, &found, &result->has_row, err));
    result->is_keyframe = tdbg_trace_keyframe_before(c->trace, step) == step;
    result->has_keyframe = result->is_keyframe;
    if (result->is_keyframe)
        TDBG_TRY(check_keyframe(c, step, err));
    if (!result->has_row)
        goto out;
    result->evaluated = c->row.evaluated;
    TDBG_TRY(check_rows(c, step, err));
    TDBG_TRY(check_values(c, step, err));
    TDBG_TRY(check_chains(c, step, err));
out:
    return st;
}

bool tdbg_step_checker_rows(const struct tdbg_step_checker *c, const struct tdbg_step_row **row,
                            const uint64_t **digests, const struct tdbg_stats **stats)
{
    *row = &c->row;
    *digests = c->digests;
    *stats = c->stats;
    return c->result->has_row && c->has_digests && c->has_stats;
}
