/* Adds what all ranks but one put in. See dropped.h. */
#include "replay/dropped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "engine/lane_tree.h"

static bool read_shares(const struct tdbg_rank_group *g, int64_t step, const char *name,
                        int32_t lanes, int64_t elems, float *shares)
{
    for (int32_t lane = 0; lane < lanes; lane++) {
        struct tdbg_step_row row;
        const int32_t site = tdbg_rank_group_find(g, name, lane, TDBG_LANE_ALL);
        if (site < 0 || tdbg_site_elems(&g->sites[site]) != elems ||
            g->sites[site].dtype != TDBG_DTYPE_F32)
            return false;
        const struct tdbg_rank_file *file = &g->files[g->holder[site]];
        if (!tdbg_rank_has_step(file, step) ||
            tdbg_trace_read_steps(file->trace, step, 1, &row, NULL) != TDBG_OK ||
            !tdbg_trace_has_values(file->trace, g->local[site], step, row.evaluated) ||
            tdbg_trace_read_values(file->trace, step, g->local[site], shares + lane * elems, NULL,
                                   NULL) != TDBG_OK)
            return false;
    }
    return true;
}

/* work (lanes, elems), branch (lanes): scratch. */
static int32_t search(const struct tdbg_backend *backend, int32_t world_size, int32_t lanes,
                      int64_t elems, const float *shares, uint64_t recorded, float *work,
                      float **branch)
{
    const int32_t each = lanes / world_size;
    const size_t lane_bytes = (size_t)elems * sizeof(float);
    for (int32_t r = 0; r < world_size; r++) {
        for (int32_t lane = 0; lane < lanes; lane++)
            branch[lane] = work + lane * elems;
        memcpy(work, shares, (size_t)lanes * lane_bytes);
        memset(work + r * each * elems, 0, (size_t)each * lane_bytes);
        tdbg_lane_tree_fold(backend, elems, lanes, branch);
        if (tdbg_digest_fast(branch[0], TDBG_DTYPE_F32, elems) == recorded)
            return r;
    }
    return -1;
}

int32_t tdbg_dropped_share(int32_t world_size, int32_t lanes, int64_t elems, const float *shares,
                           uint64_t recorded, float *sum)
{
    int32_t rank = -1;
    struct tdbg_backend *backend = NULL;
    float *work = malloc((size_t)lanes * (size_t)elems * sizeof *work);
    float **branch = calloc((size_t)lanes, sizeof *branch);
    if (work && branch && tdbg_backend_cpu_create("auto", 1, &backend, NULL) == TDBG_OK)
        rank = search(backend, world_size, lanes, elems, shares, recorded, work, branch);
    if (rank >= 0 && sum)
        memcpy(sum, branch[0], (size_t)elems * sizeof *sum);
    tdbg_backend_cpu_destroy(backend);
    free(work);
    free(branch);
    return rank;
}

static bool is_sum(const struct tdbg_rank_group *g, const struct tdbg_site *site)
{
    return site->stage == TDBG_STAGE_REDUCE_OUT && site->dtype == TDBG_DTYPE_F32 &&
           g->n_there == g->world_size;
}

/* What all lanes put in (lanes, elems), where all of it is stored; the caller frees it. */
static float *load_shares(const struct tdbg_rank_group *g, int64_t step,
                          const struct tdbg_site *site, int32_t lanes)
{
    char name[TDBG_MAX_SITE_NAME + 1];
    const int64_t elems = tdbg_site_elems(site);
    snprintf(name, sizeof name, "reduce_in/%s", tdbg_site_tensor(site));
    float *shares = malloc((size_t)lanes * (size_t)elems * sizeof *shares);
    if (shares && read_shares(g, step, name, lanes, elems, shares))
        return shares;
    free(shares);
    return NULL;
}

int32_t tdbg_dropped_rank(const struct tdbg_rank_group *g, int64_t step,
                          const struct tdbg_site *site, uint64_t recorded)
{
    const int32_t lanes = tdbg_trace_info(g->files[g->first].trace)->lanes;
    float *shares = is_sum(g, site) ? load_shares(g, step, site, lanes) : NULL;
    const int32_t rank = shares ? tdbg_dropped_share(g->world_size, lanes, tdbg_site_elems(site),
                                                     shares, recorded, NULL)
                                : -1;
    free(shares);
    return rank;
}

enum tdbg_status tdbg_fold_lanes(const struct tdbg_rank_group *g, int64_t step,
                                 const struct tdbg_site *site, uint64_t *digest,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t lanes = tdbg_trace_info(g->files[g->first].trace)->lanes;
    const int64_t elems = tdbg_site_elems(site);
    struct tdbg_backend *backend = NULL;
    float *shares = NULL, **branch = NULL;
    TDBG_FAIL_IF(!is_sum(g, site), CANNOT_JUDGE, "%s cannot be added up again: %s", site->name,
                 g->n_there < g->world_size ? "a rank's file is missing" : "it is no sum");
    shares = load_shares(g, step, site, lanes);
    TDBG_FAIL_IF(!shares, NOT_FOUND, "what went into %s is not stored at step %lld", site->name,
                 (long long)step);
    branch = calloc((size_t)lanes, sizeof *branch);
    TDBG_FAIL_IF(!branch, NO_MEMORY, "no memory for the lanes of %s", site->name);
    TDBG_TRY(tdbg_backend_cpu_create("auto", 1, &backend, err));
    for (int32_t lane = 0; lane < lanes; lane++)
        branch[lane] = shares + lane * elems;
    tdbg_lane_tree_fold(backend, elems, lanes, branch);
    *digest = tdbg_digest_fast(branch[0], TDBG_DTYPE_F32, elems);
out:
    tdbg_backend_cpu_destroy(backend);
    free(shares);
    free(branch);
    return st;
}
