/* A recording that still runs: the trace is opened anew when its file has changed, at most a few
 * times a second, and never while nothing happens to it. So are the files of other ranks, from when
 * somebody first looks at them.
 *
 *     files --inotify(7)-+
 *                        +--> fd --> look(): what is new
 *     timerfd(2) --------+        (the rest of the pause between two looks) */
#ifndef TDBG_TUI_FOLLOW_H
#define TDBG_TUI_FOLLOW_H

#include "tui/data.h"

struct tdbg_tui_follow;

/* Does a writer have the file? Asked when it has not closed it. */
typedef bool tdbg_tui_is_recording(const char *path);

enum tdbg_tui_news {
    TDBG_NEWS_NONE,
    TDBG_NEWS_READ, /* files were read anew, and have no more steps */
    TDBG_NEWS_STEPS,
    TDBG_NEWS_CLOSED, /* the recording has ended, of all ranks that are followed; nothing else will
                       * come */
    TDBG_NEWS_CUT,    /* or a writer is gone without closing its file */
};

/* Opens the trace, and the table over it. Close with _close. Errors: those of the reader. */
enum tdbg_status tdbg_tui_follow_open(const char *path, tdbg_tui_is_recording *is_recording,
                                      struct tdbg_tui_follow **out, struct tdbg_err *err);
void tdbg_tui_follow_close(struct tdbg_tui_follow *follow); /* NULL is fine */

/* The same table as long as it is followed, with what is new in it after a look; with those of the
 * other ranks, which are followed likewise. */
const struct tdbg_tui_data *tdbg_tui_follow_data(const struct tdbg_tui_follow *follow);

/* Readable when a look is due. */
int tdbg_tui_follow_fd(const struct tdbg_tui_follow *follow);

/* Looks, if that is due, and says what is new. What was borrowed from the tables is gone then, but
 * for sites. An error: the trace, or the file of `rank`, cannot be read any more. */
enum tdbg_status tdbg_tui_follow_look(struct tdbg_tui_follow *follow, int32_t rank,
                                      enum tdbg_tui_news *news, struct tdbg_err *err);

#endif
