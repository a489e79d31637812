/* Blocks of rows: /steps, /digest, /stats, /samples/train/batch and /keyframe/step, and the flush
 * that makes steps durable, with the rows of /steps last. */
#include "trace/writer_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace/hdf5_util.h"

enum { MOST_BLOCK_ROWS = 16, MOST_BLOCK_BYTES = 1 << 20, KEYFRAME_ROWS = 64 };

const char *const tdbg_stats_column_paths[STATS_COLUMNS] = {
    "stats/min", "stats/max", "stats/mean", "stats/rms", "stats/zeros", "stats/nans", "stats/infs",
};

enum tdbg_status tdbg_writer_create_block(struct tdbg_trace_writer *w, struct row_block *block,
                                          const char *path, hid_t type, hsize_t row_elems,
                                          hsize_t n_rows, const void *fill,
                                          enum tdbg_codec_effort effort, struct tdbg_err *err)
{
    hsize_t dims[2] = {0, row_elems};
    enum tdbg_status st = tdbg_chunked_create(w->file, path, type, row_elems > 0 ? 2 : 1, dims,
                                              n_rows, fill, effort, &block->array, err);
    if (st != TDBG_OK)
        return st;
    block->row_bytes = (row_elems > 0 ? row_elems : 1) * block->array.elem_bytes;
    block->rows = calloc(n_rows, block->row_bytes);
    return block->rows ? TDBG_OK : TDBG_RAISE(err, NO_MEMORY, "no memory for rows of %s", path);
}

static enum tdbg_status create_block(struct tdbg_trace_writer *w, struct row_block *block,
                                     const char *path, hid_t type, hsize_t row_elems,
                                     hsize_t n_rows, const void *fill, struct tdbg_err *err)
{
    return tdbg_writer_create_block(w, block, path, type, row_elems, n_rows, fill,
                                    TDBG_EFFORT_TABLES, err);
}

static enum tdbg_status create_step_blocks(struct tdbg_trace_writer *w, hid_t row_type,
                                           struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const double absent = NAN;
    const int64_t no_id = -1;
    hsize_t rows = (hsize_t)w->block_rows, n = (hsize_t)w->n_sites;
    TDBG_TRY(create_block(w, &w->steps, "steps", row_type, 0, rows, NULL, err));
    TDBG_TRY(create_block(w, &w->digest, "digest", H5T_STD_U64LE, n, rows, NULL, err));
    for (int c = 0; c < STATS_COLUMNS; c++) {
        bool is_double = c < STATS_DOUBLES;
        TDBG_TRY(create_block(w, &w->stats[c], tdbg_stats_column_paths[c],
                              is_double ? H5T_IEEE_F64LE : H5T_STD_U64LE, n, rows,
                              is_double ? &absent : NULL, err));
    }
    if (w->samples[TDBG_SAMPLES_TRAIN].total > 0)
        TDBG_TRY(create_block(w, &w->batch, "samples/train/batch", H5T_STD_I64LE,
                              (hsize_t)w->info.batch, rows, &no_id, err));
out:
    return st;
}

enum tdbg_status tdbg_writer_create_blocks(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t row_type = tdbg_table_type(&tdbg_table_steps);
    int64_t row_bytes = 8 * (int64_t)(w->n_sites > w->info.batch ? w->n_sites : w->info.batch);
    w->block_rows = MOST_BLOCK_BYTES / row_bytes;
    w->block_rows = w->block_rows > MOST_BLOCK_ROWS ? MOST_BLOCK_ROWS : w->block_rows;
    w->block_rows = w->block_rows < 1 ? 1 : w->block_rows;
    TDBG_TRY(create_step_blocks(w, row_type, err));
    TDBG_TRY(create_block(w, &w->keyframe_steps, "keyframe/step", H5T_STD_I64LE, 0, KEYFRAME_ROWS,
                          NULL, err));
    tdbg_writer_begin_row(w);
out:
    H5Tclose(row_type);
    return st;
}

void tdbg_writer_begin_row(struct tdbg_trace_writer *w)
{
    memset(tdbg_writer_row(w, &w->digest), 0, w->digest.row_bytes);
    for (int c = 0; c < STATS_COLUMNS; c++) {
        double *row = tdbg_writer_row(w, &w->stats[c]);
        memset(row, 0, w->stats[c].row_bytes);
        for (int32_t i = 0; c < STATS_DOUBLES && i < w->n_sites; i++)
            row[i] = NAN;
    }
    int64_t *ids = w->batch.rows ? tdbg_writer_row(w, &w->batch) : NULL;
    for (int64_t i = 0; ids && i < w->info.batch; i++)
        ids[i] = -1;
    w->n_batch = 0;
}

