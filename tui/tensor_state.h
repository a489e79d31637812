/* The tensor screen's state: the values of the focus site at the focus step, asked for when the
 * focus moves, and what is made of them bit by bit while nobody types:
 *
 *     asked --> values --> [values of the step before, difference] --> histogram --> heat map
 */
#ifndef TDBG_TUI_TENSOR_STATE_H
#define TDBG_TUI_TENSOR_STATE_H

#include "tui/bins.h"
#include "tui/export.h"
#include "tui/heat.h"
#include "tui/model.h"

enum tdbg_tui_tensor_view {
    TDBG_TENSOR_SUMMARY, /* histogram and, where there is room, heat map */
    TDBG_TENSOR_HEAT,
    TDBG_TENSOR_ELEMENTS,
    TDBG_TENSOR_HISTORY,
    TDBG_TENSOR_VIEW_COUNT
};

/* What is to be shown. */
struct tdbg_tui_tensor_place {
    int32_t rank, site;
    int64_t step;
};

enum tdbg_tui_tensor_phase {
    TDBG_TENSOR_NOTHING, /* no values */
    TDBG_TENSOR_DIFFERENCE,
    TDBG_TENSOR_BINS,
    TDBG_TENSOR_CELLS,
    TDBG_TENSOR_DONE,
};

/* Now and the step before, element by element. */
struct tdbg_tui_difference {
    int64_t n_differ;        /* by bits */
    int64_t first;           /* of them, or -1 */
    double most_absolute;    /* of finite pairs, as the two below */
    double most_relative;    /* |now - prev| / max(|now|, |prev|) */
    int64_t most_ulp;        /* -1: not a floating-point number */
    struct tdbg_stats stats; /* of now - prev; its mean and rms stay NaN */
};

struct tdbg_tui_tensor {
    bool is_open;
    enum tdbg_tui_tensor_view view;
    bool flips_scale; /* the other one than the dtype's own */
    bool compares;    /* with the step before */
    int zoom;
    char *export_path; /* that it is asked about whether to overwrite it */
    struct tdbg_tui_export file;
    int64_t cursor; /* element; where the tensor is smaller, its last one is meant */

    struct tdbg_tui_tensor_place place; /* that the members below are of */
    bool has_place, asks;
    char *fault, *prev_fault; /* why there are no values; NULL: they are there, or asked for */
    struct tdbg_tui_values now, prev;

    enum tdbg_tui_tensor_phase phase;
    int64_t at; /* elements done in this phase */
    struct tdbg_tui_difference difference;
    int n_bins; /* wanted */
    struct tdbg_tui_bins bins;
    struct tdbg_tui_heat_cut cut; /* wanted */
    struct tdbg_tui_heat heat;

    struct tdbg_tui_series history; /* of metrics 0: min and max, 1: rms, 2: mean */
    int32_t history_site;           /* -1: none is begun */
};

void tdbg_tui_tensor_free(struct tdbg_tui_tensor *tensor);

/* Nothing is held or asked for any more. */
void tdbg_tui_tensor_drop(struct tdbg_tui_tensor *tensor);

/* Are the values there that the view is made of, with the step before where it compares? */
bool tdbg_tui_tensor_has_values(const struct tdbg_tui_tensor *tensor);

/* The statistics of what is shown: values or difference. NULL: not yet. */
const struct tdbg_stats *tdbg_tui_tensor_stats(const struct tdbg_tui_tensor *tensor);

bool tdbg_tui_tensor_is_linear(const struct tdbg_tui_tensor *tensor);
int64_t tdbg_tui_tensor_cursor(const struct tdbg_tui_tensor *tensor);

/* n values from element `first` on, or their differences. */
void tdbg_tui_tensor_convert(const struct tdbg_tui_tensor *tensor, int64_t first, int64_t n,
                             double *out);

/* The sizes that the frame has room for: what was made for others is made anew. */
void tdbg_tui_tensor_lay_out(struct tdbg_tui_tensor *tensor, int n_bins, int heat_width,
                             int heat_height);

/* Begins with the first phase; for when values, scale or comparison changed. */
void tdbg_tui_tensor_begin(struct tdbg_tui_tensor *tensor);

/* Goes on for some milliseconds; false: there was nothing to do. */
bool tdbg_tui_tensor_work(struct tdbg_tui_tensor *tensor);

/* Reads further steps of the site's statistics; false: there are none. */
bool tdbg_tui_tensor_work_history(struct tdbg_tui_tensor *tensor,
                                  const struct tdbg_tui_model *model);

#endif
