/* The `:` language: the same commands typed into the terminal, read from files, and given to
 * `tdbg replay --batch`. One table has their names, arguments and help; :help, Tab and the
 * documentation are made from it.
 *
 * A command answers with a message, or lines for the output screen, and a verdict; what takes time
 * is pending meanwhile, and commands behind it wait. */
#ifndef TDBG_TUI_COMMAND_H
#define TDBG_TUI_COMMAND_H

#include <sys/types.h>

#include "base/strbuf.h"
#include "tui/hunt.h"
#include "tui/line_history.h"
#include "tui/model.h"

struct tdbg_tui_app;
struct tdbg_expr;
struct tdbg_expr_fault;
struct tdbg_tui_child;
struct tdbg_tui_prompt;

enum tdbg_tui_verdict {
    TDBG_VERDICT_DONE,
    TDBG_VERDICT_PENDING,
    TDBG_VERDICT_NONE, /* what was looked for is not there */
    TDBG_VERDICT_FAULT
};

/* The text is the model's message, lines are in app->output. */
struct tdbg_tui_reply {
    enum tdbg_tui_verdict verdict;
    enum tdbg_status status; /* of a fault */
    int column;              /* of the command line, from 1; 0: about no place in it */
    bool has_value;          /* of an expression: */
    double value;
    bool has_lines;
    int exit_code; /* of another program that was run */
};

/* A command line that is done. args points into line, behind the command and spaces. */
struct tdbg_tui_call {
    struct tdbg_tui_app *app;
    const char *line, *args;
};

/* What Tab completes in the arguments. */
enum tdbg_tui_completes {
    TDBG_COMPLETES_NOTHING,
    TDBG_COMPLETES_EXPRESSIONS, /* sites, functions, variables */
    TDBG_COMPLETES_SITES,
    TDBG_COMPLETES_FILES,
    TDBG_COMPLETES_EXPORTS, /* a format, then a file */
    TDBG_COMPLETES_CONFIG,  /* keys of the run's config */
    TDBG_COMPLETES_SETTINGS,
    TDBG_COMPLETES_COMMANDS,
};

struct tdbg_tui_command {
    const char *name, *alias; /* alias: NULL where there is none */
    const char *args;         /* for the help: "STEP[/PHASE[/OP]]" */
    const char *help;
    enum tdbg_tui_completes completes;
    void (*run)(const struct tdbg_tui_call *call);
};
extern const struct tdbg_tui_command tdbg_tui_commands[]; /* ends with a name NULL */

/* Borrowed texts; NULL: there is none. */
struct tdbg_tui_setup {
    pid_t recorder;           /* that trains what is shown; 0: none */
    const char *program;      /* that subcommands are run with */
    const char *trace;        /* that was opened, whatever the rank of the focus */
    const char *history_path; /* of the lines typed */
    const char *keys_path;    /* of bindings */
};

enum { TDBG_COMMANDS_NESTED = 8 }; /* files that source files */

/* A line that waits, and where it comes from ("" typed). */
struct tdbg_tui_command_line {
    struct tdbg_tui_command_line *next;
    char *line, *place;
    int depth;
};

/* What another program is run for: its output, what it finds (bisect: its output, its JSON, and the
 * step that this has), a file that it writes. */
enum tdbg_tui_child_use { TDBG_CHILD_SHOWS, TDBG_CHILD_FINDS, TDBG_CHILD_WRITES };

/* State of the commands. Start with {0}, good, bad and child_json -1. */
struct tdbg_tui_commander {
    struct tdbg_tui_setup setup;
    struct tdbg_tui_line_history history;
    struct tdbg_tui_reply reply;
    struct tdbg_tui_command_line *queue;
    int depth; /* of the file that the command at work comes from; 0: none */

    struct tdbg_tui_hunt hunt; /* of c and C */
    int64_t hunts_left, n_hunted;
    bool hunts_findings; /* there is no breakpoint */
    int hunt_ids[TDBG_HUNT_CONDITIONS];
    char *searched; /* expression of a search or evaluation */
    int64_t search_from, search_to;
    struct tdbg_expr *elements; /* of :x; its only term says which */

    struct tdbg_tui_child *child;
    enum tdbg_tui_child_use child_use;
    char *child_name;
    int child_json;                /* file of its JSON, or -1 */
    struct tdbg_strbuf child_said; /* on its standard error, all of it */
    char *fork;                    /* the file that :whatif writes; or NULL */
    int64_t good, bad;             /* -1: not said */
    char *when;                    /* of the last :bisect */

    char *picture_path; /* that :export waits for the values of */
    int32_t picture_site;
};

/* Reads the history; and the bindings, whose faults are a message. */
void tdbg_tui_commander_setup(struct tdbg_tui_app *app, const struct tdbg_tui_setup *setup);
void tdbg_tui_commander_free(struct tdbg_tui_app *app);

/* Does a line now; one that was typed drops those that wait. The verdict is in
 * app->commander.reply. */
void tdbg_tui_command_do(struct tdbg_tui_app *app, const char *line);

/* Appends a line to those that wait. place: for faults, "cmds:3"; "": none. */
void tdbg_tui_command_queue(struct tdbg_tui_app *app, const char *line, const char *place);

