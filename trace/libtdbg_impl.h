/* Inside of the public library (include/tdbg.h), shared by libtdbg*.c only. */
#ifndef TDBG_TRACE_LIBTDBG_IMPL_H
#define TDBG_TRACE_LIBTDBG_IMPL_H

#include "base/status.h"
#include "include/tdbg.h"
#include "trace/libtdbg_sink.h"
#include "trace/schema.h"
#include "trace/table.h"

enum { LIB_TEXTS_TO_SET = TDBG_TEXT_PROGRAM + 1, LIB_INTS_TO_SET = TDBG_INT_FIRST_STEP + 1 };

struct rec_tensor {
    struct tdbg_site site; /* name, op and unit are owned */
    enum tdbg_keep keep;
    int32_t digest_every, value_every; /* as asked for; resolved by begin */
    int32_t item;                      /* of a keyframe; -1: none */
    int64_t put_at;                    /* the last step that it was put in; -1: none */
};

/* Describe -> begin -> (step -> put... -> commit)... -> close. */
enum rec_phase { REC_DESCRIBE, REC_BETWEEN_STEPS, REC_IN_STEP, REC_CLOSED };

struct tdbg_rec {
    enum rec_phase phase;
    bool failed; /* the recording has ended with an error */
    struct tdbg_err err;

    char *texts[LIB_TEXTS_TO_SET];
    int64_t ints[LIB_INTS_TO_SET];
    struct tdbg_samples_spec samples; /* total 0: none */
    struct tdbg_vocabulary vocabulary;
    struct rec_tensor *tensors;
    int32_t n_tensors, room;

    struct tdbg_sink sink;
    int64_t step, epoch, n_samples; /* of the current step, or the next one's number */
    int64_t start_ns, step_start_ns;
    bool evaluated;
    double grad_square;
    int32_t n_grads, n_grads_put; /* tensors of stage grad: all, and put in this step */
};

/* HDF5 may be built without thread safety: calls into trace/reader.h take turns. */
void tdbg_lib_lock(void);
void tdbg_lib_unlock(void);

/* The public result of an internal status. */
int tdbg_lib_result(enum tdbg_status status);

/* Sets a handle's error and returns TDBG_ERR_USAGE. */
#define LIB_USAGE(err, ...) tdbg_lib_result(TDBG_RAISE((err), USAGE, __VA_ARGS__))

/* Is it one of enum tdbg_elem? */
static inline bool tdbg_lib_is_elem(enum tdbg_elem elem)
{
    return (unsigned)elem < TDBG_DTYPE_COUNT;
}

#endif
