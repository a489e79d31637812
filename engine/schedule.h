/* Learning-rate schedules: the learning rate of a step, computed on the host in double. */
#ifndef TDBG_ENGINE_SCHEDULE_H
#define TDBG_ENGINE_SCHEDULE_H

#include "base/config.h"

void tdbg_schedule_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_schedule_print_options(FILE *out);

enum tdbg_schedule_kind { TDBG_SCHEDULE_CONSTANT, TDBG_SCHEDULE_COSINE };

struct tdbg_schedule {
    enum tdbg_schedule_kind kind;
    int64_t warmup_steps;
    int64_t total_steps;
    double lr, lr_min;
};

/* Reads a checked group. lr is the optimizer's, total_steps the run's length. */
struct tdbg_schedule tdbg_schedule_read(const struct tdbg_cfg_node *group, double lr,
                                        int64_t total_steps);

/* Learning rate of step t (from 0), in double; the engine rounds it to f32 once:
 *     t < warmup:  lr * (t + 1) / warmup
 *     constant:    lr
 *     cosine:      lr_min + (lr - lr_min) * (1 + cos(pi * (t - warmup) / (total - warmup))) / 2
 *                  (Loshchilov and Hutter 2017, without restarts; lr_min after the end) */
double tdbg_schedule_lr(const struct tdbg_schedule *schedule, int64_t step);

#endif
