/* Jobs over a recorded trace, for tests/screen/terminal_tensor.py:
 *
 *   check-jobs same TRACE       the worker's answers are those that are computed here
 *   check-jobs search TRACE     searches find what a look at every step finds
 *   check-jobs robust TRACE     cancelled jobs, killed workers, odd questions
 *   check-jobs orphan TRACE     a worker ends with the process that started it
 *
 * Exit code 1 and a line that says where if something is wrong. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/strbuf.h"
#include "trace/reader.h"
#include "tui/jobs_inline.h"
#include "tui/jobs_process.h"

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "check-jobs: line %d: ", __LINE__);                                    \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static struct tdbg_trace *trace;
static const struct tdbg_site *sites;
static int32_t n_sites;
static int64_t first_step, last_step;
static const char *path;

static struct tdbg_tui_jobs make(bool is_process)
{
    struct tdbg_err err = {0};
    struct tdbg_tui_jobs jobs;
    const struct tdbg_session_options options = {.isa = "auto", .threads = 1};
    const enum tdbg_status st = is_process
                                    ? tdbg_tui_jobs_process(path, &options, &jobs, &err)
                                    : tdbg_tui_jobs_inline(path, &options, NULL, NULL, &jobs, &err);
    CHECK(st == TDBG_OK, "%s", err.message);
    return jobs;
}

/* The next answer, waited for as the terminal does. */
static struct tdbg_tui_answer next(const struct tdbg_tui_jobs *jobs)
{
    struct tdbg_tui_answer answer;
    while (!jobs->take(jobs->context, &answer)) {
        CHECK(jobs->fd >= 0, "no answer is there at once");
        struct pollfd readable = {.fd = jobs->fd, .events = POLLIN};
        CHECK(poll(&readable, 1, 60000) > 0 || errno == EINTR, "no answer within a minute");
    }
    return answer;
}

