/* The tables of a report. See report_page.h. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/convert.h"
#include "cli/commands.h"
#include "cli/html.h"
#include "cli/report_page.h"

enum { MOST_SITES = 3000, OPEN_SITES = 30 };

const char *cli_report_letter(const struct cli_report *r, int run)
{
    return r->n_runs == 1 ? "" : run == 0 ? "A" : "B";
}

static void begin_table(FILE *out, const char *const *head, int n)
{
    fputs("<div class=\"scroll\"><table><thead><tr>", out);
    for (int i = 0; i < n; i++)
        cli_html_element(out, "th", head[i][0] == '#' ? "n" : NULL, head[i] + (head[i][0] == '#'));
    fputs("</tr></thead><tbody>\n", out);
}

static void end_table(FILE *out)
{
    fputs("</tbody></table></div>\n", out);
}

static void cell(FILE *out, const char *class_name, const char *text)
{
    if (text)
        cli_html_element(out, "td", class_name, text);
    else
        fputs("<td class=\"dim\">not there</td>", out);
}

/* --- the first difference --- */

static void element_row(FILE *out, const char *title, const struct tdbg_element_difference *d,
                        const struct tdbg_site *site)
{
    char index[160];
    fputs("<tr>", out);
    cli_html_element(out, "th", NULL, title);
    cli_html_element(out, "td", "m", tdbg_compare_index_text(site, d->index, index, sizeof index));
    cli_html_elementf(out, "td", "n m", "%.9g", d->a);
    cli_html_elementf(out, "td", "n m", "%.9g", d->b);
    cli_html_elementf(out, "td", "n m", "%.3g", d->absolute);
    cli_html_elementf(out, "td", "n m", "%.3g", d->relative);
    if (d->ulp >= 0)
        cli_html_elementf(out, "td", "n m", "%" PRId64, d->ulp);
    else
        fputs("<td class=\"n dim\">&ndash;</td>", out);
    fputs("</tr>\n", out);
}

static void elements(FILE *out, const struct tdbg_diff_report *d)
{
    static const char *const head[] = {"element",   "index",     "#A",  "#B",
                                       "#absolute", "#relative", "#ULP"};
    const struct tdbg_site *site = &d->pair[d->at].site;
    if (!d->has_elements) {
        if (d->elements_missing)
            cli_html_elementf(out, "p", "dim", "No values: %s", d->elements_missing);
        return;
    }
    cli_html_elementf(out, "p", NULL, "%" PRId64 " of %" PRId64 " elements differ%s.",
                      d->elements.n_differ, d->elements.n_elems,
                      d->is_within ? " by more than the tolerance" : "");
    begin_table(out, head, 7);
    element_row(out, "first", &d->elements.first, site);
    if (d->elements.n_differ > 1)
        element_row(out, "worst", &d->elements.worst, site);
    end_table(out);
}

