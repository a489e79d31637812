/* The CUDA runtime on the CPU: devices, memory and copies. See cuda_runtime_api.h; streams are in
 * streams.cc. */
#include "cuda_runtime_api.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <vector>

#include "device_memory.h"
#include "graphs.h"
#include "streams.h"

namespace
{

const size_t REGION_BYTES = (size_t)64 << 30, GRAIN = 4096;
const int POISON = 0xa5;

char *region;
size_t high_water, limit_bytes, used_bytes;
struct taken_block {
    size_t bytes, rounded;
};
std::map<size_t, taken_block> taken;   /* by offset */
std::map<const char *, size_t> pinned; /* memory of the host: bytes */
thread_local int current_device;

typedef std::lock_guard<std::recursive_mutex> guard;

int read_number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

/* 0 as -1: a driver that is too old. */
int device_count()
{
    const char *text = getenv("TDBG_EMULATED_GPUS");
    return text && strcmp(text, "old") == 0 ? -1 : read_number("TDBG_EMULATED_GPUS", 1);
}

/* Says what happened where host code touches device memory, which a GPU's host would not survive
 * either. */
void on_fault(int signal, siginfo_t *info, void *)
{
    const char *at = (const char *)info->si_addr;
    if (region && at >= region && at < region + REGION_BYTES) {
        static const char text[] = "emulated GPU: host code reads or writes device memory\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            _exit(1);
    }
    struct sigaction plain = {};
    plain.sa_handler = SIG_DFL;
    sigaction(signal, &plain, NULL);
}

bool start()
{
    if (region)
        return true;
    void *p =
        mmap(NULL, REGION_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    region = (char *)p;
    const char *limit = getenv("TDBG_EMULATED_GPU_BYTES");
    limit_bytes = limit ? strtoull(limit, NULL, 0) : REGION_BYTES;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    return true;
}

} // namespace

void tdbg_emulated_memory_open(bool open)
{
    static int depth;
    depth += open ? 1 : -1;
    if (depth == (open ? 1 : 0) && high_water > 0 &&
        mprotect(region, high_water, open ? PROT_READ | PROT_WRITE : PROT_NONE))
        abort();
}

std::recursive_mutex &tdbg_emulated_lock()
{
    static std::recursive_mutex lock;
    return lock;
}

int tdbg_emulated_device()
{
    return current_device;
}

bool tdbg_emulated_is_block(const void *data, size_t bytes)
{
    const size_t at = (size_t)((const char *)data - region);
    auto block = taken.upper_bound(at);
    if (!region || (const char *)data < region || block == taken.begin())
        return false;
    --block;
    return at + bytes <= block->first + block->second.bytes;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = device_count() > 0 ? device_count() : 0;
    return *n > 0               ? cudaSuccess
           : device_count() < 0 ? cudaErrorInsufficientDriver
                                : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int device)
{
    const guard only(tdbg_emulated_lock());
    if (device < 0 || device >= device_count())
        return cudaErrorInvalidDevice;
    current_device = device;
    return start() ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    memset(prop, 0, sizeof *prop);
    strcpy(prop->name, "emulated GPU");
    prop->uuid.bytes[0] = (char)(device + 1);
    const int capability = read_number("TDBG_EMULATED_GPU_CAPABILITY", 90);
    prop->major = capability / 10;
    prop->minor = capability % 10;
    prop->multiProcessorCount = 3;
    prop->sharedMemPerBlockOptin = (size_t)(capability == 90   ? 227
                                            : capability == 80 ? 163
                                                               : 99)
                                   << 10;
    prop->totalGlobalMem = limit_bytes;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = device_count() < 0 ? 11040 : 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorInvalidDeviceFunction:
        return "invalid device function";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    case cudaErrorUnknown:
        return "unknown error";
    default:
        return "invalid argument";
    }
}

cudaError_t cudaMalloc(void **device, size_t bytes)
{
    const guard only(tdbg_emulated_lock());
    *device = NULL;
    if (tdbg_emulated_breaks_captures_of_thread())
        return cudaErrorStreamCaptureUnsupported;
    if (!start())
        return cudaErrorMemoryAllocation;
    const size_t rounded = (bytes + GRAIN - 1) / GRAIN * GRAIN + GRAIN; /* and a page behind it */
    size_t at = 0;
    for (const auto &block : taken) {
        if (block.first - at >= rounded)
            break;
        at = block.first + block.second.rounded;
    }
    if (used_bytes > limit_bytes || rounded > limit_bytes - used_bytes ||
        at + rounded > REGION_BYTES)
        return cudaErrorMemoryAllocation;
    taken[at] = {bytes, rounded};
    used_bytes += rounded;
    tdbg_emulated_counts().allocated++;
    high_water = at + rounded > high_water ? at + rounded : high_water;
    *device = region + at;
    tdbg_emulated_memory_open(true);
    memset(*device, POISON, rounded);
    tdbg_emulated_memory_open(false);
    return cudaSuccess;
}

