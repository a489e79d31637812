/* Parsing and printing of a subcommand's arguments. See args.h. */
#include "cli/args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

static const struct cli_option *find_option(const struct cli_option *options, int n,
                                            const char *name, size_t name_len)
{
    for (int i = 0; i < n; i++) {
        bool is_long =
            strlen(options[i].name) == name_len && memcmp(options[i].name, name, name_len) == 0;
        bool is_letter =
            name_len == 2 && name[0] == '-' && options[i].letter && name[1] == options[i].letter;
        if (is_long || is_letter)
            return &options[i];
    }
    return NULL;
}

static enum tdbg_status unknown_option(const struct cli_command *command,
                                       const struct cli_option *options, int n, const char *word,
                                       struct tdbg_err *err)
{
    const char *names[64];
    for (int i = 0; i < n && i < 64; i++)
        names[i] = options[i].name;
    const char *near = tdbg_suggest(word, names, n);
    if (near)
        return TDBG_RAISE(err, USAGE, "unknown option '%s'\nhint: did you mean '%s'?", word, near);
    return TDBG_RAISE(err, USAGE, "unknown option '%s'\nhint: tdbg %s --help lists all", word,
                      command->name);
}

static enum tdbg_status store_value(const struct cli_option *o, const char *value,
                                    struct tdbg_err *err)
{
    if (o->type == CLI_STRING) {
        *(const char **)o->target = value;
    } else if (o->type == CLI_LIST) {
        struct cli_list *list = o->target;
        if (list->n == CLI_MAX_LIST)
            return TDBG_RAISE(err, USAGE, "more than %d times '%s'", CLI_MAX_LIST, o->name);
        list->item[list->n++] = value;
    } else {
        char *end;
        errno = 0;
        long long n = strtoll(value, &end, 10);
        if (errno || end == value || *end || n < o->min || n > o->max)
            return TDBG_RAISE(err, USAGE,
                              "'%s' wants an integer from %" PRId64 " to %" PRId64 ", not '%s'",
                              o->name, o->min, o->max, value);
        *(int64_t *)o->target = n;
    }
    return TDBG_OK;
}

/* One option at argv[*i]; its value is behind '=' or the next word. */
static enum tdbg_status parse_option(const struct cli_command *command,
                                     const struct cli_option *options, int n, int argc, char **argv,
                                     int *i, struct tdbg_err *err)
{
    const char *word = argv[*i];
    bool is_long = strncmp(word, "--", 2) == 0;
    const char *equals = is_long ? strchr(word, '=') : NULL;
    size_t name_len = equals ? (size_t)(equals - word) : is_long ? strlen(word) : 2;
    const struct cli_option *o = find_option(options, n, word, name_len);
    if (!o)
        return unknown_option(command, options, n, word, err);
    const char *value = equals ? equals + 1 : !is_long && word[2] ? word + 2 : NULL;
    if (o->type == CLI_FLAG) {
        if (value)
            return TDBG_RAISE(err, USAGE, "'%s' takes no value", o->name);
        *(bool *)o->target = true;
        return TDBG_OK;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return TDBG_RAISE(err, USAGE, "'%s' wants a value: %s %s", o->name, o->name, o->value);
    return store_value(o, value, err);
}

static void print_help(const struct cli_command *command, const struct cli_option *options,
                       int n_options, FILE *out)
{
    fprintf(out, "%s\n\nExamples:\n%s\nUsage: tdbg %s %s\n\nOptions:\n", command->summary,
            command->examples, command->name, command->usage);
    for (int i = 0; i < n_options; i++) {
        char left[64];
        char letter[8] = "    ";
        if (options[i].letter)
            snprintf(letter, sizeof letter, "-%c, ", options[i].letter);
        snprintf(left, sizeof left, "%s%s%s%s", letter, options[i].name,
                 options[i].value ? " " : "", options[i].value ? options[i].value : "");
        fprintf(out, "  %-27s %s\n", left, options[i].help);
    }
    fprintf(out, "  %-27s %s\n", "-h, --help", "Show this text.");
}

enum tdbg_status cli_parse_args(const struct cli_command *command, const struct cli_option *options,
                                int n_options, int argc, char **argv, const char **words,
                                int max_words, int *n_words, bool *helped, struct tdbg_err *err)
{
    bool only_words = false;
    *n_words = 0;
    *helped = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            print_help(command, options, n_options, stdout);
            *helped = true;
            return TDBG_OK;
        }
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            enum tdbg_status st = parse_option(command, options, n_options, argc, argv, &i, err);
            if (st != TDBG_OK)
                return st;
        } else if (*n_words == max_words) {
            return TDBG_RAISE(err, USAGE, "unexpected argument '%s'\nusage: tdbg %s %s", argv[i],
                              command->name, command->usage);
        } else {
            words[(*n_words)++] = argv[i];
        }
    }
    if (*n_words < max_words - command->n_optional)
        return TDBG_RAISE(err, USAGE, "too few arguments\nusage: tdbg %s %s", command->name,
                          command->usage);
    return TDBG_OK;
}

int cli_fail(struct tdbg_err *err)
{
    const char *text = err->message ? err->message : tdbg_status_text(err->status);
    if (err->status == TDBG_CONFIG && strstr(text, ": error: ")) /* at a place of a file */
        fprintf(stderr, "%s\n", text);
    else
        fprintf(stderr, "tdbg: error: %s\n", text);
    if (err->status == TDBG_DAMAGED)
        fputs("hint: 'tdbg fsck' says what is damaged, 'tdbg recover' gets back what there is\n",
              stderr);
    int code = tdbg_status_exit_code(err->status);
    tdbg_err_clear(err);
    return code;
}
