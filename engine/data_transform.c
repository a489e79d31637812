/* The data transforms that a config can name. See data_transform.h; the arithmetic is in
 * kernels/transform.h and kernels/transform_image.h. */
#include "engine/data_transform.h"

#include <stdio.h>
#include <string.h>

#include "base/philox.h"
#include "engine/kind_table.h"

enum { MOST_SIDE = 1 << 20 }; /* of an image, in elements */

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
static const struct tdbg_option resize_options[] = {
    {"size", TDBG_OPT_INTS, "elements", 1, MOST_SIDE, NULL, NULL, TDBG_OPT_REQUIRED,
     "[height, width] of the result."},
    {"mode", TDBG_OPT_ENUM, "", 0, 0, "bilinear|nearest", "\"bilinear\"", 0,
     "As in PyTorch's interpolate with align_corners = false."},
};
static const struct tdbg_option channels_options[] = {
    {"from", TDBG_OPT_ENUM, "", 0, 0, "rgb|bgr", "\"rgb\"", 0,
     "Order of the channels in the data."},
    {"order", TDBG_OPT_ENUM, "", 0, 0, "rgb|bgr|gray", "\"rgb\"", 0,
     "Order that they get; gray makes one channel, 0.2989 r + 0.587 g + 0.114 b."},
    {"layout", TDBG_OPT_ENUM, "", 0, 0, "chw|hwc", "\"chw\"", 0,
     "Layout of the data: hwc is (height, width, channels) and becomes (channels, height, width)."},
};
static const struct tdbg_option crop_options[] = {
    {"size", TDBG_OPT_INTS, "elements", 1, MOST_SIDE, NULL, NULL, TDBG_OPT_REQUIRED,
     "[height, width] of the result."},
    {"padding", TDBG_OPT_INT, "elements", 0, MOST_SIDE, NULL, "0", 0,
     "Zeros that are put around the image first."},
    {"at", TDBG_OPT_ENUM, "", 0, 0, "random|center", "\"random\"", 0,
     "Where it is cut out; random is by seed, epoch and sample, and the centre in evaluation."},
};
static const struct tdbg_option flip_options[] = {
    {"p", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.5", 0,
     "Share of the samples whose columns are reversed, by seed, epoch and sample; none in "
     "evaluation."},
};
static const struct tdbg_option_table common = {NULL, 0};

enum { KIND_SCALE, KIND_NORMALIZE, KIND_RESIZE, KIND_CHANNELS, KIND_CROP, KIND_FLIP, N_KINDS };
#define TABLE(options)                                                                             \
    {                                                                                              \
        options, (int)(sizeof options / sizeof options[0])                                         \
    }
static const struct tdbg_kind kinds[N_KINDS] = {
    [KIND_SCALE] = {"scale", TABLE(scale_options)},
    [KIND_NORMALIZE] = {"normalize", TABLE(normalize_options)},
    [KIND_RESIZE] = {"resize", TABLE(resize_options)},
    [KIND_CHANNELS] = {"channels", TABLE(channels_options)},
    [KIND_CROP] = {"crop", TABLE(crop_options)},
    [KIND_FLIP] = {"flip", TABLE(flip_options)},
};

struct tdbg_transform_class {
    /* t->in and t->out are the sample's shape; out is changed where the result has another. */
    bool (*read)(struct tdbg_config *config, struct tdbg_arena *arena,
                 const struct tdbg_cfg_node *item, struct tdbg_transform *t);
    void (*apply)(const struct tdbg_transform *t, const struct tdbg_transform_run *run);
};

/* --- any shape --- */

static bool read_scale(struct tdbg_config *config, struct tdbg_arena *arena,
                       const struct tdbg_cfg_node *item, struct tdbg_transform *t)
{
    (void)config;
    (void)arena;
    t->by = (float)tdbg_cfg_float(item, "by");
    return true;
}

static void apply_scale(const struct tdbg_transform *t, const struct tdbg_transform_run *run)
{
    run->backend->scale(run->backend->context, run->rows * tdbg_shape_elems(&t->in), run->x, t->by,
                        run->y);
}

static float *read_floats(struct tdbg_arena *arena, const struct tdbg_cfg_node *list)
{
    float *out = tdbg_arena_alloc(arena, (size_t)list->n_child * sizeof *out);
    for (int i = 0; i < list->n_child; i++)
        out[i] = (float)list->child[i]->f;
    return out;
}

