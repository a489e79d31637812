/* The program inside the terminal, without the terminal: a stack of screens over one model. Keys
 * and sizes go in, a grid of cells comes out, so that tests drive all of it. */
#ifndef TDBG_TUI_APP_H
#define TDBG_TUI_APP_H

#include "base/strbuf.h"
#include "tui/breaks.h"
#include "tui/command.h"
#include "tui/finding_list.h"
#include "tui/frame.h"
#include "tui/input.h"
#include "tui/jobs.h"
#include "tui/keymap.h"
#include "tui/model.h"
#include "tui/ops.h"
#include "tui/optimizer_table.h"
#include "tui/output.h"
#include "tui/places.h"
#include "tui/prompt.h"
#include "tui/ranks.h"
#include "tui/run_config.h"
#include "tui/tensor_state.h"
#include "tui/two_runs.h"

struct tdbg_tui_app;

/* What a screen does for a request. count: 1 where the user typed none; 0 is possible. */
struct tdbg_tui_action {
    enum tdbg_tui_request request; /* TDBG_REQUEST_NONE ends a table */
    void (*run)(struct tdbg_tui_app *app, int64_t count, bool has_count);
};

enum tdbg_tui_button {
    TDBG_BUTTON_CLICK,
    TDBG_BUTTON_WHEEL_UP,
    TDBG_BUTTON_WHEEL_DOWN,
    TDBG_BUTTON_RELEASE
};

/* A screen is a table. Members may be NULL where there is nothing to do. */
struct tdbg_tui_screen {
    const char *name;
    bool is_still; /* no moves, no other screens: the help */
    const struct tdbg_tui_action *actions;
    /* Lists: moves the cursor by so many rows; how many are a page. The keys of lists (moves.c)
     * work where these are. */
    void (*move_rows)(struct tdbg_tui_app *app, int64_t rows);
    int64_t (*page_rows)(const struct tdbg_tui_app *app);
    void (*to_row)(struct tdbg_tui_app *app, int64_t row); /* -1: the last */
    int wheel_rows; /* that the mouse's wheel moves the cursor by; 0: mouse() decides */
    const enum tdbg_tui_request *hints; /* that the key row begins with, NONE ends them */
    void (*open)(struct tdbg_tui_app *app);
    void (*settle)(struct tdbg_tui_app *app); /* after every key and size: scroll to the focus */
    void (*load)(struct tdbg_tui_app *app);   /* before every paint: reads what it will show */
    bool (*work)(struct tdbg_tui_app *app);   /* a bit of what may wait; false: nothing does */
    /* Paints the body alone; the app paints the rows around it. */
    void (*draw)(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                 const struct tdbg_tui_frame *frame);
    void (*mouse)(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button);
    void (*release)(struct tdbg_tui_app *app, int x, int y); /* the button that was clicked */
    void (*find)(struct tdbg_tui_app *app, int64_t count);   /* count-th hit; < 0: backward */
    void (*close)(struct tdbg_tui_app *app);
};

enum { TDBG_TUI_MAX_SCREENS = 8 };

/* Called with the answer to a job. */
typedef void tdbg_tui_answered(struct tdbg_tui_app *app, const struct tdbg_tui_answer *answer);

struct tdbg_tui_app {
    struct tdbg_tui_model model;
    const struct tdbg_tui_jobs *jobs; /* borrowed; NULL: nothing is computed */
    struct {
        int64_t id; /* 0: none is waited for */
        tdbg_tui_answered *answered;
        struct tdbg_tui_job job; /* its texts are not kept */
    } waits[TDBG_JOB_KIND_COUNT];
    struct tdbg_tui_grid grid;
    const struct tdbg_tui_screen *screens[TDBG_TUI_MAX_SCREENS]; /* the last one is shown */
    int n_screens;
    int width, height;

    bool has_count; /* one is being typed */
    int64_t count;
    bool typed_zero;               /* the key before was a 0 that begins no count */
    bool is_pasting;               /* what comes is text, and no keys */
    struct tdbg_tui_prompt prompt; /* in the message row */
    int64_t find_count;
    /* The key after this one belongs to it: a screen's letter, a mark's letter. NULL: none does. */
    void (*takes_key)(struct tdbg_tui_app *app, uint32_t key);

