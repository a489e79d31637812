/* Ranks that are processes, over MPI. The only file that knows it. See comm.h.
 *
 * Messages are matched by rank and order; there are more tags, for a rank that gives up and for one
 * that asks who else is waiting. While a rank waits it looks for these now and then. MPI has no
 * deadlines: what is not complete in time is left behind, and the process has to end without
 * MPI_Finalize. */
#include "engine/comm.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    TAG_DATA,
    TAG_GIVE_UP,
    TAG_QUESTION, /* are you waiting, too? */
    TAG_ANSWER,
    /* before others may run: where there is a processor for each rank, and where there is not */
    LOOKS_BEFORE_YIELD = 10000,
    LOOKS_BEFORE_YIELD_CROWDED = 200,
    YIELDS_BEFORE_SLEEP = 2000,
    SLEEP_NS = 20000,
    LOOKS_PER_PROBE = 64,
    FAREWELL_MS = 100,
    MOST_TIMEOUTS = 3, /* while all others say that they wait as well */
    ANSWER_MS = 1000,  /* for a rank that waits to say so */
    LINGER_S = 2,      /* mpirun ends all ranks when the first ends: the one that says why */
    MESSAGE_BYTES = 400,
    PIECE_BYTES = 1 << 30, /* MPI counts in int */
    ALL = -1,              /* instead of a number of requests: what is waited for is everybody's */
    NOBODY_KNOWN = -1,     /* instead of the rank that failed */
};

/* What a rank that gives up tells the others. */
struct farewell {
    int32_t failed_rank, is_told;
    char text[MESSAGE_BYTES];
};

struct mpi_comm {
    struct tdbg_comm base; /* first: the same address */
    MPI_Comm world;
    MPI_Request *requests; /* (requests_room) */
    int *indices;          /* (requests_room) */
    int32_t *peer;         /* (requests_room): of each request */
    bool *answered;        /* (world_size): is known to wait, too */
    int32_t requests_room;
    int looks_before_yield;
    struct farewell farewell;
    MPI_Request *farewells; /* (world_size): sent, and never waited for */
};

static struct mpi_comm *mpi_of(struct tdbg_comm *comm)
{
    return (struct mpi_comm *)(void *)comm;
}

/* TDBG_RANKS with what MPI says. */
static enum tdbg_status raise_mpi(int code, const char *what, struct tdbg_err *err)
{
    char text[MPI_MAX_ERROR_STRING];
    int n = 0;
    MPI_Error_string(code, text, &n);
    return TDBG_RAISE(err, RANKS, "MPI cannot %s: %s", what, text);
}

/* Most of these arrive at once; who does not answer does not keep this rank long. */
static void send_farewell(struct mpi_comm *m)
{
    const struct timespec moment = {0, 1000000};
    int done = 0;
    for (int32_t r = 0; r < m->base.world_size; r++) {
        if (r == m->base.rank || r == m->base.failed_rank || m->farewells[r] != MPI_REQUEST_NULL)
            continue;
        MPI_Isend(&m->farewell, sizeof m->farewell, MPI_BYTE, r, TAG_GIVE_UP, m->world,
                  &m->farewells[r]);
    }
    for (int i = 0; i < FAREWELL_MS && !done; i++) {
        if (MPI_Testall(m->base.world_size, m->farewells, &done, MPI_STATUSES_IGNORE) !=
            MPI_SUCCESS)
            return;
        nanosleep(&moment, NULL);
    }
}

/* The first failure counts. */
static void fail(struct mpi_comm *m, int32_t failed_rank, bool is_told, const char *text)
{
    if (m->base.has_failed)
        return;
    m->base.has_failed = true;
    m->base.failed_rank = failed_rank;
    m->base.is_told = is_told;
    m->farewell = (struct farewell){.failed_rank = failed_rank, .is_told = is_told};
    snprintf(m->farewell.text, sizeof m->farewell.text, "%s", text);
}

