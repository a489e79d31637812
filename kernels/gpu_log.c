/* See gpu_log.h. */
#include "kernels/gpu_log.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 8, MOST_BYTES = TDBG_GPU_ARGUMENT_BYTES + TDBG_GPU_ARGUMENTS * ALIGN };

_Static_assert(sizeof(struct tdbg_gpu_shape) == 48, "shapes are compared byte by byte");

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool take(struct tdbg_gpu_log *log, size_t entries, size_t args, size_t bytes)
{
    const size_t shapes = entries * sizeof *log->shape, all = entries * sizeof *log->entry;
    const size_t hashes = entries * sizeof *log->hash, places = rounded(args * sizeof(uint32_t));
    char *memory = malloc(shapes + all + hashes + places + bytes + 1);
    *log = (struct tdbg_gpu_log){.memory = memory};
    if (!memory)
        return false;
    log->shape = (struct tdbg_gpu_shape *)(void *)memory;
    log->entry = (struct tdbg_gpu_entry *)(void *)(memory + shapes);
    log->hash = (uint64_t *)(void *)(memory + shapes + all);
    log->arg_at = (uint32_t *)(void *)(memory + shapes + all + hashes);
    log->bytes = (unsigned char *)(memory + shapes + all + hashes + places);
    return true;
}

bool tdbg_gpu_log_create(struct tdbg_gpu_log *log)
{
    return take(log, TDBG_GPU_LOG_ENTRIES, TDBG_GPU_LOG_ENTRIES * TDBG_GPU_ARGUMENTS,
                (size_t)TDBG_GPU_LOG_ENTRIES * MOST_BYTES);
}

bool tdbg_gpu_log_copy(const struct tdbg_gpu_log *log, struct tdbg_gpu_log *out)
{
    const size_t n = (size_t)log->n;
    if (!take(out, n, log->n_args, log->n_bytes))
        return false;
    out->n = log->n;
    out->n_args = log->n_args;
    out->n_bytes = log->n_bytes;
    memcpy(out->shape, log->shape, n * sizeof *log->shape);
    memcpy(out->entry, log->entry, n * sizeof *log->entry);
    memcpy(out->hash, log->hash, n * sizeof *log->hash);
    memcpy(out->arg_at, log->arg_at, log->n_args * sizeof *log->arg_at);
    memcpy(out->bytes, log->bytes, log->n_bytes);
    return true;
}

void tdbg_gpu_log_destroy(struct tdbg_gpu_log *log)
{
    free(log->memory);
    *log = (struct tdbg_gpu_log){0};
}

void tdbg_gpu_log_clear(struct tdbg_gpu_log *log)
{
    log->n = 0;
    log->n_args = log->n_bytes = 0;
}

/* Only finds what may be alike: that is looked at byte by byte then. */
static uint64_t absorb(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (; bytes >= sizeof hash; bytes -= sizeof hash, at += sizeof hash) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    for (; bytes > 0; bytes--)
        hash = (hash ^ *at++) * UINT64_C(0x9e3779b97f4a7c15);
    return hash;
}

/* Arguments begin at multiples of ALIGN, with 0 between them. */
static uint32_t add_args(struct tdbg_gpu_log *log, const struct tdbg_gpu_request *r)
{
    const uint32_t first = log->n_bytes;
    for (int i = 0; i < r->n_args; i++) {
        const size_t all = rounded(r->arg_bytes[i]);
        unsigned char *to = log->bytes + log->n_bytes;
        TDBG_ASSERT(log->n_bytes + all - first <= MOST_BYTES);
        memcpy(to, r->args[i], r->arg_bytes[i]);
        memset(to + r->arg_bytes[i], 0, all - r->arg_bytes[i]);
        log->arg_at[log->n_args++] = log->n_bytes;
        log->n_bytes += (uint32_t)all;
    }
    return log->n_bytes - first;
}

void tdbg_gpu_log_add(struct tdbg_gpu_log *log, const struct tdbg_gpu_request *r)
{
    const int i = log->n;
    TDBG_ASSERT(i < TDBG_GPU_LOG_ENTRIES && r->n_args <= TDBG_GPU_ARGUMENTS);
    const struct tdbg_gpu_entry entry = {r->name, r->run, log->n_args, (uint32_t)r->n_args,
                                         log->n_bytes};
    log->entry[i] = entry;
    log->shape[i] = r->shape;
    log->shape[i].arg_bytes = add_args(log, r);
    uint64_t hash = absorb(i > 0 ? log->hash[i - 1] : 0, &log->shape[i], sizeof log->shape[i]);
    if (r->shape.work == TDBG_GPU_CALL)
        hash = absorb(hash, log->bytes + entry.first_byte, log->shape[i].arg_bytes);
    log->hash[i] = hash;
    log->n++;
}

