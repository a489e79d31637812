/* See heat.h. */
#include "tui/heat.h"

#include <math.h>
#include <stdlib.h>

#include "tui/panes.h"

static const char ramp[] = " .:-=+*#%@";
enum { LEVELS = sizeof ramp - 2 }; /* above 0 */

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Elements of a dimension of n that are seen in `cells` cells. */
static int64_t seen(int64_t n, int cells, int zoom)
{
    const int64_t part = zoom < 62 ? divide_up(n, INT64_C(1) << zoom) : 1;
    const int64_t least = n < cells ? n : cells;
    return part > least ? part : least;
}

struct tdbg_tui_heat_cut tdbg_tui_heat_cut_for(struct tdbg_tui_plane plane, int width, int height,
                                               int zoom, int64_t cursor)
{
    struct tdbg_tui_heat_cut c = {.plane = plane};
    if (plane.rows < 1 || plane.cols < 1 || width < 1 || height < 1)
        return c;
    c.block_rows = divide_up(seen(plane.rows, height, zoom), height);
    c.block_cols = divide_up(seen(plane.cols, width, zoom), width);
    const int64_t rows = divide_up(plane.rows, c.block_rows);
    const int64_t cols = divide_up(plane.cols, c.block_cols);
    c.height = (int)(rows < height ? rows : height);
    c.width = (int)(cols < width ? cols : width);
    c.first_row =
        c.block_rows * tdbg_tui_panes_scroll(cursor / plane.cols / c.block_rows, rows, c.height);
    c.first_col =
        c.block_cols * tdbg_tui_panes_scroll(cursor % plane.cols / c.block_cols, cols, c.width);
    c.n_rows = c.block_rows * c.height;
    c.n_cols = c.block_cols * c.width;
    if (c.n_rows > plane.rows - c.first_row)
        c.n_rows = plane.rows - c.first_row;
    if (c.n_cols > plane.cols - c.first_col)
        c.n_cols = plane.cols - c.first_col;
    return c;
}

bool tdbg_tui_heat_cut_same(const struct tdbg_tui_heat_cut *a, const struct tdbg_tui_heat_cut *b)
{
    return a->plane.rows == b->plane.rows && a->plane.cols == b->plane.cols &&
           a->first_row == b->first_row && a->first_col == b->first_col &&
           a->block_rows == b->block_rows && a->block_cols == b->block_cols &&
           a->height == b->height && a->width == b->width;
}

int tdbg_tui_heat_most_zoom(struct tdbg_tui_plane plane, int width, int height)
{
    int zoom = 0;
    while (zoom < 62 &&
           (seen(plane.rows, height, zoom) > height || seen(plane.cols, width, zoom) > width))
        zoom++;
    return zoom;
}

bool tdbg_tui_heat_begin(struct tdbg_tui_heat *h, const struct tdbg_tui_heat_cut *cut)
{
    free(h->cells);
    *h = (struct tdbg_tui_heat){.cut = *cut};
    h->cells = calloc((size_t)cut->height * (size_t)cut->width + 1, sizeof *h->cells);
    return h->cells != NULL;
}

void tdbg_tui_heat_free(struct tdbg_tui_heat *h)
{
    free(h->cells);
    *h = (struct tdbg_tui_heat){.cells = NULL};
}

void tdbg_tui_heat_add(struct tdbg_tui_heat *h, int64_t row, int64_t col, const double *values,
                       int64_t n)
{
    const struct tdbg_tui_heat_cut *c = &h->cut;
    struct tdbg_tui_heat_cell *cell = &h->cells[(row - c->first_row) / c->block_rows * c->width +
                                                (col - c->first_col) / c->block_cols];
    int64_t left = c->block_cols - (col - c->first_col) % c->block_cols;
    for (int64_t i = 0; i < n; i++) {
        const double size = fabs(values[i]);
        if (left-- == 0) {
            cell++;
            left = c->block_cols - 1;
        }
        if (size > cell->largest && !isinf(values[i]))
            cell->largest = size;
        else if (isnan(values[i]))
            cell->has_nan = true;
        else if (isinf(values[i]))
            cell->has_inf = true;
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The scale ends at the smallest of all but a twentieth: one tiny cell is not to take the contrast
 * from all others. */
void tdbg_tui_heat_end(struct tdbg_tui_heat *h)
{
    const int n_cells = h->cut.height * h->cut.width;
    double *sizes = malloc(((size_t)n_cells + 1) * sizeof *sizes);
    int n = 0;
    for (int i = 0; sizes && i < n_cells; i++) {
        if (h->cells[i].largest > 0)
            sizes[n++] = h->cells[i].largest;
    }
    if (n > 0) {
        qsort(sizes, (size_t)n, sizeof *sizes, ascending);
        h->low = sizes[n / 20];
        h->high = sizes[n - 1];
    }
    free(sizes);
}

double tdbg_tui_heat_part(const struct tdbg_tui_heat *h, const struct tdbg_tui_heat_cell *cell,
                          bool linear)
{
    const double x = cell->largest, low = h->low, high = h->high;
    double part = 1; /* where all are the same */
    if (!(x > 0))
        return 0;
    if (linear)
        part = x / high;
    else if (high > low)
        part = log(x / low) / log(high / low);
    return part < 0 ? 0 : part;
}

/* The level of a cell's own. */
static int level_of(const struct tdbg_tui_heat *h, const struct tdbg_tui_heat_cell *cell,
                    bool linear, int levels)
{
    if (!(cell->largest > 0))
        return 0;
    const int level = 1 + (int)(tdbg_tui_heat_part(h, cell, linear) * (levels - 2) + 0.5);
    return level < levels ? level : levels - 1;
}

/* Shades that follow the levels no nearer than `slack`; returns the places where they change. */
static int64_t follow(const struct tdbg_tui_heat *h, bool linear, int levels, int slack,
                      uint8_t *shade)
{
    int64_t n_changes = 0;
    for (int y = 0; y < h->cut.height; y++) {
        int now = -1;
        for (int x = 0; x < h->cut.width; x++) {
            const int i = y * h->cut.width + x;
            const struct tdbg_tui_heat_cell *cell = &h->cells[i];
            const bool is_broken = cell->has_nan || cell->has_inf;
            const int own = is_broken ? TDBG_HEAT_NO_SHADE : level_of(h, cell, linear, levels);
            const bool keeps =
                now >= 0 &&
                (is_broken || now == TDBG_HEAT_NO_SHADE ? own == now : abs(own - now) <= slack);
            if (!keeps)
                n_changes += own == TDBG_HEAT_NO_SHADE || now == TDBG_HEAT_NO_SHADE ? 2 : 1;
            now = keeps ? now : own;
            shade[i] = (uint8_t)now;
        }
    }
    return n_changes;
}

bool tdbg_tui_heat_shade(const struct tdbg_tui_heat *h, bool linear, int levels, int64_t most,
                         uint8_t *shade)
{
    for (int slack = 0; slack < levels; slack++) {
        if (follow(h, linear, levels, slack, shade) <= most)
            return true;
    }
    return false;
}

char tdbg_tui_heat_glyph(const struct tdbg_tui_heat *h, const struct tdbg_tui_heat_cell *cell,
                         bool linear)
{
    if (cell->has_nan || cell->has_inf)
        return cell->has_nan ? 'N' : 'I';
    if (!(cell->largest > 0))
        return ramp[0];
    const int level = 1 + (int)(tdbg_tui_heat_part(h, cell, linear) * (LEVELS - 1) + 0.5);
    return ramp[level > LEVELS ? LEVELS : level];
}
