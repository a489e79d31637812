/* Makes traces for tests. See trace_maker.h. */
#include "tests/trace/trace_maker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"
#include "trace/layout.h"

enum { KEY_STEP = 1000001, KEY_SAMPLE, KEY_ITEM, KEY_BATCH, KEY_RESIDUAL };

uint64_t maker_random(const struct maker *m, int64_t a, int64_t b, int64_t c)
{
    uint64_t x = m->seed;
    const int64_t parts[] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        x += (uint64_t)parts[i] + UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        x ^= x >> 31;
    }
    return x;
}

static int64_t below(struct maker *m, int64_t *counter, int64_t n)
{
    return (int64_t)(maker_random(m, -1, (*counter)++, 0) % (uint64_t)n);
}

static void fill(const struct maker *m, int64_t a, int64_t b, void *data, size_t bytes)
{
    unsigned char *p = data;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t r = maker_random(m, a, b, (int64_t)i);
        memcpy(p + i, &r, bytes - i < 8 ? bytes - i : 8);
    }
}

enum { DATA_BYTES = 32 << 20 };

struct family {
    const char *name, *op;
    enum tdbg_stage stage;
    enum tdbg_store store;
    int axes; /* 0: the step; 1: per lane; 2: per lane and micro-batch */
    bool batched;
};

