/* Bisect between two runs, as JSON (schema 1). See bisect_two.h. */
#include "cli/bisect_two.h"

static const char *verdict_text(enum tdbg_cause_verdict verdict)
{
    static const char *const texts[] = {[TDBG_CAUSE_PROVED] = "proved",
                                        [TDBG_CAUSE_ONE_WAY] = "one_way",
                                        [TDBG_CAUSE_NOT_REPRODUCED] = "not_reproduced",
                                        [TDBG_CAUSE_IN_GOOD_TOO] = "in_good_too",
                                        [TDBG_CAUSE_STOPPED] = "stopped"};
    return texts[verdict];
}

static const char *kind_text(enum tdbg_delta_kind kind)
{
    static const char *const texts[] = {
        [TDBG_DELTA_CONFIG] = "config", [TDBG_DELTA_SEED] = "seed",
        [TDBG_DELTA_STATE] = "state",   [TDBG_DELTA_ITEM] = "tensor",
        [TDBG_DELTA_ORDER] = "order",   [TDBG_DELTA_DATA] = "samples",
        [TDBG_DELTA_BATCH] = "batches", [TDBG_DELTA_SAMPLE] = "sample",
        [TDBG_DELTA_RANK] = "rank",     [TDBG_DELTA_CONTRIBUTION] = "contribution",
        [TDBG_DELTA_NONE] = "none"};
    return texts[kind];
}

static void print_contribution(struct tdbg_json *json, const struct tdbg_bisect_runs *runs,
                               const struct tdbg_contribution *one)
{
    static const char *const how[] = {
        [TDBG_CONTRIBUTION_OTHER] = "other",   [TDBG_CONTRIBUTION_BIT] = "bit",
        [TDBG_CONTRIBUTION_ZERO] = "zero",     [TDBG_CONTRIBUTION_STALE] = "stale",
        [TDBG_CONTRIBUTION_SCALED] = "scaled", [TDBG_CONTRIBUTION_MISSING] = "missing"};
    const struct tdbg_site *site = &runs->side[one->side].group->sites[one->site];
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "run", one->side ? "bad" : "good");
    tdbg_json_int(json, "step", one->step);
    tdbg_json_string(json, "site", site->name);
    tdbg_json_int(json, "lane", site->lane);
    tdbg_json_string(json, "how", how[one->how]);
    tdbg_json_int(json, "elements", one->elems);
    tdbg_json_int(json, "differ", one->differ);
    if (one->element >= 0)
        tdbg_json_int(json, "element", one->element);
    if (one->how == TDBG_CONTRIBUTION_BIT)
        tdbg_json_int(json, "bit", one->bit);
    if (one->how == TDBG_CONTRIBUTION_SCALED)
        tdbg_json_float(json, "factor", one->factor);
    tdbg_json_bool(json, "by_digest", one->value != NULL);
    tdbg_json_object_end(json);
}

/* rank -1: the sums. */
static void print_contributions(struct tdbg_json *json, const struct tdbg_bisect_runs *runs, int at)
{
    const struct tdbg_delta *delta = &runs->deltas.item[at];
    tdbg_json_int(json, "rank", delta->rank);
    tdbg_json_array_begin(json, "recorded");
    for (int i = 0; i < runs->contributions.n; i++) {
        const struct tdbg_contribution *one = &runs->contributions.list[i];
        if (one->item == at || runs->deltas.item[one->item].whole == at)
            print_contribution(json, runs, one);
    }
    tdbg_json_array_end(json);
}

static void print_delta(struct tdbg_json *json, const struct tdbg_bisect_runs *runs, int at)
{
    const struct tdbg_delta *delta = &runs->deltas.item[at];
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "name", delta->name);
    tdbg_json_string(json, "kind", kind_text(delta->kind));
    if (delta->kind == TDBG_DELTA_SAMPLE)
        tdbg_json_int(json, "sample", delta->sample);
    if (delta->kind == TDBG_DELTA_RANK || delta->kind == TDBG_DELTA_CONTRIBUTION)
        print_contributions(json, runs, at);
    tdbg_config_diff_print_json(delta->keys, delta->n_keys, "keys", "good", "bad", json);
    tdbg_json_object_end(json);
}

static void print_differences(struct tdbg_json *json, const struct tdbg_bisect_runs *runs)
{
    const struct tdbg_deltas *d = &runs->deltas;
    tdbg_json_int(json, "keys_differ", d->n_keys);
    tdbg_json_array_begin(json, "differences");
    for (int i = 0; i < d->n_wholes; i++)
        print_delta(json, runs, i);
    tdbg_json_array_end(json);
    tdbg_config_diff_print_json(d->idle, d->n_idle, "without_effect", "good", "bad", json);
}

static void print_site(struct tdbg_json *json, const struct tdbg_site *site)
{
    tdbg_json_string(json, "site", site->name);
    tdbg_json_string(json, "stage", tdbg_stage_text(site->stage));
    tdbg_json_string(json, "op", site->op);
    tdbg_json_int(json, "lane", site->lane);
    tdbg_json_int(json, "micro", site->micro);
}

static void print_recorded(struct tdbg_json *json, const char *key, int32_t recorded)
{
    if (recorded < 0)
        tdbg_json_null(json, key);
    else
        tdbg_json_bool(json, key, recorded == 1);
}

