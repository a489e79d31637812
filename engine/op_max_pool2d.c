/* max_pool2d: the largest element of each window, channel by channel, as torch.nn.MaxPool2d. */
#include "engine/op_pool2d.h"

static const struct tdbg_option options[] = {
    TDBG_WINDOW_KERNEL,
    TDBG_WINDOW_STRIDE(NULL, "; default: the kernel"),
    TDBG_WINDOW_PADDING("-Inf, at most half of the kernel"),
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct tdbg_pool_settings *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct tdbg_pool_settings){.window = tdbg_window_read(cfg)};
    return s;
}

static int64_t saved_elems(const struct tdbg_node *node, int64_t rows)
{
    return rows * node->elems; /* the place of each maximum, an int32 */
}

static void forward(const struct tdbg_op_run *run)
{
    const struct tdbg_pool2d pool = tdbg_pool_of(run->node, run->rows);
    run->backend->max_pool2d_forward(run->backend->context, &pool, run->x, run->y,
                                     (int32_t *)(void *)run->saved);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_pool2d pool = tdbg_pool_of(run->node, run->rows);
    if (run->dx)
        run->backend->max_pool2d_backward(run->backend->context, &pool,
                                          (const int32_t *)(const void *)run->saved, run->dy,
                                          run->dx);
}

const struct tdbg_op_class tdbg_op_max_pool2d = {
    .kind = {"max_pool2d", {options, sizeof options / sizeof options[0]}},
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .read = read_settings,
    .shape = tdbg_pool_shape,
    .saved_elems = saved_elems,
    .forward = forward,
    .backward = backward,
};
