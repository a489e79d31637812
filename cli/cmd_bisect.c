/* tdbg bisect: in one run the first step at which an expression holds, and where it began; between
 * two runs the cause (bisect_two.c). Exit 0: found, 1: not found, 125: cannot judge. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/progress.h"
#include "cli/bisect_git.h"
#include "cli/bisect_two.h"
#include "cli/commands.h"
#include "replay/bisect.h"

struct bisect {
    const char *path, *second; /* second: NULL where there is one run */
    const char *when, *steps, *log_path, *resume, *json_path;
    bool first_difference, git, as_json, quiet;
    FILE *json_file; /* of json_path, NULL: none */
    int64_t max_steps;
    struct cli_execution execution;
    struct tdbg_progress progress; /* started with the first step */
};

static int show_progress(void *context, int64_t done, int64_t total)
{
    struct bisect *b = context;
    if (done == 1)
        tdbg_progress_start(&b->progress, stderr,
                            b->quiet ? TDBG_PROGRESS_QUIET : TDBG_PROGRESS_AUTO, 0, total,
                            tdbg_clock_ns());
    tdbg_progress_update(&b->progress, done, NULL, -1, tdbg_clock_ns());
    return cli_stop_signal();
}

/* --- text --- */

static double largest(const struct tdbg_stats *s)
{
    return s->infs ? INFINITY : fmax(fabs(s->min), fabs(s->max));
}

/* "[3,17]" of an element's number. */
static void print_index(const struct tdbg_site *site, int64_t element)
{
    int64_t index[TDBG_MAX_DIMS];
    for (int32_t d = site->ndim - 1; d >= 0; d--) {
        index[d] = site->dims[d] > 0 ? element % site->dims[d] : 0;
        element = site->dims[d] > 0 ? element / site->dims[d] : 0;
    }
    putchar('[');
    for (int32_t d = 0; d < site->ndim; d++)
        printf("%s%" PRId64, d ? "," : "", index[d]);
    putchar(']');
}

static void print_origin(const struct tdbg_site *sites, const struct tdbg_bisect_report *r)
{
    const struct tdbg_origin *o = &r->origin;
    const struct tdbg_origin_tensor *out = &o->output;
    const struct tdbg_site *site = &sites[out->site];
    char label[TDBG_MAX_SITE_NAME + 40];
    if (!o->is_found) {
        printf("origin: executed again, step %" PRId64 " is finite everywhere: what was recorded "
               "does not come out of it\n",
               o->step);
        return;
    }
    printf("origin: step %" PRId64 ", %s (%s): %" PRIu64 " NaN and %" PRIu64 " Inf of %" PRId64
           "\n",
           o->step, tdbg_site_label(site, label, sizeof label), site->op, out->stats.nans,
           out->stats.infs, out->elems);
    printf("  first ");
    print_index(site, o->element);
    printf(" = %.9g", o->value);
    if (o->sample_id >= 0)
        printf(", sample %" PRId64, o->sample_id);
    putchar('\n');
    if (o->is_first_state)
        puts("  the state that the recording begins with is not finite");
    else if (o->n_inputs > 0)
        puts("  its inputs are all finite:");
    for (int i = 0; i < o->n_inputs; i++)
        printf("    %-40s |max| %.4g\n",
               tdbg_site_label(&sites[o->input[i].site], label, sizeof label),
               largest(&o->input[i].stats));
}

static void print_samples(const struct tdbg_bisect_report *r)
{
    if (r->n_samples > 0)
        printf("samples of step %" PRId64 " with the largest loss:\n", r->step);
    for (int i = 0; i < r->n_samples; i++) {
        printf("  %-8" PRId64 " %.6g", r->sample[i].id, (double)r->sample[i].loss);
        if (!isnan(r->sample[i].share))
            printf("  %.1f %%", 100 * r->sample[i].share);
        if (!isnan(r->sample[i].grad_norm))
            printf("  gradient norm %.4g", r->sample[i].grad_norm);
        putchar('\n');
    }
}

