/* Binary cross-entropy of logits. Formula: kernels/pointwise_loss.h. */
#include "engine/loss_class.h"

static bool is_share(double target)
{
    return target >= 0 && target <= 1;
}

static void forward(const struct tdbg_loss *loss, const struct tdbg_backend *be, int64_t rows,
                    const float *output, const void *targets, float *loss_sample, float *workspace)
{
    (void)workspace;
    be->pointwise_loss_forward(be->context, TDBG_POINTWISE_BCE, 0, rows, loss->targets, output,
                               targets, loss_sample);
}

static void backward(const struct tdbg_loss *loss, const struct tdbg_backend *be, int64_t rows,
                     const float *output, const void *targets, float *doutput)
{
    be->pointwise_loss_backward(be->context, TDBG_POINTWISE_BCE, 0, rows * loss->targets, output,
                                targets, doutput);
}

static int64_t count_correct(const struct tdbg_loss *loss, const struct tdbg_backend *be,
                             int64_t rows, const float *output, const void *targets)
{
    return be->pointwise_count_correct(be->context, rows * loss->targets, output, targets);
}

const struct tdbg_loss_class tdbg_loss_bce = {
    .kind = {"bce", {NULL, 0}},
    .unit = "nat",
    .has_accuracy = true,
    .value_is_valid = is_share,
    .forward = forward,
    .backward = backward,
    .count_correct = count_correct,
};
