/* What is put on a GPU's stream: launches of kernels, and calls of libraries that launch some.
 * Copies and clears are in gpu.h.
 *
 * All of it goes through one place, gpu_launch.c, which may hold it back for a while and then send
 * it off as one CUDA graph that it has sent off before (gpu_graph.h). So nothing else may put
 * anything on the stream but behind tdbg_gpu_stream(). Included by gpu.h. */
#ifndef TDBG_KERNELS_GPU_LAUNCH_H
#define TDBG_KERNELS_GPU_LAUNCH_H

#ifdef __cplusplus
extern "C" {
#endif

struct tdbg_gpu;

/* The most that a launch or a call can have: what CUDA takes everywhere, and a little more than
 * any kernel has. */
enum { TDBG_GPU_ARGUMENT_BYTES = 4096, TDBG_GPU_ARGUMENTS = 24 };

struct tdbg_gpu_launch {
    const void *function; /* the kernel */
    const char *name;     /* for messages; stays */
    dim3 grid, block;
    size_t shared_bytes; /* dynamic */
};

/* args[i]: argument i of the kernel, of arg_bytes[i] bytes; they are copied. Nothing for an empty
 * grid. What fails is noted, perhaps later. */
void tdbg_gpu_launch(struct tdbg_gpu *gpu, const struct tdbg_gpu_launch *launch, int n_args,
                     const void *const *args, const uint32_t *arg_bytes);

/* A call of a library: run() makes it, all of it on `stream`, and returns false where it failed. It
 * hangs on the bytes of `key` alone (no padding in there), which are copied; and on what stays as
 * long as the GPU is open, so that what it has launched may be repeated where they are the same. */
struct tdbg_gpu_call {
    bool (*run)(struct tdbg_gpu *gpu, const void *key, cudaStream_t stream);
    const char *name; /* for messages; stays */
    const void *key;
    size_t key_bytes;
};
void tdbg_gpu_call(struct tdbg_gpu *gpu, const struct tdbg_gpu_call *call);

#ifdef __cplusplus
}

#ifndef TDBG_GPU_KNOW_KERNEL /* the emulation has to be told what it may launch */
#define TDBG_GPU_KNOW_KERNEL(kernel, name)
#endif

/* Padding in an argument would make it look as if it had changed. */
#ifdef __has_builtin
#if __has_builtin(__builtin_clear_padding)
#define TDBG_GPU_CLEAR_PADDING(x) __builtin_clear_padding(&(x))
#endif
#endif
#ifndef TDBG_GPU_CLEAR_PADDING
#define TDBG_GPU_CLEAR_PADDING(x) ((void)0)
#endif

/* A kernel to be called with its arguments, which become those of its parameters' types. */
template <typename... Params> struct tdbg_gpu_launcher {
    struct tdbg_gpu *gpu;
    struct tdbg_gpu_launch launch;
    void operator()(Params... params) const
    {
        static_assert(sizeof...(Params) <= TDBG_GPU_ARGUMENTS, "so many arguments are kept");
        static_assert((sizeof(Params) + ... + 0) <= TDBG_GPU_ARGUMENT_BYTES, "that CUDA takes");
        (TDBG_GPU_CLEAR_PADDING(params), ...);
        const void *const args[] = {(const void *)&params..., nullptr};
        const uint32_t arg_bytes[] = {(uint32_t)sizeof(Params)..., 0};
        tdbg_gpu_launch(gpu, &launch, (int)sizeof...(Params), args, arg_bytes);
    }
};

template <typename... Params>
static inline tdbg_gpu_launcher<Params...>
tdbg_gpu_prepare(struct tdbg_gpu *gpu, void (*kernel)(Params...), const char *name, dim3 grid,
                 dim3 block, size_t shared_bytes)
{
    TDBG_GPU_KNOW_KERNEL(kernel, name);
    return {gpu, {(const void *)kernel, name, grid, block, shared_bytes}};
}

/* TDBG_LAUNCH(gpu, kernel, grid, block, arguments...): nothing for an empty grid. A template's
 * instance stands in parentheses: (kernel<1, 2>). */
#define TDBG_LAUNCH(gpu, kernel, grid, block, ...)                                                 \
    TDBG_LAUNCH_DYNAMIC(gpu, kernel, grid, block, 0, __VA_ARGS__)

/* The same with `bytes` of dynamic shared memory. */
#define TDBG_LAUNCH_DYNAMIC(gpu, kernel, grid, block, bytes, ...)                                  \
    tdbg_gpu_prepare((gpu), (kernel), #kernel, dim3(grid), dim3(block), (bytes))(__VA_ARGS__)

#endif
#endif
