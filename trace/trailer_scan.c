/* Scanning a file for trailers. See trailer_scan.h. */
#include "trace/trailer_scan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chunked.h"
#include "trace/trailer.h"

enum { PROGRESS_BYTES = 16 << 20 };

/* A false trailer costs a checksum over what it says it stands behind. An honest file has few; one
 * that is full of them must not take for ever. */
enum { FALSE_BYTES_FACTOR = 4, FALSE_BYTES_MORE = 256 << 20 };

/* Chunks that are lost leave gaps, but a chunk far behind all others is a lie: so many rows at
 * least, and twice as many as are there, may be in between. */
enum { MOST_GAP_ROWS = 65536 };

struct scan {
    const unsigned char *data;
    size_t data_bytes;
    struct tdbg_chunk_list *list;
    uint64_t false_bytes;  /* that checksums were computed over in vain */
    int64_t n_false;       /* trailers since the last good chunk that have no good chunk ... */
    uint64_t false_offset; /* ... and where the first of them is */
};

void tdbg_chunk_list_free(struct tdbg_chunk_list *list)
{
    free(list->items);
    *list = (struct tdbg_chunk_list){0};
}

/* Is it worth a checksum? Every chunk begins with a frame of zstd. */
static bool is_plausible(const struct scan *s, size_t at, const struct tdbg_trailer *t)
{
    static const unsigned char zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    return t->bytes >= sizeof zstd_magic &&
           t->bytes <= tdbg_codec_bound(TDBG_CHUNK_MAX_BYTES) + TDBG_TRAILER_FILLER_BYTES &&
           memcmp(s->data + at - t->bytes, zstd_magic, sizeof zstd_magic) == 0;
}

/* Chunks may hold what looks like chunks: the skeleton does, and samples may. Those do not count.
 */
static void drop_nested(struct scan *s, uint64_t offset)
{
    struct tdbg_chunk_list *list = s->list;
    while (list->n_items > 0 && list->items[list->n_items - 1].offset >= offset)
        list->n_items--;
    if (s->n_false > 0 && s->false_offset < offset)
        list->n_damaged += s->n_false;
    s->n_false = 0;
}

static enum tdbg_status add_chunk(struct scan *s, size_t at, const struct tdbg_trailer *t,
                                  struct tdbg_err *err)
{
    struct tdbg_chunk_list *list = s->list;
    drop_nested(s, at - t->bytes);
    if (list->n_items == list->room) {
        size_t room = list->room > 0 ? 2 * list->room : 1024;
        struct tdbg_found_chunk *grown = realloc(list->items, room * sizeof *grown);
        if (!grown)
            return TDBG_RAISE(err, NO_MEMORY, "no memory for a list of %zu chunks", room);
        list->items = grown;
        list->room = room;
    }
    list->items[list->n_items++] = (struct tdbg_found_chunk){.offset = at - t->bytes,
                                                             .first_elem = t->first_elem,
                                                             .dataset = t->dataset,
                                                             .bytes = t->bytes,
                                                             .n_elems = t->n_elems,
                                                             .serial = t->serial};
    return TDBG_OK;
}

/* What looks like a trailer, at `at`. */
static enum tdbg_status look_at(struct scan *s, size_t at, struct tdbg_err *err)
{
    struct tdbg_trailer t;
    if (tdbg_trailer_peek(s->data, at, s->data_bytes, &t) && is_plausible(s, at, &t)) {
        if (tdbg_trailer_get(s->data, at, s->data_bytes, &t))
            return add_chunk(s, at, &t, err);
        s->false_bytes += t.bytes;
        if (s->false_bytes / FALSE_BYTES_FACTOR > s->data_bytes + FALSE_BYTES_MORE)
            return TDBG_RAISE(err, DAMAGED, "it is full of false trailers of chunks");
    }
    if (s->n_false++ == 0)
        s->false_offset = at;
    return TDBG_OK;
}

static int compare(const void *a, const void *b)
{
    const struct tdbg_found_chunk *x = a, *y = b;
    if (x->dataset != y->dataset)
        return x->dataset < y->dataset ? -1 : 1;
    if (x->first_elem != y->first_elem)
        return x->first_elem < y->first_elem ? -1 : 1;
    if (x->serial != y->serial)
        return x->serial > y->serial ? -1 : 1;
    return (x->offset < y->offset) - (x->offset > y->offset);
}

