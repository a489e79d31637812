/* Moves through traces as a person at the terminal does, for tests/example/e2e_replay.py:
 *
 *   time-travel back TRACE SITE STATES      looks at SITE (of lane and micro-batch 0) in the last
 *                                           step, then in each step before it down to the first,
 *                                           with a cache of STATES; each value has to have its
 *                                           recorded digest. Prints what that took.
 *   time-travel compare FULL TRACE N SEED   N random (step, site) pairs: what FULL stores has to be
 *                                           what is computed again from TRACE, bit for bit.
 *
 * Exit code 1 and a line that says where if something differs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/session.h"

static int fail(struct tdbg_err *err)
{
    fprintf(stderr, "time-travel: %s\n", err->message);
    return 1;
}

static int32_t find_site(const struct tdbg_trace *trace, const char *name)
{
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(sites[i].name, name) == 0)
            return i;
    }
    fprintf(stderr, "time-travel: no site %s\n", name);
    exit(2);
}

static void *make_room(const struct tdbg_trace *trace)
{
    int32_t n;
    size_t most = 1;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    for (int32_t i = 0; i < n; i++) {
        const size_t bytes = (size_t)tdbg_site_elems(&sites[i]) * tdbg_dtype_bytes(sites[i].dtype);
        most = bytes > most ? bytes : most;
    }
    return calloc(1, most);
}

static int go_back(const char *path, const char *name, int states)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *trace = NULL;
    struct tdbg_session *session = NULL;
    const struct tdbg_session_options options = {.isa = "auto", .cached_states = states};
    if (tdbg_trace_open(path, &trace, &err) != TDBG_OK ||
        tdbg_session_create(trace, &options, &session, &err) != TDBG_OK)
        return fail(&err);
    int32_t n;
    const struct tdbg_site *sites = tdbg_trace_sites(trace, &n);
    const int32_t site = find_site(trace, name);
    const int64_t first = tdbg_trace_first_step(trace);
    const int64_t last = first + tdbg_trace_n_steps(trace) - 1;
    uint64_t *digests = calloc((size_t)n, sizeof *digests);
    void *value = make_room(trace);
    int64_t executed = 0, updated = 0, checked = 0;
    for (int64_t step = last; step >= first; step--) {
        int64_t elems;
        if (tdbg_session_compute(session, step, site, value, &elems, &err) != TDBG_OK ||
            tdbg_trace_read_digests(trace, step, digests, &err) != TDBG_OK)
            return fail(&err);
        if (digests[site] && digests[site] != tdbg_digest_fast(value, sites[site].dtype, elems)) {
            printf("step %" PRId64 ": %s is not what was recorded\n", step, name);
            return 1;
        }
        checked += digests[site] != 0;
        if (step == last) { /* where the way back begins */
            executed = tdbg_session_steps_executed(session);
            updated = tdbg_session_steps_updated(session);
        }
    }
    printf("backs %" PRId64 " executed %" PRId64 " updated %" PRId64 " checked %" PRId64 "\n",
           last - first, tdbg_session_steps_executed(session) - executed,
           tdbg_session_steps_updated(session) - updated, checked);
    free(digests);
    free(value);
    tdbg_session_destroy(session);
    tdbg_trace_close(trace);
    return 0;
}

/* splitmix64 (Sebastiano Vigna, public domain) */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 1: same, 0: not, -1: the step does not have this site, or FULL does not store it. */
static int compare_pair(struct tdbg_trace *full, struct tdbg_trace *trace, int64_t step,
                        int32_t site, void *const value[2], struct tdbg_err *err)
{
    int32_t n;
    const struct tdbg_site *s = &tdbg_trace_sites(full, &n)[site];
    struct tdbg_step_row row;
    int64_t elems[2] = {0, 0};
    if (tdbg_trace_read_steps(full, step, 1, &row, err) != TDBG_OK)
        return 0;
    if (!tdbg_trace_has_values(full, site, step, row.evaluated))
        return -1;
    if (tdbg_trace_read_values(full, step, site, value[0], &elems[0], err) != TDBG_OK ||
        tdbg_trace_read_values(trace, step, site, value[1], &elems[1], err) != TDBG_OK)
        return 0;
    return elems[0] == elems[1] &&
           memcmp(value[0], value[1], (size_t)elems[0] * tdbg_dtype_bytes(s->dtype)) == 0;
}

static int compare(const char *full_path, const char *path, int64_t n_pairs, uint64_t seed)
{
    struct tdbg_err err = {0};
    struct tdbg_trace *full = NULL, *trace = NULL;
    struct tdbg_recompute *recompute = NULL;
    const struct tdbg_session_options options = {.isa = "auto"};
    if (tdbg_trace_open(full_path, &full, &err) != TDBG_OK ||
        tdbg_trace_open(path, &trace, &err) != TDBG_OK ||
        tdbg_recompute_create(trace, &options, &recompute, &err) != TDBG_OK)
        return fail(&err);
    int32_t n, m;
    const struct tdbg_site *sites = tdbg_trace_sites(full, &n);
    tdbg_trace_sites(trace, &m);
    void *const value[2] = {make_room(full), make_room(full)};
    const int64_t first = tdbg_trace_first_step(full), n_steps = tdbg_trace_n_steps(full);
    int64_t same = 0, computed = 0;
    for (int64_t tries = 0; n == m && same < n_pairs && tries < 100 * n_pairs; tries++) {
        const int64_t step = first + (int64_t)(next(&seed) % (uint64_t)n_steps);
        const int32_t site = (int32_t)(next(&seed) % (uint64_t)n);
        const int result = compare_pair(full, trace, step, site, value, &err);
        if (result == 0) {
            printf("step %" PRId64 ", site %s differs: %s\n", step, sites[site].name,
                   err.message ? err.message : "other bits");
            return 1;
        }
        same += result == 1;
        computed += result == 1 && !tdbg_trace_has_values(trace, site, step, true);
    }
    printf("same %" PRId64 " computed %" PRId64 "\n", same, computed);
    free(value[0]);
    free(value[1]);
    tdbg_recompute_destroy(recompute);
    tdbg_trace_close(trace);
    tdbg_trace_close(full);
    return same < n_pairs;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "back") == 0)
        return go_back(argv[2], argv[3], atoi(argv[4]));
    if (argc == 6 && strcmp(argv[1], "compare") == 0)
        return compare(argv[2], argv[3], atoll(argv[4]), strtoull(argv[5], NULL, 10));
    fputs("usage: time-travel back TRACE SITE STATES | compare FULL TRACE N SEED\n", stderr);
    return 2;
}
