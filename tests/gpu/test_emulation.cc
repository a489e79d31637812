/* The emulated GPU itself: what is right gives the right numbers, and each kind of mistake that it
 * claims to find ends the program with its message. Mistakes are made in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include "kernels/bf16.h"
#include "kernels/gpu_mma.h"
#include "emulated_child.h"

enum { THREADS = 256, WARPS = THREADS / 32, BLOCKS = 5 };

/* --- what is right --- */

static __global__ void sum_of_block(const int *x, int *out)
{
    struct partial {
        int of_warp[WARPS];
    };
    TDBG_SHARED(partial, shared);
    int sum = x[blockIdx.x * THREADS + threadIdx.x];
    for (int lanes = 16; lanes > 0; lanes /= 2)
        sum += __shfl_xor_sync(TDBG_GPU_ALL_LANES, sum, lanes);
    if (threadIdx.x % 32 == 0)
        shared.of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    for (int w = 1; w < WARPS; w++)
        shared.of_warp[0] += shared.of_warp[w];
    out[blockIdx.x] = shared.of_warp[0];
}

static void sum_all_blocks()
{
    int host[BLOCKS * THREADS], sums[BLOCKS];
    int *x = (int *)device_block(sizeof host), *out = (int *)device_block(sizeof sums);
    for (int i = 0; i < BLOCKS * THREADS; i++)
        host[i] = i * i % 1009;
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    TDBG_LAUNCH(&gpu, sum_of_block, BLOCKS, THREADS, x, out);
    tdbg_gpu_fetch(&gpu, sums, out, sizeof sums);
    for (int b = 0; b < BLOCKS; b++) {
        for (int i = 0; i < THREADS; i++)
            sums[b] -= host[b * THREADS + i];
        if (sums[b] != 0 || gpu.error != cudaSuccess)
            _exit(1);
    }
}

static void test_sums(void **)
{
    char text[4096];
    for (int seed = 1; seed <= 20; seed++)
        assert_int_equal(run_child(sum_all_blocks, seed, text, sizeof text), 0);
}

static __global__ void ballot(unsigned *out)
{
    const unsigned mask = threadIdx.x < 8 ? 0xffu : 0xffffff00u;
    const unsigned odd = __ballot_sync(mask, threadIdx.x & 1);
    const int above = __shfl_down_sync(mask, (int)threadIdx.x, 1);
    out[threadIdx.x] = odd + (unsigned)above;
}

/* Operations of a part of a warp, and shifts over the end of it. */
static void ballot_of_parts()
{
    unsigned got[32];
    unsigned *out = (unsigned *)device_block(sizeof got);
    TDBG_LAUNCH(&gpu, ballot, 1, 32, out);
    tdbg_gpu_fetch(&gpu, got, out, sizeof got);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned odd = i < 8 ? 0xaau : 0xaaaaaa00u, above = i < 31 ? i + 1 : 31;
        if (i != 7 && got[i] != odd + above) /* lane 7 asks a lane that is not there */
            _exit(1);
    }
}

static void test_parts_of_warps(void **)
{
    char text[4096];
    for (int seed = 1; seed <= 5; seed++)
        assert_int_equal(run_child(ballot_of_parts, seed, text, sizeof text), 0);
}

/* --- what is wrong only sometimes --- */

/* `warp_operations` lie between what a thread writes and what it reads of others. */
static __global__ void reverse(const int *x, int *y, bool waits, int warp_operations)
{
    struct values {
        int of[THREADS];
    };
    TDBG_SHARED(values, shared);
    shared.of[threadIdx.x] = x[threadIdx.x];
    if (waits)
        __syncthreads();
    for (int i = 0; i < warp_operations; i++)
        __syncwarp(TDBG_GPU_ALL_LANES);
    y[threadIdx.x] = shared.of[THREADS - 1 - threadIdx.x];
}

static void reverse_block(bool waits, int warp_operations)
{
    int host[THREADS];
    int *x = (int *)device_block(sizeof host), *y = (int *)device_block(sizeof host);
    for (int i = 0; i < THREADS; i++)
        host[i] = i;
    cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    TDBG_LAUNCH(&gpu, reverse, 1, THREADS, x, y, waits, warp_operations);
    tdbg_gpu_fetch(&gpu, host, y, sizeof host);
    for (int i = 0; i < THREADS; i++) {
        if (host[i] != THREADS - 1 - i)
            _exit(1);
    }
}

