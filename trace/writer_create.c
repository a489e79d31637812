/* Creating a trace: everything that the file will ever hold, so that a step only adds rows. */
#include "trace/writer_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/chain.h"
#include "trace/hdf5_util.h"
#include "trace/segment.h"
#include "trace/trailer.h"

enum { TABLE_ROWS = 4096, DEFAULT_WHOLE_EVERY = 50 };

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static const char *uuid_text(const uint8_t *uuid, char buf[37])
{
    char *at = buf;
    for (int i = 0; i < TDBG_UUID_BYTES; i++)
        at += sprintf(at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
    return buf;
}

static enum tdbg_status put_root(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = &w->info;
    const int64_t schema[2] = {TDBG_SCHEMA_MAJOR, TDBG_SCHEMA_MINOR};
    char uuid[37];
    TDBG_TRY(tdbg_h5_put_text(w->file, "format", "tdbg trace", err));
    TDBG_TRY(tdbg_h5_put_ints(w->file, "schema", schema, 2, err));
    TDBG_TRY(tdbg_h5_put_text(w->file, "tdbg_version", or_empty(info->tdbg_version), err));
    TDBG_TRY(tdbg_h5_put_int(w->file, "numerics_version", info->numerics_version, err));
    TDBG_TRY(tdbg_h5_put_text(w->file, "run_uuid", uuid_text(info->uuid, uuid), err));
    TDBG_TRY(tdbg_h5_put_text(w->file, "parent_uuid", uuid_text(info->parent_uuid, uuid), err));
    TDBG_TRY(tdbg_h5_put_int(w->file, "rank", info->rank, err));
    TDBG_TRY(tdbg_h5_put_int(w->file, "world_size", info->world_size, err));
    TDBG_TRY(tdbg_h5_put_int(w->file, "closed", 0, err));
out:
    return st;
}

static enum tdbg_status put_run(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_run_info *info = &w->info;
    const struct {
        const char *path, *text;
    } texts[] = {
        {"run/config", info->config},   {"run/config_path", info->config_path},
        {"run/inject", info->inject},   {"run/config_source", info->config_source},
        {"run/dataset", info->dataset}, {"run/environment", info->environment},
        {"run/graph", info->graph},
    };
    hid_t run = -1;
    TDBG_TRY(tdbg_h5_create_group(w->file, "run", &run, err));
    TDBG_TRY(tdbg_h5_put_text(run, "preset", or_empty(info->preset), err));
    TDBG_TRY(tdbg_h5_put_int(run, "lanes", info->lanes, err));
    TDBG_TRY(tdbg_h5_put_int(run, "accumulate", info->accumulate, err));
    TDBG_TRY(tdbg_h5_put_int(run, "batch", info->batch, err));
    TDBG_TRY(tdbg_h5_put_int(run, "planned_steps", info->planned_steps, err));
    TDBG_TRY(tdbg_h5_put_int(run, "keyframe_every", info->keyframe_every, err));
    TDBG_TRY(tdbg_h5_put_u64(run, "seed", info->seed, err));
    TDBG_TRY(tdbg_h5_put_text(run, "overflow", info->overflow ? info->overflow : "wait", err));
    TDBG_TRY(tdbg_h5_put_int(run, "memory_bytes", info->memory_bytes, err));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TDBG_TRY(tdbg_h5_write_text(w->file, texts[i].path, or_empty(texts[i].text), err));
out:
    if (run >= 0)
        H5Gclose(run);
    return st;
}

static enum tdbg_status copy_text(char *to, const char *from, size_t most, const char *site,
                                  struct tdbg_err *err)
{
    size_t n = strnlen(from, most + 1);
    if (n > most)
        return TDBG_RAISE(err, USAGE, "site %s: '%.20s...' is longer than %zu characters", site,
                          from, most);
    memset(to, 0, most + 1);
    memcpy(to, from, n);
    return TDBG_OK;
}

static enum tdbg_status fill_site(const struct tdbg_trace_writer *w, int32_t i, void *record,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_site_record *r = record;
    const struct tdbg_site *s = &w->sites[i];
    const struct tdbg_site_plan *plan = &w->plans[i];
    *r = (struct tdbg_site_record){.id = i,
                                   .lane = s->lane,
                                   .micro = s->micro,
                                   .ndim = s->ndim,
                                   .batched = s->batched,
                                   .digest_every = plan->digest_every,
                                   .value_every = plan->value_every,
                                   .packed_offset = w->layout.packed_offset[i]};
    memcpy(r->shape, s->dims, (size_t)s->ndim * sizeof *r->shape);
    strcpy(r->name, s->name); /* its length was checked with the layout */
    strcpy(r->stage, tdbg_stage_text(s->stage));
    strcpy(r->dtype, tdbg_dtype_text(s->dtype));
    strcpy(r->store, tdbg_store_text(plan->store));
    TDBG_TRY(copy_text(r->op, or_empty(s->op), TDBG_OP_TEXT_BYTES, s->name, err));
    TDBG_TRY(copy_text(r->unit, or_empty(s->unit), TDBG_UNIT_TEXT_BYTES, s->name, err));
out:
    return st;
}

/* Writes n rows that `fill` makes as structs of the table's kind into a dataset of their own. */
typedef enum tdbg_status (*fill_fn)(const struct tdbg_trace_writer *w, int32_t i, void *record,
                                    struct tdbg_err *err);

static enum tdbg_status put_table(struct tdbg_trace_writer *w, const char *path,
                                  const struct tdbg_table *table, int32_t n_rows, fill_fn fill,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t type = tdbg_table_type(table);
    size_t row_bytes = tdbg_table_row_bytes(table);
    struct tdbg_chunked array = {.dataset = -1};
    union {
        struct tdbg_site_record site;
        struct tdbg_item_record item;
    } record;
    hsize_t dims[1] = {0}, n = (hsize_t)n_rows;
    hsize_t chunk_rows = n > TABLE_ROWS ? TABLE_ROWS : n;
    unsigned char *rows = malloc((n + 1) * row_bytes);
    TDBG_FAIL_IF(!rows, NO_MEMORY, "no memory for %s", path);
    for (int32_t i = 0; i < n_rows; i++) {
        TDBG_TRY(fill(w, i, &record, err));
        tdbg_table_pack(table, &record, rows + (size_t)i * row_bytes);
    }
    TDBG_TRY(tdbg_chunked_create(w->file, path, type, 1, dims, chunk_rows > 0 ? chunk_rows : 1,
                                 NULL, TDBG_EFFORT_TABLES, &array, err));
    TDBG_TRY(tdbg_chunked_set_rows(&array, n, err));
    TDBG_TRY(tdbg_chunked_write(&array, &w->io, 0, n, rows, err));
out:
    tdbg_chunked_close(&array);
    H5Tclose(type);
    free(rows);
    return st;
}

/* A reader of one row adds up all rows from the last whole one on, as replay does from a keyframe:
 * so they are as far apart, within bounds. */
static int64_t rows_to_whole(const struct tdbg_run_info *info)
{
    if (info->keyframe_every == 0)
        return DEFAULT_WHOLE_EVERY;
    return info->keyframe_every < TDBG_MAX_WHOLE_EVERY ? info->keyframe_every
                                                       : TDBG_MAX_WHOLE_EVERY;
}

static enum tdbg_status create_value_set(struct tdbg_trace_writer *w, int32_t i,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    static const char *const axes[] = {"step", "step,lane", "step,lane,micro"};
    const struct tdbg_value_set *set = &w->layout.sets[i];
    struct tdbg_chunked *array = &w->values[i].array;
    hsize_t dims[TDBG_CHUNKED_MAX_DIMS] = {0};
    int n = 1;
    if (set->n_axes >= 1)
        dims[n++] = (hsize_t)set->n_lanes;
    if (set->n_axes == 2)
        dims[n++] = (hsize_t)set->n_micro;
    for (int32_t d = 0; d < set->ndim; d++)
        dims[n++] = (hsize_t)set->dims[d];
    enum tdbg_dtype dtype = w->sites[set->site].dtype;
    hid_t type = set->store == TDBG_STORE_DATASET ? tdbg_h5_dtype(dtype)
                                                  : tdbg_h5_bits_type(tdbg_dtype_bytes(dtype));
    bool residual = set->store == TDBG_STORE_RESIDUAL; /* next to nothing but zeros */
    TDBG_TRY(tdbg_chunked_create(w->file, set->path, type, n, dims, 1, NULL,
                                 residual ? TDBG_EFFORT_TABLES : TDBG_EFFORT_VALUES, array, err));
    array->sparse = residual;
    TDBG_TRY(tdbg_h5_put_int(array->dataset, "every", w->plans[set->site].value_every, err));
    TDBG_TRY(tdbg_h5_put_text(array->dataset, "axes", axes[set->n_axes], err));
    TDBG_TRY(tdbg_h5_put_int(array->dataset, "first_lane", set->first_lane, err));
    if (set->store == TDBG_STORE_DELTA) {
        w->values[i].whole_every = rows_to_whole(&w->info);
        TDBG_TRY(tdbg_h5_put_int(array->dataset, "whole_every", w->values[i].whole_every, err));
    }
out:
    return st;
}

static enum tdbg_status fill_item(const struct tdbg_trace_writer *w, int32_t i, void *record,
                                  struct tdbg_err *err)
{
    (void)err; /* names and shapes were checked with the layout */
    const struct tdbg_keyframe_item *item = &w->items[i];
    struct tdbg_item_record *r = record;
    *r = (struct tdbg_item_record){.id = i, .ndim = item->ndim};
    memcpy(r->shape, item->dims, (size_t)item->ndim * sizeof *r->shape);
    strcpy(r->name, item->name);
    strcpy(r->dtype, tdbg_dtype_text(item->dtype));
    return TDBG_OK;
}

static enum tdbg_status create_item(struct tdbg_trace_writer *w, int32_t i, struct tdbg_err *err)
{
    const struct tdbg_keyframe_item *item = &w->items[i];
    hsize_t dims[TDBG_CHUNKED_MAX_DIMS] = {0};
    for (int32_t d = 0; d < item->ndim; d++)
        dims[d + 1] = (hsize_t)item->dims[d];
    return tdbg_chunked_create(w->file, tdbg_arena_printf(w->arena, "keyframe/%s", item->name),
                               tdbg_h5_dtype(item->dtype), item->ndim + 1, dims, 1, NULL,
                               TDBG_EFFORT_VALUES, &w->item_arrays[i], err);
}

/* The link to the file that this one will go on in: made now, because nothing can be added later.
 */
static enum tdbg_status put_segments(struct tdbg_trace_writer *w,
                                     const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t group = -1;
    const char *path =
        spec->next_path ? spec->next_path : tdbg_segment_path(w->arena, w->path, "seg", 1);
    TDBG_TRY(tdbg_h5_create_group(w->file, "segments", &group, err));
    TDBG_H5_FAIL_IF(H5Lcreate_external(tdbg_segment_name(path), "/", group, "next", H5P_DEFAULT,
                                       H5P_DEFAULT) < 0,
                    IO, "cannot link the next file");
out:
    if (group >= 0)
        H5Gclose(group);
    return st;
}

static enum tdbg_status put_ranks(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t ranks = -1;
    char name[16];
    TDBG_TRY(tdbg_h5_create_group(w->file, "ranks", &ranks, err));
    TDBG_TRY(tdbg_h5_put_int(ranks, "world_size", w->info.world_size, err));
    for (int32_t r = 1; w->info.rank == 0 && r < w->info.world_size; r++) {
        snprintf(name, sizeof name, "%d", (int)r);
        TDBG_H5_FAIL_IF(
            H5Lcreate_external(tdbg_segment_name(tdbg_segment_path(w->arena, w->path, "rank", r)),
                               "/", ranks, name, H5P_DEFAULT, H5P_DEFAULT) < 0,
            IO, "cannot link the file of rank %d", (int)r);
    }
out:
    if (ranks >= 0)
        H5Gclose(ranks);
    return st;
}

static enum tdbg_status begin_chains(struct tdbg_trace_writer *w,
                                     const struct tdbg_trace_spec *spec, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (spec->chain_before) {
        memcpy(w->chain, spec->chain_before, sizeof w->chain);
        return TDBG_OK;
    }
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++)
        TDBG_TRY(tdbg_chain_begin(c, w->sites, w->plans, w->n_sites, &w->chain[c], err));
out:
    return st;
}

