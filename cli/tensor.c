/* Sites by name, and printing of their values. See tensor.h. */
#include "cli/tensor.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/json.h"

enum tdbg_status cli_find_site(const struct tdbg_trace *trace, const char *name, int64_t lane,
                               int64_t micro, int32_t *out, struct tdbg_err *err)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    bool known = false;
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(sites[i].name, name) != 0)
            continue;
        known = true;
        if ((lane < 0 || sites[i].lane == lane) && (micro < 0 || sites[i].micro == micro)) {
            *out = i;
            return TDBG_OK;
        }
    }
    if (known)
        return TDBG_RAISE(err, NOT_FOUND, "%s has '%s', but not for that lane and micro-batch",
                          tdbg_trace_path(trace), name);
    const char **names = malloc((size_t)n * sizeof *names);
    for (int32_t i = 0; names && i < n; i++)
        names[i] = sites[i].name;
    const char *near = names ? tdbg_suggest(name, names, (int)n) : NULL;
    free(names);
    if (near)
        return TDBG_RAISE(err, NOT_FOUND, "%s has no site '%s'\nhint: did you mean '%s'?",
                          tdbg_trace_path(trace), name, near);
    return TDBG_RAISE(err, NOT_FOUND,
                      "%s has no site '%s'\nhint: tdbg info %s --json lists all sites",
                      tdbg_trace_path(trace), name, tdbg_trace_path(trace));
}

enum tdbg_status cli_tensor_buffer(const struct tdbg_site *site, void **out, struct tdbg_err *err)
{
    size_t bytes = (size_t)tdbg_site_elems(site) * tdbg_dtype_bytes(site->dtype);
    *out = malloc(bytes > 0 ? bytes : 1);
    return *out ? TDBG_OK : TDBG_RAISE(err, NO_MEMORY, "no memory for %s", site->name);
}

void cli_tensor_dims(const struct tdbg_site *site, int64_t n, int64_t dims[TDBG_MAX_DIMS])
{
    int64_t row = 1;
    memcpy(dims, site->dims, sizeof site->dims);
    for (int32_t d = 1; d < site->ndim; d++)
        row *= site->dims[d];
    if (site->ndim > 0 && row > 0)
        dims[0] = n / row;
}

void cli_tensor_print_json(FILE *out, const struct tdbg_site *site, int64_t step, int64_t n,
                           const struct tdbg_stats *stats, const void *data)
{
    struct tdbg_json json;
    int64_t dims[TDBG_MAX_DIMS];
    cli_tensor_dims(site, n, dims);
    tdbg_json_init(&json, out, false);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_int(&json, "schema", 1);
    tdbg_json_string(&json, "site", site->name);
    tdbg_json_int(&json, "step", step);
    tdbg_json_int(&json, "lane", site->lane);
    tdbg_json_int(&json, "micro", site->micro);
    tdbg_json_string(&json, "dtype", tdbg_dtype_text(site->dtype));
    tdbg_json_array_begin(&json, "shape");
    for (int32_t d = 0; d < site->ndim; d++)
        tdbg_json_int(&json, NULL, dims[d]);
    tdbg_json_array_end(&json);
    if (stats) {
        tdbg_json_object_begin(&json, "stats");
        tdbg_json_double(&json, "min", stats->min);
        tdbg_json_double(&json, "max", stats->max);
        tdbg_json_double(&json, "mean", stats->mean);
        tdbg_json_double(&json, "rms", stats->rms);
        tdbg_json_int(&json, "zeros", (int64_t)stats->zeros);
        tdbg_json_int(&json, "nans", (int64_t)stats->nans);
        tdbg_json_int(&json, "infs", (int64_t)stats->infs);
        tdbg_json_object_end(&json);
    }
    if (data)
        tdbg_json_elems(&json, "values", data, site->dtype, n);
    tdbg_json_object_end(&json);
    putc('\n', out);
}