static void reverse_with_barrier()
{
    reverse_block(true, 3);
}

static void reverse_without_barrier()
{
    reverse_block(false, 0);
}

/* A warp may be far ahead of another. */
static void reverse_late()
{
    reverse_block(false, 30);
}

static void test_missing_barrier(void **)
{
    char text[4096];
    int wrong = 0, late = 0;
    for (int seed = 1; seed <= 5; seed++) {
        assert_int_equal(run_child(reverse_with_barrier, seed, text, sizeof text), 0);
        wrong += run_child(reverse_without_barrier, seed, text, sizeof text) != 0;
        late += run_child(reverse_late, seed, text, sizeof text) != 0;
    }
    assert_true(wrong > 0 && late > 0);
}

static __global__ void read_unwritten(int *out)
{
    struct value {
        int i;
    };
    TDBG_SHARED(value, shared);
    out[blockIdx.x] = shared.i;
    shared.i = 0;
}

/* Shared memory is rubbish at first, in the second block too. */
static void look_at_unwritten()
{
    int got[BLOCKS];
    int *out = (int *)device_block(sizeof got);
    TDBG_LAUNCH(&gpu, read_unwritten, BLOCKS, 1, out);
    tdbg_gpu_fetch(&gpu, got, out, sizeof got);
    for (int b = 0; b < BLOCKS; b++) {
        if (got[b] == 0)
            _exit(1);
    }
    int *block = (int *)device_block(sizeof *block);
    tdbg_gpu_fetch(&gpu, got, block, sizeof *block);
    _exit(got[0] == 0);
}

static void test_unwritten(void **)
{
    char text[4096];
    assert_int_equal(run_child(look_at_unwritten, 1, text, sizeof text), 0);
}

/* --- what ends the program --- */

