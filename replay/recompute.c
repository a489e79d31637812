/* Values that are not stored, computed when a trace is asked for them. See session.h. */
#include <stdlib.h>

#include "replay/session.h"

struct tdbg_recompute {
    struct tdbg_trace *trace;
    struct tdbg_session_options options;
    struct tdbg_session *session; /* NULL until a value is asked for */
    /* All ranks together, where one cannot be executed alone; NULL until then. */
    struct tdbg_rank_group *group;
    struct tdbg_session *all;
};

/* The session's number of a site of the trace of rank `rank`, or -1. */
static int32_t find_place(struct tdbg_session *s, int32_t rank, int32_t site)
{
    int32_t n_sites;
    tdbg_engine_sites(tdbg_session_engine(s), &n_sites);
    for (int32_t i = 0; i < n_sites; i++) {
        int32_t n;
        const struct tdbg_session_place *places = tdbg_session_places(s, i, &n);
        for (int32_t k = 0; k < n; k++) {
            const struct tdbg_trace *trace = tdbg_session_file(s, places[k].file);
            if (places[k].site == site && tdbg_trace_info(trace)->rank == rank)
                return i;
        }
    }
    return -1;
}

static enum tdbg_status recompute_all(struct tdbg_recompute *r, int64_t step, int32_t site,
                                      void *data, int64_t *n_elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!r->group)
        TDBG_TRY(tdbg_rank_group_open(tdbg_trace_path(r->trace), &r->group, err));
    TDBG_TRY(tdbg_rank_group_refuse_foreign(r->group, err));
    if (!r->all)
        TDBG_TRY(tdbg_session_create_group(r->group, &r->options, &r->all, err));
    const int32_t id = find_place(r->all, tdbg_trace_info(r->trace)->rank, site);
    TDBG_FAIL_IF(id < 0, NOT_FOUND, "not a site of this run");
    TDBG_TRY(tdbg_session_compute(r->all, step, id, data, n_elems, err));
out:
    return st;
}

static enum tdbg_status recompute(void *context, struct tdbg_trace *trace, int64_t step,
                                  int32_t site, void *data, int64_t *n_elems, struct tdbg_err *err)
{
    struct tdbg_recompute *r = context;
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session;
    int32_t n;
    TDBG_FAIL_IF(
        !tdbg_session_is_possible(trace), NEEDS_REPLAY,
        "%s is not stored at step %lld, and %s was recorded by another program: no graph to "
        "execute",
        tdbg_trace_sites(trace, &n)[site].name, (long long)step, tdbg_trace_path(trace));
    if (r->all)
        return recompute_all(r, step, site, data, n_elems, err);
    TDBG_TRY(tdbg_recompute_session(r, &session, err));
    st = tdbg_session_compute(session, step, site, data, n_elems, err);
    if (st == TDBG_CANNOT_JUDGE && tdbg_trace_info(trace)->world_size > 1) {
        tdbg_err_clear(err);
        st = recompute_all(r, step, site, data, n_elems, err);
    }
out:
    return st;
}

enum tdbg_status tdbg_recompute_create(struct tdbg_trace *trace,
                                       const struct tdbg_session_options *options,
                                       struct tdbg_recompute **out, struct tdbg_err *err)
{
    struct tdbg_recompute *r = calloc(1, sizeof *r);
    if (!r)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for a replay session");
    r->trace = trace;
    r->options = *options;
    tdbg_trace_set_recompute(trace, recompute, r);
    *out = r;
    return TDBG_OK;
}

enum tdbg_status tdbg_recompute_open(const char *path, int32_t rank,
                                     const struct tdbg_session_options *options,
                                     struct tdbg_trace **trace, struct tdbg_recompute **out,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace *file = NULL, *other = NULL;
    TDBG_TRY(tdbg_trace_open(path, &file, err));
    if (rank >= 0 && tdbg_trace_info(file)->rank != rank) {
        TDBG_TRY(tdbg_rank_open(file, rank, &other, NULL, err));
        tdbg_trace_close(file);
        file = other;
    }
    TDBG_TRY(tdbg_recompute_create(file, options, out, err));
    *trace = file;
    file = NULL;
out:
    tdbg_trace_close(file);
    return st;
}

enum tdbg_status tdbg_recompute_session(struct tdbg_recompute *r, struct tdbg_session **out,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!r->session)
        TDBG_TRY(tdbg_session_create(r->trace, &r->options, &r->session, err));
    *out = r->session;
out:
    return st;
}

int64_t tdbg_recompute_executed(const struct tdbg_recompute *r)
{
    return (r->session ? tdbg_session_steps_executed(r->session) : 0) +
           (r->all ? tdbg_session_steps_executed(r->all) : 0);
}

void tdbg_recompute_destroy(struct tdbg_recompute *r)
{
    if (!r)
        return;
    tdbg_trace_set_recompute(r->trace, NULL, NULL);
    tdbg_session_destroy(r->session);
    tdbg_session_destroy(r->all);
    tdbg_rank_group_close(r->group);
    free(r);
}