enum tdbg_status tdbg_writer_write_block(struct tdbg_trace_writer *w, struct row_block *block,
                                         int64_t rows_per_chunk, int64_t n_rows,
                                         struct tdbg_err *err)
{
    if (!block->rows)
        return TDBG_OK;
    enum tdbg_status st = TDBG_OK;
    uint64_t first = (uint64_t)((n_rows - 1) / rows_per_chunk * rows_per_chunk);
    uint64_t row_elems = block->array.row_elems;
    TDBG_TRY(tdbg_chunked_set_rows(&block->array, (hsize_t)n_rows, err));
    TDBG_TRY(tdbg_chunked_write(&block->array, &w->io, first * row_elems,
                                ((uint64_t)n_rows - first) * row_elems, block->rows, err));
out:
    return st;
}

int64_t tdbg_writer_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

enum tdbg_status tdbg_writer_add_keyframe(struct tdbg_trace_writer *w, int64_t step,
                                          struct tdbg_err *err)
{
    ((int64_t *)(void *)w->keyframe_steps.rows)[w->n_keyframes % KEYFRAME_ROWS] = step;
    w->n_keyframes++;
    if (w->n_keyframes % KEYFRAME_ROWS != 0)
        return TDBG_OK; /* with the next flush */
    w->n_keyframes_written = w->n_keyframes;
    return tdbg_writer_write_block(w, &w->keyframe_steps, KEYFRAME_ROWS, w->n_keyframes, err);
}

static enum tdbg_status flush_file(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    if (H5Fflush(w->file, H5F_SCOPE_LOCAL) < 0)
        return TDBG_H5_RAISE(err, IO, "cannot flush %s", w->path);
    return TDBG_OK;
}

/* Called with at most one chunk of steps that are not in the file yet. The rows of /steps go last,
 * after a flush of everything else: whoever finds a row finds all that belongs to the step, however
 * the process ends. */
enum tdbg_status tdbg_writer_flush(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t n = w->n_steps;
    if (n > w->n_flushed) {
        TDBG_TRY(tdbg_writer_flush_samples(w, err));
        TDBG_TRY(tdbg_writer_flush_packed(w, err));
        TDBG_TRY(tdbg_writer_flush_findings(w, err));
        if (w->n_keyframes > w->n_keyframes_written) {
            TDBG_TRY(
                tdbg_writer_write_block(w, &w->keyframe_steps, KEYFRAME_ROWS, w->n_keyframes, err));
            w->n_keyframes_written = w->n_keyframes;
        }
        TDBG_TRY(tdbg_writer_write_block(w, &w->digest, w->block_rows, n, err));
        for (int c = 0; c < STATS_COLUMNS; c++)
            TDBG_TRY(tdbg_writer_write_block(w, &w->stats[c], w->block_rows, n, err));
        TDBG_TRY(tdbg_writer_write_block(w, &w->batch, w->block_rows, n, err));
        TDBG_TRY(flush_file(w, err));
        TDBG_TRY(tdbg_writer_write_block(w, &w->steps, w->block_rows, n, err));
        TDBG_TRY(flush_file(w, err));
        w->n_flushed = n;
        TDBG_TRY(tdbg_writer_sync(w, err));
        TDBG_TRY(tdbg_writer_grow_ballast(w, err));
    }
    w->flushed_ns = tdbg_writer_now_ns();
out:
    return st;
}

static void for_each_block(struct tdbg_trace_writer *w, void (*act)(struct row_block *block))
{
    act(&w->steps);
    act(&w->digest);
    for (int c = 0; c < STATS_COLUMNS; c++)
        act(&w->stats[c]);
    act(&w->batch);
    act(&w->keyframe_steps);
    act(&w->findings);
    act(&w->zone_steps);
    act(&w->zone_stats);
    act(&w->zone_digest);
}

void tdbg_writer_close_block(struct row_block *block)
{
    tdbg_chunked_close(&block->array);
}

void tdbg_writer_free_block(struct row_block *block)
{
    free(block->rows);
}

void tdbg_writer_close_blocks(struct tdbg_trace_writer *w)
{
    for_each_block(w, tdbg_writer_close_block);
}

void tdbg_writer_free_blocks(struct tdbg_trace_writer *w)
{
    for_each_block(w, tdbg_writer_free_block);
}
