/* Which instruction set and how many threads the CPU kernels use. Every kernel gives the same bits
 * for every value of this struct; only the speed differs. */
#ifndef TDBG_KERNELS_CPU_H
#define TDBG_KERNELS_CPU_H

#include <stdint.h>

#include "base/status.h"

/* X(NAME, text): best last. */
#define TDBG_ISA_LIST(X)                                                                           \
    X(PORTABLE, "portable")                                                                        \
    X(AVX2, "avx2")                                                                                \
    X(AVX512, "avx512")

enum tdbg_isa {
#define TDBG_ISA_ENUM(name, text) TDBG_ISA_##name,
    TDBG_ISA_LIST(TDBG_ISA_ENUM)
#undef TDBG_ISA_ENUM
        TDBG_ISA_COUNT
};

struct tdbg_isa_table; /* kernels compiled for one instruction set; see isa_table.h */

struct tdbg_cpu {
    const struct tdbg_isa_table *table;
    enum tdbg_isa isa;
    int threads; /* >= 1 */
};

/* Chooses kernels. isa_text is "auto" or a text of TDBG_ISA_LIST; threads 0 means the processors
 * that this process may run on. Starts the threads and checks the floating-point mode (MXCSR: round
 * to nearest, no flush-to-zero, no denormals-are-zero) of each.
 * Errors: TDBG_USAGE for an unknown name or one that this processor lacks, TDBG_DEVICE for a
 * floating-point mode that would change bits. */
enum tdbg_status tdbg_cpu_init(struct tdbg_cpu *cpu, const char *isa_text, int threads,
                               struct tdbg_err *err);

/* Processors that this process may run on. */
int tdbg_cpu_count(void);

const char *tdbg_isa_text(enum tdbg_isa isa);

#endif
