/* batch_norm: samples (C), (C, L) or (C, H, W) normalised by channel, as torch.nn.BatchNorm1d and
 * 2d. Training takes the statistics of one part, a lane's micro-batch, by itself, and running
 * statistics are each lane's own; with `sync` they are those of the micro-batch in all lanes, as
 * torch.nn.SyncBatchNorm, by folds between the stages of kernels/batch_norm.h:
 *
 *     blocks -> [sum] -> spread -> [spread] -> finish -> apply        backward: [sum] -> dx
 *
 * What a synchronised node keeps for a part:
 *
 *     saved: [ stats 3C | sum C | own sums 2C | folded sums 2C | parts ] */
#include "engine/op.h"
#include "kernels/batch_norm.h"

struct batch_norm {
    float eps, momentum;
    bool affine, track, sync;
};

static const struct tdbg_option options[] = {
    {"eps", TDBG_OPT_FLOAT, "", 0, 1, NULL, "1e-5", 0, "Added to the variance."},
    {"momentum", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.1", 0,
     "Weight of a micro-batch's statistics in the running ones."},
    {"affine", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Multiply by a learned weight and add a learned bias."},
    {"track_running_stats", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Evaluate by running statistics; false: by those of the evaluated samples."},
    {"sync", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0,
     "Take the statistics of a micro-batch over all lanes; false: of each lane by itself."},
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct batch_norm *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct batch_norm){.eps = (float)tdbg_cfg_float(cfg, "eps"),
                             .momentum = (float)tdbg_cfg_float(cfg, "momentum"),
                             .affine = tdbg_cfg_bool(cfg, "affine"),
                             .track = tdbg_cfg_bool(cfg, "track_running_stats"),
                             .sync = tdbg_cfg_bool(cfg, "sync")};
    return s;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct batch_norm *s = node->settings;
    const struct tdbg_shape *in = &node->in_shape[0];
    if (in->ndim < 1 || in->ndim > 3) {
        char text[128];
        tdbg_config_report(build->config, node->cfg, NULL,
                           "batch_norm '%s' wants samples of shape (C), (C, L) or (C, H, W), not "
                           "%s",
                           node->name, tdbg_shape_text(in, text, sizeof text));
        return false;
    }
    node->shape = *in;
    const struct tdbg_shape channels = {1, {in->dims[0]}};
    if (s->affine) {
        tdbg_graph_add_param(build, node, "weight", NULL, channels,
                             (struct tdbg_init){.kind = TDBG_INIT_ONES});
        tdbg_graph_add_param(build, node, "bias", NULL, channels,
                             (struct tdbg_init){.kind = TDBG_INIT_ZEROS});
    }
    if (s->track) {
        tdbg_graph_add_buffer(build, node, "running_mean", channels, 0, s->sync);
        tdbg_graph_add_buffer(build, node, "running_var", channels, 1, s->sync);
    }
    return true;
}

static struct tdbg_batch_norm norm_of(const struct tdbg_node *node, int64_t samples)
{
    const struct batch_norm *s = node->settings;
    const int64_t channels = node->in_shape[0].dims[0];
    return (struct tdbg_batch_norm){samples, channels,
                                    channels > 0 ? node->in_elems[0] / channels : 0, s->eps};
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    (void)backend;
    const struct tdbg_batch_norm norm = norm_of(node, rows);
    return tdbg_batch_norm_workspace_bytes(&norm);
}

static bool is_sync(const struct tdbg_node *node)
{
    return ((const struct batch_norm *)node->settings)->sync;
}

enum { SAVED_STATS = 3, SAVED_SUM = 1, SAVED_SUMS = 4 }; /* per channel, before the parts */

static int64_t saved_elems(const struct tdbg_node *node, int64_t rows)
{
    const struct tdbg_batch_norm norm = norm_of(node, rows);
    if (!is_sync(node))
        return tdbg_batch_norm_stats_elems(&norm);
    return (SAVED_STATS + SAVED_SUM + SAVED_SUMS) * norm.channels +
           tdbg_batch_norm_parts_elems(&norm);
}

struct saved {
    float *stats, *sum, *own, *folded, *parts;
};

static struct saved saved_of(const struct tdbg_op_run *run)
{
    const int64_t channels = run->node->in_shape[0].dims[0];
    struct saved s = {.stats = run->saved};
    s.sum = s.stats + SAVED_STATS * channels;
    s.own = s.sum + SAVED_SUM * channels;
    s.folded = s.own + 2 * channels;
    s.parts = s.folded + 2 * channels;
    return s;
}

static size_t sums_bytes(const struct tdbg_batch_norm *norm, int64_t n)
{
    return (size_t)(n * norm->channels) * sizeof(float);
}

/* Elements of a channel in the micro-batch, over all lanes. */
static int64_t count_all(const struct tdbg_op_run *run, const struct tdbg_batch_norm *norm)
{
    return run->all_rows * norm->inner;
}

static struct tdbg_shape one_per_channel(const struct tdbg_node *node)
{
    return (struct tdbg_shape){1, {node->in_shape[0].dims[0]}};
}

static struct tdbg_shape two_per_channel(const struct tdbg_node *node)
{
    return (struct tdbg_shape){2, {2, node->in_shape[0].dims[0]}};
}

static void give_sum(const struct tdbg_op_run *run, float *sum)
{
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const struct saved s = saved_of(run);
    be->fill_zero(be->context, sum, sums_bytes(&norm, 1));
    if (run->rows == 0)
        return;
    be->batch_norm_blocks(be->context, &norm, run->x, s.parts);
    be->batch_norm_sum(be->context, &norm, s.parts, sum);
}

static void take_sum(const struct tdbg_op_run *run, const float *own, const float *folded)
{
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    (void)own;
    run->backend->copy(run->backend->context, saved_of(run).sum, folded, sums_bytes(&norm, 1));
}

static void give_spread(const struct tdbg_op_run *run, float *spread)
{
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const struct saved s = saved_of(run);
    be->fill_zero(be->context, spread, sums_bytes(&norm, 2));
    if (run->rows > 0)
        be->batch_norm_spread(be->context, &norm, s.parts, s.sum, count_all(run, &norm), spread);
}

/* All parts finish with the same statistics; running ones are one set. */
static void take_spread(const struct tdbg_op_run *run, const float *own, const float *folded)
{
    const struct batch_norm *settings = run->node->settings;
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const struct saved s = saved_of(run);
    const int64_t count = count_all(run, &norm);
    (void)own;
    if (count == 0)
        return;
    be->batch_norm_finish(be->context, &norm, s.sum, folded, count, s.stats);
    if (settings->track && run->leads)
        be->batch_norm_track(be->context, &norm, s.stats, folded, count, settings->momentum,
                             run->buffer[0], run->buffer[1]);
}

static void give_sums(const struct tdbg_op_run *run, float *sums)
{
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const struct saved s = saved_of(run);
    be->fill_zero(be->context, sums, sums_bytes(&norm, 2));
    if (run->rows > 0)
        be->batch_norm_sums(be->context, &norm, run->x, s.stats, run->dy, s.parts, sums);
}

static void take_sums(const struct tdbg_op_run *run, const float *own, const float *folded)
{
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const struct saved s = saved_of(run);
    be->copy(be->context, s.own, own, sums_bytes(&norm, 2));
    be->copy(be->context, s.folded, folded, sums_bytes(&norm, 2));
}

static const struct tdbg_op_fold sync_folds[] = {
    {"sum", false, one_per_channel, give_sum, take_sum},
    {"spread", false, two_per_channel, give_spread, take_spread},
    {"sum", true, two_per_channel, give_sums, take_sums},
};

static const struct tdbg_op_fold *folds(const struct tdbg_node *node, int32_t *n)
{
    *n = is_sync(node) ? (int32_t)(sizeof sync_folds / sizeof *sync_folds) : 0;
    return sync_folds;
}

static void forward(const struct tdbg_op_run *run)
{
    const struct batch_norm *s = run->node->settings;
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    const struct tdbg_backend *be = run->backend;
    const float *weight = s->affine ? run->param[0] : NULL,
                *bias = s->affine ? run->param[1] : NULL;
    float *mean = s->track ? run->buffer[0] : NULL, *var = s->track ? run->buffer[1] : NULL;
    if (s->sync && run->training) {
        if (run->rows > 0)
            be->batch_norm_apply(be->context, &norm, run->x, run->saved, weight, bias, run->y);
    } else if (s->track && !run->training) {
        be->batch_norm_evaluate(be->context, &norm, run->x, weight, bias, mean, var, run->y,
                                run->saved);
    } else {
        be->batch_norm_forward(be->context, &norm, run->x, weight, bias, s->momentum, mean, var,
                               run->y, run->saved, run->workspace);
    }
}

/* A part's gradients of weight and bias are sums over its own samples. */
static void backward_sync(const struct tdbg_op_run *run, const struct tdbg_batch_norm *norm)
{
    const struct tdbg_backend *be = run->backend;
    const struct saved s = saved_of(run);
    const bool affine = ((const struct batch_norm *)run->node->settings)->affine;
    if (affine) {
        be->copy(be->context, run->grad[1], s.own, sums_bytes(norm, 1));
        be->copy(be->context, run->grad[0], s.own + norm->channels, sums_bytes(norm, 1));
    }
    if (run->dx && run->rows > 0)
        be->batch_norm_dx(be->context, norm, run->x, s.stats, affine ? run->param[0] : NULL,
                          run->dy, s.folded, count_all(run, norm), run->dx);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct batch_norm *s = run->node->settings;
    const struct tdbg_batch_norm norm = norm_of(run->node, run->rows);
    if (s->sync) {
        backward_sync(run, &norm);
        return;
    }
    run->backend->batch_norm_backward(
        run->backend->context, &norm, run->x, s->affine ? run->param[0] : NULL, run->saved, run->dy,
        run->dx, s->affine ? run->grad[0] : NULL, s->affine ? run->grad[1] : NULL, run->workspace);
}

const struct tdbg_op_class tdbg_op_batch_norm = {
    .kind = {"batch_norm", {options, sizeof options / sizeof options[0]}},
    .unread = TDBG_OP_Y,
    .read = read_settings,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .saved_elems = saved_elems,
    .folds = folds,
    .forward = forward,
    .backward = backward,
};
