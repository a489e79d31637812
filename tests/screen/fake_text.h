/* Samples of text for tests of the terminal: characters, bytes, and words of a vocabulary. */
#ifndef TDBG_TESTS_SCREEN_FAKE_TEXT_H
#define TDBG_TESTS_SCREEN_FAKE_TEXT_H

#include "base/vocabulary.h"

enum { FAKE_TEXT_TOKENS = 96, FAKE_WORD_TOKENS = 32, FAKE_WORD_PAD = 0 };

/* Characters: prose with new lines, tabs, wide and combining characters and such that cannot be
 * shown. Bytes: UTF-8, and bytes that are none. Words: several letters, parts of a character, a
 * token that stands for nothing, one that the vocabulary does not have; padded with FAKE_WORD_PAD.
 * Tokens (n) and the ones behind them (n), -100 where there is nothing to predict. */
void fake_text_characters(int64_t id, int64_t *x, int64_t *y);
void fake_text_bytes(int64_t id, int64_t *x, int64_t *y);
void fake_text_words(int64_t id, int64_t *x, int64_t *y);

/* Of characters and of words, borrowed. */
const struct tdbg_vocabulary *fake_text_character_vocabulary(void);
const struct tdbg_vocabulary *fake_text_word_vocabulary(void);

#endif
