/* A site is the stable name of one tensor in a training step, for one (lane, micro-batch).
 * The list of sites is fixed before the first step and is in dataflow order, so that the first
 * site that differs between two runs is the root and not a symptom. */
#ifndef TDBG_BASE_SITE_H
#define TDBG_BASE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, text): stages in dataflow order. The text is what configs and traces spell. */
#define TDBG_STAGE_LIST(X)                                                                         \
    X(SAMPLES, "samples")       /* raw samples as the data set holds them */                       \
    X(RANDOM, "random")         /* state of random sources that a step consumes */                 \
    X(HYPER, "hyper")           /* learning rate, loss scale, clip limit */                        \
    X(STATE, "state")           /* parameters and optimizer state before the step */               \
    X(INPUT, "input")           /* samples after the data transforms */                            \
    X(FWD, "fwd")               /* op outputs */                                                   \
    X(LOSS, "loss")             /* per-sample losses, their sums, the loss of the step */          \
    X(BWD, "bwd")               /* gradients of op outputs */                                      \
    X(REDUCE_IN, "reduce_in")   /* per lane: parameter gradients, micro-batches added */           \
    X(REDUCE_OUT, "reduce_out") /* all lanes folded */                                             \
    X(GRAD, "grad")             /* after the divisor: what clipping and the optimizer see */       \
    X(CLIP, "clip")             /* clipped gradients */                                            \
    X(OPTIM, "optim")           /* optimizer state after the step */                               \
    X(PARAM, "param")           /* parameters after the step */                                    \
    X(EVAL, "eval")             /* validation */

enum tdbg_stage {
#define TDBG_STAGE_ENUM(name, text) TDBG_STAGE_##name,
    TDBG_STAGE_LIST(TDBG_STAGE_ENUM)
#undef TDBG_STAGE_ENUM
        TDBG_STAGE_COUNT
};

/* X(NAME, text, bytes) */
#define TDBG_DTYPE_LIST(X)                                                                         \
    X(F32, "f32", 4)                                                                               \
    X(F64, "f64", 8)                                                                               \
    X(BF16, "bf16", 2)                                                                             \
    X(F16, "f16", 2)                                                                               \
    X(U8, "u8", 1)                                                                                 \
    X(I32, "i32", 4)                                                                               \
    X(I64, "i64", 8)

enum tdbg_dtype {
#define TDBG_DTYPE_ENUM(name, text, bytes) TDBG_DTYPE_##name,
    TDBG_DTYPE_LIST(TDBG_DTYPE_ENUM)
#undef TDBG_DTYPE_ENUM
        TDBG_DTYPE_COUNT
};

enum {
    TDBG_MAX_DIMS = 8,
    TDBG_MAX_SITE_NAME = 120, /* characters, without the terminating zero */
    TDBG_MAX_SITES = 1 << 20,
    TDBG_LANE_ALL = -1, /* the tensor belongs to the step, not to a lane or micro-batch */
};

struct tdbg_site {
    const char *name; /* "grad/fc1.weight"; a scalar of the step may have no slash: "loss" */
    const char *op;   /* what made it: "linear", "relu_backward", "sgd"; never NULL */
    const char *unit; /* "" where the field has none */
    enum tdbg_stage stage;
    enum tdbg_dtype dtype;
    int32_t lane;  /* 0..S-1, or TDBG_LANE_ALL */
    int32_t micro; /* 0..A-1, or TDBG_LANE_ALL */
    int32_t ndim;  /* 0: a scalar */
    int64_t
        dims[TDBG_MAX_DIMS]; /* the largest shape; dimension 0 may be shorter on a short batch */
    bool batched;            /* dimension 0 counts samples and may be shorter than dims[0] */
};

const char *tdbg_stage_text(enum tdbg_stage stage);
const char *tdbg_dtype_text(enum tdbg_dtype dtype);
size_t tdbg_dtype_bytes(enum tdbg_dtype dtype);

/* Reverse look-ups; false: no such name, *out untouched. */
bool tdbg_stage_parse(const char *text, enum tdbg_stage *out);
bool tdbg_dtype_parse(const char *text, enum tdbg_dtype *out);

/* Elements of the site's largest shape (1 for a scalar). */
int64_t tdbg_site_elems(const struct tdbg_site *site);

/* "(64, 256)" or "()" into buf; returns buf. */
const char *tdbg_site_shape_text(const struct tdbg_site *site, char *buf, size_t buf_bytes);

/* Name without the stage prefix: "fc1.weight" of "grad/fc1.weight", "loss" of "loss". */
const char *tdbg_site_tensor(const struct tdbg_site *site);

/* "grad/fc1.weight" or, with a lane, "fwd/fc1 lane 2 micro 0" into buf; returns buf. */
const char *tdbg_site_label(const struct tdbg_site *site, char *buf, size_t buf_bytes);

#endif
