/* Reading and executing the tensors of a step. See step_values.h. */
#include "replay/step_values.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "replay/step_grab.h"

struct value {
    int32_t site; /* of the joined list */
    void *data;   /* malloc; valid where is_there */
    int64_t elems;
    bool is_there, is_due; /* is_due: an execution of the step gives it */
    const char *why;
};

struct tdbg_step_values {
    struct tdbg_rank_group *group;
    struct tdbg_session_options options;
    bool may_execute;
    struct tdbg_session *session; /* NULL until something has to be executed */
    int32_t *of_session;          /* (sites of the session) joined site, or -1 */
    struct tdbg_arena *arena;     /* of the texts of one load */
    struct value *value;          /* (n) */
    int32_t n;
    uint64_t *digests;    /* of the file that was asked last, */
    int32_t digests_rank; /* its rank (-1: none), */
    int64_t digests_step; /* and the step */
};

enum tdbg_status tdbg_step_values_create(struct tdbg_rank_group *group,
                                         const struct tdbg_session_options *options,
                                         struct tdbg_step_values **out, struct tdbg_err *err)
{
    int32_t most = 1;
    for (int32_t r = 0; r < group->world_size; r++) {
        int32_t n = 0;
        if (group->files[r].trace)
            tdbg_trace_sites(group->files[r].trace, &n);
        most = n > most ? n : most;
    }
    struct tdbg_step_values *v = calloc(1, sizeof *v);
    if (v)
        v->digests = calloc((size_t)most, sizeof *v->digests);
    if (!v || !v->digests) {
        free(v);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the values of a step");
    }
    v->group = group;
    v->digests_rank = -1;
    v->may_execute = options != NULL;
    if (options)
        v->options = *options;
    *out = v;
    return TDBG_OK;
}

static void drop_values(struct tdbg_step_values *v)
{
    for (int32_t k = 0; k < v->n; k++)
        free(v->value[k].data);
    free(v->value);
    tdbg_arena_destroy(v->arena);
    v->value = NULL;
    v->arena = NULL;
    v->n = 0;
}

void tdbg_step_values_destroy(struct tdbg_step_values *v)
{
    if (!v)
        return;
    drop_values(v);
    tdbg_session_destroy(v->session);
    free(v->of_session);
    free(v->digests);
    free(v);
}

static struct tdbg_trace *file_of(const struct tdbg_rank_group *g, int32_t site)
{
    return g->files[g->holder[site]].trace;
}

bool tdbg_step_values_are_stored(struct tdbg_rank_group *g, int32_t site, int64_t step,
                                 bool evaluated)
{
    return tdbg_trace_has_values(file_of(g, site), g->local[site], step, evaluated);
}

/* --- executing --- */

static void connect_sites(struct tdbg_step_values *v, int32_t n_sites)
{
    for (int32_t i = 0; i < n_sites; i++) {
        int32_t n;
        const struct tdbg_session_place *places = tdbg_session_places(v->session, i, &n);
        v->of_session[i] = -1;
        if (n == 0)
            continue;
        const struct tdbg_trace *file = tdbg_session_file(v->session, places[0].file);
        const int32_t rank = tdbg_trace_info(file)->rank;
        v->of_session[i] = v->group->files[rank].joined[places[0].site];
    }
}

static enum tdbg_status open_session(struct tdbg_step_values *v, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites;
    if (v->session)
        return TDBG_OK;
    if (v->group->world_size == 1)
        TDBG_TRY(tdbg_session_create(v->group->files[0].trace, &v->options, &v->session, err));
    else
        TDBG_TRY(tdbg_session_create_group(v->group, &v->options, &v->session, err));
    tdbg_engine_sites(tdbg_session_engine(v->session), &n_sites);
    v->of_session = calloc((size_t)n_sites, sizeof *v->of_session);
    TDBG_FAIL_IF(!v->of_session, NO_MEMORY, "no memory for the values of a step");
    connect_sites(v, n_sites);
out:
    if (st != TDBG_OK) {
        tdbg_session_destroy(v->session);
        v->session = NULL;
    }
    return st;
}

static struct value *find_due(const struct tdbg_step_values *v, int32_t joined)
{
    for (int32_t k = 0; joined >= 0 && k < v->n; k++) {
        if (v->value[k].site == joined && v->value[k].is_due)
            return &v->value[k];
    }
    return NULL;
}

static enum tdbg_status recorded_digest(struct tdbg_step_values *v, int32_t site, int64_t step,
                                        uint64_t *digest, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t rank = v->group->holder[site];
    if (v->digests_rank != rank || v->digests_step != step) {
        v->digests_rank = -1;
        TDBG_TRY(tdbg_trace_read_digests(file_of(v->group, site), step, v->digests, err));
        v->digests_rank = rank;
        v->digests_step = step;
    }
    *digest = v->digests[v->group->local[site]];
out:
    return st;
}

/* What does not have the recorded digest is not what was recorded: the trace holds the difference
 * to it (store RESIDUAL), or cannot give it. */
