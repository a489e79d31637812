/* Writing a trace: one HDF5 file per rank, schema of trace/schema.h. One thread uses a writer.
 *
 * Order of calls: create; for each step: [put_keyframe], put_batch, put_digest/put_values in any
 * order, commit_step; close. A call that fails leaves the file with all steps committed so far;
 * after a failure only close() is allowed. */
#ifndef TDBG_TRACE_WRITER_H
#define TDBG_TRACE_WRITER_H

#include "base/status.h"
#include "base/vocabulary.h"
#include "trace/schema.h"

struct tdbg_trace_writer;

/* What is fixed for the whole file. Arrays are borrowed for the call only. */
struct tdbg_trace_spec {
    struct tdbg_run_info info;
    const struct tdbg_site *sites;
    const struct tdbg_site_plan *plans; /* (n_sites) */
    int32_t n_sites;
    const struct tdbg_keyframe_item *items;
    int32_t n_items;
    struct tdbg_samples_spec samples[TDBG_SAMPLES_SETS]; /* eval: total 0 = no evaluation */
    struct tdbg_vocabulary vocabulary; /* of the samples' tokens; n_tokens 0: none is known */

    /* (TDBG_CHAIN_COUNT) h of every chain before the first step, for a trace that goes on where
     * another one ends; NULL: the chains begin here (tdbg_chain_begin). */
    const uint64_t *chain_before;

    /* Path of the file that this one will go on in, which need not exist; NULL: trace.seg1.h5 for
     * trace.h5. */
    const char *next_path;

    /* Steps of a zone (schema.h); 0: TDBG_ZONE_STEPS. */
    int32_t steps_per_zone;

    /* The file gets its name when it is closed as complete, and is removed otherwise; false: as
     * soon as a step can be added. */
    bool named_at_close;
};

/* Creates the file, beside its name: what stood there goes when the new one takes its place. An
 * existing file without `force`, one that is being recorded, and whatever is no regular file are
 * errors (TDBG_USAGE). */
enum tdbg_status tdbg_trace_writer_create(const char *path, bool force,
                                          const struct tdbg_trace_spec *spec,
                                          struct tdbg_trace_writer **out, struct tdbg_err *err);

/* Digest and statistics of a site in the current step. Sites that get none keep digest 0 and
 * "absent" statistics (all NaN, counts 0). */
void tdbg_trace_writer_put_digest(struct tdbg_trace_writer *writer, int32_t site, uint64_t digest,
                                  const struct tdbg_stats *stats);

/* Values of a site with store DATASET, PACKED or DELTA in the current step: elems contiguous
 * elements (fewer than the site's shape on a short batch: the rest of its place is zero). Ignored
 * at steps that are not due by value_every. Other than with DATASET, a site whose digest is put in
 * a due step needs its values put too, and the other way round, or the commit fails (TDBG_USAGE); a
 * site that gets neither is not recorded in that step. */
enum tdbg_status tdbg_trace_writer_put_values(struct tdbg_trace_writer *writer, int32_t site,
                                              const void *data, int64_t elems,
                                              struct tdbg_err *err);

/* Values of a site with store RESIDUAL in the current step, and what the recompute function of a
 * reader will make of them; only where the bits of the two differ something is stored. predicted
 * NULL: value is the difference itself (tdbg_trace_read_residual). Otherwise as
 * tdbg_trace_writer_put_values. */
enum tdbg_status tdbg_trace_writer_put_predicted(struct tdbg_trace_writer *writer, int32_t site,
                                                 const void *value, const void *predicted,
                                                 int64_t elems, struct tdbg_err *err);

/* Raw samples of the current step, in global batch order: ids (n), x (n, x_dims), y (n, y_dims).
 * A sample whose id was seen before is not stored again; x and y may be NULL where all were. set
 * TRAIN: the ids are the step's batch. set EVAL: the samples are stored, and no batch. */
enum tdbg_status tdbg_trace_writer_put_samples(struct tdbg_trace_writer *writer, int set, int64_t n,
                                               const int64_t *ids, const void *x, const void *y,
                                               struct tdbg_err *err);

/* Value of keyframe item `item` before the current step. All items of a keyframe have to be put in
 * the same step. */
