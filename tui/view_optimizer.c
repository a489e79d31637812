/* The optimizer: groups, schedule, parameters. See view.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"
#include "tui/optimizer_table.h"
#include "tui/view.h"

enum { CHART_ROWS = 7, LOW = 16, MOST_GROUPS = 6, NAME_COLUMNS = 16 };

struct cell {
    const struct tdbg_tui_optimizer *table;
    const struct tdbg_tui_model *model;
    const struct tdbg_tui_parameter *p;
    int32_t index;
};

/* L2 norm, from the root mean square and the number of elements. */
static void text_norm(char *buf, const struct cell *c, int32_t site)
{
    const struct tdbg_stats *s = tdbg_tui_optimizer_stats(c->table, c->model, site);
    if (!s)
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else if (s->nans || s->infs)
        snprintf(buf, TDBG_NUMBER_BYTES, s->nans ? "nan" : "inf");
    else
        tdbg_text_number(buf, s->rms * sqrt((double)tdbg_site_elems(&c->model->data->sites[site])),
                         8);
}

static void text_group(char *buf, const struct cell *c)
{
    if (c->p->group < 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "-");
    else
        snprintf(buf, TDBG_NUMBER_BYTES, "%d", c->p->group);
}

static void text_shape(char *buf, const struct cell *c)
{
    tdbg_text_shape(buf, &c->model->data->sites[c->p->param]);
}

/* Updates that the parameter has had, with this step's. */
static void text_steps(char *buf, const struct cell *c)
{
    snprintf(buf, TDBG_NUMBER_BYTES, "%" PRId64,
             c->p->frozen || c->p->grad < 0 ? 0 : c->model->focus.step + 1);
}

static void text_param(char *buf, const struct cell *c)
{
    text_norm(buf, c, c->p->param);
}

static void text_first(char *buf, const struct cell *c)
{
    text_norm(buf, c, c->p->first);
}

static void text_second(char *buf, const struct cell *c)
{
    text_norm(buf, c, c->p->second);
}

static void text_grad(char *buf, const struct cell *c)
{
    text_norm(buf, c, c->p->grad);
}

static void text_ratio(char *buf, const struct cell *c)
{
    if (c->p->has_ratio && c->p->ratio_step == c->model->focus.step)
        tdbg_text_number(buf, c->p->ratio, 8);
    else
        snprintf(buf, TDBG_NUMBER_BYTES, c->table->asked == c->index ? "..." : "-");
}

static void text_note(char *buf, const struct cell *c)
{
    snprintf(buf, TDBG_NUMBER_BYTES, "%s", tdbg_tui_parameter_note(c->table, c->model, c->index));
}

static const struct column {
    const char *title;
    int width, at_least;
    bool left;
    void (*text)(char *buf, const struct cell *cell);
} columns[] = {
    {"group", 5, 90, false, text_group},  {"shape", 9, 60, false, text_shape},
    {"steps", 6, 100, false, text_steps}, {"|param|", 8, 0, false, text_param},
    {"|m|", 8, 60, false, text_first},    {"|v|", 8, 90, false, text_second},
    {"|grad|", 8, 0, false, text_grad},   {"update", 8, 70, false, text_ratio},
    {"", 19, 78, true, text_note},
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static void put_cell(struct tdbg_tui_grid *grid, int x, int y, const struct column *c, int room,
                     uint8_t style, const char *text)
{
    const int width = c->width < room ? c->width : room;
    if (c->left)
        tdbg_tui_grid_put_text(grid, x, y, width, style, text);
    else
        tdbg_tui_grid_put_right(grid, x, y, width, style, text);
}

/* Columns that are shown, and the width of the name before them. */
static int name_columns(int width)
{
    int used = 2;
    for (int i = 0; i < N_COLUMNS; i++)
        used += width >= columns[i].at_least ? columns[i].width + 1 : 0;
    const int left = width - used;
    return left < NAME_COLUMNS ? NAME_COLUMNS : left > 40 ? 40 : left;
}

static void paint_parameter(const struct tdbg_tui_model *m, const struct tdbg_tui_optimizer *o,
                            int32_t index, struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    char buf[TDBG_NUMBER_BYTES];
    const struct cell cell = {o, m, &o->list[index], index};
    const char *note = tdbg_tui_parameter_note(o, m, index);
    const bool is_cursor = index == o->at, broken = note[0] == '!';
    uint8_t style = broken ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : TDBG_STYLE_PLAIN;
    style |= is_cursor ? TDBG_STYLE_BOLD : 0;
    tdbg_tui_grid_put(grid, row.x, row.y, is_cursor ? '>' : ' ', style);
    tdbg_tui_grid_put(grid, row.x + 1, row.y, broken ? '!' : *note ? '~' : ' ', style);
    const int name = name_columns(row.width);
    tdbg_tui_grid_put_elided(grid, row.x + 2, row.y, name, style,
                             tdbg_site_tensor(&m->data->sites[cell.p->param]));
    int x = row.x + 3 + name;
    for (int i = 0; i < N_COLUMNS; i++) {
        if (row.width < columns[i].at_least)
            continue;
        columns[i].text(buf, &cell);
        put_cell(grid, x, row.y, &columns[i], row.x + row.width - x, style, buf);
        x += columns[i].width + 1;
    }
}

static void paint_titles(struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    tdbg_tui_grid_put_text(grid, row.x + 2, row.y, row.width - 2, 0, "parameter");
    int x = row.x + 3 + name_columns(row.width);
    for (int i = 0; i < N_COLUMNS; i++) {
        if (row.width < columns[i].at_least)
            continue;
        put_cell(grid, x, row.y, &columns[i], row.x + row.width - x, 0, columns[i].title);
        x += columns[i].width + 1;
    }
    tdbg_tui_view_heading(grid, row, false);
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
    const int rows = table_rect(o, rect).height - 1;
    return rows > 1 ? rows : 1;
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
    paint_titles(grid, (struct tdbg_tui_rect){table.x, table.y, table.width, 1});
    for (int y = 1; y < table.height && o->top + y - 1 < o->n; y++) {
        const int32_t index = o->top + y - 1;
        paint_parameter(m, o, index, grid,
                        (struct tdbg_tui_rect){table.x, table.y + y, table.width, 1});
        if (index == o->at)
            tdbg_tui_grid_set_cursor(grid, table.x, table.y + y);
    }
    if (o->n == 0 && table.height > 1)
        tdbg_tui_grid_put_text(grid, table.x + 2, table.y + 1, table.width - 2, 0,
                               "no parameters were recorded");
}

int32_t tdbg_tui_view_optimizer_at(const struct tdbg_tui_optimizer *o, struct tdbg_tui_rect rect,
                                   int y)
{
    const struct tdbg_tui_rect table = table_rect(o, rect);
    const int32_t index = o->top + y - table.y - 1;
    return y > table.y && y < table.y + table.height && index < o->n ? index : -1;
}