void tdbg_gpu_log_args(const struct tdbg_gpu_log *log, int i, const void *args[TDBG_GPU_ARGUMENTS])
{
    const struct tdbg_gpu_entry *e = &log->entry[i];
    for (uint32_t k = 0; k < e->n_args; k++)
        args[k] = log->bytes + log->arg_at[e->first_arg + k];
}

/* Where shapes are the same, arguments are at the same places. */
bool tdbg_gpu_log_entry_differs(const struct tdbg_gpu_log *a, const struct tdbg_gpu_log *b, int i)
{
    const uint32_t at = a->entry[i].first_byte;
    return memcmp(a->bytes + at, b->bytes + at, a->shape[i].arg_bytes) != 0;
}

bool tdbg_gpu_log_same_shape(const struct tdbg_gpu_log *a, const struct tdbg_gpu_log *b)
{
    if (a->n != b->n || a->n == 0 || a->hash[a->n - 1] != b->hash[b->n - 1] ||
        memcmp(a->shape, b->shape, (size_t)a->n * sizeof *a->shape) != 0)
        return false;
    for (int i = 0; i < a->n; i++) {
        if (a->shape[i].work == TDBG_GPU_CALL && tdbg_gpu_log_entry_differs(a, b, i))
            return false;
    }
    return true;
}

int tdbg_gpu_log_kernels_that_differ(const struct tdbg_gpu_log *a, const struct tdbg_gpu_log *b)
{
    int n = 0;
    if (memcmp(a->bytes, b->bytes, a->n_bytes) == 0)
        return 0;
    for (int i = 0; i < a->n; i++)
        n += a->shape[i].work == TDBG_GPU_KERNEL && tdbg_gpu_log_entry_differs(a, b, i);
    return n;
}

int tdbg_gpu_log_kernels(const struct tdbg_gpu_log *log)
{
    int n = 0;
    for (int i = 0; i < log->n; i++)
        n += log->shape[i].work == TDBG_GPU_KERNEL;
    return n;
}

static dim3 dim3_of(const uint32_t of[3])
{
    dim3 d = {1, 1, 1};
    d.x = of[0];
    d.y = of[1];
    d.z = of[2];
    return d;
}

static void *pointer(const void *argument)
{
    void *p;
    memcpy(&p, argument, sizeof p);
    return p;
}

cudaError_t tdbg_gpu_request_put(struct tdbg_gpu *gpu, const struct tdbg_gpu_request *r,
                                 cudaStream_t stream)
{
    const struct tdbg_gpu_shape *s = &r->shape;
    switch ((enum tdbg_gpu_work)s->work) {
    case TDBG_GPU_KERNEL:
        return cudaLaunchKernel((const void *)(uintptr_t)s->function, dim3_of(s->grid),
                                dim3_of(s->block), (void **)(uintptr_t)r->args, s->bytes, stream);
    case TDBG_GPU_COPY:
        return cudaMemcpyAsync(pointer(r->args[0]), pointer(r->args[1]), s->bytes,
                               cudaMemcpyDeviceToDevice, stream);
    case TDBG_GPU_CLEAR:
        return cudaMemsetAsync(pointer(r->args[0]), 0, s->bytes, stream);
    case TDBG_GPU_CALL:
        return r->run(gpu, r->args[0], stream) ? cudaSuccess : cudaErrorUnknown;
    }
    TDBG_BUG("no such work");
}

cudaError_t tdbg_gpu_log_put(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log, int i,
                             cudaStream_t stream)
{
    const void *args[TDBG_GPU_ARGUMENTS];
    tdbg_gpu_log_args(log, i, args);
    const struct tdbg_gpu_request request = {.shape = log->shape[i],
                                             .name = log->entry[i].name,
                                             .run = log->entry[i].run,
                                             .n_args = (int)log->entry[i].n_args,
                                             .args = args};
    return tdbg_gpu_request_put(gpu, &request, stream);
}
