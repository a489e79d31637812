/* Sums over lanes in the middle of the graph: the folds of ops whose results hang on the samples of
 * all lanes, as synchronised norms do. See engine_state.h and op.h. */
#include "engine/engine_state.h"
#include "engine/lane_tree.h"

/* What every part adds to a fold, and a copy of it to fold. */
static enum tdbg_status give(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t n,
                             int32_t i, int32_t fold, int64_t elems, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_folds;
    const struct tdbg_op_fold *f = &tdbg_op_folds(&e->graph->nodes[i], &n_folds)[fold];
    const struct tdbg_backend *be = e->backend;
    struct tdbg_call call;
    for (int32_t p = 0; p < n; p++) {
        const struct tdbg_slot *slot = pass[p].slot;
        tdbg_engine_fill_call(e, &pass[p], i, NULL, &call);
        call.run.dy = slot->dact[i];
        f->give(&call.run, slot->sum);
        TDBG_TRY(tdbg_engine_show(e, pass->step, e->table.fold_in[i][fold] + pass[p].part,
                                  slot->sum, elems, -1, err));
        be->copy(be->context, slot->folded, slot->sum, (size_t)elems * sizeof(float));
    }
out:
    return st;
}

/* All lanes of all ranks in data (elems), shown at `site`. part_site: its row where the fold of one
 * part is that part. Other ranks' lanes come in here; spare (elems) is used up then. */
static enum tdbg_status add_ranks(struct tdbg_engine *e, int64_t step, int32_t site,
                                  int32_t part_site, float *data, float *spare, int64_t elems,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_reduction_part part = {&e->table.sites[site], 0, elems};
    const struct tdbg_reduction what = {.n_parts = 1, .parts = &part, .elems = elems};
    if (e->has_others)
        TDBG_TRY(tdbg_engine_sum_ranks(e, step, &what, data, spare, err));
    TDBG_TRY(
        tdbg_engine_show(e, step, site, data, elems, e->info.lanes == 1 ? part_site : -1, err));
out:
    return st;
}

static enum tdbg_status run_fold(struct tdbg_engine *e, const struct tdbg_pass *pass, int32_t n,
                                 int32_t i, int32_t fold, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_folds;
    const struct tdbg_node *node = &e->graph->nodes[i];
    const struct tdbg_op_fold *f = &tdbg_op_folds(node, &n_folds)[fold];
    const struct tdbg_shape shape = f->shape(node);
    const int64_t elems = tdbg_shape_elems(&shape);
    struct tdbg_call call;
    TDBG_TRY(give(e, pass, n, i, fold, elems, err));
    for (int32_t p = 0; p < n; p++)
        e->fold_lane[p] = pass[p].slot->folded;
    tdbg_lane_tree_fold(e->backend, elems, n, e->fold_lane);
    TDBG_TRY(add_ranks(e, pass->step, e->table.fold_out[i][fold] + pass->micro,
                       e->table.fold_in[i][fold] + pass->part, e->fold_lane[0], e->fold_spare,
                       elems, err));
    for (int32_t p = 0; p < n; p++) {
        tdbg_engine_fill_call(e, &pass[p], i, NULL, &call);
        f->take(&call.run, pass[p].slot->sum, e->fold_lane[0]);
    }
out:
    return st;
}

enum tdbg_status tdbg_engine_run_folds(struct tdbg_engine *e, const struct tdbg_pass *pass,
                                       int32_t n, int32_t node, bool backward, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n_folds;
    const struct tdbg_op_fold *folds = tdbg_op_folds(&e->graph->nodes[node], &n_folds);
    for (int32_t k = 0; pass->training && k < n_folds; k++) {
        if (folds[k].backward == backward)
            TDBG_TRY(run_fold(e, pass, n, node, k, err));
    }
out:
    return st;
}
