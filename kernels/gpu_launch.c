/* Work for the stream: what is launched goes there at once, or is held back and goes as a graph.
 *
 * A small kernel is done before the host has launched the next one, so that the host decides how
 * fast a small network trains. A graph of many launches costs it about as much as one. But nobody
 * here knows what a step is, or what of it changes: so all work is written down as it is asked for,
 * in segments, and a segment that comes again is sent off as the graph that was made of it:
 *
 *     asked for      a b c d | e f g h | a b c d | e f g h | a b' c d | ...
 *     first time     |         |         |         |         '- the same shape: b' is told to the
 *      - at once     ' one by one        |         |            graph, which is sent off
 *     second time                        '---------'- a graph is made, and sent off
 *
 * What is the same is compared byte by byte, every time: an argument that changes with the step can
 * not be forgotten, only cost a call to change it in the graph. What a call of a library launches
 * cannot be changed, so its key is part of the shape. Where the shape differs from all that is
 * known, what was held back goes out one by one, and so does the rest, which is then known, too.
 *
 * A segment ends where anything else is going to be done with the stream or with memory
 * (tdbg_gpu_stream(), tdbg_gpu_free(): the host never waits for what is held back), or when it is
 * long enough: FIRST entries after such an end, as the GPU may have nothing to do then, and
 * TDBG_GPU_LOG_ENTRIES later, while it is busy with those. An entry costs the host about 0.1 us, so
 * that the GPU waits for its first work no longer than for one launch.
 *
 * There are at most SEGMENTS of them, those not used for longest are forgotten. Their lists take
 * about 10 KB each, 280 KB at most, and each has what the driver keeps of a graph. Where a step has
 * more, each is forgotten before it comes again, and goes out one by one as without graphs.
 *
 * What fails of CUDA's graphs, or shows at the look that is taken when the GPU is opened
 * (gpu_graph_check.cu), ends them for this GPU: the segment goes out one by one. */
#include "kernels/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gpu_graph.h"
#include "kernels/gpu_graphs.h"
#include "kernels/gpu_log.h"

enum {
    SEGMENTS = 128,
    FIRST = 16,
    LEAST = 3,                    /* entries: fewer go out as fast alone */
    PLAIN_SHARED_BYTES = 48 << 10 /* more has to be asked for */
};

struct segment {
    struct tdbg_gpu_log log; /* with the arguments that the graph has */
    struct tdbg_gpu_graph graph;
    uint64_t used;    /* when: a number that grows */
    int next;         /* what came behind it; -1: not known */
    bool was_rebuilt; /* its graph would not take an argument */
};

struct tdbg_gpu_launches {
    bool works, is_allowed;
    bool is_failure;
    char why_not[300];
    struct tdbg_gpu_log held; /* the segment so far */
    int n_put;                /* its first ones, that are on the stream */
    int most;                 /* it ends with so many */
    int like;                 /* a segment that begins like it; -1: none does */
    int last;                 /* the one before; -1: not known */
    int n_segments;
    struct segment segment[SEGMENTS];
    uint64_t clock;
    struct tdbg_gpu_launch_counts counts;
};

void tdbg_gpu_open_launches(struct tdbg_gpu *gpu)
{
    const char *said = getenv("TDBG_CUDA_GRAPHS");
    struct tdbg_gpu_launches *l = calloc(1, sizeof *l);
    if (!l || !tdbg_gpu_log_create(&l->held)) {
        free(l);
        return;
    }
    l->is_allowed = true;
    l->works = !(said && strcmp(said, "0") == 0);
    if (!l->works)
        snprintf(l->why_not, sizeof l->why_not, "TDBG_CUDA_GRAPHS=0");
    l->most = FIRST;
    l->like = l->last = -1;
    gpu->launches = l;
}

static void forget(struct tdbg_gpu_launches *l, int k)
{
    tdbg_gpu_log_destroy(&l->segment[k].log);
    tdbg_gpu_graph_destroy(&l->segment[k].graph);
    for (int i = 0; i < l->n_segments; i++) {
        if (l->segment[i].next == k)
            l->segment[i].next = -1;
    }
    l->last = l->last == k ? -1 : l->last;
}

