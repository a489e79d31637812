/* A histogram: bins with exact bounds, and the counts of what was put in.
 *
 *     logarithmic    ... [-0.1, -0.01)  [-0.01, 0)  {0}  (0, 0.01)  [0.01, 0.1) ...
 *     linear         equal widths from the smallest to the largest value
 */
#ifndef TDBG_TUI_BINS_H
#define TDBG_TUI_BINS_H

#include "base/digest.h"

enum { TDBG_MOST_BINS = 64 };

struct tdbg_tui_bins {
    int n;                            /* bins; 0: there is nothing finite */
    double bound[TDBG_MOST_BINS + 1]; /* bin i holds bound[i] <= x < bound[i + 1], the last one also
                                       * its upper bound */
    int64_t count[TDBG_MOST_BINS], most;
    bool is_linear;
    int zero;           /* the bin of exact zeros, or -1 */
    uint8_t *first_bin; /* (65536) by the upper bits of a double, the first bin it may be in */
};

/* Bounds for values with these statistics, at most n_wanted (>= 3) bins; no counts. Start from {0},
 * free with _free. Without memory there are no bins. */
void tdbg_tui_bins_set(struct tdbg_tui_bins *bins, const struct tdbg_stats *stats, bool linear,
                       int n_wanted);
void tdbg_tui_bins_free(struct tdbg_tui_bins *bins);

/* Counts n values; what is not finite is passed over. */
void tdbg_tui_bins_add(struct tdbg_tui_bins *bins, const double *values, int64_t n);

#endif
