/* The program tdbg-writer: owns HDF5 for one recording. It is told everything through the socket
 * and the ring that it is born with, and ends when the recording is closed or its program is gone.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace/pipeline.h"
#include "trace/ring.h"
#include "trace/spec_wire.h"
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

static enum tdbg_status open_writer(const struct tdbg_link_hello *hello, struct tdbg_arena *arena,
                                    struct tdbg_trace_writer **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_trace_spec spec;
    char *path = malloc(hello->path_bytes + 1), *bytes = malloc(hello->spec_bytes + 1);
    TDBG_FAIL_IF(!path || !bytes, NO_MEMORY, "no memory for a recording");
    TDBG_FAIL_IF(!tdbg_link_receive(TDBG_LINK_SOCKET, path, hello->path_bytes) ||
                     !tdbg_link_receive(TDBG_LINK_SOCKET, bytes, hello->spec_bytes),
                 IO, "the recording program has ended");
    path[hello->path_bytes] = 0;
    TDBG_TRY(tdbg_spec_unpack(bytes, hello->spec_bytes, arena, &spec, err));
    TDBG_TRY(tdbg_trace_writer_create(path, hello->force, &spec, out, err));
    tdbg_trace_writer_hand_over(*out);
out:
    free(path);
    free(bytes);
    return st;
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
    void *shared =
        mmap(NULL, hello->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, TDBG_LINK_RING, 0);
    TDBG_FAIL_IF(shared == MAP_FAILED, NO_MEMORY, "no memory for the queue of a recording");
    ring = tdbg_ring_create(shared, hello->ring_bytes, TDBG_LINK_SOCKET);
    TDBG_FAIL_IF(!ring, NO_MEMORY, "no memory for the queue of a recording");
    TDBG_TRY(open_writer(hello, arena, &writer, err));
    answer(TDBG_OK, NULL);
    st = tdbg_pipeline_run(ring, writer, hello->workers, hello->announces ? TDBG_LINK_ANNOUNCE : -1,
                           err);
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
    if (!arena || !tdbg_link_receive(TDBG_LINK_SOCKET, &hello, sizeof hello))
        return 0; /* the program had nothing to record */
    const enum tdbg_status st = serve(&hello, arena, &err);
    answer(st, &err);
    tdbg_err_clear(&err);
    tdbg_arena_destroy(arena);
    return st == TDBG_OK ? 0 : 1;
}
