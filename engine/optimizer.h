/* Optimizers: which state tensors a parameter has and how one step changes it; parameter groups.
 *
 * optimizer.c holds the table, optimizer_momentum.c and optimizer_adaptive.c the kinds,
 * optimizer_groups.c what is different for single parameters. */
#ifndef TDBG_ENGINE_OPTIMIZER_H
#define TDBG_ENGINE_OPTIMIZER_H

#include "base/config.h"
#include "engine/backend.h"

void tdbg_optimizer_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_optimizer_print_options(FILE *out);

enum { TDBG_MAX_OPTIM_STATES = 4 };

/* A checked optimizer group, read. What a kind does not have is 0. */
struct tdbg_optimizer {
    const struct tdbg_optimizer_class *cls;
    double lr, weight_decay;
    double momentum;          /* sgd, rmsprop */
    bool nesterov;            /* sgd */
    double beta1, beta2, eps; /* adam, adamw, lion; eps: all but sgd and lion */
    double rho;               /* adadelta; rmsprop calls it alpha */
    double lr_decay;          /* adagrad */
    bool centered;            /* rmsprop */
    double initial;           /* every element of state 0 before step 0 */
    int n_states;             /* state tensors per parameter, each of the parameter's shape */
    const char *state_name[TDBG_MAX_OPTIM_STATES];
};

struct tdbg_optimizer tdbg_optimizer_read(const struct tdbg_cfg_node *group);

const char *tdbg_optimizer_kind(const struct tdbg_optimizer *optimizer);

/* Name of state tensor i as PyTorch's state_dict spells it: "momentum_buffer", "exp_avg". */
const char *tdbg_optimizer_state_name(const struct tdbg_optimizer *optimizer, int i);

/* Value of every element of state i before step 0. */
float tdbg_optimizer_state_initial(const struct tdbg_optimizer *optimizer, int i);

/* What holds for one parameter. */
struct tdbg_param_setting {
    double weight_decay;
    double lr_scale;
    bool frozen; /* neither it nor its optimizer state changes; its gradient is not clipped */
};

/* The settings of n parameters, from optimizer.groups (the first group of which a pattern matches
 * wins) and the root's `freeze`. root is the checked config's root, out (n). Patterns that match no
 * parameter, and a model of which everything is frozen, become diagnostics. */
void tdbg_optimizer_resolve(struct tdbg_config *config, const struct tdbg_cfg_node *root,
                            const struct tdbg_optimizer *optimizer, const char *const *names,
                            int32_t n, struct tdbg_param_setting *out);

/* Parameters of one setting, which one call updates: see tdbg_optimizer_group(). */
struct tdbg_optimizer_group {
    struct tdbg_param_setting setting;
    struct tdbg_ranges ranges; /* in the flat buffers */
};

/* The n parameters whose settings and ranges are given (offset and elems are read), put together by
 * setting; frozen ones are in none. out (n): groups in the order of their first parameters, their
 * ranges in range (n), borrowed. Returns the number of groups. */
int32_t tdbg_optimizer_group(const struct tdbg_param_setting *settings,
                             const struct tdbg_range *params, int32_t n, struct tdbg_range *range,
                             struct tdbg_optimizer_group *out);

/* One update in place of all parameters of a group at step `step` (from 0) with learning rate lr
 * (an f32 value, before lr_scale). grad, param and state[i] are flat buffers: the group's ranges of
 * them are read and written. The formulas stand in kernels/<kind>.h. */
void tdbg_optimizer_apply(const struct tdbg_optimizer *optimizer,
                          const struct tdbg_optimizer_group *group,
                          const struct tdbg_backend *backend, int64_t step, double lr,
                          const float *grad, float *param, float *const *state);

#endif
