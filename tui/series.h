/* The course of the step metrics over the whole run, downsampled so that its size does not depend
 * on the length of the run, and read in blocks so that nobody waits for it.
 *
 *     steps     0 1 2 3 4 5 6 7 8 9 ...      bucket_steps = 4 (a power of two)
 *     buckets  [   0   ][   1   ][   2 ...   per metric: min, max, how many finite and not
 */
#ifndef TDBG_TUI_SERIES_H
#define TDBG_TUI_SERIES_H

#include "tui/data.h"

/* The metrics of a step, in the order of the table. X(NAME, text, charted: has a series) */
#define TDBG_TUI_METRIC_LIST(X)                                                                    \
    X(LOSS, "loss", true)                                                                          \
    X(GRAD_NORM, "grad norm", true)                                                                \
    X(LR, "lr", true)                                                                              \
    X(STEP_TIME, "step time", true)                                                                \
    X(EVAL_LOSS, "eval loss", false)                                                               \
    X(EVAL_ACCURACY, "eval acc", false)                                                            \
    X(EPOCH, "epoch", false)                                                                       \
    X(SAMPLES, "samples", false)

enum tdbg_tui_metric {
#define TDBG_TUI_METRIC_ENUM(name, text, charted) TDBG_METRIC_##name,
    TDBG_TUI_METRIC_LIST(TDBG_TUI_METRIC_ENUM)
#undef TDBG_TUI_METRIC_ENUM
        TDBG_METRIC_COUNT
};
enum { TDBG_METRIC_CHARTED = TDBG_METRIC_EVAL_LOSS }; /* the first ones have a series */

enum {
    TDBG_SERIES_BUCKETS = 4096,
    TDBG_SERIES_PARTS = 64,         /* of a bucket, for what is known of evaluations */
    TDBG_SERIES_BLOCK_STEPS = 1024, /* rows that are read at once */
};

struct tdbg_tui_bucket {
    double min, max;             /* of the finite values; meaningless while n_finite is 0 */
    uint32_t n_finite, n_broken; /* broken: NaN or Inf; a missing value counts in neither */
};

struct tdbg_tui_series {
    int64_t first_step, n_steps;
    int64_t bucket_steps;
    int32_t n_buckets;
    int64_t n_read;   /* steps read, in order from the first; n_steps: complete */
    int64_t n_faults; /* of them, steps that could not be read */
    struct tdbg_tui_bucket *buckets[TDBG_METRIC_CHARTED]; /* (n_buckets) each */
    int64_t *last_eval;         /* (n_buckets) last step of the bucket that evaluated, or -1 */
    int64_t part_steps;         /* steps in a part of a bucket: 1 in runs of usual length */
    uint64_t *evals;            /* (n_buckets) bit i: a step of part i evaluated */
    struct tdbg_step_row *rows; /* (TDBG_SERIES_BLOCK_STEPS), while reading */
    /* Shown every block of rows that was read; NULL: nobody is. */
    void (*observe)(void *observer, const struct tdbg_step_row *rows, int64_t n);
    void *observer;
    double lowest_loss; /* NaN: no finite loss yet */
    int64_t lowest_loss_step;
};

/* Gets ready and reads nothing. Free with _free. */
enum tdbg_status tdbg_tui_series_init(struct tdbg_tui_series *series,
                                      const struct tdbg_tui_data *data, struct tdbg_err *err);
void tdbg_tui_series_free(struct tdbg_tui_series *series);

/* The run has n_steps by now, more than before; what was read stays. */
enum tdbg_status tdbg_tui_series_grow(struct tdbg_tui_series *series, int64_t n_steps,
                                      struct tdbg_err *err);

/* Reads the next block. On an error the block counts as read but holds nothing, so that one damaged
 * block costs only itself; go on calling while _is_complete is false. */
enum tdbg_status tdbg_tui_series_read_block(struct tdbg_tui_series *series,
                                            const struct tdbg_tui_data *data, struct tdbg_err *err);
bool tdbg_tui_series_is_complete(const struct tdbg_tui_series *series);

/* What the buckets that hold any of steps first .. last say together. */
struct tdbg_tui_bucket tdbg_tui_series_range(const struct tdbg_tui_series *series, int metric,
                                             int64_t first, int64_t last);

/* Where the last evaluation up to a step is: at `to` where it is certain, else at one of from .. to
 * or, if none of these evaluated, before them. to = -1: there is none, or the step is not read. */
struct tdbg_tui_eval_place {
    int64_t from, to;
    bool is_certain;
};
struct tdbg_tui_eval_place tdbg_tui_series_last_eval(const struct tdbg_tui_series *series,
                                                     int64_t step);

/* Value of a metric in a row; false: the row has none. Metrics without a series are whole numbers
 * of the row, or none. A NaN gradient norm means "not recorded" in a row (trace/schema.h). */
bool tdbg_tui_row_metric(const struct tdbg_step_row *row, enum tdbg_tui_metric metric, double *out);

#endif
