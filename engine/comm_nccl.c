/* Transfers from GPU to GPU by NCCL. See comm_nccl.h and comm.h.
 *
 * All of them are on one stream of their own, that of the backend that adds. The library is loaded
 * when it is first asked for, and its calls do not block (ncclConfig_t.blocking = 0): while it is
 * at something, the comm that joins the ranks is asked whether one of them has given up.
 *
 *     computes   ... gradients | hand_over | more of backward ...          | uses the sums
 *                                  '- event -.                             |
 *     adds                            take_over | send, receive | fold | gather | complete
 *
 * A failure aborts what is under way at once: a GPU that waits for a lost rank would keep all else
 * that is asked of it waiting, even freeing memory. */
#include "engine/comm_nccl.h"

#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gpu.h"
#include "kernels/gpu_library.h"

/* X(function): what is called. */
#define FUNCTIONS(X)                                                                               \
    X(ncclGetVersion)                                                                              \
    X(ncclGetUniqueId)                                                                             \
    X(ncclCommInitRankConfig)                                                                      \
    X(ncclCommAbort)                                                                               \
    X(ncclCommGetAsyncError)                                                                       \
    X(ncclGetErrorString)                                                                          \
    X(ncclGetLastError)                                                                            \
    X(ncclGroupStart)                                                                              \
    X(ncclGroupEnd)                                                                                \
    X(ncclSend)                                                                                    \
    X(ncclRecv)                                                                                    \
    X(ncclAllReduce)

