/* The recording tap and the wrapped source. What the file says of the run is made in run_spec.c.
 * See recorder.h. */
#include "recorder/recorder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/source_around.h"
#include "recorder/go_on.h"
#include "recorder/record_options.h"
#include "recorder/run_spec.h"
#include "trace/stream.h"

struct owed_digest {
    int32_t site, same_as;
};

struct tdbg_recorder {
    struct tdbg_source inner; /* first: source_around.h */
    struct tdbg_data_shape shapes[TDBG_SET_COUNT];
    struct tdbg_stream *stream;
    bool open;              /* the stream has a file, and recording has not failed */
    bool has_window, keeps; /* only the last steps are kept; or were, until something happened */
    bool told_loss;         /* that it is not finite any more */
    bool stops_on_error;    /* the training is to stop when recording has to */
    struct tdbg_err fault;  /* why recording had to stop, where the training goes on */
    const struct tdbg_site *sites; /* the engine's */
    int32_t n_sites;
    struct tdbg_site_plan *plans;                        /* (n_sites) */
    int32_t first_state;                                 /* site of keyframe item 0 */
    int64_t value_bytes, keyframe_bytes, keyframe_every; /* per step, per keyframe */
    int64_t bytes_at_end;                                /* in the file, once it is closed */
    int64_t batch;
    uint64_t *digests;        /* (n_sites): of the current step */
    struct tdbg_stats *stats; /* (n_sites) */
    /* Sites of this step whose digest the device still owes, and for each the site that it shares
     * it with, or -1. */
    struct owed_digest *owed; /* (n_sites) */
    int32_t n_owed;
    const struct tdbg_backend *owing;
    const struct tdbg_backend *pinned_by; /* whoever copies to the queue, */
    struct tdbg_stream_copies copies;     /* and what of that is there */
    int64_t start_ns;                     /* clock at the first step */
    bool started;
    int64_t eval_samples_seen; /* evaluation samples first .. seen - 1 are in the file */
};

/* What a call of the stream gave, with the error in r->fault. When recording has to stop, the
 * training goes on without it unless it is to stop as well. */
static enum tdbg_status judge(struct tdbg_recorder *r, enum tdbg_status st, struct tdbg_err *err)
{
    if (st == TDBG_OK)
        return st;
    r->open = false;
    if (st == TDBG_IO && !r->stops_on_error)
        return TDBG_OK;
    return tdbg_err_set(err, st, r->fault.file, r->fault.line, "%s", r->fault.message);
}

/* --- the wrapped source --- */

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    struct tdbg_recorder *r = self;
    enum tdbg_status st = tdbg_source_around_describe(r, shapes, err);
    if (st == TDBG_OK)
        memcpy(r->shapes, shapes, sizeof r->shapes);
    return st;
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    struct tdbg_recorder *r = self;
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(tdbg_source_around_train_batch(r, step, batch, n, ids, x, y, err));
    if (r->open)
        TDBG_TRY(judge(
            r, tdbg_stream_put_samples(r->stream, TDBG_SAMPLES_TRAIN, *n, ids, x, y, &r->fault),
            err));
out:
    return st;
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    struct tdbg_recorder *r = self;
    enum tdbg_status st = TDBG_OK;
    int64_t *ids = NULL;
    TDBG_TRY(tdbg_source_around_eval_batch(r, first, n, x, y, err));
    if (!r->open || (!r->has_window && first + n <= r->eval_samples_seen))
        goto out;
    ids = malloc((size_t)n * sizeof *ids); /* in the first evaluation only */
    TDBG_FAIL_IF(!ids, NO_MEMORY, "no memory for %lld sample ids", (long long)n);
    for (int64_t i = 0; i < n; i++)
        ids[i] = first + i;
    TDBG_TRY(judge(
        r, tdbg_stream_put_samples(r->stream, TDBG_SAMPLES_EVAL, n, ids, x, y, &r->fault), err));
    r->eval_samples_seen = first + n;
out:
    free(ids);
    return st;
}

static const struct tdbg_source_ops alone_ops = {.describe = describe,
                                                 .train_batch = train_batch,
                                                 .eval_batch = eval_batch,
                                                 .clock_ns = tdbg_source_around_clock_ns};
static const struct tdbg_source_ops ranks_ops = {.describe = describe,
                                                 .train_batch = train_batch,
                                                 .eval_batch = eval_batch,
                                                 .reduce_begin = tdbg_source_around_reduce_begin,
                                                 .reduce_end = tdbg_source_around_reduce_end,
                                                 .clock_ns = tdbg_source_around_clock_ns};

