/* The table of optimizers. See optimizer.h. */
#include "engine/optimizer.h"

#include <string.h>

#include "engine/optimizer_class.h"

static const struct tdbg_option common_options[] = {
    {"lr", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, NULL, TDBG_OPT_REQUIRED,
     "Learning rate before the schedule."},
    {"groups", TDBG_OPT_LIST, "", 0, 0, NULL, "()", 0,
     "What is different for some parameters; the first group that matches wins: "
     "{ match = [ \"*.bias\" ]; weight_decay = 0.0; }."},
};
static const struct tdbg_option_table common = TDBG_OPTION_TABLE(common_options);

static const struct tdbg_optimizer_class *const classes[] = {
    &tdbg_optimizer_sgd,      &tdbg_optimizer_adam,    &tdbg_optimizer_adamw,
    &tdbg_optimizer_adadelta, &tdbg_optimizer_adagrad, &tdbg_optimizer_rmsprop,
    &tdbg_optimizer_lion,
};
enum { N_CLASSES = sizeof classes / sizeof classes[0] };

static void copy_kinds(struct tdbg_kind *kinds)
{
    for (int i = 0; i < N_CLASSES; i++)
        kinds[i] = classes[i]->kind;
}

void tdbg_optimizer_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    int kind = tdbg_kind_check(config, group, "kind", kinds, N_CLASSES, &common, "optimizer");
    if (kind < 0)
        return;
    if (classes[kind]->check)
        classes[kind]->check(config, group);
    tdbg_optimizer_check_groups(config, tdbg_cfg_find(group, "groups"));
}

void tdbg_optimizer_print_options(FILE *out)
{
    struct tdbg_kind kinds[N_CLASSES];
    copy_kinds(kinds);
    tdbg_kind_print_options("optimizer", "kind", kinds, N_CLASSES, &common, out);
    tdbg_optimizer_print_group_options(out);
}

struct tdbg_optimizer tdbg_optimizer_read(const struct tdbg_cfg_node *group)
{
    struct tdbg_optimizer o = {.lr = tdbg_cfg_float(group, "lr"),
                               .weight_decay = tdbg_cfg_float(group, "weight_decay")};
    const char *kind = tdbg_cfg_string(group, "kind");
    for (int i = 0; i < N_CLASSES; i++) {
        if (strcmp(classes[i]->kind.name, kind) == 0)
            o.cls = classes[i];
    }
    o.cls->read(group, &o);
    return o;
}

const char *tdbg_optimizer_kind(const struct tdbg_optimizer *optimizer)
{
    return optimizer->cls->kind.name;
}

const char *tdbg_optimizer_state_name(const struct tdbg_optimizer *optimizer, int i)
{
    return optimizer->state_name[i];
}

float tdbg_optimizer_state_initial(const struct tdbg_optimizer *optimizer, int i)
{
    return i == 0 ? (float)optimizer->initial : 0;
}

void tdbg_optimizer_check_betas(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    const struct tdbg_cfg_node *betas = tdbg_cfg_find(group, "betas");
    if (betas && betas->type == TDBG_CFG_LIST && betas->n_child != 2)
        tdbg_config_report(config, betas, "for example: betas = [0.9, 0.999];",
                           "'optimizer.betas' wants two numbers, not %d", betas->n_child);
}

void tdbg_optimizer_read_betas(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out)
{
    const struct tdbg_cfg_node *betas = tdbg_cfg_find(group, "betas");
    out->beta1 = betas->child[0]->f;
    out->beta2 = betas->child[1]->f;
}

void tdbg_optimizer_apply(const struct tdbg_optimizer *optimizer,
                          const struct tdbg_optimizer_group *group,
                          const struct tdbg_backend *backend, int64_t step, double lr,
                          const float *grad, float *param, float *const *state)
{
    const struct tdbg_optimizer_update update = {
        .backend = backend,
        .step = step,
        /* rounded once more, where it is scaled */
        .lr = (double)(float)(lr * group->setting.lr_scale),
        .weight_decay = group->setting.weight_decay,
        .ranges = &group->ranges,
        .grad = grad,
        .param = param,
        .state = state,
    };
    optimizer->cls->apply(optimizer, &update);
}
