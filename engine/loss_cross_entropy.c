/* Softmax cross-entropy over class indices, one per sample or one per token. Formulas:
 * kernels/cross_entropy.h. */
#include "engine/loss_class.h"

static const struct tdbg_option options[] = {
    {"label_smoothing", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.0", 0,
     "Share of every target that is spread over all classes."},
    {"ignore_index", TDBG_OPT_INT, "", -2147483647.0, 2147483647.0, NULL, NULL, 0,
     "Targets of this value count neither in the loss nor in the divisor; default: none."},
    {"class_weights", TDBG_OPT_FLOATS, "", 0, 1e30, NULL, "[]", 0,
     "Weight of every class, in order; []: all 1."},
};

static void read_keys(const struct tdbg_cfg_node *group, struct tdbg_loss *out)
{
    const struct tdbg_cfg_node *ignore = tdbg_cfg_find(group, "ignore_index");
    const struct tdbg_cfg_node *weights = tdbg_cfg_find(group, "class_weights");
    out->label_smoothing = tdbg_cfg_float(group, "label_smoothing");
    out->has_ignore_index = ignore != NULL;
    out->ignore_index = ignore ? (int32_t)ignore->i : INT32_MIN;
    out->weights = weights->n_child > 0 ? weights : NULL;
}

/* Plain cross-entropy has kernels of its own, which need fewer passes. */
static bool is_plain(const struct tdbg_loss *loss)
{
    return loss->label_smoothing == 0 && !loss->weights;
}

/* ... and more of them where the backend has fast ones. */
static bool takes_stride(const struct tdbg_loss *loss, const struct tdbg_backend *be)
{
    return is_plain(loss) && be->fast_cross_entropy_forward;
}

static struct tdbg_logits logits_of(const struct tdbg_loss *loss, int64_t rows, const float *output,
                                    const void *targets)
{
    return (struct tdbg_logits){rows * loss->targets,
                                loss->classes,
                                loss->stride > 0 ? loss->stride : loss->classes,
                                output,
                                targets,
                                loss->ignore_index};
}

static struct tdbg_cross_entropy weighted(const struct tdbg_loss *loss)
{
    return (struct tdbg_cross_entropy){
        .weights = loss->device_weights,
        .keep = (float)(1 - loss->label_smoothing),
        .share = (float)(loss->label_smoothing / (double)loss->classes),
        .weight_sum = loss->device_weights ? loss->weight_sum : (float)loss->classes,
    };
}

static void forward(const struct tdbg_loss *loss, const struct tdbg_backend *be, int64_t rows,
                    const float *output, const void *targets, float *loss_sample, float *workspace)
{
    const int64_t n = rows * loss->targets;
    float *each = loss->targets == 1 ? loss_sample : workspace;
    const struct tdbg_cross_entropy how = weighted(loss);
    const struct tdbg_logits logits = logits_of(loss, rows, output, targets);
    if (takes_stride(loss, be))
        be->fast_cross_entropy_forward(be->context, &logits, each);
    else if (is_plain(loss))
        be->cross_entropy_forward(be->context, n, loss->classes, output, targets,
                                  loss->ignore_index, each);
    else
        be->cross_entropy_weighted_forward(be->context, &how, n, loss->classes, output, targets,
                                           loss->ignore_index, each);
    if (each != loss_sample)
        be->sum_rows(be->context, rows, loss->targets, each, loss_sample);
}

static void backward(const struct tdbg_loss *loss, const struct tdbg_backend *be, int64_t rows,
                     const float *output, const void *targets, float *doutput)
{
    const int64_t n = rows * loss->targets;
    const struct tdbg_cross_entropy how = weighted(loss);
    const struct tdbg_logits logits = logits_of(loss, rows, output, targets);
    if (takes_stride(loss, be))
        be->fast_cross_entropy_backward(be->context, &logits, doutput);
    else if (is_plain(loss))
        be->cross_entropy_backward(be->context, n, loss->classes, output, targets,
                                   loss->ignore_index, doutput);
    else
        be->cross_entropy_weighted_backward(be->context, &how, n, loss->classes, output, targets,
                                            loss->ignore_index, doutput);
}

static int64_t count_correct(const struct tdbg_loss *loss, const struct tdbg_backend *be,
                             int64_t rows, const float *output, const void *targets)
{
    const struct tdbg_logits logits = logits_of(loss, rows, output, targets);
    if (takes_stride(loss, be))
        return be->fast_count_correct(be->context, &logits);
    return be->count_correct(be->context, rows * loss->targets, loss->classes, output, targets,
                             loss->ignore_index);
}

const struct tdbg_loss_class tdbg_loss_cross_entropy = {
    .kind = {"cross_entropy", {options, (int)(sizeof options / sizeof options[0])}},
    .unit = "nat",
    .takes_classes = true,
    .has_accuracy = true,
    .is_narrow = true,
    .takes_stride = takes_stride,
    .read = read_keys,
    .forward = forward,
    .backward = backward,
    .count_correct = count_correct,
};
