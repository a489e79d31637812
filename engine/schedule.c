/* Learning-rate schedules. See schedule.h for the formulas. */
#include "engine/schedule.h"

#include <string.h>

#include "engine/kind_table.h"
#include "kernels/host_math.h"

#define MAX_STEPS 2147483647.0

static const struct tdbg_option common_options[] = {
    {"warmup", TDBG_OPT_INT, "steps", 0, MAX_STEPS, NULL, "0", 0,
     "Steps over which the learning rate rises linearly to its full value."},
};
static const struct tdbg_option cosine_options[] = {
    {"lr_min", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Learning rate at the end of the half cosine."},
};
static const struct tdbg_option_table common = {common_options, 1};
static const struct tdbg_kind kinds[] = {
    [TDBG_SCHEDULE_CONSTANT] = {"constant", {NULL, 0}},
    [TDBG_SCHEDULE_COSINE] = {"cosine", {cosine_options, 1}},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

void tdbg_schedule_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    tdbg_kind_check(config, group, "kind", kinds, N_KINDS, &common, "schedule");
}

void tdbg_schedule_print_options(FILE *out)
{
    tdbg_kind_print_options("schedule", "kind", kinds, N_KINDS, &common, out);
}

struct tdbg_schedule tdbg_schedule_read(const struct tdbg_cfg_node *group, double lr,
                                        int64_t total_steps)
{
    bool cosine = strcmp(tdbg_cfg_string(group, "kind"), "cosine") == 0;
    return (struct tdbg_schedule){
        .kind = cosine ? TDBG_SCHEDULE_COSINE : TDBG_SCHEDULE_CONSTANT,
        .warmup_steps = tdbg_cfg_int(group, "warmup"),
        .total_steps = total_steps,
        .lr = lr,
        .lr_min = cosine ? tdbg_cfg_float(group, "lr_min") : 0,
    };
}

double tdbg_schedule_lr(const struct tdbg_schedule *s, int64_t step)
{
    if (step < s->warmup_steps)
        return s->lr * (double)(step + 1) / (double)s->warmup_steps;
    if (s->kind == TDBG_SCHEDULE_CONSTANT)
        return s->lr;
    int64_t span = s->total_steps - s->warmup_steps, at = step - s->warmup_steps;
    if (span <= 0 || at >= span)
        return s->lr_min;
    return s->lr_min +
           (s->lr - s->lr_min) * (1 + tdbg_host_cos_pi((double)at / (double)span)) * 0.5;
}
