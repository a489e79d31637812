/* Two traces compared, as it goes from the process that compares to the screen: of fixed size. */
#ifndef TDBG_TUI_PARTING_H
#define TDBG_TUI_PARTING_H

#include "replay/compare.h"

enum { TDBG_PARTING_ELEMENTS = 12, TDBG_PARTING_TEXT = 200 };

struct tdbg_tui_parting {
    /* Where the runs part: replay/diff.h. */
    bool is_same, has_step;
    int64_t first_step, n_steps;       /* that were compared */
    int64_t step;                      /* the first that differs */
    char site[TDBG_MAX_SITE_NAME + 1]; /* "": only a chain differs */
    int32_t lane;
    int64_t n_sites_differ;
    char reason[TDBG_PARTING_TEXT]; /* why it cannot be judged, or a note; "" */

    /* Elements of one tensor: the first that differ, or the first ones where none does. */
    bool has_elements;
    struct tdbg_tensor_difference elements;
    double most_relative; /* |a - b| / max(|a|, |b|) over all */
    struct {
        int64_t index;
        double a, b;
        bool differs;
    } element[TDBG_PARTING_ELEMENTS];
    int n_shown;
};

#endif
