/* Weight gradient of a convolution: the matrix product of im2col (k, positions) with dy turned
 * (positions, outputs), slice by slice of positions, which gives dweight turned. Order: conv2d.h.
 */
#include <string.h>

#include "kernels/conv2d_plan.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"

enum { ROWS = 48 }; /* rows of im2col at a time: a slice of them fits the second-level cache */

struct product {
    const struct tdbg_cpu *cpu;
    const struct tdbg_gemm_isa *isa;
    struct tdbg_conv_view view;
    int64_t groups, k, cols; /* of a group: dweight is (cols, k) */
    int64_t terms, depth;    /* positions in all samples, and in a slice */
    int64_t grid, dy_sample; /* floats of a plane and a sample of dy */
    const float *x, *dy;
    float *dweight;
    /* plan: each group's k in `chunks` units; sizes of a unit's workspace */
    int64_t chunks, parts, slots, row;
    float *turned; /* (groups, k, cols) */
    char *part;
    size_t part_bytes;
};

/* A thread's share of the workspace. */
struct part {
    float *copies; /* (slots, slot) */
    float *s;      /* (ROWS, row) */
    float *v;      /* panels of nr columns, each (depth, nr) */
    int64_t *off;  /* (k) */
};

static struct part take_part(const struct product *p, void *memory, size_t *bytes)
{
    int64_t cols = tdbg_conv_ceil_div(p->cols, p->isa->lanes) * p->isa->lanes;
    return (struct part){
        .copies = tdbg_conv_take(memory, bytes, p->slots * p->view.slot, sizeof(float)),
        .s = tdbg_conv_take(memory, bytes, ROWS * p->row, sizeof(float)),
        .v = tdbg_conv_take(memory, bytes, cols * p->depth, sizeof(float)),
        .off = tdbg_conv_take(memory, bytes, p->k, sizeof(int64_t)),
    };
}

static size_t plan_product(struct product *p, const struct tdbg_cpu *cpu,
                           const struct tdbg_conv2d *c, void *workspace)
{
    size_t bytes = 0;
    *p = (struct product){.cpu = cpu, .isa = tdbg_gemm_isa_of(cpu), .groups = c->groups};
    p->view = tdbg_conv_view_of_x(c);
    tdbg_conv_view_init(&p->view, true);
    p->k = p->view.channels * p->view.h.taps * p->view.w.taps;
    p->cols = c->out / c->groups;
    p->grid = p->view.h.outs * p->view.w.outs;
    p->dy_sample = c->out * p->grid;
    p->terms = c->samples * p->grid;
    p->depth = tdbg_conv_min(p->terms, TDBG_K_SLICE);
    /* Gathered rows end with room for a vector; it also keeps them from sharing cache sets. */
    p->row = tdbg_conv_ceil_div(p->depth, TDBG_GEMM_MAX_LANES) * TDBG_GEMM_MAX_LANES +
             TDBG_GEMM_MAX_LANES;
    p->slots = tdbg_conv_slots(&p->view, p->depth);
    int64_t panels = tdbg_conv_ceil_div(p->k, p->isa->mr);
    double fmas = (double)p->terms * (double)(p->groups * p->k * p->cols);
    p->parts = tdbg_conv_parts(cpu, p->groups * panels, fmas);
    p->chunks = tdbg_conv_min(tdbg_conv_ceil_div(p->parts, p->groups), panels);
    p->turned = tdbg_conv_take(workspace, &bytes, p->groups * p->k * p->cols, sizeof(float));
    take_part(p, NULL, &p->part_bytes);
    p->part = tdbg_conv_take(workspace, &bytes, p->parts * (int64_t)p->part_bytes, 1);
    return bytes;
}

/* Packs positions t0..t1-1 of a group's dy, panel by panel, each (position, column). */
static void pack_dy(const struct product *p, int64_t group, int64_t t0, int64_t t1, float *out)
{
    int64_t nr = p->isa->nr;
    const float *dy = p->dy + group * p->cols * p->grid;
    for (int64_t col = 0; col < p->cols; col += nr) {
        struct tdbg_gemm_pack pack = {.lane_stride = p->grid, .t_stride = 1, .out = out};
        pack.lanes = (int)tdbg_conv_min(nr, p->cols - col);
        pack.out_stride = tdbg_conv_ceil_div(pack.lanes, p->isa->lanes) * p->isa->lanes;
        for (int64_t t = t0; t < t1; t += pack.k) {
            int64_t n = t / p->grid, at = t % p->grid;
            pack.k = tdbg_conv_min(p->grid - at, t1 - t);
            pack.x = dy + n * p->dy_sample + col * p->grid + at;
            p->isa->pack(&pack);
            pack.out += pack.k * pack.out_stride;
        }
        out += nr * (t1 - t0);
    }
}

/* Some rows of k of a group and one slice. */
struct block {
    int64_t group, row0, rows;
    struct tdbg_gemm_tile tile; /* what is the same for all tiles */
    const struct part *part;
};

