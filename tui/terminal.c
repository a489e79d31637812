/* ncurses under a grid of cells. Rows that did not change are not even handed to ncurses, which
 * then sends only what differs. See terminal.h; fatal signals are in terminal_signals.c. */
#define NCURSES_WIDECHAR 1
#include "tui/terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <term.h>
#include <unistd.h>

enum { ESCAPE_WAIT_MS = 25, MAX_RESET_BYTES = 512, N_COLOURS = 5 };

struct tdbg_tui_terminal {
    SCREEN *screen;
    bool ascii, colour, mouse; /* mouse: the terminal has one, and it was ever taken */
    bool uses_mouse;
    bool says_idle; /* TDBG_TEST_SYNC: a title "idle N" whenever it waits for a key */
    int64_t n_idle;
    bool is_busy;
    int watched; /* ends a wait; -1: nothing */
    struct sigaction former_winch;
    int kept_stderr, saved_stderr; /* -1: standard error is left alone */
    char reset[MAX_RESET_BYTES];   /* escape sequences that undo all that was done */
    struct tdbg_tui_grid shown;    /* what the terminal shows; no cells: nothing yet */
};

/* What is pasted comes between marks, so that it is never taken for keys. Consoles show what they
 * do not know. */
static const char paste_on[] = "\033[?2004h", paste_off[] = "\033[?2004l";
enum {
    CURSES_PASTE = 2000,
    CURSES_PASTE_END
}; /* above all keys that terminals are known to have */

static bool knows_xterm_sequences(void)
{
    const char *term = getenv("TERM");
    return strncmp(term, "linux", 5) != 0 && strncmp(term, "vt", 2) != 0;
}

static void mark_pastes(bool on)
{
    const char *sequence = on ? paste_on : paste_off;
    if (knows_xterm_sequences()) {
        ssize_t ignored = write(STDOUT_FILENO, sequence, strlen(sequence));
        (void)ignored;
    }
}

/* tputs() gives its output to a function without a context. */
static char *reset_text;
static size_t reset_used;

static int add_reset_byte(int c)
{
    if (c != 0 && reset_used + 1 < MAX_RESET_BYTES) /* without padding */
        reset_text[reset_used++] = (char)c;
    return c;
}

static void make_reset(struct tdbg_tui_terminal *t)
{
    static const char mouse_off[] = "\033[?1006l\033[?1000l";
    const char *const parts[] = {exit_attribute_mode, cursor_normal, keypad_local,
                                 exit_ca_mode ? exit_ca_mode : clear_screen};
    reset_text = t->reset;
    reset_used = 0;
    for (const char *c = mouse_off; t->mouse && *c; c++)
        add_reset_byte(*c);
    for (const char *c = paste_off; knows_xterm_sequences() && *c; c++)
        add_reset_byte(*c);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i])
            tputs(parts[i], 1, add_reset_byte);
    }
    t->reset[reset_used] = 0;
}

/* Standard error goes into memory while it would write over the screen. */
static void keep_stderr(struct tdbg_tui_terminal *t)
{
    if (!isatty(STDERR_FILENO))
        return;
    t->kept_stderr = memfd_create("tdbg-stderr", MFD_CLOEXEC);
    t->saved_stderr = dup(STDERR_FILENO);
    if (t->kept_stderr >= 0 && t->saved_stderr >= 0 &&
        dup2(t->kept_stderr, STDERR_FILENO) == STDERR_FILENO)
        return;
    close(t->kept_stderr);
    close(t->saved_stderr);
    t->kept_stderr = t->saved_stderr = -1;
}

static void give_stderr_back(struct tdbg_tui_terminal *t)
{
    char buf[512];
    ssize_t n;
    if (t->kept_stderr < 0)
        return;
    dup2(t->saved_stderr, STDERR_FILENO);
    lseek(t->kept_stderr, 0, SEEK_SET);
    while ((n = read(t->kept_stderr, buf, sizeof buf)) > 0 &&
           write(STDERR_FILENO, buf, (size_t)n) == n)
        ;
    close(t->kept_stderr);
    close(t->saved_stderr);
}

