/* reshape: a sample in another shape, the same memory. */
#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"dims", TDBG_OPT_INTS, "", 1, 1 << 24, NULL, NULL, TDBG_OPT_REQUIRED,
     "Shape of a sample afterwards, with as many elements as before: [4, 7, 7]."},
};

static void check(struct tdbg_config *config, const struct tdbg_cfg_node *cfg)
{
    const struct tdbg_cfg_node *dims = tdbg_cfg_find(cfg, "dims");
    if (dims && dims->type == TDBG_CFG_LIST &&
        (dims->n_child < 1 || dims->n_child > TDBG_MAX_SHAPE))
        tdbg_config_report(config, dims, NULL, "reshape wants 1 to %d dimensions, not %d",
                           (int)TDBG_MAX_SHAPE, dims->n_child);
}

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct tdbg_shape *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    const struct tdbg_cfg_node *dims = tdbg_cfg_find(cfg, "dims");
    s->ndim = dims->n_child;
    for (int32_t d = 0; d < s->ndim; d++)
        s->dims[d] = dims->child[d]->i;
    return s;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    char have[128], want[128];
    int64_t left = node->in_elems[0];
    node->shape = *(const struct tdbg_shape *)node->settings;
    for (int32_t d = 0; d < node->shape.ndim; d++) /* no product: it might overflow */
        left = left % node->shape.dims[d] == 0 ? left / node->shape.dims[d] : 0;
    if (left == 1)
        return true;
    tdbg_config_report(build->config, node->cfg, NULL,
                       "reshape '%s' cannot make %s of %s: another number of elements", node->name,
                       tdbg_shape_text(&node->shape, want, sizeof want),
                       tdbg_shape_text(&node->in_shape[0], have, sizeof have));
    return false;
}

const struct tdbg_op_class tdbg_op_reshape = {
    .kind = {"reshape", {options, sizeof options / sizeof options[0]}},
    .is_narrow = true,
    .is_view = true,
    .check = check,
    .read = read_settings,
    .shape = shape,
};
