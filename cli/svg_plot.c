/* Drawing plots. See svg_plot.h.
 *
 *     top    +--------------------------+
 *            |   lines      | mark      |
 *     bottom +--------------------------+   with zeros of a log axis below it, in a row "0"
 *           left                      right
 */
#include "cli/svg_plot.h"

#include <math.h>
#include <string.h>

#include "cli/html.h"

enum { MOST_TICKS = 12, ZERO_ROW = 18 };

struct drawing {
    FILE *out;
    const struct cli_plot *plot;
    double left, right, top, bottom; /* of the frame, in pixels */
    double x0, x1, y0, y1;           /* what it shows: y as log10 with is_log */
    bool has_zeros;
};

/* --- scales --- */

static double x_value(const struct cli_plot *p, double x)
{
    return p->x_is_log ? log2(1 + fmax(0, x - p->x_from)) : x;
}

static double x_pixel(const struct drawing *d, double x)
{
    return d->left + (x_value(d->plot, x) - d->x0) / (d->x1 - d->x0) * (d->right - d->left);
}

static double y_pixel(const struct drawing *d, double y)
{
    if (d->plot->is_log && y <= 0)
        return d->bottom + ZERO_ROW / 2.0;
    const double v = d->plot->is_log ? log10(y) : y;
    return d->bottom - (v - d->y0) / (d->y1 - d->y0) * (d->bottom - d->top);
}

static void stretch(double *low, double *high, double least)
{
    if (*high - *low < least) {
        const double middle = (*high + *low) / 2;
        *low = middle - least / 2;
        *high = middle + least / 2;
    }
}

/* What is to be seen; false: there is nothing. */
static bool find_range(struct drawing *d)
{
    const struct cli_plot *p = d->plot;
    d->x0 = isnan(p->x_low) ? INFINITY : x_value(p, p->x_low);
    d->x1 = isnan(p->x_high) ? -INFINITY : x_value(p, p->x_high);
    d->y0 = INFINITY;
    d->y1 = -INFINITY;
    for (int s = 0; s < p->n_series; s++) {
        for (int64_t i = 0; i < p->series[s].n; i++) {
            const double x = x_value(p, p->series[s].x[i]), y = p->series[s].y[i];
            if (!isfinite(x))
                continue;
            d->x0 = fmin(d->x0, x);
            d->x1 = fmax(d->x1, x);
            if (!isfinite(y))
                continue;
            if (p->is_log && y <= 0) {
                d->has_zeros = true;
                continue;
            }
            d->y0 = fmin(d->y0, p->is_log ? log10(y) : y);
            d->y1 = fmax(d->y1, p->is_log ? log10(y) : y);
        }
    }
    if (!(d->x1 >= d->x0) || (!(d->y1 >= d->y0) && !d->has_zeros))
        return false;
    if (!(d->y1 >= d->y0))
        d->y0 = d->y1 = 0;
    stretch(&d->x0, &d->x1, 1e-9);
    const double size = fmax(fabs(d->y0), fabs(d->y1));
    stretch(&d->y0, &d->y1, p->is_log ? 1 : size > 0 ? size * 1e-6 : 1);
    const double air = (d->y1 - d->y0) * 0.05;
    d->y0 -= air;
    d->y1 += air;
    return true;
}