struct tdbg_source tdbg_recorder_source(struct tdbg_recorder *recorder, struct tdbg_source source)
{
    recorder->inner = source;
    source.ops = source.ops->reduce_begin ? &ranks_ops : &alone_ops;
    source.self = recorder;
    return source;
}

/* --- the tap --- */

static bool is_stored_by_step(const struct tdbg_site_plan *plan)
{
    return plan->store == TDBG_STORE_DATASET || plan->store == TDBG_STORE_PACKED;
}

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)sites;
    (void)err;
    struct tdbg_recorder *r = self;
    TDBG_ASSERT(n_sites == r->n_sites);
    for (int32_t i = 0; i < n_sites; i++) {
        const struct tdbg_site_plan *p = &r->plans[i];
        /* samples pass through the source; all other values are taken here, with their digest */
        bool values = is_stored_by_step(p) || p->store == TDBG_STORE_KEYFRAME;
        wants[i].every = p->digest_every;
        wants[i].flags = p->digest_every == 0 ? 0
                         : values             ? TDBG_WANT_DIGEST | TDBG_WANT_VALUES
                                              : TDBG_WANT_DIGEST;
    }
    return TDBG_OK;
}

static enum tdbg_status begin_step(void *self, int64_t step, struct tdbg_err *err)
{
    (void)step;
    (void)err;
    ((struct tdbg_recorder *)self)->n_owed = 0; /* of a step that was left */
    return TDBG_OK;
}

static void pin_queue(struct tdbg_recorder *r, const struct tdbg_backend *backend)
{
    size_t bytes;
    void *queue = tdbg_stream_queue(r->stream, &bytes);
    tdbg_backend_pin(backend, queue, bytes);
    r->pinned_by = backend;
}

/* Closes the stream; an error of that is not told. */
static void close_stream(struct tdbg_recorder *r)
{
    size_t bytes;
    if (r->stream && r->pinned_by)
        tdbg_stream_settle(r->stream, true, NULL); /* nothing copies to it any more */
    if (r->stream && r->pinned_by)
        tdbg_backend_unpin(r->pinned_by, tdbg_stream_queue(r->stream, &bytes));
    r->pinned_by = NULL;
    tdbg_stream_close(r->stream, NULL);
    r->stream = NULL;
}

static enum tdbg_status copies_reached(void *context, uint64_t wait_for, uint64_t *reached,
                                       struct tdbg_err *err)
{
    struct tdbg_recorder *r = context;
    return tdbg_backend_copies_reached(r->pinned_by, wait_for, reached, err);
}

/* Copies a tensor, piece by piece, straight into the queue. */
static enum tdbg_status put_value(struct tdbg_recorder *r, int32_t id, bool keyframe,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_stream_piece piece = {0};
    uint64_t ticket;
    if (!r->pinned_by)
        pin_queue(r, handle->backend);
    do {
        TDBG_TRY(judge(
            r,
            keyframe ? tdbg_stream_next_keyframe(r->stream, id - r->first_state, &piece, &r->fault)
                     : tdbg_stream_next_value(r->stream, id, handle->elems, &piece, &r->fault),
            err));
        if (!r->open || piece.count == 0)
            continue;
        TDBG_TRY(tdbg_handle_copy_part(handle, piece.first, piece.count, piece.room, &ticket, err));
        if (ticket > 0)
            TDBG_TRY(judge(r, tdbg_stream_expect(r->stream, &r->copies, ticket, &r->fault), err));
    } while (r->open && piece.room);
out:
    return st;
}

enum {
    WORTH_COPYING_BYTES = 64 << 10, /* smaller ones cost as much as a message does */
    SITES_PER_LOOK = 16,            /* at what copies of a device have come to */
};

/* Leaves digest and statistics to the device, which is not waited for. */
static enum tdbg_status owe_digest(struct tdbg_recorder *r, int32_t site, int32_t same_as,
                                   const struct tdbg_handle *handle, struct tdbg_err *err)
{
    r->owed[r->n_owed++] = (struct owed_digest){site, same_as};
    r->owing = handle->backend;
    return same_as < 0 ? tdbg_handle_digest_later(handle, site, err) : TDBG_OK;
}

