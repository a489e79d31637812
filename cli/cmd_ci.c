/* tdbg ci: a project's own regression test on bits. Exit 0: same, 1: different, 125: cannot judge.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/ci_train.h"
#include "cli/commands.h"
#include "cli/html.h"
#include "engine/engine.h"

enum { DEFAULT_STEPS = 20 };

enum ci_verdict { CI_SAME, CI_DIFFERS, CI_CANNOT_JUDGE };

struct ci {
    const char *golden_path, *junit;
    bool update, as_json;
    struct cli_list sets;
    struct ci_training training;
    struct tdbg_arena *arena;

    struct ci_golden golden, now;
    struct tdbg_config_difference *config;
    int n_config;
    enum ci_verdict verdict;
    const char *reason; /* of CANNOT_JUDGE */
    int64_t step;       /* the first that differs */
    bool differs[TDBG_CHAIN_COUNT], only_golden[TDBG_CHAIN_COUNT], only_now[TDBG_CHAIN_COUNT];
    int n_only;
};

static const char *verdict_text(const struct ci *c)
{
    static const char *const text[] = {"same", "differs", "cannot judge"};
    return text[c->verdict];
}

static int first_chain(const struct ci *c)
{
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
        if (c->differs[ci_golden_column(i)])
            return ci_golden_column(i);
    }
    return -1;
}

static void judge(struct ci *c, const char *why_not)
{
    c->step = ci_golden_compare(&c->golden, &c->now, c->differs);
    c->n_config = ci_golden_compare_config(&c->golden, &c->now, c->arena, &c->config);
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
        c->only_golden[i] = c->golden.has_chain[i] && !c->now.has_chain[i];
        c->only_now[i] = !c->golden.has_chain[i] && c->now.has_chain[i];
        c->n_only += c->only_golden[i] + c->only_now[i];
    }
    const bool same = c->step < 0 && c->n_only == 0 && c->golden.n_steps == c->now.n_steps;
    c->verdict = same ? CI_SAME : CI_DIFFERS;
    if (same)
        return;
    if (why_not)
        c->reason = why_not;
    if (c->golden.numerics_version != c->now.numerics_version)
        c->reason = tdbg_arena_printf(
            c->arena, "%s was written with numerics version %d, and this tdbg has version %d",
            c->golden_path, (int)c->golden.numerics_version, (int)c->now.numerics_version);
    if (c->reason)
        c->verdict = CI_CANNOT_JUDGE;
}

/* --- text --- */

static void print_names(const char *title, const bool *which)
{
    bool any = false;
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
        if (which[ci_golden_column(i)])
            printf("%s %s", any ? "," : title, tdbg_chain_name(ci_golden_column(i)));
        any |= which[ci_golden_column(i)];
    }
    if (any)
        putchar('\n');
}

static int n_chains(const struct ci *c)
{
    int n = 0;
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++)
        n += c->now.has_chain[i];
    return n;
}

static void print_text(const struct ci *c)
{
    if (c->n_config > 0)
        puts("config:");
    for (int i = 0; i < c->n_config; i++)
        printf("  %s: %s -> %s\n", c->config[i].key,
               c->config[i].a ? c->config[i].a : "(not there)",
               c->config[i].b ? c->config[i].b : "(not there)");
    print_names("chains only in the golden file:", c->only_golden);
    print_names("chains only in this training:", c->only_now);
    if (c->verdict == CI_SAME)
        printf("same: %" PRId64 " steps, %d chains\n", c->now.n_steps, n_chains(c));
    if (c->golden.n_steps != c->now.n_steps)
        printf("steps: %s has %" PRId64 ", this training has %" PRId64 "\n", c->golden_path,
               c->golden.n_steps, c->now.n_steps);
    if (c->step >= 0) {
        const int chain = first_chain(c);
        printf("first difference: step %" PRId64 ", chain %s: %016" PRIx64 " in %s, now %016" PRIx64
               "\n",
               c->step, tdbg_chain_name(chain), c->golden.chain[c->step][chain], c->golden_path,
               c->now.chain[c->step][chain]);
        print_names("chains that differ in this step:", c->differs);
    }
    if (c->verdict == CI_CANNOT_JUDGE)
        printf("cannot judge: %s\n", c->reason);
    if (c->verdict != CI_SAME)
        puts("hint: --update accepts what is computed now; to find the tensor, 'tdbg record' both "
             "versions and 'tdbg diff' the traces");
}

