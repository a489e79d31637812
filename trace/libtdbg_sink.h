/* Where the public library's recordings go: the one place that knows who writes the file. Same
 * calls, same meaning as trace/stream.h. */
#ifndef TDBG_TRACE_LIBTDBG_SINK_H
#define TDBG_TRACE_LIBTDBG_SINK_H

#include "trace/stream.h"

struct tdbg_sink {
    struct tdbg_stream *stream; /* NULL: not open */
};

static inline enum tdbg_status tdbg_sink_close(struct tdbg_sink *sink, struct tdbg_err *err)
{
    struct tdbg_stream *stream = sink->stream;
    sink->stream = NULL;
    return tdbg_stream_close(stream, err);
}

static inline enum tdbg_status tdbg_sink_open(struct tdbg_sink *sink, const char *path, bool force,
                                              const struct tdbg_trace_spec *spec,
                                              struct tdbg_err *err)
{
    const struct tdbg_stream_options options = {.workers = -1, .announce_fd = -1};
    enum tdbg_status st = tdbg_stream_create(&options, &sink->stream, err);
    if (st == TDBG_OK)
        st = tdbg_stream_open(sink->stream, path, force, spec, err);
    if (st != TDBG_OK)
        tdbg_sink_close(sink, NULL);
    return st;
}

static inline void tdbg_sink_put_digest(struct tdbg_sink *sink, int32_t site, uint64_t digest,
                                        const struct tdbg_stats *stats)
{
    tdbg_stream_put_digest(sink->stream, site, digest, stats);
}

static inline enum tdbg_status tdbg_sink_put_values(struct tdbg_sink *sink, int32_t site,
                                                    const void *data, int64_t elems,
                                                    struct tdbg_err *err)
{
    return tdbg_stream_put_values(sink->stream, site, data, elems, err);
}

static inline enum tdbg_status tdbg_sink_put_samples(struct tdbg_sink *sink, int64_t n,
                                                     const int64_t *ids, const void *x,
                                                     const void *y, struct tdbg_err *err)
{
    return tdbg_stream_put_samples(sink->stream, TDBG_SAMPLES_TRAIN, n, ids, x, y, err);
}

static inline enum tdbg_status tdbg_sink_put_keyframe(struct tdbg_sink *sink, int32_t item,
                                                      const void *data, struct tdbg_err *err)
{
    return tdbg_stream_put_keyframe(sink->stream, item, data, err);
}

static inline enum tdbg_status tdbg_sink_commit(struct tdbg_sink *sink, struct tdbg_step_row *row,
                                                struct tdbg_err *err)
{
    return tdbg_stream_commit_step(sink->stream, row, err);
}

#endif
