/* What goes between the terminal and its worker: packets of one socket pair. Both ends are the same
 * program, so structs are sent as they are. */
#ifndef TDBG_TUI_JOBS_WIRE_H
#define TDBG_TUI_JOBS_WIRE_H

#include "tui/jobs.h"

enum { TDBG_WIRE_SOCKET = 3, TDBG_WIRE_TEXT_BYTES = 2048, TDBG_WIRE_MOST_TEXTS = 48 << 10 };

enum tdbg_wire_kind {
    TDBG_WIRE_JOB,    /* to the worker: followed by the texts of the expressions, each with its 0 */
    TDBG_WIRE_CANCEL, /* to the worker: give up the job with this id, if you are at it */
    TDBG_WIRE_BEGUN,  /* the worker is at it */
    TDBG_WIRE_PROGRESS,
    TDBG_WIRE_ANSWER, /* to each job one, given up or not */
};

struct tdbg_wire_job {
    enum tdbg_wire_kind wire;
    int64_t id;
    struct tdbg_tui_job job; /* its pointers mean nothing */
};

struct tdbg_wire_answer {
    enum tdbg_wire_kind wire;
    struct tdbg_tui_job_progress progress; /* PROGRESS: this alone */
    struct tdbg_tui_answer answer;         /* its pointers mean nothing */
    bool has_values, has_stats, has_origin, has_parting;
    int64_t payload_bytes;   /* of the file that comes with it; 0: none does */
    struct tdbg_stats stats; /* of a tensor; those of a step are the payload */
    struct tdbg_origin origin;
    struct tdbg_tui_parting parting;
    char message[TDBG_WIRE_TEXT_BYTES]; /* "": none */
};

/* One packet; fd -1: without a file. false: the other end is gone, or it does not fit. */
bool tdbg_wire_send(int socket, const void *packet, size_t bytes, int fd);

/* One packet of at most `bytes`, with the file that came with it in *fd, or -1. Returns its bytes;
 * 0: the other end is gone; -1: there is none now (only without wait). */
long tdbg_wire_receive(int socket, void *packet, size_t bytes, int *fd, bool wait);

#endif
