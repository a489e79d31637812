/* Adds what all ranks but one put in. See dropped.h. */
#include "replay/dropped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "engine/lane_tree.h"

/* What went into one reduction: (lanes, elems), and a copy to add in. */
struct shares {
    int32_t lanes;
    int64_t elems;
    float *stored, *work;
    float **branch; /* (lanes) in work */
};

static bool read_shares(const struct tdbg_rank_group *g, int64_t step, const char *name,
                        struct shares *s)
{
    for (int32_t lane = 0; lane < s->lanes; lane++) {
        struct tdbg_step_row row;
        const int32_t site = tdbg_rank_group_find(g, name, lane, TDBG_LANE_ALL);
        if (site < 0 || tdbg_site_elems(&g->sites[site]) != s->elems ||
            g->sites[site].dtype != TDBG_DTYPE_F32)
            return false;
        const struct tdbg_rank_file *file = &g->files[g->holder[site]];
        if (!tdbg_rank_has_step(file, step) ||
            tdbg_trace_read_steps(file->trace, step, 1, &row, NULL) != TDBG_OK ||
            !tdbg_trace_has_values(file->trace, g->local[site], step, row.evaluated) ||
            tdbg_trace_read_values(file->trace, step, g->local[site], s->stored + lane * s->elems,
                                   NULL, NULL) != TDBG_OK)
            return false;
        s->branch[lane] = s->work + lane * s->elems;
    }
    return true;
}

static int32_t search(const struct tdbg_rank_group *g, const struct shares *s,
                      const struct tdbg_backend *backend, uint64_t recorded)
{
    const int32_t each = s->lanes / g->world_size;
    const size_t lane_bytes = (size_t)s->elems * sizeof(float);
    for (int32_t r = 0; r < g->world_size; r++) {
        memcpy(s->work, s->stored, (size_t)s->lanes * lane_bytes);
        memset(s->work + r * each * s->elems, 0, (size_t)each * lane_bytes);
        tdbg_lane_tree_fold(backend, s->elems, s->lanes, s->branch);
        if (tdbg_digest_fast(s->branch[0], TDBG_DTYPE_F32, s->elems) == recorded)
            return r;
    }
    return -1;
}

int32_t tdbg_dropped_rank(const struct tdbg_rank_group *g, int64_t step,
                          const struct tdbg_site *site, uint64_t recorded)
{
    char name[TDBG_MAX_SITE_NAME + 1];
    int32_t rank = -1;
    struct tdbg_backend *backend = NULL;
    struct shares s = {.lanes = tdbg_trace_info(g->files[g->first].trace)->lanes,
                       .elems = tdbg_site_elems(site)};
    const size_t bytes = (size_t)s.lanes * (size_t)s.elems * sizeof(float);
    if (site->stage != TDBG_STAGE_REDUCE_OUT || site->dtype != TDBG_DTYPE_F32 ||
        g->n_there < g->world_size)
        return -1;
    snprintf(name, sizeof name, "reduce_in/%s", tdbg_site_tensor(site));
    s.stored = malloc(bytes);
    s.work = malloc(bytes);
    s.branch = calloc((size_t)s.lanes, sizeof *s.branch);
    if (s.stored && s.work && s.branch && read_shares(g, step, name, &s) &&
        tdbg_backend_cpu_create("auto", 1, &backend, NULL) == TDBG_OK)
        rank = search(g, &s, backend, recorded);
    tdbg_backend_cpu_destroy(backend);
    free(s.stored);
    free(s.work);
    free(s.branch);
    return rank;
}
