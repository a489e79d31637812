/* What of attention is compiled once per instruction set: the masked softmax, and scaling and
 * masking behind a product. Definitions: attention.h. */
#include "kernels/attention.h"

#include <string.h>

#include "kernels/isa_table.h"
#include "kernels/numerics.h"
#include "kernels/parallel.h"
#include "kernels/strict_math.h"
#include "kernels/sum_lanes.h"

static const float minus_infinity = -__builtin_inff();

/* +0 into n elements, in whole tiles where there is one: memset() of a short row takes longer. */
static inline __attribute__((always_inline)) void clear(int64_t n, float *x)
{
    typedef float line __attribute__((vector_size(32), aligned(4), may_alias));
    enum { STEP = 8 };
    const line zero = {0};
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP)
        *(line *)(void *)(x + i) = zero;
    if (i < n && n >= STEP)
        *(line *)(void *)(x + n - STEP) = zero;
    else
        for (; i < n; i++)
            x[i] = 0;
}

/* Row i of c (rows, width; row stride ld): the first min(cols, keep + i) elements times scale, +0
 * behind them. */
void TDBG_KERNEL(tdbg_attention_finish)(int64_t rows, int64_t keep, int64_t cols, int64_t width,
                                        float scale, int64_t ld, float *c)
{
    if (scale == 1 && keep >= cols && cols == width)
        return; /* a product with 1 changes nothing */
    for (int64_t i = 0; i < rows; i++) {
        float *x = c + i * ld;
        const int64_t n = keep + i < cols ? keep + i : cols;
        for (int64_t j = 0; scale != 1 && j < n; j++)
            x[j] = tdbg_strict_canonical(x[j] * scale);
        clear(width - n, x + n);
    }
}

/* How many keys query `row` of the flat (rows, heads, tokens) ones sees: they come first. */
static int64_t count_seen(const struct tdbg_attention *a, int64_t row)
{
    int64_t seen = a->causal ? row % a->tokens + 1 : a->tokens;
    if (a->lengths) {
        const int64_t length = a->lengths[row / (a->heads * a->tokens)];
        seen = length < seen ? length : seen;
    }
    return seen < 0 ? 0 : seen;
}

/* A tile is TDBG_SUM_LANES elements. The last one of a row's visible keys is taken whole where the
 * row goes on behind it, with `other` for what is masked; else it is copied first. room: elements
 * from x to the end of the row. */
static inline __attribute__((always_inline)) void load_tail(int64_t n, int64_t room, const float *x,
                                                            float other, float tile[TDBG_SUM_LANES])
{
    const int32_t count = (int32_t)n;
    if (room >= TDBG_SUM_LANES) {
        for (int32_t l = 0; l < TDBG_SUM_LANES; l++)
            tile[l] = l < count ? x[l] : other;
    } else {
        for (int32_t l = 0; l < TDBG_SUM_LANES; l++)
            tile[l] = other;
        for (int32_t l = 0; l < count; l++)
            tile[l] = x[l];
    }
}

static inline __attribute__((always_inline)) void halve(int width, float *high, float *low)
{
    for (int l = 0; l < width; l++) {
        high[l] = high[l + width] > high[l] ? high[l + width] : high[l];
        low[l] = low[l + width] < low[l] ? low[l + width] : low[l];
    }
}

/* Largest and smallest of the first n elements of a row, NaN skipped; -Inf and +Inf if there is
 * none. */
static float find_range(int64_t n, int64_t tokens, const float *x, float *smallest)
{
    float high[TDBG_SUM_LANES], low[TDBG_SUM_LANES], tile[TDBG_SUM_LANES];
    for (int l = 0; l < TDBG_SUM_LANES; l++) {
        high[l] = minus_infinity;
        low[l] = -minus_infinity;
    }
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES) {
        for (int l = 0; l < TDBG_SUM_LANES; l++) {
            high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
            low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
        }
    }
    if (i < n) { /* a NaN is taken by neither */
        load_tail(n - i, tokens - i, x + i, __builtin_nanf(""), tile);
        for (int l = 0; l < TDBG_SUM_LANES; l++) {
            high[l] = tile[l] > high[l] ? tile[l] : high[l];
            low[l] = tile[l] < low[l] ? tile[l] : low[l];
        }
    }
    halve(16, high, low); /* five calls and no loop: with constant widths all stays in registers */
    halve(8, high, low);
    halve(4, high, low);
    halve(2, high, low);
    halve(1, high, low);
    *smallest = low[0];
    return high[0];
}

/* Sum over the first n elements of a row's block: of p if dp is NULL, else of p * dp. Called with
 * dp constant. */
static inline __attribute__((always_inline)) float sum_block(int64_t n, int64_t room,
                                                             const float *p, const float *dp)
{
    struct tdbg_sum_lanes sum;
    tdbg_sum_lanes_clear(&sum);
    float tile[TDBG_SUM_LANES], dtile[TDBG_SUM_LANES];
    int64_t i = 0;
    for (; i + TDBG_SUM_LANES <= n; i += TDBG_SUM_LANES) {
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            sum.lane[l] =
                dp ? TDBG_STRICT_FMA(p[i + l], dp[i + l], sum.lane[l]) : sum.lane[l] + p[i + l];
    }
    if (i < n) { /* what is masked adds +0, which changes no lane */
        load_tail(n - i, room - i, p + i, 0, tile);
        if (dp)
            load_tail(n - i, room - i, dp + i, 0, dtile);
        for (int l = 0; l < TDBG_SUM_LANES; l++)
            sum.lane[l] =
                dp ? TDBG_STRICT_FMA(tile[l], dtile[l], sum.lane[l]) : sum.lane[l] + tile[l];
    }
    return tdbg_sum_lanes_fold(&sum);
}