static void print_part(struct tdbg_json *json, const struct tdbg_pair_report *r)
{
    const struct tdbg_bisect_part *p = &r->part;
    const int32_t rank = cli_bisect_rank(&r->runs.side[1], p->site.lane);
    tdbg_json_object_begin(json, "first_difference");
    tdbg_json_int(json, "step", p->step);
    print_site(json, &p->site);
    if (rank >= 0)
        tdbg_json_int(json, "rank", rank);
    tdbg_json_int(json, "sites_differ", p->n_differ);
    tdbg_json_int(json, "sites_compared", p->n_sites);
    if (p->has_elements)
        tdbg_compare_print_json(&p->elements, &p->site, "elements", json);
    tdbg_json_bool(json, "inputs_same", p->inputs_same);
    tdbg_json_array_begin(json, "inputs");
    for (int i = 0; i < p->n_inputs; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_string(json, "site", p->input[i].label);
        tdbg_json_bool(json, "in_both", p->input[i].in_both);
        tdbg_json_bool(json, "same", p->input[i].same);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_bool(json, "good_repeats", p->repeats[0]);
    tdbg_json_bool(json, "bad_repeats", p->repeats[1]);
    print_recorded(json, "good_as_recorded", p->recorded[0]);
    print_recorded(json, "bad_as_recorded", p->recorded[1]);
    tdbg_json_object_end(json);
}

/* What of the data order is enough. */
static void print_batches(struct tdbg_json *json, const struct tdbg_bisect_runs *runs,
                          const struct tdbg_cause *c)
{
    static const char *const texts[] = {[TDBG_OUTCOME_FALSE] = "false",
                                        [TDBG_OUTCOME_TRUE] = "true",
                                        [TDBG_OUTCOME_UNRESOLVED] = "unresolved"};
    const struct tdbg_deltas *d = &runs->deltas;
    if (c->n_batches == 0)
        return;
    tdbg_json_object_begin(json, "batches");
    tdbg_json_int(json, "differ_from", d->item[tdbg_deltas_first(d, TDBG_DELTA_ORDER)].step);
    tdbg_json_array_begin(json, "enough");
    for (int i = 0; i < c->n_batches; i++) {
        tdbg_json_array_begin(json, NULL);
        tdbg_json_int(json, NULL, d->item[c->batch[i]].step);
        tdbg_json_int(json, NULL, d->item[c->batch[i]].last);
        tdbg_json_array_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_bool(json, "least", c->is_least);
    tdbg_json_string(json, "changed_back", texts[c->without]);
    tdbg_json_int(json, "changed_back_at", c->without_last);
    tdbg_json_object_end(json);
}

static void print_cause(struct tdbg_json *json, const struct tdbg_pair_report *r)
{
    const struct tdbg_cause_report *c = &r->cause;
    tdbg_json_string(json, "question", r->when ? r->when->text : "first difference");
    tdbg_json_object_begin(json, "cause");
    tdbg_json_string(json, "verdict", verdict_text(c->verdict));
    tdbg_json_int(json, "good_false_to", c->good_last);
    tdbg_json_int(json, "bad_true_at", c->bad_step);
    tdbg_json_array_begin(json, "sets");
    for (int i = 0; i < c->n_causes; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_int(json, "true_at", c->cause[i].step);
        tdbg_json_array_begin(json, "differences");
        for (int k = 0; k < c->cause[i].n; k++)
            print_delta(json, &r->runs, c->cause[i].delta[k]);
        tdbg_json_array_end(json);
        print_batches(json, &r->runs, &c->cause[i]);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_int(json, "without_false_to", c->without_last);
    tdbg_json_int(json, "trials", c->n_trials);
    tdbg_json_int(json, "unresolved", c->n_unresolved);
    tdbg_json_object_end(json);
}

static void print_fault(struct tdbg_json *json, const struct tdbg_pair_report *r)
{
    const struct tdbg_verify_report *f = &r->fault;
    const struct tdbg_bisect_side *side = &r->runs.side[r->faulty];
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(side->group->files[f->rank].trace, &n);
    tdbg_json_object_begin(json, "fault");
    tdbg_json_string(json, "run", r->faulty ? "bad" : "good");
    tdbg_json_int(json, "step", f->step);
    tdbg_json_int(json, "rank", f->rank);
    if (f->site >= 0)
        print_site(json, &sites[f->site]);
    else
        tdbg_json_string(json, "chain", tdbg_chain_name(f->chain));
    if (f->dropped >= 0)
        tdbg_json_int(json, "missing_rank", f->dropped);
    tdbg_json_bool(json, "executed_as_in_the_other", r->fault_is_alone);
    if (f->has_elements && f->site >= 0)
        tdbg_compare_print_json(&f->elements, &sites[f->site], "elements", json);
    tdbg_json_object_end(json);
}

void cli_bisect_two_print_json(const struct tdbg_pair_report *r, FILE *out)
{
    struct tdbg_json json;
    tdbg_json_init(&json, out, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "good", r->runs.side[0].path);
    tdbg_json_string(&json, "bad", r->runs.side[1].path);
    tdbg_json_bool(&json, "same", r->same);
    print_differences(&json, &r->runs);
    if (r->part.is_found)
        print_part(&json, r);
    if (r->split_step >= 0) {
        tdbg_json_string(&json, "question", r->when->text);
        tdbg_json_int(&json, "bad_true_at", r->split_step);
    }
    if (r->has_cause)
        print_cause(&json, r);
    if (r->faulty >= 0)
        print_fault(&json, r);
    tdbg_json_int(&json, "from_step", r->runs.start);
    tdbg_json_int(&json, "steps_executed", r->runs.executed);
    tdbg_json_object_end(&json);
    putc('\n', out);
}
