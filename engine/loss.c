/* The table of losses, and what is common to them. See loss.h. */
#include "engine/loss.h"

#include <stdlib.h>
#include <string.h>

#include "engine/loss_class.h"
#include "kernels/reduce.h"

static const struct tdbg_option common_options[] = {
    {"reduction", TDBG_OPT_ENUM, "", 0, 0, "mean|sum", "\"mean\"", 0,
     "How the losses of a batch become one number; the gradient has the same divisor."},
};
static const struct tdbg_option_table common = {common_options, 1};

static const struct tdbg_loss_class *const classes[] = {
    &tdbg_loss_cross_entropy, &tdbg_loss_bce, &tdbg_loss_mse, &tdbg_loss_l1, &tdbg_loss_smooth_l1,
};
enum { N_CLASSES = sizeof classes / sizeof classes[0] };

static void copy_kinds(struct tdbg_kind *kinds)
{
    for (int i = 0; i < N_CLASSES; i++)
        kinds[i] = classes[i]->kind;
}

void tdbg_loss_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    tdbg_kind_check_or(config, group, "kind", 0, kinds, N_CLASSES, &common, "loss");
}

void tdbg_loss_print_options(FILE *out)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    tdbg_kind_print_options("loss", "kind", kinds, N_CLASSES, &common, out);
}

struct tdbg_loss tdbg_loss_read(const struct tdbg_cfg_node *group)
{
    struct tdbg_loss loss = {
        .cfg = group,
        .mean = strcmp(tdbg_cfg_string(group, "reduction"), "mean") == 0,
        .ignore_index = INT32_MIN,
    };
    const char *kind = tdbg_cfg_string(group, "kind");
    for (int i = 0; i < N_CLASSES; i++) {
        if (strcmp(classes[i]->kind.name, kind) == 0)
            loss.cls = classes[i];
    }
    if (loss.cls->read)
        loss.cls->read(group, &loss);
    return loss;
}

const char *tdbg_loss_kind(const struct tdbg_loss *loss)
{
    return loss->cls->kind.name;
}

const char *tdbg_loss_unit(const struct tdbg_loss *loss)
{
    return loss->cls->unit;
}

bool tdbg_loss_is_narrow(const struct tdbg_loss *loss)
{
    return loss->cls->is_narrow;
}

bool tdbg_loss_takes_stride(const struct tdbg_loss *loss, const struct tdbg_backend *backend)
{
    return loss->cls->takes_stride && loss->cls->takes_stride(loss, backend);
}

bool tdbg_loss_takes_classes(const struct tdbg_loss *loss)
{
    return loss->cls->takes_classes;
}

bool tdbg_loss_has_accuracy(const struct tdbg_loss *loss)
{
    return loss->cls->has_accuracy;
}

static bool set_class_shape(struct tdbg_config *config, struct tdbg_loss *loss,
                            const struct tdbg_cfg_node *at, const char *op_name,
                            const struct tdbg_shape *output,
                            const struct tdbg_data_shape data[TDBG_SET_COUNT])
{
    char text[128];
    const struct tdbg_data_shape *train = &data[TDBG_SET_TRAIN], *eval = &data[TDBG_SET_EVAL];
    const int64_t need = train->classes > eval->classes ? train->classes : eval->classes;
    const int32_t last = output->ndim - 1;
    bool fits = last >= 0 && last == train->y_ndim && output->dims[last] >= need;
    for (int32_t d = 0; fits && d < last; d++)
        fits = output->dims[d] == train->y_dims[d];
    if (!fits) {
        tdbg_config_report(config, at, NULL,
                           "the last op '%s' gives %s, but cross_entropy over these labels wants "
                           "one row%s of at least %lld logits",
                           op_name, tdbg_shape_text(output, text, sizeof text),
                           train->y_ndim > 0 ? " per token" : "", (long long)need);
        return false;
    }
    loss->classes = output->dims[last];
    loss->targets = tdbg_data_y_elems(train);
    if (loss->weights && loss->weights->n_child != loss->classes) {
        tdbg_config_report(config, loss->weights, NULL,
                           "'loss.class_weights' has %d weights, but the model gives %lld logits",
                           loss->weights->n_child, (long long)loss->classes);
        return false;
    }
    return true;
}