/* --- JSON, JUnit --- */

static void print_names_json(const char *key, const bool *which, struct tdbg_json *json)
{
    tdbg_json_array_begin(json, key);
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
        if (which[ci_golden_column(i)])
            tdbg_json_string(json, NULL, tdbg_chain_name(ci_golden_column(i)));
    }
    tdbg_json_array_end(json);
}

static void print_json(const struct ci *c)
{
    struct tdbg_json json;
    tdbg_json_init(&json, stdout, true);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "golden", c->golden_path);
    tdbg_json_string(&json, "verdict", verdict_text(c));
    tdbg_json_string(&json, "reason", c->reason);
    tdbg_json_int(&json, "steps", c->now.n_steps);
    tdbg_json_int(&json, "golden_steps", c->golden.n_steps);
    tdbg_config_diff_print_json(c->config, c->n_config, "config", "a", "b", &json);
    if (c->step >= 0)
        tdbg_json_int(&json, "step", c->step);
    print_names_json("chains", c->differs, &json);
    print_names_json("only_golden", c->only_golden, &json);
    print_names_json("only_now", c->only_now, &json);
    tdbg_json_object_end(&json);
    putchar('\n');
}

/* One test per chain. A later step may be the first for a chain, but one that differs at all is
 * told with the step of the run, which is where to look. */
static void write_junit(FILE *out, const struct ci *c)
{
    const bool same_length = c->golden.n_steps == c->now.n_steps;
    int n = !same_length, n_bad = !same_length;
    bool fails[TDBG_CHAIN_COUNT];
    for (int i = 0; i < TDBG_CHAIN_COUNT; i++) {
        fails[i] = c->only_golden[i] || c->only_now[i];
        for (int64_t s = 0; s < c->golden.n_steps && s < c->now.n_steps && !fails[i]; s++)
            fails[i] = c->golden.has_chain[i] && c->now.has_chain[i] &&
                       c->golden.chain[s][i] != c->now.chain[s][i];
        n += c->golden.has_chain[i] || c->now.has_chain[i];
        n_bad += fails[i];
    }
    const bool skips = c->verdict == CI_CANNOT_JUDGE;
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"tdbg ci\" tests=\"%d\" "
            "failures=\"%d\" errors=\"0\" skipped=\"%d\">\n",
            n, skips ? 0 : n_bad, skips ? n_bad : 0);
    for (int i = 0; i <= TDBG_CHAIN_COUNT; i++) {
        const int chain = ci_golden_column(i);
        const bool is_length = i == TDBG_CHAIN_COUNT;
        if (is_length ? same_length : !c->golden.has_chain[chain] && !c->now.has_chain[chain])
            continue;
        fputs("  <testcase classname=\"", out);
        cli_html_text(out, c->training.config_path);
        fprintf(out, "\" name=\"%s\"", is_length ? "steps" : tdbg_chain_name(chain));
        if (!is_length && !fails[chain]) {
            fputs("/>\n", out);
            continue;
        }
        fprintf(out, ">\n    <%s message=\"", skips ? "skipped" : "failure");
        if (skips)
            cli_html_text(out, c->reason);
        else if (is_length)
            fprintf(out, "%" PRId64 " steps, not %" PRId64, c->now.n_steps, c->golden.n_steps);
        else if (c->only_golden[chain] || c->only_now[chain])
            fprintf(out, "the chain is only in %s",
                    c->only_now[chain] ? "this training" : "the golden file");
        else
            fprintf(out, "the run differs from step %" PRId64 " on, first in chain %s", c->step,
                    tdbg_chain_name(first_chain(c)));
        fputs("\"/>\n  </testcase>\n", out);
    }
    fputs("</testsuite>\n", out);
}

static enum tdbg_status save_junit(const struct ci *c, struct tdbg_err *err)
{
    FILE *out = fopen(c->junit, "wb");
    if (!out)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", c->junit, strerror(errno));
    write_junit(out, c);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return TDBG_RAISE(err, IO, "cannot write %s: %s", c->junit, strerror(errno));
    return TDBG_OK;
}

/* --- the command --- */

