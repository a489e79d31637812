/* See every_cpu.h. */
#include "every_cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/convert.h"

struct tdbg_cpu cpus[TDBG_ISA_COUNT * EVERY_CPU_THREADS];
int cpu_count;
uint64_t random_state;

int find_cpus(void **state)
{
    static const int thread_counts[EVERY_CPU_THREADS] = {1, 2, 7};
    (void)state;
    for (int isa = 0; isa < TDBG_ISA_COUNT; isa++) {
        const char *name = tdbg_isa_text((enum tdbg_isa)isa);
        for (int t = 0; t < EVERY_CPU_THREADS; t++) {
            struct tdbg_err err = {0};
            if (tdbg_cpu_init(&cpus[cpu_count], name, thread_counts[t], &err) == TDBG_OK)
                cpu_count++;
            else if (t == 0)
                print_message("%s is left out: %s\n", name, err.message);
            tdbg_err_clear(&err);
        }
    }
    random_state = 1;
    return cpu_count == 0;
}

uint32_t random_u32(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

int64_t random_below(int64_t n)
{
    return (int64_t)(random_u32() % (uint64_t)n);
}

int64_t random_between(int64_t lo, int64_t hi)
{
    return lo + random_below(hi - lo + 1);
}

uint64_t hash_floats(const float *x, int64_t n)
{
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < n; i++) {
        for (int byte = 0; byte < 4; byte++) {
            hash ^= tdbg_float_bits(x[i]) >> (8 * byte) & 0xff;
            hash *= 1099511628211u;
        }
    }
    return hash;
}