static const struct family families[] = {
    {"samples/x", "dataset", TDBG_STAGE_SAMPLES, TDBG_STORE_SAMPLES, 2, true},
    {"samples/id", "dataset", TDBG_STAGE_SAMPLES, TDBG_STORE_SAMPLES, 0, true},
    {"samples/y", "dataset", TDBG_STAGE_SAMPLES, TDBG_STORE_SAMPLES, 1, true},
    {"hyper/lr", "schedule", TDBG_STAGE_HYPER, TDBG_STORE_DATASET, 0, false},
    {"hyper/momentum", "schedule", TDBG_STAGE_HYPER, TDBG_STORE_PACKED, 0, false},
    {"state/fc1.weight", "state", TDBG_STAGE_STATE, TDBG_STORE_KEYFRAME, 0, false},
    {"state/fc1.weight.exp_avg", "state", TDBG_STAGE_STATE, TDBG_STORE_KEYFRAME, 0, false},
    {"input/x", "normalize", TDBG_STAGE_INPUT, TDBG_STORE_DATASET, 2, true},
    {"fwd/fc1", "linear", TDBG_STAGE_FWD, TDBG_STORE_DATASET, 2, true},
    {"fwd/block/out", "relu", TDBG_STAGE_FWD, TDBG_STORE_NONE, 2, true},
    {"fwd/relu1", "relu", TDBG_STAGE_FWD, TDBG_STORE_PACKED, 2, true},
    {"fwd/fc2", "linear", TDBG_STAGE_FWD, TDBG_STORE_PACKED, 2, true},
    {"fwd/fc3", "linear", TDBG_STAGE_FWD, TDBG_STORE_DELTA, 2, true},
    {"loss/sample", "cross_entropy", TDBG_STAGE_LOSS, TDBG_STORE_PACKED, 2, true},
    {"loss/sum", "fold", TDBG_STAGE_LOSS, TDBG_STORE_DATASET, 1, false},
    {"loss", "cross_entropy", TDBG_STAGE_LOSS, TDBG_STORE_DATASET, 0, false},
    {"bwd/fc1", "relu_backward", TDBG_STAGE_BWD, TDBG_STORE_DATASET, 2, true},
    {"reduce_in/fc1.weight", "linear_backward", TDBG_STAGE_REDUCE_IN, TDBG_STORE_DATASET, 1, false},
    {"reduce_in/fc1.bias", "linear_backward", TDBG_STAGE_REDUCE_IN, TDBG_STORE_PACKED, 1, false},
    {"reduce_in/fc2.weight", "linear_backward", TDBG_STAGE_REDUCE_IN, TDBG_STORE_DELTA, 1, false},
    {"reduce_in/fc3.weight", "linear_backward", TDBG_STAGE_REDUCE_IN, TDBG_STORE_RESIDUAL, 1,
     false},
    {"reduce_out/fc1.weight", "fold", TDBG_STAGE_REDUCE_OUT, TDBG_STORE_DATASET, 0, false},
    {"grad/fc1.weight", "divide", TDBG_STAGE_GRAD, TDBG_STORE_DATASET, 0, false},
    {"grad/fc1.bias", "divide", TDBG_STAGE_GRAD, TDBG_STORE_PACKED, 0, false},
    {"grad/fc2.bias", "divide", TDBG_STAGE_GRAD, TDBG_STORE_PACKED, 0, false},
    {"optim/fc1.weight.exp_avg", "adamw", TDBG_STAGE_OPTIM, TDBG_STORE_NONE, 0, false},
    {"optim/fc2.weight.exp_avg", "adamw", TDBG_STAGE_OPTIM, TDBG_STORE_RESIDUAL, 0, false},
    {"param/fc1.bias", "adamw", TDBG_STAGE_PARAM, TDBG_STORE_DELTA, 0, false},
    {"param/fc2.bias", "adamw", TDBG_STAGE_PARAM, TDBG_STORE_DELTA, 0, false},
    {"param/fc1.weight", "adamw", TDBG_STAGE_PARAM, TDBG_STORE_DATASET, 0, false},
    {"eval/loss", "mean", TDBG_STAGE_EVAL, TDBG_STORE_DATASET, 0, false},
    {"eval/top5", "mean", TDBG_STAGE_EVAL, TDBG_STORE_RESIDUAL, 0, false},
    {"eval/accuracy", "mean", TDBG_STAGE_EVAL, TDBG_STORE_PACKED, 0, false},
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static void add_family(struct maker *m, const struct family *f, int64_t *counter)
{
    struct tdbg_trace_spec *spec = &m->spec;
    const struct tdbg_run_info *info = &spec->info;
    struct tdbg_site site = {.name = f->name, .op = f->op, .unit = "", .stage = f->stage};
    struct tdbg_site_plan plan = {.store = f->store, .digest_every = 1, .value_every = 1};
    site.batched = f->batched;
    site.dtype = (enum tdbg_dtype)below(m, counter, TDBG_DTYPE_COUNT);
    site.ndim = (int32_t)below(m, counter, 4);
    for (int32_t d = 0; d < site.ndim; d++)
        site.dims[d] = 1 + below(m, counter, 6);
    if (f->stage == TDBG_STAGE_OPTIM || f->stage == TDBG_STAGE_FWD)
        plan.digest_every = (int32_t)below(m, counter, 4);
    if (f->store == TDBG_STORE_DATASET && f->stage != TDBG_STAGE_EVAL)
        plan.value_every = 1 + (int32_t)below(m, counter, 3);
    if (tdbg_layout_is_guarded(f->store) && f->stage != TDBG_STAGE_EVAL) {
        /* one cadence for all that share a dataset, and digests whenever there are values */
        plan.value_every = 1 + (int32_t)(maker_random(m, -3, f->stage, 0) % 3);
        plan.digest_every = below(m, counter, 2) ? plan.value_every : 1;
    }
    if (f->store == TDBG_STORE_SAMPLES) {
        const struct tdbg_samples_spec *s = &spec->samples[TDBG_SAMPLES_TRAIN];
        bool x = f->name[8] == 'x', y = f->name[8] == 'y';
        site.dtype = x ? s->x_dtype : y ? s->y_dtype : TDBG_DTYPE_I64;
        site.ndim = 1 + (x ? s->x_ndim : y ? s->y_ndim : 0);
        for (int32_t d = 1; d < site.ndim; d++)
            site.dims[d] = x ? s->x_dims[d - 1] : s->y_dims[d - 1];
    }
    if (f->store == TDBG_STORE_KEYFRAME) {
        struct tdbg_keyframe_item *item = &m->items[spec->n_items++];
        *item = (struct tdbg_keyframe_item){tdbg_site_tensor(&site), site.dtype, site.ndim, {0}};
        memcpy(item->dims, site.dims, sizeof item->dims);
    }
    int32_t lanes = f->axes >= 1 ? info->lanes : 1, micros = f->axes == 2 ? info->accumulate : 1;
    if (f->batched) {
        site.ndim = site.ndim > 0 ? site.ndim : 1;
        site.dims[0] = info->batch;
        if (f->axes >= 1)
            site.dims[0] = ceil_div(site.dims[0], info->lanes);
        if (f->axes == 2)
            site.dims[0] = ceil_div(site.dims[0], info->accumulate);
    }
    for (int32_t l = 0; l < lanes; l++) {
        for (int32_t a = 0; a < micros; a++) {
            site.lane = f->axes >= 1 ? l : TDBG_LANE_ALL;
            site.micro = f->axes == 2 ? a : TDBG_LANE_ALL;
            m->sites[spec->n_sites] = site;
            m->plans[spec->n_sites++] = plan;
        }
    }
}

/* Tokens of 0 to 3 bytes of any kind. */
static void make_vocabulary(struct maker *m)
{
    struct tdbg_vocabulary *v = &m->spec.vocabulary;
    if (m->seed % 2 == 0)
        return;
    v->n_tokens = 1 + (int64_t)(maker_random(m, -4, 0, 0) % MAKER_MAX_TOKENS);
    v->start = m->token_start;
    v->bytes = m->token_bytes;
    for (int64_t i = 0; i < v->n_tokens; i++)
        v->start[i + 1] = v->start[i] + (int64_t)(maker_random(m, -4, 1, i) % 4);
    fill(m, -4, 2, v->bytes, (size_t)v->start[v->n_tokens]);
}

void maker_make(struct maker *m, uint64_t seed, const struct maker_wish *wish)
{
    static const struct maker_wish none;
    int64_t c = 0;
    wish = wish ? wish : &none;
    *m = (struct maker){.seed = seed};
    struct tdbg_run_info *info = &m->spec.info;
    *info = (struct tdbg_run_info){.tdbg_version = "0.1.0",
                                   .numerics_version = 1,
                                   .world_size = 2,
                                   .planned_steps = 100,
                                   .preset = "full",
                                   .config = "seed = 42;\nmodel = \"\xc3\xa4\";\n",
                                   .config_path = "train.cfg",
                                   .config_source = "seed = 42; # the answer\n",
                                   .inject = "",
                                   .environment = "{\"host\": \"h\"}",
                                   .dataset = "{}",
                                   .graph = "{\"ops\": []}"};
    fill(m, -2, 0, info->uuid, sizeof info->uuid);
    info->seed = maker_random(m, -2, 1, 1);
    info->lanes = wish->lanes ? wish->lanes : 1 + (int32_t)below(m, &c, 4);
    info->accumulate = wish->accumulate ? wish->accumulate : 1 + (int32_t)below(m, &c, 3);
    info->batch = 1 + below(m, &c, 20);
    info->keyframe_every = 1 + below(m, &c, 5);
    m->first_step = below(m, &c, 3) == 0 ? below(m, &c, 1000) : 0;
    m->n_steps = wish->steps ? wish->steps : 1 + below(m, &c, 60);
    m->spec.samples[TDBG_SAMPLES_TRAIN] =
        (struct tdbg_samples_spec){.x_dtype = TDBG_DTYPE_U8,
                                   .y_dtype = TDBG_DTYPE_I64,
                                   .x_ndim = 2,
                                   .x_dims = {1 + below(m, &c, 30), 1 + below(m, &c, 30)},
                                   .total = info->batch + below(m, &c, 3000)};
    m->spec.samples[TDBG_SAMPLES_EVAL] = m->spec.samples[TDBG_SAMPLES_TRAIN];
    m->spec.samples[TDBG_SAMPLES_EVAL].total = 5;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        add_family(m, &families[i], &c);
    if (wish->large) {
        struct tdbg_site site = {.name = "clip/large",
                                 .op = "clip",
                                 .unit = "",
                                 .stage = TDBG_STAGE_CLIP,
                                 .dtype = TDBG_DTYPE_F32,
                                 .lane = TDBG_LANE_ALL,
                                 .micro = TDBG_LANE_ALL,
                                 .ndim = 3,
                                 .dims = {3, 701, 1013}};
        m->sites[m->spec.n_sites] = site;
        m->plans[m->spec.n_sites++] = (struct tdbg_site_plan){1, 1, TDBG_STORE_DATASET};
        site.name = "clip/large_packed";
        m->sites[m->spec.n_sites] = site;
        m->plans[m->spec.n_sites++] = (struct tdbg_site_plan){1, 1, TDBG_STORE_PACKED};
        site.name = "clip/large_delta";
        m->sites[m->spec.n_sites] = site;
        m->plans[m->spec.n_sites++] = (struct tdbg_site_plan){1, 1, TDBG_STORE_DELTA};
        site.name = "clip/large_residual";
        m->sites[m->spec.n_sites] = site;
        m->plans[m->spec.n_sites++] = (struct tdbg_site_plan){1, 1, TDBG_STORE_RESIDUAL};
    }
    make_vocabulary(m);
    m->spec.steps_per_zone = 2 + (int32_t)(maker_random(m, -4, 0, 0) % 9);
    m->spec.sites = m->sites;
    m->spec.plans = m->plans;
    m->spec.items = m->items;
    if (m->first_step > 0 && below(m, &c, 2)) { /* it goes on where another trace ends */
        fill(m, -2, 2, m->chain_before, sizeof m->chain_before);
        m->spec.chain_before = m->chain_before;
    }
}

int64_t maker_samples(const struct maker *m, int64_t step)
{
    uint64_t r = maker_random(m, KEY_STEP, step, 0);
    uint64_t batch = (uint64_t)m->spec.info.batch;
    return (int64_t)(r % 4 == 0 ? r / 4 % (batch + 1) : batch);
}

bool maker_evaluated(const struct maker *m, int64_t step)
{
    return maker_random(m, KEY_STEP, step, 1) % 4 == 0;
}

void maker_batch(const struct maker *m, int64_t step, int64_t *ids)
{
    /* A stride that wraps around: no id twice in a step, many again in later steps. */
    int64_t total = m->spec.samples[TDBG_SAMPLES_TRAIN].total, n = maker_samples(m, step);
    int64_t start = (int64_t)(maker_random(m, KEY_BATCH, step, 0) % (uint64_t)total);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (start + i) % total;
}

void maker_row(const struct maker *m, int64_t step, struct tdbg_step_row *row)
{
    *row = (struct tdbg_step_row){.step = step,
                                  .epoch = step / 10,
                                  .samples = maker_samples(m, step),
                                  .loss = (float)step * 0.5f,
                                  .lr = 0.1f,
                                  .grad_norm = step % 3 ? 1.5 : NAN,
                                  .start_ns = step * 1000,
                                  .duration_ns = 999,
                                  .evaluated = maker_evaluated(m, step)};
}

size_t maker_sample_bytes(const struct maker *m, int set, bool y)
{
    const struct tdbg_samples_spec *s = &m->spec.samples[set];
    size_t bytes = tdbg_dtype_bytes(y ? s->y_dtype : s->x_dtype);
    for (int32_t d = 0; d < (y ? s->y_ndim : s->x_ndim); d++)
        bytes *= (size_t)(y ? s->y_dims[d] : s->x_dims[d]);
    return bytes;
}

void maker_sample(const struct maker *m, int set, int64_t id, void *x, void *y)
{
    fill(m, KEY_SAMPLE + 16 * set, id, x, maker_sample_bytes(m, set, false));
    fill(m, KEY_SAMPLE + 16 * set + 8, id, y, maker_sample_bytes(m, set, true));
}

void maker_item(const struct maker *m, int32_t item, int64_t step, void *data)
{
    const struct tdbg_keyframe_item *it = &m->items[item];
    size_t bytes = tdbg_dtype_bytes(it->dtype);
    for (int32_t d = 0; d < it->ndim; d++)
        bytes *= (size_t)it->dims[d];
    fill(m, KEY_ITEM + 16 * item, step, data, bytes);
}

static void sample_values(const struct maker *m, const struct tdbg_site *s, int64_t step,
                          int64_t first, int64_t count, unsigned char *data)
{
    int64_t ids[32];
    unsigned char x[1024], y[8];
    size_t x_bytes = maker_sample_bytes(m, TDBG_SAMPLES_TRAIN, false);
    maker_batch(m, step, ids);
    for (int64_t i = 0; i < count; i++) {
        maker_sample(m, TDBG_SAMPLES_TRAIN, ids[first + i], x, y);
        if (s->name[8] == 'x')
            memcpy(data + (size_t)i * x_bytes, x, x_bytes);
        else
            memcpy(data + 8 * i, s->name[8] == 'y' ? (void *)y : (void *)&ids[first + i], 8);
    }
}

void maker_values(const struct maker *m, int32_t site, int64_t step, void *data, int64_t *n_valid)
{
    const struct tdbg_site *s = &m->sites[site];
    int64_t elems = tdbg_site_elems(s), first = 0, count = 0;
    size_t bytes = tdbg_dtype_bytes(s->dtype);
    *n_valid = elems;
    if (s->batched) {
        tdbg_layout_slice(maker_samples(m, step), m->spec.info.lanes, m->spec.info.accumulate,
                          s->lane, s->micro, &first, &count);
        *n_valid = count * (elems / s->dims[0]);
    }
    memset(data, 0, (size_t)elems * bytes);
    if (m->plans[site].store == TDBG_STORE_SAMPLES) {
        sample_values(m, s, step, first, count, data);
    } else if (m->plans[site].store == TDBG_STORE_KEYFRAME) {
        int32_t item = 0;
        while (strcmp(m->items[item].name, tdbg_site_tensor(s)) != 0)
            item++;
        maker_item(m, item, step, data);
    } else {
        fill(m, site, step, data, (size_t)*n_valid * bytes);
    }
}

void maker_predicted(const struct maker *m, int32_t site, int64_t step, void *data,
                     int64_t *n_valid)
{
    maker_values(m, site, step, data, n_valid);
    uint64_t r = maker_random(m, KEY_RESIDUAL, site, step);
    if (m->plans[site].store == TDBG_STORE_RESIDUAL && r % 2 == 0 && *n_valid > 0) {
        size_t bytes = (size_t)*n_valid * tdbg_dtype_bytes(m->sites[site].dtype);
        ((unsigned char *)data)[r % bytes] ^= (unsigned char)(r >> 32 | 1);
    }
}

static void fail(const char *what, struct tdbg_err *err)
{
    fprintf(stderr, "%s: %s\n", what, err->message ? err->message : "?");
    abort();
}

static void write_samples(const struct maker *m, struct tdbg_trace_writer *w, int64_t step)
{
    struct tdbg_err err = {0};
    int64_t ids[32], n = maker_samples(m, step), eval_id = step % 5;
    size_t x_bytes = maker_sample_bytes(m, 0, false), y_bytes = maker_sample_bytes(m, 0, true);
    unsigned char *x = malloc(32 * x_bytes), *y = malloc(32 * y_bytes);
    maker_batch(m, step, ids);
    for (int64_t i = 0; i < n; i++)
        maker_sample(m, TDBG_SAMPLES_TRAIN, ids[i], x + (size_t)i * x_bytes,
                     y + (size_t)i * y_bytes);
    if (tdbg_trace_writer_put_samples(w, TDBG_SAMPLES_TRAIN, n, ids, x, y, &err) != TDBG_OK)
        fail("put_samples", &err);
    maker_sample(m, TDBG_SAMPLES_EVAL, eval_id, x, y);
    if (tdbg_trace_writer_put_samples(w, TDBG_SAMPLES_EVAL, 1, &eval_id, x, y, &err) != TDBG_OK)
        fail("put_samples", &err);
    free(x);
    free(y);
}

bool maker_is_stored_by_step(const struct tdbg_site_plan *plan)
{
    return plan->store == TDBG_STORE_DATASET || plan->store == TDBG_STORE_PACKED ||
           plan->store == TDBG_STORE_DELTA;
}

void maker_write_step(const struct maker *m, struct tdbg_trace_writer *w, int64_t step)
{
    struct tdbg_err err = {0};
    struct tdbg_step_row row;
    unsigned char *data = malloc(DATA_BYTES);
    maker_row(m, step, &row);
    for (int32_t i = 0; step % m->spec.info.keyframe_every == 0 && i < m->spec.n_items; i++) {
        maker_item(m, i, step, data);
        if (tdbg_trace_writer_put_keyframe(w, i, data, &err) != TDBG_OK)
            fail("put_keyframe", &err);
    }
    write_samples(m, w, step);
    for (int32_t i = 0; i < m->spec.n_sites; i++) {
        int64_t n;
        struct tdbg_stats stats;
        if (m->sites[i].stage == TDBG_STAGE_EVAL && !row.evaluated)
            continue;
        maker_values(m, i, step, data, &n);
        if (tdbg_chain_due(&m->sites[i], &m->plans[i], step, row.evaluated)) {
            tdbg_stats_reference(data, m->sites[i].dtype, n, &stats);
            tdbg_trace_writer_put_digest(w, i, tdbg_digest_reference(data, m->sites[i].dtype, n),
                                         &stats);
        }
        if (maker_is_stored_by_step(&m->plans[i]) && step % m->plans[i].value_every == 0 &&
            tdbg_trace_writer_put_values(w, i, data, n, &err) != TDBG_OK)
            fail("put_values", &err);
        if (m->plans[i].store == TDBG_STORE_RESIDUAL && step % m->plans[i].value_every == 0) {
            unsigned char *predicted = data + DATA_BYTES / 2;
            maker_predicted(m, i, step, predicted, &n);
            if (tdbg_trace_writer_put_predicted(w, i, data, predicted, n, &err) != TDBG_OK)
                fail("put_predicted", &err);
        }
    }
    if (tdbg_trace_writer_commit_step(w, &row, &err) != TDBG_OK)
        fail("commit_step", &err);
    free(data);
}

struct tdbg_trace_writer *maker_create(const struct maker *m, const char *path)
{
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = NULL;
    if (tdbg_trace_writer_create(path, true, &m->spec, &w, &err) != TDBG_OK)
        fail("create", &err);
    return w;
}

struct tdbg_trace_writer *maker_write_open(const struct maker *m, const char *path)
{
    struct tdbg_trace_writer *w = maker_create(m, path);
    for (int64_t i = 0; i < m->n_steps; i++)
        maker_write_step(m, w, m->first_step + i);
    return w;
}

void maker_write(const struct maker *m, const char *path)
{
    struct tdbg_err err = {0};
    if (tdbg_trace_writer_close(maker_write_open(m, path), &err) != TDBG_OK)
        fail("close", &err);
}
