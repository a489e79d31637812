/* Inside of the trace writer, shared by writer*.c only. */
#ifndef TDBG_TRACE_WRITER_IMPL_H
#define TDBG_TRACE_WRITER_IMPL_H

#include "base/arena.h"
#include "trace/chunked.h"
#include "trace/id_map.h"
#include "trace/layout.h"
#include "trace/new_file.h"
#include "trace/table.h"
#include "trace/writer.h"
#include "trace/zone.h"

/* A dataset with one row per step (or keyframe), written a chunk of rows at a time. `rows` holds
 * the rows of the chunk that is not full yet. */
struct row_block {
    struct tdbg_chunked array;
    unsigned char *rows;
    size_t row_bytes;
};

/* A dataset of /packed: a block of rows at steps of its own cadence. */
struct packed_writer {
    struct row_block block;
    int64_t rows_per_chunk;
    int64_t n_rows, n_written; /* of committed steps; the row of the current step is behind them */
};

/* A dataset of /t, /delta or /residual. */
struct value_writer {
    struct tdbg_chunked array;
    unsigned char *row;    /* all slots of the current step; made when first needed */
    bool pending;          /* row holds something that is not written */
    unsigned char *before; /* DELTA: the row written last, as values */
    int64_t whole_every;   /* DELTA: rows */
};

/* A set of /samples. The three arrays have the same rows per chunk. */
struct sample_writer {
    struct tdbg_chunked x, y, id;
    unsigned char *x_part, *y_part; /* samples of the chunk that is not full yet */
    int64_t *id_part;
    size_t x_bytes, y_bytes; /* of one sample */
    int64_t rows_per_chunk, n_rows, n_written;
    int64_t total; /* 0: there is no such set */
    struct tdbg_id_map map;
};

/* Columns of /stats. The first four are f64, the others u64. */
enum { STATS_COLUMNS = 7, STATS_DOUBLES = 4 };
extern const char *const tdbg_stats_column_paths[STATS_COLUMNS];

struct tdbg_trace_writer {
    struct tdbg_arena *arena;
    const char *path; /* as the caller named it */
    struct tdbg_new_file target;
    bool named_at_close;
    hid_t file;
    struct tdbg_chunk_io io;
    bool failed; /* a call failed: only close is allowed */
    int ballast; /* a nameless file of nothing but room, given back when the disk is full; -1: none
                  */
    int64_t ballast_bytes;
    int program_lock;   /* on the file (file_lock.h), beside the target's; -1: none */
    int64_t most_bytes; /* that a file can have in this file system */
    int64_t synced_ns;  /* when the file was last forced to disk */

    struct tdbg_run_info info; /* texts are not kept */
    struct tdbg_site *sites;
    struct tdbg_site_plan *plans;
    int32_t n_sites;
    struct tdbg_layout layout;
    int32_t *item_of_site;
    struct value_writer *values;  /* (layout.n_sets) */
    struct packed_writer *packed; /* (layout.n_packed) */
    bool *value_put;              /* (n_sites) in the current step */

    int64_t first_step, n_steps; /* committed; first_step is known after the first commit */
    int64_t n_flushed;           /* of those, how many /steps holds */
    int64_t block_rows;          /* rows per chunk of what follows */
    struct row_block steps, digest, stats[STATS_COLUMNS], batch;
    uint64_t chain[TDBG_CHAIN_COUNT];
    int64_t flushed_ns;

    struct tdbg_zone zone; /* of the steps since the last row of /zones */
    int64_t steps_per_zone;
    struct row_block zone_steps, zone_stats, zone_digest;

    struct tdbg_keyframe_item *items;
    int32_t n_items, n_items_put;
    bool *item_put;
    struct tdbg_chunked *item_arrays; /* (n_items) */
    struct row_block keyframe_steps;
    int64_t n_keyframes, n_keyframes_written;

    struct row_block findings;
    int64_t n_findings, n_findings_written;

    struct sample_writer samples[TDBG_SAMPLES_SETS];
    int64_t n_batch; /* ids of the current step so far */
};

/* writer_guard.c: what keeps a recording whole in a crash or on a full disk. */
enum tdbg_status tdbg_writer_guard(struct tdbg_trace_writer *w, struct tdbg_err *err);
enum tdbg_status tdbg_writer_grow_ballast(struct tdbg_trace_writer *w, struct tdbg_err *err);
void tdbg_writer_drop_ballast(struct tdbg_trace_writer *w);
enum tdbg_status tdbg_writer_sync(struct tdbg_trace_writer *w, struct tdbg_err *err);