/* The same over any number: the results of more than one block are terms in turn, of which there
 * are no more than a block (tokens <= TDBG_SUM_BLOCK^2). */
static inline __attribute__((always_inline)) float sum_row(int64_t n, int64_t tokens,
                                                           const float *p, const float *dp)
{
    struct tdbg_sum_lanes blocks;
    if (n <= TDBG_SUM_BLOCK)
        return sum_block(n, tokens, p, dp);
    tdbg_sum_lanes_clear(&blocks);
    for (int64_t i = 0, block = 0; i < n; i += TDBG_SUM_BLOCK, block++) {
        const int64_t terms = n - i < TDBG_SUM_BLOCK ? n - i : TDBG_SUM_BLOCK;
        blocks.lane[block % TDBG_SUM_LANES] +=
            sum_block(terms, tokens - i, p + i, dp ? dp + i : NULL);
    }
    return tdbg_sum_lanes_fold(&blocks);
}

enum { EXP_ELEMS = 16 }; /* exponentials are computed so many at a time */

/* y = exp(x - max) for the first n elements, and +0 for the others. */
static void exp_row(int64_t n, int64_t tokens, const float *x, float *y)
{
    float low, max = find_range(n, tokens, x, &low);
    const int64_t whole = (n + EXP_ELEMS - 1) / EXP_ELEMS * EXP_ELEMS;
    const int64_t count = whole < tokens ? whole : tokens; /* some of the masked ones too */
    if (low - max >= -87) { /* as good as always; false for infinities. NaN comes out as NaN */
        for (int64_t j = 0; j < count; j++)
            y[j] = tdbg_strict_expf_near(x[j] - max);
    } else {
        for (int64_t j = 0; j < count; j++)
            y[j] = tdbg_strict_expf(x[j] - max);
    }
    clear(tokens - n, y + n);
}

/* Rows lo..hi-1 of the flat (rows, heads, tokens) ones. */
void TDBG_KERNEL(tdbg_attention_softmax)(const struct tdbg_attention *a, int64_t lo, int64_t hi,
                                         const float *scores, float *probs)
{
    for (int64_t row = lo; row < hi; row++) {
        const int64_t n = count_seen(a, row);
        float *y = probs + row * a->tokens;
        exp_row(n, a->tokens, scores + row * a->tokens, y);
        const float sum = sum_row(n, a->tokens, y, NULL);
        if (sum == sum) { /* at least 1, and no quotient is NaN */
            for (int64_t j = 0; j < n; j++)
                y[j] = y[j] / sum;
        } else {
            for (int64_t j = 0; j < n; j++)
                y[j] = tdbg_strict_canonical(sum);
        }
    }
}

void TDBG_KERNEL(tdbg_attention_softmax_back)(const struct tdbg_attention *a, int64_t lo,
                                              int64_t hi, const float *probs, const float *dprobs,
                                              float *dscores)
{
    for (int64_t row = lo; row < hi; row++) {
        const int64_t n = count_seen(a, row);
        const float *p = probs + row * a->tokens, *dp = dprobs + row * a->tokens;
        float *ds = dscores + row * a->tokens;
        const float sum = sum_row(n, a->tokens, p, dp);
        for (int64_t j = 0; j < n; j++)
            ds[j] = tdbg_strict_canonical(p[j] * (dp[j] - sum));
        clear(a->tokens - n, ds + n);
    }
}

#ifdef TDBG_ISA_PORTABLE

struct softmax_job {
    const struct tdbg_isa_table *table;
    const struct tdbg_attention *attention;
    const float *in, *din;
    float *out;
};

/* Rows worth a thread: an exponential costs about as much as eight light operations. */
static int64_t grain_rows(int64_t tokens)
{
    int64_t grain = TDBG_GRAIN_ELEMS / 8 / (tokens < 1 ? 1 : tokens);
    return grain < 1 ? 1 : grain;
}

static void softmax_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct softmax_job *job = ctx;
    job->table->attention_softmax(job->attention, lo, hi, job->in, job->out);
}

void tdbg_attention_softmax_forward(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                                    const float *scores, float *probs)
{
    struct softmax_job job = {cpu->table, a, scores, NULL, probs};
    tdbg_parallel_for(cpu->threads, a->rows * a->heads * a->tokens, grain_rows(a->tokens),
                      softmax_range, &job);
}

static void back_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct softmax_job *job = ctx;
    job->table->attention_softmax_back(job->attention, lo, hi, job->in, job->din, job->out);
}

void tdbg_attention_softmax_backward(const struct tdbg_cpu *cpu, const struct tdbg_attention *a,
                                     const float *probs, const float *dprobs, float *dscores)
{
    struct softmax_job job = {cpu->table, a, probs, dprobs, dscores};
    tdbg_parallel_for(cpu->threads, a->rows * a->heads * a->tokens, grain_rows(a->tokens),
                      back_range, &job);
}

#endif
