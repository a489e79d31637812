/* What functions over sites can be in a zone. See expression_zone.h; this bounds what
 * expression_value.c computes, in the same order of operations. */
#include <math.h>

#include "replay/expression_zone.h"
#include "trace/layout.h"

/* A site at the steps of a zone at which the term has a value. */
struct site_range {
    bool is_always;                /* it is there at all of them; else at none for certain */
    bool may_be_finite, is_finite; /* where it is there, sometimes, always: has a finite element */
    int64_t elems_low, elems_high; /* where it is there */
    int64_t finite_low, finite_high; /* finite ones, where there is one */
    struct tdbg_zone_stats bounds;
};

/* --- one site --- */

static void widen(double low, double high, double *to_low, double *to_high)
{
    *to_low = low >= *to_low ? *to_low : low;
    *to_high = high <= *to_high ? *to_high : high;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Adds the steps that other bounds are of. */
static void merge(struct tdbg_zone_stats *z, const struct tdbg_zone_stats *other)
{
    if (other->recorded == 0)
        return;
    if (z->recorded == 0) {
        *z = *other;
        return;
    }
    z->recorded += other->recorded;
    z->zeros_low = lower(z->zeros_low, other->zeros_low);
    z->zeros_high = higher(z->zeros_high, other->zeros_high);
    z->nans_low = lower(z->nans_low, other->nans_low);
    z->nans_high = higher(z->nans_high, other->nans_high);
    z->infs_low = lower(z->infs_low, other->infs_low);
    z->infs_high = higher(z->infs_high, other->infs_high);
    if (other->finite == 0)
        return;
    if (z->finite == 0) { /* bounds of nothing */
        z->min_low = z->min_high = z->max_low = z->max_high = NAN;
        z->mean_low = z->mean_high = z->rms_low = z->rms_high = NAN;
    }
    z->finite += other->finite;
    widen(other->min_low, other->min_high, &z->min_low, &z->min_high);
    widen(other->max_low, other->max_high, &z->max_low, &z->max_high);
    widen(other->mean_low, other->mean_high, &z->mean_low, &z->mean_high);
    widen(other->rms_low, other->rms_high, &z->rms_low, &z->rms_high);
}

/* Steps from `first` on, n of them, that a cadence makes due. */
static int64_t count_due(int64_t first, int64_t n, int32_t every)
{
    return every <= 0 ? 0 : (first + n - 1) / every - (first > 0 ? (first - 1) / every : -1);
}

/* The state before a step is that after the one before it, where it has no digest of its own. */
static bool find_state(struct tdbg_expr_eval *e, int32_t site, struct site_range *out)
{
    const struct tdbg_expr_zone_view *view = &e->zones->view[e->zones->current];
    const struct tdbg_site_plan *plans = tdbg_trace_plans(e->trace);
    const int32_t after = e->after[site];
    if (after < 0 || plans[after].digest_every != 1 || view->stats[after].recorded != view->n)
        return false;
    merge(&out->bounds, &view->stats[after]);
    if (tdbg_trace_has_digest(e->trace, site, view->first, false))
        return true;
    const struct tdbg_expr_zone_view *before = tdbg_expr_zone_before(e);
    if (!before || before->stats[after].recorded != before->n)
        return false;
    merge(&out->bounds, &before->stats[after]);
    return true;
}

/* Valid elements of the site in the steps of the zone. */
static void bound_elems(const struct tdbg_expr_eval *e, const struct tdbg_site *s,
                        struct site_range *out)
{
    const struct tdbg_run_info *info = tdbg_trace_info(e->trace);
    const struct tdbg_zone_steps *z = &e->zones->view[e->zones->current].steps;
    int64_t first, rows;
    out->elems_low = out->elems_high = tdbg_site_elems(s);
    if (!s->batched || s->ndim == 0 || s->dims[0] == 0)
        return;
    if (z->samples_low != z->samples_high) { /* more samples may be fewer of a micro-batch */
        out->elems_low = 0;
        return;
    }
    tdbg_layout_slice(z->samples_low, info->lanes, info->accumulate, s->lane, s->micro, &first,
                      &rows);
    rows = rows < s->dims[0] ? rows : s->dims[0];
    out->elems_low = out->elems_high = rows * (out->elems_high / s->dims[0]);
}

static void bound_finite(struct site_range *out)
{
    const struct tdbg_zone_stats *z = &out->bounds;
    const int64_t odd_low = (int64_t)(z->nans_low + z->infs_low);
    const int64_t odd_high = (int64_t)(z->nans_high + z->infs_high);
    out->may_be_finite = z->finite > 0 && out->elems_high > odd_low;
    out->is_finite = z->finite == z->recorded && z->finite > 0 && out->elems_low > odd_high;
    out->finite_high = out->elems_high - odd_low;
    out->finite_low = out->elems_low > odd_high ? out->elems_low - odd_high : 1;
}

/* At which of the zone's steps a site is there: where there was an evaluation, or at all. */
static int64_t count_here(const struct tdbg_expr_eval *e, int32_t site)
{
    const struct tdbg_expr_zone_view *view = &e->zones->view[e->zones->current];
    return e->sites[site].stage == TDBG_STAGE_EVAL ? view->steps.evaluated : view->n;
}

/* false: at some step its statistics are not recorded, or the zone does not tell of it. */
static bool find_site(struct tdbg_expr_eval *e, int32_t site, struct site_range *out)
{
    const struct tdbg_expr_zone_view *view = &e->zones->view[e->zones->current];
    const struct tdbg_site *s = &e->sites[site];
    const int32_t every = tdbg_trace_plans(e->trace)[site].digest_every;
    const int64_t here = count_here(e, site);
    const int64_t due = every == 1                    ? here
                        : s->stage == TDBG_STAGE_EVAL ? -1 /* hangs on which steps evaluated */
                                                      : count_due(view->first, view->n, every);
    *out = (struct site_range){.bounds = view->stats[site]};
    if (out->bounds.recorded != due || (due < here && !find_state(e, site, out)))
        return false;
    bound_elems(e, s, out);
    bound_finite(out);
    return true;
}

/* --- all sites of a term --- */

struct bounds {
    double low, high;
};

/* At the steps of the zone at which the term has a value. */
struct gathered_range {
    bool all_here;                          /* all of the sites are there */
    bool may_be_finite;                     /* sometimes there is a finite element */
    bool is_finite;                         /* one of the sites always has one, */
    bool all_finite;                        /* every one has, where it is there */
    struct bounds elems, zeros, nans, infs; /* counts */
    struct bounds finite, sum, squares;     /* of finite elements */
    struct bounds min, max, mean, rms;      /* of any one of the sites */
    double min_high, max_low;               /* of those that always have a finite element */
};

static void add_count(struct bounds *b, double low, double high, bool is_always)
{
    b->low += is_always ? low : 0;
    b->high += high;
}

/* Adds a number times how many finite elements there are. */
static void add_product(struct bounds *b, double low, double high, const struct site_range *s)
{
    const double few = (double)s->finite_low, many = (double)s->finite_high;
    const double least = fmin(low * few, low * many), most = fmax(high * few, high * many);
    const bool is_sure = s->is_always && s->is_finite;
    b->low += is_sure ? least : fmin(least, 0);
    b->high += is_sure ? most : fmax(most, 0);
}

static void add_finite(struct gathered_range *g, const struct site_range *s)
{
    const struct tdbg_zone_stats *z = &s->bounds;
    const bool is_sure = s->is_always && s->is_finite;
    g->all_finite &= s->is_finite;
    if (!s->may_be_finite)
        return;
    g->may_be_finite = true;
    g->is_finite |= is_sure;
    g->finite.low += is_sure ? (double)s->finite_low : 0;
    g->finite.high += (double)s->finite_high;
    add_product(&g->sum, z->mean_low, z->mean_high, s);
    add_product(&g->squares, z->rms_low * z->rms_low, z->rms_high * z->rms_high, s);
    widen(z->min_low, z->min_high, &g->min.low, &g->min.high);
    widen(z->max_low, z->max_high, &g->max.low, &g->max.high);
    widen(z->mean_low, z->mean_high, &g->mean.low, &g->mean.high);
    widen(z->rms_low, z->rms_high, &g->rms.low, &g->rms.high);
    if (is_sure) {
        g->min_high = fmin(g->min_high, z->min_high);
        g->max_low = fmax(g->max_low, z->max_low);
    }
}

/* n_steps: at which the term has a value. false: some site's statistics are not recorded at some
 * of them. */
static bool gather(struct tdbg_expr_eval *e, const struct tdbg_expr_term *t, int64_t n_steps,
                   struct gathered_range *g)
{
    static const struct bounds none = {NAN, NAN};
    *g = (struct gathered_range){.all_here = true,
                                 .all_finite = true,
                                 .min = none,
                                 .max = none,
                                 .mean = none,
                                 .rms = none,
                                 .min_high = INFINITY,
                                 .max_low = -(double)INFINITY};
    for (int32_t k = 0; k < t->n_sites; k++) {
        const int64_t here = count_here(e, t->sites[k]);
        struct site_range s;
        g->all_here &= here == n_steps;
        if (here == 0)
            continue;
        if (!find_site(e, t->sites[k], &s))
            return false;
        const struct tdbg_zone_stats *z = &s.bounds;
        s.is_always = here == n_steps;
        add_count(&g->elems, (double)s.elems_low, (double)s.elems_high, s.is_always);
        add_count(&g->zeros, (double)z->zeros_low, (double)z->zeros_high, s.is_always);
        add_count(&g->nans, (double)z->nans_low, (double)z->nans_high, s.is_always);
        add_count(&g->infs, (double)z->infs_low, (double)z->infs_high, s.is_always);
        add_finite(g, &s);
    }
    g->min.high = fmin(g->min.high, g->min_high);
    g->max.low = fmax(g->max.low, g->max_low);
    return true;
}

/* Those at which one of the sites is there: only evaluations are not at all steps. */
static int64_t count_steps(const struct tdbg_expr_eval *e, const struct tdbg_expr_term *t)
{
    int64_t n = 0;
    for (int32_t k = 0; k < t->n_sites; k++) {
        const int64_t here = count_here(e, t->sites[k]);
        n = here > n ? here : n;
    }
    return n;
}

/* --- functions --- */

static struct tdbg_value_range between(struct bounds b)
{
    return tdbg_value_between(b.low, b.high, false);
}

static struct tdbg_value_range root(struct tdbg_value_range r)
{
    return tdbg_value_between(sqrt(r.low), sqrt(r.high), r.may_be_nan);
}

/* A sum over the finite elements, by how many there are. */
static struct tdbg_value_range average(const struct gathered_range *g, struct bounds sum)
{
    const struct bounds n = {fmax(g->finite.low, 1), g->finite.high};
    return tdbg_value_compute(TDBG_EXPR_DIVIDE, between(sum), between(n));
}

/* Where one tensor is there alone, it is what was recorded of that, to the last bit. */
static struct tdbg_value_range or_of_one(const struct gathered_range *g,
                                         struct tdbg_value_range of_all, struct bounds of_one)
{
    return g->all_here ? of_all : tdbg_value_union(of_all, between(of_one));
}

static struct tdbg_value_range mean(const struct gathered_range *g, bool is_one)
{
    if (is_one)
        return between(g->mean);
    if (!isfinite(g->sum.low) || !isfinite(g->sum.high)) /* infinities may meet on the way */
        return tdbg_value_between(-(double)INFINITY, (double)INFINITY, true);
    return or_of_one(g, average(g, g->sum), g->mean);
}

static struct tdbg_value_range rms(const struct gathered_range *g, bool is_one)
{
    return is_one ? between(g->rms) : or_of_one(g, root(average(g, g->squares)), g->rms);
}

/* Absolute values of the numbers between bounds. */
static struct bounds magnitude(struct bounds b)
{
    const double a = fabs(b.low), z = fabs(b.high);
    return (struct bounds){b.low <= 0 && b.high >= 0 ? 0 : fmin(a, z), fmax(a, z)};
}

static struct tdbg_value_range absmax(const struct gathered_range *g)
{
    const struct bounds a = magnitude(g->min), z = magnitude(g->max);
    return tdbg_value_between(fmax(a.low, z.low), fmax(a.high, z.high), false);
}

/* Of the finite elements; NaN where there is none at a step. */
static struct tdbg_value_range of_finite(enum tdbg_expr_function function,
                                         const struct gathered_range *g, bool is_one)
{
    struct tdbg_value_range out = tdbg_value_no_number(false);
    if (!g->may_be_finite)
        return tdbg_value_no_number(true);
    if (function == TDBG_EXPR_MIN)
        out = between(g->min);
    else if (function == TDBG_EXPR_MAX)
        out = between(g->max);
    else if (function == TDBG_EXPR_MEAN || function == TDBG_EXPR_SCALAR)
        out = mean(g, is_one);
    else if (function == TDBG_EXPR_RMS)
        out = rms(g, is_one);
    else if (function == TDBG_EXPR_ABSMAX)
        out = absmax(g);
    else
        out = root(between(g->squares));
    out.may_be_nan |= !g->is_finite && !g->all_finite;
    return out;
}

/* absmax and norm are infinite where an element is. */
static struct tdbg_value_range of_all(enum tdbg_expr_function function,
                                      const struct gathered_range *g, bool is_one)
{
    const struct tdbg_value_range infinite =
        tdbg_value_between((double)INFINITY, (double)INFINITY, false);
    if (g->infs.low > 0)
        return infinite;
    const struct tdbg_value_range out = of_finite(function, g, is_one);
    return g->infs.high > 0 ? tdbg_value_union(out, infinite) : out;
}

static struct tdbg_value_range result(enum tdbg_expr_function function,
                                      const struct gathered_range *g, bool is_one)
{
    switch (function) {
    case TDBG_EXPR_ZEROS:
        return between(g->zeros);
    case TDBG_EXPR_NAN:
        return between(g->nans);
    case TDBG_EXPR_INF:
        return between(g->infs);
    case TDBG_EXPR_COUNT:
        return between(g->elems);
    case TDBG_EXPR_ABSMAX:
    case TDBG_EXPR_NORM:
        return of_all(function, g, is_one);
    case TDBG_EXPR_MIN:
    case TDBG_EXPR_MAX:
    case TDBG_EXPR_MEAN:
    case TDBG_EXPR_RMS:
    case TDBG_EXPR_SCALAR:
        return of_finite(function, g, is_one);
    case TDBG_EXPR_UPDATE_RATIO:
    case TDBG_EXPR_RANKDIFF:
    case TDBG_EXPR_FUNCTION_COUNT:
        break;
    }
    return tdbg_value_any();
}

/* Of what may have to be executed, or cannot be told. */
static struct tdbg_value_range pending(struct tdbg_expr_eval *e)
{
    e->zones->is_pending = true;
    return tdbg_value_any();
}

static struct tdbg_value_range ranks_differ(struct tdbg_expr_eval *e,
                                            const struct tdbg_expr_term *t)
{
    const struct tdbg_expr_zone_view *view = &e->zones->view[e->zones->current];
    bool may_differ, is_known;
    if (!e->ranks && tdbg_expr_ranks_open(e->trace, &e->ranks, NULL) != TDBG_OK)
        return pending(e); /* why not is said at the first step */
    if (!tdbg_expr_ranks_compare_zone(e->ranks, t, view->first, view->n, &may_differ, &is_known))
        return pending(e);
    struct tdbg_value_range out = tdbg_value_between(0, may_differ ? t->n_sites : 0, false);
    out.may_be_absent = !is_known;
    return out;
}

struct tdbg_value_range tdbg_expr_zone_term(struct tdbg_expr_eval *e, int i)
{
    const struct tdbg_expr_term *t = &e->expr->term[i];
    const int64_t n_steps = count_steps(e, t);
    struct gathered_range g;
    if (t->function == TDBG_EXPR_RANKDIFF)
        return ranks_differ(e, t);
    if (t->n_indices > 0 || t->function == TDBG_EXPR_UPDATE_RATIO || !gather(e, t, n_steps, &g))
        return pending(e);
    struct tdbg_value_range out =
        n_steps > 0 ? result(t->function, &g, t->n_sites == 1) : tdbg_value_no_number(false);
    out.may_be_absent = n_steps < e->zones->view[e->zones->current].n;
    return out;
}
