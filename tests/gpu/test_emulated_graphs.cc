/* CUDA graphs of the emulated GPU: what is captured does not run, a launch runs what its graph was
 * told by then, and what CUDA refuses is refused. And launches that are repeated as graphs
 * (kernels/gpu_launch.c) where any of these calls fails, or graphs do the wrong thing: the numbers
 * are right all the same. Each in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <thread>

#include "emulated_child.h"
extern "C" {
#include "kernels/gpu_graphs.h"
}

enum { N = 64 };

static __global__ void fill(int *x, int value)
{
    x[threadIdx.x] = value + (int)threadIdx.x;
}

static __global__ void add(const int *x, int value, int *sum)
{
    sum[threadIdx.x] += x[threadIdx.x] + value;
}

static __global__ void twice(int *x)
{
    x[threadIdx.x] = 2 * x[threadIdx.x];
}

static void require(bool holds, int line)
{
    if (holds)
        return;
    fprintf(stderr, "line %d\n", line);
    _exit(3);
}
#define REQUIRE(holds) require((holds), __LINE__)

static int *ints()
{
    return (int *)device_block(N * sizeof(int));
}

static int first_of(const int *x)
{
    int host[N];
    REQUIRE(cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, tdbg_gpu_stream(&gpu)) ==
            cudaSuccess);
    return host[0];
}

/* Runs a check in a child; it has to end by itself. */
static void check_holds(void (*check)(), int seed = 1)
{
    char text[4096];
    const int status = run_child(check, seed, text, sizeof text);
    if (status != 0)
        fail_msg("status %x: %s", (unsigned)status, text);
}

/* --- the calls of CUDA --- */

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

/* --- launches that are repeated --- */

struct library_call {
    int *x;
    int64_t bytes;
};

/* Stands for a call of cuBLAS. */
static bool clear_by_library(struct tdbg_gpu *, const void *key, cudaStream_t stream)
{
    struct library_call c;
    memcpy(&c, key, sizeof c);
    return cudaMemsetAsync(c.x, 0, (size_t)c.bytes, stream) == cudaSuccess;
}

static bool refuse_captures; /* as a library that waits for the stream would */
static bool wait_in_library(struct tdbg_gpu *g, const void *key, cudaStream_t stream)
{
    return (!refuse_captures || cudaStreamSynchronize(stream) == cudaSuccess) &&
           clear_by_library(g, key, stream);
}

static bool fail_in_library(struct tdbg_gpu *, const void *, cudaStream_t)
{
    return false;
}

static int *blocks[5];

/* Every piece of work once; its numbers are right where all of it was done in order. */
static bool run_round(int value, int moved)
{
    int *x = blocks[0], *y = blocks[moved ? 4 : 1], *z = blocks[2], *sum = blocks[3];
    const struct library_call key = {sum, N * sizeof *sum};
    const struct tdbg_gpu_call call = {wait_in_library, "a library", &key, sizeof key};
    TDBG_LAUNCH(&gpu, fill, 1, N, x, value);
    TDBG_LAUNCH(&gpu, fill, 1, N, z, 5);
    TDBG_LAUNCH(&gpu, fill, 1, N, sum, 9);
    TDBG_LAUNCH(&gpu, twice, 1, N, x);
    tdbg_gpu_clear(&gpu, y, N * sizeof *y);
    tdbg_gpu_copy(&gpu, y, x, (N - 1) * sizeof *y);
    tdbg_gpu_call(&gpu, &call);
    TDBG_LAUNCH(&gpu, add, 1, N, y, value, sum);
    int got[N];
    tdbg_gpu_fetch(&gpu, got, sum, sizeof got);
    for (int i = 0; i < N; i++) {
        if (got[i] != (i < N - 1 ? 2 * (value + i) : 0) + value)
            return false;
    }
    return gpu.error == cudaSuccess;
}
enum { ROUND = 8 };

static void make_blocks()
{
    for (int *&block : blocks)
        block = ints();
    tdbg_gpu_forget_graphs(&gpu); /* counts begin at 0 */
}

