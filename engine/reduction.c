/* What the ranks of a run tell each other in a step: gradients with the loss, and the evaluation.
 * How the numbers travel is the source's matter (source_ranks.c, or a trace). See engine_state.h.
 *
 * A reduction is a range of the flat buffers. Backward makes the last parameters' gradients first,
 * so that the first reduction is the end of the buffers:
 *
 *     [ conv1 ... | conv2 ........ | fc1 ....... | fc2 | loss | divisor ]
 *     <--- 2 ----> <------ 1 ----> <---------------- 0 --------------->
 */
#include <string.h>

#include "engine/engine_state.h"

/* Parameters first .. last, which the range [offset, end) of the flat buffers holds. */
static void fill_reduction(struct tdbg_engine *e, int32_t number, int32_t first, int32_t last,
                           int64_t end)
{
    const struct tdbg_site_table *t = &e->table;
    const struct tdbg_graph *g = e->graph;
    const int64_t offset = g->params[first].offset;
    struct tdbg_reduction_part *parts =
        tdbg_arena_alloc(g->arena, (size_t)(last - first + 3) * sizeof *parts);
    int32_t n = 0;
    for (int32_t p = last; p >= first; p--)
        parts[n++] = (struct tdbg_reduction_part){&t->sites[t->reduce_out[p]],
                                                  g->params[p].offset - offset, g->params[p].elems};
    if (number == 0) {
        const int64_t loss = e->loss_offset - offset;
        parts[n++] = (struct tdbg_reduction_part){&t->sites[t->reduce_out_loss], loss, 1};
        if (t->reduce_out_divisor >= 0)
            parts[n++] =
                (struct tdbg_reduction_part){&t->sites[t->reduce_out_divisor], loss + 1, 1};
    }
    e->reduction_offset[number] = offset;
    e->reduction_node[number] = g->params[first].node;
    e->reductions[number] = (struct tdbg_reduction){
        .number = number, .n_parts = n, .parts = parts, .elems = end - offset};
}

static void plan_evaluation(struct tdbg_engine *e)
{
    const struct tdbg_site_table *t = &e->table;
    struct tdbg_reduction_part *parts = tdbg_arena_alloc(e->graph->arena, 2 * sizeof *parts);
    int32_t n = 0;
    if (t->eval_loss >= 0)
        parts[n++] = (struct tdbg_reduction_part){&t->sites[t->eval_loss], 0, 1};
    if (t->eval_accuracy >= 0)
        parts[n++] = (struct tdbg_reduction_part){&t->sites[t->eval_accuracy], 1, 1};
    e->eval_reduction = (struct tdbg_reduction){
        .number = e->n_reductions, .n_parts = n, .parts = parts, .elems = 2};
}

void tdbg_engine_plan_reductions(struct tdbg_engine *e)
{
    const struct tdbg_graph *g = e->graph;
    const size_t n = (size_t)g->n_params;
    const struct tdbg_cfg_node *root = tdbg_config_root(e->config);
    const int64_t most = (int64_t)(tdbg_cfg_float(root, "engine.comm.bucket_mib") * (1 << 18));
    e->reductions = tdbg_arena_alloc(g->arena, n * sizeof *e->reductions);
    e->reduction_offset = tdbg_arena_alloc(g->arena, n * sizeof *e->reduction_offset);
    e->reduction_node = tdbg_arena_alloc(g->arena, n * sizeof *e->reduction_node);
    e->sums_ranks = strcmp(tdbg_cfg_string(root, "engine.comm.op"), "sum") == 0;
    int64_t end = e->flat_elems;
    for (int32_t p = g->n_params - 1, last = p; p >= 0; p--) {
        if (p > 0 && end - g->params[p - 1].offset <= most)
            continue;
        fill_reduction(e, e->n_reductions++, p, last, end);
        end = g->params[p].offset;
        last = p - 1;
    }
    plan_evaluation(e);
}

void tdbg_engine_print_reductions(const struct tdbg_engine *e, struct tdbg_json *json)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(e->config);
    const char *algorithm = tdbg_cfg_string(root, "engine.comm.algorithm");
    if (e->info.world_size == 1)
        return;
    tdbg_json_object_begin(json, "all_reduce");
    tdbg_json_string(json, "op", tdbg_cfg_string(root, "engine.comm.op"));
    tdbg_json_string(json, "algorithm", algorithm);
    tdbg_json_bool(json, "strict", strcmp(algorithm, "strict") == 0);
    tdbg_json_array_begin(json, "buckets");
    for (int32_t i = 0; i < e->n_reductions; i++) {
        tdbg_json_array_begin(json, NULL);
        for (int32_t k = 0; k < e->reductions[i].n_parts; k++)
            tdbg_json_string(json, NULL, e->reductions[i].parts[k].site->name);
        tdbg_json_array_end(json);
    }
    tdbg_json_array_end(json);
    tdbg_json_object_end(json);
}

/* What came out of the fold, or of one lane: then it is that lane's. lane_site: its first row. */
static enum tdbg_status show_reduced(struct tdbg_engine *e, int64_t step, int32_t site,
                                     int32_t lane_site, const float *data, int64_t elems,
                                     struct tdbg_err *err)
{
    return tdbg_engine_show(e, step, site, data, elems, e->info.lanes == 1 ? lane_site : -1, err);
}

static enum tdbg_status show_all(struct tdbg_engine *e, int64_t step, const float *sums,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_site_table *t = &e->table;
    TDBG_TRY(show_reduced(e, step, t->reduce_out_loss, t->reduce_in_loss, sums + e->loss_offset, 1,
                          err));
    if (t->reduce_out_divisor >= 0)
        TDBG_TRY(show_reduced(e, step, t->reduce_out_divisor, t->reduce_in_divisor,
                              sums + e->loss_offset + 1, 1, err));
    for (int32_t p = e->graph->n_params - 1; p >= 0; p--)
        TDBG_TRY(show_reduced(e, step, t->reduce_out[p], t->reduce_in[p],
                              sums + e->graph->params[p].offset, e->graph->params[p].elems, err));
out:
    return st;
}

