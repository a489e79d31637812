/* tdbg diff: where two traces part. Exit 0: same, 1: different. */
#include <inttypes.h>

#include "cli/commands.h"
#include "replay/diff.h"

static void print_config(const struct tdbg_diff_report *r)
{
    if (r->n_config > 0)
        puts("config:");
    for (int i = 0; i < r->n_config; i++) {
        const struct tdbg_config_difference *c = &r->config[i];
        printf("  %s: %s -> %s\n", c->key, c->a ? c->a : "(not there)",
               c->b ? c->b : "(not there)");
    }
    if (r->data_differs)
        puts("data: the data sets have other fingerprints");
}

static void print_only(const char *which, const char **labels, int32_t n)
{
    enum { SHOWN = 8 };
    if (n == 0)
        return;
    printf("sites only in %s: %d:", which, (int)n);
    for (int32_t i = 0; i < n && i < SHOWN; i++)
        printf(" %s%s", labels[i], i + 1 < n ? "," : "");
    puts(n > SHOWN ? " ..." : "");
}

static const char *path_of(const struct tdbg_rank_group *group)
{
    return group->files[group->first].path;
}

/* "rank 2 of A, " where that is not clear from the lane: one of several differs, or has it. */
static const char *who_text(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                            const struct tdbg_diff_report *r, char buf[64])
{
    const bool of_lane = a->sites[r->site_a].lane >= 0;
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

static void print_text(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                       const struct tdbg_diff_report *r)
{
    char label[TDBG_MAX_SITE_NAME + 40], who[64];
    print_config(r);
    print_only("A", r->only_a, r->n_only_a);
    print_only("B", r->only_b, r->n_only_b);
    if (r->n_steps_a != r->n_steps_b)
        printf("steps: %s has %" PRId64 ", %s has %" PRId64 "; %" PRId64 " are compared\n",
               path_of(a), r->n_steps_a, path_of(b), r->n_steps_b, r->n_steps);
    print_split("A", a, &r->split_a);
    print_split("B", b, &r->split_b);
    if (r->same) {
        printf("same: %" PRId64 " steps, %d sites\n", r->n_steps, (int)r->n_common);
        return;
    }
    if (r->site_a < 0) {
        printf("first difference: step %" PRId64 ", chain %s (no recorded site differs in this "
               "step)\n",
               r->step, tdbg_chain_name(r->chain));
        return;
    }
    const struct tdbg_site *site = &a->sites[r->site_a];
    printf("first difference: step %" PRId64 ", %ssite %s (%s); %" PRId64
           " of %d sites differ in this step\n",
           r->step, who_text(a, b, r, who), tdbg_site_label(site, label, sizeof label), site->op,
           r->n_sites_differ, (int)r->n_common);
    if (r->has_elements)
        tdbg_compare_print(&r->elements, site, "  ", stdout);
    else if (r->elements_missing)
        printf("  values: %s\n", r->elements_missing);
}

static void print_labels_json(struct tdbg_json *json, const char *key, const char **labels,
                              int32_t n)
{
    tdbg_json_array_begin(json, key);
    for (int32_t i = 0; i < n; i++)
        tdbg_json_string(json, NULL, labels[i]);
    tdbg_json_array_end(json);
}

static void print_split_json(const char *key, const struct tdbg_rank_group *group,
                             const struct tdbg_rank_split *split, struct tdbg_json *json)
{
    if (!split->found)
        return;
    tdbg_json_object_begin(json, key);
    tdbg_json_int(json, "step", split->step);
    tdbg_json_string(json, "site", group->sites[split->site].name);
    tdbg_json_string(json, "ranks", split->ranks);
    tdbg_json_object_end(json);
}

static void print_first_json(const struct tdbg_rank_group *a, const struct tdbg_diff_report *r,
                             struct tdbg_json *json)
{
    const struct tdbg_site *site = r->site_a < 0 ? NULL : &a->sites[r->site_a];
    tdbg_json_object_begin(json, "first");
    tdbg_json_int(json, "step", r->step);
    tdbg_json_string(json, "site", site ? site->name : NULL);
    tdbg_json_string(json, "chain", site ? NULL : tdbg_chain_name(r->chain));
    tdbg_json_int(json, "lane", site ? site->lane : -1);
    tdbg_json_int(json, "micro", site ? site->micro : -1);
    if (site) {
        tdbg_json_int(json, "rank_a", r->rank_a);
        tdbg_json_int(json, "rank_b", r->rank_b);
    }
    tdbg_json_int(json, "sites_differ", r->n_sites_differ);
    if (r->has_elements)
        tdbg_compare_print_json(&r->elements, site, "elements", json);
    else if (r->elements_missing)
        tdbg_json_string(json, "elements_missing", r->elements_missing);
    tdbg_json_object_end(json);
}

static void print_json(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                       const struct tdbg_diff_report *r)
{
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "a", path_of(a));
    tdbg_json_string(&json, "b", path_of(b));
    tdbg_json_bool(&json, "same", r->same);
    tdbg_json_int(&json, "steps_compared", r->n_steps);
    tdbg_json_int(&json, "sites_compared", r->n_common);
    tdbg_json_int(&json, "reads", r->n_reads);
    tdbg_json_bool(&json, "data_differs", r->data_differs);
    tdbg_json_array_begin(&json, "config");
    for (int i = 0; i < r->n_config; i++) {
        tdbg_json_object_begin(&json, NULL);
        tdbg_json_string(&json, "key", r->config[i].key);
        tdbg_json_string(&json, "a", r->config[i].a);
        tdbg_json_string(&json, "b", r->config[i].b);
        tdbg_json_object_end(&json);
    }
    tdbg_json_array_end(&json);
    print_labels_json(&json, "only_a", r->only_a, r->n_only_a);
    print_labels_json(&json, "only_b", r->only_b, r->n_only_b);
    print_split_json("ranks_differ_a", a, &r->split_a, &json);
    print_split_json("ranks_differ_b", b, &r->split_b, &json);
    if (!r->same)
        print_first_json(a, r, &json);
    tdbg_json_object_end(&json);
    putchar('\n');
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct cli_run a = {0}, b = {0};
    struct tdbg_diff_report report = {0};
    struct cli_execution execution = {0};
    const char *words[2];
    bool as_json = false, helped;
    int n_words;
    const struct cli_option options[] = {
        {"--json", 0, CLI_FLAG, NULL, &as_json, 0, 0, "Print JSON (schema 1)."},
        CLI_EXECUTION_OPTIONS(execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            words, 2, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(cli_open_run(words[0], &execution, &a, err));
    TDBG_TRY(cli_open_run(words[1], &execution, &b, err));
    TDBG_TRY(tdbg_diff_groups(a.group, b.group, &report, err));
    if (as_json)
        print_json(a.group, b.group, &report);
    else
        print_text(a.group, b.group, &report);
out:
    cli_close_run(&a);
    cli_close_run(&b);
    int code = st != TDBG_OK ? cli_fail(err) : report.same ? 0 : 1;
    tdbg_diff_clear(&report);
    return code;
}

const struct cli_command cli_diff = {
    .name = "diff",
    .summary = "Say where two runs part: config, then the first step, site and element.",
    .usage = "A B [--json]",
    .examples = "  tdbg diff good.h5 bad.h5\n",
    .run = run,
};
