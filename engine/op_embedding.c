/* embedding: row x[t] of a table for every token, weight (vocab, dim), as torch.nn.Embedding. */
#include "engine/op.h"

static const struct tdbg_option options[] = {
    {"dim", TDBG_OPT_INT, "features", 1, 1 << 24, NULL, NULL, TDBG_OPT_REQUIRED,
     "Features of a token."},
    {"vocab", TDBG_OPT_INT, "tokens", 1, 1 << 30, NULL, NULL, 0,
     "Rows of the table; default: as many tokens as the data has."},
    {"padding_idx", TDBG_OPT_INT, "", 0, 1 << 30, NULL, NULL, 0,
     "A token whose row begins with zeros and gets no gradient, as in PyTorch; default: none."},
    TDBG_INIT_OPTIONS("default is normal with standard deviation 1"),
};

struct settings {
    int64_t dim, vocab, padding_idx; /* vocab 0: the data's; padding_idx -1: none */
    struct tdbg_init_choice init;
};

static const void *read_settings(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg)
{
    struct settings *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    *s = (struct settings){
        .dim = tdbg_cfg_int(cfg, "dim"),
        .vocab = tdbg_cfg_find(cfg, "vocab") ? tdbg_cfg_int(cfg, "vocab") : 0,
        .padding_idx = tdbg_cfg_find(cfg, "padding_idx") ? tdbg_cfg_int(cfg, "padding_idx") : -1,
        .init = tdbg_init_read(cfg)};
    return s;
}

static int64_t data_vocab(const struct tdbg_graph *graph)
{
    const int64_t train = graph->data[TDBG_SET_TRAIN].vocab,
                  eval = graph->data[TDBG_SET_EVAL].vocab;
    return train > eval ? train : eval;
}

static bool shape(struct tdbg_graph_build *build, struct tdbg_node *node)
{
    const struct settings *s = node->settings;
    const struct tdbg_shape *in = &node->in_shape[0];
    const int64_t need = data_vocab(build->graph), vocab = s->vocab > 0 ? s->vocab : need;
    TDBG_ASSERT(in->ndim < TDBG_MAX_SHAPE);
    if (vocab < need) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           "embedding '%s' has %lld rows, but the data has tokens up to %lld",
                           node->name, (long long)vocab, (long long)need - 1);
        return false;
    }
    if (s->padding_idx >= vocab || s->dim > TDBG_MAX_PARAM_ELEMS / vocab) {
        tdbg_config_report(build->config, node->cfg, NULL,
                           s->padding_idx >= vocab
                               ? "embedding '%s': padding_idx is not one of its %lld rows"
                               : "embedding '%s' with %lld rows would have a weight of more than "
                                 "2^31 elements",
                           node->name, (long long)vocab);
        return false;
    }
    node->shape = *in;
    node->shape.dims[node->shape.ndim++] = s->dim;
    const struct tdbg_init standard = {.kind = TDBG_INIT_NORMAL, .scale = 1};
    struct tdbg_init init = tdbg_init_weight(&s->init, s->dim, vocab, standard);
    if (s->padding_idx >= 0) {
        init.zero_from = s->padding_idx * s->dim;
        init.zero_to = init.zero_from + s->dim;
    }
    tdbg_graph_add_param(build, node, "weight", NULL, (struct tdbg_shape){2, {vocab, s->dim}},
                         init);
    struct settings *found = tdbg_arena_alloc(build->graph->arena, sizeof *found);
    *found = *s;
    found->vocab = vocab;
    node->settings = found;
    return true;
}

static struct tdbg_embedding embedding_of(const struct tdbg_node *node, int64_t rows,
                                          const int32_t *tokens)
{
    const struct settings *s = node->settings;
    return (struct tdbg_embedding){.vocab = s->vocab,
                                   .dim = s->dim,
                                   .n = rows * node->in_elems[0],
                                   .tokens = tokens,
                                   .padding_idx = s->padding_idx};
}

static size_t workspace_bytes(const struct tdbg_backend *backend, const struct tdbg_node *node,
                              int64_t rows)
{
    const struct tdbg_embedding e = embedding_of(node, rows, NULL);
    return backend->embedding_workspace_bytes(backend->context, &e);
}

static void forward(const struct tdbg_op_run *run)
{
    const struct tdbg_embedding e = embedding_of(run->node, run->rows, run->index);
    run->backend->embedding_forward(run->backend->context, &e, run->param[0], run->y);
}

static void backward(const struct tdbg_op_run *run)
{
    const struct tdbg_embedding e = embedding_of(run->node, run->rows, run->index);
    run->backend->embedding_backward(run->backend->context, &e, run->dy, run->grad[0],
                                     run->workspace);
}

const struct tdbg_op_class tdbg_op_embedding = {
    .kind = {"embedding", {options, sizeof options / sizeof options[0]}},
    .is_narrow = true,
    .unread = TDBG_OP_Y,
    .takes_index = true,
    .read = read_settings,
    .shape = shape,
    .workspace_bytes = workspace_bytes,
    .forward = forward,
    .backward = backward,
};
