/* See line_history.h. */
#include "tui/line_history.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *tdbg_tui_user_path(const char *variable, const char *fallback, const char *name)
{
    const char *folder = getenv(variable), *home = getenv("HOME");
    char *path = NULL;
    int made = -1;
    if (folder && *folder == '/')
        made = asprintf(&path, "%s/tdbg/%s", folder, name);
    else if (home && *home == '/')
        made = asprintf(&path, "%s/%s/tdbg/%s", home, fallback, name);
    return made < 0 ? NULL : path;
}

/* An escape sequence in the file must not reach the terminal by way of the prompt. */
static bool is_text(const char *line)
{
    for (const char *c = line; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            return false;
    }
    return *line && strlen(line) <= TDBG_HISTORY_LINE_BYTES;
}

static bool keep(struct tdbg_tui_line_history *h, const char *line)
{
    if (!is_text(line) || (h->n > 0 && strcmp(h->line[h->n - 1], line) == 0))
        return false;
    char *copy = strdup(line);
    if (!copy)
        return false;
    if (h->n == TDBG_HISTORY_LINES) {
        free(h->line[0]);
        memmove(h->line, h->line + 1, (size_t)--h->n * sizeof h->line[0]);
    }
    h->line[h->n++] = copy;
    return true;
}

void tdbg_tui_line_history_open(struct tdbg_tui_line_history *h, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    tdbg_tui_line_history_free(h);
    h->path = path ? strdup(path) : NULL;
    FILE *f = h->path ? fopen(h->path, "re") : NULL;
    while (f && (n = getline(&line, &room, f)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = 0;
        h->n_in_file++;
        keep(h, line);
    }
    free(line);
    if (f)
        fclose(f);
}

void tdbg_tui_line_history_free(struct tdbg_tui_line_history *h)
{
    for (int i = 0; i < h->n; i++)
        free(h->line[i]);
    free(h->path);
    *h = (struct tdbg_tui_line_history){0};
}

static void make_folders(char *path)
{
    for (char *c = path + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = 0;
        mkdir(path, 0700);
        *c = '/';
    }
}

/* All lines anew, or the last one behind the others. */
static void write_lines(struct tdbg_tui_line_history *h, bool all)
{
    const int fd = open(h->path, O_WRONLY | O_CREAT | O_CLOEXEC | (all ? O_TRUNC : O_APPEND), 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (int i = all ? 0 : h->n - 1; i < h->n; i++)
        fprintf(f, "%s\n", h->line[i]);
    h->n_in_file = all ? h->n : h->n_in_file + 1;
    fclose(f);
}

void tdbg_tui_line_history_add(struct tdbg_tui_line_history *h, const char *line)
{
    if (!keep(h, line) || !h->path)
        return;
    make_folders(h->path);
    write_lines(h, h->n_in_file >= 2 * TDBG_HISTORY_LINES);
}
