/* Weight gradient of depthwise convolutions: a vector of channels side by side, images and dy
 * turned so that channels are innermost. Order: conv2d.h. */
#include <string.h>

#include "kernels/conv2d_plan.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

enum { OUTPUTS = 2 }; /* per group; with more, the matrix product is better */

struct job {
    const struct tdbg_cpu *cpu;
    const struct tdbg_gemm_isa *isa;
    struct tdbg_conv_view view; /* channels: 1 */
    int64_t groups, outputs;    /* outputs per group */
    int64_t taps, grid, blocks; /* blocks of `lanes` groups */
    const float *x, *dy;
    float *dweight;
    int64_t parts;
    char *part;
    size_t part_bytes;
};

/* A thread's share of the workspace; lanes innermost. */
struct part {
    float *x;          /* (lines of h, lines of w): with its border */
    float *dy;         /* (grid) */
    float *sum, *term; /* (outputs, taps): of all slices but the last, and of that */
    int64_t *off;      /* (taps) */
};

static struct part take_part(const struct job *j, void *memory, size_t *bytes)
{
    int64_t lanes = j->isa->lanes, cells = j->outputs * j->taps * lanes;
    int64_t image = j->view.h.lines * j->view.w.lines * lanes;
    return (struct part){
        .x = tdbg_conv_take(memory, bytes, image, sizeof(float)),
        .dy = tdbg_conv_take(memory, bytes, j->grid * lanes, sizeof(float)),
        .sum = tdbg_conv_take(memory, bytes, cells, sizeof(float)),
        .term = tdbg_conv_take(memory, bytes, cells, sizeof(float)),
        .off = tdbg_conv_take(memory, bytes, j->taps, sizeof(int64_t)),
    };
}

static size_t plan(struct job *j, const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c,
                   void *workspace)
{
    size_t bytes = 0;
    *j = (struct job){.cpu = cpu, .isa = tdbg_gemm_isa_of(cpu), .groups = c->groups};
    j->view = tdbg_conv_view_of_x(c);
    tdbg_conv_view_init(&j->view, false);
    j->outputs = c->out / c->groups;
    j->taps = j->view.h.taps * j->view.w.taps;
    j->grid = j->view.h.outs * j->view.w.outs;
    j->blocks = tdbg_conv_ceil_div(j->groups, j->isa->lanes);
    double fmas = (double)(c->samples * j->grid) * (double)(c->out * j->taps);
    j->parts = tdbg_conv_parts(cpu, j->blocks, fmas * 8); /* memory counts more than these */
    take_part(j, NULL, &j->part_bytes);
    j->part = tdbg_conv_take(workspace, &bytes, j->parts * (int64_t)j->part_bytes, 1);
    return bytes;
}

/* Turns the images of `lanes` groups from `group` on into part->x, inside of the border. */
static void turn_images(const struct job *j, const struct part *part, int64_t n, int64_t group,
                        int lanes)
{
    const struct tdbg_conv_axis *h = &j->view.h, *w = &j->view.w;
    int64_t plane = j->view.image_channel_stride;
    int64_t i0 = tdbg_conv_max(0, -h->lo), i1 = tdbg_conv_min(h->lines, h->size - h->lo);
    int64_t e0 = tdbg_conv_max(0, -w->lo), e1 = tdbg_conv_min(w->lines, w->size - w->lo);
    const float *x = j->x + n * j->view.image_sample_stride + group * plane;
    struct tdbg_gemm_pack pack = {.lane_stride = plane, .t_stride = 1, .k = e1 - e0};
    pack.lanes = lanes;
    pack.out_stride = j->isa->lanes;
    for (int64_t i = i0; i < i1 && pack.k > 0; i++) {
        pack.x = x + (h->lo + i) * w->size + w->lo + e0;
        pack.out = part->x + (i * w->lines + e0) * j->isa->lanes;
        j->isa->pack(&pack);
    }
}

static void turn_dy(const struct job *j, const struct part *part, int64_t n, int64_t group,
                    int64_t output, int lanes)
{
    const float *dy = j->dy + ((n * j->groups + group) * j->outputs + output) * j->grid;
    struct tdbg_gemm_pack pack = {.x = dy,
                                  .lane_stride = j->outputs * j->grid,
                                  .t_stride = 1,
                                  .k = j->grid,
                                  .lanes = lanes,
                                  .out = part->dy,
                                  .out_stride = j->isa->lanes};
    j->isa->pack(&pack);
}

