/* What the names of an expression mean among the sites of a trace. See expression.h.
 *
 * A pattern with a slash is matched with whole names; * also matches a slash. One without, like
 * fc1.weight, is a site of that name ("loss"), or else the tensor of the first stage of `usual`
 * that has it, or of the only stage that has it. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "replay/expression.h"

/* Values come before what becomes of them. */
static const enum tdbg_stage usual[] = {TDBG_STAGE_INPUT, TDBG_STAGE_FWD, TDBG_STAGE_PARAM,
                                        TDBG_STAGE_OPTIM};
enum { N_USUAL = sizeof usual / sizeof usual[0] };

struct binding {
    struct tdbg_expr_term *term;
    const struct tdbg_site *sites;
    int32_t n_sites;
    struct tdbg_expr_fault *fault;
};

static bool matches(const char *pattern, const char *text)
{
    return strpbrk(pattern, "*?") ? fnmatch(pattern, text, FNM_NOESCAPE) == 0
                                  : strcmp(pattern, text) == 0;
}

/* Collects the sites whose name, or whose tensor in that stage, matches. */
static void collect(struct binding *b, const enum tdbg_stage *stage)
{
    struct tdbg_expr_term *t = b->term;
    t->n_sites = 0;
    for (int32_t i = 0; i < b->n_sites; i++) {
        const struct tdbg_site *s = &b->sites[i];
        const bool hit = stage ? s->stage == *stage && matches(t->pattern, tdbg_site_tensor(s))
                               : matches(t->pattern, s->name);
        if (hit)
            t->sites[t->n_sites++] = i;
    }
}

static bool not_found(struct binding *b)
{
    char hint[200] = "tdbg info TRACE --json lists all sites";
    const char **names = malloc((size_t)(2 * b->n_sites + 1) * sizeof *names);
    for (int32_t i = 0; names && i < b->n_sites; i++) {
        names[i] = b->sites[i].name;
        names[b->n_sites + i] = tdbg_site_tensor(&b->sites[i]);
    }
    const char *near = names ? tdbg_suggest(b->term->pattern, names, 2 * (int)b->n_sites) : NULL;
    if (near)
        snprintf(hint, sizeof hint, "did you mean '%s'?", near);
    free(names);
    return tdbg_expr_fault_set(b->fault, TDBG_NOT_FOUND, b->term->column, hint,
                               "no site matches '%s'", b->term->pattern);
}

static bool several_stages(struct binding *b, enum tdbg_stage first, enum tdbg_stage second)
{
    char hint[200];
    snprintf(hint, sizeof hint, "%s/%.60s or %s/%.60s", tdbg_stage_text(first), b->term->pattern,
             tdbg_stage_text(second), b->term->pattern);
    return tdbg_expr_fault_set(b->fault, TDBG_USAGE, b->term->column, hint,
                               "'%s' is in several stages", b->term->pattern);
}

static bool find_by_tensor(struct binding *b)
{
    int found = -1;
    for (int i = 0; i < N_USUAL; i++) {
        collect(b, &usual[i]);
        if (b->term->n_sites > 0)
            return true;
    }
    for (int s = 0; s < TDBG_STAGE_COUNT; s++) {
        const enum tdbg_stage stage = (enum tdbg_stage)s;
        collect(b, &stage);
        if (b->term->n_sites > 0 && found >= 0)
            return several_stages(b, (enum tdbg_stage)found, stage);
        found = b->term->n_sites > 0 ? s : found;
    }
    if (found < 0)
        return not_found(b);
    collect(b, &(enum tdbg_stage){(enum tdbg_stage)found});
    return true;
}

static bool find_sites(struct binding *b)
{
    collect(b, NULL);
    if (b->term->n_sites > 0)
        return true;
    return strchr(b->term->pattern, '/') ? not_found(b) : find_by_tensor(b);
}

bool tdbg_expr_same_tensor(const struct tdbg_site *a, const struct tdbg_site *b)
{
    return a->lane == b->lane && a->micro == b->micro && a->dtype == b->dtype &&
           a->batched == b->batched && a->ndim == b->ndim &&
           memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0 &&
           strcmp(tdbg_site_tensor(a), tdbg_site_tensor(b)) == 0;
}

/* The site of the same tensor in another stage, or -1. */
static int32_t find_twin(const struct binding *b, const struct tdbg_site *param,
                         enum tdbg_stage stage)
{
    for (int32_t i = 0; i < b->n_sites; i++) {
        if (b->sites[i].stage == stage && tdbg_expr_same_tensor(&b->sites[i], param))
            return i;
    }
    return -1;
}

/* update_ratio is about parameters, whatever stage stands before their names. */
static bool find_parameters(struct binding *b)
{
    static const enum tdbg_stage param = TDBG_STAGE_PARAM;
    struct tdbg_expr_term *t = b->term;
    int32_t n = 0;
    collect(b, strchr(t->pattern, '/') ? NULL : &param);
    for (int32_t k = 0; k < t->n_sites; k++) {
        const struct tdbg_site *s = &b->sites[t->sites[k]];
        const int32_t state = s->stage == TDBG_STAGE_PARAM ? find_twin(b, s, TDBG_STAGE_STATE) : -1;
        if (state < 0 || find_twin(b, s, TDBG_STAGE_GRAD) < 0) /* running statistics have none */
            continue;
        t->before[n] = state;
        t->sites[n++] = t->sites[k];
    }
    if (t->n_sites > 0 && n == 0)
        return tdbg_expr_fault_set(b->fault, TDBG_USAGE, t->column, "update_ratio(fc1.weight)",
                                   "update_ratio is of parameters, and '%s' is none", t->pattern);
    t->n_sites = n;
    return n > 0 || not_found(b);
}

