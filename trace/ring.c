/* The shared queue. Offsets are published with release and read with acquire; whoever is about to
 * sleep says so first and looks once more, so that no wake-up is lost (futex(2)). See ring.h. */
#include "trace/ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_NS = 100000000 }; /* how often a waiting side looks for the other */

/* Start of the shared memory. Each side writes its own lines only. */
struct shared {
    _Alignas(TDBG_RING_ALIGN) atomic_uint_least64_t put;
    atomic_uint put_signal, putter_waits;
    _Alignas(TDBG_RING_ALIGN) atomic_uint_least64_t freed;
    atomic_uint freed_signal, taker_waits;
    _Alignas(TDBG_RING_ALIGN) atomic_int_least64_t durable_step;
    atomic_int_least64_t file_bytes;
    atomic_uint failed;
    char failure[TDBG_RING_MAX_TEXT];
    _Alignas(TDBG_RING_ALIGN) unsigned char room[];
};

struct tdbg_ring {
    struct shared *shared;
    uint64_t room_bytes;
    uint64_t put, freed; /* what this side has put; what it last saw to be free */
    struct tdbg_ring_message *open;
    uint64_t open_end;
    bool holds; /* what is published is not shown yet */
    int peer;
};

size_t tdbg_ring_shared_bytes(size_t room_bytes)
{
    return sizeof(struct shared) + room_bytes / TDBG_RING_ALIGN * TDBG_RING_ALIGN;
}

struct tdbg_ring *tdbg_ring_create(void *shared, size_t shared_bytes, int peer)
{
    struct tdbg_ring *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->shared = shared;
    r->room_bytes =
        (shared_bytes - sizeof(struct shared)) / TDBG_RING_ALIGN * (uint64_t)TDBG_RING_ALIGN;
    r->peer = peer;
    return r;
}

void tdbg_ring_destroy(struct tdbg_ring *r)
{
    free(r);
}

