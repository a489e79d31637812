/* A trace's spec as bytes, for the way from the recording program to the writer process. Both are
 * of the same build, which their greetings make sure of (writer_greeting.h); nothing of this is
 * ever in a file. */
#ifndef TDBG_TRACE_SPEC_WIRE_H
#define TDBG_TRACE_SPEC_WIRE_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "trace/writer.h"

void tdbg_spec_pack(const struct tdbg_trace_spec *spec, struct tdbg_strbuf *out);

/* The spec, in the arena. TDBG_UNSUPPORTED where the bytes are none. */
enum tdbg_status tdbg_spec_unpack(const char *bytes, size_t n_bytes, struct tdbg_arena *arena,
                                  struct tdbg_trace_spec *out, struct tdbg_err *err);

#endif
