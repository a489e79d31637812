/* The recorder: a tap and a source that write what the engine does into a trace. Record = live
 * source
 * + recording tap; the source is wrapped too, because raw samples cross the edge there. */
#ifndef TDBG_RECORDER_RECORDER_H
#define TDBG_RECORDER_RECORDER_H

#include "base/config.h"
#include "engine/engine.h"
#include "trace/schema.h"

struct tdbg_recorder;

/* Starts the writer process: to be called before threads, MPI and devices are. The recorder is not
 * attached to a file yet. announce_fd: gets "K\n" when step K is durable; -1: none. Destroy with
 * tdbg_recorder_destroy(). */
enum tdbg_status tdbg_recorder_create(const struct tdbg_cfg_node *root, int announce_fd,
                                      struct tdbg_recorder **out, struct tdbg_err *err);

/* false: a thread of this process is going to write, and there can be one such thread only. */
bool tdbg_recorder_has_process(const struct tdbg_recorder *recorder);

/* Wraps a source: the result is to be given to the engine instead, and everything that `source`
 * gives is remembered for the trace. */
struct tdbg_source tdbg_recorder_source(struct tdbg_recorder *recorder, struct tdbg_source source);

/* The run that this one goes on from. Its hash chains go on too, each where the same sites are
 * recorded at the same steps: then the chain of the whole is that of a run that was never
 * interrupted. */
struct tdbg_recorder_parent {
    const uint8_t *uuid;   /* (TDBG_UUID_BYTES) */
    const uint64_t *chain; /* (TDBG_CHAIN_COUNT): before the first step that is recorded now */
    int64_t first_step;    /* that one: gets a keyframe, whatever their distance */
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans;
    int32_t n_sites;
};

/* A new, random name for a run. */
enum tdbg_status tdbg_recorder_make_uuid(uint8_t uuid[TDBG_UUID_BYTES], struct tdbg_err *err);

/* What the engine does not know of the run. Borrowed for the call of open. */
struct tdbg_recorder_run {
    const uint8_t *uuid; /* (TDBG_UUID_BYTES): the same on all ranks */
    const char *config_path, *environment, *dataset;
    const char *inject; /* `inject` of the config as text; "": there is none */
    const struct tdbg_vocabulary *vocabulary;  /* of the samples' tokens; NULL: none is known */
    const struct tdbg_recorder_parent *parent; /* NULL: none */
};

/* Creates the file for an engine that uses the source above, and returns the tap for it. */
enum tdbg_status tdbg_recorder_open(struct tdbg_recorder *recorder, const char *path, bool force,
                                    struct tdbg_config *config, const struct tdbg_engine *engine,
                                    const struct tdbg_recorder_run *run, struct tdbg_tap *tap,
                                    struct tdbg_err *err);

/* Bytes written so far. */
int64_t tdbg_recorder_bytes(const struct tdbg_recorder *recorder);

/* From here on nothing of the window (record.window) is removed. */
void tdbg_recorder_keep(struct tdbg_recorder *recorder);

/* Why recording had to stop while the training goes on (record.on_error = "continue"); NULL: it did
 * not. Borrowed. */
const char *tdbg_recorder_failure(const struct tdbg_recorder *recorder);

/* Bytes that the trace of n steps will have at most (values not compressed), for the estimate
 * before the first step. After open. */
int64_t tdbg_recorder_estimate_bytes(const struct tdbg_recorder *recorder, int64_t n_steps);

/* The last step that is safe in the file; -1: none, or it is closed. */
int64_t tdbg_recorder_durable(const struct tdbg_recorder *recorder);

/* Waits until all committed steps are in the file, and closes it. */
enum tdbg_status tdbg_recorder_close(struct tdbg_recorder *recorder, struct tdbg_err *err);
void tdbg_recorder_destroy(struct tdbg_recorder *recorder); /* NULL is fine; closes if need be */

#endif
