/* Element-wise comparison. See compare.h. */
#include "replay/compare.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/convert.h"

enum { BLOCK_ELEMS = 4096 }; /* compared at once; most are the same */

static uint64_t element_bits(const void *data, size_t width, int64_t i)
{
    uint64_t bits = 0;
    memcpy(&bits, (const unsigned char *)data + (size_t)i * width, width);
    return bits;
}

static bool is_floating(enum tdbg_dtype dtype)
{
    return dtype == TDBG_DTYPE_F32 || dtype == TDBG_DTYPE_F64 || dtype == TDBG_DTYPE_BF16 ||
           dtype == TDBG_DTYPE_F16;
}

static struct tdbg_element_difference describe(const void *a, const void *b, enum tdbg_dtype dtype,
                                               int64_t i)
{
    size_t width = tdbg_dtype_bytes(dtype);
    struct tdbg_element_difference d = {
        .index = i,
        .a = tdbg_convert_elem_to_f64(a, dtype, i),
        .b = tdbg_convert_elem_to_f64(b, dtype, i),
        .ulp = -1,
        .bits_a = element_bits(a, width, i),
        .bits_b = element_bits(b, width, i),
    };
    bool finite = isfinite(d.a) && isfinite(d.b);
    double larger = fabs(d.a) > fabs(d.b) ? fabs(d.a) : fabs(d.b);
    d.absolute = finite ? fabs(d.a - d.b) : NAN;
    d.relative = finite && larger > 0 ? d.absolute / larger : finite ? 0 : NAN;
    if (finite && is_floating(dtype))
        d.ulp = tdbg_convert_ulp_apart(d.bits_a, d.bits_b, width);
    return d;
}

static bool is_worse(const struct tdbg_element_difference *d,
                     const struct tdbg_element_difference *than)
{
    if (isnan(than->absolute))
        return false;
    return isnan(d->absolute) || d->absolute > than->absolute;
}

bool tdbg_tolerance_is_none(const struct tdbg_tolerance *tolerance)
{
    return !(tolerance->absolute > 0) && !(tolerance->relative > 0) && tolerance->ulp < 0;
}

static bool is_within(const struct tdbg_element_difference *d, const struct tdbg_tolerance *t)
{
    if (isnan(d->a) || isnan(d->b))
        return isnan(d->a) && isnan(d->b);
    if (isnan(d->absolute))
        return false;
    const double larger = fmax(fabs(d->a), fabs(d->b));
    return d->absolute <= t->absolute + t->relative * larger ||
           (t->ulp >= 0 && d->ulp >= 0 && d->ulp <= t->ulp);
}

void tdbg_compare_tensors(const void *a, const void *b, enum tdbg_dtype dtype, int64_t n,
                          struct tdbg_tensor_difference *out)
{
    tdbg_compare_within(a, b, dtype, n, NULL, out);
}

static void add_element(const void *a, const void *b, enum tdbg_dtype dtype, int64_t i,
                        const struct tdbg_tolerance *tolerance, struct tdbg_tensor_difference *out)
{
    const struct tdbg_element_difference d = describe(a, b, dtype, i);
    if (tolerance && is_within(&d, tolerance))
        return;
    if (out->n_differ == 0)
        out->first = out->worst = d;
    else if (is_worse(&d, &out->worst))
        out->worst = d;
    out->n_differ++;
}

void tdbg_compare_within(const void *a, const void *b, enum tdbg_dtype dtype, int64_t n,
                         const struct tdbg_tolerance *tolerance, struct tdbg_tensor_difference *out)
{
    const size_t width = tdbg_dtype_bytes(dtype);
    const unsigned char *x = a, *y = b;
    *out = (struct tdbg_tensor_difference){.n_elems = n};
    for (int64_t from = 0; from < n; from += BLOCK_ELEMS) {
        const int64_t to = n - from < BLOCK_ELEMS ? n : from + BLOCK_ELEMS;
        if (memcmp(x + (size_t)from * width, y + (size_t)from * width,
                   (size_t)(to - from) * width) == 0)
            continue;
        for (int64_t i = from; i < to; i++) {
            if (memcmp(x + (size_t)i * width, y + (size_t)i * width, width) != 0)
                add_element(a, b, dtype, i, tolerance, out);
        }
    }
}

struct distance_sums {
    double difference, a, largest;
};

static void add_distance(struct distance_sums *sums, double a, double b)
{
    const double apart = fabs(a - b);
    sums->difference += apart * apart;
    sums->a += a * a;
    sums->largest = apart > sums->largest ? apart : sums->largest;
}

