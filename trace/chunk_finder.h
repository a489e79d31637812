/* Reading on where the metadata of a file is torn: what the index of a dataset does not give is
 * found by the trailers of the chunks, and a dataset whose header cannot be read is the one of the
 * skeleton. The file is scanned when that is first needed, and never otherwise.
 *
 *     header -> index -> chunk | trailer      as HDF5 reads it
 *       x         x      chunk | trailer  <-  list (trailer_scan.h), by dataset and first element
 */
#ifndef TDBG_TRACE_CHUNK_FINDER_H
#define TDBG_TRACE_CHUNK_FINDER_H

#include "trace/chunked.h"
#include "trace/trailer_scan.h"

struct tdbg_torn {
    const char *dataset, *text; /* "steps", "steps: the index of its chunks is damaged ..." */
    bool header;                /* it was its header, not only its index */
};

struct tdbg_chunk_finder {
    hid_t file;               /* borrowed */
    const char *path;         /* borrowed */
    struct tdbg_arena *arena; /* borrowed; owns the texts */
    struct tdbg_chunk_list list;
    uint64_t scanned_bytes; /* how long the file was when it was scanned; 0: it was not */
    hid_t skeleton;         /* <= 0: not open */
    struct tdbg_torn *torn; /* (n_torn) what of the file is, each dataset once */
    size_t n_torn, room;
};

void tdbg_chunk_finder_init(struct tdbg_chunk_finder *f, hid_t file, const char *path,
                            struct tdbg_arena *arena);
void tdbg_chunk_finder_free(struct tdbg_chunk_finder *f); /* all zero is fine */

/* The chunk of an open dataset that begins at first_elem and has at least n_elems elements, in
 * *out. TDBG_NOT_FOUND: no whole chunk has a trailer that says so; TDBG_DAMAGED where the file
 * cannot be scanned; TDBG_IO, TDBG_NO_MEMORY. */
enum tdbg_status tdbg_chunk_finder_find(struct tdbg_chunk_finder *f, const struct tdbg_chunked *c,
                                        uint64_t first_elem, uint64_t n_elems,
                                        struct tdbg_found_chunk *out, struct tdbg_err *err);

/* Its bytes, trailer included, as they are now: chunk->bytes + TDBG_TRAILER_BYTES at `to`. */
enum tdbg_status tdbg_chunk_finder_load(struct tdbg_chunk_finder *f, const char *dataset,
                                        const struct tdbg_found_chunk *chunk, unsigned char *to,
                                        struct tdbg_err *err);

/* Were chunks found that are damaged? Then one that is not found may be one of them. */
bool tdbg_chunk_finder_lost_some(const struct tdbg_chunk_finder *f);

/* The file as it was before its first step; borrowed. */
enum tdbg_status tdbg_chunk_finder_skeleton(struct tdbg_chunk_finder *f, hid_t *file,
                                            struct tdbg_err *err);

/* Rows that the chunks of a dataset reach, and the bytes that those within its rows take in the
 * file (either may be NULL). step_rows as for tdbg_chunk_list_rows(). */
enum tdbg_status tdbg_chunk_finder_measure(struct tdbg_chunk_finder *f,
                                           const struct tdbg_chunked *c, uint64_t step_rows,
                                           uint64_t *rows, uint64_t *bytes, struct tdbg_err *err);

/* Notes that the index or the header of a dataset is torn, once; not while a writer is at work,
 * which may be in the middle of writing it. */
void tdbg_chunk_finder_note(struct tdbg_chunk_finder *f, const char *dataset, bool header);
const struct tdbg_torn *tdbg_chunk_finder_noted(const struct tdbg_chunk_finder *f,
                                                const char *dataset); /* NULL: nothing */
bool tdbg_chunk_finder_has_writer(const struct tdbg_chunk_finder *f);

#endif
