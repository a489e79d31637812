/* What carries the numbers of ranks on GPUs: NCCL from GPU to GPU, or, through the host's memory,
 * the comm that joins the ranks. */
#ifndef TDBG_ENGINE_COMM_NCCL_H
#define TDBG_ENGINE_COMM_NCCL_H

#include "engine/backend.h"
#include "engine/comm.h"

/* wish: engine.comm.backend. *takes: NCCL carries the numbers of all ranks: "nccl" demands it, and
 * "auto" takes it where there are several ranks, each has a GPU of its own, and all have the
 * library. Fails with TDBG_DEVICE where it is demanded and cannot be had; where only another rank
 * fails, *takes is false. All ranks call it at once; computes: the backend of this one. */
enum tdbg_status tdbg_comm_choose_nccl(struct tdbg_comm *control, const char *wish,
                                       const struct tdbg_backend *computes, bool *takes,
                                       struct tdbg_err *err);

/* The comm for transfers in the memory of `computes`, an NVIDIA GPU's backend, after
 * tdbg_comm_choose_nccl() has said that NCCL is taken. `control` joins the ranks and is asked how
 * the others are while this one waits. `adds` is another backend of the same GPU: its stream is
 * that of the transfers, and what it does comes in order with them. All three are borrowed and have
 * to outlive it. All ranks call it at once. Destroy with tdbg_comm_destroy(). */
enum tdbg_status tdbg_comm_nccl_create(struct tdbg_comm *control,
                                       const struct tdbg_backend *computes,
                                       const struct tdbg_backend *adds, struct tdbg_comm **out,
                                       struct tdbg_err *err);

/* Of the library that a comm of tdbg_comm_nccl_create() uses. */
int tdbg_comm_nccl_version(const struct tdbg_comm *comm);

/* Loads the library; *version as it says it: 22809 is 2.28.9. TDBG_DEVICE where there is none, or
 * it is too old. */
enum tdbg_status tdbg_comm_nccl_load(int *version, struct tdbg_err *err);

/* Which GPU a backend is of; false: it is none, or this tdbg was built without NCCL. */
struct tdbg_comm_gpu {
    char uuid[16];
    int32_t number; /* on its machine */
};
bool tdbg_comm_nccl_gpu(const struct tdbg_backend *backend, struct tdbg_comm_gpu *out);

#endif
