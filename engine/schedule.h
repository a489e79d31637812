/* Learning-rate schedules: the learning rate of a step, computed on the host in double. */
#ifndef TDBG_ENGINE_SCHEDULE_H
#define TDBG_ENGINE_SCHEDULE_H

#include "base/config.h"
#include "engine/schedule_expression.h"

void tdbg_schedule_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_schedule_print_options(FILE *out);

enum tdbg_schedule_kind {
    TDBG_SCHEDULE_CONSTANT,
    TDBG_SCHEDULE_STEP,
    TDBG_SCHEDULE_MULTISTEP,
    TDBG_SCHEDULE_EXPONENTIAL,
    TDBG_SCHEDULE_POLYNOMIAL,
    TDBG_SCHEDULE_COSINE,
    TDBG_SCHEDULE_ONE_CYCLE,
    TDBG_SCHEDULE_EXPRESSION,
    TDBG_SCHEDULE_COUNT,
};

struct tdbg_schedule {
    enum tdbg_schedule_kind kind;
    bool by_epoch; /* every = "epoch" */
    int64_t warmup_steps;
    int64_t total_steps, steps_per_epoch;
    double lr, lr_min;
    double gamma, power;
    int64_t size;                           /* step */
    const struct tdbg_cfg_node *milestones; /* multistep; the config owns it */
    int64_t length;                         /* units until the end of the curve */
    double pct_start, div_factor, final_div_factor;
    bool linear;
    struct tdbg_expression expression;
};

/* Reads a checked group. lr is the optimizer's, total_steps the run's length. The group has to
 * outlive the schedule. */
struct tdbg_schedule tdbg_schedule_read(const struct tdbg_cfg_node *group, double lr,
                                        int64_t total_steps, int64_t steps_per_epoch);

/* Learning rate of step s (from 0), in double; the engine rounds it to f32 once. The formulas are
 * those of torch.optim.lr_scheduler, in closed form, of the time t:
 *     every = "step":   t = s - warmup, 0 during the warmup
 *     every = "epoch":  t = the epoch of s (from 0); one_cycle, which has steps only, excepted
 *     constant:    lr
 *     step:        lr * gamma^floor(t / size)
 *     multistep:   lr * gamma^(number of milestones <= t)
 *     exponential: lr * gamma^t
 *     polynomial:  lr_min + (lr - lr_min) * (1 - min(t, length) / length)^power
 *     cosine:      lr_min + (lr - lr_min) * (1 + cos(pi * t / length)) / 2
 *                  (Loshchilov and Hutter 2017, without restarts; lr_min after the end)
 *     one_cycle:   from lr / div_factor up to lr over pct_start of the length, then down to
 *                  lr / div_factor / final_div_factor, along half cosines or lines (Smith 2018)
 *     expression:  lr * the formula's value, with the step (every = "epoch": the epoch's first
 *                  step) and epoch counted from the start of the run, as LambdaLR
 * length is the run's rest in the unit of t where the config does not say. During the warmup the
 * rate of the formula at t = 0 (every = "epoch" and expression: at its own t) is multiplied by
 * (s + 1) / warmup. */
double tdbg_schedule_lr(const struct tdbg_schedule *schedule, int64_t step);

/* Reports a schedule that gives a negative or non-finite rate somewhere: looks at the first and the
 * last step and at up to 10000 between them. */
void tdbg_schedule_check_values(struct tdbg_config *config, const struct tdbg_cfg_node *group,
                                const struct tdbg_schedule *schedule);

#endif
