/* Bytes of a config file, checked before anything looks at them: size, UTF-8, zero bytes.
 * Tokens are made of them in config_token.c. */
#include "base/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

/* Files without a size (pipes) are allowed, so the limit is checked while reading. */
static char *read_all(int fd, size_t most_bytes, size_t *n_bytes, int *error)
{
    size_t n = 0, room = 1 << 14;
    char *bytes = malloc(room + 1);
    *error = bytes ? 0 : ENOMEM;
    while (!*error && n <= most_bytes) {
        if (n == room) {
            char *more = realloc(bytes, room * 2 + 1);
            if (!more) {
                *error = ENOMEM;
                break;
            }
            bytes = more;
            room *= 2;
        }
        ssize_t got = read(fd, bytes + n, room - n);
        if (got == 0)
            break;
        if (got > 0)
            n += (size_t)got;
        else if (errno != EINTR)
            *error = errno;
    }
    if (!*error && n > most_bytes)
        *error = EFBIG;
    if (*error) {
        free(bytes);
        return NULL;
    }
    bytes[n] = '\0';
    *n_bytes = n;
    return bytes;
}

/* Checks bytes that are in the arena already. */
static const struct tdbg_config_file *check_bytes(struct tdbg_arena *arena, const char *bytes,
                                                  size_t n_bytes, const char *name,
                                                  struct tdbg_config_fault *fault)
{
    struct tdbg_config_file *file = tdbg_arena_alloc(arena, sizeof *file);
    *file = (struct tdbg_config_file){.name = name, .text = bytes, .n_bytes = n_bytes};
    if (n_bytes >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        file->text += 3;
        file->n_bytes -= 3;
    }
    int line = 1;
    for (size_t i = 0; i < file->n_bytes;) {
        size_t length = tdbg_utf8_length(file->text + i, file->n_bytes - i);
        if (length == 0 || file->text[i] == '\0') {
            *fault = (struct tdbg_config_fault){.file = file, .line = line};
            fault->message = length == 0 ? "the file is not UTF-8 text"
                                         : "the file holds a zero byte: it is not a text file";
            return NULL;
        }
        line += file->text[i] == '\n';
        i += length;
    }
    return file;
}

const struct tdbg_config_file *tdbg_config_file_read(struct tdbg_arena *arena, const char *path,
                                                     size_t most_bytes,
                                                     struct tdbg_config_fault *fault)
{
    int error = 0;
    size_t n_bytes = 0;
    char *bytes = NULL;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        error = errno;
    else if (S_ISDIR(info.st_mode))
        error = EISDIR;
    else
        bytes = read_all(fd, most_bytes, &n_bytes, &error);
    if (fd >= 0)
        close(fd);
    if (!bytes) {
        const char *why = error == EFBIG ? "larger than 16 MiB" : strerror(error);
        *fault = (struct tdbg_config_fault){
            .message = tdbg_arena_printf(arena, "cannot read %s: %s", path, why)};
        return NULL;
    }
    char *kept = tdbg_arena_alloc(arena, n_bytes + 1);
    memcpy(kept, bytes, n_bytes);
    free(bytes);
    return check_bytes(arena, kept, n_bytes, tdbg_arena_strdup(arena, path), fault);
}

const struct tdbg_config_file *tdbg_config_file_wrap(struct tdbg_arena *arena, const char *source,
                                                     const char *name,
                                                     struct tdbg_config_fault *fault)
{
    size_t n_bytes = strlen(source);
    if (n_bytes > TDBG_CONFIG_MAX_BYTES) {
        *fault = (struct tdbg_config_fault){
            .message = tdbg_arena_printf(arena, "cannot read %s: larger than 16 MiB", name)};
        return NULL;
    }
    return check_bytes(arena, tdbg_arena_strdup(arena, source), n_bytes,
                       tdbg_arena_strdup(arena, name), fault);
}

const char *tdbg_config_join(struct tdbg_arena *arena, const char *base, const char *path)
{
    const char *slash = strrchr(base, '/');
    if (path[0] == '/' || !slash)
        return tdbg_arena_strdup(arena, path);
    return tdbg_arena_printf(arena, "%.*s%s", (int)(slash + 1 - base), base, path);
}
