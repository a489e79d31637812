/* Recording without waiting for the disk: the calls of a trace writer, sent through shared memory
 * to a writer process that compresses and writes. The caller's part of the work is to copy its data
 * once. The process outlives the caller, whatever ends it, and brings what was committed into the
 * file. Where no process can be had it is a thread.
 *
 * One thread uses a stream. Order of calls as in writer.h. A call that fails with TDBG_IO means
 * that the recording has stopped: the message says why, and training can go on without it. */
#ifndef TDBG_TRACE_STREAM_H
#define TDBG_TRACE_STREAM_H

#include "trace/writer.h"

struct tdbg_stream_options {
    bool thread;       /* a thread even where a process could be had */
    bool process_only; /* no thread where a process was to be had but cannot share memory */
    bool drop;   /* when the queue is full values of large tensors are left out, not waited for */
    int workers; /* that compress besides the thread that writes; < 0: by the processors */
    int64_t queue_bytes;                 /* 0: the default */
    int64_t segment_bytes, window_steps; /* when to go on in another file (pipeline.h) */
    int announce_fd;                     /* gets "K\n" when step K is durable; -1: none */
};

/* Copies into the queue that another device makes, by numbers that it gives them, from 1 on. Sets
 * *reached to the number up to which all are complete, after waiting for `wait_for` (0: no wait).
 */
struct tdbg_stream_copies {
    enum tdbg_status (*reached)(void *context, uint64_t wait_for, uint64_t *reached,
                                struct tdbg_err *err);
    void *context;
};

struct tdbg_stream;

/* Starts the writer process. Early: before threads, MPI and CUDA are started. The stream is not
 * attached to a file yet. */
enum tdbg_status tdbg_stream_create(const struct tdbg_stream_options *options,
                                    struct tdbg_stream **out, struct tdbg_err *err);

/* Before it is opened: how large the queue is to be, where there is the memory. */
void tdbg_stream_set_queue_bytes(struct tdbg_stream *stream, int64_t bytes);

/* false: a thread of this process is going to write; HDF5 must not be called by others then. */
bool tdbg_stream_has_process(const struct tdbg_stream *stream);

/* Creates the file. Errors as tdbg_trace_writer_create(); TDBG_UNSUPPORTED: the writer process
 * cannot be used, and `process_only` was asked for. */
enum tdbg_status tdbg_stream_open(struct tdbg_stream *stream, const char *path, bool force,
                                  const struct tdbg_trace_spec *spec, struct tdbg_err *err);

void tdbg_stream_put_digest(struct tdbg_stream *stream, int32_t site, uint64_t digest,
                            const struct tdbg_stats *stats);

/* Instead: the other side computes digest and statistics of the site. Its values have to be put
 * after this call and before the step is committed; stored = false: only for this purpose, which is
 * cheaper than to compute here as long as the other side has little to do. Where gradients are left
 * so, grad_norm of the step is computed there as well (tdbg_stats_grad_norm()). false: not possible
 * or not worth it, and the caller has to compute them. */
bool tdbg_stream_leave_digest(struct tdbg_stream *stream, int32_t site, bool stored);

/* The same bits as a site that was left in this step; false: it was not. */
bool tdbg_stream_share_digest(struct tdbg_stream *stream, int32_t site, int32_t with);

/* The next piece of a value: *room is where its elements *first .. *first + *count - 1 are to be
 * put before the next call; starts with *first = *count = 0. *room = NULL: there is no further
 * piece. elems: of the whole value. With `drop` a value may get no room at all. */
struct tdbg_stream_piece {
    int64_t first, count;
    void *room;
};
enum tdbg_status tdbg_stream_next_value(struct tdbg_stream *stream, int32_t site, int64_t elems,
                                        struct tdbg_stream_piece *piece, struct tdbg_err *err);
enum tdbg_status tdbg_stream_next_keyframe(struct tdbg_stream *stream, int32_t item,
                                           struct tdbg_stream_piece *piece, struct tdbg_err *err);

/* The piece that was given last is complete when copy number `ticket` is: neither it nor what is
 * put after it goes to the other side before that. Numbers do not fall; copies are borrowed until
 * _settle has been called with wait. */
enum tdbg_status tdbg_stream_expect(struct tdbg_stream *stream,
                                    const struct tdbg_stream_copies *copies, uint64_t ticket,
                                    struct tdbg_err *err);

/* Lets go what is complete by now; wait: all of it. */
enum tdbg_status tdbg_stream_settle(struct tdbg_stream *stream, bool wait, struct tdbg_err *err);

/* The same for values that lie in memory. */
enum tdbg_status tdbg_stream_put_values(struct tdbg_stream *stream, int32_t site, const void *data,
                                        int64_t elems, struct tdbg_err *err);
enum tdbg_status tdbg_stream_put_keyframe(struct tdbg_stream *stream, int32_t item,
                                          const void *data, struct tdbg_err *err);

enum tdbg_status tdbg_stream_put_samples(struct tdbg_stream *stream, int set, int64_t n,
                                         const int64_t *ids, const void *x, const void *y,
                                         struct tdbg_err *err);

/* Something that was noticed (trace/schema.h). */
enum tdbg_status tdbg_stream_put_finding(struct tdbg_stream *stream,
                                         const struct tdbg_finding *finding, struct tdbg_err *err);

/* From here on nothing of the window is removed. */
enum tdbg_status tdbg_stream_keep(struct tdbg_stream *stream, struct tdbg_err *err);

/* row->chain is not filled in here; row->dropped is. */
enum tdbg_status tdbg_stream_commit_step(struct tdbg_stream *stream, struct tdbg_step_row *row,
                                         struct tdbg_err *err);

/* Bytes in the file, and the last durable step (-1: none), as the writer last said. */
int64_t tdbg_stream_bytes(const struct tdbg_stream *stream);
int64_t tdbg_stream_durable(const struct tdbg_stream *stream);

/* The memory that pieces lie in, which stays where it is until the stream is closed. */
void *tdbg_stream_queue(const struct tdbg_stream *stream, size_t *bytes);

/* Most memory that recording takes: the queue, and what is being compressed. */
int64_t tdbg_stream_memory_bytes(const struct tdbg_stream *stream);

/* Waits until all is written, and closes the file. After that come only _bytes and _close. */
enum tdbg_status tdbg_stream_end(struct tdbg_stream *stream, struct tdbg_err *err);

/* The same where it was not done yet, and frees the stream. NULL is fine. */
enum tdbg_status tdbg_stream_close(struct tdbg_stream *stream, struct tdbg_err *err);

#endif