static void print_parts(const char *what, const struct tdbg_bisect_part_of_gradient *part, int n)
{
    for (int i = 0; i < n; i++) {
        printf("%s%s %.4g", i ? ", " : what, part[i].name, part[i].norm);
        if (!isnan(part[i].share))
            printf(" (%.0f %%)", 100 * part[i].share);
    }
    if (n > 0)
        putchar('\n');
}

static void print_text(struct tdbg_trace *trace, const struct tdbg_expr *expr,
                       const struct tdbg_bisect_report *r)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    if (r->is_found && r->step > r->from)
        printf("%s: false at step %" PRId64 ", true at step %" PRId64 "\n", expr->text, r->step - 1,
               r->step);
    else if (r->is_found)
        printf("%s: true at step %" PRId64 ", the first one\n", expr->text, r->step);
    else
        printf("%s: not true at any step from %" PRId64 " to %" PRId64 "\n", expr->text, r->from,
               r->to);
    if (r->is_found && r->before.step >= 0)
        printf("  loss %.9g, before it %.9g\n", (double)r->row.loss, (double)r->before.loss);
    else if (r->is_found)
        printf("  loss %.9g\n", (double)r->row.loss);
    if (r->is_found && r->is_nonfinite && !r->not_executed)
        print_origin(sites, r);
    print_samples(r);
    print_parts("largest gradients, L2: ", r->parameter, r->n_parameters);
    print_parts("  by layer: ", r->layer, r->n_layers);
    if (r->not_executed)
        printf("origin and samples: not looked for: %s\n", r->not_executed);
    if (r->n_unknown > 0)
        printf("no value at %" PRId64 " steps: a site that is asked for is not there\n",
               r->n_unknown);
    printf("judged %" PRId64 " steps: %" PRId64 " from what is recorded, %" PRId64
           " by executing them again; %" PRId64 " steps executed in all\n",
           r->search.read + r->search.reexecuted, r->search.read, r->search.reexecuted,
           r->is_found ? r->steps_executed : r->search.steps_executed);
}

/* --- JSON --- */

static void print_tensor_json(struct tdbg_json *json, const char *key,
                              const struct tdbg_site *sites, const struct tdbg_origin_tensor *t)
{
    const struct tdbg_site *site = &sites[t->site];
    tdbg_json_object_begin(json, key);
    tdbg_json_string(json, "site", site->name);
    tdbg_json_int(json, "lane", site->lane);
    tdbg_json_int(json, "micro", site->micro);
    tdbg_json_string(json, "op", site->op);
    tdbg_json_int(json, "elements", t->elems);
    tdbg_json_double(json, "absmax", largest(&t->stats));
    tdbg_json_int(json, "nans", (int64_t)t->stats.nans);
    tdbg_json_int(json, "infs", (int64_t)t->stats.infs);
    tdbg_json_object_end(json);
}

static void print_origin_json(struct tdbg_json *json, const struct tdbg_site *sites,
                              const struct tdbg_origin *o)
{
    tdbg_json_object_begin(json, "origin");
    tdbg_json_bool(json, "found", o->is_found);
    tdbg_json_int(json, "step", o->step);
    if (o->is_found) {
        tdbg_json_bool(json, "first_state", o->is_first_state);
        tdbg_json_int(json, "element", o->element);
        tdbg_json_double(json, "value", o->value);
        if (o->sample_id >= 0)
            tdbg_json_int(json, "sample", o->sample_id);
        print_tensor_json(json, "output", sites, &o->output);
        tdbg_json_array_begin(json, "inputs");
        for (int i = 0; i < o->n_inputs; i++)
            print_tensor_json(json, NULL, sites, &o->input[i]);
        tdbg_json_array_end(json);
    }
    tdbg_json_object_end(json);
}