static bool wants_colour(const struct tdbg_tui_options *options)
{
    const char *no_color = getenv("NO_COLOR");
    return !options->mono && !(no_color && *no_color) && has_colors();
}

/* Never bare black or blue, which are unreadable on one background or the other. */
static void start_colours(void)
{
    static const short colours[N_COLOURS] = {-1, COLOR_RED, COLOR_YELLOW, COLOR_GREEN, COLOR_CYAN};
    start_color();
    const short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
    for (short i = 1; i < N_COLOURS; i++)
        init_pair(i, colours[i], background);
}

/* The terminal's number of a picture's colour: xterm's grey ramp and colour cube. */
static int picture_colour(uint8_t colour)
{
    static const uint8_t red[] = {0, 3, 5}, green[] = {0, 2, 3, 5}, blue[] = {1, 5};
    if (COLORS < 256)
        return colour == TDBG_PICTURE_GREY ? COLOR_BLACK : COLOR_WHITE;
    if (colour < TDBG_PICTURE_COLOUR)
        return 232 + colour - TDBG_PICTURE_GREY;
    const int c = colour - TDBG_PICTURE_COLOUR;
    return 16 + 36 * red[c / 8] + 6 * green[c / 2 % 4] + blue[c % 2];
}

/* Pairs are made as they are met; ncurses forgets the oldest where there are too many. */
static int pair_of(const struct tdbg_tui_terminal *t, const struct tdbg_tui_cell *cell)
{
    if (!t->colour)
        return 0;
    if (!cell->front)
        return cell->style & TDBG_STYLE_COLOUR_MASK;
    const int pair = alloc_pair(picture_colour(cell->front), picture_colour(cell->back));
    return pair < 0 ? 0 : pair;
}

/* The modes of a screen that was just made. */
static void set_modes(struct tdbg_tui_terminal *t, const struct tdbg_tui_options *options)
{
    raw(); /* ^C and ^Z are keys */
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    keypad(stdscr, TRUE);
    set_escdelay(ESCAPE_WAIT_MS);
    t->colour = wants_colour(options);
    if (t->colour)
        start_colours();
    mouseinterval(0);
    tdbg_tui_terminal_use_mouse(t, !options->no_mouse);
    define_key("\033[200~", CURSES_PASTE);
    define_key("\033[201~", CURSES_PASTE_END);
    mark_pastes(true);
}

void tdbg_tui_terminal_use_mouse(struct tdbg_tui_terminal *t, bool uses_mouse)
{
    if (uses_mouse == t->uses_mouse)
        return;
    t->uses_mouse = uses_mouse;
    if (!uses_mouse)
        mousemask(0, NULL);
    else
        t->mouse = mousemask(BUTTON1_PRESSED | BUTTON1_RELEASED | BUTTON4_PRESSED | BUTTON5_PRESSED,
                             NULL) != 0 &&
                   has_mouse();
}

/* A signal for a new size that came just before a read would be seen only after the next key, so it
 * counts this up, which is waited for together with the input. */
static int resize_count = -1;

static void count_resize(int number)
{
    const int saved_errno = errno;
    const uint64_t one = 1;
    ssize_t ignored = write(resize_count, &one, sizeof one);
    (void)ignored, (void)number;
    errno = saved_errno;
}

/* Before newterm(), which leaves alone a signal that is caught. */
static bool catch_resize(struct tdbg_tui_terminal *t)
{
    struct sigaction action = {.sa_handler = count_resize, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    resize_count = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return resize_count >= 0 && sigaction(SIGWINCH, &action, &t->former_winch) == 0;
}

static void release_resize(const struct tdbg_tui_terminal *t)
{
    if (resize_count < 0)
        return;
    sigaction(SIGWINCH, &t->former_winch, NULL);
    close(resize_count);
    resize_count = -1;
}

/* Tells ncurses the size of the terminal; the next key is KEY_RESIZE where it is another one. */
static void adopt_size(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0 &&
        is_term_resized(size.ws_row, size.ws_col))
        resizeterm(size.ws_row, size.ws_col);
}

