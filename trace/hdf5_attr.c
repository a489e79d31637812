/* Attributes and texts of a trace. Every value read is checked for type and shape before HDF5 is
 * asked to read it. See hdf5_util.h. */
#include "trace/hdf5_util.h"

#include <string.h>

#include "base/digest.h"

enum { MAX_TEXT_ATTRIBUTE_BYTES = 4096 };

static enum tdbg_status put(hid_t object, const char *name, hid_t type, hsize_t n, const void *data,
                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t space = n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);
    hid_t attr = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attr < 0 || H5Awrite(attr, type, data) < 0)
        st = TDBG_H5_RAISE(err, IO, "cannot write attribute %s", name);
    if (attr >= 0)
        H5Aclose(attr);
    H5Sclose(space);
    return st;
}

enum tdbg_status tdbg_h5_put_ints(hid_t object, const char *name, const int64_t *values, hsize_t n,
                                  struct tdbg_err *err)
{
    return put(object, name, H5T_STD_I64LE, n, values, err);
}

enum tdbg_status tdbg_h5_put_int(hid_t object, const char *name, int64_t value,
                                 struct tdbg_err *err)
{
    return put(object, name, H5T_STD_I64LE, 1, &value, err);
}

enum tdbg_status tdbg_h5_put_u64(hid_t object, const char *name, uint64_t value,
                                 struct tdbg_err *err)
{
    return put(object, name, H5T_STD_U64LE, 1, &value, err);
}

enum tdbg_status tdbg_h5_put_u64s(hid_t object, const char *name, const uint64_t *values, hsize_t n,
                                  struct tdbg_err *err)
{
    return put(object, name, H5T_STD_U64LE, n, values, err);
}

enum tdbg_status tdbg_h5_put_text(hid_t object, const char *name, const char *text,
                                  struct tdbg_err *err)
{
    size_t bytes = strlen(text);
    if (bytes > MAX_TEXT_ATTRIBUTE_BYTES)
        return TDBG_RAISE(err, USAGE, "attribute %s: the text is longer than %d bytes", name,
                          MAX_TEXT_ATTRIBUTE_BYTES);
    hid_t type = tdbg_h5_text_type(bytes);
    enum tdbg_status st = put(object, name, type, 1, text, err);
    H5Tclose(type);
    return st;
}

/* Opens an attribute of n elements; *type is its type. The caller closes both. */
static enum tdbg_status open_attr(hid_t object, const char *where, const char *name, hsize_t n,
                                  hid_t *attr, hid_t *type, struct tdbg_err *err)
{
    if (H5Aexists(object, name) <= 0)
        return TDBG_RAISE(err, DAMAGED, "%s has no attribute %s", where, name);
    *attr = H5Aopen(object, name, H5P_DEFAULT);
    if (*attr < 0)
        return TDBG_H5_RAISE(err, DAMAGED, "%s: attribute %s cannot be opened", where, name);
    hid_t space = H5Aget_space(*attr);
    bool fits = H5Sget_simple_extent_type(space) != H5S_NULL &&
                H5Sget_simple_extent_npoints(space) == (hssize_t)n;
    H5Sclose(space);
    *type = H5Aget_type(*attr);
    if (fits && *type >= 0)
        return TDBG_OK;
    H5Aclose(*attr);
    H5Tclose(*type);
    return TDBG_RAISE(err, DAMAGED, "%s: attribute %s has not %llu elements", where, name,
                      (unsigned long long)n);
}

static enum tdbg_status get(hid_t object, const char *where, const char *name, hid_t want,
                            void *values, hsize_t n, struct tdbg_err *err)
{
    hid_t attr = -1, type = -1;
    enum tdbg_status st = open_attr(object, where, name, n, &attr, &type, err);
    if (st != TDBG_OK)
        return st;
    if (H5Tequal(type, want) <= 0)
        st = TDBG_RAISE(err, DAMAGED, "%s: attribute %s is not a 64-bit integer", where, name);
    else if (H5Aread(attr, want, values) < 0)
        st = TDBG_H5_RAISE(err, DAMAGED, "%s: attribute %s cannot be read", where, name);
    H5Tclose(type);
    H5Aclose(attr);
    return st;
}

enum tdbg_status tdbg_h5_get_ints(hid_t object, const char *where, const char *name,
                                  int64_t *values, hsize_t n, struct tdbg_err *err)
{
    return get(object, where, name, H5T_STD_I64LE, values, n, err);
}

enum tdbg_status tdbg_h5_get_int(hid_t object, const char *where, const char *name, int64_t min,
                                 int64_t max, int64_t *value, struct tdbg_err *err)
{
    enum tdbg_status st = get(object, where, name, H5T_STD_I64LE, value, 1, err);
    if (st == TDBG_OK && (*value < min || *value > max))
        st = TDBG_RAISE(err, DAMAGED, "%s: attribute %s is %lld, not in %lld .. %lld", where, name,
                        (long long)*value, (long long)min, (long long)max);
    return st;
}

