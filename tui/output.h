/* Lines that a command or another program printed, for the output screen. */
#ifndef TDBG_TUI_OUTPUT_H
#define TDBG_TUI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"

enum { TDBG_OUTPUT_BYTES = 1 << 22 }; /* that are kept: the first ones */

/* Start with {0}. */
struct tdbg_tui_output {
    char title[160];
    struct tdbg_strbuf text;
    struct tdbg_strbuf json; /* the same for programs; empty where there is none */
    int64_t at, top;         /* the line under the cursor, and the first one shown */
    bool is_cut;
    bool is_childs;  /* the program that runs beside the screen prints into it */
    bool is_verdict; /* of bisect: its lines lead to places (verdict.h) */
};

void tdbg_tui_output_free(struct tdbg_tui_output *output);

/* Adds text and cuts what is too much. */
void tdbg_tui_output_add(struct tdbg_tui_output *output, const char *text, size_t n_bytes);

int64_t tdbg_tui_output_n_lines(const struct tdbg_tui_output *output);

/* The line at *at, which goes to the next one, into buf (cut where it is too long); false: there
 * are no more. */
bool tdbg_tui_output_line(const char **at, char *buf, size_t buf_bytes);

/* Writes it, and overwrites nothing. */
enum tdbg_status tdbg_tui_output_write(const struct tdbg_strbuf *text, const char *path,
                                       struct tdbg_err *err);

#endif
