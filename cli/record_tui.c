/* See record_tui.h. */
#include "cli/record_tui.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "tui/tui.h"

extern char **environ;

enum { LOOK_NS = 20000000 }; /* for the first step of the recording */

struct recorder {
    pid_t pid; /* 0: has ended */
    int status;
    int said; /* what it printed, to be shown when the terminal is gone */
};

static enum tdbg_status start(struct recorder *r, int argc, char **argv, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char program[] = "/proc/self/exe", quiet[] = "-q";
    int n = 0;
    posix_spawn_file_actions_t actions;
    char **words = calloc((size_t)argc + 3, sizeof *words);
    posix_spawn_file_actions_init(&actions);
    r->said = memfd_create("tdbg-record", MFD_CLOEXEC);
    TDBG_FAIL_IF(!words || r->said < 0, NO_MEMORY, "no memory to start the recording");
    words[n++] = program;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--tui") != 0)
            words[n++] = argv[i];
    }
    words[n++] = quiet;
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, r->said, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, r->said, STDERR_FILENO);
    const int failed = posix_spawn(&r->pid, program, &actions, NULL, words, environ);
    if (failed)
        r->pid = 0;
    TDBG_FAIL_IF(failed, IO, "cannot start the recording: %s", strerror(failed));
out:
    posix_spawn_file_actions_destroy(&actions);
    free(words);
    return st;
}

/* Is it still at work? */
static bool runs(struct recorder *r)
{
    if (r->pid > 0 && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
        r->pid = 0;
    return r->pid > 0;
}

static void finish(struct recorder *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGINT);
        kill(r->pid, SIGCONT); /* it may be paused */
        while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
            ;
        r->pid = 0;
    }
}

static void show_said(const struct recorder *r)
{
    char buf[512];
    ssize_t n;
    if (r->said < 0 || lseek(r->said, 0, SEEK_SET) < 0)
        return;
    while ((n = read(r->said, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, stderr);
    close(r->said);
}

/* Until there is a step to show; false: the recording ended before. A trace that was there before
 * is not that of this recording, which has it locked. */
static bool wait_for_steps(struct recorder *r, const char *path)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    for (;;) {
        const bool goes_on = runs(r);
        const bool has_failed = !goes_on && !(WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0);
        struct tdbg_trace *trace = NULL;
        if ((cli_is_recording(path) || !goes_on) && !has_failed &&
            tdbg_trace_open(path, &trace, NULL) == TDBG_OK) {
            tdbg_trace_close(trace);
            return true;
        }
        if (!goes_on)
            return false;
        nanosleep(&pause, NULL);
    }
}

enum tdbg_status cli_record_in_terminal(int argc, char **argv, const char *path, int *exit_code,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct recorder r = {.said = -1};
    TDBG_FAIL_IF(!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO), USAGE,
                 "--tui wants a terminal\nhint: record without it, and look with tdbg replay");
    TDBG_TRY(start(&r, argc, argv, err));
    if (wait_for_steps(&r, path)) {
        const struct tdbg_tui_options options = {
            .session = {.isa = "auto"}, .program = "/proc/self/exe", .recorder = r.pid};
        TDBG_TRY(tdbg_tui_run_following(path, cli_is_recording, &options, err));
    }
out:
    finish(&r);
    show_said(&r);
    if (st == TDBG_OK)
        *exit_code = WIFSIGNALED(r.status) ? 128 + WTERMSIG(r.status) : WEXITSTATUS(r.status);
    return st;
}
