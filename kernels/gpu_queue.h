/* Copies from a GPU into the queue of a recording that nobody waits for.
 *
 * The tensor may change as soon as the stream goes on, so it is copied to a staging buffer on the
 * device first, which takes a fraction of the time; a stream of its own copies from there to the
 * host while the next kernels run:
 *
 *     tensor --(stream)--> staging --(queue's stream)--> host
 *
 * Copies are put on the queue's stream together, as a flight; the number of a flight is the ticket
 * of all its copies. The staging buffer is a ring: what a flight has used is free when it is
 * complete, and where there is no room for a copy the oldest flight is waited for. */
#ifndef TDBG_KERNELS_GPU_QUEUE_H
#define TDBG_KERNELS_GPU_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tdbg_gpu;

/* The most that the staging buffer may take. Without memory for it, or with 0, copies are waited
 * for, and their ticket is 0. To be set before the first copy. */
void tdbg_gpu_set_queue_bytes(struct tdbg_gpu *gpu, size_t bytes);
void tdbg_gpu_close_queue(struct tdbg_gpu *gpu);

/* Sends off what waits for company. */
void tdbg_gpu_fly_queue(struct tdbg_gpu *gpu);

/* Entries of the backend's table: engine/backend.h. Requests for digests that wait go on waiting.
 */
enum tdbg_status tdbg_cuda_to_queue(void *gpu, void *host, const void *device, size_t bytes,
                                    uint64_t *ticket, struct tdbg_err *err);
enum tdbg_status tdbg_cuda_queue_reached(void *gpu, uint64_t wait_for, uint64_t *reached,
                                         struct tdbg_err *err);

#endif
