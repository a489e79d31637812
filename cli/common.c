/* What several subcommands share. See commands.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_machine.h"
#include "base/version.h"
#include "cli/commands.h"
#include "engine/backend.h"
#include "trace/file_lock.h"
#include "trace/new_file.h"

struct tdbg_session_options cli_session_options(const struct cli_execution *execution)
{
    return (struct tdbg_session_options){.device = execution->device,
                                         .isa = execution->isa ? execution->isa : "auto",
                                         .threads = (int)execution->threads};
}

/* Files whose metadata is torn; told at the end, once each, where no screen is in the way. */
enum { MOST_TORN = 16 };
static pthread_mutex_t torn_mutex = PTHREAD_MUTEX_INITIALIZER;
static char *torn_paths[MOST_TORN];
static int n_torn;

static void remember_torn(const char *path)
{
    bool known = false;
    pthread_mutex_lock(&torn_mutex);
    for (int i = 0; i < n_torn && !known; i++)
        known = strcmp(torn_paths[i], path) == 0;
    if (!known && n_torn < MOST_TORN && (torn_paths[n_torn] = strdup(path)) != NULL)
        n_torn++;
    pthread_mutex_unlock(&torn_mutex);
}

static void warn_torn(void)
{
    for (int i = 0; i < n_torn; i++) {
        fprintf(stderr,
                "tdbg: warning: the index of %s is damaged; chunks were found by their trailers\n"
                "hint: 'tdbg recover' makes a file of it that other programs read too\n",
                torn_paths[i]);
        free(torn_paths[i]);
    }
    n_torn = 0;
}

/* What is read is empty and what is written is lost, the latter with an error. A file that is
 * larger than it may be is an error like a full disk. */
void cli_prepare_process(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            _exit(tdbg_status_exit_code(TDBG_IO));
    }
    signal(SIGXFSZ, SIG_IGN);
    tdbg_trace_on_damage(remember_torn);
    struct rlimit files; /* a run of many ranks has a file of each */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int cli_finish_process(int code)
{
    const bool failed_before = ferror(stdout) != 0;
    warn_torn();
    if (fflush(stdout) == 0 && !failed_before)
        return code;
    fprintf(stderr, "tdbg: error: cannot write to the standard output: %s\n", strerror(errno));
    return code == 0 ? tdbg_status_exit_code(TDBG_IO) : code;
}

static volatile sig_atomic_t stop_signal;
static bool tells_signal;

static void remember_signal(int number)
{
    if (stop_signal)
        _exit(128 + number);
    stop_signal = number;
    if (!tells_signal)
        return;
    static const char text[] = "\ntdbg: stopping after this step; once more to stop at once\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
}

static volatile sig_atomic_t keep_signal;

static void remember_keep(int number)
{
    (void)number;
    keep_signal = 1;
}

bool cli_keep_signal(void)
{
    return keep_signal;
}