/* Range [at, at + n) of the last lane joins those before it. */
static void fold_range(struct tdbg_engine *e, int64_t at, int64_t n)
{
    const struct tdbg_backend *be = e->backend;
    const struct tdbg_lane_fold *f = &e->fold;
    const float *sums = f->sums;
    if (f->micro)
        be->vector_add(be->context, n, f->sums + at, f->micro + at);
    for (int l = 0; f->level[l]; l++) {
        be->vector_add(be->context, n, f->level[l] + at, sums + at);
        sums = f->level[l];
    }
}

/* Numbers of this rank on their way to the source and back. Where it works in the host's memory,
 * what is elsewhere goes through a copy, here and in this thread, as nobody else may use the
 * backend. */
struct travel {
    const float *in; /* on the device */
    float *out;
    float *host_in, *host_out; /* the same where the source works */
};

/* at: where in the host's copies. */
static struct travel travel_of(const struct tdbg_engine *e, float *in, float *out, int64_t at)
{
    if (!e->host_sums)
        return (struct travel){in, out, in, out};
    return (struct travel){in, out, e->host_sums + at, e->host_reduced + at};
}

static enum tdbg_status give(struct tdbg_engine *e, int64_t step, const struct tdbg_reduction *what,
                             const struct travel *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_source *s = &e->source;
    if (t->host_in != t->in)
        TDBG_TRY(e->backend->to_host(e->backend->context, t->host_in, t->in,
                                     (size_t)what->elems * sizeof *t->in, err));
    TDBG_TRY(s->ops->reduce_begin(s->self, step, what, t->host_in, t->host_out, err));
out:
    return st;
}

static enum tdbg_status take(struct tdbg_engine *e, int64_t step, const struct tdbg_reduction *what,
                             const struct travel *t, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_source *s = &e->source;
    TDBG_TRY(s->ops->reduce_end(s->self, step, what, t->host_in, t->host_out, err));
    if (t->host_out != t->out)
        TDBG_TRY(e->backend->to_device(e->backend->context, t->out, t->host_out,
                                       (size_t)what->elems * sizeof *t->out, err));
out:
    return st;
}

enum tdbg_status tdbg_engine_sum_ranks(struct tdbg_engine *e, int64_t step,
                                       const struct tdbg_reduction *what, float *data, float *spare,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct travel t = travel_of(e, data, spare, e->flat_elems);
    TDBG_TRY(give(e, step, what, &t, err));
    TDBG_TRY(take(e, step, what, &t, err));
    e->backend->copy(e->backend->context, data, spare, (size_t)what->elems * sizeof *data);
out:
    return st;
}

enum tdbg_status tdbg_engine_start_reductions(struct tdbg_engine *e, int64_t step, int32_t node,
                                              struct tdbg_err *err)
{
    struct tdbg_lane_fold *f = &e->fold;
    while (f->n_started < e->n_reductions && e->reduction_node[f->n_started] >= node) {
        const int32_t i = f->n_started;
        const int64_t at = e->reduction_offset[i];
        fold_range(e, at, e->reductions[i].elems);
        const struct travel t = travel_of(e, f->result + at, e->reduced + at, at);
        const enum tdbg_status st = give(e, step, &e->reductions[i], &t, err);
        if (st != TDBG_OK)
            return st;
        f->n_started++;
    }
    return TDBG_OK;
}

static enum tdbg_status end_reduction(struct tdbg_engine *e, int64_t step, struct tdbg_err *err)
{
    struct tdbg_lane_fold *f = &e->fold;
    const int32_t i = f->n_ended++;
    const int64_t at = e->reduction_offset[i];
    const struct travel t = travel_of(e, f->result + at, e->reduced + at, at);
    return take(e, step, &e->reductions[i], &t, err);
}

void tdbg_engine_drain_reductions(struct tdbg_engine *e, int64_t step)
{
    while (e->fold.n_ended < e->fold.n_started)
        end_reduction(e, step, NULL);
}

enum tdbg_status tdbg_engine_reduce(struct tdbg_engine *e, int64_t step, float *sums,
                                    float **reduced, int64_t *wait_ns, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_source *s = &e->source;
    *reduced = sums;
    if (e->has_others) {
        const int64_t start_ns = s->ops->clock_ns(s->self);
        *reduced = e->reduced;
        while (e->fold.n_ended < e->n_reductions)
            TDBG_TRY(end_reduction(e, step, err));
        *wait_ns += s->ops->clock_ns(s->self) - start_ns;
    }
    TDBG_TRY(show_all(e, step, *reduced, err));
out:
    return st;
}

enum tdbg_status tdbg_engine_share_evaluation(struct tdbg_engine *e, int64_t step, int64_t *wait_ns,
                                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_source *s = &e->source;
    float *in = &e->scalar[SCALAR_EVAL_LOSS], *out = &e->scalar[SCALAR_EVAL_REDUCED];
    if (!e->has_others)
        return TDBG_OK;
    const int64_t start_ns = s->ops->clock_ns(s->self);
    if (e->info.rank > 0)
        e->backend->fill_zero(e->backend->context, in, 2 * sizeof *in);
    TDBG_TRY(tdbg_engine_sum_ranks(e, step, &e->eval_reduction, in, out, err));
    *wait_ns += s->ops->clock_ns(s->self) - start_ns;
out:
    return st;
}
