/* One tensor of a step on the command line: which site is meant, and room for it. */
#ifndef TDBG_CLI_TENSOR_H
#define TDBG_CLI_TENSOR_H

#include "trace/reader.h"

/* The site of that name; lane and micro -1: the only or the first one. TDBG_NOT_FOUND suggests. */
enum tdbg_status cli_find_site(const struct tdbg_trace *trace, const char *name, int64_t lane,
                               int64_t micro, int32_t *out, struct tdbg_err *err);

/* Room for a value of the site; free() it. */
enum tdbg_status cli_tensor_buffer(const struct tdbg_site *site, void **out, struct tdbg_err *err);

#endif
