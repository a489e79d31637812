/* Functions over sites. See expression_value.h. */
#include "replay/expression_value.h"

#include <math.h>
#include <string.h>

#include "base/convert.h"

void tdbg_expr_gather_stats(struct tdbg_expr_gathered *g, const struct tdbg_stats *s, int64_t elems)
{
    const int64_t odd = (int64_t)(s->nans + s->infs), finite = elems > odd ? elems - odd : 0;
    g->n_tensors++;
    g->elems += elems;
    g->zeros += s->zeros;
    g->nans += s->nans;
    g->infs += s->infs;
    if (finite == 0 || isnan(s->min))
        return;
    g->min = g->finite == 0 || s->min < g->min ? s->min : g->min;
    g->max = g->finite == 0 || s->max > g->max ? s->max : g->max;
    g->finite += finite;
    g->sum += s->mean * (double)finite;
    g->sum_of_squares += s->rms * s->rms * (double)finite;
    g->mean = s->mean;
    g->rms = s->rms;
}

/* Copies the elements of a block of indices, the last dimension in one piece. */
static int64_t copy_block(const int64_t *dims, const int64_t *from, const int64_t *n, int ndim,
                          size_t width, const char *data, char *out)
{
    int64_t at[TDBG_MAX_DIMS] = {0}, copied = 0;
    const int64_t run = n[ndim - 1];
    for (int d = 0; d < ndim; d++) {
        if (n[d] == 0)
            return 0;
    }
    for (;;) {
        int64_t offset = 0;
        for (int d = 0; d < ndim; d++)
            offset = offset * dims[d] + from[d] + (d < ndim - 1 ? at[d] : 0);
        memcpy(out + (size_t)copied * width, data + (size_t)offset * width, (size_t)run * width);
        copied += run;
        int d = ndim - 2;
        while (d >= 0 && ++at[d] == n[d])
            at[d--] = 0;
        if (d < 0)
            return copied;
    }
}

void tdbg_expr_gather_slice(struct tdbg_expr_gathered *g, const struct tdbg_expr_term *term,
                            const struct tdbg_site *site, const void *data, int64_t elems,
                            void *scratch)
{
    int64_t dims[TDBG_MAX_DIMS], from[TDBG_MAX_DIMS] = {0}, n[TDBG_MAX_DIMS], row = 1;
    struct tdbg_stats stats;
    memcpy(dims, site->dims, sizeof dims);
    for (int32_t d = 1; d < site->ndim; d++)
        row *= dims[d];
    dims[0] = row > 0 ? elems / row : 0; /* fewer on a short batch */
    for (int32_t d = 0; d < site->ndim; d++)
        n[d] = d < term->n_indices ? tdbg_expr_index_range(&term->index[d], dims[d], &from[d])
                                   : dims[d];
    const int64_t copied =
        copy_block(dims, from, n, site->ndim, tdbg_dtype_bytes(site->dtype), data, scratch);
    if (copied == 0)
        return;
    tdbg_stats_fast(scratch, site->dtype, copied, &stats);
    tdbg_expr_gather_stats(g, &stats, copied);
}

void tdbg_expr_gather_update(struct tdbg_expr_gathered *g, const void *before, const void *after,
                             enum tdbg_dtype dtype, int64_t elems)
{
    g->n_tensors++;
    g->elems += elems;
    for (int64_t i = 0; i < elems; i++) {
        const double w = tdbg_convert_elem_to_f64(before, dtype, i);
        const double update = tdbg_convert_elem_to_f64(after, dtype, i) - w;
        g->update_squares += update * update;
        g->weight_squares += w * w;
    }
}

double tdbg_expr_result(enum tdbg_expr_function function, const struct tdbg_expr_gathered *g)
{
    const bool one = g->n_tensors == 1;
    switch (function) {
    case TDBG_EXPR_MIN:
        return g->finite ? g->min : NAN;
    case TDBG_EXPR_MAX:
        return g->finite ? g->max : NAN;
    case TDBG_EXPR_SCALAR: /* an infinite one: its sign is not among the statistics */
        return g->finite ? g->mean : NAN;
    case TDBG_EXPR_MEAN:
        return !g->finite ? NAN : one ? g->mean : g->sum / (double)g->finite;
    case TDBG_EXPR_RMS:
        return !g->finite ? NAN : one ? g->rms : sqrt(g->sum_of_squares / (double)g->finite);
    case TDBG_EXPR_ABSMAX:
        return g->infs ? INFINITY : g->finite ? fmax(fabs(g->min), fabs(g->max)) : NAN;
    case TDBG_EXPR_NORM:
        return g->infs ? INFINITY : g->finite ? sqrt(g->sum_of_squares) : NAN;
    case TDBG_EXPR_ZEROS:
        return (double)g->zeros;
    case TDBG_EXPR_NAN:
        return (double)g->nans;
    case TDBG_EXPR_INF:
        return (double)g->infs;
    case TDBG_EXPR_COUNT:
        return (double)g->elems;
    case TDBG_EXPR_UPDATE_RATIO:
        return sqrt(g->update_squares / g->weight_squares);
    case TDBG_EXPR_RANKDIFF:
        return (double)g->differ;
    case TDBG_EXPR_FUNCTION_COUNT:
        break;
    }
    TDBG_BUG("function %d of an expression", (int)function);
}