struct library {
#define MEMBER(function) __typeof__(&(function)) function;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

/* The oldest whose calls need not block and can be aborted while they do not. */
enum { LEAST_VERSION = 21800 };

static const char *const files[] = {"libnccl.so.2", "libnccl.so", NULL};

static const struct tdbg_gpu_library nccl = {.files = files,
                                             .name = "NCCL",
                                             .wanted_by = "engine.comm.backend = \"nccl\"",
                                             .otherwise = "engine.comm.backend = \"mpi\""};

struct nccl_comm {
    struct tdbg_comm base; /* first: the same address */
    struct library lib;
    struct tdbg_comm *control;
    struct tdbg_gpu *computes, *adds;
    ncclComm_t comm;                      /* NULL: not yet, or no more */
    cudaEvent_t handed[TDBG_COMM_HANDED]; /* number k is in k % TDBG_COMM_HANDED */
    cudaEvent_t done;
    int64_t number; /* that was taken over last; -1: none yet */
    int version;    /* of the library */
};

static struct nccl_comm *nccl_of(struct tdbg_comm *comm)
{
    return (struct nccl_comm *)(void *)comm;
}

static enum tdbg_status load(struct library *lib, int *version, struct tdbg_err *err)
{
    void *handle;
    *version = 0;
    const enum tdbg_status st = tdbg_gpu_library_load(&nccl, &handle, err);
    if (st != TDBG_OK)
        return st;
    TDBG_GPU_LIBRARY_FIND(lib, &nccl, handle, ncclGetVersion);
    int found = 0;
    if (lib->ncclGetVersion(&found) != ncclSuccess || found < LEAST_VERSION)
        return TDBG_RAISE(err, DEVICE,
                          "NCCL is too old: version code %d, and %d (2.18) or a newer one is "
                          "needed\nhint: engine.comm.backend = \"mpi\" does without it",
                          found, (int)LEAST_VERSION);
#define LOAD(function) TDBG_GPU_LIBRARY_FIND(lib, &nccl, handle, function);
    FUNCTIONS(LOAD)
#undef LOAD
    *version = found;
    return TDBG_OK;
}

enum tdbg_status tdbg_comm_nccl_load(int *version, struct tdbg_err *err)
{
    struct library lib;
    return load(&lib, version, err);
}

bool tdbg_comm_nccl_gpu(const struct tdbg_backend *backend, struct tdbg_comm_gpu *out)
{
    if (backend->on_host)
        return false;
    const struct tdbg_gpu *gpu = backend->context;
    memcpy(out->uuid, gpu->uuid, sizeof out->uuid);
    out->number = gpu->device;
    return true;
}

int tdbg_comm_nccl_version(const struct tdbg_comm *comm)
{
    return ((const struct nccl_comm *)(const void *)comm)->version;
}

static void stop(struct nccl_comm *c)
{
    if (c->comm)
        c->lib.ncclCommAbort(c->comm);
    c->comm = NULL;
}

/* What the library reports ends all that is under way. Another rank that is gone may be known by
 * the comm that joins them. */
static enum tdbg_status raise_nccl(struct nccl_comm *c, ncclResult_t result, struct tdbg_err *err)
{
    char text[400];
    const char *last = c->comm ? c->lib.ncclGetLastError(c->comm) : NULL;
    const bool has_last = last && last[0] != 0;
    snprintf(text, sizeof text, "NCCL failed: %s%s%.200s%s", c->lib.ncclGetErrorString(result),
             has_last ? " (" : "", has_last ? last : "", has_last ? ")" : "");
    stop(c);
    if (result == ncclRemoteError || result == ncclSystemError)
        return c->control->ops->lose(c->control, text, err);
    return TDBG_RAISE(err, DEVICE, "%s", text);
}

static enum tdbg_status look_at_call(void *self, enum tdbg_comm_sight *sight, struct tdbg_err *err)
{
    struct nccl_comm *c = self;
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = c->lib.ncclCommGetAsyncError(c->comm, &state);
    if (asked != ncclSuccess || (state != ncclSuccess && state != ncclInProgress))
        return raise_nccl(c, asked != ncclSuccess ? asked : state, err);
    *sight = state == ncclSuccess ? TDBG_COMM_DONE : TDBG_COMM_WAITS;
    return TDBG_OK;
}

static enum tdbg_status wait_for(struct nccl_comm *c, tdbg_comm_look look, struct tdbg_err *err)
{
    const enum tdbg_status st = c->control->ops->wait(c->control, look, c, err);
    if (st != TDBG_OK)
        stop(c);
    return st;
}

/* Waits until a call has put its work on the stream. */
static enum tdbg_status settle(struct nccl_comm *c, ncclResult_t result, struct tdbg_err *err)
{
    if (result == ncclInProgress)
        return wait_for(c, look_at_call, err);
    return result == ncclSuccess ? TDBG_OK : raise_nccl(c, result, err);
}

static enum tdbg_status require_comm(const struct nccl_comm *c, struct tdbg_err *err)
{
    return c->comm ? TDBG_OK : TDBG_RAISE(err, RANKS, "NCCL was given up before");
}

static enum tdbg_status exchange(struct tdbg_comm *comm, const struct tdbg_comm_transfer *list,
                                 int32_t n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct nccl_comm *c = nccl_of(comm);
    if (n == 0)
        return TDBG_OK;
    TDBG_TRY(require_comm(c, err));
    const cudaStream_t stream = tdbg_gpu_stream(c->adds);
    ncclResult_t result = c->lib.ncclGroupStart();
    for (int32_t i = 0; i < n; i++) {
        const struct tdbg_comm_transfer *t = &list[i];
        const ncclResult_t put =
            t->sends ? c->lib.ncclSend(t->data, t->bytes, ncclUint8, t->peer, c->comm, stream)
                     : c->lib.ncclRecv(t->data, t->bytes, ncclUint8, t->peer, c->comm, stream);
        result = result == ncclSuccess && put != ncclInProgress ? put : result;
    }
    const ncclResult_t end = c->lib.ncclGroupEnd();
    TDBG_TRY(settle(c, result == ncclSuccess ? end : result, err));
out:
    return st;
}

static enum tdbg_status native_sum(struct tdbg_comm *comm, const float *in, float *out, int64_t n,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct nccl_comm *c = nccl_of(comm);
    TDBG_TRY(require_comm(c, err));
    TDBG_TRY(settle(c,
                    c->lib.ncclAllReduce(in, out, (size_t)n, ncclFloat32, ncclSum, c->comm,
                                         tdbg_gpu_stream(c->adds)),
                    err));
out:
    return st;
}

static void hand_over(struct tdbg_comm *comm, int64_t number)
{
    struct nccl_comm *c = nccl_of(comm);
    tdbg_gpu_before_work(c->computes);
    tdbg_gpu_note(
        c->computes,
        cudaEventRecord(c->handed[number % TDBG_COMM_HANDED], tdbg_gpu_stream(c->computes)),
        "cudaEventRecord");
}

static enum tdbg_status take_over(struct tdbg_comm *comm, int64_t number, struct tdbg_err *err)
{
    struct nccl_comm *c = nccl_of(comm);
    c->number = number;
    tdbg_gpu_use(c->adds);
    tdbg_gpu_note(
        c->adds,
        cudaStreamWaitEvent(tdbg_gpu_stream(c->adds), c->handed[number % TDBG_COMM_HANDED], 0),
        "cudaStreamWaitEvent");
    return tdbg_gpu_report(c->adds, err);
}

/* Has the stream done all? Until this rank's own gradients are there, the others wait for it. */
static enum tdbg_status look_at_stream(void *self, enum tdbg_comm_sight *sight,
                                       struct tdbg_err *err)
{
    struct nccl_comm *c = self;
    ncclResult_t state = ncclSuccess;
    const cudaError_t error = cudaEventQuery(c->done);
    if (error == cudaSuccess) {
        *sight = TDBG_COMM_DONE;
        return TDBG_OK;
    }
    if (error != cudaErrorNotReady) {
        tdbg_gpu_note(c->adds, error, "a transfer of NCCL");
        return tdbg_gpu_report(c->adds, err);
    }
    const ncclResult_t asked = c->lib.ncclCommGetAsyncError(c->comm, &state);
    if (asked != ncclSuccess || (state != ncclSuccess && state != ncclInProgress))
        return raise_nccl(c, asked != ncclSuccess ? asked : state, err);
    if (c->number >= 0 &&
        cudaEventQuery(c->handed[c->number % TDBG_COMM_HANDED]) == cudaErrorNotReady)
        *sight = TDBG_COMM_WORKS;
    return TDBG_OK;
}

static enum tdbg_status complete(struct tdbg_comm *comm, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct nccl_comm *c = nccl_of(comm);
    TDBG_TRY(require_comm(c, err));
    tdbg_gpu_note(c->adds, cudaEventRecord(c->done, tdbg_gpu_stream(c->adds)), "cudaEventRecord");
    TDBG_TRY(tdbg_gpu_report(c->adds, err));
    TDBG_TRY(wait_for(c, look_at_stream, err));
out:
    return st;
}

static enum tdbg_status wait_control(struct tdbg_comm *comm, tdbg_comm_look look, void *self,
                                     struct tdbg_err *err)
{
    struct tdbg_comm *control = nccl_of(comm)->control;
    return control->ops->wait(control, look, self, err);
}

static void give_up(struct tdbg_comm *comm, const char *message)
{
    struct tdbg_comm *control = nccl_of(comm)->control;
    control->ops->give_up(control, message);
}

static enum tdbg_status lose(struct tdbg_comm *comm, const char *message, struct tdbg_err *err)
{
    struct tdbg_comm *control = nccl_of(comm)->control;
    return control->ops->lose(control, message, err);
}

/* Nothing is under way any more: every transfer was waited for, by all ranks before the step's
 * end, or has been aborted. */
static void destroy(struct tdbg_comm *comm)
{
    struct nccl_comm *c = nccl_of(comm);
    tdbg_gpu_use(c->adds);
    stop(c);
    for (int i = 0; i < TDBG_COMM_HANDED; i++) {
        if (c->handed[i])
            cudaEventDestroy(c->handed[i]);
    }
    if (c->done)
        cudaEventDestroy(c->done);
    free(c);
}

static const struct tdbg_comm_ops nccl_ops = {.exchange = exchange,
                                              .native_sum = native_sum,
                                              .wait = wait_control,
                                              .give_up = give_up,
                                              .lose = lose,
                                              .hand_over = hand_over,
                                              .take_over = take_over,
                                              .complete = complete,
                                              .destroy = destroy};

static enum tdbg_status make_events(struct nccl_comm *c, struct tdbg_err *err)
{
    for (int i = 0; i <= TDBG_COMM_HANDED; i++)
        tdbg_gpu_note(c->adds,
                      cudaEventCreateWithFlags(i < TDBG_COMM_HANDED ? &c->handed[i] : &c->done,
                                               cudaEventDisableTiming),
                      "cudaEventCreate");
    return tdbg_gpu_report(c->adds, err);
}

/* Rank 0 makes the id, the comm that joins the ranks brings it to the others. */
static enum tdbg_status join(struct nccl_comm *c, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_comm *control = c->control;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId mine, *all = calloc((size_t)control->world_size, sizeof *all);
    TDBG_FAIL_IF(!all, NO_MEMORY, "no memory to reach %d ranks", (int)control->world_size);
    memset(&mine, 0, sizeof mine);
    config.blocking = 0;
    if (control->rank == 0) {
        const ncclResult_t made = c->lib.ncclGetUniqueId(&mine);
        if (made != ncclSuccess)
            TDBG_TRY(raise_nccl(c, made, err));
    }
    TDBG_TRY(tdbg_comm_gather(c->control, &mine, sizeof mine, all, err));
    TDBG_TRY(settle(c,
                    c->lib.ncclCommInitRankConfig(&c->comm, control->world_size, all[0],
                                                  control->rank, &config),
                    err));
out:
    free(all);
    return st;
}

/* A number from every rank to every rank, itself too: what cannot reach another one fails here,
 * before the first step. */
static enum tdbg_status greet(struct nccl_comm *c, const struct tdbg_backend *adds,
                              struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    enum { STRIDE = 4 };
    const int32_t n = c->base.world_size;
    const size_t bytes = (size_t)(n + 1) * STRIDE * sizeof(float);
    float *device = adds->alloc(adds->context, bytes), *host = calloc(1, bytes);
    struct tdbg_comm_transfer *list = calloc(2 * (size_t)n, sizeof *list);
    TDBG_FAIL_IF(!device || !host || !list, NO_MEMORY, "no memory to reach %d ranks", (int)n);
    host[n * STRIDE] = (float)c->base.rank + 1;
    TDBG_TRY(adds->to_device(adds->context, device, host, bytes, err));
    for (int32_t r = 0; r < n; r++) {
        list[2 * r] =
            (struct tdbg_comm_transfer){r, true, device + n * STRIDE, STRIDE * sizeof *device};
        list[2 * r + 1] =
            (struct tdbg_comm_transfer){r, false, device + r * STRIDE, STRIDE * sizeof *device};
    }
    TDBG_TRY(exchange(&c->base, list, 2 * n, err));
    TDBG_TRY(complete(&c->base, err));
    TDBG_TRY(adds->to_host(adds->context, host, device, bytes, err));
    for (int32_t r = 0; r < n; r++)
        TDBG_FAIL_IF(host[r * STRIDE] != (float)r + 1, DEVICE,
                     "NCCL brings other numbers than rank %d has sent", (int)r);
out:
    if (st != TDBG_OK)
        stop(c); /* or freeing would wait for it */
    adds->free(adds->context, device);
    free(host);
    free(list);
    return st;
}

enum tdbg_status tdbg_comm_nccl_create(struct tdbg_comm *control,
                                       const struct tdbg_backend *computes,
                                       const struct tdbg_backend *adds, struct tdbg_comm **out,
                                       struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct nccl_comm *c = calloc(1, sizeof *c);
    TDBG_FAIL_IF(!c, NO_MEMORY, "no memory for NCCL");
    c->base = (struct tdbg_comm){.ops = &nccl_ops,
                                 .rank = control->rank,
                                 .world_size = control->world_size,
                                 .timeout_s = control->timeout_s};
    c->control = control;
    c->computes = computes->context;
    c->adds = adds->context;
    c->number = -1;
    TDBG_TRY(load(&c->lib, &c->version, err));
    tdbg_gpu_use(c->adds);
    TDBG_TRY(make_events(c, err));
    TDBG_TRY(join(c, err));
    TDBG_TRY(greet(c, adds, err));
    *out = &c->base;
    return TDBG_OK;
out:
    if (c)
        destroy(&c->base);
    return st;
}
