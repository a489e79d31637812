/* Kernels and checks for tests of graphs on the emulated GPU. To be included behind cmocka.h. */
#ifndef TDBG_TESTS_GPU_EMULATED_GRAPHS_H
#define TDBG_TESTS_GPU_EMULATED_GRAPHS_H

#include "emulated_child.h"
extern "C" {
#include "kernels/gpu_graphs.h"
}

enum { N = 64 };

static __global__ void fill(int *x, int value)
{
    x[threadIdx.x] = value + (int)threadIdx.x;
}

static __global__ void add(const int *x, int value, int *sum)
{
    sum[threadIdx.x] += x[threadIdx.x] + value;
}

static __global__ void twice(int *x)
{
    x[threadIdx.x] = 2 * x[threadIdx.x];
}

static void require(bool holds, int line)
{
    if (holds)
        return;
    fprintf(stderr, "line %d\n", line);
    _exit(3);
}
#define REQUIRE(holds) require((holds), __LINE__)

static int *ints()
{
    return (int *)device_block(N * sizeof(int));
}

/* Runs a check in a child; it has to end by itself. */
static void check_holds(void (*check)(), int seed = 1)
{
    char text[4096];
    const int status = run_child(check, seed, text, sizeof text);
    if (status != 0)
        fail_msg("status %x: %s", (unsigned)status, text);
}

#endif
