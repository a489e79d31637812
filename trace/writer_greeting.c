/* The first words between a recording program and its writer. See writer_greeting.h. */
#include "trace/writer_greeting.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/version.h"
#include "trace/ring.h"
#include "trace/schema.h"
#include "trace/writer_link.h"

static const char mark[8] = {'t', 'd', 'b', 'g', 'l', 'i', 'n', 'k'};

/* FNV-1a over the sizes of what goes from one process to the other. */
static uint32_t layout_hash(void)
{
    const size_t sizes[] = {
        sizeof(struct tdbg_link_hello),   sizeof(struct tdbg_link_answer),
        sizeof(struct tdbg_trace_spec),   sizeof(struct tdbg_site),
        sizeof(struct tdbg_site_plan),    sizeof(struct tdbg_keyframe_item),
        sizeof(struct tdbg_ring_message), sizeof(struct tdbg_step_row),
        sizeof(struct tdbg_stats),        sizeof(struct tdbg_finding),
    };
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        hash = (hash ^ (uint32_t)sizes[i]) * 16777619u;
    return hash;
}

static struct tdbg_link_greeting own_greeting(void)
{
    struct tdbg_link_greeting own = {
        .protocol = TDBG_LINK_PROTOCOL, .layout = layout_hash(), .version = TDBG_VERSION};
    memcpy(own.mark, mark, sizeof mark);
    return own;
}

static bool is_greeting(const struct tdbg_link_greeting *g)
{
    return memcmp(g->mark, mark, sizeof mark) == 0;
}

/* Who they are, as in "build/tdbg is version 0.1.0, protocol 1 (4f3a02c1)". */
static void describe(const char *path, const struct tdbg_link_greeting *g, struct tdbg_strbuf *out)
{
    if (is_greeting(g))
        tdbg_strbuf_printf(out, "%s is version %.*s, protocol %u (%08x)", path,
                           (int)sizeof g->version, g->version, g->protocol, g->layout);
    else
        tdbg_strbuf_printf(out, "%s is an earlier version, or no part of tdbg", path);
}

static enum tdbg_status compare(const char *program, const struct tdbg_link_greeting *of_program,
                                const char *writer, const struct tdbg_link_greeting *of_writer,
                                struct tdbg_err *err)
{
    struct tdbg_strbuf text = {0};
    if (memcmp(of_program, of_writer, sizeof *of_program) == 0)
        return TDBG_OK;
    tdbg_strbuf_printf(&text, "a program and its tdbg-writer have to be of one build: ");
    describe(program, of_program, &text);
    tdbg_strbuf_printf(&text, "; ");
    describe(writer, of_writer, &text);
    tdbg_strbuf_printf(&text, " (TDBG_WRITER can name another tdbg-writer)");
    (void)TDBG_RAISE(err, UNSUPPORTED, "%s", text.text);
    tdbg_strbuf_free(&text);
    return TDBG_UNSUPPORTED;
}

/* The program that a link of /proc names. */
static void program_at(const char *link, char path[PATH_MAX])
{
    const ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    if (n <= 0)
        strcpy(path, "the program");
}

enum tdbg_status tdbg_link_greet_writer(int socket, struct tdbg_err *err)
{
    const struct tdbg_link_greeting own = own_greeting();
    struct tdbg_link_greeting other;
    char program[PATH_MAX], writer[PATH_MAX];
    if (!tdbg_link_send(socket, &own, sizeof own) ||
        !tdbg_link_receive(socket, &other, sizeof other))
        return TDBG_RAISE(err, IO, "the writer process has ended");
    tdbg_link_own_path(program);
    if (!tdbg_link_find_writer(writer))
        strcpy(writer, "tdbg-writer");
    return compare(program, &own, writer, &other, err);
}

/* What a program of before there were greetings sends is as long as its head, or longer. */
enum tdbg_status tdbg_link_greet_program(int socket, struct tdbg_err *err)
{
    const struct tdbg_link_greeting own = own_greeting();
    struct tdbg_link_greeting other;
    struct tdbg_link_answer answer;
    char program[PATH_MAX], writer[PATH_MAX], link[64];
    if (!tdbg_link_receive(socket, &other, sizeof other))
        return TDBG_RAISE(err, IO, "the recording program has ended");
    snprintf(link, sizeof link, "/proc/%d/exe", (int)getppid());
    program_at(link, program);
    program_at("/proc/self/exe", writer);
    const enum tdbg_status st = compare(program, &other, writer, &own, err);
    if (is_greeting(&other)) {
        tdbg_link_send(socket, &own, sizeof own);
    } else {
        tdbg_link_answer_with(&answer, st, err);
        tdbg_link_send(socket, &answer, sizeof answer);
        while (tdbg_link_receive(socket, link, 1)) /* it says everything before it listens */
            continue;
    }
    return st;
}
