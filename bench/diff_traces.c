/* Traces for bench/diff, two runs that part in one step, and for bench/tui, one to search through.
 *
 *     bench-diff-traces values A B MIB STEP     values of MIB MiB in all, that part in step STEP of
 *                                               the steps that it prints (-1: the last)
 *     bench-diff-traces digests A B STEPS SITES STEP     digests only
 *     bench-diff-traces events A B STEPS SITES STEP      digests and statistics: A and B are the
 * same, but B has no zones. In step STEP alone the loss is above 50 and grad/p<SITES / 2> has NaN
 * and 1e31
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "bench/trace_bench.h"
#include "bench/trace_spec.h"

enum { TENSORS = 16, ROWS = 1024, COLS = 1024, NOISE = 4096 };

static void name_site(char name[16], int i)
{
    snprintf(name, 16, "p%03d", i);
}

static struct bench_spec *make_spec(int sites, enum tdbg_store store, int64_t rows, int64_t cols)
{
    struct bench_spec *b = malloc(sizeof *b);
    if (!b || sites > SPEC_MAX_SITES - 1)
        bench_die("diff", "too many sites");
    bench_spec_init(b, 1, 0);
    b->spec.info.numerics_version = TDBG_NUMERICS_FOREIGN; /* there is nothing to execute */
    for (int i = 0; i < sites; i++) {
        char name[16];
        name_site(name, i);
        bench_spec_add(b, TDBG_STAGE_GRAD, name, TDBG_LANE_ALL, TDBG_DTYPE_F32, rows, cols, store);
        b->plans[i].digest_every = 1;
    }
    return b;
}

static struct tdbg_trace_writer *create(const struct bench_spec *b, const char *path)
{
    struct tdbg_trace_writer *w = bench_spec_create(b, path);
    if (!w)
        bench_die(path, "cannot create");
    return w;
}

/* --- values --- */

static void put(struct tdbg_trace_writer *w, int32_t site, const float *values)
{
    struct tdbg_err err = {0};
    struct tdbg_stats stats;
    uint64_t digest;
    tdbg_digest_with_stats(values, TDBG_DTYPE_F32, (int64_t)ROWS * COLS, &digest, &stats);
    tdbg_trace_writer_put_digest(w, site, digest, &stats);
    if (tdbg_trace_writer_put_values(w, site, values, (int64_t)ROWS * COLS, &err) != TDBG_OK)
        bench_die("put_values", err.message);
}

static void write_values(const char *path, int64_t steps, int64_t parts_at, float *noise)
{
    struct bench_spec *b = make_spec(TENSORS, TDBG_STORE_DATASET, ROWS, COLS);
    struct tdbg_trace_writer *w = create(b, path);
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < TENSORS; i++) {
            float *values = noise + (size_t)((step * 37 + i * 101) % NOISE);
            const float before = values[12345];
            if (step == parts_at && i >= TENSORS / 2)
                values[12345] = before * 1.0000001f + 1e-6f;
            put(w, i, values);
            values[12345] = before;
        }
        bench_commit(w, step);
    }
    bench_close(w);
    free(b);
}

static int make_values(char **argv)
{
    const int64_t step_mib = (int64_t)TENSORS * ROWS * COLS * 4 >> 20;
    const int64_t steps = strtoll(argv[4], NULL, 10) / step_mib + 1;
    const int64_t asked = strtoll(argv[5], NULL, 10), at = asked < 0 ? steps - 1 : asked;
    uint64_t state = 3;
    float *noise = malloc(((size_t)ROWS * COLS + NOISE) * sizeof *noise);
    if (!noise)
        bench_die("diff", "no memory");
    bench_fill(noise, TDBG_DTYPE_F32, 1, (size_t)ROWS * COLS + NOISE, true, &state);
    write_values(argv[2], steps, -1, noise);
    write_values(argv[3], steps, at, noise);
    free(noise);
    printf("{\"steps\": %" PRId64 ", \"step\": %" PRId64 ", \"site\": \"grad/p%03d\", "
           "\"file_bytes\": %" PRId64 "}\n",
           steps, at, TENSORS / 2, bench_file_bytes(argv[2]));
    return 0;
}

/* --- digests --- */

