/* See places.h. */
#include "tui/places.h"

#include <stdlib.h>
#include <string.h>

bool tdbg_tui_focus_same(const struct tdbg_tui_focus *a, const struct tdbg_tui_focus *b)
{
    return a->step == b->step && a->site == b->site && a->rank == b->rank;
}

void tdbg_tui_places_free(struct tdbg_tui_places *p)
{
    for (int i = 0; i < TDBG_PLACES_MARKS; i++)
        tdbg_tui_mark_clear(&p->mark[i]);
}

struct tdbg_tui_mark *tdbg_tui_places_mark(struct tdbg_tui_places *p, uint32_t letter)
{
    if (letter >= 'a' && letter <= 'z')
        return &p->mark[letter - 'a'];
    if (letter >= 'A' && letter <= 'Z')
        return &p->mark[26 + letter - 'A'];
    return NULL;
}

char tdbg_tui_places_letter(int i)
{
    return (char)(i < 26 ? 'a' + i : 'A' + i - 26);
}

void tdbg_tui_mark_set(struct tdbg_tui_mark *mark, const struct tdbg_tui_focus *focus,
                       const char *text)
{
    tdbg_tui_mark_clear(mark);
    mark->is_set = true;
    mark->focus = *focus;
    mark->text = text && *text ? strdup(text) : NULL;
}

void tdbg_tui_mark_clear(struct tdbg_tui_mark *mark)
{
    free(mark->text);
    *mark = (struct tdbg_tui_mark){0};
}

void tdbg_tui_places_moved(struct tdbg_tui_places *p, const struct tdbg_tui_focus *before,
                           bool is_jump)
{
    p->n_redo = 0;
    if (p->n_undo == TDBG_PLACES_MOVES) {
        p->start = (p->start + 1) % TDBG_PLACES_MOVES;
        p->n_undo--;
    }
    p->move[(p->start + p->n_undo++) % TDBG_PLACES_MOVES] = *before;
    if (is_jump) {
        p->has_last = true;
        p->last = *before;
    }
}

static void swap(struct tdbg_tui_places *p, int i, struct tdbg_tui_focus *focus)
{
    struct tdbg_tui_focus *place = &p->move[(p->start + i) % TDBG_PLACES_MOVES];
    const struct tdbg_tui_focus now = *focus;
    *focus = *place;
    *place = now;
}

int64_t tdbg_tui_places_undo(struct tdbg_tui_places *p, struct tdbg_tui_focus *focus, int64_t count)
{
    int64_t n = 0;
    for (; n < count && p->n_undo > 0; n++, p->n_redo++)
        swap(p, --p->n_undo, focus);
    return n;
}

int64_t tdbg_tui_places_redo(struct tdbg_tui_places *p, struct tdbg_tui_focus *focus, int64_t count)
{
    int64_t n = 0;
    for (; n < count && p->n_redo > 0; n++, p->n_redo--)
        swap(p, p->n_undo++, focus);
    return n;
}
