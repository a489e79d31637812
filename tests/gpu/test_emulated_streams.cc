/* Streams of the emulated GPU, and the NCCL that stands in for the library's: what is in order
 * gives the right numbers, what is not shows, and mistakes end the program with a message. Mistakes
 * are made in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <nccl.h>

#include "emulated_child.h"

enum { N = 100 };

static __global__ void fill(int *x, int value)
{
    x[threadIdx.x] = value;
}

/* --- streams --- */

/* Copies x, which another stream fills, with what orders the two. Exits with what came. */
static void copy_from_other_stream(bool waits)
{
    int host[N];
    cudaStream_t other;
    cudaEvent_t filled;
    int *x = (int *)device_block(sizeof host);
    cudaStreamCreate(&other);
    cudaEventCreateWithFlags(&filled, cudaEventDisableTiming);
    TDBG_LAUNCH(&gpu, fill, 1, N, x, 7);
    cudaEventRecord(filled, tdbg_gpu_stream(&gpu));
    if (waits)
        cudaStreamWaitEvent(other, filled, 0);
    cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, other);
    _exit(host[N - 1] == 7 ? 0 : 1);
}

static void ordered_streams()
{
    copy_from_other_stream(true);
}

static void streams_without_order()
{
    copy_from_other_stream(false);
}

/* A change of host memory between the copy from it and the wait for that: seen where it is pinned,
 * because the copy is late, and not where it is not. */
static void change_after_copy(bool pinned)
{
    static int host[N], got[N];
    int *x = (int *)device_block(sizeof host);
    if (pinned)
        cudaHostRegister(host, sizeof host, cudaHostRegisterDefault);
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    host[3] = 5;
    cudaMemcpyAsync(got, x, sizeof got, cudaMemcpyDeviceToHost, tdbg_gpu_stream(&gpu));
    _exit(got[3] == (pinned ? 5 : 0) ? 0 : 1);
}

static void change_pageable()
{
    change_after_copy(false);
}

static void change_pinned()
{
    change_after_copy(true);
}

/* Arguments of a launch are those of the time of the call. */
static void change_arguments()
{
    int host[N], value = 7;
    int *x = (int *)device_block(sizeof host);
    const int *at = &value;
    TDBG_LAUNCH(&gpu, fill, 1, N, x, *at);
    value = 8;
    tdbg_gpu_fetch(&gpu, host, x, sizeof host);
    _exit(host[0] == 7 ? 0 : 1);
}

static void event_is_late()
{
    cudaEvent_t event;
    int *x = (int *)device_block(N * sizeof *x);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    TDBG_LAUNCH(&gpu, fill, 1, N, x, 7);
    cudaEventRecord(event, tdbg_gpu_stream(&gpu));
    const bool is_early = cudaEventQuery(event) == cudaErrorNotReady;
    const bool comes = cudaEventQuery(event) == cudaSuccess; /* a look lets the GPU get on */
    _exit(is_early && comes ? 0 : 1);
}

static void test_streams(void **)
{
    char text[4096];
    assert_int_equal(run_child(ordered_streams, 1, text, sizeof text), 0);
    assert_int_not_equal(run_child(streams_without_order, 1, text, sizeof text), 0);
    assert_int_equal(run_child(change_pageable, 1, text, sizeof text), 0);
    assert_int_equal(run_child(change_pinned, 1, text, sizeof text), 0);
    assert_int_equal(run_child(change_arguments, 1, text, sizeof text), 0);
    assert_int_equal(run_child(event_is_late, 1, text, sizeof text), 0);
}

/* --- NCCL of one rank --- */

static ncclComm_t comm;

static void settle()
{
    ncclResult_t state = ncclInProgress;
    while (state == ncclInProgress && ncclCommGetAsyncError(comm, &state) == ncclSuccess)
        ;
    if (state != ncclSuccess)
        _exit(2);
}

static void start_joining()
{
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (ncclGetUniqueId(&id) != ncclSuccess ||
        ncclCommInitRankConfig(&comm, 1, id, 0, &config) != ncclInProgress)
        _exit(2);
}

static void join()
{
    start_joining();
    settle();
}

/* From x to y, both of the device, with so many elements on each side. */
static void send_to_itself(const float *x, size_t sent, float *y, size_t received)
{
    ncclGroupStart();
    ncclSend(x, sent, ncclFloat32, 0, comm, tdbg_gpu_stream(&gpu));
    ncclRecv(y, received, ncclFloat32, 0, comm, tdbg_gpu_stream(&gpu));
    ncclGroupEnd();
}

static float *floats(size_t n)
{
    return (float *)device_block(n * sizeof(float));
}

static void exchange_and_add()
{
    float host[N], got[N];
    float *x = floats(N), *y = floats(N), *z = floats(N);
    for (int i = 0; i < N; i++)
        host[i] = (float)i;
    join();
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    send_to_itself(x, N, y, N);
    settle();
    ncclAllReduce(y, z, N, ncclFloat32, ncclSum, comm, tdbg_gpu_stream(&gpu));
    settle();
    tdbg_gpu_fetch(&gpu, got, z, sizeof got);
    _exit(memcmp(host, got, sizeof got) == 0 ? 0 : 1);
}

static void send_outside_of_a_group()
{
    join();
    ncclSend(floats(N), N, ncclFloat32, 0, comm, tdbg_gpu_stream(&gpu));
}

static void send_before_it_is_joined()
{
    start_joining();
    send_to_itself(floats(N), N, floats(N), N);
}

static void send_before_it_is_settled()
{
    join();
    send_to_itself(floats(N), N, floats(N), N);
    send_to_itself(floats(N), N, floats(N), N);
}

static void send_from_the_host()
{
    static float host[N];
    join();
    send_to_itself(host, N, floats(N), N);
}

static void receive_beyond_a_block()
{
    join();
    send_to_itself(floats(N), N, floats(N - 1), N);
}

static void receive_another_length()
{
    join();
    send_to_itself(floats(N), N, floats(N), N - 1);
    settle();
}

static void use_two_streams()
{
    cudaStream_t other;
    cudaStreamCreate(&other);
    join();
    ncclAllReduce(floats(N), floats(N), N, ncclFloat32, ncclSum, comm, tdbg_gpu_stream(&gpu));
    settle();
    ncclAllReduce(floats(N), floats(N), N, ncclFloat32, ncclSum, comm, other);
}

static void block_while_it_joins()
{
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclGetUniqueId(&id);
    ncclCommInitRankConfig(&comm, 1, id, 0, &config);
}

static void test_nccl(void **)
{
    char text[4096];
    assert_int_equal(run_child(exchange_and_add, 1, text, sizeof text), 0);
    check_dies(send_outside_of_a_group, "outside of a group it may wait for ever: ncclSend");
    check_dies(send_before_it_is_joined, "before the last call has settled: ncclSend");
    check_dies(send_before_it_is_settled, "before the last call has settled: ncclSend");
    check_dies(send_from_the_host, "not memory of one block of the device: ncclSend");
    check_dies(receive_beyond_a_block, "not memory of one block of the device: ncclRecv");
    check_dies(receive_another_length,
               "ncclRecv of 99 elements of type 7 from rank 0, which sent 100 of type 7 by "
               "ncclSend");
    check_dies(use_two_streams, "a communicator's transfers on two streams: ncclAllReduce");
    check_dies(block_while_it_joins, "or blocks");
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_nccl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
