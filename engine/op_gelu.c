/* gelu: y = x Phi(x), element by element, as torch.nn.GELU; exact, or by tanh. */
#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"approximate", TDBG_OPT_ENUM, "", 0, 0, "none|tanh", "\"none\"", 0,
     "Normal distribution exactly (\"none\"), or by the tanh formula of BERT and GPT-2."},
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    enum tdbg_activation *kind = tdbg_arena_alloc(build->graph->arena, sizeof *kind);
    *kind = strcmp(tdbg_cfg_string(cfg, "approximate"), "tanh") == 0 ? TDBG_ACTIVATION_GELU_TANH
                                                                     : TDBG_ACTIVATION_GELU_ERF;
    return kind;
}

static enum tdbg_activation kind_of(const struct tdbg_op_run *run)
{
    return *(const enum tdbg_activation *)run->node->settings;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    (void)build;
    node->shape = node->in_shape[0];
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    run->backend->activation_forward(run->backend->context, kind_of(run),
                                     run->rows * run->node->elems, run->x, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    if (run->dx)
        run->backend->activation_backward(run->backend->context, kind_of(run),
                                          run->rows * run->node->elems, run->x, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_gelu = {
    .kind = {"gelu", {options, sizeof options / sizeof options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .read = read_settings,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
