/* A bounded cache of states of an engine, placed so that going backward step by step executes few
 * steps:
 *
 *     keyframe        cached   cached cached   target
 *     |---------------|--------|------|--------|
 *
 * The step before the target is reached from the last cached state before it, then the one before
 * that, and so on; as states behind the target are not needed any more, their places are free for
 * states in the part that comes next. Where they go is the binomial schedule of A. Griewank and
 * A. Walther, "Algorithm 799: Revolve" (ACM TOMS 26, 2000), which needs the fewest steps of all. */
#ifndef TDBG_REPLAY_STATE_CACHE_H
#define TDBG_REPLAY_STATE_CACHE_H

#include "engine/engine.h"

struct tdbg_state_cache;

enum { TDBG_MAX_CACHED_STATES = 8 };

/* n_states: 1 .. TDBG_MAX_CACHED_STATES. engine is borrowed and has to outlive the cache; memory
 * for a state is taken when it is first needed. */
enum tdbg_status tdbg_state_cache_create(struct tdbg_engine *engine, int n_states,
                                         struct tdbg_state_cache **out, struct tdbg_err *err);
void tdbg_state_cache_destroy(struct tdbg_state_cache *cache); /* NULL is fine */

/* The last step in first .. step whose state is cached, or -1. */
int64_t tdbg_state_cache_find(const struct tdbg_state_cache *cache, int64_t first, int64_t step);

/* Brings the engine to a state that is cached. */
enum tdbg_status tdbg_state_cache_load(const struct tdbg_state_cache *cache, int64_t step,
                                       struct tdbg_err *err);

/* The engine is about to go from `keyframe`, or a cached state behind it, to the state before step
 * `target`. On the way, tdbg_state_cache_pass() is to be called with every state that it is in,
 * that before the first and the last step included: it keeps those that the schedule wants. Without
 * memory for a state it keeps none. */
void tdbg_state_cache_plan(struct tdbg_state_cache *cache, int64_t keyframe, int64_t target);
void tdbg_state_cache_pass(struct tdbg_state_cache *cache, int64_t step);

/* Forgets all states. */
void tdbg_state_cache_clear(struct tdbg_state_cache *cache);

/* Steps to execute, beside each step's own pass, to visit `n` >= 1 steps backward, the first of
 * which begins at a state that is there, with room for `n_states` more: what the schedule takes. */
int64_t tdbg_state_cache_cost(int64_t n, int n_states);

/* How far from there, in steps, the first of these states is to be kept: 1 .. n - 1; n >= 2,
 * n_states >= 1. */
int64_t tdbg_state_cache_distance(int64_t n, int n_states);

#endif
