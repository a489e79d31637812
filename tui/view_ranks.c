/* The ranks side by side. See view.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"
#include "tui/ranks.h"
#include "tui/view.h"

enum { ROWS_BELOW = 6, NARROW = 60, LOW = 14 };

struct cell {
    const struct tdbg_tui_rank_table *table;
    const struct tdbg_tui_rank_row *row;
    int32_t rank;
};

/* The hash's first half: the rest seldom tells more, and `tdbg show` has it. */
static void text_hash(char *buf, bool has, uint64_t hash, bool differs)
{
    if (!has)
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        snprintf(buf, TDBG_NUMBER_BYTES, "%08" PRIx64 "%s", hash >> 32, differs ? " !=" : "");
}

static void text_rank(char *buf, const struct cell *c)
{
    snprintf(buf, TDBG_NUMBER_BYTES, "%d", (int)c->rank);
}

static void text_norm(char *buf, const struct cell *c)
{
    if (isnan(c->row->in_norm))
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        tdbg_text_exponent(buf, c->row->in_norm);
}

static void text_in(char *buf, const struct cell *c)
{
    text_hash(buf, c->row->has_in, c->row->in, false);
}

static void text_expected(char *buf, const struct cell *c)
{
    text_hash(buf, c->row->has_expected, c->row->expected,
              c->row->has_in && c->row->expected != c->row->in);
}

static void text_out(char *buf, const struct cell *c)
{
    text_hash(buf, c->row->has_out, c->row->out, c->row->out_differs);
}

static void text_sum(char *buf, const struct cell *c)
{
    const bool is_known = c->table->fold == TDBG_FOLD_KNOWN && c->row->has_out;
    snprintf(buf, TDBG_NUMBER_BYTES, "%s",
             is_known ? tdbg_tui_rank_sum_is_wrong(c->table, c->rank) ? "NO" : "yes"
             : c->table->fold == TDBG_FOLD_WAITS ? "..."
                                                 : "-");
}

static void text_here(char *buf, const struct cell *c)
{
    text_hash(buf, c->row->has_here, c->row->here, c->row->here_differs);
}

static void text_wait(char *buf, const struct cell *c)
{
    if (c->row->wait_ns > 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "%" PRId64, c->row->wait_ns / 1000);
    else
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
}

static void text_duration(char *buf, const struct cell *c)
{
    tdbg_text_duration(buf, (double)c->row->duration_ns);
}

/* In the order of the screen; at_least: width from which on it is shown. */
static const struct column {
    const char *title;
    int width, at_least;
    bool left;
    void (*text)(char *buf, const struct cell *cell);
} columns[] = {
    {"rank", 4, 0, false, text_rank},         {"input |.|2", 10, 60, false, text_norm},
    {"input hash", 10, 40, true, text_in},    {"expected", 11, 120, true, text_expected},
    {"output hash", 12, 40, true, text_out},  {"out = sum?", 10, 60, true, text_sum},
    {"this tensor", 12, 70, true, text_here}, {"wait us", 7, 80, false, text_wait},
    {"step", 8, 120, false, text_duration},
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static void put_cell(struct tdbg_tui_grid *grid, int x, int y, const struct column *c,
                     uint8_t style, const char *text)
{
    if (c->left)
        tdbg_tui_grid_put_text(grid, x, y, c->width, style, text);
    else
        tdbg_tui_grid_put_right(grid, x, y, c->width, style, text);
}

static void paint_row(const struct tdbg_tui_model *m, const struct tdbg_tui_rank_table *t,
                      int32_t rank, struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    char buf[TDBG_NUMBER_BYTES];
    const struct cell cell = {t, &t->rows[rank], rank};
    const bool focus = rank == m->focus.rank, odd = tdbg_tui_rank_is_odd(t, rank);
    uint8_t style = odd ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    style |= focus ? TDBG_STYLE_BOLD : 0;
    tdbg_tui_grid_put(grid, rect.x, rect.y, focus ? '>' : ' ', style);
    tdbg_tui_grid_put(grid, rect.x + 1, rect.y, odd ? '!' : ' ', style);
    int x = rect.x + 2;
    for (int i = 0; i < N_COLUMNS; i++) {
        if (rect.width < columns[i].at_least)
            continue;
        if (i > 0 && !cell.row->is_there) {
            tdbg_tui_grid_put_elided(grid, x, rect.y, rect.x + rect.width - x, style,
                                     !cell.row->is_read ? "not read yet"
                                     : cell.row->why    ? cell.row->why
                                                        : "no file");
            break;
        }
        columns[i].text(buf, &cell);
        put_cell(grid, x, rect.y, &columns[i], style, buf);
        x += columns[i].width + 1;
    }
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
    int x = rect.x + 2;
    for (int i = 0; i < N_COLUMNS; i++) {
        if (rect.width < columns[i].at_least)
            continue;
        put_cell(grid, x, rect.y + 1, &columns[i], 0, columns[i].title);
        x += columns[i].width + 1;
    }
    tdbg_tui_view_heading(grid, (struct tdbg_tui_rect){rect.x, rect.y + 1, rect.width, 1}, false);
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
    int y = rect.y + 2;
    for (int32_t k = t->top; k < t->n && y < rect.y + 2 + visible; k++, y++) {
        paint_row(m, t, k, grid, (struct tdbg_tui_rect){rect.x, y, rect.width, 1});
        if (k == m->focus.rank)
            tdbg_tui_grid_set_cursor(grid, rect.x, y);
    }
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
