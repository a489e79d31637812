/* Command-line arguments of a subcommand: one declarative table that parses them and prints --help.
 */
#ifndef TDBG_CLI_ARGS_H
#define TDBG_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum cli_arg_type {
    CLI_FLAG,   /* bool * */
    CLI_STRING, /* const char ** */
    CLI_INT,    /* int64_t *: min .. max */
    CLI_LIST,   /* struct cli_list *: may be given several times */
};

enum { CLI_MAX_LIST = 256 };
struct cli_list {
    const char *item[CLI_MAX_LIST];
    int n;
};

struct cli_option {
    const char *name; /* "--steps" */
    char letter;      /* 'o', or 0 */
    enum cli_arg_type type;
    const char *value; /* what the help calls its value: "N" */
    void *target;
    int64_t min, max; /* CLI_INT */
    const char *help;
};

struct cli_command {
    const char *name;
    const char *summary;  /* one line, for `tdbg --help` */
    const char *usage;    /* "CFG [-o FILE] ..." */
    const char *examples; /* lines that open the help */
    int n_optional;       /* of its words the last so many may be left out */
    /* Runs with argv[0] = the command's name; returns a process exit code. */
    int (*run)(const struct cli_command *command, int argc, char **argv);
};

/* Parses argv[1..] into the options' targets; what is no option goes to words (at most max_words).
 * --help prints the help to stdout and sets *helped. Errors: TDBG_USAGE with a suggestion. */
enum tdbg_status cli_parse_args(const struct cli_command *command, const struct cli_option *options,
                                int n_options, int argc, char **argv, const char **words,
                                int max_words, int *n_words, bool *helped, struct tdbg_err *err);

/* "tdbg: error: message" on stderr, err cleared, its exit code returned. A config error carries its
 * own "file:line: error:" and is printed as it is. */
int cli_fail(struct tdbg_err *err);

#endif
