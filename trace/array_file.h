/* Arrays in HDF5 files that other programs wrote: data sets and weights. Nothing in such a file is
 * trusted: no filter plugin is loaded, no external or virtual storage is read, and sizes are
 * checked against the file before memory is taken. */
#ifndef TDBG_TRACE_ARRAY_FILE_H
#define TDBG_TRACE_ARRAY_FILE_H

#include <stdbool.h>

#include "base/array.h"
#include "base/status.h"

/* Reads the dataset at path `name` ("x", "model/fc1.weight") of an HDF5 file: numbers of any type
 * that base/array.h knows, up to TDBG_MAX_DIMS dimensions. Free *out with tdbg_array_free().
 * Errors: TDBG_DATA for whatever is wrong with the file, with what would be accepted. */
enum tdbg_status tdbg_array_file_read(const char *path, const char *name, struct tdbg_array *out,
                                      struct tdbg_err *err);

/* Calls visit for every dataset of numbers in the file, in ascending order of the paths, until it
 * fails. Groups stay in the names: "model/fc1.weight". */
enum tdbg_status tdbg_array_file_visit(const char *path, tdbg_array_visit_fn visit, void *self,
                                       struct tdbg_err *err);

/* Is the file an HDF5 file? Is it a trace, however damaged? */
bool tdbg_array_file_is_hdf5(const char *path);
bool tdbg_array_file_is_trace(const char *path);

#endif
