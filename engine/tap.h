/* tap: what the engine shows. One of the two tables that are the engine's whole edge (the other is
 * source.h). When the graph is built the tap states, per site, what it wants; the engine calls it
 * for those sites only, in dataflow order, and is free to fuse and overlap everything else. */
#ifndef TDBG_ENGINE_TAP_H
#define TDBG_ENGINE_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/site.h"
#include "base/status.h"

enum tdbg_want_flags {
    TDBG_WANT_DIGEST = 1, /* will call tdbg_handle_digest */
    TDBG_WANT_VALUES = 2, /* will call tdbg_handle_copy */
    TDBG_WANT_CHANGE = 4, /* may call tdbg_handle_write: forbids fusing over this site */
    TDBG_WANT_STOP = 8,   /* may return TDBG_STOPPED: the step is left at this site */
};

/* What a tap wants of one site. The union of the taps' flags is what the engine works with. */
struct tdbg_want {
    uint8_t flags;
    int32_t every; /* only at steps where step % every == 0; 0: never */
};

/* A tensor as a tap sees it: valid during the call only. */
struct tdbg_handle {
    const struct tdbg_backend *backend;
    void *data; /* on the backend's device */
    enum tdbg_dtype dtype;
    int64_t elems;   /* valid elements in this step (fewer than the site's on a short batch) */
    int32_t same_as; /* site that was shown earlier in this step with the same bits, or -1 */
};

/* Digest and statistics (either may be NULL), on the device. */
enum tdbg_status tdbg_handle_digest(const struct tdbg_handle *handle, uint64_t *digest,
                                    struct tdbg_stats *stats, struct tdbg_err *err);

/* Is a digest now worth waiting for (the CPU: yes)? If not, ask for it under a number of your own,
 * from 0, and take all that were asked for in this step when it has ended. Only one tap of an
 * engine may do so. */
bool tdbg_handle_can_digest_later(const struct tdbg_handle *handle);
enum tdbg_status tdbg_handle_digest_later(const struct tdbg_handle *handle, int32_t slot,
                                          struct tdbg_err *err);
enum tdbg_status tdbg_backend_take_digests(const struct tdbg_backend *backend, int32_t n_slots,
                                           uint64_t *digests, struct tdbg_stats *stats,
                                           struct tdbg_err *err);

/* Host memory that a tap copies to again and again, before the first copy and after the last. */
void tdbg_backend_pin(const struct tdbg_backend *backend, void *host, size_t bytes);
void tdbg_backend_unpin(const struct tdbg_backend *backend, void *host);

/* Copies all valid elements to host memory. On the CPU this is complete on return; on other devices
 * when the tap's end_step is called. */
enum tdbg_status tdbg_handle_copy(const struct tdbg_handle *handle, void *host,
                                  struct tdbg_err *err);

/* The same for elements first .. first + n - 1, into memory that another thread or process reads.
 * *ticket 0: they are there; else they come when the tensor may have changed long since, and are
 * there once copy number *ticket is. */
enum tdbg_status tdbg_handle_copy_part(const struct tdbg_handle *handle, int64_t first, int64_t n,
                                       void *host, uint64_t *ticket, struct tdbg_err *err);

/* The number up to which all such copies are complete, after waiting for number `wait_for`; 0: it
 * does not wait. */
enum tdbg_status tdbg_backend_copies_reached(const struct tdbg_backend *backend, uint64_t wait_for,
                                             uint64_t *reached, struct tdbg_err *err);

/* Overwrites all valid elements from host memory (TDBG_WANT_CHANGE). */
enum tdbg_status tdbg_handle_write(const struct tdbg_handle *handle, const void *host,
                                   struct tdbg_err *err);

/* What is known when a step has ended. */
struct tdbg_step_info {
    int64_t step, epoch;
    int64_t samples; /* in the global batch */
    float loss, lr;
    bool evaluated;
    int64_t start_ns, duration_ns; /* by the source's clock */
    int64_t wait_ns;               /* part of duration_ns: for the other ranks */
};

struct tdbg_tap_ops {
    /* Once, before the first step: wants (n_sites) starts as all zero. */
    enum tdbg_status (*plan)(void *self, const struct tdbg_site *sites, int32_t n_sites,
                             struct tdbg_want *wants, struct tdbg_err *err);
    /* NULL: nothing is done then; end_step, too. */
    enum tdbg_status (*begin_step)(void *self, int64_t step, struct tdbg_err *err);
    /* A site with wanted flags holds its value. TDBG_STOPPED leaves the step. */
    enum tdbg_status (*site)(void *self, int64_t step, int32_t site,
                             const struct tdbg_handle *handle, struct tdbg_err *err);
    enum tdbg_status (*end_step)(void *self, const struct tdbg_step_info *info,
                                 struct tdbg_err *err);
};

struct tdbg_tap {
    const struct tdbg_tap_ops *ops;
    void *self; /* owned by whoever made the tap */
};

#endif
