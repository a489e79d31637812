/* Checking what comes out of the ring. See message.h; what a message holds is in pipeline.h. */
#include "trace/message.h"

#include <string.h>

#include "trace/chunked.h"
#include "trace/pipeline.h"

static enum tdbg_status raise(const struct tdbg_ring_message *m, const char *what,
                              struct tdbg_err *err)
{
    return TDBG_RAISE(err, IO, "the queue of the recording is damaged: kind %u, id %d: %s",
                      (unsigned)m->kind, (int)m->id, what);
}

static int64_t elems_of(int32_t ndim, const int64_t *dims)
{
    int64_t n = 1;
    for (int32_t d = 0; d < ndim; d++)
        n *= dims[d];
    return n;
}

/* A piece of a tensor of that shape: pieces are cut where chunks are, and come one after the other.
 */
static enum tdbg_status check_piece(const struct tdbg_ring_message *m, int32_t ndim,
                                    const int64_t *dims, enum tdbg_dtype dtype,
                                    struct tdbg_message_order *order, struct tdbg_err *err)
{
    const int64_t elem_bytes = (int64_t)tdbg_dtype_bytes(dtype);
    const bool begins = order->kind == 0;
    if (m->total < 0 || m->total > elems_of(ndim, dims))
        return raise(m, "no such size", err);
    if (m->first != (begins ? 0 : order->next))
        return raise(m, "a piece is missing", err);
    if (m->count < (m->total > 0) || m->count > m->total - m->first)
        return raise(m, "no such piece", err);
    if (m->bytes != (uint64_t)(m->count * elem_bytes))
        return raise(m, "data of another size", err);
    const int64_t end = m->first + m->count;
    if (m->count > 0) {
        const int64_t whole = tdbg_chunked_piece(ndim, dims, (size_t)elem_bytes, m->first);
        if (m->count > whole || (end < m->total && m->count != whole))
            return raise(m, "a piece that is cut elsewhere", err);
    }
    *order = (struct tdbg_message_order){m->kind, m->id, end, m->total, m->flags};
    if (end == m->total)
        order->kind = 0;
    return TDBG_OK;
}

static enum tdbg_status check_samples(const struct tdbg_ring_message *m,
                                      const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    if (m->id < 0 || m->id >= TDBG_SAMPLES_SETS || spec->samples[m->id].total == 0)
        return raise(m, "no such set of samples", err);
    const struct tdbg_samples_spec *s = &spec->samples[m->id];
    const uint64_t x =
        (uint64_t)elems_of(s->x_ndim, s->x_dims) * (uint64_t)tdbg_dtype_bytes(s->x_dtype);
    const uint64_t y =
        (uint64_t)elems_of(s->y_ndim, s->y_dims) * (uint64_t)tdbg_dtype_bytes(s->y_dtype);
    const bool whole = m->first == 0;
    if ((m->first != 0 && m->first != 1) || m->count < 1 ||
        (uint64_t)m->count > m->bytes / sizeof(int64_t))
        return raise(m, "no such number of samples", err);
    const uint64_t n = (uint64_t)m->count, x_bytes = whole ? n * x : 0;
    if (m->bytes != n * sizeof(int64_t) + x_bytes + (whole ? n * y : 0) ||
        m->total != (int64_t)x_bytes)
        return raise(m, "samples of another size", err);
    return TDBG_OK;
}

int64_t tdbg_message_step(const struct tdbg_ring_taken *message)
{
    struct tdbg_step_row row;
    memcpy(&row, message->data, sizeof row);
    return row.step;
}

static enum tdbg_status check_step(const struct tdbg_ring_taken *t,
                                   const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    const struct tdbg_ring_message *m = &t->head;
    const size_t site_bytes = sizeof(uint64_t) + sizeof(struct tdbg_stats) + sizeof(int32_t);
    if (m->count != spec->n_sites ||
        m->bytes != sizeof(struct tdbg_step_row) + (size_t)spec->n_sites * site_bytes)
        return raise(m, "a step of another size", err);
    const int64_t step = tdbg_message_step(t);
    if (step < 0 || step >= TDBG_MAX_STEPS)
        return raise(m, "no such step", err);
    return TDBG_OK;
}

static enum tdbg_status check_id(const struct tdbg_ring_message *m, int32_t n, struct tdbg_err *err)
{
    return m->id >= 0 && m->id < n ? TDBG_OK : raise(m, "no such tensor", err);
}

enum tdbg_status tdbg_message_check(const struct tdbg_ring_taken *t,
                                    const struct tdbg_trace_spec *spec,
                                    struct tdbg_message_order *order, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_ring_message *m = &t->head;
    const bool ends = m->kind == TDBG_STREAM_CLOSE || m->kind == TDBG_STREAM_KEEP;
    if (order->kind != 0 && !ends &&
        (m->kind != order->kind || m->id != order->id || m->total != order->total ||
         m->flags != order->flags))
        return raise(m, "the rest of a tensor is missing", err);
    const uint64_t with_digest = m->flags & ~(uint64_t)TDBG_STREAM_UNSTORED;
    if (m->flags != 0 && (with_digest != TDBG_STREAM_DIGEST || m->kind != TDBG_STREAM_VALUES))
        return raise(m, "no such flag", err);
    switch (m->kind) {
    case TDBG_STREAM_VALUES:
        TDBG_TRY(check_id(m, spec->n_sites, err));
        const struct tdbg_site *s = &spec->sites[m->id];
        return check_piece(m, s->ndim, s->dims, s->dtype, order, err);
    case TDBG_STREAM_KEYFRAME:
        TDBG_TRY(check_id(m, spec->n_items, err));
        const struct tdbg_keyframe_item *k = &spec->items[m->id];
        if (m->total != elems_of(k->ndim, k->dims))
            return raise(m, "no such size", err);
        return check_piece(m, k->ndim, k->dims, k->dtype, order, err);
    case TDBG_STREAM_SAMPLES:
        return check_samples(m, spec, err);
    case TDBG_STREAM_STEP:
        return check_step(t, spec, err);
    case TDBG_STREAM_FINDING:
        return m->bytes == sizeof(struct tdbg_finding) ? TDBG_OK
                                                       : raise(m, "a finding of another size", err);
    case TDBG_STREAM_KEEP:
    case TDBG_STREAM_CLOSE:
        return m->bytes == 0 ? TDBG_OK : raise(m, "data where none can be", err);
    default:
        return raise(m, "no such message", err);
    }
out:
    return st;
}
