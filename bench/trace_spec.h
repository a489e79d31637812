/* Traces that benchmarks write by hand: sites named by pattern, no samples. */
#ifndef TDBG_BENCH_TRACE_SPEC_H
#define TDBG_BENCH_TRACE_SPEC_H

#include "trace/writer.h"

enum { SPEC_MAX_SITES = 256 };

struct bench_spec {
    struct tdbg_trace_spec spec;
    struct tdbg_site sites[SPEC_MAX_SITES];
    struct tdbg_site_plan plans[SPEC_MAX_SITES];
    struct tdbg_keyframe_item items[SPEC_MAX_SITES];
    char names[SPEC_MAX_SITES][32];
};

void bench_spec_init(struct bench_spec *b, int32_t lanes, int64_t keyframe_every);

/* Adds a site "<stage>/<tensor>" of rows x cols (cols 0: one dimension); returns its number. A
 * site stored in keyframes gets its item. */
int32_t bench_spec_add(struct bench_spec *b, enum tdbg_stage stage, const char *tensor,
                       int32_t lane, enum tdbg_dtype dtype, int64_t rows, int64_t cols,
                       enum tdbg_store store);

/* Creates the trace, or prints why not and returns NULL. */
struct tdbg_trace_writer *bench_spec_create(const struct bench_spec *b, const char *path);

void bench_put(struct tdbg_trace_writer *w, int32_t site, const void *data, int64_t elems);
void bench_commit(struct tdbg_trace_writer *w, int64_t step);
void bench_close(struct tdbg_trace_writer *w);

int64_t bench_file_bytes(const char *path);

#endif
