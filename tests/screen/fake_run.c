/* See fake_run.h. */
#include "tests/screen/fake_run.h"

#include <math.h>
#include <string.h>

#include "replay/rank_split.h"
#include "tests/screen/fake_text.h"

#define SHAPE(n, ...) .ndim = n, .dims = {__VA_ARGS__}
#define STEP_SITE     .lane = TDBG_LANE_ALL, .micro = TDBG_LANE_ALL

static const struct tdbg_site table[] = {
    {"samples/id", "sampler", "", TDBG_STAGE_SAMPLES, TDBG_DTYPE_I64, SHAPE(1, 64)},
    {"samples/x", "data", "", TDBG_STAGE_SAMPLES, TDBG_DTYPE_U8, SHAPE(3, 64, 28, 28)},
    {"samples/y", "data", "", TDBG_STAGE_SAMPLES, TDBG_DTYPE_I64, SHAPE(1, 64)},
    {"hyper/lr", "schedule", "", TDBG_STAGE_HYPER, TDBG_DTYPE_F32, STEP_SITE},
    {"input/x", "normalize", "", TDBG_STAGE_INPUT, TDBG_DTYPE_F32, SHAPE(4, 64, 1, 28, 28)},
    {"fwd/fc1", "linear", "", TDBG_STAGE_FWD, TDBG_DTYPE_F32, SHAPE(2, 64, 256)},
    {"fwd/relu1", "relu", "", TDBG_STAGE_FWD, TDBG_DTYPE_F32, SHAPE(2, 64, 256)},
    {"fwd/fc2", "linear", "", TDBG_STAGE_FWD, TDBG_DTYPE_F32, SHAPE(2, 64, 10)},
    {"loss/sample", "cross_entropy", "", TDBG_STAGE_LOSS, TDBG_DTYPE_F32, SHAPE(1, 64)},
    {"loss", "mean", "", TDBG_STAGE_LOSS, TDBG_DTYPE_F32, STEP_SITE},
    {"bwd/fc2", "cross_entropy_backward", "", TDBG_STAGE_BWD, TDBG_DTYPE_F32, SHAPE(2, 64, 10)},
    {"bwd/relu1", "linear_backward", "", TDBG_STAGE_BWD, TDBG_DTYPE_F32, SHAPE(2, 64, 256)},
    {"bwd/fc1", "relu_backward", "", TDBG_STAGE_BWD, TDBG_DTYPE_F32, SHAPE(2, 64, 256)},
    {"reduce_in/fc2.weight", "accumulate", "", TDBG_STAGE_REDUCE_IN, TDBG_DTYPE_F32,
     .micro = TDBG_LANE_ALL, SHAPE(2, 10, 256)},
    {"reduce_in/fc1.weight", "accumulate", "", TDBG_STAGE_REDUCE_IN, TDBG_DTYPE_F32,
     .micro = TDBG_LANE_ALL, SHAPE(2, 256, 784)},
    {"reduce_out/fc2.weight", "all_reduce", "", TDBG_STAGE_REDUCE_OUT, TDBG_DTYPE_F32, STEP_SITE,
     SHAPE(2, 10, 256)},
    {"reduce_out/fc1.weight", "all_reduce", "", TDBG_STAGE_REDUCE_OUT, TDBG_DTYPE_F32, STEP_SITE,
     SHAPE(2, 256, 784)},
    {"grad/fc1.weight", "divide", "", TDBG_STAGE_GRAD, TDBG_DTYPE_F32, STEP_SITE,
     SHAPE(2, 256, 784)},
    {"grad/fc1.bias", "divide", "", TDBG_STAGE_GRAD, TDBG_DTYPE_F32, STEP_SITE, SHAPE(1, 256)},
    {"grad/fc2.weight", "divide", "", TDBG_STAGE_GRAD, TDBG_DTYPE_F32, STEP_SITE,
     SHAPE(2, 10, 256)},
    {"grad/fc2.bias", "divide", "", TDBG_STAGE_GRAD, TDBG_DTYPE_F32, STEP_SITE, SHAPE(1, 10)},
    {"optim/fc1.weight.momentum_buffer", "sgd", "", TDBG_STAGE_OPTIM, TDBG_DTYPE_F32, STEP_SITE,
     SHAPE(2, 256, 784)},
    {"param/fc1.weight", "sgd", "", TDBG_STAGE_PARAM, TDBG_DTYPE_F32, STEP_SITE,
     SHAPE(2, 256, 784)},
    {"param/fc1.bias", "sgd", "", TDBG_STAGE_PARAM, TDBG_DTYPE_F32, STEP_SITE, SHAPE(1, 256)},
    {"param/fc2.weight", "sgd", "", TDBG_STAGE_PARAM, TDBG_DTYPE_F32, STEP_SITE, SHAPE(2, 10, 256)},
    {"param/fc2.bias", "sgd", "", TDBG_STAGE_PARAM, TDBG_DTYPE_F32, STEP_SITE, SHAPE(1, 10)},
    {"eval/loss", "evaluate", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, STEP_SITE},
    {"eval/accuracy", "evaluate", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, STEP_SITE},
};
enum { N_TABLE = sizeof table / sizeof table[0] };

