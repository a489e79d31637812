/* One training step: samples, forward, backward, fold, reduce, and the tap's view of each; update.c
 * divides and updates. The order of everything summed is that of docs/numerics.md. See
 * engine_state.h. */
#include "engine/engine_state.h"
#include "engine/lane_tree.h"

#include <string.h>

static bool is_due(const struct tdbg_engine *e, int tap, int64_t step, int32_t site)
{
    const struct tdbg_want *want = &e->wants[tap][site];
    return want->flags && want->every > 0 && step % want->every == 0;
}

bool tdbg_engine_is_due(const struct tdbg_engine *e, int64_t step, int32_t site)
{
    for (int i = 0; e->wanted[site] && i < e->n_taps; i++) {
        if (is_due(e, i, step, site))
            return true;
    }
    return false;
}

enum tdbg_status tdbg_engine_show(struct tdbg_engine *e, int64_t step, int32_t site,
                                  const void *data, int64_t elems, int32_t same_as,
                                  struct tdbg_err *err)
{
    if (!e->wanted[site])
        return TDBG_OK;
    if (same_as >= 0 && ((e->wanted[site] | e->wanted[same_as]) & TDBG_WANT_CHANGE))
        same_as = -1; /* only if nobody changes one of them */
    const struct tdbg_handle handle = {.backend = e->backend,
                                       .data = (void *)(uintptr_t)data,
                                       .dtype = e->table.sites[site].dtype,
                                       .elems = elems,
                                       .same_as = same_as};
    for (int i = 0; i < e->n_taps; i++) {
        if (!is_due(e, i, step, site))
            continue;
        enum tdbg_status st = e->taps[i].ops->site(e->taps[i].self, step, site, &handle, err);
        if (st != TDBG_OK)
            return st;
    }
    return TDBG_OK;
}

static enum tdbg_status show_samples(struct tdbg_engine *e, int64_t step, int64_t n,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_data_shape *data = &e->graph->data[TDBG_SET_TRAIN];
    const int64_t elems = e->graph->sample_elems, targets = e->graph->loss.targets;
    const size_t width = tdbg_dtype_bytes(data->x_dtype), y_width = tdbg_dtype_bytes(data->y_dtype);
    int32_t part = 0;
    for (int32_t k = 0; k < e->info.n_lanes; k++) {
        const int32_t lane = e->info.first_lane + k;
        for (int32_t micro = 0; micro < e->info.accumulate; micro++, part++) {
            int64_t lo, hi;
            tdbg_site_part_range(n, e->info.lanes, e->info.accumulate, lane, micro, &lo, &hi);
            TDBG_TRY(tdbg_engine_show(e, step, e->table.samples_id + part, e->raw_id + lo, hi - lo,
                                      -1, err));
            TDBG_TRY(tdbg_engine_show(e, step, e->table.samples_x + part,
                                      e->raw_x + (size_t)(lo * elems) * width, (hi - lo) * elems,
                                      -1, err));
            TDBG_TRY(tdbg_engine_show(e, step, e->table.samples_y + part,
                                      e->raw_y + (size_t)(lo * targets) * y_width,
                                      (hi - lo) * targets, -1, err));
        }
    }
out:
    return st;
}

/* What the step starts from: learning rate and state. */
static enum tdbg_status show_start(struct tdbg_engine *e, int64_t step, float lr,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = e->backend;
    TDBG_TRY(be->to_device(be->context, &e->scalar[SCALAR_LR], &lr, sizeof lr, err));
    TDBG_TRY(tdbg_engine_show(e, step, e->table.lr, &e->scalar[SCALAR_LR], 1, -1, err));
    for (int32_t i = 0; i < e->info.n_items; i++)
        TDBG_TRY(tdbg_engine_show(e, step, e->table.state[i], tdbg_engine_item_data(e, i),
                                  e->items[i].elems, -1, err));
out:
    return st;
}

/* Micro-batch `micro` of the lane of each slot: first_lane, of this rank and from 0, and those
 * behind it. reduces: it is the step's last, and its gradients leave as they come. */