static void give_up(struct tdbg_comm *comm, const char *message)
{
    struct mpi_comm *m = mpi_of(comm);
    char text[MESSAGE_BYTES];
    snprintf(text, sizeof text, "rank %d: %s", (int)comm->rank, message);
    fail(m, comm->rank, true, text);
    send_farewell(m);
}

/* Has another rank given up? */
static void look_for_farewell(struct mpi_comm *m)
{
    int there = 0;
    struct farewell f;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_GIVE_UP, m->world, &there, &status) != MPI_SUCCESS || !there)
        return;
    if (MPI_Recv(&f, sizeof f, MPI_BYTE, status.MPI_SOURCE, TAG_GIVE_UP, m->world,
                 MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return;
    f.text[sizeof f.text - 1] = 0;
    fail(m, f.failed_rank, f.is_told, f.text);
}

static enum tdbg_status make_room(struct mpi_comm *m, int32_t n, struct tdbg_err *err)
{
    if (n <= m->requests_room)
        return TDBG_OK;
    MPI_Request *requests = realloc(m->requests, (size_t)n * sizeof *requests);
    m->requests = requests ? requests : m->requests;
    int *indices = realloc(m->indices, (size_t)n * sizeof *indices);
    m->indices = indices ? indices : m->indices;
    int32_t *peer = realloc(m->peer, (size_t)n * sizeof *peer);
    m->peer = peer ? peer : m->peer;
    if (!requests || !indices || !peer)
        return TDBG_RAISE(err, NO_MEMORY, "no memory to reach %d ranks", (int)m->base.world_size);
    m->requests_room = n;
    return TDBG_OK;
}

static int32_t count_pieces(const struct tdbg_comm_transfer *list, int32_t n)
{
    int32_t count = 0;
    for (int32_t i = 0; i < n; i++)
        count += (int32_t)((list[i].bytes + PIECE_BYTES - 1) / PIECE_BYTES);
    return count;
}

static enum tdbg_status start(struct mpi_comm *m, const struct tdbg_comm_transfer *list, int32_t n,
                              struct tdbg_err *err)
{
    int32_t count = 0;
    for (int pass = 0; pass < 2; pass++) { /* receives first: what arrives has a place */
        for (int32_t i = 0; i < n; i++) {
            const struct tdbg_comm_transfer *t = &list[i];
            for (size_t at = 0; at < t->bytes && t->sends == (pass == 1); at += PIECE_BYTES) {
                const size_t left = t->bytes - at;
                const int bytes = (int)(left < PIECE_BYTES ? left : PIECE_BYTES);
                unsigned char *data = (unsigned char *)t->data + at;
                MPI_Request *request = &m->requests[count];
                m->peer[count++] = t->peer;
                const int code =
                    t->sends
                        ? MPI_Isend(data, bytes, MPI_BYTE, t->peer, TAG_DATA, m->world, request)
                        : MPI_Irecv(data, bytes, MPI_BYTE, t->peer, TAG_DATA, m->world, request);
                if (code != MPI_SUCCESS)
                    return raise_mpi(code, "reach another rank", err);
            }
        }
    }
    return TDBG_OK;
}

static void wait_a_moment(const struct mpi_comm *m, int idle)
{
    const struct timespec moment = {0, SLEEP_NS};
    if (idle > m->looks_before_yield + YIELDS_BEFORE_SLEEP)
        nanosleep(&moment, NULL);
    else if (idle > m->looks_before_yield)
        sched_yield();
}

/* One byte that nobody waits for. */
static void send_note(struct mpi_comm *m, int32_t to, int tag)
{
    static const char note;
    MPI_Request request;
    if (MPI_Isend(&note, 1, MPI_BYTE, to, tag, m->world, &request) == MPI_SUCCESS)
        MPI_Request_free(&request);
}

static bool receive_note(struct mpi_comm *m, int tag, int32_t *from)
{
    char note;
    int there = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, tag, m->world, &there, &status) != MPI_SUCCESS || !there)
        return false;
    *from = status.MPI_SOURCE;
    return MPI_Recv(&note, 1, MPI_BYTE, *from, tag, m->world, MPI_STATUS_IGNORE) == MPI_SUCCESS;
}