static void require_failure(const char *text)
{
    bool is_failure;
    const char *why = tdbg_gpu_why_no_graphs(&gpu, &is_failure);
    if (why && is_failure && strstr(why, text))
        return;
    fprintf(stderr, "'%s' is not said: %s\n", text, why ? why : "there are graphs");
    _exit(4);
}

static const char *failing;

/* From the time on at which a graph would be made or sent off. */
static void a_call_fails()
{
    char fails[80], text[160];
    make_blocks();
    snprintf(fails, sizeof fails, "%s:1+", failing);
    setenv("TDBG_EMULATED_GRAPH_FAILS", fails, 1);
    for (int round = 0; round < 5; round++)
        REQUIRE(run_round(round, 0));
    snprintf(text, sizeof text, "%s failed for a graph of %d launches that begins with fill",
             failing, ROUND);
    require_failure(text);
    struct tdbg_gpu_launch_counts c;
    tdbg_gpu_count_launches(&gpu, &c);
    REQUIRE(c.one_by_one == 5 * ROUND && c.in_graphs == 0);
}

/* Graphs that have been sent off before: the failure comes later. */
static void a_launch_fails_later()
{
    make_blocks();
    for (int round = 0; round < 3; round++)
        REQUIRE(run_round(round, 0));
    setenv("TDBG_EMULATED_GRAPH_FAILS", "cudaGraphLaunch:2+", 1);
    for (int round = 0; round < 4; round++)
        REQUIRE(run_round(round, 0));
    require_failure("cudaGraphLaunch failed for a graph of 8 launches that begins with fill");
    struct tdbg_gpu_launch_counts c;
    tdbg_gpu_count_launches(&gpu, &c);
    REQUIRE(c.graphs == 3 && c.one_by_one == 4 * ROUND);
}

/* An argument that is not taken: the graph is made anew, the first time. */
static void an_argument_is_refused()
{
    char fails[80];
    struct tdbg_gpu_launch_counts c;
    bool is_failure;
    make_blocks();
    for (int round = 0; round < 3; round++)
        REQUIRE(run_round(round, 0));
    snprintf(fails, sizeof fails, "%s:1", failing);
    setenv("TDBG_EMULATED_GRAPH_FAILS", fails, 1);
    for (int round = 0; round < 3; round++)
        REQUIRE(run_round(round + 10, 1 - round % 2));
    tdbg_gpu_count_launches(&gpu, &c);
    REQUIRE(c.rebuilt == 1 && c.built == 2 && c.one_by_one == ROUND && c.in_graphs == 5 * ROUND);
    REQUIRE(!tdbg_gpu_why_no_graphs(&gpu, &is_failure));
    snprintf(fails, sizeof fails, "%s:1+", failing);
    setenv("TDBG_EMULATED_GRAPH_FAILS", fails, 1);
    for (int round = 0; round < 3; round++)
        REQUIRE(run_round(round, round % 2));
    snprintf(fails, sizeof fails, "%s failed", failing);
    require_failure(fails);
}

static void a_library_cannot_be_captured()
{
    refuse_captures = true;
    make_blocks();
    for (int round = 0; round < 4; round++)
        REQUIRE(run_round(round, 0));
    require_failure("cudaStreamEndCapture failed for a graph of 8 launches");
}

static void a_library_fails()
{
    struct tdbg_err err = {};
    const struct tdbg_gpu_call call = {fail_in_library, "a product of it", &refuse_captures, 1};
    make_blocks();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            tdbg_gpu_call(&gpu, &call);
        tdbg_gpu_stream(&gpu);
        REQUIRE(tdbg_gpu_report(&gpu, &err) == TDBG_DEVICE);
        REQUIRE(strstr(err.message, "the GPU failed in a product of it: unknown error"));
        tdbg_err_clear(&err);
    }
}

