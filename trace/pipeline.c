/* From ring to file. See pipeline.h for the drawing; how a recording goes on in further files is in
 * pipeline_files.c. */
#include "trace/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/digest_block.h"
#include "trace/chunked.h"
#include "trace/message.h"
#include "trace/pipeline_files.h"
#include "trace/workers.h"

enum { MOST_ENTRIES = 64 };
static const int64_t idle_flush_ns = 1000000000;

/* A message that was taken but not written yet. */
struct entry {
    struct tdbg_ring_taken message;
    uint64_t end; /* free the ring up to here when it is done */
    bool has_job; /* its chunk is with the workers */
};

/* Digest and statistics that the other side left to this one. */
struct left_digest {
    uint64_t digest;
    struct tdbg_stats stats;
    bool done; /* in this step */
};

struct pipeline {
    struct tdbg_ring *ring;
    struct tdbg_trace_writer *writer;
    struct tdbg_workers *workers;
    struct tdbg_writer_position ahead; /* behind the last message taken */
    bool keyframe_ahead;               /* a keyframe item was taken since the last step */
    struct tdbg_message_order order;   /* of those taken */
    uint64_t taken;
    struct entry entries[MOST_ENTRIES]; /* a circle */
    unsigned front, n_entries;
    const struct tdbg_trace_spec *spec;
    struct tdbg_pipeline_files files;
    struct left_digest *left;          /* (n_sites) */
    struct tdbg_digest_stream partial; /* of a value that comes in pieces */
    bool ends_file;                    /* the file ends with the last message taken */
    unsigned char *whole;              /* a value that came in pieces and has to be put at once */
    size_t whole_bytes;
    int announce_fd;
    int64_t announced, committed_ns;
    bool closed;
};

static bool is_left(const struct tdbg_ring_message *m)
{
    return m->kind == TDBG_STREAM_VALUES && (m->flags & TDBG_STREAM_DIGEST) != 0;
}

/* Reads a message on: what follows needs to know where it will stand in the file. */
static void admit(struct pipeline *p, const struct tdbg_ring_taken *taken, uint64_t end)
{
    struct entry *e = &p->entries[(p->front + p->n_entries++) % MOST_ENTRIES];
    *e = (struct entry){.message = *taken, .end = end};
    const struct tdbg_ring_message *m = &taken->head;
    const void *data = taken->data;
    struct tdbg_encode_job *job = tdbg_workers_next(p->workers);
    job->has_chunk = true;
    job->n_elems = -1;
    if (m->kind == TDBG_STREAM_VALUES) {
        job->has_chunk = !(m->flags & TDBG_STREAM_UNSTORED) &&
                         tdbg_trace_writer_cut_value(p->writer, &p->ahead, m->id, m->first,
                                                     m->count, m->total, data, &job->chunk);
        e->has_job = job->has_chunk || (m->flags & TDBG_STREAM_UNSTORED && m->count == m->total);
        if (is_left(m) && m->count == m->total) {
            job->data = data;
            job->dtype = p->spec->sites[m->id].dtype;
            job->n_elems = m->total;
        }
    } else if (m->kind == TDBG_STREAM_KEYFRAME) {
        e->has_job = tdbg_trace_writer_cut_keyframe(p->writer, &p->ahead, m->id, m->first, m->count,
                                                    data, &job->chunk);
        p->keyframe_ahead = true;
    } else if (m->kind == TDBG_STREAM_STEP) {
        const int64_t step = tdbg_message_step(taken);
        if (p->ahead.n_steps++ == 0) {
            p->ahead.first_step = step;
            p->announced = step - 1;
        }
        p->ahead.n_keyframes += p->keyframe_ahead;
        p->keyframe_ahead = false;
        p->ends_file = tdbg_pipeline_files_is_full(&p->files, p->spec->info.keyframe_every,
                                                   p->ahead.first_step, step,
                                                   tdbg_trace_writer_bytes(p->writer));
    }
    if (e->has_job)
        tdbg_workers_give(p->workers);
}