/* Sorts, and keeps the latest chunk of each place. */
static void sort(struct tdbg_chunk_list *list)
{
    size_t kept = 0;
    if (list->n_items > 0)
        qsort(list->items, list->n_items, sizeof *list->items, compare);
    for (size_t i = 0; i < list->n_items; i++) {
        const struct tdbg_found_chunk *c = &list->items[i];
        const struct tdbg_found_chunk *last = kept > 0 ? &list->items[kept - 1] : NULL;
        if (last && last->dataset == c->dataset && last->first_elem == c->first_elem)
            continue;
        list->total_bytes += c->bytes + (uint64_t)TDBG_TRAILER_BYTES;
        list->items[kept++] = *c;
    }
    list->n_items = kept;
}

enum tdbg_status tdbg_scan_chunks(const unsigned char *data, size_t data_bytes,
                                  tdbg_scan_progress_fn progress, void *context,
                                  struct tdbg_chunk_list *list, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct scan s = {.data = data, .data_bytes = data_bytes, .list = list};
    *list = (struct tdbg_chunk_list){0};
    for (size_t from = 0; from < data_bytes; from += PROGRESS_BYTES) {
        size_t end = data_bytes - from < PROGRESS_BYTES ? data_bytes : from + PROGRESS_BYTES;
        /* a trailer that begins in this piece may end in the next one */
        size_t look = data_bytes - end < TDBG_TRAILER_BYTES ? data_bytes : end + TDBG_TRAILER_BYTES;
        for (size_t at = tdbg_trailer_find(data, from, look); at < end;
             at = tdbg_trailer_find(data, at + 1, look))
            TDBG_TRY(look_at(&s, at, err));
        if (progress)
            progress(context, (int64_t)end, (int64_t)data_bytes);
    }
    list->n_damaged += s.n_false;
    sort(list);
out:
    return st;
}

/* First item of a dataset that is not below it. */
static size_t lower_bound(const struct tdbg_chunk_list *list, uint64_t dataset)
{
    size_t low = 0, high = list->n_items;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].dataset < dataset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct tdbg_found_chunk *tdbg_chunk_list_of(const struct tdbg_chunk_list *list,
                                                  uint32_t dataset, size_t *n)
{
    size_t first = lower_bound(list, dataset);
    *n = lower_bound(list, (uint64_t)dataset + 1) - first;
    return *n > 0 ? list->items + first : NULL;
}

const struct tdbg_found_chunk *tdbg_chunk_list_find(const struct tdbg_chunk_list *list,
                                                    uint32_t dataset, uint64_t first_elem)
{
    size_t n, low = 0;
    const struct tdbg_found_chunk *chunks = tdbg_chunk_list_of(list, dataset, &n);
    for (size_t high = n; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (chunks[middle].first_elem < first_elem)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && chunks[low].first_elem == first_elem ? &chunks[low] : NULL;
}

uint64_t tdbg_chunk_list_rows(const struct tdbg_chunked *c, uint64_t step_rows,
                              const struct tdbg_found_chunk *chunks, size_t *n)
{
    uint64_t rows = 0, elems = 0, room, bytes;
    for (size_t i = 0; i < *n; i++) {
        uint64_t first = chunks[i].first_elem / c->row_elems;
        uint64_t most = 2 * (elems / c->row_elems) + MOST_GAP_ROWS;
        most = step_rows > most ? step_rows : most;
        uint64_t end;
        bool overflows = __builtin_add_overflow(chunks[i].first_elem, chunks[i].n_elems, &end);
        uint64_t reach = end / c->row_elems + (end % c->row_elems > 0);
        if (overflows || first > most ||
            __builtin_mul_overflow(reach + c->chunk[0], c->row_elems, &room) ||
            __builtin_mul_overflow(room, c->elem_bytes, &bytes) || bytes > INT64_MAX / 2) {
            *n = i;
            break;
        }
        elems += chunks[i].n_elems;
        rows = reach > rows ? reach : rows;
    }
    return rows;
}

bool tdbg_chunk_fits(const struct tdbg_chunked *c, const struct tdbg_found_chunk *chunk)
{
    return chunk->n_elems > 0 && chunk->n_elems <= c->chunk_elems &&
           chunk->first_elem / c->row_elems < c->dims[0] &&
           chunk->bytes <= tdbg_codec_bound(c->chunk_elems * c->elem_bytes);
}
