/* Reading a trace: lazy, and the one place that validates. Everything read from the file is hostile
 * until checked here; what these functions return is safe to use. One thread uses a reader.
 *
 * Errors: TDBG_NO_TRACE (missing, not HDF5, not a trace, no committed step), TDBG_TOO_NEW,
 * TDBG_DAMAGED (names the object), TDBG_NOT_FOUND (no such site, step not recorded),
 * TDBG_NEEDS_REPLAY (not stored; no recompute function was registered), TDBG_NO_MEMORY. */
#ifndef TDBG_TRACE_READER_H
#define TDBG_TRACE_READER_H

#include "base/status.h"
#include "base/vocabulary.h"
#include "trace/schema.h"

struct tdbg_trace;

enum tdbg_status tdbg_trace_open(const char *path, struct tdbg_trace **out, struct tdbg_err *err);
void tdbg_trace_close(struct tdbg_trace *trace); /* NULL is fine */

/* Borrowed until close. */
const char *tdbg_trace_path(const struct tdbg_trace *trace);
const struct tdbg_run_info *tdbg_trace_info(const struct tdbg_trace *trace);
const struct tdbg_site *tdbg_trace_sites(const struct tdbg_trace *trace, int32_t *n_sites);
const struct tdbg_site_plan *tdbg_trace_plans(const struct tdbg_trace *trace); /* (n_sites) */
const struct tdbg_samples_spec *tdbg_trace_samples(const struct tdbg_trace *trace, int set);
bool tdbg_trace_same_samples(const struct tdbg_trace *a, const struct tdbg_trace *b); /* kinds */
const struct tdbg_keyframe_item *tdbg_trace_keyframe_items(const struct tdbg_trace *trace,
                                                           int32_t *n_items);

/* Reads the copy of the file's beginning that a damaged file is rebuilt from (docs/trace-format.md,
 * /recovery); a file of schema 1.0 has none, which is fine. TDBG_DAMAGED. */
enum tdbg_status tdbg_trace_check_skeleton(struct tdbg_trace *trace, struct tdbg_err *err);

/* Path of the file of another rank of the same run, whether or not it is there: by its name, or by
 * the link in rank 0's file where that leads to a file beside it. */
const char *tdbg_trace_rank_path(struct tdbg_trace *trace, int32_t rank);

/* Was the file closed by its writer? false: the recording was cut off (or still runs). */
bool tdbg_trace_is_closed(const struct tdbg_trace *trace);

/* Why the trace ends before its last file (one that is damaged, or missing in the middle); NULL: it
 * does not. Borrowed. */
const char *tdbg_trace_note(const struct tdbg_trace *trace);

/* What is torn in the file and was read all the same, as far as that was noticed by now: a header
 * of a dataset, or the index of its chunks, whose place the chunks' trailers say. The i-th text,
 * and the file that it is about; NULL: there are no more. Borrowed. */
const char *tdbg_trace_damage(const struct tdbg_trace *trace, int64_t i, const char **path);

/* Called with the file's path whenever a reader of this process begins to read by trailers, from
 * whatever thread that is in. To be set before traces are opened; NULL: nobody is told. */
typedef void (*tdbg_trace_damage_fn)(const char *path);
void tdbg_trace_on_damage(tdbg_trace_damage_fn fn);

/* Steps first .. first + n - 1 are committed. n >= 1. */
int64_t tdbg_trace_first_step(const struct tdbg_trace *trace);
int64_t tdbg_trace_n_steps(const struct tdbg_trace *trace);

/* h of every chain before the first recorded step, and before any recorded one. */
void tdbg_trace_chain_before(const struct tdbg_trace *trace, uint64_t out[TDBG_CHAIN_COUNT]);
enum tdbg_status tdbg_trace_read_chain_before(struct tdbg_trace *trace, int64_t step,
                                              uint64_t out[TDBG_CHAIN_COUNT], struct tdbg_err *err);

/* In a file that was closed no table has more rows than there are steps: TDBG_DAMAGED names one
 * that has. */
