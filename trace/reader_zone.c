/* Reading /zones (zone.h), which a file need not have, and which nothing but speed depends on. */
#include "trace/reader_impl.h"

#include <math.h>
#include <stdlib.h>

#include "trace/hdf5_util.h"
#include "trace/zone.h"

enum { MOST_ELEM_BYTES = 4096 };

static enum tdbg_status open_one(struct tdbg_trace *t, const char *path, hid_t type, int ndim,
                                 struct cached_array *a, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct zone_reader *z = &t->zones;
    int64_t every;
    TDBG_TRY(tdbg_reader_open_cached(t, path, type, ndim, a, err));
    TDBG_FAIL_IF(ndim == 2 && a->array.dims[1] != (hsize_t)t->n_sites, DAMAGED,
                 "%s has %llu columns, not %d", path, (unsigned long long)a->array.dims[1],
                 (int)t->n_sites);
    TDBG_TRY(
        tdbg_h5_get_int(a->array.dataset, path, "steps", 1, TDBG_ZONE_MOST_STEPS, &every, err));
    TDBG_FAIL_IF(a->array.elem_bytes > MOST_ELEM_BYTES, DAMAGED, "%s has elements of %zu bytes",
                 path, a->array.elem_bytes);
    TDBG_FAIL_IF(z->every > 0 && z->every != every, DAMAGED, "%s: zones of another length", path);
    z->every = every;
    if (z->n_zones > (int64_t)a->array.dims[0])
        z->n_zones = (int64_t)a->array.dims[0];
out:
    return st;
}

static enum tdbg_status match(struct tdbg_trace *t, const struct tdbg_table *table,
                              const char *path, const struct cached_array *a, size_t *offsets,
                              struct tdbg_err *err)
{
    hid_t type = H5Dget_type(a->array.dataset);
    enum tdbg_status st = tdbg_table_match(table, t->schema_minor, type, path, offsets, err);
    if (type >= 0)
        H5Tclose(type);
    return st;
}

static enum tdbg_status open_all(struct tdbg_trace *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct zone_reader *z = &t->zones;
    z->n_zones = t->n_steps;
    TDBG_TRY(open_one(t, "zones/steps", -1, 1, &z->steps, err));
    TDBG_TRY(open_one(t, "zones/stats", -1, 2, &z->stats, err));
    TDBG_TRY(open_one(t, "zones/digest", H5T_STD_U64LE, 2, &z->digest, err));
    TDBG_TRY(match(t, &tdbg_table_zone_steps, "zones/steps", &z->steps, z->step_offsets, err));
    TDBG_TRY(match(t, &tdbg_table_zone_stats, "zones/stats", &z->stats, z->stats_offsets, err));
    z->row = malloc(z->steps.array.elem_bytes);
    z->elems = calloc((size_t)t->n_sites, z->stats.array.elem_bytes);
    TDBG_FAIL_IF(!z->row || !z->elems, NO_MEMORY, "no memory for zones");
    if (z->n_zones > t->n_steps / z->every)
        z->n_zones = t->n_steps / z->every; /* those of steps that were cut off do not count */
out:
    return st;
}

/* How many zones the file has, which are opened when they are first asked for; what is wrong with
 * them is kept, and they are done without. */
static int64_t count(struct tdbg_trace *t)
{
    struct zone_reader *z = &t->zones;
    struct tdbg_err found = {0};
    if (z->is_open)
        return z->n_zones;
    z->is_open = true;
    if (H5Lexists(t->file, "zones", H5P_DEFAULT) <= 0)
        return 0;
    if (open_all(t, &found) != TDBG_OK) {
        z->n_zones = 0;
        z->fault = tdbg_arena_strdup(t->arena, found.message);
    }
    tdbg_err_clear(&found);
    return z->n_zones;
}

enum tdbg_status tdbg_trace_check_zones(struct tdbg_trace *t, struct tdbg_err *err)
{
    tdbg_h5_begin();
    for (int i = 0; i <= t->n_segments; i++) {
        struct tdbg_trace *file = i > 0 ? t->segments[i - 1] : t;
        count(file);
        if (file->zones.fault)
            return TDBG_RAISE(err, DAMAGED, "%s%s%s", i > 0 ? file->path : "", i > 0 ? ": " : "",
                              file->zones.fault);
    }
    return TDBG_OK;
}

void tdbg_reader_close_zones(struct tdbg_trace *t)
{
    struct zone_reader *z = &t->zones;
    if (!z->is_open)
        return;
    tdbg_reader_close_cached(&z->steps);
    tdbg_reader_close_cached(&z->stats);
    tdbg_reader_close_cached(&z->digest);
    free(z->row);
    free(z->elems);
}

