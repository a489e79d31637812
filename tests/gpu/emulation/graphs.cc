/* CUDA graphs of the emulated GPUs. A node has the arguments that it was given; an executable graph
 * copies all of them, and a launch those that it has then. Nodes of a launch run in an order drawn
 * at random of those that their edges leave, one after the other on the stream and as late as all
 * that is put there: a missing edge shows.
 *
 * What CUDA refuses, or may refuse, is refused: nodes of another graph than the executable's, or of
 * another kind; a function that is not known; nothing to copy or clear; a copy to or from the host
 * where the node's was on the device; and a clear of another size.
 *
 * TDBG_EMULATED_GRAPH_FAILS makes calls fail (graphs.h). TDBG_EMULATED_GRAPHS: "stale": new
 * arguments are taken, and not used; "backwards": nodes run in the wrong order. */
#include "graphs.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device_memory.h"

namespace
{

typedef std::lock_guard<std::recursive_mutex> guard;

enum kind { KERNEL, COPY, CLEAR, CHILD, CAPTURED };

/* Nodes in an order that their edges allow, as operations; after: places of those before it. */
struct step {
    tdbg_emulated_operation run;
    std::vector<size_t> after;
};
typedef std::vector<step> steps;

bool is_set(const char *variable, const char *value)
{
    const char *text = getenv(variable);
    return text && strcmp(text, value) == 0;
}

} // namespace

struct tdbg_emulated_graph_node {
    enum kind kind;
    tdbg_emulated_operation run;
    std::vector<size_t> after; /* places in the graph of those before it */
    size_t bytes;              /* of a clear */
    steps child;
};

struct tdbg_emulated_graph {
    int device;
    std::vector<std::unique_ptr<tdbg_emulated_graph_node>> nodes;
};

struct tdbg_emulated_graph_exec {
    int device;
    std::vector<cudaGraphNode_t> nodes; /* of the graph, by place */
    std::vector<tdbg_emulated_graph_node> copies;
};

bool tdbg_emulated_fails(const char *call)
{
    static std::map<std::string, int> calls;
    static std::string said;
    const char *text = getenv("TDBG_EMULATED_GRAPH_FAILS");
    const size_t length = strlen(call);
    if (said != (text ? text : "")) {
        said = text ? text : "";
        calls.clear();
    }
    const int number = ++calls[call];
    if (!text || strncmp(text, call, length) != 0 || text[length] != ':')
        return false;
    char *end;
    const long at = strtol(text + length + 1, &end, 10);
    return *end == '+' ? number >= at : number == at;
}

static cudaError_t add(cudaGraphNode_t *out, cudaGraph_t graph, const cudaGraphNode_t *after,
                       size_t n_after, tdbg_emulated_graph_node node)
{
    for (size_t i = 0; i < n_after; i++) {
        size_t at = 0;
        while (at < graph->nodes.size() && graph->nodes[at].get() != after[i])
            at++;
        if (at == graph->nodes.size())
            return cudaErrorInvalidValue;
        node.after.push_back(at);
    }
    graph->nodes.emplace_back(new tdbg_emulated_graph_node(std::move(node)));
    *out = graph->nodes.back().get();
    return cudaSuccess;
}

void tdbg_emulated_append(cudaGraph_t graph, tdbg_emulated_operation operation)
{
    cudaGraphNode_t last = graph->nodes.empty() ? NULL : graph->nodes.back().get(), node;
    add(&node, graph, &last, last ? 1 : 0, {CAPTURED, std::move(operation), {}, 0, {}});
}

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned flags)
{
    const guard only(tdbg_emulated_lock());
    if (flags != 0)
        return cudaErrorInvalidValue;
    if (tdbg_emulated_fails("cudaGraphCreate"))
        return cudaErrorMemoryAllocation;
    *graph = new tdbg_emulated_graph{tdbg_emulated_device(), {}};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    const guard only(tdbg_emulated_lock());
    delete graph;
    return cudaSuccess;
}

/* What a node does with these arguments; what cannot be is an error. */
static cudaError_t make_kernel(const struct cudaKernelNodeParams *p, tdbg_emulated_operation *out)
{
    if (p->extra || !p->kernelParams)
        return cudaErrorInvalidValue;
    return tdbg_emulated_make_launch(p->func, p->gridDim, p->blockDim, p->kernelParams,
                                     p->sharedMemBytes, out)
               ? cudaSuccess
               : cudaErrorInvalidDeviceFunction;
}

