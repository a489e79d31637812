/* Downsampled course of the step metrics. See series.h for the drawing. */
#include "tui/series.h"

#include <math.h>
#include <stdlib.h>

bool tdbg_tui_row_metric(const struct tdbg_step_row *row, enum tdbg_tui_metric metric, double *out)
{
    switch (metric) {
    case TDBG_METRIC_LOSS:
        *out = (double)row->loss;
        return true;
    case TDBG_METRIC_GRAD_NORM:
        *out = row->grad_norm;
        return !isnan(row->grad_norm);
    case TDBG_METRIC_LR:
        *out = (double)row->lr;
        return true;
    case TDBG_METRIC_STEP_TIME:
        *out = (double)row->duration_ns;
        return true;
    case TDBG_METRIC_EPOCH:
        *out = (double)row->epoch;
        return true;
    case TDBG_METRIC_SAMPLES:
        *out = (double)row->samples;
        return true;
    default:
        return false;
    }
}

enum tdbg_status tdbg_tui_series_init(struct tdbg_tui_series *s, const struct tdbg_tui_data *data,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    *s = (struct tdbg_tui_series){.first_step = data->first_step,
                                  .n_steps = data->n_steps,
                                  .bucket_steps = 1,
                                  .lowest_loss = NAN,
                                  .lowest_loss_step = -1};
    while ((s->n_steps - 1) / s->bucket_steps >= TDBG_SERIES_BUCKETS)
        s->bucket_steps *= 2;
    s->part_steps = s->bucket_steps > TDBG_SERIES_PARTS ? s->bucket_steps / TDBG_SERIES_PARTS : 1;
    s->n_buckets = (int32_t)((s->n_steps - 1) / s->bucket_steps) + 1;
    const size_t n = (size_t)s->n_buckets;
    for (int m = 0; m < TDBG_METRIC_CHARTED; m++) {
        s->buckets[m] = calloc(n, sizeof *s->buckets[m]);
        TDBG_FAIL_IF(!s->buckets[m], NO_MEMORY, "no memory for a chart");
    }
    s->last_eval = malloc(n * sizeof *s->last_eval);
    s->evals = calloc(n, sizeof *s->evals);
    s->rows = malloc(TDBG_SERIES_BLOCK_STEPS * sizeof *s->rows);
    TDBG_FAIL_IF(!s->last_eval || !s->evals || !s->rows, NO_MEMORY, "no memory for a chart");
    for (size_t i = 0; i < n; i++)
        s->last_eval[i] = -1;
out:
    if (st != TDBG_OK)
        tdbg_tui_series_free(s);
    return st;
}

void tdbg_tui_series_free(struct tdbg_tui_series *s)
{
    for (int m = 0; m < TDBG_METRIC_CHARTED; m++)
        free(s->buckets[m]);
    free(s->last_eval);
    free(s->evals);
    free(s->rows);
    *s = (struct tdbg_tui_series){0};
}

static void join(struct tdbg_tui_bucket *to, const struct tdbg_tui_bucket *from)
{
    if (from->n_finite > 0) {
        to->min = to->n_finite == 0 || from->min < to->min ? from->min : to->min;
        to->max = to->n_finite == 0 || from->max > to->max ? from->max : to->max;
    }
    to->n_finite += from->n_finite;
    to->n_broken += from->n_broken;
}

/* Of the two halves of a bucket that is twice as long: which of its parts evaluated. */
static uint64_t join_evals(const struct tdbg_tui_series *s, uint64_t first, uint64_t second)
{
    uint64_t joined = 0;
    if (s->bucket_steps < TDBG_SERIES_PARTS) /* a part stays a step */
        return first | second << s->bucket_steps;
    for (int part = 0; part < TDBG_SERIES_PARTS / 2; part++) {
        joined |= (first >> (2 * part) & 3 ? UINT64_C(1) : 0) << part;
        joined |= (second >> (2 * part) & 3 ? UINT64_C(1) : 0) << (part + TDBG_SERIES_PARTS / 2);
    }
    return joined;
}

/* Two buckets become one. */
static void halve(struct tdbg_tui_series *s)
{
    const int32_t n = s->n_buckets;
    for (int32_t b = 0; b < n; b += 2) {
        const bool has_second = b + 1 < n;
        for (int m = 0; m < TDBG_METRIC_CHARTED; m++) {
            struct tdbg_tui_bucket sum = s->buckets[m][b];
            if (has_second)
                join(&sum, &s->buckets[m][b + 1]);
            s->buckets[m][b / 2] = sum;
        }
        s->evals[b / 2] = join_evals(s, s->evals[b], has_second ? s->evals[b + 1] : 0);
        s->last_eval[b / 2] =
            has_second && s->last_eval[b + 1] >= 0 ? s->last_eval[b + 1] : s->last_eval[b];
    }
    s->n_buckets = (n + 1) / 2;
    s->bucket_steps *= 2;
    s->part_steps = s->bucket_steps > TDBG_SERIES_PARTS ? s->bucket_steps / TDBG_SERIES_PARTS : 1;
}

