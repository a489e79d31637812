/* A session re-executes the steps of a trace: an engine built from the trace's own config, fed by
 * the recorded source. Its site ids are those of the trace. */
#ifndef TDBG_REPLAY_SESSION_H
#define TDBG_REPLAY_SESSION_H

#include "engine/engine.h"
#include "trace/reader.h"

struct tdbg_session;

/* How to execute; changes no bit. */
struct tdbg_session_options {
    const char *isa; /* "auto" or a name of kernels/cpu.h */
    int threads;     /* 0: all */
    /* States that are kept for going backward, each as large as a keyframe: up to
     * TDBG_MAX_CACHED_STATES (replay/state_cache.h); 0: 4, -1: none. */
    int cached_states;
};

/* false: another program computed what is in this trace, and there is no graph to execute. */
bool tdbg_session_is_possible(const struct tdbg_trace *trace);

/* trace is borrowed and has to outlive the session. Errors: TDBG_DAMAGED when config, graph and
 * site table of the trace do not fit each other; TDBG_UNSUPPORTED for another numerics version;
 * TDBG_CANNOT_JUDGE where no session is possible. */
enum tdbg_status tdbg_session_create(struct tdbg_trace *trace,
                                     const struct tdbg_session_options *options,
                                     struct tdbg_session **out, struct tdbg_err *err);
void tdbg_session_destroy(struct tdbg_session *session); /* NULL is fine */

struct tdbg_engine *tdbg_session_engine(struct tdbg_session *session);

/* Brings the state to that before `step` (a recorded step): from the nearest state before it, which
 * is where the session stands, a cached one (replay/state_cache.h) or the last keyframe that can be
 * read. Steps whose gradients are stored are gone by the optimizer alone (replay/advance.h), the
 * others executed. Runs with the session's taps switched off. */
enum tdbg_status tdbg_session_seek(struct tdbg_session *session, int64_t step,
                                   struct tdbg_err *err);

/* Runs the step that the session stands before, with these taps, and moves on. */
enum tdbg_status tdbg_session_run_step(struct tdbg_session *session, const struct tdbg_tap *taps,
                                       int n_taps, struct tdbg_step_info *info,
                                       struct tdbg_err *err);

/* Step that the session stands before, or -1. */
int64_t tdbg_session_position(const struct tdbg_session *session);

/* Steps gone so far, for reports of cost: executed, forward and backward; and by the optimizer
 * alone. */
int64_t tdbg_session_steps_executed(const struct tdbg_session *session);
int64_t tdbg_session_steps_updated(const struct tdbg_session *session);

/* Computes the value of a site at a step: data has room for the site's largest shape; *n_elems (may
 * be NULL) is how many are valid. TDBG_NOT_FOUND where the step does not have it. */
enum tdbg_status tdbg_session_compute(struct tdbg_session *session, int64_t step, int32_t site,
                                      void *data, int64_t *n_elems, struct tdbg_err *err);

/* Registers with a trace a recompute function that opens a session when it is first needed. The
 * result has to be destroyed after the last read and before the trace is closed. */
struct tdbg_recompute;
enum tdbg_status tdbg_recompute_create(struct tdbg_trace *trace,
                                       const struct tdbg_session_options *options,
                                       struct tdbg_recompute **out, struct tdbg_err *err);
void tdbg_recompute_destroy(struct tdbg_recompute *recompute); /* NULL is fine */

#endif