bool tdbg_loss_set_shape(struct tdbg_config *config, struct tdbg_loss *loss,
                         const struct tdbg_cfg_node *at, const char *op_name,
                         const struct tdbg_shape *output,
                         const struct tdbg_data_shape data[TDBG_SET_COUNT])
{
    char text[128];
    const struct tdbg_data_shape *train = &data[TDBG_SET_TRAIN];
    if (loss->cls->takes_classes && train->y_dtype != TDBG_DTYPE_I64) {
        tdbg_config_report(config, loss->cfg, "for example: loss = { kind = \"mse\"; };",
                           "loss %s wants class indices, but the targets are values",
                           tdbg_loss_kind(loss));
        return false;
    }
    if (loss->cls->takes_classes)
        return set_class_shape(config, loss, at, op_name, output, data);
    loss->targets = tdbg_data_y_elems(train);
    if (loss->targets == tdbg_shape_elems(output))
        return true;
    tdbg_config_report(config, at, NULL,
                       "the last op '%s' gives %s, but loss %s has %lld target value%s per sample",
                       op_name, tdbg_shape_text(output, text, sizeof text), tdbg_loss_kind(loss),
                       (long long)loss->targets, loss->targets == 1 ? "" : "s");
    return false;
}

int64_t tdbg_loss_n_weights(const struct tdbg_loss *loss)
{
    return loss->weights ? loss->weights->n_child : 0;
}

enum tdbg_status tdbg_loss_place_weights(struct tdbg_loss *loss, const struct tdbg_backend *backend,
                                         float *device, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t n = (size_t)tdbg_loss_n_weights(loss);
    float *host = malloc(n * sizeof *host + 1);
    TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for class weights");
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        host[i] = (float)loss->weights->child[i]->f;
        sum += (double)host[i];
    }
    TDBG_TRY(backend->to_device(backend->context, device, host, n * sizeof *host, err));
    loss->device_weights = n > 0 ? device : NULL;
    loss->weight_sum = (float)sum;
out:
    free(host);
    return st;
}

bool tdbg_loss_class_is_valid(const struct tdbg_loss *loss, int64_t target)
{
    return (target >= 0 && target < loss->classes) ||
           (loss->has_ignore_index && target == loss->ignore_index);
}

bool tdbg_loss_value_is_valid(const struct tdbg_loss *loss, double target)
{
    return !loss->cls->value_is_valid || loss->cls->value_is_valid(target);
}

int64_t tdbg_loss_workspace_elems(const struct tdbg_loss *loss, int64_t rows)
{
    if (!loss->cls->takes_classes)
        return 0;
    const int64_t n = rows * loss->targets;
    return n + tdbg_reduce_scratch_elems(n);
}

void tdbg_loss_forward(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                       int64_t rows, const float *output, const void *targets, float *loss_sample,
                       float *workspace)
{
    loss->cls->forward(loss, backend, rows, output, targets, loss_sample, workspace);
}

void tdbg_loss_backward(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                        int64_t rows, const float *output, const void *targets, float *doutput)
{
    loss->cls->backward(loss, backend, rows, output, targets, doutput);
}

bool tdbg_loss_divisor_varies(const struct tdbg_loss *loss)
{
    return loss->mean && (loss->has_ignore_index || loss->weights);
}

float tdbg_loss_fixed_divisor(const struct tdbg_loss *loss, int64_t samples)
{
    return loss->mean ? (float)(samples * loss->targets) : 1.0f;
}

void tdbg_loss_weigh_targets(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                             int64_t rows, const void *targets, float *weights)
{
    backend->target_weights(backend->context, rows * loss->targets, targets, loss->ignore_index,
                            loss->device_weights, weights);
}

void tdbg_loss_divisor_share(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                             int64_t rows, float *share, float *weights)
{
    const int64_t n = rows * loss->targets;
    backend->reduce_sum(backend->context, n, weights, share, weights + n);
}

int64_t tdbg_loss_count_correct(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                                int64_t rows, const float *output, const void *targets)
{
    if (!loss->cls->count_correct)
        return 0;
    return loss->cls->count_correct(loss, backend, rows, output, targets);
}
