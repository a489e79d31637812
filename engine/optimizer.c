/* SGD and AdamW as rows of one table. See optimizer.h. */
#include "engine/optimizer.h"

#include <math.h>
#include <string.h>

#include "engine/kind_table.h"
#include "kernels/host_math.h"

static const struct tdbg_option common_options[] = {
    {"lr", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, NULL, TDBG_OPT_REQUIRED,
     "Learning rate before the schedule."},
};
static const struct tdbg_option sgd_options[] = {
    {"momentum", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.0", 0,
     "Share of the last update that goes on."},
    {"nesterov", TDBG_OPT_BOOL, "", 0, 0, NULL, "false", 0,
     "Look ahead along the momentum (wants momentum > 0)."},
    {"weight_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "L2 penalty: weight_decay * parameter is added to the gradient."},
};
static const struct tdbg_option adamw_options[] = {
    {"betas", TDBG_OPT_FLOATS, "", 0, 0.99999999, NULL, "[0.9, 0.999]", 0,
     "Decay of the averages of the gradient and of its square."},
    {"eps", TDBG_OPT_FLOAT, "", 0, 1, NULL, "1e-8", TDBG_OPT_ABOVE_MIN,
     "Added to the denominator."},
    {"weight_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.01", 0,
     "Decoupled decay: parameters shrink by lr * weight_decay per step."},
};

struct tdbg_optimizer_class {
    const char *state_names[TDBG_MAX_OPTIM_STATES];
    void (*read)(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out);
    void (*apply)(const struct tdbg_optimizer *o, const struct tdbg_backend *backend, int64_t step,
                  double lr, int64_t n, const float *grad, float *param, float *const *state);
};

static void read_sgd(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    out->momentum = tdbg_cfg_float(group, "momentum");
    out->nesterov = tdbg_cfg_bool(group, "nesterov");
    out->n_states = out->momentum != 0 ? 1 : 0;
}

static void apply_sgd(const struct tdbg_optimizer *o, const struct tdbg_backend *backend,
                      int64_t step, double lr, int64_t n, const float *grad, float *param,
                      float *const *state)
{
    (void)step;
    const struct tdbg_sgd args = {.lr = (float)lr,
                                  .momentum = (float)o->momentum,
                                  .weight_decay = (float)o->weight_decay,
                                  .nesterov = o->nesterov};
    backend->sgd(backend->context, n, &args, grad, param, o->n_states ? state[0] : NULL);
}

static void read_adamw(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    const struct tdbg_cfg_node *betas = tdbg_cfg_find(group, "betas");
    out->beta1 = betas->child[0]->f;
    out->beta2 = betas->child[1]->f;
    out->eps = tdbg_cfg_float(group, "eps");
    out->n_states = 2;
}

static void apply_adamw(const struct tdbg_optimizer *o, const struct tdbg_backend *backend,
                        int64_t step, double lr, int64_t n, const float *grad, float *param,
                        float *const *state)
{
    double bias1 = 1 - tdbg_host_pow_int(o->beta1, step + 1);
    double bias2 = 1 - tdbg_host_pow_int(o->beta2, step + 1);
    const struct tdbg_adamw args = {
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .eps = (float)o->eps,
        .one_minus_beta1 = (float)(1 - o->beta1),
        .one_minus_beta2 = (float)(1 - o->beta2),
        .decay = (float)(1 - lr * o->weight_decay),
        .step_size = (float)(lr / bias1),
        .bias2_sqrt = (float)sqrt(bias2),
    };
    backend->adamw(backend->context, n, &args, grad, param, state[0], state[1]);
}

enum { KIND_SGD, KIND_ADAMW, N_KINDS };
static const struct tdbg_kind kinds[N_KINDS] = {
    [KIND_SGD] = {"sgd", {sgd_options, sizeof sgd_options / sizeof sgd_options[0]}},
    [KIND_ADAMW] = {"adamw", {adamw_options, sizeof adamw_options / sizeof adamw_options[0]}},
};
static const struct tdbg_optimizer_class classes[N_KINDS] = {
    [KIND_SGD] = {{"momentum_buffer"}, read_sgd, apply_sgd},
    [KIND_ADAMW] = {{"exp_avg", "exp_avg_sq"}, read_adamw, apply_adamw},
};
static const struct tdbg_option_table common = {common_options, 1};

void tdbg_optimizer_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    int kind = tdbg_kind_check(config, group, "kind", kinds, N_KINDS, &common, "optimizer");
    if (kind == KIND_ADAMW) {
        const struct tdbg_cfg_node *betas = tdbg_cfg_find(group, "betas");
        if (betas && betas->type == TDBG_CFG_LIST && betas->n_child != 2)
            tdbg_config_report(config, betas, "for example: betas = [0.9, 0.999];",
                               "'optimizer.betas' wants two numbers, not %d", betas->n_child);
    } else if (kind == KIND_SGD) {
        const struct tdbg_cfg_node *momentum = tdbg_cfg_find(group, "momentum");
        const struct tdbg_cfg_node *nesterov = tdbg_cfg_find(group, "nesterov");
        if (nesterov && nesterov->type == TDBG_CFG_BOOL && nesterov->i && momentum &&
            momentum->f == 0)
            tdbg_config_report(config, nesterov, "add momentum = 0.9;",
                               "'optimizer.nesterov' wants a momentum above 0");
    }
}

void tdbg_optimizer_print_options(FILE *out)
{
    tdbg_kind_print_options("optimizer", "kind", kinds, N_KINDS, &common, out);
}

struct tdbg_optimizer tdbg_optimizer_read(const struct tdbg_cfg_node *group)
{
    int kind = strcmp(tdbg_cfg_string(group, "kind"), "sgd") == 0 ? KIND_SGD : KIND_ADAMW;
    struct tdbg_optimizer o = {.cls = &classes[kind],
                               .lr = tdbg_cfg_float(group, "lr"),
                               .weight_decay = tdbg_cfg_float(group, "weight_decay")};
    o.cls->read(group, &o);
    return o;
}

const char *tdbg_optimizer_kind(const struct tdbg_optimizer *optimizer)
{
    return kinds[optimizer->cls - classes].name;
}

const char *tdbg_optimizer_state_name(const struct tdbg_optimizer *optimizer, int i)
{
    return optimizer->cls->state_names[i];
}

void tdbg_optimizer_apply(const struct tdbg_optimizer *optimizer,
                          const struct tdbg_backend *backend, int64_t step, double lr, int64_t n,
                          const float *grad, float *param, float *const *state)
{
    optimizer->cls->apply(optimizer, backend, step, lr, n, grad, param, state);
}
