/* A fork's insides, shared by fork.c (config and range) and fork_state.c (samples and first state).
 * Nobody else includes this. */
#ifndef TDBG_REPLAY_FORK_STATE_H
#define TDBG_REPLAY_FORK_STATE_H

#include "base/arena.h"
#include "engine/source_live.h"
#include "replay/fork.h"

struct tdbg_fork {
    struct tdbg_trace *parent;
    struct tdbg_session_options session;
    struct tdbg_config *config, *before; /* with the changes, and as recorded */
    struct tdbg_arena *arena;
    char *description;
    int64_t first, last;
    int64_t parent_last; /* the last step whose samples the trace has */
    struct tdbg_source recorded;
    struct tdbg_source_live *live; /* NULL: not needed */
};

#endif
