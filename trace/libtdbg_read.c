/* The public library: reading. See include/tdbg.h. A thin layer over trace/reader.h, which checks
 * the file; what is checked here is the caller. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trace/libtdbg_impl.h"
#include "trace/reader.h"

enum { UUID_TEXT_BYTES = 37, ROWS_AT_ONCE = 64 };

struct tdbg_read {
    struct tdbg_trace *trace; /* NULL: it could not be opened */
    const struct tdbg_run_info *info;
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans;
    const struct tdbg_keyframe_item *items;
    int32_t n_sites, n_items;
    int64_t file_bytes;
    char uuid[UUID_TEXT_BYTES];
    struct tdbg_err err;
};

/* Raises TDBG_ERR_USAGE and returns where the handle, or what a call needs, is not there. */
#define NEEDS(t, condition, ...)                                                                   \
    do {                                                                                           \
        if (!(t))                                                                                  \
            return TDBG_ERR_USAGE;                                                                 \
        if (!(t)->trace)                                                                           \
            return LIB_USAGE(&(t)->err, "the trace could not be opened");                          \
        if (!(condition))                                                                          \
            return LIB_USAGE(&(t)->err, __VA_ARGS__);                                              \
    } while (0)

/* Runs one call of the reader in its turn and returns its result. */
#define IN_TURN(call)                                                                              \
    do {                                                                                           \
        tdbg_lib_lock();                                                                           \
        enum tdbg_status in_turn_st = (call);                                                      \
        tdbg_lib_unlock();                                                                         \
        return tdbg_lib_result(in_turn_st);                                                        \
    } while (0)

static void write_uuid(const uint8_t *uuid, char *at)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < TDBG_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[uuid[i] >> 4];
        *at++ = digits[uuid[i] & 15];
    }
    *at = 0;
}

/* --- opening, and what is known then --- */

static enum tdbg_status open_trace(struct tdbg_read *t, const char *path, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct stat file;
    TDBG_TRY(tdbg_trace_open(path, &t->trace, err));
    t->info = tdbg_trace_info(t->trace);
    t->sites = tdbg_trace_sites(t->trace, &t->n_sites);
    t->plans = tdbg_trace_plans(t->trace);
    t->items = tdbg_trace_keyframe_items(t->trace, &t->n_items);
    write_uuid(t->info->uuid, t->uuid);
    t->file_bytes = stat(path, &file) == 0 ? file.st_size : 0;
out:
    return st;
}

int tdbg_read_open(const char *path, struct tdbg_read **out)
{
    if (!out)
        return TDBG_ERR_USAGE;
    struct tdbg_read *t = *out = calloc(1, sizeof *t);
    if (!t)
        return TDBG_ERR_NO_MEMORY;
    if (!path)
        return LIB_USAGE(&t->err, "tdbg_read_open() got no path");
    IN_TURN(open_trace(t, path, &t->err));
}

void tdbg_read_close(struct tdbg_read *t)
{
    if (!t)
        return;
    tdbg_lib_lock();
    tdbg_trace_close(t->trace);
    tdbg_lib_unlock();
    tdbg_err_clear(&t->err);
    free(t);
}

const char *tdbg_read_error(const struct tdbg_read *t)
{
    if (!t)
        return "there is no trace: NULL was passed, or memory is out";
    if (t->err.message)
        return t->err.message;
    return t->err.status == TDBG_OK ? "" : tdbg_status_text(t->err.status);
}

const char *tdbg_read_text(const struct tdbg_read *t, enum tdbg_text which)
{
    if (!t || !t->trace)
        return NULL;
    switch (which) {
    case TDBG_TEXT_CONFIG:
        return t->info->config;
    case TDBG_TEXT_CONFIG_PATH:
        return t->info->config_path;
    case TDBG_TEXT_DATASET:
        return t->info->dataset;
    case TDBG_TEXT_ENVIRONMENT:
        return t->info->environment;
    case TDBG_TEXT_PATH:
        return tdbg_trace_path(t->trace);
    case TDBG_TEXT_RUN_ID:
        return t->uuid;
    case TDBG_TEXT_VERSION:
        return t->info->tdbg_version;
    case TDBG_TEXT_PRESET:
        return t->info->preset;
    case TDBG_TEXT_INJECT:
        return t->info->inject;
    case TDBG_TEXT_GRAPH:
        return t->info->graph;
    case TDBG_TEXT_PROGRAM:
        break;
    }
    return NULL;
}

