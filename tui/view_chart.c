/* The chart: minimum and maximum per column, over all steps.
 *
 *      2.3 |##                        #        top of the range
 *          |  ####                   ##
 *      0.1 |      ##################           bottom
 *          +------------^---------------       ^ the focus step
 *           0        200        400            step numbers
 *     GUTTER columns, then one column per range of steps; '!' on top: NaN or Inf among them
 */
#include "tui/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"

enum { GUTTER = 8, LABEL_GAP = 2 };

/* The value range that the rows stand for, in value or log10 units. */
struct scale {
    bool any, linear;
    double low, high;
    int units; /* vertical resolution of the whole body */
};

static int chart_columns(struct tdbg_tui_rect rect)
{
    return rect.width > GUTTER + 1 ? rect.width - GUTTER - 1 : 1;
}

/* Column c stands for steps floor(c n / w) .. floor((c + 1) n / w) - 1 counted from the first, and
 * for its one step where that is empty because there are fewer steps than columns. */
static void column_steps(const struct tdbg_tui_series *s, int columns, int c, int64_t *first,
                         int64_t *last)
{
    *first = s->first_step + c * s->n_steps / columns;
    *last = s->first_step + (c + 1) * s->n_steps / columns - 1;
    if (*last < *first)
        *last = *first;
}

static int column_of(const struct tdbg_tui_series *s, int columns, int64_t step)
{
    return (int)(((step - s->first_step + 1) * columns - 1) / s->n_steps);
}

int64_t tdbg_tui_chart_column_steps(const struct tdbg_tui_series *s, struct tdbg_tui_rect rect)
{
    const int64_t steps = s->n_steps / chart_columns(rect);
    return steps > 0 ? steps : 1;
}

int64_t tdbg_tui_chart_step_at(const struct tdbg_tui_series *s, struct tdbg_tui_rect rect, int x)
{
    const int c = x - rect.x - GUTTER, columns = chart_columns(rect);
    int64_t first, last;
    if (c < 0 || c >= columns)
        return -1;
    column_steps(s, columns, c, &first, &last);
    return first;
}

static struct scale make_scale(const struct tdbg_tui_series *s, int metric, bool linear, int units)
{
    struct scale scale = {.linear = linear, .units = units};
    double low = INFINITY, low_positive = INFINITY, high = -INFINITY;
    for (int32_t b = 0; b < s->n_buckets; b++) {
        const struct tdbg_tui_bucket *bucket = &s->buckets[metric][b];
        if (bucket->n_finite == 0)
            continue;
        scale.any = true;
        low = fmin(low, bucket->min);
        high = fmax(high, bucket->max);
        if (bucket->max > 0)
            low_positive = fmin(low_positive, bucket->min > 0 ? bucket->min : bucket->max);
    }
    if (!(high > 0))
        scale.linear = true; /* a logarithm of nothing */
    scale.low = scale.linear ? low : log10(low_positive);
    scale.high = scale.linear ? high : log10(high);
    if (scale.any && !(scale.high > scale.low)) {
        const double pad = scale.linear ? fmax(fabs(high) * 0.1, 1e-30) : 0.1;
        scale.low -= pad;
        scale.high += pad;
    }
    return scale;
}

/* Row unit of a value, 0 at the bottom. */
static int unit_of(const struct scale *scale, double value)
{
    const double v = scale->linear ? value : value > 0 ? log10(value) : scale->low;
    /* halves, because high - low of two large finite numbers may be infinite */
    const double part = (v / 2 - scale->low / 2) / (scale->high / 2 - scale->low / 2);
    const int unit = part >= 0 ? (int)(fmin(part, 1) * scale->units) : 0;
    return unit < scale->units ? unit : scale->units - 1;
}

static void paint_column(const struct tdbg_tui_bucket *b, const struct scale *scale,
                         struct tdbg_tui_grid *grid, int x, int top, int rows)
{
    if (b->n_finite > 0) {
        const int low = unit_of(scale, b->min), high = unit_of(scale, b->max);
        const int per_row = scale->units / rows;
        for (int row = low / per_row; row <= high / per_row; row++) {
            enum tdbg_tui_glyph glyph = TDBG_GLYPH_FULL;
            if (per_row == 2 && low > row * 2)
                glyph = TDBG_GLYPH_UPPER;
            else if (per_row == 2 && high == row * 2)
                glyph = TDBG_GLYPH_LOWER;
            tdbg_tui_grid_put_glyph(grid, x, top + rows - 1 - row, glyph, TDBG_STYLE_CYAN);
        }
    }
    if (b->n_broken > 0)
        tdbg_tui_grid_put(grid, x, top, '!', TDBG_STYLE_RED | TDBG_STYLE_BOLD);
}

