/* Traces and conditions for tests of searches by zones. See zone_trace.h. */
#include "tests/replay/zone_trace.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/chain.h"
#include "trace/layout.h"
#include "trace/segment.h"

enum { LANES = 2, BATCH = 6, COLS = 2, KEYFRAME = 5, REGIME = 9 };

uint64_t zone_random(uint64_t seed, int64_t a, int64_t b)
{
    uint64_t x = seed;
    const int64_t parts[] = {a, b};
    for (int i = 0; i < 2; i++) {
        x += (uint64_t)parts[i] + UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        x ^= x >> 31;
    }
    return x;
}

/* shape: 0 a scalar, n: (n), -1: a row of COLS per sample of the lane */
static const struct kind {
    const char *name;
    enum tdbg_stage stage;
    enum tdbg_dtype dtype;
    int shape, every;
} kinds[] = {
    {"hyper/lr", TDBG_STAGE_HYPER, TDBG_DTYPE_F32, 0, 1},
    {"state/w", TDBG_STAGE_STATE, TDBG_DTYPE_F64, 5, KEYFRAME},
    {"fwd/a", TDBG_STAGE_FWD, TDBG_DTYPE_F32, -1, 1},
    {"fwd/rare", TDBG_STAGE_FWD, TDBG_DTYPE_F32, 3, 3},
    {"loss", TDBG_STAGE_LOSS, TDBG_DTYPE_F32, 0, 1},
    {"grad/w", TDBG_STAGE_GRAD, TDBG_DTYPE_F64, 5, 1},
    {"grad/b", TDBG_STAGE_GRAD, TDBG_DTYPE_F32, 7, 1},
    {"grad/holes", TDBG_STAGE_GRAD, TDBG_DTYPE_F32, 3, 1},
    {"optim/m", TDBG_STAGE_OPTIM, TDBG_DTYPE_F32, 4, 1},
    {"param/w", TDBG_STAGE_PARAM, TDBG_DTYPE_F64, 5, 1},
    {"eval/loss", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, 0, 1},
    {"eval/rare", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, 3, 2},
    {"eval/b", TDBG_STAGE_EVAL, TDBG_DTYPE_F32, 4, 1},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static void add_site(struct zone_trace *t, const struct kind *k, int32_t lane)
{
    const int32_t i = t->spec.n_sites++;
    t->sites[i] = (struct tdbg_site){.name = k->name,
                                     .op = "",
                                     .unit = "",
                                     .stage = k->stage,
                                     .dtype = k->dtype,
                                     .lane = lane,
                                     .micro = TDBG_LANE_ALL,
                                     .ndim = k->shape < 0 ? 2 : k->shape > 0,
                                     .dims = {k->shape < 0 ? BATCH / LANES : k->shape, COLS},
                                     .batched = k->shape < 0};
    t->plans[i] = (struct tdbg_site_plan){k->every, 0, TDBG_STORE_NONE};
    if (k->stage == TDBG_STAGE_STATE) {
        t->plans[i] = (struct tdbg_site_plan){k->every, k->every, TDBG_STORE_KEYFRAME};
        t->items[t->spec.n_items++] = (struct tdbg_keyframe_item){"w", k->dtype, 1, {k->shape}};
    }
}

static void add_sites(struct zone_trace *t, int32_t rank)
{
    t->spec.n_sites = t->spec.n_items = 0;
    for (int k = 0; k < N_KINDS; k++) {
        if (kinds[k].shape >= 0)
            add_site(t, &kinds[k], TDBG_LANE_ALL);
        for (int32_t lane = 0; lane < LANES && kinds[k].shape < 0; lane++) {
            if (t->world_size == 1 || lane == rank)
                add_site(t, &kinds[k], lane);
        }
    }
}

void zone_trace_make(struct zone_trace *t, uint64_t seed, int32_t world_size, bool is_calm)
{
    *t = (struct zone_trace){.seed = seed, .world_size = world_size, .is_calm = is_calm};
    struct tdbg_run_info *info = &t->spec.info;
    *info = (struct tdbg_run_info){.tdbg_version = "0.1.0",
                                   .numerics_version = TDBG_NUMERICS_FOREIGN,
                                   .world_size = world_size,
                                   .lanes = LANES,
                                   .accumulate = 1,
                                   .batch = BATCH,
                                   .keyframe_every = KEYFRAME,
                                   .preset = "standard"};
    memcpy(info->uuid, &seed, sizeof seed);
    t->steps_per_zone = 4 + (int32_t)(zone_random(seed, -1, 0) % 13);
    t->first_step = zone_random(seed, -1, 1) % 3 ? 0 : KEYFRAME * (int64_t)(seed % 3) + 1;
    t->n_steps = 90 + (int64_t)(zone_random(seed, -1, 2) % 60);
    t->spec.steps_per_zone = t->steps_per_zone;
    t->spec.sites = t->sites;
    t->spec.plans = t->plans;
    t->spec.items = t->items;
    add_sites(t, 0);
}

/* --- what happens in a step --- */

static uint64_t of_regime(const struct zone_trace *t, int64_t key, int64_t step)
{
    return zone_random(t->seed, 1000 + key, step / REGIME);
}

static int64_t samples(const struct zone_trace *t, int64_t step)
{
    const uint64_t r = zone_random(t->seed, 1, step);
    const int64_t least = t->is_calm ? LANES : 0; /* of no samples nothing is recorded */
    return of_regime(t, 0, step) % 3 == 0 ? least + (int64_t)(r % (uint64_t)(BATCH + 1 - least))
                                          : BATCH;
}

static bool evaluated(const struct zone_trace *t, int64_t step)
{
    const uint64_t r = of_regime(t, 1, step);
    return r % 4 == 0 || (r % 4 == 1 && zone_random(t->seed, 2, step) % 3 == 0);
}

/* A number between -scale and scale; infrequently one that is none. */
static double number(const struct zone_trace *t, int64_t key, int64_t step, int64_t i)
{
    static const double scales[] = {1, 0.5, 2, 1e-3, 100, 1e-30, 1e30, 0};
    static const double odd[] = {NAN, INFINITY, -(double)INFINITY, -0.0};
    const uint64_t regime = of_regime(t, 16 + key, step);
    const uint64_t r = zone_random(t->seed, 64 + key, step * 64 + i);
    const bool all_odd = zone_random(t->seed, 40 + key, step) % 6 == 0;
    if (!t->is_calm && regime % 7 == 0 && (r % 11 == 0 || all_odd))
        return odd[r / 11 % (all_odd ? 3 : 4)];
    const double scale = scales[regime / 7 % (t->is_calm ? 4 : 8)];
    return scale * ((double)(r >> 12) * 0x1p-51 - 1);
}

/* The loss (key 1) or the norm of gradients (3). */
static double variable(const struct zone_trace *t, int64_t key, int64_t step)
{
    if (!t->has_curves)
        return number(t, key, step, 0);
    const double level = (double)(1 + zone_random(t->seed, 80 + key, step / (60 + 10 * key)) % 3);
    const double noise = (double)(zone_random(t->seed, 90 + key, step) % 100) * 1e-3;
    return (key == 1 ? 1 : 100) * (level + noise) * exp(-(double)step / 1000);
}

static bool is_missing(const struct zone_trace *t, int32_t site, int64_t step)
{
    return !t->is_calm && strcmp(t->sites[site].name, "grad/holes") == 0 &&
           of_regime(t, 2, step) % 6 == 0 && zone_random(t->seed, 3, step) % 4 == 0;
}

/* A rank now and then has another gradient. */
static int64_t key_of(const struct zone_trace *t, int32_t site, int64_t step, int32_t rank)
{
    int64_t key = 8 * (t->sites[site].lane + 2);
    for (const char *c = t->sites[site].name; *c; c++)
        key = key * 31 % 1000003 + *c;
    if (!t->is_calm && rank > 0 && strcmp(t->sites[site].name, "grad/b") == 0 &&
        of_regime(t, 3, step) % 5 == 0)
        key++;
    return key;
}

static void put_site(const struct zone_trace *t, struct tdbg_trace_writer *w, int32_t site,
                     int64_t step, int32_t rank)
{
    const struct tdbg_site *s = &t->sites[site];
    double f64[ZONE_ELEMS];
    float f32[ZONE_ELEMS];
    int64_t n = tdbg_site_elems(s), first, rows;
    struct tdbg_stats stats;
    if (s->batched) {
        tdbg_layout_slice(samples(t, step), LANES, 1, s->lane, s->micro, &first, &rows);
        n = rows * COLS;
    }
    for (int64_t i = 0; i < n; i++) {
        f64[i] = number(t, key_of(t, site, step, rank), step, i);
        f32[i] = (float)f64[i];
    }
    const void *data = s->dtype == TDBG_DTYPE_F64 ? (void *)f64 : (void *)f32;
    tdbg_stats_reference(data, s->dtype, n, &stats);
    tdbg_trace_writer_put_digest(w, site, tdbg_digest_reference(data, s->dtype, n), &stats);
}

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st == TDBG_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    abort();
}

