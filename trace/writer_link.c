/* Sockets and processes between a recording program and its writer. See writer_link.h. */
#include "trace/writer_link.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool tdbg_link_send(int socket, const void *data, size_t n_bytes)
{
    const char *at = data;
    while (n_bytes > 0) {
        const ssize_t n = send(socket, at, n_bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool tdbg_link_receive(int socket, void *data, size_t n_bytes)
{
    char *at = data;
    while (n_bytes > 0) {
        const ssize_t n = recv(socket, at, n_bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

void tdbg_link_answer_with(struct tdbg_link_answer *answer, enum tdbg_status st,
                           const struct tdbg_err *err)
{
    *answer = (struct tdbg_link_answer){.status = (int32_t)st};
    if (st != TDBG_OK && err->message)
        strncpy(answer->text, err->message, sizeof answer->text - 1);
}

enum tdbg_status tdbg_link_receive_answer(int socket, struct tdbg_err *err)
{
    struct tdbg_link_answer answer;
    if (!tdbg_link_receive(socket, &answer, sizeof answer))
        return TDBG_RAISE(err, IO, "the writer process has ended");
    answer.text[sizeof answer.text - 1] = 0;
    const enum tdbg_status st = (enum tdbg_status)answer.status;
    return st == TDBG_OK ? st : tdbg_err_set(err, st, __FILE__, __LINE__, "%s", answer.text);
}

/* Folder of a file, by cutting off its name. */
static bool folder_of(char path[PATH_MAX])
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return slash != NULL;
}

/* Beside the program or the library that this code is in: as built, and as installed. */
static bool find_near(char folder[PATH_MAX], char found[PATH_MAX])
{
    static const char *const places[] = {"trace", "../trace", ".", "../libexec/tdbg",
                                         "../../libexec/tdbg"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const int n = snprintf(found, PATH_MAX, "%s/%s/tdbg-writer", folder, places[i]);
        if (n < PATH_MAX && access(found, X_OK) == 0)
            return true;
    }
    return false;
}

static void program_path(char path[PATH_MAX])
{
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
}

void tdbg_link_own_path(char path[PATH_MAX])
{
    Dl_info info;
    if (!dladdr((const void *)(uintptr_t)tdbg_link_spawn, &info) || !info.dli_fname ||
        !realpath(info.dli_fname, path))
        program_path(path);
}

/* TDBG_WRITER names it where it is somewhere else. */
bool tdbg_link_find_writer(char found[PATH_MAX])
{
    char folder[PATH_MAX];
    const char *named = getenv("TDBG_WRITER");
    if (named && strlen(named) < PATH_MAX) {
        strcpy(found, named);
        return access(found, X_OK) == 0;
    }
    program_path(folder);
    if (folder_of(folder) && find_near(folder, found))
        return true;
    tdbg_link_own_path(folder);
    return folder_of(folder) && find_near(folder, found);
}

int tdbg_link_spawn(int socket, int ring, int announce)
{
    char path[PATH_MAX];
    char name[] = "tdbg-writer";
    char *argv[] = {name, NULL};
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    pid_t pid = -1;
    /* above the numbers that they are going to have, so that none is overwritten on the way */
    const int up[] = {fcntl(socket, F_DUPFD_CLOEXEC, 10), fcntl(ring, F_DUPFD_CLOEXEC, 10),
                      announce >= 0 ? fcntl(announce, F_DUPFD_CLOEXEC, 10) : -1};
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    for (int i = 0; i < 3; i++) {
        if (up[i] >= 0)
            posix_spawn_file_actions_adddup2(&actions, up[i], TDBG_LINK_SOCKET + i);
    }
    if (!tdbg_link_find_writer(path) || up[0] < 0 || up[1] < 0 ||
        posix_spawn(&pid, path, &actions, &attr, argv, environ) != 0)
        pid = -1;
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 3; i++) {
        if (up[i] >= 0)
            close(up[i]);
    }
    return pid;
}
