/* The subcommands, one file each, and what several of them share. */
#ifndef TDBG_CLI_COMMANDS_H
#define TDBG_CLI_COMMANDS_H

#include "cli/args.h"
#include "replay/session.h"
#include "trace/reader.h"

struct tdbg_backend;

extern const struct cli_command cli_record, cli_info, cli_show, cli_replay, cli_diff, cli_pack,
    cli_export, cli_recover, cli_fsck, cli_bisect, cli_report_command, cli_ci;

/* The options of a command that re-executes. */
struct cli_execution {
    const char *device; /* NULL: "cpu" */
    const char *isa;    /* "auto" */
    int64_t threads;    /* 0: all */
};
#define CLI_EXECUTION_OPTIONS(execution)                                                           \
    {"--device",                                                                                   \
     0,                                                                                            \
     CLI_STRING,                                                                                   \
     "NAME",                                                                                       \
     &(execution).device,                                                                          \
     0,                                                                                            \
     0,                                                                                            \
     "Where to execute: cpu (default), cuda or auto; never changes a bit."},                       \
        {"--threads",          0, CLI_INT, "N",                                                    \
         &(execution).threads, 0, 4096,    "CPU threads (0 = all); never changes a bit."},         \
    {                                                                                              \
        "--isa", 0, CLI_STRING, "SET", &(execution).isa, 0, 0,                                     \
            "Instruction set: auto, avx512, avx2 or portable; never changes a bit."                \
    }
struct tdbg_session_options cli_session_options(const struct cli_execution *execution);

/* Before and after a command. A process may be started without standard files, and what it opens
 * next must not take their place; `finish` says where the standard output could not be written
 * (a full disk), and returns the exit code. */
void cli_prepare_process(void);
int cli_finish_process(int code);

/* Ctrl-C and SIGTERM: after cli_catch_signals() the first one is only remembered, and
 * cli_stop_signal() returns it (0: none so far); the second one ends the process at once. tells:
 * the first one is answered on stderr. */
void cli_catch_signals(bool tells);
int cli_stop_signal(void);
bool cli_keep_signal(void); /* SIGUSR1 came: what is in the window of a recording is to be kept */

/* An open trace with a recompute function, and what closes both. */
struct cli_trace {
    struct tdbg_trace *trace;
    struct tdbg_recompute *recompute;
};
enum tdbg_status cli_open_trace(const char *path, const struct cli_execution *execution,
                                struct cli_trace *out, struct tdbg_err *err);

/* The same for the file of a rank of the run that the trace at `path` belongs to: rank -1 is that
 * of the lane, lane -1 the file itself. */
enum tdbg_status cli_open_rank(const char *path, int64_t rank, int64_t lane,
                               const struct cli_execution *execution, struct cli_trace *out,
                               struct tdbg_err *err);
#define CLI_RANK_OPTION(rank)                                                                      \
    {                                                                                              \
        "--rank", 0, CLI_INT, "R", &(rank), 0, INT32_MAX,                                          \
            "Of this rank (default: the rank of the file)."                                        \
    }

/* The files of all ranks of a run, each with a recompute function. Files of another run are
 * TDBG_NO_TRACE; what is missing is left out, with a warning on stderr. */
struct cli_run {
    struct tdbg_rank_group *group;
    struct tdbg_recompute **recompute; /* (world_size) */
};
enum tdbg_status cli_open_run(const char *path, const struct cli_execution *execution,
                              struct cli_run *out, struct tdbg_err *err);
void cli_close_run(struct cli_run *ranks);
void cli_close_trace(struct cli_trace *trace);

/* Steps A .. B of "A:B", "A:", ":B" or ":", both inclusive; text NULL: all. TDBG_USAGE says what is
 * wrong with a range that the trace does not have. */
enum tdbg_status cli_parse_steps(const char *text, const struct tdbg_trace *trace, int64_t *from,
                                 int64_t *to, struct tdbg_err *err);

/* Refuses an output that is no regular file or is being recorded; and, unless `force`, one that
 * exists. */
enum tdbg_status cli_check_output(const char *path, bool force, struct tdbg_err *err);

/* Does a writer have the file? It holds its lock for as long as it writes. */
bool cli_is_recording(const char *path);

/* A warning on stderr when the recording was cut off. */
void cli_warn_unclosed(const struct tdbg_trace *trace);

/* Warns, once, where a GPU is slower than it should be. */
void cli_warn_device(const struct tdbg_engine *engine, bool *told);

/* Environment of this process as JSON text, for the trace; free() it. device computes, host (NULL
 * or the same) adds what ranks contribute. local_rank: -1, none; nccl: the version that carries
 * what ranks contribute; 0: something else does. */
char *cli_environment_json(const struct tdbg_backend *device, const struct tdbg_backend *host,
                           int local_rank, int nccl);

/* UUID as text. */
enum { CLI_UUID_TEXT_BYTES = 37 };
const char *cli_uuid_text(const uint8_t uuid[TDBG_UUID_BYTES], char buf[CLI_UUID_TEXT_BYTES]);

#endif
