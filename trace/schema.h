/* What reader and writer agree on: names, versions, limits, and the rows of the tables.
 * docs/trace-format.md is the text. Any change here that an old reader cannot ignore raises
 * TDBG_SCHEMA_MAJOR; an addition raises TDBG_SCHEMA_MINOR. */
#ifndef TDBG_TRACE_SCHEMA_H
#define TDBG_TRACE_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/site.h"

enum {
    TDBG_SCHEMA_MAJOR = 1,
    TDBG_SCHEMA_MINOR = 5,
    TDBG_ZSTD_FILTER_ID = 32015, /* registered with The HDF Group */
    TDBG_MAX_STEPS = INT32_MAX,
    TDBG_MAX_WHOLE_EVERY = 4096, /* rows of /delta from one whole value to the next */
    TDBG_UUID_BYTES = 16,
    TDBG_NUMERICS_FOREIGN = 0, /* as numerics_version: another program computed the values */
};

/* Where the values of a site are kept. */
enum tdbg_store {
    TDBG_STORE_NONE,     /* digest and statistics at most; the value is computed again */
    TDBG_STORE_DATASET,  /* /t/<stage>/<tensor>, one row per step of the site's cadence */
    TDBG_STORE_PACKED,   /* /packed/<stage>/<dtype>, beside other small tensors of its kind */
    TDBG_STORE_SAMPLES,  /* /samples: by sample id */
    TDBG_STORE_KEYFRAME, /* /keyframe/<tensor> */
    TDBG_STORE_DELTA,    /* /delta/<stage>/<tensor>, as difference to the row before */
    TDBG_STORE_RESIDUAL, /* /residual/<stage>/<tensor>, as difference to the recomputed value */
    TDBG_STORE_COUNT
};

/* How a site is recorded. `every` is a cadence: at steps where step % every == 0; 0 = never.
 * Evaluation sites have every = 1 and `eval_only`: they exist at steps that evaluate. */
struct tdbg_site_plan {
    int32_t digest_every; /* digests and statistics */
    int32_t value_every;  /* values, when store is DATASET, PACKED, DELTA or RESIDUAL */
    enum tdbg_store store;
};

/* One row of /steps, written last of all that belongs to a step: a step is committed when its row
 * is there. */
struct tdbg_step_row {
    int64_t step;    /* from 0 */
    int64_t epoch;   /* from 0 */
    int64_t samples; /* in this step's global batch */
    float loss;
    float lr;
    double grad_norm; /* L2 over all grad/ sites; NaN where statistics of grad are not recorded */
    int64_t start_ns; /* since the start of the recording */
    int64_t duration_ns;
    int32_t evaluated;                /* 1: eval/ sites of this step hold values */
    int32_t dropped;                  /* values left out because the queue was full; since 1.1 */
    int64_t wait_ns;                  /* of duration_ns: waiting for other ranks; since 1.3 */
    uint64_t chain[TDBG_CHAIN_COUNT]; /* h(step); 0 for chains that no recorded site belongs to */
};

/* A named tensor of a keyframe: parameters and optimizer state before a step. */
struct tdbg_keyframe_item {
    const char *name; /* the state site's tensor name: "fc1.weight", "fc1.weight.exp_avg" */
    enum tdbg_dtype dtype;
    int32_t ndim;
    int64_t dims[TDBG_MAX_DIMS];
};

/* A set of raw samples: "train" or "eval". x and y have any shape per sample. */
enum { TDBG_SAMPLES_TRAIN, TDBG_SAMPLES_EVAL, TDBG_SAMPLES_SETS };
struct tdbg_samples_spec {
    enum tdbg_dtype x_dtype, y_dtype;
    int32_t x_ndim, y_ndim; /* per sample */
    int64_t x_dims[TDBG_MAX_DIMS], y_dims[TDBG_MAX_DIMS];
    int64_t total;   /* samples that the data set holds in this set (ids are 0 .. total-1) */
    int64_t classes; /* class indices in y are below this; 0: none, or not known. Since 1.2 */
    int64_t vocab;   /* tokens in x are below this; 0: none, or not known. Since 1.2 */
};

/* One row of /findings: what was noticed while recording. Texts are printable ASCII. */
enum { TDBG_MOST_FINDINGS = 100000, TDBG_FINDINGS_PER_CHUNK = 16 };
struct tdbg_finding {
    int64_t step;
    int32_t rank;
    char severity[8 + 1]; /* "error", "warning", "note" */
    char rule[48 + 1];    /* "loss.nonfinite" */
    char site[TDBG_MAX_SITE_NAME + 1];
    char text[200 + 1];
};

/* Zones: what each stretch of steps holds at least and at most, so that a search passes over those
 * in which a condition cannot hold. Since 1.5. */
enum {
    TDBG_ZONE_STEPS = 256,          /* of a zone, where a writer's caller does not say */
    TDBG_ZONE_MOST_STEPS = 1 << 20, /* that a reader takes */
    TDBG_ZONE_IRREGULAR = -1,       /* as `recorded` */
};

/* A row of /zones/steps: over the rows of its steps. Of numbers that may be NaN, low and high are
 * over the others, and NaN where there is none. */
struct tdbg_zone_steps {
    int64_t first;     /* step */
    int32_t evaluated; /* steps that evaluated */
    int64_t epoch_low, epoch_high, samples_low, samples_high;
    int32_t loss_nans, lr_nans, grad_norm_nans; /* steps */
    float loss_low, loss_high, lr_low, lr_high;
    double grad_norm_low, grad_norm_high;
};

/* An element of /zones/stats: over the statistics of a site in the steps of a zone. */
struct tdbg_zone_stats {
    int32_t recorded; /* steps that have them; TDBG_ZONE_IRREGULAR: nothing is told of the site */
    int32_t finite;   /* of these, steps with a finite element: what the doubles are over */
    double min_low, min_high, max_low, max_high, mean_low, mean_high, rms_low, rms_high;
    uint64_t zeros_low, zeros_high, nans_low, nans_high, infs_low, infs_high;
};

/* All that describes a run and is fixed before its first step. Strings are UTF-8. */
struct tdbg_run_info {
    const char *tdbg_version;
    int32_t numerics_version;
    uint8_t uuid[TDBG_UUID_BYTES], parent_uuid[TDBG_UUID_BYTES]; /* parent all 0: none */
    int32_t rank, world_size, lanes, accumulate;
    int64_t batch;          /* samples per step, global */
    int64_t planned_steps;  /* how many the run was to have */
    int64_t keyframe_every; /* steps */
    uint64_t seed;
    const char *preset;        /* "standard" */
    const char *overflow;      /* "wait" or "drop": what a full queue does; NULL: wait. Since 1.1 */
    int64_t memory_bytes;      /* most memory that recording took; 0: not known. Since 1.1 */
    const char *config;        /* effective config as canonical libconfig text, without `inject` */
    const char *config_path;   /* as given on the command line, for messages */
    const char *config_source; /* the file's own text */
    const char *inject;        /* the `inject` group as libconfig text; "" = none */
    const char *environment;   /* JSON: host, cpu, isa, threads, libraries, time */
    const char *dataset;       /* JSON: kind, files, counts, fingerprint */
    const char *graph;         /* JSON: ops with inputs, outputs, parameters */
};

#endif
