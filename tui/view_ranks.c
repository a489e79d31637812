/* The ranks side by side. See view.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/ranks.h"
#include "tui/columns.h"
#include "tui/view.h"

enum { ROWS_BELOW = 6, NARROW = 60, LOW = 14 };

struct rank_row {
    const struct tdbg_tui_rank_table *table;
    const struct tdbg_tui_rank_row *row;
    int32_t rank;
};

enum { RANK, NORM, IN, EXPECTED, OUT, SUM, HERE, WAIT, DURATION, N_COLUMNS };

static const struct tdbg_tui_column columns[N_COLUMNS] = {
    [RANK] = {"rank", 4},
    [NORM] = {"input |.|2", 10, .at_least = 60},
    [IN] = {"input hash", 10, .left = true},
    [EXPECTED] = {"expected", 11, .at_least = 120, .left = true},
    [OUT] = {"output hash", 12, .left = true},
    [SUM] = {"out = sum?", 10, .at_least = 60, .left = true},
    [HERE] = {"this tensor", 12, .at_least = 70, .left = true},
    [WAIT] = {"wait us", 7, .at_least = 80},
    [DURATION] = {"step", 8, .at_least = 120},
};

/* The hash's first half: the rest seldom tells more, and `tdbg show` has it. */
static const char *hash_text(char *buf, bool has, uint64_t hash, bool differs)
{
    if (!has)
        return "-";
    snprintf(buf, TDBG_CELL_BYTES, "%08" PRIx64 "%s", hash >> 32, differs ? " !=" : "");
    return buf;
}

static const char *sum_text(const struct rank_row *r)
{
    if (r->table->fold == TDBG_FOLD_KNOWN && r->row->has_out)
        return tdbg_tui_rank_sum_is_wrong(r->table, r->rank) ? "NO" : "yes";
    return r->table->fold == TDBG_FOLD_WAITS ? "..." : "-";
}

static const char *cell_text(char *buf, const void *of, int column)
{
    const struct tdbg_tui_rank_row *row = ((const struct rank_row *)of)->row;
    switch (column) {
    case RANK:
        return tdbg_tui_whole_text(buf, ((const struct rank_row *)of)->rank);
    case NORM:
        return isnan(row->in_norm) ? "-" : tdbg_text_exponent(buf, row->in_norm);
    case IN:
        return hash_text(buf, row->has_in, row->in, false);
    case EXPECTED:
        return hash_text(buf, row->has_expected, row->expected,
                         row->has_in && row->expected != row->in);
    case OUT:
        return hash_text(buf, row->has_out, row->out, row->out_differs);
    case SUM:
        return sum_text(of);
    case HERE:
        return hash_text(buf, row->has_here, row->here, row->here_differs);
    case WAIT:
        return row->wait_ns > 0 ? tdbg_tui_whole_text(buf, row->wait_ns / 1000) : "-";
    default:
        return tdbg_text_duration(buf, (double)row->duration_ns);
    }
}

static void paint_rank(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                       int32_t rank, const struct tdbg_tui_table *table, int y)
{
    const struct rank_row row = {t, &t->rows[rank], rank};
    const char *why = row.row->why ? row.row->why : "no file";
    tdbg_tui_table_paint_row(
        table, y,
        &(struct tdbg_tui_row){.row = &row,
                               .mark = tdbg_tui_rank_is_odd(t, rank) ? '!' : ' ',
                               .is_cursor = rank == m->focus.rank,
                               .instead = row.row->is_there  ? NULL
                                          : row.row->is_read ? why
                                                             : "not read yet"});
}

static void paint_head(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                       struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_data *data = m->data;
    char shape[TDBG_NUMBER_BYTES];
    const struct tdbg_site *in = t->in_site >= 0 ? &data->sites[t->in_site] : NULL;
    if (!in)
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, 0,
                               "no all-reduce was recorded");
    else
        tdbg_tui_grid_printf(
            grid, rect.x + 1, rect.y, rect.width - 1, 0,
            rect.width < NARROW ? "%s (%s)  %d ranks"
                                : "all-reduce of %s (%s)  %d ranks, %d lanes  compared bit for bit",
            tdbg_site_tensor(in), tdbg_text_shape(shape, in), (int)t->n, (int)data->info->lanes);
}

