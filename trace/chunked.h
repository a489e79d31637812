/* A chunked dataset of the trace as one long array of elements in row-major order. Chunks are read
 * and written whole and past HDF5's filter pipeline, which is faster and gives errors that say what
 * is wrong.
 *
 * Every chunk is a contiguous run of elements, because of how chunks are cut (`split` = 1 here):
 *
 *     dims    (rows, 6, 3)      row 0:  [ chunk 0: 4 x 3 ][ chunk 1: 2 x 3, padded to 4 x 3 ]
 *     chunk   (   1, 4, 3)      row 1:  [ chunk 2        ][ chunk 3                         ]
 *                    ^ split: before it the chunk's extent is 1, after it that of the dataset
 */
#ifndef TDBG_TRACE_CHUNKED_H
#define TDBG_TRACE_CHUNKED_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/site.h"
#include "base/status.h"
#include "trace/codec.h"

enum {
    TDBG_CHUNKED_MAX_DIMS = TDBG_MAX_DIMS + 3, /* step, lane, micro-batch, shape */
    TDBG_CHUNK_BYTES = 4 << 20,                /* a chunk is split above this */
    TDBG_CHUNK_MAX_BYTES = 64 << 20,           /* a reader refuses larger ones */
};

/* What chunks go through: a codec and a buffer for raw and for padded chunks. */
struct tdbg_chunk_io {
    struct tdbg_codec *codec;
    unsigned char *raw;
    size_t raw_bytes;
    struct tdbg_chunk_job *job; /* of tdbg_chunked_write(); made when first needed */
    uint32_t serial;            /* of the chunk that is written next */
};
enum tdbg_status tdbg_chunk_io_init(struct tdbg_chunk_io *io, struct tdbg_err *err);
void tdbg_chunk_io_free(struct tdbg_chunk_io *io);

/* The decoded chunk that was read last; several datasets may share one. */
struct tdbg_chunk_cache {
    unsigned char *data;
    size_t bytes;
    const struct tdbg_chunked *owner; /* NULL: empty */
    uint64_t start;                   /* first element */
    uint64_t n_elems;                 /* that are known to be valid */
};

void tdbg_chunk_cache_free(struct tdbg_chunk_cache *cache);

struct tdbg_chunked {
    hid_t dataset; /* -1: not open */
    const char *path;
    int ndim, split;
    hsize_t dims[TDBG_CHUNKED_MAX_DIMS], chunk[TDBG_CHUNKED_MAX_DIMS];
    size_t elem_bytes;
    uint64_t inner;       /* elements of all dimensions after split */
    uint64_t row_elems;   /* elements of one index of dimension 0 */
    uint64_t chunk_elems; /* elements of a chunk, padding included */
    enum tdbg_codec_effort effort;
    uint32_t number;     /* writer only: the dataset's number in trailers (trailer.h) */
    uint64_t last_first; /* writer only: first element of the chunk written last ... */
    size_t last_bytes;   /* ... and its bytes in the file; 0: none yet */
    bool sparse; /* set by the owner: a chunk of zeros is not written, one that is missing reads so
                  */
    struct tdbg_chunk_cache *cache; /* reader only */
    struct tdbg_chunk_finder
        *finder;      /* reader only: what to ask where the index is torn, or NULL */
    bool by_trailers; /* reader only: the dataset is that of the skeleton, whose index is empty */
};

/* One chunk on its way into the file: made by tdbg_chunked_cut(), encoded by any thread that has a
 * tdbg_chunk_io of its own, written by the thread that owns HDF5. */
struct tdbg_chunk_job {
    struct tdbg_chunked *array;
    const void *data; /* borrowed: n_elems elements */
    uint64_t first_elem, n_elems;
    uint32_t serial;
    size_t avoid_bytes;    /* a size that the chunk must not have in the file */
    unsigned char *packed; /* with its trailer; kept for the next use of the job */
    size_t packed_bytes, room_bytes;
};
void tdbg_chunk_job_free(struct tdbg_chunk_job *job);

/* Cuts chunks: as many rows as `rows` says where they fit into TDBG_CHUNK_BYTES, else one row that
 * is split along its first dimensions. dims[0] is not looked at. */
