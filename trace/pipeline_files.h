/* The files of one recording: where it is, and how it goes on.
 *
 *     segments: [ trace.h5: segment_bytes or more ][ trace.seg1.h5 ][ trace.seg2.h5, being written
 * ] window:   [ trace.h5: N steps or more ][ trace.seg<k>.h5: fewer than N, being written ] when
 * the second is full the third begins, and the second takes the place of the first
 */
#ifndef TDBG_TRACE_PIPELINE_FILES_H
#define TDBG_TRACE_PIPELINE_FILES_H

#include "base/arena.h"
#include "trace/writer.h"

struct tdbg_pipeline_files {
    struct tdbg_arena *arena;
    const char *path;                    /* of the first */
    int64_t segment_bytes, window_steps; /* of struct tdbg_pipeline_options */
    int32_t number;                      /* of the one that is being written; 0: the first */
    int64_t earlier_bytes;               /* in those before it */
    bool keeps;                          /* none is removed any more */
};

/* Is `step` the last one of its file, which begins with first_step and has so many bytes? What
 * follows has to begin with a keyframe. */
bool tdbg_pipeline_files_is_full(const struct tdbg_pipeline_files *files, int64_t keyframe_every,
                                 int64_t first_step, int64_t step, int64_t bytes);

/* Creates the next file, closes the present one, which has been flushed, and removes what a window
 * does not need any more. *writer becomes that of the next file as soon as there is one. */
enum tdbg_status tdbg_pipeline_files_next(struct tdbg_pipeline_files *files,
                                          const struct tdbg_trace_spec *spec,
                                          struct tdbg_trace_writer **writer, struct tdbg_err *err);

/* Bytes in all of them, after the last was closed, which changes its size once more. -1: it is not
 * where it was any more. */
int64_t tdbg_pipeline_files_bytes(const struct tdbg_pipeline_files *files);

#endif
