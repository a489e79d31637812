/* The recording program's side of the queue: samples, steps, and its end. See stream.h; values and
 * their digests are in stream_values.c, it is opened in stream_open.c, and the other side is
 * pipeline.c, in the process of writer_process.c or in a thread of this one. */
#include "trace/stream_impl.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/copy.h"
#include "trace/file_lock.h"
#include "trace/pipeline.h"
#include "trace/writer_link.h"

/* of one chunk while it is compressed: shuffled, packed, and its room in the job */
enum { WORKER_BYTES = 4 * TDBG_PIECE_BYTES };

size_t tdbg_stream_shape_bytes(int32_t ndim, const int64_t *dims, enum tdbg_dtype dtype)
{
    size_t n = tdbg_dtype_bytes(dtype);
    for (int32_t d = 0; d < ndim; d++)
        n *= (size_t)dims[d];
    return n;
}

void tdbg_stream_clear_step(struct tdbg_stream *s)
{
    const struct tdbg_stats absent = {.min = NAN, .max = NAN, .mean = NAN, .rms = NAN};
    memset(s->digests, 0, (size_t)s->n_sites * sizeof *s->digests);
    memset(s->flags, 0, (size_t)s->n_sites);
    for (int32_t i = 0; i < s->n_sites; i++) {
        s->stats[i] = absent;
        s->source[i] = -1;
    }
    s->n_dropped = 0;
}

size_t tdbg_stream_step_bytes(const struct tdbg_stream *s)
{
    return sizeof(struct tdbg_step_row) +
           (size_t)s->n_sites * (sizeof *s->digests + sizeof *s->stats + sizeof *s->source);
}

/* What ended the other side. */
static enum tdbg_status raise_failure(const struct tdbg_stream *s, struct tdbg_err *err)
{
    char text[TDBG_RING_MAX_TEXT];
    if (tdbg_ring_failure(s->ring, text))
        return TDBG_RAISE(err, IO, "%s", text);
    return TDBG_RAISE(err, IO, "the writer process has ended");
}

/* Shows what is complete after waiting for copy number `wait_for`. */
static enum tdbg_status settle(struct tdbg_stream *s, uint64_t wait_for, struct tdbg_err *err)
{
    uint64_t reached;
    int n = 0;
    const enum tdbg_status st = s->copies->reached(s->copies->context, wait_for, &reached, err);
    if (st != TDBG_OK)
        return st;
    while (n < s->n_expected && s->expected[n].ticket <= reached)
        n++;
    if (n == 0)
        return TDBG_OK;
    const uint64_t end = s->expected[n - 1].end;
    s->n_expected -= n;
    memmove(s->expected, s->expected + n, (size_t)s->n_expected * sizeof *s->expected);
    if (s->n_expected == 0)
        tdbg_ring_show_all(s->ring);
    else
        tdbg_ring_show(s->ring, end);
    return TDBG_OK;
}

enum tdbg_status tdbg_stream_reserve(struct tdbg_stream *s, size_t bytes, bool wait,
                                     struct tdbg_ring_message **out, struct tdbg_err *err)
{
    enum tdbg_status st;
    while ((st = tdbg_ring_reserve(s->ring, bytes, wait && s->n_expected == 0, out)) ==
               TDBG_STOPPED &&
           s->n_expected > 0) {
        /* the room is taken by what is held back: the oldest of it has to go first */
        const int n = s->n_expected;
        st = settle(s, wait ? s->expected[0].ticket : 0, err);
        if (st != TDBG_OK || (!wait && s->n_expected == n))
            return st != TDBG_OK ? st : TDBG_STOPPED;
    }
    return st == TDBG_IO ? raise_failure(s, err) : st;
}

enum tdbg_status tdbg_stream_expect(struct tdbg_stream *s, const struct tdbg_stream_copies *copies,
                                    uint64_t ticket, struct tdbg_err *err)
{
    TDBG_ASSERT(s->piece_is_open);
    s->copies = copies;
    if (s->n_expected == TDBG_STREAM_EXPECTED) {
        const enum tdbg_status st = settle(s, s->expected[0].ticket, err);
        if (st != TDBG_OK)
            return st;
    }
    const uint64_t end = tdbg_ring_hold(s->ring);
    if (s->n_expected == 0 || s->expected[s->n_expected - 1].ticket != ticket)
        s->expected[s->n_expected++].ticket = ticket;
    s->expected[s->n_expected - 1].end = end;
    return TDBG_OK;
}

enum tdbg_status tdbg_stream_settle(struct tdbg_stream *s, bool wait, struct tdbg_err *err)
{
    if (s->n_expected == 0)
        return TDBG_OK;
    return settle(s, wait ? s->expected[s->n_expected - 1].ticket : 0, err);
}

void tdbg_stream_publish_piece(struct tdbg_stream *s)
{
    if (s->piece_is_open)
        tdbg_ring_publish(s->ring);
    s->piece_is_open = false;
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
    enum tdbg_status st = tdbg_stream_reserve(s, id_bytes + x_bytes + y_bytes, true, &m, err);
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
    const enum tdbg_status st = tdbg_stream_reserve(s, sizeof *finding, true, &m, err);
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
    const enum tdbg_status st = tdbg_stream_reserve(s, 0, true, &m, err);
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
    const enum tdbg_status st = tdbg_stream_reserve(s, tdbg_stream_step_bytes(s), true, &m, err);
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
    tdbg_stream_clear_step(s);
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

void *tdbg_stream_queue(const struct tdbg_stream *s, size_t *bytes)
{
    *bytes = s->shared_bytes;
    return s->shared;
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
    tdbg_stream_publish_piece(s);
    /* What is not complete and will not be is not to be seen: the recording ends before it. */
    st = tdbg_stream_settle(s, true, err);
    if (s->open && st == TDBG_OK && tdbg_ring_reserve(s->ring, 0, true, &m) == TDBG_OK) {
        m->kind = TDBG_STREAM_CLOSE;
        tdbg_ring_publish(s->ring);
    }
    if (s->has_thread) {
        pthread_join(s->thread, NULL);
        if (st == TDBG_OK && s->thread_err.status != TDBG_OK)
            st = tdbg_err_set(err, s->thread_err.status, __FILE__, __LINE__, "%s",
                              s->thread_err.message);
    } else if (s->open && st == TDBG_OK) {
        st = tdbg_link_receive_answer(s->socket, err);
    }
    return st;
}

enum tdbg_status tdbg_stream_close(struct tdbg_stream *s, struct tdbg_err *err)
{
    if (!s)
        return TDBG_OK;
    const enum tdbg_status st = tdbg_stream_end(s, err);
    tdbg_stream_end_process(s);
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
