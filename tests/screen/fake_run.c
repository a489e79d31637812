/* See fake_run.h. */
#include "tests/screen/fake_run.h"

#include <math.h>
#include <string.h>

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
    if (is_nan_step(step) && (s->stage == TDBG_STAGE_BWD || s->stage == TDBG_STAGE_GRAD)) {
        out->nans = (uint64_t)tdbg_site_elems(s);
        out->min = out->max = out->mean = out->rms = (double)NAN;
    } else if (is_nan_step(step) && strcmp(s->name, "fwd/fc2") == 0) {
        out->infs = 64;
    }
}

static bool fails(const struct fake_run *run, enum fake_read what, int64_t step)
{
    return run->wish.fails && run->wish.fails(what, step);
}

static enum tdbg_status read_steps(void *context, int64_t first, int64_t n,
                                   struct tdbg_step_row *rows, struct tdbg_err *err)
{
    struct fake_run *run = context;
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
    struct fake_run *run = context;
    TDBG_ASSERT(step >= run->data.first_step && step < run->data.first_step + run->data.n_steps);
    run->n_step_stats_reads++;
    if (fails(run, FAKE_READ_STEP_STATS, step))
        return TDBG_RAISE(err, DAMAGED, "fake.h5: statistics of step %lld are damaged",
                          (long long)step);
    for (int32_t i = 0; i < run->data.n_sites; i++)
        fake_run_stats(run, step, i, &out[i]);
    return TDBG_OK;
}

static enum tdbg_status read_stats(void *context, int64_t step, int32_t site,
                                   struct tdbg_stats *out, struct tdbg_err *err)
{
    struct fake_run *run = context;
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
        if (strcmp(edges[i][0], run->sites[site].name) == 0)
            out[n++] = find(run, edges[i][1]);
    }
    return run->wish.no_graph ? -1 : n;
}

/* The site, or one for each lane and micro-batch. */
static void add_sites(struct fake_run *run, const struct tdbg_site *site)
{
    const bool is_part = site->stage == TDBG_STAGE_FWD || site->stage == TDBG_STAGE_BWD;
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

void fake_run_make(struct fake_run *run, const struct fake_wish *wish)
{
    *run = (struct fake_run){.wish = *wish};
    run->wish.n_steps = wish->n_steps ? wish->n_steps : 2000;
    run->wish.eval_every = wish->eval_every ? wish->eval_every : 100;
    run->wish.lanes = wish->lanes ? wish->lanes : 1;
    run->wish.micros = wish->micros ? wish->micros : 1;
    for (size_t i = 0; i < N_TABLE && !wish->no_sites; i++)
        add_sites(run, &table[i]);
    for (size_t i = 0; i < N_KINDS && wish->kinds; i++)
        add_sites(run, &kinds[i]);
    for (int32_t i = 0; i < N_ODD && wish->wide_names; i++)
        run->sites[i].name = odd_names[i];
    run->info = (struct tdbg_run_info){.tdbg_version = "0",
                                       .rank = 0,
                                       .world_size = 1,
                                       .lanes = run->wish.lanes,
                                       .accumulate = run->wish.micros,
                                       .batch = 64,
                                       .planned_steps = run->wish.n_steps,
                                       .keyframe_every = 100,
                                       .preset = "standard",
                                       .config_path = "fake.cfg"};
    const int32_t n_sites = run->data.n_sites;
    run->data = (struct tdbg_tui_data){
        .context = run,
        .path = "runs/fake.h5",
        .info = &run->info,
        .sites = run->sites,
        .n_sites = n_sites,
        .first_step = wish->first_step,
        .n_steps = run->wish.n_steps,
        .closed = !wish->cut_off,
        .read_steps = read_steps,
        .read_step_stats = read_step_stats,
        .read_stats = read_stats,
        .keyframe_before = keyframe_before,
        .inputs = inputs,
        .flow = run,
    };
}

void fake_run_reset_counts(struct fake_run *run)
{
    run->n_row_reads = run->n_rows = run->n_step_stats_reads = run->n_stats_reads = 0;
}
