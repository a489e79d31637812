/* Reading the ranks' rows. See ranks.h. */
#include "tui/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void tdbg_tui_rank_table_free(struct tdbg_tui_rank_table *t)
{
    free(t->rows);
    free(t->digests);
    free(t->fold_why);
    free(t->values);
    free(t->difference_why);
    *t = (struct tdbg_tui_rank_table){0};
}

/* Why a row is not there was borrowed from the files. */
void tdbg_tui_rank_table_renew(struct tdbg_tui_rank_table *t)
{
    const int32_t top = t->top;
    bool has_gap = false;
    for (int32_t r = 0; t->rows && r < t->n; r++)
        has_gap = has_gap || t->rows[r].why;
    if (has_gap) {
        tdbg_tui_rank_table_free(t);
        t->top = top;
        t->rank_a = t->rank_b = t->site = -1; /* an answer may be on its way */
    }
}

static int32_t find_tensor(const struct tdbg_tui_data *data, enum tdbg_stage stage,
                           const char *tensor)
{
    for (int32_t i = 0; i < data->n_sites; i++) {
        if (data->sites[i].stage == stage && strcmp(tdbg_site_tensor(&data->sites[i]), tensor) == 0)
            return i;
    }
    return -1;
}

/* "fc1" is of "fc1.weight", and "fc1.weight.exp_avg" too. */
static bool is_of(const char *longer, const char *shorter)
{
    const size_t n = strlen(shorter);
    return strncmp(longer, shorter, n) == 0 && (longer[n] == 0 || longer[n] == '.');
}

/* The all-reduce that the focus has to do with: of its tensor, of its op's parameter, or the first.
 */
static int32_t find_share(const struct tdbg_tui_data *data, int32_t focus)
{
    const char *tensor = focus < data->n_sites ? tdbg_site_tensor(&data->sites[focus]) : "";
    const int32_t exact = find_tensor(data, TDBG_STAGE_REDUCE_IN, tensor);
    int32_t first = -1;
    for (int32_t i = 0; exact < 0 && i < data->n_sites; i++) {
        if (data->sites[i].stage != TDBG_STAGE_REDUCE_IN)
            continue;
        const char *share = tdbg_site_tensor(&data->sites[i]);
        if (is_of(tensor, share) || is_of(share, tensor))
            return i;
        first = first < 0 ? i : first;
    }
    return exact >= 0 ? exact : first;
}

static void start(struct tdbg_tui_rank_table *t, const struct tdbg_tui_model *m)
{
    const struct tdbg_tui_data *data = m->data;
    const int32_t top = t->top;
    tdbg_tui_rank_table_free(t);
    t->top = top;
    t->n = data->info->world_size;
    t->step = m->focus.step;
    t->focus_site = m->focus.site;
    t->rank_a = t->rank_b = t->site = -1;
    t->in_site = find_share(data, m->focus.site);
    t->out_site = t->expected_site = -1;
    if (t->in_site >= 0) {
        const char *tensor = tdbg_site_tensor(&data->sites[t->in_site]);
        t->out_site = find_tensor(data, TDBG_STAGE_REDUCE_OUT, tensor);
        t->expected_site = find_tensor(data, TDBG_STAGE_BWD, tensor);
    }
    t->rows = calloc((size_t)t->n, sizeof *t->rows);
    t->digests = calloc((size_t)data->n_sites + 1, sizeof *t->digests);
    if (!t->rows || !t->digests)
        TDBG_BUG("no memory for the rows of %d ranks", (int)t->n);
}

/* Lanes of one tensor stand beside each other in the list. */
static int32_t lanes_end(const struct tdbg_tui_data *data, int32_t site)
{
    int32_t end = site + 1;
    while (end < data->n_sites && data->sites[site].lane >= 0 &&
           strcmp(data->sites[end].name, data->sites[site].name) == 0)
        end++;
    return end;
}

static bool add_digests(const struct tdbg_tui_rank_table *t, const struct tdbg_tui_data *data,
                        int32_t site, uint64_t *sum)
{
    bool any = false;
    *sum = 0;
    for (int32_t i = site; site >= 0 && i < lanes_end(data, site); i++) {
        any = any || t->digests[i] != 0;
        *sum += t->digests[i];
    }
    return any;
}

static double norm_of(const struct tdbg_tui_data *data, int64_t step, int32_t site)
{
    double sum = 0;
    for (int32_t i = site; i < lanes_end(data, site); i++) {
        struct tdbg_stats stats;
        if (data->read_stats(data->context, step, i, &stats, NULL) != TDBG_OK ||
            !tdbg_tui_stats_present(&stats))
            return (double)NAN;
        if (stats.nans || stats.infs)
            return stats.nans ? (double)NAN : (double)INFINITY;
        sum += stats.rms * stats.rms * (double)tdbg_site_elems(&data->sites[i]);
    }
    return sqrt(sum);
}

