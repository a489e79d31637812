/* Version and constants of the strict numerics. docs/numerics.md is the text; golden hashes guard
 * it. Any change that moves a bit raises the version. */
#ifndef TDBG_KERNELS_NUMERICS_H
#define TDBG_KERNELS_NUMERICS_H

enum {
    TDBG_NUMERICS_VERSION = 1,
    TDBG_K_SLICE = 256,        /* a GEMM's fma chain and a column sum restart every so many terms */
    TDBG_SUM_LANES = 32,       /* virtual lanes of a sum */
    TDBG_SUM_BLOCK = 4096,     /* terms of a sum before its lanes are folded */
    TDBG_ATTENTION_BLOCK = 64, /* tokens: causal attention leaves out whole masked blocks */
};

#endif
