/* Learning-rate schedules. See schedule.h for the formulas. */
#include "engine/schedule.h"

#include <math.h>
#include <string.h>

#include "engine/kind_table.h"
#include "kernels/host_math.h"

#define MAX_STEPS 2147483647.0

static const struct tdbg_option common_options[] = {
    {"warmup", TDBG_OPT_INT, "steps", 0, MAX_STEPS, NULL, "0", 0,
     "Steps over which the learning rate rises linearly to its full value."},
    {"every", TDBG_OPT_ENUM, "", 0, 0, "step|epoch", "\"step\"", 0,
     "Unit in which the schedule counts: steps after the warmup, or epochs of the run."},
};
#define GAMMA_HELP "Factor of the learning rate each time."
#define LENGTH_OPTION                                                                              \
    {                                                                                              \
        "length", TDBG_OPT_INT, "steps or epochs", 0, MAX_STEPS, NULL, "0", 0,                     \
            "Where the curve ends, in the unit of `every`; 0: with the run."                       \
    }
static const struct tdbg_option step_options[] = {
    {"size", TDBG_OPT_INT, "steps or epochs", 1, MAX_STEPS, NULL, NULL, TDBG_OPT_REQUIRED,
     "Distance of the drops, in the unit of `every`."},
    {"gamma", TDBG_OPT_FLOAT, "", 0, 1e6, NULL, "0.1", 0, GAMMA_HELP},
};
static const struct tdbg_option multistep_options[] = {
    {"milestones", TDBG_OPT_INTS, "steps or epochs", 1, MAX_STEPS, NULL, NULL, TDBG_OPT_REQUIRED,
     "Where the drops are, in the unit of `every`, ascending."},
    {"gamma", TDBG_OPT_FLOAT, "", 0, 1e6, NULL, "0.1", 0, GAMMA_HELP},
};
static const struct tdbg_option exponential_options[] = {
    {"gamma", TDBG_OPT_FLOAT, "", 0, 1e6, NULL, NULL, TDBG_OPT_REQUIRED,
     "Factor of the learning rate in every unit of `every`."},
};
static const struct tdbg_option polynomial_options[] = {
    {"power", TDBG_OPT_FLOAT, "", 0, 1000, NULL, "1.0", 0, "Exponent; 1: a straight line."},
    {"lr_min", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Learning rate at the end of the curve."},
    LENGTH_OPTION,
};
static const struct tdbg_option cosine_options[] = {
    {"lr_min", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "0.0", 0,
     "Learning rate at the end of the half cosine."},
    LENGTH_OPTION,
};
static const struct tdbg_option one_cycle_options[] = {
    {"pct_start", TDBG_OPT_FLOAT, "", 0, 1, NULL, "0.3", 0,
     "Share of the length over which the learning rate rises."},
    {"div_factor", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "25.0", TDBG_OPT_ABOVE_MIN,
     "The first learning rate is optimizer.lr divided by this."},
    {"final_div_factor", TDBG_OPT_FLOAT, "", 0, 1e30, NULL, "1e4", TDBG_OPT_ABOVE_MIN,
     "The last learning rate is the first one divided by this."},
    {"anneal", TDBG_OPT_ENUM, "", 0, 0, "cos|linear", "\"cos\"", 0, "Form of both slopes."},
    LENGTH_OPTION,
};
static const struct tdbg_option expression_options[] = {
    {"expression", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Factor of optimizer.lr, for example \"0.95^epoch\": numbers, step, epoch, total_steps, lr, "
     "+ - * / ^ and parentheses, min, max, cos, exp, sqrt."},
};
#define TABLE(list)                                                                                \
    {                                                                                              \
        list, (int)(sizeof list / sizeof list[0])                                                  \
    }
static const struct tdbg_option_table common = TABLE(common_options);
static const struct tdbg_kind kinds[TDBG_SCHEDULE_COUNT] = {
    [TDBG_SCHEDULE_CONSTANT] = {"constant", {NULL, 0}},
    [TDBG_SCHEDULE_STEP] = {"step", TABLE(step_options)},
    [TDBG_SCHEDULE_MULTISTEP] = {"multistep", TABLE(multistep_options)},
    [TDBG_SCHEDULE_EXPONENTIAL] = {"exponential", TABLE(exponential_options)},
    [TDBG_SCHEDULE_POLYNOMIAL] = {"polynomial", TABLE(polynomial_options)},
    [TDBG_SCHEDULE_COSINE] = {"cosine", TABLE(cosine_options)},
    [TDBG_SCHEDULE_ONE_CYCLE] = {"one_cycle", TABLE(one_cycle_options)},
    [TDBG_SCHEDULE_EXPRESSION] = {"expression", TABLE(expression_options)},
};

static void check_milestones(struct tdbg_config *config, const struct tdbg_cfg_node *list)
{
    if (!list || list->type != TDBG_CFG_LIST)
        return;
    for (int i = 1; i < list->n_child; i++) {
        if (list->child[i]->i <= list->child[i - 1]->i) {
            tdbg_config_report(config, list, NULL,
                               "'schedule.milestones' have to ascend: %lld stands behind %lld",
                               (long long)list->child[i]->i, (long long)list->child[i - 1]->i);
            return;
        }
    }
}

static void check_expression(struct tdbg_config *config, const struct tdbg_cfg_node *node)
{
    struct tdbg_expression expression;
    struct tdbg_expression_fault fault;
    if (!node || node->type != TDBG_CFG_STRING ||
        tdbg_expression_parse(node->s, &expression, &fault))
        return;
    tdbg_config_report(config, node, "for example: expression = \"0.95^epoch\";",
                       "'schedule.expression', column %d: %s", fault.column, fault.text);
}

void tdbg_schedule_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group)
{
    int kind =
        tdbg_kind_check(config, group, "kind", kinds, TDBG_SCHEDULE_COUNT, &common, "schedule");
    if (kind == TDBG_SCHEDULE_MULTISTEP)
        check_milestones(config, tdbg_cfg_find(group, "milestones"));
    if (kind == TDBG_SCHEDULE_EXPRESSION)
        check_expression(config, tdbg_cfg_find(group, "expression"));
    if (kind == TDBG_SCHEDULE_ONE_CYCLE) {
        const struct tdbg_cfg_node *every = tdbg_cfg_find(group, "every");
        if (every && every->type == TDBG_CFG_STRING && strcmp(every->s, "epoch") == 0)
            tdbg_config_report(config, every, "leave 'every' out",
                               "one_cycle counts steps, not epochs");
    }
}

