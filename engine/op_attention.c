/* attention: self-attention with several heads, as torch.nn.MultiheadAttention with batch_first. It
 * stands for several nodes, so that each step can be looked at:
 *
 *     x -> qkv -> rotary -+-> scores -> probs -> dropout -> context -> out -> y
 *                         \----------------------------------^
 *
 * under "<name>.", without rotary and dropout where they are not wanted. Parameters are called as
 * PyTorch calls them: "<name>.in_proj_weight", "<name>.out_proj.weight". The pieces in the middle
 * are in op_attention_parts.c. */
#include <math.h>

#include "engine/op_attention.h"

static const struct tdbg_option options[] = {
    {"heads", TDBG_OPT_INT, "heads", 1, 65536, NULL, NULL, TDBG_OPT_REQUIRED,
     "Heads, each of features / heads elements."},
    {"kv_heads", TDBG_OPT_INT, "heads", 1, 65536, NULL, NULL, 0,
     "Heads of keys and values, each for heads / kv_heads heads of queries; default: heads."},
    {"causal", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0, "A token sees no later one."},
    {"padding_mask", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "No token sees the padding at the end of a sample (data.tokens.pad)."},
    {"scale", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0,
     "Divide scores by the square root of a head's elements."},
    {"dropout", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.0", 0,
     "Share of the probabilities that is zeroed in training."},
    {"rotary", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0,
     "Turn queries and keys by their position (element i with i + half of the head, as Llama)."},
    {"rotary_base", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "10000.0", TDBG_OPT_ABOVE_MIN,
     "Ratio of the fastest to the slowest turn."},
    {"bias", TDBG_OPT_BOOL, "", 0, 0, NULL, "true", 0, "Add learned biases to both products."},
    TDBG_INIT_OPTIONS("default is xavier_uniform for in_proj_weight, uniform in +-1/sqrt(in) for "
                      "out_proj.weight, and zero for biases"),
};

static const char *piece_name(struct tdbg_graph_build *build, const char *name, const char *piece)
{
    return tdbg_arena_printf(build->graph->arena, "%s.%s", name, piece);
}

/* The settings that all pieces share, or NULL after a diagnostic. */
static const struct tdbg_attention_settings *read_settings(struct tdbg_graph_build *build,
                                                           const struct tdbg_cfg_node *cfg,
                                                           const char *name,
                                                           const struct tdbg_shape *in)
{
    char text[128];
    const bool masks_padding = build->graph->pad >= 0 && tdbg_cfg_bool(cfg, "padding_mask");
    const int64_t heads = tdbg_cfg_int(cfg, "heads");
    const int64_t kv_heads = tdbg_cfg_find(cfg, "kv_heads") ? tdbg_cfg_int(cfg, "kv_heads") : heads;
    const bool rotary = tdbg_cfg_bool(cfg, "rotary");
    const char *wrong = NULL, *hint = NULL;
    if (in->ndim != 2)
        wrong = "attention '%s' wants sequences of shape (tokens, features), not %s";
    else if (in->dims[1] % heads != 0)
        wrong = "attention '%s': heads does not divide the features of %s";
    else if (heads % kv_heads != 0)
        wrong = "attention '%s': kv_heads does not divide heads; its samples are %s";
    else if (rotary && (in->dims[1] / heads % 2 != 0 || in->dims[0] > 1000000))
        wrong = "attention '%s': rotary wants heads of an even number of elements and at most 10^6 "
                "tokens; its samples are %s";
    if (!wrong && masks_padding && in->dims[0] != build->graph->sample_elems) {
        wrong = "attention '%s' cannot tell padding (data.tokens.pad) in sequences of another "
                "length than the samples': %s";
        hint = "padding_mask = false; lets it see all tokens";
    }
    if (wrong) {
        tdbg_config_report(build->config, cfg, hint, wrong, name,
                           tdbg_shape_text(in, text, sizeof text));
        return NULL;
    }
    struct tdbg_attention_settings *s = tdbg_arena_alloc(build->graph->arena, sizeof *s);
    const int64_t dim = in->dims[1] / heads;
    s->masks_padding = masks_padding;
    s->attention = (struct tdbg_attention){
        .tokens = in->dims[0],
        .heads = heads,
        .kv_heads = kv_heads,
        .dim = dim,
        .scale = tdbg_cfg_bool(cfg, "scale") ? (float)(1 / sqrt((double)dim)) : 1,
        .causal = tdbg_cfg_bool(cfg, "causal")};
    if (rotary)
        tdbg_attention_add_rotary(build->graph->arena, s, tdbg_cfg_float(cfg, "rotary_base"));
    return s;
}

