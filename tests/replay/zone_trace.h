/* Traces for tests of searches by zones, from a seed: two ranks, statistics whose size changes
 * every few steps, NaN and infinities now and then, evaluations, cadences, statistics that are
 * missing, and a last zone that is not complete. And conditions about them, from a seed too. */
#ifndef TDBG_TESTS_REPLAY_ZONE_TRACE_H
#define TDBG_TESTS_REPLAY_ZONE_TRACE_H

#include "trace/writer.h"

enum { ZONE_SITES = 16, ZONE_ELEMS = 12, ZONE_TEXT = 600 };

struct zone_trace {
    uint64_t seed;
    bool is_calm;    /* everything is finite, nothing is missing, the ranks agree */
    bool has_curves; /* loss and norm of gradients fall, with hills: they diverge at times */
    int64_t first_step, n_steps;
    int64_t next_at; /* after so many steps it goes on in another file; 0: it does not */
    int32_t world_size, steps_per_zone;
    struct tdbg_trace_spec spec;
    struct tdbg_site sites[ZONE_SITES];
    struct tdbg_site_plan plans[ZONE_SITES];
    struct tdbg_keyframe_item items[1];
};

/* 64 random bits that depend on the seed and two numbers only. */
uint64_t zone_random(uint64_t seed, int64_t a, int64_t b);

void zone_trace_make(struct zone_trace *t, uint64_t seed, int32_t world_size, bool is_calm);

/* The file of a rank without steps, which are those that _step adds, in order. */
struct tdbg_trace_writer *zone_trace_create(struct zone_trace *t, const char *path, int32_t rank);
void zone_trace_step(const struct zone_trace *t, struct tdbg_trace_writer *w, int64_t step);

/* Writes the file of a rank: `path` is that of rank 0. */
void zone_trace_write(const struct zone_trace *t, const char *path, int32_t rank);

/* Takes the zones out of a file: what an older program would have written. */
void zone_trace_strip(const char *path);

/* A condition, or an expression that is a number, that parses and binds. */
void zone_condition(const struct zone_trace *t, uint64_t seed, char text[ZONE_TEXT]);
void zone_number(const struct zone_trace *t, uint64_t seed, char text[ZONE_TEXT]);

#endif
