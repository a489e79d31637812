/* Ranks that are threads of one process. See comm.h.
 *
 * Between each two ranks there is a slot in each direction. Who sends puts the place of its bytes
 * there and waits until they have been copied; who receives copies them:
 *
 *              to 0   to 1   to 2
 *     from 0     .    full     .       full: bytes of rank 0 wait for rank 1
 *     from 1     .      .    taken     taken: rank 2 is copying those of rank 1
 *     from 2   free     .      .
 */
#include "engine/comm.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { SLOT_FREE, SLOT_FULL, SLOT_TAKEN };
enum { LOOK_NS = 20000 };

struct slot {
    const void *data;
    size_t bytes;
    int state;
};

struct hub {
    pthread_mutex_t lock;
    pthread_cond_t *wake; /* (n): of each rank */
    struct slot *slot;    /* (n, n): from, to */
    int32_t n, users;
    bool given_up;
    char message[400];
};

struct thread_comm {
    struct tdbg_comm base; /* first: the same address */
    struct hub *hub;
};

static struct hub *hub_of(struct tdbg_comm *comm)
{
    return ((struct thread_comm *)(void *)comm)->hub;
}

static void set_message(struct hub *hub, const char *message)
{
    if (hub->given_up)
        return; /* the first one is the cause */
    hub->given_up = true;
    snprintf(hub->message, sizeof hub->message, "%s", message);
    for (int32_t r = 0; r < hub->n; r++)
        pthread_cond_broadcast(&hub->wake[r]);
}

static void give_up(struct tdbg_comm *comm, const char *message)
{
    struct hub *hub = hub_of(comm);
    char text[400];
    snprintf(text, sizeof text, "rank %d: %s", (int)comm->rank, message);
    pthread_mutex_lock(&hub->lock);
    set_message(hub, text);
    pthread_mutex_unlock(&hub->lock);
}

/* Where a transfer of the list is. */
enum { PENDING, POSTED, DONE };

/* Is an earlier transfer of the list between the same two ranks still under way? */
static bool is_behind(const struct tdbg_comm_transfer *list, const unsigned char *state, int32_t i)
{
    for (int32_t k = 0; k < i; k++) {
        if (state[k] != DONE && list[k].peer == list[i].peer && list[k].sends == list[i].sends)
            return true;
    }
    return false;
}

/* Copies what waits in a slot, without the lock. */
static void take(struct hub *hub, struct slot *slot, const struct tdbg_comm_transfer *t)
{
    TDBG_ASSERT(slot->bytes == t->bytes);
    slot->state = SLOT_TAKEN;
    pthread_mutex_unlock(&hub->lock);
    memcpy(t->data, slot->data, t->bytes);
    pthread_mutex_lock(&hub->lock);
    slot->state = SLOT_FREE;
    pthread_cond_signal(&hub->wake[t->peer]);
}

/* Brings a transfer on as far as it goes; true: something has changed. */
static bool advance(struct hub *hub, int32_t rank, const struct tdbg_comm_transfer *t,
                    unsigned char *state)
{
    struct slot *slot = &hub->slot[t->sends ? rank * hub->n + t->peer : t->peer * hub->n + rank];
    if (t->sends && *state == PENDING && slot->state == SLOT_FREE) {
        *slot = (struct slot){t->data, t->bytes, SLOT_FULL};
        *state = POSTED;
        pthread_cond_signal(&hub->wake[t->peer]);
        return true;
    }
    if (t->sends && *state == POSTED && slot->state == SLOT_FREE) {
        *state = DONE;
        return true;
    }
    if (!t->sends && slot->state == SLOT_FULL) {
        take(hub, slot, t);
        *state = DONE;
        return true;
    }
    return false;
}

