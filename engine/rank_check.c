/* Comparing what ranks were started with. See rank_check.h. */
#include "engine/rank_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"

enum { READ_BYTES = 1 << 16 };

static uint64_t absorb_bytes(uint64_t h, const void *data, size_t n)
{
    return tdbg_chain_absorb(h, tdbg_digest_fast(data, TDBG_DTYPE_U8, (int64_t)n));
}

uint64_t tdbg_rank_program_digest(void)
{
    static unsigned char piece[READ_BYTES];
    uint64_t h = 1;
    size_t n;
    FILE *f = fopen("/proc/self/exe", "rb");
    if (!f)
        return 0;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        h = absorb_bytes(h, piece, n);
    const bool failed = ferror(f) != 0;
    fclose(f);
    return failed ? 0 : h;
}

enum tdbg_status tdbg_rank_state_digest(const struct tdbg_engine *engine, uint64_t *digest,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n;
    const struct tdbg_engine_item *items = tdbg_engine_items(engine, &n);
    float *host = malloc((size_t)tdbg_engine_most_item_elems(engine) * sizeof *host);
    TDBG_FAIL_IF(!host, NO_MEMORY, "no memory for the state");
    *digest = 0;
    for (int32_t i = 0; i < n; i++) {
        if (items[i].is_buffer)
            continue;
        TDBG_TRY(tdbg_engine_get_item(engine, i, host, err));
        *digest =
            tdbg_chain_absorb(*digest, tdbg_digest_fast(host, items[i].dtype, items[i].elems));
    }
out:
    free(host);
    return st;
}

static const char *find_difference(const struct tdbg_rank_facts *a, const struct tdbg_rank_facts *b)
{
    if (a->world_size != b->world_size)
        return "another number of ranks";
    if (a->program && b->program && a->program != b->program)
        return "another program file";
    if (a->numerics_version != b->numerics_version)
        return "another version of the numerics";
    if (a->config != b->config)
        return "another config";
    if (a->dataset != b->dataset)
        return "another data set";
    if (a->first_step != b->first_step)
        return "another first step";
    return a->state != b->state ? "other parameters" : NULL;
}

enum tdbg_status tdbg_rank_check(struct tdbg_comm *comm, const struct tdbg_rank_facts *mine,
                                 struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int32_t n = comm->world_size;
    struct tdbg_rank_facts *all = calloc((size_t)n, sizeof *all);
    TDBG_FAIL_IF(!all, NO_MEMORY, "no memory to reach %d ranks", (int)n);
    TDBG_TRY(tdbg_comm_gather(comm, mine, sizeof *mine, all, err));
    for (int32_t r = 1; r < n; r++) {
        const char *what = find_difference(&all[0], &all[r]);
        TDBG_FAIL_IF(what, RANKS, "rank %d was started with %s than rank 0", (int)r, what);
    }
out:
    free(all);
    return st;
}

struct report {
    int32_t status;
    int32_t unused;
    uint64_t text;
};

/* What all have reported; *speaks starts as true. */
static enum tdbg_status judge_reports(const struct report *all, int32_t n, int32_t rank,
                                      enum tdbg_status st, bool *speaks, struct tdbg_err *err)
{
    bool same = true;
    int32_t first = -1;
    for (int32_t r = n - 1; r >= 0; r--) {
        const bool as_here = memcmp(&all[r], &all[rank], sizeof all[r]) == 0;
        same &= as_here;
        first = all[r].status != TDBG_OK ? r : first;
        *speaks &= !(as_here && r < rank);
    }
    if (first < 0)
        return TDBG_OK;
    if (st != TDBG_OK)
        return same ? st : tdbg_err_prefix(err, "rank %d", (int)rank);
    *speaks = false;
    return tdbg_err_set(err, (enum tdbg_status)all[first].status, __FILE__, __LINE__,
                        "rank %d has failed", (int)first);
}

enum tdbg_status tdbg_rank_meet(struct tdbg_comm *comm, enum tdbg_status st, bool *speaks,
                                struct tdbg_err *err)
{
    const int32_t n = comm->world_size, rank = comm->rank;
    struct report mine = {.status = (int32_t)st};
    struct report *all = calloc((size_t)n, sizeof *all);
    *speaks = true;
    if (!all)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to reach %d ranks", (int)n);
    if (st != TDBG_OK && err->message)
        mine.text = absorb_bytes(0, err->message, strlen(err->message));
    struct tdbg_err fault = {0};
    const enum tdbg_status met = tdbg_comm_gather(comm, &mine, sizeof mine, all, &fault);
    if (met != TDBG_OK && (st == TDBG_OK || st == TDBG_RANKS)) {
        *speaks = tdbg_comm_is_speaker(comm);
        st = tdbg_err_set(err, met, fault.file, fault.line, "%s", fault.message);
    } else if (met == TDBG_OK) {
        st = judge_reports(all, n, rank, st, speaks, err);
    } else {
        st = tdbg_err_prefix(err, "rank %d", (int)rank);
    }
    tdbg_err_clear(&fault);
    free(all);
    return st;
}
