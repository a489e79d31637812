/* Input gradient of depthwise convolutions with a stride of 2, and of others with few inputs per
 * group. The elements of a plane of dx fall into residue classes, each of which has taps of its own
 * (conv2d.h). A class is computed for a whole plane in one run, the columns of the border with it,
 * and then all are put together line by line. */
#include <string.h>

#include "kernels/conv2d_plan.h"
#include "kernels/parallel.h"

enum { MAX_STRIDE = 2, MAX_CLASSES = MAX_STRIDE * MAX_STRIDE };
enum { MAX_OUTPUTS = 4 }; /* per group: with more, the copies of all classes leave the cache */

struct class
{
    struct tdbg_conv_view view;
    struct tdbg_conv_taps taps;
    int64_t k;    /* 0: its elements are +0 */
    int64_t flat; /* floats of a plane: grid rows as far apart as those of the copy */
};

struct job {
    const struct tdbg_cpu *cpu;
    const struct tdbg_conv2d *conv;
    int64_t rows; /* inputs per group */
    struct class class[MAX_CLASSES];
    int n_classes;
    const float *dy, *weight;
    float *dx;
    int64_t units, parts; /* a unit: a group's planes of a sample */
    char *part;
    size_t part_bytes;
};

/* A thread's share of the workspace, class by class. */
struct part {
    float *copy[MAX_CLASSES];   /* (slot): dy with its border */
    float *flat[MAX_CLASSES];   /* (rows, flat), and room for the vectors of the last row's end */
    float *weight[MAX_CLASSES]; /* (k, rows) */
    int64_t *off[MAX_CLASSES];  /* (k) */
};

static struct part take_part(const struct job *j, void *memory, size_t *bytes)
{
    struct part part;
    for (int i = 0; i < j->n_classes; i++) {
        const struct class *c = &j->class[i];
        part.copy[i] = tdbg_conv_take(memory, bytes, c->k > 0 ? c->view.slot : 0, sizeof(float));
        part.flat[i] = tdbg_conv_take(memory, bytes, j->rows * c->flat, sizeof(float));
        part.weight[i] = tdbg_conv_take(memory, bytes, j->rows * c->k, sizeof(float));
        part.off[i] = tdbg_conv_take(memory, bytes, c->k, sizeof(int64_t));
    }
    return part;
}

static size_t plan(struct job *j, const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv,
                   void *workspace)
{
    size_t bytes = 0;
    double fmas = 0;
    *j = (struct job){.cpu = cpu, .conv = conv, .rows = conv->in / conv->groups};
    j->units = conv->groups * conv->samples;
    for (int64_t i = 0; i < conv->stride[0] * conv->stride[1]; i++) {
        struct class *c = &j->class[j->n_classes++];
        c->view = tdbg_conv_view_of_class(conv, i / conv->stride[1], i % conv->stride[1], &c->taps);
        c->k = c->view.channels * c->view.h.taps * c->view.w.taps;
        if (c->view.h.outs == 0 || c->view.w.outs == 0)
            c->k = 0; /* nothing of it is there */
        c->flat = c->view.h.outs * c->view.w.outs;
        if (c->k == 0)
            continue;
        tdbg_conv_view_init(&c->view, false);
        c->flat = (c->view.h.outs - 1) * c->view.grid_row + c->view.w.outs;
        fmas += (double)(c->flat * c->k) * (double)(j->units * j->rows);
    }
    j->parts = tdbg_conv_parts(cpu, j->units, fmas * 8); /* memory counts more than these */
    take_part(j, NULL, &j->part_bytes);
    j->part = tdbg_conv_take(workspace, &bytes, j->parts * (int64_t)j->part_bytes, 1);
    return bytes;
}

static void pack_weights(const struct job *j, const struct class *c, int64_t group, float *out)
{
    const int64_t area = j->conv->kernel[0] * j->conv->kernel[1];
    const int64_t taps = c->view.h.taps * c->view.w.taps;
    const float *weight = j->weight + group * c->view.channels * j->rows * area + c->taps.first;
    for (int64_t t = 0; t < c->k; t++) {
        const int64_t tap = t % taps;
        const float *w = weight + t / taps * j->rows * area + tap / c->view.w.taps * c->taps.h +
                         tap % c->view.w.taps * c->taps.w;
        for (int64_t row = 0; row < j->rows; row++)
            *out++ = w[row * area];
    }
}

/* A class of sample n's planes. */
static void run_class(const struct job *j, const struct part *part, int i,
                      struct tdbg_conv_images *images, int64_t n)
{
    const struct class *c = &j->class[i];
    tdbg_conv_images_load(images, n);
    j->cpu->table->conv_direct(&(struct tdbg_conv_direct){.outputs = (int)j->rows,
                                                          .x = tdbg_conv_images_at(images, n),
                                                          .off = part->off[i],
                                                          .w = part->weight[i],
                                                          .k = c->k,
                                                          .y = part->flat[i],
                                                          .y_o = c->flat,
                                                          .y_i = c->flat,
                                                          .y_j = 1,
                                                          .rows = 1,
                                                          .cols = c->flat});
}

