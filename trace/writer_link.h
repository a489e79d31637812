/* How a recording program and its writer process begin and end with each other: what goes over the
 * socket between them. */
#ifndef TDBG_TRACE_WRITER_LINK_H
#define TDBG_TRACE_WRITER_LINK_H

#include <limits.h>

#include "base/status.h"
#include "base/strbuf.h"
#include "trace/writer.h"

/* Descriptors of the writer process. */
enum { TDBG_LINK_SOCKET = 3, TDBG_LINK_RING = 4, TDBG_LINK_ANNOUNCE = 5 };

/* First message to the writer after the greetings (writer_greeting.h): this head, then path and
 * spec. */
struct tdbg_link_hello {
    uint64_t ring_bytes, path_bytes, spec_bytes;
    int64_t segment_bytes, window_steps;
    int32_t force, workers, announces;
};

/* The writer's answer, after opening and at the end. */
struct tdbg_link_answer {
    int32_t status; /* enum tdbg_status */
    char text[500];
};

/* false: the other side is gone. */
bool tdbg_link_send(int socket, const void *data, size_t n_bytes);
bool tdbg_link_receive(int socket, void *data, size_t n_bytes);
void tdbg_link_answer_with(struct tdbg_link_answer *answer, enum tdbg_status st,
                           const struct tdbg_err *err);

/* Receives an answer and raises what it says. TDBG_IO: the writer has ended without one. */
enum tdbg_status tdbg_link_receive_answer(int socket, struct tdbg_err *err);

/* Starts the program tdbg-writer with these descriptors (announce: -1, none); it is in a session of
 * its own. Returns its process, or -1: no such program was found. */
int tdbg_link_spawn(int socket, int ring, int announce);

/* Path of the program tdbg-writer: the one that TDBG_WRITER names, or beside this program or
 * library. false: there is none. */
bool tdbg_link_find_writer(char found[PATH_MAX]);

/* Path of the program or the shared library that this code is in. */
void tdbg_link_own_path(char path[PATH_MAX]);

#endif
