/* Layout of the main screen. See panes.h for the drawing. */
#include "tui/panes.h"

enum {
    FULL_ROWS = 20, /* of the body of 80x24 */
    WIDE = 120,     /* from here on the metrics stand beside the chart */
    CHART_ROWS = 8, /* heading, 5 rows, axis, labels */
    MAX_CHART_ROWS = 20,
    METRIC_ROWS = 5, /* heading and 4 rows of 2 metrics */
    METRIC_COLUMNS = 42,
    RANK_METRICS = 2, /* rows for what ranks have in common */
    ALL_WIDTH = 150,  /* from here on there is room for everything */
    ALL_ROWS = 44,    /* of the body */
    NORM_ROWS = 10,
    SIDE_COLUMNS = 60,
    FINDING_ROWS = 8,
    BREAK_ROWS = 7,
    RANK_ROWS = 4,
};

static void lay_out_one(struct tdbg_tui_panes *p, struct tdbg_tui_rect body,
                        enum tdbg_tui_pane pane)
{
    if (pane == TDBG_PANE_METRICS)
        p->metrics = body;
    else if (pane == TDBG_PANE_SITES)
        p->sites = body;
    else
        p->chart = body;
}

static void lay_out_stacked(struct tdbg_tui_panes *p, struct tdbg_tui_rect body, bool has_ranks)
{
    const int metrics = METRIC_ROWS + (has_ranks ? RANK_METRICS : 0);
    const int spare = body.height - FULL_ROWS;
    const int chart =
        CHART_ROWS + spare / 3 < MAX_CHART_ROWS ? CHART_ROWS + spare / 3 : MAX_CHART_ROWS;
    p->chart = (struct tdbg_tui_rect){0, body.y, body.width, chart};
    p->metrics = (struct tdbg_tui_rect){0, body.y + chart, body.width, metrics};
    p->sites = (struct tdbg_tui_rect){0, body.y + chart + metrics, body.width,
                                      body.height - chart - metrics};
}

static void lay_out_wide(struct tdbg_tui_panes *p, struct tdbg_tui_rect body, bool has_ranks)
{
    int chart = body.height * 2 / 5;
    const int least = TDBG_METRIC_COUNT + 1 + (has_ranks ? RANK_METRICS : 0);
    chart = chart < least ? least : chart > MAX_CHART_ROWS ? MAX_CHART_ROWS : chart;
    p->chart = (struct tdbg_tui_rect){0, body.y, body.width - METRIC_COLUMNS, chart};
    p->metrics = (struct tdbg_tui_rect){body.width - METRIC_COLUMNS, body.y, METRIC_COLUMNS, chart};
    p->sites = (struct tdbg_tui_rect){0, body.y + chart, body.width, body.height - chart};
}

/* A column of panes at the side, and the charts over the list. */
static void lay_out_all(struct tdbg_tui_panes *p, struct tdbg_tui_rect body, bool has_ranks)
{
    const int left = body.width - SIDE_COLUMNS, end = body.y + body.height;
    const int charts = body.height * 3 / 5, ranks = has_ranks ? RANK_ROWS : 0;
    const int metrics = TDBG_METRIC_COUNT + 1 + (has_ranks ? RANK_METRICS : 0);
    p->chart = (struct tdbg_tui_rect){0, body.y, left, charts - NORM_ROWS};
    p->norm = (struct tdbg_tui_rect){0, body.y + charts - NORM_ROWS, left, NORM_ROWS};
    p->sites = (struct tdbg_tui_rect){0, body.y + charts, left, body.height - charts};
    p->metrics = (struct tdbg_tui_rect){left, body.y, SIDE_COLUMNS, metrics};
    p->findings = (struct tdbg_tui_rect){left, body.y + metrics, SIDE_COLUMNS, FINDING_ROWS};
    const int breaks = body.y + metrics + FINDING_ROWS;
    p->breaks = (struct tdbg_tui_rect){left, breaks, SIDE_COLUMNS, BREAK_ROWS};
    const int y = breaks + BREAK_ROWS;
    p->input = (struct tdbg_tui_rect){left, y, SIDE_COLUMNS, end - ranks - y};
    p->ranks = (struct tdbg_tui_rect){left, end - ranks, SIDE_COLUMNS, ranks};
}

struct tdbg_tui_panes tdbg_tui_panes_lay_out(const struct tdbg_tui_frame *frame,
                                             enum tdbg_tui_pane pane, bool has_ranks)
{
    struct tdbg_tui_panes p = {0};
    const struct tdbg_tui_rect body = frame->body;
    if (frame->too_small)
        return p;
    if (!frame->has_room)
        lay_out_one(&p, body, pane);
    else if (body.width < WIDE)
        lay_out_stacked(&p, body, has_ranks);
    else if (body.width < ALL_WIDTH || body.height < ALL_ROWS)
        lay_out_wide(&p, body, has_ranks);
    else
        lay_out_all(&p, body, has_ranks);
    return p;
}

int tdbg_tui_panes_site_rows(const struct tdbg_tui_panes *p)
{
    return p->sites.height > 2 ? p->sites.height - 1 : 1;
}

int64_t tdbg_tui_panes_scroll(int64_t at, int64_t n, int64_t visible)
{
    const int64_t context = visible >= 12 ? 2 : visible >= 4 ? 1 : 0;
    const int64_t page_rows = visible - 2 * context;
    int64_t top = at < context ? 0 : (at - context) / page_rows * page_rows;
    if (top > n - visible)
        top = n - visible;
    return top < 0 ? 0 : top;
}