static struct tdbg_tui_answer ask(const struct tdbg_tui_jobs *jobs, const struct tdbg_tui_job *job)
{
    struct tdbg_tui_job of_rank = *job;
    of_rank.rank = tdbg_trace_info(trace)->rank;
    const int64_t id = jobs->submit(jobs->context, &of_rank);
    const struct tdbg_tui_answer answer = next(jobs);
    CHECK(answer.id == id && answer.kind == job->kind, "the answer is to another job");
    return answer;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void compare(const struct tdbg_tui_job *job, const struct tdbg_tui_answer *a,
                    const struct tdbg_tui_answer *b)
{
    CHECK(a->status == b->status && same_text(a->message, b->message),
          "step %" PRId64 " site %d: '%s' and '%s'", job->step, (int)job->site, a->message,
          b->message);
    CHECK(a->is_executed == b->is_executed && a->step == b->step && a->n_elems == b->n_elems &&
              a->expression == b->expression && a->is_known == b->is_known &&
              memcmp(&a->number, &b->number, sizeof a->number) == 0,
          "step %" PRId64 " site %d: other numbers", job->step, (int)job->site);
    CHECK(!a->values == !b->values && !a->stats == !b->stats && !a->origin == !b->origin,
          "one has what the other has not");
    if (a->values) {
        const size_t bytes = (size_t)a->n_elems * tdbg_dtype_bytes(sites[job->site].dtype);
        CHECK(memcmp(a->values, b->values, bytes) == 0, "other values of %s at step %" PRId64,
              sites[job->site].name, job->step);
        void *mapped = mmap(NULL, bytes ? bytes : 1, PROT_READ, MAP_SHARED, b->fd, 0);
        CHECK(mapped != MAP_FAILED && memcmp(mapped, a->values, bytes) == 0, "the file has others");
        munmap(mapped, bytes ? bytes : 1);
        CHECK(memcmp(a->stats, b->stats, sizeof *a->stats) == 0, "other statistics");
    } else if (a->stats) {
        CHECK(memcmp(a->stats, b->stats, (size_t)n_sites * sizeof *a->stats) == 0,
              "other statistics of step %" PRId64, job->step);
    }
    if (a->origin)
        CHECK(a->origin->is_found == b->origin->is_found && a->origin->step == b->origin->step &&
                  a->origin->output.site == b->origin->output.site &&
                  a->origin->n_inputs == b->origin->n_inputs,
              "another origin");
}

/* What a tensor's digest was recorded as; also that it says how it came about. */
static void check_tensor(const struct tdbg_tui_job *job, const struct tdbg_tui_answer *a)
{
    struct tdbg_err err = {0};
    struct tdbg_step_row row;
    uint64_t *digests = calloc((size_t)n_sites, sizeof *digests);
    const struct tdbg_site *site = &sites[job->site];
    CHECK(tdbg_trace_read_steps(trace, job->step, 1, &row, &err) == TDBG_OK &&
              tdbg_trace_read_digests(trace, job->step, digests, &err) == TDBG_OK,
          "%s", err.message);
    if (a->status == TDBG_NOT_FOUND) {
        CHECK(site->stage == TDBG_STAGE_EVAL && !row.evaluated, "%s: %s", site->name, a->message);
    } else {
        CHECK(a->status == TDBG_OK, "%s at step %" PRId64 ": %s", site->name, job->step,
              a->message);
        CHECK(!tdbg_trace_has_digest(trace, job->site, job->step, row.evaluated != 0) ||
                  tdbg_digest_fast(a->values, site->dtype, a->n_elems) == digests[job->site],
              "%s at step %" PRId64 " is not what was recorded", site->name, job->step);
        CHECK(a->is_executed ==
                  !tdbg_trace_has_values(trace, job->site, job->step, row.evaluated != 0),
              "%s: executed?", site->name);
    }
    free(digests);
}

/* A tensor of a step against the same one: where it is there, not one element differs. All of them
 * come out of one execution. */
static void check_elements(const struct tdbg_tui_jobs *here, const struct tdbg_tui_jobs *there,
                           int64_t step)
{
    struct tdbg_strbuf all = {0};
    int n_executing = 0;
    for (int32_t i = 0; i < n_sites; i++)
        tdbg_strbuf_printf(&all, "%d ", (int)i);
    struct tdbg_tui_job job = {.kind = TDBG_JOB_ELEMENTS,
                               .step = step,
                               .expression = {path, all.text},
                               .n_expressions = 2};
    for (job.site = 0; job.site < n_sites; job.site++) {
        for (job.to = first_step; job.to <= step; job.to += step - first_step) {
            const struct tdbg_tui_answer a = ask(here, &job), b = ask(there, &job);
            compare(&job, &a, &b);
            n_executing += a.steps_executed > 0;
            if (a.status == TDBG_NOT_FOUND && sites[job.site].stage == TDBG_STAGE_EVAL)
                continue;
            CHECK(a.status == TDBG_OK, "%s: %s", sites[job.site].name, a.message);
            CHECK(memcmp(a.parting, b.parting, sizeof *a.parting) == 0, "%s: other differences",
                  sites[job.site].name);
            CHECK(a.parting->has_elements && a.parting->n_shown > 0 &&
                      (job.to < step || a.parting->elements.n_differ == 0),
                  "%s differs from itself", sites[job.site].name);
        }
    }
    const bool is_alone = tdbg_trace_info(trace)->world_size == 1;
    CHECK(n_executing > 0 && (n_executing == 1 || !is_alone), "%d times executed", n_executing);
    tdbg_strbuf_free(&all);
}

static int check_same(void)
{
    struct tdbg_tui_jobs here = make(false), there = make(true);
    int64_t n_executed = 0;
    const int64_t steps[] = {first_step, last_step, (first_step + last_step) / 2, last_step + 1};
    static const char *const texts[] = {"loss",           "absmax(fwd/*)", "los > 1",
                                        "mean(loss) > (", "nan or inf",    "count(input/x)"};
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        struct tdbg_tui_job job = {.kind = TDBG_JOB_TENSOR, .step = steps[k]};
        for (job.site = k == 3 ? n_sites - 1 : 0; job.site <= n_sites; job.site++) {
            const struct tdbg_tui_answer a = ask(&here, &job), b = ask(&there, &job);
            compare(&job, &a, &b);
            if (job.site < n_sites && k < 3)
                check_tensor(&job, &a);
            else
                CHECK(a.status == TDBG_NOT_FOUND, "a site or step that is not there");
            n_executed += a.is_executed;
        }
        for (int kind = TDBG_JOB_STATS; kind <= TDBG_JOB_ORIGIN; kind++) {
            job.kind = (enum tdbg_tui_job_kind)kind;
            job.to = job.step;
            job.n_expressions = 1;
            for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
                job.expression[0] = texts[t];
                const struct tdbg_tui_answer a = ask(&here, &job), b = ask(&there, &job);
                compare(&job, &a, &b);
            }
        }
    }
    check_elements(&here, &there, (first_step + last_step) / 2);
    CHECK(n_executed > 0, "everything was stored: nothing is tested");
    printf("same: %" PRId64 " tensors executed\n", n_executed);
    here.destroy(here.context);
    there.destroy(there.context);
    return 0;
}