static enum tdbg_status update(struct ci *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *why_not = NULL;
    if (c->training.steps < 0)
        c->training.steps = DEFAULT_STEPS;
    TDBG_TRY(ci_train(&c->training, c->arena, &c->now, &why_not, err));
    if (why_not)
        fprintf(stderr, "tdbg: warning: %s\n", why_not);
    TDBG_TRY(ci_golden_write(c->golden_path, &c->now, c->arena, err));
    fprintf(stderr, "tdbg: %s has %" PRId64 " steps, %d chains\n", c->golden_path, c->now.n_steps,
            n_chains(c));
out:
    return st;
}

static enum tdbg_status check(struct ci *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *why_not = NULL;
    TDBG_TRY(ci_golden_read(c->golden_path, c->arena, &c->golden, err));
    if (c->training.steps < 0)
        c->training.steps = c->golden.n_steps;
    TDBG_TRY(ci_train(&c->training, c->arena, &c->now, &why_not, err));
    judge(c, why_not);
    if (c->as_json)
        print_json(c);
    else
        print_text(c);
    if (c->junit)
        TDBG_TRY(save_junit(c, err));
out:
    return st;
}

static int exit_code(enum tdbg_status st, const struct ci *c, struct tdbg_err *err)
{
    if (st == TDBG_INTERRUPTED && cli_stop_signal()) {
        cli_fail(err);
        return 128 + cli_stop_signal();
    }
    if (st != TDBG_OK)
        return cli_fail(err);
    return c->verdict == CI_SAME      ? 0
           : c->verdict == CI_DIFFERS ? 1
                                      : tdbg_status_exit_code(TDBG_CANNOT_JUDGE);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0}, *err = &fault;
    struct ci c = {.training = {.steps = -1, .threads = -1, .isa = "auto"}, .step = -1};
    bool helped;
    int n_words;
    c.training.sets = &c.sets;
    const struct cli_option options[] = {
        {"--golden", 0, CLI_STRING, "FILE", &c.golden_path, 0, 0,
         "The file of hash chains to compare with (required)."},
        {"--update", 0, CLI_FLAG, NULL, &c.update, 0, 0,
         "Write the golden file from what is computed now."},
        {"--steps", 0, CLI_INT, "N", &c.training.steps, 1, CI_MOST_STEPS,
         "Train so many steps (default: those of the golden file; for a new one 20)."},
        {"--set", 0, CLI_LIST, "KEY=VALUE", &c.sets, 0, 0,
         "Set a key of the config; may be given several times."},
        {"--junit", 0, CLI_STRING, "FILE", &c.junit, 0, 0,
         "Write the result for a CI server, a test per chain."},
        {"--json", 0, CLI_FLAG, NULL, &c.as_json, 0, 0, "Print JSON (schema 1)."},
        {"--device", 0, CLI_STRING, "NAME", &c.training.device, 0, 0,
         "Where to compute: auto, cpu or cuda; never changes a bit."},
        {"--threads", 0, CLI_INT, "N", &c.training.threads, 0, 4096,
         "CPU threads (0 = all); never changes a bit."},
        {"--isa", 0, CLI_STRING, "SET", &c.training.isa, 0, 0,
         "Instruction set: auto, avx512, avx2 or portable; never changes a bit."},
    };
    TDBG_TRY(cli_parse_args(command, options, (int)(sizeof options / sizeof options[0]), argc, argv,
                            &c.training.config_path, 1, &n_words, &helped, err));
    if (helped)
        return 0;
    TDBG_FAIL_IF(!c.golden_path, USAGE, "which golden file? for example: --golden chain.txt");
    TDBG_FAIL_IF(c.update && (c.junit || c.as_json), USAGE,
                 "'--update' compares nothing that '%s' could tell",
                 c.junit ? "--junit" : "--json");
    c.arena = tdbg_arena_create();
    TDBG_FAIL_IF(!c.arena, NO_MEMORY, "no memory for hash chains");
    TDBG_TRY(c.update ? update(&c, err) : check(&c, err));
out:;
    const int code = exit_code(st, &c, err);
    tdbg_arena_destroy(c.arena);
    return code;
}

const struct cli_command cli_ci = {
    .name = "ci",
    .summary = "Train a few steps and compare every bit with a file kept from before.",
    .usage = "CFG --golden FILE [--update] [--steps N] [--junit FILE]",
    .examples = "  tdbg ci train.cfg --golden chain.txt --update\n"
                "  tdbg ci train.cfg --golden chain.txt --junit out.xml\n",
    .run = run,
};
