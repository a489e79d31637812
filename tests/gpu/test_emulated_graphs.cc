/* CUDA graphs of the emulated GPU: what is captured does not run, a launch runs what its graph was
 * told by then, and what CUDA refuses is refused. Each in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <thread>

#include "emulated_graphs.h"

static int first_of(const int *x)
{
    int host[N];
    REQUIRE(cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, tdbg_gpu_stream(&gpu)) ==
            cudaSuccess);
    return host[0];
}

static cudaKernelNodeParams node_of(const void *kernel, void **args)
{
    /* not by name: gridDim is a kernel's own word */
    return {(void *)(uintptr_t)kernel, dim3(1), dim3(N), 0, args, NULL};
}

static cudaMemsetParams clear_of(void *data, size_t bytes)
{
    cudaMemsetParams p = {};
    p.dst = data;
    p.elementSize = 1;
    p.width = bytes;
    p.height = 1;
    return p;
}

static void know_kernels()
{
    TDBG_GPU_KNOW_KERNEL(fill, "fill");
    TDBG_GPU_KNOW_KERNEL(add, "add");
    TDBG_GPU_KNOW_KERNEL(twice, "twice");
}

static void capture_does_not_run()
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    int *x = ints();
    cudaStream_t s = tdbg_gpu_stream(&gpu);
    tdbg_gpu_allow_graphs(&gpu, false);
    TDBG_LAUNCH(&gpu, fill, 1, N, x, 1);
    REQUIRE(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    TDBG_LAUNCH(&gpu, twice, 1, N, x);
    TDBG_LAUNCH(&gpu, add, 1, N, x, 5, x);
    REQUIRE(cudaStreamEndCapture(s, &graph) == cudaSuccess);
    REQUIRE(first_of(x) == 1);
    REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess); /* the executable one has copies */
    REQUIRE(cudaGraphLaunch(exec, s) == cudaSuccess && cudaGraphLaunch(exec, s) == cudaSuccess);
    REQUIRE(first_of(x) == 41); /* 1: 2 + 2 + 5 = 9: 18 + 18 + 5 */
}