static const struct tdbg_site kinds[] = {
    {"kind/f16", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F16, STEP_SITE, SHAPE(2, 5, 7)},
    {"kind/bf16", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_BF16, STEP_SITE, SHAPE(4, 6, 5, 3, 3)},
    {"kind/f64", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F64, STEP_SITE, SHAPE(3, 4, 3, 2)},
    {"kind/i32", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_I32, STEP_SITE, SHAPE(1, 1000)},
    {"kind/empty", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, STEP_SITE, SHAPE(2, 0, 4)},
    {"kind/large", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, STEP_SITE, SHAPE(2, 3000, 1000)},
    {"kind/a.very.deep.module.name.of.some.length", "cast", "", TDBG_STAGE_EVAL, TDBG_DTYPE_F32,
     STEP_SITE, SHAPE(2, 2, 3)},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* What was computed from what: output, input. */
static const char *const edges[][2] = {
    {"input/x", "samples/x"},         {"fwd/fc1", "input/x"},
    {"fwd/relu1", "fwd/fc1"},         {"fwd/fc2", "fwd/relu1"},
    {"loss/sample", "samples/y"},     {"loss/sample", "fwd/fc2"},
    {"loss", "loss/sample"},          {"bwd/fc2", "samples/y"},
    {"bwd/fc2", "fwd/fc2"},           {"bwd/relu1", "bwd/fc2"},
    {"bwd/fc1", "fwd/relu1"},         {"bwd/fc1", "bwd/relu1"},
    {"grad/fc1.weight", "input/x"},   {"grad/fc1.weight", "bwd/fc1"},
    {"grad/fc1.bias", "bwd/fc1"},     {"grad/fc2.weight", "fwd/relu1"},
    {"grad/fc2.weight", "bwd/fc2"},   {"grad/fc2.bias", "bwd/fc2"},
    {"param/fc1.weight", "hyper/lr"}, {"param/fc1.weight", "grad/fc1.weight"},
    {"param/fc1.bias", "hyper/lr"},   {"param/fc1.bias", "grad/fc1.bias"},
};

/* What a hostile trace may hold: names are checked by the reader to be UTF-8, but not to be ASCII,
 * narrow or printable; the last one would not pass the reader. */
static const char *const odd_names[] = {
    "grad/\xe5\xb1\xa4\xef\xbc\x91.weight", /* two wide characters */
    "grad/e\xcc\x81t\xc3\xa9.bias",         /* a combining accent, and an accented letter */
    "grad/\x1b[31mred",                     /* an escape sequence */
    "grad/\xff\xfe\xc0\x80.broken",         /* no UTF-8 at all */
    "\xe5\xb1\xa4\xe5\xb1\xa4\xe5\xb1\xa4\xe5\xb1\xa4\xe5\xb1\xa4\xe5\xb1\xa4\xe5\xb1\xa4/long",
};
enum { N_ODD = sizeof odd_names / sizeof odd_names[0] };

/* 0 .. 1 without a pattern to the eye. */
static double noise(int64_t a, int64_t b)
{
    return (double)((a * 7919 + b * 104729 + 13) % 997) / 997;
}

static bool is_nan_step(int64_t step)
{
    return step >= FAKE_NAN_FROM && step < FAKE_NAN_TO;
}

bool fake_run_evaluated(const struct fake_run *run, int64_t step)
{
    return (step + 1) % run->wish.eval_every == 0;
}

void fake_run_row(const struct fake_run *run, int64_t step, struct tdbg_step_row *row)
{
    const double level = 2.3 / (1 + (double)step / 40) + 0.05;
    *row = (struct tdbg_step_row){
        .step = step,
        .epoch = step / 938,
        .samples = step % 938 == 937 ? 32 : 64,
        .loss = is_nan_step(step) ? NAN : (float)(level * (0.7 + 0.6 * noise(step, 1))),
        .lr = step < 100 ? (float)(step + 1) * 1e-4f : 1e-2f,
        .grad_norm = is_nan_step(step) ? (double)NAN : level * (1 + 3 * noise(step, 2)),
        .start_ns = step * 12400000,
        .duration_ns = 12400000 + (step * 37 % 101) * 10000,
        .evaluated = fake_run_evaluated(run, step),
    };
    if (run->wish.parts_from > 0 && step >= run->wish.parts_from)
        row->loss *= 1.5f;
    if (run->wish.trouble && step == FAKE_SPIKE)
        row->grad_norm = 8 * level * 2.5;
    if (run->wish.trouble && step >= FAKE_DIVERGES_FROM)
        row->loss *= 2;
}

void fake_run_stats(const struct fake_run *run, int64_t step, int32_t site, struct tdbg_stats *out)
{
    const struct tdbg_site *s = &run->sites[site];
    const double size = 4 * (1 + noise(0, site)) / (1 + (double)step / 500);
    *out = tdbg_tui_stats_absent;
    if (s->stage == TDBG_STAGE_SAMPLES || (run->wish.few_stats && s->stage < TDBG_STAGE_GRAD) ||
        (s->stage == TDBG_STAGE_EVAL && !fake_run_evaluated(run, step)))
        return;
    out->min = s->ndim == 0 ? size : -size * (0.5 + noise(step, site));
    out->max = s->ndim == 0 ? size : size * (0.5 + noise(step, site + 100));
    out->mean = s->ndim == 0 ? size : size * 0.01 * noise(step, site + 200);
    out->rms = s->ndim == 0 ? size : size * 0.3 * (0.9 + 0.2 * noise(step, site + 300));
    if (strcmp(s->name, "eval/accuracy") == 0)
        out->min = out->max = out->mean = out->rms = 0.5 + 0.4 * (double)step / 20000;
    if (s->stage == TDBG_STAGE_FWD && strcmp(s->op, "relu") == 0)
        out->zeros = 9000 + (uint64_t)(step % 500);
    if (run->wish.trouble && strcmp(s->name, "fwd/relu1") == 0 && step >= FAKE_DEAD_FROM)
        out->zeros = (uint64_t)tdbg_site_elems(s);
    if (run->wish.trouble && strcmp(s->name, "grad/fc1.bias") == 0)
        out->zeros = (uint64_t)tdbg_site_elems(s);
    if (run->wish.trouble && strcmp(s->name, "eval/loss") == 0)
        out->mean = step < FAKE_OVERFITS_FROM ? 1 - (double)step / 2000
                                              : 0.6 + (double)(step - FAKE_OVERFITS_FROM) / 5000;
    if (is_nan_step(step) && (s->stage == TDBG_STAGE_BWD || s->stage == TDBG_STAGE_GRAD)) {
        out->nans = (uint64_t)tdbg_site_elems(s);
        out->min = out->max = out->mean = out->rms = (double)NAN;
    } else if (is_nan_step(step) && strcmp(s->name, "fwd/fc2") == 0) {
        out->infs = 64;
    }
    if (run->wish.hidden_from > 0 && (step - run->wish.hidden_from) / 2 == 0 &&
        step >= run->wish.hidden_from && strcmp(s->name, "param/fc1.bias") == 0)
        out->nans = 1;
}

static void read_light_stats(const struct fake_run *run, int64_t step, int32_t site,
                             struct tdbg_stats *out)
{
    fake_run_stats(run, step, site, out);
    if (run->wish.is_light && run->sites[site].stage >= TDBG_STAGE_OPTIM && step % 100 != 0)
        *out = tdbg_tui_stats_absent;
}

static bool fails(const struct fake_run *run, enum fake_read what, int64_t step)
{
    return run->wish.fails && run->wish.fails(what, step);
}

static struct fake_run *run_of(void *context)
{
    return ((struct fake_rank *)context)->run;
}

static enum tdbg_status read_steps(void *context, int64_t first, int64_t n,
                                   struct tdbg_step_row *rows, struct tdbg_err *err)
{
    struct fake_run *run = run_of(context);
    const int64_t end = run->data.first_step + run->data.n_steps;
    TDBG_ASSERT(n > 0 && first >= run->data.first_step && n <= end && first <= end - n);
    run->n_row_reads++;
    run->n_rows += n;
    for (int64_t i = 0; i < n; i++) {
        if (fails(run, FAKE_READ_ROWS, first + i))
            return TDBG_RAISE(err, DAMAGED, "fake.h5: row of step %lld is damaged",
                              (long long)(first + i));
        fake_run_row(run, first + i, &rows[i]);
    }
    return TDBG_OK;
}

static enum tdbg_status read_step_stats(void *context, int64_t step, struct tdbg_stats *out,
                                        struct tdbg_err *err)
{
    struct fake_run *run = run_of(context);
    TDBG_ASSERT(step >= run->data.first_step && step < run->data.first_step + run->data.n_steps);
    run->n_step_stats_reads++;
    if (fails(run, FAKE_READ_STEP_STATS, step))
        return TDBG_RAISE(err, DAMAGED, "fake.h5: statistics of step %lld are damaged",
                          (long long)step);
    for (int32_t i = 0; i < run->data.n_sites; i++)
        read_light_stats(run, step, i, &out[i]);
    return TDBG_OK;
}

static bool find_faults(void *context, int64_t step, int64_t *first, int64_t *n, bool *is_faulty)
{
    struct fake_run *run = run_of(context);
    struct tdbg_stats stats;
    const int64_t row = step - run->data.first_step;
    if (row / FAKE_ZONE >= run->data.n_steps / FAKE_ZONE)
        return false;
    *first = run->data.first_step + row / FAKE_ZONE * FAKE_ZONE;
    *n = FAKE_ZONE;
    for (int32_t i = 0; i < run->data.n_sites; i++) {
        is_faulty[i] = false;
        for (int64_t k = 0; k < FAKE_ZONE && !is_faulty[i]; k++) {
            read_light_stats(run, *first + k, i, &stats);
            is_faulty[i] = stats.nans + stats.infs > 0;
        }
    }
    return true;
}

static enum tdbg_status read_stats(void *context, int64_t step, int32_t site,
                                   struct tdbg_stats *out, struct tdbg_err *err)
{
    struct fake_run *run = run_of(context);
    TDBG_ASSERT(step >= run->data.first_step && step < run->data.first_step + run->data.n_steps);
    TDBG_ASSERT(site >= 0 && site < run->data.n_sites);
    run->n_stats_reads++;
    if (fails(run, FAKE_READ_STATS, step))
        return TDBG_RAISE(err, DAMAGED, "fake.h5: statistics of %s at step %lld are damaged",
                          run->sites[site].name, (long long)step);
    fake_run_stats(run, step, site, out);
    if (!tdbg_tui_stats_present(out))
        return TDBG_RAISE(err, NOT_FOUND, "no statistics");
    return TDBG_OK;
}

static int64_t keyframe_before(void *context, int64_t step)
{
    (void)context;
    return step / 100 * 100;
}

static int32_t find(const struct fake_run *run, const char *name)
{
    for (int32_t i = 0; i < run->data.n_sites; i++) {
        if (strcmp(run->sites[i].name, name) == 0)
            return i;
    }
    return -1;
}

static int inputs(void *flow, int32_t site, int32_t *out)
{
    const struct fake_run *run = flow;
    int n = 0;
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        if (strcmp(edges[i][0], run->sites[site].name) == 0 && find(run, edges[i][1]) >= 0)
            out[n++] = find(run, edges[i][1]); /* with odd names some are not there */
    }
    return run->wish.no_graph ? -1 : n;
}

