/* What every kind of comm has in common. See comm.h. */
#include "engine/comm.h"

#include <stdlib.h>
#include <string.h>

enum { FEW_RANKS = 64 };

void tdbg_comm_destroy(struct tdbg_comm *comm)
{
    if (comm)
        comm->ops->destroy(comm);
}

enum tdbg_status tdbg_comm_gather(struct tdbg_comm *comm, const void *mine, size_t bytes, void *all,
                                  struct tdbg_err *err)
{
    const int32_t n = comm->world_size;
    struct tdbg_comm_transfer few[2 * FEW_RANKS] = {{0}},
                                      *list = few; /* once in every step: no memory */
    if (n > FEW_RANKS)
        list = malloc((size_t)n * 2 * sizeof *list);
    if (!list)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to reach %d ranks", (int)n);
    int32_t count = 0;
    for (int32_t i = 1; i < n; i++) { /* everybody begins with another one */
        const int32_t to = (comm->rank + i) % n, from = (comm->rank - i + n) % n;
        list[count++] = (struct tdbg_comm_transfer){to, true, (void *)(uintptr_t)mine, bytes};
        list[count++] = (struct tdbg_comm_transfer){
            from, false, (unsigned char *)all + (size_t)from * bytes, bytes};
    }
    memcpy((unsigned char *)all + (size_t)comm->rank * bytes, mine, bytes);
    const enum tdbg_status st = comm->ops->exchange(comm, list, count, err);
    if (list != few)
        free(list);
    return st;
}
