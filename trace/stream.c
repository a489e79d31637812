/* The recording program's side of the queue. See stream.h; the other side is pipeline.c, in the
 * process of writer_process.c or in a thread of this one. */
#include "trace/stream.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/copy.h"
#include "trace/chunked.h"
#include "trace/file_lock.h"
#include "trace/id_map.h"
#include "trace/pipeline.h"
#include "trace/ring.h"
#include "trace/segment.h"
#include "trace/spec_wire.h"
#include "trace/writer_link.h"

enum {
    DEFAULT_QUEUE_BYTES = 64 << 20,
    LEAST_QUEUE_BYTES = 4 * TDBG_PIECE_BYTES,
    MOST_WORKERS = 4,
    /* of one chunk while it is compressed: shuffled, packed, and its room in the job */
    WORKER_BYTES = 4 * TDBG_PIECE_BYTES,
};

struct tdbg_stream {
    struct tdbg_stream_options options;
    struct tdbg_arena *arena;
    struct tdbg_ring *ring;
    void *shared;
    size_t shared_bytes;
    int memory, socket, lock; /* descriptors; -1: none */
    pid_t process;            /* -1: a thread does it */
    pthread_t thread;
    bool has_thread, open, ended;
    struct tdbg_trace_writer *writer; /* of the thread, and what it was created with */
    struct tdbg_trace_spec spec;
    const char *path;
    struct tdbg_err thread_err;

    struct tdbg_site *sites; /* shapes only: names are not kept */
    struct tdbg_site_plan *plans;
    struct tdbg_keyframe_item *items;
    int32_t n_sites;
    int64_t n_parts; /* lanes times micro-batches */
    size_t x_bytes[TDBG_SAMPLES_SETS], y_bytes[TDBG_SAMPLES_SETS];
    struct tdbg_id_map seen[TDBG_SAMPLES_SETS];
    uint64_t *digests;        /* (n_sites) of the current step */
    struct tdbg_stats *stats; /* (n_sites) */
    int32_t *source;          /* (n_sites): whose values give the digest over there; -1: none */
    bool piece_is_open;
    int32_t n_dropped; /* values, in the current step */
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

bool tdbg_stream_has_process(const struct tdbg_stream *s)
{
    return s->process > 0;
}

static size_t shape_bytes(int32_t ndim, const int64_t *dims, enum tdbg_dtype dtype)
{
    size_t n = tdbg_dtype_bytes(dtype);
    for (int32_t d = 0; d < ndim; d++)
        n *= (size_t)dims[d];
    return n;
}

/* Digests 0 and statistics that say "not recorded", for the next step. */
static void clear_step(struct tdbg_stream *s)
{
    const struct tdbg_stats absent = {.min = NAN, .max = NAN, .mean = NAN, .rms = NAN};
    memset(s->digests, 0, (size_t)s->n_sites * sizeof *s->digests);
    for (int32_t i = 0; i < s->n_sites; i++) {
        s->stats[i] = absent;
        s->source[i] = -1;
    }
    s->n_dropped = 0;
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
    s->source = tdbg_arena_alloc(s->arena, n * sizeof *s->source);
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        const struct tdbg_samples_spec *p = &spec->samples[set];
        s->x_bytes[set] = shape_bytes(p->x_ndim, p->x_dims, p->x_dtype);
        s->y_bytes[set] = shape_bytes(p->y_ndim, p->y_dims, p->y_dtype);
    }
    clear_step(s);
}

static size_t step_bytes(const struct tdbg_stream *s)
{
    return sizeof(struct tdbg_step_row) +
           (size_t)s->n_sites * (sizeof *s->digests + sizeof *s->stats + sizeof *s->source);
}