/* Can this much more be written, and the file still be closed? TDBG_IO also after a failure. */
enum tdbg_status tdbg_writer_ready(const struct tdbg_trace_writer *w, int64_t more_bytes,
                                   struct tdbg_err *err);

/* writer_create.c: makes everything that the file will ever hold. */
enum tdbg_status tdbg_writer_create_objects(struct tdbg_trace_writer *w,
                                            const struct tdbg_trace_spec *spec,
                                            struct tdbg_err *err);

/* writer_samples.c */
enum tdbg_status tdbg_writer_create_samples(struct tdbg_trace_writer *w,
                                            const struct tdbg_trace_spec *spec,
                                            struct tdbg_err *err);
enum tdbg_status tdbg_writer_flush_samples(struct tdbg_trace_writer *w, struct tdbg_err *err);
void tdbg_writer_close_samples(struct tdbg_trace_writer *w); /* the datasets only */
void tdbg_writer_free_samples(struct tdbg_trace_writer *w);

/* writer_value.c */
enum tdbg_status tdbg_writer_create_packed(struct tdbg_trace_writer *w, struct tdbg_err *err);
enum tdbg_status tdbg_writer_commit_values(struct tdbg_trace_writer *w,
                                           const struct tdbg_step_row *row, struct tdbg_err *err);
enum tdbg_status tdbg_writer_flush_packed(struct tdbg_trace_writer *w, struct tdbg_err *err);
enum tdbg_status tdbg_writer_trim_values(struct tdbg_trace_writer *w, struct tdbg_err *err);
void tdbg_writer_close_values(struct tdbg_trace_writer *w); /* the datasets only */
void tdbg_writer_free_values(struct tdbg_trace_writer *w);

/* writer_block.c */
enum tdbg_status tdbg_writer_create_block(struct tdbg_trace_writer *w, struct row_block *block,
                                          const char *path, hid_t type, hsize_t row_elems,
                                          hsize_t n_rows, const void *fill,
                                          enum tdbg_codec_effort effort, struct tdbg_err *err);
/* Writes the rows of the chunk that n_rows ends in. */
enum tdbg_status tdbg_writer_write_block(struct tdbg_trace_writer *w, struct row_block *block,
                                         int64_t rows_per_chunk, int64_t n_rows,
                                         struct tdbg_err *err);
void tdbg_writer_close_block(struct row_block *block); /* the dataset only */
void tdbg_writer_free_block(struct row_block *block);
enum tdbg_status tdbg_writer_create_blocks(struct tdbg_trace_writer *w, struct tdbg_err *err);
void tdbg_writer_begin_row(struct tdbg_trace_writer *w); /* empties the row of the current step */
enum tdbg_status tdbg_writer_add_keyframe(struct tdbg_trace_writer *w, int64_t step,
                                          struct tdbg_err *err);
int64_t tdbg_writer_now_ns(void); /* monotonic */
enum tdbg_status tdbg_writer_flush(struct tdbg_trace_writer *w, struct tdbg_err *err);
void tdbg_writer_close_blocks(struct tdbg_trace_writer *w); /* the datasets only */
void tdbg_writer_free_blocks(struct tdbg_trace_writer *w);

/* Where the current step's row of a block is. */
static inline void *tdbg_writer_row(const struct tdbg_trace_writer *w,
                                    const struct row_block *block)
{
    return block->rows + (size_t)(w->n_steps % w->block_rows) * block->row_bytes;
}

/* writer_zone.c: the current step's rows into the zone, before it counts; its zone into the file
 * where that is complete, once it counts. */
enum tdbg_status tdbg_writer_create_zones(struct tdbg_trace_writer *w, struct tdbg_err *err);
void tdbg_writer_add_to_zone(struct tdbg_trace_writer *w, const struct tdbg_step_row *row);
enum tdbg_status tdbg_writer_end_zone(struct tdbg_trace_writer *w, struct tdbg_err *err);

/* findings.c */
enum tdbg_status tdbg_writer_create_findings(struct tdbg_trace_writer *w, struct tdbg_err *err);
enum tdbg_status tdbg_writer_flush_findings(struct tdbg_trace_writer *w, struct tdbg_err *err);

/* writer_value.c: room for that row. */
enum tdbg_status tdbg_writer_make_row(struct tdbg_chunked *array, uint64_t row,
                                      struct tdbg_err *err);

#endif
