/* The rules behind the findings: one table. A rule holds what it saw in its state and adds a
 * finding when it is sure. See finding_list.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/expression_eval.h"
#include "replay/rank_split.h"
#include "tui/finding_list.h"

static struct tdbg_tui_finding *held(struct tdbg_tui_findings *f, int index_plus_1)
{
    return index_plus_1 > 0 ? &f->list[index_plus_1 - 1] : NULL;
}

#define SAY(field, ...) snprintf(field, sizeof(field), __VA_ARGS__)

/* ---- loss and gradient norm that are not finite ---- */

struct nonfinite {
    int finding; /* index + 1; 0: none yet */
    bool has_finite;
    int64_t before; /* step of the last one seen */
};

/* Each range of steps is a place to look at, but all are one finding. */
static void note_nonfinite(struct tdbg_tui_findings *f, struct nonfinite *s, int64_t step,
                           const char *what, const char *where, const char *condition)
{
    struct tdbg_tui_finding *finding = held(f, s->finding);
    if (!finding || s->before != step - 1)
        tdbg_tui_findings_want(f, step);
    s->before = step;
    if (finding) {
        tdbg_tui_finding_extend(finding, step);
        return;
    }
    finding = tdbg_tui_findings_add(f, '!', step, -1, what);
    if (!finding)
        return;
    s->finding = f->n;
    SAY(finding->where, "%s", where);
    SAY(finding->why, "the first tensor with NaN or Inf of that step is the one to look at");
    SAY(finding->advice, ":goto %" PRId64 "  then o for the origin", step);
    SAY(finding->condition, "%s", condition);
}

static void loss_nonfinite(struct tdbg_tui_findings *f, void *state,
                           const struct tdbg_step_row *row)
{
    if (!isfinite(row->loss))
        note_nonfinite(f, state, row->step, "non-finite loss", "loss", "nan(loss) or inf(loss)");
}

/* A row without a norm says NaN as well: only after a finite one it means something. */
static void norm_nonfinite(struct tdbg_tui_findings *f, void *state,
                           const struct tdbg_step_row *row)
{
    struct nonfinite *s = state;
    if (isfinite(row->grad_norm))
        s->has_finite = true;
    else if (s->has_finite || isinf(row->grad_norm))
        note_nonfinite(f, s, row->step, "non-finite gradient norm", "all gradients",
                       "nan(grad/*) or inf(grad/*)");
}

/* ---- the first tensor of each stage that is not finite ---- */

struct nonfinite_sites {
    int finding[TDBG_STAGE_COUNT];
};

static void sites_nonfinite(struct tdbg_tui_findings *f, void *state, int64_t step,
                            const struct tdbg_stats *stats)
{
    struct nonfinite_sites *s = state;
    bool seen[TDBG_STAGE_COUNT] = {false};
    for (int32_t i = 0; i < f->data->n_sites; i++) {
        const struct tdbg_site *site = &f->data->sites[i];
        if ((!stats[i].nans && !stats[i].infs) || seen[site->stage])
            continue;
        seen[site->stage] = true;
        struct tdbg_tui_finding *finding = held(f, s->finding[site->stage]);
        const bool is_first = !finding || step < finding->step;
        if (!finding) {
            finding = tdbg_tui_findings_add(f, '!', step, i, "non-finite tensor");
            if (!finding)
                return;
            s->finding[site->stage] = f->n;
        } else {
            tdbg_tui_finding_extend(finding, step);
        }
        if (!is_first)
            continue;
        finding->site = i;
        tdbg_tui_findings_label(f, i, finding->where);
        SAY(finding->why, "made by %s: %" PRIu64 " NaN, %" PRIu64 " Inf of %" PRId64 " elements",
            site->op, stats[i].nans, stats[i].infs, tdbg_site_elems(site));
        SAY(finding->advice, ":goto %" PRId64 "  :b nan(%.60s)", step, site->name);
        SAY(finding->condition, "nan(%s) or inf(%s)", site->name, site->name);
    }
}

/* ---- loss that grows ---- */

struct diverging {
    struct tdbg_diverges diverges;
    int finding;
};

