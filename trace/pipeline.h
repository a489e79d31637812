/* What a writer process does: takes messages from the ring, has chunks compressed by workers while
 * it reads on, and writes everything in the order in which it came.
 *
 *     ring --> admit --> [ entry | entry | entry ] --> write, free
 *                           job     job               workers take jobs from the front
 */
#ifndef TDBG_TRACE_PIPELINE_H
#define TDBG_TRACE_PIPELINE_H

#include "trace/ring.h"
#include "trace/writer.h"

/* Kinds of messages. `id` is a site, item or sample set; data of a value that is larger than
 * TDBG_PIECE_BYTES comes in pieces of elements first .. first + count - 1 of `total`, which are cut
 * where tdbg_chunked_piece() says. */
enum tdbg_stream_kind {
    TDBG_STREAM_VALUES = 1,
    TDBG_STREAM_KEYFRAME,
    TDBG_STREAM_SAMPLES, /* count ids, `total` bytes of x, y; first = 1: ids only, seen before */
    TDBG_STREAM_STEP, /* struct tdbg_step_row, digests (n_sites), statistics (n_sites), and for each
                         site an int32_t: < 0: these are its; else the site whose values of this
                         step, which came with TDBG_STREAM_DIGEST, have its digest */
    TDBG_STREAM_FINDING, /* struct tdbg_finding */
    TDBG_STREAM_KEEP,    /* the window is kept from here on */
    TDBG_STREAM_CLOSE,   /* the recording ended as it should */
};
enum { TDBG_PIECE_BYTES = 4 << 20 };

/* Flags of values: digest and statistics are to be computed here; that is all that they are for. */
enum { TDBG_STREAM_DIGEST = 1, TDBG_STREAM_UNSTORED = 2 };

struct tdbg_pipeline_options {
    int workers;     /* threads that compress besides this one; >= 0 */
    int announce_fd; /* gets "K\n" for every step K that became durable; -1: none */

    /* The recording goes on in another file, before a keyframe, when this one has reached so many
     * bytes, or with a window so many steps; files that the last `window_steps` steps do not need
     * are then removed. 0: never. */
    int64_t segment_bytes, window_steps;
};

/* Takes messages until CLOSE or until the other side is gone, then closes the writer in either
 * case. path and spec are what the writer was created with. A failure is said through the ring too.
 */
enum tdbg_status tdbg_pipeline_run(struct tdbg_ring *ring, struct tdbg_trace_writer *writer,
                                   const char *path, const struct tdbg_trace_spec *spec,
                                   const struct tdbg_pipeline_options *options,
                                   struct tdbg_err *err);

#endif