/* Digests of what differs from rank to rank, and of what all ranks have. */
uint64_t fake_run_digest(const struct fake_run *run, int32_t rank, int64_t step, int32_t site)
{
    const struct tdbg_site *s = &run->sites[site];
    uint64_t seed = (uint64_t)(step * 1000 + site + 1);
    const bool is_odd = rank == 2 && step >= FAKE_SPLIT && s->stage >= TDBG_STAGE_REDUCE_OUT &&
                        strstr(s->name, "fc2.weight");
    if (s->lane >= 0)
        seed += UINT64_C(1000000007) * (uint64_t)(rank + 1);
    seed += is_odd;
    if (run->wish.parts_from > 0 && step >= run->wish.parts_from && s->stage >= TDBG_STAGE_FWD)
        seed += 77;
    seed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return seed ^ seed >> 27;
}

static enum tdbg_status read_digests(void *context, int64_t step, uint64_t *out,
                                     struct tdbg_err *err)
{
    const struct fake_rank *r = context;
    struct fake_run *run = run_of(context);
    TDBG_ASSERT(step >= run->data.first_step && step < run->data.first_step + run->data.n_steps);
    run->n_digest_reads++;
    if (fails(run, FAKE_READ_DIGESTS, step))
        return TDBG_RAISE(err, DAMAGED, "fake.h5: digests of step %lld are damaged",
                          (long long)step);
    for (int32_t i = 0; i < run->data.n_sites; i++)
        out[i] = fake_run_digest(run, r->rank, step, i);
    return TDBG_OK;
}

