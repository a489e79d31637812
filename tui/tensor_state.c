/* See tensor_state.h. */
#include "tui/tensor_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"

enum {
    BLOCK_ELEMS = 4096,
    WORK_ELEMS = 1 << 19, /* between two looks at the keyboard: some milliseconds */
    HISTORY_STEPS = 256,  /* the same, read one by one */
};

void tdbg_tui_tensor_drop(struct tdbg_tui_tensor *t)
{
    tdbg_tui_export_drop(&t->file);
    tdbg_tui_values_drop(&t->now);
    tdbg_tui_values_drop(&t->prev);
    free(t->fault);
    free(t->prev_fault);
    t->fault = t->prev_fault = NULL;
    t->has_place = t->asks = false;
    t->phase = TDBG_TENSOR_NOTHING;
    tdbg_tui_heat_free(&t->heat);
    tdbg_tui_bins_free(&t->bins);
}

void tdbg_tui_tensor_free(struct tdbg_tui_tensor *t)
{
    tdbg_tui_tensor_drop(t);
    tdbg_tui_series_free(&t->history);
    t->history_site = -1;
    free(t->export_path);
    t->export_path = NULL;
}

bool tdbg_tui_tensor_has_values(const struct tdbg_tui_tensor *t)
{
    return t->now.site && (!t->compares || t->prev.site);
}

const struct tdbg_stats *tdbg_tui_tensor_stats(const struct tdbg_tui_tensor *t)
{
    if (!tdbg_tui_tensor_has_values(t))
        return NULL;
    if (!t->compares)
        return &t->now.stats;
    return t->phase > TDBG_TENSOR_DIFFERENCE ? &t->difference.stats : NULL;
}

bool tdbg_tui_tensor_is_linear(const struct tdbg_tui_tensor *t)
{
    const bool own = t->now.site && !tdbg_tui_dtype_is_float(t->now.site->dtype);
    return own != t->flips_scale;
}

/* Elements that are shown: those that both have, where two are compared. */
static int64_t n_shown(const struct tdbg_tui_tensor *t)
{
    const int64_t n = t->now.n_elems;
    return t->compares && t->prev.site && t->prev.n_elems < n ? t->prev.n_elems : n;
}

int64_t tdbg_tui_tensor_cursor(const struct tdbg_tui_tensor *t)
{
    const int64_t n = n_shown(t);
    return t->cursor < n ? t->cursor : n > 0 ? n - 1 : 0;
}

void tdbg_tui_tensor_convert(const struct tdbg_tui_tensor *t, int64_t first, int64_t n, double *out)
{
    double before[BLOCK_ELEMS];
    tdbg_tui_values_convert(&t->now, first, n, out);
    if (!t->compares)
        return;
    TDBG_ASSERT(n <= BLOCK_ELEMS);
    tdbg_tui_values_convert(&t->prev, first, n, before);
    for (int64_t i = 0; i < n; i++)
        out[i] -= before[i];
}

static uint64_t bits_at(const struct tdbg_tui_values *v, size_t width, int64_t i)
{
    uint64_t bits = 0;
    memcpy(&bits, (const unsigned char *)v->data + (size_t)i * width, width);
    return bits;
}

static void add_stats(struct tdbg_stats *s, double x)
{
    s->nans += (uint64_t)(isnan(x) != 0);
    s->infs += (uint64_t)(isinf(x) != 0);
    s->zeros += (uint64_t)(x == 0);
    if (!isfinite(x))
        return;
    s->min = !(s->min <= x) ? x : s->min;
    s->max = !(s->max >= x) ? x : s->max;
}

static void compare_element(struct tdbg_tui_tensor *t, int64_t i, double now, double change)
{
    struct tdbg_tui_difference *d = &t->difference;
    const size_t width = tdbg_dtype_bytes(t->now.site->dtype);
    const uint64_t a = bits_at(&t->now, width, i), b = bits_at(&t->prev, width, i);
    /* two that are not finite and the same have no difference */
    add_stats(&d->stats, a == b ? 0 : change);
    if (a == b)
        return;
    if (d->n_differ++ == 0)
        d->first = i;
    if (!isfinite(change))
        return;
    const double larger = fmax(fabs(now), fabs(now - change));
    d->most_absolute = fmax(d->most_absolute, fabs(change));
    if (larger > 0)
        d->most_relative = fmax(d->most_relative, fabs(change) / larger);
    if (tdbg_tui_dtype_is_float(t->now.site->dtype)) {
        const int64_t ulp = tdbg_convert_ulp_apart(a, b, width);
        d->most_ulp = ulp > d->most_ulp ? ulp : d->most_ulp;
    }
}

