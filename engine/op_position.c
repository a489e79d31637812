/* position: y = x + table, a row for every position of the sequence: learned, weight (tokens,
 * features), or the sines and cosines of Vaswani et al. 2017. */
#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"kind", TDBG_OPT_ENUM, "", 0, 0, "learned|sinusoidal", "\"learned\"", 0,
     "What is added to a position: parameters of its own, or sines and cosines of it."},
    TDBG_INIT_OPTIONS("default is normal with standard deviation 1, as an embedding's"),
};

enum { MAX_TOKENS = 1000000 }; /* that the table is exact for */

struct settings {
    bool learned;
    struct tdbg_init_choice init;
    const float *table; /* (tokens, features) unless learned */
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct settings *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct settings){.learned = strcmp(tdbg_cfg_string(cfg, "kind"), "learned") == 0,
                           .init = tdbg_init_read(cfg)};
    return s;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    char text[128];
    const struct settings *s = node->settings;
    const struct tdbg_shape *in = &node->in_shape[0];
    if (in->ndim != 2 || in->dims[0] > MAX_TOKENS) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "position '%s' wants sequences of shape (tokens, features) with at most "
                           "%d tokens, not %s",
                           node->name, (int)MAX_TOKENS, tdbg_shape_text(in, text, sizeof text));
        return false;
    }
    node->shape = *in;
    if (s->learned) {
        const struct tdbg_init standard = {.kind = TDBG_INIT_NORMAL, .scale = 1};
        tdbg_graph_add_param(build, node, "weight", NULL, *in,
                             tdbg_init_weight(&s->init, in->dims[1], in->dims[0], standard));
        return true;
    }
    struct settings *own = tdbg_arena_alloc(build->graph->arena, sizeof *own);
    float *table =
        tdbg_arena_alloc(build->graph->arena, (size_t)tdbg_shape_elems(in) * sizeof *table);
    tdbg_position_sinusoidal(in->dims[0], in->dims[1], table);
    *own = *s;
    own->table = table;
    node->settings = own;
    return true;
}

static void forward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    const struct settings *s = run->node->settings;
    if (s->learned)
        be->position_add(be->context, run->rows, run->node->elems, run->x, run->param[0], run->y);
    else
        be->position_add_fixed(be->context, run->rows, run->node->elems, run->x, s->table, run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_backend *be = run->backend;
    const struct settings *s = run->node->settings;
    if (s->learned)
        be->reduce_rows(be->context, run->rows, run->node->elems, run->dy, run->grad[0]);
    if (run->dx)
        be->copy(be->context, run->dx, run->dy,
                 (size_t)(run->rows * run->node->elems) * run->act_bytes);
}

const struct tdbg_op_class tdbg_op_position = {
    .kind = {"position", {options, sizeof options / sizeof options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_X | TDBG_OP_Y,
    .read = read_settings,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
