/* Planted faults. See fault.h. */
#include "recorder/fault.h"

#include <stdlib.h>
#include <string.h>

#include "engine/kind_table.h"

enum fault_kind { BITFLIP, ZERO, SCALE, STALE, DROP, N_KINDS };

static const struct tdbg_option common_options[] = {
    {"step", TDBG_OPT_INT, "", 0, 2147483646, NULL, NULL, TDBG_OPT_REQUIRED, "At this step."},
    {"rank", TDBG_OPT_INT, "", 0, 4095, NULL, "0", 0, "On this rank."},
    {"site", TDBG_OPT_STRING, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "In this tensor: a site of stage reduce_in, reduce_out, grad, clip, optim or param."},
    {"lane", TDBG_OPT_INT, "", -1, 4095, NULL, "-1", 0,
     "Where each lane has one: in this lane's; -1: in those of all lanes of the rank."},
};
static const struct tdbg_option element_option = {
    "element",
    TDBG_OPT_INT,
    "",
    -1,
    9e15,
    NULL,
    "-1",
    0,
    "In this element, counted in row-major order; -1: in all."};
static const struct tdbg_option bitflip_options[] = {
    {"element", TDBG_OPT_INT, "", 0, 9e15, NULL, "0", 0,
     "In this element, counted in row-major order."},
    {"bit", TDBG_OPT_INT, "", 0, 31, NULL, "22", 0,
     "This bit of it; 31 is the sign, 30 to 23 are the exponent."},
};
static const struct tdbg_option scale_options[] = {
    {"element", TDBG_OPT_INT, "", -1, 9e15, NULL, "-1", 0,
     "In this element, counted in row-major order; -1: in all."},
    {"by", TDBG_OPT_FLOAT, "", -1e30, 1e30, NULL, "2.0", 0, "What it is multiplied by."},
};

static const struct tdbg_option_table common = {common_options,
                                                sizeof common_options / sizeof *common_options};
/* What each one does: a bit is flipped; numbers are zero; numbers are multiplied; numbers are those
 * of the step before; what a rank contributes is recorded, but does not reach the sum. */
static const struct tdbg_kind kinds[N_KINDS] = {
    [BITFLIP] = {"bitflip", {bitflip_options, 2}},
    [ZERO] = {"zero", {&element_option, 1}},
    [SCALE] = {"scale", {scale_options, 2}},
    [STALE] = {"stale", {&element_option, 1}},
    [DROP] = {"drop", {NULL, 0}},
};

static const enum tdbg_stage stages[] = {TDBG_STAGE_REDUCE_IN, TDBG_STAGE_REDUCE_OUT,
                                         TDBG_STAGE_GRAD,      TDBG_STAGE_CLIP,
                                         TDBG_STAGE_OPTIM,     TDBG_STAGE_PARAM};

static bool stage_can_be_faulty(const char *site, enum fault_kind kind)
{
    const size_t n = strcspn(site, "/");
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        const char *text = tdbg_stage_text(stages[i]);
        if (strlen(text) == n && strncmp(site, text, n) == 0)
            return kind != DROP || stages[i] == TDBG_STAGE_REDUCE_IN;
    }
    return false;
}

static void check_fault(struct tdbg_config *config, const struct tdbg_cfg_node *item, int index)
{
    char context[32];
    snprintf(context, sizeof context, "inject[%d]", index);
    const int before = tdbg_config_n_diagnostics(config);
    const int kind = tdbg_kind_check(config, item, "kind", kinds, N_KINDS, &common, context);
    if (kind < 0 || tdbg_config_n_diagnostics(config) != before)
        return;
    const struct tdbg_cfg_node *site = tdbg_cfg_find(item, "site");
    if (!stage_can_be_faulty(site->s, (enum fault_kind)kind))
        tdbg_config_report(config, site,
                           kind == DROP
                               ? "a contribution is a site of stage reduce_in"
                               : "accepted are sites of reduce_in, reduce_out, grad, clip, optim "
                                 "and param",
                           "a fault of kind \"%s\" cannot be in '%s'", kinds[kind].name, site->s);
    if (kind == STALE && tdbg_cfg_int(item, "step") == 0)
        tdbg_config_report(config, tdbg_cfg_find(item, "step"), NULL,
                           "step 0 has no step before it whose values could be stale");
}

