/* Optimizers that scale each element by what its gradients were: Adam, AdamW, Adadelta, Adagrad,
 * RMSprop. Formulas: the headers of these names in kernels/. */
#include "engine/optimizer_class.h"

#include <math.h>

#include "kernels/host_math.h"

#define BETAS                                                                                      \
    TDBG_BETAS_OPTION("[0.9, 0.999]", "Decay of the averages of the gradient and of its square.")

static const struct tdbg_option adam_options[] = {
    BETAS,
    TDBG_EPS_OPTION("1e-8"),
    TDBG_L2_OPTION,
};
static const struct tdbg_option adamw_options[] = {
    BETAS,
    TDBG_EPS_OPTION("1e-8"),
    {"weight_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.01", 0,
     "Decoupled decay: parameters shrink by lr * weight_decay per step."},
};
static const struct tdbg_option adadelta_options[] = {
    {"rho", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.9", 0,
     "Decay of the averages of squared gradients and updates."},
    TDBG_EPS_OPTION("1e-6"),
    TDBG_L2_OPTION,
};
static const struct tdbg_option adagrad_options[] = {
    {"lr_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Step t (from 0) has the learning rate lr / (1 + t * lr_decay)."},
    {"initial_accumulator_value", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Sum of squared gradients before the first step."},
    TDBG_EPS_OPTION("1e-10"),
    TDBG_L2_OPTION,
};
static const struct tdbg_option rmsprop_options[] = {
    {"alpha", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.99", 0, "Decay of the average of the square."},
    {"momentum", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.0", 0,
     "Share of the last update that goes on."},
    {"centered", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0,
     "Scale by an estimate of the variance instead of the square."},
    TDBG_EPS_OPTION("1e-8"),
    TDBG_L2_OPTION,
};

static void read_adam(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    tdbg_optimizer_read_betas(group, out);
    out->eps = tdbg_cfg_float(group, "eps");
    out->n_states = 2;
    out->state_name[0] = "exp_avg";
    out->state_name[1] = "exp_avg_sq";
}

static void apply_adam(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const double bias1 = 1 - tdbg_host_pow_int(o->beta1, u->step + 1);
    const double bias2 = 1 - tdbg_host_pow_int(o->beta2, u->step + 1);
    const struct tdbg_adam args = {
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .eps = (float)o->eps,
        .one_minus_beta1 = (float)(1 - o->beta1),
        .one_minus_beta2 = (float)(1 - o->beta2),
        .weight_decay = (float)u->weight_decay,
        .step_size = (float)(u->lr / bias1),
        .bias2_sqrt = (float)sqrt(bias2),
    };
    u->backend->adam(u->backend->context, u->ranges, &args, u->grad, u->param, u->state[0],
                     u->state[1]);
}

static void apply_adamw(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const double bias1 = 1 - tdbg_host_pow_int(o->beta1, u->step + 1);
    const double bias2 = 1 - tdbg_host_pow_int(o->beta2, u->step + 1);
    const struct tdbg_adamw args = {
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .eps = (float)o->eps,
        .one_minus_beta1 = (float)(1 - o->beta1),
        .one_minus_beta2 = (float)(1 - o->beta2),
        .decay = (float)(1 - u->lr * u->weight_decay),
        .step_size = (float)(u->lr / bias1),
        .bias2_sqrt = (float)sqrt(bias2),
    };
    u->backend->adamw(u->backend->context, u->ranges, &args, u->grad, u->param, u->state[0],
                      u->state[1]);
}

static void read_adadelta(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    out->rho = tdbg_cfg_float(group, "rho");
    out->eps = tdbg_cfg_float(group, "eps");
    out->n_states = 2;
    out->state_name[0] = "square_avg";
    out->state_name[1] = "acc_delta";
}

static void apply_adadelta(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const struct tdbg_adadelta args = {.lr = (float)u->lr,
                                       .rho = (float)o->rho,
                                       .eps = (float)o->eps,
                                       .weight_decay = (float)u->weight_decay,
                                       .one_minus_rho = (float)(1 - o->rho)};
    u->backend->adadelta(u->backend->context, u->ranges, &args, u->grad, u->param, u->state[0],
                         u->state[1]);
}

static void read_adagrad(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    out->lr_decay = tdbg_cfg_float(group, "lr_decay");
    out->initial = tdbg_cfg_float(group, "initial_accumulator_value");
    out->eps = tdbg_cfg_float(group, "eps");
    out->n_states = 1;
    out->state_name[0] = "sum";
}

static void apply_adagrad(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const struct tdbg_adagrad args = {
        .lr = (float)(u->lr / (1 + (double)u->step * o->lr_decay)),
        .eps = (float)o->eps,
        .weight_decay = (float)u->weight_decay,
    };
    u->backend->adagrad(u->backend->context, u->ranges, &args, u->grad, u->param, u->state[0]);
}

static void read_rmsprop(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    out->rho = tdbg_cfg_float(group, "alpha");
    out->momentum = tdbg_cfg_float(group, "momentum");
    out->centered = tdbg_cfg_bool(group, "centered");
    out->eps = tdbg_cfg_float(group, "eps");
    out->state_name[out->n_states++] = "square_avg";
    if (out->momentum != 0)
        out->state_name[out->n_states++] = "momentum_buffer";
    if (out->centered)
        out->state_name[out->n_states++] = "grad_avg";
}

static void apply_rmsprop(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const struct tdbg_rmsprop args = {.lr = (float)u->lr,
                                      .alpha = (float)o->rho,
                                      .eps = (float)o->eps,
                                      .weight_decay = (float)u->weight_decay,
                                      .momentum = (float)o->momentum,
                                      .one_minus_alpha = (float)(1 - o->rho),
                                      .centered = o->centered};
    const struct tdbg_rmsprop_state state = {
        .square_avg = u->state[0],
        .momentum_buffer = args.momentum != 0 ? u->state[1] : NULL,
        .grad_avg = o->centered ? u->state[o->n_states - 1] : NULL,
    };
    u->backend->rmsprop(u->backend->context, u->ranges, &args, u->grad, u->param, &state);
}

const struct tdbg_optimizer_class tdbg_optimizer_adam = {
    .kind = {"adam", TDBG_OPTION_TABLE(adam_options)},
    .check = tdbg_optimizer_check_betas,
    .read = read_adam,
    .apply = apply_adam,
};
const struct tdbg_optimizer_class tdbg_optimizer_adamw = {
    .kind = {"adamw", TDBG_OPTION_TABLE(adamw_options)},
    .check = tdbg_optimizer_check_betas,
    .read = read_adam,
    .apply = apply_adamw,
};
const struct tdbg_optimizer_class tdbg_optimizer_adadelta = {
    .kind = {"adadelta", TDBG_OPTION_TABLE(adadelta_options)},
    .read = read_adadelta,
    .apply = apply_adadelta,
};
const struct tdbg_optimizer_class tdbg_optimizer_adagrad = {
    .kind = {"adagrad", TDBG_OPTION_TABLE(adagrad_options)},
    .read = read_adagrad,
    .apply = apply_adagrad,
};
const struct tdbg_optimizer_class tdbg_optimizer_rmsprop = {
    .kind = {"rmsprop", TDBG_OPTION_TABLE(rmsprop_options)},
    .read = read_rmsprop,
    .apply = apply_rmsprop,
};
