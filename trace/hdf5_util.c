/* HDF5 start-up, errors, element types and objects. See hdf5_util.h; attributes and texts are in
 * hdf5_attr.c. */
#include "trace/hdf5_util.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trace/filter.h"

enum { MAX_PATH_BYTES = 512, META_BLOCK_BYTES = 16 << 10 };

static pthread_once_t started = PTHREAD_ONCE_INIT;
static hid_t half_type, bfloat_type;

/* Bit positions of IEEE binary16 and of bfloat16; HDF5 1.10 has neither by name. */
static hid_t make_float16(size_t exponent_bits, size_t mantissa_bits)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, mantissa_bits, exponent_bits, 0, mantissa_bits);
    H5Tset_precision(t, 16);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, ((size_t)1 << (exponent_bits - 1)) - 1);
    return t;
}

static void start(void)
{
    /* HDF5 may crash in its exit handler after a full disk; closing files is all we need. */
    H5dont_atexit();
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    TDBG_ASSERT(tdbg_filter_register());
    half_type = make_float16(5, 10);
    bfloat_type = make_float16(8, 7);
    TDBG_ASSERT(half_type >= 0 && bfloat_type >= 0);
}

void tdbg_h5_begin(void)
{
    static _Thread_local bool quiet; /* a thread-safe HDF5 has one error stack per thread */
    pthread_once(&started, start);
    if (!quiet)
        quiet = H5Eset_auto2(H5E_DEFAULT, NULL, NULL) >= 0;
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
    if (n == 0 && entry->desc)
        snprintf(text, MAX_PATH_BYTES, "%s", entry->desc);
    return 0;
}

/* Of an error of the file system only what the system says; in any case one line. */
static void shorten(char *reason)
{
    static const char before[] = "error message = '";
    char *text = strstr(reason, before), *end;
    if (text && (end = strchr(text += sizeof before - 1, '\''))) {
        memmove(reason, text, (size_t)(end - text));
        reason[end - text] = 0;
    }
    for (char *c = reason; *c; c++) {
        if (*c == '\n')
            *c = ' ';
    }
}

enum tdbg_status tdbg_h5_err_set(struct tdbg_err *err, enum tdbg_status status, const char *file,
                                 int line, const char *fmt, ...)
{
    char what[MAX_PATH_BYTES], reason[MAX_PATH_BYTES] = "";
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    shorten(reason);
    return tdbg_err_set(err, status, file, line, "%s%s%s", what, reason[0] ? ": HDF5: " : "",
                        reason);
}

hid_t tdbg_h5_dtype(enum tdbg_dtype dtype)
{
    switch (dtype) {
    case TDBG_DTYPE_F32:
        return H5T_IEEE_F32LE;
    case TDBG_DTYPE_F64:
        return H5T_IEEE_F64LE;
    case TDBG_DTYPE_BF16:
        return bfloat_type;
    case TDBG_DTYPE_F16:
        return half_type;
    case TDBG_DTYPE_U8:
        return H5T_STD_U8LE;
    case TDBG_DTYPE_I32:
        return H5T_STD_I32LE;
    case TDBG_DTYPE_I64:
        return H5T_STD_I64LE;
    case TDBG_DTYPE_COUNT:
        break;
    }
    TDBG_BUG("no such dtype: %d", (int)dtype);
}

hid_t tdbg_h5_bits_type(size_t elem_bytes)
{
    switch (elem_bytes) {
    case 1:
        return H5T_STD_U8LE;
    case 2:
        return H5T_STD_U16LE;
    case 4:
        return H5T_STD_U32LE;
    case 8:
        return H5T_STD_U64LE;
    default:
        TDBG_BUG("elements of %zu bytes", elem_bytes);
    }
}

bool tdbg_h5_parse_dtype(hid_t type, enum tdbg_dtype *out)
{
    for (int d = 0; d < TDBG_DTYPE_COUNT; d++) {
        if (H5Tequal(type, tdbg_h5_dtype((enum tdbg_dtype)d)) > 0) {
            *out = (enum tdbg_dtype)d;
            return true;
        }
    }
    return false;
}

hid_t tdbg_h5_text_type(size_t bytes)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, bytes > 0 ? bytes : 1);
    H5Tset_strpad(t, H5T_STR_NULLPAD);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

unsigned tdbg_h5_hold_plugins(void)
{
    unsigned held = H5PL_ALL_PLUGIN;
    H5PLget_loading_state(&held);
    H5PLset_loading_state(0);
    return held;
}

