/* A tap that copies some sites. See step_grab.h. */
#include "replay/step_grab.h"

struct grabber {
    const int32_t *sites;
    int32_t n;
    void *const *data;
    int64_t *elems;
};

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    const struct grabber *g = self;
    (void)sites;
    (void)err;
    for (int32_t k = 0; k < g->n; k++) {
        TDBG_ASSERT(g->sites[k] >= 0 && g->sites[k] < n_sites);
        wants[g->sites[k]] = (struct tdbg_want){TDBG_WANT_VALUES, 1};
    }
    return TDBG_OK;
}

static enum tdbg_status show_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    const struct grabber *g = self;
    (void)step;
    for (int32_t k = 0; k < g->n; k++) {
        if (g->sites[k] != site)
            continue;
        g->elems[k] = handle->elems;
        return tdbg_handle_copy(handle, g->data[k], err);
    }
    return TDBG_OK;
}

static const struct tdbg_tap_ops ops = {plan, NULL, show_site, NULL};

enum tdbg_status tdbg_step_grab(struct tdbg_session *session, int64_t step, const int32_t *sites,
                                int32_t n, void *const *data, int64_t *elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct grabber grabber = {sites, n, data, elems};
    const struct tdbg_tap tap = {&ops, &grabber};
    for (int32_t k = 0; k < n; k++)
        elems[k] = -1;
    TDBG_TRY(tdbg_session_seek(session, step, err));
    TDBG_TRY(tdbg_session_run_step(session, &tap, 1, NULL, err));
out:
    return st;
}
