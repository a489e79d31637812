/* Pack: a trace, or some of its steps, as one file of its own that verifies without the other. */
#ifndef TDBG_REPLAY_PACK_H
#define TDBG_REPLAY_PACK_H

#include "replay/session.h"

struct tdbg_pack_options {
    struct tdbg_session_options session; /* how to compute the state before `from` */
    int64_t from, to;                    /* steps, both inclusive; -1: the first, the last */
    bool force;                          /* overwrite an existing file */
    /* Called after every step for progress; may be NULL. Nonzero stops (TDBG_INTERRUPTED). */
    int (*progress)(void *context, int64_t done, int64_t total, int64_t bytes);
    void *progress_context;
};

struct tdbg_pack_report {
    int64_t from, to;   /* steps that the file holds */
    int64_t keyframe;   /* the state before `from` was computed from this one; -1: it was there */
    int64_t file_bytes; /* of the file when it is closed */
};

/* Writes steps from .. to of the trace into a file of its own: the samples that they use, digests,
 * statistics, keyframes, and values wherever the trace stores them. Run, uuid and chains are those
 * of the trace. Where there is no keyframe before `from`, the steps since the last one are executed
 * again, and compared, and the state becomes the file's first keyframe.
 *
 * Everything is checked against its digest on the way. TDBG_DAMAGED names what does not agree;
 * TDBG_USAGE: no such steps, or a file that exists. After a failure there is no file. */
enum tdbg_status tdbg_pack_trace(struct tdbg_trace *trace, const char *path,
                                 const struct tdbg_pack_options *options,
                                 struct tdbg_pack_report *report, struct tdbg_err *err);

#endif
