/* Layer norm and RMS norm on the CPU. Formulas and orders: row_norm.h. */
#include "kernels/row_norm.h"

#include <math.h>
#include <string.h>

#include "kernels/isa_table.h"
#include "kernels/norm_lanes.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/stream_store.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

#define ALWAYS static inline __attribute__((always_inline))

/* One row, or the part of one that a sum's block covers. */
struct row {
    int64_t n;
    struct tdbg_norm_run run;
};

struct two_sums {
    float first, second;
};

typedef struct two_sums (*block_fn)(const struct row *row);

/* What block() gives for every TDBG_SUM_BLOCK elements, summed. Most rows are a single block. */
ALWAYS struct two_sums sum_row(const struct row *row, block_fn block)
{
    if (row->n <= TDBG_SUM_BLOCK)
        return block(row);
    struct tdbg_sum_tree first = {0}, second = {0};
    struct row part = *row;
    for (int64_t i = 0; i < row->n; i += TDBG_SUM_BLOCK) {
        part.n = row->n - i < TDBG_SUM_BLOCK ? row->n - i : TDBG_SUM_BLOCK;
        part.run.x = row->run.x + i;
        part.run.dy = row->run.dy ? row->run.dy + i : NULL;
        part.run.weight = row->run.weight ? row->run.weight + i : NULL;
        struct two_sums sums = block(&part);
        tdbg_sum_tree_add(&first, sums.first);
        tdbg_sum_tree_add(&second, sums.second);
    }
    return (struct two_sums){tdbg_sum_tree_finish(&first), tdbg_sum_tree_finish(&second)};
}

ALWAYS struct two_sums sum_elements(const struct row *row)
{
    struct tdbg_sum_lanes sum;
    tdbg_sum_lanes_clear(&sum);
    tdbg_norm_sum_run(row->n, row->run.x, &sum);
    return (struct two_sums){tdbg_sum_lanes_fold(&sum), 0};
}

ALWAYS struct two_sums sum_deviations(const struct row *row)
{
    struct tdbg_sum_lanes sum, square;
    tdbg_sum_lanes_clear(&sum);
    tdbg_sum_lanes_clear(&square);
    tdbg_norm_spread_run(row->n, row->run.x, row->run.m, &sum, &square);
    return (struct two_sums){tdbg_sum_lanes_fold(&sum), tdbg_sum_lanes_fold(&square)};
}

ALWAYS struct two_sums sum_squares(const struct row *row)
{
    struct tdbg_sum_lanes square;
    tdbg_sum_lanes_clear(&square);
    tdbg_norm_square_run(row->n, row->run.x, &square);
    return (struct two_sums){tdbg_sum_lanes_fold(&square), 0};
}

ALWAYS struct two_sums sum_gradients(const struct row *row)
{
    struct tdbg_sum_lanes sum, product;
    tdbg_sum_lanes_clear(&sum);
    tdbg_sum_lanes_clear(&product);
    tdbg_norm_product_run(row->n, &row->run, false, &sum, &product);
    return (struct two_sums){tdbg_sum_lanes_fold(&sum), tdbg_sum_lanes_fold(&product)};
}

ALWAYS struct two_sums sum_scaled_gradients(const struct row *row)
{
    struct tdbg_sum_lanes sum, product;
    tdbg_sum_lanes_clear(&sum);
    tdbg_sum_lanes_clear(&product);
    tdbg_norm_product_run(row->n, &row->run, true, &sum, &product);
    return (struct two_sums){tdbg_sum_lanes_fold(&sum), tdbg_sum_lanes_fold(&product)};
}

/* ---- forward --------------------------------------------------------------------------------- */

enum {
    GROUP_ROWS = 16,    /* rows that go through the stages together: */
    GROUP_ELEMS = 4096, /* as many as stay in the first cache */
};

static int64_t group_rows(int64_t width)
{
    int64_t rows = GROUP_ELEMS / width;
    return rows < 1 ? 1 : rows > GROUP_ROWS ? GROUP_ROWS : rows;
}

