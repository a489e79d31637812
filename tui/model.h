/* What the terminal shows: the focus, and what was read for it. Views paint it, actions change it;
 * nothing in here knows of screens, sizes or keys. */
#ifndef TDBG_TUI_MODEL_H
#define TDBG_TUI_MODEL_H

#include "tui/series.h"
#include "tui/zoom.h"

/* Every screen looks at the same place. */
struct tdbg_tui_focus {
    int64_t step;
    int32_t site; /* 0 where there is no site at all */
    int32_t rank;
};

enum tdbg_tui_pane { TDBG_PANE_CHART, TDBG_PANE_METRICS, TDBG_PANE_SITES, TDBG_PANE_COUNT };

/* A metric at the focus and just before it. Evaluations: the last one up to the focus step, and the
 * one before that. */
struct tdbg_tui_metric_pair {
    bool has_now, has_prev;
    double now, prev;
};

struct tdbg_tui_model {
    const struct tdbg_tui_data *data;
    struct tdbg_tui_focus focus;

    enum tdbg_tui_pane pane;
    int metric;        /* that the chart shows: < TDBG_METRIC_CHARTED */
    bool linear;       /* scale of the chart; logarithmic otherwise */
    int32_t sites_top; /* first visible row of the site list */

    char *message; /* NULL: none */
    bool message_is_error;
    char *pattern; /* of the last find; NULL: none yet */

    struct tdbg_tui_series series; /* all of the course */
    struct tdbg_tui_zoom zoom;     /* the part of it that charts show, if not all */

    /* What belongs to focus.step, read by tdbg_tui_model_load(). */
    bool is_loaded;
    int64_t loaded_step, loaded_n_read;
    struct tdbg_tui_metric_pair metrics[TDBG_METRIC_COUNT];
    struct tdbg_stats *stats, *prev_stats;     /* (n_sites); all absent where nothing was read */
    int64_t stats_step, prev_stats_step;       /* which step they are of; -1: none */
    int64_t eval_step;                         /* the metrics' evaluation, or -1 */
    int32_t n_broken_sites, first_broken_site; /* sites with NaN or Inf; -1: none */

    int32_t eval_sites[2]; /* eval/loss, eval/accuracy; -1: not in this trace */
    bool has_lanes;        /* site names need their lane to tell them apart, */
    bool has_micros;       /* and their micro-batch */
};

/* Reads nothing. The data is borrowed. Free with _free. */
enum tdbg_status tdbg_tui_model_init(struct tdbg_tui_model *model, const struct tdbg_tui_data *data,
                                     struct tdbg_err *err);
void tdbg_tui_model_free(struct tdbg_tui_model *model);

/* Looks at another rank's file, which has the same sites. The focus stays where the file has it.
 * Nothing changes on an error. */
enum tdbg_status tdbg_tui_model_set_data(struct tdbg_tui_model *model,
                                         const struct tdbg_tui_data *data, struct tdbg_err *err);

/* Reads what the focus needs and is not there yet. What cannot be read is absent, and the message
 * says why. */
void tdbg_tui_model_load(struct tdbg_tui_model *model);

/* Reads up to n_blocks further blocks of the course; true: there is more. */
bool tdbg_tui_model_load_series(struct tdbg_tui_model *model, int n_blocks);

/* What charts show: all of the course, or the part that is zoomed into. */
const struct tdbg_tui_series *tdbg_tui_model_course(const struct tdbg_tui_model *model);

/* Moves. Beyond the ends they stop at the end and say so. The counts may be negative. */
void tdbg_tui_model_move_steps(struct tdbg_tui_model *model, int64_t count);
void tdbg_tui_model_goto_step(struct tdbg_tui_model *model, int64_t step);
void tdbg_tui_model_move_ops(struct tdbg_tui_model *model, int64_t count);   /* over step borders */
void tdbg_tui_model_move_sites(struct tdbg_tui_model *model, int64_t count); /* within the list */
void tdbg_tui_model_goto_site(struct tdbg_tui_model *model, int64_t site);

/* Sets what to look for (copied; NULL: nothing any more), and goes to the count-th site that
 * matches, forward from the focus or, with a negative count, backward, around the ends. A pattern
 * with *, ? or [ has to match the whole name or the name without its stage; any other is searched
 * inside the name. */
void tdbg_tui_model_set_pattern(struct tdbg_tui_model *model, const char *pattern);
void tdbg_tui_model_find(struct tdbg_tui_model *model, int64_t count);
bool tdbg_tui_model_site_matches(const struct tdbg_tui_model *model, int32_t site);
bool tdbg_tui_pattern_matches(const char *pattern, const char *text);

/* Message row. NULL: empty. */
void tdbg_tui_model_say(struct tdbg_tui_model *model, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tdbg_tui_model_say_error(struct tdbg_tui_model *model, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tdbg_tui_model_hush(struct tdbg_tui_model *model);

int64_t tdbg_tui_model_last_step(const struct tdbg_tui_model *model);

/* Name of a site as the list shows it, into buf; returns buf. Where there are several lanes,
 * "fwd/fc1 lane 2", with several micro-batches "fwd/fc1 lane 2.0": short, because the list is
 * narrow. */
enum { TDBG_SITE_LABEL_BYTES = TDBG_MAX_SITE_NAME + 48 };
const char *tdbg_tui_model_site_label(const struct tdbg_tui_model *model, int32_t site,
                                      char buf[TDBG_SITE_LABEL_BYTES]);

#endif
