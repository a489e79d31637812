/* Reading the samples of a step. See input.h. */
#include "tui/input.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_SIDE = 4, LEAST_GREY_SIDE = 8 }; /* smaller ones are read better as numbers */

static void forget_samples(struct tdbg_tui_input *in)
{
    free(in->x);
    free(in->y);
    in->x = in->y = NULL;
    in->have_from = in->have_n = 0;
}

static void forget_batch(struct tdbg_tui_input *in)
{
    forget_samples(in);
    free(in->ids);
    free(in->why);
    in->ids = NULL;
    in->why = NULL;
    in->n = in->first = in->n_batch = 0;
}

void tdbg_tui_input_free(struct tdbg_tui_input *in)
{
    forget_batch(in);
    free(in->after);
    free(in->after_why);
    tdbg_vocabulary_free(&in->tokens.vocabulary);
    *in = (struct tdbg_tui_input){.after_site = -1};
}

static int64_t elems(int32_t ndim, const int64_t *dims)
{
    int64_t n = 1;
    for (int32_t i = 0; i < ndim; i++)
        n *= dims[i];
    return n;
}

int64_t tdbg_tui_input_x_elems(const struct tdbg_samples_spec *s)
{
    return elems(s->x_ndim, s->x_dims);
}

int64_t tdbg_tui_input_y_elems(const struct tdbg_samples_spec *s)
{
    return elems(s->y_ndim, s->y_dims);
}

/* Channels of a shape that is an image's: (H, W), (1, H, W) or (3, H, W); 0: it is none. */
static int image_channels(int32_t ndim, const int64_t *dims)
{
    const int64_t h = ndim >= 2 ? dims[ndim - 2] : 0, w = ndim >= 2 ? dims[ndim - 1] : 0;
    if (h > INT16_MAX || w > INT16_MAX)
        return 0;
    if (ndim == 2)
        return h >= LEAST_GREY_SIDE && w >= LEAST_GREY_SIDE ? 1 : 0;
    if (ndim == 3 && (dims[0] == 1 || dims[0] == 3))
        return h >= LEAST_SIDE && w >= LEAST_SIDE ? (int)dims[0] : 0;
    return 0;
}

enum tdbg_tui_input_kind tdbg_tui_input_kind(const struct tdbg_samples_spec *s)
{
    if (s->x_dtype == TDBG_DTYPE_I32 || s->x_dtype == TDBG_DTYPE_I64)
        return TDBG_INPUT_TOKENS;
    return image_channels(s->x_ndim, s->x_dims) > 0 ? TDBG_INPUT_IMAGES : TDBG_INPUT_NUMBERS;
}

static bool find_int(const struct tdbg_cfg_node *root, const char *key, int64_t *out)
{
    const struct tdbg_cfg_node *node = root ? tdbg_cfg_find(root, key) : NULL;
    const bool found = node && node->type == TDBG_CFG_INT;
    *out = found ? node->i : 0;
    return found;
}

/* Counts the layers of attention in a list of ops and in their bodies. */
static void count_attention(const struct tdbg_cfg_node *ops, struct tdbg_tui_token_kind *kind)
{
    for (int i = 0; ops && i < ops->n_child; i++) {
        const struct tdbg_cfg_node *op = ops->child[i];
        if (op->type != TDBG_CFG_GROUP)
            continue;
        count_attention(tdbg_cfg_find(op, "body"), kind);
        if (strcmp(tdbg_tui_cfg_string(op, "op", ""), "attention") != 0)
            continue;
        kind->n_attention++;
        kind->n_causal += tdbg_tui_cfg_number(op, "causal", 0) > 0;
        kind->n_masked += kind->has_pad && tdbg_tui_cfg_number(op, "padding_mask", 1) > 0;
    }
}

/* A copy: the trace may be opened anew while it is followed. */
static enum tdbg_status read_vocabulary(const struct tdbg_tui_data *data, bool is_bytes,
                                        struct tdbg_tui_token_kind *kind, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_vocabulary *recorded = NULL;
    if (is_bytes)
        return tdbg_vocabulary_of_bytes(&kind->vocabulary, err);
    if (!data->read_vocabulary)
        return TDBG_OK;
    TDBG_TRY(data->read_vocabulary(data->context, &recorded, err));
    TDBG_TRY(tdbg_vocabulary_copy(recorded, &kind->vocabulary, err));
    kind->is_separate = !tdbg_vocabulary_is_of_characters(recorded);
out:
    return st;
}