/* Stage by stage, so that the processor adds up one row while it folds another one's lanes, and
 * divides for several rows at once. */
static void find_stats(int64_t rows, struct row *row, float n, float eps, bool centre)
{
    float sum[GROUP_ROWS], c[GROUP_ROWS] = {0}, square[GROUP_ROWS] = {0}, r[GROUP_ROWS];
    for (int64_t i = 0; i < rows && centre; i++)
        row[i].run.m = sum_row(&row[i], sum_elements).first / n;
    for (int64_t i = 0; i < rows && centre; i++) {
        struct two_sums sums = sum_row(&row[i], sum_deviations);
        sum[i] = sums.first;
        square[i] = sums.second;
    }
    for (int64_t i = 0; i < rows && centre; i++) {
        c[i] = sum[i] / n;
        float v = TDBG_STRICT_FMA(-sum[i], c[i], square[i]);
        square[i] = v < 0 ? 0 : v;
    }
    for (int64_t i = 0; i < rows && !centre; i++) {
        row[i].run.m = 0;
        square[i] = sum_row(&row[i], sum_squares).first;
    }
    for (int64_t i = 0; i < GROUP_ROWS; i++)
        r[i] = 1.0f / sqrtf(square[i] / n + eps);
    for (int64_t i = 0; i < rows; i++) {
        row[i].run.c = c[i];
        row[i].run.r = r[i];
    }
}

ALWAYS float forward_element(const struct tdbg_norm_run *run, const float *bias, int64_t j,
                             bool scaled, bool shifted)
{
    float h = tdbg_norm_element(run->x[j], run->m, run->c, run->r);
    if (scaled && shifted)
        h = TDBG_STRICT_FMA(h, run->weight[j], bias[j]);
    else if (scaled)
        h = h * run->weight[j];
    return tdbg_strict_canonical(h);
}

ALWAYS void write_row(const struct row *row, const float *bias, float *y, bool scaled, bool shifted,
                      bool stream, int64_t ahead)
{
    const struct tdbg_norm_run run = row->run;
    float piece[TDBG_STREAM_PIECE];
    for (int64_t i = 0; i < row->n; i += TDBG_STREAM_PIECE) {
        const int64_t end = row->n - i < TDBG_STREAM_PIECE ? row->n : i + TDBG_STREAM_PIECE;
        float *restrict to = stream ? piece : y + i;
        for (int64_t j = i; j < end; j++)
            to[j - i] = forward_element(&run, bias, j, scaled, shifted);
        if (ahead > 0)
            tdbg_norm_fetch(end - i, run.x + ahead + i);
        if (stream)
            tdbg_stream_copy(end - i, piece, y + i);
    }
}

static void keep_stats(const struct row *row, float *stats, bool centre)
{
    if (centre) {
        stats[0] = tdbg_strict_canonical(row->run.m);
        stats[1] = tdbg_strict_canonical(row->run.c);
    }
    stats[centre ? 2 : 0] = tdbg_strict_canonical(row->run.r);
}

static void load_stats(struct row *row, const float *stats, bool centre)
{
    row->run.m = centre ? stats[0] : 0;
    row->run.c = centre ? stats[1] : 0;
    row->run.r = centre ? stats[2] : stats[0];
}

