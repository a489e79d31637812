/* The program tdbg-writer: owns HDF5 for one recording. It is told everything through the socket
 * and the ring that it is born with, and ends when the recording is closed or its program is gone.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/pipeline.h"
#include "trace/ring.h"
#include "trace/spec_wire.h"
#include "trace/writer_greeting.h"
#include "trace/writer_link.h"

/* Whatever is sent to the job or the session of the program is meant for the program; this one ends
 * by itself soon after. */
static void stand_aside(void)
{
    const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP,
                           SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
}

/* What the program had open besides: a pipe or a terminal would seem to be in use for as long as
 * this process lives. stderr stays for the message of a bug. */
static void close_the_rest(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDOUT_FILENO; fd++)
        dup2(null, fd);
    if (null >= 0 && fcntl(STDERR_FILENO, F_GETFD) < 0)
        dup2(null, STDERR_FILENO);
    closefrom(TDBG_LINK_ANNOUNCE + 1);
}

/* path has room for hello->path_bytes + 1. */
static enum tdbg_status open_writer(const struct tdbg_link_hello *hello, struct tdbg_arena *arena,
                                    char *path, struct tdbg_trace_spec *spec,
                                    struct tdbg_trace_writer **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *bytes = malloc(hello->spec_bytes + 1);
    TDBG_FAIL_IF(!bytes, NO_MEMORY, "no memory for a recording");
    TDBG_FAIL_IF(!tdbg_link_receive(TDBG_LINK_SOCKET, path, hello->path_bytes) ||
                     !tdbg_link_receive(TDBG_LINK_SOCKET, bytes, hello->spec_bytes),
                 IO, "the recording program has ended");
    path[hello->path_bytes] = 0;
    TDBG_TRY(tdbg_spec_unpack(bytes, hello->spec_bytes, arena, spec, err));
    TDBG_TRY(tdbg_trace_writer_create(path, hello->force, spec, out, err));
    tdbg_trace_writer_hand_over(*out);
out:
    free(bytes);
    return st;
}

/* The sizes are those of what is there. */
static enum tdbg_status check_hello(const struct tdbg_link_hello *hello, struct tdbg_err *err)
{
    enum { MOST_SPEC_BYTES = 1 << 30 };
    struct stat info;
    if (fstat(TDBG_LINK_RING, &info) != 0 || hello->ring_bytes < tdbg_ring_shared_bytes(0) ||
        hello->ring_bytes > (uint64_t)info.st_size || hello->path_bytes > PATH_MAX ||
        hello->spec_bytes > MOST_SPEC_BYTES)
        return TDBG_RAISE(err, UNSUPPORTED, "tdbg-writer was sent no valid description");
    return TDBG_OK;
}

static bool answer(enum tdbg_status st, const struct tdbg_err *err)
{
    struct tdbg_link_answer a;
    tdbg_link_answer_with(&a, st, err);
    return tdbg_link_send(TDBG_LINK_SOCKET, &a, sizeof a);
}

static enum tdbg_status serve(const struct tdbg_link_hello *hello, struct tdbg_arena *arena,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace_writer *writer = NULL;
    struct tdbg_ring *ring = NULL;
    struct tdbg_trace_spec spec;
    char *path = NULL;
    void *shared = MAP_FAILED;
    const struct tdbg_pipeline_options options = {.workers = hello->workers,
                                                  .announce_fd =
                                                      hello->announces ? TDBG_LINK_ANNOUNCE : -1,
                                                  .segment_bytes = hello->segment_bytes,
                                                  .window_steps = hello->window_steps};
    TDBG_TRY(check_hello(hello, err));
    path = tdbg_arena_alloc(arena, hello->path_bytes + 1);
    shared = mmap(NULL, hello->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, TDBG_LINK_RING, 0);
    TDBG_FAIL_IF(shared == MAP_FAILED, NO_MEMORY, "no memory for the queue of a recording");
    ring = tdbg_ring_create(shared, hello->ring_bytes, TDBG_LINK_SOCKET);
    TDBG_FAIL_IF(!ring, NO_MEMORY, "no memory for the queue of a recording");
    TDBG_TRY(open_writer(hello, arena, path, &spec, &writer, err));
    answer(TDBG_OK, NULL);
    st = tdbg_pipeline_run(ring, writer, path, &spec, &options, err);
out:
    tdbg_ring_destroy(ring);
    return st;
}

int main(void)
{
    struct tdbg_link_hello hello;
    struct tdbg_err err = {0};
    struct tdbg_arena *arena = tdbg_arena_create();
    stand_aside();
    close_the_rest();
    if (!arena)
        return 1;
    const enum tdbg_status greeted = tdbg_link_greet_program(TDBG_LINK_SOCKET, &err);
    tdbg_err_clear(&err);
    if (greeted == TDBG_UNSUPPORTED)
        return 1; /* which the program says to its user */
    if (greeted != TDBG_OK || !tdbg_link_receive(TDBG_LINK_SOCKET, &hello, sizeof hello))
        return 0; /* the program had nothing to record */
    if (!hello.announces)
        close(TDBG_LINK_ANNOUNCE);
    const enum tdbg_status st = serve(&hello, arena, &err);
    answer(st, &err);
    tdbg_err_clear(&err);
    tdbg_arena_destroy(arena);
    return st == TDBG_OK ? 0 : 1;
}