void cli_catch_signals(bool tells)
{
    tells_signal = tells;
    struct sigaction action = {.sa_handler = remember_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = remember_keep;
    sigaction(SIGUSR1, &action, NULL);
}

int cli_stop_signal(void)
{
    return stop_signal;
}

static enum tdbg_status check_rank(const struct tdbg_run_info *info, const char *path, int64_t rank,
                                   int64_t lane, struct tdbg_err *err)
{
    if (lane >= info->lanes)
        return TDBG_RAISE(err, USAGE, "'--lane %" PRId64 "': the run of %s has lanes 0 to %d", lane,
                          path, (int)info->lanes - 1);
    if (rank >= info->world_size)
        return TDBG_RAISE(err, USAGE, "'--rank %" PRId64 "': the run of %s has rank%s 0%s%.0d",
                          rank, path, info->world_size > 1 ? "s" : "",
                          info->world_size > 1 ? " to " : "", (int)info->world_size - 1);
    return TDBG_OK;
}

enum tdbg_status cli_open_rank(const char *path, int64_t rank, int64_t lane,
                               const struct cli_execution *execution, struct cli_trace *out,
                               struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session_options options = cli_session_options(execution);
    struct tdbg_trace *other;
    *out = (struct cli_trace){0};
    TDBG_TRY(tdbg_trace_open(path, &out->trace, err));
    const struct tdbg_run_info *info = tdbg_trace_info(out->trace);
    if (info->world_size > 1 || rank >= 0)
        TDBG_TRY(check_rank(info, path, rank, lane, err));
    if (rank < 0 && lane >= 0)
        rank = tdbg_rank_of_lane(info, lane);
    if (rank >= 0 && rank != info->rank) {
        TDBG_TRY(tdbg_rank_open(out->trace, (int32_t)rank, &other, NULL, err));
        tdbg_trace_close(out->trace);
        out->trace = other;
    }
    TDBG_TRY(tdbg_recompute_create(out->trace, &options, &out->recompute, err));
    cli_warn_unclosed(out->trace);
out:
    return st;
}

enum tdbg_status cli_open_trace(const char *path, const struct cli_execution *execution,
                                struct cli_trace *out, struct tdbg_err *err)
{
    return cli_open_rank(path, -1, -1, execution, out, err);
}

enum tdbg_status cli_open_run(const char *path, const struct cli_execution *execution,
                              struct cli_run *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_session_options options = cli_session_options(execution);
    *out = (struct cli_run){0};
    TDBG_TRY(tdbg_rank_group_open(path, &out->group, err));
    TDBG_TRY(tdbg_rank_group_refuse_foreign(out->group, err));
    out->recompute = calloc((size_t)out->group->world_size, sizeof *out->recompute);
    TDBG_FAIL_IF(!out->recompute, NO_MEMORY, "no memory for the ranks of a trace");
    for (int32_t r = 0; r < out->group->world_size; r++) {
        const struct tdbg_rank_file *file = &out->group->files[r];
        if (!file->trace) {
            fprintf(stderr, "tdbg: warning: rank %d is left out: %s\n", (int)r, file->why);
            continue;
        }
        TDBG_TRY(tdbg_recompute_create(file->trace, &options, &out->recompute[r], err));
        cli_warn_unclosed(file->trace);
    }
out:
    return st;
}

void cli_close_run(struct cli_run *ranks)
{
    for (int32_t r = 0; ranks->recompute && r < ranks->group->world_size; r++)
        tdbg_recompute_destroy(ranks->recompute[r]);
    free(ranks->recompute);
    tdbg_rank_group_close(ranks->group);
}

void cli_close_trace(struct cli_trace *trace)
{
    tdbg_recompute_destroy(trace->recompute);
    tdbg_trace_close(trace->trace);
}

/* A step number at *text, or `open` where there is none; moves *text behind it. */
static bool parse_bound(const char **text, int64_t open, int64_t *out)
{
    char *end = NULL;
    *out = open;
    if (!isdigit((unsigned char)**text))
        return true;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

enum tdbg_status cli_parse_steps(const char *text, const struct tdbg_trace *trace, int64_t *from,
                                 int64_t *to, struct tdbg_err *err)
{
    int64_t first = tdbg_trace_first_step(trace), last = first + tdbg_trace_n_steps(trace) - 1;
    const char *at = text ? text : ":";
    bool valid =
        parse_bound(&at, first, from) && *at++ == ':' && parse_bound(&at, last, to) && !*at;
    if (!valid)
        return TDBG_RAISE(err, USAGE,
                          "'--steps' wants a range of steps such as 10:20, 10: or :20, not '%s'",
                          text);
    if (*from < first || *from > last || *to < first || *to > last)
        return TDBG_RAISE(err, USAGE, "'--steps %s': %s has steps %" PRId64 " to %" PRId64, text,
                          tdbg_trace_path(trace), first, last);
    if (*from > *to)
        return TDBG_RAISE(err, USAGE, "'--steps %s' ends before it begins", text);
    return TDBG_OK;
}

enum tdbg_status cli_check_output(const char *path, bool force, struct tdbg_err *err)
{
    struct stat info;
    const enum tdbg_status st = tdbg_new_file_check(path, true, err);
    if (st == TDBG_OK && !force && stat(path, &info) == 0)
        return TDBG_RAISE(err, USAGE, "%s exists already\nhint: --force overwrites it", path);
    return st;
}

bool cli_is_recording(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool is_locked = fd >= 0 && tdbg_file_is_locked(fd, TDBG_LOCK_WRITER);
    if (fd >= 0)
        close(fd);
    return is_locked;
}

void cli_warn_unclosed(const struct tdbg_trace *trace)
{
    const char *note = tdbg_trace_note(trace);
    if (note)
        fprintf(stderr, "tdbg: warning: %s\n", note);
    if (!tdbg_trace_is_closed(trace))
        fprintf(stderr, "tdbg: warning: %s was not closed; it ends with step %" PRId64 "\n",
                tdbg_trace_path(trace),
                tdbg_trace_first_step(trace) + tdbg_trace_n_steps(trace) - 1);
}

void cli_warn_device(const struct tdbg_engine *engine, bool *told)
{
    const char *why = tdbg_engine_why_no_graphs(engine);
    if (why && !*told)
        fprintf(stderr, "tdbg: warning: the GPU goes without CUDA graphs: %s\n", why);
    *told = *told || why;
}

/* The processor's name as Linux states it; "" where it does not. */
static void read_cpu_name(char *buf, size_t buf_bytes)
{
    static const char key[] = "model name";
    char line[256];
    buf[0] = '\0';
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, sizeof key - 1) != 0 || !colon)
            continue;
        snprintf(buf, buf_bytes, "%s", colon + 1 + strspn(colon + 1, " \t"));
        buf[strcspn(buf, "\n")] = '\0';
        break;
    }
    if (f)
        fclose(f);
}

char *cli_environment_json(const struct tdbg_backend *device, const struct tdbg_backend *host,
                           int local_rank, int nccl)
{
    char *text = NULL, cpu[128];
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    struct tdbg_json json;
    read_cpu_name(cpu, sizeof cpu);
    tdbg_json_init(&json, out, false);
    tdbg_json_object_begin(&json, NULL);
    tdbg_json_machine(&json);
    tdbg_json_string(&json, "cpu", cpu);
    tdbg_json_string(&json, "compiler", __VERSION__);
    tdbg_json_string(&json, "device", device->name);
    tdbg_json_string(&json, "math", device->blas_version > 0 ? "fast" : "strict");
    if (device->blas_version > 0)
        tdbg_json_int(&json, "cublas", device->blas_version);
    if (nccl > 0)
        tdbg_json_int(&json, "nccl", nccl);
    device->describe(device->context, &json);
    if (host && host != device && host->on_host)
        host->describe(host->context, &json);
    if (local_rank >= 0)
        tdbg_json_int(&json, "local_rank", local_rank);
    tdbg_json_object_end(&json);
    fclose(out);
    return text;
}

const char *cli_uuid_text(const uint8_t uuid[TDBG_UUID_BYTES], char buf[CLI_UUID_TEXT_BYTES])
{
    char *p = buf;
    for (int i = 0; i < TDBG_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        p += snprintf(p, 3, "%02x", uuid[i]);
    }
    return buf;
}
