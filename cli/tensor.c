/* Sites by name. See tensor.h. */
#include "cli/tensor.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"

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
