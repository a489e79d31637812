/* Files and the clipboard: a tensor for other programs, and a place as a command line. */
#ifndef TDBG_TUI_EXPORT_H
#define TDBG_TUI_EXPORT_H

#include "base/strbuf.h"
#include "tui/tensor_state.h"

/* Is there a format for this name (.npy, .csv, .json, .ppm)? */
bool tdbg_tui_export_knows(const char *path);

/* Writes the tensor that is shown; .ppm is the heat map of all of it. The file gets its name when
 * it is whole. TDBG_USAGE: it exists and `overwrite` is false. */
enum tdbg_status tdbg_tui_export_tensor(const struct tdbg_tui_tensor *tensor, const char *path,
                                        bool overwrite, struct tdbg_err *err);

/* "tdbg show FILE SITE --step N" for a shell, with rank, lane and micro-batch where they matter. */
void tdbg_tui_export_command(const struct tdbg_tui_model *model, struct tdbg_strbuf *out);

#endif
