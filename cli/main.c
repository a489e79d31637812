/* tdbg: finds the subcommand and runs it. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/version.h"
#include "cli/commands.h"
#include "engine/engine_options.h"
#include "recorder/fault.h"
#include "recorder/record_options.h"
#include "tdbg_build.h"
#include "trace/schema.h"
#include "tui/jobs_process.h"

static const struct cli_command *const commands[] = {
    &cli_record, &cli_info, &cli_show, &cli_replay, &cli_diff, &cli_report_command,
    &cli_bisect, &cli_ci,   &cli_pack, &cli_export, &cli_fsck, &cli_recover};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out)
{
    fputs("tdbg records neural-network training and replays it bit for bit.\n\nExamples:\n"
          "  tdbg record train.cfg -o a.h5     train and record\n"
          "  tdbg replay a.h5                  look at it, forward and backward\n"
          "  tdbg replay a.h5 --verify         re-execute it and compare every bit\n"
          "  tdbg diff a.h5 b.h5               where two runs part\n"
          "  tdbg report a.h5 b.h5 -o r.html   the same as a page with plots\n"
          "  tdbg bisect bad.h5                the step at which a run went wrong\n\nCommands:\n",
          out);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n'tdbg help COMMAND' explains one; 'tdbg --help-config' lists every key of train.cfg;\n"
          "'tdbg --version' says what is built in.\n",
          out);
}

static void print_version(void)
{
    printf("tdbg %s\nnumerics version %d, trace schema %d.%d\n"
           "cuda: %s\ncublas: %s\nnccl: %s\nmpi: %s\n",
           TDBG_VERSION, (int)tdbg_engine_numerics_version(), TDBG_SCHEMA_MAJOR, TDBG_SCHEMA_MINOR,
           TDBG_CUDA, TDBG_HAVE_CUDA ? "yes (loaded for engine.math = \"fast\")" : "no",
           TDBG_HAVE_NCCL ? "yes (loaded for ranks on GPUs, engine.comm.backend)" : "no",
           TDBG_HAVE_MPI ? "yes" : "no");
}

static const struct cli_command *find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    const char *near = tdbg_suggest(name, names, N_COMMANDS);
    fprintf(stderr, "tdbg: error: unknown command '%s'\n", name);
    if (near)
        fprintf(stderr, "hint: the most similar command is '%s'\n", near);
    else
        fputs("hint: tdbg --help lists all commands\n", stderr);
    return 2;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        print_version();
        return 0;
    }
    if (strcmp(word, "--help-config") == 0) {
        tdbg_engine_print_options(&tdbg_recorder_options, 1, stdout);
        tdbg_fault_print_options(stdout);
        return 0;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
        (strcmp(word, "help") == 0 && argc == 2)) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(word, "help") == 0) {
        const struct cli_command *command = find_command(argv[2]);
        char *help_argv[] = {argv[2], "--help", NULL};
        return command ? command->run(command, 2, help_argv) : unknown_command(argv[2]);
    }
    const struct cli_command *command = find_command(word);
    return command ? command->run(command, argc - 1, argv + 1) : unknown_command(word);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* numbers stay in the C locale */
    cli_prepare_process();
    tdbg_tui_worker_begin(argc, argv);
    return cli_finish_process(run(argc, argv));
}
