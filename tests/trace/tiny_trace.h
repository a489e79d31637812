/* A trace of three sites, grad/a, grad/b at every step and param/a at every other one, for tests of
 * how values are stored: what is put, left out and damaged is up to the test. All that fails here
 * fails the running cmocka test. */
#ifndef TDBG_TESTS_TRACE_TINY_TRACE_H
#define TDBG_TESTS_TRACE_TINY_TRACE_H

#include <hdf5.h>

#include "trace/reader.h"
#include "trace/writer.h"

enum { TINY_MOST_SITES = 8, TINY_ELEMS = 5, TINY_N_STORES = 3 };

extern const enum tdbg_store tiny_stores[TINY_N_STORES]; /* those that go by the digest */
extern char tiny_path[64];                               /* the trace */

/* Sites of five f32 elements, whose values follow from step and site. */
struct tiny {
    struct tdbg_site sites[TINY_MOST_SITES];
    struct tdbg_site_plan plans[TINY_MOST_SITES];
    struct tdbg_trace_spec spec;
};

/* Group set-up and tear-down: the folder of tiny_path. */
int tiny_begin(void **state);
int tiny_end(void **state);

void tiny_make(struct tiny *t, enum tdbg_store store);
void tiny_values(int32_t site, int64_t step, float *out);

/* What a replay makes of them: another value in every third step of grad/a, else the same. */
void tiny_predict(int32_t site, int64_t step, float *out);
enum tdbg_status tiny_recompute(void *context, struct tdbg_trace *trace, int64_t step, int32_t site,
                                void *data, int64_t *n_elems, struct tdbg_err *err);

/* The status is OK; or it is `want`, with a message that holds the words. */
void tiny_check(enum tdbg_status st, struct tdbg_err *err);
void tiny_expect(enum tdbg_status st, enum tdbg_status want, struct tdbg_err *err,
                 const char *words);

/* Writing: piece by piece, or all sites at steps first .. first + n - 1, where grad/b is not put at
 * step `left_out`. */
struct tdbg_trace_writer *tiny_create(const struct tiny *t);
void tiny_put_digest(struct tdbg_trace_writer *w, int32_t site, const float *v);
void tiny_put_value(struct tdbg_trace_writer *w, const struct tiny *t, int32_t site, int64_t step);
void tiny_put(struct tdbg_trace_writer *w, const struct tiny *t, int32_t site, int64_t step);
enum tdbg_status tiny_commit(struct tdbg_trace_writer *w, int64_t step, struct tdbg_err *err);
void tiny_write(const struct tiny *t, int64_t first, int64_t n, int64_t left_out);

/* Reading: opening and reading succeed, with the value that was put, or fail as said. */
struct tdbg_trace *tiny_open(void);
void tiny_expect_open(enum tdbg_status want, const char *words);
void tiny_expect_stored(struct tdbg_trace *trace, int32_t site, int64_t step);
void tiny_expect_read(int64_t step, const char *words); /* of grad/b: damaged; param/a is sound */

/* The file for changes; puts an f32 dataset with so many rows and columns where one was. */
hid_t tiny_reopen(void);
void tiny_replace_rows(const char *name, hsize_t rows, hsize_t columns);

#endif
