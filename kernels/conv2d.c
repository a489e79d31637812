/* Convolution, forward and input gradient: matrix products of the weights and an im2col matrix that
 * exists only panel by panel. The weight gradient is in conv2d_weight.c and conv2d_lanes.c, the
 * input gradient of strided depthwise convolutions in conv2d_strided.c, the geometry in
 * conv2d_view.c, the inner kernels in conv2d_cpu.c and gemm_cpu.c. Order: conv2d.h. */
#include "kernels/conv2d.h"

#include <string.h>

#include "kernels/conv2d_plan.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"

enum {
    /* Rows of packed weights that stay in the second-level cache while panels pass by. */
    ROW_BLOCK = 168,
    /* Panels at a time, where there are more rows than that: weights come from farther away. */
    PANELS = 8,
    LINE_FLOATS = 16, /* 64 bytes */
};

/* Output of a group = weights (rows, k) times im2col (k, all samples' grids), or of one residue
 * class of dx. */
struct product {
    const struct tdbg_cpu *cpu;
    const struct tdbg_gemm_isa *isa;
    struct tdbg_conv_view view;
    int64_t groups, rows, k;
    int64_t grid; /* outputs of a sample in a plane */
    const float *x;
    /* weight of (row, channel, taps i and j) of group g: g * weight_group + row * weight_row +
     * channel * weight_channel + weight_tap + i * weight_h + j * weight_w */
    const float *weight;
    int64_t weight_group, weight_row, weight_channel, weight_tap, weight_h, weight_w;
    const float *bias; /* (groups * rows) or NULL */
    /* element (row, a, b) of group g in sample n: n * y_sample + (g * rows + row) * y_plane +
     * y_first
     * + a * y_h + b * y_w */
    float *y;
    int64_t y_sample, y_plane, y_first, y_h, y_w;
    bool dense; /* the grid is the plane */
    /* plan */
    bool direct;
    struct tdbg_conv_rows cut;                    /* of the rows into panels; direct: one panel */
    int64_t panels, panels_at_once, rows_at_once; /* of columns, and of rows */
    int64_t slots, parts;
    /* workspace */
    float *packed; /* (groups, rows * k): slices, in each panels of rows, in each (t, row) */
    int64_t *off;  /* (k) */
    char *part;    /* per thread */
    size_t part_bytes;
};

/* A thread's share of a workspace. */
struct part {
    float *copies; /* (slots, slot) */
    float *v;      /* (panels at once, a slice, nr) */
    float *sums;   /* (panels at once, rows, nr): results that are not in one piece */
};

static struct part take_part(const struct product *p, void *memory, size_t *bytes)
{
    int64_t nr = p->isa->nr, slice = tdbg_conv_min(p->k, TDBG_K_SLICE);
    struct part part = {.copies =
                            tdbg_conv_take(memory, bytes, p->slots * p->view.slot, sizeof(float))};
    if (p->direct)
        return part;
    part.v = tdbg_conv_take(memory, bytes, p->panels_at_once * nr * slice + TDBG_GEMM_MAX_LANES,
                            sizeof(float));
    part.sums = tdbg_conv_take(memory, bytes, p->panels_at_once * nr * p->rows, sizeof(float));
    return part;
}

