/* The run's effective config for screens: parsed when it is first asked for. */
#ifndef TDBG_TUI_RUN_CONFIG_H
#define TDBG_TUI_RUN_CONFIG_H

#include "base/config.h"
#include "trace/schema.h"

struct tdbg_tui_run_config {
    struct tdbg_config *config; /* NULL: not parsed yet, or it is no config */
    bool is_tried;
};

/* The root; NULL: a trace of another program need not have one. Borrowed until _free. */
const struct tdbg_cfg_node *tdbg_tui_run_config_root(struct tdbg_tui_run_config *config,
                                                     const struct tdbg_run_info *info);
void tdbg_tui_run_config_free(struct tdbg_tui_run_config *config);

/* A node's value as short text into buf ("0.9", "[ 0.9, 0.999 ]", "true"); returns buf. */
const char *tdbg_tui_cfg_text(const struct tdbg_cfg_node *node, char *buf, size_t buf_bytes);

/* A key below a group as a text, or `otherwise`; as a number, or otherwise. */
const char *tdbg_tui_cfg_string(const struct tdbg_cfg_node *group, const char *key,
                                const char *otherwise);
double tdbg_tui_cfg_number(const struct tdbg_cfg_node *group, const char *key, double otherwise);

/* Does one of a list's texts, which may be globs, match? The list may be NULL. */
bool tdbg_tui_cfg_globs_match(const struct tdbg_cfg_node *list, const char *name);

#endif