static void put_element(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, int y,
                        const char *what, const struct tdbg_tui_rank_table *t,
                        const struct tdbg_site *site, const struct tdbg_element_difference *e)
{
    char index[80], ulp[40] = "";
    if (e->ulp >= 0)
        snprintf(ulp, sizeof ulp, "  %" PRId64 " ulp", e->ulp);
    tdbg_tui_grid_printf(grid, rect.x + 1, y, rect.width - 1, 0,
                         "%s %s: rank %d = %.9g  rank %d = %.9g%s", what,
                         tdbg_compare_index_text(site, e->index, index, sizeof index),
                         (int)t->rank_a, e->a, (int)t->rank_b, e->b, ulp);
}

/* Words from row y on, as far as there are rows. */
static void put_wrapped(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, int y,
                        const char *text)
{
    const int width = rect.width - 2;
    while (*text && width > 0 && y < rect.y + rect.height) {
        int n = (int)strlen(text), end = n;
        if (n > width) {
            for (end = width; end > 0 && text[end] != ' '; end--)
                ;
            end = end > 0 ? end : width;
        }
        tdbg_tui_grid_printf(grid, rect.x + 1, y++, width, 0, "%.*s", end, text);
        text += end;
        while (*text == ' ')
            text++;
    }
}

/* What Enter found, or who differs. */
static void paint_difference(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                             struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, int y)
{
    const struct tdbg_site *site = &m->data->sites[t->site];
    if (!t->has_difference) {
        tdbg_tui_grid_printf(grid, rect.x + 1, y, rect.width - 1, 0, "%s of ranks %d and %d: %s",
                             site->name, (int)t->rank_a, (int)t->rank_b,
                             t->difference_why ? "not to be had" : "being read or computed");
        if (t->difference_why)
            put_wrapped(grid, rect, y + 1, t->difference_why);
        return;
    }
    const struct tdbg_tensor_difference *d = &t->difference;
    tdbg_tui_grid_printf(grid, rect.x + 1, y, rect.width - 1, 0,
                         "%s of ranks %d and %d: %" PRId64 " of %" PRId64 " elements differ",
                         site->name, (int)t->rank_a, (int)t->rank_b, d->n_differ, d->n_elems);
    if (d->n_differ == 0)
        return;
    put_element(grid, rect, y + 1, "first", t, site, &d->first);
    if (d->worst.index != d->first.index)
        put_element(grid, rect, y + 2, "worst", t, site, &d->worst);
}

static void paint_below(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, int y)
{
    int32_t n_odd = 0, n_there = 0;
    for (int32_t k = 0; k < t->n; k++) {
        n_odd += tdbg_tui_rank_is_odd(t, k);
        n_there += t->rows[k].is_there;
    }
    if (t->n_read < t->n)
        tdbg_tui_grid_printf(grid, rect.x + 1, y, rect.width - 1, 0, "%d of %d ranks are read",
                             (int)t->n_read, (int)t->n);
    else if (n_odd > 0)
        tdbg_tui_grid_printf(grid, rect.x + 1, y, rect.width - 1, TDBG_STYLE_RED | TDBG_STYLE_BOLD,
                             "! %d of %d ranks differ at step %lld", (int)n_odd, (int)n_there,
                             (long long)t->step);
    else
        tdbg_tui_grid_printf(grid, rect.x + 1, y, rect.width - 1, 0,
                             "the %d ranks with a file agree here", (int)n_there);
    if (t->fold_why)
        tdbg_tui_grid_printf(grid, rect.x + 1, y + 1, rect.width - 1, 0, "sum not checked: %s",
                             t->fold_why);
    if (t->site >= 0)
        paint_difference(m, t, grid, rect, y + 2);
}

