/* Pooling on the CPU. Definition: pool2d.h. Planes are split over threads; inside of one, loops run
 * along rows, a tap of the window at a time. */
#include "kernels/pool2d.h"

#include <math.h>
#include <string.h>

#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

#define INLINE static inline __attribute__((always_inline))

static int64_t out_size(const struct tdbg_pool2d *p, int axis)
{
    int64_t room = (axis == 0 ? p->height : p->width) + 2 * p->padding[axis] - p->kernel[axis];
    return room < 0 ? 0 : room / p->stride[axis] + 1;
}

/* Outputs lo..hi-1 of an axis for which tap k is inside of the image. */
struct span {
    int64_t lo, hi;
};

static struct span span_of(const struct tdbg_pool2d *p, int axis, int64_t tap, int64_t outs)
{
    int64_t size = axis == 0 ? p->height : p->width, shift = p->padding[axis] - tap;
    int64_t lo = shift > 0 ? (shift + p->stride[axis] - 1) / p->stride[axis] : 0;
    int64_t hi = size - 1 + shift < 0 ? 0 : (size - 1 + shift) / p->stride[axis] + 1;
    return (struct span){lo, hi < outs ? hi : outs};
}

/* ---- maximum ---- */

/* Tap by tap: best and where are the output row. */
INLINE void max_tap(int64_t n, int64_t stride, const float *restrict x, int32_t place,
                    float *restrict best, int32_t *restrict where)
{
    for (int64_t j = 0; j < n; j++) {
        float v = x[j * stride], old = best[j];
        bool take = (v > old) | (v != v);
        best[j] = take ? v : old;
        where[j] = take ? place + (int32_t)(j * stride) : where[j];
    }
}

INLINE void max_tap_alone(int64_t n, int64_t stride, const float *restrict x, float *restrict best)
{
    for (int64_t j = 0; j < n; j++) {
        float v = x[j * stride], old = best[j];
        best[j] = (v > old) | (v != v) ? v : old;
    }
}

static void max_taps(int64_t n, int64_t stride, const float *x, int32_t place, float *best,
                     int32_t *where)
{
    if (where && stride == 1)
        max_tap(n, 1, x, place, best, where);
    else if (where && stride == 2)
        max_tap(n, 2, x, place, best, where);
    else if (where)
        max_tap(n, stride, x, place, best, where);
    else if (stride == 1)
        max_tap_alone(n, 1, x, best);
    else if (stride == 2)
        max_tap_alone(n, 2, x, best);
    else
        max_tap_alone(n, stride, x, best);
}

/* Output row i of a plane. */
static void max_row(const struct tdbg_pool2d *p, int64_t i, int64_t cols, const float *x, float *y,
                    int32_t *index)
{
    int64_t top = i * p->stride[0] - p->padding[0], left = -p->padding[1];
    for (int64_t j = 0; j < cols; j++)
        y[j] = -INFINITY;
    for (int64_t j = 0; j < cols && index; j++) {
        int64_t w = j * p->stride[1] + left;
        index[j] = (int32_t)((top > 0 ? top : 0) * p->width + (w > 0 ? w : 0));
    }
    for (int64_t kh = 0; kh < p->kernel[0]; kh++) {
        if (top + kh < 0 || top + kh >= p->height)
            continue;
        for (int64_t kw = 0; kw < p->kernel[1]; kw++) {
            struct span s = span_of(p, 1, kw, cols);
            int64_t place = (top + kh) * p->width + s.lo * p->stride[1] + left + kw;
            if (s.lo < s.hi)
                max_taps(s.hi - s.lo, p->stride[1], x + place, (int32_t)place, y + s.lo,
                         index ? index + s.lo : NULL);
        }
    }
    for (int64_t j = 0; j < cols; j++)
        y[j] = tdbg_strict_canonical(y[j]);
}

/* n outputs of the usual window, 2 x 2 side by side, `place` being that of the first one; taps in
 * the order of max_row. */
