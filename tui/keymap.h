/* Which key asks for what, as it is now: the keys of keys.c, a preset, and what the user bound. */
#ifndef TDBG_TUI_KEYMAP_H
#define TDBG_TUI_KEYMAP_H

#include <stdbool.h>

#include "base/status.h"
#include "tui/keys.h"

enum { TDBG_KEYMAP_BINDINGS = 256 };

struct tdbg_tui_keymap {
    struct tdbg_tui_binding binding[TDBG_KEYMAP_BINDINGS];
    int n;
    bool is_less; /* the preset for those who know n and N from less */
};

/* Everything as keys.c has it; _less: with n and N for hits, and cgdb's F6, F8 and F10. */
void tdbg_tui_keymap_reset(struct tdbg_tui_keymap *map);
void tdbg_tui_keymap_use_less(struct tdbg_tui_keymap *map);

/* The key asks for that and nothing else from now on; NONE: for nothing. TDBG_USAGE where that
 * cannot be: a digit, or the last key that quits. */
enum tdbg_status tdbg_tui_keymap_bind(struct tdbg_tui_keymap *map, uint32_t key,
                                      enum tdbg_tui_request request, struct tdbg_err *err);

/* The request of a key, or TDBG_REQUEST_NONE. */
enum tdbg_tui_request tdbg_tui_keymap_request(const struct tdbg_tui_keymap *map, uint32_t key);

/* All keys of a request, "N p", into buf; returns buf. */
const char *tdbg_tui_keymap_keys(const struct tdbg_tui_keymap *map, enum tdbg_tui_request request,
                                 char *buf, size_t buf_bytes);

/* For the key row: "n/N" of a request whose reverse follows it in the list, "m" of any other; ""
 * where it has no key. */
enum { TDBG_KEY_HINT_BYTES = 2 * TDBG_KEY_NAME_BYTES };
const char *tdbg_tui_keymap_hint(const struct tdbg_tui_keymap *map, enum tdbg_tui_request request,
                                 char buf[TDBG_KEY_HINT_BYTES]);

/* Names in a file of bindings: "step-next" of STEP_NEXT; "none". And back: false: there is none. */
const char *tdbg_tui_request_name(enum tdbg_tui_request request, char buf[32]);
bool tdbg_tui_request_named(const char *name, enum tdbg_tui_request *out);

/* The key that tdbg_tui_key_name() calls so; 0: none. */
uint32_t tdbg_tui_key_named(const char *name);

/* Reads `bind KEY REQUEST` lines, # begins a comment. What came before the first fault is bound.
 * TDBG_NOT_FOUND: there is no such file. TDBG_USAGE: "FILE:LINE: ...". */
enum tdbg_status tdbg_tui_keymap_read(struct tdbg_tui_keymap *map, const char *path,
                                      struct tdbg_err *err);

#endif
