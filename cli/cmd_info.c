/* tdbg info: what a trace is, in text or JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/info_ranks.h"
#include "cli/perplexity.h"
#include "engine/engine.h"

/* What the last step's evaluation found; NaN: there is no such number. */
struct evaluation {
    bool done;
    double loss, accuracy, perplexity;
};

static double read_mean(struct tdbg_trace *trace, int64_t step, const char *name)
{
    struct tdbg_stats stats;
    const int32_t site = tdbg_trace_find_site(trace, name, TDBG_LANE_ALL, TDBG_LANE_ALL);
    if (site < 0 || tdbg_trace_read_stats(trace, step, site, &stats, NULL) != TDBG_OK)
        return NAN;
    return stats.mean;
}

static struct evaluation last_eval(struct tdbg_trace *trace, const struct tdbg_step_row *last)
{
    struct evaluation e = {.loss = NAN, .accuracy = NAN, .perplexity = NAN};
    e.done = last->evaluated &&
             tdbg_trace_find_site(trace, "eval/loss", TDBG_LANE_ALL, TDBG_LANE_ALL) >= 0;
    if (!e.done)
        return e;
    e.loss = read_mean(trace, last->step, "eval/loss");
    e.accuracy = read_mean(trace, last->step, "eval/accuracy"); /* a loss over values has none */
    if (cli_has_perplexity(trace))
        e.perplexity = exp(e.loss);
    return e;
}

static double training_perplexity(struct tdbg_trace *trace, const struct tdbg_step_row *last)
{
    return cli_has_training_perplexity(trace) ? exp((double)last->loss) : NAN;
}

static void print_losses(struct tdbg_trace *trace, const struct tdbg_step_row *last)
{
    const struct evaluation e = last_eval(trace, last);
    const double perplexity = training_perplexity(trace, last);
    printf("loss          %.9g at step %" PRId64, (double)last->loss, last->step);
    if (!isnan(perplexity))
        printf(", perplexity %.6g", perplexity);
    if (e.done)
        printf("\nevaluation    loss %.6g", e.loss);
    if (!isnan(e.perplexity))
        printf(", perplexity %.6g", e.perplexity);
    if (!isnan(e.accuracy))
        printf(", accuracy %.2f %%", 100 * e.accuracy);
    putchar('\n');
}

static void print_losses_json(struct tdbg_trace *trace, const struct tdbg_step_row *last,
                              struct tdbg_json *json)
{
    const struct evaluation e = last_eval(trace, last);
    tdbg_json_float(json, "loss", last->loss);
    tdbg_json_float(json, "perplexity", (float)training_perplexity(trace, last));
    if (!e.done) {
        tdbg_json_null(json, "evaluation");
        return;
    }
    tdbg_json_object_begin(json, "evaluation");
    tdbg_json_float(json, "loss", (float)e.loss);
    tdbg_json_float(json, "accuracy", (float)e.accuracy);
    tdbg_json_float(json, "perplexity", (float)e.perplexity);
    tdbg_json_object_end(json);
}

struct findings {
    struct tdbg_finding *list;
    int64_t n;
};

static bool has_parent(const struct tdbg_run_info *info)
{
    for (int i = 0; i < TDBG_UUID_BYTES; i++) {
        if (info->parent_uuid[i])
            return true;
    }
    return false;
}

