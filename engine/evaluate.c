/* Validation: the loss and the share of right answers over the evaluation set, after a step. Parts
 * of part_rows samples in ascending order; their loss sums are added in double and divided once, by
 * the divisor of a mean whatever loss.reduction says. */
#include "engine/engine_state.h"

enum tdbg_status tdbg_engine_evaluate(struct tdbg_engine *e, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = e->backend;
    const struct tdbg_graph *g = e->graph;
    const struct tdbg_slot *slot = &e->slots[0];
    double loss = 0, divisor = 0;
    tdbg_engine_round_params(e);
    int64_t correct = 0, counted = 0;
    const bool varies = tdbg_loss_divisor_varies(&g->loss);
    for (int64_t first = 0; first < e->eval_samples; first += e->part_rows) {
        int64_t n = e->eval_samples - first < e->part_rows ? e->eval_samples - first : e->part_rows;
        TDBG_TRY(e->source.ops->eval_batch(e->source.self, first, n, e->host_x, e->host_y, err));
        for (int64_t i = 0; i < n; i++)
            e->host_id[i] = first + i;
        TDBG_TRY(tdbg_engine_upload_batch(e, n, &counted, err));
        TDBG_TRY(tdbg_engine_forward(e, &(struct tdbg_pass){.slot = slot, .hi = n}, 1, err));
        float sum;
        be->reduce_sum(be->context, n, slot->loss_sample, &e->scalar[SCALAR_EVAL_LOSS],
                       e->sum_scratch);
        TDBG_TRY(be->to_host(be->context, &sum, &e->scalar[SCALAR_EVAL_LOSS], sizeof sum, err));
        loss += (double)sum;
        if (varies) {
            tdbg_loss_weigh_targets(&g->loss, be, n, e->target, e->loss_workspace);
            tdbg_loss_divisor_share(&g->loss, be, n, &e->scalar[SCALAR_EVAL_LOSS],
                                    e->loss_workspace);
            TDBG_TRY(be->to_host(be->context, &sum, &e->scalar[SCALAR_EVAL_LOSS], sizeof sum, err));
            divisor += (double)sum;
        }
        correct +=
            tdbg_loss_count_correct(&g->loss, e->ops, n, slot->act[g->n_nodes - 1], e->target);
    }
    if (!varies)
        divisor = (double)(e->eval_samples * g->loss.targets);
    float results[2] = {(float)(loss / divisor), (float)((double)correct / (double)counted)};
    TDBG_TRY(
        be->to_device(be->context, &e->scalar[SCALAR_EVAL_LOSS], results, sizeof results, err));
out:
    return st;
}