INLINE void max_squares(const int n, const float *restrict top, const float *restrict bottom,
                        int32_t place, int32_t width, float *restrict y, int32_t *restrict index)
{
    for (int j = 0; j < n; j++) {
        const float tap[4] = {top[2 * j], top[2 * j + 1], bottom[2 * j], bottom[2 * j + 1]};
        const int32_t at = place + 2 * j;
        float best = -INFINITY;
        int32_t where = at;
        best = (tap[0] > best) | (tap[0] != tap[0]) ? tap[0] : best;
        where = (tap[1] > best) | (tap[1] != tap[1]) ? at + 1 : where;
        best = (tap[1] > best) | (tap[1] != tap[1]) ? tap[1] : best;
        where = (tap[2] > best) | (tap[2] != tap[2]) ? at + width : where;
        best = (tap[2] > best) | (tap[2] != tap[2]) ? tap[2] : best;
        where = (tap[3] > best) | (tap[3] != tap[3]) ? at + width + 1 : where;
        best = (tap[3] > best) | (tap[3] != tap[3]) ? tap[3] : best;
        y[j] = tdbg_strict_canonical(best);
        if (index)
            index[j] = where;
    }
}

/* A row of them, `step` at a time; the last ones end with the row and may be computed twice. */
INLINE void max_square_row(const int step, int64_t cols, const float *x, int64_t place,
                           int64_t width, float *y, int32_t *index)
{
    for (int64_t j = 0; j < cols; j += step) {
        if (j > cols - step)
            j = cols - step;
        const float *top = x + place + 2 * j;
        if (index)
            max_squares(step, top, top + width, (int32_t)(place + 2 * j), (int32_t)width, y + j,
                        index + j);
        else
            max_squares(step, top, top + width, (int32_t)(place + 2 * j), (int32_t)width, y + j,
                        NULL);
    }
}

static bool is_square(const struct tdbg_pool2d *p)
{
    return p->kernel[0] == 2 && p->kernel[1] == 2 && p->stride[0] == 2 && p->stride[1] == 2 &&
           p->padding[0] == 0 && p->padding[1] == 0;
}

static void max_rows(const struct tdbg_pool2d *p, int64_t rows, int64_t cols, const float *x,
                     float *y, int32_t *index)
{
    for (int64_t i = 0; i < rows; i++, y += cols, index += index ? cols : 0) {
        const int64_t place = 2 * i * p->width;
        if (!is_square(p))
            max_row(p, i, cols, x, y, index);
        else if (cols >= 8)
            max_square_row(8, cols, x, place, p->width, y, index);
        else if (cols >= 4)
            max_square_row(4, cols, x, place, p->width, y, index);
        else
            max_square_row(1, cols, x, place, p->width, y, index);
    }
}

void TDBG_KERNEL(tdbg_max_pool2d_forward)(const struct tdbg_pool2d *p, int64_t lo, int64_t hi,
                                          const float *x, float *y, int32_t *index)
{
    int64_t rows = out_size(p, 0), cols = out_size(p, 1), size = p->height * p->width;
    for (int64_t plane = lo; plane < hi; plane++) {
        const int64_t out = plane * rows * cols;
        max_rows(p, rows, cols, x + plane * size, y + out, index ? index + out : NULL);
    }
}

static void make_canonical(int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = tdbg_strict_canonical(x[i]);
}

/* Windows ascending, each into its element: an element's terms come in ascending order. */
void TDBG_KERNEL(tdbg_max_pool2d_backward)(const struct tdbg_pool2d *p, int64_t lo, int64_t hi,
                                           const int32_t *index, const float *dy, float *dx)
{
    int64_t outs = out_size(p, 0) * out_size(p, 1), size = p->height * p->width;
    for (int64_t plane = lo; plane < hi; plane++) {
        const int32_t *at = index + plane * outs;
        const float *from = dy + plane * outs;
        float *to = dx + plane * size;
        int nan = 0;
        memset(to, 0, (size_t)size * sizeof *to);
        for (int64_t i = 0; i < outs; i++) {
            float sum = to[at[i]] + from[i];
            nan |= sum != sum;
            to[at[i]] = sum;
        }
        if (nan)
            make_canonical(size, to);
    }
}

/* ---- average ---- */

static int64_t inside(const struct tdbg_pool2d *p, int axis, int64_t out)
{
    int64_t first = out * p->stride[axis] - p->padding[axis], end = first + p->kernel[axis];
    int64_t size = axis == 0 ? p->height : p->width;
    return (end < size ? end : size) - (first > 0 ? first : 0);
}