static void look_for_messages(struct mpi_comm *m)
{
    int32_t from;
    look_for_farewell(m);
    while (receive_note(m, TAG_QUESTION, &from))
        send_note(m, from, TAG_ANSWER);
}

/* Is rank r waited for? count: of the requests that are waited for; ALL: all ranks are. */
static bool is_awaited(const struct mpi_comm *m, int32_t count, int32_t r)
{
    if (count == ALL)
        return r != m->base.rank;
    for (int32_t i = 0; i < count; i++) {
        if (m->requests[i] != MPI_REQUEST_NULL && m->peer[i] == r)
            return true;
    }
    return false;
}

/* The first rank that is waited for and not known to wait itself; -1: there is none. */
static int32_t find_silent(const struct mpi_comm *m, int32_t count)
{
    for (int32_t r = 0; r < m->base.world_size; r++) {
        if (!m->answered[r] && is_awaited(m, count, r))
            return r;
    }
    return -1;
}

/* Who is late often keeps others waiting, who then are late as well: they are asked. Returns the
 * rank that does not answer; -1: all wait, and one of them will find out for whom. */
static int32_t ask_who_waits(struct mpi_comm *m, int32_t count)
{
    const struct timespec moment = {0, 1000000};
    int32_t from, silent;
    for (int32_t r = 0; r < m->base.world_size; r++) {
        if (is_awaited(m, count, r))
            send_note(m, r, TAG_QUESTION);
    }
    for (int i = 0; i < ANSWER_MS && !m->base.has_failed; i++) {
        look_for_messages(m);
        while (receive_note(m, TAG_ANSWER, &from))
            m->answered[from] = true;
        nanosleep(&moment, NULL);
    }
    silent = find_silent(m, count);
    memset(m->answered, 0, (size_t)m->base.world_size * sizeof *m->answered);
    return silent;
}

/* asks: else somebody has to be named. */
static void tell_timeout(struct mpi_comm *m, int32_t count, bool asks)
{
    char text[MESSAGE_BYTES];
    const int32_t late = asks ? ask_who_waits(m, count) : find_silent(m, count);
    if (m->base.has_failed || late < 0)
        return;
    snprintf(text, sizeof text, "rank %d has not answered for %g s (engine.comm.timeout_s)",
             (int)late, m->base.timeout_s);
    fail(m, asks ? late : NOBODY_KNOWN, false, text); /* else several may be named at once */
    send_farewell(m);
}

/* Nanoseconds since *last, which becomes now. Of a long time in which this process was stopped only
 * a little counts: it is not the others who were late. */
static int64_t time_since(int64_t *last, double timeout_s)
{
    const int64_t now = tdbg_clock_ns(), passed = now - *last;
    const int64_t most = (int64_t)(timeout_s * 0.25e9);
    *last = now;
    return passed < most ? passed : most;
}