void tdbg_fault_check_options(struct tdbg_config *config)
{
    const struct tdbg_cfg_node *list = tdbg_cfg_find(tdbg_config_root(config), "inject");
    for (int i = 0; list && list->type == TDBG_CFG_LIST && i < list->n_child; i++)
        check_fault(config, list->child[i], i);
}

void tdbg_fault_print_options(FILE *out)
{
    tdbg_kind_print_options("inject", "kind", kinds, N_KINDS, &common, out);
}

/* --- the taps --- */

struct fault {
    enum fault_kind kind;
    int64_t step, element; /* element -1: all */
    const char *site;
    int32_t lane; /* -1: all */
    int bit;
    float by;
    int index; /* in the list */
};

/* One row of the site table that a fault is in. */
struct target {
    const struct fault *fault;
    int32_t site;
    int64_t elems;
    float *value;        /* (elems): to change, and of the last step for stale ones */
    int64_t value_step;  /* of which step that is; -1: of none */
    struct target *next; /* of the same tap */
};

struct fault_tap {
    struct tdbg_faults *faults;
    bool is_behind;
    struct target *targets;
};

struct tdbg_faults {
    struct fault *list; /* (n) */
    int n;
    struct fault_tap before, behind;
};

static void read_fault(const struct tdbg_cfg_node *item, int index, struct fault *out)
{
    const char *kind = tdbg_cfg_string(item, "kind");
    *out = (struct fault){.step = tdbg_cfg_int(item, "step"),
                          .element = -1,
                          .site = tdbg_cfg_string(item, "site"),
                          .lane = (int32_t)tdbg_cfg_int(item, "lane"),
                          .index = index};
    while (strcmp(kinds[out->kind].name, kind) != 0)
        out->kind++;
    if (out->kind != DROP)
        out->element = tdbg_cfg_int(item, "element");
    if (out->kind == BITFLIP)
        out->bit = (int)tdbg_cfg_int(item, "bit");
    if (out->kind == SCALE)
        out->by = (float)tdbg_cfg_float(item, "by");
}

enum tdbg_status tdbg_faults_create(const struct tdbg_cfg_node *list, int32_t rank,
                                    struct tdbg_faults **out, struct tdbg_err *err)
{
    *out = NULL;
    if (!list)
        return TDBG_OK;
    struct tdbg_faults *f = calloc(1, sizeof *f);
    if (f)
        f->list = calloc((size_t)list->n_child + 1, sizeof *f->list);
    if (!f || !f->list) {
        free(f);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the faults to inject");
    }
    f->before = (struct fault_tap){.faults = f};
    f->behind = (struct fault_tap){.faults = f, .is_behind = true};
    for (int i = 0; i < list->n_child; i++) {
        if (tdbg_cfg_int(list->child[i], "rank") == rank)
            read_fault(list->child[i], i, &f->list[f->n++]);
    }
    if (f->n > 0)
        *out = f;
    else
        tdbg_faults_destroy(f);
    return TDBG_OK;
}

static void free_targets(struct fault_tap *tap)
{
    for (struct target *t = tap->targets, *next; t; t = next) {
        next = t->next;
        free(t->value);
        free(t);
    }
    tap->targets = NULL;
}

void tdbg_faults_destroy(struct tdbg_faults *f)
{
    if (!f)
        return;
    free_targets(&f->before);
    free_targets(&f->behind);
    free(f->list);
    free(f);
}

static enum tdbg_status add_target(struct fault_tap *tap, const struct fault *fault,
                                   const struct tdbg_site *site, int32_t id, struct tdbg_err *err)
{
    const int64_t elems = tdbg_site_elems(site);
    if (fault->element >= elems)
        return TDBG_RAISE(err, CONFIG,
                          "inject[%d]: '%s' has %lld elements, and none is number %lld",
                          fault->index, site->name, (long long)elems, (long long)fault->element);
    struct target *t = calloc(1, sizeof *t);
    if (t)
        t->value = calloc((size_t)elems, sizeof *t->value);
    if (!t || !t->value) {
        free(t);
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the faults to inject");
    }
    t->fault = fault;
    t->site = id;
    t->elems = elems;
    t->value_step = -1;
    t->next = tap->targets;
    tap->targets = t;
    return TDBG_OK;
}

