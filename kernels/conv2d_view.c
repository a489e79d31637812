/* Geometry of a convolution: see conv2d_view.h. */
#include "kernels/conv2d_view.h"

#include <string.h>

static void init_axis(struct tdbg_conv_axis *a)
{
    int64_t span = (a->taps - 1) * a->tap_step;
    int64_t last_out = (a->outs - 1) * a->step;
    a->lo = a->first + tdbg_conv_min(span, 0);
    a->lines = tdbg_conv_max(span, -span) + last_out + 1;
    a->used = a->step > 64 ? ~UINT64_C(0) : 0;
    for (int64_t t = 0; t < a->taps && a->step <= 64; t++)
        a->used |= UINT64_C(1) << (a->first + t * a->tap_step - a->lo) % a->step;
}

static bool is_used(const struct tdbg_conv_axis *a, int64_t line)
{
    int64_t residue = line % a->step;
    return residue >= 64 || (a->used >> residue & 1);
}

static bool fits(const struct tdbg_conv_axis *a)
{
    return a->lo >= 0 && a->lo + a->lines <= a->size;
}

void tdbg_conv_view_init(struct tdbg_conv_view *v, bool merge)
{
    init_axis(&v->h);
    init_axis(&v->w);
    v->in_place = fits(&v->h) && fits(&v->w) && v->w.step == 1;
    if (v->in_place) {
        v->phase = v->pitch = v->w.size;
        v->plane = v->image_channel_stride;
    } else {
        v->phase = tdbg_conv_ceil_div(v->w.lines, v->w.step);
        v->pitch = v->phase * v->w.step;
        v->plane = v->pitch * v->h.lines;
    }
    v->slot = v->plane * v->channels + TDBG_GEMM_MAX_LANES;
    v->grid_rows = v->h.outs;
    v->grid_cols = v->w.outs;
    v->grid_row = v->h.step * v->pitch;
    if (merge && v->grid_row == v->grid_cols) {
        v->grid_cols *= v->grid_rows;
        v->grid_row = v->grid_cols;
        v->grid_rows = 1;
    }
}

void tdbg_conv_view_offsets(const struct tdbg_conv_view *v, int64_t t0, int64_t t1, int64_t *off)
{
    int64_t taps = v->h.taps * v->w.taps;
    for (int64_t t = t0; t < t1; t++) {
        int64_t c = t / taps, i = t % taps / v->w.taps, j = t % v->w.taps;
        int64_t line = v->h.first + i * v->h.tap_step - v->h.lo;
        int64_t column = v->w.first + j * v->w.tap_step - v->w.lo;
        off[t - t0] =
            c * v->plane + line * v->pitch + column % v->w.step * v->phase + column / v->w.step;
    }
}

int64_t tdbg_conv_slots(const struct tdbg_conv_view *v, int64_t cols)
{
    int64_t grid = v->grid_rows * v->grid_cols;
    return tdbg_conv_min(v->samples, cols < 2 ? 1 : (cols - 2) / grid + 2);
}

/* A whole vector may be read at the sample's last element. */
static bool reads_in_place(const struct tdbg_conv_images *m, int64_t n)
{
    const struct tdbg_conv_view *v = m->view;
    return v->in_place && (v->samples - 1 - n) * v->image_sample_stride >= TDBG_GEMM_MAX_LANES;
}

void tdbg_conv_images_start(struct tdbg_conv_images *m, const float *x, int64_t first)
{
    m->x = x;
    m->next = first;
    if (!m->view->in_place) /* the border stays as it is now; images are copied into the inside */
        memset(m->copies, 0, (size_t)(m->slots * m->view->slot) * sizeof(float));
}

