/* Starting a stream: the process or the thread that writes, the memory that is shared with it, and
 * the file. What goes through it afterwards is in stream.c. */
#include "trace/stream_impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/file_lock.h"
#include "trace/pipeline.h"
#include "trace/segment.h"
#include "trace/spec_wire.h"
#include "trace/writer_greeting.h"
#include "trace/writer_link.h"

enum {
    DEFAULT_QUEUE_BYTES = 64 << 20,
    LEAST_QUEUE_BYTES = 4 * TDBG_PIECE_BYTES,
    MOST_WORKERS = 8,
};

static int count_workers(int wanted)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted >= 0)
        return wanted;
    return n < 2 ? 0 : n / 2 > MOST_WORKERS ? MOST_WORKERS : (int)(n / 2);
}

/* A process where there is a program for it. */
static void start_process(struct tdbg_stream *s)
{
    int ends[2];
    if (s->options.thread || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return;
    s->memory = memfd_create("tdbg-queue", MFD_CLOEXEC);
    s->process = s->memory < 0 ? -1 : tdbg_link_spawn(ends[1], s->memory, s->options.announce_fd);
    close(ends[1]);
    if (s->process > 0)
        s->socket = ends[0];
    else
        close(ends[0]);
}

enum tdbg_status tdbg_stream_create(const struct tdbg_stream_options *options,
                                    struct tdbg_stream **out, struct tdbg_err *err)
{
    struct tdbg_stream *s = calloc(1, sizeof *s);
    if (!s || !(s->arena = tdbg_arena_create())) {
        free(s);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a recording");
    }
    s->options = *options;
    s->options.workers = count_workers(options->workers);
    s->memory = s->socket = s->lock = -1;
    s->process = -1;
    start_process(s);
    *out = s;
    return TDBG_OK;
}

void tdbg_stream_set_queue_bytes(struct tdbg_stream *s, int64_t bytes)
{
    s->options.queue_bytes = bytes;
}

bool tdbg_stream_has_process(const struct tdbg_stream *s)
{
    return s->process > 0;
}

static void copy_spec(struct tdbg_stream *s, const struct tdbg_trace_spec *spec)
{
    const size_t n = (size_t)spec->n_sites, n_items = (size_t)spec->n_items;
    s->n_sites = spec->n_sites;
    s->n_parts = (int64_t)spec->info.lanes * spec->info.accumulate;
    s->sites = tdbg_arena_alloc(s->arena, n * sizeof *s->sites);
    s->plans = tdbg_arena_alloc(s->arena, n * sizeof *s->plans);
    s->items = tdbg_arena_alloc(s->arena, n_items * sizeof *s->items);
    memcpy(s->sites, spec->sites, n * sizeof *s->sites);
    memcpy(s->plans, spec->plans, n * sizeof *s->plans);
    if (n_items > 0)
        memcpy(s->items, spec->items, n_items * sizeof *s->items);
    s->digests = tdbg_arena_alloc(s->arena, n * sizeof *s->digests);
    s->stats = tdbg_arena_alloc(s->arena, n * sizeof *s->stats);
    s->flags = tdbg_arena_alloc(s->arena, n);
    s->source = tdbg_arena_alloc(s->arena, n * sizeof *s->source);
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        const struct tdbg_samples_spec *p = &spec->samples[set];
        s->x_bytes[set] = tdbg_stream_shape_bytes(p->x_ndim, p->x_dims, p->x_dtype);
        s->y_bytes[set] = tdbg_stream_shape_bytes(p->y_ndim, p->y_dims, p->y_dtype);
    }
    tdbg_stream_clear_step(s);
}

/* Room for four of the largest messages. */
static size_t least_queue_bytes(const struct tdbg_stream *s)
{
    size_t least = LEAST_QUEUE_BYTES, step = 4 * (tdbg_stream_step_bytes(s) + 4096);
    least = step > least ? step : least;
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        const size_t sample = 4 * (s->x_bytes[set] + s->y_bytes[set] + 4096);
        least = sample > least ? sample : least;
    }
    return least;
}

/* Memory that two processes share is a file, and has the largest size of one (ulimit -f); to go
 * beyond it would be a signal. */
static bool may_share(size_t bytes)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || bytes <= limit.rlim_cur;
}

static bool map_queue(struct tdbg_stream *s, size_t room_bytes)
{
    const size_t bytes = tdbg_ring_shared_bytes(room_bytes);
    void *shared = MAP_FAILED;
    if (s->process < 0)
        shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    else if (may_share(bytes) && ftruncate(s->memory, (off_t)bytes) == 0)
        shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->memory, 0);
    if (shared == MAP_FAILED)
        return false;
    s->shared = shared;
    s->shared_bytes = bytes;
    return true;
}

void tdbg_stream_end_process(struct tdbg_stream *s)
{
    if (s->socket >= 0)
        close(s->socket);
    if (s->process > 0)
        waitpid(s->process, NULL, 0);
    s->socket = -1;
    s->process = -1;
}

