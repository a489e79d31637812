/* See kernel_table.h. */
#include "kernel_table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/convert.h"
#include "base/digest.h"
#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/fused_digest.h"
#include "kernels/numerics.h"
#include "kernels/reduce.h"
#include "kernels/relu.h"
#include "kernels/sgd.h"
#include "kernels/transform.h"
#include "kernels/vector.h"

/* Output k of n floats; starts as a copy of src, or as rubbish that the op has to overwrite. */
static float *give(struct output *out, int k, int64_t n, const float *src)
{
    out->n[k] = n;
    out->f[k] = malloc((size_t)n * sizeof(float) + 1);
    if (src)
        memcpy(out->f[k], src, (size_t)n * sizeof(float));
    else
        memset(out->f[k], 0x5a, (size_t)n * sizeof(float));
    return out->f[k];
}

/* ---- the ops and their references ------------------------------------------------------------ */

/* One rounding to float; denormals round to a multiple of 2^-149. */
static double half_ulp(double exact)
{
    return fabs(exact) * 0x1p-24 + 0x1p-150;
}

static void run_relu_forward(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                             struct output *out)
{
    float *y = give(out, 0, in->n, op->in_place ? in->a : NULL);
    tdbg_relu_forward(cpu, in->n, op->in_place ? y : in->a, y);
}

static void ref_relu_forward(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                             double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i] = in->a[i] <= 0 ? 0 : (double)in->a[i];
        allowed[0][i] = 0;
    }
}

static void run_relu_backward(const struct op *op, const struct tdbg_cpu *cpu,
                              const struct data *in, struct output *out)
{
    float *dx = give(out, 0, in->n, op->in_place ? in->b : NULL);
    tdbg_relu_backward(cpu, in->n, in->a, op->in_place ? dx : in->b, dx);
}

static void ref_relu_backward(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                              double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i] = in->a[i] <= 0 ? 0 : (double)in->b[i];
        allowed[0][i] = 0;
    }
}

static void run_add(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                    struct output *out)
{
    (void)op;
    tdbg_vector_add(cpu, in->n, give(out, 0, in->n, in->a), in->b);
}

static void ref_add(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                    double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i] = (double)in->a[i] + (double)in->b[i];
        allowed[0][i] = half_ulp(exact[0][i]);
    }
}

static void run_divide(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                       struct output *out)
{
    float *dst = give(out, 0, in->n, op->in_place ? in->a : NULL);
    tdbg_vector_divide(cpu, in->n, op->in_place ? dst : in->a, (float)op->variant, dst);
}

static void ref_divide(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                       double *allowed[MAX_OUT])
{
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i] = (double)in->a[i] / op->variant;
        allowed[0][i] = half_ulp(exact[0][i]) * (1 + 0x1p-20); /* the double quotient is rounded */
    }
}

static void run_u8_to_f32(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                          struct output *out)
{
    (void)op;
    tdbg_transform_u8_to_f32(cpu, in->n, (const uint8_t *)in->bits, give(out, 0, in->n, NULL));
}

static void ref_u8_to_f32(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                          double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i] = ((const uint8_t *)in->bits)[i];
        allowed[0][i] = 0;
    }
}

static const float scale_by = 0x1.010102p-8f; /* 1/255 */

static void run_scale(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                      struct output *out)
{
    float *y = give(out, 0, in->n, op->in_place ? in->a : NULL);
    tdbg_transform_scale(cpu, in->n, op->in_place ? y : in->a, scale_by, y);
}

static void ref_scale(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                      double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t i = 0; i < in->n; i++) {
        exact[0][i] = (double)in->a[i] * (double)scale_by;
        allowed[0][i] = half_ulp(exact[0][i]);
    }
}

static float channel_std(int64_t c)
{
    return 0.25f + (float)(c % 5) * 0.3f;
}

static void run_normalize(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                          struct output *out)
{
    float *y = give(out, 0, in->n, op->in_place ? in->a : NULL);
    float *std = malloc((size_t)in->dims[1] * sizeof *std + 1);
    float *mean = malloc((size_t)in->dims[1] * sizeof *mean + 1);
    for (int64_t c = 0; c < in->dims[1]; c++) {
        std[c] = channel_std(c);
        mean[c] = (float)c * 0.125f;
    }
    tdbg_transform_normalize(cpu, in->dims[0], in->dims[1], in->dims[2], op->in_place ? y : in->a,
                             mean, std, y);
    free(std);
    free(mean);
}