void tdbg_tui_input_describe(struct tdbg_tui_input *in, struct tdbg_tui_model *m,
                             struct tdbg_tui_run_config *config)
{
    const struct tdbg_cfg_node *root = tdbg_tui_run_config_root(config, m->data->info);
    struct tdbg_tui_token_kind *kind = &in->tokens;
    struct tdbg_err err = {0};
    if (in->is_described)
        return;
    in->is_described = true;
    in->dropped = root ? tdbg_cfg_find(root, "drop_samples") : NULL;
    kind->has_pad = find_int(root, "data.tokens.pad", &kind->pad);
    kind->has_ignored = find_int(root, "loss.ignore_index", &kind->ignored);
    count_attention(root ? tdbg_cfg_find(root, "model") : NULL, kind);
    const bool is_bytes = strcmp(tdbg_tui_cfg_string(root, "data.kind", ""), "text") == 0 &&
                          strcmp(tdbg_tui_cfg_string(root, "data.tokens.kind", ""), "byte") == 0;
    if (m->data->samples && tdbg_tui_input_kind(m->data->samples) == TDBG_INPUT_TOKENS &&
        read_vocabulary(m->data, is_bytes, kind, &err) != TDBG_OK)
        tdbg_tui_model_say_error(m, "%s", err.message ? err.message : "no vocabulary");
    tdbg_err_clear(&err);
}

bool tdbg_tui_input_is_dropped(const struct tdbg_tui_input *in, int64_t id)
{
    for (int i = 0; in->dropped && i < in->dropped->n_child; i++) {
        if (in->dropped->child[i]->type == TDBG_CFG_INT && in->dropped->child[i]->i == id)
            return true;
    }
    return false;
}

static void read_batch(struct tdbg_tui_input *in, const struct tdbg_tui_model *m)
{
    const struct tdbg_tui_data *data = m->data;
    const int64_t lanes = data->info->lanes, each = lanes / data->info->world_size;
    struct tdbg_err err = {0};
    forget_batch(in);
    in->is_read = true;
    in->step = m->focus.step;
    in->rank = m->focus.rank;
    if (!data->samples) {
        in->why = strdup("this trace has no samples");
        return;
    }
    in->ids = malloc((size_t)(data->info->batch > 0 ? data->info->batch : 1) * sizeof *in->ids);
    if (!in->ids)
        TDBG_BUG("no memory for the ids of a batch");
    if (data->read_batch_ids(data->context, in->step, in->ids, &in->n_batch, &err) != TDBG_OK) {
        in->why = strdup(err.message ? err.message : "the batch cannot be read");
        tdbg_err_clear(&err);
        in->n_batch = 0;
        return;
    }
    in->first = in->rank * each * in->n_batch / lanes;
    in->n = (in->rank + 1) * each * in->n_batch / lanes - in->first;
}

static void read_samples(struct tdbg_tui_input *in, const struct tdbg_tui_data *data, int64_t from,
                         int64_t n)
{
    const struct tdbg_samples_spec *s = data->samples;
    const size_t x_bytes = (size_t)tdbg_tui_input_x_elems(s) * tdbg_dtype_bytes(s->x_dtype);
    const size_t y_bytes = (size_t)tdbg_tui_input_y_elems(s) * tdbg_dtype_bytes(s->y_dtype);
    struct tdbg_err err = {0};
    forget_samples(in);
    in->x = malloc((size_t)n * x_bytes + 1);
    in->y = malloc((size_t)n * y_bytes + 1);
    if (!in->x || !in->y)
        TDBG_BUG("no memory for %lld samples", (long long)n);
    if (data->read_samples(data->context, n, in->ids + in->first + from, in->x, in->y, &err) ==
        TDBG_OK) {
        in->have_from = from;
        in->have_n = n;
        return;
    }
    free(in->why);
    in->why = strdup(err.message ? err.message : "the samples cannot be read");
    tdbg_err_clear(&err);
    in->n = 0;
}

bool tdbg_tui_input_is_of_focus(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m)
{
    return in->is_read && in->step == m->focus.step && in->rank == m->focus.rank;
}