/* Attributes of tables and groups that explain them to whoever opens the file. */
static enum tdbg_status put_notes(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char chains[TDBG_CHAIN_COUNT * (TDBG_STAGE_TEXT_BYTES + 1)] = "";
    for (int c = 0; c < TDBG_CHAIN_COUNT; c++) {
        strcat(chains, c > 0 ? "," : "");
        strcat(chains, tdbg_chain_name(c));
    }
    hid_t stats = H5Gopen2(w->file, "stats", H5P_DEFAULT);
    TDBG_TRY(tdbg_h5_put_text(w->steps.array.dataset, "chains", chains, err));
    TDBG_TRY(
        tdbg_h5_put_u64s(w->steps.array.dataset, "chain_before", w->chain, TDBG_CHAIN_COUNT, err));
    TDBG_TRY(tdbg_h5_put_int(w->digest.array.dataset, "version", 1, err));
    TDBG_H5_FAIL_IF(stats < 0, IO, "cannot open stats");
    TDBG_TRY(tdbg_h5_put_int(stats, "version", 1, err));
out:
    if (stats >= 0)
        H5Gclose(stats);
    return st;
}

static enum tdbg_status create_groups(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    static const char *const paths[] = {"t", "samples"};
    enum tdbg_status st = TDBG_OK;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        hid_t group = -1;
        TDBG_TRY(tdbg_h5_create_group(w->file, paths[i], &group, err));
        H5Gclose(group);
    }
