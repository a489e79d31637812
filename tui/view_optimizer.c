/* The optimizer: groups, schedule, parameters. See view.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tui/optimizer_table.h"
#include "tui/columns.h"
#include "tui/view.h"

enum { CHART_ROWS = 7, LOW = 16, MOST_GROUPS = 6, VALUE = 8 };

struct parameter_row {
    const struct tdbg_tui_optimizer *o;
    const struct tdbg_tui_model *m;
    const struct tdbg_tui_parameter *p;
    int32_t index;
};

enum { NAME, GROUP, SHAPE, STEPS, PARAM, FIRST, SECOND, GRAD, UPDATE, NOTE, N_COLUMNS };

static const struct tdbg_tui_column columns[N_COLUMNS] = {
    [NAME] = {"parameter", 40, .percent = 100, .least = 16, .left = true},
    [GROUP] = {"group", 5, .at_least = 90},
    [SHAPE] = {"shape", 9, .at_least = 60},
    [STEPS] = {"steps", 6, .at_least = 100},
    [PARAM] = {"|param|", VALUE},
    [FIRST] = {"|m|", VALUE, .at_least = 60},
    [SECOND] = {"|v|", VALUE, .at_least = 90},
    [GRAD] = {"|grad|", VALUE},
    [UPDATE] = {"update", VALUE, .at_least = 70},
    [NOTE] = {"", 19, .at_least = 78, .left = true},
};

static const char *norm_text(char *buf, const struct parameter_row *r, int32_t site)
{
    double norm;
    const struct tdbg_stats *s = tdbg_tui_optimizer_stats(r->o, r->m, site);
    return s && tdbg_tui_stats_norm(&r->m->data->sites[site], s, &norm)
               ? tdbg_text_number(buf, norm, VALUE)
               : "-";
}

static const char *cell_text(char *buf, const void *row, int column)
{
    const struct parameter_row *r = row;
    const struct tdbg_tui_parameter *p = r->p;
    const int64_t step = r->m->focus.step;
    switch (column) {
    case NAME:
        return tdbg_site_tensor(&r->m->data->sites[p->param]);
    case GROUP:
        return p->group < 0 ? "-" : tdbg_tui_whole_text(buf, p->group);
    case SHAPE:
        return tdbg_text_shape(buf, &r->m->data->sites[p->param]);
    case STEPS: /* updates that the parameter has had, with this step's */
        return tdbg_tui_whole_text(buf, p->frozen || p->grad < 0 ? 0 : step + 1);
    case PARAM:
        return norm_text(buf, r, p->param);
    case FIRST:
        return norm_text(buf, r, p->first);
    case SECOND:
        return norm_text(buf, r, p->second);
    case GRAD:
        return norm_text(buf, r, p->grad);
    case UPDATE:
        if (p->has_ratio && p->ratio_step == step)
            return tdbg_text_number(buf, p->ratio, VALUE);
        return r->o->asked == r->index ? "..." : "-";
    default:
        return tdbg_tui_parameter_note(r->o, r->m, r->index);
    }
}

static void paint_table(const struct tdbg_tui_model *m, const struct tdbg_tui_optimizer *o,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_table t =
        tdbg_tui_table_lay_out(columns, N_COLUMNS, cell_text, grid, rect);
    tdbg_tui_table_paint_titles(&t, NULL, false);
    for (int y = 1; y < rect.height && o->top + y - 1 < o->n; y++) {
        const int32_t index = o->top + y - 1;
        const struct parameter_row row = {o, m, &o->list[index], index};
        const char *note = tdbg_tui_parameter_note(o, m, index);
        tdbg_tui_table_paint_row(&t, y,
                                 &(struct tdbg_tui_row){.row = &row,
                                                        .mark = note[0] == '!' ? '!'
                                                                : *note        ? '~'
                                                                               : ' ',
                                                        .is_cursor = index == o->at});
    }
    if (o->n == 0)
        tdbg_tui_table_paint_none(&t, "no parameters were recorded");
}