/* One channel; a phase at a time. */
static void copy_plane(const struct tdbg_conv_images *m, const float *src, float *dst)
{
    const struct tdbg_conv_axis *h = &m->view->h, *w = &m->view->w;
    int64_t i0 = tdbg_conv_max(0, -h->lo), i1 = tdbg_conv_min(h->lines, h->size - h->lo);
    bool every_line = h->step <= 64 && h->used == ~UINT64_C(0) >> (64 - h->step);
    for (int64_t q = 0; q < w->step && q < w->lines; q++) {
        if (!is_used(w, q))
            continue;
        /* columns lo + q + e * step inside of the image */
        int64_t e0 = tdbg_conv_max(0, tdbg_conv_ceil_div(-w->lo - q, w->step));
        int64_t e1 = tdbg_conv_min(tdbg_conv_ceil_div(w->lines - q, w->step),
                                   tdbg_conv_ceil_div(w->size - w->lo - q, w->step));
        struct tdbg_conv_copy copy = {
            .src_stride = w->size, .step = w->step, .dst_stride = m->view->pitch, .n = e1 - e0};
        for (int64_t i = i0; i < i1 && copy.n > 0; i += copy.rows) {
            copy.rows = every_line ? i1 - i0 : 1;
            copy.src = src + (h->lo + i) * w->size + w->lo + q + e0 * w->step;
            copy.dst = dst + i * m->view->pitch + q * m->view->phase + e0;
            if (is_used(h, i))
                m->table->conv_copy(&copy);
        }
    }
}

/* A sample that is read in place but for its surplus: nothing has to be moved about. */
static void copy_whole(const struct tdbg_conv_images *m, const float *src, float *dst)
{
    const struct tdbg_conv_view *v = m->view;
    memcpy(dst, src, (size_t)(v->channels * v->plane) * sizeof(float));
}

void tdbg_conv_images_load(struct tdbg_conv_images *m, int64_t last)
{
    const struct tdbg_conv_view *v = m->view;
    for (; m->next <= last; m->next++) {
        if (reads_in_place(m, m->next))
            continue;
        const float *src = m->x + m->next * v->image_sample_stride;
        float *dst = m->copies + m->next % m->slots * v->slot;
        if (v->in_place)
            copy_whole(m, src, dst);
        else
            for (int64_t c = 0; c < v->channels; c++)
                copy_plane(m, src + c * v->image_channel_stride, dst + c * v->plane);
    }
}

const float *tdbg_conv_images_at(const struct tdbg_conv_images *m, int64_t n)
{
    const struct tdbg_conv_view *v = m->view;
    if (!v->in_place)
        return m->copies + n % m->slots * v->slot;
    /* offsets count from line and column lo */
    int64_t origin = v->h.lo * v->pitch + v->w.lo;
    return origin + (reads_in_place(m, n) ? m->x + n * v->image_sample_stride
                                          : m->copies + n % m->slots * v->slot);
}

struct tdbg_conv_place tdbg_conv_place_of(const struct tdbg_conv_view *v, int64_t j)
{
    int64_t grid = v->grid_rows * v->grid_cols, in_grid = j % grid;
    return (struct tdbg_conv_place){j / grid, in_grid / v->grid_cols, in_grid % v->grid_cols};
}

void tdbg_conv_images_pieces(const struct tdbg_conv_images *m, struct tdbg_conv_place *at,
                             int64_t count, int lanes, struct tdbg_conv_gather *g)
{
    const struct tdbg_conv_view *v = m->view;
    const float *sample = tdbg_conv_images_at(m, at->n);
    int pieces = 0;
    for (int64_t j = 0; j < count;) {
        const float *from = sample + at->row * v->grid_row + at->col;
        int64_t run = tdbg_conv_min(v->grid_cols - at->col, count - j);
        for (int64_t i = 0; i < run; i += lanes, pieces++) {
            g->from[pieces] = from + i;
            g->to[pieces] = (int32_t)(j + i);
        }
        j += run;
        at->col += run;
        if (at->col < v->grid_cols)
            break;
        at->col = 0;
        if (++at->row < v->grid_rows)
            continue;
        at->row = 0;
        at->n++;
        if (j < count)
            sample = tdbg_conv_images_at(m, at->n);
    }
    g->pieces = pieces;
}