void tdbg_h5_release_plugins(unsigned held)
{
    H5PLset_loading_state(held);
}

hid_t tdbg_h5_write_access(void)
{
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    H5Pset_file_locking(fapl, true, true);
    H5Pset_meta_block_size(fapl, META_BLOCK_BYTES);
    return fapl;
}

/* The two properties are those of h5clear(1). A writer that was killed may not have noted the end
 * of the file in the superblock, nor have written up to the end that it has noted. */
enum tdbg_status tdbg_h5_open_cut_off(const char *path, hid_t *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const hbool_t yes = true;
    hid_t fapl = tdbg_h5_write_access();
    TDBG_H5_FAIL_IF(H5Pset(fapl, "clear_status_flags", &yes) < 0 ||
                        H5Pset(fapl, "skip_eof_check", &yes) < 0,
                    UNSUPPORTED, "this HDF5 library cannot clear the flag of a file in use");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, fapl);
    TDBG_H5_FAIL_IF(file < 0, DAMAGED, "%s cannot be opened", path);
    if (H5Fincrement_filesize(file, 0) < 0) {
        st = TDBG_H5_RAISE(err, IO, "the size of %s cannot be set", path);
        H5Fclose(file);
        goto out;
    }
    *out = file;
out:
    H5Pclose(fapl);
    return st;
}

enum tdbg_status tdbg_h5_create_group(hid_t loc, const char *path, hid_t *out, struct tdbg_err *err)
{
    hid_t lcpl = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(lcpl, 1);
    *out = H5Gcreate2(loc, path, lcpl, H5P_DEFAULT, H5P_DEFAULT);
    enum tdbg_status st = TDBG_OK;
    if (*out < 0)
        st = TDBG_H5_RAISE(err, IO, "cannot create group %s", path);
    H5Pclose(lcpl);
    return st;
}

/* Every component of the path has to be a hard link: soft and external ones lead elsewhere. */
static enum tdbg_status check_links(hid_t loc, const char *path, struct tdbg_err *err)
{
    char part[MAX_PATH_BYTES];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return TDBG_RAISE(err, DAMAGED, "%.60s: the path is too long", path);
    for (size_t end = 1; end <= n; end++) {
        if (path[end] != '/' && path[end] != 0)
            continue;
        H5L_info_t info;
        memcpy(part, path, end);
        part[end] = 0;
        htri_t exists = H5Lexists(loc, part, H5P_DEFAULT);
        if (exists == 0)
            return TDBG_RAISE(err, DAMAGED, "%s is missing", part);
        if (exists < 0 || H5Lget_info(loc, part, &info, H5P_DEFAULT) < 0)
            return TDBG_H5_RAISE(err, DAMAGED, "%s cannot be read", part);
        if (info.type != H5L_TYPE_HARD)
            return TDBG_RAISE(err, DAMAGED, "%s is a link to another place", part);
    }
    return TDBG_OK;
}

enum tdbg_status tdbg_h5_open_object(hid_t loc, const char *path, H5I_type_t type, hid_t *out,
                                     struct tdbg_err *err)
{
    bool torn;
    return tdbg_h5_open_maybe_torn(loc, path, type, out, &torn, err);
}

enum tdbg_status tdbg_h5_open_maybe_torn(hid_t loc, const char *path, H5I_type_t type, hid_t *out,
                                         bool *torn, struct tdbg_err *err)
{
    enum tdbg_status st = check_links(loc, path, err);
    *torn = false;
    if (st != TDBG_OK)
        return st;
    unsigned held = tdbg_h5_hold_plugins();
    hid_t id = H5Oopen(loc, path, H5P_DEFAULT);
    if (id < 0) {
        *torn = true;
        st = TDBG_H5_RAISE(err, DAMAGED, "%s cannot be opened", path);
    } else if (H5Iget_type(id) != type) {
        st = TDBG_RAISE(err, DAMAGED, "%s is not a %s", path,
                        type == H5I_GROUP ? "group" : "dataset");
        H5Oclose(id);
    } else {
        *out = id;
    }
    tdbg_h5_release_plugins(held);
    return st;
}

int tdbg_h5_link_is_dataset(hid_t group, const char *path, const H5L_info_t *link, H5O_info_t *info)
{
    if (link->type != H5L_TYPE_HARD)
        return 0;
    if (H5Oget_info_by_name2(group, path, info, H5O_INFO_BASIC, H5P_DEFAULT) < 0)
        return -1;
    return info->type == H5O_TYPE_DATASET;
}
