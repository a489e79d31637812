/* What recording costs: the same training twice in one process, with and without the recorder, in
 * alternating blocks of steps. "burst": the recorder is given time to work off its queue after each
 * block, so that the queue always has room and what is left is the cost of handing over.
 * "sustained": it is not, so that training waits where the recorder cannot follow; the beginning of
 * a block is left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/trace_bench.h"
#include "bench/trace_spec.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "engine/source_live.h"
#include "recorder/record_options.h"
#include "recorder/recorder.h"

enum { BLOCK = 24, LEFT_OUT = 8, MAX_SETS = 16 };

struct training {
    struct tdbg_config *config;
    struct tdbg_source_live *live;
    struct tdbg_backend *backend;
    struct tdbg_recorder *recorder; /* NULL: not recorded */
    struct tdbg_engine *engine;
    double *wall_ms, *thread_ms; /* of the steps that count */
    size_t n;
    double all_thread_ms; /* of all steps */
    int left_out;         /* steps at the beginning of a block that do not count */
    int64_t step;
};

static void check(enum tdbg_status st, const char *what, const struct tdbg_err *err)
{
    if (st != TDBG_OK)
        bench_die(what, err->message);
}

static void start_training(struct training *t, const char *cfg, const char *const *sets, int n_sets,
                           const char *trace)
{
    struct tdbg_err err = {0};
    struct tdbg_source source;
    check(tdbg_config_load(cfg, sets, n_sets, &t->config, &err), "config", &err);
    tdbg_engine_check_options(t->config, &tdbg_recorder_options, 1);
    tdbg_recorder_check_options(t->config);
    check(tdbg_config_result(t->config, &err), "config", &err);
    check(tdbg_source_live_create(t->config, NULL, &t->live, &err), "data", &err);
    check(tdbg_backend_cpu_create("auto", 1, &t->backend, &err), "backend", &err);
    source = tdbg_source_live_table(t->live);
    if (trace) {
        check(tdbg_recorder_create(tdbg_config_root(t->config), -1, &t->recorder, &err), "recorder",
              &err);
        source = tdbg_recorder_source(t->recorder, source);
    }
    check(tdbg_engine_create(t->config, t->backend, source, &t->engine, &err), "engine", &err);
    check(tdbg_config_result(t->config, &err), "config", &err);
    check(tdbg_engine_init_state(t->engine, &err), "state", &err);
    if (trace) {
        static const uint8_t uuid[TDBG_UUID_BYTES];
        const struct tdbg_recorder_run run = {
            .uuid = uuid, .config_path = cfg, .environment = "{}", .dataset = "{}", .inject = ""};
        struct tdbg_tap tap;
        check(tdbg_recorder_open(t->recorder, trace, true, t->config, t->engine, &run, &tap, &err),
              "trace", &err);
        check(tdbg_engine_set_taps(t->engine, &tap, 1, &err), "taps", &err);
    } else {
        check(tdbg_engine_set_taps(t->engine, NULL, 0, &err), "taps", &err);
    }
}

static void run_block(struct training *t, size_t room)
{
    struct tdbg_err err = {0};
    struct tdbg_step_info info;
    for (int i = 0; i < BLOCK; i++) {
        int64_t wall = tdbg_clock_ns(), thread = bench_thread_ns();
        check(tdbg_engine_run_step(t->engine, t->step++, &info, &err), "step", &err);
        double thread_ms = 1e-6 * (double)(bench_thread_ns() - thread);
        t->all_thread_ms += thread_ms;
        if (i < t->left_out || t->n == room)
            continue;
        t->wall_ms[t->n] = 1e-6 * (double)(tdbg_clock_ns() - wall);
        t->thread_ms[t->n++] = thread_ms;
    }
}