static enum tdbg_status check_executed(struct tdbg_step_values *v, int64_t step, bool evaluated,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t k = 0; k < v->n; k++) {
        struct value *value = &v->value[k];
        const struct tdbg_site *site = &v->group->sites[value->site];
        const int32_t local = v->group->local[value->site];
        struct tdbg_trace *file = file_of(v->group, value->site);
        struct tdbg_err why = {0};
        if (!value->is_due || !value->is_there ||
            !tdbg_trace_has_digest(file, local, step, evaluated))
            continue;
        uint64_t digest;
        TDBG_TRY(recorded_digest(v, value->site, step, &digest, err));
        if (tdbg_digest_fast(value->data, site->dtype, value->elems) == digest)
            continue;
        value->is_there =
            tdbg_trace_has_residual(file, local, step, evaluated) &&
            tdbg_trace_read_values(file, step, local, value->data, &value->elems, &why) == TDBG_OK;
        if (!value->is_there)
            value->why = "what was recorded is not what comes out when the step is executed again";
        tdbg_err_clear(&why);
    }
out:
    return st;
}

static enum tdbg_status execute(struct tdbg_step_values *v, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_sites, n = 0;
    int32_t *sites = NULL;
    void **data = NULL;
    int64_t *elems = NULL;
    TDBG_TRY(open_session(v, err));
    tdbg_engine_sites(tdbg_session_engine(v->session), &n_sites);
    sites = malloc((size_t)n_sites * sizeof *sites);
    data = malloc((size_t)n_sites * sizeof *data);
    elems = malloc((size_t)n_sites * sizeof *elems);
    TDBG_FAIL_IF(!sites || !data || !elems, NO_MEMORY, "no memory for the values of a step");
    for (int32_t i = 0; i < n_sites; i++) {
        const struct value *value = find_due(v, v->of_session[i]);
        if (!value)
            continue;
        sites[n] = i;
        data[n++] = value->data;
    }
    TDBG_TRY(tdbg_step_grab(v->session, step, sites, n, data, elems, err));
    for (int32_t k = 0; k < n; k++) {
        struct value *value = find_due(v, v->of_session[sites[k]]);
        if (elems[k] < 0)
            continue;
        value->elems = elems[k];
        value->is_there = true;
    }
out:
    free(sites);
    free(data);
    free(elems);
    return st;
}

/* --- loading --- */

static enum tdbg_status load_stored(struct tdbg_step_values *v, struct value *value, int64_t step,
                                    bool evaluated, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_site *site = &v->group->sites[value->site];
    const int32_t local = v->group->local[value->site];
    struct tdbg_err why = {0};
    value->data = calloc((size_t)tdbg_site_elems(site), tdbg_dtype_bytes(site->dtype));
    TDBG_FAIL_IF(!value->data, NO_MEMORY, "no memory for %s", site->name);
    if (!tdbg_step_values_are_stored(v->group, value->site, step, evaluated)) {
        value->is_due = v->may_execute && (site->stage != TDBG_STAGE_EVAL || evaluated);
        value->why = "it is not stored";
        goto out;
    }
    value->is_there = tdbg_trace_read_values(file_of(v->group, value->site), step, local,
                                             value->data, &value->elems, &why) == TDBG_OK;
    if (!value->is_there)
        value->why = tdbg_arena_strdup(v->arena, why.message);
out:
    tdbg_err_clear(&why);
    return st;
}

enum tdbg_status tdbg_step_values_load(struct tdbg_step_values *v, int64_t step,
                                       const int32_t *sites, int32_t n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row row;
    struct tdbg_err why = {0};
    bool any_due = false;
    drop_values(v);
    v->arena = tdbg_arena_create();
    v->value = calloc((size_t)n + 1, sizeof *v->value);
    TDBG_FAIL_IF(!v->arena || !v->value, NO_MEMORY, "no memory for the values of a step");
    v->n = n;
    TDBG_TRY(tdbg_trace_read_steps(v->group->files[v->group->first].trace, step, 1, &row, err));
    for (int32_t k = 0; k < n; k++) {
        v->value[k].site = sites[k];
        TDBG_TRY(load_stored(v, &v->value[k], step, row.evaluated, err));
        any_due |= v->value[k].is_due;
    }
    if (!any_due)
        goto out;
    if (execute(v, step, &why) == TDBG_OK) {
        TDBG_TRY(check_executed(v, step, row.evaluated, err));
        goto out;
    }
    const char *text = tdbg_arena_strdup(v->arena, why.message);
    for (int32_t k = 0; k < n; k++) {
        if (v->value[k].is_due) {
            v->value[k].is_there = false;
            v->value[k].why = text;
        }
    }
    v->may_execute = v->session != NULL; /* not once more for each step */
out:
    tdbg_err_clear(&why);
    return st;
}

const void *tdbg_step_values_get(const struct tdbg_step_values *v, int32_t k, int64_t *n_elems,
                                 const char **why)
{
    TDBG_ASSERT(k >= 0 && k < v->n);
    const struct value *value = &v->value[k];
    *n_elems = value->is_there ? value->elems : 0;
    if (why && !value->is_there)
        *why = value->why;
    return value->is_there ? value->data : NULL;
}

int64_t tdbg_step_values_executed(const struct tdbg_step_values *v)
{
    return v->session ? tdbg_session_steps_executed(v->session) : 0;
}
