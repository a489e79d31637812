/* The functions of kernels/gpu_mma.h on the emulated GPU. Fragments are gathered from the lanes
 * that have them. Every other copy to shared memory happens when it is started and the rest when it
 * is waited for, as late as a GPU may: so a missing wait shows, and so does a buffer that is filled
 * while it is read. */
#ifndef TDBG_TESTS_GPU_EMULATION_GPU_MMA_EMULATION_H
#define TDBG_TESTS_GPU_EMULATION_GPU_MMA_EMULATION_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/bf16.h"
#include "kernels/gpu.h"

static inline unsigned tdbg_emulated_thread_number()
{
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

[[noreturn]] static inline void tdbg_emulated_mma_fail(const char *what)
{
    fprintf(stderr, "emulated GPU: block (%u, %u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y,
            blockIdx.z, tdbg_emulated_thread_number(), what);
    abort();
}

static inline void tdbg_emulated_check_aligned(const void *at, size_t bytes)
{
    if ((uintptr_t)at % bytes != 0)
        tdbg_emulated_mma_fail("an address that is not aligned to what is read or written there");
}

/* Half k % 2 of a word, as a number. */
static inline float tdbg_emulated_half(uint32_t word, int k)
{
    return tdbg_strict_float(k % 2 ? word & 0xffff0000u : word << 16);
}

/* What a thread brings to a product. Two of them by turns: a lane that is one product ahead leaves
 * those alone that the others still read. */
struct tdbg_emulated_fragments {
    uint32_t a[4], b[2];
};
struct tdbg_emulated_turns {
    struct tdbg_emulated_fragments of_turn[2];
    unsigned n;
};

static inline void tdbg_gpu_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    static struct tdbg_emulated_turns threads[1024];
    const int lane = tdbg_emulated_lane();
    struct tdbg_emulated_turns *own = &threads[tdbg_emulated_thread_number()];
    const struct tdbg_emulated_turns *warp = own - lane;
    const unsigned turn = own->n++ % 2;
    own->of_turn[turn] = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    const uint64_t *turns = tdbg_emulated_exchange(~0u, turn, __FILE__, __LINE__);
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
        double sum = 0;
        for (int k = 0; k < 16; k++) {
            const int of_a = row % 8 * 4 + k % 8 / 2, of_b = col * 4 + k % 8 / 2;
            const uint32_t left = warp[of_a].of_turn[turns[of_a]].a[k / 8 * 2 + row / 8];
            const uint32_t right = warp[of_b].of_turn[turns[of_b]].b[k / 8];
            sum += (double)tdbg_emulated_half(left, k) * (double)tdbg_emulated_half(right, k);
        }
        c[i] = (float)((double)c[i] + sum);
    }
}

/* The rows that the lanes name. */
static inline const uint64_t *tdbg_emulated_rows(const uint16_t *row)
{
    tdbg_emulated_check_aligned(row, 16);
    return tdbg_emulated_exchange(~0u, (uint64_t)(uintptr_t)row, __FILE__, __LINE__);
}

static inline uint16_t tdbg_emulated_element(const uint64_t *rows, int matrix, int row, int col)
{
    return ((const uint16_t *)(uintptr_t)rows[matrix * 8 + row])[col];
}

static inline void tdbg_gpu_load_four(uint32_t (&x)[4], const uint16_t *row)
{
    const uint64_t *rows = tdbg_emulated_rows(row);
    const int g = tdbg_emulated_lane() / 4, t = tdbg_emulated_lane() % 4;
    for (int i = 0; i < 4; i++)
        x[i] = tdbg_emulated_element(rows, i, g, 2 * t) |
               (uint32_t)tdbg_emulated_element(rows, i, g, 2 * t + 1) << 16;
}

static inline void tdbg_gpu_load_four_transposed(uint32_t (&x)[4], const uint16_t *row)
{
    const uint64_t *rows = tdbg_emulated_rows(row);
    const int g = tdbg_emulated_lane() / 4, t = tdbg_emulated_lane() % 4;
    for (int i = 0; i < 4; i++)
        x[i] = tdbg_emulated_element(rows, i, 2 * t, g) |
               (uint32_t)tdbg_emulated_element(rows, i, 2 * t + 1, g) << 16;
}

static inline uint32_t tdbg_gpu_pack_bf16(float low, float high)
{
    return tdbg_bf16_round_bits(tdbg_strict_bits(low)) >> 16 |
           tdbg_bf16_round_bits(tdbg_strict_bits(high));
}

static inline uint4 tdbg_gpu_read_eight(const uint16_t *x)
{
    uint4 eight;
    tdbg_emulated_check_aligned(x, sizeof eight);
    memcpy(&eight, x, sizeof eight);
    return eight;
}

static inline void tdbg_gpu_write_eight(uint16_t *x, uint4 eight)
{
    tdbg_emulated_check_aligned(x, sizeof eight);
    memcpy(x, &eight, sizeof eight);
}

static inline void tdbg_gpu_write_pair(uint16_t *x, uint32_t pair)
{
    tdbg_emulated_check_aligned(x, sizeof pair);
    memcpy(x, &pair, sizeof pair);
}

static inline float tdbg_gpu_exp2(float x)
{
    return exp2f(x);
}

struct tdbg_gpu_copies {
    void start(void *shared, const void *global, bool real)
    {
        struct copy copy = {shared, global, real, open_group};
        tdbg_emulated_check_aligned(shared, 16);
        tdbg_emulated_check_aligned(real ? global : shared, 16);
        if ((started++ + tdbg_emulated_thread_number()) % 2)
            waiting.push_back(copy);
        else
            copy.run();
    }

    void close_group(void)
    {
        open_group++;
    }

    template <int LAST> void wait(void)
    {
        size_t left = 0;
        for (struct copy &copy : waiting) {
            if (copy.group + LAST < open_group)
                copy.run();
            else
                waiting[left++] = copy;
        }
        waiting.resize(left);
    }

    ~tdbg_gpu_copies()
    {
        if (!waiting.empty())
            tdbg_emulated_mma_fail("ends with copies to shared memory that it did not wait for");
    }

  private:
    struct copy {
        void *to;
        const void *from;
        bool real;
        unsigned group;

        void run() const
        {
            if (real)
                memcpy(to, from, 16);
            else
                memset(to, 0, 16);
        }
    };
    std::vector<struct copy> waiting;
    unsigned started = 0, open_group = 0;
};

#endif
