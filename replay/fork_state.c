/* Samples and first state of a fork. See fork.h. */
#include "replay/fork_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/resume.h"
#include "replay/verify.h"
#include "trace/array_file.h"

/* --- the source --- */

static enum tdbg_status describe(void *self, struct tdbg_data_shape *shapes, struct tdbg_err *err)
{
    struct tdbg_fork *f = self;
    return f->recorded.ops->describe(f->recorded.self, shapes, err);
}

static enum tdbg_status train_batch(void *self, int64_t step, int64_t batch, int64_t *n,
                                    int64_t *ids, void *x, void *y, struct tdbg_err *err)
{
    struct tdbg_fork *f = self;
    struct tdbg_source s = f->recorded;
    if (step > f->parent_last)
        s = tdbg_source_live_table(f->live);
    return s.ops->train_batch(s.self, step, batch, n, ids, x, y, err);
}

static enum tdbg_status eval_batch(void *self, int64_t first, int64_t n, void *x, void *y,
                                   struct tdbg_err *err)
{
    struct tdbg_fork *f = self;
    struct tdbg_source s = f->recorded;
    if (first + n > tdbg_trace_n_samples(f->parent, TDBG_SAMPLES_EVAL))
        s = tdbg_source_live_table(f->live);
    return s.ops->eval_batch(s.self, first, n, x, y, err);
}

static int64_t clock_ns(void *self)
{
    struct tdbg_fork *f = self;
    return f->recorded.ops->clock_ns(f->recorded.self);
}

static const struct tdbg_source_ops fork_ops = {.describe = describe,
                                                .train_batch = train_batch,
                                                .eval_batch = eval_batch,
                                                .clock_ns = clock_ns};

struct tdbg_source tdbg_fork_source(struct tdbg_fork *fork)
{
    return (struct tdbg_source){.ops = &fork_ops, .self = fork, .world_size = 1};
}

enum { WHY_BYTES = 400 };

/* Does the trace lack samples that the fork needs? Then why says which. */
static bool lacks_samples(const struct tdbg_fork *f, const struct tdbg_engine *engine,
                          char why[WHY_BYTES])
{
    const struct tdbg_cfg_node *root = tdbg_config_root(f->config);
    const char *path = tdbg_trace_path(f->parent);
    const int64_t total = tdbg_trace_samples(f->parent, TDBG_SAMPLES_EVAL)->total;
    const int64_t wanted = tdbg_cfg_int(root, "eval.batches") * tdbg_cfg_int(root, "data.batch");
    const int64_t n = wanted > 0 && wanted < total ? wanted : total;
    if (f->last > f->parent_last) {
        snprintf(why, WHY_BYTES,
                 "the samples of steps %lld to %lld are not in %s, which ends there",
                 (long long)f->parent_last + 1, (long long)f->last, path);
        return true;
    }
    snprintf(why, WHY_BYTES, "the samples to evaluate on are not in %s", path);
    for (int64_t step = f->first; step <= f->last; step++) {
        if (tdbg_engine_evaluates(engine, step))
            return tdbg_trace_n_samples(f->parent, TDBG_SAMPLES_EVAL) < n;
    }
    return false;
}

static enum tdbg_status open_data(struct tdbg_fork *f, const struct tdbg_engine *engine,
                                  struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_err fault = {0};
    char why[WHY_BYTES];
    if (!lacks_samples(f, engine, why))
        return TDBG_OK;
    tdbg_dataset_check_files(f->config);
    st = tdbg_config_result(f->config, &fault);
    if (st == TDBG_OK)
        st = tdbg_source_live_create(f->config, tdbg_array_file_read, &f->live, &fault);
    if (st == TDBG_OK)
        st = tdbg_config_result(f->config, &fault);
    if (st == TDBG_OK)
        st = tdbg_resume_check_source(f->parent, f->live, &fault);
    if (st != TDBG_OK)
        st = TDBG_RAISE(err, DATA, "%s, and the data set does not give them: %s", why,
                        fault.message);
    tdbg_err_clear(&fault);
    return st;
}

/* --- the state --- */

/* Executes again what lies between the keyframe and the first step. */
static enum tdbg_status reach_first_step(struct tdbg_fork *f, struct tdbg_session *session,
                                         struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_verify_report report = {.differ = 0};
    const struct tdbg_verify_options options = {.from =
                                                    tdbg_trace_keyframe_before(f->parent, f->first),
                                                .to = f->first - 1,
                                                .digests_only = true};
    if (options.from == f->first)
        return tdbg_session_seek(session, f->first, err);
    TDBG_TRY(tdbg_verify_session(session, &options, &report, err));
    TDBG_FAIL_IF(report.differ > 0, DAMAGED,
                 "%s: executed again, step %lld is not what was recorded, so the state before step "
                 "%lld cannot be computed\nhint: fork from the keyframe before step %lld, or look "
                 "at tdbg replay --verify",
                 tdbg_trace_path(f->parent), (long long)report.step, (long long)f->first,
                 (long long)options.from);
out:
    return st;
}

/* Item i of the changed engine has to be item i of the recorded one. */
static enum tdbg_status check_state(struct tdbg_fork *f, const struct tdbg_engine *from,
                                    const struct tdbg_engine *to, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n, m;
    const struct tdbg_engine_item *a = tdbg_engine_items(from, &n);
    const struct tdbg_engine_item *b = tdbg_engine_items(to, &m);
    for (int32_t i = 0; i < n || i < m; i++) {
        const bool same = i < n && i < m && strcmp(a[i].name, b[i].name) == 0 &&
                          a[i].elems == b[i].elems && a[i].dtype == b[i].dtype;
        TDBG_FAIL_IF(!same, USAGE,
                     "the state before step %lld of %s does not fit the changed config: it has %s, "
                     "which wants %s\nhint: an optimizer with other state cannot go on from there",
                     (long long)f->first, tdbg_trace_path(f->parent),
                     i < n ? a[i].name : "nothing more", i < m ? b[i].name : "nothing more");
    }
out:
    return st;
}

enum tdbg_status tdbg_fork_copy_state(const struct tdbg_engine *from, struct tdbg_engine *to,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    float *buffer = NULL;
    int64_t largest = 1;
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(to, &n);
    for (int32_t i = 0; i < n; i++)
        largest = items[i].elems > largest ? items[i].elems : largest;
    buffer = malloc((size_t)largest * sizeof *buffer);
    TDBG_FAIL_IF(!buffer, NO_MEMORY, "no memory for the state");
    for (int32_t i = 0; i < n; i++) {
        TDBG_TRY(tdbg_engine_get_item(from, i, buffer, err));
        TDBG_TRY(tdbg_engine_set_item(to, i, buffer, err));
    }
out:
    free(buffer);
    return st;
}

enum tdbg_status tdbg_fork_set_state(struct tdbg_fork *f, struct tdbg_engine *engine,
                                     struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session *session = NULL;
    const int64_t total = tdbg_engine_info(engine)->total_steps;
    TDBG_FAIL_IF(f->last >= total, USAGE,
                 "'--to %lld': the run has %lld steps\nhint: --set steps=N makes it longer",
                 (long long)f->last, (long long)total);
    TDBG_TRY(open_data(f, engine, err));
    TDBG_TRY(tdbg_session_create(f->parent, &f->session, &session, err));
    const struct tdbg_engine *from = tdbg_session_engine(session);
    TDBG_TRY(check_state(f, from, engine, err));
    TDBG_TRY(reach_first_step(f, session, err));
    TDBG_TRY(tdbg_fork_copy_state(from, engine, err));
out:
    tdbg_session_destroy(session);
    return st;
}
