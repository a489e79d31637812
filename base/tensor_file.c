/* See tensor_file.h. */
#include "base/tensor_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/convert.h"
#include "base/json.h"

void tdbg_tensor_dims(const struct tdbg_site *site, int64_t n, int64_t dims[TDBG_MAX_DIMS])
{
    int64_t row = 1;
    memcpy(dims, site->dims, sizeof site->dims);
    for (int32_t d = 1; d < site->ndim; d++)
        row *= site->dims[d];
    if (site->ndim > 0 && row > 0)
        dims[0] = n / row;
}

/* Everything but the values; the object stays open. */
static void write_members(struct tdbg_json *json, FILE *out, const struct tdbg_site *site,
                          int64_t step, int64_t n, const struct tdbg_stats *stats)
{
    int64_t dims[TDBG_MAX_DIMS];
    tdbg_tensor_dims(site, n, dims);
    tdbg_json_init(json, out, false);
    tdbg_json_object_begin(json, NULL);
    tdbg_json_int(json, "schema", 1);
    tdbg_json_string(json, "site", site->name);
    tdbg_json_int(json, "step", step);
    tdbg_json_int(json, "lane", site->lane);
    tdbg_json_int(json, "micro", site->micro);
    tdbg_json_string(json, "dtype", tdbg_dtype_text(site->dtype));
    tdbg_json_array_begin(json, "shape");
    for (int32_t d = 0; d < site->ndim; d++)
        tdbg_json_int(json, NULL, dims[d]);
    tdbg_json_array_end(json);
    if (stats) {
        tdbg_json_object_begin(json, "stats");
        tdbg_json_double(json, "min", stats->min);
        tdbg_json_double(json, "max", stats->max);
        tdbg_json_double(json, "mean", stats->mean);
        tdbg_json_double(json, "rms", stats->rms);
        tdbg_json_int(json, "zeros", (int64_t)stats->zeros);
        tdbg_json_int(json, "nans", (int64_t)stats->nans);
        tdbg_json_int(json, "infs", (int64_t)stats->infs);
        tdbg_json_object_end(json);
    }
}

void tdbg_tensor_write_json(FILE *out, const struct tdbg_site *site, int64_t step, int64_t n,
                            const struct tdbg_stats *stats, const void *data)
{
    struct tdbg_json json;
    write_members(&json, out, site, step, n, stats);
    if (data)
        tdbg_json_elems(&json, "values", data, site->dtype, n);
    tdbg_json_object_end(&json);
    putc('\n', out);
}

void tdbg_tensor_write_json_head(FILE *out, const struct tdbg_site *site, int64_t step, int64_t n,
                                 const struct tdbg_stats *stats)
{
    struct tdbg_json json;
    write_members(&json, out, site, step, n, stats);
    fputs(",\"values\":[", out);
}

void tdbg_tensor_write_json_part(FILE *out, enum tdbg_dtype dtype, int64_t first, int64_t n,
                                 const void *data)
{
    char text[TDBG_ELEM_TEXT_BYTES];
    for (int64_t i = first; i < first + n; i++) {
        tdbg_convert_elem_to_json(data, dtype, i, text);
        fprintf(out, i > 0 ? ",%s" : "%s", text);
    }
}

void tdbg_tensor_write_json_tail(FILE *out)
{
    fputs("]}\n", out);
}

void tdbg_tensor_write_csv_head(FILE *out, const struct tdbg_site *site)
{
    fputs("step", out);
    for (int32_t d = 0; d < site->ndim; d++)
        fprintf(out, ",index%d", (int)d);
    fputs(",value\n", out);
}

void tdbg_tensor_write_csv(FILE *out, const struct tdbg_site *site, int64_t step, int64_t first,
                           int64_t n, const void *data)
{
    char text[TDBG_ELEM_TEXT_BYTES];
    int64_t index[TDBG_MAX_DIMS] = {0}, left = first;
    for (int32_t d = site->ndim - 1; d >= 0 && n > 0; d--) {
        index[d] = d > 0 ? left % site->dims[d] : left;
        left = d > 0 ? left / site->dims[d] : 0;
    }
    for (int64_t i = first; i < first + n; i++) {
        fprintf(out, "%" PRId64, step);
        for (int32_t d = 0; d < site->ndim; d++)
            fprintf(out, ",%" PRId64, index[d]);
        tdbg_convert_elem_to_json(data, site->dtype, i, text);
        fprintf(out, ",%s\n", text);
        for (int32_t d = site->ndim - 1; d >= 0 && ++index[d] == site->dims[d] && d > 0; d--)
            index[d] = 0;
    }
}
