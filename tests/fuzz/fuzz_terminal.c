/* Fuzz: random keys, commands, mouse events and sizes go into the terminal's app, over a made-up
 * run or over traces; every screen is checked for what has to hold of all screens. Each run is a
 * child process: when one ends badly, its last screen and the log of all that went in are printed.
 *
 * usage: fuzz-terminal COUNT SEED [TRACE[,TRACE]]...   COUNT events for each; without one: made up;
 *                                                       of two the diff screen is open
 *
 * Files that commands write go to a folder of its own. */
#include <dirent.h>
#include <locale.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/fuzz/fuzz_bytes.h"
#include "tests/screen/driver.h"
#include "tests/screen/fake_search.h"
#include "trace/reader.h"
#include "tui/jobs_inline.h"

enum { LOG_BYTES = 1 << 22, SCREEN_BYTES = 1 << 18, SECONDS = 600 };

/* Seen by the parent when the child is gone. */
static struct {
    size_t n_log;
    char log[LOG_BYTES], screen[SCREEN_BYTES];
} * shared;

static void note(const char *text)
{
    const size_t n = strlen(text);
    if (shared->n_log + n + 1 < LOG_BYTES) {
        memcpy(shared->log + shared->n_log, text, n + 1);
        shared->n_log += n;
    }
}

static void press(struct tdbg_tui_app *app, uint32_t key)
{
    char name[TDBG_KEY_NAME_BYTES], text[TDBG_KEY_NAME_BYTES + 3];
    tdbg_tui_key_name(key, name);
    snprintf(text, sizeof text, strlen(name) > 1 || *name == '<' ? "<%s>" : "%s", name);
    note(text);
    tdbg_tui_app_key(app, key);
}

static void type(struct tdbg_tui_app *app, const char *line)
{
    press(app, ':');
    for (; *line; line++)
        press(app, (unsigned char)*line);
    press(app, below(20) ? TDBG_KEY_ENTER : TDBG_KEY_ESC);
}

static const char *const lines[] = {
    "goto 5",
    "goto +3/bwd",
    "1410",
    "goto 7/grad/fc1.weight",
    "first loss < 0.5",
    "last absmax(grad/*) > 0.1",
    "first nan",
    "when",
    "find fc*",
    "p loss",
    "p norm(param/fc1.weight)",
    "p eval/loss",
    "x fc2.bias",
    "x fc1.weight[0:3,:4]",
    "x loss",
    "mark a",
    "mark Q far away",
    "b loss > 0.1",
    "b nan|inf grad/*",
    "b los > 1",
    "tb step == 9",
    "dis 1",
    "en 1",
    "del 1",
    "del 2",
    "info",
    "info b",
    "watch",
    "watch param/fc2.weight",
    "c",
    "c 3",
    "rc",
    "rc 2",
    "c loss < 0.1",
    "out",
    "export json a.json",
    "rc loss > 1",
    "set keys=less",
    "set keys=tdbg",
    "set scale=linear",
    "set mouse=off",
    "set mouse=on",
    "save s",
    "source s",
    "export screen e",
    "export csv f",
    "diff b.h5",
    "bisect",
    "good 3",
    "bad",
    "whatif lr=1",
    "help",
    "help keys",
    "help b",
    "good",
    "42G",
    "",
    "#",
    "   ",
};

/* Words of the language in no order, and printable noise. */
static void type_noise(struct tdbg_tui_app *app)
{
    static const char *const words[] = {
        "loss",    "grad_norm", "nan",    "inf",     "or",     "and",   "not",
        "if",      "step",      "(",      ")",       "[",      "]",     ",",
        ":",       "*",         "?",      "<",       ">=",     "==",    "norm(",
        "absmax(", "fc1",       "grad/*", "fwd/fc1", "-",      "1e999", "99999999999999999999",
        "0x",      "goto",      "first",  "b",       "x",      "p",     "mark",
        "watch",   "export",    "whatif", "bisect",  "source", "set",   "\"",
        "'",       "%s",        "../",    "$",       "~",      "to",    "#",
    };
    char line[160] = "";
    const size_t n = below(8);
    for (size_t i = 0; i < n; i++) {
        const size_t used = strlen(line);
        if (below(4) == 0)
            snprintf(line + used, sizeof line - used, "%c", (int)(' ' + below(95)));
        else
            snprintf(line + used, sizeof line - used, "%s%s",
                     words[below(sizeof words / sizeof words[0])], below(2) ? " " : "");
    }
    type(app, line);
}

/* Keys that mean something come more often than any others. */
static uint32_t random_key(void)
{
    static const char usual[] = "nNsSfFcCgGlhkjmzbBwoiudrRxvL0123456789/]['@+-=eyDtq? pa:";
    switch (below(8)) {
    case 0:
        return TDBG_KEY_SPECIAL + (uint32_t)below(TDBG_KEY_PASTE_END - TDBG_KEY_SPECIAL + 1);
    case 1:
        return 1 + (uint32_t)below(31);
    case 2:
        return below(30) ? TDBG_KEY_TAB : (uint32_t)below(0x3000);
    default:
        return (unsigned char)usual[below(sizeof usual - 1)];
    }
}