static void test_failures(void **)
{
    const char *const made[] = {"cudaGraphCreate",
                                "cudaGraphAddKernelNode",
                                "cudaGraphAddMemcpyNode1D",
                                "cudaGraphAddMemsetNode",
                                "cudaStreamBeginCapture",
                                "cudaStreamEndCapture",
                                "cudaGraphAddChildGraphNode",
                                "cudaGraphInstantiate",
                                "cudaGraphLaunch"};
    for (const char *call : made) {
        failing = call;
        check_holds(a_call_fails);
    }
    check_holds(a_launch_fails_later);
    const char *const changed[] = {"cudaGraphExecKernelNodeSetParams",
                                   "cudaGraphExecMemcpyNodeSetParams1D",
                                   "cudaGraphExecMemsetNodeSetParams"};
    for (const char *call : changed) {
        failing = call;
        check_holds(an_argument_is_refused);
    }
    check_holds(a_library_cannot_be_captured);
    check_holds(a_library_fails);
}

/* --- the look when the GPU is opened --- */

static const char *expected;

static void goes_without()
{
    struct tdbg_gpu_launch_counts c;
    bool is_failure;
    if (expected)
        require_failure(expected);
    else
        REQUIRE(strcmp(tdbg_gpu_why_no_graphs(&gpu, &is_failure), "TDBG_CUDA_GRAPHS=0") == 0 &&
                !is_failure);
    make_blocks();
    for (int round = 0; round < 4; round++)
        REQUIRE(run_round(round, 0));
    tdbg_gpu_count_launches(&gpu, &c);
    REQUIRE(c.one_by_one == 4 * ROUND && c.in_graphs == 0 && c.kept == 0);
}

static void check_goes_without(const char *variable, const char *value, const char *text)
{
    setenv(variable, value, 1);
    expected = text;
    check_holds(goes_without);
    unsetenv(variable);
}

static void test_look(void **)
{
    check_goes_without("TDBG_CUDA_GRAPHS", "0", NULL);
    check_goes_without("TDBG_EMULATED_GRAPHS", "stale", "gave wrong numbers");
    check_goes_without("TDBG_EMULATED_GRAPHS", "backwards", "gave wrong numbers");
    check_goes_without("TDBG_EMULATED_GRAPH_FAILS", "cudaGraphInstantiate:1",
                       "cudaGraphInstantiate failed for a graph of 6 launches");
    check_goes_without("TDBG_EMULATED_GRAPH_FAILS", "cudaGraphExecMemsetNodeSetParams:1",
                       "was not sent off");
}

/* --- two GPUs of two threads --- */

static void repeat_in_thread(int thread, bool *fine)
{
    struct tdbg_gpu own;
    struct tdbg_err err = {};
    struct tdbg_gpu_launch_counts c;
    int got[N];
    void *x = NULL;
    *fine = tdbg_gpu_open(0, &own, &err) == TDBG_OK && cudaMalloc(&x, sizeof got) == cudaSuccess;
    for (int round = 0; *fine && round < 50; round++) {
        TDBG_LAUNCH(&own, fill, 1, N, (int *)x, round + thread);
        TDBG_LAUNCH(&own, twice, 1, N, (int *)x);
        TDBG_LAUNCH(&own, add, 1, N, (const int *)x, thread, (int *)x);
        tdbg_gpu_fetch(&own, got, x, sizeof got);
        *fine = got[5] == 4 * (round + thread + 5) + thread;
    }
    tdbg_gpu_count_launches(&own, &c);
    *fine = *fine && c.graphs == 49 && c.built == 1;
    tdbg_gpu_free(&own, x);
    tdbg_gpu_close(&own);
}

static void threads_have_their_own()
{
    bool fine[4];
    std::thread threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = std::thread(repeat_in_thread, i, &fine[i]);
    for (int i = 0; i < 4; i++)
        threads[i].join();
    REQUIRE(fine[0] && fine[1] && fine[2] && fine[3]);
}

static void test_threads(void **)
{
    check_holds(threads_have_their_own);
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
