/* Reading arrays of HDF5 files by other programs. See array_file.h. */
#include "trace/array_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/strbuf.h"
#include "trace/hdf5_util.h"

enum { MOST_NAMES = 4096, NAMES_IN_MESSAGE = 8 };
#define MOST_BYTES (UINT64_C(1) << 36)
#define MOST_RATIO UINT64_C(16384) /* what the best compression makes of zeros, and more */

/* Paths of the datasets of numbers. */
struct names {
    char *item[MOST_NAMES];
    int n;
    bool too_many;
};

static void free_names(struct names *names)
{
    for (int i = 0; i < names->n; i++)
        free(names->item[i]);
    names->n = 0;
}

static bool find_float(hid_t type, enum tdbg_elem *out)
{
    size_t sign, exponent_at, exponent, mantissa_at, mantissa;
    const size_t bytes = H5Tget_size(type);
    if (H5Tget_fields(type, &sign, &exponent_at, &exponent, &mantissa_at, &mantissa) < 0)
        return false;
    if (bytes == 2)
        *out = mantissa == 10 ? TDBG_ELEM_F16 : TDBG_ELEM_BF16;
    else
        *out = bytes == 4 ? TDBG_ELEM_F32 : TDBG_ELEM_F64;
    return bytes == 8 || bytes == 4 || (bytes == 2 && exponent == 5 && mantissa == 10) ||
           (bytes == 2 && exponent == 8 && mantissa == 7);
}

static bool find_integer(hid_t type, enum tdbg_elem *out)
{
    static const enum tdbg_elem of_size[9][2] = {
        [1] = {TDBG_ELEM_U8, TDBG_ELEM_I8},
        [2] = {TDBG_ELEM_U16, TDBG_ELEM_I16},
        [4] = {TDBG_ELEM_U32, TDBG_ELEM_I32},
        [8] = {TDBG_ELEM_U64, TDBG_ELEM_I64},
    };
    const size_t bytes = H5Tget_size(type);
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
        return false;
    *out = of_size[bytes][H5Tget_sign(type) == H5T_SGN_2];
    return true;
}

/* Element type and, in *memory (borrowed), what HDF5 is to convert to. h5py's bool is an enum. */
static bool find_type(hid_t type, enum tdbg_elem *out, hid_t *memory)
{
    const H5T_class_t class = H5Tget_class(type);
    if (class == H5T_ENUM && H5Tget_size(type) == 1) {
        *out = TDBG_ELEM_BOOL;
        *memory = type;
        return true;
    }
    if (class != H5T_INTEGER && class != H5T_FLOAT)
        return false;
    if (!(class == H5T_FLOAT ? find_float(type, out) : find_integer(type, out)))
        return false;
    const hid_t native[TDBG_ELEM_COUNT] = {
        [TDBG_ELEM_U8] = H5T_NATIVE_UINT8,
        [TDBG_ELEM_I8] = H5T_NATIVE_INT8,
        [TDBG_ELEM_U16] = H5T_NATIVE_UINT16,
        [TDBG_ELEM_I16] = H5T_NATIVE_INT16,
        [TDBG_ELEM_U32] = H5T_NATIVE_UINT32,
        [TDBG_ELEM_I32] = H5T_NATIVE_INT32,
        [TDBG_ELEM_U64] = H5T_NATIVE_UINT64,
        [TDBG_ELEM_I64] = H5T_NATIVE_INT64,
        [TDBG_ELEM_F16] = tdbg_h5_dtype(TDBG_DTYPE_F16),
        [TDBG_ELEM_BF16] = tdbg_h5_dtype(TDBG_DTYPE_BF16),
        [TDBG_ELEM_F32] = H5T_NATIVE_FLOAT,
        [TDBG_ELEM_F64] = H5T_NATIVE_DOUBLE,
    };
    *memory = native[*out];
    return true;
}

