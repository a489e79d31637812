/* Gathering zones, and their columns. See zone.h. */
#include "trace/zone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLUMN(record, field, kind)                                                                \
    {                                                                                              \
#field, TDBG_COLUMN_##kind, offsetof(struct record, field), 1, 0, 0                        \
    }
#define STEP(field, kind) COLUMN(tdbg_zone_steps, field, kind)
#define STAT(field, kind) COLUMN(tdbg_zone_stats, field, kind)

static const struct tdbg_column step_columns[] = {
    STEP(first, I64),      STEP(evaluated, I32),     STEP(epoch_low, I64),
    STEP(epoch_high, I64), STEP(samples_low, I64),   STEP(samples_high, I64),
    STEP(loss_nans, I32),  STEP(lr_nans, I32),       STEP(grad_norm_nans, I32),
    STEP(loss_low, F32),   STEP(loss_high, F32),     STEP(lr_low, F32),
    STEP(lr_high, F32),    STEP(grad_norm_low, F64), STEP(grad_norm_high, F64),
};

static const struct tdbg_column stats_columns[] = {
    STAT(recorded, I32), STAT(finite, I32),    STAT(min_low, F64),   STAT(min_high, F64),
    STAT(max_low, F64),  STAT(max_high, F64),  STAT(mean_low, F64),  STAT(mean_high, F64),
    STAT(rms_low, F64),  STAT(rms_high, F64),  STAT(zeros_low, U64), STAT(zeros_high, U64),
    STAT(nans_low, U64), STAT(nans_high, U64), STAT(infs_low, U64),  STAT(infs_high, U64),
};

const struct tdbg_table tdbg_table_zone_steps = {step_columns,
                                                 sizeof step_columns / sizeof *step_columns};
const struct tdbg_table tdbg_table_zone_stats = {stats_columns,
                                                 sizeof stats_columns / sizeof *stats_columns};

enum tdbg_status tdbg_zone_init(struct tdbg_zone *zone, int32_t n_sites, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *zone = (struct tdbg_zone){.n_sites = n_sites};
    zone->stats = malloc((size_t)n_sites * sizeof *zone->stats);
    zone->digest = malloc((size_t)n_sites * sizeof *zone->digest);
    TDBG_FAIL_IF(!zone->stats || !zone->digest, NO_MEMORY, "no memory for the zones of a trace");
    tdbg_zone_clear(zone);
out:
    return st;
}

void tdbg_zone_free(struct tdbg_zone *zone)
{
    free(zone->stats);
    free(zone->digest);
    *zone = (struct tdbg_zone){0};
}

void tdbg_zone_clear(struct tdbg_zone *zone)
{
    const struct tdbg_zone_stats none = {.min_low = NAN,
                                         .min_high = NAN,
                                         .max_low = NAN,
                                         .max_high = NAN,
                                         .mean_low = NAN,
                                         .mean_high = NAN,
                                         .rms_low = NAN,
                                         .rms_high = NAN};
    zone->n = 0;
    zone->steps = (struct tdbg_zone_steps){.loss_low = NAN,
                                           .loss_high = NAN,
                                           .lr_low = NAN,
                                           .lr_high = NAN,
                                           .grad_norm_low = NAN,
                                           .grad_norm_high = NAN};
    memset(zone->digest, 0, (size_t)zone->n_sites * sizeof *zone->digest);
    for (int32_t i = 0; i < zone->n_sites; i++)
        zone->stats[i] = none;
}

/* Bounds are NaN until the first number. */
static void widen(double v, double *low, double *high)
{
    *low = v >= *low ? *low : v;
    *high = v <= *high ? *high : v;
}

static void widen_f32(float v, float *low, float *high, int32_t *nans)
{
    if (isnan(v)) {
        ++*nans;
        return;
    }
    *low = v >= *low ? *low : v;
    *high = v <= *high ? *high : v;
}

static void widen_count(uint64_t v, uint64_t *low, uint64_t *high, bool is_first)
{
    *low = is_first || v < *low ? v : *low;
    *high = is_first || v > *high ? v : *high;
}

static void widen_int(int64_t v, int64_t *low, int64_t *high, bool is_first)
{
    *low = is_first || v < *low ? v : *low;
    *high = is_first || v > *high ? v : *high;
}

/* Or is it what stands where nothing was recorded? */
static bool are_recorded(const struct tdbg_stats *s)
{
    return !isnan(s->min) || s->zeros + s->nans + s->infs != 0;
}

void tdbg_zone_add_site(struct tdbg_zone *zone, int32_t site, uint64_t digest,
                        const struct tdbg_stats *s)
{
    struct tdbg_zone_stats *z = &zone->stats[site];
    zone->digest[site] = tdbg_chain_absorb(zone->digest[site], digest);
    if (z->recorded == TDBG_ZONE_IRREGULAR || !are_recorded(s))
        return;
    const bool is_first = z->recorded == 0;
    const int n_nan = isnan(s->min) + isnan(s->max) + isnan(s->mean) + isnan(s->rms);
    if (n_nan % 4 != 0) { /* none, or all where no element is finite */
        z->recorded = TDBG_ZONE_IRREGULAR;
        return;
    }
    z->recorded++;
    widen_count(s->zeros, &z->zeros_low, &z->zeros_high, is_first);
    widen_count(s->nans, &z->nans_low, &z->nans_high, is_first);
    widen_count(s->infs, &z->infs_low, &z->infs_high, is_first);
    if (n_nan > 0)
        return;
    z->finite++;
    widen(s->min, &z->min_low, &z->min_high);
    widen(s->max, &z->max_low, &z->max_high);
    widen(s->mean, &z->mean_low, &z->mean_high);
    widen(s->rms, &z->rms_low, &z->rms_high);
}

void tdbg_zone_add_step(struct tdbg_zone *zone, const struct tdbg_step_row *row)
{
    struct tdbg_zone_steps *z = &zone->steps;
    const bool is_first = zone->n++ == 0;
    if (is_first)
        z->first = row->step;
    z->evaluated += row->evaluated != 0;
    widen_int(row->epoch, &z->epoch_low, &z->epoch_high, is_first);
    widen_int(row->samples, &z->samples_low, &z->samples_high, is_first);
    widen_f32(row->loss, &z->loss_low, &z->loss_high, &z->loss_nans);
    widen_f32(row->lr, &z->lr_low, &z->lr_high, &z->lr_nans);
    if (isnan(row->grad_norm))
        z->grad_norm_nans++;
    else
        widen(row->grad_norm, &z->grad_norm_low, &z->grad_norm_high);
}
