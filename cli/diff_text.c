/* tdbg diff for people. See diff_print.h. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/diff_print.h"

enum { SHOWN_SITES = 8, SHOWN_SHAPES = 2, SHOWN_KEYS = 24, SHOWN_ROWS = 10, SHOWN_STEPS = 7 };

const char *cli_diff_verdict_text(enum tdbg_diff_verdict verdict)
{
    static const char *const text[] = {"same", "differs", "cannot judge"};
    return text[verdict];
}

const char *cli_diff_path(const struct tdbg_rank_group *group)
{
    return group->files[group->first].path;
}

static void print_keys(const char *title, const struct tdbg_config_difference *list, int n)
{
    if (n > 0)
        printf("%s:\n", title);
    for (int i = 0; i < n && i < SHOWN_KEYS; i++)
        printf("  %s: %s -> %s\n", list[i].key, list[i].a ? list[i].a : "(not there)",
               list[i].b ? list[i].b : "(not there)");
    if (n > SHOWN_KEYS)
        printf("  ... and %d more\n", n - SHOWN_KEYS);
}

static void print_about(const struct tdbg_diff_report *r)
{
    print_keys("config", r->config, r->n_config);
    print_keys("environment", r->environment, r->n_environment);
    print_keys("run", r->run, r->n_run);
    if (r->data_differs)
        puts("data: the data sets have other fingerprints");
    print_keys(r->data_differs ? "data set" : "data set (with the same fingerprints)", r->data,
               r->n_data);
    for (int i = 0; i < r->n_notes; i++)
        printf("note: %s\n", r->notes[i]);
}

static void print_sites(const char *title, const char **labels, int32_t n, int32_t most)
{
    if (n == 0)
        return;
    printf("%s: %d:", title, (int)n);
    for (int32_t i = 0; i < n && i < most; i++)
        printf("%s %s", i ? "," : "", labels[i]);
    puts(n > most ? ", ..." : "");
}

static void print_lists(const struct tdbg_diff_report *r)
{
    print_sites("sites only in A", r->only_a, r->n_only_a, SHOWN_SITES);
    print_sites("sites only in B", r->only_b, r->n_only_b, SHOWN_SITES);
    print_sites("sites of another shape", r->reshaped, r->n_reshaped, SHOWN_SHAPES);
    if (r->n_by_name > 0)
        printf("sites compared though their lanes have other numbers: %d\n", (int)r->n_by_name);
    if (r->n_by_place > 0) {
        printf("sites compared though they have other names, by place, op and shape: %d:",
               (int)r->n_by_place);
        for (int32_t i = 0; i < r->n_renamed && i < SHOWN_SITES; i++)
            printf("%s %s", i ? "," : "", r->renamed[i]);
        puts(r->n_renamed > SHOWN_SITES ? ", ..." : "");
    }
    if (r->n_by_parts > 0)
        printf("sites compared as whole batches, which are cut into other lanes or micro-batches: "
               "%d\n",
               (int)r->n_by_parts);
}

const char *cli_diff_who_text(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                              const struct tdbg_diff_report *r, char buf[64])
{
    const bool of_lane = r->pair[r->at].site.lane >= 0;
    buf[0] = '\0';
    if (a->world_size > 1 && b->world_size > 1 && of_lane && r->rank_a == r->rank_b)
        snprintf(buf, 64, "rank %d, ", (int)r->rank_a);
    else if (a->world_size > 1 && (of_lane || (r->n_ranks_a > 0 && r->n_ranks_a < a->n_there)))
        snprintf(buf, 64, "rank %d of A, ", (int)r->rank_a);
    else if (b->world_size > 1 && (of_lane || (r->n_ranks_b > 0 && r->n_ranks_b < b->n_there)))
        snprintf(buf, 64, "rank %d of B, ", (int)r->rank_b);
    return buf;
}

static void print_split(const char *which, const struct tdbg_rank_group *group,
                        const struct tdbg_rank_split *split)
{
    if (split->found)
        printf("within %s: rank%s %s differ%s from the other%s, from step %" PRId64
               " on: first in %s\n",
               which, split->n_odd > 1 ? "s" : "", split->ranks, split->n_odd > 1 ? "" : "s",
               split->n_files - split->n_odd > 1 ? "s" : "", split->step,
               group->sites[split->site].name);
}

static void print_changed(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                          const struct tdbg_diff_report *r)
{
    const struct tdbg_diff_changed *c = &r->changed;
    const struct tdbg_rank_group *g = c->in_b ? b : a;
    char label[TDBG_MAX_SITE_NAME + 40];
    if (r->is_deep && !r->has_changed)
        printf("deep: %" PRId64 " stored values have their digests\n", r->n_read_deep);
    if (r->has_changed)
        printf("deep: %s: the value of %s at step %" PRId64 " is not that of its digest\n",
               g->files[c->rank].path, tdbg_site_label(&g->sites[c->site], label, sizeof label),
               c->step);
}

static void print_first(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                        const struct tdbg_diff_report *r)
{
    char label[TDBG_MAX_SITE_NAME + 40], who[64];
    if (r->at < 0) {
        if (!r->has_changed)
            printf("first difference: step %" PRId64
                   ", chain %s (no recorded site differs in this step)\n",
                   r->step, tdbg_chain_name(r->chain));
        return;
    }
    const struct tdbg_diff_pair *p = &r->pair[r->at];
    printf("first difference%s: step %" PRId64 ", %ssite %s (%s); %" PRId64
           " of %d sites differ in this step%s\n",
           r->is_within ? " beyond the tolerance" : "", r->step, cli_diff_who_text(a, b, r, who),
           tdbg_site_label(&p->site, label, sizeof label), p->site.op, r->n_sites_differ,
           (int)r->n_pairs, r->is_within ? " in their bits" : "");
    if (r->has_elements)
        tdbg_compare_print(&r->elements, &p->site, "  ", stdout);
    else if (r->elements_missing)
        printf("  values: %s\n", r->elements_missing);
    if (!isnan(r->allowed))
        printf("  the repeat of A allows %.3g here\n", r->allowed);
    if (r->is_within && r->bits_step < r->step)
        printf("  the bits differ from step %" PRId64 " on\n", r->bits_step);
}

static void print_cost(const struct tdbg_diff_report *r)
{
    if (r->n_chain_reads > 0)
        printf("found with %" PRId64 " reads of the chains", r->n_chain_reads);
    else
        printf("found by the digests of every step");
    if (r->is_within)
        printf("; %" PRId64 " tensors compared by value, %" PRId64 " steps executed", r->n_compared,
               r->steps_executed);
    putchar('\n');
}

/* At how many of its steps a row is known to differ. */
static int known_steps(const struct tdbg_diff_growth *g, int row)
{
    int n = 0;
    for (int i = 0; i < g->n_steps; i++)
        n += g->row[row].relative[i] > 0;
    return n;
}

