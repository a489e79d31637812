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

void tdbg_emulated_put(cudaStream_t stream, tdbg_emulated_operation operation);

/* Waits until all that was put on the streams of a device is done. */
void tdbg_emulated_wait_for_device(int device);

#endif