static bool read_normalize(struct tdbg_config *config, struct tdbg_arena *arena,
                           const struct tdbg_cfg_node *item, struct tdbg_transform *t)
{
    const struct tdbg_cfg_node *mean = tdbg_cfg_find(item, "mean");
    const struct tdbg_cfg_node *std = tdbg_cfg_find(item, "std");
    t->channels = t->in.ndim > 2 ? t->in.dims[0] : 1; /* (C, H, W); (H, W) has one channel */
    if (mean->n_child != t->channels || std->n_child != t->channels) {
        tdbg_config_report(config, item, NULL,
                           "normalize has %d means and %d stds, but samples have %lld channel%s",
                           mean->n_child, std->n_child, (long long)t->channels,
                           t->channels == 1 ? "" : "s");
        return false;
    }
    t->mean = read_floats(arena, mean);
    t->std = read_floats(arena, std);
    return true;
}

static void apply_normalize(const struct tdbg_transform *t, const struct tdbg_transform_run *run)
{
    run->backend->normalize(run->backend->context, run->rows, t->channels,
                            tdbg_shape_elems(&t->in) / t->channels, run->x, t->mean, t->std,
                            run->y);
}

/* --- images --- */

/* (H, W) or (C, H, W): its planes and their sides. */
static bool image_sides(struct tdbg_config *config, const struct tdbg_cfg_node *item,
                        const struct tdbg_shape *s, int64_t *planes, int64_t *h, int64_t *w)
{
    char text[128];
    const bool fits = s->ndim == 2 || s->ndim == 3;
    if (!fits || s->dims[s->ndim - 2] > MOST_SIDE || s->dims[s->ndim - 1] > MOST_SIDE) {
        tdbg_config_report(config, item, NULL,
                           "%s wants images (height, width) or (channels, height, width), not %s",
                           tdbg_cfg_string(item, "op"), tdbg_shape_text(s, text, sizeof text));
        return false;
    }
    *planes = s->ndim == 3 ? s->dims[0] : 1;
    *h = s->dims[s->ndim - 2];
    *w = s->dims[s->ndim - 1];
    return true;
}

/* size = [height, width] into the last two dimensions of out. */
static bool read_size(struct tdbg_config *config, const struct tdbg_cfg_node *item,
                      struct tdbg_shape *out)
{
    const struct tdbg_cfg_node *size = tdbg_cfg_find(item, "size");
    if (size->n_child != 2) {
        tdbg_config_report(config, size, NULL,
                           "'size' of %s has %d numbers; [height, width] is "
                           "wanted",
                           tdbg_cfg_string(item, "op"), size->n_child);
        return false;
    }
    out->dims[out->ndim - 2] = size->child[0]->i;
    out->dims[out->ndim - 1] = size->child[1]->i;
    return true;
}

static bool read_resize(struct tdbg_config *config, struct tdbg_arena *arena,
                        const struct tdbg_cfg_node *item, struct tdbg_transform *t)
{
    (void)arena;
    struct tdbg_resize *r = &t->resize;
    if (!image_sides(config, item, &t->in, &r->planes, &r->in_h, &r->in_w) ||
        !read_size(config, item, &t->out))
        return false;
    r->out_h = t->out.dims[t->out.ndim - 2];
    r->out_w = t->out.dims[t->out.ndim - 1];
    r->nearest = strcmp(tdbg_cfg_string(item, "mode"), "nearest") == 0;
    return true;
}

static void apply_resize(const struct tdbg_transform *t, const struct tdbg_transform_run *run)
{
    struct tdbg_resize resize = t->resize;
    resize.planes *= run->rows;
    run->backend->resize(run->backend->context, &resize, run->x, run->y);
}

static bool read_channels(struct tdbg_config *config, struct tdbg_arena *arena,
                          const struct tdbg_cfg_node *item, struct tdbg_transform *t)
{
    (void)arena;
    struct tdbg_channels *c = &t->order;
    const struct tdbg_shape in = t->in;
    const char *from = tdbg_cfg_string(item, "from"), *order = tdbg_cfg_string(item, "order");
    char text[128];
    c->hwc = strcmp(tdbg_cfg_string(item, "layout"), "hwc") == 0;
    c->gray = strcmp(order, "gray") == 0;
    c->reverse = c->gray ? strcmp(from, "bgr") == 0 : strcmp(from, order) != 0;
    const int64_t n = in.ndim == 3 ? in.dims[c->hwc ? 2 : 0] : 0;
    if (n < 1 || ((c->gray || c->reverse) && n != 3)) {
        tdbg_config_report(config, item, NULL, "channels wants images %s, not %s",
                           c->hwc ? "(height, width, 3)" : "(3, height, width)",
                           tdbg_shape_text(&in, text, sizeof text));
        return false;
    }
    c->channels = n;
    c->inner = tdbg_shape_elems(&in) / n;
    t->out.dims[0] = c->gray ? 1 : n;
    t->out.dims[1] = in.dims[c->hwc ? 0 : 1];
    t->out.dims[2] = in.dims[c->hwc ? 1 : 2];
    return true;
}