void tdbg_chunked_plan(int ndim, const hsize_t *dims, size_t elem_bytes, hsize_t rows,
                       hsize_t *chunk);

/* How many of the elements of a tensor of that shape, from `first` on, lie in one chunk, where a
 * row has a chunk of its own: where to cut a tensor so that no piece is larger than
 * TDBG_CHUNK_BYTES. */
int64_t tdbg_chunked_piece(int32_t ndim, const int64_t *dims, size_t elem_bytes, int64_t first);

/* Creates a dataset of 0 rows with groups above it as needed; dims[0] is ignored and unlimited.
 * fill (one element, NULL: zero) is what HDF5 gives for chunks never written. */
enum tdbg_status tdbg_chunked_create(hid_t loc, const char *path, hid_t type, int ndim,
                                     const hsize_t *dims, hsize_t rows_per_chunk, const void *fill,
                                     enum tdbg_codec_effort effort, struct tdbg_chunked *out,
                                     struct tdbg_err *err);

/* The number that a dataset has in trailers: as long as no file is larger than 4 GiB when its
 * datasets are made, each has another. */
enum tdbg_status tdbg_chunked_number(hid_t dataset, const char *path, uint32_t *out,
                                     struct tdbg_err *err);

/* Opens and validates: hard links only, chunked in the way drawn above, shuffle + filter 32015, no
 * more than what fits into 64-bit counts. type < 0: any type whose size is known. *torn as in
 * tdbg_h5_open_maybe_torn(). */
enum tdbg_status tdbg_chunked_open(hid_t loc, const char *path, hid_t type, int ndim,
                                   struct tdbg_chunk_cache *cache, struct tdbg_chunked *out,
                                   bool *torn, struct tdbg_err *err);
void tdbg_chunked_close(struct tdbg_chunked *c);

/* Is everything of it still within 64-bit counts, after dims[0] was set by hand? */
bool tdbg_chunked_fits(const struct tdbg_chunked *c);

enum tdbg_status tdbg_chunked_set_rows(struct tdbg_chunked *c, hsize_t rows, struct tdbg_err *err);

/* The chunk that begins at first_elem, cut from n_elems elements at data, as a job; returns how
 * many elements it takes. `rows` is how many rows the dataset has or is going to have by then. */
uint64_t tdbg_chunked_cut(struct tdbg_chunked *c, hsize_t rows, uint64_t first_elem,
                          uint64_t n_elems, const void *data, uint32_t serial,
                          struct tdbg_chunk_job *job);
enum tdbg_status tdbg_chunk_encode(struct tdbg_chunk_job *job, struct tdbg_chunk_io *io,
                                   struct tdbg_err *err);
enum tdbg_status tdbg_chunked_put(struct tdbg_chunk_job *job, struct tdbg_err *err);

/* A chunk as it stands in another file, trailer included, put where that trailer says. */
enum tdbg_status tdbg_chunked_put_raw(struct tdbg_chunked *c, uint64_t first_elem,
                                      const void *packed, size_t packed_bytes,
                                      struct tdbg_err *err);

/* The three at once. Writes whole chunks: first_elem is where a chunk begins; the last chunk is
 * padded with zeros where n_elems ends inside it. The rows need not exist yet as extents do not
 * matter here, but tdbg_chunked_set_rows has to have made room. */
enum tdbg_status tdbg_chunked_write(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                    uint64_t first_elem, uint64_t n_elems, const void *data,
                                    struct tdbg_err *err);

/* Was the chunk ever written that holds this element? */
bool tdbg_chunked_has(const struct tdbg_chunked *c, uint64_t elem);

/* Bytes that its chunks take in the file. */
int64_t tdbg_chunked_stored_bytes(const struct tdbg_chunked *c);

/* Reads n_elems elements from first_elem on. TDBG_DAMAGED where a chunk is damaged, or missing in
 * an array that is not sparse. Where the index cannot be read and there is a finder, a chunk is the
 * latest whole one whose trailer names its place. */
enum tdbg_status tdbg_chunked_read(struct tdbg_chunked *c, struct tdbg_chunk_io *io,
                                   uint64_t first_elem, uint64_t n_elems, void *data,
                                   struct tdbg_err *err);

#endif
