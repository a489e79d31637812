/* The log of a bisect. See bisect_log.h. */
#include "replay/bisect_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"

struct entry {
    uint64_t question;
    const char *taken; /* (n) '0' and '1' */
    enum tdbg_outcome outcome;
    int64_t step;
};

struct tdbg_bisect_log {
    struct tdbg_arena *arena;
    int n;
    uint64_t question;     /* that is asked now */
    struct entry *entries; /* on the heap */
    int n_entries, room;
    char *path; /* NULL: in memory only */
    FILE *file;
};

static const char *const words[] = {[TDBG_OUTCOME_FALSE] = "false",
                                    [TDBG_OUTCOME_TRUE] = "true",
                                    [TDBG_OUTCOME_UNRESOLVED] = "unresolved"};

static enum tdbg_status remember(struct tdbg_bisect_log *log, const struct entry *entry,
                                 struct tdbg_err *err)
{
    if (log->n_entries == log->room) {
        const int room = log->room ? 2 * log->room : 32;
        struct entry *grown = realloc(log->entries, (size_t)room * sizeof *grown);
        if (!grown)
            return TDBG_RAISE(err, NO_MEMORY, "no memory for the log of a bisect");
        log->entries = grown;
        log->room = room;
    }
    log->entries[log->n_entries] = *entry;
    log->entries[log->n_entries++].taken = tdbg_arena_strdup(log->arena, entry->taken);
    return TDBG_OK;
}

static const char *text_of(const struct tdbg_bisect_log *log, const bool *taken)
{
    char *text = tdbg_arena_alloc(log->arena, (size_t)log->n + 1);
    for (int i = 0; i < log->n; i++)
        text[i] = taken[i] ? '1' : '0';
    return text;
}

/* The next word of a line, which ends at a space; NULL: there is none. */
static char *next_word(char **line)
{
    char *word = *line, *space = word ? strchr(word, ' ') : NULL;
    if (space)
        *space++ = '\0';
    *line = space;
    return word;
}

static bool read_number(const char *word, int base, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    if (word)
        *out = base == 16 ? strtoull(word, &end, 16) : (uint64_t)strtoll(word, &end, base);
    return word && errno == 0 && end != word && !*end;
}

/* One line without its end; false: it is none of a log. */
static bool read_line(struct tdbg_bisect_log *log, char *line, struct tdbg_err *err)
{
    const char *question = next_word(&line), *taken = next_word(&line);
    const char *word = next_word(&line), *step = next_word(&line);
    uint64_t asked, at;
    if (!read_number(question, 16, &asked) || !read_number(step, 10, &at) || line ||
        strlen(taken) != (size_t)log->n || strspn(taken, "01") != (size_t)log->n)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const struct entry entry = {asked, taken, (enum tdbg_outcome)i, (int64_t)at};
        if (strcmp(word, words[i]) == 0)
            return remember(log, &entry, err) == TDBG_OK;
    }
    return false;
}

/* A line without an end was being written when the program was stopped: it counts for nothing. */
static enum tdbg_status read_log(struct tdbg_bisect_log *log, uint64_t runs, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *line = NULL;
    size_t room = 0;
    uint64_t of = 0;
    int version = 0, number = 1;
    long whole = 0;
    ssize_t n = getline(&line, &room, log->file);
    TDBG_FAIL_IF(n < 0 || sscanf(line, "tdbg bisect log %d %" SCNx64, &version, &of) != 2 ||
                     version != 1,
                 USAGE, "'--resume %s': this is not the log of a bisect", log->path);
    TDBG_FAIL_IF(of != runs, USAGE,
                 "'--resume %s': this is the log of other runs\nhint: --log begins a new one",
                 log->path);
    for (whole = ftell(log->file); (n = getline(&line, &room, log->file)) > 0;
         whole = ftell(log->file)) {
        number++;
        if (line[n - 1] != '\n')
            break;
        line[n - 1] = '\0';
        TDBG_FAIL_IF(!read_line(log, line, err), USAGE,
                     "'--resume %s': line %d is not one of this bisect", log->path, number);
    }
    TDBG_FAIL_IF(fseek(log->file, whole, SEEK_SET) != 0 || ftruncate(fileno(log->file), whole) != 0,
                 IO, "cannot go on with %s: %s", log->path, strerror(errno));
out:
    free(line);
    return st;
}

