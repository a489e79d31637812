/* The plots of a report. See report_page.h. */
#include <math.h>
#include <string.h>

#include "cli/html.h"
#include "cli/report_page.h"
#include "cli/svg_plot.h"

enum { MOST_SERIES = CLI_PLOT_STYLES };

struct curves {
    struct cli_plot_series series[MOST_SERIES];
    int n;
    double low, high;
};

static void add_curve(struct curves *c, const char *name, const struct cli_series *s, int style,
                      bool has_points)
{
    if (s->n == 0)
        return;
    c->series[c->n++] = (struct cli_plot_series){name, s->x, s->y, s->n, style, has_points};
    c->low = c->n == 1 ? s->low : fmin(c->low, s->low);
    c->high = c->n == 1 ? s->high : fmax(c->high, s->high);
}

/* What spans powers of ten cannot be seen otherwise. */
static bool wants_log(const struct curves *c)
{
    return c->low > 0 && c->high > 50 * c->low;
}

/* Of both runs, so that all curves have the same steps below them. */
static int64_t first_step(const struct cli_report *r)
{
    int64_t first = tdbg_trace_first_step(r->run[0].trace);
    for (int i = 1; i < r->n_runs; i++) {
        const int64_t other = tdbg_trace_first_step(r->run[i].trace);
        first = other < first ? other : first;
    }
    return first;
}

static int64_t last_step(const struct cli_report *r)
{
    int64_t last = r->run[0].series.last.step;
    for (int i = 1; i < r->n_runs; i++)
        last = r->run[i].series.last.step > last ? r->run[i].series.last.step : last;
    return last;
}

static void plot(FILE *out, const struct cli_report *r, const char *title, const char *y_label,
                 const struct curves *c)
{
    char text[64] = "";
    const bool has_mark = r->n_runs == 2 && r->diff.has_step;
    if (has_mark)
        snprintf(text, sizeof text, "differs from step %lld on", (long long)r->diff.step);
    cli_plot_write(out, &(struct cli_plot){.title = title,
                                           .x_label = "step",
                                           .y_label = y_label,
                                           .is_log = wants_log(c),
                                           .x_low = (double)first_step(r),
                                           .x_high = (double)last_step(r),
                                           .series = c->series,
                                           .n_series = c->n,
                                           .mark_x = has_mark ? (double)r->diff.step : NAN,
                                           .mark_text = text});
}

static const char *name_of(const struct cli_report *r, int run, const char *what)
{
    return r->n_runs == 1 ? what
                          : tdbg_arena_printf(r->arena, "%s %s", cli_report_letter(r, run), what);
}

/* Does a curve say more than one number would? */
static bool is_worth_it(const struct curves *c)
{
    return c->n > 0 && c->high > c->low;
}

void cli_report_curves(FILE *out, const struct cli_report *r)
{
    struct curves loss = {0}, accuracy = {0}, norm = {0}, lr = {0}, time = {0};
    for (int i = 0; i < r->n_runs; i++) {
        const struct cli_run_series *s = &r->run[i].series;
        add_curve(&loss, name_of(r, i, "training"), &s->loss, i, false);
        add_curve(&accuracy, name_of(r, i, "evaluation"), &s->eval_accuracy, i + 2, true);
        add_curve(&norm, name_of(r, i, "gradient norm"), &s->grad_norm, i, false);
        add_curve(&lr, name_of(r, i, "learning rate"), &s->lr, i, false);
        add_curve(&time, name_of(r, i, "step time"), &s->step_ms, i, false);
    }
    for (int i = 0; i < r->n_runs; i++)
        add_curve(&loss, name_of(r, i, "evaluation"), &r->run[i].series.eval_loss, i + 2, true);
    fputs("<section id=\"curves\"><h2>Curves</h2>\n", out);
    plot(out, r, "Loss", wants_log(&loss) ? "loss, log scale" : "loss", &loss);
    if (is_worth_it(&accuracy))
        plot(out, r, "Evaluation accuracy", "share of right answers", &accuracy);
    plot(out, r, "Gradient norm, before clipping",
         wants_log(&norm) ? "L2 norm, log scale" : "L2 norm", &norm);
    if (is_worth_it(&lr))
        plot(out, r, "Learning rate", "learning rate", &lr);
    plot(out, r, "Step time", wants_log(&time) ? "ms, log scale" : "ms", &time);
    fputs("</section>\n", out);
}