/* The whole value that a piece belongs to, once its last piece is there; NULL before that. */
static const void *assemble(struct pipeline *p, const struct tdbg_ring_taken *taken,
                            struct tdbg_err *err)
{
    const struct tdbg_ring_message *m = &taken->head;
    if (m->count == m->total)
        return taken->data;
    const size_t elem_bytes = (size_t)m->bytes / (size_t)m->count;
    const size_t want = (size_t)m->total * elem_bytes;
    if (p->whole_bytes < want) {
        unsigned char *grown = realloc(p->whole, want);
        if (!grown) {
            tdbg_err_set(err, TDBG_NO_MEMORY, __FILE__, __LINE__,
                         "no memory for a tensor of %zu bytes", want);
            return NULL;
        }
        p->whole = grown;
        p->whole_bytes = want;
    }
    memcpy(p->whole + (size_t)m->first * elem_bytes, taken->data, m->bytes);
    return m->first + m->count == m->total ? p->whole : NULL;
}

static enum tdbg_status write_samples(struct pipeline *p, const struct tdbg_ring_taken *taken,
                                      struct tdbg_err *err)
{
    const struct tdbg_ring_message *m = &taken->head;
    const int64_t *ids = taken->data;
    const unsigned char *x = (const unsigned char *)(ids + m->count);
    if (m->first)
        return tdbg_trace_writer_put_samples(p->writer, m->id, m->count, ids, NULL, NULL, err);
    return tdbg_trace_writer_put_samples(p->writer, m->id, m->count, ids, x, x + m->total, err);
}

/* Digest and statistics of values that are being written. A worker has computed them where it had
 * the whole value. */
static void digest_values(struct pipeline *p, const struct tdbg_ring_taken *taken,
                          const struct tdbg_encode_job *job)
{
    const struct tdbg_ring_message *m = &taken->head;
    struct left_digest *left = &p->left[m->id];
    left->done = m->first + m->count == m->total;
    if (job && job->n_elems >= 0) {
        left->digest = job->digest;
        left->stats = job->stats;
        return;
    }
    if (m->first == 0)
        tdbg_digest_stream_begin(&p->partial, p->spec->sites[m->id].dtype);
    tdbg_digest_stream_add(&p->partial, taken->data, m->count);
    if (left->done)
        tdbg_digest_stream_end(&p->partial, &left->digest, &left->stats);
}

/* Puts what was left to this side in its place among the digests of a step. */
static enum tdbg_status complete_step(struct pipeline *p, const int32_t *source, uint64_t *digests,
                                      struct tdbg_stats *stats, struct tdbg_step_row *row,
                                      struct tdbg_err *err)
{
    const int32_t n = p->spec->n_sites;
    bool has_grad = false;
    for (int32_t i = 0; i < n; i++) {
        const int32_t from = source[i];
        if (from < 0)
            continue;
        if (from >= n || !p->left[from].done)
            return TDBG_RAISE(err, IO, "the values of %s did not come, which give its digest",
                              p->spec->sites[i].name);
        digests[i] = p->left[from].digest;
        stats[i] = p->left[from].stats;
        has_grad |= p->spec->sites[i].stage == TDBG_STAGE_GRAD;
    }
    if (has_grad)
        row->grad_norm = tdbg_stats_grad_norm(p->spec->sites, n, stats);
    for (int32_t i = 0; i < n; i++)
        p->left[i].done = false;
    return TDBG_OK;
}

static enum tdbg_status write_step(struct pipeline *p, const struct tdbg_ring_taken *taken,
                                   struct tdbg_err *err)
{
    struct tdbg_step_row row;
    /* completed where it is: the message is ours until it is freed */
    unsigned char *data = (unsigned char *)(uintptr_t)taken->data;
    uint64_t *digests = (void *)(data + sizeof row);
    struct tdbg_stats *stats = (void *)(digests + taken->head.count);
    memcpy(&row, data, sizeof row);
    const enum tdbg_status st =
        complete_step(p, (const void *)(stats + taken->head.count), digests, stats, &row, err);
    if (st != TDBG_OK)
        return st;
    tdbg_trace_writer_put_digests(p->writer, digests, stats);
    p->committed_ns = tdbg_clock_ns();
    return tdbg_trace_writer_commit_step(p->writer, &row, err);
}

static enum tdbg_status write_job(struct pipeline *p, const struct tdbg_ring_taken *taken,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_ring_message *m = &taken->head;
    struct tdbg_encode_job *job;
    const bool keyframe = m->kind == TDBG_STREAM_KEYFRAME;
    tdbg_workers_front(p->workers, true, &job);
    if (is_left(m))
        digest_values(p, taken, job);
    st = job->err.status;
    if (st != TDBG_OK)
        tdbg_err_set(err, st, job->err.file, job->err.line, "%s", job->err.message);
    else if (job->has_chunk)
        st = tdbg_trace_writer_put_chunk(p->writer, &job->chunk, keyframe ? m->id : -1,
                                         m->first + m->count == m->total, err);
    tdbg_err_clear(&job->err);
    tdbg_workers_pop(p->workers);
    return st;
}