static void loss_diverges(struct tdbg_tui_findings *f, void *state, const struct tdbg_step_row *row)
{
    struct diverging *s = state;
    if (!isfinite(row->loss) || !tdbg_diverges_add(&s->diverges, (double)row->loss))
        return;
    if (s->finding) {
        tdbg_tui_finding_extend(held(f, s->finding), row->step);
        return;
    }
    struct tdbg_tui_finding *finding =
        tdbg_tui_findings_add(f, '!', row->step, -1, "loss diverges");
    if (!finding)
        return;
    s->finding = f->n;
    SAY(finding->where, "loss");
    SAY(finding->why, "mean of 20 steps %.3g, more than 1.5 times the lowest one so far, %.3g",
        s->diverges.mean, s->diverges.smallest);
    SAY(finding->advice, "a lower learning rate (it is %.3g here), clipping, more warmup",
        (double)row->lr);
    SAY(finding->condition, "diverges(loss)");
}

/* ---- gradient norm that jumps ---- */

enum { SPIKE_WINDOW = 100, SPIKE_LEAST = 20, SPIKE_GAP = 10 };
static const double spike_factor = 4;

struct spikes {
    double last[SPIKE_WINDOW];
    int64_t n;    /* finite values so far */
    int finding;  /* the last one, */
    int64_t step; /* and its last step */
};

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct spikes *s)
{
    double sorted[SPIKE_WINDOW];
    const int n = s->n < SPIKE_WINDOW ? (int)s->n : SPIKE_WINDOW;
    memcpy(sorted, s->last, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void note_spike(struct tdbg_tui_findings *f, struct spikes *s,
                       const struct tdbg_step_row *row, double usual)
{
    if (s->finding && row->step - s->step <= SPIKE_GAP) {
        s->step = row->step;
        tdbg_tui_finding_extend(held(f, s->finding), row->step);
        return;
    }
    char what[48];
    SAY(what, "grad norm %.1fx median", row->grad_norm / usual);
    struct tdbg_tui_finding *finding = tdbg_tui_findings_add(f, '~', row->step, -1, what);
    s->finding = finding ? f->n : s->finding;
    s->step = row->step;
    if (!finding)
        return;
    SAY(finding->where, "all gradients");
    SAY(finding->why, "gradient norm %.3g; the median of the steps before is %.3g", row->grad_norm,
        usual);
    SAY(finding->advice, ":goto %" PRId64 "  look at the input (F6) and the loss per sample",
        row->step);
    SAY(finding->condition, "grad_norm > %.3g", spike_factor * usual);
}

static void norm_spikes(struct tdbg_tui_findings *f, void *state, const struct tdbg_step_row *row)
{
    struct spikes *s = state;
    if (!isfinite(row->grad_norm))
        return;
    if (s->n >= SPIKE_LEAST) {
        /* the median only where a look at the mean says that it may matter */
        double sum = 0;
        const int n = s->n < SPIKE_WINDOW ? (int)s->n : SPIKE_WINDOW;
        for (int i = 0; i < n; i++)
            sum += s->last[i];
        const double usual = row->grad_norm > sum / n ? median(s) : INFINITY;
        if (row->grad_norm > spike_factor * usual && usual > 0)
            note_spike(f, s, row, usual);
    }
    s->last[s->n++ % SPIKE_WINDOW] = row->grad_norm;
}

/* ---- tensors that are nothing but zeros ---- */

enum { DEAD_LEAST_ELEMS = 16, SILENT_LEAST_STEPS = 8 };

struct zeros {
    int *finding; /* (n_sites) */
    int64_t *n;   /* (n_sites) steps: all zero; -1: not once more */
    int64_t n_steps, first;
};

static void make_zeros(struct tdbg_tui_findings *f, struct zeros *s)
{
    if (s->finding)
        return;
    s->finding = calloc((size_t)f->data->n_sites + 1, sizeof *s->finding);
    s->n = calloc((size_t)f->data->n_sites + 1, sizeof *s->n);
    if (!s->finding || !s->n)
        TDBG_BUG("no memory for the findings");
}

static void release_zeros(void *state)
{
    struct zeros *s = state;
    free(s->finding);
    free(s->n);
}

static void dead_layers(struct tdbg_tui_findings *f, void *state, int64_t step,
                        const struct tdbg_stats *stats)
{
    struct zeros *s = state;
    make_zeros(f, s);
    for (int32_t i = 0; i < f->data->n_sites; i++) {
        const struct tdbg_site *site = &f->data->sites[i];
        const int64_t elems = tdbg_site_elems(site);
        if (site->stage != TDBG_STAGE_FWD || elems < DEAD_LEAST_ELEMS ||
            !((double)stats[i].zeros > 0.99 * (double)elems))
            continue;
        if (s->finding[i]) {
            tdbg_tui_finding_extend(held(f, s->finding[i]), step);
            continue;
        }
        struct tdbg_tui_finding *finding =
            tdbg_tui_findings_add(f, '~', step, i, "layer is dead: > 99 % zeros");
        if (!finding)
            return;
        s->finding[i] = f->n;
        SAY(finding->why, "%" PRIu64 " of %" PRId64 " outputs of %s are 0: no gradient comes back",
            stats[i].zeros, elems, site->op);
        SAY(finding->advice, "a lower learning rate, another initialisation, leaky_relu");
        SAY(finding->condition, "zeros(%s) > %.0f", site->name, 0.99 * (double)elems);
    }
}

static void silent_parameters(struct tdbg_tui_findings *f, void *state, int64_t step,
                              const struct tdbg_stats *stats)
{
    struct zeros *s = state;
    make_zeros(f, s);
    s->first = s->n_steps++ == 0 || step < s->first ? step : s->first;
    for (int32_t i = 0; i < f->data->n_sites; i++) {
        if (f->data->sites[i].stage != TDBG_STAGE_GRAD || s->n[i] < 0)
            continue;
        const bool is_zero = tdbg_tui_stats_present(&stats[i]) &&
                             stats[i].zeros == (uint64_t)tdbg_site_elems(&f->data->sites[i]);
        s->n[i] = is_zero ? s->n[i] + 1 : tdbg_tui_stats_present(&stats[i]) ? -1 : s->n[i];
    }
}

static bool silent_result(struct tdbg_tui_findings *f, void *state, struct tdbg_tui_model *m)
{
    struct zeros *s = state;
    (void)m;
    for (int32_t i = 0; s->n && i < f->data->n_sites; i++) {
        if (s->n[i] < SILENT_LEAST_STEPS)
            continue;
        struct tdbg_tui_finding *finding =
            tdbg_tui_findings_add(f, '~', s->first, i, "gradient is 0 throughout");
        if (!finding)
            break;
        finding->count = s->n[i];
        finding->last = f->data->first_step + f->data->n_steps - 1;
        SAY(finding->why, "the parameter learns nothing: frozen, unused, or behind a dead layer");
        SAY(finding->advice, "see the optimizer's groups (Space p)");
    }
    return false;
}

/* ---- training loss falls, evaluation loss rises ---- */

enum { EVALS = 256, OVERFIT_RISES = 3 };

struct overfit {
    int64_t step[EVALS]; /* evenly thinned where there are more */
    double train[EVALS]; /* mean of the training loss since the evaluation before */
    double eval[EVALS];
    int n, n_read, every, skipped;
    double sum;
    int64_t n_sum;
};

/* Every second one is dropped where there is no more room. */
static void thin(struct overfit *s)
{
    for (int i = 0; i < s->n / 2; i++) {
        s->step[i] = s->step[2 * i + 1];
        s->train[i] = (s->train[2 * i] + s->train[2 * i + 1]) / 2;
    }
    s->n /= 2;
    s->every *= 2;
}

static void overfit_row(struct tdbg_tui_findings *f, void *state, const struct tdbg_step_row *row)
{
    struct overfit *s = state;
    (void)f;
    if (isfinite(row->loss)) {
        s->sum += (double)row->loss;
        s->n_sum++;
    }
    if (!row->evaluated)
        return;
    s->every = s->every ? s->every : 1;
    if (++s->skipped < s->every)
        return;
    if (s->n == EVALS)
        thin(s);
    s->skipped = 0;
    s->step[s->n] = row->step;
    s->train[s->n++] = s->n_sum ? s->sum / (double)s->n_sum : (double)NAN;
    s->sum = 0;
    s->n_sum = 0;
}

static void overfit_result(struct tdbg_tui_findings *f, const struct overfit *s, int32_t site)
{
    int least = 0;
    for (int i = 1; i < s->n; i++)
        least = s->eval[i] < s->eval[least] ? i : least;
    const int last = s->n - 1;
    if (s->n <= least + OVERFIT_RISES || !(s->eval[last] > 1.05 * s->eval[least]) ||
        !(s->train[last] < s->train[least]))
        return;
    struct tdbg_tui_finding *finding =
        tdbg_tui_findings_add(f, '~', s->step[least], site, "eval loss rises, loss falls");
    if (!finding)
        return;
    finding->count = last - least;
    finding->last = s->step[last];
    SAY(finding->why, "evaluation loss %.3g to %.3g, training loss %.3g to %.3g: it overfits",
        s->eval[least], s->eval[last], s->train[least], s->train[last]);
    SAY(finding->advice, "stop at %" PRId64 ", more data, augmentation, dropout, weight decay",
        s->step[least]);
}

static bool overfit_slice(struct tdbg_tui_findings *f, void *state, struct tdbg_tui_model *m)
{
    struct overfit *s = state;
    const int32_t site = m->eval_sites[0];
    struct tdbg_stats stats;
    if (site < 0)
        return false;
    if (s->n_read == s->n) {
        overfit_result(f, s, site);
        return false;
    }
    const int64_t step = s->step[s->n_read];
    const bool has = f->data->read_stats(f->data->context, step, site, &stats, NULL) == TDBG_OK;
    s->eval[s->n_read++] = has ? stats.mean : (double)NAN;
    return true;
}

/* ---- ranks that part ---- */

static bool rank_slice(struct tdbg_tui_findings *f, void *state, struct tdbg_tui_model *m)
{
    const struct tdbg_tui_ranks *ranks = m->data->ranks;
    struct tdbg_rank_split split;
    (void)state;
    if (!ranks || ranks->find_split(ranks->context, &split, NULL) != TDBG_OK || !split.found)
        return false;
    const int32_t site = split.site < f->data->n_sites ? split.site : -1;
    struct tdbg_tui_finding *finding =
        tdbg_tui_findings_add(f, '!', split.step, site, "ranks differ");
    if (!finding)
        return false;
    finding->last = f->data->first_step + f->data->n_steps - 1;
    finding->count = finding->last - split.step + 1;
    SAY(finding->why, "rank %.80s has other bits than most from step %" PRId64 " on", split.ranks,
        split.step);
    SAY(finding->advice,
        "the ranks screen (F5); tdbg replay --verify says which one computed wrong");
    SAY(finding->condition, "rankdiff");
    return false;
}

/* In the order in which their findings come where steps are equal. */
const struct tdbg_tui_rule tdbg_tui_rules[] = {
    {.name = "loss.nonfinite", .state_bytes = sizeof(struct nonfinite), .row = loss_nonfinite},
    {.name = "grad_norm.nonfinite", .state_bytes = sizeof(struct nonfinite), .row = norm_nonfinite},
    {.name = "sites.nonfinite",
     .state_bytes = sizeof(struct nonfinite_sites),
     .stats = sites_nonfinite},
    {.name = "loss.diverges", .state_bytes = sizeof(struct diverging), .row = loss_diverges},
    {.name = "grad_norm.spike", .state_bytes = sizeof(struct spikes), .row = norm_spikes},
    {.name = "layer.dead",
     .state_bytes = sizeof(struct zeros),
     .stats = dead_layers,
     .release = release_zeros},
    {.name = "grad.zero",
     .state_bytes = sizeof(struct zeros),
     .stats = silent_parameters,
     .slice = silent_result,
     .release = release_zeros},
    {.name = "eval.overfit",
     .state_bytes = sizeof(struct overfit),
     .row = overfit_row,
     .slice = overfit_slice},
    {.name = "ranks.differ", .slice = rank_slice},
    {.name = NULL},
};
