/* Laying out the site table. See site_table.h for the order. */
#include "engine/site_table.h"

#include "engine/op.h"

/* The table while it grows: one pass counts, the second fills. */
struct layout {
    struct tdbg_arena *arena;
    struct tdbg_site *sites; /* NULL in the counting pass */
    int32_t n;
    int32_t first_lane, n_lanes, accumulate;
    int64_t rows; /* of the largest part */
    enum tdbg_dtype activations;
    bool weighs;
};

enum where { OF_STEP, OF_LANE, OF_PART };

static int32_t put(struct layout *l, enum where where, struct tdbg_site site)
{
    int32_t base = l->n;
    int32_t lanes = where == OF_STEP ? 1 : l->n_lanes,
            micros = where == OF_PART ? l->accumulate : 1;
    for (int32_t lane = 0; lane < lanes; lane++) {
        for (int32_t micro = 0; micro < micros; micro++, l->n++) {
            if (!l->sites)
                continue;
            site.lane = where == OF_STEP ? TDBG_LANE_ALL : l->first_lane + lane;
            site.micro = where == OF_PART ? micro : TDBG_LANE_ALL;
            l->sites[l->n] = site;
        }
    }
    return base;
}

static const char *site_name(struct layout *l, const char *stage, const char *tensor,
                             const char *suffix)
{
    if (!l->sites)
        return NULL; /* counting: names are not needed yet */
    return tdbg_arena_printf(l->arena, "%s/%s%s", stage, tensor, suffix);
}

static struct tdbg_site with_shape(struct tdbg_site site, const struct tdbg_shape *shape)
{
    site.ndim = shape->ndim;
    memcpy(site.dims, shape->dims, (size_t)shape->ndim * sizeof shape->dims[0]);
    return site;
}

/* A tensor with one row per sample of a part. */
static struct tdbg_site batched(struct layout *l, struct tdbg_site site,
                                const struct tdbg_shape *shape)
{
    site.batched = true;
    site.ndim = shape->ndim + 1;
    site.dims[0] = l->rows;
    memcpy(site.dims + 1, shape->dims, (size_t)shape->ndim * sizeof shape->dims[0]);
    return site;
}

static void put_samples(struct layout *l, const struct tdbg_graph *g, struct tdbg_site_table *t)
{
    const struct tdbg_shape scalar = {0};
    const struct tdbg_data_shape *train = &g->data[TDBG_SET_TRAIN];
    struct tdbg_site s = {.op = "data", .unit = "", .stage = TDBG_STAGE_SAMPLES};
    s.name = "samples/id";
    s.dtype = TDBG_DTYPE_I64;
    t->samples_id = put(l, OF_PART, batched(l, s, &scalar));
    s.name = "samples/x";
    s.dtype = train->x_dtype;
    t->samples_x = put(l, OF_PART, batched(l, s, &g->sample));
    s.name = "samples/y";
    s.dtype = train->y_dtype;
    struct tdbg_shape target = {.ndim = train->y_ndim};
    memcpy(target.dims, train->y_dims, (size_t)train->y_ndim * sizeof target.dims[0]);
    t->samples_y = put(l, OF_PART, batched(l, s, &target));
}