void tdbg_schedule_print_options(FILE *out)
{
    tdbg_kind_print_options("schedule", "kind", kinds, TDBG_SCHEDULE_COUNT, &common, out);
}

static void read_kind(const struct tdbg_cfg_node *group, struct tdbg_schedule *s)
{
    struct tdbg_expression_fault fault;
    switch (s->kind) {
    case TDBG_SCHEDULE_STEP:
        s->size = tdbg_cfg_int(group, "size");
        s->gamma = tdbg_cfg_float(group, "gamma");
        break;
    case TDBG_SCHEDULE_MULTISTEP:
        s->milestones = tdbg_cfg_find(group, "milestones");
        s->gamma = tdbg_cfg_float(group, "gamma");
        break;
    case TDBG_SCHEDULE_EXPONENTIAL:
        s->gamma = tdbg_cfg_float(group, "gamma");
        break;
    case TDBG_SCHEDULE_POLYNOMIAL:
        s->power = tdbg_cfg_float(group, "power");
        s->lr_min = tdbg_cfg_float(group, "lr_min");
        break;
    case TDBG_SCHEDULE_COSINE:
        s->lr_min = tdbg_cfg_float(group, "lr_min");
        break;
    case TDBG_SCHEDULE_ONE_CYCLE:
        s->pct_start = tdbg_cfg_float(group, "pct_start");
        s->div_factor = tdbg_cfg_float(group, "div_factor");
        s->final_div_factor = tdbg_cfg_float(group, "final_div_factor");
        s->linear = strcmp(tdbg_cfg_string(group, "anneal"), "linear") == 0;
        break;
    case TDBG_SCHEDULE_EXPRESSION:
        if (!tdbg_expression_parse(tdbg_cfg_string(group, "expression"), &s->expression, &fault))
            TDBG_BUG("a checked formula: %s", fault.text);
        break;
    default:
        break;
    }
}

struct tdbg_schedule tdbg_schedule_read(const struct tdbg_cfg_node *group, double lr,
                                        int64_t total_steps, int64_t steps_per_epoch)
{
    struct tdbg_schedule s = {
        .by_epoch = strcmp(tdbg_cfg_string(group, "every"), "epoch") == 0,
        .warmup_steps = tdbg_cfg_int(group, "warmup"),
        .total_steps = total_steps,
        .steps_per_epoch = steps_per_epoch < 1 ? 1 : steps_per_epoch,
        .lr = lr,
    };
    const char *kind = tdbg_cfg_string(group, "kind");
    for (int k = 0; k < TDBG_SCHEDULE_COUNT; k++) {
        if (strcmp(kinds[k].name, kind) == 0)
            s.kind = (enum tdbg_schedule_kind)k;
    }
    read_kind(group, &s);
    const struct tdbg_cfg_node *length = tdbg_cfg_find(group, "length");
    if (length && length->i > 0)
        s.length = length->i;
    else if (s.by_epoch)
        s.length = (total_steps + s.steps_per_epoch - 1) / s.steps_per_epoch;
    else
        s.length = total_steps - s.warmup_steps;
    return s;
}

