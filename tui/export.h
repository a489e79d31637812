/* Files and the clipboard: a tensor for other programs, and a place as a command line. */
#ifndef TDBG_TUI_EXPORT_H
#define TDBG_TUI_EXPORT_H

#include <stdio.h>

#include "base/strbuf.h"
#include "tui/model.h"
#include "tui/picture.h"

struct tdbg_tui_tensor;

/* A file that is being written, some elements at a time, under another name until it is whole. */
struct tdbg_tui_export {
    FILE *out; /* NULL: none is */
    char *path, *made;
    int format;
    bool overwrite;
    int64_t at; /* elements written */
};

/* Is there a format for this name (.npy, .csv, .json, .ppm)? */
bool tdbg_tui_export_knows(const char *path);

/* May a file of this name be made? TDBG_USAGE: it exists and `overwrite` is false. */
enum tdbg_status tdbg_tui_export_check(const char *path, bool overwrite, struct tdbg_err *err);

/* Writes an image as .ppm, pixel by pixel; a small one is enlarged by a whole number. */
enum tdbg_status tdbg_tui_export_picture(const struct tdbg_tui_picture *picture, const char *path,
                                         struct tdbg_err *err);

/* Begins a file with the tensor that is shown; .ppm is the heat map of all of it. TDBG_USAGE: it
 * exists and `overwrite` is false. */
enum tdbg_status tdbg_tui_export_begin(struct tdbg_tui_export *e,
                                       const struct tdbg_tui_tensor *tensor, const char *path,
                                       bool overwrite, struct tdbg_err *err);

/* Goes on for some milliseconds; false: all is written. */
bool tdbg_tui_export_work(struct tdbg_tui_export *e, const struct tdbg_tui_tensor *tensor);

/* Gives the file its name or, where it could not be written, removes it. */
enum tdbg_status tdbg_tui_export_end(struct tdbg_tui_export *e, struct tdbg_err *err);
void tdbg_tui_export_drop(struct tdbg_tui_export *e); /* removes it; none is fine */

/* "tdbg show FILE SITE --step N" for a shell, with rank, lane and micro-batch where they matter. */
void tdbg_tui_export_command(const struct tdbg_tui_model *model, struct tdbg_strbuf *out);

#endif