/* Does the expression hold at the step? */
static bool holds(const struct tdbg_tui_jobs *jobs, const char *text, int64_t step)
{
    const struct tdbg_tui_job job = {
        .kind = TDBG_JOB_EVALUATE, .step = step, .expression = {text}, .n_expressions = 1};
    const struct tdbg_tui_answer a = ask(jobs, &job);
    CHECK(a.status == TDBG_OK, "%s at step %" PRId64 ": %s", text, step, a.message);
    return a.is_known && a.number != 0;
}

static int check_search(void)
{
    static const char *const texts[] = {"loss < 1.4",           "absmax(fwd/*) > 1.3",
                                        "mean(fwd/fc1) > 0.05", "step == 9",
                                        "rms(bwd/*) < 0.02",    "diverges(loss)",
                                        "min(fwd/fc2) < -1.5",  "max(fwd/fc2[0,:]) > 0.4"};
    enum { N = sizeof texts / sizeof texts[0] };
    struct tdbg_tui_jobs here = make(false), there = make(true);
    const int64_t n = last_step - first_step + 1;
    bool *held = calloc((size_t)n * N, sizeof *held);
    int n_hits = 0, n_misses = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int t = 0; t < N; t++)
            held[i * N + t] = holds(&here, texts[t], first_step + i);
    }
    for (int trial = 0; trial < 60; trial++) {
        struct tdbg_tui_job job = {.kind = TDBG_JOB_SEARCH, .n_expressions = 1 + trial % N};
        const int64_t from = (trial * 7) % n, to = (trial * 11 + 5) % n;
        const int64_t sign = to < from ? -1 : 1;
        int64_t want = -1;
        int which = -1;
        for (int t = 0; t < job.n_expressions; t++)
            job.expression[t] = texts[(t + trial) % N];
        job.step = first_step + from;
        job.to = first_step + to;
        for (int64_t i = from; i != to + sign && want < 0; i += sign) {
            for (int t = 0; t < job.n_expressions && want < 0; t++) {
                if (held[i * N + (t + trial) % N])
                    want = first_step + i, which = t;
            }
        }
        const struct tdbg_tui_answer a = ask(&there, &job);
        if (want < 0) {
            CHECK(a.status == TDBG_NOT_FOUND, "trial %d: found at %" PRId64, trial, a.step);
            n_misses++;
        } else {
            CHECK(a.status == TDBG_OK && a.step == want && a.expression == which,
                  "trial %d: step %" PRId64 " expression %d, not %" PRId64 " %d (%s)", trial,
                  a.step, a.expression, want, which, a.message ? a.message : "");
            n_hits++;
        }
    }
    CHECK(n_hits > 10 && n_misses > 3, "%d hits, %d misses: not much is tested", n_hits, n_misses);
    free(held);
    here.destroy(here.context);
    there.destroy(there.context);
    return 0;
}

/* A job that takes many steps: nothing in it is recorded, and it holds nowhere. */
static const struct tdbg_tui_job endless = {
    .kind = TDBG_JOB_SEARCH, .expression = {"mean(fwd/fc1[0,:]) > 1e30"}, .n_expressions = 1};

/* A worker that does nothing until it is continued. */
static int stop_worker(const struct tdbg_tui_jobs *jobs)
{
    siginfo_t stop;
    const int worker = tdbg_tui_jobs_worker(jobs);
    CHECK(worker > 0 && kill(worker, SIGSTOP) == 0 &&
              waitid(P_PID, (id_t)worker, &stop, WSTOPPED | WNOWAIT) == 0,
          "no worker to stop");
    return worker;
}