/* ncurses itself would end the process over an unknown TERM. */
static enum tdbg_status check_term(struct tdbg_err *err)
{
    const char *term = getenv("TERM");
    int found = 0;
    if (!term || !*term)
        return TDBG_RAISE(err, USAGE, "TERM is not set\nhint: for example: TERM=xterm-256color");
    if (setupterm(NULL, STDOUT_FILENO, &found) != OK)
        return TDBG_RAISE(err, USAGE,
                          "unknown terminal TERM=%s\nhint: for example: TERM=xterm-256color; "
                          "without a terminal, piped into another program, replay prints a summary",
                          term);
    if (!cursor_address || !clear_screen)
        return TDBG_RAISE(err, USAGE,
                          "the terminal TERM=%s cannot place the cursor\nhint: piped into another "
                          "program, replay prints a summary",
                          term);
    return TDBG_OK;
}

enum tdbg_status tdbg_tui_terminal_open(const struct tdbg_tui_options *options,
                                        struct tdbg_tui_terminal **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *sync = getenv("TDBG_TEST_SYNC");
    struct tdbg_tui_terminal *t = calloc(1, sizeof *t);
    TDBG_FAIL_IF(!t, NO_MEMORY, "no memory for the terminal");
    t->kept_stderr = t->saved_stderr = t->watched = -1;
    TDBG_TRY(check_term(err));
    t->ascii = options->ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    t->says_idle = sync && strcmp(sync, "1") == 0;
    t->mouse = true; /* for the reset, until it is known better */
    keep_stderr(t);
    make_reset(t);
    const struct tdbg_tui_guard guard = {.reset = t->reset,
                                         .reset_bytes = strlen(t->reset),
                                         .in_fd = STDIN_FILENO,
                                         .out_fd = STDOUT_FILENO,
                                         .kept_stderr = t->kept_stderr,
                                         .saved_stderr = t->saved_stderr};
    tdbg_tui_terminal_guard(&guard);
    TDBG_FAIL_IF(!catch_resize(t), IO, "cannot watch the size of the terminal");
    t->screen = newterm(NULL, stdout, stdin);
    tdbg_tui_terminal_arm();
    TDBG_FAIL_IF(!t->screen, USAGE, "cannot use the terminal TERM=%s", getenv("TERM"));
    set_modes(t, options);
    *out = t;
    t = NULL;
out:
    tdbg_tui_terminal_close(t);
    return st;
}

void tdbg_tui_terminal_close(struct tdbg_tui_terminal *t)
{
    if (!t)
        return;
    if (t->screen) {
        mark_pastes(false);
        endwin();
        delscreen(t->screen);
    }
    release_resize(t);
    if (*t->reset)
        tdbg_tui_terminal_unguard();
    give_stderr_back(t);
    tdbg_tui_grid_free(&t->shown);
    free(t);
}

bool tdbg_tui_terminal_is_ascii(const struct tdbg_tui_terminal *t)
{
    return t->ascii;
}

/* Any two colours of a picture want a pair. */
int tdbg_tui_terminal_colours(const struct tdbg_tui_terminal *t)
{
    const int most = TDBG_PICTURE_END * TDBG_PICTURE_END;
    return !t->colour                            ? 0
           : COLORS >= 256 && COLOR_PAIRS > most ? 256
           : COLORS >= 8 && COLOR_PAIRS >= 8 * 8 ? 8
                                                 : 0;
}

void tdbg_tui_terminal_size(const struct tdbg_tui_terminal *t, int *width, int *height)
{
    (void)t;
    getmaxyx(stdscr, *height, *width);
}

static attr_t attributes(uint8_t style)
{
    return (style & TDBG_STYLE_BOLD ? A_BOLD : 0) | (style & TDBG_STYLE_REVERSE ? A_REVERSE : 0) |
           (style & TDBG_STYLE_DIM ? A_DIM : 0) | (style & TDBG_STYLE_UNDERLINE ? A_UNDERLINE : 0);
}

static void put_row(const struct tdbg_tui_terminal *t, const struct tdbg_tui_grid *grid, int y)
{
    for (int x = 0; x < grid->width; x++) {
        const struct tdbg_tui_cell *cell = tdbg_tui_grid_at(grid, x, y);
        if (cell->code == 0)
            continue; /* ncurses knows how wide the character before is */
        const wchar_t text[3] = {(wchar_t)cell->code, (wchar_t)cell->mark, 0};
        cchar_t c;
        int pair = pair_of(t, cell);
        setcchar(&c, text, attributes(cell->style), 0, &pair);
        mvadd_wch(y, x, &c); /* ERR in the last cell of the screen, which is painted all the same */
    }
}