static void write_step(const struct zone_trace *t, struct tdbg_trace_writer *w, int64_t step,
                       int32_t rank)
{
    struct tdbg_err err = {0};
    const double state[5] = {0};
    struct tdbg_step_row row = {.step = step,
                                .epoch = step / 20,
                                .samples = samples(t, step),
                                .loss = (float)variable(t, 1, step),
                                .lr = (float)number(t, 2, step, 0),
                                .grad_norm = variable(t, 3, step),
                                .evaluated = evaluated(t, step)};
    for (int32_t i = 0; i < t->spec.n_sites; i++) {
        if (tdbg_chain_due(&t->sites[i], &t->plans[i], step, row.evaluated) &&
            !is_missing(t, i, step))
            put_site(t, w, i, step, rank);
    }
    if (step % KEYFRAME == 0)
        check(tdbg_trace_writer_put_keyframe(w, 0, state, &err), &err);
    check(tdbg_trace_writer_commit_step(w, &row, &err), &err);
}

struct tdbg_trace_writer *zone_trace_create(struct zone_trace *t, const char *path, int32_t rank)
{
    struct tdbg_trace_writer *w;
    struct tdbg_err err = {0};
    t->spec.info.rank = rank;
    t->spec.sites = t->sites;
    t->spec.plans = t->plans;
    t->spec.items = t->items;
    add_sites(t, rank);
    check(tdbg_trace_writer_create(path, true, &t->spec, &w, &err), &err);
    return w;
}

