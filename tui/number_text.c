/* Numbers as short text. See number_text.h. */
#include "tui/number_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "1.20e-05" -> "1.20e-5", "1e+04" -> "1e4": the exponent without what says nothing. */
static void shorten_exponent(char *text)
{
    char *e = strchr(text, 'e');
    if (!e)
        return;
    char *to = e + 1, *from = e + 1;
    if (*from == '-')
        *to++ = *from++;
    else if (*from == '+')
        from++;
    while (*from == '0' && from[1])
        from++;
    memmove(to, from, strlen(from) + 1);
}

static const char *non_finite(double value)
{
    return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

const char *tdbg_text_number(char buf[TDBG_NUMBER_BYTES], double value, int width)
{
    if (!isfinite(value)) {
        snprintf(buf, TDBG_NUMBER_BYTES, "%s", non_finite(value));
        return buf;
    }
    if (fabs(value) < 100000 && value == floor(value)) {
        snprintf(buf, TDBG_NUMBER_BYTES, "%.0f", value == 0 ? 0.0 : value);
        return buf;
    }
    for (int digits = 3; digits >= 1; digits--) {
        snprintf(buf, TDBG_NUMBER_BYTES, "%.*g", digits, value);
        shorten_exponent(buf);
        if ((int)strlen(buf) <= width)
            return buf;
    }
    snprintf(buf, TDBG_NUMBER_BYTES, "-0"); /* a negative exponent of three digits */
    return buf;
}

const char *tdbg_text_exponent(char buf[TDBG_NUMBER_BYTES], double value)
{
    if (isfinite(value))
        snprintf(buf, TDBG_NUMBER_BYTES, "%.2e", value);
    else
        snprintf(buf, TDBG_NUMBER_BYTES, "%s", non_finite(value));
    return buf;
}

const char *tdbg_text_count(char buf[TDBG_NUMBER_BYTES], uint64_t count)
{
    static const char units[] = " kMGTPE";
    int unit = 0;
    if (count >= 10000) {
        while (count >= 1000) {
            count /= 1000;
            unit++;
        }
    }
    snprintf(buf, TDBG_NUMBER_BYTES, unit ? "%llu%c" : "%llu", (unsigned long long)count,
             units[unit]);
    return buf;
}

const char *tdbg_text_percent(char buf[TDBG_NUMBER_BYTES], uint64_t part, int64_t whole)
{
    const double percent = whole > 0 ? 100.0 * (double)part / (double)whole : 0;
    if (part == 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "0");
    else if (percent < 1)
        snprintf(buf, TDBG_NUMBER_BYTES, "<1%%");
    else
        snprintf(buf, TDBG_NUMBER_BYTES, "%d%%", percent < 100 ? (int)percent : 100);
    return buf;
}

const char *tdbg_text_duration(char buf[TDBG_NUMBER_BYTES], double ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{3600e9, "h"}, {60e9, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    size_t i = 0;
    while (i + 1 < sizeof units / sizeof units[0] && !(fabs(ns) >= units[i].ns))
        i++;
    const double value = ns / units[i].ns;
    snprintf(buf, TDBG_NUMBER_BYTES, "%.*f %s", fabs(value) < 99.95 && units[i].ns > 1 ? 1 : 0,
             value, units[i].unit);
    return buf;
}

const char *tdbg_text_change(char buf[TDBG_NUMBER_BYTES], double now, double prev)
{
    const double ratio = now / prev;
    if (now == prev || (isnan(now) && isnan(prev))) {
        snprintf(buf, TDBG_NUMBER_BYTES, "=");
    } else if (!isfinite(now) || !isfinite(prev)) {
        snprintf(buf, TDBG_NUMBER_BYTES, "%s", isfinite(now) ? "finite" : non_finite(now));
    } else if (prev == 0 || now == 0 || (now < 0) != (prev < 0)) {
        snprintf(buf, TDBG_NUMBER_BYTES, "%+.1e", now - prev);
    } else if (ratio >= 2 || ratio <= 0.5) {
        if (ratio < 0.1 || ratio >= 10000)
            snprintf(buf, TDBG_NUMBER_BYTES, "%.0ex", ratio);
        else
            snprintf(buf, TDBG_NUMBER_BYTES, ratio < 1 ? "%.2fx" : "%.1fx", ratio);
        shorten_exponent(buf);
    } else if (fabs(ratio - 1) < 0.0005) {
        snprintf(buf, TDBG_NUMBER_BYTES, now > prev ? "+<0.1%%" : "-<0.1%%");
    } else {
        snprintf(buf, TDBG_NUMBER_BYTES, "%+.1f%%", 100 * (ratio - 1));
    }
    return buf;
}

const char *tdbg_text_shape(char buf[TDBG_NUMBER_BYTES], const struct tdbg_site *site)
{
    size_t used = 0;
    if (site->ndim == 0)
        snprintf(buf, TDBG_NUMBER_BYTES, "scalar");
    for (int32_t d = 0; d < site->ndim && used < TDBG_NUMBER_BYTES; d++)
        used += (size_t)snprintf(buf + used, TDBG_NUMBER_BYTES - used, d ? "x%lld" : "%lld",
                                 (long long)site->dims[d]);
    return buf;
}