static enum tdbg_status read_batch_ids(void *context, int64_t step, int64_t *ids, int64_t *n,
                                       struct tdbg_err *err)
{
    struct fake_run *run = run_of(context);
    struct tdbg_step_row row;
    fake_run_row(run, step, &row);
    run->n_sample_reads++;
    if (fails(run, FAKE_READ_SAMPLES, step))
        return TDBG_RAISE(err, DAMAGED, "fake.h5: the batch of step %lld is damaged",
                          (long long)step);
    *n = row.samples;
    for (int64_t i = 0; i < *n; i++)
        ids[i] = (step * FAKE_BATCH + i) * 37 % 60000;
    return TDBG_OK;
}

/* A ring whose size and place follow from the id. */
static int ring(int64_t id, int x, int y, int size)
{
    const double cx = size * (0.35 + 0.3 * noise(id, 1)), cy = size * (0.35 + 0.3 * noise(id, 2));
    const double r = sqrt((x - cx) * (x - cx) + (y - cy) * (y - cy));
    const double off = fabs(r - size * (0.2 + 0.1 * noise(id, 3)));
    return off < 4 ? (int)(255 - off * 60) : 0;
}

static void fill_sample(const struct fake_run *run, int64_t id, uint8_t *x, void *y)
{
    int64_t *classes = y, *tokens = (int64_t *)(void *)x;
    float *numbers = (float *)(void *)x;
    switch (run->wish.samples) {
    case FAKE_IMAGES:
        for (int i = 0; i < 28 * 28; i++)
            x[i] = (uint8_t)ring(id, i % 28, i / 28, 28);
        *classes = id % 10;
        return;
    case FAKE_COLOUR_IMAGES:
        for (int i = 0; i < 3 * 16 * 16; i++)
            x[i] = (uint8_t)ring(id + i / 256 * 3, i % 16, i / 16 % 16, 16);
        *classes = id % 10;
        return;
    case FAKE_TOKENS:
        for (int i = 0; i < 24; i++) {
            tokens[i] = i < 24 - id % 5 ? (id * 7 + i * 5) % 95 + 1 : 0;
            classes[i] = i < 24 - id % 5 ? (id * 7 + i * 5 + 5) % 95 + 1 : -100;
        }
        return;
    case FAKE_CHARACTERS:
        fake_text_characters(id, tokens, classes);
        return;
    case FAKE_BYTES:
        fake_text_bytes(id, tokens, classes);
        return;
    case FAKE_WORDS:
        fake_text_words(id, tokens, classes);
        return;
    case FAKE_NUMBERS:
        for (int i = 0; i < 5; i++)
            numbers[i] = (float)(noise(id, i) * 4 - 2);
        *(float *)y = (float)noise(id, 9);
        return;
    }
}

