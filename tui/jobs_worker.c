/* The worker's end of jobs_process.h. It has no terminal: files 0 to 2 are not the terminal's, and
 * it leads a session of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "tui/job_run.h"
#include "tui/jobs_process.h"
#include "tui/jobs_worker.h"
#include "tui/jobs_wire.h"

static const int64_t progress_every_ns = 50000000;

struct worker {
    struct tdbg_tui_runner *runner;
    struct tdbg_wire_job *packet; /* with room for its texts */
    int64_t id;                   /* that it is at */
    int64_t told_ns;
};

enum { MOST_BYTES = sizeof(struct tdbg_wire_job) + TDBG_WIRE_MOST_TEXTS };

/* While a job is being done only its end can come in. */
static bool is_cancelled(const struct worker *w)
{
    struct tdbg_wire_job packet;
    int fd;
    for (;;) {
        const long got = tdbg_wire_receive(TDBG_WIRE_SOCKET, &packet, sizeof packet, &fd, false);
        if (got == 0)
            _exit(0); /* the terminal is gone */
        if (got < 0)
            return false;
        if (packet.wire == TDBG_WIRE_CANCEL && packet.id == w->id)
            return true;
    }
}

static bool goes_on(void *context, const struct tdbg_tui_job_progress *progress)
{
    struct worker *w = context;
    const int64_t now = tdbg_clock_ns();
    if (is_cancelled(w))
        return false;
    if (now - w->told_ns >= progress_every_ns) {
        struct tdbg_wire_answer packet = {.wire = TDBG_WIRE_PROGRESS, .progress = *progress};
        packet.answer.id = w->id;
        w->told_ns = now;
        tdbg_wire_send(TDBG_WIRE_SOCKET, &packet, sizeof packet, -1);
    }
    return true;
}

/* Statistics of all sites go in a file of their own; -1: no memory. */
static int file_with(const void *data, size_t bytes)
{
    const int fd = memfd_create("tdbg-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t done = 0;
    while (fd >= 0 && done < bytes) {
        const ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    return fd;
}

static void answer(struct worker *w, const struct tdbg_tui_job *job,
                   const struct tdbg_tui_answer *a)
{
    struct tdbg_wire_answer packet = {.wire = TDBG_WIRE_ANSWER, .answer = *a};
    const bool is_step = job->kind == TDBG_JOB_STATS;
    int fd = a->fd;
    packet.answer.id = w->id;
    packet.has_values = a->values != NULL;
    packet.has_origin = a->origin != NULL;
    packet.has_stats = a->stats != NULL;
    if (a->origin)
        packet.origin = *a->origin;
    packet.has_parting = a->parting != NULL;
    if (a->parting)
        packet.parting = *a->parting;
    if (a->stats)
        packet.stats = *a->stats;
    if (a->message)
        snprintf(packet.message, sizeof packet.message, "%s", a->message);
    if (is_step && a->stats) {
        packet.payload_bytes =
            (int64_t)((size_t)tdbg_tui_runner_n_sites(w->runner) * sizeof *a->stats);
        fd = file_with(a->stats, (size_t)packet.payload_bytes);
    } else if (fd >= 0) {
        packet.payload_bytes = lseek(fd, 0, SEEK_END);
    }
    if ((a->values || (is_step && a->stats)) && fd < 0) {
        packet.answer.status = TDBG_NO_MEMORY;
        snprintf(packet.message, sizeof packet.message, "no memory to hand over what was computed");
        packet.has_values = packet.has_stats = false;
        packet.payload_bytes = 0;
    }
    if (fd >= 0) /* a file that shrinks would end who maps it */
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    if (!tdbg_wire_send(TDBG_WIRE_SOCKET, &packet, sizeof packet, fd))
        _exit(0);
    if (fd != a->fd)
        close(fd);
}

/* The texts stand behind the packet, one after the other. */
static bool find_texts(struct tdbg_wire_job *packet, size_t bytes)
{
    const char *at = (const char *)(packet + 1), *end = (const char *)packet + bytes;
    for (int i = 0; i < packet->job.n_expressions; i++) {
        const char *stop = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        if (!stop || i >= TDBG_JOB_EXPRESSIONS)
            return false;
        packet->job.expression[i] = at;
        at = stop + 1;
    }
    return true;
}

static void work(struct worker *w)
{
    for (;;) {
        struct tdbg_tui_answer a;
        int fd;
        const long got = tdbg_wire_receive(TDBG_WIRE_SOCKET, w->packet, MOST_BYTES, &fd, true);
        if (got <= 0)
            return;
        if (w->packet->wire != TDBG_WIRE_JOB)
            continue; /* the end of a job that is answered already */
        if ((size_t)got < sizeof *w->packet || !find_texts(w->packet, (size_t)got))
            return;
        w->id = w->packet->id;
        w->told_ns = tdbg_clock_ns();
        struct tdbg_wire_answer begun = {.wire = TDBG_WIRE_BEGUN};
        begun.answer.id = w->id;
        tdbg_wire_send(TDBG_WIRE_SOCKET, &begun, sizeof begun, -1);
        tdbg_tui_runner_do(w->runner, &w->packet->job, &a);
        answer(w, &w->packet->job, &a);
    }
}

void tdbg_tui_worker_begin(int argc, char **argv)
{
    struct worker w = {.id = 0};
    if (argc != TDBG_WORKER_ARGC || strcmp(argv[1], TDBG_WORKER_WORD) != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct tdbg_session_options options = {.device = *argv[3] ? argv[3] : NULL,
                                                 .isa = *argv[4] ? argv[4] : NULL,
                                                 .threads = atoi(argv[5]),
                                                 .cached_states = atoi(argv[6])};
    w.packet = malloc(MOST_BYTES);
    w.runner = tdbg_tui_runner_create(argv[2], &options, goes_on, &w);
    if (w.packet && w.runner)
        work(&w);
    _exit(w.packet && w.runner ? 0 : 1);
}
