/* A list of work for a GPU's stream with copies of all that it needs, so that it can be put there
 * later, and compared with another list: for gpu_launch.c and gpu_graph.c alone.
 *
 * What two lists have to share so that one can be sent off in place of the other, with other
 * arguments, is their shape. */
#ifndef TDBG_KERNELS_GPU_LOG_H
#define TDBG_KERNELS_GPU_LOG_H

#include "kernels/gpu.h"

enum { TDBG_GPU_LOG_ENTRIES = 64 };

enum tdbg_gpu_work {
    TDBG_GPU_KERNEL, /* arguments: its own */
    TDBG_GPU_COPY,   /* to, from */
    TDBG_GPU_CLEAR,  /* what */
    TDBG_GPU_CALL,   /* its key, which is part of its shape */
};

/* No padding. */
struct tdbg_gpu_shape {
    uint64_t function; /* kernel or call */
    uint64_t bytes;    /* dynamic shared memory; or how many a copy or a clear has */
    uint32_t work, arg_bytes;
    uint32_t grid[3], block[3];
};

/* A piece of work as it is asked for; args (n_args): as in tdbg_gpu_launch(). */
struct tdbg_gpu_request {
    struct tdbg_gpu_shape shape; /* without arg_bytes */
    const char *name;
    bool (*run)(struct tdbg_gpu *gpu, const void *key, cudaStream_t stream); /* of a call */
    int n_args;
    const void *const *args;
    const uint32_t *arg_bytes;
};

struct tdbg_gpu_entry {
    const char *name;
    bool (*run)(struct tdbg_gpu *gpu, const void *key, cudaStream_t stream);
    uint32_t first_arg, n_args; /* of arg_at */
    uint32_t first_byte;        /* of bytes */
};

/* Arrays of one piece of memory. */
struct tdbg_gpu_log {
    int n;
    uint32_t n_args, n_bytes;
    struct tdbg_gpu_shape *shape; /* (n) */
    struct tdbg_gpu_entry *entry; /* (n) */
    uint64_t *hash;               /* (n): of the shapes 0 .. i */
    uint32_t *arg_at;             /* (n_args): where in bytes an argument is */
    unsigned char *bytes;         /* (n_bytes) */
    void *memory;
};

/* With room for TDBG_GPU_LOG_ENTRIES, whatever they are; false: no memory. */
bool tdbg_gpu_log_create(struct tdbg_gpu_log *log);
/* A copy, with no room for more. */
bool tdbg_gpu_log_copy(const struct tdbg_gpu_log *log, struct tdbg_gpu_log *out);
void tdbg_gpu_log_destroy(struct tdbg_gpu_log *log); /* {0} is fine */
void tdbg_gpu_log_clear(struct tdbg_gpu_log *log);

/* There has to be room for it. */
void tdbg_gpu_log_add(struct tdbg_gpu_log *log, const struct tdbg_gpu_request *request);

/* Pointers to the arguments of entry i. */
void tdbg_gpu_log_args(const struct tdbg_gpu_log *log, int i, const void *args[TDBG_GPU_ARGUMENTS]);

/* Are they alike but for arguments? */
bool tdbg_gpu_log_same_shape(const struct tdbg_gpu_log *a, const struct tdbg_gpu_log *b);

/* Of two that have the same shape: does entry i have other arguments, and how many kernels have? */
bool tdbg_gpu_log_entry_differs(const struct tdbg_gpu_log *a, const struct tdbg_gpu_log *b, int i);
int tdbg_gpu_log_kernels_that_differ(const struct tdbg_gpu_log *a, const struct tdbg_gpu_log *b);
int tdbg_gpu_log_kernels(const struct tdbg_gpu_log *log); /* how many there are */

/* Puts one piece of work on the stream. */
cudaError_t tdbg_gpu_request_put(struct tdbg_gpu *gpu, const struct tdbg_gpu_request *request,
                                 cudaStream_t stream);
cudaError_t tdbg_gpu_log_put(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log, int i,
                             cudaStream_t stream);

#endif
