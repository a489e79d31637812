/* Arena: memory that lives and dies together, owned by one object (a graph, a trace, a screen).
 *
 *     block 0            block 1 (twice as large)
 *     [used....|free]--->[used.....|free      ]--->NULL
 */
#ifndef TDBG_BASE_ARENA_H
#define TDBG_BASE_ARENA_H

#include <stddef.h>

struct tdbg_arena;

/* A new, empty arena; tdbg_arena_destroy() frees it and all that came from it. NULL: no memory. */
struct tdbg_arena *tdbg_arena_create(void);
void tdbg_arena_destroy(struct tdbg_arena *arena); /* NULL is fine */

/* size bytes, zeroed, 64-byte aligned. Aborts with a message when memory is out: used for small
 * descriptive data only; tensors come from a backend and fail with TDBG_NO_MEMORY. */
void *tdbg_arena_alloc(struct tdbg_arena *arena, size_t size_bytes);

/* Copy of a string, and a formatted string, in the arena. */
char *tdbg_arena_strdup(struct tdbg_arena *arena, const char *text);
char *tdbg_arena_printf(struct tdbg_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
