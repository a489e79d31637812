/* The frame of a report's page. See report_page.h. */
#include "cli/report_page.h"

#include <inttypes.h>

#include "base/version.h"
#include "cli/html.h"

/* A page that runs nothing and loads nothing, even if some text got through. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n";

static void title(FILE *out, const struct cli_report *r, const char *tag)
{
    if (r->n_runs == 1)
        cli_html_elementf(out, tag, NULL, "Run %s", cli_diff_path(r->run[0].group));
    else if (r->diff.verdict == TDBG_DIFF_SAME)
        cli_html_element(out, tag, NULL, "Two runs that are the same");
    else
        cli_html_element(out, tag, NULL, "Where two runs part");
    fputc('\n', out);
}

static void files(FILE *out, const struct cli_report *r)
{
    fputs("<div class=\"files\">", out);
    for (int i = 0; i < r->n_runs; i++) {
        fprintf(out, "<span class=\"key k%d\">%s</span>", i,
                r->n_runs == 2 ? cli_report_letter(r, i) : "trace");
        cli_html_element(out, "code", NULL, cli_diff_path(r->run[i].group));
    }
    fputs("</div>\n", out);
}

static void verdict(FILE *out, const struct cli_report *r)
{
    static const char *const classes[] = {"same", "differs", "cannot"};
    const struct tdbg_diff_report *d = &r->diff;
    const char *beyond = d->is_within ? " beyond the tolerance" : "";
    char label[TDBG_MAX_SITE_NAME + 40];
    if (r->n_runs < 2)
        return;
    fprintf(out, "<div class=\"verdict %s\"><b>", classes[d->verdict]);
    if (d->verdict == TDBG_DIFF_SAME)
        fputs(d->bits_step >= 0 ? "= The same within the tolerance" : "= The same bits", out);
    else if (d->verdict == TDBG_DIFF_CANNOT_JUDGE)
        fputs("? Cannot judge", out);
    else if (d->at < 0)
        fprintf(out, "\xe2\x89\xa0 They part%s at step %" PRId64, beyond, d->step);
    else
        fprintf(out, "\xe2\x89\xa0 They part%s at step %" PRId64 ", in ", beyond, d->step);
    if (d->verdict == TDBG_DIFF_DIFFERS && d->at >= 0)
        cli_html_text(out, tdbg_site_label(&d->pair[d->at].site, label, sizeof label));
    fputs("</b>", out);
    if (d->verdict == TDBG_DIFF_SAME)
        fprintf(out, "%" PRId64 " steps and %d tensors were compared.", d->n_steps,
                (int)d->n_pairs);
    else if (d->verdict == TDBG_DIFF_CANNOT_JUDGE)
        cli_html_text(out, d->reason);
    else
        fprintf(out, "%" PRId64 " of %d tensors differ in that step%s; ", d->n_sites_differ,
                (int)d->n_pairs, d->is_within ? " in their bits" : "");
    if (d->verdict == TDBG_DIFF_DIFFERS && d->step == d->first_step)
        fputs("it is the first step that both have.", out);
    else if (d->verdict == TDBG_DIFF_DIFFERS)
        fprintf(out, "the %" PRId64 " steps before it are the same%s.", d->step - d->first_step,
                d->is_within ? " within it" : ", bit for bit");
    if (*r->tolerance && d->verdict != TDBG_DIFF_CANNOT_JUDGE) {
        cli_html_elementf(out, "span", NULL, " Tolerance:%s.", r->tolerance);
        if (d->bits_step >= 0)
            fprintf(out, " The bits differ from step %" PRId64 " on.", d->bits_step);
    }
    fputs("</div>\n", out);
}

void cli_report_write(FILE *out, const struct cli_report *r)
{
    fputs(head, out);
    title(out, r, "title");
    fprintf(out, "<style>\n%s</style></head>\n<body>\n<header>\n", cli_report_style);
    title(out, r, "h1");
    files(out, r);
    verdict(out, r);
    fputs("</header>\n<main>\n", out);
    cli_report_first(out, r);
    cli_report_differences(out, r);
    cli_report_curves(out, r);
    if (r->n_runs == 2)
        cli_report_growth(out, r);
    cli_report_sites(out, r);
    cli_report_runs(out, r);
    fputs("</main>\n<footer>", out);
    cli_html_elementf(out, "span", NULL, "Made by tdbg %s: ", TDBG_VERSION);
    cli_html_elementf(out, "code", NULL, "tdbg report %s%s%s%s", cli_diff_path(r->run[0].group),
                      r->n_runs == 2 ? " " : "",
                      r->n_runs == 2 ? cli_diff_path(r->run[1].group) : "", r->tolerance);
    fputs("</footer>\n</body></html>\n", out);
}
