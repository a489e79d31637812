/* See fake_text.h. */
#include "tests/screen/fake_text.h"

#include <string.h>

enum { IGNORED = -100, N_WORDS = 14, UNKNOWN_WORD = 99 };

/* e and a combining acute, "Chinese", an emoji, a zero-width space, an escape, two marks on an a */
static const uint32_t prose[] = {
    'T',     'h',  'e',  ' ',  'c',  'a',  'f',  'e', 0x301,  ' ',    'i',   's', '\t',
    'o',     'p',  'e',  'n',  '.',  '\n', '\n', '"', 0x4e2d, 0x6587, '"',   ' ', 's',
    'a',     'y',  's',  ' ',  't',  'h',  'e',  ' ', 's',    'i',    'g',   'n', ' ',
    0x1f600, '\r', '\n', 'A',  ' ',  'z',  'e',  'r', 'o',    0x200b, 'w',   'i', 'd',
    't',     'h',  ' ',  0x1b, '[',  '1',  'm',  ' ', 'a',    0x301,  0x323, ' ', 'e',
    'n',     'd',  ' ',  0xe4, 0xf6, 0xfc, '\\', 'n', '\n'};
enum { N_PROSE = sizeof prose / sizeof prose[0] };

static const char bytes[] = "caf\xc3\xa9 cafe\xcc\x81\n\xe4\xb8\xad\xe6\x96\x87 cut \xe4\xb8 off "
                            "\xff\xfe\x80 lead \xc3( zero\0byte \xf0\x9f\x98\x80 tab\there\n";
enum { N_BYTES = sizeof bytes - 1 };

static const char *const words[N_WORDS] = {
    "<pad>",       "The",      " quick",    " bro", "wn", " fox",
    ".",           "\n",       " \xe4\xb8", "\xad", "",   " \xe4\xb8\xad\xe6\x96\x87",
    " jumps|over", "e\xcc\x81"};
static const int64_t word_order[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 2, UNKNOWN_WORD, 1};
enum { N_WORD_ORDER = sizeof word_order / sizeof word_order[0] };

/* A token is a place in the prose: the vocabulary has a character as often as that. */
void fake_text_characters(int64_t id, int64_t *x, int64_t *y)
{
    for (int64_t i = 0; i < FAKE_TEXT_TOKENS; i++) {
        const int64_t at = (id * 11 + i) % N_PROSE;
        x[i] = at;
        y[i] = (at + 1) % N_PROSE;
    }
}

void fake_text_bytes(int64_t id, int64_t *x, int64_t *y)
{
    for (int64_t i = 0; i < FAKE_TEXT_TOKENS; i++) {
        x[i] = (unsigned char)bytes[(id * 7 + i) % N_BYTES];
        y[i] = (unsigned char)bytes[(id * 7 + i + 1) % N_BYTES];
    }
}

void fake_text_words(int64_t id, int64_t *x, int64_t *y)
{
    const int64_t length = FAKE_WORD_TOKENS - id % 3 * 9;
    for (int64_t i = 0; i < FAKE_WORD_TOKENS; i++) {
        x[i] = i < length ? word_order[(id + i) % N_WORD_ORDER] : FAKE_WORD_PAD;
        y[i] = i + 1 < length && i >= 4 ? word_order[(id + i + 1) % N_WORD_ORDER] : IGNORED;
    }
}

const struct tdbg_vocabulary *fake_text_character_vocabulary(void)
{
    static struct tdbg_vocabulary v;
    if (v.n_tokens == 0 && tdbg_vocabulary_of_code_points(prose, N_PROSE, &v, NULL) != TDBG_OK)
        TDBG_BUG("no memory for a vocabulary");
    return &v;
}

const struct tdbg_vocabulary *fake_text_word_vocabulary(void)
{
    static int64_t start[N_WORDS + 1];
    static unsigned char text[128];
    static struct tdbg_vocabulary v = {N_WORDS, start, text};
    for (int i = 0; i < N_WORDS; i++) {
        const size_t n = strlen(words[i]);
        memcpy(text + start[i], words[i], n);
        start[i + 1] = start[i] + (int64_t)n;
    }
    return &v;
}
