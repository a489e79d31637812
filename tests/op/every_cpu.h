/* What tests of kernels by random inputs share: every instruction set of this processor with
 * several thread counts, a generator that gives the same numbers everywhere, and a hash of results.
 */
#ifndef TDBG_TESTS_OP_EVERY_CPU_H
#define TDBG_TESTS_OP_EVERY_CPU_H

#include <stdint.h>

#include "kernels/cpu.h"

enum { EVERY_CPU_THREADS = 3 };
extern struct tdbg_cpu cpus[TDBG_ISA_COUNT * EVERY_CPU_THREADS]; /* [0]: portable, one thread */
extern int cpu_count;

/* Set-up of a cmocka group: fills in cpus, says which are left out, and seeds the generator. */
int find_cpus(void **state);

/* A linear congruential generator of 64 bits, of which the upper half is given. */
extern uint64_t random_state;
uint32_t random_u32(void);
int64_t random_below(int64_t n);                /* 0..n-1 */
int64_t random_between(int64_t lo, int64_t hi); /* lo..hi */

/* FNV-1a, 64 bits, over the bits of n floats. */
uint64_t hash_floats(const float *x, int64_t n);

#endif
