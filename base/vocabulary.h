/* What the numbers of tokens stand for: a string of bytes each, side by side.
 *
 *     start   [ 0 ][ 1 ][ 4 ][ 6 ]         token 1 is bytes 1 .. 3
 *     bytes   [ a | e4 b8 ad | t h ]
 */
#ifndef TDBG_BASE_VOCABULARY_H
#define TDBG_BASE_VOCABULARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* More than any vocabulary in use has by two orders of magnitude. */
enum { TDBG_MOST_VOCABULARY_TOKENS = 1 << 24, TDBG_MOST_VOCABULARY_BYTES = 1 << 28 };

struct tdbg_vocabulary {
    int64_t n_tokens;     /* 0: none */
    int64_t *start;       /* (n_tokens + 1): ascending, from 0 */
    unsigned char *bytes; /* (start[n_tokens]): UTF-8, or whatever bytes a token stands for */
};

/* Room for a vocabulary, which the caller fills and _free frees. */
enum tdbg_status tdbg_vocabulary_alloc(struct tdbg_vocabulary *out, int64_t n_tokens,
                                       int64_t n_bytes, struct tdbg_err *err);
void tdbg_vocabulary_free(struct tdbg_vocabulary *vocabulary); /* {0} is fine */

/* Token i is code point code[i] (n) in UTF-8. */
enum tdbg_status tdbg_vocabulary_of_code_points(const uint32_t *code, int64_t n,
                                                struct tdbg_vocabulary *out, struct tdbg_err *err);

/* Tokens 0 .. 255 are the bytes. */
enum tdbg_status tdbg_vocabulary_of_bytes(struct tdbg_vocabulary *out, struct tdbg_err *err);

enum tdbg_status tdbg_vocabulary_copy(const struct tdbg_vocabulary *from,
                                      struct tdbg_vocabulary *out, struct tdbg_err *err);

/* Do the starts ascend from 0 to n_bytes? */
bool tdbg_vocabulary_is_sound(const struct tdbg_vocabulary *vocabulary, int64_t n_bytes);

/* Is each token one character of UTF-8: can the tokens of a text stand side by side? */
bool tdbg_vocabulary_is_of_characters(const struct tdbg_vocabulary *vocabulary);

#endif
