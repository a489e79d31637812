/* tdbg diff for programs. See diff_print.h. */
#include <math.h>

#include "cli/diff_print.h"

static void print_texts(const char *key, const char **texts, int32_t n, struct tdbg_json *json)
{
    tdbg_json_array_begin(json, key);
    for (int32_t i = 0; i < n; i++)
        tdbg_json_string(json, NULL, texts[i]);
    tdbg_json_array_end(json);
}

static void print_split(const char *key, const struct tdbg_rank_group *group,
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

static void print_first(const struct tdbg_diff_report *r, struct tdbg_json *json)
{
    const struct tdbg_site *site = r->at < 0 ? NULL : &r->pair[r->at].site;
    tdbg_json_object_begin(json, "first");
    tdbg_json_int(json, "step", r->step);
    tdbg_json_string(json, "site", site ? site->name : NULL);
    tdbg_json_string(json, "chain", site || r->has_changed ? NULL : tdbg_chain_name(r->chain));
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
    if (!isnan(r->allowed))
        tdbg_json_double(json, "allowed_by_noise", r->allowed);
    tdbg_json_object_end(json);
}

static void print_within(const struct tdbg_diff_report *r, struct tdbg_json *json)
{
    tdbg_json_object_begin(json, "tolerance");
    tdbg_json_int(json, "bits_differ_from_step", r->bits_step);
    tdbg_json_int(json, "tensors_compared", r->n_compared);
    tdbg_json_int(json, "tensors_unknown", r->n_unknown);
    tdbg_json_string(json, "unknown_why", r->unknown_why);
    tdbg_json_int(json, "steps_executed", r->steps_executed);
    tdbg_json_object_end(json);
}

static void print_deep(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                       const struct tdbg_diff_report *r, struct tdbg_json *json)
{
    const struct tdbg_diff_changed *c = &r->changed;
    const struct tdbg_rank_group *g = c->in_b ? b : a;
    tdbg_json_object_begin(json, "deep");
    tdbg_json_int(json, "values_read", r->n_read_deep);
    if (r->has_changed) {
        tdbg_json_object_begin(json, "changed");
        tdbg_json_string(json, "file", g->files[c->rank].path);
        tdbg_json_string(json, "in", c->in_b ? "b" : "a");
        tdbg_json_int(json, "step", c->step);
        tdbg_json_int(json, "rank", c->rank);
        tdbg_json_string(json, "site", g->sites[c->site].name);
        tdbg_json_int(json, "lane", g->sites[c->site].lane);
        tdbg_json_int(json, "micro", g->sites[c->site].micro);
        tdbg_json_object_end(json);
    }
    tdbg_json_object_end(json);
}

static void print_doubles(const char *key, const double *values, int n, struct tdbg_json *json)
{
    tdbg_json_array_begin(json, key);
    for (int i = 0; i < n; i++)
        tdbg_json_double(json, NULL, values[i]);
    tdbg_json_array_end(json);
}

static void print_growth(const struct tdbg_diff_report *r, struct tdbg_json *json)
{
    const struct tdbg_diff_growth *g = &r->growth;
    tdbg_json_object_begin(json, "growth");
    tdbg_json_array_begin(json, "steps");
    for (int i = 0; i < g->n_steps; i++)
        tdbg_json_int(json, NULL, g->step[i]);
    tdbg_json_array_end(json);
    print_doubles("loss_a", g->loss_a, g->n_steps, json);
    print_doubles("loss_b", g->loss_b, g->n_steps, json);
    tdbg_json_array_begin(json, "sites");
    for (int k = 0; k < g->n_rows; k++) {
        const struct tdbg_site *site = &r->pair[g->row[k].pair].site;
        tdbg_json_object_begin(json, NULL);
        tdbg_json_string(json, "site", site->name);
        tdbg_json_int(json, "lane", site->lane);
        tdbg_json_int(json, "micro", site->micro);
        print_doubles("relative", g->row[k].relative, g->n_steps, json);
        print_doubles("largest", g->row[k].largest, g->n_steps, json);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_int(json, "sites_left_out", g->n_left_out);
    tdbg_json_object_end(json);
}

void cli_diff_print_json(const struct tdbg_rank_group *a, const struct tdbg_rank_group *b,
                         const struct tdbg_diff_report *r)
{
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "a", cli_diff_path(a));
    tdbg_json_string(&json, "b", cli_diff_path(b));
    tdbg_json_bool(&json, "same", r->verdict == TDBG_DIFF_SAME);
    tdbg_json_string(&json, "verdict", cli_diff_verdict_text(r->verdict));
    tdbg_json_string(&json, "reason", r->verdict == TDBG_DIFF_CANNOT_JUDGE ? r->reason : NULL);
    tdbg_json_int(&json, "steps_compared", r->n_steps);
    tdbg_json_int(&json, "sites_compared", r->n_pairs);
    tdbg_json_int(&json, "sites_by_name", r->n_by_name);
    tdbg_json_int(&json, "sites_by_parts", r->n_by_parts);
    tdbg_json_int(&json, "sites_renamed", r->n_by_place);
    tdbg_json_int(&json, "reads", r->n_reads);
    tdbg_json_int(&json, "chain_reads", r->n_chain_reads);
    tdbg_json_bool(&json, "data_differs", r->data_differs);
    tdbg_config_diff_print_json(r->config, r->n_config, "config", "a", "b", &json);
    tdbg_config_diff_print_json(r->environment, r->n_environment, "environment", "a", "b", &json);
    tdbg_config_diff_print_json(r->run, r->n_run, "run", "a", "b", &json);
    tdbg_config_diff_print_json(r->data, r->n_data, "data", "a", "b", &json);
    print_texts("notes", r->notes, r->n_notes, &json);
    print_texts("renamed", r->renamed, r->n_renamed, &json);
    print_texts("only_a", r->only_a, r->n_only_a, &json);
    print_texts("only_b", r->only_b, r->n_only_b, &json);
    print_texts("reshaped", r->reshaped, r->n_reshaped, &json);
    print_split("ranks_differ_a", a, &r->split_a, &json);
    print_split("ranks_differ_b", b, &r->split_b, &json);
    if (r->has_step)
        print_first(r, &json);
    if (r->is_within)
        print_within(r, &json);
    if (r->is_deep)
        print_deep(a, b, r, &json);
    if (r->growth.n_steps > 0)
        print_growth(r, &json);
    tdbg_json_object_end(&json);
    putchar('\n');
}
