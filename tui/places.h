/* Where one has been: places marked with a letter, and the moves that can be undone.
 *
 *     focus:   [ oldest ... | newest ]  now  [ next | ... ]
 *                 n_undo places               n_redo places */
#ifndef TDBG_TUI_PLACES_H
#define TDBG_TUI_PLACES_H

#include "tui/model.h"

enum { TDBG_PLACES_MOVES = 1000, TDBG_PLACES_MARKS = 2 * 26 };

struct tdbg_tui_mark {
    bool is_set;
    struct tdbg_tui_focus focus;
    char *text; /* NULL: none */
};

/* Start with {0}. */
struct tdbg_tui_places {
    struct tdbg_tui_mark mark[TDBG_PLACES_MARKS];
    struct tdbg_tui_focus move[TDBG_PLACES_MOVES]; /* a ring, from `start` on */
    int start, n_undo, n_redo;
    bool has_last;
    struct tdbg_tui_focus last; /* before the last jump */
};

void tdbg_tui_places_free(struct tdbg_tui_places *places);

bool tdbg_tui_focus_same(const struct tdbg_tui_focus *a, const struct tdbg_tui_focus *b);

/* The mark of a letter a..z, A..Z, or NULL where the key is none; and back. */
struct tdbg_tui_mark *tdbg_tui_places_mark(struct tdbg_tui_places *places, uint32_t letter);
char tdbg_tui_places_letter(int i);

/* text (copied): NULL for none. */
void tdbg_tui_mark_set(struct tdbg_tui_mark *mark, const struct tdbg_tui_focus *focus,
                       const char *text);
void tdbg_tui_mark_clear(struct tdbg_tui_mark *mark);

/* The focus went from `before` to somewhere else. What was undone cannot be redone any more; the
 * oldest move is forgotten where there are too many. is_jump: '' comes back to `before`. */
void tdbg_tui_places_moved(struct tdbg_tui_places *places, const struct tdbg_tui_focus *before,
                           bool is_jump);

/* Takes up to `count` moves back or forward; returns how many. */
int64_t tdbg_tui_places_undo(struct tdbg_tui_places *places, struct tdbg_tui_focus *focus,
                             int64_t count);
int64_t tdbg_tui_places_redo(struct tdbg_tui_places *places, struct tdbg_tui_focus *focus,
                             int64_t count);

#endif