int64_t tdbg_read_int(const struct tdbg_read *t, enum tdbg_int which)
{
    if (!t || !t->trace)
        return 0;
    switch (which) {
    case TDBG_INT_BATCH:
        return t->info->batch;
    case TDBG_INT_SEED:
        return (int64_t)t->info->seed;
    case TDBG_INT_PLANNED_STEPS:
        return t->info->planned_steps;
    case TDBG_INT_KEYFRAME_EVERY:
        return t->info->keyframe_every;
    case TDBG_INT_FIRST_STEP:
        return tdbg_trace_first_step(t->trace);
    case TDBG_INT_STEPS:
        return tdbg_trace_n_steps(t->trace);
    case TDBG_INT_CLOSED:
        return tdbg_trace_is_closed(t->trace);
    case TDBG_INT_NUMERICS_VERSION:
        return t->info->numerics_version;
    case TDBG_INT_RANK:
        return t->info->rank;
    case TDBG_INT_WORLD_SIZE:
        return t->info->world_size;
    case TDBG_INT_LANES:
        return t->info->lanes;
    case TDBG_INT_ACCUMULATE:
        return t->info->accumulate;
    case TDBG_INT_FILE_BYTES:
        return t->file_bytes;
    }
    return 0;
}

/* --- tensors --- */

static bool is_tensor(const struct tdbg_read *t, int32_t id)
{
    return id >= 0 && id < t->n_sites;
}

static void fill_shape(struct tdbg_tensor *out, enum tdbg_dtype dtype, int32_t ndim,
                       const int64_t *dims)
{
    *out = (struct tdbg_tensor){.elem = (enum tdbg_elem)dtype, .ndim = ndim, .op = "", .unit = ""};
    memcpy(out->shape, dims, (size_t)ndim * sizeof *dims);
}

static enum tdbg_keep keep_of(enum tdbg_store store)
{
    switch (store) {
    case TDBG_STORE_NONE:
        return TDBG_KEEP_DIGEST;
    case TDBG_STORE_SAMPLES:
        return TDBG_KEEP_SAMPLES;
    case TDBG_STORE_KEYFRAME:
        return TDBG_KEEP_KEYFRAME;
    case TDBG_STORE_DELTA:
        return TDBG_KEEP_DELTA;
    default:
        return TDBG_KEEP_VALUES;
    }
}

int32_t tdbg_read_n_tensors(const struct tdbg_read *t)
{
    return t && t->trace ? t->n_sites : 0;
}

int tdbg_read_tensor(struct tdbg_read *t, int32_t id, struct tdbg_tensor *out)
{
    NEEDS(t, out && is_tensor(t, id), "no tensor %d, or no room for it", (int)id);
    const struct tdbg_site *s = &t->sites[id];
    fill_shape(out, s->dtype, s->ndim, s->dims);
    out->name = s->name;
    out->stage = tdbg_stage_text(s->stage);
    out->op = s->op;
    out->unit = s->unit;
    out->batched = s->batched;
    out->keep = keep_of(t->plans[id].store);
    out->digest_every = t->plans[id].digest_every;
    out->value_every = t->plans[id].value_every;
    return TDBG_SUCCESS;
}

int tdbg_read_lane(struct tdbg_read *t, int32_t id, int32_t *lane, int32_t *micro)
{
    NEEDS(t, lane && micro && is_tensor(t, id), "no tensor %d, or NULL", (int)id);
    *lane = t->sites[id].lane;
    *micro = t->sites[id].micro;
    return TDBG_SUCCESS;
}

int tdbg_read_find(struct tdbg_read *t, const char *name, int32_t lane, int32_t micro, int32_t *id)
{
    NEEDS(t, name && id, "tdbg_read_find() got NULL");
    int32_t found = tdbg_trace_find_site(t->trace, name, lane, micro);
    if (found < 0)
        return tdbg_lib_result(TDBG_RAISE(&t->err, NOT_FOUND, "%s has no tensor '%s'",
                                          tdbg_trace_path(t->trace), name));
    *id = found;
    return TDBG_SUCCESS;
}

/* --- rows of a step --- */

static enum tdbg_status read_rows(struct tdbg_read *t, int64_t first, int64_t n,
                                  struct tdbg_read_step *rows)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row piece[ROWS_AT_ONCE];
    for (int64_t at = 0; at < n; at += ROWS_AT_ONCE) {
        int64_t n_piece = n - at < ROWS_AT_ONCE ? n - at : ROWS_AT_ONCE;
        TDBG_TRY(tdbg_trace_read_steps(t->trace, first + at, n_piece, piece, &t->err));
        for (int64_t i = 0; i < n_piece; i++)
            rows[at + i] = (struct tdbg_read_step){.step = piece[i].step,
                                                   .epoch = piece[i].epoch,
                                                   .samples = piece[i].samples,
                                                   .start_ns = piece[i].start_ns,
                                                   .duration_ns = piece[i].duration_ns,
                                                   .grad_norm = piece[i].grad_norm,
                                                   .loss = piece[i].loss,
                                                   .lr = piece[i].lr,
                                                   .evaluated = piece[i].evaluated};
    }