/* Plans a product whose shapes are set; returns the bytes of workspace. */
static size_t plan_product(struct product *p, void *workspace)
{
    size_t bytes = 0;
    int64_t nr = p->isa->nr, cols = p->view.samples * p->view.h.outs * p->view.w.outs;
    p->direct = p->rows <= TDBG_CONV_MAX_DIRECT;
    p->cut = tdbg_conv_cut_rows(p->rows, p->direct ? TDBG_CONV_MAX_DIRECT : p->isa->mr);
    p->grid = p->view.h.outs * p->view.w.outs;
    tdbg_conv_view_init(&p->view, p->dense);
    p->panels = tdbg_conv_ceil_div(cols, nr);
    p->panels_at_once = p->rows > ROW_BLOCK ? PANELS : 1;
    p->rows_at_once = ROW_BLOCK / p->isa->mr;
    p->slots = p->direct ? 1 : tdbg_conv_slots(&p->view, p->panels_at_once * nr);
    int64_t units = p->groups * (p->direct ? p->view.samples : p->panels);
    p->parts = tdbg_conv_parts(p->cpu, units, (double)cols * (double)(p->groups * p->rows * p->k));
    p->packed = tdbg_conv_take(workspace, &bytes, p->groups * p->rows * p->k, sizeof(float));
    p->off = tdbg_conv_take(workspace, &bytes, p->k, sizeof(int64_t));
    take_part(p, NULL, &p->part_bytes);
    p->part = tdbg_conv_take(workspace, &bytes, p->parts * (int64_t)p->part_bytes, 1);
    return bytes;
}

/* ---- weights ---- */

/* Packs rows first..first+rows-1, terms t0..t1-1. */
static void pack_weights(const struct product *p, const float *group, int64_t first, int rows,
                         int64_t t0, int64_t t1, float *out)
{
    int64_t taps = p->view.h.taps * p->view.w.taps;
    for (int64_t t = t0; t < t1; t++) {
        int64_t tap = t % taps;
        const float *w = group + t / taps * p->weight_channel + p->weight_tap +
                         tap / p->view.w.taps * p->weight_h + tap % p->view.w.taps * p->weight_w +
                         first * p->weight_row;
        for (int i = 0; i < rows; i++)
            *out++ = w[i * p->weight_row];
    }
}

static void pack_groups(void *ctx, int64_t lo, int64_t hi)
{
    const struct product *p = ctx;
    for (int64_t g = lo; g < hi; g++) {
        float *out = p->packed + g * p->rows * p->k;
        const float *group = p->weight + g * p->weight_group;
        for (int64_t t0 = 0; t0 < p->k; t0 += TDBG_K_SLICE) {
            int64_t t1 = tdbg_conv_min(t0 + TDBG_K_SLICE, p->k);
            int64_t row = 0;
            for (int64_t panel = 0; panel < p->cut.count; panel++) {
                int rows = p->cut.rows + (panel < p->cut.longer);
                pack_weights(p, group, row, rows, t0, t1, out);
                out += rows * (t1 - t0);
                row += rows;
            }
        }
    }
}

/* ---- panels of columns ---- */

/* Up to nr columns of a group. */
struct panel {
    int64_t j0, j1;
    float *c; /* where the first row's results go, row after row c_i apart */
    int64_t c_i;
    bool in_y; /* they lie side by side in y; else in `sums` first */
    struct tdbg_conv_gather gather;
};

/* Some neighbouring panels of a group. */
struct block {
    int64_t group;
    struct tdbg_conv_place at; /* of the next panel */
    int count;
    struct panel panel[PANELS];
    const struct part *part;
};

static float *y_of(const struct product *p, int64_t group, int64_t n)
{
    return p->y + n * p->y_sample + group * p->rows * p->y_plane + p->y_first;
}

static void place_panel(const struct product *p, const struct block *b, struct panel *panel,
                        float *sums)
{
    int64_t at = b->at.row * p->view.grid_cols + b->at.col;
    panel->in_y = p->dense && at + (panel->j1 - panel->j0) <= p->grid;
    panel->c = panel->in_y ? y_of(p, b->group, b->at.n) + at : sums;
    panel->c_i = panel->in_y ? p->y_plane : p->isa->nr;
}

/* From sums (rows, nr) to their places. */
static void scatter(const struct product *p, const struct block *b, const struct panel *panel)
{
    int64_t width = p->view.w.outs, run;
    for (int64_t j = panel->j0; j < panel->j1; j += run) {
        int64_t at = j % p->grid, col = at % width;
        run = tdbg_conv_min(width - col, panel->j1 - j);
        float *to = y_of(p, b->group, j / p->grid) + at / width * p->y_h + col * p->y_w;
        const float *from = panel->c + (j - panel->j0);
        for (int64_t row = 0; row < p->rows; row++, to += p->y_plane, from += panel->c_i)
            for (int64_t i = 0; i < run; i++)
                to[i * p->y_w] = from[i];
    }
}

