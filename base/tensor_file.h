/* A tensor of a step in the formats of other programs: JSON, CSV, npy. Whether it could be written
 * is for the caller to ask with ferror(). */
#ifndef TDBG_BASE_TENSOR_FILE_H
#define TDBG_BASE_TENSOR_FILE_H

#include <stdio.h>

#include "base/digest.h"

/* Shape of the n valid elements: a short batch has fewer rows than the site. */
void tdbg_tensor_dims(const struct tdbg_site *site, int64_t n, int64_t dims[TDBG_MAX_DIMS]);

/* One object in one line: site, step, lane, micro, dtype, shape; stats where they are not NULL;
 * values (a flat list that reads back to the same bits) where data is not NULL. */
void tdbg_tensor_write_json(FILE *out, const struct tdbg_site *site, int64_t step, int64_t n,
                            const struct tdbg_stats *stats, const void *data);

/* The same in parts: what stands before the values, values first .. first + n - 1 of data, and what
 * stands behind the last. */
void tdbg_tensor_write_json_head(FILE *out, const struct tdbg_site *site, int64_t step, int64_t n,
                                 const struct tdbg_stats *stats);
void tdbg_tensor_write_json_part(FILE *out, enum tdbg_dtype dtype, int64_t first, int64_t n,
                                 const void *data);
void tdbg_tensor_write_json_tail(FILE *out);

/* "step,index0,index1,value", and a line of these for each of elements first .. first + n - 1 of
 * data. */
void tdbg_tensor_write_csv_head(FILE *out, const struct tdbg_site *site);
void tdbg_tensor_write_csv(FILE *out, const struct tdbg_site *site, int64_t step, int64_t first,
                           int64_t n, const void *data);

#endif