    int64_t help_top;             /* of the help screen */
    enum tdbg_tui_request former; /* before the one that is being done */
    struct tdbg_tui_tensor tensor;
    struct tdbg_tui_ops ops;
    struct tdbg_tui_keymap keymap;
    struct tdbg_tui_places places;
    bool is_travelling; /* this move is an undo or a redo */
    struct tdbg_tui_breaks breaks;
    int64_t breaks_at,
        breaks_top; /* of the list of them: the row under the cursor, the first one */
    struct tdbg_tui_commander commander;
    struct tdbg_tui_output output;
    bool no_mouse; /* it is left to the terminal program */
    bool follows;  /* a recording that still runs: who is at its last step stays there */
    int wakes;     /* epoll(7) of all that the loop waits for besides the keyboard; -1: none */
    int drag_x;    /* where a chart was clicked, or -1 */
    struct tdbg_tui_rank_table ranks;
    struct tdbg_tui_input input;
    struct tdbg_tui_run_config config;
    struct tdbg_tui_findings findings;
    struct tdbg_tui_optimizer optimizer;
    struct tdbg_tui_two_runs two;
    bool diff_goes_there; /* when it is known where the two part */

    struct tdbg_strbuf copied; /* to the clipboard, last */
    /* For the loop in tui.c, which clears all but the first. */
    bool done, wants_redraw, wants_suspend, wants_copy;
};

/* Opens the main screen and reads nothing yet. The data is borrowed. Free with _free. */
enum tdbg_status tdbg_tui_app_init(struct tdbg_tui_app *app, const struct tdbg_tui_data *data,
                                   const struct tdbg_tui_jobs *jobs, bool ascii,
                                   struct tdbg_err *err);
void tdbg_tui_app_free(struct tdbg_tui_app *app);

void tdbg_tui_app_resize(struct tdbg_tui_app *app, int width, int height);
void tdbg_tui_app_key(struct tdbg_tui_app *app, uint32_t key);
void tdbg_tui_app_mouse(struct tdbg_tui_app *app, int x, int y, enum tdbg_tui_button button);

/* Reads what the focus needs and paints it; the grid is the app's. */
const struct tdbg_tui_grid *tdbg_tui_app_draw(struct tdbg_tui_app *app);

/* Does a bit of what may wait; false: there was nothing to do, and what is drawn is all. */
bool tdbg_tui_app_work(struct tdbg_tui_app *app);

/* Does the screen have an action for the request, or does every screen have it? */
bool tdbg_tui_screen_handles(const struct tdbg_tui_screen *screen, enum tdbg_tui_request request);

/* Remembers where the focus was, if it is somewhere else now. request: what moved it. */
void tdbg_tui_app_note_move(struct tdbg_tui_app *app, const struct tdbg_tui_focus *before,
                            enum tdbg_tui_request request);
void tdbg_tui_app_quit(struct tdbg_tui_app *app);

/* The data of the app has more steps than n_before: a focus on the last one stays on the last. */
enum tdbg_status tdbg_tui_app_grow(struct tdbg_tui_app *app, int64_t n_before,
                                   struct tdbg_err *err);

/* Takes what jobs have answered. */
void tdbg_tui_app_take_answers(struct tdbg_tui_app *app);

/* For screens. */

/* Opens a screen over the one that is shown, so that q comes back to it; _switch: over main. */
void tdbg_tui_app_open(struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen);
void tdbg_tui_app_switch(struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen);
void tdbg_tui_app_back(struct tdbg_tui_app *app); /* closes the one that is shown, as q does */
bool tdbg_tui_app_has_open(const struct tdbg_tui_app *app, const struct tdbg_tui_screen *screen);
const struct tdbg_tui_screen *tdbg_tui_app_screen(const struct tdbg_tui_app *app);
struct tdbg_tui_frame tdbg_tui_app_frame(const struct tdbg_tui_app *app);

/* Submits a job; of each kind one is waited for, and the one before is cancelled. false: there is
 * nobody to do it. _cancel_jobs: none is waited for any more; true: one was. */
bool tdbg_tui_app_submit(struct tdbg_tui_app *app, const struct tdbg_tui_job *job,
                         tdbg_tui_answered *answered);
bool tdbg_tui_app_cancel_jobs(struct tdbg_tui_app *app);
void tdbg_tui_app_cancel(struct tdbg_tui_app *app, enum tdbg_tui_job_kind kind); /* that one */
bool tdbg_tui_app_waits(const struct tdbg_tui_app *app);