bool tdbg_ring_peer_is_gone(const struct tdbg_ring *r)
{
    struct pollfd p = {.fd = r->peer};
    return r->peer >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void sleep_on(atomic_uint *signal, unsigned seen, int64_t ns)
{
    const struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    syscall(SYS_futex, signal, FUTEX_WAIT, seen, &t, NULL, 0);
}

static void wake(atomic_uint *signal, atomic_uint *waits)
{
    atomic_fetch_add(signal, 1);
    if (atomic_load(waits))
        syscall(SYS_futex, signal, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint64_t message_bytes(size_t bytes)
{
    const uint64_t all = sizeof(struct tdbg_ring_message) + bytes;
    return (all + TDBG_RING_ALIGN - 1) / TDBG_RING_ALIGN * TDBG_RING_ALIGN;
}

static struct tdbg_ring_message *at_offset(const struct tdbg_ring *r, uint64_t offset)
{
    return (struct tdbg_ring_message *)(void *)(r->shared->room + offset % r->room_bytes);
}

/* Is there room for n more bytes behind what was put? */
static bool has_room(struct tdbg_ring *r, uint64_t n)
{
    if (r->put + n - r->freed > r->room_bytes)
        r->freed = atomic_load_explicit(&r->shared->freed, memory_order_acquire);
    return r->put + n - r->freed <= r->room_bytes;
}

static enum tdbg_status wait_for_room(struct tdbg_ring *r, uint64_t n, bool wait)
{
    struct shared *s = r->shared;
    while (!has_room(r, n)) {
        if (atomic_load(&s->failed) || tdbg_ring_peer_is_gone(r))
            return TDBG_IO;
        if (!wait)
            return TDBG_STOPPED;
        const unsigned seen = atomic_load(&s->freed_signal);
        atomic_store(&s->putter_waits, 1);
        if (!has_room(r, n))
            sleep_on(&s->freed_signal, seen, LOOK_NS);
        atomic_store(&s->putter_waits, 0);
    }
    return TDBG_OK;
}

enum tdbg_status tdbg_ring_reserve(struct tdbg_ring *r, size_t bytes, bool wait,
                                   struct tdbg_ring_message **out)
{
    const uint64_t n = message_bytes(bytes);
    const uint64_t to_end = r->room_bytes - r->put % r->room_bytes;
    const uint64_t skip = to_end < n ? to_end : 0;
    TDBG_ASSERT(!r->open && 2 * n <= r->room_bytes && !(wait && r->holds));
    if (atomic_load(&r->shared->failed))
        return TDBG_IO;
    enum tdbg_status st = wait_for_room(r, n + skip, wait);
    if (st != TDBG_OK)
        return st;
    if (skip > 0) {
        *at_offset(r, r->put) =
            (struct tdbg_ring_message){.bytes = skip - sizeof(struct tdbg_ring_message)};
        r->put += skip;
    }
    r->open = at_offset(r, r->put);
    r->open_end = r->put + n;
    *r->open = (struct tdbg_ring_message){.bytes = bytes};
    *out = r->open;
    return TDBG_OK;
}

uint64_t tdbg_ring_used_bytes(const struct tdbg_ring *r)
{
    return r->put - atomic_load_explicit(&r->shared->freed, memory_order_relaxed);
}

uint64_t tdbg_ring_room_bytes(const struct tdbg_ring *r)
{
    return r->room_bytes;
}

void *tdbg_ring_data(struct tdbg_ring_message *message)
{
    return message + 1;
}

static void show(struct tdbg_ring *r, uint64_t up_to)
{
    atomic_store_explicit(&r->shared->put, up_to, memory_order_release);
    wake(&r->shared->put_signal, &r->shared->taker_waits);
}

void tdbg_ring_publish(struct tdbg_ring *r)
{
    TDBG_ASSERT(r->open);
    r->open = NULL;
    r->put = r->open_end;
    if (!r->holds)
        show(r, r->put);
}

uint64_t tdbg_ring_hold(struct tdbg_ring *r)
{
    TDBG_ASSERT(r->open);
    r->holds = true;
    return r->open_end;
}

void tdbg_ring_show(struct tdbg_ring *r, uint64_t up_to)
{
    TDBG_ASSERT(r->holds && up_to <= r->open_end);
    show(r, up_to < r->put ? up_to : r->put);
}

void tdbg_ring_show_all(struct tdbg_ring *r)
{
    r->holds = false;
    show(r, r->put);
}

enum tdbg_status tdbg_ring_take(struct tdbg_ring *r, uint64_t *at, struct tdbg_ring_taken *out,
                                struct tdbg_err *err)
{
    static const char damaged[] = "the queue of the recording is damaged at byte %llu";
    const uint64_t put = atomic_load_explicit(&r->shared->put, memory_order_acquire);
    *out = (struct tdbg_ring_taken){.data = NULL};
    while (*at < put) {
        const uint64_t to_end = r->room_bytes - *at % r->room_bytes;
        struct tdbg_ring_message *m = at_offset(r, *at);
        memcpy(&out->head, m, sizeof out->head);
        if (put - *at > r->room_bytes || *at % TDBG_RING_ALIGN != 0 ||
            out->head.bytes > to_end - sizeof *m || message_bytes(out->head.bytes) > put - *at)
            return TDBG_RAISE(err, IO, damaged, (unsigned long long)*at);
        const uint64_t n = message_bytes(out->head.bytes);
        if (out->head.kind == 0 && n != to_end)
            return TDBG_RAISE(err, IO, damaged, (unsigned long long)*at);
        *at += n;
        if (out->head.kind != 0) {
            out->data = m + 1;
            return TDBG_OK;
        }
    }
    return TDBG_OK;
}

void tdbg_ring_free(struct tdbg_ring *r, uint64_t up_to)
{
    atomic_store_explicit(&r->shared->freed, up_to, memory_order_release);
    wake(&r->shared->freed_signal, &r->shared->putter_waits);
}

void tdbg_ring_wait(struct tdbg_ring *r, uint64_t at, int64_t timeout_ns)
{
    struct shared *s = r->shared;
    const unsigned seen = atomic_load(&s->put_signal);
    atomic_store(&s->taker_waits, 1);
    if (atomic_load(&s->put) <= at && !tdbg_ring_peer_is_gone(r))
        sleep_on(&s->put_signal, seen, timeout_ns < LOOK_NS ? timeout_ns : LOOK_NS);
    atomic_store(&s->taker_waits, 0);
}

void tdbg_ring_fail(struct tdbg_ring *r, const struct tdbg_err *err)
{
    const char *text = err->message ? err->message : tdbg_status_text(err->status);
    if (atomic_load(&r->shared->failed))
        return; /* the first failure is the cause of the others */
    strncpy(r->shared->failure, text, TDBG_RING_MAX_TEXT - 1);
    atomic_store(&r->shared->failed, 1);
    wake(&r->shared->freed_signal, &r->shared->putter_waits);
}

bool tdbg_ring_failure(const struct tdbg_ring *r, char text[TDBG_RING_MAX_TEXT])
{
    if (!atomic_load(&r->shared->failed))
        return false;
    memcpy(text, r->shared->failure, TDBG_RING_MAX_TEXT);
    text[TDBG_RING_MAX_TEXT - 1] = 0;
    return true;
}

void tdbg_ring_report(struct tdbg_ring *r, int64_t durable_step, int64_t file_bytes)
{
    atomic_store(&r->shared->durable_step, durable_step);
    atomic_store(&r->shared->file_bytes, file_bytes);
}

int64_t tdbg_ring_durable_step(const struct tdbg_ring *r)
{
    return atomic_load(&r->shared->durable_step);
}

int64_t tdbg_ring_file_bytes(const struct tdbg_ring *r)
{
    return atomic_load(&r->shared->file_bytes);
}