/* The samples that are to be seen: *n of the rank's part, from the returned one on. */
static int64_t visible_range(const struct tdbg_tui_input *in, int64_t n_visible, int64_t *n)
{
    const int64_t from = in->is_large ? in->at : in->top, left = in->n - from;
    const int64_t room = in->is_large ? 1 : n_visible;
    *n = room < left ? room : left;
    return from;
}

bool tdbg_tui_input_is_there(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                             int64_t n_visible)
{
    int64_t n;
    const int64_t from = visible_range(in, n_visible, &n);
    return tdbg_tui_input_is_of_focus(in, m) &&
           (n <= 0 || (from >= in->have_from && from + n <= in->have_from + in->have_n));
}

void tdbg_tui_input_load(struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                         int64_t n_visible)
{
    if (!tdbg_tui_input_is_of_focus(in, m))
        read_batch(in, m);
    if (in->at >= in->n)
        in->at = in->n > 0 ? in->n - 1 : 0;
    if (in->top > in->at)
        in->top = in->at;
    int64_t n;
    const int64_t from = visible_range(in, n_visible, &n);
    if (!tdbg_tui_input_is_there(in, m, n_visible))
        read_samples(in, m->data, from, n);
}

int32_t tdbg_tui_input_site(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                            int64_t at, int64_t *first, int64_t *n)
{
    const struct tdbg_run_info *info = m->data->info;
    const int64_t sample = in->first + at, batch = in->n_batch;
    for (int32_t i = 0; i < m->data->n_sites; i++) {
        const struct tdbg_site *s = &m->data->sites[i];
        if (strcmp(s->name, "input/x") != 0)
            continue;
        const int64_t lane = s->lane < 0 ? 0 : s->lane, micro = s->micro < 0 ? 0 : s->micro;
        const int64_t from = s->lane < 0 ? 0 : lane * batch / info->lanes;
        const int64_t size = s->lane < 0 ? batch : (lane + 1) * batch / info->lanes - from;
        const int64_t parts = s->micro < 0 ? 1 : info->accumulate;
        const int64_t begin = from + micro * size / parts, end = from + (micro + 1) * size / parts;
        if (sample < begin || sample >= end)
            continue;
        *first = begin - in->first;
        *n = end - begin;
        return i;
    }
    return -1;
}

bool tdbg_tui_input_tokens(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                           int64_t at, struct tdbg_tui_tokens *out)
{
    const struct tdbg_samples_spec *spec = m->data->samples;
    const int64_t row = at - in->have_from, y_elems = tdbg_tui_input_y_elems(spec);
    if (!in->x || row < 0 || row >= in->have_n)
        return false;
    *out = (struct tdbg_tui_tokens){.kind = &in->tokens,
                                    .x = in->x,
                                    .x_dtype = spec->x_dtype,
                                    .y_dtype = spec->y_dtype,
                                    .n = tdbg_tui_input_x_elems(spec)};
    out->x_first = row * out->n;
    if (y_elems == out->n && spec->y_ndim > 0) {
        out->y = in->y;
        out->y_first = row * y_elems;
    }
    tdbg_tui_tokens_measure(out);
    return true;
}

bool tdbg_tui_input_picture(const struct tdbg_tui_input *in, const struct tdbg_tui_model *m,
                            int64_t at, struct tdbg_tui_picture *out)
{
    const struct tdbg_samples_spec *spec = m->data->samples;
    int32_t ndim = spec->x_ndim;
    const int64_t *dims = spec->x_dims;
    *out = (struct tdbg_tui_picture){.data = in->x, .dtype = spec->x_dtype};
    int64_t row = at - in->have_from, n = in->have_n;
    if (in->is_after) {
        const struct tdbg_site *s = in->after_site < 0 ? NULL : &m->data->sites[in->after_site];
        if (!s || !in->after || s->ndim < 2)
            return false;
        ndim = s->ndim - 1;
        dims = s->dims + 1;
        out->data = in->after;
        out->dtype = s->dtype;
        row = at - in->after_first;
        n = in->after_n;
    }
    out->channels = image_channels(ndim, dims);
    if (out->channels == 0 || row < 0 || row >= n)
        return false;
    out->height = (int)dims[ndim - 2];
    out->width = (int)dims[ndim - 1];
    out->first = row * out->channels * out->height * out->width;
    tdbg_tui_picture_set_range(out);
    return true;
}
