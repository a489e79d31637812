/* Leaving the terminal in order when a signal ends the process: only async-signal-safe calls here.
 * The escape sequences were made ready in terminal.c. */
#include "tui/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static const int fatal[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV,
                            SIGBUS,  SIGFPE, SIGILL, SIGABRT, SIGSYS};
enum { N_FATAL = sizeof fatal / sizeof fatal[0], STACK_BYTES = 64 * 1024 };

static struct tdbg_tui_guard guarded;
static struct termios modes;
static bool has_modes;
static struct sigaction former[N_FATAL];
static stack_t former_stack;
static void *stack;

static void write_all(int fd, const char *text, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = write(fd, text, n_bytes);
        if (n <= 0)
            return;
        text += n;
        n_bytes -= (size_t)n;
    }
}

static void copy_kept_stderr(void)
{
    char buf[512];
    ssize_t n;
    if (guarded.kept_stderr < 0 || lseek(guarded.kept_stderr, 0, SEEK_SET) < 0)
        return;
    while ((n = read(guarded.kept_stderr, buf, sizeof buf)) > 0)
        write_all(guarded.saved_stderr, buf, (size_t)n);
}

static void leave(int number)
{
    write_all(guarded.out_fd, guarded.reset, guarded.reset_bytes);
    if (has_modes)
        tcsetattr(guarded.in_fd, TCSANOW, &modes);
    copy_kept_stderr();
    /* the handler is gone by SA_RESETHAND, so this ends the process with the signal's own status */
    raise(number);
}

void tdbg_tui_terminal_guard(const struct tdbg_tui_guard *guard)
{
    guarded = *guard;
    has_modes = tcgetattr(guard->in_fd, &modes) == 0;
    stack = malloc(STACK_BYTES); /* a stack that overflowed cannot run a handler */
    if (stack) {
        const stack_t alternate = {.ss_sp = stack, .ss_size = STACK_BYTES};
        sigaltstack(&alternate, &former_stack);
    }
}

/* Apart from _guard, because ncurses puts its own handlers in between. */
void tdbg_tui_terminal_arm(void)
{
    struct sigaction action = {.sa_handler = leave,
                               .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_FATAL; i++)
        sigaction(fatal[i], &action, &former[i]);
}

void tdbg_tui_terminal_unguard(void)
{
    for (int i = 0; i < N_FATAL; i++)
        sigaction(fatal[i], &former[i], NULL);
    if (stack) {
        sigaltstack(&former_stack, NULL);
        free(stack);
        stack = NULL;
    }
}