enum tdbg_status tdbg_h5_get_u64(hid_t object, const char *where, const char *name, uint64_t *value,
                                 struct tdbg_err *err)
{
    return get(object, where, name, H5T_STD_U64LE, value, 1, err);
}

enum tdbg_status tdbg_h5_get_u64s(hid_t object, const char *where, const char *name,
                                  uint64_t *values, hsize_t n, struct tdbg_err *err)
{
    return get(object, where, name, H5T_STD_U64LE, values, n, err);
}

static bool is_fixed_text(hid_t type, hsize_t max_bytes)
{
    return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
           H5Tget_size(type) <= max_bytes;
}

/* Texts reach terminals: control characters other than those of a text file become '?'. */
static void tame_text(char *text)
{
    for (char *c = text; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if ((u < ' ' && !strchr("\t\n\v\f\r", u)) || u == 0x7f)
            *c = '?';
    }
}

enum tdbg_status tdbg_h5_get_text(hid_t object, const char *where, const char *name,
                                  struct tdbg_arena *arena, const char **text, struct tdbg_err *err)
{
    hid_t attr = -1, type = -1;
    enum tdbg_status st = open_attr(object, where, name, 1, &attr, &type, err);
    if (st != TDBG_OK)
        return st;
    if (is_fixed_text(type, MAX_TEXT_ATTRIBUTE_BYTES)) {
        char *copy = tdbg_arena_alloc(arena, H5Tget_size(type) + 1);
        if (H5Aread(attr, type, copy) < 0)
            st = TDBG_H5_RAISE(err, DAMAGED, "%s: attribute %s cannot be read", where, name);
        tame_text(copy);
        *text = copy;
    } else {
        st =
            TDBG_RAISE(err, DAMAGED, "%s: attribute %s is not a text of fixed length", where, name);
    }
    H5Tclose(type);
    H5Aclose(attr);
    return st;
}

enum tdbg_status tdbg_h5_write_text(hid_t loc, const char *path, const char *text,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t bytes = strlen(text);
    hid_t type = tdbg_h5_text_type(bytes), space = H5Screate(H5S_SCALAR);
    hid_t dset = H5Dcreate2(loc, path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    TDBG_H5_FAIL_IF(dset < 0, IO, "cannot create %s", path);
    TDBG_H5_FAIL_IF(H5Dwrite(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0, IO,
                    "cannot write %s", path);
    TDBG_TRY(tdbg_h5_put_u64(dset, "digest", tdbg_digest_fast(text, TDBG_DTYPE_U8, (int64_t)bytes),
                             err));
out:
    /* HDF5 may keep small data back until the dataset is closed */
    if (dset >= 0 && H5Dclose(dset) < 0 && st == TDBG_OK)
        st = TDBG_H5_RAISE(err, IO, "cannot write %s", path);
    H5Sclose(space);
    H5Tclose(type);
    return st;
}

/* Contiguous or compact, in this very file, unfiltered. */
static bool is_plain(hid_t dset)
{
    hid_t dcpl = H5Dget_create_plist(dset);
    H5D_layout_t layout = H5Pget_layout(dcpl);
    bool plain = (layout == H5D_CONTIGUOUS || layout == H5D_COMPACT) &&
                 H5Pget_nfilters(dcpl) == 0 && H5Pget_external_count(dcpl) == 0;
    H5Pclose(dcpl);
    return plain;
}

enum tdbg_status tdbg_h5_read_text(hid_t loc, const char *path, hsize_t max_bytes,
                                   struct tdbg_arena *arena, const char **text,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t dset = -1, type = -1, space = -1;
    uint64_t digest;
    TDBG_TRY(tdbg_h5_open_object(loc, path, H5I_DATASET, &dset, err));
    type = H5Dget_type(dset);
    space = H5Dget_space(dset);
    TDBG_FAIL_IF(H5Sget_simple_extent_type(space) != H5S_SCALAR ||
                     !is_fixed_text(type, max_bytes) || !is_plain(dset),
                 DAMAGED, "%s is not one text of fixed length", path);
    size_t bytes = H5Tget_size(type);
    char *copy = tdbg_arena_alloc(arena, bytes + 1);
    TDBG_H5_FAIL_IF(H5Dread(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, copy) < 0, DAMAGED,
                    "%s cannot be read", path);
    TDBG_TRY(tdbg_h5_get_u64(dset, path, "digest", &digest, err));
    bytes = strlen(copy);
    TDBG_FAIL_IF(tdbg_digest_fast(copy, TDBG_DTYPE_U8, (int64_t)bytes) != digest, DAMAGED,
                 "%s does not agree with its digest", path);
    tame_text(copy);
    *text = copy;
out:
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (dset >= 0)
        H5Oclose(dset);
    return st;
}
