/* Names of the files that lie beside a trace: the ones it goes on in, and those of other ranks. */
#ifndef TDBG_TRACE_SEGMENT_H
#define TDBG_TRACE_SEGMENT_H

#include <stdint.h>

#include "base/arena.h"

/* "runs/trace.h5", "seg", 3 -> "runs/trace.seg3.h5"; number 0 with "seg" is the file itself. */
const char *tdbg_segment_path(struct tdbg_arena *arena, const char *path, const char *kind,
                              int32_t number);

/* "runs/trace.seg3.h5" -> 3; 0: the name is not of that kind. */
int32_t tdbg_segment_number(const char *path);

/* The last part of a path: how files in one folder name each other. */
const char *tdbg_segment_name(const char *path);

#endif
