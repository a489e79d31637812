/* How a recording goes on in further files. See pipeline_files.h. */
#include "trace/pipeline_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "trace/segment.h"

static bool has_window(const struct tdbg_pipeline_files *f)
{
    return f->window_steps > 0 && !f->keeps;
}

bool tdbg_pipeline_files_is_full(const struct tdbg_pipeline_files *f, int64_t keyframe_every,
                                 int64_t first_step, int64_t step, int64_t bytes)
{
    if (keyframe_every > 0 && (step + 1) % keyframe_every != 0)
        return false;
    if (has_window(f))
        return step + 1 - first_step >= f->window_steps;
    return f->segment_bytes > 0 && bytes >= f->segment_bytes;
}

static enum tdbg_status create_next(const struct tdbg_pipeline_files *f,
                                    const struct tdbg_trace_spec *present,
                                    const struct tdbg_trace_writer *writer,
                                    struct tdbg_trace_writer **next, struct tdbg_err *err)
{
    uint64_t chain[TDBG_CHAIN_COUNT];
    struct tdbg_trace_spec spec = *present;
    const char *path = tdbg_segment_path(f->arena, f->path, "seg", f->number + 1);
    tdbg_trace_writer_chain(writer, chain);
    spec.chain_before = chain;
    spec.next_path = tdbg_segment_path(f->arena, f->path, "seg", f->number + 2);
    return tdbg_trace_writer_create(path, true, &spec, next, err);
}

/* The file before the one that was just finished is not needed any more. */
static enum tdbg_status move_window(const struct tdbg_pipeline_files *f, struct tdbg_err *err)
{
    if (!has_window(f) || f->number == 0)
        return TDBG_OK;
    const char *finished = tdbg_segment_path(f->arena, f->path, "seg", f->number);
    if (rename(finished, f->path) != 0)
        return TDBG_RAISE(err, IO, "cannot rename %s: %s", finished, strerror(errno));
    return TDBG_OK;
}

enum tdbg_status tdbg_pipeline_files_next(struct tdbg_pipeline_files *f,
                                          const struct tdbg_trace_spec *spec,
                                          struct tdbg_trace_writer **writer, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace_writer *next = NULL, *finished = *writer;
    TDBG_TRY(create_next(f, spec, finished, &next, err));
    if (f->window_steps == 0) /* with a window every file is complete by itself */
        tdbg_trace_writer_take_samples(next, finished);
    f->earlier_bytes = tdbg_trace_writer_bytes(finished) + (has_window(f) ? 0 : f->earlier_bytes);
    *writer = next;
    TDBG_TRY(tdbg_trace_writer_close(finished, err));
    TDBG_TRY(move_window(f, err));
    f->number++;
out:
    return st;
}

int64_t tdbg_pipeline_files_bytes(const struct tdbg_pipeline_files *f)
{
    struct stat info;
    const char *last = tdbg_segment_path(f->arena, f->path, "seg", f->number);
    return stat(last, &info) == 0 ? f->earlier_bytes + info.st_size : -1;
}