void tdbg_gpu_forget_graphs(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    tdbg_gpu_put_held(gpu);
    for (int k = 0; k < l->n_segments; k++)
        forget(l, k);
    l->n_segments = 0;
    l->last = -1;
    memset(&l->counts, 0, sizeof l->counts);
}

void tdbg_gpu_close_launches(struct tdbg_gpu *gpu)
{
    if (!gpu->launches)
        return;
    tdbg_gpu_forget_graphs(gpu);
    tdbg_gpu_log_destroy(&gpu->launches->held);
    free(gpu->launches);
    gpu->launches = NULL;
}

void tdbg_gpu_refuse_graphs(struct tdbg_gpu *gpu, const char *why)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    l->works = false;
    l->is_failure = true;
    snprintf(l->why_not, sizeof l->why_not, "%s", why);
}

/* A list that CUDA would not make a graph of, or not send off. */
static void give_up(struct tdbg_gpu *gpu, const struct tdbg_gpu_graph_fault *fault)
{
    const struct tdbg_gpu_log *log = &gpu->launches->held;
    char why[300];
    snprintf(why, sizeof why, "%s failed for a graph of %d launches that begins with %s: %s",
             fault->call, log->n, log->entry[0].name, cudaGetErrorString(fault->error));
    tdbg_gpu_refuse_graphs(gpu, why);
}

const char *tdbg_gpu_why_no_graphs(const struct tdbg_gpu *gpu, bool *is_failure)
{
    const struct tdbg_gpu_launches *l = gpu->launches;
    *is_failure = l && l->is_failure;
    return !l ? "no memory" : l->works ? NULL : l->why_not;
}

void tdbg_gpu_count_launches(const struct tdbg_gpu *gpu, struct tdbg_gpu_launch_counts *out)
{
    const struct tdbg_gpu_launches *l = gpu->launches;
    memset(out, 0, sizeof *out);
    if (!l)
        return;
    *out = l->counts;
    out->held = l->held.n - l->n_put;
    out->kept = l->n_segments;
}

/* --- one by one --- */

static void note(struct tdbg_gpu *gpu, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return;
    cudaGetLastError(); /* or the next call tells it, too */
    tdbg_gpu_note(gpu, error, what);
}

static void put_rest(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    for (; l->n_put < l->held.n; l->n_put++) {
        note(gpu, tdbg_gpu_log_put(gpu, &l->held, l->n_put, gpu->own_stream),
             l->held.entry[l->n_put].name);
        l->counts.one_by_one++;
    }
}

/* --- segments --- */

static bool begins_like(const struct segment *s, const struct tdbg_gpu_log *log)
{
    return s->log.n >= log->n && s->log.hash[log->n - 1] == log->hash[log->n - 1];
}

/* After each entry: goes on with the segment that was expected, else with any that begins so. */
static void expect(struct tdbg_gpu_launches *l)
{
    if (l->held.n == 1)
        l->like = l->last >= 0 ? l->segment[l->last].next : -1;
    else if (l->like < 0)
        return;
    if (l->like >= 0 && begins_like(&l->segment[l->like], &l->held))
        return;
    l->like = -1;
    for (int k = 0; k < l->n_segments; k++) {
        if (begins_like(&l->segment[k], &l->held) &&
            (l->like < 0 || l->segment[k].used > l->segment[l->like].used))
            l->like = k;
    }
}

/* The segment that is like the one held; of several, that in which the fewest kernels have other
 * arguments. -1: none, or more than half of them have: layers of one kind have the same shape, and
 * graphs of their own. Copies do not count: where recorded values go is another place each time. */
static int choose(const struct tdbg_gpu_launches *l)
{
    int best = -1, fewest = tdbg_gpu_log_kernels(&l->held) / 2 + 1;
    for (int i = -1; i < l->n_segments && fewest > 0; i++) {
        const int k = i < 0 ? l->like : i;
        if (k < 0 || !tdbg_gpu_log_same_shape(&l->segment[k].log, &l->held))
            continue;
        const int differ = tdbg_gpu_log_kernels_that_differ(&l->segment[k].log, &l->held);
        if (differ < fewest) {
            best = k;
            fewest = differ;
        }
    }
    return best;
}

