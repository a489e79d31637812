/* Memory of the emulated GPUs: closed to the host but for the time of a kernel or a copy. One
 * thread at a time is in the emulation. */
#ifndef TDBG_TESTS_GPU_EMULATION_DEVICE_MEMORY_H
#define TDBG_TESTS_GPU_EMULATION_DEVICE_MEMORY_H

#include <stddef.h>

#include <mutex>

/* May be nested. */
void tdbg_emulated_memory_open(bool open);
std::recursive_mutex &tdbg_emulated_lock();

int tdbg_emulated_device(); /* the calling thread's */

/* Do all these bytes belong to one block that was given out? */
bool tdbg_emulated_is_block(const void *data, size_t bytes);

#endif
