/* See gpu_graph.h. What is called here is in CUDA 12 and 13 alike. */
#include "kernels/gpu_graph.h"

#include <string.h>

/* The calls' results, in the order in which they are tried. */
static bool is_fine(cudaError_t error, const char *call, struct tdbg_gpu_graph_fault *fault)
{
    if (error == cudaSuccess)
        return true;
    cudaGetLastError(); /* is not to come up as another call's */
    *fault = (struct tdbg_gpu_graph_fault){call, error};
    return false;
}

static void *pointer(const void *argument)
{
    void *p;
    memcpy(&p, argument, sizeof p);
    return p;
}

/* The arguments of a kernel stay where they are: they are read by the call that these are for. */
static struct cudaKernelNodeParams kernel_of(const struct tdbg_gpu_shape *s, const void **args)
{
    struct cudaKernelNodeParams p;
    memset(&p, 0, sizeof p);
    p.func = (void *)(uintptr_t)s->function;
    p.gridDim.x = s->grid[0];
    p.gridDim.y = s->grid[1];
    p.gridDim.z = s->grid[2];
    p.blockDim.x = s->block[0];
    p.blockDim.y = s->block[1];
    p.blockDim.z = s->block[2];
    p.sharedMemBytes = (unsigned)s->bytes;
    p.kernelParams = (void **)(uintptr_t)args;
    return p;
}

static struct cudaMemsetParams clear_of(const struct tdbg_gpu_shape *s, const void **args)
{
    struct cudaMemsetParams p;
    memset(&p, 0, sizeof p);
    p.dst = pointer(args[0]);
    p.elementSize = 1;
    p.width = s->bytes;
    p.height = 1;
    return p;
}

/* What a call puts on the stream. Only this thread is kept from what a capture forbids, and the
 * call itself: other ranks may be threads of this process. */
static bool capture(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log, int i,
                    cudaStream_t stream, cudaGraph_t *out, struct tdbg_gpu_graph_fault *fault)
{
    if (!is_fine(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                 "cudaStreamBeginCapture", fault))
        return false;
    const cudaError_t called = tdbg_gpu_log_put(gpu, log, i, stream);
    const bool ended =
        is_fine(cudaStreamEndCapture(stream, out), "cudaStreamEndCapture", fault) && *out;
    return ended && is_fine(called, log->entry[i].name, fault);
}

static bool add_call(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log, int i,
                     cudaStream_t stream, struct tdbg_gpu_graph *g,
                     struct tdbg_gpu_graph_fault *fault)
{
    cudaGraph_t child = NULL;
    const bool done =
        capture(gpu, log, i, stream, &child, fault) &&
        is_fine(cudaGraphAddChildGraphNode(&g->node[i], g->graph, i > 0 ? &g->node[i - 1] : NULL,
                                           i > 0, child),
                "cudaGraphAddChildGraphNode", fault);
    if (child)
        cudaGraphDestroy(child);
    return done;
}

static bool add_node(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log, int i,
                     cudaStream_t stream, struct tdbg_gpu_graph *g,
                     struct tdbg_gpu_graph_fault *fault)
{
    const struct tdbg_gpu_shape *s = &log->shape[i];
    const cudaGraphNode_t *before = i > 0 ? &g->node[i - 1] : NULL;
    const size_t n_before = i > 0;
    const void *args[TDBG_GPU_ARGUMENTS];
    tdbg_gpu_log_args(log, i, args);
    switch ((enum tdbg_gpu_work)s->work) {
    case TDBG_GPU_KERNEL: {
        const struct cudaKernelNodeParams p = kernel_of(s, args);
        return is_fine(cudaGraphAddKernelNode(&g->node[i], g->graph, before, n_before, &p),
                       "cudaGraphAddKernelNode", fault);
    }
    case TDBG_GPU_COPY:
        return is_fine(cudaGraphAddMemcpyNode1D(&g->node[i], g->graph, before, n_before,
                                                pointer(args[0]), pointer(args[1]), s->bytes,
                                                cudaMemcpyDeviceToDevice),
                       "cudaGraphAddMemcpyNode1D", fault);
    case TDBG_GPU_CLEAR: {
        const struct cudaMemsetParams p = clear_of(s, args);
        return is_fine(cudaGraphAddMemsetNode(&g->node[i], g->graph, before, n_before, &p),
                       "cudaGraphAddMemsetNode", fault);
    }
    case TDBG_GPU_CALL:
        return add_call(gpu, log, i, stream, g, fault);
    }
    TDBG_BUG("no such work");
}

bool tdbg_gpu_graph_create(struct tdbg_gpu *gpu, const struct tdbg_gpu_log *log,
                           cudaStream_t stream, struct tdbg_gpu_graph *g,
                           struct tdbg_gpu_graph_fault *fault)
{
    memset(g, 0, sizeof *g);
    if (!is_fine(cudaGraphCreate(&g->graph, 0), "cudaGraphCreate", fault))
        return false;
    for (int i = 0; i < log->n; i++) {
        if (!add_node(gpu, log, i, stream, g, fault))
            return false;
    }
    return is_fine(cudaGraphInstantiate(&g->exec, g->graph, 0), "cudaGraphInstantiate", fault);
}

void tdbg_gpu_graph_destroy(struct tdbg_gpu_graph *g)
{
    if (g->exec)
        cudaGraphExecDestroy(g->exec); /* one that runs goes on to its end */
    if (g->graph)
        cudaGraphDestroy(g->graph);
    memset(g, 0, sizeof *g);
}

bool tdbg_gpu_graph_change(struct tdbg_gpu_graph *g, const struct tdbg_gpu_log *log, int i,
                           struct tdbg_gpu_graph_fault *fault)
{
    const struct tdbg_gpu_shape *s = &log->shape[i];
    const void *args[TDBG_GPU_ARGUMENTS];
    tdbg_gpu_log_args(log, i, args);
    switch ((enum tdbg_gpu_work)s->work) {
    case TDBG_GPU_KERNEL: {
        const struct cudaKernelNodeParams p = kernel_of(s, args);
        return is_fine(cudaGraphExecKernelNodeSetParams(g->exec, g->node[i], &p),
                       "cudaGraphExecKernelNodeSetParams", fault);
    }
    case TDBG_GPU_COPY:
        return is_fine(cudaGraphExecMemcpyNodeSetParams1D(g->exec, g->node[i], pointer(args[0]),
                                                          pointer(args[1]), s->bytes,
                                                          cudaMemcpyDeviceToDevice),
                       "cudaGraphExecMemcpyNodeSetParams1D", fault);
    case TDBG_GPU_CLEAR: {
        const struct cudaMemsetParams p = clear_of(s, args);
        return is_fine(cudaGraphExecMemsetNodeSetParams(g->exec, g->node[i], &p),
                       "cudaGraphExecMemsetNodeSetParams", fault);
    }
    case TDBG_GPU_CALL:
        break;
    }
    TDBG_BUG("the key of a call is part of its shape");
}

bool tdbg_gpu_graph_send(struct tdbg_gpu_graph *g, cudaStream_t stream,
                         struct tdbg_gpu_graph_fault *fault)
{
    return is_fine(cudaGraphLaunch(g->exec, stream), "cudaGraphLaunch", fault);
}