/* Asks for `job` and kills the worker while it is at it; false: it was quicker, and the next
 * question gets another worker. */
static bool kill_at_work(struct tdbg_tui_jobs *jobs, const struct tdbg_tui_job *job, int number,
                         struct tdbg_tui_answer *a)
{
    siginfo_t end;
    struct pollfd readable = {.fd = jobs->fd, .events = POLLIN};
    const int64_t id = jobs->submit(jobs->context, job);
    CHECK(poll(&readable, 1, 60000) > 0, "it does not say that it has begun");
    const int worker = stop_worker(jobs);
    const bool is_done = jobs->take(jobs->context, a);
    CHECK(kill(worker, number) == 0 && kill(worker, SIGCONT) == 0, "no worker to kill");
    CHECK(waitid(P_PID, (id_t)worker, &end, WEXITED | WNOWAIT) == 0, "it goes on");
    if (is_done)
        return false;
    *a = next(jobs);
    CHECK(a->id == id, "another answer");
    return a->status != TDBG_OK && a->status != TDBG_NOT_FOUND;
}

static void kill_and_ask(struct tdbg_tui_jobs *jobs, int number, const char *words)
{
    const struct tdbg_tui_job tensor = {.kind = TDBG_JOB_TENSOR, .step = last_step, .site = 0};
    struct tdbg_tui_job slow = endless;
    slow.step = first_step;
    slow.to = last_step;
    struct tdbg_tui_answer a = ask(jobs, &tensor);
    int n = 0;
    while (!kill_at_work(jobs, &slow, number, &a)) {
        CHECK(++n < 100, "the worker is always quicker");
        a = ask(jobs, &tensor); /* of one that is not the dead one */
        CHECK(a.status == TDBG_OK, "after an idle worker was killed: %s", a.message);
    }
    CHECK(a.status == TDBG_IO && strstr(a.message, words), "'%s' instead of '%s'", a.message,
          words);
    CHECK(tdbg_tui_jobs_worker(jobs) == -1, "a dead worker is kept");
    a = ask(jobs, &tensor);
    CHECK(a.status == TDBG_OK && a.values, "after a killed worker: %s", a.message);
    const int idle = tdbg_tui_jobs_worker(jobs); /* and one that is killed while it waits */
    siginfo_t end;
    CHECK(kill(idle, SIGKILL) == 0 && waitid(P_PID, (id_t)idle, &end, WEXITED | WNOWAIT) == 0,
          "no worker to kill");
    a = ask(jobs, &tensor);
    CHECK(a.status == TDBG_OK && a.values && tdbg_tui_jobs_worker(jobs) != idle,
          "after a worker that was killed idle: %s", a.message);
    const int deaf = stop_worker(jobs); /* and one that dies before it begins what it was sent */
    const int64_t id = jobs->submit(jobs->context, &tensor);
    CHECK(kill(deaf, SIGKILL) == 0 && kill(deaf, SIGCONT) == 0, "no worker to kill");
    a = next(jobs);
    CHECK(a.id == id && a.status == TDBG_OK && a.values && tdbg_tui_jobs_worker(jobs) != deaf,
          "after a worker that died before it began: %s", a.message);
}

