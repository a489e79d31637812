/* The values of one tensor at one step, as a job brought them, and the plane that they are shown
 * on. They are mapped where they came in a file, and pages that were looked at are given back, so
 * that the terminal stays small whatever the size of a tensor. */
#ifndef TDBG_TUI_VALUES_H
#define TDBG_TUI_VALUES_H

#include "tui/jobs.h"

struct tdbg_tui_values {
    const struct tdbg_site *site; /* NULL: nothing is held */
    int64_t n_elems;              /* valid ones */
    const void *data;
    size_t bytes;
    bool is_mapped;
    struct tdbg_stats stats;
    bool is_executed;
    int64_t steps_executed;
};

/* Holds the values of an answer of kind TENSOR in place of what was held. false: no memory, and
 * nothing is held. */
bool tdbg_tui_values_keep(struct tdbg_tui_values *values, const struct tdbg_site *site,
                          const struct tdbg_tui_answer *answer);
void tdbg_tui_values_drop(struct tdbg_tui_values *values);

/* Elements first .. first + n - 1 as doubles into out (n). */
void tdbg_tui_values_convert(const struct tdbg_tui_values *values, int64_t first, int64_t n,
                             double *out);

/* The memory of the pages up to that element is not needed for now. */
void tdbg_tui_values_give_back(const struct tdbg_tui_values *values, int64_t end);

/* Element i as the shortest text that reads back to the same value: "0.1", "nan", "-inf". */
enum { TDBG_VALUE_BYTES = 40 };
const char *tdbg_tui_value_text(const struct tdbg_tui_values *values, int64_t i,
                                char buf[TDBG_VALUE_BYTES]);

/* The tensor's elements in rows and columns: its first `split` dimensions and the others. */
struct tdbg_tui_plane {
    int64_t rows, cols;
    int split;
};

/* The most nearly square plane; a vector is one row. Of n elements dimension 0 may be shorter. */
struct tdbg_tui_plane tdbg_tui_plane_of(const struct tdbg_site *site, int64_t n_elems);

/* The index "3,17" or "[3, 17]", those below 0 from the end, as a row-major number. NULL: it is
 * in *out; else what is wrong, into buf. */
const char *tdbg_tui_index_parse(const struct tdbg_site *site, int64_t n_elems, const char *text,
                                 int64_t *out, char *buf, size_t buf_bytes);

bool tdbg_tui_dtype_is_float(enum tdbg_dtype dtype);

#endif
