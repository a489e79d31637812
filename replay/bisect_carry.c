/* See bisect_carry.h. */
#include "replay/bisect_carry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/expression_live.h"
#include "replay/fork.h"

/* --- parameters --- */

/* The square of a gradient's L2, by its statistics: not finite where an element is not. false: it
 * is no gradient, or not recorded at the step. */
static bool find_square(struct tdbg_trace *trace, const struct tdbg_bisect_report *r,
                        const struct tdbg_site *sites, const struct tdbg_stats *stats, int32_t i,
                        double *square)
{
    const struct tdbg_stats *s = &stats[i];
    if (sites[i].stage != TDBG_STAGE_GRAD ||
        !tdbg_trace_has_digest(trace, i, r->step, r->row.evaluated != 0))
        return false;
    *square = s->nans   ? (double)NAN
              : s->infs ? (double)INFINITY
                        : s->rms * s->rms * (double)tdbg_site_elems(&sites[i]);
    return true;
}

bool tdbg_bisect_is_larger(double a, double b)
{
    return isnan(a) ? !isnan(b) : a > b;
}

static void note(struct tdbg_bisect_part_of_gradient *list, int *n, int most, const char *name,
                 size_t name_bytes, double square)
{
    int at = *n;
    while (at > 0 && tdbg_bisect_is_larger(square, list[at - 1].share))
        at--;
    if (at == most)
        return;
    const int kept = *n < most ? (*n)++ : most - 1;
    memmove(&list[at + 1], &list[at], (size_t)(kept - at) * sizeof *list);
    snprintf(list[at].name, sizeof list[at].name, "%.*s", (int)name_bytes, name);
    list[at].share = square;
}

