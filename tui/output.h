/* Lines that a command or another program printed, for the output screen. */
#ifndef TDBG_TUI_OUTPUT_H
#define TDBG_TUI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

enum { TDBG_OUTPUT_BYTES = 1 << 22 }; /* that are kept: the first ones */

/* Start with {0}. */
struct tdbg_tui_output {
    char title[160];
    struct tdbg_strbuf text;
    int64_t top; /* first line shown */
    bool is_cut;
};

void tdbg_tui_output_free(struct tdbg_tui_output *output);

/* Adds text and cuts what is too much. */
void tdbg_tui_output_add(struct tdbg_tui_output *output, const char *text, size_t n_bytes);

int64_t tdbg_tui_output_n_lines(const struct tdbg_tui_output *output);

/* The line at *at, which goes to the next one, into buf (cut where it is too long); false: there
 * are no more. */
bool tdbg_tui_output_line(const char **at, char *buf, size_t buf_bytes);

#endif
