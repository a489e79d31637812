/* The terminal's end of the worker. See jobs_process.h. */
#include "tui/jobs_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "tui/job_copy.h"
#include "tui/jobs_wire.h"
#include "tui/jobs_worker.h"

static const int64_t show_after_ns = 100000000;  /* a job's progress */
static const int64_t kill_after_ns = 1000000000; /* a cancelled job that does not end */

struct process_jobs {
    char *path, *device, *isa;
    char threads[16], states[16];
    struct tdbg_tui_job_list queue;

    pid_t pid;         /* of the worker; -1: none */
    int socket, said;  /* said: what it wrote to its standard error; -1 without worker */
    int events, timer; /* events: an epoll of socket and timer, the fd of the table */
    int64_t sent;      /* job that the worker is at; 0: none */
    bool sent_is_cancelled;
    bool has_begun; /* it has said so of that job */
    int64_t resent; /* the job that was sent to a second worker, as the first died before it */
    int64_t asked_ns, sent_ns, cancelled_ns; /* asked: the last job */
    bool has_progress;
    struct tdbg_tui_job_progress progress;

    /* What the last answer points to. */
    struct tdbg_wire_answer packet;
    int fd;
    void *payload; /* mapped; NULL: none */
    size_t payload_bytes;
    struct tdbg_strbuf failure;
};

static void set_timer(struct process_jobs *j, int64_t after_ns)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = after_ns / 1000000000, .tv_nsec = after_ns % 1000000000}};
    timerfd_settime(j->timer, 0, &when, NULL);
}

static void drop_answer(struct process_jobs *j)
{
    if (j->payload)
        munmap(j->payload, j->payload_bytes);
    if (j->fd >= 0)
        close(j->fd);
    tdbg_strbuf_free(&j->failure);
    j->payload = NULL;
    j->fd = -1;
}

/* --- the process --- */

/* The file actions run in this order, and the numbers are above those that they become. */
static int spawn(struct process_jobs *j, int socket, int said, pid_t *pid)
{
    char name[] = "tdbg", word[] = TDBG_WORKER_WORD;
    char *argv[TDBG_WORKER_ARGC + 1] = {name,   word,       j->path,   j->device,
                                        j->isa, j->threads, j->states, NULL};
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, socket, TDBG_WIRE_SOCKET);
    const int fault = posix_spawn(pid, "/proc/self/exe", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return fault;
}

static bool start_worker(struct process_jobs *j)
{
    int ends[2] = {-1, -1};
    enum { ABOVE = 10 };
    const int said = memfd_create("tdbg-worker", MFD_CLOEXEC);
    int fault = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0;
    const int high_said = fcntl(said, F_DUPFD_CLOEXEC, ABOVE);
    const int high_end = fcntl(ends[1], F_DUPFD_CLOEXEC, ABOVE);
    if (!fault && high_said >= 0 && high_end >= 0)
        fault = spawn(j, high_end, high_said, &j->pid);
    else
        fault = EMFILE;
    struct epoll_event readable = {.events = EPOLLIN};
    if (fault || epoll_ctl(j->events, EPOLL_CTL_ADD, ends[0], &readable) != 0) {
        tdbg_strbuf_free(&j->failure);
        tdbg_strbuf_printf(&j->failure, "cannot start the process that computes values: %s",
                           strerror(fault ? fault : ENOMEM));
        j->pid = fault ? -1 : j->pid;
        close(ends[0]);
        close(said);
    } else {
        j->socket = ends[0];
        j->said = said;
    }
    close(ends[1]);
    close(high_said);
    close(high_end);
    return j->socket >= 0;
}

