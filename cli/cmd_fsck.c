/* tdbg fsck: reads everything in a trace and says what is damaged. Exit 0: sound, 3: damaged. */
#include <inttypes.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/percent.h"
#include "trace/check_file.h"
#include "trace/rank_group.h"

/* The file of one rank: opened and checked, or what went wrong in that. */
struct rank_file {
    const char *path;
    int32_t rank, rank_wanted; /* that it is of; that it should be of */
    struct tdbg_trace *trace;  /* NULL: it could not be opened */
    struct tdbg_file_check check;
    struct tdbg_err err;
};

static int show_progress(void *context, int64_t done, int64_t total)
{
    cli_percent_show(context, "checking", done, total);
    return cli_stop_signal();
}

static bool is_sound(const struct rank_file *f)
{
    return f->trace && f->check.n_faults == 0;
}

static void print_range(int64_t first, int64_t last)
{
    if (first == last)
        printf("step %" PRId64, first);
    else
        printf("steps %" PRId64 " to %" PRId64, first, last);
}

static void print_fault(const struct rank_file *f, const struct tdbg_file_fault *fault)
{
    int32_t n;
    char label[TDBG_MAX_SITE_NAME + 40];
    fputs("  ", stdout);
    if (fault->n_samples > 0)
        printf("%" PRId64 " samples: ", fault->n_samples);
    if (fault->first_step >= 0) {
        print_range(fault->first_step, fault->last_step);
        fputs(fault->site >= 0 ? ", " : ": ", stdout);
    }
    if (fault->site >= 0)
        printf("site %s: ",
               tdbg_site_label(&tdbg_trace_sites(f->trace, &n)[fault->site], label, sizeof label));
    puts(fault->reason);
}

static void print_executable(const struct tdbg_file_check *check)
{
    enum { SHOWN = 16 };
    fputs("  can be executed again: ", stdout);
    if (check->not_possible)
        printf("no step: %s", check->not_possible);
    else if (check->n_sound == 0)
        fputs("no step", stdout);
    for (int64_t i = 0; i < check->n_sound && i < SHOWN; i++) {
        fputs(i > 0 ? ", " : "", stdout);
        print_range(check->sound[i].first, check->sound[i].last);
    }
    puts(check->n_sound > SHOWN ? ", ..." : "");
}

static void print_text(const struct rank_file *f)
{
    char bytes[32];
    const struct tdbg_file_check *check = &f->check;
    if (!f->trace) {
        printf("%s: damaged: %s\n", f->path, f->err.message);
        return;
    }
    int64_t n_steps = tdbg_trace_n_steps(f->trace);
    printf("%s: %s%s: %" PRId64 " steps, %" PRId64 " values (%s), %" PRId64 " samples\n", f->path,
           is_sound(f) ? "sound" : "damaged", tdbg_trace_is_closed(f->trace) ? "" : ", and cut off",
           n_steps, check->n_values,
           tdbg_convert_bytes_text(check->value_bytes, bytes, sizeof bytes), check->n_samples);
    for (int64_t i = 0; i < check->n_faults; i++)
        print_fault(f, &check->faults[i]);
    if (check->n_more > 0)
        printf("  ... and %" PRId64 " more\n", check->n_more);
    if (check->n_faults == 0)
        return;
    printf("  damaged: %" PRId64 " of %" PRId64 " steps\n", check->damaged_steps, n_steps);
    print_executable(check);
}

static void print_fault_json(const struct rank_file *f, const struct tdbg_file_fault *fault,
                             struct tdbg_json *json)
{
    int32_t n;
    const struct tdbg_site *site =
        fault->site >= 0 ? &tdbg_trace_sites(f->trace, &n)[fault->site] : NULL;
    tdbg_json_object_begin(json, NULL);
    if (fault->first_step >= 0) {
        tdbg_json_int(json, "first_step", fault->first_step);
        tdbg_json_int(json, "last_step", fault->last_step);
    }
    if (site) {
        tdbg_json_string(json, "site", site->name);
        tdbg_json_int(json, "lane", site->lane);
        tdbg_json_int(json, "micro", site->micro);
    }
    if (fault->n_samples > 0)
        tdbg_json_int(json, "samples", fault->n_samples);
    tdbg_json_string(json, "reason", fault->reason);
    tdbg_json_object_end(json);
}

static void print_file_json(const struct rank_file *f, struct tdbg_json *json)
{
    const struct tdbg_file_check *check = &f->check;
    tdbg_json_object_begin(json, NULL);
    tdbg_json_string(json, "path", f->path);
    tdbg_json_int(json, "rank", f->rank);
    tdbg_json_bool(json, "sound", is_sound(f));
    if (!f->trace) {
        tdbg_json_string(json, "error", f->err.message);
        tdbg_json_object_end(json);
        return;
    }
    tdbg_json_bool(json, "closed", tdbg_trace_is_closed(f->trace));
    tdbg_json_int(json, "first_step", tdbg_trace_first_step(f->trace));
    tdbg_json_int(json, "steps", tdbg_trace_n_steps(f->trace));
    tdbg_json_int(json, "values", check->n_values);
    tdbg_json_int(json, "value_bytes", check->value_bytes);
    tdbg_json_int(json, "samples", check->n_samples);
    tdbg_json_int(json, "damaged_steps", check->damaged_steps);
    tdbg_json_array_begin(json, "faults");
    for (int64_t i = 0; i < check->n_faults; i++)
        print_fault_json(f, &check->faults[i], json);
    tdbg_json_array_end(json);
    tdbg_json_int(json, "more_faults", check->n_more);
    tdbg_json_array_begin(json, "executable");
    for (int64_t i = 0; i < check->n_sound; i++) {
        tdbg_json_object_begin(json, NULL);
        tdbg_json_int(json, "first_step", check->sound[i].first);
        tdbg_json_int(json, "last_step", check->sound[i].last);
        tdbg_json_object_end(json);
    }
    tdbg_json_array_end(json);
    if (check->not_possible)
        tdbg_json_string(json, "not_executable", check->not_possible);
    tdbg_json_object_end(json);
}

