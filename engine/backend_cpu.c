/* The CPU backend: memory and digests, and putting the table together. What it hands to kernels/ is
 * in backend_cpu_*.c, a file per family of ops. */
#include "engine/backend_cpu.h"

#include <stdlib.h>
#include <string.h>

#include "base/copy.h"
#include "kernels/fused_digest.h"
#include "kernels/parallel.h"

static void *cpu_alloc(void *context, size_t bytes)
{
    (void)context;
    size_t rounded = (bytes + 63) / 64 * 64 + 64;
    if (rounded < bytes)
        return NULL;
    void *p = aligned_alloc(64, rounded);
    if (p)
        memset(p, 0, rounded);
    return p;
}

static void cpu_free(void *context, void *data)
{
    (void)context;
    free(data);
}

static enum tdbg_status cpu_transfer(void *context, void *to, const void *from, size_t bytes,
                                     struct tdbg_err *err)
{
    (void)context;
    (void)err;
    memcpy(to, from, bytes);
    return TDBG_OK;
}

enum { QUEUE_GRAIN_BYTES = 1 << 18 }; /* what a thread is worth waking for */

struct queue_job {
    char *to;
    const char *from;
};

static void copy_range(void *ctx, int64_t lo, int64_t hi)
{
    const struct queue_job *job = ctx;
    tdbg_copy_away(job->to + lo, job->from + lo, (size_t)(hi - lo));
}

static enum tdbg_status cpu_to_queue(void *context, void *to, const void *from, size_t bytes,
                                     uint64_t *ticket, struct tdbg_err *err)
{
    (void)err;
    *ticket = 0;
    struct queue_job job = {to, from};
    tdbg_parallel_for(tdbg_backend_cpu_of(context)->threads, (int64_t)bytes, QUEUE_GRAIN_BYTES,
                      copy_range, &job);
    return TDBG_OK;
}

/* Nothing is ever on its way. */
static enum tdbg_status cpu_queue_reached(void *context, uint64_t wait_for, uint64_t *reached,
                                          struct tdbg_err *err)
{
    (void)context, (void)err;
    *reached = wait_for;
    return TDBG_OK;
}

static void cpu_copy(void *context, void *to, const void *from, size_t bytes)
{
    (void)context;
    memcpy(to, from, bytes);
}

static void cpu_fill_zero(void *context, void *data, size_t bytes)
{
    (void)context;
    memset(data, 0, bytes);
}

static enum tdbg_status cpu_digest(void *context, const void *data, enum tdbg_dtype dtype,
                                   int64_t elems, uint64_t *digest, struct tdbg_stats *stats,
                                   struct tdbg_err *err)
{
    (void)err;
    tdbg_digest_compute(tdbg_backend_cpu_of(context), data, dtype, elems, digest, stats);
    return TDBG_OK;
}

static void cpu_describe(void *context, struct tdbg_json *json)
{
    const struct tdbg_backend *table = &((const struct tdbg_backend_cpu *)context)->table;
    tdbg_json_string(json, "isa", table->isa);
    tdbg_json_int(json, "threads", table->threads);
}

static bool cpu_room(void *context, int64_t *available, int64_t *total)
{
    (void)context;
    (void)available;
    (void)total;
    return false; /* the system may give memory that it does not have */
}

static const struct tdbg_backend memory_table = {
    .name = "cpu",
    .on_host = true,
    .destroy = tdbg_backend_cpu_destroy,
    .describe = cpu_describe,
    .room = cpu_room,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .to_host = cpu_transfer,
    .to_queue = cpu_to_queue,
    .queue_reached = cpu_queue_reached,
    .to_device = cpu_transfer,
    .copy = cpu_copy,
    .fill_zero = cpu_fill_zero,
    .digest = cpu_digest,
};

enum tdbg_status tdbg_backend_cpu_create(const char *isa, int threads, struct tdbg_backend **out,
                                         struct tdbg_err *err)
{
    struct tdbg_cpu cpu;
    enum tdbg_status st = tdbg_cpu_init(&cpu, isa, threads, err);
    if (st != TDBG_OK)
        return st;
    struct tdbg_backend_cpu *b = calloc(1, sizeof *b);
    if (!b)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the CPU backend");
    b->cpu = cpu;
    b->table = memory_table;
    tdbg_backend_cpu_set_layer(&b->table);
    tdbg_backend_cpu_set_loss(&b->table);
    tdbg_backend_cpu_set_norm(&b->table);
    tdbg_backend_cpu_set_optimizer(&b->table);
    tdbg_backend_cpu_set_sequence(&b->table);
    tdbg_backend_cpu_set_transform(&b->table);
    tdbg_backend_cpu_set_vector(&b->table);
    b->table.context = b;
    b->table.isa = tdbg_isa_text(cpu.isa);
    b->table.threads = cpu.threads;
    *out = &b->table;
    return TDBG_OK;
}

void tdbg_backend_cpu_destroy(struct tdbg_backend *backend)
{
    free(backend);
}
