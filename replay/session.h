/* A session re-executes the steps of a trace: an engine built from the trace's own config, fed by
 * the recorded source. Its site ids are those of the trace. Of a trace of one rank of several it
 * executes that rank alone, with what the others contributed from the files of the run
 * (source_rank.h); a session of a group executes all lanes of all ranks. */
#ifndef TDBG_REPLAY_SESSION_H
#define TDBG_REPLAY_SESSION_H

#include "engine/engine.h"
#include "trace/rank_group.h"

struct tdbg_session;

/* Steps `from` .. `to` are gone in a row, and `at` is next. */
struct tdbg_session_way {
    int64_t from, at, to;
};

/* How to execute; changes no bit. */
struct tdbg_session_options {
    const char *device; /* NULL: "cpu"; else as in struct tdbg_backend_choice */
    const char *isa;    /* "auto" or a name of kernels/cpu.h */
    int threads;        /* 0: all */
    /* States that are kept for going backward, each as large as a keyframe: up to
     * TDBG_MAX_CACHED_STATES (replay/state_cache.h); 0: 4, -1: none. */
    int cached_states;
    /* Asked before each step that is gone; false: TDBG_INTERRUPTED, and the session stays where it
     * is, as good as before. NULL: nobody is asked. */
    bool (*goes_on)(void *context, const struct tdbg_session_way *way);
    void *goes_on_context;
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

/* All ranks in one engine, with the bits that they had as ranks. The session's sites are those of
 * the whole run; group is borrowed. The same errors. */
enum tdbg_status tdbg_session_create_group(struct tdbg_rank_group *group,
                                           const struct tdbg_session_options *options,
                                           struct tdbg_session **out, struct tdbg_err *err);

/* The files that recorded what the session executes: one, or of a group those that are there. */
int32_t tdbg_session_n_files(const struct tdbg_session *session);
struct tdbg_trace *tdbg_session_file(const struct tdbg_session *session, int32_t file);

/* Where a site of the session was recorded: *n places, lower ranks first; none for the lanes of a
 * rank whose file is not there. */
struct tdbg_session_place {
    int32_t file, site; /* numbers of the file above, and of the site in it */
};
const struct tdbg_session_place *tdbg_session_places(const struct tdbg_session *session,
                                                     int32_t site, int32_t *n);

/* Steps that can be asked for: *first .. *first + *n - 1. */
void tdbg_session_steps(const struct tdbg_session *session, int64_t *first, int64_t *n);

/* Why evaluations cannot be executed (they are rank 0's), or NULL. May become known in a step. */
const char *tdbg_session_lacks_evaluation(const struct tdbg_session *session);

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

/* Opens the file of a rank of the run that the file at path belongs to, with such a function; rank
 * -1: the file itself. Both results are the caller's to destroy and close. */
enum tdbg_status tdbg_recompute_open(const char *path, int32_t rank,
                                     const struct tdbg_session_options *options,
                                     struct tdbg_trace **trace, struct tdbg_recompute **out,
                                     struct tdbg_err *err);

/* The session of the trace's own rank, for those who execute as well; it is created where there is
 * none yet. Borrowed. */
enum tdbg_status tdbg_recompute_session(struct tdbg_recompute *recompute, struct tdbg_session **out,
                                        struct tdbg_err *err);

/* Steps that it executed so far. */
int64_t tdbg_recompute_executed(const struct tdbg_recompute *recompute);

#endif