void TDBG_KERNEL(tdbg_row_norm_forward)(const struct tdbg_row_norm *norm, int64_t lo, int64_t hi,
                                        const float *x, const float *weight, const float *bias,
                                        float *y, float *stats)
{
    const int64_t width = norm->width, kept = norm->centre ? 3 : 1, step = group_rows(width);
    const bool stream = tdbg_stream_pays(norm->rows * width);
    for (int64_t first = lo; first < hi; first += step) {
        struct row row[GROUP_ROWS];
        const int64_t rows = hi - first < step ? hi - first : step;
        for (int64_t i = 0; i < rows; i++)
            row[i] = (struct row){width, {.x = x + (first + i) * width, .weight = weight}};
        find_stats(rows, row, (float)width, norm->eps, norm->centre);
        for (int64_t i = 0; i < rows; i++) {
            float *to = y + (first + i) * width;
            const int64_t ahead = first + rows + i < hi && width <= 32768 ? rows * width : 0;
            keep_stats(&row[i], stats + (first + i) * kept, norm->centre);
            if (weight && bias)
                write_row(&row[i], bias, to, true, true, stream, ahead);
            else if (weight)
                write_row(&row[i], NULL, to, true, false, stream, ahead);
            else
                write_row(&row[i], NULL, to, false, false, stream, ahead);
        }
    }
    if (stream)
        tdbg_stream_end();
}

/* ---- backward -------------------------------------------------------------------------------- */

/* What every element of a row's gradient is computed from. */
struct slopes {
    float m, c, r, a, k;
};

ALWAYS float gradient_element(float x, float g, const struct slopes *s, float *h)
{
    *h = tdbg_norm_element(x, s->m, s->c, s->r);
    return tdbg_strict_canonical(s->r * TDBG_STRICT_FMA(-*h, s->k, g - s->a));
}

/* Functions of their own: only for `restrict` of parameters do compilers need no proof that nothing
 * overlaps. The sums over rows get this row's terms, which spares another read. */
static __attribute__((noinline)) void
write_gradient_sums(int64_t n, struct slopes s, const float *restrict x, const float *restrict dy,
                    const float *restrict weight, float *restrict dx, float *restrict sum_h,
                    float *restrict sum_dy)
{
    for (int64_t j = 0; j < n; j++) {
        float h;
        dx[j] = gradient_element(x[j], dy[j] * weight[j], &s, &h);
        sum_h[j] = TDBG_STRICT_FMA(dy[j], h, sum_h[j]);
        sum_dy[j] += dy[j];
    }
}

static __attribute__((noinline)) void
write_gradient(int64_t n, struct slopes s, const float *restrict x, const float *restrict dy,
               const float *restrict weight, float *restrict dx)
{
    float h;
    if (weight) {
        for (int64_t j = 0; j < n; j++)
            dx[j] = gradient_element(x[j], dy[j] * weight[j], &s, &h);
    } else {
        for (int64_t j = 0; j < n; j++)
            dx[j] = gradient_element(x[j], dy[j], &s, &h);
    }
}

static void write_gradient_row(const struct row *row, float a, float k, float *dx, float *sum_h,
                               float *sum_dy, bool stream)
{
    const struct tdbg_norm_run *run = &row->run;
    const struct slopes s = {run->m, run->c, run->r, a, k};
    float piece[TDBG_STREAM_PIECE];
    for (int64_t i = 0; i < row->n; i += TDBG_STREAM_PIECE) {
        const int64_t n = row->n - i < TDBG_STREAM_PIECE ? row->n - i : TDBG_STREAM_PIECE;
        const float *weight = run->weight ? run->weight + i : NULL;
        float *to = stream ? piece : dx + i;
        if (sum_h)
            write_gradient_sums(n, s, run->x + i, run->dy + i, weight, to, sum_h + i, sum_dy + i);
        else
            write_gradient(n, s, run->x + i, run->dy + i, weight, to);
        if (stream)
            tdbg_stream_copy(n, piece, dx + i);
    }
}

