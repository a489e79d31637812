/* Inside of the trace reader, shared by reader*.c only. */
#ifndef TDBG_TRACE_READER_IMPL_H
#define TDBG_TRACE_READER_IMPL_H

#include "base/arena.h"
#include "trace/chunk_finder.h"
#include "trace/chunked.h"
#include "trace/id_map.h"
#include "trace/layout.h"
#include "trace/reader.h"
#include "trace/table.h"

/* Columns of /stats; the first four are f64, the others u64. */
enum { READ_STATS_COLUMNS = 7, READ_STATS_DOUBLES = 4 };
enum { READ_ROWS = 32 }; /* of /steps at once */

/* A dataset with a decoded chunk of its own. */
struct cached_array {
    struct tdbg_chunked array;
    struct tdbg_chunk_cache cache;
};

/* A dataset that is opened, and checked, when it is first read. */
struct lazy_array {
    struct tdbg_chunked array;
    bool open;
    int64_t whole_every; /* /delta only: rows */
};

/* The value of a site with store DELTA that was read last: the next row is one difference away. */
struct recent_value {
    unsigned char *data; /* NULL: none */
    uint64_t row;
};

/* A dataset of /packed. Each keeps a chunk of its own: one holds many sites and several steps. */
struct packed_reader {
    struct cached_array rows;
    bool open;
};

/* A set of samples. Samples are read in the order in which some epoch shuffles them, so many
 * decoded chunks are kept: chunk k is in cache k modulo n_caches. */
struct sample_reader {
    struct cached_array x, y, id;
    struct tdbg_chunk_cache *x_caches;
    size_t n_caches;
    struct tdbg_id_map map; /* filled by the first read */
    bool mapped;
};

/* /zones, opened when first asked for. */
struct zone_reader {
    struct cached_array steps, stats, digest;
    size_t step_offsets[TDBG_TABLE_MAX_COLUMNS], stats_offsets[TDBG_TABLE_MAX_COLUMNS];
    unsigned char *row, *elems; /* one raw row of steps, and of stats */
    int64_t every, n_zones;     /* steps of a zone; zones that count: 0 where there are none */
    bool is_open;
    const char *fault; /* why they cannot be used, or NULL */
};

struct tdbg_trace {
    struct tdbg_trace *whole;     /* the trace that this file belongs to; itself where it is that */
    struct tdbg_trace **segments; /* (n_segments) further files, in order */
    int n_segments;
    const char *note; /* why the trace ends before its last file, or NULL */

    struct tdbg_arena *arena;
    const char *path;
    hid_t file;
    int64_t file_bytes;
    struct tdbg_chunk_io io;
    struct tdbg_chunk_finder finder; /* for what is torn */
    struct tdbg_run_info info;
    bool closed;
    int32_t schema_minor;

    struct tdbg_site *sites;
    struct tdbg_site_plan *plans;
    int32_t n_sites;
    struct tdbg_layout layout;
    int64_t *packed_column;       /* (n_sites) packed_offset as the file has it */
    struct lazy_array *values;    /* (layout.n_sets) */
    struct packed_reader *packed; /* (layout.n_packed) */
    struct recent_value *recent;  /* (n_sites) */
    size_t recent_bytes;          /* of all of them */
    struct tdbg_keyframe_item *items;
    int32_t n_items;
    int32_t *item_of_site;     /* (n_sites) */
    struct lazy_array *frames; /* (n_items) */
    struct tdbg_chunk_cache value_cache;

    int64_t first_step, n_steps;
    struct cached_array steps, digest, stats[READ_STATS_COLUMNS], batch;
    size_t step_offsets[TDBG_TABLE_MAX_COLUMNS];
    unsigned char *step_rows; /* (READ_ROWS) raw */
    uint64_t chain_before[TDBG_CHAIN_COUNT];

    struct zone_reader zones;

    int64_t *keyframes; /* steps, ascending */
    int64_t n_keyframes;

    struct tdbg_samples_spec samples[TDBG_SAMPLES_SETS];
    struct sample_reader sample_readers[TDBG_SAMPLES_SETS];
    struct tdbg_vocabulary vocabulary;
    bool has_read_vocabulary;

    tdbg_trace_recompute_fn recompute;
    void *recompute_context;
};

/* reader.c: one file, without those it goes on in. */
enum tdbg_status tdbg_reader_open_one(const char *path, struct tdbg_trace **out,
                                      struct tdbg_err *err);

