/* NCCL between processes with emulated GPUs. See nccl.h. Transfers are operations of their stream
 * and wait there for the other ranks, while calls return at once, as those of a communicator that
 * does not block do. What NCCL leaves to its users is checked, and ends the program: groups, calls
 * before the last one has settled, memory, streams and devices, and that what a rank receives is
 * what the other one sends. */
#include "nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "device_memory.h"
#include "libraries.h"
#include "nccl_sockets.h"
#include "streams.h"

namespace
{

typedef std::lock_guard<std::recursive_mutex> guard;

enum kind { SEND, RECEIVE, ALL_REDUCE };
const char *const kind_name[] = {"ncclSend", "ncclRecv", "ncclAllReduce"};
enum { VERSION = 22809 };

/* Lives until the last operation on a stream is gone. */
struct state {
    state(const char *name, int rank, int ranks) : mesh(name, rank, ranks), of_rank(rank)
    {
    }
    nccl_sockets::mesh mesh;
    int of_rank, device = 0;
    bool joined = false, settled = false, aborted = false;
    int groups = 0, fails_at = -1;
    ncclResult_t error = ncclSuccess, fails_with = ncclSuccess;
    cudaStream_t stream = NULL; /* of all its transfers */
};

struct transfer {
    enum kind kind;
    const void *from;
    void *to;
    size_t count;
    ncclDataType_t type;
    int peer;
    bool done;
};

typedef std::shared_ptr<state> state_ptr;
typedef std::vector<transfer> transfers;

thread_local int group_depth;
thread_local transfers grouped;
thread_local ncclComm_t grouped_comm;

size_t bytes_of(const transfer &t)
{
    return t.count * (t.type == ncclFloat32 ? sizeof(float) : 1);
}

} // namespace

struct ncclComm {
    state_ptr of;
};

[[noreturn]] static void fail(const state *s, const char *what, const char *more = "")
{
    fprintf(stderr, "emulated NCCL, rank %d: %s%s\n", s ? s->of_rank : -1, what, more);
    abort();
}

static void send_to(state *s, const transfer &t, int peer)
{
    const nccl_sockets::header what = {t.kind == RECEIVE ? (uint32_t)SEND : (uint32_t)t.kind,
                                       (uint32_t)t.type, t.count, bytes_of(t)};
    s->mesh.send(peer, what, t.from);
}

/* The next that `peer` has sent, if it is there; it has to be what t expects. */
static bool take_from(state *s, const transfer &t, int peer, std::vector<char> *out)
{
    auto &received = s->mesh.peers[(size_t)peer].received;
    if (received.empty()) {
        if (s->mesh.peers[(size_t)peer].gone)
            s->error = ncclRemoteError;
        return false;
    }
    const nccl_sockets::header &what = received.front().what;
    const uint32_t kind = t.kind == RECEIVE ? (uint32_t)SEND : (uint32_t)t.kind;
    if (what.kind != kind || what.type != (uint32_t)t.type || what.count != t.count) {
        char text[200];
        snprintf(text, sizeof text,
                 "%s of %zu elements of type %d from rank %d, which sent %zu of "
                 "type %d by %s",
                 kind_name[t.kind], t.count, (int)t.type, peer, (size_t)what.count, (int)what.type,
                 kind_name[what.kind]);
        fail(s, text);
    }
    *out = std::move(received.front().data);
    received.pop_front();
    return true;
}

static bool receive(state *s, transfer &t)
{
    std::vector<char> data;
    if (!take_from(s, t, t.peer, &data))
        return false;
    memcpy(t.to, data.data(), data.size());
    return true;
}

/* Rank after rank: another order than that of the lane tree. */
static bool add_all(state *s, transfer &t)
{
    for (const auto &p : s->mesh.peers) {
        if (p.received.empty() && !p.gone)
            return false;
    }
    std::vector<float> sum(t.count);
    for (int r = 0; r < (int)s->mesh.peers.size(); r++) {
        std::vector<char> data;
        if (!take_from(s, t, r, &data))
            return false;
        const float *x = (const float *)(const void *)data.data();
        for (size_t i = 0; i < t.count; i++)
            sum[i] = r == 0 ? x[i] : sum[i] + x[i];
    }
    memcpy(t.to, sum.data(), t.count * sizeof(float));
    return true;
}

