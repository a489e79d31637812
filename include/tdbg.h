/* tdbg.h: records a training run of any program into a trace, and reads traces.
 *
 *     cc train.c $(pkg-config --cflags --libs tdbg)
 *
 * A trace is one HDF5 file that tdbg, h5py and h5dump read as well (docs/trace-format.md). Per step
 * and tensor it holds a 64-bit digest of the bits and statistics, and where it is asked for the
 * values; per step loss, learning rate and hash chains, by which `tdbg diff` finds the first step,
 * tensor and element where two runs part. examples/c/ has a program that records and one that
 * reads.
 *
 * Results. Functions that can fail return enum tdbg_result: TDBG_SUCCESS (0), or what went wrong.
 * tdbg_rec_error() and tdbg_read_error() give the reason in English, one line, until the next
 * failure on the same handle. On failure output parameters are untouched (buffers for values may
 * be partly filled). NULL for a handle or for a pointer that is not said to be optional is
 * TDBG_ERR_USAGE. No mistake of the caller ends the process, and nothing is printed.
 *
 * Threads. Every function may be called from any thread. Calls on one handle must not overlap;
 * calls on different handles may.
 *
 * Writer. A recording is compressed and written by a process of its own, libexec/tdbg/tdbg-writer,
 * which is found from where the library or the program is (TDBG_WRITER in the environment names
 * another place), and has to be of the same build as the library. It outlives the program and
 * brings what was committed into the file; what does not fit on the disk is reported by a later
 * call. Where there is no such process the calls themselves compress and write.
 *
 * HDF5. Reading, and recording without a writer process, share the process's HDF5 with the
 * program. The library registers the zstd filter (32015), turns off HDF5's error printing in the
 * threads that call it, and, if it starts HDF5, asks it not to close at exit: a program that uses
 * HDF5 too has to close its own files, and, where HDF5 was built without thread safety, must not
 * call it meanwhile.
 *
 * Memory. What goes in is copied or written before a call returns. Strings that come out belong to
 * the handle and live until it is freed. Running out of memory is TDBG_ERR_NO_MEMORY for whatever
 * grows with the data; for less than a few hundred KiB it ends the process.
 *
 * Limits. Little-endian machines. 2^20 tensors, 8 dimensions, 2^40 elements of a tensor, 2^31 - 1
 * steps and samples in a batch, names of 120 characters, texts of 16 MiB.
 */
#ifndef TDBG_H
#define TDBG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TDBG_LIB_VERSION "0.1.0"

/* The version of the library that runs, such as "0.1.0". While it begins with 0, programs are to be
 * compiled again for another minor version; the shared object's name is libtdbg.so.0. */
const char *tdbg_lib_version(void);

enum tdbg_result {
    TDBG_SUCCESS = 0,
    TDBG_ERR_USAGE,      /* the call is wrong; it had no effect, and the handle stays good */
    TDBG_ERR_NO_TRACE,   /* no such file, or not a trace */
    TDBG_ERR_DAMAGED,    /* the file is damaged; the text names the object */
    TDBG_ERR_TOO_NEW,    /* written by a newer version of tdbg */
    TDBG_ERR_NOT_FOUND,  /* no such tensor, step or keyframe in this trace */
    TDBG_ERR_NOT_STORED, /* the value was not stored (tdbg show may compute it again) */
    TDBG_ERR_IO,         /* cannot read or write; full disk */
    TDBG_ERR_NO_MEMORY,
    TDBG_ERR_FAILED, /* anything else; of a recording: it has ended with an error before */
};

/* "usage error", ... Never NULL, whatever the number. */
const char *tdbg_result_text(int result);

/* Element types. f16 is IEEE binary16, bf16 the upper half of an f32; all little-endian. */
enum tdbg_elem { TDBG_F32, TDBG_F64, TDBG_BF16, TDBG_F16, TDBG_U8, TDBG_I32, TDBG_I64 };

/* Bytes of one element; 0: no such type. */
size_t tdbg_elem_bytes(enum tdbg_elem elem);