static void put_input(struct layout *l, const struct tdbg_graph *g, struct tdbg_site_table *t)
{
    const bool tokens = g->data[TDBG_SET_TRAIN].vocab > 0;
    struct tdbg_site s = {.name = "input/x",
                          .op = tokens ? "tokens" : "to_f32",
                          .unit = "",
                          .stage = TDBG_STAGE_INPUT,
                          .dtype = tokens ? TDBG_DTYPE_I32 : l->activations};
    t->input[0] = -1;
    if (g->n_transforms == 0)
        t->input[0] = put(l, OF_PART, batched(l, s, &g->input));
    for (int32_t i = 0; i < g->n_transforms; i++) {
        s.op = tdbg_transform_kind(&g->transforms[i]);
        s.name = "input/x"; /* the last one; those before it say where they stand */
        if (i < g->n_transforms - 1 && l->sites)
            s.name = tdbg_arena_printf(l->arena, "input/x.%d.%s", (int)i, s.op);
        t->input[i] = put(l, OF_PART, batched(l, s, &g->transforms[i].out));
    }
    const struct tdbg_shape scalar = {0};
    s = (struct tdbg_site){.name = "input/length",
                           .op = "length",
                           .unit = "tokens",
                           .stage = TDBG_STAGE_INPUT,
                           .dtype = TDBG_DTYPE_I32};
    t->length = g->pad >= 0 ? put(l, OF_PART, batched(l, s, &scalar)) : -1;
    s = (struct tdbg_site){.name = "input/weight",
                           .op = "weight",
                           .unit = "",
                           .stage = TDBG_STAGE_INPUT,
                           .dtype = TDBG_DTYPE_F32};
    t->weight = l->weighs ? put(l, OF_PART, batched(l, s, &scalar)) : -1;
}

/* What node i's forward or backward sums over all lanes: the parts' shares, and what comes out for
 * each micro-batch, which is a tensor of the step: beyond the first its name says which. */
static void put_folds(struct layout *l, const struct tdbg_graph *g, int32_t i, bool backward,
                      struct tdbg_site_table *t)
{
    int32_t n;
    const struct tdbg_node *node = &g->nodes[i];
    const struct tdbg_op_fold *folds = tdbg_op_folds(node, &n);
    const char *stage = backward ? "bwd" : "fwd";
    struct tdbg_site s = {
        .unit = "", .stage = backward ? TDBG_STAGE_BWD : TDBG_STAGE_FWD, .dtype = TDBG_DTYPE_F32};
    for (int32_t k = 0; k < n; k++) {
        if (folds[k].backward != backward)
            continue;
        const struct tdbg_shape shape = folds[k].shape(node);
        const char *name = site_name(l, stage, node->name, "");
        s.op = node->op->kind.name;
        if (name)
            s.name = tdbg_arena_printf(l->arena, "%s.%s_in", name, folds[k].name);
        t->fold_in[i][k] = put(l, OF_PART, with_shape(s, &shape));
        t->fold_out[i][k] = l->n;
        s.op = "all_reduce";
        for (int32_t micro = 0; micro < l->accumulate; micro++) {
            if (name)
                s.name = micro == 0 ? tdbg_arena_printf(l->arena, "%s.%s_out", name, folds[k].name)
                                    : tdbg_arena_printf(l->arena, "%s.%s_out.micro%d", name,
                                                        folds[k].name, (int)micro);
            put(l, OF_STEP, with_shape(s, &shape));
        }
    }
}

static void put_forward(struct layout *l, const struct tdbg_graph *g, struct tdbg_site_table *t)
{
    struct tdbg_site s = {.unit = "", .stage = TDBG_STAGE_FWD, .dtype = l->activations};
    for (int32_t i = 0; i < g->n_nodes; i++) {
        s.name = site_name(l, "fwd", g->nodes[i].name, "");
        s.op = g->nodes[i].op->kind.name;
        put_folds(l, g, i, false, t);
        t->fwd[i] = put(l, OF_PART, batched(l, s, &g->nodes[i].shape));
    }
    const struct tdbg_shape scalar = {0};
    s.stage = TDBG_STAGE_LOSS;
    s.dtype = TDBG_DTYPE_F32;
    s.unit = tdbg_loss_unit(&g->loss);
    s.op = tdbg_loss_kind(&g->loss);
    s.name = "loss/sample";
    t->loss_sample = put(l, OF_PART, batched(l, s, &scalar));
    s.op = "sum";
    s.name = "loss/sum";
    t->loss_sum = put(l, OF_PART, s);
    s.op = g->loss.mean ? "mean" : "sum";
    s.name = "loss";
    t->loss = put(l, OF_STEP, s);
}

