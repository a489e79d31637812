/* A trace that goes on in further files: each is opened like a trace of its own, and whoever asks
 * for a step is sent to the file that has it.
 *
 *     trace.h5 (steps 0..99)   --/segments/next-->  trace.seg1.h5 (100..199)  -->  trace.seg2.h5
 *     t->segments[] = { trace.seg1.h5, trace.seg2.h5 };  their `whole` is t
 */
#include "trace/reader_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/hdf5_util.h"
#include "trace/segment.h"

enum { MOST_SEGMENTS = 1 << 16, MOST_NAME_BYTES = 255 };

const char *tdbg_reader_link_path(const struct tdbg_trace *t, const char *group, const char *link)
{
    char value[4 * MOST_NAME_BYTES];
    const char *file = NULL, *object = NULL;
    H5L_info_t info;
    if (H5Lexists(t->file, group, H5P_DEFAULT) <= 0 ||
        H5Lget_info(t->file, group, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD ||
        H5Lexists(t->file, link, H5P_DEFAULT) <= 0 ||
        H5Lget_info(t->file, link, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_EXTERNAL ||
        info.u.val_size > sizeof value ||
        H5Lget_val(t->file, link, value, sizeof value, H5P_DEFAULT) < 0 ||
        H5Lunpack_elink_val(value, info.u.val_size, NULL, &file, &object) < 0)
        return NULL;
    if (*file == 0 || strchr(file, '/') || strlen(file) > MOST_NAME_BYTES)
        return NULL; /* only files beside this one are its own */
    const char *path = tdbg_arena_printf(
        t->arena, "%.*s%s", (int)(tdbg_segment_name(t->path) - t->path), t->path, file);
    return access(path, F_OK) == 0 ? path : NULL;
}

const char *tdbg_reader_next_path(const struct tdbg_trace *t)
{
    return tdbg_reader_link_path(t, "segments", "segments/next");
}

static bool same_samples(const struct tdbg_samples_spec *a, const struct tdbg_samples_spec *b)
{
    return a->total == b->total && a->classes == b->classes && a->vocab == b->vocab &&
           a->x_dtype == b->x_dtype && a->y_dtype == b->y_dtype && a->x_ndim == b->x_ndim &&
           a->y_ndim == b->y_ndim &&
           memcmp(a->x_dims, b->x_dims, (size_t)a->x_ndim * sizeof *a->x_dims) == 0 &&
           memcmp(a->y_dims, b->y_dims, (size_t)a->y_ndim * sizeof *a->y_dims) == 0;
}

bool tdbg_trace_same_samples(const struct tdbg_trace *a, const struct tdbg_trace *b)
{
    for (int set = 0; set < TDBG_SAMPLES_SETS; set++) {
        if (!same_samples(&a->samples[set], &b->samples[set]))
            return false;
    }
    return true;
}

/* Does the file go on where the trace ends? */
static enum tdbg_status check_follows(const struct tdbg_trace *t, const struct tdbg_trace *next,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t want = tdbg_trace_first_step(t) + tdbg_trace_n_steps(t);
    TDBG_FAIL_IF(memcmp(t->info.uuid, next->info.uuid, sizeof t->info.uuid) != 0, NO_TRACE,
                 "it is of another run");
    TDBG_FAIL_IF(next->first_step != want, DAMAGED, "it begins at step %lld instead of %lld",
                 (long long)next->first_step, (long long)want);
    TDBG_FAIL_IF(next->n_sites != t->n_sites || next->n_items != t->n_items ||
                     next->info.batch != t->info.batch,
                 DAMAGED, "it lists other sites");
    TDBG_FAIL_IF(!tdbg_trace_same_samples(t, next), DAMAGED, "its samples are of another shape");
    for (int32_t i = 0; i < t->n_sites; i++)
        TDBG_FAIL_IF(strcmp(next->sites[i].name, t->sites[i].name) != 0 ||
                         tdbg_site_elems(&next->sites[i]) != tdbg_site_elems(&t->sites[i]) ||
                         next->sites[i].dtype != t->sites[i].dtype,
                     DAMAGED, "it lists other sites");
out:
    return st;
}

static bool add_segment(struct tdbg_trace *t, struct tdbg_trace *next)
{
    struct tdbg_trace **grown =
        realloc(t->segments, ((size_t)t->n_segments + 1) * sizeof *t->segments);
    if (!grown)
        return false;
    t->segments = grown;
    t->segments[t->n_segments++] = next;
    next->whole = t;
    return true;
}

/* A file that cannot be used ends the trace there, with a note that says why: what stands before it
 * is as good as ever. A file without a step was only just begun. */
void tdbg_reader_open_segments(struct tdbg_trace *t)
{
    const struct tdbg_trace *last = t;
    const char *path;
    while (t->n_segments < MOST_SEGMENTS && (path = tdbg_reader_next_path(last))) {
        struct tdbg_err err = {0};
        struct tdbg_trace *next = NULL;
        enum tdbg_status st = tdbg_reader_open_one(path, &next, &err);
        if (st == TDBG_OK)
            st = check_follows(t, next, &err);
        if (st == TDBG_OK && !add_segment(t, next))
            st = TDBG_RAISE(&err, NO_MEMORY, "no memory for another file");
        if (st != TDBG_OK) {
            tdbg_trace_close(next);
            if (st != TDBG_NO_TRACE)
                t->note = tdbg_arena_printf(t->arena, "%s cannot be used: %s", path, err.message);
            tdbg_err_clear(&err);
            return;
        }
        last = next;
    }
}

void tdbg_reader_close_segments(struct tdbg_trace *t)
{
    for (int i = 0; i < t->n_segments; i++)
        tdbg_trace_close(t->segments[i]);
    free(t->segments);
}

const struct tdbg_trace *tdbg_reader_last(const struct tdbg_trace *t)
{
    return t->n_segments > 0 ? t->segments[t->n_segments - 1] : t;
}

struct tdbg_trace *tdbg_reader_at(struct tdbg_trace *t, int64_t step)
{
    int low = 0, high = t->n_segments;
    while (low < high) { /* the first one that begins behind the step */
        const int middle = low + (high - low) / 2;
        if (t->segments[middle]->first_step <= step)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? t->segments[low - 1] : t;
}