static bool build(struct tdbg_gpu *gpu, struct segment *s)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    struct tdbg_gpu_graph_fault fault;
    tdbg_gpu_graph_destroy(&s->graph);
    if (!tdbg_gpu_graph_create(gpu, &l->held, gpu->own_stream, &s->graph, &fault)) {
        tdbg_gpu_graph_destroy(&s->graph);
        give_up(gpu, &fault);
        return false;
    }
    memcpy(s->log.bytes, l->held.bytes, l->held.n_bytes);
    l->counts.built++;
    return true;
}

/* A graph that does not take an argument is made anew, once. */
static bool bring_up_to_date(struct tdbg_gpu *gpu, struct segment *s)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    struct tdbg_gpu_graph_fault fault;
    if (!s->graph.exec)
        return build(gpu, s);
    for (int i = 0; i < l->held.n; i++) {
        const uint32_t at = l->held.entry[i].first_byte;
        if (!tdbg_gpu_log_entry_differs(&l->held, &s->log, i))
            continue;
        if (tdbg_gpu_graph_change(&s->graph, &l->held, i, &fault)) {
            memcpy(s->log.bytes + at, l->held.bytes + at, l->held.shape[i].arg_bytes);
            l->counts.changed++;
            continue;
        }
        if (s->was_rebuilt) {
            give_up(gpu, &fault);
            return false;
        }
        s->was_rebuilt = true;
        l->counts.rebuilt++;
        return build(gpu, s);
    }
    return true;
}

static bool send(struct tdbg_gpu *gpu, struct segment *s)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    struct tdbg_gpu_graph_fault fault;
    if (!bring_up_to_date(gpu, s))
        return false;
    if (!tdbg_gpu_graph_send(&s->graph, gpu->own_stream, &fault)) {
        give_up(gpu, &fault);
        return false;
    }
    l->n_put = l->held.n;
    l->counts.in_graphs += l->held.n;
    l->counts.graphs++;
    return true;
}

/* A place for one more segment: the one not used for longest. */
static int make_room(struct tdbg_gpu_launches *l)
{
    int oldest = 0;
    if (l->n_segments < SEGMENTS)
        return l->n_segments++;
    for (int k = 1; k < SEGMENTS; k++) {
        if (l->segment[k].used < l->segment[oldest].used)
            oldest = k;
    }
    forget(l, oldest);
    l->counts.forgotten++;
    return oldest;
}

/* -1: there is no memory, or it is too short. */
static int remember(struct tdbg_gpu_launches *l)
{
    struct tdbg_gpu_log copy;
    if (l->held.n < LEAST || !tdbg_gpu_log_copy(&l->held, &copy))
        return -1;
    const int k = make_room(l);
    l->segment[k] = (struct segment){.log = copy, .next = -1};
    return k;
}

void tdbg_gpu_put_held(struct tdbg_gpu *gpu)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    if (!l || l->held.n == 0)
        return;
    int k = l->works && l->n_put == 0 ? choose(l) : -1;
    if (k >= 0 && !send(gpu, &l->segment[k]))
        k = -1;
    put_rest(gpu);
    if (k < 0 && l->works)
        k = remember(l);
    if (k >= 0) {
        l->segment[k].used = ++l->clock;
        if (l->last >= 0)
            l->segment[l->last].next = k;
        l->last = k;
    }
    tdbg_gpu_log_clear(&l->held);
    l->n_put = 0;
    l->like = -1;
    l->most = FIRST;
}

void tdbg_gpu_allow_graphs(struct tdbg_gpu *gpu, bool allow)
{
    if (!gpu->launches || gpu->launches->is_allowed == allow)
        return;
    tdbg_gpu_put_held(gpu);
    gpu->launches->is_allowed = allow;
}