static void ref_normalize(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                          double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t i = 0; i < in->n; i++) {
        int64_t c = i / in->dims[2] % in->dims[1];
        exact[0][i] = ((double)in->a[i] - (double)c * 0.125) / (double)channel_std(c);
        allowed[0][i] = 2.001 * half_ulp(exact[0][i]) / 0.25; /* two roundings */
    }
}

static void run_sum(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                    struct output *out)
{
    (void)op;
    float *sum = give(out, 0, 1, NULL);
    int64_t scratch_elems = tdbg_reduce_scratch_elems(in->n);
    float *scratch = scratch_elems ? malloc((size_t)scratch_elems * sizeof *scratch) : NULL;
    sum[0] = tdbg_reduce_sum(cpu, in->n, in->a, scratch);
    free(scratch);
}

/* A term passes through at most 128 + 5 additions in each level of blocks. */
static void ref_sum(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                    double *allowed[MAX_OUT])
{
    (void)op;
    double sum = 0, size = 0;
    for (int64_t i = 0; i < in->n; i++) {
        sum += (double)in->a[i];
        size += fabs((double)in->a[i]);
    }
    exact[0][0] = sum;
    allowed[0][0] = 3 * 133 * 0x1p-24 * size;
}

static void run_rows(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                     struct output *out)
{
    (void)op;
    tdbg_reduce_rows(cpu, in->dims[0], in->dims[1], in->a, give(out, 0, in->dims[1], NULL));
}

static void ref_rows(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                     double *allowed[MAX_OUT])
{
    (void)op;
    const int64_t rows = in->dims[0], cols = in->dims[1];
    for (int64_t c = 0; c < cols; c++) {
        double sum = 0, size = 0;
        for (int64_t r = 0; r < rows; r++) {
            sum += (double)in->a[r * cols + c];
            size += fabs((double)in->a[r * cols + c]);
        }
        exact[0][c] = sum;
        allowed[0][c] = (double)(TDBG_K_SLICE + rows / TDBG_K_SLICE + 1) * 0x1p-24 * size;
    }
}

/* max and log(sum(exp(x - max))) of a row, in double. */
static double log_sum_exp(int64_t n, const float *x, double *max)
{
    double sum = 0;
    *max = -(double)INFINITY;
    for (int64_t j = 0; j < n; j++)
        *max = (double)x[j] > *max ? (double)x[j] : *max;
    for (int64_t j = 0; j < n; j++)
        sum += exp((double)x[j] - *max);
    return log(sum);
}

static void run_loss(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                     struct output *out)
{
    (void)op;
    tdbg_cross_entropy_forward(cpu, in->dims[0], in->dims[1], in->a, in->targets, IGNORE,
                               give(out, 0, in->dims[0], NULL));
    out->word[out->n_words++] = (uint64_t)tdbg_cross_entropy_count_correct(
        cpu, in->dims[0], in->dims[1], in->a, in->targets, IGNORE);
}

/* exp is within 0.61 ULP of the rounded difference, whose error counts x e^-x <= 0.37 times; the
 * lanes add up to 128 terms each per level. Relative to 1: the log of a sum >= 1. */
static void ref_loss(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                     double *allowed[MAX_OUT])
{
    (void)op;
    for (int64_t r = 0; r < in->dims[0]; r++) {
        const float *x = in->a + r * in->dims[1];
        exact[0][r] = allowed[0][r] = 0;
        if (in->targets[r] == IGNORE)
            continue;
        double max, log_sum = log_sum_exp(in->dims[1], x, &max);
        double shift = (double)x[in->targets[r]] - max;
        exact[0][r] = log_sum - shift;
        allowed[0][r] = 0x1p-24 * (16 + 3 * (fabs(shift) + fabs(log_sum)));
    }
}

static void run_dlogits(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                        struct output *out)
{
    (void)op;
    tdbg_cross_entropy_backward(cpu, in->dims[0], in->dims[1], in->a, in->targets, IGNORE,
                                give(out, 0, in->n, NULL));
}

static void ref_dlogits(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                        double *allowed[MAX_OUT])
{
    (void)op;
    const int64_t classes = in->dims[1];
    for (int64_t i = 0; i < in->n; i++) {
        int64_t r = i / classes, j = i % classes;
        const float *x = in->a + r * classes;
        exact[0][i] = allowed[0][i] = 0;
        if (in->targets[r] == IGNORE)
            continue;
        static double max, log_sum; /* of row r: kept from its first element */
        if (j == 0)
            log_sum = log_sum_exp(classes, x, &max);
        double p = exp((double)x[j] - max - log_sum);
        exact[0][i] = p - (j == in->targets[r]);
        allowed[0][i] =
            0x1p-24 * (p * (20 + fmin(fabs((double)x[j] - max), 200)) + fabs(exact[0][i])) +
            0x1p-149;
    }
}

