/* The chunked datasets of a trace, whatever they are: for what has to be done to all of them, also
 * to those that a later version adds. Only hard links are followed. */
#ifndef TDBG_TRACE_DATASET_LIST_H
#define TDBG_TRACE_DATASET_LIST_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "trace/chunked.h"

struct tdbg_dataset_entry {
    const char *path; /* "t/grad/fc1.weight" */
    uint32_t number;  /* in trailers (trailer.h) */
};

struct tdbg_dataset_list {
    struct tdbg_dataset_entry *items; /* sorted by number, which is unique */
    size_t n_items;
};

/* Items and paths are in the arena. TDBG_DAMAGED where groups or datasets cannot be read. */
enum tdbg_status tdbg_list_datasets(hid_t file, struct tdbg_arena *arena,
                                    struct tdbg_dataset_list *out, struct tdbg_err *err);

/* Opens one of them, whatever its type and rank. */
enum tdbg_status tdbg_open_listed(hid_t file, const char *path, struct tdbg_chunk_cache *cache,
                                  struct tdbg_chunked *out, struct tdbg_err *err);

/* What makes a dataset longer when the trace does. */
enum tdbg_rows_rule {
    TDBG_ROWS_OTHER,     /* neither of the following */
    TDBG_ROWS_STEPS,     /* a row per step */
    TDBG_ROWS_CADENCE,   /* a row per `every` steps */
    TDBG_ROWS_KEYFRAMES, /* a row per keyframe */
    TDBG_ROWS_ZONES,     /* a row per `every` steps that are all there */
};
enum tdbg_status tdbg_rows_rule_of(const struct tdbg_chunked *dataset, enum tdbg_rows_rule *rule,
                                   int32_t *every, struct tdbg_err *err);

#endif
