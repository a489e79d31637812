/* Which sites a site was computed from: the edges of a step's dataflow. */
#ifndef TDBG_REPLAY_DATAFLOW_H
#define TDBG_REPLAY_DATAFLOW_H

#include "base/site.h"
#include "engine/graph.h"

enum { TDBG_DATAFLOW_INPUTS = 64 };

/* Ids of the direct inputs of `site` into out (TDBG_DATAFLOW_INPUTS), ascending; returns how many
 * (those beyond the room are left out). Sites that the graph's list does not have are no inputs. */
int tdbg_dataflow_inputs(const struct tdbg_graph *graph, const struct tdbg_site *sites,
                         int32_t n_sites, int32_t site, int32_t *out);

#endif
