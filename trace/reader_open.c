/* Opening a trace: reads and checks the attributes, the texts of the run, the site table and the
 * keyframe list. After this every site, shape and plan in memory is sound. */
#include "trace/reader_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"

/* Rows of a table or list read at once: a false row count in the file then costs no memory. */
enum { PIECE_ROWS = 4096 };

static bool parse_uuid(const char *text, uint8_t *uuid)
{
    int n = 0;
    if (strlen(text) != 36)
        return false;
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-')
                return false;
            continue;
        }
        const char *digits = "0123456789abcdef", *at = strchr(digits, text[i]);
        if (!at)
            return false;
        int value = (int)(at - digits);
        uuid[n / 2] = (uint8_t)(n % 2 ? uuid[n / 2] | value : value << 4);
        n++;
    }
    return true;
}

/* Format and schema: before anything else is believed. */
static enum tdbg_status load_schema(struct tdbg_trace *t, hid_t root, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *format = NULL;
    int64_t schema[2];
    TDBG_FAIL_IF(H5Aexists(root, "format") <= 0, NO_TRACE, "it is an HDF5 file but not a trace");
    TDBG_TRY(tdbg_h5_get_text(root, "/", "format", t->arena, &format, err));
    TDBG_FAIL_IF(strcmp(format, "tdbg trace") != 0, NO_TRACE, "it is an HDF5 file but not a trace");
    TDBG_TRY(tdbg_h5_get_text(root, "/", "tdbg_version", t->arena, &t->info.tdbg_version, err));
    TDBG_TRY(tdbg_h5_get_ints(root, "/", "schema", schema, 2, err));
    TDBG_FAIL_IF(schema[0] > TDBG_SCHEMA_MAJOR, TOO_NEW,
                 "it has schema %lld.%lld (written by tdbg %s); this tdbg reads schema %d",
                 (long long)schema[0], (long long)schema[1], t->info.tdbg_version,
                 (int)TDBG_SCHEMA_MAJOR);
    TDBG_FAIL_IF(schema[0] < 1 || schema[1] < 0, DAMAGED, "/: schema %lld.%lld never was",
                 (long long)schema[0], (long long)schema[1]);
    t->schema_minor = schema[1] < INT32_MAX ? (int32_t)schema[1] : INT32_MAX;
out:
    return st;
}

static enum tdbg_status get_i32(hid_t object, const char *where, const char *name, int32_t min,
                                int32_t max, int32_t *out, struct tdbg_err *err)
{
    int64_t value;
    enum tdbg_status st = tdbg_h5_get_int(object, where, name, min, max, &value, err);
    if (st == TDBG_OK)
        *out = (int32_t)value;
    return st;
}

static enum tdbg_status load_root(struct tdbg_trace *t, hid_t root, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_run_info *info = &t->info;
    const char *uuid;
    int32_t closed = 0;
    TDBG_TRY(get_i32(root, "/", "numerics_version", 0, INT32_MAX, &info->numerics_version, err));
    TDBG_TRY(get_i32(root, "/", "world_size", 1, INT32_MAX, &info->world_size, err));
    TDBG_TRY(get_i32(root, "/", "rank", 0, info->world_size - 1, &info->rank, err));
    TDBG_TRY(get_i32(root, "/", "closed", 0, 1, &closed, err));
    t->closed = closed;
    TDBG_TRY(tdbg_h5_get_text(root, "/", "run_uuid", t->arena, &uuid, err));
    TDBG_FAIL_IF(!parse_uuid(uuid, info->uuid), DAMAGED, "/: attribute run_uuid is no UUID");
    TDBG_TRY(tdbg_h5_get_text(root, "/", "parent_uuid", t->arena, &uuid, err));
    TDBG_FAIL_IF(!parse_uuid(uuid, info->parent_uuid), DAMAGED,
                 "/: attribute parent_uuid is no UUID");
out:
    return st;
}

static enum tdbg_status load_run(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_run_info *info = &t->info;
    const struct {
        const char *path, **text;
    } texts[] = {
        {"run/config", &info->config},   {"run/config_path", &info->config_path},
        {"run/inject", &info->inject},   {"run/config_source", &info->config_source},
        {"run/dataset", &info->dataset}, {"run/environment", &info->environment},
        {"run/graph", &info->graph},
    };
    hid_t run = -1;
    TDBG_TRY(tdbg_h5_open_object(t->file, "run", H5I_GROUP, &run, err));
    TDBG_TRY(tdbg_h5_get_text(run, "/run", "preset", t->arena, &info->preset, err));
    TDBG_TRY(get_i32(run, "/run", "lanes", 1, TDBG_MAX_LANES, &info->lanes, err));
    TDBG_TRY(get_i32(run, "/run", "accumulate", 1, TDBG_MAX_LANES, &info->accumulate, err));
    TDBG_TRY(tdbg_h5_get_int(run, "/run", "batch", 1, INT32_MAX, &info->batch, err));
    TDBG_TRY(
        tdbg_h5_get_int(run, "/run", "planned_steps", 0, INT64_MAX, &info->planned_steps, err));
    TDBG_TRY(
        tdbg_h5_get_int(run, "/run", "keyframe_every", 0, INT64_MAX, &info->keyframe_every, err));
    TDBG_TRY(tdbg_h5_get_u64(run, "/run", "seed", &info->seed, err));
    info->overflow = "wait";
    if (H5Aexists(run, "overflow") > 0)
        TDBG_TRY(tdbg_h5_get_text(run, "/run", "overflow", t->arena, &info->overflow, err));
    if (H5Aexists(run, "memory_bytes") > 0)
        TDBG_TRY(
            tdbg_h5_get_int(run, "/run", "memory_bytes", 0, INT64_MAX, &info->memory_bytes, err));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TDBG_TRY(tdbg_h5_read_text(t->file, texts[i].path, (hsize_t)t->file_bytes, t->arena,
                                   texts[i].text, err));
out:
    if (run >= 0)
        H5Oclose(run);
    return st;
}