/* An operation of a stream: brings a group on. */
static bool move_group(state *s, transfers *list, bool *started, bool fails)
{
    bool done = true;
    if (s->aborted)
        return true;
    for (transfer &t : *list) {
        if (!*started && t.kind == SEND)
            send_to(s, t, t.peer);
        for (int r = 0; !*started && t.kind == ALL_REDUCE && r < (int)s->mesh.peers.size(); r++)
            send_to(s, t, r);
    }
    *started = true;
    if (fails)
        s->error = s->fails_with;
    s->mesh.move();
    for (size_t i = 0; i < list->size() && !fails && s->error == ncclSuccess; i++) {
        transfer &t = (*list)[i];
        const bool is_behind =
            std::any_of(list->begin(), list->begin() + (ptrdiff_t)i, [&](const transfer &before) {
                return !before.done && before.peer == t.peer && before.kind == t.kind;
            });
        if (!t.done && !is_behind)
            t.done = t.kind == SEND      ? s->mesh.peers[(size_t)t.peer].out.empty()
                     : t.kind == RECEIVE ? receive(s, t)
                                         : add_all(s, t);
        done &= t.done;
    }
    for (const auto &p : s->mesh.peers)
        done &= p.out.empty();
    return done && !fails && s->error == ncclSuccess;
}

static void check_settled(const state *s, const char *call)
{
    if (!s->joined || !s->settled)
        fail(s, "called before the last call has settled: ", call);
    if (s->device != tdbg_emulated_device())
        fail(s, "called with another device than the communicator's: ", call);
}

static void check_transfer(state *s, const transfer &t, cudaStream_t stream)
{
    const char *call = kind_name[t.kind];
    if (t.peer < 0 || t.peer >= (int)s->mesh.peers.size())
        fail(s, "no such rank: ", call);
    if (t.count == 0 || (t.from && !tdbg_emulated_is_block(t.from, bytes_of(t))) ||
        (t.to && !tdbg_emulated_is_block(t.to, bytes_of(t))))
        fail(s, "not memory of one block of the device: ", call);
    if (!tdbg_emulated_stream_is_here(stream))
        fail(s, "a stream of another device: ", call);
    if (s->stream && s->stream != stream)
        fail(s, "a communicator's transfers on two streams: ", call);
    s->stream = stream;
}

static ncclResult_t put(ncclComm_t comm, const transfers &list)
{
    const state_ptr s = comm->of;
    const auto held = std::make_shared<transfers>(list);
    const auto started = std::make_shared<bool>(false);
    const bool fails = s->groups++ == s->fails_at;
    tdbg_emulated_put(s->stream,
                      [=]() { return move_group(s.get(), held.get(), started.get(), fails); });
    s->settled = false;
    return ncclInProgress;
}

ncclResult_t ncclGetVersion(int *version)
{
    const char *said = getenv("TDBG_EMULATED_NCCL");
    *version = said ? atoi(said) : VERSION;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    unsigned char random[16];
    memset(id, 0, sizeof *id);
    if (getentropy(random, sizeof random) != 0)
        return ncclSystemError;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id->internal + 2 * i, 3, "%02x", random[i]);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    const guard only(tdbg_emulated_lock());
    const ncclConfig_t plain = NCCL_CONFIG_INITIALIZER;
    const char *fails = getenv("TDBG_EMULATED_NCCL_FAILS");
    if (config->magic != plain.magic || config->blocking != 0)
        fail(NULL, "a config that is not as NCCL_CONFIG_INITIALIZER, or blocks");
    if (rank < 0 || rank >= ranks || strlen(id.internal) != 32)
        return ncclInvalidArgument;
    const state_ptr s = std::make_shared<state>(id.internal, rank, ranks);
    s->device = tdbg_emulated_device();
    if (fails) {
        int result = 0;
        if (sscanf(fails, "%d:%d", &s->fails_at, &result) != 2)
            fail(s.get(), "TDBG_EMULATED_NCCL_FAILS is not N:RESULT");
        s->fails_with = (ncclResult_t)result;
    }
    *comm = new ncclComm{s};
    return ncclInProgress;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    const guard only(tdbg_emulated_lock());
    comm->of->aborted = true;
    delete comm;
    return ncclSuccess;
}

