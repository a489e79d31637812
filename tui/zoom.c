/* See zoom.h. */
#include "tui/zoom.h"

enum { LEAST_STEPS = 8, MOST_TIMES = 64 };

void tdbg_tui_zoom_free(struct tdbg_tui_zoom *z)
{
    tdbg_tui_series_free(&z->series);
    *z = (struct tdbg_tui_zoom){0};
}

enum tdbg_status tdbg_tui_zoom_set(struct tdbg_tui_zoom *z, const struct tdbg_tui_data *data,
                                   int64_t first, int64_t n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t end = data->first_step + data->n_steps;
    struct tdbg_tui_zoom new = {.data = *data};
    n = n < LEAST_STEPS ? LEAST_STEPS : n;
    if (n >= data->n_steps) {
        tdbg_tui_zoom_free(z);
        return TDBG_OK;
    }
    first = first > end - n ? end - n : first < data->first_step ? data->first_step : first;
    if (z->n == n && z->first == first)
        return TDBG_OK;
    new.first = new.data.first_step = first;
    new.n = new.data.n_steps = n;
    TDBG_TRY(tdbg_tui_series_init(&new.series, &new.data, err));
    tdbg_tui_zoom_free(z);
    *z = new;
out:
    return st;
}

enum tdbg_status tdbg_tui_zoom_by(struct tdbg_tui_zoom *z, const struct tdbg_tui_data *data,
                                  int64_t around, int64_t times, struct tdbg_err *err)
{
    int64_t n = z->n ? z->n : data->n_steps;
    times = times > MOST_TIMES ? MOST_TIMES : times < -MOST_TIMES ? -MOST_TIMES : times;
    for (; times > 0 && n > LEAST_STEPS; times--)
        n = (n + 1) / 2;
    for (; times < 0 && n < data->n_steps; times++)
        n *= 2;
    return tdbg_tui_zoom_set(z, data, around - n / 2, n, err);
}

enum tdbg_status tdbg_tui_zoom_follow(struct tdbg_tui_zoom *z, const struct tdbg_tui_data *data,
                                      int64_t step, struct tdbg_err *err)
{
    if (z->n == 0 || (step >= z->first && step < z->first + z->n))
        return TDBG_OK;
    /* by whole lengths, so that a move and its reverse show the same again */
    const int64_t pages = (step - data->first_step) / z->n;
    return tdbg_tui_zoom_set(z, data, data->first_step + pages * z->n, z->n, err);
}
