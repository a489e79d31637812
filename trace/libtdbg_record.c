/* The public library: a recording's steps. See include/tdbg.h. What a caller may get wrong is
 * checked before the sink is called, so that a wrong call has no effect; once the sink fails the
 * recording has ended. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_machine.h"
#include "base/version.h"
#include "trace/libtdbg_impl.h"

enum { PACK_BELOW_BYTES = 64 << 10 }; /* docs/trace-format.md, /packed */

/* The result of a call that the sink had a part in: an error there ends the recording, and is never
 * the caller's mistake, because all that a caller says was checked before. */
static int finish(struct tdbg_rec *rec, enum tdbg_status st)
{
    rec->failed |= st != TDBG_OK;
    return tdbg_lib_result(st == TDBG_USAGE ? TDBG_IO : st);
}

/* A writer process is waited for without keeping readers from their turn; a writer in this process
 * calls HDF5, and takes turns with them. */
static bool take_turn(const struct tdbg_rec *rec)
{
    bool own_writer = rec->sink.writer != NULL;
    if (own_writer)
        tdbg_lib_lock();
    return own_writer;
}

static void end_turn(bool taken)
{
    if (taken)
        tdbg_lib_unlock();
}

/* Is it the moment for a call that belongs to this phase? Else *result is what it returns; after an
 * error the first reason stays the text. */
static bool is_time(struct tdbg_rec *rec, enum rec_phase wanted, int *result)
{
    if (rec->failed) {
        *result = TDBG_ERR_FAILED;
        return false;
    }
    if (rec->phase == wanted)
        return true;
    static const char *const texts[] = {
        [REC_DESCRIBE] = "the recording has not begun: tdbg_rec_begin() comes first",
        [REC_BETWEEN_STEPS] = "no step has begun: tdbg_rec_step() comes first",
        [REC_IN_STEP] = "the step has not been committed: tdbg_rec_commit() comes first",
        [REC_CLOSED] = "the recording is closed",
    };
    bool again = wanted == REC_DESCRIBE && rec->phase != REC_CLOSED;
    *result =
        LIB_USAGE(&rec->err, "%s", again ? "the recording has begun already" : texts[rec->phase]);
    return false;
}

/* --- begin --- */

/* JSON, as the trace's environment; NULL: no memory. The caller frees it. */
static char *default_environment(const char *program)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    struct tdbg_json json;
    tdbg_json_init(&json, out, false);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_string(&json, "program", program ? program : "");
    tdbg_json_string(&json, "libtdbg", TDBG_VERSION);
    tdbg_json_machine(&json);
    tdbg_json_object_end(&json);
    fclose(out);
    return text;
}