/* --- growth --- */

static void cell(FILE *out, double x)
{
    if (isnan(x))
        fputs("<td class=\"n dim\">&ndash;</td>", out);
    else if (x == 0)
        fputs("<td class=\"n\">0</td>", out);
    else
        fprintf(out, "<td class=\"n\">%.2e</td>", x);
}

static void growth_table(FILE *out, const struct cli_report *r, const double *loss)
{
    const struct tdbg_diff_growth *g = &r->diff.growth;
    char label[TDBG_MAX_SITE_NAME + 40];
    fputs("<details><summary>All numbers</summary><div class=\"scroll\"><table><thead><tr>"
          "<th>tensor</th>",
          out);
    for (int k = 0; k < g->n_steps; k++)
        cli_html_elementf(out, "th", "n", "%lld", (long long)g->step[k]);
    fputs("</tr></thead><tbody>\n<tr><th class=\"m\">loss of the step</th>", out);
    for (int k = 0; k < g->n_steps; k++)
        cell(out, loss[k]);
    fputs("</tr>\n", out);
    for (int i = 0; i < g->n_rows; i++) {
        fputs("<tr>", out);
        cli_html_element(out, "th", "m",
                         tdbg_site_label(&r->diff.pair[g->row[i].pair].site, label, sizeof label));
        for (int k = 0; k < g->n_steps; k++)
            cell(out, g->row[i].relative[k]);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div></details>\n", out);
}

void cli_report_growth(FILE *out, const struct cli_report *r)
{
    const struct tdbg_diff_growth *g = &r->diff.growth;
    struct curves c = {0};
    int rows[MOST_SERIES];
    char label[TDBG_MAX_SITE_NAME + 40];
    if (g->n_steps == 0)
        return;
    double *x = tdbg_arena_alloc(r->arena, (size_t)g->n_steps * sizeof *x);
    double *loss = tdbg_arena_alloc(r->arena, (size_t)g->n_steps * sizeof *loss);
    for (int k = 0; k < g->n_steps; k++) {
        x[k] = (double)g->step[k];
        loss[k] = g->loss_a[k] == g->loss_b[k]
                      ? 0
                      : fabs(g->loss_a[k] - g->loss_b[k]) / fabs(g->loss_a[k]);
    }
    c.series[c.n++] = (struct cli_plot_series){"loss of the step", x, loss, g->n_steps, 0, true};
    const int n = cli_diff_choose_rows(&r->diff, MOST_SERIES - 1, rows);
    for (int i = 0; i < n; i++) {
        const struct tdbg_diff_growth_row *row = &g->row[rows[i]];
        const char *name = tdbg_arena_strdup(
            r->arena, tdbg_site_label(&r->diff.pair[row->pair].site, label, sizeof label));
        c.series[c.n] = (struct cli_plot_series){name, x, row->relative, g->n_steps, c.n, true};
        c.n++;
    }
    fputs("<section id=\"growth\"><h2>How the difference grows</h2>\n", out);
    cli_plot_write(out, &(struct cli_plot){.title = "Relative difference, rms(a \xe2\x88\x92 b) / "
                                                    "rms(a)",
                                           .x_label = "step; each tick twice as far from the first",
                                           .y_label = "relative, log scale",
                                           .is_log = true,
                                           .x_is_log = true,
                                           .x_from = x[0],
                                           .x_low = NAN,
                                           .x_high = NAN,
                                           .series = c.series,
                                           .n_series = c.n,
                                           .mark_x = NAN});
    if (g->n_steps == 1)
        fputs("<p class=\"dim\">It is the last step that both have: there is nothing to grow in."
              "</p>\n",
              out);
    if (n < g->n_rows)
        cli_html_elementf(out, "p", "dim", "%d of %d tensors are drawn; the table has all.", n,
                          g->n_rows);
    growth_table(out, r, loss);
    fputs("</section>\n", out);
}
