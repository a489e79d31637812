/* scale and normalize. See data_transform.h. */
#include "engine/data_transform.h"

#include <stdio.h>
#include <string.h>

#include "engine/kind_table.h"

static const struct tdbg_option scale_options[] = {
    {"by", TDBG_OPT_FLOAT, "", -1e30, 1e30, NULL, NULL, TDBG_OPT_REQUIRED,
     "Factor that every element is multiplied with."},
};
static const struct tdbg_option normalize_options[] = {
    {"mean", TDBG_OPT_FLOATS, "", -1e30, 1e30, NULL, NULL, TDBG_OPT_REQUIRED,
     "Mean per channel, subtracted first."},
    {"std", TDBG_OPT_FLOATS, "", 0, 1e30, NULL, NULL, TDBG_OPT_REQUIRED | TDBG_OPT_ABOVE_MIN,
     "Standard deviation per channel, divided by."},
};
static const struct tdbg_option_table common = {NULL, 0};

enum { KIND_SCALE, KIND_NORMALIZE, N_KINDS };
static const struct tdbg_kind kinds[N_KINDS] = {
    [KIND_SCALE] = {"scale", {scale_options, 1}},
    [KIND_NORMALIZE] = {"normalize", {normalize_options, 2}},
};

struct tdbg_transform_class {
    bool (*read)(struct tdbg_config *config, struct tdbg_arena *arena,
                 const struct tdbg_cfg_node *item, const struct tdbg_shape *sample,
                 struct tdbg_transform *out);
    void (*apply)(const struct tdbg_transform *t, const struct tdbg_backend *backend, int64_t rows,
                  int64_t elems, const float *x, float *y);
};

static bool read_scale(struct tdbg_config *config, struct tdbg_arena *arena,
                       const struct tdbg_cfg_node *item, const struct tdbg_shape *sample,
                       struct tdbg_transform *out)
{
    (void)config;
    (void)arena;
    (void)sample;
    out->by = (float)tdbg_cfg_float(item, "by");
    return true;
}

static void apply_scale(const struct tdbg_transform *t, const struct tdbg_backend *backend,
                        int64_t rows, int64_t elems, const float *x, float *y)
{
    backend->scale(backend->context, rows * elems, x, t->by, y);
}

static float *read_floats(struct tdbg_arena *arena, const struct tdbg_cfg_node *list)
{
    float *out = tdbg_arena_alloc(arena, (size_t)list->n_child * sizeof *out);
    for (int i = 0; i < list->n_child; i++)
        out[i] = (float)list->child[i]->f;
    return out;
}

static bool read_normalize(struct tdbg_config *config, struct tdbg_arena *arena,
                           const struct tdbg_cfg_node *item, const struct tdbg_shape *sample,
                           struct tdbg_transform *out)
{
    const struct tdbg_cfg_node *mean = tdbg_cfg_find(item, "mean");
    const struct tdbg_cfg_node *std = tdbg_cfg_find(item, "std");
    out->channels = sample->ndim > 2 ? sample->dims[0] : 1; /* (C, H, W); (H, W) has one channel */
    if (mean->n_child != out->channels || std->n_child != out->channels) {
        tdbg_config_report(config, item, NULL,
                           "normalize has %d means and %d stds, but samples have %lld channel%s",
                           mean->n_child, std->n_child, (long long)out->channels,
                           out->channels == 1 ? "" : "s");
        return false;
    }
    out->mean = read_floats(arena, mean);
    out->std = read_floats(arena, std);
    return true;
}

static void apply_normalize(const struct tdbg_transform *t, const struct tdbg_backend *backend,
                            int64_t rows, int64_t elems, const float *x, float *y)
{
    backend->normalize(backend->context, rows, t->channels, elems / t->channels, x, t->mean, t->std,
                       y);
}

static const struct tdbg_transform_class classes[N_KINDS] = {
    [KIND_SCALE] = {read_scale, apply_scale},
    [KIND_NORMALIZE] = {read_normalize, apply_normalize},
};

void tdbg_transform_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *list)
{
    if (!list || list->type != TDBG_CFG_LIST)
        return; /* reported by the root's table */
    for (int i = 0; i < list->n_child; i++) {
        char context[64];
        snprintf(context, sizeof context, "data.transforms[%d]", i);
        tdbg_kind_check(config, list->child[i], "op", kinds, N_KINDS, &common, context);
    }
}

void tdbg_transform_print_options(FILE *out)
{
    tdbg_kind_print_options("data.transforms", "op", kinds, N_KINDS, &common, out);
}

bool tdbg_transform_read(struct tdbg_config *config, struct tdbg_arena *arena,
                         const struct tdbg_cfg_node *item, const struct tdbg_shape *sample,
                         struct tdbg_transform *out)
{
    const char *name = tdbg_cfg_string(item, "op");
    int kind = strcmp(name, kinds[KIND_SCALE].name) == 0 ? KIND_SCALE : KIND_NORMALIZE;
    *out = (struct tdbg_transform){.cls = &classes[kind]};
    return out->cls->read(config, arena, item, sample, out);
}

const char *tdbg_transform_kind(const struct tdbg_transform *transform)
{
    return kinds[transform->cls - classes].name;
}

void tdbg_transform_apply(const struct tdbg_transform *transform,
                          const struct tdbg_backend *backend, int64_t rows, int64_t elems,
                          const float *x, float *y)
{
    transform->cls->apply(transform, backend, rows, elems, x, y);
}