/* One row of blocks after another; each call goes on by some elements of a phase. */

static int64_t compare_some(struct tdbg_tui_tensor *t)
{
    double now[BLOCK_ELEMS], change[BLOCK_ELEMS];
    const int64_t left = n_shown(t) - t->at, n = left < BLOCK_ELEMS ? left : BLOCK_ELEMS;
    tdbg_tui_values_convert(&t->now, t->at, n, now);
    tdbg_tui_tensor_convert(t, t->at, n, change);
    for (int64_t i = 0; i < n; i++)
        compare_element(t, t->at + i, now[i], change[i]);
    return n;
}

static int64_t count_some(struct tdbg_tui_tensor *t)
{
    double values[BLOCK_ELEMS];
    const int64_t left = n_shown(t) - t->at, n = left < BLOCK_ELEMS ? left : BLOCK_ELEMS;
    tdbg_tui_tensor_convert(t, t->at, n, values);
    tdbg_tui_bins_add(&t->bins, values, n);
    return n;
}

/* t->at counts elements of the part of the plane that is seen. */
static int64_t heat_some(struct tdbg_tui_tensor *t)
{
    double values[BLOCK_ELEMS];
    const struct tdbg_tui_heat_cut *c = &t->heat.cut;
    const int64_t row = t->at / c->n_cols, col = t->at % c->n_cols;
    const int64_t left = c->n_cols - col, n = left < BLOCK_ELEMS ? left : BLOCK_ELEMS;
    tdbg_tui_tensor_convert(t, (c->first_row + row) * c->plane.cols + c->first_col + col, n,
                            values);
    tdbg_tui_heat_add(&t->heat, c->first_row + row, c->first_col + col, values, n);
    return n;
}

static void begin_cells(struct tdbg_tui_tensor *t)
{
    t->at = 0;
    t->phase = t->cut.height > 0 && tdbg_tui_heat_begin(&t->heat, &t->cut) ? TDBG_TENSOR_CELLS
                                                                           : TDBG_TENSOR_DONE;
}

static void begin_bins(struct tdbg_tui_tensor *t)
{
    t->phase = TDBG_TENSOR_BINS;
    t->at = 0;
    tdbg_tui_bins_set(&t->bins, tdbg_tui_tensor_stats(t), tdbg_tui_tensor_is_linear(t), t->n_bins);
}

static void set_cut(struct tdbg_tui_tensor *t, int width, int height)
{
    const int64_t n = n_shown(t);
    t->cut = (struct tdbg_tui_heat_cut){.height = 0};
    if (!t->now.site || width < 1 || height < 1)
        return;
    const struct tdbg_tui_plane plane = tdbg_tui_plane_of(t->now.site, n);
    const int most = tdbg_tui_heat_most_zoom(plane, width, height);
    t->cut = tdbg_tui_heat_cut_for(plane, width, height, t->zoom < most ? t->zoom : most,
                                   tdbg_tui_tensor_cursor(t));
}

void tdbg_tui_tensor_begin(struct tdbg_tui_tensor *t)
{
    t->phase = TDBG_TENSOR_NOTHING;
    t->at = 0;
    if (!tdbg_tui_tensor_has_values(t))
        return;
    if (!t->compares) {
        begin_bins(t);
        return;
    }
    t->phase = TDBG_TENSOR_DIFFERENCE;
    t->difference = (struct tdbg_tui_difference){
        .first = -1,
        .most_ulp = tdbg_tui_dtype_is_float(t->now.site->dtype) ? 0 : -1,
        .stats = {.min = NAN, .max = NAN, .mean = NAN, .rms = NAN}};
}