static const struct tdbg_sgd sgd_variants[] = {
    {.lr = 0.1f},
    {.lr = 0.1f, .weight_decay = 0.01f},
    {.lr = 0.1f, .momentum = 0.9f},
    {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f},
    {.lr = 0.1f, .momentum = 0.9f, .nesterov = true},
    {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f, .nesterov = true},
};

static void run_sgd(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                    struct output *out)
{
    const struct tdbg_sgd *sgd = &sgd_variants[op->variant];
    float *p = give(out, 0, in->n, in->a);
    float *buffer = sgd->momentum != 0 ? give(out, 1, in->n, in->c) : NULL;
    tdbg_sgd_step(cpu, in->n, sgd, in->b, p, buffer);
}

/* Every fma rounds once, relative to at most the sum of the sizes of what went into it. */
static void ref_sgd(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                    double *allowed[MAX_OUT])
{
    const struct tdbg_sgd *sgd = &sgd_variants[op->variant];
    const double momentum = (double)sgd->momentum, lr = (double)sgd->lr;
    for (int64_t i = 0; i < in->n; i++) {
        double p = (double)in->a[i], d = (double)in->b[i], size = fabs(d);
        if (sgd->weight_decay != 0) {
            d += (double)sgd->weight_decay * p;
            size += (double)sgd->weight_decay * fabs(p);
        }
        if (momentum != 0) {
            double b = momentum * (double)in->c[i] + d;
            size += momentum * fabs((double)in->c[i]);
            exact[1][i] = b;
            allowed[1][i] = 2.1 * 0x1p-24 * size + 0x1p-148;
            d = sgd->nesterov ? momentum * b + d : b;
            size *= sgd->nesterov ? 1 + momentum : 1;
        }
        exact[0][i] = p - lr * d;
        allowed[0][i] = 0x1p-24 * (1.1 * fabs(p) + 4.1 * lr * size) + 0x1p-147;
    }
}

static const struct tdbg_adamw adamw_at_3 = {
    .beta1 = 0.9f,
    .beta2 = 0.999f,
    .eps = 1e-8f,
    .one_minus_beta1 = 0.1f,
    .one_minus_beta2 = 0.001f,
    .decay = 0.99999f,
    .step_size = 0.001f / 0.271f,
    .bias2_sqrt = 0.0547175f,
};

/* The second moment is never negative in training; here it is the absolute value of d. */
static void run_adamw(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                      struct output *out)
{
    (void)op;
    float *p = give(out, 0, in->n, in->a), *m = give(out, 1, in->n, in->c);
    float *v = give(out, 2, in->n, in->d);
    for (int64_t i = 0; i < in->n; i++)
        v[i] = fabsf(v[i]);
    tdbg_adamw_step(cpu, in->n, &adamw_at_3, in->b, p, m, v);
}

static void ref_adamw(const struct op *op, const struct data *in, double *exact[MAX_OUT],
                      double *allowed[MAX_OUT])
{
    (void)op;
    const struct tdbg_adamw *a = &adamw_at_3;
    for (int64_t i = 0; i < in->n; i++) {
        double g = (double)in->b[i], p = (double)in->a[i] * (double)a->decay;
        double m_old = (double)a->beta1 * (double)in->c[i], m_new = (double)a->one_minus_beta1 * g;
        double v = (double)a->beta2 * fabs((double)in->d[i]) + (double)a->one_minus_beta2 * g * g;
        double denominator = sqrt(v) / (double)a->bias2_sqrt + (double)a->eps;
        double change = (double)a->step_size / denominator;
        exact[1][i] = m_old + m_new;
        exact[2][i] = v;
        exact[0][i] = p - change * exact[1][i];
        allowed[1][i] = 2.1 * 0x1p-24 * (fabs(m_old) + fabs(m_new)) + 0x1p-148;
        allowed[2][i] = 4 * 0x1p-24 * v + 0x1p-148;
        allowed[0][i] = 2.1 * 0x1p-24 * fabs(p) + 0x1p-148 +
                        8 * 0x1p-24 * change * (fabs(m_old) + fabs(m_new)) + change * 0x1p-148;
    }
}