static herr_t add_name(hid_t group, const char *path, const H5L_info_t *link, void *context)
{
    struct names *names = context;
    H5O_info_t info;
    const int is_dataset = tdbg_h5_link_is_dataset(group, path, link, &info);
    if (is_dataset <= 0)
        return is_dataset;
    names->too_many = names->n == MOST_NAMES;
    if (names->too_many)
        return -1;
    names->item[names->n] = strdup(path);
    return names->item[names->n++] ? 0 : -1;
}

static enum tdbg_status list_names(hid_t file, struct names *names, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    herr_t rc = H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, add_name, names);
    TDBG_FAIL_IF(names->too_many, DATA, "it has more than %d datasets", MOST_NAMES);
    TDBG_FAIL_IF(rc < 0, DATA, "its groups cannot be read");
out:
    return st;
}

static enum tdbg_status not_there(hid_t file, const char *name, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct names names = {0};
    struct tdbg_strbuf list = {0};
    TDBG_TRY(list_names(file, &names, err));
    for (int i = 0; i < names.n && i < NAMES_IN_MESSAGE; i++)
        tdbg_strbuf_printf(&list, "%s'%.60s'", i ? ", " : "", names.item[i]);
    const char *near = tdbg_suggest(name, (const char *const *)names.item, names.n);
    TDBG_FAIL_IF(near != NULL, DATA, "it has no dataset '%.100s'; did you mean '%.100s'?", name,
                 near);
    TDBG_FAIL_IF(true, DATA, "it has no dataset '%.100s'; it has %s%s", name,
                 names.n ? list.text : "none", names.n > NAMES_IN_MESSAGE ? ", ..." : "");
out:
    tdbg_strbuf_free(&list);
    free_names(&names);
    return st;
}

/* Only what lies in this file, and no more than it can hold. */
static enum tdbg_status check_storage(hid_t file, hid_t dset, uint64_t bytes, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hsize_t file_bytes = 0;
    hid_t dcpl = H5Dget_create_plist(dset);
    TDBG_FAIL_IF(dcpl < 0, DATA, "its dataset cannot be read");
    TDBG_FAIL_IF(H5Pget_layout(dcpl) == H5D_VIRTUAL || H5Pget_external_count(dcpl) > 0, DATA,
                 "its dataset lies in other files; copy it into one");
    TDBG_FAIL_IF(H5Fget_filesize(file, &file_bytes) < 0, DATA, "its size is not known");
    TDBG_FAIL_IF(bytes > MOST_BYTES || bytes / MOST_RATIO > file_bytes, DATA,
                 "its dataset claims %llu bytes in a file of %llu", (unsigned long long)bytes,
                 (unsigned long long)file_bytes);
out:
    if (dcpl >= 0)
        H5Pclose(dcpl);
    return st;
}

static enum tdbg_status shape_of(hid_t dset, struct tdbg_array *out, uint64_t *elems,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dset);
    const int n = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    TDBG_FAIL_IF(n < 0 || n > TDBG_MAX_DIMS || H5Sget_simple_extent_dims(space, dims, NULL) < 0,
                 DATA, "its dataset has %d dimensions; at most %d are read", n, TDBG_MAX_DIMS);
    out->ndim = n;
    *elems = 1;
    for (int d = 0; d < n; d++) {
        TDBG_FAIL_IF(dims[d] > MOST_BYTES || (dims[d] > 0 && *elems > MOST_BYTES / dims[d]), DATA,
                     "its dataset is too large");
        out->dims[d] = (int64_t)dims[d];
        *elems *= dims[d];
    }
out:
    if (space >= 0)
        H5Sclose(space);
    return st;
}