static size_t sample_bytes(enum tdbg_dtype dtype, int32_t ndim, const int64_t *dims)
{
    size_t bytes = tdbg_dtype_bytes(dtype);
    for (int32_t i = 0; i < ndim; i++)
        bytes *= (size_t)dims[i];
    return bytes;
}

static enum tdbg_status read_samples(void *context, int64_t n, const int64_t *ids, void *x, void *y,
                                     struct tdbg_err *err)
{
    struct fake_run *run = run_of(context);
    const struct tdbg_samples_spec *s = &run->spec;
    const size_t x_bytes = sample_bytes(s->x_dtype, s->x_ndim, s->x_dims);
    const size_t y_bytes = sample_bytes(s->y_dtype, s->y_ndim, s->y_dims);
    run->n_sample_reads++;
    run->n_samples += n;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        fill_sample(run, ids[i], (uint8_t *)x + (size_t)i * x_bytes,
                    (uint8_t *)y + (size_t)i * y_bytes);
    return TDBG_OK;
}

static enum tdbg_status read_vocabulary(void *context, const struct tdbg_vocabulary **out,
                                        struct tdbg_err *err)
{
    static const struct tdbg_vocabulary none;
    const struct fake_run *run = run_of(context);
    if (fails(run, FAKE_READ_VOCABULARY, 0))
        return TDBG_RAISE(err, DAMAGED, "fake.h5: run/vocabulary/start is damaged");
    *out = run->wish.samples == FAKE_CHARACTERS ? fake_text_character_vocabulary()
           : run->wish.samples == FAKE_WORDS    ? fake_text_word_vocabulary()
                                                : &none;
    return TDBG_OK;
}

