/* The little of HDF5 that trace/ needs everywhere: start-up, errors with HDF5's own reason, element
 * types, attributes, texts, and objects opened without following a link out of the file. */
#ifndef TDBG_TRACE_HDF5_UTIL_H
#define TDBG_TRACE_HDF5_UTIL_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/site.h"
#include "base/status.h"

/* To be called first in every public function that calls HDF5: on the first call ever sets up the
 * library (no atexit handler, our filter), and on the first call of a thread silences HDF5's habit
 * of printing errors. */
void tdbg_h5_begin(void);

/* Like TDBG_RAISE, with ": " and the innermost reason on HDF5's error stack behind the text. */
#define TDBG_H5_RAISE(err, status, ...)                                                            \
    tdbg_h5_err_set((err), TDBG_##status, __FILE__, __LINE__, __VA_ARGS__)
#define TDBG_H5_FAIL_IF(cond, status, ...)                                                         \
    do {                                                                                           \
        if (cond) {                                                                                \
            st = TDBG_H5_RAISE(err, status, __VA_ARGS__);                                          \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)
enum tdbg_status tdbg_h5_err_set(struct tdbg_err *err, enum tdbg_status status, const char *file,
                                 int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* tdbg_err_prefix() for callers whose own caller may want no message. */
#define TDBG_H5_CONTEXT(err, ...)                                                                  \
    do {                                                                                           \
        if (err)                                                                                   \
            tdbg_err_prefix((err), __VA_ARGS__);                                                   \
    } while (0)

/* HDF5's file type of an element type (always little-endian); borrowed, never closed. */
hid_t tdbg_h5_dtype(enum tdbg_dtype dtype);
hid_t tdbg_h5_bits_type(size_t elem_bytes); /* the unsigned integer of that size; borrowed */
bool tdbg_h5_parse_dtype(hid_t type, enum tdbg_dtype *out); /* false: none of ours */

/* A fixed-length, zero-padded UTF-8 string type; the caller closes it. */
hid_t tdbg_h5_text_type(size_t bytes);

/* While held, HDF5 loads no plugin: a hostile file must not choose code to run. */
unsigned tdbg_h5_hold_plugins(void); /* returns what release wants back */
void tdbg_h5_release_plugins(unsigned held);

/* Attributes: scalars (n == 1 is stored as a scalar too) and texts. */
enum tdbg_status tdbg_h5_put_ints(hid_t object, const char *name, const int64_t *values, hsize_t n,
                                  struct tdbg_err *err);
enum tdbg_status tdbg_h5_put_int(hid_t object, const char *name, int64_t value,
                                 struct tdbg_err *err);
enum tdbg_status tdbg_h5_put_u64(hid_t object, const char *name, uint64_t value,
                                 struct tdbg_err *err);
enum tdbg_status tdbg_h5_put_u64s(hid_t object, const char *name, const uint64_t *values, hsize_t n,
                                  struct tdbg_err *err);
enum tdbg_status tdbg_h5_put_text(hid_t object, const char *name, const char *text,
                                  struct tdbg_err *err);

/* The same way back, with type and shape checked; `where` names the object in messages. Raises
 * TDBG_DAMAGED. *text is copied into the arena. */
enum tdbg_status tdbg_h5_get_ints(hid_t object, const char *where, const char *name,
                                  int64_t *values, hsize_t n, struct tdbg_err *err);
enum tdbg_status tdbg_h5_get_int(hid_t object, const char *where, const char *name, int64_t min,
                                 int64_t max, int64_t *value, struct tdbg_err *err);
enum tdbg_status tdbg_h5_get_u64(hid_t object, const char *where, const char *name, uint64_t *value,
                                 struct tdbg_err *err);
enum tdbg_status tdbg_h5_get_u64s(hid_t object, const char *where, const char *name,
                                  uint64_t *values, hsize_t n, struct tdbg_err *err);
enum tdbg_status tdbg_h5_get_text(hid_t object, const char *where, const char *name,
                                  struct tdbg_arena *arena, const char **text,
                                  struct tdbg_err *err);

/* A text as a scalar dataset of fixed length, with a `digest` attribute over its bytes. */
enum tdbg_status tdbg_h5_write_text(hid_t loc, const char *path, const char *text,
                                    struct tdbg_err *err);
enum tdbg_status tdbg_h5_read_text(hid_t loc, const char *path, hsize_t max_bytes,
                                   struct tdbg_arena *arena, const char **text,
                                   struct tdbg_err *err);

/* How we open a file for writing: versions, bounds and locks. The caller closes it. */
hid_t tdbg_h5_write_access(void);

/* Opens a file for writing that says that somebody has it open: what a killed writer leaves. The
 * caller is sure that nobody has, and that the file is whole up to its end. The flag is gone when
 * *out is closed. */
enum tdbg_status tdbg_h5_open_cut_off(const char *path, hid_t *out, struct tdbg_err *err);

/* Creates a group and the groups above it; the caller closes *out. */
enum tdbg_status tdbg_h5_create_group(hid_t loc, const char *path, hid_t *out,
                                      struct tdbg_err *err);

/* For H5Lvisit: does the link lead to a dataset of this very file? 1: *info is its; 0: no; < 0:
 * HDF5 cannot tell. */
int tdbg_h5_link_is_dataset(hid_t group, const char *path, const H5L_info_t *link,
                            H5O_info_t *info);

/* Opens a group or dataset by a path of hard links only; the caller closes *out with H5Oclose. */
enum tdbg_status tdbg_h5_open_object(hid_t loc, const char *path, H5I_type_t type, hid_t *out,
                                     struct tdbg_err *err);

/* The same, and says on failure whether the object's header cannot be read, all links to it being
 * sound. Whoever does not stop then must not try again: once it has failed, HDF5 1.10 may open an
 * object of several blocks without those that it could not read. */
enum tdbg_status tdbg_h5_open_maybe_torn(hid_t loc, const char *path, H5I_type_t type, hid_t *out,
                                         bool *torn, struct tdbg_err *err);

#endif
