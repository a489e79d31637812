/* Names and sizes of stages, dtypes and sites. See site.h. */
#include "base/site.h"

#include <stdio.h>
#include <string.h>

static const char *const stage_text[] = {
#define STAGE_ROW(name, text) text,
    TDBG_STAGE_LIST(STAGE_ROW)
#undef STAGE_ROW
};

static const struct {
    const char *text;
    size_t bytes;
} dtype_table[] = {
#define DTYPE_ROW(name, text, bytes) {text, bytes},
    TDBG_DTYPE_LIST(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *tdbg_stage_text(enum tdbg_stage stage)
{
    return stage_text[stage];
}

const char *tdbg_dtype_text(enum tdbg_dtype dtype)
{
    return dtype_table[dtype].text;
}

size_t tdbg_dtype_bytes(enum tdbg_dtype dtype)
{
    return dtype_table[dtype].bytes;
}

bool tdbg_stage_parse(const char *text, enum tdbg_stage *out)
{
    for (int i = 0; i < TDBG_STAGE_COUNT; i++) {
        if (strcmp(stage_text[i], text) == 0) {
            *out = (enum tdbg_stage)i;
            return true;
        }
    }
    return false;
}

bool tdbg_dtype_parse(const char *text, enum tdbg_dtype *out)
{
    for (int i = 0; i < TDBG_DTYPE_COUNT; i++) {
        if (strcmp(dtype_table[i].text, text) == 0) {
            *out = (enum tdbg_dtype)i;
            return true;
        }
    }
    return false;
}

int64_t tdbg_site_elems(const struct tdbg_site *site)
{
    int64_t n = 1;
    for (int32_t d = 0; d < site->ndim; d++)
        n *= site->dims[d];
    return n;
}

const char *tdbg_site_shape_text(const struct tdbg_site *site, char *buf, size_t buf_bytes)
{
    size_t used = (size_t)snprintf(buf, buf_bytes, "(");
    for (int32_t d = 0; d < site->ndim && used < buf_bytes; d++) {
        used += (size_t)snprintf(buf + used, buf_bytes - used, d ? ", %lld" : "%lld",
                                 (long long)site->dims[d]);
    }
    if (used < buf_bytes)
        snprintf(buf + used, buf_bytes - used, ")");
    return buf;
}

const char *tdbg_site_tensor(const struct tdbg_site *site)
{
    const char *slash = strchr(site->name, '/');
    return slash ? slash + 1 : site->name;
}

const char *tdbg_site_label(const struct tdbg_site *site, char *buf, size_t buf_bytes)
{
    if (site->lane == TDBG_LANE_ALL)
        snprintf(buf, buf_bytes, "%s", site->name);
    else if (site->micro == TDBG_LANE_ALL)
        snprintf(buf, buf_bytes, "%s lane %d", site->name, (int)site->lane);
    else
        snprintf(buf, buf_bytes, "%s lane %d micro %d", site->name, (int)site->lane,
                 (int)site->micro);
    return buf;
}
