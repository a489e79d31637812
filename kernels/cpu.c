/* Choice of the kernels' instruction set, the threads, and the check of their floating-point mode.
 * The kernels themselves are in the *_cpu.c files; isa_table.h ties the two together. */
#include "kernels/cpu.h"

#include <fenv.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <xmmintrin.h>
#endif

#include "kernels/isa_table.h"
#include "kernels/parallel.h"

enum { MAX_THREADS = 4096 };

static const char *const isa_text[] = {
#define ISA_ROW(name, text) text,
    TDBG_ISA_LIST(ISA_ROW)
#undef ISA_ROW
};

const char *tdbg_isa_text(enum tdbg_isa isa)
{
    return isa_text[isa];
}

#ifdef __x86_64__
static bool has_f16c(void) /* not every compiler's __builtin_cpu_supports knows it */
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

/* The kernels for isa, or NULL where this processor (or its operating system) cannot run them. */
static const struct tdbg_isa_table *find_table(enum tdbg_isa isa)
{
    if (isa == TDBG_ISA_PORTABLE)
        return &tdbg_isa_table_portable;
#ifdef __x86_64__
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == TDBG_ISA_AVX2 && avx2 && has_f16c())
        return &tdbg_isa_table_avx2;
    if (isa == TDBG_ISA_AVX512 && avx2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return &tdbg_isa_table_avx512;
#endif
    return NULL;
}

static enum tdbg_status choose_isa(struct tdbg_cpu *cpu, const char *text, struct tdbg_err *err)
{
    bool automatic = strcmp(text, "auto") == 0;
    for (int isa = TDBG_ISA_COUNT - 1; isa >= 0; isa--) {
        if (!automatic && strcmp(isa_text[isa], text) != 0)
            continue;
        cpu->isa = (enum tdbg_isa)isa;
        cpu->table = find_table(cpu->isa);
        if (cpu->table)
            return TDBG_OK;
        if (!automatic)
            return TDBG_RAISE(err, USAGE, "this processor cannot run the '%s' kernels", text);
    }
    return TDBG_RAISE(err, USAGE,
                      "no instruction set '%s'; accepted are auto, portable, avx2, avx512", text);
}

int tdbg_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}

bool tdbg_parallel_mode_is_strict(void)
{
    if (fegetround() != FE_TONEAREST)
        return false;
#if defined(__x86_64__)
    return (_mm_getcsr() & 0xe040u) == 0; /* flush to zero, rounding, denormals are zero */
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return (fpcr & (UINT64_C(1) << 24 | UINT64_C(3) << 22)) == 0; /* flush to zero, rounding */
#else
    return true;
#endif
}

enum tdbg_status tdbg_cpu_init(struct tdbg_cpu *cpu, const char *isa_name, int threads,
                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_cpu chosen = {.threads = threads == 0 ? tdbg_cpu_count() : threads};
    int loose = 0; /* threads whose mode would change bits */

    TDBG_FAIL_IF(threads < 0 || threads > MAX_THREADS, USAGE,
                 "%d threads; accepted are 1 to %d, and 0 for one per processor", threads,
                 (int)MAX_THREADS);
    TDBG_TRY(choose_isa(&chosen, isa_name, err));
    loose = tdbg_parallel_start(chosen.threads);
    TDBG_FAIL_IF(loose > 0, DEVICE,
                 "the floating-point mode of %d of %d threads is not round-to-nearest with "
                 "denormals kept (was something linked with -ffast-math?)",
                 loose, chosen.threads);
    *cpu = chosen;
out:
    return st;
}