/* Of the 1-2-5 row: the least step that makes no more than `most` of them. */
static double nice_step(double range, int most)
{
    const double rough = range / most, power = pow(10, floor(log10(rough)));
    const double digit = rough / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* --- ticks --- */

static void y_tick(const struct drawing *d, double y, const char *text)
{
    fprintf(d->out,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"tick\" text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
            d->left, d->right, y, y, d->left - 6, y + 4, text);
}

static void y_ticks_log(const struct drawing *d)
{
    static const double within[] = {1, 2, 5};
    char text[32];
    const double range = d->y1 - d->y0;
    const int every = range > 8 ? (int)nice_step(range, 7) : 1;
    for (int power = (int)floor(d->y0); power <= (int)ceil(d->y1); power++) {
        for (int k = 0; k < (range <= 2 ? 3 : 1); k++) {
            const double value = power + log10(within[k]);
            if (value < d->y0 || value > d->y1 || (k == 0 && power % every != 0))
                continue;
            if (power >= -3 && power <= 4)
                snprintf(text, sizeof text, "%g", within[k] * pow(10, power));
            else
                snprintf(text, sizeof text, "%ge%d", within[k], power);
            y_tick(d, y_pixel(d, pow(10, value)), text);
        }
    }
    if (d->has_zeros)
        y_tick(d, y_pixel(d, 0), "0");
}

static void y_ticks(const struct drawing *d)
{
    char text[32];
    if (d->plot->is_log) {
        y_ticks_log(d);
        return;
    }
    const double step = nice_step(d->y1 - d->y0, 6);
    const double from = ceil(d->y0 / step), to = floor(d->y1 / step);
    for (double i = from; i <= to && i < from + MOST_TICKS; i++) {
        snprintf(text, sizeof text, "%.6g", i * step);
        y_tick(d, y_pixel(d, i * step), text);
    }
}

static void x_tick(const struct drawing *d, double at)
{
    char text[32];
    snprintf(text, sizeof text, "%.10g", at);
    fprintf(d->out,
            "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
            x_pixel(d, at), x_pixel(d, at), d->bottom + (d->has_zeros ? ZERO_ROW : 0),
            d->bottom + (d->has_zeros ? ZERO_ROW : 0) + 5, x_pixel(d, at),
            d->bottom + (d->has_zeros ? ZERO_ROW : 0) + 18, text);
}

/* Of a log axis: the steps of the first series that do not stand too close. */
static void x_ticks(const struct drawing *d)
{
    const struct cli_plot *p = d->plot;
    if (p->x_is_log) {
        double last = -INFINITY;
        for (int64_t i = 0; i < p->series[0].n; i++) {
            if (x_pixel(d, p->series[0].x[i]) - last < 48)
                continue;
            last = x_pixel(d, p->series[0].x[i]);
            x_tick(d, p->series[0].x[i]);
        }
        return;
    }
    const double step = fmax(1, nice_step(d->x1 - d->x0, (int)((d->right - d->left) / 65)));
    for (double i = ceil(d->x0 / step), n = 0; i * step <= d->x1 && n < MOST_TICKS; i++, n++)
        x_tick(d, i * step);
}

/* --- what is in the frame --- */

static void frame(const struct drawing *d)
{
    const double low = d->bottom + (d->has_zeros ? ZERO_ROW : 0);
    fprintf(d->out,
            "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>"
            "<text class=\"label\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">",
            d->left, d->top, low, d->right, (d->left + d->right) / 2, low + 36);
    cli_html_text(d->out, d->plot->x_label);
    fprintf(d->out,
            "</text><text class=\"label\" text-anchor=\"middle\" transform=\"translate(13 %.1f) "
            "rotate(-90)\">",
            (d->top + d->bottom) / 2);
    cli_html_text(d->out, d->plot->y_label);
    fputs("</text>\n", d->out);
}

static void mark(const struct drawing *d)
{
    const struct cli_plot *p = d->plot;
    if (isnan(p->mark_x) || x_value(p, p->mark_x) < d->x0 || x_value(p, p->mark_x) > d->x1)
        return;
    const double x = x_pixel(d, p->mark_x);
    const bool is_right = x > (d->left + d->right) / 2;
    fprintf(d->out,
            "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"marktext\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">",
            x, x, d->top - 8, d->bottom, is_right ? "end" : "start", x + (is_right ? -5 : 5),
            d->top - 7);
    cli_html_text(d->out, p->mark_text);
    fputs("</text>\n", d->out);
}

/* A triangle at the top, where a line ends because its values do. */
static void mark_not_finite(const struct drawing *d, const struct cli_plot_series *s)
{
    bool was_finite = true;
    int marks = 0;
    for (int64_t i = 0; i < s->n && marks < MOST_TICKS; i++) {
        const bool is_finite = isfinite(s->y[i]);
        if (!is_finite && was_finite && !isnan(s->x[i])) {
            const double x = x_pixel(d, s->x[i]);
            fprintf(d->out, "<path class=\"gone s%d\" d=\"M%.1f %.1fl5 8h-10z\"><title>", s->style,
                    x, d->top);
            cli_html_text(d->out, s->name);
            fprintf(d->out, ": not finite at %.10g</title></path>\n", s->x[i]);
            marks++;
        }
        was_finite = is_finite;
    }
}

static void line(const struct drawing *d, const struct cli_plot_series *s)
{
    bool is_open = false;
    fprintf(d->out, "<path class=\"line s%d\" d=\"", s->style);
    for (int64_t i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i])) {
            is_open = false;
            continue;
        }
        fprintf(d->out, "%c%.1f %.1f", is_open ? 'L' : 'M', x_pixel(d, s->x[i]),
                y_pixel(d, s->y[i]));
        is_open = true;
    }
    fputs("\"/>\n", d->out);
    for (int64_t i = 0; s->has_points && i < s->n; i++) {
        if (!isfinite(s->y[i]))
            continue;
        fprintf(d->out, "<circle class=\"dot s%d\" r=\"2.6\" cx=\"%.1f\" cy=\"%.1f\"><title>",
                s->style, x_pixel(d, s->x[i]), y_pixel(d, s->y[i]));
        cli_html_text(d->out, s->name);
        fprintf(d->out, ", step %.10g: %.4g</title></circle>", s->x[i], s->y[i]);
    }
    if (!s->has_points)
        mark_not_finite(d, s);
}

