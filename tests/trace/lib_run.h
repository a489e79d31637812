/* A made-up training run that is recorded through the public library and read back: shared by the
 * tests of the library, which see include/tdbg.h and nothing else of tdbg. Values follow from
 * (tensor, step), so that nothing has to be kept. All of these fail the test that calls them. */
#ifndef TDBG_TESTS_TRACE_LIB_RUN_H
#define TDBG_TESTS_TRACE_LIB_RUN_H

#include <stddef.h>
#include <stdint.h>

#include <tdbg.h>

enum {
    BATCH = 6,
    STEPS = 25,
    FIRST = 3,
    KEYFRAMES = 4,
    CLASSES = 5,
    PIXELS = 12,
    LARGE = 2000,
    MOST_BYTES = 1 << 17
};
enum { IDS, X, Y, STATE, FWD, HIDDEN, LOSS, GRAD, BIAS, MOMENT, PARAM, ACCURACY, N_TENSORS };

extern const struct tdbg_tensor lib_tensors[N_TENSORS];

/* What tokens stand for: with zeros, without anything, and half a character. */
enum { LIB_TOKENS = 4 };
extern const char *const lib_tokens[LIB_TOKENS];
extern const size_t lib_token_bytes[LIB_TOKENS];

/* 64 bits that follow from where they stand. */
uint64_t lib_bits(int64_t a, int64_t b, int64_t c);

/* Values of a tensor at a step; returns how many elements. */
int64_t lib_fill(int id, int64_t step, void *data);

/* The run: described; one tensor, the batch, a whole step put; recorded with all its steps. */
struct tdbg_rec *lib_describe(void);
int lib_put(struct tdbg_rec *rec, int id, int64_t step);
int lib_put_batch(struct tdbg_rec *rec, int64_t step);
void lib_record_step(struct tdbg_rec *rec, int64_t step);
void lib_record(const char *path);

/* The trace: opened, and compared with the run. */
struct tdbg_read *lib_open(const char *path);
void lib_check_description(struct tdbg_read *t);
void lib_check_step(struct tdbg_read *t, int64_t step);

/* A folder for one test program (set-up and tear-down of cmocka), and a path in it. */
int lib_make_folder(void **unused);
int lib_remove_folder(void **unused);
const char *lib_path(const char *name, char *buf);

#endif
