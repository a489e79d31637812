/* avg_pool2d: the mean of each window, channel by channel, as torch.nn.AvgPool2d. */
#include "engine/op_pool2d.h"

static const struct tdbg_option options[] = {
    TDBG_WINDOW_KERNEL,
    TDBG_WINDOW_STRIDE(NULL, "; default: the kernel"),
    TDBG_WINDOW_PADDING("zeros, at most half of the kernel"),
    {"count_include_pad", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Divide by the kernel's area also where part of the window is padding."},
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct tdbg_pool_settings *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct tdbg_pool_settings){.window = tdbg_window_read(cfg),
                                     .include_pad = tdbg_cfg_bool(cfg, "count_include_pad")};
    return s;
}

static void forward(const struct tdbg_op_run *run)
{
    const struct tdbg_pool2d pool = tdbg_pool_of(run->node, run->rows);
    run->backend->avg_pool2d_forward(run->backend->context, &pool, run->x, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_pool2d pool = tdbg_pool_of(run->node, run->rows);
    if (run->dx)
        run->backend->avg_pool2d_backward(run->backend->context, &pool, run->dy, run->dx);
}

const struct tdbg_op_class tdbg_op_avg_pool2d = {
    .kind = {"avg_pool2d", {options, sizeof options / sizeof options[0]}},
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .read = read_settings,
    .shape = tdbg_pool_shape,
    .forward = forward,
    .backward = backward,
};