static bool add(struct tdbg_graph_build *build, const struct tdbg_op_class *op, const char *name,
                const struct tdbg_cfg_node *cfg, const void *settings, int32_t *at)
{
    *at = tdbg_graph_add_node(build, op, name, cfg, settings, at, 1);
    return *at >= 0;
}

static bool add_linear(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg,
                       const char *name, const char *piece, int64_t out, int32_t *at)
{
    struct tdbg_arena *arena = build->graph->arena;
    const bool first = strcmp(piece, "qkv") == 0;
    const char *prefix = first ? "in_proj_" : "out_proj.";
    struct tdbg_linear *s = tdbg_arena_alloc(arena, sizeof *s);
    *s = (struct tdbg_linear){.out = out,
                              .bias = tdbg_cfg_bool(cfg, "bias"),
                              .zero_bias = true,
                              .init = tdbg_init_read(cfg),
                              .weight_name = tdbg_arena_printf(arena, "%s.%sweight", name, prefix),
                              .bias_name = tdbg_arena_printf(arena, "%s.%sbias", name, prefix)};
    if (first && strcmp(tdbg_cfg_string(cfg, "init"), "default") == 0)
        s->init.name = "xavier_uniform";
    return add(build, &tdbg_op_linear, piece_name(build, name, piece), cfg, s, at);
}

/* A node of the kind "dropout" on the probabilities. */
static bool add_dropout(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg,
                        const char *name, int32_t *at)
{
    const struct tdbg_op_class *dropout = tdbg_op_find("dropout");
    if (!dropout) {
        tdbg_config_report(build->config, cfg, NULL, "attention '%s': dropout is not supported",
                           name);
        return false;
    }
    double *p = tdbg_arena_alloc(build->graph->arena, sizeof *p); /* its settings */
    *p = tdbg_cfg_float(cfg, "dropout");
    return add(build, dropout, piece_name(build, name, "dropout"), cfg, p, at);
}

static bool expand(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg,
                   const char *name, int32_t *at)
{
    const struct tdbg_shape in = *tdbg_graph_shape(build->graph, *at);
    const struct tdbg_attention_settings *s = read_settings(build, cfg, name, &in);
    if (!s)
        return false;
    const struct tdbg_attention *a = &s->attention;
    if (!add_linear(build, cfg, name, "qkv", (a->heads + 2 * a->kv_heads) * a->dim, at))
        return false;
    if (s->cos && !add(build, &tdbg_op_attn_rotary, piece_name(build, name, "rotary"), cfg, s, at))
        return false;
    const int32_t qkv = *at;
    if (!add(build, &tdbg_op_attn_scores, piece_name(build, name, "scores"), cfg, s, at) ||
        !add(build, &tdbg_op_attn_softmax, piece_name(build, name, "probs"), cfg, s, at))
        return false;
    if (tdbg_cfg_float(cfg, "dropout") > 0 && !add_dropout(build, cfg, name, at))
        return false;
    *at = tdbg_graph_add_node(build, &tdbg_op_attn_context, piece_name(build, name, "context"), cfg,
                              s, (int32_t[]){*at, qkv}, 2);
    return *at >= 0 && add_linear(build, cfg, name, "out", in.dims[1], at);
}

const struct tdbg_op_class tdbg_op_attention = {
    .kind = {"attention", {options, sizeof options / sizeof options[0]}},
    .expand = expand,
};