/* Keeps what is shown; the rows of `shown` are compared as bytes. */
static bool row_is_shown(const struct tdbg_tui_terminal *t, const struct tdbg_tui_grid *grid, int y)
{
    return t->shown.cells && t->shown.width == grid->width && t->shown.height == grid->height &&
           memcmp(tdbg_tui_grid_at(&t->shown, 0, y), tdbg_tui_grid_at(grid, 0, y),
                  (size_t)grid->width * sizeof *grid->cells) == 0;
}

void tdbg_tui_terminal_show(struct tdbg_tui_terminal *t, const struct tdbg_tui_grid *grid,
                            bool everything)
{
    if (everything) {
        tdbg_tui_grid_free(&t->shown);
        clearok(curscr, TRUE);
    }
    for (int y = 0; y < grid->height; y++) {
        if (!row_is_shown(t, grid, y))
            put_row(t, grid, y);
    }
    tdbg_tui_grid_resize(&t->shown, grid->width, grid->height);
    memcpy(t->shown.cells, grid->cells,
           (size_t)grid->width * (size_t)grid->height * sizeof *grid->cells);
    move(grid->cursor_y, grid->cursor_x);
    refresh();
}

static uint32_t special_key(wint_t key)
{
    static const struct {
        wint_t curses;
        uint32_t key;
    } keys[] = {
        {KEY_UP, TDBG_KEY_UP},
        {KEY_DOWN, TDBG_KEY_DOWN},
        {KEY_LEFT, TDBG_KEY_LEFT},
        {KEY_RIGHT, TDBG_KEY_RIGHT},
        {KEY_PPAGE, TDBG_KEY_PAGE_UP},
        {KEY_NPAGE, TDBG_KEY_PAGE_DOWN},
        {KEY_HOME, TDBG_KEY_HOME},
        {KEY_END, TDBG_KEY_END},
        {KEY_BACKSPACE, TDBG_KEY_BACKSPACE},
        {KEY_BTAB, TDBG_KEY_SHIFT_TAB},
        {KEY_ENTER, TDBG_KEY_ENTER},
        {CURSES_PASTE, TDBG_KEY_PASTE},
        {CURSES_PASTE_END, TDBG_KEY_PASTE_END},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].curses == key)
            return keys[i].key;
    }
    if (key >= KEY_F(1) && key <= KEY_F(12))
        return TDBG_KEY_F0 + (key - KEY_F(0));
    return TDBG_KEY_BEYOND;
}

static struct tdbg_tui_event read_mouse(void)
{
    struct tdbg_tui_event event = {.kind = TDBG_EVENT_MOUSE};
    MEVENT m;
    if (getmouse(&m) != OK)
        return (struct tdbg_tui_event){.kind = TDBG_EVENT_NONE};
    event.x = m.x;
    event.y = m.y;
    if (m.bstate & BUTTON4_PRESSED)
        event.button = TDBG_BUTTON_WHEEL_UP;
    else if (m.bstate & BUTTON5_PRESSED)
        event.button = TDBG_BUTTON_WHEEL_DOWN;
    else if (m.bstate & BUTTON1_PRESSED)
        event.button = TDBG_BUTTON_CLICK;
    else if (m.bstate & BUTTON1_RELEASED)
        event.button = TDBG_BUTTON_RELEASE;
    else
        event.kind = TDBG_EVENT_NONE;
    return event;
}

static void say_idle(struct tdbg_tui_terminal *t)
{
    char title[48];
    const int n = snprintf(title, sizeof title, "\033]2;idle %lld\007", (long long)++t->n_idle);
    ssize_t ignored = write(STDOUT_FILENO, title, (size_t)n);
    (void)ignored;
}

void tdbg_tui_terminal_watch(struct tdbg_tui_terminal *t, int fd)
{
    t->watched = fd;
}

void tdbg_tui_terminal_set_busy(struct tdbg_tui_terminal *t, bool is_busy)
{
    t->is_busy = is_busy;
}

