/* Streams of the emulated GPUs: what is put on one is done in that order, and as late as CUDA lets
 * it be: when the host waits for it, or another stream that is waited for does. So what was put on
 * two streams in no order shows. One thread at a time is in the emulation (device_memory.h). */
#ifndef TDBG_TESTS_GPU_EMULATION_STREAMS_H
#define TDBG_TESTS_GPU_EMULATION_STREAMS_H

#include <functional>

#include "cuda_runtime_api.h"

/* Called when it is its turn, with the device's memory open: true where it has done, false where
 * it waits for something, and is to be called again. */
typedef std::function<bool()> tdbg_emulated_operation;

/* Does a stream belong to the calling thread's device? */
bool tdbg_emulated_stream_is_here(cudaStream_t stream);

/* A stream that captures makes it a node of its graph instead. is_work: it is what a graph of tdbg
 * can hold, and counts (below). */
void tdbg_emulated_put(cudaStream_t stream, tdbg_emulated_operation operation,
                       bool is_work = false);

/* Captures: what cannot be done to a stream that does ends it, and so do calls of a thread that are
 * unsafe meanwhile, such as those for memory. Both return true then. */
bool tdbg_emulated_breaks_capture(cudaStream_t stream);
bool tdbg_emulated_breaks_captures_of_thread();

/* What was put on streams (kernels, copies on the device, clears and products), alone and as nodes
 * of graphs; graphs that were sent off, and made; arguments that were changed in them; blocks of
 * memory that were given out. TDBG_EMULATED_GPU_COUNTS: a file to which they are added as a line of
 * JSON when the program ends. */
struct tdbg_emulated_counts {
    long long alone, in_graphs, graphs, built, changed, allocated;
};
struct tdbg_emulated_counts &tdbg_emulated_counts();

/* Waits until all that was put on the streams of a device is done. */
void tdbg_emulated_wait_for_device(int device);

#endif
