/* What an optimizer does to each parameter at the focus step: groups, states, sizes. */
#ifndef TDBG_TUI_OPTIMIZER_TABLE_H
#define TDBG_TUI_OPTIMIZER_TABLE_H

#include "tui/model.h"
#include "tui/run_config.h"

struct tdbg_tui_parameter {
    int32_t param, grad;   /* sites; grad -1: there is none */
    int32_t first, second; /* sites of the moments, or -1 */
    int group;             /* of optimizer.groups; -1: none of them */
    bool frozen;
    bool has_ratio; /* update_ratio is known, and of ratio_step */
    int64_t ratio_step;
    double ratio;
};

struct tdbg_tui_optimizer {
    bool is_made;
    const struct tdbg_cfg_node *config, *schedule, *groups; /* or NULL */
    struct tdbg_tui_parameter *list;                        /* (n) */
    int32_t n, at, top;

    /* Statistics of the focus step that were not recorded but computed. */
    struct tdbg_stats *stats; /* (n_sites); NULL: none */
    int64_t stats_step;       /* they are of, or were asked for; -1 */
    char *stats_why;          /* they cannot be had */
    int32_t asked;            /* parameter whose update ratio is waited for, or -1 */
};

void tdbg_tui_optimizer_free(struct tdbg_tui_optimizer *o);

/* Lists the parameters, once. */
void tdbg_tui_optimizer_make(struct tdbg_tui_optimizer *o, const struct tdbg_tui_model *m,
                             struct tdbg_tui_run_config *config);

/* Statistics of a site at the focus step: recorded, else computed; NULL: neither. */
const struct tdbg_stats *tdbg_tui_optimizer_stats(const struct tdbg_tui_optimizer *o,
                                                  const struct tdbg_tui_model *m, int32_t site);

/* Were statistics of parameters recorded at the focus step? */
bool tdbg_tui_optimizer_is_recorded(const struct tdbg_tui_optimizer *o,
                                    const struct tdbg_tui_model *m);

/* "frozen", "unused: no gradient", "gradient 0", "" */
const char *tdbg_tui_parameter_note(const struct tdbg_tui_optimizer *o,
                                    const struct tdbg_tui_model *m, int32_t parameter);

#endif