static void place_parts(struct tdbg_engine *e, int64_t step, int64_t n, int32_t first_lane,
                        int32_t micro, bool reduces)
{
    int64_t all_rows = 0;
    for (int32_t lane = 0; lane < e->info.lanes; lane++) {
        int64_t lo, hi;
        tdbg_site_part_range(n, e->info.lanes, e->info.accumulate, lane, micro, &lo, &hi);
        all_rows += hi - lo;
    }
    for (int32_t s = 0; s < e->n_slots; s++) {
        const int32_t lane = e->info.first_lane + first_lane + s;
        struct tdbg_pass *pass = &e->passes[s];
        *pass = (struct tdbg_pass){.slot = &e->slots[s],
                                   .step = step,
                                   .lane = lane,
                                   .micro = micro,
                                   .part = (first_lane + s) * e->info.accumulate + micro,
                                   .all_rows = all_rows,
                                   .training = true,
                                   .reduces = reduces};
        tdbg_site_part_range(n, e->info.lanes, e->info.accumulate, lane, micro, &pass->lo,
                             &pass->hi);
    }
}

/* The loss of a part that ran forward, and its share of the divisor. */
static enum tdbg_status sum_losses(struct tdbg_engine *e, const struct tdbg_pass *pass, float *into,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = e->backend;
    const struct tdbg_loss *loss = &e->graph->loss;
    const int64_t rows = pass->hi - pass->lo;
    be->reduce_sum(be->context, rows, pass->slot->loss_sample, into + e->loss_offset,
                   e->sum_scratch);
    TDBG_TRY(tdbg_engine_show(e, pass->step, e->table.loss_sum + pass->part, into + e->loss_offset,
                              1, -1, err));
    if (tdbg_loss_divisor_varies(loss)) {
        tdbg_loss_weigh_targets(loss, be, rows, tdbg_engine_targets(e, pass->lo),
                                e->loss_workspace);
        tdbg_engine_apply_weights(e, pass, be, e->loss_workspace, loss->targets);
        tdbg_loss_divisor_share(loss, be, rows, into + e->loss_offset + 1, e->loss_workspace);
    }
out:
    return st;
}

/* Forward, loss and backward of the parts in all slots; sums into sums[slot] (the first micro-batch
 * overwrites). */
static enum tdbg_status run_parts(struct tdbg_engine *e, int64_t step, int64_t n,
                                  int32_t first_lane, int32_t micro, bool reduces,
                                  float *const *sums, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t parts = e->n_slots;
    place_parts(e, step, n, first_lane, micro, reduces);
    for (int32_t p = 0; p < parts; p++)
        e->part_grad[p] = micro == 0 ? sums[p] : e->slots[p].micro_grad;
    TDBG_TRY(tdbg_engine_forward(e, e->passes, parts, err));
    for (int32_t p = 0; p < parts; p++)
        TDBG_TRY(sum_losses(e, &e->passes[p], e->part_grad[p], err));
    TDBG_TRY(tdbg_engine_backward(e, e->passes, parts, e->part_grad, err));
    for (int32_t p = 0; micro > 0 && !reduces && p < parts; p++)
        e->backend->vector_add(e->backend->context, e->flat_elems, sums[p], e->part_grad[p]);
out:
    return st;
}

static enum tdbg_status show_lane(struct tdbg_engine *e, int64_t step, int32_t lane,
                                  const float *sums, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    for (int32_t p = e->graph->n_params - 1; p >= 0; p--) {
        const struct tdbg_param *param = &e->graph->params[p];
        TDBG_TRY(tdbg_engine_show(e, step, e->table.reduce_in[p] + lane, sums + param->offset,
                                  param->elems, -1, err));
    }
    int32_t only = e->info.lanes * e->info.accumulate == 1 ? e->table.loss_sum : -1;
    TDBG_TRY(tdbg_engine_show(e, step, e->table.reduce_in_loss + lane, sums + e->loss_offset, 1,
                              only, err));
    if (e->table.reduce_in_divisor >= 0)
        TDBG_TRY(tdbg_engine_show(e, step, e->table.reduce_in_divisor + lane,
                                  sums + e->loss_offset + 1, 1, -1, err));
out:
    return st;
}