/* What is kept of a tensor, beside digest and statistics. */
enum tdbg_keep {
    TDBG_KEEP_DIGEST,   /* nothing more */
    TDBG_KEEP_VALUES,   /* the values of every value_every-th step */
    TDBG_KEEP_DELTA,    /* the same, as differences between steps: for what changes little, such as
                           parameters and their averages; not for stage "eval". Tensors below 64 KiB
                           are stored together, and read back as TDBG_KEEP_VALUES */
    TDBG_KEEP_KEYFRAME, /* stage "state" only: the values before every keyframe step */
    TDBG_KEEP_SAMPLES,  /* the batch's samples, by their ids; made by tdbg_rec_set_samples() only */
};

enum { TDBG_TENSOR_DIMS = 8 };

/* A tensor that every step has. Set all fields to zero and then the ones that matter. */
struct tdbg_tensor {
    /* "STAGE/TENSOR", such as "grad/fc1.weight", or a name without a slash, such as "loss": 1 to
     * 120 printable ASCII characters without spaces, no part of it empty, "." or "..". */
    const char *name;
    /* One of samples, random, hyper, state, input, fwd, loss, bwd, reduce_in, reduce_out, grad,
     * clip, optim, param, eval. NULL: the name's part before the slash. "state" is a tensor before
     * the step, "param" and "optim" are parameters and optimizer state after it; "eval" tensors
     * exist in steps that evaluate. tdbg compares "loss" and "grad" first. */
    const char *stage;
    const char *op;   /* what made it, such as "linear", up to 64 ASCII characters; NULL: "" */
    const char *unit; /* such as "nats", up to 32; NULL: "" */
    enum tdbg_elem elem;
    int32_t ndim;                    /* 0: a scalar */
    int64_t shape[TDBG_TENSOR_DIMS]; /* the first ndim; each 1 or more; row-major */
    /* 1: shape[0] counts the samples of a full batch, and a step with fewer samples has fewer. */
    int32_t batched;
    enum tdbg_keep keep;
    /* Digest and statistics, and values, at steps with step % every == 0. 0: every step; for
     * TDBG_KEEP_KEYFRAME every keyframe step. What is kept has its digest at the same steps:
     * value_every is a multiple of digest_every, and so is TDBG_INT_KEYFRAME_EVERY. */
    int32_t digest_every, value_every;
    int64_t reserved[4]; /* 0 */
};

struct tdbg_tensor_stats {
    double min, max, mean, rms; /* over the finite elements; NaN where there is none */
    uint64_t zeros, nans, infs; /* elements */
};

/* Digest of n_elems contiguous elements, as in a trace: docs/trace-format.md, "Digests". */
int tdbg_digest_of(const void *data, enum tdbg_elem elem, int64_t n_elems, uint64_t *digest);

/* What describes a run. */
enum tdbg_text {
    TDBG_TEXT_CONFIG,      /* settings, best as lines "key = value": tdbg diff lists differences */
    TDBG_TEXT_CONFIG_PATH, /* where they came from; default: the program */
    TDBG_TEXT_DATASET,     /* JSON by custom, such as {"kind": "idx", "fingerprint": "0x1234"}: tdbg
                              diff compares the fingerprints */
    TDBG_TEXT_ENVIRONMENT, /* JSON; default: time, host, system, machine, and the program's name */
    TDBG_TEXT_PROGRAM,     /* recording only: name and version, goes into the environment */
    /* Reading only: */
    TDBG_TEXT_PATH,    /* of the trace, as it was opened */
    TDBG_TEXT_RUN_ID,  /* UUID */
    TDBG_TEXT_VERSION, /* of the tdbg that wrote the file */
    TDBG_TEXT_PRESET,  /* "light", "standard", "full"; "library": recorded through this library */
    TDBG_TEXT_INJECT,  /* faults that tdbg planted on purpose */
    TDBG_TEXT_GRAPH,   /* JSON of tdbg's ops; empty for "library" */
};

enum tdbg_int {
    TDBG_INT_BATCH,          /* samples of a full step, 1 or more; to be set */
    TDBG_INT_SEED,           /* 64 bits */
    TDBG_INT_PLANNED_STEPS,  /* how many the run is to have; default 0: not known */
    TDBG_INT_KEYFRAME_EVERY, /* steps; default 0: no keyframes */
    TDBG_INT_FIRST_STEP,     /* number of the first step; default 0 */
    /* Reading only: */
    TDBG_INT_STEPS,            /* committed steps in the trace, 1 or more */
    TDBG_INT_CLOSED,           /* 1: the recording was closed; 0: cut off, or it still runs */
    TDBG_INT_NUMERICS_VERSION, /* of tdbg's arithmetic; 0: another program computed the values */
    TDBG_INT_RANK,
    TDBG_INT_WORLD_SIZE,
    TDBG_INT_LANES,      /* parts of a batch that tdbg computes one by one */
    TDBG_INT_ACCUMULATE, /* micro-batches of a lane */
    TDBG_INT_FILE_BYTES,
};

