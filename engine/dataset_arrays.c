/* From arrays of any type to samples. See dataset.h; reading files is in dataset_files.c. */
#include "engine/dataset.h"
#include "engine/shape.h"

enum { SCAN_ELEMS = 4096 };
#define MAX_CLASS (INT64_C(1) << 24)

/* Least and greatest element of a side as integers over all its samples. */
static bool side_range(const struct tdbg_data_side *side, int64_t count, int64_t elems,
                       int64_t *least, int64_t *most)
{
    int64_t values[SCAN_ELEMS];
    *least = INT64_MAX;
    *most = INT64_MIN;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t at = 0; at < elems; at += SCAN_ELEMS) {
            const int64_t n = elems - at < SCAN_ELEMS ? elems - at : SCAN_ELEMS;
            tdbg_array_to_i64(&side->array, side->first + i * side->stride + at, n, values);
            for (int64_t k = 0; k < n; k++) {
                *least = values[k] < *least ? values[k] : *least;
                *most = values[k] > *most ? values[k] : *most;
            }
        }
    }
    return *least > INT64_MIN;
}

/* Largest class index + 1 into shape.classes, and largest token + 1 into shape.vocab where that is
 * 0 and x are tokens. Reports what is no class or token. *fine: nothing was reported. */
static enum tdbg_status scan(struct tdbg_config *config, const struct tdbg_cfg_node *x_at,
                             const struct tdbg_cfg_node *y_at, struct tdbg_dataset *set, bool *fine,
                             struct tdbg_err *err)
{
    (void)err;
    struct tdbg_data_shape *s = &set->shape;
    int64_t least, most;
    *fine = true;
    if (s->y_dtype == TDBG_DTYPE_I64) { /* below 0: targets that a loss may ignore */
        bool whole = side_range(&set->y, s->count, tdbg_data_y_elems(s), &least, &most);
        *fine = whole && least >= INT32_MIN && most < MAX_CLASS;
        if (!*fine)
            tdbg_config_report(config, y_at,
                               "data.targets = \"values\"; makes them numbers to "
                               "predict",
                               "the targets are no class indices: they have to be whole numbers "
                               "below 2^24");
        s->classes = most < 0 ? 1 : most + 1;
    }
    if (s->x_dtype == TDBG_DTYPE_I32 && s->vocab == 0) {
        bool whole = side_range(&set->x, s->count, tdbg_data_x_elems(s), &least, &most);
        if (!whole || least < 0 || most >= MAX_CLASS) {
            tdbg_config_report(config, x_at, "data.inputs = \"values\"; makes them numbers",
                               "the samples are no tokens: they have to be whole numbers from 0 "
                               "to 2^24 - 1");
            *fine = false;
        }
        s->vocab = most + 1;
    }
    return TDBG_OK;
}

static bool is_tokens(const struct tdbg_array *x, enum tdbg_data_inputs inputs)
{
    const bool wide = x->elem == TDBG_ELEM_I32 || x->elem == TDBG_ELEM_I64 ||
                      x->elem == TDBG_ELEM_U32 || x->elem == TDBG_ELEM_U64;
    return inputs == TDBG_INPUTS_TOKENS || (inputs == TDBG_INPUTS_AUTO && wide && x->ndim == 2);
}

static bool is_classes(const struct tdbg_array *y, enum tdbg_data_targets targets)
{
    return targets == TDBG_TARGETS_CLASSES ||
           (targets == TDBG_TARGETS_AUTO && !tdbg_elem_is_float(y->elem));
}

static void fill_x(struct tdbg_data_shape *s, const struct tdbg_array *x, bool tokens)
{
    s->x_dtype = tokens ? TDBG_DTYPE_I32 : x->elem == TDBG_ELEM_U8 ? TDBG_DTYPE_U8 : TDBG_DTYPE_F32;
    s->x_ndim = x->ndim > 1 ? x->ndim - 1 : 1;
    s->x_dims[0] = 1;
    for (int32_t d = 1; d < x->ndim; d++)
        s->x_dims[d - 1] = x->dims[d];
}

static void fill_y(struct tdbg_data_shape *s, const struct tdbg_array *y, bool classes)
{
    s->y_dtype = classes ? TDBG_DTYPE_I64 : TDBG_DTYPE_F32;
    s->y_ndim = y->ndim - 1;
    for (int32_t d = 1; d < y->ndim; d++)
        s->y_dims[d - 1] = y->dims[d];
    if (classes && s->y_ndim == 1 && s->y_dims[0] == 1) {
        s->y_ndim = 0;
        s->y_dims[0] = 0;
    } else if (!classes && s->y_ndim == 0) {
        s->y_ndim = 1;
        s->y_dims[0] = 1;
    }
}

static bool dims_fit(const struct tdbg_array *a)
{
    bool fit = a->ndim >= 1 && a->ndim <= TDBG_MAX_SHAPE + 1;
    for (int32_t d = 0; d < a->ndim; d++)
        fit = fit && a->dims[d] >= 1;
    return fit;
}

static bool check_arrays(struct tdbg_config *config, const struct tdbg_array *x,
                         const struct tdbg_cfg_node *x_at, const struct tdbg_array *y,
                         const struct tdbg_cfg_node *y_at)
{
    if (!dims_fit(x) || !dims_fit(y)) {
        tdbg_config_report(config, dims_fit(x) ? y_at : x_at, NULL,
                           "%s have %d dimensions; 1 to %d are wanted, none of them empty",
                           dims_fit(x) ? "the targets" : "the samples",
                           (int)(dims_fit(x) ? y->ndim : x->ndim), TDBG_MAX_SHAPE + 1);
        return false;
    }
    if (x->dims[0] != y->dims[0]) {
        tdbg_config_report(config, y_at, NULL, "%lld targets for %lld samples",
                           (long long)y->dims[0], (long long)x->dims[0]);
        return false;
    }
    return true;
}

enum tdbg_status tdbg_dataset_from_arrays(struct tdbg_config *config, struct tdbg_array *x,
                                          const struct tdbg_cfg_node *x_at,
                                          enum tdbg_data_inputs inputs, struct tdbg_array *y,
                                          const struct tdbg_cfg_node *y_at,
                                          enum tdbg_data_targets targets, struct tdbg_dataset *out,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    bool fine = check_arrays(config, x, x_at, y, y_at);
    *out = (struct tdbg_dataset){.x = {.array = *x}, .y = {.array = *y}};
    *x = *y = (struct tdbg_array){0};
    if (!fine)
        goto out;
    const bool tokens = is_tokens(&out->x.array, inputs);
    if (tokens && out->x.array.ndim != 2) {
        tdbg_config_report(config, x_at, NULL, "tokens want samples of one dimension, not of %d",
                           (int)out->x.array.ndim - 1);
        fine = false;
        goto out;
    }
    out->shape.count = out->x.array.dims[0];
    fill_x(&out->shape, &out->x.array, tokens);
    fill_y(&out->shape, &out->y.array, is_classes(&out->y.array, targets));
    out->x.stride = tdbg_data_x_elems(&out->shape);
    out->y.stride = tdbg_data_y_elems(&out->shape);
    TDBG_TRY(scan(config, x_at, y_at, out, &fine, err));
out:
    if (st != TDBG_OK || !fine)
        tdbg_dataset_clear(out);
    return st;
}