out:
    return st;
}

/* The file as it is before the first step, compressed, inside of the file: with it and the chunks
 * that are found by their trailers, a file is rebuilt whose metadata is torn. */
static enum tdbg_status put_skeleton(struct tdbg_trace_writer *w, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const hsize_t dims[1] = {0};
    struct tdbg_chunked array = {.dataset = -1};
    unsigned char *bytes = NULL;
    struct stat info;
    const int fd = w->target.fd;
    TDBG_TRY(tdbg_chunked_create(w->file, TDBG_SKELETON_PATH, H5T_STD_U8LE, 1, dims,
                                 TDBG_SKELETON_CHUNK_BYTES, NULL, TDBG_EFFORT_TABLES, &array, err));
    TDBG_H5_FAIL_IF(H5Fflush(w->file, H5F_SCOPE_LOCAL) < 0, IO, "cannot flush %s", w->path);
    TDBG_FAIL_IF(fstat(fd, &info) != 0, IO, "cannot read %s: %s", w->path, strerror(errno));
    bytes = malloc((size_t)info.st_size + 1);
    TDBG_FAIL_IF(!bytes, NO_MEMORY, "no memory for the skeleton of %s", w->path);
    TDBG_FAIL_IF(pread(fd, bytes, (size_t)info.st_size, 0) != info.st_size, IO, "cannot read %s",
                 w->path);
    TDBG_TRY(tdbg_chunked_set_rows(&array, (hsize_t)info.st_size, err));
    TDBG_TRY(tdbg_chunked_write(&array, &w->io, 0, (uint64_t)info.st_size, bytes, err));
out:
    tdbg_chunked_close(&array);
    free(bytes);
    return st;
}