static enum tdbg_status write_whole(struct pipeline *p, const struct tdbg_ring_taken *taken,
                                    struct tdbg_err *err)
{
    const struct tdbg_ring_message *m = &taken->head;
    if (is_left(m))
        digest_values(p, taken, NULL);
    if (m->flags & TDBG_STREAM_UNSTORED)
        return TDBG_OK;
    const void *data = m->total > 0 ? assemble(p, taken, err) : taken->data;
    if (!data)
        return err->status;
    if (m->kind == TDBG_STREAM_KEYFRAME)
        return tdbg_trace_writer_put_keyframe(p->writer, m->id, data, err);
    return tdbg_trace_writer_put_values(p->writer, m->id, data, m->total, err);
}

/* Says how far it has come: to the other side, and to whoever listens to announcements. */
static void report(struct pipeline *p)
{
    const int64_t durable = tdbg_trace_writer_durable(p->writer);
    tdbg_ring_report(p->ring, durable, p->files.earlier_bytes + tdbg_trace_writer_bytes(p->writer));
    while (p->announce_fd >= 0 && p->announced < durable) {
        char line[32];
        const int n = snprintf(line, sizeof line, "%lld\n", (long long)++p->announced);
        if (write(p->announce_fd, line, (size_t)n) != n)
            p->announce_fd = -1; /* nobody listens any more */
    }
}

static enum tdbg_status write_front(struct pipeline *p, struct tdbg_err *err)
{
    struct entry *e = &p->entries[p->front];
    const struct tdbg_ring_message *m = &e->message.head;
    enum tdbg_status st = TDBG_OK;
    if (e->has_job)
        st = write_job(p, &e->message, err);
    else if (m->kind == TDBG_STREAM_VALUES || m->kind == TDBG_STREAM_KEYFRAME)
        st = write_whole(p, &e->message, err);
    else if (m->kind == TDBG_STREAM_SAMPLES)
        st = write_samples(p, &e->message, err);
    else if (m->kind == TDBG_STREAM_STEP)
        st = write_step(p, &e->message, err);
    else if (m->kind == TDBG_STREAM_FINDING)
        st = tdbg_trace_writer_put_finding(p->writer, e->message.data, err);
    else if (m->kind == TDBG_STREAM_KEEP)
        p->files.keeps = true;
    else
        p->closed = true;
    if (m->kind == TDBG_STREAM_STEP && st == TDBG_OK)
        report(p);
    tdbg_ring_free(p->ring, e->end);
    p->front = (p->front + 1) % MOST_ENTRIES;
    p->n_entries--;
    return st;
}

/* Steps that wait for company are written when none comes. */
static enum tdbg_status rest(struct pipeline *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t since = tdbg_clock_ns() - p->committed_ns;
    const bool unflushed = tdbg_trace_writer_has_unflushed(p->writer);
    if (unflushed && since >= idle_flush_ns) {
        st = tdbg_trace_writer_flush(p->writer, err);
        if (st == TDBG_OK)
            report(p);
        return st;
    }
    tdbg_ring_wait(p->ring, p->taken, unflushed ? idle_flush_ns - since : idle_flush_ns);
    return st;
}

/* Goes on in the next file. Nothing is on its way to the present one. */
static enum tdbg_status begin_file(struct pipeline *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_trace_writer_flush(p->writer, err));
    report(p);
    TDBG_TRY(tdbg_pipeline_files_next(&p->files, p->spec, &p->writer, err));
    p->ahead = tdbg_trace_writer_position(p->writer);
    p->ends_file = false;
out:
    return st;
}

/* Is there a message for the next file? The end of the recording is none: it belongs to this file.
 */
static enum tdbg_status has_more(struct pipeline *p, bool *more, struct tdbg_err *err)
{
    uint64_t at = p->taken;
    struct tdbg_ring_taken next;
    const enum tdbg_status st = tdbg_ring_take(p->ring, &at, &next, err);
    if (next.data && (next.head.kind == TDBG_STREAM_CLOSE || next.head.kind == TDBG_STREAM_KEEP))
        p->ends_file = false; /* taken as usual */
    *more = next.data && p->ends_file;
    return st;
}

