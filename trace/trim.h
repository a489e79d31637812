/* Cutting a trace to the steps that count: room that was made in advance and what a step left that
 * was cut short goes. */
#ifndef TDBG_TRACE_TRIM_H
#define TDBG_TRACE_TRIM_H

#include "trace/chunked.h"

/* How exactly rows are cut. A chunk that loses some of its rows has to be written again, which in
 * a crash would be the end of it. */
enum tdbg_trim_how {
    TDBG_TRIM_CHUNKS, /* whole chunks: what else there is stays and is to be ignored */
    TDBG_TRIM_ROWS,
};

/* Shortens a dataset to exactly that many rows where it has more. */
enum tdbg_status tdbg_trim_rows(hid_t file, const char *path, int64_t rows,
                                struct tdbg_chunk_io *io, struct tdbg_err *err);

/* Cuts all datasets whose rows belong to steps or keyframes; with TDBG_TRIM_ROWS those get longer
 * that are too short, as one is that has no chunks for the last steps. The file must not be open
 * for anybody else. */
enum tdbg_status tdbg_trim_trace(hid_t file, int64_t first_step, int64_t n_steps,
                                 int64_t n_keyframes, enum tdbg_trim_how how,
                                 struct tdbg_chunk_io *io, struct tdbg_err *err);

#endif
