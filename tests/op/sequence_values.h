/* What the tests of ops on sequences share: arrays of random values, and comparing results bit for
 * bit and with golden digests. Shared by test_sequence.c and test_attention.c. */
#ifndef TDBG_TESTS_OP_SEQUENCE_VALUES_H
#define TDBG_TESTS_OP_SEQUENCE_VALUES_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "kernels/strict_math.h"
#include "every_cpu.h"

static inline float *take(int64_t n)
{
    float *x = aligned_alloc(64, ((size_t)n * sizeof *x + 127) / 64 * 64);
    assert_non_null(x);
    memset(x, 0x5a, (size_t)n * sizeof *x);
    return x;
}

/* Values in (-by, by), and some special ones where asked for. */
static inline float *make_floats(int64_t n, float by, bool special)
{
    static const uint32_t bits[] = {0x7fc00000, 0xffc12345, 0x7f800000, 0xff800000,
                                    0x00000001, 0x80000001, 0x80000000, 0x00000000};
    float *x = take(n);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(int32_t)random_u32() * 0x1p-31f * by;
        if (special && random_u32() % 199 == 0)
            x[i] = tdbg_strict_float(bits[random_u32() % 8]);
    }
    return x;
}

static inline uint64_t digest(const float *x, int64_t n)
{
    return tdbg_digest_reference(x, TDBG_DTYPE_F32, n);
}

static inline void expect_equal(const char *what, const struct tdbg_cpu *cpu, int64_t n,
                                const float *got, const float *expected)
{
    for (int64_t i = 0; i < n; i++) {
        if (tdbg_strict_bits(got[i]) != tdbg_strict_bits(expected[i]))
            fail_msg("%s, %s, %d threads: element %" PRId64 " is %a (%08x), not %a (%08x)", what,
                     tdbg_isa_text(cpu->isa), cpu->threads, i, (double)got[i],
                     tdbg_strict_bits(got[i]), (double)expected[i], tdbg_strict_bits(expected[i]));
    }
}

static inline void expect_golden(const char *what, uint64_t got, uint64_t golden)
{
    if (got != golden)
        fail_msg("%s: digest 0x%016" PRIx64 ", golden 0x%016" PRIx64, what, got, golden);
}

#endif