/* ---- Recording ----------------------------------------------------------------------------------
 *
 *     struct tdbg_rec *rec = tdbg_rec_create();
 *     tdbg_rec_set_int(rec, TDBG_INT_BATCH, 64);
 *     tdbg_rec_add(rec, &(struct tdbg_tensor){.name = "loss", .stage = "loss"}, &loss_id);
 *     ...                             all tensors, in the order in which a step makes them
 *     tdbg_rec_begin(rec, "run.h5", 0);
 *     for each step:
 *         tdbg_rec_step(rec, epoch, samples);
 *         tdbg_rec_put(rec, loss_id, &loss, 1);        in any order
 *         ...
 *         tdbg_rec_commit(rec, loss, lr);
 *     tdbg_rec_close(rec);
 *     tdbg_rec_free(rec);
 *
 * TDBG_ERR_USAGE means that the call did nothing, and one may go on. After any other error the
 * recording has ended: what was committed before it stays in the file where the disk has any room,
 * and every later call but close and free is TDBG_ERR_FAILED, with the first reason as its text.
 * The training itself need not stop for it.
 *
 * Steps reach the file together, at the latest about a second after they were committed, and then
 * survive the death of the program. A trace without a step in the file cannot be opened. */
struct tdbg_rec;

/* NULL: out of memory. tdbg_rec_free() frees it. */
struct tdbg_rec *tdbg_rec_create(void);

/* Closes the recording if it is not closed yet, and frees it. NULL is fine. */
void tdbg_rec_free(struct tdbg_rec *rec);

/* Why the last call that failed on this handle failed; "" if none did. Never NULL. */
const char *tdbg_rec_error(const struct tdbg_rec *rec);

/* Before tdbg_rec_begin(), in any order and again at will. Texts are UTF-8. */
int tdbg_rec_set_text(struct tdbg_rec *rec, enum tdbg_text which, const char *text);
int tdbg_rec_set_int(struct tdbg_rec *rec, enum tdbg_int which, int64_t value);

/* Declares that steps have samples with ids 0 .. total - 1. Of x and y (one sample and its target)
 * only elem, ndim and shape count; shape () of y is a class index. Adds the tensors "samples/id"
 * (batch) i64, "samples/x" (batch, ...shape of x), "samples/y" (batch, ...shape of y) with the
 * numbers 0, 1, 2: TDBG_INT_BATCH has to be set before it, and no tensor added. A sample is stored
 * once, however often it is used: an id stands for the same bytes all the time. x and y have at
 * most 7 dimensions. */
int tdbg_rec_set_samples(struct tdbg_rec *rec, const struct tdbg_tensor *x,
                         const struct tdbg_tensor *y, int64_t total);

/* What the tokens of samples stand for, so that samples can be read as text: token i of 0 .. n - 1
 * is the n_bytes[i] bytes at tokens[i]; n_bytes NULL: strings that end with a zero. UTF-8, or parts
 * of it, as byte pairs have them. At most 2^24 tokens and 2^28 bytes; they are copied. */
int tdbg_rec_set_vocabulary(struct tdbg_rec *rec, int64_t n, const char *const *tokens,
                            const size_t *n_bytes);

/* Adds a tensor; *id is its number, from 0 on. In the order in which a step makes them: the first
 * tensor that differs between two runs is then the cause and not a symptom. (name) is unique; which
 * one is there twice is found by tdbg_rec_begin(). */
int tdbg_rec_add(struct tdbg_rec *rec, const struct tdbg_tensor *tensor, int32_t *id);

/* Creates the file. TDBG_ERR_USAGE where it exists already, unless TDBG_REC_OVERWRITE is given, and
 * in any case where another recording writes it or it is no regular file. On failure there is no
 * new file, an old one is what it was, and it may be tried again. */