/* What the device owes, when the step has ended. */
static enum tdbg_status take_owed(struct tdbg_recorder *r, struct tdbg_err *err)
{
    if (r->n_owed == 0)
        return TDBG_OK;
    const enum tdbg_status st =
        tdbg_backend_take_digests(r->owing, r->n_sites, r->digests, r->stats, err);
    for (int32_t i = 0; st == TDBG_OK && i < r->n_owed; i++) {
        const struct owed_digest *owed = &r->owed[i];
        if (owed->same_as >= 0) {
            r->digests[owed->site] = r->digests[owed->same_as];
            r->stats[owed->site] = r->stats[owed->same_as];
        }
        tdbg_stream_put_digest(r->stream, owed->site, r->digests[owed->site],
                               &r->stats[owed->site]);
    }
    return st;
}

/* Digest and statistics of a tensor. The writer computes them where it gets the values anyway, and
 * of other large tensors when it has time: to copy one costs the training less than to read it with
 * so much arithmetic. */
static enum tdbg_status take_digest(struct tdbg_recorder *r, int32_t site, bool has_values,
                                    const struct tdbg_handle *handle, struct tdbg_err *err)
{
    const bool is_same = handle->same_as >= 0 &&
                         r->plans[handle->same_as].digest_every == r->plans[site].digest_every;
    const bool is_large =
        handle->elems * (int64_t)tdbg_dtype_bytes(handle->dtype) >= WORTH_COPYING_BYTES;
    if (tdbg_handle_can_digest_later(handle))
        return owe_digest(r, site, is_same ? handle->same_as : -1, handle, err);
    if (is_same && tdbg_stream_share_digest(r->stream, site, handle->same_as))
        return TDBG_OK;
    if (is_same) {
        r->digests[site] = r->digests[handle->same_as];
        r->stats[site] = r->stats[handle->same_as];
    } else if (has_values && tdbg_stream_leave_digest(r->stream, site, true)) {
        return TDBG_OK;
    } else if (is_large && tdbg_stream_leave_digest(r->stream, site, false)) {
        return put_value(r, site, false, handle, err);
    } else {
        enum tdbg_status st = tdbg_handle_digest(handle, &r->digests[site], &r->stats[site], err);
        if (st != TDBG_OK)
            return st;
    }
    tdbg_stream_put_digest(r->stream, site, r->digests[site], &r->stats[site]);
    return TDBG_OK;
}

static enum tdbg_status site(void *self, int64_t step, int32_t id, const struct tdbg_handle *handle,
                             struct tdbg_err *err)
{
    struct tdbg_recorder *r = self;
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_site_plan *p = &r->plans[id];
    if (!r->open)
        return TDBG_OK;
    if (id % SITES_PER_LOOK == 0)
        TDBG_TRY(judge(r, tdbg_stream_settle(r->stream, false, &r->fault), err));
    const bool keyframe = p->store == TDBG_STORE_KEYFRAME;
    const bool due = (keyframe || is_stored_by_step(p)) && step % p->value_every == 0;
    TDBG_TRY(take_digest(r, id, due && !keyframe, handle, err));
    if (due && r->open)
        TDBG_TRY(put_value(r, id, keyframe, handle, err));
out:
    return st;
}

/* The first step whose loss is not finite; those after it say nothing new. */
static enum tdbg_status put_finding(struct tdbg_recorder *r, const struct tdbg_step_info *info,
                                    struct tdbg_err *err)
{
    struct tdbg_finding finding = {.step = info->step,
                                   .rank = r->inner.rank,
                                   .severity = "error",
                                   .rule = "loss.nonfinite",
                                   .site = "loss"};
    snprintf(finding.text, sizeof finding.text, "the loss is %s",
             isnan(info->loss) ? "not a number" : "infinite");
    r->told_loss = true;
    return judge(r, tdbg_stream_put_finding(r->stream, &finding, &r->fault), err);
}

static enum tdbg_status end_step(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err)
{
    struct tdbg_recorder *r = self;
    if (!r->open)
        return TDBG_OK;
    enum tdbg_status st = TDBG_OK;
    TDBG_TRY(take_owed(r, err));
    if (!r->started)
        r->start_ns = info->start_ns;
    r->started = true;
    struct tdbg_step_row row = {.step = info->step,
                                .epoch = info->epoch,
                                .samples = info->samples,
                                .loss = info->loss,
                                .lr = info->lr,
                                .grad_norm = tdbg_stats_grad_norm(r->sites, r->n_sites, r->stats),
                                .start_ns = info->start_ns - r->start_ns,
                                .duration_ns = info->duration_ns,
                                .wait_ns = info->wait_ns,
                                .evaluated = info->evaluated};
    const bool finding = !isfinite(info->loss) && !r->told_loss;
    if (finding)
        TDBG_TRY(put_finding(r, info, err));
    TDBG_TRY(judge(r, tdbg_stream_commit_step(r->stream, &row, &r->fault), err));
    if (r->open)
        TDBG_TRY(judge(r, tdbg_stream_settle(r->stream, false, &r->fault), err));
    if (finding)
        tdbg_recorder_keep(r);
out:
    return st;
}