/* Sleeps until there is input, another size or what is watched. */
enum wakening { WOKEN_BY_INPUT, WOKEN_OTHERWISE, WOKEN_BY_END };
static enum wakening sleep_until_woken(const struct tdbg_tui_terminal *t)
{
    enum { INPUT, RESIZE, WATCHED }; /* poll() passes over an fd of -1 */
    struct pollfd fds[] = {[INPUT] = {.fd = STDIN_FILENO, .events = POLLIN},
                           [RESIZE] = {.fd = resize_count, .events = POLLIN},
                           [WATCHED] = {.fd = t->watched, .events = POLLIN}};
    uint64_t n_resizes;
    int n_bytes = 0;
    while (poll(fds, sizeof fds / sizeof fds[0], -1) < 0) {
        if (errno != EINTR)
            return WOKEN_BY_END;
    }
    if (fds[RESIZE].revents && read(resize_count, &n_resizes, sizeof n_resizes) > 0)
        adopt_size();
    if (!fds[INPUT].revents)
        return WOKEN_OTHERWISE;
    /* readable without anything to read: the end */
    return ioctl(STDIN_FILENO, FIONREAD, &n_bytes) == 0 && n_bytes > 0 ? WOKEN_BY_INPUT
                                                                       : WOKEN_BY_END;
}

struct tdbg_tui_event tdbg_tui_terminal_read(struct tdbg_tui_terminal *t, bool wait)
{
    wint_t key;
    timeout(0);
    int got = get_wch(&key);
    if (got == ERR && wait) {
        if (t->says_idle && !t->is_busy)
            say_idle(t);
        const enum wakening why = sleep_until_woken(t);
        if (why == WOKEN_BY_END)
            return (struct tdbg_tui_event){.kind = TDBG_EVENT_END};
        timeout(why == WOKEN_BY_INPUT ? ESCAPE_WAIT_MS
                                      : 0); /* for the rest of a character that came in pieces */
        got = get_wch(&key);
    }
    if (got == ERR)
        return (struct tdbg_tui_event){.kind = TDBG_EVENT_NONE};
    if (got != KEY_CODE_YES)
        return (struct tdbg_tui_event){.kind = TDBG_EVENT_KEY, .key = (uint32_t)key};
    if (key == KEY_RESIZE)
        return (struct tdbg_tui_event){.kind = TDBG_EVENT_RESIZE};
    if (key == KEY_MOUSE)
        return read_mouse();
    return (struct tdbg_tui_event){.kind = TDBG_EVENT_KEY, .key = special_key(key)};
}

void tdbg_tui_terminal_copy(struct tdbg_tui_terminal *t, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct tdbg_strbuf out = {0};
    (void)t;
    if (!knows_xterm_sequences())
        return;
    tdbg_strbuf_puts(&out, "\033]52;c;");
    for (size_t n = strlen(text); n > 0;) { /* RFC 4648 */
        const unsigned char *b = (const unsigned char *)text;
        const size_t take = n < 3 ? n : 3;
        const unsigned bits =
            (unsigned)b[0] << 16 | (take > 1 ? (unsigned)b[1] << 8 : 0) | (take > 2 ? b[2] : 0);
        for (size_t i = 0; i < 4; i++)
            tdbg_strbuf_putc(&out, i <= take ? digits[bits >> (18 - 6 * i) & 63] : '=');
        text += take;
        n -= take;
    }
    tdbg_strbuf_putc(&out, '\a');
    ssize_t ignored = write(STDOUT_FILENO, out.text, out.n_bytes);
    (void)ignored;
    tdbg_strbuf_free(&out);
}

void tdbg_tui_terminal_suspend(struct tdbg_tui_terminal *t)
{
    struct sigaction former;
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    mark_pastes(false);
    endwin();
    sigaction(SIGTSTP, &by_default, &former);
    kill(0, SIGTSTP); /* the whole job, as a shell's ^Z would */
    sigaction(SIGTSTP, &former, NULL);
    adopt_size(); /* nobody tells a job that is stopped */
    tdbg_tui_grid_free(&t->shown);
    clearok(curscr, TRUE);
    refresh();
    mark_pastes(true);
}