static void draw(struct drawing *d, const char *class_name, double width, double height)
{
    const struct cli_plot *p = d->plot;
    d->left = 66;
    d->right = width - 14;
    d->top = 20;
    d->bottom = height - 44 - (d->has_zeros ? ZERO_ROW : 0);
    fprintf(d->out, "<svg class=\"%s\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
            class_name, width, height);
    cli_html_text(d->out, p->title);
    fputs("\">\n", d->out);
    y_ticks(d);
    frame(d);
    x_ticks(d);
    for (int s = 0; s < p->n_series; s++)
        line(d, &p->series[s]);
    mark(d);
    fputs("</svg>\n", d->out);
}

/* Where a series is not finite any more, up to its end; NaN: it ends with a number. */
static double gone_from(const struct cli_plot_series *s)
{
    double from = NAN;
    for (int64_t i = s->n - 1; i >= 0 && !isfinite(s->y[i]); i--)
        from = s->x[i];
    return from;
}

static void legend(FILE *out, const struct cli_plot *p)
{
    fputs("<ul class=\"legend\">", out);
    for (int s = 0; s < p->n_series; s++) {
        char dot[80];
        snprintf(dot, sizeof dot, "<circle class=\"dot s%d\" r=\"2.6\" cx=\"15\" cy=\"5\"/>",
                 p->series[s].style);
        fprintf(out,
                "<li><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\"><path class=\"line s%d\" "
                "d=\"M1 5H29\"/>%s</svg>",
                p->series[s].style, p->series[s].has_points ? dot : "");
        cli_html_text(out, p->series[s].name);
        if (!p->x_is_log && !isnan(gone_from(&p->series[s])))
            fprintf(out, ", not finite from step %.10g on", gone_from(&p->series[s]));
        fputs("</li>", out);
    }
    fputs("</ul>\n", out);
}

void cli_plot_write(FILE *out, const struct cli_plot *plot)
{
    struct drawing d = {.out = out, .plot = plot};
    if (!find_range(&d))
        return;
    fputs("<figure>\n", out);
    cli_html_element(out, "figcaption", NULL, plot->title);
    legend(out, plot);
    draw(&d, "wide", 860, 300);
    draw(&d, "narrow", 360, 260);
    fputs("</figure>\n", out);
}
