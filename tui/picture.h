/* An image as cells: two pixels in one where the terminal has half blocks and colours, else a ramp
 * of characters. */
#ifndef TDBG_TUI_PICTURE_H
#define TDBG_TUI_PICTURE_H

#include "base/site.h"
#include "tui/grid.h"

struct tdbg_tui_picture {
    const void *data; /* (channels, height, width) of dtype; elements from `first` on */
    enum tdbg_dtype dtype;
    int64_t first;
    int channels; /* 1: grey; 3: red, green, blue */
    int height, width;
    double low, high; /* black and full */
};

/* Range of the values into low and high: 0 .. 255 of bytes, else from least to largest. */
void tdbg_tui_picture_set_range(struct tdbg_tui_picture *picture);

/* Cells that it takes when it is shrunk, or enlarged by a whole factor, to fit into a room of
 * cells. */
void tdbg_tui_picture_fit(const struct tdbg_tui_picture *picture, int room_width, int room_height,
                          int *width, int *height);

/* A pixel as red, green and blue. */
void tdbg_tui_picture_rgb(const struct tdbg_tui_picture *picture, int x, int y,
                          unsigned char rgb[3]);

/* Paints it into all of the rectangle. */
void tdbg_tui_paint_picture(const struct tdbg_tui_picture *picture, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);

#endif