enum tdbg_status tdbg_writer_create_objects(struct tdbg_trace_writer *w,
                                            const struct tdbg_trace_spec *spec,
                                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(put_root(w, err));
    TDBG_TRY(put_run(w, err));
    TDBG_TRY(put_table(w, "sites", &tdbg_table_sites, w->n_sites, fill_site, err));
    TDBG_TRY(put_table(w, "run/keyframe_items", &tdbg_table_items, w->n_items, fill_item, err));
    TDBG_TRY(create_groups(w, err));
    TDBG_TRY(tdbg_writer_create_samples(w, spec, err));
    TDBG_TRY(tdbg_writer_create_blocks(w, err));
    for (int32_t i = 0; i < w->n_items; i++)
        TDBG_TRY(create_item(w, i, err));
    for (int32_t i = 0; i < w->layout.n_sets; i++)
        TDBG_TRY(create_value_set(w, i, err));
    TDBG_TRY(tdbg_writer_create_packed(w, err));
    TDBG_TRY(begin_chains(w, spec, err));
    TDBG_TRY(put_notes(w, err));
    TDBG_TRY(put_ranks(w, err));
    TDBG_TRY(put_segments(w, spec, err));
    TDBG_TRY(tdbg_writer_create_findings(w, err));
    TDBG_TRY(tdbg_writer_create_zones(w, err));
    TDBG_TRY(put_skeleton(w, err));
out:
    return st;
}