/* A value beside the axis, in at most GUTTER - 2 columns. */
static const char *axis_text(char buf[TDBG_NUMBER_BYTES], int metric, double value)
{
    if (metric != TDBG_METRIC_STEP_TIME)
        return tdbg_text_number(buf, value, GUTTER - 2);
    tdbg_text_duration(buf, value);
    char *space = strchr(buf, ' ');
    memmove(space, space + 1, strlen(space));
    char *point = strchr(buf, '.');
    if (point && strlen(buf) > GUTTER - 2)
        memmove(point, point + 2, strlen(point + 2) + 1);
    return buf;
}

static void paint_gutter(const struct scale *scale, int metric, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect, int rows)
{
    char buf[TDBG_NUMBER_BYTES];
    for (int i = 0; i < rows; i++) {
        tdbg_tui_grid_put_glyph(grid, rect.x + GUTTER - 1, rect.y + i, TDBG_GLYPH_VERTICAL, 0);
        const bool labelled = i == 0 || i == rows - 1 || (rows >= 5 && i == rows / 2);
        if (!scale->any || !labelled)
            continue;
        const double part = rows > 1 ? (double)(rows - 1 - i) / (rows - 1) : 1;
        const double v = scale->low * (1 - part) + scale->high * part;
        tdbg_tui_grid_put_right(grid, rect.x, rect.y + i, GUTTER - 2, 0,
                                axis_text(buf, metric, scale->linear ? v : pow(10, v)));
    }
}

/* Step numbers under the axis; the focus step's stands where it belongs and others make way. */
static void paint_labels(const struct tdbg_tui_series *s, int64_t focus, struct tdbg_tui_grid *grid,
                         int left, int y, int columns)
{
    enum { TICK_COLUMNS = 16 };
    char text[32];
    int focus_from = -1, focus_to = -1;
    if (focus >= 0) {
        const int n = snprintf(text, sizeof text, "%lld", (long long)focus);
        int x = column_of(s, columns, focus) - n / 2;
        x = x + n > columns ? columns - n : x;
        x = x < 0 ? 0 : x;
        tdbg_tui_grid_put_text(grid, left + x, y, columns - x, TDBG_STYLE_BOLD, text);
        focus_from = x - LABEL_GAP;
        focus_to = x + n + LABEL_GAP;
    }
    int free_from = 0;
    int64_t first, last, shown = -1;
    for (int c = 0; c < columns; c += TICK_COLUMNS) {
        column_steps(s, columns, c, &first, &last);
        const int n = snprintf(text, sizeof text, "%lld", (long long)first);
        if (c < free_from || c + n > columns || (c < focus_to && c + n > focus_from) ||
            first == shown || first == focus)
            continue;
        tdbg_tui_grid_put_text(grid, left + c, y, n, 0, text);
        shown = first;
        free_from = c + n + LABEL_GAP;
    }
}

void tdbg_tui_paint_chart(const struct tdbg_tui_series *s, int metric, bool linear,
                          int64_t focus_step, struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const int columns = chart_columns(rect), rows = rect.height - 2, left = rect.x + GUTTER;
    if (rows < 1 || rect.width <= GUTTER + 1)
        return;
    const struct scale scale = make_scale(s, metric, linear, grid->ascii ? rows : rows * 2);
    paint_gutter(&scale, metric, grid, rect, rows);
    for (int c = 0; c < columns; c++) {
        int64_t first, last;
        column_steps(s, columns, c, &first, &last);
        const struct tdbg_tui_bucket sum = tdbg_tui_series_range(s, metric, first, last);
        paint_column(&sum, &scale, grid, left + c, rect.y, rows);
        tdbg_tui_grid_put_glyph(grid, left + c, rect.y + rows, TDBG_GLYPH_HORIZONTAL, 0);
    }
    tdbg_tui_grid_put_glyph(grid, left - 1, rect.y + rows, TDBG_GLYPH_CORNER, 0);
    if (focus_step >= 0)
        tdbg_tui_grid_put(grid, left + column_of(s, columns, focus_step), rect.y + rows, '^',
                          TDBG_STYLE_BOLD);
    paint_labels(s, focus_step, grid, left, rect.y + rows + 1, columns);
}

/* One scale for both. */
static struct scale join_scales(const struct tdbg_tui_series *a, const struct tdbg_tui_series *b,
                                int metric, bool linear, int units)
{
    struct scale x = make_scale(a, metric, linear, units);
    struct scale y = make_scale(b, metric, linear, units);
    if (x.linear != y.linear) {
        x = make_scale(a, metric, true, units);
        y = make_scale(b, metric, true, units);
    }
    if (!x.any || !y.any)
        return x.any ? x : y;
    x.low = fmin(x.low, y.low);
    x.high = fmax(x.high, y.high);
    return x;
}

/* Columns are cut by the steps of `all`; what a run does not have is blank. */
static void paint_band(const struct tdbg_tui_series *all, const struct tdbg_tui_series *s,
                       int metric, const struct scale *scale, struct tdbg_tui_grid *grid,
                       struct tdbg_tui_rect rect)
{
    const int columns = chart_columns(rect);
    const int64_t begin = s->first_step, end = begin + s->n_steps - 1;
    paint_gutter(scale, metric, grid, rect, rect.height);
    for (int c = 0; c < columns; c++) {
        int64_t first, last;
        column_steps(all, columns, c, &first, &last);
        first = first < begin ? begin : first;
        last = last > end ? end : last;
        if (first > last)
            continue;
        const struct tdbg_tui_bucket sum = tdbg_tui_series_range(s, metric, first, last);
        paint_column(&sum, scale, grid, rect.x + GUTTER + c, rect.y, rect.height);
    }
}

