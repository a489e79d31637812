/* block and residual: lists of ops under one name, several times if wanted.
 *
 *     block:     x -> body -> y
 *     residual:  x -> body -> (+) -> y
 *                 \-> shortcut -^
 *
 * With repeat = n the names are "<name>1." to "<name>n.", else "<name>."; the sum of a residual has
 * the name without the dot. */
#include "engine/op.h"

static const struct tdbg_option block_options[] = {
    {"body", TDBG_OPT_LIST, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "The ops inside, as in 'model'."},
    {"repeat", TDBG_OPT_INT, "times", 1, 1024, NULL, "1", 0,
     "How many of them stand behind each other, each with parameters of its own."},
};
static const struct tdbg_option residual_options[] = {
    {"body", TDBG_OPT_LIST, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "The ops whose result is added to what they read, as in 'model'."},
    {"shortcut", TDBG_OPT_LIST, "", 0, 0, NULL, "()", 0,
     "Ops on the other way, where the body changes the shape; empty: none."},
    {"repeat", TDBG_OPT_INT, "times", 1, 1024, NULL, "1", 0,
     "How many of them stand behind each other, each with parameters of its own."},
};

static const char *numbered(struct tdbg_graph_build *build, const char *name, int64_t number,
                            int64_t count)
{
    return count == 1 ? name
                      : tdbg_arena_printf(build->graph->arena, "%s%lld", name, (long long)number);
}

static bool expand_block(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg,
                         const char *name, int32_t *at)
{
    const int64_t repeat = tdbg_cfg_int(cfg, "repeat");
    for (int64_t i = 1; i <= repeat; i++) {
        const char *prefix =
            tdbg_arena_printf(build->graph->arena, "%s.", numbered(build, name, i, repeat));
        if (!tdbg_graph_add_list(build, tdbg_cfg_find(cfg, "body"), prefix, at))
            return false;
    }
    return true;
}

static bool expand_residual(struct tdbg_graph_build *build, const struct tdbg_cfg_node *cfg,
                            const char *name, int32_t *at)
{
    const int64_t repeat = tdbg_cfg_int(cfg, "repeat");
    for (int64_t i = 1; i <= repeat; i++) {
        const char *own = numbered(build, name, i, repeat);
        const char *prefix = tdbg_arena_printf(build->graph->arena, "%s.", own);
        int32_t body = *at, skip = *at;
        if (!tdbg_graph_add_list(build, tdbg_cfg_find(cfg, "shortcut"), prefix, &skip) ||
            !tdbg_graph_add_list(build, tdbg_cfg_find(cfg, "body"), prefix, &body))
            return false;
        *at = tdbg_graph_add_node(build, &tdbg_op_add, own, cfg, NULL, (int32_t[]){body, skip}, 2);
        if (*at < 0)
            return false;
    }
    return true;
}

const struct tdbg_op_class tdbg_op_block = {
    .kind = {"block", {block_options, sizeof block_options / sizeof block_options[0]}},
    .expand = expand_block,
};
const struct tdbg_op_class tdbg_op_residual = {
    .kind = {"residual", {residual_options, sizeof residual_options / sizeof residual_options[0]}},
    .expand = expand_residual,
};
