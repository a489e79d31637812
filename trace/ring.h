/* A queue of messages in memory that two processes (or threads) share: one puts, the other takes.
 * Messages lie in one piece, so that data is copied into it once and compressed out of it.
 *
 *     freed              taken up to          put
 *       v                    v                 v
 *     --[ message ][ message ][ message ][ skip ]--   offsets only grow; place = offset % room
 *                                          ^ a message that would not fit before the end of the
 * room
 *
 * Whoever waits looks now and then whether the other side is still there. */
#ifndef TDBG_TRACE_RING_H
#define TDBG_TRACE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { TDBG_RING_ALIGN = 64, TDBG_RING_MAX_TEXT = 400 };

/* Head of a message; its data follows, aligned to 64 bytes. The fields mean what their kind says.
 */
struct tdbg_ring_message {
    uint32_t kind; /* 0: skip */
    int32_t id;
    uint64_t bytes; /* of the data */
    int64_t first, count, total;
    uint64_t flags, reserved[2];
};

struct tdbg_ring; /* one side's view */

/* Bytes of shared memory for this much room. */
size_t tdbg_ring_shared_bytes(size_t room_bytes);

/* A view of zeroed shared memory of that size; it stays the caller's. peer: a descriptor that hangs
 * up when the other side ends, or -1. Free with _destroy. NULL: no memory. */
struct tdbg_ring *tdbg_ring_create(void *shared, size_t shared_bytes, int peer);
void tdbg_ring_destroy(struct tdbg_ring *ring); /* NULL is fine */

/* Room for a message with that much data (at most half of the room less 128 bytes: TDBG_BUG
 * otherwise). wait: until there is room, never with messages held back; else TDBG_STOPPED where
 * there is none. TDBG_IO: nobody takes any more. The message is seen by the other side after
 * _publish; only one is open. */
enum tdbg_status tdbg_ring_reserve(struct tdbg_ring *ring, size_t bytes, bool wait,
                                   struct tdbg_ring_message **out);
/* Bytes that are put and not freed yet, and the room for them. */
uint64_t tdbg_ring_used_bytes(const struct tdbg_ring *ring);
uint64_t tdbg_ring_room_bytes(const struct tdbg_ring *ring);
void *tdbg_ring_data(struct tdbg_ring_message *message);
void tdbg_ring_publish(struct tdbg_ring *ring);

/* Holds back the open message and all that are published after it: their data is not all there yet.
 * Returns the offset behind the message. _show: what lies before such an offset is complete; _all:
 * nothing is to be held back any more. */
uint64_t tdbg_ring_hold(struct tdbg_ring *ring);
void tdbg_ring_show(struct tdbg_ring *ring, uint64_t up_to);
void tdbg_ring_show_all(struct tdbg_ring *ring);

/* A message as it was when it was taken: the other process can still write into the ring. */
struct tdbg_ring_taken {
    struct tdbg_ring_message head;
    const void *data; /* head.bytes of it; NULL: there is no message yet */
};

/* The message at *at, and *at moves behind it. Messages are taken in order and their data stays
 * where it is until they are freed. TDBG_IO: what is there cannot be a message. */
enum tdbg_status tdbg_ring_take(struct tdbg_ring *ring, uint64_t *at, struct tdbg_ring_taken *out,
                                struct tdbg_err *err);
void tdbg_ring_free(struct tdbg_ring *ring, uint64_t up_to);

/* Sleeps until there is a message at `at`, the other side has gone, or the time is over. */
void tdbg_ring_wait(struct tdbg_ring *ring, uint64_t at, int64_t timeout_ns);
bool tdbg_ring_peer_is_gone(const struct tdbg_ring *ring);

/* What the taking side says to the other: it is done for, and why; how far it has come. */
void tdbg_ring_fail(struct tdbg_ring *ring, const struct tdbg_err *err);
bool tdbg_ring_failure(const struct tdbg_ring *ring, char text[TDBG_RING_MAX_TEXT]);
void tdbg_ring_report(struct tdbg_ring *ring, int64_t durable_step, int64_t file_bytes);
int64_t tdbg_ring_durable_step(const struct tdbg_ring *ring);
int64_t tdbg_ring_file_bytes(const struct tdbg_ring *ring);

#endif
