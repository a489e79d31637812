/* Libraries that stand in for those of CUDA. Each is a list of functions by name. */
#ifndef TDBG_TESTS_GPU_EMULATION_LIBRARIES_H
#define TDBG_TESTS_GPU_EMULATION_LIBRARIES_H

struct tdbg_emulated_function {
    const char *name; /* NULL: the end of the list */
    void *function;
};
#define TDBG_EMULATED_FUNCTION(function)                                                           \
    {                                                                                              \
#function, (void *)(function)                                                              \
    }

extern const struct tdbg_emulated_function tdbg_emulated_cublas[], tdbg_emulated_cublas_lt[],
    tdbg_emulated_nccl[];

#endif
