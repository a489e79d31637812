/* Losses of values against values: mse, l1, smooth_l1. Formulas: kernels/pointwise_loss.h. */
#include "engine/loss_class.h"

static void mse_forward(const struct tdbg_loss *loss, const struct tdbg_backend *be, int64_t rows,
                        const float *output, const void *targets, float *loss_sample,
                        float *workspace)
{
    (void)workspace;
    be->pointwise_loss_forward(be->context, TDBG_POINTWISE_MSE, 0, rows, loss->targets, output,
                               targets, loss_sample);
}

static void mse_backward(const struct tdbg_loss *loss, const struct tdbg_backend *be, int64_t rows,
                         const float *output, const void *targets, float *doutput)
{
    be->pointwise_loss_backward(be->context, TDBG_POINTWISE_MSE, 0, rows * loss->targets, output,
                                targets, doutput);
}

/* smooth_l1 with beta 0 is l1. */
static void smooth_forward(const struct tdbg_loss *loss, const struct tdbg_backend *be,
                           int64_t rows, const float *output, const void *targets,
                           float *loss_sample, float *workspace)
{
    (void)workspace;
    be->pointwise_loss_forward(be->context, TDBG_POINTWISE_SMOOTH_L1, loss->beta, rows,
                               loss->targets, output, targets, loss_sample);
}

static void smooth_backward(const struct tdbg_loss *loss, const struct tdbg_backend *be,
                            int64_t rows, const float *output, const void *targets, float *doutput)
{
    be->pointwise_loss_backward(be->context, TDBG_POINTWISE_SMOOTH_L1, loss->beta,
                                rows * loss->targets, output, targets, doutput);
}

static const struct tdbg_option smooth_l1_options[] = {
    {"beta", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "1.0", 0,
     "Differences below it count squared, those above it linearly."},
};

static void read_smooth_l1(const struct tdbg_cfg_node *group, struct tdbg_loss *out)
{
    out->beta = (float)tdbg_cfg_float(group, "beta");
}

const struct tdbg_loss_class tdbg_loss_mse = {
    .kind = {"mse", {NULL, 0}},
    .unit = "",
    .forward = mse_forward,
    .backward = mse_backward,
};
const struct tdbg_loss_class tdbg_loss_l1 = {
    .kind = {"l1", {NULL, 0}},
    .unit = "",
    .forward = smooth_forward,
    .backward = smooth_backward,
};
const struct tdbg_loss_class tdbg_loss_smooth_l1 = {
    .kind = {"smooth_l1", {smooth_l1_options, 1}},
    .unit = "",
    .read = read_smooth_l1,
    .forward = smooth_forward,
    .backward = smooth_backward,
};