static cudaError_t make_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                             tdbg_emulated_operation *out)
{
    if (bytes == 0 || kind != cudaMemcpyDeviceToDevice || !tdbg_emulated_is_block(to, bytes) ||
        !tdbg_emulated_is_block(from, bytes))
        return cudaErrorInvalidValue;
    *out = tdbg_emulated_copying(to, from, bytes);
    return cudaSuccess;
}

static cudaError_t make_clear(const struct cudaMemsetParams *p, tdbg_emulated_operation *out)
{
    if (p->elementSize != 1 || p->height != 1 || p->width == 0 || p->value > 255 ||
        !tdbg_emulated_is_block(p->dst, p->width))
        return cudaErrorInvalidValue;
    *out = tdbg_emulated_clearing(p->dst, (int)p->value, p->width);
    return cudaSuccess;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *node, cudaGraph_t graph,
                                   const cudaGraphNode_t *after, size_t n_after,
                                   const struct cudaKernelNodeParams *params)
{
    const guard only(tdbg_emulated_lock());
    tdbg_emulated_operation run;
    if (tdbg_emulated_fails("cudaGraphAddKernelNode"))
        return cudaErrorUnknown;
    const cudaError_t error = make_kernel(params, &run);
    return error != cudaSuccess ? error
                                : add(node, graph, after, n_after, {KERNEL, run, {}, 0, {}});
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *node, cudaGraph_t graph,
                                     const cudaGraphNode_t *after, size_t n_after, void *to,
                                     const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    const guard only(tdbg_emulated_lock());
    tdbg_emulated_operation run;
    if (tdbg_emulated_fails("cudaGraphAddMemcpyNode1D"))
        return cudaErrorUnknown;
    const cudaError_t error = make_copy(to, from, bytes, kind, &run);
    return error != cudaSuccess ? error : add(node, graph, after, n_after, {COPY, run, {}, 0, {}});
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *node, cudaGraph_t graph,
                                   const cudaGraphNode_t *after, size_t n_after,
                                   const struct cudaMemsetParams *params)
{
    const guard only(tdbg_emulated_lock());
    tdbg_emulated_operation run;
    if (tdbg_emulated_fails("cudaGraphAddMemsetNode"))
        return cudaErrorUnknown;
    const cudaError_t error = make_clear(params, &run);
    return error != cudaSuccess
               ? error
               : add(node, graph, after, n_after, {CLEAR, run, {}, params->width, {}});
}

/* Nodes as they are given; those of a child are in the place of one, all of them behind what it is
 * behind. */
static steps steps_of(const std::vector<tdbg_emulated_graph_node> &nodes)
{
    std::vector<size_t> place; /* of a node: its step, or the one behind its child's */
    steps all;
    for (const tdbg_emulated_graph_node &node : nodes) {
        step own = {node.run, {}};
        for (size_t before : node.after)
            own.after.push_back(place[before]);
        const size_t first = all.size();
        for (const step &inner : node.child) {
            step copy = {inner.run, own.after};
            for (size_t before : inner.after)
                copy.after.push_back(first + before);
            all.push_back(copy);
        }
        if (node.kind == CHILD) {
            own.run = []() { return true; };
            for (size_t i = first; i < first + node.child.size(); i++)
                own.after.push_back(i);
        }
        place.push_back(all.size());
        all.push_back(own);
    }
    return all;
}

static std::vector<tdbg_emulated_graph_node> copies_of(cudaGraph_t graph)
{
    std::vector<tdbg_emulated_graph_node> copies;
    for (const auto &node : graph->nodes)
        copies.push_back(*node);
    return copies;
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t *node, cudaGraph_t graph,
                                       const cudaGraphNode_t *after, size_t n_after,
                                       cudaGraph_t child)
{
    const guard only(tdbg_emulated_lock());
    if (tdbg_emulated_fails("cudaGraphAddChildGraphNode"))
        return cudaErrorUnknown;
    if (!child || child == graph)
        return cudaErrorInvalidValue;
    return add(node, graph, after, n_after, {CHILD, {}, {}, 0, steps_of(copies_of(child))});
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    const guard only(tdbg_emulated_lock());
    if (tdbg_emulated_fails("cudaGraphInstantiate"))
        return cudaErrorMemoryAllocation;
    if (!graph || flags != 0)
        return cudaErrorInvalidValue;
    *exec = new tdbg_emulated_graph_exec{graph->device, {}, copies_of(graph)};
    for (const auto &node : graph->nodes)
        (*exec)->nodes.push_back(node.get());
    tdbg_emulated_counts().built++;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    const guard only(tdbg_emulated_lock());
    delete exec;
    return cudaSuccess;
}

