/* Making a trace anew from the chunks that are found in a damaged one: its skeleton is the file,
 * and every other chunk is put into the place that its trailer names. */
#ifndef TDBG_TRACE_REBUILD_H
#define TDBG_TRACE_REBUILD_H

#include "trace/trailer_scan.h"

struct tdbg_rebuild_report {
    int64_t n_chunks;     /* put into the file */
    int64_t n_incomplete; /* chunks whose last version is damaged: they cannot be read */
    int64_t n_unplaced;   /* chunks of no dataset, or of a place that it does not have */
    int64_t n_rows;       /* of the longest dataset that has a row per step */
};

/* Creates the file `path`, which must not exist, from the chunks of `list`, which lie in data (a
 * whole file). Afterwards datasets are as long as their chunks say: longer or shorter than others.
 * Memory: a few chunks, and the list of datasets. TDBG_DAMAGED where the skeleton is not there. On
 * failure there is no file. */
enum tdbg_status tdbg_rebuild(const char *path, const unsigned char *data,
                              const struct tdbg_chunk_list *list,
                              struct tdbg_rebuild_report *report, struct tdbg_err *err);

#endif