void tdbg_tui_tensor_lay_out(struct tdbg_tui_tensor *t, int n_bins, int heat_width, int heat_height)
{
    const struct tdbg_tui_heat_cut before = t->cut;
    const bool other_bins = n_bins != t->n_bins;
    t->n_bins = n_bins;
    set_cut(t, heat_width, heat_height);
    if (t->phase >= TDBG_TENSOR_BINS && other_bins)
        begin_bins(t);
    else if (t->phase >= TDBG_TENSOR_CELLS && !tdbg_tui_heat_cut_same(&before, &t->cut))
        begin_cells(t);
}

static int64_t phase_elems(const struct tdbg_tui_tensor *t)
{
    return t->phase == TDBG_TENSOR_CELLS ? t->heat.cut.n_rows * t->heat.cut.n_cols : n_shown(t);
}

static void end_phase(struct tdbg_tui_tensor *t)
{
    if (t->phase == TDBG_TENSOR_DIFFERENCE) {
        t->phase = TDBG_TENSOR_BINS; /* the statistics are known from here on */
        begin_bins(t);
    } else if (t->phase == TDBG_TENSOR_BINS) {
        begin_cells(t);
    } else {
        tdbg_tui_heat_end(&t->heat);
        t->phase = TDBG_TENSOR_DONE;
    }
}

bool tdbg_tui_tensor_work(struct tdbg_tui_tensor *t)
{
    int64_t done = 0;
    if (t->phase == TDBG_TENSOR_NOTHING || t->phase == TDBG_TENSOR_DONE)
        return false;
    while (t->phase != TDBG_TENSOR_DONE && done < WORK_ELEMS) {
        int64_t n = 0;
        if (t->at >= phase_elems(t)) {
            end_phase(t);
            continue;
        }
        if (t->phase == TDBG_TENSOR_DIFFERENCE)
            n = compare_some(t);
        else
            n = t->phase == TDBG_TENSOR_BINS ? count_some(t) : heat_some(t);
        t->at += n;
        done += n;
    }
    if (done > BLOCK_ELEMS) {
        tdbg_tui_values_give_back(&t->now, t->now.n_elems);
        if (t->prev.site)
            tdbg_tui_values_give_back(&t->prev, t->prev.n_elems);
    }
    return true;
}

static void put(struct tdbg_tui_series *s, int metric, int64_t index, double low, double high,
                bool is_broken)
{
    struct tdbg_tui_bucket *b = &s->buckets[metric][index / s->bucket_steps];
    b->n_broken += is_broken;
    if (!isfinite(low) || !isfinite(high))
        return;
    b->min = b->n_finite == 0 || low < b->min ? low : b->min;
    b->max = b->n_finite == 0 || high > b->max ? high : b->max;
    b->n_finite++;
}

bool tdbg_tui_tensor_work_history(struct tdbg_tui_tensor *t, const struct tdbg_tui_model *m)
{
    struct tdbg_tui_series *s = &t->history;
    const struct tdbg_tui_data *data = m->data;
    struct tdbg_err err = {0};
    if (data->n_sites == 0)
        return false;
    if (t->history_site != m->focus.site) {
        tdbg_tui_series_free(s);
        t->history_site = m->focus.site;
        if (tdbg_tui_series_init(s, data, &err) != TDBG_OK) {
            tdbg_err_clear(&err);
            return false;
        }
    }
    if (!s->buckets[0] || s->n_read == s->n_steps)
        return false;
    for (int i = 0; i < HISTORY_STEPS && s->n_read < s->n_steps; i++) {
        struct tdbg_stats stats;
        const int64_t index = s->n_read++;
        const enum tdbg_status st =
            data->read_stats(data->context, s->first_step + index, t->history_site, &stats, &err);
        s->n_faults += st != TDBG_OK && st != TDBG_NOT_FOUND;
        tdbg_err_clear(&err);
        if (st != TDBG_OK)
            continue;
        const bool is_broken = stats.nans || stats.infs;
        put(s, 0, index, stats.min, stats.max, is_broken);
        put(s, 1, index, stats.rms, stats.rms, is_broken);
        put(s, 2, index, stats.mean, stats.mean, is_broken);
    }
    return true;
}
