/* The values of many tensors of one step, of a run of one or more ranks: what is stored is read,
 * the rest comes out of one execution of the step. */
#ifndef TDBG_REPLAY_STEP_VALUES_H
#define TDBG_REPLAY_STEP_VALUES_H

#include "replay/session.h"

struct tdbg_step_values;

/* group is borrowed. options: how to execute; NULL: what is not stored is not there. */
enum tdbg_status tdbg_step_values_create(struct tdbg_rank_group *group,
                                         const struct tdbg_session_options *options,
                                         struct tdbg_step_values **out, struct tdbg_err *err);
void tdbg_step_values_destroy(struct tdbg_step_values *values); /* NULL is fine */

/* Loads n sites of the joined list at a step, all at once in memory, in place of what was loaded
 * before. That one of them cannot be had is no failure: see tdbg_step_values_get(). */
enum tdbg_status tdbg_step_values_load(struct tdbg_step_values *values, int64_t step,
                                       const int32_t *sites, int32_t n, struct tdbg_err *err);

/* The k-th of the loaded sites: elements of its dtype, *n_elems of them valid; borrowed until the
 * next load. NULL: it cannot be had, and *why (may be NULL) says why. An executed value is only
 * given if its digest is the recorded one. */
const void *tdbg_step_values_get(const struct tdbg_step_values *values, int32_t k, int64_t *n_elems,
                                 const char **why);

/* Are the values of a joined site stored at a step, so that loading it executes nothing? */
bool tdbg_step_values_are_stored(struct tdbg_rank_group *group, int32_t site, int64_t step,
                                 bool evaluated);

int64_t tdbg_step_values_executed(const struct tdbg_step_values *values); /* steps, so far */

#endif
