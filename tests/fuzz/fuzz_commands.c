/* Fuzz: the commands that read a trace, run inside of this program on files with changed bytes, so
 * that a sanitizer sees all that they do. Each file goes through every command; a batch of files
 * runs in a child process, so that a crash names the file that repeats it.
 *
 * usage: fuzz-commands COUNT SEED BASE...           BASE: a sound trace to change
 *        fuzz-commands one NUMBER FILE BASE...      makes that file and runs the commands on it
 *
 * With TDBG_FUZZ_KEEP set to a folder, files that made a command crash are kept there. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "tests/fuzz/fuzz_bytes.h"

enum { BATCH = 50, SECONDS_PER_FILE = 60, MAX_BASES = 8, MAX_WORDS = 12 };

/* Half of the changes aim at HDF5's metadata, which is a small part of a file. */
static size_t aim(struct bytes b)
{
    static const char *const marks[] = {"OHDR", "OCHK", "FRHP", "FHDB",    "BTHD",
                                        "BTLF", "EAHD", "EAIB", "EADB",    "EASB",
                                        "FADB", "FAHD", "BTIN", "\x89HDF", "\x28\xb5\x2f\xfd"};
    const char *mark = marks[below(sizeof marks / sizeof *marks)];
    unsigned char *at = below(2) ? memmem(b.data + below(b.n / 2), b.n / 2, mark, 4) : NULL;
    size_t i = at ? (size_t)(at - b.data) + below(200) : below(b.n);
    return i < b.n ? i : b.n - 1;
}

static void change(struct bytes *b)
{
    static const uint64_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0xffffffff, ~0ull};
    for (size_t t = 1 + below(4); t > 0; t--) {
        size_t at = aim(*b), from = below(b->n), left = b->n - at;
        uint64_t value = below(2) ? odd[below(sizeof odd / sizeof *odd)] : next();
        size_t few = 1 + below(8), many = below(600);
        switch (below(5)) {
        case 0:
            b->data[at] ^= (unsigned char)(1u << below(8));
            break;
        case 1:
            memcpy(b->data + at, &value, few < left ? few : left);
            break;
        case 2:
            memset(b->data + at, (int)(value & 0xff), many < left ? many : left);
            break;
        case 3:
            many = many < left ? many : left;
            memmove(b->data + at, b->data + from, many < b->n - from ? many : b->n - from);
            break;
        default:
            if (below(3) == 0)
                b->n = 1 + below(b->n);
        }
    }
}

/* --- the commands --- */

