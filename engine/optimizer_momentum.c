/* Optimizers that follow a running direction: SGD and Lion. Formulas: kernels/sgd.h, lion.h. */
#include "engine/optimizer_class.h"

static const struct tdbg_option sgd_options[] = {
    {"momentum", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.0", 0,
     "Share of the last update that goes on."},
    {"nesterov", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0,
     "Look ahead along the momentum (wants momentum > 0)."},
    TDBG_L2_OPTION,
};

static void check_sgd(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    const struct tdbg_cfg_node *momentum = tdbg_cfg_find(group, "momentum");
    const struct tdbg_cfg_node *nesterov = tdbg_cfg_find(group, "nesterov");
    if (nesterov && nesterov->type == TDBG_CFG_BOOL && nesterov->i && momentum && momentum->f == 0)
        tdbg_config_report(config, nesterov, "add momentum = 0.9;",
                           "'optimizer.nesterov' wants a momentum above 0");
}

static void read_sgd(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    out->momentum = tdbg_cfg_float(group, "momentum");
    out->nesterov = tdbg_cfg_bool(group, "nesterov");
    out->n_states = out->momentum != 0 ? 1 : 0;
    out->state_name[0] = "momentum_buffer";
}

static void apply_sgd(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const struct tdbg_sgd args = {.lr = (float)u->lr,
                                  .momentum = (float)o->momentum,
                                  .weight_decay = (float)u->weight_decay,
                                  .nesterov = o->nesterov};
    u->backend->sgd(u->backend->context, u->ranges, &args, u->grad, u->param,
                    o->n_states ? u->state[0] : NULL);
}

const struct tdbg_optimizer_class tdbg_optimizer_sgd = {
    .kind = {"sgd", TDBG_OPTION_TABLE(sgd_options)},
    .check = check_sgd,
    .read = read_sgd,
    .apply = apply_sgd,
};

static const struct tdbg_option lion_options[] = {
    TDBG_BETAS_OPTION("[0.9, 0.99]", "Weight of the average in the update, and its decay."),
    {"weight_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Decoupled decay: parameters shrink by lr * weight_decay per step."},
};

static void read_lion(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    tdbg_optimizer_read_betas(group, out);
    out->n_states = 1;
    out->state_name[0] = "exp_avg";
}

static void apply_lion(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u)
{
    const struct tdbg_lion args = {
        .lr = (float)u->lr,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .one_minus_beta1 = (float)(1 - o->beta1),
        .one_minus_beta2 = (float)(1 - o->beta2),
        .decay = (float)(1 - u->lr * u->weight_decay),
    };
    u->backend->lion(u->backend->context, u->ranges, &args, u->grad, u->param, u->state[0]);
}

const struct tdbg_optimizer_class tdbg_optimizer_lion = {
    .kind = {"lion", TDBG_OPTION_TABLE(lion_options)},
    .check = tdbg_optimizer_check_betas,
    .read = read_lion,
    .apply = apply_lion,
};