static void put_backward(struct layout *l, const struct tdbg_graph *g, struct tdbg_site_table *t)
{
    struct tdbg_site s = {.unit = "", .stage = TDBG_STAGE_BWD, .dtype = l->activations};
    for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
        t->bwd[i] = -1;
        if (!g->nodes[i].needs_grad)
            continue;
        s.name = site_name(l, "bwd", g->nodes[i].name, "");
        /* the gradient of a node's output is made by the backward of the ops that read it */
        const int32_t reader = g->nodes[i].last_reader;
        if (l->sites)
            s.op = tdbg_arena_printf(l->arena, "%s_backward",
                                     reader >= 0 ? g->nodes[reader].op->kind.name
                                                 : tdbg_loss_kind(&g->loss));
        t->bwd[i] = put(l, OF_PART, batched(l, s, &g->nodes[i].shape));
        put_folds(l, g, i, true, t);
    }
}

/* One site per parameter in the order in which backward makes the gradients: last node first. */
static void put_gradients(struct layout *l, const struct tdbg_graph *g, enum tdbg_stage stage,
                          const char *op, enum where where, int32_t *out)
{
    struct tdbg_site s = {.unit = "", .stage = stage, .dtype = TDBG_DTYPE_F32, .op = op};
    for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
        const struct tdbg_node *node = &g->nodes[i];
        for (int32_t k = 0; k < node->n_params; k++) {
            const int32_t p = node->param[k];
            if (g->params[p].node != i) /* shared: its gradient is whole when its owner has run */
                continue;
            s.name = site_name(l, tdbg_stage_text(stage), g->params[p].name, "");
            out[p] = put(l, where, with_shape(s, &g->params[p].shape));
        }
    }
}

static void put_reduction(struct layout *l, const struct tdbg_graph *g, struct tdbg_site_table *t)
{
    const bool varies = tdbg_loss_divisor_varies(&g->loss);
    struct tdbg_site s = {.unit = tdbg_loss_unit(&g->loss), .dtype = TDBG_DTYPE_F32};
    struct tdbg_site divisor = {.unit = "", .dtype = TDBG_DTYPE_F32};
    put_gradients(l, g, TDBG_STAGE_REDUCE_IN, "accumulate", OF_LANE, t->reduce_in);
    s.stage = TDBG_STAGE_REDUCE_IN;
    s.op = "accumulate";
    s.name = "reduce_in/loss";
    t->reduce_in_loss = put(l, OF_LANE, s);
    divisor.stage = TDBG_STAGE_REDUCE_IN;
    divisor.op = "accumulate";
    divisor.name = "reduce_in/divisor";
    t->reduce_in_divisor = varies ? put(l, OF_LANE, divisor) : -1;
    put_gradients(l, g, TDBG_STAGE_REDUCE_OUT, "all_reduce", OF_STEP, t->reduce_out);
    s.stage = TDBG_STAGE_REDUCE_OUT;
    s.op = "all_reduce";
    s.name = "reduce_out/loss";
    t->reduce_out_loss = put(l, OF_STEP, s);
    divisor.stage = TDBG_STAGE_REDUCE_OUT;
    divisor.op = "all_reduce";
    divisor.name = "reduce_out/divisor";
    t->reduce_out_divisor = varies ? put(l, OF_STEP, divisor) : -1;
    put_gradients(l, g, TDBG_STAGE_GRAD, "divide", OF_STEP, t->grad);
}

static void put_clip(struct layout *l, const struct tdbg_graph *g, const struct tdbg_clip *clip,
                     const struct tdbg_param_setting *settings, struct tdbg_site_table *t)
{
    struct tdbg_site s = {.name = "clip/norm",
                          .op = "norm",
                          .unit = "",
                          .stage = TDBG_STAGE_CLIP,
                          .dtype = TDBG_DTYPE_F32};
    t->clip_norm = clip->norm > 0 ? put(l, OF_STEP, s) : -1;
    s.op = "clip";
    for (int32_t p = g->n_params - 1; tdbg_clip_is_on(clip) && p >= 0; p--) {
        s.name = site_name(l, "clip", g->params[p].name, "");
        t->clip[p] = settings[p].frozen ? -1 : put(l, OF_STEP, with_shape(s, &g->params[p].shape));
    }
}

