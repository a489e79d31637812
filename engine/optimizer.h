/* Optimizers: which state tensors a parameter has and how one step changes it. */
#ifndef TDBG_ENGINE_OPTIMIZER_H
#define TDBG_ENGINE_OPTIMIZER_H

#include "base/config.h"
#include "engine/backend.h"

void tdbg_optimizer_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_optimizer_print_options(FILE *out);

enum { TDBG_MAX_OPTIM_STATES = 4 };

/* A checked optimizer group, read. */
struct tdbg_optimizer {
    const struct tdbg_optimizer_class *cls;
    double lr, weight_decay;
    double momentum;          /* sgd */
    bool nesterov;            /* sgd */
    double beta1, beta2, eps; /* adamw */
    int n_states;             /* state tensors per parameter, each of the parameter's shape */
};

struct tdbg_optimizer tdbg_optimizer_read(const struct tdbg_cfg_node *group);

const char *tdbg_optimizer_kind(const struct tdbg_optimizer *optimizer);

/* Name of state tensor i as PyTorch's state_dict spells it: "momentum_buffer", "exp_avg". */
const char *tdbg_optimizer_state_name(const struct tdbg_optimizer *optimizer, int i);

/* One update in place at step `step` (from 0) with learning rate lr (an f32 value): grad (n), param
 * (n), state[i] (n). The formulas stand in kernels/sgd.h and kernels/adamw.h. */
void tdbg_optimizer_apply(const struct tdbg_optimizer *optimizer,
                          const struct tdbg_backend *backend, int64_t step, double lr, int64_t n,
                          const float *grad, float *param, float *const *state);

#endif
