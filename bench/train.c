/* One side of bench/train: trains a config without recording. Reads numbers of steps from stdin,
 * runs so many steps for each, and answers with the seconds that they took and the last loss. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "engine/source_live.h"
#include "recorder/record_options.h"

static void check(enum tdbg_status st, const char *what, const struct tdbg_err *err)
{
    if (st == TDBG_OK)
        return;
    fprintf(stderr, "bench-train: %s: %s\n", what, err->message ? err->message : "failed");
    exit(1);
}

int main(int argc, char **argv)
{
    struct tdbg_err err = {0};
    struct tdbg_config *config;
    struct tdbg_source_live *live;
    struct tdbg_backend *backend;
    struct tdbg_engine *engine;
    struct tdbg_step_info info = {0};
    long steps;
    if (argc < 3) {
        fputs("usage: bench-train CFG THREADS [KEY=VALUE]...\n", stderr);
        return 2;
    }
    check(tdbg_config_load(argv[1], (const char *const *)argv + 3, argc - 3, &config, &err),
          "config", &err);
    tdbg_engine_check_options(config, &tdbg_recorder_options, 1);
    check(tdbg_config_result(config, &err), "config", &err);
    check(tdbg_source_live_create(config, NULL, &live, &err), "data", &err);
    check(tdbg_config_result(config, &err), "data", &err);
    const struct tdbg_cfg_node *root = tdbg_config_root(config);
    const struct tdbg_backend_choice choice = {
        .device = tdbg_cfg_string(root, "engine.device"),
        .isa = "auto",
        .threads = atoi(argv[2]),
        .fast = strcmp(tdbg_cfg_string(root, "engine.math"), "fast") == 0};
    check(tdbg_backend_open(&choice, &backend, NULL, &err), "backend", &err);
    check(tdbg_engine_create(config, backend, tdbg_source_live_table(live), &engine, &err),
          "engine", &err);
    check(tdbg_config_result(config, &err), "engine", &err);
    check(tdbg_engine_init_state(engine, &err), "state", &err);
    for (int64_t step = 0; scanf("%ld", &steps) == 1;) {
        const int64_t start = tdbg_clock_ns();
        for (long i = 0; i < steps; i++)
            check(tdbg_engine_run_step(engine, step++, &info, &err), "step", &err);
        printf("%.9f %.6g\n", (double)(tdbg_clock_ns() - start) * 1e-9, (double)info.loss);
        fflush(stdout);
    }
    tdbg_engine_destroy(engine);
    tdbg_backend_destroy(backend);
    tdbg_source_live_destroy(live);
    tdbg_config_destroy(config);
    return 0;
}