/* The file that an external link in a group names, where it is beside this one; else NULL. */
const char *tdbg_reader_link_path(const struct tdbg_trace *trace, const char *group,
                                  const char *link);

/* The file that /segments/next names, beside this one; NULL: none, or it was never made. */
const char *tdbg_reader_next_path(const struct tdbg_trace *trace);

/* reader_segments.c: opens the files that the trace goes on in; the file that has a step (or, where
 * none has, the nearest before it); the last file. */
void tdbg_reader_open_segments(struct tdbg_trace *trace);
void tdbg_reader_close_segments(struct tdbg_trace *trace);
struct tdbg_trace *tdbg_reader_at(struct tdbg_trace *trace, int64_t step);
const struct tdbg_trace *tdbg_reader_last(const struct tdbg_trace *trace);

/* reader_open.c: reads and checks what describes the run; the trace is then ready. */
enum tdbg_status tdbg_reader_load(struct tdbg_trace *trace, struct tdbg_err *err);

/* reader_table.c */
enum tdbg_status tdbg_reader_check_step(const struct tdbg_trace *trace, int64_t step,
                                        struct tdbg_err *err);
enum tdbg_status tdbg_reader_load_steps(struct tdbg_trace *trace, struct tdbg_err *err);

/* reader_zone.c */
void tdbg_reader_close_zones(struct tdbg_trace *trace);

/* reader_samples.c */
enum tdbg_status tdbg_reader_load_samples(struct tdbg_trace *trace, struct tdbg_err *err);
void tdbg_reader_free_samples(struct tdbg_trace *trace);

/* reader_value.c: the dataset of a value set or keyframe item, opened and checked. */
enum tdbg_status tdbg_reader_open_set(struct tdbg_trace *trace, int32_t set,
                                      struct tdbg_chunked **out, struct tdbg_err *err);
enum tdbg_status tdbg_reader_open_item(struct tdbg_trace *trace, int32_t item,
                                       struct tdbg_chunked **out, struct tdbg_err *err);

/* reader_store.c: a dataset of /packed, opened and checked; values of sites by their store; the
 * digest recorded for a site at a step that is there (0: none). */
enum tdbg_status tdbg_reader_open_packed(struct tdbg_trace *trace, int32_t packed_set,
                                         struct tdbg_chunked **out, struct tdbg_err *err);
enum tdbg_status tdbg_reader_read_packed(struct tdbg_trace *trace, int64_t step, int32_t site,
                                         void *data, struct tdbg_err *err);
enum tdbg_status tdbg_reader_read_delta(struct tdbg_trace *trace, int64_t step, int32_t site,
                                        void *data, struct tdbg_err *err);
enum tdbg_status tdbg_reader_read_residual(struct tdbg_trace *trace, int64_t step, int32_t site,
                                           void *data, int64_t *n_elems, struct tdbg_err *err);
enum tdbg_status tdbg_reader_read_digest(struct tdbg_trace *trace, int64_t step, int32_t site,
                                         uint64_t *digest, struct tdbg_err *err);
void tdbg_reader_free_stores(struct tdbg_trace *trace);

/* reader_dataset.c: opens a dataset from the file or, where its header is torn, from the skeleton.
 * The caller closes *out with H5Oclose. */
enum tdbg_status tdbg_reader_open_object(struct tdbg_trace *trace, const char *path, hid_t *out,
                                         struct tdbg_err *err);

/* Opens a dataset as tdbg_chunked_open() does, whatever of it is torn. One that is opened from the
 * skeleton has the rows that its chunks reach, or that it has to have by now. */
enum tdbg_status tdbg_reader_open_dataset(struct tdbg_trace *trace, const char *path, hid_t type,
                                          int ndim, struct tdbg_chunk_cache *cache,
                                          struct tdbg_chunked *out, struct tdbg_err *err);

/* Opens a dataset with a cache of its own. */
static inline enum tdbg_status tdbg_reader_open_cached(struct tdbg_trace *trace, const char *path,
                                                       hid_t type, int ndim,
                                                       struct cached_array *out,
                                                       struct tdbg_err *err)
{
    return tdbg_reader_open_dataset(trace, path, type, ndim, &out->cache, &out->array, err);
}

static inline void tdbg_reader_close_cached(struct cached_array *a)
{
    tdbg_chunked_close(&a->array);
    tdbg_chunk_cache_free(&a->cache);
}

#endif