bool tdbg_trace_find_zone(struct tdbg_trace *trace, int64_t step, int64_t *first, int64_t *n)
{
    tdbg_h5_begin();
    struct tdbg_trace *t = tdbg_reader_at(trace->whole, step);
    const int64_t row = step - t->first_step, n_zones = count(t), every = t->zones.every;
    if (row < 0 || n_zones == 0 || row / every >= n_zones)
        return false;
    *first = t->first_step + row / every * every;
    *n = every;
    return true;
}

/* The file and the row of the zone that begins at step `first`. */
static enum tdbg_status find(struct tdbg_trace **t, int64_t first, uint64_t *row,
                             struct tdbg_err *err)
{
    int64_t begin, n;
    *t = (*t)->whole;
    if (!tdbg_trace_find_zone(*t, first, &begin, &n) || begin != first)
        return TDBG_RAISE(err, NOT_FOUND, "no zone of %s begins at step %lld", (*t)->path,
                          (long long)first);
    *t = tdbg_reader_at(*t, first);
    *row = (uint64_t)((first - (*t)->first_step) / (*t)->zones.every);
    return TDBG_OK;
}

/* Bounds of numbers of which so many are not NaN. */
static bool are_bounds(double low, double high, int64_t n_numbers)
{
    return n_numbers == 0 || low <= high;
}

static bool is_valid_step(const struct tdbg_zone_steps *z, int64_t first, int64_t n)
{
    const int32_t counts[] = {z->evaluated, z->loss_nans, z->lr_nans, z->grad_norm_nans};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i] < 0 || counts[i] > n)
            return false;
    }
    return z->first == first && z->epoch_low <= z->epoch_high && z->samples_low >= 0 &&
           z->samples_low <= z->samples_high &&
           are_bounds((double)z->loss_low, (double)z->loss_high, n - z->loss_nans) &&
           are_bounds((double)z->lr_low, (double)z->lr_high, n - z->lr_nans) &&
           are_bounds(z->grad_norm_low, z->grad_norm_high, n - z->grad_norm_nans);
}

static bool is_valid_site(const struct tdbg_zone_stats *z, int64_t n, uint64_t most_elems)
{
    if (z->recorded == TDBG_ZONE_IRREGULAR || z->recorded == 0)
        return true;
    return z->recorded > 0 && z->recorded <= n && z->finite >= 0 && z->finite <= z->recorded &&
           are_bounds(z->min_low, z->min_high, z->finite) &&
           are_bounds(z->max_low, z->max_high, z->finite) &&
           are_bounds(z->mean_low, z->mean_high, z->finite) &&
           are_bounds(z->rms_low, z->rms_high, z->finite) && (z->finite == 0 || z->rms_low >= 0) &&
           z->zeros_low <= z->zeros_high && z->nans_low <= z->nans_high &&
           z->infs_low <= z->infs_high && z->zeros_high <= most_elems &&
           z->nans_high <= most_elems && z->infs_high <= most_elems;
}

enum tdbg_status tdbg_trace_read_zone_steps(struct tdbg_trace *t, int64_t first,
                                            struct tdbg_zone_steps *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t row;
    TDBG_TRY(find(&t, first, &row, err));
    struct zone_reader *z = &t->zones;
    TDBG_TRY(tdbg_chunked_read(&z->steps.array, &t->io, row, 1, z->row, err));
    tdbg_table_unpack(&tdbg_table_zone_steps, z->step_offsets, z->row, out);
    TDBG_FAIL_IF(!is_valid_step(out, first, z->every), DAMAGED,
                 "zones/steps: row %lld has no valid values", (long long)row);
out:
    return st;
}

enum tdbg_status tdbg_trace_read_zone_stats(struct tdbg_trace *t, int64_t first,
                                            struct tdbg_zone_stats *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t row;
    TDBG_TRY(find(&t, first, &row, err));
    struct zone_reader *z = &t->zones;
    const struct tdbg_chunked *array = &z->stats.array;
    TDBG_TRY(tdbg_chunked_read(&z->stats.array, &t->io, row * array->row_elems, array->row_elems,
                               z->elems, err));
    for (int32_t i = 0; i < t->n_sites; i++) {
        tdbg_table_unpack(&tdbg_table_zone_stats, z->stats_offsets,
                          z->elems + (size_t)i * array->elem_bytes, &out[i]);
        TDBG_FAIL_IF(!is_valid_site(&out[i], z->every, TDBG_MAX_ELEMS), DAMAGED,
                     "zones/stats: row %lld has no valid values", (long long)row);
    }
out:
    return st;
}

enum tdbg_status tdbg_trace_read_zone_digests(struct tdbg_trace *t, int64_t first, uint64_t *out,
                                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint64_t row;
    TDBG_TRY(find(&t, first, &row, err));
    struct zone_reader *z = &t->zones;
    TDBG_TRY(tdbg_chunked_read(&z->digest.array, &t->io, row * (uint64_t)t->n_sites,
                               (uint64_t)t->n_sites, out, err));
out:
    return st;
}
