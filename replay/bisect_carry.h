/* What carries most of a step's gradient: parameters, layers, and of samples what each gives alone.
 */
#ifndef TDBG_REPLAY_BISECT_CARRY_H
#define TDBG_REPLAY_BISECT_CARRY_H

#include "replay/bisect.h"

/* NaN comes first; false beside another NaN. */
bool tdbg_bisect_is_larger(double a, double b);

/* Fills report->parameter and ->layer from the statistics of the step's gradients. */
enum tdbg_status tdbg_bisect_find_parameters(struct tdbg_trace *trace,
                                             struct tdbg_bisect_report *report,
                                             struct tdbg_err *err);

/* Fills grad_norm of report->sample: executes the step once for each with the weight 0 for all
 * other samples of the batch. session: any of the trace. What cannot be had stays NaN: of runs of
 * several ranks, or where there is no memory for a second engine. */
enum tdbg_status tdbg_bisect_weigh_samples(struct tdbg_trace *trace,
                                           const struct tdbg_session_options *options,
                                           struct tdbg_session *session,
                                           struct tdbg_bisect_report *report, struct tdbg_err *err);

#endif