static enum tdbg_status write_line(struct tdbg_bisect_log *log, const char *text,
                                   struct tdbg_err *err)
{
    if (log->file && (fputs(text, log->file) < 0 || fflush(log->file) != 0))
        return TDBG_RAISE(err, IO, "cannot write %s: %s", log->path, strerror(errno));
    return TDBG_OK;
}

enum tdbg_status tdbg_bisect_log_open(const char *path, bool resume, uint64_t runs, int n,
                                      struct tdbg_bisect_log **out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char head[64];
    struct tdbg_bisect_log *log = calloc(1, sizeof *log);
    TDBG_FAIL_IF(!log, NO_MEMORY, "no memory for the log of a bisect");
    log->n = n;
    log->arena = tdbg_arena_create();
    TDBG_FAIL_IF(!log->arena, NO_MEMORY, "no memory for the log of a bisect");
    if (path) {
        log->path = strdup(path);
        TDBG_FAIL_IF(!log->path, NO_MEMORY, "no memory for the log of a bisect");
        log->file = fopen(path, resume ? "r+" : "w");
        TDBG_FAIL_IF(!log->file, IO, "cannot open %s: %s", path, strerror(errno));
    }
    if (resume) {
        TDBG_TRY(read_log(log, runs, err));
    } else {
        snprintf(head, sizeof head, "tdbg bisect log 1 %016" PRIx64 "\n", runs);
        TDBG_TRY(write_line(log, head, err));
    }
    *out = log;
    return TDBG_OK;
out:
    tdbg_bisect_log_close(log);
    return st;
}

void tdbg_bisect_log_close(struct tdbg_bisect_log *log)
{
    if (!log)
        return;
    if (log->file)
        fclose(log->file);
    free(log->path);
    free(log->entries);
    tdbg_arena_destroy(log->arena);
    free(log);
}

void tdbg_bisect_log_ask(struct tdbg_bisect_log *log, uint64_t question)
{
    log->question = question;
}

bool tdbg_bisect_log_find(const struct tdbg_bisect_log *log, const bool *taken, int64_t end,
                          enum tdbg_outcome *outcome, int64_t *step)
{
    const char *text = text_of(log, taken);
    for (int i = 0; i < log->n_entries; i++) {
        const struct entry *e = &log->entries[i];
        if (e->question != log->question || strcmp(e->taken, text) != 0)
            continue;
        /* true stays true in a longer run, false in a shorter one */
        if ((e->outcome == TDBG_OUTCOME_TRUE && e->step < end) ||
            (e->outcome == TDBG_OUTCOME_FALSE && e->step >= end - 1) ||
            e->outcome == TDBG_OUTCOME_UNRESOLVED) {
            *outcome = e->outcome;
            *step = e->step;
            return true;
        }
        if (e->outcome == TDBG_OUTCOME_TRUE) { /* only later */
            *outcome = TDBG_OUTCOME_FALSE;
            *step = end - 1;
            return true;
        }
    }
    return false;
}

enum tdbg_status tdbg_bisect_log_add(struct tdbg_bisect_log *log, const bool *taken,
                                     enum tdbg_outcome outcome, int64_t step, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const char *text = text_of(log, taken);
    const struct entry entry = {log->question, text, outcome, step};
    TDBG_TRY(remember(log, &entry, err));
    TDBG_TRY(write_line(log,
                        tdbg_arena_printf(log->arena, "%016" PRIx64 " %s %s %" PRId64 "\n",
                                          log->question, text, words[outcome], step),
                        err));
out:
    return st;
}

int tdbg_bisect_log_count(const struct tdbg_bisect_log *log)
{
    return log->n_entries;
}
