/* Geometry and plans of convolutions on a GPU: see conv2d_gpu.h. */
#include "kernels/conv2d_gpu.h"

#include "kernels/conv2d_plan.h"
#include "kernels/numerics.h"

enum {
    SMALL_ROWS = 4, /* groups of so few rows would leave a tile of the weight gradient empty */
    BYTES_PER_MULTIPROCESSOR = 256 << 10, /* of scratch memory: about what the L2 cache holds */
    BLOCKS_PER_MULTIPROCESSOR = 2,
    MOST_ROWS = 128,   /* of a tile */
    LARGE_SHARED = 80, /* compute capability from which the largest tile fits into a block */
    WAVES = 4,         /* blocks per place on the GPU where slices are side by side */
};

static struct tdbg_conv_gpu_axis axis_of(const struct tdbg_conv_axis *a)
{
    return (struct tdbg_conv_gpu_axis){.outs = (int32_t)a->outs,
                                       .step = (int32_t)a->step,
                                       .taps = (int32_t)a->taps,
                                       .first = (int32_t)a->first,
                                       .tap_step = (int32_t)a->tap_step,
                                       .size = (int32_t)a->size};
}

/* Rows of a tile, 32, 64 or 128: those with which the busiest multiprocessor is done first. Large
 * tiles fetch less per product, small ones leave fewer rows empty and share out better. many: there
 * are tiles enough for that not to matter. */
static int32_t tile_rows_of(int64_t rows, int64_t col_tiles, const struct tdbg_gpu *gpu, bool many)
{
    static const struct {
        int32_t rows;
        double speed; /* share of a loop's instructions that are products */
    } tiles[] = {{MOST_ROWS, 0.82}, {64, 0.78}, {32, 0.70}};
    int32_t best = 0;
    double least = 0;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        if (tiles[i].rows > 64 && gpu->capability < LARGE_SHARED)
            continue;
        const int64_t n = tdbg_conv_ceil_div(rows, tiles[i].rows) * col_tiles;
        const int64_t turns = many ? n : tdbg_conv_ceil_div(n, gpu->multiprocessors);
        const double cost = (double)(turns * tiles[i].rows) / tiles[i].speed;
        if (best == 0 || cost < least) {
            best = tiles[i].rows;
            least = cost;
        }
    }
    return best;
}

/* Columns of a tile of the weight gradient: narrow ones where they leave a tenth less empty. */
static int32_t tile_cols_of(int64_t cols)
{
    const int64_t narrow = tdbg_conv_ceil_div(cols, 64) * 64;
    const int64_t wide = tdbg_conv_ceil_div(cols, 128) * 128;
    return narrow * 10 <= wide * 9 ? 64 : 128;
}

static void plan_product(struct tdbg_conv_gpu_product *p, const struct tdbg_conv_view *v,
                         const struct tdbg_gpu *gpu)
{
    p->h = axis_of(&v->h);
    p->w = axis_of(&v->w);
    p->k = v->channels * v->h.taps * v->w.taps;
    p->grid = (int32_t)(v->h.outs * v->w.outs);
    p->cols = v->samples * p->grid;
    p->image_sample = v->image_sample_stride;
    p->image_channel = v->image_channel_stride;
    p->image_group = v->channels * p->image_channel;
    if (p->rows > TDBG_CONV_GPU_DIRECT) {
        const int64_t col_tiles = tdbg_conv_ceil_div(p->cols, TDBG_CONV_GPU_COLS);
        p->rows_at_once = tile_rows_of(p->rows, p->groups * col_tiles, gpu, false);
    } else {
        p->rows_at_once = 1;
        while (p->rows_at_once < p->rows)
            p->rows_at_once *= 2;
    }
    p->padded_rows = tdbg_conv_ceil_div(p->rows, p->rows_at_once) * p->rows_at_once;
    p->padded_k = tdbg_conv_ceil_div(p->k, TDBG_CONV_GPU_STEP) * TDBG_CONV_GPU_STEP;
}

struct tdbg_conv_gpu_product tdbg_conv_gpu_forward_product(const struct tdbg_conv2d *c,
                                                           const struct tdbg_gpu *gpu)
{
    const struct tdbg_conv_view view = tdbg_conv_view_of_x(c);
    const int64_t taps = c->kernel[0] * c->kernel[1];
    struct tdbg_conv_gpu_product p = {.groups = c->groups, .rows = c->out / c->groups};
    plan_product(&p, &view, gpu);
    p.weight_group = p.rows * p.k;
    p.weight_row = p.k;
    p.weight_channel = taps;
    p.weight_h = c->kernel[1];
    p.weight_w = 1;
    p.y_plane = p.grid;
    p.y_sample = c->out * p.y_plane;
    p.y_h = p.w.outs;
    p.y_w = 1;
    return p;
}