static struct timespec deadline_after(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int64_t ns = t.tv_nsec + (int64_t)(fmod(seconds, 1) * 1e9);
    t.tv_sec += (time_t)seconds + (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return t;
}

/* Under the lock. */
static void tell_timeout(struct tdbg_comm *comm, const struct tdbg_comm_transfer *list,
                         const unsigned char *state, int32_t n)
{
    struct hub *hub = hub_of(comm);
    char text[120];
    int32_t i = 0;
    while (i < n - 1 && state[i] == DONE)
        i++;
    snprintf(text, sizeof text, "rank %d has not answered for %g s (engine.comm.timeout_s)",
             (int)list[i].peer, comm->timeout_s);
    set_message(hub, text);
}

static enum tdbg_status exchange(struct tdbg_comm *comm, const struct tdbg_comm_transfer *list,
                                 int32_t n, struct tdbg_err *err)
{
    struct hub *hub = hub_of(comm);
    unsigned char fixed[256] = {0}, *state = fixed;
    enum tdbg_status st = TDBG_OK;
    const struct timespec deadline = deadline_after(comm->timeout_s);
    if (n > (int32_t)sizeof fixed && !(state = calloc((size_t)n, 1)))
        return TDBG_RAISE(err, NO_MEMORY, "no memory to reach %d ranks", (int)comm->world_size);
    pthread_mutex_lock(&hub->lock);
    for (int32_t n_done = 0; n_done < n && !hub->given_up;) {
        bool changed = false;
        n_done = 0;
        for (int32_t i = 0; i < n; i++) {
            if (state[i] != DONE && !is_behind(list, state, i))
                changed |= advance(hub, comm->rank, &list[i], &state[i]);
            n_done += state[i] == DONE;
        }
        if (!changed && n_done < n && !hub->given_up &&
            pthread_cond_timedwait(&hub->wake[comm->rank], &hub->lock, &deadline) == ETIMEDOUT)
            tell_timeout(comm, list, state, n);
    }
    if (hub->given_up)
        st = TDBG_RAISE(err, RANKS, "%s", hub->message);
    pthread_mutex_unlock(&hub->lock);
    if (state != fixed)
        free(state);
    return st;
}

/* Now and then a look, and whether another rank has given up. */
static enum tdbg_status wait_for(struct tdbg_comm *comm, tdbg_comm_look look, void *self,
                                 struct tdbg_err *err)
{
    struct hub *hub = hub_of(comm);
    const struct timespec moment = {0, LOOK_NS};
    int64_t from_ns = tdbg_clock_ns();
    bool given_up = false;
    while (!given_up) {
        enum tdbg_comm_sight sight = TDBG_COMM_WAITS;
        const enum tdbg_status st = look(self, &sight, err);
        if (st != TDBG_OK || sight == TDBG_COMM_DONE)
            return st;
        if (sight == TDBG_COMM_WORKS)
            from_ns = tdbg_clock_ns();
        if ((double)(tdbg_clock_ns() - from_ns) > comm->timeout_s * 1e9)
            return comm->ops->lose(comm, "nothing has come for engine.comm.timeout_s", err);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&hub->lock);
        given_up = hub->given_up;
        pthread_mutex_unlock(&hub->lock);
    }
    return TDBG_RAISE(err, RANKS, "%s", hub->message);
}

static enum tdbg_status lose(struct tdbg_comm *comm, const char *message, struct tdbg_err *err)
{
    struct hub *hub = hub_of(comm);
    pthread_mutex_lock(&hub->lock);
    set_message(hub, message);
    pthread_mutex_unlock(&hub->lock);
    return TDBG_RAISE(err, RANKS, "%s", hub->message);
}

static void destroy_hub(struct hub *hub)
{
    for (int32_t r = 0; hub->wake && r < hub->n; r++)
        pthread_cond_destroy(&hub->wake[r]);
    pthread_mutex_destroy(&hub->lock);
    free(hub->wake);
    free(hub->slot);
    free(hub);
}

static void destroy(struct tdbg_comm *comm)
{
    struct hub *hub = hub_of(comm);
    pthread_mutex_lock(&hub->lock);
    const bool is_last = --hub->users == 0;
    pthread_mutex_unlock(&hub->lock);
    if (is_last)
        destroy_hub(hub);
    free(comm);
}

static const struct tdbg_comm_ops thread_ops = {
    .exchange = exchange, .wait = wait_for, .give_up = give_up, .lose = lose, .destroy = destroy};

static struct hub *create_hub(int32_t n)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return NULL;
    pthread_condattr_t attr;
    pthread_mutex_init(&hub->lock, NULL);
    hub->slot = calloc((size_t)n * (size_t)n, sizeof *hub->slot);
    hub->wake = calloc((size_t)n, sizeof *hub->wake);
    if (!hub->slot || !hub->wake) {
        destroy_hub(hub);
        return NULL;
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (; hub->n < n; hub->n++)
        pthread_cond_init(&hub->wake[hub->n], &attr);
    pthread_condattr_destroy(&attr);
    return hub;
}

enum tdbg_status tdbg_comm_threads_create(int32_t n, double timeout_s, struct tdbg_comm **out,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct hub *hub = create_hub(n);
    int32_t made = 0;
    TDBG_FAIL_IF(!hub, NO_MEMORY, "no memory for %d ranks", (int)n);
    for (; made < n; made++) {
        struct thread_comm *comm = calloc(1, sizeof *comm);
        TDBG_FAIL_IF(!comm, NO_MEMORY, "no memory for %d ranks", (int)n);
        comm->base = (struct tdbg_comm){
            .ops = &thread_ops, .rank = made, .world_size = n, .timeout_s = timeout_s};
        comm->hub = hub;
        hub->users++;
        out[made] = &comm->base;
    }
    return TDBG_OK;
out:
    for (int32_t r = 0; r < made; r++)
        tdbg_comm_destroy(out[r]);
    if (hub && made == 0)
        destroy_hub(hub);
    return st;
}