/* Rows lo..hi-1. sum_h and sum_dy (width) get the rows' terms added, or are NULL. */
void TDBG_KERNEL(tdbg_row_norm_backward)(const struct tdbg_row_norm *norm, int64_t lo, int64_t hi,
                                         const float *x, const float *weight, const float *stats,
                                         const float *dy, float *dx, float *sum_h, float *sum_dy)
{
    const int64_t width = norm->width, kept = norm->centre ? 3 : 1, step = group_rows(width);
    const bool stream = tdbg_stream_pays(norm->rows * width);
    const float n = (float)width;
    for (int64_t first = lo; first < hi; first += step) {
        struct row row[GROUP_ROWS];
        struct two_sums sums[GROUP_ROWS];
        const int64_t rows = hi - first < step ? hi - first : step;
        for (int64_t i = 0; i < rows; i++) {
            int64_t at = (first + i) * width;
            row[i] = (struct row){width, {.x = x + at, .dy = dy + at, .weight = weight}};
            load_stats(&row[i], stats + (first + i) * kept, norm->centre);
            sums[i] =
                weight ? sum_row(&row[i], sum_scaled_gradients) : sum_row(&row[i], sum_gradients);
        }
        for (int64_t i = 0; i < rows; i++) {
            float a = norm->centre ? sums[i].first / n : 0, k = sums[i].second / n;
            write_gradient_row(&row[i], a, k, dx + (first + i) * width, sum_h, sum_dy, stream);
        }
    }
    if (stream)
        tdbg_stream_end();
}

/* Columns lo..hi-1 of rows first..end-1, added to sum_h and sum_dy (width). */
void TDBG_KERNEL(tdbg_row_norm_columns)(const struct tdbg_row_norm *norm, int64_t first,
                                        int64_t end, int64_t lo, int64_t hi, const float *x,
                                        const float *stats, const float *dy, float *restrict sum_h,
                                        float *restrict sum_dy)
{
    const int64_t width = norm->width, kept = norm->centre ? 3 : 1;
    for (int64_t i = first; i < end; i++) {
        struct row row = {width, {.x = x + i * width, .dy = dy + i * width}};
        load_stats(&row, stats + i * kept, norm->centre);
        const float m = row.run.m, c = row.run.c, r = row.run.r;
        for (int64_t j = lo; j < hi; j++) {
            float d = row.run.dy[j];
            sum_h[j] = TDBG_STRICT_FMA(d, tdbg_norm_element(row.run.x[j], m, c, r), sum_h[j]);
            sum_dy[j] += d;
        }
    }
}

#ifdef TDBG_ISA_PORTABLE

enum { TILE_COLS = 256 };

struct norm_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_row_norm *norm;
    const float *x, *weight, *bias, *stats, *dy;
    float *y, *keep, *dx, *parts; /* parts: (slices, 2, width): sum_h and sum_dy */
    float *dweight, *dbias;
};

static void forward_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct norm_job *job = ctx;
    job->table->row_norm_forward(job->norm, lo, hi, job->x, job->weight, job->bias, job->y,
                                 job->keep);
}

void tdbg_row_norm_forward(const struct tdbg_cpu *cpu, const struct tdbg_row_norm *norm,
                           const float *x, const float *weight, const float *bias, float *y,
                           float *stats)
{
    struct norm_job job = {.table = cpu->table,
                           .norm = norm,
                           .x = x,
                           .weight = weight,
                           .bias = bias,
                           .y = y,
                           .keep = stats};
    if (norm->width > 0)
        tdbg_parallel_for(cpu->threads, norm->rows, tdbg_grain_of(norm->width), forward_range,
                          &job);
}

static int64_t count_slices(const struct tdbg_row_norm *norm)
{
    return (norm->rows + TDBG_K_SLICE - 1) / TDBG_K_SLICE;
}

static int64_t slice_end(const struct tdbg_row_norm *norm, int64_t slice)
{
    int64_t end = (slice + 1) * TDBG_K_SLICE;
    return end < norm->rows ? end : norm->rows;
}

size_t tdbg_row_norm_workspace_bytes(const struct tdbg_row_norm *norm)
{
    return (size_t)count_slices(norm) * 2 * (size_t)norm->width * sizeof(float);
}

static void dx_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct norm_job *job = ctx;
    job->table->row_norm_backward(job->norm, lo, hi, job->x, job->weight, job->stats, job->dy,
                                  job->dx, NULL, NULL);
}

