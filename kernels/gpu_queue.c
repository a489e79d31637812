/* See gpu_queue.h. */
#include "kernels/gpu_queue.h"

#include <stdbool.h>
#include <stdlib.h>

#include "kernels/gpu.h"

enum {
    FLIGHTS = 8, /* in the air */
    PIECES = 64, /* of a flight */
    ALIGN = 256,
    LEAST_BYTES = 8 << 20, /* a smaller staging buffer is none */
};

struct piece {
    void *host;
    const void *staged;
    size_t bytes;
};

struct flight {
    cudaEvent_t staged, landed;
    uint64_t staging_end; /* of what it has used */
};

struct tdbg_gpu_queue {
    cudaStream_t stream;
    char *staging;
    uint64_t n_bytes, put, freed; /* of staging: offsets only grow, place = offset % n_bytes */
    struct piece pieces[PIECES];  /* of the flight that waits for company */
    int n_pieces;
    struct flight flights[FLIGHTS]; /* number n is at n % FLIGHTS */
    uint64_t first, next; /* numbers: the oldest in the air, and that of the flight to start next */
};

void tdbg_gpu_set_queue_bytes(struct tdbg_gpu *gpu, size_t bytes)
{
    if (!gpu->queue)
        gpu->queue_bytes = bytes;
}

void tdbg_gpu_close_queue(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_queue *q = gpu->queue;
    if (!q)
        return;
    if (q->stream) {
        cudaStreamSynchronize(q->stream);
        cudaStreamDestroy(q->stream);
    }
    for (int i = 0; i < FLIGHTS; i++) {
        if (q->flights[i].staged)
            cudaEventDestroy(q->flights[i].staged);
        if (q->flights[i].landed)
            cudaEventDestroy(q->flights[i].landed);
    }
    tdbg_gpu_free(gpu, q->staging);
    free(q);
    gpu->queue = NULL;
}

/* As much as is wanted and there is. */
static bool take_staging(struct tdbg_gpu_queue *q, size_t want)
{
    for (size_t bytes = want / ALIGN * ALIGN; bytes >= LEAST_BYTES;
         bytes = bytes / 2 / ALIGN * ALIGN) {
        void *staging = NULL;
        if (cudaMalloc(&staging, bytes) == cudaSuccess) {
            q->staging = staging;
            q->n_bytes = bytes;
            return true;
        }
        cudaGetLastError(); /* or the next launch tells it */
    }
    return false;
}

static bool make_flights(struct tdbg_gpu_queue *q)
{
    if (cudaStreamCreate(&q->stream) != cudaSuccess)
        return false;
    for (int i = 0; i < FLIGHTS; i++) {
        if (cudaEventCreateWithFlags(&q->flights[i].staged, cudaEventDisableTiming) !=
                cudaSuccess ||
            cudaEventCreateWithFlags(&q->flights[i].landed, cudaEventDisableTiming) != cudaSuccess)
            return false;
    }
    return true;
}

/* NULL: copies are to be waited for. */
static struct tdbg_gpu_queue *get_queue(struct tdbg_gpu *gpu)
{
    if (gpu->queue || gpu->queue_bytes == 0)
        return gpu->queue;
    struct tdbg_gpu_queue *q = calloc(1, sizeof *q);
    gpu->queue = q;
    if (q)
        q->first = q->next = 1;
    if (!q || !make_flights(q) || !take_staging(q, gpu->queue_bytes)) {
        cudaGetLastError();
        tdbg_gpu_close_queue(gpu);
        gpu->queue_bytes = 0; /* not tried again */
    }
    return gpu->queue;
}

/* The oldest flight is complete, or so it is told: what failed is noted. */
static void land(struct tdbg_gpu_queue *q)
{
    q->freed = q->flights[q->first % FLIGHTS].staging_end;
    q->first++;
}

static void wait_for_oldest(struct tdbg_gpu *gpu, struct tdbg_gpu_queue *q)
{
    tdbg_gpu_note(gpu, cudaEventSynchronize(q->flights[q->first % FLIGHTS].landed),
                  "a copy to the queue");
    land(q);
}

static void fly(struct tdbg_gpu *gpu, struct tdbg_gpu_queue *q)
{
    if (!q || q->n_pieces == 0)
        return;
    if (q->next - q->first == FLIGHTS)
        wait_for_oldest(gpu, q);
    struct flight *flight = &q->flights[q->next++ % FLIGHTS];
    tdbg_gpu_note(gpu, cudaEventRecord(flight->staged, tdbg_gpu_stream(gpu)), "cudaEventRecord");
    tdbg_gpu_note(gpu, cudaStreamWaitEvent(q->stream, flight->staged, 0), "cudaStreamWaitEvent");
    for (int i = 0; i < q->n_pieces; i++)
        tdbg_gpu_note(gpu,
                      cudaMemcpyAsync(q->pieces[i].host, q->pieces[i].staged, q->pieces[i].bytes,
                                      cudaMemcpyDeviceToHost, q->stream),
                      "a copy to the queue");
    tdbg_gpu_note(gpu, cudaEventRecord(flight->landed, q->stream), "cudaEventRecord");
    flight->staging_end = q->put;
    q->n_pieces = 0;
}

void tdbg_gpu_fly_queue(struct tdbg_gpu *gpu)
{
    fly(gpu, gpu->queue);
}

/* Room in one piece, as soon as there is. */
static void *stage(struct tdbg_gpu *gpu, struct tdbg_gpu_queue *q, size_t bytes)
{
    const uint64_t n = (bytes + ALIGN - 1) / ALIGN * ALIGN,
                   to_end = q->n_bytes - q->put % q->n_bytes;
    const uint64_t skip = to_end < n ? to_end : 0;
    while (q->put + skip + n - q->freed > q->n_bytes) {
        fly(gpu, q);
        wait_for_oldest(gpu, q);
    }
    void *place = q->staging + (q->put + skip) % q->n_bytes;
    q->put += skip + n;
    return place;
}

enum tdbg_status tdbg_cuda_to_queue(void *context, void *host, const void *device, size_t bytes,
                                    uint64_t *ticket, struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = context;
    tdbg_gpu_use(gpu);
    struct tdbg_gpu_queue *q = get_queue(gpu);
    *ticket = 0;
    if (!q || bytes > q->n_bytes / 2) {
        tdbg_gpu_fetch_between(gpu, host, device, bytes);
        return tdbg_gpu_report(gpu, err);
    }
    void *staged = stage(gpu, q, bytes);
    tdbg_gpu_copy_between(gpu, staged, device, bytes);
    q->pieces[q->n_pieces++] = (struct piece){host, staged, bytes};
    *ticket = q->next;
    if (q->n_pieces == PIECES)
        fly(gpu, q);
    return tdbg_gpu_report(gpu, err);
}

enum tdbg_status tdbg_cuda_queue_reached(void *context, uint64_t wait_for, uint64_t *reached,
                                         struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = context;
    struct tdbg_gpu_queue *q = gpu->queue;
    *reached = wait_for;
    if (q) {
        tdbg_gpu_use(gpu);
        if (wait_for >= q->next)
            fly(gpu, q);
        while (q->first < q->next) {
            const cudaError_t state = cudaEventQuery(q->flights[q->first % FLIGHTS].landed);
            if (state == cudaErrorNotReady && q->first > wait_for)
                break;
            wait_for_oldest(gpu, q);
        }
        *reached = q->first - 1;
    }
    return tdbg_gpu_report(gpu, err);
}