static bool is_printable(const char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            return false;
    }
    return true;
}

static enum tdbg_status parse_site(struct tdbg_trace *t, const struct tdbg_site_record *r,
                                   int32_t i, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_site *s = &t->sites[i];
    struct tdbg_site_plan *plan = &t->plans[i];
    TDBG_FAIL_IF(r->id != i || (r->batched != 0 && r->batched != 1) || r->ndim < 0 ||
                     r->ndim > TDBG_MAX_DIMS || !tdbg_stage_parse(r->stage, &s->stage) ||
                     !tdbg_dtype_parse(r->dtype, &s->dtype) ||
                     !tdbg_store_parse(r->store, &plan->store) || !is_printable(r->op) ||
                     !is_printable(r->unit),
                 DAMAGED, "sites: row %d has no valid values", (int)i);
    s->name = tdbg_arena_strdup(t->arena, r->name);
    s->op = tdbg_arena_strdup(t->arena, r->op);
    s->unit = tdbg_arena_strdup(t->arena, r->unit);
    s->lane = r->lane;
    s->micro = r->micro;
    s->ndim = r->ndim;
    s->batched = r->batched;
    memcpy(s->dims, r->shape, (size_t)r->ndim * sizeof *s->dims);
    plan->digest_every = r->digest_every;
    plan->value_every = r->value_every;
    t->packed_column[i] = r->packed_offset;
out:
    return st;
}

static enum tdbg_status parse_item(struct tdbg_trace *t, const struct tdbg_item_record *r,
                                   int32_t i, struct tdbg_err *err)
{
    struct tdbg_keyframe_item *item = &t->items[i];
    if (r->id != i || r->ndim < 0 || r->ndim > TDBG_MAX_DIMS ||
        !tdbg_dtype_parse(r->dtype, &item->dtype))
        return TDBG_RAISE(err, DAMAGED, "run/keyframe_items: row %d has no valid values", (int)i);
    item->name = tdbg_arena_strdup(t->arena, r->name);
    item->ndim = r->ndim;
    memcpy(item->dims, r->shape, (size_t)r->ndim * sizeof *item->dims);
    return TDBG_OK;
}

/* Makes room in the trace for one more piece of rows of the table. */
static void grow_rows(struct tdbg_trace *t, const struct tdbg_table *table, size_t n_have,
                      size_t n_want)
{
    if (table == &tdbg_table_sites) {
        struct tdbg_site *sites = tdbg_arena_alloc(t->arena, n_want * sizeof *sites);
        struct tdbg_site_plan *plans = tdbg_arena_alloc(t->arena, n_want * sizeof *plans);
        int64_t *offsets = tdbg_arena_alloc(t->arena, n_want * sizeof *offsets);
        if (n_have > 0) {
            memcpy(sites, t->sites, n_have * sizeof *sites);
            memcpy(plans, t->plans, n_have * sizeof *plans);
            memcpy(offsets, t->packed_column, n_have * sizeof *offsets);
        }
        t->sites = sites;
        t->plans = plans;
        t->packed_column = offsets;
    } else {
        struct tdbg_keyframe_item *items = tdbg_arena_alloc(t->arena, n_want * sizeof *items);
        if (n_have > 0)
            memcpy(items, t->items, n_have * sizeof *items);
        t->items = items;
    }
}