/* One lane: all its micro-batches. With other ranks, its share of the last lane's is on the way to
 * them already when backward ends, unless somebody may change it. */
static enum tdbg_status run_lane(struct tdbg_engine *e, int64_t step, int64_t n, int32_t lane,
                                 float *sums, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const bool is_last = e->has_others && lane == e->info.n_lanes - 1;
    if (e->stored)
        return tdbg_engine_load_lane(e, step, lane, sums, err);
    for (int32_t micro = 0; micro < e->info.accumulate; micro++) {
        const bool reduces =
            is_last && e->overlaps && !e->has_folds && micro == e->info.accumulate - 1;
        e->fold.micro = reduces && micro > 0 ? e->slots[0].micro_grad : NULL;
        TDBG_TRY(run_parts(e, step, n, lane, micro, reduces, &sums, err));
    }
    TDBG_TRY(show_lane(e, step, lane, sums, err));
    if (is_last)
        TDBG_TRY(tdbg_engine_start_reductions(e, step, 0, err));
out:
    return st;
}

/* The last lane is about to run: with it all levels up to the number of lanes, a power of two, are
 * complete. */
static void begin_fold(struct tdbg_engine *e, float *const *level, float *sums)
{
    struct tdbg_lane_fold *f = &e->fold;
    *f = (struct tdbg_lane_fold){.sums = sums, .result = sums};
    for (int l = 0; level[l]; l++)
        f->result = f->level[l] = level[l];
}

/* All lanes of this rank together, micro-batch by micro-batch, then folded. */
static enum tdbg_status run_lanes_together(struct tdbg_engine *e, int64_t step, int64_t n,
                                           float **folded, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    float *const none[] = {NULL};
    for (int32_t micro = 0; micro < e->info.accumulate; micro++)
        TDBG_TRY(run_parts(e, step, n, 0, micro, false, e->flat_pool, err));
    for (int32_t lane = 0; lane < e->info.n_lanes; lane++)
        TDBG_TRY(show_lane(e, step, lane, e->flat_pool[lane], err));
    tdbg_lane_tree_fold(e->backend, e->flat_elems, e->info.n_lanes, e->flat_pool);
    *folded = e->flat_pool[0];
    begin_fold(e, none, e->flat_pool[0]);
    if (e->has_others)
        TDBG_TRY(tdbg_engine_start_reductions(e, step, 0, err));
out:
    return st;
}

/* All lanes of this rank, one after the other, folded by the aligned binary tree over the lane
 * number with a stack of partial sums: bit l of the count of lanes so far says whether level l
 * holds the sum of an aligned block of 2^l lanes.
 *
 *     lane 0 1 2 3 4:   [0] -> [01] -> [01][2] -> [0123] -> [0123][4] -> end: [0123]+[4]
 */
enum tdbg_status tdbg_engine_run_lanes(struct tdbg_engine *e, int64_t step, int64_t n,
                                       float **folded, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = e->backend;
    tdbg_engine_round_params(e);
    if (e->n_slots > 1)
        return run_lanes_together(e, step, n, folded, err);
    float *level[TDBG_MAX_FOLD_LEVELS] = {0}, *spare[TDBG_MAX_FOLD_LEVELS];
    int n_spare = e->n_flat_pool;
    memcpy(spare, e->flat_pool, (size_t)n_spare * sizeof spare[0]);
    for (int32_t lane = 0; lane < e->info.n_lanes; lane++) {
        float *sums = spare[--n_spare];
        if (e->has_others && lane == e->info.n_lanes - 1) {
            begin_fold(e, level, sums);
            *folded = e->fold.result;
            return run_lane(e, step, n, lane, sums, err);
        }
        TDBG_TRY(run_lane(e, step, n, lane, sums, err));
        int l = 0;
        for (; level[l]; l++) {
            be->vector_add(be->context, e->flat_elems, level[l], sums);
            spare[n_spare++] = sums;
            sums = level[l];
            level[l] = NULL;
        }
        level[l] = sums;
    }
    float *sum = NULL;
    for (int l = 0; l < TDBG_MAX_FOLD_LEVELS; l++) {
        if (level[l] && sum)
            be->vector_add(be->context, e->flat_elems, level[l], sum);
        sum = level[l] ? level[l] : sum;
    }
    *folded = sum;
out:
    return st;
}

