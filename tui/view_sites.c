/* The site list. See view.h. */
#include "tui/view.h"

#include <math.h>
#include <stdio.h>

#include "tui/columns.h"

/* What a row is made of. */
struct site_row {
    const struct tdbg_tui_model *m;
    int32_t index;
    const struct tdbg_site *site;
    const struct tdbg_stats *now, *prev;
};

enum { SITE, OP, DTYPE, SHAPE, MIN, MAX, MEAN, RMS, RMS_PREV, CHANGE, ZERO, NANS, INFS, N_COLUMNS };
enum { VALUE = 7 }; /* columns of a number */

static const struct tdbg_tui_column columns[N_COLUMNS] = {
    [SITE] = {"site", .percent = 100, .least = 14, .left = true},
    [OP] = {"op", 16, .at_least = 120, .rank = 9, .left = true},
    [DTYPE] = {"dtype", 5, .at_least = 120, .rank = 12, .left = true},
    [SHAPE] = {"shape", 10, .rank = 5},
    [MIN] = {"min", VALUE, .rank = 3},
    [MAX] = {"max", VALUE, .rank = 2},
    [MEAN] = {"mean", VALUE, .rank = 4},
    [RMS] = {"rms", VALUE, .rank = 1},
    [RMS_PREV] = {"rms prev", 8, .at_least = 120, .rank = 10},
    [CHANGE] = {"change", 8, .at_least = 120, .rank = 11},
    [ZERO] = {"zero", 4, .rank = 6},
    [NANS] = {"nan", 4},
    [INFS] = {"inf", 4},
};

/* NaN: there is nothing finite to tell about. */
static const char *value_text(char *buf, double value)
{
    return isnan(value) ? "-" : tdbg_text_number(buf, value, VALUE);
}

static const char *cell_text(char *buf, const void *row, int column)
{
    const struct site_row *r = row;
    const struct tdbg_stats *now = r->now, *prev = r->prev;
    switch (column) {
    case SITE:
        return tdbg_tui_model_site_label(r->m, r->index, buf);
    case OP:
        return r->site->op;
    case DTYPE:
        return tdbg_dtype_text(r->site->dtype);
    case SHAPE:
        return tdbg_text_shape(buf, r->site);
    case MIN:
        return value_text(buf, now->min);
    case MAX:
        return value_text(buf, now->max);
    case MEAN:
        return value_text(buf, now->mean);
    case RMS:
        return value_text(buf, now->rms);
    case RMS_PREV:
        return value_text(buf, prev->rms);
    case CHANGE:
        return isnan(now->rms) || isnan(prev->rms) ? "-"
                                                   : tdbg_text_change(buf, now->rms, prev->rms);
    case ZERO:
        return tdbg_tui_stats_present(now)
                   ? tdbg_text_percent(buf, now->zeros, tdbg_site_elems(r->site))
                   : "-";
    case NANS:
        return tdbg_tui_count_text(buf, now, now->nans);
    default:
        return tdbg_tui_count_text(buf, now, now->infs);
    }
}

static void paint_titles(const struct tdbg_tui_model *m, const struct tdbg_tui_table *t)
{
    const int32_t n = m->data->n_sites, bottom = m->sites_top + t->rect.height - 2;
    char name[80] = "site";
    if (t->width[0] >= 20 && n > 0)
        snprintf(name, sizeof name, "site  %d..%d of %d", (int)m->sites_top,
                 (int)(bottom < n - 1 ? bottom : n - 1), (int)n);
    tdbg_tui_table_paint_titles(t, name, m->pane == TDBG_PANE_SITES);
}

void tdbg_tui_view_sites(const struct tdbg_tui_model *m, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect rect)
{
    if (rect.height < 1)
        return;
    const struct tdbg_tui_table t =
        tdbg_tui_table_lay_out(columns, N_COLUMNS, cell_text, grid, rect);
    paint_titles(m, &t);
    for (int y = 1; y < rect.height && m->sites_top + y - 1 < m->data->n_sites; y++) {
        const int32_t i = (int32_t)(m->sites_top + y - 1);
        const struct site_row row = {m, i, &m->data->sites[i], &m->stats[i], &m->prev_stats[i]};
        tdbg_tui_table_paint_row(
            &t, y,
            &(struct tdbg_tui_row){.row = &row,
                                   .mark = row.now->nans || row.now->infs ? '!' : ' ',
                                   .is_cursor = i == m->focus.site,
                                   .is_hit = tdbg_tui_model_site_matches(m, i)});
    }
    if (m->data->n_sites == 0)
        tdbg_tui_table_paint_none(&t, "no sites were recorded");
}
