/* Which rank this process is, as whoever started it says in the environment: before MPI, and
 * without it. See comm.h. */
#include <stdlib.h>

#include "engine/comm.h"

/* Number of processes, this one's, and the same among those of its machine; NULL: not told. */
static const struct {
    const char *size, *rank, *local_rank, *local_size;
} launchers[] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"SLURM_STEP_NUM_TASKS", "PMIX_RANK", "SLURM_LOCALID", NULL}, /* srun --mpi=pmix */
};

static bool read_number(const char *name, int32_t *out)
{
    const char *text = name ? getenv(name) : NULL;
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    const long n = strtol(text, &end, 10);
    if (*end != 0 || n < 0 || n > TDBG_MAX_RANKS)
        return false;
    *out = (int32_t)n;
    return true;
}

bool tdbg_comm_launch_read(struct tdbg_comm_launch *out)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        struct tdbg_comm_launch l = {.local_rank = -1, .local_size = -1};
        if (!read_number(launchers[i].size, &l.world_size) ||
            !read_number(launchers[i].rank, &l.rank) || l.rank >= l.world_size)
            continue;
        read_number(launchers[i].local_rank, &l.local_rank);
        read_number(launchers[i].local_size, &l.local_size);
        *out = l;
        return true;
    }
    *out = (struct tdbg_comm_launch){.world_size = 1, .local_rank = -1, .local_size = -1};
    return false;
}
