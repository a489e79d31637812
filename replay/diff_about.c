/* What two runs are: config, environment, data, and what of it is reason enough for other bits. See
 * diff_impl.h. */
#include <inttypes.h>
#include <string.h>

#include "replay/diff_impl.h"

enum { MOST_RUN = 8, MOST_NOTES = 8 };

static enum tdbg_status compare_configs(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_config *a = NULL, *b = NULL;
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_run_info *info_a = tdbg_trace_info(d->a.first),
                               *info_b = tdbg_trace_info(d->b.first);
    if (!tdbg_session_is_possible(d->a.first) || !tdbg_session_is_possible(d->b.first)) {
        r->n_config = tdbg_config_diff_texts(info_a->config, info_b->config, r->arena, &r->config);
        return TDBG_OK;
    }
    TDBG_TRY(tdbg_config_parse(info_a->config, "/run/config", NULL, 0, &a, err));
    TDBG_TRY(tdbg_config_parse(info_b->config, "/run/config", NULL, 0, &b, err));
    r->n_config = tdbg_config_diff(tdbg_config_root(a), tdbg_config_root(b), r->arena, &r->config);
out:
    tdbg_config_destroy(a);
    tdbg_config_destroy(b);
    return st;
}

/* When a run began is no difference. */
static void compare_environments(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    struct tdbg_config_difference *all;
    const int n = tdbg_config_diff_json(tdbg_trace_info(d->a.first)->environment,
                                        tdbg_trace_info(d->b.first)->environment, r->arena, &all);
    r->environment = all;
    for (int i = 0; i < n; i++) {
        if (strcmp(all[i].key, "time") != 0)
            r->environment[r->n_environment++] = all[i];
    }
}

static void add_run(struct tdbg_diff *d, const char *key, const char *a, const char *b)
{
    struct tdbg_diff_report *r = d->report;
    if (strcmp(a, b) != 0)
        r->run[r->n_run++] = (struct tdbg_config_difference){key, tdbg_arena_strdup(r->arena, a),
                                                             tdbg_arena_strdup(r->arena, b)};
}

static void add_run_number(struct tdbg_diff *d, const char *key, int64_t a, int64_t b)
{
    char text_a[24], text_b[24];
    snprintf(text_a, sizeof text_a, "%" PRId64, a);
    snprintf(text_b, sizeof text_b, "%" PRId64, b);
    add_run(d, key, text_a, text_b);
}

static void compare_runs(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_run_info *a = tdbg_trace_info(d->a.first), *b = tdbg_trace_info(d->b.first);
    r->run = tdbg_arena_alloc(r->arena, MOST_RUN * sizeof *r->run);
    add_run(d, "tdbg version", a->tdbg_version, b->tdbg_version);
    add_run_number(d, "numerics version", a->numerics_version, b->numerics_version);
    add_run_number(d, "ranks", a->world_size, b->world_size);
    add_run_number(d, "lanes", a->lanes, b->lanes);
    add_run_number(d, "micro-batches", a->accumulate, b->accumulate);
    add_run_number(d, "batch", a->batch, b->batch);
    add_run(d, "preset", a->preset, b->preset);
}

static void note(struct tdbg_diff *d, const char *text)
{
    struct tdbg_diff_report *r = d->report;
    r->notes[r->n_notes++] = text;
}

static bool is_fast(const struct tdbg_run_info *info)
{
    return strstr(info->environment, "\"math\":\"fast\"") != NULL;
}

/* Also what makes bits useless as a measure: the reason that is left is that of CANNOT_JUDGE. */
static void explain(struct tdbg_diff *d)
{
    struct tdbg_diff_report *r = d->report;
    const struct tdbg_run_info *a = tdbg_trace_info(d->a.first), *b = tdbg_trace_info(d->b.first);
    const bool both_ours = a->numerics_version != TDBG_NUMERICS_FOREIGN &&
                           b->numerics_version != TDBG_NUMERICS_FOREIGN;
    r->notes = tdbg_arena_alloc(r->arena, MOST_NOTES * sizeof *r->notes);
    if (both_ours && a->numerics_version != b->numerics_version)
        r->reason = tdbg_arena_printf(r->arena,
                                      "the runs have numerics versions %d and %d, each with bits "
                                      "of its own",
                                      (int)a->numerics_version, (int)b->numerics_version);
    if (is_fast(a) || is_fast(b))
        r->reason = tdbg_arena_printf(
            r->arena, "%s computed with engine.math = \"fast\", which does not promise the bits%s",
            is_fast(a) && is_fast(b) ? "both runs were"
            : is_fast(a)             ? "run A was"
                                     : "run B was",
            is_fast(a) && is_fast(b) ? " of a repeat" : " of strict");
    if (r->reason)
        note(d, r->reason);
    if (!both_ours)
        note(d,
             "recorded by another program, which may not repeat its bits: --noise takes a repeat");
    if (both_ours && (a->lanes != b->lanes || a->accumulate != b->accumulate))
        note(d, tdbg_arena_printf(
                    r->arena,
                    "%s %d and %d: sums over samples are folded in another order, which is reason "
                    "enough for other bits",
                    a->lanes != b->lanes ? "lanes" : "micro-batches",
                    (int)(a->lanes != b->lanes ? a->lanes : a->accumulate),
                    (int)(a->lanes != b->lanes ? b->lanes : b->accumulate)));
    if (a->batch != b->batch)
        note(d, tdbg_arena_printf(
                    r->arena, "batch %" PRId64 " and %" PRId64 ": a step of A is not a step of B",
                    a->batch, b->batch));
}

enum tdbg_status tdbg_diff_about(struct tdbg_diff *d, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_diff_report *r = d->report;
    const char *a = tdbg_trace_info(d->a.first)->dataset, *b = tdbg_trace_info(d->b.first)->dataset;
    TDBG_TRY(compare_configs(d, err));
    compare_environments(d);
    compare_runs(d);
    r->data_differs = !tdbg_dataset_same(a, b);
    r->n_data = tdbg_config_diff_json(a, b, r->arena, &r->data);
    explain(d);
out:
    return st;
}