/* One slice of all panels of a block, panels first.. of the rows. */
static void run_slice(const struct product *p, const struct block *b, int64_t t0, int64_t t1,
                      int64_t first, int64_t count)
{
    struct tdbg_gemm_tile tile = {.s_i = 1, .k = t1 - t0, .first = t0 == 0, .last = t1 == p->k};
    int64_t row = tdbg_conv_rows_before(&p->cut, first);
    const float *s = p->packed + (b->group * p->k + t0) * p->rows + row * tile.k;
    const float *bias = p->bias ? p->bias + b->group * p->rows + row : NULL;
    for (const struct panel *panel = b->panel; panel < b->panel + b->count; panel++) {
        tile.cols = (int)(panel->j1 - panel->j0);
        tile.v = panel->gather.out;
        tile.v_t = panel->gather.out_stride;
        tile.c = panel->c + row * panel->c_i;
        tile.c_i = panel->c_i;
        tile.s = s;
        tile.row_bias = bias;
        for (int64_t i = first; i < first + count; i++) {
            tile.rows = p->cut.rows + (i < p->cut.longer);
            tile.s_t = tile.rows;
            p->isa->tile(&tile);
            tile.c += tile.rows * tile.c_i;
            tile.s += tile.rows * tile.k;
            if (bias)
                tile.row_bias += tile.rows;
        }
    }
}

/* Columns j0..j1-1. */
static void run_block(const struct product *p, struct block *b, int64_t j0, int64_t j1,
                      const struct tdbg_conv_images *images)
{
    int64_t nr = p->isa->nr, lanes = p->isa->lanes;
    b->count = 0;
    for (int64_t j = j0; j < j1; j += nr) {
        struct panel *panel = &b->panel[b->count++];
        panel->j0 = j;
        panel->j1 = tdbg_conv_min(j + nr, j1);
        place_panel(p, b, panel, b->part->sums + (j - j0) * p->rows);
        panel->gather.out_stride =
            panel->j1 - j == nr ? nr : (panel->j1 - j + lanes - 1) / lanes * lanes;
        tdbg_conv_images_pieces(images, &b->at, panel->j1 - j, p->isa->lanes, &panel->gather);
        panel->gather.ahead = p->view.in_place ? (j1 - j0 + LINE_FLOATS - 1) : 0;
    }
    for (int64_t t0 = 0; t0 < p->k; t0 += TDBG_K_SLICE) {
        int64_t t1 = tdbg_conv_min(t0 + TDBG_K_SLICE, p->k);
        for (int i = 0; i < b->count; i++) { /* ascending: see conv_gather's surplus */
            struct tdbg_conv_gather *g = &b->panel[i].gather;
            g->off = p->off + t0;
            g->rows = t1 - t0;
            g->out = b->part->v + i * nr * g->rows;
            p->cpu->table->conv_gather(g);
        }
        for (int64_t i = 0; i < p->cut.count; i += p->rows_at_once)
            run_slice(p, b, t0, t1, i, tdbg_conv_min(p->rows_at_once, p->cut.count - i));
    }
    for (int i = 0; i < b->count; i++)
        if (!b->panel[i].in_y)
            scatter(p, b, &b->panel[i]);
}