out:
    return st;
}

int tdbg_read_steps(struct tdbg_read *t, int64_t first, int64_t n, struct tdbg_read_step *rows)
{
    NEEDS(t, first >= 0 && n >= 0 && n <= TDBG_MAX_STEPS && (rows || n == 0),
          "%lld steps from step %lld, or NULL", (long long)n, (long long)first);
    if (n > 0 && (first < tdbg_trace_first_step(t->trace) ||
                  n > tdbg_trace_first_step(t->trace) + tdbg_trace_n_steps(t->trace) - first))
        return tdbg_lib_result(TDBG_RAISE(&t->err, NOT_FOUND,
                                          "%s has not all of %lld steps from "
                                          "step %lld on",
                                          tdbg_trace_path(t->trace), (long long)n,
                                          (long long)first));
    IN_TURN(read_rows(t, first, n, rows));
}

int tdbg_read_chains(struct tdbg_read *t, int64_t step, uint64_t chains[TDBG_CHAINS])
{
    struct tdbg_step_row row;
    NEEDS(t, chains, "tdbg_read_chains() got NULL");
    tdbg_lib_lock();
    enum tdbg_status st = tdbg_trace_read_steps(t->trace, step, 1, &row, &t->err);
    tdbg_lib_unlock();
    if (st == TDBG_OK)
        memcpy(chains, row.chain, sizeof row.chain);
    return tdbg_lib_result(st);
}

const char *tdbg_read_chain_name(int chain)
{
    return chain >= 0 && chain < TDBG_CHAIN_COUNT ? tdbg_chain_name(chain) : NULL;
}

int tdbg_read_has(struct tdbg_read *t, int64_t step, int32_t id)
{
    struct tdbg_step_row row;
    if (!t || !t->trace || !is_tensor(t, id))
        return 0;
    tdbg_lib_lock();
    int has = 0;
    if (tdbg_trace_read_steps(t->trace, step, 1, &row, NULL) == TDBG_OK)
        has = (tdbg_trace_has_digest(t->trace, id, step, row.evaluated) ? TDBG_HAS_DIGEST : 0) |
              (tdbg_trace_has_values(t->trace, id, step, row.evaluated) ? TDBG_HAS_VALUES : 0);
    tdbg_lib_unlock();
    return has;
}

int tdbg_read_digests(struct tdbg_read *t, int64_t step, uint64_t *digests)
{
    NEEDS(t, digests, "tdbg_read_digests() got NULL");
    IN_TURN(tdbg_trace_read_digests(t->trace, step, digests, &t->err));
}

static struct tdbg_tensor_stats public_stats(const struct tdbg_stats *s)
{
    return (struct tdbg_tensor_stats){.min = s->min,
                                      .max = s->max,
                                      .mean = s->mean,
                                      .rms = s->rms,
                                      .zeros = s->zeros,
                                      .nans = s->nans,
                                      .infs = s->infs};
}

int tdbg_read_stats(struct tdbg_read *t, int64_t step, int32_t id, struct tdbg_tensor_stats *out)
{
    struct tdbg_stats s;
    NEEDS(t, out && is_tensor(t, id), "no tensor %d, or no room for statistics", (int)id);
    tdbg_lib_lock();
    enum tdbg_status st = tdbg_trace_read_stats(t->trace, step, id, &s, &t->err);
    tdbg_lib_unlock();
    if (st == TDBG_OK)
        *out = public_stats(&s);
    return tdbg_lib_result(st);
}

int tdbg_read_step_stats(struct tdbg_read *t, int64_t step, struct tdbg_tensor_stats *out)
{
    NEEDS(t, out, "tdbg_read_step_stats() got NULL");
    struct tdbg_stats *all = malloc((size_t)t->n_sites * sizeof *all);
    if (!all)
        return tdbg_lib_result(TDBG_RAISE(&t->err, NO_MEMORY, "no memory for statistics"));
    tdbg_lib_lock();
    enum tdbg_status st = tdbg_trace_read_step_stats(t->trace, step, all, &t->err);
    tdbg_lib_unlock();
    for (int32_t i = 0; st == TDBG_OK && i < t->n_sites; i++)
        out[i] = public_stats(&all[i]);
    free(all);
    return tdbg_lib_result(st);
}

/* --- values --- */