static __global__ void two_barriers()
{
    if (threadIdx.x < 64)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void early_end()
{
    if (threadIdx.x >= 32)
        __syncthreads();
}

static __global__ void barrier_and_warp()
{
    if (threadIdx.x == 0)
        __syncthreads();
    else
        __syncwarp();
}

static __global__ void all_lanes(bool some_end)
{
    if (some_end && threadIdx.x == 3)
        return;
    __syncwarp();
}

static __global__ void two_operations()
{
    if (threadIdx.x < 16)
        __syncwarp();
    else
        __syncwarp();
}

static __global__ void not_in_mask()
{
    __syncwarp(1u << 1);
}

static __global__ void large_shared()
{
    struct values {
        float of[13000];
    };
    TDBG_SHARED(values, shared);
    shared.of[0] = 0;
}

static __global__ void large_dynamic()
{
    struct values {
        float of[64];
    };
    TDBG_SHARED_DYNAMIC(values, shared);
    shared.of[0] = 0;
}

static __global__ void write_at(int *data, int i)
{
    data[i] = 0;
}

static void launch_two_barriers()
{
    TDBG_LAUNCH(&gpu, two_barriers, 1, 128);
}

static void launch_early_end()
{
    TDBG_LAUNCH(&gpu, early_end, 1, 64);
}

static void launch_barrier_and_warp()
{
    TDBG_LAUNCH(&gpu, barrier_and_warp, 1, 32);
}

static void launch_short_warp()
{
    TDBG_LAUNCH(&gpu, all_lanes, 1, 16, false);
}

static void launch_ended_lane()
{
    TDBG_LAUNCH(&gpu, all_lanes, 1, 32, true);
}

static void launch_two_operations()
{
    TDBG_LAUNCH(&gpu, two_operations, 1, 32);
}

static void launch_not_in_mask()
{
    TDBG_LAUNCH(&gpu, not_in_mask, 1, 32);
}

static void launch_large_shared()
{
    TDBG_LAUNCH(&gpu, large_shared, 1, 32);
}

static void launch_large_dynamic()
{
    TDBG_LAUNCH_DYNAMIC(&gpu, large_dynamic, 1, 32, 64 * sizeof(float) - 1);
}

static void launch_large_block()
{
    TDBG_LAUNCH(&gpu, early_end, 1, dim3(32, 33));
}

static void launch_high_grid()
{
    TDBG_LAUNCH(&gpu, early_end, dim3(1, 65536), 32);
}

static void launch_elsewhere()
{
    struct tdbg_gpu other;
    setenv("TDBG_EMULATED_GPUS", "2", 1);
    if (tdbg_gpu_open(1, &other, NULL) != TDBG_OK)
        _exit(2);
    TDBG_LAUNCH(&gpu, not_in_mask, 1, 32);
}

static void read_on_host()
{
    const volatile int *data = (const volatile int *)device_block(sizeof *data);
    fprintf(stderr, "%d\n", *data);
}

static void write_on_host()
{
    *(volatile int *)device_block(sizeof(int)) = 1;
}

static void write_behind()
{
    int *data = (int *)device_block(7 * sizeof *data);
    TDBG_LAUNCH(&gpu, write_at, 1, 1, data, 7);
    cudaFree(data);
}

static void test_barriers(void **)
{
    check_dies(launch_two_barriers, "two_barriers, block (0, 0, 0), thread");
    check_dies(launch_two_barriers, "threads of one block are at different barriers");
    check_dies(launch_early_end, "some threads end before a barrier that others wait at");
    check_dies(launch_barrier_and_warp, "a barrier that not all threads reach");
}

static void test_warp_operations(void **)
{
    check_dies(launch_short_warp, "names lanes that the block does not have");
    check_dies(launch_ended_lane, "names a lane that has ended");
    check_dies(launch_two_operations, "lanes of one warp are at different warp operations");
    check_dies(launch_not_in_mask, "whose mask leaves out the lane itself");
}

static void test_limits(void **)
{
    check_dies(launch_large_shared, "more shared memory than a block has");
    check_dies(launch_large_dynamic, "more dynamic shared memory than the launch gave");
    check_dies(launch_large_block, "a block or grid beyond what a GPU has");
    check_dies(launch_high_grid, "a block or grid beyond what a GPU has");
    check_dies(launch_elsewhere, "a stream of another GPU than the thread's");
}

static void test_memory(void **)
{
    check_dies(read_on_host, "host code reads or writes device memory");
    check_dies(write_on_host, "host code reads or writes device memory");
    check_dies(write_behind, "byte 0 behind a block of 28 was written");
}

/* Copies whose direction is not that of their pointers are refused, and blocks beyond the limit. */
static void misuse_copies()
{
    int host[4] = {};
    int *data = (int *)device_block(sizeof host);
    const bool refused = cudaMemcpyAsync(data, host, 4, cudaMemcpyDeviceToDevice,
                                         tdbg_gpu_stream(&gpu)) != cudaSuccess &&
                         cudaMemcpyAsync(host, data, 4, cudaMemcpyHostToDevice,
                                         tdbg_gpu_stream(&gpu)) != cudaSuccess &&
                         cudaMemsetAsync(host, 0, 4, tdbg_gpu_stream(&gpu)) != cudaSuccess &&
                         cudaFree(host) != cudaSuccess;
    void *large = NULL;
    _exit(!refused || cudaMalloc(&large, (size_t)1 << 40) != cudaErrorMemoryAllocation);
}

static void test_copies(void **)
{
    char text[4096];
    assert_int_equal(run_child(misuse_copies, 1, text, sizeof text), 0);
}

/* --- tensor cores --- */

struct mma_operands {
    alignas(16) uint16_t a[16][24], b[16][24]; /* 16 columns of each are used */
};

static uint16_t bf16_of(int x)
{
    return (uint16_t)(tdbg_bf16_round_bits(tdbg_strict_bits((float)x)) >> 16);
}

/* c (16 x 16) = a b, and with `turned` a b^T, by fragments as they are loaded. */
static __global__ void multiply(const uint16_t *a, const uint16_t *b, float *c, bool turned)
{
    TDBG_SHARED(mma_operands, shared);
    const int lane = (int)threadIdx.x, half = lane / 16, eight = lane / 8 % 2;
    tdbg_gpu_copies copies;
    copies.start(&shared.a[lane % 16][8 * half], a + lane % 16 * 16 + 8 * half, true);
    copies.start(&shared.b[lane % 16][8 * half], b + lane % 16 * 16 + 8 * half, true);
    copies.close_group();
    copies.wait<0>();
    __syncwarp(TDBG_GPU_ALL_LANES);
    uint32_t left[4], right[4];
    tdbg_gpu_load_four(left, &shared.a[lane % 16][8 * half]);
    if (turned)
        tdbg_gpu_load_four(right, &shared.b[lane % 8 + 8 * half][8 * eight]);
    else
        tdbg_gpu_load_four_transposed(right, &shared.b[lane % 16][8 * half]);
    for (int n = 0; n < 2; n++) {
        float sums[4] = {1, 1, 1, 1};
        tdbg_gpu_mma(sums, left, right[2 * n], right[2 * n + 1]);
        for (int e = 0; e < 4; e++)
            c[(lane / 4 + e / 2 * 8) * 16 + 8 * n + lane % 4 * 2 + e % 2] = sums[e];
    }
}

static void multiply_right(bool turned)
{
    uint16_t a[16 * 16], b[16 * 16];
    float got[16 * 16];
    for (int i = 0; i < 256; i++) {
        a[i] = bf16_of(i * 7 % 31 - 15);
        b[i] = bf16_of(i * 11 % 29 - 14);
    }
    uint16_t *on_gpu[2] = {(uint16_t *)device_block(sizeof a), (uint16_t *)device_block(sizeof b)};
    float *c = (float *)device_block(sizeof got);
    cudaMemcpyAsync(on_gpu[0], a, sizeof a, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    cudaMemcpyAsync(on_gpu[1], b, sizeof b, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    TDBG_LAUNCH(&gpu, multiply, 1, 32, on_gpu[0], on_gpu[1], c, turned);
    tdbg_gpu_fetch(&gpu, got, c, sizeof got);
    for (int i = 0; i < 256; i++) {
        int want = 1;
        for (int k = 0; k < 16; k++)
            want += ((i / 16 * 16 + k) * 7 % 31 - 15) *
                    ((turned ? i % 16 * 16 + k : k * 16 + i % 16) * 11 % 29 - 14);
        if (got[i] != (float)want)
            _exit(1);
    }
}

static void multiply_plain()
{
    multiply_right(false);
}

static void multiply_turned()
{
    multiply_right(true);
}

static void test_products(void **)
{
    char text[4096];
    for (int seed = 1; seed <= 5; seed++) {
        assert_int_equal(run_child(multiply_plain, seed, text, sizeof text), 0);
        assert_int_equal(run_child(multiply_turned, seed, text, sizeof text), 0);
    }
}

struct copied_words {
    alignas(16) uint32_t x[32][4];
};

/* The last word of what a lane copies, before it is waited for. */
static __global__ void copy_words(const uint32_t *from, uint32_t *out, int shift, bool waits)
{
    TDBG_SHARED(copied_words, shared);
    const int lane = (int)threadIdx.x;
    tdbg_gpu_copies copies;
    copies.start(shared.x[lane], from + 4 * lane + shift, lane > 0);
    copies.close_group();
    copies.wait<1>();
    __syncwarp(TDBG_GPU_ALL_LANES);
    out[lane] = shared.x[lane][3];
    if (waits)
        copies.wait<0>();
}

/* The last group is not waited for: it may have arrived, or not. */
static void copy_too_early()
{
    uint32_t host[128] = {}, got[32];
    uint32_t *from = (uint32_t *)device_block(sizeof host);
    uint32_t *out = (uint32_t *)device_block(sizeof got);
    int there = 0;
    cudaMemcpyAsync(from, host, sizeof host, cudaMemcpyHostToDevice, tdbg_gpu_stream(&gpu));
    TDBG_LAUNCH(&gpu, copy_words, 1, 32, from, out, 0, true);
    tdbg_gpu_fetch(&gpu, got, out, sizeof got);
    for (int i = 0; i < 32; i++)
        there += got[i] == 0;
    _exit(there == 0 || there == 32);
}

static void copy_without_wait()
{
    uint32_t *from = (uint32_t *)device_block(512), *out = (uint32_t *)device_block(128);
    TDBG_LAUNCH(&gpu, copy_words, 1, 32, from, out, 0, false);
}

static void copy_unaligned()
{
    uint32_t *from = (uint32_t *)device_block(1024), *out = (uint32_t *)device_block(128);
    TDBG_LAUNCH(&gpu, copy_words, 1, 32, from, out, 1, true);
}

static void test_copies_to_shared(void **)
{
    char text[4096];
    assert_int_equal(run_child(copy_too_early, 1, text, sizeof text), 0);
    check_dies(copy_without_wait, "ends with copies to shared memory that it did not wait for");
    check_dies(copy_unaligned, "not aligned to what is read or written there");
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_parts_of_warps),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_missing_barrier),
        cmocka_unit_test(test_unwritten),
        cmocka_unit_test(test_warp_operations),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_copies_to_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
