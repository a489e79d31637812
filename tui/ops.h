/* The ops screen's state, and what the keys of the dataflow remember. */
#ifndef TDBG_TUI_OPS_H
#define TDBG_TUI_OPS_H

#include "tui/flow.h"
#include "tui/model.h"

struct tdbg_tui_ops {
    struct tdbg_tui_flow flow;
    char *module;    /* the list shows what is in it, such as "block2.attn"; NULL: everything */
    bool shows_flow; /* where only one pane has room: inputs and outputs */
    int64_t top;     /* first visible row of the list */
    struct tdbg_stats *computed;       /* (n_sites) of computed_step, where none were recorded */
    int64_t computed_step, asked_step; /* -1: none */
    int32_t inputs_of;                 /* whose inputs `i` goes through, */
    int inputs_at;                     /* and the one that is next */
};

void tdbg_tui_ops_init(struct tdbg_tui_ops *ops);
void tdbg_tui_ops_free(struct tdbg_tui_ops *ops);

/* Statistics of a site at the focus step: recorded (of the state before it, those after the step
 * before) or, where they are not, computed. */
const struct tdbg_stats *tdbg_tui_ops_stats(const struct tdbg_tui_ops *ops,
                                            const struct tdbg_tui_model *model, int32_t site);

/* Did the recording leave out statistics of what the step computes? Not of what it begins with. */
bool tdbg_tui_ops_lacks_stats(const struct tdbg_tui_model *model);

/* Keeps statistics (n_sites), which are copied. */
void tdbg_tui_ops_keep_stats(struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data,
                             int64_t step, const struct tdbg_stats *stats);

void tdbg_tui_ops_show_all(struct tdbg_tui_ops *ops); /* no module any more */

/* Is the site in the module, or is there none? */
bool tdbg_tui_ops_shows(const struct tdbg_tui_ops *ops, const struct tdbg_site *site);

/* The list: how many rows it has, the row of a site (or of the last one shown before it), and the
 * site of a row. */
int64_t tdbg_tui_ops_rows(const struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data);
int64_t tdbg_tui_ops_row_of(const struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data,
                            int32_t site);
int32_t tdbg_tui_ops_site_at(const struct tdbg_tui_ops *ops, const struct tdbg_tui_data *data,
                             int64_t row);

/* The module around the site by one level more (up) or less (down): false where there is none. */
bool tdbg_tui_ops_module_up(struct tdbg_tui_ops *ops, const struct tdbg_site *site);
bool tdbg_tui_ops_module_down(struct tdbg_tui_ops *ops, const struct tdbg_site *site);

#endif