static struct tdbg_samples_spec make_spec(enum fake_samples samples)
{
    struct tdbg_samples_spec s = {.x_dtype = TDBG_DTYPE_U8,
                                  .y_dtype = TDBG_DTYPE_I64,
                                  .x_ndim = 2,
                                  .x_dims = {28, 28},
                                  .total = 60000,
                                  .classes = 10};
    if (samples == FAKE_COLOUR_IMAGES) {
        s.x_ndim = 3;
        s.x_dims[0] = 3, s.x_dims[1] = s.x_dims[2] = 16;
    } else if (samples == FAKE_TOKENS) {
        s.x_dtype = TDBG_DTYPE_I64;
        s.x_ndim = s.y_ndim = 1;
        s.x_dims[0] = s.y_dims[0] = 24;
        s.classes = s.vocab = 96;
    } else if (samples >= FAKE_CHARACTERS) {
        s.x_dtype = TDBG_DTYPE_I64;
        s.x_ndim = s.y_ndim = 1;
        s.x_dims[0] = s.y_dims[0] = samples == FAKE_WORDS ? FAKE_WORD_TOKENS : FAKE_TEXT_TOKENS;
        s.classes = s.vocab = 256;
    } else if (samples == FAKE_NUMBERS) {
        s.x_dtype = s.y_dtype = TDBG_DTYPE_F32;
        s.x_ndim = 1;
        s.x_dims[0] = 5;
        s.classes = 0;
    }
    return s;
}