void zone_trace_step(const struct zone_trace *t, struct tdbg_trace_writer *w, int64_t step)
{
    write_step(t, w, step, t->spec.info.rank);
}

static void write_file(const struct zone_trace *t, const char *path, int32_t rank, int64_t first,
                       int64_t n)
{
    struct zone_trace of_rank = *t;
    struct tdbg_err err = {0};
    struct tdbg_trace_writer *w = zone_trace_create(&of_rank, path, rank);
    for (int64_t i = 0; i < n; i++)
        zone_trace_step(&of_rank, w, first + i);
    check(tdbg_trace_writer_close(w, &err), &err);
}

void zone_trace_write(const struct zone_trace *t, const char *path, int32_t rank)
{
    struct tdbg_arena *arena = tdbg_arena_create();
    const char *own = rank > 0 ? tdbg_segment_path(arena, path, "rank", rank) : path;
    const int64_t here = t->next_at > 0 ? t->next_at : t->n_steps;
    write_file(t, own, rank, t->first_step, here);
    if (here < t->n_steps)
        write_file(t, tdbg_segment_path(arena, own, "seg", 1), rank, t->first_step + here,
                   t->n_steps - here);
    tdbg_arena_destroy(arena);
}

void zone_trace_strip(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0 || H5Ldelete(file, "zones", H5P_DEFAULT) < 0 || H5Fclose(file) < 0) {
        fprintf(stderr, "%s has no zones\n", path);
        abort();
    }
}

/* --- conditions --- */

struct text {
    const struct zone_trace *trace;
    uint64_t seed;
    int64_t at;
    char *out;
};

static int pick(struct text *t, int n)
{
    return (int)(zone_random(t->seed, -7, t->at++) % (uint64_t)n);
}

