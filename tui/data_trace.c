/* The terminal's table of functions over trace/reader.h. No other file of tui/ includes the reader,
 * data_ranks.c apart, and tui.c and summary.c, which are given a trace. */
#include "tui/data.h"

#include <math.h>
#include <stdlib.h>

#include "trace/reader.h"

const struct tdbg_stats tdbg_tui_stats_absent = {.min = NAN, .max = NAN, .mean = NAN, .rms = NAN};

bool tdbg_tui_stats_present(const struct tdbg_stats *s)
{
    return !isnan(s->min) || s->zeros || s->nans || s->infs;
}

bool tdbg_tui_stats_norm(const struct tdbg_site *site, const struct tdbg_stats *s, double *norm)
{
    if (!tdbg_tui_stats_present(s))
        return false;
    *norm = s->nans   ? (double)NAN
            : s->infs ? (double)INFINITY
                      : s->rms * sqrt((double)tdbg_site_elems(site));
    return true;
}

static enum tdbg_status read_steps(void *context, int64_t first, int64_t n,
                                   struct tdbg_step_row *rows, struct tdbg_err *err)
{
    return tdbg_trace_read_steps(context, first, n, rows, err);
}

static enum tdbg_status read_step_stats(void *context, int64_t step, struct tdbg_stats *out,
                                        struct tdbg_err *err)
{
    return tdbg_trace_read_step_stats(context, step, out, err);
}

static bool find_faults(void *context, int64_t step, int64_t *first, int64_t *n, bool *is_faulty)
{
    int32_t n_sites;
    tdbg_trace_sites(context, &n_sites);
    if (!tdbg_trace_find_zone(context, step, first, n))
        return false;
    struct tdbg_zone_stats *zone = malloc((size_t)n_sites * sizeof *zone);
    const bool has = zone && tdbg_trace_read_zone_stats(context, *first, zone, NULL) == TDBG_OK;
    for (int32_t i = 0; has && i < n_sites; i++)
        is_faulty[i] = zone[i].recorded == TDBG_ZONE_IRREGULAR ||
                       (zone[i].recorded > 0 && (zone[i].nans_high > 0 || zone[i].infs_high > 0));
    free(zone);
    return has;
}

static enum tdbg_status read_stats(void *context, int64_t step, int32_t site,
                                   struct tdbg_stats *out, struct tdbg_err *err)
{
    return tdbg_trace_read_stats(context, step, site, out, err);
}

static int64_t keyframe_before(void *context, int64_t step)
{
    return tdbg_trace_keyframe_before(context, step);
}

static enum tdbg_status read_digests(void *context, int64_t step, uint64_t *out,
                                     struct tdbg_err *err)
{
    return tdbg_trace_read_digests(context, step, out, err);
}

static enum tdbg_status read_batch_ids(void *context, int64_t step, int64_t *ids, int64_t *n,
                                       struct tdbg_err *err)
{
    return tdbg_trace_read_batch_ids(context, step, ids, n, err);
}

static enum tdbg_status read_samples(void *context, int64_t n, const int64_t *ids, void *x, void *y,
                                     struct tdbg_err *err)
{
    return tdbg_trace_read_samples(context, TDBG_SAMPLES_TRAIN, n, ids, x, y, err);
}

static enum tdbg_status read_vocabulary(void *context, const struct tdbg_vocabulary **out,
                                        struct tdbg_err *err)
{
    return tdbg_trace_vocabulary(context, out, err);
}

struct tdbg_tui_data tdbg_tui_data_from_trace(struct tdbg_trace *trace)
{
    struct tdbg_tui_data data = {
        .context = trace,
        .path = tdbg_trace_path(trace),
        .info = tdbg_trace_info(trace),
        .first_step = tdbg_trace_first_step(trace),
        .n_steps = tdbg_trace_n_steps(trace),
        .closed = tdbg_trace_is_closed(trace),
        .read_steps = read_steps,
        .read_step_stats = read_step_stats,
        .find_faults = find_faults,
        .read_stats = read_stats,
        .keyframe_before = keyframe_before,
        .read_digests = read_digests,
        .read_batch_ids = read_batch_ids,
        .read_samples = read_samples,
        .read_vocabulary = read_vocabulary,
    };
    if (tdbg_trace_n_samples(trace, TDBG_SAMPLES_TRAIN) > 0)
        data.samples = tdbg_trace_samples(trace, TDBG_SAMPLES_TRAIN);
    data.sites = tdbg_trace_sites(trace, &data.n_sites);
    return data;
}