static int check_robust(void)
{
    struct tdbg_tui_jobs jobs = make(true);
    struct tdbg_tui_job slow = endless, tensor = {.kind = TDBG_JOB_TENSOR, .step = last_step};
    struct tdbg_tui_job_progress p = {0};
    slow.step = first_step;
    slow.to = last_step;
    CHECK(!jobs.progress(jobs.context, &p), "progress of nothing");
    CHECK(tdbg_tui_jobs_worker(&jobs) == -1, "a worker without a job");
    kill_and_ask(&jobs, SIGKILL, "was killed");
    kill_and_ask(&jobs, SIGTERM, "ended by signal 15");
    for (int trial = 0; trial < 200; trial++) { /* no answer to what was cancelled */
        int64_t ids[3];
        for (int i = 0; i < 3; i++) {
            tensor.site = (trial * 3 + i) % n_sites;
            ids[i] = jobs.submit(jobs.context, i == trial % 2 ? &slow : &tensor);
        }
        jobs.cancel(jobs.context, ids[trial % 2]);
        jobs.cancel(jobs.context, ids[trial % 2]);
        jobs.cancel(jobs.context, ids[2] + 1 + trial);
        jobs.cancel(jobs.context, 0);
        for (int i = 0; i < 3; i++) {
            if (i == trial % 2)
                continue;
            const struct tdbg_tui_answer a = next(&jobs);
            CHECK(a.id == ids[i], "trial %d: an answer to %" PRId64, trial, a.id);
        }
        struct tdbg_tui_answer none;
        CHECK(!jobs.take(jobs.context, &none), "an answer to what was cancelled");
    }
    const int worker = stop_worker(&jobs); /* one that does not come back is killed */
    const int64_t stuck = jobs.submit(jobs.context, &slow);
    jobs.cancel(jobs.context, stuck);
    tensor.site = 0;
    const struct tdbg_tui_answer a = ask(&jobs, &tensor);
    CHECK(a.status == TDBG_OK && tdbg_tui_jobs_worker(&jobs) != worker, "a stuck worker: %s",
          a.message);
    char *endlessly = calloc(1, 100001);
    memset(endlessly, '(', 100000);
    const struct tdbg_tui_job odd = {
        .kind = TDBG_JOB_EVALUATE, .step = 0, .expression = {endlessly}, .n_expressions = 1};
    const struct tdbg_tui_answer too_long = ask(&jobs, &odd);
    CHECK(too_long.status != TDBG_OK && strstr(too_long.message, "too long"), "a long expression");
    free(endlessly);
    const int64_t left = jobs.submit(jobs.context, &slow);
    struct pollfd readable = {.fd = jobs.fd, .events = POLLIN};
    struct tdbg_tui_answer none = {.id = 0};
    int64_t most = 0;
    while (none.id == 0 && most == 0) { /* it tells how far it is, or is done */
        CHECK(poll(&readable, 1, 60000) > 0, "neither progress nor answer");
        jobs.take(jobs.context, &none);
        if (jobs.progress(jobs.context, &p))
            most = p.total;
    }
    CHECK(none.id == left || most == last_step - first_step + 1, "%" PRId64 " steps", most);
    jobs.destroy(jobs.context); /* while it is at work */
    return 0;
}

static int check_orphan(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0, "no pipe");
    const pid_t child = fork();
    if (child == 0) {
        struct tdbg_tui_jobs jobs = make(true);
        struct tdbg_tui_job slow = endless;
        slow.step = first_step;
        slow.to = last_step;
        jobs.submit(jobs.context, &slow);
        const int worker = tdbg_tui_jobs_worker(&jobs);
        if (write(ends[1], &worker, sizeof worker) != sizeof worker)
            _exit(1);
        pause();
    }
    int worker;
    CHECK(read(ends[0], &worker, sizeof worker) == sizeof worker && worker > 0, "no worker");
    const int alive = (int)syscall(SYS_pidfd_open, worker, 0);
    CHECK(alive >= 0, "the worker is not there");
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child, "no child");
    struct pollfd ended = {.fd = alive, .events = POLLIN};
    CHECK(poll(&ended, 1, 60000) == 1, "the worker outlives the terminal");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } checks[] = {{"same", check_same},
                  {"search", check_search},
                  {"robust", check_robust},
                  {"orphan", check_orphan}};
    struct tdbg_err err = {0};
    tdbg_tui_worker_begin(argc, argv);
    CHECK(argc == 3, "check-jobs CHECK TRACE");
    path = argv[2];
    CHECK(tdbg_trace_open(path, &trace, &err) == TDBG_OK, "%s", err.message);
    sites = tdbg_trace_sites(trace, &n_sites);
    first_step = tdbg_trace_first_step(trace);
    last_step = first_step + tdbg_trace_n_steps(trace) - 1;
    int code = 2;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (strcmp(checks[i].name, argv[1]) == 0)
            code = checks[i].run();
    }
    tdbg_trace_close(trace);
    return code;
}
