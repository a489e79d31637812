/* The live source of one rank of several: samples come from another source, what the other ranks
 * contribute over a comm. */
#ifndef TDBG_ENGINE_SOURCE_RANKS_H
#define TDBG_ENGINE_SOURCE_RANKS_H

#include "engine/backend.h"
#include "engine/comm.h"
#include "engine/source.h"

struct tdbg_source_ranks;

/* Starts the thread that adds. inner, comm and backend, which adds, are borrowed and have to
 * outlive it. The backend's memory is that of the comm's transfers: the host's, or the same
 * device's as the engine's. native: gradients are added by the comm's own call, if it has one.
 * Destroy with tdbg_source_ranks_destroy(). */
enum tdbg_status tdbg_source_ranks_create(struct tdbg_source inner, struct tdbg_comm *comm,
                                          const struct tdbg_backend *backend, bool native,
                                          struct tdbg_source_ranks **out, struct tdbg_err *err);
void tdbg_source_ranks_destroy(struct tdbg_source_ranks *ranks); /* NULL is fine */

/* The table over it; valid as long as `ranks`. */
struct tdbg_source tdbg_source_ranks_table(struct tdbg_source_ranks *ranks);

#endif