/* What is being computed and how far it is, into buf; NULL: nothing, or not for long. */
const char *tdbg_tui_app_progress_text(const struct tdbg_tui_app *app, char *buf, size_t buf_bytes);

/* The focus goes to the count-th rank after (before, where negative) that has a file, round the
 * end; what is missing is said. _goto_rank: false where that rank has none. (rank.c) */
void tdbg_tui_app_move_rank(struct tdbg_tui_app *app, int64_t count);
bool tdbg_tui_app_goto_rank(struct tdbg_tui_app *app, int32_t rank);

/* Opens a second trace on the diff screen, in place of the one that was there; _with: whose data is
 * there already, and goes to the app with `other` where that is not NULL. (screen_diff.c) */
enum tdbg_status tdbg_tui_app_diff(struct tdbg_tui_app *app, const char *path,
                                   struct tdbg_err *err);
enum tdbg_status tdbg_tui_app_diff_with(struct tdbg_tui_app *app, const char *path,
                                        const struct tdbg_tui_data *b, struct tdbg_tui_other *other,
                                        struct tdbg_err *err);

/* Of the diff screen (compare_rows.c): compares values of the rows on the screen, one tensor at a
 * time, and shows the elements of the one under the cursor. To be called before every paint. */
void tdbg_tui_diff_compare(struct tdbg_tui_app *app, int32_t top, int64_t rows);
void tdbg_tui_diff_open_elements(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_diff_leave(struct tdbg_tui_app *app);

/* Between app.c, app_rows.c, tabs.c and moves.c. */
void tdbg_tui_app_draw_tabs(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);
void tdbg_tui_app_draw_message(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                               struct tdbg_tui_rect rect);
void tdbg_tui_app_draw_keys(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                            struct tdbg_tui_rect rect);
void tdbg_tui_app_draw_too_small(struct tdbg_tui_grid *grid);
void tdbg_tui_app_click_tab(struct tdbg_tui_app *app, struct tdbg_tui_rect rect, int x);
void tdbg_tui_app_switch_to(struct tdbg_tui_app *app, enum tdbg_tui_request request);
void tdbg_tui_app_take_letter(struct tdbg_tui_app *app, uint32_t key); /* after Space */
void tdbg_tui_app_say_letters(struct tdbg_tui_app *app);

/* A pane of breakpoints, watches and marks (screen_breaks.c); nothing where there are none. */
void tdbg_tui_draw_breaks_pane(const struct tdbg_tui_app *app, struct tdbg_tui_grid *grid,
                               struct tdbg_tui_rect rect);

/* The count-th of n rows from `at` on that matches, round the end; count < 0: backward. -1: none
 * does. (moves.c) */
int64_t tdbg_tui_find_row(const struct tdbg_tui_app *app, int64_t n, int64_t at, int64_t count,
                          bool (*matches)(const struct tdbg_tui_app *app, int64_t row));

/* What every screen does with keys that it has no action of its own for (moves.c). */
extern const struct tdbg_tui_action tdbg_tui_moves[], tdbg_tui_list_moves[];

/* screen_export.c */
void tdbg_tui_export(struct tdbg_tui_app *app, int64_t count, bool has_count);
bool tdbg_tui_export_goes_on(struct tdbg_tui_app *app); /* false: nothing is being written */
void tdbg_tui_copy_place(struct tdbg_tui_app *app, int64_t count, bool has_count);

/* Moves along the dataflow (flow_moves.c). */
void tdbg_tui_phase_end(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_phase_start(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_to_input(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_module_up(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_module_down(struct tdbg_tui_app *app, int64_t count, bool has_count);
void tdbg_tui_to_origin(struct tdbg_tui_app *app, int64_t count, bool has_count);

extern const struct tdbg_tui_screen tdbg_tui_screen_main, tdbg_tui_screen_ops,
    tdbg_tui_screen_tensor, tdbg_tui_screen_ranks, tdbg_tui_screen_input, tdbg_tui_screen_diff,
    tdbg_tui_screen_findings, tdbg_tui_screen_optimizer, tdbg_tui_screen_help,
    tdbg_tui_screen_output, tdbg_tui_screen_answer, tdbg_tui_screen_breaks;

#endif