/* The executable's copy of a node, to which `run` is given; NULL: it has none of that kind. */
static tdbg_emulated_graph_node *find(cudaGraphExec_t exec, cudaGraphNode_t node, enum kind kind)
{
    for (size_t i = 0; i < exec->nodes.size(); i++) {
        if (exec->nodes[i] == node)
            return exec->copies[i].kind == kind ? &exec->copies[i] : NULL;
    }
    return NULL;
}

static cudaError_t change(tdbg_emulated_graph_node *node, cudaError_t error,
                          const tdbg_emulated_operation &run)
{
    if (!node)
        return cudaErrorInvalidValue;
    if (error == cudaSuccess && !is_set("TDBG_EMULATED_GRAPHS", "stale"))
        node->run = run;
    tdbg_emulated_counts().changed += error == cudaSuccess;
    return error;
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const struct cudaKernelNodeParams *params)
{
    const guard only(tdbg_emulated_lock());
    tdbg_emulated_operation run;
    if (tdbg_emulated_fails("cudaGraphExecKernelNodeSetParams") ||
        exec->device != tdbg_emulated_device())
        return cudaErrorInvalidValue;
    const cudaError_t error = make_kernel(params, &run);
    return change(find(exec, node, KERNEL), error, run);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *to,
                                               const void *from, size_t bytes,
                                               enum cudaMemcpyKind kind)
{
    const guard only(tdbg_emulated_lock());
    tdbg_emulated_operation run;
    if (tdbg_emulated_fails("cudaGraphExecMemcpyNodeSetParams1D"))
        return cudaErrorInvalidValue;
    const cudaError_t error = make_copy(to, from, bytes, kind, &run);
    return change(find(exec, node, COPY), error, run);
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const struct cudaMemsetParams *params)
{
    const guard only(tdbg_emulated_lock());
    tdbg_emulated_operation run;
    tdbg_emulated_graph_node *of = find(exec, node, CLEAR);
    if (tdbg_emulated_fails("cudaGraphExecMemsetNodeSetParams") ||
        (of && of->bytes != params->width))
        return cudaErrorInvalidValue;
    const cudaError_t error = make_clear(params, &run);
    return change(of, error, run);
}

/* An order that the edges allow, drawn step by step among those that wait for nothing. */
static std::vector<size_t> draw_order(const steps &all)
{
    std::vector<size_t> waits_for(all.size()), ready, order;
    std::vector<std::vector<size_t>> behind(all.size());
    for (size_t i = 0; i < all.size(); i++) {
        waits_for[i] = all[i].after.size();
        for (size_t before : all[i].after)
            behind[before].push_back(i);
        if (waits_for[i] == 0)
            ready.push_back(i);
    }
    while (!ready.empty()) {
        const size_t at = ready.size() > 1 ? tdbg_emulated_random((unsigned)ready.size()) : 0;
        const size_t next = ready[at];
        ready.erase(ready.begin() + (ptrdiff_t)at);
        order.push_back(next);
        for (size_t i : behind[next]) {
            if (--waits_for[i] == 0)
                ready.push_back(i);
        }
    }
    return order;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    if (tdbg_emulated_fails("cudaGraphLaunch"))
        return cudaErrorUnknown;
    if (tdbg_emulated_breaks_capture(stream))
        return cudaErrorStreamCaptureUnsupported;
    if (!tdbg_emulated_stream_is_here(stream) || exec->device != tdbg_emulated_device())
        return cudaErrorInvalidResourceHandle;
    const steps all = steps_of(exec->copies);
    std::vector<size_t> order = draw_order(all);
    if (is_set("TDBG_EMULATED_GRAPHS", "backwards"))
        std::reverse(order.begin(), order.end());
    for (size_t i : order)
        tdbg_emulated_put(stream, all[i].run);
    tdbg_emulated_counts().graphs++;
    tdbg_emulated_counts().in_graphs += (long long)exec->copies.size();
    return cudaSuccess;
}
