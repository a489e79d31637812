/* May NCCL carry the numbers of these ranks? All of them find the same answer. See comm_nccl.h. */
#include <stdlib.h>
#include <string.h>

#include "engine/comm_nccl.h"

enum wish { WISH_MPI, WISH_AUTO, WISH_NCCL };

/* What a rank tells the others of itself. */
struct offer {
    int32_t wish, has_gpu, version; /* version: of the library; 0: it has none */
    struct tdbg_comm_gpu gpu;
};

static enum wish wish_of(const char *text)
{
    return strcmp(text, "nccl") == 0 ? WISH_NCCL : strcmp(text, "mpi") == 0 ? WISH_MPI : WISH_AUTO;
}

/* This rank's; where it wants NCCL and cannot have it, `fault` says why. */
static enum tdbg_status make_offer(enum wish wish, int32_t n, const struct tdbg_backend *computes,
                                   struct offer *out, struct tdbg_err *fault)
{
    int version = 0;
    *out = (struct offer){.wish = (int32_t)wish};
    out->has_gpu = tdbg_comm_nccl_gpu(computes, &out->gpu);
    if (wish == WISH_MPI || (wish == WISH_AUTO && n == 1))
        return TDBG_OK;
    if (!out->has_gpu)
        return TDBG_RAISE(fault, DEVICE,
                          "engine.comm.backend = \"nccl\" goes from GPU to GPU, and this rank "
                          "computes on the CPU\nhint: engine.comm.backend = \"auto\" goes "
                          "everywhere");
    const enum tdbg_status st = tdbg_comm_nccl_load(&version, fault);
    out->version = version;
    return st;
}

/* Two ranks that have the same GPU; false: there are none. */
static bool find_shared(const struct offer *all, int32_t n, int32_t *a, int32_t *b)
{
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = i + 1; k < n; k++) {
            if (memcmp(all[i].gpu.uuid, all[k].gpu.uuid, sizeof all[i].gpu.uuid) != 0)
                continue;
            *a = i;
            *b = k;
            return true;
        }
    }
    return false;
}

/* What all ranks see alike, once each of them has a GPU and the library. */
static enum tdbg_status compare(const struct offer *all, int32_t n, struct tdbg_err *err)
{
    int32_t a, b;
    if (find_shared(all, n, &a, &b))
        return TDBG_RAISE(err, DEVICE,
                          "ranks %d and %d share GPU %d, and NCCL takes one rank for each GPU\n"
                          "hint: engine.comm.backend = \"mpi\" does it",
                          (int)a, (int)b, (int)all[a].gpu.number);
    for (int32_t r = 1; r < n; r++) {
        if (all[r].version != all[0].version)
            return TDBG_RAISE(err, DEVICE,
                              "rank %d has another version of NCCL than rank 0: %d and %d\n"
                              "hint: engine.comm.backend = \"mpi\" does it",
                              (int)r, (int)all[r].version, (int)all[0].version);
    }
    return TDBG_OK;
}

enum tdbg_status tdbg_comm_choose_nccl(struct tdbg_comm *control, const char *wish,
                                       const struct tdbg_backend *computes, bool *takes,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t n = control->world_size;
    const bool demanded = wish_of(wish) == WISH_NCCL;
    struct tdbg_err fault = {0};
    struct offer mine, *all = calloc((size_t)n, sizeof *all);
    *takes = false;
    TDBG_FAIL_IF(!all, NO_MEMORY, "no memory to reach %d ranks", (int)n);
    const enum tdbg_status own = make_offer(wish_of(wish), n, computes, &mine, &fault);
    TDBG_TRY(tdbg_comm_gather(control, &mine, sizeof mine, all, err));
    if (demanded && own != TDBG_OK)
        st = tdbg_err_set(err, own, fault.file, fault.line, "%s", fault.message);
    for (int32_t r = 0; r < n; r++) { /* else: it says so, or its config is another, told later */
        if (all[r].version == 0 || all[r].wish != mine.wish)
            goto out;
    }
    st = compare(all, n, demanded ? err : NULL);
    *takes = st == TDBG_OK;
    st = demanded ? st : TDBG_OK;
out:
    tdbg_err_clear(&fault);
    free(all);
    return st;
}
