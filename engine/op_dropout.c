/* dropout: in training each element is zeroed with probability p and else scaled by 1 / (1 - p), as
 * torch.nn.Dropout; identity in evaluation. Which ones is a function of the run's seed, the op's
 * name, the step, the sample's position in the global batch and the element, so that backward and
 * a replay make the same mask again. */
#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"p", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.5", 0, "Probability of an element to be zeroed."},
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    double *p = tdbg_arena_alloc(build->graph->arena, sizeof *p);
    *p = tdbg_cfg_float(cfg, "p");
    return p;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = node->in_shape[0];
    return true;
}

static void apply(const struct tdbg_op_run *run, const float *from, float *to)
{
    const struct tdbg_dropout dropout =
        tdbg_dropout_make(*(const double *)run->node->settings, run->seed, run->node->name,
                          run->step, run->first_sample);
    run->backend->dropout_apply(run->backend->context, &dropout, run->rows, run->node->elems, from,
                                to);
}

static void forward(const struct tdbg_op_run *run)
{
    if (run->training)
        apply(run, run->x, run->y);
    else
        run->backend->copy(run->backend->context, run->y, run->x,
                           (size_t)(run->rows * run->node->elems) * run->act_bytes);
}

static void backward(const struct tdbg_op_run *run)
{
    if (run->dx)
        apply(run, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_dropout = {
    .kind = {"dropout", {options, sizeof options / sizeof options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .read = read_settings,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