enum tdbg_status tdbg_trace_check_rows(const struct tdbg_trace *trace, struct tdbg_err *err);

/* Index of the site, or -1. lane and micro as in struct tdbg_site. */
int32_t tdbg_trace_find_site(const struct tdbg_trace *trace, const char *name, int32_t lane,
                             int32_t micro);

/* n rows of /steps from step `first` on into rows (n). */
enum tdbg_status tdbg_trace_read_steps(struct tdbg_trace *trace, int64_t first, int64_t n,
                                       struct tdbg_step_row *rows, struct tdbg_err *err);

/* Digests of all sites of one step into digests (n_sites). A site that was not digested in this
 * step (cadence, no evaluation) has digest 0. */
enum tdbg_status tdbg_trace_read_digests(struct tdbg_trace *trace, int64_t step, uint64_t *digests,
                                         struct tdbg_err *err);

/* Was this site digested (are its values stored, so that reading them recomputes nothing) at this
 * step? `evaluated` is the step row's field. */
bool tdbg_trace_has_digest(const struct tdbg_trace *trace, int32_t site, int64_t step,
                           bool evaluated);
bool tdbg_trace_has_values(struct tdbg_trace *trace, int32_t site, int64_t step, bool evaluated);

/* Is the difference to what replay computes stored of this site at this step (store RESIDUAL)? */
bool tdbg_trace_has_residual(const struct tdbg_trace *trace, int32_t site, int64_t step,
                             bool evaluated);

/* Statistics of one site of one step. TDBG_NOT_FOUND where none were recorded. */
enum tdbg_status tdbg_trace_read_stats(struct tdbg_trace *trace, int64_t step, int32_t site,
                                       struct tdbg_stats *out, struct tdbg_err *err);

/* Statistics of all sites of one step into out (n_sites); absent ones have min = NaN and all counts
 * 0. */
enum tdbg_status tdbg_trace_read_step_stats(struct tdbg_trace *trace, int64_t step,
                                            struct tdbg_stats *out, struct tdbg_err *err);

/* The zone (schema.h) that a recorded step is in: n steps from `first` on. false: none that can be
 * used covers it, as where the file is of an older version, or for the last steps. */
bool tdbg_trace_find_zone(struct tdbg_trace *trace, int64_t step, int64_t *first, int64_t *n);

/* A file without zones is fine; TDBG_DAMAGED: it has some that cannot be opened. */
enum tdbg_status tdbg_trace_check_zones(struct tdbg_trace *trace, struct tdbg_err *err);

/* What the zone that begins at step `first` says of its steps, of the statistics of all sites, and
 * of their digests: (n_sites). TDBG_DAMAGED also where it contradicts itself. */
enum tdbg_status tdbg_trace_read_zone_steps(struct tdbg_trace *trace, int64_t first,
                                            struct tdbg_zone_steps *out, struct tdbg_err *err);
enum tdbg_status tdbg_trace_read_zone_stats(struct tdbg_trace *trace, int64_t first,
                                            struct tdbg_zone_stats *out, struct tdbg_err *err);
enum tdbg_status tdbg_trace_read_zone_digests(struct tdbg_trace *trace, int64_t first,
                                              uint64_t *out, struct tdbg_err *err);

/* Value of a site: tdbg_site_elems() elements of its dtype into data, rest of a short batch zero.
 * *n_elems (may be NULL) is how many are valid. Reads what is stored, wherever it is (dataset,
 * packed, delta, samples, keyframe; TDBG_NOT_FOUND where the writer left a packed or delta value
 * out); else calls the recompute function; else TDBG_NEEDS_REPLAY. Values of store DELTA cost a
 * read of up to TDBG_MAX_WHOLE_EVERY rows, one where the step before was read last. Values of store
 * RESIDUAL are recomputed and corrected: TDBG_DAMAGED where that does not give the recorded digest,
 * TDBG_NOT_FOUND and TDBG_NEEDS_REPLAY as above. */
