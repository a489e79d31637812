/* Layer, RMS and batch norm on both backends, bit for bit, over awkward shapes. */
#include "gpu_case.h"

#include "kernels/batch_norm.h"
#include "kernels/row_norm.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static const int64_t row_shapes[][2] = {
    {0, 5},   {1, 1},    {3, 1},    {7, 31},   {257, 33},   {600, 5},
    {9, 768}, {2, 4096}, {3, 4097}, {2, 9000}, {1, 130001},
};

/* variant: bits 0 and 1 the affine part, bit 2 the centre, bit 3 gradients of the parameters only
 */
static void call_row_norm(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const struct case_input *in = run->in;
    const struct tdbg_row_norm norm = {
        .rows = in->rows, .width = in->cols, .eps = 1e-5f, .centre = run->variant & 4};
    const bool affine = run->variant & 1, shifted = affine && run->variant & 2;
    const int64_t width = in->n > 0 ? in->cols : 0, kept = tdbg_row_norm_stats_elems(&norm);
    float *x = gpu_input(run, in->a, in->n), *dy = gpu_input(run, in->b, in->n);
    float *weight = affine ? gpu_input(run, in->c, width) : NULL;
    float *bias = shifted ? gpu_input(run, in->d, width) : NULL;
    float *y = gpu_input(run, NULL, in->n), *stats = gpu_input(run, NULL, kept);
    float *dx = run->variant & 8 ? NULL : gpu_input(run, NULL, in->n);
    float *grad = affine ? gpu_input(run, NULL, 2 * in->cols) : NULL;
    void *workspace = gpu_place(be, NULL, tdbg_row_norm_workspace_bytes(&norm));
    be->row_norm_forward(be->context, &norm, x, weight, bias, y, stats);
    be->row_norm_backward(be->context, &norm, x, weight, stats, dy, dx, grad,
                          shifted ? grad + in->cols : NULL, workspace);
    gpu_output(run, 0, y, in->n);
    gpu_output(run, 1, stats, kept);
    gpu_output(run, 2, dx, in->n);
    gpu_output(run, 3, grad, 2 * in->cols);
    gpu_drop(be, x);
    gpu_drop(be, dy);
    gpu_drop(be, weight);
    gpu_drop(be, bias);
    gpu_drop(be, workspace);
}

static void test_row_norm(void **state)
{
    const struct gpu_case c = {"row_norm", call_row_norm, 16};
    (void)state;
    gpu_case_test(&c, row_shapes, sizeof row_shapes / sizeof *row_shapes);
}

/* ---- channels -------------------------------------------------------------------------------- */

/* samples, channels, inner: columns and runs, several samples in a block and several blocks in a
 * sample, more than one slice of blocks, channels beyond one block of threads. */
static const struct tdbg_batch_norm batch_shapes[] = {
    {1, 1, 1, 1e-5f},    {2, 3, 1, 1e-3f},     {300, 5, 1, 1e-5f},    {257, 300, 1, 1e-5f},
    {70, 33, 2, 1e-5f},  {600, 3, 7, 1e-5f},   {40, 19, 32, 0},       {3, 2, 33, 1e-5f},
    {40, 37, 49, 1e-5f}, {9, 2, 1024, 1e-5f},  {2, 3, 4096, 0},       {2, 3, 4097, 1e-5f},
    {3, 2, 9000, 1e-5f}, {67000, 2, 1, 1e-5f}, {290, 1, 4097, 1e-5f},
};
enum { N_BATCH_SHAPES = sizeof batch_shapes / sizeof *batch_shapes };

/* A run of a batch norm: in->rows samples of in->cols elements. */
struct batch_run {
    const struct tdbg_batch_norm *norm;
    float *x, *dy, *weight, *bias, *running; /* running (2, channels) */
    void *workspace;
};

static const struct tdbg_batch_norm *batch_norm_now;

