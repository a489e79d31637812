/* See bins.h. A value's bin is found by the upper 16 bits of its double, which narrow it down to
 * nearly always one, and a look at the bounds: some nanoseconds for each. */
#include "tui/bins.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 1 << 16, KEY_SHIFT = 48 };

void tdbg_tui_bins_free(struct tdbg_tui_bins *b)
{
    free(b->first_bin);
    *b = (struct tdbg_tui_bins){.n = 0};
}

static int bin_of(const struct tdbg_tui_bins *b, double x)
{
    int low = 0, high = b->n - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (b->bound[middle] <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* A key stands for values that differ in the bits below: the lowest of them is the one nearest to
 * zero, or of negative ones the one farthest from it. */
static void fill_keys(struct tdbg_tui_bins *b)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t bits = key << KEY_SHIFT;
        double x;
        if (key >> 15)
            bits |= (UINT64_C(1) << KEY_SHIFT) - 1;
        memcpy(&x, &bits, sizeof x);
        b->first_bin[key] = (uint8_t)(isfinite(x) ? bin_of(b, x) : 0);
    }
}

/* The steps of a decade that the bounds stand at, by how many there are. */
static double magnitude(int steps, int i)
{
    static const double parts[4][3] = {{1}, {1}, {1, 3}, {1, 2, 5}};
    const int decade = (int)floor((double)i / steps);
    return parts[steps][i - decade * steps] * pow(10, decade);
}

/* The lowest i whose magnitude is above x. */
static int above(int steps, double x)
{
    int i = (int)floor(log10(x)) * steps;
    while (magnitude(steps, i) > x)
        i--;
    while (!(magnitude(steps, i) > x))
        i++;
    return i;
}

/* As many steps in a decade as still reach down to a tenth of the root mean square. */
static int choose_steps(const struct tdbg_stats *s, double largest, int per_side)
{
    const double decades = s->rms > 0 ? log10(largest / (s->rms / 10)) : 1;
    return decades * 3 <= per_side ? 3 : decades * 2 <= per_side ? 2 : 1;
}

static void set_logarithmic(struct tdbg_tui_bins *b, const struct tdbg_stats *s, int n_wanted)
{
    const bool below = s->min<0, over = s->max> 0;
    const double largest = fmax(-s->min, s->max);
    int per_side = (n_wanted - 1) / (below && over ? 2 : 1);
    const int steps = choose_steps(s, largest, per_side);
    const int top = above(steps, largest);
    while (per_side > 1 && magnitude(steps, top - per_side + 1) < DBL_MIN)
        per_side--;
    int n = 0;
    for (int i = 0; below && i < per_side; i++)
        b->bound[n++] = -magnitude(steps, top - i);
    b->zero = n;
    b->bound[n++] = 0;
    b->bound[n++] = DBL_TRUE_MIN;
    for (int i = per_side - 1; over && i >= 1; i--)
        b->bound[n++] = magnitude(steps, top - i);
    if (over)
        b->bound[n++] = magnitude(steps, top);
    b->n = n - 1;
}

static void set_linear(struct tdbg_tui_bins *b, const struct tdbg_stats *s, int n_wanted)
{
    b->n = s->max > s->min ? n_wanted : 1;
    for (int i = 0; i <= b->n; i++) {
        const double part = (double)i / b->n;
        b->bound[i] = s->min * (1 - part) + s->max * part;
    }
    b->bound[b->n] = s->max;
}

void tdbg_tui_bins_set(struct tdbg_tui_bins *b, const struct tdbg_stats *stats, bool linear,
                       int n_wanted)
{
    uint8_t *keys = b->first_bin ? b->first_bin : malloc(KEYS);
    *b = (struct tdbg_tui_bins){.first_bin = keys, .zero = -1, .is_linear = linear};
    n_wanted = n_wanted < 3 ? 3 : n_wanted > TDBG_MOST_BINS ? TDBG_MOST_BINS : n_wanted;
    if (!keys || isnan(stats->min))
        return;
    if (linear) {
        set_linear(b, stats, n_wanted);
    } else if (stats->min == 0 && stats->max == 0) {
        b->n = 1;
        b->zero = 0;
        b->bound[1] = DBL_TRUE_MIN;
    } else {
        set_logarithmic(b, stats, n_wanted);
    }
    fill_keys(b);
}

void tdbg_tui_bins_add(struct tdbg_tui_bins *b, const double *values, int64_t n)
{
    for (int64_t i = 0; i < n && b->n > 0; i++) {
        uint64_t bits;
        const double x = values[i];
        memcpy(&bits, &x, sizeof bits);
        if ((bits >> 52 & 0x7ff) == 0x7ff)
            continue;
        int bin = b->first_bin[bits >> KEY_SHIFT];
        while (bin + 1 < b->n && x >= b->bound[bin + 1])
            bin++;
        const int64_t count = ++b->count[bin];
        b->most = count > b->most ? count : b->most;
    }
}