/* out[j] = canonical(x[j] / divisor) for outputs j of row i, counted from column `first`. */
static void divide_row(const struct tdbg_pool2d *p, int64_t i, int64_t first, int64_t n,
                       const float *x, float *out)
{
    float all = (float)(p->kernel[0] * p->kernel[1]);
    int64_t rows = inside(p, 0, i);
    for (int64_t j = 0; j < n && !p->include_pad; j++)
        out[j] = tdbg_strict_canonical(x[j] / (float)(rows * inside(p, 1, first + j)));
    for (int64_t j = 0; j < n && p->include_pad; j++)
        out[j] = tdbg_strict_canonical(x[j] / all);
}

INLINE void add_tap(int64_t n, int64_t stride, const float *restrict x, float *restrict y)
{
    for (int64_t j = 0; j < n; j++)
        y[j] += x[j * stride];
}

static void avg_row(const struct tdbg_pool2d *p, int64_t i, int64_t cols, const float *x, float *y)
{
    int64_t top = i * p->stride[0] - p->padding[0];
    memset(y, 0, (size_t)cols * sizeof *y);
    for (int64_t kh = 0; kh < p->kernel[0]; kh++) {
        if (top + kh < 0 || top + kh >= p->height)
            continue;
        for (int64_t kw = 0; kw < p->kernel[1]; kw++) {
            struct span s = span_of(p, 1, kw, cols);
            const float *from =
                x + (top + kh) * p->width + s.lo * p->stride[1] - p->padding[1] + kw;
            if (p->stride[1] == 1)
                add_tap(s.hi - s.lo, 1, from, y + s.lo);
            else if (p->stride[1] == 2)
                add_tap(s.hi - s.lo, 2, from, y + s.lo);
            else
                add_tap(s.hi - s.lo, p->stride[1], from, y + s.lo);
        }
    }
    divide_row(p, i, 0, cols, y, y);
}

void TDBG_KERNEL(tdbg_avg_pool2d_forward)(const struct tdbg_pool2d *p, int64_t lo, int64_t hi,
                                          const float *x, float *y)
{
    int64_t rows = out_size(p, 0), cols = out_size(p, 1), size = p->height * p->width;
    for (int64_t plane = lo; plane < hi; plane++)
        for (int64_t i = 0; i < rows; i++)
            avg_row(p, i, cols, x + plane * size, y + (plane * rows + i) * cols);
}

enum { CHUNK = 256 };

/* Shares of outputs first..first+n-1 of row i to the elements of their windows. Taps descend, so
 * that an element meets its outputs in ascending order. */
static void spread_row(const struct tdbg_pool2d *p, int64_t i, int64_t first, int64_t n,
                       const float *restrict share, float *restrict dx)
{
    int64_t stride = p->stride[1], top = i * p->stride[0] - p->padding[0];
    for (int64_t kh = 0; kh < p->kernel[0]; kh++) {
        if (top + kh < 0 || top + kh >= p->height)
            continue;
        float *row = dx + (top + kh) * p->width;
        if (stride == 2 && p->kernel[1] == 2 && p->padding[1] == 0) {
            for (int64_t j = 0; j < n; j++) { /* the usual case; both are stored at once */
                row[2 * (first + j)] += share[j];
                row[2 * (first + j) + 1] += share[j];
            }
            continue;
        }
        for (int64_t kw = p->kernel[1] - 1; kw >= 0; kw--) {
            struct span s = span_of(p, 1, kw, first + n);
            for (int64_t j = s.lo > first ? s.lo : first; j < s.hi; j++)
                row[j * stride - p->padding[1] + kw] += share[j - first];
        }
    }
}

void TDBG_KERNEL(tdbg_avg_pool2d_backward)(const struct tdbg_pool2d *p, int64_t lo, int64_t hi,
                                           const float *dy, float *dx)
{
    int64_t rows = out_size(p, 0), cols = out_size(p, 1), size = p->height * p->width;
    for (int64_t plane = lo; plane < hi; plane++) {
        float *to = dx + plane * size, share[CHUNK];
        memset(to, 0, (size_t)size * sizeof *to);
        for (int64_t i = 0; i < rows; i++) {
            const float *from = dy + (plane * rows + i) * cols;
            for (int64_t first = 0; first < cols; first += CHUNK) {
                int64_t n = cols - first < CHUNK ? cols - first : CHUNK;
                divide_row(p, i, first, n, from + first, share);
                spread_row(p, i, first, n, share, to);
            }
        }
        make_canonical(size, to);
    }
}

/* ---- average of a whole plane ---- */