/* n elements of a type: tame values, or (special) any bits at all. */
static void *make_typed(enum tdbg_dtype dtype, const struct data *in)
{
    uint8_t *x = malloc((size_t)in->n * 8 + 8);
    for (int64_t i = 0; i < in->n; i++) {
        uint64_t bits = in->bits[i];
        double number = (double)in->a[i];
        if (in->fill != FILL_SPECIAL && dtype == TDBG_DTYPE_F64)
            memcpy(&bits, &number, 8);
        if (dtype == TDBG_DTYPE_F32)
            bits = tdbg_float_bits(in->a[i]);
        if (in->fill != FILL_SPECIAL && dtype == TDBG_DTYPE_BF16)
            bits = tdbg_float_bits(in->a[i]) >> 16;
        memcpy(x + (size_t)i * tdbg_dtype_bytes(dtype), &bits, tdbg_dtype_bytes(dtype));
    }
    return x;
}

static uint64_t double_bits(double x)
{
    uint64_t u = UINT64_C(0x7ff8000000000000); /* statistics do not promise a payload */
    if (x == x)
        memcpy(&u, &x, sizeof u);
    return u;
}

static void put_stats(uint64_t *word, const struct tdbg_stats *s)
{
    const uint64_t all[] = {double_bits(s->min),
                            double_bits(s->max),
                            double_bits(s->mean),
                            double_bits(s->rms),
                            s->zeros,
                            s->nans,
                            s->infs};
    memcpy(word, all, sizeof all);
}