int64_t tdbg_expr_index_range(const struct tdbg_expr_index *index, int64_t n, int64_t *from)
{
    int64_t a = index->has_from ? index->from : 0, z = index->has_to ? index->to : n;
    a = a < 0 ? a + n : a;
    z = z < 0 ? z + n : z;
    if (index->is_single) {
        *from = a;
        return a >= 0 && a < n;
    }
    a = a < 0 ? 0 : a > n ? n : a;
    z = z < 0 ? 0 : z > n ? n : z;
    *from = a;
    return z > a ? z - a : 0;
}

static bool check_slice(struct binding *b)
{
    const struct tdbg_expr_term *t = b->term;
    char shape[200];
    int64_t from;
    if (t->n_indices > 0 &&
        (t->function == TDBG_EXPR_UPDATE_RATIO || t->function == TDBG_EXPR_RANKDIFF))
        return tdbg_expr_fault_set(b->fault, TDBG_USAGE, t->column, NULL,
                                   "%s is of whole tensors and takes no slice",
                                   tdbg_expr_function_text(t->function));
    for (int32_t k = 0; k < t->n_sites && t->n_indices > 0; k++) {
        const struct tdbg_site *s = &b->sites[t->sites[k]];
        tdbg_site_shape_text(s, shape, sizeof shape);
        if (t->n_indices > s->ndim)
            return tdbg_expr_fault_set(b->fault, TDBG_USAGE, t->column, NULL,
                                       "%d indices, but %s has the shape %.60s", t->n_indices,
                                       s->name, shape);
        for (int d = 0; d < t->n_indices; d++) {
            if (tdbg_expr_index_range(&t->index[d], s->dims[d], &from) == 0)
                return tdbg_expr_fault_set(b->fault, TDBG_USAGE, t->column, NULL,
                                           "index %d takes nothing of %s, whose shape is %.60s",
                                           d + 1, s->name, shape);
        }
    }
    return true;
}

/* Elements of a site that the term reads, in its largest shape. */
static int64_t count_elems(const struct tdbg_expr_term *t, const struct tdbg_site *s)
{
    int64_t n = 1, from;
    for (int32_t d = 0; d < s->ndim; d++)
        n *= d < t->n_indices ? tdbg_expr_index_range(&t->index[d], s->dims[d], &from) : s->dims[d];
    return n;
}

static bool check_scalar(struct binding *b)
{
    const struct tdbg_expr_term *t = b->term;
    char hint[200];
    if (t->n_sites == 1 && count_elems(t, &b->sites[t->sites[0]]) == 1)
        return true;
    snprintf(hint, sizeof hint, "of its elements together: mean(%.60s), absmax(%.60s)", t->pattern,
             t->pattern);
    return tdbg_expr_fault_set(b->fault, TDBG_USAGE, t->column, hint, "'%s' is not one number%s",
                               t->pattern,
                               t->n_sites > 1 ? " but several lanes or micro-batches" : "");
}

/* Ranks can differ in what each of them has: the sites of the whole step. */
static bool keep_shared(struct binding *b)
{
    struct tdbg_expr_term *t = b->term;
    int32_t n = 0;
    for (int32_t k = 0; k < t->n_sites; k++) {
        if (b->sites[t->sites[k]].lane == TDBG_LANE_ALL)
            t->sites[n++] = t->sites[k];
    }
    t->n_sites = n;
    return n > 0 || tdbg_expr_fault_set(b->fault, TDBG_USAGE, t->column, "rankdiff(param/*)",
                                        "each lane of '%s' is one rank's: there is nothing to "
                                        "compare",
                                        t->pattern);
}

static bool bind_term(struct binding *b, int32_t world_size)
{
    struct tdbg_expr_term *t = b->term;
    if (t->function == TDBG_EXPR_RANKDIFF && world_size < 2)
        return tdbg_expr_fault_set(b->fault, TDBG_CANNOT_JUDGE, t->column, NULL,
                                   "rankdiff compares ranks, and this trace has one");
    free(t->sites);
    free(t->before);
    t->sites = calloc((size_t)b->n_sites + 1, sizeof *t->sites);
    t->before = calloc((size_t)b->n_sites + 1, sizeof *t->before);
    if (!t->sites || !t->before)
        return tdbg_expr_fault_set(b->fault, TDBG_NO_MEMORY, t->column, NULL,
                                   "no memory for the sites of an expression");
    const bool found = t->function == TDBG_EXPR_UPDATE_RATIO ? find_parameters(b) : find_sites(b);
    if (!found || !check_slice(b))
        return false;
    return t->function == TDBG_EXPR_SCALAR     ? check_scalar(b)
           : t->function == TDBG_EXPR_RANKDIFF ? keep_shared(b)
                                               : true;
}

bool tdbg_expr_bind(struct tdbg_expr *expr, const struct tdbg_site *sites, int32_t n_sites,
                    int32_t world_size, struct tdbg_expr_fault *fault)
{
    for (int i = 0; i < expr->n_terms; i++) {
        struct binding b = {&expr->term[i], sites, n_sites, fault};
        if (!bind_term(&b, world_size))
            return false;
    }
    return true;
}
