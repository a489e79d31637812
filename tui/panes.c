/* Layout of the main screen. See panes.h for the drawing. */
#include "tui/panes.h"

enum {
    FULL_ROWS = 20, /* of the body of 80x24 */
    WIDE = 120,     /* from here on the metrics stand beside the chart */
    CHART_ROWS = 8, /* heading, 5 rows, axis, labels */
    MAX_CHART_ROWS = 20,
    METRIC_ROWS = 5, /* heading and 4 rows of 2 metrics */
    METRIC_COLUMNS = 42,
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

static void lay_out_stacked(struct tdbg_tui_panes *p, struct tdbg_tui_rect body)
{
    const int spare = body.height - FULL_ROWS;
    const int chart =
        CHART_ROWS + spare / 3 < MAX_CHART_ROWS ? CHART_ROWS + spare / 3 : MAX_CHART_ROWS;
    p->chart = (struct tdbg_tui_rect){0, body.y, body.width, chart};
    p->metrics = (struct tdbg_tui_rect){0, body.y + chart, body.width, METRIC_ROWS};
    p->sites = (struct tdbg_tui_rect){0, body.y + chart + METRIC_ROWS, body.width,
                                      body.height - chart - METRIC_ROWS};
}

static void lay_out_wide(struct tdbg_tui_panes *p, struct tdbg_tui_rect body)
{
    int chart = body.height * 2 / 5;
    const int least = TDBG_METRIC_COUNT + 1;
    chart = chart < least ? least : chart > MAX_CHART_ROWS ? MAX_CHART_ROWS : chart;
    p->chart = (struct tdbg_tui_rect){0, body.y, body.width - METRIC_COLUMNS, chart};
    p->metrics = (struct tdbg_tui_rect){body.width - METRIC_COLUMNS, body.y, METRIC_COLUMNS, chart};
    p->sites = (struct tdbg_tui_rect){0, body.y + chart, body.width, body.height - chart};
}

struct tdbg_tui_panes tdbg_tui_panes_lay_out(const struct tdbg_tui_frame *frame,
                                             enum tdbg_tui_pane pane)
{
    struct tdbg_tui_panes p = {0};
    const struct tdbg_tui_rect body = frame->body;
    if (frame->too_small)
        return p;
    if (!frame->has_room)
        lay_out_one(&p, body, pane);
    else if (body.width < WIDE)
        lay_out_stacked(&p, body);
    else
        lay_out_wide(&p, body);
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
