/* Drives the terminal's app without a terminal: keys and sizes go in, text comes out. Every screen
 * that it draws is checked for what has to hold of all screens. */
#ifndef TDBG_TESTS_SCREEN_DRIVER_H
#define TDBG_TESTS_SCREEN_DRIVER_H

#include "tests/screen/fake_jobs.h"
#include "tests/screen/fake_run.h"
#include "tui/app.h"

struct driver {
    struct fake_run run;
    struct fake_jobs jobs;
    struct tdbg_tui_app app;
};

/* Over the run that wish makes. Close with driver_close. */
void driver_open(struct driver *d, const struct fake_wish *wish, int width, int height, bool ascii);
void driver_close(struct driver *d);

/* Anew: closes what is open, opens and presses the keys; _80x24: with that size and ASCII. */
void driver_reopen(struct driver *d, const struct fake_wish *wish, int width, int height,
                   bool ascii, const char *keys);
void driver_open_80x24(struct driver *d, const struct fake_wish *wish);

/* The same with 80 columns, but after the first paint nothing that may wait is read, and there is
 * nobody to do jobs. */
void driver_open_unread(struct driver *d, const struct fake_wish *wish);

/* Teardown of a cmocka test: closes what is open. */
int driver_teardown(void **state);

/* Draws and checks, and reads all that may wait. */
void driver_draw(struct driver *d);

/* Keys as they are typed, <Name> for those with a name (keys.h): "100n<Tab>/fc1<Enter>". Draws
 * after each. */
void driver_press(struct driver *d, const char *keys);
void driver_resize(struct driver *d, int width, int height);
void driver_command(struct driver *d, const char *line); /* the line after ":", and Enter */
void driver_mouse(struct driver *d, int x, int y, enum tdbg_tui_button button);

/* The key with a name, or 0. */
uint32_t driver_key_named(const char *name, size_t n_bytes);

/* The screen as text, "cursor x,y", rows, and rows of style letters; the caller frees it. */
char *driver_screen(const struct driver *d);

/* The same of any app; what has to hold of every screen: fails where it does not. */
char *driver_text(const struct tdbg_tui_app *app);
void driver_check(const struct tdbg_tui_app *app);

/* Row y, or the row above the last one, into a static buffer, without spaces at its end. */
const char *driver_row(const struct driver *d, int y);
const char *driver_message(const struct driver *d);

/* Fails where the message does not have the words. NULL: there is to be none. */
void driver_expect(const struct driver *d, const char *words);

/* The site of the run with that name; fails where there is none. */
int32_t driver_site(const struct driver *d, const char *name);

/* Fails where the focus is not there. */
void driver_expect_at(const struct driver *d, int64_t step, int32_t site);

/* Compares the screen with tests/screen/golden/NAME.txt, or writes that with TDBG_UPDATE_GOLDEN. */
void driver_golden(const struct driver *d, const char *name);

/* The same after driver_reopen(). */
void driver_golden_at(struct driver *d, const struct fake_wish *wish, int width, int height,
                      bool ascii, const char *keys, const char *name);

#endif