struct call {
    const struct cli_command *command;
    const char *words[MAX_WORDS]; /* "@" is the changed file, "+" a sound one, "=" an output */
};
static const struct call calls[] = {
    {&cli_info, {"@"}},
    {&cli_info, {"@", "--json"}},
    {&cli_show, {"@", "grad/fc1.weight", "--step", "3", "--threads", "1"}},
    {&cli_show, {"@", "fwd/fc1", "--step", "7", "--values", "--threads", "1"}},
    {&cli_replay, {"@"}},
    {&cli_replay, {"@", "--verify", "-q", "--threads", "1"}},
    {&cli_diff, {"@", "+", "--threads", "1"}},
    {&cli_diff, {"+", "@", "--threads", "1"}},
    {&cli_diff, {"@", "+", "--deep", "--rtol", "1e-3", "--execute", "-q", "--threads", "1"}},
    {&cli_diff, {"+", "@", "--noise", "@", "--json", "-q", "--threads", "1"}},
    {&cli_report_command, {"@", "-o", "=", "--force", "--threads", "1"}},
    {&cli_report_command, {"+", "@", "-o", "=", "--force", "--threads", "1"}},
    {&cli_export, {"@", "param/fc2.weight", "--step", "2", "-o", "=", "--force", "--threads", "1"}},
    {&cli_export,
     {"@", "grad/fc2.bias", "--steps", "1:5", "--format", "json", "-o", "=", "--threads", "1"}},
    {&cli_pack, {"@", "-o", "=", "--force", "-q", "--threads", "1"}},
    {&cli_pack, {"@", "--steps", "2:6", "-o", "=", "--force", "-q", "--threads", "1"}},
    {&cli_bisect, {"@", "-q", "--threads", "1"}},
    {&cli_bisect,
     {"@", "--when", "max(fwd/fc1[0:3,1]) > 1e9 or nan", "-q", "--json", "--threads", "1"}},
    {&cli_bisect,
     {"@", "--when", "update_ratio(*) > 9 or step == 6", "--steps", "2:", "-q", "--threads", "1"}},
    {&cli_bisect, {"@", "+", "-q", "--threads", "1"}},
    {&cli_bisect,
     {"+", "@", "--first-difference", "--max-steps", "60", "-q", "--json", "--threads", "1"}},
    {&cli_fsck, {"@"}},
    /* changes the file, and what it leaves has to be as harmless */
    {&cli_recover, {"@"}},
    {&cli_info, {"@"}},
    {&cli_replay, {"@", "--verify", "-q", "--threads", "1"}},
    {&cli_fsck, {"@"}},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Does the exit code say what the manual page allows? */
static bool is_known_code(int code)
{
    return (code >= 0 && code <= 4) || code == 125;
}

static int run_call(const struct call *c, const char *file, const char *sound, const char *output)
{
    char *argv[MAX_WORDS + 2] = {(char *)(uintptr_t)c->command->name};
    int argc = 1;
    for (int i = 0; i < MAX_WORDS && c->words[i]; i++) {
        const char *w = c->words[i];
        w = strcmp(w, "@") == 0 ? file : strcmp(w, "+") == 0 ? sound : w;
        argv[argc++] = (char *)(uintptr_t)(strcmp(w, "=") == 0 ? output : w);
    }
    return c->command->run(c->command, argc, argv);
}

/* Answers nothing that anybody reads. */
static void silence(void)
{
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    close(null);
}

static struct bytes bases[MAX_BASES];
static const char *base_paths[MAX_BASES];
static size_t n_bases;

static void make_file(uint64_t number, const char *path)
{
    rng = number;
    const struct bytes *base = &bases[below(n_bases)];
    struct bytes copy = {malloc(base->n), base->n};
    memcpy(copy.data, base->data, base->n);
    change(&copy);
    save(path, copy);
    free(copy.data);
}

static void run_commands(const char *path)
{
    char output[4096], damaged[4096]; /* what recover keeps beside the file */
    snprintf(output, sizeof output, "%s.out", path);
    snprintf(damaged, sizeof damaged, "%s.damaged", path);
    for (size_t i = 0; i < CALLS; i++) {
        if (!is_known_code(run_call(&calls[i], path, base_paths[0], output)))
            abort();
        unlink(output);
    }
    unlink(damaged);
}

/* Runs files first .. first + n - 1 in a child. Returns the number of the one that crashed, or
 * first + n. */
static uint64_t run_batch(uint64_t first, uint64_t n, const char *path, int *status)
{
    uint64_t reached = first;
    int pipes[2];
    if (pipe(pipes) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        close(pipes[0]);
        if (!getenv("TDBG_FUZZ_LOUD"))
            silence();
        for (uint64_t i = first; i < first + n; i++) {
            if (write(pipes[1], &i, sizeof i) != sizeof i)
                _exit(2);
            alarm(SECONDS_PER_FILE);
            make_file(i, path);
            run_commands(path);
        }
        _exit(0);
    }
    close(pipes[1]);
    while (read(pipes[0], &reached, sizeof reached) == sizeof reached)
        continue;
    close(pipes[0]);
    waitpid(child, status, 0);
    return WIFEXITED(*status) && WEXITSTATUS(*status) == 0 ? first + n : reached;
}

static void report(uint64_t number, int status, const char *path)
{
    const char *folder = getenv("TDBG_FUZZ_KEEP");
    char kept[4200] = "";
    if (folder && *folder) {
        snprintf(kept, sizeof kept, "%s/fuzz-commands-%llu.h5", folder, (unsigned long long)number);
        make_file(number, kept);
    }
    fprintf(stderr, "file %llu failed (%s %d); repeat with: fuzz-commands one %llu %s BASE... %s\n",
            (unsigned long long)number, WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
            (unsigned long long)number, path, kept);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/tdbg-fuzz-XXXXXX", path[64];
    bool one = argc > 4 && strcmp(argv[1], "one") == 0;
    uint64_t failed = 0;
    for (int i = one ? 4 : 3; i < argc && n_bases < MAX_BASES; i++) {
        base_paths[n_bases] = argv[i];
        bases[n_bases++] = load(argv[i]);
    }
    if (n_bases == 0) {
        fputs("usage: fuzz-commands COUNT SEED BASE...\n", stderr);
        return 2;
    }
    if (one) {
        make_file(strtoull(argv[2], NULL, 10), argv[3]);
        run_commands(argv[3]);
        return 0;
    }
    if (!mkdtemp(dir))
        return 2;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    uint64_t count = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    for (uint64_t at = 0; at < count;) {
        uint64_t n = count - at < BATCH ? count - at : BATCH, first = seed * 1000000 + at;
        int status = 0;
        uint64_t reached = run_batch(first, n, path, &status);
        if (reached < first + n) {
            report(reached++, status, path);
            failed++;
        }
        at = reached - seed * 1000000;
    }
    for (size_t i = 0; i < n_bases; i++)
        free(bases[i].data);
    unlink(path);
    rmdir(dir);
    printf("%llu files through %d commands, %llu failed\n", (unsigned long long)count, CALLS,
           (unsigned long long)failed);
    return failed ? 1 : 0;
}
