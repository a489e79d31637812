/* Exact element conversions. See convert.h. */
#include "base/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static double f16_bits_to_f64(uint16_t h)
{
    int sign = h >> 15, exponent = h >> 10 & 31, fraction = h & 1023;
    double v;
    if (exponent == 31)
        v = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        v = ldexp(fraction, -24);
    else
        v = ldexp(1024 + fraction, exponent - 25);
    return sign ? -v : v;
}

double tdbg_convert_elem_to_f64(const void *data, enum tdbg_dtype dtype, int64_t i)
{
    switch (dtype) {
    case TDBG_DTYPE_F32:
        return (double)((const float *)data)[i];
    case TDBG_DTYPE_F64:
        return ((const double *)data)[i];
    case TDBG_DTYPE_BF16:
        return (double)tdbg_bits_float((uint32_t)((const uint16_t *)data)[i] << 16);
    case TDBG_DTYPE_F16:
        return f16_bits_to_f64(((const uint16_t *)data)[i]);
    case TDBG_DTYPE_U8:
        return ((const uint8_t *)data)[i];
    case TDBG_DTYPE_I32:
        return ((const int32_t *)data)[i];
    case TDBG_DTYPE_I64:
        return (double)((const int64_t *)data)[i];
    case TDBG_DTYPE_COUNT:
        break;
    }
    return NAN;
}

int tdbg_convert_elem_to_json(const void *data, enum tdbg_dtype dtype, int64_t i,
                              char buf[TDBG_ELEM_TEXT_BYTES])
{
    if (dtype == TDBG_DTYPE_I64) /* a double would round above 2^53 */
        return snprintf(buf, TDBG_ELEM_TEXT_BYTES, "%" PRId64, ((const int64_t *)data)[i]);
    double v = tdbg_convert_elem_to_f64(data, dtype, i);
    if (dtype == TDBG_DTYPE_U8 || dtype == TDBG_DTYPE_I32)
        return snprintf(buf, TDBG_ELEM_TEXT_BYTES, "%.0f", v);
    if (v != v)
        return snprintf(buf, TDBG_ELEM_TEXT_BYTES, "\"NaN\"");
    if (isinf(v))
        return snprintf(buf, TDBG_ELEM_TEXT_BYTES, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    /* 9 and 17 significant digits identify every f32 and f64 (IEEE 754-2008, 5.12.2). */
    int n = snprintf(buf, TDBG_ELEM_TEXT_BYTES, "%.*g", dtype == TDBG_DTYPE_F64 ? 17 : 9, v);
    if (!strpbrk(buf, ".e")) { /* "-0" would read back as an integer and lose its sign */
        buf[n++] = '.';
        buf[n++] = '0';
        buf[n] = '\0';
    }
    return n;
}

const char *tdbg_convert_bytes_text(int64_t bytes, char *buf, size_t buf_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    int unit = 0;
    for (; n >= 1023.95 && unit < 4; unit++)
        n /= 1024;
    snprintf(buf, buf_bytes, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return buf;
}

/* Bits without the sign are in the order of the magnitudes. */
int64_t tdbg_convert_ulp_apart(uint64_t bits_a, uint64_t bits_b, size_t width)
{
    const uint64_t sign = UINT64_C(1) << (8 * width - 1);
    const uint64_t a = bits_a & (sign - 1), b = bits_b & (sign - 1);
    const bool same_side = (bits_a & sign) == (bits_b & sign);
    const uint64_t apart = !same_side ? a + b : a > b ? a - b : b - a;
    return apart > INT64_MAX ? INT64_MAX : (int64_t)apart;
}