enum tdbg_status tdbg_trace_read_values(struct tdbg_trace *trace, int64_t step, int32_t site,
                                        void *data, int64_t *n_elems, struct tdbg_err *err);

/* What is stored of a site with store RESIDUAL: tdbg_site_elems() differences to what is computed
 * again, zeros where the two agree. TDBG_NOT_FOUND where there is none. */
enum tdbg_status tdbg_trace_read_residual(struct tdbg_trace *trace, int64_t step, int32_t site,
                                          void *data, struct tdbg_err *err);

/* Called for values that are not stored, or stored as a residual of what this makes; same meaning
 * of arguments. Registered by replay/. */
typedef enum tdbg_status (*tdbg_trace_recompute_fn)(void *context, struct tdbg_trace *trace,
                                                    int64_t step, int32_t site, void *data,
                                                    int64_t *n_elems, struct tdbg_err *err);
void tdbg_trace_set_recompute(struct tdbg_trace *trace, tdbg_trace_recompute_fn fn, void *context);

/* Sample ids of a step's global batch, in order: ids has room for info->batch; *n is how many. */
enum tdbg_status tdbg_trace_read_batch_ids(struct tdbg_trace *trace, int64_t step, int64_t *ids,
                                           int64_t *n, struct tdbg_err *err);

/* Raw samples by id: x (n, x_dims), y (n, y_dims); either may be NULL. TDBG_DAMAGED when an id is
 * not in the file. */
enum tdbg_status tdbg_trace_read_samples(struct tdbg_trace *trace, int set, int64_t n,
                                         const int64_t *ids, void *x, void *y,
                                         struct tdbg_err *err);

/* What the tokens of samples stand for: read when it is first asked for, borrowed until close;
 * n_tokens 0: the trace does not say. */
enum tdbg_status tdbg_trace_vocabulary(struct tdbg_trace *trace, const struct tdbg_vocabulary **out,
                                       struct tdbg_err *err);

/* Reads it in every file that the trace goes on in. TDBG_DAMAGED. */
enum tdbg_status tdbg_trace_check_vocabulary(struct tdbg_trace *trace, struct tdbg_err *err);

/* How many samples of a set the file holds, and the ids of n of them from row `first` on, in the
 * order in which they are stored. */
int64_t tdbg_trace_n_samples(const struct tdbg_trace *trace, int set);
enum tdbg_status tdbg_trace_read_sample_ids(struct tdbg_trace *trace, int set, int64_t first,
                                            int64_t n, int64_t *ids, struct tdbg_err *err);

/* The last keyframe at or before `step`: its step, or -1. Keyframes exist before every
 * info->keyframe_every-th step, and before the first step of a packed part. */
int64_t tdbg_trace_keyframe_before(const struct tdbg_trace *trace, int64_t step);

/* One item of the keyframe before step `keyframe_step` into data. */
enum tdbg_status tdbg_trace_read_keyframe(struct tdbg_trace *trace, int64_t keyframe_step,
                                          int32_t item, void *data, struct tdbg_err *err);

/* What was noticed while recording; *out is the caller's to free(), NULL where *n is 0. */
enum tdbg_status tdbg_trace_read_findings(struct tdbg_trace *trace, struct tdbg_finding **out,
                                          int64_t *n, struct tdbg_err *err);

/* What the file holds, in bytes on disk, for `tdbg info`. */
struct tdbg_trace_sizes {
    int64_t file_bytes;
    int64_t values_bytes, samples_bytes, keyframe_bytes, digest_bytes; /* stored (compressed) */
    int64_t raw_values_bytes, raw_samples_bytes, raw_keyframe_bytes;   /* before compression */
    int64_t n_keyframes, n_samples;
    int64_t n_files; /* that the trace goes on in, its own included */
};
enum tdbg_status tdbg_trace_read_sizes(struct tdbg_trace *trace, struct tdbg_trace_sizes *out,
                                       struct tdbg_err *err);

#endif
