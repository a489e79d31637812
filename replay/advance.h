/* Going on by one step without executing it: where a trace stores the gradients of a step, the
 * state after it follows from the state before it by the optimizer alone. The recorded digests of
 * parameters and optimizer state prove that it is the recorded one. */
#ifndef TDBG_REPLAY_ADVANCE_H
#define TDBG_REPLAY_ADVANCE_H

#include "engine/engine.h"
#include "trace/reader.h"

struct tdbg_advance;

/* trace and engine, which has the trace's sites, are borrowed. *out is NULL and the result TDBG_OK
 * where no step of the trace can be gone so: no gradients are stored, the digests are not there, or
 * the model has running statistics, which only forward changes. */
enum tdbg_status tdbg_advance_create(struct tdbg_trace *trace, struct tdbg_engine *engine,
                                     struct tdbg_advance **out, struct tdbg_err *err);
void tdbg_advance_destroy(struct tdbg_advance *advance); /* NULL is fine */

enum tdbg_advance_result {
    TDBG_ADVANCE_DONE,
    TDBG_ADVANCE_NOT_STORED, /* at this step, or what is stored cannot be read; nothing changed */
    TDBG_ADVANCE_DIFFERS,    /* from what was recorded; the engine's state is of no use now */
};

/* The engine's state, that before `step`, becomes that after it. Sets the engine's taps. */
enum tdbg_status tdbg_advance_step(struct tdbg_advance *advance, int64_t step,
                                   enum tdbg_advance_result *result, struct tdbg_err *err);

#endif
