/* bfloat16: the upper half of an f32. Rounding is to nearest, ties to even, in integers, so that
 * denormals are kept (the instructions vcvtneps2bf16 and vdpbf16ps flush them). NaN is canonical.
 */
#ifndef TDBG_KERNELS_BF16_H
#define TDBG_KERNELS_BF16_H

#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/strict_math.h"

/* Bits of x rounded to bfloat16, in the upper half of the word; the lower half is 0. */
TDBG_HOST_DEVICE static inline uint32_t tdbg_bf16_round_bits(uint32_t bits)
{
    const uint32_t odd = bits >> 16 & 1u;
    const uint32_t rounded = (bits + 0x7fffu + odd) & 0xffff0000u;
    return (int32_t)(bits & 0x7fffffffu) > 0x7f800000 ? 0x7fc00000u : rounded;
}

/* y (n) = x rounded to bfloat16, as f32; y may be x. */
void tdbg_bf16_round(const struct tdbg_cpu *cpu, int64_t n, const float *x, float *y);

/* y (n) = x rounded to bfloat16, in 16 bits each; and back, which is exact. */
void tdbg_bf16_pack(const struct tdbg_cpu *cpu, int64_t n, const float *x, uint16_t *y);
void tdbg_bf16_unpack(const struct tdbg_cpu *cpu, int64_t n, const uint16_t *x, float *y);

/* The same on a GPU: see gpu.h. */
void tdbg_cuda_bf16_round(void *gpu, int64_t n, const float *x, float *y);
void tdbg_cuda_bf16_pack(void *gpu, int64_t n, const float *x, uint16_t *y);
void tdbg_cuda_bf16_unpack(void *gpu, int64_t n, const uint16_t *x, float *y);

#endif