/* What is in front of the last dot; a name without one is its own layer. */
static size_t layer_bytes(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

static bool is_first_of_layer(const struct tdbg_site *sites, int32_t at)
{
    const char *name = tdbg_site_tensor(&sites[at]);
    const size_t n = layer_bytes(name);
    for (int32_t i = 0; i < at; i++) {
        const char *other = tdbg_site_tensor(&sites[i]);
        if (sites[i].stage == TDBG_STAGE_GRAD && layer_bytes(other) == n &&
            memcmp(name, other, n) == 0)
            return false;
    }
    return true;
}

/* Squares become shares of their sum, and norms. */
static void finish(struct tdbg_bisect_part_of_gradient *list, int n, double sum)
{
    for (int i = 0; i < n; i++) {
        list[i].norm = sqrt(list[i].share);
        list[i].share = isfinite(sum) && sum > 0 ? list[i].share / sum : (double)NAN;
    }
}

enum tdbg_status tdbg_bisect_find_parameters(struct tdbg_trace *trace, struct tdbg_bisect_report *r,
                                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    struct tdbg_stats *stats = malloc((size_t)n * sizeof *stats + 1);
    double sum = 0;
    TDBG_FAIL_IF(!stats, NO_MEMORY, "no memory for the statistics of a step");
    TDBG_TRY(tdbg_trace_read_step_stats(trace, r->step, stats, err));
    for (int32_t i = 0; i < n; i++) {
        const char *name = tdbg_site_tensor(&sites[i]);
        double square, part, layer = 0;
        if (!find_square(trace, r, sites, stats, i, &square))
            continue;
        sum += square;
        note(r->parameter, &r->n_parameters, TDBG_BISECT_PARAMETERS, name, strlen(name), square);
        if (!is_first_of_layer(sites, i))
            continue;
        for (int32_t k = i; k < n; k++) {
            const char *other = tdbg_site_tensor(&sites[k]);
            if (layer_bytes(other) == layer_bytes(name) &&
                memcmp(other, name, layer_bytes(name)) == 0 &&
                find_square(trace, r, sites, stats, k, &part))
                layer += part;
        }
        note(r->layer, &r->n_layers, TDBG_BISECT_PARAMETERS, name, layer_bytes(name), layer);
    }
    finish(r->parameter, r->n_parameters, sum);
    finish(r->layer, r->n_layers, sum);
out:
    free(stats);
    return st;
}

/* --- samples --- */

/* The other samples of the batch, each once, into drop (n); returns how many. */
static int list_others(const int64_t *ids, int64_t n, int64_t id, int64_t *drop)
{
    int n_drop = 0;
    for (int64_t i = 0; i < n; i++) {
        bool is_new = ids[i] != id;
        for (int k = 0; k < n_drop && is_new; k++)
            is_new = drop[k] != ids[i];
        if (is_new)
            drop[n_drop++] = ids[i];
    }
    return n_drop;
}

/* The norm of all gradients of the step as the fork computes it. */
static enum tdbg_status run_fork(struct tdbg_fork *fork, const struct tdbg_backend *backend,
                                 const struct tdbg_engine *state, int64_t step, double *norm,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_engine *engine = NULL;
    struct tdbg_expr_live *live = NULL;
    struct tdbg_expr_fault fault;
    struct tdbg_step_info info;
    int32_t n;
    struct tdbg_expr *expr = tdbg_expr_parse("norm(grad/*)", &fault);
    TDBG_FAIL_IF(!expr, NO_MEMORY, "no memory for an expression");
    TDBG_TRY(
        tdbg_engine_create(tdbg_fork_config(fork), backend, tdbg_fork_source(fork), &engine, err));
    TDBG_TRY(tdbg_config_result(tdbg_fork_config(fork), err));
    TDBG_TRY(tdbg_fork_copy_state(state, engine, err));
    const struct tdbg_site *sites = tdbg_engine_sites(engine, &n);
    TDBG_TRY(tdbg_expr_live_create(expr, sites, n, &live, err));
    const struct tdbg_tap tap = tdbg_expr_live_tap(live);
    TDBG_TRY(tdbg_engine_set_taps(engine, &tap, 1, err));
    TDBG_TRY(tdbg_engine_run_step(engine, step, &info, err));
    const struct tdbg_expr_value value = tdbg_expr_live_value(live, &info);
    *norm = value.is_known ? value.number : (double)NAN;
out:
    tdbg_engine_destroy(engine);
    tdbg_expr_live_destroy(live);
    tdbg_expr_destroy(expr);
    return st;
}

static enum tdbg_status weigh(struct tdbg_trace *trace, const struct tdbg_session_options *options,
                              const struct tdbg_backend *backend, const struct tdbg_engine *state,
                              struct tdbg_bisect_report *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t batch = tdbg_trace_info(trace)->batch;
    static const char *const sets[] = {"eval.every=0"};
    int64_t *ids = malloc(2 * (size_t)batch * sizeof *ids + 1), n;
    struct tdbg_fork *fork = NULL;
    TDBG_FAIL_IF(!ids, NO_MEMORY, "no memory for the ids of a batch");
    TDBG_TRY(tdbg_trace_read_batch_ids(trace, r->step, ids, &n, err));
    for (int i = 0; i < r->n_samples; i++) {
        const struct tdbg_fork_options o = {.from = r->step,
                                            .to = r->step,
                                            .sets = sets,
                                            .n_sets = 1,
                                            .drop = ids + batch,
                                            .n_drop =
                                                list_others(ids, n, r->sample[i].id, ids + batch),
                                            .session = *options};
        TDBG_TRY(tdbg_fork_create(trace, &o, &fork, err));
        TDBG_TRY(run_fork(fork, backend, state, r->step, &r->sample[i].grad_norm, err));
        tdbg_fork_destroy(fork);
        fork = NULL;
        r->steps_executed++;
    }
out:
    tdbg_fork_destroy(fork);
    free(ids);
    return st;
}

enum tdbg_status tdbg_bisect_weigh_samples(struct tdbg_trace *trace,
                                           const struct tdbg_session_options *options,
                                           struct tdbg_session *session,
                                           struct tdbg_bisect_report *r, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_backend *backend = NULL;
    struct tdbg_err fault = {0};
    if (r->n_samples == 0)
        return TDBG_OK;
    TDBG_TRY(tdbg_session_seek(session, r->step, err));
    TDBG_TRY(tdbg_backend_cpu_create(options->isa ? options->isa : "auto", options->threads,
                                     &backend, err));
    st = weigh(trace, options, backend, tdbg_session_engine(session), r, &fault);
    if (st == TDBG_UNSUPPORTED || st == TDBG_NO_MEMORY || st == TDBG_CANNOT_JUDGE ||
        st == TDBG_USAGE || st == TDBG_CONFIG) {
        tdbg_err_clear(&fault); /* it is not known */
        st = TDBG_OK;
    } else if (st != TDBG_OK) {
        *err = fault;
    }
out:
    tdbg_backend_destroy(backend);
    return st;
}