static const struct tdbg_tui_data *open_rank(void *context, int32_t rank, const char **why)
{
    struct fake_run *run = context;
    run->n_opened_ranks++;
    *why = "runs/fake.rank3.h5 is not there";
    return rank < 3 ? &run->rank_data[rank] : NULL;
}

static enum tdbg_status find_split(void *context, struct tdbg_rank_split *out, struct tdbg_err *err)
{
    struct fake_run *run = context;
    (void)err;
    *out = (struct tdbg_rank_split){.found = run->data.n_steps + run->data.first_step > FAKE_SPLIT,
                                    .step = FAKE_SPLIT,
                                    .n_odd = 1,
                                    .n_files = 3,
                                    .ranks = "2"};
    for (int32_t i = run->data.n_sites - 1; i >= 0; i--) {
        if (strcmp(run->sites[i].name, "reduce_out/fc2.weight") == 0)
            out->site = i;
    }
    return TDBG_OK;
}

static enum tdbg_status fold(void *context, int64_t step, int32_t site, uint64_t *digest,
                             struct tdbg_err *err)
{
    struct fake_run *run = context;
    run->n_folds++;
    if (run->sites[site].stage != TDBG_STAGE_REDUCE_OUT)
        return TDBG_RAISE(err, CANNOT_JUDGE, "%s is no sum", run->sites[site].name);
    *digest = fake_run_digest(run, 0, step, site);
    return TDBG_OK;
}

/* The site, or one for each lane and micro-batch. */
static void add_sites(struct fake_run *run, const struct tdbg_site *site)
{
    const bool is_part = site->stage == TDBG_STAGE_FWD || site->stage == TDBG_STAGE_BWD;
    const bool is_reduced =
        site->stage == TDBG_STAGE_REDUCE_IN || site->stage == TDBG_STAGE_REDUCE_OUT;
    if (is_reduced && run->wish.ranks < 2)
        return;
    for (int32_t i = 0; i < (is_part ? run->wish.lanes * run->wish.micros : 1); i++) {
        struct tdbg_site *to = &run->sites[run->data.n_sites++];
        TDBG_ASSERT(run->data.n_sites <= FAKE_MAX_SITES);
        *to = *site;
        if (is_part) {
            to->lane = i / run->wish.micros;
            to->micro = i % run->wish.micros;
        }
    }
}

static const char fake_config[] =
    "seed = 42;\nsteps = 2000;\ndrop_samples = [ 37 ];\n"
    "data = { kind = \"idx\"; batch = 64; };\n"
    "optimizer = { kind = \"sgd\"; lr = 0.01; momentum = 0.9; weight_decay = 0.0001; groups = ( "
    "{ match = [ \"*.bias\" ]; weight_decay = 0.0; lr_scale = 2.0; } ); };\n"
    "freeze = [ \"fc2.bias\" ];\n"
    "schedule = { kind = \"constant\"; warmup = 100; every = \"step\"; };\n";