/* Until a look says that it is done, or the run has failed. count: see is_awaited. */
static enum tdbg_status wait_until(struct mpi_comm *m, tdbg_comm_look look, void *self,
                                   int32_t count, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const double limit_ns = m->base.timeout_s * 1e9;
    int64_t waited_ns = 0, now_ns = tdbg_clock_ns();
    int idle = 0; /* looks that have seen nothing new */
    for (unsigned looks = 0; !m->base.has_failed; looks++) {
        enum tdbg_comm_sight sight = TDBG_COMM_WAITS;
        TDBG_TRY(look(self, &sight, err));
        if (sight == TDBG_COMM_DONE)
            break;
        idle = sight == TDBG_COMM_WAITS && idle < INT_MAX ? idle + 1 : 0;
        if (looks % LOOKS_PER_PROBE == LOOKS_PER_PROBE - 1) {
            const int64_t passed_ns = time_since(&now_ns, m->base.timeout_s);
            if (sight == TDBG_COMM_WORKS) {
                look_for_farewell(m);
            } else {
                look_for_messages(m);
                waited_ns += passed_ns;
            }
            if (!m->base.has_failed && (double)waited_ns > limit_ns)
                tell_timeout(m, count, (double)waited_ns < MOST_TIMEOUTS * limit_ns);
        }
        wait_a_moment(m, sight == TDBG_COMM_WORKS ? INT_MAX : idle);
    }
    TDBG_FAIL_IF(m->base.has_failed, RANKS, "%s", m->farewell.text);
out:
    return st;
}

/* Requests under way. */
struct requests {
    struct mpi_comm *comm;
    int32_t count, n_done;
};

static enum tdbg_status look_at_requests(void *self, enum tdbg_comm_sight *sight,
                                         struct tdbg_err *err)
{
    struct requests *r = self;
    int n = 0;
    if (r->n_done < r->count) {
        const int code =
            MPI_Testsome(r->count, r->comm->requests, &n, r->comm->indices, MPI_STATUSES_IGNORE);
        if (code != MPI_SUCCESS)
            return raise_mpi(code, "reach another rank", err);
        r->n_done += n == MPI_UNDEFINED ? r->count : n;
    }
    *sight = r->n_done >= r->count ? TDBG_COMM_DONE : n > 0 ? TDBG_COMM_MOVES : TDBG_COMM_WAITS;
    return TDBG_OK;
}

/* Until all of `count` requests are complete, or the run has failed. */
static enum tdbg_status wait_all(struct mpi_comm *m, int32_t count, struct tdbg_err *err)
{
    struct requests requests = {.comm = m, .count = count};
    return wait_until(m, look_at_requests, &requests, count, err);
}

static enum tdbg_status wait_for(struct tdbg_comm *comm, tdbg_comm_look look, void *self,
                                 struct tdbg_err *err)
{
    return wait_until(mpi_of(comm), look, self, ALL, err);
}

static enum tdbg_status lose(struct tdbg_comm *comm, const char *message, struct tdbg_err *err)
{
    struct mpi_comm *m = mpi_of(comm);
    const struct timespec moment = {0, 1000000};
    for (int i = 0; i < ANSWER_MS && !m->base.has_failed; i++) {
        look_for_messages(m);
        nanosleep(&moment, NULL);
    }
    if (!m->base.has_failed) {
        fail(m, NOBODY_KNOWN, false, message);
        send_farewell(m);
    }
    return TDBG_RAISE(err, RANKS, "%s", m->farewell.text);
}

static enum tdbg_status exchange(struct tdbg_comm *comm, const struct tdbg_comm_transfer *list,
                                 int32_t n, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct mpi_comm *m = mpi_of(comm);
    const int32_t count = count_pieces(list, n);
    TDBG_TRY(make_room(m, count, err));
    if (!m->base.has_failed)
        TDBG_TRY(start(m, list, n, err));
    TDBG_TRY(wait_all(m, count, err));
out:
    return st;
}

/* Who is late is not known here: the message names the next rank. */
static enum tdbg_status native_sum(struct tdbg_comm *comm, const float *in, float *out, int64_t n,
                                   struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct mpi_comm *m = mpi_of(comm);
    TDBG_TRY(make_room(m, 1, err));
    TDBG_FAIL_IF(m->base.has_failed, RANKS, "%s", m->farewell.text);
    for (int64_t at = 0; at < n; at += INT32_MAX / 4) {
        const int64_t left = n - at;
        m->peer[0] = (comm->rank + 1) % comm->world_size;
        const int code =
            MPI_Iallreduce(in + at, out + at, (int)(left < INT32_MAX / 4 ? left : INT32_MAX / 4),
                           MPI_FLOAT, MPI_SUM, m->world, &m->requests[0]);
        if (code != MPI_SUCCESS)
            return raise_mpi(code, "add", err);
        TDBG_TRY(wait_all(m, 1, err));
    }
out:
    return st;
}