static void print_text(const struct tdbg_rank_group *group, struct tdbg_trace *trace,
                       const struct tdbg_step_row *last, const struct tdbg_trace_sizes *sizes,
                       const struct findings *findings, const struct tdbg_vocabulary *vocabulary)
{
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    char uuid[CLI_UUID_TEXT_BYTES], a[32], b[32];
    int32_t n_sites, n_items;
    tdbg_trace_sites(trace, &n_sites);
    tdbg_trace_keyframe_items(trace, &n_items);
    int64_t first = tdbg_trace_first_step(trace), n = tdbg_trace_n_steps(trace);
    printf("trace         %s%s\n", tdbg_trace_path(trace),
           tdbg_trace_is_closed(trace) ? "" : " (not closed: the recording was cut off)");
    printf("run           %s, tdbg %s, ", cli_uuid_text(info->uuid, uuid), info->tdbg_version);
    if (info->numerics_version == TDBG_NUMERICS_FOREIGN)
        puts("recorded by another program");
    else
        printf("numerics version %d\n", (int)info->numerics_version);
    if (has_parent(info))
        printf("goes on from  run %s, at step %" PRId64 "\n",
               cli_uuid_text(info->parent_uuid, uuid), tdbg_trace_first_step(trace));
    printf("config        %s%sas it took effect:\n", info->config_path,
           *info->config_path ? ", " : "");
    for (const char *line = info->config; *line;) {
        int length = (int)strcspn(line, "\n");
        printf("    %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
    printf("steps         %" PRId64 " to %" PRId64 " of %" PRId64 ", batch %" PRId64
           ", epoch %" PRId64 "\n",
           first, first + n - 1, info->planned_steps, info->batch, last->epoch);
    printf("ranks         %d, lanes %d, micro-batches %d\n", (int)info->world_size,
           (int)info->lanes, (int)info->accumulate);
    if (info->world_size > 1)
        cli_info_ranks_print(group);
    printf("seed          %" PRIu64 "\n", info->seed);
    printf("environment   %s\n", info->environment);
    printf("data set      %s\n", info->dataset);
    if (vocabulary->n_tokens > 0)
        printf("vocabulary    %" PRId64 " %s\n", vocabulary->n_tokens,
               tdbg_vocabulary_is_of_characters(vocabulary) ? "characters" : "tokens");
    print_losses(trace, last);
    printf("preset        %s, %d sites, keyframe every %" PRId64 " steps\n", info->preset,
           (int)n_sites, info->keyframe_every);
    if (info->memory_bytes > 0)
        printf("recording     at most %s of memory; a full queue makes the training %s\n",
               tdbg_convert_bytes_text(info->memory_bytes, a, sizeof a),
               strcmp(info->overflow, "drop") == 0 ? "leave values out" : "wait");
    printf("size          %s", tdbg_convert_bytes_text(sizes->file_bytes, a, sizeof a));
    printf(": values %s (raw %s)", tdbg_convert_bytes_text(sizes->values_bytes, a, sizeof a),
           tdbg_convert_bytes_text(sizes->raw_values_bytes, b, sizeof b));
    printf(", %" PRId64 " samples %s (raw %s)", sizes->n_samples,
           tdbg_convert_bytes_text(sizes->samples_bytes, a, sizeof a),
           tdbg_convert_bytes_text(sizes->raw_samples_bytes, b, sizeof b));
    printf(", %" PRId64 " keyframes %s (raw %s)", sizes->n_keyframes,
           tdbg_convert_bytes_text(sizes->keyframe_bytes, a, sizeof a),
           tdbg_convert_bytes_text(sizes->raw_keyframe_bytes, b, sizeof b));
    printf(", digests %s\n", tdbg_convert_bytes_text(sizes->digest_bytes, a, sizeof a));
    for (int64_t i = 0; i < findings->n; i++) {
        const struct tdbg_finding *f = &findings->list[i];
        printf("%s%s %s at step %" PRId64 ", %s: %s\n",
               i == 0 ? "findings      " : "              ", f->severity, f->rule, f->step, f->site,
               f->text);
    }
    printf("chain         %016" PRIx64 "\n", last->chain[TDBG_CHAIN_MAIN]);
}

static void print_findings_json(const struct findings *findings, struct tdbg_json *json)
{
    tdbg_json_array_begin(json, "findings");
    for (int64_t i = 0; i < findings->n; i++) {
        const struct tdbg_finding *f = &findings->list[i];
        tdbg_json_object_begin(json, NULL);
        tdbg_json_int(json, "step", f->step);
        tdbg_json_int(json, "rank", f->rank);
        tdbg_json_string(json, "severity", f->severity);
        tdbg_json_string(json, "rule", f->rule);
        tdbg_json_string(json, "site", f->site);
        tdbg_json_string(json, "text", f->text);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
}

static void print_sites_json(struct tdbg_trace *trace, struct tdbg_json *json)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    tdbg_json_array_begin(json, "sites");
    for (int32_t i = 0; i < n; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_string(json, "name", sites[i].name);
        tdbg_json_string(json, "stage", tdbg_stage_text(sites[i].stage));
        tdbg_json_string(json, "op", sites[i].op);
        tdbg_json_int(json, "lane", sites[i].lane);
        tdbg_json_int(json, "micro", sites[i].micro);
        tdbg_json_string(json, "dtype", tdbg_dtype_text(sites[i].dtype));
        tdbg_json_array_begin(json, "shape");
        for (int32_t d = 0; d < sites[i].ndim; d++)
            tdbg_json_int(json, NULL, sites[i].dims[d]);
        tdbg_json_array_end(json);
        tdbg_json_string(json, "unit", sites[i].unit);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
}

static void print_json(const struct tdbg_rank_group *group, struct tdbg_trace *trace,
                       const struct tdbg_step_row *last, const struct tdbg_trace_sizes *sizes,
                       const struct findings *findings, const struct tdbg_vocabulary *vocabulary)
{
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    char uuid[CLI_UUID_TEXT_BYTES];
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "path", tdbg_trace_path(trace));
    tdbg_json_bool(&json, "closed", tdbg_trace_is_closed(trace));
    tdbg_json_string(&json, "uuid", cli_uuid_text(info->uuid, uuid));
    tdbg_json_string(&json, "parent_uuid",
                     has_parent(info) ? cli_uuid_text(info->parent_uuid, uuid) : NULL);
    tdbg_json_string(&json, "tdbg_version", info->tdbg_version);
    tdbg_json_int(&json, "numerics_version", info->numerics_version);
    tdbg_json_int(&json, "first_step", tdbg_trace_first_step(trace));
    tdbg_json_int(&json, "steps", tdbg_trace_n_steps(trace));
    tdbg_json_int(&json, "planned_steps", info->planned_steps);
    tdbg_json_int(&json, "batch", info->batch);
    tdbg_json_int(&json, "rank", info->rank);
    tdbg_json_int(&json, "world_size", info->world_size);
    tdbg_json_int(&json, "lanes", info->lanes);
    tdbg_json_int(&json, "accumulate", info->accumulate);
    tdbg_json_int(&json, "seed", (int64_t)info->seed);
    tdbg_json_string(&json, "preset", info->preset);
    tdbg_json_int(&json, "keyframe_every", info->keyframe_every);
    tdbg_json_string(&json, "overflow", info->overflow);
    tdbg_json_int(&json, "memory_bytes", info->memory_bytes);
    print_losses_json(trace, last, &json);
    tdbg_json_u64_hex(&json, "chain", last->chain[TDBG_CHAIN_MAIN]);
    tdbg_json_object_begin(&json, "chains");
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        tdbg_json_u64_hex(&json, tdbg_chain_name(c), last->chain[c]);
    tdbg_json_object_end(&json);
    tdbg_json_object_begin(&json, "bytes");
    tdbg_json_int(&json, "file", sizes->file_bytes);
    tdbg_json_int(&json, "values", sizes->values_bytes);
    tdbg_json_int(&json, "values_raw", sizes->raw_values_bytes);
    tdbg_json_int(&json, "samples", sizes->samples_bytes);
    tdbg_json_int(&json, "samples_raw", sizes->raw_samples_bytes);
    tdbg_json_int(&json, "keyframes", sizes->keyframe_bytes);
    tdbg_json_int(&json, "keyframes_raw", sizes->raw_keyframe_bytes);
    tdbg_json_int(&json, "digests", sizes->digest_bytes);
    tdbg_json_object_end(&json);
    tdbg_json_int(&json, "n_keyframes", sizes->n_keyframes);
    tdbg_json_int(&json, "n_samples", sizes->n_samples);
    tdbg_json_string(&json, "config", info->config);
    tdbg_json_string(&json, "config_path", info->config_path);
    tdbg_json_string(&json, "inject", info->inject);
    tdbg_json_string(&json, "environment", info->environment);
    tdbg_json_string(&json, "dataset", info->dataset);
    tdbg_json_int(&json, "vocabulary_tokens", vocabulary->n_tokens);
    tdbg_json_string(&json, "graph", info->graph);
    if (info->world_size > 1)
        cli_info_ranks_json(group, &json);
    print_findings_json(findings, &json);
    print_sites_json(trace, &json);
    tdbg_json_object_end(&json);
    putchar('\n');
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct tdbg_rank_group *group = NULL;
    struct tdbg_step_row last;
    struct tdbg_trace_sizes sizes;
    struct findings findings = {0};
    const struct tdbg_vocabulary *vocabulary;
    const char *path;
    bool as_json = false, helped;
    int n_words;
    const struct cli_option options[] = {
        {"--json", 0, CLI_FLAG, NULL, &as_json, 0, 0, "Print JSON (schema 1)."},
    };
    TDBG_TRY(cli_parse_args(command, options, 1, argc, argv, &path, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_TRY(tdbg_rank_group_open(path, &group, err));
    struct tdbg_trace *trace = group->files[group->asked].trace;
    cli_warn_unclosed(trace);
    int64_t last_step = tdbg_trace_first_step(trace) + tdbg_trace_n_steps(trace) - 1;
    TDBG_TRY(tdbg_trace_read_steps(trace, last_step, 1, &last, err));
    TDBG_TRY(tdbg_trace_read_sizes(trace, &sizes, err));
    TDBG_TRY(tdbg_trace_read_findings(trace, &findings.list, &findings.n, err));
    TDBG_TRY(tdbg_trace_vocabulary(trace, &vocabulary, err));
    if (as_json)
        print_json(group, trace, &last, &sizes, &findings, vocabulary);
    else
        print_text(group, trace, &last, &sizes, &findings, vocabulary);
out:
    free(findings.list);
    tdbg_rank_group_close(group);
    return st == TDBG_OK ? 0 : cli_fail(err);
}

const struct cli_command cli_info = {
    .name = "info",
    .summary =
        "Say what a trace holds: run, ranks, sizes, and the chain that stands for all of its bits.",
    .usage = "TRACE [--json]",
    .examples = "  tdbg info a.h5\n  tdbg info a.h5 --json\n",
    .run = run,
};
