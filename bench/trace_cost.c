/* What recording costs: the same training twice in one process, with and without the recorder, in
 * alternating blocks of steps. "burst": the recorder is given time to work off its queue after each
 * block, and a block is no longer than the queue takes easily (beyond a quarter of it the training
 * computes digests itself), so that what is left is the cost of handing over.
 * "sustained": it is not, so that training waits where the recorder cannot follow; the beginning of
 * a block is left out.
 *
 * The peer of "burst" is a third training whose tensors are only copied, the same ones, into memory
 * of its own as large as the queue: what handing over would cost if it were nothing but a copy. */
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
#include "engine/tap.h"
#include "recorder/record_options.h"
#include "recorder/recorder.h"

enum {
    BLOCK = 24,
    LEFT_OUT = 8,
    MAX_SETS = 16,
    COPY_ROOM = 64 << 20,
    PART = 4 << 20,
    EASY = COPY_ROOM / 4
};
enum { PLAIN, RECORDED, COPIED, TRAININGS };

/* A tap that copies what the recorder looks at and does nothing else. */
struct copier {
    unsigned char *to; /* (COPY_ROOM), used around and around as the queue is */
    size_t used;
    const struct tdbg_site_plan *plans;
    int64_t bytes; /* of the step */
};

struct training {
    struct tdbg_config *config;
    struct tdbg_source_live *live;
    struct tdbg_backend *backend;
    struct tdbg_recorder *recorder; /* NULL: not recorded */
    struct tdbg_engine *engine;
    double *wall_ms, *thread_ms; /* of the steps that count */
    size_t n;
    double all_thread_ms; /* of all steps */
    int block, left_out;  /* steps of a block, and those at its beginning that do not count */
    int64_t step;
};

static void check(enum tdbg_status st, const char *what, const struct tdbg_err *err)
{
    if (st != TDBG_OK)
        bench_die(what, err->message);
}

static enum tdbg_status plan_copies(void *self, const struct tdbg_site *sites, int32_t n_sites,
                                    struct tdbg_want *wants, struct tdbg_err *err)
{
    (void)sites, (void)err;
    const struct copier *c = self;
    for (int32_t i = 0; i < n_sites; i++) {
        const bool stored = c->plans[i].store != TDBG_STORE_NONE && c->plans[i].value_every == 1;
        wants[i].flags = TDBG_WANT_VALUES;
        wants[i].every = stored || c->plans[i].digest_every == 1;
    }
    return TDBG_OK;
}

static enum tdbg_status begin_copies(void *self, int64_t step, struct tdbg_err *err)
{
    (void)step, (void)err;
    ((struct copier *)self)->bytes = 0;
    return TDBG_OK;
}

static enum tdbg_status copy_site(void *self, int64_t step, int32_t site,
                                  const struct tdbg_handle *handle, struct tdbg_err *err)
{
    (void)step, (void)site;
    enum tdbg_status st = TDBG_OK;
    struct copier *c = self;
    const int64_t width = (int64_t)tdbg_dtype_bytes(handle->dtype);
    uint64_t ticket; /* 0: what the CPU copies is there at once */
    if (handle->same_as >= 0)
        return TDBG_OK;
    for (int64_t first = 0, n; first < handle->elems; first += n) {
        n = handle->elems - first < PART / width ? handle->elems - first : PART / width;
        if (c->used + (size_t)(n * width) > COPY_ROOM)
            c->used = 0;
        TDBG_TRY(tdbg_handle_copy_part(handle, first, n, c->to + c->used, &ticket, err));
        c->used += (size_t)(n * width);
        c->bytes += n * width;
    }
out:
    return st;
}

static enum tdbg_status end_copies(void *self, const struct tdbg_step_info *info,
                                   struct tdbg_err *err)
{
    (void)self, (void)info, (void)err;
    return TDBG_OK;
}

static const struct tdbg_tap_ops copier_ops = {plan_copies, begin_copies, copy_site, end_copies};