static void fact(FILE *out, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fact(FILE *out, const char *key, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fputs("<tr>", out);
    cli_html_element(out, "th", NULL, key);
    cli_html_element(out, "td", "v", text);
    fputs("</tr>\n", out);
}

void cli_report_first(FILE *out, const struct cli_report *r)
{
    const struct tdbg_diff_report *d = &r->diff;
    char label[TDBG_MAX_SITE_NAME + 40], shape[200], who[64];
    if (r->n_runs < 2 || !d->has_step)
        return;
    fputs("<section id=\"first\"><h2>First difference</h2>\n<div class=\"scroll\"><table><tbody>\n",
          out);
    fact(out, "step", "%" PRId64, d->step);
    if (d->at >= 0) {
        const struct tdbg_site *site = &d->pair[d->at].site;
        fact(out, "tensor", "%s", tdbg_site_label(site, label, sizeof label));
        fact(out, "made by", "%s, stage %s", site->op, tdbg_stage_text(site->stage));
        fact(out, "type", "%s %s", tdbg_dtype_text(site->dtype),
             tdbg_site_shape_text(site, shape, sizeof shape));
        if (*cli_diff_who_text(r->run[0].group, r->run[1].group, d, who))
            fact(out, "where", "%.*s", (int)strlen(who) - 2, who);
        fact(out, "differ in this step", "%" PRId64 " of %d tensors", d->n_sites_differ,
             (int)d->n_pairs);
    } else {
        fact(out, "in", "chain %s; no recorded tensor differs in this step",
             tdbg_chain_name(d->chain));
    }
    if (!isnan(d->allowed))
        fact(out, "the repeat of A allows", "%.3g", d->allowed);
    if (d->n_chain_reads > 0)
        fact(out, "found with", "%" PRId64 " reads of the hash chains", d->n_chain_reads);
    end_table(out);
    if (d->at >= 0)
        elements(out, d);
    fputs("</section>\n", out);
}

/* --- what the runs are --- */

static void differences(FILE *out, const char *title, const struct tdbg_config_difference *list,
                        int n)
{
    static const char *const head[] = {"key", "A", "B"};
    if (n == 0)
        return;
    cli_html_element(out, "h3", NULL, title);
    begin_table(out, head, 3);
    for (int i = 0; i < n; i++) {
        fputs("<tr>", out);
        cli_html_element(out, "th", "m", list[i].key);
        cell(out, "m v", list[i].a);
        cell(out, "m v", list[i].b);
        fputs("</tr>\n", out);
    }
    end_table(out);
}

static void names(FILE *out, const char *title, const char **list, int32_t n)
{
    if (n == 0)
        return;
    fprintf(out, "<details><summary>%d ", (int)n);
    cli_html_text(out, title);
    fputs("</summary><ul>\n", out);
    for (int32_t i = 0; i < n && i < MOST_SITES; i++) {
        fputs("<li>", out);
        cli_html_element(out, "code", NULL, list[i]);
        fputs("</li>\n", out);
    }
    fputs("</ul></details>\n", out);
}

void cli_report_differences(FILE *out, const struct cli_report *r)
{
    const struct tdbg_diff_report *d = &r->diff;
    if (r->n_runs < 2)
        return;
    fputs("<section id=\"differences\"><h2>What is different about the runs</h2>\n", out);
    for (int i = 0; i < d->n_notes; i++)
        cli_html_element(out, "p", "verdict", d->notes[i]);
    differences(out, "Config", d->config, d->n_config);
    differences(out, "Run", d->run, d->n_run);
    differences(out, "Data set", d->data, d->n_data);
    differences(out, "Environment", d->environment, d->n_environment);
    if (d->n_config + d->n_run + d->n_data + d->n_environment == 0)
        fputs("<p>Nothing: config, data and environment are the same.</p>\n", out);
    if (d->n_steps_a != d->n_steps_b)
        cli_html_elementf(out, "p", NULL,
                          "A has %" PRId64 " steps, B has %" PRId64 "; %" PRId64 " are compared.",
                          d->n_steps_a, d->n_steps_b, d->n_steps);
    if (d->n_by_place > 0)
        cli_html_elementf(
            out, "p", NULL,
            "%d tensors have other names in B, and are paired by place, op and shape.",
            (int)d->n_by_place);
    names(out, "layers that have another name in B", d->renamed, d->n_renamed);
    names(out, "tensors only in A", d->only_a, d->n_only_a);
    names(out, "tensors only in B", d->only_b, d->n_only_b);
    names(out, "tensors of another shape", d->reshaped, d->n_reshaped);
    fputs("</section>\n", out);
}

/* --- tensors --- */

static void compared_sites(FILE *out, const struct cli_report *r)
{
    static const char *const head[] = {"#nr", "tensor", "made by", "type", "in that step"};
    const struct tdbg_diff_report *d = &r->diff;
    char label[TDBG_MAX_SITE_NAME + 40], shape[200];
    begin_table(out, head, 5);
    for (int32_t p = 0; p < d->n_pairs && p < MOST_SITES; p++) {
        const struct tdbg_diff_pair *pair = &d->pair[p];
        const bool differs = d->has_step && (d->pair_differs[p] || p == d->at);
        fputs(differs ? "<tr class=\"x\">" : "<tr>", out);
        cli_html_elementf(out, "td", "n dim", "%d", (int)p);
        cli_html_element(out, "th", "m", tdbg_site_label(&pair->site, label, sizeof label));
        cli_html_element(out, "td", NULL, pair->site.op);
        cli_html_elementf(out, "td", "m", "%s %s", tdbg_dtype_text(pair->site.dtype),
                          tdbg_site_shape_text(&pair->site, shape, sizeof shape));
        if (p == d->at)
            fputs("<td class=\"mark\">\xe2\x89\xa0 first</td>", out);
        else if (differs)
            fputs("<td class=\"mark\">\xe2\x89\xa0 differs</td>", out);
        else
            fputs("<td class=\"dim\">=</td>", out);
        fputs("</tr>\n", out);
    }
    end_table(out);
}

static void recorded_sites(FILE *out, const struct cli_report *r)
{
    static const char *const head[] = {"#nr",  "tensor", "made by", "type", "#min",
                                       "#max", "#mean",  "#rms",    "#NaN", "#Inf"};
    const struct cli_report_run *run = &r->run[0];
    const struct tdbg_rank_group *g = run->group;
    char label[TDBG_MAX_SITE_NAME + 40], shape[200];
    begin_table(out, head, 10);
    for (int32_t i = 0; i < g->n_sites && i < MOST_SITES; i++) {
        struct tdbg_stats stats;
        struct tdbg_err unread = {0};
        struct tdbg_trace *file = g->files[g->holder[i]].trace;
        const bool has_stats = tdbg_trace_read_stats(file, run->series.last.step, g->local[i],
                                                     &stats, &unread) == TDBG_OK;
        tdbg_err_clear(&unread);
        fputs(has_stats && stats.nans + stats.infs > 0 ? "<tr class=\"x\">" : "<tr>", out);
        cli_html_elementf(out, "td", "n dim", "%d", (int)i);
        cli_html_element(out, "th", "m", tdbg_site_label(&g->sites[i], label, sizeof label));
        cli_html_element(out, "td", NULL, g->sites[i].op);
        cli_html_elementf(out, "td", "m", "%s %s", tdbg_dtype_text(g->sites[i].dtype),
                          tdbg_site_shape_text(&g->sites[i], shape, sizeof shape));
        const double of[] = {stats.min, stats.max, stats.mean, stats.rms};
        for (int k = 0; k < 4; k++) {
            if (has_stats && !isnan(of[k]))
                cli_html_elementf(out, "td", "n m", "%.4g", of[k]);
            else
                fputs("<td class=\"n dim\">&ndash;</td>", out);
        }
        cli_html_elementf(out, "td", "n m", "%" PRIu64, has_stats ? stats.nans : 0);
        cli_html_elementf(out, "td", "n m", "%" PRIu64, has_stats ? stats.infs : 0);
        fputs("</tr>\n", out);
    }
    end_table(out);
}

void cli_report_sites(FILE *out, const struct cli_report *r)
{
    const int32_t n = r->n_runs == 2 ? r->diff.n_pairs : r->run[0].group->n_sites;
    fputs("<section id=\"sites\"><h2>Tensors, in dataflow order</h2>\n", out);
    if (r->n_runs == 2 && r->diff.has_step)
        cli_html_elementf(out, "p", NULL, "%" PRId64 " of %d differ in step %" PRId64 ".",
                          r->diff.n_sites_differ, (int)n, r->diff.step);
    else if (r->n_runs == 1)
        cli_html_elementf(out, "p", NULL, "Statistics of step %" PRId64 ", the last.",
                          r->run[0].series.last.step);
    fprintf(out, "<details%s><summary>%d tensors</summary>\n", n <= OPEN_SITES ? " open" : "",
            (int)n);
    if (r->n_runs == 2)
        compared_sites(out, r);
    else
        recorded_sites(out, r);
    if (n > MOST_SITES)
        cli_html_elementf(out, "p", "dim", "... and %d more", (int)(n - MOST_SITES));
    fputs("</details></section>\n", out);
}

/* --- runs --- */

struct facts {
    FILE *out;
    const struct cli_report *report;
};

static void run_row(const struct facts *f, const char *key, char text[2][160])
{
    const bool differs = f->report->n_runs == 2 && strcmp(text[0], text[1]) != 0;
    fputs("<tr>", f->out);
    cli_html_element(f->out, "th", NULL, key);
    for (int i = 0; i < f->report->n_runs; i++)
        cli_html_element(f->out, "td", differs || f->report->n_runs == 1 ? "v" : "v dim", text[i]);
    fputs("</tr>\n", f->out);
}

typedef void (*run_fact)(const struct cli_report_run *run, char out[160]);

static void fact_uuid(const struct cli_report_run *run, char out[160])
{
    char uuid[CLI_UUID_TEXT_BYTES];
    snprintf(out, 160, "%s", cli_uuid_text(tdbg_trace_info(run->trace)->uuid, uuid));
}

static void fact_version(const struct cli_report_run *run, char out[160])
{
    const struct tdbg_run_info *info = tdbg_trace_info(run->trace);
    if (info->numerics_version == TDBG_NUMERICS_FOREIGN)
        snprintf(out, 160, "%s (another program)", info->tdbg_version);
    else
        snprintf(out, 160, "tdbg %s, numerics version %d", info->tdbg_version,
                 (int)info->numerics_version);
}

static void fact_steps(const struct cli_report_run *run, char out[160])
{
    const int64_t first = tdbg_trace_first_step(run->trace), n = tdbg_trace_n_steps(run->trace);
    snprintf(out, 160, "%" PRId64 " to %" PRId64 " of %" PRId64 "%s", first, first + n - 1,
             tdbg_trace_info(run->trace)->planned_steps,
             tdbg_trace_is_closed(run->trace) ? "" : ", cut off");
}

static void fact_batch(const struct cli_report_run *run, char out[160])
{
    const struct tdbg_run_info *info = tdbg_trace_info(run->trace);
    snprintf(out, 160, "%" PRId64 " samples; %d rank%s, %d lane%s, %d micro-batch%s", info->batch,
             (int)info->world_size, info->world_size == 1 ? "" : "s", (int)info->lanes,
             info->lanes == 1 ? "" : "s", (int)info->accumulate, info->accumulate == 1 ? "" : "es");
}

static void fact_seed(const struct cli_report_run *run, char out[160])
{
    snprintf(out, 160, "%" PRIu64, tdbg_trace_info(run->trace)->seed);
}

static void fact_loss(const struct cli_report_run *run, char out[160])
{
    snprintf(out, 160, "%.9g at step %" PRId64, (double)run->series.last.loss,
             run->series.last.step);
}

static void fact_recorded(const struct cli_report_run *run, char out[160])
{
    const struct tdbg_run_info *info = tdbg_trace_info(run->trace);
    snprintf(out, 160, "%s, %d tensors, keyframe every %" PRId64 " steps", info->preset,
             (int)run->group->n_sites, info->keyframe_every);
}

static void size_text(int64_t bytes, int64_t raw, char out[160])
{
    char a[32], b[32];
    tdbg_convert_bytes_text(bytes, a, sizeof a);
    if (raw < 0)
        snprintf(out, 160, "%s", a);
    else
        snprintf(out, 160, "%s (%s before compression)", a,
                 tdbg_convert_bytes_text(raw, b, sizeof b));
}

static void fact_file(const struct cli_report_run *run, char out[160])
{
    size_text(run->sizes.file_bytes, -1, out);
}

static void fact_values(const struct cli_report_run *run, char out[160])
{
    size_text(run->sizes.values_bytes, run->sizes.raw_values_bytes, out);
}

static void fact_samples(const struct cli_report_run *run, char out[160])
{
    size_text(run->sizes.samples_bytes, run->sizes.raw_samples_bytes, out);
}

static void fact_keyframes(const struct cli_report_run *run, char out[160])
{
    size_text(run->sizes.keyframe_bytes, run->sizes.raw_keyframe_bytes, out);
}

static void fact_digests(const struct cli_report_run *run, char out[160])
{
    size_text(run->sizes.digest_bytes, -1, out);
}

static void fact_chain(const struct cli_report_run *run, char out[160])
{
    snprintf(out, 160, "%016" PRIx64, run->series.last.chain[TDBG_CHAIN_MAIN]);
}

static void run_table(const struct facts *f, const char *title, const char *const *keys,
                      const run_fact *of, int n)
{
    const char *const head[] = {"", f->report->n_runs == 2 ? "A" : "", "B"};
    cli_html_element(f->out, "h3", NULL, title);
    begin_table(f->out, head, 1 + f->report->n_runs);
    for (int i = 0; i < n; i++) {
        char text[2][160] = {"", ""};
        for (int k = 0; k < f->report->n_runs; k++)
            of[i](&f->report->run[k], text[k]);
        run_row(f, keys[i], text);
    }
    end_table(f->out);
}

/* Every key that one of them has. */
static void environment(const struct facts *f)
{
    struct tdbg_config_difference *a, *b = NULL;
    const struct cli_report *r = f->report;
    const char *const head[] = {"", r->n_runs == 2 ? "A" : "", "B"};
    const int n_a =
        tdbg_config_diff_json(tdbg_trace_info(r->run[0].trace)->environment, "{}", r->arena, &a);
    const int n_b = r->n_runs < 2
                        ? 0
                        : tdbg_config_diff_json(tdbg_trace_info(r->run[1].trace)->environment, "{}",
                                                r->arena, &b);
    cli_html_element(f->out, "h3", NULL, "Environment");
    begin_table(f->out, head, 1 + r->n_runs);
    for (int i = 0; i < n_a + n_b; i++) {
        const char *key = i < n_a ? a[i].key : b[i - n_a].key, *value[2] = {NULL, NULL};
        bool is_known = false;
        for (int k = 0; k < n_a; k++) {
            is_known |= strcmp(a[k].key, key) == 0;
            value[0] = strcmp(a[k].key, key) == 0 ? a[k].a : value[0];
        }
        for (int k = 0; k < n_b; k++)
            value[1] = strcmp(b[k].key, key) == 0 ? b[k].a : value[1];
        if (i >= n_a && is_known)
            continue;
        fputs("<tr>", f->out);
        cli_html_element(f->out, "th", "m", key);
        for (int k = 0; k < r->n_runs; k++)
            cell(f->out, "m v", value[k]);
        fputs("</tr>\n", f->out);
    }
    end_table(f->out);
}

void cli_report_runs(FILE *out, const struct cli_report *r)
{
    static const char *const keys[] = {"run",  "recorded by", "steps",    "batch",
                                       "seed", "last loss",   "recorded", "chain"};
    static const run_fact of[] = {fact_uuid, fact_version, fact_steps,    fact_batch,
                                  fact_seed, fact_loss,    fact_recorded, fact_chain};
    static const char *const size_keys[] = {"file", "values", "samples", "keyframes", "digests"};
    static const run_fact size_of[] = {fact_file, fact_values, fact_samples, fact_keyframes,
                                       fact_digests};
    const struct facts f = {out, r};
    fprintf(out, "<section id=\"runs\"><h2>%s</h2>\n", r->n_runs == 2 ? "The runs" : "The run");
    run_table(&f, "Run", keys, of, 8);
    run_table(&f, r->run[0].group->world_size > 1 ? "Size, of the lowest rank's file" : "Size",
              size_keys, size_of, 5);
    environment(&f);
    for (int i = 0; i < r->n_runs; i++) {
        fprintf(out, "<details><summary>Config%s%s, as it took effect</summary>",
                r->n_runs == 2 ? " of " : "", cli_report_letter(r, i));
        cli_html_element(out, "pre", NULL, tdbg_trace_info(r->run[i].trace)->config);
        fputs("</details>\n", out);
    }
    fputs("</section>\n", out);
}