/* A call settles when it is asked for the second time. */
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result)
{
    const guard only(tdbg_emulated_lock());
    state *s = comm->of.get();
    *result = s->error;
    if (s->error != ncclSuccess)
        return ncclSuccess;
    const bool was_joined = s->joined, was_settled = s->settled;
    s->joined = s->joined || s->mesh.join();
    s->settled = true;
    if (!was_joined || !was_settled)
        *result = ncclInProgress;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const text[] = {"no error",
                                       "unhandled cuda error",
                                       "unhandled system error",
                                       "internal error",
                                       "invalid argument",
                                       "invalid usage",
                                       "remote process exited or there was a network error",
                                       "NCCL operation in progress"};
    return text[result];
}

const char *ncclGetLastError(ncclComm_t)
{
    return "";
}

ncclResult_t ncclGroupStart(void)
{
    if (group_depth++ == 0) {
        grouped.clear();
        grouped_comm = NULL;
    }
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    const guard only(tdbg_emulated_lock());
    if (group_depth == 0)
        return ncclInvalidUsage;
    if (--group_depth > 0 || grouped.empty())
        return ncclSuccess;
    return put(grouped_comm, grouped);
}

static ncclResult_t add_to_group(ncclComm_t comm, const transfer &t, cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    state *s = comm->of.get();
    if (group_depth == 0)
        fail(s, "outside of a group it may wait for ever: ", kind_name[t.kind]);
    check_settled(s, kind_name[t.kind]);
    check_transfer(s, t, stream);
    if (grouped_comm && grouped_comm != comm)
        fail(s, "two communicators in a group: ", kind_name[t.kind]);
    grouped_comm = comm;
    grouped.push_back(t);
    return ncclSuccess;
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    return add_to_group(comm, {SEND, data, NULL, count, type, peer, false}, stream);
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add_to_group(comm, {RECEIVE, NULL, data, count, type, peer, false}, stream);
}

ncclResult_t ncclAllReduce(const void *in, void *out, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    const guard only(tdbg_emulated_lock());
    state *s = comm->of.get();
    const transfer t = {ALL_REDUCE, in, out, count, type, 0, false};
    check_settled(s, kind_name[t.kind]);
    check_transfer(s, t, stream);
    if (type != ncclFloat32 || op != ncclSum)
        fail(s, "ncclAllReduce of anything but sums of f32");
    if (group_depth > 0)
        fail(s, "ncclAllReduce inside of a group");
    return put(comm, {t});
}

const struct tdbg_emulated_function tdbg_emulated_nccl[] = {
    TDBG_EMULATED_FUNCTION(ncclGetVersion),
    TDBG_EMULATED_FUNCTION(ncclGetUniqueId),
    TDBG_EMULATED_FUNCTION(ncclCommInitRankConfig),
    TDBG_EMULATED_FUNCTION(ncclCommAbort),
    TDBG_EMULATED_FUNCTION(ncclCommGetAsyncError),
    TDBG_EMULATED_FUNCTION(ncclGetErrorString),
    TDBG_EMULATED_FUNCTION(ncclGetLastError),
    TDBG_EMULATED_FUNCTION(ncclGroupStart),
    TDBG_EMULATED_FUNCTION(ncclGroupEnd),
    TDBG_EMULATED_FUNCTION(ncclSend),
    TDBG_EMULATED_FUNCTION(ncclRecv),
    TDBG_EMULATED_FUNCTION(ncclAllReduce),
    {NULL, NULL},
};