static void apply_channels(const struct tdbg_transform *t, const struct tdbg_transform_run *run)
{
    struct tdbg_channels channels = t->order;
    channels.rows = run->rows;
    run->backend->channels(run->backend->context, &channels, run->x, run->y);
}

/* --- random ones --- */

static struct tdbg_augment augment(const struct tdbg_transform *t,
                                   const struct tdbg_transform_run *run, bool on)
{
    return (struct tdbg_augment){
        .on = on && run->training,
        .key = tdbg_philox_key(run->seed, TDBG_RANDOM_AUGMENT, (uint64_t)run->epoch),
        .transform = (uint64_t)t->index,
        .ids = run->ids};
}

static bool read_crop(struct tdbg_config *config, struct tdbg_arena *arena,
                      const struct tdbg_cfg_node *item, struct tdbg_transform *t)
{
    (void)arena;
    struct tdbg_crop *c = &t->crop;
    if (!image_sides(config, item, &t->in, &c->planes, &c->in_h, &c->in_w) ||
        !read_size(config, item, &t->out))
        return false;
    c->out_h = t->out.dims[t->out.ndim - 2];
    c->out_w = t->out.dims[t->out.ndim - 1];
    c->pad = tdbg_cfg_int(item, "padding");
    c->random.on = strcmp(tdbg_cfg_string(item, "at"), "random") == 0;
    if (c->out_h > c->in_h + 2 * c->pad || c->out_w > c->in_w + 2 * c->pad) {
        tdbg_config_report(config, item, NULL,
                           "crop cuts (%lld, %lld) out of (%lld, %lld) with its padding",
                           (long long)c->out_h, (long long)c->out_w,
                           (long long)(c->in_h + 2 * c->pad), (long long)(c->in_w + 2 * c->pad));
        return false;
    }
    return true;
}

static void apply_crop(const struct tdbg_transform *t, const struct tdbg_transform_run *run)
{
    struct tdbg_crop crop = t->crop;
    crop.samples = run->rows;
    crop.random = augment(t, run, t->crop.random.on);
    run->backend->crop(run->backend->context, &crop, run->x, run->y);
}

static bool read_flip(struct tdbg_config *config, struct tdbg_arena *arena,
                      const struct tdbg_cfg_node *item, struct tdbg_transform *t)
{
    (void)arena;
    struct tdbg_flip *f = &t->flip;
    f->p = (float)tdbg_cfg_float(item, "p");
    return image_sides(config, item, &t->in, &f->planes, &f->h, &f->w);
}

static void apply_flip(const struct tdbg_transform *t, const struct tdbg_transform_run *run)
{
    struct tdbg_flip flip = t->flip;
    flip.samples = run->rows;
    flip.random = augment(t, run, true);
    run->backend->flip(run->backend->context, &flip, run->x, run->y);
}

static const struct tdbg_transform_class classes[N_KINDS] = {
    [KIND_SCALE] = {read_scale, apply_scale},
    [KIND_NORMALIZE] = {read_normalize, apply_normalize},
    [KIND_RESIZE] = {read_resize, apply_resize},
    [KIND_CHANNELS] = {read_channels, apply_channels},
    [KIND_CROP] = {read_crop, apply_crop},
    [KIND_FLIP] = {read_flip, apply_flip},
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
                         const struct tdbg_cfg_node *item, int32_t index, struct tdbg_shape *sample,
                         struct tdbg_transform *out)
{
    const char *name = tdbg_cfg_string(item, "op");
    int kind = 0;
    while (kind < N_KINDS - 1 && strcmp(name, kinds[kind].name) != 0)
        kind++;
    *out = (struct tdbg_transform){
        .cls = &classes[kind], .in = *sample, .out = *sample, .index = index};
    if (!out->cls->read(config, arena, item, out))
        return false;
    int64_t room = TDBG_MAX_PARAM_ELEMS;
    for (int32_t d = 0; d < out->out.ndim; d++)
        room /= out->out.dims[d];
    if (room < 1) {
        tdbg_config_report(config, item, NULL, "%s makes samples of more than 2^31 elements", name);
        return false;
    }
    *sample = out->out;
    return true;
}

const char *tdbg_transform_kind(const struct tdbg_transform *transform)
{
    return kinds[transform->cls - classes].name;
}

void tdbg_transform_apply(const struct tdbg_transform *transform,
                          const struct tdbg_transform_run *run)
{
    transform->cls->apply(transform, run);
}