/* Ends a slice: sum = first ? term : sum + term. */
static void end_slice(const struct job *j, float *sum, float *term, bool first)
{
    for (int64_t i = 0; i < j->taps * j->isa->lanes; i++) {
        sum[i] = first ? term[i] : sum[i] + term[i];
        term[i] = 0;
    }
}

/* One sample, one output of each group. t: the sample's first term. */
static void run_sample(const struct job *j, const struct part *part, int64_t output, int64_t t)
{
    int64_t lanes = j->isa->lanes, cols = j->view.w.outs, cells = output * j->taps * lanes;
    float *sum = part->sum + cells, *term = part->term + cells;
    struct tdbg_conv_lanes run = {.x_j = j->view.w.step * lanes};
    for (int64_t i = 0; i < j->grid; i += run.n, t += run.n) {
        int64_t row = i / cols, col = i % cols, left = TDBG_K_SLICE - t % TDBG_K_SLICE;
        run.n = tdbg_conv_min(left, cols - col);
        run.x = part->x + (row * j->view.h.step * j->view.w.lines + col * j->view.w.step) * lanes;
        run.dy = part->dy + i * lanes;
        const struct tdbg_conv_rows cut = tdbg_conv_cut_rows(j->taps, TDBG_CONV_MAX_TAPS);
        for (int64_t chunk = 0; chunk < cut.count; chunk++) {
            int64_t tap = tdbg_conv_rows_before(&cut, chunk);
            run.taps = cut.rows + (chunk < cut.longer);
            run.off = part->off + tap;
            run.part = term + tap * lanes;
            j->cpu->table->conv_lanes(&run);
        }
        if (run.n == left)
            end_slice(j, sum, term, t + run.n == TDBG_K_SLICE);
    }
}

/* The groups of a block, all samples. */
static void run_unit(const struct job *j, const struct part *part, int64_t block)
{
    int64_t lanes = j->isa->lanes, group = block * lanes, terms = j->view.samples * j->grid;
    int present = (int)tdbg_conv_min(lanes, j->groups - group);
    int64_t cells = j->outputs * j->taps * lanes;
    memset(part->term, 0, (size_t)cells * sizeof(float));
    for (int64_t n = 0; n < j->view.samples; n++) {
        turn_images(j, part, n, group, present);
        for (int64_t output = 0; output < j->outputs; output++) {
            turn_dy(j, part, n, group, output, present);
            run_sample(j, part, output, n * j->grid);
        }
    }
    if (terms % TDBG_K_SLICE != 0)
        for (int64_t o = 0; o < j->outputs; o++)
            end_slice(j, part->sum + o * j->taps * lanes, part->term + o * j->taps * lanes,
                      terms < TDBG_K_SLICE);
    float *out = j->dweight + group * j->outputs * j->taps;
    for (int64_t l = 0; l < present; l++, out += j->outputs * j->taps)
        for (int64_t i = 0; i < j->outputs * j->taps; i++)
            out[i] = tdbg_strict_canonical(part->sum[i * lanes + l]);
}

static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    const struct job *j = ctx;
    const struct tdbg_conv_axis *h = &j->view.h, *w = &j->view.w;
    for (int64_t i = lo; i < hi; i++) {
        size_t bytes = 0;
        struct part part = take_part(j, j->part + (size_t)i * j->part_bytes, &bytes);
        int64_t image = h->lines * w->lines * j->isa->lanes;
        memset(part.x, 0, (size_t)image * sizeof(float)); /* the border stays as it is now */
        for (int64_t t = 0; t < j->taps; t++) {
            int64_t line = h->first + t / w->taps * h->tap_step - h->lo;
            int64_t column = w->first + t % w->taps * w->tap_step - w->lo;
            part.off[t] = (line * w->lines + column) * j->isa->lanes;
        }
        for (int64_t u = tdbg_conv_cut(j->blocks, j->parts, i);
             u < tdbg_conv_cut(j->blocks, j->parts, i + 1); u++)
            run_unit(j, &part, u);
    }
}

bool tdbg_conv_lanes_fit(const struct tdbg_conv2d *c)
{
    return c->in == c->groups && c->out / c->groups <= OUTPUTS;
}

size_t tdbg_conv_lanes_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c)
{
    struct job j;
    return plan(&j, cpu, c, NULL);
}

void tdbg_conv_lanes_run(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *c, const float *x,
                         const float *dy, float *dweight, void *workspace)
{
    struct job j;
    plan(&j, cpu, c, workspace);
    j.x = x;
    j.dy = dy;
    j.dweight = dweight;
    tdbg_parallel_for((int)j.parts, j.parts, 1, run_parts, &j);
}
