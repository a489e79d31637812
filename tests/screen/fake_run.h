/* A run that was never recorded, for tests of the terminal: every value follows from (step, site)
 * by plain arithmetic, reads are counted, and any of them can be made to fail. */
#ifndef TDBG_TESTS_SCREEN_FAKE_RUN_H
#define TDBG_TESTS_SCREEN_FAKE_RUN_H

#include "tui/data.h"

enum { FAKE_MAX_SITES = 128, FAKE_MAX_RANKS = 4, FAKE_BATCH = 64 };

enum fake_read {
    FAKE_READ_ROWS,
    FAKE_READ_STEP_STATS,
    FAKE_READ_STATS,
    FAKE_READ_DIGESTS,
    FAKE_READ_SAMPLES,
    FAKE_READ_VOCABULARY
};

/* What a sample is: (28, 28) bytes, (3, 16, 16) bytes, 24 tokens of 96, 5 numbers, or text
 * (fake_text.h). */
enum fake_samples {
    FAKE_IMAGES,
    FAKE_COLOUR_IMAGES,
    FAKE_TOKENS,
    FAKE_NUMBERS,
    FAKE_CHARACTERS,
    FAKE_BYTES,
    FAKE_WORDS
};

/* 0 or NULL: what the comment says. */
struct fake_wish {
    int64_t first_step;
    int64_t n_steps;    /* 2000 */
    int64_t eval_every; /* 100; evaluated steps are 99, 199, ... */
    bool no_sites, cut_off;
    int32_t lanes, micros; /* 1; a forward or backward site is there for each of them */
    bool has_jobs;         /* values and origins are computed (fake_jobs.h) */
    bool kinds;            /* tensors of every type, and of odd shapes, behind the others */
    bool few_stats;        /* those of gradients and parameters alone are recorded */
    bool no_graph;         /* nobody knows what was computed from what */
    bool wide_names;       /* names with wide, combining and invalid characters */
    int64_t parts_from;    /* not 0: other bits than a run without, from this step's fwd/fc1 on */
    bool is_light;         /* statistics of parameters at keyframes only */
    bool trouble;          /* more goes wrong: see enum fake_trouble */
    bool has_zones;        /* of FAKE_ZONE steps */
    int64_t hidden_from;   /* not 0: from this step on, for two steps, param/fc1.bias has a NaN */
    int32_t ranks;         /* 1; of 4 the last one has no file, and rank 2 parts from the others */
    enum fake_samples samples;
    const char *config; /* a short one with momentum */
    /* Does a read that touches this step fail? Nothing fails. */
    bool (*fails)(enum fake_read what, int64_t step);
};

struct fake_run {
    struct tdbg_tui_data data;
    struct tdbg_tui_data rank_data[FAKE_MAX_RANKS];
    struct fake_rank {
        struct fake_run *run;
        int32_t rank;
    } of_rank[FAKE_MAX_RANKS];
    struct tdbg_tui_ranks ranks;
    struct tdbg_samples_spec spec;
    struct tdbg_run_info info, rank_info[FAKE_MAX_RANKS];
    struct fake_wish wish;
    struct tdbg_site sites[FAKE_MAX_SITES];
    struct tdbg_site rank_sites[FAKE_MAX_RANKS][FAKE_MAX_SITES];
    /* since the last reset */
    int64_t n_row_reads, n_rows, n_step_stats_reads, n_stats_reads;
    int64_t n_digest_reads, n_sample_reads, n_samples, n_folds, n_opened_ranks;
};

/* Steps whose loss and gradients are NaN, in the default run; from which rank 2 is not as the
 * others, first in reduce_out/fc2.weight. */
enum { FAKE_NAN_FROM = 1450, FAKE_NAN_TO = 1470, FAKE_SPLIT = 1200 };

enum { FAKE_ZONE = 64 };

/* With wish.trouble: a gradient norm 8 times as large; a relu that is dead and a bias without a
 * gradient; the evaluation loss rises from there on while the loss falls; the loss grows. */
enum fake_trouble {
    FAKE_SPIKE = 1419,
    FAKE_DEAD_FROM = 1600,
    FAKE_OVERFITS_FROM = 799,
    FAKE_DIVERGES_FROM = 1950
};

void fake_run_make(struct fake_run *run, const struct fake_wish *wish);
void fake_run_reset_counts(struct fake_run *run);

bool fake_run_evaluated(const struct fake_run *run, int64_t step);
void fake_run_row(const struct fake_run *run, int64_t step, struct tdbg_step_row *row);
void fake_run_stats(const struct fake_run *run, int64_t step, int32_t site, struct tdbg_stats *out);

uint64_t fake_run_digest(const struct fake_run *run, int32_t rank, int64_t step, int32_t site);

#endif