/* Panels lo..hi-1 of a group. */
static void run_panels(const struct product *p, const struct part *part, int64_t group, int64_t lo,
                       int64_t hi)
{
    int64_t nr = p->isa->nr, cols = p->view.samples * p->grid;
    struct tdbg_conv_images images = {.view = &p->view, .table = p->cpu->table};
    images.copies = part->copies;
    images.slots = p->slots;
    tdbg_conv_images_start(&images, p->x + group * p->view.channels * p->view.image_channel_stride,
                           lo * nr / p->grid);
    struct block b;
    b.group = group;
    b.part = part;
    b.at = tdbg_conv_place_of(&p->view, lo * nr);
    for (int64_t panel = lo; panel < hi; panel += p->panels_at_once) {
        int64_t end = tdbg_conv_min(panel + p->panels_at_once, hi);
        int64_t j0 = panel * nr, j1 = tdbg_conv_min(end * nr, cols);
        if (j1 > images.next * p->grid)
            tdbg_conv_images_load(&images, (j1 - 1) / p->grid);
        run_block(p, &b, j0, j1, &images);
    }
}

/* Samples lo..hi-1 of a group, without packing. */
static void run_direct(const struct product *p, const struct part *part, int64_t group, int64_t lo,
                       int64_t hi)
{
    struct tdbg_conv_images images = {.view = &p->view, .table = p->cpu->table, .slots = 1};
    images.copies = part->copies;
    tdbg_conv_images_start(&images, p->x + group * p->view.channels * p->view.image_channel_stride,
                           lo);
    struct tdbg_conv_direct d = {.off = p->off, .k = p->k, .x_i = p->view.grid_row};
    d.outputs = (int)p->rows;
    d.w = p->packed + group * p->rows * p->k;
    d.bias = p->bias ? p->bias + group * p->rows : NULL;
    d.y_o = p->y_plane;
    d.y_i = p->dense ? p->view.grid_cols : p->y_h;
    d.y_j = p->y_w;
    d.rows = p->view.grid_rows;
    d.cols = p->view.grid_cols;
    for (int64_t n = lo; n < hi; n++) {
        tdbg_conv_images_load(&images, n);
        d.x = tdbg_conv_images_at(&images, n);
        d.y = y_of(p, group, n);
        p->cpu->table->conv_direct(&d);
    }
}

static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    const struct product *p = ctx;
    int64_t per_group = p->direct ? p->view.samples : p->panels, units = p->groups * per_group;
    for (int64_t i = lo; i < hi; i++) {
        size_t bytes = 0;
        struct part part = take_part(p, p->part + (size_t)i * p->part_bytes, &bytes);
        int64_t end = tdbg_conv_cut(units, p->parts, i + 1), next;
        for (int64_t u = tdbg_conv_cut(units, p->parts, i); u < end; u = next) {
            int64_t group = u / per_group, first = group * per_group;
            next = tdbg_conv_min(end, first + per_group);
            (p->direct ? run_direct : run_panels)(p, &part, group, u - first, next - first);
        }
    }
}

static void run_product(struct product *p, void *workspace)
{
    plan_product(p, workspace);
    tdbg_conv_view_offsets(&p->view, 0, p->k, p->off);
    int64_t grain = TDBG_GRAIN_ELEMS / (p->rows * p->k) + 1;
    tdbg_parallel_for(p->cpu->threads, p->groups, grain, pack_groups, p);
    tdbg_parallel_for((int)p->parts, p->parts, 1, run_parts, p);
}

/* ---- forward ---- */

int64_t tdbg_conv2d_out_size(const struct tdbg_conv2d *c, int axis)
{
    int64_t size = axis == 0 ? c->height : c->width;
    int64_t room = size + 2 * c->padding[axis] - c->dilation[axis] * (c->kernel[axis] - 1) - 1;
    return room < 0 ? 0 : room / c->stride[axis] + 1;
}

struct tdbg_conv_view tdbg_conv_view_of_x(const struct tdbg_conv2d *c)
{
    struct tdbg_conv_view v = {.samples = c->samples, .channels = c->in / c->groups};
    v.image_channel_stride = c->height * c->width;
    v.image_sample_stride = c->in * v.image_channel_stride;
    struct tdbg_conv_axis *axes[2] = {&v.h, &v.w};
    for (int axis = 0; axis < 2; axis++)
        *axes[axis] = (struct tdbg_conv_axis){.outs = tdbg_conv2d_out_size(c, axis),
                                              .step = c->stride[axis],
                                              .taps = c->kernel[axis],
                                              .first = -c->padding[axis],
                                              .tap_step = c->dilation[axis],
                                              .size = axis == 0 ? c->height : c->width};
    return v;
}

