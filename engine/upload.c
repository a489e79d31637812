/* A batch's way to the device, and its targets as the loss reads them. See engine_state.h. */
#include <string.h>

#include "engine/engine_state.h"

/* Class indices for a loss over classes. */
static enum tdbg_status take_classes(struct tdbg_engine *e, int64_t n, int64_t *n_counted,
                                     struct tdbg_err *err)
{
    const struct tdbg_loss *loss = &e->graph->loss;
    for (int64_t i = 0; i < n; i++) {
        int64_t y;
        memcpy(&y, e->host_y + (size_t)i * sizeof y, sizeof y);
        if (!tdbg_loss_class_is_valid(loss, y))
            return TDBG_RAISE(
                err, DATA, "sample %lld has class index %lld, but the model has %lld classes",
                (long long)e->host_id[i / loss->targets], (long long)y, (long long)loss->classes);
        const int32_t target = (int32_t)y;
        memcpy(e->host_target + (size_t)i * sizeof target, &target, sizeof target);
        *n_counted += y != loss->ignore_index;
    }
    return TDBG_OK;
}

/* Values, or class indices that serve as values. */
static enum tdbg_status take_values(struct tdbg_engine *e, int64_t n, int64_t *n_counted,
                                    struct tdbg_err *err)
{
    const struct tdbg_loss *loss = &e->graph->loss;
    const bool whole = e->graph->data[TDBG_SET_TRAIN].y_dtype == TDBG_DTYPE_I64;
    for (int64_t i = 0; i < n; i++) {
        float target;
        int64_t y;
        if (whole) {
            memcpy(&y, e->host_y + (size_t)i * sizeof y, sizeof y);
            target = (float)y;
        } else {
            memcpy(&target, e->host_y + (size_t)i * sizeof target, sizeof target);
        }
        if (!tdbg_loss_value_is_valid(loss, (double)target))
            return TDBG_RAISE(err, DATA, "sample %lld has the target %g, which loss %s cannot take",
                              (long long)e->host_id[i / loss->targets], (double)target,
                              tdbg_loss_kind(loss));
        memcpy(e->host_target + (size_t)i * sizeof target, &target, sizeof target);
    }
    *n_counted += n;
    return TDBG_OK;
}

/* A token beyond the vocabulary has no row in any table: a damaged trace may hold one. */
static enum tdbg_status check_tokens(const struct tdbg_engine *e, int64_t n, struct tdbg_err *err)
{
    const int64_t vocab = e->graph->data[TDBG_SET_TRAIN].vocab, tokens = e->graph->sample_elems;
    for (int64_t i = 0; vocab > 0 && i < n * tokens; i++) {
        int32_t token;
        memcpy(&token, e->host_x + (size_t)i * sizeof token, sizeof token);
        if (token < 0 || token >= vocab)
            return TDBG_RAISE(err, DATA, "sample %lld has the token %d, but there are %lld tokens",
                              (long long)e->host_id[i / tokens], (int)token, (long long)vocab);
    }
    return TDBG_OK;
}

/* How many tokens each sample has before its padding: up to the last one that is none. */
static enum tdbg_status take_lengths(struct tdbg_engine *e, int64_t n, struct tdbg_err *err)
{
    const int64_t tokens = e->graph->sample_elems;
    if (e->graph->pad < 0)
        return TDBG_OK;
    for (int64_t i = 0; i < n; i++) {
        int64_t length = tokens;
        for (; length > 0; length--) {
            int32_t token;
            memcpy(&token, e->host_x + (size_t)(i * tokens + length - 1) * sizeof token,
                   sizeof token);
            if (token != e->graph->pad)
                break;
        }
        e->host_length[i] = (int32_t)length;
    }
    return e->backend->to_device(e->backend->context, e->length, e->host_length,
                                 (size_t)n * sizeof *e->length, err);
}

enum tdbg_status tdbg_engine_upload_batch(struct tdbg_engine *e, int64_t n, int64_t *n_counted,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_backend *be = e->backend;
    const struct tdbg_data_shape *data = &e->graph->data[TDBG_SET_TRAIN];
    const int64_t n_targets = n * e->graph->loss.targets;
    int64_t counted = 0;
    TDBG_TRY(check_tokens(e, n, err));
    TDBG_TRY(take_lengths(e, n, err));
    if (tdbg_loss_takes_classes(&e->graph->loss))
        TDBG_TRY(take_classes(e, n_targets, &counted, err));
    else
        TDBG_TRY(take_values(e, n_targets, &counted, err));
    if (n_counted)
        *n_counted += counted;
    const size_t count = (size_t)n, targets = (size_t)n_targets;
    const size_t x_bytes = count * (size_t)e->graph->sample_elems * tdbg_dtype_bytes(data->x_dtype);
    TDBG_TRY(be->to_device(be->context, e->raw_x, e->host_x, x_bytes, err));
    TDBG_TRY(be->to_device(be->context, e->raw_id, e->host_id, count * sizeof(int64_t), err));
    TDBG_TRY(be->to_device(be->context, e->raw_y, e->host_y,
                           targets * tdbg_dtype_bytes(data->y_dtype), err));
    TDBG_TRY(be->to_device(be->context, e->target, e->host_target, targets * sizeof(float), err));
out:
    return st;
}
