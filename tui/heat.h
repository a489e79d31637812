/* A heat map: cells of a screen, each with the largest magnitude of a block of a tensor's plane.
 *
 *     columns of the plane -->  0        block_cols     2 block_cols ...
 *     rows of the plane    0    [ cell (0, 0) ][ cell (0, 1) ] ...
 *                 block_rows    [ cell (1, 0) ] ...
 */
#ifndef TDBG_TUI_HEAT_H
#define TDBG_TUI_HEAT_H

#include "tui/values.h"

/* Which part of the plane, and how it is cut: a pure function of sizes, zoom and cursor. */
struct tdbg_tui_heat_cut {
    struct tdbg_tui_plane plane;
    int64_t first_row, first_col, n_rows, n_cols; /* of the plane, that are seen */
    int64_t block_rows, block_cols;
    int height, width; /* cells */
};

struct tdbg_tui_heat_cell {
    double largest; /* of the finite elements' magnitudes */
    bool has_nan, has_inf;
};

struct tdbg_tui_heat {
    struct tdbg_tui_heat_cut cut;
    struct tdbg_tui_heat_cell *cells; /* (cut.height, cut.width) */
    double low, high;                 /* of the scale; 0: no cell is above 0 */
};

/* For a map of at most width x height cells. Each step of zoom halves what is seen, down to one
 * element in a cell; the part is that page of the plane which has the element `cursor`. */
struct tdbg_tui_heat_cut tdbg_tui_heat_cut_for(struct tdbg_tui_plane plane, int width, int height,
                                               int zoom, int64_t cursor);
bool tdbg_tui_heat_cut_same(const struct tdbg_tui_heat_cut *a, const struct tdbg_tui_heat_cut *b);

/* The zoom from which on nothing changes any more. */
int tdbg_tui_heat_most_zoom(struct tdbg_tui_plane plane, int width, int height);

/* Empty cells for a cut; false: no memory. Start from {0}, free with _free. */
bool tdbg_tui_heat_begin(struct tdbg_tui_heat *heat, const struct tdbg_tui_heat_cut *cut);
void tdbg_tui_heat_free(struct tdbg_tui_heat *heat);

/* Puts n values in, which are those of row `row` of the plane from column `col` on. */
void tdbg_tui_heat_add(struct tdbg_tui_heat *heat, int64_t row, int64_t col, const double *values,
                       int64_t n);
void tdbg_tui_heat_end(struct tdbg_tui_heat *heat); /* low and high */

/* 0 where it is 0, else 0 to 1 of the scale. */
double tdbg_tui_heat_part(const struct tdbg_tui_heat *heat, const struct tdbg_tui_heat_cell *cell,
                          bool linear);

/* Shades of the cells for a terminal that has colours, into shade (height, width): 0 is 0, then to
 * levels - 1; of a cell with NaN or Inf TDBG_HEAT_NO_SHADE. What a screen costs is how often the
 * colours change: at most `most` times (rows begin with a change, and one to NaN or Inf counts for
 * two), for which a cell keeps the shade of the one at its left as long as its own is not too far
 * from it. false: NaN and Inf alone change more often. */
enum { TDBG_HEAT_NO_SHADE = 255 };
bool tdbg_tui_heat_shade(const struct tdbg_tui_heat *heat, bool linear, int levels, int64_t most,
                         uint8_t *shade);

/* The glyph of a cell: ' ' is 0, then '.' to '@'; 'N' and 'I' have NaN and Inf. */
char tdbg_tui_heat_glyph(const struct tdbg_tui_heat *heat, const struct tdbg_tui_heat_cell *cell,
                         bool linear);

#endif