void tdbg_gpu_take(struct tdbg_gpu *gpu, const struct tdbg_gpu_request *request)
{
    struct tdbg_gpu_launches *l = gpu->launches;
    if (!l || !l->works || !l->is_allowed) {
        note(gpu, tdbg_gpu_request_put(gpu, request, gpu->own_stream), request->name);
        if (l)
            l->counts.one_by_one++;
        return;
    }
    tdbg_gpu_log_add(&l->held, request);
    expect(l);
    if (l->like < 0)
        put_rest(gpu);
    if (l->held.n == l->most) {
        tdbg_gpu_put_held(gpu);
        l->most = TDBG_GPU_LOG_ENTRIES;
    }
}

cudaStream_t tdbg_gpu_stream(struct tdbg_gpu *gpu)
{
    tdbg_gpu_put_held(gpu);
    return gpu->own_stream;
}

/* --- what is asked for --- */

void tdbg_gpu_launch(struct tdbg_gpu *gpu, const struct tdbg_gpu_launch *launch, int n_args,
                     const void *const *args, const uint32_t *arg_bytes)
{
    const dim3 g = launch->grid, b = launch->block;
    const struct tdbg_gpu_request request = {.shape = {.function = (uintptr_t)launch->function,
                                                       .bytes = launch->shared_bytes,
                                                       .work = TDBG_GPU_KERNEL,
                                                       .grid = {g.x, g.y, g.z},
                                                       .block = {b.x, b.y, b.z}},
                                             .name = launch->name,
                                             .n_args = n_args,
                                             .args = args,
                                             .arg_bytes = arg_bytes};
    tdbg_gpu_before_work(gpu);
    if (g.x == 0 || g.y == 0 || g.z == 0)
        return;
    if (launch->shared_bytes > PLAIN_SHARED_BYTES)
        note(gpu,
             cudaFuncSetAttribute(launch->function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  (int)launch->shared_bytes),
             launch->name);
    tdbg_gpu_take(gpu, &request);
}

void tdbg_gpu_call(struct tdbg_gpu *gpu, const struct tdbg_gpu_call *call)
{
    const uint32_t bytes = (uint32_t)call->key_bytes;
    const struct tdbg_gpu_request request = {
        .shape = {.function = (uintptr_t)call->run, .work = TDBG_GPU_CALL},
        .name = call->name,
        .run = call->run,
        .n_args = 1,
        .args = &call->key,
        .arg_bytes = &bytes};
    TDBG_ASSERT(call->key_bytes <= TDBG_GPU_ARGUMENT_BYTES);
    tdbg_gpu_before_work(gpu);
    tdbg_gpu_take(gpu, &request);
}

void tdbg_gpu_copy_between(struct tdbg_gpu *gpu, void *to, const void *from, size_t bytes)
{
    const void *const args[] = {&to, &from};
    static const uint32_t arg_bytes[] = {sizeof to, sizeof from};
    const struct tdbg_gpu_request request = {.shape = {.bytes = bytes, .work = TDBG_GPU_COPY},
                                             .name = "a copy on the GPU",
                                             .n_args = 2,
                                             .args = args,
                                             .arg_bytes = arg_bytes};
    if (bytes > 0)
        tdbg_gpu_take(gpu, &request);
}

void tdbg_gpu_copy(struct tdbg_gpu *gpu, void *to, const void *from, size_t bytes)
{
    tdbg_gpu_before_work(gpu);
    tdbg_gpu_copy_between(gpu, to, from, bytes);
}

void tdbg_gpu_clear(struct tdbg_gpu *gpu, void *data, size_t bytes)
{
    const void *const args[] = {&data};
    static const uint32_t arg_bytes[] = {sizeof data};
    const struct tdbg_gpu_request request = {.shape = {.bytes = bytes, .work = TDBG_GPU_CLEAR},
                                             .name = "cudaMemsetAsync",
                                             .n_args = 1,
                                             .args = args,
                                             .arg_bytes = arg_bytes};
    tdbg_gpu_before_work(gpu);
    if (bytes > 0)
        tdbg_gpu_take(gpu, &request);
}