static struct product forward_product(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c)
{
    int64_t taps = c->kernel[0] * c->kernel[1], channels = c->in / c->groups;
    int64_t oh = tdbg_conv2d_out_size(c, 0), ow = tdbg_conv2d_out_size(c, 1);
    struct product p = {.cpu = cpu, .isa = tdbg_gemm_isa_of(cpu), .groups = c->groups};
    p.view = tdbg_conv_view_of_x(c);
    p.rows = c->out / c->groups;
    p.k = channels * taps;
    p.weight_group = p.rows * p.k;
    p.weight_row = p.k;
    p.weight_channel = taps;
    p.weight_h = c->kernel[1];
    p.weight_w = 1;
    p.y_plane = oh * ow;
    p.y_sample = c->out * p.y_plane;
    p.y_h = ow;
    p.y_w = 1;
    p.dense = true;
    return p;
}

/* ---- input gradient ---- */

static int64_t gcd(int64_t a, int64_t b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* The lines first, first + stride, ... of dx along an axis, as seen from dy; *tap is the first tap
 * that has terms there, *tap_step from one to the next. */
static struct tdbg_conv_axis class_axis(const struct tdbg_conv2d *c, int axis, int64_t first,
                                        int64_t *tap, int64_t *tap_step)
{
    int64_t stride = c->stride[axis], dilation = c->dilation[axis], kernel = c->kernel[axis];
    int64_t size = axis == 0 ? c->height : c->width, line = first + c->padding[axis];
    struct tdbg_conv_axis a = {.step = 1, .size = tdbg_conv2d_out_size(c, axis)};
    a.outs = first < size ? tdbg_conv_ceil_div(size - first, stride) : 0;
    *tap_step = stride / gcd(stride, dilation);
    *tap = 0;
    while (*tap < kernel && *tap < *tap_step && (line - *tap * dilation) % stride != 0)
        ++*tap;
    bool none = *tap == kernel || *tap == *tap_step;
    a.taps = none ? 0 : (kernel - 1 - *tap) / *tap_step + 1;
    a.first = none ? 0 : (line - *tap * dilation) / stride; /* exact */
    a.tap_step = -*tap_step * dilation / stride;
    return a;
}

struct tdbg_conv_view tdbg_conv_view_of_class(const struct tdbg_conv2d *c, int64_t ih, int64_t iw,
                                              struct tdbg_conv_taps *taps)
{
    struct tdbg_conv_view v = {.samples = c->samples, .channels = c->out / c->groups};
    int64_t tap_h, tap_w, step_h, step_w;
    v.h = class_axis(c, 0, ih, &tap_h, &step_h);
    v.w = class_axis(c, 1, iw, &tap_w, &step_w);
    v.image_channel_stride = v.h.size * v.w.size;
    v.image_sample_stride = c->out * v.image_channel_stride;
    *taps = (struct tdbg_conv_taps){tap_h * c->kernel[1] + tap_w, step_h * c->kernel[1], step_w};
    return v;
}

/* Elements [ih::stride, iw::stride] of dx. rows or k may come out as 0. */
static struct product class_product(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c,
                                    int64_t ih, int64_t iw)
{
    struct tdbg_conv_taps taps;
    struct product p = {.cpu = cpu, .isa = tdbg_gemm_isa_of(cpu), .groups = c->groups};
    const int64_t area = c->kernel[0] * c->kernel[1];
    p.view = tdbg_conv_view_of_class(c, ih, iw, &taps);
    p.rows = c->in / c->groups;
    p.k = p.view.channels * p.view.h.taps * p.view.w.taps;
    p.weight_group = p.view.channels * p.rows * area;
    p.weight_row = area;
    p.weight_channel = p.rows * area;
    p.weight_tap = taps.first;
    p.weight_h = taps.h;
    p.weight_w = taps.w;
    p.y_plane = c->height * c->width;
    p.y_sample = c->in * p.y_plane;
    p.y_first = ih * c->width + iw;
    p.y_h = c->stride[0] * c->width;
    p.y_w = c->stride[1];
    p.dense = c->stride[0] == 1 && c->stride[1] == 1;
    return p;
}

/* ---- the public functions ---- */

size_t tdbg_conv2d_workspace_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c)
{
    if (c->samples == 0)
        return 0;
    struct product p = forward_product(cpu, c);
    size_t most = plan_product(&p, NULL);
    for (int64_t ih = 0; ih < c->stride[0] && ih < c->height; ih++) {
        for (int64_t iw = 0; iw < c->stride[1] && iw < c->width; iw++) {
            p = class_product(cpu, c, ih, iw);
            size_t bytes = p.k == 0 ? 0 : plan_product(&p, NULL);
            most = bytes > most ? bytes : most;
        }
    }
    size_t bytes = tdbg_conv_weight_bytes(cpu, c);
    most = bytes > most ? bytes : most;
    bytes = tdbg_conv_strided_fit(c) ? tdbg_conv_strided_bytes(cpu, c) : 0;
    return bytes > most ? bytes : most;
}

