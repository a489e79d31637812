/* Launches that are repeated as graphs (kernels/gpu_launch.c), where any call for these fails, or
 * they do the wrong thing: the numbers are right all the same. Each in a child process of an
 * emulated GPU; what goes well is in test_gpu_graphs.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <thread>

#include "emulated_graphs.h"

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
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
