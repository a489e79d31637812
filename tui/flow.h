/* The dataflow of the sites: which ones each is computed from, found bit by bit while nobody types,
 * because who reads a site is known only when all others were looked at.
 *
 *     site        0   1   2   3
 *     first_edge [0   0   1   1   3]      edges of site i: first_edge[i] .. first_edge[i + 1] - 1
 *     edge       [0   1   2]              site 1 reads 0, site 3 reads 1 and 2
 */
#ifndef TDBG_TUI_FLOW_H
#define TDBG_TUI_FLOW_H

#include "tui/data.h"

enum { TDBG_FLOW_MOST_SITES = 20000 }; /* beyond, who reads a site is not looked for */

struct tdbg_tui_flow {
    int32_t n_done;      /* sites whose inputs are known */
    int32_t *first_edge; /* (n_sites + 1); NULL: not begun */
    int32_t *edge;
    int32_t n_edges, room;
};

void tdbg_tui_flow_free(struct tdbg_tui_flow *flow); /* start from {0} */

/* Goes on for some milliseconds; false: there was nothing to do. */
bool tdbg_tui_flow_work(struct tdbg_tui_flow *flow, const struct tdbg_tui_data *data);

/* All sites are looked at. */
bool tdbg_tui_flow_is_complete(const struct tdbg_tui_flow *flow, const struct tdbg_tui_data *data);

/* Sites that read `site`, ascending, among those that are known, into out (n_out); returns how many
 * there are, which may be more. */
int32_t tdbg_tui_flow_readers(const struct tdbg_tui_flow *flow, int32_t site, int32_t *out,
                              int32_t n_out);

/* The parts of a step. X(NAME, text, its last stage) */
#define TDBG_TUI_PHASE_LIST(X)                                                                     \
    X(INPUT, "in", INPUT)                                                                          \
    X(FORWARD, "fwd", LOSS)                                                                        \
    X(BACKWARD, "bwd", BWD)                                                                        \
    X(REDUCE, "reduce", REDUCE_OUT)                                                                \
    X(OPTIMIZER, "opt", PARAM)                                                                     \
    X(EVALUATION, "eval", EVAL)

enum tdbg_tui_phase {
#define TDBG_TUI_PHASE_ENUM(name, text, last) TDBG_PHASE_##name,
    TDBG_TUI_PHASE_LIST(TDBG_TUI_PHASE_ENUM)
#undef TDBG_TUI_PHASE_ENUM
        TDBG_PHASE_COUNT
};
const char *tdbg_tui_phase_text(enum tdbg_tui_phase phase);
enum tdbg_tui_phase tdbg_tui_phase_of(const struct tdbg_site *site);

#endif
