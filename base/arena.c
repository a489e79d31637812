/* Arena: a list of growing blocks. See arena.h for the drawing. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum { ALIGN_BYTES = 64, FIRST_BLOCK_BYTES = 16 * 1024, LARGEST_BLOCK_BYTES = 4 * 1024 * 1024 };

struct block {
    struct block *next;
    size_t size_bytes, used_bytes; /* of data */
    unsigned char *data;
};

struct tdbg_arena {
    struct block *head; /* the block that allocations come from */
    size_t next_bytes;  /* size of the block that comes next */
};

struct tdbg_arena *tdbg_arena_create(void)
{
    struct tdbg_arena *arena = calloc(1, sizeof *arena);
    if (arena)
        arena->next_bytes = FIRST_BLOCK_BYTES;
    return arena;
}

void tdbg_arena_destroy(struct tdbg_arena *arena)
{
    if (!arena)
        return;
    for (struct block *b = arena->head, *next; b; b = next) {
        next = b->next;
        free(b->data);
        free(b);
    }
    free(arena);
}

static struct block *add_block(struct tdbg_arena *arena, size_t at_least_bytes)
{
    size_t size = arena->next_bytes > at_least_bytes ? arena->next_bytes : at_least_bytes;
    struct block *b = calloc(1, sizeof *b);
    unsigned char *data = aligned_alloc(ALIGN_BYTES, size);
    if (!b || !data)
        TDBG_BUG("no memory for %zu bytes of descriptive data", size);
    memset(data, 0, size);
    *b = (struct block){.next = arena->head, .size_bytes = size, .data = data};
    arena->head = b;
    if (arena->next_bytes < LARGEST_BLOCK_BYTES)
        arena->next_bytes *= 2;
    return b;
}

void *tdbg_arena_alloc(struct tdbg_arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2)
        TDBG_BUG("arena allocation of %zu bytes", size_bytes);
    size_t rounded = (size_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    if (rounded == 0)
        rounded = ALIGN_BYTES;
    struct block *b = arena->head;
    if (!b || b->size_bytes - b->used_bytes < rounded)
        b = add_block(arena, rounded);
    void *p = b->data + b->used_bytes;
    b->used_bytes += rounded;
    return p;
}

char *tdbg_arena_strdup(struct tdbg_arena *arena, const char *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(tdbg_arena_alloc(arena, n), text, n);
}

char *tdbg_arena_printf(struct tdbg_arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    TDBG_ASSERT(n >= 0);
    char *text = tdbg_arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    return text;
}
