/* The strict all-reduce beside MPI_Allreduce, in turns, on the ranks that mpirun has started. The
 * time of a call is that of its slowest rank. bench/allreduce (a script) runs it. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/allreduce.h"

enum { MOST_ROUNDS = 64 };
static const struct {
    int mib, rounds;
} sizes[] = {{1, 60}, {16, 20}, {64, 8}};

static void check(enum tdbg_status st, struct tdbg_err *err)
{
    if (st == TDBG_OK)
        return;
    fprintf(stderr, "bench-allreduce: %s\n", err->message);
    exit(1);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Seconds of one call on the slowest rank. */
static double time_call(struct tdbg_allreduce *a, bool strict, const float *in, float *out, int n)
{
    struct tdbg_err err = {0};
    double slowest;
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    if (strict)
        check(tdbg_allreduce_run(a, in, out, n, &err), &err);
    else
        MPI_Allreduce(in, out, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    double mine = MPI_Wtime() - start;
    MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return slowest;
}

static void run_size(struct tdbg_allreduce *a, int mib, int rounds)
{
    const int n = mib << 18;
    const size_t bytes = (size_t)n * sizeof(float);
    float *in = malloc(bytes), *out[2] = {malloc(bytes), malloc(bytes)};
    double seconds[2][MOST_ROUNDS];
    if (!in || !out[0] || !out[1])
        exit(1);
    for (int i = 0; i < n; i++)
        in[i] = (float)((i * 7 + a->comm->rank) % 1000); /* sums are exact in any order */
    for (int round = -2; round < rounds; round++) {
        for (int strict = 0; strict < 2; strict++) {
            const double s = time_call(a, strict, in, out[strict], n);
            if (round >= 0)
                seconds[strict][round] = s;
        }
    }
    if (memcmp(out[0], out[1], bytes) != 0) {
        fprintf(stderr, "bench-allreduce: the sums differ\n");
        exit(1);
    }
    const double native = median(seconds[0], rounds), strict = median(seconds[1], rounds);
    if (a->comm->rank == 0)
        printf("| %d MiB | %d | %.2f ms, %.0f MB/s | %.2f ms, %.0f MB/s | %.2fx |\n", mib,
               (int)a->comm->world_size, strict * 1e3, (double)bytes / strict / 1e6, native * 1e3,
               (double)bytes / native / 1e6, native / strict);
    free(in);
    free(out[0]);
    free(out[1]);
}

int main(void)
{
    struct tdbg_err err = {0};
    struct tdbg_comm *comm = NULL;
    struct tdbg_backend *backend = NULL;
    struct tdbg_allreduce a;
    check(tdbg_comm_mpi_create(600, &comm, &err), &err);
    check(tdbg_backend_cpu_create("auto", 1, &backend, &err), &err);
    check(tdbg_allreduce_init(&a, comm, backend, &err), &err);
    if (comm->rank == 0)
        printf("| size | ranks | strict | MPI_Allreduce | strict is |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        run_size(&a, sizes[i].mib, sizes[i].rounds);
    tdbg_allreduce_clear(&a);
    tdbg_backend_cpu_destroy(backend);
    tdbg_comm_destroy(comm);
    return 0;
}
