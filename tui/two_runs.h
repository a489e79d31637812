/* A second run beside the one that the terminal shows: what of it is read, and what is known of the
 * two together. A is the model's run, B the other one. */
#ifndef TDBG_TUI_TWO_RUNS_H
#define TDBG_TUI_TWO_RUNS_H

#include "replay/config_diff.h"
#include "tui/data_other.h"
#include "tui/model.h"
#include "tui/parting.h"
#include "tui/run_config.h"

enum tdbg_tui_two_state { TDBG_TWO_NOT_ASKED, TDBG_TWO_WAITS, TDBG_TWO_KNOWN, TDBG_TWO_FAILED };

/* One tensor of both, as far as its values were compared. */
struct tdbg_tui_two_cell {
    int64_t step_a, step_b;         /* that the comparison is of; -1: there was none */
    struct tdbg_tui_parting *found; /* NULL: it failed, and why */
    char *why;
};

struct tdbg_tui_two_runs {
    struct tdbg_tui_other *other; /* owned, where it was opened here */
    char *path;
    const struct tdbg_tui_data *b; /* NULL: there is no second run */
    struct tdbg_tui_series series; /* B's course */

    struct tdbg_arena *arena;
    struct tdbg_config_difference *config;
    int n_config;
    bool has_configs, shows_config; /* both have one; all of the list instead of the table */

    int32_t *match; /* (A's n_sites) B's site, or -1 */
    int32_t *row;   /* (n_rows) A's sites that have one */
    int32_t n_rows, top;
    bool unlinked; /* B's step does not go with A's */
    bool side_b;   /* moves are B's; only while unlinked */
    int64_t step_b;

    /* Of the focus step, or of step_b. */
    int64_t loaded_a, loaded_b; /* -1: nothing */
    uint64_t *digests_a, *digests_b;
    struct tdbg_stats *stats_b;
    bool has_a, has_b;
    struct tdbg_tui_two_cell *cell; /* (n_cells: A's n_sites) */
    int32_t n_cells;
    int32_t asked; /* site whose comparison is waited for, or -1 */
    int64_t resting_a,
        resting_b;       /* nothing is compared by itself at these steps: it was cancelled */
    bool shows_elements; /* Enter */

    enum tdbg_tui_two_state parting_state;
    struct tdbg_tui_parting parting;
    char *why; /* FAILED */
};

/* Starts without a second run. */
void tdbg_tui_two_runs_init(struct tdbg_tui_two_runs *two);
void tdbg_tui_two_runs_free(struct tdbg_tui_two_runs *two);

/* Takes a second run in place of the one before. other is taken over on success, and may be NULL
 * where somebody else owns b; path is what jobs open. Reads nothing yet. */
enum tdbg_status tdbg_tui_two_runs_set(struct tdbg_tui_two_runs *two,
                                       const struct tdbg_tui_model *m,
                                       struct tdbg_tui_run_config *config, const char *path,
                                       const struct tdbg_tui_data *b, struct tdbg_tui_other *other,
                                       struct tdbg_err *err);

/* The comparison of a tensor's values at the steps that are shown; NULL: there is none. _set takes
 * a copy of found, or where that is NULL of the reason. */
const struct tdbg_tui_two_cell *tdbg_tui_two_runs_compared(const struct tdbg_tui_two_runs *two,
                                                           int64_t step_a, int32_t site);
void tdbg_tui_two_runs_set_compared(struct tdbg_tui_two_runs *two, int32_t site, int64_t step_a,
                                    int64_t step_b, const struct tdbg_tui_parting *found,
                                    const char *why);

void tdbg_tui_two_runs_forget(struct tdbg_tui_two_runs *two, int32_t site);

/* Finds the tensors of both anew: A is another rank's file now. */
void tdbg_tui_two_runs_match(struct tdbg_tui_two_runs *two, const struct tdbg_tui_data *a);

/* Reads what the focus needs of both. Faults become absent values and the model's message. */
void tdbg_tui_two_runs_load(struct tdbg_tui_two_runs *two, struct tdbg_tui_model *m);

/* Reads a bit of B's course; true: it did. */
bool tdbg_tui_two_runs_work(struct tdbg_tui_two_runs *two);

/* Does a tensor of both have the same bits? -1: not known. */
int tdbg_tui_two_runs_same(const struct tdbg_tui_two_runs *two, int32_t site);

/* The row of a site of A; the nearest one before it where it has none. */
int32_t tdbg_tui_two_runs_row(const struct tdbg_tui_two_runs *two, int32_t site);

#endif
