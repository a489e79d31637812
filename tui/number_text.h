/* Numbers as short text. Every function writes into buf and returns it. */
#ifndef TDBG_TUI_NUMBER_TEXT_H
#define TDBG_TUI_NUMBER_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/site.h"

enum { TDBG_NUMBER_BYTES = 160 };

/* At most width (>= 6) columns: three digits, fewer where they do not fit, "-0" where not even one
 * does; small whole numbers in full; "nan", "inf", "-inf". */
const char *tdbg_text_number(char buf[TDBG_NUMBER_BYTES], double value, int width);

/* "2.31e+00" */
const char *tdbg_text_exponent(char buf[TDBG_NUMBER_BYTES], double value);

/* At most 4 columns: "9999", "12k", "340M". */
const char *tdbg_text_count(char buf[TDBG_NUMBER_BYTES], uint64_t count);

/* Part of a whole: "0", "<1%", "12%", "100%" only where it is all. */
const char *tdbg_text_percent(char buf[TDBG_NUMBER_BYTES], uint64_t part, int64_t whole);

/* "12.4 ms" */
const char *tdbg_text_duration(char buf[TDBG_NUMBER_BYTES], double ns);

/* From prev to now: "=", "11.2x", "+0.8%", or the difference where a ratio means nothing. */
const char *tdbg_text_change(char buf[TDBG_NUMBER_BYTES], double now, double prev);

/* "64x784", "10"; "scalar" without dimensions. */
const char *tdbg_text_shape(char buf[TDBG_NUMBER_BYTES], const struct tdbg_site *site);

#endif
