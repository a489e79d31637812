/* What-if: a fork of a recorded run. From a step on the run is computed again with a changed
 * config, over the samples that were recorded: recorded source + changed config + recording tap. */
#ifndef TDBG_REPLAY_FORK_H
#define TDBG_REPLAY_FORK_H

#include "base/config.h"
#include "replay/session.h"

struct tdbg_fork_options {
    int64_t from, to;        /* steps, both inclusive; -1: the last keyframe's, the parent's last */
    const char *const *sets; /* (n_sets): changes of the config, as in tdbg_config_load */
    int n_sets;
    const int64_t *drop; /* (n_drop): samples to drop, beside those of the config */
    int n_drop;
    struct tdbg_session_options session; /* how the state before `from` is computed */
};

struct tdbg_fork;

/* Reads and checks config and range; executes nothing yet. parent is borrowed and has to outlive
 * the fork. TDBG_USAGE names what a fork cannot change, or samples that no step of the range has;
 * TDBG_UNSUPPORTED: a run of several ranks; TDBG_CANNOT_JUDGE: a foreign recording. */
enum tdbg_status tdbg_fork_create(struct tdbg_trace *parent,
                                  const struct tdbg_fork_options *options, struct tdbg_fork **out,
                                  struct tdbg_err *err);
void tdbg_fork_destroy(struct tdbg_fork *fork); /* NULL is fine */

/* Borrowed: the checked config of the fork, and what is said about it before it runs: one line per
 * changed key, and where the dropped samples are. */
struct tdbg_config *tdbg_fork_config(struct tdbg_fork *fork);
const char *tdbg_fork_description(const struct tdbg_fork *fork);
int64_t tdbg_fork_first_step(const struct tdbg_fork *fork);
int64_t tdbg_fork_last_step(const struct tdbg_fork *fork);

/* The samples: those of the trace, and after its last step those of the data set. */
struct tdbg_source tdbg_fork_source(struct tdbg_fork *fork);

/* Brings an engine, made of the config and the source above, to the state before the first step,
 * computed again from the keyframe before it; what was recorded of the steps between has to come
 * out, else TDBG_DAMAGED. Opens the data set where the steps of the fork need it: TDBG_DATA where
 * it cannot be read or is not the recorded one. TDBG_USAGE: the changed config needs other state
 * than there is, or the run ends before the last step. */
enum tdbg_status tdbg_fork_set_state(struct tdbg_fork *fork, struct tdbg_engine *engine,
                                     struct tdbg_err *err);

/* Brings an engine to the state of another that has the same items. */
enum tdbg_status tdbg_fork_copy_state(const struct tdbg_engine *from, struct tdbg_engine *to,
                                      struct tdbg_err *err);

#endif