static void paint_one_rank(const struct tdbg_tui_model *m, struct tdbg_tui_grid *grid,
                           struct tdbg_tui_rect rect)
{
    static const char *const lines[] = {
        "This run has one rank: there is nothing to compare.",
        "",
        "Of a run of several ranks this screen shows what each put into the",
        "all-reduce of the focus tensor (size and hash), what it got out,",
        "whether that is what all inputs add up to, and who differs.",
        "",
        "mpirun -n 4 tdbg record train.cfg records one;",
        "engine.ranks_in_process = 4 does it with threads."};
    (void)m;
    for (int i = 0; i < (int)(sizeof lines / sizeof lines[0]) && i < rect.height; i++)
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y + i, rect.width - 1, 0, lines[i]);
}

int tdbg_tui_view_ranks_rows(struct tdbg_tui_rect rect)
{
    const int rows = rect.height - 2 - (rect.height < LOW ? 1 : ROWS_BELOW);
    return rows > 1 ? rows : 1;
}

void tdbg_tui_view_ranks(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                         struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    if (rect.height < 3)
        return;
    if (m->data->info->world_size < 2 || !t->rows) {
        paint_one_rank(m, grid, rect);
        return;
    }
    paint_head(m, t, grid, rect);
    const int visible = tdbg_tui_view_ranks_rows(rect);
    const struct tdbg_tui_table table =
        tdbg_tui_table_lay_out(columns, N_COLUMNS, cell_text, grid,
                               (struct tdbg_tui_rect){rect.x, rect.y + 1, rect.width, 1 + visible});
    tdbg_tui_table_paint_titles(&table, NULL, false);
    int y = rect.y + 2;
    for (int32_t k = t->top; k < t->n && y < rect.y + 2 + visible; k++, y++)
        paint_rank(m, t, k, &table, y - rect.y - 1);
    const struct tdbg_tui_rect below = {rect.x, y, rect.width, rect.y + rect.height - y};
    paint_below(m, t, grid, below, y + (below.height > ROWS_BELOW ? 1 : 0));
}

void tdbg_tui_view_rank_strip_pane(const struct tdbg_tui_model *m,
                                   const struct tdbg_tui_rank_table *t, struct tdbg_tui_grid *grid,
                                   struct tdbg_tui_rect rect)
{
    if (rect.height < 2)
        return;
    tdbg_tui_grid_printf(grid, rect.x + 1, rect.y, rect.width - 1, 0, "ranks  %s",
                         t->rows && t->in_site >= 0 ? tdbg_site_tensor(&m->data->sites[t->in_site])
                                                    : "");
    tdbg_tui_view_heading(grid, rect, false);
    tdbg_tui_view_divider(grid, rect);
    tdbg_tui_view_rank_strip(
        m, t, grid,
        (struct tdbg_tui_rect){rect.x + 1, rect.y + 1, rect.width - 1, rect.height - 1});
}

void tdbg_tui_view_rank_strip(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                              struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    int x = rect.x + 1, y = rect.y;
    for (int32_t k = 0; t->rows && k < t->n && y < rect.y + rect.height; k++) {
        const struct tdbg_tui_rank_row *row = &t->rows[k];
        char text[24];
        const bool odd = tdbg_tui_rank_is_odd(t, k);
        const int width =
            snprintf(text, sizeof text, "%s%d %s", k == m->focus.rank ? ">" : "", (int)k,
                     !row->is_read    ? "..."
                     : !row->is_there ? "none"
                     : odd            ? "!="
                                      : "ok");
        if (x + width > rect.x + rect.width) {
            x = rect.x + 1;
            if (++y >= rect.y + rect.height)
                break;
        }
        tdbg_tui_grid_put_text(grid, x, y, width,
                               odd                  ? TDBG_STYLE_RED | TDBG_STYLE_BOLD
                               : k == m->focus.rank ? TDBG_STYLE_BOLD
                                                    : TDBG_STYLE_PLAIN,
                               text);
        x += width + 2;
    }
}
