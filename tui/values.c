/* See values.h. */
#include "tui/values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/convert.h"

bool tdbg_tui_dtype_is_float(enum tdbg_dtype dtype)
{
    return dtype == TDBG_DTYPE_F32 || dtype == TDBG_DTYPE_F64 || dtype == TDBG_DTYPE_BF16 ||
           dtype == TDBG_DTYPE_F16;
}

void tdbg_tui_values_drop(struct tdbg_tui_values *v)
{
    if (v->is_mapped)
        munmap((void *)(uintptr_t)v->data, v->bytes);
    else
        free((void *)(uintptr_t)v->data);
    *v = (struct tdbg_tui_values){.site = NULL};
}

bool tdbg_tui_values_keep(struct tdbg_tui_values *v, const struct tdbg_site *site,
                          const struct tdbg_tui_answer *answer)
{
    const size_t bytes = (size_t)answer->n_elems * tdbg_dtype_bytes(site->dtype);
    void *data = NULL;
    tdbg_tui_values_drop(v);
    v->bytes = bytes > 0 ? bytes : 1;
    if (answer->fd >= 0) {
        data = mmap(NULL, v->bytes, PROT_READ, MAP_SHARED, answer->fd, 0);
        data = data == MAP_FAILED ? NULL : data;
        v->is_mapped = data != NULL;
    } else {
        data = malloc(v->bytes);
        if (data && bytes > 0)
            memcpy(data, answer->values, bytes);
    }
    if (!data)
        return false;
    v->site = site;
    v->data = data;
    v->n_elems = answer->n_elems;
    v->stats = *answer->stats;
    v->is_executed = answer->is_executed;
    v->steps_executed = answer->steps_executed;
    return true;
}

void tdbg_tui_values_convert(const struct tdbg_tui_values *v, int64_t first, int64_t n, double *out)
{
    if (v->site->dtype == TDBG_DTYPE_F32) { /* by far the most */
        const float *from = (const float *)v->data + first;
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)from[i];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = tdbg_convert_elem_to_f64(v->data, v->site->dtype, first + i);
}

void tdbg_tui_values_give_back(const struct tdbg_tui_values *v, int64_t end)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = (size_t)end * tdbg_dtype_bytes(v->site->dtype) / page * page;
    if (v->is_mapped && bytes > 0) /* of a shared mapping: they stay in the file */
        madvise((void *)(uintptr_t)v->data, bytes, MADV_DONTNEED);
}

const char *tdbg_tui_value_text(const struct tdbg_tui_values *v, int64_t i,
                                char buf[TDBG_VALUE_BYTES])
{
    const enum tdbg_dtype dtype = v->site->dtype;
    const double x = tdbg_convert_elem_to_f64(v->data, dtype, i);
    if (!tdbg_tui_dtype_is_float(dtype)) {
        tdbg_convert_elem_to_json(v->data, dtype, i, buf);
    } else if (!isfinite(x)) {
        snprintf(buf, TDBG_VALUE_BYTES, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    } else {
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(buf, TDBG_VALUE_BYTES, "%.*g", digits, x);
            if (dtype == TDBG_DTYPE_F64 ? strtod(buf, NULL) == x : (double)strtof(buf, NULL) == x)
                break;
        }
    }
    return buf;
}

/* Elements of one index of dimension 0. */
static int64_t row_elems(const struct tdbg_site *site)
{
    int64_t n = 1;
    for (int32_t d = 1; d < site->ndim; d++)
        n *= site->dims[d];
    return n;
}

static int64_t dim_of(const struct tdbg_site *site, int64_t n_elems, int32_t d)
{
    const int64_t row = row_elems(site);
    return d > 0 ? site->dims[d] : row > 0 ? n_elems / row : 0;
}

struct tdbg_tui_plane tdbg_tui_plane_of(const struct tdbg_site *site, int64_t n_elems)
{
    struct tdbg_tui_plane best = {1, n_elems, 0};
    int64_t rows = 1;
    for (int32_t d = 0; d + 1 < site->ndim && n_elems > 0; d++) {
        rows *= dim_of(site, n_elems, d);
        const int64_t cols = n_elems / rows;
        const int64_t longer = rows > cols ? rows / cols : cols / rows;
        const int64_t before =
            best.rows > best.cols ? best.rows / best.cols : best.cols / best.rows;
        if (longer < before)
            best = (struct tdbg_tui_plane){rows, cols, (int)d + 1};
    }
    return best;
}

static const char *shape_text(const struct tdbg_site *site, int64_t n_elems, char *buf,
                              size_t buf_bytes)
{
    size_t used = 0;
    for (int32_t d = 0; d < site->ndim && used < buf_bytes; d++)
        used += (size_t)snprintf(buf + used, buf_bytes - used, "%s%" PRId64, d ? "x" : "",
                                 dim_of(site, n_elems, d));
    return buf;
}

static const char *skip_space(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

static const char *wrong_form(const struct tdbg_site *site, int64_t n_elems, const char *text,
                              char *buf, size_t buf_bytes)
{
    char shape[160] = "";
    if (site->ndim == 0)
        snprintf(buf, buf_bytes, "'%s' is no index here: a scalar has only one element", text);
    else
        snprintf(buf, buf_bytes, "'%s' is no index here: %d number%s, such as %s; the shape is %s",
                 text, (int)site->ndim, site->ndim > 1 ? "s" : "",
                 site->ndim == 1   ? "3"
                 : site->ndim == 2 ? "3,17"
                 : site->ndim == 3 ? "3,17,0"
                                   : "3,17,0,5",
                 shape_text(site, n_elems, shape, sizeof shape));
    return buf;
}

const char *tdbg_tui_index_parse(const struct tdbg_site *site, int64_t n_elems, const char *text,
                                 int64_t *out, char *buf, size_t buf_bytes)
{
    const char *at = skip_space(text);
    const bool has_bracket = *at == '[';
    int64_t flat = 0;
    char shape[160] = "";
    at = skip_space(at + has_bracket);
    for (int32_t d = 0; d < site->ndim; d++) {
        char *end;
        if (d > 0 && *at++ != ',')
            return wrong_form(site, n_elems, text, buf, buf_bytes);
        errno = 0;
        long long i = strtoll(at, &end, 10);
        if (end == at)
            return wrong_form(site, n_elems, text, buf, buf_bytes);
        at = skip_space(end);
        const int64_t dim = dim_of(site, n_elems, d);
        i += i < 0 ? dim : 0;
        if (errno == ERANGE || i < 0 || i >= dim) {
            snprintf(buf, buf_bytes, "index %d of '%s' is outside: the shape is %s", (int)d, text,
                     shape_text(site, n_elems, shape, sizeof shape));
            return buf;
        }
        flat = flat * dim + i;
    }
    if (has_bracket && *at++ != ']')
        return wrong_form(site, n_elems, text, buf, buf_bytes);
    if (*skip_space(at))
        return wrong_form(site, n_elems, text, buf, buf_bytes);
    *out = flat;
    return NULL;
}
