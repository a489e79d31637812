/* Opening a GPU, what it remembers, and errors. See gpu.h. */
#include "kernels/gpu.h"

#include <stdlib.h>
#include <string.h>

struct tdbg_gpu_table {
    struct tdbg_gpu_table *next;
    const void *host;
    size_t bytes;
    void *device;
};

enum { LEAST_CAPABILITY = 75 }; /* Turing: what CUDA 13 still builds for */

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

/* What a person can do where cudaGetDeviceCount says this. */
static const char *hint_of(cudaError_t error)
{
    if (error == cudaErrorInsufficientDriver)
        return "the driver is older than the CUDA of this tdbg, or is not there";
    if (error == cudaErrorNoDevice)
        return "no NVIDIA GPU is visible to this process";
    return "the driver does not work";
}

enum tdbg_status tdbg_gpu_open(int device, struct tdbg_gpu *gpu, struct tdbg_err *err)
{
    struct cudaDeviceProp prop;
    int n = 0;
    memset(gpu, 0, sizeof *gpu);
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess || n == 0)
        return TDBG_RAISE(err, DEVICE, "no GPU can be used: %s (%s)",
                          hint_of(error == cudaSuccess ? cudaErrorNoDevice : error),
                          cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error));
    if (device < 0 || device >= n)
        return TDBG_RAISE(err, DEVICE, "there is no GPU %d: this machine has %d, from 0", device,
                          n);
    tdbg_gpu_note(gpu, cudaSetDevice(device), "cudaSetDevice");
    tdbg_gpu_note(gpu, cudaGetDeviceProperties(&prop, device), "cudaGetDeviceProperties");
    if (gpu->error == cudaSuccess) {
        gpu->capability = prop.major * 10 + prop.minor;
        gpu->multiprocessors = prop.multiProcessorCount;
        memcpy(gpu->name, prop.name, sizeof prop.name);
        if (gpu->capability < LEAST_CAPABILITY)
            return TDBG_RAISE(err, DEVICE,
                              "GPU %d (%s) is too old: compute capability %d.%d, and this tdbg "
                              "needs %d.%d",
                              device, gpu->name, prop.major, prop.minor, LEAST_CAPABILITY / 10,
                              LEAST_CAPABILITY % 10);
        tdbg_gpu_note(gpu, cudaStreamCreate(&gpu->stream), "cudaStreamCreate");
    }
    return tdbg_gpu_report(gpu, err);
}

void tdbg_gpu_close(struct tdbg_gpu *gpu)
{
    while (gpu->tables) {
        struct tdbg_gpu_table *table = gpu->tables;
        gpu->tables = table->next;
        cudaFree(table->device);
        free(table);
    }
    if (gpu->close_blas)
        gpu->close_blas(gpu->blas);
    if (gpu->scratch)
        cudaFree(gpu->scratch);
    if (gpu->stream)
        cudaStreamDestroy(gpu->stream);
    memset(gpu, 0, sizeof *gpu);
}

void *tdbg_gpu_scratch(struct tdbg_gpu *gpu, size_t bytes)
{
    if (bytes <= gpu->scratch_bytes)
        return gpu->scratch;
    /* Freeing waits for the stream, so nothing that runs loses its memory. */
    if (gpu->scratch)
        tdbg_gpu_note(gpu, cudaFree(gpu->scratch), "cudaFree");
    gpu->scratch = NULL;
    gpu->scratch_bytes = 0;
    const cudaError_t error = cudaMalloc(&gpu->scratch, bytes);
    tdbg_gpu_note(gpu, error, "cudaMalloc of scratch memory");
    if (error != cudaSuccess)
        return NULL;
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
        error = cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, gpu->stream);
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
    tdbg_gpu_note(gpu, cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, gpu->stream),
                  "a copy to the host");
    tdbg_gpu_note(gpu, cudaStreamSynchronize(gpu->stream), "cudaStreamSynchronize");
}
