/* Inside of a stream, shared by stream.c, stream_values.c and stream_open.c only. */
#ifndef TDBG_TRACE_STREAM_IMPL_H
#define TDBG_TRACE_STREAM_IMPL_H

#include <pthread.h>
#include <sys/types.h>

#include "base/arena.h"
#include "trace/id_map.h"
#include "trace/ring.h"
#include "trace/stream.h"

enum { TDBG_STREAM_EXPECTED = 32 }; /* different tickets at a time */

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
    uint8_t *flags;           /* (n_sites): of the values of the current step */
    bool piece_is_open;
    /* What is held back until copies are complete, oldest first: messages up to `end`. */
    const struct tdbg_stream_copies *copies;
    struct {
        uint64_t ticket, end;
    } expected[TDBG_STREAM_EXPECTED];
    int n_expected;
    int32_t n_dropped; /* values, in the current step */
};

/* Bytes of a tensor. */
size_t tdbg_stream_shape_bytes(int32_t ndim, const int64_t *dims, enum tdbg_dtype dtype);

/* Bytes of the data of a message that commits a step. */
size_t tdbg_stream_step_bytes(const struct tdbg_stream *s);

/* Digests 0 and statistics that say "not recorded", for the next step. */
void tdbg_stream_clear_step(struct tdbg_stream *s);

/* tdbg_ring_reserve() that says what ended the other side. */
enum tdbg_status tdbg_stream_reserve(struct tdbg_stream *s, size_t bytes, bool wait,
                                     struct tdbg_ring_message **out, struct tdbg_err *err);

/* The piece of a value that was being filled in, if there is one. */
void tdbg_stream_publish_piece(struct tdbg_stream *s);

/* Waits for the end of the process, which comes with that of the socket. */
void tdbg_stream_end_process(struct tdbg_stream *s);

#endif
