/* A text that is read from a file and ends where it ends: nothing is read beyond that. For the
 * small headers of npy and safetensors files. */
#ifndef TDBG_ENGINE_TEXT_CURSOR_H
#define TDBG_ENGINE_TEXT_CURSOR_H

#include <stdbool.h>

struct text_cursor {
    const char *at, *end;
};

static inline void text_skip_space(struct text_cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

/* Goes on behind the character and the space before it; false: it is not there. */
static inline bool text_take(struct text_cursor *c, char wanted)
{
    text_skip_space(c);
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

#endif
