/* The dataflow of a trace for the terminal: the graph is built when it is first asked for. */
#include <stdlib.h>

#include "replay/dataflow_trace.h"
#include "tui/data.h"

struct flow {
    struct tdbg_trace *trace;
    struct tdbg_dataflow *dataflow;
    bool is_missing; /* there is no graph */
};

static int inputs(void *context, int32_t site, int32_t *out)
{
    struct flow *f = context;
    struct tdbg_err err = {0};
    if (!f->dataflow && !f->is_missing)
        f->is_missing = tdbg_dataflow_open(f->trace, &f->dataflow, &err) != TDBG_OK;
    tdbg_err_clear(&err);
    return f->is_missing ? -1 : tdbg_dataflow_inputs_of(f->dataflow, site, out);
}

void tdbg_tui_data_add_flow(struct tdbg_tui_data *data, struct tdbg_trace *trace)
{
    struct flow *f = calloc(1, sizeof *f);
    if (!f)
        return;
    f->trace = trace;
    data->flow = f;
    data->inputs = inputs;
}

void tdbg_tui_data_free_flow(struct tdbg_tui_data *data)
{
    struct flow *f = data->flow;
    if (!f)
        return;
    tdbg_dataflow_close(f->dataflow);
    free(f);
    data->flow = NULL;
    data->inputs = NULL;
}
