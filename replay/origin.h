/* Where NaN or Inf began: the first op of a step, or of one before it, whose inputs were all finite
 * and whose output was not, found by executing steps again. */
#ifndef TDBG_REPLAY_ORIGIN_H
#define TDBG_REPLAY_ORIGIN_H

#include "replay/dataflow.h"
#include "replay/session.h"

struct tdbg_origin_tensor {
    int32_t site;
    int64_t elems;
    struct tdbg_stats stats;
};

struct tdbg_origin {
    bool is_found;       /* false: at no step up to the one asked for is anything not finite */
    bool is_first_state; /* the state before the first recorded step was not finite already */
    int64_t step;
    struct tdbg_origin_tensor output;
    int64_t element;   /* the first that is not finite, in row-major order */
    double value;      /* its value */
    int64_t sample_id; /* of its row, where the site has one per sample; -1 */
    struct tdbg_origin_tensor input[TDBG_DATAFLOW_INPUTS]; /* all finite */
    int n_inputs;
};

/* Is anything that the trace has statistics of not finite at that step? */
enum tdbg_status tdbg_origin_has_evidence(struct tdbg_trace *trace, int64_t step, bool *out,
                                          struct tdbg_err *err);

/* Looks at `step`, and at steps before it as far as what is not finite goes back. */
enum tdbg_status tdbg_origin_find(struct tdbg_trace *trace, struct tdbg_session *session,
                                  int64_t step, struct tdbg_origin *out, struct tdbg_err *err);

/* Id of the sample in row `row` of a site with one row per sample; -1: it has none. */
enum tdbg_status tdbg_origin_sample(struct tdbg_trace *trace, int64_t step,
                                    const struct tdbg_site *site, int64_t row, int64_t *out,
                                    struct tdbg_err *err);

#endif
