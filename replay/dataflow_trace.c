/* See dataflow_trace.h. */
#include "replay/dataflow_trace.h"

#include <stdlib.h>

#include "engine/engine_options.h"
#include "recorder/record_options.h"
#include "replay/session.h"
#include "replay/source_recorded.h"

struct tdbg_dataflow {
    struct tdbg_config *config;
    struct tdbg_graph *graph;
    const struct tdbg_site *sites;
    int32_t n_sites;
};

/* The config is data from a file: a fault in it is damage, not the user's mistake. */
static enum tdbg_status build(struct tdbg_dataflow *d, struct tdbg_trace *trace,
                              struct tdbg_err *err)
{
    struct tdbg_data_shape shapes[TDBG_SET_COUNT];
    struct tdbg_err fault = {0};
    const struct tdbg_source source = tdbg_source_recorded_table(trace);
    if (!tdbg_source_recorded_is_ours(trace))
        return TDBG_RAISE(err, DAMAGED,
                          "samples of %s are of a kind that this version does not read",
                          tdbg_trace_path(trace));
    enum tdbg_status st = tdbg_config_parse(tdbg_trace_info(trace)->config, "/run/config", NULL, 0,
                                            &d->config, &fault);
    if (st == TDBG_OK) {
        tdbg_engine_check_options(d->config, &tdbg_recorder_options, 1);
        tdbg_recorder_check_options(d->config);
        st = tdbg_config_result(d->config, &fault);
    }
    if (st == TDBG_OK)
        st = source.ops->describe(source.self, shapes, &fault);
    if (st == TDBG_OK)
        st = tdbg_graph_create(d->config, shapes, &d->graph, &fault);
    if (st == TDBG_OK && !d->graph)
        st = tdbg_config_result(d->config, &fault);
    if (st != TDBG_OK || !d->graph)
        st = TDBG_RAISE(err, DAMAGED, "the config in %s makes no graph: %s", tdbg_trace_path(trace),
                        fault.message ? fault.message : "it is not complete");
    tdbg_err_clear(&fault);
    return st;
}

enum tdbg_status tdbg_dataflow_open(struct tdbg_trace *trace, struct tdbg_dataflow **out,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_dataflow *d = NULL;
    TDBG_FAIL_IF(!tdbg_session_is_possible(trace), CANNOT_JUDGE,
                 "%s was recorded by another program: no graph to follow", tdbg_trace_path(trace));
    d = calloc(1, sizeof *d);
    TDBG_FAIL_IF(!d, NO_MEMORY, "no memory for the dataflow");
    d->sites = tdbg_trace_sites(trace, &d->n_sites);
    TDBG_TRY(build(d, trace, err));
    *out = d;
    d = NULL;
out:
    tdbg_dataflow_close(d);
    return st;
}

void tdbg_dataflow_close(struct tdbg_dataflow *d)
{
    if (!d)
        return;
    tdbg_graph_destroy(d->graph);
    tdbg_config_destroy(d->config);
    free(d);
}

int tdbg_dataflow_inputs_of(const struct tdbg_dataflow *d, int32_t site, int32_t *out)
{
    return tdbg_dataflow_inputs(d->graph, d->sites, d->n_sites, site, out);
}