struct tdbg_conv_gpu_product tdbg_conv_gpu_class_product(const struct tdbg_conv2d *c, int64_t ih,
                                                         int64_t iw, const struct tdbg_gpu *gpu)
{
    struct tdbg_conv_taps taps;
    const struct tdbg_conv_view view = tdbg_conv_view_of_class(c, ih, iw, &taps);
    const int64_t area = c->kernel[0] * c->kernel[1];
    struct tdbg_conv_gpu_product p = {.groups = c->groups, .rows = c->in / c->groups};
    plan_product(&p, &view, gpu);
    p.weight_row = area;
    p.weight_channel = p.rows * area;
    p.weight_group = view.channels * p.weight_channel;
    p.weight_tap = taps.first;
    p.weight_h = taps.h;
    p.weight_w = taps.w;
    p.y_plane = c->height * c->width;
    p.y_sample = c->in * p.y_plane;
    p.y_first = ih * c->width + iw;
    p.y_h = c->stride[0] * c->width;
    p.y_w = c->stride[1];
    return p;
}

size_t tdbg_conv_gpu_packed_bytes(const struct tdbg_conv_gpu_product *p)
{
    /* as of the largest tile: which one is chosen depends on the number of samples */
    const int64_t rows = p->rows > TDBG_CONV_GPU_DIRECT
                             ? tdbg_conv_ceil_div(p->rows, MOST_ROWS) * MOST_ROWS
                             : p->padded_rows;
    return ((size_t)(p->groups * p->padded_k * rows) * sizeof(float) + 63) / 64 * 64;
}

size_t tdbg_conv_gpu_product_bytes(const struct tdbg_conv_gpu_product *p)
{
    return tdbg_conv_gpu_packed_bytes(p) + (size_t)p->padded_k * TDBG_CONV_GPU_TERM_BYTES;
}

struct tdbg_conv_gpu_weight tdbg_conv_gpu_weight_plan(const struct tdbg_conv2d *c,
                                                      const struct tdbg_gpu *gpu)
{
    const struct tdbg_conv_view view = tdbg_conv_view_of_x(c);
    struct tdbg_conv_gpu_weight p = {.groups = c->groups,
                                     .rows = c->out / c->groups,
                                     .h = axis_of(&view.h),
                                     .w = axis_of(&view.w)};
    const int64_t places = (int64_t)BLOCKS_PER_MULTIPROCESSOR * gpu->multiprocessors;
    p.grid = p.h.outs * p.w.outs;
    p.cols = view.channels * view.h.taps * view.w.taps;
    p.k = c->samples * p.grid;
    p.slices = tdbg_conv_ceil_div(p.k, TDBG_K_SLICE);
    p.x_sample = view.image_sample_stride;
    p.x_channel = view.image_channel_stride;
    p.x_group = view.channels * p.x_channel;
    p.slices_per_block = p.slices;
    int64_t tiles = 0;
    if (p.rows > SMALL_ROWS) {
        p.tile_rows = tile_rows_of(p.rows, 1, gpu, true);
        p.tile_cols = tile_cols_of(p.cols);
        p.row_tiles = tdbg_conv_ceil_div(p.rows, p.tile_rows);
        p.col_tiles = tdbg_conv_ceil_div(p.cols, p.tile_cols);
        tiles = p.groups * p.row_tiles * p.col_tiles;
        p.scratch_slice = tiles * p.tile_rows * p.tile_cols;
        if (p.slices < 2 || tiles * 4 >= places * 3)
            return p;
    } else {
        p.scratch_slice = p.groups * p.rows * p.cols;
    }
    const int64_t room = (int64_t)gpu->multiprocessors * BYTES_PER_MULTIPROCESSOR;
    const int64_t fit = room / (p.scratch_slice * (int64_t)sizeof(float));
    p.slices_at_once = tdbg_conv_max(1, tdbg_conv_min(p.slices, fit));
    p.slices_per_block = tdbg_conv_max(1, tiles * p.slices_at_once / (places * WAVES));
    return p;
}

size_t tdbg_conv_gpu_weight_bytes(const struct tdbg_conv_gpu_weight *p)
{
    return (size_t)(p->slices_at_once * p->scratch_slice) * sizeof(float);
}

size_t tdbg_conv_gpu_workspace_bytes(const struct tdbg_conv2d *c, const struct tdbg_gpu *gpu)
{
    struct tdbg_conv_gpu_product p = tdbg_conv_gpu_forward_product(c, gpu);
    const struct tdbg_conv_gpu_weight weight = tdbg_conv_gpu_weight_plan(c, gpu);
    size_t most = tdbg_conv_gpu_product_bytes(&p), bytes = tdbg_conv_gpu_weight_bytes(&weight);
    most = bytes > most ? bytes : most;
    for (int64_t ih = 0; ih < c->stride[0] && ih < c->height; ih++) {
        for (int64_t iw = 0; iw < c->stride[1] && iw < c->width; iw++) {
            p = tdbg_conv_gpu_class_product(c, ih, iw, gpu);
            bytes = tdbg_conv_gpu_product_bytes(&p);
            most = bytes > most ? bytes : most;
        }
    }
    return most;
}
