/* A tap that takes the statistics of everything. See step_stats.h. */
#include "replay/step_stats.h"

#include <math.h>

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    struct tdbg_stats *out = self;
    (void)sites;
    (void)err;
    for (int32_t i = 0; i < n_sites; i++) {
        wants[i] = (struct tdbg_want){TDBG_WANT_DIGEST, 1};
        out[i] = (struct tdbg_stats){.min = NAN, .max = NAN, .mean = NAN, .rms = NAN};
    }
    return TDBG_OK;
}

static enum tdbg_status show_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    struct tdbg_stats *out = self;
    (void)step;
    return tdbg_handle_digest(handle, NULL, &out[site], err);
}

static const struct tdbg_tap_ops stats_ops = {plan, NULL, show_site, NULL};

enum tdbg_status tdbg_step_stats_compute(struct tdbg_session *session, int64_t step,
                                         struct tdbg_stats *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_tap tap = {&stats_ops, out};
    TDBG_TRY(tdbg_session_seek(session, step, err));
    TDBG_TRY(tdbg_session_run_step(session, &tap, 1, NULL, err));
out:
    return st;
}
