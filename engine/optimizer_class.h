/* What a kind of optimizer is, for optimizer.c's table. Only engine/optimizer*.c include this. */
#ifndef TDBG_ENGINE_OPTIMIZER_CLASS_H
#define TDBG_ENGINE_OPTIMIZER_CLASS_H

#include "engine/kind_table.h"
#include "engine/optimizer.h"

/* One update of parameters that share a setting; weight_decay and lr are theirs, lr an f32 value.
 * Buffers are flat. */
struct tdbg_optimizer_update {
    const struct tdbg_backend *backend;
    int64_t step; /* from 0 */
    double lr, weight_decay;
    const struct tdbg_ranges *ranges;
    const float *grad;
    float *param;
    float *const *state;
};

struct tdbg_optimizer_class {
    struct tdbg_kind kind;
    /* Checks what the option table cannot; NULL: nothing. */
    void (*check)(struct tdbg_config *config, const struct tdbg_cfg_node *group);
    void (*read)(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out);
    void (*apply)(const struct tdbg_optimizer *o, const struct tdbg_optimizer_update *u);
};

extern const struct tdbg_optimizer_class tdbg_optimizer_sgd, tdbg_optimizer_adam,
    tdbg_optimizer_adamw, tdbg_optimizer_adadelta, tdbg_optimizer_adagrad, tdbg_optimizer_rmsprop,
    tdbg_optimizer_lion;

/* For kinds with `betas`: checks that there are two, and reads them. */
void tdbg_optimizer_check_betas(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_optimizer_read_betas(const struct tdbg_cfg_node *group, struct tdbg_optimizer *out);

#define TDBG_BETAS_OPTION(value, text)                                                             \
    {                                                                                              \
        "betas", TDBG_OPT_FLOATS, "", 0, 0.99999999, NULL, value, 0, text                          \
    }
#define TDBG_EPS_OPTION(value)                                                                     \
    {                                                                                              \
        "eps", TDBG_OPT_FLOAT, "", 0, 1, NULL, value, TDBG_OPT_ABOVE_MIN,                          \
            "Added to the denominator."                                                            \
    }
#define TDBG_L2_OPTION                                                                             \
    {                                                                                              \
        "weight_decay", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,                               \
            "L2 penalty: weight_decay * parameter is added to the gradient."                       \
    }
#define TDBG_OPTION_TABLE(list)                                                                    \
    {                                                                                              \
        list, (int)(sizeof list / sizeof list[0])                                                  \
    }

/* Checks the items of optimizer.groups. */
void tdbg_optimizer_check_groups(struct tdbg_config *config, const struct tdbg_cfg_node *list);
void tdbg_optimizer_print_group_options(FILE *out);

#endif
