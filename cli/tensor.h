/* One tensor of a step on the command line: which site is meant, and how its values are printed. */
#ifndef TDBG_CLI_TENSOR_H
#define TDBG_CLI_TENSOR_H

#include <stdio.h>

#include "base/digest.h"
#include "trace/reader.h"

/* The site of that name; lane and micro -1: the only or the first one. TDBG_NOT_FOUND suggests. */
enum tdbg_status cli_find_site(const struct tdbg_trace *trace, const char *name, int64_t lane,
                               int64_t micro, int32_t *out, struct tdbg_err *err);

/* Room for a value of the site; free() it. */
enum tdbg_status cli_tensor_buffer(const struct tdbg_site *site, void **out, struct tdbg_err *err);

/* Shape of the n valid elements: a short batch has fewer rows than the site. */
void cli_tensor_dims(const struct tdbg_site *site, int64_t n, int64_t dims[TDBG_MAX_DIMS]);

/* One object in one line: site, step, lane, micro, dtype, shape; stats where they are not NULL;
 * values (a flat list that reads back to the same bits) where data is not NULL. */
void cli_tensor_print_json(FILE *out, const struct tdbg_site *site, int64_t step, int64_t n,
                           const struct tdbg_stats *stats, const void *data);

#endif
