/* What is minimised. A loss compares the model's output with targets, sample by sample: forward
 * gives one loss per sample, backward the gradient of their sum. The divisor of a mean is applied
 * once, after everything is folded (docs/numerics.md, section 3).
 *
 * loss.c holds the table; loss_cross_entropy.c, loss_pointwise.c and loss_bce.c the kinds. */
#ifndef TDBG_ENGINE_LOSS_H
#define TDBG_ENGINE_LOSS_H

#include "base/config.h"
#include "engine/backend.h"
#include "engine/shape.h"
#include "engine/source.h"

void tdbg_loss_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_loss_print_options(FILE *out);

struct tdbg_loss {
    const struct tdbg_loss_class *cls;
    const struct tdbg_cfg_node *cfg;
    bool mean; /* false: the divisor is 1 */
    /* cross_entropy */
    double label_smoothing;
    bool has_ignore_index;
    int32_t ignore_index;                /* a value that no target has, where none is given */
    const struct tdbg_cfg_node *weights; /* class_weights, or NULL */
    const float *device_weights;         /* (classes), set by tdbg_loss_place_weights */
    float weight_sum;                    /* of all classes, if device_weights */
    float beta;                          /* smooth_l1 */
    /* From the model's output: */
    int64_t classes; /* logits per target; 0 where targets are values */
    int64_t stride;  /* elements from one target's logits to the next one's: 0, classes; the engine
                        sets another one where tdbg_loss_takes_stride() */
    int64_t targets; /* per sample: 1, tokens, or the elements of the output */
};

/* Reads a checked group. */
struct tdbg_loss tdbg_loss_read(const struct tdbg_cfg_node *group);

const char *tdbg_loss_kind(const struct tdbg_loss *loss);
const char *tdbg_loss_unit(const struct tdbg_loss *loss); /* "nat" or "" */

/* Can the model's output be bf16 in memory, with a backend that has such? */
bool tdbg_loss_is_narrow(const struct tdbg_loss *loss);

/* Can rows of logits be apart with this backend? */
bool tdbg_loss_takes_stride(const struct tdbg_loss *loss, const struct tdbg_backend *backend);

/* Are targets class indices (i32, (rows, targets))? Else they are values (f32, (rows, targets)). */
bool tdbg_loss_takes_classes(const struct tdbg_loss *loss);

/* Can answers be right or wrong? Only then is there an accuracy. */
bool tdbg_loss_has_accuracy(const struct tdbg_loss *loss);

/* Fits the loss to the output of the model's last op and the targets of the data (both sets):
 * cross_entropy over class indices, one per sample or one per token, wants (classes) or (tokens,
 * classes) with at least as many classes as the data has; the others want one value per element of
 * the output. Class indices serve as values where there is one per sample. False after a diagnostic
 * at `at`. */
bool tdbg_loss_set_shape(struct tdbg_config *config, struct tdbg_loss *loss,
                         const struct tdbg_cfg_node *at, const char *op_name,
                         const struct tdbg_shape *output,
                         const struct tdbg_data_shape data[TDBG_SET_COUNT]);

/* class_weights: how many there are, and their upload to device (n) floats, which the caller owns.
 */
int64_t tdbg_loss_n_weights(const struct tdbg_loss *loss);
enum tdbg_status tdbg_loss_place_weights(struct tdbg_loss *loss, const struct tdbg_backend *backend,
                                         float *device, struct tdbg_err *err);

/* Is a target one that the loss can take? Class indices have to be below classes or ignore_index,
 * targets of bce in [0, 1]. */
bool tdbg_loss_class_is_valid(const struct tdbg_loss *loss, int64_t target);
bool tdbg_loss_value_is_valid(const struct tdbg_loss *loss, double target);

/* Floats of workspace for all functions below. */
int64_t tdbg_loss_workspace_elems(const struct tdbg_loss *loss, int64_t rows);

/* loss_sample (rows): a sample's loss is the strict sum over its targets. output (rows, output
 * shape); targets (rows, targets), i32 or f32. */
void tdbg_loss_forward(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                       int64_t rows, const float *output, const void *targets, float *loss_sample,
                       float *workspace);

/* doutput (rows, output shape), overwritten: the gradient of the sum of the losses. */
void tdbg_loss_backward(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                        int64_t rows, const float *output, const void *targets, float *doutput);

/* The divisor of a mean: the number of targets that count, or the sum of their class weights. Where
 * it hangs on the targets' values (ignore_index, class_weights), each part's share is folded beside
 * the losses; else it is a function of the batch alone. */
bool tdbg_loss_divisor_varies(const struct tdbg_loss *loss);
float tdbg_loss_fixed_divisor(const struct tdbg_loss *loss, int64_t samples);

/* What each of the part's targets counts: weights (rows, targets), on the device: 1 or the class's
 * weight, +0 for ignored ones. */
void tdbg_loss_weigh_targets(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                             int64_t rows, const void *targets, float *weights);

/* share (1), on the device: their strict sum over the part. weights: the loss's workspace, with
 * those of the part's targets in front. */
void tdbg_loss_divisor_share(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                             int64_t rows, float *share, float *weights);

/* Right answers among the targets of the rows; 0 without an accuracy. */
int64_t tdbg_loss_count_correct(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                                int64_t rows, const float *output, const void *targets);

#endif
