/* See view_tensor.h. The histogram and the heat map are in view_tensor_maps.c, the elements in
 * view_elements.c. */
#include "tui/view_tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/number_text.h"
#include "tui/view.h"

enum { HEAD_ROWS = 2, LEFT_COLUMNS = 40, HEAT_FOOT = 2, LABEL_COLUMNS = 12 };

static struct tdbg_tui_rect inside(struct tdbg_tui_rect r, int left, int top, int bottom)
{
    r.x += left;
    r.width -= left;
    r.y += top;
    r.height -= top + bottom;
    if (r.height < 1 || r.width < 1)
        r.height = 0;
    return r;
}

struct tdbg_tui_tensor_panes tdbg_tui_tensor_panes_lay_out(const struct tdbg_tui_frame *frame,
                                                           enum tdbg_tui_tensor_view view)
{
    struct tdbg_tui_tensor_panes p = {.head = {.height = 0}};
    const struct tdbg_tui_rect body = frame->body;
    if (frame->too_small)
        return p;
    p.head = (struct tdbg_tui_rect){body.x, body.y, body.width, HEAD_ROWS};
    const struct tdbg_tui_rect rest = inside(body, 0, HEAD_ROWS, 0);
    if (view == TDBG_TENSOR_SUMMARY) {
        p.histogram = rest;
        if (frame->has_room) {
            p.histogram.width = LEFT_COLUMNS;
            p.heat = inside(rest, LEFT_COLUMNS, 0, 0);
        }
    } else if (view == TDBG_TENSOR_HEAT) {
        p.heat = rest;
    } else if (view == TDBG_TENSOR_ELEMENTS) {
        p.elements = rest;
        p.table = inside(rest, LABEL_COLUMNS, 1, 1);
    } else {
        p.history = rest;
    }
    if (p.heat.height > 0)
        p.cells = inside(p.heat, 1, 1, HEAT_FOOT);
    return p;
}

static const char *view_name(const struct tdbg_tui_tensor *t, bool has_room)
{
    static const char *const names[] = {"HISTOGRAM", "HEAT MAP", "ELEMENTS", "HISTORY"};
    return t->view == TDBG_TENSOR_SUMMARY && has_room ? "HISTOGRAM+HEAT" : names[t->view];
}

static void paint_heading(const struct tdbg_tui_model *m, const struct tdbg_tui_tensor *t,
                          bool has_room, struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    const struct tdbg_site *site = &m->data->sites[m->focus.site];
    char label[TDBG_SITE_LABEL_BYTES], shape[TDBG_NUMBER_BYTES], what[2 * TDBG_NUMBER_BYTES + 64];
    char right[64];
    if (t->compares && !t->prev_fault && row.width >= 60)
        snprintf(right, sizeof right, "step %lld - step %lld  %s", (long long)m->focus.step,
                 (long long)m->focus.step - 1, view_name(t, has_room));
    else
        snprintf(right, sizeof right, "%s%s%s", row.width >= 60 ? "view: " : "",
                 t->compares ? "CHANGE " : "", view_name(t, has_room));
    const int room = row.width - (int)strlen(right) - 3;
    snprintf(what, sizeof what, "  %s %s  %s", tdbg_dtype_text(site->dtype),
             tdbg_text_shape(shape, site), site->op);
    tdbg_tui_model_site_label(m, m->focus.site, label);
    int width = tdbg_tui_text_width(grid, label);
    const int least = room - (int)strlen(what) > room / 2 ? room - (int)strlen(what) : room / 2;
    width = width < least ? width : least;
    tdbg_tui_grid_put_elided(grid, row.x + 1, row.y, width, 0, label);
    tdbg_tui_grid_put_text(grid, row.x + 1 + width, row.y, room - width, 0, what);
    tdbg_tui_grid_put_right(grid, row.x, row.y, row.width - 1, 0, right);
    tdbg_tui_view_heading(grid, row, false);
}

/* A name and its value; the one with the smallest keep goes first when there is no room. */
struct piece {
    const char *name;
    char text[32];
    int keep;
};

static void paint_pieces(const struct piece *pieces, int n, struct tdbg_tui_grid *grid,
                         struct tdbg_tui_rect row, uint8_t style)
{
    int least = 0, total;
    do {
        total = 0;
        for (int i = 0; i < n; i++) {
            if (pieces[i].keep >= least)
                total += (int)(strlen(pieces[i].name) + strlen(pieces[i].text)) + 3;
        }
    } while (total - 1 > row.width && least++ < n);
    int x = row.x + 1;
    for (int i = 0; i < n; i++) {
        if (pieces[i].keep < least)
            continue;
        x += tdbg_tui_grid_printf(grid, x, row.y, row.x + row.width - x, style, "%s %s",
                                  pieces[i].name, pieces[i].text) +
             2;
    }
}

