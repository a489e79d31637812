/* What of the strict matrix product is compiled once per instruction set (gemm_cpu.c), and what of
 * it gemm.c calls. None of these choices can move a bit: they say which outputs are computed side
 * by side, never the order of an output's terms. */
#ifndef TDBG_KERNELS_GEMM_ISA_H
#define TDBG_KERNELS_GEMM_ISA_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* One tile: up to mr rows by up to nr columns, over one slice of k.
 *
 *     p[i][j] = fma chain over t of s[i * s_i + t * s_t] * v[t * v_t + j]
 *     c[i * c_i + j] = first ? p[i][j] : c[i * c_i + j] + p[i][j]
 *     last: + bias[j] if bias, + row_bias[i] if row_bias, * *scale if scale, NaN made canonical */
struct tdbg_gemm_tile {
    const float *s; /* the side that is broadcast, element by element */
    int64_t s_i, s_t;
    const float *v; /* the side that is loaded as vectors; columns beyond cols are not read */
    int64_t v_t;
    float *c;
    int64_t c_i;
    const float *bias;     /* (cols) or NULL */
    const float *row_bias; /* (rows) or NULL */
    const float *scale;    /* or NULL */
    int64_t k;
    int rows, cols;
    bool first, last;
};

/* Source of a packed panel: element (lane, t) is x[lane * lane_stride + t * t_stride], one of the
 * strides being 1. */
struct tdbg_gemm_pack {
    const float *x;
    int64_t lane_stride, t_stride;
    int64_t k;
    int lanes;
    float *out; /* (k, out_stride); lanes behind, up to a whole vector, get some value */
    int64_t out_stride;
};

/* c[j * c_j + i] = canonical(x[i * x_i + j] + bias[i]) */
struct tdbg_gemm_turn {
    const float *x; /* (rows, cols), rows <= mr, row stride x_i */
    int64_t x_i;
    int rows, cols;
    const float *bias; /* (rows) or NULL */
    float *c;
    int64_t c_j;
};

struct tdbg_gemm_isa {
    int mr, nr, lanes; /* lanes: floats in a vector; mr <= lanes, nr is a multiple of lanes */
    void (*tile)(const struct tdbg_gemm_tile *tile);
    /* Writes whole vectors: with out_stride < lanes rounded up to a vector, a row's surplus lands
     * on the row after it, which is written later; the last row's behind the panel. */
    void (*pack)(const struct tdbg_gemm_pack *pack);
    void (*turn)(const struct tdbg_gemm_turn *turn);
};

/* Upper bounds of mr, nr and lanes. */
enum { TDBG_GEMM_MAX_MR = 16, TDBG_GEMM_MAX_NR = 64, TDBG_GEMM_MAX_LANES = 16 };

/* The inner kernels that cpu stands for. */
const struct tdbg_gemm_isa *tdbg_gemm_isa_of(const struct tdbg_cpu *cpu);

extern const struct tdbg_gemm_isa tdbg_gemm_isa_portable;
#if defined(__x86_64__)
extern const struct tdbg_gemm_isa tdbg_gemm_isa_avx2;
extern const struct tdbg_gemm_isa tdbg_gemm_isa_avx512;
#endif

#endif
