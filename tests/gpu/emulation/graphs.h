/* CUDA graphs of the emulated GPUs, for the other files of the emulation. See graphs.cc. */
#ifndef TDBG_TESTS_GPU_EMULATION_GRAPHS_H
#define TDBG_TESTS_GPU_EMULATION_GRAPHS_H

#include <stdint.h>

#include "streams.h"

/* Is this call to fail? TDBG_EMULATED_GRAPH_FAILS: "NAME:N", the N-th call of that name, from 1,
 * since the variable has this value; "NAME:N+", and all behind it. */
bool tdbg_emulated_fails(const char *call);

/* A node at the end of what a stream captures. */
void tdbg_emulated_append(cudaGraph_t graph, tdbg_emulated_operation operation);

/* Operations of kernels, copies and clears, with what they are given now. false: no kernel. */
bool tdbg_emulated_make_launch(const void *function, dim3 grid, dim3 block, void *const *args,
                               size_t dynamic_bytes, tdbg_emulated_operation *out);
tdbg_emulated_operation tdbg_emulated_copying(void *to, const void *from, size_t bytes);
tdbg_emulated_operation tdbg_emulated_clearing(void *device, int value, size_t bytes);

/* 0 .. n - 1, from the seed of the emulation. */
uint32_t tdbg_emulated_random(uint32_t n);

#endif
