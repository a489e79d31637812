/* Where the public library's recordings go: the one place that knows who writes the file. Same
 * calls, same meaning as trace/writer.h. */
#ifndef TDBG_TRACE_LIBTDBG_SINK_H
#define TDBG_TRACE_LIBTDBG_SINK_H

#include "include/tdbg.h"
#include "trace/table.h"
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

/* How a tensor that is kept in this way is stored. A schema without differences keeps the values
 * whole, which a reader cannot tell. */
static inline enum tdbg_store tdbg_sink_store(enum tdbg_keep keep)
{
    enum tdbg_store store = TDBG_STORE_DATASET;
    switch (keep) {
    case TDBG_KEEP_DIGEST:
        return TDBG_STORE_NONE;
    case TDBG_KEEP_DELTA:
        return tdbg_store_parse("delta", &store) ? store : TDBG_STORE_DATASET;
    case TDBG_KEEP_KEYFRAME:
        return TDBG_STORE_KEYFRAME;
    case TDBG_KEEP_SAMPLES:
        return TDBG_STORE_SAMPLES;
    case TDBG_KEEP_VALUES:
        break;
    }
    return store;
}

#endif