/* "sgd  lr 0.01  momentum 0.9 ..." of what a group says, its lists of groups apart. */
static void group_text(const struct tdbg_cfg_node *group, char *buf, size_t n_bytes)
{
    size_t used = 0;
    char value[80];
    buf[0] = 0;
    for (int i = 0; group && i < group->n_child && used + 1 < n_bytes; i++) {
        const struct tdbg_cfg_node *node = group->child[i];
        if (!node->key || strcmp(node->key, "groups") == 0 ||
            (node->type == TDBG_CFG_LIST && node->n_child == 0))
            continue;
        const bool is_kind = strcmp(node->key, "kind") == 0;
        const int n = snprintf(buf + used, n_bytes - used, "%s%s%s%s", used ? "  " : "",
                               is_kind ? "" : node->key, is_kind ? "" : " ",
                               tdbg_tui_cfg_text(node, value, sizeof value));
        used += n > 0 ? (size_t)n : 0;
    }
}

static int32_t count_in_group(const struct tdbg_tui_optimizer *o, int group)
{
    int32_t n = 0;
    for (int32_t i = 0; i < o->n; i++)
        n += o->list[i].group == group;
    return n;
}

/* The optimizer's own line, one per group, and the schedule's; returns the rows. */
static int paint_groups(const struct tdbg_tui_optimizer *o, struct tdbg_tui_grid *grid,
                        struct tdbg_tui_rect rect)
{
    char text[300];
    int y = rect.y, n = o->groups ? o->groups->n_child : 0;
    group_text(o->config, text, sizeof text);
    tdbg_tui_grid_printf(grid, rect.x + 1, y++, rect.width - 1, TDBG_STYLE_BOLD, "%s",
                         *text ? text : "this trace names no optimizer");
    group_text(o->schedule, text, sizeof text);
    if (*text)
        tdbg_tui_grid_printf(grid, rect.x + 1, y++, rect.width - 1, 0, "schedule  %s", text);
    for (int g = 0; g < n && g < MOST_GROUPS && y < rect.y + rect.height / 3; g++) {
        group_text(o->groups->child[g], text, sizeof text);
        tdbg_tui_grid_printf(grid, rect.x + 1, y++, rect.width - 1, 0,
                             "group %d, %d parameters  %s", g, (int)count_in_group(o, g), text);
    }
    if (n > 0 && y < rect.y + rect.height / 3)
        tdbg_tui_grid_printf(grid, rect.x + 1, y++, rect.width - 1, 0, "no group, %d parameters",
                             (int)count_in_group(o, -1));
    return y - rect.y;
}

/* Rows above the table: groups and, where there is room, the schedule's curve. */
static struct tdbg_tui_rect table_rect(const struct tdbg_tui_optimizer *o,
                                       struct tdbg_tui_rect rect)
{
    int groups = 1 + (o->schedule != NULL);
    const int n = o->groups ? o->groups->n_child : 0;
    for (int g = 0; g < n && g < MOST_GROUPS && groups < rect.height / 3; g++)
        groups++;
    groups += n > 0 && groups < rect.height / 3;
    const int above = rect.height < LOW ? 1 : groups + CHART_ROWS;
    return (struct tdbg_tui_rect){rect.x, rect.y + above, rect.width, rect.height - above};
}

int tdbg_tui_view_optimizer_rows(const struct tdbg_tui_optimizer *o, struct tdbg_tui_rect rect)
{
    return tdbg_tui_table_rows(table_rect(o, rect));
}

static void paint_above(const struct tdbg_tui_model *m, const struct tdbg_tui_optimizer *o,
                        struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, int height)
{
    char text[300];
    if (rect.height < LOW) {
        group_text(o->config, text, sizeof text);
        tdbg_tui_grid_put_text(grid, rect.x + 1, rect.y, rect.width - 1, TDBG_STYLE_BOLD, text);
        return;
    }
    const int groups = paint_groups(o, grid, rect);
    tdbg_tui_view_chart(
        m, TDBG_METRIC_LR, false, grid,
        (struct tdbg_tui_rect){rect.x, rect.y + groups, rect.width, height - groups});
}

void tdbg_tui_view_optimizer(const struct tdbg_tui_model *m, const struct tdbg_tui_optimizer *o,
                             struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    if (rect.height < 3)
        return;
    const struct tdbg_tui_rect table = table_rect(o, rect);
    paint_above(m, o, grid, rect, table.y - rect.y);
    paint_table(m, o, grid, table);
}

int32_t tdbg_tui_view_optimizer_at(const struct tdbg_tui_optimizer *o, struct tdbg_tui_rect rect,
                                   int y)
{
    const int row = tdbg_tui_table_row_at(table_rect(o, rect), y);
    return row >= 0 && o->top + row < o->n ? o->top + row : -1;
}