static enum tdbg_status plan(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err)
{
    struct fault_tap *tap = self;
    free_targets(tap);
    for (int i = 0; i < tap->faults->n; i++) {
        const struct fault *fault = &tap->faults->list[i];
        bool found = false;
        if ((fault->kind == DROP) != tap->is_behind)
            continue;
        for (int32_t s = 0; s < n_sites; s++) {
            if (strcmp(sites[s].name, fault->site) != 0 ||
                (fault->lane >= 0 && sites[s].lane != fault->lane))
                continue;
            const enum tdbg_status st = add_target(tap, fault, &sites[s], s, err);
            if (st != TDBG_OK)
                return st;
            wants[s] = (struct tdbg_want){TDBG_WANT_VALUES | TDBG_WANT_CHANGE, 1};
            found = true;
        }
        if (!found)
            return TDBG_RAISE(err, CONFIG, "inject[%d]: there is no site '%s'%s", fault->index,
                              fault->site, fault->lane >= 0 ? " of that lane on that rank" : "");
    }
    return TDBG_OK;
}

/* value (elems), which is the tensor's, but for stale faults that of the step before. */
static void spoil(const struct fault *fault, int64_t elems, float *value)
{
    const int64_t lo = fault->element < 0 ? 0 : fault->element;
    const int64_t hi = fault->element < 0 ? elems : fault->element + 1;
    for (int64_t i = lo; i < hi; i++) {
        uint32_t bits;
        memcpy(&bits, &value[i], sizeof bits);
        if (fault->kind == SCALE)
            value[i] *= fault->by;
        if (fault->kind == ZERO || fault->kind == DROP)
            value[i] = 0;
        if (fault->kind == BITFLIP)
            bits ^= UINT32_C(1) << fault->bit;
        if (fault->kind == BITFLIP)
            memcpy(&value[i], &bits, sizeof bits);
    }
}

/* The tensor as it is, in which those of the step before take their old places. */
static enum tdbg_status put_stale(const struct target *t, const struct tdbg_handle *handle,
                                  struct tdbg_err *err)
{
    const int64_t element = t->fault->element;
    enum tdbg_status st = TDBG_OK;
    float *now = NULL;
    TDBG_FAIL_IF(t->value_step != t->fault->step - 1, CONFIG,
                 "inject[%d]: the step before step %lld is not run", t->fault->index,
                 (long long)t->fault->step);
    if (element < 0)
        return tdbg_handle_write(handle, t->value, err);
    now = malloc((size_t)t->elems * sizeof *now); /* once in a run */
    TDBG_FAIL_IF(!now, NO_MEMORY, "no memory for the faults to inject");
    TDBG_TRY(tdbg_handle_copy(handle, now, err));
    now[element] = t->value[element];
    TDBG_TRY(tdbg_handle_write(handle, now, err));
out:
    free(now);
    return st;
}

static enum tdbg_status apply(struct target *t, int64_t step, const struct tdbg_handle *handle,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct fault *fault = t->fault;
    if (fault->kind == STALE && step == fault->step)
        return put_stale(t, handle, err);
    if (fault->kind == STALE && step == fault->step - 1) {
        TDBG_TRY(tdbg_handle_copy(handle, t->value, err));
        t->value_step = step;
    } else if (fault->kind != STALE && step == fault->step) {
        TDBG_TRY(tdbg_handle_copy(handle, t->value, err));
        spoil(fault, t->elems, t->value);
        TDBG_TRY(tdbg_handle_write(handle, t->value, err));
    }
out:
    return st;
}

static enum tdbg_status site(void *self, int64_t step, int32_t id, const struct tdbg_handle *handle,
                             struct tdbg_err *err)
{
    struct fault_tap *tap = self;
    for (struct target *t = tap->targets; t; t = t->next) {
        const enum tdbg_status st = t->site == id ? apply(t, step, handle, err) : TDBG_OK;
        if (st != TDBG_OK)
            return st;
    }
    return TDBG_OK;
}

static const struct tdbg_tap_ops fault_ops = {plan, NULL, site, NULL};

struct tdbg_tap tdbg_faults_tap_before(struct tdbg_faults *faults)
{
    return (struct tdbg_tap){&fault_ops, &faults->before};
}

struct tdbg_tap tdbg_faults_tap_behind(struct tdbg_faults *faults)
{
    return (struct tdbg_tap){&fault_ops, &faults->behind};
}
