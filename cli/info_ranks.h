/* The part of `tdbg info` that is about the ranks of a run. */
#ifndef TDBG_CLI_INFO_RANKS_H
#define TDBG_CLI_INFO_RANKS_H

#include "base/json.h"
#include "trace/rank_group.h"

/* One line per rank: lanes, steps, size, waiting; or why its file is not there. And whether the
 * ranks agree on what they have in common. */
void cli_info_ranks_print(const struct tdbg_rank_group *group);

/* The same as members of a JSON object: "ranks", a list, and "ranks_agree". */
void cli_info_ranks_json(const struct tdbg_rank_group *group, struct tdbg_json *json);

#endif