static const struct tdbg_tap_ops tap_ops = {plan, begin_step, site, end_step};

/* --- opening --- */

bool tdbg_recorder_has_process(const struct tdbg_recorder *recorder)
{
    return tdbg_stream_has_process(recorder->stream);
}

enum tdbg_status tdbg_recorder_create(const struct tdbg_cfg_node *root, int announce_fd,
                                      struct tdbg_recorder **out, struct tdbg_err *err)
{
    const struct tdbg_stream_options options = {
        .segment_bytes = (int64_t)(tdbg_cfg_float(root, "record.segment_gib") * (1 << 30)),
        .window_steps = tdbg_cfg_int(root, "record.window"),
        .drop = strcmp(tdbg_cfg_string(root, "record.overflow"), "drop") == 0,
        .workers = -1,
        .announce_fd = announce_fd};
    struct tdbg_recorder *r = calloc(1, sizeof *r);
    if (!r)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the recorder");
    r->copies = (struct tdbg_stream_copies){copies_reached, r};
    r->has_window = options.window_steps > 0;
    r->stops_on_error = strcmp(tdbg_cfg_string(root, "record.on_error"), "stop") == 0;
    enum tdbg_status st = tdbg_stream_create(&options, &r->stream, err);
    if (st == TDBG_OK)
        *out = r;
    else
        free(r);
    return st;
}

static enum tdbg_status make_buffers(struct tdbg_recorder *r, struct tdbg_err *err)
{
    size_t n = (size_t)r->n_sites;
    r->first_state = -1;
    for (int32_t i = 0; i < r->n_sites; i++) {
        size_t bytes = (size_t)tdbg_site_elems(&r->sites[i]) * tdbg_dtype_bytes(r->sites[i].dtype);
        if (r->sites[i].stage == TDBG_STAGE_STATE && r->first_state < 0)
            r->first_state = i;
        if (is_stored_by_step(&r->plans[i]))
            r->value_bytes += (int64_t)bytes / r->plans[i].value_every;
        if (r->plans[i].store == TDBG_STORE_KEYFRAME)
            r->keyframe_bytes += (int64_t)bytes;
    }
    r->digests = calloc(n, sizeof *r->digests);
    r->stats = calloc(n, sizeof *r->stats);
    r->owed = calloc(n, sizeof *r->owed);
    if (!r->digests || !r->stats || !r->owed)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the recorder's buffers");
    return TDBG_OK;
}

/* Bytes of a step's digests and statistics. */
static int64_t row_bytes(const struct tdbg_recorder *r)
{
    return r->n_sites * (int64_t)(sizeof(uint64_t) + sizeof(struct tdbg_stats)) +
           (int64_t)sizeof(struct tdbg_step_row);
}

/* Where the distance of keyframes is given in bytes, it follows from a plan with any distance. */
static enum tdbg_status plan_run(struct tdbg_recorder *r, struct tdbg_config *config,
                                 const struct tdbg_engine *engine, struct tdbg_err *err)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_engine_info *e = tdbg_engine_info(engine);
    /* the distance of keyframes is to be the same on all ranks, so that of rank 0 */
    struct tdbg_recorder_cut cut = {e->lanes, 0, e->world_size, 1};
    enum tdbg_status st = TDBG_OK;
    int64_t bytes = row_bytes(r);
    TDBG_TRY(tdbg_recorder_plan_sites(root, r->sites, r->n_sites, &cut, r->plans, err));
    for (int32_t i = 0; i < r->n_sites; i++) {
        if (is_stored_by_step(&r->plans[i]))
            bytes += tdbg_site_elems(&r->sites[i]) * (int64_t)tdbg_dtype_bytes(r->sites[i].dtype) /
                     r->plans[i].value_every;
    }
    r->keyframe_every = tdbg_recorder_keyframe_steps(root, bytes);
    cut.rank = e->rank;
    cut.keyframe = (int32_t)r->keyframe_every;
    TDBG_TRY(tdbg_recorder_plan_sites(root, r->sites, r->n_sites, &cut, r->plans, err));
out:
    return st;
}

/* A GPU has the values of a step sooner than they are compressed, most of them at its end: with
 * room for two steps they are compressed during the next. */
