/* Does a graph do what was launched, with the arguments of each time? Looked at when a GPU is
 * opened, because what goes wrong there would show in every number, and only there. */
#include "kernels/gpu.h"
extern "C" {
#include "kernels/gpu_graphs.h"
}

#include <stdio.h>

enum { N = 64, BUFFERS = 5 };

static __global__ void fill(int *x, int value)
{
    x[threadIdx.x] = value + (int)threadIdx.x;
}

static __global__ void add(const int *x, const int *y, int value, int *sum)
{
    sum[threadIdx.x] = x[threadIdx.x] + y[threadIdx.x] + value;
}

/* What is launched: x is cleared, what was in `from` copied to y, and both added. */
struct round {
    int *x, *y, *from, *sum;
    int filled, added;
};

enum { LAUNCHES = 6 };
static void launch(struct tdbg_gpu *gpu, const struct round &r)
{
    TDBG_LAUNCH(gpu, fill, 1, N, r.x, 1000);
    TDBG_LAUNCH(gpu, fill, 1, N, r.y, 2000);
    TDBG_LAUNCH(gpu, fill, 1, N, r.from, r.filled);
    tdbg_gpu_clear(gpu, r.x, N * sizeof *r.x);
    tdbg_gpu_copy(gpu, r.y, r.from, N * sizeof *r.y);
    TDBG_LAUNCH(gpu, add, 1, N, r.x, r.y, r.added, r.sum);
}

static bool is_right(struct tdbg_gpu *gpu, const struct round &r)
{
    int got[N];
    launch(gpu, r);
    tdbg_gpu_fetch(gpu, got, r.sum, sizeof got);
    for (int i = 0; i < N; i++) {
        if (got[i] != r.filled + i + r.added)
            return false;
    }
    return true;
}

/* Seen twice, so that there is a graph; then with other numbers, another place of the clear, and
 * another one of the copy: never in more than half of the launches, which would make another graph.
 */
static bool run_rounds(struct tdbg_gpu *gpu, int *x)
{
    int *const place[BUFFERS] = {x, x + N, x + 2 * N, x + 3 * N, x + 4 * N};
    const struct round rounds[] = {{place[0], place[1], place[2], place[3], 10, 5},
                                   {place[0], place[1], place[2], place[3], 20, 7},
                                   {place[0], place[1], place[2], place[3], 30, 9},
                                   {place[4], place[1], place[2], place[3], 30, 9},
                                   {place[4], place[0], place[2], place[3], 30, 9}};
    bool fine = true;
    for (const struct round &r : rounds)
        fine = is_right(gpu, r) && fine;
    return fine;
}

extern "C" void tdbg_gpu_check_graphs(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_launch_counts counts;
    void *x = nullptr;
    bool is_failure;
    if (!gpu->launches || tdbg_gpu_why_no_graphs(gpu, &is_failure))
        return;
    if (cudaMalloc(&x, BUFFERS * N * sizeof(int)) != cudaSuccess) {
        cudaGetLastError();
        tdbg_gpu_refuse_graphs(gpu, "no memory to try them");
        return;
    }
    const bool fine = run_rounds(gpu, (int *)x);
    tdbg_gpu_count_launches(gpu, &counts);
    if (!tdbg_gpu_why_no_graphs(gpu, &is_failure)) {
        if (!fine)
            tdbg_gpu_refuse_graphs(gpu, "a small graph that was tried gave wrong numbers");
        else if (counts.graphs != 4 || counts.in_graphs != 4 * LAUNCHES || counts.built != 1)
            tdbg_gpu_refuse_graphs(gpu, "a small graph that was tried was not sent off");
    }
    tdbg_gpu_forget_graphs(gpu);
    tdbg_gpu_free(gpu, x);
}