/* What is behind a block has to be as it was given out. */
static void check_behind(const unsigned char *device, taken_block block)
{
    tdbg_emulated_memory_open(true);
    for (size_t i = block.bytes; i < block.rounded; i++) {
        if (device[i] != POISON) {
            fprintf(stderr, "emulated GPU: byte %zu behind a block of %zu was written\n",
                    i - block.bytes, block.bytes);
            abort();
        }
    }
    tdbg_emulated_memory_open(false);
}

/* Pages behind the last block that is taken; opening and closing the region costs as much as there
 * are. */
static void give_back_end(void)
{
    const size_t end = taken.empty() ? 0 : taken.rbegin()->first + taken.rbegin()->second.rounded;
    if (end < high_water)
        madvise(region + end, high_water - end, MADV_DONTNEED);
    high_water = end;
}

cudaError_t cudaFree(void *device)
{
    if (!device)
        return cudaSuccess;
    if (tdbg_emulated_breaks_captures_of_thread())
        return cudaErrorStreamCaptureUnsupported;
    tdbg_emulated_wait_for_device(current_device);
    const guard only(tdbg_emulated_lock());
    const auto block = taken.find((size_t)((char *)device - region));
    if (block == taken.end())
        return cudaErrorInvalidValue;
    check_behind((const unsigned char *)device, block->second);
    used_bytes -= block->second.rounded;
    taken.erase(block);
    give_back_end();
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    const guard only(tdbg_emulated_lock());
    *available = limit_bytes - used_bytes;
    *total = limit_bytes;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **host, size_t bytes)
{
    *host = malloc(bytes ? bytes : 1);
    return *host ? cudaHostRegister(*host, bytes ? bytes : 1, cudaHostRegisterDefault)
                 : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *host)
{
    if (host)
        cudaHostUnregister(host);
    free(host);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *host, size_t bytes, unsigned)
{
    const guard only(tdbg_emulated_lock());
    if (tdbg_emulated_breaks_captures_of_thread())
        return cudaErrorStreamCaptureUnsupported;
    if (!host || bytes == 0 || pinned.count((const char *)host))
        return cudaErrorInvalidValue;
    pinned[(const char *)host] = bytes;
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *host)
{
    if (tdbg_emulated_breaks_captures_of_thread())
        return cudaErrorStreamCaptureUnsupported;
    tdbg_emulated_wait_for_device(current_device);
    const guard only(tdbg_emulated_lock());
    return pinned.erase((const char *)host) == 1 ? cudaSuccess : cudaErrorInvalidValue;
}

static bool is_pinned(const void *host, size_t bytes)
{
    const char *at = (const char *)host;
    auto block = pinned.upper_bound(at);
    return block != pinned.begin() && (--block, at + bytes <= block->first + block->second);
}

static bool on_device(const void *p)
{
    return region && (const char *)p >= region && (const char *)p < region + high_water;
}

static bool copy(void *to, const void *from, size_t bytes)
{
    memmove(to, from, bytes);
    return true;
}

tdbg_emulated_operation tdbg_emulated_copying(void *to, const void *from, size_t bytes)
{
    return [=]() { return copy(to, from, bytes); };
}

tdbg_emulated_operation tdbg_emulated_clearing(void *device, int value, size_t bytes)
{
    return [=]() {
        memset(device, value, bytes);
        return true;
    };
}

/* From a copy of what the host has now. */
static void put_staged(void *to, const void *from, size_t bytes, cudaStream_t stream)
{
    const auto staged =
        std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);
    tdbg_emulated_put(stream, [=]() { return copy(to, staged->data(), bytes); });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    bool waits;
    if (bytes == 0)
        return cudaSuccess;
    {
        const guard only(tdbg_emulated_lock());
        if (on_device(to) != to_device || on_device(from) != from_device)
            return cudaErrorInvalidValue;
        if (!tdbg_emulated_stream_is_here(stream))
            return cudaErrorInvalidResourceHandle;
        waits = !to_device && !is_pinned(to, bytes);
        if ((waits || (!from_device && !is_pinned(from, bytes))) &&
            tdbg_emulated_breaks_capture(stream))
            return cudaErrorStreamCaptureUnsupported;
        if (!from_device && !is_pinned(from, bytes))
            put_staged(to, from, bytes, stream);
        else
            tdbg_emulated_put(stream, tdbg_emulated_copying(to, from, bytes),
                              kind == cudaMemcpyDeviceToDevice);
    }
    return waits ? cudaStreamSynchronize(stream) : cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *device, int value, size_t bytes, cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    if (bytes > 0 && !on_device(device))
        return cudaErrorInvalidValue;
    if (!tdbg_emulated_stream_is_here(stream))
        return cudaErrorInvalidResourceHandle;
    tdbg_emulated_put(stream, tdbg_emulated_clearing(device, value, bytes), true);
    return cudaSuccess;
}
