/* In place of comm_nccl.c where there is no CUDA, or no header of NCCL. */
#include "engine/comm_nccl.h"

bool tdbg_comm_nccl_gpu(const struct tdbg_backend *backend, struct tdbg_comm_gpu *out)
{
    (void)out;
    return !backend->on_host;
}

enum tdbg_status tdbg_comm_nccl_load(int *version, struct tdbg_err *err)
{
    (void)version;
    return TDBG_RAISE(err, DEVICE,
                      "engine.comm.backend = \"nccl\", but this tdbg was built without NCCL\n"
                      "hint: engine.comm.backend = \"mpi\" does it");
}

int tdbg_comm_nccl_version(const struct tdbg_comm *comm)
{
    (void)comm;
    return 0;
}

enum tdbg_status tdbg_comm_nccl_create(struct tdbg_comm *control,
                                       const struct tdbg_backend *computes,
                                       const struct tdbg_backend *adds, struct tdbg_comm **out,
                                       struct tdbg_err *err)
{
    (void)control;
    (void)computes;
    (void)adds;
    (void)out;
    int version;
    return tdbg_comm_nccl_load(&version, err);
}
