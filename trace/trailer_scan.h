/* Finding the chunks of a trace by their trailers alone, wherever they lie in a file. Everything
 * there is hostile: what is in the list after a scan has a right checksum, and nothing else. */
#ifndef TDBG_TRACE_TRAILER_SCAN_H
#define TDBG_TRACE_TRAILER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tdbg_found_chunk {
    uint64_t offset; /* in the file, of its first byte */
    uint64_t first_elem;
    uint32_t dataset, bytes, n_elems, serial; /* see struct tdbg_trailer; bytes without trailer */
};

struct tdbg_chunk_list {
    struct tdbg_found_chunk *items; /* sorted by dataset, first_elem; in each place the latest */
    size_t n_items, room;
    int64_t n_damaged; /* trailers whose chunk does not have its checksum */
    uint64_t total_bytes;
};

/* Called now and then; may be NULL. */
typedef void (*tdbg_scan_progress_fn)(void *context, int64_t done_bytes, int64_t total_bytes);

/* Costs 32 bytes of memory per chunk. TDBG_DAMAGED where a file is made to be slow to scan. The
 * list is freed by the caller with tdbg_chunk_list_free(), on failure too. */
enum tdbg_status tdbg_scan_chunks(const unsigned char *data, size_t data_bytes,
                                  tdbg_scan_progress_fn progress, void *context,
                                  struct tdbg_chunk_list *list, struct tdbg_err *err);
void tdbg_chunk_list_free(struct tdbg_chunk_list *list);

/* The part of the list that belongs to one dataset; *n may be 0. */
const struct tdbg_found_chunk *tdbg_chunk_list_of(const struct tdbg_chunk_list *list,
                                                  uint32_t dataset, size_t *n);

/* The chunk of a dataset that begins at first_elem; NULL: none was found. */
const struct tdbg_found_chunk *tdbg_chunk_list_find(const struct tdbg_chunk_list *list,
                                                    uint32_t dataset, uint64_t first_elem);

/* Rows that the (*n) chunks of a dataset reach, nonsense left out: *n is cut to those that count.
 * step_rows: rows that /steps is known to have, which any dataset may have. */
struct tdbg_chunked;
uint64_t tdbg_chunk_list_rows(const struct tdbg_chunked *c, uint64_t step_rows,
                              const struct tdbg_found_chunk *chunks, size_t *n);

/* Could the chunk be one of the dataset's, by its place and sizes? */
bool tdbg_chunk_fits(const struct tdbg_chunked *c, const struct tdbg_found_chunk *chunk);

#endif