static void print_samples_json(struct tdbg_json *json, const struct tdbg_bisect_report *r)
{
    tdbg_json_array_begin(json, "samples");
    for (int i = 0; i < r->n_samples; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_int(json, "id", r->sample[i].id);
        tdbg_json_float(json, "loss", r->sample[i].loss);
        tdbg_json_double(json, "share", r->sample[i].share);
        tdbg_json_double(json, "grad_norm", r->sample[i].grad_norm);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
}

static void print_parts_json(struct tdbg_json *json, const char *key,
                             const struct tdbg_bisect_part_of_gradient *part, int n)
{
    tdbg_json_array_begin(json, key);
    for (int i = 0; i < n; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_string(json, "name", part[i].name);
        tdbg_json_double(json, "norm", part[i].norm);
        tdbg_json_double(json, "share", part[i].share);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
}

static void print_json(struct tdbg_trace *trace, const struct tdbg_expr *expr,
                       const struct tdbg_bisect_report *r, FILE *out)
{
    struct tdbg_json json;
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    tdbg_json_init(&json, out, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "trace", tdbg_trace_path(trace));
    tdbg_json_string(&json, "when", expr->text);
    tdbg_json_int(&json, "from", r->from);
    tdbg_json_int(&json, "to", r->to);
    tdbg_json_bool(&json, "found", r->is_found);
    if (r->is_found) {
        tdbg_json_int(&json, "step", r->step);
        tdbg_json_float(&json, "loss", r->row.loss);
        if (r->before.step >= 0)
            tdbg_json_float(&json, "loss_before", r->before.loss);
        tdbg_json_bool(&json, "nonfinite", r->is_nonfinite);
        if (r->is_nonfinite && !r->not_executed)
            print_origin_json(&json, sites, &r->origin);
        print_samples_json(&json, r);
        print_parts_json(&json, "parameters", r->parameter, r->n_parameters);
        print_parts_json(&json, "layers", r->layer, r->n_layers);
        if (r->not_executed)
            tdbg_json_string(&json, "not_executed", r->not_executed);
    }
    tdbg_json_int(&json, "steps_without_value", r->n_unknown);
    tdbg_json_int(&json, "judged_from_records", r->search.read);
    tdbg_json_int(&json, "judged_by_execution", r->search.reexecuted);
    tdbg_json_int(&json, "steps_executed",
                  r->is_found ? r->steps_executed : r->search.steps_executed);
    tdbg_json_object_end(&json);
    putc('\n', out);
}

/* --- the command --- */

/* Before anything is executed, so that a name that cannot be written costs nobody minutes. */
static enum tdbg_status open_json(struct bisect *b, struct tdbg_err *err)
{
    b->json_file = b->json_path ? fopen(b->json_path, "we") : NULL;
    if (b->json_path && !b->json_file)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", b->json_path, strerror(errno));
    return TDBG_OK;
}

static enum tdbg_status close_json(struct bisect *b, struct tdbg_err *err)
{
    FILE *file = b->json_file;
    b->json_file = NULL;
    if (!file)
        return TDBG_OK;
    const bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", b->json_path, strerror(errno));
    return TDBG_OK;
}

static enum tdbg_status parse(const char *text, struct tdbg_expr **out, struct tdbg_err *err)
{
    struct tdbg_expr_fault fault;
    *out = tdbg_expr_parse(text, &fault);
    if (*out && (*out)->is_condition)
        return TDBG_OK;
    if (*out)
        tdbg_expr_fault_set(&fault, TDBG_USAGE, 1, "compare it, for example loss > 10",
                            "this is a number, but '--when' wants what is true or false");
    const enum tdbg_status st = tdbg_expr_raise(text, &fault, err);
    tdbg_expr_destroy(*out);
    *out = NULL;
    return st;
}

static enum tdbg_status bisect(struct bisect *b, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *trace = NULL;
    struct tdbg_expr *expr = NULL;
    struct tdbg_bisect_report report = {0};
    struct tdbg_bisect_options options = {.session = cli_session_options(&b->execution),
                                          .progress = show_progress,
                                          .progress_context = b};
    TDBG_TRY(parse(b->when ? b->when : "diverges(loss)", &expr, err));
    TDBG_TRY(tdbg_trace_open(b->path, &trace, err));
    cli_warn_unclosed(trace);
    TDBG_TRY(cli_parse_steps(b->steps, trace, &options.from, &options.to, err));
    cli_catch_signals(true);
    st = tdbg_bisect_run(trace, expr, &options, &report, err);
    if (b->progress.out)
        tdbg_progress_finish(&b->progress, tdbg_clock_ns());
    TDBG_TRY(st);
    if (b->as_json)
        print_json(trace, expr, &report, stdout);
    else
        print_text(trace, expr, &report);
    if (b->json_file)
        print_json(trace, expr, &report, b->json_file);
    *exit_code = report.is_found ? 0 : 1;
out:
    tdbg_bisect_clear(&report);
    tdbg_expr_destroy(expr);
    tdbg_trace_close(trace);
    return st;
}

/* Which options go with one run, and which with two. */
static enum tdbg_status check_options(const struct bisect *b, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(
        !b->second && (b->first_difference || b->max_steps > 0 || b->log_path || b->resume), USAGE,
        "--first-difference, --max-steps, --log and --resume want two runs: tdbg bisect "
        "GOOD BAD");
    TDBG_FAIL_IF(b->second && b->steps, USAGE, "--steps wants one run: tdbg bisect TRACE");
    TDBG_FAIL_IF(b->first_difference && b->when, USAGE,
                 "--first-difference and --when are two questions");
    TDBG_FAIL_IF(b->log_path && b->resume, USAGE,
                 "--resume goes on with a log, --log begins a new one");
    TDBG_FAIL_IF(b->git && (b->first_difference || b->max_steps > 0 || b->log_path || b->resume ||
                            b->steps || b->as_json || b->json_path),
                 USAGE, "--git-bisect says good or bad, and goes with --when only");
    TDBG_FAIL_IF(
        b->git && (b->second != NULL) == (b->when != NULL), USAGE,
        "--git-bisect wants either a good trace to compare bits with, or --when\nhint: tdbg "
        "bisect --git-bisect GOOD.h5 train.cfg");
out:
    return st;
}

static enum tdbg_status bisect_two(struct bisect *b, int *exit_code, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cli_bisect_two pair = {.good = b->path,
                                  .bad = b->second,
                                  .first_difference = b->first_difference,
                                  .as_json = b->as_json,
                                  .json_file = b->json_file,
                                  .quiet = b->quiet,
                                  .max_steps = b->max_steps,
                                  .log_path = b->resume ? b->resume : b->log_path,
                                  .resume = b->resume != NULL,
                                  .execution = b->execution};
    if (b->when)
        TDBG_TRY(parse(b->when, &pair.when, err));
    TDBG_TRY(cli_bisect_two(&pair, exit_code, err));
out:
    tdbg_expr_destroy(pair.when);
    return st;
}

/* For `git bisect run` whatever goes wrong is "cannot judge"; signals stay, and stop it. */
static int run_git(struct bisect *b)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct cli_bisect_git git = {.good = b->second ? b->path : NULL,
                                 .bad = b->second ? b->second : b->path,
                                 .execution = b->execution};
    bool is_bad = false;
    TDBG_TRY(check_options(b, err));
    if (b->when)
        TDBG_TRY(parse(b->when, &git.when, err));
    TDBG_TRY(cli_bisect_git(&git, &is_bad, err));
out:
    tdbg_expr_destroy(git.when);
    if (cli_stop_signal()) {
        tdbg_err_clear(err);
        return 128 + cli_stop_signal();
    }
    if (st == TDBG_OK)
        return is_bad;
    cli_fail(err);
    return tdbg_status_exit_code(TDBG_CANNOT_JUDGE);
}

static bool asks_for_git(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--git-bisect") == 0)
            return true;
    }
    return false;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct bisect b = {0};
    bool helped;
    const char *words[2];
    int n_words, exit_code = 0;
    const struct cli_option options[] = {
        {"--when", 0, CLI_STRING, "EXPR", &b.when, 0, 0,
         "What to look for (default: diverges(loss)); docs/expressions.md."},
        {"--steps", 0, CLI_STRING, "A:B", &b.steps, 0, 0,
         "In one run: steps A to B, both included (A: and :B are open ranges; default: all)."},
        {"--first-difference", 0, CLI_FLAG, NULL, &b.first_difference, 0, 0,
         "Of two runs: the cause of the first difference (default where diverges(loss) does not "
         "hold in the bad one alone)."},
        {"--max-steps", 0, CLI_INT, "N", &b.max_steps, 1, INT64_MAX,
         "Of two runs: execute at most so many steps."},
        {"--log", 0, CLI_STRING, "FILE", &b.log_path, 0, 0,
         "Of two runs: write down what each trial gave."},
        {"--resume", 0, CLI_STRING, "FILE", &b.resume, 0, 0,
         "Go on with such a log: what it knows is not executed again."},
        {"--git-bisect", 0, CLI_FLAG, NULL, &b.git, 0, 0,
         "Judge a commit for `git bisect run`: exit 0 where BAD, a config that is run or a trace, "
         "has "
         "the bits of the trace GOOD (or, with one run, where --when does not hold), 1 where not, "
         "125 "
         "where that cannot be told."},
        {"--json", 0, CLI_FLAG, NULL, &b.as_json, 0, 0, "Print JSON (schema 1)."},
        {"--json-file", 0, CLI_STRING, "FILE", &b.json_path, 0, 0,
         "Write the same JSON to a file, beside what is printed."},
        {"--quiet", 'q', CLI_FLAG, NULL, &b.quiet, 0, 0, "No progress."},
        CLI_EXECUTION_OPTIONS(b.execution),
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            words, 2, &n_words, &helped, err));
    if (helped)
        return 0;
    b.path = words[0];
    b.second = n_words > 1 ? words[1] : NULL;
    if (b.git)
        return run_git(&b);
    TDBG_TRY(check_options(&b, err));
    TDBG_TRY(open_json(&b, err));
    TDBG_TRY(b.second ? bisect_two(&b, &exit_code, err) : bisect(&b, &exit_code, err));
    TDBG_TRY(close_json(&b, err));
