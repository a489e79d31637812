/* Are a recording program and its writer process of one build? What they send each other is memory
 * as it lies there, so that each says first what it is. This part stays as it is for ever: any two
 * versions have to understand each other this far.
 *
 *     program                        tdbg-writer
 *        | -- greeting ----------------> |  compares
 *        | <--------------- greeting --- |
 *        |  compares                     |
 *        | -- hello, path, spec -------> |  (writer_link.h)
 */
#ifndef TDBG_TRACE_WRITER_GREETING_H
#define TDBG_TRACE_WRITER_GREETING_H

#include <stdint.h>

#include "base/status.h"

/* Of what goes over the socket and through the ring: one more with every change of its meaning.
 * Sizes of what is sent are compared besides. */
#ifndef TDBG_LINK_PROTOCOL /* a test builds a writer with another one */
#define TDBG_LINK_PROTOCOL 1
#endif

struct tdbg_link_greeting {
    char mark[8];      /* "tdbglink" */
    uint32_t protocol; /* TDBG_LINK_PROTOCOL */
    uint32_t layout;   /* hash of the sizes of all that is sent */
    char version[48];  /* of tdbg */
};

/* The program's part, before it sends anything else. TDBG_UNSUPPORTED: the other side is of another
 * build; the message names both. TDBG_IO: it has ended. */
enum tdbg_status tdbg_link_greet_writer(int socket, struct tdbg_err *err);

/* The writer's part. TDBG_UNSUPPORTED: the program is of another build, and was told so in the way
 * that it understands. TDBG_IO: it has ended, or never had anything to record. */
enum tdbg_status tdbg_link_greet_program(int socket, struct tdbg_err *err);

#endif