static void put_items(struct layout *l, const struct tdbg_graph *g,
                      const struct tdbg_optimizer *optimizer, const struct tdbg_state_item *items,
                      int32_t n_items, enum tdbg_stage stage, int32_t *out)
{
    struct tdbg_site s = {.unit = "", .stage = stage, .dtype = TDBG_DTYPE_F32};
    for (int32_t i = 0; i < n_items; i++) {
        const struct tdbg_state_item *item = &items[i];
        const bool is_optim = item->state >= 0;
        if ((stage == TDBG_STAGE_OPTIM && !is_optim) || (stage == TDBG_STAGE_PARAM && is_optim))
            continue;
        const bool buffer = item->buffer >= 0;
        s.op = stage == TDBG_STAGE_STATE ? "state"
               : buffer                  ? g->nodes[g->buffers[item->buffer].node].op->kind.name
                                         : tdbg_optimizer_kind(optimizer);
        s.name = site_name(l, tdbg_stage_text(stage),
                           buffer ? g->buffers[item->buffer].name : item->name, "");
        out[i] = put(l, OF_STEP, with_shape(s, tdbg_state_item_shape(g, item)));
        if (buffer && l->sites)
            l->sites[out[i]].lane = item->lane;
    }
}

static void put_eval(struct layout *l, const struct tdbg_graph *g, struct tdbg_site_table *t)
{
    t->eval_loss = t->eval_accuracy = -1;
    if (g->data[TDBG_SET_EVAL].count == 0)
        return;
    struct tdbg_site s = {.stage = TDBG_STAGE_EVAL, .dtype = TDBG_DTYPE_F32};
    s.name = "eval/loss";
    s.op = tdbg_loss_kind(&g->loss);
    s.unit = tdbg_loss_unit(&g->loss);
    t->eval_loss = put(l, OF_STEP, s);
    if (!tdbg_loss_has_accuracy(&g->loss))
        return;
    s.name = "eval/accuracy";
    s.op = "accuracy";
    s.unit = "";
    t->eval_accuracy = put(l, OF_STEP, s);
}

const struct tdbg_shape *tdbg_state_item_shape(const struct tdbg_graph *graph,
                                               const struct tdbg_state_item *item)
{
    return item->buffer >= 0 ? &graph->buffers[item->buffer].shape
                             : &graph->params[item->param].shape;
}

static const char *buffer_name(struct tdbg_graph *g, int32_t buffer, int32_t lane)
{
    const char *name = g->buffers[buffer].name;
    return lane == 0 ? name : tdbg_arena_printf(g->arena, "%s.lane%d", name, (int)lane);
}

struct tdbg_state_item *tdbg_state_items_list(struct tdbg_graph *g,
                                              const struct tdbg_optimizer *optimizer,
                                              int32_t first_lane, int32_t n_lanes, int32_t *n)
{
    int32_t total = g->n_params * (1 + optimizer->n_states), k = 0;
    for (int32_t b = 0; b < g->n_buffers; b++)
        total += g->buffers[b].shared ? 1 : n_lanes;
    struct tdbg_state_item *items = tdbg_arena_alloc(g->arena, (size_t)total * sizeof *items);
    for (int32_t p = 0; p < g->n_params; p++)
        items[k++] = (struct tdbg_state_item){g->params[p].name, p, -1, -1, TDBG_LANE_ALL};
    for (int32_t p = 0; p < g->n_params; p++) {
        for (int32_t s = 0; s < optimizer->n_states; s++)
            items[k++] =
                (struct tdbg_state_item){tdbg_arena_printf(g->arena, "%s.%s", g->params[p].name,
                                                           tdbg_optimizer_state_name(optimizer, s)),
                                         p, s, -1, TDBG_LANE_ALL};
    }
    for (int32_t b = 0; b < g->n_buffers; b++) {
        if (g->buffers[b].shared)
            items[k++] = (struct tdbg_state_item){g->buffers[b].name, -1, -1, b, TDBG_LANE_ALL};
        for (int32_t lane = first_lane; !g->buffers[b].shared && lane < first_lane + n_lanes;
             lane++)
            items[k++] = (struct tdbg_state_item){buffer_name(g, b, lane), -1, -1, b, lane};
    }
    *n = total;
    return items;
}