/* The last line that the worker wrote, without its end, into buf. */
static void last_words(const struct process_jobs *j, char *buf, size_t buf_bytes)
{
    const off_t end = lseek(j->said, 0, SEEK_END);
    const off_t from = end > (off_t)buf_bytes - 1 ? end - (off_t)buf_bytes + 1 : 0;
    const ssize_t n = end > 0 ? pread(j->said, buf, buf_bytes - 1, from) : 0;
    buf[n > 0 ? n : 0] = 0;
    for (size_t last = strlen(buf); last > 0 && buf[last - 1] == '\n';)
        buf[--last] = 0;
    const char *line = strrchr(buf, '\n');
    if (line)
        memmove(buf, line + 1, strlen(line + 1) + 1);
}

static void describe_end(struct process_jobs *j, int status)
{
    char words[400];
    last_words(j, words, sizeof words);
    tdbg_strbuf_free(&j->failure);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        tdbg_strbuf_puts(&j->failure, "the process that computes values was killed (out of "
                                      "memory?); the next request starts another");
    else if (WIFSIGNALED(status))
        tdbg_strbuf_printf(&j->failure, "the process that computes values ended by signal %d (%s)",
                           WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        tdbg_strbuf_printf(&j->failure, "the process that computes values ended with code %d",
                           WEXITSTATUS(status));
    if (*words)
        tdbg_strbuf_printf(&j->failure, ": %s", words);
}

/* It is gone, or has to go: who died already, or has closed the socket because it dies, does so of
 * what it died of. */
static void end_worker(struct process_jobs *j)
{
    int status = 0;
    if (j->pid > 0) {
        kill(j->pid, SIGKILL);
        while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (j->socket >= 0) {
        epoll_ctl(j->events, EPOLL_CTL_DEL, j->socket, NULL);
        close(j->socket);
    }
    if (j->said >= 0)
        describe_end(j, status);
    if (j->said >= 0)
        close(j->said);
    j->pid = -1;
    j->socket = j->said = -1;
    j->sent = 0;
    j->has_progress = false;
}

/* --- jobs --- */

static bool send_job(struct process_jobs *j, const struct tdbg_tui_waiting *w)
{
    struct tdbg_strbuf packet = {0};
    const struct tdbg_wire_job head = {.wire = TDBG_WIRE_JOB, .id = w->id, .job = w->job};
    tdbg_strbuf_add(&packet, (const char *)&head, sizeof head);
    for (int i = 0; i < w->job.n_expressions; i++)
        tdbg_strbuf_add(&packet, w->job.expression[i], strlen(w->job.expression[i]) + 1);
    bool sent = packet.n_bytes <= sizeof head + TDBG_WIRE_MOST_TEXTS;
    if (!sent)
        tdbg_strbuf_printf(&j->failure, "the expressions are too long: %zu bytes, at most %d",
                           packet.n_bytes - sizeof head, (int)TDBG_WIRE_MOST_TEXTS);
    else if (!tdbg_wire_send(j->socket, packet.text, packet.n_bytes, -1)) {
        end_worker(j);
        sent = false;
    }
    tdbg_strbuf_free(&packet);
    return sent;
}

/* false: it cannot be; j->failure says why. */
static bool start_next(struct process_jobs *j)
{
    const bool was_there = j->socket >= 0;
    if (!was_there && !start_worker(j))
        return false;
    bool sent = send_job(j, j->queue.first);
    if (!sent && was_there && j->socket < 0) /* it had died while it had nothing to do */
        sent = start_worker(j) && send_job(j, j->queue.first);
    if (!sent)
        return false;
    j->sent = j->queue.first->id;
    j->sent_is_cancelled = false;
    j->has_begun = false;
    j->has_progress = false;
    j->sent_ns = tdbg_clock_ns();
    set_timer(j, show_after_ns);
    return true;
}

static int64_t submit(void *context, const struct tdbg_tui_job *job)
{
    struct process_jobs *j = context;
    const int64_t id = tdbg_tui_job_list_add(&j->queue, job);
    j->asked_ns = tdbg_clock_ns();
    if (j->sent == 0)
        start_next(j); /* else, or where it fails, take() does it */
    else if (j->sent_is_cancelled)
        set_timer(j, show_after_ns); /* it waits for the end of that one */
    return id;
}

static void cancel(void *context, int64_t id)
{
    struct process_jobs *j = context;
    drop_answer(j);
    tdbg_tui_job_list_drop(&j->queue, id);
    if (id == 0 || id != j->sent || j->sent_is_cancelled)
        return;
    const struct tdbg_wire_job packet = {.wire = TDBG_WIRE_CANCEL, .id = id};
    tdbg_wire_send(j->socket, &packet, sizeof packet, -1);
    j->sent_is_cancelled = true;
    j->cancelled_ns = tdbg_clock_ns();
    set_timer(j, kill_after_ns);
}

/* What the worker sent is what this program sends, but a file may not be what was promised. */
static bool map_payload(struct process_jobs *j)
{
    struct stat file;
    const struct tdbg_wire_answer *p = &j->packet;
    if (p->payload_bytes == 0)
        return true;
    if (j->fd < 0 || fstat(j->fd, &file) != 0 || file.st_size < p->payload_bytes)
        return false;
    j->payload_bytes = (size_t)p->payload_bytes;
    void *at = mmap(NULL, j->payload_bytes, PROT_READ, MAP_SHARED, j->fd, 0);
    j->payload = at == MAP_FAILED ? NULL : at;
    return j->payload != NULL;
}

static void fill_answer(struct process_jobs *j, struct tdbg_tui_answer *out)
{
    const struct tdbg_wire_answer *p = &j->packet;
    *out = p->answer;
    out->message = *p->message ? p->message : NULL;
    out->values = NULL;
    out->stats = NULL;
    out->origin = p->has_origin ? &p->origin : NULL;
    out->parting = p->has_parting ? &p->parting : NULL;
    out->fd = -1;
    if (!map_payload(j)) {
        out->status = TDBG_NO_MEMORY;
        out->message = "no memory to look at what was computed";
        return;
    }
    if (p->has_values) {
        out->values = j->payload;
        out->fd = j->fd;
        out->stats = p->has_stats ? &p->stats : NULL;
    } else if (p->has_stats) {
        out->stats = j->payload;
    }
}

static void fill_failure(struct process_jobs *j, struct tdbg_tui_answer *out)
{
    const struct tdbg_tui_waiting *w = j->queue.first;
    *out = (struct tdbg_tui_answer){.id = w->id,
                                    .kind = w->job.kind,
                                    .status = TDBG_IO,
                                    .message = j->failure.text ? j->failure.text : "no worker",
                                    .step = w->job.step,
                                    .fd = -1};
    tdbg_tui_job_list_drop(&j->queue, w->id);
}

/* The worker is gone: true where somebody waits for what it was at. A job that it had not begun
 * was not what it died of, and is left to the next worker, once. */
static bool lose_worker(struct process_jobs *j, struct tdbg_tui_answer *out)
{
    const int64_t sent = j->sent;
    const bool is_wanted = sent != 0 && !j->sent_is_cancelled;
    const bool goes_on = is_wanted && !j->has_begun && j->resent != sent;
    end_worker(j);
    if (goes_on)
        j->resent = sent;
    else if (is_wanted)
        fill_failure(j, out);
    return is_wanted && !goes_on;
}

/* A packet came; true: it is an answer that somebody waits for. */
static bool handle(struct process_jobs *j, struct tdbg_tui_answer *out)
{
    const struct tdbg_wire_answer *p = &j->packet;
    if (p->answer.id != j->sent)
        return false;
    j->has_begun = true;
    if (p->wire != TDBG_WIRE_PROGRESS && p->wire != TDBG_WIRE_ANSWER)
        return false;
    if (p->wire == TDBG_WIRE_PROGRESS) {
        j->progress = p->progress;
        j->has_progress = true;
        return false;
    }
    const bool is_wanted = !j->sent_is_cancelled;
    j->sent = 0;
    j->has_progress = false;
    set_timer(j, 0);
    if (is_wanted) {
        fill_answer(j, out);
        tdbg_tui_job_list_drop(&j->queue, out->id);
    }
    return is_wanted;
}

static void heed_timer(struct process_jobs *j)
{
    uint64_t n;
    const bool rang = read(j->timer, &n, sizeof n) > 0;
    if (!j->sent || !j->sent_is_cancelled)
        return;
    const int64_t left_ns = kill_after_ns - (tdbg_clock_ns() - j->cancelled_ns);
    if (left_ns <= 0)
        end_worker(j);
    else if (rang)
        set_timer(j, left_ns);
}

static bool take(void *context, struct tdbg_tui_answer *out)
{
    struct process_jobs *j = context;
    drop_answer(j);
    heed_timer(j);
    for (;;) {
        if (j->sent == 0 && j->queue.first && !start_next(j)) {
            fill_failure(j, out);
            return true;
        }
        if (j->socket < 0)
            return false;
        drop_answer(j);
        const long got = tdbg_wire_receive(j->socket, &j->packet, sizeof j->packet, &j->fd, false);
        if (got < 0)
            return false;
        if (got == 0 && lose_worker(j, out))
            return true;
        if (got == (long)sizeof j->packet && handle(j, out))
            return true;
    }
}

static bool progress(void *context, struct tdbg_tui_job_progress *out)
{
    const struct process_jobs *j = context;
    const int64_t since_ns = j->sent_is_cancelled ? j->asked_ns : j->sent_ns;
    if (j->sent == 0 || !j->queue.first || tdbg_clock_ns() - since_ns < show_after_ns)
        return false;
    *out =
        j->has_progress && !j->sent_is_cancelled ? j->progress : (struct tdbg_tui_job_progress){0};
    return true;
}

static void destroy(void *context)
{
    struct process_jobs *j = context;
    if (!j)
        return;
    end_worker(j);
    drop_answer(j);
    tdbg_tui_job_list_free(&j->queue);
    if (j->events >= 0)
        close(j->events);
    if (j->timer >= 0)
        close(j->timer);
    free(j->path);
    free(j->device);
    free(j->isa);
    free(j);
}

int tdbg_tui_jobs_worker(const struct tdbg_tui_jobs *jobs)
{
    const struct process_jobs *j = jobs->context;
    return j->pid;
}

enum tdbg_status tdbg_tui_jobs_process(const char *path, const struct tdbg_session_options *options,
                                       struct tdbg_tui_jobs *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct epoll_event readable = {.events = EPOLLIN};
    struct process_jobs *j = calloc(1, sizeof *j);
    TDBG_FAIL_IF(!j, NO_MEMORY, "no memory for what computes values again");
    j->pid = -1;
    j->socket = j->said = j->fd = -1;
    j->path = strdup(path);
    j->device = strdup(options->device ? options->device : "");
    j->isa = strdup(options->isa ? options->isa : "");
    snprintf(j->threads, sizeof j->threads, "%d", options->threads);
    snprintf(j->states, sizeof j->states, "%d", options->cached_states);
    j->events = epoll_create1(EPOLL_CLOEXEC);
    j->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    TDBG_FAIL_IF(!j->path || !j->device || !j->isa, NO_MEMORY,
                 "no memory for what computes values again");
    TDBG_FAIL_IF(j->events < 0 || j->timer < 0 ||
                     epoll_ctl(j->events, EPOLL_CTL_ADD, j->timer, &readable) != 0,
                 IO, "cannot wait for what computes values again: %s", strerror(errno));
    *out = (struct tdbg_tui_jobs){.context = j,
                                  .fd = j->events,
                                  .submit = submit,
                                  .cancel = cancel,
                                  .take = take,
                                  .progress = progress,
                                  .destroy = destroy};
    j = NULL;
out:
    destroy(j);
    return st;
}