int tdbg_read_values(struct tdbg_read *t, int64_t step, int32_t id, void *data, size_t room_bytes,
                     int64_t *n_elems)
{
    NEEDS(t, data && is_tensor(t, id), "no tensor %d, or no room for values", (int)id);
    const struct tdbg_site *s = &t->sites[id];
    const size_t bytes = (size_t)tdbg_site_elems(s) * tdbg_dtype_bytes(s->dtype);
    NEEDS(t, room_bytes >= bytes, "%s has %zu bytes, and there is room for %zu", s->name, bytes,
          room_bytes);
    IN_TURN(tdbg_trace_read_values(t->trace, step, id, data, n_elems, &t->err));
}

static bool is_set(enum tdbg_sample_set set)
{
    return set == TDBG_TRAIN_SAMPLES || set == TDBG_EVAL_SAMPLES;
}

static int internal_set(enum tdbg_sample_set set)
{
    return set == TDBG_TRAIN_SAMPLES ? TDBG_SAMPLES_TRAIN : TDBG_SAMPLES_EVAL;
}

int tdbg_read_samples_shape(struct tdbg_read *t, enum tdbg_sample_set set, struct tdbg_tensor *x,
                            struct tdbg_tensor *y, int64_t *total)
{
    NEEDS(t, is_set(set), "no set of samples %d", (int)set);
    const struct tdbg_samples_spec *spec = tdbg_trace_samples(t->trace, internal_set(set));
    if (x)
        fill_shape(x, spec->x_dtype, spec->x_ndim, spec->x_dims);
    if (y)
        fill_shape(y, spec->y_dtype, spec->y_ndim, spec->y_dims);
    if (total)
        *total = spec->total;
    return TDBG_SUCCESS;
}

int tdbg_read_batch_ids(struct tdbg_read *t, int64_t step, int64_t *ids, int64_t *n)
{
    NEEDS(t, ids && n, "tdbg_read_batch_ids() got NULL");
    IN_TURN(tdbg_trace_read_batch_ids(t->trace, step, ids, n, &t->err));
}

int tdbg_read_samples(struct tdbg_read *t, enum tdbg_sample_set set, int64_t n, const int64_t *ids,
                      void *x, void *y)
{
    NEEDS(t, is_set(set) && n >= 0 && (ids || n == 0), "no set %d, %lld samples, or NULL", (int)set,
          (long long)n);
    IN_TURN(tdbg_trace_read_samples(t->trace, internal_set(set), n, ids, x, y, &t->err));
}

int tdbg_read_vocabulary(struct tdbg_read *t, int64_t *n_tokens, const int64_t **start,
                         const unsigned char **bytes)
{
    const struct tdbg_vocabulary *v;
    NEEDS(t, n_tokens && start && bytes, "tdbg_read_vocabulary() got NULL");
    tdbg_lib_lock();
    const enum tdbg_status st = tdbg_trace_vocabulary(t->trace, &v, &t->err);
    tdbg_lib_unlock();
    if (st == TDBG_OK) {
        *n_tokens = v->n_tokens;
        *start = v->start;
        *bytes = v->bytes;
    }
    return tdbg_lib_result(st);
}

/* --- keyframes --- */

int64_t tdbg_read_keyframe_before(const struct tdbg_read *t, int64_t step)
{
    return t && t->trace ? tdbg_trace_keyframe_before(t->trace, step) : -1;
}

int32_t tdbg_read_n_items(const struct tdbg_read *t)
{
    return t && t->trace ? t->n_items : 0;
}

int tdbg_read_item(struct tdbg_read *t, int32_t item, struct tdbg_tensor *out)
{
    NEEDS(t, out && item >= 0 && item < t->n_items, "no item %d, or no room for it", (int)item);
    fill_shape(out, t->items[item].dtype, t->items[item].ndim, t->items[item].dims);
    out->name = t->items[item].name;
    out->stage = tdbg_stage_text(TDBG_STAGE_STATE);
    out->keep = TDBG_KEEP_KEYFRAME;
    return TDBG_SUCCESS;
}

int tdbg_read_keyframe(struct tdbg_read *t, int64_t step, int32_t item, void *data,
                       size_t room_bytes)
{
    NEEDS(t, data && item >= 0 && item < t->n_items, "no item %d, or NULL", (int)item);
    size_t bytes = tdbg_dtype_bytes(t->items[item].dtype);
    for (int32_t d = 0; d < t->items[item].ndim; d++)
        bytes *= (size_t)t->items[item].dims[d];
    NEEDS(t, room_bytes >= bytes, "%s has %zu bytes, and there is room for %zu",
          t->items[item].name, bytes, room_bytes);
    IN_TURN(tdbg_trace_read_keyframe(t->trace, step, item, data, &t->err));
}
