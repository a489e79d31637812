/* Embedding on the CPU. Definitions: embedding.h.
 *
 * Backward without atomics: a counting sort puts the positions in order of their token, and of
 * themselves within a token. Work is cut into groups of columns, because one token may be most of a
 * text, and a group by tokens, each of which weighs its positions and one for the row that is
 * written in any case:
 *
 *     order  | positions of token 0 | token 1 | | token 3 ... |      start[v] + v: where v begins
 */
#include "kernels/embedding.h"

#include <string.h>

#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"

void TDBG_KERNEL(tdbg_embedding_gather)(const struct tdbg_embedding *e, int64_t lo, int64_t hi,
                                        const float *table, float *y)
{
    for (int64_t p = lo; p < hi; p++) {
        const float *row = table + e->tokens[p] * e->dim;
        for (int64_t d = 0; d < e->dim; d++)
            y[p * e->dim + d] = tdbg_strict_canonical(row[d]);
    }
}

enum {
    TILE_COLS = 64, /* columns whose sums stay in registers */
    AHEAD = 6,      /* rows that are fetched before they are needed: they lie anywhere */
};

/* width columns from x of the rows order[0 .. count-1]: see sum_tile in reduce_cpu.c. */
static inline __attribute__((always_inline)) void
sum_tile(int64_t count, const int32_t *order, int64_t dim, int width, const float *x, float *out)
{
    float total[TILE_COLS] = {0};
    for (int64_t slice = 0; slice < count; slice += TDBG_K_SLICE) {
        int64_t end = slice + TDBG_K_SLICE < count ? slice + TDBG_K_SLICE : count;
        float part[TILE_COLS] = {0};
        for (int64_t i = slice; i < end; i++) {
            const float *row = x + order[i] * dim;
            if (i + AHEAD < end) {
                for (int c = 0; c < width; c += 16)
                    __builtin_prefetch(x + order[i + AHEAD] * dim + c);
            }
            for (int c = 0; c < width; c++)
                part[c] += row[c];
        }
        for (int c = 0; c < width; c++) /* +0 + part is part: a part never is -0 */
            total[c] += part[c];
    }
    for (int c = 0; c < width; c++)
        out[c] = tdbg_strict_canonical(total[c]);
}

/* Columns col..end-1 of the tokens first..last-1. */
void TDBG_KERNEL(tdbg_embedding_sum)(const struct tdbg_embedding *e, int64_t col, int64_t end,
                                     int64_t first, int64_t last, const int32_t *start,
                                     const int32_t *order, const float *dy, float *dtable)
{
    for (int64_t v = first; v < last; v++) {
        const int64_t count = v == e->padding_idx ? 0 : start[v + 1] - start[v];
        const int32_t *rows = order + start[v];
        float *out = dtable + v * e->dim;
        int64_t c = col;
        if (count == 0) {
            memset(out + c, 0, (size_t)(end - c) * sizeof *out);
            continue;
        }
        for (; c + TILE_COLS <= end; c += TILE_COLS)
            sum_tile(count, rows, e->dim, TILE_COLS, dy + c, out + c);
        if (c < end)
            sum_tile(count, rows, e->dim, (int)(end - c), dy + c, out + c);
    }
}

#ifdef TDBG_ISA_PORTABLE

struct embedding_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_embedding *embedding;
    const int32_t *start, *order;
    const float *in;
    float *out;
    int64_t group_cols;
};

int64_t tdbg_embedding_find_bad(const struct tdbg_embedding *e)
{
    for (int64_t p = 0; p < e->n; p++) {
        if (e->tokens[p] < 0 || e->tokens[p] >= e->vocab)
            return p;
    }
    return -1;
}

/* A token outside of the table would read and write memory that is not ours. */
static void check_tokens(const struct tdbg_embedding *e)
{
    int64_t bad = tdbg_embedding_find_bad(e);
    if (bad >= 0)
        TDBG_BUG("token %d at position %lld, %lld rows", (int)e->tokens[bad], (long long)bad,
                 (long long)e->vocab);
}

static void gather_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct embedding_job *job = ctx;
    job->table->embedding_gather(job->embedding, lo, hi, job->in, job->out);
}

void tdbg_embedding_forward(const struct tdbg_cpu *cpu, const struct tdbg_embedding *e,
                            const float *table, float *y)
{
    struct embedding_job job = {.table = cpu->table, .embedding = e, .in = table, .out = y};
    check_tokens(e);
    tdbg_parallel_for(cpu->threads, e->n, tdbg_grain_of(e->dim), gather_range, &job);
}

/* The workspace: start (vocab + 1), order (n). */
size_t tdbg_embedding_workspace_bytes(const struct tdbg_embedding *e)
{
    return (size_t)(e->vocab + 1 + e->n) * sizeof(int32_t);
}

static void sort_positions(const struct tdbg_embedding *e, int32_t *start, int32_t *order)
{
    memset(start, 0, (size_t)(e->vocab + 1) * sizeof *start);
    for (int64_t p = 0; p < e->n; p++)
        start[e->tokens[p] + 1]++;
    for (int64_t v = 0; v < e->vocab; v++)
        start[v + 1] += start[v];
    for (int64_t p = 0; p < e->n; p++) /* start[v] becomes the end of v, which is v + 1's start */
        order[start[e->tokens[p]]++] = (int32_t)p;
    memmove(start + 1, start, (size_t)e->vocab * sizeof *start);
    start[0] = 0;
}

/* The first token whose weight begins at or after `weight`. */
static int64_t find_token(const struct embedding_job *job, int64_t weight)
{
    int64_t lo = 0, hi = job->embedding->vocab;
    while (lo < hi) {
        int64_t middle = lo + (hi - lo) / 2;
        if (job->start[middle] + middle < weight)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* Weights lo..hi-1 of the groups of columns one after the other. */
static void sum_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct embedding_job *job = ctx;
    const struct tdbg_embedding *e = job->embedding;
    const int64_t weight = e->n + e->vocab;
    for (int64_t group = lo / weight; group * weight < hi; group++) {
        const int64_t col = group * job->group_cols, begin = group * weight;
        const int64_t end = e->dim - col < job->group_cols ? e->dim : col + job->group_cols;
        const int64_t first = find_token(job, lo > begin ? lo - begin : 0);
        const int64_t last = find_token(job, hi - begin < weight ? hi - begin : weight);
        job->table->embedding_sum(e, col, end, first, last, job->start, job->order, job->in,
                                  job->out);
    }
}

void tdbg_embedding_backward(const struct tdbg_cpu *cpu, const struct tdbg_embedding *e,
                             const float *dy, float *dtable, void *workspace)
{
    int32_t *start = workspace, *order = start + e->vocab + 1;
    const int64_t tiles = (e->dim + TILE_COLS - 1) / TILE_COLS;
    const int64_t most = tiles < cpu->threads ? tiles : cpu->threads;
    const int64_t group_tiles = most > 0 ? (tiles + most - 1) / most : 1;
    const int64_t groups = (tiles + group_tiles - 1) / group_tiles;
    struct embedding_job job = {cpu->table, e, start, order, dy, dtable, group_tiles * TILE_COLS};
    check_tokens(e);
    sort_positions(e, start, order);
    tdbg_parallel_for(cpu->threads, groups * (e->n + e->vocab), TDBG_GRAIN_ELEMS / TILE_COLS,
                      sum_range, &job);
}

#endif
