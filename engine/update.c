/* The end of a step: the divisor, clipping and the optimizer; and a step of which nothing but that
 * end is computed, from gradients that are known. See engine_state.h. */
#include <string.h>

#include "engine/engine_state.h"

enum tdbg_status tdbg_engine_divide(struct tdbg_engine *e, int64_t step, const float *sums,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = e->backend;
    float divisor = tdbg_loss_fixed_divisor(&e->graph->loss, e->n_counted);
    if (tdbg_loss_divisor_varies(&e->graph->loss))
        TDBG_TRY(
            be->to_host(be->context, &divisor, sums + e->loss_offset + 1, sizeof divisor, err));
    if (e->n_counted == 0) /* all samples are dropped: the gradient is 0, not 0 / 0 */
        divisor = 1.0f;
    const float ranks = e->sums_ranks ? (float)e->info.world_size : 1.0f;
    be->vector_divide(be->context, e->loss_offset, sums, divisor / ranks, e->grad);
    be->vector_divide(be->context, e->flat_elems - e->loss_offset, sums + e->loss_offset, divisor,
                      e->grad + e->loss_offset);
    be->copy(be->context, &e->scalar[SCALAR_LOSS], e->grad + e->loss_offset, sizeof(float));
    TDBG_TRY(tdbg_engine_show(e, step, e->table.loss, &e->scalar[SCALAR_LOSS], 1, -1, err));
    for (int32_t p = e->graph->n_params - 1; p >= 0; p--) {
        const struct tdbg_param *param = &e->graph->params[p];
        TDBG_TRY(tdbg_engine_show(e, step, e->table.grad[p], e->grad + param->offset, param->elems,
                                  -1, err));
    }
out:
    return st;
}

/* Frozen parameters are not clipped and do not count in the norm. */
static enum tdbg_status clip(struct tdbg_engine *e, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (!tdbg_clip_is_on(&e->clip))
        return TDBG_OK;
    const struct tdbg_clip_memory memory = {e->clip_squares, e->clip_norm, e->clip_scratch};
    const struct tdbg_ranges *ranges = &e->clip_ranges;
    tdbg_clip_measure(&e->clip, e->backend, ranges, e->grad, &memory);
    if (e->table.clip_norm >= 0)
        TDBG_TRY(tdbg_engine_show(e, step, e->table.clip_norm, e->clip_norm, 1, -1, err));
    tdbg_clip_scale_all(&e->clip, e->backend, ranges, e->grad, &memory);
    for (int32_t i = 0; i < ranges->n; i++)
        TDBG_TRY(tdbg_engine_show(e, step, e->table.clip[e->clip_param[i]],
                                  e->grad + ranges->range[i].offset, ranges->range[i].elems, -1,
                                  err));
out:
    return st;
}

enum tdbg_status tdbg_engine_update(struct tdbg_engine *e, int64_t step, double lr,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(clip(e, step, err));
    for (int32_t g = 0; g < e->n_groups; g++)
        tdbg_optimizer_apply(&e->optimizer, &e->groups[g], e->backend, step, lr, e->grad, e->param,
                             e->optim);
    for (int pass = 0; pass < 2; pass++) { /* optimizer state, then parameters: dataflow order */
        for (int32_t i = 0; i < e->info.n_items; i++) {
            if ((e->state_items[i].state >= 0) != (pass == 0))
                continue;
            TDBG_TRY(tdbg_engine_show(e, step, e->table.after[i], tdbg_engine_item_data(e, i),
                                      e->items[i].elems, -1, err));
        }
    }
out:
    return st;
}

/* --- from stored gradients --- */

bool tdbg_engine_can_update(const struct tdbg_engine *e)
{
    return e->graph->n_buffers == 0 && e->info.world_size == 1;
}

static enum tdbg_status load(struct tdbg_engine *e, int64_t step, int32_t site, int64_t elems,
                             float *device, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_stored_step *stored = e->stored;
    TDBG_TRY(stored->read(stored->context, step, site, stored->buffer, err));
    TDBG_TRY(e->backend->to_device(e->backend->context, device, stored->buffer,
                                   (size_t)elems * sizeof *device, err));
out:
    return st;
}

enum tdbg_status tdbg_engine_load_lane(struct tdbg_engine *e, int64_t step, int32_t lane,
                                       float *sums, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t p = 0; p < e->graph->n_params; p++) {
        const struct tdbg_param *param = &e->graph->params[p];
        TDBG_TRY(
            load(e, step, e->table.reduce_in[p] + lane, param->elems, sums + param->offset, err));
    }
    TDBG_TRY(load(e, step, e->table.reduce_in_loss + lane, 1, sums + e->loss_offset, err));
    if (e->table.reduce_in_divisor >= 0)
        TDBG_TRY(
            load(e, step, e->table.reduce_in_divisor + lane, 1, sums + e->loss_offset + 1, err));
out:
    return st;
}

static enum tdbg_status load_gradients(struct tdbg_engine *e, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t p = 0; p < e->graph->n_params; p++) {
        const struct tdbg_param *param = &e->graph->params[p];
        TDBG_TRY(load(e, step, e->table.grad[p], param->elems, e->grad + param->offset, err));
    }
out:
    return st;
}

/* Gradients of all lanes: folded and divided as in the step. */
static enum tdbg_status fold_gradients(struct tdbg_engine *e, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    float *sums = NULL;
    const struct tdbg_stored_step *stored = e->stored;
    memcpy(e->host_id, stored->ids, (size_t)stored->n_samples * sizeof *e->host_id);
    TDBG_TRY(tdbg_engine_weigh_samples(e, stored->n_samples, err));
    TDBG_TRY(tdbg_engine_run_lanes(e, step, stored->n_samples, &sums, err));
    TDBG_TRY(tdbg_engine_divide(e, step, sums, err));
out:
    return st;
}

enum tdbg_status tdbg_engine_run_update(struct tdbg_engine *e, int64_t step,
                                        const struct tdbg_stored_step *stored, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    TDBG_ASSERT(tdbg_engine_can_update(e) && stored->n_samples <= e->info.batch);
    const float lr = (float)tdbg_schedule_lr(&e->schedule, step);
    e->stored = stored;
    TDBG_TRY(stored->by_lane ? fold_gradients(e, step, err) : load_gradients(e, step, err));
    TDBG_TRY(tdbg_engine_update(e, step, (double)lr, err));
out:
    e->stored = NULL;
    return st;
}