/* Numerics version 0, preset "library" and an empty graph: nobody can execute this again. */
static enum tdbg_status fill_info(const struct tdbg_rec *rec, struct tdbg_run_info *info,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *program = rec->texts[TDBG_TEXT_PROGRAM], *path = rec->texts[TDBG_TEXT_CONFIG_PATH];
    *info = (struct tdbg_run_info){.tdbg_version = TDBG_VERSION,
                                   .numerics_version = TDBG_NUMERICS_FOREIGN,
                                   .world_size = 1,
                                   .lanes = 1,
                                   .accumulate = 1,
                                   .batch = rec->ints[TDBG_INT_BATCH],
                                   .planned_steps = rec->ints[TDBG_INT_PLANNED_STEPS],
                                   .keyframe_every = rec->ints[TDBG_INT_KEYFRAME_EVERY],
                                   .seed = (uint64_t)rec->ints[TDBG_INT_SEED],
                                   .preset = "library",
                                   .config = rec->texts[TDBG_TEXT_CONFIG],
                                   .config_path = path ? path : program,
                                   .config_source = rec->texts[TDBG_TEXT_CONFIG],
                                   .environment = rec->texts[TDBG_TEXT_ENVIRONMENT],
                                   .dataset = rec->texts[TDBG_TEXT_DATASET]};
    TDBG_FAIL_IF(info->batch == 0, USAGE, "TDBG_INT_BATCH is not set");
    TDBG_FAIL_IF(rec->n_tensors == 0, USAGE, "no tensor was added");
    TDBG_FAIL_IF(getrandom(info->uuid, sizeof info->uuid, 0) != (ssize_t)sizeof info->uuid, IO,
                 "no random bytes for the run's uuid");
    info->uuid[6] = (uint8_t)((info->uuid[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    info->uuid[8] = (uint8_t)((info->uuid[8] & 0x3f) | 0x80);
out:
    return st;
}

/* How a tensor is stored. Small ones of a kind share a dataset, for which all have the same
 * cadence: that of the first; *packed_every is 0 as long as there is none. */
static enum tdbg_store choose_store(const struct rec_tensor *t, int32_t *packed_every)
{
    switch (t->keep) {
    case TDBG_KEEP_DIGEST:
        return TDBG_STORE_NONE;
    case TDBG_KEEP_KEYFRAME:
        return TDBG_STORE_KEYFRAME;
    case TDBG_KEEP_SAMPLES:
        return TDBG_STORE_SAMPLES;
    case TDBG_KEEP_VALUES:
    case TDBG_KEEP_DELTA:
        break;
    }
    int64_t bytes = tdbg_site_elems(&t->site) * (int64_t)tdbg_dtype_bytes(t->site.dtype);
    if (bytes < PACK_BELOW_BYTES && (*packed_every == 0 || *packed_every == t->value_every)) {
        *packed_every = t->value_every;
        return TDBG_STORE_PACKED;
    }
    return t->keep == TDBG_KEEP_DELTA ? TDBG_STORE_DELTA : TDBG_STORE_DATASET;
}

/* Tensors as the writer wants them: sites, plans and the items of a keyframe. */
static enum tdbg_status fill_sites(struct tdbg_rec *rec, struct tdbg_site *sites,
                                   struct tdbg_site_plan *plans, struct tdbg_keyframe_item *items,
                                   int32_t *n_items, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t keyframe_every = (int32_t)rec->ints[TDBG_INT_KEYFRAME_EVERY];
    int32_t packed_every[TDBG_STAGE_COUNT][TDBG_DTYPE_COUNT] = {0};
    *n_items = 0;
    for (int32_t i = 0; i < rec->n_tensors; i++) {
        struct rec_tensor *t = &rec->tensors[i];
        const bool keyframe = t->keep == TDBG_KEEP_KEYFRAME;
        TDBG_FAIL_IF(keyframe && keyframe_every == 0, USAGE,
                     "%s is kept at keyframes, but TDBG_INT_KEYFRAME_EVERY is 0", t->site.name);
        TDBG_FAIL_IF(keyframe && t->digest_every > 0 && keyframe_every % t->digest_every != 0,
                     USAGE, "%s: TDBG_INT_KEYFRAME_EVERY is no multiple of digest_every",
                     t->site.name);
        if (t->digest_every == 0)
            t->digest_every = keyframe ? keyframe_every : 1;
        if (t->value_every == 0 || keyframe)
            t->value_every = keyframe ? keyframe_every : 1;
        sites[i] = t->site;
        plans[i] = (struct tdbg_site_plan){
            .digest_every = t->digest_every,
            .store = choose_store(t, &packed_every[t->site.stage][t->site.dtype])};
        plans[i].value_every = plans[i].store == TDBG_STORE_NONE ? 0 : t->value_every;
        if (!keyframe)
            continue;
        t->item = (*n_items)++;
        items[t->item] = (struct tdbg_keyframe_item){
            .name = tdbg_site_tensor(&t->site), .dtype = t->site.dtype, .ndim = t->site.ndim};
        memcpy(items[t->item].dims, t->site.dims, sizeof t->site.dims);
    }
out:
    return st;
}

static enum tdbg_status open_sink(struct tdbg_rec *rec, const char *path, bool force,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    size_t n = (size_t)rec->n_tensors + 1;
    struct tdbg_trace_spec spec = {.n_sites = rec->n_tensors};
    struct tdbg_site *sites = calloc(n, sizeof *sites);
    struct tdbg_site_plan *plans = calloc(n, sizeof *plans);
    struct tdbg_keyframe_item *items = calloc(n, sizeof *items);
    char *environment = default_environment(rec->texts[TDBG_TEXT_PROGRAM]);
    TDBG_FAIL_IF(!sites || !plans || !items || !environment, NO_MEMORY, "no memory to begin");
    TDBG_TRY(fill_info(rec, &spec.info, err));
    TDBG_TRY(fill_sites(rec, sites, plans, items, &spec.n_items, err));
    if (!spec.info.environment)
        spec.info.environment = environment;
    spec.sites = sites;
    spec.plans = plans;
    spec.items = items;
    spec.samples[TDBG_SAMPLES_TRAIN] = rec->samples;
    spec.vocabulary = rec->vocabulary;
    tdbg_lib_lock();
    st = tdbg_sink_open(&rec->sink, path, force, &spec, err);
    tdbg_lib_unlock();
out:
    free(sites);
    free(plans);
    free(items);
    free(environment);
    return st;
}

int tdbg_rec_begin(struct tdbg_rec *rec, const char *path, unsigned flags)
{
    if (!rec)
        return TDBG_ERR_USAGE;
    int result;
    if (!is_time(rec, REC_DESCRIBE, &result))
        return result;
    if (!path || !*path || (flags & ~(unsigned)TDBG_REC_OVERWRITE) != 0)
        return LIB_USAGE(&rec->err, "tdbg_rec_begin() got no path, or flags that there are not");
    enum tdbg_status st = open_sink(rec, path, flags & TDBG_REC_OVERWRITE, &rec->err);
    if (st != TDBG_OK)
        return tdbg_lib_result(st); /* it may be tried again */
    rec->phase = REC_BETWEEN_STEPS;
    rec->step = rec->ints[TDBG_INT_FIRST_STEP];
    rec->start_ns = tdbg_clock_ns();
    return TDBG_SUCCESS;
}

/* --- steps --- */

int tdbg_rec_step(struct tdbg_rec *rec, int64_t epoch, int64_t samples)
{
    if (!rec)
        return TDBG_ERR_USAGE;
    int result;
    if (!is_time(rec, REC_BETWEEN_STEPS, &result))
        return result;
    if (epoch < 0)
        return LIB_USAGE(&rec->err, "epoch %lld", (long long)epoch);
    if (samples < 0 || samples > rec->ints[TDBG_INT_BATCH])
        return LIB_USAGE(&rec->err, "%lld samples in a batch of %lld", (long long)samples,
                         (long long)rec->ints[TDBG_INT_BATCH]);
    if (rec->step >= TDBG_MAX_STEPS)
        return LIB_USAGE(&rec->err, "more steps than a trace holds");
    rec->phase = REC_IN_STEP;
    rec->epoch = epoch;
    rec->n_samples = samples;
    rec->evaluated = false;
    rec->grad_square = 0;
    rec->n_grads_put = 0;
    rec->step_start_ns = tdbg_clock_ns();
    return TDBG_SUCCESS;
}

static bool digest_due(const struct tdbg_rec *rec, const struct rec_tensor *t)
{
    return rec->step % t->digest_every == 0;
}

static bool values_due(const struct tdbg_rec *rec, const struct rec_tensor *t)
{
    return t->keep != TDBG_KEEP_DIGEST && rec->step % t->value_every == 0;
}

int tdbg_rec_due(const struct tdbg_rec *rec, int32_t id)
{
    if (!rec || rec->failed || rec->phase != REC_IN_STEP || id < 0 || id >= rec->n_tensors)
        return 0;
    const struct rec_tensor *t = &rec->tensors[id];
    return digest_due(rec, t) || values_due(rec, t);
}

/* Digest and statistics of a tensor that is due. */
static void put_digest(struct tdbg_rec *rec, int32_t id, const void *data, int64_t n_elems)
{
    struct rec_tensor *t = &rec->tensors[id];
    struct tdbg_stats s;
    uint64_t digest;
    tdbg_digest_with_stats(data, t->site.dtype, n_elems, &digest, &s);
    bool turn = take_turn(rec);
    tdbg_sink_put_digest(&rec->sink, id, digest, &s);
    end_turn(turn);
    if (t->site.stage == TDBG_STAGE_GRAD) {
        rec->n_grads_put++;
        rec->grad_square += s.nans + s.infs ? (double)NAN : s.rms * s.rms * (double)n_elems;
    }
}

/* Elements that a tensor has in this step. */
static int64_t step_elems(const struct tdbg_rec *rec, const struct tdbg_site *s)
{
    int64_t elems = tdbg_site_elems(s);
    if (!s->batched)
        return elems;
    int64_t rows = rec->n_samples < s->dims[0] ? rec->n_samples : s->dims[0];
    return rows * (elems / s->dims[0]);
}

static enum tdbg_status put(struct tdbg_rec *rec, int32_t id, const void *data, int64_t n_elems,
                            struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct rec_tensor *t = &rec->tensors[id];
    if (digest_due(rec, t))
        put_digest(rec, id, data, n_elems);
    if (values_due(rec, t)) {
        bool turn = take_turn(rec);
        st = t->item >= 0 ? tdbg_sink_put_keyframe(&rec->sink, t->item, data, err)
                          : tdbg_sink_put_values(&rec->sink, id, data, n_elems, err);
        end_turn(turn);
        TDBG_TRY(st);
    }
    t->put_at = rec->step;
    rec->evaluated |= t->site.stage == TDBG_STAGE_EVAL;
out:
    return st;
}

int tdbg_rec_put(struct tdbg_rec *rec, int32_t id, const void *data, int64_t n_elems)
{
    if (!rec)
        return TDBG_ERR_USAGE;
    struct tdbg_err *err = &rec->err;
    int result;
    if (!is_time(rec, REC_IN_STEP, &result))
        return result;
    if (id < 0 || id >= rec->n_tensors)
        return LIB_USAGE(err, "no tensor %d: there are %d", (int)id, (int)rec->n_tensors);
    const struct rec_tensor *t = &rec->tensors[id];
    const char *name = t->site.name;
    if (t->keep == TDBG_KEEP_SAMPLES)
        return LIB_USAGE(err, "%s is put by tdbg_rec_put_samples()", name);
    if (n_elems != step_elems(rec, &t->site))
        return LIB_USAGE(err, "%s: %lld elements, and the step has %lld", name, (long long)n_elems,
                         (long long)step_elems(rec, &t->site));
    if (!data && n_elems > 0)
        return LIB_USAGE(err, "%s: the data is NULL", name);
    if (t->put_at == rec->step)
        return LIB_USAGE(err, "%s was put in step %lld before", name, (long long)rec->step);
    return finish(rec, put(rec, id, data, n_elems, err));
}

int tdbg_rec_put_samples(struct tdbg_rec *rec, int64_t n, const int64_t *ids, const void *x,
                         const void *y)
{
    enum { IDS, X, Y };
    if (!rec)
        return TDBG_ERR_USAGE;
    struct tdbg_err *err = &rec->err;
    int result;
    if (!is_time(rec, REC_IN_STEP, &result))
        return result;
    if (rec->samples.total == 0)
        return LIB_USAGE(err, "no samples were declared: tdbg_rec_set_samples()");
    if (n != rec->n_samples || (n > 0 && (!ids || !x || !y)))
        return LIB_USAGE(err, "%lld samples (or NULL), and the step has %lld", (long long)n,
                         (long long)rec->n_samples);
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= rec->samples.total)
            return LIB_USAGE(err, "no sample %lld: there are %lld", (long long)ids[i],
                             (long long)rec->samples.total);
    }
    if (rec->tensors[IDS].put_at == rec->step)
        return LIB_USAGE(err, "the samples of step %lld were put before", (long long)rec->step);
    put_digest(rec, IDS, ids, n);
    put_digest(rec, X, x, step_elems(rec, &rec->tensors[X].site));
    put_digest(rec, Y, y, step_elems(rec, &rec->tensors[Y].site));
    bool turn = take_turn(rec);
    enum tdbg_status st = tdbg_sink_put_samples(&rec->sink, n, ids, x, y, err);
    end_turn(turn);
    for (int i = IDS; i <= Y; i++)
        rec->tensors[i].put_at = rec->step;
    return finish(rec, st);
}

/* NULL, or the first tensor that the step still needs. */
static const char *missing(const struct tdbg_rec *rec)
{
    for (int32_t i = 0; i < rec->n_tensors; i++) {
        const struct rec_tensor *t = &rec->tensors[i];
        if (t->put_at != rec->step && (digest_due(rec, t) || values_due(rec, t)) &&
            (t->site.stage != TDBG_STAGE_EVAL || rec->evaluated))
            return t->site.name;
    }
    return NULL;
}

int tdbg_rec_commit(struct tdbg_rec *rec, float loss, float lr)
{
    if (!rec)
        return TDBG_ERR_USAGE;
    int result;
    if (!is_time(rec, REC_IN_STEP, &result))
        return result;
    const char *name = missing(rec);
    if (name)
        return LIB_USAGE(&rec->err, "%s was not put in step %lld", name, (long long)rec->step);
    const bool all_grads = rec->n_grads > 0 && rec->n_grads_put == rec->n_grads;
    struct tdbg_step_row row = {.step = rec->step,
                                .epoch = rec->epoch,
                                .samples = rec->n_samples,
                                .loss = loss,
                                .lr = lr,
                                .grad_norm = all_grads ? sqrt(rec->grad_square) : (double)NAN,
                                .start_ns = rec->step_start_ns - rec->start_ns,
                                .duration_ns = tdbg_clock_ns() - rec->step_start_ns,
                                .evaluated = rec->evaluated};
    bool turn = take_turn(rec);
    enum tdbg_status st = tdbg_sink_commit(&rec->sink, &row, &rec->err);
    end_turn(turn);
    if (st == TDBG_OK) {
        rec->phase = REC_BETWEEN_STEPS;
        rec->step++;
    }
    return finish(rec, st);
}

int tdbg_rec_close(struct tdbg_rec *rec)
{
    if (!rec)
        return TDBG_ERR_USAGE;
    if (rec->phase == REC_DESCRIBE || rec->phase == REC_CLOSED)
        return LIB_USAGE(&rec->err, "%s",
                         rec->phase == REC_DESCRIBE ? "the recording has not begun"
                                                    : "the recording is closed");
    rec->phase = REC_CLOSED;
    bool turn = take_turn(rec);
    enum tdbg_status st = tdbg_sink_close(&rec->sink, &rec->err);
    end_turn(turn);
    return finish(rec, st);
}