enum { TDBG_REC_OVERWRITE = 1 };
int tdbg_rec_begin(struct tdbg_rec *rec, const char *path, unsigned flags);

/* Begins the next step. samples, 0 .. TDBG_INT_BATCH, is how many its batch has. */
int tdbg_rec_step(struct tdbg_rec *rec, int64_t epoch, int64_t samples);

/* 1: the current step wants this tensor (its digest, values or keyframe is due); 0: it does not, or
 * there is no such tensor or no step has begun. Saves copying from a device what would be dropped.
 * "eval" tensors are always wanted, but only those of a step that evaluates are needed. */
int tdbg_rec_due(const struct tdbg_rec *rec, int32_t id);

/* The batch of this step: ids (n), x (n, ...shape of x), y (n, ...shape of y), where n is the
 * number of samples that tdbg_rec_step() was told. */
int tdbg_rec_put_samples(struct tdbg_rec *rec, int64_t n, const int64_t *ids, const void *x,
                         const void *y);

/* The tensor's values in this step, contiguous and row-major: n_elems = the product of its shape,
 * where dimension 0 of a batched tensor is the number of samples of this step. For stage "state":
 * the values before the step. Once per step; a tensor that is not due is ignored. The data is
 * read for digest and statistics, and copied where it is kept. */
int tdbg_rec_put(struct tdbg_rec *rec, int32_t id, const void *data, int64_t n_elems);

/* Ends the step. Everything that is due has to be put: TDBG_ERR_USAGE names the first tensor that
 * is missing, and the step goes on. A step in which an "eval" tensor was put is one that evaluates.
 * grad_norm is computed from the "grad" tensors, where all of them were put. */
int tdbg_rec_commit(struct tdbg_rec *rec, float loss, float lr);

/* Writes what is left and closes the file; a step that was not committed is dropped. An error means
 * that the end of the recording may be missing in the file. */
int tdbg_rec_close(struct tdbg_rec *rec);

/* ---- Reading ------------------------------------------------------------------------------------
 *
 * Nothing in the file is taken on trust: what is wrong is TDBG_ERR_DAMAGED, with the object's name.
 * Values are returned where they are stored; this library computes nothing again. */
struct tdbg_read;

/* Opens a trace. *out is set in any case (NULL only when memory is out), so that tdbg_read_error()
 * can be asked; tdbg_read_close() frees it, after a failure too. */
int tdbg_read_open(const char *path, struct tdbg_read **out);
void tdbg_read_close(struct tdbg_read *trace);              /* NULL is fine */
const char *tdbg_read_error(const struct tdbg_read *trace); /* like tdbg_rec_error() */

/* NULL, and 0, for what there is not. */
const char *tdbg_read_text(const struct tdbg_read *trace, enum tdbg_text which);
int64_t tdbg_read_int(const struct tdbg_read *trace, enum tdbg_int which);

/* How many tensors a step has, and what tensor id is. stage is never NULL in *out, and its strings
 * belong to the handle. digest_every 0: never digested. */
int32_t tdbg_read_n_tensors(const struct tdbg_read *trace);
int tdbg_read_tensor(struct tdbg_read *trace, int32_t id, struct tdbg_tensor *out);

/* tdbg cuts a batch into lanes and these into micro-batches; each has tensors of its own, under one
 * name. -1: the tensor is of the whole step, or of all micro-batches of a lane. */
int tdbg_read_lane(struct tdbg_read *trace, int32_t id, int32_t *lane, int32_t *micro);

/* The tensor of that name, lane and micro-batch (-1, -1 in recordings made through this library).
 * TDBG_ERR_NOT_FOUND. */
int tdbg_read_find(struct tdbg_read *trace, const char *name, int32_t lane, int32_t micro,
                   int32_t *id);

struct tdbg_read_step {
    int64_t step, epoch;           /* from 0 */
    int64_t samples;               /* in the step's batch */
    int64_t start_ns, duration_ns; /* start: since the recording's first step */
    double grad_norm;              /* L2 over all gradients; NaN: not known */
    float loss, lr;
    int32_t evaluated; /* 1: the step has "eval" tensors */
    int32_t reserved;
};

/* The n steps from step `first` on into rows (n). Steps are TDBG_INT_FIRST_STEP and the
 * TDBG_INT_STEPS - 1 that follow; TDBG_ERR_NOT_FOUND for others, here and below. */
