/* Listing the datasets of a file. See dataset_list.h. */
#include "trace/dataset_list.h"

#include <stdlib.h>
#include <string.h>

#include "trace/hdf5_util.h"
#include "trace/schema.h"
#include "trace/trailer.h"

struct visit {
    struct tdbg_arena *arena;
    struct tdbg_dataset_entry *items; /* malloc'ed while it grows */
    size_t n_items, room;
};

/* Chunked, and through our filters: other programs may have added datasets of their own. */
static bool is_ours(hid_t dataset)
{
    hid_t dcpl = H5Dget_create_plist(dataset);
    unsigned flags, config;
    size_t n_values = 0;
    bool ours = dcpl >= 0 && H5Pget_layout(dcpl) == H5D_CHUNKED && H5Pget_nfilters(dcpl) == 2 &&
                H5Pget_filter2(dcpl, 1, &flags, &n_values, NULL, 0, NULL, &config) ==
                    (H5Z_filter_t)TDBG_ZSTD_FILTER_ID;
    if (dcpl >= 0)
        H5Pclose(dcpl);
    return ours;
}

static herr_t add_item(struct visit *v, const char *path, haddr_t addr)
{
    if (v->n_items == v->room) {
        size_t room = v->room > 0 ? 2 * v->room : 64;
        struct tdbg_dataset_entry *grown = realloc(v->items, room * sizeof *grown);
        if (!grown)
            return -1;
        v->items = grown;
        v->room = room;
    }
    uint32_t number =
        strcmp(path, TDBG_SKELETON_PATH) == 0 ? TDBG_TRAILER_SKELETON : (uint32_t)addr;
    v->items[v->n_items++] = (struct tdbg_dataset_entry){tdbg_arena_strdup(v->arena, path), number};
    return 0;
}

static herr_t visit_link(hid_t group, const char *path, const H5L_info_t *link, void *context)
{
    H5O_info_t info;
    const int is_dataset = tdbg_h5_link_is_dataset(group, path, link, &info);
    if (is_dataset <= 0)
        return is_dataset;
    hid_t dataset = H5Dopen2(group, path, H5P_DEFAULT);
    if (dataset < 0)
        return -1;
    bool ours = is_ours(dataset);
    H5Dclose(dataset);
    return ours ? add_item(context, path, info.addr) : 0;
}

static int compare_items(const void *a, const void *b)
{
    const struct tdbg_dataset_entry *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

enum tdbg_status tdbg_list_datasets(hid_t file, struct tdbg_arena *arena,
                                    struct tdbg_dataset_list *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct visit v = {.arena = arena};
    unsigned held = tdbg_h5_hold_plugins();
    herr_t rc = H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit_link, &v);
    TDBG_H5_FAIL_IF(rc < 0, DAMAGED, "its groups cannot be read");
    if (v.n_items > 0)
        qsort(v.items, v.n_items, sizeof *v.items, compare_items);
    for (size_t i = 1; i < v.n_items; i++)
        TDBG_FAIL_IF(v.items[i].number == v.items[i - 1].number, DAMAGED,
                     "%s and %s are one dataset or cannot be told apart", v.items[i - 1].path,
                     v.items[i].path);
    out->n_items = v.n_items;
    out->items = tdbg_arena_alloc(arena, v.n_items * sizeof *out->items);
    if (v.n_items > 0)
        memcpy(out->items, v.items, v.n_items * sizeof *out->items);
out:
    tdbg_h5_release_plugins(held);
    free(v.items);
    return st;
}

enum tdbg_status tdbg_open_listed(hid_t file, const char *path, struct tdbg_chunk_cache *cache,
                                  struct tdbg_chunked *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t dataset = -1, space = -1;
    bool torn;
    TDBG_TRY(tdbg_h5_open_object(file, path, H5I_DATASET, &dataset, err));
    space = H5Dget_space(dataset);
    int ndim = H5Sget_simple_extent_ndims(space);
    TDBG_FAIL_IF(ndim < 1 || ndim > TDBG_CHUNKED_MAX_DIMS, DAMAGED, "%s has %d dimensions", path,
                 ndim);
    TDBG_TRY(tdbg_chunked_open(file, path, -1, ndim, cache, out, &torn, err));
out:
    if (space >= 0)
        H5Sclose(space);
    if (dataset >= 0)
        H5Oclose(dataset);
    return st;
}

static bool has_prefix(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

enum tdbg_status tdbg_rows_rule_of(const struct tdbg_chunked *d, enum tdbg_rows_rule *rule,
                                   int32_t *every, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int64_t value;
    *rule = TDBG_ROWS_OTHER;
    if (strcmp(d->path, "steps") == 0 || strcmp(d->path, "digest") == 0 ||
        has_prefix(d->path, "stats/") || strcmp(d->path, "samples/train/batch") == 0) {
        *rule = TDBG_ROWS_STEPS;
    } else if (has_prefix(d->path, "keyframe/")) {
        *rule = TDBG_ROWS_KEYFRAMES;
    } else if (has_prefix(d->path, "zones/") && H5Aexists(d->dataset, "steps") > 0) {
        TDBG_TRY(
            tdbg_h5_get_int(d->dataset, d->path, "steps", 1, TDBG_ZONE_MOST_STEPS, &value, err));
        *rule = TDBG_ROWS_ZONES;
        *every = (int32_t)value;
    } else if (H5Aexists(d->dataset, "every") > 0) {
        TDBG_TRY(tdbg_h5_get_int(d->dataset, d->path, "every", 1, INT32_MAX, &value, err));
        *rule = TDBG_ROWS_CADENCE;
        *every = (int32_t)value;
    }
out:
    return st;
}