static void fill_number(struct piece *p, const char *name, int keep, double value)
{
    char buf[TDBG_NUMBER_BYTES];
    *p = (struct piece){.name = name, .keep = keep};
    snprintf(p->text, sizeof p->text, "%s", isnan(value) ? "-" : tdbg_text_number(buf, value, 7));
}

static void fill_count(struct piece *p, const char *name, int keep, uint64_t count)
{
    char buf[TDBG_NUMBER_BYTES];
    *p = (struct piece){.name = name, .keep = keep};
    snprintf(p->text, sizeof p->text, "%s", tdbg_text_count(buf, count));
}

/* n: elements that the statistics are of. */
static void paint_stats(const struct tdbg_stats *s, int64_t n, struct tdbg_tui_grid *grid,
                        struct tdbg_tui_rect row)
{
    enum { N = 8 };
    struct piece p[N] = {{.name = "zero", .keep = 3}};
    char buf[TDBG_NUMBER_BYTES];
    const bool broken = s->nans || s->infs;
    const double finite = (double)n - (double)(s->nans + s->infs);
    fill_number(&p[0], "min", 5, s->min);
    fill_number(&p[1], "max", 6, s->max);
    fill_number(&p[2], "mean", 4, s->mean);
    fill_number(&p[3], "rms", 1, s->rms);
    fill_number(&p[4], "|.|2", 0, s->rms * sqrt(finite));
    p[5] = (struct piece){.name = "zero", .keep = 2};
    snprintf(p[5].text, sizeof p[5].text, "%s", tdbg_text_percent(buf, s->zeros, n));
    fill_count(&p[6], "nan", 7, s->nans);
    fill_count(&p[7], "inf", 7, s->infs);
    paint_pieces(p, N, grid, row, broken ? TDBG_STYLE_RED | TDBG_STYLE_BOLD : 0);
    if (broken)
        tdbg_tui_grid_put(grid, row.x, row.y, '!', TDBG_STYLE_RED | TDBG_STYLE_BOLD);
}

static void paint_difference(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid,
                             struct tdbg_tui_rect row)
{
    enum { N = 4 };
    const struct tdbg_tui_difference *d = &t->difference;
    struct piece p[N];
    p[0] = (struct piece){.name = "differ", .keep = 4};
    snprintf(p[0].text, sizeof p[0].text, "%lld of %lld", (long long)d->n_differ,
             (long long)t->now.n_elems);
    fill_number(&p[1], "max abs", 3, d->most_absolute);
    fill_number(&p[2], "max rel", 2, d->most_relative);
    p[3] = (struct piece){.name = "max ulp", .keep = 1};
    if (d->most_ulp < 0)
        snprintf(p[3].text, sizeof p[3].text, "-");
    else
        snprintf(p[3].text, sizeof p[3].text, "%lld", (long long)d->most_ulp);
    paint_pieces(p, N, grid, row, 0);
}

/* At once from what was recorded; from the values when they are there. */
static void paint_summary(const struct tdbg_tui_model *m, const struct tdbg_tui_tensor *t,
                          struct tdbg_tui_grid *grid, struct tdbg_tui_rect row)
{
    const struct tdbg_site *site = &m->data->sites[m->focus.site];
    const struct tdbg_stats *recorded = &m->stats[m->focus.site];
    if (t->compares && tdbg_tui_tensor_stats(t))
        paint_difference(t, grid, row);
    else if (t->compares && !t->fault && !t->prev_fault)
        tdbg_tui_grid_put_text(grid, row.x + 1, row.y, row.width - 1, 0, "comparing ...");
    else if (t->now.site)
        paint_stats(&t->now.stats, t->now.n_elems, grid, row);
    else if (tdbg_tui_stats_present(recorded))
        paint_stats(recorded, tdbg_site_elems(site), grid, row);
    else
        tdbg_tui_grid_put_text(grid, row.x + 1, row.y, row.width - 1, 0,
                               "no statistics were recorded at this step");
}

