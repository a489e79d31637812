/* Makes traces for tests: a random but valid list of sites from a seed, and values that follow from
 * (seed, step, site), so that a reader's answers can be checked without keeping anything. */
#ifndef TDBG_TESTS_TRACE_TRACE_MAKER_H
#define TDBG_TESTS_TRACE_TRACE_MAKER_H

#include "trace/writer.h"

enum { MAKER_MAX_SITES = 256, MAKER_MAX_ITEMS = 8, MAKER_MAX_TOKENS = 40 };

struct maker {
    uint64_t seed;
    struct tdbg_trace_spec spec;
    struct tdbg_site sites[MAKER_MAX_SITES];
    struct tdbg_site_plan plans[MAKER_MAX_SITES];
    struct tdbg_keyframe_item items[MAKER_MAX_ITEMS];
    int64_t first_step, n_steps;
    uint64_t chain_before[TDBG_CHAIN_COUNT];   /* where spec.chain_before says so */
    int64_t token_start[MAKER_MAX_TOKENS + 1]; /* of spec.vocabulary, which every other seed has */
    unsigned char token_bytes[MAKER_MAX_TOKENS * 4];
};

/* What maker_make is to make: 0 leaves a field to the seed. */
struct maker_wish {
    int32_t lanes, accumulate;
    int64_t steps;
    bool large; /* tensors above 4 MiB */
};

void maker_make(struct maker *m, uint64_t seed, const struct maker_wish *wish);

/* 64 random bits that depend on the seed and three numbers only. */
uint64_t maker_random(const struct maker *m, int64_t a, int64_t b, int64_t c);

/* What the run did at a step. */
int64_t maker_samples(const struct maker *m, int64_t step); /* in the global batch */
bool maker_evaluated(const struct maker *m, int64_t step);
void maker_batch(const struct maker *m, int64_t step, int64_t *ids);
void maker_row(const struct maker *m, int64_t step, struct tdbg_step_row *row); /* chain left out */

/* Values of a site at a step: n_valid elements, then zeros; data has room for the whole shape. */
void maker_values(const struct maker *m, int32_t site, int64_t step, void *data, int64_t *n_valid);

/* What a replay makes of a site's value: mostly the same; for `residual` sites sometimes not. */
void maker_predicted(const struct maker *m, int32_t site, int64_t step, void *data,
                     int64_t *n_valid);

/* Are its values put with tdbg_trace_writer_put_values? */
bool maker_is_stored_by_step(const struct tdbg_site_plan *plan);

/* x and y of a sample; values of a keyframe item. */
void maker_sample(const struct maker *m, int set, int64_t id, void *x, void *y);
void maker_item(const struct maker *m, int32_t item, int64_t step, void *data);
size_t maker_sample_bytes(const struct maker *m, int set, bool y);

/* Creates a trace without a step, and puts and commits the next one. */
struct tdbg_trace_writer *maker_create(const struct maker *m, const char *path);
void maker_write_step(const struct maker *m, struct tdbg_trace_writer *w, int64_t step);

/* Writes all steps; without close, the writer is returned for the caller to go on with. */
struct tdbg_trace_writer *maker_write_open(const struct maker *m, const char *path);
void maker_write(const struct maker *m, const char *path);

#endif