int tdbg_read_steps(struct tdbg_read *trace, int64_t first, int64_t n, struct tdbg_read_step *rows);

/* Hash chains after a step: chain c of 0 .. TDBG_CHAINS - 1 joins the digests of a group of tensors
 * over all steps so far; two runs agree in that group up to a step exactly if their chains do.
 * Chain 0, "main", is of losses and gradients, the others of one stage each; 0: no tensor belongs
 * to it. _name: NULL for a number that there is not. */
enum { TDBG_CHAINS = 16 };
int tdbg_read_chains(struct tdbg_read *trace, int64_t step, uint64_t chains[TDBG_CHAINS]);
const char *tdbg_read_chain_name(int chain);

/* What there is of a tensor at a step: a sum of the two below; 0: nothing, or no such tensor or
 * step. */
enum { TDBG_HAS_DIGEST = 1, TDBG_HAS_VALUES = 2 };
int tdbg_read_has(struct tdbg_read *trace, int64_t step, int32_t id);

/* Digests of all tensors at a step into digests (n_tensors); 0 where there is none. */
int tdbg_read_digests(struct tdbg_read *trace, int64_t step, uint64_t *digests);

/* Statistics of a tensor at a step; TDBG_ERR_NOT_FOUND where there are none. */
int tdbg_read_stats(struct tdbg_read *trace, int64_t step, int32_t id,
                    struct tdbg_tensor_stats *out);

/* Statistics of all tensors at a step into out (n_tensors); where there are none min is NaN and all
 * counts are 0. */
int tdbg_read_step_stats(struct tdbg_read *trace, int64_t step, struct tdbg_tensor_stats *out);

/* Values of a tensor at a step, from wherever they are stored. data has room for room_bytes, at
 * least the tensor's whole shape (else TDBG_ERR_USAGE); *n_elems, optional, is how many elements
 * are valid, which is less for a batched tensor in a short step; the rest is zero.
 * TDBG_ERR_NOT_STORED; TDBG_ERR_NOT_FOUND for an "eval" tensor of a step that did not evaluate. */
int tdbg_read_values(struct tdbg_read *trace, int64_t step, int32_t id, void *data,
                     size_t room_bytes, int64_t *n_elems);

/* Raw samples. _shape: elem, ndim and shape of one sample and of its target (x, y; optional), and
 * how many samples the set has (*total; 0: the trace has no such set). _ids: ids of a step's batch
 * in order into ids, which has room for TDBG_INT_BATCH; *n is how many. _samples: n samples by id
 * into x (n, ...) and y (n, ...); either may be NULL. */
enum tdbg_sample_set { TDBG_TRAIN_SAMPLES, TDBG_EVAL_SAMPLES };
int tdbg_read_samples_shape(struct tdbg_read *trace, enum tdbg_sample_set set,
                            struct tdbg_tensor *x, struct tdbg_tensor *y, int64_t *total);
int tdbg_read_batch_ids(struct tdbg_read *trace, int64_t step, int64_t *ids, int64_t *n);
int tdbg_read_samples(struct tdbg_read *trace, enum tdbg_sample_set set, int64_t n,
                      const int64_t *ids, void *x, void *y);

/* What tokens stand for: token i is bytes[start[i]] .. bytes[start[i + 1] - 1]; start has *n_tokens
 * + 1 elements. 0 and NULL where the trace does not say. Both arrays belong to the handle. */
int tdbg_read_vocabulary(struct tdbg_read *trace, int64_t *n_tokens, const int64_t **start,
                         const unsigned char **bytes);

/* Keyframes: all parameters and optimizer state before a step. _before: the step of the last one at
 * or before `step`; -1: none. _item: name (without stage), elem, ndim and shape of item 0 ..
 * n_items - 1. _keyframe: the item's values before keyframe step `step`, into data, which has room
 * for room_bytes. */
int64_t tdbg_read_keyframe_before(const struct tdbg_read *trace, int64_t step);
int32_t tdbg_read_n_items(const struct tdbg_read *trace);
int tdbg_read_item(struct tdbg_read *trace, int32_t item, struct tdbg_tensor *out);
int tdbg_read_keyframe(struct tdbg_read *trace, int64_t step, int32_t item, void *data,
                       size_t room_bytes);

#ifdef __cplusplus
}
#endif

#endif
