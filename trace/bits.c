/* Differences of bit patterns. See bits.h. */
#include "trace/bits.h"

#include <stdint.h>

#include "base/status.h"

/* One loop per width over typed elements, which the compiler turns into vector code. */
#define DEFINE(type)                                                                               \
    static void add_##type(type *to, const type *from, size_t n)                                   \
    {                                                                                              \
        for (size_t i = 0; i < n; i++)                                                             \
            to[i] = (type)(to[i] + ((type)(from[i] >> 1) ^ (type) - (from[i] & 1)));               \
    }                                                                                              \
    static void subtract_##type(type *out, const type *a, const type *b, size_t n)                 \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const type d = (type)(a[i] - b[i]);                                                    \
            out[i] = (type)((type)(d << 1) ^ (type) - (d >> (8 * sizeof(type) - 1)));              \
        }                                                                                          \
    }
DEFINE(uint8_t)
DEFINE(uint16_t)
DEFINE(uint32_t)
DEFINE(uint64_t)

void tdbg_bits_add(void *to, const void *from, size_t n, size_t elem_bytes)
{
    switch (elem_bytes) {
    case 1:
        add_uint8_t(to, from, n);
        return;
    case 2:
        add_uint16_t(to, from, n);
        return;
    case 4:
        add_uint32_t(to, from, n);
        return;
    case 8:
        add_uint64_t(to, from, n);
        return;
    default:
        TDBG_BUG("elements of %zu bytes", elem_bytes);
    }
}

void tdbg_bits_subtract(void *out, const void *a, const void *b, size_t n, size_t elem_bytes)
{
    switch (elem_bytes) {
    case 1:
        subtract_uint8_t(out, a, b, n);
        return;
    case 2:
        subtract_uint16_t(out, a, b, n);
        return;
    case 4:
        subtract_uint32_t(out, a, b, n);
        return;
    case 8:
        subtract_uint64_t(out, a, b, n);
        return;
    default:
        TDBG_BUG("elements of %zu bytes", elem_bytes);
    }
}