enum tdbg_status tdbg_trace_writer_put_keyframe(struct tdbg_trace_writer *writer, int32_t item,
                                                const void *data, struct tdbg_err *err);

/* Something that was noticed; durable with the next flush. */
enum tdbg_status tdbg_trace_writer_put_finding(struct tdbg_trace_writer *writer,
                                               const struct tdbg_finding *finding,
                                               struct tdbg_err *err);

/* Commits the current step. row->step has to be the number of steps committed before plus the first
 * step; row->chain is filled in here (from the digests put), the rest by the caller. */
enum tdbg_status tdbg_trace_writer_commit_step(struct tdbg_trace_writer *writer,
                                               struct tdbg_step_row *row, struct tdbg_err *err);

/* For a caller that compresses elsewhere (pipeline.h): chunks of a value or keyframe item are cut
 * before the steps ahead of them are committed, and put when it is their turn. The position is that
 * of the steps that will be committed by then. */
struct tdbg_writer_position {
    int64_t first_step, n_steps, n_keyframes;
};
struct tdbg_chunk_job;
struct tdbg_writer_position tdbg_trace_writer_position(const struct tdbg_trace_writer *writer);

/* Elements first .. first + count - 1 of the site's (item's) value as a job; false: the value
 * cannot be written past the writer in such pieces, or is not due, and has to be put whole. */
bool tdbg_trace_writer_cut_value(struct tdbg_trace_writer *writer,
                                 const struct tdbg_writer_position *position, int32_t site,
                                 int64_t first, int64_t count, int64_t total, const void *data,
                                 struct tdbg_chunk_job *job);
bool tdbg_trace_writer_cut_keyframe(struct tdbg_trace_writer *writer,
                                    const struct tdbg_writer_position *position, int32_t item,
                                    int64_t first, int64_t count, const void *data,
                                    struct tdbg_chunk_job *job);

/* Writes an encoded chunk; `item` >= 0 and `last`: with it the keyframe item is complete. */
enum tdbg_status tdbg_trace_writer_put_chunk(struct tdbg_trace_writer *writer,
                                             struct tdbg_chunk_job *job, int32_t item, bool last,
                                             struct tdbg_err *err);

/* Digests and statistics of all sites of the current step: digests (n_sites), stats (n_sites). */
void tdbg_trace_writer_put_digests(struct tdbg_trace_writer *writer, const uint64_t *digests,
                                   const struct tdbg_stats *stats);

/* Bytes in the file so far. */
int64_t tdbg_trace_writer_bytes(const struct tdbg_trace_writer *writer);

/* h of every chain after the last committed step: chain_before of a file that goes on from here. */
void tdbg_trace_writer_chain(const struct tdbg_trace_writer *writer,
                             uint64_t out[TDBG_CHAIN_COUNT]);

/* Takes over what another writer of the same run, which has put none of its own yet, knows of
 * samples that were stored: they are not stored again. */
void tdbg_trace_writer_take_samples(struct tdbg_trace_writer *writer,
                                    struct tdbg_trace_writer *from);

/* For a writer that works for another process: that one is to take the lock of the program
 * (file_lock.h), which the writer holds until now. */
void tdbg_trace_writer_hand_over(struct tdbg_trace_writer *writer);

/* Steps are durable in blocks, or a second after they were committed. _flush makes all committed
 * steps durable now; _durable is the last one that is (the one before the first: none). */
enum tdbg_status tdbg_trace_writer_flush(struct tdbg_trace_writer *writer, struct tdbg_err *err);
int64_t tdbg_trace_writer_durable(const struct tdbg_trace_writer *writer);
bool tdbg_trace_writer_has_unflushed(const struct tdbg_trace_writer *writer);

/* Makes all committed steps durable and frees the writer, whatever happened; after a failure too
 * all committed steps are in the file where the disk has any room. _close: the recording ended as
 * it should, and the file says so; _abandon: it was cut off. NULL is fine. */
enum tdbg_status tdbg_trace_writer_close(struct tdbg_trace_writer *writer, struct tdbg_err *err);
enum tdbg_status tdbg_trace_writer_abandon(struct tdbg_trace_writer *writer, struct tdbg_err *err);

#endif
