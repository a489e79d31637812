/* Where the public library's recordings go: a stream where a writer process can be had, else a
 * writer of this process, which calls HDF5 from the caller's thread only. Same calls, same meaning
 * as trace/stream.h. */
#ifndef TDBG_TRACE_LIBTDBG_SINK_H
#define TDBG_TRACE_LIBTDBG_SINK_H

#include "trace/stream.h"

struct tdbg_sink {
    struct tdbg_stream *stream;       /* NULL: not open, or there is no process */
    struct tdbg_trace_writer *writer; /* NULL: not open, or there is a process */
};

static inline enum tdbg_status tdbg_sink_open(struct tdbg_sink *sink, const char *path, bool force,
                                              const struct tdbg_trace_spec *spec,
                                              struct tdbg_err *err)
{
    const struct tdbg_stream_options options = {
        .process_only = true, .workers = -1, .announce_fd = -1};
    enum tdbg_status st = tdbg_stream_create(&options, &sink->stream, err);
    if (st == TDBG_OK && tdbg_stream_has_process(sink->stream)) {
        st = tdbg_stream_open(sink->stream, path, force, spec, err);
        if (st == TDBG_OK)
            return st;
    }
    if (st == TDBG_UNSUPPORTED || (st == TDBG_OK && !tdbg_stream_has_process(sink->stream))) {
        tdbg_err_clear(err);
        st = tdbg_trace_writer_create(path, force, spec, &sink->writer, err);
    }
    tdbg_stream_close(sink->stream, NULL);
    sink->stream = NULL;
    return st;
}

static inline void tdbg_sink_put_digest(struct tdbg_sink *sink, int32_t site, uint64_t digest,
                                        const struct tdbg_stats *stats)
{
    if (sink->stream)
        tdbg_stream_put_digest(sink->stream, site, digest, stats);
    else
        tdbg_trace_writer_put_digest(sink->writer, site, digest, stats);
}

static inline enum tdbg_status tdbg_sink_put_values(struct tdbg_sink *sink, int32_t site,
                                                    const void *data, int64_t elems,
                                                    struct tdbg_err *err)
{
    return sink->stream ? tdbg_stream_put_values(sink->stream, site, data, elems, err)
                        : tdbg_trace_writer_put_values(sink->writer, site, data, elems, err);
}

static inline enum tdbg_status tdbg_sink_put_samples(struct tdbg_sink *sink, int64_t n,
                                                     const int64_t *ids, const void *x,
                                                     const void *y, struct tdbg_err *err)
{
    const int set = TDBG_SAMPLES_TRAIN;
    return sink->stream ? tdbg_stream_put_samples(sink->stream, set, n, ids, x, y, err)
                        : tdbg_trace_writer_put_samples(sink->writer, set, n, ids, x, y, err);
}

static inline enum tdbg_status tdbg_sink_put_keyframe(struct tdbg_sink *sink, int32_t item,
                                                      const void *data, struct tdbg_err *err)
{
    return sink->stream ? tdbg_stream_put_keyframe(sink->stream, item, data, err)
                        : tdbg_trace_writer_put_keyframe(sink->writer, item, data, err);
}

static inline enum tdbg_status tdbg_sink_commit(struct tdbg_sink *sink, struct tdbg_step_row *row,
                                                struct tdbg_err *err)
{
    return sink->stream ? tdbg_stream_commit_step(sink->stream, row, err)
                        : tdbg_trace_writer_commit_step(sink->writer, row, err);
}

static inline enum tdbg_status tdbg_sink_close(struct tdbg_sink *sink, struct tdbg_err *err)
{
    const struct tdbg_sink s = *sink;
    *sink = (struct tdbg_sink){0};
    return s.stream ? tdbg_stream_close(s.stream, err) : tdbg_trace_writer_close(s.writer, err);
}

#endif