/* Damage is kept in f; only failures of the machine are failures here. */
static enum tdbg_status check_rank(struct rank_file *f, struct cli_percent *percent,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = tdbg_trace_open(f->path, &f->trace, &f->err);
    if (st != TDBG_OK)
        return tdbg_status_exit_code(st) == 3
                   ? TDBG_OK
                   : tdbg_err_set(err, st, f->err.file, f->err.line, "%s", f->err.message);
    f->rank = tdbg_trace_info(f->trace)->rank;
    st = tdbg_check_file(f->trace, show_progress, percent, &f->check, err);
    cli_percent_clear(percent);
    return st;
}

struct output {
    bool as_json, quiet;
    struct tdbg_json json;
    struct cli_percent percent;
    int64_t n_damaged; /* files */
};

static void print_file(struct output *o, const struct rank_file *f)
{
    o->n_damaged += !is_sound(f);
    if (o->as_json)
        print_file_json(f, &o->json);
    else if (!o->quiet)
        print_text(f);
}

/* A file of another run in the place of a rank's is no file of this trace. */
static enum tdbg_status check_belongs(struct rank_file *f, struct tdbg_trace *trace,
                                      struct tdbg_err *err)
{
    struct tdbg_trace *other = NULL;
    enum tdbg_rank_state state;
    const enum tdbg_status st = tdbg_rank_open(trace, f->rank_wanted, &other, &state, &f->err);
    tdbg_trace_close(other);
    if (st == TDBG_NO_MEMORY)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for %s", f->path);
    if (st == TDBG_OK)
        return TDBG_OK;
    tdbg_trace_close(f->trace);
    f->trace = NULL;
    return TDBG_OK;
}

/* The files of the other ranks, where they are: they may have stayed on other machines. */
static enum tdbg_status check_others(struct output *o, struct tdbg_trace *trace,
                                     struct tdbg_err *err)
{
    const struct tdbg_run_info *info = tdbg_trace_info(trace);
    enum tdbg_status st = TDBG_OK;
    if (info->rank > 0 && !o->as_json && !o->quiet)
        printf("the other %d ranks were not checked: 'tdbg fsck %s' checks all\n",
               (int)info->world_size - 1, tdbg_trace_rank_path(trace, 0));
    for (int32_t r = 1; info->rank == 0 && r < info->world_size && st == TDBG_OK; r++) {
        struct rank_file f = {.path = tdbg_trace_rank_path(trace, r), .rank = r, .rank_wanted = r};
        if (access(f.path, F_OK) != 0) {
            if (!o->as_json && !o->quiet)
                printf("%s: not there, so rank %d was not checked\n", f.path, (int)r);
            continue;
        }
        st = check_rank(&f, &o->percent, err);
        if (st == TDBG_OK && f.trace)
            st = check_belongs(&f, trace, err);
        if (st == TDBG_OK)
            print_file(o, &f);
        tdbg_file_check_clear(&f.check);
        tdbg_trace_close(f.trace);
        tdbg_err_clear(&f.err);
    }
    return st;
}

static enum tdbg_status check_all(struct output *o, const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct rank_file first = {.path = path};
    TDBG_TRY(check_rank(&first, &o->percent, err));
    if (!first.trace && !o->as_json) {
        st = tdbg_err_set(err, first.err.status, first.err.file, first.err.line, "%s",
                          first.err.message);
        goto out;
    }
    if (o->as_json) {
        tdbg_json_init(&o->json, stdout, true);
        tdbg_json_object_begin(&o->json, NULL);
        tdbg_json_int(&o->json, "schema", 1);
        tdbg_json_array_begin(&o->json, "files");
    }
    print_file(o, &first);
    if (first.trace)
        TDBG_TRY(check_others(o, first.trace, err));
    if (o->as_json) {
        tdbg_json_array_end(&o->json);
        tdbg_json_bool(&o->json, "sound", o->n_damaged == 0);
        tdbg_json_object_end(&o->json);
        putchar('\n');
    }
out:
    tdbg_file_check_clear(&first.check);
    tdbg_trace_close(first.trace);
    tdbg_err_clear(&first.err);
    return st;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct output o = {0};
    const char *words[1];
    bool helped;
    int n_words;
    const struct cli_option options[] = {
        {"--json", 0, CLI_FLAG, NULL, &o.as_json, 0, 0, "Print JSON (schema 1)."},
        {"--quiet", 'q', CLI_FLAG, NULL, &o.quiet, 0, 0,
         "Print nothing but errors: the exit code says what was found."},
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            words, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    o.percent.quiet = o.quiet;
    cli_catch_signals(true);
    tdbg_trace_on_damage(NULL); /* it is in the report */
    TDBG_TRY(check_all(&o, words[0], err));
out:
    cli_percent_clear(&o.percent);
    if (st != TDBG_OK)
        return cli_fail(err);
    return o.n_damaged > 0 ? tdbg_status_exit_code(TDBG_DAMAGED) : 0;
}

const struct cli_command cli_fsck = {
    .name = "fsck",
    .summary = "Read everything in a trace, of all ranks, and say what is damaged.",
    .usage = "TRACE [--json] [-q]",
    .examples = "  tdbg fsck run.h5\n",
    .run = run,
};
