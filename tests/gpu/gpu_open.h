/* The two backends of a test of the GPU, side by side. */
#ifndef TDBG_TESTS_GPU_GPU_OPEN_H
#define TDBG_TESTS_GPU_GPU_OPEN_H

#include <stdio.h>
#include <stdlib.h>

#include "engine/backend.h"

/* Ends the program where no GPU can be had: 77, which the test runner counts as skipped. */
static inline void gpu_open_both(struct tdbg_backend **cpu, struct tdbg_backend **gpu)
{
    struct tdbg_err err = {0};
    if (tdbg_backend_cuda_create(0, gpu, &err) != TDBG_OK) {
        printf("skipped: no GPU (%s)\n", err.message);
        exit(77);
    }
    if (tdbg_backend_cpu_create("auto", 1, cpu, &err) != TDBG_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
}

#endif
