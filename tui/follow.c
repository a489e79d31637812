/* See follow.h. */
#include "tui/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/reader.h"

enum {
    PAUSE_NS = 250000000, /* between two looks */
    POLL_NS = 1000000000, /* where the file system tells nothing */
    RETRY_NS = 20000000,  /* while the writer is about to close the file */
    RETRIES = 50,
};

struct tdbg_tui_follow {
    char *path;
    struct tdbg_trace *trace;
    struct tdbg_tui_data data;
    tdbg_tui_is_recording *is_recording;
    int changes, timer, both; /* inotify (-1: none), timer, epoll of the two */
    int64_t looked_ns;
    bool has_ended;
};

static void take_data(struct tdbg_tui_follow *f)
{
    f->data = tdbg_tui_data_from_trace(f->trace);
    tdbg_tui_data_add_flow(&f->data, f->trace);
}

static void set_timer(const struct tdbg_tui_follow *f, int64_t ns)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
    timerfd_settime(f->timer, 0, &when, NULL);
}

static bool watch(int both, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(both, EPOLL_CTL_ADD, fd, &event) == 0;
}

static enum tdbg_status open_watches(struct tdbg_tui_follow *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    f->both = epoll_create1(EPOLL_CLOEXEC);
    f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    TDBG_FAIL_IF(f->both < 0 || f->timer < 0 || !watch(f->both, f->timer), IO,
                 "cannot wait for changes of %s: %s", f->path, strerror(errno));
    f->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (f->changes >= 0 &&
        (inotify_add_watch(f->changes, f->path, IN_MODIFY | IN_CLOSE_WRITE) < 0 ||
         !watch(f->both, f->changes))) {
        close(f->changes);
        f->changes = -1;
    }
    set_timer(f, f->changes < 0 ? POLL_NS : PAUSE_NS); /* what came before the watch */
out:
    return st;
}

enum tdbg_status tdbg_tui_follow_open(const char *path, tdbg_tui_is_recording *is_recording,
                                      struct tdbg_tui_follow **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_tui_follow *f = calloc(1, sizeof *f);
    TDBG_FAIL_IF(!f, NO_MEMORY, "no memory to follow a trace");
    f->changes = f->timer = f->both = -1;
    f->is_recording = is_recording;
    f->path = strdup(path);
    TDBG_FAIL_IF(!f->path, NO_MEMORY, "no memory to follow a trace");
    TDBG_TRY(tdbg_trace_open(path, &f->trace, err));
    take_data(f);
    TDBG_TRY(open_watches(f, err));
    f->looked_ns = tdbg_clock_ns();
    *out = f;
    f = NULL;
out:
    tdbg_tui_follow_close(f);
    return st;
}

void tdbg_tui_follow_close(struct tdbg_tui_follow *f)
{
    if (!f)
        return;
    tdbg_tui_data_free_flow(&f->data);
    tdbg_trace_close(f->trace);
    if (f->changes >= 0)
        close(f->changes);
    if (f->timer >= 0)
        close(f->timer);
    if (f->both >= 0)
        close(f->both);
    free(f->path);
    free(f);
}

const struct tdbg_tui_data *tdbg_tui_follow_data(const struct tdbg_tui_follow *f)
{
    return &f->data;
}

int tdbg_tui_follow_fd(const struct tdbg_tui_follow *f)
{
    return f->both;
}

/* HDF5 gives a file that is open already once more, as it was: it has to be closed first. */
static enum tdbg_status reopen(struct tdbg_tui_follow *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_IO;
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    tdbg_tui_data_free_flow(&f->data);
    tdbg_trace_close(f->trace);
    f->trace = NULL;
    for (int i = 0; st != TDBG_OK && i < RETRIES; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        tdbg_err_clear(err);
        st = tdbg_trace_open(f->path, &f->trace, err);
    }
    return st;
}

/* While a pause lasts, changes wake nobody. */
static void pause_for(struct tdbg_tui_follow *f, int64_t ns)
{
    if (f->changes >= 0)
        epoll_ctl(f->both, EPOLL_CTL_DEL, f->changes, NULL);
    set_timer(f, ns);
}

/* Has the file changed since the last look? */
static bool has_changed(const struct tdbg_tui_follow *f)
{
    char events[4096];
    bool changed = false;
    while (f->changes >= 0 && read(f->changes, events, sizeof events) > 0)
        changed = true;
    return changed;
}

enum tdbg_status tdbg_tui_follow_look(struct tdbg_tui_follow *f, enum tdbg_tui_news *news,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t now = tdbg_clock_ns(), n_steps = f->data.n_steps;
    const int32_t n_sites = f->data.n_sites;
    uint64_t ignored;
    *news = TDBG_NEWS_NONE;
    if (f->has_ended)
        return TDBG_OK;
    const bool is_due = read(f->timer, &ignored, sizeof ignored) > 0, changed = has_changed(f);
    if (!is_due && !changed)
        return TDBG_OK;
    if (now - f->looked_ns < PAUSE_NS) {
        pause_for(f, PAUSE_NS - (now - f->looked_ns));
        return TDBG_OK;
    }
    if (f->changes >= 0)
        watch(f->both, f->changes); /* it may be there still, which is fine */
    /* asked before the file is read: a writer that ends now has written all of it by then */
    const bool is_recording = f->is_recording(f->path);
    TDBG_TRY(reopen(f, err));
    take_data(f);
    TDBG_FAIL_IF(f->data.n_sites != n_sites || f->data.n_steps < n_steps, DAMAGED,
                 "%s is another trace now", f->path);
    f->looked_ns = tdbg_clock_ns();
    f->has_ended = f->data.closed || !is_recording;
    if (f->has_ended)
        *news = f->data.closed ? TDBG_NEWS_CLOSED : TDBG_NEWS_CUT;
    else if (f->data.n_steps > n_steps)
        *news = TDBG_NEWS_STEPS;
    /* once more after the last change: a writer's lock may outlive its file by a moment */
    if (!f->has_ended && (f->changes < 0 || changed))
        set_timer(f, f->changes < 0 ? POLL_NS : PAUSE_NS);
out:
    return st;
}