/* A launch has the arguments of its time, and the graph those with which it was made. */
static void arguments_are_those_of_the_launch()
{
    cudaGraph_t graph;
    cudaGraphNode_t node;
    cudaGraphExec_t exec, again;
    int *x = ints(), *sum = ints(), value = 10;
    void *args[] = {&x, &value, &sum};
    cudaStream_t s = tdbg_gpu_stream(&gpu);
    know_kernels();
    cudaMemsetAsync(x, 0, N * sizeof *x, s);
    cudaMemsetAsync(sum, 0, N * sizeof *sum, s);
    const cudaKernelNodeParams p = node_of((const void *)add, args);
    REQUIRE(cudaGraphCreate(&graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphAddKernelNode(&node, graph, NULL, 0, &p) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
    value = 100;
    REQUIRE(cudaGraphLaunch(exec, s) == cudaSuccess); /* 10 */
    REQUIRE(cudaGraphExecKernelNodeSetParams(exec, node, &p) == cudaSuccess);
    value = 1000;
    REQUIRE(cudaGraphLaunch(exec, s) == cudaSuccess); /* 100 */
    REQUIRE(cudaGraphInstantiate(&again, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphLaunch(again, s) == cudaSuccess); /* 10 */
    REQUIRE(first_of(sum) == 120);
}

/* What needs the stream's results, or memory that moves, breaks a capture. */
static void captures_break()
{
    static int host[N], pinned[N];
    cudaGraph_t graph;
    cudaEvent_t event;
    int *x = ints();
    cudaStream_t s = tdbg_gpu_stream(&gpu), other;
    cudaStreamCreate(&other);
    cudaHostRegister(pinned, sizeof pinned, cudaHostRegisterDefault);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaEventRecord(event, other);
    cudaError_t (*const breaks[])(cudaStream_t, int *, cudaEvent_t) = {
        [](cudaStream_t of, int *, cudaEvent_t) { return cudaStreamSynchronize(of); },
        [](cudaStream_t of, int *data, cudaEvent_t) {
            return cudaMemcpyAsync(data, host, sizeof host, cudaMemcpyHostToDevice, of);
        },
        [](cudaStream_t of, int *data, cudaEvent_t) {
            return cudaMemcpyAsync(host, data, sizeof host, cudaMemcpyDeviceToHost, of);
        },
        [](cudaStream_t, int *data, cudaEvent_t) { return cudaFree(data); },
        [](cudaStream_t, int *, cudaEvent_t late) { return cudaEventQuery(late); },
        [](cudaStream_t of, int *, cudaEvent_t late) { return cudaStreamWaitEvent(of, late, 0); },
    };
    for (auto broken : breaks) {
        REQUIRE(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
        REQUIRE(broken(s, x, event) != cudaSuccess);
        REQUIRE(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated && !graph);
        REQUIRE(cudaStreamSynchronize(s) == cudaSuccess);
    }
    REQUIRE(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    REQUIRE(cudaMemcpyAsync(x, pinned, sizeof pinned, cudaMemcpyHostToDevice, s) == cudaSuccess);
    REQUIRE(cudaEventRecord(event, s) == cudaSuccess);
    REQUIRE(cudaEventQuery(event) == cudaErrorCapturedEvent);
    REQUIRE(cudaEventSynchronize(event) == cudaErrorCapturedEvent);
    REQUIRE(cudaStreamEndCapture(s, &graph) == cudaSuccess);
}

/* Whom a capture keeps from asking for memory. */
static void captures_and_threads()
{
    cudaGraph_t graph;
    cudaStream_t s = tdbg_gpu_stream(&gpu);
    const struct {
        enum cudaStreamCaptureMode mode;
        cudaError_t here, elsewhere;
    } modes[] = {{cudaStreamCaptureModeGlobal, cudaErrorStreamCaptureUnsupported,
                  cudaErrorStreamCaptureUnsupported},
                 {cudaStreamCaptureModeThreadLocal, cudaErrorStreamCaptureUnsupported, cudaSuccess},
                 {cudaStreamCaptureModeRelaxed, cudaSuccess, cudaSuccess}};
    for (const auto &m : modes) {
        cudaError_t elsewhere = cudaSuccess, ended = cudaSuccess;
        void *data;
        cudaStreamBeginCapture(s, m.mode);
        std::thread([&] {
            void *block;
            cudaSetDevice(0);
            elsewhere = cudaMalloc(&block, 1);
            if (m.mode == cudaStreamCaptureModeThreadLocal)
                ended = cudaStreamEndCapture(s, &graph);
        }).join();
        REQUIRE(elsewhere == m.elsewhere);
        REQUIRE(m.mode != cudaStreamCaptureModeThreadLocal ||
                ended == cudaErrorStreamCaptureWrongThread);
        REQUIRE(cudaMalloc(&data, 1) == m.here);
        REQUIRE(cudaStreamBeginCapture(s, m.mode) == cudaErrorInvalidValue);
        REQUIRE(cudaStreamEndCapture(s, &graph) ==
                (m.here == cudaSuccess ? cudaSuccess : cudaErrorStreamCaptureInvalidated));
        REQUIRE(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureUnmatched);
    }
}

/* Of another graph, another kind, another size, or nothing at all. */
static void nodes_refuse()
{
    cudaGraph_t graph, other;
    cudaGraphNode_t kernel, copy, clear, foreign, none;
    cudaGraphExec_t exec;
    int *x = ints(), *y = ints(), value = 1, on_host[N];
    void *args[] = {&x, &value};
    know_kernels();
    const cudaKernelNodeParams p = node_of((const void *)fill, args);
    cudaKernelNodeParams unknown = node_of((const void *)x, args);
    cudaMemsetParams c = clear_of(x, 40);
    REQUIRE(cudaGraphCreate(&graph, 0) == cudaSuccess && cudaGraphCreate(&other, 0) == cudaSuccess);
    REQUIRE(cudaGraphAddKernelNode(&foreign, other, NULL, 0, &p) == cudaSuccess);
    REQUIRE(cudaGraphAddKernelNode(&kernel, graph, NULL, 0, &p) == cudaSuccess);
    REQUIRE(cudaGraphAddKernelNode(&none, graph, &foreign, 1, &p) == cudaErrorInvalidValue);
    REQUIRE(cudaGraphAddKernelNode(&none, graph, NULL, 0, &unknown) ==
            cudaErrorInvalidDeviceFunction);
    REQUIRE(cudaGraphAddMemcpyNode1D(&copy, graph, &kernel, 1, y, x, 40,
                                     cudaMemcpyDeviceToDevice) == cudaSuccess);
    REQUIRE(cudaGraphAddMemcpyNode1D(&none, graph, &kernel, 1, y, x, 0, cudaMemcpyDeviceToDevice) ==
            cudaErrorInvalidValue);
    REQUIRE(cudaGraphAddMemsetNode(&clear, graph, &copy, 1, &c) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphExecKernelNodeSetParams(exec, foreign, &p) == cudaErrorInvalidValue);
    REQUIRE(cudaGraphExecKernelNodeSetParams(exec, copy, &p) == cudaErrorInvalidValue);
    REQUIRE(cudaGraphExecKernelNodeSetParams(exec, kernel, &unknown) ==
            cudaErrorInvalidDeviceFunction);
    REQUIRE(cudaGraphExecMemcpyNodeSetParams1D(exec, copy, on_host, x, 40,
                                               cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    REQUIRE(cudaGraphExecMemcpyNodeSetParams1D(exec, clear, y, x, 40, cudaMemcpyDeviceToDevice) ==
            cudaErrorInvalidValue);
    c.width = 44;
    REQUIRE(cudaGraphExecMemsetNodeSetParams(exec, clear, &c) == cudaErrorInvalidValue);
    c = clear_of(y, 40);
    REQUIRE(cudaGraphExecMemsetNodeSetParams(exec, clear, &c) == cudaSuccess);
}

/* x is filled, doubled, and filled again in another order where the edge is missing. Exits with 10
 * where it was doubled last. */
static void run_without_edge()
{
    cudaGraph_t graph;
    cudaGraphNode_t a, b;
    cudaGraphExec_t exec;
    int *x = ints(), value = 7;
    void *args[] = {&x, &value};
    cudaStream_t s = tdbg_gpu_stream(&gpu);
    know_kernels();
    cudaMemsetAsync(x, 0, N * sizeof *x, s);
    const cudaKernelNodeParams filled = node_of((const void *)fill, args);
    const cudaKernelNodeParams doubled = node_of((const void *)twice, args);
    cudaGraphCreate(&graph, 0);
    cudaGraphAddKernelNode(&a, graph, NULL, 0, &filled);
    cudaGraphAddKernelNode(&b, graph, NULL, 0, &doubled);
    cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphLaunch(exec, s);
    const int got = first_of(x);
    _exit(got == 14 ? 10 : got == 7 ? 11 : 3);
}

/* A captured graph as one node between two others. */
static void child_is_in_its_place()
{
    cudaGraph_t graph, child;
    cudaGraphNode_t node[3];
    cudaGraphExec_t exec;
    int *x = ints(), value = 3;
    void *args[] = {&x, &value}, *sum_args[] = {&x, &value, &x};
    cudaStream_t s = tdbg_gpu_stream(&gpu);
    know_kernels();
    const cudaKernelNodeParams first = node_of((const void *)fill, args);
    const cudaKernelNodeParams last = node_of((const void *)add, sum_args);
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    tdbg_gpu_allow_graphs(&gpu, false);
    TDBG_LAUNCH(&gpu, twice, 1, N, x);
    TDBG_LAUNCH(&gpu, twice, 1, N, x);
    REQUIRE(cudaStreamEndCapture(s, &child) == cudaSuccess);
    cudaGraphCreate(&graph, 0);
    REQUIRE(cudaGraphAddKernelNode(&node[0], graph, NULL, 0, &first) == cudaSuccess);
    REQUIRE(cudaGraphAddChildGraphNode(&node[1], graph, &node[0], 1, child) == cudaSuccess);
    REQUIRE(cudaGraphAddKernelNode(&node[2], graph, &node[1], 1, &last) == cudaSuccess);
    cudaGraphDestroy(child);
    REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphLaunch(exec, s) == cudaSuccess);
    REQUIRE(first_of(x) == 27); /* 3: 12: 12 + 12 + 3 */
}

/* As much as a block has, but the kernel was not told of it. */
static void launch_without_promise()
{
    int *x = ints();
    void *args[] = {&x};
    know_kernels();
    cudaLaunchKernel((const void *)twice, dim3(1), dim3(N), args, 64 << 10, tdbg_gpu_stream(&gpu));
}

static void test_calls(void **)
{
    int doubled_last = 0;
    char text[4096];
    check_holds(capture_does_not_run);
    check_holds(arguments_are_those_of_the_launch);
    check_holds(captures_break);
    check_holds(captures_and_threads);
    check_holds(nodes_refuse);
    for (int seed = 1; seed <= 20; seed++) {
        check_holds(child_is_in_its_place, seed);
        const int status = run_child(run_without_edge, seed, text, sizeof text);
        assert_true(WIFEXITED(status));
        assert_in_range(WEXITSTATUS(status), 10, 11);
        doubled_last += WEXITSTATUS(status) == 10;
    }
    assert_in_range(doubled_last, 1, 19); /* both orders come up */
    check_dies(launch_without_promise, "more dynamic shared memory than the kernel was promised");
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
