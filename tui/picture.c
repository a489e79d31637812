/* See picture.h. A pixel of the screen is the mean of the image's pixels that it covers. */
#include "tui/picture.h"

#include <math.h>

#include "base/convert.h"

static double element(const struct tdbg_tui_picture *p, int channel, int y, int x)
{
    const int64_t i = ((int64_t)channel * p->height + y) * p->width + x;
    return tdbg_convert_elem_to_f64(p->data, p->dtype, p->first + i);
}

void tdbg_tui_picture_set_range(struct tdbg_tui_picture *p)
{
    const int64_t n = (int64_t)p->channels * p->height * p->width;
    p->low = 0;
    p->high = 255;
    if (p->dtype == TDBG_DTYPE_U8)
        return;
    p->low = INFINITY;
    p->high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        const double v = tdbg_convert_elem_to_f64(p->data, p->dtype, p->first + i);
        if (isfinite(v)) {
            p->low = fmin(p->low, v);
            p->high = fmax(p->high, v);
        }
    }
    if (!(p->low < p->high)) {
        p->low = isfinite(p->low) ? p->low - 1 : 0;
        p->high = p->low + 2;
    }
}

void tdbg_tui_picture_fit(const struct tdbg_tui_picture *p, int room_width, int room_height,
                          int *width, int *height)
{
    const double across = (double)room_width / p->width, down = 2.0 * room_height / p->height;
    double factor = across < down ? across : down;
    if (factor > 1)
        factor = floor(factor);
    *width = (int)fmax(1, floor(p->width * factor));
    *height = (int)fmax(1, floor((p->height * factor + 1) / 2));
    *width = *width < room_width ? *width : room_width;
    *height = *height < room_height ? *height : room_height;
}

/* Image rows or columns that pixel i of n stands for: at least one. */
static void covered(int i, int n, int size, int *from, int *to)
{
    *from = (int)((int64_t)i * size / n);
    *to = (int)((int64_t)(i + 1) * size / n);
    *to = *to > *from ? *to : *from + 1;
}

/* 0 .. 1; -1: not a number. */
static double level(const struct tdbg_tui_picture *p, int channel, int x, int y, int width,
                    int height)
{
    int x0, x1, y0, y1;
    double sum = 0;
    covered(x, width, p->width, &x0, &x1);
    covered(y, height, p->height, &y0, &y1);
    for (int j = y0; j < y1; j++) {
        for (int i = x0; i < x1; i++)
            sum += element(p, channel, j, i);
    }
    const double v = (sum / ((x1 - x0) * (y1 - y0)) - p->low) / (p->high - p->low);
    return isnan(v) ? -1 : fmin(fmax(v, 0), 1);
}

/* Of a colour image by its luminance (ITU-R BT.601). */
static double brightness(const struct tdbg_tui_picture *p, int x, int y, int width, int height)
{
    static const double weight[] = {0.299, 0.587, 0.114};
    double sum = 0;
    for (int c = 0; c < p->channels; c++) {
        const double v = level(p, c, x, y, width, height);
        if (v < 0)
            return -1;
        sum += p->channels == 3 ? weight[c] * v : v / p->channels;
    }
    return sum;
}

static int rounded(double v, int levels)
{
    return (int)lround(v * (levels - 1));
}

void tdbg_tui_picture_rgb(const struct tdbg_tui_picture *p, int x, int y, unsigned char rgb[3])
{
    for (int c = 0; c < 3; c++) {
        const double v = level(p, p->channels == 3 ? c : 0, x, y, p->width, p->height);
        rgb[c] = (unsigned char)(v < 0 ? 0 : rounded(v, 256));
    }
}

/* Black or white, so that the mean over 4x4 pixels is the grey (Bayer's matrix). */
static bool is_white(double v, int x, int y)
{
    static const int bayer[4][4] = {{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}};
    return v * 16 > bayer[y % 4][x % 4] + 0.5;
}

static uint8_t colour_of(const struct tdbg_tui_picture *p, int x, int y, int width, int height,
                         int colours)
{
    const double grey = brightness(p, x, y, width, height);
    const int white = TDBG_PICTURE_GREYS - 1;
    if (grey < 0)
        return TDBG_PICTURE_GREY;
    if (colours < 256)
        return (uint8_t)(TDBG_PICTURE_GREY + (is_white(grey, x, y) ? white : 0));
    if (p->channels != 3)
        return (uint8_t)(TDBG_PICTURE_GREY + rounded(grey, TDBG_PICTURE_GREYS));
    const int red = rounded(level(p, 0, x, y, width, height), 3);
    const int green = rounded(level(p, 1, x, y, width, height), 4);
    const int blue = rounded(level(p, 2, x, y, width, height), 2);
    return (uint8_t)(TDBG_PICTURE_COLOUR + red * 8 + green * 2 + blue);
}

static char ramp_of(const struct tdbg_tui_picture *p, int x, int y, int width, int height)
{
    static const char ramp[] = " .:-=+*#%@";
    const double v = brightness(p, x, y, width, height);
    return v < 0 ? '?' : ramp[rounded(v, (int)sizeof ramp - 1)];
}

void tdbg_tui_paint_picture(const struct tdbg_tui_picture *p, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect)
{
    for (int y = 0; y < rect.height; y++) {
        for (int x = 0; x < rect.width; x++) {
            if (grid->ascii || grid->colours < 8)
                tdbg_tui_grid_put(grid, rect.x + x, rect.y + y,
                                  (uint32_t)ramp_of(p, x, y, rect.width, rect.height), 0);
            else
                tdbg_tui_grid_put_pixels(
                    grid, rect.x + x, rect.y + y,
                    colour_of(p, x, 2 * y, rect.width, 2 * rect.height, grid->colours),
                    colour_of(p, x, 2 * y + 1, rect.width, 2 * rect.height, grid->colours));
        }
    }
}
