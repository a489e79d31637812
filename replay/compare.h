/* Comparing two tensors element by element. */
#ifndef TDBG_REPLAY_COMPARE_H
#define TDBG_REPLAY_COMPARE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "base/site.h"

/* One differing element. */
struct tdbg_element_difference {
    int64_t index; /* row-major */
    double a, b;
    double absolute, relative; /* |a - b|, |a - b| / max(|a|, |b|); NaN where one is not finite */
    int64_t ulp;               /* of the dtype, both finite; -1: not a floating-point number */
    uint64_t bits_a, bits_b;
};

struct tdbg_tensor_difference {
    int64_t n_elems, n_differ;                   /* n_differ counts elements that differ */
    struct tdbg_element_difference first, worst; /* worst by absolute difference; NaN is worst */
};

/* Compares n elements of the same type, bit for bit. first and worst are valid if n_differ > 0. */
void tdbg_compare_tensors(const void *a, const void *b, enum tdbg_dtype dtype, int64_t n,
                          struct tdbg_tensor_difference *out);

/* What two elements may differ by and still count as the same: |a - b| <= absolute + relative *
 * max(|a|, |b|), or at most ulp units in the last place (-1: that does not count). Two NaN are the
 * same, a NaN or an infinity and anything else are not. */
struct tdbg_tolerance {
    double absolute, relative;
    int64_t ulp;
};
bool tdbg_tolerance_is_none(const struct tdbg_tolerance *tolerance);

/* As tdbg_compare_tensors(), but only elements beyond the tolerance differ. */
void tdbg_compare_within(const void *a, const void *b, enum tdbg_dtype dtype, int64_t n,
                         const struct tdbg_tolerance *tolerance,
                         struct tdbg_tensor_difference *out);

/* How far two tensors are from each other: root mean square of a - b and of a, and the largest
 * |a - b|, in double, one element after the other. NaN where an element is not finite. */
struct tdbg_tensor_distance {
    double rms_difference, rms_a, largest;
};
void tdbg_compare_distance(const void *a, const void *b, enum tdbg_dtype dtype, int64_t n,
                           struct tdbg_tensor_distance *out);

/* "[3, 17]" of a row-major index into buf; "[]" for a scalar. Returns buf. */
const char *tdbg_compare_index_text(const struct tdbg_site *site, int64_t index, char *buf,
                                    size_t buf_bytes);

/* Both as text lines with this indent, or as one JSON object. */
void tdbg_compare_print(const struct tdbg_tensor_difference *difference,
                        const struct tdbg_site *site, const char *indent, FILE *out);
void tdbg_compare_print_json(const struct tdbg_tensor_difference *difference,
                             const struct tdbg_site *site, const char *key, struct tdbg_json *json);

#endif
