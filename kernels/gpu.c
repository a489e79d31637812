/* Opening a GPU, what it remembers, and errors. See gpu.h. */
#include "kernels/gpu.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/gpu_digests.h"
#include "kernels/gpu_graphs.h"
#include "kernels/gpu_queue.h"

struct tdbg_gpu_table {
    struct tdbg_gpu_table *next;
    const void *host;
    size_t bytes;
    void *device;
};

/* The oldest GPUs that there is code for; the build says it for real ones. */
#ifndef TDBG_GPU_LEAST_CAPABILITY
#define TDBG_GPU_LEAST_CAPABILITY 75
#define TDBG_GPU_CAPABILITIES     75, 80, 90
#endif

void tdbg_gpu_note(struct tdbg_gpu *gpu, cudaError_t error, const char *what)
{
    if (error == cudaSuccess || gpu->error != cudaSuccess)
        return;
    gpu->error = error;
    gpu->error_at = what;
}

enum tdbg_status tdbg_gpu_report(struct tdbg_gpu *gpu, struct tdbg_err *err)
{
    const cudaError_t error = gpu->error;
    if (error == cudaSuccess)
        return TDBG_OK;
    gpu->error = cudaSuccess;
    return TDBG_RAISE(err, DEVICE, "the GPU failed in %s: %s", gpu->error_at,
                      cudaGetErrorString(error));
}

