/* Line plots as SVG inside HTML: a wide and a narrow drawing of each, of which the page's style
 * shows the one that fits, so that letters keep their size. */
#ifndef TDBG_CLI_SVG_PLOT_H
#define TDBG_CLI_SVG_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CLI_PLOT_STYLES = 8 }; /* colours with dashes of their own: s0 .. s7 of the style sheet */

struct cli_plot_series {
    const char *name;
    const double *x, *y; /* (n) x ascending; y that is not finite breaks the line and is marked */
    int64_t n;
    int style;
    bool has_points; /* dots, not only a line */
};

struct cli_plot {
    const char *title, *x_label, *y_label; /* labels say the unit */
    bool is_log;                           /* of y; zeros stand in a row of their own below */
    bool x_is_log;                         /* of 1 + x - x_from */
    double x_from;                         /* with x_is_log */
    double x_low, x_high;                  /* shown in any case; NaN: only what there is */
    const struct cli_plot_series *series;
    int n_series;
    double mark_x;         /* a vertical line there; NaN: none */
    const char *mark_text; /* beside it */
};

/* <figure> with title, legend and both drawings; nothing where no series has a finite value. */
void cli_plot_write(FILE *out, const struct cli_plot *plot);

#endif
