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
#include "tui/data_ranks.h"

enum {
    PAUSE_NS = 250000000, /* between two looks */
    POLL_NS = 1000000000, /* where the file system tells nothing */
};

struct tdbg_tui_follow {
    char *path;
    struct tdbg_tui_rank_files *files;
    tdbg_tui_is_recording *is_recording;
    int changes, timer, both; /* inotify (-1: none), timer, epoll of the two */
    int64_t looked_ns;
    bool has_ended; /* all that are open */
};

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

static bool watch_file(const struct tdbg_tui_follow *f, const char *path)
{
    return inotify_add_watch(f->changes, path, IN_MODIFY | IN_CLOSE_WRITE) >= 0;
}

/* Somebody looks at another rank: its file is followed from now on. */
static void has_opened(void *context, const char *path)
{
    struct tdbg_tui_follow *f = context;
    f->has_ended = false;
    if (f->changes >= 0 && !watch_file(f, path)) {
        close(f->changes);
        f->changes = -1;
    }
    set_timer(f, f->changes < 0 ? POLL_NS : PAUSE_NS);
}

static enum tdbg_status open_watches(struct tdbg_tui_follow *f, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    f->both = epoll_create1(EPOLL_CLOEXEC);
    f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    TDBG_FAIL_IF(f->both < 0 || f->timer < 0 || !watch(f->both, f->timer), IO,
                 "cannot wait for changes of %s: %s", f->path, strerror(errno));
    f->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (f->changes >= 0 && (!watch_file(f, f->path) || !watch(f->both, f->changes))) {
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
    TDBG_TRY(tdbg_tui_rank_files_open(
        &(struct tdbg_tui_rank_files_following){f->path, has_opened, f}, &f->files, err));
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
    tdbg_tui_rank_files_close(f->files);
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
    return tdbg_tui_rank_files_data(f->files);
}

int tdbg_tui_follow_fd(const struct tdbg_tui_follow *f)
{
    return f->both;
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

/* What the files hold that are open. */
struct state {
    int64_t n_steps; /* of all together */
    bool has_ended, is_closed;
};

/* is_recording: (ranks) asked before the files were read: a writer that ends now has written all of
 * it by then; NULL: not asked. */
static struct state state_of(const struct tdbg_tui_follow *f, const bool *is_recording)
{
    struct state s = {.has_ended = true, .is_closed = true};
    const int32_t n = tdbg_tui_follow_data(f)->info->world_size;
    for (int32_t r = 0; r < n; r++) {
        const struct tdbg_tui_data *data = tdbg_tui_rank_files_of(f->files, r);
        if (!data)
            continue;
        s.n_steps += data->n_steps;
        s.is_closed = s.is_closed && data->closed;
        s.has_ended = s.has_ended && (data->closed || (is_recording && !is_recording[r]));
    }
    return s;
}

static void ask_for_writers(const struct tdbg_tui_follow *f, bool *is_recording)
{
    const int32_t n = tdbg_tui_follow_data(f)->info->world_size;
    for (int32_t r = 0; r < n; r++) {
        const struct tdbg_tui_data *data = tdbg_tui_rank_files_of(f->files, r);
        is_recording[r] = data && f->is_recording(data->path);
    }
}

static enum tdbg_status read_anew(struct tdbg_tui_follow *f, int32_t rank, enum tdbg_tui_news *news,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct state before = state_of(f, NULL);
    bool *is_recording =
        calloc((size_t)tdbg_tui_follow_data(f)->info->world_size, sizeof *is_recording);
    TDBG_FAIL_IF(!is_recording, NO_MEMORY, "no memory to follow a trace");
    ask_for_writers(f, is_recording);
    TDBG_TRY(tdbg_tui_rank_files_renew(f->files, rank, err));
    const struct state now = state_of(f, is_recording);
    f->looked_ns = tdbg_clock_ns();
    f->has_ended = now.has_ended;
    *news = now.has_ended                  ? (now.is_closed ? TDBG_NEWS_CLOSED : TDBG_NEWS_CUT)
            : now.n_steps > before.n_steps ? TDBG_NEWS_STEPS
                                           : TDBG_NEWS_READ;
out:
    free(is_recording);
    return st;
}

enum tdbg_status tdbg_tui_follow_look(struct tdbg_tui_follow *f, int32_t rank,
                                      enum tdbg_tui_news *news, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t now = tdbg_clock_ns();
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
    TDBG_TRY(read_anew(f, rank, news, err));
    /* once more after the last change: a writer's lock may outlive its file by a moment */
    if (!f->has_ended && (f->changes < 0 || changed))
        set_timer(f, f->changes < 0 ? POLL_NS : PAUSE_NS);
out:
    return st;
}