/* Room for four of the largest messages. */
static size_t least_queue_bytes(const struct tdbg_stream *s)
{
    size_t least = LEAST_QUEUE_BYTES, step = 4 * (step_bytes(s) + 4096);
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

static void end_process(struct tdbg_stream *s)
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
        end_process(s);
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

void tdbg_stream_put_digest(struct tdbg_stream *s, int32_t site, uint64_t digest,
                            const struct tdbg_stats *stats)
{
    TDBG_ASSERT(site >= 0 && site < s->n_sites);
    s->digests[site] = digest;
    s->stats[site] = *stats;
}

bool tdbg_stream_leave_digest(struct tdbg_stream *s, int32_t site, int32_t from)
{
    TDBG_ASSERT(site >= 0 && site < s->n_sites && from >= 0 && from < s->n_sites);
    if (s->options.drop || (from != site && s->source[from] < 0))
        return false;
    s->source[site] = from == site ? site : s->source[from];
    return true;
}

/* What ended the other side. */
static enum tdbg_status raise_failure(const struct tdbg_stream *s, struct tdbg_err *err)
{
    char text[TDBG_RING_MAX_TEXT];
    if (tdbg_ring_failure(s->ring, text))
        return TDBG_RAISE(err, IO, "%s", text);
    return TDBG_RAISE(err, IO, "the writer process has ended");
}

static enum tdbg_status reserve(struct tdbg_stream *s, size_t bytes, bool wait,
                                struct tdbg_ring_message **out, struct tdbg_err *err)
{
    const enum tdbg_status st = tdbg_ring_reserve(s->ring, bytes, wait, out);
    return st == TDBG_IO ? raise_failure(s, err) : st;
}

static void publish_piece(struct tdbg_stream *s)
{
    if (s->piece_is_open)
        tdbg_ring_publish(s->ring);
    s->piece_is_open = false;
}

/* The piece that begins at `first`; TDBG_STOPPED: it may be dropped, and there is no room. */
static enum tdbg_status open_piece(struct tdbg_stream *s, enum tdbg_stream_kind kind, int32_t id,
                                   int64_t first, int64_t count, int64_t total, size_t elem_bytes,
                                   bool wait, struct tdbg_stream_piece *piece, struct tdbg_err *err)
{
    struct tdbg_ring_message *m;
    const enum tdbg_status st = reserve(s, (size_t)count * elem_bytes, wait, &m, err);
    if (st != TDBG_OK)
        return st;
    m->kind = kind;
    m->id = id;
    m->first = first;
    m->count = count;
    m->total = total;
    m->flags = kind == TDBG_STREAM_VALUES && s->source[id] == id ? TDBG_STREAM_DIGEST : 0;
    s->piece_is_open = true;
    *piece = (struct tdbg_stream_piece){first, count, tdbg_ring_data(m)};
    return TDBG_OK;
}

/* Values that may be left out: large ones that are stored by themselves, and only whole. */
static bool may_drop(const struct tdbg_stream *s, int32_t site, int64_t elems, int64_t first)
{
    return s->options.drop && first == 0 && elems > 0 &&
           s->plans[site].store == TDBG_STORE_DATASET &&
           (s->n_parts == 1 || s->sites[site].lane == TDBG_LANE_ALL);
}

enum tdbg_status tdbg_stream_next_value(struct tdbg_stream *s, int32_t site, int64_t elems,
                                        struct tdbg_stream_piece *piece, struct tdbg_err *err)
{
    const struct tdbg_site *p = &s->sites[site];
    const size_t elem_bytes = tdbg_dtype_bytes(p->dtype);
    const int64_t first = piece->first + piece->count;
    const bool is_first = !piece->room && first == 0;
    publish_piece(s);
    *piece = (struct tdbg_stream_piece){first, 0, NULL};
    if (first >= elems && !(is_first && elems == 0))
        return TDBG_OK;
    int64_t count = elems - first;
    if (count > 0) {
        const int64_t whole = tdbg_chunked_piece(p->ndim, p->dims, elem_bytes, first);
        count = count < whole ? count : whole;
    }
    const enum tdbg_status st =
        open_piece(s, TDBG_STREAM_VALUES, site, first, count, elems, elem_bytes,
                   !may_drop(s, site, elems, first), piece, err);
    if (st != TDBG_STOPPED)
        return st;
    s->n_dropped++;
    return TDBG_OK;
}

enum tdbg_status tdbg_stream_next_keyframe(struct tdbg_stream *s, int32_t item,
                                           struct tdbg_stream_piece *piece, struct tdbg_err *err)
{
    const struct tdbg_keyframe_item *p = &s->items[item];
    const size_t elem_bytes = tdbg_dtype_bytes(p->dtype);
    const int64_t total = (int64_t)(shape_bytes(p->ndim, p->dims, p->dtype) / elem_bytes);
    const int64_t first = piece->first + piece->count;
    publish_piece(s);
    *piece = (struct tdbg_stream_piece){first, 0, NULL};
    if (first >= total)
        return TDBG_OK;
    const int64_t whole = tdbg_chunked_piece(p->ndim, p->dims, elem_bytes, first);
    const int64_t count = total - first < whole ? total - first : whole;
    return open_piece(s, TDBG_STREAM_KEYFRAME, item, first, count, total, elem_bytes, true, piece,
                      err);
}

enum tdbg_status tdbg_stream_put_values(struct tdbg_stream *s, int32_t site, const void *data,
                                        int64_t elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t elem_bytes = tdbg_dtype_bytes(s->sites[site].dtype);
    struct tdbg_stream_piece piece = {0};
    TDBG_FAIL_IF(elems < 0 || elems > tdbg_site_elems(&s->sites[site]), USAGE,
                 "%lld values are more than the shape of the site holds", (long long)elems);
    do {
        TDBG_TRY(tdbg_stream_next_value(s, site, elems, &piece, err));
        if (piece.count > 0)
            tdbg_copy_away(piece.room, (const char *)data + (size_t)piece.first * elem_bytes,
                           (size_t)piece.count * elem_bytes);
    } while (piece.room);
out:
    return st;
}

enum tdbg_status tdbg_stream_put_keyframe(struct tdbg_stream *s, int32_t item, const void *data,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t elem_bytes = tdbg_dtype_bytes(s->items[item].dtype);
    struct tdbg_stream_piece piece = {0};
    do {
        TDBG_TRY(tdbg_stream_next_keyframe(s, item, &piece, err));
        if (piece.room)
            tdbg_copy_away(piece.room, (const char *)data + (size_t)piece.first * elem_bytes,
                           (size_t)piece.count * elem_bytes);
    } while (piece.room);
out:
    return st;
}

/* With a window the files before this one may be gone, and what they knew. */
static bool was_seen(const struct tdbg_stream *s, int set, int64_t id)
{
    return s->options.window_steps == 0 && tdbg_id_map_find(&s->seen[set], id) >= 0;
}

/* n samples that are all new, or all known already (x = NULL). */
static enum tdbg_status send_samples(struct tdbg_stream *s, int set, int64_t n, const int64_t *ids,
                                     const void *x, const void *y, struct tdbg_err *err)
{
    struct tdbg_ring_message *m;
    const size_t count = (size_t)n, id_bytes = count * sizeof *ids;
    const size_t x_bytes = x ? count * s->x_bytes[set] : 0,
                 y_bytes = x ? count * s->y_bytes[set] : 0;
    enum tdbg_status st = reserve(s, id_bytes + x_bytes + y_bytes, true, &m, err);
    if (st != TDBG_OK)
        return st;
    unsigned char *data = tdbg_ring_data(m);
    m->kind = TDBG_STREAM_SAMPLES;
    m->id = set;
    m->first = x == NULL;
    m->count = n;
    m->total = (int64_t)x_bytes;
    memcpy(data, ids, id_bytes);
    if (x) {
        tdbg_copy_away(data + id_bytes, x, x_bytes);
        memcpy(data + id_bytes + x_bytes, y, y_bytes);
        for (int64_t i = 0; i < n; i++) {
            if (tdbg_id_map_find(&s->seen[set], ids[i]) < 0 &&
                !tdbg_id_map_add(&s->seen[set], ids[i], 0))
                st = TDBG_RAISE(err, NO_MEMORY, "no memory for sample ids");
        }
    }
    tdbg_ring_publish(s->ring);
    return st;
}

enum tdbg_status tdbg_stream_put_samples(struct tdbg_stream *s, int set, int64_t n,
                                         const int64_t *ids, const void *x, const void *y,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t sample_bytes = s->x_bytes[set] + s->y_bytes[set] + sizeof *ids;
    const int64_t most =
        sample_bytes < TDBG_PIECE_BYTES ? (int64_t)(TDBG_PIECE_BYTES / sample_bytes) : 1;
    for (int64_t at = 0, end; at < n; at = end) {
        const bool seen = was_seen(s, set, ids[at]);
        for (end = at + 1; end < n && end - at < most; end++) {
            if (was_seen(s, set, ids[end]) != seen)
                break;
        }
        TDBG_TRY(send_samples(s, set, end - at, ids + at,
                              seen ? NULL : (const unsigned char *)x + (size_t)at * s->x_bytes[set],
                              seen ? NULL : (const unsigned char *)y + (size_t)at * s->y_bytes[set],
                              err));
    }
out:
    return st;
}

enum tdbg_status tdbg_stream_put_finding(struct tdbg_stream *s, const struct tdbg_finding *finding,
                                         struct tdbg_err *err)
{
    struct tdbg_ring_message *m;
    const enum tdbg_status st = reserve(s, sizeof *finding, true, &m, err);
    if (st != TDBG_OK)
        return st;
    m->kind = TDBG_STREAM_FINDING;
    memcpy(tdbg_ring_data(m), finding, sizeof *finding);
    tdbg_ring_publish(s->ring);
    return TDBG_OK;
}

enum tdbg_status tdbg_stream_keep(struct tdbg_stream *s, struct tdbg_err *err)
{
    struct tdbg_ring_message *m;
    const enum tdbg_status st = reserve(s, 0, true, &m, err);
    if (st != TDBG_OK)
        return st;
    m->kind = TDBG_STREAM_KEEP;
    tdbg_ring_publish(s->ring);
    return TDBG_OK;
}

enum tdbg_status tdbg_stream_commit_step(struct tdbg_stream *s, struct tdbg_step_row *row,
                                         struct tdbg_err *err)
{
    struct tdbg_ring_message *m;
    if (tdbg_ring_peer_is_gone(s->ring))
        return raise_failure(s, err);
    const enum tdbg_status st = reserve(s, step_bytes(s), true, &m, err);
    if (st != TDBG_OK)
        return st;
    unsigned char *data = tdbg_ring_data(m);
    const size_t n = (size_t)s->n_sites;
    row->dropped = s->n_dropped;
    m->kind = TDBG_STREAM_STEP;
    m->count = s->n_sites;
    memcpy(data, row, sizeof *row);
    data += sizeof *row;
    memcpy(data, s->digests, n * sizeof *s->digests);
    data += n * sizeof *s->digests;
    memcpy(data, s->stats, n * sizeof *s->stats);
    data += n * sizeof *s->stats;
    memcpy(data, s->source, n * sizeof *s->source);
    tdbg_ring_publish(s->ring);
    clear_step(s);
    return TDBG_OK;
}

int64_t tdbg_stream_bytes(const struct tdbg_stream *s)
{
    return s->ring ? tdbg_ring_file_bytes(s->ring) : 0;
}

int64_t tdbg_stream_durable(const struct tdbg_stream *s)
{
    return s->ring ? tdbg_ring_durable_step(s->ring) : -1;
}

int64_t tdbg_stream_memory_bytes(const struct tdbg_stream *s)
{
    return (int64_t)s->shared_bytes + (s->options.workers + 1) * (int64_t)WORKER_BYTES;
}

enum tdbg_status tdbg_stream_end(struct tdbg_stream *s, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_ring_message *m;
    if (s->ended)
        return TDBG_OK;
    s->ended = true;
    publish_piece(s);
    if (s->open && tdbg_ring_reserve(s->ring, 0, true, &m) == TDBG_OK) {
        m->kind = TDBG_STREAM_CLOSE;
        tdbg_ring_publish(s->ring);
    }
    if (s->has_thread) {
        pthread_join(s->thread, NULL);
        if (s->thread_err.status != TDBG_OK)
            st = tdbg_err_set(err, s->thread_err.status, __FILE__, __LINE__, "%s",
                              s->thread_err.message);
    } else if (s->open) {
        st = tdbg_link_receive_answer(s->socket, err);
    }
    return st;
}

enum tdbg_status tdbg_stream_close(struct tdbg_stream *s, struct tdbg_err *err)
{
    if (!s)
        return TDBG_OK;
    const enum tdbg_status st = tdbg_stream_end(s, err);
    end_process(s);
    tdbg_file_unlock(s->lock);
    tdbg_ring_destroy(s->ring);
    if (s->shared)
        munmap(s->shared, s->shared_bytes);
    if (s->memory >= 0)
        close(s->memory);
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++)
        tdbg_id_map_free(&s->seen[set]);
    tdbg_err_clear(&s->thread_err);
    tdbg_arena_destroy(s->arena);
    free(s);
    return st;
}