struct tdbg_site_table
tdbg_site_table_build(struct tdbg_graph *g, const struct tdbg_optimizer *optimizer,
                      const struct tdbg_state_item *items, int32_t n_items,
                      const struct tdbg_site_cut *cut, enum tdbg_dtype activations,
                      const struct tdbg_clip *clip, const struct tdbg_param_setting *settings)
{
    struct tdbg_site_table t = {0};
    size_t word = sizeof(int32_t), n_params = (size_t)g->n_params;
    t.state = tdbg_arena_alloc(g->arena, (size_t)n_items * word);
    t.after = tdbg_arena_alloc(g->arena, (size_t)n_items * word);
    t.input = tdbg_arena_alloc(g->arena, ((size_t)g->n_transforms + 1) * word);
    t.fwd = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * word);
    t.bwd = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * word);
    t.fold_in = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * sizeof *t.fold_in);
    t.fold_out = tdbg_arena_alloc(g->arena, (size_t)g->n_nodes * sizeof *t.fold_out);
    t.reduce_in = tdbg_arena_alloc(g->arena, n_params * word);
    t.reduce_out = tdbg_arena_alloc(g->arena, n_params * word);
    t.grad = tdbg_arena_alloc(g->arena, n_params * word);
    t.clip = tdbg_arena_alloc(g->arena, n_params * word);
    struct layout l = {.arena = g->arena,
                       .first_lane = cut->first_lane,
                       .n_lanes = cut->n_lanes,
                       .accumulate = cut->accumulate,
                       .weighs = cut->weighs,
                       .rows = tdbg_site_part_rows(cut->batch, cut->lanes, cut->accumulate),
                       .activations = activations};
    for (int pass = 0; pass < 2; pass++) {
        struct tdbg_site lr = {.name = "hyper/lr",
                               .op = "schedule",
                               .unit = "",
                               .stage = TDBG_STAGE_HYPER,
                               .dtype = TDBG_DTYPE_F32};
        l.n = 0;
        put_samples(&l, g, &t);
        t.lr = put(&l, OF_STEP, lr);
        put_items(&l, g, optimizer, items, n_items, TDBG_STAGE_STATE, t.state);
        put_input(&l, g, &t);
        put_forward(&l, g, &t);
        put_backward(&l, g, &t);
        put_reduction(&l, g, &t);
        put_clip(&l, g, clip, settings, &t);
        put_items(&l, g, optimizer, items, n_items, TDBG_STAGE_OPTIM, t.after);
        put_items(&l, g, optimizer, items, n_items, TDBG_STAGE_PARAM, t.after);
        put_eval(&l, g, &t);
        if (pass == 0)
            l.sites = tdbg_arena_alloc(g->arena, (size_t)l.n * sizeof *l.sites);
    }
    t.sites = l.sites;
    t.n_sites = l.n;
    return t;
}

void tdbg_site_part_range(int64_t n, int32_t lanes, int32_t accumulate, int32_t lane, int32_t micro,
                          int64_t *lo, int64_t *hi)
{
    int64_t first = lane * n / lanes, rows = (lane + 1) * n / lanes - first;
    *lo = first + micro * rows / accumulate;
    *hi = first + (micro + 1) * rows / accumulate;
}

int64_t tdbg_site_part_rows(int64_t batch, int32_t lanes, int32_t accumulate)
{
    int64_t lane_rows = (batch + lanes - 1) / lanes;
    return (lane_rows + accumulate - 1) / accumulate;
}