static bool resize(void **array, int32_t n, size_t bytes)
{
    void *bigger = realloc(*array, (size_t)n * bytes);
    *array = bigger ? bigger : *array;
    return bigger != NULL;
}

enum tdbg_status tdbg_tui_series_grow(struct tdbg_tui_series *s, int64_t n_steps,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(n_steps >= s->n_steps);
    while ((n_steps - 1) / s->bucket_steps >= TDBG_SERIES_BUCKETS)
        halve(s);
    const int32_t before = s->n_buckets, n = (int32_t)((n_steps - 1) / s->bucket_steps) + 1;
    bool fits = resize((void **)&s->last_eval, n, sizeof *s->last_eval) &&
                resize((void **)&s->evals, n, sizeof *s->evals);
    for (int m = 0; m < TDBG_METRIC_CHARTED; m++)
        fits = fits && resize((void **)&s->buckets[m], n, sizeof *s->buckets[m]);
    if (!s->rows)
        s->rows = malloc(TDBG_SERIES_BLOCK_STEPS * sizeof *s->rows);
    TDBG_FAIL_IF(!fits || !s->rows, NO_MEMORY, "no memory for a chart");
    for (int32_t b = before; b < n; b++) {
        s->last_eval[b] = -1;
        s->evals[b] = 0;
        for (int m = 0; m < TDBG_METRIC_CHARTED; m++)
            s->buckets[m][b] = (struct tdbg_tui_bucket){0};
    }
    s->n_buckets = n;
    s->n_steps = n_steps;
out:
    return st;
}

static void add_row(struct tdbg_tui_series *s, int64_t index, const struct tdbg_step_row *row)
{
    const int64_t b = index / s->bucket_steps;
    for (int m = 0; m < TDBG_METRIC_CHARTED; m++) {
        double value;
        if (!tdbg_tui_row_metric(row, (enum tdbg_tui_metric)m, &value))
            continue;
        const bool finite = isfinite(value);
        const struct tdbg_tui_bucket one = {value, value, finite, !finite};
        join(&s->buckets[m][b], &one);
    }
    if (row->evaluated) {
        s->last_eval[b] = s->first_step + index;
        s->evals[b] |= UINT64_C(1) << (index % s->bucket_steps / s->part_steps);
    }
    if (isfinite(row->loss) && !((double)row->loss >= s->lowest_loss)) {
        s->lowest_loss = (double)row->loss;
        s->lowest_loss_step = s->first_step + index;
    }
}

struct tdbg_tui_eval_place tdbg_tui_series_last_eval(const struct tdbg_tui_series *s, int64_t step)
{
    const struct tdbg_tui_eval_place none = {-1, -1, true};
    const int64_t index = step - s->first_step;
    if (index < 0 || index >= s->n_read)
        return none;
    int64_t b = index / s->bucket_steps;
    const int last_part = (int)(index % s->bucket_steps / s->part_steps);
    uint64_t parts = s->evals[b] & UINT64_MAX >> (TDBG_SERIES_PARTS - 1 - last_part);
    while (parts == 0 && b > 0)
        parts = s->evals[--b];
    if (parts == 0)
        return none;
    if (s->last_eval[b] <= step)
        return (struct tdbg_tui_eval_place){s->last_eval[b], s->last_eval[b], true};
    const int part = TDBG_SERIES_PARTS - 1 - __builtin_clzll(parts);
    const int64_t from = s->first_step + b * s->bucket_steps + part * s->part_steps;
    const int64_t to = from + s->part_steps - 1;
    return (struct tdbg_tui_eval_place){from, to < step ? to : step, s->part_steps == 1};
}

bool tdbg_tui_series_is_complete(const struct tdbg_tui_series *s)
{
    return s->n_read >= s->n_steps;
}

enum tdbg_status tdbg_tui_series_read_block(struct tdbg_tui_series *s,
                                            const struct tdbg_tui_data *data, struct tdbg_err *err)
{
    const int64_t left = s->n_steps - s->n_read, at = s->n_read;
    const int64_t n = left < TDBG_SERIES_BLOCK_STEPS ? left : TDBG_SERIES_BLOCK_STEPS;
    if (n <= 0)
        return TDBG_OK;
    enum tdbg_status st = data->read_steps(data->context, s->first_step + at, n, s->rows, err);
    for (int64_t i = 0; st == TDBG_OK && i < n; i++)
        add_row(s, at + i, &s->rows[i]);
    if (st == TDBG_OK && s->observe)
        s->observe(s->observer, s->rows, n);
    s->n_read += n;
    if (st != TDBG_OK)
        s->n_faults += n;
    if (tdbg_tui_series_is_complete(s)) {
        free(s->rows);
        s->rows = NULL;
    }
    return st;
}

struct tdbg_tui_bucket tdbg_tui_series_range(const struct tdbg_tui_series *s, int metric,
                                             int64_t first, int64_t last)
{
    struct tdbg_tui_bucket sum = {0};
    TDBG_ASSERT(first >= s->first_step && last < s->first_step + s->n_steps);
    for (int64_t b = (first - s->first_step) / s->bucket_steps;
         b <= (last - s->first_step) / s->bucket_steps; b++)
        join(&sum, &s->buckets[metric][b]);
    return sum;
}
