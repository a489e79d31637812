/* Reading and thinning curves. See report_series.h. */
#include "cli/report_series.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS_AT_ONCE = 1024, MOST_STRETCHES = CLI_SERIES_POINTS / 3, MOST_EVALUATIONS = 400 };

/* One stretch of steps. */
struct stretch {
    double low_x, low, high_x, high, gone_x, gone; /* NaN x: there is none */
};

struct thinner {
    struct stretch stretch[MOST_STRETCHES];
    int64_t first, n_steps;
};

static void begin(struct thinner *t, int64_t first, int64_t n_steps)
{
    t->first = first;
    t->n_steps = n_steps;
    for (int i = 0; i < MOST_STRETCHES; i++)
        t->stretch[i] = (struct stretch){NAN, NAN, NAN, NAN, NAN, NAN};
}

static void add(struct thinner *t, int64_t step, double y)
{
    const int64_t n = t->n_steps < MOST_STRETCHES ? t->n_steps : MOST_STRETCHES;
    const double at = (double)(step - t->first) / (double)t->n_steps * (double)n;
    struct stretch *s = &t->stretch[at < 0 ? 0 : at >= (double)n ? n - 1 : (int64_t)at];
    if (!isfinite(y)) {
        if (isnan(s->gone_x)) {
            s->gone_x = (double)step;
            s->gone = y;
        }
        return;
    }
    if (!(y >= s->low)) {
        s->low_x = (double)step;
        s->low = y;
    }
    if (!(y <= s->high)) {
        s->high_x = (double)step;
        s->high = y;
    }
}

static void put(struct cli_series *out, double x, double y)
{
    if (isnan(x) || (out->n > 0 && out->x[out->n - 1] == x))
        return;
    out->x[out->n] = x;
    out->y[out->n++] = y;
}

struct point {
    double x, y; /* x NaN: there is none */
};

static int compare_points(const void *a, const void *b)
{
    const double x = ((const struct point *)a)->x, y = ((const struct point *)b)->x;
    return (x > y) - (x < y);
}

static void finish(struct thinner *t, struct tdbg_arena *arena, struct cli_series *out)
{
    *out = (struct cli_series){.low = NAN, .high = NAN};
    out->x = tdbg_arena_alloc(arena, CLI_SERIES_POINTS * sizeof *out->x);
    out->y = tdbg_arena_alloc(arena, CLI_SERIES_POINTS * sizeof *out->y);
    for (int i = 0; i < MOST_STRETCHES; i++) {
        const struct stretch *s = &t->stretch[i];
        struct point point[] = {{s->low_x, s->low}, {s->high_x, s->high}, {s->gone_x, s->gone}};
        qsort(point, 3, sizeof point[0], compare_points);
        for (int k = 0; k < 3; k++)
            put(out, point[k].x, point[k].y);
        if (!(s->low >= out->low))
            out->low = isnan(s->low) ? out->low : s->low;
        if (!(s->high <= out->high))
            out->high = isnan(s->high) ? out->high : s->high;
    }
}

static void add_evaluation(struct tdbg_trace *trace, int64_t step, const char *name,
                           struct cli_series *out)
{
    struct tdbg_stats stats;
    struct tdbg_err unread = {0};
    const int32_t site = tdbg_trace_find_site(trace, name, TDBG_LANE_ALL, TDBG_LANE_ALL);
    if (out->n < MOST_EVALUATIONS && site >= 0 &&
        tdbg_trace_read_stats(trace, step, site, &stats, &unread) == TDBG_OK) {
        out->x[out->n] = (double)step;
        out->y[out->n++] = stats.mean;
        out->low = out->n == 1 ? stats.mean : fmin(out->low, stats.mean);
        out->high = out->n == 1 ? stats.mean : fmax(out->high, stats.mean);
    }
    tdbg_err_clear(&unread);
}

/* Evaluations, in the order of steps; so many of them, evenly spread, that the reads are bounded.
 */
static void read_evaluations(struct tdbg_trace *trace, struct tdbg_arena *arena, const char *name,
                             const int64_t *steps, int64_t n, struct cli_series *out)
{
    *out = (struct cli_series){.low = NAN, .high = NAN};
    out->x = tdbg_arena_alloc(arena, MOST_EVALUATIONS * sizeof *out->x);
    out->y = tdbg_arena_alloc(arena, MOST_EVALUATIONS * sizeof *out->y);
    const int64_t shown = n < MOST_EVALUATIONS ? n : MOST_EVALUATIONS;
    for (int64_t k = 0; k < shown; k++)
        add_evaluation(trace, steps[shown > 1 ? k * (n - 1) / (shown - 1) : 0], name, out);
}

enum tdbg_status cli_series_read(struct tdbg_trace *trace, struct tdbg_arena *arena,
                                 struct cli_run_series *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum { LOSS, NORM, LR, MS, N };
    const int64_t first = tdbg_trace_first_step(trace), n = tdbg_trace_n_steps(trace);
    struct thinner *t = malloc(N * sizeof *t);
    struct tdbg_step_row *rows = malloc(ROWS_AT_ONCE * sizeof *rows);
    int64_t *evaluated = malloc((size_t)n * sizeof *evaluated), n_evaluated = 0;
    TDBG_FAIL_IF(!t || !rows || !evaluated, NO_MEMORY, "no memory for the curves of a run");
    for (int i = 0; i < N; i++)
        begin(&t[i], first, n);
    for (int64_t at = 0; at < n; at += ROWS_AT_ONCE) {
        const int64_t some = n - at < ROWS_AT_ONCE ? n - at : ROWS_AT_ONCE;
        TDBG_TRY(tdbg_trace_read_steps(trace, first + at, some, rows, err));
        for (int64_t i = 0; i < some; i++) {
            add(&t[LOSS], rows[i].step, (double)rows[i].loss);
            add(&t[NORM], rows[i].step, rows[i].grad_norm);
            add(&t[LR], rows[i].step, (double)rows[i].lr);
            add(&t[MS], rows[i].step, (double)rows[i].duration_ns * 1e-6);
            if (rows[i].evaluated)
                evaluated[n_evaluated++] = rows[i].step;
        }
        out->last = rows[some - 1];
    }
    finish(&t[LOSS], arena, &out->loss);
    finish(&t[NORM], arena, &out->grad_norm);
    finish(&t[LR], arena, &out->lr);
    finish(&t[MS], arena, &out->step_ms);
    read_evaluations(trace, arena, "eval/loss", evaluated, n_evaluated, &out->eval_loss);
    read_evaluations(trace, arena, "eval/accuracy", evaluated, n_evaluated, &out->eval_accuracy);
out:
    free(evaluated);
    free(t);
    free(rows);
    return st;
}
