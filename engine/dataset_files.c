/* Whole files, and the arrays that they hold. See dataset.h; what becomes of arrays is in
 * dataset_arrays.c. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "engine/dataset.h"

enum { FIRST_ROOM = 1 << 20 };
#define MAX_SET_BYTES (INT64_C(1) << 36) /* of what has to be unpacked */

static enum tdbg_status unpack(const char *path, struct tdbg_array *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    unsigned char *bytes = NULL;
    size_t used = 0, room = FIRST_ROOM;
    gzFile f = gzopen(path, "rb");
    TDBG_FAIL_IF(!f, DATA, "%s", strerror(errno ? errno : ENOMEM));
    gzbuffer(f, 1 << 18);
    for (;;) {
        int code;
        if (used == room || !bytes) {
            room = bytes ? room * 2 : room;
            TDBG_FAIL_IF(room > MAX_SET_BYTES, DATA, "it unpacks to more than 2^36 bytes");
            unsigned char *more = realloc(bytes, room);
            TDBG_FAIL_IF(!more, NO_MEMORY, "no memory for %zu bytes", room);
            bytes = more;
        }
        const size_t part = room - used > INT_MAX / 2 ? INT_MAX / 2 : room - used;
        const int got = gzread(f, bytes + used, (unsigned)part);
        TDBG_FAIL_IF(got < 0, DATA, "%s", gzerror(f, &code));
        if (got == 0)
            break;
        used += (size_t)got;
    }
    const int closed = gzclose(f);
    f = NULL;
    TDBG_FAIL_IF(closed != Z_OK, DATA, "the compressed data are cut off");
    *out = (struct tdbg_array){
        .elem = TDBG_ELEM_U8, .ndim = 1, .dims = {(int64_t)used}, .data = bytes, .block = bytes};
    bytes = NULL;
out:
    if (f)
        gzclose(f);
    free(bytes);
    return st;
}

enum tdbg_status tdbg_dataset_read_file(const char *path, struct tdbg_array *out,
                                        struct tdbg_err *err)
{
    void *map = NULL;
    size_t bytes = 0;
    enum tdbg_status st = tdbg_file_map(path, &map, &bytes, err);
    if (st != TDBG_OK)
        return st;
    *out = (struct tdbg_array){.elem = TDBG_ELEM_U8,
                               .ndim = 1,
                               .dims = {(int64_t)bytes},
                               .data = map,
                               .block = map,
                               .mapped_bytes = bytes};
    if (bytes < 2 || out->data[0] != 0x1f || out->data[1] != 0x8b)
        return TDBG_OK;
    tdbg_array_free(out);
    return unpack(path, out, err);
}

/* Adds file to the end of all. */
static enum tdbg_status append(struct tdbg_array *all, const struct tdbg_array *file,
                               struct tdbg_err *err)
{
    const size_t old = (size_t)all->dims[0], more = (size_t)file->dims[0];
    unsigned char *bytes = malloc(old + more + 1);
    if (!bytes)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for %zu bytes", old + more);
    if (old > 0)
        memcpy(bytes, all->data, old);
    if (more > 0)
        memcpy(bytes + old, file->data, more);
    tdbg_array_free(all);
    *all = (struct tdbg_array){.elem = TDBG_ELEM_U8,
                               .ndim = 1,
                               .dims = {(int64_t)(old + more)},
                               .data = bytes,
                               .block = bytes};
    return TDBG_OK;
}

static enum tdbg_status read_one(const char *path, tdbg_dataset_check_fn check, bool first,
                                 struct tdbg_array *all, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array file = {0};
    TDBG_TRY(tdbg_dataset_read_file(path, &file, err));
    if (check)
        TDBG_TRY(check(&file, err));
    if (first) {
        *all = file;
        file = (struct tdbg_array){0};
    } else {
        TDBG_TRY(append(all, &file, err));
    }
out:
    tdbg_array_free(&file);
    return st;
}

enum tdbg_status tdbg_dataset_read_files(struct tdbg_config *config,
                                         const struct tdbg_cfg_node *paths,
                                         tdbg_dataset_check_fn check, struct tdbg_array *out,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int before = tdbg_config_n_diagnostics(config);
    const int n = paths->type == TDBG_CFG_LIST ? paths->n_child : 1;
    *out = (struct tdbg_array){0};
    for (int i = 0; i < n && st == TDBG_OK; i++) {
        const struct tdbg_cfg_node *node = paths->type == TDBG_CFG_LIST ? paths->child[i] : paths;
        char *path = tdbg_cfg_node_path(config, node);
        struct tdbg_err fault = {0};
        read_one(path, check, i == 0, out, &fault);
        st = tdbg_dataset_fault(config, node, path, &fault, err);
        free(path);
        if (tdbg_config_n_diagnostics(config) != before)
            break;
    }
    if (st != TDBG_OK || tdbg_config_n_diagnostics(config) != before)
        tdbg_array_free(out);
    return st;
}

enum tdbg_status tdbg_dataset_load_array(const struct tdbg_dataset_request *r, const char *file_key,
                                         const char *key, tdbg_dataset_read_fn read,
                                         struct tdbg_array *out, struct tdbg_err *err)
{
    const struct tdbg_cfg_node *node = tdbg_dataset_node(r, file_key);
    char *path = tdbg_cfg_node_path(r->config, node);
    struct tdbg_err fault = {0};
    read(r, key, path, out, &fault);
    enum tdbg_status st = tdbg_dataset_fault(r->config, node, path, &fault, err);
    free(path);
    return st;
}

enum tdbg_status tdbg_dataset_load_xy(const struct tdbg_dataset_request *r, const char *x_file,
                                      const char *y_file, tdbg_dataset_read_fn read,
                                      struct tdbg_dataset *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array x = {0}, y = {0};
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    const int before = tdbg_config_n_diagnostics(r->config);
    TDBG_TRY(tdbg_dataset_load_array(r, x_file, "x", read, &x, err));
    if (tdbg_config_n_diagnostics(r->config) == before || strcmp(x_file, y_file) != 0)
        TDBG_TRY(tdbg_dataset_load_array(r, y_file, "y", read, &y, err));
    if (tdbg_config_n_diagnostics(r->config) != before)
        goto out;
    TDBG_TRY(tdbg_dataset_from_arrays(r->config, &x, tdbg_dataset_node(r, x_file),
                                      tdbg_dataset_inputs(root), &y, tdbg_dataset_node(r, y_file),
                                      tdbg_dataset_targets(root), out, err));
out:
    tdbg_array_free(&x);
    tdbg_array_free(&y);
    return st;
}
