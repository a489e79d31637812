/* Is a message from the ring one that a recording can send? Only then its fields are used as sizes
 * and as indices. */
#ifndef TDBG_TRACE_MESSAGE_H
#define TDBG_TRACE_MESSAGE_H

#include "trace/ring.h"
#include "trace/writer.h"

/* What has come before: a value in pieces that is not complete yet. Starts as {0}. */
struct tdbg_message_order {
    uint32_t kind; /* 0: there is none */
    int32_t id;
    int64_t next, total; /* elements */
    uint64_t flags;
};

/* TDBG_IO: no recording of that spec sends it. */
enum tdbg_status tdbg_message_check(const struct tdbg_ring_taken *message,
                                    const struct tdbg_trace_spec *spec,
                                    struct tdbg_message_order *order, struct tdbg_err *err);

/* Of a message that was found good: the step that it commits. */
int64_t tdbg_message_step(const struct tdbg_ring_taken *message);

#endif
