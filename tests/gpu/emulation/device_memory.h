/* Memory of the emulated GPUs: closed to the host but for the time of a kernel or a copy. One
 * thread at a time is in the emulation. */
#ifndef TDBG_TESTS_GPU_EMULATION_DEVICE_MEMORY_H
#define TDBG_TESTS_GPU_EMULATION_DEVICE_MEMORY_H

#include <mutex>

void tdbg_emulated_memory_open(bool open);
std::recursive_mutex &tdbg_emulated_lock();

/* Does a stream belong to the calling thread's device? */
struct tdbg_emulated_stream;
bool tdbg_emulated_stream_is_here(const struct tdbg_emulated_stream *stream);

#endif