static enum tdbg_status refuse_driver(cudaError_t error, int driver, struct tdbg_err *err)
{
    int needed = 0;
    cudaRuntimeGetVersion(&needed);
    if (error == cudaErrorInsufficientDriver)
        return TDBG_RAISE(err, DEVICE,
                          "no GPU can be used: the NVIDIA driver is for CUDA %d.%d, and this tdbg "
                          "was built with CUDA %d.%d",
                          driver / 1000, driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
    return TDBG_RAISE(err, DEVICE, "no GPU can be used: the NVIDIA driver says: %s",
                      cudaGetErrorString(error));
}

enum tdbg_status tdbg_gpu_count(int *n, struct tdbg_err *err)
{
    int driver = 0;
    const cudaError_t error = cudaGetDeviceCount(n);
    if (error == cudaSuccess)
        return TDBG_OK;
    *n = 0;
    cudaGetLastError(); /* or the next launch tells it */
    if (error == cudaErrorNoDevice || cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return TDBG_OK;
    return refuse_driver(error, driver, err);
}

static int newest_code(int capability)
{
    static const int built_for[] = {TDBG_GPU_CAPABILITIES};
    int newest = 0;
    for (size_t i = 0; i < sizeof built_for / sizeof built_for[0]; i++)
        if (built_for[i] <= capability && built_for[i] > newest)
            newest = built_for[i];
    return newest;
}

enum tdbg_status tdbg_gpu_open(int device, struct tdbg_gpu *gpu, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int least = TDBG_GPU_LEAST_CAPABILITY;
    struct cudaDeviceProp prop;
    int n = 0;
    memset(gpu, 0, sizeof *gpu);
    st = tdbg_gpu_count(&n, err);
    if (st != TDBG_OK)
        return st;
    if (n == 0)
        return TDBG_RAISE(err, DEVICE,
                          "no GPU can be used: no NVIDIA GPU is visible to this process");
    if (device < 0 || device >= n)
        return TDBG_RAISE(err, DEVICE, "there is no GPU %d: this machine has %d, from 0", device,
                          n);
    gpu->device = device;
    tdbg_gpu_use(gpu);
    tdbg_gpu_note(gpu, cudaDriverGetVersion(&gpu->driver), "cudaDriverGetVersion");
    tdbg_gpu_note(gpu, cudaRuntimeGetVersion(&gpu->runtime), "cudaRuntimeGetVersion");
    tdbg_gpu_note(gpu, cudaGetDeviceProperties(&prop, device), "cudaGetDeviceProperties");
    if (gpu->error == cudaSuccess) {
        gpu->capability = prop.major * 10 + prop.minor;
        gpu->multiprocessors = prop.multiProcessorCount;
        gpu->shared_bytes = prop.sharedMemPerBlockOptin;
        gpu->code = newest_code(gpu->capability);
        memcpy(gpu->name, prop.name, sizeof prop.name);
        memcpy(gpu->uuid, &prop.uuid, sizeof gpu->uuid);
        if (gpu->capability < least)
            return TDBG_RAISE(err, DEVICE,
                              "GPU %d (%s) is too old: compute capability %d.%d, and this tdbg is "
                              "built for %d.%d and newer (gpu_arch)",
                              device, gpu->name, prop.major, prop.minor, least / 10, least % 10);
        tdbg_gpu_note(gpu, cudaStreamCreate(&gpu->own_stream), "cudaStreamCreate");
    }
    if (gpu->error == cudaSuccess) {
        tdbg_gpu_open_launches(gpu);
        tdbg_gpu_check_graphs(gpu);
    }
    return tdbg_gpu_report(gpu, err);
}

void tdbg_gpu_use(struct tdbg_gpu *gpu)
{
    tdbg_gpu_note(gpu, cudaSetDevice(gpu->device), "cudaSetDevice");
}

void tdbg_gpu_free(struct tdbg_gpu *gpu, void *data)
{
    tdbg_gpu_put_held(gpu);
    if (data)
        tdbg_gpu_note(gpu, cudaFree(data), "cudaFree");
}

void tdbg_gpu_forget_tables(struct tdbg_gpu *gpu)
{
    while (gpu->tables) {
        struct tdbg_gpu_table *table = gpu->tables;
        gpu->tables = table->next;
        tdbg_gpu_free(gpu, table->device);
        free(table);
    }
}

void tdbg_gpu_close(struct tdbg_gpu *gpu)
{
    if (gpu->own_stream)
        cudaSetDevice(gpu->device);
    tdbg_gpu_close_launches(gpu);
    tdbg_gpu_forget_tables(gpu);
    tdbg_gpu_close_digests(gpu);
    tdbg_gpu_close_queue(gpu);
    if (gpu->close_blas)
        gpu->close_blas(gpu->blas);
    tdbg_gpu_free(gpu, gpu->scratch);
    if (gpu->own_stream)
        cudaStreamDestroy(gpu->own_stream);
    memset(gpu, 0, sizeof *gpu);
}

void *tdbg_gpu_scratch(struct tdbg_gpu *gpu, size_t bytes)
{
    if (bytes <= gpu->scratch_bytes)
        return gpu->scratch;
    tdbg_gpu_free(gpu, gpu->scratch);
    gpu->scratch = NULL;
    gpu->scratch_bytes = 0;
    const cudaError_t error = cudaMalloc(&gpu->scratch, bytes);
    tdbg_gpu_note(gpu, error, "cudaMalloc of scratch memory");
    if (error != cudaSuccess) {
        cudaGetLastError(); /* or the next launch tells it, too */
        return NULL;
    }
    gpu->scratch_bytes = bytes;
    return gpu->scratch;
}

const void *tdbg_gpu_table(struct tdbg_gpu *gpu, const void *host, size_t bytes)
{
    for (const struct tdbg_gpu_table *t = gpu->tables; t; t = t->next) {
        if (t->host == host && t->bytes == bytes)
            return t->device;
    }
    struct tdbg_gpu_table *table = malloc(sizeof *table);
    void *device = NULL;
    cudaError_t error = table ? cudaMalloc(&device, bytes) : cudaErrorMemoryAllocation;
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, tdbg_gpu_stream(gpu));
    tdbg_gpu_note(gpu, error, "the copy of a table");
    if (error != cudaSuccess) {
        if (device)
            cudaFree(device);
        free(table);
        return NULL;
    }
    *table = (struct tdbg_gpu_table){gpu->tables, host, bytes, device};
    gpu->tables = table;
    return device;
}

void tdbg_gpu_fetch(struct tdbg_gpu *gpu, void *host, const void *device, size_t bytes)
{
    tdbg_gpu_before_work(gpu);
    tdbg_gpu_fetch_between(gpu, host, device, bytes);
}

void tdbg_gpu_fetch_between(struct tdbg_gpu *gpu, void *host, const void *device, size_t bytes)
{
    tdbg_gpu_use(gpu);
    const cudaStream_t stream = tdbg_gpu_stream(gpu);
    tdbg_gpu_note(gpu, cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream),
                  "a copy to the host");
    tdbg_gpu_note(gpu, cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}
