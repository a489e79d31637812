/* Breakpoints: conditions over a step at which a run through the trace stops; and watches: tensors
 * that stay in sight. */
#ifndef TDBG_TUI_BREAKS_H
#define TDBG_TUI_BREAKS_H

#include "replay/expression.h"
#include "tui/data.h"

enum { TDBG_BREAKS = 64, TDBG_WATCHES = 32 };

/* A negation of the text is an expression too (hunt.h), so texts are a bit shorter than those. */
enum { TDBG_BREAK_TEXT = TDBG_EXPR_TEXT - 100 };

struct tdbg_tui_break {
    int id; /* from 1 on, never given twice */
    char *text;
    bool is_disabled, is_temporary; /* temporary: gone after its first hit */
    int64_t hits;
};

/* Start with {0}. */
struct tdbg_tui_breaks {
    struct tdbg_tui_break list[TDBG_BREAKS];
    int n, last_id;
    int32_t watch[TDBG_WATCHES]; /* sites */
    int n_watches;
};

void tdbg_tui_breaks_free(struct tdbg_tui_breaks *breaks);

/* Is text a condition over a step of this run? false: *fault says why not. */
bool tdbg_tui_condition_check(const struct tdbg_tui_data *data, const char *text,
                              struct tdbg_expr_fault *fault);

/* Adds one that was checked (copied). NULL: there are TDBG_BREAKS already. */
struct tdbg_tui_break *tdbg_tui_breaks_add(struct tdbg_tui_breaks *breaks, const char *text,
                                           bool is_temporary);
void tdbg_tui_breaks_delete(struct tdbg_tui_breaks *breaks, struct tdbg_tui_break *one);

/* By number, or by text; NULL: there is none. */
struct tdbg_tui_break *tdbg_tui_breaks_find(struct tdbg_tui_breaks *breaks, int64_t id);
struct tdbg_tui_break *tdbg_tui_breaks_with(struct tdbg_tui_breaks *breaks, const char *text);

/* Adds the watch or, where it is there, takes it away; false: there are TDBG_WATCHES already. */
bool tdbg_tui_breaks_toggle_watch(struct tdbg_tui_breaks *breaks, int32_t site, bool *is_there);

/* The site that makes a condition hold, by the statistics of the step (n_sites): of a term that
 * counts NaN or Inf the first one that has any; of another the only one that it means. -1: none. */
int32_t tdbg_tui_condition_site(const struct tdbg_tui_data *data, const char *text,
                                const struct tdbg_stats *stats);

#endif