static enum tdbg_status evaluate(struct tdbg_engine *e, int64_t step, int64_t *wait_ns,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    if (e->info.rank == 0)
        TDBG_TRY(tdbg_engine_evaluate(e, err));
    TDBG_TRY(tdbg_engine_share_evaluation(e, step, wait_ns, err));
    TDBG_TRY(
        tdbg_engine_show(e, step, e->table.eval_loss, &e->scalar[SCALAR_EVAL_LOSS], 1, -1, err));
    if (e->table.eval_accuracy >= 0)
        TDBG_TRY(tdbg_engine_show(e, step, e->table.eval_accuracy, &e->scalar[SCALAR_EVAL_ACCURACY],
                                  1, -1, err));
out:
    return st;
}

bool tdbg_engine_evaluates(const struct tdbg_engine *e, int64_t step)
{
    return e->eval_every > 0 && e->eval_samples > 0 &&
           ((step + 1) % e->eval_every == 0 || step + 1 == e->info.total_steps);
}

enum tdbg_status tdbg_engine_run_step(struct tdbg_engine *e, int64_t step,
                                      struct tdbg_step_info *info, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_info done = {.step = step, .epoch = step / e->info.steps_per_epoch};
    float *sums = NULL, *reduced = NULL;
    /* rounded once, here: what hyper/lr shows is all that the optimizer sees */
    done.lr = (float)tdbg_schedule_lr(&e->schedule, step);
    done.start_ns = e->source.ops->clock_ns(e->source.self);
    if (e->backend->begin_step)
        e->backend->begin_step(e->backend->context, !e->is_disturbed);
    for (int i = 0; i < e->n_taps; i++)
        if (e->taps[i].ops->begin_step)
            TDBG_TRY(e->taps[i].ops->begin_step(e->taps[i].self, step, err));
    TDBG_TRY(e->source.ops->train_batch(e->source.self, step, e->info.batch, &done.samples,
                                        e->host_id, e->host_x, e->host_y, err));
    TDBG_ASSERT(done.samples > 0 && done.samples <= e->info.batch);
    TDBG_TRY(tdbg_engine_upload_batch(e, done.samples, NULL, err));
    TDBG_TRY(tdbg_engine_weigh_samples(e, done.samples, err));
    TDBG_TRY(show_samples(e, step, done.samples, err));
    TDBG_TRY(show_start(e, step, done.lr, err));
    TDBG_TRY(tdbg_engine_run_lanes(e, step, done.samples, &sums, err));
    TDBG_TRY(tdbg_engine_reduce(e, step, sums, &reduced, &done.wait_ns, err));
    TDBG_TRY(tdbg_engine_divide(e, step, reduced, err));
    TDBG_TRY(tdbg_engine_update(e, step, (double)done.lr, err));
    /* behind all else, because it waits for the device */
    TDBG_TRY(e->backend->to_host(e->backend->context, &done.loss, &e->scalar[SCALAR_LOSS],
                                 sizeof done.loss, err));
    done.evaluated = tdbg_engine_evaluates(e, step);
    if (done.evaluated)
        TDBG_TRY(evaluate(e, step, &done.wait_ns, err));
    done.duration_ns = e->source.ops->clock_ns(e->source.self) - done.start_ns;
    for (int i = 0; i < e->n_taps; i++)
        if (e->taps[i].ops->end_step)
            TDBG_TRY(e->taps[i].ops->end_step(e->taps[i].self, &done, err));
    if (info)
        *info = done;
out:
    if (st != TDBG_OK)
        tdbg_engine_drain_reductions(e, step);
    return st;
}
