/* Tests of the emulated GPU make mistakes in a child process, which dies with a message. To be
 * included behind cmocka.h. */
#ifndef TDBG_TESTS_GPU_EMULATED_CHILD_H
#define TDBG_TESTS_GPU_EMULATED_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/gpu.h"

static struct tdbg_gpu gpu;

static void open_gpu()
{
    struct tdbg_err err = {};
    if (tdbg_gpu_open(0, &gpu, &err) != TDBG_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(2);
    }
}

static void *device_block(size_t bytes)
{
    void *data = NULL;
    if (cudaMalloc(&data, bytes) != cudaSuccess)
        exit(2);
    return data;
}

/* Runs a mistake in a child: its exit status, and in text what it wrote to stderr. */
static int run_child(void (*mistake)(), int seed, char *text, size_t text_bytes)
{
    int ends[2], status;
    size_t n = 0;
    ssize_t got;
    char number[16];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        snprintf(number, sizeof number, "%d", seed);
        setenv("TDBG_EMULATED_GPU_SEED", number, 1);
        open_gpu();
        mistake();
        cudaStreamSynchronize(tdbg_gpu_stream(&gpu)); /* what it has put there runs now */
        _exit(0);
    }
    close(ends[1]);
    while (n + 1 < text_bytes && (got = read(ends[0], text + n, text_bytes - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static inline void check_dies(void (*mistake)(), const char *message)
{
    char text[4096];
    const int status = run_child(mistake, 1, text, sizeof text);
    if (!WIFSIGNALED(status) || !strstr(text, message))
        fail_msg("status %x instead of a death with '%s': %s", (unsigned)status, message, text);
}

#endif