int cli_diff_choose_rows(const struct tdbg_diff_report *r, int most, int *rows)
{
    const struct tdbg_diff_growth *g = &r->growth;
    int n = 0, best = 0, room = 0;
    for (int i = 0; i < g->n_rows; i++)
        best = known_steps(g, i) > best ? known_steps(g, i) : best;
    /* those that are stored at a keyframe only say little; those that are not known to differ say
     * nothing */
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0, seen = 0; i < g->n_rows; i++) {
            if (2 * known_steps(g, i) < best || known_steps(g, i) == 0)
                continue;
            if (pass == 0)
                room++;
            else if (room <= most || seen * (most - 1) / (room - 1) >= n)
                rows[n++] = i;
            seen++;
        }
    }
    return n;
}

static void print_number(double x)
{
    if (isnan(x))
        printf("%9s", "-");
    else if (x == 0)
        printf("%9s", "0");
    else
        printf("%9.1e", x);
}

static void print_growth(const struct tdbg_diff_report *r)
{
    const struct tdbg_diff_growth *g = &r->growth;
    const int n = g->n_steps < SHOWN_STEPS ? g->n_steps : SHOWN_STEPS;
    int at[SHOWN_STEPS], rows[SHOWN_ROWS];
    char label[TDBG_MAX_SITE_NAME + 40];
    if (n == 0)
        return;
    for (int k = 0; k < n; k++)
        at[k] = n > 1 ? k * (g->n_steps - 1) / (n - 1) : 0;
    const int n_rows = cli_diff_choose_rows(r, SHOWN_ROWS, rows);
    int width = 8;
    for (int i = 0; i < n_rows; i++) {
        tdbg_site_label(&r->pair[g->row[rows[i]].pair].site, label, sizeof label);
        width = (int)strlen(label) > width ? (int)strlen(label) : width;
    }
    printf("how it grows, rms(a - b) / rms(a):\n  %-*s", width, "step");
    for (int k = 0; k < n; k++)
        printf("%9" PRId64, g->step[at[k]]);
    printf("\n  %-*s", width, "loss");
    for (int k = 0; k < n; k++)
        print_number(g->loss_a[at[k]] == g->loss_b[at[k]]
                         ? 0
                         : fabs(g->loss_a[at[k]] - g->loss_b[at[k]]) / fabs(g->loss_a[at[k]]));
    putchar('\n');
    for (int i = 0; i < n_rows; i++) {
        const struct tdbg_diff_growth_row *row = &g->row[rows[i]];
        printf("  %-*s", width, tdbg_site_label(&r->pair[row->pair].site, label, sizeof label));
        for (int k = 0; k < n; k++)
            print_number(row->relative[at[k]]);
        putchar('\n');
    }
    if (g->n_rows > n_rows && n_rows > 0)
        printf("  (%d of %d tensors; --json has all)\n", n_rows, g->n_rows);
}

void cli_diff_print(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                    const struct tdbg_diff_report *r)
{
    print_about(r);
    print_lists(r);
    if (r->n_steps_a != r->n_steps_b)
        printf("steps: %s has %" PRId64 ", %s has %" PRId64 "; %" PRId64 " are compared\n",
               cli_diff_path(a), r->n_steps_a, cli_diff_path(b), r->n_steps_b, r->n_steps);
    print_split("A", a, &r->split_a);
    print_split("B", b, &r->split_b);
    print_changed(a, b, r);
    if (r->verdict == TDBG_DIFF_SAME && r->bits_step >= 0)
        printf("same within the tolerance: %" PRId64 " steps, %d sites; the bits differ from step "
               "%" PRId64 " on\n",
               r->n_steps, (int)r->n_pairs, r->bits_step);
    else if (r->verdict == TDBG_DIFF_SAME)
        printf("same: %" PRId64 " steps, %d sites\n", r->n_steps, (int)r->n_pairs);
    if (r->has_step)
        print_first(a, b, r);
    if (r->has_step || r->bits_step >= 0)
        print_cost(r);
    print_growth(r);
    if (r->verdict == TDBG_DIFF_CANNOT_JUDGE) {
        printf("cannot judge: %s\n", r->reason);
        if (r->has_step)
            puts("hint: --noise REPEAT.h5, a repeat of A, or --rtol says how much may differ");
    }
}
