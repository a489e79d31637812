/* See keymap.h. */
#include "tui/keymap.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

static const char *const request_names[TDBG_REQUEST_COUNT] = {"NONE",
#define REQUEST_NAME(name, group, help, hint, keys) #name,
                                                              TDBG_TUI_REQUEST_LIST(REQUEST_NAME)
#undef REQUEST_NAME
};

void tdbg_tui_keymap_reset(struct tdbg_tui_keymap *map)
{
    TDBG_ASSERT(tdbg_tui_n_bindings <= TDBG_KEYMAP_BINDINGS);
    *map = (struct tdbg_tui_keymap){.n = tdbg_tui_n_bindings};
    memcpy(map->binding, tdbg_tui_bindings, (size_t)map->n * sizeof *map->binding);
}

void tdbg_tui_keymap_use_less(struct tdbg_tui_keymap *map)
{
    static const struct tdbg_tui_binding less[] = {
        {'n', TDBG_REQUEST_HIT_NEXT},
        {'N', TDBG_REQUEST_HIT_PREV},
        {TDBG_KEY_F0 + 6, TDBG_REQUEST_RUN},
        {TDBG_KEY_F0 + 8, TDBG_REQUEST_STEP_NEXT},
        {TDBG_KEY_F0 + 10, TDBG_REQUEST_OP_NEXT},
    };
    tdbg_tui_keymap_reset(map);
    for (size_t i = 0; i < sizeof less / sizeof less[0]; i++)
        tdbg_tui_keymap_bind(map, less[i].key, less[i].request, NULL);
    map->is_less = true;
}

static struct tdbg_tui_binding *find(struct tdbg_tui_keymap *map, uint32_t key)
{
    for (int i = 0; i < map->n; i++) {
        if (map->binding[i].key == key)
            return &map->binding[i];
    }
    return NULL;
}

static int count_quits(const struct tdbg_tui_keymap *map, uint32_t but)
{
    int n = 0;
    for (int i = 0; i < map->n; i++) {
        const enum tdbg_tui_request r = map->binding[i].request;
        n += map->binding[i].key != but && (r == TDBG_REQUEST_BACK || r == TDBG_REQUEST_QUIT);
    }
    return n;
}

enum tdbg_status tdbg_tui_keymap_bind(struct tdbg_tui_keymap *map, uint32_t key,
                                      enum tdbg_tui_request request, struct tdbg_err *err)
{
    struct tdbg_tui_binding *binding = find(map, key);
    const bool quits = request == TDBG_REQUEST_BACK || request == TDBG_REQUEST_QUIT;
    if (key >= '0' && key <= '9' && !(key == '0' && binding))
        return TDBG_RAISE(err, USAGE, "digits are counts and cannot be bound");
    if (!quits && count_quits(map, key) == 0)
        return TDBG_RAISE(err, USAGE, "no key would be left for back or quit");
    if (!binding && map->n == TDBG_KEYMAP_BINDINGS)
        return TDBG_RAISE(err, USAGE, "more than %d keys are bound", TDBG_KEYMAP_BINDINGS);
    if (!binding)
        binding = &map->binding[map->n++];
    *binding = (struct tdbg_tui_binding){key, request};
    return TDBG_OK;
}

enum tdbg_tui_request tdbg_tui_keymap_request(const struct tdbg_tui_keymap *map, uint32_t key)
{
    for (int i = 0; i < map->n; i++) {
        if (map->binding[i].key == key)
            return map->binding[i].request;
    }
    return TDBG_REQUEST_NONE;
}

const char *tdbg_tui_keymap_keys(const struct tdbg_tui_keymap *map, enum tdbg_tui_request request,
                                 char *buf, size_t buf_bytes)
{
    char name[TDBG_KEY_NAME_BYTES];
    size_t used = 0;
    buf[0] = 0;
    for (int i = 0; i < map->n && used < buf_bytes; i++) {
        if (map->binding[i].request == request)
            used += (size_t)snprintf(buf + used, buf_bytes - used, "%s%s", used ? " " : "",
                                     tdbg_tui_key_name(map->binding[i].key, name));
    }
    return buf;
}

/* Name of the first key, or "". */
static void first_key(const struct tdbg_tui_keymap *map, enum tdbg_tui_request request,
                      char buf[TDBG_KEY_NAME_BYTES])
{
    buf[0] = 0;
    for (int i = 0; i < map->n && !buf[0]; i++) {
        if (map->binding[i].request == request)
            tdbg_tui_key_name(map->binding[i].key, buf);
    }
}