static enum tdbg_status read_row(struct tdbg_tui_rank_table *t, const struct tdbg_tui_data *data,
                                 struct tdbg_tui_rank_row *row, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_step_row step;
    TDBG_TRY(data->read_steps(data->context, t->step, 1, &step, err));
    row->wait_ns = step.wait_ns;
    row->duration_ns = step.duration_ns;
    TDBG_TRY(data->read_digests(data->context, t->step, t->digests, err));
    if (t->in_site >= 0) {
        row->in_norm = norm_of(data, t->step, t->in_site);
        row->has_in = add_digests(t, data, t->in_site, &row->in);
        row->has_expected = add_digests(t, data, t->expected_site, &row->expected);
    }
    row->has_out = add_digests(t, data, t->out_site, &row->out);
    if (t->focus_site < data->n_sites && data->sites[t->focus_site].lane < 0)
        row->has_here = add_digests(t, data, t->focus_site, &row->here);
out:
    return st;
}

static void load_row(struct tdbg_tui_rank_table *t, struct tdbg_tui_model *m, int32_t rank)
{
    struct tdbg_tui_rank_row *row = &t->rows[rank];
    const struct tdbg_tui_ranks *ranks = m->data->ranks;
    struct tdbg_err err = {0};
    row->is_read = true;
    row->in_norm = (double)NAN;
    const struct tdbg_tui_data *data = rank == m->focus.rank ? m->data
                                       : ranks ? ranks->open(ranks->context, rank, &row->why)
                                               : NULL;
    if (data && (t->step < data->first_step || t->step >= data->first_step + data->n_steps)) {
        row->why = "its file does not have this step";
        return;
    }
    row->is_there = data != NULL;
    if (data && read_row(t, data, row, &err) != TDBG_OK) {
        tdbg_tui_model_say_error(m, "%s", err.message ? err.message : "cannot read a rank's file");
        tdbg_err_clear(&err);
    }
}

/* How many ranks have the same output (or, here, value of the focus) as one of them. */
static int32_t count_same(const struct tdbg_tui_rank_table *t, int32_t rank, bool here)
{
    int32_t n = 0;
    for (int32_t k = 0; k < t->n; k++) {
        if (here)
            n += t->rows[k].has_here && t->rows[k].here == t->rows[rank].here;
        else
            n += t->rows[k].has_out && t->rows[k].out == t->rows[rank].out;
    }
    return n;
}

/* The first of the ranks that most agree with; -1: nobody has one. */
static int32_t most_common(const struct tdbg_tui_rank_table *t, bool here)
{
    int32_t best = -1, most = 0;
    for (int32_t k = 0; k < t->n; k++) {
        const bool has = here ? t->rows[k].has_here : t->rows[k].has_out;
        const int32_t n = has ? count_same(t, k, here) : 0;
        if (n > most) {
            most = n;
            best = k;
        }
    }
    return best;
}

static void compare_rows(struct tdbg_tui_rank_table *t)
{
    const int32_t out = most_common(t, false), here = most_common(t, true);
    for (int32_t k = 0; k < t->n; k++) {
        struct tdbg_tui_rank_row *row = &t->rows[k];
        row->out_differs = out >= 0 && row->has_out && row->out != t->rows[out].out;
        row->here_differs = here >= 0 && row->has_here && row->here != t->rows[here].here;
    }
}

bool tdbg_tui_rank_table_load(struct tdbg_tui_rank_table *t, struct tdbg_tui_model *m, int n_rows)
{
    if (!t->rows || t->step != m->focus.step || t->focus_site != m->focus.site)
        start(t, m);
    const int32_t before = t->n_read;
    for (; n_rows > 0 && t->n_read < t->n; n_rows--)
        load_row(t, m, t->n_read++);
    if (t->n_read > before)
        compare_rows(t);
    return t->n_read > before;
}

bool tdbg_tui_rank_table_fold(struct tdbg_tui_rank_table *t, const struct tdbg_tui_model *m)
{
    const struct tdbg_tui_ranks *ranks = m->data->ranks;
    struct tdbg_err err = {0};
    if (t->fold != TDBG_FOLD_WAITS || !t->rows || t->n_read < t->n || !ranks)
        return false;
    t->fold = TDBG_FOLD_UNKNOWN;
    if (t->out_site < 0)
        return true;
    if (ranks->fold(ranks->context, t->step, t->out_site, &t->folded, &err) == TDBG_OK)
        t->fold = TDBG_FOLD_KNOWN;
    else
        t->fold_why = strdup(err.message ? err.message : "it cannot be added up");
    tdbg_err_clear(&err);
    return true;
}

bool tdbg_tui_rank_sum_is_wrong(const struct tdbg_tui_rank_table *t, int32_t rank)
{
    const struct tdbg_tui_rank_row *row = &t->rows[rank];
    return t->fold == TDBG_FOLD_KNOWN && row->has_out && row->out != t->folded;
}

bool tdbg_tui_rank_is_odd(const struct tdbg_tui_rank_table *t, int32_t rank)
{
    const struct tdbg_tui_rank_row *row = &t->rows[rank];
    return row->out_differs || row->here_differs || tdbg_tui_rank_sum_is_wrong(t, rank) ||
           (row->has_expected && row->has_in && row->expected != row->in);
}

int32_t tdbg_tui_rank_reference(const struct tdbg_tui_rank_table *t, int32_t rank)
{
    for (int32_t k = 0; k < t->n; k++) {
        if (k != rank && t->rows[k].is_there && !tdbg_tui_rank_is_odd(t, k))
            return k;
    }
    for (int32_t k = 0; k < t->n; k++) {
        if (k != rank && t->rows[k].is_there)
            return k;
    }
    return -1;
}