static void write_digests(const char *path, int64_t steps, int sites, int64_t parts_at)
{
    struct bench_spec *b = make_spec(sites, TDBG_STORE_NONE, 64, 0);
    struct tdbg_trace_writer *w = create(b, path);
    const struct tdbg_stats stats = {0};
    for (int64_t step = 0; step < steps; step++) {
        for (int i = 0; i < sites; i++) {
            const bool other = step >= parts_at && i >= (step == parts_at ? sites / 2 : 0);
            const uint64_t word = (uint64_t)step * 1000 + (uint64_t)i;
            tdbg_trace_writer_put_digest(w, i, tdbg_digest_mix(word, other), &stats);
        }
        bench_commit(w, step);
    }
    bench_close(w);
    free(b);
}

static int make_digests(char **argv)
{
    const int64_t steps = strtoll(argv[4], NULL, 10), at = strtoll(argv[6], NULL, 10);
    const int sites = (int)strtol(argv[5], NULL, 10);
    write_digests(argv[2], steps, sites, steps);
    write_digests(argv[3], steps, sites, at);
    printf("{\"steps\": %" PRId64 ", \"step\": %" PRId64 ", \"site\": \"grad/p%03d\", "
           "\"file_bytes\": %" PRId64 "}\n",
           steps, at, sites / 2, bench_file_bytes(argv[2]));
    return 0;
}

/* --- events --- */

/* Numbers between 0 and 1 that no codec presses, as those of a run are. */
static double noise(uint64_t step, uint64_t i, uint64_t which)
{
    return (double)(tdbg_digest_mix(step * 4096 + i, (uint32_t)which) >> 11) * 0x1p-53;
}

static struct tdbg_stats statistics(int64_t step, int i, bool is_event)
{
    const uint64_t s = (uint64_t)step, k = (uint64_t)i;
    const double scale = 1 + i % 7;
    struct tdbg_stats stats = {.min = -scale * (2 + noise(s, k, 1)),
                               .max = scale * (2 + noise(s, k, 2)),
                               .mean = scale * (noise(s, k, 3) - 0.5) / 8,
                               .rms = scale * (0.5 + noise(s, k, 4)),
                               .zeros = (uint64_t)(4 * noise(s, k, 5))};
    if (is_event) {
        stats.max = 1e31;
        stats.rms = 1e30;
        stats.nans = 3;
    }
    return stats;
}

static void write_events(const char *path, int64_t steps, int sites, int64_t event, bool has_zones)
{
    struct bench_spec *b = make_spec(sites, TDBG_STORE_NONE, 64, 0);
    b->spec.steps_per_zone = has_zones ? 0 : TDBG_ZONE_MOST_STEPS;
    struct tdbg_trace_writer *w = create(b, path);
    for (int64_t step = 0; step < steps; step++) {
        struct tdbg_err err = {0};
        struct tdbg_step_row row = {
            .step = step,
            .epoch = step / 1000,
            .samples = 64,
            .loss = step == event ? 60 : (float)(1 + noise((uint64_t)step, 4000, 6)),
            .lr = 1e-3f,
            .grad_norm = 10 + noise((uint64_t)step, 4001, 7)};
        for (int i = 0; i < sites; i++) {
            const struct tdbg_stats stats = statistics(step, i, step == event && i == sites / 2);
            tdbg_trace_writer_put_digest(
                w, i, tdbg_digest_mix((uint64_t)step * 1000 + (uint64_t)i, 1), &stats);
        }
        if (tdbg_trace_writer_commit_step(w, &row, &err) != TDBG_OK)
            bench_die("commit_step", err.message);
    }
    bench_close(w);
    free(b);
}

static int make_events(char **argv)
{
    const int64_t steps = strtoll(argv[4], NULL, 10), event = strtoll(argv[6], NULL, 10);
    const int sites = (int)strtol(argv[5], NULL, 10);
    write_events(argv[2], steps, sites, event, true);
    write_events(argv[3], steps, sites, event, false);
    printf("{\"steps\": %" PRId64 ", \"step\": %" PRId64 ", \"site\": \"grad/p%03d\", "
           "\"file_bytes\": %" PRId64 ", \"without_zones\": %" PRId64 "}\n",
           steps, event, sites / 2, bench_file_bytes(argv[2]), bench_file_bytes(argv[3]));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "values") == 0)
        return make_values(argv);
    if (argc == 7 && strcmp(argv[1], "digests") == 0)
        return make_digests(argv);
    if (argc == 7 && strcmp(argv[1], "events") == 0)
        return make_events(argv);
    fputs("usage: bench-diff-traces values A B MIB STEP\n"
          "       bench-diff-traces digests A B STEPS SITES STEP\n"
          "       bench-diff-traces events A B STEPS SITES STEP\n",
          stderr);
    return 2;
}