static struct batch_run batch_open(struct gpu_run *run)
{
    const struct case_input *in = run->in;
    const struct tdbg_batch_norm *norm = batch_norm_now;
    const int64_t channels = norm->channels;
    float *running = malloc(2 * (size_t)channels * sizeof *running);
    for (int64_t c = 0; c < channels; c++) {
        running[c] = in->c[0] + (float)c;
        running[channels + c] = in->d[0] + 0.5f * (float)c;
    }
    struct batch_run b = {.norm = norm};
    b.x = gpu_input(run, in->a, in->n);
    b.dy = gpu_input(run, in->b, in->n);
    b.weight = run->variant & 1 ? gpu_input(run, in->c, channels) : NULL;
    b.bias = (run->variant & 3) == 3 ? gpu_input(run, in->d, channels) : NULL;
    b.running = gpu_input(run, running, 2 * channels);
    b.workspace = gpu_place(run->be, NULL, tdbg_batch_norm_workspace_bytes(norm));
    free(running);
    return b;
}

static void batch_close(struct gpu_run *run, struct batch_run *b)
{
    const void *all[] = {b->x, b->dy, b->weight, b->bias, b->running, b->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        gpu_drop(run->be, all[i]);
}

static void call_batch_norm(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const int64_t n = run->in->n, channels = batch_norm_now->channels;
    struct batch_run b = batch_open(run);
    float *y = gpu_input(run, NULL, n), *stats = gpu_input(run, NULL, 3 * channels);
    float *grad = gpu_input(run, NULL, 2 * channels), *dx = gpu_input(run, NULL, n);
    const bool tracks = run->variant != 2;
    be->batch_norm_forward(be->context, b.norm, b.x, b.weight, b.bias, 0.1f,
                           tracks ? b.running : NULL, tracks ? b.running + channels : NULL, y,
                           stats, b.workspace);
    be->batch_norm_backward(be->context, b.norm, b.x, b.weight, stats, b.dy,
                            run->variant == 1 ? NULL : dx, grad,
                            run->variant == 0 ? NULL : grad + channels, b.workspace);
    gpu_output(run, 0, y, n);
    gpu_output(run, 1, dx, n);
    gpu_output(run, 2, grad, 2 * channels);
    gpu_output(run, 3, b.running, 2 * channels);
    b.running = NULL;
    gpu_drop(be, stats);
    batch_close(run, &b);
}

static void call_batch_evaluate(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const int64_t n = run->in->n, channels = batch_norm_now->channels;
    struct batch_run b = batch_open(run);
    float *y = gpu_input(run, NULL, n), *stats = gpu_input(run, NULL, 3 * channels);
    be->batch_norm_evaluate(be->context, b.norm, b.x, b.weight, b.bias, b.running,
                            b.running + channels, y, stats);
    gpu_output(run, 0, y, n);
    gpu_output(run, 1, stats, 3 * channels);
    batch_close(run, &b);
}

/* The stages, with a count beyond the part's own; y over x, dx over dy. */
static void call_batch_stages(struct gpu_run *run)
{
    const struct tdbg_backend *be = run->be;
    const struct tdbg_batch_norm *norm = batch_norm_now;
    const int64_t n = run->in->n, channels = norm->channels;
    const int64_t elems = tdbg_batch_norm_parts_elems(norm),
                  count = 2 * norm->samples * norm->inner;
    struct batch_run b = batch_open(run);
    float *parts = gpu_input(run, NULL, elems), *keep = gpu_input(run, NULL, 8 * channels);
    float *sum = keep, *spread = sum + channels, *stats = spread + 2 * channels;
    float *sums = stats + 3 * channels;
    be->batch_norm_blocks(be->context, norm, b.x, parts);
    be->batch_norm_sum(be->context, norm, parts, sum);
    be->batch_norm_spread(be->context, norm, parts, sum, count, spread);
    be->batch_norm_finish(be->context, norm, sum, spread, count, stats);
    be->batch_norm_track(be->context, norm, stats, spread, count, 0.25f, b.running,
                         b.running + channels);
    float *more = gpu_input(run, NULL, elems);
    be->batch_norm_sums(be->context, norm, b.x, stats, b.dy, more, sums);
    be->batch_norm_dx(be->context, norm, b.x, stats, b.weight, b.dy, sums, count, b.dy);
    be->batch_norm_apply(be->context, norm, b.x, stats, b.weight, b.bias, b.x);
    gpu_drop(be, more);
    gpu_output(run, 0, b.x, n);
    gpu_output(run, 1, b.dy, n);
    gpu_output(run, 2, keep, 8 * channels);
    if (run->variant == 3) /* with NaN: parts are not a result, nor their NaN canonical */
        gpu_drop(be, parts);
    else
        gpu_output(run, 3, parts, elems);
    b.x = b.dy = NULL;
    batch_close(run, &b);
}

/* With special values only in the first channel: it is NaN as a whole. */
static void spoil(struct case_input *in, const struct tdbg_batch_norm *norm)
{
    const int64_t shape[2] = {in->rows, in->cols};
    struct case_input special = case_make(shape, CASE_SPECIAL);
    struct case_output none = {0};
    for (int64_t i = 0; i < in->n; i++) {
        if (i / norm->inner % norm->channels == 0)
            in->a[i] = special.a[i];
        if (i / norm->inner % norm->channels == 1)
            in->b[i] = special.b[i];
    }
    case_free(&special, &none);
}

static void check_batch(const char *name, void (*call)(struct gpu_run *run))
{
    for (int s = 0; s < N_BATCH_SHAPES; s++) {
        const struct tdbg_batch_norm *norm = batch_norm_now = &batch_shapes[s];
        const int64_t shape[2] = {norm->samples, norm->channels * norm->inner};
        struct case_input in = case_make(shape, CASE_PLAIN);
        struct case_output none = {0};
        const struct gpu_case c = {name, call, 4};
        for (int v = 0; v < c.variants; v++) {
            if (v == 3)
                spoil(&in, norm);
            gpu_case_compare(&c, &in, v);
        }
        case_free(&in, &none);
    }
}

static void test_batch_norm(void **state)
{
    (void)state;
    check_batch("batch_norm", call_batch_norm);
}

static void test_batch_evaluate(void **state)
{
    (void)state;
    check_batch("batch_norm, evaluated", call_batch_evaluate);
}

static void test_batch_stages(void **state)
{
    (void)state;
    check_batch("batch_norm, in stages", call_batch_stages);
}

/* A part without samples: gradients are +0, and nothing else is written. */
static void test_no_samples(void **state)
{
    const struct tdbg_batch_norm norm = {.samples = 0, .channels = 3, .inner = 4, .eps = 1e-5f};
    const struct tdbg_backend *be = gpu_case_gpu;
    float *stats = gpu_place(be, NULL, 9 * sizeof(float));
    float *grad = gpu_place(be, NULL, 6 * sizeof(float));
    (void)state;
    be->batch_norm_forward(be->context, &norm, NULL, NULL, NULL, 0.1f, NULL, NULL, NULL, stats,
                           NULL);
    be->batch_norm_backward(be->context, &norm, NULL, NULL, stats, NULL, NULL, grad, grad + 3,
                            NULL);
    float *kept = gpu_bring(be, stats, 9 * sizeof(float));
    float *zero = gpu_bring(be, grad, 6 * sizeof(float));
    for (int i = 0; i < 9; i++)
        assert_int_equal(tdbg_float_bits(kept[i]), 0x5a5a5a5a);
    for (int i = 0; i < 6; i++)
        assert_int_equal(tdbg_float_bits(zero[i]), 0);
    free(kept);
    free(zero);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_norm),       cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_batch_evaluate), cmocka_unit_test(test_batch_stages),
        cmocka_unit_test(test_no_samples),
    };
    gpu_open_both(&gpu_case_cpu, &gpu_case_gpu);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const int failed = cmocka_run_group_tests_name("gpu-norms", tests, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu_case_gpu);
    tdbg_backend_cpu_destroy(gpu_case_cpu);
    return failed;
}