void tdbg_conv2d_forward(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c, const float *x,
                         const float *weight, const float *bias, float *y, void *workspace)
{
    if (c->samples == 0)
        return;
    struct product p = forward_product(cpu, c);
    p.x = x;
    p.weight = weight;
    p.bias = bias;
    p.y = y;
    run_product(&p, workspace);
}

/* Some elements of dx may have no terms: strides wider than the kernel. */
static bool has_empty_class(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c)
{
    for (int64_t ih = 0; ih < c->stride[0] && ih < c->height; ih++)
        for (int64_t iw = 0; iw < c->stride[1] && iw < c->width; iw++)
            if (class_product(cpu, c, ih, iw).k == 0)
                return true;
    return false;
}

void tdbg_conv2d_backward_input(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c,
                                const float *dy, const float *weight, float *dx, void *workspace)
{
    if (c->samples == 0)
        return;
    if (tdbg_conv_strided_fit(c)) {
        tdbg_conv_strided_run(cpu, c, dy, weight, dx, workspace);
        return;
    }
    if (has_empty_class(cpu, c))
        memset(dx, 0, (size_t)(c->samples * c->in * c->height * c->width) * sizeof(float));
    for (int64_t ih = 0; ih < c->stride[0] && ih < c->height; ih++) {
        for (int64_t iw = 0; iw < c->stride[1] && iw < c->width; iw++) {
            struct product p = class_product(cpu, c, ih, iw);
            p.x = dy;
            p.weight = weight;
            p.y = dx;
            if (p.k > 0)
                run_product(&p, workspace);
        }
    }
}

struct sum_job {
    const struct tdbg_cpu *cpu;
    int64_t samples, planes, elems;
    const float *x;
    float *out;
};

static void sum_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct sum_job *j = ctx;
    j->cpu->table->conv_sum_planes(j->samples, j->planes, j->elems, lo, hi, j->x, j->out);
}

void tdbg_conv2d_backward_bias(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c,
                               const float *dy, float *dbias)
{
    int64_t elems = tdbg_conv2d_out_size(c, 0) * tdbg_conv2d_out_size(c, 1);
    struct sum_job job = {cpu, c->samples, c->out, elems, dy, dbias};
    int64_t grain = TDBG_GRAIN_ELEMS / (c->samples * elems + 1) / 8 * 8 + 8;
    tdbg_parallel_for(cpu->threads, c->out, grain, sum_range, &job);
}