void tdbg_tui_paint_bands(const struct tdbg_tui_series *a, const struct tdbg_tui_series *b,
                          int metric, bool linear, int64_t focus_step, int64_t marked,
                          struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const int rows = (rect.height - 2) / 2, columns = chart_columns(rect), left = rect.x + GUTTER;
    if (rows < 1 || rect.width <= GUTTER + 1)
        return;
    const int64_t end_a = a->first_step + a->n_steps, end_b = b->first_step + b->n_steps;
    struct tdbg_tui_series all = {.first_step = a->first_step < b->first_step ? a->first_step
                                                                              : b->first_step};
    all.n_steps = (end_a > end_b ? end_a : end_b) - all.first_step;
    const struct scale scale = join_scales(a, b, metric, linear, grid->ascii ? rows : rows * 2);
    const struct tdbg_tui_rect top = {rect.x, rect.y, rect.width, rows};
    const struct tdbg_tui_rect bottom = {rect.x, rect.y + rows, rect.width, rows};
    paint_band(&all, a, metric, &scale, grid, top);
    paint_band(&all, b, metric, &scale, grid, bottom);
    tdbg_tui_grid_put(grid, left - 1, top.y, 'A', TDBG_STYLE_BOLD);
    tdbg_tui_grid_put(grid, left - 1, bottom.y, 'B', TDBG_STYLE_BOLD);
    const int axis = bottom.y + rows;
    for (int c = 0; c < columns; c++)
        tdbg_tui_grid_put_glyph(grid, left + c, axis, TDBG_GLYPH_HORIZONTAL, 0);
    tdbg_tui_grid_put_glyph(grid, left - 1, axis, TDBG_GLYPH_CORNER, 0);
    if (marked >= all.first_step && marked < all.first_step + all.n_steps)
        tdbg_tui_grid_put(grid, left + column_of(&all, columns, marked), axis, 'D',
                          TDBG_STYLE_BOLD);
    tdbg_tui_grid_put(grid, left + column_of(&all, columns, focus_step), axis, '^',
                      TDBG_STYLE_BOLD);
    paint_labels(&all, focus_step, grid, left, axis + 1, columns);
}

/* What stands at the right of the heading: how far it is read, or which steps are shown. */
static void range_text(const struct tdbg_tui_model *m, const struct tdbg_tui_series *s,
                       struct tdbg_tui_rect rect, char *buf, size_t n_bytes)
{
    const long long first = s->first_step, last = s->first_step + s->n_steps - 1;
    const double per_column = (double)s->n_steps / chart_columns(rect);
    const char *zoom = m->zoom.n ? "zoom: " : "";
    if (!tdbg_tui_series_is_complete(s))
        snprintf(buf, n_bytes, "reading %lld%%", (long long)(100 * s->n_read / s->n_steps));
    else if (s->n_faults > 0)
        snprintf(buf, n_bytes, "%lld of %lld steps unreadable", (long long)s->n_faults,
                 (long long)s->n_steps);
    else if (rect.width < 60 || per_column < 1)
        snprintf(buf, n_bytes, "%ssteps %lld..%lld", zoom, first, last);
    else
        snprintf(buf, n_bytes, "%ssteps %lld..%lld (1 col = %.*f)", zoom, first, last,
                 per_column < 100 ? 1 : 0, per_column);
}

void tdbg_tui_view_chart(const struct tdbg_tui_model *m, int metric, bool active,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_series *s = tdbg_tui_model_course(m);
    const struct tdbg_tui_rect body = {rect.x, rect.y + 1, rect.width, rect.height - 1};
    const int64_t focus = m->focus.step - s->first_step;
    char right[128];
    if (rect.height < 1)
        return;
    const struct scale scale = make_scale(s, metric, m->linear, 1);
    const char *scale_text =
        scale.linear == m->linear ? (m->linear ? "linear" : "log") : "linear (nothing above 0)";
    int x = rect.x + 1 +
            tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 2, 0,
                                 "%s  %s  min/max per column",
                                 tdbg_tui_metric_name((enum tdbg_tui_metric)metric),
                                 scale.any ? scale_text : "no values");
    range_text(m, s, rect, right, sizeof right);
    if (x + 2 + (int)strlen(right) < rect.x + rect.width)
        tdbg_tui_grid_put_right(grid, x, rect.y, rect.x + rect.width - x - 1, 0, right);
    tdbg_tui_view_heading(grid, rect, active);
    tdbg_tui_paint_chart(s, metric, m->linear,
                         focus >= 0 && focus < s->n_steps ? m->focus.step : -1, grid, body);
}
