/* What a trace holds, as text for where there is no terminal. See tui.h. */
#include "tui/tui.h"

#include <inttypes.h>
#include <math.h>

#include "tui/number_text.h"
#include "tui/view.h"
#include "trace/reader.h"

enum { CHART_WIDTH = 78, CHART_HEIGHT = 10 };

static void print_chart(const struct tdbg_tui_series *series, FILE *out)
{
    struct tdbg_tui_grid grid = {.ascii = true};
    tdbg_tui_grid_resize(&grid, CHART_WIDTH, CHART_HEIGHT);
    tdbg_tui_paint_chart(series, TDBG_METRIC_LOSS, false, -1, &grid,
                         (struct tdbg_tui_rect){0, 0, CHART_WIDTH, CHART_HEIGHT});
    for (int y = 0; y < grid.height; y++) {
        int end = grid.width;
        while (end > 0 && tdbg_tui_grid_at(&grid, end - 1, y)->code == ' ')
            end--;
        for (int x = 0; x < end; x++)
            putc((int)tdbg_tui_grid_at(&grid, x, y)->code, out);
        putc('\n', out);
    }
    tdbg_tui_grid_free(&grid);
}

static int32_t find_site(const struct tdbg_tui_data *data, const char *name)
{
    return tdbg_trace_find_site(data->context, name, TDBG_LANE_ALL, TDBG_LANE_ALL);
}

/* Mean of a site's statistics at a step; NaN where it has none. */
static double site_mean(const struct tdbg_tui_data *data, int64_t step, const char *name)
{
    struct tdbg_stats stats;
    const int32_t site = find_site(data, name);
    if (site < 0 || data->read_stats(data->context, step, site, &stats, NULL) != TDBG_OK)
        return NAN;
    return stats.mean;
}

static void print_eval(const struct tdbg_tui_data *data, const struct tdbg_tui_series *s, FILE *out)
{
    int32_t b = s->n_buckets - 1;
    while (b >= 0 && s->last_eval[b] < 0)
        b--;
    if (b < 0)
        return;
    const int64_t step = s->last_eval[b];
    fprintf(out, "evaluation    step %" PRId64 ": loss %.6g", step,
            site_mean(data, step, "eval/loss"));
    if (find_site(data, "eval/accuracy") >= 0) /* a loss over values has none */
        fprintf(out, ", accuracy %.2f %%", 100 * site_mean(data, step, "eval/accuracy"));
    fputc('\n', out);
}

static void print_heading(const struct tdbg_tui_data *data, const struct tdbg_tui_series *s,
                          const struct tdbg_step_row *first, const struct tdbg_step_row *last,
                          FILE *out)
{
    const struct tdbg_run_info *info = data->info;
    fprintf(out, "trace         %s%s\n", data->path, data->closed ? "" : " (cut off)");
    if (info->world_size > 1)
        fprintf(out, "rank          %d of %d\n", (int)info->rank, (int)info->world_size);
    fprintf(out, "config        %s\n", info->config_path);
    fprintf(out,
            "steps         %" PRId64 "..%" PRId64 " of %" PRId64 ", batch %" PRId64
            ", epoch %" PRId64 ", seed %" PRIu64 "\n",
            first->step, last->step, info->planned_steps, info->batch, last->epoch, info->seed);
    fprintf(out, "lr            %.6g at first, %.6g at last\n", (double)first->lr,
            (double)last->lr);
    fprintf(out, "loss          %.6g at first, ", (double)first->loss);
    if (s->lowest_loss_step >= 0)
        fprintf(out, "lowest %.6g at step %" PRId64 ", ", s->lowest_loss, s->lowest_loss_step);
    fprintf(out, "%.6g at last\n", (double)last->loss);
    print_eval(data, s, out);
}

enum tdbg_status tdbg_tui_print_summary(struct tdbg_trace *trace, FILE *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tui_data data = tdbg_tui_data_from_trace(trace);
    const int64_t last_step = data.first_step + data.n_steps - 1;
    struct tdbg_tui_series series = {0};
    struct tdbg_step_row first, last;
    struct tdbg_trace_sizes sizes;
    TDBG_TRY(data.read_steps(data.context, data.first_step, 1, &first, err));
    TDBG_TRY(data.read_steps(data.context, last_step, 1, &last, err));
    TDBG_TRY(tdbg_trace_read_sizes(trace, &sizes, err));
    TDBG_TRY(tdbg_tui_series_init(&series, &data, err));
    while (!tdbg_tui_series_is_complete(&series))
        TDBG_TRY(tdbg_tui_series_read_block(&series, &data, err));
    print_heading(&data, &series, &first, &last, out);
    fprintf(out, "preset        %s, %d sites, %" PRId64 " keyframes\n", data.info->preset,
            (int)data.n_sites, sizes.n_keyframes);
    fprintf(out, "chain         %016" PRIx64 "\n\nloss  log  min/max per column\n",
            last.chain[TDBG_CHAIN_MAIN]);
    print_chart(&series, out);
    TDBG_FAIL_IF(fflush(out) != 0 || ferror(out), IO, "cannot write the summary");
out:
    tdbg_tui_series_free(&series);
    return st;
}
