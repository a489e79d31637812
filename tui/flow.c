/* See flow.h. */
#include "tui/flow.h"

#include <stdlib.h>
#include <string.h>

#include "replay/dataflow.h"

enum { WORK_SITE_PAIRS = 400000 }; /* between two looks at the keyboard */

const char *tdbg_tui_phase_text(enum tdbg_tui_phase phase)
{
    static const char *const texts[] = {
#define PHASE_TEXT(name, text, last) text,
        TDBG_TUI_PHASE_LIST(PHASE_TEXT)
#undef PHASE_TEXT
    };
    return texts[phase];
}

enum tdbg_tui_phase tdbg_tui_phase_of(const struct tdbg_site *site)
{
    static const enum tdbg_stage last[] = {
#define PHASE_LAST(name, text, last) TDBG_STAGE_##last,
        TDBG_TUI_PHASE_LIST(PHASE_LAST)
#undef PHASE_LAST
    };
    int phase = 0;
    while (phase + 1 < TDBG_PHASE_COUNT && site->stage > last[phase])
        phase++;
    return (enum tdbg_tui_phase)phase;
}

void tdbg_tui_flow_free(struct tdbg_tui_flow *f)
{
    free(f->first_edge);
    free(f->edge);
    *f = (struct tdbg_tui_flow){.n_done = 0};
}

bool tdbg_tui_flow_is_complete(const struct tdbg_tui_flow *f, const struct tdbg_tui_data *data)
{
    return f->n_done == data->n_sites;
}

static bool make_room(struct tdbg_tui_flow *f, int32_t n)
{
    if (f->n_edges + n <= f->room)
        return true;
    const int32_t room = 2 * f->room + n;
    int32_t *edge = realloc(f->edge, (size_t)room * sizeof *edge);
    if (!edge)
        return false;
    f->edge = edge;
    f->room = room;
    return true;
}

bool tdbg_tui_flow_work(struct tdbg_tui_flow *f, const struct tdbg_tui_data *data)
{
    int32_t inputs[TDBG_DATAFLOW_INPUTS];
    int64_t pairs = 0;
    if (!data->inputs || data->n_sites > TDBG_FLOW_MOST_SITES || f->n_done == data->n_sites)
        return false;
    if (!f->first_edge)
        f->first_edge = calloc((size_t)data->n_sites + 1, sizeof *f->first_edge);
    for (; f->first_edge && f->n_done < data->n_sites && pairs < WORK_SITE_PAIRS; f->n_done++) {
        const int n = data->inputs(data->flow, f->n_done, inputs);
        if (n < 0 || !make_room(f, n))
            return false; /* there is no graph */
        if (n > 0)
            memcpy(f->edge + f->n_edges, inputs, (size_t)n * sizeof *inputs);
        f->n_edges += n;
        f->first_edge[f->n_done + 1] = f->n_edges;
        pairs += data->n_sites;
    }
    return pairs > 0;
}

int32_t tdbg_tui_flow_readers(const struct tdbg_tui_flow *f, int32_t site, int32_t *out,
                              int32_t n_out)
{
    int32_t n = 0;
    for (int32_t i = 0; i < f->n_done; i++) {
        for (int32_t e = f->first_edge[i]; e < f->first_edge[i + 1]; e++) {
            if (f->edge[e] != site)
                continue;
            if (n < n_out)
                out[n] = i;
            n++;
        }
    }
    return n;
}