/* After a failure MPI_Finalize would wait for who does not answer. Where mpirun itself is gone it
 * may wait for ever: then the alarm ends this process. */
static void destroy(struct tdbg_comm *comm)
{
    struct mpi_comm *m = mpi_of(comm);
    const struct timespec linger = {LINGER_S, 0};
    const bool tells = comm->is_told ? comm->failed_rank == comm->rank : tdbg_comm_is_speaker(comm);
    if (comm->has_failed && !tells)
        nanosleep(&linger, NULL); /* a signal cuts it short */
    if (!comm->has_failed) {
        alarm((unsigned)comm->timeout_s + 1);
        MPI_Comm_free(&m->world);
        MPI_Finalize();
        alarm(0);
    }
    free(m->requests);
    free(m->indices);
    free(m->peer);
    free(m->answered);
    if (!comm->has_failed) { /* else sends from it may be under way */
        free(m->farewells);
        free(m);
    }
}

static const struct tdbg_comm_ops mpi_ops = {.exchange = exchange,
                                             .native_sum = native_sum,
                                             .wait = wait_for,
                                             .give_up = give_up,
                                             .lose = lose,
                                             .destroy = destroy};

static enum tdbg_status init_mpi(struct tdbg_err *err)
{
    int provided = MPI_THREAD_SINGLE;
    const int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    if (code != MPI_SUCCESS)
        return raise_mpi(code, "start", err);
    if (provided < MPI_THREAD_SERIALIZED)
        return TDBG_RAISE(err, UNSUPPORTED,
                          "this MPI library cannot be used by another thread than the first");
    return TDBG_OK;
}

/* Ranks of this machine, by what memory they share. */
static int count_neighbours(void)
{
    MPI_Comm machine;
    int n = 1;
    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine) !=
        MPI_SUCCESS)
        return n;
    MPI_Comm_size(machine, &n);
    MPI_Comm_free(&machine);
    return n;
}

enum tdbg_status tdbg_comm_mpi_create(double timeout_s, struct tdbg_comm **out,
                                      struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int rank = 0, world_size = 0;
    struct mpi_comm *m = calloc(1, sizeof *m);
    TDBG_FAIL_IF(!m, NO_MEMORY, "no memory for MPI");
    TDBG_TRY(init_mpi(err));
    MPI_Comm_dup(MPI_COMM_WORLD, &m->world);
    MPI_Comm_set_errhandler(m->world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->world, &rank);
    MPI_Comm_size(m->world, &world_size);
    TDBG_FAIL_IF(world_size > TDBG_MAX_RANKS, UNSUPPORTED, "%d ranks; at most %d are possible",
                 world_size, (int)TDBG_MAX_RANKS);
    m->farewells = malloc((size_t)world_size * sizeof(MPI_Request));
    m->answered = calloc((size_t)world_size, sizeof *m->answered);
    TDBG_FAIL_IF(!m->farewells || !m->answered, NO_MEMORY, "no memory for MPI");
    m->looks_before_yield = count_neighbours() > sysconf(_SC_NPROCESSORS_ONLN)
                                ? LOOKS_BEFORE_YIELD_CROWDED
                                : LOOKS_BEFORE_YIELD;
    for (int r = 0; r < world_size; r++)
        m->farewells[r] = MPI_REQUEST_NULL;
    m->base = (struct tdbg_comm){
        .ops = &mpi_ops, .rank = rank, .world_size = world_size, .timeout_s = timeout_s};
    *out = &m->base;
    return TDBG_OK;
out:
    free(m);
    return st;
}
