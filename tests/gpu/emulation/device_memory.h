/* Memory of the emulated GPU: closed to the host but for the time of a kernel or a copy. */
#ifndef TDBG_TESTS_GPU_EMULATION_DEVICE_MEMORY_H
#define TDBG_TESTS_GPU_EMULATION_DEVICE_MEMORY_H

void tdbg_emulated_memory_open(bool open);

#endif