/* Takes what is there, as far as it may be read ahead. */
static enum tdbg_status read_on(struct pipeline *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_ring_taken next;
    while (!p->ends_file && p->n_entries < MOST_ENTRIES) {
        TDBG_TRY(tdbg_ring_take(p->ring, &p->taken, &next, err));
        if (!next.data)
            break;
        TDBG_TRY(tdbg_message_check(&next, p->spec, &p->order, err));
        admit(p, &next, p->taken);
    }
out:
    return st;
}

static enum tdbg_status run(struct pipeline *p, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    while (!p->closed) {
        const bool gone = tdbg_ring_peer_is_gone(p->ring); /* before the last look into the ring */
        bool more = false;
        TDBG_TRY(read_on(p, err));
        if (p->n_entries == 0 && p->ends_file)
            TDBG_TRY(has_more(p, &more, err));
        if (p->n_entries > 0)
            TDBG_TRY(write_front(p, err));
        else if (more)
            TDBG_TRY(begin_file(p, err));
        else if (gone)
            break;
        else
            TDBG_TRY(rest(p, err));
    }
    TDBG_TRY(tdbg_trace_writer_flush(p->writer, err));
    report(p);
out:
    return st;
}

/* Jobs that will not be written any more. */
static void drop_jobs(struct pipeline *p)
{
    struct tdbg_encode_job *job;
    for (; p->n_entries > 0; p->n_entries--, p->front = (p->front + 1) % MOST_ENTRIES) {
        if (!p->entries[p->front].has_job)
            continue;
        tdbg_workers_front(p->workers, true, &job);
        tdbg_err_clear(&job->err);
        tdbg_workers_pop(p->workers);
    }
}

static void report_closed(const struct pipeline *p, int64_t durable)
{
    const int64_t bytes = tdbg_pipeline_files_bytes(&p->files);
    if (bytes >= 0)
        tdbg_ring_report(p->ring, durable, bytes);
}

enum tdbg_status tdbg_pipeline_run(struct tdbg_ring *ring, struct tdbg_trace_writer *writer,
                                   const char *path, const struct tdbg_trace_spec *spec,
                                   const struct tdbg_pipeline_options *options,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK, closed;
    int64_t durable = 0;
    struct tdbg_err close_err = {0};
    struct pipeline *p = calloc(1, sizeof *p);
    TDBG_FAIL_IF(!p, NO_MEMORY, "no memory for a writer");
    p->ring = ring;
    p->writer = writer;
    p->ahead = tdbg_trace_writer_position(writer);
    p->spec = spec;
    p->announce_fd = options->announce_fd;
    p->committed_ns = tdbg_clock_ns();
    p->files = (struct tdbg_pipeline_files){.arena = tdbg_arena_create(),
                                            .path = path,
                                            .segment_bytes = options->segment_bytes,
                                            .window_steps = options->window_steps};
    p->workers = tdbg_workers_create(options->workers, MOST_ENTRIES + 1);
    p->left = calloc((size_t)spec->n_sites + 1, sizeof *p->left);
    TDBG_FAIL_IF(!p->workers || !p->files.arena || !p->left, NO_MEMORY, "no memory for a writer");
    TDBG_TRY(run(p, err));
    durable = tdbg_trace_writer_durable(p->writer);
out:
    if (st != TDBG_OK)
        tdbg_ring_fail(ring, err);
    if (p && p->workers)
        drop_jobs(p);
    if (p && p->writer)
        writer = p->writer;
    closed = st == TDBG_OK && p->closed ? tdbg_trace_writer_close(writer, &close_err)
                                        : tdbg_trace_writer_abandon(writer, &close_err);
    if (st == TDBG_OK && closed != TDBG_OK) {
        st = tdbg_err_set(err, closed, close_err.file, close_err.line, "%s", close_err.message);
        tdbg_ring_fail(ring, err);
    }
    if (st == TDBG_OK)
        report_closed(p, durable);
    tdbg_err_clear(&close_err);
    if (p) {
        tdbg_workers_destroy(p->workers);
        tdbg_arena_destroy(p->files.arena);
        free(p->left);
        free(p->whole);
    }
    free(p);
    return st;
}
