/* Exact conversions between element types and text: one element as double, bf16 and f16 bits. */
#ifndef TDBG_BASE_CONVERT_H
#define TDBG_BASE_CONVERT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/site.h"

/* Element i of contiguous data as a double; exact except for i64 beyond 2^53. */
double tdbg_convert_elem_to_f64(const void *data, enum tdbg_dtype dtype, int64_t i);

/* Element i as a JSON token that reads back to the same bits ("0.1", "-0.0", "3", "\"NaN\"");
 * returns the length. Non-finite values are the strings "NaN", "Infinity", "-Infinity". */
enum { TDBG_ELEM_TEXT_BYTES = 40 };
int tdbg_convert_elem_to_json(const void *data, enum tdbg_dtype dtype, int64_t i,
                              char buf[TDBG_ELEM_TEXT_BYTES]);

/* Bits of a float, and back. */
static inline uint32_t tdbg_float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float tdbg_bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* A number of bytes for people, "12.3 MiB", into buf; returns buf. */
const char *tdbg_convert_bytes_text(int64_t bytes, char *buf, size_t buf_bytes);

/* Distance in units in the last place between the bits of two finite values of a floating-point
 * type of so many bytes (2, 4 or 8): how many such values apart; at most INT64_MAX. Both zeros are
 * the same place. */
int64_t tdbg_convert_ulp_apart(uint64_t bits_a, uint64_t bits_b, size_t width);

#endif