static float sum_plane(int64_t n, const float *x)
{
    struct tdbg_sum_tree tree = {0};
    if (n <= TDBG_SUM_BLOCK)
        return tdbg_sum_lanes_block(n, x);
    for (int64_t first = 0; first < n; first += TDBG_SUM_BLOCK)
        tdbg_sum_tree_add(
            &tree, tdbg_sum_lanes_block(n - first < TDBG_SUM_BLOCK ? n - first : TDBG_SUM_BLOCK,
                                        x + first));
    return tdbg_sum_tree_finish(&tree);
}

void TDBG_KERNEL(tdbg_global_avg_pool_forward)(int64_t elems, int64_t lo, int64_t hi,
                                               const float *x, float *y)
{
    for (int64_t plane = lo; plane < hi; plane++)
        y[plane] = tdbg_strict_canonical(sum_plane(elems, x + plane * elems) / (float)elems);
}

void TDBG_KERNEL(tdbg_global_avg_pool_backward)(int64_t elems, int64_t lo, int64_t hi,
                                                const float *dy, float *dx)
{
    for (int64_t plane = lo; plane < hi; plane++) {
        float share = tdbg_strict_canonical(dy[plane] / (float)elems);
        for (int64_t i = 0; i < elems; i++)
            dx[plane * elems + i] = share;
    }
}

#ifdef TDBG_ISA_PORTABLE

int64_t tdbg_pool2d_out_size(const struct tdbg_pool2d *pool, int axis)
{
    return out_size(pool, axis);
}

struct pool_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_pool2d *pool;
    int64_t elems;
    const float *in;
    float *out;
    const int32_t *index;
    int32_t *new_index;
};

static void run(const struct tdbg_cpu *cpu, struct pool_job *job,
                void (*range)(void *ctx, int64_t lo, int64_t hi))
{
    job->table = cpu->table;
    tdbg_parallel_for(cpu->threads, job->pool->planes,
                      tdbg_grain_of(job->pool->height * job->pool->width), range, job);
}

static void max_forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pool_job *j = ctx;
    j->table->max_pool2d_forward(j->pool, lo, hi, j->in, j->out, j->new_index);
}

void tdbg_max_pool2d_forward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                             const float *x, float *y, int32_t *index)
{
    struct pool_job job = {.pool = pool, .in = x, .out = y, .new_index = index};
    run(cpu, &job, max_forward_range);
}

static void max_backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pool_job *j = ctx;
    j->table->max_pool2d_backward(j->pool, lo, hi, j->index, j->in, j->out);
}

void tdbg_max_pool2d_backward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                              const int32_t *index, const float *dy, float *dx)
{
    struct pool_job job = {.pool = pool, .in = dy, .out = dx, .index = index};
    run(cpu, &job, max_backward_range);
}

static void avg_forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pool_job *j = ctx;
    j->table->avg_pool2d_forward(j->pool, lo, hi, j->in, j->out);
}

void tdbg_avg_pool2d_forward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                             const float *x, float *y)
{
    struct pool_job job = {.pool = pool, .in = x, .out = y};
    run(cpu, &job, avg_forward_range);
}

static void avg_backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pool_job *j = ctx;
    j->table->avg_pool2d_backward(j->pool, lo, hi, j->in, j->out);
}

void tdbg_avg_pool2d_backward(const struct tdbg_cpu *cpu, const struct tdbg_pool2d *pool,
                              const float *dy, float *dx)
{
    struct pool_job job = {.pool = pool, .in = dy, .out = dx};
    run(cpu, &job, avg_backward_range);
}

static void global_forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pool_job *j = ctx;
    j->table->global_avg_pool_forward(j->elems, lo, hi, j->in, j->out);
}

void tdbg_global_avg_pool_forward(const struct tdbg_cpu *cpu, int64_t planes, int64_t elems,
                                  const float *x, float *y)
{
    struct pool_job job = {.table = cpu->table, .elems = elems, .in = x, .out = y};
    tdbg_parallel_for(cpu->threads, planes, tdbg_grain_of(elems), global_forward_range, &job);
}

static void global_backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct pool_job *j = ctx;
    j->table->global_avg_pool_backward(j->elems, lo, hi, j->in, j->out);
}

void tdbg_global_avg_pool_backward(const struct tdbg_cpu *cpu, int64_t planes, int64_t elems,
                                   const float *dy, float *dx)
{
    struct pool_job job = {.table = cpu->table, .elems = elems, .in = dy, .out = dx};
    tdbg_parallel_for(cpu->threads, planes, tdbg_grain_of(elems), global_backward_range, &job);
}

#endif