static void run_block(const struct product *p, const struct block *b)
{
    const struct tdbg_conv_rows cut = tdbg_conv_cut_rows(b->rows, p->isa->mr);
    struct tdbg_gemm_tile tile = b->tile;
    tile.v = b->part->v;
    for (int64_t col = 0; col < p->cols; col += p->isa->nr, tile.v += p->isa->nr * tile.k) {
        tile.cols = (int)tdbg_conv_min(p->isa->nr, p->cols - col);
        tile.v_t = tdbg_conv_ceil_div(tile.cols, p->isa->lanes) * p->isa->lanes;
        tile.s = b->part->s;
        tile.c = p->turned + (b->group * p->k + b->row0) * p->cols + col;
        for (int64_t panel = 0; panel < cut.count; panel++) {
            tile.rows = cut.rows + (panel < cut.longer);
            p->isa->tile(&tile);
            tile.s += tile.rows * tile.s_i;
            tile.c += tile.rows * tile.c_i;
        }
    }
}

/* Rows k0..k1-1 of a group, from `turned` to dweight. */
static void turn_rows(const struct product *p, int64_t group, int64_t k0, int64_t k1)
{
    struct tdbg_gemm_turn turn = {.x_i = p->cols, .cols = (int)p->cols, .c_j = p->k};
    for (int64_t k = k0; k < k1; k += turn.rows) {
        turn.rows = (int)tdbg_conv_min(p->isa->mr, k1 - k);
        turn.x = p->turned + (group * p->k + k) * p->cols;
        turn.c = p->dweight + group * p->cols * p->k + k;
        p->isa->turn(&turn);
    }
}

/* Rows k0..k1-1 of a group, all slices. */
static void run_unit(const struct product *p, const struct part *part, int64_t group, int64_t k0,
                     int64_t k1)
{
    int64_t taps = p->view.h.taps * p->view.w.taps, channel = k0 / taps;
    struct tdbg_conv_view view = p->view; /* of the channels that these rows read */
    view.channels = (k1 - 1) / taps + 1 - channel;
    view.slot = view.plane * view.channels + TDBG_GEMM_MAX_LANES;
    struct tdbg_conv_images images = {.view = &view, .table = p->cpu->table, .slots = p->slots};
    images.copies = part->copies;
    tdbg_conv_images_start(
        &images, p->x + (group * p->view.channels + channel) * view.image_channel_stride, 0);
    tdbg_conv_view_offsets(&view, k0 - channel * taps, k1 - channel * taps, part->off);
    struct tdbg_conv_gather gather = {.out = part->s, .out_stride = p->row};
    struct tdbg_conv_place at = {0};
    struct block b = {.group = group, .part = part};
    b.tile = (struct tdbg_gemm_tile){.s_i = p->row, .s_t = 1, .c_i = p->cols};
    for (int64_t t0 = 0; t0 < p->terms; t0 += TDBG_K_SLICE) {
        int64_t t1 = tdbg_conv_min(t0 + TDBG_K_SLICE, p->terms);
        b.tile.k = t1 - t0;
        b.tile.first = t0 == 0;
        b.tile.last = t1 == p->terms;
        tdbg_conv_images_load(&images, (t1 - 1) / p->grid);
        tdbg_conv_images_pieces(&images, &at, t1 - t0, p->isa->lanes, &gather);
        pack_dy(p, group, t0, t1, part->v);
        for (b.row0 = k0; b.row0 < k1; b.row0 += b.rows) {
            b.rows = tdbg_conv_min(ROWS, k1 - b.row0);
            gather.off = part->off + (b.row0 - k0);
            gather.rows = b.rows;
            p->cpu->table->conv_gather(&gather);
            run_block(p, &b);
        }
    }
    turn_rows(p, group, k0, k1);
}

static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    const struct product *p = ctx;
    int64_t units = p->groups * p->chunks;
    for (int64_t i = lo; i < hi; i++) {
        size_t bytes = 0;
        struct part part = take_part(p, p->part + (size_t)i * p->part_bytes, &bytes);
        int64_t end = tdbg_conv_cut(units, p->parts, i + 1);
        for (int64_t u = tdbg_conv_cut(units, p->parts, i); u < end; u++) {
            int64_t chunk = u % p->chunks;
            run_unit(p, &part, u / p->chunks, tdbg_conv_cut(p->k, p->chunks, chunk),
                     tdbg_conv_cut(p->k, p->chunks, chunk + 1));
        }
    }
}

size_t tdbg_conv_weight_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c)
{
    struct product p;
    return tdbg_conv_lanes_fit(c) ? tdbg_conv_lanes_bytes(cpu, c) : plan_product(&p, cpu, c, NULL);
}

void tdbg_conv2d_backward_weight(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c,
                                 const float *x, const float *dy, float *dweight, void *workspace)
{
    struct product p;
    if (c->samples == 0) {
        int64_t elems = c->out * (c->in / c->groups) * c->kernel[0] * c->kernel[1];
        memset(dweight, 0, (size_t)elems * sizeof(float));
        return;
    }
    if (tdbg_conv_lanes_fit(c)) {
        tdbg_conv_lanes_run(cpu, c, x, dy, dweight, workspace);
        return;
    }
    plan_product(&p, cpu, c, workspace);
    p.x = x;
    p.dy = dy;
    p.dweight = dweight;
    tdbg_parallel_for((int)p.parts, p.parts, 1, run_parts, &p);
}