static double multistep_lr(const struct tdbg_schedule *s, int64_t t)
{
    int64_t passed = 0;
    while (passed < s->milestones->n_child && s->milestones->child[passed]->i <= t)
        passed++;
    return s->lr * tdbg_host_pow_int(s->gamma, passed);
}

/* From `from` to `to` as x goes from 0 to 1. */
static double anneal(const struct tdbg_schedule *s, double from, double to, double x)
{
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    if (s->linear)
        return from + (to - from) * x;
    return to + (from - to) / 2 * (1 + tdbg_host_cos_pi(x));
}

static double one_cycle_lr(const struct tdbg_schedule *s, int64_t step)
{
    const double first = s->lr / s->div_factor, last = first / s->final_div_factor;
    const double t = (double)step, end = (double)s->length - 1;
    const double top = s->pct_start * (double)s->length - 1; /* where the rate is highest */
    if (t <= top)
        return top > 0 ? anneal(s, first, s->lr, t / top) : s->lr;
    const double from = top > 0 ? top : 0;
    return end > from ? anneal(s, s->lr, last, (t - from) / (end - from)) : last;
}

static double expression_lr(const struct tdbg_schedule *s, int64_t step)
{
    const int64_t epoch = step / s->steps_per_epoch;
    const struct tdbg_expression_values values = {
        .step = (double)(s->by_epoch ? epoch * s->steps_per_epoch : step),
        .epoch = (double)epoch,
        .total_steps = (double)s->total_steps,
        .lr = s->lr};
    return s->lr * tdbg_expression_evaluate(&s->expression, &values);
}

/* The formula at time t of step `step`. */
static double formula(const struct tdbg_schedule *s, int64_t step, int64_t t)
{
    const bool over = s->length <= 0 || t >= s->length;
    const double share = over ? 1 : (double)t / (double)s->length;
    switch (s->kind) {
    case TDBG_SCHEDULE_STEP:
        return s->lr * tdbg_host_pow_int(s->gamma, t / s->size);
    case TDBG_SCHEDULE_MULTISTEP:
        return multistep_lr(s, t);
    case TDBG_SCHEDULE_EXPONENTIAL:
        return s->lr * tdbg_host_pow_int(s->gamma, t);
    case TDBG_SCHEDULE_POLYNOMIAL:
        return s->lr_min + (s->lr - s->lr_min) * tdbg_host_pow(1 - share, s->power);
    case TDBG_SCHEDULE_COSINE:
        if (over)
            return s->lr_min;
        return s->lr_min + (s->lr - s->lr_min) * (1 + tdbg_host_cos_pi(share)) * 0.5;
    case TDBG_SCHEDULE_ONE_CYCLE:
        return one_cycle_lr(s, t);
    case TDBG_SCHEDULE_EXPRESSION:
        return expression_lr(s, step);
    default:
        return s->lr;
    }
}

double tdbg_schedule_lr(const struct tdbg_schedule *s, int64_t step)
{
    const int64_t t = s->by_epoch              ? step / s->steps_per_epoch
                      : step < s->warmup_steps ? 0
                                               : step - s->warmup_steps;
    if (step >= s->warmup_steps)
        return formula(s, step, t);
    /* what starts at lr, starts at exactly lr */
    const bool from_lr =
        !s->by_epoch && s->kind != TDBG_SCHEDULE_ONE_CYCLE && s->kind != TDBG_SCHEDULE_EXPRESSION;
    const double full = from_lr ? s->lr : formula(s, step, t);
    return full * (double)(step + 1) / (double)s->warmup_steps;
}

void tdbg_schedule_check_values(struct tdbg_config *config, const struct tdbg_cfg_node *group,
                                const struct tdbg_schedule *schedule)
{
    enum { PROBES = 10000 };
    const int64_t last = schedule->total_steps - 1;
    const int64_t probes = last < PROBES ? last : PROBES;
    for (int64_t i = 0; i <= probes; i++) {
        const int64_t step = probes > 0 ? last * i / probes : 0;
        const double lr = tdbg_schedule_lr(schedule, step);
        if (lr >= 0 && lr <= 3.4e38)
            continue;
        tdbg_config_report(config, group, NULL,
                           "the schedule gives the learning rate %g at step %lld", lr,
                           (long long)step);
        return;
    }
}
