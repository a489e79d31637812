/* Where the public library's recordings go: the one place that knows who writes the file. Same
 * calls, same meaning as trace/writer.h. */
#ifndef TDBG_TRACE_LIBTDBG_SINK_H
#define TDBG_TRACE_LIBTDBG_SINK_H

#include "trace/writer.h"

struct tdbg_sink {
    struct tdbg_trace_writer *writer; /* NULL: not open */
};

static inline enum tdbg_status tdbg_sink_open(struct tdbg_sink *sink, const char *path, bool force,
                                              const struct tdbg_trace_spec *spec,
                                              struct tdbg_err *err)
{
    return tdbg_trace_writer_create(path, force, spec, &sink->writer, err);
}

static inline void tdbg_sink_put_digest(struct tdbg_sink *sink, int32_t site, uint64_t digest,
                                        const struct tdbg_stats *stats)
{
    tdbg_trace_writer_put_digest(sink->writer, site, digest, stats);
}

static inline enum tdbg_status tdbg_sink_put_values(struct tdbg_sink *sink, int32_t site,
                                                    const void *data, int64_t elems,
                                                    struct tdbg_err *err)
{
    return tdbg_trace_writer_put_values(sink->writer, site, data, elems, err);
}

static inline enum tdbg_status tdbg_sink_put_samples(struct tdbg_sink *sink, int64_t n,
                                                     const int64_t *ids, const void *x,
                                                     const void *y, struct tdbg_err *err)
{
    return tdbg_trace_writer_put_samples(sink->writer, TDBG_SAMPLES_TRAIN, n, ids, x, y, err);
}

static inline enum tdbg_status tdbg_sink_put_keyframe(struct tdbg_sink *sink, int32_t item,
                                                      const void *data, struct tdbg_err *err)
{
    return tdbg_trace_writer_put_keyframe(sink->writer, item, data, err);
}

static inline enum tdbg_status tdbg_sink_commit(struct tdbg_sink *sink, struct tdbg_step_row *row,
                                                struct tdbg_err *err)
{
    return tdbg_trace_writer_commit_step(sink->writer, row, err);
}

static inline enum tdbg_status tdbg_sink_close(struct tdbg_sink *sink, struct tdbg_err *err)
{
    struct tdbg_trace_writer *writer = sink->writer;
    sink->writer = NULL;
    return tdbg_trace_writer_close(writer, err);
}

#endif