const char *tdbg_tui_keymap_hint(const struct tdbg_tui_keymap *map, enum tdbg_tui_request request,
                                 char buf[TDBG_KEY_HINT_BYTES])
{
    const char *usual = tdbg_tui_request_info(request)->hint_keys;
    const bool is_pair = usual && strlen(usual) == 3 && usual[1] == '/';
    char there[TDBG_KEY_NAME_BYTES], back[TDBG_KEY_NAME_BYTES] = "";
    first_key(map, request, there);
    if (is_pair)
        first_key(map, (enum tdbg_tui_request)(request + 1), back);
    snprintf(buf, TDBG_KEY_HINT_BYTES, "%s%s%s", there, *there && *back ? "/" : "", back);
    return buf;
}

const char *tdbg_tui_request_name(enum tdbg_tui_request request, char buf[32])
{
    int i = 0;
    for (const char *c = request_names[request]; *c && i < 31; c++)
        buf[i++] = (char)(*c == '_' ? '-' : tolower((unsigned char)*c));
    buf[i] = 0;
    return buf;
}

bool tdbg_tui_request_named(const char *name, enum tdbg_tui_request *out)
{
    char text[32];
    for (int r = TDBG_REQUEST_NONE; r < TDBG_REQUEST_COUNT; r++) {
        if (strcmp(tdbg_tui_request_name((enum tdbg_tui_request)r, text), name) == 0) {
            *out = (enum tdbg_tui_request)r;
            return true;
        }
    }
    return false;
}

uint32_t tdbg_tui_key_named(const char *name)
{
    char text[TDBG_KEY_NAME_BYTES];
    for (uint32_t key = 1; key < TDBG_KEY_BEYOND; key++) {
        if (key == 0xd800)
            key = TDBG_KEY_SPECIAL; /* beyond them nobody has keys */
        if (strcmp(tdbg_tui_key_name(key, text), name) == 0)
            return key;
    }
    return 0;
}

static enum tdbg_status unknown_request(const char *name, struct tdbg_err *err)
{
    char texts[TDBG_REQUEST_COUNT][32];
    const char *names[TDBG_REQUEST_COUNT];
    for (int r = 0; r < TDBG_REQUEST_COUNT; r++)
        names[r] = tdbg_tui_request_name((enum tdbg_tui_request)r, texts[r]);
    const char *near = tdbg_suggest(name, names, TDBG_REQUEST_COUNT);
    if (near)
        return TDBG_RAISE(err, USAGE, "no request '%s'; did you mean '%s'?", name, near);
    return TDBG_RAISE(err, USAGE,
                      "no request '%s'; they are named like step-next, run, undo, none "
                      "(:help keys lists them)",
                      name);
}

static enum tdbg_status read_line(struct tdbg_tui_keymap *map, char *line, struct tdbg_err *err)
{
    static const char space[] = " \t\r\n";
    char *save = NULL, *word[4];
    int n = 0;
    enum tdbg_tui_request request;
    for (char *w = strtok_r(line, space, &save); w && n < 4; w = strtok_r(NULL, space, &save)) {
        if (*w == '#' && !(n == 1 && !w[1])) /* "bind # find" is about the key */
            break;
        word[n++] = w;
    }
    if (n == 0)
        return TDBG_OK;
    if (strcmp(word[0], "bind") != 0 || n != 3)
        return TDBG_RAISE(err, USAGE, "expected 'bind KEY REQUEST', like 'bind F10 op-next'");
    const uint32_t key = tdbg_tui_key_named(word[1]);
    if (key == 0)
        return TDBG_RAISE(err, USAGE,
                          "no key '%s'; keys are a character, ^A, F1 to F12, Space, Tab, Enter, "
                          "Esc, Up, Down, Left, Right, PgUp, PgDn, Home, End, Backspace, Shift-Tab",
                          word[1]);
    if (!tdbg_tui_request_named(word[2], &request))
        return unknown_request(word[2], err);
    return tdbg_tui_keymap_bind(map, key, request, err);
}

enum tdbg_status tdbg_tui_keymap_read(struct tdbg_tui_keymap *map, const char *path,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    char *line = NULL;
    size_t room = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return tdbg_err_set(err, errno == ENOENT || errno == ENOTDIR ? TDBG_NOT_FOUND : TDBG_IO,
                            __FILE__, __LINE__, "cannot read %s: %s", path, strerror(errno));
    for (int number = 1; st == TDBG_OK && getline(&line, &room, f) >= 0; number++) {
        st = read_line(map, line, err);
        if (st != TDBG_OK && err)
            tdbg_err_prefix(err, "%s:%d", path, number);
    }
    free(line);
    fclose(f);
    return st;
}
