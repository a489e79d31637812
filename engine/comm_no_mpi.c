/* In place of comm_mpi.c where there is no MPI library. */
#include "engine/comm.h"

enum tdbg_status tdbg_comm_mpi_create(double timeout_s, struct tdbg_comm **out,
                                      struct tdbg_err *err)
{
    (void)timeout_s;
    (void)out;
    return TDBG_RAISE(err, UNSUPPORTED,
                      "started as one of several ranks, but this tdbg was built without MPI\n"
                      "hint: engine.ranks_in_process makes ranks of threads");
}
