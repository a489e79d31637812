/* Writing HTML: every text of a trace, a config or the command line goes through cli_html_text(),
 * so that none of it can be markup. */
#ifndef TDBG_CLI_HTML_H
#define TDBG_CLI_HTML_H

#include <stdio.h>

/* Text, in elements and in quoted attributes: escaped, UTF-8 whatever it was (bytes that are none
 * become U+FFFD), without control characters. NULL: nothing. */
void cli_html_text(FILE *out, const char *text);

/* <tag class="name">text</tag>; class NULL: none. tag and class are ours. */
void cli_html_element(FILE *out, const char *tag, const char *class_name, const char *text);

/* The same of a text made by printf. */
void cli_html_elementf(FILE *out, const char *tag, const char *class_name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