static void random_event(struct tdbg_tui_app *app)
{
    char text[64];
    const size_t kind = below(40);
    if (kind == 0) {
        const int width = (int)(below(5) ? 40 + below(130) : 1 + below(60));
        const int height = (int)(below(5) ? 10 + below(45) : 1 + below(12));
        snprintf(text, sizeof text, "\n%dx%d\n", width, height);
        note(text);
        tdbg_tui_app_resize(app, width, height);
    } else if (kind == 1) {
        const int x = (int)below((size_t)app->width + 2), y = (int)below((size_t)app->height + 2);
        const enum tdbg_tui_button button = (enum tdbg_tui_button)below(3);
        snprintf(text, sizeof text, "\nmouse %d,%d %d\n", x, y, (int)button);
        note(text);
        tdbg_tui_app_mouse(app, x, y, button);
    } else if (kind <= 4) {
        type(app, lines[below(sizeof lines / sizeof lines[0])]);
    } else if (kind == 5) {
        type_noise(app);
    } else {
        press(app, random_key());
    }
}

/* What holds of every screen, and of the state behind it. */
static void check(struct tdbg_tui_app *app)
{
    const struct tdbg_tui_model *m = &app->model;
    tdbg_tui_app_take_answers(app);
    tdbg_tui_app_work(app);
    tdbg_tui_app_draw(app);
    driver_check(app);
    if (app->done)
        return;
    assert_true(m->focus.step >= m->data->first_step);
    assert_true(m->focus.step < m->data->first_step + m->data->n_steps);
    assert_true(m->focus.site >= 0 && (m->focus.site < m->data->n_sites || m->focus.site == 0));
    char *screen = driver_text(app);
    snprintf(shared->screen, SCREEN_BYTES, "%s", screen);
    free(screen);
}

/* second: NULL, or a trace beside it. */
static void walk(const struct tdbg_tui_data *data, const struct tdbg_tui_jobs *jobs,
                 const char *second, size_t count)
{
    static struct tdbg_tui_app app;
    struct tdbg_err err = {0};
    bool is_open = false;
    for (size_t i = 0; i < count; i++) {
        if (!is_open) {
            note("\nopen\n");
            assert_int_equal(tdbg_tui_app_init(&app, data, jobs, below(2), &err), TDBG_OK);
            tdbg_tui_app_resize(&app, 80, 24);
            if (second && tdbg_tui_app_diff(&app, second, &err) != TDBG_OK)
                fail_msg("%s", err.message);
            is_open = true;
        }
        random_event(&app);
        check(&app);
        if (app.done)
            tdbg_tui_app_free(&app);
        is_open = !app.done && is_open;
    }
    if (is_open)
        tdbg_tui_app_free(&app);
}

static void walk_made_up(size_t count)
{
    const struct fake_wish wish = {.first_step = 1400,
                                   .n_steps = 100,
                                   .eval_every = 10,
                                   .samples = (enum fake_samples)(rng % (FAKE_WORDS + 1))};
    static struct fake_run run;
    static struct fake_search search;
    fake_run_make(&run, &wish);
    walk(&run.data, fake_search_make(&search, &run), NULL, count);
}

static void walk_trace(const char *path, const char *second, size_t count)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *trace;
    struct tdbg_tui_jobs jobs;
    const struct tdbg_session_options options = {.isa = "auto", .threads = 1};
    if (tdbg_trace_open(path, &trace, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    if (tdbg_tui_jobs_inline(path, &options, NULL, NULL, &jobs, &err) != TDBG_OK)
        fail_msg("%s", err.message);
    const struct tdbg_tui_data data = tdbg_tui_data_from_trace(trace);
    walk(&data, &jobs, second, count);
    jobs.destroy(jobs.context);
    tdbg_trace_close(trace);
}

/* In a child; returns whether all was well. */
static bool run_child(const char *path, const char *second, const char *folder, size_t count,
                      uint64_t seed)
{
    int status;
    shared->n_log = 0;
    shared->log[0] = shared->screen[0] = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        rng = seed;
        if (chdir(folder) != 0)
            _exit(2);
        if (path)
            walk_trace(path, second, count);
        else
            walk_made_up(count);
        exit(0); /* a leak check comes here */
    }
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr, "%s %d after these events:\n%s\nthe last screen:\n%s\n",
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), shared->log,
            shared->screen);
    return false;
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char path[600];
    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/tdbg-fuzz-XXXXXX";
    if (argc < 3 || !setlocale(LC_CTYPE, "C.UTF-8")) {
        fputs("usage: fuzz-terminal COUNT SEED [TRACE[,TRACE]]...\n", stderr);
        return 2;
    }
    const size_t count = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !mkdtemp(folder))
        return 2;
    bool fine = true;
    for (int i = 3; i < argc || i == 3; i++) {
        char *comma = i < argc ? strchr(argv[i], ',') : NULL;
        if (comma)
            *comma = 0;
        char *path = i < argc ? realpath(argv[i], NULL) : NULL;
        char *second = comma ? realpath(comma + 1, NULL) : NULL;
        fine = run_child(path, second, folder, count, seed) && fine;
        free(path);
        free(second);
    }
    remove_folder(folder);
    printf("%d walks of %zu events: %s\n", argc > 3 ? argc - 3 : 1, count,
           fine ? "fine" : "failed");
    return fine ? 0 : 1;
}