/* Tables of the ranks that have a file; the lanes of rank r are its own. */
static void make_ranks(struct fake_run *run)
{
    run->ranks = (struct tdbg_tui_ranks){.context = run,
                                         .n = run->wish.ranks,
                                         .open = open_rank,
                                         .find_split = find_split,
                                         .fold = fold};
    run->data.ranks = &run->ranks;
    for (int32_t r = 0; r < run->wish.ranks; r++) {
        run->of_rank[r] = (struct fake_rank){run, r};
        run->rank_info[r] = run->info;
        run->rank_info[r].rank = r;
        memcpy(run->rank_sites[r], run->sites, sizeof run->sites);
        for (int32_t i = 0; i < run->data.n_sites; i++)
            run->rank_sites[r][i].lane += run->sites[i].lane < 0 ? 0 : r * run->wish.lanes;
        run->rank_data[r] = run->data;
        run->rank_data[r].context = &run->of_rank[r];
        run->rank_data[r].info = &run->rank_info[r];
        run->rank_data[r].sites = run->rank_sites[r];
        run->rank_data[r].path = r == 0   ? "runs/fake.h5"
                                 : r == 1 ? "runs/fake.rank1.h5"
                                          : "runs/fake.rank2.h5";
    }
}

void fake_run_make(struct fake_run *run, const struct fake_wish *wish)
{
    *run = (struct fake_run){.wish = *wish};
    run->wish.n_steps = wish->n_steps ? wish->n_steps : 2000;
    run->wish.eval_every = wish->eval_every ? wish->eval_every : 100;
    run->wish.lanes = wish->lanes ? wish->lanes : 1;
    run->wish.micros = wish->micros ? wish->micros : 1;
    run->wish.ranks = wish->ranks ? wish->ranks : 1;
    for (size_t i = 0; i < N_TABLE && !wish->no_sites; i++)
        add_sites(run, &table[i]);
    for (size_t i = 0; i < N_KINDS && wish->kinds; i++)
        add_sites(run, &kinds[i]);
    for (int32_t i = 0; i < N_ODD && wish->wide_names; i++)
        run->sites[i].name = odd_names[i];
    run->info = (struct tdbg_run_info){.tdbg_version = "0",
                                       .rank = 0,
                                       .world_size = run->wish.ranks,
                                       .lanes = run->wish.lanes * run->wish.ranks,
                                       .accumulate = run->wish.micros,
                                       .batch = 64,
                                       .planned_steps = run->wish.n_steps,
                                       .keyframe_every = 100,
                                       .preset = "standard",
                                       .config = wish->config ? wish->config : fake_config,
                                       .environment = "{}",
                                       .dataset = "{}",
                                       .graph = "{}",
                                       .config_path = "fake.cfg"};
    run->spec = make_spec(wish->samples);
    const int32_t n_sites = run->data.n_sites;
    run->of_rank[0] = (struct fake_rank){run, 0};
    run->data = (struct tdbg_tui_data){
        .context = &run->of_rank[0],
        .path = "runs/fake.h5",
        .info = &run->info,
        .sites = run->sites,
        .n_sites = n_sites,
        .first_step = wish->first_step,
        .n_steps = run->wish.n_steps,
        .closed = !wish->cut_off,
        .read_steps = read_steps,
        .read_step_stats = read_step_stats,
        .find_faults = run->wish.has_zones ? find_faults : NULL,
        .read_stats = read_stats,
        .keyframe_before = keyframe_before,
        .inputs = inputs,
        .flow = run,
        .read_digests = read_digests,
        .samples = wish->no_sites ? NULL : &run->spec,
        .read_batch_ids = read_batch_ids,
        .read_samples = read_samples,
        .read_vocabulary = read_vocabulary,
    };
    if (run->wish.ranks > 1)
        make_ranks(run);
}

void fake_run_reset_counts(struct fake_run *run)
{
    run->n_row_reads = run->n_rows = run->n_step_stats_reads = run->n_stats_reads = 0;
    run->n_digest_reads = run->n_sample_reads = run->n_samples = run->n_folds = 0;
    run->n_opened_ranks = 0;
}
