/* See child.h. */
#include "tui/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct tdbg_tui_child {
    pid_t pid;
    int out, errors; /* -1: ended */
    int both;        /* epoll(7) of the two */
    bool was_interrupted;
};

/* One end for the child, the other not inherited and without waiting. */
static bool make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return true;
}

static bool watch(int both, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(both, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int spawn(struct tdbg_tui_child *c, const char *const *argv, int out, int errors, int file)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGHUP);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    if (file >= 0) /* last: its number may be that of a pipe here */
        posix_spawn_file_actions_adddup2(&actions, file, TDBG_CHILD_FILE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    const int failed = posix_spawnp(&c->pid, argv[0], &actions, &attributes,
                                    (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

enum tdbg_status tdbg_tui_child_start(const char *const *argv, int file,
                                      struct tdbg_tui_child **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int out_ends[2] = {-1, -1}, error_ends[2] = {-1, -1};
    struct tdbg_tui_child *c = calloc(1, sizeof *c);
    TDBG_FAIL_IF(!c, NO_MEMORY, "no memory for %s", argv[0]);
    c->out = c->errors = -1;
    c->both = epoll_create1(EPOLL_CLOEXEC);
    TDBG_FAIL_IF(c->both < 0 || !make_pipe(out_ends) || !make_pipe(error_ends), IO,
                 "cannot make a pipe: %s", strerror(errno));
    c->out = out_ends[0];
    c->errors = error_ends[0];
    TDBG_FAIL_IF(!watch(c->both, c->out) || !watch(c->both, c->errors), IO,
                 "cannot watch a pipe: %s", strerror(errno));
    const int failed = spawn(c, argv, out_ends[1], error_ends[1], file);
    if (failed)
        c->pid = 0;
    TDBG_FAIL_IF(failed, IO, "cannot run %s: %s", argv[0], strerror(failed));
    *out = c;
    c = NULL;
out:
    close_fd(&out_ends[1]);
    close_fd(&error_ends[1]);
    tdbg_tui_child_destroy(c);
    return st;
}

void tdbg_tui_child_destroy(struct tdbg_tui_child *c)
{
    int ignored;
    if (!c)
        return;
    if (c->pid > 0) {
        kill(c->pid, SIGTERM);
        close_fd(&c->out); /* it must not wait for a reader */
        close_fd(&c->errors);
        while (waitpid(c->pid, &ignored, 0) < 0 && errno == EINTR)
            ;
    }
    close_fd(&c->out);
    close_fd(&c->errors);
    close_fd(&c->both);
    free(c);
}

int tdbg_tui_child_fd(const struct tdbg_tui_child *c)
{
    return c->both;
}

static void read_all(int *fd, struct tdbg_strbuf *to)
{
    char buf[4096];
    ssize_t n = 0;
    while (*fd >= 0 && (n = read(*fd, buf, sizeof buf)) > 0)
        tdbg_strbuf_add(to, buf, (size_t)n);
    if (*fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR)))
        close_fd(fd);
}

bool tdbg_tui_child_read(struct tdbg_tui_child *c, struct tdbg_strbuf *out,
                         struct tdbg_strbuf *errors, int *status)
{
    read_all(&c->out, out);
    read_all(&c->errors, errors);
    if (c->out >= 0 || c->errors >= 0)
        return true;
    while (waitpid(c->pid, status, 0) < 0 && errno == EINTR)
        ;
    c->pid = 0;
    return false;
}

void tdbg_tui_child_interrupt(struct tdbg_tui_child *c)
{
    if (c->pid > 0)
        kill(c->pid, c->was_interrupted ? SIGKILL : SIGINT);
    c->was_interrupted = true;
}