static int64_t device_queue_bytes(const struct tdbg_recorder *r)
{
    const int64_t least = 64 << 20, most = 1 << 30;
    const int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64_t want = 2 * r->value_bytes;
    want = want > memory / 16 ? memory / 16 : want;
    return want < least ? least : want > most ? most : want;
}

enum tdbg_status tdbg_recorder_open(struct tdbg_recorder *r, const char *path, bool force,
                                    struct tdbg_config *config, const struct tdbg_engine *engine,
                                    const struct tdbg_recorder_run *run, struct tdbg_tap *tap,
                                    struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_run_spec described = {0};
    struct tdbg_trace_spec *spec = &described.spec;
    r->sites = tdbg_engine_sites(engine, &r->n_sites);
    r->plans = calloc((size_t)r->n_sites, sizeof *r->plans);
    TDBG_FAIL_IF(!r->plans, NO_MEMORY, "no memory for the recorder's plan");
    TDBG_TRY(plan_run(r, config, engine, err));
    TDBG_TRY(make_buffers(r, err));
    spec->sites = r->sites;
    spec->plans = r->plans;
    spec->n_sites = r->n_sites;
    spec->info.keyframe_every = r->keyframe_every;
    TDBG_TRY(tdbg_run_spec_make(config, engine, r->shapes, run, &described, err));
    r->batch = spec->info.batch;
    if (!tdbg_engine_is_on_host(engine))
        tdbg_stream_set_queue_bytes(r->stream, device_queue_bytes(r));
    TDBG_TRY(tdbg_stream_open(r->stream, path, force, spec, err));
    if (run->parent && run->parent->first_step % r->keyframe_every != 0)
        TDBG_TRY(tdbg_recorder_put_keyframe(r->stream, engine, err));
    r->open = true;
    *tap = (struct tdbg_tap){&tap_ops, r};
out:
    tdbg_run_spec_free(&described);
    return st;
}

int64_t tdbg_recorder_bytes(const struct tdbg_recorder *recorder)
{
    return recorder->stream ? tdbg_stream_bytes(recorder->stream) : recorder->bytes_at_end;
}

int64_t tdbg_recorder_durable(const struct tdbg_recorder *recorder)
{
    return recorder->stream ? tdbg_stream_durable(recorder->stream) : -1;
}

void tdbg_recorder_keep(struct tdbg_recorder *r)
{
    if (r->has_window && !r->keeps && r->open && tdbg_stream_keep(r->stream, &r->fault) != TDBG_OK)
        r->open = false;
    r->keeps = true;
}

const char *tdbg_recorder_failure(const struct tdbg_recorder *recorder)
{
    return recorder->fault.message;
}

static int64_t samples_bytes(const struct tdbg_data_shape *shape, int64_t n)
{
    const int64_t x = tdbg_data_x_elems(shape) * (int64_t)tdbg_dtype_bytes(shape->x_dtype);
    const int64_t y = tdbg_data_y_elems(shape) * (int64_t)tdbg_dtype_bytes(shape->y_dtype);
    return (n < shape->count ? n : shape->count) * (x + y + (int64_t)sizeof(int64_t));
}

int64_t tdbg_recorder_estimate_bytes(const struct tdbg_recorder *r, int64_t n_steps)
{
    int64_t keyframes = (n_steps + r->keyframe_every - 1) / r->keyframe_every;
    return n_steps * (r->value_bytes + row_bytes(r) + r->batch * 8) +
           keyframes * r->keyframe_bytes +
           samples_bytes(&r->shapes[TDBG_SET_TRAIN], n_steps * r->batch) +
           samples_bytes(&r->shapes[TDBG_SET_EVAL], INT64_MAX);
}

enum tdbg_status tdbg_recorder_close(struct tdbg_recorder *recorder, struct tdbg_err *err)
{
    const bool failed = recorder->fault.message != NULL;
    const enum tdbg_status st = tdbg_stream_end(recorder->stream, failed ? NULL : err);
    recorder->bytes_at_end = tdbg_stream_bytes(recorder->stream);
    close_stream(recorder);
    recorder->open = false;
    return failed ? TDBG_OK : st; /* a failure that is known already is the caller's to report */
}

void tdbg_recorder_destroy(struct tdbg_recorder *recorder)
{
    if (!recorder)
        return;
    close_stream(recorder);
    tdbg_err_clear(&recorder->fault);
    free(recorder->plans);
    free(recorder->digests);
    free(recorder->stats);
    free(recorder->owed);
    free(recorder);
}