/* *is_number false: a dataset of texts or structures, and nothing is read. */
static enum tdbg_status read_dataset(hid_t file, hid_t dset, struct tdbg_array *out,
                                     bool *is_number, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    hid_t type = H5Dget_type(dset), memory = -1;
    uint64_t elems;
    *out = (struct tdbg_array){0};
    *is_number = type >= 0 && find_type(type, &out->elem, &memory);
    if (!*is_number)
        goto out;
    TDBG_TRY(shape_of(dset, out, &elems, err));
    const uint64_t bytes = elems * tdbg_elem_bytes(out->elem);
    TDBG_TRY(check_storage(file, dset, bytes, err));
    out->data = out->block = malloc(bytes > 0 ? bytes : 1);
    TDBG_FAIL_IF(!out->block, NO_MEMORY, "no memory for %llu bytes", (unsigned long long)bytes);
    TDBG_H5_FAIL_IF(H5Dread(dset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out->block) < 0, DATA,
                    "its dataset cannot be read");
out:
    if (st != TDBG_OK)
        tdbg_array_free(out);
    if (type >= 0)
        H5Tclose(type);
    return st;
}

static enum tdbg_status open_file(const char *path, hid_t *file, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_FAIL_IF(!tdbg_array_file_is_hdf5(path), DATA, "it is not an HDF5 file");
    *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    TDBG_H5_FAIL_IF(*file < 0, DATA, "the file is damaged or in use");
out:
    return st;
}

enum tdbg_status tdbg_array_file_read(const char *path, const char *name, struct tdbg_array *out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err ignored = {0};
    hid_t file = -1, dset = -1;
    bool is_number;
    tdbg_h5_begin();
    unsigned held = tdbg_h5_hold_plugins();
    *out = (struct tdbg_array){0};
    TDBG_TRY(open_file(path, &file, err));
    name += strspn(name, "/");
    if (tdbg_h5_open_object(file, name, H5I_DATASET, &dset, &ignored) != TDBG_OK)
        TDBG_TRY(not_there(file, name, err));
    TDBG_TRY(read_dataset(file, dset, out, &is_number, err));
    TDBG_FAIL_IF(!is_number, DATA, "its dataset '%.100s' does not hold plain numbers", name);
out:
    tdbg_err_clear(&ignored);
    if (dset >= 0)
        H5Oclose(dset);
    if (file >= 0)
        H5Fclose(file);
    tdbg_h5_release_plugins(held);
    return st;
}

static enum tdbg_status visit_one(hid_t file, const char *name, tdbg_array_visit_fn visit,
                                  void *self, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array array = {0};
    hid_t dset = -1;
    bool is_number;
    struct tdbg_err fault = {0};
    if (tdbg_h5_open_object(file, name, H5I_DATASET, &dset, &fault) == TDBG_OK)
        read_dataset(file, dset, &array, &is_number, &fault);
    if (fault.status != TDBG_OK) {
        st = tdbg_err_set(err, fault.status == TDBG_NO_MEMORY ? TDBG_NO_MEMORY : TDBG_DATA,
                          fault.file, fault.line, "%.100s: %s", name, fault.message);
        goto out;
    }
    if (is_number)
        TDBG_TRY(visit(self, name, &array, err));
out:
    tdbg_err_clear(&fault);
    tdbg_array_free(&array);
    if (dset >= 0)
        H5Oclose(dset);
    return st;
}

enum tdbg_status tdbg_array_file_visit(const char *path, tdbg_array_visit_fn visit, void *self,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct names names = {0};
    hid_t file = -1;
    tdbg_h5_begin();
    unsigned held = tdbg_h5_hold_plugins();
    TDBG_TRY(open_file(path, &file, err));
    TDBG_TRY(list_names(file, &names, err));
    for (int i = 0; i < names.n; i++)
        TDBG_TRY(visit_one(file, names.item[i], visit, self, err));
out:
    free_names(&names);
    if (file >= 0)
        H5Fclose(file);
    tdbg_h5_release_plugins(held);
    return st;
}

bool tdbg_array_file_is_hdf5(const char *path)
{
    tdbg_h5_begin();
    return H5Fis_hdf5(path) > 0;
}

bool tdbg_array_file_is_trace(const char *path)
{
    hid_t file = -1;
    if (open_file(path, &file, NULL) != TDBG_OK)
        return false;
    const bool has = H5Aexists(file, "format") > 0 && H5Aexists(file, "schema") > 0 &&
                     H5Aexists(file, "run_uuid") > 0;
    H5Fclose(file);
    return has;
}
