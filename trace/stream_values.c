/* Values, keyframes and digests on their way into the queue. See stream.h; what else goes there is
 * in stream.c. */
#include "trace/stream_impl.h"

#include "base/copy.h"
#include "trace/chunked.h"
#include "trace/pipeline.h"

enum { BUSY_SHARE = 4 }; /* the other side is busy when this part of the queue waits for it */

void tdbg_stream_put_digest(struct tdbg_stream *s, int32_t site, uint64_t digest,
                            const struct tdbg_stats *stats)
{
    TDBG_ASSERT(site >= 0 && site < s->n_sites);
    s->digests[site] = digest;
    s->stats[site] = *stats;
}

bool tdbg_stream_leave_digest(struct tdbg_stream *s, int32_t site, bool stored)
{
    TDBG_ASSERT(site >= 0 && site < s->n_sites);
    const bool busy = tdbg_ring_used_bytes(s->ring) > tdbg_ring_room_bytes(s->ring) / BUSY_SHARE;
    if (s->options.drop || (!stored && busy))
        return false;
    s->source[site] = site;
    s->flags[site] = TDBG_STREAM_DIGEST | (stored ? 0 : TDBG_STREAM_UNSTORED);
    return true;
}

bool tdbg_stream_share_digest(struct tdbg_stream *s, int32_t site, int32_t with)
{
    TDBG_ASSERT(site >= 0 && site < s->n_sites && with >= 0 && with < s->n_sites);
    s->source[site] = s->source[with];
    return s->source[with] >= 0;
}

/* The piece that begins at `first`; TDBG_STOPPED: it may be dropped, and there is no room. */
static enum tdbg_status open_piece(struct tdbg_stream *s, enum tdbg_stream_kind kind, int32_t id,
                                   int64_t first, int64_t count, int64_t total, size_t elem_bytes,
                                   bool wait, struct tdbg_stream_piece *piece, struct tdbg_err *err)
{
    struct tdbg_ring_message *m;
    const enum tdbg_status st = tdbg_stream_reserve(s, (size_t)count * elem_bytes, wait, &m, err);
    if (st != TDBG_OK)
        return st;
    m->kind = kind;
    m->id = id;
    m->first = first;
    m->count = count;
    m->total = total;
    m->flags = kind == TDBG_STREAM_VALUES ? s->flags[id] : 0;
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
    tdbg_stream_publish_piece(s);
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
    const int64_t total =
        (int64_t)(tdbg_stream_shape_bytes(p->ndim, p->dims, p->dtype) / elem_bytes);
    const int64_t first = piece->first + piece->count;
    tdbg_stream_publish_piece(s);
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