/* Raw bytes of values per step that the preset hands over. */
static int64_t value_bytes(const struct training *t)
{
    int32_t n;
    struct tdbg_err err = {0};
    const struct tdbg_site *sites = tdbg_engine_sites(t->engine, &n);
    struct tdbg_site_plan *plans = calloc((size_t)n, sizeof *plans);
    int64_t bytes = 0;
    const struct tdbg_recorder_cut cut = {tdbg_engine_info(t->engine)->lanes, 0, 1, 50};
    check(tdbg_recorder_plan_sites(tdbg_config_root(t->config), sites, n, &cut, plans, &err),
          "plan", &err);
    for (int32_t i = 0; i < n; i++) {
        if (plans[i].store != TDBG_STORE_NONE && plans[i].value_every == 1)
            bytes += tdbg_site_elems(&sites[i]) * (int64_t)tdbg_dtype_bytes(sites[i].dtype);
    }
    free(plans);
    return bytes;
}

/* Waits until the recorder has worked off what it was handed: its file stops growing. */
static void drain(const struct training *t)
{
    enum { PAUSE_NS = 5000000, STILL = 8, MOST = 2000 };
    int64_t bytes = -1;
    for (int still = 0, i = 0; still < STILL && i < MOST; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        int64_t now = tdbg_recorder_bytes(t->recorder);
        still = now == bytes ? still + 1 : 0;
        bytes = now;
    }
}

static double cpu_ms(void)
{
    double ms = 0;
    struct rusage u;
    for (int who = 0; who < 2; who++) {
        getrusage(who == 0 ? RUSAGE_SELF : RUSAGE_CHILDREN, &u);
        ms += 1e3 * (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
              1e-3 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    }
    return ms;
}

int bench_cost(int argc, char **argv)
{
    struct tdbg_err err = {0};
    const char *sets[MAX_SETS];
    char preset[64], trace[4200], steps_text[64];
    int n_sets = 0;
    if (argc < 6)
        bench_die("cost", "wants CFG DIR STEPS PRESET burst|sustained");
    const bool burst = strcmp(argv[5], "burst") == 0;
    size_t steps = (size_t)strtoull(argv[3], NULL, 10);
    snprintf(preset, sizeof preset, "record.preset=\"%s\"", argv[4]);
    snprintf(steps_text, sizeof steps_text, "steps=%zu", steps + BLOCK);
    snprintf(trace, sizeof trace, "%s/cost.h5", argv[2]);
    sets[n_sets++] = preset;
    sets[n_sets++] = steps_text;
    sets[n_sets++] = "eval.every=0";
    for (int i = 6; i < argc && n_sets < MAX_SETS; i++)
        sets[n_sets++] = argv[i];
    struct training plain = {0}, recorded = {0}, *both[2] = {&plain, &recorded};
    for (int i = 0; i < 2; i++) {
        both[i]->wall_ms = malloc(steps * sizeof(double));
        both[i]->thread_ms = malloc(steps * sizeof(double));
        both[i]->left_out = burst ? 1 : LEFT_OUT;
        start_training(both[i], argv[1], sets, n_sets, i == 0 ? NULL : trace);
    }
    double cpu = cpu_ms();
    while (plain.step < (int64_t)steps) {
        for (int i = 0; i < 2; i++)
            run_block(both[i], steps);
        if (burst)
            drain(&recorded);
    }
    check(tdbg_recorder_close(recorded.recorder, &err), "close", &err);
    cpu = cpu_ms() - cpu - plain.all_thread_ms;
    printf("{\"part\": \"cost\", \"config\": \"%s\", \"preset\": \"%s\", \"burst\": %s, "
           "\"plain_ms\": %.4f, "
           "\"recorded_ms\": %.4f, \"plain_thread_ms\": %.4f, \"recorded_thread_ms\": %.4f, "
           "\"plain_cpu_ms\": %.4f, \"recorded_cpu_ms\": %.4f, \"value_bytes\": %lld, "
           "\"trace_bytes\": %lld, \"steps\": %lld}\n",
           strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1], argv[4],
           burst ? "true" : "false", bench_median(plain.wall_ms, plain.n),
           bench_median(recorded.wall_ms, recorded.n), bench_median(plain.thread_ms, plain.n),
           bench_median(recorded.thread_ms, recorded.n), plain.all_thread_ms / (double)plain.step,
           cpu / (double)recorded.step, (long long)value_bytes(&recorded),
           (long long)bench_file_bytes(trace), (long long)recorded.step);
    fflush(stdout);
    unlink(trace);
    return 0;
}
