/* What tests do to files, and how they look at the outcome. */
#ifndef TDBG_TESTS_TRACE_DAMAGE_TOOLS_H
#define TDBG_TESTS_TRACE_DAMAGE_TOOLS_H

#include "tests/trace/trace_maker.h"
#include "trace/trailer_scan.h"

struct file_bytes {
    unsigned char *data;
    size_t n;
};

struct file_bytes load_file(const char *path); /* free(data) */
void save_file(const char *path, struct file_bytes bytes);
void assert_file_is(const char *path, struct file_bytes bytes);

/* Zeroes n bytes, fewer where the file ends. */
void zero_bytes(struct file_bytes bytes, size_t at, size_t n);

/* The index of a chunk in which [at, at + n) takes something, trailers included, or -1. */
int64_t chunk_at(const struct tdbg_chunk_list *list, size_t at, size_t n);

/* Path of a dataset of the file by its number in trailers; "" where there is none. Valid until the
 * next call. */
const char *path_of_number(const char *file, uint32_t number);

/* The trace opens, has at least `least` steps, all of them with the digests that the maker's values
 * have, and everything in it is sound. Returns how many steps there are. */
int64_t assert_sound(const struct maker *m, const char *path, int64_t least);

/* It has n_steps steps, of which every digest and value can be read and is right; all faults that
 * are found are of the file and not of a step, and say `what`. There is at least one. */
void assert_all_readable(const struct maker *m, const char *path, int64_t n_steps,
                         const char *what);

/* The same, but chunks may be lost: what can be read is right, and everything else an error. */
int64_t assert_honest(const struct maker *m, const char *path);

#endif