#define PICK(t, list) ((list)[pick((t), (int)(sizeof(list) / sizeof *(list)))])

static void add(struct text *t, const char *part)
{
    if (strlen(t->out) + strlen(part) + 1 < ZONE_TEXT)
        strcat(t->out, part);
}

static void add_call(struct text *t, const char *function)
{
    static const char *const patterns[] = {
        "grad/*",  "grad/w",    "grad/b",    "fwd/a",   "fwd/*",    "param/w",    "state/w",
        "*",       "eval/*",    "eval/loss", "optim/m", "hyper/lr", "grad/holes", "?wd/a",
        "state/*", "eval/rare", "*/b",       "*/b",     "*loss"};
    add(t, function);
    add(t, "(");
    add(t, PICK(t, patterns));
    add(t, ")");
}

static void add_number(struct text *t, int depth)
{
    static const char *const numbers[] = {"0",     "1",   "0.5", "2",      "100", "1e-3", "1e30",
                                          "1e-30", "0.9", "1.5", "0.0009", "40",  "3",    "1e60"};
    static const char *const variables[] = {"loss", "lr", "grad_norm", "step", "epoch", "samples"};
    static const char *const functions[] = {"min",  "max",   "mean", "rms", "absmax",
                                            "norm", "zeros", "nan",  "inf", "count"};
    static const char *const scalars[] = {"eval/loss", "hyper/lr"};
    static const char *const signs[] = {" + ", " - ", " * ", " / "};
    switch (pick(t, depth > 0 ? 12 : 9)) {
    case 0:
    case 1:
        add(t, PICK(t, numbers));
        break;
    case 2:
    case 3:
        add(t, PICK(t, variables));
        break;
    case 4:
        add(t, PICK(t, scalars));
        break;
    case 9:
        add(t, "-");
        add_number(t, depth - 1);
        break;
    case 10:
    case 11:
        add(t, "(");
        add_number(t, depth - 1);
        add(t, PICK(t, signs));
        add_number(t, depth - 1);
        add(t, ")");
        break;
    default:
        add_call(t, PICK(t, functions));
    }
}

static void add_condition(struct text *t, int depth)
{
    static const char *const signs[] = {" < ", " <= ", " > ", " >= ", " == ", " != "};
    static const char *const faults[] = {"nan", "inf", "zeros"};
    static const char *const rare[] = {"diverges(loss)", "max(grad/w[0:2]) > 1", "1 < 2",
                                       "update_ratio(w) > 0.1"};
    switch (pick(t, depth > 0 ? 11 : 7)) {
    case 0:
    case 1:
        add_call(t, PICK(t, faults));
        break;
    case 2:
        add(t, t->trace->world_size > 1
                   ? PICK(t, ((const char *const[]){"rankdiff", "rankdiff(grad/b)",
                                                    "rankdiff(eval/*)", "rankdiff(fwd/rare)"}))
                   : "nan");
        break;
    case 7:
        add(t, "not ");
        add_condition(t, depth - 1);
        break;
    case 8:
    case 9:
        add(t, "(");
        add_condition(t, depth - 1);
        add(t, pick(t, 2) ? " and " : " or ");
        add_condition(t, depth - 1);
        add(t, ")");
        break;
    case 10:
        add(t, PICK(t, rare));
        break;
    default:
        add_number(t, 2);
        add(t, PICK(t, signs));
        add_number(t, 1);
    }
}

void zone_condition(const struct zone_trace *trace, uint64_t seed, char text[ZONE_TEXT])
{
    struct text t = {.trace = trace, .seed = seed, .out = text};
    text[0] = '\0';
    if (pick(&t, 4) == 0)
        add(&t, "not (");
    const bool is_negated = text[0] != '\0';
    add_condition(&t, 3);
    add(&t, is_negated ? ")" : "");
    if (!is_negated && pick(&t, 5) == 0) {
        add(&t, " if ");
        add_condition(&t, 1);
    }
}

void zone_number(const struct zone_trace *trace, uint64_t seed, char text[ZONE_TEXT])
{
    struct text t = {.trace = trace, .seed = seed, .out = text};
    text[0] = '\0';
    add_number(&t, pick(&t, 2));
}