/* A smaller queue where memory is scarce, and one for a thread where none can be shared. */
static enum tdbg_status make_queue(struct tdbg_stream *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t least = least_queue_bytes(s);
    size_t want =
        s->options.queue_bytes > 0 ? (size_t)s->options.queue_bytes : (size_t)DEFAULT_QUEUE_BYTES;
    want = want > least ? want : least;
    if (!map_queue(s, want) && !map_queue(s, least) && s->process > 0) {
        TDBG_FAIL_IF(s->options.process_only, UNSUPPORTED,
                     "no memory can be shared with a writer process");
        tdbg_stream_end_process(s);
        map_queue(s, least);
    }
    TDBG_FAIL_IF(!s->shared, NO_MEMORY, "no memory for the queue of a recording");
    s->ring = tdbg_ring_create(s->shared, s->shared_bytes, s->socket);
    TDBG_FAIL_IF(!s->ring, NO_MEMORY, "no memory for the queue of a recording");
out:
    return st;
}

static void *run_thread(void *self)
{
    struct tdbg_stream *s = self;
    sigset_t own; /* errors of writing, which are dealt with: no reason to end the program */
    sigemptyset(&own);
    sigaddset(&own, SIGXFSZ);
    sigaddset(&own, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &own, NULL);
    const struct tdbg_pipeline_options options = {.workers = s->options.workers,
                                                  .announce_fd = s->options.announce_fd,
                                                  .segment_bytes = s->options.segment_bytes,
                                                  .window_steps = s->options.window_steps};
    tdbg_pipeline_run(s->ring, s->writer, s->path, &s->spec, &options, &s->thread_err);
    return NULL;
}

static enum tdbg_status open_in_thread(struct tdbg_stream *s, const char *path, bool force,
                                       const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_strbuf bytes = {0};
    tdbg_spec_pack(spec, &bytes); /* the thread outlives what the caller has */
    TDBG_TRY(tdbg_spec_unpack(bytes.text, bytes.n_bytes, s->arena, &s->spec, err));
    s->path = tdbg_arena_strdup(s->arena, path);
    TDBG_TRY(tdbg_trace_writer_create(path, force, &s->spec, &s->writer, err));
    s->has_thread = pthread_create(&s->thread, NULL, run_thread, s) == 0;
    if (!s->has_thread) {
        tdbg_trace_writer_abandon(s->writer, NULL);
        TDBG_FAIL_IF(true, NO_MEMORY, "no thread for a recording");
    }
out:
    tdbg_strbuf_free(&bytes);
    return st;
}

static enum tdbg_status open_in_process(struct tdbg_stream *s, const char *path, bool force,
                                        const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_strbuf bytes = {0};
    tdbg_spec_pack(spec, &bytes);
    const struct tdbg_link_hello hello = {.ring_bytes = s->shared_bytes,
                                          .path_bytes = strlen(path),
                                          .spec_bytes = bytes.n_bytes,
                                          .segment_bytes = s->options.segment_bytes,
                                          .window_steps = s->options.window_steps,
                                          .force = force,
                                          .workers = s->options.workers,
                                          .announces = s->options.announce_fd >= 0};
    TDBG_TRY(tdbg_link_greet_writer(s->socket, err));
    TDBG_FAIL_IF(!tdbg_link_send(s->socket, &hello, sizeof hello) ||
                     !tdbg_link_send(s->socket, path, hello.path_bytes) ||
                     !tdbg_link_send(s->socket, bytes.text, bytes.n_bytes),
                 IO, "the writer process has ended");
    TDBG_TRY(tdbg_link_receive_answer(s->socket, err));
    s->lock = tdbg_file_lock(path, TDBG_LOCK_PROGRAM);
out:
    tdbg_strbuf_free(&bytes);
    return st;
}

/* Where an earlier recording went on in further files, these would be written over later. */
static enum tdbg_status refuse_segments(const struct tdbg_stream *s, const char *path,
                                        struct tdbg_err *err)
{
    const char *next = tdbg_segment_path(s->arena, path, "seg", 1);
    if ((s->options.segment_bytes == 0 && s->options.window_steps == 0) || access(next, F_OK) != 0)
        return TDBG_OK;
    return TDBG_RAISE(err, USAGE, "%s exists already, and is what %s would go on in", next, path);
}

enum tdbg_status tdbg_stream_open(struct tdbg_stream *s, const char *path, bool force,
                                  const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace_spec told = *spec;
    copy_spec(s, spec);
    if (!force)
        TDBG_TRY(refuse_segments(s, path, err));
    TDBG_TRY(make_queue(s, err));
    told.info.overflow = s->options.drop ? "drop" : "wait";
    told.info.memory_bytes = tdbg_stream_memory_bytes(s);
    if (s->process > 0)
        TDBG_TRY(open_in_process(s, path, force, &told, err));
    else
        TDBG_TRY(open_in_thread(s, path, force, &told, err));
    s->open = true;
out:
    return st;
}