/* Slices of rows: dx and the slices' column sums together. */
static void slice_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct norm_job *job = ctx;
    const int64_t width = job->norm->width;
    for (int64_t s = lo; s < hi; s++) {
        float *part = job->parts + s * 2 * width;
        memset(part, 0, 2 * (size_t)width * sizeof *part);
        job->table->row_norm_backward(job->norm, s * TDBG_K_SLICE, slice_end(job->norm, s), job->x,
                                      job->weight, job->stats, job->dy, job->dx, part,
                                      part + width);
    }
}

static int64_t count_tiles(const struct tdbg_row_norm *norm)
{
    return (norm->width + TILE_COLS - 1) / TILE_COLS;
}

/* The column sums alone; unit u is tile u % tiles of slice u / tiles. */
static void column_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct norm_job *job = ctx;
    const int64_t width = job->norm->width, tiles = count_tiles(job->norm);
    for (int64_t u = lo; u < hi; u++) {
        int64_t slice = u / tiles, begin = u % tiles * TILE_COLS;
        int64_t end = begin + TILE_COLS < width ? begin + TILE_COLS : width;
        float *sum_h = job->parts + slice * 2 * width, *sum_dy = sum_h + width;
        memset(sum_h + begin, 0, (size_t)(end - begin) * sizeof(float));
        memset(sum_dy + begin, 0, (size_t)(end - begin) * sizeof(float));
        job->table->row_norm_columns(job->norm, slice * TDBG_K_SLICE, slice_end(job->norm, slice),
                                     begin, end, job->x, job->stats, job->dy, sum_h, sum_dy);
    }
}

static void add_slices(const struct norm_job *job, int64_t lo, int64_t hi, const float *part,
                       float *out)
{
    const int64_t slices = count_slices(job->norm), stride = 2 * job->norm->width;
    for (int64_t j = lo; j < hi; j++)
        out[j] = 0;
    for (int64_t s = 0; s < slices; s++) {
        for (int64_t j = lo; j < hi; j++)
            out[j] += part[s * stride + j];
    }
    for (int64_t j = lo; j < hi; j++)
        out[j] = tdbg_strict_canonical(out[j]);
}

static void gather_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct norm_job *job = ctx;
    if (job->dweight)
        add_slices(job, lo, hi, job->parts, job->dweight);
    if (job->dbias)
        add_slices(job, lo, hi, job->parts + job->norm->width, job->dbias);
}

void tdbg_row_norm_backward(const struct tdbg_cpu *cpu, const struct tdbg_row_norm *norm,
                            const float *x, const float *weight, const float *stats,
                            const float *dy, float *dx, float *dweight, float *dbias,
                            void *workspace)
{
    struct norm_job job = {.table = cpu->table,
                           .norm = norm,
                           .x = x,
                           .weight = weight,
                           .stats = stats,
                           .dy = dy,
                           .dx = dx,
                           .parts = workspace,
                           .dweight = dweight,
                           .dbias = dbias};
    const bool sums = dweight || dbias;
    const int64_t slices = count_slices(norm);
    if (norm->width < 1)
        return;
    if (sums && dx && weight && slices >= 2 * cpu->threads) {
        tdbg_parallel_for(cpu->threads, slices, 1, slice_range, &job);
    } else {
        if (dx)
            tdbg_parallel_for(cpu->threads, norm->rows, tdbg_grain_of(norm->width), dx_range, &job);
        if (sums)
            tdbg_parallel_for(cpu->threads, slices * count_tiles(norm),
                              1 + TDBG_GRAIN_ELEMS / TILE_COLS / (norm->rows + 1), column_range,
                              &job);
    }
    if (sums) {
        int64_t grain = TDBG_GRAIN_ELEMS / (slices < 1 ? 1 : slices);
        tdbg_parallel_for(cpu->threads, norm->width, grain < 64 ? 64 : grain, gather_range, &job);
    }
}

#endif