/* Its reference is the exact one in base/digest.c. */
static void run_digest(const struct op *op, const struct tdbg_cpu *cpu, const struct data *in,
                       struct output *out)
{
    const enum tdbg_dtype dtype = (enum tdbg_dtype)op->variant;
    void *x = make_typed(dtype, in);
    uint64_t word[MAX_WORDS], digest_only;
    struct tdbg_stats stats, stats_only;
    tdbg_digest_compute(cpu, x, dtype, in->n, &out->word[0], &stats);
    put_stats(out->word + 1, &stats);
    out->n_words = MAX_WORDS;
    tdbg_digest_compute(cpu, x, dtype, in->n, &digest_only, NULL);
    tdbg_digest_compute(cpu, x, dtype, in->n, NULL, &stats_only);
    assert_true(digest_only == out->word[0]);
    put_stats(word + 1, &stats_only);
    assert_memory_equal(word + 1, out->word + 1, sizeof word - sizeof *word);
    if (cpu->isa == TDBG_ISA_PORTABLE && cpu->threads == 1) {
        word[0] = tdbg_digest_reference(x, dtype, in->n);
        tdbg_stats_reference(x, dtype, in->n, &stats);
        put_stats(word + 1, &stats);
        assert_memory_equal(word, out->word, sizeof word);
    }
    free(x);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* (n, 1, 1); the last ones are worth more than one thread. */
static const int64_t flat_shapes[][3] = {
    {0, 1, 1},    {1, 1, 1},    {31, 1, 1},   {32, 1, 1},    {33, 1, 1},
    {4095, 1, 1}, {4096, 1, 1}, {4097, 1, 1}, {10000, 1, 1}, {130001, 1, 1},
};
static const int64_t sum_shapes[][3] = {
    {0, 1, 1},    {1, 1, 1},    {31, 1, 1},   {32, 1, 1},    {33, 1, 1},
    {4095, 1, 1}, {4096, 1, 1}, {4097, 1, 1}, {10000, 1, 1}, {300001, 1, 1},
};
/* (outer, channels, inner) */
static const int64_t image_shapes[][3] = {
    {0, 3, 5},    {1, 1, 1},  {31, 1, 1},    {2, 33, 1},
    {4095, 3, 1}, {2, 3, 32}, {17, 3, 1001}, {7, 3, 7000},
};
/* (rows, columns or classes, 1) */
static const int64_t matrix_shapes[][3] = {
    {0, 10, 1},   {1, 1, 1},     {1, 31, 1},   {33, 32, 1},   {64, 10, 1},
    {255, 33, 1}, {256, 65, 1},  {257, 64, 1}, {3, 4095, 1},  {2, 4096, 1},
    {3, 4097, 1}, {2, 10000, 1}, {1000, 7, 1}, {513, 129, 1}, {100, 700, 1},
};

#define SHAPES(list) list, sizeof list / sizeof *list

const struct op ops[OP_COUNT] = {
    {"relu_forward", SHAPES(flat_shapes), run_relu_forward, ref_relu_forward, 0, false,
     UINT64_C(0x07c0897b7c67aba5)},
    {"relu_forward in place", SHAPES(flat_shapes), run_relu_forward, ref_relu_forward, 0, true,
     UINT64_C(0x07c0897b7c67aba5)},
    {"relu_backward", SHAPES(flat_shapes), run_relu_backward, ref_relu_backward, 0, false,
     UINT64_C(0xa7683616e2f31882)},
    {"relu_backward in place", SHAPES(flat_shapes), run_relu_backward, ref_relu_backward, 0, true,
     UINT64_C(0xa7683616e2f31882)},
    {"vector_add", SHAPES(flat_shapes), run_add, ref_add, 0, false, UINT64_C(0x7960666c6643ced0)},
    {"vector_divide by 60", SHAPES(flat_shapes), run_divide, ref_divide, 60, false,
     UINT64_C(0x822330ce39f6f31b)},
    {"vector_divide by 60 in place", SHAPES(flat_shapes), run_divide, ref_divide, 60, true,
     UINT64_C(0x822330ce39f6f31b)},
    {"transform_u8_to_f32", SHAPES(flat_shapes), run_u8_to_f32, ref_u8_to_f32, 0, false,
     UINT64_C(0x7084c60239b2c79c)},
    {"transform_scale", SHAPES(flat_shapes), run_scale, ref_scale, 0, false,
     UINT64_C(0x7e4e6874e48d70f6)},
    {"transform_scale in place", SHAPES(flat_shapes), run_scale, ref_scale, 0, true,
     UINT64_C(0x7e4e6874e48d70f6)},
    {"transform_normalize", SHAPES(image_shapes), run_normalize, ref_normalize, 0, false,
     UINT64_C(0x51f7a2c86673ae99)},
    {"transform_normalize in place", SHAPES(image_shapes), run_normalize, ref_normalize, 0, true,
     UINT64_C(0x51f7a2c86673ae99)},
    {"reduce_sum", SHAPES(sum_shapes), run_sum, ref_sum, 0, false, UINT64_C(0x7d11e95973031f7d)},
    {"reduce_rows", SHAPES(matrix_shapes), run_rows, ref_rows, 0, false,
     UINT64_C(0x2189a8c82adc5022)},
    {"cross_entropy_forward", SHAPES(matrix_shapes), run_loss, ref_loss, 0, false,
     UINT64_C(0x6b816a421835930c)},
    {"cross_entropy_backward", SHAPES(matrix_shapes), run_dlogits, ref_dlogits, 0, false,
     UINT64_C(0x4b528de1f9e5c6d5)},
    {"sgd", SHAPES(flat_shapes), run_sgd, ref_sgd, 0, false, UINT64_C(0xd1b084d96f2b618b)},
    {"sgd with decay", SHAPES(flat_shapes), run_sgd, ref_sgd, 1, false,
     UINT64_C(0x4deb7707612905a4)},
    {"sgd with momentum", SHAPES(flat_shapes), run_sgd, ref_sgd, 2, false,
     UINT64_C(0x37c805e3b6b2c742)},
    {"sgd with momentum and decay", SHAPES(flat_shapes), run_sgd, ref_sgd, 3, false,
     UINT64_C(0x2e6be4550e9c1da8)},
    {"sgd nesterov", SHAPES(flat_shapes), run_sgd, ref_sgd, 4, false, UINT64_C(0xbb824a02d6ea80b5)},
    {"sgd nesterov with decay", SHAPES(flat_shapes), run_sgd, ref_sgd, 5, false,
     UINT64_C(0x50f8f3657a9c0dbe)},
    {"adamw", SHAPES(flat_shapes), run_adamw, ref_adamw, 0, false, UINT64_C(0xdc7beeb516cbe00a)},
    {"digest f32", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_F32, false,
     UINT64_C(0xcc70c67d6acfe8cc)},
    {"digest f64", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_F64, false,
     UINT64_C(0x33d0afd3a796d306)},
    {"digest bf16", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_BF16, false,
     UINT64_C(0x03d373f2e32c778c)},
    {"digest f16", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_F16, false,
     UINT64_C(0x644ce7c4d6de1c23)},
    {"digest u8", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_U8, false,
     UINT64_C(0x16e5c5877c95b147)},
    {"digest i32", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_I32, false,
     UINT64_C(0x936d15959ff28d2c)},
    {"digest i64", SHAPES(flat_shapes), run_digest, NULL, TDBG_DTYPE_I64, false,
     UINT64_C(0x92b0da65a1c00db0)},
};