out:
    close_json(&b, NULL);
    if (st == TDBG_OK)
        return exit_code;
    if (st == TDBG_INTERRUPTED) {
        tdbg_err_clear(err);
        return 128 + cli_stop_signal();
    }
    exit_code = cli_fail(err);
    return asks_for_git(argc, argv) ? tdbg_status_exit_code(TDBG_CANNOT_JUDGE) : exit_code;
}

const struct cli_command cli_bisect = {
    .name = "bisect",
    .summary =
        "Find the cause: of what one run does and another does not, or of what a run does from "
        "a step on.",
    .usage = "GOOD BAD [--when EXPR | --first-difference] [--json]\n"
             "       tdbg bisect TRACE [--when EXPR] [--steps A:B] [--json]\n"
             "       tdbg bisect --git-bisect GOOD BAD | --git-bisect BAD --when EXPR",
    .examples =
        "  tdbg bisect good.h5 bad.h5\n"
        "  tdbg bisect good.cfg bad.cfg\n"
        "  tdbg bisect good.h5 bad.cfg --when 'grad_norm > 1e3' --max-steps 5000 --log b.log\n"
        "  tdbg bisect bad.h5\n"
        "  tdbg bisect bad.h5 --when 'absmax(grad/fc*) > 100 if step > 500'\n"
        "  tdbg bisect bad.h5 --when nan --json\n",
    .n_optional = 1,
    .run = run,
};