/* Reads /sites or /run/keyframe_items, row by row, in pieces. */
static enum tdbg_status load_table(struct tdbg_trace *t, const char *path,
                                   const struct tdbg_table *table, int32_t *n_rows,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cached_array a = {.array = {.dataset = -1}};
    size_t offsets[TDBG_TABLE_MAX_COLUMNS], room = 0;
    unsigned char *rows = NULL;
    hid_t type = -1;
    union {
        struct tdbg_site_record site;
        struct tdbg_item_record item;
    } record;
    TDBG_TRY(tdbg_reader_open_cached(t, path, -1, 1, &a, err));
    type = H5Dget_type(a.array.dataset);
    TDBG_TRY(tdbg_table_match(table, t->schema_minor, type, path, offsets, err));
    uint64_t n = a.array.dims[0];
    TDBG_FAIL_IF(n > TDBG_MAX_SITES || a.array.elem_bytes > PIECE_ROWS, DAMAGED, "%s has %llu rows",
                 path, (unsigned long long)n);
    rows = malloc(PIECE_ROWS * a.array.elem_bytes);
    TDBG_FAIL_IF(!rows, NO_MEMORY, "no memory for %s", path);
    for (uint64_t at = 0; at < n; at += PIECE_ROWS) {
        uint64_t piece = n - at < PIECE_ROWS ? n - at : PIECE_ROWS;
        TDBG_TRY(tdbg_chunked_read(&a.array, &t->io, at, piece, rows, err));
        if (at + piece > room) {
            room = 2 * at + piece;
            grow_rows(t, table, at, room);
        }
        for (uint64_t i = 0; i < piece; i++) {
            tdbg_table_unpack(table, offsets, rows + i * a.array.elem_bytes, &record);
            TDBG_TRY(table == &tdbg_table_sites
                         ? parse_site(t, &record.site, (int32_t)(at + i), err)
                         : parse_item(t, &record.item, (int32_t)(at + i), err));
        }
    }
    *n_rows = (int32_t)n;
out:
    free(rows);
    if (type >= 0)
        H5Tclose(type);
    tdbg_reader_close_cached(&a);
    return st;
}

/* Steps of the keyframes: ascending, and none beyond the committed steps counts. */
static enum tdbg_status load_keyframes(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct cached_array a = {.array = {.dataset = -1}};
    TDBG_TRY(tdbg_reader_open_cached(t, "keyframe/step", H5T_STD_I64LE, 1, &a, err));
    for (uint64_t n = a.array.dims[0], at = 0; at < n; at += PIECE_ROWS) {
        uint64_t piece = n - at < PIECE_ROWS ? n - at : PIECE_ROWS;
        int64_t *grown = realloc(t->keyframes, (at + piece) * sizeof *grown);
        TDBG_FAIL_IF(!grown, NO_MEMORY, "no memory for keyframes");
        t->keyframes = grown;
        TDBG_TRY(tdbg_chunked_read(&a.array, &t->io, at, piece, grown + at, err));
        for (uint64_t i = at; i < at + piece; i++) {
            TDBG_FAIL_IF(grown[i] < t->first_step || (i > 0 && grown[i] <= grown[i - 1]), DAMAGED,
                         "keyframe/step: steps do not ascend");
            if (grown[i] >= t->first_step + t->n_steps)
                goto out;
            t->n_keyframes = (int64_t)i + 1;
        }
    }
out:
    tdbg_reader_close_cached(&a);
    return st;
}

/* Offsets follow from the sites; the column is for readers that do not compute them. Where the two
 * differ, one of them would read another tensor. */
static enum tdbg_status check_packed(const struct tdbg_trace *t, struct tdbg_err *err)
{
    for (int32_t i = 0; i < t->n_sites; i++) {
        if (t->packed_column[i] != t->layout.packed_offset[i])
            return TDBG_RAISE(err, DAMAGED, "sites: packed_offset of row %d is %lld, not %lld",
                              (int)i, (long long)t->packed_column[i],
                              (long long)t->layout.packed_offset[i]);
    }
    return TDBG_OK;
}

enum tdbg_status tdbg_reader_load(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t root = H5Gopen2(t->file, "/", H5P_DEFAULT);
    TDBG_H5_FAIL_IF(root < 0, DAMAGED, "the file has no root group");
    TDBG_TRY(load_schema(t, root, err));
    TDBG_TRY(load_root(t, root, err));
    TDBG_TRY(load_run(t, err));
    TDBG_TRY(load_table(t, "sites", &tdbg_table_sites, &t->n_sites, err));
    TDBG_FAIL_IF(t->n_sites == 0, DAMAGED, "sites: there are none");
    TDBG_TRY(load_table(t, "run/keyframe_items", &tdbg_table_items, &t->n_items, err));
    TDBG_TRY(tdbg_layout_build(t->arena, &t->info, t->sites, t->plans, t->n_sites, TDBG_DAMAGED,
                               &t->layout, err));
    TDBG_TRY(check_packed(t, err));
    t->values = tdbg_arena_alloc(t->arena, (size_t)t->layout.n_sets * sizeof *t->values);
    t->packed = tdbg_arena_alloc(t->arena, (size_t)t->layout.n_packed * sizeof *t->packed);
    t->recent = tdbg_arena_alloc(t->arena, (size_t)t->n_sites * sizeof *t->recent);
    t->frames = tdbg_arena_alloc(t->arena, (size_t)t->n_items * sizeof *t->frames);
    TDBG_TRY(tdbg_reader_load_samples(t, err));
    TDBG_TRY(tdbg_layout_check_stores(t->arena, t->sites, t->plans, t->n_sites, t->items,
                                      t->n_items, t->samples, TDBG_DAMAGED, &t->item_of_site, err));
    TDBG_TRY(tdbg_reader_load_steps(t, err));
    TDBG_TRY(load_keyframes(t, err));
out:
    if (root >= 0)
        H5Gclose(root);
    return st;
}
