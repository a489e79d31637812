/* One list of work as a CUDA graph, for gpu_launch.c alone.
 *
 * Kernels, copies and clears become nodes by the calls that make them, so that each has its handle,
 * whose arguments can be changed later; what a library's call puts on the stream is captured and
 * becomes a child of one node. Each node is behind the one before it. */
#ifndef TDBG_KERNELS_GPU_GRAPH_H
#define TDBG_KERNELS_GPU_GRAPH_H

#include "kernels/gpu_log.h"

struct tdbg_gpu_graph {
    cudaGraph_t graph;    /* stays, because nodes are named by it */
    cudaGraphExec_t exec; /* NULL: there is none */
    cudaGraphNode_t node[TDBG_GPU_LOG_ENTRIES];
};

/* What failed of CUDA. */
struct tdbg_gpu_graph_fault {
    const char *call;
    cudaError_t error;
};

/* All return false where something failed, and say in *fault what; nothing is noted or put on the
 * stream then, and a graph that could not be created has to be destroyed all the same. stream: what
 * libraries are captured on. */
bool tdbg_gpu_graph_create(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log,
                           cudaStream_t stream, struct tdbg_gpu_graph *graph,
                           struct tdbg_gpu_graph_fault *fault);
void tdbg_gpu_graph_destroy(struct tdbg_gpu_graph *graph); /* {0} is fine */

/* Arguments of entry i of a list of the same shape, from the next launch on. Not of a call. */
bool tdbg_gpu_graph_change(struct tdbg_gpu_graph *graph, const struct tdbg_gpu_log *log, int i,
                           struct tdbg_gpu_graph_fault *fault);
bool tdbg_gpu_graph_send(struct tdbg_gpu_graph *graph, cudaStream_t stream,
                         struct tdbg_gpu_graph_fault *fault);

#endif