/* Words over several rows, broken at spaces. */
static void paint_wrapped(struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect, uint8_t style,
                          const char *text)
{
    for (int y = 0; y < rect.height && *text; y++) {
        size_t n = strlen(text);
        if ((int)n > rect.width) {
            n = (size_t)rect.width;
            while (n > 0 && text[n] != ' ')
                n--;
            n = n > 0 ? n : (size_t)rect.width;
        }
        char line[512];
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        tdbg_tui_grid_put_text(grid, rect.x, rect.y + y, rect.width, style, line);
        text += n;
        text += *text == ' ';
    }
}

static void paint_missing(const struct tdbg_tui_tensor *t, struct tdbg_tui_grid *grid,
                          struct tdbg_tui_rect rect)
{
    const char *fault = t->fault ? t->fault : t->compares ? t->prev_fault : NULL;
    const struct tdbg_tui_rect text = inside(rect, 1, 1, 0);
    if (fault)
        paint_wrapped(grid, text, TDBG_STYLE_PLAIN, fault);
    else
        tdbg_tui_grid_put_text(grid, text.x, text.y, text.width, 0, "the values are on their way");
}

static void paint_history(const struct tdbg_tui_model *m, const struct tdbg_tui_tensor *t,
                          struct tdbg_tui_grid *grid, struct tdbg_tui_rect rect)
{
    const struct tdbg_tui_series *s = &t->history;
    static const char *const titles[] = {"min to max", "rms", "mean"};
    const int n = rect.height >= 18 ? 3 : rect.height >= 12 ? 2 : 1, height = rect.height / n;
    const bool linear = t->flips_scale;
    if (t->history_site != m->focus.site || !s->buckets[0])
        return;
    for (int i = 0; i < n; i++) {
        const struct tdbg_tui_rect row = {rect.x, rect.y + i * height, rect.width, 1};
        const struct tdbg_tui_rect chart = {rect.x, row.y + 1, rect.width, height - 1};
        /* from below 0 to above there is no logarithm */
        const bool is_linear = linear || i != 1;
        const int x =
            row.x + 1 +
            tdbg_tui_grid_printf(grid, row.x + 1, row.y, row.width - 1, 0, "%s of each step  %s",
                                 titles[i], is_linear ? "linear" : "log");
        char right[64];
        if (!tdbg_tui_series_is_complete(s))
            snprintf(right, sizeof right, "reading %lld%%",
                     (long long)(100 * s->n_read / s->n_steps));
        else
            snprintf(right, sizeof right, "steps %lld..%lld", (long long)s->first_step,
                     (long long)tdbg_tui_model_last_step(m));
        if (x + 2 + (int)strlen(right) < row.x + row.width)
            tdbg_tui_grid_put_right(grid, x, row.y, row.x + row.width - x - 1, 0, right);
        tdbg_tui_view_heading(grid, row, false);
        tdbg_tui_paint_chart(s, i, is_linear, m->focus.step, grid, chart);
    }
}

void tdbg_tui_view_tensor(const struct tdbg_tui_model *m, const struct tdbg_tui_tensor *t,
                          struct tdbg_tui_grid *grid, const struct tdbg_tui_frame *frame)
{
    const struct tdbg_tui_tensor_panes p = tdbg_tui_tensor_panes_lay_out(frame, t->view);
    const struct tdbg_tui_rect rest = inside(frame->body, 0, HEAD_ROWS, 0);
    const struct tdbg_tui_rect first = {p.head.x, p.head.y, p.head.width, 1};
    const struct tdbg_tui_rect second = {p.head.x, p.head.y + 1, p.head.width, 1};
    if (m->data->n_sites == 0) {
        tdbg_tui_grid_put_text(grid, rest.x + 1, rest.y, rest.width - 1, 0,
                               "no sites were recorded");
        return;
    }
    paint_heading(m, t, frame->has_room, grid, first);
    paint_summary(m, t, grid, second);
    tdbg_tui_grid_set_cursor(grid, first.x + 1, first.y);
    if (t->view == TDBG_TENSOR_HISTORY) {
        paint_history(m, t, grid, p.history);
        return;
    }
    if (!tdbg_tui_tensor_has_values(t)) {
        paint_missing(t, grid, rest);
        return;
    }
    if (p.histogram.height > 0)
        tdbg_tui_view_histogram(t, grid, p.histogram);
    if (p.heat.height > 0)
        tdbg_tui_view_heat(t, grid, &p);
    if (p.elements.height > 0)
        tdbg_tui_view_elements(t, grid, &p);
}