/* Goes on with lines that wait, if none is pending. To be called when something was answered. */
void tdbg_tui_command_go_on(struct tdbg_tui_app *app);

/* Ends what is pending and drops what waits; true: there was something. */
bool tdbg_tui_command_cancel(struct tdbg_tui_app *app);

/* Output of a running program came. */
void tdbg_tui_command_read_child(struct tdbg_tui_app *app);

/* The actions of keys that are short for commands. */
void tdbg_tui_ask_command(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_run_next(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_run_back(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_toggle_condition(struct tdbg_tui_app *app, const char *text); /* to break on */
void tdbg_tui_toggle_break(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_toggle_watch(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_set_mark(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_jump_to_mark(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_undo(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_redo(struct tdbg_tui_app *app, int64_t count, bool has_count);

/* --- for the commands --- */

const struct tdbg_tui_command *tdbg_tui_command_find(const char *name, size_t n_bytes);

/* Verdicts with their message. A fault's column is that of `at`, which points into the line; NULL:
 * it is about no place. hint: NULL or "" for none. */
void tdbg_tui_reply_done(struct tdbg_tui_app *app, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tdbg_tui_reply_none(struct tdbg_tui_app *app, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tdbg_tui_reply_fault(const struct tdbg_tui_call *call, const char *at, const char *hint,
                          const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void tdbg_tui_reply_failed(struct tdbg_tui_app *app, enum tdbg_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The fault of an expression that stands at `at` in the line. */
void tdbg_tui_reply_expression_fault(const struct tdbg_tui_call *call, const char *at,
                                     const struct tdbg_expr_fault *fault);

/* Submits; the command is pending from now on. A fault where nobody does jobs. */
void tdbg_tui_reply_pending(struct tdbg_tui_app *app, const struct tdbg_tui_job *job,
                            void (*answered)(struct tdbg_tui_app *app,
                                             const struct tdbg_tui_answer *answer));

/* A new text for the output screen; _show opens it, or for a verdict the answer screen;
 * _go_to_answer: a verdict is there, and the cursor goes to where it leads. */
struct tdbg_strbuf *tdbg_tui_output_begin(struct tdbg_tui_app *app, const char *title);
void tdbg_tui_output_show(struct tdbg_tui_app *app);
bool tdbg_tui_output_is_shown(const struct tdbg_tui_app *app);
void tdbg_tui_output_go_to_answer(struct tdbg_tui_app *app);

/* Starts `program WORD...` (NULL at the end) in the background; false: it was said why not. */
bool tdbg_tui_start_child(const struct tdbg_tui_call *call, const char *const *words,
                          enum tdbg_tui_child_use use);

/* What the commands are, one function each. */
#define TDBG_TUI_COMMAND_FUNCTIONS(X)                                                              \
    X(goto)                                                                                        \
    X(first)                                                                                       \
    X(last)                                                                                        \
    X(when)                                                                                        \
    X(find)                                                                                        \
    X(print)                                                                                       \
    X(examine)                                                                                     \
    X(mark)                                                                                        \
    X(break)                                                                                       \
    X(tbreak)                                                                                      \
    X(disable)                                                                                     \
    X(enable)                                                                                      \
    X(delete)                                                                                      \
    X(info)                                                                                        \
    X(watch)                                                                                       \
    X(run)                                                                                         \
    X(run_back)                                                                                    \
    X(diff)                                                                                        \
    X(bisect)                                                                                      \
    X(out)                                                                                         \
    X(good)                                                                                        \
    X(bad)                                                                                         \
    X(whatif)                                                                                      \
    X(export)                                                                                      \
    X(save)                                                                                        \
    X(source)                                                                                      \
    X(set)                                                                                         \
    X(help)                                                                                        \
    X(pause)                                                                                       \
    X(resume)                                                                                      \
    X(quit)
#define TDBG_TUI_COMMAND_DECLARE(name) void tdbg_tui_do_##name(const struct tdbg_tui_call *call);
TDBG_TUI_COMMAND_FUNCTIONS(TDBG_TUI_COMMAND_DECLARE)
#undef TDBG_TUI_COMMAND_DECLARE

/* Goes to the first step from .. to at which the expression holds. */
void tdbg_tui_search(struct tdbg_tui_app *app, const char *expression, int64_t from, int64_t to);

/* Tab in the prompt. */
void tdbg_tui_complete(struct tdbg_tui_app *app, struct tdbg_tui_prompt *prompt);

/* The i-th "KEY=VALUE" that :set takes; false: there are no more. */
bool tdbg_tui_setting_text(int i, char *buf, size_t buf_bytes);

/* Commands that make breakpoints, watches, marks, settings and place anew. */
void tdbg_tui_print_state(struct tdbg_tui_app *app, struct tdbg_strbuf *out);

/* "1421/bwd/17" into buf; returns buf: what goto takes. */
enum { TDBG_PLACE_BYTES = 64 };
const char *tdbg_tui_place_text(const struct tdbg_tui_model *model,
                                const struct tdbg_tui_focus *focus, char buf[TDBG_PLACE_BYTES]);

/* The whole focus goes there, as far as it is in this trace. */
void tdbg_tui_app_go_to(struct tdbg_tui_app *app, const struct tdbg_tui_focus *focus);

#endif