void tdbg_compare_distance(const void *a, const void *b, enum tdbg_dtype dtype, int64_t n,
                           struct tdbg_tensor_distance *out)
{
    struct distance_sums sums = {0};
    if (dtype == TDBG_DTYPE_F32) { /* most of them: without the choice of type per element */
        const float *x = a, *y = b;
        for (int64_t i = 0; i < n; i++)
            add_distance(&sums, (double)x[i], (double)y[i]);
    } else {
        for (int64_t i = 0; i < n; i++)
            add_distance(&sums, tdbg_convert_elem_to_f64(a, dtype, i),
                         tdbg_convert_elem_to_f64(b, dtype, i));
    }
    const double count = n > 0 ? (double)n : 1;
    *out = (struct tdbg_tensor_distance){sqrt(sums.difference / count), sqrt(sums.a / count),
                                         isfinite(sums.difference) ? sums.largest : NAN};
}

const char *tdbg_compare_index_text(const struct tdbg_site *site, int64_t index, char *buf,
                                    size_t buf_bytes)
{
    int64_t at[TDBG_MAX_DIMS] = {0};
    for (int32_t d = site->ndim - 1; d >= 0; d--) {
        at[d] = index % site->dims[d];
        index /= site->dims[d];
    }
    size_t used = (size_t)snprintf(buf, buf_bytes, "[");
    for (int32_t d = 0; d < site->ndim && used < buf_bytes; d++)
        used +=
            (size_t)snprintf(buf + used, buf_bytes - used, d ? ", %" PRId64 : "%" PRId64, at[d]);
    if (used < buf_bytes)
        snprintf(buf + used, buf_bytes - used, "]");
    return buf;
}

static void print_element(const char *title, const struct tdbg_element_difference *d,
                          const struct tdbg_site *site, const char *indent, FILE *out)
{
    char index[160];
    bool integer = site->dtype == TDBG_DTYPE_U8 || site->dtype == TDBG_DTYPE_I32 ||
                   site->dtype == TDBG_DTYPE_I64;
    int digits = integer || site->dtype == TDBG_DTYPE_F64 ? 17 : 9;
    fprintf(out, "%s%s %s: %.*g and %.*g", indent, title,
            tdbg_compare_index_text(site, d->index, index, sizeof index), digits, d->a, digits,
            d->b);
    if (!isnan(d->absolute))
        fprintf(out, ", absolute %.3g, relative %.3g", d->absolute, d->relative);
    if (d->ulp >= 0)
        fprintf(out, ", %" PRId64 " ULP", d->ulp);
    fputc('\n', out);
}

void tdbg_compare_print(const struct tdbg_tensor_difference *difference,
                        const struct tdbg_site *site, const char *indent, FILE *out)
{
    fprintf(out, "%s%" PRId64 " of %" PRId64 " elements differ\n", indent, difference->n_differ,
            difference->n_elems);
    print_element("first", &difference->first, site, indent, out);
    if (difference->n_differ > 1)
        print_element("worst", &difference->worst, site, indent, out);
}

static void print_element_json(const char *key, const struct tdbg_element_difference *d,
                               const struct tdbg_site *site, struct tdbg_json *json)
{
    int64_t index = d->index, at[TDBG_MAX_DIMS];
    for (int32_t k = site->ndim - 1; k >= 0; k--) {
        at[k] = index % site->dims[k];
        index /= site->dims[k];
    }
    tdbg_json_object_begin(json, key);
    tdbg_json_array_begin(json, "index");
    for (int32_t k = 0; k < site->ndim; k++)
        tdbg_json_int(json, NULL, at[k]);
    tdbg_json_array_end(json);
    tdbg_json_double(json, "a", d->a);
    tdbg_json_double(json, "b", d->b);
    tdbg_json_u64_hex(json, "a_bits", d->bits_a);
    tdbg_json_u64_hex(json, "b_bits", d->bits_b);
    tdbg_json_double(json, "absolute", d->absolute);
    tdbg_json_double(json, "relative", d->relative);
    if (d->ulp >= 0)
        tdbg_json_int(json, "ulp", d->ulp);
    tdbg_json_object_end(json);
}

void tdbg_compare_print_json(const struct tdbg_tensor_difference *difference,
                             const struct tdbg_site *site, const char *key, struct tdbg_json *json)
{
    tdbg_json_object_begin(json, key);
    tdbg_json_int(json, "elements", difference->n_elems);
    tdbg_json_int(json, "differ", difference->n_differ);
    print_element_json("first", &difference->first, site, json);
    print_element_json("worst", &difference->worst, site, json);
    tdbg_json_object_end(json);
}
