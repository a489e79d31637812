/* A part of the course, in full resolution: a series of its own over fewer steps. */
#ifndef TDBG_TUI_ZOOM_H
#define TDBG_TUI_ZOOM_H

#include "tui/series.h"

/* Start from {0}: all of the course is shown. */
struct tdbg_tui_zoom {
    int64_t first, n; /* steps; n = 0: not zoomed */
    struct tdbg_tui_data data;
    struct tdbg_tui_series series;
};

void tdbg_tui_zoom_free(struct tdbg_tui_zoom *zoom);

/* Shows n steps from `first` on, as far as the run has them; all of them: no zoom. Reads nothing
 * yet. TDBG_NO_MEMORY leaves it as it was. */
enum tdbg_status tdbg_tui_zoom_set(struct tdbg_tui_zoom *zoom, const struct tdbg_tui_data *data,
                                   int64_t first, int64_t n, struct tdbg_err *err);

/* Half, or twice, the steps around one, `times` times over (negative: out). */
enum tdbg_status tdbg_tui_zoom_by(struct tdbg_tui_zoom *zoom, const struct tdbg_tui_data *data,
                                  int64_t around, int64_t times, struct tdbg_err *err);

/* Moves what is shown so that the step is in it. */
enum tdbg_status tdbg_tui_zoom_follow(struct tdbg_tui_zoom *zoom, const struct tdbg_tui_data *data,
                                      int64_t step, struct tdbg_err *err);

#endif