/* Lines h, h + stride, ... of one plane of dx. */
static void put_together(const struct job *j, const struct part *part, int64_t h, int64_t row,
                         float *dx)
{
    const struct tdbg_conv2d *conv = j->conv;
    const float *flat[MAX_STRIDE];
    int64_t stride[MAX_STRIDE];
    for (int64_t w = 0; w < conv->stride[1]; w++) {
        const int64_t i = h * conv->stride[1] + w;
        const struct class *c = &j->class[i];
        flat[w] = part->flat[i] + row * c->flat;
        stride[w] = c->k > 0 ? c->view.grid_row : c->view.w.outs;
    }
    const int64_t lines = j->class[h * conv->stride[1]].view.h.outs;
    dx += h * conv->width;
    if (conv->stride[1] == 2)
        j->cpu->table->conv_interleave(
            &(struct tdbg_conv_interleave){.a = flat[0],
                                           .b = flat[1],
                                           .a_stride = stride[0],
                                           .b_stride = stride[1],
                                           .y = dx,
                                           .y_stride = conv->stride[0] * conv->width,
                                           .n = conv->width,
                                           .rows = lines});
    else
        for (int64_t i = 0; i < lines; i++)
            memcpy(dx + i * conv->stride[0] * conv->width, flat[0] + i * stride[0],
                   (size_t)conv->width * sizeof *dx);
}

/* Samples lo..hi-1 of a group. */
static void run_group(const struct job *j, const struct part *part, int64_t group, int64_t lo,
                      int64_t hi)
{
    const int64_t plane = j->conv->height * j->conv->width;
    struct tdbg_conv_images images[MAX_CLASSES];
    for (int i = 0; i < j->n_classes; i++) {
        const struct class *c = &j->class[i];
        if (c->k == 0)
            continue;
        pack_weights(j, c, group, part->weight[i]);
        images[i] = (struct tdbg_conv_images){
            .view = &c->view, .table = j->cpu->table, .copies = part->copy[i], .slots = 1};
        tdbg_conv_images_start(&images[i],
                               j->dy + group * c->view.channels * c->view.image_channel_stride, lo);
    }
    for (int64_t n = lo; n < hi; n++) {
        for (int i = 0; i < j->n_classes; i++)
            if (j->class[i].k > 0)
                run_class(j, part, i, &images[i], n);
        float *dx = j->dx + (n * j->conv->in + group * j->rows) * plane;
        for (int64_t row = 0; row < j->rows; row++)
            for (int64_t h = 0; h < j->conv->stride[0]; h++)
                put_together(j, part, h, row, dx + row * plane);
    }
}

static void run_parts(void *ctx, int64_t lo, int64_t hi)
{
    const struct job *j = ctx;
    for (int64_t p = lo; p < hi; p++) {
        size_t bytes = 0;
        const struct part part = take_part(j, j->part + (size_t)p * j->part_bytes, &bytes);
        for (int i = 0; i < j->n_classes; i++) {
            const struct class *c = &j->class[i];
            if (c->k > 0)
                tdbg_conv_view_offsets(&c->view, 0, c->k, part.off[i]);
            else
                memset(part.flat[i], 0, (size_t)(j->rows * c->flat) * sizeof(float));
        }
        int64_t end = tdbg_conv_cut(j->units, j->parts, p + 1), next;
        for (int64_t u = tdbg_conv_cut(j->units, j->parts, p); u < end; u = next) {
            const int64_t group = u / j->conv->samples, first = group * j->conv->samples;
            next = tdbg_conv_min(end, first + j->conv->samples);
            run_group(j, &part, group, u - first, next - first);
        }
    }
}

bool tdbg_conv_strided_fit(const struct tdbg_conv2d *conv)
{
    const int64_t in = conv->in / conv->groups, out = conv->out / conv->groups;
    return in <= TDBG_CONV_MAX_DIRECT && out <= MAX_OUTPUTS && conv->stride[0] <= MAX_STRIDE &&
           conv->stride[1] <= MAX_STRIDE && conv->stride[0] * conv->stride[1] > 1;
}

size_t tdbg_conv_strided_bytes(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv)
{
    struct job j;
    return plan(&j, cpu, conv, NULL);
}

void tdbg_conv_strided_run(const struct tdbg_cpu *cpu, const struct tdbg_conv2d *conv,
                           const float *dy, const float *weight, float *dx, void *workspace)
{
    struct job j;
    plan(&j, cpu, conv, workspace);
    j.dy = dy;
    j.weight = weight;
    j.dx = dx;
    tdbg_parallel_for((int)j.parts, j.parts, 1, run_parts, &j);
}