static struct tdbg_site_plan *plan_sites(const struct training *t)
{
    int32_t n;
    struct tdbg_err err = {0};
    const struct tdbg_site *sites = tdbg_engine_sites(t->engine, &n);
    struct tdbg_site_plan *plans = calloc((size_t)n, sizeof *plans);
    const struct tdbg_recorder_cut cut = {tdbg_engine_info(t->engine)->lanes, 0, 1, 50};
    check(tdbg_recorder_plan_sites(tdbg_config_root(t->config), sites, n, &cut, plans, &err),
          "plan", &err);
    return plans;
}

static void start_copies(struct training *t, struct copier *c)
{
    struct tdbg_err err = {0};
    const struct tdbg_tap tap = {&copier_ops, c};
    c->plans = plan_sites(t);
    c->to = malloc(COPY_ROOM);
    if (!c->to)
        bench_die("cost", "no memory");
    memset(c->to, 1, COPY_ROOM);
    check(tdbg_engine_set_taps(t->engine, &tap, 1, &err), "taps", &err);
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
    for (int i = 0; i < t->block; i++) {
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
    const struct tdbg_site *sites = tdbg_engine_sites(t->engine, &n);
    struct tdbg_site_plan *plans = plan_sites(t);
    int64_t bytes = 0;
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

/* One step of each tells how many bytes a step hands over. */
static void set_blocks(struct training *all, const struct copier *copier, bool burst)
{
    for (int i = 0; i < TRAININGS; i++) {
        all[i].block = 1;
        run_block(&all[i], 0);
    }
    drain(&all[RECORDED]);
    const int64_t easy = copier->bytes > 0 ? EASY / copier->bytes : BLOCK;
    const int block = burst && easy < BLOCK ? easy > 0 ? (int)easy : 1 : BLOCK;
    for (int i = 0; i < TRAININGS; i++) {
        all[i].block = block;
        all[i].left_out = !burst ? LEFT_OUT : block > 2 ? 1 : 0;
    }
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
    struct training all[TRAININGS] = {0}, *plain = &all[PLAIN], *recorded = &all[RECORDED];
    struct copier copier = {0};
    for (int i = 0; i < TRAININGS; i++) {
        all[i].wall_ms = malloc(steps * sizeof(double));
        all[i].thread_ms = malloc(steps * sizeof(double));
        start_training(&all[i], argv[1], sets, n_sets, i == RECORDED ? trace : NULL);
    }
    start_copies(&all[COPIED], &copier);
    set_blocks(all, &copier, burst);
    double cpu = cpu_ms();
    while (plain->step < (int64_t)steps) {
        for (int i = 0; i < TRAININGS; i++) {
            run_block(&all[i], steps);
            if (i == RECORDED && burst)
                drain(recorded);
        }
    }
    check(tdbg_recorder_close(recorded->recorder, &err), "close", &err);
    cpu = cpu_ms() - cpu - plain->all_thread_ms - all[COPIED].all_thread_ms;
    printf("{\"part\": \"cost\", \"config\": \"%s\", \"preset\": \"%s\", \"burst\": %s",
           strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1], argv[4],
           burst ? "true" : "false");
    static const char *const names[TRAININGS] = {"plain", "recorded", "copied"};
    for (int i = 0; i < TRAININGS; i++)
        printf(", \"%s_ms\": %.4f, \"%s_thread_ms\": %.4f", names[i],
               bench_median(all[i].wall_ms, all[i].n), names[i],
               bench_median(all[i].thread_ms, all[i].n));
    printf(", \"plain_cpu_ms\": %.4f, \"recorded_cpu_ms\": %.4f, \"value_bytes\": %lld, "
           "\"copied_bytes\": %lld, \"trace_bytes\": %lld, \"steps\": %lld}\n",
           plain->all_thread_ms / (double)plain->step, cpu / (double)recorded->step,
           (long long)value_bytes(recorded), (long long)copier.bytes,
           (long long)bench_file_bytes(trace), (long long)recorded->step);
    fflush(stdout);
    unlink(trace);
    return 0;
}
